"""Attribution on transformers drawn at random, against one example at a time: gradients by autograd
in a run with hooks, direct contributions by TransformerLens' own functions of a cache.
"""

import contextlib
import io
import random
from functools import partial

import torch
from models import native_transformer

from xor_mi.interventions import METHODS, Site, attribute
from xor_mi.interventions import sites as sites_of

N_STEPS = 4
WRITERS = ("hook_attn_out", "hook_mlp_out")


def drawn_bridge(rng, generator):
    """A native transformer of any kind, with weights of ordinary size everywhere."""
    heads = rng.choice([2, 4])
    settings = {
        "n_layers": rng.choice([1, 2, 3]),
        "n_heads": heads,
        "d_model": rng.choice([8, 16]),
        "act_fn": rng.choice(["relu", "gelu"]),
        "normalization_type": rng.choice([None, "LN", "RMS"]),
        "attn_only": rng.random() < 0.3,
        "seed": rng.randrange(1000),
    }
    if rng.random() < 0.4:
        settings["n_key_value_heads"] = heads // 2
    sizes = {"d_head": 4, "n_ctx": 6, "d_mlp": 12, "d_vocab": 7}
    bridge = native_transformer(**sizes, **settings)
    with torch.no_grad():
        for weight in bridge.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    bridge.requires_grad_(rng.random() < 0.5)
    with contextlib.redirect_stdout(io.StringIO()):  # it says that it is converted
        bridge = bridge.to(rng.choice([torch.float32, torch.float64, torch.bfloat16]))
    return bridge, settings


@torch.no_grad()
def seen_at(bridge, hook_name, tokens):
    """What a hook saw of one example."""
    seen = []

    def keep(value, hook):
        seen.append(value.clone())

    bridge.run_with_hooks(tokens.clone(), fwd_hooks=[(hook_name, keep)])
    return seen[0]


def slope_at(bridge, hook_name, tokens, metric, value):
    """The metric's gradient at a hook of one example that holds this value."""
    leaf = value.clone().requires_grad_()
    hooks = [(hook_name, lambda value, hook: leaf * 1.0)]
    total = metric(bridge.run_with_hooks(tokens.clone(), fwd_hooks=hooks)).sum()
    if not total.requires_grad:
        return torch.zeros_like(value)
    (slope,) = torch.autograd.grad(total, leaf, allow_unused=True)
    return torch.zeros_like(value) if slope is None else slope


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """One transformer, some of its hooks, both gradients and the direct contributions."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    bridge, text = drawn_bridge(rng, generator)
    low = next(bridge.parameters()).dtype == torch.bfloat16
    clean, corrupted = torch.randint(0, 7, (2, 2, rng.choice([1, 4, 6])), generator=generator)
    readout = torch.randn(clean.shape[1], 7, generator=generator).to(next(bridge.parameters()))
    n_compared, lines = 0, []

    def metric(outputs):
        return (outputs * readout).flatten(1).sum(1)

    def scores(sites, method):
        asked = {"metrics": metric, "max_batch_bytes": rng.choice([None, 1, 3000])}
        return attribute(
            bridge, (clean, corrupted), sites, method=method, progress=False, **asked
        ).scores[0]

    def compare(what, got, expected, size):
        nonlocal n_compared
        n_compared += expected.numel()
        if not ((got - expected).abs() <= (0.1 if low else 1e-4) * (1 + size)).all():
            lines.append(f"{what} of {text}: {got.tolist()}, not {expected.tolist()}")

    names = [site.hook_name for site in sites_of(bridge, "hook")]
    for name in rng.sample(names, 3):
        pairs = [
            [seen_at(bridge, name, side[k : k + 1]) for side in (clean, corrupted)] for k in (0, 1)
        ]
        if not pairs[0][0].is_floating_point():
            continue
        index = () if rng.random() < 0.5 else (rng.randrange(pairs[0][0].shape[1]),)
        for method, steps in (("attribution_patching", 0), ("integrated_gradients", N_STEPS)):
            by = partial(METHODS[method], n_steps=N_STEPS) if steps else method
            expected = []
            for k, (high, start) in enumerate(pairs):
                tokens, change = corrupted[k : k + 1], high.double() - start.double()
                ways = [(step + 0.5) / steps for step in range(steps)] or [0.0]
                points = [(start + way * (high - start)).to(start) for way in ways]
                slopes = [slope_at(bridge, name, tokens, metric, one).double() for one in points]
                products = torch.stack(slopes).mean(0) * change
                expected.append(products[(slice(None), *index)])
            want = torch.stack([one.sum() for one in expected])
            size = torch.stack([one.abs().sum() for one in expected]).amax()
            compare(
                f"{method} at {name}{list(index)}",
                scores([Site(name, index)], by)[0].double(),
                want,
                size,
            )

    layers = range(text["n_layers"])
    written = [f"blocks.{layer}.{one}" for layer in layers for one in WRITERS]
    written = ["hook_embed", "hook_pos_embed", *(name for name in written if name in names)]
    caches = [bridge.run_with_cache(side)[1] for side in (clean, corrupted)]
    parts = [torch.stack([cache[name] for name in written]) for cache in caches]
    stack = caches[1].apply_ln_to_stack(parts[0].detach().double() - parts[1].detach().double())
    if text["normalization_type"] is not None:
        stack = stack * bridge.ln_final.w
    # what a component adds to the metric is its logits, read by it
    each = stack.double() @ bridge.unembed.W_U.double() * readout.double()
    want, size = each.flatten(2).sum(2).detach(), each.abs().flatten(2).sum(2).amax().item()
    compare("direct_logit", scores(written, "direct_logit").double(), want, size)
    return n_compared, lines
