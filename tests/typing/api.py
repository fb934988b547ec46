"""The whole public surface in use. Never executed: pyright reads it in strict mode.

What a person's editor knows is what stands here: if an exported function took or gave something
without a type, this page would not pass. A test holds that every exported name appears in it.
"""

# plotly ships no stubs; its figures are still named below
# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from numpy.typing import NDArray
from torch import Tensor, nn

import xor_mi
from xor_mi import HookedMLP, HookedMLPConfig, Site, TrainConfig, Unit

# errors, reading, saving, progress, finding: what everything else is refused with, is read and
# written by, waits under, and is

error: xor_mi.XorMiError = xor_mi.errors.unknown("gate", "ANDD", ["AND"], where="gates are")
too_many: type[xor_mi.XorMiError] = xor_mi.errors.TooManyReadings
assert_type(xor_mi.errors.whole_number("seed", 3, at_least=0), int)
assert_type(xor_mi.errors.names_listed(["AND"]), str)
assert_type(xor_mi.errors.as_path("directory", "folder"), Path)
xor_mi.errors.require_kind("rows", [], list, give="input rows")
assert_type(xor_mi.errors.unwritable("folder", OSError()), xor_mi.XorMiError)
assert_type(xor_mi.finding.count_text(2, "network"), str)
assert_type(xor_mi.finding.flips_text(["h0.0", "h0.1"], [5, 6], of=12), str)
assert_type(xor_mi.finding.in_words("not_computing"), str)
assert_type(xor_mi.finding.folded_text("h0.0 OR", width=60), str)
assert_type(xor_mi.finding.table_text({"unit": ["h0.0"], "margin": [0.5]}, right=True), str)
assert_type(xor_mi.finding.number_text(2e-7, decimals=3, signed=True), str)
assert_type(xor_mi.finding.flips_text(["h0.0"], [1], of=4), str)
assert_type(xor_mi.finding.parameter_text(0.0328, signed=True, scale=1.0), str)
assert_type(xor_mi.errors.shown([0, 1]) + xor_mi.errors.cut_short("h0.1"), str)
assert_type(
    xor_mi.reading.read_json(Path("a.json"), called="'a.json'", next_step="save it"), object
)
assert_type(xor_mi.reading.read_json_text("{}", called="the text", next_step="save it"), object)
written: dict[str, str] = {
    "config.json": xor_mi.saving.MODEL_MARK,
    "circuit.json": xor_mi.saving.CIRCUIT_MARK,
    "report.html": xor_mi.saving.REPORT_MARK,
    "search.json": xor_mi.saving.SEARCH_MARK,
    "index.html": xor_mi.saving.EXAM_MARK,
    "_plan.json": xor_mi.saving.CENSUS_MARK,
    "events.csv": xor_mi.saving.TRAJECTORY_MARK,
    "atlas.parquet": xor_mi.saving.ATLAS_MARK,
    "bench.html": xor_mi.saving.BENCH_MARK,
    "events.parquet": xor_mi.saving.TRAJECTORIES_MARK,
    **xor_mi.trajectory_page.TRAJECTORY_FILES,
    **xor_mi.model.MODEL_FILES,
    **xor_mi.report.REPORT_FILES,
}
assert_type(xor_mi.saving.require_own("folder", written, overwrite=False), Path)
assert_type(xor_mi.saving.require_writable("folder", written, overwrite=True), Path)
assert_type(xor_mi.saving.weight_shapes((2, 2, 1), direct=True), dict[str, list[int]])
xor_mi.saving.require_own_file(Path("_plan.json"), xor_mi.saving.CENSUS_MARK, overwrite=False)
assert_type(xor_mi.errors.require_seeds(0, 3), int)
json_bytes: int = xor_mi.reading.LARGEST_JSON
xor_mi.errors.require_at_most(3, 4, what="paths", do="name fewer")
xor_mi.errors.require_memory(3, what="a grid", do="give a smaller one")
with xor_mi.saving.unchanging(Path("folder")):
    pass
assert_type(xor_mi.saving.mark_of(Path("report.html")), str)
xor_mi.saving.write_file(Path("report.html"), "text")
xor_mi.saving.write_files({Path("report.html"): "text", Path("model.safetensors"): b""})
assert_type(xor_mi.saving.write_new(Path("_plan.json"), "{}"), bool)
assert_type(xor_mi.saving.parquet_metadata(Path("census.parquet")), dict[bytes, bytes])
with xor_mi.saving.replacing(Path("census.parquet")) as opened:
    assert_type(opened.write(b""), int)
    xor_mi.saving.require_footer(opened)
    assert_type(xor_mi.saving.parquet_metadata_of(opened), dict[bytes, bytes])
with xor_mi.saving.working_alone(Path("folder"), ".census.lock", doing="a census"):
    pass
xor_mi.saving.remove_abandoned(Path("folder"), written)
assert_type(xor_mi.kernels.is_kept(len), bool)
assert_type(xor_mi.kernels.numba_is_installed(), bool)
assert_type(xor_mi.kernels.why_not_numba(), str)
assert_type(xor_mi.kernels.sources_digest(Path()), str)


def _halved(number: float) -> float:
    return number / 2


assert_type(xor_mi.kernels.compiled(_halved)(1.0), float)
assert_type(xor_mi.kernels.inlined(_halved)(1.0), float)
assert_type(xor_mi.kernels.part(_halved)(1.0), float)
for number in xor_mi.progress.progress_bar([1, 2], doing="counting", unit="number", progress=False):
    assert_type(number, int)


def shown(finding: xor_mi.finding.Finding) -> go.Figure:
    """Every finding has a table and a figure."""
    assert_type(finding.frame(), pd.DataFrame)
    return finding.plot()


# truth, graph, kinds: functions and places

xor = xor_mi.BooleanFunction.named("XOR")
assert_type(xor_mi.BooleanFunction(2, "0110").tables, tuple[tuple[int, ...], ...])
assert_type(xor.bits, tuple[int, ...])
assert_type(xor.essential_inputs, tuple[int, ...])
assert_type(xor.formula, str)
assert_type(xor_mi.truth.GATES["OR"], tuple[int, ...])
most_inputs: int = xor_mi.truth.MAX_INPUTS
assert_type(xor_mi.truth.algebraic_normal_form(2, (0, 1, 1, 0)), str)
assert_type(xor_mi.truth.is_array([0, 1]), bool)
npn: xor_mi.truth.NPNClass = xor_mi.truth.npn_class("XOR")
assert_type(npn.permutation, tuple[int, ...])
assert_type(npn.negated_output, int)
assert_type(xor_mi.truth.npn_classes(2), tuple[xor_mi.truth.NPNClass, ...])
assert_type(xor_mi.truth.as_bit("1"), int)
assert_type(xor_mi.truth.as_row("01", 2), tuple[int, ...])
assert_type(xor_mi.truth.complement_name("OR"), str)
assert_type(xor_mi.truth.gate_name("implies"), str)
assert_type(xor_mi.truth.name_of_bits((0, 1, 1, 1)), str)
assert_type(xor_mi.truth.row_name((0, 1)), str)
assert_type(xor_mi.truth.row_number((0, 1)), int)
assert_type(xor_mi.truth.truth_rows(2), tuple[tuple[int, ...], ...])
unit, edge = Unit(0, 1), xor_mi.Edge(Unit(-1, 0), Unit(0, 1))
assert_type(unit.name, str)
assert_type(xor_mi.graph.layers_of((2, 2, 1)), list[list[Unit]])
assert_type(next(xor_mi.graph.edges_of((2, 2, 1))), xor_mi.Edge)
xor_mi.graph.require_layer_sizes((2, 2, 1))
assert_type(xor_mi.graph.sources_of((2, 2, 1), direct=True), list[list[xor_mi.Unit]])
assert_type(Site("blocks.0.mlp.hook_post", 1).index, tuple[xor_mi.graph.KeptEntry, ...])
Site("blocks.0.hook_resid_pre", (slice(0, 2), [1, 3], range(2)))
rows: xor_mi.kinds.Rows = ["00", (0, 1)]
target: xor_mi.kinds.Target = "x0 & ~x1"
place: xor_mi.kinds.Place = "x0->h0.1"
places: xor_mi.kinds.Sites = ["h0.0", (unit, edge), Site("blocks.0.mlp.hook_post")]
pairs: xor_mi.kinds.Pairs = [("00", "11")]


def last_logit(outputs: Tensor) -> Tensor:
    """A metric of one's own."""
    return outputs[:, -1]


metrics: xor_mi.kinds.Metrics = {"logit": last_logit}

# a network

cfg = HookedMLPConfig(2, 2, act_fn="relu", target="XOR")
assert_type(cfg.d_hidden, tuple[int, ...])
assert_type(cfg.target, xor_mi.BooleanFunction | None)
model = HookedMLP(cfg)
assert_type(HookedMLP.from_weights([([[1, 1], [1, 1]], [0, -1]), ([[1, -2]], [0])]), HookedMLP)
layout: xor_mi.kinds.Layout = "in_out"
assert_type(
    HookedMLP.from_weights(
        [([[1, 1], [1, 1]], [0, -1]), ([[1], [-2]], [0])],
        layout=layout,
        example=([[0, 1]], [[1.0]]),
    ),
    HookedMLP,
)
own_net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
assert_type(HookedMLP.from_module(own_net, loss_fn="mse"), HookedMLP)
assert_type(HookedMLP.from_sequential(own_net, decision_threshold=0.5), HookedMLP)
assert_type(HookedMLP.from_sklearn(object(), target="XOR"), HookedMLP)
assert_type(HookedMLP.from_keras([[[1.0]]], act_fn="relu"), HookedMLP)
assert_type(model.save_pretrained("folder", overwrite=True), Path)
assert_type(HookedMLP.from_pretrained("folder"), HookedMLP)
assert_type(model.units, tuple[Unit, ...])
assert_type(model.place("h0.1"), Unit | xor_mi.Edge)
assert_type(model.forward([[0, 1]]), Tensor)
assert_type(model.forward([[0, 1]], "both"), tuple[Tensor, Tensor])
hooked: xor_mi.kinds.HookedModel = model
result = xor_mi.train("XOR", hidden=2, seed=29, config=TrainConfig(lr=0.1), progress=False)
assert_type(result.solved, bool)
assert_type(result.model, HookedMLP)
population = xor_mi.train_population("XOR", 10)
start: xor_mi.training.Init = [([[1.0, 1.0]], [0.0]), ([[1.0, 1.0, 1.0]], None)]
options: xor_mi.training.TrainSettings = {"l1": 0.01, "dropout": 0.1, "batch_size": 2}
_ = xor_mi.train("a ^ b", init=start, direct=True, optimizer="sgd", momentum=0.9)
_ = xor_mi.train(**options)
_ = xor_mi.train_population(init=model, n_networks=1, loss_fn="ce", input_levels=(-1, 1))
_ = TrainConfig(act_fn=("relu", "tanh"), decision_rule="argmax", loss_fn="mse")
at_steps: xor_mi.kinds.CheckpointSteps = [0, 10]
watched: xor_mi.training.Checkpoints[HookedMLP] = xor_mi.train(checkpoints=at_steps).checkpoints
assert_type(watched[10], HookedMLP)
_ = xor_mi.train(checkpoints=lambda step, model: step % 10 == 0 and model.cfg.d_in == 2)
_ = xor_mi.train_population(checkpoints=lambda step, networks: step > len(networks))
again = xor_mi.training.replay(population, [0, 3], checkpoints="every 10")
assert_type(again.checkpoints[10], xor_mi.training.Population)
assert_type(population[0], HookedMLP)
assert_type(population.frame(), pd.DataFrame)
assert_type(xor_mi.metrics.accuracy(model(model.rows()), model.rows(), threshold=0.5), float)
assert_type(xor_mi.metrics.decisions(model), Tensor)
assert_type(xor_mi.metrics.share_interval(3, 10).low, float)
above: xor_mi.metrics.ScoreAbove = xor_mi.metrics.by_threshold(0.5, output=0, position=None)
assert_type(above.score(model(model.rows())), Tensor)
mask: xor_mi.kinds.ModelKwargs = {"attention_mask": model.rows()}
deciders: list[xor_mi.kinds.Decide] = [above, xor_mi.metrics.by_argmax(one=1, among=[0, 1])]
deciders.append(xor_mi.metrics.by_tokens(3, 4, position=-1))
_ = xor_mi.patch_sweep(model, decide=deciders[0])
assert_type(xor_mi.training.starting_weights((2, 2, 1), population.seeds)[0][0], Tensor)

# look inside

values = xor_mi.activations(model, rows)
assert_type(values.frame(), pd.DataFrame)
assert_type(values["blocks.0.mlp.hook_post"], Tensor)
assert_type(xor_mi.compare(model, "00", [1, 1]).same_decision, bool)
assert_type(xor_mi.contributions(model, rows).frame(), pd.DataFrame)
assert_type(xor_mi.explain_difference(model, "00", "11").of_output(0), pd.DataFrame)
assert_type(xor_mi.values.forward_float64(model, model.rows())[0].post, Tensor)
of_layers = xor_mi.values.forward_float64(model, model.rows())
assert_type(xor_mi.values.own_scales(model, of_layers), list[float])
assert_type(xor_mi.values.own_value_scales(model, of_layers), list[float])
assert_type(xor_mi.values.own_score_scale(model, model.rows()), float)

# intervene

sweep = xor_mi.patch_sweep(model, pairs, places, metrics=metrics, direction="noising")
assert_type(sweep.effect, Tensor)
assert_type(sweep["logit"].frame(), pd.DataFrame)
assert_type(sweep.coordinates.direction, str)
effect = xor_mi.patch(model, "01", "11", "h0.1", direction="denoising")
assert_type(effect.recovered_fraction, float | None)
assert_type(effect.why_no_fraction, str)
ablated = xor_mi.ablation_sweep(model, places, value="zero", subsets="pairs", rows=rows)
assert_type(ablated.summary(), pd.DataFrame)
either_not_both = xor_mi.HighLevelModel({"or": "x0 | x1", "and": "x0 & x1"}, "or & ~and")
aligned = xor_mi.interchange_accuracy(model, either_not_both, {"or": "h0.0"}, joint=False)
assert_type(aligned.accuracy("or"), float)
found_subspace = xor_mi.interventions.das_accuracy(model, either_not_both, "or", "h0.0", rank=1)
assert_type(found_subspace.n_runs, dict[str, int])
named_inputs = xor_mi.HighLevelModel({"left": "a & ~b"}, "left | b & ~a", inputs=("a", "b"))
assert_type(named_inputs.direct_inputs, tuple[int, ...])
at_position = xor_mi.interventions.Subspace(
    Site("blocks.0.hook_resid_post", (-1,)), found_subspace.subspace or model.rows()
)
assert_type(at_position.rank, int)
elsewhere = xor_mi.interchange_accuracy(
    hooked,
    named_inputs,
    {"left": at_position},
    inputs=model.rows(),
    features={"a": [0, 0, 1, 1], "b": model.rows()[:, 1]},
    decide=xor_mi.metrics.by_argmax(),
    controls=True,
    max_runs=100,
)
assert_type(elsewhere.is_exhaustive, bool)
assert_type(elsewhere.n_differing, int)
swapped = xor_mi.interventions.interchange(model, {"h0.0": "11"}, base="01")
assert_type(swapped.outputs, tuple[float, ...])
row_of_name: dict[str, str] = {"h0.0": "11"}
row_of_unit: dict[Unit, tuple[int, ...]] = {unit: (1, 1)}
row_of_site: dict[Site, str] = {Site("blocks.0.mlp.hook_post"): "11"}
row_of_any: dict[str | Unit | xor_mi.Edge | Site, str] = {"h0.0": "11", unit: "00", edge: "01"}
assert_type(xor_mi.interventions.interchange(model, row_of_name, "01").base, str)
assert_type(xor_mi.interventions.interchange(model, row_of_unit, "01").base, str)
assert_type(xor_mi.interventions.interchange(model, row_of_site, "01").base, str)
assert_type(xor_mi.interventions.interchange(model, row_of_any, "01").base, str)
along = xor_mi.interventions.path_sweep(model, xor_mi.interventions.paths_from(model, "x0"), pairs)
assert_type(along.patched, Tensor)
between_sites = xor_mi.interventions.path_sweep(
    hooked,
    [(Site("blocks.0.attn.hook_z", (None, 1)), [Site("blocks.1.attn.hook_q", (None, 0))])],
    (model.rows(), model.rows()),
    frozen=[Site("blocks.0.hook_mlp_out")],
    decide=xor_mi.metrics.by_tokens(1, 0),
)
assert_type(between_sites.decisions, Tensor)
attributed = xor_mi.interventions.attribute(model, pairs, places, method="shapley")
assert_type(attributed.frame(), pd.DataFrame)
assert_type(xor_mi.interventions.score_methods(model, pairs).frame(), pd.DataFrame)
assert_type(xor_mi.interventions.sites(model, "edge"), list[Site])
assert_type(xor_mi.interventions.sites(model, "position", inputs=3, hook="hook_q"), list[Site])
assert_type(xor_mi.interventions.site_of(model, "h0.1"), Site)
assert_type(xor_mi.interventions.subsets(["h0.0", "h0.1"], max_size=2), list[tuple[str, ...]])
scan = xor_mi.scan_gates(model, model.rows(), {"a": model.rows()[:, 0]}, "blocks.0.mlp.hook_post")
assert_type(scan.acting_as("OR", max_p=0.01), pd.DataFrame)
assert_type(scan.scores(max_p=0.01, best_only=True), pd.DataFrame)
assert_type(scan.unit_gates[0], xor_mi.gate_scan.UnitGate)
assert_type(scan.left_out, Mapping[str, str])
acting = xor_mi.find_gates(model, None, None, ["h0.0"], output=0, max_p=0.01, n_pairs=100)
assert_type(acting.acting_as("OR", up_to_complement=True), pd.DataFrame)
assert_type(acting.units[0], xor_mi.gate_scan.FoundGate)
assert_type(acting.decided, xor_mi.gate_scan.ModelDecisions)
assert_type(acting.necessary_sets, tuple[tuple[Site, ...], ...])

# the space of inputs, networks made by hand, margins

path = xor_mi.geometry.path(model, "00", [1, 1], n_points=11)
assert_type(path.kinks, tuple[xor_mi.geometry.Kink, ...])
assert_type(xor_mi.geometry.boundary(model, bounds=(0, 1), output=0).length, float)
regions = xor_mi.geometry.regions(model, bounds=((0, 1), (0, 2)))
assert_type(regions[0].area, float)
assert_type(xor_mi.geometry.input_plane(model, n_points=11).outputs, Tensor)
assert_type(xor_mi.handmade.textbook_xor(), HookedMLP)
assert_type(xor_mi.handmade.from_gates(["OR", "AND"], "XOR"), HookedMLP)
assert_type(xor_mi.handmade.from_formula("x0 ^ x1", act_fn="tanh"), HookedMLP)
assert_type(xor_mi.handmade.from_netlist([["x0 | x1"], ["~x0"]], n_inputs=2), HookedMLP)
assert_type(xor_mi.handmade.edit(model, {"fc1.weight[0, 1]": 1.5, "h0.1": -2}), HookedMLP)
value_of_name: dict[str, float] = {"fc1.weight[0, 1]": 1.5}
value_of_unit: dict[Unit, int] = {unit: -2}
value_of_edge: dict[xor_mi.Edge, float] = {edge: 1.5}
value_of_any: dict[str | Unit | xor_mi.Edge, float | list[float]] = {"fc1.bias": [0, 1], edge: 1}
value_of_place: dict[xor_mi.kinds.Place, Tensor] = {"fc1.bias": model.fc1.bias}
assert_type(xor_mi.handmade.edit(model, value_of_name), HookedMLP)
assert_type(xor_mi.handmade.edit(model, value_of_unit), HookedMLP)
assert_type(xor_mi.handmade.edit(model, value_of_edge), HookedMLP)
assert_type(xor_mi.handmade.edit(model, value_of_any), HookedMLP)
assert_type(xor_mi.handmade.edit(model, value_of_place), HookedMLP)
assert_type(xor_mi.handmade.edit(model, {"h0.1": -2, edge: 1.5}), HookedMLP)
conditions = xor_mi.margins.conditions(model, "XOR", per_unit=True)
assert_type(conditions.all_satisfied, bool)
assert_type(xor_mi.margins.weight_symbols(model), dict[str, str])
assert_type(xor_mi.margins.slack_to_flip(model, "fc1.bias[0]", rows=rows).frame(), pd.DataFrame)
moved = xor_mi.margins.move_weight(model, "fc1.bias[0]", n_steps=5)
assert_type(moved.models, tuple[HookedMLP, ...])

# name and prove

circuit = xor_mi.identify_circuit(model, target, max_readings=100, with_evidence=True)
assert_type(circuit.signature, str)
assert_type(circuit.family, str)
assert_type(circuit.units[0].place, Unit)
assert_type(circuit.units_acting_as("OR"), tuple[xor_mi.circuits.ActsAs, ...])
assert_type(circuit.evidence[0].units, tuple[Unit, ...])
assert_type(circuit.evidence[0].exhaustive, bool)
assert_type(circuit.evidence[0].claim, str)
assert_type(circuit.reason, str)
assert_type(circuit.certain_gates, tuple[tuple[Unit, str], ...])
obstacle: xor_mi.circuits.Obstacle | None = circuit.obstacle
smallest: float = xor_mi.circuits.MIN_MARGIN
level: xor_mi.circuits.ProofLevel | None = circuit.proof_level
verdict: xor_mi.circuits.Verdict = circuit.verdict
assert_type(xor_mi.Circuit.from_json(circuit.to_json()), xor_mi.Circuit)
assert_type(xor_mi.Circuit.from_dict(circuit.to_dict()), xor_mi.Circuit)
assert_type(circuit.passing, tuple[xor_mi.circuits.CandidateCircuit, ...])
assert_type(circuit.circuits[0].joint, tuple[xor_mi.circuits.InterchangeCount, ...])
assert_type(circuit.circuits[0].idle, tuple[xor_mi.circuits.IdleUnit, ...])
against: xor_mi.circuits.Contradiction | None = circuit.contradiction
assert_type(
    xor_mi.identify_circuit(model, require="single", min_margin=0.05), xor_mi.circuits.Circuit
)
diagnosis = xor_mi.diagnose(model, target)
assert_type(diagnosis, xor_mi.circuits.Diagnosis)
assert_type(diagnosis.shortfall, xor_mi.circuits.Shortfall | None)
assert_type(diagnosis.answers, tuple[xor_mi.circuits.ReadingChange, ...])
assert_type(diagnosis.answers[0].model, HookedMLP)
assert_type(diagnosis.computes, xor_mi.BooleanFunction | None)
assert_type(xor_mi.circuits.control_rates(model, n_networks=10).frame(), pd.DataFrame)
assert_type(circuit.differences, tuple[xor_mi.circuits.Difference, ...])
difference = circuit.differences[0]
assert_type(circuit.circuits[0].beside(circuit.circuits[0]), str)
assert_type(difference.unit, Unit)
assert_type(difference.interchange, xor_mi.circuits.TellingInterchange | None)
assert_type(difference.input, xor_mi.circuits.TellingInput | None)
assert_type(difference.looked_at, xor_mi.circuits.LookedAt)
ordered = xor_mi.circuits.ordered_circuits(model, "XOR", require="single", min_margin=0.05)
assert_type(ordered, xor_mi.circuits.OrderedCircuits)
assert_type(ordered.passing, tuple[xor_mi.circuits.OrderedCircuit, ...])
assert_type(ordered.passing[0].netlist, tuple[xor_mi.circuits.OrderedGate, ...])
assert_type(ordered.passing[0].of(unit), xor_mi.circuits.OrderedReading)
three = xor_mi.identify_circuit(model, target, levels=3).ordered
assert_type(three, xor_mi.circuits.OrderedCircuits | None)
assert_type(xor_mi.circuits.unit_readings(model.rows()[:, 0])[0].constant, bool)

# every other explanation

search = xor_mi.find_subcircuits(model, convention="meloux_paper", progress=False)
assert_type(search.n_perfect, int)
subcircuit = search.minimal[0]
assert_type(xor_mi.search.as_network(model, subcircuit), HookedMLP)
assert_type(xor_mi.search.count_subcircuits((2, 3, 3, 1)), int)
assert_type(xor_mi.search.count_perfect_subcircuits(model, "XOR"), int)
assert_type(xor_mi.search.counting_cost(model, "XOR"), xor_mi.search.CountingCost)
count_so_far = xor_mi.search.PartialCount(at_least=1, n_done=1, n_configurations=4)
assert_type(xor_mi.search.CountStopped(count_so_far).count, xor_mi.search.PartialCount)
assert_type(xor_mi.search.count_interpretations(model, subcircuit), int)
for interpretation in xor_mi.search.interpretations(model, subcircuit, "XOR"):
    assert_type(interpretation.frame(), pd.DataFrame)
assert_type(xor_mi.search.formulas("XOR", depth=2)[0], xor_mi.search.Formula)
assert_type(xor_mi.search.find_alignments(model, depth=2).n_minimal, int)
assert_type(xor_mi.search.compare_conventions(model).frame(), pd.DataFrame)
assert_type(xor_mi.search.node_masks(model).frame(), pd.DataFrame)
edge_masks = xor_mi.search.edge_masks(model, "XOR", drop_unfed=False)
assert_type(edge_masks.perfect, NDArray[np.bool_])
assert_type(edge_masks.kept(edge_masks.minimal), NDArray[np.bool_])
assert_type(edge_masks.subcircuit(63), xor_mi.graph.Subcircuit)
of_masks = xor_mi.search.outputs_of_edge_masks(model, edge_masks.kept([62, 63]))
assert_type(of_masks, NDArray[np.float64])
report = xor_mi.identifiability_report(model, depth=2, output=0)
assert_type(report.identifiable, bool)
assert_type(xor_mi.search.Problem.of(model, "XOR").target, xor_mi.BooleanFunction)
most_edges: int = xor_mi.search.MAX_MASKED_EDGES
first_of_masks = xor_mi.search.metric_of_edge_masks(
    xor_mi.search.Problem.of(model), lambda outputs: outputs[..., 0, 0]
)
assert_type(first_of_masks, NDArray[np.float64])
assert_type(xor_mi.search.Convention(margin=0.1).describe(), str)

# the exam

asked = xor_mi.exam.ExamProblem.of(model, metric="margin", pairs=[("01", "11")])
assert_type(asked.cost, xor_mi.exam.Cost)
over: xor_mi.exam.Over = "edges"
by_mean: xor_mi.exam.ConventionName = "mean"
some_convention: xor_mi.exam.SomeConvention = by_mean
assert_type(xor_mi.metrics.mean_interval([0.0, 1.0]), xor_mi.metrics.MeanInterval)
margin: xor_mi.exam.MetricName = "margin"
first_output: xor_mi.exam.RowMetric = lambda outputs: outputs[..., 0]  # noqa: E731
exam_truth = xor_mi.exam.Truth.of(asked, over=over)
exam_level: xor_mi.exam.Level = "subset"
assert_type(exam_truth.at_level(exam_level), NDArray[np.bool_])
assert_type(xor_mi.exam.TruthSummary.of(exam_truth).minimum, int)
by_weight: xor_mi.exam.ExamMethod = xor_mi.exam.METHODS["magnitude"]
own_method: xor_mi.exam.Method = by_weight.run
answer: xor_mi.exam.Answer = own_method(asked)
gives: xor_mi.exam.Gives = by_weight.gives
some_methods: xor_mi.exam.SomeMethods = ["magnitude", own_method]
some_networks: xor_mi.exam.Networks = {"mine": model}
grades = xor_mi.exam.grade(some_methods, some_networks, "default", metric=margin, progress=False)
assert_type(grades.board(["size"]), pd.DataFrame)
assert_type(grades.grades, tuple[xor_mi.exam.Grade, ...])
assert_type(grades.networks, tuple[xor_mi.exam.ExamNetwork, ...])
assert_type(xor_mi.exam.joined([grades]), xor_mi.exam.Grades)
measures: Mapping[str, xor_mi.exam.Measure] = xor_mi.exam.MEASURES
no_alignment: xor_mi.exam.AlignedModel | None = None
assert_type(xor_mi.exam.gate_rule_chen(asked), dict[Unit, str])
joint_gates = xor_mi.exam.gate_rule_joint(asked)
assert_type(joint_gates, dict[Unit, str])
assert_type(xor_mi.exam.agreement_with_circuit(joint_gates, asked), float | None)
assert_type(xor_mi.exam.chance_of_agreement(joint_gates, asked), float | None)
assert_type(xor_mi.exam.proven_gates(asked), dict[Unit, tuple[int, ...]])
assert_type(xor_mi.exam.chen_toy(), HookedMLP)
gates_told: xor_mi.exam.GateTable = xor_mi.exam.gate_table()
assert_type(gates_told.toy_frame(), pd.DataFrame)
assert_type(xor_mi.exam.GATE_METHODS, tuple[xor_mi.exam.ExamMethod, ...])
assert_type(xor_mi.exam.acdc(asked, threshold=0.2), NDArray[np.bool_])
assert_type(xor_mi.exam.edge_pruning(asked, n_steps=400), NDArray[np.bool_])
assert_type(xor_mi.exam.subnetwork_probing(asked, n_steps=400), NDArray[np.bool_])

# the exam: hypothesis tests of circuits

some_edges: xor_mi.exam.AnyCircuit = asked.edges[:3]
tests: xor_mi.exam.CircuitTests = xor_mi.exam.circuit_tests(asked, some_edges, connected=True)
asked_of: xor_mi.exam.CircuitTestName = "sufficiency"
line_of_test: xor_mi.exam.CircuitTestLine = tests[asked_of]
assert_type(line_of_test.p_value, float | None)
assert_type(tests.frame(), pd.DataFrame)
by_tests = xor_mi.exam.smallest_by_tests(asked, over="units", alpha=0.1)
assert_type(by_tests, tuple[xor_mi.graph.Edge, ...] | tuple[Unit, ...])
test_rates: xor_mi.exam.CircuitTestRates = xor_mi.exam.circuit_tests_against_truth(asked)
assert_type(test_rates.frame(), pd.DataFrame)
assert_type(xor_mi.exam.TEST_METHODS, tuple[xor_mi.exam.ExamMethod, ...])
# the exam: its networks

all_tasks: xor_mi.exam.Tasks = xor_mi.exam.tasks()
assert_type(all_tasks["XOR 2-2-1 relu"], xor_mi.exam.Task)
one_task = xor_mi.exam.task("planted copies tanh")
kind_of_task: xor_mi.exam.TaskKind = one_task.kind
units_of_task: xor_mi.exam.PlantedActivation = one_task.activation
of_task: xor_mi.exam.TaskNetworks = one_task.networks(3, seed=5, progress=False)
by_hand: xor_mi.exam.Planted = of_task.planted["planted copies tanh, seed 5"]
assert_type(by_hand.circuit, frozenset[xor_mi.graph.Edge])
assert_type(by_hand.edges, tuple[xor_mi.graph.Edge, ...])
assert_type(of_task["planted copies tanh, seed 5"], HookedMLP)
some_tasks: xor_mi.exam.SomeTasks = ["XOR 2-2-1 relu", one_task]
whole_exam: xor_mi.exam.ExamRun = xor_mi.exam.run_exam(
    "folder", tasks=some_tasks, methods=some_methods, conventions=["zero"], n_networks=2, say=print
)
assert_type(xor_mi.exam.read_exam("folder"), xor_mi.exam.ExamRun)
assert_type(whole_exam.part("XOR 2-2-1 relu", "zero"), xor_mi.exam.ExamPart)
assert_type(xor_mi.exam.board_text(grades, width=80), str)
assert_type(xor_mi.exam_page.write_exam_page(whole_exam, "folder", overwrite=True), Path)
assert_type(xor_mi.exam_page.render_exam_page(whole_exam), str)
xor_mi.testing.assert_method_passes(own_method, one_task, "size", at_most=7.5, networks=3)
assert_type(xor_mi.exam.CONVENTIONS, Mapping[str, xor_mi.search.Convention])

# how many units a function needs

least = xor_mi.least_hidden_units("XOR", "relu", direct=True, n_inputs=2, max_seconds=5)
assert_type(least, xor_mi.least_units.LeastUnits)
assert_type(least.number, int | None)
assert_type(least.network, xor_mi.HookedMLP)
assert_type(least.circuit, xor_mi.Circuit)
assert_type(least.proof, xor_mi.least_units.WidthAnswer | None)
assert_type(least.widths, tuple[xor_mi.least_units.WidthAnswer, ...])
kind_of_unit: xor_mi.least_units.UnitName = least.unit
sets_of_gates = xor_mi.least_units.gate_sets("XOR", 2, direct=False, n_inputs=2, progress=False)
assert_type(sets_of_gates, xor_mi.least_units.GateSets)
assert_type(sets_of_gates.n_sets, int)
assert_type(sets_of_gates.n_families, int)
assert_type(sets_of_gates.families, dict[str, int])
assert_type(sets_of_gates.frame(), pd.DataFrame)
assert_type(xor_mi.atlas("XOR"), pd.DataFrame)
assert_type(xor_mi.least_units.atlas(n_inputs=3), pd.DataFrame)
assert_type(xor_mi.least_units.ATLAS_COLUMNS[0], str)
assert_type(xor_mi.truth.count_threshold_functions(4), int)
_ = xor_mi.truth.threshold_tables(4)
unit_proof: xor_mi.truth.ThresholdProof = xor_mi.truth.threshold_proof("XOR", n_inputs=2)
assert_type(unit_proof.weights, tuple[int, ...] | None)
assert_type(unit_proof.threshold, float | None)
assert_type(unit_proof.conflict, str)
assert_type(dict(unit_proof.ones), dict[tuple[int, ...], int])
assert_type(unit_proof.two_asummable, bool)

# many networks, the zoo

networks = xor_mi.census(population, require="single", min_margin=0.1, progress=False)
assert_type(networks, pd.DataFrame)
assert_type(xor_mi.population.family_shares(networks, by="gates"), pd.DataFrame)
assert_type(xor_mi.population.gate_shares(networks), pd.DataFrame)
assert_type(xor_mi.population.verdict_shares(networks), pd.DataFrame)
assert_type(xor_mi.population.stuck_shares(population, n_nudged=5, seed=1), pd.DataFrame)
stuck = xor_mi.population.stuck_in(model, "XOR", rows=["00", "01"], retrain=False)
assert_type(stuck, xor_mi.population.Stuck)
assert_type(stuck.kind, xor_mi.population.StuckKind)
assert_type(stuck.computes, xor_mi.population.Nudge | None)
assert_type(stuck.nudges[0].kind, xor_mi.population.NudgeKind)
assert_type(xor_mi.population.STUCK_KINDS, dict[xor_mi.population.StuckKind, str])
assert_type(xor_mi.plots.stuck_figure(stuck), go.Figure)
solved_by_family = xor_mi.population.counted_as(networks, by="gates")[networks["solved"]]
assert_type(xor_mi.population.write_census(networks, "census.parquet", overwrite=True), Path)
assert_type(xor_mi.population.read_census("census.parquet", columns=["solved"]), pd.DataFrame)
assert_type(xor_mi.population.population_from_census(networks, cfg)[0], HookedMLP)
assert_type(xor_mi.population.run_census("XOR", 100, directory="folder", overwrite=True), Path)
xor_mi.population.run_census(directory="folder", require="substitution", min_margin=0)
assert_type(xor_mi.population.width_study("XOR", 10, widths=[1, 2]), pd.DataFrame)
on_the_way = xor_mi.trajectory(
    "XOR", 29, hidden=2, rows=["00", "01"], checkpoints="every 10", lr=0.1
)
assert_type(on_the_way, xor_mi.population.Trajectory)
assert_type(on_the_way.networks[0], HookedMLP)
assert_type(on_the_way.moments[0], xor_mi.population.Moment)
assert_type(on_the_way.by_step[0], xor_mi.population.AtStep)
assert_type(on_the_way.happened[0], xor_mi.population.Event)
assert_type(on_the_way.events(), pd.DataFrame)
assert_type(on_the_way.config, TrainConfig)
assert_type(xor_mi.plots.trajectory_figure(on_the_way, kind="moving"), go.Figure)
assert_type(xor_mi.plots.families_figure(networks), go.Figure)
assert_type(xor_mi.plots.event_steps_figure(networks), go.Figure)
assert_type(on_the_way.stuck, xor_mi.population.Stuck | None)
assert_type(xor_mi.trajectory_page.render_trajectory_page(on_the_way), str)
assert_type(
    xor_mi.trajectory_page.write_trajectory_page(on_the_way, "folder", overwrite=True), Path
)
assert_type(xor_mi.trajectory_page.require_writable("folder"), Path)
assert_type(xor_mi.population.watch("XOR", 29, rows=["00", "01"], say=len).solved, bool)
assert_type(on_the_way.conditions(), pd.DataFrame)
happened = xor_mi.population.trajectories(population, require="single", every_step=True)
assert_type(happened, pd.DataFrame)
file = xor_mi.population.write_trajectories(happened, "happened.parquet", overwrite=True)
assert_type(file, Path)
assert_type(xor_mi.population.read_trajectories(file), pd.DataFrame)
over_time = xor_mi.population.gates_over_time(population, checkpoints=[0, 10], by="verdict")
assert_type(over_time, pd.DataFrame)
assert_type(on_the_way.step_of("unit_dies", "h0.1"), int | None)
assert_type(xor_mi.population.outcome_by_initial_signs(networks, (2, 2, 1)), pd.DataFrame)
assert_type(xor_mi.population.outcome_by_sign_pattern(networks, (2, 2, 1)), pd.DataFrame)
assert_type(xor_mi.population.outcome_by_sign_pattern(population), pd.DataFrame)
assert_type(xor_mi.population.predict_ending(population, steps=[0], of="gates"), pd.DataFrame)
late = xor_mi.population.generalising("XOR", 10, seen=["00", "01"], hidden=(3,), lr=0.1)
assert_type(late, pd.DataFrame)
assert_type(xor_mi.population.SLOWLY, xor_mi.TrainConfig)
assert_type(xor_mi.population.identity_experiment(10, hidden=8), pd.DataFrame)
assert_type(xor_mi.truth.threshold_functions(2, act_fn="relu"), pd.DataFrame)
assert_type(xor_mi.zoo.names(), list[str])
assert_type(xor_mi.zoo.load("or-and"), HookedMLP)
assert_type(xor_mi.zoo.describe(), pd.DataFrame)
assert_type(xor_mi.zoo.transformer_names(), list[str])
assert_type(xor_mi.zoo.recorded_findings("xor-attention"), dict[str, pd.DataFrame])
bridge, xor_task = xor_mi.zoo.load_transformer("xor-attention"), xor_mi.zoo.transformer_task()
assert_type(xor_task, xor_mi.zoo.TransformerTask)
assert_type(
    xor_mi.interchange_accuracy(
        bridge,
        xor_task.algorithm,
        {"either": xor_mi.Site("blocks.0.attn.hook_z", (2, 0))},
        inputs=xor_task.inputs,
        features=xor_task.features,
        decide=xor_task.decide,
    ),
    xor_mi.interventions.InterchangeAccuracy,
)

# pictures, a report, a regression, a playground

assert_type(xor_mi.plots.figure(sweep), go.Figure)
assert_type(xor_mi.plots.network_diagram(model, circuit), go.Figure)
assert_type(xor_mi.plots.input_plane(model, path=path, show_regions=False), go.Figure)
assert_type(xor_mi.plots.weight_slider(moved, [circuit], shown_first=0), go.Figure)
assert_type(
    xor_mi.plots.gate_shares_figure(networks, n_solved=1, n_networks=2, marked="{AND, OR}"),
    go.Figure,
)
assert_type(xor_mi.report.write_report(model, "f", training=result, overwrite=True), Path)
findings = xor_mi.report.find_out(model, require="single", min_margin=0.0)
assert_type(findings.circuit, xor_mi.Circuit)
xor_mi.testing.assert_computes(model, "XOR")
xor_mi.testing.assert_acts_as(circuit, {"OR": 0, "AND": "h0.1"}, up_to_complement=True)
xor_mi.testing.assert_same_circuit(model, circuit, up_to="family", tolerance=1e-6)
xor_mi.testing.assert_patch_effect(model, "01", "11", "h0.1", flips=True)
record = xor_mi.testing.record_of(circuit)
assert_type(xor_mi.testing.compare_records(record, record).facts, tuple[str, ...])
play = xor_mi.widgets.playground(model, target="XOR")
play.move("w12", 0.25)
play.reset()
assert_type(play.weights, dict[str, float])
assert_type(play.code(), str)
assert_type(play.circuit, xor_mi.Circuit)
assert_type(xor_mi.bench.bench_html(model, circuit, with_module=False), Markup)
assert_type(xor_mi.bench.write_bench("bench.html", {"mine": model}, overwrite=True), Path)
assert_type(xor_mi.bench.bench_spec(model, circuit), dict[str, object])
assert_type(xor_mi.bench.found_spec(circuit, with_reason=False), dict[str, object])
assert_type(xor_mi.bench.network_code(model), str)
assert_type(xor_mi.bench.module_text(), str)
assert_type(xor_mi.bench.preset_models(model), dict[str, HookedMLP])
assert_type(model.with_target("XOR"), HookedMLP)
named: xor_mi.model.NamedInputs = xor_mi.model.read_inputs(model, [[0.5, 1.0], "01"])
assert_type(named.values, Tensor)
print(xor_mi.model.require_device("cpu").type)

# every figure, by the finding that it draws

assert_type(xor_mi.plots.patching_heatmap(sweep, metric="logit"), go.Figure)
assert_type(xor_mi.finding.Listed(circuit.evidence)[0].holds, bool)
assert_type(xor_mi.finding.ListedList(circuit.evidence)[0].holds, bool)
assert_type(xor_mi.plots.grid_heatmap(sweep, pairs="mean", kind="head"), go.Figure)
assert_type(xor_mi.plots.ablation_heatmap(ablated), go.Figure)
assert_type(xor_mi.plots.activations_heatmap(values), go.Figure)
assert_type(xor_mi.plots.attribution_heatmap(attributed), go.Figure)
assert_type(xor_mi.plots.comparison_heatmap(xor_mi.compare(model, "00", "11")), go.Figure)
assert_type(xor_mi.plots.contributions_heatmap(xor_mi.contributions(model)), go.Figure)
assert_type(xor_mi.plots.interchange_matrix(circuit), go.Figure)
assert_type(xor_mi.plots.interchange_accuracy_bars(aligned), go.Figure)
assert_type(xor_mi.plots.method_scores_bars(xor_mi.interventions.score_methods(model)), go.Figure)
assert_type(xor_mi.plots.control_rates_figure(xor_mi.circuits.control_rates(model)), go.Figure)
assert_type(xor_mi.plots.gate_scan_figure(scan), go.Figure)
assert_type(xor_mi.plots.path_figure(path), go.Figure)
assert_type(xor_mi.plots.input_slider(path, shown_first=0), go.Figure)
assert_type(xor_mi.plots.plane_figure(xor_mi.geometry.input_plane(model)), go.Figure)
assert_type(xor_mi.plots.boundary_figure(xor_mi.geometry.boundary(model)), go.Figure)
assert_type(xor_mi.plots.regions_figure(regions, output=0), go.Figure)
assert_type(xor_mi.plots.conditions_figure(conditions), go.Figure)
assert_type(xor_mi.plots.slack_figure(xor_mi.margins.slack_to_flip(model)), go.Figure)
assert_type(xor_mi.plots.subcircuit_lattice(search, limit=10), go.Figure)
assert_type(
    xor_mi.plots.alignments_figure(xor_mi.search.find_alignments(model), limit=10), go.Figure
)
assert_type(xor_mi.plots.counts_figure(report), go.Figure)
assert_type(xor_mi.plots.node_masks_heatmap(xor_mi.search.node_masks(model)), go.Figure)
assert_type(xor_mi.plots.edge_masks_bars(edge_masks), go.Figure)
assert_type(xor_mi.plots.loss_curve(result), go.Figure)
kind_of_picture: xor_mi.plots.GradesKind = "board"
assert_type(xor_mi.plots.grades_figure(grades, kind=kind_of_picture), go.Figure)
assert_type(xor_mi.plots.grades_board(grades, measure="size"), go.Figure)
assert_type(xor_mi.plots.faithfulness_curves(grades, methods=["random"]), go.Figure)
assert_type(xor_mi.plots.failures_figure(grades), go.Figure)
assert_type(xor_mi.plots.truth_by_size(exam_truth), go.Figure)
assert_type(xor_mi.plots.family_weights(networks, width=2), go.Figure)
assert_type(xor_mi.plots.success_curve(networks), go.Figure)
atlas_unit: xor_mi.least_units.AtlasUnit = "relu"
assert_type(xor_mi.plots.atlas_figure(xor_mi.atlas(), n_inputs=3, unit=atlas_unit), go.Figure)
assert_type(xor_mi.plots.path_frames(path), list[xor_mi.plots.SliderFrame])
assert_type(xor_mi.plots.weight_frames(moved, [circuit]), list[xor_mi.plots.SliderFrame])

# the rest of each room: small functions

tree: xor_mi.truth.Tree = xor_mi.truth.formula_trees("x0 & ~x1")[0]
packed: int = xor_mi.truth.packed_input(0, 2)
numbers_of_rows = xor_mi.truth.row_numbers(model.rows().long())
assert_type(xor_mi.graph.name_of_set([unit, edge]), str)
assert_type(xor_mi.model.initial_weights((2, 2, 1), 0), list[tuple[Tensor, Tensor]])
assert_type(xor_mi.model.activation("leaky_relu", 0.1)(model.rows()), Tensor)
pair = xor_mi.BooleanFunction.of("XNOR, XOR")
assert_type(xor_mi.model.one_of_a_pair(pair), xor_mi.BooleanFunction)
assert_type(xor_mi.model.decide(model(model.rows()), cut=0.5), Tensor)
assert_type(xor_mi.model.DecisionRule("argmax").scores(model(model.rows())), Tensor)
assert_type(xor_mi.model.all_finite(model.rows()), bool)
assert_type(xor_mi.model.hook_site(unit), tuple[str, tuple[int, ...]])
kind_of_hook: xor_mi.model.HookKind = xor_mi.model.kind_of_hook("hook_embed")
assert_type(xor_mi.model.stage_of_hook("hook_embed"), str)
assert_type(xor_mi.model.saved_files(model.cfg, model.state_dict()), dict[str, bytes])
assert_type(xor_mi.model.require_output(0, 1), int)
xor_mi.model.warn("something to know")
xor_mi.model.require_evaluable(model, "looking at it")
xor_mi.model.require_plain_mlp(model, "looking at it")
assert_type(xor_mi.model.require_hooked_mlp(model, "looking at it"), HookedMLP)
assert_type(xor_mi.model.how_to_bring("folder"), str)
warning: type[UserWarning] = xor_mi.errors.XorMiWarning
assert_type(xor_mi.metrics.decision(model(model.rows()), threshold=0.5), Tensor)
assert_type(xor_mi.metrics.probability(model(model.rows()), rule=model.rule), Tensor)
assert_type(xor_mi.metrics.score(model(model.rows()), output=0, rule=model.rule), Tensor)
assert_type(model.rule.score_name, str)
assert_type(xor_mi.metrics.logit_difference(model(model.rows()), [0, 1, 1, 0]), Tensor)
assert_type(xor_mi.terms.edge_terms(model.fc1.weight, model.rows()), Tensor)
all_pairs = xor_mi.interventions.all_pairs(2)
differing_pairs = xor_mi.interventions.differing_pairs(model)
in_subspace = xor_mi.interventions.subspace_accuracy(
    model, either_not_both, "or", "blocks.0.mlp.hook_post", model.rows()[1:3].T
)
netlist = circuit.netlist
assert_type(xor_mi.circuits.signature_of(netlist, (2, 2, 1)), str)
assert_type(circuit.on_step, xor_mi.circuits.OnStep | None)
assert_type(xor_mi.circuits.family_of(netlist, (2, 2, 1)), str)
assert_type(xor_mi.circuits.live_units(netlist, (2, 2, 1)), tuple[Unit, ...])
assert_type(xor_mi.circuits.summarize(circuit), xor_mi.circuits.Summary)
assert_type(
    xor_mi.circuits.identify_many(population.__getitem__, list(population.weights), cfg),
    list[xor_mi.circuits.Summary],
)
stored: dict[str, object] = xor_mi.zoo.recorded("or-and")
assert_type(xor_mi.testing.circuit_of(model), xor_mi.Circuit)
xor_mi.testing.write_record(record, Path("or-and.circuit.json"))
read_back: xor_mi.testing.CircuitRecord = xor_mi.testing.read_record(Path("or-and.circuit.json"))
of_a_sweep: xor_mi.testing.FindingRecord = xor_mi.testing.record_of_finding(
    xor_mi.patch_sweep(model), test="test_it"
)
xor_mi.testing.write_record(of_a_sweep, Path("sweep.finding.json"))
assert_type(
    xor_mi.testing.read_finding_record(Path("sweep.finding.json")), xor_mi.testing.FindingRecord
)
assert_type(
    xor_mi.testing.compare_findings(of_a_sweep, of_a_sweep, tolerance={"effect_logit": 0.1}),
    xor_mi.testing.FindingDifferences,
)
finding_like: xor_mi.testing.FindingLike = xor_mi.patch_sweep(model)
xor_mi.testing.assert_same_circuit(model, Path("or-and.circuit.json"))
xor_mi.testing.assert_same_circuit(model, xor_mi.zoo.recorded("or-and"), up_to="family")
findings = xor_mi.report.find_out(model)
figures = xor_mi.report.figures_of(findings)
assert_type(xor_mi.report.render_report(findings, figures, training=result), str)
assert_type(xor_mi.report.how_common(circuit, networks), str)
assert_type(xor_mi.report.require_writable("folder", overwrite=True), Path)
schema, everything = xor_mi.report.schema(), xor_mi.report.to_dict(findings)

# constants

texts: tuple[str, ...] = (
    *xor_mi.truth.MONOTONE_ACTIVATIONS,
    *xor_mi.model.ACTIVATIONS,
    *xor_mi.model.DECISION_RULES,
    *xor_mi.model.LOSSES,
    *xor_mi.model.STEPS,
    *xor_mi.interventions.METHODS,
    *xor_mi.circuits.VERDICTS,
    *xor_mi.circuits.PROOF_LEVELS,
    *xor_mi.search.CONVENTIONS,
    *xor_mi.search.SCORES,
    *xor_mi.population.CENSUS_COLUMNS,
    *xor_mi.population.EVENTS,
    *xor_mi.population.TRAJECTORY_COLUMNS,
    *xor_mi.testing.NUMBERS,
    *xor_mi.report.HEADLINES,
    xor_mi.report.SCHEMA,
    str(xor_mi.zoo.DATA),
)
bounds: tuple[float, ...] = (
    xor_mi.errors.SEEDS_BELOW,
    xor_mi.progress.SECONDS_BEFORE_A_BAR,
    xor_mi.finding.ROWS_SHOWN,
    xor_mi.metrics.UNDECIDED,
    xor_mi.model.UNDECIDED,
    xor_mi.circuits.MAX_UNITS,
    xor_mi.circuits.ROUNDING,
    xor_mi.report.MOST_CIRCUITS_LISTED,
    xor_mi.report.MOST_INPUTS_DRAWN,
    xor_mi.report.MOST_SUBCIRCUITS_LISTED,
    xor_mi.report.MOST_WEIGHTS_EXAMINED,
    xor_mi.report.VERSION,
    xor_mi.widgets.MOST_SLIDERS,
    xor_mi.bench.MOST_INPUTS,
    xor_mi.bench.MOST_WEIGHTS,
)
published = xor_mi.population.PUBLISHED

# kinds of arguments: what a wrapper of one's own would say it takes


def asked_for(
    row: xor_mi.kinds.Row,
    inputs: xor_mi.kinds.Inputs,
    site: xor_mi.kinds.OneSite,
    metric: xor_mi.kinds.Metric,
    labelled: xor_mi.kinds.LabelledMetric,
    layers: xor_mi.kinds.Layers,
    widths: xor_mi.kinds.Widths,
    box: xor_mi.kinds.Bounds,
    folder: xor_mi.kinds.PathLike,
    number: xor_mi.kinds.Number,
    numbers: xor_mi.kinds.Numbers,
    hook: xor_mi.kinds.HookName,
    hooks: xor_mi.kinds.HookNames,
    direction: xor_mi.kinds.Direction,
    subsets: xor_mi.kinds.SubsetRule,
    value: xor_mi.kinds.AblationValue,
    up_to: xor_mi.kinds.UpTo,
    activation: xor_mi.kinds.ActivationName,
    two_level: xor_mi.kinds.TwoLevelActivation,
    per_layer: xor_mi.kinds.HiddenActivations,
    step: xor_mi.kinds.StepAtZero,
    levels: xor_mi.kinds.Levels,
    rule: xor_mi.kinds.DecisionRuleName,
    loss: xor_mi.kinds.LossName,
    optimizer: xor_mi.kinds.OptimizerName,
    outputs: xor_mi.kinds.OutputKind,
    method: xor_mi.kinds.AttributionMethod,
) -> None:
    """One argument of each kind."""


def asked_of_rooms(
    table: xor_mi.truth.Tables,
    array: xor_mi.truth.ArrayLike,
    index: xor_mi.graph.Index,
    entry: xor_mi.graph.Entry,
    hook: xor_mi.model.HookFunction,
    method: xor_mi.interventions.Method,
    kind: xor_mi.interventions.SiteKind,
    together: xor_mi.interventions.SiteSet,
    features: xor_mi.kinds.Features,
    netlist: xor_mi.handmade.Netlist,
    has_netlist: xor_mi.handmade.HasNetlist,
    gate: xor_mi.handmade.NetlistGate,
    convention: xor_mi.search.AnyConvention,
    preset: xor_mi.search.Preset,
    tolerance: xor_mi.testing.Tolerance,
) -> None:
    """The kinds that one room alone takes."""


# results: the values that come back, by name

LOOKS_INSIDE = (
    xor_mi.values.Activations,
    xor_mi.values.Comparison,
    xor_mi.values.LayerValues,
    xor_mi.terms.Contributions,
    xor_mi.terms.DifferenceExplanation,
    xor_mi.graph.Subcircuit,
    xor_mi.training.TrainResult,
    xor_mi.training.Population,
    xor_mi.metrics.ShareInterval,
)
INTERVENES = (
    xor_mi.interventions.PatchSweep,
    xor_mi.interventions.PatchEffect,
    xor_mi.interventions.AblationSweep,
    xor_mi.interventions.Attribution,
    xor_mi.interventions.MethodScore,
    xor_mi.interventions.MethodScores,
    xor_mi.interventions.Interchange,
    xor_mi.interventions.InterchangeAccuracy,
    xor_mi.interventions.Decided,
    xor_mi.interventions.Coordinates,
    xor_mi.gate_scan.GateScan,
    xor_mi.gate_scan.UnitGate,
    xor_mi.gate_scan.FoundGates,
    xor_mi.gate_scan.FoundGate,
    xor_mi.gate_scan.ModelDecisions,
)
SURVEYS = (
    xor_mi.geometry.InputPath,
    xor_mi.geometry.DecisionChange,
    xor_mi.geometry.InputPlane,
    xor_mi.geometry.Boundary,
    xor_mi.geometry.Region,
    xor_mi.geometry.Regions,
    xor_mi.margins.Condition,
    xor_mi.margins.Conditions,
    xor_mi.margins.Slack,
    xor_mi.margins.WeightSlack,
    xor_mi.margins.WeightSweep,
)
PROVES = (
    xor_mi.circuits.CircuitUnit,
    xor_mi.circuits.Difference,
    xor_mi.circuits.LookedAt,
    xor_mi.circuits.TellingInput,
    xor_mi.circuits.TellingInterchange,
    xor_mi.circuits.Failing,
    xor_mi.circuits.ControlRate,
    xor_mi.circuits.ControlRates,
    xor_mi.circuits.Evidence,
    xor_mi.circuits.JointReading,
    xor_mi.circuits.LocalGate,
    xor_mi.circuits.Proof,
    xor_mi.circuits.Reading,
    xor_mi.circuits.RedundancyGroup,
    xor_mi.circuits.SubsetAblation,
)
SEARCHES = (
    xor_mi.search.Alignment,
    xor_mi.search.AlignmentSearch,
    xor_mi.search.ConventionCounts,
    xor_mi.search.CutLayer,
    xor_mi.search.EdgeMasks,
    xor_mi.search.ExaminedAlignment,
    xor_mi.search.ExaminedSubcircuit,
    xor_mi.search.ExplanationCounts,
    xor_mi.search.IdentifiabilityReport,
    xor_mi.search.Interpretation,
    xor_mi.search.NodeMask,
    xor_mi.search.NodeMasks,
    xor_mi.search.SearchStopped,
    xor_mi.search.SubcircuitSearch,
    xor_mi.search.TooManyFormulas,
    xor_mi.search.Variable,
    xor_mi.search.Witness,
)
HANDS_OVER = (
    xor_mi.report.NetworkFindings,
    xor_mi.testing.ClaimRecord,
    xor_mi.testing.ConventionsRecord,
    xor_mi.testing.Differences,
    xor_mi.testing.SetsRecord,
    xor_mi.testing.TargetRecord,
    xor_mi.testing.UnitRecord,
    xor_mi.widgets.Playground,
)
