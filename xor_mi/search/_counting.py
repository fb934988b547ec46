"""a network -> how many of its subcircuits decide every row right, without listing them: exact, at
sizes far beyond memory.

The condition that every kept unit of the layer before is read is lifted by inclusion and exclusion:
over all sets S of units that may be read, with sign (-1)^(units not in S). What is left is free:
every unit of the last hidden layer takes one of its options (dropped, or a set of kept sources)
independently, and adds its contribution to each row's output. Two halves of the units are added up
separately; a left and a right half fit together if on every row their sum lies on the right side,
which only asks where the right half's value stands among the sorted bounds that the left halves
leave: whole numbers of 16 bits are compared, all pairs at once."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import comb
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from xor_mi.errors import XorMiError
from xor_mi.search._convention import Convention
from xor_mi.search._subcircuits import Problem, problem_of

MAX_LEFT = 32_000
"""The left half's size: its ranks are 16-bit numbers."""
MAX_RIGHT = 2**24
"""The right half's size; a wider network is refused."""
PAIRS_AT_ONCE = 2**20


def count_perfect_subcircuits(
    model: Any, target: Any = None, *, convention: Any = None, progress: bool = True
) -> int:
    """How many subcircuits decide every row right; the same number as
    `find_subcircuits(...).n_perfect`.

    For one output, and one or two hidden layers.

    >>> from xor_mi.handmade import textbook_xor
    >>> count_perfect_subcircuits(textbook_xor())
    1

    Raises:
        XorMiError: other shapes, an output activation that is not increasing, or a last hidden
            layer too wide to be counted.
    """
    convention = Convention.of(convention)
    setting = problem_of(model, target, convention)
    sizes = model.layer_sizes
    if sizes[-1] != 1 or len(sizes) > 4:
        raise XorMiError(
            f"counting without listing is for one output and one or two hidden layers, not {sizes}; use find_subcircuits"
        )
    bounds = _bounds(setting)
    total = _count(setting, sizes, bounds, progress, all_on=False)
    return (
        total
        if convention.all_units
        else total - _count(setting, sizes, bounds, progress, all_on=True)
    )


def _bounds(setting: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The bounds on each row's output before its activation function, low and high, [row]."""
    name = setting.model.cfg.out_act_fn
    slope = setting.model.cfg.negative_slope
    inverse: dict[str, Any] = {
        "identity": lambda y: y,
        "leaky_relu": lambda y: np.where(y > 0, y, y / slope),
        "tanh": lambda y: np.where(
            y <= -1, -np.inf, np.where(y >= 1, np.inf, np.arctanh(np.clip(y, -1 + 1e-300, 1)))
        ),
        "sigmoid": lambda y: np.where(
            y <= 0,
            -np.inf,
            np.where(y >= 1, np.inf, np.log(np.clip(y, 1e-300, 1) / np.clip(1 - y, 1e-300, 1))),
        ),
    }
    if name not in inverse or (name == "leaky_relu" and slope <= 0):
        raise XorMiError(f"the output activation {name} cannot be undone; use find_subcircuits")
    with np.errstate(invalid="ignore", divide="ignore"):
        return inverse[name](setting.low[:, 0]), inverse[name](setting.high[:, 0])


def _count(
    setting: Problem,
    sizes: Sequence[int],
    bounds: tuple[np.ndarray, np.ndarray],
    progress: bool,
    all_on: bool,
) -> int:
    """Perfect subcircuits, or of these only the ones that keep every hidden unit."""
    total = 0
    first = list(_first_layers(setting, sizes, all_on))
    for sign, kept, values in tqdm(
        first, desc="counting", unit="configuration", delay=2, disable=None if progress else True
    ):
        total += sign * _fitting(setting, len(sizes) - 3, kept, values, bounds, all_on)
    return total


def _first_layers(
    setting: Problem, sizes: Sequence[int], all_on: bool
) -> Iterator[tuple[int, list[int], np.ndarray]]:
    """What the last hidden layer may read: (sign and multiplicity, source indices, their values
    [source, row]).
    """
    n_inputs, rows = sizes[0], setting.rows.T
    if len(sizes) == 3:
        for kept in _subsets(range(n_inputs)):
            if kept:
                yield (-1) ** (n_inputs - len(kept)), kept, rows[kept]
        return
    weight, bias, means = setting.layers[0]
    values = {}
    for unit, mask in product(range(sizes[1]), range(1, 2**n_inputs)):
        bits = (mask >> np.arange(n_inputs)) & 1
        values[unit, mask] = setting.activate(
            weight[unit] * bits @ (rows - means[:, None]) + bias[unit] + weight[unit] @ means, 0
        )
    for masks in product(range(2**n_inputs), repeat=sizes[1]):
        kept = [unit for unit, mask in enumerate(masks) if mask]
        free = [i for i in range(n_inputs) if not any(mask >> i & 1 for mask in masks)]
        rest = sizes[1] - len(kept)
        # the other units may be there unread, each with any set of inputs, as long as every input
        # is read by someone
        there = 0 if all_on else 1
        sign = sum(
            (-1) ** t * comb(len(free), t) * (there - (2 ** (n_inputs - t) - 1)) ** rest
            for t in range(len(free) + 1)
        )
        if sign and kept:
            yield sign, kept, np.array([values[unit, masks[unit]] for unit in kept])


def _subsets(things: Sequence[int]) -> Iterator[list[int]]:
    for mask in range(2 ** len(things)):
        yield [thing for k, thing in enumerate(things) if mask >> k & 1]


def _fitting(
    setting: Problem,
    layer: int,
    kept: list[int],
    values: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    all_on: bool,
) -> int:
    """How many choices of one option per unit of the last hidden layer decide every row right."""
    weight, bias, means = setting.layers[layer]
    readout, offset, carried = setting.layers[layer + 1]
    subsets = (np.arange(2 ** len(kept))[:, None] >> np.arange(len(kept))) & 1
    pre = (weight[:, None, kept] * subsets) @ (values - means[kept][:, None]) + (
        bias + weight @ means
    )[:, None, None]
    added = readout[0][:, None, None] * (
        setting.activate(pre, layer) - carried[:, None, None]
    )  # [unit, option, row]
    added[:, 0] = 0  # the empty subset: dropped
    units = [
        np.unique(options[1 if all_on else 0 :], axis=0, return_counts=True) for options in added
    ]
    units.sort(key=lambda unit: len(unit[1]))
    split, left_size = 0, 1
    while split < len(units) // 2 and left_size * len(units[split][1]) <= MAX_LEFT:
        left_size *= len(units[split][1])
        split += 1
    right_size = np.prod([float(len(counts)) for _, counts in units[split:]])
    if right_size > MAX_RIGHT:
        raise XorMiError(
            f"{right_size:.0f} combinations in one half of the last hidden layer; at most {MAX_RIGHT}: the layer is too wide"
        )
    base = offset[0] + readout[0] @ carried
    found = _pairs(_sums(units[:split], base), _sums(units[split:], 0.0), bounds)
    unread = not all_on and bool(
        ((base > bounds[0]) & (base < bounds[1])).all()
    )  # every unit dropped: the output would read nothing
    return found - unread


Sums = tuple[np.ndarray, np.ndarray]
"""Values [combination, row] and how often each occurs [combination]."""


def _sums(units: Sequence[Sums], offset: float) -> Sums:
    """One option per unit, added up in every combination."""
    rows = units[0][0].shape[1] if units else 1
    total, times = np.full((1, rows), offset), np.ones(1, dtype=np.int64)
    for options, counts in units:
        total = (total[:, None] + options).reshape(-1, rows)
        times = (times[:, None] * counts).reshape(-1)
    return total, times


def _pairs(left: Sums, right: Sums, bounds: tuple[np.ndarray, np.ndarray]) -> int:
    """How many (left, right) combinations, with multiplicity, lie strictly between the bounds on
    every row.
    """
    ranks, places = [], []
    for row, (low, high) in enumerate(zip(*bounds, strict=True)):
        for sign, bound in ((1, low), (-1, high)):
            if np.isfinite(bound):  # sign * right > sign * (bound - left)
                limits = sign * (bound - left[0][:, row])
                order = np.argsort(limits, kind="stable")
                rank = np.empty(len(limits), dtype=np.int16)
                rank[order] = np.arange(len(limits))
                ranks.append(rank)
                places.append(
                    np.searchsorted(limits[order], sign * right[0][:, row], side="left").astype(
                        np.int16
                    )
                )
            elif sign * bound == np.inf:
                return 0
    possible = np.all([place > 0 for place in places], axis=0)
    places, times = (
        [torch.from_numpy(place[possible]) for place in places],
        torch.from_numpy(right[1][possible]),
    )
    if not len(times):
        return 0
    useful = np.all(
        [rank < int(place.max()) for rank, place in zip(ranks, places, strict=True)], axis=0
    )
    ranks, weights = (
        [torch.from_numpy(rank[useful]) for rank in ranks],
        torch.from_numpy(left[1][useful]),
    )
    once = bool((times == 1).all())
    step, total = max(1, PAIRS_AT_ONCE // len(times)), 0
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        fits = places[0] > ranks[0][part, None]
        for place, rank in zip(places[1:], ranks[1:], strict=True):
            fits &= place > rank[part, None]
        found = fits.sum(1) if once else (fits * times).sum(1)
        total += int((found * weights[part]).sum())
    return total
