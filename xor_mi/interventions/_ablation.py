"""sites x a value that carries no information -> what the network still does without them.

Zero has no special meaning to a network; the mean keeps the scale; resampling keeps the
distribution. Ablating one site at a time misses redundancy (with every unit doubled, losing one
copy changes nothing), so subsets are swept too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions._run import intervene, named_metrics, read_metrics
from xor_mi.interventions._sites import (
    MAX_SUBSETS,
    Coordinates,
    SiteSet,
    coordinates,
    default_sites,
    edges_on,
    name_of,
    require_ready,
    site_sets,
)
from xor_mi.interventions._sites import subsets as all_subsets
from xor_mi.metrics import decision, logit
from xor_mi.model import HookedMLP
from xor_mi.truth import row_name

VALUES = ("zero", "mean", "resample")
SUBSETS = {"single": 1, "pairs": 2, "all": None}


@dataclass(frozen=True, eq=False)
class AblationSweep:
    """What every ablation left; `frame()` has one line per ablation and input row.

    Attributes:
        rows: names of the inputs.
        sites: the sets ablated together.
        value: "zero", "mean over ...", "resample (seed ...)" or "given".
        before: the metric without ablation, [row].
        after: with it, [site, row].
        threshold: decision = metric > threshold, or None where nothing is decided.
        labels: the right decision per row, where there is a target.
        coordinates: the six coordinates of an ablation test.
    """

    rows: tuple[str, ...]
    sites: tuple[SiteSet, ...]
    value: str
    metric: str
    before: Float[Tensor, " row"] = field(repr=False)
    after: Float[Tensor, "site row"] = field(repr=False)
    threshold: float | None
    coordinates: Coordinates
    labels: tuple[int, ...] | None = None

    @property
    def decisions(self) -> Tensor:
        """Decisions after ablation, [site, row]; -1 is undecided."""
        if self.threshold is None:
            raise XorMiError(
                "this model has no decision threshold; read .after or .frame() instead"
            )
        return decision(self.after, self.threshold)

    def frame(self) -> pd.DataFrame:
        """One line per ablation and row: site, n_sites, row, m_before, m_after, effect_m, and where
        there is a threshold decision_before, decision_after, flips, undecided; right, where there
        is a target."""
        m, lines = self.metric, []
        before = self.before.tolist()
        was = None if self.threshold is None else decision(self.before, self.threshold).tolist()
        now = None if self.threshold is None else self.decisions.tolist()
        for s, (together, after) in enumerate(zip(self.sites, self.after.tolist(), strict=True)):
            for r, row in enumerate(self.rows):
                line: dict[str, Any] = {
                    "site": name_of(together),
                    "n_sites": len(together),
                    "row": row,
                    f"{m}_before": before[r],
                }
                line |= {f"{m}_after": after[r], f"effect_{m}": after[r] - before[r]}
                if was is not None and now is not None:
                    line |= {
                        "decision_before": was[r],
                        "decision_after": now[s][r],
                        "flips": was[r] != now[s][r],
                        "undecided": now[s][r] == -1,
                    }
                    line |= {} if self.labels is None else {"right": now[s][r] == self.labels[r]}
                lines.append(line)
        return pd.DataFrame(lines)

    def summary(self) -> pd.DataFrame:
        """One line per ablation: accuracy against the target (undecided is not right), rows
        flipped, rows undecided, mean effect.
        """
        frame = self.frame()
        frame["which"] = [k for k in range(len(self.sites)) for _ in self.rows]
        wanted = {
            "flips": "n_flipped",
            "undecided": "n_undecided",
            f"effect_{self.metric}": f"mean_effect_{self.metric}",
            "right": "accuracy",
        }
        groups = frame.groupby(
            "which", sort=False
        )  # by position: two sites may bear the same label
        columns = {"site": groups["site"].first(), "n_sites": groups["n_sites"].first()}
        for column, name in wanted.items():
            if column in frame:
                columns[name] = (
                    groups[column].sum() if name.startswith("n_") else groups[column].mean()
                )
        return pd.DataFrame(columns).reset_index(drop=True)

    def plot(self) -> Any:
        """A heatmap of the metric's change, one line per ablation, one column per row, colours
        centred at zero.
        """
        from xor_mi.plots import ablation_heatmap

        return ablation_heatmap(self)


@torch.no_grad()
def ablation_sweep(
    model: Any,
    sites: Sequence[Any] | None = None,
    *,
    value: Any = "mean",
    subsets: str = "single",
    rows: Any = None,
    over: Any = None,
    metric: Callable[[Tensor], Tensor] | None = None,
    metric_name: str = "logit",
    output: int = 0,
    seed: int = 0,
    max_batch_bytes: int | None = None,
) -> AblationSweep:
    """Ablate sites, one at a time, in pairs or in every combination, on every input row.

    Args:
        sites: as in `patch_sweep`; on a HookedMLP all hidden units by default.
        value: "zero"; "mean" over the rows in `over`; "resample", each input gets the activation of
            another one (a random cyclic shift by `seed`), or of a random one of `over`; a number;
            or a tensor of the hook's activation, [...] for all inputs alike or [input, ...].
        subsets: "single", "pairs" (exactly two together) or "all" (every non-empty subset).
        rows: inputs to run on: rows of bits, or a tensor [input, ...] for other models. Default:
            all rows.
        over: the inputs the mean or the resampled activations are taken from; default: `rows`.

    >>> from xor_mi.handmade import textbook_xor
    >>> ablation_sweep(textbook_xor(), value="zero").after.tolist()  # without the OR, and without the AND
    [[0.0, 0.0, 0.0, -2.0], [0.0, 1.0, 1.0, 2.0]]

    Raises:
        XorMiError: an unknown value or subset rule, too many subsets, and all that `patch_sweep`
            refuses.
    """
    require_ready(model, "ablation")
    if subsets not in SUBSETS:
        raise unknown("subset rule", subsets, SUBSETS, where="rules are")
    if not (
        value in VALUES
        if isinstance(value, str)
        else isinstance(value, (int, float, Tensor)) or hasattr(value, "__array__")
    ):
        raise unknown("ablation value", value, VALUES, where="values are a number, a tensor, or")
    names, inputs = _read_rows(model, rows)
    plain = inputs if over is None else torch.cat([inputs, _read_rows(model, over)[1]])
    n = len(inputs)
    sets = _sets(model, sites, subsets)
    read = (
        {metric_name: lambda outputs: logit(outputs, output)}
        if metric is None
        else named_metrics({metric_name: metric})
    )
    with edges_on(model, sets):

        def replaced(_: str, seen: Tensor) -> Tensor:
            return _replacement(value, seen[:n], None if over is None else seen[n:], seed)

        outputs, after = intervene(
            model, plain, slice(0, n), sets, replaced, read, max_batch_bytes, metric is None
        )
    is_mlp = isinstance(model, HookedMLP) and metric is None
    target = model.cfg.target if is_mlp else None
    labels = (
        None if target is None else tuple(target.tables[output][int(name, 2)] for name in names)
    )
    source = "the rows run on" if over is None else "given rows"
    said = {
        "mean": f"mean over {source}",
        "resample": f"resample from {source} (seed {seed})",
        "zero": "zero",
    }
    done = said[value] if isinstance(value, str) else "given"
    before = read_metrics(read, outputs[:n])[0]
    placed = coordinates(isinstance(model, HookedMLP), sets, done, "noising (ablation)")
    return AblationSweep(
        tuple(names),
        sets,
        done,
        metric_name,
        before,
        after[0],
        model.threshold if is_mlp else None,
        placed,
        labels,
    )


def _sets(model: Any, asked: Sequence[Any] | None, rule: str) -> tuple[SiteSet, ...]:
    singles = site_sets(model, default_sites(model) if asked is None else asked)
    if not singles:
        raise XorMiError("no sites given; an ablation needs at least one")
    size = SUBSETS[rule]
    count = 2 ** len(singles) - 1 if size is None else comb(len(singles), size)
    if count > MAX_SUBSETS:
        raise XorMiError(
            f"{count} subsets of {len(singles)} sites; at most {MAX_SUBSETS} are run: give fewer sites, or a smaller rule"
        )
    joined = all_subsets(range(len(singles)), min_size=size or 1, max_size=size)
    return tuple(tuple(site for k in picked for site in singles[k]) for picked in joined)


def _replacement(value: Any, activation: Tensor, reference: Tensor | None, seed: int) -> Tensor:
    """What a whole activation [input, ...] is replaced by."""
    if not isinstance(value, str):
        given = torch.as_tensor(value).to(activation)
        if given.ndim and given.shape not in (activation.shape, activation.shape[1:]):
            raise XorMiError(
                f"a value of shape {list(given.shape)} does not fit an activation {list(activation.shape)}; give one number, "
                f"{list(activation.shape[1:])} for all inputs alike, or {list(activation.shape)}"
            )
        return given.expand_as(activation)
    if value == "zero":
        return torch.zeros_like(activation)
    if value == "mean":
        return (
            (activation if reference is None else reference)
            .mean(dim=0, keepdim=True)
            .expand_as(activation)
        )
    generator = torch.Generator().manual_seed(seed)
    if reference is not None:
        return reference[torch.randint(len(reference), (len(activation),), generator=generator)]
    if len(activation) < 2:
        raise XorMiError(
            "resampling needs at least two inputs, so that each can get another one's activation"
        )
    return activation.roll(
        1 + int(torch.randint(len(activation) - 1, (1,), generator=generator)), 0
    )


def _read_rows(model: Any, rows: Any) -> tuple[list[str], Tensor]:
    if rows is not None and not len(rows):
        raise XorMiError("no rows given; an ablation needs at least one input")
    if isinstance(rows, Tensor) and rows.ndim > 1 and not isinstance(model, HookedMLP):
        return [str(i) for i in range(len(rows))], rows.clone()
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            "give rows=inputs, a tensor [input, ...]; rows of bits are for a HookedMLP only"
        )
    chosen = model.read_rows(rows)
    return [row_name(row) for row in chosen], model.rows(chosen)
