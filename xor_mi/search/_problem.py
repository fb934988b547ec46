"""a network, a target and a convention -> one Problem: all three in plain numbers.

It is made once per search and passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from xor_mi.circuits import ROUNDING
from xor_mi.errors import XorMiError, require_memory
from xor_mi.finding import count_text
from xor_mi.graph import Subcircuit
from xor_mi.kinds import Target
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.search._convention import AnyConvention, Convention
from xor_mi.truth import BooleanFunction

VALUES_AT_ONCE = 2**20
"""With many networks together, so many values of a layer's units are held at once."""

Numbers = NDArray[np.float64]
"""float64 numbers of any shape; their axes are named where they are used."""

Affine = tuple[Numbers, Numbers]
"""(weight [d_out, d_in], bias [d_out]) of one linear layer."""

Affines = tuple[Numbers, Numbers]
"""The same for many networks: (weight [network, d_out, d_in], bias [network, d_out])."""

KeptEdges = NDArray[np.bool_]
"""Which edges of one linear layer each of many subcircuits keeps, [subcircuit, d_out, d_in]."""


class CutLayer(NamedTuple):
    """One linear layer whose edges may be dropped.

    Attributes:
        weight: [d_out, d_in].
        bias: [d_out], zero where the convention drops biases.
        carried: [d_in], what a dropped edge still carries from its source: 0, or its mean.
    """

    weight: Numbers
    bias: Numbers
    carried: Numbers

    @property
    def bias_if_all_dropped(self) -> Numbers:
        """The pre-activation of a unit all of whose edges are dropped, [d_out]."""
        return self.bias + self.weight @ self.carried


@dataclass(frozen=True, eq=False)
class Problem:
    """A network under a convention, in NumPy float64.

    It holds the weights, the rows, and the bounds between which each score must lie.

    Attributes:
        target: what counts as right on the clean rows: the task, or what the network decides.
        whole: (weight, bias) per linear layer of the whole network.
        layers: the same as layers whose edges may be dropped; the convention says whether biases
            are kept.
        clean: the 2^d_in input rows as the network reads them, in its input levels, [row, d_in].
        rows: the clean rows, then the noisy ones, [row, d_in].
        labels: what each decision must be, [row, decision].
        low: each score must lie strictly above this, [row, decision].
        high: each score must lie strictly below this, [row, decision]. A tie up to rounding counts
            as a tie: it is undecided under "threshold", and rounded to even under "round".
    """

    model: HookedMLP
    target: BooleanFunction
    convention: Convention
    whole: tuple[Affine, ...]
    layers: tuple[CutLayer, ...]
    clean: Numbers
    rows: Numbers
    labels: NDArray[np.int64]
    low: Numbers
    high: Numbers

    def __str__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        rows = count_text(len(self.rows), "row")
        return f"{self.target.name} for a network {sizes} on {rows}, under {self.convention}"

    @classmethod
    def of(
        cls, model: HookedMLP, target: Target | None = None, convention: AnyConvention = None
    ) -> "Problem":
        """The request, checked and put in numbers.

        >>> from xor_mi.handmade import textbook_xor
        >>> problem = Problem.of(textbook_xor())
        >>> problem.target.name, problem.labels.T.tolist()
        ('XOR', [[0, 1, 1, 0]])
        >>> problem.low.round(6).T.tolist(), problem.high.round(6).T.tolist()
        ([[-inf, 0.5, 0.5, -inf]], [[0.5, inf, inf, 0.5]])

        Raises:
            XorMiError: a network that weight arithmetic alone does not describe (hooks, train
                mode) or with direct connections, no target, a target of another width, a reference
                network that leaves a row undecided, or decision="round" for a network whose largest
                output wins.
        """
        require_plain_mlp(model, "a search for subcircuits")
        model.require_no_direct("a search for subcircuits")
        convention = Convention.of(convention)
        cannot_decide = why_not_decided(model, convention)
        if cannot_decide:
            raise XorMiError(cannot_decide)
        function = _reference(model, target, convention)
        whole = whole_network(model)
        clean = clean_rows(model)
        copies = [clean, *_noisy_copies(model, clean, convention)]
        # a noisy row must be decided like the clean row that it is a copy of
        labels = np.tile(np.array(function.tables, dtype=np.int64).T, (len(copies), 1))
        tie = _rounding(model, whole)
        low, high = _bounds(labels, cut=model.rule.cut, tie=tie, convention=convention)
        return cls(
            model=model,
            target=function,
            convention=convention,
            whole=whole,
            layers=cut_layers(model, convention),
            clean=clean,
            rows=np.concatenate(copies),
            labels=labels,
            low=low,
            high=high,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """(d_in, *d_hidden, d_out)."""
        return self.model.layer_sizes

    def activate(self, pre: Numbers, layer: int) -> Numbers:
        """The activation function after linear layer `layer`."""
        return activate(self.model, pre, layer)

    def kept(self, subcircuit: Subcircuit) -> list[Affine]:
        """The weights and biases that are left when all edges outside a subcircuit are dropped.

        What the dropped edges still carry is in the bias.
        """
        return kept_layers(self.layers, subcircuit)

    def kept_of_all(self, edges: Sequence[KeptEdges]) -> list[Affines]:
        """The same for many subcircuits at once."""
        return kept_layers_of_all(self.layers, edges)

    def scores(self, outputs: Numbers) -> Numbers:
        """Outputs [..., d_out] -> the numbers that decisions are made by, [..., decision]."""
        return scores(self.model, outputs)

    def right_rows(self, outputs: Numbers) -> NDArray[np.bool_]:
        """Outputs [..., row, d_out] -> which rows are decided right, at all outputs, [..., row]."""
        scored = self.scores(outputs)
        return np.asarray(((scored > self.low) & (scored < self.high)).all(-1))

    def right(self, outputs: Numbers) -> NDArray[np.bool_]:
        """Outputs [..., row, d_out] -> whether every row is decided right, [...]."""
        return np.asarray(self.right_rows(outputs).all(-1))


def why_not_decided(model: HookedMLP, convention: Convention) -> str:
    """Why this network cannot be decided by a convention; "" if it can."""
    if convention.decision == "round" and model.rule.name == "argmax":
        return (
            "decision='round' compares each output with 0 or 1, but the largest output of this "
            "network wins; take a convention with decision='threshold'"
        )
    return ""


def clean_rows(model: HookedMLP) -> Numbers:
    """All input rows as the network reads them, in its input levels, [row, d_in]."""
    return model.rows().detach().cpu().double().numpy()


def scores(model: HookedMLP, outputs: Numbers) -> Numbers:
    """Outputs [..., d_out] -> the numbers that decisions are made by, [..., decision]."""
    if model.rule.name == "threshold":
        return outputs
    return model.rule.scores(torch.from_numpy(np.ascontiguousarray(outputs))).numpy()


def size_of_scores(model: HookedMLP, terms: Numbers) -> Numbers:
    """The size of the terms that a score is a sum of; rounding is measured against it.

    Args:
        terms: the size for each output, [..., d_out].

    Returns:
        [...].
    """
    # with argmax a score is the difference of two outputs
    n_outputs = 2 if model.rule.name == "argmax" else 1
    return np.asarray(np.sort(terms)[..., -n_outputs:].sum(-1))


def whole_network(model: HookedMLP) -> tuple[Affine, ...]:
    """All weights and biases, in NumPy float64."""
    return tuple((weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers())


def activate(model: HookedMLP, pre: Numbers, layer: int) -> Numbers:
    """The activation function after linear layer `layer`, on NumPy numbers of any shape."""
    # contiguous, because torch does not accept negative strides, such as those of a reversed array
    with torch.no_grad():
        return model.activate(torch.from_numpy(np.ascontiguousarray(pre)), layer).numpy()


def cut_layers(model: HookedMLP, convention: Convention) -> tuple[CutLayer, ...]:
    """The network's layers as layers whose edges may be dropped."""
    whole = whole_network(model)
    cut: list[CutLayer] = []
    for (weight, bias), values in zip(whole, _entering(model, whole), strict=True):
        with_means = convention.ablation == "mean"
        # a mean is over the clean rows in the whole network, whatever else is dropped
        carried = values.mean(0) if with_means else np.zeros(values.shape[1])
        kept_bias = bias if convention.biases == "keep" else np.zeros_like(bias)
        cut.append(CutLayer(weight=weight, bias=kept_bias, carried=carried))
    return tuple(cut)


def kept_layers(layers: Sequence[CutLayer], subcircuit: Subcircuit) -> list[Affine]:
    """The weights and biases of a subcircuit; what dropped edges carry is in the bias."""
    kept = kept_layers_of_all(layers, kept_edges(subcircuit))
    return [(weight[0], bias[0]) for weight, bias in kept]


def kept_layers_of_all(layers: Sequence[CutLayer], edges: Sequence[KeptEdges]) -> list[Affines]:
    """The same of many subcircuits at once."""
    kept: list[Affines] = []
    for layer, is_kept in zip(layers, edges, strict=True):
        from_dropped = (layer.weight * ~is_kept) @ layer.carried
        kept.append((layer.weight * is_kept, layer.bias + from_dropped))
    return kept


def kept_edges(subcircuit: Subcircuit) -> list[KeptEdges]:
    """The edges of one subcircuit, layer by layer."""
    edges: list[KeptEdges] = []
    for sources, width in zip(subcircuit.sources, subcircuit.layer_sizes, strict=False):
        is_kept = np.zeros((1, len(sources), width), dtype=np.bool_)
        for unit, indices in enumerate(sources):
            # an empty list selects nothing, so a dropped unit keeps no edge
            is_kept[0, unit, list(indices)] = True
        edges.append(is_kept)
    return edges


def require_shape(model: HookedMLP, subcircuit: Subcircuit) -> None:
    """Refuse a subcircuit of another network."""
    if not isinstance(subcircuit, Subcircuit):
        raise XorMiError(
            f"{subcircuit!r} is not a Subcircuit; take one from find_subcircuits(model)"
        )
    if subcircuit.layer_sizes != model.layer_sizes:
        raise XorMiError(
            f"a subcircuit of a network {subcircuit.layer_sizes}; this network is "
            f"{model.layer_sizes}: take one from find_subcircuits(model)"
        )


def _reference(model: HookedMLP, target: Target | None, convention: Convention) -> BooleanFunction:
    """What is right on every clean row."""
    if convention.reference == "task":
        return model.target_of(target)
    labels = decisions(model).cpu()
    if (labels < 0).any():
        raise XorMiError(
            "the network leaves a row undecided, so it cannot be the reference; "
            "give a target, or reference='task'"
        )
    return BooleanFunction(model.cfg.d_in, tuple(map(tuple, labels.T.tolist())))


def _noisy_copies(model: HookedMLP, clean: Numbers, convention: Convention) -> Numbers:
    """The clean rows with noise added, [copy, row, d_in]."""
    # values, labels and bounds of the rows need several times as much memory again
    require_memory(
        8 * 8 * convention.n_noisy * clean.size,
        what=f"{convention.n_noisy:,} noisy copies of {len(clean):,} rows",
        do="give a smaller n_noisy",
    )
    generator = np.random.default_rng(convention.noise_seed)
    shape = (convention.n_noisy, *clean.shape)
    level_of_0, level_of_1 = model.cfg.input_levels
    return clean + (level_of_1 - level_of_0) * generator.normal(0, convention.noise_sd, shape)


def _entering(model: HookedMLP, whole: Sequence[Affine]) -> list[Numbers]:
    """The inputs of each linear layer on the clean rows, [row, d_in of the layer] each."""
    values = [clean_rows(model)]
    for number, (weight, bias) in enumerate(whole[:-1]):
        values.append(activate(model, values[-1] @ weight.T + bias, number))
    return values


def _rounding(model: HookedMLP, whole: Sequence[Affine]) -> float:
    """How near to the threshold a score is a tie; it depends on the terms that it is a sum of."""
    weight, bias = whole[-1]
    terms = np.abs(weight) @ np.abs(_entering(model, whole)[-1]).max(0) + np.abs(bias)
    return ROUNDING * float(size_of_scores(model, terms))


def _bounds(
    labels: NDArray[np.int64], *, cut: float, tie: float, convention: Convention
) -> tuple[Numbers, Numbers]:
    """Between which numbers each score must lie, [row, decision] each."""
    if convention.decision == "round":
        # halves to even, as torch.round does: 0.5 and -0.5 become 0, and 1.5 becomes 2
        low = np.where(labels == 1, 0.5 + tie, -0.5 - tie)
        high = np.where(labels == 1, 1.5 - tie, 0.5 + tie)
    else:
        low = np.where(labels == 1, cut + tie, -np.inf)
        high = np.where(labels == 1, np.inf, cut - tie)
    return low, high
