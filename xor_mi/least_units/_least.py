"""a function and a kind of unit -> the fewest hidden units, a network that has them, the proof.

From below: a constant needs none; a function that is not a threshold function needs more than one
(beside direct connections more than none); sets of threshold functions are exhausted; a solver
settles what linear arithmetic can; restrictions of many inputs are looked up. From above: a network
made by hand, by the solver, or by training. Where the two do not meet, both bounds are said.
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
"""Functions of more inputs are not asked about: their tables are too long."""

MOST_EXHAUSTED = {False: 3, True: 2}
"""Without and with direct connections: sets of up to so many gates are exhausted in seconds."""

MOST_INPUTS_SOLVED = 8
"""The solver is not asked about functions of more inputs: it would not come to an end."""

N_TRAINED = 500
"""So many networks are trained at each width where no proof says that there are none."""

N_TRAINED_AT_ONCE = 100
"""After so many it is looked whether one was found, and whether the time is over."""

LONGEST_TIME = 1e6
"""Seconds that may be given; twelve days."""

LONGEST_NAME = 120
"""Characters of the function's name in a sentence: that of a large table has thousands."""

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
"""How it is known what a number of units can do.

by_hand: a network was made. constant: without a unit the output is constant, or with direct
connections a threshold function. monotone: one unit that never falls decides along a line.
exhaustion: every set of so many threshold functions was excluded, or one found. solver: z3 over the
rationals. restriction: a function of four of the inputs needs more. atlas: the stored table says
so, which z3 proved when it was made. training: a network was found. none: it is not known.
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
    seconds: float = field(compare=False)

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
    network: HookedMLP = field(repr=False, compare=False)
    widths: tuple[WidthAnswer, ...] = field(repr=False)

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
            "n_inputs": self.function.n_inputs,
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
        inputs = count_text(self.function.n_inputs, "input")
        name = f"{cut_short(self.function.name, at_most=LONGEST_NAME)} of {inputs}"
        lines = [f"{name} needs {self._count}"]
        lines += [f"{one.n_units} {one.answer}: {one.text}" for one in self.widths]
        return "\n  ".join(lines)

    @property
    def _count(self) -> str:
        """So many units, or between which numbers, in words."""
        what = f"{KINDS[self.unit].label} unit"
        if self.number is None:
            counted = f"at least {self.at_least} and at most {count_text(self.at_most, what)}"
        elif self.number == 0:
            counted = f"no {what}"
        else:
            counted = count_text(self.number, what)
        return f"{counted} beside direct connections" if self.direct else counted


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
    of straight pieces (all but sigmoid, tanh and elu), as long as z3 comes to an end in time;
    beyond that it may be two bounds, each of which holds.

    One unit is settled by the argument that such a unit is monotone along a line; threshold and
    sign units of up to four inputs by looking through all sets of threshold functions
    (`gate_sets`); the others, and more inputs, by z3 over the rationals (`pip install
    'xor-mi[proof]'`; without it the bounds are further apart). Of more than eight inputs the bound
    from below is that of one unit, or of a restriction to four inputs, and the bound from above a
    network made by hand.

    Args:
        target: a function of up to 12 inputs, with one output or several.
        unit: the kind of hidden unit: "threshold" (0 or 1), "sign", "relu", "leaky_relu" (of slope
            0.01 below zero), "relu6", "hardtanh", "hardsigmoid"; of "sigmoid", "tanh" and "elu",
            that no solver decides, bounds: as many units as steps or ReLUs need are enough, and
            fewer are only looked for by training.
        direct: whether the inputs reach the outputs too, past the hidden layer.
        n_inputs: inputs of a target that is a text.
        max_seconds: z3 may take so long for each number of units from below. What it leaves open
            is called unknown; then as long in all is looked for a network of a larger number, and
            as long in all by training, which ends with a lot of 100 networks.

    Raises:
        XorMiError: a kind of unit that there is not, or more than 12 inputs.

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
    # NumPy's numbers are welcome; True and False are none
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if is_number and not isinstance(value, bool) and 0 < value <= LONGEST_TIME:
        return float(value)
    raise XorMiError(
        f"max_seconds is {shown(value)}; give a number of seconds above 0 and up to "
        f"{LONGEST_TIME:,.0f}, such as 60"
    )


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
        self.at_least = 0
        layer = built(function, kind.form, direct=direct)
        if direct:
            plain = built(function, kind.form, direct=False)
            layer = min(layer, plain.beside_direct(), key=lambda one: one.n_units)
        # the layer of `network`; a trained network has none
        self.layer: Layer | None = layer
        self._take(layer, "by_hand", "a network made by hand", monotonic() - start)

    def result(self) -> LeastUnits:
        """All that is found out."""
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
        """The bounds that lines, restrictions, sets of gates and the solver give.

        Args:
            only_below: nothing is searched where so many units are too few.
        """
        self._by_lines()
        self._by_restriction()
        if only_below is None or self.at_least < only_below:
            self._by_search()

    @property
    def how_made(self) -> ProofKind:
        """How it is known that the network is one."""
        return next(one.kind for one in reversed(self.answers) if one.answer == "possible")

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

    def _below(
        self, kind: ProofKind, text: str, seconds: float, *, n_units: int | None = None
    ) -> None:
        """So many units are impossible, and so is every smaller number that was open.

        Args:
            n_units: by default as many as are asked about next.
        """
        largest = self.at_least if n_units is None else n_units
        while self.at_least <= largest:
            self._add(self.at_least, "impossible", kind, text, seconds)
            self.at_least += 1

    def _take(self, layer: Layer, kind: ProofKind, text: str, seconds: float) -> None:
        """A layer takes the place of the network."""
        self.network = require_right(layer, self.function, self.kind)
        self.layer = layer
        self.at_most = layer.n_units
        self._add(self.at_most, "possible", kind, text, seconds)

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
            self._take(self._of_one_unit(proofs[0]), "monotone", "a line", 0.0)

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

    def _of_one_unit(self, line: ThresholdProof) -> Layer:
        """One unit that is above zero, or on, on one side of a line."""
        if self.kind.form != "leaky_relu":
            return self._of_gates(self.function.outputs)
        weights, thresholds = _lines_of([line])
        # a leaky ReLU has the sign of what goes in
        return Layer(
            form="leaky_relu",
            weights=weights,
            biases=-thresholds,
            readout=np.ones((1, 1)),
            out_biases=np.zeros(1),
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
        # a network made by hand may have fewer only if the table were wrong
        most = min(hardest.n_units, self.at_most)
        if self.at_least < most:
            self._below("restriction", str(hardest), monotonic() - start, n_units=most - 1)

    def _by_search(self) -> None:
        """Number by number from below: all sets of gates, or the solver, as far as they settle
        it; then from there up, whether a larger number is possible.
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
        """Whether larger numbers are possible, where the least that is open was left unsettled."""
        start = monotonic()
        n_units = self.at_least + 1
        while n_units < self.at_most:
            left = self.seconds - (monotonic() - start)
            if left <= 0:
                return
            self._solve(n_units, left)
            n_units = max(n_units, self.at_least) + 1

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
        found = a_gate_set(self.function, n_units, direct=self.direct, progress=self.progress)
        seconds = monotonic() - start
        if found.gates is None:
            text = f"none of {found.n_sets:,} sets of {n_units} threshold functions does"
            self._below("exhaustion", text, seconds)
            return
        names = " and ".join(gate.name for gate in found.gates)
        self._take(self._of_gates(found.gates), "exhaustion", f"gates {names}", seconds)

    def _is_askable(self, n_units: int) -> bool:
        """Whether the solver can be asked; if not, the reason is written down."""
        text = ""
        if self.function.n_inputs > MOST_INPUTS_SOLVED:
            text = f"z3 is not asked about more than {MOST_INPUTS_SOLVED} inputs"
        elif not is_installed():
            text = "z3 is not installed, which may settle it: pip install 'xor-mi[proof]'"
        if text:
            self._add(n_units, "unknown", "none", text, 0.0)
        return not text

    def _solve(self, n_units: int, seconds: float) -> Settled:
        """What the solver says of a number of units."""
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
        """Without the solver: what it proved when the stored table was made."""
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
        """A smooth unit comes as near to a step, or to a ReLU, as is asked: as many are enough."""
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
            text = f"a network of {kind.label} units, which steep ones come near to"
            self._take(layer, "by_hand", text, monotonic() - start)

    def _without_direct(self) -> None:
        """A network that leaves its direct connections out has them all the same."""
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
        """Networks of fewer units, where no proof says that there are none."""
        is_trained = self.kind.act_fn not in STEPS and self.function.n_inputs <= MOST_INPUTS_SOLVED
        if not is_trained or not self._is_open:
            return
        begun = monotonic()
        for n_units in range(max(1, self.at_least), self.at_most):
            left = self.seconds - (monotonic() - begun)
            # whoever wants to wait longer says so
            if left <= 0 or self._train(n_units, left):
                return

    def _train(self, n_units: int, seconds: float) -> bool:
        """Lots of networks of a number of units, until one computes the function or time is over.

        Returns whether one does.
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
            text = f"none of {n_trained} trained networks computes it, which proves nothing"
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
"""The kinds of unit whose least numbers the atlas has."""
