"""Estimators of scikit-learn and models of Keras -> a description, and how they decide.

Neither is imported: an object is recognised by its attributes. Both keep a layer's weights [d_in,
d_out].
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short, require_kind, shown
from xor_mi.model._convert import require_plain_numbers
from xor_mi.model._description import Activation, Description, Layer

_SKLEARN_NAMES = {"logistic": "sigmoid"}
_KERAS_NAMES = {"linear": "identity", "hard_sigmoid": "hardsigmoid", "hard_tanh": "hardtanh"}
_KERAS_SLOPE = 0.2
"""Keras' slope of leaky_relu below zero where a layer's activation has that name."""

_LOSSES = {
    "mse": "mse",
    "mean_squared_error": "mse",
    "binary_crossentropy": "bce",
    "categorical_crossentropy": "ce",
    "sparse_categorical_crossentropy": "ce",
}
"""Losses of Keras by their functions' names, as losses of a HookedMLP."""

_PASSED_OVER = ("InputLayer", "Dropout", "Flatten", "Identity", "GaussianNoise", "GaussianDropout")
"""Layers of Keras that change nothing when a model is used."""

_RECTIFIERS = ("LeakyReLU", "ReLU")
"""Activations that Keras has as layers."""

_ONES_LISTED = 8
"""A warning lists at most so many classes."""


@dataclass(frozen=True)
class Foreign:
    """A network of another library as it was read.

    Attributes:
        outputs: rows [row, d_in] -> its own outputs [row, d_out]; None if it cannot be run.
        settings: what its library says about the decision, as settings of a HookedMLP.
        ones: what the outputs mean if the classes are not 0, 1, ...; "" otherwise.
        hint: what a difference from its own outputs may come from, for a message.
    """

    described: Description
    outputs: Callable[[Tensor], Tensor] | None
    settings: dict[str, object]
    ones: str = ""
    hint: str = ""


@contextmanager
def _read_as_it_is(thing: object) -> Iterator[None]:
    """Turn whatever an object of another library raises while it is read into an `XorMiError`."""
    try:
        yield
    except XorMiError:
        raise
    except Exception as error:
        said = cut_short(str(error).partition("\n")[0])
        raise XorMiError(
            f"this {type(thing).__name__} cannot be read: {type(error).__name__}: {said}; "
            "give its weights with HookedMLP.from_weights"
        ) from None


def read_sklearn(estimator: Any) -> Foreign:
    """An MLPClassifier or MLPRegressor that was fitted, or a pipeline that ends in one.

    Raises:
        XorMiError: another object, or one that was not fitted.
    """
    with _read_as_it_is(estimator):
        return _read_sklearn(estimator)


def _read_sklearn(estimator: Any) -> Foreign:
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps and hasattr(steps[-1][-1], "coefs_"):
        return _read_pipeline(estimator, steps)
    return _read_estimator(estimator)


def _read_pipeline(pipeline: Any, steps: Sequence[tuple[str, Any]]) -> Foreign:
    """The network, with what the steps before it do to the inputs put into its first layer.

    They are read as a scaling and a shift, which StandardScaler and MinMaxScaler are; steps that do
    more are found when the made network is compared with the pipeline.
    """
    last = _read_estimator(steps[-1][-1])
    first, *others = last.described.layers
    before = [one for _, one in steps[:-1] if hasattr(one, "transform")]
    n_inputs = getattr(pipeline, "n_features_in_", first.weight.shape[1])
    # first no input on, then each input on alone
    rows = np.concatenate([np.zeros((1, n_inputs)), np.eye(n_inputs)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in before:
            rows = one.transform(rows)
    shift, *made = _tensor(rows, "what the pipeline makes of the inputs").to(first.weight.dtype)
    scale = torch.stack(made, dim=1) - shift[:, None]  # [feature, input]
    layer = replace(first, weight=first.weight @ scale, bias=first.bias + first.weight @ shift)
    described = Description((layer, *others), last.described.dtype)
    names = ", ".join(type(one).__name__ for one in before)
    hint = f"; {names} before it may do more than scale and shift the inputs" if before else ""
    return replace(last, described=described, outputs=_asked(pipeline, last.described), hint=hint)


def _read_estimator(estimator: Any) -> Foreign:
    weights, biases = (getattr(estimator, name, None) for name in ("coefs_", "intercepts_"))
    if weights is None or biases is None:
        is_unfitted = hasattr(estimator, "hidden_layer_sizes") and hasattr(estimator, "fit")
        raise XorMiError(
            f"this {type(estimator).__name__} was not fitted; call its fit first"
            if is_unfitted
            else f"{type(estimator).__name__} has no coefs_ and intercepts_; "
            "give an MLPClassifier or MLPRegressor, or a fitted pipeline that ends in one"
        )
    if len(weights) != len(biases):
        raise XorMiError(
            f"{len(weights)} coefs_ and {len(biases)} intercepts_ do not pair up; fit it again"
        )
    for name in ("activation", "out_activation_"):
        if not hasattr(estimator, name):
            raise XorMiError(f"{type(estimator).__name__} has no '{name}'; was it fitted?")
    hidden, output = estimator.activation, estimator.out_activation_
    classes = getattr(estimator, "classes_", None)
    layers = [_layer(weight, bias, hidden) for weight, bias in zip(weights, biases, strict=True)]
    layers[-1] = replace(layers[-1], activation=_named(output, _SKLEARN_NAMES))

    settings: dict[str, object] = {"loss_fn": "mse"} if classes is None else {}
    described = Description(tuple(layers), layers[0].weight.dtype)
    return Foreign(described, _asked(estimator, described), settings, _ones(classes))


def _asked(estimator: Any, described: Description) -> Callable[[Tensor], Tensor] | None:
    """Rows -> what an estimator or a pipeline gives for them; None if it cannot be run."""
    classes = getattr(estimator, "classes_", None)
    name = "predict" if classes is None else "predict_proba"
    if not hasattr(estimator, name):
        return None
    is_binary = classes is not None and len(described.layers[-1].bias) == 1

    def outputs(rows: Tensor) -> Tensor:
        # it was fitted with the names of a table's columns, perhaps
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = torch.as_tensor(np.asarray(getattr(estimator, name)(rows.numpy())))
        return given[:, 1:] if is_binary else given.reshape(len(rows), -1)

    return outputs


def _ones(classes: Any) -> str:
    """What the outputs mean if the classes are not 0, 1, ..."""
    if classes is None:
        return ""
    listed = np.asarray(classes).tolist()
    if listed == list(range(len(listed))):
        return ""
    if len(listed) == 2:
        return f"the classes are {shown(listed[0])} and {shown(listed[1])}; output 1 is the second"
    named = ", ".join(shown(one) for one in listed[:_ONES_LISTED])
    more = ", ..." if len(listed) > _ONES_LISTED else ""
    return f"the classes are {named}{more}; the outputs y0, y1, ... stand for them in this order"


def read_keras(
    model: Any,
    *,
    act_fn: str | Sequence[str] | None = None,
    out_act_fn: str | None = None,
    negative_slope: float | None = None,
) -> Foreign:
    """A model of Dense layers, or the list that its get_weights() gives.

    Args:
        act_fn, out_act_fn, negative_slope: for a list, which holds no activations. act_fn is one
            name, or one per hidden layer.

    Raises:
        XorMiError: a layer that is not known, or a list that is not kernels and biases.
    """
    if hasattr(model, "layers"):
        if any(given is not None for given in (act_fn, out_act_fn, negative_slope)):
            raise XorMiError(
                "act_fn, out_act_fn and negative_slope follow from the model; leave them out"
            )
        with _read_as_it_is(model):
            return _read_keras_model(model)
    if not isinstance(model, (list, tuple)):
        raise XorMiError(
            f"{shown(model)} is not a Keras model; give one, or the list its get_weights() gives"
        )
    if act_fn is None:
        raise XorMiError(
            "a list of weights says no activation; give act_fn='relu' or another, "
            "and out_act_fn= where the output has one"
        )
    slope = _KERAS_SLOPE if negative_slope is None else negative_slope
    layers = _read_keras_list(model)
    n_hidden = max(len(layers) - 1, 0)
    require_kind("act_fn", act_fn, (str, list, tuple), give="a name, or one per hidden layer")
    names = [act_fn] * n_hidden if isinstance(act_fn, str) else list(act_fn)
    for name in (*names, out_act_fn or "identity"):
        require_kind("an activation", name, str, give="a name such as 'relu'")
    if len(names) != n_hidden:
        raise XorMiError(
            f"act_fn has {len(names)} activations and the list {n_hidden} hidden layers; "
            "give one for each, or one name for all"
        )
    made = [
        replace(layer, activation=_plain(name, slope))
        for layer, name in zip(
            layers, [*names, out_act_fn or "identity"][: len(layers)], strict=True
        )
    ]
    return Foreign(_keras_description(made), None, {})


def _plain(name: str, slope: float) -> Activation:
    return Activation(name, {"negative_slope": slope} if name == "leaky_relu" else {})


def _read_keras_list(arrays: Sequence[Any]) -> list[Layer]:
    layers: list[Layer] = []
    has_bias = True
    for number, array in enumerate(arrays):
        values = _tensor(array, f"entry {number} of the list")
        if values.ndim == 2:
            layers.append(_layer(values, None, "identity"))
            has_bias = False
        elif values.ndim == 1 and not has_bias and len(values) == len(layers[-1].bias):
            layers[-1] = replace(layers[-1], bias=values)
            has_bias = True
        else:
            raise XorMiError(
                f"entry {number} of the list has shape {list(values.shape)}; a list holds "
                "kernels [d_in, d_out], each followed by its bias [d_out] where it has one: "
                "give the model itself where it has other layers"
            )
    return layers


def _read_keras_model(model: Any) -> Foreign:
    layers: list[Layer] = []
    for number, layer in enumerate(model.layers):
        kind = type(layer).__name__
        where = f"layer {number} is {kind}"
        if kind in _PASSED_OVER:
            continue
        if kind == "Dense":
            kernel, *bias = layer.get_weights() or [None]
            if kernel is None:
                raise XorMiError(f"{where}; it has no weights yet: run the model once first")
            made = _layer(kernel, bias[0] if bias else None, "identity", where)
            layers.append(replace(made, activation=_keras_activation(layer, where)))
        elif layers and layers[-1].activation.name == "identity":
            layers[-1] = _after(layers[-1], layer, where)
        else:
            raise XorMiError(
                f"{where}; expected Dense layers, each followed by at most one activation"
            )

    def outputs(rows: Tensor) -> Tensor:
        given = model.predict(rows.numpy(), verbose=0)
        return torch.as_tensor(np.array(given)).reshape(len(rows), -1)

    loss = getattr(model, "loss", None)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    asked = outputs if hasattr(model, "predict") else None
    described = _keras_description(layers)
    return Foreign(described, asked, _keras_rule(name, described))


def _keras_rule(loss: str, described: Description) -> dict[str, object]:
    """What a loss says of the decision."""
    # MeanSquaredError, the class, is mean_squared_error, the function
    known = _LOSSES.get(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", loss).lower())
    has_several = bool(described.layers) and len(described.layers[-1].bias) > 1
    if known is None or (known == "ce" and not has_several):
        return {}
    return {"loss_fn": known}


def _after(made: Layer, layer: Any, where: str) -> Layer:
    """A Dense layer with what stands after it: an activation, or a batch norm folded in."""
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = _batch_norm_weights(layer, where)
        scale = gamma / (variance + float(layer.epsilon)).sqrt()
        weight = (scale[:, None] * made.weight.double()).to(made.weight.dtype)
        bias = (scale * (made.bias.double() - mean) + beta).to(made.bias.dtype)
        return replace(made, weight=weight, bias=bias)
    if kind == "Activation":
        return replace(made, activation=_keras_activation(layer, where))
    if kind in _RECTIFIERS:
        return replace(made, activation=_rectifier(layer, where))
    if kind == "Softmax":
        return replace(made, activation=Activation("softmax", {}, where))
    raise XorMiError(
        f"{where}, which is not known here; expected Dense, Activation, ReLU, LeakyReLU, Softmax, "
        f"BatchNormalization, {', '.join(_PASSED_OVER)}"
    )


def _rectifier(layer: Any, where: str) -> Activation:
    """A layer LeakyReLU or ReLU as an activation."""
    if type(layer).__name__ == "LeakyReLU":
        slope = getattr(layer, "negative_slope", None)
        slope = getattr(layer, "alpha", None) if slope is None else slope
        parameters = {"negative_slope": float(np.asarray(slope))}
        return Activation("leaky_relu", parameters, where)
    ends = (getattr(layer, name, 0) for name in ("negative_slope", "threshold"))
    if any(ends) or getattr(layer, "max_value", None) is not None:
        raise XorMiError(f"{where} with its own settings; only the plain ReLU is known here")
    return Activation("relu", {}, where)


def _batch_norm_weights(layer: Any, where: str) -> list[Tensor]:
    given = [_tensor(array, where).double() for array in layer.get_weights()]
    if not getattr(layer, "scale", True):
        given.insert(0, torch.ones_like(given[0]))
    if not getattr(layer, "center", True):
        given.insert(1, torch.zeros_like(given[0]))
    if len(given) != 4:
        raise XorMiError(f"{where} with {len(given)} weights; expected scale, shift and statistics")
    return given


def _keras_activation(layer: Any, where: str) -> Activation:
    function = getattr(layer, "activation", None)
    if function is None:
        return Activation("identity", {}, where)
    if type(function).__name__ in _RECTIFIERS:
        return _rectifier(function, where)
    name = function if isinstance(function, str) else getattr(function, "__name__", None)
    if name is None:
        name = getattr(function, "name", type(function).__name__)
    found = replace(_named(name, _KERAS_NAMES), where=where)
    if found.name == "leaky_relu":
        return replace(found, parameters={"negative_slope": _KERAS_SLOPE})
    return found


def _keras_description(layers: Sequence[Layer]) -> Description:
    dtype = layers[0].weight.dtype if layers else torch.float32
    return Description(tuple(layers), dtype)


def _layer(weight: Any, bias: Any, activation: str, where: str = "") -> Layer:
    """A layer of a weight [d_in, d_out]."""
    values = _tensor(weight, where or "a weight")
    stands = f"{where}: " if where else ""
    if values.ndim != 2:
        raise XorMiError(
            f"{stands}a weight has shape {list(values.shape)}; a layer's is [d_in, d_out]"
        )
    d_out = values.shape[1]
    added = (
        torch.zeros(d_out, dtype=values.dtype) if bias is None else _tensor(bias, where or "a bias")
    )
    if added.shape != (d_out,):
        raise XorMiError(
            f"{stands}a bias has shape {list(added.shape)} beside a weight of shape "
            f"{list(values.shape)}; a layer's is [d_out], here [{d_out}]"
        )
    return Layer(values.T.contiguous(), added, _named(activation, _SKLEARN_NAMES), None, where)


def _named(name: object, names: dict[str, str]) -> Activation:
    return Activation(names.get(str(name), str(name)))


def _tensor(values: Any, where: str) -> Tensor:
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
    except (TypeError, ValueError):
        raise XorMiError(f"{where} is not an array of numbers; give one") from None
    require_plain_numbers(tensor, where)
    return tensor if tensor.is_floating_point() else tensor.float()
