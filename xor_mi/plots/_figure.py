"""any finding -> its picture: what `finding.plot()` calls."""

from collections.abc import Callable
from functools import singledispatch, wraps
from inspect import signature
from typing import Any

import plotly.graph_objects as go

from xor_mi.circuits import Circuit, ControlRates
from xor_mi.errors import XorMiError, unknown
from xor_mi.exam import Grades, Truth
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
from xor_mi.plots._exam import grades_figure, truth_by_size
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
    edge_masks_bars,
    node_masks_heatmap,
    subcircuit_lattice,
)
from xor_mi.plots._sliders import weight_slider
from xor_mi.plots._stuck import stuck_figure
from xor_mi.plots._training import loss_curve
from xor_mi.plots._trajectory import trajectory_figure
from xor_mi.plots._weights import conditions_figure, slack_figure
from xor_mi.population import Stuck, Trajectory
from xor_mi.search import (
    AlignmentSearch,
    ConventionCounts,
    EdgeMasks,
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
    >>> print(figure(activations(textbook_xor())).layout.title.text)
    Before activation: h0.0 above 0 on 01, 10 and 11; h0.1<br>above 0 on 11

    Raises:
        XorMiError: a finding without a picture, a value that is not a finding, or an option that
            its function does not have.
    """
    kind = type(finding).__name__
    if not isinstance(finding, Finding):
        raise XorMiError(
            f"a {kind} is not a finding; give what an analysis returns, such as patch_sweep(model)"
        )
    has_table = type(finding).frame is not Finding.frame
    instead = "call .frame() for its numbers" if has_table else "print it"
    article = "an" if kind[0] in "AEIOU" else "a"
    raise XorMiError(f"{article} {kind} has no picture; {instead}")


def _circuit_figure(circuit: Circuit) -> go.Figure:
    """The network the circuit was found in, with its weights and gates."""
    return network_diagram(circuit.model, circuit)


def _draw(kind: type[Finding], function: Callable[..., go.Figure]) -> None:
    """Let this function, with its options, draw findings of this class."""
    _, *known = signature(function).parameters

    @wraps(function)
    def drawn(finding: Finding, /, **options: Any) -> go.Figure:
        for name in options:
            if name not in known:
                raise unknown(
                    "option", name, known, where=f"the picture of a {kind.__name__} takes"
                )
        return function(finding, **options)

    figure.register(kind, drawn)


# by the class of the finding, in the order of the pipeline
_draw(TrainResult, loss_curve)
_draw(Activations, activations_heatmap)
_draw(Comparison, comparison_heatmap)
_draw(Contributions, contributions_heatmap)
_draw(DifferenceExplanation, contributions_heatmap)
_draw(PatchSweep, patching_heatmap)
_draw(AblationSweep, ablation_heatmap)
_draw(Attribution, attribution_heatmap)
_draw(MethodScores, method_scores_bars)
_draw(InterchangeAccuracy, interchange_accuracy_bars)
_draw(InputPath, path_figure)
_draw(InputPlane, plane_figure)
_draw(Regions, regions_figure)
_draw(Boundary, boundary_figure)
_draw(Circuit, _circuit_figure)
_draw(ControlRates, control_rates_figure)
_draw(GateScan, gate_scan_figure)
_draw(SubcircuitSearch, subcircuit_lattice)
_draw(NodeMasks, node_masks_heatmap)
_draw(EdgeMasks, edge_masks_bars)
_draw(AlignmentSearch, alignments_figure)
_draw(ConventionCounts, counts_figure)
_draw(IdentifiabilityReport, counts_figure)
_draw(Grades, grades_figure)
_draw(Truth, truth_by_size)
_draw(Conditions, conditions_figure)
_draw(Slack, slack_figure)
_draw(Stuck, stuck_figure)
_draw(WeightSweep, weight_slider)
_draw(Trajectory, trajectory_figure)
