"""findings -> plotly Figure. Functions return the figure and never show it.

Colours diverge around zero (blue positive, red negative) and never carry meaning alone: cells and
edges have their numbers, signs their dashes, verdicts their patterns and words.
"""

from xor_mi.plots._atlas import atlas_figure as atlas_figure
from xor_mi.plots._exam import GradesKind as GradesKind
from xor_mi.plots._exam import failures_figure as failures_figure
from xor_mi.plots._exam import faithfulness_curves as faithfulness_curves
from xor_mi.plots._exam import grades_board as grades_board
from xor_mi.plots._exam import grades_figure as grades_figure
from xor_mi.plots._exam import truth_by_size as truth_by_size
from xor_mi.plots._figure import figure as figure
from xor_mi.plots._frames import SliderFrame as SliderFrame
from xor_mi.plots._frames import path_frames as path_frames
from xor_mi.plots._frames import weight_frames as weight_frames
from xor_mi.plots._grid import grid_heatmap as grid_heatmap
from xor_mi.plots._heatmaps import ablation_heatmap as ablation_heatmap
from xor_mi.plots._heatmaps import activations_heatmap as activations_heatmap
from xor_mi.plots._heatmaps import attribution_heatmap as attribution_heatmap
from xor_mi.plots._heatmaps import comparison_heatmap as comparison_heatmap
from xor_mi.plots._heatmaps import contributions_heatmap as contributions_heatmap
from xor_mi.plots._heatmaps import interchange_matrix as interchange_matrix
from xor_mi.plots._heatmaps import patching_heatmap as patching_heatmap
from xor_mi.plots._network import network_diagram as network_diagram
from xor_mi.plots._plane import boundary_figure as boundary_figure
from xor_mi.plots._plane import input_plane as input_plane
from xor_mi.plots._plane import path_figure as path_figure
from xor_mi.plots._plane import plane_figure as plane_figure
from xor_mi.plots._plane import regions_figure as regions_figure
from xor_mi.plots._population import family_weights as family_weights
from xor_mi.plots._population import gate_shares_figure as gate_shares_figure
from xor_mi.plots._population import success_curve as success_curve
from xor_mi.plots._scores import control_rates_figure as control_rates_figure
from xor_mi.plots._scores import gate_scan_figure as gate_scan_figure
from xor_mi.plots._scores import interchange_accuracy_bars as interchange_accuracy_bars
from xor_mi.plots._scores import method_scores_bars as method_scores_bars
from xor_mi.plots._search import alignments_figure as alignments_figure
from xor_mi.plots._search import counts_figure as counts_figure
from xor_mi.plots._search import edge_masks_bars as edge_masks_bars
from xor_mi.plots._search import node_masks_heatmap as node_masks_heatmap
from xor_mi.plots._search import subcircuit_lattice as subcircuit_lattice
from xor_mi.plots._sliders import input_slider as input_slider
from xor_mi.plots._sliders import weight_slider as weight_slider
from xor_mi.plots._stuck import stuck_figure as stuck_figure
from xor_mi.plots._training import loss_curve as loss_curve
from xor_mi.plots._trajectory import event_steps_figure as event_steps_figure
from xor_mi.plots._trajectory import families_figure as families_figure
from xor_mi.plots._trajectory import trajectory_figure as trajectory_figure
from xor_mi.plots._weights import conditions_figure as conditions_figure
from xor_mi.plots._weights import slack_figure as slack_figure
