"""Randomly drawn networks, divided by the package and in exact fractions."""

import random
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import torch
from oracles import geometry as exact

from xor_mi.geometry import boundary, input_plane, path, regions
from xor_mi.margins import slack_to_flip
from xor_mi.model import HookedMLP

ACTIVATIONS = ("relu", "leaky_relu", "hardtanh", "relu6", "identity", "heaviside", "sign")
SCALES = (1.0, 1.0, 1e-8, 1e8)
BOXES = (
    ((-0.5, 1.5), (-0.5, 1.5)),
    ((0.0, 1.0), (0.0, 1.0)),
    ((-1.0, 1.0), (-2.0, 0.5)),
    ((1000.0, 1001.0), (-1.0, 1.0)),
    ((-5e-4, 5e-4), (0.25, 0.2505)),
    ((-5e3, 5e3), (-1e4, 2e4)),
)
NEAR = 1e-9
"""How far a place may lie from the exact one, against the box or the way."""

ROUNDING = 1e-13
"""A sum this near to a kink, against its terms, may be on either side of it in float64."""


def drawn_layer(
    rng: random.Random, n_inputs: int, n_units: int, corners: list[tuple[float, ...]]
) -> exact.Layer:
    """Integers, tenths, axis-aligned, duplicated and any other weights, all of one scale; lines
    through 0, through corners, and anywhere.
    """
    scale = rng.choice(SCALES)
    weights: list[list[float]] = []
    biases: list[float] = []
    for _ in range(n_units):
        kind = rng.choice(("integer", "tenths", "axis", "any", "copy"))
        if kind == "copy" and weights:
            k, factor = rng.randrange(len(weights)), rng.choice((1.0, 2.0, -1.0, 3.0, 0.1))
            weights.append([factor * w for w in weights[k]])
            biases.append(factor * biases[k])
            continue
        row = [
            rng.gauss(0, 1) if kind == "any" else float(rng.randint(-3, 3)) for _ in range(n_inputs)
        ]
        if kind == "tenths":
            row = [w / 10 for w in row]
        if kind == "axis":
            axis = rng.randrange(n_inputs)
            row = [w if i == axis else 0.0 for i, w in enumerate(row)]
        bias = rng.choice((0.0, float(rng.randint(-2, 2)), rng.gauss(0, 1)))
        if rng.random() < 0.5:
            corner = rng.choice(corners)
            bias = -sum(w * x for w, x in zip(row, corner, strict=True))
        weights.append([scale * w for w in row])
        biases.append(scale * bias)
    return weights, biases


def drawn_network(
    rng: random.Random, box: tuple[tuple[float, float], ...], *, any_rule: bool = True
) -> tuple[HookedMLP, exact.Network]:
    """One or two hidden layers, the same network for the package and for the oracle."""
    act_fn = rng.choice(ACTIVATIONS)
    slope = rng.choice((0.01, 0.5, -0.25))
    at_zero = rng.random() < 0.5
    by_argmax = any_rule and rng.random() < 0.25
    is_direct = any_rule and rng.random() < 0.25
    sizes = [len(box), *(rng.randint(1, 4) for _ in range(rng.choice((1, 1, 2)))), 1 + by_argmax]
    corners = [*product(*box), tuple(sum(side) / 2 for side in box)]
    layers = [drawn_layer(rng, sizes[0], sizes[1], corners)]
    for a, b in pairwise(sizes[1:]):
        layers.append(drawn_layer(rng, a, b, [(0.0,) * a]))
    direct = drawn_layer(rng, sizes[0], sizes[-1], corners)[0] if is_direct else None
    cut = None if by_argmax else rng.choice((0.0, 0.0, 0.5, -0.1))
    settings = {"act_fn": act_fn, "negative_slope": slope}
    if act_fn in ("heaviside", "sign"):
        settings["step_at_zero"] = int(at_zero)
    if by_argmax:
        settings["decision_rule"] = "argmax"
    else:
        settings["decision_threshold"] = cut
    if is_direct:
        settings["direct"] = torch.tensor(direct, dtype=torch.float64)
    tensors = [tuple(torch.tensor(v, dtype=torch.float64) for v in layer) for layer in layers]
    model = HookedMLP.from_weights(tensors, **settings)
    hidden = exact.activation(act_fn, slope, step_at_zero=at_zero)
    return model, exact.Network(tuple(layers), hidden, cut, direct)


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """One network: how many comparisons were made, and what differs."""
    box = rng.choice(BOXES)
    model, net = drawn_network(rng, box)
    said = f"{net} in {box}"
    found: list[str] = []
    n_made = 0
    for check in (compare_lines, compare_regions, compare_boundary, compare_path, compare_slack):
        n, lines = check(model, net, box, rng)
        n_made += n
        found += [f"{check.__name__}: {line}: {said}" for line in lines]
    return n_made, found


def compare_lines(model, net, box, rng) -> tuple[int, list[str]]:
    """The lines of the first layer."""
    theirs = exact.lines(net.layers[0], box)
    ours = {
        unit.index: ends for unit, ends in input_plane(model, bounds=box, n_points=2).lines.items()
    }
    right = {j: tuple(tuple(map(float, end)) for end in ends) for j, ends in theirs.items()}
    reach = [max(map(abs, side)) for side in box]
    sides = [high - low for low, high in box]
    is_same = ours.keys() == right.keys() and all(
        abs(a[k] - b[k]) <= NEAR * sides[k] + 1e-14 * reach[k]
        for j in right
        for a, b in zip(ours[j], right[j], strict=True)
        for k in range(2)
    )
    return len(net.layers[0][1]), [] if is_same else [f"lines {ours}, not {right}"]


def compare_regions(model, net, box, rng) -> tuple[int, list[str]]:
    """Areas, slivers, where points lie, and the maps."""
    cut, theirs = regions(model, bounds=box), exact.regions(net, box)
    (left, right), (low, high) = box
    whole = (right - left) * (high - low)
    found = []
    areas = [region.area for region in cut]
    if abs(sum(areas) - whole) > NEAR * whole:
        found.append(f"areas add up to {sum(areas)}, not {whole}")
    thinnest = min(float(region.area) for region in theirs)
    if min(areas) < NEAR * whole and thinnest > 2 * NEAR * whole:
        found.append(f"a sliver of {min(areas)}; the thinnest is {thinnest}")
    # slivers are too thin for rounding to keep, and one in a hundred is left to what counts as one
    least, most = (
        sum(region.area > share * NEAR * whole for region in theirs) for share in (1.01, 0.99)
    )
    ours_visible = sum(area > NEAR * whole for area in areas)
    # steps between others are cut in another order, but into the same pieces
    if not least <= ours_visible <= most:
        found.append(f"{ours_visible} regions, not {least} to {most}")
    points = [(rng.uniform(left, right), rng.uniform(low, high)) for _ in range(20)]
    points += [(left, low), (right, high), ((left + right) / 2, (low + high) / 2)]
    inside = torch.stack([r.contains(torch.tensor(points, dtype=torch.float64)) for r in cut])
    for k, point in enumerate(points):
        at = tuple(map(Fraction, point))
        margins = [_depth(region, at) for region in theirs]
        if not inside[:, k].any():
            found.append(f"{point} is in no region")
        elif max(margins) > 1e-6 * max(right - left, high - low):
            if inside[:, k].sum() != 1:
                found.append(f"{point} is in {int(inside[:, k].sum())} regions")
                continue
            ours = cut[int(inside[:, k].int().argmax())]
            exact_map = theirs[int(np.argmax(margins))].outputs
            size = _terms(net, point)
            for (slopes, constant), w, b in zip(
                exact_map, ours.weight.tolist(), ours.bias.tolist(), strict=True
            ):
                gap = float(exact.value_at((slopes, constant), at)) - (
                    w[0] * point[0] + w[1] * point[1] + b
                )
                if abs(gap) > 1e-11 * size:
                    found.append(f"at {point} the map is off by {gap} of {size}")
    return len(points) + 3, found


def _depth(region, point) -> float:
    """How far inside a point is; negative outside."""
    least = []
    for a, b in zip(region.corners, [*region.corners[1:], region.corners[0]], strict=True):
        cross = (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])
        least.append(float(cross) / (float((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5 or 1.0))
    return min(least)


def _terms(net, point) -> float:
    """How large the numbers that the outputs add up may be."""
    inputs = np.abs(np.array(point, dtype=float))
    read = inputs
    for number, (weight, bias) in enumerate(net.layers):
        size = np.abs(np.array(weight)) @ read + np.abs(np.array(bias))
        if number == len(net.layers) - 1 and net.direct is not None:
            size = size + np.abs(np.array(net.direct)) @ inputs
        read = size + max(map(abs, map(float, net.hidden.constants)))
    return float(read.max())


def compare_boundary(model, net, box, rng) -> tuple[int, list[str]]:
    """The exact changes along lines of a grid lie on the boundary, and the boundary parts decisions."""
    edge = boundary(model, bounds=box)
    (left, right), (low, high) = box
    size = np.array([right - left, high - low])
    segments = (edge.segments.numpy() - [left, low]) / size
    found, n = [], 0
    places = [0.0, 0.25, 0.5, 1.0, rng.random(), rng.random()]
    ways = [((left, low + s * (high - low)), (right, low + s * (high - low))) for s in places]
    ways += [((left + s * (right - left), low), (left + s * (right - left), high)) for s in places]
    ways = [way for way in ways if 0 < places[ways.index(way) % len(places)] < 1]
    for start, end in ways:
        _, changes = exact.on_line(net, start, end)
        for t, _, before, after in changes:
            others = [0.0, 1.0, *(float(other[0]) for other in changes if other[0] != t)]
            if min(abs(float(t) - other) for other in others) <= 2 * NEAR:
                continue  # a piece this thin is not drawn
            at = (
                np.array(start) + float(t) * (np.array(end) - np.array(start)) - [left, low]
            ) / size
            n += 1
            far = _distance(segments, at)
            # a decision that holds on one point of the way only, or on a line along it, is not a change
            if far > 1e-7 and _parts(net, start, end, t, before, after):
                found.append(f"no boundary within {far} of {at}, where {before} becomes {after}")
    return n, found


def _parts(net, start, end, t, before, after) -> bool:
    """Whether also a little beside the way the decision differs before and after."""
    way = [Fraction(b) - Fraction(a) for a, b in zip(start, end, strict=True)]
    aside = [-way[1] / 10**6, way[0] / 10**6]
    for side in (-1, 1):
        decisions, beside = [], []
        for ahead in (-1, 1):
            share = t + Fraction(ahead, 10**3)
            at = [
                Fraction(a) + share * w + side * s
                for a, w, s in zip(start, way, aside, strict=True)
            ]
            decisions.append(net.decisions(at)[0])
            beside.append(_nearest_to_a_kink(net, [at]))
        if decisions == [before, after] and min(beside) > ROUNDING:
            return True
    return False


def _distance(segments, point) -> float:
    if not len(segments):
        return float("inf")
    start, way = segments[:, 0], segments[:, 1] - segments[:, 0]
    length = (way**2).sum(1)
    share = np.clip(((point - start) * way).sum(1) / np.where(length > 0, length, 1), 0, 1)
    return float(np.sqrt(((start + share[:, None] * way - point) ** 2).sum(1)).min())


def compare_path(model, net, box, rng) -> tuple[int, list[str]]:
    """Kinks and changes on a straight way."""
    (left, right), (low, high) = box
    start, end = (
        (
            rng.choice((left, rng.uniform(left, right), right)),
            rng.choice((low, high, rng.uniform(low, high))),
        )
        for _ in range(2)
    )
    if start == end:
        return 0, []
    walk = path(model, start, end, n_points=2)
    turns, changes = exact.on_line(net, start, end)
    found = []
    ours = [kink.t for kink in walk.kinks]
    theirs = [float(t) for t in turns]
    decided = [(c.t, c.before, c.after) for c in walk.changes]
    right = [(float(t), before, after) for t, _, before, after in changes]
    places = [float(t) for t, _, _ in right]
    missed = _missed(net, start, end, [t for t, _, _ in decided], places)
    found += [f"{start} to {end}: {place}: changes {decided}, not {right}" for place in missed]
    missed = _missed(net, start, end, ours, theirs)
    found += [f"{start} to {end}: {place}: kinks {ours}, not {theirs}" for place in missed]
    are_far_apart = _far_apart([0.0, *theirs, *places, 1.0])
    is_other = [was[1:] for was in decided] != [was[1:] for was in right]
    if not found and are_far_apart and len(decided) == len(right) and is_other:
        found.append(f"{start} to {end}: decided {decided}, not {right}")
    return 2, found


def _missed(net, start, end, ours: list[float], theirs: list[float]) -> list[float]:
    """Places that only one list has, although rounding does not decide there."""

    def nearest(t: float) -> float:
        way = zip(start, end, strict=True)
        at = [Fraction(a) + Fraction(t) * (Fraction(b) - Fraction(a)) for a, b in way]
        return _nearest_to_a_kink(net, [at])

    missed = [t for t in ours if not _is_near(t, [0.0, 1.0, *theirs]) and nearest(t) > ROUNDING]
    for t in theirs:
        if not _is_near(t, [0.0, 1.0, *ours]):
            before = max((other for other in [0.0, *theirs] if other < t), default=0.0)
            after = min((other for other in [1.0, *theirs] if other > t), default=1.0)
            other = min([0.0, 1.0, *ours], key=lambda place: abs(place - t))
            stretches = (before + t) / 2, (t + after) / 2, (t + other) / 2
            if min(map(nearest, stretches)) > ROUNDING:
                missed.append(t)
    return missed


def _is_near(place: float, others: list[float]) -> bool:
    return min(abs(place - other) for other in others) <= NEAR


def _far_apart(places: list[float]) -> bool:
    """Whether equal places aside none are so near that rounding may make them one."""
    apart = sorted(set(places))
    return all(b - a > NEAR for a, b in pairwise(apart))


def compare_slack(model, net, box, rng) -> tuple[int, list[str]]:
    """How far each weight may move."""
    found = []
    rows = list(product((0.0, 1.0), repeat=model.cfg.d_in))
    moved = list(slack_to_flip(model, progress=False))
    for weight in moved:
        place = place_of(weight.parameter, net)
        sides = exact.slack(net, rows, *place)
        for sign, ours, side in zip((-1, 1), (weight.down, weight.up), sides, strict=True):
            right = float("inf") if side is None else float(side)
            if ours == right or abs(ours - right) <= NEAR * right:
                continue
            # what rounding decides may be decided either way: just past the nearer of the two, is a
            # sum within rounding of a kink or of the cut?
            nearer = min(ours, right) * (1 + 1e-11)
            if not right:
                nearer = min(ours, abs(weight.value) or 2.0**-60) / 2
            changed = _moved(net, place, sign * Fraction(nearer))
            flips_back = ours > right > 0 and all(
                changed.decisions(row) == net.decisions(row) for row in rows
            )
            if _nearest_to_a_kink(changed, rows) > ROUNDING and not flips_back:
                found.append(f"{weight.parameter} by {sign}: {ours}, not {right}")
    return 2 * len(moved), found


def _moved(net, place, by) -> exact.Network:
    """The network with one weight changed."""
    layer, unit, source = place
    weights, biases = (
        [list(map(Fraction, row)) for row in net.layers[layer][0]],
        list(net.layers[layer][1]),
    )
    direct = [list(map(Fraction, row)) for row in net.direct] if net.direct is not None else None
    if source is None:
        biases[unit] = Fraction(biases[unit]) + by
    elif source < len(weights[unit]):
        weights[unit][source] += by
    else:
        direct[unit][source - len(weights[unit])] += by
    layers = [*net.layers[:layer], (weights, biases), *net.layers[layer + 1 :]]
    return exact.Network(tuple(layers), net.hidden, net.cut, direct)


def _nearest_to_a_kink(net, rows) -> float:
    """How near a sum comes to one of its kinks or to the cut on some row, against its terms."""
    nearest = []
    for row in rows:
        inputs = [((), Fraction(value)) for value in row]
        read, size = inputs, [abs(value) for _, value in inputs]
        for number in range(len(net.layers)):
            sums = net.maps(number, read, inputs)
            weights, biases = net.layers[number]
            terms = [
                sum(abs(Fraction(w)) * x for w, x in zip(row, size, strict=True)) + abs(Fraction(b))
                for row, b in zip(weights, biases, strict=True)
            ]
            if number < len(net.layers) - 1:
                kinks = [[value - kink for kink in net.hidden.kinks] for _, value in sums]
                read = [((), net.hidden.of(value)) for _, value in sums]
                size = [net.hidden.size_of(t) for t in terms]
            else:
                if net.direct is not None:
                    terms = [
                        t
                        + sum(abs(Fraction(w) * Fraction(x)) for w, x in zip(own, row, strict=True))
                        for t, own in zip(terms, net.direct, strict=True)
                    ]
                kinks = [[value] for _, value in net.scores(sums)]
                terms = (
                    [sum(terms)] * len(kinks)
                    if net.cut is None
                    else [t + abs(Fraction(net.cut)) for t in terms]
                )
            nearest += [
                float(abs(d) / t) if t else 1.0
                for ds, t in zip(kinks, terms, strict=True)
                for d in ds
                if d or not t or number == len(net.layers) - 1
            ]
    return min(nearest)


def place_of(parameter: str, net: exact.Network) -> tuple[int, int, int | None]:
    """fc2.weight[0, 1] -> layer 1, unit 0, source 1."""
    name, _, numbers = parameter.removesuffix("]").partition("[")
    at = [int(number) for number in numbers.split(",")]
    if name.startswith("direct"):
        return len(net.layers) - 1, at[0], len(net.layers[-1][0][0]) + at[1]
    layer = int(name[2 : name.index(".")]) - 1
    return layer, at[0], at[1] if len(at) == 2 else None
