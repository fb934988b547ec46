"""values of a layer -> its variables: units that are copies of one another are one variable.

Two units are copies if the values of the one are those of the other times a factor of either sign,
plus a constant. This must hold on all rows, and in a deeper layer also under the interchanges
before it. The description of a circuit must not depend on how many places a value is kept in:
copies are read alike, and an intervention on a variable changes all its places together. So no
output depends on two equal units with opposite weights, which cancel.
"""

from collections.abc import Collection, Container, Sequence
from dataclasses import replace
from itertools import combinations, product

import torch
from torch import Tensor

from xor_mi.circuits._readings import Variables, is_constant
from xor_mi.graph import Unit
from xor_mi.model import HookedMLP
from xor_mi.values import LayerValues, forward_float64

COPIES_WITHIN = 0.01
"""Two units are copies if, on every row, one is a straight-line function of the other up to this
fraction of their range.

It is as large as `MIN_MARGIN`: a difference that is too small to be read does not count. Copies
that were equal before a network was rounded to bfloat16 differ by up to 0.006 after. Of 16,143
networks trained to XOR, rounding joins or separates copies in a way that changes which circuits
pass in 71 networks if copies must be equal up to 1e-6, in 45 up to 0.003, in 8 up to 0.01, and in 7
up to 0.02.
"""


MAX_JOINT = 65_536
"""Up to so many joint interchanges of a layer, all are run; with more, a seeded sample of this
size.
"""
LAST_DIGITS = 1e-14
"""A sum that varies by a smaller fraction of its terms than this varies by rounding."""
CLEARLY = 0.3
"""A change of a unit's value is clear if it is more than this fraction of its largest change."""


def are_copies(a: Tensor, b: Tensor) -> Tensor:
    """Whether one unit's values are a straight-line function of the other's, [..., row] -> [...].

    False if a unit is constant.
    """
    return apart(a, b) <= COPIES_WITHIN


def apart(a: Tensor, b: Tensor) -> Tensor:
    """How far two units are from being copies, as a fraction of their range, [..., row] -> [...].

    The largest such distance on any row; NaN for constant units.
    """
    a, b = _standardised(a), _standardised(b)
    falling = (a * b).sum(-1, keepdim=True) < 0
    most = (a - torch.where(falling, -b, b)).abs().amax(-1)
    return most / torch.minimum(a.amax(-1) - a.amin(-1), b.amax(-1) - b.amin(-1))


def _standardised(values: Tensor) -> Tensor:
    """Centred on zero, and of length one: what is left without scale and shift."""
    centred = values - values.mean(-1, keepdim=True)
    return centred / centred.norm(dim=-1, keepdim=True)


def _rises(values: Tensor) -> bool:
    """Whether a unit is higher than on the first row where it first clearly differs, [row]."""
    change = values - values[0]
    # if two rows are equally far from the first, rounding must not choose between them
    clear = change.abs() > CLEARLY * change.abs().max()
    return bool(change[clear][:1].sum() > 0)


def variables_of(
    values: Tensor, unconnected: Container[int] = (), *, n_rows: int | None = None
) -> Variables:
    """The variables of a layer with these values, [row, unit]; a constant unit is its own variable.

    Args:
        unconnected: units that lead nowhere, which never stand for other units.
        n_rows: how many of the values are those on the input rows, which come first; by default
            all. A unit is constant if it is constant on these.

    >>> variables_of(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0], [1.0, 1.0, -2.0]]))
    ((0, 2), (1,))
    """
    columns = list(values.double().T)
    leader = list(range(len(columns)))
    varying = [k for k, column in enumerate(columns) if not is_constant(column[:n_rows])]
    for a, b in combinations(varying, 2):
        if are_copies(columns[a], columns[b]):
            # a copy of a copy is a copy, whichever comes first
            old, new = max(leader[a], leader[b]), min(leader[a], leader[b])
            leader = [new if one == old else one for one in leader]
    groups: dict[int, list[int]] = {}
    for unit, first in enumerate(leader):
        groups.setdefault(first, []).append(unit)
    # whether a unit or its complement stands for both must not depend on their numbers
    standing = [
        (unit in unconnected, not _rises(column), unit) for unit, column in enumerate(columns)
    ]
    in_order = [sorted(units, key=standing.__getitem__) for units in groups.values()]
    return tuple(sorted(map(tuple, in_order)))


def variables_of_all(
    model: HookedMLP, layers: Sequence[LayerValues], unconnected: Collection[Unit]
) -> tuple[Variables, ...]:
    """The variables of every hidden layer.

    Units of a deeper layer may be alike on all rows and differ when an interchange sets the layer
    before as no row does. They are copies only if they are alike there, too.

    Args:
        layers: all values on all rows, the outputs' last.
        unconnected: the units that lead nowhere.
    """
    # per hidden layer, its values on all rows, and then under the joint interchanges before it
    seen = [values.post for values in layers[:-1]]
    variables: list[Variables] = []
    for layer, values in enumerate(layers[:-1]):
        leading_nowhere = {unit.index for unit in unconnected if unit.layer == layer}
        variables.append(variables_of(seen[layer], leading_nowhere, n_rows=len(values.post)))
        if layer + 1 < len(seen):
            taken = _interchanged(values.post, variables[-1])
            # the inputs only matter to outputs that read them, and outputs are not compared here
            rest = forward_float64(model, taken, start=layer + 1, inputs=layers[0].inputs[0])
            for later, reached in enumerate(rest[:-1], start=layer + 1):
                seen[later] = torch.cat([seen[later], reached.post])
    return tuple(variables)


def _interchanged(post: Tensor, variables: Variables) -> Tensor:
    """A layer's values in its joint interchanges, [run, unit]; a constant unit is unchanged.

    Args:
        post: on all rows, [row, unit].
    """
    varying = [k for k, units in enumerate(variables) if not is_constant(post[:, units[0]])]
    drawn = joint_sources(len(post), len(varying))
    sources = torch.zeros(len(drawn), len(variables), dtype=torch.long)
    sources[:, varying] = drawn
    return taken_from(post, sources, variables)


def values_on_rows(model: HookedMLP) -> list[LayerValues]:
    """All values on all rows in float64; a unit that varies by rounding alone is made constant.

    In a deeper layer, terms may cancel on every row up to their last digits.
    """
    layers = list(forward_float64(model, model.rows().double()))
    for number in range(1, model.cfg.n_layers):
        values = layers[number]
        weight, bias = model.float64_layers()[number]
        terms = (values.inputs.abs() @ weight.abs().T + bias.abs()).amax(0)
        spread = values.pre.amax(0) - values.pre.amin(0)
        post = torch.where(spread <= LAST_DIGITS * terms, values.post[:1], values.post)
        layers[number] = replace(values, post=post)
    return layers


def joint_sources(n_rows: int, n_drawn: int, *, at_most: int = MAX_JOINT) -> Tensor:
    """Every choice of so many rows, or a seeded sample of so many of them, [run, drawn]."""
    if n_rows**n_drawn <= at_most:
        # with nothing to draw there is one empty choice, which would have no dtype
        return torch.tensor(list(product(range(n_rows), repeat=n_drawn)), dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(n_rows, (at_most, n_drawn), generator=generator)


def taken_from(post: Tensor, sources: Tensor, variables: Variables) -> Tensor:
    """A layer's values with every variable taken from its own row, [run, unit].

    Args:
        post: on all rows, [row, unit].
        sources: the row of each variable, [run, variable].
    """
    return post[by_unit(sources, variables), torch.arange(post.shape[1])]


def by_unit(of_variables: Tensor, variables: Variables) -> Tensor:
    """[..., variable] -> [..., unit]: every place of a variable gets the variable's value."""
    place = {unit: number for number, units in enumerate(variables) for unit in units}
    numbers = [place[unit] for unit in sorted(place)]
    # without copies there is usually nothing to move
    return of_variables if numbers == list(range(len(variables))) else of_variables[..., numbers]


def unconnected_units(model: HookedMLP) -> frozenset[Unit]:
    """The hidden units that no output can depend on: no path of weights leads there."""
    weights = [weight for weight, _ in model.float64_layers()]
    found: set[Unit] = set()
    reached = torch.ones(model.cfg.d_out, dtype=torch.bool)
    # from the outputs back: a unit counts if a weight leads from it to something that counts
    for layer in reversed(range(model.cfg.n_layers)):
        width = model.cfg.d_hidden[layer]
        # a readout's further columns are those of inputs that it reads directly
        reached = (weights[layer + 1][reached, :width] != 0).any(0)
        found |= {Unit(layer, index) for index in range(width) if not reached[index]}
    return frozenset(found)
