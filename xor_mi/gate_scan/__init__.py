"""any hooked model + binary features of its inputs -> the units that separate a gate of these.

And how often chance does as well.

A unit is one entry of an activation after the batch axis. It separates a gate g of the features if
it lies above a threshold exactly on the inputs with g(features) = 1: no combination of features
has inputs on both sides. All such cuts are listed, and of each unit the widest is marked; of
equally wide ones that is the lowest. Where noise lets no cut be perfect, each unit is scored
against each gate: how often a unit is larger where the gate is 1 (AUC), and what the best cut
decides right (balanced accuracy).

Inputs that are given several times are one input: copies are no evidence. Chance is what the same
units do with the features dealt out to the inputs anew. This says what a unit tells apart on these
inputs, not what the model does with it: for that, patch the site.
"""

from xor_mi.gate_scan._cuts import UnitGate as UnitGate
from xor_mi.gate_scan._finding import GateScan as GateScan
from xor_mi.gate_scan._scan import scan_gates as scan_gates
