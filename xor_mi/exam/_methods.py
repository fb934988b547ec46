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
"""Name -> method. Each is a function of a problem, with its kind of answer and its source."""

SomeMethods = (
    str | Method | ExamMethod | Iterable[str | Method | ExamMethod] | Mapping[str, Method] | None
)
"""Methods as an argument: names of `METHODS`, functions, or name -> function; None for all."""


def methods_by_name(methods: SomeMethods) -> dict[str, Method]:
    """Methods as an argument -> name -> function.

    Raises:
        XorMiError: a name that `METHODS` does not have, a value that is not a function, two methods
            of the same name, or no method.
    """
    if methods is None:
        return dict(METHODS)
    if isinstance(methods, Mapping):
        given = cast("Mapping[object, object]", methods)
        named = {str(name): _method(method)[1] for name, method in given.items()}
        if len(named) < len(given):
            raise XorMiError(
                f"two methods have the same name among {shown(list(given))}; rename one"
            )
    elif isinstance(methods, str) or callable(methods):
        name, method = _method(methods)
        named = {name: method}
    else:
        require_kind("methods", methods, Iterable, give="names of METHODS, or functions")
        named = {}
        for name, method in map(_method, methods):
            if name in named:
                raise XorMiError(
                    f"two methods are called {name}; give a mapping in which each has its own name"
                )
            named[name] = method
    if not named:
        raise XorMiError("no methods were given; give names of METHODS, or functions")
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
        raise XorMiError(f"a method is {shown(method)}; give a function of an ExamProblem")
    function = cast(Callable[..., object], method)
    return getattr(function, "__name__", type(function).__name__), cast(Method, function)
