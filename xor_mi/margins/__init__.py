"""a network's weights -> the inequalities behind its decisions, and how far each weight may move.

`conditions` lists the inequalities; `slack_to_flip` says how far one weight may move alone before a
decision changes; `move_weight` moves one weight and records the network at each value.
`weight_symbols` lists the short names of weights, such as w12.
"""

from xor_mi.margins._conditions import Condition as Condition
from xor_mi.margins._conditions import Conditions as Conditions
from xor_mi.margins._conditions import conditions as conditions
from xor_mi.margins._conditions import weight_symbols as weight_symbols
from xor_mi.margins._slack import Slack as Slack
from xor_mi.margins._slack import WeightSlack as WeightSlack
from xor_mi.margins._slack import slack_to_flip as slack_to_flip
from xor_mi.margins._weight_sweep import WeightSweep as WeightSweep
from xor_mi.margins._weight_sweep import move_weight as move_weight
