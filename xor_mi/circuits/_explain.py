"""a network and its readings -> a page of text.

The page says what each unit does, how each row is decided, and why inputs are decided alike. Every
number is this network's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from xor_mi.circuits._apart import Difference
from xor_mi.circuits._candidates import CandidateCircuit
from xor_mi.circuits._evidence import Proof
from xor_mi.circuits._netlist import JointReading
from xor_mi.circuits._ordered import OrderedCircuits
from xor_mi.circuits._readings import ROUNDING
from xor_mi.circuits._steps import STEPS
from xor_mi.finding import in_words, number_text
from xor_mi.graph import Unit, layers_of, name_of_set
from xor_mi.metrics import UNDECIDED
from xor_mi.model import HookedMLP
from xor_mi.truth import row_name, truth_rows
from xor_mi.values import LayerValues, forward_float64

MAX_ROWS = 16
"""How many rows, and pairs of rows, the page describes; it says so if there are more."""
MAX_CIRCUITS = 6
"""So many circuits are written out, the first included."""
MAX_SETS = 8
"""So many necessary or sufficient sets are written out."""
MOVED = 2e-3
"""A unit differs between two rows if its values differ by more than this fraction of its range."""
CANCELS = 1e-3
"""Changes cancel if their sum is at most this fraction of the sum of their sizes."""


@dataclass(frozen=True)
class _Page:
    """What the page is about, looked up once: values on all rows, and the rows' names."""

    model: HookedMLP
    circuit: CandidateCircuit | None
    weights: tuple[tuple[Tensor, Tensor], ...]
    layers: tuple[LayerValues, ...]
    names: tuple[str, ...]

    @cached_property
    def shown(self) -> tuple[LayerValues, ...]:
        """The layers' values for printing: a sum that is only rounding is written as 0."""
        layers: list[LayerValues] = []
        inputs = self.layers[0].inputs
        for number, (weight, bias) in enumerate(self.weights):
            of_layer = self.layers[number]
            # what the layer reads: the units before it, and perhaps the inputs after these
            read = torch.cat([inputs, of_layer.inputs[:, inputs.shape[1] :]], dim=1)
            size = read.abs() @ weight.abs().T + bias.abs()
            pre, post = of_layer.pre, of_layer.post
            is_zero = pre.abs() <= ROUNDING * size
            post_is_zero = is_zero & (post.abs() <= ROUNDING * size)
            layers.append(
                LayerValues(
                    inputs=read,
                    pre=pre.masked_fill(is_zero, 0.0),
                    post=post.masked_fill(post_is_zero, 0.0),
                )
            )
            inputs = layers[-1].post
        return tuple(layers)

    @property
    def reading(self) -> JointReading | None:
        """The first reading of the circuit."""
        return self.circuit.readings[0] if self.circuit else None

    @property
    def could_be(self) -> dict[Unit, tuple[str, ...]]:
        """Idle unit -> the gates that it could be read as."""
        return {one.unit: one.gates for one in self.circuit.idle} if self.circuit else {}

    @property
    def places(self) -> list[list[Unit]]:
        """Inputs, hidden layers and outputs."""
        return layers_of(self.model.layer_sizes)

    @property
    def read_by_outputs(self) -> list[str]:
        """The names of what the outputs add up: units of the last layer, and inputs perhaps."""
        return [source.name for source in self.model.sources[-1]]

    @property
    def is_argmax(self) -> bool:
        """Whether the largest output wins."""
        return self.model.rule.name == "argmax"

    @property
    def one_of_two(self) -> bool:
        """Whether two outputs are one decision."""
        return self.is_argmax and self.model.cfg.d_out == 2

    @property
    def decided(self) -> list[list[int]]:
        """What is decided, or UNDECIDED, [row][decision]."""
        return self.model.rule.decide(self.layers[-1].post).tolist()

    @property
    def short(self) -> bool:
        """Whether every row is told."""
        return len(self.names) <= MAX_ROWS


def explain(
    model: HookedMLP,
    *,
    verdict: str,
    reason: str,
    circuits: Sequence[CandidateCircuit],
    passing: Sequence[CandidateCircuit],
    proof: Proof | None,
    differences: Sequence[Difference],
    ordered: OrderedCircuits | None,
) -> str:
    """The whole page; sections that have nothing to say are left out."""
    rows = truth_rows(model.cfg.d_in)
    page = _Page(
        model=model,
        circuit=circuits[0] if circuits else None,
        weights=tuple(model.float64_layers()),
        layers=tuple(forward_float64(model, model.rows())),
        names=tuple(row_name(row) for row in rows),
    )
    sections = [
        [f"{_about(model)}. Verdict, {in_words(verdict)}: {reason}."],
        _units(page),
        _rows(page),
        _alike(page),
    ]
    if proof:
        sections.append(["What was tested", *(f"  {evidence}" for evidence in proof.claims)])
        sections += [_sets(proof), _copies(proof)]
    sections += [_other_circuits(circuits, passing), _apart(differences)]
    if ordered and ordered.first:
        lines = [f"  {line}" for line in ordered.first.lines()]
        verdict = in_words(ordered.verdict)
        sections.append([f"With up to three levels per unit ({verdict})", *lines])
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _about(model: HookedMLP) -> str:
    """'A 2-2-1 network with relu units', and each convention that is not the default."""
    cfg = model.cfg
    shape = "-".join(map(str, cfg.layer_sizes))
    layers = [cfg.act_name(layer) for layer in range(cfg.n_layers)]
    activations = " and ".join(layers if len(set(layers)) > 1 else layers[:1])
    about = f"A {shape} network with {activations} units"
    if cfg.direct:
        about += ", whose inputs are connected to the output too"
    if cfg.input_levels != (0.0, 1.0):
        low, high = cfg.input_levels
        about += f", whose inputs are {low:g} for bit 0 and {high:g} for bit 1"
    if cfg.step_at_zero and {*layers, cfg.out_act_fn}.intersection(STEPS):
        about += ", with steps that are on at zero"
    return about


def _units(page: _Page) -> list[str]:
    """Two lines per unit: its sum with its values, and its role.

    'h0.0 = relu(1.00 x0 + 1.00 x1 + 0.00): 0.00, 1.00, 1.00, 2.00' and 'acts as OR: above 0.50 on
    01, 10, 11'.
    """
    where = f" (values on {', '.join(page.names)})" if page.short else ""
    lines = [f"What each unit does{where}"]
    for number, (weight, bias) in enumerate(page.weights):
        sources = page.model.sources[number]
        for unit in page.places[number + 1]:
            act = page.model.cfg.act_name(number)
            total = _sum(weight[unit.index].tolist(), [source.name for source in sources])
            written = f"{total} {_signed(bias[unit.index].item())}"
            text = f"  {unit.name} = {written if act == 'identity' else f'{act}({written})'}"
            if page.short:
                values = page.shown[number].post[:, unit.index].tolist()
                text += ": " + ", ".join(map(_plain, values))
            lines += [text, f"    {_role(page, unit)}"]
    return lines


def _role(page: _Page, unit: Unit) -> str:
    if unit.is_output:
        return _output_role(page, unit)
    if page.reading is None:
        return "no gate"
    reading = page.reading.of(unit)
    if reading.constant:
        return f"{reading.note}: it has the same value on every input"
    on = [row for row, bit in zip(page.names, reading.bits, strict=True) if bit]
    where = ", ".join(on) if len(on) <= MAX_ROWS else f"{len(on)} of {len(page.names)} inputs"
    could_be = page.could_be.get(unit)
    if could_be is not None:
        return f"idle: no output depends on it; it could be read as {', '.join(could_be)}"
    # halfway between two values
    threshold = _without_rounding(reading.threshold, max(abs(reading.low), abs(reading.high)))
    return f"acts as {reading.gate}: above {_plain(threshold)} on {where}"


def _output_role(page: _Page, unit: Unit) -> str:
    if page.one_of_two:
        first, second = page.places[-1]
        decided = "decided 1" if unit == second else "decided 0"
        decided += f" where it is above {(first if unit == second else second).name}"
    elif page.is_argmax:
        decided = "decided 1 where it is above all other outputs"
    else:
        decided = f"decided 1 above {page.model.threshold:g}"
    gates = {gate.unit: gate.formula for gate in page.reading.netlist} if page.reading else {}
    # if two outputs are one decision, only one of them has the gate
    if unit not in gates:
        return decided
    over = "the units and inputs" if page.model.cfg.direct else "the units"
    return f"{decided}; over {over}, {gates[unit]}"


def _rows(page: _Page) -> list[str]:
    """One line per row and output.

    '01: y0 = +1.00 (h0.0) -0.00 (h0.1) +0.00 (bias) = 1.00, decided 1'.
    """
    lines = ["Row by row"]
    for row, name in enumerate(page.names[:MAX_ROWS]):
        for output in range(page.model.cfg.d_out):
            lines.append(f"  {name}: {_row(page, row, output)}")
    if not page.short:
        lines.append(f"  ... {len(page.names) - MAX_ROWS} more rows")
    return lines


def _row(page: _Page, row: int, output: int) -> str:
    """How one output is computed on one row."""
    weight, bias = page.weights[-1]
    last, act = page.shown[-1], page.model.cfg.out_act_fn
    terms = (weight[output] * last.inputs[row]).tolist()
    added = _sum(terms, [f"({name})" for name in page.read_by_outputs])
    pre, value = last.pre[row, output].item(), last.post[row, output].item()
    total = f"y{output} = {added} {_signed(bias[output].item())} (bias) = {_plain(pre)}"
    after = "" if act == "identity" else f", and {act} gives {_plain(value)}"
    return f"{total}{after}{_decision(page, row, output)}"


def _decision(page: _Page, row: int, output: int) -> str:
    """', decided 1' after the output that is decided, with its lead if the largest output wins.

    Empty after the first of two outputs that are one decision.
    """
    unit = page.places[-1][output]
    if unit not in page.model.decision_units:
        return ""
    number = page.model.decision_units.index(unit)
    bit = page.decided[row][number]
    decided = "undecided" if bit == UNDECIDED else f"decided {bit}"
    if not page.is_argmax:
        return f", {decided}"
    outputs = page.shown[-1].post
    size = outputs[row].abs().max().item()
    lead = _without_rounding(page.model.rule.scores(outputs)[row, number].item(), size)
    over = "y1 - y0" if page.one_of_two else "its lead"
    return f", {over} = {_signed(lead)}, {decided}"


def _alike(page: _Page) -> list[str]:
    """The first of the rows that are decided alike, compared with each other one.

    It says which units differ, and how their terms compensate.
    """
    # all outputs must be alike: one tuple of decisions per row
    above = page.model.rule.distance(page.layers[-1].post) > 0
    decided = [tuple(row) for row in above.tolist()]
    lines: list[str] = []
    for decision in dict.fromkeys(decided):
        first, *others = [row for row, own in enumerate(decided) if own == decision]
        for other in others:
            lines += [f"  {line}" for line in _pair(page, first, other)]
    if len(lines) > 2 * MAX_ROWS:
        lines = [*lines[: 2 * MAX_ROWS], "  ... and so on"]
    return ["Why inputs come out alike", *lines] if lines else []


def _pair(page: _Page, a: int, b: int) -> list[str]:
    """Two rows that are decided alike: which units of the last hidden layer differ between them.

    Also what the differences add up to in each output.
    """
    last, names = page.shown[-1].inputs, page.read_by_outputs
    pair = f"{page.names[a]} and {page.names[b]}"
    change = last[b] - last[a]
    spread = (last.amax(0) - last.amin(0)).tolist()  # each unit's range over all rows
    moved = [k for k, value in enumerate(change.tolist()) if abs(value) > MOVED * spread[k]]
    if not moved:
        return [f"{pair}: no unit of the last hidden layer tells them apart"]
    units = ", ".join(f"{names[k]} {_signed(change[k].item())}" for k in moved)
    lines = [f"{pair}: between them {units}"]
    for score, weight in _scores(page).items():
        terms = [(weight[k] * change[k]).item() for k in moved]
        total = _sum(terms, [f"({names[k]})" for k in moved])
        left = _without_rounding(sum(terms), sum(map(abs, terms)))
        lines.append(f"  {score} changes by {total} = {_signed(left)}: {_why_alike(terms)}")
    return lines


def _scores(page: _Page) -> dict[str, Tensor]:
    """Name of a score -> its weights [source]: every output, or the difference of two."""
    weight, _ = page.weights[-1]  # [output, source]
    if page.one_of_two:
        return {"y1 - y0": weight[1] - weight[0]}
    return {unit.name: weight[unit.index] for unit in page.places[-1]}


def _why_alike(terms: Sequence[float]) -> str:
    size, left = sum(abs(term) for term in terms), abs(sum(terms))
    if left <= CANCELS * size:
        return "the changes cancel"
    # more than half of it does
    if 2 * left < size:
        return "the changes nearly cancel"
    return "it stays on the same side"


def _sets(proof: Proof) -> list[str]:
    """Minimal necessary and sufficient sets of units, under mean and zero ablation."""
    lines = ["Which units are needed, and which are enough"]
    for ablation in proof.ablations:
        value = ablation.value
        for kind, sets in (
            ("necessary", proof.necessary(value)),
            ("sufficient", proof.sufficient(value)),
        ):
            shown = "; ".join(map(name_of_set, sets[:MAX_SETS])) or "none found"
            more = "; ..." if len(sets) > MAX_SETS else ""
            lines.append(f"  {kind} ({value} ablation), minimal sets: {shown}{more}")
    return lines


def _copies(proof: Proof) -> list[str]:
    if not proof.redundancy_groups:
        return []
    lines = ["Units that carry the same bit"]
    for group in proof.redundancy_groups:
        alone = ", ".join(map(str, group.rows_changed_alone))
        lines.append(
            f"  {name_of_set(group.units)}: rows changed without each alone: {alone}; "
            f"without all: {group.rows_changed_together}"
        )
    return lines


def _other_circuits(
    circuits: Sequence[CandidateCircuit], passing: Sequence[CandidateCircuit]
) -> list[str]:
    """The circuits that pass the same tests, and those that fail them."""
    others = passing[1:]
    lines: list[str] = []
    if others:
        lines.append(f"Other circuits that pass the same tests ({len(others)})")
        lines += [f"  {one}" for one in others[: MAX_CIRCUITS - 1]]
        if len(passing) > MAX_CIRCUITS:
            lines.append(f"  and {len(passing) - MAX_CIRCUITS} more")
    # the first is described above, whether it passes or not
    failing = [one for one in circuits[1:] if one not in passing]
    if failing:
        lines.append(
            f"Circuits that survive two-level substitution but fail at interchange ({len(failing)})"
        )
        lines += [f"  {one}" for one in failing[: MAX_CIRCUITS - 1]]
        if len(failing) >= MAX_CIRCUITS:
            lines.append(f"  and {len(failing) - MAX_CIRCUITS + 1} more")
    return lines


def _apart(differences: Sequence[Difference]) -> list[str]:
    """What tells the circuits that pass the same tests apart from the first."""
    if not differences:
        return []
    lines = [f"  {one}" for one in differences[: MAX_CIRCUITS - 1]]
    return ["What tells them apart from the first", *lines]


def _sum(terms: Sequence[float], names: Sequence[str]) -> str:
    """'+1.00 x0 -0.50 x1'."""
    return " ".join(f"{_signed(term)} {name}" for term, name in zip(terms, names, strict=True))


def _without_rounding(value: float, size: float) -> float:
    """A sum or difference of numbers of this size; zero if it is only their rounding."""
    return value if abs(value) > ROUNDING * size else 0.0


def _signed(value: float) -> str:
    return number_text(value, signed=True)


def _plain(value: float) -> str:
    return number_text(value)
