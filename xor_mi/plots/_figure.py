"""any finding -> its picture: what `finding.plot()` calls."""

from functools import singledispatch
from typing import Any

import plotly.graph_objects as go

from xor_mi.circuits import Circuit, ControlRates
from xor_mi.errors import XorMiError
from xor_mi.finding import Finding
from xor_mi.gate_scan import GateScan
from xor_mi.geometry import Boundary, InputPath, InputPlane, Regions
from xor_mi.interventions import (
    AblationSweep,
    Attribution,
    InterchangeAccuracy,
    MethodScores,
    PatchSweep,
)
from xor_mi.margins import Conditions, Slack, WeightSweep
from xor_mi.plots._heatmaps import (
    ablation_heatmap,
    activations_heatmap,
    attribution_heatmap,
    comparison_heatmap,
    contributions_heatmap,
    patching_heatmap,
)
from xor_mi.plots._network import network_diagram
from xor_mi.plots._plane import boundary_figure, path_figure, plane_figure, regions_figure
from xor_mi.plots._scores import (
    control_rates_figure,
    gate_scan_figure,
    interchange_accuracy_bars,
    method_scores_bars,
)
from xor_mi.plots._search import (
    alignments_figure,
    counts_figure,
    node_masks_heatmap,
    subcircuit_lattice,
)
from xor_mi.plots._sliders import weight_slider
from xor_mi.plots._training import loss_curve
from xor_mi.plots._weights import conditions_figure, slack_figure
from xor_mi.search import (
    AlignmentSearch,
    ConventionCounts,
    IdentifiabilityReport,
    NodeMasks,
    SubcircuitSearch,
)
from xor_mi.terms import Contributions, DifferenceExplanation
from xor_mi.training import TrainResult
from xor_mi.values import Activations, Comparison


@singledispatch
def figure(finding: object, /, **options: Any) -> go.Figure:  # noqa: ARG001 (the kind's own)
    """The picture of a finding; each class has one function of this room, whose options these are.

    >>> from xor_mi.handmade import textbook_xor
    >>> from xor_mi.values import activations
    >>> figure(activations(textbook_xor())).layout.title.text
    'Activations on every input'

    Raises:
        XorMiError: a finding that no picture is drawn of, or something that is not a finding.
    """
    kind = type(finding).__name__
    if not isinstance(finding, Finding):
        raise XorMiError(
            f"a {kind} is not a finding; give what an analysis returns, such as patch_sweep(model)"
        )
    has_table = type(finding).frame is not Finding.frame
    instead = "call .frame() for its numbers" if has_table else "print it"
    raise XorMiError(f"no picture is drawn of a {kind}; {instead}")


def _circuit_figure(circuit: Circuit) -> go.Figure:
    """The network the circuit was found in, with its weights and gates."""
    return network_diagram(circuit.model, circuit)


# by the class of the finding, in the order of the pipeline
figure.register(TrainResult, loss_curve)
figure.register(Activations, activations_heatmap)
figure.register(Comparison, comparison_heatmap)
figure.register(Contributions, contributions_heatmap)
figure.register(DifferenceExplanation, contributions_heatmap)
figure.register(PatchSweep, patching_heatmap)
figure.register(AblationSweep, ablation_heatmap)
figure.register(Attribution, attribution_heatmap)
figure.register(MethodScores, method_scores_bars)
figure.register(InterchangeAccuracy, interchange_accuracy_bars)
figure.register(InputPath, path_figure)
figure.register(InputPlane, plane_figure)
figure.register(Regions, regions_figure)
figure.register(Boundary, boundary_figure)
figure.register(Circuit, _circuit_figure)
figure.register(ControlRates, control_rates_figure)
figure.register(GateScan, gate_scan_figure)
figure.register(SubcircuitSearch, subcircuit_lattice)
figure.register(NodeMasks, node_masks_heatmap)
figure.register(AlignmentSearch, alignments_figure)
figure.register(ConventionCounts, counts_figure)
figure.register(IdentifiabilityReport, counts_figure)
figure.register(Conditions, conditions_figure)
figure.register(Slack, slack_figure)
figure.register(WeightSweep, weight_slider)
