"""a function and a kind of unit -> the fewest hidden units, a network that has them, the proof.

From below: a constant needs no unit; a function that is not a threshold function needs more than
one (with direct connections more than none); sets of threshold functions are exhausted; a solver
settles what linear arithmetic can; restrictions of functions with many inputs are looked up. From
above: a network is made by hand, by the solver, or by training. If the two bounds differ, both are
given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError, cut_short, require_at_most, shown
from xor_mi.finding import Finding, count_text
from xor_mi.handmade._separation import separating_weights
from xor_mi.kinds import Number, Target
from xor_mi.least_units._atlas import MOST_INPUTS as MOST_INPUTS_IN_ATLAS
from xor_mi.least_units._atlas import AtlasUnit, atlas
from xor_mi.least_units._constructions import built
from xor_mi.least_units._gate_sets import a_gate_set
from xor_mi.least_units._layer import Layer, require_right
from xor_mi.least_units._restricted import hardest_restriction
from xor_mi.least_units._solver import Settled, is_installed, solved, solver_name
from xor_mi.least_units._units import KINDS, HiddenUnit, UnitName, unit_kind
from xor_mi.model import STEPS, HookedMLP
from xor_mi.training import train_population
from xor_mi.truth import BooleanFunction, ThresholdProof, threshold_proof

MOST_INPUTS = 12
"""Functions with more inputs are refused: their tables are too long."""

MOST_EXHAUSTED = {False: 3, True: 2}
"""Sets of up to so many gates are exhausted in seconds, without and with direct connections."""

MOST_INPUTS_SOLVED = 8
"""The solver is not used for functions with more inputs: it would not finish."""

N_TRAINED = 500
"""So many networks are trained at each width for which nothing is proved."""

N_TRAINED_AT_ONCE = 100
"""After each lot of so many networks, the search ends if one was found or the time is over."""

LONGEST_TIME = 1e6
"""The most seconds that may be given: twelve days."""

LONGEST_NAME = 120
"""Characters of the function's name in a sentence; the name of a large table has thousands."""

ProofKind = Literal[
    "by_hand",
    "constant",
    "monotone",
    "exhaustion",
    "solver",
    "restriction",
    "atlas",
    "training",
    "none",
]
"""How it is known whether a number of units is enough.

- by_hand: a network was made by hand.
- constant: without a unit the output is constant, or with direct connections a threshold function.
- monotone: one unit that never falls decides along a line.
- exhaustion: every set of so many threshold functions was excluded, or one was found.
- solver: z3 proved it, or found weights, over the rationals.
- restriction: a function of four of the inputs needs more units.
- atlas: the stored table says it; z3 proved it when the table was made.
- training: a network was found.
- none: it is not known.
"""


@dataclass(frozen=True)
class WidthAnswer:
    """What is known about one number of hidden units.

    Attributes:
        n_units: the number.
        answer: whether so many units can compute the function: "possible", "impossible" or
            "unknown".
        kind: how that is known.
        text: the same in words.
        seconds: how long it took to find out.
    """

    n_units: int
    answer: Settled
    kind: ProofKind
    text: str
    seconds: float = field(compare=False)

    def __str__(self) -> str:
        return f"{self.n_units} {self.answer}: {self.text}"

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
        at_least, at_most: bounds that hold. If they are equal, that is the answer.
        network: a network with `at_most` hidden units that decides every row as the function does.
            A HookedMLP always has a hidden unit; if none is needed, it has one that nothing reads.
        widths: what is known about each number of units that was examined.
    """

    function: BooleanFunction
    unit: UnitName
    direct: bool
    at_least: int
    at_most: int
    network: HookedMLP = field(repr=False, compare=False)
    widths: tuple[WidthAnswer, ...] = field(repr=False)

    @property
    def number(self) -> int | None:
        """The least number of units; None if the bounds differ."""
        return self.at_least if self.at_least == self.at_most else None

    @property
    def proof(self) -> WidthAnswer | None:
        """Why one unit fewer than `at_least` is not enough; None if `at_least` is zero."""
        return next((one for one in self.widths if one.n_units == self.at_least - 1), None)

    @cached_property
    def circuit(self) -> Circuit:
        """Which unit of the network acts as which gate.

        Raises:
            XorMiError: what `identify_circuit` refuses, such as a network with too many units.
        """
        return identify_circuit(self.network)

    def head(self) -> dict[str, object]:
        return {
            "function": self.function.name,
            "n_inputs": self.function.n_inputs,
            "unit": self.unit,
            "direct": self.direct,
            "at_least": self.at_least,
            "at_most": self.at_most,
        }

    def frame(self) -> pd.DataFrame:
        """One line for each number of units that was examined.

        Columns: n_units, answer (possible, impossible, unknown), kind (how that is known), text,
        seconds.
        """
        return pd.DataFrame([one.shown_line() for one in self.widths])

    def __str__(self) -> str:
        inputs = count_text(self.function.n_inputs, "input")
        name = f"{cut_short(self.function.name, at_most=LONGEST_NAME)} of {inputs}"
        lines = [f"{name} needs {self._count}"]
        lines += map(str, self.widths)
        return "\n  ".join(lines)

    @property
    def _count(self) -> str:
        """The number of units, or its bounds, in words."""
        what = f"{KINDS[self.unit].label} unit"
        if self.number is None:
            counted = f"at least {self.at_least} and at most {count_text(self.at_most, what)}"
        elif self.number == 0:
            counted = f"no {what}"
        else:
            counted = count_text(self.number, what)
        return f"{counted} with direct connections" if self.direct else counted


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

    A row is decided 1 if the output is above 0, and no row lies on the threshold. The number is
    exact for every function with one output and up to four inputs, for each kind of unit that is
    made of straight pieces (all but sigmoid, tanh and elu), if z3 finishes in time. In other cases
    the result may be two bounds, each of which holds.

    Whether one unit is enough follows from the argument that such a unit is monotone along a line.
    For threshold and sign units with up to four inputs, all sets of threshold functions are tried
    (`gate_sets`). Other kinds, and more inputs, are settled by z3 over the rationals (`pip install
    'xor-mi[proof]'`; without it the bounds are further apart). For more than eight inputs, the
    lower bound comes from one unit or from a restriction to four inputs, and the upper bound is a
    network made by hand.

    Args:
        target: a function of up to 12 inputs, with one output or several.
        unit: the kind of hidden unit: "threshold" (0 or 1), "sign", "relu", "leaky_relu" (with
            slope 0.01 below zero), "relu6", "hardtanh" or "hardsigmoid". For "sigmoid", "tanh" and
            "elu", which no solver decides, the result is bounds: as many units as steps or ReLUs
            need are enough, and fewer are only searched for by training.
        direct: whether the inputs reach the outputs too, past the hidden layer.
        n_inputs: the number of inputs of a target that is given as text.
        max_seconds: how long z3 may take for each number of units, counted upwards. A number that
            it leaves open is called unknown. Then z3 may take the same time in all to find a
            network with more units, and training may take the same time in all; it ends with a lot
            of 100 networks.

    Raises:
        XorMiError: an unknown kind of unit, or more than 12 inputs.

    >>> found = least_hidden_units("XOR")
    >>> print(found)
    XOR of 2 inputs needs 2 threshold units
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
        raise XorMiError(f"direct is {shown(direct)}; give True or False")
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
    # NumPy's numbers are accepted; True and False are not numbers
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if is_number and not isinstance(value, bool) and 0 < value <= LONGEST_TIME:
        return float(value)
    raise XorMiError(
        f"max_seconds is {shown(value)}; give a number of seconds above 0 and up to "
        f"{LONGEST_TIME:,.0f}, such as 60"
    )


class _Search:
    """A search that brings a lower and an upper bound together."""

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
        self.at_least = 0
        layer = built(function, kind.form, direct=direct)
        if direct:
            plain = built(function, kind.form, direct=False)
            layer = min(layer, plain.beside_direct(), key=lambda one: one.n_units)
        # the layer of `network`; a trained network does not have one
        self.layer: Layer | None = layer
        self._take(layer, "by_hand", "a network made by hand", monotonic() - start)

    def result(self) -> LeastUnits:
        """Everything that was found."""
        self.bring_together()
        self._by_a_near_kind()
        self._without_direct()
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

    def bring_together(self, *, only_below: int | None = None) -> None:
        """Find the bounds that lines, restrictions, sets of gates and the solver give.

        Args:
            only_below: do not search if it is proved that so many units are too few.
        """
        self._by_lines()
        self._by_restriction()
        if only_below is None or self.at_least < only_below:
            self._by_search()

    @property
    def how_made(self) -> ProofKind:
        """How it is known that the network computes the function."""
        return next(one.kind for one in reversed(self.answers) if one.answer == "possible")

    def _known(self) -> tuple[WidthAnswer, ...]:
        """What is known by number of units; for each the last result."""
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

    def _below(
        self, kind: ProofKind, text: str, seconds: float, *, n_units: int | None = None
    ) -> None:
        """Note that so many units are impossible, and so is every smaller number that was open.

        Args:
            n_units: by default the smallest number that is open.
        """
        largest = self.at_least if n_units is None else n_units
        while self.at_least <= largest:
            self._add(self.at_least, "impossible", kind, text, seconds)
            self.at_least += 1

    def _take(self, layer: Layer, kind: ProofKind, text: str, seconds: float) -> None:
        """Let a layer replace the network."""
        self.network = require_right(layer, self.function, self.kind)
        self.layer = layer
        self.at_most = layer.n_units
        self._add(self.at_most, "possible", kind, text, seconds)

    def _by_lines(self) -> None:
        """Settle no unit and one unit: what a line can separate."""
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
            self._take(self._of_one_unit(proofs[0]), "monotone", "a line", 0.0)

    def _of_lines(self, proofs: Sequence[ThresholdProof]) -> Layer:
        """Without a unit, each output is a threshold of the inputs."""
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

    def _of_one_unit(self, line: ThresholdProof) -> Layer:
        """One unit is above zero, or on, on one side of a line."""
        if self.kind.form != "leaky_relu":
            return self._of_gates(self.function.outputs)
        weights, thresholds = _lines_of([line])
        # a leaky ReLU has the sign of its input
        return Layer(
            form="leaky_relu",
            weights=weights,
            biases=-thresholds,
            readout=np.ones((1, 1)),
            out_biases=np.zeros(1),
        )

    def _of_gates(self, gates: tuple[BooleanFunction, ...]) -> Layer:
        """The layer of threshold units that act as these gates, and of outputs that read them."""
        weights, thresholds = _lines_of([threshold_proof(gate) for gate in gates])
        form = "step" if self.kind.form in ("step", "clip") else "relu"
        # sums are at least a half from the threshold, but a step's input must be at least 1 from
        # zero
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
        """Use a restriction to four inputs, which does not need more units than the function."""
        unit = _ATLAS_UNITS.get(self.kind.name)
        if unit is None or not self._is_open or self.function.n_inputs <= MOST_INPUTS_IN_ATLAS:
            return
        start = monotonic()
        hardest = hardest_restriction(self.function, unit, direct=self.direct)
        # a network made by hand can have fewer units only if the table is wrong
        most = min(hardest.n_units, self.at_most)
        if self.at_least < most:
            self._below("restriction", str(hardest), monotonic() - start, n_units=most - 1)

    def _by_search(self) -> None:
        """Search upwards, number by number.

        All sets of gates are tried, or the solver is used, as far as they settle the numbers. Above
        the first number that is not settled, it is only searched whether larger ones are possible.
        """
        if not self.kind.is_exact:
            return
        while self._is_open:
            if self._is_exhausted(self.at_least):
                self._exhaust(self.at_least)
            elif not self._is_askable(self.at_least):
                self._by_atlas()
                return
            elif self._solve(self.at_least, self.seconds) == "unknown":
                self._look_higher()
                return

    def _look_higher(self) -> None:
        """Search for larger numbers that are possible, if the smallest open one is unsettled."""
        start = monotonic()
        n_units = self.at_least + 1
        while n_units < self.at_most:
            left = self.seconds - (monotonic() - start)
            if left <= 0:
                return
            self._solve(n_units, left)
            n_units = max(n_units, self.at_least) + 1

    def _is_exhausted(self, n_units: int) -> bool:
        """Whether all sets of so many gates are tried."""
        return (
            self.kind.form == "step"
            and self.function.n_inputs <= MOST_INPUTS_IN_ATLAS
            and n_units <= MOST_EXHAUSTED[self.direct]
        )

    def _exhaust(self, n_units: int) -> None:
        """Try all sets of so many threshold functions."""
        start = monotonic()
        found = a_gate_set(self.function, n_units, direct=self.direct, progress=self.progress)
        seconds = monotonic() - start
        if found.gates is None:
            text = f"none of {found.n_sets:,} sets of {n_units} threshold functions is enough"
            self._below("exhaustion", text, seconds)
            return
        names = " and ".join(gate.name for gate in found.gates)
        self._take(self._of_gates(found.gates), "exhaustion", f"gates {names}", seconds)

    def _is_askable(self, n_units: int) -> bool:
        """Whether the solver can be used; if not, the reason is noted."""
        text = ""
        if self.function.n_inputs > MOST_INPUTS_SOLVED:
            text = f"z3 is not used for more than {MOST_INPUTS_SOLVED} inputs"
        elif not is_installed():
            text = "z3, which may settle it, is not installed: pip install 'xor-mi[proof]'"
        if text:
            self._add(n_units, "unknown", "none", text, 0.0)
        return not text

    def _solve(self, n_units: int, seconds: float) -> Settled:
        """Ask the solver about a number of units."""
        name = solver_name()
        found = solved(
            self.function,
            self.kind.form,
            n_units,
            direct=self.direct,
            max_seconds=seconds,
            progress=self.progress,
        )
        if found.answer == "impossible":
            text = f"unsatisfiable over the rationals, by {name}"
            self._below("solver", text, found.seconds, n_units=n_units)
        elif found.layer is not None:
            self._take(found.layer, "solver", f"weights found by {name}", found.seconds)
        else:
            text = f"{name} gave up: {found.why}"
            if not found.why:
                text = f"{name} did not settle it within {seconds:.3g} s"
            self._add(n_units, "unknown", "none", text, found.seconds)
        return found.answer

    def _by_atlas(self) -> None:
        """Without the solver, use what it proved when the stored table was made."""
        unit = _ATLAS_UNITS.get(self.kind.name)
        is_stored = self.function.n_inputs <= MOST_INPUTS_IN_ATLAS and self.function.n_outputs == 1
        if unit is None or not is_stored:
            return
        start = monotonic()
        column = f"{unit}_direct" if self.direct else unit
        least = int(atlas(self.function)[column].iloc[0])
        if least > self.at_least:
            text = f"the atlas says that it needs {least}"
            self._below("atlas", text, monotonic() - start, n_units=least - 1)

    def _by_a_near_kind(self) -> None:
        """Smooth units approximate steps, or ReLUs, as closely as needed: as many are enough."""
        kind = self.kind.near_to
        if kind is None or not self._is_open:
            return
        start = monotonic()
        search = _Search(self.function, kind, self.direct, self.seconds, self.progress)
        search.bring_together(only_below=self.at_most)
        layer = search.layer
        if layer is None or layer.n_units >= self.at_most:
            return
        if layer.network(self.function, self.kind) is not None:
            text = f"a network of {kind.label} units, which steep units approximate"
            self._take(layer, "by_hand", text, monotonic() - start)

    def _without_direct(self) -> None:
        """A network without direct connections can have them with weights of 0."""
        if not self.direct or not self.kind.is_exact or not self._is_open:
            return
        start = monotonic()
        search = _Search(self.function, self.kind, False, self.seconds, self.progress)
        search.bring_together(only_below=self.at_most)
        layer = search.layer
        if layer is not None and layer.n_units < self.at_most:
            text = "a network without direct connections: their weights are 0"
            self._take(layer.beside_direct(), search.how_made, text, monotonic() - start)

    def _by_training(self) -> None:
        """Search by training for networks with fewer units, where nothing is proved."""
        is_trained = self.kind.act_fn not in STEPS and self.function.n_inputs <= MOST_INPUTS_SOLVED
        if not is_trained or not self._is_open:
            return
        begun = monotonic()
        for n_units in range(max(1, self.at_least), self.at_most):
            left = self.seconds - (monotonic() - begun)
            # a longer wait needs a larger max_seconds
            if left <= 0 or self._train(n_units, left):
                return

    def _train(self, n_units: int, seconds: float) -> bool:
        """Train networks with a number of units, lot by lot, until one computes the function.

        It stops when the time is over, and returns whether one computes the function.
        """
        start = monotonic()
        lots = range(0, N_TRAINED, N_TRAINED_AT_ONCE)
        n_trained = 0
        for seed in lots:
            population = train_population(
                self.function,
                min(N_TRAINED_AT_ONCE, N_TRAINED - seed),
                hidden=n_units,
                seed=seed,
                act_fn=self.kind.act_fn,
                direct=self.direct,
                engine="torch",
                progress=self.progress,
            )
            n_trained += len(population)
            solved_ones = np.flatnonzero(population.solved.numpy())
            taken = monotonic() - start
            if len(solved_ones):
                self.network = population[int(solved_ones[0])]
                self.layer = None
                self.at_most = n_units
                verb = "computes" if len(solved_ones) == 1 else "compute"
                text = f"{len(solved_ones)} of {n_trained} trained networks {verb} it"
                self._add(n_units, "possible", "training", text, taken)
                return True
            if taken > seconds:
                break
        if not any(one.n_units == n_units and one.answer == "unknown" for one in self.answers):
            text = f"none of {n_trained:,} trained networks computes it, which proves nothing"
            self._add(n_units, "unknown", "none", text, monotonic() - start)
        return False


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
"""The kinds of unit whose least numbers are in the atlas."""
