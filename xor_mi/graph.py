"""a place in the network -> a frozen, ordered, printable name. No torch.

`x0` is an input, `h0.1` hidden unit 1 of layer 0 (TransformerLens' `blocks.0`), `y0` an output. An edge joins two of them and is
one weight. Everything that names a place elsewhere (readings, patches, circuits, pictures) uses these values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, order=True)
class Unit:
    """One place that holds one number: an input (layer -1), a hidden unit, or an output (layer = number of hidden layers).

    >>> Unit(0, 1).name, Unit(-1, 0).name, Unit(1, 0, is_output=True).name
    ('h0.1', 'x0', 'y0')
    """

    layer: int
    index: int
    is_output: bool = False

    @property
    def name(self) -> str:
        if self.layer < 0:
            return f"x{self.index}"
        return f"y{self.index}" if self.is_output else f"h{self.layer}.{self.index}"

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, order=True)
class Edge:
    """One weight: from a unit to a unit of the next layer.

    >>> Edge(Unit(-1, 0), Unit(0, 1))
    x0->h0.1
    """

    src: Unit
    dst: Unit

    @property
    def name(self) -> str:
        return f"{self.src.name}->{self.dst.name}"

    def __repr__(self) -> str:
        return self.name


def layers_of(layer_sizes: Sequence[int]) -> list[list[Unit]]:
    """Layer sizes such as (2, 2, 1) -> inputs, hidden layers and outputs as units, in order."""
    last = len(layer_sizes) - 2
    return [[Unit(layer - 1, i, is_output=layer - 1 == last) for i in range(size)] for layer, size in enumerate(layer_sizes)]


def edges_of(layer_sizes: Sequence[int]) -> Iterator[Edge]:
    """Every weight of a fully connected network, layer by layer, by target and then by source."""
    layers = layers_of(layer_sizes)
    for sources, targets in pairwise(layers):
        yield from (Edge(src, dst) for dst in targets for src in sources)
