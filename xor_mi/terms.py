"""values -> the term each edge adds; why a change of the input changes a value.

    pre[row, j] = bias[j] + sum_i contribution[row, j, i],   contribution[row, j, i] = W[j, i] * value[row, i]

the Hadamard product of a weight matrix with the values it is fed. Between two inputs the bias
cancels, so each pre-activation's change is a sum over edges, exactly; each unit passes its change
on through its activation function; the output's change is a sum over units. All in float64. This is
bookkeeping (where a number comes from), not a causal claim: for those, see `interventions`."""

from dataclasses import dataclass, field
from typing import Any

import einops
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.graph import layers_of
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.truth import as_row, row_name
from xor_mi.values import forward_float64


def edge_terms(
    weight: Float[Tensor, "d_out d_in"], values: Float[Tensor, "row d_in"]
) -> Float[Tensor, "row d_out d_in"]:
    """W * x: what each edge adds to its target's pre-activation, in pre-activation units."""
    return einops.einsum(weight, values, "d_out d_in, row d_in -> row d_out d_in")


@dataclass(frozen=True, eq=False)
class Contributions:
    """The Hadamard terms of every linear layer. `contributions(model)[0]` is fc1's, [row, d_out,
    d_in].

    Attributes:
        terms: per linear layer, [row, d_out, d_in].
        biases, pre: per linear layer, [d_out] and [row, d_out]; terms.sum(-1) + bias = pre.
    """

    rows: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    terms: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    pre: tuple[Tensor, ...]

    def __getitem__(self, layer: int) -> Float[Tensor, "row d_out d_in"]:
        return self.terms[layer]

    def __len__(self) -> int:
        return len(self.terms)

    def frame(self) -> pd.DataFrame:
        """One line per row, target unit and source: row, target, source (or 'bias'), term, and the
        target's pre_activation.
        """
        units = layers_of(self.layer_sizes)
        lines = []
        for layer, (terms, bias, pre) in enumerate(
            zip(self.terms, self.biases, self.pre, strict=True)
        ):
            for r, row in enumerate(self.rows):
                for j, target in enumerate(units[layer + 1]):
                    parts = [
                        (source.name, terms[r, j, i].item())
                        for i, source in enumerate(units[layer])
                    ] + [("bias", bias[j].item())]
                    base = {"row": row, "target": target.name, "pre_activation": pre[r, j].item()}
                    lines += [base | {"source": source, "term": term} for source, term in parts]
        return pd.DataFrame(lines)[["row", "target", "source", "term", "pre_activation"]]


@torch.no_grad()
def contributions(model: HookedMLP, rows: Any = None) -> Contributions:
    """Every edge's term on every input row (all rows by default).

    >>> from xor_mi.handmade import textbook_xor
    >>> contributions(textbook_xor())[1][3].tolist()  # the readout on 11: w * h
    [[2.0, -2.0]]
    """
    require_plain_mlp(model, "contributions")
    chosen = model.read_rows(rows)
    layers = forward_float64(model, torch.tensor(chosen))
    weights = model.float64_layers()
    return Contributions(
        tuple(row_name(row) for row in chosen),
        model.layer_sizes,
        tuple(
            edge_terms(weight, layer.inputs)
            for (weight, _), layer in zip(weights, layers, strict=True)
        ),
        tuple(bias for _, bias in weights),
        tuple(layer.pre for layer in layers),
    )


@dataclass(frozen=True, eq=False)
class DifferenceExplanation:
    """Why the values on b are not those on a.

    Attributes:
        edges: one line per weight: edge, weight, source_change, term_change (= weight *
            source_change), target.
        units: one line per hidden unit and output: pre_change (= sum of its term_changes),
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

    def of_output(self, output: int = 0) -> pd.DataFrame:
        """The readout's change as a sum over hidden units: lines of `edges` that end in this
        output.
        """
        return self.edges[self.edges["target"] == f"y{output}"].reset_index(drop=True)

    def __str__(self) -> str:
        lines = [f"{self.a} -> {self.b}"]
        for _, unit in self.units.iterrows():
            parts = self.edges[self.edges["target"] == unit["unit"]]
            terms = " ".join(
                f"{t:+.3f} ({source})"
                for t, source in zip(parts["term_change"], parts["source"], strict=True)
            )
            lines.append(
                f"  {unit['unit']}: {terms} = {unit['pre_change']:+.3f} before, {unit['post_change']:+.3f} after activation"
            )
        return "\n".join(lines)


@torch.no_grad()
def explain_difference(model: HookedMLP, a: Any, b: Any) -> DifferenceExplanation:
    """The change from input a to input b: of each pre-activation as a sum over edges, of each unit
    through its activation function, of the output as a sum over units, with nothing left over.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(explain_difference(textbook_xor(), "01", "11"))
    01 -> 11
      h0.0: +1.000 (x0) +0.000 (x1) = +1.000 before, +1.000 after activation
      h0.1: +1.000 (x0) +0.000 (x1) = +1.000 before, +1.000 after activation
      y0: +1.000 (h0.0) -2.000 (h0.1) = -1.000 before, -1.000 after activation
    """
    found = contributions(model, [a, b])
    layers = forward_float64(
        model, torch.tensor([as_row(a, model.cfg.d_in), as_row(b, model.cfg.d_in)])
    )
    places = layers_of(model.layer_sizes)
    edges, units, leftover = [], [], 0.0
    for number, (layer, (weight, _)) in enumerate(zip(layers, model.float64_layers(), strict=True)):
        changes = [values[1] - values[0] for values in (layer.inputs, layer.pre, layer.post)]
        terms = found[number][1] - found[number][0]
        leftover = max(leftover, (terms.sum(-1) - changes[1]).abs().max().item())
        sources, pre, post = (change.tolist() for change in changes)
        for j, target in enumerate(places[number + 1]):
            for i, source in enumerate(places[number]):
                line = {
                    "edge": f"{source.name}->{target.name}",
                    "source": source.name,
                    "target": target.name,
                }
                line |= {
                    "weight": weight[j, i].item(),
                    "source_change": sources[i],
                    "term_change": terms[j, i].item(),
                }
                edges.append(line)
            passed = post[j] / pre[j] if pre[j] != 0 else None
            units.append(
                {
                    "unit": target.name,
                    "pre_change": pre[j],
                    "post_change": post[j],
                    "passed_on": passed,
                }
            )
    return DifferenceExplanation(
        found.rows[0], found.rows[1], pd.DataFrame(edges), pd.DataFrame(units), leftover
    )
