"""Many networks at once: circuits, proofs and verdicts are those of a brute force in NumPy."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from xor_mi.circuits import Summary, identify_circuit, identify_many, summarize
from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP
from xor_mi.population import census
from xor_mi.training import TrainConfig, train_population

ROWS = np.array(list(product([0.0, 1.0], repeat=2)))
ACTIVATIONS = {
    "relu": lambda sums: np.maximum(sums, 0),
    "tanh": np.tanh,
    "sigmoid": lambda sums: 1 / (1 + np.exp(-sums)),
}


class BruteForce:
    """One network of one hidden layer: every reading, every interchange, one after the other."""

    def __init__(self, weights, act, *, min_margin=0.01):
        (self.w1, self.b1), (self.w2, self.b2) = weights
        self.hidden = ACTIVATIONS[act](ROWS @ self.w1.T + self.b1)
        self.goal = self.outputs(self.hidden) > 0
        self.variables = self.find_variables()
        self.n_readings = 0
        # live units with their bits, and the gates over them -> (single, joint) passed
        self.circuits = {}
        for choice in product(*(self.readings(unit) for unit in self.hidden.T)):
            self.try_choice(choice, min_margin)

    def outputs(self, hidden):
        return hidden @ self.w2.T + self.b2

    def readings(self, values):
        """(bits, low, high, margin) per gap; the margin of a constant unit is infinite."""
        ordered = np.sort(values)
        spread = ordered[-1] - ordered[0]
        if spread <= 1e-9 * np.abs(values).max():
            return [(np.full(4, values.mean() > 0), values.mean(), values.mean(), np.inf)]
        found = []
        for below, above in pairwise(ordered):
            if above - below > 1e-6 * spread:
                bits = values > (below + above) / 2
                levels = values[~bits].mean(), values[bits].mean()
                found.append((bits, *levels, (above - below) / spread))
        return found

    def find_variables(self):
        """Units, copies together; first in each the one that stands for it."""
        width = self.hidden.shape[1]
        group = list(range(width))
        for a, b in product(range(width), repeat=2):
            if self.are_copies(self.hidden[:, a], self.hidden[:, b]):
                group = [group[a] if one == group[b] else one for one in group]
        read = (self.w2 != 0).any(0)
        found = []
        for number in sorted(set(group)):
            members = [unit for unit in range(width) if group[unit] == number]
            found.append(sorted(members, key=lambda unit: (not read[unit], self.falls(unit), unit)))
        return found

    def falls(self, unit):
        """Whether it is below its value on the first row where it first clearly leaves that."""
        change = self.hidden[:, unit] - self.hidden[0, unit]
        return next(c < 0 for c in [*change, -1] if abs(c) >= 0.3 * abs(change).max())

    @staticmethod
    def are_copies(a, b):
        if np.ptp(a) <= 1e-9 * abs(a).max() or np.ptp(b) <= 1e-9 * abs(b).max():
            return False
        a, b = ((v - v.mean()) / np.linalg.norm(v - v.mean()) for v in (a, b))
        nearer = min(np.abs(a - b).max(), np.abs(a + b).max())
        return nearer <= 0.01 * min(np.ptp(a), np.ptp(b))

    def try_choice(self, choice, min_margin):
        """One reading per unit: is it kept, and which circuit is it a reading of?"""
        bits = np.array([reading[0] for reading in choice]).T  # [row, unit]
        low, high = (np.array([reading[k] for reading in choice]) for k in (1, 2))
        for first, *copies in self.variables:
            for copy in copies:
                same = bits[:, copy] == bits[:, first]
                if same.any() and not same.all():
                    return
        distance = self.outputs(np.where(bits, high, low)) * (2 * self.goal - 1)
        if distance.min() <= 1e-9 * np.abs(distance).max():
            return
        # the table over the variables, copies at the level that goes with the first one's bit
        own = bits[:, [units[0] for units in self.variables]]
        table = {}
        for combination in product([False, True], repeat=len(self.variables)):
            values = np.zeros(len(choice))
            for (first, *copies), bit in zip(self.variables, combination, strict=True):
                for unit in (first, *copies):
                    turned = (bits[:, unit] != bits[:, first]).any()
                    values[unit] = high[unit] if bit ^ turned else low[unit]
            table[combination] = self.outputs(values)
        scale = np.abs(list(table.values())).max(0)
        table = {c: tuple((v > 0) & (np.abs(v) > 1e-9 * scale)) for c, v in table.items()}
        if any(table[tuple(b)] != tuple(goal) for b, goal in zip(own, self.goal, strict=True)):
            return
        live = [v for v in range(len(self.variables)) if self.matters(table, v)]
        read = (self.w2 != 0).any(0)
        margins = [choice[k][3] for v in live for k in self.variables[v] if read[k]]
        if min(margins, default=np.inf) < min_margin:
            return
        self.n_readings += 1
        reduced = {tuple(c[v] for v in live): gate for c, gate in table.items()}
        circuit = (
            tuple((self.variables[v][0], tuple(own[:, v])) for v in live),
            tuple(sorted(reduced.items())),
        )
        if circuit not in self.circuits:
            self.circuits[circuit] = self.passes(table, own)

    def matters(self, table, v):
        return any(gate != table[(*c[:v], not c[v], *c[v + 1 :])] for c, gate in table.items())

    def passes(self, table, own):
        """Whether all single interchanges come out as the table says, and all joint ones."""
        n_variables = len(self.variables)
        runs = list(product(range(4), repeat=n_variables))
        hidden = np.zeros((len(runs), self.hidden.shape[1]))
        for v, units in enumerate(self.variables):
            rows = [run[v] for run in runs]
            hidden[:, units] = self.hidden[rows][:, units]
        outputs = self.outputs(hidden)
        decided = np.abs(outputs) > 1e-9 * np.abs(outputs).max()
        right = {}
        for run, output, clear in zip(runs, outputs, decided, strict=True):
            predicted = table[tuple(own[row, v] for v, row in enumerate(run))]
            right[run] = bool(clear.all()) and predicted == tuple(output > 0)
        single = all(
            right[(*[base] * v, source, *[base] * (n_variables - v - 1))]
            for v, base, source in product(range(n_variables), range(4), range(4))
        )
        return single, single and all(right.values())


def planted(weights, how, seed=0):
    """Weights of a population, joined by units that change no decision."""
    (w1, b1), (w2, b2) = weights
    generator = torch.Generator().manual_seed(seed)
    n, n_outputs = len(w1), w2.shape[1]
    random = torch.rand(n, 1, 1, generator=generator)
    match how:
        case "a cancelling pair":
            w1 = torch.cat([w1, w1[:, :1], w1[:, :1]], 1)
            b1 = torch.cat([b1, b1[:, :1], b1[:, :1]], 1)
            readout = (1 + random).expand(-1, n_outputs, -1)
            w2 = torch.cat([w2, readout, -readout], 2)
        case "a unit that leads nowhere":
            w1 = torch.cat([w1[:, :1], random.expand(-1, 1, 2), w1], 1)
            b1 = torch.cat([b1[:, :1], 0 * b1[:, :1], b1], 1)
            w2 = torch.cat([0 * w2[..., :1], 0 * w2[..., :1], w2], 2)
        case "a unit in two places":
            w1, b1 = torch.cat([w1, w1[:, :1]], 1), torch.cat([b1, b1[:, :1]], 1)
            w2 = torch.cat([w2, (1 - random) * w2[..., :1]], 2)
            w2[..., :1] = random * w2[..., :1]
    return (w1, b1), (w2, b2)


def counts(brute):
    """As a summary has them."""
    levels = list(brute.circuits.values())
    n_single, n_joint = (sum(level[k] for level in levels) for k in (0, 1))
    return brute.n_readings, len(levels), n_single, n_joint


PLANTED = ("nothing", "a cancelling pair", "a unit that leads nowhere", "a unit in two places")


@pytest.mark.parametrize(
    ("act", "width", "how"),
    [*product(ACTIVATIONS, (2,), PLANTED), *product(ACTIVATIONS, (3,), PLANTED[:1])],
)
def test_counts_are_those_of_a_brute_force(act, width, how):
    """Readings, circuits and proofs of trained networks, and of the same with copies, cancelling
    pairs and units that lead nowhere: all of them counted in NumPy, every interchange run.
    """
    config = TrainConfig(act_fn=act, max_steps=500)
    trained = train_population("XOR", 40, hidden=width, config=config)
    layers = planted(trained.weights, how)
    cfg = replace(trained.cfg, d_hidden=(layers[0][0].shape[1],))
    population = replace(trained, cfg=cfg, weights=layers)
    found = identify_many(population.__getitem__, layers, cfg)
    n_compared = 0
    for number, summary in enumerate(found):
        if summary.verdict == "not_computing":
            continue
        weights = [[part[number].double().numpy() for part in layer] for layer in layers]
        brute = BruteForce(weights, act)
        assert counts(brute) == (
            summary.n_readings,
            summary.n_circuits,
            summary.n_circuits_single,
            summary.n_circuits_joint,
        ), number
        proved = [circuit for circuit, (_, joint) in brute.circuits.items() if joint]
        assert summary.verdict == {0: "approximate", 1: "identified"}.get(len(proved), "ambiguous")
        if len(proved) == 1:
            firsts = {unit for unit, _ in proved[0][0]}
            read = (weights[1][0] != 0).any(0)
            live = {
                unit
                for units in brute.variables
                if units[0] in firsts
                for unit in units
                if read[unit]
            }
            assert {unit for unit, is_live in enumerate(summary.live) if is_live} == live
            assert summary.proof_level == "joint"
        n_compared += 1
    assert n_compared > 5


def test_requirements_are_those_asked_for():
    """Of trained tanh networks the counts stay whatever is required, the verdict is by the level
    asked for, and a smallest margin of 0.4 leaves out exactly the circuits below it.
    """
    config = TrainConfig(act_fn="tanh", max_steps=500)
    population = train_population("XOR", 25, hidden=3, config=config)
    ask = (population.__getitem__, population.weights, population.cfg)
    found = {
        level: identify_many(*ask, require=level, min_margin=0.0)
        for level in ("substitution", "single", "joint")
    }
    for substitution, single, joint in zip(*found.values(), strict=True):
        assert substitution[1:8] == single[1:8] == joint[1:8], "only verdict and signature differ"
        if substitution.verdict not in ("not_computing", "no_gate_reading"):
            for summary, n_passing in (
                (substitution, joint.n_circuits),
                (single, joint.n_circuits_single),
                (joint, joint.n_circuits_joint),
            ):
                verdicts = {0: "approximate", 1: "identified"}
                assert summary.verdict == verdicts.get(n_passing, "ambiguous")
    assert len({one.verdict for one in found["substitution"]}) == 3
    clear = identify_many(*ask, require="substitution", min_margin=0.4)
    n_left_out = 0
    for number, summary in enumerate(clear):
        if summary.verdict == "not_computing":
            continue
        weights = [
            [part[number].double().numpy() for part in layer] for layer in population.weights
        ]
        assert counts(BruteForce(weights, "tanh", min_margin=0.4))[:2] == summary[3:5]
        n_left_out += found["joint"][number].n_circuits - summary.n_circuits
    assert n_left_out > 10


def test_a_network_that_passes_single_but_not_joint_interchange():
    """~x0, AND and x1>x0, each of several values: with any one of them from another row the network
    decides as the gates say, with all three it does not always.
    """
    layers = [
        ([[-2.2, 0.5], [1.9, 1.9], [-3.0, 3.0]], [2.2, -1.9, 0.0]),
        ([[-3.9, -3.7, 4.0]], [3.9]),
    ]
    weights = [[np.array(part) for part in layer] for layer in layers]
    brute = BruteForce(weights, "relu")
    assert sorted(brute.circuits.values()) == [(False, False), (True, False)]
    model = HookedMLP.from_weights(layers, target="XOR")
    batch = [(weight[None], bias[None]) for weight, bias in model.float64_layers()]
    for require, verdict in (("single", "identified"), ("joint", "approximate")):
        (found,) = identify_many(lambda _: model, batch, model.cfg, require=require)
        assert (found.verdict, found.proof_level) == (verdict, "single")
        assert (found.n_circuits, found.n_circuits_single, found.n_circuits_joint) == (2, 1, 0)
        alone = summarize(identify_circuit(model, require=require, with_evidence=False))
        assert found._replace(margins=()) == alone._replace(margins=())


@pytest.mark.parametrize("size", [1.0, 1e-299, 1e-304, 1e-318])
def test_margins_do_not_depend_on_how_small_a_range_is(size):
    """A ReLU unit of values 0 and `size` has margin 1, in a batch and alone."""
    layers = [([[size], [1.0]], [0.0, 0.0]), ([[-1.0, -1.0]], [0.5])]
    tensors = [tuple(torch.tensor(part, dtype=torch.float64) for part in layer) for layer in layers]
    model = HookedMLP.from_weights(tensors, target="~x0", dtype=torch.float64)
    batch = [(weight[None], bias[None]) for weight, bias in model.float64_layers()]
    (found,) = identify_many(lambda _: model, batch, model.cfg)
    assert found.margins == (1.0, 1.0)
    assert found == summarize(identify_circuit(model, with_evidence=False))


def same_function_otherwise(layers, how):
    """Weights of a population of ReLU networks, written in another way."""
    (w1, b1), (w2, b2) = layers
    match how:
        case "renumbered":
            order = [2, 0, 1]
            w1, b1, w2 = w1[:, order], b1[:, order], w2[:, :, order]
        case "rescaled":
            factor = torch.tensor([0.5, 4.0, 2.0])  # powers of two, so that nothing is rounded
            w1, b1, w2 = w1 * factor[:, None], b1 * factor, w2 / factor
        case "inputs swapped":
            w1 = w1.flip(2)
        case "joined by a dead unit":
            w1, b1 = torch.cat([0 * w1[:, :1], w1], 1), torch.cat([0 * b1[:, :1] - 1, b1], 1)
            w2 = torch.cat([0 * w2[..., :1] + 3, w2], 2)
    return (w1, b1), (w2, b2)


@pytest.mark.parametrize(
    "how", ["renumbered", "rescaled", "inputs swapped", "joined by a dead unit"]
)
def test_another_way_to_write_a_network_changes_nothing(how):
    """Verdict, counts and level stay, and so does the first circuit's family; its canonical text
    too, but where the inputs change places.
    """
    trained = train_population("XOR", 150, hidden=3, config=TrainConfig(max_steps=500))
    layers = same_function_otherwise(trained.weights, how)
    cfg = replace(trained.cfg, d_hidden=(layers[0][0].shape[1],))
    other = replace(trained, cfg=cfg, weights=layers)
    before = identify_many(trained.__getitem__, trained.weights, trained.cfg)
    after = identify_many(other.__getitem__, layers, cfg)
    left_out = {"gates": (), "live": (), "margins": ()}
    if how == "inputs swapped":
        left_out["signature"] = ""
    for one, two in zip(before, after, strict=True):
        assert one._replace(**left_out) == two._replace(**left_out)
    assert len({one.verdict for one in before}) == 3


def test_gates_of_live_units_alone_make_the_set():
    """An idle unit has a gate of its own in `gates`, and none in the set."""
    summary = Summary(
        verdict="identified", gates=("OR", "x0", "AND"), live=(True, False, True), n_circuits=1
    )
    assert summary.gate_set == "{AND, OR}"
    assert Summary(verdict="not_computing").gate_set == ""


@pytest.mark.as_a_user
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"require": "joined"}, "no level of proof 'joined'"),
        ({"min_margin": 1.5}, "min_margin is 1.5; give a fraction of a unit's range, from 0 to 1"),
    ],
)
def test_what_cannot_be_required_is_refused(asked, message):
    """Before any network is looked at."""
    population = train_population("XOR", 2, config=TrainConfig(max_steps=1))
    with pytest.raises(XorMiError, match=message):
        identify_many(population.__getitem__, population.weights, population.cfg, **asked)


def test_circuits_that_are_equal_in_every_text_and_margin():
    """Two circuits of one network are each other's up to complements, with the same margins: their
    gates say which comes first, in a batch as alone.
    """
    config = TrainConfig(
        act_fn="hardsigmoid", loss_fn="mse", max_steps=100, input_levels=(-1.0, 1.0)
    )
    trained = train_population("x0 > x1", 2, hidden=3, seed=8877, config=config, progress=False)
    required = {"require": "single", "min_margin": 0.1, "progress": False}
    alone = identify_circuit(trained[1], **required)
    first, second = alone.circuits[:2]
    assert first.smallest_margin == pytest.approx(second.smallest_margin, rel=1e-12)
    assert census(trained, **required)["gates"][1] == alone.gate_set
