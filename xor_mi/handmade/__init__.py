"""gates, netlists and formulas -> networks whose every unit is known; and weights edited by hand.

This package grew out of a notebook whose last step was this: change weights by hand until they
compute XOR, and look again.
"""

from xor_mi.handmade._compiled import HasNetlist as HasNetlist
from xor_mi.handmade._compiled import Netlist as Netlist
from xor_mi.handmade._compiled import NetlistGate as NetlistGate
from xor_mi.handmade._compiled import from_formula as from_formula
from xor_mi.handmade._compiled import from_netlist as from_netlist
from xor_mi.handmade._edits import edit as edit
from xor_mi.handmade._gates import from_gates as from_gates
from xor_mi.handmade._gates import textbook_xor as textbook_xor
