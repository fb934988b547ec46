"""numbers that a caller gives -> a tensor; or the same in a network's dtype, with none lost.

Python's own numbers are float64. torch makes float32 of a list of them, where 1e-50 is 0 and 1e39
is infinite; here a list is read in float64, as an array of NumPy is.
"""

from math import inf

import numpy as np
import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.truth import is_array


def read_numbers(given: object) -> Tensor:
    """Numbers as a tensor: an array's or a tensor's as they are, those of a list in float64.

    Whole numbers and bools of a list stay what they are; a whole number that no float holds becomes
    infinite, for the caller to refuse.

    Raises:
        TypeError, ValueError, RuntimeError: something that holds no numbers, as torch says it.
    """
    if is_array(given):
        return torch.as_tensor(given)
    try:
        read = torch.as_tensor(given)
    except (OverflowError, ValueError) as error:
        # beyond 64 bits; torch says this of lists of unequal lengths, too, in other words
        if "verflow" not in str(error) and "too large" not in str(error):
            raise
        entries = np.array(given, dtype=object)
        floats = [_as_float(one) for one in entries.flat]
        return torch.tensor(floats, dtype=torch.float64).reshape(entries.shape)
    return torch.as_tensor(given, dtype=torch.float64) if read.is_floating_point() else read


def _as_float(number: object) -> float:
    try:
        return float(number)  # pyright: ignore[reportArgumentType]
    except OverflowError:
        return inf


def in_dtype(values: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """Numbers in another dtype, none of them lost.

    Args:
        what: whose numbers they are, such as "fc1".

    Raises:
        XorMiError: a number that is too small or too large for the dtype, or of another kind.
    """
    if values.dtype == dtype:
        return values
    lost = _lost(values, dtype)
    if not bool(lost.any()):
        is_real = values.is_complex() and not dtype.is_complex
        return (values.real if is_real else values).to(dtype)
    number = values.detach()[lost].flatten()[0]
    name = str(dtype).removeprefix("torch.")
    if values.is_complex() or not (dtype.is_floating_point or dtype.is_complex):
        raise XorMiError(
            f"{what} has {number.item():g}, which {name} cannot hold; give {_kind_held(dtype)}"
        )
    hint = "" if dtype == torch.float64 else "; a network with dtype='float64' holds it"
    raise XorMiError(
        f"{what} has {number.item():g}, which {name} cannot hold: it would become "
        f"{number.to(dtype).item():g}{hint}"
    )


def _lost(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Which numbers change by more than the dtype's rounding; what is not finite stays so."""
    if values.dtype in (dtype, torch.bool) or (values.is_complex() and dtype.is_complex):
        return torch.zeros_like(values, dtype=torch.bool)
    if values.is_complex():
        return (values.imag != 0) | _lost(values.real, dtype)
    if dtype.is_complex:
        dtype = dtype.to_real()
    if not dtype.is_floating_point:
        return _not_among_whole(values.detach(), dtype)
    limits = torch.finfo(dtype)
    exact = values.detach() if values.is_floating_point() else values.detach().double()
    size = exact.abs()
    outside = ((size > 0) & (size < limits.tiny)) | (size > limits.max)
    # within these limits no number changes by more than its rounding
    if not bool(outside.any()):
        return outside
    change = (exact.to(dtype).double() - exact.double()).abs()
    return change > limits.eps * size.double()


def _not_among_whole(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Which real numbers a dtype of whole numbers, or of bools, does not hold."""
    if dtype == torch.bool:
        return (values != 0) & (values != 1)
    limits = torch.iinfo(dtype)
    if not values.is_floating_point():
        return (values < limits.min) | (values > min(limits.max, torch.iinfo(torch.int64).max))
    exact = values.double()
    # float64 does not have the largest 64-bit number, but has the one after it
    is_inside = (exact >= limits.min) & (exact < float(limits.max + 1))
    return ~(is_inside & (exact == exact.round()))


def _kind_held(dtype: torch.dtype) -> str:
    """The numbers that a dtype without fractions, or without imaginary parts, holds."""
    if dtype.is_floating_point:
        return "real numbers"
    if dtype == torch.bool:
        return "0 or 1"
    limits = torch.iinfo(dtype)
    return f"whole numbers from {limits.min} to {limits.max}"


def is_float64(given: object) -> bool:
    """Whether torch itself makes float64 of these numbers: an array's, or NumPy's in a list."""
    try:
        return torch.as_tensor(given).dtype == torch.float64
    except (OverflowError, ValueError):  # whole numbers beyond 64 bits
        return False


def is_held(given: object, dtype: torch.dtype) -> bool:
    """Whether a dtype can hold the numbers that a caller gives."""
    return not bool(_lost(read_numbers(given), dtype).any())
