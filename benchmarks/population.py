"""How much faster are many networks at once than a plain loop over one? Ratios within this run:
`python benchmarks/population.py`.
"""

import time

import torch

from xor_mi import HookedMLP, HookedMLPConfig, census, identify_circuit, train_population


def seconds(call):
    """Wall seconds, and what came out."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def plain(steps=200):
    """A plain PyTorch loop over one network."""
    model = HookedMLP(HookedMLPConfig(target="XOR"))
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    x, y = model.rows(), torch.tensor([[0.0], [1], [1], [0]])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()


def deep(n_networks=1000, n_alone=20):
    """Seconds for a network of two hidden layers, identified alone, and with others at once."""
    census(train_population("XOR", 20, hidden=(3, 3), seed=n_networks))  # what is done once
    population = train_population("XOR", n_networks, hidden=(3, 3))
    models = [population[number] for number in range(n_alone)]
    alone, _ = seconds(lambda: [identify_circuit(m, with_evidence=False) for m in models])
    at_once, _ = seconds(lambda: census(population))
    return alone / n_alone, at_once / n_networks


def main():
    """Three lines; returns the ratios by name."""
    with torch.random.fork_rng():
        plain(20)
        loop = 10 * seconds(plain)[0]
    two, population = seconds(lambda: train_population("XOR", 10_000))
    eight, _ = seconds(lambda: train_population("XOR", 10_000, hidden=8))
    found, _ = seconds(lambda: census(population))
    alone, at_once = deep()
    print(
        f"per network, 2,000 steps: plain loop {loop:.2f} s, at once {two / 1e4 * 1e6:.0f} us: "
        f"ratio {loop / two * 1e4:.0f}, goal 1000"
    )
    print(
        f"width 8 against width 2: {eight / two:.2f}, goal at most 3; "
        f"identifying against training: {found / two:.2f}, goal at most 1"
    )
    print(
        f"2-3-3-1 identified: one by one {alone * 1e3:.1f} ms a network, at once "
        f"{at_once * 1e3:.2f} ms: ratio {alone / at_once:.0f}, goal 5"
    )
    return {
        "loop / at once": loop / two * 1e4,
        "width 8 / width 2": eight / two,
        "identifying / training": found / two,
        "2-3-3-1 one by one / at once": alone / at_once,
    }


if __name__ == "__main__":
    main()
