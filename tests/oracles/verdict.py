"""A second, independent way to a verdict: every reading, every interchange, nothing pruned.

For networks of one or two hidden layers. What they hold on the rows is `oracles.networks`'s.
"""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from oracles.cuts import Variables, copies_alike, cuts, is_consistent, tolerances, with_both_ends
from oracles.layers import Layers, interchanges, keeps_decisions
from oracles.tables import bits_of, live_units, measured_tables, reduced, run_tables

LEVELS = ("substitution", "single", "joint")
LOOSE = ((0.5, 0.999), (2.0, 1.001))
"""A verdict that is another one with tolerances so many times as large hangs on a tie."""


def composes(layers, joint, tables, leads_nowhere):
    """Whether the tables give the bits of every connected unit, and the decisions."""
    *hidden, outputs = run_tables(tables, bits_of(joint[0]), 0, layers.bits)
    for layer, got in enumerate(hidden, start=1):
        connected = ~leads_nowhere[layer]
        if (got != bits_of(joint[layer]))[:, connected].any():
            return False
    return (outputs == layers.decided).all()


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
        return (-level, -self.single[0], -float(f"{self.margin:.6g}"), self.n_live)

    @property
    def facts(self):
        """All that is compared of it."""
        live = frozenset(self.live.items())
        readings = frozenset(self.readings)
        counts = (self.level, self.single, self.joint)
        return (live, self.netlist, readings, *counts, float(f"{self.margin:.6g}"))


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

    @property
    def first(self):
        """The facts of those that may be the first: only a formula's text would tell them apart."""
        ranks = [one.rank for one in self.circuits]
        return [one.facts for one in self.circuits if one.rank == min(ranks)]

    @property
    def facts(self):
        """All that is compared."""
        return self.verdict, frozenset(one.facts for one in self.circuits)


def joint_readings(layers, kinds, leads_nowhere):
    """Every joint reading that survives substitution, with its tables."""
    options = []
    for layer, values in enumerate(layers.values):
        of_units = [cuts(column) for column in values.T]
        if layer > 0:
            act = layers.net.acts[layer]
            of_units = [[with_both_ends(one, act) for one in found] for found in of_units]
        found = product(*of_units)
        alike = [one for one in found if copies_alike(one, kinds.standing[layer])]
        options.append([one for one in alike if keeps_decisions(layers, layer, one)])
    for joint in product(*options):
        pairs = enumerate(pairwise(joint), start=1)
        if all(is_consistent(a, b, leads_nowhere[layer]) for layer, (a, b) in pairs):
            tables, measured = measured_tables(layers, joint, kinds.standing)
            if composes(layers, joint, tables, leads_nowhere):
                yield measured, tables


def circuit_of(joint, tables, kinds, leads_nowhere):
    """What a joint reading comes to on its live units."""
    standing = live_units(joint, tables)
    gates = []
    for layer, unit in sorted(standing):
        table = joint[0][unit].bits if layer == 0 else tables[layer - 1][unit]
        gates.append((f"h{layer}.{unit}", _named(reduced(table), layer, joint)))
    decisions = [_named(reduced(table), len(joint), joint) for table in tables[-1]]
    live = {
        (layer, unit): joint[layer][unit].bits
        for layer, of_layer in enumerate(kinds.standing)
        for unit, first in enumerate(of_layer)
        if (layer, first) in standing and not leads_nowhere[layer][unit]
    }
    margins = [joint[layer][unit].margin for layer, unit in live]
    margins = [margin for margin in margins if margin is not None]
    netlist = (frozenset(gates), tuple(decisions))
    return SlowCircuit(live, netlist, [], min(margins, default=np.inf), len(standing))


def _named(gate, layer, joint):
    """A reduced table with its parents by name; inputs come after the units of the last layer."""
    parents, table = gate
    width = len(joint[layer - 1]) if layer else 0
    names = [f"h{layer - 1}.{k}" if k < width else f"x{k - width}" for k in parents]
    return tuple(names), table


def prove(layers, circuit, joint, tables, made):
    """Compare with what the tables predict, and say how far the circuit is proved."""
    singles, joints = [], []
    for layer, (each, one) in enumerate(made):
        bits = bits_of(joint[layer])
        for (rows, inputs, decided), counts in ((each, joints), (one, singles)):
            swapped = bits[rows, np.arange(bits.shape[1])]
            predicted = run_tables(tables, swapped, layer, layers.bits[inputs])[-1]
            counts.append((int((predicted == decided).all(1).sum()), len(rows)))
    circuit.single = tuple(np.sum(singles, axis=0).tolist())
    circuit.joint = tuple(joints)
    if circuit.single[0] == circuit.single[1]:
        whole = all(right == n for right, n in joints)
        circuit.level = "joint" if whole else "single"


def slow_verdict(net, *, require="joint", min_margin=0.01, target=None):
    """The verdict on a network.

    Args:
        target: bits of every decision on every row; by default what the network decides.
    """
    layers = Layers(net)
    differs = target is not None and not np.array_equal(layers.decided.T, np.array(target))
    if differs or (layers.distance == 0).any():
        return SlowVerdict("not_computing", [])
    nowhere = layers.leads_nowhere
    kinds = Variables.of(layers.values, lambda values: layers.next_values(0, values), nowhere)
    made = [interchanges(layers, layer, groups) for layer, groups in enumerate(kinds.groups)]

    found = {}
    for joint, tables in joint_readings(layers, kinds, nowhere):
        circuit = circuit_of(joint, tables, kinds, nowhere)
        if circuit.margin < min_margin:
            continue
        if circuit.netlist not in found:
            prove(layers, circuit, joint, tables, made)
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


def is_sure(net, slow, **settings):
    """Whether a verdict stays the same when every tolerance is somewhat larger or smaller."""
    if not Layers(net).is_sure:
        return False
    for factors in LOOSE:
        with tolerances(*factors):
            other = slow_verdict(net, **settings)
        if other.facts != slow.facts:
            return False
    return True
