"""A second, independent way to a verdict: plain NumPy, every reading, every interchange.

Written from the definitions alone, for networks of one or two hidden layers whose inputs are 0 and
1. It imports nothing of xor_mi. Slow on purpose: nothing is pruned, and every run is made.
"""

from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product

import numpy as np

ACTS = {
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)),
    "heaviside": lambda x: (x > 0).astype(float),
}
ENDS = {"heaviside": (0.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
LEVELS = ("substitution", "single", "joint")
MOST_RUNS = 300_000
"""More joint interchanges of a layer than this are not run one by one."""


@dataclass(frozen=True)
class Cut:
    """One reading of a unit: its bits, and the levels that stand for them."""

    bits: tuple
    threshold: float
    margin: float | None
    low: float
    high: float

    @property
    def varies(self):
        """Whether there is more than one level."""
        return self.low != self.high


@dataclass
class Net:
    """A network, and what it is on every row."""

    layers: list
    act: str
    threshold: float
    rows: np.ndarray = field(init=False)
    values: list = field(init=False)
    decided: np.ndarray = field(init=False)

    def __post_init__(self):
        n_inputs = self.layers[0][0].shape[1]
        self.rows = np.array(list(product((0.0, 1.0), repeat=n_inputs)))
        self.values, value = [], self.rows
        for weight, bias in self.layers[:-1]:
            value = ACTS[self.act](value @ weight.T + bias)
            self.values.append(value)
        self.decided = (self.after(len(self.values) - 1, value) > 0).astype(int)

    def after(self, layer, value):
        """Values of a hidden layer -> the outputs' distances from the threshold."""
        for weight, bias in self.layers[layer + 1 : -1]:
            value = ACTS[self.act](value @ weight.T + bias)
        weight, bias = self.layers[-1]
        return value @ weight.T + bias - self.threshold

    def is_undecided(self):
        """Whether an output is on its threshold on some row, but for the rounding of its sum."""
        weight, bias = self.layers[-1]
        added = np.abs(self.values[-1]) @ np.abs(weight).T + np.abs(bias) + abs(self.threshold)
        distance = np.abs(self.after(len(self.values) - 1, self.values[-1]))
        return bool((distance <= 1e-14 * added).any())


def is_constant(column):
    """Whether a unit is the same on all rows, but for rounding."""
    return column.max() - column.min() <= 1e-9 * np.abs(column).max()


def cuts(column):
    """Every reading of a unit."""
    if is_constant(column):
        mean = column.mean()
        return [Cut((int(mean > 0),) * len(column), mean, None, mean, mean)]
    ordered, found = np.sort(column), []
    spread = ordered[-1] - ordered[0]
    for below, above in pairwise(ordered):
        if above - below > 1e-6 * spread:
            on = column > (below + above) / 2
            found.append(
                Cut(
                    tuple(on.astype(int).tolist()),
                    (below + above) / 2,
                    (above - below) / spread,
                    column[~on].mean(),
                    column[on].mean(),
                )
            )
    return found


def with_both_ends(cut, act):
    """A constant unit that is at an end of its activation, with the other end as its other level.

    For layers after the first: what they read can be as on no row.
    """
    low, high = ENDS.get(act, (np.nan, np.nan))
    near = 1e-9 * (high - low)
    at_end = [abs(cut.low - end) <= near for end in (low, high)]
    if cut.margin is not None or not any(at_end):
        return cut
    bits = (int(at_end[1]),) * len(cut.bits)
    return Cut(bits, (low + high) / 2, None, low, high)


def are_copies(a, b):
    """Whether two units are one, up to a straight line and a hundredth of their ranges."""
    a, b = ((one - one.mean()) / np.sqrt(((one - one.mean()) ** 2).sum()) for one in (a, b))
    sign = 1 if (a * b).sum() >= 0 else -1
    return np.abs(a - sign * b).max() <= 0.01 * min(np.ptp(a), np.ptp(b))


def rises(column):
    """Whether a unit is higher than on the first row where it first differs clearly."""
    change = column - column[0]
    clear = np.flatnonzero(np.abs(change) > 0.3 * np.abs(change).max())
    return bool(change[clear[0]] > 0)


def unconnected(net):
    """Per hidden layer, whether each unit leads to no output."""
    leads_nowhere, reached = [], np.ones(len(net.layers[-1][0]), dtype=bool)
    for weight, _ in reversed(net.layers[1:]):
        reached = (weight[reached] != 0).any(0)
        leads_nowhere.insert(0, ~reached)
    return leads_nowhere


def variables(values, leads_nowhere, n_rows):
    """The units of one layer in groups of copies; the first of each stands for the others.

    The first `n_rows` values are those on the input rows; others are under interchanges before.
    """
    width = values.shape[1]
    alike = {k: {k} for k in range(width)}
    varying = [k for k in range(width) if not is_constant(values[:n_rows, k])]
    for a, b in combinations(varying, 2):
        if are_copies(values[:, a], values[:, b]):
            together = alike[a] | alike[b]
            for k in together:
                alike[k] = together

    def standing(k):
        return bool(leads_nowhere[k]), k in varying and not rises(values[:, k]), k

    groups = {tuple(sorted(group, key=standing)) for group in alike.values()}
    return sorted(groups)


@dataclass
class Variables:
    """Per hidden layer: the groups of units, and for each unit the one that stands for it."""

    groups: list
    standing: list

    @classmethod
    def of(cls, net, leads_nowhere):
        """Those of a network."""
        n_rows, groups = len(net.rows), []
        for layer, (values, nowhere) in enumerate(zip(net.values, leads_nowhere, strict=True)):
            seen = [values]
            if layer == 1:
                # what this layer is with every variable of the first as on a row of its own
                for choice in product(range(n_rows), repeat=len(groups[0])):
                    before = np.zeros(net.values[0].shape[1])
                    for group, row in zip(groups[0], choice, strict=True):
                        before[list(group)] = net.values[0][row, list(group)]
                    weight, bias = net.layers[1]
                    seen.append(ACTS[net.act](before @ weight.T + bias)[None])
            groups.append(variables(np.concatenate(seen), nowhere, n_rows))
        standing = [
            [next(g[0] for g in of_layer if k in g) for k in range(values.shape[1])]
            for of_layer, values in zip(groups, net.values, strict=True)
        ]
        return cls(groups, standing)


def keeps_decisions(net, layer, choice):
    """Whether a layer replaced by the levels of its readings leaves every decision as it was."""
    levels = [[(one.low, one.high)[bit] for bit in one.bits] for one in choice]
    distance = net.after(layer, np.array(levels).T) * (2 * net.decided - 1)
    return distance.min() > 1e-9 * np.abs(distance).max()


def copies_alike(choice, standing):
    """Whether every copy has the bits of the unit that stands for it, or their complement."""
    for one, first in zip(choice, standing, strict=True):
        same = [a == b for a, b in zip(one.bits, choice[first].bits, strict=True)]
        if any(same) and not all(same) and one.margin is not None:
            return False
    return True


def is_consistent(before, after, leads_nowhere):
    """Whether the bits of every connected unit follow from those of the layer before."""
    keys = list(zip(*(one.bits for one in before), strict=True))
    for one, nowhere in zip(after, leads_nowhere, strict=True):
        if not nowhere and len(set(zip(keys, one.bits, strict=True))) != len(set(keys)):
            return False
    return True


def table_of(distances):
    """Distances on all combinations -> bits; 0 where undecided."""
    undecided = np.abs(distances) <= 1e-9 * np.abs(distances).max()
    return np.where(undecided, 0, (distances > 0).astype(int))


def measured_tables(net, joint, kinds):
    """Per layer after the first hidden one, the table of every unit or output, [combination].

    Also the joint reading, in which units that never vary have one level.
    """
    tables, measured = [], [joint[0]]
    for layer in range(len(joint)):
        choice = measured[-1]
        bits = np.array(list(product((0, 1), repeat=len(choice))))
        values = np.empty(bits.shape)
        for k, one in enumerate(choice):
            first = kinds.standing[layer][k]
            turned = one.margin is not None and one.bits != choice[first].bits
            values[:, k] = np.where(bits[:, first] ^ turned, one.high, one.low)
        weight, bias = net.layers[layer + 1]
        reached = values @ weight.T + bias
        if layer + 1 == len(joint):
            tables.append([table_of(column - net.threshold) for column in reached.T])
            continue
        reached, of_layer, of_next = ACTS[net.act](reached), [], []
        for one, column in zip(joint[layer + 1], reached.T, strict=True):
            always = np.full(len(column), one.bits[0])
            table = table_of(column - one.threshold) if one.varies else always
            if one.margin is None and one.varies and np.ptp(table) == 0:
                only = one.high if table[0] else one.low
                one = replace(one, low=only, high=only)
            of_layer.append(table)
            of_next.append(one)
        tables.append(of_layer)
        measured.append(tuple(of_next))
    return tables, measured


def run_tables(tables, bits, layer):
    """Bits of a hidden layer, [run, unit] -> the bits of every later layer, the outputs' last."""
    later = []
    for of_layer in tables[layer:]:
        number = bits @ (2 ** np.arange(bits.shape[1])[::-1])
        bits = np.stack([table[number] for table in of_layer], axis=1)
        later.append(bits)
    return later


def bits_of(choice):
    """The bits of a layer, [row, unit]."""
    return np.array([one.bits for one in choice]).T


def composes(net, joint, tables, leads_nowhere):
    """Whether the tables give the bits of every connected unit, and the decisions."""
    *hidden, outputs = run_tables(tables, bits_of(joint[0]), 0)
    for layer, got in enumerate(hidden, start=1):
        connected = ~leads_nowhere[layer]
        if (got != bits_of(joint[layer]))[:, connected].any():
            return False
    return (outputs == net.decided).all()


def depends_on(table):
    """The parents that can change a table's bit."""
    n_parents = int(np.log2(len(table)))
    cube = np.asarray(table).reshape((2,) * n_parents)
    return [k for k in range(n_parents) if (cube.take(0, axis=k) != cube.take(1, axis=k)).any()]


def reduced(table):
    """A table over the parents it depends on."""
    n_parents = int(np.log2(len(table)))
    kept = depends_on(table)
    cube = np.asarray(table).reshape((2,) * n_parents)
    where = tuple(slice(None) if k in kept else 0 for k in range(n_parents))
    return tuple(kept), tuple(cube[where].ravel().tolist())


def live_units(joint, tables):
    """(layer, unit) of those that some output depends on, copies apart."""
    live = set()
    wanted = [depends_on(table) for table in tables[-1]]
    for layer in reversed(range(len(joint))):
        here = {k for parents in wanted for k in parents if joint[layer][k].varies}
        live |= {(layer, k) for k in here}
        if layer:
            wanted = [depends_on(tables[layer - 1][k]) for k in here]
    return live


@dataclass
class SlowCircuit:
    """Joint readings that are one circuit.

    Attributes:
        live: (layer, unit) -> bits, copies included.
        netlist: what reads what, with which table, for the units that stand for variables.
        readings: the bits of all units, one entry per joint reading.
        level: how far it is proved.
        single, joint: (as predicted, all); the latter per hidden layer.
        margin: the smallest of a live unit.
        n_live: live variables.
    """

    live: dict
    netlist: tuple
    readings: list
    margin: float
    n_live: int
    level: str = "substitution"
    single: tuple = ()
    joint: tuple = ()

    @property
    def rank(self):
        """What circuits are ordered by, as far as no text is needed."""
        level = LEVELS.index(self.level)
        right = self.single[0] if self.level == "substitution" else 0
        return (-level, -right, -float(f"{self.margin:.6g}"), self.n_live)


@dataclass
class SlowVerdict:
    """The verdict, and the circuits that survive substitution and the smallest margin."""

    verdict: str
    circuits: list

    @property
    def n_readings(self):
        """Of all circuits together."""
        return sum(len(one.readings) for one in self.circuits)

    def n_at(self, level):
        """How many circuits are proved that far at least."""
        lowest = LEVELS.index(level)
        return sum(LEVELS.index(one.level) >= lowest for one in self.circuits)

    def differences(self, circuit):
        """What the package's circuit says otherwise, in words; nothing where the two agree.

        The first circuit may be any of those that only a formula's text would tell apart.
        """
        found, theirs = [], [facts_of(one) for one in circuit.circuits]
        ours = [facts_of_slow(one) for one in self.circuits]
        for what, a, b in (
            ("verdict", self.verdict, circuit.verdict),
            ("readings", self.n_readings, len(circuit.readings)),
            ("counts", [self.n_at(one) for one in LEVELS], [n_at(circuit, one) for one in LEVELS]),
            ("circuits", set(ours) - set(theirs), set(theirs) - set(ours)),
        ):
            if a != b if what != "circuits" else (a or b or len(ours) != len(theirs)):
                found.append(f"{what}: {a} and {b}")
        if ours and not found:
            best = [
                a for a, b in zip(ours, self.circuits, strict=True) if b.rank == self.first_rank
            ]
            if theirs[0] not in best:
                found.append(f"first circuit: {best} and {theirs[0]}")
        return found

    @property
    def first_rank(self):
        """That of the first circuit."""
        return self.circuits[0].rank


def n_at(circuit, level):
    """How many circuits the package proves that far at least."""
    lowest = LEVELS.index(level)
    return sum(LEVELS.index(one.proof_level) >= lowest for one in circuit.circuits)


def facts_of_slow(one):
    """A circuit of this file, so that it can be compared."""
    *gates, outputs = one.netlist
    tables = [((layer, unit), gate) for layer, unit, _, gate in gates]
    return (
        frozenset(one.live.items()),
        frozenset(tables),
        outputs,
        frozenset(one.readings),
        one.level,
        one.single,
        one.joint,
        float(f"{one.margin:.6g}"),
    )


def facts_of(one):
    """The same of one of the package's circuits."""
    first = one.readings[0]
    live = {((unit.layer, unit.index), first.of(unit).bits) for unit in one.live}
    gates = [(place_of(gate), gate_of(gate)) for gate in one.netlist]
    n_decisions = sum(gate.unit.is_output for gate in one.netlist)
    readings = {tuple(tuple(cut.bits for cut in of) for of in j.readings) for j in one.readings}
    return (
        frozenset(live),
        frozenset(gates[:-n_decisions]),
        tuple(gate for _, gate in gates[-n_decisions:]),
        frozenset(readings),
        one.proof_level,
        (one.single.n_right, one.single.n),
        tuple((count.n_right, count.n) for count in one.joint),
        float(f"{one.smallest_margin:.6g}"),
    )


def place_of(gate):
    """(layer, unit)"""
    return gate.unit.layer, gate.unit.index


def gate_of(gate):
    """The numbers of the parents, from names such as x1 and h0.1, and the table over them."""
    parents = tuple(int(name.split(".")[-1].lstrip("x")) for name in gate.parents)
    return parents, tuple(bit or 0 for bit in gate.table)


def joint_readings(net, kinds, leads_nowhere):
    """Every joint reading that survives substitution, with its tables."""
    options = []
    for layer, values in enumerate(net.values):
        of_units = [cuts(column) for column in values.T]
        if layer > 0:
            of_units = [[with_both_ends(one, net.act) for one in found] for found in of_units]
        found = product(*of_units)
        alike = [one for one in found if copies_alike(one, kinds.standing[layer])]
        options.append([one for one in alike if keeps_decisions(net, layer, one)])
    for joint in product(*options):
        pairs = enumerate(pairwise(joint), start=1)
        if all(is_consistent(a, b, leads_nowhere[layer]) for layer, (a, b) in pairs):
            tables, measured = measured_tables(net, joint, kinds)
            if composes(net, joint, tables, leads_nowhere):
                yield measured, tables


def circuit_of(joint, tables, kinds, leads_nowhere):
    """What a joint reading comes to on its live units."""
    standing = live_units(joint, tables)
    gates = []
    for layer, unit in sorted(standing):
        gate = reduced(joint[0][unit].bits if layer == 0 else tables[layer - 1][unit])
        gates.append((layer, unit, joint[layer][unit].bits, gate))
    gates.append(tuple(reduced(table) for table in tables[-1]))
    live = {
        (layer, unit): joint[layer][unit].bits
        for layer, of_layer in enumerate(kinds.standing)
        for unit, first in enumerate(of_layer)
        if (layer, first) in standing and not leads_nowhere[layer][unit]
    }
    margins = [joint[layer][unit].margin for layer, unit in live]
    margins = [margin for margin in margins if margin is not None]
    return SlowCircuit(live, tuple(gates), [], min(margins, default=np.inf), len(standing))


def interchanges(net, layer, groups):
    """All joint and all single interchanges of a layer.

    Returns:
        for each of the two: the rows that every unit's value comes from, [run, unit], and what is
        decided, [run, output], with -1 where that is on the threshold.
    """
    values = net.values[layer]
    n_rows, width = values.shape
    if n_rows ** len(groups) > MOST_RUNS:
        raise ValueError("too many joint interchanges to make them all")
    place = np.array([next(n for n, g in enumerate(groups) if k in g) for k in range(width)])
    each = np.array(list(product(range(n_rows), repeat=len(groups))))[:, place]
    one = []
    for group in groups:
        for base, source in product(range(n_rows), repeat=2):
            rows = np.full(width, base)
            rows[list(group)] = source
            one.append(rows)
    one = np.array(one)
    distances = [net.after(layer, values[rows, np.arange(width)]) for rows in (each, one)]
    scale = np.abs(distances[0]).max()
    decided = [np.where(np.abs(d) <= 1e-9 * scale, -1, (d > 0).astype(int)) for d in distances]
    return (each, decided[0]), (one, decided[1])


def prove(circuit, joint, tables, made):
    """Compare with what the tables predict, and say how far the circuit is proved."""
    singles, joints = [], []
    for layer, (each, one) in enumerate(made):
        bits = bits_of(joint[layer])
        for (rows, decided), counts in ((each, joints), (one, singles)):
            swapped = bits[rows, np.arange(bits.shape[1])]
            predicted = run_tables(tables, swapped, layer)[-1]
            counts.append((int((predicted == decided).all(1).sum()), len(rows)))
    circuit.single = tuple(np.sum(singles, axis=0).tolist())
    circuit.joint = tuple(joints)
    if circuit.single[0] == circuit.single[1]:
        whole = all(right == n for right, n in joints)
        circuit.level = "joint" if whole else "single"


def slow_verdict(
    layers, act, *, threshold=0.0, require="joint", min_margin=0.01, target=None
) -> SlowVerdict:
    """The verdict on a network.

    Args:
        layers: (weight, bias) of every linear layer.
        act: the activation of hidden units.
        threshold: the output's.
        target: bits of every output on every row; by default what the network decides.
    """
    layers = [(np.asarray(w, dtype=float), np.asarray(b, dtype=float)) for w, b in layers]
    net = Net(layers, act, threshold)
    differs = target is not None and not np.array_equal(net.decided.T, np.array(target))
    if differs or net.is_undecided():
        return SlowVerdict("not_computing", [])
    nowhere = unconnected(net)
    kinds = Variables.of(net, nowhere)
    made = [interchanges(net, layer, groups) for layer, groups in enumerate(kinds.groups)]

    found = {}
    for joint, tables in joint_readings(net, kinds, nowhere):
        circuit = circuit_of(joint, tables, kinds, nowhere)
        if circuit.margin < min_margin:
            continue
        if circuit.netlist not in found:
            prove(circuit, joint, tables, made)
            found[circuit.netlist] = circuit
        bits = tuple(tuple(one.bits for one in choice) for choice in joint)
        found[circuit.netlist].readings.append(bits)

    circuits = sorted(found.values(), key=lambda one: one.rank)
    n_passing = SlowVerdict("", circuits).n_at(require)
    if not circuits:
        verdict = "no_gate_reading"
    elif n_passing == 0:
        verdict = "approximate"
    else:
        verdict = "identified" if n_passing == 1 else "ambiguous"
    return SlowVerdict(verdict, circuits)


def slow_verdict_of(model, **settings) -> SlowVerdict:
    """The verdict on one of the package's networks, of which only weights and settings are read."""
    layers = [(weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers()]
    cfg = model.cfg
    target = None if cfg.target is None else cfg.target.tables
    return slow_verdict(
        layers, cfg.act_fn, threshold=cfg.decision_threshold, target=target, **settings
    )
