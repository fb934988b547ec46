"""How many subcircuits a network has, how many decide every row right, and how many interpretations
these have: by listing, from the definitions in `Convention`'s docstring.

A number may be a float or a `Fraction`; with fractions everything but tanh and sigmoid is exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise, product
from math import exp, tanh

Number = float | Fraction
Weights = list[list[Number]]
Sources = tuple[tuple[tuple[int, ...], ...], ...]
"""Per linear layer and target the kept sources."""
Bits = tuple[int, ...]

TIE = 1e-9
"""Within this part of the terms that a score sums up, it is on the cut."""
DISTINCT = 1e-6
"""Values that differ by less than this part of a unit's range are one."""


@dataclass(frozen=True)
class Network:
    """What is counted in.

    Attributes:
        layers: (weight [d_out][d_in], bias [d_out]) per linear layer.
        act_fns: the name of each layer's activation, the output's last.
        slope: of leaky_relu.
        step_at_zero: what a step gives at 0.
        levels: what bit 0 and bit 1 of an input are.
        cut: what a score must be above to be 1.
        argmax: whether the score is the second output less the first.
        tables: per decision what is right on each row.
    """

    layers: list[tuple[Weights, list[Number]]]
    act_fns: tuple[str, ...]
    slope: Number
    step_at_zero: Number
    levels: tuple[Number, Number]
    cut: Number
    argmax: bool
    tables: tuple[Bits, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """(d_in, *d_hidden, d_out)."""
        return (len(self.layers[0][0][0]), *(len(bias) for _, bias in self.layers))


@dataclass(frozen=True)
class Rules:
    """The switches of a convention that count here; see `Convention`."""

    ablation: str = "zero"
    biases: str = "keep"
    all_units: bool = True
    decision: str = "threshold"
    completion: str = "all"
    constants: bool = True
    ban_parity: bool = False
    margin: float = 0.0


def subcircuits(sizes: tuple[int, ...]) -> Iterator[Sources]:
    """All choices of kept sources in which every output reads, and what reads is read."""
    by_layer = [
        list(product([_set(mask) for mask in range(2**n_sources)], repeat=n_targets))
        for n_sources, n_targets in pairwise(sizes)
    ]
    for sources in product(*by_layer):
        read = [{index for kept in layer for index in kept} for layer in sources]
        there = [set(range(sizes[0]))]
        there += [{unit for unit, kept in enumerate(layer) if kept} for layer in sources]
        if read == there[:-1] and len(there[-1]) == sizes[-1]:
            yield sources


def _set(mask: int) -> tuple[int, ...]:
    """The bits that are set."""
    return tuple(place for place in range(mask.bit_length()) if mask >> place & 1)


def rows_of(network: Network) -> list[list[Number]]:
    """All inputs in lexicographic order."""
    return [
        [network.levels[bit] for bit in bits] for bits in product((0, 1), repeat=network.sizes[0])
    ]


def run(network: Network, sources: Sources | None, rules: Rules) -> list[list[list[Number]]]:
    """The values of each layer's units, [layer][unit][row], inputs first.

    Args:
        sources: the kept ones; None for the whole network, as it is.
    """
    carried = None
    if sources is not None and rules.ablation == "mean":
        whole = run(network, None, rules)
        carried = [[sum(unit) / len(unit) for unit in layer] for layer in whole]
    layers = [[list(column) for column in zip(*rows_of(network), strict=True)]]
    for number, (weight, bias) in enumerate(network.layers):
        before = layers[-1]
        drops_bias = sources is not None and rules.biases == "drop"
        values: list[list[Number]] = []
        for target, (weights, own_bias) in enumerate(zip(weight, bias, strict=True)):
            kept = range(len(before)) if sources is None else sources[number][target]
            start = 0 if drops_bias else own_bias
            if carried is not None:
                dropped = set(range(len(before))) - set(kept)
                start += sum(weights[index] * carried[number][index] for index in dropped)
            values.append(
                [
                    activated(
                        network, number, start + sum(weights[i] * before[i][row] for i in kept)
                    )
                    for row in range(len(before[0]))
                ]
            )
        layers.append(values)
    return layers


def activated(network: Network, number: int, pre: Number) -> Number:
    """The activation function of linear layer `number`."""
    by_name: dict[str, Callable[[], Number]] = {
        "identity": lambda: pre,
        "relu": lambda: max(pre, 0),
        "leaky_relu": lambda: pre if pre > 0 else network.slope * pre,
        "heaviside": lambda: network.step_at_zero if pre == 0 else int(pre > 0),
        "tanh": lambda: tanh(pre),
        "sigmoid": lambda: 1 / (1 + exp(-pre)) if pre > -700 else 0.0,
    }
    return by_name[network.act_fns[number]]()


def tie(network: Network) -> Number:
    """How near to the cut a score is on it."""
    *_, before, _ = run(network, None, Rules())
    weight, bias = network.layers[-1]
    largest = [max(abs(value) for value in unit) for unit in before]
    terms = [
        sum(abs(w) * v for w, v in zip(weights, largest, strict=True)) + abs(own_bias)
        for weights, own_bias in zip(weight, bias, strict=True)
    ]
    return TIE * sum(sorted(terms)[-2 if network.argmax else -1 :])


def decides_right(
    network: Network, outputs: list[list[Number]], rules: Rules, near: Number
) -> bool:
    """Whether outputs [output][row] are right on every row."""
    if network.argmax:
        outputs = [[second - first for first, second in zip(*outputs, strict=True)]]
    for scores, table in zip(outputs, network.tables, strict=True):
        for score, label in zip(scores, table, strict=True):
            if rules.decision == "round":
                # 0.5 is rounded to 0 and 1.5 to 2, as is what is as near to them as a tie
                low, high = (0.5 + near, 1.5 - near) if label else (-0.5 - near, 0.5 + near)
                is_right = low < score < high
            else:
                over = score - network.cut
                is_right = over > near if label else over < -near
            if not is_right:
                return False
    return True


def perfect(network: Network, rules: Rules) -> tuple[int, list[Sources]]:
    """How many subcircuits count under these rules, and those of them that are perfect."""
    total, right, near = 0, [], tie(network)
    for sources in subcircuits(network.sizes):
        if not rules.all_units and all(kept for layer in sources[:-1] for kept in layer):
            continue
        total += 1
        if decides_right(network, run(network, sources, rules)[-1], rules, near):
            right.append(sources)
    return total, right


def readings(values: list[Number], rules: Rules) -> list[Bits]:
    """The bits of a unit for every threshold between two of its values."""
    low, *_, high = ordered = sorted(values)
    if high - low <= TIE * max(abs(low), abs(high)):
        return [(int(sum(values) > 0),) * len(values)] if rules.constants else []
    gaps = [(a, b) for a, b in pairwise(ordered) if b - a > DISTINCT * (high - low)]
    wide = [(a, b) for a, b in gaps if (b - a) >= rules.margin * (high - low)]
    return [tuple(int(value >= b) for value in values) for _, b in wide]


@lru_cache(maxsize=100_000)
def n_gates(parents: tuple[Bits, ...], own: Bits, completion: str, *, ban_parity: bool) -> int:
    """How many tables over the parents agree with the bits on every row."""
    local_rows = list(zip(*parents, strict=True))
    order = list(product((0, 1), repeat=len(parents)))
    occurs = set(local_rows)
    found = set()
    for bits in product((0, 1), repeat=len(order)):
        table = dict(zip(order, bits, strict=True))
        agrees = all(table[row] == bit for row, bit in zip(local_rows, own, strict=True))
        open_rows = completion == "open" and len(occurs) < len(order)
        # the rows 00, 01, 10, 11; a table with open rows is not a parity
        is_parity = bits in ((0, 1, 1, 0), (1, 0, 0, 1)) and not open_rows
        if agrees and not (ban_parity and is_parity):
            shown = (bit if row in occurs else None for row, bit in table.items())
            found.add(bits if completion == "all" else tuple(shown))
    return len(found)


def n_interpretations(network: Network, sources: Sources, rules: Rules) -> int:
    """How many there are of one subcircuit: every choice of thresholds, one after the other."""
    values = run(network, sources, rules)
    kept = [list(range(network.sizes[0]))]
    kept += [[unit for unit, own in enumerate(layer) if own] for layer in sources]
    inputs = dict(enumerate(zip(*product((0, 1), repeat=network.sizes[0]), strict=True)))

    def from_layer(number: int, before: dict[int, Bits]) -> int:
        """The ways to go on, given what the units before read as."""
        ways = []
        is_last = number == len(sources) - 1
        if is_last and network.argmax:
            read = sorted({index for own in sources[-1] for index in own})
            gates = [(read, [table]) for table in network.tables]
        elif is_last:
            gates = [(own, [table]) for own, table in zip(sources[-1], network.tables, strict=True)]
        else:
            gates = [
                (sources[number][unit], readings(values[number + 1][unit], rules))
                for unit in kept[number + 1]
            ]
        for own, bits in gates:
            parents = tuple(before[index] for index in own)
            counted = [
                (bit, n_gates(parents, bit, rules.completion, ban_parity=rules.ban_parity))
                for bit in bits
            ]
            ways.append([(bit, n) for bit, n in counted if n])
        total = 0
        for choice in product(*ways):
            n = 1
            for _, n_of_one in choice:
                n *= n_of_one
            if not is_last:
                bits_here = dict(zip(kept[number + 1], (bit for bit, _ in choice), strict=True))
                n *= from_layer(number + 1, bits_here)
            total += n
        return total

    return from_layer(0, inputs)
