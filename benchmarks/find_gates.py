"""Does `find_gates` agree with `identify_circuit`, and how often does it name a gate by chance?

    python benchmarks/find_gates.py [NETWORKS]

So many trained networks, 300 unless said otherwise, of six shapes that solve XOR: where
`identify_circuit` has one circuit and it gives a unit a gate, `find_gates` must call the unit
acting as this gate, or carrying it without use; where it leaves the unit idle, as nothing. Then a
tenth as many untrained models with features that mean nothing: how many units are called acting.
With few inputs there is no p-value, and many are. About a minute on one core."""

import sys
from collections import Counter

import torch
from solved import solved_networks
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from xor_mi import HookedMLP, find_gates, identify_circuit, metrics
from xor_mi.gate_scan import FoundGates
from xor_mi.model import HookedMLPConfig

SHAPES = [(act_fn, (width,)) for act_fn in ("relu", "tanh") for width in (2, 3, 4)]
AT_ONCE = 50


def compared(model: HookedMLP) -> Counter[str]:
    """What is said of each hidden unit, counted."""
    circuit, found = identify_circuit(model), find_gates(model, progress=False)
    if circuit.verdict != "identified":
        return Counter({"no identified circuit": len(model.units)})
    verdict_of = {(one.name, one.gate): one.verdict for one in found.units}
    acts_as = {one.name: one.gate for one in found.units if one.verdict == "acts"}
    told: Counter[str] = Counter()
    for unit in model.units:
        name = unit.name
        gates = {
            one.readings[0].of(unit).gate if unit in one.live else "" for one in circuit.passing
        }
        if len(gates) > 1:
            told["several gates"] += 1
        elif any(unit in copies for copies in circuit.copies):
            # the circuit is proved with copies exchanged together
            told["a copy"] += 1
        elif gates == {""}:
            told["CONTRADICTED" if name in acts_as else "idle, and acts as nothing"] += 1
        elif acts_as.get(name) in gates:
            told["acts as its gate"] += 1
        else:
            verdict = verdict_of.get((name, *gates))
            is_unused = verdict == "carries it, not used" and name not in acts_as
            told["its gate, not used" if is_unused else "CONTRADICTED"] += 1
    return told


def dealt_anew(n_inputs: int, n_features: int, seed: int) -> dict[str, list[int]]:
    """Features that have nothing to do with the inputs, as many of each combination."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(n_inputs, generator=generator)
    return {f"f{k}": (order >> k & 1).tolist() for k in range(n_features)}


def by_chance(seed: int) -> dict[str, FoundGates]:
    """Untrained models, and features that mean nothing."""
    quiet = {"progress": False, "seed": seed}
    generator = torch.Generator().manual_seed(seed)
    mlp = HookedMLP(HookedMLPConfig(d_hidden=(16,), seed=seed)).eval()
    noisy = mlp.rows().repeat(10, 1) + 0.3 * torch.randn(40, 2, generator=generator)
    cfg = TransformerBridgeConfig(
        n_layers=1, n_heads=2, d_model=8, d_head=4, d_mlp=16, n_ctx=3, d_vocab=16, act_fn="relu"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bridge = TransformerBridge.boot_native(cfg).eval()
    number = torch.randperm(16**3, generator=generator)[:40]
    tokens = torch.stack([number // 256, number // 16 % 16, number % 16], dim=1)
    where = "blocks.0.mlp.hook_post"
    decide = metrics.by_tokens(1, 0)
    found = {
        "network 2-16-1, the 4 rows": find_gates(mlp, None, dealt_anew(4, 2, seed), **quiet),
        "network 2-16-1, 40 inputs": find_gates(mlp, noisy, dealt_anew(40, 2, seed), **quiet),
    }
    for n in (4, 8, 40):
        found[f"transformer, {n} sentences"] = find_gates(
            bridge, tokens[:n], dealt_anew(n, 2, seed), where, decide=decide, **quiet
        )
    return found


def main() -> None:
    """Compare on trained networks, then count on untrained models."""
    n_networks = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    torch.set_num_threads(1)
    told: Counter[str] = Counter()
    n_of_shape = max(1, n_networks // len(SHAPES))
    for act_fn, hidden in SHAPES:
        of_shape: Counter[str] = Counter()
        for model in solved_networks(act_fn, hidden, n_of_shape, at_once=AT_ONCE):
            of_shape += compared(model)
        print(f"2-{hidden[0]}-1 {act_fn}: {dict(of_shape)}", flush=True)
        told += of_shape
    print(f"in all: {dict(told)}; {told['CONTRADICTED']} contradictions")
    n_units: Counter[str] = Counter()
    n_acting: Counter[str] = Counter()
    for seed in range(max(1, n_networks // 10)):
        for name, found in by_chance(seed).items():
            n_units[name] += found.scan.n_units
            n_acting[name] += len({one.name for one in found.units if one.verdict == "acts"})
    print("untrained, features that mean nothing, units called acting:")
    for name, n in n_units.items():
        print(f"  {name}: {n_acting[name]} of {n} ({n_acting[name] / n:.2%})")


if __name__ == "__main__":
    main()
