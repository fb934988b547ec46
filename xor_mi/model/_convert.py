"""weights from elsewhere -> checked layers: arrays, an nn.Sequential, or a folder on disk. No
pickle is read and no code is run.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from xor_mi.errors import XorMiError
from xor_mi.model._config import HookedMLPConfig

_MODULES = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.GELU: "gelu",
    nn.Identity: "identity",
}
_FORMAT = "xor_mi.HookedMLP/1"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


def checked_layers(layers: Sequence[Any]) -> list[tuple[Tensor, Tensor]]:
    """[(W, b), ...] as lists, arrays or tensors -> tensors W [d_out, d_in] and b [d_out] whose
    shapes chain; b = None means zeros.
    """
    if not isinstance(layers, Iterable):
        raise XorMiError(f"{layers!r} is no list of layers; give [(weight, bias), ...]")
    pairs = [_weight_pair(layer, number) for number, layer in enumerate(layers, start=1)]
    if len(pairs) < 2:
        raise XorMiError(
            f"{len(pairs)} layers of weights given; a HookedMLP has at least one hidden layer and a readout"
        )
    for number, ((before, _), (after, _)) in enumerate(pairwise(pairs), start=1):
        if before.shape[0] != after.shape[1]:
            raise XorMiError(
                f"fc{number} gives {before.shape[0]} values; fc{number + 1} takes {after.shape[1]}"
            )
    return pairs


def _weight_pair(layer: Any, number: int) -> tuple[Tensor, Tensor]:
    try:
        weight, bias = layer
        w = torch.as_tensor(weight).detach()
        b = torch.zeros(w.shape[0]) if bias is None else torch.as_tensor(bias).detach()
    except (TypeError, ValueError, RuntimeError, IndexError):
        raise XorMiError(
            f"fc{number} is no pair (weight [d_out, d_in], bias [d_out] or None)"
        ) from None
    if w.ndim != 2 or b.ndim != 1 or w.shape[0] != b.shape[0] or 0 in w.shape:
        raise XorMiError(
            f"fc{number} has weight {list(w.shape)} and bias {list(b.shape)}; expected [d_out, d_in] and [d_out]"
        )
    if not (torch.isfinite(w).all() and torch.isfinite(b).all()):
        raise XorMiError(f"fc{number} has NaN or infinite entries; weights must be finite")
    return w, b


def read_sequential(
    sequential: nn.Sequential,
) -> tuple[list[tuple[Tensor, Tensor | None]], dict[str, Any]]:
    """nn.Sequential -> its weights, and the settings (activations, slope, dtype) a HookedMLP needs
    to be the same network.
    """
    linears: list[nn.Linear] = []
    acts: list[tuple[str, float | None]] = []
    for position, module in enumerate(sequential):
        if isinstance(module, nn.Linear):
            linears.append(module)
            acts.append(("identity", None))
        elif getattr(module, "approximate", "none") != "none":
            raise XorMiError(
                f"module {position} is GELU(approximate='{module.approximate}'); only the exact GELU is known here"
            )
        elif type(module) in _MODULES and acts and acts[-1][0] == "identity":
            acts[-1] = (_MODULES[type(module)], getattr(module, "negative_slope", None))
        else:
            allowed = ", ".join(kind.__name__ for kind in _MODULES)
            raise XorMiError(
                f"module {position} is {type(module).__name__}; expected nn.Linear, each followed by at most one of {allowed}"
            )
    hidden = {name for name, _ in acts[:-1]}
    slopes = {slope for _, slope in acts if slope is not None}
    if len(linears) < 2:
        raise XorMiError(
            f"{len(linears)} nn.Linear given; a HookedMLP has at least one hidden layer and a readout"
        )
    if len(hidden) > 1:
        raise XorMiError(
            f"the hidden layers use {', '.join(sorted(hidden))}; a HookedMLP has one hidden activation"
        )
    if len(slopes) > 1:
        raise XorMiError(
            f"leaky_relu slopes {sorted(slopes)} differ; a HookedMLP has one negative_slope"
        )
    settings: dict[str, Any] = {
        "act_fn": acts[0][0],
        "out_act_fn": acts[-1][0],
        "dtype": linears[0].weight.dtype,
    }
    if slopes:
        settings["negative_slope"] = slopes.pop()
    return [(linear.weight, linear.bias) for linear in linears], settings


def write_folder(folder: Path, cfg: HookedMLPConfig, tensors: dict[str, Tensor]) -> None:
    """config.json and model.safetensors into a folder, made if missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
        settings = {"format": _FORMAT} | cfg.to_dict() | {"device": "cpu", "dtype": dtype}
        (folder / _CONFIG).write_text(json.dumps(settings, indent=2) + "\n")
        (folder / _WEIGHTS).write_bytes(
            save({name: value.contiguous() for name, value in tensors.items()})
        )
    except OSError as error:
        raise XorMiError(
            f"cannot write a model to '{folder}': {error.strerror or error}; choose a folder you may write to"
        ) from None


def read_folder(folder: Path, device: str) -> tuple[HookedMLPConfig, dict[str, Tensor]]:
    """A folder -> its config and weights, checked against each other before any network is
    built.
    """
    missing = [name for name in (_CONFIG, _WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise XorMiError(
            f"no model in '{folder}': {' and '.join(missing)} missing; `xor-mi tour --out DIR` writes such a folder"
        )
    try:
        settings = json.loads((folder / _CONFIG).read_text())
        tensors = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise XorMiError(
            f"the model in '{folder}' cannot be read: {error}; save it again"
        ) from None
    if not isinstance(settings, dict) or settings.pop("format", None) != _FORMAT:
        raise XorMiError(
            f"'{folder / _CONFIG}' is not a {_FORMAT} config; was it written by save_pretrained?"
        )
    cfg = HookedMLPConfig.from_dict(settings | {"device": device})
    expected = {}
    for number, (d_in, d_out) in enumerate(pairwise(cfg.layer_sizes), start=1):
        expected |= {f"fc{number}.weight": [d_out, d_in], f"fc{number}.bias": [d_out]}
    found = {name: list(value.shape) for name, value in tensors.items()}
    if found != expected:
        raise XorMiError(f"the weights in '{folder}' are {found}; its config says {expected}")
    for name, value in tensors.items():
        if value.dtype != cfg.dtype:
            raise XorMiError(f"{name} in '{folder}' is {value.dtype}; its config says {cfg.dtype}")
        if not torch.isfinite(value).all():
            raise XorMiError(f"{name} in '{folder}' is not made of finite floating-point numbers")
    return cfg, tensors
