"""captum's attribution methods, a few lines each, over hidden units and over edges.

captum (Kokhlikyan et al. 2020, arXiv 2009.07896) is graded without changes. There are two families:

- Features. The mask of units or edges is the input that captum explains, with 0 as the baseline: an
  element whose mask is 0 is dropped as the problem's convention says.
- Layers. captum's own layer methods run at the network's hook points, where an edge has a place
  too: the product of its weight and its source. Their baseline is the input whose numbers are all
  what a dropped input carries; so hidden units start from their values on that input, and not from
  what a dropped unit carries. Layer gradient x activation always has the baseline 0.

`LayerDeepLift` replaces the slope of each activation that is a module by the ratio of differences.
It does not see a function such as `torch.relu`, and without any warning takes its slope at the
input; a `HookedMLP` and most models of TransformerLens use such functions. The methods
`captum_deeplift` are graded on such a network, and `captum_deeplift_modules` on its twin of
modules.

Left out: `KernelShap` and `Lime` need scikit-learn, which captum does not install.
"""

import warnings
from collections.abc import Callable
from functools import partial
from math import factorial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xor_mi.errors import require_at_most
from xor_mi.exam._exact_methods import ElementScores
from xor_mi.exam._libraries import (
    MetricOf,
    ModuleTwin,
    counted,
    hook_points,
    hooked_copy,
    library,
    mean_effects,
)
from xor_mi.exam._method import ExamMethod
from xor_mi.exam._problem import ExamProblem, Over, require_slopes, run_with_edges
from xor_mi.exam._slopes import with_gradients

MAX_ORDERS = factorial(6)
"""The most orders of units through which captum's exact Shapley values may go."""


def feature_ablation(problem: ExamProblem, over: Over) -> ElementScores:
    """The change when one element is dropped: exact noising."""
    method = library("captum.attr").FeatureAblation(partial(_with_features, problem, over))
    return _of_features(problem, over, method.attribute)


@with_gradients
def integrated_gradients(problem: ExamProblem, over: Over) -> ElementScores:
    """The slope in the mask, averaged from nothing kept to everything kept, in captum's 50 steps.

    Sundararajan, Taly and Yan 2017, arXiv 1703.01365.

    Raises:
        XorMiError: a metric without slopes.
    """
    require_slopes(problem)
    method = library("captum.attr").IntegratedGradients(partial(_with_features, problem, over))
    return _of_features(problem, over, method.attribute)


def shapley_values(problem: ExamProblem, over: Over) -> ElementScores:
    """Shapley values by going through every order of the elements.

    Castro, Gómez and Tejada 2009.

    Raises:
        XorMiError: more than 6 elements.
    """
    n_elements = len(problem.elements(over))
    require_at_most(
        factorial(n_elements),
        MAX_ORDERS,
        what=f"the orders of {n_elements} {over} that captum's ShapleyValues runs",
        do="take captum_shapley_sampling, or the exact values of a method of our own",
    )
    method = library("captum.attr").ShapleyValues(_looked_up(problem, over))
    return _of_features(problem, over, partial(method.attribute, perturbations_per_eval=n_elements))


def _looked_up(problem: ExamProblem, over: Over) -> Callable[[Tensor], Tensor]:
    """As `_with_features`, for masks of 0 and 1: every set of elements is run only once."""
    n_elements = len(problem.elements(over))
    powers = 2 ** torch.arange(n_elements)
    sets = torch.arange(2**n_elements)[:, None] & powers > 0
    kept = problem.edges_between(sets.double()) if over == "units" else sets
    values = problem.values(kept)

    def of_features(features: Tensor) -> Tensor:
        of_set = values[(features.long() * powers).sum(-1)]
        rows = torch.arange(problem.n_rows).repeat(len(features) // problem.n_rows)
        return of_set.gather(1, rows[:, None])[:, 0]

    return of_features


def shapley_sampling(problem: ExamProblem, over: Over) -> ElementScores:
    """Shapley values estimated from captum's 25 random orders, seeded by the problem.

    Castro, Gómez and Tejada 2009; Štrumbelj and Kononenko 2010.
    """
    method = library("captum.attr").ShapleyValueSampling(partial(_with_features, problem, over))
    n_elements = len(problem.elements(over))
    seed = int(problem.generator(f"captum_shapley_sampling of {over}").integers(2**31))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _of_features(
            problem, over, partial(method.attribute, perturbations_per_eval=n_elements)
        )


def _with_features(
    problem: ExamProblem, over: Over, features: Float[Tensor, "run element"]
) -> Float[Tensor, " run"]:
    """The metric of runs with these masks of elements.

    Args:
        features: masks for all rows, several times over, [time * row, element].
    """
    kept = problem.edges_between(features) if over == "units" else features
    assert isinstance(kept, Tensor)
    by_row = kept.unflatten(0, (-1, problem.n_rows))
    outputs = run_with_edges(problem.numbers, by_row, problem.inputs)
    return problem.metric_of(counted(problem, outputs.flatten(0, 1)).view_as(outputs)).flatten()


def _of_features(
    problem: ExamProblem, over: Over, attribute: Callable[..., Tensor]
) -> ElementScores:
    """Explain everything kept on every row, against nothing kept."""
    everything = torch.ones(problem.n_rows, len(problem.elements(over)), dtype=torch.float64)
    # with gradients: captum warns if it has to switch them on itself
    everything.requires_grad_()
    return mean_effects([attribute(everything, baselines=torch.zeros_like(everything))])


Layer = Callable[[nn.Module, nn.Module], Tensor]
"""(module that computes the metric, a place in it) -> the values' attribution, [row, ...]."""


@with_gradients
def layer_integrated_gradients(problem: ExamProblem, over: Over) -> ElementScores:
    """The slope averaged along the line between a layer's values on the baseline and on the row.

    Sundararajan, Taly and Yan 2017, arXiv 1703.01365.

    Raises:
        XorMiError: a metric without slopes.
    """
    attr = library("captum.attr")
    inputs, baselines = _inputs(problem)

    def of_layer(metric: nn.Module, place: nn.Module) -> Tensor:
        return attr.LayerIntegratedGradients(metric, place).attribute(inputs, baselines)

    return _at_hooks(problem, over, of_layer)


@with_gradients
def conductance(problem: ExamProblem, over: Over) -> ElementScores:
    """The part of the integrated gradients of the inputs that flows through each place.

    Dhamdhere, Sundararajan and Yan 2018, arXiv 1805.12233.

    Raises:
        XorMiError: a metric without slopes.
    """
    attr = library("captum.attr")
    inputs, baselines = _inputs(problem)

    def of_layer(metric: nn.Module, place: nn.Module) -> Tensor:
        return attr.LayerConductance(metric, place).attribute(inputs, baselines)

    return _at_hooks(problem, over, of_layer)


@with_gradients
def gradient_x_activation(problem: ExamProblem, over: Over) -> ElementScores:
    """The slope on the row times the value there.

    Shrikumar et al. 2016, arXiv 1605.01713.


    Raises:
        XorMiError: a metric without slopes.
    """
    attr = library("captum.attr")
    inputs, _ = _inputs(problem)

    def of_layer(metric: nn.Module, place: nn.Module) -> Tensor:
        return attr.LayerGradientXActivation(metric, place).attribute(inputs)

    return _at_hooks(problem, over, of_layer)


@with_gradients
def deeplift(problem: ExamProblem, over: Over) -> ElementScores:
    """DeepLift on a network whose activations are functions: wrong below them, without a warning.

    Shrikumar, Greenside and Kundaje 2017, arXiv 1704.02685. See `deeplift_modules`.

    Raises:
        XorMiError: a metric without slopes.
    """
    network = hooked_copy(problem, over)
    return _deeplift(problem, network, hook_points(network, problem, over))


@with_gradients
def deeplift_modules(problem: ExamProblem, over: Over) -> ElementScores:
    """DeepLift on the same network made of modules, which captum sees.

    Shrikumar, Greenside and Kundaje 2017, arXiv 1704.02685.

    Raises:
        XorMiError: a metric without slopes, or an activation for which DeepLift knows no module.
    """
    twin = ModuleTwin(problem)
    return _deeplift(problem, twin, twin.places(over))


def _deeplift(problem: ExamProblem, network: nn.Module, places: list[nn.Module]) -> ElementScores:
    attr = library("captum.attr")
    inputs, baselines = _inputs(problem)

    def of_layer(metric: nn.Module, place: nn.Module) -> Tensor:
        with warnings.catch_warnings():
            # captum warns on every network; its hooks are on a copy
            warnings.filterwarnings("ignore", message=r"\s*Setting forward, backward hooks")
            return attr.LayerDeepLift(metric, place).attribute(inputs, baselines)

    return _at_places(problem, network, places, of_layer)


def _inputs(problem: ExamProblem) -> tuple[Tensor, Tensor]:
    """The rows, and per row the baseline of what dropped inputs carry, [row, d_in] each."""
    inputs = problem.inputs.clone().requires_grad_()
    dropped = torch.from_numpy(problem.numbers.layers[0].carried)
    return inputs, dropped.expand_as(inputs).clone().requires_grad_()


def _at_hooks(problem: ExamProblem, over: Over, of_layer: Layer) -> ElementScores:
    network = hooked_copy(problem, over)
    return _at_places(problem, network, hook_points(network, problem, over), of_layer)


def _at_places(
    problem: ExamProblem, network: nn.Module, places: list[nn.Module], of_layer: Layer
) -> ElementScores:
    require_slopes(problem)
    metric = MetricOf(problem, network)
    return mean_effects([of_layer(metric, place) for place in places])


@runtime_checkable
class _Run(Protocol):
    """A method for both units and edges."""

    def __call__(self, problem: ExamProblem, over: Over) -> ElementScores: ...


def _both(name: str, run: _Run, what: str) -> list[ExamMethod]:
    """A method over units, and the same over edges."""
    source = f"captum (Kokhlikyan et al. 2020, arXiv 2009.07896): {what}"
    overs: tuple[Over, Over] = ("units", "edges")
    return [
        ExamMethod(
            name=name if over == "units" else f"{name}_edges",
            run=partial(run, over=over),
            over=over,
            gives="scores",
            source=source,
            needs="captum",
        )
        for over in overs
    ]


_DEEPLIFT = "Shrikumar, Greenside and Kundaje 2017, arXiv 1704.02685"

CAPTUM_METHODS: tuple[ExamMethod, ...] = (
    *_both("captum_feature_ablation", feature_ablation, "FeatureAblation, exact noising"),
    *_both(
        "captum_integrated_gradients",
        integrated_gradients,
        "IntegratedGradients of the mask; Sundararajan, Taly and Yan 2017, arXiv 1703.01365",
    ),
    # every order of the edges would take too long
    *_both("captum_shapley_values", shapley_values, "ShapleyValues; Castro et al. 2009")[:1],
    *_both("captum_shapley_sampling", shapley_sampling, "ShapleyValueSampling, 25 orders"),
    *_both(
        "captum_layer_integrated_gradients",
        layer_integrated_gradients,
        "LayerIntegratedGradients; Sundararajan, Taly and Yan 2017, arXiv 1703.01365",
    ),
    *_both(
        "captum_conductance",
        conductance,
        "LayerConductance; Dhamdhere, Sundararajan and Yan 2018, arXiv 1805.12233",
    ),
    *_both(
        "captum_gradient_x_activation",
        gradient_x_activation,
        "LayerGradientXActivation; Shrikumar et al. 2016, arXiv 1605.01713",
    ),
    *_both(
        "captum_deeplift",
        deeplift,
        f"LayerDeepLift; {_DEEPLIFT}; on activations that are functions, which it does not see: "
        "it takes their slope instead, without a warning, and is graded like that",
    ),
    *_both(
        "captum_deeplift_modules",
        deeplift_modules,
        f"LayerDeepLift; {_DEEPLIFT}; on a twin whose activations are modules",
    ),
)
"""The methods of captum over units, and the same over edges."""
