"""model + rows -> every named value; two inputs compared side by side.

`activations` and `compare` read the model through its hooks, as TransformerLens caches it.
`forward_float64` is the same forward in plain float64 arithmetic without hooks: the second,
independent way, and the one the exact analyses (`contributions`, `circuits`) build on."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.metrics import decision
from xor_mi.model import HookedMLP, require_evaluable
from xor_mi.truth import as_row, row_name

DISTINCT = 1e-6
"""Two values of a unit are distinct if they are further apart than this share of its range."""


@dataclass(frozen=True, eq=False)
class LayerValues:
    """What linear layer l takes, adds up and gives: inputs [..., d_in], pre-activations and
    activations [..., d_out].
    """

    inputs: Tensor
    pre: Tensor
    post: Tensor


def forward_float64(model: HookedMLP, values: Tensor, start: int = 0) -> list[LayerValues]:
    """Values entering linear layer `start`, [..., width] -> that layer and all after it, in
    float64; any leading axes.

    With start = 0 the values are inputs; with start = l they are activations of hidden layer l - 1,
    which may be anything: this is how a layer is replaced by other values and the rest of the
    network run on."""
    layers = []
    value = values.double().cpu()
    for layer, (weight, bias) in list(enumerate(model.float64_layers()))[start:]:
        pre = value @ weight.T + bias
        layers.append(LayerValues(value, pre, model.activate(pre, layer)))
        value = layers[-1].post
    return layers


@dataclass(frozen=True, eq=False)
class Activations:
    """hook name -> values [row, unit], for the rows named in `rows`. `frame()` is tidy: one line
    per row, hook and unit.
    """

    rows: tuple[str, ...]
    values: dict[str, Tensor]
    units: dict[str, list[str]] = field(repr=False)

    def __getitem__(self, hook_name: str) -> Float[Tensor, "row unit"]:
        return self.values[hook_name]

    def frame(self) -> pd.DataFrame:
        """Columns row, hook, unit, value."""
        lines = [
            {"row": row, "hook": hook, "unit": unit, "value": self.values[hook][r, u].item()}
            for r, row in enumerate(self.rows)
            for hook, units in self.units.items()
            for u, unit in enumerate(units)
        ]
        return pd.DataFrame(lines)

    def table(self) -> pd.DataFrame:
        """The same numbers for reading: one line per row, one column per unit and hook."""
        tidy = self.frame()
        tidy["column"] = tidy["unit"] + " " + tidy["hook"].str.rpartition("hook_")[2]
        wide = tidy.pivot_table(
            index="row", columns="column", values="value", aggfunc="first", sort=False
        )
        return wide.loc[list(dict.fromkeys(self.rows)), list(dict.fromkeys(tidy["column"]))]


@torch.no_grad()
def activations(model: HookedMLP, rows: Any = None) -> Activations:
    """Run the model on input rows (all 2^d_in by default) and name every value at every hook point.

    Raises:
        XorMiError: rows that are not bits, a model in train mode, weights that are not finite.
    """
    require_evaluable(model, "activations")
    chosen = model.read_rows(rows)
    units = dict(model.hook_places())
    _, cache = model.run_with_cache(
        model.rows(chosen), names_filter=list(units), return_cache_object=False
    )
    return Activations(
        tuple(row_name(row) for row in chosen), {hook: cache[hook] for hook in units}, units
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two inputs at every hook point. `frame()`: hook, unit, the value on each input, their
    difference (b - a), and whether they agree.

    Attributes:
        a, b: the inputs, as bits.
        decision_a, decision_b: one decision per output; -1 is undecided.
        tolerance: values closer than this count as the same.
    """

    a: str
    b: str
    decision_a: tuple[int, ...]
    decision_b: tuple[int, ...]
    tolerance: float
    _frame: pd.DataFrame = field(repr=False)

    def frame(self) -> pd.DataFrame:
        return self._frame.copy()

    @property
    def same_decision(self) -> bool:
        """Both inputs are decided, and alike."""
        return self.decision_a == self.decision_b and -1 not in self.decision_a

    @property
    def differing(self) -> list[str]:
        """The hidden places that tell the two inputs apart, such as 'h0.1 post'."""
        hidden = self._frame[self._frame["hook"].str.startswith("blocks.") & ~self._frame["same"]]
        return [
            f"{unit} {hook.rpartition('hook_')[2]}"
            for unit, hook in zip(hidden["unit"], hidden["hook"], strict=True)
        ]

    def __str__(self) -> str:
        outputs = "the same decision" if self.same_decision else "different or missing decisions"
        inside = (
            f"they differ inside at {', '.join(self.differing)}"
            if self.differing
            else "no hidden value tells them apart"
        )
        return f"{self.a} and {self.b}: {outputs} ({list(self.decision_a)} and {list(self.decision_b)}); {inside}"


def compare(model: HookedMLP, a: Any, b: Any, *, tolerance: float = 1e-6) -> Comparison:
    """Two inputs side by side at every hook point: where they differ inside, and where they come
    out alike.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(compare(textbook_xor(), [0, 0], [1, 1]))
    00 and 11: the same decision ([0] and [0]); they differ inside at h0.0 pre, h0.1 pre, h0.0 post, h0.1 post

    Raises:
        XorMiError: inputs that are not rows of bits of the network's width, train mode, weights
            that are not finite.
    """
    rows = [as_row(a, model.cfg.d_in), as_row(b, model.cfg.d_in)]
    values = activations(model, rows)
    name_a, name_b = values.rows
    if name_a == name_b:
        raise XorMiError(f"both inputs are {name_a}; give two different ones to compare")
    lines = []
    for hook, units in values.units.items():
        for index, unit in enumerate(units):
            at_a, at_b = values[hook][:, index].tolist()
            line = {"hook": hook, "unit": unit, f"value_{name_a}": at_a, f"value_{name_b}": at_b}
            lines.append(line | {"difference": at_b - at_a, "same": abs(at_b - at_a) <= tolerance})
    decided = decision(values["hook_logits"], model.threshold).tolist()
    return Comparison(
        name_a, name_b, tuple(decided[0]), tuple(decided[1]), tolerance, pd.DataFrame(lines)
    )
