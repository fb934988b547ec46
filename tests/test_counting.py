"""Counts of subcircuits and of interpretations, held against a slow listing and published facts."""

import demo_network
import pytest
from oracles import counting

from xor_mi.model import HookedMLP
from xor_mi.search import Convention, compare_conventions

pytestmark = pytest.mark.as_a_user

DEMO = counting.Network(
    layers=demo_network.LAYERS,
    act_fns=("leaky_relu",) * 3,
    slope=demo_network.SLOPE,
    step_at_zero=0,
    levels=(0, 1),
    cut=demo_network.THRESHOLD,
    argmax=False,
    tables=((0, 1, 1, 0),),
)


def test_the_released_network_has_the_counts_that_others_count():
    """Under both presets subcircuits, perfect ones, interpretations and alignments of the released
    network are those of an independent count.
    """
    model = HookedMLP.from_weights(
        demo_network.LAYERS,
        act_fn="leaky_relu",
        out_act_fn="leaky_relu",
        negative_slope=demo_network.SLOPE,
        decision_threshold=demo_network.THRESHOLD,
        target="XOR",
    )
    presets = {"meloux_paper": "meloux_paper", "meloux_code": "meloux_code"}
    table = compare_conventions(model, conventions=presets).frame().set_index("convention")
    for preset, pairs, facts in (
        ("meloux_paper", "all", demo_network.PAPER),
        ("meloux_code", "unordered", demo_network.CODE),
    ):
        found = table.loc[preset]
        assert found[["n_subcircuits", "n_perfect", "n_interpretations"]].tolist() == [
            *facts.values()
        ]
        aligned = found[["n_aligned", "n_alignments"]].tolist()
        assert tuple(aligned) == demo_network.ALIGNED[pairs]


def test_the_slow_count_of_the_released_network_agrees():
    """A listing in plain Python, from the definitions, comes to the same numbers as published for
    the released code.
    """
    convention = Convention.meloux_code()
    rules = counting.Rules(
        all_units=convention.all_units,
        decision=convention.decision,
        constants=convention.constants,
        ban_parity=convention.ban_parity,
    )
    total, right = counting.perfect(DEMO, rules)
    n_interpretations = sum(counting.n_interpretations(DEMO, part, rules) for part in right)
    assert {
        "subcircuits": total,
        "perfect": len(right),
        "interpretations": n_interpretations,
    } == demo_network.CODE
