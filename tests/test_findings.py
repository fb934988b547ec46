"""Every finding has a table, a picture and a notebook cell, or says why not."""

import dataclasses
import functools
import importlib
import json
import pkgutil
import re
from html.parser import HTMLParser

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

import xor_mi
from xor_mi import circuits, geometry, plots
from xor_mi.circuits import control_rates, diagnose, identify_circuit, ordered_circuits
from xor_mi.errors import XorMiError
from xor_mi.exam import (
    ExamProblem,
    Truth,
    circuit_tests,
    circuit_tests_against_truth,
    gate_table,
    grade,
    run_exam,
    task,
    tasks,
)
from xor_mi.finding import Finding
from xor_mi.gate_scan import find_gates, scan_gates
from xor_mi.graph import Unit
from xor_mi.handmade import edit, textbook_xor
from xor_mi.interventions import (
    HighLevelModel,
    ablation_sweep,
    attribute,
    interchange,
    interchange_accuracy,
    patch,
    patch_sweep,
    score_methods,
)
from xor_mi.least_units import gate_sets, least_hidden_units
from xor_mi.margins import conditions, move_weight, slack_to_flip
from xor_mi.model import HookedMLP
from xor_mi.population import stuck_in, trajectory
from xor_mi.search import (
    PartialCount,
    compare_conventions,
    counting_cost,
    edge_masks,
    find_alignments,
    find_subcircuits,
    identifiability_report,
    interpretations,
    node_masks,
)
from xor_mi.terms import contributions, explain_difference
from xor_mi.training import train, train_population
from xor_mi.truth import threshold_proof
from xor_mi.values import activations, compare


def accuracy(model):
    """The two hidden units held against the algorithm OR and not AND."""
    algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    return interchange_accuracy(model, algorithm, {"either": "h0.0", "both": "h0.1"})


def scan(model):
    """Every unit's gate of the two inputs, each row five times."""
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    features = {"a": rows[:, 0], "b": rows[:, 1]}
    return scan_gates(model, rows, features, "hook_logits", n_permutations=20, progress=False)


def grades(model):
    """A method that scores all edges alike, graded on one network."""
    return grade(lambda problem: [1.0] * len(problem.edges), model, progress=False)


def made_by_hand():
    """Two networks of a planted task."""
    return task("planted gates relu").networks(2, progress=False)


MADE = {
    "TrainResult": lambda _: train("XOR", seed=29, progress=False),
    "Population": lambda _: train_population("XOR", 3, progress=False),
    "Activations": activations,
    "Comparison": lambda model: compare(model, "00", "11"),
    "Contributions": contributions,
    "DifferenceExplanation": lambda model: explain_difference(model, "00", "11"),
    "PatchEffect": lambda model: patch(model, "01", "11", "h0.1"),
    "PatchSweep": patch_sweep,
    "AblationSweep": ablation_sweep,
    "Attribution": attribute,
    "MethodScores": score_methods,
    "Interchange": lambda model: interchange(model, {"h0.0": "11"}, "01"),
    "InterchangeAccuracy": accuracy,
    "InputPath": lambda model: geometry.path(model, "00", "11"),
    "InputPlane": geometry.input_plane,
    "Regions": geometry.regions,
    "Boundary": geometry.boundary,
    "Conditions": conditions,
    "Slack": slack_to_flip,
    "Stuck": lambda model: stuck_in(edit(model, {"h0.1": -5.0}), retrain=False),
    "WeightSweep": lambda model: move_weight(model, n_steps=3),
    "Circuit": identify_circuit,
    "OrderedCircuits": ordered_circuits,
    "Diagnosis": lambda model: diagnose(model, "AND"),
    "ControlRates": lambda model: control_rates(model, n_networks=3, progress=False),
    "GateScan": scan,
    "FoundGates": lambda model: find_gates(model, progress=False),
    "SubcircuitSearch": find_subcircuits,
    "AlignmentSearch": lambda model: find_alignments(model, depth=2),
    "Alignment": lambda model: next(iter(find_alignments(model, depth=2))),
    "Interpretation": lambda model: next(iter(interpretations(model, find_subcircuits(model)[0]))),
    "NodeMasks": node_masks,
    "EdgeMasks": edge_masks,
    "CountingCost": counting_cost,
    "PartialCount": lambda _: PartialCount(at_least=5, n_done=1, n_configurations=4),
    "ConventionCounts": lambda model: compare_conventions(model, depth=2),
    "IdentifiabilityReport": lambda model: identifiability_report(model, depth=2),
    "GateTable": lambda _: gate_table(),
    "Truth": lambda model: Truth.of(ExamProblem.of(model), progress=False),
    "Grades": grades,
    "CircuitTests": lambda model: circuit_tests(ExamProblem.of(model), [True] * 6),
    "CircuitTestRates": lambda model: circuit_tests_against_truth(ExamProblem.of(model)),
    "Planted": lambda _: next(iter(made_by_hand().planted.values())),
    "Task": lambda _: task("planted gates relu"),
    "TaskNetworks": lambda _: made_by_hand(),
    "Tasks": lambda _: tasks(),
    "Trajectory": lambda _: trajectory("XOR", seed=29, progress=False),
    "LeastUnits": lambda _: least_hidden_units("XOR"),
    "GateSets": lambda _: gate_sets("XOR", 2),
    "ThresholdProof": lambda _: threshold_proof("XOR"),
    "ExamRun": lambda _: run_exam(
        tasks="planted gates relu", methods="random", n_networks=2, progress=False
    ),
}
"""Class -> how one is made of the textbook network."""
NOT_DRAWN = {
    "GateTable",
    "CircuitTests",
    "CircuitTestRates",
    "CountingCost",
    "PartialCount",
    "FoundGates",
    "Alignment",
    "Diagnosis",
    "OrderedCircuits",
    "Population",
    "Interpretation",
    "Interchange",
    "PatchEffect",
    "Planted",
    "Task",
    "TaskNetworks",
    "ExamRun",
    "LeastUnits",
    "GateSets",
    "ThresholdProof",
    "Tasks",
}
DRAWN = set(MADE) - NOT_DRAWN


def kinds_of_findings() -> set[str]:
    """Names of all subclasses of `Finding` that the package's modules define."""
    for module in pkgutil.walk_packages(xor_mi.__path__, "xor_mi."):
        importlib.import_module(module.name)
    names, waiting = set(), [Finding]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        names |= {kind.__name__ for kind in below if kind.__module__.startswith("xor_mi.")}
    return names


def test_every_kind_of_finding_is_tried_here():
    """A new class of finding needs a line in MADE."""
    assert kinds_of_findings() <= set(MADE)


@functools.cache
def finding_of(kind):
    """A finding of this class."""
    return MADE[kind](textbook_xor())


NEGATIVE_ZERO = re.compile(r"(?<![\w.])-0(\.0+)?(?![\w.])")


def require_plain_numbers(figure):
    """No axis and no colour bar writes "n", "µ" or "k" for a power of ten, and no text says -0."""
    drawn = json.loads(figure.to_json())
    theme = drawn["layout"]["template"]
    for name, axis in drawn["layout"].items():
        if re.fullmatch(r"[xy]axis\d*", name):
            by_theme = theme["layout"][name[:5]]["exponentformat"]
            assert axis.get("exponentformat", by_theme) == "power", name
    for trace in drawn["data"]:
        (defaults,) = theme["data"].get(trace["type"], [{}])
        for part in ("colorbar", "marker"):
            own, usual = trace.get(part, {}), defaults.get(part, {})
            if part == "marker":
                own, usual = own.get("colorbar", {}), usual.get("colorbar", {})
            if (trace["type"] in ("heatmap", "contour") and part == "colorbar") or own:
                assert own.get("exponentformat", usual["exponentformat"]) == "power"
    waiting, texts = [drawn["data"], drawn["layout"], drawn.get("frames")], []
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, str):
            texts.append(thing)
        elif isinstance(thing, list | dict):
            waiting += thing.values() if isinstance(thing, dict) else thing
    assert [text for text in texts if NEGATIVE_ZERO.search(text)] == []


@pytest.mark.parametrize("kind", sorted(MADE))
def test_a_finding_is_drawn_or_says_what_to_do_instead(kind):
    """`plots.figure` gives a figure that names its axes or says the next step."""
    finding = finding_of(kind)
    assert type(finding).__name__ == kind
    if kind in DRAWN:
        figure = plots.figure(finding)
        assert isinstance(figure, go.Figure)
        assert figure.data
        assert figure.layout.title.text
        require_plain_numbers(figure)
    else:
        with pytest.raises(XorMiError, match="has no picture|is not a finding"):
            plots.figure(finding)


@pytest.mark.parametrize("kind", sorted(kinds_of_findings()))
def test_a_finding_is_a_table_or_says_what_to_do_instead(kind):
    """`frame()` gives a table or says the next step; the notebook cell has the words and the
    table, and where it can show text only what is printed; `plot()` is `plots.figure`.
    """
    finding = finding_of(kind)
    page = finding._repr_html_()
    assert page.startswith("<div")
    shown, _ = DisplayFormatter().format(finding)
    assert shown == {"text/html": page, "text/plain": str(finding)}
    if type(finding).frame is Finding.frame:
        with pytest.raises(XorMiError, match="print it"):
            finding.frame()
    else:
        assert isinstance(finding.frame(), pd.DataFrame)
        assert "<table" in page
    if kind in DRAWN:
        assert finding.plot().to_json() == plots.figure(finding).to_json()


@pytest.mark.parametrize("kind", sorted(kinds_of_findings()))
def test_what_was_measured_is_plain(kind):
    """Numbers, texts and truth values, which JSON holds, under names."""
    head = finding_of(kind).head()
    assert head.keys() == json.loads(json.dumps(head, allow_nan=False)).keys()


@pytest.mark.parametrize("kind", sorted(kinds_of_findings()))
def test_what_is_printed_says_what_was_found(kind):
    """No class name with its fields, but words of the class's own."""
    finding = finding_of(kind)
    assert str(finding) != repr(finding)
    assert len(str(finding).split()) > 3


def test_sentences_of_findings_about_inputs():
    """How often and where something changes, counted by hand on the textbook network."""
    model = textbook_xor()
    # 1 between the two lines x0 + x1 = 0.5 and x0 + x1 = 1.5 of the unit square
    lines = geometry.boundary(model, bounds=(0, 1))
    assert str(lines) == "the decision by y0 changes along 2 straight segments, 1.41 long in all"
    nowhere = geometry.boundary(model, bounds=(2, 3))
    assert str(nowhere) == "the decision by y0 does not change anywhere in this rectangle"
    walk = geometry.path(model, "00", "11")
    assert str(walk) == (
        "from (0, 0) to (1, 1) 2 decisions change: 0 -> 1 at 0.25, 1 -> 0 at 0.75; "
        "1 place where units bend: h0.1 at 0.50"
    )
    assert str(geometry.path(model, "00", "10")) == (
        "from (0, 0) to (1, 0) 1 decision changes: 0 -> 1 at 0.50"
    )
    assert str(geometry.path(model, (2, 2), (3, 3))) == "from (2, 2) to (3, 3) no decision changes"
    plane = geometry.input_plane(model, bounds=(0, 1), n_points=3)
    # where x0 + x1 is 0.5 or 1.5 the output is 0.5, not above it; h0.0 turns on at a corner only
    assert str(plane) == (
        "y0 on 3 x 3 points, from 0.00 to 1.00: above 0.50 on 33 % of them; "
        "1 unit turns on along a line here"
    )
    assert str(interchange(model, {"h0.0": "11"}, "01")) == "01 with h0.0 from 11: decided 1"
    assert str(patch(model, "01", "11", "h0.1")) == (
        "h0.1 patched, denoising, 01 -> 11: output 0.00 -> 2.00; the decision flips"
    )


# arrays, and places that are told with the difference that they belong to
WITHOUT_WORDS = {"CutLayer", "LookedAt", "TellingInput", "TellingInterchange"}


@pytest.mark.parametrize(
    "room", ["circuits", "search", "margins", "geometry", "least_units", "gate_scan"]
)
def test_every_part_of_a_finding_is_printed_in_words(room):
    """No public frozen value of these rooms prints the code that makes it."""
    plain: set[str] = set()
    for name, value in vars(importlib.import_module(f"xor_mi.{room}")).items():
        is_one = isinstance(value, type) and (
            dataclasses.is_dataclass(value) or issubclass(value, tuple)
        )
        if is_one and not name.startswith("_") and value.__str__ is object.__str__:
            plain.add(name)
    assert plain <= WITHOUT_WORDS


def test_what_parts_of_findings_say():
    """The textbook network on paper: h0.0 is OR with 0, 1, 1, 2 and h0.1 is AND with 0, 0, 0, 1,
    so h0.0 is cut in the middle of 0 to 1; y0 is h0.0 - 2 h0.1 against 0.5.
    """
    model = textbook_xor()
    circuit = identify_circuit(model)
    acting, opposite = circuit.units_acting_as("OR")[0], circuit.units_acting_as("NOR")[0]
    found = find_gates(model, progress=False)
    report = identifiability_report(model, progress=False)
    walk = geometry.path(model, "00", "11")
    said = [
        (circuit.units[0], "h0.0 OR, margin 0.50"),
        (acting, "h0.0 acts as OR"),
        (opposite, "h0.0 acts as OR, the complement of the gate asked for"),
        (circuit.netlist[-1], "y0 = h0.0 & ~h0.1"),
        (circuit.primary, "h0.0 = x0 | x1; h0.1 = x0 & x1; y0 = h0.0 & ~h0.1"),
        (circuit.primary.readings[0][0], "OR: 1 above 0.50, margin 0.50"),
        # 2 units x 4 bases x 4 sources
        (circuit.circuits[0].single, "32 of 32 as predicted"),
        (
            circuit.proof.ablations[0],
            "every set of units set to the mean: 3 of 3 sets change a decision",
        ),
        (circuits.summarize(circuit), "identified: 1 circuit, {AND, OR}, proof level joint"),
        (
            report.subcircuits[0],
            "a minimal perfect subcircuit of 2 units and 6 edges; 2 "
            "interpretations; nothing that was tried rules it out",
        ),
        (report.convention, "the default convention"),
        (next(iter(conditions(model))), "row 00, y0: c < 0.5 holds, with slack 0.50"),
        (
            slack_to_flip(model, "fc2.bias[0]").smallest,
            "fc2.bias[0] = 0.00 may move down by 0.50 until rows 01, 10 flip and up by 0.50 until rows 00, 11 flip",
        ),
        (walk.kinks[0], "h0.1 bends at t = 0.50"),
        (walk.changes[0], "y0 changes 0 -> 1 at t = 0.25"),
        (geometry.regions(model)[1], "a region of area 1.50 around (0.25, 0.25), with h0.0 on"),
        (least_hidden_units("XOR").widths[0], "0 impossible: it is not constant"),
        (found.found[0], "h0.0, OR: acts (5 of 12 interchanges change the decision)"),
        (found.decided, "the model decides XOR"),
        (found.scan.unit_gates[0], "h0.0 separates OR, margin 0.50, p = 1; another cut is as wide"),
    ]
    for part, words in said:
        assert str(part) == words
        # what is printed for programs stays the fields
        assert repr(part).startswith(f"{type(part).__name__}(")


def test_what_stops_a_circuit_is_a_sentence():
    """A count of two inputs by tanh has three levels, so two levels fail; a margin that nobody has;
    steps whose sum is zero; and an interchange that a circuit does not predict.
    """
    hidden = [[4.0, 4.0, 0.0], [0.0, 0.0, 8.0]], [-4.0, -4.0]
    majority = HookedMLP.from_weights([hidden, ([[2.0, 1.0]], [0.0])], act_fn="tanh")
    obstacle = identify_circuit(majority).obstacle
    assert str(obstacle) == (
        "no two levels per unit of layer 0 keep every decision (the closest fails on 110); h0.0 "
        "alone, at best read as x0 & x1, flips 001"
    )
    assert str(obstacle.units[0]) == "h0.0, at best read as x0 & x1, fails on 001"
    assert repr(obstacle).startswith("Obstacle(kind='levels', layer=0, ")
    # OR of 0, 1, 1, 2: both gaps are half the range
    wide = identify_circuit(textbook_xor(), min_margin=0.9).obstacle
    assert str(wide) == (
        "every circuit has a margin that is too small: in the first, h0.0 is read as OR by a "
        "threshold in a gap of 0.5 of its range; min_margin=0.5 keeps it"
    )
    assert str(wide.units[0]) == "h0.0, read as OR, has a margin of 0.5"
    steps = [([[1, 1], [1, 1]], [-1, -2]), ([[1, -1]], [-0.5])]
    on_step = identify_circuit(HookedMLP.from_weights(steps, act_fn="heaviside"), "XOR").on_step
    assert str(on_step) == (
        "h0.0 is exactly on its step on 01, 10, h0.1 is exactly on its step on 11; a network "
        "written with >= decides differently: step_at_zero=1"
    )
    against = circuits.Contradiction("single", 0, ((Unit(0, 1),),), "01", ("11",), (1,), (-1,))
    assert str(against) == (
        "with h0.1 from 11 in the run on 01, the circuit predicts 1, but the network decides nothing"
    )


def test_what_is_not_a_finding_is_refused():
    """A model is drawn by the functions that take one."""
    with pytest.raises(XorMiError, match="a HookedMLP is not a finding"):
        plots.figure(textbook_xor())


def cells_of(page):
    """The table of a notebook cell, line by line, read by an HTML parser."""
    lines: list[list[str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "tr":
                lines.append([])
            if tag in ("th", "td"):
                lines[-1].append("")
            assert "color" not in str(attrs)

        def handle_data(self, data):
            if lines and lines[-1]:
                lines[-1][-1] += data

    Reader().feed(page)
    return lines


def test_a_cell_that_ends_in_a_sweep_shows_a_line_per_site():
    """Mean, lowest and highest effect and flips over all pairs, as pandas has them of the frame."""
    model = textbook_xor()
    for sweep, unit, n in ((patch_sweep(model), "pair", 12), (ablation_sweep(model), "row", 4)):
        head, *lines = cells_of(sweep._repr_html_())
        assert head[:5] == ["site", "mean effect", "lowest", "highest", "flips"]
        groups = sweep.frame().groupby("site", sort=False)
        for line, (site, here) in zip(lines, groups, strict=True):
            assert here[unit].nunique() == n
            effects = here["effect_output"]
            by_hand = [effects.mean(), effects.min(), effects.max()]
            assert line[:4] == [site, *(f"{value:.3g}" for value in by_hand)]
            assert line[4] == f"{here['flips'].sum()} of {n}"


def test_a_printed_sweep_says_which_sites_flip_how_many_decisions():
    """As pandas counts the flips in the frame; of five sites and more the first three by count."""
    model = textbook_xor()
    for sweep in (patch_sweep(model), ablation_sweep(model, value="zero")):
        flips = sweep.frame().groupby("site", sort=False)["flips"].agg(["sum", "size"])
        (first, (n_first, of)), (second, (n_second, _)) = flips.T.items()
        said = f"; {first} flips {n_first} of {of} decisions, {second} {n_second}"
        assert str(sweep).endswith(said), str(sweep)
    wide = patch_sweep(train_population("XOR", 1, hidden=6, seed=3, progress=False)[0])
    flips = wide.frame().groupby("site")["flips"].sum()
    most = flips[list(wide.site_names)].sort_values(ascending=False, kind="stable")
    named = [f"{most.index[0]} flips {most.iloc[0]} of 12 decisions"]
    named += [f"{most.index[k]} {most.iloc[k]}" for k in (1, 2)]
    rest = "none" if not most.iloc[3] else f"at most {most.iloc[3]}"
    assert str(wide).endswith(f"; {', '.join(named)}, each of 3 more {rest}"), str(wide)
    same = patch_sweep(model, [("01", "10")])
    assert not same.frame()["flips"].any()
    assert str(same).endswith("1 pair x 2 sites, in output; none of 2 decisions flips")
    of_one = patch_sweep(model, [("01", "10")], ["h0.0"])
    assert str(of_one).endswith("1 pair x 1 site, in output; the decision does not flip")
    flipped = patch_sweep(model, [("00", "11")], ["h0.1"])
    assert str(flipped).endswith("1 pair x 1 site, in output; h0.1 flips 1 of 1 decision")


def test_a_cell_counts_one_line_more_in_the_singular():
    """Of 21 sites one line is left out."""
    model = train_population("XOR", 1, hidden=21, progress=False)[0]
    assert "<p>... and 1 more line; .frame()" in patch_sweep(model, progress=False)._repr_html_()


def test_a_cell_shows_twenty_lines_at_most_the_largest_first():
    """Of 40 sites those with the largest mean size of effect; the rest is counted."""
    model = train_population("XOR", 1, hidden=40, progress=False)[0]
    sweep = patch_sweep(model, progress=False)
    page = sweep._repr_html_()
    _, *lines = cells_of(page)
    sizes = sweep.effect.double().abs().mean(dim=1)
    order = sizes.argsort(descending=True, stable=True)[:20]
    assert [line[0] for line in lines[:20]] == [sweep.site_names[k] for k in order]
    assert "and 20 more lines" in page
    assert f"{sweep.site_names[order[0]]} has the largest" in page


def test_a_cell_that_ends_in_a_circuit_shows_the_verdict_and_gates():
    """The verdict first, then a unit per line with its gate; evidence is a table of its claims."""
    circuit = identify_circuit(textbook_xor())
    page = circuit._repr_html_()
    assert "identified: exactly one circuit" in page
    assert "8 of 8 claims hold" in page
    lines = cells_of(page)
    assert [line[:2] for line in lines] == [
        ["unit", "gate"],
        ["h0.0", "OR"],
        ["h0.1", "AND"],
        ["y0", "h0.0 & ~h0.1"],
    ]
    assert [line[0] for line in cells_of(circuit.units._repr_html_())[1:]] == ["h0.0", "h0.1"]
    claims = cells_of(circuit.evidence._repr_html_())
    assert [line[0] for line in claims[1:]] == [claim.claim for claim in circuit.evidence]
    assert circuit.evidence == circuit.proof.claims


def test_lists_of_findings_are_tables_in_a_notebook_and_lists_otherwise():
    """A line of each thing, at most twenty; printed and compared as the plain list or tuple is."""
    model = train_population("XOR", 25, progress=False)
    circuit = identify_circuit(textbook_xor())
    found = find_gates(textbook_xor(), progress=False)
    both = [circuits.unit_readings(torch.tensor([0.0, 1.0, 1.0, 2.0])), circuit.netlist]
    both += [circuits.identify_many(model.__getitem__, model.weights, model.cfg, progress=False)]
    both += [circuit.circuits, circuit.passing, circuit.redundancy_groups]
    both += [circuit.units_acting_as("OR"), found.units, found.groups, found.found]
    both += [found.scan.unit_gates, diagnose(textbook_xor(), "XNOR").answers]
    formula, verdict = str(circuit.formula), identify_circuit(model[0]).verdict
    first_cells = ["OR", "h0.0", verdict, formula, formula, "none"]
    first_cells += ["h0.0", "h0.0", "none", "h0.0", "h0.0", "every decision negated"]
    for things, first in zip(both, first_cells, strict=True):
        plain = (list if isinstance(things, list) else tuple)(things)
        assert things == plain
        assert str(things) == repr(things) == str(plain)
        page = things._repr_html_()
        lines = cells_of(page)
        assert len(lines) == (min(len(things), 20) + 1 if things else 0)
        assert (lines[1][0] == first) if things else first == "none" in page
        assert ("<p>... and 5 more lines</p>" in page) == (len(things) == 25)


def test_a_cell_is_escaped_and_written_for_people():
    """Names in angle brackets stay text; numbers have three figures, no value is an empty cell."""
    rows = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    sweep = patch_sweep(
        textbook_xor(),
        (rows[:1], rows[1:]),
        ["h0.0"],
        metrics={"<b>first</b>": lambda o: o[:, 0] / 3},
    )
    page = sweep._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;first&lt;/b&gt;" in page
    scored = cells_of(score_methods(textbook_xor())._repr_html_())
    assert len(scored) == 7
    assert all(len(text.lstrip("-")) <= 5 for text in scored[-1][2:])
