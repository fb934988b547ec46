"""what a caller may give: one name for each kind of argument, and the protocol of a hooked model.

A signature says `rows: Rows`, and this page says what that is. A value of another kind is answered
by the function itself, with an `XorMiError` that says what to give.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import pandas as pd
from torch import Tensor

from xor_mi.graph import Edge, Site, Unit
from xor_mi.truth import ArrayLike, BooleanFunction, Row

__all__ = [
    "AblationValue",
    "ActivationName",
    "AttributionMethod",
    "Bounds",
    "CheckpointSteps",
    "Decide",
    "DecisionRuleName",
    "Direction",
    "Features",
    "HiddenActivations",
    "HookName",
    "HookNames",
    "HookedModel",
    "Inputs",
    "LabelledMetric",
    "Layers",
    "Layout",
    "Levels",
    "LossName",
    "Metric",
    "Metrics",
    "ModelKwargs",
    "Number",
    "Numbers",
    "OneSite",
    "OptimizerName",
    "OutputKind",
    "Pairs",
    "PathLike",
    "Place",
    "Row",
    "Rows",
    "Sites",
    "SomePlace",
    "SomeSite",
    "StepAtZero",
    "SubsetRule",
    "Target",
    "TwoLevelActivation",
    "UpTo",
    "Widths",
]

Rows = Iterable[Row] | Tensor
"""Several input rows: ["00", "01"], bits [[0, 0], [0, 1]], or a tensor [row, d_in]."""

Target = str | BooleanFunction
"""What a network should compute: a gate's name, a formula, or a `BooleanFunction`."""

Place = str | Unit | Edge
"""A place in a HookedMLP: "h0.1", "x0", "y0", "x0->h0.1", or the `Unit` or `Edge` of that name."""

OneSite = Place | Site
"""Where one intervention writes: a place, or a hook point with an index."""

SomePlace = TypeVar("SomePlace", bound=Place)
"""The keys of a mapping by place: names, units, edges or a mixture. A `Mapping[Place, ...]` would
refuse a variable of type `dict[str, ...]`, because a mapping's key type is invariant.
"""

SomeSite = TypeVar("SomeSite", bound=OneSite)
"""The keys of a mapping by site, with a variable for the same reason."""

Sites = OneSite | Iterable[OneSite | Iterable[OneSite]]
"""Sites to intervene on, one after the other; an entry of several sites is written together."""

Pairs = Iterable[tuple[Row, Row]] | tuple[Tensor, Tensor]
"""(clean, corrupted) rows of a HookedMLP; on any model two tensors of inputs, [pair, ...] each."""

Inputs = Rows | Tensor
"""Rows of bits for a HookedMLP, or the inputs of any hooked model, a tensor [input, ...]."""

Metric = Callable[[Tensor], Tensor]
"""Outputs [batch, ...] -> one number per example, [batch]."""

LabelledMetric = Callable[[Tensor, Tensor], Tensor]
"""Outputs [batch, ...] and labels [batch] -> one number per example: the second of its arguments is
called labels.
"""

Metrics = Metric | LabelledMetric | Mapping[str, Metric | LabelledMetric]
"""One metric, or several by name."""

Decide = Callable[[Tensor], Tensor]
"""Outputs [batch, ...] -> what the model decides: 1, 0, or -1 where undecided, per example.

Ready-made are `metrics.by_threshold`, `metrics.by_argmax` and `metrics.by_tokens`.
"""

ModelKwargs = Mapping[str, object]
"""Keyword inputs of a model's forward by name, such as an attention mask.

A tensor has one entry per input, [input, ...]; for pairs of inputs it is [pair, ...], the same for
both sides, or a tuple of two such tensors (of the clean inputs, of the corrupted ones). Anything
that is not a tensor is passed unchanged to every forward.
"""

Features = Mapping[str, Sequence[bool | int | float] | ArrayLike] | pd.DataFrame
"""Name -> one bit per input, as a list, a tensor or an array; or a table with a column each."""

Widths = int | Sequence[int]
"""Widths of the hidden layers; a number means one hidden layer."""

Number = int | float
"""A real number. Both are named because a check at run time does not take an int for a float."""

Bounds = tuple[Number, Number] | tuple[tuple[Number, Number], tuple[Number, Number]]
"""(low, high) of both inputs, or one such pair for x0 and one for x1."""

PathLike = str | Path
"""A place on disk."""

Numbers = ArrayLike | Sequence[int | float] | Sequence[Sequence[int | float]]
"""Numbers as a list, a list of lists, an array or a tensor."""

Layers = Iterable[tuple[Numbers, Numbers | None]]
"""Weights and biases layer by layer, [(W, b), ...], W [d_out, d_in]; a bias may be None."""

Layout = Literal["out_in", "in_out"]
"""The layout of a weight matrix: [d_out, d_in] as in PyTorch, or [d_in, d_out] as in x @ W."""

HookName = str | Callable[[str], bool]
"""Which hook points: one by its name, or all whose name a predicate is true of."""

HookNames = HookName | Iterable[HookName]
"""One or several hook points."""

ActivationName = Literal[
    "relu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "hardsigmoid",
    "tanh",
    "sigmoid",
    "softplus",
    "elu",
    "silu",
    "gelu",
    "gelu_tanh",
    "identity",
    "heaviside",
    "sign",
]
"""An activation function of a HookedMLP; `xor_mi.model.ACTIVATIONS` has them as functions."""

HiddenActivations = ActivationName | Sequence[ActivationName]
"""The activation of all hidden layers, or one per hidden layer."""

StepAtZero = Literal[0, 1]
"""A step's state exactly at zero: off, as in a network written with >, or on, as with >=."""

Levels = tuple[Number, Number]
"""The numbers that stand for bit 0 and for bit 1."""

DecisionRuleName = Literal["threshold", "argmax"]
"""How outputs are decided: each by a threshold, or by which of them is the largest."""

OutputKind = Literal["logit", "probability", "output"]
"""What the outputs of a network are; "output" if they are neither of the others."""

TwoLevelActivation = Literal["heaviside", "sigmoid", "tanh", "sign"]
"""An activation whose units can be at one of two levels, which a compiled netlist needs."""

LossName = Literal["bce", "mse", "ce"]
"""What training minimises.

Binary cross-entropy of each output's logit, squared error of the outputs, or the cross-entropy of
several outputs of which one should win.
"""

OptimizerName = Literal["adam", "adamw", "sgd"]
"""An optimiser, by PyTorch's definition and default settings."""

EngineName = Literal["torch", "numba"]
"""What trains: PyTorch's operations, or a loop that numba compiles."""

CheckpointSteps = str | Iterable[int] | ArrayLike
"""At which steps networks are kept while they train: their numbers, "log" or "every 10"."""

Direction = Literal["denoising", "noising"]
"""Denoising patches the clean value into the corrupted run, noising the other way round."""

AttributionMethod = Literal[
    "exact_patching",
    "direct_logit",
    "attribution_patching",
    "integrated_gradients",
    "shapley",
    "random",
]
"""How the effect of a site is found or estimated; `xor_mi.interventions.METHODS` has them."""

SubsetRule = Literal["single", "pairs", "all"]
"""Which subsets of sites are ablated."""

AblationValue = Literal["zero", "mean", "resample"] | Number | Tensor
"""What an ablated activation becomes."""

UpTo = Literal["signature", "family"]
"""How far two circuits may differ and still count as the same."""


@runtime_checkable
class HookedModel(Protocol):
    """A model with TransformerLens hooks.

    A HookedMLP, any other `HookedRootModule` after `setup()`, or a `TransformerBridge`.
    """

    # Any below: these signatures are TransformerLens', and they differ between its kinds of model.

    @property
    def hook_dict(self) -> Mapping[str, Any]:
        """Hook name -> hook point."""
        ...

    def hooks(self, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        """Hooks that are there inside a `with` block."""
        ...

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        """Outputs and cached activations."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Inputs [batch, ...] -> outputs [batch, ...]."""
        ...
