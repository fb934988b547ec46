"""Every subcircuit: closed forms against listing, listing against one forward per subcircuit,
counting against listing.
"""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xor_mi import zoo
from xor_mi.errors import XorMiError
from xor_mi.graph import Subcircuit
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import (
    Convention,
    count_perfect_subcircuits,
    count_subcircuits,
    find_subcircuits,
)
from xor_mi.search import _subcircuits as subcircuits
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user


def all_subcircuits(sizes):
    """Every choice of kept sources, straight from the definition: nobody kept is unread or reads
    nothing.
    """
    options = [
        list(
            product([tuple(i for i in range(a) if mask >> i & 1) for mask in range(2**a)], repeat=b)
        )
        for a, b in pairwise(sizes)
    ]
    for sources in product(*options):
        read = [{i for kept in layer for i in kept} for layer in sources]
        alive = [set(range(sizes[0]))] + [
            {j for j, kept in enumerate(layer) if kept} for layer in sources
        ]
        if all(read[k] == alive[k] for k in range(len(sources))) and len(alive[-1]) == sizes[-1]:
            yield Subcircuit(tuple(sizes), sources)


def masked(model, part, ablation="zero"):
    """The network with everything else removed: dropped edges carry nothing, or their source's
    mean, which moves into the bias.
    """
    _, cache = model.run_with_cache(model.rows(), return_cache_object=False)
    hooks = ["hook_embed"] + [f"blocks.{k}.mlp.hook_post" for k in range(model.cfg.n_layers)]
    layers = []
    for number, (weight, bias) in enumerate(model.float64_layers()):
        kept = torch.zeros_like(weight)
        for j, indices in enumerate(part.sources[number]):
            kept[j, list(indices)] = 1
        means = cache[hooks[number]].double().mean(0)
        layers.append(
            (weight * kept, bias + (weight * (1 - kept)) @ means if ablation == "mean" else bias)
        )
    return model.with_weights(layers, dtype=torch.float64)


def strong(sizes, seed, **kwargs):
    """A network whose weights are large enough that rows differ."""
    model = HookedMLP(
        HookedMLPConfig(
            sizes[0], tuple(sizes[1:-1]), sizes[-1], seed=seed, dtype=torch.float64, **kwargs
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


def deciding(sizes, act):
    """The first network whose own decisions tell rows apart, and these as the target."""
    for seed in range(100):
        model = strong(sizes, seed, act_fn=act)
        decided = (model(model.rows()) > model.threshold).long().T
        if all(len(set(table)) == 2 for table in decided.tolist()):
            return model, BooleanFunction(sizes[0], tuple(map(tuple, decided.tolist())))
    raise AssertionError("no such network")


@pytest.mark.parametrize(
    "sizes",
    [
        (2, 1, 1),
        (2, 2, 1),
        (2, 3, 1),
        (3, 2, 1),
        (1, 2, 1),
        (2, 2, 2),
        (2, 2, 2, 1),
        (2, 1, 2, 1),
        (2, 2, 1, 2),
    ],
)
def test_the_closed_form_is_the_number_listed(sizes):
    """Counted, listed from the definition, and walked by the search: three times the same."""
    listed = list(all_subcircuits(sizes))
    model = HookedMLP(HookedMLPConfig(sizes[0], sizes[1:-1], sizes[-1], seed=1))
    assert (
        len(set(listed))
        == len(listed)
        == count_subcircuits(sizes)
        == find_subcircuits(model, convention=Convention(reference="model")).total
    )


@pytest.mark.unchecked
def test_published_counts():
    """2-h-1 for h = 1 to 5, and the deeper shapes whose numbers are known."""
    assert [count_subcircuits((2, h, 1)) for h in range(1, 6)] == [1, 9, 49, 225, 961]
    deeper = {
        (2, 2, 2, 1): 69,
        (2, 3, 3, 1): 9_625,
        (2, 4, 4, 1): 4_346_385,
        (2, 5, 5, 1): 7_271_931_361,
    }
    assert {sizes: count_subcircuits(sizes) for sizes in deeper} == deeper
    with pytest.raises(XorMiError, match="are not layer sizes"):
        count_subcircuits((2, 1))


def test_textbook(textbook):
    """Nine subcircuits, one perfect: the whole network; none if the mask that keeps every unit does
    not count.
    """
    found = find_subcircuits(textbook)
    assert (found.total, found.n_perfect) == (9, 1)
    assert [len(part.edges) for part in found] == [6]
    assert found.minimal == tuple(found)
    assert found.n_by_edges == {3: (2, 0), 4: (2, 0), 5: (4, 0), 6: (1, 1)}
    without = find_subcircuits(textbook, convention=Convention(all_units=False))
    assert (without.total, without.n_perfect) == (2, 0)


@pytest.mark.parametrize(
    ("sizes", "act"),
    [((2, 3, 1), "relu"), ((2, 2, 2, 1), "tanh"), ((2, 2, 2), "tanh"), ((3, 2, 1), "leaky_relu")],
)
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_against_one_forward_per_subcircuit(sizes, act, ablation):
    """Every subcircuit run as a network of its own: the same ones are perfect, and the minimal ones
    contain no other.
    """
    model, target = deciding(sizes, act)
    goal = torch.tensor(target.tables).T
    naive = {
        p
        for p in all_subcircuits(sizes)
        if torch.equal((masked(model, p, ablation)(model.rows()) > model.threshold).long(), goal)
    }
    found = find_subcircuits(model, target, convention=Convention(ablation=ablation))
    assert set(found) == naive
    assert set(found.minimal) == {p for p in naive if not any(q <= p and q != p for q in naive)}
    assert 0 < len(naive) < found.total, "not vacuous"


conventions = st.builds(
    Convention,
    ablation=st.sampled_from(["zero", "mean"]),
    biases=st.sampled_from(["keep", "drop"]),
    all_units=st.booleans(),
    decision=st.sampled_from(["threshold", "round"]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(2, 2, 1), (2, 4, 1), (3, 3, 1), (2, 2, 2, 1), (2, 3, 3, 1), (2, 2, 4, 1)]),
    st.sampled_from(["relu", "tanh", "leaky_relu", "sigmoid"]),
    st.sampled_from(["identity", "leaky_relu", "sigmoid"]),
    st.sampled_from(["x0", "x0 & x1", "x0 | x1", "x0 ^ x1"]),
    st.integers(0, 1000),
    conventions,
)
def test_counting_equals_listing(sizes, act, out_act, formula, seed, convention):
    """Without a list, the same number of perfect ones, whatever the convention."""
    model = strong(sizes, seed, act_fn=act, out_act_fn=out_act)
    target = BooleanFunction.from_formula(formula, n_inputs=sizes[0])
    assert (
        count_perfect_subcircuits(model, target, convention=convention)
        == find_subcircuits(model, target, convention=convention).n_perfect
    )


@pytest.mark.parametrize("target", ["TRUE", "FALSE", "x0 & x1", "x1"])
@pytest.mark.parametrize("sizes", [(2, 2, 1), (2, 2, 2, 1)])
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_an_output_that_reads_nothing_is_no_subcircuit(target, sizes, ablation):
    """Where the bias alone is right on every row, the empty circuit is not counted: counting,
    listing and one network each agree.
    """
    model, goal = strong(sizes, 3, act_fn="relu"), BooleanFunction.of(target)
    if target in ("TRUE", "FALSE"):
        with torch.no_grad():
            model.linears[-1].bias.fill_(9.0 if target == "TRUE" else -9.0)
    convention, labels = Convention(ablation=ablation), torch.tensor(goal.tables).T
    naive = sum(
        torch.equal((masked(model, p, ablation)(model.rows()) > 0).long(), labels)
        for p in all_subcircuits(sizes)
    )
    assert (
        count_perfect_subcircuits(model, goal, convention=convention)
        == find_subcircuits(model, goal, convention=convention).n_perfect
        == naive
    )
    assert naive > 0 or target in ("x0 & x1", "x1")


def test_a_wide_layer_is_walked_in_slices(monkeypatch):
    """The same subcircuits however few choices are looked at together, and memory that does not
    grow with their number.
    """
    model = strong((2, 6, 1), 1, act_fn="tanh")
    whole = find_subcircuits(model, "x0")
    monkeypatch.setattr(subcircuits, "CHOICES_AT_ONCE", 100)
    sliced = find_subcircuits(model, "x0")
    assert (sliced.total, sliced.n_by_edges) == (whole.total, whole.n_by_edges)
    assert set(sliced) == set(whole)


@pytest.mark.unchecked
def test_presets_by_name_and_switches_of_the_wrong_kind():
    """A preset's name will do; a switch that is not a bool or number is refused."""
    assert Convention.of("meloux_code") == Convention.meloux_code()
    for switches, message in (
        ({"all_units": "no"}, "all_units is 'no'; give True or False"),
        ({"n_noisy": 1.5, "noise_sd": 0.1}, "n_noisy must be a whole number of at least 0"),
        ({"noise_sd": "a"}, "noise_sd is 'a'; give a finite number of at least 0"),
        ({"margin": None}, "margin is None; give a finite number of at least 0"),
        ({"noise_seed": -1}, "noise_seed must be a whole number of at least 0"),
        ({"ablation": "median"}, "no ablation convention 'median'; choices are: zero, mean"),
        ({"enumeration": ["free"]}, "no enumeration convention"),
    ):
        with pytest.raises(XorMiError, match=message):
            Convention(**switches)
    with pytest.raises(XorMiError, match="no convention 'meloux'"):
        Convention.of("meloux")
    for sizes in ((2, 2.5, 1), "221", 5, (2, 2)):
        with pytest.raises(XorMiError, match="are not layer sizes"):
            count_subcircuits(sizes)


def test_counting_is_not_vacuous():
    """A trained network has many perfect subcircuits, and both ways find as many."""
    model, target = deciding((2, 3, 3, 1), "tanh")
    found = find_subcircuits(model, target)
    assert 100 < found.n_perfect < found.total
    assert count_perfect_subcircuits(model, target) == found.n_perfect
    assert sum(right for _, right in found.n_by_edges.values()) == found.n_perfect
    assert sum(n for n, _ in found.n_by_edges.values()) == found.total == 9625


def test_noisy_rows_are_rows_too(textbook):
    """With noise too small to matter nothing changes; with much, the perfect one is gone."""
    for sd, expected in ((1e-6, 1), (5.0, 0)):
        convention = Convention(noise_sd=sd, n_noisy=20)
        assert find_subcircuits(textbook, convention=convention).n_perfect == expected
        assert count_perfect_subcircuits(textbook, convention=convention) == expected


def test_the_reference_may_be_the_whole_network():
    """Held against its own decisions the whole network is always perfect, also where it does not do
    its task.
    """
    model = zoo.load("unsolved")
    assert find_subcircuits(model).n_perfect == 0
    whole = Subcircuit((2, 2, 1), (((0, 1), (0, 1)), ((0, 1),)))
    assert whole in set(find_subcircuits(model, convention=Convention(reference="model")))


def test_rounding_is_stricter_than_a_threshold():
    """An output of 2 is above 0.5 and does not round to 1; 0.5 itself rounds to 0."""
    model = HookedMLP.from_weights(
        [([[1, 0], [0, 1]], [0, 0]), ([[2, 0]], [0])], decision_threshold=0.5
    )
    assert find_subcircuits(model, "x0").n_perfect > 0
    assert find_subcircuits(model, "x0", convention=Convention(decision="round")).n_perfect == 0
    half = HookedMLP.from_weights(
        [([[1, 0], [0, 1]], [0, 0]), ([[0.5, 0]], [0.5])], decision_threshold=0.4
    )
    assert find_subcircuits(half, "x0", convention=Convention(decision="round")).n_perfect > 0


@pytest.mark.unchecked
def test_bad_requests_are_refused(textbook, deep):
    """No target, too many to list, shapes that cannot be counted, conventions that do not exist."""
    with pytest.raises(XorMiError, match="this network has no target"):
        find_subcircuits(HookedMLP())
    with pytest.raises(XorMiError, match="the target has 1 output; the network has 2"):
        find_subcircuits(deep, "x0 & x1")
    with pytest.raises(
        XorMiError,
        match="7,271,931,361 subcircuits are more than the .* count_perfect_subcircuits counts them",
    ):
        find_subcircuits(HookedMLP(HookedMLPConfig(2, (5, 5), target="XOR")))
    with pytest.raises(XorMiError, match="no ablation convention 'median'"):
        Convention(ablation="median")
    with pytest.raises(XorMiError, match="give both for noisy rows"):
        Convention(noise_sd=0.1)
    with pytest.raises(XorMiError, match="cannot be undone"):
        count_perfect_subcircuits(strong((2, 2, 1), 0, out_act_fn="gelu"), "x0")
    with pytest.raises(IndexError):
        find_subcircuits(textbook)[1]


def test_the_presets_say_what_they_change():
    """The paper's definitions and the released code differ, and each says how."""
    assert Convention().describe() == "default"
    assert (
        Convention.meloux_paper().describe()
        == "constants=False, ban_parity=True, enumeration='ordered'"
    )
    assert "all_units=False" in Convention.meloux_code().describe()
    assert Convention.meloux_paper() != Convention.meloux_code()


def test_a_subcircuit_has_units_edges_and_an_order():
    """Units and edges by name, sparsity as a fraction of all edges, inclusion."""
    whole = Subcircuit((2, 2, 1), (((0, 1), (0, 1)), ((0, 1),)))
    part = Subcircuit((2, 2, 1), (((0, 1), ()), ((0,),)))
    assert [unit.name for unit in part.units] == ["h0.0"]
    assert [edge.name for edge in part.edges] == ["x0->h0.0", "x1->h0.0", "h0.0->y0"]
    assert (whole.edge_sparsity, part.edge_sparsity) == (0, 0.5)
    assert part <= whole
    assert not whole <= part
    assert np.all([whole <= whole, part <= part])
