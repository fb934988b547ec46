"""Layers of more than 12 units: the pruned search lists what exhaustion lists, wide tables are right,
and what is too wide is told what else to do.
"""

from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from xor_mi import HookedMLP, XorMiError, identify_circuit
from xor_mi.circuits import _identify, _pruned, _readings, _tables
from xor_mi.circuits._pruned import promising_choices
from xor_mi.circuits._readings import faithful_readings, levels_of, unit_readings
from xor_mi.errors import TooManyReadings
from xor_mi.truth import BooleanFunction
from xor_mi.values import forward_float64

pytestmark = pytest.mark.as_a_user

ENCODINGS = [
    {"act_fn": "relu"},
    {"act_fn": "tanh", "input_levels": (-1, 1)},
    {"act_fn": "leaky_relu", "out_act_fn": "sigmoid"},
    {"act_fn": "sigmoid", "decision_rule": "argmax", "d_out": 2},
    {"act_fn": "softplus", "decision_rule": "argmax", "d_out": 3},
    {"act_fn": "elu", "direct": True},
    {"act_fn": ("relu", "tanh"), "d_hidden": (3, 3)},
    {"act_fn": ("tanh", "heaviside"), "d_hidden": (3, 2)},
]


def drawn(encoding, seed):
    """A random network whose units take several values each."""
    settings = dict(encoding)
    d_hidden = settings.pop("d_hidden", (5,))
    d_out = settings.pop("d_out", 1)
    direct = settings.pop("direct", False)
    rng = np.random.default_rng(seed)
    sizes = (2, *d_hidden, d_out)
    layers = [
        (2 * rng.normal(size=(after, before)), rng.normal(size=after))
        for before, after in pairwise(sizes)
    ]
    beside = rng.normal(size=(d_out, 2)) if direct else None
    return HookedMLP.from_weights(layers, direct=beside, **settings)


def listed(model):
    """Per layer, the faithful choices in order, as bits; and the worst margins of them all."""
    layers = forward_float64(model, model.rows())
    decided = model.rule.decide(layers[-1].post)
    bits, margins = [], []
    for layer in range(model.cfg.n_layers):
        # without copies every unit is a variable of its own
        variables = tuple((unit,) for unit in range(model.cfg.d_hidden[layer]))
        faithful = faithful_readings(model, layers, layer, variables=variables, decided=decided)
        bits.append([[reading.bits for reading in choice] for choice, _ in faithful])
        margins += [worst for _, worst in faithful]
    return bits, margins


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: "-".join(map(str, encoding)))
def test_the_pruned_search_lists_what_exhaustion_lists(encoding, monkeypatch):
    """Of 40 random networks per encoding, the same choices in the same order with the same margins
    (up to the last bit: vectorised functions round by position), whether all are tried or only
    those that the bounds leave.
    """
    n_listed = 0
    for seed in range(40):
        model = drawn(encoding, seed)
        exhaustive, margins = listed(model)
        with monkeypatch.context() as patched:
            patched.setattr(_readings, "MAX_TRIED", 0)
            pruned, pruned_margins = listed(model)
        assert pruned == exhaustive
        np.testing.assert_allclose(pruned_margins, margins, rtol=1e-9)
        n_listed += sum(map(len, exhaustive))
    assert n_listed > 40


def test_the_bounds_leave_out_all_that_does_not_keep_the_decisions():
    """With one hidden layer nothing is left to bound after the last unit: of 20 networks of 8
    units, what the pruned search leaves is what is faithful, in lexicographic order.
    """
    n_left = 0
    for seed in range(20):
        model = drawn({"d_hidden": (8,), "act_fn": "tanh"}, seed)
        values = forward_float64(model, model.rows())
        decided = model.rule.decide(values[-1].post)
        options = [unit_readings(column) for column in values[0].post.T]
        # one place per variable, [reading, row, place]
        levels = [
            torch.stack([levels_of(reading) for reading in unit])[..., None] for unit in options
        ]
        settings = {"variables": tuple((unit,) for unit in range(8)), "decided": decided}
        choices = promising_choices(model, values, 0, levels, **settings)
        assert choices.tolist() == sorted(choices.tolist())
        assert len(choices) == len(faithful_readings(model, values, 0, **settings))
        n_left += len(choices)
    assert 0 < n_left < 20 * 3**8


@cache
def steps(n_units):
    """So many steps of four inputs, no two of them the same gate or complements, and an output on
    whose decisions every one of them has a say.
    """
    rng = np.random.default_rng(0)
    rows = np.array(list(product((0, 1), repeat=4)))
    units, seen = [], set()
    while len(units) < n_units:
        weight, bias = rng.integers(-3, 4, 4), rng.integers(-4, 4) + 0.5
        bits = tuple((rows @ weight + bias > 0).astype(int).tolist())
        if len(set(bits)) == 2 and bits not in seen:
            seen |= {bits, tuple(1 - bit for bit in bits)}
            units.append((weight, bias))
    # quarters, so that sums are exact
    readout = rng.choice([-1.25, -1, 1, 1.25], n_units)
    layers = [
        ([w.tolist() for w, _ in units], [b for _, b in units]),
        ([readout.tolist()], [0.125]),
    ]
    return HookedMLP.from_weights(layers, act_fn="heaviside")


def test_sixteen_units_of_two_values_are_identified():
    """One reading each, so one joint reading; the readout's table over 65,536 combinations is that
    of the weights, in NumPy.
    """
    model = steps(16)
    circuit = identify_circuit(model)
    assert (circuit.verdict, len(circuit.readings)) == ("identified", 1)
    assert circuit.copies == ()
    readout = circuit.netlist[-1]
    (weight,), (bias,) = (tensor.numpy() for tensor in model.float64_layers()[1])
    combinations = np.array(list(product((0, 1), repeat=16)))
    total = combinations @ weight + bias
    # sums of quarters and an eighth are exact, and never zero
    assert np.array_equal(np.array(readout.table), (total > 0).astype(int))
    assert readout.depends_on == tuple(range(16))
    # no formula of so many: they are named
    assert circuit.readout.startswith("f(h0.0, h0.1, ")
    with pytest.raises(XorMiError, match="1 to 12 inputs"):
        _ = readout.function


def test_a_wide_circuit_is_written_out():
    """Signature, family, pages and exports of 16 units are there; the signature is the same for
    renumbered units, and another one for another readout.
    """
    model = steps(16)
    circuit = identify_circuit(model)
    order = np.random.default_rng(0).permutation(16)
    (weight, bias), (readout, readout_bias) = [
        (w.numpy(), b.numpy()) for w, b in model.float64_layers()
    ]
    moved = [(weight[order], bias[order]), (readout[:, order], readout_bias)]
    renumbered = identify_circuit(model.with_weights(moved), with_evidence=False)
    assert renumbered.signature == circuit.signature
    assert renumbered.family == circuit.family
    other = model.with_weights([(weight, bias), (-readout, -readout_bias)])
    other = identify_circuit(other, with_evidence=False)
    assert other.signature != circuit.signature
    assert "h0.15" in circuit.explain()
    assert circuit.to_dict()["n_readings"] == 1
    assert "h0.15" in circuit.to_dot()
    n_read = sum(len(gate.depends_on) for gate in circuit.netlist[:-1])
    assert len(circuit.edges) == n_read + 16


@pytest.mark.parametrize("n_dead", [1, 4])
def test_units_beyond_twelve_that_are_dead_change_nothing(n_dead):
    """12 steps, with dead units beside them: gates, formula, signature and family are those of the
    12 alone, by the narrow path.
    """
    narrow = steps(12)
    (weight, bias), (readout, readout_bias) = [
        (w.numpy(), b.numpy()) for w, b in narrow.float64_layers()
    ]
    wide = narrow.with_weights(
        [
            (np.vstack([weight, np.ones((n_dead, 4))]), np.append(bias, [-9.0] * n_dead)),
            (np.hstack([readout, np.ones((1, n_dead))]), readout_bias),
        ]
    )
    alone, beside = identify_circuit(narrow), identify_circuit(wide)
    assert [unit.gate for unit in beside.units[12:]] == ["FALSE"] * n_dead
    assert beside.units[:12] == alone.units
    assert beside.formula == alone.formula
    assert beside.signature == alone.signature
    assert beside.family == alone.family


@pytest.mark.parametrize("n_parents", [1, 2, 3, 4])
def test_wide_tables_are_those_of_the_narrow_ones(n_parents):
    """Random tables: what is done to a whole table at once equals looking up every combination."""
    rng = np.random.default_rng(n_parents)
    rows = list(product((0, 1), repeat=n_parents))
    assert _tables.combinations_of(n_parents).tolist() == [list(row) for row in rows]
    for _ in range(20):
        table = tuple(rng.integers(0, 2, 2**n_parents).tolist())
        value = dict(zip(rows, table, strict=True))
        function = BooleanFunction(n_parents, (table,))
        essential, short = _tables.over_essential(table)
        assert essential == _tables.essential_parents(table) == function.essential_inputs
        for row in rows:
            number = sum(row[k] << len(essential) - 1 - n for n, k in enumerate(essential))
            assert short[number] == value[row]
        where = rng.permutation(n_parents).tolist()
        moved = dict(zip(rows, _tables.rearranged(table, where), strict=True))
        signs = rng.integers(0, 2, n_parents).tolist()
        turned = dict(zip(rows, _tables.complemented(table, 1, signs), strict=True))
        held = dict(zip(rows, _tables.with_constants(table, {0: 1}), strict=True))
        for row in rows:
            placed = [0] * n_parents
            for k, bit in enumerate(row):
                placed[where[k]] = bit
            assert moved[tuple(placed)] == value[row]
            before = tuple(bit ^ sign for bit, sign in zip(row, signs, strict=True))
            assert turned[row] == 1 - value[before]
            assert held[row] == value[(1, *row[1:])]
        steps_up = [value[(1, *row[1:])] - value[row] for row in rows if row[0] == 0]
        assert _tables.turns(table, 0) == (steps_up.count(1), steps_up.count(-1))
        names = [f"h0.{k}" for k in range(n_parents)]
        assert _tables.formula_over(table, names) == function.formula_over(names)


def test_what_is_too_wide_names_the_analyses_that_work():
    """17 units, units and inputs of which a direct output reads 17, more choices than can be held,
    an activation that falls somewhere, and more tables than fit: each is told what else there is.
    """
    wide = drawn({"d_hidden": (17,), "act_fn": "relu"}, 0)
    with pytest.raises(XorMiError, match="17 units.*at most 16.*scan_gates, patch_sweep"):
        identify_circuit(wide)
    with pytest.raises(XorMiError, match="15 units and 2 inputs.*at most 16.*patch_sweep"):
        identify_circuit(drawn({"d_hidden": (15,), "act_fn": "relu", "direct": True}, 0))
    with pytest.raises(TooManyReadings, match="layer 0 has 43,046,721 joint.*contributions"):
        identify_circuit(drawn({"d_hidden": (16,), "act_fn": "tanh"}, 0))
    with pytest.raises(TooManyReadings, match="layer 0 has [0-9,]+ joint.*gelu falls"):
        identify_circuit(drawn({"d_hidden": (16, 1), "act_fn": "gelu"}, 0))


def test_tables_that_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    """A wide network with more readings than there is room for; one below the bound is measured."""
    monkeypatch.setattr(_identify, "MAX_ENTRIES", 2**16)
    assert identify_circuit(steps(16), with_evidence=False).verdict == "identified"
    monkeypatch.setattr(_identify, "MAX_ENTRIES", 2**16 - 1)
    with pytest.raises(TooManyReadings, match="1 faithful joint readings, with tables of 65,536"):
        identify_circuit(steps(16), with_evidence=False)


def test_a_bound_that_is_too_tight_would_be_noticed(monkeypatch):
    """With bounds that leave out what the remaining units can add, readings go missing: the
    comparison above can fail.
    """
    monkeypatch.setattr(_readings, "MAX_TRIED", 0)
    rising = _pruned._may_keep

    def too_tight(model, layers, layer, pre, decided):
        middle = (pre.low + pre.high) / 2
        return rising(model, layers, layer, type(pre)(middle, middle), decided)

    models = [drawn(ENCODINGS[1], seed) for seed in range(5)]
    before = [listed(model)[0] for model in models]
    monkeypatch.setattr(_pruned, "_may_keep", too_tight)
    assert [listed(model)[0] for model in models] != before
