"""Gates in any hooked model: planted ones are found, chance is not mistaken for them, and a slow
twin agrees.
"""

from functools import partial
from itertools import product
from random import Random

import numpy as np
import pandas as pd
import pytest
import torch
from fuzz_gate_scan import mismatches as gate_scan_mismatches
from hypothesis import given, settings
from hypothesis import strategies as st
from models import native_transformer
from oracles import gate_scan as by_hand
from torch import nn
from tqdm import tqdm
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from xor_mi.errors import XorMiError
from xor_mi.gate_scan import GateScan, find_gates, scan_gates
from xor_mi.interventions import Site, ablation_sweep
from xor_mi.metrics import by_tokens
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

VOCAB, POSITION = 64, 2
POSTS = ["blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"]
PLANTED = {
    (POSTS[0], 3): "NOR", (POSTS[0], 5): "AND", (POSTS[0], 7): "x0>x1", (POSTS[0], 8): "x1>x0", (POSTS[1], 2): "OR", (POSTS[1], 6): "XOR",
}  # fmt: skip


class Shown(HookedRootModule):
    """Its units are the entries of its inputs, so that a test writes the activations themselves."""

    def __init__(self):
        super().__init__()
        self.hook_units, self.hook_constant, self.hook_unused = (
            HookPoint(),
            HookPoint(),
            HookPoint(),
        )
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, ...] -> [batch, ...]"""
        self.hook_constant(torch.ones(2, 3))
        return self.hook_units(x)


class Held(Shown):
    """Its units are what the test says they are on input 0, 1, 2, ...: every input is another one."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, x):
        """[batch] -> [batch, ...]"""
        return super().forward(self.values[x])


def shown(values, features, *, scores=False, **settings) -> GateScan:
    """The scan of activations given as a tensor or list [sample, unit], on different inputs."""
    values = torch.as_tensor(values)
    numbers = torch.arange(len(values))
    return scan_gates(Held(values), numbers, features, "hook_units", scores=scores, **settings)


native = partial(native_transformer, d_model=24, d_head=6, n_ctx=5, d_mlp=16, d_vocab=VOCAB, seed=0)
"""A small transformer, randomly initialised."""


def token_bits() -> torch.Tensor:
    """Two properties of every token, drawn once, [token, 2]; each combination has a quarter of the
    vocabulary.
    """
    order = torch.randperm(VOCAB, generator=torch.Generator().manual_seed(4))
    return torch.stack([order % 2, order // 2 % 2], dim=1)


def samples(n, seed=1) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Random sentences [sample, 4], and the two properties of the token at POSITION."""
    tokens = torch.randint(0, VOCAB, (n, 4), generator=torch.Generator().manual_seed(seed))
    bits = token_bits()[tokens[:, POSITION]]
    return tokens, {"vowel": bits[:, 0], "short": bits[:, 1]}


@pytest.fixture(scope="module")
def planted() -> TransformerBridge:
    """A native transformer in which six neurons are gates of two properties of a token, written by
    hand; all else is random.

    Residual dimensions 0 and 1 carry the properties of the token, 2 to 4 what layer 0's NOR, x0>x1
    and x1>x0 say; the rest is random and adds a little noise to the planted neurons. Everything
    that is not planted is cut off from dimensions 0 to 4."""
    model = native(normalization_type=None)
    weights = dict(model.named_parameters())

    def weight(name):
        return next(
            value
            for key, value in weights.items()
            if key.replace("_original_component.", "") == name
        )

    with torch.no_grad():
        weight("pos.weight")[:, :5] = 0
        weight("tok_embed.weight")[:, :5] = 0
        weight("tok_embed.weight")[:, :2] = token_bits().float()
        for layer in range(2):
            for letter in "qkv":
                weight(f"layers.{layer}.attn.{letter}.weight")[:, :5] = 0
            for name in (f"layers.{layer}.attn.o", f"layers.{layer}.mlp.fc_out"):
                weight(f"{name}.weight")[:5] = 0
                weight(f"{name}.bias")[:5] = 0
            weight(f"layers.{layer}.mlp.fc_in.weight")[:, :5] = 0
        planted = {
            (0, 3): ([-1, -1], 1),
            (0, 5): ([1, 1], -1),
            (0, 7): ([1, -1], 0),
            (0, 8): ([-1, 1], 0),
            (1, 2): ([0, 0, -1], 1),
            (1, 6): ([0, 0, 0, 1, 1], 0),
        }
        for (layer, unit), (reads, bias) in planted.items():
            weight(f"layers.{layer}.mlp.fc_in.weight")[unit] *= 0.1
            weight(f"layers.{layer}.mlp.fc_in.weight")[unit, : len(reads)] = torch.tensor(
                reads
            ).float()
            weight(f"layers.{layer}.mlp.fc_in.bias")[unit] = bias
        for dimension, unit in ((2, 3), (3, 7), (4, 8)):
            weight("layers.0.mlp.fc_out.weight")[dimension, unit] = 1
    return model


ROWS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
COLUMNS = [
    "hook", "index", "site", "gate", "formula", "table", "margin", "threshold", "n_ones", "n_zeros",
    "n_rows_seen", "p_value", "is_widest", "is_decision", "note",
]  # fmt: skip


def test_the_textbook_network(textbook):
    """Every cut of every unit: OR and AND of unit 0 are as wide, the lower one is marked; the
    output's only cut is the decision.
    """
    rows = ROWS.repeat(5, 1)
    scan = scan_gates(
        textbook, rows, {"a": rows[:, 0], "b": rows[:, 1]}, [POSTS[0], "hook_logits", POSTS[0]]
    )
    frame = scan.frame()
    assert list(frame) == COLUMNS
    assert frame["gate"].tolist() == ["OR", "AND", "AND", "XOR"]
    assert frame["formula"].tolist() == ["a | b", "a & b", "a & b", "a ^ b"]
    assert frame["margin"].tolist() == [0.5, 0.5, 1, 1]
    assert frame["threshold"].tolist() == [0.5, 1.5, 0.5, 0.5]
    assert frame["is_widest"].tolist() == [True, False, True, True]
    assert frame["is_decision"].tolist() == [False, False, False, True]
    assert frame["n_ones"].tolist() == [3, 1, 1, 2]
    assert frame["n_zeros"].tolist() == [1, 3, 3, 2]
    assert frame["note"].tolist() == ["another cut is as wide"] * 2 + ["", ""]
    sites = [f"{POSTS[0]}[0]"] * 2 + [f"{POSTS[0]}[1]", "hook_logits[0]"]
    assert frame["site"].tolist() == sites
    assert [line.site for line in scan.unit_gates[1:]] == [
        Site(POSTS[0], (0,)),
        Site(POSTS[0], (1,)),
        Site("hook_logits", (0,)),
    ]


def test_copies_are_no_evidence(textbook):
    """20 samples of 4 different inputs say what the 4 say: nothing, as each has a combination of
    its own; the sentence says so, and no unit is listed as separating.
    """
    scans = [
        scan_gates(textbook, rows, {"a": rows[:, 0], "b": rows[:, 1]}, POSTS[0])
        for rows in (ROWS, ROWS.repeat(5, 1), torch.cat([ROWS, ROWS[1:2]]))
    ]
    for scan in scans:
        pd.testing.assert_frame_equal(scan.frame(), scans[0].frame())
        pd.testing.assert_frame_equal(scan.scores(), scans[0].scores())
        assert (scan.frame()["p_value"] == 1).all()
        assert (scan.n_distinct, scan.rows_seen) == (4, ("00", "01", "10", "11"))
        assert (scan.n_permutations, scan.is_every_permutation, scan.smallest_p) == (24, True, 1.0)
        assert scan.separating().empty
        assert len(scan.separating(max_p=1)) == 3
    assert [scan.n_samples for scan in scans] == [4, 20, 5]
    assert str(scans[1]) == (
        "0 of 2 units separate a gate of a, b at p <= 0.01 on 4 different inputs (20 given; no "
        "p-value can be below 1). Units are the entries of blocks.0.mlp.hook_post (2). At any p, every "
        "unit (2 of 2) separates some gate; with permuted features also 2 of 2 (in all 24 "
        "permutations). These are too few inputs for a "
        "p-value that small; find_gates tells by interchange which units act as a gate, and so "
        "does identify_circuit for a HookedMLP."
    )


def test_some_units_separate_by_chance_and_hooks_are_counted():
    """Of one feature that is 1 on 1 of 4 inputs: a unit with the values 0, 1, 2, 3 separates it if the
    feature is on the least or the largest, in 2 of the 4 ways; a constant never does.
    """
    scan = shown([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]], {"f": [0, 0, 0, 1]})
    assert scan.control_rate == pytest.approx(1 / 4)
    assert (
        "Units are the entries of hook_units (2). At any p, 1 of 2 units separates some gate; with "
        "permuted features 0.5 of 2 on average (95 % of all 4 permutations: 0 to 1). "
    ) in str(scan)
    flat = shown([[7.0]] * 4, {"f": [0, 0, 0, 1]})
    assert (
        "At any p, no unit (0 of 1) separates any gate; with permuted features also 0 of 1 (in all "
        "4 permutations). "
    ) in str(flat)


def test_the_smallest_p_value_that_there_can_be():
    """Of 3 and 5 inputs it is 1 in 56, of 4 and 4 it is 2 in 70 as the complement counts too, and a
    unit that is the feature has it; of many inputs it is that of the number of permutations.
    """
    for n_ones, n, smallest in ((3, 8, 1 / 56), (4, 8, 2 / 70), (10, 20, 1 / 201)):
        bits = [int(k < n_ones) for k in range(n)]
        scan = shown([[float(bit)] for bit in bits], {"f": bits}, scores=True)
        assert scan.smallest_p == pytest.approx(smallest)
        assert scan.frame()["p_value"].tolist() == pytest.approx([smallest])
        assert scan.scores()["p_balanced"].tolist() == pytest.approx([smallest])
        assert scan.is_every_permutation == (n == 8)
        assert ("too few inputs" in str(scan)) == (smallest > 0.01)


def test_equal_cuts_are_resolved_alike_at_every_scale():
    """Three levels a third of the range apart, in float32 with a factor and a shift that round: the
    lowest of the equally wide cuts is marked, and all are noted.
    """
    sums = ROWS.sum(1).repeat(3)
    rows = ROWS.repeat(3, 1)
    for factor in (1.0, 0.1, 0.3, 1e-5, 7e4):
        for shift in (0.0, 0.7, -1.3):
            values = factor * (sums.float() + shift)[:, None]
            frame = shown(values, {"a": rows[:, 0], "b": rows[:, 1]}).frame()
            assert frame["gate"].tolist() == ["OR", "AND"]
            assert frame["is_widest"].tolist() == [True, False]
            assert frame["note"].tolist() == ["another cut is as wide"] * 2


@pytest.mark.parametrize("cut", [-0.5, 0.5, 1.5])
def test_the_decision_is_one_of_the_cuts_of_an_output(cut):
    """An output with the levels 0, 1 and 2 is OR or AND by where the network decides; the cut that
    is there is marked, whichever is the widest, and none where it decides outside of them.
    """
    model = HookedMLP.from_weights(
        [([[1.0, 0], [0, 1]], [0.0, 0]), ([[1.0, 1]], [0.0])], decision_threshold=cut
    )
    frame = scan_gates(model, ROWS.float(), {"a": ROWS[:, 0], "b": ROWS[:, 1]}, "y0").frame()
    assert frame["gate"].tolist() == ["OR", "AND"]
    assert frame["is_decision"].tolist() == [cut == 0.5, cut == 1.5]


def noisy(n=120) -> GateScan:
    """A unit that is OR with noise as large as its step, one that is its copy in another order, and
    one of noise alone.
    """
    generator = torch.Generator().manual_seed(3)
    bits = torch.randint(0, 2, (n, 2), generator=generator)
    known = (bits.sum(1) > 0) + torch.randn(n, generator=generator)
    shuffled = known[torch.randperm(n, generator=generator)]
    values = torch.stack([known, shuffled, torch.randn(n, generator=generator)], dim=1)
    return shown(values, {"a": bits[:, 0], "b": bits[:, 1]}, scores=True)


def test_noise_does_not_hide_a_gate():
    """No cut is perfect; the scores find OR in the unit that has it, and nothing in the same values
    in another order.
    """
    scan = noisy()
    assert scan.frame()["gate"].isna().all()
    found = scan.scores(max_p=0.01, best_only=True)
    assert found[["index", "gate", "formula"]].to_numpy().tolist() == [["0", "OR", "a | b"]]
    assert found["p_balanced"].item() == found["p_auc"].item() == 1 / 201
    assert 0.7 < found["balanced_accuracy"].item() < 0.95
    assert 0.7 < found["auc"].item() < 0.95
    scores = scan.scores()
    assert len(scores) == 3 * 7, "each gate of four combinations, or its complement"
    assert scores.groupby("index")["is_best"].sum().tolist() == [1, 1, 1]
    assert scores.loc[scores["index"] != "0", "p_balanced"].min() > 0.01


def test_scores_equal_those_by_counting():
    """AUC by counting pairs and balanced accuracy by trying every cut, of 60 noisy inputs."""
    generator = torch.Generator().manual_seed(5)
    bits = torch.randint(0, 2, (60, 2), generator=generator)
    values = torch.randint(0, 12, (60, 2), generator=generator) + 4 * bits
    scan = shown(values, {"a": bits[:, 0], "b": bits[:, 1]}, n_permutations=2, scores=True)
    rows = ["".join(map(str, row)) for row in bits.tolist()]
    for line in scan.scores().itertuples():
        table = dict(zip(("00", "01", "10", "11"), line.table, strict=True))
        column, ones = values[:, int(line.index)].tolist(), [table[row] == "1" for row in rows]
        share, threshold = by_hand.best_cut(column, ones)
        assert line.auc == pytest.approx(float(by_hand.auc(column, ones)))
        assert line.balanced_accuracy == pytest.approx(float(share))
        assert line.threshold == pytest.approx(float(threshold))


def test_scores_can_be_left_out():
    """`scores=False` gives the same cuts, and asking for scores then says what to do."""
    bits = [0, 1, 1, 0] * 4
    values = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    scan = shown(values, {"f": bits}, scores=False)
    whole = shown(values, {"f": bits}, scores=True)
    pd.testing.assert_frame_equal(scan.frame(), whole.frame())
    with pytest.raises(XorMiError, match="scored no gates; call scan_gates with scores=True"):
        scan.scores()


def test_many_combinations_are_scored_against_gates_of_two_features():
    """Four features with 16 combinations: gates of one or two of them, each once, and XOR of two is
    found; every gate of the 16 would be 32,767.
    """
    rows = torch.tensor(list(product((0, 1), repeat=4)) * 4)
    features = {f"f{k}": rows[:, k] for k in range(4)}
    noise = 0.3 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    scan = shown(
        ((rows[:, 1] ^ rows[:, 3]) + noise)[:, None], features, n_permutations=20, scores=True
    )
    scores = scan.scores()
    assert len(scores) == 4 + 6 * 5
    assert scores["table"].is_unique
    assert scores.loc[scores["is_best"], "formula"].tolist() == ["f1 ^ f3"]


def test_the_same_in_blocks_and_passes(monkeypatch):
    """However few units are kept or worked on at once, every table and score is the same."""
    generator = torch.Generator().manual_seed(1)
    bits = torch.randint(0, 2, (30, 2), generator=generator)
    values = torch.randn(30, 5, 4, generator=generator) + 3 * bits[:, :1, None]
    features = {"a": bits[:, 0], "b": bits[:, 1]}
    whole = shown(values, features, n_permutations=20, scores=True)
    monkeypatch.setattr("xor_mi.gate_scan._scan.BYTES_OF_A_BLOCK", 30_000)
    monkeypatch.setattr("xor_mi.gate_scan._activations.BYTES_OF_A_PASS", 30 * 4 * 7)
    parts = shown(values, features, n_permutations=20, scores=True)
    pd.testing.assert_frame_equal(parts.frame(), whole.frame())
    pd.testing.assert_frame_equal(parts.scores(), whole.scores())
    assert str(parts) == str(whole)


def test_too_much_is_refused_before_it_is_begun():
    """A wide model with many samples: the number, and the settings that help; the model has by then
    run on two samples at most.
    """
    seen = []

    class Wide(Shown):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x.float() * torch.ones(10_000))

    n = 100_000
    inputs, bits = torch.arange(n)[:, None], torch.arange(n) % 2
    with pytest.raises(XorMiError, match=r"10,000 units x 100,000 inputs.*scores=False"):
        scan_gates(Wide(), inputs, {"f": bits}, "hook_units")
    assert max(seen) <= 2


def test_one_input_with_two_combinations_is_refused():
    """Equal inputs with unequal features cannot be told apart by any unit: both samples are named."""
    with pytest.raises(XorMiError, match="samples 1 and 2 are the same input with the features"):
        scan_gates(Shown(), torch.tensor([[1.0], [2], [2]]), {"f": [0, 1, 0]}, "hook_units")


@pytest.mark.parametrize("case", range(20))
def test_cuts_scores_and_p_values_equal_those_by_hand(case):
    """Every cut, AUC, balanced accuracy and p-value, with all ways to deal the combinations out, or
    a sample of them, tied values and copies.
    """
    n_values, lines, _ = gate_scan_mismatches(Random(case))
    assert lines == []
    assert n_values > 10


def test_planted_neurons_of_a_transformer_are_found_and_no_others(planted):
    """Six planted neurons of 128 units (position x neuron, two layers), at the token's position
    only, each with its gate and a small p.
    """
    tokens, features = samples(300)
    scan = scan_gates(planted, tokens, features, POSTS)
    frame, found = scan.frame(), scan.separating()
    assert len(frame) == 2 * 4 * 16
    assert {(line.hook, line.index): line.gate for line in found.itertuples()} == {
        (hook, f"{POSITION}, {unit}"): gate for (hook, unit), gate in PLANTED.items()
    }
    assert (found["p_value"] == 1 / 201).all()
    assert found["margin"].between(0.5, 0.999).all(), (
        "the noise is there, and does not hide the gate"
    )
    assert frame["gate"].notna().sum() == 6
    assert scan.control_rate == 0
    assert found.set_index("gate")["formula"]["XOR"] == "vowel ^ short"
    # a second way: the threshold cuts the cached activation exactly as the function of the token's
    # bits says
    _, cache = planted.run_with_cache(tokens)
    for line in found.itertuples():
        unit = [int(entry) for entry in line.index.split(", ")]
        above = cache[line.hook][(slice(None), *unit)] > line.threshold
        function = BooleanFunction.named(str(line.gate))
        assert above.tolist() == [
            bool(function(int(a), int(b))) for a, b in zip(*features.values(), strict=True)
        ]
        assert (int(above.sum()), int((~above).sum())) == (line.n_ones, line.n_zeros)


def test_units_acting_as_a_gate(planted):
    """OR as itself and as NOR with polarity -1; a formula means the features in order; names that
    are none are refused.
    """
    scan = scan_gates(planted, *samples(300), POSTS)
    acting = scan.acting_as("OR")
    assert {(line.index, line.polarity) for line in acting.itertuples()} == {
        (f"{POSITION}, 3", -1),
        (f"{POSITION}, 2", 1),
    }
    assert scan.acting_as("OR", up_to_complement=False)["index"].tolist() == [f"{POSITION}, 2"]
    assert (
        scan.acting_as("x0 & ~x1")["index"].tolist()
        == scan.acting_as("NIMP")["index"].tolist()
        == [f"{POSITION}, 7"]
    )
    assert scan.acting_as("NOT x1").empty
    assert scan.acting_as("XOR", max_p=0.001).empty
    with pytest.raises(XorMiError, match="no gate 'ORR'"):
        scan.acting_as("ORR")


@pytest.mark.parametrize(
    ("gate", "bits"),
    [("b & ~a", "0010"), ("x0 & ~x1", "0010"), ("a & ~b", "0100"), ("a>b", "0100"), ("OR", "0111"),
     ("not b", "1100"), ("NIMP(a, b)", "0100"), ("x1>x0", "0100")],
)  # fmt: skip
def test_formulas_are_over_the_features_names(gate, bits):
    """Of features called b and a, in this order, a formula's b is the first; x0 is that too."""
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(4, 1)
    unit = torch.tensor([float(bit) for bit in bits]).repeat(4)
    scan = shown(unit[:, None], {"b": rows[:, 0], "a": rows[:, 1]})
    (line,) = scan.acting_as(gate, up_to_complement=False).itertuples()
    assert line.table == bits
    # what is printed can be asked for
    assert scan.acting_as(line.formula, up_to_complement=False)["table"].tolist() == [bits]
    for other in ("c & a", "x>y", "noun & a"):
        with pytest.raises(XorMiError, match="no feature '[a-z]*'; the features are: b, a"):
            scan.acting_as(other)


def test_names_of_features_need_not_be_words():
    """A formula is read as it is printed where a feature's name has signs and blanks in it."""
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(4, 1)
    features = {"is plural?": rows[:, 0], "is": rows[:, 1]}
    scan = shown((rows[:, :1] & ~rows[:, 1:]).float(), features)
    (line,) = scan.acting_as("NIMP", up_to_complement=False).itertuples()
    assert line.formula == "is plural? & ~is"
    assert len(scan.acting_as(line.formula, up_to_complement=False)) == 1


def test_a_found_site_can_be_ablated(planted):
    """The site of a found unit goes straight into an ablation sweep, and layer 0's x0>x1 matters to
    layer 1's XOR.
    """
    tokens, features = samples(60)
    scan = scan_gates(planted, tokens, features, POSTS)
    (line,) = scan.acting_as("x0>x1").itertuples()
    (site,) = {one.site for one in scan.unit_gates if one.site.name == line.site}
    sweep = ablation_sweep(
        planted, [site], value="zero", rows=tokens, metrics=lambda logits: logits[:, POSITION, 0]
    )
    changed = sweep.effect[0].abs() > 1e-6
    assert changed[(features["vowel"] > features["short"])].all()


@pytest.mark.parametrize("normalization", ["LN", None])
def test_a_random_transformer_has_no_more_than_chance(normalization):
    """Nobody planted anything: on 300 sentences no unit of any position separates a gate, as the
    control says, though features are real.
    """
    model = native(seed=7, normalization_type=normalization)
    scan = scan_gates(
        model,
        *samples(300),
        [*POSTS, "blocks.0.hook_resid_mid", "blocks.1.hook_resid_post"],
        scores=False,
    )
    assert scan.frame()["gate"].notna().mean() <= scan.control_interval[1]
    assert len(scan.separating()) == 0


def test_on_few_samples_chance_is_common_and_the_control_says_how_common():
    """Eight sentences, features drawn at random: the share of units with a gate lies inside the
    control's interval as often as it should, on average it is the control's rate, and p-values are
    no smaller than chance makes them."""
    model, shares, rates, inside, small = native(seed=7), [], [], 0, []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, VOCAB, (8, 4), generator=generator)
        features = {name: torch.randint(0, 2, (8,), generator=generator) for name in "ab"}
        scan = scan_gates(model, tokens, features, POSTS, seed=seed, scores=False)
        widest = scan.frame().query("is_widest")
        shares.append(len(widest) / scan.n_units)
        rates.append(scan.control_rate)
        inside += scan.control_interval[0] <= shares[-1] <= scan.control_interval[1]
        small.append((widest["p_value"] <= 0.05).sum() / scan.n_units)
    assert min(rates) > 0.02, "chance does separate some units on so few samples"
    assert inside >= 17
    assert np.mean(shares) == pytest.approx(np.mean(rates), abs=0.05)
    assert np.mean(small) <= 0.05


def test_unseen_rows_stay_open():
    """Without row 11 a unit that is 0, 1, 1 fits OR and XOR: the table says '-', the note says so,
    the plain OR is the name, both match.
    """
    a, b = [0, 0, 1] * 6, [0, 1, 0] * 6
    scan = shown([[float(x or y)] for x, y in zip(a, b, strict=True)], {"a": a, "b": b})
    (line,) = scan.frame().itertuples()
    assert (line.table, line.gate, line.formula, line.n_rows_seen) == ("011-", "OR", "a | b", 3)
    assert line.note == "1 of 4 rows unseen, so other gates fit as well"
    assert scan.rows_seen == ("00", "01", "10")
    for gate, polarity in (("OR", 1), ("XOR", 1), ("NOR", -1), ("XNOR", -1)):
        assert scan.acting_as(gate)["polarity"].tolist() == [polarity]
    assert scan.acting_as("AND").empty


def test_too_many_unseen_rows_leave_the_table_as_the_name():
    """Of six features only two combinations occur: 2^62 completions are not tried."""
    bits = [0, 1] * 10
    (line,) = (
        shown([[float(bit)] for bit in bits], {f"f{i}": bits for i in range(6)})
        .frame()
        .itertuples()
    )
    assert line.gate == line.formula == line.table == "0" + "-" * 62 + "1"
    assert line.note == "62 of 64 rows unseen, too many to name a gate"


@pytest.mark.parametrize("open_rows", [(), (0,), (3, 5, 6)])
def test_three_features_and_the_shortest_completion(open_rows):
    """The gate is right on all seen rows, and no other function that is has fewer literals."""
    table = BooleanFunction.from_formula("(x0 & x1) | (x0 & x2) | (x1 & x2)").bits
    rows = [row for k, row in enumerate(product((0, 1), repeat=3)) if k not in open_rows] * 4
    values = [[float(table[4 * a + 2 * b + c])] for a, b, c in rows]
    (line,) = (
        shown(values, dict(zip("pqr", zip(*rows, strict=True), strict=True))).frame().itertuples()
    )
    function = BooleanFunction.from_formula(
        line.formula.replace("p", "x0").replace("q", "x1").replace("r", "x2"), n_inputs=3
    )
    assert all(function.bits[k] == bit for k, bit in enumerate(table) if k not in open_rows)
    fitting = [
        BooleanFunction(3, bits)
        for bits in product((0, 1), repeat=8)
        if all(bits[k] == table[k] for k in range(8) if k not in open_rows)
    ]
    assert sum(line.formula.count(name) for name in "pqr") == min(
        f.formula.count("x") for f in fitting
    )


def test_constant_units_and_units_no_threshold_can_read():
    """A constant, a constant up to rounding, a unit whose groups overlap, and one whose two groups
    touch: no gate, and the reason.
    """
    bits = [0, 1] * 6
    values = [
        [2.5, 1 + 1e-7 * (k % 2), float(k), 0.5 if k < 2 else float(k % 2)] for k in range(12)
    ]
    frame = shown(torch.tensor(values), {"f": bits}).frame()
    assert (
        frame["note"].tolist() == ["constant", "constant"] + ["no cut separates the features"] * 2
    )
    assert frame[["gate", "formula", "table"]].isna().all().all()
    assert frame["gate"].tolist() == [None] * 4
    assert frame["n_ones"].isna().all()
    assert frame["p_value"].isna().all()


def test_features_in_every_form_mean_the_same():
    """Lists, tuples, bool, int and float tensors, arrays and series of 0 and 1; and whole-number
    and bfloat16 activations.
    """
    bits = [0, 1, 1, 0] * 4
    expected = shown(torch.tensor(bits).float()[:, None], {"f": bits}).frame()
    for form in (
        tuple(bits),
        torch.tensor(bits).bool(),
        torch.tensor(bits),
        torch.tensor(bits).double(),
        np.array(bits),
        np.array(bits, bool),
        pd.Series(bits),
    ):
        pd.testing.assert_frame_equal(
            shown(torch.tensor(bits).float()[:, None], {"f": form}).frame(), expected
        )
    for dtype in (torch.int64, torch.bool, torch.bfloat16, torch.float16, torch.float64):
        pd.testing.assert_frame_equal(
            shown(torch.tensor(bits).to(dtype)[:, None], {"f": bits}).frame(), expected
        )
    assert expected["gate"].tolist() == ["x0"]


def test_units_of_every_shape():
    """[sample], [sample, unit] and [sample, position, unit] give (), (k,) and (p, k), as text in
    the table, and a Site that reads the same values.
    """
    bits = torch.tensor([0, 1, 1, 0] * 4)
    values = torch.randn(16, 2, 3, generator=torch.Generator().manual_seed(0))
    values[:, 1, 2] = 1.0 - bits
    scan = shown(values, {"f": bits})
    assert scan.frame()["index"].tolist() == [f"{p}, {k}" for p in range(2) for k in range(3)]
    (line,) = scan.separating().itertuples()
    assert (line.index, line.gate, line.site) == ("1, 2", "~x0", "hook_units[1, 2]")
    assert shown(bits.float(), {"f": bits}).frame()["index"].tolist() == [""]
    assert shown(values[:, 0], {"f": bits}).frame()["index"].tolist() == ["0", "1", "2"]


def test_only_the_units_of_a_site_are_scanned(textbook):
    """A `Site` with an index is the units there, each once; a HookedMLP's units go by their names."""
    bits = torch.tensor([0, 1, 1, 0] * 4)
    values = torch.randn(16, 2, 3, generator=torch.Generator().manual_seed(0))
    whole = shown(values, {"f": bits}).frame().set_index("index")
    sites = [Site("hook_units", (1,)), Site("hook_units", (None, 2))]
    some = scan_gates(Shown(), values, {"f": bits}, sites).frame()
    assert some["index"].tolist() == ["1, 0", "1, 1", "1, 2", "0, 2"]
    pd.testing.assert_frame_equal(some.set_index("index"), whole.loc[some["index"].tolist()])
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    (unit,) = scan_gates(textbook, rows, {"a": rows[:, 0], "b": rows[:, 1]}, "h0.1").unit_gates
    assert (unit.hook, unit.index, unit.gate) == (POSTS[0], (1,), "AND")
    with pytest.raises(XorMiError, match=r"index \[4\] is outside 'hook_units'"):
        scan_gates(Shown(), values, {"f": bits}, Site("hook_units", (4,)))


def test_a_forward_may_return_anything():
    """Only the activations are read."""

    class Named(Shown):
        def forward(self, x):
            return {"units": self.hook_units(x)}

    assert scan_gates(Named(), X, F, "hook_units").frame()["gate"].isna().all()


def test_batches_and_progress_change_nothing(planted, capsys):
    """One sample, seven or all per forward, silent or with bars: the same gates and margins; the
    bars are there when asked for.
    """
    tokens, features = samples(50)
    expected = scan_gates(planted, tokens, features, POSTS).frame()
    assert capsys.readouterr().err == ""
    for n_bytes in (1, 2**16, 2**29):
        frame = scan_gates(
            planted, tokens, features, POSTS, max_batch_bytes=n_bytes, scores=False
        ).frame()
        assert frame["gate"].equals(expected["gate"])
        assert np.allclose(frame["margin"], expected["margin"], atol=1e-5, equal_nan=True)


def test_bars_are_drawn_on_a_terminal(monkeypatch):
    """`progress=True` passes tqdm's own default (bars on a terminal), False switches them off."""
    asked = []

    def bar(*given, **settings):
        asked.append(settings["disable"])
        return tqdm(*given, **(settings | {"disable": True}))

    monkeypatch.setattr("xor_mi.progress._Bar", bar)
    for progress in (True, False):
        shown(torch.tensor([0.0, 1, 0, 1])[:, None], {"f": [0, 1, 0, 1]}, progress=progress)
    assert asked == [None, None, True, True]


def test_random_state_model_and_inputs_are_left_alone(planted):
    """No generator but its own is used, the same seed gives the same p-values and another seed
    others, hooks and weights stay.
    """
    weights = {name: value.clone() for name, value in planted.named_parameters()}
    tokens, features = samples(12)
    before, kept = (torch.get_rng_state(), np.random.get_state()[1].copy()), tokens.clone()  # noqa: NPY002
    values = torch.randn(14, 40, generator=torch.Generator().manual_seed(0))
    values[:7] += 2
    scan_gates(planted, tokens, features, POSTS)
    first, same, other = (
        shown(values, {"f": [0] * 7 + [1] * 7}, seed=seed).frame() for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, same)
    assert not first["p_value"].equals(other["p_value"])
    assert first.drop(columns="p_value").equals(other.drop(columns="p_value"))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert torch.equal(tokens, kept)
    assert all(torch.equal(value, weights[name]) for name, value in planted.named_parameters())
    assert not any(point.fwd_hooks for point in planted.hook_dict.values())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.floats(1e-6, 1e6))
def test_order_of_samples_and_scale_of_units_do_not_matter(seed, n_features, scale):
    """Samples in another order and activations times a positive constant leave every gate, table
    and margin as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 2, (10, n_features), generator=generator)
    bits[0], bits[1] = 0, 1  # at least two combinations
    values = torch.randn(10, 6, generator=generator, dtype=torch.float64)
    values[:, :3] += 4 * bits[:, :1]
    order = torch.randperm(10, generator=generator)
    scans = [
        shown(v, {f"f{i}": b[:, i] for i in range(n_features)}, n_permutations=1).frame()
        for v, b in ((values, bits), (values[order], bits[order]), (values * scale, bits))
    ]
    for other in scans[1:]:
        assert other["table"].equals(scans[0]["table"])
        assert other["gate"].equals(scans[0]["gate"])
        assert np.allclose(other["margin"], scans[0]["margin"], rtol=1e-9, equal_nan=True)
    assert scans[0]["threshold"].equals(scans[1]["threshold"])
    assert np.allclose(
        scans[0]["threshold"] * scale,
        scans[2]["threshold"],
        rtol=1e-9,
        atol=1e-12 * scale,
        equal_nan=True,
    )


X = torch.arange(8.0).reshape(4, 2)
F = {"f": [0, 1, 0, 1]}


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: scan_gates(nn.Identity(), X, F, "hook_units"), "needs a hooked model"),
        (lambda m: scan_gates(m.train(), X, F, "hook_units"), "train mode: call model.eval"),
        (lambda m: scan_gates(m, ["a", "b"], F, "hook_units"), "inputs holds no numbers; give a tensor"),
        (lambda m: scan_gates(m, X[:0], {"f": []}, "hook_units"), "give at least one"),
        (lambda m: scan_gates(m, X, {}, "hook_units"), "0 features given; give 1 to 6"),
        (lambda m: scan_gates(m, X, {str(i): [0, 1, 0, 1] for i in range(7)}, "hook_units"), "7 features given; give 1 to 6"),
        (lambda m: scan_gates(m, X, [0, 1, 0, 1], "hook_units"), "features as list given"),
        (lambda m: scan_gates(m, X, {"f": [0, 1, 0]}, "hook_units"), "feature 'f' has 3 values for 4 inputs"),
        (lambda m: scan_gates(m, X, {"f": 1}, "hook_units"), "feature 'f' has 1 for 4 inputs"),
        (lambda m: scan_gates(m, X, {1: [0, 1, 0, 1], "1": [0, 0, 1, 1]}, "hook_units"), "two features are called the same, 1, 1"),
        (lambda m: scan_gates(m, X, {"": [0, 1, 0, 1]}, "hook_units"), "a feature is called ''; give a word"),
        (lambda m: scan_gates(m, X, {"l\nm": [0, 1, 0, 1]}, "hook_units"), r"a feature is called 'l\\nm'; give a word"),
        (lambda m: scan_gates(m, X, {"f": [0, 1, 2, 1]}, "hook_units"), "feature 'f': 2 is not a bit.*threshold it"),
        (lambda m: scan_gates(m, X, {"f": torch.tensor([0, 1, 0.5, 1])}, "hook_units"), "feature 'f': 0.5 is not a bit"),
        (lambda m: scan_gates(m, X, {"f": torch.tensor([0, 1, float("nan"), 1])}, "hook_units"), "nan is not a bit"),
        (lambda m: scan_gates(m, X, {"f": torch.ones(4, 1)}, "hook_units"), "is not a bit"),
        (lambda m: scan_gates(m, X, {"f": [1, 1, 1, 1], "g": [0, 0, 0, 0]}, "hook_units"), "same features, 10; give inputs of at least two"),
        (lambda m: scan_gates(m, X, F, []), "no hook given; this model has 3"),
        (lambda m: scan_gates(m, X, F, "hook_unit"), "no hook 'hook_unit'.*did you mean 'hook_units'"),
        (lambda m: scan_gates(m, X, F, "hook_unused"), "'hook_unused' never fired"),
        (lambda m: scan_gates(m, X, F, "hook_constant"), r"'hook_constant' has an activation without a batch axis, \[2, 3\] for one"),
        (lambda m: scan_gates(m, X[:2], {"f": [0, 1]}, "hook_constant"), "without a batch axis"),
        (lambda m: scan_gates(m, X / torch.tensor([0.0, 1.0]), F, "hook_units"), "'hook_units' has 4 activations that are NaN or infinite"),
        (lambda m: scan_gates(m, X[:, :0], F, "hook_units"), r"'hook_units' has an empty activation, \[2, 0\]"),
        (lambda m: scan_gates(m, X, F, "hook_units", n_permutations=0), "n_permutations must be a whole number of at least 1, not 0"),
        (lambda m: scan_gates(m, X, F, "hook_units", max_batch_bytes=0), "max_batch_bytes is 0; give a number of bytes"),
        (lambda m: scan_gates(m, X, F, "hook_units", n_permutations=True), "n_permutations must be a whole number of at least 1, not True"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call, message):
    """Models, inputs, features, hooks and numbers that cannot be read: what was asked, what exists,
    what to do.
    """
    model = Shown()
    with pytest.raises(XorMiError, match=message):
        call(model)
    assert not any(point.fwd_hooks for point in model.hook_points())


def test_hooks_that_fire_twice_or_change_shape_are_refused():
    """A hook point used twice in one forward has no one activation; nor has one whose width follows
    the batch.
    """

    class Odd(Shown):
        def forward(self, x):
            self.hook_unused(x[:, : len(x)])
            return self.hook_units(self.hook_units(x))

    with pytest.raises(XorMiError, match="'hook_units' fired 2 times in one forward"):
        scan_gates(Odd(), X, F, "hook_units")
    with pytest.raises(XorMiError, match=r"'hook_unused' has an activation without a batch axis"):
        scan_gates(Odd(), X, F, "hook_unused")


def test_position_embeddings_are_constant(planted):
    """A bridge repeats them for every sentence: no unit of theirs separates anything, and all say
    why.
    """
    frame = scan_gates(planted, *samples(20), "hook_pos_embed", n_permutations=20).frame()
    assert (frame["note"] == "constant").all()
    assert len(frame) == 4 * 24


def test_activations_are_read_as_the_hook_saw_them():
    """A model that goes on to edit its activation in place does not change what was read."""

    class InPlace(Shown):
        def forward(self, x):
            return self.hook_units(x * 1.0).mul_(0)

    assert (
        scan_gates(InPlace(), X, F, "hook_units").frame()["note"].tolist()
        == ["no cut separates the features"] * 2
    )


NUMBERS = torch.arange(40)
ODD = {"odd": NUMBERS % 2}


@pytest.mark.parametrize(
    ("dtype", "even"),
    [
        (torch.int64, 1000), (torch.int32, 256), (torch.uint8, 254), (torch.int16, 255),
        (torch.int64, 2**60), (torch.int64, -(2**63)),
    ],
)  # fmt: skip
def test_whole_numbers_are_read_as_they_are(dtype, even):
    """A count that is one higher on odd inputs separates them, however large it is."""
    counts = torch.tensor([even, even + 1] * 20)[:, None].to(dtype)
    (line,) = shown(counts, ODD).frame().itertuples()
    assert (line.gate, line.margin) == ("x0", 1.0)
    assert line.threshold == pytest.approx(even + 0.5)


def test_whole_numbers_as_far_apart_as_can_be():
    """The lowest and the highest number of 64 bits, whose distance is none of them."""
    counts = torch.tensor([-(2**63), 2**63 - 1] * 20)[:, None]
    (line,) = shown(counts, ODD).frame().itertuples()
    assert (line.gate, line.margin, line.threshold) == ("x0", 1.0, 0.0)


def test_activations_of_eight_bits():
    """There is no arithmetic on them; they are read all the same."""
    values = (NUMBERS % 2 * 1.0)[:, None].to(torch.float8_e4m3fn)
    assert shown(values, ODD).frame()["gate"].tolist() == ["x0"]


class OfEveryKind(HookedRootModule):
    """Hook points that carry a tensor per input, and others that do not."""

    def __init__(self):
        super().__init__()
        for name in ("pair", "none", "number", "good", "unused", "twice", "complex", "masked"):
            setattr(self, f"hook_{name}", HookPoint())
        self.setup()
        self.eval()

    def forward(self, x, mask=None, scale=1.0):
        """[batch, 1] -> a dict."""
        self.hook_pair((x, x))
        self.hook_none(None)
        self.hook_number(len(x))
        self.hook_complex(x + 1j)
        self.hook_masked(torch.cat([x, x - torch.inf], dim=1))
        good = x if mask is None else scale * mask * x
        return {"good": self.hook_good(self.hook_twice(self.hook_twice(good)))}


OF_EVERY_KIND = {
    "hook_pair": "carries tuple and no tensor", "hook_none": "carries NoneType and no tensor",
    "hook_number": "carries int and no tensor", "hook_unused": "never fired",
    "hook_twice": "fired 2 times in one forward", "hook_complex": "has complex activations",
}  # fmt: skip


def test_without_sites_every_hook_that_can_be_read_is():
    """The others are named with the reason, and so is one of which some units are not finite."""
    x = (NUMBERS % 2 * 1.0)[:, None] + torch.arange(40)[:, None] / 1000
    scan = scan_gates(OfEveryKind(), x, ODD)
    frame = scan.frame()
    assert frame["site"].tolist() == ["hook_good[0]", "hook_masked[0]"]
    assert (frame["formula"] == "odd").all()
    assert scan.n_units == 2
    assert set(scan.left_out) == {*OF_EVERY_KIND, "hook_masked"}
    assert str(scan).endswith("7 hooks were not read, or only in part: see .left_out.")
    assert "left_out" not in str(scan_gates(OfEveryKind(), x, ODD, "hook_good"))


@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_a_hook_that_cannot_be_read_says_why(name):
    """Asked for by name, each is one sentence, and it does not keep others from being read."""
    x = (NUMBERS % 2 * 1.0)[:, None] + torch.arange(40)[:, None] / 1000
    with pytest.raises(XorMiError, match=f"'{name}' {OF_EVERY_KIND[name]}"):
        scan_gates(OfEveryKind(), x, ODD, name)


def test_every_hook_of_a_transformer(planted):
    """A bridge lists hooks that are switched off; they are left out, and named when asked for."""
    tokens, features = samples(30)
    scan = scan_gates(planted, tokens, features, n_permutations=2, scores=False)
    named = [*scan.frame()["hook"].unique(), *(set(scan.left_out) - set(scan.frame()["hook"]))]
    points = {id(planted.hook_dict[name]) for name in named}
    assert points == {id(point) for point in planted.hook_dict.values()}
    # one name of each
    assert len(points) == len(named) < len(planted.hook_dict)
    with pytest.raises(XorMiError, match=r"hook_result' is switched off: .*set_use_attn_result"):
        scan_gates(planted, tokens, features, "blocks.0.attn.hook_result")


@pytest.mark.parametrize("function", [scan_gates, find_gates])
def test_two_names_of_one_hook_are_read_once(function, planted):
    """Asked for by both, a hook's units are those that it has by the first alone."""
    tokens, features = samples(30)
    settings = {"n_permutations": 120, "progress": False}
    if function is find_gates:
        settings["decide"] = by_tokens(1, 0)
    names = ["blocks.0.mlp.hook_post", "blocks.0.mlp.out.hook_in"]
    alone, both = (
        function(planted, tokens, features, asked, **settings) for asked in (names[:1], names)
    )
    pd.testing.assert_frame_equal(alone.frame(), both.frame())
    assert alone.head() == both.head()


def test_keyword_inputs_belong_to_the_inputs():
    """A mask that is 1 on odd inputs makes them what they are; what is not a tensor is passed on, and
    inputs that differ in their mask alone are different.
    """
    ones, mask = torch.ones(40, 1), (NUMBERS % 2)[:, None]
    kwargs: dict[str, object] = {"mask": mask + NUMBERS[:, None] / 1000, "scale": 4.0}
    scan = scan_gates(OfEveryKind(), ones, ODD, "hook_good", model_kwargs=kwargs)
    (line,) = scan.frame().itertuples()
    assert (line.formula, scan.n_distinct) == ("odd", 40)
    assert 2 < line.threshold < 4
    assert scan_gates(OfEveryKind(), ones, {"f": [1] * 40} | ODD, "hook_good", model_kwargs={"mask": mask}).n_distinct == 2  # fmt: skip
    with pytest.raises(XorMiError, match=r"model_kwargs\['mask'\] has shape \[3\] for 40 inputs"):
        scan_gates(OfEveryKind(), ones, ODD, "hook_good", model_kwargs={"mask": mask[:3, 0]})


def test_features_as_a_table_and_numbers_of_numpy():
    """A DataFrame is a mapping of its columns; NumPy's whole numbers are whole numbers."""
    features = pd.DataFrame({"odd": (NUMBERS % 2).numpy()})
    values = (NUMBERS % 2 * 1.0)[:, None]
    pd.testing.assert_frame_equal(
        shown(values, features, n_permutations=np.int64(5), seed=np.int64(1)).frame(),
        shown(values, ODD, n_permutations=5, seed=1).frame(),
    )


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_a_hook_of_whole_numbers_is_read_as_the_same_real_numbers(dtype):
    """Tokens and masks are hooks of a bridge too."""
    bits = NUMBERS[:, None] % 2
    columns = ["formula", "threshold", "margin"]
    whole = shown(bits.to(dtype), ODD).frame()[columns]
    pd.testing.assert_frame_equal(whole, shown(bits.double(), ODD).frame()[columns])


def test_the_defaults_of_a_network(textbook):
    """All rows, their bits, every hook."""
    frame = scan_gates(textbook).frame()
    lines = frame[frame["hook"] == "hook_logits"]
    assert lines["formula"].tolist() == ["x0 ^ x1"]
    with pytest.raises(XorMiError, match="give inputs=, a tensor"):
        scan_gates(Shown())
    with pytest.raises(XorMiError, match="nothing says which bits"):
        scan_gates(Shown(), ROWS)
    with pytest.raises(XorMiError, match="meta device"):
        scan_gates(Shown(), ROWS.to("meta"), {"f": [0, 1, 0, 1]})
