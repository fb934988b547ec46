"""HookedMLP.from_sklearn, from_keras and from_weights: arrays kept the other way round, and what
their owners say of them.

scikit-learn and Keras are not requirements of this package, nor of its tests: with scikit-learn
installed everything that loads transformers loads it too, which takes a second each time. Stand-ins
with their attributes compute in NumPy, in the way their documentation says, and where scikit-learn
is installed its own networks are brought in as well.
"""

import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xor_mi import identify_circuit
from xor_mi.errors import XorMiError, XorMiWarning
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP

ROWS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
TEXTBOOK = [
    (np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([0.0, -1.0])),
    (np.array([[1.0], [-2.0]]), np.array([0.0])),
]
"""OR and AND, kept [d_in, d_out]."""

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "identity": lambda x: x,
    "linear": lambda x: x,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}


def random_layers(sizes, seed=0):
    """Kernels [d_in, d_out] and biases from a seed."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(d_in, d_out)), rng.normal(size=d_out)) for d_in, d_out in pairwise(sizes)
    ]


def forward(layers, acts, x):
    """The network in NumPy, weights [d_in, d_out]."""
    value = np.asarray(x, dtype=float)
    for (kernel, bias), act in zip(layers, acts, strict=True):
        value = FUNCTIONS[act](value @ kernel + bias)
    return value


@dataclass
class MLPRegressor:
    """What a fitted MLPRegressor holds and answers."""

    layers: list
    activation: str = "relu"
    out_activation_: str = "identity"
    coefs_: list = field(init=False)
    intercepts_: list = field(init=False)

    def __post_init__(self):
        self.coefs_ = [kernel for kernel, _ in self.layers]
        self.intercepts_ = [bias for _, bias in self.layers]

    def raw(self, x):
        """The outputs of the last layer [row, d_out]."""
        acts = [self.activation] * (len(self.layers) - 1) + [self.out_activation_]
        return forward(self.layers, acts, x)

    def predict(self, x):
        raw = self.raw(x)
        return raw.ravel() if raw.shape[1] == 1 else raw


@dataclass
class MLPClassifier(MLPRegressor):
    """What a fitted MLPClassifier holds and answers."""

    out_activation_: str = "logistic"
    classes_: tuple = (0, 1)

    def predict_proba(self, x):
        raw = self.raw(x)
        return np.hstack([1 - raw, raw]) if raw.shape[1] == 1 else raw

    def predict(self, x):
        raw = self.raw(x)
        is_binary = raw.shape[1] == 1
        chosen = (raw[:, 0] > 0.5).astype(int) if is_binary else raw.argmax(1)
        return np.array(self.classes_)[chosen]


# scikit-learn


@pytest.mark.parametrize("act_fn", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("sizes", [(2, 3, 1), (3, 4, 2, 1)])
def test_a_classifier_decides_as_its_predict_does(act_fn, sizes):
    """Probabilities and decisions are the estimator's own, at 0.5 of a sigmoid."""
    for seed in range(10):
        estimator = MLPClassifier(random_layers(sizes, seed), act_fn)
        model = HookedMLP.from_sklearn(estimator)
        x = model.rows().numpy()
        assert (model.cfg.out_act_fn, model.threshold) == ("sigmoid", 0.5)
        outputs = model(x).detach().numpy()
        assert np.allclose(outputs[:, 0], estimator.predict_proba(x)[:, 1])
        assert ((outputs > 0.5).ravel() == estimator.predict(x)).all()


def test_which_class_is_one_is_said():
    """Classes 0 and 1, or False and True, need no word; others are named, in their order."""
    layers = random_layers((2, 3, 1))
    with pytest.warns(XorMiWarning, match="the classes are 'no' and 'yes'; output 1") as said:
        HookedMLP.from_sklearn(MLPClassifier(layers, classes_=("no", "yes")))
    assert said[0].filename == __file__
    with pytest.warns(XorMiWarning, match="the classes are -1 and 1; output 1 is the second"):
        HookedMLP.from_sklearn(MLPClassifier(layers, classes_=(-1, 1)))
    HookedMLP.from_sklearn(MLPClassifier(layers, classes_=(False, True)))


@pytest.mark.parametrize("n_classes", [3, 4, 9])
def test_more_than_two_classes_are_told_apart_by_the_largest_output(n_classes):
    """Decision j is whether predict says class j; probabilities are the outputs' softmax."""
    classes = tuple(range(n_classes))
    for seed in range(10):
        layers = random_layers((2, 4, n_classes), seed)
        estimator = MLPClassifier(layers, "tanh", out_activation_="softmax", classes_=classes)
        model = HookedMLP.from_sklearn(estimator)
        assert (model.cfg.decision_rule, model.cfg.loss_fn) == ("argmax", "ce")
        logits = model(ROWS).detach()
        assert np.allclose(logits.softmax(1).numpy(), estimator.predict_proba(ROWS))
        decided = model.rule.decide(logits).numpy()
        assert (decided == (estimator.predict(ROWS)[:, None] == np.array(classes))).all()
    letters = tuple("abcdefghi"[:n_classes])
    named = MLPClassifier(layers, "tanh", out_activation_="softmax", classes_=letters)
    with pytest.warns(XorMiWarning, match="the classes are 'a', 'b', 'c'.*; the outputs y0, y1"):
        HookedMLP.from_sklearn(named)
    with pytest.raises(
        XorMiError, match=r"ends in a softmax, so its largest output decides; leave"
    ):
        HookedMLP.from_sklearn(estimator, decision_threshold=0.5)


def test_several_labels_are_several_decisions():
    """A classifier of two labels at once has sigmoids, each decided at 0.5."""
    estimator = MLPClassifier(random_layers((2, 4, 2), 5), classes_=(0, 1))
    model = HookedMLP.from_sklearn(estimator)
    assert (model.cfg.decision_rule, model.threshold) == ("threshold", 0.5)
    assert np.allclose(model(ROWS).detach().numpy(), estimator.predict_proba(ROWS))


def test_estimators_and_models_are_asked_at_the_input_levels():
    """Trained on -1 and 1, they are compared there; what differs only there is found."""
    layers = random_layers((2, 3, 1), 2)
    estimator = MLPClassifier(layers, "tanh")
    model = HookedMLP.from_sklearn(estimator, input_levels=(-1, 1))
    x = 2 * ROWS - 1
    assert np.allclose(model(x).detach().numpy()[:, 0], estimator.predict_proba(x)[:, 1])
    assert np.array_equal(model.rows().numpy(), x)
    keras = Model(*dense((2, 3, 1), ["tanh", "sigmoid"]))
    model = HookedMLP.from_keras(keras, input_levels=(-1, 1))
    assert np.allclose(model(x).detach().numpy(), keras.predict(x, verbose=0))

    class Other(MLPClassifier):
        def raw(self, x):
            return super().raw(x) + 0.01 * (np.asarray(x).min(1, keepdims=True) < 0)

    HookedMLP.from_sklearn(Other(layers))
    with pytest.raises(XorMiError, match="on row 00 the estimator gives"):
        HookedMLP.from_sklearn(Other(layers), input_levels=(-1, 1))


class Scaler:
    """What a fitted StandardScaler does."""

    def __init__(self, mean, scale):
        self.mean, self.scale = np.array(mean), np.array(scale)

    def transform(self, x):
        return (x - self.mean) / self.scale


class Products:
    """Features that no scaling makes."""

    def transform(self, x):
        return np.hstack([x, x[:, :1] * x[:, 1:]])


@dataclass
class Pipeline:
    """What a fitted pipeline holds and answers."""

    steps: list
    n_features_in_: int = 2

    @property
    def classes_(self):
        return self.steps[-1][1].classes_

    def predict_proba(self, x):
        for _, step in self.steps[:-1]:
            x = step.transform(np.asarray(x, dtype=float))
        return self.steps[-1][1].predict_proba(x)


def test_a_pipeline_s_scaling_is_put_into_the_first_layer():
    """Outputs are those of the whole pipeline on bits; what is not a scaling is found and refused."""
    for seed in range(5):
        last = ("mlp", MLPClassifier(random_layers((2, 3, 1), seed), "tanh"))
        scalers = [("a", Scaler([0.5, 0.4], [0.5, 2.0])), ("b", Scaler([1, -1], [3, 3]))]
        for steps in ([last], [scalers[0], last], [*scalers, last]):
            pipeline = Pipeline(steps)
            model = HookedMLP.from_sklearn(pipeline, target="XOR")
            assert np.allclose(model(ROWS).detach()[:, 0], pipeline.predict_proba(ROWS)[:, 1])
    wide = [scalers[0], ("c", Products()), ("mlp", MLPClassifier(random_layers((3, 3, 1)), "tanh"))]
    with pytest.raises(
        XorMiError, match="on row 11 the estimator gives .*; Scaler, Products before"
    ):
        HookedMLP.from_sklearn(Pipeline(wide))


def test_a_regressor_is_decided_in_the_middle_of_its_targets():
    """Without a rule the threshold is 0.5; a rule that is given holds."""
    estimator = MLPRegressor(TEXTBOOK)
    model = HookedMLP.from_sklearn(estimator, target="XOR")
    assert (model.cfg.loss_fn, model.threshold) == ("mse", 0.5)
    assert identify_circuit(model).verdict == "identified"
    assert np.allclose(model(ROWS).detach().numpy().ravel(), estimator.predict(ROWS))
    assert HookedMLP.from_sklearn(estimator, decision_threshold=0.3).threshold == 0.3
    several = MLPRegressor(random_layers((2, 3, 2)))
    assert np.allclose(HookedMLP.from_sklearn(several)(ROWS).detach(), several.predict(ROWS))


def test_an_estimator_that_says_otherwise_is_refused():
    """Wrong by a hundredth on one row: the row and both values are named."""
    layers = random_layers((2, 3, 1))

    class Other(MLPClassifier):
        def raw(self, x):
            return super().raw(x) + 0.01 * (np.asarray(x).sum(1, keepdims=True) > 1)

    with pytest.raises(XorMiError, match=r"on row 11 the estimator gives 0\.\d+ and the network"):
        HookedMLP.from_sklearn(Other(layers))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (SimpleNamespace(hidden_layer_sizes=(3,), fit=None), "was not fitted; call its fit first"),
        (SimpleNamespace(steps=[]), "has no coefs_ and intercepts_; give an MLPClassifier"),
        ("no estimator", "str has no coefs_"),
        (MLPRegressor(random_layers((2, 3, 1)), out_activation_="exp"), "layer 2 has the activation exp"),
        (MLPRegressor(random_layers((2, 1))), "1 linear layer found"),
        (SimpleNamespace(coefs_=[np.ones((2, 1))], intercepts_=[]), "1 coefs_ and 0 intercepts_"),
        (SimpleNamespace(coefs_=[np.ones((2, 1))], intercepts_=[np.ones(1)]), "no 'activation'"),
        (MLPClassifier([(np.ones((2, 2)), np.ones(2)), (np.ones((2, 1)), np.float64(1.0))]), r"a bias has shape \[\] beside a weight of shape \[2, 1\]"),
        (MLPClassifier([(np.ones(2), np.ones(2)), (np.ones((2, 1)), np.ones(1))]), r"a weight has shape \[2\]; a layer's is \[d_in, d_out\]"),
        (type("Broken", (MLPRegressor,), {"predict": lambda self, x: 1 / 0})(TEXTBOOK), "the estimator itself fails on rows of 0 and 1: ZeroDivisionError"),
    ],
)  # fmt: skip
def test_other_estimators_are_refused(estimator, message):
    """One sentence each, also where a target is given."""
    for settings in ({}, {"target": "XOR"}):
        with pytest.raises(XorMiError, match=message):
            HookedMLP.from_sklearn(estimator, **settings)


# Keras


class Dense:
    """What a Dense layer holds."""

    def __init__(self, kernel, bias=None, activation="linear"):
        self.weights = [kernel] if bias is None else [kernel, bias]
        is_name = isinstance(activation, str)
        self.activation = SimpleNamespace(__name__=activation) if is_name else activation

    def get_weights(self):
        """The kernel [d_in, d_out], and the bias where there is one."""
        return self.weights

    def call(self, x):
        """The layer in NumPy."""
        kernel, *bias = self.weights
        pre = x @ kernel + (bias[0] if bias else 0)
        if self.activation is None:
            return pre
        is_layer = hasattr(self.activation, "call")
        function = self.activation.call if is_layer else FUNCTIONS[self.activation.__name__]
        return function(pre)


class InputLayer:
    """The beginning of a model."""

    def call(self, x):
        """Nothing happens."""
        return x


class Dropout(InputLayer):
    """Of no effect when a model predicts."""


class Activation:
    """An activation as a layer."""

    def __init__(self, name):
        self.activation = SimpleNamespace(__name__=name)

    def call(self, x):
        """The function itself."""
        return FUNCTIONS[self.activation.__name__](x)


class LeakyReLU:
    """A layer with its slope."""

    def __init__(self, slope):
        self.negative_slope = slope

    def call(self, x):
        """Slope below zero."""
        return np.where(x > 0, x, self.negative_slope * x)


class BatchNormalization:
    """A layer with scale, shift, mean and variance."""

    epsilon = 1e-3

    def __init__(self, *weights, scale=True, center=True):
        self.weights, self.scale, self.center = weights, scale, center

    def get_weights(self):
        """Those of the four that there are."""
        kept = (self.scale, self.center, True, True)
        return [weight for weight, is_kept in zip(self.weights, kept, strict=True) if is_kept]

    def call(self, x):
        """The running statistics are used."""
        gamma, beta, mean, variance = self.weights
        normed = (x - mean) / np.sqrt(variance + self.epsilon)
        return normed * (gamma if self.scale else 1) + (beta if self.center else 0)


class Softmax(Activation):
    """The softmax as a layer."""

    def __init__(self):
        super().__init__("softmax")


class Lambda(InputLayer):
    """Anything at all."""


class Model:
    """Layers one after the other."""

    def __init__(self, *layers, loss=None):
        self.layers, self.loss = layers, loss

    def predict(self, x, verbose=1):
        """Rows to outputs."""
        assert verbose == 0
        value = np.asarray(x, dtype=float)
        for layer in self.layers:
            value = layer.call(value)
        return value


def dense(sizes, acts, seed=0):
    """Dense layers from a seed."""
    layers = random_layers(sizes, seed)
    return [Dense(*layer, act) for layer, act in zip(layers, acts, strict=True)]


def normalization(width, **switches):
    """A batch normalization with weights from a seed."""
    rng = np.random.default_rng(9)
    return BatchNormalization(*(rng.uniform(0.5, 1.5, width) for _ in range(4)), **switches)


KERAS = {
    "activations by name": (Model(InputLayer(), *dense((2, 3, 1), ["tanh", "sigmoid"])), "tanh", "sigmoid"),
    "activations as layers": (Model(*(lambda a, b: [a, Activation("relu"), Dropout(), b, Activation("sigmoid")])(*dense((2, 3, 1), ["linear", "linear"]))), "relu", "sigmoid"),
    "leaky by name": (Model(*dense((2, 3, 1), ["leaky_relu", "linear"])), "leaky_relu", "identity"),
    "leaky as a layer": (Model(*(lambda a, b: [a, LeakyReLU(0.3), b])(*dense((2, 3, 1), ["linear", None]))), "leaky_relu", "identity"),
    "leaky in the layer": (Model(*dense((2, 3, 1), [LeakyReLU(0.3), "linear"])), "leaky_relu", "identity"),
    "batch normalization": (Model(*(lambda a, b: [a, normalization(3), Activation("relu"), b])(*dense((2, 3, 1), ["linear", "linear"]))), "relu", "identity"),
    "without scale": (Model(*(lambda a, b: [a, normalization(3, scale=False), b])(*dense((2, 3, 1), ["linear", "linear"]))), "identity", "identity"),
    "without shift": (Model(*(lambda a, b: [a, normalization(3, center=False), b])(*dense((2, 3, 1), ["linear", "linear"]))), "identity", "identity"),
    "an activation per layer": (Model(*dense((2, 3, 3, 1), ["relu", "tanh", "sigmoid"])), ("relu", "tanh"), "sigmoid"),
    "elu": (Model(*dense((2, 3, 1), ["elu", "linear"])), "elu", "identity"),
    "softplus": (Model(*dense((2, 3, 1), ["softplus", "softplus"])), "softplus", "softplus"),
    "silu": (Model(*dense((2, 3, 1), ["silu", "linear"])), "silu", "identity"),
    "relu6": (Model(*dense((2, 3, 1), ["relu6", "linear"])), "relu6", "identity"),
    "hard ones": (Model(*dense((2, 3, 3, 1), ["hard_sigmoid", "hard_tanh", "linear"])), ("hardsigmoid", "hardtanh"), "identity"),
    "no bias": (Model(Dense(np.array([[1.0, -1.0], [-1.0, 1.0]]), None, "relu"), Dense(np.array([[3.0], [5.0]]))), "relu", "identity"),
}  # fmt: skip


@pytest.mark.parametrize("case", KERAS)
def test_a_keras_model_is_the_same_network(case):
    """Outputs are those of the model's predict on every row."""
    given, act_fn, out_act_fn = KERAS[case]
    model = HookedMLP.from_keras(given, decision_threshold=0.5)
    assert (model.cfg.act_fn, model.cfg.out_act_fn) == (act_fn, out_act_fn)
    assert np.allclose(model(ROWS).detach().numpy(), given.predict(ROWS, verbose=0))


SOFTMAX = {
    "in the layer": lambda a, b: Model(a, Dense(*b.weights, "softmax")),
    "as an activation": lambda a, b: Model(a, b, Activation("softmax")),
    "as a layer": lambda a, b: Model(a, b, Dropout(), Softmax()),
}


@pytest.mark.parametrize("case", SOFTMAX)
@pytest.mark.parametrize("n_out", [2, 3])
def test_a_keras_softmax_is_decided_by_the_largest_output(case, n_out):
    """Logits are the network's, their softmax the model's, and the decision is its argmax."""
    given = SOFTMAX[case](*dense((2, 3, n_out), ["tanh", "linear"], seed=4))
    given.loss = "categorical_crossentropy"
    model = HookedMLP.from_keras(given)
    assert model.cfg.decision_rule == "argmax"
    logits, wanted = model(ROWS).detach(), given.predict(ROWS, verbose=0)
    assert np.allclose(logits.softmax(1).numpy(), wanted)
    best = wanted.argmax(1)[:, None]
    decided = model.rule.decide(logits).numpy()
    assert (decided == (best if n_out == 2 else best == np.arange(n_out))).all()
    arrays = [
        array for layer in given.layers if isinstance(layer, Dense) for array in layer.weights
    ]
    listed = HookedMLP.from_keras(arrays, act_fn="tanh", out_act_fn="softmax")
    assert listed.cfg.decision_rule == "argmax"
    assert np.allclose(listed(ROWS).detach(), logits)


def test_a_keras_loss_of_classes_is_argmax_for_several_outputs():
    """Cross-entropy on logits says that the largest wins; binary cross-entropy does not."""
    two = dense((2, 3, 2), ["tanh", "linear"])

    class SparseCategoricalCrossentropy: ...

    for loss in ("categorical_crossentropy", SparseCategoricalCrossentropy()):
        assert HookedMLP.from_keras(Model(*two, loss=loss)).cfg.decision_rule == "argmax"
    binary = HookedMLP.from_keras(Model(*two, loss="binary_crossentropy"))
    assert (binary.cfg.decision_rule, binary.threshold) == ("threshold", 0)
    one = HookedMLP.from_keras(
        Model(*dense((2, 3, 1), ["tanh", "linear"]), loss="BinaryCrossentropy")
    )
    assert (one.cfg.loss_fn, one.threshold) == ("bce", 0)


def test_a_keras_model_s_loss_is_its_rule():
    """Compiled with squared error: threshold 0.5. Without: a warning where 0 and 1 were targets."""
    layers = [Dense(*TEXTBOOK[0], "relu"), Dense(*TEXTBOOK[1])]
    for loss in ("mse", "mean_squared_error", SimpleNamespace(__name__="mean_squared_error")):
        assert HookedMLP.from_keras(Model(*layers, loss=loss)).threshold == 0.5
    with pytest.warns(XorMiWarning, match="decision_threshold"):
        assert HookedMLP.from_keras(Model(*layers)).threshold == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert HookedMLP.from_keras(Model(*layers), decision_threshold=0.4).threshold == 0.4


def test_a_list_of_weights_is_read_by_shape():
    """Kernels with or without biases; the activations are given."""
    layers = random_layers((2, 3, 1))
    flat = [array for layer in layers for array in layer]
    model = HookedMLP.from_keras(flat, act_fn="tanh", out_act_fn="sigmoid", target="XOR")
    assert np.allclose(model(ROWS).detach().numpy(), forward(layers, ["tanh", "sigmoid"], ROWS))
    kernels = [kernel for kernel, _ in layers]
    bare = HookedMLP.from_keras(kernels, act_fn="relu")
    assert HookedMLP.from_keras(kernels, act_fn="leaky_relu").cfg.negative_slope == 0.2
    steep = HookedMLP.from_keras(kernels, act_fn="leaky_relu", negative_slope=0.7)
    assert steep.cfg.negative_slope == 0.7
    deep = random_layers((2, 3, 3, 1))
    mixed = HookedMLP.from_keras([one for two in deep for one in two], act_fn=("relu", "tanh"))
    assert mixed.cfg.act_fn == ("relu", "tanh")
    assert np.allclose(mixed(ROWS).detach(), forward(deep, ["relu", "tanh", "linear"], ROWS))
    wanted = forward([(kernel, 0) for kernel in kernels], ["relu", "linear"], ROWS)
    assert np.allclose(bare(ROWS).detach().numpy(), wanted)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ([*TEXTBOOK[0], *TEXTBOOK[1]], {}, "a list of weights says no activation; give act_fn"),
        ([np.ones(2)], {"act_fn": "relu"}, r"entry 0 of the list has shape \[2\]"),
        ([*TEXTBOOK[0], np.ones(2), *TEXTBOOK[1]], {"act_fn": "relu"}, "entry 2 of the list"),
        ([np.ones((2, 2)), np.ones(3)], {"act_fn": "relu"}, "entry 1 of the list"),
        ([object()], {"act_fn": "relu"}, "entry 0 of the list is not an array"),
        ([], {"act_fn": "relu"}, "no linear layer found"),
        ([*TEXTBOOK[0], *TEXTBOOK[1]], {"act_fn": "rellu"}, "has the activation rellu"),
        ("no model", {}, "'no model' is not a Keras model"),
        (Model(*dense((2, 3, 1), ["relu", "linear"])), {"act_fn": "relu"}, "follow from the model"),
        (Model(Lambda(), *dense((2, 3, 1), ["relu", "linear"])), {}, "layer 0 is Lambda; expected Dense"),
        (Model(dense((2, 3), ["linear"])[0], Lambda()), {}, "layer 1 is Lambda, which is not known"),
        (Model(*dense((2, 3, 2), ["softmax", "relu"])), {}, "layer 0 is Dense; layer 1 is a softmax, whose values"),
        (Model(*dense((2, 3, 1), ["relu", "softmax"])), {}, "layer 1 is Dense; a softmax over one output is 1"),
        (Model(*dense((2, 3, 1), ["selu", "linear"])), {}, "layer 1 has the activation selu"),
        ([*TEXTBOOK[0], *TEXTBOOK[1]], {"act_fn": ("relu", "tanh")}, "act_fn has 2 activations and the list 1 hidden layers"),
        (Model(Dense(None), *dense((2, 1), ["relu"])), {}, "layer 0 is Dense; it has no weights yet"),
    ],
)  # fmt: skip
def test_other_keras_models_are_refused(given, settings, message):
    """One sentence each, with the layer or the entry."""
    with pytest.raises(XorMiError, match=message):
        HookedMLP.from_keras(given, **settings)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("classes", [[0, 1, 1, 0], [0, 1, 1, 2], None])
def test_scikit_learn_s_own_networks(activation, classes):
    """Classifiers of two and of three classes and a regressor: on every row the network read from
    one says what it says itself.
    """
    sklearn = pytest.importorskip(
        "sklearn.neural_network", reason="scikit-learn is not installed; it is not needed otherwise"
    )
    settings = {"activation": activation, "hidden_layer_sizes": (4,), "random_state": 0}
    kind = sklearn.MLPRegressor if classes is None else sklearn.MLPClassifier
    goal = [0, 1, 1, 0] if classes is None else classes
    estimator = kind(solver="lbfgs", max_iter=200, **settings).fit(ROWS, goal)
    model = HookedMLP.from_sklearn(estimator)
    outputs = model(model.rows()).detach().numpy()
    if classes is None:
        assert np.allclose(outputs[:, 0], estimator.predict(ROWS))
        return
    predicted = estimator.classes_.tolist().index
    said = [predicted(one) for one in estimator.predict(ROWS)]
    decided = decisions(model)
    if len(set(classes)) == 2:
        assert np.allclose(outputs[:, 0], estimator.predict_proba(ROWS)[:, 1])
        assert decided[:, 0].tolist() == said
    else:
        assert decided.argmax(1).tolist() == said


def test_a_list_of_weights_that_gives_0_and_1_is_asked_about():
    """A list cannot be run, so the warning looks at the network that was made of it."""
    weights = [array for layer in TEXTBOOK for array in layer]
    with pytest.warns(XorMiWarning, match="near 0 and 1 on every row.*decision_threshold=0.5"):
        HookedMLP.from_keras(weights, act_fn="relu")
    assert HookedMLP.from_keras(weights, act_fn="relu", loss_fn="mse").threshold == 0.5


# arrays


def test_the_layout_of_arrays():
    """[d_in, d_out] gives the network that the transposed arrays give, tensors and lists alike."""
    layers = random_layers((3, 4, 2))
    turned = [(kernel.T, bias) for kernel, bias in layers]
    model = HookedMLP.from_weights(layers, layout="in_out")
    wanted = HookedMLP.from_weights(turned)
    assert all(map(torch.equal, model.state_dict().values(), wanted.state_dict().values()))
    as_lists = [(kernel.tolist(), None) for kernel, _ in layers]
    assert HookedMLP.from_weights(as_lists, layout="in_out").fc2.bias.tolist() == [0, 0]


@pytest.mark.unchecked
@pytest.mark.parametrize("layout", ["out_in", "in_out"])
def test_transposed_is_said_exactly_where_transposing_would_fit(layout):
    """Every chain of shapes up to width 3, biases or none: by brute force over all of them."""
    other = "in_out" if layout == "out_in" else "out_in"

    def fits(shapes, bias_sizes, turned):
        sizes = [shape[::-1] if turned else shape for shape in shapes]  # (d_out, d_in)
        is_chain = sizes[0][0] == sizes[1][1]
        return is_chain and all(
            b in (None, size[0]) for b, size in zip(bias_sizes, sizes, strict=True)
        )

    outcomes = set()
    for a in range(1, 4):
        for b in range(1, 4):
            for c in range(1, 4):
                for d in range(1, 4):
                    for bias in ((None, None), (1, 1), (2, 1), (b, d), (a, c)):
                        shapes = [(a, b), (c, d)]
                        layers = [
                            (np.ones(shape), None if n is None else np.ones(n))
                            for shape, n in zip(shapes, bias, strict=True)
                        ]
                        as_given = fits(shapes, bias, layout == "in_out")
                        turned = fits(shapes, bias, layout == "out_in")
                        try:
                            HookedMLP.from_weights(layers, layout=layout)
                            said = "made"
                        except XorMiError as error:
                            said = (
                                "hint"
                                if f"transposed? give layout='{other}'" in str(error)
                                else "refused"
                            )
                        outcomes.add(said)
                        assert said == ("made" if as_given else "hint" if turned else "refused")
    assert outcomes == {"made", "hint", "refused"}


@pytest.mark.unchecked
def test_an_example_tells_square_layers_apart():
    """Both layouts fit square layers; one row of inputs and printed outputs says which it is."""
    layers = random_layers((2, 2, 2), seed=3)
    outputs = forward(layers, ["tanh", "linear"], ROWS).round(2)
    example = (ROWS, outputs)
    model = HookedMLP.from_weights(layers, layout="in_out", example=example, act_fn="tanh")
    assert np.allclose(model(ROWS).detach().numpy(), outputs, atol=0.01)
    with pytest.raises(XorMiError, match=r"contradicts layout='out_in' .* give layout='in_out'"):
        HookedMLP.from_weights(layers, example=example, act_fn="tanh")
    turned = [(kernel.T, bias) for kernel, bias in layers]
    HookedMLP.from_weights(turned, example=([1, 0], outputs[2]), act_fn="tanh")
    with pytest.raises(XorMiError, match=r"contradicts layout='in_out' .* give layout='out_in'"):
        HookedMLP.from_weights(turned, layout="in_out", example=example, act_fn="tanh")
    with pytest.raises(
        XorMiError, match="the example, which says .* check the activations and the weights"
    ):
        HookedMLP.from_weights(layers, example=example, act_fn="relu")
    for wrong, message in (
        (5, "example is not a pair"),
        ((ROWS, outputs[:2]), r"not numbers of shape \[4, 2\]"),
        ((ROWS, "no"), "not numbers of shape"),
        (([1, 0, 1], outputs), r"this network takes \[batch, 2\]"),
    ):
        with pytest.raises(XorMiError, match=message):
            HookedMLP.from_weights(layers, example=wrong)
    with pytest.raises(XorMiError, match="no layout 'rows'; known layouts: out_in, in_out"):
        HookedMLP.from_weights(layers, layout="rows")
