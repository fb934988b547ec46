"""Networks drawn at random, each twice: as the package's and as the oracles' own; and the count of
what was compared.

Ordinary, whole-number, tied, duplicated, zero and huge weights; every activation; other levels than
0 and 1, argmax, thresholds, steps with either value at zero, direct connections, float32.
"""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from oracles.networks import EXACT, STEPS, Net

from xor_mi.model import ACTIVATIONS, HookedMLP

SHAPES = (
    *((1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1), (2, 3, 1), (2, 4, 1), (2, 2, 2), (2, 2, 3)),
    *((3, 2, 1), (3, 3, 1), (3, 3, 2), (3, 4, 2), (2, 2, 2, 1), (2, 2, 2, 2), (2, 3, 3, 1)),
)
NEVER_NEGATIVE = ("sigmoid", "hardsigmoid", "heaviside", "relu", "relu6", "softplus")
SOMEWHAT_SURE = 8.0
"""Bounds of rounding are taken so many times before two numbers are called different."""


@dataclass
class Tally:
    """What was compared.

    Attributes:
        n: single values.
        wrong: one line per mismatch.
        undecided: values that hang on a tie within rounding; not among the n.
    """

    n: int = 0
    wrong: list = field(default_factory=list)
    undecided: int = 0

    @property
    def result(self):
        """What `mismatches` gives."""
        return self.n, self.wrong, self.undecided

    def same(self, what, expected, got):
        """Two values that must be equal, as text, numbers or lists."""
        self.n += 1
        if not bool(np.all(np.asarray(expected == got))):
            self.wrong.append(f"{what}: {expected} expected, {got} given")

    def sure(self, what, expected, is_sure, got):
        """Whole numbers of one shape, compared where the expected ones are sure."""
        expected, got = np.asarray(expected), np.asarray(got)
        if expected.shape != got.shape:
            self.same(f"{what}, its shape", expected.shape, got.shape)
            return
        is_sure = np.broadcast_to(is_sure, expected.shape)
        self.n += int(is_sure.sum())
        self.undecided += int((~is_sure).sum())
        self._note(what, expected, got, is_sure & (expected != got))

    def near(self, what, expected, error, got):
        """Numbers of one shape, equal within these bounds of rounding."""
        expected, got = np.asarray(expected, dtype=float), np.asarray(got, dtype=float)
        if expected.shape != got.shape:
            self.same(f"{what}, its shape", expected.shape, got.shape)
            return
        error = np.broadcast_to(error, expected.shape)
        is_sure = np.isfinite(error) & np.isfinite(expected)
        self.n += int(is_sure.sum())
        self.undecided += int((~is_sure).sum())
        apart = ~(np.abs(expected - got) <= SOMEWHAT_SURE * np.where(is_sure, error, 0))
        self._note(what, expected, got, is_sure & apart)

    def _note(self, what, expected, got, wrong):
        for index in np.argwhere(wrong)[:3]:
            where = tuple(index.tolist())
            at = f" {list(where)}" if where else ""
            self.wrong.append(f"{what}{at}: {expected[where]} expected, {got[where]} given")


@dataclass
class Drawn:
    """One network, on paper and in the package, with its description."""

    net: Net
    model: HookedMLP
    text: str

    @property
    def names(self):
        """Inputs, hidden units layer by layer, outputs, by name."""
        *hidden, outputs = [len(bias) for _, bias in self.net.layers]
        return [
            [f"x{i}" for i in range(self.net.n_inputs)],
            *[[f"h{layer}.{j}" for j in range(width)] for layer, width in enumerate(hidden)],
            [f"y{k}" for k in range(outputs)],
        ]

    @property
    def edges(self):
        """All edges by name."""
        layers = self.names
        pairs = [*pairwise(layers)]
        if self.net.direct is not None:
            pairs.append((layers[0], layers[-1]))
        return [f"{a}->{b}" for before, after in pairs for a in before for b in after]


def drawn(
    rng,
    shapes=SHAPES,
    acts=tuple(ACTIVATIONS),
    out_acts=tuple(ACTIVATIONS),
    dtypes=("float64", "float32"),
    *,
    direct=True,
    argmax=True,
    huge=True,
    **settings,
):
    """A network of any kind that is allowed."""
    sizes = rng.choice(shapes)
    one = rng.choice(acts)
    per_layer = [one if rng.random() < 0.7 else rng.choice(acts) for _ in sizes[1:-1]]
    out_act = "identity" if rng.random() < 0.7 else rng.choice(out_acts)
    kind = rng.choice(["normal", "whole", "tied", "copies", "zeros", *(["huge"] * huge)])
    dtype = rng.choice(dtypes) if kind != "huge" else "float64"
    layers = [_layer(rng, kind, a, b) for a, b in pairwise(sizes)]
    past = _layer(rng, kind, sizes[0], sizes[-1])[0] if direct and rng.random() < 0.2 else None
    rule = "argmax" if argmax and sizes[-1] > 1 and rng.random() < 0.5 else "threshold"
    quarters = kind in ("whole", "tied", "copies", "zeros")
    slope = 0.25 if quarters else rng.choice([0.01, 0.3, -0.2])
    is_exact = quarters and {*per_layer, out_act} <= EXACT
    net = Net(
        layers=layers,
        acts=tuple(per_layer),
        out_act=out_act,
        slope=slope,
        step_at_zero=rng.choice([0, 1]),
        direct=past,
        levels=rng.choice([(0.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (0.5, 2.0), (1.0, 0.0)]),
        rule=rule,
        threshold=0.5 if out_act in NEVER_NEGATIVE and rule == "threshold" else 0.0,
        eps=0.0 if is_exact else {"float64": 1e-14, "float32": 2e-6}[dtype],
    )
    if rule == "threshold" and rng.random() < 0.3:
        net.threshold = rng.choice([0.25, -0.5, 1.0])
    if dtype == "float32":
        net.layers = [tuple(one.astype("float32").astype(float) for one in pair) for pair in layers]
        net.direct = None if past is None else past.astype("float32").astype(float)
        net.slope = slope
    model = built(net, dtype=dtype, **settings)
    text = (
        f"{'-'.join(map(str, sizes))} {'/'.join(per_layer)} out {out_act}, {kind} {dtype}, levels "
        f"{net.levels}, {rule} {net.threshold}, step {net.step_at_zero}"
        f"{', direct' * (past is not None)}"
    )
    return Drawn(net, model, text)


def built(net, *, dtype="float64", **settings):
    """The package's network of the same weights and conventions."""
    given = {
        "act_fn": net.acts,
        "out_act_fn": net.out_act,
        "negative_slope": net.slope,
        "step_at_zero": net.step_at_zero,
        "input_levels": net.levels,
        "decision_rule": net.rule,
        "direct": net.direct,
    }
    if net.rule == "threshold":
        given["decision_threshold"] = net.threshold
    if net.direct is None:
        del given["direct"]
    return HookedMLP.from_weights(net.layers, dtype=dtype, **(given | settings))


def _layer(rng, kind, d_in, d_out):
    """Weight [d_out, d_in] and bias [d_out]."""
    generator = np.random.default_rng(rng.randrange(2**32))
    if kind == "normal":
        weight, bias = generator.normal(size=(d_out, d_in)) * 2, generator.normal(size=d_out)
    elif kind == "whole":
        weight = generator.integers(-3, 4, (d_out, d_in)).astype(float)
        bias = generator.integers(-2, 3, d_out) / rng.choice([1, 2])
    elif kind == "tied":
        weight = rng.choice([-1.0, 1.0]) * np.ones((d_out, d_in)) * rng.choice([0.5, 1, 2])
        bias = -np.arange(d_out) * rng.choice([0.5, 1.0])
    elif kind == "copies":
        weight = generator.integers(-2, 3, (d_out, d_in)).astype(float)
        bias = generator.integers(-2, 3, d_out) / 2
        first = rng.randrange(d_out)
        for j in range(d_out):
            if rng.random() < 0.5:
                factor = rng.choice([1, 1, 2, -1])
                weight[j], bias[j] = factor * weight[first], factor * bias[first]
    elif kind == "zeros":
        weight = generator.integers(-2, 3, (d_out, d_in)) * generator.integers(0, 2, (d_out, d_in))
        weight, bias = weight.astype(float), generator.integers(-1, 2, d_out).astype(float)
    else:
        size = 10.0 ** generator.integers(-3, 7, (d_out, d_in))
        weight, bias = generator.normal(size=(d_out, d_in)) * size, generator.normal(size=d_out)
    return weight, bias


def has_steps(net):
    """Whether some activation jumps."""
    return bool({*net.acts, net.out_act} & set(STEPS))


def some(rng, values, at_most):
    """Some of these, in order."""
    values = list(values)
    chosen = sorted(rng.sample(range(len(values)), min(at_most, len(values))))
    return [values[k] for k in chosen]


def seeded(*words):
    """A generator that the words alone decide."""
    return random.Random(" ".join(map(str, words)))
