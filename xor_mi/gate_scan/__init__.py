"""any hooked model + binary features of its inputs -> the units that separate a gate of them.

It also says how often chance does as well, and which of the units the model uses as that gate.

A unit is one entry of an activation after the batch axis. It separates a gate g of the features if
it lies above a threshold exactly on the inputs with g(features) = 1: no combination of features has
inputs on both sides. All such cuts are listed, and the widest cut of each unit is marked; if
several are equally wide, the lowest of them. If noise makes a perfect cut impossible, each unit is
still scored against each gate: how often a unit is larger where the gate is 1 (AUC), and which
share the best cut decides right (balanced accuracy).

Inputs that are given several times count as one input: copies are not evidence. Chance is measured
on the same units after the features are permuted over the inputs. A scan says what a unit tells
apart on these inputs, not what the model does with it.

`find_gates` asks what the model does with it: it runs every input with the unit's value from other
inputs, and says where the decision depends on these other inputs through the gate alone.
"""

from xor_mi.gate_scan._cuts import UnitGate as UnitGate
from xor_mi.gate_scan._find import find_gates as find_gates
from xor_mi.gate_scan._finding import GateScan as GateScan
from xor_mi.gate_scan._found import FoundGate as FoundGate
from xor_mi.gate_scan._found import FoundGates as FoundGates
from xor_mi.gate_scan._found import ModelDecisions as ModelDecisions
from xor_mi.gate_scan._scan import scan_gates as scan_gates
