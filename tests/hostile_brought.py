"""Doors for networks from elsewhere: modules, estimators, Keras models, bare weights, the zoo."""

import random
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from hostile_values import ODD, Wrong, fingerprint, hostile_json, mutated, odd
from own_networks import same_state, state
from test_from_elsewhere import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    InputLayer,
    Lambda,
    LeakyReLU,
    MLPClassifier,
    MLPRegressor,
    Model,
    Pipeline,
    Scaler,
    Softmax,
    random_layers,
)
from torch import nn
from torch.nn import functional as F

from xor_mi import zoo
from xor_mi.model import HookedMLP

SIZES = ((2, 2, 1), (2, 3, 1), (2, 3, 2, 1), (2, 2, 3), (3, 2, 1))
NAMES = (
    "relu",
    "tanh",
    "logistic",
    "identity",
    "sigmoid",
    "softmax",
    "linear",
    "swish",
    "nope",
    None,
    3,
)
SETTINGS = (
    "decision_threshold",
    "decision_rule",
    "loss_fn",
    "target",
    "input_levels",
    "seed",
    "dtype",
    "act_fn",
    "nope",
)
NEAR = 1e-4


def settings_of(rng: random.Random) -> dict[str, Any]:
    """None, mostly, or some that are odd."""
    names = rng.sample(SETTINGS, rng.choice([0, 0, 0, 0, 0, 1, 2]))
    return {name: rng.choice([0, 0.5, "argmax", "XOR", (-1, 1), odd(rng)]) for name in names}


class Written(nn.Module):
    """A network with a forward of its own, of several that cannot all be read."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        d_in, width, d_out = rng.choice([(2, 3, 1), (2, 2, 1), (2, 2, 2), (3, 2, 1)])
        self.fc1, self.fc2 = nn.Linear(d_in, width), nn.Linear(width, d_out)
        self.between = rng.choice(
            [F.relu, torch.tanh, torch.sin, torch.relu_, lambda x: x * (x > 0), lambda x: x if x.sum() > 0 else -x, torch.argmax]
        )  # fmt: skip
        self.before = rng.choice(
            [lambda x: x, lambda x: 2 * x - 1, lambda x: x.view(-1), lambda x: x**2, lambda x: x[0], lambda x: x.sum(), torch.sort]
        )  # fmt: skip
        self.after = rng.choice(
            [lambda y: y, lambda y: y.squeeze(-1), lambda y: (y, y), lambda y: {"out": y}, lambda _: None, torch.sigmoid, torch.round]
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> Any:
        """Before, between, after."""
        return self.after(self.fc2(self.between(self.fc1(self.before(x)))))


def others_after(rng: random.Random, width: int) -> list[Callable[[], nn.Module]]:
    """What may stand after a linear layer; the first few are ordinary."""
    return [
        nn.ReLU, nn.Tanh, nn.Sigmoid, lambda: nn.ReLU(inplace=True), nn.Identity, nn.GELU, nn.Mish, nn.PReLU,
        lambda: nn.Softmax(-1), lambda: nn.BatchNorm1d(width), lambda: nn.LayerNorm(width), nn.Dropout, nn.Flatten,
        lambda: nn.Conv1d(1, 1, 1), lambda: nn.Embedding(3, 2), lambda: nn.LSTM(width, width), lambda: nn.Threshold(0.5, 0.0),
        lambda: nn.Hardtanh(-rng.random(), rng.random()), lambda: nn.LeakyReLU(rng.choice([0.1, -0.5, float("nan")])), lambda: nn.ELU(rng.random()),
    ]  # fmt: skip


def module_of(rng: random.Random) -> Any:
    """Layers one after the other, or a forward of its own; with weights that may be anything."""
    if rng.random() < 0.3:
        net: nn.Module = Written(rng)
    else:
        sizes = rng.choice(SIZES)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers.append(nn.Linear(before, after, bias=rng.random() < 0.8))
            extra = others_after(rng, after)
            likely = extra[:4] if rng.random() < 0.8 else extra
            if after != sizes[-1] or rng.random() < 0.4:
                layers += [rng.choice(likely)() for _ in range(rng.choice([1, 1, 1, 2]))]
        if rng.random() < 0.2:
            rng.shuffle(layers)
        net = nn.Sequential(*layers)
    with torch.no_grad():
        for parameter in net.parameters():
            if rng.random() < 0.02:
                parameter.view(-1)[0] = rng.choice([float("nan"), float("inf"), 1e38, 0.0])
    if rng.random() < 0.1:
        net = net.to(rng.choice([torch.float64, torch.float16, torch.bfloat16]))
    return net if rng.random() < 0.9 else odd(rng)


def door_module(rng: random.Random, _: Path) -> None:
    """A PyTorch module: what is read gives the same, and the module is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.randrange(2**31))
        net = module_of(rng)
        before = state(net) if isinstance(net, nn.Module) else None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read = HookedMLP.from_sequential if rng.random() < 0.3 else HookedMLP.from_module
                model = read(net, **settings_of(rng))
        finally:
            if before is not None and not _alike(before, state(net)):
                raise Wrong("the module was changed")
        rows = model.rows()
        dtype = next(net.parameters()).dtype
        outputs = torch.as_tensor(net.eval()(rows.to(dtype))).detach().double()
        made = model(rows).detach().double().reshape(outputs.shape)
    if any(isinstance(one, nn.Softmax) for one in net.modules()):
        made = made.softmax(-1)
    near = NEAR if dtype in (torch.float32, torch.float64) else 0.1
    if not torch.allclose(outputs, made, atol=near, rtol=near, equal_nan=True):
        raise Wrong(f"{net} gives other outputs")


def _alike(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """The same, where a NaN is as good as another."""
    for kept in (before, after):
        kept["tensors"] = {name: value.nan_to_num(0.125) for name, value in kept["tensors"].items()}
    return same_state(before, after)


def door_sklearn(rng: random.Random, _: Path) -> None:
    """A fitted estimator, with entries that are not what they should be."""
    kind = rng.choice([MLPClassifier, MLPRegressor])
    sizes = rng.choice(SIZES)
    one: Any = kind(random_layers(sizes, rng.randrange(99)), rng.choice(NAMES[:4]))
    if kind is MLPClassifier and sizes[-1] > 1:
        one.out_activation_, one.classes_ = "softmax", tuple(range(sizes[-1]))
    if rng.random() < 0.4:
        one = Pipeline([("scale", Scaler(rng.choice([0.5, np.ones(sizes[0])]), 2.0)), ("net", one)])
    broken = one.steps[-1][-1] if isinstance(one, Pipeline) else one
    for _ in range(rng.choice([0, 1, 1, 2])):
        name = rng.choice(
            [
                "coefs_",
                "intercepts_",
                "activation",
                "out_activation_",
                "classes_",
                "predict",
                "predict_proba",
            ]
        )
        choice = rng.random()
        if choice < 0.3:
            value: Any = odd(rng)
        elif choice < 0.5:
            value = rng.choice(
                [
                    lambda x: None,
                    lambda x: 1 / 0,
                    lambda x: x,
                    lambda x: "no",
                    lambda x: np.full(len(x), np.nan),
                ]
            )
        elif choice < 0.7:
            value = [
                rng.choice(
                    [np.ones((2, 2)), np.array([np.nan]), np.array(["a"]), np.array([1j]), None]
                )
                for _ in range(2)
            ]
        else:
            value = rng.choice(NAMES)
        setattr(broken, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HookedMLP.from_sklearn(one, **settings_of(rng))
    _require_finite(model)


def layers_after(rng: random.Random, width: int) -> list[Callable[[], Any]]:
    """What may stand after a Dense layer."""
    return [
        Dropout, Lambda, Softmax, lambda: LeakyReLU(rng.choice([0.1, -1, "x", None])), lambda: Activation(rng.choice(NAMES)),
        lambda: BatchNormalization(*(np.ones(width) for _ in range(4))), lambda: SimpleNamespace(get_weights=lambda: [1]), lambda: odd(rng),
    ]  # fmt: skip


def door_keras(rng: random.Random, _: Path) -> None:
    """A model of Dense layers with others between them, or a list of arrays."""
    sizes = rng.choice(SIZES)
    kernels = random_layers(sizes, rng.randrange(99))
    if rng.random() < 0.4:
        arrays: Any = [array for pair in kernels for array in pair]
        for _ in range(rng.choice([0, 1, 2])):
            arrays[rng.randrange(len(arrays))] = rng.choice(
                [np.ones(3), np.ones((2, 2, 2)), np.array(["x"]), np.array(1.0), odd(rng)]
            )
        if rng.random() < 0.1:
            arrays = odd(rng)
        settings = {"act_fn": rng.choice(["relu", "tanh", ["relu", "tanh"], odd(rng)])}
        settings |= {
            name: odd(rng)
            for name in rng.sample(["out_act_fn", "negative_slope"], rng.choice([0, 0, 1]))
        }
        model = HookedMLP.from_keras(arrays, **{**settings_of(rng), **settings})
        return _require_finite(model)
    layers: list[Any] = [InputLayer()] if rng.random() < 0.5 else []
    for kernel, bias in kernels:
        layers.append(Dense(kernel, bias, rng.choice([*NAMES[:6], "linear", None])))
        if rng.random() < 0.3:
            layers.append(rng.choice(layers_after(rng, kernel.shape[1]))())
    loss = rng.choice([None, "mse", "binary_crossentropy", "categorical_crossentropy", odd(rng)])
    net = Model(*layers, loss=loss)
    if rng.random() < 0.2:
        net.predict = rng.choice(
            [lambda x, verbose: None, lambda x, verbose: 1 / 0, lambda x, verbose: [[1]]]
        )  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = HookedMLP.from_keras(net, **settings_of(rng))
    _require_finite(model)
    return None


def door_arrays(rng: random.Random, folder: Path) -> None:
    """Weights as arrays, as an archive of NumPy or a state dict holds them."""
    sizes = rng.choice(SIZES)
    generator = np.random.default_rng(rng.randrange(2**32))
    layers: Any = [
        (generator.normal(size=(b, a)), generator.normal(size=b)) for a, b in pairwise(sizes)
    ]
    choice = rng.random()
    if choice < 0.15:
        with torch.random.fork_rng(devices=[]):
            layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).state_dict()
    elif choice < 0.3:
        np.savez(
            folder / "weights.npz", **{f"w{k}": weight for k, (weight, _) in enumerate(layers)}
        )
        layers = np.load(folder / "weights.npz")
        layers = layers if rng.random() < 0.5 else [(layers[name], None) for name in layers.files]
    else:
        for k in rng.sample(range(len(layers)), rng.choice([0, 1, 1, 2])):
            weight, bias = layers[k]
            layers[k] = rng.choice(
                [
                    (weight.T, bias), (weight, bias[:, None]), (weight[None], bias), (weight.astype(object), bias), (weight.astype(complex), bias),
                    (weight * np.nan, bias), (weight, None), (weight[:0], bias), (weight.tolist(), bias.tolist()), (weight > 0, bias > 0),
                    (weight.astype("float16"), bias), (torch.tensor(weight).to_sparse(), bias), (weight[::-1], bias[::-1]), odd(rng), (weight,),
                ]
            )  # fmt: skip
    settings: dict[str, Any] = {"layout": rng.choice(["out_in", "out_in", "in_out", odd(rng)])}
    if rng.random() < 0.2:
        settings["direct"] = rng.choice([np.ones((sizes[-1], sizes[0])), odd(rng)])
    if rng.random() < 0.2:
        settings["example"] = rng.choice([([[0, 1]], [[1.0]]), odd(rng), ([["a"]], [1]), ([], [])])
    model = HookedMLP.from_weights(layers, **{**settings_of(rng), **settings})
    _require_finite(model)


def _require_finite(model: HookedMLP) -> None:
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise Wrong("weights that are not finite were loaded")
    if tuple(model(model.rows()).shape) != (2**model.cfg.d_in, model.cfg.d_out):
        raise Wrong("outputs of another shape")


def door_zoo(rng: random.Random, folder: Path) -> None:
    """Names of the zoo, and a damaged copy of one of its folders."""
    if rng.random() < 0.4:
        name = rng.choice([odd(rng), rng.choice(zoo.names()), "or-and "])
        rng.choice([zoo.load, zoo.recorded])(name)
        return
    from xor_mi.zoo import _stored

    copied = folder / "net"
    copytree(_stored.DATA / rng.choice(["or-and", "dead-4"]), copied)
    file = rng.choice(sorted(copied.iterdir()))
    data = file.read_bytes()
    is_json = file.suffix == ".json"
    file.write_bytes(
        hostile_json(data, rng) if is_json and rng.random() < 0.6 else mutated(data, rng)
    )
    before = fingerprint(copied)
    try:
        _require_finite(HookedMLP.from_pretrained(copied))
        _stored.recorded_in(copied)
    finally:
        if fingerprint(copied) != before:
            raise Wrong("reading changed the folder")


DOORS_OF_NETWORKS: dict[str, Callable[[random.Random, Path], None]] = {
    name.removeprefix("door_"): door
    for name, door in list(globals().items())
    if name.startswith("door_")
}
__all__ = ["DOORS_OF_NETWORKS", "ODD"]
