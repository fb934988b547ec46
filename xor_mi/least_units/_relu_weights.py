"""a function of one output and a number of ReLUs -> exact weights, or none: by an exact solver.

z3 decides linear arithmetic over the rationals: weights that it finds are fractions, and that it
finds none is its proof. A unit's size is moved into the weights that it is read with, of which only
the sign is left: for every number of units that raise the output it is asked once.
"""

from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction, truth_rows

MOST_SECONDS = 60.0
"""So long one question may take; those of up to four inputs take a second or less."""


class ReluWeights(NamedTuple):
    """A network with one hidden layer of ReLUs, whose output is at least 1 or at most -1.

    Attributes:
        weights: of each unit from each input, [unit][input].
        biases: of each unit.
        signs: 1 or -1, with which each unit is read.
        bias: of the output.
        direct: of the output from each input; empty without direct connections.
    """

    weights: tuple[tuple[Fraction, ...], ...]
    biases: tuple[Fraction, ...]
    signs: tuple[int, ...]
    bias: Fraction
    direct: tuple[Fraction, ...]

    def output(self, row: tuple[int, ...]) -> Fraction:
        """What comes out on a row, exactly."""
        found = self.bias + sum(a * x for a, x in zip(self.direct, row, strict=False))
        for weights, bias, sign in zip(self.weights, self.biases, self.signs, strict=True):
            found += sign * max(Fraction(0), bias + _dot(weights, row))
        return found

    def network(self, function: BooleanFunction) -> HookedMLP:
        """The same in float64; without a unit it has one that nothing reads."""
        n_inputs = function.n_inputs
        weights = self.weights or ((Fraction(0),) * n_inputs,)
        biases, signs = self.biases or (Fraction(0),), self.signs or (0,)
        layers = [
            ([_floats(line) for line in weights], _floats(biases)),
            ([[float(sign) for sign in signs]], [float(self.bias)]),
        ]
        return HookedMLP.from_weights(
            layers,
            target=function,
            act_fn="relu",
            dtype="float64",
            direct=[_floats(self.direct)] if self.direct else None,
        )


def relu_weights(
    function: BooleanFunction, n_units: int, *, direct: bool = False
) -> ReluWeights | None:
    """Weights of so many ReLUs that compute a function; None where there are none.

    Args:
        function: of one output.
        n_units: from 0 up.
        direct: whether the output reads the inputs as well.

    Raises:
        XorMiError: z3 is not installed, or does not settle it in a minute.
    """
    # as many again with the other sign: of n units, 0 to n raise the output
    for n_raising in range(n_units, -1, -1):
        signs = (1,) * n_raising + (-1,) * (n_units - n_raising)
        found = _with_signs(function, signs, direct=direct)
        if found is not None:
            return found
    return None


def _with_signs(
    function: BooleanFunction, signs: tuple[int, ...], *, direct: bool
) -> ReluWeights | None:
    """Weights of units that are read with these signs."""
    z3 = _z3()
    solver = z3.Solver()
    solver.set("timeout", round(1000 * MOST_SECONDS))
    n_inputs, units = function.n_inputs, range(len(signs))
    weights = [[z3.Real(f"w{unit}_{i}") for i in range(n_inputs)] for unit in units]
    biases = [z3.Real(f"b{unit}") for unit in units]
    bias = z3.Real("c")
    straight = [z3.Real(f"u{i}") for i in range(n_inputs)] if direct else []
    for number, (row, bit) in enumerate(zip(truth_rows(n_inputs), function.bits, strict=True)):
        output = bias + z3.Sum([u for u, x in zip(straight, row, strict=False) if x])
        for unit in units:
            into = biases[unit] + z3.Sum([w for w, x in zip(weights[unit], row, strict=True) if x])
            is_on, value = z3.Bool(f"on{unit}_{number}"), z3.Real(f"v{unit}_{number}")
            solver.add(
                z3.If(is_on, z3.And(into >= 0, value == into), z3.And(into <= 0, value == 0))
            )
            output = output + signs[unit] * value
        solver.add(output >= 1 if bit else output <= -1)
    answer = solver.check()
    if answer == z3.unsat:
        return None
    if answer != z3.sat:
        raise XorMiError(
            f"z3 does not settle in {MOST_SECONDS:g} s whether {len(signs)} ReLUs compute "
            f"{function.name}: {solver.reason_unknown()}"
        )
    model = solver.model()
    return ReluWeights(
        weights=tuple(tuple(_fraction(model, w) for w in line) for line in weights),
        biases=tuple(_fraction(model, b) for b in biases),
        signs=signs,
        bias=_fraction(model, bias),
        direct=tuple(_fraction(model, u) for u in straight),
    )


def _z3() -> Any:
    """The solver. Any: it is known only where it is installed.

    Raises:
        XorMiError: it is not installed.
    """
    if find_spec("z3") is None:
        raise XorMiError(
            "that fewer ReLUs are not enough is proved by z3, which is not installed: "
            "pip install z3-solver"
        )
    return import_module("z3")


def _fraction(model: Any, variable: Any) -> Fraction:
    """The value that a variable has; 0 where any value would do."""
    value = model.eval(variable, model_completion=True)
    return Fraction(value.numerator_as_long(), value.denominator_as_long())


def _dot(weights: tuple[Fraction, ...], row: tuple[int, ...]) -> Fraction:
    return sum((a * x for a, x in zip(weights, row, strict=True)), Fraction(0))


def _floats(values: tuple[Fraction, ...]) -> list[float]:
    return [float(value) for value in values]
