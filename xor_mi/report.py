"""a network -> a folder with a report: report.html, and report.json with every number in it.

report.html is one file that needs no network.

The folder also has the model (config.json, model.safetensors), circuit.json and patching.csv. Each
section of the page names the key of report.json that holds its numbers; `report.schema.json` in the
package is the JSON Schema of that file.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.resources import files
from math import inf, isfinite
from pathlib import Path
from typing import TypeVar

import pandas as pd
import plotly.graph_objects as go
import torch
from markupsafe import Markup
from torch import Tensor

from xor_mi import plots, saving
from xor_mi.bench import MOST_INPUTS, MOST_WEIGHTS, bench_html, module_text
from xor_mi.circuits import (
    MIN_MARGIN,
    CandidateCircuit,
    Circuit,
    Contradiction,
    Diagnosis,
    Evidence,
    InterchangeCount,
    ProofLevel,
    diagnose,
    identify_circuit,
)
from xor_mi.circuits._wording import rounding_share
from xor_mi.errors import XorMiError, require_kind
from xor_mi.finding import Finding, count_text, in_words, number_text, parameter_text
from xor_mi.geometry import InputPath, Kink, path
from xor_mi.graph import Subcircuit, name_of_set
from xor_mi.handmade._edits import entries
from xor_mi.interventions import AblationSweep, PatchSweep, ablation_sweep, patch_sweep
from xor_mi.kinds import Metric, PathLike, Target
from xor_mi.margins import (
    Conditions,
    Slack,
    WeightSweep,
    conditions,
    move_weight,
    slack_to_flip,
    weight_symbols,
)
from xor_mi.margins._slack import rounding_of_weights
from xor_mi.metrics import UNDECIDED, score
from xor_mi.model import (
    MODEL_FILES,
    HookedMLP,
    HookedMLPConfig,
    require_hooked_mlp,
    saved_files,
    stage_of_hook,
)
from xor_mi.plots._page import PageFigures, render_page
from xor_mi.plots._style import decision_text, text_beside
from xor_mi.population import counted_as, gate_shares
from xor_mi.population._census import ENGINE
from xor_mi.progress import progress_bar
from xor_mi.saving import CIRCUIT_MARK, REPORT_MARK, write_files
from xor_mi.search import SubcircuitSearch, count_subcircuits, find_subcircuits
from xor_mi.terms import (
    Contributions,
    DifferenceExplanation,
    contributions,
    explain_difference,
)
from xor_mi.training import TrainResult
from xor_mi.values import (
    Activations,
    Comparison,
    activations,
    compare,
    forward_float64,
    own_scales,
    own_value_scales,
)

__all__ = [
    "HEADLINES",
    "MOST_CIRCUITS_LISTED",
    "MOST_INPUTS_DRAWN",
    "MOST_SUBCIRCUITS_LISTED",
    "MOST_WEIGHTS_EXAMINED",
    "REPORT_FILES",
    "SCHEMA",
    "VERSION",
    "NetworkFindings",
    "figures_of",
    "find_out",
    "how_common",
    "render_report",
    "require_writable",
    "schema",
    "to_dict",
    "write_report",
]

VERSION = 3
"""The version of report.json; it is increased when a key changes its meaning or is removed."""
SCHEMA = f"{REPORT_MARK}/{VERSION}"
"""The `$id` of report.schema.json."""
REPORT_FILES = MODEL_FILES | {
    "report.json": REPORT_MARK,
    "circuit.json": CIRCUIT_MARK,
    "patching.csv": REPORT_MARK,
    "report.html": REPORT_MARK,
}
"""The files that `write_report` writes: name -> its mark (see `saving.mark_of`)."""
MOST_INPUTS_DRAWN = 4
"""The most inputs: with more there are too many pairs of rows to patch and draw."""
MOST_WEIGHTS_EXAMINED = 64
"""The most weights, and the most decisions (of one output on one row), of a network whose
conditions, slack and subcircuits are examined.
"""
MOST_SUBCIRCUITS_LISTED = 20_000
"""The most subcircuits of a network that is searched for perfect ones."""
STEPS_OF_THE_INPUT_SLIDER = 41
"""Even steps of the input slider; every kink and decision change adds a step."""

HEADLINES = {
    "identified": "It computes {target}, and exactly one explanation survives every test required",
    "ambiguous": "It computes {target}, but several explanations survive every test required",
    "approximate": "It computes {target}, but no explanation survives every test required",
    "no_gate_reading": "It computes {target}, but not by units that act as gates",
    "not_computing": "It does not compute {target}",
}
"""The first sentence of a report by the verdict, with the network's target put in."""

ACTIVATION_MEANS = {
    "relu": "s above 0, else 0",
    "leaky_relu": "s above 0, else a small part of s",
    "sigmoid": "between 0 and 1, and 0.5 where s is 0",
    "tanh": "between -1 and 1, and 0 where s is 0",
    "heaviside": "0 or 1, by the sign of s",
    "sign": "-1 or 1, by the sign of s",
}
"""Activation function -> its effect on a sum s, if that can be said without a formula."""
OUTPUT_MEANS = {
    "logit": "a <dfn>logit</dfn>: a sigmoid would make it a probability, a half at 0",
    "probability": "a probability",
    "output": "a number that stands for no probability",
}
"""What an output is, in words for readers new to it; as HTML."""
MOST_WEIGHTS_OPEN = 24
"""A table of more weights is closed until the reader opens it."""
MOST_KINKS_NAMED = 8
"""The most kinks on a path that are named."""
ROUNDING = 1e-6
"""Numbers smaller than this share of a network's own scale are rounding."""
SEEDS_NAMED = 3
"""The most seeds that are named of networks that solve what this network does not."""
MOST_CIRCUITS_LISTED = 20
"""The most circuits, and differences between circuits, on the page."""

Found = TypeVar("Found")
Figures = dict[str, go.Figure]
Json = dict[str, object]


@dataclass(frozen=True, eq=False)
class NetworkFindings:
    """The findings about one network, station by station.

    Attributes:
        comparison, difference, path: between all-zeros and all-ones.
        slider_path: the same path in the steps of the slider.
        conditions, slack, moved_weight, moved_circuits: of all weights, and of the weight that may
            move least, with the circuit at each step; None if there are too many weights or the
            station does not cover this network.
        subcircuits: None if there are too many, or if the search does not cover this network.
        left_out: the name of an attribute that is None -> the reason, in one sentence.
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
    slider_path: InputPath
    conditions: Conditions | None
    slack: Slack | None
    moved_weight: WeightSweep | None
    moved_circuits: tuple[Circuit, ...] | None
    subcircuits: SubcircuitSearch | None
    left_out: dict[str, str] = field(default_factory=dict)


def find_out(
    model: HookedMLP,
    *,
    target: Target | None = None,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> NetworkFindings:
    """Run every station on one network.

    All-zeros is compared with all-ones, and the input moved gradually from one to the other. A
    station that does not cover this network is left out, and says why.

    Args:
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default:
            `model.cfg.target`, or if that is None, whatever the network decides.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        progress: show a bar if a station takes over half a second.

    Raises:
        XorMiError: more than `MOST_INPUTS_DRAWN` inputs, since every pair of inputs is patched and
            drawn; a target of another width; or a level of proof or a margin that does not exist.
    """
    require_hooked_mlp(model, "finding out about a network")
    _require_few_inputs(model)
    if target is not None:
        model = model.with_target(target)
    circuit = identify_circuit(model, require=require, min_margin=min_margin, progress=progress)
    zeros, ones = "0" * model.cfg.d_in, "1" * model.cfg.d_in
    left_out: dict[str, str] = {}

    def unless_refused(section: str, station: Callable[[], Found]) -> Found | None:
        """The result of a station, or None if it does not cover this network."""
        try:
            _require_small(model)
            return station()
        except XorMiError as refusal:
            left_out[section] = str(refusal)
            return None

    def find_few_subcircuits() -> SubcircuitSearch:
        n_subcircuits = 0 if model.cfg.direct else count_subcircuits(model.layer_sizes)
        if n_subcircuits > MOST_SUBCIRCUITS_LISTED:
            raise XorMiError(
                f"the network has {n_subcircuits:,} subcircuits; a report examines at most "
                f"{MOST_SUBCIRCUITS_LISTED:,}"
            )
        return find_subcircuits(model, progress=progress)

    def find_slack() -> Slack:
        return slack_to_flip(model, floor=rounding_of_weights(model), progress=progress)

    slack = unless_refused("slack", find_slack)
    moved = None
    # a weight whose moves change no decision needs no figure
    if slack is None or slack.smallest.slack < inf:
        moved = unless_refused("moved_weight", lambda: move_weight(model, progress=progress))
    return NetworkFindings(
        model=model,
        activations=activations(model),
        contributions=contributions(model),
        comparison=compare(model, zeros, ones),
        difference=explain_difference(model, zeros, ones),
        sweep=patch_sweep(model, metrics=_scores(model), progress=progress),
        ablation=ablation_sweep(model, progress=progress),
        circuit=circuit,
        path=path(model, zeros, ones, progress=progress),
        slider_path=path(model, zeros, ones, n_points=STEPS_OF_THE_INPUT_SLIDER, progress=progress),
        conditions=unless_refused("conditions", lambda: conditions(model)),
        slack=slack,
        moved_weight=moved,
        moved_circuits=None if moved is None else _circuits_of(moved, circuit, progress),
        subcircuits=unless_refused("subcircuits", find_few_subcircuits),
        left_out=left_out,
    )


def _require_small(model: HookedMLP) -> None:
    """Refuse a larger network, in which every weight or set of edges would take too long."""
    n_decisions = 2**model.cfg.d_in * model.cfg.n_decisions
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    if max(n_decisions, n_weights) > MOST_WEIGHTS_EXAMINED:
        raise XorMiError(
            f"the network has {n_weights:,} weights and {n_decisions:,} decisions; a report "
            f"examines at most {MOST_WEIGHTS_EXAMINED} of each"
        )


def _require_few_inputs(model: HookedMLP) -> None:
    """Refuse, before any work, a network with too many pairs of inputs."""
    if model.cfg.d_in > MOST_INPUTS_DRAWN:
        n_pairs = 2**model.cfg.d_in * (2**model.cfg.d_in - 1)
        raise XorMiError(
            f"the network has {model.cfg.d_in} inputs, with {n_pairs:,} pairs to patch and draw; "
            f"a report is written for at most {MOST_INPUTS_DRAWN} inputs: call "
            "patch_sweep(model, pairs), identify_circuit(model) and plots on the pairs you want"
        )


def _scores(model: HookedMLP) -> dict[str, Metric]:
    """The score of each decision as a metric, by name."""
    name = model.rule.score_name
    if model.cfg.n_decisions == 1:
        return {name: partial(score, rule=model.rule)}
    return {
        f"{name}_{unit.name}": partial(score, output=k, rule=model.rule)
        for k, unit in enumerate(model.decision_units)
    }


def _circuits_of(moved: WeightSweep, circuit: Circuit, progress: bool) -> tuple[Circuit, ...]:
    """The circuit at each step of a moved weight, without its evidence.

    Args:
        circuit: the circuit of the unmoved network; the others get the same requirements.
    """
    required = partial(
        identify_circuit,
        require=circuit.require,
        min_margin=circuit.min_margin,
        with_evidence=False,
        progress=False,
    )
    bar = progress_bar(moved.models, doing="circuits", unit="step", progress=progress)
    return tuple(required(model) for model in bar)


def require_writable(directory: PathLike, *, overwrite: bool = False) -> Path:
    """Make the folder and try to write in it, before the work that `write_report` does.

    Raises:
        XorMiError: the folder cannot be made or written to, or holds files that xor-mi did not
            write.
    """
    return saving.require_writable(directory, REPORT_FILES, overwrite=overwrite)


def write_report(
    model: HookedMLP | NetworkFindings | PathLike,
    directory: PathLike | None = None,
    *,
    target: Target | None = None,
    training: TrainResult | None = None,
    networks: pd.DataFrame | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Analyse a network at every station and write the results into a folder.

    Returns the path of report.html.

    Args:
        model: a `HookedMLP`, a folder in which one was saved, or the result of `find_out`.
        directory: the folder; by default the one the model was read from.
        target: what the network should compute, as in `find_out`. The result of `find_out` already
            has a target.
        training: how the network was trained, for the report.
        networks: a census of retrained networks, for the section on how common the circuit is.
        overwrite: replace files that have names of the report but were not written by xor-mi, and
            write beside foreign files. Nothing else is touched.
        progress: show a bar if a station takes over half a second.

    Raises:
        XorMiError: no model, a folder without a model, no folder to write to, a folder that holds
            files that xor-mi did not write, or a target of another width.
    """
    _require_train_result(training)
    _require_census(networks)
    if isinstance(model, NetworkFindings) and target is not None:
        raise XorMiError(
            "target= was given with findings, which already have a target; give it to find_out "
            "instead"
        )
    if isinstance(model, (str, Path)):
        directory = model if directory is None else directory
        model = HookedMLP.from_pretrained(model)
    elif directory is None:
        raise XorMiError(
            "directory is not given, and the model was not read from a folder; give one, such as "
            "write_report(model, 'my-report')"
        )
    folder = require_writable(directory, overwrite=overwrite)
    if isinstance(model, NetworkFindings):
        findings = model
    else:
        require_hooked_mlp(model, "a report")
        findings = find_out(model, target=target, progress=progress)
    # everything is made before anything is written, so that an error leaves no half of a report
    numbers = to_dict(findings, training=training, networks=networks)
    page = render_report(findings, figures_of(findings), training=training, networks=networks)
    model = findings.model
    contents: dict[str, str | bytes] = {
        **saved_files(model.cfg, model.state_dict()),
        "report.json": json.dumps(numbers, indent=1, allow_nan=False) + "\n",
        "circuit.json": findings.circuit.to_json(),
        "patching.csv": findings.sweep.frame().to_csv(index=False, lineterminator="\n"),
        "report.html": page,
    }
    # checked again: minutes may have passed
    require_writable(folder, overwrite=overwrite)
    write_files({folder / name: content for name, content in contents.items()})
    return folder / "report.html"


def _require_train_result(training: object) -> None:
    if training is not None:
        require_kind("training", training, TrainResult, give="what train returns")


def _require_census(networks: object) -> None:
    if networks is not None:
        require_kind("networks", networks, pd.DataFrame, give="a census of retrained networks")


# report.json


def schema() -> Json:
    """The JSON Schema of report.json."""
    return json.loads(files("xor_mi").joinpath("report.schema.json").read_text(encoding="utf-8"))


def to_dict(
    findings: NetworkFindings,
    *,
    training: TrainResult | None = None,
    networks: pd.DataFrame | None = None,
) -> Json:
    """Every number of the report as JSON-ready values; undefined and infinite numbers are null."""
    require_kind("findings", findings, NetworkFindings, give="what find_out returns")
    _require_train_result(training)
    _require_census(networks)
    model, comparison, difference = findings.model, findings.comparison, findings.difference
    return {
        "version": VERSION,
        "schema": SCHEMA,
        "layer_sizes": list(model.layer_sizes),
        **_conventions_dict(model.cfg),
        **_weights_dict(model),
        "training": None if training is None else str(training),
        "circuit": findings.circuit.to_dict(),
        "diagnosis": _diagnosis_dict(findings.circuit),
        "activations": _records(findings.activations.frame()),
        "contributions": _records(findings.contributions.frame()),
        "comparison": {
            "a": comparison.a,
            "b": comparison.b,
            "values": _records(comparison.frame()),
        },
        "difference": {
            "edges": _records(difference.edges),
            "units": _records(difference.units),
            "leftover": difference.leftover,
        },
        "patching": _records(findings.sweep.frame()),
        "ablation": _records(findings.ablation.frame()),
        "path": _path_dict(findings.path, findings.slider_path),
        "conditions": _lines_if_any(findings.conditions),
        "slack": _lines_if_any(findings.slack),
        "moved_weight": _moved_weight_list(findings),
        "subcircuits": _subcircuits_dict(findings.subcircuits),
        "population": _population_dict(networks),
        "left_out": findings.left_out,
    }


def _conventions_dict(cfg: HookedMLPConfig) -> Json:
    """The network's conventions. `act_fn` is for networks with one activation in all layers."""
    return {
        "act_fn": cfg.act_fns[0] if len(set(cfg.act_fns)) == 1 else None,
        "act_fns": list(cfg.act_fns),
        "out_act_fn": cfg.out_act_fn,
        "step_at_zero": cfg.step_at_zero,
        "input_levels": list(cfg.input_levels),
        "decision_rule": cfg.decision_rule,
        "threshold": cfg.threshold if cfg.decision_rule == "threshold" else None,
    }


def _weights_dict(model: HookedMLP) -> Json:
    """Each layer's weights, and the direct weights from the inputs to the outputs."""
    layers = [(weight.tolist(), bias.tolist()) for weight, bias in model.float64_layers()]
    width = model.cfg.d_hidden[-1]
    readout, bias = layers.pop()
    own, direct = [row[:width] for row in readout], [row[width:] for row in readout]
    layers.append((own, bias))
    return {
        "weights": [{"weight": weight, "bias": bias} for weight, bias in layers],
        "direct": direct if model.cfg.direct else None,
    }


def _diagnosis_dict(circuit: Circuit) -> Json | None:
    """What a network that does not compute its target does instead, and what stops it."""
    diagnosis = circuit.diagnosis
    if diagnosis is None:
        return None
    shortfall = diagnosis.shortfall
    return {
        "text": str(diagnosis),
        "rows": _truth_table(diagnosis),
        "changes_of_reading": _records(diagnosis.frame()),
        "in_the_way": None if shortfall is None else list(shortfall.sentences),
    }


def _truth_table(diagnosis: Diagnosis) -> list[Json]:
    """Row by row: the outputs, the decisions and the target."""
    target = zip(*diagnosis.target.tables, strict=True)
    wrong = diagnosis.rows_wrong
    return [
        {
            "row": row,
            "outputs": list(outputs),
            "decided": [None if bit == UNDECIDED else bit for bit in decided],
            "target": list(wanted),
            "right": row not in wrong,
        }
        for row, outputs, decided, wanted in zip(
            diagnosis.rows, diagnosis.outputs, diagnosis.decided, target, strict=True
        )
    ]


def _path_dict(walk: InputPath, slider_path: InputPath) -> Json:
    return {
        "points": _records(walk.frame()),
        "kinks": [_kink_dict(kink) for kink in walk.kinks],
        "changes": [asdict(change) | {"input": list(change.input)} for change in walk.changes],
        "slider": [asdict(frame) for frame in plots.path_frames(slider_path)],
    }


def _kink_dict(kink: Kink) -> Json:
    return {
        "t": kink.t,
        "input": list(kink.input),
        "units": [unit.name for unit in kink.units],
    }


def _moved_weight_list(findings: NetworkFindings) -> list[Json] | None:
    if findings.moved_weight is None:
        return None
    frames = plots.weight_frames(findings.moved_weight, findings.moved_circuits)
    return [asdict(frame) for frame in frames]


def _subcircuits_dict(search: SubcircuitSearch | None) -> Json | None:
    if search is None:
        return None
    return {
        "total": search.total,
        "n_perfect": search.n_perfect,
        "minimal": [_names_of_edges(subcircuit) for subcircuit in search.minimal],
    }


def _names_of_edges(subcircuit: Subcircuit) -> list[str]:
    return [edge.name for edge in subcircuit.edges]


def _population_dict(networks: pd.DataFrame | None) -> Json | None:
    if networks is None:
        return None
    shares = _shares(networks)
    return {
        "n_networks": len(networks),
        "n_solved": int(networks["solved"].sum()),
        "engine": networks.attrs.get(ENGINE),
        "shares": [] if shares is None else _records(shares),
    }


def _shares(networks: pd.DataFrame) -> pd.DataFrame | None:
    return gate_shares(networks) if networks["solved"].any() else None


def _lines_if_any(finding: Finding | None) -> list[Json] | None:
    """The lines of a finding's table; None without a finding."""
    return None if finding is None else _records(finding.frame())


def _records(frame: pd.DataFrame) -> list[Json]:
    # not with `to_json`, which cuts numbers after the 15th decimal
    lines = frame.to_dict("records")
    return [{str(name): _or_null(value) for name, value in line.items()} for line in lines]


def _or_null(value: object) -> object:
    """A value for JSON, which has no NaN and no infinity: both become null."""
    if value is pd.NA or (isinstance(value, float) and not isfinite(value)):
        return None
    return value


# report.html


def render_report(
    findings: NetworkFindings,
    figures: Figures,
    *,
    training: TrainResult | None = None,
    networks: pd.DataFrame | None = None,
) -> str:
    """The page as text: one file, nothing loaded from anywhere, every inserted text escaped.

    plotly.js is contained in it.
    """
    require_kind("findings", findings, NetworkFindings, give="what find_out returns")
    _require_train_result(training)
    _require_census(networks)
    require_kind("figures", figures, dict, give="what figures_of returns")
    for name, figure in figures.items():
        require_kind(f"figure {name!r}", figure, go.Figure, give="what figures_of returns")
    circuit, model = findings.circuit, findings.model
    # a new dict, so that the caller's does not change
    figures = figures | _shares_figure(circuit, networks)
    drawn, steps = PageFigures(), _steps_of(findings)
    in_page: dict[str, Markup] = {}
    for name, figure in figures.items():
        printed = _step_on_paper(findings) if name == "input_slider" else None
        in_page[name] = drawn.place(name, figure, steps=steps.get(name, ""), printed=printed)
    bench = Markup()
    if _is_on_a_bench(model):
        bench = bench_html(model, circuit, with_module=False)
        drawn.add_module(f"{module_text()}\nmountAll();")
    common = None if networks is None else how_common(circuit, networks)
    left_out = _left_out_lines(findings.left_out)
    return render_page(
        "report.html.jinja",
        drawn,
        mark=SCHEMA,
        circuit=circuit,
        bench=bench,
        headline=_headline(circuit),
        reason=_reason(circuit),
        shape="-".join(map(str, model.layer_sizes)),
        sections=_sections(findings, has_common=common is not None),
        training=training,
        diagnosis=circuit.diagnosis,
        truth_table=_truth_table_lines(findings),
        output_heading=_output_heading(model),
        output_means=Markup(OUTPUT_MEANS[model.rule.outputs]),
        threshold=None if model.rule.name == "argmax" else model.rule.cut,
        comparison=findings.comparison,
        compared=_compared(findings),
        comparison_table=_comparison_lines(model, findings.comparison),
        read_as=_read_as(model.cfg),
        weights=_weight_lines(model),
        most_weights_open=MOST_WEIGHTS_OPEN,
        is_argmax=model.cfg.decision_rule == "argmax",
        n_decisions=model.cfg.n_decisions,
        score=in_words(model.rule.score_name),
        left_out=left_out,
        walked=_walked(findings),
        subcircuits_said=_subcircuits_said(findings.subcircuits),
        none_perfect=_none_perfect(findings.subcircuits),
        units=circuit.units,
        evidence=[_evidence_cells(one) for one in circuit.evidence],
        counted=_how_many_circuits(circuit),
        proved=_how_far_proved(circuit),
        idle=_idle_lines(circuit),
        copies=[_listed([unit.name for unit in units], "and") for units in circuit.copies],
        contradiction=_contradiction_cells(circuit.contradiction),
        circuits=[_circuit_cells(one) for one in circuit.circuits[:MOST_CIRCUITS_LISTED]],
        differences=circuit.differences[:MOST_CIRCUITS_LISTED],
        number=number_text,
        common=common,
        notes={unit.note for unit in circuit.units if unit.constant},
        conditions=_condition_lines(findings.conditions),
        moves_nothing=_moves_nothing(findings),
        figures=in_page,
    )


def _shares_figure(circuit: Circuit, networks: pd.DataFrame | None) -> Figures:
    """How common each set of hidden gates is; nothing where nobody counted, or none solved."""
    if networks is None or not networks["solved"].any():
        return {}
    # a network without a proved circuit has no gates in the shares
    marked = circuit.gate_set if circuit.passing else None
    return {"shares": plots.gate_shares_figure(networks, marked=marked)}


def _headline(circuit: Circuit) -> str:
    """The verdict in words; for a network that computes something else, also what it does."""
    text = HEADLINES[circuit.verdict].format(target=circuit.target.name)
    diagnosis = circuit.diagnosis
    if diagnosis is None:
        return text
    said = f"{text}: {_what_instead(diagnosis)}"
    by_rounding = 0 if diagnosis.computes == diagnosis.target else len(diagnosis.rows_by_rounding)
    share = rounding_share(by_rounding, len(diagnosis.rows))
    return f"{said}, {share}" if by_rounding else said


def _what_instead(diagnosis: Diagnosis) -> str:
    """What a network does that does not compute its target."""
    computes = diagnosis.computes
    if computes is None:
        undecided = [
            row
            for row, bits in zip(diagnosis.rows, diagnosis.decided, strict=True)
            if UNDECIDED in bits
        ]
        return f"it is undecided on {_listed(undecided, 'and')}"
    constants = {table[0] for table in computes.tables if len(set(table)) == 1}
    if len(constants) == 1 and all(len(set(table)) == 1 for table in computes.tables):
        return f"it decides {constants.pop()} on every input"
    if computes == diagnosis.target:
        return "on some inputs it is right only by rounding"
    return f"it computes {computes.name}"


def _reason(circuit: Circuit) -> str:
    """The facts that decided the verdict, without those that the page of a wrong network repeats.

    What it computes stands in the headline, its outputs in the table, and what would help in the
    section on what went wrong.
    """
    if circuit.diagnosis is None:
        return circuit.reason
    diagnosis = circuit.diagnosis
    said = diagnosis.failure
    if diagnosis.rows_by_rounding:
        rows = _listed(diagnosis.rows_by_rounding, "and")
        verb = "is" if len(diagnosis.rows_by_rounding) == 1 else "are"
        said = f"{said}. Only by rounding {verb} decided {rows}"
    return ". ".join([said, *circuit.remarks])


def _sections(findings: NetworkFindings, *, has_common: bool) -> dict[str, str]:
    """Anchor of every section -> its title; empty sections are left out."""
    circuit, comparison = findings.circuit, findings.comparison
    is_wrong, moves = circuit.diagnosis is not None, not _is_constant(findings)
    has_perfect = findings.subcircuits is not None and findings.subcircuits.n_perfect > 0
    every = {
        "bench": ("Try it", _is_on_a_bench(findings.model)),
        "wrong": ("What went wrong", is_wrong),
        "network": ("The network", True),
        "circuit": ("The circuit", circuit.primary is not None or not is_wrong),
        "activations": ("Activations", True),
        "compare": (f"{comparison.a} and {comparison.b}", moves),
        "patch": ("Patching and ablation", moves),
        "gradual": ("The input modified gradually", moves),
        "conditions": ("Conditions on the weights", findings.conditions is not None),
        "subcircuits": ("Subcircuits", has_perfect),
        "common": ("How common is this?", has_common),
        "left-out": ("What was left out", bool(findings.left_out)),
    }
    return {anchor: title for anchor, (title, is_there) in every.items() if is_there}


def _is_on_a_bench(model: HookedMLP) -> bool:
    """Whether the network is small enough for the bench."""
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    return model.cfg.d_in <= MOST_INPUTS and n_weights <= MOST_WEIGHTS


def _is_constant(findings: NetworkFindings) -> bool:
    """Whether the outputs are the same on every input, up to rounding of the largest term."""
    along = findings.path.outputs.double()
    on_rows = torch.tensor(diagnose(findings.model).outputs, dtype=torch.float64)
    largest = findings.contributions.frame()["term"].abs().max()
    spread = max(_spread(along), _spread(on_rows))
    return spread <= ROUNDING * largest


def _spread(outputs: Tensor) -> float:
    """The largest difference between values of one output, [row, output]."""
    return (outputs.amax(dim=0) - outputs.amin(dim=0)).max().item()


def _truth_table_lines(findings: NetworkFindings) -> list[Json]:
    """The truth table as the page writes it, even if the network is right."""
    diagnosis = diagnose(findings.model, findings.circuit.target)
    lines = _truth_table(diagnosis)
    by_rounding = diagnosis.rows_by_rounding
    for line, outputs in zip(lines, diagnosis.outputs, strict=True):
        line["outputs"] = [
            number_text(value, decimals=3, scale=diagnosis.scale) for value in outputs
        ]
        line["by_rounding"] = line["row"] in by_rounding
    return lines


def _output_heading(model: HookedMLP) -> str:
    """'y0, a logit': the outputs, with their kind if it has a name."""
    names = ", ".join(f"y{k}" for k in range(model.layer_sizes[-1]))
    kind = model.rule.outputs
    return names if kind == "output" else f"{names} ({kind})"


def _compared(findings: NetworkFindings) -> str:
    """The decisions on the two inputs, and the hidden units that differ between them."""
    comparison = findings.comparison
    on_a, on_b = map(_decided_text, (comparison.decision_a, comparison.decision_b))
    if comparison.same_decision:
        said = f"On {comparison.a} and on {comparison.b} the network decides {on_a}."
    else:
        said = f"On {comparison.a} the network decides {on_a}, on {comparison.b} {on_b}."
    frame = comparison.frame()
    hidden = {unit.name for unit in findings.model.units}
    apart = frame[~frame["same"] & frame["unit"].isin(hidden)]
    names = list(dict.fromkeys(apart["unit"]))
    if not names:
        return f"{said} No hidden value tells them apart."
    after = set(apart["unit"][apart["hook"].map(stage_of_hook) == "post"])
    passed = [name for name in names if name in after]
    if not passed:
        return (
            f"{said} Inside, only sums before an activation differ, and the activation removes "
            "the difference."
        )
    verb = "tells" if len(passed) == 1 else "tell"
    return f"{said} Inside {_listed(passed, 'and')} {verb} them apart."


def _decided_text(bits: Sequence[int]) -> str:
    """'0', '0, 1', 'nothing'."""
    return ", ".join("nothing" if bit == UNDECIDED else str(bit) for bit in bits)


def _comparison_lines(model: HookedMLP, comparison: Comparison) -> list[dict[str, str]]:
    """Every value on both inputs, and its change, written on the scale of its hook point."""
    frame = comparison.frame()
    sizes = frame.groupby("hook")[["value_a", "value_b"]].agg(lambda values: values.abs().max())
    of_hook = _scales_of_hooks(model, list(dict.fromkeys(frame["hook"])))
    lines: list[dict[str, str]] = []
    for one in frame.to_dict("records"):
        rounding = ROUNDING * of_hook[one["hook"]]
        for name in ("value_a", "value_b", "difference"):
            one[name] = 0.0 if abs(one[name]) < rounding else one[name]
        largest = float(sizes.loc[one["hook"]].max())
        largest = 0.0 if largest < rounding else largest
        stage = {"pre": " before activation", "post": " after activation"}
        place = f"{one['unit']}{stage.get(stage_of_hook(str(one['hook'])), '')}"
        numbers = {
            "a": text_beside(float(one["value_a"]), largest=largest),
            "b": text_beside(float(one["value_b"]), largest=largest),
            "change": text_beside(float(one["difference"]), largest=largest, signed=True),
        }
        lines.append({"place": place, **numbers})
    return lines


def _scales_of_hooks(model: HookedMLP, hooks: Sequence[str]) -> dict[str, float]:
    """The size of the terms of the values at each hook point; 0 for the inputs."""
    layers = forward_float64(model, model.rows())
    scales = [0.0]
    # for each layer its sums, then its values
    for of_layer in zip(own_scales(model, layers), own_value_scales(model, layers), strict=True):
        scales += of_layer
    # an output without an activation has its sums as values
    return dict(zip(hooks, scales, strict=False))


def _weight_lines(model: HookedMLP) -> list[dict[str, str]]:
    """Every weight and bias: its symbol, the units it joins, its parameter and its value."""
    layers = model.float64_layers()
    lines: list[dict[str, str]] = []
    for symbol, entry in zip(weight_symbols(model), entries(model), strict=True):
        weight, bias = layers[entry.layer]
        is_readout = entry.layer == len(layers) - 1
        unit = f"y{entry.unit}" if is_readout else f"h{entry.layer}.{entry.unit}"
        if entry.source is None:
            joins, value = f"bias of {unit}", bias[entry.unit].item()
        else:
            joins = f"{model.sources[entry.layer][entry.source].name} → {unit}"
            value = weight[entry.unit, entry.source].item()
        written = parameter_text(value)
        line = {"symbol": symbol, "joins": joins, "parameter": entry.name, "value": written}
        lines.append(line)
    return lines


def _condition_lines(conditions: Conditions | None) -> list[dict[str, str]]:
    """The condition of each row on the weights and its slack, as cells of a table."""
    if conditions is None:
        return []
    lines: list[dict[str, str]] = []
    for one in conditions:
        holds = "holds" if one.satisfied else "fails"
        is_rounding = abs(one.slack) < ROUNDING * conditions.scale
        by = "rounding" if is_rounding else number_text(abs(one.slack))
        said = f"{holds} by {by}" if one.slack else "fails: exactly on the threshold"
        decision = f"{one.row} {one.place}" if conditions.target.n_outputs > 1 else one.row
        lines.append({"row": decision, "condition": one.inequality, "slack": said})
    return lines


def _moves_nothing(findings: NetworkFindings) -> str:
    """A sentence on why no moving weight is shown; "" if one is."""
    if findings.slack is None or findings.slack.smallest.slack < inf:
        return ""
    but = " except by rounding" if findings.slack.n_left_out else ""
    return f"No weight moved alone changes a decision{but}, so none is shown moving."


def _walked(findings: NetworkFindings) -> Markup:
    """The decision changes and the kinks on the straight path between the two inputs."""
    walk, comparison = findings.path, findings.comparison
    said = Markup(
        "Straight from {a}, where t is 0, to {b}, where it is 1"
        '<span class="screen">; move the slider</span>.'
    ).format(a=comparison.a, b=comparison.b)
    several = findings.model.cfg.n_decisions > 1
    changes: list[str] = []
    for change in walk.changes:
        of = f" of y{change.output}" if several else ""
        before, after = map(decision_text, (change.before, change.after))
        changes.append(f"{before} to {after}{of} at t = {change.place}")
    if changes:
        said += f" The decision changes from {_listed(changes, 'and')}."
    else:
        said += " No decision changes on the way."
    kinks = [
        f"{_listed([unit.name for unit in kink.units], 'and')} at {number_text(kink.t, scale=1.0)}"
        for kink in walk.kinks[:MOST_KINKS_NAMED]
    ]
    n_more = len(walk.kinks) - len(kinks)
    if n_more:
        kinks.append(f"{n_more} more")
    if not kinks:
        return said
    text = Markup(
        "{said} The output bends at a <dfn>kink</dfn>, where a unit turns on or off: {kinks}."
    )
    return text.format(said=said, kinks=_listed(kinks, "and"))


def _step_on_paper(findings: NetworkFindings) -> int | None:
    """The point of the slider's path that is printed: where the decision first changes.

    None if it changes nowhere between the two inputs, up to rounding.
    """
    changes = [change.t for change in findings.path.changes]
    inside = [t for t in changes if ROUNDING < t < 1 - ROUNDING]
    if not inside:
        return None
    return int((findings.slider_path.t - inside[0]).abs().argmin())


def _subcircuits_said(search: SubcircuitSearch | None) -> str:
    """How many subcircuits decide every row right."""
    if search is None:
        return ""
    is_one = search.total == 1
    all_tried = f"All {search.total:,} subcircuits were tried"
    if is_one:
        all_tried = "There is one subcircuit, the whole network"
    if search.n_perfect == 1:
        (only,) = search.minimal
        if len(only.edges) == max(search.n_by_edges):
            if is_one:
                return f"{all_tried}: no edge can be removed."
            return (
                f"{all_tried}: only the whole network decides every input right; no edge can be "
                "removed."
            )
        edges = _listed(_names_of_edges(only), "and")
        return f"{all_tried}: only one decides every input right, that of {edges}."
    verb = "is" if len(search.minimal) == 1 else "are"
    return (
        f"{all_tried}: {search.n_perfect:,} decide every input right, {len(search.minimal):,} of "
        f"them {verb} minimal."
    )


def _none_perfect(search: SubcircuitSearch | None) -> str:
    """A sentence that removing edges does not help either."""
    if search is None or search.n_perfect:
        return ""
    if search.total == 1:
        return "No edge can be removed: its one set of edges is the whole network."
    return f"None of its {search.total:,} sets of edges decides every input right either."


def _evidence_cells(one: Evidence) -> dict[str, object]:
    """A claim as cells of a table."""
    of = f" of {one.n:,}"
    return {
        "claim": one.claim,
        "holds": one.holds,
        "effect": f"{one.effect:,}{of}" if isinstance(one.effect, int) else number_text(one.effect),
        "control": f"{one.control:,}" if isinstance(one.control, int) else number_text(one.control),
        "counted": one.counted,
        "intervention": one.intervention,
    }


def _steps_of(findings: NetworkFindings) -> dict[str, str]:
    """Figure with a slider -> the label of the slider."""
    said = {
        "input_slider": f"How far from {findings.comparison.a} to {findings.comparison.b}",
        "weight_slider": "The value of the weight",
    }
    if findings.moved_weight is not None:
        names = {parameter: symbol for symbol, parameter in weight_symbols(findings.model).items()}
        parameter = findings.moved_weight.parameter
        said["weight_slider"] = f"The value of {names[parameter]}, {parameter}"
    return said


def _read_as(cfg: HookedMLPConfig) -> list[str]:
    """The conventions of the network, sentence by sentence."""
    low, high = cfg.input_levels
    said = [f"An input of {low:g} is bit 0, {high:g} is bit 1."]
    if len(set(cfg.act_fns)) == 1:
        said.append(f"Hidden units: {cfg.act_fns[0]}.")
    else:
        of_layers = [f"{name} in layer {layer}" for layer, name in enumerate(cfg.act_fns)]
        said.append(f"Hidden units: {', '.join(of_layers)}.")
    if cfg.out_act_fn != "identity":
        said.append(f"Output: {cfg.out_act_fn}.")
    if {"heaviside", "sign"}.intersection((*cfg.act_fns, cfg.out_act_fn)):
        said.append(f"A step at exactly zero is {'on' if cfg.step_at_zero else 'off'}.")
    if cfg.direct:
        said.append("The inputs are also connected directly to the outputs.")
    if cfg.decision_rule == "threshold":
        said.append(f"Decided 1: an output above {cfg.threshold:g}.")
    elif cfg.n_decisions == 1:
        said.append("Decided 1: class 1 wins, that is, y1 is larger than y0.")
    else:
        said.append("Decided 1: the output that is larger than all others.")
    for name in dict.fromkeys((*cfg.act_fns, cfg.out_act_fn)):
        if name in ACTIVATION_MEANS:
            said.append(f"{name}(s) is {ACTIVATION_MEANS[name]}.")
    return said


def _how_many_circuits(circuit: Circuit) -> str:
    """How many circuits survive, and how many of them count."""
    n_circuits, n_passing = len(circuit.circuits), len(circuit.passing)
    survive = "1 circuit survives" if n_circuits == 1 else f"{n_circuits} circuits survive"
    text = f"{survive} two-level substitution, with margins of at least {circuit.min_margin:g}"
    if circuit.require == "substitution":
        return f"{text}: a circuit needs no more to count."
    how_many = f"{n_passing or 'none'} of them" if n_circuits > 1 else "it" if n_passing else "none"
    verb = "are" if n_passing > 1 else "is"
    return f"{text}; {how_many} {verb} proved by {circuit.require} interchange, which is required."


def _how_far_proved(circuit: Circuit) -> str:
    """The level to which the first circuit is proved, if it differs from what was required."""
    if circuit.proof_level == circuit.require != "substitution":
        return ""
    which = "It" if len(circuit.circuits) == 1 else "The first of them"
    means = {
        "substitution": (
            "two-level substitution only: some single interchange differs from its prediction"
        ),
        "single": "single interchange: some joint interchange differs from its prediction",
        "joint": "joint interchange, the highest level",
        None: "",
    }
    return f"{which} is proved by {means[circuit.proof_level]}."


def _idle_lines(circuit: Circuit) -> list[str]:
    """'h0.1: x0 or AND': the units on which no output depends, with their possible gates.

    Constant units are left out, because they have only one reading.
    """
    return [
        f"{unit.place.name}: {_listed(unit.could_be, 'or')}"
        for unit in circuit.units
        if unit.idle and not unit.constant
    ]


def _contradiction_cells(facts: Contradiction | None) -> dict[str, str] | None:
    """An interchange that contradicts the circuit, as cells of a table."""
    if facts is None:
        return None
    taken = zip(facts.variables, facts.sources, strict=True)
    return {
        "interchange": f"{facts.kind}, layer {facts.layer}",
        "units set": ", ".join(f"{name_of_set(units)} as on {source}" for units, source in taken),
        "in the run on": facts.base or "any input",
        "the circuit predicts": ", ".join(map(str, facts.predicted)),
        "the network decides": ", ".join(
            "nothing" if bit < 0 else str(bit) for bit in facts.decided
        ),
    }


def _circuit_cells(one: CandidateCircuit) -> dict[str, str]:
    """A circuit as cells of a table."""
    named = zip(one.live, one.gates, strict=True)
    smallest = one.smallest_margin
    margin = number_text(smallest) if isfinite(smallest) else "no live unit"
    return {
        "formula": one.formula,
        "live units": ", ".join(f"{unit.name} {gate}" for unit, gate in named) or "none",
        "proved by": one.proof_level,
        "single interchanges": _as_predicted(one.single),
        "joint, layer by layer": "; ".join(map(_as_predicted, one.joint)),
        "smallest margin": margin,
    }


def _as_predicted(count: InterchangeCount) -> str:
    """'14 of 16', with a note if it is a sample."""
    sample = "" if count.exhaustive else f" (a seeded sample of {count.n_all})"
    return f"{count.n_right} of {count.n}{sample}"


def _listed(names: Sequence[str], word: str) -> str:
    """'a', 'a or b', 'a, b or c'."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def _left_out_lines(left_out: dict[str, str]) -> list[str]:
    """'conditions, slack: why', each reason once."""
    sections: dict[str, list[str]] = {}
    for section, why in left_out.items():
        sections.setdefault(why, []).append(in_words(section))
    return [f"{', '.join(names)}: {why}" for why, names in sections.items()]


def figures_of(findings: NetworkFindings) -> Figures:
    """Every figure of the page, without those that do not apply to this network."""
    require_kind("findings", findings, NetworkFindings, give="what find_out returns")
    circuit, model = findings.circuit, findings.model
    figures: Figures = {}
    # for a network without gates the bench already has the diagram
    if circuit.primary is not None or not _is_on_a_bench(model):
        figures["network"] = plots.network_diagram(model, circuit)
    figures |= {
        "activations": plots.figure(findings.activations),
        "contributions": plots.figure(findings.contributions),
        "difference": plots.figure(findings.difference),
        "patching": plots.figure(findings.sweep),
        "ablation": plots.figure(findings.ablation),
        "input_slider": plots.input_slider(findings.slider_path),
    }
    if circuit.proof is not None:
        figures["interchange"] = plots.interchange_matrix(circuit)
    if model.cfg.d_in == 2:
        figures["plane"] = plots.input_plane(model, path=findings.path)
    if findings.slack is not None:
        figures["slack"] = plots.figure(findings.slack)
    if findings.moved_weight is not None:
        moved, circuits = findings.moved_weight, findings.moved_circuits
        figures["weight_slider"] = plots.weight_slider(moved, circuits)
    if findings.subcircuits is not None and findings.subcircuits.n_perfect > 1:
        figures["lattice"] = plots.figure(findings.subcircuits)
    return figures


def how_common(circuit: Circuit, networks: pd.DataFrame) -> str:
    """One sentence: how many of the networks trained from many seeds have the same gates.

    And how many of them solved the task, and which engine trained them, if the census knows:
    another engine rounds differently, and a few networks end elsewhere. Where this network did not
    solve the task, which seeds do.
    """
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    require_kind("networks", networks, pd.DataFrame, give="a census of retrained networks")
    if networks.empty:
        raise XorMiError("networks has no lines; give a census of at least one network")
    solved = networks[networks["solved"]]
    first_seed, last_seed = networks["seed"].min(), networks["seed"].max()
    seeds = f"seed {first_seed}" if len(networks) == 1 else f"seeds {first_seed} to {last_seed}"
    engine = networks.attrs.get(ENGINE)
    by = f" (by the engine {engine}; another rounds differently)" if engine else ""
    text = (
        f"Of {count_text(len(networks), 'network')} trained in the same way from {seeds}{by}, "
        f"{len(solved):,} solved {circuit.target.name}"
    )
    if circuit.verdict == "not_computing" and len(solved):
        first = list(map(str, solved["seed"].head(SEEDS_NAMED)))
        which = "the first seeds that do are" if len(first) > 1 else "a seed that does is"
        return f"{text}; {which} {_listed(first, 'and')}."
    # the shares have no gates of networks without a proved circuit, so such a network is not
    # compared
    if not circuit.passing or solved.empty:
        return f"{text}."
    shares = gate_shares(networks)
    same = shares[shares["gates"] == circuit.gate_set]
    if same.empty:
        return f"{text}; none of these has the hidden gates {circuit.gate_set}."
    row = same.iloc[0]
    share, low, high = (100 * row[column] for column in ("share", "ci_low", "ci_high"))
    interval = f"{share:.0f}%, 95% interval {low:.0f} to {high:.0f}%"
    return (
        f"{text}; {row['n_networks']} of these ({interval}) "
        f"have the hidden gates {circuit.gate_set}, as this one{_in_the_family(circuit, solved)}."
    )


def _in_the_family(circuit: Circuit, solved: pd.DataFrame) -> str:
    """How many of the solved networks have the circuit's family; "" if no text of it is found."""
    try:
        family = circuit.family
    except XorMiError:  # too many orders of interchangeable units
        return ""
    return f", and {int((counted_as(solved) == family).sum())} its family, {family}"
