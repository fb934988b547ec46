"""a circuit -> five hypothesis tests of it (Shi et al.), each against an enumerated null.

Shi, Beltran-Velez, Nazaret et al., "Hypothesis testing the circuit hypothesis in LLMs" (NeurIPS
2024, arXiv 2410.13032) ask five questions about a circuit. Three describe an ideal circuit: does it
do as well as the whole model (equivalence), is the rest of the model worth nothing (independence),
is every part of it needed (minimality)? Two only compare it with chance: is it more like the model
than random circuits are (sufficiency), and does its removal break more (partial necessity)? The
paper draws random circuits. Here all of them are tried, so p-values are exact, and `least_p` shows
a test that can never reject.

Below, s is the problem's metric on a row, M the whole network, C the circuit, and the distance of
two networks is the mean of |s - s'| over the rows, as in the paper.

- *sufficiency*: the distance from M to C. Null: all sets of as many elements. p is the share of
  them that are at least as near, C included.
- *partial necessity*: the distance from M to M without C. Null: the same for each set of as many
  elements. p is the share of them that are at least as far.
- *minimality*: how far the removal of each element moves C, and the smallest of these moves. Null:
  the move by an element that was added for no reason. For edges, C gets one more path from an input
  to an output (every path that adds an edge is equally likely) and loses one of the added edges
  (each equally likely); for units, C gets one more unit and loses it again. p of an element is the
  share of the null that moves at least as much; p of the circuit is the largest of these, because
  every element has to pass.
- *non-equivalence*: the share of the rows on which s is larger for C than for M. Null: each row is
  a coin toss with a chance within 0.1 of a half. p is the largest probability that a binomial with
  such a chance gives to a share at least as far from a half.
- *non-independence*: the dependence over the rows (HSIC, Gretton et al. 2007, Gaussian kernels)
  between s of M and s of M without C. Null: all orders of the rows.

A circuit passes the first three tests if p is at most alpha, and the last two if p is above alpha.

Differences from the paper and from its package `circuitry` (commit 042d00d):

- Their random circuits are unions of random paths, of at least the circuit's size, and 100 are
  drawn; a second, binomial test asks whether the circuit beats 90 % of all. Ours are all sets of
  exactly that size, whether they connect inputs to outputs or not; `connected=True` takes only sets
  in which every edge is on a path from an input to an output. Nothing is estimated: their quantile
  of 0.9 is our alpha of 0.1. Ties count against the circuit.
- They reject minimality by a binomial test per edge, to be corrected for the number of edges. Here
  the null is known and every element has to stand out, which needs no correction.
- A row on which s is the same for C and M counts half in non-equivalence; the paper's test is not
  defined there. Its package returns the mean difference instead of the paper's share of rows.
- The width of a kernel is the median distance of its own variable's values; in the paper it is the
  median distance between the values of the two variables.

With the four rows of two inputs, non-equivalence can never be rejected at 0.05: its least p is
0.6^4 + 0.4^4 = 0.155. Noisy rows (`Convention(n_noisy=...)`) add enough rows. The whole network
cannot pass the first two tests, because there is no other set of its size.

`circuit_tests_against_truth` counts what the tests accept at 0.05, here over all circuits of edges
of networks trained to XOR by default (`train_population("XOR", 200)`; the first 50 of 2-3-1 that
learned it, and 33 of 2-2-2-1):

- Sufficiency accepts 46 of 56 minimal circuits (2-2-2-1: 31 of 37), 0 of 334 (17 of 225) that are
  perfect and not minimal, and 1.8 % (1.3 %) of the imperfect ones. There are so many of these
  (25,160 and 33,497) that nine of ten circuits that it accepts are not perfect.
- Partial necessity accepts no minimal circuit of either shape.
- Minimality accepts 36 of 54 minimal circuits (26 of 37).
- Non-equivalence cannot reject anything here; non-independence rejects 0.7 % (0.2 %) of the
  imperfect ones.
- No circuit passes all five.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise, permutations, product
from math import comb
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from torch import Tensor

from xor_mi.circuits import ROUNDING
from xor_mi.errors import XorMiError, require_at_most, require_kind, shown, unknown
from xor_mi.exam._method import ExamMethod
from xor_mi.exam._problem import ExamProblem, Over, require_over
from xor_mi.exam._truth import Truth
from xor_mi.finding import Finding, number_text
from xor_mi.graph import Edge, Subcircuit, Unit, layers_of
from xor_mi.search import metric_of_edge_masks

Numbers = NDArray[np.float64]
Sets = NDArray[np.int64]
"""Sets of elements as numbers: bit e is set where element e is in, [set]."""

MAX_HELD = 2**22
"""If the values of all sets are at most so many numbers, they are kept and each set is run once."""
MAX_SETS = 2**16
"""The most sets of one size that are all tried; of more, a sample is drawn."""
N_SAMPLED = 9_999
"""The size of that sample."""
MAX_ORDERED_ROWS = 8
"""The most rows whose orders are all tried: 40,320 orders."""
N_ORDERS = 999
"""The number of orders drawn for more rows."""
MAX_ELEMENTS = 62
"""The most elements: a set is a whole number of 64 bits."""
MAX_OF_TRUTH = 14
"""The most elements of which `circuit_tests_against_truth` tests every set."""
EPSILON = 0.1
"""How far the null's chance to beat the model may be from a half, as in the paper."""
SETS_AT_ONCE = 2**12
"""Sets that are run together."""
NUMBERS_AT_ONCE = 2**22
"""The most numbers in kernels of other orders that are held together."""

CircuitTestName = Literal[
    "sufficiency", "partial necessity", "minimality", "non-equivalence", "non-independence"
]
"""The five tests."""
ASKS: Mapping[CircuitTestName, str] = {
    "sufficiency": "is it nearer to the network than random circuits of its size?",
    "partial necessity": "does its removal move the network more than that of random circuits?",
    "minimality": "does each of its elements move it more than one added at random?",
    "non-equivalence": "is it better than the network on more, or fewer, than half of the rows?",
    "non-independence": "does what is left without it still vary with the network?",
}
"""Test -> its question. The first three are passed by a yes, the last two unless yes is proved."""
IS_PASSED_BY_REJECTING: frozenset[CircuitTestName] = frozenset(
    ("sufficiency", "partial necessity", "minimality")
)
SOURCE = "Shi et al., NeurIPS 2024, arXiv 2410.13032"

AnyCircuit = Subcircuit | Iterable[Edge] | Iterable[Unit] | ArrayLike | Tensor
"""A circuit: a Subcircuit, its edges or units, or True or False for each edge or unit."""


class CircuitTestLine(NamedTuple):
    """One test of one circuit.

    Attributes:
        name: the name of the test.
        statistic: the number measured for the circuit.
        null: what it was compared with, in words.
        n_null: the number of members of the null.
        p_value: None if there is nothing to compare with.
        least_p: the smallest p-value that is possible with this null.
        passes: whether the circuit passes; None if there is no p-value.
    """

    name: CircuitTestName
    statistic: float
    null: str
    n_null: int
    p_value: float | None
    least_p: float | None
    passes: bool | None

    def shown_line(self) -> dict[str, object]:
        """The test as a line of a table."""
        measured = self._asdict()
        return {"test": measured.pop("name"), "asks": ASKS[self.name], **measured}


@dataclass(frozen=True, eq=False, kw_only=True)
class CircuitTests(Finding):
    """Five hypothesis tests of one circuit.

    Attributes:
        over: whether the circuit is one of edges or of units.
        circuit: its elements.
        alpha: the level of significance: p-values up to this reject.
        connected: whether random circuits are only those that connect inputs to outputs.
        lines: one per test.
    """

    over: Over
    circuit: tuple[Edge, ...] | tuple[Unit, ...]
    alpha: float
    connected: bool
    lines: tuple[CircuitTestLine, ...] = field(repr=False)

    def __getitem__(self, test: CircuitTestName) -> CircuitTestLine:
        """One test by its name.

        Raises:
            XorMiError: no such test.
        """
        for line in self.lines:
            if line.name == test:
                return line
        raise unknown("test", test, ASKS, where="the tests are")

    @property
    def n_passed(self) -> int:
        """How many of the five tests it passes."""
        return sum(line.passes is True for line in self.lines)

    @property
    def passes(self) -> bool:
        """Whether it passes all tests that have a p-value."""
        return all(line.passes is not False for line in self.lines)

    def head(self) -> dict[str, object]:
        """What was tested and how, beside the table."""
        return {
            "over": self.over,
            "circuit": [element.name for element in self.circuit],
            "alpha": self.alpha,
            "connected": self.connected,
        }

    def frame(self) -> pd.DataFrame:
        """One line per test.

        Columns: test, asks, statistic, null, n_null, p_value, least_p, passes.
        """
        return pd.DataFrame([line.shown_line() for line in self.lines])

    def __str__(self) -> str:
        told: list[str] = []
        for line in self.lines:
            p = "none" if line.p_value is None else number_text(line.p_value, decimals=3)
            verdict = {True: "passes", False: "fails", None: "cannot be asked"}[line.passes]
            told.append(f"{line.name} {verdict} (p = {p})")
        kept = f"{len(self.circuit)} {self.over}"
        return f"{self.n_passed} of {len(self.lines)} tests passed by {kept}: {', '.join(told)}"


def circuit_tests(
    problem: ExamProblem,
    circuit: AnyCircuit,
    *,
    over: Over = "edges",
    alpha: float = 0.05,
    connected: bool = False,
) -> CircuitTests:
    """Test a circuit as Shi et al. do, against all random circuits of its size.

    The text at the top of the module explains each test and how it differs from the paper's. Runs
    are counted in `problem.cost`; if the sets of elements are few, each is run only once.

    Args:
        circuit: a Subcircuit, some of the network's edges or units, or True or False for each.
        over: "edges" or "units", the elements of the circuit. Units are kept with all edges between
            them.
        alpha: the level of significance: p-values up to this reject.
        connected: compare it only with sets of edges that lead from inputs to outputs.

    >>> from xor_mi.handmade import textbook_xor
    >>> problem = ExamProblem.of(textbook_xor())
    >>> tests = circuit_tests(problem, problem.edges)
    >>> tests["sufficiency"].n_null, tests["sufficiency"].p_value
    (1, 1.0)
    >>> tests["minimality"].p_value is None
    True

    Raises:
        XorMiError: a circuit of another network or without elements, or an alpha that is not
            between 0 and 1.
    """
    require_kind("problem", problem, ExamProblem, give="an ExamProblem.of(model)")
    require_over(over)
    require_kind("connected", connected, bool, give="True or False")
    mask = _as_mask(circuit, problem, over)
    tester = _Tester(problem, over, alpha=_as_alpha(alpha), connected=connected)
    return tester.test(mask)


def smallest_by_tests(
    problem: ExamProblem, *, over: Over = "edges", alpha: float = 0.05
) -> tuple[Edge, ...] | tuple[Unit, ...]:
    """Of the circuits in the order of exact noising, the smallest that passes the most tests.

    Elements are ordered by how far the network moves without each of them (the mean of |s - s'|
    over the rows). The first 1, 2, 3, ... elements of this order are tested by `circuit_tests`; the
    answer is the set that passes the most of the five tests, and the smallest of such sets.

    The paper tests given circuits and has no such search; this is what a person might do with its
    tests.

    >>> from xor_mi.handmade import textbook_xor
    >>> smallest_by_tests(ExamProblem.of(textbook_xor()))
    (x0->h0.0, x1->h0.0, h0.0->y0)

    In this network only the set of all six edges is perfect, and there is no random circuit of its
    size to compare with.

    Raises:
        XorMiError: as in `circuit_tests`.
    """
    require_kind("problem", problem, ExamProblem, give="an ExamProblem.of(model)")
    require_over(over)
    tester = _Tester(problem, over, alpha=_as_alpha(alpha), connected=False)
    sets = tester.sets
    single = 1 << np.arange(sets.n_elements, dtype=np.int64)
    order = np.argsort(-sets.from_whole(sets.whole ^ single), kind="stable")
    best, most = tester.elements(sets.whole), -1
    for size in range(1, sets.n_elements + 1):
        tested = tester.test(int(single[order[:size]].sum()))
        if tested.n_passed > most:
            best, most = tested.circuit, tested.n_passed
    return best


@dataclass(frozen=True, eq=False, kw_only=True)
class CircuitTestRates(Finding):
    """How often each test accepts circuits that are minimal, perfect, or imperfect.

    Attributes:
        over: whether circuits are sets of edges or of units.
        alpha: the level of significance: p-values up to this reject.
        n_circuits: the number of tested circuits: all but the empty one.
        lines: one line per test and kind of circuit; see `frame`.
    """

    over: Over
    alpha: float
    n_circuits: int
    lines: tuple[Mapping[str, object], ...] = field(repr=False)

    def head(self) -> dict[str, object]:
        """What was tested and how, beside the table."""
        return {"over": self.over, "alpha": self.alpha, "n_circuits": self.n_circuits}

    def frame(self) -> pd.DataFrame:
        """One line per test, and one for all five together, and kind of circuit.

        Columns: test, kind ("minimal": perfect and without a smaller perfect circuit inside;
        "perfect": the other perfect ones; "imperfect"), n (circuits of the kind), n_asked (those
        with a p-value), n_passing, share (of those asked; None if none was asked).
        """
        return pd.DataFrame(self.lines)

    def __str__(self) -> str:
        table = self.frame().set_index(["test", "kind"])
        told: list[str] = []
        for test in ("sufficiency", "all"):
            counts = [
                f"{table.loc[(test, kind), 'n_passing']} of {table.loc[(test, kind), 'n_asked']} "
                f"{kind}"
                for kind in ("minimal", "perfect", "imperfect")
            ]
            told.append(f"{'all five' if test == 'all' else test}: {', '.join(counts)}")
        return (
            f"{self.n_circuits:,} sets of {self.over} tested at {self.alpha:g}; accepted by "
            f"{'; by '.join(told)}"
        )


def circuit_tests_against_truth(
    problem: ExamProblem, *, over: Over = "edges", alpha: float = 0.05, connected: bool = False
) -> CircuitTestRates:
    """Test every circuit of a network: do the tests tell perfect from imperfect ones?

    If every set of elements can be tried, it is known which sets are perfect and which are minimal,
    so a test can be compared with the truth.

    Args:
        over, alpha, connected: as in `circuit_tests`.

    >>> from xor_mi.handmade import textbook_xor
    >>> rates = circuit_tests_against_truth(ExamProblem.of(textbook_xor()), over="units")
    >>> rates.frame().query("test == 'sufficiency'")[["kind", "n", "n_passing"]].values.tolist()
    [['minimal', 1, 0], ['perfect', 0, 0], ['imperfect', 2, 0]]

    Raises:
        XorMiError: more than 14 elements, or as in `circuit_tests`.
    """
    require_kind("problem", problem, ExamProblem, give="an ExamProblem.of(model)")
    require_over(over)
    require_kind("connected", connected, bool, give="True or False")
    tester = _Tester(problem, over, alpha=_as_alpha(alpha), connected=connected)
    n_elements = tester.sets.n_elements
    require_at_most(
        n_elements,
        MAX_OF_TRUTH,
        what=f"{over} of a network of which every circuit is tested",
        do="take a smaller network, or test some circuits by circuit_tests",
    )
    truth = Truth.of(problem, over=over, progress=False)
    kinds: dict[str, list[CircuitTests]] = {"minimal": [], "perfect": [], "imperfect": []}
    for mask in range(1, 2**n_elements):
        perfect = "perfect" if truth.perfect[mask] else "imperfect"
        kinds["minimal" if truth.subset[mask] else perfect].append(tester.test(mask))
    lines: list[dict[str, object]] = []
    for name in (*ASKS, "all"):
        for kind, tested in kinds.items():
            passes = [one.passes if name == "all" else one[name].passes for one in tested]
            asked = [one for one in passes if one is not None]
            share = sum(asked) / len(asked) if asked else None
            line: dict[str, object] = {"test": name, "kind": kind, "n": len(tested)}
            line |= {"n_asked": len(asked), "n_passing": sum(asked), "share": share}
            lines.append(line)
    return CircuitTestRates(
        over=over, alpha=tester.alpha, n_circuits=2**n_elements - 1, lines=tuple(lines)
    )


class _Sets:
    """The metric of every set of elements on every row; few sets are each run only once."""

    def __init__(self, problem: ExamProblem, over: Over) -> None:
        self.problem = problem
        self.over: Over = over
        self.n_elements = len(problem.elements(over))
        require_at_most(
            self.n_elements, MAX_ELEMENTS, what=over, do="take a network with fewer of them"
        )
        self.whole = 2**self.n_elements - 1
        self.are_held = 2**self.n_elements * problem.n_rows <= MAX_HELD

    @cached_property
    def _all(self) -> Numbers:
        """The metric of every set, [set, row]."""
        n_sets = 2**self.n_elements
        if self.over == "units":
            return _finite(self._run(np.arange(n_sets)))
        of_rows = [
            metric_of_edge_masks(self.problem.numbers, self._on_row(row), progress=False)
            for row in range(self.problem.n_rows)
        ]
        self.problem.cost.forwards += n_sets
        return _finite(np.stack(of_rows, axis=-1))

    def _on_row(self, row: int) -> Callable[[Numbers], Numbers]:
        """The metric on one row, as a function of the outputs on all rows."""

        def metric(outputs: Numbers) -> Numbers:
            return self.problem.metric_of(torch.from_numpy(outputs))[..., row].numpy()

        return metric

    def _run(self, masks: Sets) -> Numbers:
        """The metric of some sets, [set, row]; each is run."""
        values: list[Numbers] = []
        for start in range(0, len(masks), SETS_AT_ONCE):
            some = masks[start : start + SETS_AT_ONCE, None]
            kept = (some >> np.arange(self.n_elements) & 1).astype(np.float64)
            edges = kept if self.over == "edges" else self.problem.edges_between(kept)
            values.append(self.problem.values(edges).detach().numpy())
        return np.concatenate(values)

    def values(self, masks: Sets) -> Numbers:
        """The metric of some sets, [set, row].

        Raises:
            XorMiError: a metric that is not a finite number.
        """
        return self._all[masks] if self.are_held else _finite(self._run(masks))

    @cached_property
    def of_whole(self) -> Numbers:
        """The metric of the whole network, [row]."""
        return self.values(np.array([self.whole]))[0]

    @cached_property
    def _all_from_whole(self) -> Numbers:
        return np.abs(self._all - self.of_whole).mean(-1)

    def from_whole(self, masks: Sets) -> Numbers:
        """How far some sets are from the whole network, [set]."""
        if self.are_held:
            return self._all_from_whole[masks]
        return np.abs(self.values(masks) - self.of_whole).mean(-1)

    @cached_property
    def of_size(self) -> "list[Sets | None]":
        """All sets of each size, if all values are kept; otherwise None."""
        if not self.are_held:
            return [None] * (self.n_elements + 1)
        masks = np.arange(2**self.n_elements)
        ordered = np.argsort(np.bitwise_count(masks), kind="stable")
        n_of_size = [comb(self.n_elements, size) for size in range(self.n_elements + 1)]
        return list(np.split(ordered, np.cumsum(n_of_size)[:-1]))

    @cached_property
    def paths(self) -> Sets:
        """Every path from an input to an output, as a set of edges."""
        number = {edge: 1 << place for place, edge in enumerate(self.problem.edges)}
        paths: list[int] = []
        for units in product(*layers_of(self.problem.numbers.sizes)):
            edges = [Edge(source, target) for source, target in pairwise(units)]
            paths.append(sum(number[edge] for edge in edges))
        return np.array(paths)

    def on_paths(self, masks: Sets) -> Sets:
        """The edges of each set that are on its paths from inputs to outputs, as sets, [set]."""
        live = np.zeros_like(masks)
        for path in self.paths:
            live |= np.where(masks & path == path, path, 0)
        return live


class _Null(NamedTuple):
    """Random circuits: sets of one size.

    Attributes:
        are_all: whether all sets of this size are here, so that the circuit is among them.
    """

    masks: Sets
    are_all: bool
    words: str


class _Tester:
    """The five tests, for circuits of one network."""

    def __init__(self, problem: ExamProblem, over: Over, *, alpha: float, connected: bool) -> None:
        self.problem = problem
        self.sets = _Sets(problem, over)
        self.alpha = alpha
        self.connected = connected
        if connected and over == "units":
            raise XorMiError(
                "connected=True is for circuits of edges; units are kept with all edges between "
                "them"
            )
        self._nulls: dict[int, _Null] = {}

    def test(self, mask: int) -> CircuitTests:
        """All five tests of a set that is not empty."""
        lines = (
            self._sufficiency(mask),
            self._necessity(mask),
            self._minimality(mask),
            self._equivalence(mask),
            self._independence(mask),
        )
        return CircuitTests(
            over=self.sets.over,
            circuit=self.elements(mask),
            alpha=self.alpha,
            connected=self.connected,
            lines=lines,
        )

    def elements(self, mask: int) -> tuple[Edge, ...] | tuple[Unit, ...]:
        """The elements of a set."""
        if self.sets.over == "edges":
            return tuple(one for place, one in enumerate(self.problem.edges) if mask >> place & 1)
        return tuple(one for place, one in enumerate(self.problem.units) if mask >> place & 1)

    # --- the tests

    def _sufficiency(self, mask: int) -> CircuitTestLine:
        null = self._null(mask.bit_count())
        distance = self.sets.from_whole(np.array([mask]))[0]
        distances = self.sets.from_whole(null.masks)
        return self._against("sufficiency", -distance, -distances, mask, null)._replace(
            statistic=float(distance)
        )

    def _necessity(self, mask: int) -> CircuitTestLine:
        null = self._null(mask.bit_count())
        distance = self.sets.from_whole(np.array([self.sets.whole ^ mask]))[0]
        distances = self.sets.from_whole(self.sets.whole ^ null.masks)
        return self._against("partial necessity", distance, distances, mask, null)

    def _against(
        self, name: CircuitTestName, statistic: float, of_null: Numbers, mask: int, null: _Null
    ) -> CircuitTestLine:
        """A test whose p is the share of the null with a statistic at least as large."""
        # if the circuit is not among the null, it is counted with it
        extra = 0 if null.are_all and bool((null.masks == mask).any()) else 1
        n = len(null.masks) + extra
        largest = max(float(statistic), float(of_null.max(initial=-np.inf)))
        n_above = np.count_nonzero(of_null >= statistic - self._tie)
        n_largest = np.count_nonzero(of_null >= largest - self._tie)
        if extra and statistic >= largest - self._tie:
            n_largest += 1
        p = (n_above + extra) / n
        return self._line(name, float(statistic), null.words, n, p, max(n_largest, 1) / n)

    def _minimality(self, mask: int) -> CircuitTestLine:
        inside = [1 << place for place in range(self.sets.n_elements) if mask >> place & 1]
        moved = self._moved(np.full(len(inside), mask), mask ^ np.array(inside))
        larger, smaller, weight = self._inflated(mask)
        least = float(moved.min())
        words = "elements added at random, all"
        if not len(larger):
            return CircuitTestLine("minimality", least, words, 0, None, None, None)
        of_null = self._moved(larger, smaller)
        p = float(weight[of_null >= least - self._tie].sum())
        return self._line("minimality", least, words, len(larger), p, 0.0)

    def _moved(self, before: Sets, after: Sets) -> Numbers:
        """The distance between two sets, pair by pair."""
        return np.abs(self.sets.values(before) - self.sets.values(after)).mean(-1)

    def _inflated(self, mask: int) -> tuple[Sets, Sets, Numbers]:
        """A circuit with additions, the same without one new element, each pair's chance."""
        larger: list[int] = []
        smaller: list[int] = []
        weight: list[float] = []
        for added in self._additions():
            inflated = mask | added
            new = inflated ^ mask
            n_new = new.bit_count()
            for place in range(self.sets.n_elements):
                if new >> place & 1:
                    larger.append(inflated)
                    smaller.append(inflated ^ (1 << place))
                    weight.append(1 / n_new)
        # every addition that adds something is equally likely
        weights = np.array(weight)
        n_additions = max(float(weights.sum()), 1.0)
        larger_sets, smaller_sets = (np.array(one, dtype=np.int64) for one in (larger, smaller))
        return larger_sets, smaller_sets, weights / n_additions

    def _additions(self) -> Iterator[int]:
        """The sets that may be added to a circuit."""
        if self.sets.over == "edges":
            yield from self.sets.paths.tolist()
        else:
            yield from (1 << place for place in range(self.sets.n_elements))

    def _equivalence(self, mask: int) -> CircuitTestLine:
        values = self.sets.values(np.array([mask]))[0]
        better = values - self.sets.of_whole
        n = len(better)
        # values that are equal up to rounding count half
        is_equal = np.abs(better) <= self._tie
        share = float(np.where(is_equal, 0.5, better > 0).mean())
        p = _binomial_p(n, abs(share - 0.5))
        words = f"a coin for each of {n:,} rows, all outcomes"
        return self._line("non-equivalence", share, words, n + 1, p, _binomial_p(n, 0.5))

    def _independence(self, mask: int) -> CircuitTestLine:
        left = self.sets.values(np.array([self.sets.whole ^ mask]))[0]
        n = len(left)
        orders = self._orders
        observed = _centred(_kernel(self.sets.of_whole))
        other = _centred(_kernel(left))
        parts: list[Numbers] = []
        step = max(1, NUMBERS_AT_ONCE // n**2)
        for start in range(0, len(orders), step):
            some = orders[start : start + step]
            reordered = other[some[:, :, None], some[:, None, :]]
            parts.append((observed * reordered).sum((1, 2)) / (n - 1) ** 2)
        statistics = np.concatenate(parts)
        # the first order is the unchanged one
        statistic = statistics[0]
        tie = ROUNDING * np.abs(statistics).max()
        p = float((statistics >= statistic - tie).mean())
        least = float((statistics >= statistics.max() - tie).mean())
        are_all = n <= MAX_ORDERED_ROWS
        words = f"orders of {n:,} rows, {'all' if are_all else 'drawn'}"
        return self._line("non-independence", float(statistic), words, len(orders), p, least)

    @cached_property
    def _orders(self) -> Sets:
        """Orders of the rows, [order, row], with the unchanged order first."""
        n = self.problem.n_rows
        if n <= MAX_ORDERED_ROWS:
            return np.array(list(permutations(range(n))))
        generator = self.problem.generator("orders of rows")
        drawn = generator.permuted(np.tile(np.arange(n), (N_ORDERS, 1)), axis=1)
        return np.concatenate([np.arange(n)[None], drawn])

    # --- shared by the tests

    @cached_property
    def _tie(self) -> float:
        """Distances that differ by less than this differ only by rounding."""
        return ROUNDING * float(np.abs(self.sets.of_whole).max())

    def _line(
        self,
        name: CircuitTestName,
        statistic: float,
        null: str,
        n_null: int,
        p: float,
        least: float,
    ) -> CircuitTestLine:
        rejects = p <= self.alpha
        passes = rejects if name in IS_PASSED_BY_REJECTING else not rejects
        return CircuitTestLine(name, statistic, null, n_null, float(p), float(least), bool(passes))

    def _null(self, size: int) -> _Null:
        """Random circuits of one size: all, or a sample of them."""
        if size not in self._nulls:
            self._nulls[size] = self._made_null(size)
        return self._nulls[size]

    def _made_null(self, size: int) -> _Null:
        n = self.sets.n_elements
        held = self.sets.of_size[size]
        are_all = held is not None or comb(n, size) <= MAX_SETS
        if held is not None:
            masks = held
        elif are_all:
            chosen = combinations(range(n), size)
            masks = np.array([sum(1 << place for place in one) for one in chosen])
        else:
            generator = self.problem.generator(f"sets of {size}")
            places = generator.random((N_SAMPLED, n)).argsort(axis=1)[:, :size]
            masks = (1 << places.astype(np.int64)).sum(axis=1)
        words = f"sets of {size} {self.sets.over}, {'all' if are_all else 'drawn'}"
        if self.connected:
            masks = masks[self.sets.on_paths(masks) == masks]
            words = f"connected {words}"
        return _Null(masks, are_all, words)


def _finite(values: Numbers) -> Numbers:
    """The same values, if all are finite: others would make every comparison false."""
    if np.isfinite(values).all():
        return values
    raise XorMiError(
        f"the metric is {values[~np.isfinite(values)][0]} for a part of the network; give a metric "
        "that is a finite number whatever is dropped"
    )


def _binomial_p(n: int, distance: float) -> float:
    """The chance that a share of n coins is at least this far from a half, if theirs is 0.1 off."""
    outcomes = np.arange(n + 1)
    is_as_far = np.abs(outcomes / n - 0.5) >= distance - ROUNDING
    return float(binom.pmf(outcomes, n, 0.5 + EPSILON)[is_as_far].sum())


def _kernel(values: Numbers) -> Numbers:
    """A Gaussian kernel between all rows, as wide as their median distance, [row, row]."""
    apart = np.abs(values[:, None] - values)
    own = apart[np.triu_indices(len(values), 1)]
    # differences by rounding count as none
    own = np.where(own <= ROUNDING * np.abs(values).max(initial=0), 0.0, own)
    if not own.any():
        return np.ones_like(apart)
    width = np.median(own)
    if width == 0:
        width = own[own > 0].mean()
    return np.exp(-((apart / width) ** 2) / 2)


def _centred(kernel: Numbers) -> Numbers:
    """A kernel without the means of its rows and columns, [row, row]."""
    of_rows = kernel - kernel.mean(0)
    return of_rows - of_rows.mean(1, keepdims=True)


def _as_alpha(alpha: object) -> float:
    if isinstance(alpha, (int, float)) and not isinstance(alpha, bool) and 0 < alpha < 1:
        return float(alpha)
    raise XorMiError(f"alpha is {shown(alpha)}; give a number between 0 and 1, such as 0.05")


def _as_mask(circuit: object, problem: ExamProblem, over: Over) -> int:
    """A circuit as a whole number, with a bit per element."""
    elements: Sequence[Edge | Unit] = problem.elements(over)
    give = f"some of the network's {over}, a Subcircuit, or True or False for each of its "
    give += f"{len(elements)} {over}"
    if isinstance(circuit, Subcircuit):
        if circuit.layer_sizes != problem.numbers.sizes:
            raise XorMiError(
                f"circuit is a Subcircuit of layer sizes {circuit.layer_sizes}; the network has "
                f"{problem.numbers.sizes}"
            )
        circuit = circuit.edges if over == "edges" else circuit.units
    if isinstance(circuit, Tensor):
        circuit = circuit.detach().cpu().numpy()
    if not isinstance(circuit, Iterable) or isinstance(circuit, (str, bytes, Mapping)):
        raise XorMiError(f"circuit is {shown(circuit)}; give {give}")
    given = list(circuit)
    if len(given) == len(elements) and all(isinstance(one, (bool, np.bool_)) for one in given):
        given = [element for element, is_in in zip(elements, given, strict=True) if is_in]
    places = {element: place for place, element in enumerate(elements)}
    for one in given:
        if not isinstance(one, (Edge, Unit)) or one not in places:
            raise XorMiError(f"circuit has {shown(one)}; give {give}")
    if not given:
        raise XorMiError(f"circuit has no {over}, so there is nothing to test; give {give}")
    return sum(1 << places[one] for one in set(given))


def _by_tests_of_edges(problem: ExamProblem) -> tuple[Edge, ...] | tuple[Unit, ...]:
    return smallest_by_tests(problem)


def _by_tests_of_units(problem: ExamProblem) -> tuple[Edge, ...] | tuple[Unit, ...]:
    return smallest_by_tests(problem, over="units")


TEST_METHODS: tuple[ExamMethod, ...] = (
    ExamMethod(
        name="smallest_by_tests",
        run=_by_tests_of_edges,
        over="edges",
        gives="set",
        source=f"tests of {SOURCE}",
    ),
    ExamMethod(
        name="smallest_by_tests_units",
        run=_by_tests_of_units,
        over="units",
        gives="set",
        source=f"tests of {SOURCE}",
    ),
)
"""The methods of this module, which return a set."""
