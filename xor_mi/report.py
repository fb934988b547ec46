"""a network -> a folder a person can open: report.html, one file that needs no network, and
report.json with every number in it.

Beside them the model (config.json, model.safetensors), circuit.json and patching.csv. The page
names, at each section, the key of report.json that holds its numbers; `report.schema.json` in the
package is the JSON Schema of that file."""

import json
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment

from xor_mi import plots
from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.geometry import InputPath, path
from xor_mi.interventions import AblationSweep, PatchSweep, ablation_sweep, patch_sweep
from xor_mi.margins import conditions, slack_to_flip
from xor_mi.metrics import logit
from xor_mi.model import HookedMLP
from xor_mi.population import gate_shares
from xor_mi.search import SubcircuitSearch, count_subcircuits, find_subcircuits
from xor_mi.terms import (
    Contributions,
    DifferenceExplanation,
    contributions,
    explain_difference,
)
from xor_mi.training import TrainResult
from xor_mi.values import Activations, Comparison, activations, compare

VERSION = 1
"""Of report.json; it rises when a key changes its meaning or goes."""
SCHEMA = "xor_mi.report/1"
"""The `$id` of report.schema.json."""
MOST_INPUTS = 4
SMALL = 64
"""Conditions, slack and subcircuits are found for networks of at most so many (row, output) pairs
and parameters.
"""
LISTED = 20_000
"""Subcircuits are searched up to this many."""
HEADLINES = {
    "identified": "It computes {target}, and exactly one explanation survives every test",
    "ambiguous": "It computes {target}, but several explanations survive",
    "no_gate_reading": "It computes {target}, but not by units that act as gates",
    "not_computing": "It does not compute {target}",
}
_PLOTLY = {"showSendToCloud": False, "displaylogo": False, "responsive": False}
"""Without the first, plotly.js offers to upload the chart to a cloud service."""


@dataclass(frozen=True)
class Findings:
    """What is found out about one network, station by station. The last three are None where the
    network is too large for them.
    """

    model: HookedMLP
    activations: Activations
    contributions: Contributions
    comparison: Comparison
    difference: DifferenceExplanation
    sweep: PatchSweep
    ablation: AblationSweep
    circuit: Circuit
    path: InputPath
    conditions: pd.DataFrame | None
    slack: pd.DataFrame | None
    subcircuits: SubcircuitSearch | None


def find_out(model: HookedMLP) -> Findings:
    """Run every station on one network; all-zeros is compared with all-ones, and the input moved
    gradually from one to the other.

    Raises:
        XorMiError: more than `MOST_INPUTS` inputs: every pair of inputs is patched and drawn.
    """
    if model.cfg.d_in > MOST_INPUTS:
        n_pairs = 2**model.cfg.d_in * (2**model.cfg.d_in - 1)
        raise XorMiError(
            f"{model.cfg.d_in} inputs have {n_pairs} pairs to patch and draw; a report is written for up to {MOST_INPUTS} inputs: "
            "call patch_sweep(model, pairs), identify_circuit(model) and plots on the pairs you want"
        )
    a, b = "0" * model.cfg.d_in, "1" * model.cfg.d_in
    names = ["logit"] if model.cfg.d_out == 1 else [f"logit_y{k}" for k in range(model.cfg.d_out)]
    metrics = {name: partial(logit, output=k) for k, name in enumerate(names)}
    small = (
        2**model.cfg.d_in * model.cfg.d_out <= SMALL
        and sum(p.numel() for p in model.parameters()) <= SMALL
    )
    listed = small and count_subcircuits(model.layer_sizes) <= LISTED
    return Findings(
        model=model,
        activations=activations(model),
        contributions=contributions(model),
        comparison=compare(model, a, b),
        difference=explain_difference(model, a, b),
        sweep=patch_sweep(model, metrics=metrics),
        ablation=ablation_sweep(model),
        circuit=identify_circuit(model),
        path=path(model, a, b),
        conditions=conditions(model) if small else None,
        slack=slack_to_flip(model) if small else None,
        subcircuits=find_subcircuits(model) if listed else None,
    )


def require_writable(directory: str | Path) -> Path:
    """Make the folder and try it, so that an unwritable one is refused before any work is done.

    Raises:
        XorMiError: it cannot be made, or nothing can be written in it.
    """
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise XorMiError(
            f"cannot write to '{folder}': {error.strerror or error}; choose a folder you may write to"
        ) from None
    return folder


def write_report(
    model: Any,
    directory: str | Path | None = None,
    *,
    training: TrainResult | None = None,
    networks: pd.DataFrame | None = None,
) -> Path:
    """Find out all there is about a network and write it into a folder; returns the path of
    report.html.

    Args:
        model: a `HookedMLP`, a folder that one was saved in, or `Findings` that `find_out` has made
            of one.
        out: the folder; by default the one the model was read from.
        training: how the network was trained, for the report.
        networks: a census of retrained networks, for the report's section on how common the circuit
            is.

    Raises:
        XorMiError: no model, a folder without one, nowhere to write, or a network without a target.
    """
    if directory is None and not isinstance(model, (str, Path)):
        raise XorMiError(
            "no folder to write to; give one, such as write_report(model, 'my-report')"
        )
    folder = require_writable(model if directory is None else directory)
    if isinstance(model, (str, Path)):
        model = HookedMLP.from_pretrained(model)
    if not isinstance(model, (HookedMLP, Findings)):
        raise XorMiError(
            f"a report is written of a HookedMLP or a folder with one, not {type(model).__name__}; try HookedMLP.from_sequential"
        )
    findings = model if isinstance(model, Findings) else find_out(model)
    figures = figures_of(findings)
    numbers, page = (
        to_dict(findings, figures, training, networks),
        render_report(findings, figures, training, networks),
    )
    findings.model.save_pretrained(folder)
    try:
        (folder / "report.json").write_text(
            json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        (folder / "circuit.json").write_text(findings.circuit.to_json(), encoding="utf-8")
        findings.sweep.frame().to_csv(folder / "patching.csv", index=False)
        (folder / "report.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise XorMiError(
            f"cannot write to '{folder}': {error.strerror or error}; choose a folder you may write to"
        ) from None
    return folder / "report.html"


def schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    return json.loads(files("xor_mi").joinpath("report.schema.json").read_text(encoding="utf-8"))


def to_dict(
    findings: Findings,
    figures: dict[str, go.Figure],
    training: TrainResult | None = None,
    networks: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Every number of the report as JSON-ready values. What is undefined or without end is null."""
    model, found = findings.model, findings.subcircuits
    shares = _shares(networks)
    return {
        "version": VERSION,
        "schema": SCHEMA,
        "layer_sizes": list(model.layer_sizes),
        "act_fn": model.cfg.act_fn,
        "threshold": model.threshold,
        "weights": [{"weight": weight.tolist(), "bias": bias.tolist()} for weight, bias in model.float64_layers()],
        "training": None if training is None else str(training),
        "circuit": findings.circuit.to_dict(),
        "activations": _records(findings.activations.frame()),
        "contributions": _records(findings.contributions.frame()),
        "comparison": {"a": findings.comparison.a, "b": findings.comparison.b, "values": _records(findings.comparison.frame())},
        "difference": {
            "edges": _records(findings.difference.edges),
            "units": _records(findings.difference.units),
            "leftover": findings.difference.leftover,
        },
        "patching": _records(findings.sweep.frame()),
        "ablation": _records(findings.ablation.frame()),
        "path": {
            "points": _records(findings.path.frame()),
            "kinks": [{"t": k.t, "input": list(k.input), "units": [unit.name for unit in k.units]} for k in findings.path.kinks],
            "changes": [asdict(change) | {"input": list(change.input)} for change in findings.path.changes],
            "slider": _frames(figures["input_slider"]),
        },
        "conditions": None if findings.conditions is None else _records(findings.conditions),
        "slack": None if findings.slack is None else _records(findings.slack),
        "moved_weight": _frames(figures["weight_slider"]) if "weight_slider" in figures else None,
        "subcircuits": None if found is None else {
            "total": found.total, "n_perfect": found.n_perfect, "minimal": [[edge.name for edge in part.edges] for part in found.minimal]
        },
        "population": None if networks is None else {
            "n_networks": len(networks),
            "n_solved": int(networks["solved"].sum()),
            "shares": [] if shares is None else _records(shares),
        },
    }  # fmt: skip


def render_report(
    findings: Findings,
    figures: dict[str, go.Figure],
    training: TrainResult | None = None,
    networks: pd.DataFrame | None = None,
) -> str:
    """The page as text: one file, plotly inside, nothing loaded from anywhere, every inserted text
    escaped.
    """
    circuit, found, shares = findings.circuit, findings.subcircuits, _shares(networks)
    if networks is not None and shares is not None:
        figures = figures | {
            "shares": plots.gate_shares_figure(shares, int(networks["solved"].sum()), len(networks))
        }
    template = Environment(autoescape=True).from_string(
        files("xor_mi").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        circuit=circuit,
        headline=HEADLINES[circuit.verdict].format(target=circuit.target.name),
        training=training,
        comparison=findings.comparison,
        difference=findings.difference,
        path=findings.path,
        subcircuits=found,
        units=[unit._asdict() for unit in circuit.units],
        tables={
            "compare": _html(findings.comparison.frame()),
            "edges": _html(findings.difference.edges),
        },
        common=None if networks is None else how_common(circuit, networks),
        figures={
            name: _figure_html(figure, first=name == "network") for name, figure in figures.items()
        },
    )


def figures_of(findings: Findings) -> dict[str, go.Figure]:
    """Every figure of the page; those that do not apply to this network are left out."""
    circuit, model, found = findings.circuit, findings.model, findings.subcircuits
    figures = {
        "network": plots.network_diagram(model, circuit),
        "activations": plots.activations_heatmap(findings.activations),
        "contributions": plots.contributions_heatmap(findings.contributions),
        "difference": plots.contributions_heatmap(findings.difference),
        "patching": plots.patching_heatmap(findings.sweep),
        "ablation": plots.ablation_heatmap(findings.ablation),
        "input_slider": plots.input_slider(model, findings.comparison.a, findings.comparison.b),
    }
    if circuit.proof is not None:
        figures["interchange"] = plots.interchange_matrix(circuit)
    if model.cfg.d_in == 2:
        figures["plane"] = plots.input_plane(model, path=findings.path)
    if findings.conditions is not None and findings.slack is not None:
        figures["conditions"] = plots.conditions_figure(findings.conditions)
        figures["slack"] = plots.slack_figure(findings.slack)
        figures["weight_slider"] = plots.weight_slider(model)
    if found is not None and found.n_perfect:
        figures["lattice"] = plots.subcircuit_lattice(found)
    return figures


def how_common(circuit: Circuit, networks: pd.DataFrame) -> str:
    """One sentence: of the networks trained from many seeds, how many solved the task, and how many
    with the same gates.
    """
    solved = networks[networks["solved"]]
    seeds = f"seeds {networks['seed'].min()} to {networks['seed'].max()}"
    text = f"Of {len(networks)} networks trained alike from {seeds}, {len(solved)} solved {circuit.target.name}"
    if circuit.gate_set is None or solved.empty:
        return text + "."
    same = [
        line
        for line in gate_shares(networks).to_dict("records")
        if line["gates"] == circuit.gate_set
    ]
    if not same:
        return f"{text}; none of these has the hidden gates {circuit.gate_set}."
    share, low, high = (100 * same[0][column] for column in ("share", "ci_low", "ci_high"))
    interval = f"{share:.0f}%, 95% interval {low:.0f} to {high:.0f}%"
    return f"{text}; {same[0]['n_networks']} of these ({interval}) have the hidden gates {circuit.gate_set}, as this one."


def _shares(networks: pd.DataFrame | None) -> pd.DataFrame | None:
    return gate_shares(networks) if networks is not None and networks["solved"].any() else None


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records", double_precision=15))


def _frames(figure: go.Figure) -> list[dict[str, Any]]:
    """What each frame of a figure with a slider says, and its bars: name -> value."""
    found = []
    frames: Any = figure.frames
    for frame, step in zip(frames, figure.layout.sliders[0].steps, strict=True):
        bars = next(trace for trace in frame.data if trace.type == "bar")
        names, values = (bars.y, bars.x) if bars.orientation == "h" else (bars.x, bars.y)
        found.append(
            {"label": step.label, "values": dict(zip(names, map(float, values), strict=True))}
        )
    return found


def _figure_html(figure: go.Figure, first: bool) -> Any:
    from markupsafe import Markup

    return Markup(
        figure.to_html(full_html=False, include_plotlyjs=first, config=_PLOTLY, auto_play=False)
    )


def _html(frame: pd.DataFrame) -> Any:
    from markupsafe import Markup

    return Markup(
        frame.to_html(
            index=False, escape=True, border=0, float_format=lambda value: f"{value + 0.0:.3f}"
        )
    )
