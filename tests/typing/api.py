"""The whole public surface in use. Never executed: pyright reads it in strict mode.

What a person's editor knows is what stands here: if an exported function took or gave something
without a type, this page would not pass. A test holds that every exported name appears in it.
"""

# plotly ships no stubs; its figures are still named below
# pyright: reportMissingTypeStubs=false

from pathlib import Path
from typing import assert_type

import pandas as pd
import plotly.graph_objects as go
from torch import Tensor

import xor_mi
from xor_mi import HookedMLP, HookedMLPConfig, Site, TrainConfig, Unit

# errors, progress, finding: what everything else is refused with, waits under, and is

error: xor_mi.XorMiError = xor_mi.errors.unknown("gate", "ANDD", ["AND"], where="gates are")
too_many: type[xor_mi.XorMiError] = xor_mi.errors.TooManyReadings
assert_type(xor_mi.errors.whole_number("seed", 3, at_least=0), int)
assert_type(xor_mi.errors.unwritable("folder", OSError()), xor_mi.XorMiError)
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
assert_type(Site("blocks.0.mlp.hook_post", 1).index, tuple[int | None, ...])
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
assert_type(model.save_pretrained("folder"), Path)
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
assert_type(population[0], HookedMLP)
assert_type(population.frame(), pd.DataFrame)
assert_type(xor_mi.metrics.accuracy(model(model.rows()), model.rows(), threshold=0.5), float)
assert_type(xor_mi.metrics.decisions(model), Tensor)
assert_type(xor_mi.metrics.share_interval(3, 10).low, float)
assert_type(xor_mi.training.starting_weights((2, 2, 1), population.seeds)[0][0], Tensor)

# look inside

values = xor_mi.activations(model, rows)
assert_type(values.frame(), pd.DataFrame)
assert_type(values["blocks.0.mlp.hook_post"], Tensor)
assert_type(xor_mi.compare(model, "00", [1, 1]).same_decision, bool)
assert_type(xor_mi.contributions(model, rows).frame(), pd.DataFrame)
assert_type(xor_mi.explain_difference(model, "00", "11").of_output(0), pd.DataFrame)
assert_type(xor_mi.values.forward_float64(model, model.rows())[0].post, Tensor)

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
attributed = xor_mi.interventions.attribute(model, pairs, places, method="shapley")
assert_type(attributed.frame(), pd.DataFrame)
assert_type(xor_mi.interventions.score_methods(model, pairs).frame(), pd.DataFrame)
assert_type(xor_mi.interventions.sites(model, "edge"), list[Site])
assert_type(xor_mi.interventions.site_of(model, "h0.1"), Site)
assert_type(xor_mi.interventions.subsets(["h0.0", "h0.1"], max_size=2), list[tuple[str, ...]])
scan = xor_mi.scan_gates(model, model.rows(), {"a": model.rows()[:, 0]}, "blocks.0.mlp.hook_post")
assert_type(scan.acting_as("OR", max_p=0.01), pd.DataFrame)

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
assert_type(xor_mi.circuits.control_rates(model, n_networks=10).frame(), pd.DataFrame)
assert_type(xor_mi.circuits.unit_readings(model.rows()[:, 0])[0].constant, bool)

# every other explanation

search = xor_mi.find_subcircuits(model, convention="meloux_paper", progress=False)
assert_type(search.n_perfect, int)
subcircuit = search.minimal[0]
assert_type(xor_mi.search.as_network(model, subcircuit), HookedMLP)
assert_type(xor_mi.search.count_subcircuits((2, 3, 3, 1)), int)
assert_type(xor_mi.search.count_perfect_subcircuits(model, "XOR"), int)
assert_type(xor_mi.search.count_interpretations(model, subcircuit), int)
for interpretation in xor_mi.search.interpretations(model, subcircuit, "XOR"):
    assert_type(interpretation.frame(), pd.DataFrame)
assert_type(xor_mi.search.formulas("XOR", depth=2)[0], xor_mi.search.Formula)
assert_type(xor_mi.search.find_alignments(model, depth=2).n_minimal, int)
assert_type(xor_mi.search.compare_conventions(model).frame(), pd.DataFrame)
assert_type(xor_mi.search.node_masks(model).frame(), pd.DataFrame)
report = xor_mi.identifiability_report(model, depth=2, output=0)
assert_type(report.identifiable, bool)
assert_type(xor_mi.search.Problem.of(model, "XOR").target, xor_mi.BooleanFunction)
assert_type(xor_mi.search.Convention(margin=0.1).describe(), str)

# many networks, the zoo

networks = xor_mi.census(population, progress=False)
assert_type(networks, pd.DataFrame)
assert_type(xor_mi.population.family_shares(networks, by="gates"), pd.DataFrame)
assert_type(xor_mi.population.gate_shares(networks), pd.DataFrame)
assert_type(xor_mi.population.write_census(networks, "census.parquet"), Path)
assert_type(xor_mi.population.read_census("census.parquet", columns=["solved"]), pd.DataFrame)
assert_type(xor_mi.population.population_from_census(networks, cfg)[0], HookedMLP)
assert_type(xor_mi.population.run_census("XOR", 100, directory="folder"), Path)
assert_type(xor_mi.population.width_study("XOR", 10, widths=[1, 2]), pd.DataFrame)
assert_type(xor_mi.population.outcome_by_initial_signs(networks, (2, 2, 1)), pd.DataFrame)
assert_type(xor_mi.population.identity_experiment(10, hidden=8), pd.DataFrame)
assert_type(xor_mi.truth.threshold_functions(2, act_fn="relu"), pd.DataFrame)
assert_type(xor_mi.zoo.names(), list[str])
assert_type(xor_mi.zoo.load("or-and"), HookedMLP)
assert_type(xor_mi.zoo.describe(), pd.DataFrame)

# pictures, a report, a regression, a playground

assert_type(xor_mi.plots.figure(sweep), go.Figure)
assert_type(xor_mi.plots.network_diagram(model, circuit), go.Figure)
assert_type(xor_mi.plots.input_plane(model, path=path, show_regions=False), go.Figure)
assert_type(xor_mi.plots.weight_slider(moved, [circuit]), go.Figure)
assert_type(xor_mi.plots.gate_shares_figure(networks, n_solved=1, n_networks=2), go.Figure)
assert_type(xor_mi.report.write_report(model, "folder", training=result), Path)
assert_type(xor_mi.report.find_out(model).circuit, xor_mi.Circuit)
xor_mi.testing.assert_computes(model, "XOR")
xor_mi.testing.assert_acts_as(circuit, {"OR": 0, "AND": "h0.1"}, up_to_complement=True)
xor_mi.testing.assert_same_circuit(model, circuit, up_to="family", tolerance=1e-6)
xor_mi.testing.assert_patch_effect(model, "01", "11", "h0.1", flips=True)
record = xor_mi.testing.record_of(circuit)
assert_type(xor_mi.testing.compare_records(record, record).facts, tuple[str, ...])
xor_mi.widgets.playground(model).reset()
