"""the pairs that a caller names -> (clean, corrupted) inputs, with each different input once."""

from collections.abc import Mapping, Sequence
from itertools import chain, product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, require_memory, shown
from xor_mi.interventions._examples import (
    Examples,
    as_inputs,
    distinct_examples,
    distinct_inputs,
    pairs_of_examples,
    read_kwargs,
)
from xor_mi.interventions._sites import require_mlp
from xor_mi.kinds import HookedModel, ModelKwargs, Pairs, Row
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, NamedInputs, read_inputs, warn
from xor_mi.model._inputs import bits_of_input
from xor_mi.truth import is_array, row_name, truth_rows

Pair = tuple[tuple[int, ...], tuple[int, ...]]
"""Two input rows, (clean, corrupted)."""

BYTES_PER_PAIR = 2**7
"""The bytes that a listed pair takes: a tuple of two, and its two numbers."""


def all_pairs(n_inputs: int) -> list[Pair]:
    """All ordered pairs of distinct input rows.

    >>> all_pairs(1)
    [((0,), (1,)), ((1,), (0,))]

    Raises:
        XorMiError: more pairs than memory is allowed for.
    """
    rows = truth_rows(n_inputs)
    _require_listable(n_inputs)
    return [(a, b) for a, b in product(rows, repeat=2) if a != b]


def differing_pairs(model: HookedMLP, *, output: int = 0) -> list[Pair]:
    """All ordered pairs of rows that the model decides differently, in one decision.

    No pair has an undecided row.

    >>> from xor_mi.handmade import textbook_xor
    >>> len(differing_pairs(textbook_xor()))
    8
    """
    require_mlp(model, "listing pairs of rows")
    model.require_output(output)
    column = decisions(model)[:, output].tolist()
    decided = dict(zip(truth_rows(model.cfg.d_in), column, strict=True))
    return [(a, b) for a, b in all_pairs(model.cfg.d_in) if {decided[a], decided[b]} == {0, 1}]


class ReadPairs(NamedTuple):
    """Pairs of inputs, with each different input once: there are far fewer inputs than pairs.

    Attributes:
        names: (clean, corrupted) as text, per pair.
        examples: the different inputs, with their keyword inputs.
        clean, corrupted: the numbers of each pair's inputs among these examples, [pair].
    """

    names: tuple[tuple[str, str], ...]
    examples: Examples
    clean: Tensor
    corrupted: Tensor

    @property
    def inputs(self) -> Tensor:
        """The different inputs, [input, ...]."""
        return self.examples.inputs


def read_pairs(
    model: HookedModel, pairs: Pairs | None, model_kwargs: ModelKwargs | None = None
) -> ReadPairs:
    """The pairs that a caller names, with each different input once.

    Raises:
        XorMiError: pairs that are neither rows nor two arrays of equally many inputs.
    """
    batches = two_batches(model, pairs)
    if batches is not None:
        clean, corrupted = batches
        if clean.shape != corrupted.shape:
            raise XorMiError(
                f"clean inputs are {list(clean.shape)}, corrupted {list(corrupted.shape)}; "
                "they must pair up one to one"
            )
        if not len(clean):
            raise XorMiError(f"there are no pairs: both tensors are {list(clean.shape)}; give some")
        both = pairs_of_examples(model, clean, corrupted, model_kwargs)
        examples, numbers = distinct_examples(both)
        named = _named_by_bits(model, examples.inputs, numbers)
        if named is None:
            _warn_of_bits(model, examples.inputs)
            named = tuple((f"clean {i}", f"corrupted {i}") for i in range(len(clean)))
        return ReadPairs(named, examples, *numbers.chunk(2))
    if not isinstance(model, HookedMLP):
        raise XorMiError(_no_two_tensors(pairs))
    read_kwargs(model, model_kwargs)  # keyword inputs, which a HookedMLP does not take
    if pairs is None:
        return _all_read_pairs(model)
    _refuse_one_pair(model, pairs)
    of_texts = _of_texts(model, pairs)
    if of_texts is not None:
        return of_texts
    listed, number_of = _each_once(list(chain.from_iterable(_as_pairs(pairs))))
    if not listed:
        return ReadPairs((), Examples(model.rows([])), *torch.zeros(2, 0, dtype=torch.long))
    read = read_inputs(model, listed)
    inputs, numbers = _different(read)
    names = [read.names[number] for number in number_of]
    named = tuple(zip(names[::2], names[1::2], strict=True))
    numbers = numbers[torch.tensor(number_of, device=numbers.device)]
    return ReadPairs(named, Examples(inputs), numbers[::2], numbers[1::2])


def _named_by_bits(
    model: HookedModel, inputs: Tensor, numbers: Tensor
) -> tuple[tuple[str, str], ...] | None:
    """The pairs of two batches by their bits; None where some input is not bits of a HookedMLP.

    Args:
        inputs: the different inputs, each of which is read once.
        numbers: those of the clean inputs, then those of the corrupted ones.
    """
    if not isinstance(model, HookedMLP) or inputs.shape[1:] != (model.cfg.d_in,):
        return None
    names: list[str] = []
    for row in inputs:
        bits = bits_of_input(model, row)
        if bits is None:
            return None
        names.append(row_name(bits))
    clean, corrupted = (half.tolist() for half in numbers.chunk(2))
    return tuple((names[a], names[b]) for a, b in zip(clean, corrupted, strict=True))


def _warn_of_bits(model: HookedModel, inputs: Tensor) -> None:
    """Warn of arrays of 0 and 1 for a network with other levels: bits may be meant."""
    if not isinstance(model, HookedMLP) or set(model.cfg.input_levels) == {0, 1}:
        return
    if bool(((inputs == 0) | (inputs == 1)).all()):
        low, high = model.cfg.input_levels
        warn(
            f"the arrays of inputs hold 0 and 1, and this network takes {low:g} and {high:g}: "
            "arrays are taken as the numbers that they hold; give bits as text, such as '01', or "
            "model.rows(bits)"
        )


def _of_texts(model: HookedMLP, pairs: object) -> ReadPairs | None:
    """The usual case, a list of pairs such as ("01", "11"); None for anything else.

    Raises:
        XorMiError: a row that is not bits of this network's width.
    """
    if not isinstance(pairs, list):
        return None
    numbers: dict[str, int] = {}
    of_sides: list[int] = []
    for pair in pairs:
        if type(pair) is not tuple or len(pair) != 2:
            return None
        for row in pair:
            if type(row) is not str:
                return None
            of_sides.append(numbers.setdefault(row, len(numbers)))
    if not pairs:
        return None
    # texts that differ are different bits, and each is its own name
    inputs = model.rows(list(numbers))
    sides = torch.tensor(of_sides, device=inputs.device)
    return ReadPairs(tuple(pairs), Examples(inputs), sides[::2], sides[1::2])


def _different(read: NamedInputs) -> tuple[Tensor, Tensor]:
    """The different inputs, and each one's number among them."""
    # rows of different bits, the usual case, need no look at their numbers
    if read.bits is not None and len(set(read.bits)) == len(read.bits):
        return read.values, torch.arange(len(read.values), device=read.values.device)
    return distinct_inputs(read.values)


def one_pair(model: HookedModel, clean: Row | Tensor, corrupted: Row | Tensor) -> Pairs:
    """A clean and a corrupted input as pairs: rows of a HookedMLP, or arrays [1, ...].

    Raises:
        XorMiError: several inputs in one array, or inputs without a batch axis on a model that is
            not a HookedMLP.
    """
    batches = two_batches(model, (clean, corrupted))
    if batches is None and not isinstance(model, HookedMLP):
        given = " and ".join([_shape_or_value(one) for one in (clean, corrupted)])
        raise XorMiError(
            f"clean and corrupted are {given}; give one input each with a batch axis, such as "
            "x[None]"
        )
    if batches is None:
        return [(clean, corrupted)]
    if max(map(len, batches)) > 1:
        raise XorMiError(
            f"clean has {len(batches[0])} inputs and corrupted {len(batches[1])}, and patch takes "
            "one of each, [1, ...]; patch_sweep takes several"
        )
    return batches


def _shape_or_value(given: object) -> str:
    """A given input as text; an array by its shape."""
    return str(list(getattr(given, "shape", ()))) if is_array(given) else shown(given)


def names_of_pairs(
    pairs: Sequence[tuple[str, str]], given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """What pairs are called: what a caller gives, or "clean -> corrupted".

    Raises:
        XorMiError: anything but one text per pair.
    """
    if given is None:
        return tuple([f"{clean} -> {corrupted}" for clean, corrupted in pairs])
    return own_names("pair_names", given, len(pairs))


def own_names(argument: str, given: Sequence[str], n: int) -> tuple[str, ...]:
    """A caller's own names of pairs or rows, one text each.

    Raises:
        XorMiError: another number of them, something that is not text, or a name twice.
    """
    is_sequence = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_sequence or not all(isinstance(name, str) and name for name in given):
        raise XorMiError(f"{argument} is {shown(given)}; give a list of {n} texts")
    if len(given) != n or len(set(given)) < n:
        raise XorMiError(
            f"{argument} has {len(given)} names, {len(set(given))} of them different; give {n}, "
            "all different"
        )
    return tuple(given)


def _each_once(rows: list[Row]) -> tuple[list[Row], list[int]]:
    """Rows -> those that are read, and the number of each among them.

    A text or a tuple that stands in several pairs is read once.
    """
    numbers: dict[object, int] = {}
    listed: list[Row] = []
    number_of: list[int] = []
    for row in rows:
        # 1, 1.0 and True are equal and mean one input each, but are not read alike
        kinds = tuple(map(type, row)) if isinstance(row, tuple) else None
        key = (row, kinds) if isinstance(row, str) or _are_numbers(row) else object()
        if key not in numbers:
            numbers[key] = len(listed)
            listed.append(row)
        number_of.append(numbers[key])
    return listed, number_of


def _are_numbers(row: object) -> bool:
    """Whether this is a tuple of plain numbers."""
    return isinstance(row, tuple) and all(isinstance(entry, (int, float)) for entry in row)


def _no_two_tensors(pairs: object) -> str:
    """The message on pairs that a model without rows of bits cannot run."""
    give = "give pairs=(clean inputs, corrupted inputs), two tensors [pair, ...]"
    sides = pairs if isinstance(pairs, tuple) and len(pairs) == 2 else ()
    if sides and all(is_array(side) for side in sides):
        shapes = " and ".join([str(list(getattr(side, "shape", ()))) for side in sides])
        return f"the two arrays are {shapes}, without an axis of pairs; {give}, such as x[None]"
    if sides and all(_holds_lists(side) for side in sides):
        return f"{give}, such as (torch.tensor(clean), torch.tensor(corrupted)) of these lists"
    return f"{give}; rows of bits are for a HookedMLP only"


def _holds_lists(side: object) -> bool:
    """Whether a side is a list of lists, one per input, or of tensors."""
    if not isinstance(side, (list, tuple)) or not side:
        return False
    return all(isinstance(one, (list, tuple)) or is_array(one) for one in side)


def _all_read_pairs(model: HookedMLP) -> ReadPairs:
    """All ordered pairs of distinct rows, in the order of `all_pairs`."""
    _require_listable(model.cfg.d_in)
    read = read_inputs(model)
    names, n_rows = read.names, len(read.names)
    number = torch.arange(n_rows, device=read.values.device)
    clean, corrupted = number.repeat_interleave(n_rows), number.repeat(n_rows)
    differ = clean != corrupted
    named = tuple([(a, b) for a, b in product(names, repeat=2) if a is not b])
    return ReadPairs(named, Examples(read.values), clean[differ], corrupted[differ])


def _require_listable(n_inputs: int) -> None:
    """Refuse all pairs of too many rows, before they are listed."""
    n_pairs = 2**n_inputs * (2**n_inputs - 1)
    require_memory(
        n_pairs * BYTES_PER_PAIR,
        what=f"all {n_pairs:,} ordered pairs of the rows of {n_inputs} inputs",
        do="name the pairs you want, such as [('01', '11')]",
    )


def two_batches(model: HookedModel, pairs: object) -> tuple[Tensor, Tensor] | None:
    """(clean inputs, corrupted inputs), two arrays [pair, ...], as tensors; None for other
    pairs."""
    if not isinstance(pairs, tuple) or len(pairs) != 2:
        return None
    if not all(is_array(side) and getattr(side, "ndim", 0) > 1 for side in pairs):
        return None
    clean, corrupted = pairs
    return as_inputs(model, clean, "pairs"), as_inputs(model, corrupted, "pairs")


def _as_pairs(pairs: Pairs) -> list[tuple[Row, Row]]:
    """(clean, corrupted) rows, each pair with two."""
    # two inputs alone, each [d_in], are one pair
    is_one_pair = isinstance(pairs, tuple) and all(
        is_array(side) and getattr(side, "ndim", 0) == 1 for side in pairs
    )
    listed: Any = [pairs] if is_one_pair else pairs
    try:
        read = [(a, b) for a, b in listed]
    except (TypeError, ValueError):  # a pair that does not unpack into two
        raise _no_pairs(pairs) from None
    # a mapping would give its keys, and the rows of one array are not pairs of rows
    if isinstance(pairs, Mapping) or any(map(_is_number, chain.from_iterable(read))):
        raise _no_pairs(pairs)
    return read


def _refuse_one_pair(model: HookedMLP, pairs: object) -> None:
    """Refuse a clean and a corrupted row that are not in a list of pairs."""
    if not isinstance(pairs, (list, tuple)) or len(pairs) != 2:
        return
    d_in = model.cfg.d_in
    if all(isinstance(row, str) and len(row) == d_in for row in pairs) or all(
        isinstance(row, (list, tuple)) and row and all(map(_is_number, row)) for row in pairs
    ):
        clean, corrupted = pairs
        raise XorMiError(
            f"{shown(pairs)} is one pair; pairs are a list, also of one: "
            f"[({shown(clean)}, {shown(corrupted)})]"
        )


def _no_pairs(pairs: object) -> XorMiError:
    return XorMiError(
        f"{shown(pairs)} are not pairs; give (clean, corrupted) rows such as [('01', '11')], "
        "or two tensors"
    )


def _is_number(side: object) -> bool:
    """Whether a side of a pair is one number instead of a row."""
    return isinstance(side, (int, float)) or getattr(side, "ndim", 1) == 0
