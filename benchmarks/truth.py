"""Does every label agree with brute force? `python benchmarks/truth.py`: 10,000 networks, the
number of disagreements (it must be 0), and the families found.

Trains 2-2-1 and 2-4-1 networks with relu, tanh and sigmoid units on XOR, identifies each, and holds
verdict and all readings against `tests/oracles/readings.py`, which shares nothing with the
package."""

import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from xor_mi import TrainConfig, identify_circuit, train_population

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracles import readings

N_EACH = {
    ((2,), "relu"): 3000,
    ((2,), "tanh"): 1400,
    ((2,), "sigmoid"): 1400,
    ((4,), "relu"): 1400,
    ((4,), "tanh"): 1400,
}
N_EACH |= {((4,), "sigmoid"): 1400}


def disagreement(model, circuit, act):
    """'' where brute force says the same, else what differs."""
    (w1, b1), (w2, b2) = model.float64_layers()
    decided, expected = readings.faithful_gates(
        w1.tolist(), b1.tolist(), w2[0].tolist(), b2[0].item(), act=act
    )
    if decided != [False, True, True, False]:
        return (
            ""
            if circuit.verdict == "not_computing"
            else f"{circuit.verdict}, but it decides {decided}"
        )
    verdict = {0: "no_gate_reading", 1: "identified"}.get(len(expected), "ambiguous")
    found = [[reading.gate for reading in joint.readings[0]] for joint in circuit.readings]
    alike = circuit.verdict == verdict and sorted(found) == sorted(expected)
    return "" if alike else f"{circuit.verdict} {found}, not {verdict} {expected}"


def main(scale=1.0):
    """One line per setting, then the families; the exit status is 1 if anything disagrees."""
    total, wrong = 0, []
    for (hidden, act), n in N_EACH.items():
        n = max(1, round(n * scale))
        population = train_population("XOR", n, hidden=hidden, config=TrainConfig(act_fn=act))
        verdicts, families = Counter(), Counter()
        for index in tqdm(range(n), desc=f"2-{hidden[0]}-1 {act}", unit="network", disable=None):
            model = population[index]
            circuit = identify_circuit(model, with_evidence=False)
            found = disagreement(model, circuit, act)
            wrong += [f"2-{hidden[0]}-1 {act} seed {index}: {found}"] if found else []
            verdicts[circuit.verdict] += 1
            families[circuit.family] += bool(circuit.readings)
        total += n
        counts = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
        print(f"2-{hidden[0]}-1 {act:<8} {n} networks: {counts}")
        solved = sum(families.values()) or 1
        for family, count in families.most_common(6):
            if count:
                print(f"    {count:5d} ({100 * count / solved:4.1f} % of those read)  {family}")
    print(f"{len(wrong)} disagreements with brute force in {total} networks", *wrong[:20], sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
