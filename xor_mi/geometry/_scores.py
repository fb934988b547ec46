"""what a decision is made by: combinations of outputs that must all be above the cut.

With a threshold each output decides alone. With argmax a decision is 1 if its output is above every
rival: this is one difference of two outputs, or one for each of several others.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from xor_mi.model import HookedMLP


def rivals_of(model: HookedMLP) -> Float[ndarray, "decision rival d_out"]:
    """Per decision, the combinations of outputs that must all be above the cut for it to be 1.

    The smallest of them is the decision's score.

    >>> from xor_mi.handmade import textbook_xor
    >>> rivals_of(textbook_xor()).tolist()
    [[[1.0]]]
    """
    d_out = model.cfg.d_out
    own = np.eye(d_out)
    if model.rule.name == "threshold":
        return own[:, None]
    if model.cfg.n_decisions == 1:
        return (own[1] - own[0])[None, None]
    return np.array([[own[k] - own[i] for i in range(d_out) if i != k] for k in range(d_out)])


def smallest_of_decisions(
    values: Float[ndarray, "*batch value"], n_decisions: int
) -> Float[ndarray, "*batch decision"]:
    """Values of `rivals_of`, decision by decision, -> the score of each decision."""
    n_rivals = values.shape[-1] // n_decisions
    return values.reshape(*values.shape[:-1], n_decisions, n_rivals).min(-1)


def sign_of_decisions(
    distances: Float[ndarray, "*batch value"], n_decisions: int
) -> Int[ndarray, "*batch decision"]:
    """Values of `rivals_of` minus the cut -> 1 for decided 1, -1 for decided 0, 0 for undecided."""
    return smallest_of_decisions(np.sign(distances), n_decisions).astype(int)


def score_names(model: HookedMLP) -> tuple[str, ...]:
    """The name of each decision's score: "y0", "y1 - y0", or "y0 - best other"."""
    outputs = range(model.cfg.d_out)
    if model.rule.name == "threshold":
        return tuple(f"y{k}" for k in outputs)
    if model.cfg.n_decisions == 1:
        return ("y1 - y0",)
    return tuple(f"y{k} - best other" for k in outputs)
