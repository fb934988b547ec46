"""hooks called `blocks.L....`, as TransformerLens calls a transformer's -> places by layer."""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from xor_mi.graph import Site, Unit

GridKind = Literal["head", "neuron", "position"]
"""What is counted within a layer of a transformer."""

HOOK_OF: dict[GridKind, str] = {
    "head": "attn.hook_z",
    "neuron": "mlp.hook_post",
    "position": "hook_resid_pre",
}
"""The usual hook of each kind, after `blocks.L.`."""

HEADS_FIRST = ("hook_pattern", "hook_attn_scores")
"""Hooks whose activation is [batch, head, ...]; at other hooks positions come first."""

AXES = {
    **dict.fromkeys(["hook_q", "hook_k", "hook_v", "hook_z"], ("position", "head", "d_head")),
    **dict.fromkeys(HEADS_FIRST, ("head", "query position", "key position")),
    "hook_result": ("position", "head", "d_model"),
    **dict.fromkeys(["hook_pre", "hook_post"], ("position", "neuron")),
    **dict.fromkeys(["hook_resid_pre", "hook_resid_mid"], ("position", "d_model")),
    **dict.fromkeys(["hook_resid_post", "hook_attn_out"], ("position", "d_model")),
    **dict.fromkeys(["hook_mlp_out", "hook_embed"], ("position", "d_model")),
}
"""What the axes after the batch count, by the last word of a transformer's hook."""

LETTERS: dict[GridKind, str] = {"head": "H", "neuron": "N", "position": "@"}
"""How a place of each kind is written: L0 H3, L0 N7, L0 @2."""

PLACES_IN_A_BLOCK = {
    "stream_before": "hook_resid_pre",
    "attention": "hook_attn_out",
    "stream_after": "hook_resid_post",
    "pattern": "attn.hook_pattern",
}
"""The residual stream before and after a block, what attention adds to it, and where its heads
look: hooks after `blocks.L.`."""

AS_THEY_RUN = (
    *("resid_pre", "in", "ln1", "attn_in", "q_input", "k_input", "v_input"),
    *("attn", "attn_out", "ln1_post", "resid_mid", "ln2", "mlp_in", "mlp", "mlp_out", "ln2_post"),
    *("resid_post", "out"),
)
"""The parts of a block in the order in which they run: a hook's first word after `blocks.L.`."""

IN_A_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


class GridPlace(NamedTuple):
    """A place as layer and number; kind is "unit" on a HookedMLP."""

    layer: int
    hook: str
    kind: str
    number: int


def hooks_by_layer(hook_names: Iterable[str], hook: str) -> dict[int, str]:
    """Layer -> the hook of this name in its block, in the order of the layers.

    >>> hooks_by_layer(["blocks.1.mlp.hook_post", "blocks.0.mlp.hook_post"], "mlp.hook_post")
    {0: 'blocks.0.mlp.hook_post', 1: 'blocks.1.mlp.hook_post'}
    """
    found: dict[int, str] = {}
    for name in hook_names:
        match = IN_A_BLOCK.fullmatch(name)
        if match is not None and match[2] == hook:
            found[int(match[1])] = name
    return dict(sorted(found.items()))


def hooks_of_blocks(hook_names: Iterable[str]) -> list[str]:
    """The hooks that blocks have, after `blocks.L.`, in order of appearance."""
    matches = [IN_A_BLOCK.fullmatch(name) for name in hook_names]
    return list(dict.fromkeys([match[2] for match in matches if match is not None]))


def short_hook(hook: str) -> str:
    """A block's hook without the parts that all names have: "attn.q", "attn_out"."""
    before, dot, last = hook.rpartition(".")
    return f"{before}{dot}{last.removeprefix('hook_')}"


def place_in_block(hook: str) -> int:
    """Where in its block a hook fires; a hook with an unknown name comes last.

    >>> place_in_block("hook_resid_pre") < place_in_block("attn.hook_z")
    True
    """
    part = hook.removeprefix("hook_").partition(".")[0]
    return AS_THEY_RUN.index(part) if part in AS_THEY_RUN else len(AS_THEY_RUN)


def counts_first_axis(hook: str, kind: GridKind) -> bool:
    """Whether the numbers of a kind run along the first axis after the batch, or the second."""
    return kind == "position" or (kind == "head" and hook.rpartition(".")[2] in HEADS_FIRST)


def axes_of_hook(name: str, n_axes: int) -> tuple[str, ...]:
    """What the axes after the batch of a transformer's hook count; empty where it is not known.

    Args:
        n_axes: how many axes after the batch its activation has.

    >>> axes_of_hook("blocks.0.attn.hook_z", 3)
    ('position', 'head', 'd_head')
    """
    named = AXES.get(name.rpartition(".")[2], ())
    return named if len(named) == n_axes else ()


def grid_site(name: str, layer: int, kind: GridKind, number: int, *, only_axis: bool) -> Site:
    """One place of a layer, called by layer and number, and by its hook where it is not the usual.

    Args:
        only_axis: whether the activation is [batch, number].

    >>> grid_site("blocks.0.attn.hook_q", 0, "head", 3, only_axis=False)
    L0 attn.q H3
    """
    hook = name.split(".", 2)[2]
    is_first = only_axis or counts_first_axis(hook, kind)
    which = "" if hook == HOOK_OF[kind] else f"{short_hook(hook)} "
    label = f"L{layer} {which}{LETTERS[kind]}{number}"
    return Site(name, (number,) if is_first else (None, number), label)


def place_in_grid(site: Site) -> GridPlace | None:
    """The layer and number of a site with one number in its index, or None.

    >>> place_in_grid(Site("blocks.1.attn.hook_z", (None, 2)))
    GridPlace(layer=1, hook='attn.hook_z', kind='head', number=2)
    """
    match = IN_A_BLOCK.fullmatch(site.hook_name)
    numbers = [entry for entry in site.index if entry is not None]
    if match is None or len(numbers) != 1 or not isinstance(numbers[0], int):
        return None
    layer, hook, number = int(match[1]), match[2], numbers[0]
    axis = site.index.index(number)
    if site.label == Unit(layer, number).name:
        return GridPlace(layer, hook, "unit", number)
    in_attention, heads_first = hook.startswith("attn."), counts_first_axis(hook, "head")
    if axis == 0:
        neuron = f"{LETTERS['neuron']}{number}"
        kind = "head" if heads_first else "position"
        # an activation [batch, neuron], as `sites` called it
        kind = "neuron" if site.label.endswith(neuron) else kind
    elif axis == 1 and not heads_first:
        kind = "head" if in_attention else "neuron"
    else:
        return None
    return GridPlace(layer, hook, kind, number)
