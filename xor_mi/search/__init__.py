"""a network -> every explanation of it, counted or listed.

There are three kinds: which subcircuits do the task, which gates their units can be read as, and
where the variables of an algorithm can be placed in the network.

"Is this explanation the only one?" is answered by trying all of them. A `Convention` names every
choice that changes a count; a `Problem` puts network, target and convention in numbers, once per
call. `find_subcircuits` lists subcircuits. `count_perfect_subcircuits` counts them when there are
too many to list (`counting_cost` says beforehand how long that takes, and Ctrl-C leaves a lower
bound). `edge_masks` says for every set of edges whether the network does the task with these alone.
`identifiability_report` puts the counts side by side and says what tells the survivors apart.
"""

from xor_mi.search._alignments import Alignment as Alignment
from xor_mi.search._alignments import AlignmentSearch as AlignmentSearch
from xor_mi.search._alignments import find_alignments as find_alignments
from xor_mi.search._comparison import CONVENTIONS as CONVENTIONS
from xor_mi.search._comparison import ConventionCounts as ConventionCounts
from xor_mi.search._comparison import ExplanationCounts as ExplanationCounts
from xor_mi.search._comparison import compare_conventions as compare_conventions
from xor_mi.search._convention import AnyConvention as AnyConvention
from xor_mi.search._convention import Convention as Convention
from xor_mi.search._convention import Preset as Preset
from xor_mi.search._counting import CountStopped as CountStopped
from xor_mi.search._counting import PartialCount as PartialCount
from xor_mi.search._counting import count_perfect_subcircuits as count_perfect_subcircuits
from xor_mi.search._counting import counting_cost as counting_cost
from xor_mi.search._counting_cost import CountingCost as CountingCost
from xor_mi.search._edge_masks import MAX_MASKED_EDGES as MAX_MASKED_EDGES
from xor_mi.search._edge_masks import EdgeMasks as EdgeMasks
from xor_mi.search._edge_masks import edge_masks as edge_masks
from xor_mi.search._edge_masks import metric_of_edge_masks as metric_of_edge_masks
from xor_mi.search._edge_masks import outputs_of_edge_masks as outputs_of_edge_masks
from xor_mi.search._examined import ExaminedAlignment as ExaminedAlignment
from xor_mi.search._examined import ExaminedSubcircuit as ExaminedSubcircuit
from xor_mi.search._examined import Witness as Witness
from xor_mi.search._formulas import Formula as Formula
from xor_mi.search._formulas import TooManyFormulas as TooManyFormulas
from xor_mi.search._formulas import Variable as Variable
from xor_mi.search._formulas import formulas as formulas
from xor_mi.search._identifiability import IdentifiabilityReport as IdentifiabilityReport
from xor_mi.search._identifiability import identifiability_report as identifiability_report
from xor_mi.search._interpretations import Interpretation as Interpretation
from xor_mi.search._interpretations import count_interpretations as count_interpretations
from xor_mi.search._interpretations import interpretations as interpretations
from xor_mi.search._node_masks import SCORES as SCORES
from xor_mi.search._node_masks import NodeMask as NodeMask
from xor_mi.search._node_masks import NodeMasks as NodeMasks
from xor_mi.search._node_masks import node_masks as node_masks
from xor_mi.search._problem import CutLayer as CutLayer
from xor_mi.search._problem import Problem as Problem
from xor_mi.search._searches import SearchStopped as SearchStopped
from xor_mi.search._subcircuits import SubcircuitSearch as SubcircuitSearch
from xor_mi.search._subcircuits import as_network as as_network
from xor_mi.search._subcircuits import count_subcircuits as count_subcircuits
from xor_mi.search._subcircuits import find_subcircuits as find_subcircuits
