"""Pictures of a trajectory: every number and every band is that of the frame, the events, the
weights.
"""

from math import log10

import numpy as np
import pytest

from xor_mi import plots, train, train_population, trajectory
from xor_mi.errors import XorMiError
from xor_mi.population import EVENTS, gates_over_time, trajectories

QUIET = {"progress": False}


@pytest.fixture(scope="module")
def solved():
    """Readings come and go before they stay, and a unit is dead from the start."""
    return trajectory("XOR", 9, hidden=3, **QUIET)


@pytest.fixture(scope="module")
def failed():
    """Both units die at once."""
    return trajectory("XOR", 0, max_steps=40, **QUIET)


@pytest.fixture(scope="module")
def deep():
    """Two hidden layers; solved before any circuit reads it."""
    return trajectory("XOR", 4, hidden=(3, 3), **QUIET)


@pytest.fixture(scope="module")
def held_out():
    """Trained on five rows of eight."""
    rows = ["000", "001", "010", "100", "111"]
    return trajectory("a ^ b ^ c", 1, hidden=4, rows=rows, max_steps=60, lr=0.1, **QUIET)


def bands_of(figure):
    """(number of the band, first step, step after the last, what the legend says) of all."""
    return [
        (band, *steps, bar.name)
        for bar in figure.data
        if bar.type == "bar"
        for band, steps in zip(bar.y, bar.customdata, strict=True)
    ]


def expected(moment, unit, n_rows):
    """What the band of a unit must say at a checkpoint, by the words of the task."""
    if moment.dead[unit]:
        return "dead: one value on every row"
    if moment.gates[unit] == "idle":
        return "idle: no output depends on it"
    if moment.gates[unit]:
        return moment.gates[unit]
    if moment.n_rows_right == n_rows:
        return "solved, but no circuit reads it"
    return "not solved: some row is wrong"


@pytest.mark.parametrize("name", ["solved", "failed", "deep", "held_out"])
def test_bands_say_what_the_checkpoints_say(request, name):
    """At every checkpoint every unit's band, and the circuit's; they have no gap and no overlap."""
    found = request.getfixturevalue(name)
    n_rows = len(found.target.rows())
    bands = bands_of(plots.figure(found))
    n_units = len(found.moments[0].gates)
    last = len(found.losses) - 1
    for unit in range(n_units + 1):
        own = sorted(band[1:] for band in bands if band[0] == unit)
        assert own[0][0] == 0
        assert [end for _, end, _ in own[:-1]] == [start for start, _, _ in own[1:]]
        assert own[-1][1] == last + 1
        for moment in found.moments:
            step = min(moment.step, last)
            (said,) = [text for start, end, text in own if start <= step < end]
            said = said.split(": ")[-1] if said[0].isdigit() else said
            if unit < n_units:
                assert said == expected(moment, unit, n_rows)
            elif any(moment.gates):
                assert moment.family.startswith(said.removesuffix("..."))
            else:
                assert said in ("not solved: some row is wrong", "solved, but no circuit reads it")
    assert {band for band, *_ in bands} == set(range(n_units + 1))


def test_bands_and_rows_are_those_of_every_single_step(solved):
    """Between checkpoints too: this one is solved at step 17 and loses that three times before its
    checkpoints show it solved. Against the same training with a checkpoint at every step.
    """
    every = trajectory("XOR", 9, hidden=3, checkpoints="every 1", **QUIET)
    figure = plots.figure(solved)
    (rows,) = [trace for trace in figure.data if trace.name == "rows, decided right"]
    at = {
        (band, step): name
        for band, start, end, name in bands_of(figure)
        for step in range(start, end)
    }
    seen = set()
    for moment in every.moments[: len(solved.losses)]:
        assert rows.y[moment.step] == 100 * moment.n_rows_right / 4
        for unit in range(3):
            said = at[unit, moment.step]
            said = said.split(": ", 1)[-1] if said[0].isdigit() else said
            assert said == expected(moment, unit, 4)
            seen.add((moment.step < 36, said))
    assert {(True, "OR"), (True, "AND"), (False, "OR")} <= seen


def test_a_band_changes_at_the_step_of_its_event(solved):
    """Not at the checkpoint after it: the steps between checkpoints are known exactly."""
    at_checkpoints = {moment.step for moment in solved.moments}
    starts = {(unit, start) for unit, start, _, _ in bands_of(plots.figure(solved)) if start}
    changes = {
        (int(event.unit[-1]), event.step)
        for event in solved.happened
        if event.event == "reading_last_changes"
    }
    assert changes
    assert changes <= starts
    assert any(step not in at_checkpoints for _, step in changes)


def test_losses_rows_and_events_are_those_of_the_tables(solved, held_out):
    """Every loss of the training; the share of rows at every step; a marker for every event
    and a line at its step.
    """
    for found, settings in (
        (solved, {"target": "XOR", "seed": 9, "hidden": 3}),
        (held_out, None),
    ):
        figure = plots.trajectory_figure(found)
        (loss,) = [trace for trace in figure.data if trace.name == "loss"]
        if settings:
            assert loss.y == train(**settings, **QUIET).loss_history
        steps = np.arange(len(found.losses))
        assert loss.x == pytest.approx(np.log10(steps + 1))
        last = steps[-1]
        frame = found.frame()
        frame = frame[frame["step"] <= last]
        rows = {trace.name: trace for trace in figure.data if "decided right" in (trace.name or "")}
        shares = {"rows, decided right": frame["n_rows_right"] / 4}
        if found is held_out:
            shares = {
                "rows trained on, decided right": frame["n_trained_right"] / 5,
                "rows held out, decided right": frame["n_held_out_right"] / 3,
            }
        assert set(rows) == set(shares)
        for name, share in shares.items():
            assert len(rows[name].y) == len(found.losses)
            at_checkpoints = [rows[name].y[step] for step in frame["step"]]
            assert at_checkpoints == pytest.approx((100 * share).tolist())
        drawn = [
            (step, trace.name.replace(" ", "_"))
            for trace in figure.data
            if trace.legendgroup == "events"
            for step in trace.customdata
        ]
        events = found.events()
        assert sorted(drawn) == sorted(zip(events["step"], events["event"], strict=True))
        lines = [shape.x0 for shape in figure.layout.shapes]
        assert lines == pytest.approx(np.log10(np.unique(events["step"]) + 1))
        hovers = [
            text
            for trace in figure.data
            if trace.legendgroup == "events"
            for text in trace.hovertext
        ]
        for event in found.happened:
            assert any(
                text.startswith(f"step {event.step}") and event.unit in text and event.after in text
                for text in hovers
            )


def numbers_of(model):
    """Every weight by its edge and every bias, of one hidden layer and one output."""
    named = {}
    for unit in range(model.fc1.weight.shape[0]):
        for source in range(2):
            named[f"x{source}->h0.{unit}"] = model.fc1.weight[unit, source].item()
        named[f"bias of h0.{unit}"] = model.fc1.bias[unit].item()
        named[f"h0.{unit}->y0"] = model.fc2.weight[0, unit].item()
    return named | {"bias of y0": model.fc2.bias[0].item()}


def test_frames_have_the_weights_and_decisions_of_each_step(solved):
    """A bar for every weight of the network that so many steps give, and the four inputs filled
    where it decides 1; the slider says the step.
    """
    figure = plots.trajectory_figure(solved, kind="moving")
    last = len(solved.losses) - 1
    steps = [step for step in solved.networks if step <= last]
    labels = [step.label for step in figure.layout.sliders[0].steps]
    assert len(figure.frames) == len(labels)
    assert [int(label.split()[1].rstrip(":")) for label in labels][: len(steps)] == steps
    seen = set()
    for step in (1, 13, 45):
        frame = figure.frames[steps.index(step)]
        model = train("XOR", hidden=3, seed=9, max_steps=step, **QUIET).model
        bars, surface, _, inputs = frame.data
        shown = dict(zip(bars.customdata, bars.x, strict=True))
        called = dict(zip(bars.customdata, bars.y, strict=True))
        assert (called["x1->h0.0"], called["bias of h0.1"]) == ("w12", "b2")
        assert (called["h0.1->y0"], called["bias of y0"]) == ("v2", "c")
        assert shown == numbers_of(model)
        outputs = [model([a, b]).item() for a in (0, 1) for b in (0, 1)]
        symbols = ["circle" if output > 0 else "circle-open" for output in outputs]
        assert list(inputs.marker.symbol) == symbols
        seen.add(tuple(symbols))
        corner = model([[-0.5, -0.5]]).item()
        assert surface.z[0][0] == pytest.approx(corner, abs=0.02)
    assert len(seen) > 1
    only = plots.trajectory_figure(solved, kind="plane").frames[steps.index(13)].data
    assert [trace.type for trace in only] == ["heatmap", "scatter", "scatter"]


def test_of_other_than_two_inputs_the_weights_move_alone(held_out):
    """There is no plane to draw."""
    moving = plots.trajectory_figure(held_out, kind="moving")
    assert [trace.type for trace in moving.frames[0].data] == ["bar"]
    assert len(moving.frames[0].data[0].x) == 4 * 4 + 5


@pytest.mark.unchecked
def test_pictures_that_there_are_not(held_out):
    """One error that says which there are."""
    with pytest.raises(
        XorMiError, match=r"plane of a network with 3 inputs cannot be drawn; give kind='weights'"
    ):
        plots.trajectory_figure(held_out, kind="plane")
    with pytest.raises(XorMiError, match=r"no kind of picture 'gate'; .* did you mean 'gates'"):
        held_out.plot(kind="gate")
    with pytest.raises(XorMiError, match=r"give what population\.trajectory returns"):
        plots.trajectory_figure(held_out.losses)


def test_names_are_written_where_they_have_room_and_the_legend_numbers_the_others(solved):
    """A stretch has its gate's name, or the number that the legend has before the name; nothing is
    wider than its stretch but what is empty.
    """
    figure = plots.figure(solved)
    axis = figure.layout.xaxis.range
    pixels = (figure.layout.width - 100) / (axis[1] - axis[0])
    n_named = 0
    for bar in (trace for trace in figure.data if trace.type == "bar"):
        for text, length in zip(bar.text, bar.x, strict=True):
            assert not text or 6 * len(text) < length * pixels + 1
            if text:
                named = bar.name.startswith(f"{text}:") if text.isdigit() else True
                assert named
                n_named += 1
    assert n_named >= 4
    starts = [log10(step + 1) for _, step, _, _ in bands_of(figure)]
    assert [base for bar in figure.data if bar.type == "bar" for base in bar.base] == starts


@pytest.fixture(scope="module")
def many():
    """Thirty networks."""
    return train_population("XOR", 30, engine="torch", max_steps=200, **QUIET)


def test_shares_are_stacked_to_all_networks(many):
    """Every area is the table's share at each step, the same number of percent in all; beside the
    picture stand the families with what they end at.
    """
    table = gates_over_time(many, checkpoints=[0, 30, 60, 200], **QUIET)
    figure = plots.families_figure(table)
    total = np.zeros(4)
    for area in figure.data:
        if area.name != "all others":
            own = table[table["family"].str.replace("_", " ") == area.name].sort_values("step")
            assert own["step"].tolist() == list(area.customdata)
            assert area.y == pytest.approx(100 * own["share"])
        total += area.y
    assert total == pytest.approx(100)
    assert figure.data[0].name == "not computing"
    assert figure.data[0].x == pytest.approx(np.log10(np.array([0, 30, 60, 200]) + 1))
    written = [note.text for note in figure.layout.annotations]
    assert written
    for text in written:
        name, percent = text.removesuffix(" %").rsplit(", ", 1)
        (area,) = [area for area in figure.data if area.name == name]
        assert float(percent) == pytest.approx(area.y[-1], abs=0.501)


def test_boxes_are_quantiles_of_the_steps(many):
    """Of every event that happened, with how often and in how many networks."""
    table = trajectories(many, **QUIET)
    figure = plots.event_steps_figure(table)
    boxes = [trace for trace in figure.data if trace.type == "box"]
    assert len(boxes) == table["event"].nunique() > 5
    for box in boxes:
        name, counted = box.y[0].split("<br>")
        own = table[table["event"] == name.replace(" ", "_")]
        assert counted == f"{len(own)} in {len(set(own['seed']))} networks"
        ordered = np.sort(own["step"].to_numpy(dtype=float))
        for drawn, share in ((box.q1, 0.25), (box.median, 0.5), (box.q3, 0.75)):
            place = share * (len(ordered) - 1)
            low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
            quantile = low + (place % 1) * (high - low)
            assert drawn[0] == pytest.approx(log10(quantile + 1))


@pytest.mark.unchecked
def test_tables_of_something_else_are_refused(many):
    """Named, with what to give."""
    table = trajectories(many.__class__.from_flat(
        many.flat[:1], cfg=many.cfg, seeds=many.seeds[:1], steps=many.steps[:1],
        losses=many.losses[:1], solved=many.solved[:1], engine=many.engine, config=many.config,
        rows=many.rows,
    ), **QUIET)  # fmt: skip
    for wrong in (table, table.iloc[:0], 5):
        with pytest.raises(XorMiError, match=r"give what population\.gates_over_time returns"):
            plots.families_figure(wrong)
    for wrong in (table.drop(columns="seed"), table.iloc[:0], None):
        with pytest.raises(XorMiError, match=r"give what population\.trajectories returns"):
            plots.event_steps_figure(wrong)


def test_every_event_has_a_marker_of_its_own():
    """None that can happen is without one, and no two look alike."""
    from xor_mi.plots._trajectory import SYMBOLS

    assert set(SYMBOLS) == set(EVENTS)
    assert len(set(SYMBOLS.values())) == len(EVENTS)
