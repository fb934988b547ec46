"""METHODS: every method that is ready to run, by name."""

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from xor_mi.errors import XorMiError, require_kind, shown, unknown
from xor_mi.exam._alignments import ALIGNMENT_METHODS
from xor_mi.exam._autolrp import LRP_METHODS
from xor_mi.exam._captum import CAPTUM_METHODS
from xor_mi.exam._circuit_tests import TEST_METHODS
from xor_mi.exam._edge_methods import EDGE_METHODS
from xor_mi.exam._gate_rule import GATE_METHODS
from xor_mi.exam._method import ExamMethod, Method
from xor_mi.exam._sets import SET_METHODS
from xor_mi.exam._unit_methods import UNIT_METHODS

_ALL = (
    *EDGE_METHODS,
    *UNIT_METHODS,
    *SET_METHODS,
    *TEST_METHODS,
    *GATE_METHODS,
    *CAPTUM_METHODS,
    *LRP_METHODS,
    *ALIGNMENT_METHODS,
)

METHODS: Mapping[str, ExamMethod] = {method.name: method for method in _ALL}
"""Name -> method. Each is a function of a problem, with what it speaks of and its source."""

SomeMethods = (
    str | Method | ExamMethod | Iterable[str | Method | ExamMethod] | Mapping[str, Method] | None
)
"""What `grade` takes: names of `METHODS`, functions, or names and functions; None for all."""


def methods_by_name(methods: SomeMethods) -> dict[str, Method]:
    """What a caller gave -> name -> function.

    Raises:
        XorMiError: a name that `METHODS` does not have, what is not a function, two of one name,
            none.
    """
    if methods is None:
        return dict(METHODS)
    if isinstance(methods, Mapping):
        given = cast("Mapping[object, object]", methods)
        named = {str(name): _method(method)[1] for name, method in given.items()}
        if len(named) < len(given):
            raise XorMiError(f"two methods have one name among {shown(list(given))}; rename one")
    elif isinstance(methods, str) or callable(methods):
        name, method = _method(methods)
        named = {name: method}
    else:
        require_kind("methods", methods, Iterable, give="names of METHODS, or functions")
        named = {}
        for name, method in map(_method, methods):
            if name in named:
                raise XorMiError(
                    f"two methods are called {name}; give a mapping, with a name of its own each"
                )
            named[name] = method
    if not named:
        raise XorMiError("no methods are given; give names of METHODS, or functions")
    return named


def _method(method: object) -> tuple[str, Method]:
    """One method and its name."""
    if isinstance(method, str):
        if method not in METHODS:
            raise unknown("method", method, METHODS, where="METHODS has")
        return method, METHODS[method]
    if isinstance(method, ExamMethod):
        return method.name, method
    if not callable(method):
        raise XorMiError(f"a method is {shown(method)}; give a function of a problem")
    function = cast(Callable[..., object], method)
    return getattr(function, "__name__", type(function).__name__), cast(Method, function)
