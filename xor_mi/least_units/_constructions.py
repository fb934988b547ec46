"""a function -> networks that certainly compute it, made by hand: a bound on the units it needs.

There are two ways, and for each output the smaller network is used. *Along a line*: if a function
depends on weights . inputs alone, it changes k times along that line. One step at every change is
enough (the staircase), or one ReLU at every bend of a zigzag; from four changes on, one ReLU fewer
is enough, if one ReLU faces the other way. With direct connections the line itself falls, and half
as many steps lift it again. *By products*: one unit for each product of a short sum of products of
the function or of its complement.
"""

from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from xor_mi.least_units._layer import Layer
from xor_mi.least_units._units import Form
from xor_mi.truth import BooleanFunction
from xor_mi.truth._two_level import MAX_TWO_LEVEL_INPUTS, shortest_sum

MOST_INPUTS_ALL_LINES = 6
"""For up to so many inputs, all lines with weights -1, 0 and 1 are tried."""


def built(function: BooleanFunction, form: Form, *, direct: bool) -> Layer:
    """The smallest layer made by hand; for several outputs, their units together.

    A unit that two outputs need is used for both.
    """
    own_form: Form = "step" if form in ("step", "clip") else "relu"
    parts = [_smallest(one, own_form, direct=direct) for one in function.outputs]
    return _together(parts, function, direct=direct).of_form(form)


def _smallest(function: BooleanFunction, form: Form, *, direct: bool) -> Layer:
    """The smallest layer for one output."""
    bits = np.array(function.bits)
    rows = np.array(function.rows())
    runs = _best_line(rows, bits)
    along_a_line = _along_a_line(*runs, form=form, direct=direct)
    by_products = _by_products(function.n_inputs, bits, form, direct)
    return min(along_a_line, by_products, key=lambda layer: layer.n_units)


Runs = tuple[Int[ndarray, " input"], int, Float[ndarray, " change"], float]
"""The weights of a line, the bit at its beginning, the places where it changes, and its end."""


def _best_line(rows: Int[ndarray, "row input"], bits: Int[ndarray, " row"]) -> Runs:
    """The line along which the function changes least often."""
    n_inputs = rows.shape[1]
    # the line by the number of the row, on which every row has its own place
    lines = [1 << np.arange(n_inputs)[::-1], np.ones(n_inputs, dtype=np.int64)]
    if n_inputs <= MOST_INPUTS_ALL_LINES:
        lines += [np.array(line) for line in product((-1, 0, 1), repeat=n_inputs)]
    found = [runs for line in lines if (runs := _runs(line, rows, bits)) is not None]
    return min(found, key=lambda runs: len(runs[2]))


def _runs(
    line: Int[ndarray, " input"], rows: Int[ndarray, "row input"], bits: Int[ndarray, " row"]
) -> Runs | None:
    """Where the function changes along a line; None if one place has both bits."""
    places = rows @ line
    # at each place rows decided 0 come first, so that a place with both bits has a change in it
    order = np.lexsort((bits, places))
    along, decided = places[order], bits[order]
    changes = np.flatnonzero(np.diff(decided))
    if (along[changes] == along[changes + 1]).any():
        return None
    return line, int(decided[0]), (along[changes] + along[changes + 1]) / 2, float(along[-1])


def _along_a_line(
    line: Int[ndarray, " input"],
    first: int,
    changes: Float[ndarray, " change"],
    end: float,
    *,
    form: Form,
    direct: bool,
) -> Layer:
    """Units that all read along one line, and an output that changes where it should.

    Everything is written for a function that begins with 1, and negated if it begins with 0.
    """
    if form == "step":
        ahead, at, heights, slope, start = (
            _sawtooth(changes, end) if direct else _staircase(changes)
        )
        # the input of a step is twice the distance from the change, so it is at least 1
        ahead = 2 * ahead
    else:
        ahead, at, heights, slope, start = _zigzag(changes, direct=direct)
    sign = 1 if first else -1
    return Layer(
        form=form,
        weights=np.outer(ahead, line).astype(np.float64),
        biases=-ahead * at,
        readout=sign * heights[None],
        out_biases=np.array([sign * start]),
        direct=sign * slope * line[None].astype(np.float64) if direct else None,
    )


Profile = tuple[
    Float[ndarray, " unit"], Float[ndarray, " unit"], Float[ndarray, " unit"], float, float
]
"""For each unit its direction (1 or -1), its place and its height; then the slope of the line
itself, and the output at place 0 without any unit.
"""


def _staircase(changes: Float[ndarray, " change"]) -> Profile:
    """The output begins at 1, and goes down and up by 2 at the changes."""
    heights = np.array([-2.0 if k % 2 == 0 else 2.0 for k in range(len(changes))])
    return np.ones(len(changes)), changes, heights, 0.0, 1.0


def _sawtooth(changes: Float[ndarray, " change"], end: float) -> Profile:
    """The output falls through zero at changes 1, 3, ...; steps lift it at those between."""
    if not len(changes):
        return np.ones(0), changes, np.ones(0), 0.0, 1.0
    falls = changes[0::2]
    lifts = changes[1::2]
    # after the last step it stays above zero to the end of the line, or falls through zero once
    # more
    next_falls = np.append(falls[1:], end + 1)[: len(lifts)]
    return np.ones(len(lifts)), lifts, next_falls - falls[: len(lifts)], -1.0, float(falls[0])


def _zigzag(changes: Float[ndarray, " change"], *, direct: bool) -> Profile:
    """The output consists of straight pieces, each of which goes through zero at one change."""
    n = len(changes)
    if n == 0:
        return np.ones(0), changes, np.ones(0), 0.0, 1.0
    slopes = np.array([-1.0 if k % 2 == 0 else 1.0 for k in range(n)])
    is_turned = not direct and n >= 4
    if is_turned:
        # the unit of the third bend faces backwards: its height is minus the slope of the first
        # piece
        slopes[0] = -2.0
    bends = slopes[:-1] * changes[:-1] - slopes[1:] * changes[1:]
    bends = bends / (slopes[:-1] - slopes[1:])
    heights = np.diff(slopes)
    ahead = np.ones(n - 1)
    if direct:
        return ahead, bends, heights, slopes[0], float(-slopes[0] * changes[0])
    if is_turned:
        ahead[2] = -1.0
        start = float(-heights[2] * (bends[2] - changes[0]))
        return ahead, bends, heights, 0.0, start
    # the output is constant up to half a place before the first change
    bends = np.append(changes[0] - 0.5, bends)
    heights = np.append(slopes[0], heights)
    return np.append(1.0, ahead), bends, heights, 0.0, 0.5


def _by_products(n_inputs: int, bits: Int[ndarray, " row"], form: Form, direct: bool) -> Layer:
    """One unit for each product: its sum is 1 where all literals hold, and below zero elsewhere."""
    covers = [(wanted, _products(n_inputs, bits == wanted)) for wanted in (1, 0)]
    wanted, products = min(covers, key=lambda cover: len(cover[1]))
    literals = np.array(products, dtype=np.float64).reshape(-1, n_inputs)
    biases = 1.0 - (literals > 0).sum(axis=1)
    # the sum of a step must be at least 1 from zero on both sides
    scale, shift = (2.0, -1.0) if form == "step" else (1.0, 0.0)
    sign = 1.0 if wanted else -1.0
    return Layer(
        form=form,
        weights=scale * literals,
        biases=scale * biases + shift,
        readout=np.full((1, len(literals)), 2.0 * sign),
        out_biases=np.array([-sign]),
        direct=np.zeros((1, n_inputs)) if direct else None,
    )


Cover = list[Int[ndarray, " input"]]
"""Products: for each input 1 if it must be 1, -1 if it must be 0, and 0 if it may be either."""


def _products(n_inputs: int, is_wanted: Bool[ndarray, " row"]) -> Cover:
    """A few products that together hold on exactly the wanted rows."""
    as_it_comes = _greedy_cover(n_inputs, is_wanted)
    if n_inputs > MAX_TWO_LEVEL_INPUTS:
        return as_it_comes
    wanted = sum(1 << int(row) for row in np.flatnonzero(is_wanted))
    chosen: Cover = []
    for product_of_literals in shortest_sum(n_inputs, wanted, plain=1):
        literals = np.zeros(n_inputs, dtype=np.int64)
        for index, bit in product_of_literals:
            literals[index] = 2 * bit - 1
        chosen.append(literals)
    return min(chosen, as_it_comes, key=len)


def _greedy_cover(n_inputs: int, is_wanted: Bool[ndarray, " row"]) -> Cover:
    """For one row after another, a product that holds there, made as large as possible."""
    # a product holds on a part of the cube: one bit for each input that it reads, both for the
    # others
    cube = is_wanted.reshape((2,) * n_inputs)
    left = cube.copy()
    products: Cover = []
    while left.any():
        first = np.unravel_index(int(left.argmax()), left.shape)
        part: list[int | slice] = [int(bit) for bit in first]
        literals = 2 * np.array(part) - 1
        for index in range(n_inputs):
            wider = [*part[:index], slice(None), *part[index + 1 :]]
            if cube[tuple(wider)].all():
                part = wider
                literals[index] = 0
        products.append(literals)
        left[tuple(part)] = False
    return products


def _together(parts: list[Layer], function: BooleanFunction, *, direct: bool) -> Layer:
    """The units of all outputs in one layer, without duplicates."""
    units: dict[tuple[float, ...], int] = {}
    places = []
    for part in parts:
        both = np.concatenate([part.weights, part.biases[:, None]], axis=1)
        places.append([units.setdefault(tuple(unit.tolist()), len(units)) for unit in both])
    readout = np.zeros((len(parts), len(units)))
    for output, (part, at) in enumerate(zip(parts, places, strict=True)):
        np.add.at(readout[output], at, part.readout[0])
    found = np.array(list(units), dtype=np.float64).reshape(-1, function.n_inputs + 1)
    return Layer(
        form=parts[0].form,
        weights=found[:, :-1],
        biases=found[:, -1],
        readout=readout,
        out_biases=np.array([part.out_biases[0] for part in parts]),
        direct=np.concatenate([_direct(part) for part in parts]) if direct else None,
    )


def _direct(part: Layer) -> Float[ndarray, "1 input"]:
    assert part.direct is not None
    return part.direct
