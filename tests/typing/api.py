"""The whole public surface in use. Never executed: pyright reads it in strict mode.

What a person's editor knows is what stands here: if an exported function took or gave something
without a type, this page would not pass. A test holds that every exported name appears in it.
"""

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
