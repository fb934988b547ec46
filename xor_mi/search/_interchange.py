"""many sets of units at once -> what the network does when they have the values they have on
another input; NumPy float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xor_mi.circuits._readings import ROUNDING
from xor_mi.errors import XorMiError
from xor_mi.search._subcircuits import Problem

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""(weight, bias) per linear layer: the whole network's, or `Problem.kept(subcircuit)`."""
Pairs = tuple[np.ndarray, np.ndarray]
"""Row numbers of bases and of sources, [pair] each."""


def pairs_of(n_rows: int, which: str) -> Pairs:
    """The (base, source) pairs that a convention tries."""
    base, source = np.divmod(np.arange(n_rows**2), n_rows)
    keep = {"all": base >= 0, "distinct": base != source, "unordered": source < base}[which]
    return base[keep], source[keep]


def whole_network(model: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """All weights and biases, in NumPy float64."""
    return [(weight.numpy(), bias.numpy()) for weight, bias in model.float64_layers()]


def require_output(model: Any, output: Any) -> None:
    """An output that is not there is refused."""
    if isinstance(output, bool) or not isinstance(output, int) or not 0 <= output < model.cfg.d_out:
        raise XorMiError(f"no output {output!r}; the network has {model.cfg.d_out}, counted from 0")


def interchanged(
    setting: Problem, layers: Layers, masks: np.ndarray, pairs: Pairs, ablate: str = ""
) -> np.ndarray:
    """Decisions on each base with these hidden units as on the source, or ablated ("zero", "mean"):
    1, 0, or -1 where undecided, [set, pair, output]."""
    outputs, scale = interchange_outputs(setting, layers, masks, pairs, ablate)
    over = outputs - setting.model.threshold
    return np.where(np.abs(over) <= ROUNDING * scale, -1, over > 0).astype(np.int8)


def interchange_outputs(
    setting: Problem, layers: Layers, masks: np.ndarray, pairs: Pairs, ablate: str = ""
) -> tuple[np.ndarray, float]:
    """Outputs, [set, pair, output], of the same, and the size of the terms that they are sums of.
    `masks` is [set, hidden unit].
    """
    base, source = pairs
    clean = setting.rows[: 2**setting.model.cfg.d_in]
    changed = np.broadcast_to(clean[base], (len(masks), len(base), clean.shape[1]))
    start, scale = 0, 1.0
    for number, (weight, bias) in enumerate(layers):
        scale = float((np.abs(weight) @ np.abs(clean).max(0) + np.abs(bias)).max())
        clean, changed = (
            setting.activate(clean @ weight.T + bias, number),
            setting.activate(changed @ weight.T + bias, number),
        )
        if number < len(layers) - 1:
            chosen = masks[:, None, start : start + len(weight)]
            wanted = {"": clean[source], "zero": np.zeros(1), "mean": clean.mean(0)}[ablate]
            changed = np.where(chosen, wanted, changed)
            start += len(weight)
    return changed, scale
