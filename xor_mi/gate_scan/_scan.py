"""a model, its inputs and their features -> the scan: the call itself, and what it takes."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import (
    SEEDS_BELOW,
    XorMiError,
    require_at_most,
    require_memory,
    whole_number,
)
from xor_mi.gate_scan._activations import in_blocks, passes, read_activations, wanted_units
from xor_mi.gate_scan._chance import Dealt
from xor_mi.gate_scan._cuts import Cuts, UnitGate, decided_at
from xor_mi.gate_scan._finding import GateScan
from xor_mi.gate_scan._scores import Scorer, Scores, UnitScores, scored_gates
from xor_mi.graph import Site
from xor_mi.interventions._run import inputs_per_run
from xor_mi.interventions._sites import require_ready, site_sets
from xor_mi.kinds import HookedModel, Sites
from xor_mi.progress import progress_bar
from xor_mi.truth import ArrayLike, as_bit, row_name

__all__ = ["Features", "scan_gates"]

MAX_FEATURES = 6
"""More features than this are refused: a table of n features has 2^n rows to be seen."""


MOST_WORK = 10**11
"""Units times inputs times gates times permutations: more scores than this are refused."""


BYTES_OF_A_BLOCK = 2**26
"""What the arithmetic on some of the units may take at once."""


Features = Mapping[str, Sequence[bool | int | float] | ArrayLike]
"""Name -> one bit per sample, as a list, a tensor or an array."""


@torch.no_grad()
def scan_gates(
    model: HookedModel,
    inputs: Tensor,
    features: Features,
    sites: Sites,
    *,
    n_permutations: int = 200,
    seed: int = 0,
    scores: bool = True,
    batch_size: int | None = None,
    progress: bool = True,
) -> GateScan:
    """For every unit at these sites, the gates of the features that its activation separates.

    A permutation control says how often chance does as well.

    Let the inputs vary in more than the features: where the features alone decide the input, every
    unit separates something, and no p-value is below 1.

    Args:
        model: a HookedMLP, any HookedRootModule after setup(), or a TransformerBridge; in eval
            mode.
        inputs: what the model is run on, a tensor [sample, ...]. Equal ones are one input.
        features: a mapping, name -> one bit per sample, as a list, array or tensor; 1 to 6
            features, two or more combinations. Equal inputs have equal features.
        sites: a hook name, a `Site` (of a site with an index only the units there), or several of
            them.
        n_permutations: how often the combinations are dealt out to the different inputs anew. The
            p-value of a cut is (1 + how often the unit then has one at least as wide) / (1 + this);
            it is per unit, not corrected for the number of units. Where there are at most 1,000
            ways, or no more than asked for, each is tried once, and the p-value is their share.
        seed: of the permutations. p-values depend on it and on the order of the samples; gates and
            margins do not.
        scores: whether `GateScan.scores` is worked out too, which takes most of the time.
        batch_size: inputs per forward; by default as many as `patch_sweep` would run at once.
        progress: bars, where the work takes over two seconds.

    Raises:
        XorMiError: features that are not bits, too many, of another length, or not decided by the
            input; a hook that is unknown, silent, fires twice or has no batch axis; activations
            that are not finite; train mode; too much to hold or to score.

    >>> from xor_mi.handmade import textbook_xor
    >>> noise = 0.1 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]] * 10)
    >>> features = {"a": rows[:, 0], "b": rows[:, 1]}
    >>> scan = scan_gates(textbook_xor(), rows + noise, features, "hook_logits")
    >>> scan.separating()[["gate", "formula", "is_decision"]].values.tolist()
    [['XOR', 'a ^ b', True]]
    """
    require_ready(model, "scanning for gates")
    if not isinstance(inputs, Tensor) or inputs.ndim == 0 or len(inputs) == 0:
        raise XorMiError(
            "inputs must be a tensor [sample, ...] with at least one sample; "
            "give what the model is run on"
        )
    seed = whole_number("seed", seed, below=SEEDS_BELOW)
    n_permutations = whole_number("n_permutations", n_permutations, at_least=1)
    if batch_size is not None:
        batch_size = whole_number("batch_size", batch_size, at_least=1)
    rows = _combinations(features, len(inputs))
    sites_of = _sites_by_hook(model, sites)
    n_samples, different = len(inputs), _different_inputs(inputs, rows)
    inputs = inputs[different]
    dealt = Dealt.of([rows[number] for number in different.tolist()], n_permutations, seed)
    wanted = wanted_units(model, inputs, sites_of)
    n_units = sum(len(units.numbers) for units in wanted)
    if not n_units:
        raise XorMiError(f"no unit at {', '.join(sites_of)}: the activations are empty")
    gates = scored_gates(dealt.rows, dealt.sizes) if scores else None
    n_gates = 0 if gates is None else len(gates.bits)
    _require_bounded(dealt, n_units, n_gates)

    names = tuple(map(str, features))
    lines: list[UnitGate] = []
    scored: list[UnitScores] = []
    n_separating = np.zeros(dealt.n_deals)
    size = batch_size or inputs_per_run(model, inputs)
    n_at_once = BYTES_OF_A_BLOCK // bytes_of_a_unit(len(inputs), len(dealt.rows), n_gates)
    for planned in passes(wanted, len(inputs)):
        kept = read_activations(model, inputs, planned, size, progress)
        blocks = [
            block
            for units, values in zip(planned, kept, strict=True)
            for block in in_blocks(units, values, max(1, n_at_once))
        ]
        total = len(blocks) * dealt.n_deals
        with progress_bar(doing="shuffling", unit="shuffle", total=total, progress=progress) as bar:
            for block in blocks:
                cuts = Cuts(block, dealt)
                scorer = None if gates is None else Scorer(block, dealt, gates)
                for deal, order in enumerate(dealt.orders()):
                    n_separating[deal] += cuts.count(order.split(dealt.sizes))
                    if scorer is not None:
                        scorer.count(order)
                    bar.update()
                lines += cuts.lines(decided_at(model, block.hook), names)
                scored += [] if scorer is None else [scorer.scores()]
    low, high = np.quantile(n_separating / n_units, (0.025, 0.975)).tolist()
    return GateScan(
        features=names,
        rows_seen=dealt.rows,
        n_samples=n_samples,
        n_distinct=len(inputs),
        n_units=n_units,
        n_permutations=dealt.n_deals,
        is_every_permutation=dealt.are_all,
        smallest_p=dealt.smallest_p,
        control_rate=n_separating.mean().item() / n_units,
        control_interval=(low, high),
        unit_gates=tuple(lines),
        _scores=None if gates is None else Scores(gates, tuple(scored)).frame(names, dealt.rows),
    )


# what is asked


def _combinations(features: Features, n_samples: int) -> list[str]:
    """The combination of the features that each sample has, such as '01'."""
    if not isinstance(features, Mapping):
        raise XorMiError(
            f"features as {type(features).__name__} given; "
            f"give 1 to {MAX_FEATURES} as {{name: one bit per sample}}"
        )
    if not 1 <= len(features) <= MAX_FEATURES:
        raise XorMiError(
            f"{len(features)} features given; "
            f"give 1 to {MAX_FEATURES} as {{name: one bit per sample}}"
        )
    columns = [_bits(str(name), column, n_samples) for name, column in features.items()]
    rows = [row_name(row) for row in zip(*columns, strict=True)]
    if len(set(rows)) < 2:
        raise XorMiError(
            f"all samples have the same features, {rows[0]}; "
            "give samples of at least two combinations"
        )
    return rows


def _bits(name: str, column: object, n_samples: int) -> list[int]:
    """A feature's values, checked to be one bit per sample."""
    values = column.tolist() if isinstance(column, ArrayLike) else column
    if not isinstance(values, (list, tuple)) or len(values) != n_samples:
        has = f"{len(values)} values" if isinstance(values, (list, tuple)) else repr(values)
        raise XorMiError(
            f"feature '{name}' has {has} for {n_samples} samples; give one bit per sample"
        )
    try:
        return [as_bit(value) for value in values]
    except XorMiError as error:
        raise XorMiError(
            f"feature '{name}': {error}; threshold it, or split it into several features"
        ) from None


def _different_inputs(inputs: Tensor, rows: Sequence[str]) -> Int[Tensor, "_"]:
    """The number of the first sample with each input, in order.

    Raises:
        XorMiError: one input with two combinations of the features.
    """
    if not inputs.numel():
        return torch.arange(len(inputs))
    # complex numbers have no order to be sorted in
    numbers = torch.view_as_real(inputs) if inputs.is_complex() else inputs
    _, group = numbers.unique(dim=0, return_inverse=True)
    first: dict[int, int] = {}
    for sample, number in enumerate(group.tolist()):
        before = first.setdefault(number, sample)
        if rows[before] != rows[sample]:
            raise XorMiError(
                f"samples {before} and {sample} are the same input with the features "
                f"{rows[before]} and {rows[sample]}, which no unit can tell apart; give features "
                "that the input decides"
            )
    return torch.tensor(list(first.values()))


def _sites_by_hook(model: HookedModel, sites: Sites) -> dict[str, list[Site]]:
    """Hook name -> the sites asked for there, in order."""
    by_hook: dict[str, list[Site]] = {}
    for together in site_sets(model, sites):
        for site in together:
            by_hook.setdefault(site.hook_name, []).append(site)
    if not by_hook:
        raise XorMiError(
            f"no hook given; this model has {len(model.hook_dict)}, listed in model.hook_dict"
        )
    return by_hook


def _require_bounded(dealt: Dealt, n_units: int, n_gates: int) -> None:
    """Refuse, before it is begun, what would take too much memory or time."""
    n_inputs = sum(dealt.sizes)
    less = "give fewer inputs, or sites with an index"
    per_unit = bytes_of_a_unit(n_inputs, len(dealt.rows), n_gates)
    require_memory(per_unit, what=f"one unit on {n_inputs:,} inputs", do="give fewer inputs")
    # a line of the answer takes about as much as 100 numbers
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
    """What the arithmetic on one unit holds at once."""
    n_numbers = 8 + (2 * n_combinations + 2 * n_gates if n_gates else 0)
    return 8 * n_numbers * n_inputs
