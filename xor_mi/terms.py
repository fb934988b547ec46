"""values -> the term each edge adds; why a change of the input changes a value.

    pre[row, j] = bias[j] + sum_i contribution[row, j, i]
    contribution[row, j, i] = W[j, i] * value[row, i]

the Hadamard product of a weight matrix with the values it is fed. Between two inputs the bias
cancels, so each pre-activation's change is a sum over edges, to rounding; each unit passes its
change on through its activation function; the output's change is a sum over units. All in float64.
This is bookkeeping (where a number comes from), not a causal claim: for those, see
`interventions`.
"""

from dataclasses import dataclass, field

import einops
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.finding import Finding, number_text
from xor_mi.graph import Edge, Unit, layers_of
from xor_mi.kinds import Rows
from xor_mi.model import HookedMLP, read_inputs, require_output, require_plain_mlp
from xor_mi.truth import Row
from xor_mi.values import LayerValues, forward_float64, own_scales

__all__ = [
    "Contributions",
    "DifferenceExplanation",
    "contributions",
    "edge_terms",
    "explain_difference",
]


def edge_terms(
    weight: Float[Tensor, "d_out d_in"], values: Float[Tensor, "row d_in"]
) -> Float[Tensor, "row d_out d_in"]:
    """W * x: what each edge adds to its target's pre-activation, in pre-activation units."""
    return einops.einsum(weight, values, "d_out d_in, row d_in -> row d_out d_in")


@dataclass(frozen=True, eq=False)
class Contributions(Finding):
    """The Hadamard terms of every linear layer.

    `contributions(model)[0]` is fc1's, [row, d_out, d_in].

    Attributes:
        rows: the inputs by name, "01" of bits.
        layer_sizes: (d_in, *d_hidden, d_out).
        sources: per linear layer, the units that it reads. Those of the readout end with the inputs
            if these are connected to it.
        terms: per linear layer, [row, d_out, source].
        biases, pre: per linear layer, [d_out] and [row, d_out]; terms.sum(-1) + bias = pre.
        scales: per linear layer, the size of the numbers that its sums are made of.
    """

    rows: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    sources: tuple[tuple[Unit, ...], ...] = field(repr=False)
    terms: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    pre: tuple[Tensor, ...]
    scales: tuple[float, ...] = field(repr=False)

    def __getitem__(self, layer: int) -> Float[Tensor, "row d_out source"]:
        return self.terms[layer]

    def __len__(self) -> int:
        return len(self.terms)

    def __str__(self) -> str:
        sizes = "-".join(map(str, self.layer_sizes))
        return f"what each edge of a {sizes} network adds, on {len(self.rows)} inputs"

    def frame(self) -> pd.DataFrame:
        """One line per row, target unit and source.

        Columns: row, target, source (or 'bias'), term, and the target's pre_activation.
        """
        lines: list[dict[str, object]] = []
        units = layers_of(self.layer_sizes)
        for layer, terms in enumerate(self.terms):
            sources = [*(unit.name for unit in self.sources[layer]), "bias"]
            for r, row in enumerate(self.rows):
                for j, target in enumerate(units[layer + 1]):
                    # the lines of one target add up to its pre-activation, so the bias is one too
                    added = [*terms[r, j].tolist(), self.biases[layer][j].item()]
                    for source, term in zip(sources, added, strict=True):
                        lines.append(
                            {
                                "row": row,
                                "target": target.name,
                                "source": source,
                                "term": term,
                                "pre_activation": self.pre[layer][r, j].item(),
                            }
                        )
        return pd.DataFrame(lines)


@torch.no_grad()
def contributions(model: HookedMLP, rows: Rows | None = None) -> Contributions:
    """Every edge's term on every input row (all rows by default).

    Raises:
        XorMiError: rows that are neither bits nor numbers, anything but a `HookedMLP` without
            hooks, train mode, weights that are not finite.

    >>> from xor_mi.handmade import textbook_xor
    >>> contributions(textbook_xor())[1][3].tolist()  # the readout on 11: w * h
    [[2.0, -2.0]]
    """
    require_plain_mlp(model, "contributions")
    read = read_inputs(model, rows)
    return _contributions(model, read.names, forward_float64(model, read.values))


def _contributions(
    model: HookedMLP, names: tuple[str, ...], layers: list[LayerValues]
) -> Contributions:
    """The terms of a forward that has been run on these rows."""
    parameters = model.float64_layers()
    weights = [weight for weight, _ in parameters]
    terms = [
        edge_terms(weight, layer.inputs) for weight, layer in zip(weights, layers, strict=True)
    ]
    return Contributions(
        rows=names,
        layer_sizes=model.layer_sizes,
        sources=tuple(tuple(units) for units in model.sources),
        terms=tuple(terms),
        biases=tuple(bias for _, bias in parameters),
        pre=tuple(layer.pre for layer in layers),
        scales=tuple(own_scales(model, layers)),
    )


@dataclass(frozen=True, eq=False)
class DifferenceExplanation(Finding):
    """Why the values on input b differ from those on input a.

    Attributes:
        a, b: the inputs by name, "01" of bits.
        edges: one line per weight: edge, source, target, weight, source_change, term_change (=
            weight * source_change).
        units: one line per hidden unit and output: unit, pre_change (= sum of its term_changes),
            post_change, and passed_on, the part of the change that its activation function lets
            through (post_change / pre_change; empty where nothing changed).
        leftover: the largest difference between a change and the sum that explains it, over the
            whole network.
    """

    a: str
    b: str
    edges: pd.DataFrame = field(repr=False)
    units: pd.DataFrame = field(repr=False)
    leftover: float

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "a": self.a,
            "b": self.b,
        }

    def frame(self) -> pd.DataFrame:
        """The explanation itself, edge by edge: a copy of `edges`. The sums are in `units`."""
        return self.edges.copy()

    def of_output(self, output: int = 0) -> pd.DataFrame:
        """The readout's change as a sum over hidden units.

        These are the lines of `edges` that end in this output.

        Raises:
            XorMiError: no output of this number.
        """
        n_outputs = int(self.units["unit"].str.startswith("y").sum())
        number = require_output(output, n_outputs)
        return self.edges[self.edges["target"] == f"y{number}"].reset_index(drop=True)

    def __str__(self) -> str:
        lines = [f"{self.a} -> {self.b}"]
        for unit in self.units.to_dict("records"):
            edges = self.edges[self.edges["target"] == unit["unit"]]
            terms = " ".join(
                f"{_signed(term)} ({source})"
                for term, source in zip(edges["term_change"], edges["source"], strict=True)
            )
            before = f"{_signed(unit['pre_change'])} before"
            after = f"{_signed(unit['post_change'])} after activation"
            lines.append(f"  {unit['unit']}: {terms} = {before}, {after}")
        return "\n".join(lines)


def _signed(change: float) -> str:
    return number_text(change, decimals=3, signed=True)


@torch.no_grad()
def explain_difference(model: HookedMLP, a: Row, b: Row) -> DifferenceExplanation:
    """The change from input a to input b, traced through the network, with nothing left over.

    Each pre-activation's change is a sum over edges; each unit passes its change on through its
    activation function; the output's change is a sum over units.

    Raises:
        XorMiError: as in `contributions`.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(explain_difference(textbook_xor(), "01", "11"))
    01 -> 11
      h0.0: +1.000 (x0) +0.000 (x1) = +1.000 before, +1.000 after activation
      h0.1: +1.000 (x0) +0.000 (x1) = +1.000 before, +1.000 after activation
      y0: +1.000 (h0.0) -2.000 (h0.1) = -1.000 before, -1.000 after activation
    """
    require_plain_mlp(model, "explaining a difference")
    read = read_inputs(model, [a, b])
    name_a, name_b = read.names
    layers = forward_float64(model, read.values)
    terms = _contributions(model, read.names, layers)
    units_of_layer = layers_of(model.layer_sizes)
    edges: list[dict[str, object]] = []
    units: list[dict[str, object]] = []
    leftover = 0.0
    for number, (layer, (weight, _)) in enumerate(zip(layers, model.float64_layers(), strict=True)):
        # row 0 is a, row 1 is b
        source_change = layer.inputs[1] - layer.inputs[0]
        pre_change = layer.pre[1] - layer.pre[0]
        post_change = layer.post[1] - layer.post[0]
        term_change = terms[number][1] - terms[number][0]  # [d_out, d_in]
        # only rounding is left over: the bias is the same on both inputs
        unexplained = (term_change.sum(-1) - pre_change).abs().max().item()
        leftover = max(leftover, unexplained)
        for j, target in enumerate(units_of_layer[number + 1]):
            for i, source in enumerate(model.sources[number]):
                edges.append(
                    _edge_line(
                        source,
                        target,
                        weight=weight[j, i].item(),
                        source_change=source_change[i].item(),
                        term_change=term_change[j, i].item(),
                    )
                )
            units.append(
                _unit_line(
                    target, pre_change=pre_change[j].item(), post_change=post_change[j].item()
                )
            )
    return DifferenceExplanation(
        a=name_a,
        b=name_b,
        edges=pd.DataFrame(edges),
        units=pd.DataFrame(units),
        leftover=leftover,
    )


def _edge_line(source: Unit, target: Unit, **numbers: float) -> dict[str, object]:
    edge = Edge(source, target)
    return {"edge": edge.name, "source": source.name, "target": target.name, **numbers}


def _unit_line(unit: Unit, *, pre_change: float, post_change: float) -> dict[str, object]:
    return {
        "unit": unit.name,
        "pre_change": pre_change,
        "post_change": post_change,
        "passed_on": None if pre_change == 0 else post_change / pre_change,
    }
