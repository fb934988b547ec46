"""a network -> the gate of every unit, by noising and denoising edges (Chen et al.), or jointly.

Chen et al. (NeurIPS 2025, arXiv 2505.10039) sort the incoming edges of a receiver by which of two
interventions finds them. *Noising* gives one edge of a clean run what it carries in a corrupted
run; *denoising* gives one edge of a corrupted run what it carries in the clean one. An edge that
only noising finds is part of an AND (all of its senders are needed); an edge that only denoising
finds is part of an OR (one of its senders is enough); an edge that both find is part of an ADDER
(each sender adds its share). An ADDER of one edge passes that sender on.

This is what the rule sees of the 16 gates of two senders, with 11 as the clean row and 00 as the
corrupted one ("found" is yes or no for each edge; a test enumerates all of this):

- Noising alone gives 4 patterns of found edges, each shared by 4 gates. AND and XNOR share one.
- Denoising alone gives 4 patterns, each shared by 4 gates. OR and XOR share one.
- Both together give 8 patterns, each shared only by a gate and its complement.

So for a receiver with two levels and two senders the four flags distinguish all gates up to
complement, and the sign of an effect tells the complement. The names that the rule gives are the
fault: XOR and XNOR have the flags of a sum, ADDER, and each of the four one-sided gates has an AND
edge and an OR edge. `gate_table` has the 16 lines: the rule is right on the other 10, if the sign
of the effect tells a gate from its complement.

Flags alone cannot do better for a receiver of real numbers. XOR (0, 1, 1, 0) and a sum (0, 1, 1, 2)
both have all four flags; the removal of *both* edges at once moves the sum by 2 and XOR not at all.
At least 4 values are needed to distinguish all 16 gates: the clean run, each edge noised, and both
noised together. Fewer runs are not enough: 3 bits have 8 patterns, and noising without the joint
removal gives the 3 values at 11, 01 and 10. With two senders the joint removal is the corrupted run
itself, which the rule has measured but does not use. With k senders, their 2^k combinations are the
table over the parents.

`gate_rule_joint` measures that table on a network, for any number of senders up to 12, with each
sender at its two levels, and composes the tables of all layers into gates of the network's inputs.

On networks 2-3-3-1 trained to XOR by default (the first 100 of `train_population("XOR", 400)` that
learned it; 46 have units with a proven gate) the rule of Chen et al. names 21 % of a network's
proven units right on average (7 % if its names are dealt out at random), joint removal 98 % (35 %).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xor_mi.circuits import ROUNDING, Circuit, identify_circuit
from xor_mi.errors import XorMiError, require_kind, shown
from xor_mi.exam._method import ExamMethod
from xor_mi.exam._problem import ExamProblem
from xor_mi.finding import Finding
from xor_mi.graph import Unit, layers_of
from xor_mi.model import HookedMLP
from xor_mi.search import Problem
from xor_mi.truth import GATES, BooleanFunction, name_of_bits, row_numbers, truth_rows

Numbers = NDArray[np.float64]
Bits = NDArray[np.int64]

FOUND_FROM = 0.5
"""An edge is found if its effect is larger than this part of its share in an even sum.

For a receiver with k senders that is 1/(2k) of the receiver's range over the rows.
"""
LABELS = {
    (False, False): "none",
    (True, False): "AND",
    (False, True): "OR",
    (True, True): "ADDER",
}
"""(found by noising, found by denoising) -> the label of the edge."""
SOURCE = "Chen et al., NeurIPS 2025, arXiv 2505.10039"


class EdgeEffects(NamedTuple):
    """The effects of one edge on its receiver.

    Attributes:
        noising: the receiver's value in the clean run minus its value with the edge noised.
        denoising: its value with the edge denoised minus its value in the corrupted run.
        label: "AND", "OR", "ADDER", or "none" if neither finds the edge.
    """

    noising: float
    denoising: float
    label: str


def gate_rule_chen(problem: ExamProblem) -> dict[Unit, str]:
    """The gate of every hidden unit and output by the rule of Chen et al.

    The clean run is that of the row of ones, the corrupted one that of the row of zeros, and each
    edge's effect is measured at its receiver. An edge is found if this effect is over 1/(2k) of the
    receiver's range over the rows, where k is the number of senders.

    The paper finds edges with a method for finding circuits (ACDC, EAP, edge pruning), by the
    model's output. Here the effect is exact, and measured at the receiver, where the paper defines
    its gates. The paper's gates have no complement; here the sign of the effect tells a gate from
    its complement, which favours the rule.

    Returns:
        Unit -> the gate of the network's inputs, composed of the senders' own gates: AND is "all of
        its senders are as in the clean run", OR "one of them is". A unit that is not a gate of bits
        is named by its edges, as "ADDER(x0, x1)" or "AND(x0), OR(x1)", and so is a unit that reads
        such a unit. A unit without a found edge is TRUE or FALSE. A unit with one sender is that
        sender or its complement; with three or more senders the edges of one label belong together.

    >>> from xor_mi.handmade import textbook_xor
    >>> gate_rule_chen(ExamProblem.of(textbook_xor()))
    {h0.0: 'ADDER(x0, x1)', h0.1: 'AND', y0: 'ADDER(h0.0, h0.1)'}
    """
    _require_problem(problem)
    network = _Network.of(problem)
    rows = truth_rows(network.numbers.sizes[0])
    bits_of: list[Bits | None] = [np.array(bits) for bits in zip(*rows, strict=True)]
    answer: dict[Unit, str] = {}
    for number, receivers in enumerate(network.receivers):
        effects = _effects_of_layer(problem, network, number)
        # the last row is all ones, and the first all zeros
        is_high = network.values[number][-1] > network.values[number][0]
        senders = network.senders(number)
        composed: list[Bits | None] = []
        for place, unit in enumerate(receivers):
            values = network.values[number + 1][:, place]
            cut = network.cut if unit.is_output else None
            constant = np.full(len(rows), _bit_at_clean(values, cut))
            bits = _composed(effects[place], bits_of, is_high, constant)
            composed.append(bits)
            told = _told(effects[place], senders)
            answer[unit] = told if bits is None else name_of_bits(tuple(bits.tolist()))
        bits_of = composed
    return answer


def gate_rule_joint(problem: ExamProblem) -> dict[Unit, str]:
    """The gate of every hidden unit and output by joint removal of their edges.

    Layer by layer, each receiver is measured at every combination of its senders' two levels, 2^k
    for k senders: starting with all senders high, every set of edges gets the low level at once.
    This is the receiver's table over its parents, right on all 16 gates of two senders; the tables
    are composed into a gate of the network's inputs. The levels of an input are those of its two
    bits; the levels of a hidden unit are the means of its values above and below a cut.

    The cut lies in the widest gap between a unit's values on the rows for which the network keeps
    its decisions when only this unit is put at its two levels, or in the widest gap of all if there
    is no such gap. So relu(x0 + x1), whose values are 0, 1, 1, 2, is read as the units above it
    need it. The cut of an output is its decision threshold.

    This is our own extension of the rule of Chen et al. It is not a proof: each cut is found for
    one unit alone, while `identify_circuit` tries all cuts together.

    >>> from xor_mi.handmade import textbook_xor
    >>> gate_rule_joint(ExamProblem.of(textbook_xor()))
    {h0.0: 'OR', h0.1: 'AND', y0: 'XOR'}

    Raises:
        XorMiError: a layer of more than 12 senders, whose combinations are too many.
    """
    _require_problem(problem)
    network = _Network.of(problem)
    numbers = network.numbers
    rows = np.array(truth_rows(numbers.sizes[0]))
    low, high = (np.full(rows.shape[1], level) for level in numbers.model.cfg.input_levels)
    bits = rows
    answer: dict[Unit, str] = {}
    for number, receivers in enumerate(network.receivers):
        n_senders = len(low)
        # a table refuses more inputs than it can have
        combinations = np.array(truth_rows(n_senders))
        measured = network.step(number, low + combinations * (high - low))
        problem.cost.forwards += len(combinations) / problem.n_rows
        is_last = number == len(network.receivers) - 1
        cuts = [
            network.cut if is_last else _cut_of(problem, network, number, place)
            for place in range(len(receivers))
        ]
        tables = (measured > np.array(cuts)).astype(np.int64)
        values = network.values[number + 1]
        low, high = _levels(values, measured, np.array(cuts))
        bits = tables[row_numbers(bits)]
        for place, unit in enumerate(receivers):
            answer[unit] = name_of_bits(tuple(bits[:, place].tolist()))
    return answer


def agreement_with_circuit(
    answer: Mapping[Unit, str], problem: ExamProblem, *, circuit: Circuit | None = None
) -> float | None:
    """The share of the hidden units with a proved gate whose named gate is right.

    A unit has a proved gate if some circuit of the network is proved by joint interchange
    (`identify_circuit`) and the unit is live with the same gate in all such circuits. A unit counts
    as wrong if the answer does not name it or its name is not a gate.

    Args:
        circuit: the result of `identify_circuit`, if it is at hand; by default it is computed.

    Returns:
        A number from 0 to 1; None if no unit has a proved gate.

    >>> from xor_mi.handmade import textbook_xor
    >>> problem = ExamProblem.of(textbook_xor())
    >>> agreement_with_circuit(gate_rule_chen(problem), problem)
    0.5

    Raises:
        XorMiError: an answer that is not a mapping of units to names.
    """
    proven, named = _proven_and_named(answer, problem, circuit)
    if not proven:
        return None
    right = [given == bits for given, bits in zip(named, proven, strict=True)]
    return sum(right) / len(right)


def chance_of_agreement(
    answer: Mapping[Unit, str], problem: ExamProblem, *, circuit: Circuit | None = None
) -> float | None:
    """The agreement that the same names reach if they are assigned to the units at random.

    This is the mean of `agreement_with_circuit` over all n! ways to assign the names of the n units
    with a proved gate to these units, in closed form: the sum over gates of (times it is named) x
    (times it is proved), divided by n^2. So a method gets no credit for knowing that AND and OR are
    common. For comparison, a name drawn from all 2^(2^d_in) gates is right with a chance of 1/16
    for two inputs.

    Args:
        circuit: the result of `identify_circuit`, if it is at hand; by default it is computed.

    Returns:
        A number from 0 to 1; None if no unit has a proved gate.

    >>> from xor_mi.handmade import textbook_xor
    >>> problem = ExamProblem.of(textbook_xor())
    >>> chance_of_agreement(gate_rule_joint(problem), problem)
    0.5

    Raises:
        XorMiError: an answer that is not a mapping of units to names.
    """
    proven, named = _proven_and_named(answer, problem, circuit)
    if not proven:
        return None
    n_named = Counter(named)
    n_right = sum(n_named[gate] * count for gate, count in Counter(proven).items())
    return n_right / len(proven) ** 2


def _proven_and_named(
    answer: Mapping[Unit, str], problem: ExamProblem, circuit: Circuit | None
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...] | None]]:
    """For each unit with a proved gate: that gate, and the gate that the answer names, as bits."""
    proven = proven_gates(problem, circuit=circuit)
    given = _given(answer, problem)
    return list(proven.values()), [given.get(unit) for unit in proven]


def proven_gates(
    problem: ExamProblem, *, circuit: Circuit | None = None
) -> dict[Unit, tuple[int, ...]]:
    """Hidden unit -> its bits on the clean rows, for those whose gate is proved.

    A gate is proved if some circuit is proved by joint interchange and the unit is live with this
    gate in all such circuits.

    Args:
        circuit: the result of `identify_circuit`, if it is at hand; by default it is computed.

    >>> from xor_mi.handmade import textbook_xor
    >>> proven_gates(ExamProblem.of(textbook_xor()))
    {h0.0: (0, 1, 1, 1), h0.1: (0, 0, 0, 1)}
    """
    _require_problem(problem)
    numbers = problem.numbers
    if circuit is None:
        circuit = identify_circuit(
            numbers.model, numbers.target, with_evidence=False, progress=False
        )
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns, or None")
    gates: dict[Unit, set[tuple[int, ...]]] = {unit: set() for unit in problem.units}
    for one in circuit.passing:
        reading = one.readings[0]
        live = set(one.live)
        for unit, found in gates.items():
            # an empty table stands for "not live", and is not the table of any gate
            found.add(reading.of(unit).bits if unit in live else ())
    return {
        unit: next(iter(found))
        for unit, found in gates.items()
        if len(found) == 1 and () not in found
    }


@dataclass(frozen=True, eq=False)
class GateTable(Finding):
    """The answers of the two rules for each of the 16 gates of two senders.

    The clean row is 11, the corrupted one 00.

    Attributes:
        lines: one line per gate; see `frame`.
        toy: one line per edge of the paper's toy; see `toy_frame`.
    """

    lines: tuple[Mapping[str, object], ...] = field(repr=False)
    toy: tuple[Mapping[str, object], ...] = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One line per gate.

        Columns: gate, bits (at 00, 01, 10, 11), edge_0 and edge_1 (their labels by the rule of Chen
        et al.), chen (the gate that this rule names), chen_right, joint (the gate by joint
        removal), joint_right.
        """
        return pd.DataFrame(self.lines)

    def toy_frame(self) -> pd.DataFrame:
        """The toy of the paper, `chen_toy`: one line per gate and edge.

        Columns: gate, edge, noising and denoising (how far the gate's output moves), label.
        """
        return pd.DataFrame(self.toy)

    def __str__(self) -> str:
        table = self.frame()
        return (
            f"of {len(table)} gates of two senders the rule of noising and denoising names "
            f"{table['chen_right'].sum()} right, joint removal {table['joint_right'].sum()}; "
            f"wrong are {', '.join(table['gate'][~table['chen_right']])}"
        )


def gate_table() -> GateTable:
    """The 16 gates of two senders by the rule of Chen et al. and by joint removal.

    >>> print(gate_table())
    of 16 gates of two senders the rule of noising and denoising names 10 right, joint removal 16; \
wrong are x0>x1, x1>x0, XOR, XNOR, x0>=x1, x1>=x0
    >>> gate_table().frame().set_index("gate").loc["XOR", ["edge_0", "edge_1", "joint"]].tolist()
    ['ADDER', 'ADDER', 'XOR']
    """
    inputs = [np.array(bits) for bits in zip(*truth_rows(2), strict=True)]
    always_high = np.ones(2, dtype=np.bool_)
    lines: list[dict[str, object]] = []
    for gate, bits in GATES.items():
        values = np.array(bits, dtype=np.float64)
        # the rows are 00, 01, 10, 11
        effects = _effects(
            clean=values[3],
            corrupted=values[0],
            noised=values[[1, 2]],
            denoised=values[[2, 1]],
            spread=float(np.ptp(values)),
        )
        composed = _composed(effects, inputs, always_high, np.full(4, bits[3]))
        chen = _told(effects, ("x0", "x1"))
        if composed is not None:
            chen = name_of_bits(tuple(composed.tolist()))
        joint = name_of_bits(_by_joint_removal(values))
        line: dict[str, object] = {"gate": gate, "bits": "".join(map(str, bits))}
        line |= {"edge_0": effects[0].label, "edge_1": effects[1].label}
        line |= {"chen": chen, "chen_right": chen == gate}
        lines.append(line | {"joint": joint, "joint_right": joint == gate})
    return GateTable(lines=tuple(lines), toy=tuple(_toy_lines()))


def chen_toy() -> HookedMLP:
    """The three gates that Chen et al. try their rule on, as one network 2-3-3.

    The inputs stand for two attention heads with a constant output: 1 if the head is there, 0 if it
    is not. Output 0 is AND, relu(x0 + x1 - 1); output 1 is OR, 1 - relu(1 - x0 - x1); output 2 is
    ADDER, x0 + x1. With the decision threshold 0.5, ADDER is an OR.

    The form of the gates is from the paper. We could not read the numbers of its Table 1, so
    nothing here is compared with them: `GateTable.toy_frame` has our own numbers.

    >>> chen_toy()(chen_toy().rows()).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.0]]
    """
    return HookedMLP.from_weights(
        [
            ([[1, 1], [-1, -1], [1, 1]], [-1, 1, 0]),
            ([[1, 0, 0], [0, -1, 0], [0, 0, 1]], [0, 1, 0]),
        ],
        act_fn="relu",
        decision_threshold=0.5,
        loss_fn="mse",
        target="AND, OR, OR",
    )


class _Network(NamedTuple):
    """A network in numbers, and the values of its units on the clean rows.

    Attributes:
        numbers: its weights.
        receivers: the units of each layer after the inputs; in the last layer, the outputs that
            stand for the decisions.
        values: per layer, [row, unit], inputs first; for the last layer the scores of the
            decisions.
        cut: the threshold of a score.
    """

    numbers: Problem
    receivers: tuple[tuple[Unit, ...], ...]
    values: tuple[Numbers, ...]
    cut: float

    @classmethod
    def of(cls, problem: ExamProblem) -> "_Network":
        """Run the network on its clean rows once, which is counted."""
        numbers = problem.numbers
        _, *hidden, outputs = layers_of(numbers.sizes)
        rule = numbers.model.rule
        # if the larger of two outputs wins, output 1 stands for the decision
        n_decisions = rule.n_decisions(len(outputs))
        receivers = [*hidden, outputs[len(outputs) - n_decisions :]]
        network = cls(numbers, tuple(map(tuple, receivers)), (numbers.clean,), rule.cut)
        values = [numbers.clean]
        for number in range(len(numbers.whole)):
            values.append(network.step(number, values[-1]))
        problem.cost.forwards += len(numbers.clean) / problem.n_rows
        return network._replace(values=tuple(values))

    def senders(self, number: int) -> tuple[str, ...]:
        """The names of the units that a layer reads."""
        return tuple(unit.name for unit in layers_of(self.numbers.sizes)[number])

    def step(self, number: int, values: Numbers) -> Numbers:
        """Values of a layer's senders [..., sender] -> those of its receivers [..., receiver]."""
        weight, bias = self.numbers.whole[number]
        after = self.numbers.activate(values @ weight.T + bias, number)
        is_last = number == len(self.numbers.whole) - 1
        return self.numbers.scores(after) if is_last else after


def _effects_of_layer(
    problem: ExamProblem, network: _Network, number: int
) -> list[list[EdgeEffects]]:
    """The effect of noising and denoising each edge into one layer, [receiver][sender]."""
    values = network.values[number]
    corrupted, clean = values[0], values[-1]
    n_senders = len(clean)
    is_other = np.eye(n_senders, dtype=np.bool_)
    noised = network.step(number, np.where(is_other, corrupted, clean))
    denoised = network.step(number, np.where(is_other, clean, corrupted))
    problem.cost.forwards += 2 * n_senders / problem.n_rows
    of_rows = network.values[number + 1]
    spread = np.ptp(of_rows, axis=0)
    # a unit that varies only by rounding has no effects
    spread = np.where(spread <= ROUNDING * np.abs(of_rows).max(axis=0), 0.0, spread)
    return [
        _effects(
            clean=of_rows[-1, place],
            corrupted=of_rows[0, place],
            noised=noised[:, place],
            denoised=denoised[:, place],
            spread=float(spread[place]),
        )
        for place in range(of_rows.shape[1])
    ]


def _effects(
    *, clean: float, corrupted: float, noised: Numbers, denoised: Numbers, spread: float
) -> list[EdgeEffects]:
    """A receiver's values in the runs -> the effects of its edges, [sender]."""
    least = FOUND_FROM * spread / len(noised)
    effects: list[EdgeEffects] = []
    for with_noise, without_noise in zip(noised, denoised, strict=True):
        by_noising = float(clean - with_noise)
        by_denoising = float(without_noise - corrupted)
        found = spread > 0 and abs(by_noising) > least, spread > 0 and abs(by_denoising) > least
        effects.append(EdgeEffects(by_noising, by_denoising, LABELS[found]))
    return effects


def _composed(
    effects: Sequence[EdgeEffects],
    bits_of: Sequence[Bits | None],
    is_high: NDArray[np.bool_],
    constant: Bits,
) -> Bits | None:
    """The gate of a receiver on all rows, if its edges fit one gate and its senders are gates.

    Args:
        bits_of: the bits of each sender on the rows.
        is_high: whether each sender is higher in the clean run than in the corrupted one.
        constant: the receiver's bits if no edge is found.
    """
    found = [place for place, effect in enumerate(effects) if effect.label != "none"]
    if not found:
        return constant
    there: list[Bits] = []
    for place in found:
        bits = bits_of[place]
        if bits is None:
            return None
        # "there" is to be as in the clean run
        there.append(bits if is_high[place] else 1 - bits)
    labels = {effects[place].label for place in found}
    moved = [effects[place] for place in found]
    by = [one.denoising if one.label == "OR" else one.noising for one in moved]
    one_way = len({effect > 0 for effect in by}) == 1
    is_one_gate = len(found) == 1 or (len(labels) == 1 and labels != {"ADDER"} and one_way)
    if not is_one_gate:
        return None
    together = np.all(there, axis=0) if labels == {"AND"} else np.any(there, axis=0)
    on = together.astype(np.int64)
    return on if by[0] > 0 else 1 - on


def _told(effects: Sequence[EdgeEffects], senders: Sequence[str]) -> str:
    """The edges of a receiver by label, such as 'AND(x0), OR(x1)'."""
    told: list[str] = []
    for label in ("AND", "OR", "ADDER"):
        edges = [
            sender for sender, effect in zip(senders, effects, strict=True) if effect.label == label
        ]
        if edges:
            told.append(f"{label}({', '.join(edges)})")
    return ", ".join(told) or "none"


def _bit_at_clean(values: Numbers, cut: float | None) -> int:
    """The bit of a receiver without a found edge: that of the clean run."""
    if cut is None:
        varies = np.ptp(values) > ROUNDING * np.abs(values).max()
        cut = (values.min() + values.max()) / 2 if varies else 0.0
    return int(values[-1] > cut)


def _by_joint_removal(values: Numbers) -> tuple[int, ...]:
    """A receiver's values in 00, 01, 10, 11 -> its table, from the clean run on.

    From the clean run each set of edges is noised: none, one, the other, both.
    """
    table = dict.fromkeys(truth_rows(2), 0)
    for first, second in truth_rows(2):
        carried = 1 - first, 1 - second
        table[carried] = int(values[2 * carried[0] + carried[1]] > 0.5)
    return tuple(table.values())


def _cut_of(problem: ExamProblem, network: _Network, number: int, place: int) -> float:
    """The cut between the two levels of a hidden unit."""
    values = network.values[number + 1]
    own = values[:, place]
    ordered = np.unique(own)
    spread = float(np.ptp(own))
    if spread <= ROUNDING * np.abs(own).max():
        return 0.0
    # gaps that differ only by rounding are taken in their order
    gaps = [
        (-round((above - below) / spread, 6), (below + above) / 2)
        for below, above in pairwise(ordered.tolist())
        if above - below > ROUNDING * spread
    ]
    cuts = [cut for _, cut in sorted(gaps)]
    whole = network.values[-1] > network.cut
    for cut in cuts:
        replaced = values.copy()
        is_above = own > cut
        replaced[:, place] = np.where(is_above, own[is_above].mean(), own[~is_above].mean())
        problem.cost.forwards += len(own) / problem.n_rows
        for later in range(number + 1, len(network.numbers.whole)):
            replaced = network.step(later, replaced)
        if ((replaced > network.cut) == whole).all():
            return cut
    return cuts[0]


def _levels(values: Numbers, measured: Numbers, cuts: Numbers) -> tuple[Numbers, Numbers]:
    """The mean value of each receiver below and above its cut, [receiver] each.

    The mean is over the rows; if no row is on a side, over the measured combinations on that side;
    if there are none either, the unit has one level.
    """
    low, high = np.empty(len(cuts)), np.empty(len(cuts))
    for place, cut in enumerate(cuts):
        sides: list[float | None] = []
        for above in (False, True):
            candidates = [
                one[:, place][(one[:, place] > cut) == above] for one in (values, measured)
            ]
            taken = next((side for side in candidates if len(side)), None)
            sides.append(None if taken is None else float(taken.mean()))
        below, over = sides
        low[place] = over if below is None else below
        high[place] = below if over is None else over
    return low, high


def _toy_lines() -> list[dict[str, object]]:
    """The effects of the edges of `chen_toy` on its outputs, by runs of the network."""
    toy = chen_toy()
    outputs = toy(toy.rows()).detach().double().numpy()
    lines: list[dict[str, object]] = []
    for place, gate in enumerate(("AND", "OR", "ADDER")):
        values = outputs[:, place]
        # the three gates share the inputs and no unit: the rows 01 and 10 are the noised runs
        effects = _effects(
            clean=values[3],
            corrupted=values[0],
            noised=values[[1, 2]],
            denoised=values[[2, 1]],
            spread=float(np.ptp(values)),
        )
        for edge, effect in zip(("x0", "x1"), effects, strict=True):
            line: dict[str, object] = {"gate": gate, "edge": edge}
            line |= {"noising": effect.noising, "denoising": effect.denoising}
            lines.append(line | {"label": effect.label})
    return lines


def _given(answer: Mapping[Unit, str], problem: ExamProblem) -> dict[Unit, tuple[int, ...] | None]:
    """Unit -> the bits that its name means; None if the name is not a gate of the inputs."""
    give = "a mapping of units to names of gates, such as {Unit(0, 0): 'AND'}"
    require_kind("answer", answer, Mapping, give=give)
    given: dict[Unit, tuple[int, ...] | None] = {}
    for unit, name in answer.items():
        if not isinstance(unit, Unit) or not isinstance(name, str):
            raise XorMiError(f"answer has {shown(unit)}: {shown(name)}; give {give}")
        try:
            given[unit] = BooleanFunction.of(name, problem.numbers.sizes[0]).bits
        except XorMiError:  # a name such as 'ADDER(x0, x1)' is never right
            given[unit] = None
    return given


def _require_problem(problem: ExamProblem) -> None:
    require_kind("problem", problem, ExamProblem, give="an ExamProblem.of(model)")


GATE_METHODS: tuple[ExamMethod, ...] = (
    ExamMethod(
        name="gate_rule_chen",
        run=gate_rule_chen,
        over="units",
        gives="gates",
        source=SOURCE,
    ),
    ExamMethod(
        name="gate_rule_joint",
        run=gate_rule_joint,
        over="units",
        gives="gates",
        source=f"our extension of {SOURCE}",
    ),
)
"""The methods of this module, which name gates."""
