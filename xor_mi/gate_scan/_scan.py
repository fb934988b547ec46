"""a model, its inputs and their features -> the scan: the call itself, and its limits."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xor_mi.errors import (
    SEEDS_BELOW,
    XorMiError,
    require_at_most,
    require_memory,
    whole_number,
)
from xor_mi.finding import Listed
from xor_mi.gate_scan._activations import (
    Block,
    Units,
    in_blocks,
    passes,
    read_activations,
    wanted_units,
)
from xor_mi.gate_scan._asked import Samples, read_samples
from xor_mi.gate_scan._chance import Dealt
from xor_mi.gate_scan._cuts import Cuts, UnitGate, decided_at
from xor_mi.gate_scan._finding import GateScan
from xor_mi.gate_scan._scores import Scorer, Scores, UnitScores, scored_gates
from xor_mi.graph import Site
from xor_mi.interventions._forward import inputs_per_run
from xor_mi.interventions._hooks import Probed, probe_hooks, why_not_writable
from xor_mi.interventions._sites import edges_where_needed, one_name_each, require_ready, site_sets
from xor_mi.kinds import Features, HookedModel, Inputs, ModelKwargs, Sites
from xor_mi.progress import progress_bar

__all__ = ["scan_gates", "scan_samples"]

MOST_WORK = 10**11
"""More scores (units times inputs times gates times permutations) than this are refused."""


BYTES_OF_A_BLOCK = 2**26
"""How many bytes the arithmetic on some of the units may need at once."""


@torch.no_grad()
def scan_gates(
    model: HookedModel,
    inputs: Inputs | None = None,
    features: Features | None = None,
    sites: Sites | None = None,
    *,
    model_kwargs: ModelKwargs | None = None,
    n_permutations: int = 200,
    seed: int = 0,
    scores: bool = True,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> GateScan:
    """For every unit at these sites, the gates of the features that its activation separates.

    A permutation control says how often chance does as well.

    The inputs should vary in more than the features: if the features alone determine the input,
    every unit separates something, and no p-value is below 1.

    Args:
        model: a HookedMLP, any HookedRootModule after setup(), or a TransformerBridge; in eval
            mode.
        inputs: what the model is run on, a tensor [sample, ...]. Equal inputs count as one. By
            default all rows of a HookedMLP.
        features: a mapping, name -> one bit per sample, as a list, array or tensor, or a table with
            a column for each; 1 to 6 features, two or more combinations. Equal inputs must have
            equal features. By default the bits of a HookedMLP's inputs.
        sites: a hook name, a `Site` (if it has an index, only the units there), or several of
            them. None means every hook that can be read; `GateScan.left_out` names the others. A
            hook point with two names counts once.
        model_kwargs: keyword inputs of the model's forward; a tensor has one entry per sample.
        n_permutations: how often the combinations are permuted over the different inputs. The
            p-value of a cut is (1 + how often the unit then has a cut at least as wide) / (1 +
            this); it is per unit, not corrected for the number of units. If there are at most 1,000
            permutations, or not more than asked for, each is tried once, and the p-value is the
            share of those with such a cut.
        seed: the seed of the permutations. p-values depend on it and on the order of the samples;
            gates and margins do not.
        scores: whether `GateScan.scores` is computed, too, which takes most of the time.
        max_batch_bytes: how much memory one forward may take, as in `patch_sweep`.
        progress: show bars if the work takes over half a second.

    Raises:
        XorMiError: features that are not bits, that are too many, that have another length, or that
            differ for equal inputs; a hook that is unknown, switched off or silent, that fires
            twice, does not carry a tensor or has no batch axis; activations that are complex or not
            finite; train mode; too much to hold or to score.

    >>> from xor_mi.handmade import textbook_xor
    >>> noise = 0.1 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * 10)
    >>> features = {"a": rows[:, 0], "b": rows[:, 1]}
    >>> scan = scan_gates(textbook_xor(), rows + noise, features, "hook_logits")
    >>> scan.separating()[["gate", "formula", "is_decision"]].values.tolist()
    [['XOR', 'a ^ b', True]]
    """
    require_ready(model, "scanning for gates")
    seed = whole_number("seed", seed, below=SEEDS_BELOW)
    n_permutations = whole_number("n_permutations", n_permutations, at_least=1)
    samples = read_samples(model, inputs, features, model_kwargs)
    dealt = Dealt.of(samples.rows, n_permutations, seed)
    return scan_samples(model, samples, sites, dealt, scores, max_batch_bytes, progress)


@torch.no_grad()
def scan_samples(
    model: HookedModel,
    samples: Samples,
    sites: Sites | None,
    dealt: Dealt,
    scores: bool,
    max_batch_bytes: int | None,
    progress: bool,
) -> GateScan:
    """`scan_gates` for samples that were read already."""
    examples = samples.different
    is_every = sites is None
    asked = {} if sites is None else _sites_by_hook(model, sites)
    with edges_where_needed(model, [tuple(together) for together in asked.values()]):
        probed = probe_hooks(model, examples, max_batch_bytes=max_batch_bytes)
        sites_of, left_out = _readable_hooks(model, probed) if is_every else (asked, {})
        wanted = wanted_units(model, probed, sites_of)
        n_units = sum(len(units.numbers) for units in wanted)
        gates = scored_gates(dealt.rows, dealt.sizes) if scores else None
        n_gates = 0 if gates is None else len(gates.bits)
        _require_bounded(dealt, n_units, n_gates)

        lines: list[UnitGate] = []
        scored: list[UnitScores] = []
        n_separating = np.zeros(dealt.n_deals)
        size = inputs_per_run(model, examples, max_batch_bytes, probed)
        n_at_once = BYTES_OF_A_BLOCK // bytes_of_a_unit(len(examples), len(dealt.rows), n_gates)
        for planned in passes(wanted, len(examples)):
            kept = read_activations(model, examples, planned, size, progress)
            if is_every:
                planned, kept = _finite_units(planned, kept, left_out)
            blocks: list[Block] = []
            for units, values in zip(planned, kept, strict=True):
                blocks += in_blocks(units, values, max(1, n_at_once))
            total = len(blocks) * dealt.n_deals
            with progress_bar(
                doing="shuffling", unit="shuffle", total=total, progress=progress
            ) as bar:
                for block in blocks:
                    cuts = Cuts(block, dealt)
                    scorer = None if gates is None else Scorer(block, dealt, gates)
                    for deal, order in enumerate(dealt.orders()):
                        n_separating[deal] += cuts.count(order.split(dealt.sizes))
                        if scorer is not None:
                            scorer.count(order)
                        bar.update()
                    lines += cuts.lines(decided_at(model, block.hook), samples.features)
                    scored += [] if scorer is None else [scorer.scores()]
    n_read = len({line.site for line in lines})
    if not n_read:
        raise XorMiError("no hook of this model has a finite activation; name sites to learn why")
    low, high = np.quantile(n_separating / n_read, (0.025, 0.975)).tolist()
    return GateScan(
        features=samples.features,
        rows_seen=dealt.rows,
        n_samples=samples.n_given,
        n_distinct=len(samples),
        n_units=n_read,
        n_permutations=dealt.n_deals,
        is_every_permutation=dealt.are_all,
        smallest_p=dealt.smallest_p,
        control_rate=n_separating.mean().item() / n_read,
        control_interval=(low, high),
        unit_gates=Listed(lines),
        left_out=left_out,
        _scores=None
        if gates is None
        else Scores(gates, tuple(scored)).frame(samples.features, dealt.rows),
    )


# what is asked


def _readable_hooks(
    model: HookedModel, probed: Probed
) -> tuple[dict[str, list[Site]], dict[str, str]]:
    """Every hook that can be read, and why the others cannot."""
    names = one_name_each(model)
    reasons = {name: why_not_writable(model, probed, name) for name in names}
    left_out = {name: why_not for name, why_not in reasons.items() if why_not}
    for name in names:
        dtype = probed.hooks[name].dtype
        if dtype is not None and dtype.is_complex:
            left_out[name] = "has complex activations"
    if len(left_out) == len(names):
        raise XorMiError("no hook of this model can be read; name one to learn why")
    return {name: [Site(name)] for name in names if name not in left_out}, left_out


def _finite_units(
    planned: Sequence[Units], kept: Sequence[Tensor], left_out: dict[str, str]
) -> tuple[list[Units], list[Tensor]]:
    """The units that are finite on every input; hooks with other units are noted in `left_out`.

    Attention scores are minus infinity wherever a position must not attend.
    """
    finite_units: list[Units] = []
    finite_values: list[Tensor] = []
    for units, values in zip(planned, kept, strict=True):
        is_finite = values.isfinite().all(0)
        if not bool(is_finite.all()):
            left_out[units.hook] = "has units that are NaN or infinite; its other units are read"
        if bool(is_finite.any()):
            finite_units.append(units._replace(numbers=units.numbers[is_finite]))
            finite_values.append(values[:, is_finite])
    return finite_units, finite_values


def _sites_by_hook(model: HookedModel, sites: Sites) -> dict[str, list[Site]]:
    """Hook name -> the sites asked for there, in order."""
    by_hook: dict[str, list[Site]] = {}
    # two names of one hook point are one hook, with the name that comes first
    name_of: dict[int, str] = {}
    hooks = model.hook_dict  # read once, because a bridge makes it anew every time
    for together in site_sets(model, sites):
        for site in together:
            name = name_of.setdefault(id(hooks[site.hook_name]), site.hook_name)
            by_hook.setdefault(name, []).append(site)
    if not by_hook:
        raise XorMiError(f"no hook given; this model has {len(hooks)}, listed in model.hook_dict")
    return by_hook


def _require_bounded(dealt: Dealt, n_units: int, n_gates: int) -> None:
    """Refuse what would take too much memory or time, before it begins."""
    n_inputs = sum(dealt.sizes)
    less = "give fewer inputs, or sites with an index"
    per_unit = bytes_of_a_unit(n_inputs, len(dealt.rows), n_gates)
    require_memory(per_unit, what=f"one unit on {n_inputs:,} inputs", do="give fewer inputs")
    # a line of the answer takes about as much memory as 100 numbers
    require_memory(
        n_units * (800 + 48 * n_gates), what=f"the answer for {n_units:,} units", do=less
    )
    require_at_most(
        n_units * n_inputs * n_gates * dealt.n_deals,
        MOST_WORK,
        what=f"scores ({n_units:,} units x {n_inputs:,} inputs x {n_gates} gates x "
        f"{dealt.n_deals:,} permutations)",
        do=f"give scores=False for perfect cuts alone, a smaller n_permutations, or {less[5:]}",
    )


def bytes_of_a_unit(n_inputs: int, n_combinations: int, n_gates: int) -> int:
    """How many bytes the arithmetic on one unit holds at once."""
    n_numbers = 8 + (2 * n_combinations + 2 * n_gates if n_gates else 0)
    return 8 * n_numbers * n_inputs
