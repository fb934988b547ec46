"""a model and a claim -> nothing, or an AssertionError with the evidence. Each function is one line
in any test; no pytest is needed.

A mistake in the question, such as a gate or a unit that does not exist, is an `XorMiError`; an
AssertionError is about the network."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from xor_mi.circuits import CandidateCircuit, Circuit
from xor_mi.errors import XorMiError, as_path, cut_short, shown, unknown
from xor_mi.graph import Unit
from xor_mi.interventions import patch
from xor_mi.kinds import (
    Decide,
    Direction,
    HookedModel,
    Metrics,
    ModelKwargs,
    Number,
    OneSite,
    PathLike,
    Row,
    Target,
    UpTo,
)
from xor_mi.metrics import UNDECIDED
from xor_mi.model import HookedMLP, how_to_bring, require_plain_mlp
from xor_mi.reading import read_json, read_json_text
from xor_mi.saving import CIRCUIT_MARK
from xor_mi.testing._compare import (
    DEFAULT_TOLERANCE,
    Tolerance,
    compare_records,
    tolerances,
    unit_beside,
)
from xor_mi.testing._decided import WrongRow, wrong_rows
from xor_mi.testing._entries import CircuitRecord
from xor_mi.testing._format import LONGEST_PATH, record_in, require_record
from xor_mi.testing._record import circuit_of, record_of
from xor_mi.truth import BooleanFunction, row_name

AskedUnit = int | str | Unit
"""A hidden unit: its name, the value of that name, or its number in the only hidden layer."""


def assert_acts_as(
    model_or_circuit: HookedMLP | Circuit,
    gates: Mapping[str, AskedUnit | Iterable[AskedUnit]],
    *,
    up_to_complement: bool = False,
) -> None:
    """Each of these units acts as its gate: under every kept reading, and every interchange comes
    out as the netlist predicts.

    Args:
        gates: gate -> one unit or several, as in {"OR": 0, "AND": "h0.1"}. A number is a unit of
            the only hidden layer.
        up_to_complement: a NOR unit also counts as OR.

    >>> from xor_mi.handmade import textbook_xor
    >>> assert_acts_as(textbook_xor(), {"OR": 0, "AND": 1})

    Raises:
        AssertionError: some unit does not; the message has a line for each, and the circuit with
            its evidence.
        XorMiError: a gate or unit that does not exist, or an empty `gates`.
    """
    __tracebackhide__ = True
    if isinstance(model_or_circuit, Mapping):
        raise XorMiError("the network comes first, then the gates: assert_acts_as(network, gates)")
    if not isinstance(gates, Mapping) or not gates:
        raise XorMiError(
            f"gates is {gates!r}; give a gate and its unit, such as {{'OR': 0, 'AND': 1}}"
        )
    circuit = circuit_of(model_or_circuit)
    _require_gates_first(gates, circuit)
    claims: list[tuple[BooleanFunction, Unit]] = []
    for gate, units in gates.items():
        function = BooleanFunction.of(gate, circuit.layer_sizes[0])
        claims += [(function, _unit(circuit, unit)) for unit in _each(units)]
    if not claims:
        raise XorMiError(f"gates is {gates!r}, which names no unit; give one or more")
    reasons = [_why_not(circuit, function, unit, up_to_complement) for function, unit in claims]
    wrong = [reason for reason in reasons if reason]
    if wrong:
        raise AssertionError("\n".join([*wrong, str(circuit)]))


def assert_computes(model: HookedMLP | Circuit, target: Target) -> None:
    """The model decides every row of inputs as the target does, computed in float64 and in its own
    precision.

    Args:
        target: a gate, a formula or a `BooleanFunction`.

    >>> from xor_mi.handmade import textbook_xor
    >>> assert_computes(textbook_xor(), "x0 ^ x1")

    Raises:
        AssertionError: some rows are decided differently; the message lists them with the network's
            outputs.
        XorMiError: a target with other numbers of inputs or outputs, a network in train mode, or
            weights that are not finite.
    """
    __tracebackhide__ = True
    # a text alone may be the name of a saved network, which is answered below with how to load it
    if isinstance(model, str | BooleanFunction) and not isinstance(target, str | BooleanFunction):
        raise XorMiError(
            f"the network comes first, the function second: assert_computes(network, "
            f"{shown(str(model))})"
        )
    network = model.model if isinstance(model, Circuit) else model
    require_plain_mlp(network, "comparing with a function")
    function = BooleanFunction.of(target, network.cfg.d_in)
    n_outputs, n_decisions = network.cfg.d_out, network.cfg.n_decisions
    if function.n_outputs != n_decisions:
        decided = f"{n_outputs}, which are one decision" if n_decisions < n_outputs else n_outputs
        raise XorMiError(
            f"the function has {function.n_outputs} outputs; the network has {decided}"
        )
    wrong = wrong_rows(network, function)
    if wrong:
        headline = (
            f"does not compute {function.name}: {len(wrong)} of {len(function.rows())} rows are "
            f"decided differently ({_how_decided(network)})"
        )
        raise AssertionError("\n".join([headline, *(_wrong_row(row) for row in wrong)]))


def assert_same_circuit(
    model_or_circuit: HookedMLP | Circuit,
    expected: HookedMLP | Circuit | Mapping[str, Any] | PathLike,
    *,
    tolerance: Tolerance = None,
    up_to: UpTo = "signature",
) -> None:
    """Two networks have the same circuit: verdict, gates and edges, and numbers too where a
    tolerance is given; see `compare_records`, which takes the two the other way round: old, new.

    Args:
        model_or_circuit: what is found now.
        expected: a network, a circuit, or a stored one: what `record_of` gives or `zoo.recorded`,
            the text that `Circuit.to_json` gives, or the path of a file with one of these, such as
            a baseline of `circuit_regression`.

    >>> from xor_mi import zoo
    >>> assert_same_circuit(zoo.load("nor-and"), zoo.recorded("or-and"), up_to="family")

    Raises:
        AssertionError: the circuits differ; the message lists changed units first, then numbers.
        XorMiError: as in `compare_records`; a model whose circuit cannot be identified; or a record
            that cannot be read.
    """
    __tracebackhide__ = True
    if isinstance(model_or_circuit, str | Path | Mapping):
        said = (
            "the network comes first, the stored circuit second: assert_same_circuit(network, "
            "stored); of two stored ones: compare_records(read_record(old), read_record(new))"
        )
        if not isinstance(model_or_circuit, Mapping):
            said += f"; of a saved network: {how_to_bring(model_or_circuit).removeprefix('give ')}"
        raise XorMiError(said)
    old, new = _expected_record(expected), record_of(model_or_circuit)
    differences = compare_records(old, new, tolerance=tolerance, up_to=up_to)
    if differences:
        raise AssertionError(f"{differences}\n(expected -> found, up to {up_to})")


def assert_patch_effect(
    model: HookedModel,
    clean: Row | Tensor,
    corrupted: Row | Tensor,
    site: OneSite | tuple[OneSite, ...],
    *,
    effect: Number | None = None,
    patched: Number | None = None,
    flips: bool | np.bool_ | None = None,
    tolerance: Number = DEFAULT_TOLERANCE,
    metrics: Metrics | None = None,
    direction: Direction = "denoising",
    decide: Decide | None = None,
    output: int = 0,
    model_kwargs: ModelKwargs | None = None,
) -> None:
    """Patching a site between two inputs has the effect it should.

    Args:
        clean, corrupted, site, metrics, direction, decide, output, model_kwargs: as in `patch`; of
            several metrics the first is tested.
        effect, patched: the patched metric minus the unpatched one, and the patched metric itself;
            they may be off by tolerance * size + tolerance * |expected|, where size is 1 or, if it
            is smaller, the largest metric of the runs.
        flips: whether the decision changes; a model that is not a HookedMLP needs `decide=` for it.
            If nothing is decided before and after, both True and False fail.

    >>> from xor_mi.handmade import textbook_xor
    >>> assert_patch_effect(textbook_xor(), "01", "11", "h0.1", effect=2.0, flips=True)

    Raises:
        AssertionError: a value differs; the message has the value found, and the whole patch.
        XorMiError: nothing is expected, a number is not finite, a tolerance is not a number of at
            least 0, flips= is given but nothing is decided, or as in `patch`.
    """
    __tracebackhide__ = True
    numbers = {"effect": effect, "patched": patched}
    expected = {name: number for name, number in numbers.items() if number is not None}
    if not expected and flips is None:
        raise XorMiError("nothing is expected of the patch; give effect=, patched= or flips=")
    for name, number in expected.items():
        is_number = isinstance(number, Real) and not isinstance(number, bool)
        if not is_number or not isfinite(number):
            raise XorMiError(f"{name} is expected to be {number!r}; give a finite number")
    allowed = tolerances(tolerance)["margin"]
    result = patch(
        model,
        clean,
        corrupted,
        site,
        metrics=metrics,
        direction=direction,
        decide=decide,
        output=output,
        model_kwargs=model_kwargs,
    )
    if flips is not None and result.flips is None:
        raise XorMiError(
            f"flips is expected to be {flips!r}, and nothing is decided; give decide=, such as "
            "metrics.by_threshold() or metrics.by_tokens(one, zero)"
        )
    measured = {"effect": result.effect, "patched": result.patched}
    unit = unit_beside([result.clean, result.corrupted, result.patched])
    wrong = [_off(name, want, measured[name], allowed, unit) for name, want in expected.items()]
    if flips is not None and not result.flips and result.decision_patched == UNDECIDED:
        wrong.append(f"flips: expected {flips}, and nothing is decided before or after")
    elif flips is not None and bool(result.flips) is not bool(flips):
        wrong.append(f"flips: expected {flips}, found {result.flips}")
    if any(wrong):
        how = f"({result.direction}, {result.metric})"
        headline = f"patching {result.site} from {result.pair} {how}"
        raise AssertionError("\n".join([headline, *filter(None, wrong), f"  {result}"]))


def _expected_record(expected: HookedMLP | Circuit | Mapping[str, Any] | PathLike) -> CircuitRecord:
    """The record with which a circuit is compared."""
    if isinstance(expected, str | Path):
        # the text of a stored circuit, or the name of a file with it
        next_step = "give a baseline, or what Circuit.to_json wrote"
        if isinstance(expected, str) and expected.lstrip().startswith("{"):
            called = "the text of expected"
            content = read_json_text(expected, called=called, next_step=next_step)
        else:
            file = as_path("expected", expected)
            called = f"the baseline '{cut_short(str(file), at_most=LONGEST_PATH)}'"
            content = read_json(file, called=called, next_step=next_step)
        if not _is_circuit_json(content):
            return record_in(content, called=called)
        return record_of(Circuit.from_dict(cast(Mapping[str, Any], content)))
    if not isinstance(expected, Mapping):
        return record_of(expected)
    if _is_circuit_json(expected):
        return record_of(Circuit.from_dict(expected))
    require_record("expected", expected)
    return cast(CircuitRecord, expected)


def _is_circuit_json(content: object) -> bool:
    """Whether the content declares the format of `Circuit.to_dict`."""
    found = content.get("format") if isinstance(content, Mapping) else None
    return isinstance(found, str) and found.startswith(CIRCUIT_MARK)


def _off(name: str, expected: Number, measured: Number, tolerance: Number, unit: float) -> str:
    """'effect: expected 1.5, found 2, ...', or '' if it is within its tolerance."""
    bound = tolerance * unit + tolerance * abs(expected)
    off = abs(measured - expected)
    # tested as "not within", since nan is neither within a bound nor above it
    if off <= bound:
        return ""
    return (
        f"{name}: expected {expected}, found {measured:.6g}, off by {off:.3g}; allowed {bound:.3g}"
    )


def _require_gates_first(gates: Mapping[str, object], circuit: Circuit) -> None:
    """Refuse a unit where its gate belongs."""
    names = {unit.place.name for unit in circuit.units}
    for gate, unit in gates.items():
        if isinstance(gate, int | Unit) or gate in names:
            written = f"{{{shown(unit)}: {shown(gate)}}}"
            raise XorMiError(f"gates is {shown(gates)}; write {written}: the gate, then the unit")


def _each(units: AskedUnit | Iterable[AskedUnit]) -> list[AskedUnit]:
    if isinstance(units, set | frozenset):
        # sorted, because the order of a set differs between processes
        return sorted(units, key=str)
    several = isinstance(units, list | tuple)
    return list(units) if several else [units]  # pyright: ignore[reportReturnType]


def _unit(circuit: Circuit, unit: AskedUnit) -> Unit:
    """A unit from a number, a name or a Unit."""
    places = {one.place.name: one.place for one in circuit.units}
    n_hidden_layers = len(circuit.layer_sizes) - 2
    name = unit.name if isinstance(unit, Unit) else unit
    if isinstance(unit, int) and not isinstance(unit, bool):
        if n_hidden_layers > 1:
            raise XorMiError(
                f"unit {unit} of which layer? This network has {n_hidden_layers}; name it, such as "
                f"'h1.{unit}'"
            )
        name = f"h0.{unit}"
    if not isinstance(name, str) or name not in places:
        raise unknown("hidden unit", name, places, where="this network has")
    return places[name]


def _why_not(
    circuit: Circuit, function: BooleanFunction, unit: Unit, up_to_complement: bool
) -> str:
    """Why a unit does not act as a gate, or ''."""
    if not circuit.circuits:
        return f"{unit.name} acts as no gate, not as {function.name}"
    if not circuit.passing:
        return (
            f"{unit.name} is not proved to act as {function.name}: "
            f"no circuit is proved as far as required ({circuit.require})"
        )
    complement = function.complement().name
    good = {function.name, complement} if up_to_complement else {function.name}
    gates = [_gate_in(one, unit) for one in circuit.passing]
    others = sorted({gate for gate in gates if gate is not None} - good)
    n_idle = gates.count(None)
    if n_idle == len(gates):
        (could_be,) = [one.gates for one in circuit.circuits[0].idle if one.unit == unit]
        gates_said = " or ".join(could_be)
        return f"{unit.name} acts as no gate: it is idle, and could be read as {gates_said}"
    if others and len(gates) == 1:
        hint = "; its complement: up_to_complement=True would accept it"
        shown_hint = hint if others == [complement] else ""
        return f"{unit.name} acts as {others[0]}, not as {function.name}{shown_hint}"
    if others or n_idle:
        n_agreeing = sum(gate in good for gate in gates)
        ways = [*others, *(["nothing (idle)"] if n_idle else [])]
        return (
            f"{unit.name} acts as {function.name} under {n_agreeing} of {len(gates)} circuits, "
            f"as {' or '.join(ways)} under the others"
        )
    # every circuit reads it as this gate; the interchanges say whether it acts as this gate
    claims = [one for one in circuit.evidence if one.kind == "interchange" and one.units == (unit,)]
    if not claims:
        return f"{unit.name} is read as {gates[0]}, but no interchange was run on it"
    return "" if claims[0].holds else f"{unit.name} is read as {gates[0]}, but {claims[0]}"


def _gate_in(circuit: CandidateCircuit, unit: Unit) -> str | None:
    """A unit's gate in a circuit; None if the unit is idle and has several possible gates."""
    several = {one.unit for one in circuit.idle if len(one.gates) > 1}
    return None if unit in several else circuit.readings[0].of(unit).gate


def _how_decided(network: HookedMLP) -> str:
    """'threshold 0', or 'class 1 wins'."""
    if network.rule.name == "threshold":
        return f"threshold {network.threshold:g}"
    if network.cfg.n_decisions < network.cfg.d_out:
        return "1 where class 1 wins"
    return "1 for the largest output"


def _wrong_row(row: WrongRow) -> str:
    """'  01: undecided but 1 by rounding, not 1 (output 0.5)'."""
    decided = _bits(row.in_float64)
    if row.in_its_precision != row.in_float64:
        decided = f"{decided} but {_bits(row.in_its_precision)} by rounding"
    outputs = ", ".join(f"{value:.6g}" for value in row.outputs)
    return f"  {row_name(row.row)}: {decided}, not {_bits(row.goal)} (output {outputs})"


def _bits(bits: Sequence[int]) -> str:
    return ", ".join("undecided" if bit == UNDECIDED else str(bit) for bit in bits)
