"""Truth over every set of edges: against a network that is run edge by edge, against TransformerLens'
hooks, and against the search for subcircuits.
"""

from collections.abc import Sequence
from math import comb

import numpy as np
import pytest
import torch

from xor_mi import handmade
from xor_mi.errors import XorMiError
from xor_mi.graph import Edge, Subcircuit, Unit, edges_of
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import (
    Convention,
    Problem,
    _edge_masks,
    as_network,
    count_perfect_subcircuits,
    edge_masks,
    find_subcircuits,
    outputs_of_edge_masks,
)
from xor_mi.training import train

pytestmark = pytest.mark.as_a_user


@pytest.fixture(scope="module")
def trained():
    """A trained 2-3-3-1 network with 584 perfect subcircuits."""
    return train("XOR", hidden=(3, 3), seed=1).model


def network(sizes: Sequence[int], seed: int, **settings) -> HookedMLP:
    """A network with weights as they are drawn, and biases that are not zero."""
    d_in, *hidden, d_out = sizes
    cfg = HookedMLPConfig(d_in=d_in, d_hidden=tuple(hidden), d_out=d_out, seed=seed, **settings)
    model = HookedMLP(cfg).eval()
    drawn = torch.Generator().manual_seed(seed)
    layers = [
        (weight, torch.randn(len(bias), generator=drawn, dtype=torch.float64))
        for weight, bias in model.float64_layers()
    ]
    return model.with_weights(layers, dtype=torch.float64)


def run_by_edges(
    model: HookedMLP, kept: set[Edge], rows: np.ndarray, convention: Convention, drop_unfed: bool
) -> np.ndarray:
    """Unit by unit and edge by edge, as the words have it; [row, output]."""
    layers = [(weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers()]

    def activated(pre, number):
        return model.activate(torch.tensor(pre), number).numpy()

    # what an edge carries that is dropped: nothing, or the mean in the whole network
    clean = model.rows().double().numpy()
    means = [clean.mean(0)]
    for number, (weight, bias) in enumerate(layers):
        clean = activated(clean @ weight.T + bias, number)
        means.append(clean.mean(0))
    values = {Unit(-1, k): rows[:, k] for k in range(rows.shape[1])}
    for number, (weight, bias) in enumerate(layers):
        for target in range(len(weight)):
            unit = Unit(number, target, is_output=number == len(layers) - 1)
            pre = np.full(len(rows), bias[target] if convention.biases == "keep" else 0.0)
            fed = False
            for source in range(weight.shape[1]):
                edge = Edge(Unit(number - 1, source), unit)
                if edge in kept and edge.src in values:
                    pre = pre + weight[target, source] * values[edge.src]
                    fed = True
                elif convention.ablation == "mean":
                    pre = pre + weight[target, source] * means[number][source]
            if fed or unit.is_output or not drop_unfed:
                values[unit] = activated(pre, number)
    last = len(layers) - 1
    return np.stack([values[Unit(last, k, is_output=True)] for k in range(len(bias))], axis=1)


def right_by_hand(model: HookedMLP, outputs: np.ndarray, labels: np.ndarray, decision: str):
    """How many rows are right, all decisions; what is on the line is not."""
    if decision == "round":
        return (np.rint(outputs) == labels).all(1).sum()
    if model.rule.name == "argmax":
        if outputs.shape[1] == 2:
            distance = outputs[:, 1:] - outputs[:, :1]
        else:
            others = [np.delete(outputs, k, 1).max(1) for k in range(outputs.shape[1])]
            distance = outputs - np.stack(others, 1)
    else:
        distance = outputs - model.threshold
    decided = np.where(np.abs(distance) < 1e-9, -1, distance > 0)
    return (decided == labels).all(1).sum()


CASES = [
    ((2, 2, 1), {}, {}),
    ((2, 2, 1), {"act_fn": "tanh"}, {"ablation": "mean"}),
    ((2, 2, 1), {"act_fn": "sigmoid", "loss_fn": "mse"}, {"decision": "round"}),
    ((3, 2, 1), {"act_fn": "gelu"}, {"biases": "drop"}),
    ((1, 3, 1), {}, {"n_noisy": 80, "noise_sd": 0.3}),
    ((2, 2, 2), {"act_fn": "leaky_relu"}, {}),
    ((2, 2, 2), {"decision_rule": "argmax"}, {"ablation": "mean"}),
    ((1, 2, 3), {"decision_rule": "argmax", "act_fn": "tanh"}, {}),
    ((2, 2, 2, 1), {}, {}),
    ((2, 2, 2, 1), {"act_fn": "tanh"}, {"ablation": "mean", "biases": "drop"}),
    ((1, 2, 2, 2), {"input_levels": (-1.0, 1.0)}, {}),
    ((2, 1, 2, 2, 1), {"act_fn": "elu", "out_act_fn": "tanh"}, {"ablation": "mean"}),
    ((1, 2, 1, 1, 2, 1), {"act_fn": "sigmoid"}, {}),
]


@pytest.mark.parametrize("drop_unfed", [True, False])
@pytest.mark.parametrize(("sizes", "settings", "switches"), CASES)
def test_every_mask_against_the_network_edge_by_edge(
    sizes, settings, switches, drop_unfed, monkeypatch
):
    """All masks of small networks of every kind, also in the smallest pieces."""
    convention = Convention(reference="model", **switches)
    model = network(sizes, seed=len(sizes), **settings)
    problem = Problem.of(model, convention=convention)
    edges = list(edges_of(sizes))
    masks = edge_masks(model, convention=convention, drop_unfed=drop_unfed)
    assert (list(masks.edges), len(masks)) == (edges, 2 ** len(edges))
    n_clean = 2 ** sizes[0]
    outputs = outputs_of_edge_masks(
        model, masks.kept(slice(None)), convention=convention, drop_unfed=drop_unfed
    )
    by_hand = []
    for number in range(len(masks)):
        kept = {edge for place, edge in enumerate(edges) if number >> place & 1}
        reached = run_by_edges(model, kept, problem.rows, convention, drop_unfed)
        by_hand.append(right_by_hand(model, reached, problem.labels, convention.decision))
        np.testing.assert_allclose(outputs[number], reached[:n_clean], atol=1e-12)
    assert masks.n_right_rows.tolist() == by_hand
    assert masks.perfect.tolist() == [n == len(problem.rows) for n in by_hand]
    monkeypatch.setattr(_edge_masks, "VALUES_AT_ONCE", 1)
    monkeypatch.setattr(_edge_masks, "MASKS_AT_ONCE", 7)
    in_pieces = edge_masks(model, convention=convention, drop_unfed=drop_unfed)
    assert (in_pieces.n_right_rows == masks.n_right_rows).all()
    assert (in_pieces.is_subcircuit == masks.is_subcircuit).all()
    again = outputs_of_edge_masks(
        model, masks.kept(slice(None)), convention=convention, drop_unfed=drop_unfed
    )
    np.testing.assert_allclose(again, outputs, atol=1e-12)


def test_every_mask_against_hooked_runs():
    """Edges cut by hooks, one mask after the other: nothing is dropped beside the edges."""
    model = network((2, 2, 2, 1), seed=3)
    model.set_use_edge_result(True)
    names = ["blocks.0.hook_edge", "blocks.1.hook_edge", "hook_edge"]
    masks = edge_masks(model, "XOR", drop_unfed=False)
    labels = torch.tensor([0, 1, 1, 0])
    for number in range(0, len(masks), 5):
        kept = masks.kept(number).astype(float)
        shapes = [(2, 2), (2, 2), (1, 2)]
        parts = np.split(kept, [4, 8])
        hooks = [
            (name, lambda value, hook, part=part, shape=shape: value * part.reshape(shape))
            for name, part, shape in zip(names, map(torch.tensor, parts), shapes, strict=True)
        ]
        decided = model.run_with_hooks(model.rows(), fwd_hooks=hooks)[:, 0] > model.threshold
        assert masks.n_right_rows[number] == (decided == labels).sum()


@pytest.mark.parametrize("convention", [None, "meloux_paper", "meloux_code"])
def test_the_subcircuits_among_the_masks(trained, convention):
    """Those that leave no unit unconnected are the subcircuits, and as many of them are perfect."""
    masks = edge_masks(trained, convention=convention)
    search = find_subcircuits(trained, convention=convention)
    assert np.count_nonzero(masks.is_subcircuit) == search.total
    perfect = {masks.mask_of(subcircuit) for subcircuit in search}
    assert set(np.flatnonzero(masks.perfect & masks.is_subcircuit).tolist()) == perfect
    assert len(perfect) == count_perfect_subcircuits(trained, convention=convention)
    if convention == "meloux_code":
        return
    assert len(perfect) == 584
    # XOR needs both inputs, so that a smallest mask leaves nothing unconnected
    minimal = {masks.mask_of(subcircuit) for subcircuit in search.minimal}
    assert set(np.flatnonzero(masks.minimal).tolist()) == minimal


@pytest.mark.parametrize(("sizes", "target"), [((2, 3, 1), "XOR"), ((2, 2, 2), ("AND", "OR"))])
def test_subcircuits_of_other_shapes(sizes, target):
    """One hidden layer, and two outputs."""
    model = network(sizes, seed=5)
    masks = edge_masks(model, convention=Convention(reference="model"))
    search = find_subcircuits(model, convention=Convention(reference="model"))
    assert np.count_nonzero(masks.is_subcircuit) == search.total
    assert {masks.mask_of(one) for one in search} == set(
        np.flatnonzero(masks.perfect & masks.is_subcircuit).tolist()
    )


def test_minimal_masks_by_their_definition():
    """Perfect, and no other perfect mask is inside: every pair is compared."""
    model = network((2, 3, 1), seed=1)
    masks = edge_masks(model, convention=Convention(reference="model"))
    perfect = np.flatnonzero(masks.perfect).tolist()
    minimal = [
        mask
        for mask in perfect
        if not any(other != mask and other & mask == other for other in perfect)
    ]
    assert np.flatnonzero(masks.minimal).tolist() == minimal
    assert 0 < len(minimal) < len(perfect)


def test_the_masks_as_subcircuits_and_tables(trained):
    """Numbers, edges and subcircuits name the same mask; the table adds up."""
    masks = edge_masks(trained)
    for number in np.flatnonzero(masks.is_subcircuit)[::500].tolist():
        subcircuit = masks.subcircuit(number)
        assert masks.mask_of(subcircuit) == number
        kept = masks.kept(number)
        assert subcircuit.edges == tuple(np.array(masks.edges)[kept])
        outputs = outputs_of_edge_masks(trained, kept[None])[0]
        alone = as_network(trained, subcircuit)(trained.rows().double())
        np.testing.assert_allclose(outputs, alone.detach().numpy(), atol=1e-12)
    table = masks.frame()
    assert table["n_masks"].sum() == len(masks) == 2**18
    assert table["n_perfect"].sum() == masks.n_perfect == 2800
    assert table["n_minimal"].sum() == 4
    assert str(masks) == (
        "2,800 of 262,144 sets of edges decide every row right, 4 of them minimal; "
        "the smallest keep 7 edges"
    )
    assert len(masks.kept(masks.perfect)) == 2800
    none = edge_masks(handmade.textbook_xor(), "AND")
    assert str(none).startswith("0 of 64 sets of edges")


def test_masks_that_make_no_sense(trained, monkeypatch):
    """What is asked and cannot be is said, with what to do instead."""
    wide = network((2, 4, 4, 1), seed=0)
    with pytest.raises(XorMiError, match=r"28 edges .* 24 .*; count_perfect_subcircuits counts"):
        edge_masks(wide, "XOR")
    assert outputs_of_edge_masks(wide, np.ones((1, 28))).shape == (1, 4, 1)
    with pytest.raises(XorMiError, match="no target"):
        edge_masks(network((2, 2, 1), seed=0))
    with pytest.raises(XorMiError, match="inputs straight to outputs"):
        edge_masks(HookedMLP(HookedMLPConfig(direct=True)).eval(), "XOR")
    with pytest.raises(XorMiError, match="drop_unfed"):
        edge_masks(trained, drop_unfed=1)  # pyright: ignore[reportArgumentType]
    with monkeypatch.context() as little_memory:
        little_memory.setattr("xor_mi.errors.MOST_BYTES", 2**20)
        with pytest.raises(XorMiError, match="smaller n_noisy"):
            edge_masks(trained, convention=Convention(n_noisy=1000, noise_sd=0.1))
    masks = edge_masks(handmade.textbook_xor())
    for wrong in (64, [-1], [0.5], [[1]], "all"):
        with pytest.raises(XorMiError, match="whole numbers from 0 to 63"):
            masks.kept(wrong)
    with pytest.raises(XorMiError, match="this network is"):
        masks.mask_of(find_subcircuits(trained)[0])
    with pytest.raises(XorMiError, match="kept sources"):
        masks.subcircuit(0b010000)  # an output that reads a unit without inputs
    for wrong in ([1] * 18, np.ones((2, 17)), [["a"] * 18], [[1, 0], [1]]):
        with pytest.raises(XorMiError, match=r"18 edges of \(2, 3, 3, 1\)"):
            outputs_of_edge_masks(trained, wrong)
    with pytest.raises(XorMiError, match="other numbers than 0 and 1"):
        outputs_of_edge_masks(trained, np.full((1, 18), 0.5))
    # drop_unfed and the empty mask: the output's bias is left, whatever the first layer's are
    assert outputs_of_edge_masks(trained, np.zeros((1, 18)))[0, :, 0] == pytest.approx(
        trained.float64_layers()[-1][1].item()
    )


def test_a_subcircuit_of_a_network_is_one_of_its_masks():
    """The order of the bits: layer by layer, by target and then by source."""
    masks = edge_masks(handmade.textbook_xor())
    assert [edge.name for edge in masks.edges] == [
        *("x0->h0.0", "x1->h0.0", "x0->h0.1", "x1->h0.1"),
        *("h0.0->y0", "h0.1->y0"),
    ]
    without_and = Subcircuit((2, 2, 1), (((0, 1), ()), ((0,),)))
    assert masks.mask_of(without_and) == 0b010011


def test_masks_are_named_by_numbers_in_one_line():
    """Lines of different lengths are refused in a sentence; no number is not a mask."""
    masks = edge_masks(handmade.textbook_xor(), progress=False)
    for wrong in ([[1], [1, 2]], [[1, 2]], [0.5], ["a"], 64, -1):
        with pytest.raises(XorMiError, match="give whole numbers from 0 to 63, a slice"):
            masks.kept(wrong)
    for wrong in (slice("a"), slice(0.5), slice(0, 9, 0)):
        with pytest.raises(XorMiError, match="give a slice of whole numbers, whose step"):
            masks.kept(wrong)
    for nothing in ([], (), np.array([]), slice(0, 0), np.zeros(64, dtype=bool)):
        assert masks.kept(nothing).shape == (0, 6)


def test_the_picture_has_the_masks_of_every_size():
    """Of 6 edges all binomials, and of the textbook network the whole alone is perfect."""
    masks = edge_masks(handmade.textbook_xor(), progress=False)
    figure = masks.plot()
    every, perfect = figure.data
    assert list(every.x) == list(perfect.x) == list(range(7))
    assert list(every.y) == [comb(6, n) for n in range(7)]
    assert list(perfect.y) == [0] * 6 + [1]
    assert figure.layout.title.text.replace("<br>", " ") == (
        "1 of 64 sets of edges decides every row right; the smallest keep 6"
    )
    assert figure.layout.xaxis.title.text == "edges kept"
    assert "log" in figure.layout.yaxis.title.text
    # on the log scale one has a bar, and the largest is inside
    low, high = figure.layout.yaxis.range
    assert 10**low < 1 < 20 < 10**high
