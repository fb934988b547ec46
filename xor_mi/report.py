"""findings and figures -> a folder a person can open: model, circuit.json, patching.csv and a one-file, offline report.html."""

import json
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment

from xor_mi import plots
from xor_mi.activations import Activations, Comparison, activations, compare
from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.contributions import DifferenceExplanation, explain_difference
from xor_mi.errors import XorMiError
from xor_mi.interventions import PatchSweep, patch_sweep
from xor_mi.metrics import logit
from xor_mi.model import HookedMLP
from xor_mi.population import gate_shares
from xor_mi.training import TrainResult

_PLOTLY = {"showSendToCloud": False, "displaylogo": False, "responsive": False}
"""Without the first, plotly.js offers to upload the chart to a cloud service."""


@dataclass(frozen=True)
class Findings:
    """What is found out about one network, station by station."""

    model: HookedMLP
    activations: Activations
    comparison: Comparison
    difference: DifferenceExplanation
    sweep: PatchSweep
    circuit: Circuit


def find_out(model: HookedMLP) -> Findings:
    """Run every station on one network: activations, all-zeros compared with all-ones, patching over all pairs, the circuit."""
    a, b = "0" * model.cfg.d_in, "1" * model.cfg.d_in
    names = ["logit"] if model.cfg.d_out == 1 else [f"logit_y{k}" for k in range(model.cfg.d_out)]
    metrics = {name: partial(logit, output=k) for k, name in enumerate(names)}
    sweep = patch_sweep(model, metrics=metrics)
    return Findings(model, activations(model), compare(model, a, b), explain_difference(model, a, b), sweep, identify_circuit(model))


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
        raise XorMiError(f"cannot write to '{folder}': {error.strerror or error}; choose a folder you may write to") from None
    return folder


def write_findings(
    findings: Findings, directory: str | Path, training: TrainResult | None = None, networks: pd.DataFrame | None = None
) -> Path:
    """Write model.safetensors, config.json, circuit.json, patching.csv and report.html into a folder; returns the report's path.

    Args:
        training: how the network was trained, for the report.
        networks: a census of retrained networks, for the report's section on how common the circuit is.
    """
    folder = require_writable(directory)
    page = render_report(findings, training, networks)
    findings.model.save_pretrained(folder)
    try:
        (folder / "circuit.json").write_text(json.dumps(findings.circuit.to_dict(), indent=2) + "\n")
        findings.sweep.frame().to_csv(folder / "patching.csv", index=False)
        (folder / "report.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise XorMiError(f"cannot write to '{folder}': {error.strerror or error}; choose a folder you may write to") from None
    return folder / "report.html"


def render_report(findings: Findings, training: TrainResult | None = None, networks: pd.DataFrame | None = None) -> str:
    """The page as text: one file, plotly inside, nothing loaded from anywhere, every inserted text escaped."""
    circuit, model = findings.circuit, findings.model
    figures: dict[str, go.Figure] = {
        "network": plots.network_diagram(model, circuit),
        "activations": plots.activations_heatmap(findings.activations),
        "patching": plots.patching_heatmap(findings.sweep),
    }
    if model.cfg.d_in == 2:
        figures["plane"] = plots.input_plane(model)
    shares = None
    if networks is not None and networks["solved"].any():
        shares = gate_shares(networks)
        figures["shares"] = plots.gate_shares_figure(shares, int(networks["solved"].sum()), len(networks))
    template = Environment(autoescape=True).from_string(files("xor_mi").joinpath("report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        circuit=circuit,
        training=training,
        comparison=findings.comparison,
        difference=findings.difference,
        units=[unit._asdict() for unit in circuit.units],
        tables={"compare": _html(findings.comparison.frame()), "edges": _html(findings.difference.edges)},
        common=None if networks is None else how_common(circuit, networks),
        figures={name: _figure_html(figure, first=name == "network") for name, figure in figures.items()},
    )


def how_common(circuit: Circuit, networks: pd.DataFrame) -> str:
    """One sentence: of the networks trained from many seeds, how many solved the task, and how many with the same gates."""
    solved = networks[networks["solved"]]
    seeds = f"seeds {networks['seed'].min()} to {networks['seed'].max()}"
    text = f"Of {len(networks)} networks trained alike from {seeds}, {len(solved)} solved {circuit.target.name}"
    if circuit.gate_set is None or solved.empty:
        return text + "."
    same = [line for line in gate_shares(networks).to_dict("records") if line["gates"] == circuit.gate_set]
    if not same:
        return f"{text}; none of these has the hidden gates {circuit.gate_set}."
    share, low, high = (100 * same[0][column] for column in ("share", "ci_low", "ci_high"))
    interval = f"{share:.0f}%, 95% interval {low:.0f} to {high:.0f}%"
    return f"{text}; {same[0]['n_networks']} of these ({interval}) have the hidden gates {circuit.gate_set}, as this one."


def _figure_html(figure: go.Figure, first: bool) -> Any:
    from markupsafe import Markup

    return Markup(figure.to_html(full_html=False, include_plotlyjs=first, config=_PLOTLY))


def _html(frame: pd.DataFrame) -> Any:
    from markupsafe import Markup

    return Markup(frame.to_html(index=False, escape=True, border=0, float_format=lambda value: f"{value + 0.0:.3f}"))
