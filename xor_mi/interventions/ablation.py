"""sites x a value that carries no information -> what the network still does without them.

Zero has no special meaning to a network; the mean keeps the scale; resampling keeps the distribution. Ablating one site at a time misses
redundancy (with every unit doubled, losing one copy changes nothing), so subsets are swept too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions.patching import coordinates
from xor_mi.interventions.run import MAX_BATCH_BYTES, intervene, read_metrics
from xor_mi.interventions.sites import SiteSet, default_sites, edges_on, name_of, require_ready, site_sets
from xor_mi.interventions.sites import subsets as all_subsets
from xor_mi.metrics import decision, logit
from xor_mi.model import HookedMLP
from xor_mi.truth import row_name

VALUES = ("zero", "mean", "resample")
SUBSETS = {"single": 1, "pairs": 2, "all": None}
MAX_SETS = 100_000
"""More subsets than this are refused rather than begun."""


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
    """

    rows: tuple[str, ...]
    sites: tuple[SiteSet, ...]
    value: str
    metric: str
    before: Float[Tensor, " row"] = field(repr=False)
    after: Float[Tensor, "site row"] = field(repr=False)
    threshold: float | None
    labels: tuple[int, ...] | None = None

    @property
    def decisions(self) -> Tensor:
        """Decisions after ablation, [site, row]; -1 is undecided."""
        if self.threshold is None:
            raise XorMiError("this model has no decision threshold; read .after or .frame() instead")
        return decision(self.after, self.threshold)

    @property
    def coordinates(self) -> dict[str, str]:
        """The six coordinates of an ablation test."""
        return coordinates(self.sites, self.value, "noising (ablation)")

    def frame(self) -> pd.DataFrame:
        """One line per ablation and row: site, n_sites, row, m_before, m_after, effect_m, and where there is a threshold
        decision_before, decision_after, flips, undecided; right, where there is a target."""
        m, lines = self.metric, []
        before = self.before.tolist()
        was = None if self.threshold is None else decision(self.before, self.threshold).tolist()
        now = None if self.threshold is None else self.decisions.tolist()
        for s, (together, after) in enumerate(zip(self.sites, self.after.tolist(), strict=True)):
            for r, row in enumerate(self.rows):
                line: dict[str, Any] = {"site": name_of(together), "n_sites": len(together), "row": row, f"{m}_before": before[r]}
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
        """One line per ablation: accuracy against the target (undecided is not right), rows flipped, rows undecided, mean effect."""
        frame = self.frame()
        wanted = {
            "flips": "n_flipped",
            "undecided": "n_undecided",
            f"effect_{self.metric}": f"mean_effect_{self.metric}",
            "right": "accuracy",
        }
        groups = frame.groupby("site", sort=False)
        columns = {"n_sites": groups["n_sites"].first()}
        for column, name in wanted.items():
            if column in frame:
                columns[name] = groups[column].sum() if name.startswith("n_") else groups[column].mean()
        return pd.DataFrame(columns).reset_index()

    def plot(self) -> Any:
        """A heatmap of the metric's change, one line per ablation, one column per row, colours centred at zero."""
        from xor_mi.plots import ablation_heatmap

        return ablation_heatmap(self)


@torch.no_grad()
def ablation_sweep(
    model: Any,
    sites: Sequence[Any] | None = None,
    value: Any = "mean",
    subsets: str = "single",
    rows: Any = None,
    over: Any = None,
    metric: Callable[[Tensor], Tensor] | None = None,
    metric_name: str = "logit",
    output: int = 0,
    seed: int = 0,
    max_batch_bytes: int = MAX_BATCH_BYTES,
    progress: bool = False,
) -> AblationSweep:
    """Ablate sites, one at a time, in pairs or in every combination, on every input row.

    Args:
        sites: as in `patch_sweep`; on a HookedMLP all hidden units by default.
        value: "zero"; "mean" over the rows in `over`; "resample", each input gets the activation of another one (a random cyclic shift
            by `seed`); or a tensor that is broadcast to each site's value.
        subsets: "single", "pairs" (exactly two together) or "all" (every non-empty subset).
        rows: inputs to run on: rows of bits, or a tensor [input, ...] for other models. Default: all rows.
        over: the inputs the mean is taken over; default: `rows`.

    >>> from xor_mi.handmade import textbook_xor
    >>> ablation_sweep(textbook_xor(), value="zero").after.tolist()  # without the OR, and without the AND
    [[0.0, 0.0, 0.0, -2.0], [0.0, 1.0, 1.0, 2.0]]

    Raises:
        XorMiError: an unknown value or subset rule, too many subsets, and all that `patch_sweep` refuses.
    """
    require_ready(model, "ablation")
    if subsets not in SUBSETS:
        raise unknown("subset rule", subsets, SUBSETS, where="rules are")
    names, inputs = _read_rows(model, rows)
    plain = inputs if over is None else torch.cat([inputs, _read_rows(model, over)[1]])
    n = len(inputs)
    sets = _sets(model, sites, subsets)
    read = {metric_name: metric or (lambda outputs: logit(outputs, output))}
    with edges_on(model, sets):

        def replaced(_: str, seen: Tensor) -> Tensor:
            return _replacement(value, seen[:n], seen[0 if over is None else n :], seed)

        outputs, after = intervene(model, plain, slice(0, n), sets, replaced, read, max_batch_bytes, progress, metric is None)
    is_mlp = isinstance(model, HookedMLP) and metric is None
    target = model.cfg.target if is_mlp and rows is None else None
    labels = None if target is None else target.tables[output]
    said = value if isinstance(value, str) else "given"
    said = {"mean": f"mean over {'the rows run on' if over is None else 'given rows'}", "resample": f"resample (seed {seed})"}.get(
        said, said
    )
    before = read_metrics(read, outputs[:n])[0]
    return AblationSweep(tuple(names), sets, said, metric_name, before, after[0], model.threshold if is_mlp else None, labels)


def _sets(model: Any, asked: Sequence[Any] | None, rule: str) -> tuple[SiteSet, ...]:
    singles = site_sets(model, default_sites(model) if asked is None else asked)
    if not singles:
        raise XorMiError("no sites given; an ablation needs at least one")
    size = SUBSETS[rule]
    count = 2 ** len(singles) - 1 if size is None else len(singles) ** size
    if count > MAX_SETS:
        raise XorMiError(f"{count} subsets of {len(singles)} sites; at most {MAX_SETS} are run: give fewer sites, or subsets='pairs'")
    joined = all_subsets(range(len(singles)), size or 1, size)
    return tuple(tuple(site for k in picked for site in singles[k]) for picked in joined)


def _replacement(value: Any, activation: Tensor, reference: Tensor, seed: int) -> Tensor:
    """What a whole activation [input, ...] is replaced by."""
    if isinstance(value, Tensor):
        try:
            return value.to(activation).expand_as(activation)
        except RuntimeError:
            raise XorMiError(f"a value of shape {list(value.shape)} does not fit an activation {list(activation.shape)}") from None
    if value == "zero":
        return torch.zeros_like(activation)
    if value == "mean":
        return reference.mean(dim=0, keepdim=True).expand_as(activation)
    if value == "resample":
        if len(activation) < 2:
            raise XorMiError("resampling needs at least two inputs, so that each can get another one's activation")
        shift = 1 + int(torch.randint(len(activation) - 1, (1,), generator=torch.Generator().manual_seed(seed)))
        return activation.roll(shift, 0)
    raise unknown("ablation value", value, VALUES, where="values are a tensor, or")


def _read_rows(model: Any, rows: Any) -> tuple[list[str], Tensor]:
    if isinstance(rows, Tensor) and rows.ndim > 1 and not isinstance(model, HookedMLP):
        return [str(i) for i in range(len(rows))], rows.clone()
    if not isinstance(model, HookedMLP):
        raise XorMiError("give rows=inputs, a tensor [input, ...]; rows of bits are for a HookedMLP only")
    chosen = model.read_rows(rows)
    return [row_name(row) for row in chosen], model.rows(chosen)
