"""metric, inputs, hook names -> the metric's gradient at these hook points.

It is taken in two steps, so that a missing gradient can be named: at the outputs first, where a
metric that rounds or leaves torch has none, and from there back through the model to the hooks.

Gradients are [row, input, ...]. There is one row if each input's metric reads only its own outputs,
which is the usual case. A metric that compares the inputs of a run, as one from which its mean is
taken, has one row per input, the gradient of that input's metric at all the inputs: patching
changes them all together, and a score has to add up what each of them does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short, require_memory
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._forward import OnActivation, hook_that_keeps, inputs_per_run, run_hooked
from xor_mi.interventions._hooks import Probed
from xor_mi.interventions._readout import Readers, named_metrics, require_one_each
from xor_mi.interventions._sites import Site, entries_of
from xor_mi.kinds import HookedModel, Metric

WEIGHTS = 8
"""Powers of two that tell the inputs of a run apart: scaling by one of them does not round."""

INSTEAD = "use exact_patching"


class NoGradientAt(XorMiError):
    """Hooks that have no gradient, while others may have one.

    Attributes:
        reasons: hook name -> why, in one sentence.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(f"{next(iter(reasons.values()))}; {INSTEAD}")
        self.reasons = dict(reasons)


class Run(NamedTuple):
    """One forward whose graph is kept.

    Attributes:
        outputs: [input, ...].
        added: hook name -> the zero that was added to its activation.
    """

    outputs: Tensor
    added: dict[str, Tensor]


@dataclass(frozen=True)
class NamedMetric:
    """A metric under the caller's name for it, with the pairs as text, so that errors name both."""

    name: str
    metric: Metric
    pairs: tuple[str, ...]

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, outputs: Tensor) -> Tensor:
        """Outputs [pair, ...] -> one number per pair."""
        return self.metric(outputs)


def pairs_of(metric: Metric) -> tuple[str, ...]:
    """The pairs as text, if a metric has them."""
    return metric.pairs if isinstance(metric, NamedMetric) else ()


def checked_metric(metric: Metric, outputs: Tensor) -> Tensor:
    """A metric's values of a run, [input], without a gradient, checked as patching checks them.

    Raises:
        XorMiError: values that are not one finite number per input.
    """
    named = named_metrics(metric, argument="metric")
    readers = Readers(metrics=tuple(named), functions=tuple(named.items()))
    return readers.read(outputs.detach(), pairs_of(metric))[0]


def inputs_with_gradients(
    model: HookedModel,
    inputs: Tensor | Examples,
    max_batch_bytes: int | None,
    probed: Probed | None = None,
) -> int:
    """How many inputs one forward with gradients may take; gradients double the memory of each.

    Args:
        probed: what is known of the model's hooks, where it has been run already.

    Raises:
        XorMiError: weights that cannot take part in a gradient.
    """
    _require_ordinary_weights(model)
    return max(1, inputs_per_run(model, inputs, max_batch_bytes, probed) // 2)


def gradients_at(
    model: HookedModel,
    inputs: Examples,
    hook_names: Iterable[str],
    metric: Metric,
    *,
    at_once: int,
    n_pairs: int | None = None,
    replaced: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The gradient of a metric at each hook, [row, input, ...].

    One forward takes at most `at_once` inputs. The metric sees the outputs of all of them.

    Args:
        n_pairs: the inputs are this many pairs, copied; the metric sees one copy after the other.
        replaced: the activations that some hooks get instead of the model's own.

    Raises:
        XorMiError: a metric or a model without a gradient, naming what to do.
    """
    # Sorted, so that the same request always runs in the same order.
    hook_names = sorted(hook_names)
    if len(inputs) <= at_once:
        run = run_with_graph(model, inputs, hook_names, replaced=replaced)
        at_outputs = metric_gradients(metric, run.outputs, n_pairs)
        return _back_to_hooks(model, inputs, run, at_outputs, replaced)

    starts = range(0, len(inputs), at_once)
    parts = [slice(start, start + at_once) for start in starts]
    outputs = torch.cat(
        [_outputs_with(model, inputs[part], _of_part(replaced, part)) for part in parts]
    )
    at_outputs = metric_gradients(metric, outputs, n_pairs)
    gradients: dict[str, list[Tensor]] = {name: [] for name in hook_names}
    for part in parts:
        here = _of_part(replaced, part)
        run = run_with_graph(model, inputs[part], hook_names, replaced=here)
        of_part = _back_to_hooks(model, inputs[part], run, at_outputs[:, part], here)
        for name, gradient in of_part.items():
            gradients[name].append(gradient)
    return {name: torch.cat(of_parts, dim=1) for name, of_parts in gradients.items()}


def gradients_where_any(
    gradients: Callable[[Sequence[str]], dict[str, Tensor]],
    groups: Iterable[Sequence[str]],
    seen: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The gradients of the hooks that have one, by name, and why the others have none.

    Args:
        gradients: hook names -> their gradients, as `gradients_at` gives them.
        groups: the hooks whose gradients are taken in one call.
        seen: what each hook saw in a plain run.

    Raises:
        NoGradientAt: no hook has one.
    """
    found: dict[str, Tensor] = {}
    reasons: dict[str, str] = {}
    for group in groups:
        reasons |= {
            name: _why_none(name, seen[name]) for name in group if not _has_gradient(seen[name])
        }
        while left := [name for name in group if name not in reasons]:
            try:
                found |= gradients(left)
            except NoGradientAt as error:
                reasons |= error.reasons
            else:
                break
    if not found:
        raise NoGradientAt(reasons)
    return found, reasons


def times_difference(
    gradients: Mapping[str, Tensor],
    clean: Mapping[str, Tensor],
    corrupted: Mapping[str, Tensor],
    sites: Sequence[Site],
) -> Tensor:
    """gradient [row, pair, ...] * (clean - corrupted), summed over what a site spans, [site, pair].

    Numbers of less than 32 bits are multiplied and summed in float32.
    """
    scores: list[Tensor] = []
    for site in sites:
        name = site.hook_name
        difference = in_float32(clean[name]) - in_float32(corrupted[name])
        products = gradients[name] * difference
        by_row = summed_over(site, products.flatten(0, 1)).view(products.shape[:2])
        # With one row per pair, a row holds what the change of each pair does to its metric.
        scores.append(by_row[0] if len(by_row) == 1 else by_row.sum(1))
    return torch.stack(scores)


def summed_over(site: Site, values: Tensor) -> Tensor:
    """Values [pair, ...] of a hook -> their sum over the entries of the site, [pair]."""
    return values[entries_of(site, values)].reshape(len(values), -1).sum(1)


def in_float32(values: Tensor) -> Tensor:
    """Real numbers of less than 32 bits as float32; others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


# the metric at the outputs


def metric_gradients(metric: Metric, outputs: Tensor, n_pairs: int | None = None) -> Tensor:
    """The gradient of a metric at the outputs [input, ...], as [row, input, ...].

    Args:
        n_pairs: the inputs are this many pairs, copied; the metric sees one copy after the other.

    Raises:
        XorMiError: outputs or a metric without a gradient.
    """
    if not outputs.is_floating_point():
        raise XorMiError(
            f"the outputs of this model are {_kind(outputs)} numbers, which have no gradient; "
            f"{INSTEAD}"
        )
    gradients: list[Tensor] = []
    alone: bool | None = None
    for copy in outputs.split(len(outputs) if n_pairs is None else n_pairs):
        leaf = copy.detach().requires_grad_()
        with torch.enable_grad():
            values = _with_graph(metric, leaf)
        together = _weighted_gradient(values, leaf, torch.ones_like(values))
        if alone is None:  # the metric treats all copies alike
            alone = _reads_alone(values, leaf, together)
        gradients.append(together.unsqueeze(0) if alone else _one_by_one(values, leaf))
    return gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1)


def _one_by_one(values: Tensor, leaf: Tensor) -> Tensor:
    """The gradient of each input's metric at the outputs of all, [row, input, ...]."""
    n_pairs = len(values)
    require_memory(
        n_pairs * leaf.numel() * leaf.element_size(),
        what=f"{n_pairs:,} gradients, one per pair, of a metric that compares them",
        do="give fewer pairs, or a metric that reads each by itself",
    )
    rows = torch.eye(n_pairs, dtype=values.dtype, device=values.device)
    return torch.stack([_weighted_gradient(values, leaf, row) for row in rows])


def _with_graph(metric: Metric, outputs: Tensor) -> Tensor:
    """A metric's values, [input], of outputs that have a gradient."""
    try:
        values = metric(outputs)
    except RuntimeError as error:  # the metric worked without a gradient
        raise XorMiError(
            f"this metric has no gradient ({_first_line(error)}); give one that is computed from "
            f"the outputs in torch, without changing them, or {INSTEAD}"
        ) from None
    if isinstance(values, Tensor):
        require_one_each("the metric", values, outputs)
    if not isinstance(values, Tensor) or not values.requires_grad:
        raise XorMiError(
            "this metric has no gradient; give one that is computed from the outputs in torch, "
            f"without rounding or detach, or {INSTEAD}"
        )
    return values


def _weighted_gradient(values: Tensor, leaf: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the sum of these values, each times its weight."""
    return torch.autograd.grad(
        values, leaf, weights, retain_graph=True, allow_unused=True, materialize_grads=True
    )[0]


def _reads_alone(values: Tensor, leaf: Tensor, together: Tensor) -> bool:
    """Whether each input's metric reads only its own outputs.

    If so, weighting its metric weights its gradient in the same way.
    """
    number = torch.arange(len(values), device=values.device)
    axes = [1] * (leaf.ndim - 1)
    step = 1
    while step < len(values):
        # by the digits of an input's number, one after the other: no two inputs have all digits
        # alike
        exponents = (number // step) % WEIGHTS - WEIGHTS // 2
        weights = torch.ldexp(torch.ones_like(values), exponents)
        expected = together * weights.to(together).view(-1, *axes)
        weighted = _weighted_gradient(values, leaf, weights)
        # a slope that is not finite does not show that another input is read
        if not torch.allclose(weighted, expected, rtol=0.0, atol=0.0, equal_nan=True):
            return False
        step *= WEIGHTS
    return True


# from the outputs back to the hooks


def run_with_graph(
    model: HookedModel,
    inputs: Examples,
    hook_names: Iterable[str],
    *,
    replaced: Mapping[str, Tensor] | None = None,
    kept: Mapping[str, list[Tensor]] | None = None,
) -> Run:
    """One forward with a gradient, with a zero added at each hook.

    Args:
        replaced: the activations that some hooks get instead of the model's own.
        kept: hook name -> a list that its activation is appended to, graph and all.

    Raises:
        XorMiError: a hook whose activation has no gradient, or no batch axis.
    """
    added: dict[str, Tensor] = {}
    reasons: dict[str, str] = {}
    hooks: dict[str, OnActivation] = {
        name: partial(replace_by, new) for name, new in (replaced or {}).items()
    }
    for name, seen in (kept or {}).items():
        hooks[name] = partial(_keep_with_graph, seen)
    for name in hook_names:
        new = None if replaced is None else replaced.get(name)
        hooks[name] = partial(_add_zero, added, reasons, name, len(inputs), new)
    with torch.enable_grad(), in_one_sentence():
        outputs = run_hooked(model, inputs, hooks)
    if reasons:
        raise NoGradientAt(reasons)
    return Run(outputs=outputs, added=added)


def carried_back(outputs: Tensor, at_outputs: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
    """A gradient at some tensor, [row, ...], as one at tensors before it, each [row, ...].

    It is zero at tensors that the gradient does not reach.
    """
    if not outputs.requires_grad:
        return [place.new_zeros(len(at_outputs), *place.shape) for place in places]
    with in_one_sentence():
        rows = [
            torch.autograd.grad(
                outputs,
                places,
                row.to(outputs),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for row in at_outputs
        ]
    return [torch.stack(of_place) for of_place in zip(*rows, strict=True)]


def _back_to_hooks(
    model: HookedModel,
    inputs: Examples,
    run: Run,
    at_outputs: Tensor,
    replaced: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """The gradient at every hook of a run, [row, input, ...]."""
    names, places = list(run.added), list(run.added.values())
    require_memory(
        len(at_outputs) * sum(place.numel() * place.element_size() for place in places),
        what=f"{len(at_outputs):,} gradients of {len(inputs):,} inputs at {len(names)} hook points",
        do="give fewer inputs, or sites of fewer hook points at a time",
    )
    gradients = carried_back(run.outputs, at_outputs, places)
    unreached = [name for name, one in zip(names, gradients, strict=True) if not one.any()]
    if unreached:
        _require_no_change(model, inputs, unreached, at_outputs, run, replaced)
    return dict(zip(names, gradients, strict=True))


def _require_no_change(
    model: HookedModel,
    inputs: Examples,
    names: Sequence[str],
    at_outputs: Tensor,
    run: Run,
    replaced: Mapping[str, Tensor] | None,
) -> None:
    """Refuse hooks that no gradient reaches although the metric changes with their activation.

    A gradient of zero, as at the kink of a ReLU, counts as reaching them.
    """
    places = [run.added[name] for name in names]
    reached: Sequence[Tensor | None] = [None] * len(names)
    if run.outputs.requires_grad:
        with in_one_sentence():
            reached = torch.autograd.grad(
                run.outputs,
                places,
                torch.ones_like(run.outputs),
                retain_graph=True,
                allow_unused=True,
            )
    # two inputs are enough to see a change
    few = slice(0, 2)
    inputs, at_outputs, here = inputs[few], at_outputs[:, few], _of_part(replaced, few)
    suspects = [name for name, one in zip(names, reached, strict=True) if one is None]
    if not suspects:
        return
    plain = _outputs_with(model, inputs, here)
    reasons: dict[str, str] = {}
    for name in suspects:
        disturbed = _outputs_with(model, inputs, here, disturbed=name)
        weighted = at_outputs * (disturbed - plain)
        if weighted.nan_to_num().any():
            reasons[name] = (
                f"no gradient reaches '{name}' although the outputs depend on it: the model "
                "detaches it, or leaves torch, on the way"
            )
    if reasons:
        raise NoGradientAt(reasons)


def _add_zero(
    added: dict[str, Tensor],
    reasons: dict[str, str],
    name: str,
    n_inputs: int,
    new: Tensor | None,
    activation: Tensor,
) -> Tensor | None:
    """An activation, or its replacement, with a zero added to it; the zero is kept.

    The gradient of the zero is that of the activation, which itself does not change. If there is no
    gradient, the reason is kept instead.
    """
    hook_that_keeps(name, n_inputs, [])(activation)
    if not _has_gradient(activation):
        reasons[name] = _why_none(name, activation)
        return None
    if not torch.is_grad_enabled():
        reasons[name] = (
            "this model switches gradients off in its forward (torch.no_grad), so none reaches "
            f"'{name}'"
        )
        return None
    value = activation if new is None else new.to(activation)
    added[name] = torch.zeros_like(value, requires_grad=True)
    return value + added[name]


def _has_gradient(activation: Tensor) -> bool:
    # PyTorch cannot add 8-bit numbers.
    return activation.is_floating_point() and activation.element_size() > 1


def _why_none(name: str, activation: Tensor) -> str:
    return f"hook '{name}' carries {_kind(activation)} numbers, which have no gradient"


def _keep_with_graph(kept: list[Tensor], activation: Tensor) -> None:
    kept.append(activation.clone())


def replace_by(new: Tensor, activation: Tensor) -> Tensor:
    return new.to(activation, copy=True)


def _disturb(activation: Tensor) -> Tensor:
    """An activation with numbers of its own size added, seeded."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(activation.shape, generator=generator).to(activation)
    return activation + noise * (1 + activation.abs().amax())


@torch.no_grad()
def _outputs_with(
    model: HookedModel,
    inputs: Examples,
    replaced: Mapping[str, Tensor] | None,
    *,
    disturbed: str | None = None,
) -> Tensor:
    """The outputs with some hooks' activations replaced, and one disturbed, without a gradient."""
    hooks: dict[str, OnActivation] = {
        name: partial(replace_by, new) for name, new in (replaced or {}).items()
    }
    if disturbed is not None:
        hooks[disturbed] = _disturb
    return run_hooked(model, inputs, hooks)


def _of_part(replaced: Mapping[str, Tensor] | None, part: slice) -> dict[str, Tensor] | None:
    return None if replaced is None else {name: one[part] for name, one in replaced.items()}


# what goes wrong, in one sentence

MADE_WITHOUT = (
    "this model was made under torch.inference_mode, so its weights take part in no gradient; "
    f"give copy.deepcopy(model), or {INSTEAD}"
)


def _require_ordinary_weights(model: HookedModel) -> None:
    """Refuse parameters and buffers that were made under inference_mode."""
    if isinstance(model, nn.Module):
        weights = chain(model.parameters(), model.buffers())
        if any(weight.is_inference() for weight in weights):
            raise XorMiError(MADE_WITHOUT)


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Turn torch's message on a gradient that it cannot take into an error that says what to do.

    Other errors of a model are passed on.
    """
    try:
        yield
    except RuntimeError as error:
        words = str(error)
        if "inplace operation" in words or "in-place operation" in words:
            raise XorMiError(
                "this model changes in place what its gradient needs; write that step so that it "
                f"makes a new tensor, or {INSTEAD}"
            ) from None
        if "Inference tensors" in words:
            raise XorMiError(MADE_WITHOUT) from None
        if "derivative" in words:
            raise XorMiError(
                f"a step of this model has no gradient ({_first_line(error)}); {INSTEAD}"
            ) from None
        raise


def _first_line(error: Exception) -> str:
    return cut_short((str(error).splitlines() or [""])[0], at_most=120)


def _kind(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
