"""Every analysis on float64 and bfloat16 networks, and on an accelerator: the same findings as in
float32 on the CPU.

The textbook network's weights and values are exact in every dtype, so nothing may differ. `pytest
-m device` runs the accelerator's part."""

import numpy as np
import pytest
import torch
from networks import OR_AND

from xor_mi import (
    compare,
    explain_difference,
    geometry,
    handmade,
    identify_circuit,
    margins,
    patch_sweep,
    plots,
)
from xor_mi.errors import XorMiError
from xor_mi.gate_scan import scan_gates
from xor_mi.interventions import (
    ablation_sweep,
    interchange,
    interchange_accuracy,
    path_sweep,
    paths_from,
    score_methods,
)
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.search import (
    count_perfect_subcircuits,
    edge_masks,
    find_alignments,
    find_subcircuits,
    node_masks,
)
from xor_mi.testing import record_of
from xor_mi.training import train_population
from xor_mi.values import activations

ANALYSES = {
    "activations": lambda model: activations(model).frame()["value"].tolist(),
    "compare": lambda model: (
        str(compare(model, "00", "11")),
        str(explain_difference(model, "00", "11")),
    ),
    "patch_sweep": lambda model: (
        patch_sweep(model).frame().drop(columns=["hook_name"], errors="ignore").to_csv()
    ),
    "edges": lambda model: patch_sweep(model, sites=["x0->h0.1", "h0.1->y0"]).effect.tolist(),
    "ablation": lambda model: [
        ablation_sweep(model, value=value).after.tolist() for value in ("zero", "mean")
    ],
    "interchange": lambda model: (
        interchange_accuracy(model, OR_AND, {"either": "h0.0", "both": "h0.1"}).n_agreed
    ),
    "one_interchange": lambda model: str(interchange(model, {"h0.0": "01", "h0.1": "00"}, "11")),
    "resampling": lambda model: ablation_sweep(model, value="resample").after.tolist(),
    "scan": lambda model: (
        scan_gates(model, model.rows(), {"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}, ["h0.0", "h0.1"])
        .frame()["gate"]
        .tolist()
    ),
    "paths": lambda model: path_sweep(
        model, paths_from(model, "x0"), [("01", "11")]
    ).effect.tolist(),
    "attribution": lambda model: score_methods(model).frame()["method"].tolist(),
    "circuit": lambda model: {
        k: v for k, v in record_of(identify_circuit(model)).items() if k != "versions"
    },
    "subcircuits": lambda model: (
        str(find_subcircuits(model, "XOR")),
        count_perfect_subcircuits(model, "XOR"),
    ),
    "alignments": lambda model: [str(alignment) for alignment in find_alignments(model, "XOR")],
    "node_masks": lambda model: node_masks(model, "XOR").frame().to_csv(),
    "edge_masks": lambda model: edge_masks(model, "XOR").n_right_rows.tolist(),
    "conditions": lambda model: margins.conditions(model, "XOR").frame().to_csv(),
    "slack": lambda model: margins.slack_to_flip(model).frame().to_csv(),
    "edit": lambda model: handmade.edit(model, {"fc1.weight[0, 1]": 0.25}).fc1.weight.tolist(),
    "path": lambda model: geometry.path(model, [0, 0], [1, 1]).frame().to_csv(),
    "regions": lambda model: [region.vertices.tolist() for region in geometry.regions(model)],
    "boundary": lambda model: geometry.boundary(model).segments.tolist(),
    "figure": lambda model: len(plots.network_diagram(model, identify_circuit(model)).data),
}


def textbook(**settings):
    """The textbook network with other settings."""
    layers = [
        (linear.weight.tolist(), linear.bias.tolist()) for linear in handmade.textbook_xor().linears
    ]
    return HookedMLP.from_weights(layers, decision_threshold=0.5, target="XOR", **settings)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ANALYSES)
def test_the_dtype_does_not_change_what_is_found(name, dtype):
    """Every analysis of the textbook network, in another dtype."""
    assert ANALYSES[name](textbook(dtype=dtype)) == ANALYSES[name](textbook())


def test_dtypes_survive_saving(tmp_path):
    """A bfloat16 network is saved and loaded as one."""
    model = textbook(dtype="bfloat16")
    model.save_pretrained(tmp_path)
    loaded = HookedMLP.from_pretrained(tmp_path)
    assert loaded.fc1.weight.dtype == torch.bfloat16
    assert torch.equal(loaded(loaded.rows()), model(model.rows()))


@pytest.mark.device
@pytest.mark.parametrize("name", ANALYSES)
def test_the_device_does_not_change_what_is_found(name):
    """Every analysis of the textbook network, on the accelerator."""
    assert ANALYSES[name](textbook(device="cuda")) == ANALYSES[name](textbook())


@pytest.mark.device
def test_training_on_the_device():
    """Networks trained there solve the task about as often; identification agrees with what they
    decide.
    """
    there = train_population("XOR", 200, device="cuda")
    here = train_population("XOR", 200, engine="torch")
    assert there.engine == "torch"
    with pytest.raises(XorMiError, match="engine='numba' trains on the CPU"):
        train_population("XOR", 200, device="cuda", engine="numba")
    assert abs(int(there.solved.sum()) - int(here.solved.sum())) < 20
    solved = np.flatnonzero(there.solved.cpu().numpy())
    assert {identify_circuit(there[int(index)]).verdict for index in solved[:10]} == {"identified"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize(
    "ask",
    [
        lambda: HookedMLP(HookedMLPConfig(device="cuda:9")),
        lambda: HookedMLP.from_weights([([[1, 1]], [0]), ([[1]], [0])], device="cuda"),
        lambda: textbook().to("cuda"),
        lambda: textbook().to(device=torch.device("cuda")),
        lambda: textbook().cuda(),
        lambda: train_population("XOR", 2, device="cuda"),
    ],
)
def test_a_device_that_is_not_there(ask):
    """One sentence that says so and what to give, wherever a device is named."""
    with pytest.raises(XorMiError, match="no device 'cuda(:[09])?' here .*; use device='cpu'"):
        ask()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_model_is_not_read_onto_a_device_that_is_not_there(tmp_path):
    """The same of a folder."""
    textbook().save_pretrained(tmp_path / "model")
    with pytest.raises(XorMiError, match="no device 'cuda' here"):
        HookedMLP.from_pretrained(tmp_path / "model", device="cuda")
