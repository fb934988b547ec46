"""name -> one bit per input, as a caller gives it -> a table of bits."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError, shown
from xor_mi.kinds import Features
from xor_mi.truth import MAX_INPUTS, ArrayLike, as_bit


class ReadFeatures(NamedTuple):
    """The features of some inputs.

    Attributes:
        names: in order.
        bits: one column per feature.
    """

    names: tuple[str, ...]
    bits: Int[Tensor, "input feature"]


def read_features(features: Features, n_inputs: int, *, at_most: int = MAX_INPUTS) -> ReadFeatures:
    """Features that a caller gives, checked to be one bit per input each.

    Raises:
        XorMiError: anything but a mapping or a table of features, too many of them, or a feature
            that is not one bit per input.
    """
    if isinstance(features, pd.DataFrame):
        if len(set(map(str, features.columns))) < len(features.columns):
            twice = ", ".join(map(str, features.columns))
            raise XorMiError(f"two features are called the same, {twice}; give each a name")
        features = {str(name): features[name] for name in features.columns}
    asked = f"give 1 to {at_most} as {{name: one bit per input}}"
    if not isinstance(features, Mapping):
        raise XorMiError(f"features as {type(features).__name__} given; {asked}")
    if not 1 <= len(features) <= at_most:
        raise XorMiError(f"{len(features)} features given; {asked}")
    names = tuple(map(str, features))
    for name in names:
        if not name.strip() or not name.isprintable():
            raise XorMiError(f"a feature is called {shown(name)}; give a word such as 'a'")
    if len(set(names)) < len(names):
        raise XorMiError(f"two features are called the same, {', '.join(names)}; give each a name")
    columns = [
        _bits(name, features[given], n_inputs) for given, name in zip(features, names, strict=True)
    ]
    return ReadFeatures(names, torch.tensor(columns).T)


def _bits(name: str, column: object, n_inputs: int) -> list[int]:
    values = column.tolist() if isinstance(column, ArrayLike) else column
    if not isinstance(values, (list, tuple)) or len(values) != n_inputs:
        has = f"{len(values)} values" if isinstance(values, (list, tuple)) else shown(values)
        raise XorMiError(
            f"feature '{name}' has {has} for {n_inputs} inputs; give one bit per input"
        )
    try:
        return [as_bit(value) for value in values]
    except XorMiError as error:
        raise XorMiError(
            f"feature '{name}': {error}; threshold it, or split it into several features"
        ) from None
