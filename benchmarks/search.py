"""How fast is exhaustion? Ratios within one run; python benchmarks/search.py

Goals: 9,625 subcircuits of 2-3-3-1 at least 200 times as fast as one hooked forward each; the exact
number of perfect ones of 2-4-4-1 in 0.3 s, of 2-5-5-1 in 0.25 s and of 2-6-6-1 in four minutes on
two cores, in 2 GiB, the latter two foretold to a factor of three; one network's formulas and
alignments in 0.1 s; truth over the 262,144 edge masks of 2-3-3-1 in 50 ms; its identifiability
report in half a second."""

import resource
from itertools import islice, pairwise, product
from time import perf_counter, process_time

import torch

from xor_mi.graph import Subcircuit
from xor_mi.search import (
    Convention,
    as_network,
    count_perfect_subcircuits,
    count_subcircuits,
    counting_cost,
    edge_masks,
    find_alignments,
    find_subcircuits,
    identifiability_report,
)
from xor_mi.search._alignments import _effects
from xor_mi.search._formulas import _formulas_of
from xor_mi.training import train


def _bits_set(mask: int, n: int) -> tuple[int, ...]:
    """The places of the ones among the n lowest bits."""
    return tuple(i for i in range(n) if mask >> i & 1)


def parts(sizes: tuple[int, ...]) -> list[Subcircuit]:
    """Some subcircuits, in any order, straight from the definition."""
    options = []
    for d_in, d_out in pairwise(sizes):
        sources = [_bits_set(mask, d_in) for mask in range(1, 2**d_in)]
        options.append(product(sources, repeat=d_out))
    every = (Subcircuit(sizes, sources) for sources in product(*options))
    return list(
        islice(
            (
                part
                for part in every
                if {i for kept in part.sources[-1] for i in kept} == set(range(sizes[-2]))
            ),
            200,
        )
    )


def masking(part: Subcircuit) -> list:
    """Hooks that drop the other edges."""
    names, hooks = ("blocks.0.hook_edge", "blocks.1.hook_edge", "hook_edge"), []
    for name, sources in zip(names, part.sources, strict=True):
        mask = torch.tensor(
            [[float(i in kept) for i in range(2 if name == names[0] else 3)] for kept in sources]
        )
        hooks.append((name, lambda value, hook, mask=mask: value * mask))  # noqa: ARG005
    return hooks


def timed(work, repeats: int = 3, *, clock=perf_counter) -> float:
    """The best of some runs, in seconds of a clock."""
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best


def of_one_core(work, repeats: int = 3) -> float:
    """The least CPU time of some runs, in seconds: other people's work does not count."""
    return timed(work, repeats, clock=process_time)


def main() -> dict[str, float]:
    """Time, and print one line each; returns the figures by name."""
    figures = {}
    torch.set_num_threads(2)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    model = train("XOR", hidden=(3, 3), seed=1).model
    rows = model.rows()
    some = parts((2, 3, 3, 1))
    networks = [as_network(model, part) for part in some]
    each = timed(lambda: [network(rows) for network in networks]) / len(networks)
    hooks = [masking(part) for part in some]
    model.set_use_edge_result(True)
    hooked = timed(lambda: [model.run_with_hooks(rows, fwd_hooks=hook) for hook in hooks]) / len(
        some
    )
    model.set_use_edge_result(False)
    every = timed(lambda: find_subcircuits(model, progress=False))
    print(f"2-3-3-1: {count_subcircuits((2, 3, 3, 1)):,} subcircuits in {every * 1e3:.1f} ms")
    print(
        f"  {9625 * hooked / every:.0f} times one hooked forward each "
        f"({9625 * each / every:.0f} times a plain one of ready-made networks)"
    )
    figures["one hooked forward each / 9,625 subcircuits"] = 9625 * hooked / every
    for width, seed in ((4, 1), (5, 1), (6, 1)):
        model = train("XOR", hidden=(width, width), seed=seed).model
        expected = counting_cost(model)
        found = count_perfect_subcircuits(model)
        start = process_time()
        seconds = timed(
            lambda model=model: count_perfect_subcircuits(model, progress=False),
            repeats := 1 if width > 5 else 3,
        )
        foretold = expected.seconds * expected.n_threads * repeats / (process_time() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        total = count_subcircuits(model.layer_sizes)
        figures[f"2-{width}-{width}-1 counted, s"] = seconds
        figures[f"2-{width}-{width}-1 foretold / counted, or the inverse"] = max(
            foretold, 1 / foretold
        )
        print(
            f"2-{width}-{width}-1: {found:,} perfect of {total:,} in {seconds:.2f} s; "
            f"{peak:.2f} GiB at most so far; foretold: {expected}, {foretold:.2f} of what it took"
        )
    model = train("XOR", hidden=(3, 3), seed=1).model
    for name, convention in (
        ("ordered formulas", Convention.meloux_paper()),
        ("free formulas", Convention()),
    ):
        _effects.cache_clear()
        _formulas_of.cache_clear()
        first = timed(
            lambda convention=convention: find_alignments(model, convention=convention), 1
        )
        again = timed(lambda convention=convention: find_alignments(model, convention=convention))
        figures[f"alignments of one network, {name}, s"] = first
        print(
            f"alignments of one network, {name}: {first * 1e3:.0f} ms the first time, "
            f"{again * 1e3:.1f} ms then"
        )
    masks = edge_masks(model)
    ms = 1e3 * of_one_core(lambda: edge_masks(model, progress=False), 10)
    figures["truth over the 2^18 edge masks of 2-3-3-1, ms"] = ms
    print(f"{masks} of 2-3-3-1, in {ms:.1f} ms")
    # of these networks the report takes longest among the first sixty
    slowest = [train("XOR", hidden=(3, 3), seed=seed).model for seed in (57, 23, 9)]
    seconds = max(
        of_one_core(lambda one=one: identifiability_report(one, progress=False)) for one in slowest
    )
    figures["identifiability report of 2-3-3-1, s"] = seconds
    print(f"identifiability report of 2-3-3-1, of the slowest of 60: {seconds:.2f} s")
    figures["GiB at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


if __name__ == "__main__":
    main()
