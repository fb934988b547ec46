"""facts -> their sentences. All sentences of verdicts and evidence stand here; nobody reads one
back.

Rewording any of them changes what people see and nothing else: no verdict, no assertion and no
baseline looks into a sentence.
"""

from collections.abc import Mapping, Sequence

from xor_mi.circuits._facts import Control, Facts, OnStep, Problem, constant_note
from xor_mi.graph import name_of_set
from xor_mi.metrics import share_interval

MAX_NAMES = 8
"""So many units, and so many rows of each, are named where a sentence lists them."""


def claim(facts: Facts) -> str:
    """What is said, such as 'h0.0 acts as OR'."""
    units = name_of_set(facts.units)
    match facts.kind:
        case "substitution":
            return "two levels per unit are enough"
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
            others = f" (and {facts.n_other_sets} other minimal sets)" if facts.n_other_sets else ""
            return f"{units} {'are' if _several(facts) else 'is'} sufficient{others}"
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
                "" if facts.exhaustive else f", a seeded sample of {facts.n} choices of sources"
            )
            return f"every unit of the layer set to its value on a source of its own{sample}"
        case "necessary":
            return f"{units} set to {_ablated(facts)}"
        case "sufficient":
            return f"all other units set to {_ablated(facts)}"
        case "control":
            return "the same pipeline run on them"


def counted(facts: Facts) -> str:
    """What the effect counts, such as 'rows decided otherwise'."""
    match facts.kind:
        case "substitution":
            return "output units between the closest row and the threshold"
        case "interchange" | "joint":
            return "runs decided as the netlist predicts"
        case "necessary":
            return "rows decided otherwise"
        case "sufficient":
            return "rows decided as before"
        case "control":
            return f"given gates all the same ({_share(facts)})"


def rule(facts: Facts) -> str:
    """When the claim holds, in terms of effect, control and n."""
    match facts.kind:
        case "substitution":
            return "effect > 0: every row stays on its side; the control is the network as it is"
        case "interchange":
            return (
                "effect = n > control; the control scores it in the role of another gate of its "
                "layer, the best of them"
            )
        case "joint":
            return (
                "effect = n > control; the control holds each run against another run's prediction"
            )
        case "necessary":
            alone = "the largest effect of one member alone" if _several(facts) else "no ablation"
            return f"effect > 0; the control is {alone}"
        case "sufficient":
            return (
                "effect = n > control; the control ablates one more unit, the one that costs least"
            )
        case "control":
            return (
                "the upper end of the 95 % interval is at most 0.1, which takes 36 networks or more"
            )


def summary(facts: Facts) -> str:
    """The whole claim in one line: what is said, what came out, the control, whether it holds."""
    whole = isinstance(facts.effect, int)
    effect = f"{facts.effect} of {facts.n}" if whole else f"{facts.effect:.3g}"
    control = f"{facts.control}" if isinstance(facts.control, int) else f"{facts.control:.3g}"
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


def not_computing(function: str, problems: Mapping[Problem, Sequence[str]]) -> str:
    """Why a network does not compute its target: the rows of each problem."""
    words = {"wrong": "wrong", "undecided": "undecided", "rounding": "decided by rounding alone"}
    parts = [f"{words[problem]} on {', '.join(rows)}" for problem, rows in problems.items()]
    return f"it does not compute {function}: {' and '.join(parts)}"


def on_step(facts: OnStep) -> str:
    """Which units are exactly on their step, and whether the other convention matters."""
    places = [f"{unit.name} is exactly on its step on {_few(rows)}" for unit, rows in facts.units]
    here = _few(places)
    other = 1 - facts.step_at_zero
    sign = ">=" if other else ">"
    outcome = "decides otherwise" if facts.rows_otherwise else "decides the same"
    return f"{here}; a network written with {sign} {outcome}: step_at_zero={other}"


def no_gate_reading(function: str) -> str:
    """Why a network that computes its target has no circuit."""
    return (
        f"it computes {function}, but no reading of its units as bits survives two-level "
        "substitution and composes to it"
    )


def survivors(n_readings: int, function: str, formula: str, n_agreed: int, n_runs: int) -> str:
    """How many readings survive, and what the first of them says."""
    facts = (
        f"{function} = {formula}; the netlist gives {function} on all rows, and "
        f"{n_agreed} of {n_runs} interchanges come out as it predicts"
    )
    if n_readings == 1:
        return f"exactly one joint reading survives: {facts}"
    return (
        f"{n_readings} joint readings survive, so several explanations hold; "
        f"under the first, {facts}"
    )


def _few(names: Sequence[str]) -> str:
    """The names with commas between them; of many the first, and how many there are more."""
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
