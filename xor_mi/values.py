"""model + rows -> every named value; two inputs compared side by side.

`activations` and `compare` read the model through its hooks, as TransformerLens caches it.
`forward_float64` is the same forward in plain float64 arithmetic without hooks: the second,
independent way, and the one that analyses of the weights (`contributions`, `circuits`) build on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from numbers import Real

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_kind, unknown
from xor_mi.finding import Finding
from xor_mi.kinds import Rows
from xor_mi.model import (
    UNDECIDED,
    HookedMLP,
    kind_of_hook,
    read_inputs,
    require_evaluable,
    require_hooked_mlp,
    stage_of_hook,
)
from xor_mi.truth import Row

__all__ = [
    "Activations",
    "Comparison",
    "LayerValues",
    "activations",
    "compare",
    "forward_float64",
    "own_scales",
    "own_score_scale",
    "own_value_scales",
]

BOUNDS = {
    "relu6": 6.0,
    "hardtanh": 1.0,
    "hardsigmoid": 1.0,
    "tanh": 1.0,
    "sigmoid": 1.0,
    "heaviside": 1.0,
    "sign": 1.0,
}
"""The size that no value of these activations exceeds."""

DISTINCT = 1e-6
"""Two values of a unit are distinct if they are further apart than this share of its range.

Float32 carries about 1e-7 of a number, and a sum over a few inputs a little less.
"""


@dataclass(frozen=True, eq=False)
class LayerValues:
    """The inputs, sums and outputs of one linear layer.

    Attributes:
        inputs: [..., source], the values that the layer reads: the network's inputs, or the units
            of the layer before. A readout with direct connections reads these units and then the
            inputs.
        pre, post: pre-activations and activations, [..., d_out].
    """

    inputs: Tensor
    pre: Tensor
    post: Tensor


def forward_float64(
    model: HookedMLP, values: Tensor, *, start: int = 0, inputs: Tensor | None = None
) -> list[LayerValues]:
    """Values entering linear layer `start` -> that layer and all after it, in float64.

    With start = 0 the values are inputs, as `model.rows()` gives them; with start = l they are
    activations of hidden layer l - 1, which may be anything: this is how the values of a layer are
    replaced and the rest of the network is run on them.

    Args:
        values: [..., width], with any leading axes.
        inputs: the network's inputs beside these values, [..., d_in], which direct connections
            read; its leading axes are those of the values, or broadcast to them.

    Raises:
        XorMiError: no inputs where direct connections need them.
    """
    layers: list[LayerValues] = []
    value = values.double().cpu()
    past_hidden = value if start == 0 else inputs
    if model.cfg.direct and past_hidden is None:
        raise XorMiError(
            f"running on from layer {start} needs inputs=..., the network's own inputs: "
            "they are connected to the outputs"
        )
    for layer, (weight, bias) in enumerate(model.float64_layers()[start:], start=start):
        if layer == model.cfg.n_layers and model.cfg.direct and past_hidden is not None:
            beside = past_hidden.double().cpu().expand(*value.shape[:-1], model.cfg.d_in)
            value = torch.cat([value, beside], dim=-1)
        pre = value @ weight.T + bias
        post = model.activate(pre, layer)
        layers.append(LayerValues(inputs=value, pre=pre, post=post))
        value = post
    return layers


def own_scales(model: HookedMLP, layers: Sequence[LayerValues]) -> list[float]:
    """Per linear layer, the size of the numbers that its pre-activations are made of.

    That is its largest weight times the largest value that it reads, or its largest bias. If all
    units that it reads are off, the largest of their pre-activations counts instead. A value below
    a millionth of this size is rounding, or what training left of zero.

    Args:
        layers: the values on some inputs, as `forward_float64` gives them.

    >>> from xor_mi.handmade import textbook_xor
    >>> model = textbook_xor()
    >>> own_scales(model, forward_float64(model, model.rows()))
    [1.0, 4.0]
    """
    scales: list[float] = []
    of_source = layers[0].inputs.abs().max().item()
    for (weight, bias), values in zip(model.float64_layers(), layers, strict=True):
        # of a readout with direct connections, these inputs are among what it reads
        of_source = max(of_source, values.inputs.abs().max().item())
        scales.append(max(weight.abs().max().item() * of_source, bias.abs().max().item()))
        of_source = values.post.abs().max().item() or values.pre.abs().max().item()
    return scales


def own_value_scales(model: HookedMLP, layers: Sequence[LayerValues]) -> list[float]:
    """Per linear layer, the size of its values after the activation; `own_scales` has its sums'.

    The values of a bounded activation are never above its bound, however large its sums are: a sum
    of a million does not tell which differences between values of tanh are rounding.

    Args:
        layers: the values on some inputs, as `forward_float64` gives them.

    >>> from xor_mi.handmade import textbook_xor
    >>> model = textbook_xor()
    >>> own_value_scales(model, forward_float64(model, model.rows()))
    [1.0, 4.0]
    """
    names = [*model.cfg.act_fns, model.cfg.out_act_fn]
    return [
        min(scale, BOUNDS.get(name, inf))
        for name, scale in zip(names, own_scales(model, layers), strict=True)
    ]


def own_score_scale(model: object, inputs: Tensor) -> float:
    """The size of the numbers that a network's scores are made of, as in `own_scales`.

    It is 0 if it is not known: for a model that is not a HookedMLP, and after an output activation.
    """
    if not isinstance(model, HookedMLP) or model.cfg.out_act_fn != "identity":
        return 0.0
    return own_scales(model, forward_float64(model, inputs))[-1]


@dataclass(frozen=True, eq=False)
class Activations(Finding):
    """Every value of a forward: hook name -> values [row, unit].

    Attributes:
        rows: the inputs, as bits.
        values: hook name -> [row, unit].
        units: hook name -> the names of the units, in the order of the values.
        scales: hook name -> the size of the numbers that its values are made of; only hooks that
            hold sums have one.
    """

    rows: tuple[str, ...]
    values: dict[str, Tensor]
    units: dict[str, list[str]] = field(repr=False)
    scales: dict[str, float] = field(default_factory=dict, repr=False)

    def __getitem__(self, hook_name: str) -> Float[Tensor, "row unit"]:
        """The values at one hook point, by its whole name.

        Raises:
            XorMiError: a name that is not there; it lists those that are.
        """
        # a list, so that a value without a hash gets the message and not a TypeError
        if hook_name not in list(self.values):
            raise unknown("hook", hook_name, self.values, where="by full name these values have")
        return self.values[hook_name]

    def __str__(self) -> str:
        n_values = sum(len(units) for units in self.units.values())
        return f"{n_values:,} values at {len(self.units)} hook points, on {len(self.rows)} inputs"

    def frame(self) -> pd.DataFrame:
        """Columns row, hook, unit, value; one line per row, hook and unit."""
        lines: list[dict[str, object]] = []
        for r, row in enumerate(self.rows):
            for hook, units in self.units.items():
                values = self.values[hook][r].tolist()
                for unit, value in zip(units, values, strict=True):
                    lines.append({"row": row, "hook": hook, "unit": unit, "value": value})
        return pd.DataFrame(lines)

    def wide_frame(self) -> pd.DataFrame:
        """The same numbers in a table to read: one line per row, one column per unit and hook.

        A column is called "h0.0 post".
        """
        columns: dict[str, list[float]] = {}
        for hook, units in self.units.items():
            # [row, unit] turned: one column of numbers per unit
            for unit, values in zip(units, self.values[hook].T, strict=True):
                columns[f"{unit} {stage_of_hook(hook)}"] = values.tolist()
        index = pd.Index(self.rows, name="row")
        wide = pd.DataFrame(columns, index=index).rename_axis(columns="column")
        return wide[~index.duplicated()]  # a row that is given twice makes one line


@torch.no_grad()
def activations(model: HookedMLP, rows: Rows | None = None) -> Activations:
    """Run the model on input rows (all 2^d_in by default) and name every value at every hook point.

    Args:
        rows: bits, or other numbers that the network is run on, such as [[0.1, 0.9]].

    Raises:
        XorMiError: rows that are neither bits nor numbers, a model in train mode, weights that are
            not finite.

    >>> from xor_mi.handmade import textbook_xor
    >>> activations(textbook_xor()).wide_frame()["h0.1 post"].tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    require_hooked_mlp(model, "activations")
    require_evaluable(model, "activations")
    read = read_inputs(model, rows)
    units = dict(model.hook_places())
    # only these hook points: if the edge hooks are on, their values do not belong to units
    _, cache = model.run_with_cache(
        read.values, names_filter=list(units), return_cache_object=False
    )
    of_layers = own_scales(model, forward_float64(model, read.values))
    # after the inputs every other hook point has sums, and so has the first of the outputs
    sums = list(units)[1::2]
    return Activations(
        rows=read.names,
        values={hook: cache[hook] for hook in units},
        units=units,
        scales=dict(zip(sums, of_layers, strict=True)),
    )


@dataclass(frozen=True, eq=False)
class Comparison(Finding):
    """Two inputs at every hook point.

    Attributes:
        a, b: the inputs by name, "01" of bits.
        decision_a, decision_b: every decision, one per output (one in all by argmax over two); -1
            is undecided.
        tolerance: values closer than this part of the largest one at their hook point count as the
            same.
    """

    a: str
    b: str
    decision_a: tuple[int, ...]
    decision_b: tuple[int, ...]
    tolerance: float
    _frame: pd.DataFrame = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One line per hook point and unit.

        Columns: hook, unit, value_a and value_b (the value on each input), difference (b - a), and
        same: whether they agree within the tolerance.
        """
        return self._frame.copy()

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "a": self.a,
            "b": self.b,
            "decision_a": self.decision_a,
            "decision_b": self.decision_b,
            "tolerance": self.tolerance,
        }

    @property
    def same_decision(self) -> bool:
        """Whether both inputs are decided, and in the same way."""
        return self.decision_a == self.decision_b and UNDECIDED not in self.decision_a

    @property
    def differing(self) -> list[str]:
        """The hidden places that tell the two inputs apart, such as 'h0.1 post'."""
        different = self._frame[~self._frame["same"]]
        return [
            f"{unit} {stage_of_hook(hook)}"
            for hook, unit in zip(different["hook"], different["unit"], strict=True)
            if kind_of_hook(hook) == "unit"
        ]

    def _shown(self) -> tuple[str, pd.DataFrame]:
        on = {"value_a": f"on {self.a}", "value_b": f"on {self.b}"}
        return str(self), self.frame().rename(columns=on)

    def __str__(self) -> str:
        outputs = "the same decision" if self.same_decision else "different or missing decisions"
        if self.differing:
            inside = f"they differ inside at {', '.join(self.differing)}"
        else:
            inside = "no hidden value tells them apart"
        decided = f"{_bits(self.decision_a)} and {_bits(self.decision_b)}"
        return f"{self.a} and {self.b}: {outputs} ({decided}); {inside}"


def _bits(decision: Sequence[int]) -> str:
    """The decisions as text: '0', or '0, 1' for two; 'undecided' in place of a missing bit."""
    return ", ".join("undecided" if bit == UNDECIDED else str(bit) for bit in decision)


def compare(
    model: HookedMLP, a: Row, b: Row | None = None, *, tolerance: float = 1e-6
) -> Comparison:
    """Two inputs side by side at every hook point.

    It shows where they differ inside, and whether their decisions are the same.

    Args:
        a, b: rows of bits, or of other numbers that the network is run on, such as [0.1, 0.9].
            Both are needed.
        tolerance: values closer than this part of the largest one at their hook point count as the
            same.

    Raises:
        XorMiError: another network in place of an input; inputs that are neither bits nor numbers,
            or not of the network's width; the same input twice; train mode; weights that are not
            finite.

    >>> from xor_mi.handmade import textbook_xor
    >>> comparison = compare(textbook_xor(), [0, 0], [1, 1])
    >>> comparison.same_decision, comparison.differing
    (True, ['h0.0 pre', 'h0.1 pre', 'h0.0 post', 'h0.1 post'])
    """
    if isinstance(a, nn.Module) or b is None:
        given = "one input" if b is None else "another network"
        given = "two networks" if isinstance(a, nn.Module) else given
        raise XorMiError(
            f"compare(model, a, b) takes two inputs of one network, not {given}; "
            "xor_mi.testing.assert_same_circuit(a, b) compares two networks"
        )
    require_hooked_mlp(model, "comparing two inputs")
    require_kind("tolerance", tolerance, Real, give="a number, such as 1e-6")
    values = activations(model, [a, b])
    name_a, name_b = values.rows
    if name_a == name_b:
        raise XorMiError(f"both inputs are {name_a}; give two different ones to compare")
    lines: list[dict[str, object]] = []
    for hook, units in values.units.items():
        # relative, so that a network with small weights is told apart like any other
        largest = values[hook].abs().max().item()
        # [2, unit] turned: per unit its value on a and its value on b
        for unit, (value_a, value_b) in zip(units, values[hook].T.tolist(), strict=True):
            difference = value_b - value_a
            lines.append(
                {
                    "hook": hook,
                    "unit": unit,
                    "value_a": value_a,
                    "value_b": value_b,
                    "difference": difference,
                    "same": abs(difference) <= tolerance * largest,
                }
            )
    output_hook, _ = model.hook_site("y0")
    decided_a, decided_b = model.rule.decide(values[output_hook]).tolist()
    return Comparison(
        a=name_a,
        b=name_b,
        decision_a=tuple(decided_a),
        decision_b=tuple(decided_b),
        tolerance=tolerance,
        _frame=pd.DataFrame(lines),
    )
