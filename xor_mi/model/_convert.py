"""weights from elsewhere (arrays, an nn.Sequential, a folder on disk) -> checked layers.

No pickle is read and no code is run.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short
from xor_mi.kinds import Layers, PathLike
from xor_mi.model._config import HookedMLPConfig
from xor_mi.reading import read_json
from xor_mi.saving import MODEL_MARK, require_writable, write_files

_MODULES = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.Identity: "identity",
}
# in every config.json; a changed meaning of the file raises the number
_FORMAT = f"{MODEL_MARK}/1"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
MODEL_FILES = {_CONFIG: MODEL_MARK, _WEIGHTS: MODEL_MARK}
"""What a saved model consists of: a file's name -> its mark (see `saving.mark_of`)."""


def checked_layers(layers: Layers) -> list[tuple[Tensor, Tensor]]:
    """[(W, b), ...] as lists, arrays or tensors -> tensors whose shapes chain.

    W is [d_out, d_in], b is [d_out]; b = None means zeros.
    """
    if not isinstance(layers, Iterable):
        raise XorMiError(f"{layers!r} is not a list of layers; give [(weight, bias), ...]")
    # counted from 1, as the layers are called: fc1, fc2, ...
    pairs = [_weight_pair(layer, number) for number, layer in enumerate(layers, start=1)]
    if len(pairs) < 2:
        raise XorMiError(
            f"{len(pairs)} layers of weights given; "
            "a HookedMLP has at least one hidden layer and a readout"
        )
    weights = [weight for weight, _ in pairs]
    for number, (before, after) in enumerate(pairwise(weights), start=1):
        n_given, n_taken = before.shape[0], after.shape[1]
        if n_given != n_taken:
            raise XorMiError(f"fc{number} gives {n_given} values; fc{number + 1} takes {n_taken}")
    return pairs


def _weight_pair(layer: Any, number: int) -> tuple[Tensor, Tensor]:
    try:
        weight, bias = layer
        w = torch.as_tensor(weight).detach()
        b = torch.zeros(w.shape[0]) if bias is None else torch.as_tensor(bias).detach()
    except (TypeError, ValueError, RuntimeError, IndexError):
        raise XorMiError(
            f"fc{number} is not a pair (weight [d_out, d_in], bias [d_out] or None)"
        ) from None
    if w.ndim != 2 or b.ndim != 1 or w.shape[0] != b.shape[0] or 0 in w.shape:
        raise XorMiError(
            f"fc{number} has weight {list(w.shape)} and bias {list(b.shape)}; "
            "expected [d_out, d_in] and [d_out]"
        )
    if not (torch.isfinite(w).all() and torch.isfinite(b).all()):
        raise XorMiError(f"fc{number} has NaN or infinite entries; weights must be finite")
    return w, b


def read_sequential(
    sequential: nn.Sequential,
) -> tuple[list[tuple[Tensor, Tensor | None]], dict[str, object]]:
    """nn.Sequential -> its weights, and the settings that make a HookedMLP the same network.

    The settings are the activations, the dtype, and the slope of leaky_relu where there is one.
    """
    linears: list[nn.Linear] = []
    # one per linear layer; the identity until an activation follows it
    activations: list[str] = []
    slopes: set[float] = set()
    for position, module in enumerate(sequential):
        if isinstance(module, nn.Linear):
            linears.append(module)
            activations.append("identity")
        elif activations and activations[-1] == "identity":
            activations[-1] = _activation_name(module, position)
            if isinstance(module, nn.LeakyReLU):
                slopes.add(module.negative_slope)
        else:
            raise _unexpected(module, position)
    if len(linears) < 2:
        raise XorMiError(
            f"{len(linears)} nn.Linear given; "
            "a HookedMLP has at least one hidden layer and a readout"
        )
    *hidden, output = activations
    if len(set(hidden)) > 1:
        raise XorMiError(
            f"the hidden layers use {', '.join(sorted(set(hidden)))}; "
            "a HookedMLP has one hidden activation"
        )
    if len(slopes) > 1:
        raise XorMiError(
            f"leaky_relu slopes {sorted(slopes)} differ; a HookedMLP has one negative_slope"
        )
    settings: dict[str, object] = {
        "act_fn": hidden[0],
        "out_act_fn": output,
        "dtype": linears[0].weight.dtype,
    }
    if slopes:
        settings["negative_slope"] = slopes.pop()
    return [(linear.weight, linear.bias) for linear in linears], settings


def _activation_name(module: nn.Module, position: int) -> str:
    if isinstance(module, nn.GELU) and module.approximate != "none":
        raise XorMiError(
            f"module {position} is GELU(approximate='{module.approximate}'); "
            "only the exact GELU is known here"
        )
    # the type itself: a subclass may compute something else
    if type(module) not in _MODULES:
        raise _unexpected(module, position)
    return _MODULES[type(module)]


def _unexpected(module: nn.Module, position: int) -> XorMiError:
    allowed = ", ".join(kind.__name__ for kind in _MODULES)
    return XorMiError(
        f"module {position} is {type(module).__name__}; "
        f"expected nn.Linear, each followed by at most one of {allowed}"
    )


def write_folder(
    directory: PathLike, cfg: HookedMLPConfig, tensors: dict[str, Tensor], *, overwrite: bool
) -> Path:
    """config.json and model.safetensors into a folder, made if missing."""
    folder = require_writable(directory, MODEL_FILES, overwrite=overwrite)
    contents = saved_files(cfg, tensors)
    write_files({folder / name: content for name, content in contents.items()})
    return folder


def saved_files(cfg: HookedMLPConfig, tensors: dict[str, Tensor]) -> dict[str, bytes]:
    """What a saved model consists of: a file's name -> what is in it."""
    # the weights' own dtype: the model may have been moved since it was built
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    settings = {"format": _FORMAT} | cfg.to_dict() | {"device": "cpu", "dtype": dtype}
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    # the config first: it is what makes the weights beside it known as this package's
    config = json.dumps(settings, indent=2) + "\n"
    return {_CONFIG: config.encode("utf-8"), _WEIGHTS: save(contiguous)}


def read_folder(folder: Path, device: str) -> tuple[HookedMLPConfig, dict[str, Tensor]]:
    """A folder -> its config and weights, checked against each other; no network is built yet."""
    settings, tensors = _read_files(folder)
    cfg = HookedMLPConfig.from_dict(settings | {"device": device})
    expected: dict[str, list[int]] = {}
    for number, (d_in, d_out) in enumerate(pairwise(cfg.layer_sizes), start=1):
        expected |= {f"fc{number}.weight": [d_out, d_in], f"fc{number}.bias": [d_out]}
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    # in the network's own order; then what only the file has
    for name in (*expected, *shapes):
        there, asked = shapes.get(name, "not there"), expected.get(name, "no such weights")
        if there != asked:
            raise XorMiError(f"{cut_short(name)} in '{folder}' is {there}; its config says {asked}")
    for name, value in tensors.items():
        if value.dtype != cfg.dtype:
            raise XorMiError(f"{name} in '{folder}' is {value.dtype}; its config says {cfg.dtype}")
        if not torch.isfinite(value).all():
            raise XorMiError(f"{name} in '{folder}' is not made of finite floating-point numbers")
    return cfg, tensors


def _read_files(folder: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
    """config.json and model.safetensors as they are, read and not yet checked."""
    missing = [name for name in (_CONFIG, _WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise XorMiError(
            f"no model in '{folder}': {' and '.join(missing)} missing; "
            "`xor-mi tour --out DIR` writes such a folder"
        )
    settings = read_json(
        folder / _CONFIG, called=f"'{folder / _CONFIG}'", next_step="save the model again"
    )
    try:
        tensors = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise XorMiError(
            f"the weights in '{folder}' cannot be read: {cut_short(str(error), at_most=120)}; "
            "save the model again"
        ) from None
    if not isinstance(settings, dict) or settings.pop("format", None) != _FORMAT:
        raise XorMiError(
            f"'{folder / _CONFIG}' is not a {_FORMAT} config; was it written by save_pretrained?"
        )
    return settings, tensors
