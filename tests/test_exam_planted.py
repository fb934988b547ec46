"""Networks with a circuit written into them: what is true of that circuit, by trying every mask with a
forward that is written here once more, and what the units are, read off their values."""

from itertools import pairwise, product

import numpy as np
import pytest

from xor_mi.exam import Planted, task, tasks
from xor_mi.graph import Edge, Unit
from xor_mi.truth import BooleanFunction

ACTIVATIONS = {
    "relu": lambda pre: np.maximum(pre, 0),
    "tanh": np.tanh,
    "sigmoid": lambda pre: 1 / (1 + np.exp(-pre)),
}
"""By their definitions."""

PLANTED = [name for name, one in tasks().items() if one.kind == "planted"]


def networks_of(name, n_networks=4):
    """The first networks of a planted task."""
    return list(task(name).networks(n_networks, progress=False).planted.values())


def layers_of_weights(one):
    """(weight, bias) per layer, in NumPy."""
    return [(weight.numpy(), bias.numpy()) for weight, bias in one.model.float64_layers()]


def labels_of(one):
    """What is right on every row, from the formula written out in Python."""
    rows = list(product((0, 1), repeat=one.model.cfg.d_in))
    if one.model.cfg.d_in == 2:
        return np.array([a ^ b for a, b in rows])
    return np.array([(a ^ b) & c for a, b, c in rows])


def is_right(one, kept, ablation):
    """Which masks decide every row right, [mask]: by a forward with the weights of dropped edges at
    zero, what they carry on average put into the bias, and unfed units put out.

    Args:
        kept: [mask, edge].
    """
    rows = np.array(list(product((0.0, 1.0), repeat=one.model.cfg.d_in)))
    act = ACTIVATIONS[one.model.cfg.act_fn]
    layers = layers_of_weights(one)
    whole, values = rows, np.broadcast_to(rows, (len(kept), *rows.shape))
    is_fed = np.ones((len(kept), rows.shape[1]), dtype=bool)
    first = 0
    for number, (weight, bias) in enumerate(layers):
        flags = kept[:, first : first + weight.size].reshape(-1, *weight.shape)
        first += weight.size
        flags = flags & is_fed[:, None, :]
        carried = whole.mean(0) if ablation == "mean" else np.zeros(weight.shape[1])
        masked = weight * flags
        from_dropped = ((weight * ~flags) * carried).sum(2)
        pre = np.einsum("mts,mrs->mrt", masked, values) + (bias + from_dropped)[:, None, :]
        last = number == len(layers) - 1
        values = pre if last else act(pre)
        whole = whole @ weight.T + bias
        whole = whole if last else act(whole)
        is_fed = flags.any(2)
    outputs = values[:, :, 0]
    # an output of nothing but rounding decides nothing
    right = np.where(labels_of(one) == 1, outputs > 1e-9, outputs < -1e-9)
    return right.all(1)


def masks_of(n_edges):
    """Every mask, [mask, edge]; bit e of a mask's number is edge e."""
    numbers = np.arange(2**n_edges)
    return (numbers[:, None] >> np.arange(n_edges) & 1).astype(bool)


def smaller_ones(right, circuit):
    """How many perfect masks lie within a circuit, itself left out."""
    within = ~masks_of(len(circuit))[:, ~circuit].any(1)
    return int((right & within).sum()) - int(right[number_of(circuit)])


def number_of(circuit):
    """The number of the mask that keeps these edges."""
    return int(2 ** np.flatnonzero(circuit) @ np.ones(circuit.sum(), dtype=int))


def flags_of(one):
    """Which edges are the circuit's, [edge], in the order of the weights."""
    sizes = one.model.layer_sizes
    flags = []
    for layer, (n_sources, n_targets) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        for target, source in product(range(n_targets), range(n_sources)):
            edge = Edge(Unit(layer - 1, source), Unit(layer, target, is_output=last))
            flags.append(edge in one.circuit)
    return np.array(flags)


# name -> under each ablation: is the circuit perfect, is it subset-minimal
TRUE_OF = {
    "gates": {"zero": (True, True), "mean": (True, True)},
    "halves": {"zero": (True, True), "mean": (True, False)},
    "copies": {"zero": (True, False), "mean": (True, False)},
    "cancelling": {"zero": (True, True), "mean": (True, True)},
    "dead": {"zero": (True, True), "mean": (True, True)},
    "constant": {"zero": (False, False), "mean": (True, True)},
    "two hops": {"zero": (True, True), "mean": (True, None)},
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_what_is_true_of_a_planted_circuit(name, ablation):
    """Perfect, and minimal among all sets of edges, where the table says so. Small stray weights may
    take the place of an edge when what it carries on average stays, so there is no rule for these.
    """
    perfect, minimal = TRUE_OF[name.split(" ", 1)[1].rsplit(" ", 1)[0]][ablation]
    for one in networks_of(name):
        circuit = flags_of(one)
        right = is_right(one, masks_of(len(circuit)), ablation)
        assert right[-1]
        assert right[number_of(circuit)] == perfect
        if minimal is not None:
            assert (right[number_of(circuit)] and not smaller_ones(right, circuit)) == minimal


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_either_copy_is_enough_and_one_is_needed(activation):
    """Two circuits of six edges, one with each copy of AND, and none that is smaller."""
    for one in networks_of(f"planted copies {activation}"):
        right = is_right(one, masks_of(9), "zero")
        smallest = masks_of(9)[right & (masks_of(9).sum(1) <= 6)]
        assert len(smallest) == 2
        # the edges that only one of them has: one copy each
        assert (smallest[0] ^ smallest[1]).sum() == 6
        copies = [unit for unit, gate in one.gates.items() if gate in ("AND", "NAND")]
        readouts = [6 + unit.index for unit in copies]
        assert smallest[:, readouts].sum(0).tolist() == [1, 1]


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_a_pair_cancels_and_half_of_it_breaks_the_network(activation):
    """Without both, the outputs are the same up to rounding; without the one whose sign some row
    cannot bear, a row is decided wrong.
    """
    for one in networks_of(f"planted cancelling {activation}", 8):
        of_circuit = {edge.src.index for edge in one.circuit if edge.dst.is_output}
        pair = sorted({0, 1, 2, 3} - of_circuit)
        (weight, bias), (readout, last) = layers_of_weights(one)
        rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        added = ACTIVATIONS[activation](rows @ weight.T + bias) * readout[0]
        assert np.allclose(added[:, pair].sum(1), 0, atol=1e-12)
        without_one = [np.delete(added, gone, axis=1).sum(1) + last for gone in pair]
        assert any(((outputs > 0) != labels_of(one)).any() for outputs in without_one)


@pytest.mark.parametrize("name", PLANTED)
def test_units_are_the_gates_they_are_said_to_be(name):
    """Off and on by the middle of their values; a unit of one value is on above zero."""
    for one in networks_of(name):
        values = np.array(list(product((0.0, 1.0), repeat=one.model.cfg.d_in)))
        for layer, (weight, bias) in enumerate(layers_of_weights(one)[:-1]):
            values = ACTIVATIONS[one.model.cfg.act_fn](values @ weight.T + bias)
            for index, of_unit in enumerate(values.T):
                low, high = of_unit.min(), of_unit.max()
                # the sum of two bits is either's, and both's: OR is on wherever it is above zero
                middle = 0.25 * high + 0.75 * low
                bits = of_unit > (middle if high - low > 1e-3 else 0.0 if high > 1e-3 else np.inf)
                gate = BooleanFunction.of(one.gates[Unit(layer, index)], one.model.cfg.d_in)
                assert tuple(bits.astype(int).tolist()) == gate.bits


def test_networks_of_a_task_differ_in_numbers_and_order():
    """Ten networks of OR and AND: no two the same, both orders of the units."""
    networks = networks_of("planted gates relu", 10)
    readouts = [tuple(layers_of_weights(one)[1][0][0].tolist()) for one in networks]
    assert len(set(readouts)) == 10
    assert {one.gates[Unit(0, 0)] for one in networks} == {"OR", "AND"}
    # a ReLU unit's scale is undone where it is read: AND counts twice as much as OR, and -1
    for one in networks:
        (weight, _), (readout, _) = layers_of_weights(one)
        of_gates = {one.gates[Unit(0, k)]: weight[k, 0] * readout[0, k] for k in (0, 1)}
        assert of_gates["AND"] == pytest.approx(-2 * of_gates["OR"])


def test_a_planted_network_says_what_it_is():
    """As a sentence, and edge by edge."""
    one = networks_of("planted dead relu", 1)[0]
    assert isinstance(one, Planted)
    assert str(one).startswith("6 of 9 edges compute XOR; units: h0.0 ")
    table_of_edges = one.frame()
    assert table_of_edges.columns.tolist() == ["edge", "weight", "planted", "gate"]
    dead = next(unit for unit, gate in one.gates.items() if gate == "FALSE")
    of_dead = table_of_edges[table_of_edges.edge == f"{dead.name}->y0"].iloc[0]
    assert (of_dead.planted, of_dead.gate) == (False, "FALSE")
    assert of_dead.weight == pytest.approx(layers_of_weights(one)[1][0][0, dead.index])
