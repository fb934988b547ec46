"""Every exported function, every one of its arguments, values of the wrong kind: the package's own
error or an answer, and nothing else.

The shape checker is off, as it is for a user. Where a function takes such a value all the same, as
`BooleanFunction.of` takes any text that is a formula, it may answer."""

import functools
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pytest
import torch
from networks import OR_AND
from test_architecture import public_objects
from torch import nn

from xor_mi import (
    circuits,
    exam,
    exam_page,
    gate_scan,
    geometry,
    handmade,
    interventions,
    least_units,
    margins,
    population,
    report,
    search,
    terms,
    testing,
    training,
    trajectory_page,
    values,
)
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit

WRONG: list[object] = [
    None,
    3.5,
    object(),
    "no such thing",
    {"a": 1},
    b"\xff",
    [object()],
    -7,
    float("nan"),
    True,
]
"""Values of kinds that hardly any argument has."""

FIRST = Unit(0, 0)
PLACES = {"either": "h0.0", "both": "h0.1"}
SMALL = training.TrainConfig(max_steps=2)

Once = Callable[[], object]
model = functools.cache(handmade.textbook_xor)
quiet = {"progress": False}


def alike(problem):
    """A method that scores all edges alike."""
    return [1.0] * len(problem.edges)


def drops_one(problem):
    """A method that keeps all edges but the last."""
    return problem.edges[:-1]


MADE: dict[str, Once] = {
    "model": model,
    "circuit": lambda: circuits.identify_circuit(model()),
    "happened": lambda: population.trajectories(made("population"), **quiet),
    "trajectory": lambda: population.trajectory("XOR", config=SMALL, **quiet),
    "events": lambda: population.trajectories(made("population"), **quiet),
    "families over steps": lambda: population.gates_over_time(made("population"), **quiet),
    "networks": lambda: population.census(made("population"), **quiet),
    "population": lambda: training.train_population("XOR", 4, config=SMALL, **quiet),
    "trained": lambda: training.train("XOR", config=SMALL, **quiet),
    "record": lambda: testing.record_of(model()),
    "finding record": lambda: testing.record_of_finding(made("patches")),
    "subcircuit": lambda: next(iter(search.find_subcircuits(model(), **quiet))),
    "findings": lambda: report.find_out(model()),
    "activations": lambda: values.activations(model()),
    "comparison": lambda: values.compare(model(), "00", "11"),
    "contributions": lambda: terms.contributions(model()),
    "patches": lambda: interventions.patch_sweep(model(), **quiet),
    "ablations": lambda: interventions.ablation_sweep(model(), **quiet),
    "attribution": lambda: interventions.attribute(model(), **quiet),
    "scores": lambda: interventions.score_methods(model(), **quiet),
    "accuracy": lambda: interventions.interchange_accuracy(model(), OR_AND, PLACES, **quiet),
    "path": lambda: geometry.path(model(), "00", "11"),
    "plane": lambda: geometry.input_plane(model(), n_points=5),
    "boundary": lambda: geometry.boundary(model(), n_points=5),
    "regions": lambda: geometry.regions(model()),
    "conditions": lambda: margins.conditions(model()),
    "slack": lambda: margins.slack_to_flip(model(), **quiet),
    "weights": lambda: margins.move_weight(model(), n_steps=2, **quiet),
    "rates": lambda: circuits.control_rates(model(), n_networks=2, **quiet),
    "subcircuits": lambda: search.find_subcircuits(model(), **quiet),
    "alignments": lambda: search.find_alignments(model()),
    "masks": lambda: search.node_masks(model(), **quiet),
    "edge masks": lambda: search.edge_masks(model(), **quiet),
    "counts": lambda: search.compare_conventions(model(), depth=1, **quiet),
    "shares": lambda: population.gate_shares(made("networks")),
    # the second unit is off on every row
    "stuck model": lambda: handmade.edit(model(), {"h0.1": -5.0}),
    "stuck": lambda: population.stuck_in(made("stuck model"), retrain=False, **quiet),
    "study": lambda: population.width_study(
        n_networks=2, widths=[2], act_fns=["relu"], config=SMALL, **quiet
    ),
    "found": lambda: gate_scan.find_gates(model(), **quiet),
    "scan": lambda: gate_scan.scan_gates(model(), *SCANNED, n_permutations=9, **quiet),
    "exam": lambda: exam.ExamProblem.of(model()),
    "truth": lambda: exam.Truth.of(exam.ExamProblem.of(model()), **quiet),
    "grades": lambda: exam.grade(alike, model(), **quiet),
    # one edge is none too many: the whole network is the only circuit of the textbook
    "failing grades": lambda: exam.grade(drops_one, model(), **quiet),
    "exam run": lambda: exam.run_exam(
        tasks="planted gates relu", methods="random", n_networks=1, **quiet
    ),
    "atlas": least_units.atlas,
    "figures": lambda: report.figures_of(made("findings")),
}
"""Valid arguments, each made when it is first asked for."""


@functools.cache
def made(name: str) -> object:
    """A valid argument by its name in the table."""
    return MADE[name]()


ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SCANNED = (ROWS, {"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}, ["h0.0", "h0.1"])


class Made(str):
    """The name of a valid argument in the table, where text would stand for itself."""


MODEL = {"model": Made("model")}
PAIR = {"clean": "01", "corrupted": "11"}
VALID: dict[str, dict[str, object]] = {
    "truth.complement_name": {"gate": "OR"},
    "truth.formula_trees": {"formula": "x0 & x1"},
    "truth.gate_name": {"name": "OR"},
    "truth.count_threshold_functions": {"n_inputs": 2},
    "truth.npn_class": {"target": "XOR"},
    "truth.npn_classes": {"n_inputs": 2},
    "truth.threshold_functions": {},
    "truth.threshold_proof": {"target": "XOR"},
    "truth.threshold_tables": {"n_inputs": 2},
    "model.require_evaluable": {**MODEL, "operation": "testing"},
    "model.require_hooked_mlp": {**MODEL, "operation": "testing"},
    "model.require_plain_mlp": {**MODEL, "operation": "testing"},
    "metrics.decisions": MODEL,
    "metrics.by_threshold": {},
    "metrics.by_argmax": {},
    "metrics.mean_interval": {"values": [0.0, 1.0]},
    "metrics.by_tokens": {"one": 1, "zero": 0},
    "training.replay": {"population": Made("population"), **quiet},
    "training.train": {"config": SMALL, **quiet},
    "training.train_population": {"n_networks": 2, "config": SMALL, **quiet},
    "values.activations": MODEL,
    "values.compare": {**MODEL, "a": "00", "b": "11"},
    "terms.contributions": MODEL,
    "terms.explain_difference": {**MODEL, "a": "00", "b": "11"},
    "interventions.ablation_sweep": {**MODEL, **quiet},
    "interventions.attribute": {**MODEL, **quiet},
    "interventions.das_accuracy": {
        **MODEL, "high_level": OR_AND, "variable": "both", "site": "h0.1", "epochs": 1, **quiet,
    },
    "interventions.differing_pairs": MODEL,
    "interventions.interchange": {**MODEL, "sources": {"h0.0": "01"}, "base": "11"},
    "interventions.interchange_accuracy": {
        **MODEL, "high_level": OR_AND, "alignment": PLACES, **quiet,
    },
    "interventions.patch": {**MODEL, **PAIR, "site": "h0.1"},
    "interventions.patch_sweep": {**MODEL, **quiet},
    "interventions.path_sweep": {**MODEL, "paths": [["x0", "h0.0", "y0"]], **quiet},
    "interventions.paths_from": {**MODEL, "start": "x0"},
    "interventions.score_methods": {**MODEL, **quiet},
    "interventions.site_of": {**MODEL, "site": "h0.1"},
    "interventions.sites": MODEL,
    "interventions.subsets": {"sites": ["h0.0", "h0.1"]},
    "interventions.subspace_accuracy": {
        **MODEL,
        "high_level": OR_AND, "variable": "both", "site": "h0.1", "basis": torch.ones(1, 1),
    },
    "gate_scan.find_gates": {**MODEL, "n_permutations": 9, **quiet},
    "gate_scan.scan_gates": {
        **MODEL,
        "inputs": SCANNED[0], "features": SCANNED[1], "sites": SCANNED[2], "n_permutations": 9,
        **quiet,
    },
    "geometry.boundary": {**MODEL, "n_points": 5},
    "geometry.input_plane": {**MODEL, "n_points": 5},
    "geometry.path": {**MODEL, "start": "00", "end": "11"},
    "geometry.regions": MODEL,
    "handmade.edit": {**MODEL, "changes": {"fc1.bias[0]": 1.0}},
    "handmade.from_formula": {"formula": "x0 ^ x1"},
    "handmade.from_gates": {"gates": ["OR", "AND"]},
    "handmade.from_netlist": {"netlist": Made("circuit")},
    "margins.conditions": MODEL,
    "margins.move_weight": {**MODEL, "n_steps": 2, **quiet},
    "margins.slack_to_flip": {**MODEL, **quiet},
    "margins.weight_symbols": MODEL,
    "circuits.control_rates": {**MODEL, "n_networks": 2, **quiet},
    "circuits.diagnose": MODEL,
    "circuits.identify_circuit": MODEL,
    "circuits.ordered_circuits": {**MODEL, **quiet},
    "circuits.summarize": {"circuit": Made("circuit")},
    "least_units.atlas": {},
    "least_units.least_hidden_units": {"target": "XOR", **quiet},
    "least_units.gate_sets": {"target": "XOR", "n_units": 2, **quiet},
    "search.as_network": {**MODEL, "subcircuit": Made("subcircuit")},
    "search.compare_conventions": {**MODEL, "depth": 1, **quiet},
    "search.count_interpretations": {**MODEL, "subcircuit": Made("subcircuit")},
    "search.count_perfect_subcircuits": {**MODEL, **quiet},
    "search.counting_cost": MODEL,
    "search.count_subcircuits": {"layer_sizes": (2, 2, 1)},
    "search.edge_masks": {**MODEL, **quiet},
    "search.outputs_of_edge_masks": {**MODEL, "kept": [[1, 1, 0, 0, 1, 0]], **quiet},
    "search.find_alignments": MODEL,
    "search.find_subcircuits": {**MODEL, **quiet},
    "search.formulas": {"target": "XOR"},
    "search.identifiability_report": {**MODEL, "depth": 1, "conventions": {}, **quiet},
    "search.interpretations": {**MODEL, "subcircuit": Made("subcircuit")},
    "search.node_masks": {**MODEL, **quiet},
    "population.census": {"population": Made("population"), **quiet},
    "population.counted_as": {"networks": Made("networks")},
    "population.family_shares": {"networks": Made("networks")},
    "population.gates_over_time": {"population": Made("population"), **quiet},
    "population.gate_shares": {"networks": Made("networks")},
    "population.generalising": {
        "target": "XOR", "n_networks": 2, "hidden": 2, "config": SMALL, **quiet,
    },
    "population.identity_experiment": {"n_networks": 1, "hidden": 2, "config": SMALL, **quiet},
    "population.outcome_by_initial_signs": {
        "networks": Made("networks"), "layer_sizes": (2, 2, 1),
    },
    "population.outcome_by_sign_pattern": {
        "networks": Made("networks"),
        "layer_sizes": (2, 2, 1),
        **quiet,
    },
    "population.predict_ending": {"population": Made("population"), "steps": [0, 5], **quiet},
    "population.population_from_census": {
        "networks": Made("networks"), "cfg": handmade.textbook_xor().cfg,
    },
    "population.read_census": {"path": "census.parquet"},
    "population.run_census": {
        "n_networks": 1, "directory": "census", "config": SMALL, "n_jobs": 1, **quiet,
    },
    "population.read_trajectories": {"path": "trajectories.parquet"},
    "population.write_trajectories": {"happened": Made("happened"), "path": "written.parquet"},
    "population.trajectories": {"population": Made("population"), **quiet},
    "population.trajectory": {"config": SMALL, **quiet},
    "population.stuck_in": {"model": Made("stuck model"), "retrain": False, **quiet},
    "population.stuck_shares": {"population": Made("population"), "n_nudged": 0, **quiet},
    "population.verdict_shares": {"networks": Made("networks")},
    "population.watch": {"config": SMALL, "say": len},
    "population.width_study": {
        "n_networks": 1, "widths": [2], "act_fns": ["relu"], "config": SMALL, **quiet,
    },
    "population.write_census": {"networks": Made("networks"), "path": "written.parquet"},
    "exam.acdc": {"problem": Made("exam")},
    "exam.agreement_with_circuit": {"answer": {FIRST: "OR"}, "problem": Made("exam")},
    "exam.chance_of_agreement": {"answer": {FIRST: "OR"}, "problem": Made("exam")},
    "exam.edge_pruning": {"problem": Made("exam"), "n_steps": 3},
    "exam.circuit_tests": {"problem": Made("exam"), "circuit": [FIRST], "over": "units"},
    "exam.circuit_tests_against_truth": {"problem": Made("exam")},
    "exam.smallest_by_tests": {"problem": Made("exam")},
    "exam.gate_rule_chen": {"problem": Made("exam")},
    "exam.gate_rule_joint": {"problem": Made("exam")},
    "exam.grade": {"methods": "magnitude", "networks": Made("model"), **quiet},
    "exam.joined": {"parts": [made("grades")]},
    "exam.proven_gates": {"problem": Made("exam")},
    "exam.subnetwork_probing": {"problem": Made("exam"), "n_steps": 3},
    "exam.board_text": {"grades": Made("grades")},
    "exam.read_exam": {"directory": "exam"},
    "exam.run_exam": {"tasks": "planted gates relu", "methods": "random", "n_networks": 1, **quiet},
    "exam.task": {"name": "XOR 2-2-1 relu"},
    "zoo.load": {"name": "or-and"},
    "zoo.recorded": {"name": "or-and"},
    "zoo.load_transformer": {"name": "xor-attention"},
    "zoo.recorded_findings": {"name": "xor-attention"},
    "plots.ablation_heatmap": {"sweep": Made("ablations")},
    "plots.activations_heatmap": {"values": Made("activations")},
    "plots.alignments_figure": {"search": Made("alignments")},
    "plots.atlas_figure": {"table": Made("atlas"), "n_inputs": 2},
    "plots.attribution_heatmap": {"attribution": Made("attribution")},
    "plots.boundary_figure": {"edge": Made("boundary")},
    "plots.comparison_heatmap": {"comparison": Made("comparison")},
    "plots.conditions_figure": {"conditions": Made("conditions")},
    "plots.contributions_heatmap": {"explained": Made("contributions")},
    "plots.control_rates_figure": {"rates": Made("rates")},
    "plots.counts_figure": {"counts": Made("counts")},
    "plots.failures_figure": {"grades": Made("failing grades")},
    "plots.faithfulness_curves": {"grades": Made("grades")},
    "plots.family_weights": {"networks": Made("networks")},
    "plots.figure": {"finding": Made("patches")},
    "plots.grid_heatmap": {"finding": Made("patches")},
    "plots.gate_scan_figure": {"scan": Made("scan")},
    "plots.gate_shares_figure": {"shares": Made("shares"), "n_solved": 1, "n_networks": 4},
    "plots.grades_board": {"grades": Made("grades")},
    "plots.grades_figure": {"grades": Made("grades")},
    "plots.input_plane": {**MODEL, "n_points": 5},
    "plots.input_slider": {"path": Made("path")},
    "plots.interchange_accuracy_bars": {"accuracy": Made("accuracy")},
    "plots.interchange_matrix": {"circuit": Made("circuit")},
    "plots.loss_curve": {"result": Made("trained")},
    "plots.method_scores_bars": {"scores": Made("scores")},
    "plots.network_diagram": MODEL,
    "plots.node_masks_heatmap": {"masks": Made("masks")},
    "plots.edge_masks_bars": {"masks": Made("edge masks")},
    "plots.patching_heatmap": {"sweep": Made("patches")},
    "plots.path_figure": {"path": Made("path")},
    "plots.path_frames": {"path": Made("path")},
    "plots.plane_figure": {"plane": Made("plane")},
    "plots.regions_figure": {"pieces": Made("regions")},
    "plots.slack_figure": {"slack": Made("slack")},
    "plots.stuck_figure": {"stuck": Made("stuck"), **quiet},
    "plots.subcircuit_lattice": {"search": Made("subcircuits")},
    "plots.success_curve": {"study": Made("study")},
    "plots.event_steps_figure": {"table": Made("events")},
    "plots.families_figure": {"table": Made("families over steps")},
    "plots.trajectory_figure": {"trajectory": Made("trajectory")},
    "plots.truth_by_size": {"truth": Made("truth")},
    "plots.weight_frames": {"sweep": Made("weights")},
    "plots.weight_slider": {"sweep": Made("weights")},
    "report.figures_of": {"findings": Made("findings")},
    "report.find_out": {**MODEL, **quiet},
    "report.how_common": {"circuit": Made("circuit"), "networks": Made("networks")},
    "report.render_report": {"findings": Made("findings"), "figures": Made("figures")},
    "report.require_writable": {"directory": "folder"},
    "report.to_dict": {"findings": Made("findings")},
    "report.write_report": {"model": Made("findings"), "directory": "report", **quiet},
    "exam_page.render_exam_page": {"exam": Made("exam run")},
    "exam_page.write_exam_page": {"exam": Made("exam run"), "directory": "exam"},
    "trajectory_page.render_trajectory_page": {"trajectory": Made("trajectory")},
    "trajectory_page.require_writable": {"directory": "folder"},
    "trajectory_page.write_trajectory_page": {
        "trajectory": Made("trajectory"), "directory": "trajectory",
    },
    "testing.assert_acts_as": {"model_or_circuit": Made("circuit"), "gates": {"OR": 0}},
    "testing.assert_computes": {**MODEL, "target": "XOR"},
    "testing.assert_method_passes": {
        "method": "random", "task": "planted gates relu", "measure": "size", "at_most": 6,
        "networks": 1,
    },
    "testing.assert_patch_effect": {**MODEL, **PAIR, "site": "h0.1", "effect": 2.0},
    "testing.assert_same_circuit": {
        "model_or_circuit": Made("circuit"), "expected": Made("circuit"),
    },
    "testing.circuit_of": {"model_or_circuit": Made("model")},
    "testing.compare_records": {"old": Made("record"), "new": Made("record")},
    "testing.compare_findings": {"old": Made("finding record"), "new": Made("finding record")},
    "testing.read_finding_record": {"path": "record.finding.json"},
    "testing.record_of_finding": {"finding": Made("patches")},
    "testing.read_record": {"path": "record.circuit.json"},
    "testing.record_of": {"model_or_circuit": Made("model")},
    "testing.write_record": {"record": Made("record"), "path": "written.circuit.json"},
    "widgets.playground": {},
    "bench.bench_html": {**MODEL, "circuit": Made("circuit")},
    "bench.bench_spec": {**MODEL, "circuit": Made("circuit")},
    "bench.found_spec": {"circuit": Made("circuit")},
    "bench.network_code": {**MODEL},
    "bench.preset_models": {**MODEL},
    "bench.write_bench": {"path": "bench.html", "models": Made("model")},
}  # fmt: skip
"""Exported function -> a call of it that is answered, small enough to be made a hundred times."""

BETWEEN_ROOMS = {
    "search.metric_of_edge_masks",
    *("errors.as_path", "errors.require_kind", "errors.unknown", "errors.unwritable"),
    *("errors.cut_short", "errors.shown", "errors.whole_number", "errors.require_seeds"),
    *(
        "errors.names_listed",
        "errors.require_at_most",
        "errors.require_memory",
        "saving.unchanging",
    ),
    *("progress.progress_bar", "reading.read_json", "reading.read_json_text"),
    *(
        "kernels.compiled",
        "kernels.inlined",
        "kernels.is_kept",
        "kernels.numba_is_installed",
        "kernels.part",
    ),
    "kernels.sources_digest",
    *("saving.mark_of", "saving.remove_abandoned", "saving.replacing", "saving.require_own"),
    *("saving.require_own_file", "saving.require_writable", "saving.write_file"),
    *("saving.parquet_metadata", "saving.require_footer", "saving.write_files"),
    *("saving.write_new", "saving.weight_shapes", "model.saved_files", "model.decide"),
    *("saving.parquet_metadata_of", "saving.working_alone"),
    *(
        "truth.algebraic_normal_form",
        "truth.as_bit",
        "truth.as_row",
        "truth.is_array",
        "truth.row_name",
        "truth.row_number",
    ),
    *("truth.row_numbers", "truth.truth_rows", "graph.edges_of", "graph.layers_of"),
    *("graph.sources_of", "graph.require_layer_sizes", "model.one_of_a_pair", "model.read_inputs"),
    "model.require_device",
    *("finding.count_text", "finding.number_text", "finding.parameter_text"),
    "finding.flips_text",
    *("finding.folded_text", "finding.table_text"),
    "finding.in_words",
    *(
        "graph.name_of_set",
        "model.activation",
        "model.all_finite",
        "model.hook_site",
        "model.how_to_bring",
        "model.require_output",
    ),
    *("model.warn", "model.initial_weights", "model.kind_of_hook", "model.stage_of_hook"),
    *("metrics.accuracy", "metrics.decision", "metrics.logit", "metrics.logit_difference"),
    *("metrics.probability", "metrics.score", "metrics.share_interval"),
    "training.starting_weights",
    *("values.forward_float64", "values.own_scales", "values.own_score_scale"),
    "values.own_value_scales",
    *("terms.edge_terms", "interventions.all_pairs"),
    *("circuits.family_of", "circuits.identify_many", "circuits.live_units"),
    *("circuits.signature_of", "circuits.unit_readings"),
}
"""Arithmetic on tensors, tables and netlists, and helpers that say or check something: rooms call
them with values that were checked before.
"""
WITHOUT_ARGUMENTS = {
    "exam.chen_toy",
    "exam.gate_table",
    "handmade.textbook_xor",
    "zoo.describe",
    "zoo.names",
    "report.schema",
    "zoo.transformer_names",
    "zoo.transformer_task",
    "exam.tasks",
}


@functools.cache
def functions() -> dict[str, FunctionType]:
    """Every exported function by its dotted name."""
    things = public_objects()
    return {name: one for name, one in things.items() if isinstance(one, FunctionType)}


def valid(name: str) -> dict[str, object]:
    """Valid arguments of a function."""
    asked = VALID[name]
    return {key: made(one) if isinstance(one, Made) else one for key, one in asked.items()}


def call_of(function: Callable[..., object], arguments: dict[str, object]) -> Callable[[], object]:
    """A call with arguments by name, but for those that have a place only."""
    parameters = inspect.signature(function).parameters.values()
    placed = [one.name for one in parameters if one.kind is one.POSITIONAL_ONLY]
    named = {key: value for key, value in arguments.items() if key not in placed}
    return lambda: function(*[arguments[name] for name in placed], **named)


def outcome(call: Callable[[], object]) -> str:
    """What became of a call, '' where it was answered or refused."""
    try:
        call()
    except XorMiError as error:
        return "" if str(error) else "an error without a message"
    except AssertionError as error:  # an assertion of xor_mi.testing did its work
        return "" if str(error) else "a bare assertion"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:100]}"
    return ""


def test_every_exported_function_is_tried():
    """A new function must be put in one of the three lists."""
    assert set(functions()) == {*VALID, *BETWEEN_ROOMS, *WITHOUT_ARGUMENTS}
    assert len(VALID) + len(BETWEEN_ROOMS) + len(WITHOUT_ARGUMENTS) == len(functions())


@pytest.fixture(scope="module")
def files_to_read(tmp_path_factory) -> Path:
    """A folder of all that the functions read from disk; each test has a copy."""
    folder = tmp_path_factory.mktemp("written")
    testing.write_record(made("record"), folder / "record.circuit.json")
    testing.write_record(made("finding record"), folder / "record.finding.json")
    population.write_census(made("networks"), folder / "census.parquet")
    population.write_trajectories(made("happened"), folder / "trajectories.parquet")
    call_of(exam.run_exam, VALID["exam.run_exam"] | {"directory": folder / "exam"})()
    return folder


def once(draw: Callable[..., object]) -> Callable[..., object]:
    """What draws, asked once for each choice of arguments; these are kept, so that no other object
    comes to lie where one of them lay.
    """
    kept: dict[tuple[object, ...], tuple[object, ...]] = {}

    def drawn(*given: object, **named: object) -> object:
        key = (*map(id, given), *((name, id(value)) for name, value in named.items()))
        if key not in kept:
            kept[key] = (draw(*given, **named), given, named)
        return kept[key][0]

    return drawn


DRAWN = [
    (module, name, once(getattr(module, name)))
    for module, name in (
        (report, "figures_of"),
        (report, "render_report"),
        (trajectory_page, "render_trajectory_page"),
        (exam_page, "render_exam_page"),
    )
]
"""What a page is made of takes a second, and its writers are asked for the same page again and again."""


@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", VALID)
def test_wrong_kinds_are_refused_by_the_package_itself(name, files_to_read, tmp_path, monkeypatch):
    """One argument at a time has the wrong kind, all others being valid."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(files_to_read, tmp_path, dirs_exist_ok=True)
    function, arguments = functions()[name], valid(name)
    for module, drawing, drawn in DRAWN:
        monkeypatch.setattr(module, drawing, drawn)
    assert outcome(call_of(function, arguments)) == ""
    wrong = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "progress" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        for value in WRONG:
            if value is parameter.default:
                continue
            said = outcome(call_of(function, arguments | {parameter.name: value}))
            if said:
                wrong.append(f"{parameter.name}={value!r:.40}: {said}")
    assert wrong == []


class Own(nn.Module):
    """A network as a person writes one."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            self.fc1, self.fc2 = nn.Linear(2, 2), nn.Linear(2, 1)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


BROUGHT: dict[str, tuple[Once, str]] = {
    "TrainResult": (lambda: made("trained"), "result.model"),
    "nn.Module": (Own, "HookedMLP.from_module(net)"),
    "Sequential": (lambda: nn.Sequential(*Own().children()), "HookedMLP.from_module(net)"),
    "text": (lambda: "no-such-model", "HookedMLP.from_pretrained('no-such-model')"),
    "Path": (lambda: Path("no-such-model"), "HookedMLP.from_pretrained('no-such-model')"),
    "arrays": (lambda: [([[1.0]], [0.0])], "HookedMLP.from_weights([(weight, bias), ...])"),
}
"""What a person may give in place of a HookedMLP, and the words that say what to give."""

ANSWERED = {
    # any module may be asked whether it is in eval mode
    *(("model.require_evaluable", kind) for kind in ("nn.Module", "Sequential")),
    # a report is written of a saved model's folder, too
    *(("report.write_report", kind) for kind in ("text", "Path")),
}


def takers() -> list[tuple[str, str]]:
    """(function, the argument of it that is a model) for all that are called by a person."""
    return [
        (name, parameter)
        for name in VALID
        for parameter in inspect.signature(functions()[name]).parameters
        if parameter in ("model", "near", "model_or_circuit")
    ]


def test_the_matrix_finds_the_functions_that_take_a_model():
    """Every function whose first argument is annotated as a model is in it, and many are."""
    asked = {name for name, _ in takers()}
    for name in VALID:
        first = next(iter(inspect.signature(functions()[name]).parameters.values()), None)
        if first is not None and "HookedM" in str(first.annotation):
            assert name in asked
    assert len(asked) > 40


@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", BROUGHT)
@pytest.mark.parametrize(("name", "parameter"), takers())
def test_what_is_no_model_yet_is_answered_with_the_loader(
    name, parameter, kind, tmp_path, monkeypatch
):
    """Public functions x what a person may give in place of a HookedMLP: one XorMiError of one line
    that names what makes one of it.
    """
    if (name, kind) in ANSWERED:
        return
    monkeypatch.chdir(tmp_path)
    make, words = BROUGHT[kind]
    call = call_of(functions()[name], valid(name) | {parameter: make()})
    with pytest.raises(XorMiError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
