"""gates, netlists and formulas -> networks whose every unit is known; conditions on weights, and weights edited by hand.

What the notebook this package grew out of did last: write down what the weights must satisfy for XOR, change them by hand, look again.
"""

from xor_mi.handmade.compiled import from_formula as from_formula
from xor_mi.handmade.compiled import from_netlist as from_netlist
from xor_mi.handmade.edits import edit as edit
from xor_mi.handmade.edits import slack_to_flip as slack_to_flip
from xor_mi.handmade.gates import from_gates as from_gates
from xor_mi.handmade.gates import textbook_xor as textbook_xor
from xor_mi.handmade.inequalities import conditions as conditions
