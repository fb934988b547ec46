"""grades of methods on networks -> Grades: one line per method and network, and the board."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import inf, isfinite
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from xor_mi.circuits._stored import Misshapen, restored, stored
from xor_mi.errors import XorMiError, require_kind, shown, unknown
from xor_mi.exam._measures import MEASURES, Measure
from xor_mi.exam._method import Gives
from xor_mi.exam._problem import Over, require_over
from xor_mi.exam._truth import Truth
from xor_mi.finding import Finding, count_text, number_text
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.metrics import MeanInterval, mean_interval, share_interval
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.reading import read_json_text
from xor_mi.search import Convention
from xor_mi.truth import BooleanFunction

FORMAT = "xor_mi.Grades/1"
DECISIVE = ("finds_minimum", "gate_agreement", "interchange_accuracy")
"""The measures that say whether an answer is right, one for each kind of answer."""
_NEXT_STEP = "grade the methods again, or give the text that Grades.to_json returned"


@dataclass(frozen=True, kw_only=True)
class TruthSummary:
    """The truth about one network, in counts; see `Truth`, which has every mask.

    Attributes:
        over: "edges" or "units".
        n_elements: how many edges or units there are; 2 to this power masks were tried.
        n_perfect, n_locally, n_subset, n_cardinally: how many masks are perfect, and minimal in
            each sense.
        minimum: the fewest elements that a perfect mask keeps.
        is_unique: whether only one perfect mask has this minimum.
        monotonicity_defect: see `Truth`.
        n_union, n_intersection: how many elements are in some, and in every, subset-minimal mask.
        smallest: the elements, by number, of the first perfect mask with the fewest.
        mean_faithfulness: the mean faithfulness of all masks that keep 0, 1, 2, ... elements, which
            is the level by chance.
        mean_right_rows: the mean number of rows that masks of each size decide right.
    """

    over: Over
    n_elements: int
    n_perfect: int
    n_locally: int
    n_subset: int
    n_cardinally: int
    minimum: int
    is_unique: bool
    monotonicity_defect: float | None
    n_union: int
    n_intersection: int
    smallest: tuple[int, ...]
    mean_faithfulness: tuple[float, ...]
    mean_right_rows: tuple[float, ...]

    @classmethod
    def of(cls, truth: Truth) -> "TruthSummary":
        """The counts of a network's complete truth.

        Raises:
            XorMiError: a network without a perfect mask.
        """
        require_kind("truth", truth, Truth, give="a Truth.of(problem)")
        minimum = truth.minimum
        first = int(np.flatnonzero(truth.cardinally)[0])
        means = truth.mean_faithfulness
        return cls(
            over=truth.over,
            n_elements=truth.n_elements,
            n_perfect=int(truth.perfect.sum()),
            n_locally=int(truth.locally.sum()),
            n_subset=int(truth.subset.sum()),
            n_cardinally=int(truth.cardinally.sum()),
            minimum=minimum,
            is_unique=truth.is_unique,
            monotonicity_defect=truth.monotonicity_defect,
            n_union=int(truth.union.sum()),
            n_intersection=int(truth.intersection.sum()),
            smallest=tuple(e for e in range(truth.n_elements) if first >> e & 1),
            mean_faithfulness=() if means is None else tuple(means.tolist()),
            mean_right_rows=tuple(truth.mean_by_size(truth.n_right_rows).tolist()),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ExamNetwork:
    """One network of an exam, and the truth about it.

    Attributes:
        name: its name in the tables.
        cfg, layers: the configuration and the weights; `model` makes the network.
        target: the function that it is to compute.
        n_rows: how many rows there are to decide, noisy ones included.
        truths: the truth over edges and over units, if some method answered over them.
    """

    name: str
    cfg: HookedMLPConfig
    layers: tuple[tuple[Tensor, Tensor], ...] = field(repr=False)
    target: BooleanFunction
    n_rows: int
    truths: tuple[TruthSummary, ...]

    @property
    def model(self) -> HookedMLP:
        """The network."""
        return HookedMLP(self.cfg).eval().with_weights(self.layers, dtype=self.cfg.dtype)

    def truth(self, over: Over) -> TruthSummary:
        """The truth about its edges, or about its units.

        Raises:
            XorMiError: an `over` that is neither, or one over which no method answered.
        """
        require_over(over)
        for one in self.truths:
            if one.over == over:
                return one
        raise XorMiError(f"no method of these grades answered over {over}; grade one that does")

    def elements(self, over: Over) -> tuple[Edge, ...] | tuple[Unit, ...]:
        """The edges or hidden units, in the order of their numbers.

        Raises:
            XorMiError: an `over` that is neither.
        """
        require_over(over)
        sizes = self.cfg.layer_sizes
        if over == "edges":
            return tuple(edges_of(sizes))
        return tuple(unit for layer in layers_of(sizes)[1:-1] for unit in layer)


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The grade of one method on one network.

    Attributes:
        method, network: their names.
        over: "edges" or "units"; None if it is unknown, or the method answers over neither.
        gives: the kind of the method's answer; None if it failed.
        values: measure -> value; see `MEASURES`.
        chance: measure -> its level by chance.
        control: for an alignment, what its own search reaches where there is nothing to find.
        faithfulness: of the top-k, for k = 0 ... all; only for scores.
        right_rows: how many rows the top-k decides right, for k = 0 ... all; only for scores.
        kept: elements by number: for scores all of them, best first; for a set those in it.
        forwards, backwards: the runs of the method, each over all rows of the problem.
        why_not: why there is no grade; "" if there is one.
    """

    method: str
    network: str
    over: Over | None = None
    gives: Gives | None = None
    values: dict[str, float | None] = field(default_factory=dict)
    chance: dict[str, float | None] = field(default_factory=dict)
    control: float | None = None
    faithfulness: tuple[float, ...] = ()
    right_rows: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    forwards: float = 0.0
    backwards: float = 0.0
    why_not: str = ""

    @property
    def is_right(self) -> bool | None:
        """Whether no better answer was possible; None if that is unknown.

        Scores and sets are right if they give a perfect circuit with the fewest elements; gates and
        alignments if all of them are right. For gates this is unknown if no unit has a proved gate.
        """
        for measure in DECISIVE:
            if self.values.get(measure) is not None:
                return self.values[measure] == 1
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Grades(Finding):
    """The grades of methods against the complete truth, network by network.

    Attributes:
        convention: the convention under which a part of a network counts as a circuit.
        metric: the name of the metric of a part on a row.
        seed: the seed of the random numbers of methods.
        versions: package -> version.
        networks: in the order they were given.
        grades: network by network, and within each method by method.
        left_out: network -> why it could not be graded on.
    """

    convention: Convention
    metric: str
    seed: int
    versions: dict[str, str]
    networks: tuple[ExamNetwork, ...] = field(repr=False)
    grades: tuple[Grade, ...] = field(repr=False)
    left_out: dict[str, str] = field(repr=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.grades)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        return tuple(dict.fromkeys([grade.method for grade in self.grades]))

    def of(self, method: str) -> tuple[Grade, ...]:
        """One method's grades, network by network.

        Raises:
            XorMiError: a method without grades here.
        """
        if method not in list(self.methods):
            raise unknown("method", method, self.methods, where="these grades have")
        return tuple(grade for grade in self.grades if grade.method == method)

    def network(self, name: str) -> ExamNetwork:
        """One network by its name.

        Raises:
            XorMiError: a network that is not here.
        """
        for one in self.networks:
            if one.name == name:
                return one
        raise unknown("network", name, [one.name for one in self.networks], where="there are")

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """The measures for which some grade has a value, in the order of `MEASURES`."""
        there = {
            name
            for grade in self.grades
            for name, value in grade.values.items()
            if value is not None
        }
        return tuple(name for name in MEASURES if name in there)

    # --- tables

    def frame(self) -> pd.DataFrame:
        """One line per network and method.

        Columns: method, network, over, gives, each measure and its level by chance
        (`size`, `size_chance`, ...), control, forwards, backwards, why_not.
        """
        lines: list[dict[str, object]] = []
        for grade in self.grades:
            line: dict[str, object] = {
                "method": grade.method,
                "network": grade.network,
                "over": grade.over,
                "gives": grade.gives,
            }
            for name in self.measures:
                line[name] = grade.values.get(name)
                line[f"{name}_chance"] = grade.chance.get(name)
            line["control"] = grade.control
            line["forwards"] = grade.forwards
            line["backwards"] = grade.backwards
            line["why_not"] = grade.why_not
            lines.append(line)
        return pd.DataFrame(lines)

    def board(self, measures: Sequence[str] | None = None) -> pd.DataFrame:
        """One line per method, best first: means over networks with 95 % intervals.

        A mean has Student's interval over networks, cut off at the bounds of the measure; a share
        of networks has the Clopper-Pearson interval. A network on which a measure has no meaning
        does not count for it: `size` of a set is the mean over the networks on which the set is
        perfect, and `perfect` is the share of these networks.

        Columns: method, over, gives, n_networks, n_failed, then for each measure its mean, `_low`,
        `_high`, `_chance` and `_n` (on how many networks it has a value), then control, forwards,
        backwards (means).

        Args:
            measures: names of measures; by default all of these grades.

        Raises:
            XorMiError: a measure that these grades do not have.
        """
        if measures is None:
            measures = self.measures
        if isinstance(measures, str) or not isinstance(measures, Sequence):
            raise XorMiError(f"measures is {shown(measures)}; give names, such as ['size']")
        for name in measures:
            if name not in list(MEASURES):
                raise unknown("measure", name, MEASURES, where="measures are")
        best_first = sorted(self.methods, key=self._place)
        return pd.DataFrame([self._line(method, measures) for method in best_first])

    def _place(self, method: str) -> tuple[str, float, float]:
        """A sort key: within a kind the most often right method comes first."""
        graded = [grade for grade in self.of(method) if not grade.why_not]
        first = graded[0] if graded else self.of(method)[0]
        # gates and alignments have measures of their own; all other answers are over edges or units
        kind = first.over or f"without, {first.gives}"
        measure = next((name for name in DECISIVE if name in first.values), DECISIVE[0])
        right, excess = (_mean(_known(graded, name)) for name in (measure, "excess"))
        return kind, 1.0 if right is None else -right, inf if excess is None else excess

    def _line(self, method: str, measures: Sequence[str]) -> dict[str, object]:
        grades = self.of(method)
        graded = [grade for grade in grades if not grade.why_not]
        first = graded[0] if graded else grades[0]
        line: dict[str, object] = {
            "method": method,
            "over": first.over,
            "gives": first.gives,
            "n_networks": len(graded),
            "n_failed": len(grades) - len(graded),
        }
        for name in measures:
            known = _known(graded, name)
            chances = [grade.chance.get(name) for grade in graded]
            known_chances = [chance for chance in chances if chance is not None]
            mean, low, high = _interval_of(known, MEASURES[name])
            line[name] = mean
            line[f"{name}_n"] = len(known)
            line[f"{name}_low"] = low
            line[f"{name}_high"] = high
            line[f"{name}_chance"] = _mean(known_chances)
        controls = [grade.control for grade in graded if grade.control is not None]
        line["control"] = _mean(controls)
        line["forwards"] = _mean([grade.forwards for grade in graded])
        line["backwards"] = _mean([grade.backwards for grade in graded])
        return line

    def truth_frame(self) -> pd.DataFrame:
        """The truth about each network: one line per network and kind of element.

        Columns: network, over, n_elements, n_perfect, n_locally, n_subset, n_cardinally, minimum,
        is_unique, monotonicity_defect, n_union, n_intersection.
        """
        lines: list[dict[str, object]] = []
        for network in self.networks:
            for truth in network.truths:
                line: dict[str, object] = asdict(truth)
                for name in ("smallest", "mean_faithfulness", "mean_right_rows"):
                    del line[name]
                lines.append({"network": network.name} | line)
        return pd.DataFrame(lines)

    def failures(self, method: str) -> tuple[Grade, ...]:
        """A method's grades where it is not right, smallest network first; see `Grade.is_right`.

        Among networks of the same size, those on which it is furthest off come first, and sets that
        are not perfect before perfect ones.
        """
        sizes = {network.name: sum(network.cfg.layer_sizes) for network in self.networks}
        wrong = [grade for grade in self.of(method) if grade.is_right is False]
        return tuple(sorted(wrong, key=lambda one: (sizes[one.network], -_how_far_off(one))))

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "convention": asdict(self.convention),
            "metric": self.metric,
            "seed": self.seed,
            "left_out": dict(self.left_out),
        }

    def __str__(self) -> str:
        text = (
            f"{count_text(len(self.methods), 'method')} graded on "
            f"{count_text(len(self.networks), 'network')}"
        )
        n_failed = sum(bool(grade.why_not) for grade in self.grades)
        if n_failed:
            text += f"; {n_failed} of {len(self)} grades are missing, see why_not"
        if self.left_out:
            n = len(self.left_out)
            text += (
                f"; {count_text(n, 'network')} {'is' if n == 1 else 'are'} left out, see left_out"
            )
        return text

    def _shown(self) -> tuple[str, pd.DataFrame]:
        return str(self), self.compact_board()

    def compact_board(self) -> pd.DataFrame:
        """The board for reading: one text per measure, 'mean [low, high] (chance)'.

        If a measure lacks a value on some networks, the text says on how many it has one: ', on 4'.

        It has the most important measures: size, finds_minimum, perfect, perfect_share,
        faithfulness areas, gates and interchange.
        """
        asked = (
            "size",
            "finds_minimum",
            "perfect",
            "perfect_share",
            "cpr",
            "cmd",
            "auroc_union",
            "gate_agreement",
            "interchange_accuracy",
        )
        measures = [name for name in asked if name in self.measures]
        board = self.board(measures)
        table = board[["method", "over", "gives", "n_networks"]].copy()
        for name in measures:
            table[name] = [_cell(line, name) for line in board.to_dict("records")]
        if board["control"].notna().any():
            table["control"] = board["control"]
        table["forwards"] = board["forwards"]
        table["backwards"] = board["backwards"]
        return table

    # --- JSON

    def to_json(self) -> str:
        """Everything, including the networks' weights, as text that `from_json` reads."""
        content = {"format": FORMAT} | {
            name: stored(getattr(self, name)) for name in self.__dataclass_fields__
        }
        return json.dumps(content) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Grades":
        """The grades in a text that `to_json` returned.

        Raises:
            XorMiError: text that is cut off, edited or of another format.
        """
        require_kind("text", text, str, give="what Grades.to_json wrote")
        content = read_json_text(text, called="the text of grades", next_step=_NEXT_STEP)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise XorMiError(f"the text does not have the format {FORMAT}; {_NEXT_STEP}")
        try:
            return restored(content, cls, "grades")
        except Misshapen as error:
            raise XorMiError(f"the grades cannot be read: {error}; {_NEXT_STEP}") from None


def _interval_of(values: Sequence[float], measure: Measure) -> MeanInterval:
    """The mean over networks and its 95 % interval, cut off at the bounds of the measure."""
    if measure.is_share and values:
        return MeanInterval(*share_interval(int(sum(values)), len(values)))
    mean, low, high = mean_interval(values)
    if low is None or high is None:
        return MeanInterval(mean, low, high)
    return MeanInterval(mean, max(low, measure.at_least), min(high, measure.at_most))


def _known(grades: Sequence[Grade], measure: str) -> list[float]:
    """The values of a measure, of those grades that have a value."""
    values = [grade.values.get(measure) for grade in grades]
    return [value for value in values if value is not None]


def _how_far_off(grade: Grade) -> float:
    """How far a wrong answer is from a right one: in elements, or in its measure."""
    excess = grade.values.get("excess")
    if excess is not None:
        return excess
    reached = [grade.values.get(name) for name in DECISIVE[1:]]
    known = [value for value in reached if value is not None]
    # a set that is not perfect is further off than any perfect set
    return 1 - known[0] if known else inf


def _mean(numbers: Sequence[float]) -> float | None:
    return float(np.mean(numbers)) if numbers else None


def joined(parts: Sequence[Grades]) -> Grades:
    """Grades of the same methods on several lots of networks, joined into one.

    Raises:
        XorMiError: no grades; grades of different methods, conventions, metrics or seeds; or a
            network that is in two of them.
    """
    is_several = isinstance(parts, Sequence) and not isinstance(parts, (str, bytes))
    if not is_several or not all(isinstance(part, Grades) for part in parts):
        raise XorMiError(f"parts is {shown(parts)}; give a list of Grades")
    if not parts:
        raise XorMiError("no grades were given; give at least one")
    first = parts[0]
    names: set[str] = set()
    # a part whose networks are all left out has no grades
    methods = next((part.methods for part in parts if part.grades), ())
    for part in parts:
        for what in ("convention", "metric", "seed"):
            if getattr(part, what) != getattr(first, what):
                raise XorMiError(
                    f"the grades differ in {what}: {getattr(first, what)} and "
                    f"{getattr(part, what)}; join grades that agree"
                )
        if part.grades and part.methods != methods:
            raise XorMiError(
                f"the grades differ in methods: {', '.join(methods)} and "
                f"{', '.join(part.methods)}; join grades that agree"
            )
        for network in part.networks:
            if network.name in names:
                raise XorMiError(
                    f"the network {network.name} is in two of the grades; give each network once"
                )
            names.add(network.name)
    networks: list[ExamNetwork] = []
    grades: list[Grade] = []
    left_out: dict[str, str] = {}
    for part in parts:
        networks += part.networks
        grades += part.grades
        left_out |= part.left_out
    return Grades(
        convention=first.convention,
        metric=first.metric,
        seed=first.seed,
        versions=first.versions,
        networks=tuple(networks),
        grades=tuple(grades),
        left_out=left_out,
    )


def _cell(line: Mapping[Any, Any], measure: str) -> str:
    """'9.23 [8.98, 9.48] (16.70)': mean, interval and chance; ', on 4' if not on all networks."""
    mean, low, high, chance = (line[f"{measure}{end}"] for end in ("", "_low", "_high", "_chance"))
    if mean is None or not isfinite(mean):
        return ""
    text = number_text(mean)
    if low is not None and isfinite(low):
        text += f" [{number_text(low)}, {number_text(high)}]"
    if chance is not None and isfinite(chance):
        text += f" ({number_text(chance)})"
    n = line[f"{measure}_n"]
    return text if n == line["n_networks"] else f"{text}, on {n}"
