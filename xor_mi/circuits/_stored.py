"""a frozen value <-> JSON: every field, read back by the kinds that the annotations of its class
name.

The other entries of a circuit's JSON are for people and other programs, and leave out what follows
from the network. These entries leave out nothing."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, shown
from xor_mi.graph import Unit
from xor_mi.model import HookedMLPConfig
from xor_mi.truth import BooleanFunction

Value = TypeVar("Value")

NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
"""What JSON has no numbers for."""


class Misshapen(Exception):
    """A stored value is not of its kind; the message says where."""


def stored(value: object) -> object:
    """A frozen value as JSON has it: by its fields, a tensor by its numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Unit):
        return [value.layer, value.index, value.is_output]
    if isinstance(value, BooleanFunction):
        return {"n_inputs": value.n_inputs, "tables": [list(table) for table in value.tables]}
    if isinstance(value, HookedMLPConfig):
        # on the CPU, as a network is saved: the reader's machine may not have the device
        return value.to_dict() | {"device": "cpu"}
    if isinstance(value, Tensor):
        return value.tolist()
    if is_dataclass(value):
        return {field.name: stored(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return [[stored(key), stored(one)] for key, one in value.items()]
    if isinstance(value, tuple):
        return [stored(one) for one in value]
    raise TypeError(f"{type(value).__name__} is not stored")


def restored(content: object, kind: type[Value], where: str = "") -> Value:
    """The value of this class that `stored` wrote.

    Args:
        where: the entry, as messages name it.

    Raises:
        Misshapen: what it did not write.
    """
    return _restored(content, kind, where)


def _restored(content: object, kind: Any, where: str) -> Any:
    """The value of a kind as annotations have it: a class, a choice, a list of several."""
    read = _READERS.get(kind)
    if read is not None:
        return read(content, where)
    origin = get_origin(kind)
    if origin is Literal:
        return _one_of(content, get_args(kind), where)
    if origin in (UnionType, Union):
        return _either(content, get_args(kind), where)
    if origin is tuple:
        return _several(content, get_args(kind), where)
    if origin is dict:
        pairs = _several(content, (tuple[get_args(kind)], ...), where)
        return dict(pairs)
    if is_dataclass(kind):
        return _by_fields(content, cast(type, kind), where)
    # everything else is a NamedTuple
    hints = _hints(kind)
    return kind(*_several(content, tuple(hints.values()), where))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _by_fields(content: object, kind: type, where: str) -> Any:
    entries = _object(content, where)
    names = [field.name for field in fields(kind)]
    missing = [name for name in names if name not in entries]
    if missing:
        raise Misshapen(f"'{_joined(where, missing[0])}' is missing")
    hints = _hints(kind)
    return kind(
        **{name: _restored(entries[name], hints[name], _joined(where, name)) for name in names}
    )


def _several(content: object, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(content, list):
        raise Misshapen(f"'{where}' is not a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(content)
    if len(kinds) != len(content):
        raise Misshapen(f"'{where}' has {len(content)} entries, not {len(kinds)}")
    return tuple(
        _restored(one, kind, f"{where}[{k}]")
        for k, (one, kind) in enumerate(zip(content, kinds, strict=True))
    )


def _either(content: object, kinds: tuple[Any, ...], where: str) -> Any:
    """A value that may be absent, or a number of either kind."""
    if content is None and NoneType in kinds:
        return None
    (kind,) = [one for one in kinds if one is not NoneType]
    return _restored(content, kind, where)


def _one_of(content: object, exists: tuple[Any, ...], where: str) -> Any:
    # type() too: 1 and True are equal
    if not any(type(content) is type(one) and content == one for one in exists):
        raise Misshapen(f"'{where}' is {shown(content)}, not one of {', '.join(map(str, exists))}")
    return content


def _whole(content: object, where: str) -> int:
    return _of_type(content, int, where)


def _bit(content: object, where: str) -> bool:
    return _of_type(content, bool, where)


def _text(content: object, where: str) -> str:
    return _of_type(content, str, where)


def _of_type(content: object, kind: type, where: str) -> Any:
    if type(content) is not kind:
        raise Misshapen(f"'{where}' is {shown(content)}, not {kind.__name__}")
    return content


def _real(content: object, where: str) -> float:
    if isinstance(content, str) and content in NOT_FINITE:
        return NOT_FINITE[content]
    if type(content) not in (int, float):
        raise Misshapen(f"'{where}' is {shown(content)}, not float")
    return float(cast(float, content))


def _real_or_whole(content: object, where: str) -> int | float:
    """A count stays a whole number."""
    return content if type(content) is int else _real(content, where)


def _unit(content: object, where: str) -> Unit:
    return Unit(*_several(content, (int, int, bool), where))


def _function(content: object, where: str) -> BooleanFunction:
    entries = _object(content, where)
    return _made(
        lambda: BooleanFunction(entries.get("n_inputs"), entries.get("tables")),  # pyright: ignore[reportArgumentType]
        where,
    )


def _config(content: object, where: str) -> HookedMLPConfig:
    entries = _object(content, where)
    return _made(lambda: HookedMLPConfig.from_dict(entries), where)


def _tensor(content: object, where: str) -> Tensor:
    """Weights are kept in float64, whatever the network computes in."""
    rows = content if isinstance(content, list) else [content]
    for row in rows:
        for number in row if isinstance(row, list) else [row]:
            _real(number, where)
    return _made(lambda: torch.tensor(content, dtype=torch.float64), where)


def _made(make: Callable[[], Any], where: str) -> Any:
    try:
        return make()
    except (XorMiError, TypeError, ValueError) as error:
        raise Misshapen(f"'{where}': {cut_short(str(error), at_most=200)}") from None


def _object(content: object, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise Misshapen(f"'{where}' is not an object")
    return content


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}"


_READERS: dict[Any, Callable[[object, str], Any]] = {
    int: _whole,
    bool: _bit,
    str: _text,
    float: _real,
    int | float: _real_or_whole,
    Unit: _unit,
    BooleanFunction: _function,
    HookedMLPConfig: _config,
    Tensor: _tensor,
}
