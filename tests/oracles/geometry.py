"""Where a network of affine pieces bends and decides otherwise, in exact fractions.

Every weight is a float, and every float is a fraction: lines, corners, kinks and decisions are
computed without any rounding. One hidden layer after another, one unit after another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

Layer = tuple[Sequence[Sequence[float]], Sequence[float]]
"""Weights [d_out][d_in] and biases [d_out]."""

Point = tuple[Fraction, ...]

Map = tuple[tuple[Fraction, ...], Fraction]
"""The slopes and the constant of one affine value."""

Stretch = tuple[Fraction | None, Fraction | None]
"""From where to where on a line; None has no end."""


@dataclass(frozen=True)
class Activation:
    """Affine pieces: `kinks` between them, and a slope and a constant for each."""

    kinks: tuple[Fraction, ...]
    slopes: tuple[Fraction, ...]
    constants: tuple[Fraction, ...]
    kink_is_above: bool = False

    def state(self, value: Fraction) -> int:
        """How many kinks a value is past."""
        above = self.kink_is_above
        return sum(value > kink or (above and value == kink) for kink in self.kinks)

    def of(self, value: Fraction) -> Fraction:
        """What a unit with this pre-activation gives."""
        state = self.state(value)
        return self.slopes[state] * value + self.constants[state]

    def size_of(self, terms: Fraction) -> Fraction:
        """How large what a unit gives may be, if what it adds up is at most so large."""
        constants = max(map(abs, self.constants))
        if not any(self.slopes):
            return constants
        return max(map(abs, self.slopes)) * terms + constants


def activation(
    name: str, negative_slope: float = 0.01, *, step_at_zero: bool = False
) -> Activation:
    """An activation by its name."""
    zero, one = Fraction(0), Fraction(1)
    made = {
        "relu": ([zero], [zero, one], [zero, zero]),
        "leaky_relu": ([zero], [Fraction(negative_slope), one], [zero, zero]),
        "relu6": ([zero, 6 * one], [zero, one, zero], [zero, zero, 6 * one]),
        "hardtanh": ([-one, one], [zero, one, zero], [-one, zero, one]),
        "identity": ([], [one], [zero]),
        "heaviside": ([zero], [zero, zero], [zero, one]),
        "sign": ([zero], [zero, zero], [-one, one]),
    }
    kinks, slopes, constants = map(tuple, made[name])
    return Activation(kinks, slopes, constants, step_at_zero and name in ("heaviside", "sign"))


@dataclass(frozen=True)
class Network:
    """Layers, the activation of every hidden layer, and how it decides.

    Attributes:
        direct: weights [d_out][d_in] from the inputs to the outputs, or none.
        cut: an output above it is decided 1. None for argmax over two outputs.
    """

    layers: tuple[Layer, ...]
    hidden: Activation
    cut: float | None = 0.0
    direct: Sequence[Sequence[float]] | None = None

    def maps(self, layer: int, read: Sequence[Map], inputs: Sequence[Map]) -> list[Map]:
        """What a layer adds up, of affine values that it reads."""
        weights, biases = self.layers[layer]
        is_last = layer == len(self.layers) - 1
        sums = []
        for j, (row, bias) in enumerate(zip(weights, biases, strict=True)):
            terms = list(zip(map(Fraction, row), read, strict=True))
            if is_last and self.direct is not None:
                terms += zip(map(Fraction, self.direct[j]), inputs, strict=True)
            sums.append(combined(terms, Fraction(bias)))
        return sums

    def scores(self, outputs: Sequence[Map]) -> list[Map]:
        """What each decision is made by: it is 1 above zero, 0 below."""
        if self.cut is None:
            one = Fraction(1)
            return [combined([(one, outputs[1]), (-one, outputs[0])], Fraction(0))]
        return [(slopes, constant - Fraction(self.cut)) for slopes, constant in outputs]

    def decisions(self, point: Sequence[Fraction | float]) -> list[int]:
        """1, 0, or -1 for undecided, at one input."""
        inputs: list[Map] = [((), Fraction(value)) for value in point]
        read = inputs
        for layer in range(len(self.layers)):
            read = self.maps(layer, read, inputs)
            if layer < len(self.layers) - 1:
                read = [((), self.hidden.of(value)) for _, value in read]
        return [decided(value) for _, value in self.scores(read)]


def combined(terms: Sequence[tuple[Fraction, Map]], bias: Fraction) -> Map:
    """A weighted sum of affine values."""
    width = len(terms[0][1][0]) if terms else 0
    slopes = tuple(sum((w * m[0][k] for w, m in terms), Fraction(0)) for k in range(width))
    return slopes, sum((w * m[1] for w, m in terms), bias)


def decided(score: Fraction) -> int:
    """1 above zero, 0 below, -1 on it."""
    return -1 if score == 0 else int(score > 0)


def value_at(value: Map, point: Sequence[Fraction]) -> Fraction:
    """An affine value at one point."""
    slopes, constant = value
    return sum((s * x for s, x in zip(slopes, point, strict=True)), constant)


# a plane


@dataclass(frozen=True)
class Region:
    """A convex polygon, its units' states layer by layer, and the outputs' maps on it."""

    corners: tuple[Point, ...]
    states: tuple[int, ...]
    outputs: tuple[Map, ...]

    @property
    def area(self) -> Fraction:
        """By the shoelace formula."""
        return area_of(self.corners)


def area_of(corners: Sequence[Point]) -> Fraction:
    """The area of a polygon whose corners run counter-clockwise."""
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum((a[0] * b[1] - b[0] * a[1] for a, b in pairs), Fraction(0)) / 2


def parted(corners: Sequence[Point], value: Map) -> list[list[Point]]:
    """A convex polygon, cut where an affine value is zero; itself where it is not cut."""
    at = [value_at(value, corner) for corner in corners]
    if all(v >= 0 for v in at) or all(v <= 0 for v in at):
        return [list(corners)]
    halves = []
    for sign in (-1, 1):
        half: list[Point] = []
        for k, corner in enumerate(corners):
            following = (k + 1) % len(corners)
            here, there = sign * at[k], sign * at[following]
            if here >= 0:
                half.append(corner)
            if here * there < 0:
                share = here / (here - there)
                ends = zip(corner, corners[following], strict=True)
                half.append(tuple(a + share * (b - a) for a, b in ends))
        halves.append(half)
    return halves


def regions(net: Network, box: Sequence[Sequence[float]]) -> list[Region]:
    """The pieces of a rectangle on which a network of two inputs is affine."""
    (left, right), (low, high) = [tuple(map(Fraction, side)) for side in box]
    whole = ((left, low), (right, low), (right, high), (left, high))
    one, zero = Fraction(1), Fraction(0)
    inputs: list[Map] = [((one, zero), zero), ((zero, one), zero)]
    pieces: list[tuple[tuple[Point, ...], list[Map], tuple[int, ...]]] = [(whole, inputs, ())]
    for layer in range(len(net.layers)):
        pieces = [(c, net.maps(layer, read, inputs), s) for c, read, s in pieces]
        if layer < len(net.layers) - 1:
            pieces = [part for piece in pieces for part in _bent(net.hidden, *piece)]
    return [Region(tuple(c), s, tuple(outputs)) for c, outputs, s in pieces]


def _bent(
    unit: Activation, corners: Sequence[Point], values: list[Map], states: tuple[int, ...]
) -> list[tuple[tuple[Point, ...], list[Map], tuple[int, ...]]]:
    parts = [list(corners)]
    for slopes, constant in values:
        for kink in unit.kinks:
            parts = [half for part in parts for half in parted(part, (slopes, constant - kink))]
    made = []
    for part in parts:
        center = tuple(sum(c[k] for c in part) / len(part) for k in range(2))
        own = [unit.state(value_at(value, center)) for value in values]
        given = [
            (tuple(unit.slopes[s] * w for w in slopes), unit.slopes[s] * c + unit.constants[s])
            for s, (slopes, c) in zip(own, values, strict=True)
        ]
        made.append((tuple(part), given, (*states, *own)))
    return made


def lines(layer: Layer, box: Sequence[Sequence[float]]) -> dict[int, tuple[Point, Point]]:
    """unit -> the two ends inside a rectangle of the line on which it is zero."""
    sides = [tuple(map(Fraction, side)) for side in box]
    found = {}
    for j, (row, bias) in enumerate(zip(*layer, strict=True)):
        w, b = tuple(map(Fraction, row)), Fraction(bias)
        ends: set[Point] = set()
        for axis in (0, 1):
            for at in sides[axis]:
                if w[1 - axis]:
                    other = -(b + w[axis] * at) / w[1 - axis]
                    if sides[1 - axis][0] <= other <= sides[1 - axis][1]:
                        ends.add((at, other) if axis == 0 else (other, at))
        if len(ends) >= 2:
            found[j] = (min(ends), max(ends))
    return found


# a line


@dataclass(frozen=True)
class Piece:
    """A stretch of a line, the states of the units on it, and the scores there."""

    low: Fraction | None
    high: Fraction | None
    states: tuple[int, ...]
    scores: tuple[Map, ...]


def pieces_on_line(
    net: Network, layer: int, sums: Sequence[Map], inputs: Sequence[Map], ends: Stretch
) -> list[Piece]:
    """Pre-activations of one layer, affine in t -> the pieces of t.

    They are cut where a score is zero too. Without `ends` t runs without end.
    """
    parts: list[tuple[Stretch, list[Map], tuple[int, ...]]] = [(ends, list(sums), ())]
    for number in range(layer, len(net.layers)):
        if number > layer:
            parts = [(at, net.maps(number, read, inputs), s) for at, read, s in parts]
        if number < len(net.layers) - 1:
            parts = [new for part in parts for new in _bent_on_line(net.hidden, *part)]
    found = []
    for at, outputs, states in parts:
        scores = net.scores(outputs)
        for low, high in _stretches(at, [(score, Fraction(0)) for score in scores]):
            found.append(Piece(low, high, states, tuple(scores)))
    return found


def _stretches(at: Stretch, crossed: Sequence[tuple[Map, Fraction]]) -> list[Stretch]:
    low, high = at
    cuts = {
        (kink - constant) / slope for ((slope,), constant), kink in crossed if slope != 0
    }  # fmt: skip
    inside = sorted(
        t for t in cuts if (low is None or t > low) and (high is None or t < high)
    )  # fmt: skip
    edges = [low, *inside, high]
    return list(pairwise(edges))


def _bent_on_line(
    unit: Activation, at: Stretch, values: list[Map], states: tuple[int, ...]
) -> list[tuple[Stretch, list[Map], tuple[int, ...]]]:
    made = []
    crossed = [(value, kink) for value in values for kink in unit.kinks]
    for stretch in _stretches(at, crossed):
        middle = (inside(stretch),)
        own = [unit.state(value_at(value, middle)) for value in values]
        given = [
            ((unit.slopes[s] * slope,), unit.slopes[s] * c + unit.constants[s])
            for s, ((slope,), c) in zip(own, values, strict=True)
        ]
        made.append((stretch, given, (*states, *own)))
    return made


def inside(stretch: Stretch) -> Fraction:
    """A number between two ends."""
    low, high = stretch
    if low is None:
        return Fraction(0) if high is None else high - 1
    return low + 1 if high is None else (low + high) / 2


def on_line(
    net: Network, start: Sequence[float], end: Sequence[float]
) -> tuple[list[Fraction], list[tuple[Fraction, int, int, int]]]:
    """The straight way from one input to another: where units turn, and where decisions change.

    The latter as (t, decision, before, after).
    """
    inputs: list[Map] = [
        ((Fraction(b) - Fraction(a),), Fraction(a)) for a, b in zip(start, end, strict=True)
    ]
    ends = (Fraction(0), Fraction(1))
    pieces = pieces_on_line(net, 0, net.maps(0, inputs, inputs), inputs, ends)
    return _turns(pieces), _changes(pieces)


def _turns(pieces: Sequence[Piece]) -> list[Fraction]:
    return [b.low for a, b in pairwise(pieces) if a.states != b.states and b.low is not None]


def _changes(pieces: Sequence[Piece]) -> list[tuple[Fraction, int, int, int]]:
    changes = []
    for before, after in pairwise(pieces):
        assert after.low is not None
        for k in range(len(before.scores)):
            was, becomes = (_decision_on(piece, k) for piece in (before, after))
            if was != becomes:
                changes.append((after.low, k, was, becomes))
    return changes


def _decision_on(piece: Piece, number: int) -> int:
    return decided(value_at(piece.scores[number], (inside((piece.low, piece.high)),)))


def slack(
    net: Network, rows: Sequence[Sequence[float]], layer: int, unit: int, source: int | None
) -> tuple[Fraction | None, Fraction | None]:
    """How far one weight may move down and up before a decision on a row changes.

    None where no value changes one.
    """
    nearest: list[list[Fraction]] = [[], []]
    for row in rows:
        here = net.decisions(row)
        inputs: list[Map] = [((Fraction(0),), Fraction(value)) for value in row]
        read = inputs
        for number in range(layer):
            sums = net.maps(number, read, inputs)
            read = [((Fraction(0),), net.hidden.of(value)) for _, value in sums]
        own = net.maps(layer, read, inputs)
        is_last = layer == len(net.layers) - 1
        sources = [*read, *inputs] if is_last and net.direct is not None else list(read)
        by = Fraction(1) if source is None else sources[source][1]
        own[unit] = ((by,), own[unit][1])
        for piece in pieces_on_line(net, layer, own, inputs, (None, None)):
            differs = any(_decision_on(piece, k) != was for k, was in enumerate(here))
            if not differs:
                continue
            if piece.high is None or piece.high > 0:
                nearest[1].append(max(piece.low or Fraction(0), Fraction(0)))
            if piece.low is None or piece.low < 0:
                nearest[0].append(max(-(piece.high or Fraction(0)), Fraction(0)))
    down, up = (min(found) if found else None for found in nearest)
    return down, up


def n_pieces(
    lines: Sequence[Sequence[float]],
    box: tuple[tuple[float, float], tuple[float, float]],
) -> int:
    """How many pieces the lines a x + b y + c = 0 cut a rectangle into.

    By Euler's formula: one, one more for each line inside, and for each point inside where some of
    them meet one less than meet there.
    """
    inside: set[tuple[Fraction, Fraction, Fraction]] = set()
    corners = [(Fraction(x), Fraction(y)) for x in box[0] for y in box[1]]
    for a, b, c in lines:
        if not (a or b):
            continue
        scale = Fraction(a or b)
        line = Fraction(a) / scale, Fraction(b) / scale, Fraction(c) / scale
        sides = [line[0] * x + line[1] * y + line[2] for x, y in corners]
        if min(sides) < 0 < max(sides):
            inside.add(line)
    meeting: dict[tuple[Fraction, Fraction], set[tuple[Fraction, Fraction, Fraction]]] = {}
    ordered = sorted(inside)
    for k, first in enumerate(ordered):
        for other in ordered[k + 1 :]:
            determinant = first[0] * other[1] - first[1] * other[0]
            if not determinant:
                continue
            x = (first[1] * other[2] - other[1] * first[2]) / determinant
            y = (other[0] * first[2] - first[0] * other[2]) / determinant
            if box[0][0] < x < box[0][1] and box[1][0] < y < box[1][1]:
                meeting.setdefault((x, y), set()).update((first, other))
    return 1 + len(inside) + sum(len(met) - 1 for met in meeting.values())
