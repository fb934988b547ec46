"""Why is `min_margin` 0.01 by default? The networks behind it.

    python benchmarks/margins_of_readings.py [networks] [widths such as 2,3,4] [activations]

Networks 2-k-1 are trained on XOR at the default settings. Each one that solves it is identified
three times: as it is, with its weights rounded to bfloat16 and back, and after one more step of the
same training. For each setting it prints

- of the readings in each range of margins, the share whose bits no threshold gives any more after
  rounding, and after the step;
- for each `min_margin`, the share of networks that lose a circuit which passes every joint
  interchange; how many circuits are left per network; and the share in which the verdict, the set
  of all circuits, the set of those that pass, and the first circuit are others after rounding, and
  after the step.
"""

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, get_args

import numpy as np
import torch
from tqdm import tqdm

from xor_mi import HookedMLP, identify_circuit, train_population
from xor_mi.circuits import CandidateCircuit, unit_readings
from xor_mi.kinds import ActivationName
from xor_mi.values import forward_float64

STEPPED = ("identity", "heaviside", "sign")
"""Activations that cannot be trained, or cannot compute XOR."""
MIN_MARGINS = (0, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2)
RANGES = (0, 0.0001, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 1.01)


class Changed(NamedTuple):
    """One network as it was trained, rounded, and one step on."""

    trained: HookedMLP
    rounded: HookedMLP
    stepped: HookedMLP


def networks(act_fn: ActivationName, width: int, n_networks: int) -> list[Changed]:
    """Those that solve XOR, with what becomes of them."""
    population = train_population("XOR", n_networks, hidden=width, act_fn=act_fn)
    solved = population.solved.nonzero().flatten().tolist()
    found = []
    for index in tqdm(solved, desc=f"2-{width}-1 {act_fn}, one more step", unit="network"):
        trained = population[index]
        # the same training from the same start, which no loss ends and one step more does
        longer = train_population(
            "XOR",
            1,
            hidden=width,
            act_fn=act_fn,
            seed=int(population.seeds[index]),
            max_steps=int(population.steps[index]) + 1,
            stop_loss=1e-30,
            progress=False,
        )
        found.append(Changed(trained, rounded(trained), longer[0]))
    return found


def rounded(model: HookedMLP) -> HookedMLP:
    """The network with its weights rounded to bfloat16 and back."""
    layers = model.float64_layers()
    return model.with_weights([(weight.bfloat16(), bias.bfloat16()) for weight, bias in layers])


def hidden_values(model: HookedMLP) -> torch.Tensor:
    """[row, unit]"""
    return forward_float64(model, model.rows())[0].post


class Lost(NamedTuple):
    """Readings of trained networks: their margins, and which of them are none any more."""

    margins: list[float]
    lost: list[bool]

    def __str__(self) -> str:
        bins = np.digitize(self.margins, RANGES)
        parts = []
        for number, (low, high) in enumerate(pairwise(RANGES), start=1):
            of_bin = np.array(self.lost)[bins == number]
            share = f"{of_bin.mean():.4f} of {len(of_bin)}" if len(of_bin) else "none"
            parts.append(f"{low:g} to {min(high, 1):g}: {share}")
        return ", ".join(parts)


def readings_lost(changed: Sequence[tuple[HookedMLP, HookedMLP]]) -> Lost:
    """Which readings of the one have bits that no threshold gives in the other."""
    margins, lost = [], []
    for before, after in changed:
        columns = zip(hidden_values(before).T, hidden_values(after).T, strict=True)
        for column, column_after in columns:
            left = {reading.bits for reading in unit_readings(column_after)}
            for reading in unit_readings(column):
                if reading.margin is not None:
                    margins.append(reading.margin)
                    lost.append(reading.bits not in left)
    return Lost(margins, lost)


class Found(NamedTuple):
    """What survives in one network with `min_margin=0`, the one to believe first."""

    circuits: tuple[CandidateCircuit, ...]

    def left(self, min_margin: float) -> list[CandidateCircuit]:
        """What is left of them; the order does not depend on `min_margin`."""
        return [one for one in self.circuits if one.smallest_margin >= min_margin]

    def passing(self, min_margin: float) -> list[CandidateCircuit]:
        """Those that pass every joint interchange."""
        return [one for one in self.left(min_margin) if one.proof_level == "joint"]

    def verdict(self, min_margin: float) -> str:
        """As `identify_circuit` gives it with this `min_margin`."""
        n_passing = len(self.passing(min_margin))
        if n_passing:
            return "identified" if n_passing == 1 else "ambiguous"
        return "approximate" if self.left(min_margin) else "no_gate_reading"


def identified(model: HookedMLP) -> Found:
    """The circuits, whatever their margins."""
    return Found(identify_circuit(model, min_margin=0, with_evidence=False).circuits)


def differences(before: Found, after: Found, min_margin: float) -> list[bool]:
    """Whether verdict, all circuits, those that pass, and the first are others."""
    left = [one.left(min_margin) for one in (before, after)]
    passing = [one.passing(min_margin) for one in (before, after)]
    return [
        before.verdict(min_margin) != after.verdict(min_margin),
        netlists(left[0]) != netlists(left[1]),
        netlists(passing[0]) != netlists(passing[1]),
        netlists(left[0][:1]) != netlists(left[1][:1]),
    ]


def netlists(circuits: Sequence[CandidateCircuit]) -> set[tuple[object, ...]]:
    """What circuits are compared by: their gates, tables over units by name."""
    return {one.netlist for one in circuits}


class Studied(NamedTuple):
    """What was measured of the networks of one setting, or of several."""

    rounding: Lost
    step: Lost
    found: list[list[Found]]


def study(act_fn: ActivationName, width: int, n_networks: int) -> Studied:
    """Train, change and identify."""
    trained = networks(act_fn, width, n_networks)
    bar = tqdm(trained, desc="identifying", unit="network")
    return Studied(
        rounding=readings_lost([(one.trained, one.rounded) for one in trained]),
        step=readings_lost([(one.trained, one.stepped) for one in trained]),
        found=[[identified(model) for model in one] for one in bar],
    )


def show(studied: Studied) -> None:
    """Everything printed about it."""
    print(f"  readings lost by rounding: {studied.rounding}")
    print(f"  readings lost by one step: {studied.step}")
    names = "verdict / all / passing / first"
    print(
        f"  {'min_margin':>10} {'lose one':>9} {'circuits':>9}   {names} changed by rounding; step"
    )
    found = studied.found
    for min_margin in MIN_MARGINS:
        losing = [len(one[0].passing(0)) > len(one[0].passing(min_margin)) for one in found]
        n_left = [len(one[0].left(min_margin)) for one in found]
        line = f"  {min_margin:>10} {np.mean(losing):>9.4f} {np.mean(n_left):>9.2f}  "
        for place in (1, 2):
            shares = np.mean([differences(one[0], one[place], min_margin) for one in found], axis=0)
            line += " " + " / ".join(f"{share:.4f}" for share in shares) + ";" * (place == 1)
        print(line, flush=True)


def main() -> None:
    """Setting by setting, then all of them together."""
    n_networks = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    widths = [int(width) for width in (sys.argv[2] if len(sys.argv) > 2 else "2,3").split(",")]
    names: tuple[ActivationName, ...] = get_args(ActivationName)
    asked = sys.argv[3].split(",") if len(sys.argv) > 3 else set(names).difference(STEPPED)
    torch.set_num_threads(1)
    together = Studied(Lost([], []), Lost([], []), [])
    for width in widths:
        for act_fn in names:
            if act_fn not in asked:
                continue
            studied = study(act_fn, width, n_networks)
            n_solved = len(studied.found)
            print(f"\n2-{width}-1 {act_fn}: {n_solved} of {n_networks} networks solve XOR")
            if studied.found:
                show(studied)
            for whole, part in (
                (together.rounding, studied.rounding),
                (together.step, studied.step),
            ):
                whole.margins.extend(part.margins)
                whole.lost.extend(part.lost)
            together.found.extend(studied.found)
    print(f"\nall {len(together.found)} networks")
    show(together)


if __name__ == "__main__":
    main()
