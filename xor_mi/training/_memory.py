"""How many bytes training holds at once, counted before it begins."""

from math import ceil

from xor_mi.errors import require_memory
from xor_mi.model import HookedMLPConfig
from xor_mi.training._arithmetic import layer_shapes
from xor_mi.training._fit import COLUMN_MULTIPLE, NETWORKS_PER_BLOCK

BYTES_PER_NETWORK = 150
"""Bytes of a network's seed, loss and steps, also as Python's numbers."""

BYTES_PER_WEIGHT = 12
"""Bytes of a weight, which exists three times while a population is put together."""

BYTES_PER_OUTPUT = 20
"""Bytes of an output, of its decision, and of the comparison with the target."""

BYTES_PER_NUMBER_TRAINED = 22
"""Bytes of each weight, and of each unit's value on a row, while a block takes its steps: value,
gradient, momentum and scratch.
"""


BYTES_PER_WEIGHT_KEPT = 8
"""Bytes of a weight at a checkpoint, which is copied once when finished networks are filled in."""


def training_bytes(
    n_networks: int, *, n_rows: int, cfg: HookedMLPConfig, n_checkpoints: int = 0
) -> int:
    """The bytes that training this many networks of this shape holds at once, on this many rows."""
    shapes = layer_shapes(cfg.layer_sizes, direct=cfg.direct)
    n_weights = sum(d_out * (d_in + 1) for d_out, d_in in shapes)
    n_outputs = 2**cfg.d_in * cfg.d_out
    n_trained = n_weights + n_rows * sum(cfg.layer_sizes)
    kept = BYTES_PER_NETWORK + BYTES_PER_WEIGHT * n_weights + BYTES_PER_OUTPUT * n_outputs
    n_filled = ceil(n_networks / COLUMN_MULTIPLE) * COLUMN_MULTIPLE
    n_together = min(n_filled, NETWORKS_PER_BLOCK)
    on_the_way = n_networks * n_checkpoints * BYTES_PER_WEIGHT_KEPT * (n_weights + 1)
    return n_networks * kept + on_the_way + n_together * BYTES_PER_NUMBER_TRAINED * n_trained


def require_trainable(
    n_networks: int, *, n_rows: int, cfg: HookedMLPConfig, n_checkpoints: int = 0
) -> None:
    """Refuse more networks, or wider ones, than there is memory for.

    Raises:
        XorMiError: with the size in GB and the next step.
    """
    sizes = "-".join(map(str, cfg.layer_sizes))
    if n_networks <= COLUMN_MULTIPLE:
        what, do = (
            f"training a {sizes} network on {n_rows:,} rows",
            "give narrower layers or fewer rows",
        )
    else:
        what = f"training {n_networks:,} {sizes} networks at once"
        do = (
            "train fewer at a time, from another seed each time, which gives the same networks, or "
            "leave them to run_census with a small shard_size"
        )
    without = training_bytes(n_networks, n_rows=n_rows, cfg=cfg)
    require_memory(without, what=what, do=do)
    require_memory(
        training_bytes(n_networks, n_rows=n_rows, cfg=cfg, n_checkpoints=n_checkpoints),
        what=f"{what} with {n_checkpoints:,} checkpoints",
        do="give fewer checkpoints, or train fewer networks at a time",
    )
