"""a model and a claim -> nothing, or an AssertionError that carries the evidence. For one line in
any test; no pytest is needed.

A mistake in the question, such as a gate or a unit that does not exist, is an `XorMiError`; an
AssertionError is about the network."""

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import torch

from xor_mi.circuits import Circuit
from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Unit
from xor_mi.interventions import patch
from xor_mi.metrics import UNDECIDED, decision, decisions
from xor_mi.model import require_plain_mlp
from xor_mi.testing._compare import compare_records, tolerances
from xor_mi.testing._record import circuit_of, record_of
from xor_mi.truth import BooleanFunction, row_name
from xor_mi.values import forward_float64


def assert_acts_as(model_or_circuit: Any, gates: Any, *, up_to_complement: bool = False) -> None:
    """Each of these units acts as its gate: under every kept reading, and every interchange comes
    out as the netlist predicts.

    Args:
        gates: gate -> a unit or several: {"OR": 0, "AND": "h0.1"}. A number is a unit of the only
            hidden layer.
        up_to_complement: a NOR unit also counts as OR.

    >>> from xor_mi.handmade import textbook_xor
    >>> assert_acts_as(textbook_xor(), {"OR": 0, "AND": 1})

    Raises:
        AssertionError: one line per unit that does not, and the circuit with its evidence.
        XorMiError: a gate or unit that does not exist, or nothing asked.
    """
    __tracebackhide__ = True
    if not isinstance(gates, Mapping) or not gates:
        raise XorMiError(
            f"gates is {gates!r}; give a gate and its unit, such as {{'OR': 0, 'AND': 1}}"
        )
    circuit = circuit_of(model_or_circuit)
    asked = [
        (BooleanFunction.of(gate, circuit.layer_sizes[0]), _unit(circuit, unit))
        for gate, units in gates.items()
        for unit in _each(units)
    ]
    if not asked:
        raise XorMiError(f"gates is {gates!r}; no unit is asked about: name one or more")
    wrong = [
        line
        for function, unit in asked
        for line in [_why_not(circuit, function, unit, up_to_complement)]
        if line
    ]
    if wrong:
        raise AssertionError("\n".join([*wrong, str(circuit)]))


def assert_computes(model: Any, target: Any) -> None:
    """The model decides every row of inputs as the function does, computed in float64 and in its
    own precision.

    Args:
        function: a gate, a formula or a `BooleanFunction`.

    >>> from xor_mi.handmade import textbook_xor
    >>> assert_computes(textbook_xor(), "x0 ^ x1")

    Raises:
        AssertionError: the rows that are decided otherwise, with the network's outputs.
        XorMiError: what is no function of this many inputs and outputs, train mode, or weights that
            are not finite.
    """
    __tracebackhide__ = True
    model = model.model if isinstance(model, Circuit) else model
    require_plain_mlp(model, "comparing with a function")
    wanted = BooleanFunction.of(target, model.cfg.d_in)
    if wanted.n_outputs != model.cfg.d_out:
        raise XorMiError(
            f"the function has {wanted.n_outputs} outputs; the network has {model.cfg.d_out}"
        )
    with torch.no_grad():
        outputs = forward_float64(model, torch.tensor(wanted.rows()))[-1].post
    decided = (decision(outputs, threshold=model.threshold).tolist(), decisions(model).tolist())
    wrong = []
    for row, out, goal, *found in zip(
        wanted.rows(), outputs.tolist(), zip(*wanted.tables, strict=True), *decided, strict=True
    ):
        if any(tuple(given) != goal for given in found):
            said = " but ".join(dict.fromkeys(_bits(given) for given in found)) + (
                " by rounding" if found[0] != found[1] else ""
            )
            wrong.append(
                f"  {row_name(row)}: {said}, not {_bits(goal)} (output {', '.join(f'{value:.6g}' for value in out)})"
            )
    if wrong:
        headline = f"does not compute {wanted.name}: {len(wrong)} of {len(outputs)} rows are decided otherwise (threshold {model.threshold:g})"
        raise AssertionError("\n".join([headline, *wrong]))


def assert_same_circuit(
    model_or_circuit: Any, expected: Any, *, tolerance: Any = None, up_to: str = "signature"
) -> None:
    """Two networks have the same circuit: verdict, gates and edges, and numbers too where a
    tolerance is given; see `compare_records`.

    >>> from xor_mi import zoo
    >>> assert_same_circuit(zoo.load("nor-and"), zoo.load("or-and"), up_to="family")

    Raises:
        AssertionError: changed units first, then numbers.
        XorMiError: as `compare_records` does, or a model whose circuit cannot be identified.
    """
    __tracebackhide__ = True
    found = compare_records(
        record_of(expected), record_of(model_or_circuit), tolerance=tolerance, up_to=up_to
    )
    if found:
        raise AssertionError(f"{found}\n(expected -> found, up to {up_to})")


def assert_patch_effect(
    model: Any,
    clean: Any,
    corrupted: Any,
    site: Any,
    *,
    effect: Any = None,
    flips: Any = None,
    value: Any = None,
    tolerance: int | float = 1e-6,
    **how: Any,
) -> None:
    """Patching a site between two inputs has the effect it should; arguments up to site, and `how`,
    are those of `patch`.

    Args:
        effect, value: the patched metric minus the unpatched one, and the patched metric itself;
            within tolerance + tolerance * |expected|.
        flips: whether the decision changes.

    >>> from xor_mi.handmade import textbook_xor
    >>> assert_patch_effect(textbook_xor(), "01", "11", "h0.1", effect=2.0, flips=True)

    Raises:
        AssertionError: what came out instead, and the whole patch.
        XorMiError: nothing expected, a tolerance that is no number of at least 0, or as `patch`
            does.
    """
    __tracebackhide__ = True
    expected = {
        name: wanted
        for name, wanted in {"effect": effect, "patched": value, "flips": flips}.items()
        if wanted is not None
    }
    if not expected:
        raise XorMiError("nothing is expected of the patch; give effect=, value= or flips=")
    for name in {"effect", "patched"} & set(expected):
        if (
            isinstance(expected[name], bool)
            or not isinstance(expected[name], Real)
            or not isfinite(expected[name])
        ):
            raise XorMiError(f"{name} is expected to be {expected[name]!r}; give a finite number")
    allowed = tolerances(tolerance)["margin"]
    found = patch(model, clean, corrupted, site, **how)
    wrong = []
    for name, wanted in expected.items():
        came = getattr(found, name)
        bound = None if name == "flips" else allowed + allowed * abs(wanted)
        if bool(came) is not bool(wanted) if bound is None else not abs(came - wanted) <= bound:
            off = "" if bound is None else f", off by {abs(came - wanted):.3g}; allowed {bound:.3g}"
            wrong.append(
                f"{name}: expected {wanted}, found {came if bound is None else f'{came:.6g}'}{off}"
            )
    if wrong:
        raise AssertionError(
            "\n".join(
                [
                    f"patching {found.site} from {found.pair} ({found.direction}, {found.metric})",
                    *wrong,
                    f"  {found}",
                ]
            )
        )


def _each(units: Any) -> list[Any]:
    return list(units) if isinstance(units, list | tuple | set | frozenset) else [units]


def _unit(circuit: Circuit, asked: Any) -> Unit:
    """A unit from a number, a name or a Unit."""
    known = {unit.place.name: unit.place for unit in circuit.units}
    if isinstance(asked, int) and not isinstance(asked, bool):
        if len(circuit.layer_sizes) > 3:
            raise XorMiError(
                f"unit {asked} of which layer? This network has {len(circuit.layer_sizes) - 2}; name it, such as 'h1.{asked}'"
            )
        asked = f"h0.{asked}"
    name = asked.name if isinstance(asked, Unit) else asked
    if name not in known:
        raise unknown("hidden unit", name, known, where="this network has")
    return known[name]


def _why_not(
    circuit: Circuit, function: BooleanFunction, unit: Unit, up_to_complement: bool
) -> str:
    """Why a unit does not act as a gate, or ''."""
    if circuit.primary is None:
        return f"{unit.name} acts as no gate, not as {function.name}"
    good = {function.name, *((function.complement().name,) if up_to_complement else ())}
    gates = [joint.of(unit).gate for joint in circuit.readings]
    others = sorted(set(gates) - good)
    if others and len(gates) == 1:
        hint = (
            "; its complement: up_to_complement=True would accept it"
            if others == [function.complement().name]
            else ""
        )
        return f"{unit.name} acts as {others[0]}, not as {function.name}{hint}"
    if others:
        agreed = sum(gate in good for gate in gates)
        return f"{unit.name} acts as {function.name} under {agreed} of {len(gates)} readings, as {' or '.join(others)} under the others"
    own = [e for e in circuit.evidence if e.kind == "interchange" and e.units == (unit,)]
    claim = own[0] if own else None
    return f"{unit.name} is read as {gates[0]}, but {claim}" if claim and not claim.holds else ""


def _bits(bits: Any) -> str:
    return ", ".join("undecided" if bit == UNDECIDED else str(bit) for bit in bits)
