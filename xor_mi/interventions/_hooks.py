"""any hooked model + two of its inputs -> what each hook point carries, and which can be written.

A hook point does not describe itself: it may carry no tensor, be switched off, never be reached, or
hold its batch on another axis or on none, and perhaps nothing reads what is written there. So the
model is run on one example and on two, and its hook points are looked at. The same two runs show
whether an example gives the same alone and beside another one, which every batched intervention
relies on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, require_kind
from xor_mi.interventions._examples import Examples, as_examples
from xor_mi.kinds import HookedModel
from xor_mi.model import warn

T = TypeVar("T")

SAME_OUTPUT = 2**10
"""Outputs of one example count as the same up to this many roundings of the largest output, because
batches of different sizes are computed in different orders.
"""

MOST_ROUNDING = 0.1
"""In 16-bit numbers that would exceed the output itself; at most this fraction of the largest."""

NOISE_SEED, NOISE_SCALES = 0, (1.0, 100.0)
"""Noise is normal; its scale is this many times the activation's largest number, or 1."""

LISTENING = 10**9
"""The level at which hooks of this module are added, so that only these are removed."""


@dataclass(frozen=True)
class HookFacts:
    """What one hook point carries.

    Attributes:
        n_fired: how often it is reached in one forward.
        shape: of one example's activation; None if there is no tensor with a batch axis.
        dtype: of the activation; None in the same case.
        n_bytes: of one example's activation.
        why_not: why it cannot be read and written per example; '' if it can.
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
        bytes_per_example: the bytes of all different activations and the outputs together.
        changed: names of hooks whose activation the model writes into after they fired.
        alone: the first input by itself.
    """

    hooks: Mapping[str, HookFacts]
    bytes_per_example: int
    changed: frozenset[str] = frozenset()
    alone: "_Alone | None" = None


@dataclass(frozen=True, eq=False)
class _Alone:
    """The first input, and what it gives alone.

    Attributes:
        activations: name of a hook asked for -> [1, ...].
    """

    example: Examples
    activations: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Seen:
    """One activation that a hook point saw, without a copy of its numbers.

    Attributes:
        value: the tensor itself; while it is held, its address is no other activation's.
        version: how often it had been written into, as PyTorch counts it.
        copy: a copy of its numbers at that time, for the hooks that are asked for.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    address: int
    value: Tensor | None
    version: int = 0
    copy: Tensor | None = None

    @property
    def is_changed(self) -> bool:
        """Whether something has written into it since."""
        return self.value is not None and n_writes(self.value) != self.version


_Run = dict[int, list[_Seen]]
"""What each hook point saw in one forward, in order, by the point's identity."""


def _seen(value: object, *, copied: bool) -> _Seen:
    if isinstance(value, Tensor):
        copy = value.clone() if copied else None
        shape, address = tuple(value.shape), value.data_ptr()
        return _Seen("tensor", shape, value.dtype, address, value, n_writes(value), copy)
    return _Seen(type(value).__name__, (), None, 0, None)


def n_writes(value: Tensor) -> int:
    """How often a tensor was written into; PyTorch does not count this for inference tensors."""
    return 0 if value.is_inference() else value._version


def require_bytes(max_batch_bytes: int | None) -> None:
    """Refuse a memory bound that is not a number of bytes.

    Raises:
        XorMiError: naming what was given.
    """
    if max_batch_bytes is None:
        return
    require_kind("max_batch_bytes", max_batch_bytes, int, give="bytes, such as 2**29")
    if max_batch_bytes < 1 or isinstance(max_batch_bytes, bool):
        raise XorMiError(
            f"max_batch_bytes is {max_batch_bytes}; give a number of bytes, such as 2**29"
        )


@torch.no_grad()
def probe_hooks(
    model: HookedModel,
    inputs: Tensor | Examples,
    *,
    warns: bool = True,
    asked: Iterable[str] = (),
    max_batch_bytes: int | None = None,
) -> Probed:
    """Run the model on one example and on two, and look at every hook point.

    Args:
        inputs: what the model is run on; the first two are used.
        warns: whether to warn of a model that couples the examples of a batch or draws random
            numbers.
        asked: names of hooks whose own rows must not be coupled either.
        max_batch_bytes: the bound of later runs; if it leaves one example to each run, there is no
            warning of coupled examples.

    Raises:
        XorMiError: no inputs.
    """
    require_bytes(max_batch_bytes)
    examples = as_examples(inputs)
    if not len(examples):
        raise XorMiError("there are no inputs; give at least one")
    two, is_coupled = _two_of(examples), False
    # each hook point once: a bridge lists some of them under two names
    hooks = model.hook_dict  # once: a bridge makes it anew every time
    points = {id(point): point for point in hooks.values()}
    names = {id(hooks[name]): name for name in asked if name in hooks}
    runs: list[_Run] = []

    def look(point: int, value: object) -> None:
        seen = _seen(value, copied=point in names)
        runs[-1].setdefault(point, []).append(seen)

    # the caller's generator is restored, even if the model draws random numbers
    with torch.random.fork_rng(devices=[]):
        with _listening(points, look):
            try:
                one_output = _looked_at(model, two[:1], runs)
            except Exception as error:
                # if the model refuses two examples as well, its own error is passed on
                _looked_at(model, two, runs)
                raise XorMiError(
                    f"this model takes two inputs and not one alone ({type(error).__name__}: "
                    f"{cut_short(str(error))}): its examples are coupled, as by batch statistics, "
                    "and cannot be changed one by one; give a model that takes each by itself"
                ) from None
            two_outputs = _looked_at(model, two, runs)
            of_one, of_two = runs
            if warns and isinstance(one_output, Tensor) and isinstance(two_outputs, Tensor):
                other_output = _looked_at(model, two[1:], runs)
        facts_of = {point: _facts(of_one.get(point, []), of_two.get(point, [])) for point in points}
        bytes_per_example = _bytes_per_example(facts_of, of_two, one_output)
        is_alone = max_batch_bytes is not None and max_batch_bytes < 4 * bytes_per_example
        if warns and isinstance(one_output, Tensor) and isinstance(two_outputs, Tensor):
            is_coupled = _warn_of_coupling(
                model, two, one_output, two_outputs, other_output, is_alone=is_alone
            )
            # if examples run alone, none has another one beside it
            is_coupled |= is_alone
            if not is_coupled:
                is_coupled = _warn_of_coupled_hooks(model, two, names, runs)
            if not is_coupled and _is_twice_the_same(two):
                is_coupled = _warn_of_coupled_copies(model, two, names, one_output)
    hooks = {name: facts_of[id(point)] for name, point in model.hook_dict.items()}
    changed = {point for point, seen in of_two.items() if any(one.is_changed for one in seen)}
    names_changed = [name for name, point in model.hook_dict.items() if id(point) in changed]
    first = {
        name: copy for point, name in names.items() if (copy := _copy_of(of_one, point)) is not None
    }
    # a coupled model has been warned of already
    alone = _Alone(examples[:1], {} if is_coupled else first)
    return Probed(hooks, bytes_per_example, frozenset(names_changed), alone)


def _bytes_per_example(facts_of: Mapping[int, HookFacts], seen: _Run, output: object) -> int:
    """The bytes of all different activations and the outputs for one example."""
    # by address: one tensor may pass through several hook points
    sizes: dict[int, int] = {}
    for point, facts in facts_of.items():
        if facts.shape is not None:
            sizes[seen[point][0].address] = facts.n_bytes
    of_outputs = 0
    if isinstance(output, Tensor):
        of_outputs = output.numel() * output.element_size()
    return max(1, sum(sizes.values()) + of_outputs)


def _copy_of(run: _Run, point: int) -> Tensor | None:
    """What a hook point saw in a run, if it fired once with a tensor."""
    seen = run.get(point, [])
    return seen[0].copy if len(seen) == 1 else None


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
    """Why a hook cannot be read and written per example; '' if it can.

    Only here the model is asked why a hook never fires: that takes as long as a run for all the
    switched-off hooks of a transformer.
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

    Small and large noise is tried on two examples: if nothing reads an activation, its effect is
    always zero.
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
    """Whether noise of this scale at a hook changes nothing else."""
    try:
        noisy = _values_at(model, two, name, scale)
    except Exception:  # the model failed on the noise, so it has read it
        return False
    return _same_values(untouched, noisy, besides=name)


def _two_of(examples: Examples) -> Examples:
    """The first example and the first that differs from it; if none differs, the first one twice.

    Both are inputs that the caller gave, because a model may not accept others.
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
    """In this block each hook point reports its activation, before the caller's own hooks run."""
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
    """TransformerLens' reason if a setting of the model switches a hook off, or ''."""
    try:
        with model.hooks(fwd_hooks=[(name, _nothing)]):
            return ""
    except (ValueError, AssertionError) as error:
        return str(error).partition("\n")[0]


def _nothing(activation: object, hook: object) -> None:
    """A hook that changes nothing."""
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
    model: HookedModel,
    two: Examples,
    one_output: Tensor,
    two_outputs: Tensor,
    other_output: object,
    *,
    is_alone: bool,
) -> bool:
    """Warn if one of two examples gives another output beside the other one than alone.

    Args:
        is_alone: whether examples run alone, so that only random numbers are warned of.
    """
    if not isinstance(other_output, Tensor):
        return False
    is_first = is_same_output(one_output, two_outputs[:1])
    if is_first and is_same_output(other_output, two_outputs[1:]):
        return False
    again = two[1:].call(model)
    if not isinstance(again, Tensor) or not is_same_output(other_output, again):
        warn(
            "this model gives other outputs for the same input each time, so effects hold its "
            "random numbers too; switch them off"
        )
        return True
    if not is_alone:
        warn(_COUPLED)
    return True


_COUPLED = (
    "this model gives other outputs for an input beside another one than alone: the examples "
    "of a batch are coupled, so interventions, which share batches, differ from single runs; "
    "give max_batch_bytes=1 to run every example alone"
)


def _warn_of_coupled_hooks(
    model: HookedModel, two: Examples, names: Mapping[int, str], runs: Sequence[_Run]
) -> bool:
    """Warn of hooks that hold other numbers for an example beside another one than alone.

    Raises:
        XorMiError: a hook of another shape for another example.
    """
    of_one, of_two, of_other = runs
    coupled: list[str] = []
    for point, name in names.items():
        together, first, other = [_copy_of(run, point) for run in (of_two, of_one, of_other)]
        if together is None or first is None or other is None:
            continue
        # what has no batch axis is refused where it is asked for
        if first.shape[:1] != (1,) or together.shape != (2, *first.shape[1:]):
            continue
        require_one_shape(name, first, other)
        is_same = _same_but_for_rounding(first, together[:1], of_one)
        if not (is_same and _same_but_for_rounding(other, together[1:], of_other)):
            coupled.append(name)
    return _warn_of_steady(model, two[1:], coupled, of_other)


def warn_of_coupled_batch(
    model: HookedModel, probed: Probed, activations: Mapping[str, Tensor]
) -> None:
    """Warn of hooks that hold other numbers for the first input in the whole batch than alone.

    Args:
        activations: hook name -> activation on all inputs, [input, ...].

    Raises:
        XorMiError: a hook of another shape for all inputs than for the first.
    """
    if probed.alone is None:
        return
    coupled: list[str] = []
    for name, first in probed.alone.activations.items():
        beside = activations[name]
        require_one_shape(name, first, beside)
        if not (_is_close(first, beside[:1]) or is_same_output(first, beside[:1])):
            coupled.append(name)
    if not coupled:
        return
    example = probed.alone.example
    run = _run_again(model, example, model.hook_dict)
    coupled = [
        name
        for name in coupled
        if not _same_but_for_rounding(probed.alone.activations[name], activations[name][:1], run)
    ]
    with torch.random.fork_rng(devices=[]):
        _warn_of_steady(model, example, coupled, run)


def require_one_shape(name: str, one: Tensor, other: Tensor) -> None:
    """Refuse a hook whose activation has another shape for other inputs.

    Raises:
        XorMiError: naming the hook and both shapes.
    """
    if one.shape[1:] != other.shape[1:]:
        shapes = f"{list(one.shape[1:])} for some inputs and {list(other.shape[1:])} for others"
        raise XorMiError(
            f"hook '{name}' has an activation of shape {shapes}, so what a place of it is depends "
            "on the inputs of a batch; give inputs for which the model has one shape, such as "
            "those of one length"
        )


def _warn_of_steady(
    model: HookedModel, example: Examples, coupled: Sequence[str], before: _Run
) -> bool:
    """Warn of the hooks among these that hold the same numbers each time an example is run alone.

    Numbers that differ each time are drawn at random, and show nothing about other examples.
    """
    if not coupled:
        return False
    hooks = model.hook_dict
    points = {name: hooks[name] for name in coupled}
    again = _run_again(model, example, points)
    for name, point in points.items():
        first, second = _copy_of(before, id(point)), _copy_of(again, id(point))
        if first is not None and second is not None and is_same_output(first, second):
            _warn_of_coupled_hook(name)
    return True


def _run_again(model: HookedModel, examples: Examples, points: Mapping[str, Any]) -> _Run:
    """What some hook points see in one more forward."""
    run: _Run = {}

    def look(point: int, value: object) -> None:
        run.setdefault(point, []).append(_seen(value, copied=True))

    with _listening({id(point): point for point in points.values()}, look), torch.no_grad():
        examples.call(model)
    return run


def _warn_of_coupled_hook(name: str) -> None:
    warn(
        f"the activation at '{name}' differs between an input alone and beside others: its rows "
        "are coupled, or in another order than the inputs, so what is read or written there "
        "differs from single runs; give max_batch_bytes=1 to run every example alone, or "
        "another hook"
    )


def _is_rounded(values: Tensor) -> bool:
    """Whether sums of this kind of number depend on the order of addition."""
    return values.is_floating_point() or values.is_complex()


def _widened(values: Tensor) -> Tensor:
    """The same numbers, real or complex, in parts of 64 bits."""
    return values.to(torch.complex128 if values.is_complex() else torch.float64)


def _is_close(a: Tensor, b: Tensor) -> bool:
    """Whether two finite activations are the same up to rounding; False if that is unclear."""
    if a.shape != b.shape:
        return False
    if not _is_rounded(a):
        return bool(torch.equal(a, b))
    share = min(SAME_OUTPUT * torch.finfo(a.dtype).eps, MOST_ROUNDING)
    return bool((a - b).abs().amax() <= share * a.abs().amax()) if a.numel() else True


def _same_but_for_rounding(alone: Tensor, beside: Tensor, run: _Run) -> bool:
    """Whether an activation is the same, up to the rounding of the numbers that it may be made
    of."""
    if _is_close(alone, beside) or is_same_output(alone, beside):
        return True
    if alone.shape != beside.shape or not _is_rounded(alone):
        return False
    # a small difference of large numbers contains their rounding
    values = [one.value for seen in run.values() for one in seen if one.value is not None]
    numbers = [value for value in values if _is_rounded(value) and value.numel()]
    finite = [value.detach().abs().nan_to_num(0.0, 0.0, 0.0) for value in numbers]
    largest = max([float(value.max()) for value in finite], default=0.0)
    share = min(SAME_OUTPUT * torch.finfo(alone.dtype).eps, MOST_ROUNDING)
    a, b = _widened(alone), _widened(beside)
    return bool(torch.allclose(a, b, rtol=0.0, atol=share * largest, equal_nan=True))


def _is_twice_the_same(two: Examples) -> bool:
    """Whether there was no second example that differs from the first."""
    values = [two.inputs, *two.each.values()]
    return all(_is_equal(one[:1], one[1:]) for one in values)


def _warn_of_coupled_copies(
    model: HookedModel, two: Examples, names: Mapping[int, str], one_output: Tensor
) -> bool:
    """Warn if noise in one of two copies of an input changes what the other one gives."""

    def write(activation: Tensor, hook: object) -> Tensor | None:
        if not isinstance(activation, Tensor) or not activation.is_floating_point():
            return None
        if activation.ndim == 0 or len(activation) != len(two):
            return None
        noisy = _noise(NOISE_SCALES[0], activation, hook)
        return torch.cat([activation[:1], noisy[1:]])

    try:
        with model.hooks(fwd_hooks=[(name, write) for name in names.values()]):
            outputs = two.call(model)
    except Exception:  # a model may not accept noise, or a hook may not be writable
        return False
    if not isinstance(outputs, Tensor) or len(outputs) != len(two):
        return False
    if is_same_output(one_output, outputs[:1]):
        return False
    warn(_COUPLED)
    return True


def is_same_output(a: Tensor, b: Tensor) -> bool:
    """Whether outputs differ by no more than the order of summation does."""
    if a.shape != b.shape:
        return False
    if not _is_rounded(a):
        return bool(torch.equal(a, b))
    share = min(SAME_OUTPUT * torch.finfo(a.dtype).eps, MOST_ROUNDING)
    a, b = _widened(a), _widened(b)
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
    hooks = model.hook_dict
    points = {name: hooks[name] for name in names.values()}

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

    Whole numbers are replaced by those of the other example, because a token may not be any number.
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
    """Whether nothing changed except the hook that was written."""
    others = [name for name in before if name != besides]
    return all(name in after and _is_equal(before[name], after[name]) for name in others)


def _is_equal(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit, where two NaN are equal too."""
    if a.shape != b.shape:
        return False
    if not _is_rounded(a):
        return bool(torch.equal(a, b))
    return bool(torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True))
