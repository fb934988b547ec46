"""(clean, corrupted) pairs x sites -> one batched forward -> the effect of every patch.

Activation patching runs the network on one input with the activation at one site taken from its run on another. Denoising: the corrupted
run with a clean activation (what restores the answer; finds every part of an OR). Noising: the clean run with a corrupted activation
(what breaks it; finds every part of an AND). The two are not mirror images (Heimersheim and Nanda 2024, arXiv 2404.15255).

Every pair and every site is one row of the same batch. Nothing of the model is changed: hooks are TransformerLens' own, gone afterwards
also when one raises; weights, mode and the caller's tensors stay as they were.

Raw effects come first. The usual recovered fraction, (patched - corrupted) / (clean - corrupted), has no meaning where clean and
corrupted are decided alike, as 00 and 11 under XOR: there it is empty and `why_no_fraction` says so. Values outside [0, 1] are no mistake.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from typing import Any

import pandas as pd
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Unit
from xor_mi.metrics import decision, logit
from xor_mi.model import HookedMLP
from xor_mi.truth import as_row, row_name, truth_rows

DIRECTIONS = ("denoising", "noising")
Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class PatchEffect:
    """One patch. Logits are the network's output before the decision; decisions are 1, 0, or -1 where the output is on the threshold.

    Attributes:
        effect_logit: patched minus the unpatched run it was made in (corrupted under denoising, clean under noising).
        recovered_fraction: (patched - corrupted) / (clean - corrupted), or None where both are decided alike.
        flips: the patch changed the decision of the run it was made in.
    """

    clean: str
    corrupted: str
    pair: str
    site: str
    direction: str
    logit_clean: float
    logit_corrupted: float
    logit_patched: float
    effect_logit: float
    recovered_fraction: float | None
    why_no_fraction: str
    decision_patched: int
    flips: bool


@dataclass(frozen=True)
class PatchSweep:
    """All patches of a sweep; `frame()` is tidy, one line per patch.

    Attributes:
        pairs: (clean, corrupted) rows, in order.
        sites: where was patched, in order.
        direction: "denoising" or "noising".
        clean, corrupted: the unpatched logits, [pair].
        patched: the patched logits, [pair, site].
    """

    pairs: tuple[Pair, ...]
    sites: tuple[Unit | Edge, ...]
    direction: str
    threshold: float
    clean: Float[Tensor, " pair"] = field(repr=False)
    corrupted: Float[Tensor, " pair"] = field(repr=False)
    patched: Float[Tensor, "pair site"] = field(repr=False)

    @property
    def effect(self) -> Float[Tensor, "pair site"]:
        """Patched minus unpatched logit of the run that was patched."""
        return self.patched - (self.corrupted if self.direction == "denoising" else self.clean)[:, None]

    @property
    def decisions(self) -> Tensor:
        """The decision after each patch, [pair, site]; -1 is undecided."""
        return decision(self.patched, self.threshold)

    @property
    def coordinates(self) -> dict[str, str]:
        """The six coordinates that make two patching scores comparable (Miller, Chughtai and Saunders 2024, arXiv 2407.08734)."""
        kinds = {"edge" if isinstance(s, Edge) else "input" if s.layer < 0 else "output" if s.is_output else "unit" for s in self.sites}
        source = "clean" if self.direction == "denoising" else "corrupted"
        return {
            "granularity": " and ".join(sorted(kinds)),
            "component": ", ".join(site.name for site in self.sites),
            "value": f"interchange, from the {source} input",
            "positions": "none (no sequence)",
            "direction": self.direction,
            "set": "one site at a time",
        }

    def __len__(self) -> int:
        return len(self.pairs) * len(self.sites)

    def __iter__(self) -> Iterator[PatchEffect]:
        effect, patched, decided = self.effect.tolist(), self.patched.tolist(), self.decisions.tolist()
        decided_clean, decided_corrupted = (decision(logits, self.threshold).tolist() for logits in (self.clean, self.corrupted))
        before = decided_corrupted if self.direction == "denoising" else decided_clean
        for p, (clean_row, corrupted_row) in enumerate(self.pairs):
            clean, corrupted = self.clean[p].item(), self.corrupted[p].item()
            why = f"clean and corrupted are both decided {before[p]}" if decided_clean[p] == decided_corrupted[p] else ""
            for s, site in enumerate(self.sites):
                yield PatchEffect(
                    clean=row_name(clean_row),
                    corrupted=row_name(corrupted_row),
                    pair=f"{row_name(clean_row)} -> {row_name(corrupted_row)}",
                    site=site.name,
                    direction=self.direction,
                    logit_clean=clean,
                    logit_corrupted=corrupted,
                    logit_patched=patched[p][s],
                    effect_logit=effect[p][s],
                    recovered_fraction=None if why else (patched[p][s] - corrupted) / (clean - corrupted) + 0.0,
                    why_no_fraction=why,
                    decision_patched=decided[p][s],
                    flips=decided[p][s] != before[p],
                )

    def frame(self) -> pd.DataFrame:
        """One line per patch, the columns of `PatchEffect`. Pairs read clean -> corrupted."""
        return pd.DataFrame([effect.__dict__ for effect in self])


def all_pairs(n_inputs: int) -> list[Pair]:
    """All ordered pairs of distinct input rows."""
    return [(a, b) for a, b in product(truth_rows(n_inputs), repeat=2) if a != b]


@torch.no_grad()
def patch_sweep(
    model: HookedMLP,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    sites: Sequence[Any] | None = None,
    direction: str = "denoising",
    output: int = 0,
    max_batch_bytes: int = 2**28,
) -> PatchSweep:
    """Patch every site for every (clean, corrupted) pair, all in one forward (in chunks where the batch would pass max_batch_bytes).

    Args:
        pairs: (clean, corrupted) rows; all ordered pairs of distinct rows by default.
        sites: units, edges, inputs or outputs, as values or names ("h0.1", "x0->h0.1"); all hidden units by default.
        output: which output's logit is read.

    >>> from xor_mi.handmade import textbook_xor
    >>> sweep = patch_sweep(textbook_xor())
    >>> len(sweep), sweep.patched.shape
    (24, torch.Size([12, 2]))

    Raises:
        XorMiError: an unknown site or direction, rows that are not bits, train mode, weights that are not finite.
    """
    model.require_ready("patching")
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS, where="directions")
    n_inputs = model.cfg.d_in
    places = tuple(model.place(site) for site in (model.units() if sites is None else sites))
    chosen = tuple((as_row(a, n_inputs), as_row(b, n_inputs)) for a, b in (all_pairs(n_inputs) if pairs is None else pairs))
    if not places or not chosen:
        raise XorMiError(f"{len(chosen)} pairs and {len(places)} sites given; a sweep needs at least one of each")
    rows = sorted({row for pair in chosen for row in pair})
    position = {row: index for index, row in enumerate(rows)}
    clean, corrupted = (torch.tensor([position[pair[side]] for pair in chosen]) for side in (0, 1))
    base, source = (corrupted, clean) if direction == "denoising" else (clean, corrupted)
    with _edges_on(model, any(isinstance(place, Edge) for place in places)):
        logits, cache = model.run_with_cache(model.rows(rows), return_cache_object=False)
        # one batch row per (pair, site), pairs outermost
        pair_of, site_of = repeat(torch.arange(len(chosen)), "p -> (p s)", s=len(places)), torch.arange(len(places)).repeat(len(chosen))
        step = max(1, max_batch_bytes // _bytes_per_row(model, places))
        patched = [
            _run_patched(
                model, model.rows(rows), cache, places, base[pair_of[i : i + step]], source[pair_of[i : i + step]], site_of[i : i + step]
            )
            for i in range(0, len(pair_of), step)
        ]
    values = rearrange(logit(torch.cat(patched), output), "(p s) -> p s", s=len(places))
    unpatched = logit(logits, output)
    return PatchSweep(chosen, places, direction, model.threshold, unpatched[clean], unpatched[corrupted], values)


def patch(model: HookedMLP, clean: Any, corrupted: Any, site: Any, direction: str = "denoising", output: int = 0) -> PatchEffect:
    """Patch one site between two inputs.

    >>> from xor_mi.handmade import textbook_xor
    >>> patch(textbook_xor(), clean="01", corrupted="11", site="h0.1").logit_patched  # above the clean run's 1: the AND was held off
    2.0
    """
    return next(iter(patch_sweep(model, [(clean, corrupted)], [site], direction, output)))


def _run_patched(
    model: HookedMLP, rows: Tensor, cache: dict[str, Tensor], places: Sequence[Unit | Edge], base: Tensor, source: Tensor, site_of: Tensor
) -> Tensor:
    """One forward: batch row i runs input base[i] with the value at site_of[i] taken from the run on input source[i]."""
    sites = [model.hook_site(place) for place in places]
    replacements = []
    for hook_name in dict.fromkeys(name for name, _ in sites):
        mask = torch.zeros(len(places), *cache[hook_name].shape[1:], dtype=torch.bool, device=rows.device)
        for number, (name, index) in enumerate(sites):
            if name == hook_name:
                mask[(number, *index)] = True
        replacements.append((hook_name, partial(_write_where, mask[site_of], cache[hook_name][source])))
    with model.hooks(fwd_hooks=replacements):
        return model(rows[base])


def _write_where(mask: Tensor, values: Tensor, activation: Tensor, hook: Any) -> Tensor:  # noqa: ARG001 (a hook's signature)
    return torch.where(mask, values, activation)


def _bytes_per_row(model: HookedMLP, places: Sequence[Unit | Edge]) -> int:
    """What one batch row holds: each activation about six times over (value, source, mask, results)."""
    sizes = model.layer_sizes
    numbers = sum(sizes)
    if any(isinstance(place, Edge) for place in places):
        numbers += sum(a * b for a, b in pairwise(sizes))
    return 6 * 8 * numbers


@contextmanager
def _edges_on(model: HookedMLP, wanted: bool) -> Iterator[None]:
    before = model.cfg.use_edge_result
    model.set_use_edge_result(before or wanted)
    try:
        yield
    finally:
        model.set_use_edge_result(before)
