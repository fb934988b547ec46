"""Someone else's network -> the same network with hooks, compared with the original.

The class that is made comes in as `make`: these functions stand before it in the room.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short, shown
from xor_mi.kinds import Numbers
from xor_mi.model._comparison import (
    Network,
    at_levels,
    misread_step,
    require_same,
    warn_of_rule,
)
from xor_mi.model._convert import checked_direct, checked_layers, split_direct
from xor_mi.model._description import Parts, parts_of
from xor_mi.model._foreign import Foreign
from xor_mi.model._guards import how_to_bring
from xor_mi.model._numbers import read_numbers
from xor_mi.model._places import warn
from xor_mi.model._read_module import CopiedModule, rows_to_compare
from xor_mi.truth import BooleanFunction

Made = TypeVar("Made", bound=Network)
Make = Callable[[list[tuple[Tensor, Tensor]], Mapping[str, object], Tensor | None], Made]
"""(checked layers, settings, direct weights) -> the network."""

_FOLLOWING = ("act_fn", "negative_slope", "out_act_fn")
"""Settings that a network from elsewhere brings itself; step_at_zero too where it has steps."""

_BY_THRESHOLD = {"decision_threshold", "decision_rule"}
_RULES = {"loss_fn", *_BY_THRESHOLD}
"""Settings that say how an output is decided."""

_PRINTED = 0.01
"""An example's outputs may be rounded to two digits."""


def load_module(make: Make[Made], module: object, settings: Mapping[str, object]) -> Made:
    """Any nn.Module except this package's own -> the same network with hooks."""
    if isinstance(module, nn.Module) and hasattr(module, "float64_layers"):
        raise XorMiError("this is a HookedMLP already; use it as it is")
    if not isinstance(module, nn.Module):
        hint = how_to_bring(module, otherwise="give a network such as nn.Sequential(...)")
        raise XorMiError(f"from_module reads an nn.Module, not {type(module).__name__}: {hint}")
    copied = CopiedModule(module)
    parts = parts_of(copied.described())
    given = _with_rule(parts, settings)
    model, bits = _made(make, parts, given, "module", copied.dtype)
    outputs = copied.outputs(at_levels(bits, model.cfg.input_levels))
    require_same(
        model,
        outputs,
        bits,
        kind="module",
        dtype=copied.dtype,
        softmax=parts.softmax,
        hint=copied.hint,
    )
    warn_of_rule(model.cfg, outputs, bits, given)
    return model


def load_foreign(
    make: Make[Made], foreign: Foreign, settings: Mapping[str, object], kind: str
) -> Made:
    """What was read from another library -> the same network with hooks."""
    parts, dtype = parts_of(foreign.described), foreign.described.dtype
    given = _with_rule(parts, settings, foreign.settings)
    model, bits = _made(make, parts, given, kind, dtype)
    rows = at_levels(bits, model.cfg.input_levels)
    if foreign.outputs is None:
        # weights alone cannot be run, so there is nothing to compare the made network with
        with torch.no_grad():
            warn_of_rule(model.cfg, model(rows), bits, given)
    else:
        try:
            outputs = foreign.outputs(rows)
        except Exception as error:
            low, high = model.cfg.input_levels
            raise XorMiError(
                f"the {kind} itself fails on rows of {low:g} and {high:g}: {type(error).__name__}: "
                f"{cut_short(str(error))}; give its weights with HookedMLP.from_weights"
            ) from None
        require_same(
            model,
            outputs,
            bits,
            kind=kind,
            dtype=dtype,
            softmax=parts.softmax,
            hint=foreign.hint,
        )
        warn_of_rule(model.cfg, outputs, bits, given)
    if foreign.ones:
        warn(foreign.ones)
    return model


def _with_rule(
    parts: Parts, settings: Mapping[str, object], library: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Settings with how the outputs are decided, where the network or the target says so.

    Args:
        library: what a library says of the decision, which holds if nothing is given.
    """
    given = dict(settings)
    if parts.softmax:
        _require_argmax(parts, given)
        return {"decision_rule": "argmax", **given}
    if not _RULES & set(given):
        given = {**(library or {}), **given}
    says_threshold = _BY_THRESHOLD & set(given) or given.get("loss_fn") == "bce"
    if not says_threshold and _is_one_decision_over_two(parts, given):
        return {"decision_rule": "argmax", **given}
    return given


def _require_argmax(parts: Parts, settings: Mapping[str, object]) -> None:
    """Refuse a threshold for a network that ends in a softmax."""
    for name in ("decision_rule", "decision_threshold", "loss_fn"):
        value = settings.get(name)
        if value in (None, "argmax", "ce", "mse"):
            continue
        raise XorMiError(
            f"the network ends in a {parts.softmax}, so its largest output decides; "
            f"leave {name}={shown(value)} out"
        )


def _is_one_decision_over_two(parts: Parts, settings: Mapping[str, object]) -> bool:
    """Whether there are two outputs and a target of one: then the larger output decides."""
    target: Any = settings.get("target")
    (first, _), (_, last_bias) = parts.layers[0], parts.layers[-1]
    if target is None or isinstance(target, dict) or len(last_bias) != 2:
        return False
    return BooleanFunction.of(target, first.shape[1]).n_outputs == 1


def _made(
    make: Make[Made], parts: Parts, settings: Mapping[str, object], kind: str, dtype: torch.dtype
) -> tuple[Made, Tensor]:
    """The network, and the rows of bits [row, d_in] that it is to be compared on.

    Raises:
        XorMiError: settings that follow from the network, or steps that differ at exactly zero.
    """
    brought = [*_FOLLOWING, *(["step_at_zero"] if "step_at_zero" in parts.settings else [])]
    clash = [name for name in brought if name in settings]
    if clash:
        raise XorMiError(f"{', '.join(clash)} follow from the {kind}; leave them out")
    layers = checked_layers(parts.layers)
    direct = None if parts.direct is None else checked_direct(parts.direct, layers)
    wanted = {**parts.settings, **settings}
    model = make(layers, wanted, direct)
    bits = rows_to_compare(model.cfg.d_in, dtype)
    wrong = misread_step(model, parts.activations, bits)
    if not wrong:
        return model, bits
    other = make(layers, {**wanted, "step_at_zero": 1 - model.cfg.step_at_zero}, direct)
    if misread_step(other, parts.activations, bits):
        raise XorMiError(wrong)
    return other, bits


def require_example(
    make: Make[Made], model: Made, example: tuple[Numbers, Numbers], layout: str
) -> None:
    """Refuse a network that does not give the outputs of an example.

    Raises:
        XorMiError: naming the other layout if that one gives them.
    """
    if not isinstance(example, (tuple, list)) or len(example) != 2:
        raise XorMiError("example is not a pair; give (inputs [row, d_in], outputs [row, d_out])")
    inputs, outputs = example
    made = _outputs(model, inputs)
    try:
        wanted = read_numbers(outputs).double().reshape(made.shape)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"the example's outputs are not numbers of shape {list(made.shape)}; give one row of "
            "outputs for each of its inputs"
        ) from None
    if _is_near(made, wanted):
        return
    layers, direct = split_direct(model.float64_layers(), model.cfg.d_in * model.cfg.direct)
    turned = [(weight.T, bias) for weight, bias in layers]
    try:
        settings = model.cfg.conventions()
        other = _outputs(make(checked_layers(turned), settings, direct), inputs)
    except XorMiError:  # the layers fit in one layout only
        other = None
    if other is not None and other.shape == wanted.shape and _is_near(other, wanted):
        better = "in_out" if layout == "out_in" else "out_in"
        raise XorMiError(
            f"the example contradicts layout='{layout}' and fits the other one: "
            f"give layout='{better}'"
        )
    worst = int((made - wanted).abs().sum(-1).argmax())
    gives = ", ".join(f"{one:.4g}" for one in made[worst].tolist())
    raise XorMiError(
        f"the network gives [{gives}] for input {worst} of the example, which says "
        f"{wanted[worst].tolist()}; check the activations and the weights"
    )


def _outputs(model: Network, inputs: Any) -> Tensor:
    with torch.no_grad():
        return model(inputs).cpu().double()


def _is_near(made: Tensor, wanted: Tensor) -> bool:
    # outputs below 1 are printed to as many digits of the largest; of zeros alone to two decimals
    largest = wanted.abs().max().item() if wanted.numel() else 0.0
    within = _PRINTED * wanted.abs().clamp(min=min(1.0, largest) or 1.0)
    return bool(((made - wanted).abs() <= within).all())
