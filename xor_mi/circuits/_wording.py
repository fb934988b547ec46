"""facts -> their sentences. All sentences of verdicts and evidence are here, and no code reads one.

Rewording any of them changes what people see and nothing else: no verdict, no assertion and no
baseline depends on the words of a sentence.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Context

from xor_mi.circuits._facts import (
    Apart,
    ChangeKind,
    ContradictionFacts,
    Control,
    Facts,
    InterchangeCount,
    NewValue,
    ObstacleFacts,
    OnStepFacts,
    Problems,
    ProofLevel,
    TwoPredictions,
    constant_note,
)
from xor_mi.finding import ROUNDING, count_text
from xor_mi.graph import Unit, name_of_set
from xor_mi.metrics import share_interval
from xor_mi.model import DecisionRule

MAX_APART = 3
"""A verdict's reason says of at most so many further circuits what tells them apart."""
MAX_GATE = 40
"""A gate with more characters is not written in a sentence about what tells circuits apart."""
MAX_NAMES = 8
"""A sentence that lists units names at most so many, and at most so many rows of each."""


def claim(facts: Facts) -> str:
    """The claim as a sentence, such as 'h0.0 acts as OR'."""
    units = name_of_set(facts.units)
    match facts.kind:
        case "substitution":
            return "two levels per unit are enough"
        case "interchange" if facts.gate is None:
            return f"{units} makes no difference"
        case "interchange":
            # A constant unit's gate is TRUE or FALSE, so the gate says which of the two it is.
            note = f" ({constant_note(facts.gate == 'TRUE')})" if facts.constant else ""
            return f"{units} acts as {facts.gate}{note}"
        case "joint":
            return f"the units of layer {facts.layer} act together as their gates"
        case "necessary":
            return (
                f"{units} are necessary (as a group)"
                if _several(facts)
                else f"{units} is necessary"
            )
        case "sufficient":
            n_others = facts.n_other_sets
            so = "so is" if n_others == 1 else "so are"
            others = f" ({so} {count_text(n_others, 'other minimal set')})" if n_others else ""
            verb = "are" if _several(facts) else "is"
            return f"{units} {verb} sufficient under {facts.ablation} ablation{others}"
        case "control":
            return f"{control_words(facts.control_runs)} are not named"


def intervention(facts: Facts) -> str:
    """What was done to the network."""
    units = name_of_set(facts.units)
    match facts.kind:
        case "substitution":
            return (
                "in each hidden layer in turn, every unit replaced by the mean of its values "
                "where its bit is 0 and where it is 1"
            )
        case "interchange":
            return f"{units} set to its value on every source, in the run on every base"
        case "joint":
            sample = (
                "" if facts.exhaustive else f", a seeded sample of {facts.n:,} choices of sources"
            )
            return f"every unit of the layer set to its value on its own source{sample}"
        case "necessary":
            return f"{units} set to {_ablated(facts)}"
        case "sufficient":
            return f"all other units set to {_ablated(facts)}"
        case "control":
            return "the same pipeline run on them"


def counted(facts: Facts) -> str:
    """What the effect counts, such as 'rows decided differently'."""
    match facts.kind:
        case "substitution":
            return "output units between the closest row and the threshold"
        case "interchange" | "joint":
            sample = "" if facts.exhaustive else " (a seeded sample)"
            return f"runs decided as the netlist predicts{sample}"
        case "necessary":
            return "rows decided differently"
        case "sufficient":
            return "rows decided as before"
        case "control":
            return f"given gates nevertheless ({_share(facts)})"


def rule(facts: Facts) -> str:
    """When the claim holds, in terms of effect, control and n."""
    match facts.kind:
        case "substitution":
            return "effect > 0: every row stays on its side; the control is the unchanged network"
        case "interchange":
            return (
                "effect = n > control; the control is the unit's best count in the role of another "
                "gate of its layer, complements apart; 0 if there is none"
            )
        case "joint":
            return (
                "effect = n > control; the control compares each run with another run's prediction"
            )
        case "necessary":
            alone = "the largest effect of one member alone" if _several(facts) else "no ablation"
            return f"effect > 0; the control is {alone}"
        case "sufficient":
            return (
                "effect = n > control; the control ablates one more unit, the one that changes the "
                "fewest rows"
            )
        case "control":
            return (
                "the upper end of the 95 % interval is at most 0.1, which takes 36 networks or more"
            )


def summary(facts: Facts) -> str:
    """The whole claim in one line: the claim, the effect, the control, and whether it holds."""
    whole = isinstance(facts.effect, int)
    effect = f"{facts.effect:,} of {facts.n:,}" if whole else f"{facts.effect:.3g}"
    control = f"{facts.control:,}" if isinstance(facts.control, int) else f"{facts.control:.3g}"
    outcome = "holds" if facts.holds else "does not hold"
    return f"{claim(facts)}: {effect} {counted(facts)}, control {control} ({outcome})"


def control_words(control: Control | None) -> str:
    """What the pipeline was run on where it should find nothing."""
    match control:
        case "shuffled_targets":
            return "shuffled targets"
        case "untrained_own_function":
            return "untrained networks, own function"
        case _:
            return "untrained networks"


def _problem_rows(problems: Problems) -> str:
    """The rows of each problem: 'wrong on 00, 11 and undecided on 01'."""
    words = {"wrong": "wrong", "undecided": "undecided", "rounding": "decided by rounding alone"}
    return " and ".join(f"{words[problem]} on {', '.join(rows)}" for problem, rows in problems)


def change(kind: ChangeKind, value: NewValue, between: tuple[float, float] | None) -> str:
    """One other way to read a network."""
    order = value if isinstance(value, tuple) else ()
    match kind:
        case "decision_threshold":
            near = f" (any between {between[0]:.4g} and {between[1]:.4g})" if between else ""
            return f"decision_threshold={value:.4g}{near}"
        case "input_levels":
            return f"input_levels=({', '.join(f'{level:g}' for level in order)})"
        case "step_at_zero":
            return f"step_at_zero={value} ({'>=' if value else '>'} zero is on)"
        case "decision_rule" | "dtype":
            return f"{kind}='{value}'"
        case "layout":
            return f"{_and(order)} transposed"
        case "complement":
            return "every decision negated"
        case "input_order":
            return f"its inputs in the order {', '.join(f'x{k}' for k in order)}"
        case "output_order":
            return f"its outputs in the order {', '.join(f'y{k}' for k in order)}"


def diagnosis(
    target: str,
    problems: Problems,
    n_outputs: tuple[int, int],
    computes: str | None,
    rule: DecisionRule,
    outputs: Mapping[str, Sequence[float]],
    by_rounding: Sequence[str],
    scale: float,
    remedy: str,
) -> str:
    """What a network computes, by which outputs, and what would make it the target.

    Args:
        n_outputs: the target's number of outputs, and the network's number of decisions.
        outputs: row -> the outputs there.
        by_rounding: the rows on which only rounding decides.
        scale: the size of the terms that the outputs are sums of, as for `remedy`.
        remedy: what `remedy` says.
    """
    by = "the largest output wins" if rule.name == "argmax" else f"1 above {rule.cut:g}"
    if not problems:
        return f"it computes {target} as it is read ({_quoted_outputs(outputs, scale)}; {by})"
    wrong = failure(problems, n_outputs)
    what = "so it does not compute a function" if computes is None else f"it computes {computes}"
    failing = {row for _, rows in problems for row in rows}
    told = outputs if len(outputs) <= MAX_NAMES else {row: outputs[row] for row in sorted(failing)}
    if by_rounding:
        what += f", {rounding_share(len(by_rounding), len(outputs))}"
    facts = f"it does not compute {target}: {wrong}; {what} ({_quoted_outputs(told, scale)}; {by})"
    return f"{facts}; {remedy}"


def rounding_share(n_by_rounding: int, n: int) -> str:
    """On how many rows only rounding decides, at the end of a sentence.

    >>> rounding_share(4, 8), rounding_share(4, 4)
    ('on 4 of 8 rows by rounding alone', 'by rounding alone')
    """
    rows = "" if n_by_rounding == n else f"on {n_by_rounding} of {n} rows "
    return f"{rows}by rounding alone"


def failure(problems: Problems, n_outputs: tuple[int, int]) -> str:
    """Where a network does not compute its target: 'wrong on 00, 11'.

    Args:
        n_outputs: the target's number of outputs, and the network's number of decisions.
    """
    asked, decided = n_outputs
    if asked == decided:
        return _problem_rows(problems)
    makes = count_text(decided, "decision")
    return f"the target has {count_text(asked, 'output')}, but the network makes {makes}"


def remedy(
    target: str,
    rule: DecisionRule,
    answers: Sequence[str],
    closest: tuple[str, Sequence[str]] | None,
    off_by: float | None,
    scale: float,
) -> str:
    """Which change of reading makes a network compute its target, or how far off it is.

    Args:
        answers: the changes that work.
        closest: the change that comes closest if none works, and the rows it leaves wrong.
        off_by: how far the worst score is on the wrong side; None if the target does not fit.
        scale: the size of the terms that scores are sums of; 0 if it is not known.
    """
    if answers:
        more = f", or with {len(answers) - MAX_NAMES} more" if len(answers) > MAX_NAMES else ""
        return f"it computes {target} with {', or with '.join(answers[:MAX_NAMES])}{more}"
    none = f"no single change of reading makes it compute {target}"
    if closest is not None:
        return f"{none}; the closest is {closest[0]}, which leaves {_few(closest[1])} wrong"
    # a score on the threshold itself is undecided, and not on the wrong side by any amount
    far = ""
    if off_by:
        unit = "a difference" if rule.name == "argmax" else "an output"
        is_rounding = off_by < ROUNDING * scale
        off = "by rounding alone" if is_rounding else f"by {off_by:.4g} at most"
        far = f": {unit} is on the wrong side, {off}"
    return f"{none} or brings it closer{far}"


def shortfall(
    constant: Mapping[str, float],
    n_units: int,
    alike: Sequence[tuple[str, str]],
    alike_layer: int | None,
    readout_exists: bool | None,
    steepest: float | None,
    at_rest: bool,
    is_hopeless: bool,
) -> tuple[str, ...]:
    """What is in the way of a network, one sentence per fact.

    Args:
        is_hopeless: whether rows that the target tells apart are alike, and training cannot change
            it.
    """
    said: list[str] = []
    if constant:
        listed = ", ".join(f"{unit} ({value:.4g})" for unit, value in constant.items())
        is_one = len(constant) == 1
        have, passes = ("has one value", "passes") if is_one else ("have one value each", "pass")
        all_of_them = ", and that is every hidden unit" if len(constant) == n_units else ""
        said.append(f"{listed} {have} on all rows and so {passes} nothing on{all_of_them}")
    if alike:
        pairs = ", ".join(f"{a} and {b}" for a, b in alike[:MAX_NAMES])
        more = f" and {len(alike) - MAX_NAMES} more pairs" if len(alike) > MAX_NAMES else ""
        said.append(
            f"hidden layer {alike_layer} has the same values on {pairs}{more}, which the target "
            "tells apart: no weights after it can decide both right"
        )
    elif readout_exists:
        said.append(
            "the hidden layer separates the rows that it must: other weights of the readout would "
            "compute the target"
        )
    elif readout_exists is False:
        said.append(
            "no weights of the readout would compute the target: no line or plane separates the "
            "hidden values of the rows with 1 from those of the rows with 0"
        )
    if steepest is not None and at_rest:
        said.append(
            "no derivative of the loss with respect to a weight is larger than "
            f"{steepest:.2g}: gradient descent stays here"
        )
    elif steepest is not None and is_hopeless:
        said.append(
            f"the largest derivative of the loss with respect to a weight is {steepest:.2g}, but "
            "those of the hidden units' weights are next to zero: gradient descent moves the "
            "readout alone, which cannot help"
        )
    elif steepest is not None:
        said.append(
            f"the largest derivative of the loss with respect to a weight is {steepest:.2g}: "
            "gradient descent moves on from here, so more steps may help"
        )
    return tuple(said)


def _quoted_outputs(outputs: Mapping[str, Sequence[float]], scale: float) -> str:
    """'y0 is 0.6, 0.561 on 00, 01': all outputs, on as many rows as there is room for.

    Args:
        scale: the size of the terms they are sums of; what is only rounding is written as 0.
    """
    floor = ROUNDING * scale
    rows = list(outputs)[:MAX_NAMES]
    columns = zip(*(outputs[row] for row in rows), strict=True)
    values = [
        f"y{k} is {', '.join(f'{0 if abs(value) < floor else value:.4g}' for value in column)}"
        for k, column in enumerate(columns)
    ]
    more = ", ..." if len(outputs) > MAX_NAMES else ""
    return f"{'; '.join(values[:MAX_NAMES])} on {', '.join(rows)}{more}"


def _and(names: Sequence[object]) -> str:
    """'a', 'a and b', 'a, b and c'"""
    *first, last = map(str, names)
    return f"{', '.join(first)} and {last}" if first else last


def on_step(facts: OnStepFacts) -> str:
    """Which units are exactly on their step, and whether the other convention matters."""
    places = [f"{unit.name} is exactly on its step on {_few(rows)}" for unit, rows in facts.units]
    here = _few(places)
    other = 1 - facts.step_at_zero
    sign = ">=" if other else ">"
    outcome = "decides differently" if facts.rows_otherwise else "decides the same"
    return f"{here}; a network written with {sign} {outcome}: step_at_zero={other}"


def no_gate_reading(
    function: str,
    obstacle: ObstacleFacts,
    certain: Sequence[tuple[Unit, str]],
    *,
    min_margin: float,
) -> str:
    """Why a network that computes its target has no circuit, and what is known nevertheless.

    Args:
        certain: the units with one reading only, and their gates.
    """
    if obstacle.kind == "margin":
        why = f"it computes {function}, but {_too_close(obstacle, min_margin)}"
    else:
        why = (
            f"it computes {function}, but no reading of its units as bits survives two-level "
            f"substitution and composes to it: {_stops(obstacle)}"
        )
    if not certain:
        return why
    names = _few([f"{unit.name} {gate}" for unit, gate in certain])
    have, are = ("has", "its gate is") if len(certain) == 1 else ("have", "their gates are")
    units = count_text(len(certain), "unit")
    return f"{why}; {units} {have} only one reading, so {are} certain: {names}"


def obstacle(facts: ObstacleFacts) -> str:
    """Where the search for a circuit stops, in a sentence of its own."""
    if facts.kind == "margin":
        return (
            f"every circuit has a margin that is too small: in the first, {_small_margins(facts)}"
        )
    return _stops(facts)


def _stops(obstacle: ObstacleFacts) -> str:
    """Where the search stops: the units that fail alone, or else the layer."""
    on = f" (the closest fails on {_few(obstacle.rows)})" if obstacle.rows else ""
    match obstacle.kind:
        case "levels":
            layer = f"no two levels per unit of layer {obstacle.layer} keep every decision{on}"
            alone = "alone, at best read as {gate}, flips {rows}"
        case "consistency":
            layer = (
                f"no reading of layer {obstacle.layer} is a function of the bits of the layer "
                f"before{on}"
            )
            alone = "alone, at best read as {gate}, is not a function of them on {rows}"
        case "composition":
            layer = (
                "under every reading that keeps the decisions, the measured gates do not reproduce "
                "its bits and the decisions"
            )
            alone = "should be {gate}, but its measured gate gives something else on {rows}"
        case "margin":  # circuits do survive; `_small_margins` has the words
            return ""
    if not obstacle.units:
        return layer
    each = [
        f"{one.unit.name} {alone.format(gate=one.gate, rows=_few(one.rows))}"
        for one in obstacle.units
    ]
    return f"{layer}; {'; '.join(each[:MAX_NAMES])}"


def _too_close(obstacle: ObstacleFacts, min_margin: float) -> str:
    """That the margins of the circuit that comes closest are too small, and what would keep it."""
    first = _small_margins(obstacle)
    return f"min_margin={min_margin:g} leaves out every circuit: in the first, {first}"


def _small_margins(obstacle: ObstacleFacts) -> str:
    """Which margins are too small, and the `min_margin` that keeps the circuit."""
    each = [
        f"{one.unit.name} is read as {one.gate} by a threshold in a gap of {one.margin:.3g} of its "
        "range"
        for one in obstacle.units[:MAX_NAMES]
    ]
    keeps = f"; min_margin={_at_most(obstacle.lets_in)} keeps it" if obstacle.lets_in else ""
    return f"{_and(each)}{keeps}"


def _at_most(number: float) -> str:
    """A short number that is not larger than this one."""
    short = f"{number:.3g}"
    if float(short) <= number:
        return short
    return f"{Context(prec=3, rounding=ROUND_FLOOR).create_decimal(number):g}"


def survivors(
    function: str,
    formula: str,
    gates: Sequence[tuple[Unit, str | None]],
    *,
    require: ProofLevel,
    n_circuits: int,
    n_passing: int,
    single: InterchangeCount,
    joint: Sequence[InterchangeCount],
    idle: Sequence[Unit],
    contradiction: ContradictionFacts | None,
) -> str:
    """How many circuits are proved as far as required, and what the first of them says.

    Args:
        function: the target's name.
        formula: the first circuit over the inputs.
        gates: its live units; None for a gate that is too long for a sentence.
        n_circuits: how many survive two-level substitution.
        n_passing: how many of these are proved as far as `require`.
        single, joint: the interchanges of the first circuit.
        idle: the units that no output of this circuit depends on.
        contradiction: the first interchange that is not as this circuit predicts.
    """
    named = _few([f"{unit.name} {gate}" for unit, gate in gates if gate])
    longer = _few([unit.name for unit, gate in gates if not gate])
    if longer:
        named = f"{named}{' and ' if named else ''}{longer} with longer gates"
    named = named or "no unit that matters"
    says = f"{function} = {formula} with {named}"
    outcome = _interchanges(single, joint)
    unused = f"; no output depends on {_few([unit.name for unit in idle])}" if idle else ""
    proof = _proof_words(require, n_passing)
    if n_passing == 1:
        return f"exactly one circuit {proof}: {says}; {outcome}{unused}"
    if n_passing:
        return (
            f"{n_passing:,} circuits {proof}, so several explanations hold; "
            f"under the first, {says}; {outcome}{unused}"
        )
    survive = count_text(n_circuits, "circuit")
    verb = "survives" if n_circuits == 1 else "survive"
    none = "it is not" if n_circuits == 1 else "none of them is"
    closest = "it says" if n_circuits == 1 else "the closest says"
    against = ""
    if contradiction:
        against = f"; for example, {contradicted(contradiction, who='it')}"
    return (
        f"{survive} {verb} two-level substitution, but {none} proved by {require} interchange: "
        f"{closest} {says}; {outcome}{against}{unused}"
    )


def ordered_circuits(
    function: str,
    formula: str,
    units: Sequence[str],
    *,
    require: ProofLevel,
    n_circuits: int,
    n_passing: int,
    single: InterchangeCount,
    joint: Sequence[InterchangeCount],
) -> str:
    """What reading units with up to three levels gives; see `survivors`.

    Args:
        formula: the first circuit over the levels of the units that outputs read.
        units: its live units, with what each of their cuts computes.
    """
    says = f"{function} = ({formula}) with {_few(units) or 'no unit that matters'}"
    proof = _proof_words(require, n_passing, substitution="substitution")
    if n_passing == 1:
        return f"with up to three levels per unit exactly one circuit {proof}: {says}"
    if n_passing:
        return (
            f"with up to three levels per unit {n_passing:,} circuits {proof}; "
            f"under the first, {says}"
        )
    none = "but it is not" if n_circuits == 1 else "but none of them is"
    closest = "it says" if n_circuits == 1 else "the closest says"
    verb = "survives" if n_circuits == 1 else "survive"
    return (
        f"with up to three levels per unit {count_text(n_circuits, 'circuit')} {verb} "
        f"substitution, {none} proved by {require} interchange either: {closest} {says}; "
        f"{_interchanges(single, joint)}"
    )


def no_ordered_circuit() -> str:
    """The sentence for a network for which three levels per unit are not enough either."""
    return "no reading with up to three levels per unit survives substitution either"


def _proof_words(
    level: ProofLevel, n_circuits: int, *, substitution: str = "two-level substitution"
) -> str:
    """What one circuit or several do if they are proved to this level."""
    if level == "substitution":
        return f"{'survives' if n_circuits == 1 else 'survive'} {substitution}"
    return f"{'passes' if n_circuits == 1 else 'pass'} {level} interchange"


def _interchanges(single: InterchangeCount, joint: Sequence[InterchangeCount]) -> str:
    """'32 of 32 single and 16 of 16 joint interchanges come out as it predicts'."""
    if all(one.exhaustive for one in joint):
        n_right, n = sum(one.n_right for one in joint), sum(one.n for one in joint)
        how_many = f"{n_right:,} of {n:,} joint interchanges"
    else:
        of_layers = [_joint_of_layer(layer, one) for layer, one in enumerate(joint)]
        how_many = f"of joint interchanges {_and(of_layers)}"
    return f"{single.n_right:,} of {single.n:,} single and {how_many} come out as it predicts"


def _joint_of_layer(layer: int, count: InterchangeCount) -> str:
    sample = f" (a seeded sample of {count.n_all:,})" if count.n_all else ""
    return f"{count.n_right:,} of {count.n:,} in layer {layer}{sample}"


def contradicted(facts: ContradictionFacts, *, who: str = "the circuit") -> str:
    """The first interchange that does not come out as a circuit predicts.

    Args:
        who: what the sentence calls the circuit.
    """
    taken = [
        f"{name_of_set(units)} from {source}"
        for units, source in zip(facts.variables, facts.sources, strict=True)
    ]
    run = f" in the run on {facts.base}" if facts.base else ""
    predicted = ", ".join(map(str, facts.predicted))
    decided = ", ".join("nothing" if bit < 0 else str(bit) for bit in facts.decided)
    made = f"with {_few(taken)}{run}"
    return f"{made}, {who} predicts {predicted}, but the network decides {decided}"


def differences(facts: Sequence[Apart]) -> str:
    """What tells the further circuits apart from the first: the first few of them."""
    told = "; ".join(map(difference, facts[:MAX_APART]))
    n_more = len(facts) - MAX_APART
    more = f"; and {count_text(n_more, 'further circuit')}" if n_more > 0 else ""
    return f"What tells them apart: {told}{more}"


def beside(differing: Sequence[tuple[str, str | None, str | None]], *, level: ProofLevel) -> str:
    """How a circuit differs from the first, and how far it is proved.

    Args:
        differing: name of a unit -> its gate here and in the first; None where it is idle.
    """
    said: list[str] = []
    for name, here, in_first in differing:
        if here is None:
            said.append(f"without {name}")
        elif in_first is None:
            said.append(f"with {name} as {here}")
        else:
            said.append(f"{name} as {here}, not {in_first}")
    proved = "substitution alone" if level == "substitution" else f"{level} interchange"
    return f"{'; '.join(said)} (proved by {proved})"


def difference(facts: Apart) -> str:
    """What tells one circuit apart from the first."""
    other, name = _number_word(facts.circuits[1]), facts.unit.name
    of_first, of_other = facts.gates
    if of_other is None:
        reads = f"the first reads {name}{_as(of_first)}, but in the {other} no output depends on it"
    elif of_first is None:
        reads = f"the {other} reads {name}{_as(of_other)}, but in the first no output depends on it"
    elif max(len(of_first), len(of_other)) > MAX_GATE:
        reads = f"the {other} reads {name} as a different gate than the first does"
    else:
        reads = f"the {other} reads {name} as {of_other}, the first as {of_first}"
    return f"{reads}{_telling_interchange(facts, other)}; {_telling_input(facts, other)}"


def _as(gate: str | None) -> str:
    """' as OR'; nothing for a gate that is too long for a sentence."""
    return f" as {gate}" if gate and len(gate) <= MAX_GATE else ""


def _telling_interchange(facts: Apart, other: str) -> str:
    """'; with h0.0 as on 01 in the run on 00 the first predicts 1, ...', or nothing."""
    one = facts.interchange
    if one is None:
        return ""
    taken = [
        f"{name_of_set(units)} from {source}"
        for units, source in zip(one.variables, one.sources, strict=True)
    ]
    run = f" in the run on {one.base}" if one.base else ""
    return f"; with {_few(taken)}{run} {_predictions(one, other, 'the network decides')}"


def _telling_input(facts: Apart, other: str) -> str:
    """'at x0 = 0.5, x1 = 0.2 the first predicts 1, ...', or among which inputs none was found."""
    one, (n, grid) = facts.input, facts.looked_at
    where = "points of a grid" if grid else "points of grids, of a sample and between rows"
    none = f"no input was found that they decide differently, among {n:,} {where}"
    if one is None:
        return none
    at = ", ".join(f"x{k} = {value:.6g}" for k, value in enumerate(one.values))
    if one.unit is None:
        return f"at {at} {_predictions(one, other, 'the network decides')}"
    name = one.unit.name
    return f"{none}, but at {at} {_predictions(one, other, 'it is', what=f' for {name}')}"


def _predictions(one: TwoPredictions, other: str, does: str, *, what: str = "") -> str:
    """'the first predicts 1, the second 0, and the network decides 1, as the first does'."""
    of_first, of_other = (", ".join(map(str, bits)) for bits in one.predicted)
    decided = ", ".join("nothing" if bit < 0 else str(bit) for bit in one.decided)
    sides = {0: "as the first says", 1: f"as the {other} says", None: "as neither says"}
    return (
        f"the first predicts {of_first}{what}, the {other} {of_other}, "
        f"and {does} {decided}, {sides[one.sides_with]}"
    )


def _number_word(number: int) -> str:
    """A circuit by its number, that of the first being 0: 'second', 'third', ..., '11th'."""
    if number < len(_NUMBERS):
        return _NUMBERS[number]
    place = number + 1
    ending = (
        "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    )
    return f"{place}{ending}"


_NUMBERS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _few(names: Sequence[str]) -> str:
    """The names with commas between them; of many the first ones, and the number of the rest."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _several(facts: Facts) -> bool:
    return len(facts.units) > 1


def _ablated(facts: Facts) -> str:
    return "zero" if facts.ablation == "zero" else "the mean over all rows"


def _share(facts: Facts) -> str:
    if not facts.n:
        return "none to try"
    share, low, high = share_interval(int(facts.effect), facts.n)
    return f"{share:.0%}, 95% interval {low:.0%} to {high:.0%}"
