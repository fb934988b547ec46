"""a transformer -> the hook points at its residual stream, by what they hold.

Embeddings, attention and MLPs add to the stream, and the logits read it through the last norm. The
names are those of TransformerLens; a `TransformerBridge` has several for one hook point.
"""

import re
from collections.abc import Container, Mapping
from itertools import product
from typing import NamedTuple

EMBEDDINGS = ("hook_embed", "hook_pos_embed")
WRITERS = ("hook_attn_out", "hook_mlp_out")
STREAMS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post")
INSIDE = {"attn.hook_z": "hook_attn_out", "mlp.hook_post": "hook_mlp_out"}
"""What a linear map turns into an output: the heads' values, and the neurons."""
RESULTS = "attn.hook_result"
"""What each head writes, [batch, pos, head, d_model], if that hook is switched on."""
FINAL_NORM, UNEMBED = "ln_final.", "unembed."
SCALE = "ln_final.hook_scale"


class Block(NamedTuple):
    """The names at one block: the stream before and after it, and what is added in between."""

    before: str
    after: str
    written: tuple[str, ...]


class ResidualStream(NamedTuple):
    """The hook points at a transformer's residual stream; every name that a point has is there.

    Attributes:
        embeddings: the terms whose sum the stream begins with, each by one name.
        blocks: block by block.
        embedded: the embeddings by all their names.
        written: what is added to the stream by all its names, embeddings too.
        streams: names of the stream itself, anywhere along it.
        inside: name -> the output that a linear map makes of it.
        results: what each head adds, with an axis for the heads before the last.
        beyond: what lies between the stream and the logits, and the logits.
        scale: what the last norm divides by; None if there is no last norm.
    """

    embeddings: tuple[str, ...]
    blocks: tuple[Block, ...]
    embedded: frozenset[str]
    written: frozenset[str]
    streams: frozenset[str]
    inside: Mapping[str, str]
    results: frozenset[str]
    beyond: frozenset[str]
    scale: str | None

    @property
    def last(self) -> str:
        """The stream that the logits are read from."""
        return self.blocks[-1].after


def residual_stream(hooks: Mapping[str, object]) -> ResidualStream | None:
    """A model's hook points by name -> those at its residual stream; None if it has none."""
    names_of: dict[int, list[str]] = {}
    for name, point in hooks.items():
        names_of.setdefault(id(point), []).append(name)

    def all_names(names: list[str]) -> list[str]:
        """These names, as far as they exist, and the other names of the same hook points."""
        found: list[str] = []
        for name in names:
            if name in hooks:
                found += names_of[id(hooks[name])]
        return found

    numbers = [int(found[1]) for name in hooks if (found := re.match(r"blocks\.(\d+)\.", name))]
    n_blocks = max(numbers, default=-1) + 1
    prefixes = [f"blocks.{number}." for number in range(n_blocks)]
    needed = [f"{prefix}{place}" for prefix, place in product(prefixes, (STREAMS[0], STREAMS[-1]))]
    if not needed or not all(name in hooks for name in needed):
        return None
    embeddings = tuple(name for name in EMBEDDINGS if name in hooks)
    blocks = tuple([_block(prefix, hooks) for prefix in prefixes])
    written = [*embeddings]
    inside: dict[str, str] = {}
    streams: list[str] = []
    for prefix, block in zip(prefixes, blocks, strict=True):
        written += block.written
        streams += [f"{prefix}{place}" for place in STREAMS]
        for place, output in INSIDE.items():
            if f"{prefix}{output}" in hooks:
                inside |= dict.fromkeys(all_names([f"{prefix}{place}"]), f"{prefix}{output}")
    return ResidualStream(
        embeddings=embeddings,
        blocks=blocks,
        embedded=frozenset(all_names([*embeddings])),
        written=frozenset(all_names(written)),
        streams=frozenset(all_names([*streams, f"{FINAL_NORM}hook_in"])),
        inside=inside,
        results=frozenset(all_names([f"{prefix}{RESULTS}" for prefix in prefixes])),
        beyond=frozenset(
            all_names([name for name in hooks if name.startswith((FINAL_NORM, UNEMBED))])
        )
        - {SCALE, f"{FINAL_NORM}hook_in"},
        scale=SCALE if SCALE in hooks else None,
    )


def _block(prefix: str, hooks: Container[str]) -> Block:
    """The names at the block that begin with this."""
    writers = [f"{prefix}{one}" for one in WRITERS]
    return Block(
        before=f"{prefix}{STREAMS[0]}",
        after=f"{prefix}{STREAMS[-1]}",
        written=tuple([name for name in writers if name in hooks]),
    )
