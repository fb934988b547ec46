"""A network of someone else's -> the same one with hooks, compared with the original.

The class that is made comes in as `make`: these functions stand before it in the room.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short
from xor_mi.kinds import Numbers
from xor_mi.model._comparison import Network, require_same, warn_of_threshold
from xor_mi.model._convert import checked_layers
from xor_mi.model._description import Description, settings_of
from xor_mi.model._foreign import Foreign
from xor_mi.model._guards import how_to_bring
from xor_mi.model._places import warn
from xor_mi.model._read_module import CopiedModule, rows_to_compare

Made = TypeVar("Made", bound=Network)
Make = Callable[[list[tuple[Tensor, Tensor]], Mapping[str, object]], Made]
"""(checked layers, settings) -> the network."""

_FOLLOWING = ("act_fn", "negative_slope", "out_act_fn")
"""Settings that a network from elsewhere brings itself."""

_RULES = {"loss_fn", "decision_threshold"}
"""Settings that say how an output is decided."""

_PRINTED = 0.01
"""An example's outputs may be rounded to two digits."""


def load_module(make: Make[Made], module: object, settings: Mapping[str, object]) -> Made:
    """Any nn.Module but one of this package's -> the same network with hooks."""
    if isinstance(module, nn.Module) and hasattr(module, "float64_layers"):
        raise XorMiError("this is a HookedMLP already; use it as it is")
    if not isinstance(module, nn.Module):
        hint = how_to_bring(module, otherwise="give a network such as nn.Sequential(...)")
        raise XorMiError(f"from_module reads an nn.Module, not {type(module).__name__}: {hint}")
    copied = CopiedModule(module)
    model = _of_description(make, copied.described(), settings, "module")
    rows = rows_to_compare(model.cfg.d_in, copied.dtype)
    outputs = copied.outputs(rows)
    require_same(model, outputs, rows, kind="module", dtype=copied.dtype, hint=copied.hint)
    warn_of_threshold(model.cfg, outputs, settings)
    return model


def load_foreign(
    make: Make[Made], foreign: Foreign, settings: Mapping[str, object], kind: str
) -> Made:
    """What was read from another library -> the same network with hooks."""
    ruled = {} if _RULES & set(settings) else foreign.settings
    model = _of_description(make, foreign.described, {**ruled, **settings}, kind)
    if foreign.outputs is not None:
        dtype = foreign.described.dtype
        rows = rows_to_compare(model.cfg.d_in, dtype)
        try:
            outputs = foreign.outputs(rows)
        except Exception as error:
            raise XorMiError(
                f"the {kind} itself fails on rows of 0 and 1: {type(error).__name__}: "
                f"{cut_short(str(error))}; give its weights with HookedMLP.from_weights"
            ) from None
        require_same(model, outputs, rows, kind=kind, dtype=dtype)
        warn_of_threshold(model.cfg, outputs, {**ruled, **settings})
    if foreign.ones:
        warn(foreign.ones)
    return model


def _of_description(
    make: Make[Made], described: Description, settings: Mapping[str, object], kind: str
) -> Made:
    clash = [name for name in _FOLLOWING if name in settings]
    if clash:
        raise XorMiError(f"{', '.join(clash)} follow from the {kind}; leave them out")
    layers, read = settings_of(described)
    return make(checked_layers(layers), {**read, **settings})


def require_example(
    make: Make[Made], model: Made, example: tuple[Numbers, Numbers], layout: str
) -> None:
    """Refuse a network that does not give the outputs of an example.

    Raises:
        XorMiError: naming the other layout where that one gives them.
    """
    if not isinstance(example, (tuple, list)) or len(example) != 2:
        raise XorMiError("example is a pair (inputs [row, d_in], outputs [row, d_out])")
    inputs, outputs = example
    made = _outputs(model, inputs)
    try:
        wanted = torch.as_tensor(outputs).double().reshape(made.shape)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"the example's outputs are not numbers of shape {list(made.shape)}"
        ) from None
    if _is_near(made, wanted):
        return
    turned = [(weight.T, bias) for weight, bias in model.float64_layers()]
    try:
        settings = model.cfg.conventions()
        other = _outputs(make(checked_layers(turned), settings), inputs)
    except XorMiError:  # the layers fit one way only
        other = None
    if other is not None and other.shape == wanted.shape and _is_near(other, wanted):
        better = "in_out" if layout == "out_in" else "out_in"
        raise XorMiError(
            f"the example contradicts layout='{layout}' and fits the other one: "
            f"give layout='{better}'"
        )
    worst = int((made - wanted).abs().sum(-1).argmax())
    raise XorMiError(
        f"the network gives {[round(one, 4) for one in made[worst].tolist()]} for input {worst} of "
        f"the example, which says {wanted[worst].tolist()}; is an activation or a weight another?"
    )


def _outputs(model: Network, inputs: Any) -> Tensor:
    with torch.no_grad():
        return model(inputs).cpu().double()


def _is_near(made: Tensor, wanted: Tensor) -> bool:
    return bool(((made - wanted).abs() <= _PRINTED * wanted.abs().clamp(min=1)).all())
