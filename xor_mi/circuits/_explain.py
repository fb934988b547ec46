"""Circuit -> a page of text: what each unit does, row by row, and why inputs come out alike; every
number is this network's own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from xor_mi.circuits._circuit import Circuit
from xor_mi.graph import layers_of
from xor_mi.truth import row_name, truth_rows
from xor_mi.values import LayerValues, forward_float64

MAX_ROWS = 16
"""Rows and pairs of rows told one by one; a larger network's page says that it stops there."""


def explain(circuit: Circuit) -> str:
    """The whole page; sections that have nothing to say are left out."""
    model = circuit.model
    rows = truth_rows(model.cfg.d_in)
    layers = forward_float64(model, torch.tensor(rows))
    names = [row_name(row) for row in rows]
    shape = "-".join(map(str, circuit.layer_sizes))
    parts = [
        [
            f"A {shape} network with {model.cfg.act_fn} units. Verdict, {circuit.verdict}: {circuit.reason}."
        ]
    ]
    parts += [
        _units(circuit, layers, names),
        _rows(circuit, layers, names),
        _alike(circuit, layers, names),
    ]
    if circuit.evidence:
        parts.append(["What was tested", *(f"  {evidence}" for evidence in circuit.evidence)])
        parts += (
            [_sets(circuit), _copies(circuit)] if circuit.redundancy_groups else [_sets(circuit)]
        )
    if len(circuit.readings) > 1:
        others = [f"  {joint.formula}" for joint in circuit.readings[1:6]]
        more = [f"  and {len(circuit.readings) - 6} more"] if len(circuit.readings) > 6 else []
        parts.append(
            [
                f"Other explanations that pass the same tests ({len(circuit.readings) - 1})",
                *others,
                *more,
            ]
        )
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _units(circuit: Circuit, layers: Sequence[LayerValues], names: Sequence[str]) -> list[str]:
    """'h0.0 = relu(1.00 x0 + 1.00 x1 + 0.00): 0.00, 1.00, 1.00, 2.00; acts as OR: above 0.50 on 01,
    10, 11'.
    """
    lines = [
        "What each unit does"
        + (f" (values on {', '.join(names)})" if len(names) <= MAX_ROWS else "")
    ]
    places, model = layers_of(circuit.layer_sizes), circuit.model
    for number, (weight, bias) in enumerate(circuit.weights):
        is_output = number == len(layers) - 1
        act = model.cfg.out_act_fn if is_output else model.cfg.act_fn
        for unit in places[number + 1]:
            total = " ".join(
                f"{_signed(w)} {src.name}"
                for w, src in zip(weight[unit.index].tolist(), places[number], strict=True)
            )
            written = f"{total} {_signed(bias[unit.index].item())}"
            text = f"  {unit.name} = {written if act == 'identity' else f'{act}({written})'}"
            if len(names) <= MAX_ROWS:
                text += ": " + ", ".join(map(_plain, layers[number].post[:, unit.index].tolist()))
            lines += [text, f"    {_role(circuit, unit.name, names, is_output)}"]
    return lines


def _role(circuit: Circuit, name: str, names: Sequence[str], is_output: bool) -> str:
    if is_output:
        gate = {gate.unit.name: gate.formula for gate in circuit.netlist}.get(name)
        return f"decided 1 above {circuit.model.threshold:g}" + (
            f"; over the units, {gate}" if gate else ""
        )
    if circuit.primary is None:
        return "no gate"
    unit = next(unit for unit in circuit.units if unit.place.name == name)
    reading = circuit.primary.of(unit.place)
    if unit.constant:
        return f"{unit.note}: it has the same value on every input"
    on = [row for row, bit in zip(names, reading.bits, strict=True) if bit]
    where = ", ".join(on) if len(on) <= MAX_ROWS else f"{len(on)} of {len(names)} inputs"
    return f"acts as {unit.gate}: above {_plain(reading.threshold)} on {where}"


def _rows(circuit: Circuit, layers: Sequence[LayerValues], names: Sequence[str]) -> list[str]:
    """'01: y0 = +1.00 (h0.0) -0.00 (h0.1) +0.00 (bias) = 1.00, decided 1', for every row and
    output.
    """
    weight, bias = circuit.weights[-1]
    sources = layers_of(circuit.layer_sizes)[-2]
    lines = ["Row by row"]
    for r, name in list(enumerate(names))[:MAX_ROWS]:
        for k in range(len(bias)):
            terms = (weight[k] * layers[-1].inputs[r]).tolist()
            added = " ".join(
                f"{_signed(term)} ({src.name})" for term, src in zip(terms, sources, strict=True)
            )
            value = layers[-1].post[r, k].item()
            decided = (
                "undecided"
                if value == circuit.model.threshold
                else f"decided {int(value > circuit.model.threshold)}"
            )
            total = f"y{k} = {added} {_signed(bias[k].item())} (bias) = {_plain(layers[-1].pre[r, k].item())}"
            after = (
                ""
                if circuit.model.cfg.out_act_fn == "identity"
                else f", {circuit.model.cfg.out_act_fn} of it {_plain(value)}"
            )
            lines.append(f"  {name}: {total}{after}, {decided}")
    return lines + ([f"  ... {len(names) - MAX_ROWS} more rows"] if len(names) > MAX_ROWS else [])


def _alike(circuit: Circuit, layers: Sequence[LayerValues], names: Sequence[str]) -> list[str]:
    """Of the rows decided alike, the first held against each other one: which units differ, and how
    their terms make up for it.
    """
    decided: list[tuple[bool, ...]] = [
        tuple(row) for row in (layers[-1].post > circuit.model.threshold).tolist()
    ]
    lines = []
    for kind in dict.fromkeys(decided):
        first, *others = [r for r, found in enumerate(decided) if found == kind]
        for other in others:
            lines += [f"  {line}" for line in _pair(circuit, layers, names, first, other)]
    if len(lines) > 2 * MAX_ROWS:
        lines = [*lines[: 2 * MAX_ROWS], "  ... and so on"]
    return ["Why inputs come out alike", *lines] if lines else []


def _pair(
    circuit: Circuit, layers: Sequence[LayerValues], names: Sequence[str], a: int, b: int
) -> list[str]:
    weight, sources = circuit.weights[-1][0], layers_of(circuit.layer_sizes)[-2]
    change: Tensor = layers[-1].inputs[b] - layers[-1].inputs[a]
    spread = (layers[-1].inputs.amax(0) - layers[-1].inputs.amin(0)).tolist()
    moved = [k for k, value in enumerate(change.tolist()) if abs(value) > 2e-3 * spread[k]]
    if not moved:
        return [f"{names[a]} and {names[b]}: no unit of the last hidden layer tells them apart"]
    units = ", ".join(f"{sources[k].name} {_signed(change[k].item())}" for k in moved)
    found = [f"{names[a]} and {names[b]}: between them {units}"]
    for k in range(len(weight)):
        terms = [(weight[k, u] * change[u]).item() for u in moved]
        total = " ".join(
            f"{_signed(term)} ({sources[u].name})" for term, u in zip(terms, moved, strict=True)
        )
        moves, left = sum(abs(term) for term in terms), abs(sum(terms))
        why = (
            "the changes cancel"
            if left <= 1e-3 * moves
            else "the changes nearly cancel"
            if 2 * left < moves
            else "it stays on its side"
        )
        found.append(f"  y{k} changes by {total} = {_signed(sum(terms))}: {why}")
    return found


def _sets(circuit: Circuit) -> list[str]:
    """Minimal necessary and sufficient sets of units, under mean and zero ablation."""
    assert circuit.proof
    lines = ["Which units it takes"]
    for ablation in circuit.proof.ablations:
        for kind, sets in (
            ("necessary", circuit.proof.necessary(ablation.value)),
            ("sufficient", circuit.proof.sufficient(ablation.value)),
        ):
            shown = (
                "; ".join(" and ".join(unit.name for unit in units) for units in sets[:8])
                or "none found"
            )
            lines.append(
                f"  {kind} ({ablation.value} ablation), minimal sets: {shown}{'; ...' if len(sets) > 8 else ''}"
            )
    return lines


def _copies(circuit: Circuit) -> list[str]:
    lines = ["Units that carry the same bit"]
    for group in circuit.redundancy_groups:
        names = " and ".join(unit.name for unit in group.units)
        alone = ", ".join(map(str, group.rows_changed_alone))
        lines.append(
            f"  {names}: rows changed without each alone {alone}, without all {group.rows_changed_together}"
        )
    return lines


def _signed(value: float) -> str:
    """Two decimals, or three figures where those would show nothing."""
    return (
        f"{round(value, 2) + 0.0:+.2f}"
        if abs(value) >= 0.01 or abs(value) < 1e-9
        else f"{value:+.3g}"
    )


def _plain(value: float) -> str:
    return _signed(value).removeprefix("+")
