"""target, settings, weights to start from -> the network's config, and where training begins."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xor_mi.errors import XorMiError, shown, whole_number
from xor_mi.kinds import Layers, Numbers, Target, Widths
from xor_mi.model import HookedMLP, HookedMLPConfig, require_hooked_mlp
from xor_mi.training._config import CONVENTIONS, TrainConfig, require_gradient
from xor_mi.training._population import flat_parameters
from xor_mi.truth import BooleanFunction, row_name

Init = Layers | HookedMLP
"""Where training starts: [(W, b), ...] as `HookedMLP.from_weights` takes them, or a network."""


class Start(NamedTuple):
    """The networks to train, and where they start.

    Attributes:
        flat: the parameters that all networks start from; None if each starts from its seed.
    """

    function: BooleanFunction
    cfg: HookedMLPConfig
    flat: Float[Tensor, " parameter"] | None


def start_of(
    target: Target | None,
    *,
    hidden: Widths | None,
    n_inputs: int | None,
    seed: int,
    init: Init | None,
    config: TrainConfig,
    given: Iterable[str],
) -> Start:
    """The function that is learnt and the network that learns it.

    Args:
        given: names of the settings that were given beside a config.

    Raises:
        XorMiError: settings that contradict each other.
    """
    if init is None:
        function = _function("XOR" if target is None else target, n_inputs)
        cfg = HookedMLPConfig(
            function.n_inputs,
            (2,) if hidden is None else _widths(hidden),
            _n_outputs(function, config),
            target=function,
            seed=seed,
            **_conventions(config),
        )
        return Start(_require_classes(function, cfg), cfg, None)
    model = _network(init, config, given)
    _require_same_sizes(model.cfg, hidden=hidden, n_inputs=n_inputs)
    wanted = model.cfg.target if target is None else target
    function = _function("XOR" if wanted is None else wanted, model.cfg.d_in)
    # 16-bit numbers are too coarse to learn with
    dtype = torch.float64 if model.cfg.dtype == torch.float64 else torch.float32
    changed = {"target": function, "seed": seed, "dtype": dtype, "device": "cpu"}
    cfg = HookedMLPConfig(
        *(model.cfg.d_in, model.cfg.d_hidden, model.cfg.d_out),
        direct=model.cfg.direct,
        **(model.cfg.conventions() | changed),
    )
    require_gradient(cfg)
    flat = flat_parameters(model.float64_layers()).to(dtype)
    return Start(_require_classes(function, cfg), cfg, flat)


def labels_of(function: BooleanFunction, cfg: HookedMLPConfig) -> Float[Tensor, "row d_out"]:
    """What every output should be on every row of the truth table."""
    tables = torch.tensor(function.tables, dtype=cfg.dtype).T
    # for one decision between two outputs: 1 for the one that should win
    return tables if len(tables.T) == cfg.d_out else torch.cat([1 - tables, tables], dim=1)


def _function(target: Target, n_inputs: int | None) -> BooleanFunction:
    """The target as a function, with the number of inputs that is given or that it names itself."""
    if n_inputs is None:
        return BooleanFunction.of(target, None)
    n_inputs = whole_number("n_inputs", n_inputs, at_least=1)
    try:
        return BooleanFunction.of(target, n_inputs)
    except XorMiError:
        n_own = BooleanFunction.of(target, None).n_inputs
        if n_own <= n_inputs:
            raise
    name = target.name if isinstance(target, BooleanFunction) else target
    raise XorMiError(
        f"n_inputs is {n_inputs}, but {shown(name)} has {n_own} inputs; "
        f"leave n_inputs out, or give {n_own}"
    )


def _n_outputs(function: BooleanFunction, config: TrainConfig) -> int:
    """One output per output of the function, and two that compete for a single one."""
    is_one_class = config.decision_rule == "argmax" and function.n_outputs == 1
    return 2 if is_one_class else function.n_outputs


def _require_classes(function: BooleanFunction, cfg: HookedMLPConfig) -> BooleanFunction:
    """Refuse a function that a largest output cannot decide: of three or more, one output wins."""
    if cfg.decision_rule == "argmax" and function.n_outputs > 1:
        for row, outputs in zip(function.rows(), zip(*function.tables, strict=True), strict=True):
            if sum(outputs) != 1:
                raise XorMiError(
                    f"by argmax one output wins on every row; the target has {sum(outputs)} on "
                    f"{row_name(row)}: leave out decision_rule='argmax' and loss_fn='ce'"
                )
    return function


def _widths(hidden: Widths) -> tuple[int, ...]:
    if isinstance(hidden, Integral):
        return (whole_number("hidden", hidden, at_least=1),)
    if isinstance(hidden, str) or not isinstance(hidden, Iterable):
        raise XorMiError(
            f"hidden is {hidden!r}; give the width of each hidden layer, such as 2 or (3, 3)"
        )
    widths = tuple(whole_number("a width in hidden", width, at_least=1) for width in hidden)
    if not widths:
        raise XorMiError("hidden is empty; give at least one hidden layer, such as (2,)")
    return widths


# weights to start from


def _network(init: Init, config: TrainConfig, given: Iterable[str]) -> HookedMLP:
    """A network with the given weights, and with its own conventions if it is a network."""
    if isinstance(init, HookedMLP):
        _require_same_conventions(init.cfg, config, given)
        return init
    # a Sequential can be iterated over too, and so can a text
    is_list = isinstance(init, Iterable) and not isinstance(init, nn.Module | str | bytes)
    if not is_list:
        return require_hooked_mlp(init, "starting from init")
    layers = list(init)
    settings = _conventions(config)
    if not settings.pop("direct"):
        return HookedMLP.from_weights(layers, **settings)
    own, direct = _without_direct(layers)
    return HookedMLP.from_weights(own, direct=direct, **settings)


def _without_direct(
    layers: Sequence[tuple[Numbers, Numbers | None]],
) -> tuple[list[tuple[Numbers, Numbers | None]], Tensor | None]:
    """Layers whose readout has the direct weights last -> layers without them, and these
    weights."""
    try:
        *before, (weight, bias) = layers
        readout = torch.as_tensor(weight)
        n_own = readout.shape[1] - torch.as_tensor(layers[0][0]).shape[1]
    except (IndexError, TypeError, ValueError, RuntimeError):
        return list(layers), None  # if they are wrong, reading them says why
    if n_own < 1:
        raise XorMiError(
            f"init has a readout {list(readout.shape)} for direct=True; "
            "give it one column per hidden unit and then one per input, or "
            "init=HookedMLP.from_weights(layers, direct=W)"
        )
    return [*before, (readout[:, :n_own], bias)], readout[:, n_own:]


def _conventions(config: TrainConfig) -> dict[str, Any]:
    """The settings of training that a `HookedMLPConfig` has too."""
    return {name: getattr(config, name) for name in CONVENTIONS}


def _require_same_conventions(
    cfg: HookedMLPConfig, config: TrainConfig, given: Iterable[str]
) -> None:
    """Refuse settings that contradict the network that is given as init."""
    by_default = TrainConfig()
    for name in CONVENTIONS:
        own, asked = getattr(cfg, name), getattr(config, name)
        is_asked = name in given or asked != getattr(by_default, name)
        if name == "act_fn":
            alike = cfg.act_fns in (asked, (asked,) * cfg.n_layers)
        else:
            alike = own == asked
        if is_asked and not alike:
            raise XorMiError(
                f"init is a network with {name}={own!r}, and {name}={asked!r} is asked; "
                "leave it out, or give its weights alone, as init=[(W, b), ...]"
            )


def _require_same_sizes(
    cfg: HookedMLPConfig, *, hidden: Widths | None, n_inputs: int | None
) -> None:
    if hidden is not None and _widths(hidden) != cfg.d_hidden:
        raise XorMiError(
            f"init has hidden layers {cfg.d_hidden}, and hidden={hidden!r} is asked; "
            "leave hidden out"
        )
    if n_inputs is not None and whole_number("n_inputs", n_inputs, at_least=1) != cfg.d_in:
        raise XorMiError(
            f"init has {cfg.d_in} inputs, and n_inputs={n_inputs} is asked; leave n_inputs out"
        )
