"""a network -> Python code that makes it again, number for number, as the bench writes it."""

import torch

from xor_mi.errors import XorMiError
from xor_mi.model import HookedMLP, HookedMLPConfig, require_plain_mlp
from xor_mi.truth import BooleanFunction


def network_code(model: HookedMLP) -> str:
    """Python code that makes this network with `HookedMLP.from_weights`, as text.

    >>> from xor_mi.handmade import textbook_xor
    >>> print(network_code(textbook_xor()))
    from xor_mi import HookedMLP
    <BLANKLINE>
    model = HookedMLP.from_weights(
        [
            ([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]),
            ([[1.0, -2.0]], [0.0]),
        ],
        loss_fn="mse",
        decision_threshold=0.5,
        target="XOR",
    )
    <BLANKLINE>

    Raises:
        XorMiError: a model that is not a `HookedMLP`, or one with hooks.
    """
    require_plain_mlp(model, "the code of a network")
    width = model.layer_sizes[-2]
    settings = settings_code(model.cfg, model.cfg.target)
    pairs: list[str] = []
    for weight, bias in model.float64_layers():
        # direct connections, the readout's last columns, are a setting
        own = weight[:, :width] if len(pairs) == model.cfg.n_layers else weight
        # + 0.0: so that no zero is written as -0.0
        pairs.append(f"        ({(own + 0.0).tolist()}, {(bias + 0.0).tolist()}),")
    if model.cfg.direct:
        weight, _ = model.float64_layers()[-1]
        past_hidden = weight[:, width:] + 0.0
        settings = {"direct": str(past_hidden.tolist())} | settings
    needs_table = "BooleanFunction(" in settings.get("target", "")
    imported = "BooleanFunction, HookedMLP" if needs_table else "HookedMLP"
    return "\n".join(
        [
            f"from xor_mi import {imported}",
            "",
            "model = HookedMLP.from_weights(",
            "    [",
            *pairs,
            "    ],",
            *[f"    {name}={value}," for name, value in settings.items()],
            ")",
            "",
        ]
    )


def settings_code(cfg: HookedMLPConfig, target: BooleanFunction | None) -> dict[str, str]:
    """The arguments after the weights in a call of `HookedMLP.from_weights`: name -> value."""
    plain = HookedMLPConfig(cfg.d_in, cfg.d_hidden, cfg.d_out, direct=cfg.direct)
    code: dict[str, str] = {}
    for name in ("act_fn", "out_act_fn", "negative_slope", "step_at_zero", "input_levels"):
        value = getattr(cfg, name)
        if value != getattr(plain, name):
            code[name] = _quoted(value)
    # settings that follow from others are written too, so that the call is complete
    if cfg.decision_rule == "argmax" or cfg.loss_fn != "bce":
        code["loss_fn"] = _quoted(cfg.loss_fn)
    if cfg.decision_rule == "argmax":
        code["decision_rule"] = _quoted(cfg.decision_rule)
    else:
        code["decision_threshold"] = _quoted(cfg.decision_threshold)
    if cfg.seed:
        code["seed"] = str(cfg.seed)
    if cfg.dtype != torch.float32:
        code["dtype"] = _quoted(str(cfg.dtype).removeprefix("torch."))
    if target is not None:
        code["target"] = _target_code(target)
    return code


def _quoted(value: object) -> str:
    """A value as Python code, with the quotes that this package uses."""
    return repr(value).replace("'", '"')


def _target_code(target: BooleanFunction) -> str:
    """A gate or a formula, if it is read back as the same function; otherwise the table."""
    try:
        is_read_back = BooleanFunction.of(target.name, target.n_inputs) == target
    except XorMiError:
        is_read_back = False
    if is_read_back:
        return _quoted(target.name)
    return f"BooleanFunction({target.n_inputs}, {target.tables})"
