"""what a caller gives -> the different inputs, each with its combination of the features.

On a HookedMLP everything has a default: all rows, their bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.interventions._examples import Examples, as_inputs, distinct_examples, examples_of
from xor_mi.interventions._features import read_features
from xor_mi.kinds import Features, HookedModel, Inputs, ModelKwargs
from xor_mi.model import HookedMLP, read_inputs
from xor_mi.truth import ArrayLike, row_name

__all__ = ["Samples", "read_samples"]

MAX_FEATURES = 6
"""More features than this are refused: a table of n features has 2^n rows to be seen."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The different inputs of a caller, in the order in which they first appear.

    Attributes:
        features: their names; the first is the most significant bit of a row.
        n_given: how many inputs were given, copies among them.
        different: what the model is run on.
        rows: the combination of the features that each has, such as '01'.
    """

    features: tuple[str, ...]
    n_given: int
    different: Examples
    rows: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.different)

    @property
    def rows_seen(self) -> tuple[str, ...]:
        """The combinations that occur, in the order of the truth table."""
        return tuple(sorted(set(self.rows)))

    @property
    def combination(self) -> Int[Tensor, " input"]:
        """Of each input the number of its combination among those that occur."""
        number_of = {row: number for number, row in enumerate(self.rows_seen)}
        return torch.tensor([number_of[row] for row in self.rows])


def read_samples(
    model: HookedModel,
    inputs: Inputs | None,
    features: Features | None,
    model_kwargs: ModelKwargs | None,
) -> Samples:
    """The inputs and features asked for, with the defaults of a HookedMLP.

    Raises:
        XorMiError: no inputs, features that are no bits, too many, or not decided by the input, or
            what has no default on another model.
    """
    examples = _examples(model, inputs, model_kwargs)
    names, bits = _features(model, examples, features)
    rows = [row_name(row) for row in bits.tolist()]
    if len(set(rows)) < 2:
        raise XorMiError(
            f"all inputs have the same features, {rows[0]}; "
            "give inputs of at least two combinations"
        )
    first = _first_of_each(examples, rows)
    return Samples(
        names, len(examples), examples[first], tuple([rows[one] for one in first.tolist()])
    )


def _first_of_each(examples: Examples, rows: Sequence[str]) -> Int[Tensor, " input"]:
    """The number of the first sample with each input, in order.

    Raises:
        XorMiError: one input with two combinations of the features.
    """
    # inputs of no numbers, as of a model that holds its own, are not told to be equal
    if not examples.inputs.numel():
        return torch.arange(len(examples))
    _, number_of = distinct_examples(_without_minus_zero(examples))
    first: dict[int, int] = {}
    for sample, number in enumerate(number_of.tolist()):
        before = first.setdefault(number, sample)
        if rows[before] != rows[sample]:
            raise XorMiError(
                f"samples {before} and {sample} are the same input with the features "
                f"{rows[before]} and {rows[sample]}, which no unit can tell apart; give features "
                "that the input decides"
            )
    return torch.tensor(list(first.values()))


def _without_minus_zero(examples: Examples) -> Examples:
    """0.0 and -0.0 are one input here: they are no evidence of each other."""
    inputs = examples.inputs
    return Examples(inputs + 0.0 if inputs.is_floating_point() else inputs, examples.each)


def _examples(
    model: HookedModel, inputs: Inputs | None, model_kwargs: ModelKwargs | None
) -> Examples:
    if isinstance(model, HookedMLP) and not isinstance(inputs, Tensor):
        return examples_of(model, read_inputs(model, inputs).values, model_kwargs)
    if not isinstance(inputs, ArrayLike):
        raise XorMiError(
            "inputs must be a tensor [input, ...] of what the model is run on; all rows of bits "
            "are the default on a HookedMLP only"
        )
    values = as_inputs(model, inputs, "inputs")
    if values.ndim == 0 or len(values) == 0:
        raise XorMiError(
            f"inputs have shape {list(values.shape)}; give a tensor [input, ...] with at least one"
        )
    if values.is_meta:
        raise XorMiError("inputs are on the meta device, which holds no numbers; give real ones")
    return examples_of(model, values, model_kwargs)


def _features(
    model: HookedModel, examples: Examples, features: Features | None
) -> tuple[tuple[str, ...], Int[Tensor, "input feature"]]:
    """Names and bits."""
    if features is None:
        if not isinstance(model, HookedMLP):
            raise XorMiError(
                "nothing says which bits the inputs have; give features={name: one bit per input}"
            )
        bits = model.bits_of(examples.inputs).cpu()
        return tuple(f"x{k}" for k in range(bits.shape[1])), bits
    return read_features(features, len(examples), at_most=MAX_FEATURES)
