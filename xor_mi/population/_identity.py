"""Marcus' identity experiment: a network does not learn to copy a bit that it never sees vary.

Marcus 1998 (Cognitive Psychology 37:243-282; retold in arXiv 2002.06177): a network is trained to
repeat binary numbers, on even ones only. It repeats even numbers it has not seen and turns odd
numbers into even ones. The reason is in the weights: the last input is 0 on every training row, so
no gradient ever reaches its weights; and the last output, whose target is always 0, is held down by
its bias and by every other unit. (If bit 0 is another number, such as -1, gradients do reach them.)
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.kinds import EngineName, Widths
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction, as_row, truth_rows

SEEN_NUMBERS = ("0000", "0010", "0100", "1000", "1110")
"""Zero, three single digits and all three; the even numbers 0110, 1010 and 1100 are held out."""


def identity_experiment(
    n_networks: int = 1000,
    *,
    hidden: Widths = (8,),
    seed: int = 0,
    config: TrainConfig | None = None,
    seen: Sequence[str | Sequence[int]] = SEEN_NUMBERS,
    engine: EngineName | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train n networks to repeat numbers, on the rows `seen` only; one line per network.

    Numbers have as many bits as those seen.

    Columns: seed; seen, held_out_even, held_out_odd: the share of these numbers repeated exactly;
    odd_made_even: the share of odd numbers answered with the last bit off and the rest right;
    last_bias: the bias of the last output; last_seen and last_odd: the largest value of the last
    output on the rows seen and on all odd ones (below the threshold is a 0); last_input_moved: how
    far training moved any weight of the last input (exactly 0 without weight decay, l1 and input
    noise where bit 0 is the number 0); last_input_pull: the largest change of the last output, over
    all rows, when the last input is switched on.

    The examples printed in 2002.06177 are ("0010", "0100", "1000", "1010"). In networks trained on
    these few, most held-out even numbers come out wrong too.

    Args:
        hidden, seed, config, engine: as in `train_population`.
        seen: the rows to train on, even numbers as bits, all of one length.
        progress: show a bar if training takes over half a second.

    Raises:
        XorMiError: rows that are not all even, or none held out.
    """
    seen_rows = _even_rows(seen)
    n_bits = len(seen_rows[0])
    rows = truth_rows(n_bits)
    # [row, bit] -> one table per output: output k is input k
    copy = BooleanFunction(n_bits, tuple(zip(*rows, strict=True)))
    population = train_population(
        copy,
        n_networks,
        hidden=hidden,
        seed=seed,
        config=config,
        rows=seen_rows,
        engine=engine,
        progress=progress,
    )

    numbers = torch.tensor(rows)  # [row, bit]
    is_odd = numbers[:, -1] == 1
    is_seen = torch.tensor([row in seen_rows for row in rows])
    is_held_out_even = ~is_seen & ~is_odd

    outputs = population.outputs()  # [seed, row, bit]
    last_output = outputs[..., -1]  # [seed, row]
    is_right = population.cfg.rule.decide(outputs) == numbers
    is_repeated = is_right.all(2)  # [seed, row]
    # The last bit of an odd number is 1: all right but that one is the number below it.
    is_made_even = is_right[..., :-1].all(2) & ~is_right[..., -1]

    # Direct weights are the readout's last columns.
    readers = (0, -1) if population.cfg.direct else (0,)
    moved: list[Tensor] = []  # [seed, unit] each
    for layer in readers:
        (weight, _), (start_weight, _) = population.weights[layer], population.start[layer]
        moved.append((weight - start_weight)[..., -1].abs())
    last_input_moved = torch.cat(moved, dim=1)
    # Rows are in order: each odd one stands right after the even one that differs in the last bit.
    last_input_pull = last_output[:, is_odd] - last_output[:, ~is_odd]
    _, last_bias = population.weights[-1]

    columns = {
        "seed": population.seeds,
        "seen": is_repeated[:, is_seen].float().mean(1),
        "held_out_even": is_repeated[:, is_held_out_even].float().mean(1),
        "held_out_odd": is_repeated[:, is_odd].float().mean(1),
        "odd_made_even": is_made_even[:, is_odd].float().mean(1),
        "last_bias": last_bias[:, -1],
        "last_seen": last_output[:, is_seen].amax(1),
        "last_odd": last_output[:, is_odd].amax(1),
        "last_input_moved": last_input_moved.amax(1),
        "last_input_pull": last_input_pull.amax(1),
    }
    return pd.DataFrame({name: values.numpy() for name, values in columns.items()})


def _even_rows(seen: Sequence[str | Sequence[int]]) -> list[tuple[int, ...]]:
    """The rows to train on, if they can be: even numbers, some of which are held out."""
    # a string is a sequence too, but of characters, not of rows
    are_rows = isinstance(seen, Sequence) and not isinstance(seen, str)
    if not are_rows or not all(isinstance(row, Sequence) for row in seen):
        raise XorMiError(f"seen is {seen!r}; give even numbers as bits, such as ['0010', '0100']")
    rows = [as_row(row, len(seen[0])) for row in seen]
    has_odd = any(row[-1] for row in rows)
    n_even = 2 ** (len(rows[0]) - 1) if rows else 0
    # an empty list is refused here as well
    if has_odd or len(set(rows)) == n_even:
        raise XorMiError(
            f"seen is {seen!r}; give even numbers such as '0010', but not all of them: some have "
            "to be held out"
        )
    return rows
