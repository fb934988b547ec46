"""a function and a kind of unit -> the fewest hidden units, a network that has them, the proof.

From below: a constant needs none; a function that is no threshold function needs more than one
(beside direct connections more than none); sets of threshold functions are exhausted; a solver
settles what linear arithmetic can; restrictions of many inputs are looked up. From above: a network
made by hand, by the solver, or by training. Where the two do not meet, both bounds are said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError, require_at_most
from xor_mi.finding import Finding, count_text
from xor_mi.handmade._separation import separating_weights
from xor_mi.kinds import Number, Target
from xor_mi.least_units._atlas import MOST_INPUTS as MOST_INPUTS_IN_ATLAS
from xor_mi.least_units._atlas import AtlasUnit
from xor_mi.least_units._constructions import built
from xor_mi.least_units._gate_sets import a_gate_set
from xor_mi.least_units._layer import Layer, require_right
from xor_mi.least_units._restricted import hardest_restriction
from xor_mi.least_units._solver import Settled, is_installed, solved, solver_name
from xor_mi.least_units._units import HiddenUnit, UnitName, unit_kind
from xor_mi.model import STEPS, HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.training import train_population
from xor_mi.truth import BooleanFunction, ThresholdProof, threshold_proof

MOST_INPUTS = 12
"""Functions of more inputs are not asked about: their tables are too long."""

MOST_EXHAUSTED = {False: 3, True: 2}
"""Without and with direct connections: sets of up to so many gates are exhausted in seconds."""

MOST_INPUTS_SOLVED = 8
"""The solver is not asked about functions of more inputs: it would not come to an end."""

N_TRAINED = 500
"""So many networks are trained at each width where no proof says that there are none."""

ProofKind = Literal[
    "by_hand", "constant", "monotone", "exhaustion", "solver", "restriction", "training", "none"
]
"""How it is known what a number of units can do.

by_hand: a network was made. constant: without a unit the output is constant, or with direct
connections a threshold function. monotone: one unit that never falls decides along a line.
exhaustion: every set of so many threshold functions was excluded, or one found. solver: z3 over the
rationals. restriction: a function of four of the inputs needs more. training: a network was found.
none: it is not known.
"""


@dataclass(frozen=True)
class WidthAnswer:
    """What is known of one number of hidden units.

    Attributes:
        n_units: the number.
        answer: whether so many compute the function.
        kind: how that is known.
        text: the same in words.
        seconds: what it took to find out.
    """

    n_units: int
    answer: Settled
    kind: ProofKind
    text: str
    seconds: float

    def shown_line(self) -> dict[str, object]:
        """A line of the table."""
        return {
            "n_units": self.n_units,
            "answer": self.answer,
            "kind": self.kind,
            "text": self.text,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class LeastUnits(Finding):
    """The fewest hidden units that compute a function, or bounds on them.

    Attributes:
        function: the function.
        unit: the kind of hidden unit.
        direct: whether the inputs reach the outputs too, past the hidden layer.
        at_least, at_most: bounds that hold. Where they are one number, that is the answer.
        network: one of `at_most` hidden units that decides every row as the function.
            A HookedMLP has a hidden unit: where none is needed, it has one that nothing reads.
        widths: what is known of each number of units that was looked at.
    """

    function: BooleanFunction
    unit: UnitName
    direct: bool
    at_least: int
    at_most: int
    network: HookedMLP
    widths: tuple[WidthAnswer, ...]

    @property
    def number(self) -> int | None:
        """The least number of units; None where the bounds differ."""
        return self.at_least if self.at_least == self.at_most else None

    @property
    def proof(self) -> WidthAnswer | None:
        """Why one unit less than `at_least` does not do; None where that is zero."""
        return next((one for one in self.widths if one.n_units == self.at_least - 1), None)

    @cached_property
    def circuit(self) -> Circuit:
        """Which unit of the network acts as which gate.

        Raises:
            XorMiError: as `identify_circuit`: the network has more units than it reads.
        """
        return identify_circuit(self.network)

    def head(self) -> dict[str, object]:
        return {
            "function": self.function.name,
            "unit": self.unit,
            "direct": self.direct,
            "at_least": self.at_least,
            "at_most": self.at_most,
        }

    def frame(self) -> pd.DataFrame:
        """A line for each number of units that was looked at.

        Columns: n_units, answer (possible, impossible, unknown), kind (how that is known), text,
        seconds.
        """
        return pd.DataFrame([one.shown_line() for one in self.widths])

    def __str__(self) -> str:
        if self.number is None:
            count = f"at least {self.at_least} and at most {self.at_most} {self.unit} units"
            count += " beside direct connections" if self.direct else ""
        else:
            count = _counted(self.number, self.unit, direct=self.direct)
        lines = [f"{self.function.name} needs {count}"]
        lines += [f"{one.n_units} {one.answer}: {one.text}" for one in self.widths]
        return "\n  ".join(lines)


def _counted(n_units: int, unit: UnitName, *, direct: bool) -> str:
    """So many units of a kind, in words."""
    counted = f"no {unit} unit" if n_units == 0 else count_text(n_units, f"{unit} unit")
    return f"{counted} beside direct connections" if direct else counted


def least_hidden_units(
    target: Target,
    unit: UnitName = "threshold",
    *,
    direct: bool = False,
    n_inputs: int | None = None,
    max_seconds: Number = 60.0,
    progress: bool = True,
) -> LeastUnits:
    """How many hidden units a function needs, in one hidden layer that all its outputs share.

    A row is decided 1 where the output is above 0, and no row lies on the threshold. The number is
    exact for every function of one output and up to four inputs, of each kind of unit that is made
    of straight pieces (all but sigmoid, tanh and elu); beyond that it may be two bounds, each of
    which holds. One unit is settled by the argument that such a unit is monotone along a line;
    threshold and sign units of up to four inputs by looking through all sets of threshold functions
    (`gate_sets`); the others, and more inputs, by z3 over the rationals (`pip install
    'xor-mi[proof]'`). Of more than eight inputs the bound from below is that of one unit, or of a
    restriction to four inputs, and the bound from above a network made by hand.

    Args:
        target: a function of up to 12 inputs, with one output or several.
        unit: the kind of hidden unit: "threshold" (0 or 1), "sign", "relu", "leaky_relu" (of slope
            0.01 below zero), "relu6", "hardtanh", "hardsigmoid"; of "sigmoid", "tanh" and "elu",
            that no solver decides, bounds: fewer units than a step or a ReLU needs are only looked
            for by training.
        direct: whether the inputs reach the outputs too, past the hidden layer.
        n_inputs: inputs of a target that is a text.
        max_seconds: z3 may take so long for each number of units; what it leaves open is called
            unknown. After as long no further width is tried by training.

    Raises:
        XorMiError: a kind of unit that there is not, more than 12 inputs, or z3 is needed and not
            installed.

    >>> found = least_hidden_units("XOR")
    >>> print(found)
    XOR needs 2 threshold units
      0 impossible: it is not constant
      1 impossible: no line separates its rows: 01 + 10 = 00 + 11
      2 possible: a network made by hand
    >>> found.circuit.family
    'OR & ~AND'
    >>> least_hidden_units("XOR", direct=True).number
    1
    """
    kind = unit_kind(unit)
    if not isinstance(direct, bool):
        raise XorMiError(f"direct is {direct!r}; give True or False")
    seconds = _seconds(max_seconds)
    function = BooleanFunction.of(target, n_inputs)
    require_at_most(
        function.n_inputs, MOST_INPUTS, what="inputs", do="ask about a function of fewer"
    )
    return _Search(function, kind, direct, seconds, progress).result()


def _seconds(value: object) -> float:
    """A number of seconds above zero.

    Raises:
        XorMiError: anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
        return float(value)
    raise XorMiError(f"max_seconds is {value!r}; give a number of seconds above 0, such as 60")


class _Search:
    """Bounds that are brought together, from below and from above."""

    def __init__(
        self,
        function: BooleanFunction,
        kind: HiddenUnit,
        direct: bool,
        seconds: float,
        progress: bool,
    ) -> None:
        self.function, self.kind, self.direct = function, kind, direct
        self.seconds, self.progress = seconds, progress
        self.answers: list[WidthAnswer] = []
        start = monotonic()
        layer = built(function, kind.form, direct=direct)
        self.at_least = 0
        self.at_most = layer.n_units
        self.network = require_right(layer, function, kind)
        self._above("by_hand", "a network made by hand", monotonic() - start)

    def result(self) -> LeastUnits:
        self._by_lines()
        self._by_restriction()
        self._by_search()
        self._by_training()
        return LeastUnits(
            function=self.function,
            unit=self.kind.name,
            direct=self.direct,
            at_least=self.at_least,
            at_most=self.at_most,
            network=self.network,
            widths=self._known(),
        )

    def _known(self) -> tuple[WidthAnswer, ...]:
        """What is known by number of units; the last that was found out about each."""
        by_width = {one.n_units: one for one in self.answers}
        kept = [one for width, one in by_width.items() if width <= self.at_most]
        return tuple(sorted(kept, key=lambda one: one.n_units))

    @property
    def _is_open(self) -> bool:
        return self.at_least < self.at_most

    def _add(
        self, n_units: int, answer: Settled, kind: ProofKind, text: str, seconds: float
    ) -> None:
        self.answers.append(WidthAnswer(n_units, answer, kind, text, seconds))

    def _below(self, kind: ProofKind, text: str, seconds: float) -> None:
        """As many units as are asked next are impossible."""
        self._add(self.at_least, "impossible", kind, text, seconds)
        self.at_least += 1

    def _above(self, kind: ProofKind, text: str, seconds: float) -> None:
        """As many units as the network has are possible."""
        self._add(self.at_most, "possible", kind, text, seconds)

    def _take(self, layer: Layer, kind: ProofKind, text: str, seconds: float) -> None:
        """A layer of fewer units takes the place of the network."""
        self.network = require_right(layer, self.function, self.kind)
        self.at_most = layer.n_units
        self._above(kind, text, seconds)

    def _by_lines(self) -> None:
        """No unit, and one: what a line can separate."""
        start = monotonic()
        proofs = [threshold_proof(one) for one in self.function.outputs]
        impossible = next((one for one in proofs if not one.is_threshold), None)
        is_constant = not self.function.essential_inputs
        why = f"no line separates its rows: {impossible.conflict}" if impossible else ""
        if self.direct and not impossible:
            self._take(self._of_lines(proofs), "constant", "a line", monotonic() - start)
            return
        if is_constant:
            return
        text = why if self.direct else "it is not constant"
        self._below("constant", text, monotonic() - start)
        if impossible and not self.direct and self._is_open:
            self._below("monotone", why, monotonic() - start)
        elif not self.direct and self.function.n_outputs == 1 and self.at_most > 1:
            self._take(self._of_gates(self.function.outputs), "monotone", "a line", 0.0)

    def _of_lines(self, proofs: Sequence[ThresholdProof]) -> Layer:
        """Without a unit: each output a threshold of the inputs."""
        weights, thresholds = _lines_of(proofs)
        n_outputs, n_inputs = weights.shape
        return Layer(
            form=self.kind.form,
            weights=np.zeros((0, n_inputs)),
            biases=np.zeros(0),
            readout=np.zeros((n_outputs, 0)),
            out_biases=-2 * thresholds,
            direct=2 * weights,
        )

    def _of_gates(self, gates: tuple[BooleanFunction, ...]) -> Layer:
        """Threshold units that act as gates, and outputs that read them."""
        weights, thresholds = _lines_of([threshold_proof(gate) for gate in gates])
        form = "step" if self.kind.form in ("step", "clip") else "relu"
        # the sums lie at least a half from the threshold, the input of a step at least 1 from zero
        scale = 2 if form == "step" else 1
        rows = np.array(self.function.rows(), dtype=np.float64)
        if form == "step":
            values = np.array([gate.bits for gate in gates], dtype=np.float64).T
        else:
            values = np.maximum(rows @ weights.T - thresholds, 0.0)
        points = np.concatenate([values, rows], axis=1) if self.direct else values
        readouts = [separating_weights(points, np.array(table)) for table in self.function.tables]
        found = [readout for readout in readouts if readout is not None]
        assert len(found) == len(readouts)
        read = np.array([line for line, _ in found])
        n_units = len(gates)
        layer = Layer(
            form=form,
            weights=scale * weights,
            biases=-scale * thresholds,
            readout=read[:, :n_units],
            out_biases=np.array([bias for _, bias in found]),
            direct=read[:, n_units:] if self.direct else None,
        )
        return layer.of_form(self.kind.form)

    def _by_restriction(self) -> None:
        """What is left of four inputs needs as many units at least."""
        unit = _ATLAS_UNITS.get(self.kind.name)
        if unit is None or not self._is_open or self.function.n_inputs <= MOST_INPUTS_IN_ATLAS:
            return
        start = monotonic()
        hardest = hardest_restriction(self.function, unit, direct=self.direct)
        while self.at_least < hardest.n_units and self._is_open:
            self._below("restriction", str(hardest), monotonic() - start)

    def _by_search(self) -> None:
        """Number by number: all sets of gates, or the solver, as far as they settle it."""
        if not self.kind.is_exact:
            return
        widths = range(self.at_least, self.at_most)
        bar = progress_bar(
            widths, doing="looking for fewer units", unit="width", progress=self.progress
        )
        for n_units in bar:
            if self._is_exhausted(n_units):
                self._exhaust(n_units)
            elif not self._solve(n_units):
                return
            if not self._is_open:
                return

    def _is_exhausted(self, n_units: int) -> bool:
        """Whether all sets of so many gates are looked through."""
        return (
            self.kind.form == "step"
            and self.function.n_inputs <= MOST_INPUTS_IN_ATLAS
            and n_units <= MOST_EXHAUSTED[self.direct]
        )

    def _exhaust(self, n_units: int) -> None:
        """All sets of so many threshold functions."""
        start = monotonic()
        found = a_gate_set(self.function, n_units, direct=self.direct, progress=False)
        seconds = monotonic() - start
        if found.gates is None:
            text = f"none of {found.n_sets:,} sets of {n_units} threshold functions does"
            self._below("exhaustion", text, seconds)
            return
        names = " and ".join(gate.name for gate in found.gates)
        self._take(self._of_gates(found.gates), "exhaustion", f"gates {names}", seconds)

    def _solve(self, n_units: int) -> bool:
        """The solver; whether it settled this number of units."""
        if self.function.n_inputs > MOST_INPUTS_SOLVED:
            text = f"z3 is not asked about more than {MOST_INPUTS_SOLVED} inputs"
            self._add(n_units, "unknown", "none", text, 0.0)
            return False
        if not is_installed() and self._has_bounds:
            text = "z3 is not installed, which may settle it: pip install 'xor-mi[proof]'"
            self._add(n_units, "unknown", "none", text, 0.0)
            return False
        name = solver_name()
        found = solved(
            self.function,
            self.kind.form,
            n_units,
            direct=self.direct,
            max_seconds=self.seconds,
        )
        if found.answer == "impossible":
            self._below("solver", f"unsatisfiable over the rationals, by {name}", found.seconds)
        elif found.layer is not None:
            self._take(found.layer, "solver", f"weights found by {name}", found.seconds)
        else:
            text = f"{name} did not settle it within {self.seconds:g} s"
            self._add(n_units, "unknown", "none", text, found.seconds)
        return found.answer != "unknown"

    @property
    def _has_bounds(self) -> bool:
        """Whether an answer without the solver says more than that one unit is not enough."""
        return self.function.n_inputs > MOST_INPUTS_IN_ATLAS or self.kind.form == "step"

    def _by_training(self) -> None:
        """Networks of fewer units, where no proof says that there are none."""
        act_fn = self.kind.act_fn
        is_trained = act_fn not in STEPS and self.function.n_inputs <= MOST_INPUTS_SOLVED
        if not is_trained or not self._is_open:
            return
        begun = monotonic()
        for n_units in range(max(1, self.at_least), self.at_most):
            start = monotonic()
            # whoever wants to wait longer says so
            if start - begun > self.seconds:
                return
            population = train_population(
                self.function,
                N_TRAINED,
                hidden=n_units,
                act_fn=act_fn,
                direct=self.direct,
                engine="torch",
                progress=self.progress,
            )
            solved_ones = np.flatnonzero(population.solved.numpy())
            seconds = monotonic() - start
            if len(solved_ones):
                self.network = population[int(solved_ones[0])]
                self.at_most = n_units
                n_found = count_text(len(solved_ones), "network")
                self._above("training", f"{n_found} of {N_TRAINED} found it by training", seconds)
                return
            if not any(one.n_units == n_units and one.answer == "unknown" for one in self.answers):
                text = f"none of {N_TRAINED} trained networks computes it, which proves nothing"
                self._add(n_units, "unknown", "none", text, seconds)


def _lines_of(
    proofs: Sequence[ThresholdProof],
) -> tuple[Float[ndarray, "function input"], Float[ndarray, " function"]]:
    """Weights and thresholds of threshold functions."""
    weights = np.array([proof.weights for proof in proofs], dtype=np.float64)
    return weights, np.array([proof.threshold for proof in proofs])


_ATLAS_UNITS: dict[UnitName, AtlasUnit] = {
    "threshold": "threshold",
    "sign": "threshold",
    "relu": "relu",
}
"""The kinds of unit whose least numbers the atlas has."""
