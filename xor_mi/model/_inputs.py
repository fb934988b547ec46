"""rows that a caller gives -> the inputs of a HookedMLP, each with a name.

Rows are bits: '01', [0, 1], a tensor or an array of 0s and 1s. Where they are not, they are the
numbers that the network is run on, such as [0.1, 0.9]: at the levels 0 and 1 that is the same thing
for bits. Lists, arrays and tensors mean the same.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, shown
from xor_mi.kinds import Rows
from xor_mi.model._guards import all_finite
from xor_mi.model._network import HookedMLP
from xor_mi.model._numbers import in_dtype, read_numbers
from xor_mi.truth import as_row, is_array, row_name, truth_rows


class NamedInputs(NamedTuple):
    """What a HookedMLP is run on.

    Attributes:
        names: "01" of bits, "(0.1, 0.9)" of other numbers.
        values: the numbers, [input, d_in].
        bits: the inputs as tuples of bits; None if one of them is at neither level.
    """

    names: tuple[str, ...]
    values: Tensor
    bits: tuple[tuple[int, ...], ...] | None


def read_inputs(model: HookedMLP, rows: Rows | None = None) -> NamedInputs:
    """Rows of bits, or of any numbers, as the inputs of this network (all rows by default).

    They are numbers where one of them is neither 0 nor 1; text is bits always. One row alone may be
    given as it is.

    >>> from xor_mi.handmade import textbook_xor
    >>> read_inputs(textbook_xor(), [[0.5, 1], "01"]).names
    ('(0.5, 1.0)', '01')

    Raises:
        XorMiError: rows that are neither bits nor finite numbers, or not of the network's width.
    """
    if rows is None:
        rows = truth_rows(model.cfg.d_in)
    require_kind("rows", rows, Iterable, give="input rows, such as ['00', '01']")
    if getattr(rows, "ndim", 1) == 0:
        raise XorMiError(
            f"rows is one number, {shown(rows)}; give input rows, such as ['00', '01']"
        )
    given = _one_by_one(rows)
    try:
        bits = model.read_rows(given)
    except XorMiError as refusal:
        return _as_numbers(model, given, refusal)
    return NamedInputs(tuple([row_name(row) for row in bits]), model.rows(bits), bits)


def _one_by_one(rows: Rows) -> list[Any]:
    """The rows as a list; one row alone, [d_in], is a list of one, and so is each as [1, d_in]."""
    given: list[Any] = list(rows)
    is_text = isinstance(rows, str) or any(isinstance(row, str) for row in given)
    if given and not is_text and all(_depth(row) == 0 for row in given):
        return [given]
    return [_without_first_axis(row) for row in given]


def _depth(value: object) -> int:
    """The number of axes of an array or a number; 1 of any list."""
    if isinstance(value, (list, tuple, str)):
        return 1
    return getattr(value, "ndim", 0) if is_array(value) or isinstance(value, (int, float)) else 1


def _without_first_axis(row: object) -> object:
    """An array or a list [1, d_in] as [d_in]; anything else as it is."""
    if isinstance(row, (list, tuple)) and len(row) == 1:
        return row[0] if isinstance(row[0], (list, tuple, str)) or _depth(row[0]) == 1 else row
    if is_array(row) and _depth(row) == 2:
        values = row.tolist()
        return values[0] if len(values) == 1 else row
    return row


def _as_numbers(model: HookedMLP, rows: list[Any], refusal: XorMiError) -> NamedInputs:
    """Rows that are not bits alone, as numbers.

    refusal: why they are not bits; it is raised if they are not numbers either.
    """
    weight = model.linears[0].weight
    values: list[Tensor] = []
    for row in rows:
        if isinstance(row, str):
            values.append(model.rows([row])[0])
            continue
        try:
            numbers = read_numbers(row).detach()
        except (TypeError, ValueError, RuntimeError):
            raise refusal from None
        if numbers.shape != (model.cfg.d_in,) or numbers.is_complex():
            raise refusal
        values.append(in_dtype(numbers, weight.dtype, "the input").to(weight.device))
    inputs = torch.stack(values)
    if not all_finite(inputs):
        raise XorMiError(f"{shown(rows)} has NaN or infinite entries; give finite inputs")
    bits = [bits_of_input(model, row) for row in inputs]
    names = [
        _name_of(row) if known is None else row_name(known)
        for row, known in zip(inputs, bits, strict=True)
    ]
    known_bits = [row for row in bits if row is not None]
    return NamedInputs(
        names=tuple(names),
        values=inputs,
        bits=tuple(known_bits) if len(known_bits) == len(bits) else None,
    )


def bits_of_input(model: HookedMLP, row: Tensor) -> tuple[int, ...] | None:
    """Numbers at the network's two levels as bits; None if one is at neither."""
    try:
        return as_row(model.bits_of(row), model.cfg.d_in)
    except XorMiError:
        return None


def _name_of(row: Tensor) -> str:
    """Numbers as text, in as few digits as tell them apart in their own dtype."""
    is_wide = row.dtype == torch.float64
    # NumPy writes the shortest text that reads back as the same number of this dtype
    numbers = row.cpu().numpy() if is_wide else row.cpu().float().numpy()
    return f"({', '.join(str(number) for number in numbers)})"
