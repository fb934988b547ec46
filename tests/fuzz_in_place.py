"""Every intervention on a model that works in place, against the same model that does not."""

import random

import torch
from in_place import both

from xor_mi.interventions import METHODS, Site, ablation_sweep, attribute, patch_sweep


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """One model, and what all methods, a sweep and the ablations say of it in place."""
    seed = rng.randrange(2**31)
    n_pairs, bound = rng.randint(1, 4), rng.choice([None, 1, 800])
    generator = torch.Generator().manual_seed(seed)
    models = both(seed)
    # few different numbers, so that some inputs are there twice
    clean, corrupted = torch.randint(-1, 3, (2, n_pairs, models[0].d_in), generator=generator) / 2
    sites = [
        Site(f"{kind}.{layer}", (unit,))
        for kind in ("before", "after")
        for layer, width in enumerate(models[0].widths)
        for unit in range(width)
    ]
    sites = rng.sample(sites, min(len(sites), 6))
    asked = {"metrics": {"y": lambda outputs: outputs[:, 0] - outputs.mean()}}
    asked |= {"max_batch_bytes": bound, "progress": False}
    given = clean.clone(), corrupted.clone()
    n_compared, lines = 0, []

    def compare(what, of):
        nonlocal n_compared
        in_place, other = map(of, models)
        n_compared += other.numel()
        # a model that makes fewer tensors is run in other chunks, which round in another way
        if not torch.allclose(in_place, other, atol=1e-5):
            lines.append(f"{what} of model {seed}: {in_place.tolist()}, not {other.tolist()}")

    pairs = (clean, corrupted)
    for method in METHODS:
        if method != "direct_logit":
            compare(
                method, lambda m, by=method: attribute(m, pairs, sites, method=by, **asked).scores
            )
    compare("patch_sweep", lambda m: patch_sweep(m, pairs, sites, **asked).values)
    for value in ("zero", "mean", 0.25):
        # a mean over the one row that is run would ablate nothing
        over = {"over": torch.cat([clean, clean + 1])} if value == "mean" else {}
        compare(
            f"ablation by {value}",
            lambda m, to=value, of=over: (
                ablation_sweep(m, sites, rows=clean, value=to, **of, **asked).values
            ),
        )
    n_compared += 1
    if not all(torch.equal(now, then) for now, then in zip(pairs, given, strict=True)):
        lines.append(f"model {seed} changed the caller's inputs")
    return n_compared, lines
