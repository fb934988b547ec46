"""a model and its inputs -> as few forwards as the memory bound allows, a function at each hook.

A model may work in place and change the activation that a hook point saw, or its own input. So
every run gets a copy of the inputs, and a hook's activation is copied when the hook fires.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_memory
from xor_mi.interventions._examples import Examples, as_examples
from xor_mi.interventions._hooks import (
    Probed,
    probe_hooks,
    require_bytes,
    require_hooks,
    require_one_shape,
    require_tensor,
)
from xor_mi.kinds import HookedModel
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar

OnActivation = Callable[[Tensor], Tensor | None]
"""What happens at a hook: its activation -> a new one, or None to leave it."""

MOST_INPUTS = 2**40
"""More inputs than any memory holds, and still a number that PyTorch can split by."""

MLP_BATCH_BYTES, BATCH_BYTES = 2**24, 2**29
"""The default memory bound of one forward. A HookedMLP's larger batches leave the processor's cache
and are slower, not faster; on other models the cost of a forward itself weighs more.
"""


@torch.no_grad()
def cache_all(
    model: HookedModel,
    inputs: Tensor | Examples,
    hook_names: Iterable[str],
    *,
    max_batch_bytes: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """A plain run -> the outputs and what these hook points saw, by hook name.

    It is run in chunks if one batch would exceed the memory bound.

    Raises:
        XorMiError: a hook that did not fire exactly once or has no batch axis, or activations that
            need more memory than is allowed.
    """
    examples, hook_names = as_examples(inputs), set(hook_names)
    probed = None
    if not isinstance(model, HookedMLP):
        probed = probe_hooks(model, examples, warns=False)
        require_hooks(model, probed, hook_names)
    at_once = inputs_per_run(model, examples, max_batch_bytes, probed)
    return run_plain(model, examples, hook_names, at_once)


def inputs_per_run(
    model: HookedModel,
    inputs: Tensor | Examples,
    max_batch_bytes: int | None = None,
    probed: Probed | None = None,
) -> int:
    """How many inputs one forward may take, at least one.

    Args:
        probed: what is known of the model's hooks, if it has been run already.
    """
    if max_batch_bytes is None:
        max_batch_bytes = MLP_BATCH_BYTES if isinstance(model, HookedMLP) else BATCH_BYTES
    require_bytes(max_batch_bytes)
    if isinstance(model, HookedMLP):
        bytes_per_input = bytes_per_row(model)
    else:
        probed = probe_hooks(model, inputs, warns=False) if probed is None else probed
        bytes_per_input = probed.bytes_per_example
    # Twice, because an activation that is written into is a copy.
    return max(1, min(max_batch_bytes // (2 * bytes_per_input), MOST_INPUTS))


def bytes_per_row(model: HookedMLP) -> int:
    """The bytes of every layer before and after its activation, from the sizes, without a
    forward."""
    sizes = model.layer_sizes
    edges = sum(a * b for a, b in pairwise(sizes)) if model.cfg.use_edge_result else 0
    # Direct connections: a term per edge if the edge hooks fire, else the outputs' sums.
    direct = sizes[-1] * (sizes[0] if model.cfg.use_edge_result else 1)
    numbers = 2 * sum(sizes) + edges + (direct if model.cfg.direct else 0)
    return numbers * bytes_per_number(model)


def bytes_per_number(model: HookedModel) -> int:
    """The bytes of one output of this model."""
    if isinstance(model, HookedMLP):
        return model.linears[0].weight.element_size()
    sizes = [p.element_size() for p in model.parameters()] if isinstance(model, nn.Module) else []
    return max(sizes, default=torch.get_default_dtype().itemsize)


def run_plain(
    model: HookedModel,
    plain: Examples,
    hook_names: set[str],
    rows_per_run: int,
    *,
    progress: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The plain inputs in chunks -> their outputs, and every hook's activation on them."""
    whole: dict[str, Tensor] = {}
    outputs: Tensor | None = None
    starts = range(0, len(plain), rows_per_run)
    for start in progress_bar(starts, doing="running inputs", unit="run", progress=progress):
        part = slice(start, start + rows_per_run)
        here = plain[part]
        seen: dict[str, list[Tensor]] = {name: [] for name in hook_names}
        hooks = {name: hook_that_keeps(name, len(here), seen[name]) for name in hook_names}
        # a copy: a model may return what it writes into again
        outputs_here = run_hooked(model, here, hooks).clone()
        kept = {name: activation for name, (activation,) in seen.items()}
        if outputs is None:
            if len(here) == len(plain):
                return outputs_here, kept
            require_memory(
                sum(_bytes_for(len(plain), one) for one in (outputs_here, *kept.values())),
                what=f"the activations of {len(plain):,} inputs at {len(hook_names)} hook points",
                do="give fewer inputs, or sites of fewer hook points at a time",
            )
            outputs = _empty_for(len(plain), outputs_here)
            whole = {name: _empty_for(len(plain), one) for name, one in kept.items()}
        outputs[part] = outputs_here
        for name, activation in kept.items():
            require_one_shape(name, whole[name], activation)
            whole[name][part] = activation
    assert outputs is not None  # there is at least one input
    return outputs, whole


def _bytes_for(n_inputs: int, some: Tensor) -> int:
    """The bytes that [input, ...] takes for all inputs, from those of some inputs."""
    return n_inputs * some[0].numel() * some.element_size()


def _empty_for(n_inputs: int, some: Tensor) -> Tensor:
    """Memory for [input, ...] of all inputs."""
    return some.new_empty(n_inputs, *some.shape[1:])


def run_hooked(
    model: HookedModel, inputs: Tensor | Examples, functions: Mapping[str, OnActivation]
) -> Tensor:
    """One forward with a function at each hook, each of which must be called exactly once.

    Raises:
        XorMiError: a hook that did not fire exactly once, or a forward that does not return one
            tensor [batch, ...].
    """
    return require_tensor(call_hooked(model, inputs, functions), len(inputs))


def call_hooked(
    model: HookedModel, inputs: Tensor | Examples, functions: Mapping[str, OnActivation]
) -> object:
    """`run_hooked` of a model whose forward may return anything.

    Raises:
        XorMiError: a hook that did not fire exactly once.
    """
    fired: Counter[str] = Counter()
    hooks = [(name, partial(_call, function, name, fired)) for name, function in functions.items()]
    with model.hooks(fwd_hooks=hooks) if hooks else nullcontext():
        outputs = as_examples(inputs).call(model)
    for name in functions:
        if fired[name] != 1:
            times = f"fired {fired[name]} times in one forward" if fired[name] else "never fired"
            raise XorMiError(f"hook '{name}' {times}; it must fire exactly once")
    return outputs


def _call(
    function: OnActivation, name: str, fired: Counter[str], activation: Tensor, hook: object
) -> Tensor | None:
    """A function on an activation as a hook of TransformerLens, which counts that it fired."""
    del hook  # a TransformerBridge may call it by another name than the one asked for
    fired[name] += 1
    return function(activation)


def hook_that_keeps(name: str, n_inputs: int, kept: list[Tensor]) -> OnActivation:
    """A hook that appends a copy of its activation to a list."""
    return partial(_keep, name, n_inputs, kept)


def _keep(name: str, n_inputs: int, kept: list[Tensor], activation: Tensor) -> None:
    require_batch(name, activation, n_inputs)
    kept.append(activation.clone())


@torch.no_grad()
def changed_in_place(
    model: HookedModel, inputs: Tensor | Examples, hook_names: Sequence[str]
) -> list[str]:
    """The hook points among these whose activation the model changes in place after they fired.

    A cache without copies holds the changed values.
    """
    seen: dict[str, list[tuple[Tensor, int]]] = {name: [] for name in hook_names}
    run_hooked(model, inputs, {name: partial(_keep_count, kept) for name, kept in seen.items()})
    changed: list[str] = []
    for name, kept in seen.items():
        if any(activation._version != count for activation, count in kept):
            changed.append(name)
    return changed


def _keep_count(kept: list[tuple[Tensor, int]], activation: Tensor) -> None:
    # PyTorch counts the writes into a tensor.
    kept.append((activation, activation._version))


def require_batch(name: str, activation: Tensor, n_inputs: int) -> None:
    if activation.ndim == 0 or len(activation) != n_inputs:
        raise XorMiError(
            f"hook '{name}' has an activation without a batch axis, {list(activation.shape)}; "
            "it cannot be written per input"
        )
