"""weights from elsewhere (arrays, a folder on disk) -> checked layers.

No pickle is read and no code is run.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, shown, unknown
from xor_mi.kinds import Layers, Numbers, PathLike
from xor_mi.model._config import HookedMLPConfig
from xor_mi.model._numbers import is_float64, is_held, read_numbers
from xor_mi.reading import read_json
from xor_mi.saving import (
    MODEL_MARK,
    require_writable,
    unchanging,
    weight_shapes,
    write_files,
)
from xor_mi.truth import is_array

# in every config.json; a changed meaning of the file raises the number
_FORMAT = f"{MODEL_MARK}/1"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
MODEL_FILES = {_CONFIG: MODEL_MARK, _WEIGHTS: MODEL_MARK}
"""What a saved model consists of: a file's name -> its mark (see `saving.mark_of`)."""


_SAVE_AGAIN = "save the model again"
_LAYOUTS: dict[str, str] = {"out_in": "[d_out, d_in]", "in_out": "[d_in, d_out]"}


def checked_layers(layers: Layers, layout: str = "out_in") -> list[tuple[Tensor, Tensor]]:
    """[(W, b), ...] as lists, arrays or tensors -> tensors whose shapes chain.

    W is [d_out, d_in], or [d_in, d_out] with the layout "in_out"; b is [d_out], None means zeros.

    Returns:
        Every W as [d_out, d_in].
    """
    if not isinstance(layout, str) or layout not in _LAYOUTS:
        raise unknown("layout", layout, _LAYOUTS, where="known layouts")
    given = _pairs(layers)
    if len(given) < 2:
        raise XorMiError(
            f"{len(given)} layers of weights given; "
            "a HookedMLP has at least one hidden layer and a readout"
        )
    pairs = given if layout == "out_in" else _turned(given)
    wrong = _wrong_shape(pairs, layout)
    if wrong:
        other = next(one for one in _LAYOUTS if one != layout)
        fits = not _wrong_shape(_turned(pairs), other)
        hint = f"; transposed? give layout='{other}'" if fits else ""
        raise XorMiError(wrong + hint)
    for number, (weight, bias) in enumerate(pairs, start=1):
        if not (torch.isfinite(weight).all() and (bias is None or torch.isfinite(bias).all())):
            raise XorMiError(f"fc{number} has NaN or infinite entries; weights must be finite")
    return _with_biases(pairs)


def listed(layers: Layers) -> Layers:
    """Layers that can be read more than once; those of a generator are gone after one reading.

    Anything that is not a list of layers is returned unchanged.
    """
    if not isinstance(layers, Iterable):
        return layers
    given: list[Any] = list(layers)
    return [tuple(layer) if isinstance(layer, Iterator) else layer for layer in given]


def dtype_of(layers: Layers, direct: Numbers | None) -> torch.dtype:
    """The dtype of a network with these checked weights if none is asked for.

    It is float64 if weights are an array or a tensor of float64, or if a list has a number that
    float32 cannot hold; otherwise float32.
    """
    weights = [*(weight for weight, _ in layers), *([] if direct is None else [direct])]
    biases = [bias for _, bias in layers if bias is not None]
    listed = [one for one in (*weights, *biases) if not is_array(one)]
    if any(map(is_float64, weights)) or not all(is_held(one, torch.float32) for one in listed):
        return torch.float64
    return torch.float32


def checked_direct(
    direct: Numbers, layers: list[tuple[Tensor, Tensor]], layout: str = "out_in"
) -> Tensor:
    """Direct weights as an array or a tensor -> a tensor [d_out, d_in] that fits these layers."""
    try:
        given = read_numbers(direct).detach()
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(
            f"cannot read {shown(direct)} as direct weights; give numbers {_LAYOUTS[layout]}"
        ) from None
    require_plain_numbers(given, "direct")
    weight = given.T if layout == "in_out" and given.ndim == 2 else given
    expected = [layers[-1][0].shape[0], layers[0][0].shape[1]]
    if list(weight.shape) != expected:
        asked = expected if layout == "out_in" else expected[::-1]
        hint = "; transposed?" if list(weight.shape) == expected[::-1] else ""
        raise XorMiError(
            f"direct has shape {list(given.shape)}; expected {_LAYOUTS[layout]}, {asked}{hint}"
        )
    if not torch.isfinite(weight).all():
        raise XorMiError("direct has NaN or infinite entries; weights must be finite")
    return weight


def read_layers(layers: Layers) -> list[tuple[Tensor, Tensor]]:
    """[(W, b), ...] as tensors, whose shapes may still be wrong; a missing bias is zeros."""
    return _with_biases(_pairs(layers))


def split_direct(
    layers: list[tuple[Tensor, Tensor]], d_in: int
) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
    """Layers whose readout has direct columns last -> the layers without them, and these columns.

    Args:
        d_in: how many they are: the network's inputs, or 0 if there are none.
    """
    if d_in == 0 or not layers:
        return layers, None
    *before, (readout, bias) = layers
    n_hidden = readout.shape[-1] - d_in
    return [*before, (readout[..., :n_hidden], bias)], readout[..., n_hidden:]


def _pairs(layers: Layers) -> list[tuple[Tensor, Tensor | None]]:
    if not isinstance(layers, Iterable):
        raise XorMiError(f"{shown(layers)} is not a list of layers; give [(weight, bias), ...]")
    # counted from 1, as the layers are called: fc1, fc2, ...
    return [_weight_pair(layer, number) for number, layer in enumerate(layers, start=1)]


def _with_biases(pairs: list[tuple[Tensor, Tensor | None]]) -> list[tuple[Tensor, Tensor]]:
    return [(w, torch.zeros(len(w)) if b is None else b) for w, b in pairs]


def _turned(
    pairs: list[tuple[Tensor, Tensor | None]],
) -> list[tuple[Tensor, Tensor | None]]:
    # a vector cannot be turned; it is refused later
    return [(weight.T if weight.ndim == 2 else weight, bias) for weight, bias in pairs]


def _wrong_shape(pairs: list[tuple[Tensor, Tensor | None]], layout: str) -> str:
    """The first shape that does not fit, as a message; "" if all do."""
    for number, (weight, bias) in enumerate(pairs, start=1):
        is_fitting = bias is None or bias.shape == weight.shape[:1]
        if weight.ndim != 2 or not is_fitting or 0 in weight.shape:
            given = weight if layout == "out_in" else weight.T if weight.ndim == 2 else weight
            beside = "no bias" if bias is None else f"bias {list(bias.shape)}"
            return (
                f"fc{number} has weight {list(given.shape)} and {beside}; "
                f"expected {_LAYOUTS[layout]} and [d_out]"
            )
    for number, ((before, _), (after, _)) in enumerate(pairwise(pairs), start=1):
        n_given, n_taken = before.shape[0], after.shape[1]
        if n_given != n_taken:
            return f"fc{number} gives {n_given} values; fc{number + 1} takes {n_taken}"
    return ""


def _weight_pair(layer: Any, number: int) -> tuple[Tensor, Tensor | None]:
    try:
        weight, bias = layer
        w = read_numbers(weight).detach()
        b = None if bias is None else read_numbers(bias).detach()
        w.shape[0]  # a single number has no shape
    except (TypeError, ValueError, RuntimeError, IndexError):
        raise XorMiError(
            f"fc{number} is not a pair; give (weight [d_out, d_in], bias [d_out] or None)"
        ) from None
    for given in (w, b):
        require_plain_numbers(given, f"fc{number}")
    return w, b


def require_plain_numbers(given: Tensor | None, what: str) -> None:
    """Refuse complex numbers, whose imaginary part would be lost, and sparse tensors.

    Raises:
        XorMiError: naming what the numbers are of.
    """
    if given is not None and given.is_complex():
        raise XorMiError(f"{what} has complex numbers; weights are real: give their real part")
    if given is not None and given.layout is not torch.strided:
        raise XorMiError(f"{what} is sparse; give tensor.to_dense()")


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
    # copies: weights that several layers share are written once for each
    copies = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    # the config first: it is what makes the weights beside it known as this package's
    config = json.dumps(settings, indent=2) + "\n"
    return {_CONFIG: config.encode("utf-8"), _WEIGHTS: save(copies)}


def read_folder(folder: Path, device: str) -> tuple[HookedMLPConfig, dict[str, Tensor]]:
    """A folder -> its config and weights, checked against each other; no network is built yet."""
    # config and weights of one saving, also while another one is written
    with unchanging(folder):
        settings, tensors = _read_files(folder)
    cfg = HookedMLPConfig.from_dict(settings | {"device": device})
    expected = weight_shapes(cfg.layer_sizes, direct=cfg.direct)
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    # in the network's own order; then what only the file has
    for name in (*expected, *shapes):
        there, asked = shapes.get(name, "not there"), expected.get(name, "no such weights")
        if there != asked:
            raise XorMiError(
                f"{cut_short(name)} in '{folder}' is {there}; its config says {asked}: "
                f"{_SAVE_AGAIN}"
            )
    for name, value in tensors.items():
        if value.dtype != cfg.dtype:
            raise XorMiError(
                f"{name} in '{folder}' is {value.dtype}; its config says {cfg.dtype}: {_SAVE_AGAIN}"
            )
        if not torch.isfinite(value).all():
            raise XorMiError(
                f"{name} in '{folder}' is not made of finite floating-point numbers; {_SAVE_AGAIN}"
            )
    return cfg, tensors


def _read_files(folder: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
    """config.json and model.safetensors as they are, read and not yet checked."""
    if folder.is_file():
        raise XorMiError(
            f"'{folder}' is a file, and a model is a folder, which model.save_pretrained(folder) "
            "writes; a torch module comes in by HookedMLP.from_module(module)"
        )
    missing = [name for name in (_CONFIG, _WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise XorMiError(
            f"no model in '{folder}': {' and '.join(missing)} missing; "
            "model.save_pretrained(folder) writes one"
        )
    settings = read_json(folder / _CONFIG, called=f"'{folder / _CONFIG}'", next_step=_SAVE_AGAIN)
    try:
        tensors = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise XorMiError(
            f"the weights in '{folder}' cannot be read: {cut_short(str(error), at_most=120)}; "
            f"{_SAVE_AGAIN}"
        ) from None
    if not isinstance(settings, dict) or settings.pop("format", None) != _FORMAT:
        raise XorMiError(
            f"'{folder / _CONFIG}' is not a {_FORMAT} config; was it written by save_pretrained?"
        )
    return settings, tensors
