"""Which sets of hidden units look like the circuit, and which of these does patching let pass?
2-3-3-1 tanh networks trained on XOR.

    python benchmarks/node_masks.py [networks]

After Rios-Sialer's identifiability toy study (2026): binary cross-entropy on the logit, AdamW at
1e-2 with weight decay 1e-4, Kaiming-normal weights, zero biases, inputs with normal noise of sd 0.2
(scenario A) or 0.001 (B); each of 400 steps takes 1,024 fresh noisy rows. All 48 proper sets with
at least one unit per hidden layer are scored, exactly, over all ordered pairs of inputs."""

import sys

import pandas as pd
import torch
from tqdm import tqdm

from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP
from xor_mi.search import SCORES, node_masks

ROWS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0])


def train(seed: int, noise: float) -> HookedMLP:
    """One network, by the set-up above."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for d_in, d_out in ((2, 3), (3, 3), (3, 1)):
        weight = torch.randn((d_out, d_in), generator=generator) * (2 / d_in) ** 0.5
        layers.append((weight.requires_grad_(), torch.zeros(d_out).requires_grad_()))
    optimiser = torch.optim.AdamW(
        [parameter for layer in layers for parameter in layer], lr=1e-2, weight_decay=1e-4
    )
    for _ in range(400):
        chosen = torch.randint(4, (1024,), generator=generator)
        x = ROWS[chosen] + noise * torch.randn((1024, 2), generator=generator)
        for number, (weight, bias) in enumerate(layers):
            x = x @ weight.T + bias
            x = x.tanh() if number < 2 else x
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(x[:, 0], LABELS[chosen]).backward()
        optimiser.step()
    return HookedMLP.from_weights(
        [(w.detach(), b.detach()) for w, b in layers], act_fn="tanh", target="XOR"
    )


def main() -> None:
    """Train, score and print, scenario by scenario."""
    n_networks = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    torch.set_num_threads(1)
    for name, noise in (("A, noise 0.2", 0.2), ("B, noise 0.001", 0.001)):
        rows = []
        for seed in tqdm(range(n_networks), desc=f"scenario {name}", unit="network"):
            model = train(seed, noise)
            if decisions(model).flatten().tolist() != [0, 1, 1, 0]:
                continue
            frame = node_masks(model).frame()
            frame = frame[~frame["whole"]]
            perfect = frame[frame["perfect"]]
            passing = perfect[(perfect[list(SCORES)] >= 0.9).all(axis=1)]
            mean = {f"mean_{score}_of_perfect": perfect[score].mean() for score in SCORES}
            best = perfect["worst"].max() if len(perfect) else float("nan")
            rows.append(
                {
                    "seed": seed,
                    "n_masks": len(frame),
                    "n_perfect": len(perfect),
                    "n_pass_patching": len(passing),
                    "best_worst": best,
                    **mean,
                }
            )
        if not rows:
            print(f"\nscenario {name}: none of {n_networks} networks solves XOR")
            continue
        found = pd.DataFrame(rows)
        print(
            f"\nscenario {name}: {len(found)} of {n_networks} networks solve XOR; "
            f"{found['n_masks'].max()} masks each"
        )
        spread = found.drop(columns=["seed", "n_masks"]).describe()
        print(spread.loc[["mean", "min", "50%", "max"]].round(3).to_string())
        several = found[found["n_perfect"] >= 2]
        one_or_none = (several["n_pass_patching"] <= 1).sum()
        none = (several["n_pass_patching"] == 0).sum()
        print(
            f"  two or more perfect masks in {len(several)} networks; patching (all four scores at "
            f"least 0.9) leaves one or none in {one_or_none}, none in {none}"
        )


if __name__ == "__main__":
    main()
