"""How much faster is one batched forward than one forward per patch? Ratios within this run:
`python benchmarks/patching.py`.

Each line times ours and theirs in turn, several times over, on one thread and in seconds of the
processor, and prints the ratio of the shortest times: what else runs on the machine is not counted,
and slows a run down but never speeds it up."""

import contextlib
import io
import time

import pandas as pd
import torch
from torch import nn
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.patching import generic_activation_patch

from xor_mi import HookedMLP, HookedMLPConfig
from xor_mi.interventions import Site, patch_sweep
from xor_mi.metrics import logit

MEASURED = []
"""One entry per line printed, for `table.py`."""


def seconds(call, repeats):
    """Processor seconds of one call, over several."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def paired(name, slow, fast, goal, rounds=7, slow_repeats=1, fast_repeats=5):
    """Ratio slow / fast of the shortest times of each, over alternating rounds."""
    with contextlib.redirect_stderr(io.StringIO()):
        slow(), fast()
        times = [(seconds(slow, slow_repeats), seconds(fast, fast_repeats)) for _ in range(rounds)]
    a, b = (1e3 * min(side) for side in zip(*times, strict=True))
    ratio = a / b
    print(f"{name:<58} {a:9.3f} ms {b:9.3f} ms   ratio {ratio:7.2f}   goal {goal}")
    MEASURED.append({"work": name, "measured": ratio, "goal": goal})


def unit_setter(value, index, clean_value):
    """One unit, at every position if there are positions."""
    value = value.clone()
    value[..., index[1]] = clean_value[..., index[1]]
    return value


def mlp_sweep(width):
    """All ordered pairs of the four inputs, the pairs of a row with itself included, x all units of
    one layer.
    """
    model = HookedMLP(HookedMLPConfig(d_hidden=(width,), seed=1))
    rows = [(a, b) for a in ("00", "01", "10", "11") for b in ("00", "01", "10", "11")]
    clean, corrupted = (model.rows([pair[side] for pair in rows]) for side in (0, 1))
    index_df = pd.DataFrame([(0, k) for k in range(width)], columns=["layer", "unit"])

    def theirs():
        _, cache = model.run_with_cache(clean)
        with torch.no_grad():
            return generic_activation_patch(
                model,
                corrupted,
                cache,
                logit,
                unit_setter,
                "post",
                index_df=index_df,
                reduce="none",
                baseline=True,
            ).values

    def ours():
        return patch_sweep(model, rows).values[0]

    with contextlib.redirect_stderr(io.StringIO()):
        assert torch.allclose(theirs(), ours(), atol=1e-6)
    return theirs, ours


def transformer_sweep(act, hook, n_units, d_model=32, n_layers=2, length=6, n_pairs=3):
    """Every MLP neuron or head of a native transformer, at all positions."""
    sizes = {
        "d_model": d_model,
        "d_head": d_model // 4,
        "n_layers": n_layers,
        "n_ctx": length,
        "d_mlp": 2 * d_model,
    }
    cfg = TransformerBridgeConfig(n_heads=4, d_vocab=20, act_fn="relu", seed=0, **sizes)
    model = TransformerBridge.boot_native(cfg).eval()
    clean = torch.randint(0, 20, (n_pairs, length))
    corrupted = torch.randint(0, 20, (n_pairs, length))
    places = [(layer, k) for layer in range(n_layers) for k in range(n_units)]
    index_df = pd.DataFrame(places, columns=["layer", "unit"])
    sites = [Site(f"blocks.{layer}.{hook}", (None, k)) for layer, k in places]

    def setter(value, index, clean_value):
        value = value.clone()
        value[:, :, index[1]] = clean_value[:, :, index[1]]
        return value

    def metric(logits):
        return logits[:, -1, 1] - logits[:, -1, 2]

    def theirs():
        with torch.no_grad():
            _, cache = model.run_with_cache(clean)
            return generic_activation_patch(
                model, corrupted, cache, metric, setter, act, index_df=index_df, reduce="none"
            ).values

    def ours():
        return patch_sweep(model, (clean, corrupted), sites, metrics={"m": metric}).values[0]

    with contextlib.redirect_stderr(io.StringIO()):
        assert torch.allclose(theirs(), ours(), atol=1e-5)
    return theirs, ours


def main():
    """One table, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _print_table()
    finally:
        torch.set_num_threads(threads)


def _print_table():
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; ratio = first / second, "
        "results checked to be equal first"
    )
    paired(
        "16 pairs x 64 units of a 2-64-1 network", *mlp_sweep(64), "20", rounds=30, fast_repeats=20
    )
    paired("16 pairs x 1,024 units of a 2-1024-1 network", *mlp_sweep(1024), "8", rounds=5)
    paired(
        "3 pairs x 128 neurons of a 2-layer transformer",
        *transformer_sweep("post", "mlp.hook_post", 64),
        "1",
        rounds=3,
    )
    paired(
        "3 pairs x 8 heads of the same", *transformer_sweep("z", "attn.hook_z", 4), "1", rounds=7
    )
    large = transformer_sweep("z", "attn.hook_z", 4, d_model=128, n_layers=4, length=64, n_pairs=16)
    paired(
        "16 pairs x 16 heads, d_model 128, 64 tokens, in chunks",
        *large,
        "1",
        rounds=3,
        fast_repeats=1,
    )
    plain = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 1))
    hooked = HookedMLP.from_sequential(plain)
    x = torch.rand(4096, 2)
    with torch.no_grad():
        paired(
            "plain forward / hooked forward, 4096 inputs, 2-64-1",
            lambda: plain(x),
            lambda: hooked(x),
            "1/1.6 = 0.63",
            rounds=30,
            slow_repeats=50,
            fast_repeats=50,
        )
        x4 = hooked.rows()
        paired(
            "plain forward / hooked forward, 4 inputs, 2-64-1",
            lambda: plain(x4),
            lambda: hooked(x4),
            "0.8",
            rounds=30,
            slow_repeats=200,
            fast_repeats=200,
        )


if __name__ == "__main__":
    main()
