"""model + target -> Diagnosis: what it computes, and which change of reading makes that the target.

A network that somebody else wrote carries conventions that its weights do not say: which numbers
stand for the bits, how an output is decided, whether a matrix is transposed. Each convention is
changed alone, the changed network is built, and every row is decided anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from xor_mi.circuits import _wording
from xor_mi.circuits._facts import ChangeKind, NewValue, Problem, Problems
from xor_mi.circuits._shortfall import Shortfall, shortfall_of
from xor_mi.finding import ROUNDING, Finding, Listed
from xor_mi.kinds import Target
from xor_mi.metrics import UNDECIDED, decisions
from xor_mi.model import STEPS, DecisionRule, HookedMLP, one_of_a_pair, require_plain_mlp
from xor_mi.model._numbers import is_held
from xor_mi.model._range import require_finite_run
from xor_mi.truth import BooleanFunction, row_name
from xor_mi.values import forward_float64, own_score_scale

LEVELS = ((0.0, 1.0), (-1.0, 1.0))
"""The levels that inputs are tried with."""
THRESHOLDS = (0.5, 0.0)
"""The thresholds that are tried: of probabilities and of targets 0 and 1, and of logits."""
MAX_ORDERED = 5
"""Up to so many inputs or outputs are tried in every order; more with two swapped, and reversed."""
MAX_NAMED = 4
"""A function of more inputs is named only if it is a gate of any width: a formula takes long."""


@dataclass(frozen=True)
class ReadingChange:
    """One other way to read the network, and what came of it.

    Attributes:
        kind: what is changed.
        value: what it is changed to: a number, two levels, a name, the matrices that are
            transposed, or the new order of inputs or outputs. None for the complement.
        between: for a threshold that was found by looking at the outputs, the two outputs that it
            lies between; any number between them works.
        computes: what the network computes then; None where a row is undecided.
        problems: problem -> the rows that still have it; empty where the change is the answer.
        model: the changed network; for the complement it is the unchanged network.
    """

    kind: ChangeKind
    value: NewValue
    between: tuple[float, float] | None
    computes: BooleanFunction | None = field(repr=False)
    problems: Problems
    model: HookedMLP = field(repr=False, compare=False)

    @property
    def works(self) -> bool:
        """Whether the network computes what was asked under this change alone."""
        return not self.problems

    @property
    def rows_wrong(self) -> tuple[str, ...]:
        """The rows that are not decided as they should be."""
        return _rows_of(self.problems)

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the change among others."""
        computes = None if self.computes is None else self.computes.name
        return {"change": str(self), "computes": computes, "rows wrong": self.rows_wrong}

    def __str__(self) -> str:
        return _wording.change(self.kind, self.value, self.between)


@dataclass(frozen=True)
class Diagnosis(Finding):
    """What a network computes as it is read, and which change of reading makes that the target.

    Attributes:
        target: what was asked.
        computes: what it computes as it is read; None where a row is undecided.
        rule: the decision rule as the network is read.
        rows: the names of the rows.
        outputs: on every row, in float64, [row][output].
        decided: on every row 1, 0 or -1 where undecided, [row][decision].
        problems: problem -> the rows that have it: "wrong", "undecided", or "rounding" (decided as
            they should be by rounding alone). All rows are wrong where the target has another
            number of outputs than the network has decisions.
        tried: every change, in a fixed order; none where there is no problem.
        shortfall: what in the weights is in the way; None where there is no problem, or where the
            target has another number of outputs than the network has decisions.
        scale: the size of the terms that the outputs are sums of; less than a millionth of it is
            rounding; 0 if the size is not known.
    """

    target: BooleanFunction
    computes: BooleanFunction | None
    rule: DecisionRule
    rows: tuple[str, ...] = field(repr=False)
    outputs: tuple[tuple[float, ...], ...] = field(repr=False)
    decided: tuple[tuple[int, ...], ...] = field(repr=False)
    problems: Problems
    tried: tuple[ReadingChange, ...] = field(repr=False)
    shortfall: Shortfall | None = field(repr=False)
    scale: float = field(repr=False)

    @property
    def works(self) -> bool:
        """Whether the network computes the target as it is read."""
        return not self.problems

    @property
    def rows_wrong(self) -> tuple[str, ...]:
        """The rows that are not decided as they should be."""
        return _rows_of(self.problems)

    @property
    def answers(self) -> tuple[ReadingChange, ...]:
        """The changes under each of which alone the network computes the target."""
        return Listed(change for change in self.tried if change.works)

    @property
    def closest(self) -> ReadingChange | None:
        """The change that leaves the fewest rows wrong, the first of several.

        None if nothing was tried, or no change leaves fewer rows wrong.
        """
        fewer = [one for one in self.tried if len(one.rows_wrong) < len(self.rows_wrong)]
        return min(fewer, key=lambda one: len(one.rows_wrong), default=None)

    @property
    def off_by(self) -> float | None:
        """How far the worst score lies on the wrong side of its threshold, in the outputs' units.

        0 if every row is decided right in float64; None if the target has another number of
        outputs than the network has decisions.
        """
        if self.target.n_outputs != len(self.decided[0]):
            return None
        distance = self.rule.distance(torch.tensor(self.outputs, dtype=torch.float64))
        sides = 2 * torch.tensor(self.target.tables).T - 1
        return max(0.0, -(distance * sides).min().item())

    @property
    def rows_by_rounding(self) -> tuple[str, ...]:
        """The rows on which a score is so near to its threshold that only rounding decides them."""
        distance = self.rule.distance(torch.tensor(self.outputs, dtype=torch.float64))
        is_rounding = ((distance != 0) & (distance.abs() < ROUNDING * self.scale)).any(1).tolist()
        return tuple(row for row, is_so in zip(self.rows, is_rounding, strict=True) if is_so)

    @property
    def failure(self) -> str:
        """Where it does not compute the target, such as 'wrong on 00, 11'; empty if it does."""
        return _wording.failure(self.problems, self._n_outputs) if self.problems else ""

    @property
    def remedy(self) -> str:
        """Which change of reading makes it the target, or how far off it is; empty if it works."""
        if not self.problems:
            return ""
        return _wording.remedy(
            name_of(self.target),
            rule=self.rule,
            answers=[str(change) for change in self.answers],
            closest=(str(self.closest), self.closest.rows_wrong) if self.closest else None,
            off_by=self.off_by,
            scale=self.scale,
        )

    @property
    def _n_outputs(self) -> tuple[int, int]:
        """The target's number of outputs, and the network's number of decisions."""
        return self.target.n_outputs, len(self.decided[0])

    def frame(self) -> pd.DataFrame:
        """One line for the network as it is read, then one per change tried.

        Columns: change, computes (empty where a row is undecided), n_wrong, rows_wrong (spaces
        between them), works.
        """
        lines = [_line("as it is", self.computes, self.rows_wrong)]
        lines += [_line(str(one), one.computes, one.rows_wrong) for one in self.tried]
        return pd.DataFrame(lines)

    def __str__(self) -> str:
        return _wording.diagnosis(
            target=_name_with_inputs(self.target),
            problems=self.problems,
            n_outputs=self._n_outputs,
            computes=None if self.computes is None else name_of(self.computes),
            rule=self.rule,
            outputs=dict(zip(self.rows, self.outputs, strict=True)),
            by_rounding=self.rows_by_rounding,
            scale=self.scale,
            remedy=self.remedy,
        )


@torch.no_grad()
def diagnose(model: HookedMLP, target: Target | None = None) -> Diagnosis:
    """What the network computes, and which single change of reading makes that what was asked.

    These changes are tried in this order, each alone, by building the changed network and deciding
    every row:

    - decision_threshold 0.5, and 0;
    - input_levels (0, 1), and (-1, 1);
    - decision_rule argmax instead of threshold, and back;
    - step_at_zero 1, and 0, where the network has steps;
    - dtype float64, where rounding decides;
    - the square weight matrices transposed, all together and each alone;
    - the complement of the target;
    - another order of the inputs, and of the outputs;
    - if neither threshold helps, a threshold that lies between the outputs. It is last, because it
      is fitted to these weights and not a convention.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`; by
            default `model.cfg.target`. Without one, the answer only says what the network computes.
            A network with two outputs may be asked for a function with one output, as if argmax
            decided.

    >>> from xor_mi import HookedMLP
    >>> layers = [([[10, 10], [10, 10]], [-10, 10]), ([[-0.5, 1]], [-0.75])]
    >>> found = diagnose(HookedMLP.from_weights(layers, act_fn="tanh", out_act_fn="tanh"), "XOR")
    >>> found.computes.name, [str(change) for change in found.answers]
    ('NAND', ['input_levels=(-1, 1)'])

    Raises:
        XorMiError: a target of another width; train mode, weights that are not finite.
    """
    require_plain_mlp(model, "diagnosing a network")
    layers = forward_float64(model, model.rows())
    require_finite_run(model, [one.inputs for one in layers], "diagnosing a network")
    outputs = layers[-1].post
    decided = model.rule.decide(outputs)
    function = _asked(model, target, decided)
    problems = problems_of(model, function, decided)
    names = tuple(row_name(row) for row in function.rows())
    fits = function.n_outputs == model.cfg.n_decisions
    return Diagnosis(
        target=function,
        computes=_function_of(decided),
        rule=model.rule,
        rows=names,
        outputs=tuple(map(tuple, outputs.tolist())),
        decided=tuple(map(tuple, decided.tolist())),
        problems=problems,
        tried=tuple(_tried(model, function, problems)) if problems else (),
        shortfall=shortfall_of(model, function, names) if problems and fits else None,
        scale=own_score_scale(model, model.rows()),
    )


def problems_of(model: HookedMLP, function: BooleanFunction, decided: Tensor) -> Problems:
    """Problem -> the rows that have it; empty where every row is decided as the function says.

    Rounding must not matter: the network's own dtype must decide as float64 does.

    Args:
        decided: what is decided in float64, [row, decision].
    """
    names = [row_name(row) for row in function.rows()]
    if function.n_outputs != model.cfg.n_decisions:
        return (("wrong", tuple(names)),)
    goal = torch.tensor(function.tables).T
    masks: dict[Problem, Tensor] = {
        "wrong": (decided != goal) & (decided != UNDECIDED),
        "undecided": decided == UNDECIDED,
        "rounding": decided != decisions(model).cpu(),
    }
    problems: list[tuple[Problem, tuple[str, ...]]] = []
    for problem, mask in masks.items():
        here = mask.any(1).tolist()
        rows = tuple(name for name, has_it in zip(names, here, strict=True) if has_it)
        if rows:
            problems.append((problem, rows))
    return tuple(problems)


def name_of(function: BooleanFunction) -> str:
    """A function's name in a sentence: gates' names or a formula, or on how many rows it is 1."""
    if function.n_inputs <= MAX_NAMED:
        return function.name
    return ", ".join(map(_name_of_wide, function.outputs))


def _name_with_inputs(function: BooleanFunction) -> str:
    """The name; a gate of three inputs or more with them: XOR is then the parity of them all."""
    name, n = name_of(function), function.n_inputs
    if n <= 2 or not name.isalpha() or name in ("TRUE", "FALSE"):
        return name
    inputs = ", ".join([f"x{k}" for k in range(n)]) if n <= MAX_NAMED else f"x0 to x{n - 1}"
    return f"{name} of {inputs}"


def _name_of_wide(function: BooleanFunction) -> str:
    for gate in ("FALSE", "TRUE", "AND", "NAND", "OR", "NOR", "XOR", "XNOR"):
        if BooleanFunction.named(gate, function.n_inputs).tables == function.tables:
            return gate
    return f"a function that is 1 on {sum(function.bits)} of {len(function.bits)} rows"


def _asked(model: HookedMLP, target: Target | None, decided: Tensor) -> BooleanFunction:
    """The target, which may have one output although two outputs are not yet read as one decision.

    Without a target it is what the network decides; an undecided row counts as 0.
    """
    if target is None:
        return model.target_of(None) if model.cfg.target else own_function(decided)
    function = BooleanFunction.of(target, model.cfg.d_in)
    fits = {model.cfg.d_out, model.cfg.n_decisions, 1 if model.cfg.d_out == 2 else model.cfg.d_out}
    return function if function.n_outputs in fits else model.target_of(function)


def decided_in_float64(model: HookedMLP) -> Tensor:
    """What is decided on every row, in float64, [row, decision]."""
    return model.rule.decide(forward_float64(model, model.rows())[-1].post)


def own_function(decided: Tensor) -> BooleanFunction:
    """Decisions [row, decision] as a function; an undecided row counts as 0."""
    n_inputs = len(decided).bit_length() - 1  # of 2^n rows
    tables = decided.clamp(min=0).T.tolist()  # UNDECIDED is -1
    return BooleanFunction(n_inputs, tuple(map(tuple, tables)))


def _function_of(decided: Tensor) -> BooleanFunction | None:
    """Decisions [row, decision] as a function; None if one is undecided."""
    if (decided == UNDECIDED).any():
        return None
    n_inputs = len(decided).bit_length() - 1
    return BooleanFunction(n_inputs, tuple(map(tuple, decided.T.tolist())))


def _rows_of(problems: Problems) -> tuple[str, ...]:
    """All rows with a problem, in their order."""
    return tuple(sorted({row for _, rows in problems for row in rows}))


def _line(
    change: str, computes: BooleanFunction | None, rows_wrong: Sequence[str]
) -> dict[str, object]:
    return {
        "change": change,
        "computes": "" if computes is None else name_of(computes),
        "n_wrong": len(rows_wrong),
        "rows_wrong": " ".join(rows_wrong),
        "works": not rows_wrong,
    }


@dataclass(frozen=True)
class _Candidate:
    """A change to try: the changed network, and the function that it is then compared with."""

    kind: ChangeKind
    value: NewValue
    model: HookedMLP
    target: BooleanFunction
    between: tuple[float, float] | None = None


def _tried(
    model: HookedMLP,
    function: BooleanFunction,
    problems: Problems,
) -> Iterator[ReadingChange]:
    """Every change of reading that the network and the target allow, tried."""
    for one in _candidates(model, function, problems):
        # a change after which the number of decisions is not the one asked for is not an answer
        if one.target.n_outputs != one.model.cfg.n_decisions:
            continue
        decided = decided_in_float64(one.model)
        yield ReadingChange(
            kind=one.kind,
            value=one.value,
            between=one.between,
            computes=_function_of(decided),
            problems=problems_of(one.model, one.target, decided),
            model=one.model,
        )


def _candidates(
    model: HookedMLP,
    function: BooleanFunction,
    problems: Problems,
) -> Iterator[_Candidate]:
    usual = _usual_thresholds(model, function)
    yield from usual
    yield from _settings(model, function, rounding="rounding" in dict(problems))
    yield from _transposed(model, function)
    yield _Candidate("complement", None, model, function.complement())
    yield from _input_orders(model, function)
    yield from _output_orders(model, function)
    yield from _fitted_threshold(model, function, usual)


def _usual_thresholds(model: HookedMLP, function: BooleanFunction) -> list[_Candidate]:
    if model.rule.name != "threshold":
        return []
    return [
        _Candidate("decision_threshold", one, _read(model, decision_threshold=one), function)
        for one in THRESHOLDS
        if one != model.threshold
    ]


def _fitted_threshold(
    model: HookedMLP, function: BooleanFunction, usual: Sequence[_Candidate]
) -> Iterator[_Candidate]:
    """A threshold that separates the outputs, if there is one and no usual threshold does."""
    if model.rule.name != "threshold" or function.n_outputs != model.cfg.d_out:
        return
    outputs = forward_float64(model, model.rows())[-1].post
    goal = torch.tensor(function.tables).T == 1
    is_constant = bool(goal.all()) or not goal.any()
    if is_constant or any(decided_in_float64(one.model).equal(goal.long()) for one in usual):
        return
    below, above = outputs[~goal].max().item(), outputs[goal].min().item()
    between = (below + above) / 2
    if not is_held([between], model.cfg.dtype):
        # for outputs below 1e-38, the representable number nearest to the middle
        between = torch.tensor(between, dtype=torch.float64).to(model.cfg.dtype).item()
    if below < between < above:
        yield _Candidate(
            "decision_threshold",
            between,
            _read(model, decision_threshold=between),
            function,
            between=(below, above),
        )


def _settings(
    model: HookedMLP, function: BooleanFunction, *, rounding: bool
) -> Iterator[_Candidate]:
    """Levels, the rule, the side of a step, and the precision."""
    cfg = model.cfg
    for levels in LEVELS:
        if levels != cfg.input_levels:
            yield _Candidate("input_levels", levels, _read(model, input_levels=levels), function)
    if cfg.d_out > 1:
        other = "argmax" if cfg.rule.name == "threshold" else "threshold"
        # the loss and the threshold change with the rule
        changed = _read(model, decision_rule=other, loss_fn=None, decision_threshold=None)
        asked = one_of_a_pair(function) if changed.cfg.n_decisions == 1 else function
        yield _Candidate("decision_rule", other, changed, asked)
    if {*cfg.act_fns, cfg.out_act_fn} & set(STEPS):
        step = 1 - cfg.step_at_zero
        yield _Candidate("step_at_zero", step, _read(model, step_at_zero=step), function)
    if rounding:
        yield _Candidate("dtype", "float64", _read(model, dtype="float64"), function)


def _transposed(model: HookedMLP, function: BooleanFunction) -> Iterator[_Candidate]:
    """Square matrices transposed: all of them, as another layout would have it, then each alone."""
    # the direct connections are the last columns of the readout and a matrix of their own
    n_units = model.cfg.d_hidden[-1]
    layers = model.float64_layers()
    matrices = {f"fc{k}.weight": weight for k, (weight, _) in enumerate(layers, start=1)}
    readout = f"fc{len(layers)}.weight"
    if model.cfg.direct:
        matrices |= {
            readout: matrices[readout][:, :n_units],
            "direct.weight": matrices[readout][:, n_units:],
        }
    square = [
        name
        for name, weight in matrices.items()
        if weight.shape[0] == weight.shape[1] and not torch.equal(weight, weight.T)
    ]
    sets = [tuple(square)] if square else []
    if len(square) > 1:
        sets += [(name,) for name in square]
    for names in sets:
        turned = {name: one.T if name in names else one for name, one in matrices.items()}
        changed = [(turned[f"fc{k}.weight"], bias) for k, (_, bias) in enumerate(layers, start=1)]
        if model.cfg.direct:
            weight, bias = changed[-1]
            changed[-1] = (torch.cat([weight, turned["direct.weight"]], dim=1), bias)
        yield _Candidate("layout", names, model.with_weights(changed, target=None), function)


def _input_orders(model: HookedMLP, function: BooleanFunction) -> Iterator[_Candidate]:
    """The inputs in another order: input order[i] of the network is fed what input i was."""
    n_units, n_inputs = model.cfg.d_hidden[-1], model.cfg.d_in
    for order in _orders(n_inputs):
        layers = model.float64_layers()
        weight, bias = layers[0]
        layers[0] = (weight[:, list(order)], bias)
        if model.cfg.direct:
            weight, bias = layers[-1]
            moved = torch.cat([weight[:, :n_units], weight[:, n_units:][:, list(order)]], dim=1)
            layers[-1] = (moved, bias)
        changed = model.with_weights(layers, target=None)
        yield _Candidate("input_order", order, changed, function)


def _output_orders(model: HookedMLP, function: BooleanFunction) -> Iterator[_Candidate]:
    """The outputs in another order; of two that are one decision that is its complement."""
    if model.cfg.n_decisions == 1:
        return
    for order in _orders(model.cfg.d_out):
        layers = model.float64_layers()
        weight, bias = layers[-1]
        layers[-1] = (weight[list(order)], bias[list(order)])
        changed = model.with_weights(layers, target=None)
        yield _Candidate("output_order", order, changed, function)


def _orders(number: int) -> Iterator[tuple[int, ...]]:
    """All orders but the usual one; of many only those with two swapped, and the reverse."""
    usual = tuple(range(number))
    if number <= MAX_ORDERED:
        yield from (order for order in permutations(usual) if order != usual)
        return
    yield usual[::-1]
    for a, b in combinations(usual, 2):
        swapped = list(usual)
        swapped[a], swapped[b] = b, a
        yield tuple(swapped)


def _read(model: HookedMLP, **settings: Any) -> HookedMLP:
    """The network with the same weights, read otherwise."""
    return model.with_weights(model.float64_layers(), target=None, **settings)
