"""any hooked model + two of its inputs -> what each hook point carries, and which can be written.

A hook point says nothing of itself: it may carry no tensor, be switched off, never be reached, hold
its batch on another axis or on none, and nobody may read what is written there. So the model is run
on one example and on two, and looked at. The same two runs show whether an example comes out alike
alone and beside another one, which every batched intervention relies on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short
from xor_mi.interventions._examples import Examples, as_examples
from xor_mi.kinds import HookedModel
from xor_mi.model import warn

T = TypeVar("T")

SAME_OUTPUT = 2**10
"""Outputs of one example count as the same up to so many roundings of the largest output; batches
of different sizes are computed in different orders.
"""

MOST_ROUNDING = 0.1
"""In 16-bit numbers that would be more than all of it; this part of the largest is the most."""

NOISE_SEED, NOISE_SCALES = 0, (1.0, 100.0)
"""Noise is normal, so many times as large as the largest number of the activation, or than 1."""

LISTENING = 10**9
"""The level at which hooks of this module are added, so that they alone are taken away."""


@dataclass(frozen=True)
class HookFacts:
    """What one hook point carries.

    Attributes:
        n_fired: how often it is reached in one forward.
        shape: of one example's activation; None where there is no tensor with a batch axis.
        dtype: of the activation; None likewise.
        n_bytes: of one example's activation.
        why_not: why it cannot be read and written per example, and '' where it can.
    """

    n_fired: int
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    n_bytes: int
    why_not: str


@dataclass(frozen=True)
class Probed:
    """What two small runs of a model show.

    Attributes:
        hooks: hook name -> what it carries, in the model's order.
        bytes_per_example: of all different activations and the outputs together.
    """

    hooks: Mapping[str, HookFacts]
    bytes_per_example: int


@dataclass(frozen=True)
class _Seen:
    """One activation as a hook point saw it: what it is, without a copy of its numbers.

    Attributes:
        value: the tensor itself; while it is held, its address is no other activation's.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    address: int
    value: Tensor | None


_Run = dict[int, list[_Seen]]
"""What each hook point saw in one forward, in order, by the point's identity."""


def _seen(value: object) -> _Seen:
    if isinstance(value, Tensor):
        return _Seen("tensor", tuple(value.shape), value.dtype, value.data_ptr(), value)
    return _Seen(type(value).__name__, (), None, 0, None)


@torch.no_grad()
def probe_hooks(model: HookedModel, inputs: Tensor | Examples, *, warns: bool = True) -> Probed:
    """Run the model on one example and on two, and look at every hook point.

    Args:
        inputs: what the model is run on; the first two are used.
        warns: whether a model that couples the examples of a batch, or draws random numbers, is
            warned of.

    Raises:
        XorMiError: no inputs.
    """
    examples = as_examples(inputs)
    if not len(examples):
        raise XorMiError("there are no inputs; give at least one")
    two = _two_of(examples)
    # each hook point once: a bridge lists some under two names
    points = {id(point): point for point in model.hook_dict.values()}
    runs: list[_Run] = []

    def look(point: int, value: object) -> None:
        runs[-1].setdefault(point, []).append(_seen(value))

    # a model that draws random numbers leaves the caller's generator as it was
    with torch.random.fork_rng(devices=[]):
        with _listening(points, look):
            try:
                one_output = _looked_at(model, two[:1], runs)
            except Exception as error:
                # what the model refuses of two as well is its own to say
                _looked_at(model, two, runs)
                raise XorMiError(
                    f"this model takes two inputs and not one alone ({type(error).__name__}: "
                    f"{cut_short(str(error))}): its examples are coupled, as by batch statistics, "
                    "and cannot be changed one by one; give a model that takes each by itself"
                ) from None
            two_outputs = _looked_at(model, two, runs)
        if warns and isinstance(one_output, Tensor) and isinstance(two_outputs, Tensor):
            _warn_of_coupling(model, two, one_output, two_outputs)
    of_one, of_two = runs
    facts_of = {point: _facts(of_one.get(point, []), of_two.get(point, [])) for point in points}
    hooks = {name: facts_of[id(point)] for name, point in model.hook_dict.items()}
    # By address: one tensor may pass through several hook points.
    sizes: dict[int, int] = {}
    for point, facts in facts_of.items():
        if facts.shape is not None:
            sizes[of_two[point][0].address] = facts.n_bytes
    of_outputs = 0
    if isinstance(one_output, Tensor):
        of_outputs = one_output.numel() * one_output.element_size()
    return Probed(hooks, max(1, sum(sizes.values()) + of_outputs))


def require_hooks(model: HookedModel, probed: Probed, hook_names: Iterable[str]) -> None:
    """Refuse hook points that cannot be read and written per example.

    Raises:
        XorMiError: naming the hook, what it carries, and what to do.
    """
    for name in hook_names:
        why_not = why_not_writable(model, probed, name)
        if why_not:
            raise XorMiError(f"hook '{name}' {why_not}")


def why_not_writable(model: HookedModel, probed: Probed, name: str) -> str:
    """Why a hook cannot be read and written per example, and '' where it can.

    Of a hook that never fires the model is asked only here: that takes as long as a run, for all
    hooks of a transformer that are switched off.
    """
    facts = probed.hooks[name]
    if not facts.why_not or facts.n_fired:
        return facts.why_not
    switched_off = _why_switched_off(model, name)
    if switched_off:
        return f"is switched off: {switched_off}"
    if _is_compiled(model):
        return (
            f"{facts.why_not}; the model is compiled, and a compiled model passes over hooks: give "
            "the model that was compiled"
        )
    return facts.why_not


def _is_compiled(model: HookedModel) -> bool:
    """Whether torch.compile wrapped the model, or model.compile() replaced its call."""
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def writable_hooks(probed: Probed) -> list[str]:
    """The hook points that can be read and written per example, in the model's order."""
    return [name for name, facts in probed.hooks.items() if not facts.why_not]


def warn_of_unread(
    model: HookedModel, inputs: Tensor | Examples, hook_names: Iterable[str]
) -> None:
    """Warn of hook points at which noise changes neither the outputs nor any later activation.

    Small noise and large, on two examples: what nothing reads has an effect of zero whatever it is.
    """
    names = sorted(hook_names)
    if not names:
        return
    two = _two_of(as_examples(inputs))
    untouched = _values_at(model, two, None)
    for name in names:
        if all(_changes_nothing(model, two, name, scale, untouched) for scale in NOISE_SCALES):
            warn(
                f"noise at '{name}' changes no output and no other activation of two inputs, so "
                "an effect of zero says little about it: nothing may read what is written there; "
                "write at a hook further on"
            )


def _changes_nothing(
    model: HookedModel, two: Examples, name: str, scale: float, untouched: Mapping[str, Tensor]
) -> bool:
    """Whether noise of this scale at a hook leaves everything else as it was."""
    try:
        noisy = _values_at(model, two, name, scale)
    except Exception:  # whatever it was that the model could not take, it has read it
        return False
    return _same_values(untouched, noisy, besides=name)


def _two_of(examples: Examples) -> Examples:
    """The first example and the first that differs from it; where there is none, it twice.

    Only inputs that the caller gave: a model may not take others.
    """
    first = examples[:1]
    differs = torch.zeros(len(examples), dtype=torch.bool, device=examples.device)
    for values in (examples.inputs, *examples.each.values()):
        is_other = (values != values[:1]).reshape(len(examples), -1).any(dim=1)
        differs |= is_other.to(examples.device)
    others = differs.nonzero().flatten()
    second = examples[others[:1]] if len(others) else first
    return first.and_then(second)


@contextmanager
def _listening(points: Mapping[T, Any], listen: Callable[[T, object], None]) -> Iterator[None]:
    """Inside: what comes to each hook point is told, before the caller's own hooks are called."""
    for key, point in points.items():
        point.add_hook(partial(_tell, listen, key), level=LISTENING, prepend=True)
    try:
        yield
    finally:
        for point in points.values():
            point.remove_hooks("fwd", level=LISTENING)


def _tell(listen: Callable[[T, object], None], key: T, value: object, hook: object) -> None:
    del hook
    listen(key, value)


def _looked_at(model: HookedModel, examples: Examples, runs: list[_Run]) -> object:
    """One forward -> its outputs; what the hook points see goes into a new entry of `runs`."""
    runs.append({})
    outputs = examples.call(model)
    # a copy: a model may return what it writes into again
    return outputs.clone() if isinstance(outputs, Tensor) else outputs


def _facts(of_one: list[_Seen], of_two: list[_Seen]) -> HookFacts:
    """What a hook carries, from a run of one example and one of two."""
    if not of_one and not of_two:
        return _not_writable(
            0, "never fired; a hook that is not reached cannot be read or written: leave it out"
        )
    if len(of_one) != 1 or len(of_two) != 1:
        times = len(of_two) if len(of_two) != 1 else len(of_one)
        return _not_writable(
            times, f"fired {times} times in one forward; it must fire exactly once: leave it out"
        )
    (one,), (two,) = of_one, of_two
    if one.dtype is None or two.dtype is None:
        kind = two.kind if two.dtype is None else one.kind
        return _not_writable(1, f"carries {kind} and no tensor: leave it out")
    rest = one.shape[1:]
    if one.shape[:1] != (1,) or two.shape != (2, *rest):
        return _not_writable(
            1,
            f"has an activation without a batch axis, {list(one.shape)} for one example and "
            f"{list(two.shape)} for two; it cannot be read or written per input: leave it out",
        )
    n_numbers = torch.Size(rest).numel()
    if not n_numbers:
        return _not_writable(1, f"has an empty activation, {list(two.shape)}: leave it out")
    return HookFacts(1, rest, two.dtype, n_numbers * two.dtype.itemsize, "")


def _not_writable(n_fired: int, why_not: str) -> HookFacts:
    return HookFacts(n_fired, None, None, 0, why_not)


def _why_switched_off(model: HookedModel, name: str) -> str:
    """What TransformerLens says of a hook that a setting of the model switches off, or ''."""
    try:
        with model.hooks(fwd_hooks=[(name, _nothing)]):
            return ""
    except (ValueError, AssertionError) as error:
        return str(error).partition("\n")[0]


def _nothing(activation: object, hook: object) -> None:
    """A hook that leaves everything as it is."""
    del activation, hook


def require_tensor(outputs: object, n_inputs: int) -> Tensor:
    """What a model's forward returned, checked to be one tensor [batch, ...].

    Raises:
        XorMiError: anything else, with what to do.
    """
    if isinstance(outputs, Tensor) and outputs.ndim >= 1 and len(outputs) == n_inputs:
        return outputs
    if isinstance(outputs, Tensor):
        got = f"a tensor {list(outputs.shape)}"
    else:
        got = f"a {type(outputs).__name__}"
    raise XorMiError(
        f"the model returned {got} for {n_inputs} inputs; its forward must return one tensor "
        "[batch, ...]: write a forward, or a wrapper with hooks, that returns the one you read"
    )


def _warn_of_coupling(
    model: HookedModel, two: Examples, one_output: Tensor, two_outputs: Tensor
) -> None:
    """Warn where one of two examples comes out otherwise beside the other than alone."""
    other_output = two[1:].call(model)
    if not isinstance(other_output, Tensor):
        return
    is_first = is_same_output(one_output, two_outputs[:1])
    if is_first and is_same_output(other_output, two_outputs[1:]):
        return
    other_output = other_output.clone()
    again = two[1:].call(model)
    if not isinstance(again, Tensor) or not is_same_output(other_output, again):
        warn(
            "this model gives other outputs for the same input each time, so effects hold its "
            "random numbers too; switch them off"
        )
        return
    warn(
        "this model gives other outputs for an input beside another one than alone: the examples "
        "of a batch are coupled, and interventions, which share batches, are not what they would "
        "be one by one; give max_batch_bytes=1 to run every example alone"
    )


def is_same_output(a: Tensor, b: Tensor) -> bool:
    """Whether outputs differ by no more than the order of summation does."""
    if a.shape != b.shape:
        return False
    if not a.is_floating_point():
        return bool(torch.equal(a, b))
    share = min(SAME_OUTPUT * torch.finfo(a.dtype).eps, MOST_ROUNDING)
    a, b = a.double(), b.double()
    largest = a.abs().nan_to_num(0.0, 0.0, 0.0).amax() if a.numel() else 0.0
    return bool(torch.allclose(a, b, rtol=0.0, atol=float(share * largest), equal_nan=True))


@torch.no_grad()
def _values_at(
    model: HookedModel, examples: Examples, noisy: str | None, scale: float = 0.0
) -> dict[str, Tensor]:
    """Every activation and the outputs of some examples, with noise written at one hook."""
    kept: dict[str, Tensor] = {}
    # one name of each hook point: a bridge lists some under two
    names = {id(point): name for name, point in model.hook_dict.items()}
    if noisy is not None:
        names[id(model.hook_dict[noisy])] = noisy
    points = {name: model.hook_dict[name] for name in names.values()}

    def keep(name: str, value: object) -> None:
        if isinstance(value, Tensor):
            kept[name] = value.clone()

    hooks = [] if noisy is None else [(noisy, partial(_noise, scale))]
    with torch.random.fork_rng(devices=[]), _listening(points, keep), model.hooks(fwd_hooks=hooks):
        torch.manual_seed(NOISE_SEED)
        outputs = examples.call(model)
    if isinstance(outputs, Tensor):
        kept[""] = outputs.clone()
    return kept


def _noise(noise_scale: float, activation: Tensor, hook: object) -> Tensor:
    """Other numbers of the same shape and kind in place of an activation.

    Of whole numbers those of the other example: a token may not be any number.
    """
    del hook
    if activation.dtype == torch.bool:
        return ~activation
    if not activation.is_floating_point():
        others = activation.flip(0)
        if torch.equal(others, activation):
            raise XorMiError("two examples of the same whole numbers: there are no others to try")
        return others
    generator = torch.Generator().manual_seed(NOISE_SEED)
    drawn = torch.randn(activation.shape, generator=generator).to(activation)
    scale = activation.abs().nan_to_num(0.0, 0.0, 0.0).amax().clamp(min=1.0)
    return activation.nan_to_num() + noise_scale * scale * drawn


def _same_values(before: Mapping[str, Tensor], after: Mapping[str, Tensor], besides: str) -> bool:
    """Whether nothing changed but the hook that was written."""
    others = [name for name in before if name != besides]
    return all(name in after and _is_equal(before[name], after[name]) for name in others)


def _is_equal(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit, where two NaN are equal too."""
    if a.shape != b.shape:
        return False
    if not a.is_floating_point():
        return bool(torch.equal(a, b))
    return bool(torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True))
