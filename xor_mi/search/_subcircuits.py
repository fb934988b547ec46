"""a network -> every subcircuit of it, which of them decide every row right, and which of these
contain no other.

A subcircuit keeps all inputs and outputs, some hidden units and some edges, so that every kept unit
and output reads at least one edge and every kept unit and input is read by at least one. A unit's
value depends on its own kept edges only, given its sources' values: each (unit, kept edges) is
evaluated once per configuration of the layers before and the combinations are added up, never run
one by one."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import comb
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from xor_mi.circuits._readings import ROUNDING
from xor_mi.errors import XorMiError
from xor_mi.graph import Subcircuit
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.search._convention import Convention
from xor_mi.truth import BooleanFunction, truth_rows

MAX_LISTED = 20_000_000
"""More subcircuits than this are counted (`count_perfect_subcircuits`), not listed."""
MAX_AT_ONCE = 2**22
"""How many numbers one step of the walk may hold."""
SLICE = 2**14
"""How many choices of edges of one layer are looked at together."""


def count_subcircuits(layer_sizes: Any) -> int:
    """How many subcircuits a fully connected network has, in closed form.

    Between a kept sources and b kept targets there are sum_i (-1)^i C(a, i) (2^(a-i) - 1)^b sets of
    edges that leave nobody alone.

    >>> [count_subcircuits((2, h, 1)) for h in range(1, 6)], count_subcircuits((2, 3, 3, 1)), count_subcircuits((2, 5, 5, 1))
    ([1, 9, 49, 225, 961], 9625, 7271931361)
    """
    whole = isinstance(layer_sizes, (list, tuple)) and all(
        isinstance(size, int) and size >= 1 for size in layer_sizes
    )
    if not whole or len(layer_sizes) < 3:
        raise XorMiError(
            f"{layer_sizes!r} are no layer sizes; give inputs, hidden layers and outputs, such as (2, 3, 3, 1)"
        )
    ways = {layer_sizes[0]: 1}
    for number, size in enumerate(layer_sizes[1:], start=2):
        kept = [size] if number == len(layer_sizes) else range(1, size + 1)
        ways = {b: sum(n * comb(size, b) * _edge_sets(a, b) for a, n in ways.items()) for b in kept}
    return sum(ways.values())


def _edge_sets(a: int, b: int) -> int:
    return sum((-1) ** i * comb(a, i) * (2 ** (a - i) - 1) ** b for i in range(a + 1))


@dataclass(frozen=True, eq=False)
class Problem:
    """A network under a convention, in plain NumPy float64: weights, the rows, and on which side
    each output must lie.

    Attributes:
        layers: (weight [d_out, d_in], bias [d_out], means [d_in] of what dropped edges carry) per
            linear layer.
        rows, labels: inputs [row, d_in] and what each output must be [row, d_out]; the clean rows
            come first.
        low, high: each row's output must lie strictly between them, [row, d_out]. What is a tie up
            to rounding is one: undecided under "threshold", rounded to even under "round".
    """

    model: HookedMLP
    layers: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    rows: np.ndarray
    labels: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def activate(self, pre: np.ndarray, layer: int) -> np.ndarray:
        """The activation function after linear layer `layer`."""
        with torch.no_grad():
            return self.model.activate(torch.from_numpy(np.ascontiguousarray(pre)), layer).numpy()

    def kept(self, part: Subcircuit) -> list[tuple[np.ndarray, np.ndarray]]:
        """The weights and biases that stay when a subcircuit's other edges are dropped; what these
        still carry is in the bias.
        """
        found = []
        for (weight, bias, means), sources in zip(self.layers, part.sources, strict=True):
            mask = np.zeros_like(weight)
            for target, indices in enumerate(sources):
                mask[target, list(indices)] = 1
            found.append((weight * mask, bias + (weight * (1 - mask)) @ means))
        return found

    def right(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs [..., row, d_out] -> whether every row and output is decided right, [...]."""
        return np.asarray(((outputs > self.low) & (outputs < self.high)).all((-1, -2)))


def problem_of(model: Any, target: Any, convention: Convention) -> Problem:
    """Check the request and put it in numbers."""
    require_plain_mlp(model, "a search for subcircuits")
    clean = np.array(truth_rows(model.cfg.d_in), dtype=float)
    asked = model.cfg.target if target is None else target
    if convention.reference == "model":
        labels = decisions(model).cpu().numpy()
        if (labels < 0).any():
            raise XorMiError(
                "the network leaves a row undecided, so it is no reference; give a target, or reference='task'"
            )
    else:
        if asked is None:
            raise XorMiError(
                "no target given and none in the config; give one, such as 'XOR', or Convention(reference='model')"
            )
        labels = np.array(BooleanFunction.of(asked, model.cfg.d_in).tables).T
    if labels.shape[1] != model.cfg.d_out:
        raise XorMiError(
            f"the target has {labels.shape[1]} outputs; the network has {model.cfg.d_out}"
        )
    rows = clean
    if convention.n_noisy:
        noise = np.random.default_rng(convention.noise_seed).normal(
            0, convention.noise_sd, (convention.n_noisy, *clean.shape)
        )
        rows, labels = (
            np.concatenate([clean, *(clean + noise)]),
            np.tile(labels, (1 + convention.n_noisy, 1)),
        )
    layers, values, scale = [], clean, 1.0
    for number, (weight, bias) in enumerate(model.float64_layers()):
        w, b = weight.numpy(), bias.numpy()
        means = values.mean(0) if convention.ablation == "mean" else np.zeros(values.shape[1])
        layers.append((w, b * (convention.biases == "keep"), means))
        scale = (np.abs(w) @ np.abs(values).max(0) + np.abs(b)).max()
        with torch.no_grad():
            values = model.activate(torch.from_numpy(values @ w.T + b), number).numpy()
    threshold, tie = model.threshold, ROUNDING * scale
    if (
        convention.decision == "round"
    ):  # to even, as torch.round: 0.5 is 0, and so is -0.5; 1.5 is 2
        low, high = (
            np.where(labels == 1, 0.5 + tie, -0.5 - tie),
            np.where(labels == 1, 1.5 - tie, 0.5 + tie),
        )
    else:
        low, high = (
            np.where(labels == 1, threshold + tie, -np.inf),
            np.where(labels == 1, np.inf, threshold - tie),
        )
    return Problem(model, tuple(layers), rows, labels, low, high)


def as_network(model: HookedMLP, subcircuit: Any, *, convention: Any = None) -> HookedMLP:
    """A subcircuit as a network of its own, in float64: cache it, patch it, train it on.

    >>> from xor_mi.handmade import textbook_xor
    >>> without_and = Subcircuit((2, 2, 1), (((0, 1), ()), ((0,),)))
    >>> as_network(textbook_xor(), without_and)([[1, 1]]).tolist()
    [[2.0]]

    Raises:
        XorMiError: a subcircuit of another shape.
    """
    require_plain_mlp(model, "a subcircuit")
    anything = BooleanFunction(
        model.cfg.d_in, ((0,) * 2**model.cfg.d_in,) * model.cfg.d_out
    )  # labels do not matter here
    setting = problem_of(model, anything, replace(Convention.of(convention), reference="task"))
    require_shape(model, subcircuit)
    layers = [
        (torch.from_numpy(weight), torch.from_numpy(bias))
        for weight, bias in setting.kept(subcircuit)
    ]
    names = ("act_fn", "out_act_fn", "negative_slope", "decision_threshold", "target")
    return HookedMLP.from_weights(layers, **{name: getattr(model.cfg, name) for name in names})


def require_shape(model: HookedMLP, part: Any) -> None:
    """A subcircuit of another network is refused."""
    if not isinstance(part, Subcircuit):
        raise XorMiError(f"{part!r} is no Subcircuit; take one from find_subcircuits(model)")
    if part.layer_sizes != model.layer_sizes:
        raise XorMiError(f"a subcircuit of {part.layer_sizes}; the network is {model.layer_sizes}")


@dataclass(frozen=True, eq=False)
class SubcircuitSearch:
    """Every subcircuit of a network, tried. Iterating gives the perfect ones.

    Attributes:
        total: how many there are under the convention.
        n_perfect: how many decide every row right.
        masks: of the perfect ones, per linear layer and target unit the kept sources as bits (bit i
            = source i), [perfect, unit].
        n_by_edges: number of kept edges -> (subcircuits, perfect ones).
        complete: False if Ctrl-C stopped the search; what was found until then is here, and `total`
            is what was tried.
    """

    layer_sizes: tuple[int, ...]
    convention: Convention
    total: int
    n_perfect: int
    masks: tuple[np.ndarray, ...] = field(repr=False)
    n_by_edges: dict[int, tuple[int, int]] = field(repr=False)
    complete: bool = True

    def __len__(self) -> int:
        return self.n_perfect

    def __getitem__(self, index: int) -> Subcircuit:
        if not -self.n_perfect <= index < self.n_perfect:
            raise IndexError(f"{self.n_perfect} perfect subcircuits")
        sources = tuple(
            tuple(tuple(i for i in range(width) if int(mask) >> i & 1) for mask in layer[index])
            for width, layer in zip(self.layer_sizes, self.masks, strict=False)
        )
        return Subcircuit(self.layer_sizes, sources)

    def __iter__(self) -> Iterator[Subcircuit]:
        return (self[index] for index in range(self.n_perfect))

    @cached_property
    def minimal(self) -> tuple[Subcircuit, ...]:
        """The perfect ones that contain no other perfect one, fewest edges first."""
        bits = np.concatenate(
            [
                _unpacked(layer, width)
                for layer, width in zip(self.masks, self.layer_sizes, strict=False)
            ],
            axis=1,
        )
        packed = np.packbits(bits, axis=1)
        found: list[int] = []
        kept = np.zeros((0, packed.shape[1]), dtype=np.uint8)
        for index in np.argsort(bits.sum(1), kind="stable").tolist():
            if not ((kept & ~packed[index]) == 0).all(1).any():
                found.append(index)
                kept = np.concatenate([kept, packed[index : index + 1]])
        return tuple(self[index] for index in found)

    def __str__(self) -> str:
        stopped = "" if self.complete else "stopped early: "
        return f"{stopped}{self.n_perfect} of {self.total} subcircuits decide every row right, {len(self.minimal)} of them minimal"


def _unpacked(masks: np.ndarray, width: int) -> np.ndarray:
    return (
        ((masks[:, :, None] >> np.arange(width)) & 1)
        .reshape(len(masks), masks.shape[1] * width)
        .astype(bool)
    )


def find_subcircuits(
    model: Any, target: Any = None, *, convention: Any = None, progress: bool = True
) -> SubcircuitSearch:
    """Evaluate every subcircuit.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(find_subcircuits(textbook_xor()))
    1 of 9 subcircuits decide every row right, 1 of them minimal

    Raises:
        XorMiError: a network that is not exact (hooks, train mode), no target, or more than
            `MAX_LISTED` subcircuits.
    """
    convention = Convention.of(convention)
    setting = problem_of(model, target, convention)
    sizes = model.layer_sizes
    total = count_subcircuits(sizes)
    if total > MAX_LISTED:
        raise XorMiError(
            f"{total} subcircuits, more than the {MAX_LISTED} that are listed; count_perfect_subcircuits counts them"
        )
    perfect: list[list[np.ndarray]] = []
    seen = 0
    by_edges: Counter[int] = Counter()
    right_by_edges: Counter[int] = Counter()
    complete = True
    with tqdm(
        total=total, desc="subcircuits", unit="", delay=2, disable=None if progress else True
    ) as bar:
        try:
            for masks, outputs in _walk(setting, sizes):
                if not convention.all_units:
                    some_off = ~_all_on(masks)
                    masks, outputs = [layer[some_off] for layer in masks], outputs[some_off]
                right = setting.right(outputs)
                n_edges = np.sum(
                    [np.bitwise_count(layer).astype(int).sum(1) for layer in masks], axis=0
                )
                by_edges.update(dict(enumerate(np.bincount(n_edges).tolist())))
                right_by_edges.update(dict(enumerate(np.bincount(n_edges[right]).tolist())))
                perfect.append([layer[right].astype(np.uint16) for layer in masks])
                seen += len(right)
                bar.update(len(right))
        except KeyboardInterrupt:
            complete = False
    empty = [np.zeros((0, size), dtype=np.uint16) for size in sizes[1:]]
    joined = tuple(
        np.concatenate([empty[layer], *(chunk[layer] for chunk in perfect)])
        for layer in range(len(sizes) - 1)
    )
    counts = {n: (by_edges[n], right_by_edges[n]) for n in sorted(by_edges) if by_edges[n]}
    return SubcircuitSearch(sizes, convention, seen, len(joined[0]), joined, counts, complete)


def _all_on(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Whether every hidden unit is kept, [subcircuit]."""
    return np.all([(layer > 0).all(1) for layer in masks[:-1]], axis=0)


Chunk = tuple[list[np.ndarray], np.ndarray, np.ndarray]
"""Configurations of the layers so far: masks per linear layer [n, unit], the last's values [n,
unit, row], its kept units as bits [n].
"""


def _walk(setting: Problem, sizes: Sequence[int]) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Chunks of subcircuits: masks per linear layer [n, unit], and outputs [n, row, d_out]."""
    chunks: Iterator[Chunk] = iter([([], setting.rows.T[None], np.array([2 ** sizes[0] - 1]))])
    for layer in range(len(sizes) - 1):
        chunks = _expanded(setting, sizes, layer, _gathered(chunks))
    for masks, values, _ in chunks:
        yield masks, values.transpose(0, 2, 1)


def _gathered(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Small chunks joined, so that the next layer has few of them to look at."""
    held: list[Chunk] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(values.size for _, values, _ in held) > MAX_AT_ONCE:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(held: list[Chunk]) -> Chunk:
    masks = [np.concatenate(layer) for layer in zip(*(masks for masks, _, _ in held), strict=True)]
    return (
        masks,
        np.concatenate([values for _, values, _ in held]),
        np.concatenate([alive for _, _, alive in held]),
    )


def _expanded(
    setting: Problem, sizes: Sequence[int], layer: int, chunks: Iterator[Chunk]
) -> Iterator[Chunk]:
    """From configurations of the layers before to those with linear layer `layer` too, grouped by
    which sources are kept.
    """
    n_targets, last = sizes[layer + 1], layer == len(sizes) - 2
    for masks, values, alive in chunks:
        for kept in np.unique(alive).tolist():
            group = np.flatnonzero(alive == kept)
            for subsets, grid in _choices(kept, n_targets, last):
                step = max(1, MAX_AT_ONCE // max(1, len(grid) * n_targets * values.shape[2]))
                for start in range(0, len(group), step):
                    part = group[start : start + step]
                    options = _options(
                        setting, layer, values[part], subsets
                    )  # [n, unit, subset, row]
                    reached = options[:, np.arange(n_targets), grid]  # [n, choice, unit, row]
                    chosen = [np.repeat(before[part], len(grid), axis=0) for before in masks] + [
                        np.tile(subsets[grid], (len(part), 1))
                    ]
                    on = ((chosen[-1] > 0) << np.arange(n_targets)).sum(1)
                    yield chosen, reached.reshape(-1, *reached.shape[2:]), on


def _options(setting: Problem, layer: int, values: np.ndarray, subsets: np.ndarray) -> np.ndarray:
    """Values of the sources [n, source, row] -> every unit's value under each of these sets of kept
    sources, [n, unit, subset, row].
    """
    weight, bias, means = setting.layers[layer]
    kept = (subsets[:, None] >> np.arange(weight.shape[1])) & 1  # [subset, source]
    by_subset = (weight[:, None] * kept).reshape(-1, weight.shape[1])  # [unit * subset, source]
    pre = (by_subset @ (values - means[:, None])).reshape(
        len(values), len(weight), len(subsets), -1
    )
    return setting.activate(pre + (bias + weight @ means)[:, None, None], layer)


def _choices(alive: int, n_targets: int, last: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The subsets of the kept sources, as bits, and all ways to give each target one of them so
    that each kept source is read, [choice, target], in slices; the empty subset drops the target,
    which an output cannot be."""
    n_subsets = 2 ** alive.bit_count() - last
    total = 1 if last and n_targets == 1 else n_subsets**n_targets
    return (_slice(alive, n_targets, last, start) for start in range(0, total, SLICE))


@lru_cache(maxsize=256)
def _slice(alive: int, n_targets: int, last: bool, start: int) -> tuple[np.ndarray, np.ndarray]:
    subsets = np.array(
        [mask for mask in range(alive + 1) if mask & ~alive == 0 and (mask or not last)],
        dtype=np.int64,
    )
    if last and n_targets == 1:
        return subsets[-1:], np.zeros((1, 1), dtype=np.int64)
    numbers = np.arange(start, min(start + SLICE, len(subsets) ** n_targets))
    grid = numbers[:, None] // len(subsets) ** np.arange(n_targets)[::-1] % len(subsets)
    return subsets, grid[np.bitwise_or.reduce(subsets[grid], axis=1) == alive]
