"""The atlas says of every class what all functions of so many units, built up one by one, give; it
finds a function's class.
"""

import json
import random
from itertools import permutations, product

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from oracles.closures import Closure, all_thresholds, smallest_of_class, two_relus_compute
from scipy.stats import beta

from xor_mi import atlas, plots
from xor_mi.errors import XorMiError
from xor_mi.least_units import ATLAS_COLUMNS
from xor_mi.least_units._atlas import ATLAS, DATA, read_atlas
from xor_mi.population._parquet import write_table
from xor_mi.saving import ATLAS_MARK, mark_of
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user

INPUTS = (1, 2, 3, 4)
WIDTHS = ["threshold", "threshold_direct", "relu", "relu_direct"]


def packed(table):
    """A truth table as text -> the whole number whose bit r is row r."""
    return sum(int(bit) << row for row, bit in enumerate(table))


def functions_by(column, n_inputs):
    """How many functions need 0 or 1, 2, 3, 4 units: constants are counted with one."""
    lines = atlas(n_inputs=n_inputs)
    return lines.groupby(lines[column].clip(lower=1))["n_functions"].sum().to_dict()


# what it holds


@pytest.mark.parametrize(
    ("column", "n_inputs", "counts"),
    [
        ("threshold", 1, {1: 4}),
        ("threshold", 2, {1: 14, 2: 2}),
        ("threshold", 3, {1: 104, 2: 150, 3: 2}),
        ("threshold", 4, {1: 1882, 2: 39732, 3: 23920, 4: 2}),
        ("relu", 2, {1: 14, 2: 2}),
        ("relu", 3, {1: 104, 2: 150, 3: 2}),
        ("relu", 4, {1: 1882, 2: 47508, 3: 16146}),
    ],
)
def test_functions_by_their_least_number_of_units(column, n_inputs, counts):
    """Published are the first numbers, which count threshold functions (OEIS A000609); the others
    were found before this package proved any.
    """
    assert functions_by(column, n_inputs) == counts


@pytest.fixture(scope="module", params=INPUTS)
def built_up(request):
    """The lines of so many inputs, with their tables as numbers, and all that can be built up."""
    lines = atlas(n_inputs=request.param)
    return lines.assign(packed=lines["table"].map(packed)), Closure(request.param)


def test_every_least_number_is_that_of_building_up(built_up):
    """All classes, four kinds of networks; what two units with direct connections compute is not
    built up, so that of these the least number is known up to 2.
    """
    lines, closure = built_up
    expected = pd.DataFrame(index=lines.index)
    threshold = lines["packed"].map(
        lambda one: (
            1 + (one not in closure.one) + (one not in closure.two) + (one not in closure.three)
        )
    )
    # a constant needs no unit
    expected["threshold"] = threshold.where(lines["n_essential"] > 0, 0)
    expected["threshold_direct"] = lines["packed"].map(
        lambda one: (one not in closure.one) + (one not in closure.one_beside)
    )
    expected["relu"] = [
        2 if units > 2 and two_relus_compute(one, closure.n, closure.thresholds) else min(units, 3)
        for units, one in zip(expected["threshold"], lines["packed"], strict=True)
    ]
    expected["relu_direct"] = lines["packed"].map(
        lambda one: (one not in closure.one) + (one not in closure.two)
    )
    found = lines[WIDTHS].copy()
    found["threshold_direct"] = found["threshold_direct"].clip(upper=2)
    found["relu_direct"] = found["relu_direct"].clip(upper=2)
    pd.testing.assert_frame_equal(found, expected[WIDTHS], check_dtype=False)


def test_with_direct_connections_one_relu_less_than_threshold_units_is_enough(built_up):
    """In every class; of one ReLU it is a theorem (see `oracles.closures`)."""
    lines, _ = built_up
    assert lines["relu_direct"].tolist() == (lines["threshold"] - 1).clip(lower=0).tolist()


def test_the_sets_of_two_gates_are_those_of_all_pairs():
    """Every two threshold functions of four inputs, up to complement, and what an AND of them or of
    their complements gives: so many pairs give the class, four signed sets each.
    """
    gates = all_thresholds(4)
    # 0 on the first row, and not constant
    gates = gates[(gates & 1 == 0) & (gates > 0)]
    first, second = np.triu_indices(len(gates), k=1)
    a, b = gates[first], gates[second]
    n_pairs = np.zeros(2**16, dtype=int)
    for signs in product((0, 0xFFFF), repeat=2):
        both = (a ^ signs[0]) & (b ^ signs[1])
        n_pairs += np.bincount(both, minlength=2**16) + np.bincount(both ^ 0xFFFF, minlength=2**16)
    lines = atlas(n_inputs=4).query("threshold == 2")
    assert len(lines) == 128
    assert lines["n_gate_sets"].tolist() == (4 * n_pairs[lines["table"].map(packed)]).tolist()


def test_xor_has_eight_sets_of_gates_in_two_families():
    """OR and AND, or the two comparisons; each unit or its complement, four sets each."""
    line = atlas("XOR").iloc[0]
    assert (line["n_gate_sets"], line["n_families"]) == (8, 2)
    assert line[WIDTHS].tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize("n_inputs", INPUTS)
def test_there_is_a_line_for_every_class(n_inputs):
    """By the smallest table of every function's orbit, in order; its size and its inputs."""
    smallest, sizes = np.unique(smallest_of_class(n_inputs), return_counts=True)
    lines = atlas(n_inputs=n_inputs)
    assert lines["table"].map(packed).tolist() == smallest.tolist()
    assert lines["n_functions"].tolist() == sizes.tolist()
    functions = [BooleanFunction(n_inputs, table) for table in lines["table"]]
    assert lines["function"].tolist() == [function.name for function in functions]
    assert lines["n_essential"].tolist() == [len(one.essential_inputs) for one in functions]


@pytest.mark.parametrize("suffix", ["", "_one_more"])
def test_shares_are_those_of_the_counts(suffix):
    """With SciPy's own interval; one unit more is found more often, all classes taken together."""
    lines = atlas()
    count, n = lines["n_solved" + suffix], lines["n_networks"]
    low = beta.ppf(0.025, count, n - count + 1)
    high = beta.ppf(0.975, count + 1, n - count)
    assert lines["success" + suffix].tolist() == pytest.approx((count / n).tolist())
    assert lines["success_low" + suffix].tolist() == pytest.approx(np.nan_to_num(low).tolist())
    assert lines["success_high" + suffix].tolist() == pytest.approx(
        np.nan_to_num(high, nan=1.0).tolist()
    )
    assert lines["n_solved_one_more"].sum() > 1.5 * lines["n_solved"].sum()


# how it is asked


@pytest.mark.parametrize("seed", range(8))
def test_a_function_and_what_it_becomes_share_a_line(seed):
    """Inputs permuted and negated, the output negated, by plain Python."""
    rng = random.Random(seed)
    n_inputs = rng.choice(INPUTS)
    table = [rng.randint(0, 1) for _ in range(2**n_inputs)]
    order = rng.choice(list(permutations(range(n_inputs))))
    flips = [rng.randint(0, 1) for _ in range(n_inputs)]
    flip = rng.randint(0, 1)
    becomes = []
    for row in product((0, 1), repeat=n_inputs):
        moved = [row[order[place]] ^ flips[place] for place in range(n_inputs)]
        becomes.append(table[int("".join(map(str, moved)), 2)] ^ flip)
    line = atlas(BooleanFunction(n_inputs, table))
    assert len(line) == 1
    assert line["n_inputs"].item() == n_inputs
    pd.testing.assert_frame_equal(line, atlas(BooleanFunction(n_inputs, becomes)))


def test_names_formulas_and_numbers_of_inputs():
    """XNOR stands with XOR; inputs that a function does not read still count as inputs."""
    assert atlas("XNOR")["function"].tolist() == ["XOR"]
    assert atlas("XOR", n_inputs=4)[["n_inputs", "n_essential", "threshold"]].values.tolist() == [
        [4, 4, 4]
    ]
    assert atlas("x0 ^ x1", n_inputs=4)[["n_essential", "threshold"]].values.tolist() == [[2, 2]]
    assert atlas("FALSE")[WIDTHS].values.tolist() == [[0, 0, 0, 0]]
    assert atlas(BooleanFunction(1, "10"))[WIDTHS].values.tolist() == [[1, 0, 1, 0]]
    assert [len(atlas(n_inputs=n_inputs)) for n_inputs in INPUTS] == [2, 4, 14, 222]
    assert len(atlas()) == 242


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"target": "a ^ b ^ c ^ d ^ x4", "n_inputs": 5},
            "this one has 5; least_hidden_units takes",
        ),
        ({"target": "x0 & x4", "n_inputs": 5}, "ask for the function of x0, x4 alone"),
        ({"target": "XOR, AND"}, "functions of one output, and XOR, AND has 2"),
        ({"n_inputs": 5}, "the atlas has functions of 1 to 4"),
        ({"n_inputs": 0}, "n_inputs"),
        ({"target": "XORR"}, "did you mean"),
        ({"target": 6}, "not a target"),
    ],
)
def test_what_it_does_not_have_is_said(asked, said):
    """With what it has, and what to do."""
    with pytest.raises(XorMiError, match=said):
        atlas(**asked)


def test_changing_an_answer_changes_no_later_one():
    """It is read once, and given as a copy."""
    line = atlas("XOR")
    line["threshold"] = 7
    everything = atlas()
    everything["threshold"] = 7
    assert atlas("XOR")["threshold"].item() == 2
    assert atlas()["threshold"].max() == 4


# how it is stored


def test_what_made_it_is_stored_beside_it():
    """Versions and settings; a small file with a mark."""
    metadata = pq.read_schema(DATA).metadata
    about = json.loads(metadata[b"xor_mi"])
    assert {"xor-mi", "torch", "numba", "z3-solver"} == about["versions"].keys()
    assert about["n_networks"] == atlas()["n_networks"].unique().tolist()[0]
    assert (about["seed"], about["config"]["act_fn"]) == (0, "relu")
    assert DATA.stat().st_size < 100_000
    assert mark_of(DATA) == ATLAS_MARK
    assert atlas().columns.tolist() == list(ATLAS_COLUMNS)


def test_a_file_that_is_cut_changed_or_not_there_is_refused(tmp_path):
    """Bytes and lines; the message says what to do."""
    file = tmp_path / "atlas.parquet"
    with pytest.raises(XorMiError, match="install xor-mi again"):
        read_atlas(file)
    content = bytearray(DATA.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    with pytest.raises(XorMiError, match="not a atlas|not an atlas|not those that were written"):
        read_atlas(file)
    file.unlink()
    write_table(atlas().drop(index=100), file, kind=ATLAS, about={}, overwrite=False)
    with pytest.raises(XorMiError, match="functions by number of inputs"):
        read_atlas(file)


# the picture


@pytest.mark.parametrize("unit", ["relu", "threshold"])
@pytest.mark.parametrize("n_inputs", INPUTS)
def test_every_class_is_a_mark_at_its_share(unit, n_inputs):
    """As many as there are classes, each over its number of units and by the other kind's, at its
    share; none covers another.
    """
    lines = atlas(n_inputs=n_inputs)
    figure = plots.atlas_figure(atlas(), n_inputs=n_inputs, unit=unit)
    marks = [trace for trace in figure.data if trace.type == "scatter"]
    other = "threshold" if unit == "relu" else "relu"
    drawn = {}
    for trace in marks:
        for x, y, across, said in zip(
            trace.x, trace.y, trace.marker.size, trace.hovertext, strict=True
        ):
            table = said.split("table ")[1].split(",")[0]
            drawn[table] = (x, y, across, int(trace.name.split()[0]))
    assert drawn.keys() == set(lines["table"])
    axis = figure.layout.xaxis
    column = dict(zip(axis.ticktext, axis.tickvals, strict=True))
    for line in lines.to_dict("records"):
        x, y, _, others = drawn[line["table"]]
        assert y == pytest.approx(100 * line["success"])
        assert others == line[other]
    # one column of marks after the other, each about its number
    units = sorted(set(lines[unit]))
    assert list(column) == list(map(str, units))
    left = axis.range[0]
    for number in units:
        places = [drawn[table][0] for table in lines["table"][lines[unit] == number]]
        assert left < min(places) <= column[str(number)] <= max(places)
        left = max(places)
    # in pixels, as the figure's own size gives them
    across_all = figure.layout.width - figure.layout.margin.l - figure.layout.margin.r
    start, end = axis.domain
    scale_x = across_all * (end - start) / np.ptp(axis.range)
    assert scale_x == pytest.approx(1)
    assert figure.layout.width <= 640
    places = np.array([(x, y * plots._atlas.MARKS_HEIGHT / 100) for x, y, _, _ in drawn.values()])
    radii = np.array([across / 2 for _, _, across, _ in drawn.values()])
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (apart > (radii[:, None] + radii)).all()


def test_the_bars_count_functions():
    """Four kinds of networks, each with all 65,536 functions."""
    figure = plots.atlas_figure(atlas())
    bars = {trace.name: trace for trace in figure.data if trace.type == "bar"}
    assert len(bars) == 4
    assert all(sum(number or 0 for number in trace.y) == 2**16 for trace in bars.values())
    assert list(bars["threshold units"].y) == [2, 1880, 39732, 23920, 2]
    assert list(bars["ReLU units"].y) == [2, 1880, 47508, 16146, None]
    said = "47,508 of 65,536 functions of 4 inputs need 2 ReLU units"
    assert figure.layout.title.text.replace("<br>", " ").startswith(said)


def test_the_pointer_reads_a_class_in_words():
    """Function, table, both kinds of units, sets, families, share and interval."""
    figure = plots.atlas_figure(atlas("XOR"), n_inputs=2)
    line = atlas("XOR").iloc[0]
    (said,) = figure.data[0].hovertext
    assert "<b>XOR</b>" in said
    assert "threshold units: 2, with direct 1" in said
    assert "8 sets of gates in 2 families" in said
    assert f"{100 * line['success']:.1f}%" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_inputs": 5}, "this table has no class of 5 inputs; it has classes of 1, 2, 3, 4"),
        ({"unit": "sign"}, "no unit 'sign'"),
        ({"n_inputs": 2.5}, "n_inputs"),
    ],
)
def test_what_cannot_be_drawn_is_said(given, said):
    """With what can."""
    with pytest.raises(XorMiError, match=said):
        plots.atlas_figure(atlas(), **given)
    with pytest.raises(XorMiError, match="has no column"):
        plots.atlas_figure(atlas().drop(columns="relu"))
