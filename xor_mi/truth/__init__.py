"""a Boolean function <-> its rows, bits, name and formula. No torch.

A function is its truth table. Rows are all 2^n inputs in lexicographic order, the first input most
significant: for two inputs 00, 01, 10, 11. A gate is a function of two inputs; there are 16 and
each has one name here (`GATES`), with the usual aliases accepted wherever a name is read. Formulas
are two-level forms, the shortest there are up to five inputs and short ones up to eight, or the
algebraic normal form where that is shorter.
"""

from xor_mi.truth._formulas import Tree as Tree
from xor_mi.truth._formulas import formula_trees as formula_trees
from xor_mi.truth._formulas import packed_input as packed_input
from xor_mi.truth._function import BooleanFunction as BooleanFunction
from xor_mi.truth._function import Tables as Tables
from xor_mi.truth._function import complement_name as complement_name
from xor_mi.truth._function import name_of_bits as name_of_bits
from xor_mi.truth._gates import GATES as GATES
from xor_mi.truth._gates import MAX_INPUTS as MAX_INPUTS
from xor_mi.truth._gates import ArrayLike as ArrayLike
from xor_mi.truth._gates import Row as Row
from xor_mi.truth._gates import as_bit as as_bit
from xor_mi.truth._gates import as_row as as_row
from xor_mi.truth._gates import gate_name as gate_name
from xor_mi.truth._gates import is_array as is_array
from xor_mi.truth._gates import row_name as row_name
from xor_mi.truth._gates import row_number as row_number
from xor_mi.truth._gates import row_numbers as row_numbers
from xor_mi.truth._gates import truth_rows as truth_rows
from xor_mi.truth._minimal import algebraic_normal_form as algebraic_normal_form
from xor_mi.truth._npn import NPNClass as NPNClass
from xor_mi.truth._npn import npn_class as npn_class
from xor_mi.truth._npn import npn_classes as npn_classes
from xor_mi.truth._threshold_functions import MONOTONE_ACTIVATIONS as MONOTONE_ACTIVATIONS
from xor_mi.truth._threshold_functions import threshold_functions as threshold_functions
from xor_mi.truth._threshold_proof import ThresholdProof as ThresholdProof
from xor_mi.truth._threshold_proof import threshold_proof as threshold_proof
from xor_mi.truth._threshold_tables import (
    count_threshold_functions as count_threshold_functions,
)
from xor_mi.truth._threshold_tables import threshold_tables as threshold_tables
