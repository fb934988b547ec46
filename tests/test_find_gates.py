"""Units that act as gates of a model's features: against one input at a time, against the proof of
`identify_circuit`, and on a transformer that was trained to compute XOR.
"""

import re
from collections import Counter
from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
import pytest
import torch
from find_gates import AT_ONCE, SHAPES, compared
from solved import solved_networks
from transformer_lens import HookedRootModule
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from xor_mi import HookedMLP, HookedMLPConfig, Site, XorMiError, find_gates, metrics, zoo
from xor_mi.gate_scan import FoundGates, ModelDecisions, scan_gates
from xor_mi.gate_scan._acting import runs_of

pytestmark = pytest.mark.as_a_user

POST = "blocks.0.mlp.hook_post"
ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
COLUMNS = [
    "hook", "index", "site", "gate", "formula", "table", "margin", "p_value", "n_runs",
    "n_other_bit", "n_flips", "interchange_accuracy", "control_accuracy", "decided_at_0", "decided_at_1", "verdict",
    "n_units", "is_group", "in_necessary_sets", "in_sufficient_sets",
]  # fmt: skip


def verdicts(found: FoundGates) -> dict[tuple[str, str], str]:
    """(Unit or group, gate) -> verdict."""
    return {(one.name, one.gate): one.verdict for one in found.found}


# a slow twin: one input at a time, plain Python


def decision_with(model, base, sites, source, decide):
    """What is decided on one input when these sites are as on another one."""
    _, cache = model.run_with_cache(source[None])
    hooks = []
    for site in sites:

        def write(value, hook, site=site):
            value = value.clone()
            value[(0, *site.index)] = cache[site.hook_name][(0, *site.index)]
            return value

        hooks.append((site.hook_name, write))
    return int(decide(model.run_with_hooks(base[None], fwd_hooks=hooks))[0])


def by_hand(model, inputs, rows, line, decide, bits=None):
    """Flips and right runs of one line, with the best fitting decision F(x, v)."""
    n = len(inputs)
    own = [int(decide(model(one[None]))[0]) for one in inputs]
    gate = [line.table[int(row, 2)] for row in rows]
    of_source = gate if bits is None else bits
    n_flips = n_right = 0
    others: dict[str, Counter[int]] = {}
    for base, source in permutations(range(n), 2):
        after = decision_with(model, inputs[base], line.sites, inputs[source], decide)
        n_flips += after != own[base]
        if of_source[source] == gate[base]:
            n_right += after == own[base]
        else:
            others.setdefault(rows[base], Counter())[after] += 1
    return n_flips, n_right + sum(max(counts.values()) for counts in others.values())


def control_by_hand(model, inputs, rows, line, decide):
    """The mean share of right runs with the sources' bits on other inputs, in every way."""
    n = len(inputs)
    n_ones = sum(line.table[int(row, 2)] == "1" for row in rows)
    shares = []
    for ones in combinations(range(n), n_ones):
        bits = ["01"[number in ones] for number in range(n)]
        _, n_right = by_hand(model, inputs, rows, line, decide, bits)
        shares.append(n_right / (n * (n - 1)))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("seed", range(4))
def test_every_number_equals_that_of_one_input_at_a_time(seed):
    """Of random networks: flips, accuracy, control and verdict of every unit and group; and a unit
    that is used acts as one gate at most.
    """
    model = HookedMLP(HookedMLPConfig(d_hidden=(5,), seed=seed)).eval()
    with torch.no_grad():
        cut = model(model.rows()).sort(dim=0).values[1:3].mean()
        model.linears[-1].bias -= cut
    found = find_gates(model, progress=False)
    rows = ["00", "01", "10", "11"]
    assert found.found

    def decide(outputs):
        return model.rule.decide(outputs)[:, 0]

    for line in found.found:
        n_flips, n_right = by_hand(model, model.rows(), rows, line, decide)
        assert (line.n_runs, line.n_flips) == (12, n_flips)
        assert line.interchange_accuracy == pytest.approx(n_right / 12)
        verdict = "carries it, not used" if not n_flips else "partly" if n_right < 12 else "acts"
        assert line.verdict == verdict
    line = max(found.found, key=lambda line: line.n_flips)
    control = control_by_hand(model, model.rows(), rows, line, decide)
    assert line.control_accuracy == pytest.approx(control)
    acting = Counter(line.name for line in found.units if line.verdict == "acts")
    assert all(n == 1 for n in acting.values())


def test_the_textbook_network(textbook):
    """OR and AND act, the other cut of the first unit does not; all of it is exhaustive, and says
    so; both units are needed.
    """
    found = find_gates(textbook, progress=False)
    frame = found.frame()
    assert list(frame) == COLUMNS
    assert verdicts(found) == {
        ("h0.0", "OR"): "acts",
        ("h0.0", "AND"): "partly",
        ("h0.1", "AND"): "acts",
    }
    # of base 00 every source with OR = 1 flips, of 01 and 10 those with OR = 0, of 11 none
    assert frame["n_flips"].tolist() == [5, 5, 5]
    assert frame["p_value"].isna().all()
    first, _, second = found.found
    assert (first.decided_at_0, first.decided_at_1) == ("FALSE", "~x0 | ~x1")
    assert (second.decided_at_0, second.decided_at_1) == ("x0 | x1", "FALSE")
    assert found.is_every_pair
    assert not found.has_p_values
    assert found.acting_as("NOR")[["site", "polarity"]].to_numpy().tolist() == [["h0.0", -1]]
    assert found.acting_as("NOR", up_to_complement=False).empty
    assert found.acting_as("x0 & x1")["site"].tolist() == ["h0.1"]
    first, second = (textbook.hook_site(name) for name in ("h0.0", "h0.1"))
    assert found.necessary_sets == ((Site(*first),), (Site(*second),))
    assert found.sufficient_sets == ((Site(*first), Site(*second)),)
    text = str(found)
    assert text.startswith("h0.0 acts as OR (5 of 12 interchanges change the decision); h0.1 acts")
    assert "Exhaustive: every ordered pair of all 4 inputs was run." in text
    assert "The model decides XOR (x0 ^ x1)." in text
    assert "With these inputs no p-value can be below" in text


@pytest.mark.parametrize(("act_fn", "hidden"), [SHAPES[1], SHAPES[5]])
def test_agreement_with_the_proof_of_a_circuit(act_fn, hidden):
    """On trained networks no unit is said to act otherwise than in the one circuit that is proved;
    `python benchmarks/find_gates.py` asks 300 of them.
    """
    told = sum(map(compared, solved_networks(act_fn, hidden, 4, at_once=AT_ONCE)), Counter())
    assert told["CONTRADICTED"] == 0
    assert told["acts as its gate"] > 0


# a transformer that computes XOR


@pytest.fixture(scope="module")
def transformer() -> TransformerBridge:
    """One layer, two heads, eight neurons, trained on [a, b, "="]."""
    cfg = TransformerBridgeConfig(
        n_layers=1, n_heads=2, d_model=8, d_head=4, d_mlp=8, n_ctx=3, d_vocab=3, act_fn="relu",
        normalization_type=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = TransformerBridge.boot_native(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(120):
        loss = torch.nn.functional.cross_entropy(model(TOKENS)[:, -1, :2], XOR)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval().requires_grad_(False)


TOKENS = torch.tensor([[a, b, 2] for a in (0, 1) for b in (0, 1)])
BITS = {"a": TOKENS[:, 0], "b": TOKENS[:, 1]}
XOR = TOKENS[:, 0] ^ TOKENS[:, 1]
NEURONS = Site(POST, (2,))
DECIDE = metrics.by_tokens(1, 0)


def test_groups_are_named_by_the_labels_of_their_sites_once(transformer):
    """A unit of a labelled site by its index inside; a group of one site in short, and of several
    by all of their labels. What is called otherwise is the same.
    """
    whole = Site(POST, (2,), label="the end")
    each = [Site(POST, (2, number), label=f"N{number}") for number in range(8)]
    neurons = [Site(POST, (None, number), label=f"N{number}") for number in range(8)]
    unlabelled, of_whole, of_each, of_neurons = [
        find_gates(transformer, TOKENS, BITS, places, decide=DECIDE, progress=False)
        for places in (NEURONS, whole, each, neurons)
    ]
    for group, in_whole, in_each in zip(
        unlabelled.groups, of_whole.groups, of_each.groups, strict=True
    ):
        numbers = group.index[-1]
        assert isinstance(numbers, tuple)
        assert group.name == f"{POST}[2, {list(numbers)}]"
        assert in_whole.name == f"the end[{list(numbers)}]"
        assert in_each.name == " + ".join(f"N{number}" for number in numbers)
    sets = [name for name in of_each.frame()["in_sufficient_sets"] if name]
    assert any(name.count(" + ") >= 3 for name in sets)
    assert "more" not in " ".join(sets)
    assert {one.name for one in of_neurons.units} >= {
        f"N{one.index[-1]}[2]" for one in of_each.units
    }


def test_groups_of_neurons_of_a_trained_transformer(transformer):
    """OR neurons together act as OR, AND neurons together as AND; one input at a time the decision
    is the OR that is written, and not the AND of the base.
    """
    assert DECIDE(transformer(TOKENS)).tolist() == XOR.tolist()
    found = find_gates(transformer, TOKENS, BITS, NEURONS, decide=DECIDE, progress=False)
    assert (found.decided.gate, found.decided.n_unlike) == ("XOR", 0)
    groups = {one.gate: one for one in found.groups}
    assert {gate: one.verdict for gate, one in groups.items()} == {"OR": "acts", "AND": "acts"}
    for group in groups.values():
        assert group.is_group
        assert {site.index[0] for site in group.sites} == {2}
        assert group.name == f"{POST}[2, {list(group.index[-1])}]"
        n_flips, n_right = by_hand(transformer, TOKENS, ["00", "01", "10", "11"], group, DECIDE)
        assert (group.n_flips, n_right) == (n_flips, 12)
    # as the algorithm has it: OR of the source, and not AND of the base
    assert (groups["OR"].decided_at_0, groups["OR"].decided_at_1) == ("FALSE", "~a | ~b")
    for base, source in permutations(range(4), 2):
        a, b = TOKENS[base, :2].tolist()
        either = int(TOKENS[source, :2].sum() > 0)
        sites = groups["OR"].sites
        after = decision_with(transformer, TOKENS[base], sites, TOKENS[source], DECIDE)
        assert after == (either and not (a & b))
    frame = found.acting_as("OR")
    assert frame.loc[frame["is_group"], "polarity"].tolist() == [1]
    assert (frame["polarity"][~frame["is_group"]] == -1).any(), "NOR neurons are OR's complement"
    # a notebook's cell has those that act first
    first = [one.verdict for one in found.found if one.verdict == "acts"]
    texts = re.findall(r"<td[^>]*>([^<]*)</td></tr>", found._repr_html_())
    assert texts[: len(first)] == first
    assert not set(texts[len(first) :]) & {"acts"}
    # with how often a decision changes, and no accuracy where none does
    for one in found.found:
        line = one.shown_line()
        assert line["flips"] == f"{one.n_flips} of 12"
        assert np.isnan([line["interchange_accuracy"], line["control_accuracy"]]).all() == (
            one.n_flips == 0
        )
    page = found._repr_html_()
    assert all(f">{name}</th>" in page for name in ("flips", "necessary", "sufficient"))
    # and its index is text, so that a baseline may hold the table
    assert frame["index"].map(type).eq(str).all()


def test_heads_of_a_transformer_without_an_mlp():
    """In the zoo's one, which is attention alone, the entries of one head together act as OR and
    those of the other as AND, as its algorithm has it.
    """
    task = zoo.transformer_task()
    found = find_gates(
        zoo.load_transformer("xor-attention"), task.inputs, task.features,
        Site("blocks.0.attn.hook_z", (2,)), decide=task.decide, progress=False,
    )  # fmt: skip
    acting = {(one.gate, one.decided_at_0, one.decided_at_1) for one in found.groups}
    assert acting == {("OR", "FALSE", "~a | ~b"), ("AND", "a | b", "FALSE")}
    assert [one.verdict for one in found.groups] == ["acts", "acts"]
    assert {one.index[:2] for one in found.groups} == {(2, 0), (2, 1)}
    assert all(one.verdict != "acts" for one in found.units), "no entry of a head alone"


def test_bounds_of_a_forward_change_nothing(transformer):
    """One input at a time gives the same table and the same sets."""
    found = find_gates(transformer, TOKENS, BITS, NEURONS, decide=DECIDE, progress=False)
    slowly = find_gates(
        transformer, TOKENS, BITS, NEURONS, decide=DECIDE, max_batch_bytes=1, progress=False
    )
    pd.testing.assert_frame_equal(found.frame(), slowly.frame())
    assert found.necessary_sets == slowly.necessary_sets
    assert found.sufficient_sets == slowly.sufficient_sets


# models written by hand


class Own(HookedRootModule):
    """Units that are functions of [a, b, noise], and a readout of some of them."""

    def __init__(self, units, readout):
        super().__init__()
        self.units, self.readout, self.hook_units = units, readout, HookPoint()
        self.setup()
        self.eval()

    def forward(self, x, shift=0.0):
        """[batch, 3] -> [batch, 1]"""
        units = torch.stack([unit(*x.unbind(1)) for unit in self.units], dim=1)
        return self.readout(self.hook_units(units + shift))[:, None]


def noisy(n=40):
    """Inputs [a, b, noise] and their two features."""
    bits = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(n // 4, 1)
    noise = torch.rand(n, 1, generator=torch.Generator().manual_seed(0))
    return torch.cat([bits, noise], dim=1), {"a": bits[:, 0], "b": bits[:, 1]}


def either(a, b, noise):
    """OR, with noise on top."""
    return torch.maximum(a, b) + 0.2 * noise


def both(a, b, noise):
    """AND, with noise on top."""
    return a * b + 0.2 * noise


def nothing(a, b, noise):
    """Noise."""
    return noise


def test_noisy_inputs_have_p_values_and_pairs_are_sampled():
    """Of a unit that is read, one that is not, and one of noise: the first acts, the second carries
    its gate, the third is not a candidate; said of a sample as of all pairs.
    """
    model = Own([either, both, nothing], lambda units: units[:, 0] - 0.5)
    inputs, features = noisy()
    settings = {"decide": metrics.by_threshold(), "progress": False}
    found = find_gates(model, inputs, features, "hook_units", **settings)
    assert verdicts(found) == {
        ("hook_units[0]", "OR"): "acts",
        ("hook_units[1]", "AND"): "carries it, not used",
    }
    frame = found.frame()
    assert (frame["p_value"] <= 0.01).all()
    assert (found.n_runs, found.is_every_pair) == (40 * 39, True)
    # a third of the decisions goes the other way where the bits differ, 30 x 10 in both directions
    assert frame["n_flips"].tolist() == [600, 0]
    assert frame["control_accuracy"][0] < 0.8
    assert frame["control_accuracy"][1] == 1
    assert "not corrected for the 3 units that were read" in str(found)
    few = find_gates(model, inputs, features, "hook_units", n_pairs=100, seed=3, **settings)
    assert (few.n_runs, few.is_every_pair) == (100, False)
    assert verdicts(few) == verdicts(found)
    assert "Sampled: 100 of 1,560 ordered pairs were run, seed 3." in str(few)
    again = find_gates(model, inputs, features, "hook_units", n_pairs=100, seed=3, **settings)
    pd.testing.assert_frame_equal(few.frame(), again.frame())


def rare(n=300):
    """Inputs and features of which only the first has both bits."""
    bits = torch.tensor([[0, 0], [0, 1], [1, 0]]).repeat(n // 3, 1)
    bits[0] = 1
    noise = torch.rand(n, 1, generator=torch.Generator().manual_seed(0))
    return torch.cat([bits, noise], dim=1), {"a": bits[:, 0], "b": bits[:, 1]}


@pytest.mark.parametrize("seed", range(3))
def test_a_gate_that_is_one_on_a_single_input_is_tried(seed):
    """OR minus AND is XOR, and one input in 300 has AND: among the pairs drawn it is often enough
    the source. The recorded flips are those of one run after another.
    """
    model = Own([either, both], lambda units: units[:, 0] - units[:, 1] - 0.5)
    inputs, features = rare()
    decide = metrics.by_threshold()
    where = {"hooks": "hook_units", "decide": decide, "seed": seed, "progress": False}
    found = find_gates(model, inputs, features, n_pairs=60, **where)
    assert verdicts(found)["hook_units[1]", "AND"] == "acts"
    assert not found.is_every_pair
    line = next(one for one in found.units if one.gate == "AND")
    bits = [int(a and b) for a, b in zip(*features.values(), strict=True)]
    rows = 2 * features["a"] + features["b"]
    runs = runs_of(rows, 60, seed)
    pairs = list(zip(runs.base.tolist(), runs.source.tolist(), strict=True))
    assert len(set(pairs)) == 60 == line.n_runs
    # 16 pairs of combinations, but for the single input with itself: 4 each
    kinds = Counter((rows[base].item(), rows[source].item()) for base, source in pairs)
    assert (len(kinds), set(kinds.values())) == (15, {4})
    assert line.n_other_bit == sum(bits[base] != bits[source] for base, source in pairs) == 24
    own = decide(model(inputs)).tolist()
    assert line.n_flips == sum(
        decision_with(model, inputs[base], line.sites, inputs[source], decide) != own[base]
        for base, source in pairs
    )


def test_pairs_that_do_not_try_a_gate_say_nothing_of_it():
    """Of few pairs: a unit that is used is never said to be carried without use, and one that no
    pair tried has no accuracy.
    """
    model = Own([either, both], lambda units: units[:, 0] - units[:, 1] - 0.5)
    inputs, features = noisy()
    told: Counter[str] = Counter()
    for seed, n_pairs in product(range(6), (1, 3)):
        found = find_gates(
            model, inputs, features, "hook_units", n_pairs=n_pairs, decide=metrics.by_threshold(),
            n_permutations=100, seed=seed, progress=False,
        )  # fmt: skip
        for line in found.units:
            told[line.verdict] += 1
            is_open = line.verdict == "too few pairs"
            assert np.isnan([line.interchange_accuracy, line.control_accuracy]).all() == is_open
            assert line.n_flips or is_open
        assert ("too few pairs to tell" in str(found)) == any(
            line.verdict == "too few pairs" for line in found.found
        )
    assert told["carries it, not used"] == 0 < told["too few pairs"]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (5, 1, 1), (3, 4, 2), (1,) * 9])
def test_pairs_are_drawn_evenly_over_the_combinations(sizes):
    """Of every number of pairs: no pair twice, none of an input with itself, and a kind of pair has
    fewer than another only where it has no more.
    """
    combination = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    n = len(combination)
    possible = Counter(
        (combination[a].item(), combination[b].item()) for a, b in permutations(range(n), 2)
    )
    for n_pairs in range(1, n * (n - 1)):
        runs = runs_of(combination, n_pairs, seed=n_pairs)
        pairs = list(zip(runs.base.tolist(), runs.source.tolist(), strict=True))
        assert len(set(pairs)) == n_pairs
        assert all(base != source for base, source in pairs)
        drawn = Counter((combination[a].item(), combination[b].item()) for a, b in pairs)
        most = max(drawn.values())
        assert all(drawn[kind] >= min(most - 1, possible[kind]) for kind in possible)


def test_units_of_a_group_with_the_opposite_sign_are_named():
    """An OR and a NOR make up each other: together they act as OR, and the sentence says which of
    them is larger where it is 0; both or all are not listed one by one.
    """
    inputs, features = noisy()

    def neither(*values):
        return 2 - either(*values)

    for units, said in (([either, neither], "hook_units[1]"), ([neither] * 2, "each unit")):
        sign = 1 if units[0] is either else -1
        model = Own(units, lambda units, sign=sign: sign * units[:, 0] - units[:, 1] + 2 - sign)
        found = find_gates(
            model, inputs, features, "hook_units", decide=metrics.by_threshold(), progress=False
        )
        (group,) = found.groups
        assert (group.gate, group.verdict) == ("OR", "acts")
        assert f"act as OR, {said} with the opposite sign (" in str(found)


def test_a_unit_that_is_used_otherwise_acts_partly():
    """A readout of the noise in an OR unit changes decisions, but not by the gate; with a smaller
    `min_accuracy` it may count.
    """
    model = Own([either], lambda units: (units[:, 0] - 1.1) * (units[:, 0] > 0.5) + 0.01)
    inputs, features = noisy()
    settings = {"decide": metrics.by_threshold(), "progress": False}
    (line,) = find_gates(model, inputs, features, "hook_units", **settings).found
    assert line.verdict == "partly"
    assert 0.3 < line.interchange_accuracy < 1
    (line,) = find_gates(model, inputs, features, "hook_units", min_accuracy=0.3, **settings).found
    assert line.verdict == "acts"


def test_decisions_that_are_no_function_of_the_features_are_counted():
    """A decision by the noise: how many inputs are not decided like most of their combination."""
    model = Own([either, nothing], lambda units: units[:, 0] - 0.5 + 2 * (units[:, 1] > 0.6))
    inputs, features = noisy()
    found = find_gates(
        model, inputs, features, "hook_units", decide=metrics.by_threshold(), progress=False
    )
    n_unlike = int(((inputs[:, 2] > 0.6) & (inputs[:, :2].sum(1) == 0)).sum())
    assert n_unlike == found.decided.n_unlike > 0
    assert found.decided.gate == "OR"
    assert f"{n_unlike} of 40 inputs are not decided like most" in str(found)


def test_combinations_without_a_majority_are_open():
    """Of a feature that says nothing half of the inputs are decided each way: no gate is named."""
    model = HookedMLP.from_weights([([[1.0, 0], [0, 1]], [0.0, 0]), ([[1.0, 0]], [-0.5])])
    found = find_gates(model, features={"b": [0, 1, 0, 1]}, progress=False)
    assert found.decided == ModelDecisions(gate="--", formula="--", table="--", n_unlike=2)
    assert "2 of 4 inputs are not decided like most of their combination. " in str(found)
    assert "By most inputs, the model decides neither 0 nor 1 on 0, 1 (b)." in str(found)
    on_it = HookedMLP.from_weights([([[1.0, 0], [0, 1]], [0.0, 0]), ([[0.0, 0]], [0.0])])
    nowhere = find_gates(on_it, progress=False)
    assert (nowhere.decided.table, nowhere.decided.n_unlike) == ("----", 0), "undecided everywhere"
    assert "The model decides neither 0 nor 1 on 00, 01, 10, 11 (x0, x1)." in str(nowhere)


def test_inputs_between_the_levels_need_features(textbook):
    """Noisy inputs of a network stand for no bits; the message says what to give."""
    with pytest.raises(
        XorMiError, match="neither of the network's levels 0 and 1, .*give features="
    ):
        find_gates(textbook, torch.tensor([[0.5, 1.0], [0, 1]]))


def test_edges_go_by_their_names(textbook):
    """A weight's term is a unit like any other, and is exchanged alone."""
    found = find_gates(textbook, hooks=["x0->h0.1", "y0"], progress=False)
    assert verdicts(found) == {("x0->h0.1", "x0"): "acts", ("y0", "XOR"): "acts"}


def test_units_go_by_the_labels_of_their_sites(textbook):
    """In the table, the sentence, the sets and the scan; of several units each has its index too;
    all else is as without labels.
    """
    post = "blocks.0.mlp.hook_post"
    plain = find_gates(textbook, progress=False)
    single = [Site(post, (0,), "any input"), Site(post, (1,), "both inputs")]
    for hooks, names in (
        (single, ["any input", "both inputs"]),
        (Site(post, label="layer"), ["layer[0]", "layer[1]"]),
        ([single[0], Site(post, label="layer")], ["any input", "layer[1]"]),
        (post, ["h0.0", "h0.1"]),
    ):
        together = "layer[[0, 1]]" if names[0] == "layer[0]" else " + ".join(names)
        found = find_gates(textbook, hooks=hooks, progress=False)
        frame = found.frame()
        assert frame["site"].tolist() == [names[0], names[0], names[1]]
        named = ["site", "in_necessary_sets", "in_sufficient_sets"]
        pd.testing.assert_frame_equal(frame.drop(columns=named), plain.frame().drop(columns=named))
        assert frame["in_sufficient_sets"].tolist() == [together] * 3
        assert f"{names[0]} acts as OR" in str(found)
        assert f"Setting {names[0]}, or {names[1]}, and nothing else, to the mean" in str(found)
        assert f"Keeping {together}, while all other candidates" in str(found)
    # the scan, which knows no names of a network's units
    assert found.scan.frame()["site"].unique().tolist() == [f"{post}[0]", f"{post}[1]"]
    scan = scan_gates(textbook, sites=single, progress=False)
    assert scan.frame()["site"].unique().tolist() == ["any input", "both inputs"]
    assert scan.scores()["site"].unique().tolist() == ["any input", "both inputs"]


def test_necessary_and_sufficient_sets_equal_those_by_hand():
    """Two copies of OR that make each other up, an AND and one that is not read: every subset
    ablated by its mean, one by one, and what has no smaller part.
    """
    units = [either, either, both, both]
    model = Own(units, lambda units: units[:, :2].amax(1) - 2 * units[:, 2] - 0.5)
    inputs, features = noisy(8)
    found = find_gates(
        model, inputs, features, "hook_units", decide=metrics.by_threshold(), max_p=0.0,
        progress=False,
    )  # fmt: skip
    _, cache = model.run_with_cache(inputs)
    mean, own = cache["hook_units"].mean(0), model(inputs)[:, 0] > 0

    def breaks(ablated):
        def write(value, hook):
            value = value.clone()
            value[:, list(ablated)] = mean[list(ablated)]
            return value

        after = model.run_with_hooks(inputs, fwd_hooks=[("hook_units", write)])[:, 0] > 0
        return bool((after != own).any())

    subsets = [set(one) for k in range(5) for one in combinations(range(4), k)]
    necessary = [one for one in subsets if one and breaks(one)]
    sufficient = [one for one in subsets if one == set(range(4)) or not breaks(set(range(4)) - one)]

    def smallest(sets):
        return [one for one in sets if not any(other < one for other in sets)]

    def numbers(sets):
        return [{site.index[0] for site in sites} for sites in sets]

    assert numbers(found.necessary_sets) == smallest(necessary)
    assert numbers(found.sufficient_sets) == smallest(sufficient)
    assert {2} in smallest(necessary)
    assert found.sets_note == "every subset of the candidates was tried"
    # and in the table, candidate by candidate
    frame = found.frame()
    assert frame["is_group"].any()
    for column, sets in (("in_necessary_sets", necessary), ("in_sufficient_sets", sufficient)):
        for one, names in zip(found.found, frame[column], strict=True):
            of_line = {site.index[0] for site in one.sites}
            with_it = [sorted(here) for here in smallest(sets) if of_line <= here]
            texts = [f"hook_units[{s[0] if len(s) == 1 else s}]" for s in with_it]
            assert names == "; ".join(texts)


@pytest.mark.parametrize("n_copies", [7, 12])
def test_many_candidates_are_ablated_in_groups_or_not_at_all(n_copies):
    """Of 14 units in two groups of copies, sets are made of whole groups; of 12 units, every subset
    is tried. Either is said.
    """
    gates = [either, both] if n_copies == 7 else [lambda a, b, noise: a + 0.5 * b + noise / 9]
    model = Own(gates * n_copies, lambda units: units[:, :2].sum(1) - 0.5)
    inputs, features = noisy()
    hooks = "hook_units" if n_copies == 7 else [Site("hook_units", k) for k in range(12)]
    found = find_gates(
        model, inputs, features, hooks, decide=metrics.by_threshold(), progress=False
    )
    if n_copies == 7:
        assert {one.n_units for one in found.groups} == {7}
        assert found.sets_note.startswith("of 14 candidates not every subset was tried; groups")
        assert {len(sites) for sites in found.necessary_sets} <= {7, 14}
        assert found.necessary_sets
    else:
        assert found.sets_note.startswith("every subset")


def test_too_many_candidates_for_sets_are_said():
    """14 units of 14 different functions are in no group."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.cat([ROWS, torch.zeros(4, 1)], dim=1)
    values = torch.rand(4, 14, 3, generator=generator)
    model = Own([], lambda units: units)
    model.forward = lambda x: model.hook_units(values[(2 * x[:, 0] + x[:, 1]).long()])[:, 0, :1]
    bits = {"a": ROWS[:, 0], "b": ROWS[:, 1]}
    sites = [Site("hook_units", (k, 0)) for k in range(14)]
    found = find_gates(model, inputs, bits, sites, decide=metrics.by_threshold(0.5), progress=False)
    assert found.necessary_sets == found.sufficient_sets == ()
    assert found.sets_note.startswith("the subsets of 14 candidates on 4 inputs are too many")
    assert "No necessary or sufficient sets are given: the subsets of 14" in str(found)
    assert found.frame()[["in_necessary_sets", "in_sufficient_sets"]].isna().all(axis=None)


def test_nothing_is_found_where_nothing_separates():
    """A unit of noise: no candidate, an empty table of the same columns, and a sentence."""
    model = Own([nothing], lambda units: units[:, 0] - 0.5)
    inputs, features = noisy()
    found = find_gates(
        model, inputs, features, "hook_units", decide=metrics.by_threshold(), progress=False
    )
    frame = found.frame()
    assert (list(frame), len(frame)) == (COLUMNS, 0)
    assert found.acting_as("OR").empty
    assert str(found).startswith("No unit acts as a gate of a, b.")


def test_keyword_inputs_reach_every_run():
    """A shift of every unit by a keyword input, one per input or one for all, shifts decisions."""
    model = Own([either], lambda units: units[:, 0] - 0.5)
    inputs, features = noisy()
    settings = {"decide": metrics.by_threshold(), "progress": False}
    for shift in (-5.0, torch.full((40, 1), -5.0)):
        found = find_gates(
            model, inputs, features, "hook_units", model_kwargs={"shift": shift}, **settings
        )
        assert verdicts(found) == {("hook_units[0]", "OR"): "carries it, not used"}
        assert found.decided.table == "0000"


def test_whole_numbers_can_be_interchanged():
    """A hook of counts: a unit of integers acts like any other, but it has no mean to be ablated by,
    so it is in no set, and the note says so.
    """
    model = Own([lambda a, b, noise: (a + b).long()], lambda units: units[:, 0] - 0.5)
    model.forward = lambda x: (model.hook_units(x[:, :2].sum(1, keepdim=True).long()) - 0.5).float()
    inputs, features = noisy()
    found = find_gates(
        model, inputs, features, "hook_units", decide=metrics.by_threshold(), progress=False
    )
    assert verdicts(found)["hook_units[0]", "OR"] == "acts"
    assert (found.necessary_sets, found.sufficient_sets) == ((), ())
    assert "whole numbers, which have no mean" in found.sets_note


def test_candidates_of_whole_numbers_are_left_out_of_the_sets():
    """Beside a hook of real numbers that alone decides, a hook of counts of the same gate: the sets
    are those of the real one alone, and the note names what is left out.
    """

    class Both(Own):
        def __init__(self):
            super().__init__([either], lambda units: units[:, 0] - 0.5)
            self.hook_counts = HookPoint()
            self.setup()

        def forward(self, x):
            """[batch, 3] -> [batch, 1]"""
            real = super().forward(x)
            counts = self.hook_counts((x[:, :2] > 0.5).any(1, keepdim=True).long())
            return real + 0.01 * counts

    inputs, features = noisy()
    found = find_gates(
        Both().eval(),
        inputs,
        features,
        ["hook_units", "hook_counts"],
        decide=metrics.by_threshold(),
        progress=False,
    )
    assert {one.name for one in found.found} >= {"hook_units[0]", "hook_counts[0]"}
    ((necessary,),) = found.necessary_sets
    assert necessary.hook_name == "hook_units"
    assert found.sufficient_sets == found.necessary_sets
    assert "1 of hooks of whole numbers" in found.sets_note
    assert "hook_counts[0], were left out" in found.sets_note


def test_the_model_and_the_random_state_stay(transformer):
    """No hook is left, no generator moved."""
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    find_gates(transformer, TOKENS, BITS, NEURONS, decide=DECIDE, progress=False)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert not any(point.fwd_hooks for point in transformer.hook_dict.values())


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decide": None}, r"nothing says what this model decides by its outputs \[40, 1\]; give"),
        ({"decide": 3}, "decide is 3; give a function of the outputs"),
        ({"output": 1}, "output=1 has no effect"),
        ({"hooks": None}, "give hooks="),
        ({"hooks": "hook_unit"}, "did you mean 'hook_units'"),
        ({"inputs": None}, "give inputs=, a tensor"),
        ({"features": None}, "nothing says which bits these inputs of shape"),
        ({"max_p": "small"}, "max_p is 'small'; give a number from 0 to 1"),
        ({"min_accuracy": 2}, "min_accuracy is 2; give a number from 0 to 1"),
        ({"min_accuracy": float("nan")}, "min_accuracy is nan"),
        ({"n_pairs": 0}, "n_pairs must be a whole number of at least 1, not 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"model_kwargs": {"shift": torch.zeros(3)}}, r"has shape \[3\] for 40 inputs"),
    ],
)  # fmt: skip
def test_mistakes_are_named(settings, message):
    """What was asked, what exists, what to do."""
    inputs, features = noisy()
    given = {
        "inputs": inputs, "features": features, "hooks": "hook_units",
        "decide": metrics.by_threshold(),
    }  # fmt: skip
    with pytest.raises(XorMiError, match=message):
        find_gates(Own([either], lambda units: units[:, 0] - 0.5), **(given | settings))


def test_too_many_interchanges_are_refused(textbook, monkeypatch):
    """By their number, before they are begun."""
    monkeypatch.setattr("xor_mi.gate_scan._find.MOST_RUNS", 20)
    with pytest.raises(XorMiError, match="24 interchanges .* are more than the 20.*n_pairs"):
        find_gates(textbook, progress=False)
