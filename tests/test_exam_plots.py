"""Pictures of grades and of the truth: what is drawn is what the tables say."""

import math

import numpy as np
import pytest

from xor_mi import plots, train, train_population
from xor_mi.errors import XorMiError
from xor_mi.exam import ExamProblem, Truth, grade
from xor_mi.handmade import textbook_xor

pytestmark = pytest.mark.as_a_user


def by_weight(problem):
    """Every edge by the size of its weight."""
    return np.concatenate([np.abs(layer.weight).ravel() for layer in problem.numbers.layers])


def backwards(problem):
    """The same, the smallest first."""
    return -by_weight(problem)


def units_in_order(problem):
    """Units by where they stand."""
    return [-unit.index for unit in problem.units]


def all_but_one(problem):
    """A set that is perfect only where the last edge is not needed."""
    return problem.edges[:-1]


def raises(problem):
    """A method that has no grade anywhere."""
    raise RuntimeError("<b>not</b> for this network")


METHODS = [by_weight, backwards, units_in_order, all_but_one, raises]


@pytest.fixture(scope="module")
def grades():
    """Five methods on the solved ones of 20 networks 2-3-1."""
    population = train_population("XOR", 20, hidden=3, progress=False)
    solved = {f"seed {k}": population[k] for k in range(20) if population.solved[k]}
    assert len(solved) > 5
    return grade(METHODS, solved, progress=False)


def rows_of(figure):
    """Label of a row of a board -> its height."""
    axis = figure.layout.yaxis
    return dict(zip(axis.ticktext, axis.tickvals, strict=True))


def test_a_board_has_a_row_per_method_best_first_and_kinds_apart(grades):
    """Means, intervals and chance levels of the frame, computed here by hand; the method without a
    value is named in the title, and what it is called is no HTML.
    """
    figure = grades.plot(measure="size")
    bars, marks, texts = figure.data
    frame = grades.frame()
    rows = rows_of(figure)
    assert [label for label in rows if label.startswith("<b>")] == [
        "<b>over edges</b>",
        "<b>over units</b>",
    ]
    assert list(rows)[-2:] == ["<b>over units</b>", "units_in_order"]
    of_edges = list(rows)[1:-2]
    sizes = {name: frame.loc[frame["method"] == name, "size"].dropna() for name in of_edges}
    # those that have a size on every network first
    n = len(grades.networks)
    assert of_edges == sorted(of_edges, key=lambda name: (len(sizes[name]) < n, sizes[name].mean()))
    for place, mean, high in zip(bars.y, bars.x, bars.error_x.array, strict=True):
        (name,) = [label for label, at in rows.items() if at == place]
        values = frame.loc[frame["method"] == name, "size"].dropna()
        assert mean == pytest.approx(values.mean())
        if len(values) > 2 and values.std() > 0:
            # Student's quantile lies between the normal one and that of 4 degrees of freedom
            in_errors = high / (values.std() / math.sqrt(len(values)))
            assert 1.96 < in_errors < 2.78
    for place, chance in zip(marks.y, marks.x, strict=True):
        (name,) = [label for label, at in rows.items() if at == place]
        own = frame[(frame["method"] == name) & frame["size"].notna()]
        assert chance == pytest.approx(own["size_chance"].mean())
    assert "without a value: raises" in figure.layout.title.text.replace("<br>", " ")
    n_perfect = int(frame.loc[frame["method"] == "all_but_one", "perfect"].sum())
    if 0 < n_perfect < len(grades.networks):
        (said,) = [text for text in texts.text if " of " in text]
        assert f"of {n_perfect} of {len(grades.networks)} networks" in said


def test_a_measure_where_more_is_better_has_its_largest_first(grades):
    """The order of the rows goes by the measure's own direction."""
    bars = plots.grades_board(grades, measure="cpr").data[0]
    of_edges = [mean for place, mean in zip(bars.y, bars.x, strict=True) if place <= 2]
    assert of_edges == sorted(of_edges, reverse=True)
    assert len(of_edges) == 2


def test_curves_are_means_over_networks(grades):
    """The line of a method is NumPy's mean of its grades' faithfulness, and the dashed one that of
    all circuits of a size; every curve ends at the whole network.
    """
    figure = grades.plot(kind="faithfulness")
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines" and trace.name}
    assert set(lines) == {"by_weight", "backwards", "by chance"}
    for name in ("by_weight", "backwards"):
        by_hand = np.mean([one.faithfulness for one in grades.of(name)], axis=0)
        assert list(lines[name].y) == pytest.approx(by_hand.tolist())
        assert lines[name].y[-1] == pytest.approx(1)
    levels = [one.truth("edges").mean_faithfulness for one in grades.networks]
    assert list(lines["by chance"].y) == pytest.approx(np.mean(levels, axis=0).tolist())
    assert lines["by chance"].line.dash == "dash"
    n_edges = len(lines["by_weight"].x) - 1
    assert list(lines["by_weight"].x) == pytest.approx([k / n_edges for k in range(n_edges + 1)])
    (of_units,) = [
        trace for trace in grades.plot(kind="faithfulness", over="units").data
        if trace.name == "units_in_order"
    ]  # fmt: skip
    assert len(of_units.y) == 4


def test_networks_of_two_sizes_share_a_curve():
    """One is read between its own points: at half of the edges, halfway between two of them."""
    small = textbook_xor()
    large = train("XOR", hidden=3, seed=4, progress=False).model
    grades = grade(by_weight, {"small": small, "large": large}, progress=False)
    assert not grades.left_out
    line = plots.faithfulness_curves(grades).data[0]
    one, other = (grades.of("by_weight")[k].faithfulness for k in (0, 1))
    assert (len(one), len(other), len(line.y)) == (7, 10, 10)
    # 3 of 9 edges is 2 of 6, and 1 of 9 is two thirds of the way from 0 to 1 of 6
    assert line.y[3] == pytest.approx((one[2] + other[3]) / 2)
    between = one[0] + (one[1] - one[0]) * 2 / 3
    assert line.y[1] == pytest.approx((between + other[1]) / 2)


def test_where_methods_fail_their_circuit_is_drawn_against_a_smallest(grades):
    """Each cell is the first of the method's failures; its edges are counted by hand: those of the
    method's circuit, of a smallest one, and of neither.
    """
    figure = grades.plot(kind="failures", methods=["backwards"])
    failed = grades.failures("backwards")[0]
    network = grades.network(failed.network)
    truth = network.truth("edges")
    kept = set(failed.kept[: int(failed.values["size"])])
    needed = set(truth.smallest)
    n_drawn = {trace.name: sum(x is None for x in trace.x) for trace in figure.data}
    assert n_drawn == {
        "in neither": 9 - len(kept | needed),
        "in both": len(kept & needed),
        "only in the method's": len(kept - needed),
        "only in the smallest": len(needed - kept),
    }
    (heading,) = [note.text for note in figure.layout.annotations if "<b>" in note.text]
    assert f"<br>{failed.network}<br>{len(kept)} edges, smallest {truth.minimum}" in heading
    names = [note.text for note in figure.layout.annotations if "<b>" not in note.text]
    assert names == ["x0", "x1", "h0.0", "h0.1", "h0.2", "y0"]


def test_of_units_all_edges_between_those_kept_are_drawn():
    """The textbook's two units are both needed; a method that keeps one of them keeps three edges
    of six: two into it and one out of it.
    """

    def first_unit(problem):
        return problem.units[:1]

    figure = plots.failures_figure(grade(first_unit, textbook_xor(), progress=False))
    n_drawn = {trace.name: sum(x is None for x in trace.x) for trace in figure.data}
    assert n_drawn["in both"] == 3
    assert n_drawn["only in the smallest"] == 3
    (heading,) = [note.text for note in figure.layout.annotations if "<b>" in note.text]
    assert "not perfect, smallest 2" in heading


def test_the_truth_by_size_counts_what_the_frame_counts():
    """Of the textbook network only the whole is perfect: binomials, and one at the end."""
    truth = Truth.of(ExamProblem.of(textbook_xor()))
    everything, *kinds = truth.plot().data
    assert list(everything.y) == [math.comb(6, k) for k in range(7)]
    for bars in kinds:
        assert [0 if math.isnan(n) else n for n in bars.y] == [0] * 6 + [1]
    widths = [bars.width for bars in (everything, *kinds)]
    assert widths == sorted(widths, reverse=True)


def test_names_that_a_person_gave_are_drawn_as_they_are(grades):
    """A method called like HTML stays text on the board, in the curves and in the cells."""
    name = "<b>&amp;"
    small = grade({name: backwards}, {"<i>": textbook_xor()}, progress=False)
    assert "&lt;b>&amp;amp;" in plots.grades_board(small).layout.yaxis.ticktext
    assert plots.faithfulness_curves(small).data[0].name == "&lt;b>&amp;amp;"
    failed = grade({name: all_but_one}, {"<i>": textbook_xor()}, progress=False)
    heading = plots.failures_figure(failed).layout.annotations[0].text
    assert "<b>&lt;b>&amp;amp;</b><br>&lt;i><br>" in heading


def test_many_methods_wait_in_the_legend():
    """Of twelve methods the six nearest to the whole are drawn, and the title says so."""
    methods = {f"method {k}": by_weight if k % 2 else backwards for k in range(12)}
    population = train_population("XOR", 12, hidden=3, progress=False)
    solved = [population[k] for k in range(12) if population.solved[k]]
    figure = plots.faithfulness_curves(grade(methods, solved, progress=False))
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.showlegend is None]
    named = [trace for trace in lines if trace.name.startswith("method")]
    assert [trace.visible for trace in named] == [True] * 6 + ["legendonly"] * 6
    # six are the one order of the edges, six the other
    assert {int(trace.name.split()[1]) % 2 for trace in named[:6]} in ({0}, {1})
    assert "the 6 nearest to 1 of 12" in figure.layout.title.text.replace("<br>", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "bord"}, "no picture of grades 'bord'; there are: board, faithfulness"),
        ({"measure": "sise"}, "did you mean 'size'"),
        ({"measure": "gate_agreement"}, "no method here has a value of gate_agreement"),
        ({"measure": "size", "kind": "faithfulness"}, "measure= is for the board"),
        ({"kind": "faithfulness", "over": "gates"}, "no kind of element 'gates'"),
        ({"kind": "faithfulness", "methods": ["all_but_one"]}, "those that score edges are"),
        ({"kind": "faithfulness", "methods": []}, "methods is empty"),
        ({"kind": "failures", "methods": "by_weight"}, "give names of methods"),
        ({"kind": "failures", "methods": ["raises"]}, "nothing to draw"),
        ({"colour": "red"}, "no option 'colour'; the picture of a Grades takes"),
    ],
)
def test_a_picture_that_cannot_be_is_refused(grades, options, message):
    """One sentence with what there is."""
    with pytest.raises(XorMiError, match=message.replace("(", r"\(")):
        grades.plot(**options)


def test_grades_without_any_value_have_no_board():
    """Where every method failed there is nothing to draw, and why is in the frame."""
    nothing = grade(raises, textbook_xor(), progress=False)
    with pytest.raises(XorMiError, match="no method has a grade here"):
        nothing.plot()
