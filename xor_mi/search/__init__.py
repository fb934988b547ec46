"""a network -> every explanation of it, counted or listed: which subcircuits do the task, under every convention.

"Is this explanation the only one?" is answered by exhaustion. `convention` names every choice that changes a count, `subcircuits` lists,
`counting` counts exactly where listing would not end.
"""

from xor_mi.search.convention import Convention as Convention
from xor_mi.search.counting import count_perfect_subcircuits as count_perfect_subcircuits
from xor_mi.search.interpretations import Interpretation as Interpretation
from xor_mi.search.interpretations import count_interpretations as count_interpretations
from xor_mi.search.interpretations import interpretations as interpretations
from xor_mi.search.subcircuits import SubcircuitSearch as SubcircuitSearch
from xor_mi.search.subcircuits import count_subcircuits as count_subcircuits
from xor_mi.search.subcircuits import find_subcircuits as find_subcircuits
