# The pipeline, from top to bottom: a function, a network, a look inside, an intervention, a proof,
# every other explanation, many networks. Names first, then the rooms that hold the rest.

# what everything is named by, and refused with
from .errors import XorMiError as XorMiError
from .graph import Edge as Edge
from .graph import Site as Site
from .graph import Unit as Unit
from .truth import BooleanFunction as BooleanFunction

# a network
from .model import HookedMLP as HookedMLP
from .model import HookedMLPConfig as HookedMLPConfig
from .training import TrainConfig as TrainConfig
from .training import train as train
from .training import train_population as train_population

# look inside
from .values import activations as activations
from .values import compare as compare
from .terms import contributions as contributions
from .terms import explain_difference as explain_difference

# intervene
from .interventions import HighLevelModel as HighLevelModel
from .interventions import ablation_sweep as ablation_sweep
from .interventions import interchange_accuracy as interchange_accuracy
from .interventions import patch as patch
from .interventions import patch_sweep as patch_sweep
from .gate_scan import scan_gates as scan_gates
from .gate_scan import find_gates as find_gates

# name and prove
from .circuits import Circuit as Circuit
from .circuits import diagnose as diagnose
from .circuits import identify_circuit as identify_circuit

# is it the only explanation?
from .search import find_subcircuits as find_subcircuits
from .search import identifiability_report as identifiability_report

# many networks
from .population import census as census
from .population import trajectory as trajectory

# how many units are needed
from .least_units import atlas as atlas
from .least_units import least_hidden_units as least_hidden_units

# the rooms, in the order in which data flows through them
from . import errors as errors
from . import reading as reading
from . import saving as saving
from . import progress as progress
from . import kernels as kernels
from . import finding as finding
from . import truth as truth
from . import graph as graph
from . import kinds as kinds
from . import model as model
from . import metrics as metrics
from . import training as training
from . import values as values
from . import terms as terms
from . import interventions as interventions
from . import gate_scan as gate_scan
from . import geometry as geometry
from . import handmade as handmade
from . import margins as margins
from . import circuits as circuits
from . import search as search
from . import population as population
from . import least_units as least_units
from . import exam as exam
from . import zoo as zoo
from . import plots as plots
from . import bench as bench
from . import report as report
from . import exam_page as exam_page
from . import trajectory_page as trajectory_page
from . import testing as testing
from . import widgets as widgets

__version__: str
