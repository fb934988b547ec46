"""a network's weights -> the inequalities its decisions rest on, and how much room each weight has.

`conditions` lists the inequalities; `slack_to_flip` says how far one weight may move alone before a
decision changes."""

from xor_mi.margins._conditions import conditions as conditions
from xor_mi.margins._slack import slack_to_flip as slack_to_flip
