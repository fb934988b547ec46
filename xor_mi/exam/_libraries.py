"""a problem -> networks that other people's libraries can run; what these find there -> scores.

A library is graded without changes. It gets the network in float64, with the biases that the
convention keeps; the metric as the number to explain; and, if it takes a baseline, the value that a
dropped input or edge carries. Its runs are counted.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short
from xor_mi.exam._exact_methods import ElementScores
from xor_mi.exam._problem import ExamProblem, Over
from xor_mi.model import HookedMLP


def library(name: str) -> ModuleType:
    """A package of the extra `exam`.

    Raises:
        XorMiError: it is not installed or does not load; the error has the command that installs
            it.
    """
    package = name.split(".")[0]
    if find_spec(package) is None:
        raise XorMiError(
            f"this method needs {package}, which is not installed: pip install 'xor-mi[exam]'"
        )
    try:
        # autolrp draws random numbers when it is imported; the caller's generator must not change
        with torch.random.fork_rng(devices=[]):
            return import_module(name)
    except ImportError as error:
        raise XorMiError(
            f"{package} is installed but does not load ({cut_short(str(error), at_most=200)}): "
            f"pip install --upgrade {package}"
        ) from error


def hooked_copy(problem: ExamProblem, over: Over) -> HookedMLP:
    """The network with the convention's biases, in float64; over edges, with its edge hook on."""
    layers = [
        (torch.from_numpy(layer.weight), torch.from_numpy(layer.bias))
        for layer in problem.numbers.layers
    ]
    network = problem.model.with_weights(layers, dtype="float64", device="cpu")
    network.set_use_edge_result(over == "edges")
    return network


def hook_points(network: HookedMLP, problem: ExamProblem, over: Over) -> list[nn.Module]:
    """The modules through which the elements' values pass, layer by layer: each element once."""
    elements = problem.elements(over)
    names = dict.fromkeys(network.hook_site(element)[0] for element in elements)
    return [network.hook_dict[name] for name in names]


_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}
"""Activation -> the module that captum's DeepLift knows for it."""


class ModuleTwin(nn.Module):
    """The same network, each activation a module of its own, as captum's DeepLift needs it.

    Attributes:
        of_edges: per linear layer a module that passes the products of weights and values on,
            [row, target, source].
        of_units: per linear layer its activation; those of hidden layers give the units' values.

    Raises:
        XorMiError: an activation for which DeepLift knows no module.
    """

    def __init__(self, problem: ExamProblem) -> None:
        super().__init__()
        numbers, cfg = problem.numbers, problem.model.cfg
        self._layers = [
            (torch.from_numpy(layer.weight), torch.from_numpy(layer.bias))
            for layer in numbers.layers
        ]
        self.of_edges = nn.ModuleList([nn.Identity() for _ in numbers.layers])
        names = [cfg.act_name(number) for number in range(len(numbers.layers))]
        self.of_units = nn.ModuleList([_as_module(name) for name in names])

    def forward(self, inputs: Float[Tensor, "row d_in"]) -> Float[Tensor, "row d_out"]:
        """Inputs [row, d_in] -> outputs [row, d_out]."""
        values = inputs
        for (weight, bias), of_edges, activation in zip(
            self._layers, self.of_edges, self.of_units, strict=True
        ):
            products = of_edges(weight * values[:, None, :])
            values = activation(products.sum(-1) + bias)
        return values

    def places(self, over: Over) -> list[nn.Module]:
        """As `hook_points`: the modules whose outputs are the elements' values."""
        return list(self.of_edges) if over == "edges" else list(self.of_units)[:-1]


def _as_module(name: str) -> nn.Module:
    if name == "identity":
        return nn.Identity()
    if name not in _MODULES:
        raise XorMiError(
            f"captum's DeepLift knows no module for the activation {name}; it knows "
            f"{', '.join(_MODULES)}"
        )
    return _MODULES[name]()


class MetricOf(nn.Module):
    """inputs -> the problem's metric, which captum explains. Its runs are counted."""

    def __init__(self, problem: ExamProblem, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._problem = problem

    def forward(self, inputs: Float[Tensor, "run d_in"]) -> Float[Tensor, " run"]:
        """All rows of the problem, several times over, [time * row, d_in] -> [time * row]."""
        outputs = counted(self._problem, self.network(inputs))
        by_row = outputs.unflatten(0, (-1, self._problem.n_rows))
        return self._problem.metric_of(by_row).flatten()


def counted(problem: ExamProblem, outputs: Tensor) -> Tensor:
    """Count outputs [run, d_out] of another network than `problem.model`, and their slopes.

    One run is one row.
    """
    problem.cost.forwards += len(outputs) / problem.n_rows

    def count_backwards(gradient: Tensor) -> None:
        problem.cost.backwards += len(gradient) / problem.n_rows

    if outputs.requires_grad:
        outputs.register_hook(count_backwards)
    return outputs


def mean_effects(of_rows: Sequence[Tensor]) -> ElementScores:
    """A library's attributions of each row, [row, ...] per place -> scores, [element].

    A score is the mean of the absolute values over rows.
    """
    together = torch.cat([one.detach().flatten(1) for one in of_rows], dim=1)
    # captum's Shapley values are float32
    return together.double().abs().mean(0).numpy()
