"""a Boolean function -> how many hidden units it needs, with a network that has them and the proof.

Networks have one hidden layer; a row is decided 1 if the output is above 0, and no row lies on the
threshold.
"""

from xor_mi.least_units._atlas import ATLAS_COLUMNS as ATLAS_COLUMNS
from xor_mi.least_units._atlas import AtlasUnit as AtlasUnit
from xor_mi.least_units._atlas import atlas as atlas
from xor_mi.least_units._gate_sets import GateSets as GateSets
from xor_mi.least_units._gate_sets import gate_sets as gate_sets
from xor_mi.least_units._least import LeastUnits as LeastUnits
from xor_mi.least_units._least import WidthAnswer as WidthAnswer
from xor_mi.least_units._least import least_hidden_units as least_hidden_units
from xor_mi.least_units._units import UnitName as UnitName
