"""sites x inputs x values -> one batched forward -> effects, on any hooked model.

Patching, ablation, interchange, paths and attribution.

Activation patching runs the network on one input with the activation at one site taken from its run
on another. Denoising: the corrupted run with a clean activation (what restores the answer; finds
every part of an OR). Noising: the clean run with a corrupted activation (what breaks it; finds
every part of an AND). The two are not mirror images (Heimersheim and Nanda 2024, arXiv 2404.15255).

Results are laid out [metric, site, pair], so the first metric alone is [site, pair], and of
ablation [site, row].

Nothing of the model is changed: hooks are TransformerLens' own and are removed afterwards, also if
one raises; weights, mode, the user's own hooks and the caller's tensors do not change. Raw effects
come first. The usual recovered fraction, (patched - corrupted) / (clean - corrupted), has no
meaning where clean and corrupted are decided alike, as 00 and 11 under XOR: there it is empty and
`why_no_fraction` says so. Values outside [0, 1] are not a mistake.
"""

from xor_mi.graph import Site as Site
from xor_mi.interventions._ablation import AblationSweep as AblationSweep
from xor_mi.interventions._ablation import ablation_sweep as ablation_sweep
from xor_mi.interventions._accuracy import InterchangeAccuracy as InterchangeAccuracy
from xor_mi.interventions._attribution import Attribution as Attribution
from xor_mi.interventions._attribution import attribute as attribute
from xor_mi.interventions._high_level import HighLevelModel as HighLevelModel
from xor_mi.interventions._interchange import Interchange as Interchange
from xor_mi.interventions._interchange import interchange as interchange
from xor_mi.interventions._interchange import interchange_accuracy as interchange_accuracy
from xor_mi.interventions._method_scores import MethodScore as MethodScore
from xor_mi.interventions._method_scores import MethodScores as MethodScores
from xor_mi.interventions._method_scores import score_methods as score_methods
from xor_mi.interventions._methods import METHODS as METHODS
from xor_mi.interventions._methods import Method as Method
from xor_mi.interventions._pairs import all_pairs as all_pairs
from xor_mi.interventions._pairs import differing_pairs as differing_pairs
from xor_mi.interventions._patching import PatchEffect as PatchEffect
from xor_mi.interventions._patching import PatchSweep as PatchSweep
from xor_mi.interventions._patching import patch as patch
from xor_mi.interventions._patching import patch_sweep as patch_sweep
from xor_mi.interventions._paths import path_sweep as path_sweep
from xor_mi.interventions._paths import paths_from as paths_from
from xor_mi.interventions._placed import Subspace as Subspace
from xor_mi.interventions._readout import Decided as Decided
from xor_mi.interventions._sites import Coordinates as Coordinates
from xor_mi.interventions._sites import SiteKind as SiteKind
from xor_mi.interventions._sites import SiteSet as SiteSet
from xor_mi.interventions._sites import site_of as site_of
from xor_mi.interventions._sites import sites as sites
from xor_mi.interventions._sites import subsets as subsets
from xor_mi.interventions._subspaces import das_accuracy as das_accuracy
from xor_mi.interventions._subspaces import subspace_accuracy as subspace_accuracy
