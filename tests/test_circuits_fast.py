"""What makes identification quick changes no answer: predictions looked up in one table are those of
the netlist run on every interchange, choices left out beforehand keep no decision, and the order of
circuits is that of texts that are all found.
"""

import io
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from xor_mi import HookedMLP, XorMiError, identify_circuit, progress
from xor_mi.circuits import (
    _candidates,
    _identify,
    _interchange,
    _pruned,
    _readings,
    _summary,
    identify_many,
)
from xor_mi.circuits._candidates import compared_margin
from xor_mi.circuits._interchange import Interchanges
from xor_mi.circuits._layerwise import NetworkOnRows
from xor_mi.circuits._predicted import MAX_KEPT, DecisionTable, NumbersOfRuns
from xor_mi.circuits._readings import faithful_readings
from xor_mi.circuits._signature import family_of, up_to_complement
from xor_mi.errors import TooManyReadings
from xor_mi.truth import BooleanFunction
from xor_mi.truth._two_level import shortest_sum

NETWORKS = [
    {"sizes": (2, 4, 1), "act_fn": "tanh"},
    {"sizes": (2, 3, 2, 1), "act_fn": "relu"},
    {"sizes": (3, 3, 2), "act_fn": "sigmoid", "decision_rule": "argmax"},
    {"sizes": (2, 3, 2), "act_fn": "tanh", "direct": True},
    {"sizes": (2, 2, 2, 2, 2), "act_fn": "tanh"},
]


def drawn(settings, seed):
    """A random network."""
    settings = dict(settings)
    sizes = settings.pop("sizes")
    rng = np.random.default_rng(seed)
    layers = [
        (2 * rng.normal(size=(after, before)), rng.normal(size=after))
        for before, after in pairwise(sizes)
    ]
    beside = rng.normal(size=(sizes[-1], sizes[0])) if settings.pop("direct", False) else None
    return HookedMLP.from_weights(layers, direct=beside, **settings)


def interchanges_of(model):
    """What a network decides under every interchange."""
    network = NetworkOnRows.of(model)
    return Interchanges.of(model, network.layers, network.variables)


@pytest.mark.as_a_user
@pytest.mark.parametrize("settings", NETWORKS, ids=lambda one: "-".join(map(str, one["sizes"])))
def test_what_is_looked_up_is_what_the_netlist_decides_run_by_run(settings):
    """Every circuit's decisions in every single and joint interchange, the slow way: its netlist
    run with the bits of that interchange.
    """
    n_circuits = 0
    for seed in range(4):
        model = drawn(settings, seed)
        try:
            found = identify_circuit(
                model, require="substitution", min_margin=0.0, with_evidence=False
            )
        except XorMiError:
            continue
        if not found.circuits:
            continue
        interchanges = interchanges_of(model)
        inputs = torch.tensor(list(product((0, 1), repeat=model.cfg.d_in)))
        for candidate in found.circuits[:2]:
            n_circuits += 1
            circuit = interchanges.with_bits(candidate.readings[0])
            tables = interchanges.tables(circuit)
            single = interchanges.predicted_single(tables)
            number = 0
            for layer, groups in enumerate(interchanges.variables):
                levels = circuit.levels(layer)
                pairs = torch.tensor(list(product(range(len(inputs)), repeat=2)))
                for place in range(len(groups)):
                    mixed = levels[pairs[:, 0]].clone()
                    mixed[:, place] = levels[pairs[:, 1], place]
                    slow = circuit.decided(layer, mixed, inputs[pairs[:, 0]])
                    assert torch.equal(single[..., number, :].flatten(0, 1), slow)
                    number += 1
                runs = interchanges.joint[layer]
                taken = levels.gather(0, runs.sources)
                slow = circuit.decided(layer, taken, inputs[runs.bases])
                assert torch.equal(interchanges.predicted_joint(tables[layer], layer).T, slow)
            count = (single == interchanges.single).all(-1).sum().item()
            assert candidate.single.n_right == count
    assert n_circuits > 2


def proof_of(circuit):
    """What identification says of every circuit's interchanges."""
    return [(one.single, one.joint, one.contradiction) for one in circuit.circuits]


@pytest.mark.parametrize("settings", NETWORKS, ids=lambda one: "-".join(map(str, one["sizes"])))
def test_circuits_tested_together_are_what_each_is_alone(settings, monkeypatch):
    """All at once, three at a time, and one after the other by its netlist."""
    n_circuits = 0
    for seed in range(4):
        model = drawn(settings, seed)
        try:
            together = identify_circuit(model, min_margin=0.0, with_evidence=False)
        except XorMiError:
            continue
        interchanges = interchanges_of(model)
        firsts = [one.readings[0] for one in together.circuits]
        alone = [interchanges.tested(interchanges.with_bits(joint)) for joint in firsts]
        one_by_one = [(one.single, one.joint, one.contradiction) for one in alone]
        assert proof_of(together) == one_by_one
        few = 3 * 2 ** max(model.cfg.d_hidden)
        monkeypatch.setattr(_interchange, "NUMBERS_AT_ONCE", few)
        assert list(interchanges.tested_all(firsts)) == alone
        monkeypatch.undo()
        n_circuits += len(firsts)
    assert n_circuits > 2


def test_sums_that_are_kept_of_the_circuit_before_are_its_own():
    """Tables that differ in their first, a middle or their last digit, one after the other."""
    generator = torch.Generator().manual_seed(0)
    weights = (64, 32, 16, 8, 4, 2, 1)
    sources = torch.randint(4, (500, 7), generator=generator)
    numbers = NumbersOfRuns(sources)
    on_rows = torch.randint(2, (4, 7), generator=generator)
    # two of them change each time, so that more last sums come up than are kept
    for _ in range(2 * MAX_KEPT):
        on_rows = on_rows.clone()
        on_rows[:, torch.randint(7, (2,), generator=generator)] ^= 1
        on_rows[torch.randint(4, (1,), generator=generator), 6] ^= 1
        table = DecisionTable(on_rows, weights, torch.zeros(1, 128, dtype=torch.int8))
        expected = (on_rows.gather(0, sources) * torch.tensor(weights)).sum(1)
        assert numbers.of(list(map(tuple, table.added.tolist()))).tolist() == expected.tolist()


@pytest.mark.parametrize("act_fn", ["relu", "tanh", "leaky_relu"])
def test_choices_left_out_beforehand_keep_no_decision(act_fn, monkeypatch):
    """4-3-1: up to 15 readings a unit; all tried, or only those that the bounds leave."""
    n_found = 0
    for seed in range(6):
        model = drawn({"sizes": (4, 3, 1), "act_fn": act_fn}, seed)
        network = NetworkOnRows.of(model)

        def found(network=network):
            return faithful_readings(
                network.model,
                network.layers,
                0,
                variables=network.variables[0],
                decided=network.decided,
            )

        with monkeypatch.context() as patched:
            patched.setattr(_readings, "CHOICES_AT_ONCE", 100)
            pruned = found()
        with monkeypatch.context() as patched:
            patched.setattr(_readings, "never_falls", lambda *_: False)
            tried = found()
        assert [choice for choice, _ in pruned] == [choice for choice, _ in tried]
        np.testing.assert_allclose([m for _, m in pruned], [m for _, m in tried], rtol=1e-9)
        n_found += len(tried)
    assert n_found > 0


def test_where_beginnings_do_not_fit_all_choices_are_tried(monkeypatch):
    """The same readings where the bounds are given up for want of room."""
    model = drawn({"sizes": (3, 3, 1), "act_fn": "relu"}, 1)
    before = identify_circuit(model, min_margin=0.0, with_evidence=False).to_json()
    monkeypatch.setattr(_readings, "CHOICES_AT_ONCE", 100)
    monkeypatch.setattr(_pruned, "MAX_BEGINNINGS", 50)
    pruned = identify_circuit(model, min_margin=0.0, with_evidence=False)
    assert pruned.to_json() == before


def test_circuits_stand_in_the_order_of_all_their_texts():
    """Five tanh units have circuits that are equal in credit: by the key with every text found."""
    model = drawn({"sizes": (2, 5, 1), "act_fn": "tanh"}, 3)
    circuit = identify_circuit(model, min_margin=0.0, with_evidence=False)
    sizes = circuit.layer_sizes

    def key(one):
        netlist = one.readings[0].netlist
        text = up_to_complement(netlist, sizes)
        margins = sorted(one.readings[0].of(unit).margin or 0 for unit in one.live)
        clearest = tuple(-compared_margin(margin) for margin in margins)
        credit = _candidates._credit(one)
        family = family_of(netlist, sizes)
        return credit, len(text), family, text, clearest, _candidates._by_gates(one)

    assert len({_candidates._credit(one) for one in circuit.circuits}) < len(circuit.circuits)
    assert list(circuit.circuits) == sorted(circuit.circuits, key=key)


def constant_network(n_units):
    """Tanh units of four values each, no two of them copies, so with three readings each; and an
    output that none of them can turn: every joint reading survives.
    """
    hidden = [[0.37 + k / 4, 2.0 - k / 8] for k in range(n_units)]
    bias = [-0.3 - k / 16 for k in range(n_units)]
    return HookedMLP.from_weights(
        [(hidden, bias), ([[0.01] * n_units], [5.0])], act_fn="tanh", target=None
    )


def test_too_many_readings_are_refused_before_any_is_listed(monkeypatch):
    """3^10 = 59,049 readings of a constant function: counted, and none is made."""
    model = constant_network(10)

    def listed(*_):
        raise AssertionError("a reading was listed")

    monkeypatch.setattr(_readings, "_by_unit", listed)
    with pytest.raises(TooManyReadings, match="more than max_readings=40000 faithful joint"):
        identify_circuit(model)


def test_as_many_are_listed_as_fit_with_their_tables(monkeypatch):
    """5 units with 3^5 = 243 faithful readings of a constant function. No unit is live, so they are
    one circuit. One too many, or one entry too many of their tables, is refused.
    """
    assert _identify.MAX_READINGS > _identify.ALWAYS_LISTED
    model = constant_network(5)
    with pytest.raises(TooManyReadings, match="max_readings=242"):
        identify_circuit(model, max_readings=242)
    monkeypatch.setattr(_identify, "ALWAYS_LISTED", 100)
    monkeypatch.setattr(_identify, "MAX_ENTRIES", 243 * 2**5)
    circuit = identify_circuit(model, max_readings=243, with_evidence=False)
    assert (len(circuit.circuits), len(circuit.readings)) == (1, 243)
    monkeypatch.setattr(_identify, "MAX_ENTRIES", 243 * 2**5 - 1)
    with pytest.raises(TooManyReadings, match="243 faithful joint readings, with tables of 32"):
        identify_circuit(model)


def test_of_many_networks_none_has_more_readings_listed_than_before(monkeypatch):
    """The default for one network would keep the others waiting; what is left out says so."""
    monkeypatch.setattr(_summary, "ALWAYS_LISTED", 242)
    monkeypatch.setattr(_summary, "_covered", lambda _: False)
    model = constant_network(5)
    layers = [(weight[None], bias[None]) for weight, bias in model.float64_layers()]
    (summary,) = identify_many(lambda _: model, layers, model.cfg)
    assert summary.verdict is None
    assert "max_readings=242" in summary.why_not


class Terminal(io.StringIO):
    """Standard error that a person watches."""

    def isatty(self):
        return True


def test_a_bar_is_shown_and_can_be_silenced(monkeypatch):
    """As if every work took long enough."""
    monkeypatch.setattr(progress, "SECONDS_BEFORE_A_BAR", 0.0)
    model = drawn({"sizes": (2, 4, 1), "act_fn": "tanh"}, 3)
    for wanted in (True, False):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        identify_circuit(model, progress=wanted)
        assert ("testing circuits" in terminal.getvalue()) is wanted


def test_stopped_in_the_middle_it_starts_afresh(monkeypatch):
    """Ctrl-C between two circuits: the next call gives what an undisturbed one gives."""
    model = drawn({"sizes": (2, 4, 1), "act_fn": "tanh"}, 3)
    undisturbed = identify_circuit(model).to_json()
    joint_count, calls = _interchange.Interchanges._joint_count, []

    def stopped(self, *asked):
        calls.append(asked)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return joint_count(self, *asked)

    with monkeypatch.context() as patched:
        patched.setattr(_interchange.Interchanges, "_joint_count", stopped)
        with pytest.raises(KeyboardInterrupt):
            identify_circuit(model)
    assert identify_circuit(model).to_json() == undisturbed


@pytest.mark.parametrize("n_inputs", [3, 6, 8])
def test_formulas_of_weighted_sums_are_sums_of_all_their_primes(n_inputs):
    """A weighted sum with a threshold: every product is prime, and all primes are there, by brute
    force over every product of literals.
    """
    rng = np.random.default_rng(n_inputs)
    rows = np.array(list(product((0, 1), repeat=n_inputs)))
    for _ in range(4):
        table = rows @ rng.normal(size=n_inputs) + rng.normal() / 2 > 0
        if table.all() or not table.any():
            continue
        products = shortest_sum(
            n_inputs, sum(1 << row for row in np.flatnonzero(table).tolist()), plain=1
        )
        # a literal 2 is none; a product is an implicant if it holds on rows of the table alone
        choices = np.array(list(product((0, 1, 2), repeat=n_inputs)))
        holds = ((choices[:, None] == rows) | (choices[:, None] == 2)).all(-1)
        implicants = set(map(tuple, choices[~(holds & ~table).any(1)].tolist()))

        def is_prime(one, implicants=implicants):
            wider = ((*one[:k], 2, *one[k + 1 :]) for k, bit in enumerate(one) if bit != 2)
            return not any(other in implicants for other in wider)

        primes = {one for one in implicants if is_prime(one)}
        found = {tuple(dict(one).get(i, 2) for i in range(n_inputs)) for one in products}
        assert found == primes
        text = BooleanFunction(n_inputs, (tuple(map(int, table)),)).formula
        assert BooleanFunction.from_formula(text, n_inputs).bits == tuple(map(int, table))
