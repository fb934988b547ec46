"""a transformer of the zoo -> what was found in it, as tables; and the tables back from their file.

They say where the bits meet, which head moves which of them, what each neuron separates, and
whether the transformer computes by the algorithm "either and not both"."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from xor_mi.errors import XorMiError
from xor_mi.gate_scan import scan_gates
from xor_mi.graph import Site
from xor_mi.interventions import (
    InterchangeAccuracy,
    PatchSweep,
    SiteKind,
    ablation_sweep,
    attribute,
    interchange_accuracy,
    patch_sweep,
    sites,
)
from xor_mi.model._layer_sites import PLACES_IN_A_BLOCK
from xor_mi.reading import read_json
from xor_mi.zoo._transformers import DEAD, END, TransformerTask, folder_of, transformer_task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

FORMAT = "xor_mi.transformer_findings/1"
"""The format of findings.json."""
DIGITS = 6
"""Digits of stored numbers; another machine rounds the last ones differently."""
_NEXT_STEP = "install xor-mi again, or run python -m xor_mi.zoo._build"


def recorded_findings(name: str) -> dict[str, pd.DataFrame]:
    """What was found in a transformer of the zoo, recorded beside it.

    Tables by name:

    - "positions": what a patch at one position recovers, of the residual stream and of what
    attention writes into it, over all pairs of inputs that are decided differently;
    - "heads": the same for each head at "=", for pairs that differ in only one bit;
    - "attention": the weights of each head from "=" to a, b and "=", input by input;
    - "neurons": the gate that each neuron separates at "=", or "dead" if it never changes. A table
    "without neurons" has the logit difference with all neurons at their mean there (neither table
    exists for attention alone);
    - "interchange": how often the transformer decides as "either and not both" says, with the
      neurons, or the head, that stand for each variable taken from another input, and controls;
    - "direct": what each neuron, or head, adds to the logit difference directly (direct logit
      attribution), clean minus corrupted, of the pairs whose clean input is decided 1.

    Raises:
        XorMiError: an unknown name, or a damaged file.

    >>> heads = recorded_findings("xor-attention")["interchange"].head(2)
    >>> heads[["what", "sites", "n_agreed", "n_runs"]].to_string(index=False, header=False)
    'either L0 H0 at = 16 16\\n  both L0 H1 at = 16 16'
    """
    return tables_in(folder_of(name))


def tables_in(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables in a transformer's folder."""
    called = f"'{folder / 'findings.json'}' of the zoo"
    content = read_json(folder / "findings.json", called=called, next_step=_NEXT_STEP)
    tables = content.get("tables") if isinstance(content, dict) else None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise XorMiError(f"{called} is not of the format {FORMAT}; {_NEXT_STEP}")
    if not isinstance(tables, dict):
        raise XorMiError(f"{called} has no 'tables'; {_NEXT_STEP}")
    return {str(name): pd.DataFrame(lines) for name, lines in tables.items()}


def written(tables: dict[str, pd.DataFrame]) -> bytes:
    """The tables as findings.json has them, one line of a table per line."""
    parts = []
    for name, table in tables.items():
        rows: list[dict[str, Any]] = json.loads(
            table.to_json(orient="records", double_precision=DIGITS)
        )
        lines = ",\n".join(f"      {json.dumps(row)}" for row in rows)
        parts.append(f"    {json.dumps(name)}: [\n{lines}\n    ]")
    body = ",\n".join(parts)
    text = f'{{\n  "format": {json.dumps(FORMAT)},\n  "tables": {{\n{body}\n  }}\n}}\n'
    return text.encode()


def find(bridge: "TransformerBridge", gates: Sequence[str]) -> dict[str, pd.DataFrame]:
    """All tables of a transformer; see `recorded_findings`.

    Args:
        gates: the gate that each neuron stands for, or each head if there are no neurons.
    """
    task = transformer_task()
    heads, neurons = at_the_end(bridge, "head"), at_the_end(bridge, "neuron")
    tables = {"positions": _positions(bridge, task), "heads": _heads(bridge, task, heads)}
    tables["attention"] = _attention(bridge, task, heads)
    if neurons:
        tables["neurons"] = _neurons(bridge, task, neurons)
        tables["without neurons"] = _ablated(bridge, task, neurons)
    parts = neurons or heads
    tables["interchange"] = interchanged(bridge, task, parts, gates).frame()
    tables["direct"] = _direct(bridge, task, parts)
    return tables


def at_the_end(bridge: "TransformerBridge", kind: SiteKind) -> list[Site]:
    """Every head, or every neuron, at "="; an empty list if the transformer has none."""
    try:
        everywhere = sites(bridge, kind, inputs=transformer_task().inputs)
    except XorMiError:  # no MLP
        return []
    return [
        Site(site.hook_name, (END, site.index[-1]), label=f"{site.name} at =")
        for site in everywhere
    ]


def interchanged(
    bridge: "TransformerBridge", task: TransformerTask, parts: Sequence[Site], gates: Sequence[str]
) -> InterchangeAccuracy:
    """The algorithm, with OR and NOR parts standing for either, AND and NAND parts for both."""
    carrying: dict[str, list[Site]] = {"either": [], "both": []}
    for site, gate in zip(parts, gates, strict=True):
        if gate != DEAD:
            carrying["either" if gate in ("OR", "NOR") else "both"].append(site)
    return interchange_accuracy(
        bridge,
        task.algorithm,
        carrying,
        inputs=task.inputs,
        features=task.features,
        decide=task.decide,
        controls=True,
        progress=False,
    )


def _pairs(task: TransformerTask, *, differ_in: str = "") -> tuple[torch.Tensor, torch.Tensor]:
    """(clean, corrupted): all ordered pairs with different answers, or those that differ in this
    bit alone.
    """
    n = len(task.inputs)
    chosen = []
    for i in range(n):
        for j in range(n):
            differing = [name for name, bits in task.features.items() if bits[i] != bits[j]]
            is_asked = differing == [differ_in] if differ_in else len(differing) == 1
            if is_asked:
                chosen.append((i, j))
    clean, corrupted = zip(*chosen, strict=True)
    return task.inputs[list(clean)], task.inputs[list(corrupted)]


def _swept(
    bridge: "TransformerBridge", task: TransformerTask, places: Sequence[Site], *, bit: str = ""
) -> PatchSweep:
    return patch_sweep(
        bridge,
        _pairs(task, differ_in=bit),
        places,
        metrics={"logit_difference": task.metric},
        decide=task.decide,
        progress=False,
    )


def _summary(sweep: PatchSweep) -> pd.DataFrame:
    """One line per site, over all pairs."""
    groups = sweep.frame().groupby("site", sort=False)
    columns = {
        "recovered_fraction": groups["recovered_fraction"].mean(),
        "n_flips": groups["flips"].sum(),
        "n_pairs": groups.size(),
    }
    return pd.DataFrame(columns).reset_index()


def _positions(bridge: "TransformerBridge", task: TransformerTask) -> pd.DataFrame:
    places: list[Site] = []
    for place in ("stream_before", "attention", "stream_after"):
        hook = PLACES_IN_A_BLOCK[place]
        places += sites(bridge, "position", inputs=task.inputs, hook=hook)
    return _summary(_swept(bridge, task, places))


def _heads(
    bridge: "TransformerBridge", task: TransformerTask, heads: Sequence[Site]
) -> pd.DataFrame:
    tables = []
    for bit in task.features:
        table = _summary(_swept(bridge, task, heads, bit=bit))
        table.insert(1, "bit", bit)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _attention(
    bridge: "TransformerBridge", task: TransformerTask, heads: Sequence[Site]
) -> pd.DataFrame:
    (first, *_) = sites(bridge, "head", inputs=task.inputs, hook=PLACES_IN_A_BLOCK["pattern"])
    with torch.no_grad():
        _, cache = bridge.run_with_cache(task.inputs)
    pattern = cache[first.hook_name][:, :, END]  # [input, head, position]
    rows = []
    for number, head in enumerate(heads):
        for a, b, weights in zip(*task.features.values(), pattern[:, number], strict=True):
            to_a, to_b, to_end = weights.tolist()
            row = {"head": head.name, "a": int(a), "b": int(b)}
            rows.append(row | {"to_a": to_a, "to_b": to_b, "to_end": to_end})
    return pd.DataFrame(rows)


def _neurons(
    bridge: "TransformerBridge", task: TransformerTask, neurons: Sequence[Site]
) -> pd.DataFrame:
    scan = scan_gates(bridge, task.inputs, task.features, list(neurons), progress=False)
    frame = scan.frame()
    # a neuron that never changes has a line without a gate
    table = frame[frame["is_widest"] | frame["gate"].isna()]
    table = table.assign(site=[site.name for site in neurons], gate=table["gate"].fillna(DEAD))
    return table[["site", "gate", "margin"]].reset_index(drop=True)


def _ablated(
    bridge: "TransformerBridge", task: TransformerTask, neurons: Sequence[Site]
) -> pd.DataFrame:
    sweep = ablation_sweep(
        bridge,
        [tuple(neurons)],
        value="mean",
        rows=task.inputs,
        metrics={"logit_difference": task.metric},
        decide=task.decide,
        progress=False,
    )
    frame = sweep.frame()
    names = ["before_logit_difference", "after_logit_difference", "flips"]
    table = frame[names].reset_index(drop=True)
    table.insert(0, "input", ["".join(map(str, row[:END].tolist())) for row in task.inputs])
    return table


def _direct(
    bridge: "TransformerBridge", task: TransformerTask, parts: Sequence[Site]
) -> pd.DataFrame:
    clean, corrupted = _pairs(task)
    says_one = task.decide(bridge(clean)) == 1
    clean, corrupted = clean[says_one], corrupted[says_one]
    scores = attribute(
        bridge,
        (clean, corrupted),
        list(parts),
        method="direct_logit",
        metrics={"logit_difference": task.metric},
        progress=False,
    )
    both = zip(clean[:, :END].tolist(), corrupted[:, :END].tolist(), strict=True)
    pairs = [f"{a}{b} -> {c}{d}" for (a, b), (c, d) in both]
    table = scores.frame()[["site", "score"]]
    # pair by pair, and in each of them site by site
    table.insert(0, "pair", [pair for pair in pairs for _ in parts])
    return table
