"""a network, its rows, a metric and a Convention -> ExamProblem, the question to a method.

A method for finding circuits is a function of one ExamProblem. It may run the network with only
some of its edges or units as often as it likes, and the cost is counted; it may also use
`problem.model` with any tool for TransformerLens models. It must not look at the truth, which is
found elsewhere, by exhaustion.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from xor_mi.errors import XorMiError, require_kind, shown, unknown, whole_number
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.kinds import Pairs, Target
from xor_mi.model import HookedMLP
from xor_mi.search import AnyConvention, Convention, Problem
from xor_mi.truth import as_row, truth_rows

MetricName = Literal["margin", "accuracy"]
"""A number for what a subcircuit does on a row.

"margin": how far the output is on the right side of the threshold; the least over the decisions.
"accuracy": 1 if every decision on the row is right, otherwise 0; it has no gradient.
"""
RowMetric = Callable[[Float[Tensor, "*batch row d_out"]], Float[Tensor, "*batch row"]]
"""A custom metric: float64 outputs [..., row, output] -> a number per row, [..., row]."""
Over = Literal["edges", "units"]
"""The elements of a circuit: edges, or hidden units with all edges between them."""


def require_over(over: object) -> None:
    """Refuse anything but "edges" and "units".

    Raises:
        XorMiError: naming the two.
    """
    if not isinstance(over, str) or over not in get_args(Over):
        raise unknown("kind of element", over, get_args(Over), where="kinds are")


@dataclass
class Cost:
    """The cost of a method, in forwards of the network over all rows of the problem.

    A forward over half of the rows counts as half. A backward is one gradient of such a forward.
    """

    forwards: float = 0.0
    backwards: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class ExamProblem:
    """The question to a method: which edges or units of this network do its task?

    Attributes:
        numbers: the network, its target and the convention in NumPy float64.
        metric (`MetricName` or `RowMetric`): a number for what a subcircuit does on a row.
        pairs: (clean, corrupted) rows, by number, for methods that patch from one input to another.
        seed: the seed of a method's random numbers; see `generator`.
        cost: the runs so far.
    """

    numbers: Problem = field(repr=False)
    metric: MetricName | RowMetric
    pairs: tuple[tuple[int, int], ...] = field(repr=False)
    seed: int
    cost: Cost = field(default_factory=Cost)

    @classmethod
    def of(
        cls,
        model: HookedMLP,
        target: Target | None = None,
        *,
        convention: AnyConvention = None,
        metric: MetricName | RowMetric = "margin",
        pairs: Pairs | None = None,
        seed: int = 0,
    ) -> "ExamProblem":
        """Check the arguments and make the problem.

        Args:
            target: the function that is to be computed; by default the network's own target.
            pairs: (clean, corrupted) rows; by default every ordered pair of rows with different
                labels.

        >>> from xor_mi.handmade import textbook_xor
        >>> problem = ExamProblem.of(textbook_xor())
        >>> len(problem.edges), len(problem.units), len(problem.pairs)
        (6, 2, 8)
        >>> problem.values([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]).round(decimals=3).tolist()
        [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, -1.5]]

        Raises:
            XorMiError: an unknown metric, a convention with all_units=False, or a network that a
                search refuses: with hooks, in train mode, with direct connections or without a
                target.
        """
        if not callable(metric) and metric not in get_args(MetricName):
            known = get_args(MetricName)
            raise unknown("metric", metric, known, where="a function of outputs, or one of")
        numbers = Problem.of(model, target, convention)
        if not numbers.convention.all_units:
            raise XorMiError(
                "the convention has all_units=False, under which the whole network is not a "
                "circuit; the exam counts every set: give one with all_units=True"
            )
        return cls(
            numbers=numbers,
            metric=metric,
            pairs=_numbered(pairs, numbers),
            seed=whole_number("seed", seed),
        )

    @property
    def model(self) -> HookedMLP:
        """The network, for any tool that takes a TransformerLens model."""
        return self.numbers.model

    @property
    def convention(self) -> Convention:
        """What a dropped edge carries, which rows there are, and which decisions count as right."""
        return self.numbers.convention

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """The edges in the order of scores: by layer, by target, by source."""
        return tuple(edges_of(self.numbers.sizes))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The hidden units in the order of scores: layer by layer."""
        return tuple(unit for layer in layers_of(self.numbers.sizes)[1:-1] for unit in layer)

    def elements(self, over: Over) -> tuple[Edge, ...] | tuple[Unit, ...]:
        """The edges or the units.

        Raises:
            XorMiError: an `over` that is neither.
        """
        require_over(over)
        return self.edges if over == "edges" else self.units

    @cached_property
    def inputs(self) -> Float[Tensor, "row d_in"]:
        """The network's inputs on every row, float64: the clean rows, then the noisy ones."""
        return torch.from_numpy(self.numbers.rows.copy())

    @cached_property
    def labels(self) -> Int[Tensor, "row decision"]:
        """The right decisions of each row."""
        return torch.from_numpy(self.numbers.labels.copy())

    @property
    def n_rows(self) -> int:
        """How many rows there are to decide, noisy ones included."""
        return len(self.numbers.rows)

    def generator(self, method: str) -> np.random.Generator:
        """The random numbers of one method on this network, the same in every run.

        Raises:
            XorMiError: a name that is not text.
        """
        require_kind("method", method, str, give="the name of the method")
        return np.random.default_rng([self.seed, zlib.crc32(method.encode())])

    def edges_between(self, units: ArrayLike | Tensor) -> NDArray[np.float64] | Tensor:
        """Kept units -> kept edges: an edge is kept if the hidden units at its ends are.

        Args:
            units: 0 or 1, or numbers in between, [..., unit].

        Returns:
            The product of both ends, [..., edge]; for a tensor a tensor, with its gradient.

        Raises:
            XorMiError: another number of units, or values that are not numbers.
        """
        if not isinstance(units, Tensor):
            kept = self.edges_between(_as_numbers("units", units))
            assert isinstance(kept, Tensor)
            return kept.numpy()
        if not units.ndim or units.shape[-1] != len(self.units):
            raise XorMiError(
                f"units has the shape {list(units.shape)}; give [..., unit] with the network's "
                f"{len(self.units)} hidden units, in the order of problem.units"
            )
        # inputs and outputs are always kept: they read one more entry, which is 1
        always = torch.ones_like(units[..., :1])
        with_always = torch.cat([units, always], dim=-1)
        numbers = {unit: number for number, unit in enumerate(self.units)}
        source = [numbers.get(edge.src, len(numbers)) for edge in self.edges]
        target = [numbers.get(edge.dst, len(numbers)) for edge in self.edges]
        return with_always[..., source] * with_always[..., target]

    def outputs(
        self, kept: ArrayLike | Tensor, *, inputs: Float[Tensor, "row d_in"] | None = None
    ) -> Float[Tensor, "mask row d_out"]:
        """The network's outputs on every row when it keeps only some edges. The runs are counted.

        Args:
            kept: which edges each mask keeps, 0 or 1, [mask, edge]. A number in between takes that
                share of the edge's value, and the rest of what a dropped edge carries; so a tensor
                with requires_grad gets a gradient. A unit whose sources are all dropped is dropped
                itself.
            inputs: other inputs than those of the rows, float64, such as points between two rows.

        Raises:
            XorMiError: masks of another number of edges, or inputs of another width.
        """
        masks = self._as_masks(kept)
        self.cost.forwards += len(masks)
        rows = self.inputs if inputs is None else inputs
        if not isinstance(rows, Tensor) or rows.ndim != 2 or rows.shape[1] != self.inputs.shape[1]:
            raise XorMiError(
                f"inputs is {shown(rows)}; give a tensor [row, d_in] with {self.inputs.shape[1]} "
                "numbers a row"
            )
        outputs = run_with_edges(self.numbers, masks, rows.double())
        if outputs.requires_grad:
            outputs.register_hook(self._count_backwards)
        return outputs

    def _count_backwards(self, gradient: Tensor) -> None:
        self.cost.backwards += len(gradient)

    def _as_masks(self, kept: ArrayLike | Tensor) -> Float[Tensor, "mask edge"]:
        if not isinstance(kept, Tensor):
            kept = _as_numbers("kept", kept)
        if kept.ndim != 2 or kept.shape[1] != len(self.edges):
            raise XorMiError(
                f"kept has the shape {list(kept.shape)}; give [mask, edge] with the network's "
                f"{len(self.edges)} edges, in the order of problem.edges"
            )
        return kept.double()

    def values(
        self, kept: ArrayLike | Tensor, *, inputs: Float[Tensor, "row d_in"] | None = None
    ) -> Float[Tensor, "mask row"]:
        """The metric on every row when the network keeps only some edges; see `outputs`."""
        return self.metric_of(self.outputs(kept, inputs=inputs))

    def right(self, kept: ArrayLike | Tensor) -> Bool[Tensor, "mask row"]:
        """Which rows are decided right when the network keeps only some edges; see `outputs`."""
        outputs = self.outputs(kept).detach().numpy()
        return torch.from_numpy(self.numbers.right_rows(outputs))

    def gradient(self, kept: ArrayLike) -> Float[Tensor, "mask row edge"]:
        """The metric's slope in each edge's mask, at each mask, on every row.

        Rows do not mix, so one backward gives the slopes of all rows.

        Raises:
            XorMiError: the metric "accuracy", which is flat, or a custom metric that is flat.
        """
        require_slopes(self)
        masks = self._as_masks(kept)
        self.cost.forwards += len(masks)
        self.cost.backwards += len(masks)
        # also if the caller has gradients off
        with torch.inference_mode(mode=False), torch.enable_grad():
            # a copy of the mask per row, so that each row has its own slope
            of_rows = masks[:, None].repeat(1, self.n_rows, 1).requires_grad_()
            outputs = run_with_edges(self.numbers, of_rows, self.inputs)
            (slopes,) = slopes_of(self.metric_of(outputs), [of_rows])
        return slopes

    def metric_of(self, outputs: Float[Tensor, "*batch row d_out"]) -> Float[Tensor, "*batch row"]:
        """The metric of outputs on all rows of the problem.

        Raises:
            XorMiError: outputs of another shape, or a metric that gives no number per row.
        """
        shape = (self.n_rows, self.numbers.sizes[-1])
        if not isinstance(outputs, Tensor) or outputs.shape[-2:] != shape:
            raise XorMiError(
                f"outputs is {shown(outputs)}; give a tensor [..., row, d_out], here with "
                f"{shape[0]} rows and {shape[1]} outputs"
            )
        if self.metric == "accuracy":
            right = self.numbers.right_rows(outputs.detach().numpy())
            return torch.from_numpy(right).double()
        if self.metric == "margin":
            scores = self.model.rule.scores(outputs)
            bounds = torch.from_numpy(self.numbers.low), torch.from_numpy(self.numbers.high)
            return torch.minimum(scores - bounds[0], bounds[1] - scores).amin(-1)
        assert callable(self.metric)
        values = self.metric(outputs)
        if not isinstance(values, Tensor) or values.shape != outputs.shape[:-1]:
            got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise XorMiError(
                f"the metric gave {got} for outputs {list(outputs.shape)}; give a tensor with a "
                "number per row, [..., row]"
            )
        # booleans and counts are numbers too
        return values if values.is_floating_point() else values.double()

    @contextmanager
    def counting(self) -> Iterator[Cost]:
        """Also count calls of `model` itself, by any tool, while a `with` block runs.

        >>> from xor_mi.handmade import textbook_xor
        >>> problem = ExamProblem.of(textbook_xor())
        >>> with problem.counting() as cost:
        ...     _ = problem.model(problem.model.rows())
        >>> cost.forwards
        1.0
        """

        def count(module: nn.Module, _: object, outputs: object) -> None:
            if module is not self.model or not isinstance(outputs, Tensor):
                return
            self.cost.forwards += len(outputs) / self.n_rows
            if outputs.requires_grad:
                outputs.register_hook(count_backwards)

        def count_backwards(gradient: Tensor) -> None:
            self.cost.backwards += len(gradient) / self.n_rows

        handle = register_module_forward_hook(count)
        try:
            yield self.cost
        finally:
            handle.remove()


def _as_numbers(name: str, given: ArrayLike) -> Tensor:
    """Numbers of any shape as a float64 tensor; an error names what is not a number."""
    try:
        numbers = np.asarray(given)
    except ValueError:  # nested lists of different lengths
        numbers = np.empty(0, dtype=object)
    if numbers.dtype.kind not in "biuf":
        raise XorMiError(f"{name} is {shown(given)}; give numbers, such as 0 and 1")
    return torch.tensor(numbers, dtype=torch.float64)


def require_slopes(problem: ExamProblem) -> None:
    """Refuse a metric without slopes.

    Raises:
        XorMiError: the metric "accuracy", which is flat.
    """
    if problem.metric == "accuracy":
        raise XorMiError("the metric 'accuracy' has no slope; take 'margin' for this method")


def require_tied(metric: Tensor) -> None:
    """Refuse a custom metric that has no gradient to the outputs, such as `outputs > 0`.

    Raises:
        XorMiError: a metric without a gradient.
    """
    if not metric.requires_grad:
        raise XorMiError(
            "the metric has no slope in the outputs; give one that is computed from them by "
            "differentiable steps, or take a method without gradients"
        )


def slopes_of(metric: Tensor, places: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The slopes of the metric's sum in the tensors from which it was computed.

    Raises:
        XorMiError: a metric without slopes.
    """
    require_tied(metric)
    return torch.autograd.grad(metric.sum(), places)


def run_with_edges(
    numbers: Problem,
    kept: Float[Tensor, "mask edge"] | Float[Tensor, "mask row edge"],
    inputs: Float[Tensor, "row d_in"],
) -> Float[Tensor, "mask row d_out"]:
    """The network's outputs when it keeps these edges, differentiable in them and in the inputs.

    Args:
        kept: numbers from 0 to 1, per mask or per mask and row.
    """
    if kept.ndim == 2:
        kept = kept[:, None]
    n_masks, n_rows = len(kept), len(inputs)
    values = inputs.expand(n_masks, n_rows, -1)
    is_there = torch.ones_like(values, dtype=torch.bool)
    first = 0
    for number, (layer, (n_sources, n_targets)) in enumerate(
        zip(numbers.layers, pairwise(numbers.sizes), strict=True)
    ):
        weight, carried = torch.from_numpy(layer.weight), torch.from_numpy(layer.carried)
        n_edges = n_sources * n_targets
        of_layer = kept[..., first : first + n_edges].unflatten(-1, (n_targets, n_sources))
        first += n_edges
        # a dropped source carries nothing through any of its edges
        live = of_layer * is_there[..., None, :]
        added = torch.einsum("...ts,ts,...s->...t", live, weight, values - carried)
        pre = added + torch.from_numpy(layer.bias_if_all_dropped)
        values = numbers.model.activate(pre, number)
        is_there = (live > 0).any(-1).expand(n_masks, n_rows, -1)
    return values


def _numbered(pairs: Pairs | None, numbers: Problem) -> tuple[tuple[int, int], ...]:
    """(clean, corrupted) rows by number."""
    rows = truth_rows(numbers.sizes[0])
    if pairs is None:
        labels = numbers.labels[: len(rows)]
        return tuple(
            (clean, corrupted)
            for clean in range(len(rows))
            for corrupted in range(len(rows))
            if (labels[clean] != labels[corrupted]).any()
        )
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise XorMiError(
            f"pairs is {shown(pairs)}; give (clean, corrupted) rows, such as [('01', '11')]"
        )
    numbered: list[tuple[int, int]] = []
    places = {row: number for number, row in enumerate(map(tuple, rows))}
    for pair in pairs:
        if isinstance(pair, (str, bytes)) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise XorMiError(
                f"{shown(pair)} is not a pair; give (clean, corrupted), such as ('01', '11')"
            )
        clean, corrupted = (as_row(one, numbers.sizes[0]) for one in pair)
        numbered.append((places[clean], places[corrupted]))
    return tuple(numbered)
