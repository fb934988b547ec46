"""Every public method that takes arguments, of every exported class: values of the wrong kind are
refused with the package's own error, as `test_every_function` says of functions.

So are the settings of what a person builds, and the options of a picture."""

import functools
import inspect
from collections.abc import Callable
from types import FunctionType

import pytest
import torch
from networks import OR_AND
from test_architecture import public_objects
from test_every_function import (
    MADE,
    ROWS,
    SCANNED,
    WRONG,
    Once,
    call_of,
    made,
    model,
    outcome,
    quiet,
)
from torch import nn

from xor_mi import circuits, exam, gate_scan, geometry, handmade, terms, widgets
from xor_mi.errors import XorMiError
from xor_mi.finding import Finding
from xor_mi.graph import Unit
from xor_mi.model import HookedMLPConfig
from xor_mi.training import TrainConfig
from xor_mi.truth import BooleanFunction, formula_trees

LAYERS = [([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, -2.0]], [0.0])]
FIRST, SECOND = Unit(0, 0), Unit(0, 1)
ALL_EDGES = [[1, 1, 1, 1, 1, 1]]


def xor() -> BooleanFunction:
    """A function of two inputs."""
    return BooleanFunction.named("XOR")


@functools.cache
def circuit() -> circuits.Circuit:
    """The circuit of the textbook network."""
    return circuits.identify_circuit(model())


@functools.cache
def scored() -> gate_scan.GateScan:
    """A scan with scores."""
    return gate_scan.scan_gates(model(), *SCANNED, n_permutations=9, scores=True, **quiet)


@functools.cache
def ordered() -> circuits.OrderedCircuit:
    """A circuit with readings of up to three levels."""
    return circuits.ordered_circuits(model(), **quiet).circuits[0]


@functools.cache
def sequential() -> nn.Sequential:
    """A network that was written elsewhere."""
    with torch.random.fork_rng():
        return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))


METHODS: dict[str, tuple[Once | None, dict[str, object]]] = {
    "circuits.CandidateCircuit.beside": (
        lambda: circuit().circuits[0],
        {"first": circuit().circuits[0]},
    ),
    "truth.BooleanFunction.named": (None, {"name": "XOR"}),
    "truth.BooleanFunction.from_callable": (None, {"function": lambda a, b: a & b}),
    "truth.BooleanFunction.from_formula": (None, {"formula": "x0 & x1"}),
    "truth.BooleanFunction.of": (None, {"target": "XOR"}),
    "truth.BooleanFunction.formula_over": (xor, {"names": ["a", "b"]}),
    "truth.Tree.bits": (lambda: formula_trees("x0 & x1")[0], {"n_inputs": 2}),
    "truth.Tree.packed_table": (lambda: formula_trees("x0 & x1")[0], {"n_inputs": 2}),
    "model.HookedMLP.from_weights": (None, {"layers": LAYERS}),
    "model.HookedMLP.with_target": (model, {"target": "OR"}),
    "model.HookedMLP.with_weights": (model, {"layers": LAYERS}),
    "model.HookedMLP.from_module": (None, {"decision_threshold": 0.0}),
    "model.HookedMLP.from_sequential": (None, {"decision_threshold": 0.0}),
    "model.HookedMLP.save_pretrained": (model, {"directory": "saved", "overwrite": True}),
    "model.HookedMLP.from_pretrained": (None, {"directory": "saved"}),
    "model.HookedMLP.forward": (model, {"x": ROWS}),
    "model.HookedMLP.bits_of": (model, {"inputs": ROWS}),
    "model.HookedMLP.activate": (model, {"pre": ROWS, "layer": 0}),
    "model.HookedMLP.hooks": (model, {}),
    "model.HookedMLP.run_with_cache": (model, {"x": ROWS}),
    "model.HookedMLP.add_hook": (
        handmade.textbook_xor, {"name": "hook_logits", "hook": lambda value, hook: None},
    ),
    "model.HookedMLP.set_use_edge_result": (handmade.textbook_xor, {"use_edge_result": True}),
    "model.HookedMLP.to_tokens": (model, {"bits": "01"}),
    "model.HookedMLP.target_of": (model, {}),
    "model.HookedMLP.require_output": (model, {"output": 0}),
    "model.HookedMLP.rows": (model, {}),
    "model.HookedMLP.read_rows": (model, {}),
    "model.HookedMLP.place": (model, {"place": "h0.0"}),
    "model.HookedMLP.hook_site": (model, {"place": "h0.0"}),
    "model.HookedMLPConfig.act_name": (HookedMLPConfig, {"layer": 0}),
    "model.HookedMLPConfig.activation": (HookedMLPConfig, {"layer": 0}),
    "model.HookedMLPConfig.from_dict": (None, {"values": {"seed": 1}}),
    "training.Population.outputs": (lambda: made("population"), {}),
    "training.Population.of_seed": (lambda: made("population"), {"seed": 0}),
    "training.TrainConfig.of": (None, {"config": TrainConfig()}),
    "population.Trajectory.step_of": (lambda: made("trajectory"), {"event": "first_solved"}),
    "terms.DifferenceExplanation.of_output": (
        lambda: terms.explain_difference(model(), "00", "11"), {},
    ),
    "interventions.HighLevelModel.bits": (lambda: OR_AND, {"n_inputs": 2}),
    "interventions.HighLevelModel.table": (lambda: OR_AND, {"n_inputs": 2}),
    "interventions.HighLevelModel.predict": (lambda: OR_AND, {"bits": OR_AND.bits(2).T}),
    "interventions.InterchangeAccuracy.accuracy": (lambda: made("accuracy"), {}),
    "gate_scan.FoundGates.acting_as": (lambda: made("found"), {"gate": "OR"}),
    "gate_scan.GateScan.separating": (scored, {}),
    "gate_scan.GateScan.acting_as": (scored, {"gate": "OR"}),
    "gate_scan.GateScan.scores": (scored, {}),
    "geometry.Region.contains": (
        lambda: geometry.regions(model())[0], {"points": torch.zeros(1, 2)},
    ),
    "circuits.Circuit.from_json": (None, {"text": circuit().to_json()}),
    "circuits.Circuit.from_dict": (None, {"values": circuit().to_dict()}),
    "circuits.Circuit.gate_of": (circuit, {"unit": "h0.0"}),
    "circuits.Circuit.units_acting_as": (circuit, {"gate": "OR"}),
    "widgets.Playground.move": (widgets.playground, {"weight": "w12", "value": 0.5}),
    "circuits.CandidateCircuit.has": (lambda: circuit().circuits[0], {"level": "joint"}),
    "circuits.JointReading.of": (lambda: circuit().readings[0], {"unit": FIRST}),
    "circuits.JointReading.formula_of": (lambda: circuit().readings[0], {}),
    "circuits.JointReading.tells_apart": (
        lambda: circuit().readings[0], {"a": FIRST, "b": SECOND},
    ),
    "circuits.OrderedCircuit.of": (ordered, {"unit": FIRST}),
    "circuits.OrderedCircuit.has": (ordered, {"level": "joint"}),
    "circuits.Proof.ablation": (lambda: circuit().proof, {"value": "mean"}),
    "circuits.Proof.necessary": (lambda: circuit().proof, {}),
    "circuits.Proof.sufficient": (lambda: circuit().proof, {}),
    "circuits.SubsetAblation.changed_without": (
        lambda: circuit().proof.ablation("mean"), {"units": [FIRST]},
    ),
    "exam.Task.networks": (
        lambda: exam.task("planted gates relu"), {"n_networks": 1, **quiet},
    ),
    "search.Convention.of": (None, {"convention": "default"}),
    "search.AlignmentSearch.merged": (lambda: made("alignments"), quiet),
    "search.EdgeMasks.kept": (lambda: made("edge masks"), {"masks": 1}),
    "search.EdgeMasks.mask_of": (
        lambda: made("edge masks"), {"subcircuit": made("subcircuit")},
    ),
    "search.EdgeMasks.subcircuit": (lambda: made("edge masks"), {"mask": 63}),
    "exam.ExamProblem.of": (None, {"model": model()}),
    "exam.ExamProblem.elements": (lambda: made("exam"), {"over": "edges"}),
    "exam.ExamProblem.generator": (lambda: made("exam"), {"method": "random"}),
    "exam.ExamProblem.edges_between": (lambda: made("exam"), {"units": [1, 0]}),
    "exam.ExamProblem.outputs": (lambda: made("exam"), {"kept": ALL_EDGES}),
    "exam.ExamProblem.values": (lambda: made("exam"), {"kept": ALL_EDGES}),
    "exam.ExamProblem.right": (lambda: made("exam"), {"kept": ALL_EDGES}),
    "exam.ExamProblem.gradient": (lambda: made("exam"), {"kept": ALL_EDGES}),
    "exam.ExamProblem.metric_of": (lambda: made("exam"), {"outputs": torch.zeros(4, 1)}),
    "exam.ExamRun.board": (lambda: made("exam run"), {}),
    "exam.ExamRun.part": (
        lambda: made("exam run"), {"task": "planted gates relu", "convention": "zero"},
    ),
    "exam.Truth.of": (None, {"problem": made("exam"), **quiet}),
    "exam.Truth.at_level": (lambda: made("truth"), {"level": "subset"}),
    "exam.Truth.mask_of": (lambda: made("truth"), {"kept": [1] * 6}),
    "exam.TruthSummary.of": (None, {"truth": made("truth")}),
    "exam.ExamNetwork.truth": (lambda: made("grades").networks[0], {"over": "edges"}),
    "exam.ExamNetwork.elements": (lambda: made("grades").networks[0], {"over": "edges"}),
    "exam.ExamRun.of": (None, {"grades": made("grades")}),
    "exam.Grades.of": (lambda: made("grades"), {"method": "magnitude"}),
    "exam.Grades.network": (lambda: made("grades"), {"name": "0"}),
    "exam.Grades.board": (lambda: made("grades"), {}),
    "exam.Grades.failures": (lambda: made("grades"), {"method": "magnitude"}),
    "exam.Grades.from_json": (None, {"text": made("grades").to_json()}),
}  # fmt: skip
"""Method -> what it belongs to, None for a method of the class itself; and a call of it that is
answered. `sequential` is given where a module is asked for.
"""

BUILT: dict[str, dict[str, object]] = {
    "truth.BooleanFunction": {"n_inputs": 2, "tables": "0110"},
    "model.HookedMLP": {},
    "model.HookedMLPConfig": {},
    "training.TrainConfig": {},
    "interventions.HighLevelModel": {"variables": {"either": "x0 | x1"}, "output": "either"},
    "interventions.Site": {"hook_name": "hook_logits"},
    "interventions.Subspace": {"site": "hook_logits", "basis": torch.eye(1)},
    "search.Convention": {},
}
"""Class that a person builds -> settings that it takes."""

BETWEEN_ROOMS = {
    *("truth.Tree.input", "truth.Tree.constant"),
    *(f"model.DecisionRule.{name}" for name in ("n_decisions", "scores", "distance", "decide")),
    *("model.HookedMLP.require_no_direct", "model.HookedMLP.edge_hooks"),
    "metrics.ScoreAbove.score",
    *("training.Population.from_flat", "circuits.JointReading.with_interchange"),
    *(f"search.Formula.{name}" for name in ("held", "bits", "effect")),
    *(f"search.Problem.{name}" for name in ("of", "activate", "kept", "kept_of_all", "scores")),
    *("search.Problem.right_rows", "search.Problem.right", "search.SubcircuitSearch.kept_edges"),
    *("graph.Site.axes", "interventions.Site.axes"),
    "exam.Truth.mean_by_size",
}
"""Arithmetic on tensors, tables and formulas: rooms call them with what was checked before."""

ELSEWHERE = {
    # what torch and TransformerLens document
    *("model.HookedMLP.to", "model.HookedMLP.cuda"),
    *("kinds.HookedModel.hooks", "kinds.HookedModel.run_with_cache"),
    # doors of `hostile.py`, which brings the networks along
    *("model.HookedMLP.from_sklearn", "model.HookedMLP.from_keras"),
    # below
    "finding.Finding.plot",
}


@functools.cache
def methods() -> dict[str, Callable[..., object]]:
    """Every public method that takes arguments, by its dotted name, of the class that defines it."""
    found = {}
    for where, one in public_objects().items():
        own = vars(one).items() if isinstance(one, type) else ()
        for name, value in own:
            inner = getattr(value, "__func__", value)
            if not isinstance(inner, FunctionType) or name.startswith("_"):
                continue
            method = getattr(one, name)
            if set(inspect.signature(method).parameters) - {"self"}:
                found[f"{where}.{name}"] = method
    return found


def wrong_answers(call: Callable[..., object], arguments: dict[str, object]) -> list[str]:
    """One argument at a time of the wrong kind: what became of it where it was not a refusal.

    A context is entered, as nothing is checked before.
    """

    def answered(given: dict[str, object]) -> str:
        asked = call_of(call, given)

        def entered() -> None:
            result = asked()
            if hasattr(result, "__enter__"):
                with result:  # pyright: ignore[reportGeneralTypeIssues]
                    pass

        return outcome(entered)

    assert answered(arguments) == ""
    wrong = []
    for parameter in inspect.signature(call).parameters.values():
        is_open = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if is_open or parameter.name == "progress":
            continue
        for value in WRONG:
            said = (
                "" if value is parameter.default else answered({**arguments, parameter.name: value})
            )
            if said:
                wrong.append(f"{parameter.name}={value!r:.40}: {said}")
    return wrong


def test_every_method_with_arguments_is_tried():
    """A new method must be put in one of the three lists."""
    lists = [set(METHODS), BETWEEN_ROOMS, ELSEWHERE]
    assert set(methods()) == set().union(*lists)
    assert sum(map(len, lists)) == len(methods())


@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", METHODS)
def test_wrong_kinds_are_refused_by_the_method_itself(name, tmp_path, monkeypatch):
    """One argument at a time has the wrong kind, all others being valid."""
    monkeypatch.chdir(tmp_path)
    model().save_pretrained("saved")
    make, arguments = METHODS[name]
    if name in ("model.HookedMLP.from_module", "model.HookedMLP.from_sequential"):
        arguments = {name.split("_")[1]: sequential(), **arguments}
    method = methods()[name] if make is None else getattr(make(), name.split(".")[2])
    assert wrong_answers(method, arguments) == []


@pytest.mark.unchecked
@pytest.mark.parametrize("name", BUILT)
def test_wrong_kinds_of_settings_are_refused(name):
    """One setting at a time of what a person builds."""
    assert wrong_answers(public_objects()[name], BUILT[name]) == []


@pytest.mark.unchecked
@pytest.mark.parametrize("name", sorted(set(MADE) - {"findings", "figures"}))
def test_a_picture_refuses_an_option_that_it_does_not_have(name):
    """Of every kind of finding, whether or not it is drawn: one XorMiError that says so."""
    finding = made(name)
    if isinstance(finding, Finding):
        with pytest.raises(XorMiError, match="no option 'nonsense'|has no picture"):
            finding.plot(nonsense=1)


def test_a_place_that_a_circuit_does_not_have_is_named():
    """No hidden unit, no decision and no layer is taken for another one, counted from the end."""
    first = circuit().readings[0]
    for unit in (Unit(-1, 0), Unit(0, -1), Unit(0, 2), Unit(1, 0, is_output=True)):
        for readings in (first, ordered()):
            with pytest.raises(XorMiError, match="no hidden unit .*this circuit has: h0.0, h0.1"):
                readings.of(unit)
    with pytest.raises(XorMiError, match="no output 1; this network has 1"):
        first.formula_of(1)
    with pytest.raises(XorMiError, match="layer must be a whole number .*, not 2"):
        model().activate(ROWS, 2)


@pytest.mark.unchecked
@pytest.mark.parametrize("bits", [[[0, 0, 0]], 1, [[0.5, 0]], [[2, 0]]])
def test_bits_that_are_none_are_not_predicted(bits):
    """Another width, or another value than 0 and 1, is not a run of the algorithm."""
    with pytest.raises(XorMiError, match="are not 2 bits per run"):
        OR_AND.predict(torch.tensor(bits))
