"""methods, networks, a convention -> Grades."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from numpy.typing import NDArray

from xor_mi import __version__
from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError, cut_short, require_kind, shown, whole_number
from xor_mi.exam._alignments import accuracy_of, chance_of
from xor_mi.exam._answer import GIVES, Gates, Kept, ReadAnswer, Scores, read_answer
from xor_mi.exam._conventions import SomeConvention, convention_of
from xor_mi.exam._gate_rule import agreement_with_circuit, chance_of_agreement
from xor_mi.exam._grades import ExamNetwork, Grade, Grades, TruthSummary
from xor_mi.exam._measures import Measured, auroc, measures_of_scores, measures_of_set
from xor_mi.exam._method import AlignedModel, ExamMethod, Method
from xor_mi.exam._methods import SomeMethods, methods_by_name
from xor_mi.exam._problem import Cost, ExamProblem, MetricName, Over, RowMetric
from xor_mi.exam._truth import Truth
from xor_mi.exam._unchanged import Changed, unchanged
from xor_mi.kinds import Pairs, Target
from xor_mi.model import HookedMLP, require_hooked_mlp
from xor_mi.progress import progress_bar
from xor_mi.search import Convention
from xor_mi.training import Population
from xor_mi.truth import row_name, truth_rows


class NoneGraded(XorMiError):
    """There is no network to grade on; `left_out` gives the reason for each."""

    def __init__(self, message: str, left_out: Mapping[str, str]) -> None:
        super().__init__(message)
        self.left_out = left_out


Networks = HookedMLP | Iterable[HookedMLP] | Mapping[str, HookedMLP] | Population
"""One network, several, or several by name, such as a population or the networks of a task."""

PACKAGES = ("torch", "transformer-lens", "captum", "autolrp")
"""The packages that a grade may depend on; `Grades.versions` has their versions."""
MOST_NAMED = 3
"""The most networks or rows that an error names."""


def grade(
    methods: SomeMethods = None,
    networks: Networks | None = None,
    convention: SomeConvention = None,
    *,
    target: Target | None = None,
    metric: MetricName | RowMetric = "margin",
    pairs: Pairs | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Grades:
    """Grade methods for finding circuits against the complete truth, network by network.

    If a method raises, gives an answer of the wrong kind, or changes the network, only its own
    grade is missing, with the reason in `why_not`. A network that does not compute its task has no
    circuit to find; it is left out and listed in `left_out`.

    Args:
        methods: names of `METHODS`, functions of an `ExamProblem`, or a mapping of names to
            functions; by default all of `METHODS`.
        networks: one network, several, or a mapping from names to networks; also a `Population`, or
            the networks of a `Task`.
        convention: what a dropped edge carries, on which rows, and which decisions count as right:
            a `Convention`, or a name of `CONVENTIONS`, such as "mean".
        target: the function that is to be computed; by default each network's own target.
        metric: a number for what a part of the network does on a row; see `MetricName`.
        pairs: (clean, corrupted) rows for methods that patch from one input to another.
        seed: together with the network's name, it seeds the random numbers of methods.

    >>> from xor_mi.handmade import textbook_xor
    >>> def by_name(problem):
    ...     return [len(edge.name) for edge in problem.edges]
    >>> grades = grade(by_name, textbook_xor())
    >>> grades.board(["size"])[["method", "size", "size_chance"]].values.tolist()
    [['by_name', 6.0, 6.0]]

    Raises:
        XorMiError: an unknown method or metric, no network, a network that the exam does not take
            (with hooks or direct connections) or that is too large to try its circuits one by one,
            or no network that computes its task.
    """
    named_methods = methods_by_name(methods)
    named_networks = _named(networks)
    asked = convention_of(convention)
    if isinstance(pairs, Iterator):
        pairs = list(pairs)  # an iterator could serve only the first network
    settings = _Settings(
        target=target, convention=asked, metric=metric, pairs=pairs, seed=whole_number("seed", seed)
    )
    graded: list[ExamNetwork] = []
    grades: list[Grade] = []
    left_out: dict[str, str] = {}
    with progress_bar(
        doing="grading",
        unit="method",
        total=len(named_networks) * len(named_methods),
        progress=progress,
    ) as bar:
        for name, model in named_networks.items():
            place = _Place(name, settings.problem(name, model))
            why_not = place.why_not_to_be_asked()
            if why_not:
                left_out[name] = why_not
                bar.update(len(named_methods))
                continue
            for method_name, method in named_methods.items():
                grades.append(place.graded(method_name, method))
                bar.update()
            graded.append(place.network())
    if not graded:
        some = [f"{name}: {why}" for name, why in list(left_out.items())[:MOST_NAMED]]
        raise NoneGraded(f"no network can be graded on: {'; '.join(some)}", left_out)
    return Grades(
        convention=asked,
        metric=metric if isinstance(metric, str) else getattr(metric, "__name__", "given"),
        seed=settings.seed,
        versions=versions_here(),
        networks=tuple(graded),
        grades=tuple(grades),
        left_out=left_out,
    )


def _named(networks: Networks | None) -> dict[str, HookedMLP]:
    """Name -> network."""
    if networks is None:
        raise XorMiError(
            "no networks were given; give a network, several, or those of a task, such as "
            "exam.task('XOR 2-3-3-1 relu').networks(20)"
        )
    if isinstance(networks, HookedMLP):
        return {"0": networks}
    if isinstance(networks, Mapping):
        named = {str(name): model for name, model in networks.items()}
        if len(named) < len(networks):
            raise XorMiError(
                f"two networks have the same name among {shown(list(networks))}; rename one"
            )
    else:
        if isinstance(networks, Population):
            networks = [networks[number] for number in range(len(networks))]
        give = "a HookedMLP, several, a Population, or a task's .networks(20)"
        require_kind("networks", networks, Iterable, give=give)
        named = {str(number): model for number, model in enumerate(networks)}
    if not named:
        raise XorMiError("networks is empty; give at least one")
    for model in named.values():
        require_hooked_mlp(model, "the exam")
    return named


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The settings that all networks of one call share."""

    target: Target | None
    convention: Convention
    metric: MetricName | RowMetric
    pairs: Pairs | None
    seed: int

    def problem(self, name: str, model: HookedMLP) -> ExamProblem:
        """The problem that methods get for one network, seeded by its name, not by its position."""
        return ExamProblem.of(
            model,
            self.target,
            convention=self.convention,
            metric=self.metric,
            pairs=self.pairs,
            seed=zlib.crc32(f"{self.seed} {name}".encode()),
        )


def versions_here() -> dict[str, str]:
    """Package -> version, for those that are installed."""
    found = {"xor-mi": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a package of the extra is not installed
            continue
    return found


class _Place:
    """One network in the exam: the problem that methods get, and the truth about it."""

    def __init__(self, name: str, problem: ExamProblem) -> None:
        self._name = name
        self._problem = problem
        self._truths: dict[Over, Truth] = {}

    def why_not_to_be_asked(self) -> str:
        """Why there is no circuit to find in this network; "" if there is one."""
        problem = self._problem
        whole = torch.ones(1, len(problem.edges))
        is_right = problem.right(whole)[0].numpy()
        if is_right.all():
            return ""
        clean = truth_rows(problem.numbers.sizes[0])
        wrong = [row_name(row) for row, right in zip(clean, is_right, strict=False) if not right]
        n_noisy = int((~is_right[len(clean) :]).sum())
        said = [f"rows {', '.join(wrong[:MOST_NAMED])}"] if wrong else []
        said += [f"{n_noisy} noisy rows"] if n_noisy else []
        return (
            f"the whole network decides {' and '.join(said)} wrong, so there is no circuit to find"
        )

    def truth(self, over: Over) -> Truth:
        """The truth by exhaustion, computed once."""
        if over not in self._truths:
            self._truths[over] = Truth.of(self._problem, over=over, progress=False)
        return self._truths[over]

    @cached_property
    def circuit(self) -> Circuit:
        """The identified circuit of the network."""
        return identify_circuit(self._problem.model, self._problem.numbers.target)

    def network(self) -> ExamNetwork:
        """The network and the truth about it."""
        model = self._problem.model
        return ExamNetwork(
            name=self._name,
            cfg=model.cfg,
            layers=tuple(model.float64_layers()),
            target=self._problem.numbers.target,
            n_rows=self._problem.n_rows,
            truths=tuple(TruthSummary.of(truth) for truth in self._truths.values()),
        )

    def graded(self, name: str, method: Method) -> Grade:
        """One method's grade on this network; if it fails, with the reason."""
        # a problem of its own, so that its runs are counted separately
        problem = replace(self._problem, cost=Cost())
        over: Over | None = None
        if isinstance(method, ExamMethod) and method.gives in ("scores", "set"):
            over = method.over
            self.truth(over)  # a network that is too large is refused before the method runs
        try:
            # a generator runs only while it is read
            with unchanged(problem), problem.counting():
                read = read_answer(method(problem), problem, over=over)
            # gates and alignments need no truth over sets, and may still be impossible to measure
            of_units = None if isinstance(read, (Scores, Kept)) else self._of_units(read, problem)
        # whatever a method raises, even `exit()`, the others are graded all the same
        except (Exception, SystemExit) as error:
            why_not = str(error) if isinstance(error, (XorMiError, Changed)) else _raised(error)
            return Grade(method=name, network=self._name, over=over, why_not=why_not)
        measured = of_units or self._measured(read, problem)
        return Grade(
            method=name,
            network=self._name,
            over=read.over if isinstance(read, (Scores, Kept)) else None,
            gives=GIVES[type(read)],
            values=measured.values,
            chance=measured.chance,
            control=read.control if isinstance(read, AlignedModel) else None,
            faithfulness=measured.faithfulness,
            right_rows=measured.right_rows,
            kept=measured.kept,
            forwards=problem.cost.forwards,
            backwards=problem.cost.backwards,
        )

    def _measured(self, read: ReadAnswer, problem: ExamProblem) -> Measured:
        """The measures of scores or of a set."""
        if isinstance(read, Kept):
            return measures_of_set(read, self.truth(read.over))
        assert isinstance(read, Scores)
        measured = measures_of_scores(read, self.truth(read.over), problem.generator("ties"))
        if read.over == "units":
            uses = self._uses
            chance = None if uses is None else 0.5
            measured.values["auroc_gates"] = None if uses is None else auroc(read.numbers, uses)
            measured.chance["auroc_gates"] = chance
        return measured

    def _of_units(self, read: Gates | AlignedModel, problem: ExamProblem) -> Measured:
        """The measure of gates or of an alignment."""
        if isinstance(read, Gates):
            agreement = agreement_with_circuit(read.gates, problem, circuit=self.circuit)
            chance = chance_of_agreement(read.gates, problem, circuit=self.circuit)
            return _alone("gate_agreement", agreement, chance)
        accuracy, chance = accuracy_of(read, problem), chance_of(read, problem)
        return _alone("interchange_accuracy", accuracy, chance)

    @cached_property
    def _uses(self) -> NDArray[np.bool_] | None:
        """Which hidden units the identified circuit uses, [unit]; None without a circuit."""
        if self.circuit.primary is None:
            return None
        used = [not one.constant and not one.idle for one in self.circuit.units]
        return np.array(used, dtype=np.bool_)


def _alone(measure: str, value: float | None, chance: float | None) -> Measured:
    return Measured(values={measure: value}, chance={measure: chance})


def _raised(error: Exception | SystemExit) -> str:
    """A method's error, on one line."""
    return cut_short(f"{type(error).__name__}: {error}".replace("\n", " "), at_most=300)
