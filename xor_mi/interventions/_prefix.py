"""blocks in a row -> what comes before the first changed block is run once for all copies.

A batch that holds the base inputs once per set of sites is the same for every set up to the first
place that is written. If a model has `blocks`, as transformers have, only the base inputs run up to
that block, and what goes into the block is repeated. Whether that is right depends on the model:
what leads past its blocks, such as a skip connection from the embedding, is not repeated. So it is
tried on two examples first, and compared with what a plain run gives for them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xor_mi.graph import Site
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._hooks import is_same_output, require_tensor
from xor_mi.kinds import HookedModel

BLOCK = re.compile(r"blocks\.(\d+)\.")
"""How TransformerLens names the hooks of a block."""


def first_block(together: Sequence[Site]) -> int:
    """The first block that a set of sites is written in; 0 if a site lies outside the blocks.

    >>> first_block([Site("blocks.2.hook_mlp_out"), Site("blocks.1.attn.hook_z")])
    1
    """
    matches = [BLOCK.match(site.hook_name) for site in together]
    return min([0 if match is None else int(match[1]) for match in matches])


Arguments = frozenset[int | str]
"""Arguments of a block that have a batch axis, by their place or name."""


@contextmanager
def grown_before_block(
    model: HookedModel, block: int, arguments: Arguments, n_copies: int
) -> Iterator[None]:
    """In this block of code these arguments of the model's block are repeated, round after
    round."""

    def repeat(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        grown = [
            _repeated(value, n_copies) if place in arguments else value
            for place, value in enumerate(args)
        ]
        named = {
            name: _repeated(value, n_copies) if name in arguments else value
            for name, value in kwargs.items()
        }
        return tuple(grown), named

    handle = _blocks(model)[block].register_forward_pre_hook(repeat, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def may_grow_before(
    model: HookedModel,
    block: int,
    arguments: Arguments,
    hook_names: Iterable[str],
    plain: Examples,
    outputs: Tensor,
) -> bool:
    """Whether the batch may grow before this block, tried on two examples, twice each.

    Args:
        arguments: the arguments of the block that are repeated.
        hook_names: what is written; each has to be reached after the batch has grown.
        outputs: those of the plain inputs, [input, ...].
    """
    sizes: dict[str, int] = {}
    hooks = [(name, partial(_note_size, sizes, name)) for name in hook_names]
    try:
        with grown_before_block(model, block, arguments, 2), model.hooks(fwd_hooks=hooks):
            grown = require_tensor(plain[:2].call(model), 4)
    except Exception:  # any error on sizes that do not fit means that the model does not allow it
        return False
    if set(sizes.values()) != {4}:
        return False
    twice = outputs[:2].repeat(2, *[1] * (outputs.ndim - 1))
    return is_same_output(twice, grown)


def _note_size(sizes: dict[str, int], name: str, activation: Tensor, hook: object) -> None:
    del hook
    sizes[name] = len(activation)


@torch.no_grad()
def arguments_of_blocks(
    model: HookedModel, blocks: Iterable[int], plain: Examples
) -> dict[int, Arguments]:
    """Each of these blocks' arguments that have one entry per example.

    Both with one example and with two they have as many entries as there are examples. Left out are
    the first block, before which nothing is shared, numbers that the model has no block for, and a
    block that is not called exactly once a run.
    """
    there = _blocks(model)
    asked = [block for block in blocks if 0 < block < len(there)]
    if not asked or len(plain) < 2:
        return {}
    found: dict[int, list[Arguments]] = {block: [] for block in asked}
    handles = [
        there[block].register_forward_pre_hook(
            partial(_note_arguments, found[block]), with_kwargs=True
        )
        for block in asked
    ]
    try:
        for n_examples in (1, 2):
            plain[:n_examples].call(model)
    except Exception:  # a model that does not accept so few examples does not allow it either
        return {}
    finally:
        for handle in handles:
            handle.remove()
    return {block: runs[0] & runs[1] for block, runs in found.items() if len(runs) == 2}


def _note_arguments(
    found: list[Arguments], block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Note arguments with as many entries as examples: one in the first run, two in the second."""
    del block
    n_examples = len(found) + 1
    given = {**dict(enumerate(args)), **kwargs}
    places = [
        place
        for place, value in given.items()
        if isinstance(value, Tensor) and value.ndim and len(value) == n_examples
    ]
    found.append(frozenset(places))


def _repeated(values: Tensor, n_copies: int) -> Tensor:
    return values.expand(n_copies, *values.shape).flatten(0, 1)


def _blocks(model: HookedModel) -> Sequence[nn.Module]:
    """The blocks of a model in a row; none if it has no such list."""
    blocks = getattr(model, "blocks", None)
    return list(blocks) if isinstance(blocks, nn.ModuleList) else []
