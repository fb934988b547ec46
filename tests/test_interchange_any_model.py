"""Interchange on models that are not ours: against one run at a time with hooks, and against
TransformerLens' own interchange.
"""

import functools
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from models import OwnModel, native_transformer
from networks import OR_AND
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint
from transformer_lens.tools.analysis import interchange as tl

from xor_mi import zoo
from xor_mi.errors import XorMiError
from xor_mi.interventions import (
    HighLevelModel,
    Site,
    Subspace,
    das_accuracy,
    interchange_accuracy,
    subspace_accuracy,
)
from xor_mi.interventions._controls import UNTRAINED, shuffled
from xor_mi.interventions._placed import Placed
from xor_mi.metrics import by_argmax, by_threshold, by_tokens

pytestmark = pytest.mark.as_a_user

PARTS = HighLevelModel({"left": "a & ~b"}, "left | b & ~a", inputs=("a", "b"))
POST = "blocks.0.mlp.hook_post"


class OwnXor(HookedRootModule):
    """A user's module that computes the XOR of two numbers above a half: an OR unit, an AND unit,
    and one that nobody needs. Its forward takes a keyword and works in place after the hook.
    """

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            self.hidden, self.last = nn.Linear(2, 3), nn.Linear(3, 1)
        self.hook_hidden = HookPoint()
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[9.0, 9.0], [9.0, 9.0], [3.0, -2.0]]))
            self.hidden.bias.copy_(torch.tensor([-4.5, -13.5, 0.0]))
            self.last.weight.copy_(torch.tensor([[0.5, -0.5, 0.0]]))
            self.last.bias.fill_(-0.5)
        self.setup()
        self.eval()

    def forward(self, x, scale=None):
        """[batch, 2] -> [batch, 1]"""
        hidden = self.hook_hidden(torch.sigmoid(8 * self.hidden(x)))
        out = self.last(hidden.mul_(2.0))
        return out if scale is None else out * scale[:, None]


@pytest.fixture
def noisy():
    """Twelve inputs near the four rows, and which bits they have."""
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(3, 1)
    noise = 0.1 * torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    return rows + noise, {"a": rows[:, 0], "b": rows[:, 1]}


def test_an_own_module_follows_its_algorithm(noisy):
    """OR and AND come out exactly, alone and together; all controls are worse, each with a line of
    its own.
    """
    inputs, features = noisy
    places = {"either": Site("hook_hidden", 0), "both": Site("hook_hidden", 1)}
    ask = functools.partial(
        interchange_accuracy, inputs=inputs, features=features, decide=by_threshold()
    )
    found = ask(OwnXor(), OR_AND, places, controls=True)
    assert {name: found.n_agreed[name] for name in ("either", "both", "(joint)")} == {
        "either": 144,
        "both": 144,
        "(joint)": 1728,
    }
    assert found.is_exhaustive
    assert found.accuracy() == 1
    assert (found.n_inputs, found.n_differing) == (12, 0)
    assert list(found.why_not) == ["shuffled sites"], "one other unit is too few for two"
    controls = found.frame().query("control != ''")
    assert set(controls["control"]) == {"another role", "untrained network"}
    assert len(controls) == 2 + 3
    # of one variable alone there are two other units, both drawn
    alone = ask(OwnXor(), OR_AND, {"either": places["either"]}, controls=True)
    assert alone.why_not == {}
    by_unit = [
        ask(OwnXor(), OR_AND, {"either": Site("hook_hidden", unit)}).n_agreed["either"]
        for unit in (1, 2)
    ]
    assert alone.n_agreed["either, shuffled sites"] == sum(by_unit)
    assert alone.n_runs["either, shuffled sites"] == 288
    assert alone.n_agreed["either, best of 2 shuffled sites"] == max(by_unit)
    assert alone.is_exhaustive
    words = re.sub("<[^>]*>", " ", found._repr_html_())
    assert "Interchange accuracy 100.0% of all variables jointly; 3 of 3 agree" in words
    for control, accuracy in controls.groupby("control")["accuracy"].max().items():
        assert f"{control} {accuracy:.1%}" in words
    assert controls["accuracy"].max() < 0.9
    # the bits are the same however they are given
    table = pd.DataFrame({name: bits.numpy() for name, bits in features.items()})
    again = ask(OwnXor(), OR_AND, places, features=table)
    assert again.n_agreed == {name: found.n_agreed[name] for name in again.n_agreed}
    # OR's unit carries AND's role not at all: 36 sources of each kind, held against the formula
    expected = sum(
        (a | b) & (1 - (c & d)) == int((c | d) & (1 - (a & b)))
        for a, b, c, d in product((0, 1), repeat=4)
    )
    assert found.n_agreed["either, taken for both"] == 9 * expected


def test_a_complement_is_not_another_role(noisy):
    """ "neither" is the complement of "either": where both are read, OR's unit follows either of
    them, and that is no reason to doubt it. With no other variable the control is not there, and
    says why.
    """
    inputs, features = noisy
    said = {"inputs": inputs, "features": features, "decide": by_threshold(), "controls": True}
    three = HighLevelModel(
        {"either": "x0 | x1", "neither": "~(x0 | x1)", "both": "x0 & x1"},
        "either & ~neither & ~both",
    )
    place = {"either": Site("hook_hidden", 0)}
    found = interchange_accuracy(OwnXor(), three, place, **said)
    roles = [name for name, control in found.controls.items() if control == "another role"]
    assert roles == ["either, taken for both"]
    two = HighLevelModel({"either": "x0 | x1", "neither": "x0 | x1"}, "either & neither")
    alone = interchange_accuracy(OwnXor(), two, place, **said)
    assert "another role" not in alone.controls.values()
    assert "No control by another role: either: every other variable carries" in str(alone)
    # of one variable there is no other one to speak of
    one = HighLevelModel({"either": "x0 | x1"}, "either")
    assert "another role" not in interchange_accuracy(OwnXor(), one, place, **said).why_not


def one_at_a_time(model, inputs, entries, hook_name, base, sources):
    """The outputs of one interchange by TransformerLens' run_with_hooks."""
    new = {}
    for entry, source in zip(entries, sources, strict=True):
        _, cache = model.run_with_cache(inputs[source : source + 1].clone())
        new[entry] = cache[hook_name].clone()

    def write(value, hook):
        value = value.clone()
        for entry, seen in new.items():
            value[(slice(None), *entry)] = seen[(slice(None), *entry)]
        return value

    return model.run_with_hooks(inputs[base : base + 1].clone(), fwd_hooks=[(hook_name, write)])


def mixed_or_and(features, base, either, both):
    """What OR and not AND decides, with each part from its own source."""
    left = int(features[either].any())
    right = int(features[both].all())
    return left & (1 - right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_model_equals_one_run_at_a_time(dtype):
    """Every base and source of a random own module and of a random native transformer with grouped
    key and value heads, joint too, decided alike as by hand.
    """
    generator = torch.Generator().manual_seed(4)
    own, tokens = OwnModel(), torch.tensor([[0, 0, 2], [0, 1, 2], [1, 0, 2], [1, 1, 2]])
    sizes = {"d_model": 16, "d_head": 4, "n_ctx": 3, "d_mlp": 8, "d_vocab": 3, "seed": 1}
    bridge = native_transformer(**sizes, n_key_value_heads=2)
    reals = torch.randn(4, 3, generator=generator)
    features = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    cases = [
        (own, reals, "hook_second", [(0,), (3,)], by_argmax()),
        (bridge, tokens, "blocks.0.attn.hook_z", [(-1, 1), (2, 3)], by_tokens(1, 0)),
    ]
    for model, inputs, hook_name, entries, decide in cases:
        if dtype == torch.bfloat16 and model is own:
            continue  # its inputs are float32 by its own forward
        model = model.to(dtype)
        places = dict(zip(("either", "both"), [Site(hook_name, e) for e in entries], strict=True))
        found = interchange_accuracy(
            model,
            OR_AND,
            places,
            inputs=inputs,
            features={"a": features[:, 0], "b": features[:, 1]},
            decide=decide,
        )
        counts = {"either": 0, "both": 0, "(joint)": 0}
        for base, one, other in product(range(4), repeat=3):
            out = one_at_a_time(model, inputs, entries, hook_name, base, (one, other))
            expected = mixed_or_and(features, base, one, other)
            counts["(joint)"] += int(decide(out).item() == expected)
        for number, name in enumerate(("either", "both")):
            for base, source in product(range(4), repeat=2):
                out = one_at_a_time(
                    model, inputs, entries[number : number + 1], hook_name, base, (source,)
                )
                sources = [base, base]
                sources[number] = source
                counts[name] += int(decide(out).item() == mixed_or_and(features, base, *sources))
        assert found.n_agreed == counts
        plain = decide(model(inputs)).tolist()
        differing = sum(p != mixed_or_and(features, k, k, k) for k, p in enumerate(plain))
        assert found.n_differing == differing
        assert ("decides" in str(found)) == bool(differing)


def test_explicit_arguments_of_a_hooked_mlp_are_its_defaults(textbook):
    """Inputs, features and a decision that say what a HookedMLP's own are change nothing."""
    places = {"either": "h0.0", "both": "h0.1"}
    rows = textbook.rows()
    said = {
        "inputs": rows,
        "features": {"b0": [0, 0, 1, 1], "b1": rows[:, 1]},
        "decide": by_threshold(0.5),
    }
    found = interchange_accuracy(textbook, OR_AND, places, controls=True)
    explicit = interchange_accuracy(textbook, OR_AND, places, controls=True, **said)
    pd.testing.assert_frame_equal(explicit.frame(), found.frame())
    assert interchange_accuracy(textbook, OR_AND, places, inputs=["00", "11"]).n_runs["either"] == 4
    basis = torch.eye(2)[:, :1]
    for call, given in ((subspace_accuracy, (basis,)), (das_accuracy, ())):
        plain = call(textbook, OR_AND, "either", POST, *given)
        assert call(textbook, OR_AND, "either", POST, *given, **said).n_agreed == plain.n_agreed


def test_in_place_models_have_the_subspaces_that_they_show(noisy):
    """The module doubles its hidden units in place after the hook: directions, given or as units,
    are those of what the hook saw.
    """
    inputs, features = noisy
    said = {"inputs": inputs, "features": features, "decide": by_threshold()}
    for unit, variable in enumerate(("either", "both")):
        basis = torch.eye(3)[:, unit : unit + 1]
        found = subspace_accuracy(OwnXor(), OR_AND, variable, "hook_hidden", basis, **said)
        assert found.n_agreed == {variable: 144}


def test_keyword_inputs_reach_every_run(noisy):
    """A keyword that turns the outputs of some inputs around turns their decisions around."""
    inputs, features = noisy
    ask = functools.partial(
        interchange_accuracy, OwnXor(), OR_AND, {"either": Site("hook_hidden", 0)},
        inputs=inputs, features=features, decide=by_threshold(),
    )  # fmt: skip
    scale = torch.ones(12)
    scale[:3] = -1.0
    turned = ask(model_kwargs={"scale": scale})
    # the scale is that of the base
    assert turned.n_agreed["either"] == 144 - 3 * 12
    assert turned.n_differing == 3
    assert "decides 3 of 12 inputs otherwise" in str(turned)


def test_many_runs_are_sampled_by_seed_and_said(noisy):
    """Beyond max_runs a sample is drawn, the same by the same seed, and the result says so."""
    inputs, features = noisy
    places = {"either": Site("hook_hidden", 1), "both": Site("hook_hidden", 0)}
    ask = functools.partial(
        interchange_accuracy, OwnXor(), OR_AND, places,
        inputs=inputs, features=features, decide=by_threshold(), max_runs=150,
    )  # fmt: skip
    found = ask()
    assert found.n_runs == {"either": 144, "both": 144, "(joint)": 150}
    assert found.n_possible["(joint)"] == 1728
    assert not found.is_exhaustive
    assert "Sampled with seed 0: (joint) of 1,728" in str(found)
    assert ask().n_agreed == found.n_agreed
    several = {ask(seed=seed).n_agreed["(joint)"] for seed in range(6)}
    assert len(several) > 1
    whole = ask(max_runs=1728).accuracy()
    assert abs(np.mean([n / 150 for n in several]) - whole) < 0.15


@functools.cache
def bridge_task():
    """A random transformer, its four inputs, their bits, and a decision."""
    sizes = {"d_model": 8, "d_head": 4, "n_ctx": 3, "d_mlp": 8, "d_vocab": 3, "seed": 3}
    with torch.random.fork_rng():
        model = native_transformer(**sizes)
    tokens = torch.tensor([[0, 0, 2], [0, 1, 2], [1, 0, 2], [1, 1, 2]])
    said = {
        "inputs": tokens,
        "features": {"a": tokens[:, 0], "b": tokens[:, 1]},
        "decide": by_tokens(1, 0),
    }
    return model, said


def of_theirs(model, tokens):
    """Two logits as TransformerLens' interchange wants them."""
    return model(tokens)[:, -1, :2]


def test_a_subspace_at_a_position_is_transformer_lens_with_positions():
    """A basis of one position of the stream: the decisions are those of TransformerLens'
    intervened_logits with positions, and those of interchange_accuracy with a Subspace.
    """
    model, said = bridge_task()
    tokens, hook, position = said["inputs"], "blocks.0.hook_resid_post", 1
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    base, source = tokens[pairs[:, 0]], tokens[pairs[:, 1]]
    at = torch.full((16,), position)
    seen = tl.collect_activations(
        model, hook, source, functools.partial(of_theirs, model), positions=at
    )
    basis = tl.random_basis(8, 3, 5)
    logits = tl.intervened_logits(
        model, hook, tl.SubspaceInterchange(basis), base, seen,
        functools.partial(of_theirs, model), positions=at,
    )  # fmt: skip
    decided = (logits[:, 1] > logits[:, 0]).long()
    left = PARTS.bits(2)[0]
    x = said["features"]
    a, b = x["a"][pairs[:, 0]], x["b"][pairs[:, 0]]
    expected = left[pairs[:, 1]] | (b & (1 - a))
    n_agreed = int((decided == expected).sum())
    site = Site(hook, (position,))
    found = subspace_accuracy(model, PARTS, "left", site, basis, **said)
    assert (found.n_agreed, found.n_runs) == ({"left": n_agreed}, {"left": 16})
    ours = interchange_accuracy(model, PARTS, {"left": Subspace(site, basis)}, **said)
    assert ours.n_agreed == found.n_agreed
    whole = interchange_accuracy(model, PARTS, {"left": Subspace(site, torch.eye(8))}, **said)
    assert whole.n_agreed == interchange_accuracy(model, PARTS, {"left": site}, **said).n_agreed


def test_das_at_a_position_is_transformer_lens_with_positions():
    """The basis that is learned at one position is the one that fit_das learns there."""
    model, said = bridge_task()
    tokens, hook, position = said["inputs"], "blocks.0.hook_resid_pre", 0
    found = das_accuracy(model, PARTS, "left", Site(hook, (position,)), epochs=4, seed=2, **said)
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    x = said["features"]
    a, b = x["a"][pairs[:, 0]], x["b"][pairs[:, 0]]
    expected = PARTS.bits(2)[0][pairs[:, 1]] | (b & (1 - a))

    largest = (of_theirs(model, tokens) @ torch.tensor([-1.0, 1.0])).abs().max().item()

    def scaled(tokens):
        difference = of_theirs(model, tokens) @ torch.tensor([-1.0, 1.0]) * (5 / largest)
        return torch.stack([-difference, difference], dim=1)

    at = torch.full((16,), position)
    theirs = tl.fit_das(
        model, hook, tokens[pairs[:, 0]], tokens[pairs[:, 1]], expected, scaled,
        rank=1, base_positions=at, source_positions=at,
        epochs=4, batch_size=16, lr=0.05, seed=2,
    )  # fmt: skip
    assert torch.allclose(found.subspace, theirs.basis, atol=1e-6)
    assert list(found.n_runs) == ["das", "placebo", "arbitrary targets", "untrained network"]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_trained_transformer_follows_or_and_and():
    """The zoo's transformer: its OR and its AND neurons at "=" are the algorithm's variables, as
    sites and as TransformerLens' bases of neurons; not so in another role or at other neurons.
    """
    model, task = zoo.load_transformer("xor-transformer"), zoo.transformer_task()
    said = {"inputs": task.inputs, "features": task.features, "decide": task.decide}
    hook = "blocks.0.mlp.hook_post"
    gates = zoo.recorded_findings("xor-transformer")["neurons"]["gate"]
    acting = {"either": ["OR", "NOR"], "both": ["AND", "NAND"]}
    groups = {name: gates.index[gates.isin(one)].tolist() for name, one in acting.items()}
    places = {name: Site(hook, (-1, numbers)) for name, numbers in groups.items()}
    found = interchange_accuracy(model, task.algorithm, places, controls=True, **said)
    assert found.n_agreed["either"] == found.n_agreed["both"] == 16
    assert found.n_agreed["(joint)"] == 64
    table = found.frame().set_index("control")["accuracy"]
    assert table.drop("").max() < 1
    # 6 of 8 neurons are used, so they move to the other two positions, which leave the last one as
    # it is: what agrees there is what the algorithm does not change either
    bits = torch.stack([torch.as_tensor(one) for one in task.features.values()], dim=1)
    for name in ("either", "both"):
        unchanged = 0
        for base, source in product(range(4), repeat=2):
            other = {"either": base, "both": base, name: source}
            before, after = (mixed_or_and(bits, base, *of) for of in ((base, base), other.values()))
            unchanged += before == after
        assert found.n_agreed[f"{name}, shuffled sites"] == 2 * unchanged
        assert found.sites[f"{name}, best of 2 shuffled sites"].startswith(f"{hook}[")
    for name, numbers in groups.items():
        basis = tl.neuron_basis(8, numbers)
        by_basis = subspace_accuracy(model, task.algorithm, name, Site(hook, (2,)), basis, **said)
        assert by_basis.n_agreed == {name: 16}


def test_perpendicular_subspaces_of_one_site_are_apart():
    """Two variables in one site are interchanged jointly where their directions are perpendicular,
    as two units are, and refused where they are not.
    """
    model, said = bridge_task()
    eye = torch.eye(8)
    hook = Site("blocks.0.mlp.hook_post", (-1,))
    by_units = {name: Site(hook.hook_name, (-1, k)) for name, k in (("either", 2), ("both", 5))}
    by_bases = {"either": Subspace(hook, eye[:, 2:3]), "both": Subspace(hook, eye[:, 5:6])}
    a, b = (interchange_accuracy(model, OR_AND, one, **said) for one in (by_units, by_bases))
    assert a.n_agreed == b.n_agreed
    tilted = Subspace(hook, (eye[:, 2:3] + eye[:, 5:6]) / 2**0.5)
    with pytest.raises(XorMiError, match="subspaces of one site must be perpendicular"):
        interchange_accuracy(model, OR_AND, {**by_bases, "both": tilted}, **said)
    with pytest.raises(XorMiError, match="overlap"):
        interchange_accuracy(model, OR_AND, {**by_bases, "both": by_units["both"]}, **said)
    short = {"either": Subspace(Site(hook.hook_name, (-1, [0, 1, 2])), eye[:, :1])}
    with pytest.raises(XorMiError, match=r"give a tensor \[3, rank\]"):
        interchange_accuracy(model, OR_AND, short, **said)


def test_across_a_subspace_the_run_goes_on_as_it_is():
    """A direction and a unit are the same place, also where an earlier place is that of a source."""
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(6, 3, generator=generator)
    model, before = OwnModel(), Site("hook_first", (slice(0, 4),))
    features = {"a": [0, 0, 1, 1, 0, 1], "b": [0, 1, 0, 1, 1, 0]}
    for unit in range(4):
        a, b = (
            interchange_accuracy(
                model, OR_AND, {"either": before, "both": place},
                inputs=inputs, features=features, decide=by_argmax(),
            )
            for place in (Site("hook_second", unit), Subspace("hook_second", torch.eye(4)[:, unit : unit + 1]))
        )  # fmt: skip
        assert a.n_agreed == b.n_agreed


def test_two_names_of_one_hook_overlap():
    """A bridge lists some hooks twice; two variables there would take one value from two sources."""
    model, said = bridge_task()
    places = {"either": "blocks.0.hook_attn_out", "both": Site("blocks.0.attn.hook_out", (0,))}
    with pytest.raises(XorMiError, match="overlap"):
        interchange_accuracy(model, OR_AND, places, **said)


def test_controls_that_cannot_be_had_say_why(noisy):
    """Whole hooks have no other entries, and parameters that no module owns are not made anew."""
    inputs, features = noisy
    said = {"inputs": inputs, "features": features, "decide": by_threshold()}
    found = interchange_accuracy(OwnXor(), OR_AND, {"either": "hook_hidden"}, controls=True, **said)
    assert list(found.why_not) == ["shuffled sites"]
    assert "No control by shuffled sites: either: it is at all entries of hook" in str(found)
    reals = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    own = interchange_accuracy(
        OwnModel(), OR_AND, {"either": Site("hook_first", 2)}, controls=True,
        **{**said, "inputs": reals, "decide": by_argmax()},
    )  # fmt: skip
    assert "no module's reset_parameters covers them" in own.why_not["untrained network"]
    assert set(own.controls.values()) == {"another role", "shuffled sites"}


def test_shuffled_sites_are_none_of_the_alignments_own():
    """Ten different draws, or as many as there are; each keeps the variables apart, and has no
    entry that an aligned site has. Otherwise the reason is said.
    """
    wide = {"a": [Placed(Site("hook", (2, [0, 1, 4])))], "b": [Placed(Site("hook", (2, [2, 3])))]}
    first = {"a": [Placed(Site("hook", (0, [0, 1, 4])))], "b": [Placed(Site("hook", (0, [2, 3])))]}
    single = {"a": [Placed(Site("hook", (0, k))) for k in (0, 1)]}
    corner = {"a": [Placed(Site("hook", (0, 1)))], "b": [Placed(Site("hook", (1,)))]}
    for aligned, shape, n_draws in (
        (wide, (3, 16), 10), (wide, (3, 8), 2), (first, (1, 8), 0), (single, (1, 5), 3), (corner, (5, 3), 6),
        (corner, (4, 2), 2), (corner, (3, 3), 0),
    ):  # fmt: skip
        aligned = {name: tuple(places) for name, places in aligned.items()}
        own = sum(entries(places, shape) for places in aligned.values())
        for seed in range(3):
            draws, why_not = shuffled(aligned, {"hook": shape}, seed)
            assert len(draws) == n_draws
            assert set(why_not) == (set() if n_draws else set(aligned))
            seen = []
            for draw in draws:
                moved = [entries(places, shape) for places in draw.values()]
                # as many entries, none the alignment's own, none in two variables
                assert sum(moved).bit_count() == own.bit_count()
                assert not sum(moved) & own
                assert sum(moved) == functools.reduce(int.__or__, moved)
                seen.append(tuple(moved))
            assert len(set(seen)) == n_draws


def entries(places, shape):
    """The entries of some places, by NumPy, as the bits of one number."""
    numbers = np.arange(np.prod(shape)).reshape(shape)
    of_places = [np.ravel(numbers[place.site.index]) for place in places]
    return sum(1 << int(number) for number in np.concatenate(of_places))


@pytest.mark.parametrize(
    ("high_level", "message"),
    [
        (HighLevelModel({"l": "a & ~b"}, "l", inputs=("a", "b")), None),
        (HighLevelModel({"l": "x0 & ~x1"}, "l", inputs=("a", "b")), None),
        (HighLevelModel({"l": "x0 & ~x1"}, "l", inputs=("a", "c")), "inputs are a, c and the feat"),
        (HighLevelModel({"l": "a & ~b"}, "l"), "'a' in the algorithm's formulas is input 0, and"),
        (HighLevelModel({"l": "x1 & ~x0"}, "l"), None),
    ],
)
def test_features_go_by_the_names_of_the_inputs(noisy, high_level, message):
    """Features called b and a, in this order, are the inputs of these names, or the formula's x0
    and x1 where inputs have none; a name that is misspelt, or is another input, is refused.
    """
    inputs, features = noisy
    said = {"inputs": inputs, "decide": by_threshold()}
    turned = {"b": features["b"], "a": features["a"]}
    place = {"l": Site("hook_hidden", 0)}
    if message is None:
        found = interchange_accuracy(OwnXor(), high_level, place, features=turned, **said)
        numbered = HighLevelModel({"l": "x0 & ~x1"}, "l")
        by_number = {"x1": features["b"], "x0": features["a"]}
        same = interchange_accuracy(OwnXor(), numbered, place, features=by_number, **said)
        assert found.n_agreed == same.n_agreed
        assert found.n_differing == same.n_differing == 3
    else:
        with pytest.raises(XorMiError, match=message):
            interchange_accuracy(OwnXor(), high_level, place, features=turned, **said)


def test_an_output_may_use_inputs_and_inputs_have_names():
    """Formulas over names are the same functions as over x0, x1; inputs that the output uses come
    from the base.
    """
    numbered = HighLevelModel({"left": "x0 & ~x1"}, "left | x1 & ~x0")
    assert numbered.table(2) == PARTS.table(2) == (0, 1, 1, 0)
    assert numbered.direct_inputs == (0, 1)
    bits, inputs = torch.tensor([[1], [0], [0]]), torch.tensor([[0, 0], [0, 1], [1, 1]])
    assert PARTS.predict(bits, inputs).tolist() == [1, 1, 0]
    turned = HighLevelModel({"left": "a & ~b"}, "left", inputs=("b", "a"))
    assert turned.table(2) == (0, 1, 0, 0)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HighLevelModel({"a": "x0"}, "a & q", inputs=("p",)), "no variable 'q'; the variables are: a, p"),
        (lambda: HighLevelModel({"a": "x0"}, "a", inputs=("a",)), "'a' is an input and a variable"),
        (lambda: HighLevelModel({"v": "x0"}, "v", inputs=("a", "a")), "two have the same name"),
        (lambda: HighLevelModel({"v": "x0"}, "v", inputs="ab"), "give their names in order"),
        (lambda: HighLevelModel({"v": "x0"}, "v", inputs=("x1", "x0")), "an input is called 'x1'"),
        (lambda: HighLevelModel({"(joint)": "x0"}, "1"), r"a variable is called '\(joint\)'; give a word such as"),
        (lambda: HighLevelModel({"v": "x0", "v, shuffled sites": "x1"}, "v"), "a variable is called 'v, shuffled sites'"),
        (lambda: HighLevelModel({"1": "x0 & x1"}, "1"), "a variable is called '1'"),
        (lambda: HighLevelModel({"": "x0"}, "1"), "a variable is called ''"),
        (lambda: HighLevelModel({"x0": "x0 & x1"}, "x0"), "a variable is called 'x0'"),
        (lambda: HighLevelModel({"And": "x0 & x1"}, "And"), "a variable is called 'And'"),
        (lambda: HighLevelModel({"v": "a ^ b", "w": "v & c"}, "w", inputs=("a", "b", "c")).table(3), r"the formula of 'w' uses the variable 'v', and a variable reads inputs only; write \(a \^ b\) in its place"),
        (lambda: HighLevelModel({"either": "x0 | x1", "w": "either & x2"}, "w").table(3), "the formula of 'w' uses the variable 'either'"),
        (lambda: HighLevelModel({"v": "a & foo"}, "v", inputs=("a", "b")).table(2), "no input 'foo'; the inputs are: a, b"),
        (lambda: HighLevelModel({"v": "b"}, "v", inputs=("p", "q")).bits(2), "no input 'b'; the inputs are: p, q"),
        (lambda: HighLevelModel({"v": "p"}, "v", inputs=("p", "q")).bits(3), "has 2 inputs, p, q, and not 3"),
        (lambda: HighLevelModel({"v": "x0"}, "v & x2").table(2), "x2, which is not one of 2 inputs"),
        (lambda: HighLevelModel({"v": "x0"}, "v & x1").predict(torch.tensor([[1]])), "give the bits of the inputs too"),
    ],
)  # fmt: skip
def test_algorithms_that_make_no_sense(call, message):
    """Names of inputs are answered in one sentence."""
    with pytest.raises(XorMiError, match=message):
        call()


class Pair(OwnXor):
    """Returns a tuple."""

    def forward(self, x, scale=None):
        return super().forward(x), None


def trained(model):
    """The same model in train mode."""
    return model.train()


SAID = {
    "inputs": torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
    "features": {"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]},
    "decide": by_threshold(),
}
AT = {"either": Site("hook_hidden", 0)}


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("model", "places", "given", "message"),
    [
        (OwnXor(), AT, {"inputs": None}, r"give inputs=, a tensor \[input, ...\]"),
        (OwnXor(), AT, {"inputs": torch.empty(0, 2)}, r"inputs have shape \[0, 2\]; give at least one"),
        (OwnXor(), AT, {"features": None}, r"inputs of shape \[4, 2\] have; give features="),
        (OwnXor(), AT, {"features": {"a": [0, 1]}}, "feature 'a' has 2 values for 4 inputs"),
        (OwnXor(), AT, {"features": {"a": [0, 1, 2, 0]}}, "feature 'a': 2 is not a bit"),
        (OwnXor(), AT, {"features": [0, 1, 1, 0]}, "give 1 to 12 as {name: one bit per input}"),
        (OwnXor(), AT, {"decide": None}, r"by its outputs \[4, 1\]; give decide="),
        (OwnXor(), AT, {"decide": by_argmax()}, "no output 1"),
        (OwnXor(), AT, {"decide": lambda out: out}, "decide gives"),
        (OwnXor(), AT, {"output": 1}, "output=1 has no effect"),
        (OwnXor(), AT, {"max_runs": 0}, "max_runs must be a whole number of at least 1"),
        (OwnXor(), {"either": Site("hook_hidden", 3)}, {}, "an axis of 3 has no 3"),
        (OwnXor(), {"either": Site("hook_hidden", (0, 0))}, {}, "the index has 2 axes"),
        (OwnXor(), {**AT, "both": Site("hook_hidden", -3)}, {}, "overlap"),
        (OwnXor(), {**AT, "both": "hook_hidden"}, {}, "overlap"),
        (OwnXor(), {"either": "hook_nope"}, {}, "no hook 'hook_nope'"),
        (Pair(), AT, {}, "returned a tuple"),
        (trained(OwnXor()), AT, {}, "train"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_one_sentence(model, places, given, message):
    """Inputs, features, decisions and places of a model that is not ours."""
    with pytest.raises(XorMiError, match=message) as error:
        interchange_accuracy(model, OR_AND, places, **{**SAID, **given})
    assert "\n" not in str(error.value)


@pytest.mark.unchecked
def test_das_needs_a_score_with_a_slope():
    """A decision that shows 0 and 1 alone is refused; one with a score of its own is followed."""

    def alone(out):
        return (out[:, 0] > 0).long()

    ask = functools.partial(das_accuracy, OwnXor(), OR_AND, "either", "hook_hidden", epochs=2)
    with pytest.raises(XorMiError, match="gives only 0 and 1; give metrics.by_threshold"):
        ask(**{**SAID, "decide": alone})
    alone.score = lambda out: out[:, 0]
    assert ask(**{**SAID, "decide": alone}).n_agreed == ask(**SAID).n_agreed
    alone.score = lambda out: out[:, 0].detach()
    with pytest.raises(XorMiError, match="learns by gradients, and this model gives none"):
        ask(**{**SAID, "decide": alone})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_placebo_of_16_bits_stays_where_base_and_source_are_equal(dtype):
    """No run of it is NaN, and it agrees where the model alone does."""
    model = OwnXor().to(dtype)
    said = SAID | {"inputs": SAID["inputs"].to(dtype)}
    found = das_accuracy(model, OR_AND, "either", "hook_hidden", epochs=2, **said)
    wide = das_accuracy(OwnXor(), OR_AND, "either", "hook_hidden", epochs=2, **SAID)
    assert abs(found.n_agreed["placebo"] - wide.n_agreed["placebo"]) <= 1
    assert found.n_agreed["placebo"] >= 4


class OfParameters(OwnXor):
    """A parameter of its own, which is in no layer that could be reset."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return super().forward(x) * self.scale


def test_an_untrained_model_of_ones_own_is_a_control():
    """It counts what the model that is given does, in interchange and beside DAS."""
    model, fresh = OfParameters(), OfParameters()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fresh.hidden.reset_parameters()
        fresh.last.reset_parameters()
        wide = OwnXor()
        wide.hidden, wide.last = nn.Linear(2, 5), nn.Linear(5, 1)
    places = {"either": Site("hook_hidden", 0), "both": Site("hook_hidden", 1)}
    without = interchange_accuracy(model, OR_AND, places, **SAID, controls=True)
    assert "give untrained=, the same model before its training" in without.why_not[UNTRAINED]
    found = interchange_accuracy(model, OR_AND, places, **SAID, controls=True, untrained=fresh)
    alone = interchange_accuracy(fresh, OR_AND, places, **SAID)
    assert UNTRAINED not in found.why_not
    for name, n_agreed in alone.n_agreed.items():
        assert found.n_agreed[f"{name}, {UNTRAINED}"] == n_agreed
    learned = das_accuracy(
        model, OR_AND, "either", "hook_hidden", epochs=2, **SAID, untrained=fresh
    )
    assert UNTRAINED in learned.n_agreed
    for other, says in (
        (
            native_transformer(d_model=8, d_head=2, n_ctx=4, d_mlp=8, d_vocab=5, seed=0),
            "no hook 'hook_hidden', which is written",
        ),
        (wide, r"has \[5\] numbers for an input, and the model itself \[3\]"),
    ):
        with pytest.raises(XorMiError, match=says):
            interchange_accuracy(model, OR_AND, places, **SAID, controls=True, untrained=other)
    with pytest.raises(XorMiError, match="give controls=True"):
        interchange_accuracy(model, OR_AND, places, **SAID, untrained=fresh)
