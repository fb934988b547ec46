"""a network's values on its rows -> whether its dtype has room for them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.model._network import HookedMLP
from xor_mi.truth import row_name

LARGEST_TERMS = 1e300
"""The largest size that a unit may add up: such values have finite sums and differences."""


def require_finite_run(model: HookedMLP, reads: Sequence[Tensor], operation: str) -> None:
    """Refuse a network whose units add up to more than its dtype, or float64, can hold.

    Infinity minus infinity is not a number, so that no statement about such a network would be
    true.

    Args:
        reads: per linear layer, the values that it reads on every row of `model.rows()`, in
            float64, [row, source].
        operation: what needs it, the subject of the message.

    Raises:
        XorMiError: naming the first such unit and its first row.

    >>> from xor_mi.values import forward_float64
    >>> layers = [([[1e200], [1e200]], [0, 0]), ([[1e200, 0]], [0])]
    >>> model = HookedMLP.from_weights(layers, dtype="float64")
    >>> reads = [values.inputs for values in forward_float64(model, model.rows())]
    >>> require_finite_run(model, reads, "the bench")
    Traceback (most recent call last):
    ...
    xor_mi.errors.XorMiError: the bench needs values that float64 can hold; on row 1 y0 adds up \
to more than 1e+300: make the weights of its layer, or of one before it, smaller
    """
    name = str(model.cfg.dtype).removeprefix("torch.")
    wider = "" if name == "float64" else ", or take dtype='float64'"
    most = min(torch.finfo(model.cfg.dtype).max, LARGEST_TERMS)
    for layer, (weight, bias) in enumerate(model.float64_layers()):
        terms = reads[layer].abs() @ weight.abs().T + bias.abs()
        # NaN is not below anything
        fits = terms <= most
        if bool(fits.all()):
            continue
        row, unit = (~fits).nonzero()[0].tolist()
        place = Unit(layer, unit, is_output=layer == model.cfg.n_layers)
        raise XorMiError(
            f"{operation} needs values that {name} can hold; on row "
            f"{row_name(model.read_rows(None)[row])} {place.name} adds up to more than {most:.4g}: "
            f"make the weights of its layer, or of one before it, smaller{wider}"
        )
