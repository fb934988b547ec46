"""Marcus' identity experiment: what a network is never shown to vary, it does not learn to copy.

Marcus 1998 (Cognitive Psychology 37:243-282; retold in arXiv 2002.06177): a network is trained to
repeat binary numbers, on even ones only. It repeats even numbers it has not seen and turns odd ones
into even ones. The reason is in the weights and is exact: the last input is 0 on every training
row, so no gradient ever reaches its weights, and the last output, always wanted 0, is held down by
its bias and by every other unit."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from xor_mi.errors import XorMiError
from xor_mi.metrics import decision
from xor_mi.training import TrainConfig, train_population
from xor_mi.training._arithmetic import Task, views
from xor_mi.training._train import initial_parameters
from xor_mi.truth import BooleanFunction, as_row, row_name, truth_rows

SEEN = ("0000", "0010", "0100", "1000", "1110")
"""Each digit alone, all together, and zero; 0110, 1010 and 1100 are the even numbers held out."""
MARCUS = ("0010", "0100", "1000", "1010")
"""The examples as printed in 2002.06177. In networks trained on these few, most held-out even
numbers come out wrong too.
"""


def identity_experiment(
    n_networks: int = 1000,
    *,
    hidden: Any = (8,),
    config: TrainConfig | None = None,
    seed: int = 0,
    seen: Any = SEEN,
    progress: bool = True,
) -> pd.DataFrame:
    """Train n networks to repeat numbers of as many bits as `seen` has, on those rows only; one
    line per network.

    Columns: seed; seen, held_out_even, held_out_odd: the share of these numbers repeated exactly;
    odd_made_even: the share of odd numbers answered with the last bit off and the rest right;
    last_bias: the bias of the last output; last_seen and last_odd: the largest value of the last
    output on the rows seen and on all odd ones (below 0 is a 0); last_input_moved: how far training
    moved any weight of the last input (exactly 0 without weight decay and input noise);
    last_input_pull: the largest change of the last output, over all rows, when the last input is
    switched on.

    Raises:
        XorMiError: rows that are not all even, or none held out.
    """
    if (
        isinstance(seen, str)
        or not isinstance(seen, Sequence)
        or not all(isinstance(row, (str, Sequence)) for row in seen)
    ):
        raise XorMiError(f"seen is {seen!r}; give even numbers as bits, such as ['0010', '0100']")
    rows = [as_row(row, len(seen[0])) for row in seen]
    n_bits = len(rows[0]) if rows else 0
    if not rows or any(row[-1] for row in rows) or len(set(rows)) == 2 ** (n_bits - 1):
        raise XorMiError(
            f"seen is {seen!r}; give even numbers such as '0010', and not all of them: some have to be held out"
        )
    target = BooleanFunction(n_bits, tuple(zip(*truth_rows(n_bits), strict=True)))
    population = train_population(
        target, n_networks, hidden=hidden, seed=seed, config=config, rows=rows, progress=progress
    )
    sizes = population.cfg.layer_sizes
    flat = torch.cat(
        [part.flatten(1) for layer in population.weights for part in layer], dim=1
    ).T.contiguous()
    every = torch.tensor(truth_rows(n_bits))
    outputs = Task(every.float(), every.float(), population.cfg).forward(views(flat, sizes))[-1][
        1
    ]  # [row, output, seed]
    right = decision(outputs, population.cfg.decision_threshold or 0.0) == every[..., None]
    exact, all_but_last = right.all(1), right[:, :-1].all(1) & ~right[:, -1]
    names = [row_name(row) for row in truth_rows(n_bits)]
    is_seen = torch.tensor([row in rows for row in truth_rows(n_bits)])
    odd = torch.tensor([name.endswith("1") for name in names])
    start, last = (
        views(initial_parameters(sizes, population.seeds), sizes)[0][0],
        views(flat, sizes)[0][0],
    )
    columns = {
        "seed": population.seeds,
        "seen": exact[is_seen].float().mean(0),
        "held_out_even": exact[~is_seen & ~odd].float().mean(0),
        "held_out_odd": exact[odd].float().mean(0),
        "odd_made_even": all_but_last[odd].float().mean(0),
        "last_bias": population.weights[-1][1][:, -1],
        "last_seen": outputs[is_seen, -1].amax(0),
        "last_odd": outputs[odd, -1].amax(0),
        "last_input_moved": (last - start)[:, -1].abs().amax(0),
        "last_input_pull": (outputs[odd, -1] - outputs[~odd, -1]).amax(0),
    }
    return pd.DataFrame({name: values.numpy() for name, values in columns.items()})
