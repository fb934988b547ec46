"""what a caller gives -> the different inputs, each with its combination of the features.

For a HookedMLP everything has a default: all rows, and their bits.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.interventions._brought import brought_examples, brought_features, first_of_each
from xor_mi.interventions._examples import Examples
from xor_mi.kinds import Features, HookedModel, Inputs, ModelKwargs
from xor_mi.truth import row_name

__all__ = ["Samples", "read_samples"]

MAX_FEATURES = 6
"""More features than this are refused, because the table of n features has 2^n rows."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The different inputs of a caller, in the order in which they first appear.

    Attributes:
        features: their names; the first is the most significant bit of a row.
        n_given: how many inputs were given, copies among them.
        different: the different inputs, on which the model is run.
        rows: the combination of the features of each of them, such as '01'.
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
        """For each input, the number of its combination among those that occur."""
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
        XorMiError: no inputs; features that are not bits, that are too many, or that differ for
            equal inputs; on a model other than a HookedMLP, missing inputs or features.
    """
    examples = brought_examples(model, inputs, model_kwargs)
    names, bits = brought_features(model, examples, features, at_most=MAX_FEATURES)
    rows = [row_name(row) for row in bits.tolist()]
    if len(set(rows)) < 2:
        raise XorMiError(
            f"all inputs have the same features, {rows[0]}; "
            "give inputs of at least two combinations"
        )
    first = first_of_each(examples, rows)
    return Samples(
        names, len(examples), examples[first], tuple([rows[one] for one in first.tolist()])
    )
