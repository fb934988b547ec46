"""the name of a transformer's hook point -> the block it lies in, and which part of it.

TransformerLens names hook points by block: an attention part and an MLP both read the residual
stream and add to it.
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Part = Literal["attention", "mlp", "stream"]
"""A part of a block, or the residual stream between parts."""

_IN_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")

_STARTS: dict[str, Part] = {
    "attn.": "attention",
    "ln1.": "attention",
    "hook_attn_": "attention",
    "hook_q_": "attention",
    "hook_k_": "attention",
    "hook_v_": "attention",
    "mlp.": "mlp",
    "ln2.": "mlp",
    "hook_mlp_": "mlp",
}
"""How the names in a block begin; the norm of a part belongs to it, as nothing else reads it."""


class InBlock(NamedTuple):
    """Where a hook point lies: the number of the block, and the part of it."""

    block: int
    part: Part


def in_block(hook_names: Iterable[str]) -> InBlock | None:
    """Where a hook point of these names lies; None outside the blocks.

    If the names differ, the one that says more counts: in a bridge, the stream before the MLP is
    also called the MLP's norm.

    >>> in_block(["blocks.1.hook_resid_mid", "blocks.1.ln2.hook_in"])
    InBlock(block=1, part='mlp')
    """
    found: InBlock | None = None
    for name in hook_names:
        match = _IN_BLOCK.fullmatch(name)
        if match is None:
            continue
        block, inside = int(match[1]), match[2]
        for start, part in _STARTS.items():
            if inside.startswith(start):
                return InBlock(block, part)
        found = InBlock(block, "stream")
    return found


def ends_of_parts(hook_names: Iterable[str]) -> dict[str, InBlock]:
    """The hook points among these that hold what heads and MLPs give: of heads, head by head.

    >>> list(ends_of_parts(["blocks.0.attn.hook_z", "blocks.0.hook_mlp_out", "hook_embed"]))
    ['blocks.0.attn.hook_z', 'blocks.0.hook_mlp_out']
    """
    ends: dict[str, InBlock] = {}
    for name in hook_names:
        match = _IN_BLOCK.fullmatch(name)
        if match is not None and match[2] in ("attn.hook_z", "hook_mlp_out"):
            part: Part = "mlp" if match[2] == "hook_mlp_out" else "attention"
            ends[name] = InBlock(int(match[1]), part)
    return ends


def inputs_of_heads(block: int) -> list[str]:
    """The hook points of queries, keys and values in a block."""
    return [f"blocks.{block}.attn.hook_{name}" for name in "qkv"]


def number_of_block(hook_name: str) -> int | None:
    """The block that a hook point lies in; None outside the blocks."""
    match = _IN_BLOCK.fullmatch(hook_name)
    return None if match is None else int(match[1])
