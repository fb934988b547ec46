"""a function and a number of units -> a layer that computes it, or a proof that none does: by z3.

z3 decides linear arithmetic over the rationals: weights that it finds are fractions, and if it says
that there are none, that is a proof. Three steps keep the question linear. The size of a ReLU's
outgoing weight is moved into the unit, so that only its sign is left (z3 is asked once for every
number of units that raise the output). A step is 0 or 1 on each row. A clip with an outgoing weight
of any size is its input limited to minus and plus that size. If several outputs read units that are
not steps, each has its own sizes: these are products of two unknowns, which z3 may leave unsettled.
If inputs may be swapped, the weights of one unit can be put in order, which excludes nothing and
saves most of the work for parities.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from threading import Thread
from time import monotonic
from typing import Any, Literal

import numpy as np

from xor_mi.errors import XorMiError
from xor_mi.least_units._layer import NEGATIVE_SLOPE, Layer
from xor_mi.least_units._units import Form
from xor_mi.progress import progress_bar
from xor_mi.truth import BooleanFunction

Settled = Literal["possible", "impossible", "unknown"]
"""What is known about a number of units."""

SECONDS_BETWEEN_LOOKS = 0.1
"""After so many seconds each, it checks whether the solver is done, and Ctrl-C takes effect."""

OUT_OF_TIME = ("timeout", "canceled")
"""z3's word for the end of its time."""


@dataclass(frozen=True)
class Solved:
    """What the solver says about one number of units.

    Attributes:
        answer: whether there are such networks.
        layer: one of them, if there are any.
        seconds: how long it took.
        why: the reason that the solver gives for an open question; empty if its time was over.
    """

    answer: Settled
    layer: Layer | None
    seconds: float
    why: str = ""


def is_installed() -> bool:
    """Whether z3 is installed."""
    return find_spec("z3") is not None


def solver_name() -> str:
    """The solver with its version."""
    return f"z3 {_z3().get_version_string()}"


def solved(
    function: BooleanFunction,
    form: Form,
    n_units: int,
    *,
    direct: bool,
    max_seconds: float,
    progress: bool = True,
) -> Solved:
    """Whether so many units of a form compute a function.

    Args:
        n_units: at least 1.
        max_seconds: the time for all questions about this number together.
        progress: whether to show a bar of the seconds that z3 has used.

    Raises:
        XorMiError: z3 is not installed.
        KeyboardInterrupt: Ctrl-C, within a second.
    """
    # with several outputs, each output has its own sign
    is_signed = form in ("relu", "leaky_relu") and function.n_outputs == 1
    # counts near the middle come first, because they succeed more often
    raising = sorted(range(n_units + 1), key=lambda n: abs(2 * n - n_units)) if is_signed else [0]
    answer: Settled = "impossible"
    why = ""
    doing = f"z3 looks for a network of {n_units} units"
    with progress_bar(doing=doing, unit="s", total=ceil(max_seconds), progress=progress) as bar:
        clock = _Clock(bar, max_seconds)
        for n_raising in raising:
            question = _Question(function, form, n_units, direct, n_raising if is_signed else None)
            told = question.asked(clock)
            if told == "possible":
                return Solved(told, question.layer(), clock.seconds)
            if told == "unknown":
                answer = "unknown"
                why = why or question.why_open()
    return Solved(answer, None, clock.seconds, why)


class _Clock:
    """The time that the solver has, shown by a bar.

    Args:
        bar: a bar of seconds.
        max_seconds: how many seconds there are.
    """

    def __init__(self, bar: Any, max_seconds: float) -> None:
        self._bar = bar
        self._start = monotonic()
        self._max_seconds = max_seconds

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self._start

    @property
    def milliseconds_left(self) -> int:
        """At least one, because the solver takes 0 as no limit."""
        return max(1, round(1000 * (self._max_seconds - self.seconds)))

    def show(self) -> None:
        """Bring the bar up to the whole seconds that have passed."""
        self._bar.update(int(self.seconds) - self._bar.n)


def _z3() -> Any:
    """The solver's module. The type is Any, because z3 may not be installed.

    Raises:
        XorMiError: it is not installed.
    """
    if not is_installed():
        raise XorMiError(
            "whether fewer units are enough is proved by z3, which is not installed: "
            "pip install 'xor-mi[proof]'"
        )
    return import_module("z3")


class _Question:
    """One question to the solver: all rows decided right, by units read with given signs."""

    def __init__(
        self,
        function: BooleanFunction,
        form: Form,
        n_units: int,
        direct: bool,
        n_raising: int | None,
    ) -> None:
        self.z3 = _z3()
        self.solver = self.z3.Solver()
        self.function = function
        self.form: Form = form
        inputs, units = range(function.n_inputs), range(n_units)
        outputs = range(function.n_outputs)
        self.weights = self._table("w", units, inputs)
        self.biases = [self._real(f"b{k}") for k in units]
        self.out_biases = [self._real(f"c{o}") for o in outputs]
        self.direct = self._table("u", outputs, inputs) if direct else []
        # for a clip, the limit of its input; it is read with weight 1
        self.sizes = [self._real(f"m{k}") for k in units] if form == "clip" else []
        self.readout: list[list[Any]]
        if n_raising is not None:
            signs = [1] * n_raising + [-1] * (n_units - n_raising)
            self.readout = [signs]
        elif form == "clip" and function.n_outputs == 1:
            self.readout = [[1] * n_units]
        else:
            self.readout = self._table("v", outputs, units)
        for size in self.sizes:
            self.solver.add(size > 0)
        for number, row in enumerate(function.rows()):
            self._add_row(number, row)
        # if two inputs may be swapped, their weights may be, too: the first unit has them in order
        for i, j in _swapped_alike(function):
            self.solver.add(self.weights[0][i] >= self.weights[0][j])

    def _real(self, name: str) -> Any:
        return self.z3.Real(name)

    def _table(self, letter: str, lines: range, columns: range) -> list[list[Any]]:
        """Unknown numbers, [line][column]."""
        return [[self._real(f"{letter}{k}_{i}") for i in columns] for k in lines]

    def _add_row(self, number: int, row: tuple[int, ...]) -> None:
        """Add the units' values on a row, and the condition that it is decided right."""
        values = [self._value(unit, number, row) for unit in range(len(self.weights))]
        for o, table in enumerate(self.function.tables):
            terms = [self._read(o, unit, value) for unit, value in enumerate(values)]
            if self.direct:
                terms += _chosen(self.direct[o], row)
            output = self.z3.Sum([self.out_biases[o], *terms])
            self.solver.add(output >= 1 if table[number] else output <= -1)

    def _read(self, output: int, unit: int, value: Any) -> Any:
        """What a unit adds to an output."""
        if self.form == "step":
            return self.z3.If(value, self.readout[output][unit], 0)
        return self.readout[output][unit] * value

    def _value(self, unit: int, number: int, row: tuple[int, ...]) -> Any:
        """The value of a unit on a row: a truth value for a step, else a number."""
        z3 = self.z3
        total = z3.Sum([self.biases[unit], *_chosen(self.weights[unit], row)])
        if self.form == "clip":
            size = self.sizes[unit]
            return z3.If(total > size, size, z3.If(total < -size, -size, total))
        is_on = z3.Bool(f"on{unit}_{number}")
        if self.form == "step":
            self.solver.add(z3.If(is_on, total >= 1, total <= -1))
            # a step is off on the first row, because its complement works as well
            if number == 0:
                self.solver.add(z3.Not(is_on))
            return is_on
        value = self._real(f"a{unit}_{number}")
        low = 0 if self.form == "relu" else z3.Q(*NEGATIVE_SLOPE.as_integer_ratio()) * total
        on, off = z3.And(total >= 0, value == total), z3.And(total <= 0, value == low)
        self.solver.add(z3.If(is_on, on, off))
        return value

    def asked(self, clock: _Clock) -> Settled:
        """The solver's answer.

        It works in its own thread, so that the bar moves and Ctrl-C takes effect: z3 itself treats
        Ctrl-C as the end of its time.
        """
        self.solver.set("timeout", clock.milliseconds_left)
        self.solver.set("ctrl_c", False)
        told: list[Any] = []
        thread = Thread(target=lambda: told.append(self.solver.check()), daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(SECONDS_BETWEEN_LOOKS)
                clock.show()
        except BaseException:
            self.z3.main_ctx().interrupt()
            thread.join()
            raise
        if told == [self.z3.sat]:
            return "possible"
        return "impossible" if told == [self.z3.unsat] else "unknown"

    def why_open(self) -> str:
        """Why the last question was not settled; empty if its time was over."""
        reason = self.solver.reason_unknown()
        return "" if reason in OUT_OF_TIME else reason

    def layer(self) -> Layer:
        """The weights that were found."""
        model = self.solver.model()
        weights = np.array([self._numbers(model, line) for line in self.weights])
        readout = np.array([self._numbers(model, line) for line in self.readout])
        direct = np.array([self._numbers(model, line) for line in self.direct])
        sizes = np.array(self._numbers(model, self.sizes) or [1.0] * len(self.weights))
        return Layer(
            form=self.form,
            # clip(total) of a size is the size times a clip of size 1 of total / size
            weights=weights / sizes[:, None],
            biases=np.array(self._numbers(model, self.biases)) / sizes,
            readout=readout * sizes,
            out_biases=np.array(self._numbers(model, self.out_biases)),
            direct=direct if self.direct else None,
        )

    def _numbers(self, model: Any, unknowns: list[Any]) -> list[float]:
        """The values that were found, in their order."""
        return [self._number(model, one) for one in unknowns]

    def _number(self, model: Any, unknown: Any) -> float:
        """A value that was found; 0 if any value works."""
        if isinstance(unknown, int):
            return float(unknown)
        value = model.eval(unknown, model_completion=True)
        if self.z3.is_algebraic_value(value):
            # products may give roots; twenty decimals are more than float64 has
            value = value.approx(20)
        return float(value.as_fraction())


def _chosen(unknowns: list[Any], row: tuple[int, ...]) -> list[Any]:
    """The unknowns whose bit is 1."""
    return [one for one, bit in zip(unknowns, row, strict=True) if bit]


def _swapped_alike(function: BooleanFunction) -> list[tuple[int, int]]:
    """Neighbouring pairs of inputs that can be swapped without changing any output."""
    cubes = [np.array(table).reshape((2,) * function.n_inputs) for table in function.tables]
    # being swappable is an equivalence, so each input is paired with the next of its class
    pairs = []
    for i in range(function.n_inputs):
        for j in range(i + 1, function.n_inputs):
            if all(np.array_equal(cube, cube.swapaxes(i, j)) for cube in cubes):
                pairs.append((i, j))
                break
    return pairs
