"""networks during training -> how early their end is decided, and by which of their properties."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import KDTree

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.population._census import census, counted_as, share_columns
from xor_mi.population._stuck_kinds import Stage, levels_on_rows
from xor_mi.training import Population, replay
from xor_mi.truth import truth_rows

PREDICTORS = ("majority", "signs", "orders", "nearest")
"""The predictors of `predict_ending`, in this order."""

STEPS = (0, 10, 50, 100, 200, 500, 1000)
"""The steps to predict at by default, as far as training has so many."""

NEIGHBOURS = (1, 3, 5, 9, 17, 33, 65)
"""The numbers of neighbours that may vote; cross-validation chooses among them."""

N_FOLDS = 5
"""Parts of the cross-validation: each is predicted from the others."""


def predict_ending(
    population: Population,
    *,
    steps: Sequence[int] | None = None,
    of: str = "family",
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """How early the end of training can be predicted: held-out accuracy, step by step.

    What is predicted is a column of the census, by default the family, with "not_computing" for the
    networks that fail. `seed` draws two halves of the networks: predictors are fitted on the first
    half, and counted is how often they are right about the second. A step leaves out networks that
    have finished by then, since their end is known, and networks whose weights are no longer
    finite. The predictors are

    - "majority": the most frequent end in the fitted half;
    - "signs": the most frequent end of the networks there with the same signs of all weights and
      biases, in any order of the units of a layer;
    - "orders": the same for networks whose hidden units order the rows by their values in the same
      ways, in any order of the units;
    - "nearest": the most frequent end of the k networks that are nearest in all weights and biases,
      with the units of each layer in order of their first weight. k is one of `NEIGHBOURS`, chosen
      by 5-fold cross-validation in the fitted half.

    A network that is like none of the fitted half in this respect is predicted as by "majority".

    Columns: step, predictor; n_finished, networks whose training has ended by then; n_train,
    n_test, networks fitted on and predicted; n_right, accuracy, ci_low, ci_high (95 %
    Clopper-Pearson); k, for "nearest" only. Steps at which one half has no network left have no
    lines.

    Args:
        steps: by default those of `STEPS` below max_steps. For steps that are not checkpoints of
            the population, its networks are trained again.
        of: "family", "gates", "solved", or another column of a census.
        seed: draws the halves, and the parts of the cross-validation.
        progress: show bars if it takes over half a second.

    Raises:
        XorMiError: fewer than four networks, a column that a census does not have, a step that
            training does not have, or networks that cannot be trained again.

    >>> from xor_mi import train_population
    >>> found = predict_ending(train_population("XOR", 64), steps=[0, 100], of="solved")
    >>> found["predictor"].tolist()[:4], found["n_test"].tolist()[:4]
    (['majority', 'signs', 'orders', 'nearest'], [32, 32, 32, 32])
    """
    require_kind("population", population, Population, give="what train_population returns")
    if len(population) < 4:
        raise XorMiError(
            f"a population of {len(population)} networks is too small for two halves; give 4 "
            "networks or more"
        )
    generator = np.random.default_rng(whole_number("seed", seed))
    networks = census(population, progress=progress)
    ends = np.array([str(end) for end in counted_as(networks, by=of)])
    is_fitted_on = np.zeros(len(population), dtype=bool)
    is_fitted_on[generator.permutation(len(population))[: (len(population) + 1) // 2]] = True
    lines = []
    for step, at_step in _networks_at(population, steps, progress=progress).items():
        has_finished = population.steps.numpy() <= step
        is_open = ~has_finished & at_step.flat.isfinite().all(1).numpy()
        if not (is_open & is_fitted_on).any() or not (is_open & ~is_fitted_on).any():
            continue
        halves = Halves(ends[is_open], is_fitted_on[is_open])
        said = {"step": step, "n_finished": int(has_finished.sum())}
        for line in held_out(Seen.of(at_step, is_open), halves, generator):
            lines.append(said | line)
    return pd.DataFrame(lines, columns=ENDING_COLUMNS).astype({"k": "Int64"})


ENDING_COLUMNS = [
    "step",
    "predictor",
    "n_finished",
    "n_train",
    "n_test",
    "n_right",
    "accuracy",
    "ci_low",
    "ci_high",
    "k",
]
"""The columns of `predict_ending`."""


def _networks_at(
    population: Population, steps: Sequence[int] | None, *, progress: bool
) -> dict[int, Population]:
    """Step -> the networks after so many steps, from checkpoints or trained again."""
    if steps is None:
        max_steps = int(population.steps.max())
        # if all had finished before the first step, only the start is left
        steps = [step for step in STEPS if step < max_steps] or [0]
    require_kind("steps", steps, (list, tuple, range), give="step numbers such as [0, 10, 100]")
    asked = [whole_number("a step", step) for step in steps]
    if not asked:
        raise XorMiError("steps is empty; give step numbers such as [0, 10, 100]")
    kept = population.checkpoints
    if not all(step in kept for step in asked):
        kept = replay(population, checkpoints=asked, progress=progress).checkpoints
    return {step: kept[step] for step in sorted(set(asked))}


@dataclass(frozen=True, eq=False)
class Halves:
    """How networks end, and which of them the predictors are fitted on."""

    ends: ndarray
    is_fitted_on: Bool[ndarray, " network"]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the predictors see of each network at one step.

    Attributes:
        signs, orders: one number per network; networks with the same signs (orders) have the same
            number.
        points: all weights and biases, with the units of each layer in order of their first weight.
    """

    signs: Int[ndarray, " network"]
    orders: Int[ndarray, " network"]
    points: Float[ndarray, "network parameter"]

    @classmethod
    def of(cls, population: Population, is_open: Bool[ndarray, " seed"]) -> "Seen":
        """The features of those networks that have not finished."""
        layers = [
            (weight.double().numpy()[is_open], bias.double().numpy()[is_open])
            for weight, bias in population.weights
        ]
        stage = Stage(population.cfg, list(truth_rows(population.cfg.d_in)))
        flat = population.flat[torch.from_numpy(is_open)]
        return cls(
            signs=_numbered(_flat(_in_order_of_signs(layers))),
            orders=_numbered(_orders(levels_on_rows(stage, flat.T))),
            points=_flat(_in_order_of_first_weights(layers)),
        )


_Layers = list[tuple[Float[ndarray, "network _ _"], Float[ndarray, "network _"]]]
"""Per layer W [network, d_out, d_in] and b [network, d_out]."""


def _in_order_of_signs(layers: _Layers) -> _Layers:
    """The signs of all weights, with the units of each hidden layer sorted by their signs.

    The signs of a unit's incoming weights count first, then the sign of its bias, and in the last
    hidden layer those of its outgoing weights. With one hidden layer, networks that differ only in
    the order of their units come out alike.
    """
    signs: _Layers = [(np.sign(weight), np.sign(bias)) for weight, bias in layers]
    for layer in range(len(signs) - 1):
        weight, bias = signs[layer]
        of_unit = [weight, bias[..., None]]
        if layer == len(signs) - 2:
            of_unit.append(signs[-1][0][:, :, : bias.shape[1]].swapaxes(1, 2))
        digits = np.concatenate(of_unit, axis=2) + 1
        _sort_units(signs, layer, _numbered_rows(digits))
    return signs


def _in_order_of_first_weights(layers: _Layers) -> _Layers:
    """The weights, with the units of each hidden layer in order of their first weight."""
    ordered = list(layers)
    for layer in range(len(ordered) - 1):
        weight, _ = ordered[layer]
        _sort_units(ordered, layer, weight[:, :, 0])
    return ordered


def _numbered_rows(digits: Float[ndarray, "network unit digit"]) -> Int[ndarray, "network unit"]:
    """Each unit's digits -> the rank of this combination among all that occur."""
    n_networks, n_units, n_digits = digits.shape
    _, numbers = np.unique(digits.reshape(-1, n_digits), axis=0, return_inverse=True)
    return numbers.reshape(n_networks, n_units)


def _sort_units(layers: _Layers, layer: int, by: ndarray) -> None:
    """Sort the units of one hidden layer in place, with their incoming and outgoing weights."""
    (weight, bias), (read_by, own_bias) = layers[layer], layers[layer + 1]
    order = np.argsort(by, axis=1, kind="stable")
    n_units = bias.shape[1]
    reading = np.take_along_axis(read_by[:, :, :n_units], order[:, None, :], axis=2)
    layers[layer] = (
        np.take_along_axis(weight, order[..., None], axis=1),
        np.take_along_axis(bias, order, axis=1),
    )
    # direct weights come after those of the units
    layers[layer + 1] = (np.concatenate([reading, read_by[:, :, n_units:]], axis=2), own_bias)


def _flat(layers: _Layers) -> Float[ndarray, "network parameter"]:
    parts = []
    for weight, bias in layers:
        parts += [weight.reshape(len(weight), -1), bias]
    return np.concatenate(parts, axis=1)


def _orders(levels: list[Int[ndarray, "row _ network"]]) -> Int[ndarray, "network number"]:
    """Per network, the orders of rows of the units of each layer, sorted within the layer."""
    numbers = []
    for of_layer in levels:
        orders = _numbered_rows(of_layer.transpose(2, 1, 0).astype(float))
        numbers.append(np.sort(orders, axis=1))
    return np.concatenate(numbers, axis=1)


def _numbered(features: ndarray) -> Int[ndarray, " network"]:
    """Lines -> one number each, the same number for equal lines."""
    return np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)


# predictors


def held_out(seen: Seen, halves: Halves, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Each predictor, fitted on one half and counted on the other: a line of the table each."""
    # ends are numbered by their frequency in the fitted half, so that argmax resolves a tie
    names, counts = np.unique(halves.ends[halves.is_fitted_on], return_counts=True)
    place = {name: number for number, name in enumerate(names[np.argsort(-counts, kind="stable")])}
    # an end that no network of the fitted half has is never predicted
    ends = np.array([place.get(end, -1) for end in halves.ends])
    fitted, held = ends[halves.is_fitted_on], ends[~halves.is_fitted_on]
    nearest, k = _by_nearest(seen.points, fitted, halves.is_fitted_on, generator)
    predicted = {
        "majority": np.zeros_like(held),
        "signs": _by_likeness(seen.signs, fitted, halves.is_fitted_on),
        "orders": _by_likeness(seen.orders, fitted, halves.is_fitted_on),
        "nearest": nearest,
    }
    lines = []
    for predictor in PREDICTORS:
        n_right = int((predicted[predictor] == held).sum())
        line = {"predictor": predictor, "n_train": len(fitted), "n_test": len(held)}
        line |= {"n_right": n_right} | share_columns(n_right, len(held), name="accuracy")
        lines.append(line | {"k": k if predictor == "nearest" else None})
    return lines


def _by_likeness(
    alike: Int[ndarray, " network"],
    fitted: Int[ndarray, " fitted"],
    is_fitted_on: Bool[ndarray, " network"],
) -> Int[ndarray, " held"]:
    """The most frequent end of the fitted networks with the same number, or of all fitted ones."""
    votes = np.zeros((alike.max() + 1, fitted.max() + 1), dtype=int)
    np.add.at(votes, (alike[is_fitted_on], fitted), 1)
    # without votes argmax takes the first end, which is the most frequent of all
    return votes.argmax(1)[alike[~is_fitted_on]]


def _by_nearest(
    points: Float[ndarray, "network parameter"],
    fitted: Int[ndarray, " fitted"],
    is_fitted_on: Bool[ndarray, " network"],
    generator: np.random.Generator,
) -> tuple[Int[ndarray, " held"], int]:
    """The end that the nearest fitted networks vote for, and how many of them vote."""
    own = points[is_fitted_on]
    k = _best_number(own, fitted, generator)
    (predicted,) = voted(own, fitted, points[~is_fitted_on], [k])
    return predicted, k


def _best_number(
    points: Float[ndarray, "fitted parameter"],
    ends: Int[ndarray, " fitted"],
    generator: np.random.Generator,
) -> int:
    """How many neighbours are right most often when each part is predicted from the others."""
    part = generator.permutation(len(points)) % min(N_FOLDS, len(points))
    n_others = len(points) - int(np.bincount(part).max())
    numbers = [k for k in NEIGHBOURS if k <= n_others]
    if not numbers:
        return NEIGHBOURS[0]
    n_right = np.zeros(len(numbers), dtype=int)
    for number in range(part.max() + 1):
        is_out = part == number
        by_number = voted(points[~is_out], ends[~is_out], points[is_out], numbers)
        n_right += [int((of_k == ends[is_out]).sum()) for of_k in by_number]
    return numbers[int(n_right.argmax())]


def voted(
    points: Float[ndarray, "known parameter"],
    ends: Int[ndarray, " known"],
    asked: Float[ndarray, "asked parameter"],
    numbers: Sequence[int],
) -> list[Int[ndarray, " asked"]]:
    """For each number k, the most frequent end among the k nearest of the points asked for."""
    _, found = KDTree(points).query(asked, k=max(numbers))
    # cKDTree leaves out the axis of a single neighbour
    nearest = np.asarray(found).reshape(len(asked), max(numbers))
    votes = np.zeros((len(asked), ends.max() + 1), dtype=int)
    asked_number, n_counted, by_number = np.arange(len(asked)), 0, []
    for k in sorted(numbers):
        for column in range(n_counted, k):
            votes[asked_number, ends[nearest[:, column]]] += 1
        n_counted = k
        by_number.append(votes.argmax(1))
    return by_number
