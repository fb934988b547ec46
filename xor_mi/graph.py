"""a place in the network -> a frozen, ordered, printable name. No torch.

`x0` is an input, `h0.1` hidden unit 1 of layer 0 (TransformerLens' `blocks.0`), `y0` an output. An
edge joins two of them and is one weight. Everything that names a place elsewhere (readings,
patches, circuits, pictures) uses these values.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from numbers import Integral

from xor_mi.errors import XorMiError, shown
from xor_mi.truth import ArrayLike

__all__ = [
    "Edge",
    "Entry",
    "Index",
    "KeptEntry",
    "Site",
    "Subcircuit",
    "Unit",
    "edges_of",
    "layers_of",
    "name_of_set",
    "require_layer_sizes",
    "sources_of",
]


@dataclass(frozen=True, order=True)
class Unit:
    """One place that holds one number: an input, a hidden unit or an output.

    Inputs are layer -1, hidden layers count from 0, and outputs are the layer after the last.

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
    """One weight: from a unit to a unit of the next layer, or from an input straight to an output.

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
    """Layer sizes such as (2, 2, 1) -> inputs, hidden layers and outputs as units, in order.

    >>> layers_of((2, 2, 1))
    [[x0, x1], [h0.0, h0.1], [y0]]
    """
    n_layers = len(layer_sizes)
    layers: list[list[Unit]] = []
    for number, size in enumerate(layer_sizes):
        # inputs are layer -1, so that the hidden layers count from 0
        layer, is_output = number - 1, number == n_layers - 1
        layers.append([Unit(layer, index, is_output=is_output) for index in range(size)])
    return layers


def sources_of(layer_sizes: Sequence[int], *, direct: bool = False) -> list[list[Unit]]:
    """The units that each linear layer reads: those of the layer before.

    Args:
        direct: whether the outputs read the inputs too, after the last hidden layer.

    >>> sources_of((2, 1, 1), direct=True)
    [[x0, x1], [h0.0, x0, x1]]
    """
    inputs, *hidden, _ = layers_of(layer_sizes)
    if direct:
        hidden[-1] = hidden[-1] + inputs
    return [inputs, *hidden]


def edges_of(layer_sizes: Sequence[int], *, direct: bool = False) -> Iterator[Edge]:
    """Every weight of a fully connected network, layer by layer, by target and then by source.

    Args:
        direct: whether the inputs are connected to the outputs too.
    """
    layers = zip(sources_of(layer_sizes, direct=direct), layers_of(layer_sizes)[1:], strict=True)
    for sources, targets in layers:
        for target in targets:
            yield from (Edge(source, target) for source in sources)


def require_layer_sizes(layer_sizes: Sequence[int]) -> None:
    """Refuse what is not (d_in, *d_hidden, d_out).

    Raises:
        XorMiError: with what was given.
    """
    is_sequence = isinstance(layer_sizes, (list, tuple)) and len(layer_sizes) >= 3
    if not is_sequence or not all(isinstance(n, int) and n >= 1 for n in layer_sizes):
        raise XorMiError(
            f"{shown(layer_sizes)} are not layer sizes; give inputs, hidden layers and outputs, "
            "such as (2, 3, 3, 1)"
        )


def _are_kept(indices: object, kept: Sequence[int]) -> bool:
    """Whether these are kept sources, each once and in order."""
    if not isinstance(indices, tuple):
        return False
    # bool is an int to Python
    return all(type(index) is int and index in kept for index in indices) and all(
        before < after for before, after in pairwise(indices)
    )


@dataclass(frozen=True)
class Subcircuit:
    """Some of a network's hidden units and edges, described by what each unit still reads.

    Inputs and outputs all stay.

    Attributes:
        layer_sizes: (d_in, *d_hidden, d_out) of the whole network.
        sources: per linear layer and target unit, the indices of the kept sources in ascending
            order; a dropped hidden unit keeps none, and no unit reads it. Every output reads a
            unit.

    >>> without_h01 = Subcircuit((2, 2, 1), (((0, 1), ()), ((0,),)))
    >>> without_h01.units, without_h01.edges
    ((h0.0,), (x0->h0.0, x1->h0.0, h0.0->y0))

    Raises:
        XorMiError: sizes that no network has, or sources that do not fit them.
    """

    layer_sizes: tuple[int, ...]
    sources: tuple[tuple[tuple[int, ...], ...], ...]

    def __post_init__(self) -> None:
        require_layer_sizes(self.layer_sizes)
        fits = isinstance(self.sources, tuple) and len(self.sources) == len(self.layer_sizes) - 1
        if not fits:
            raise XorMiError(
                f"sources is {shown(self.sources)}; a subcircuit of {self.layer_sizes} has a tuple "
                f"of {len(self.layer_sizes) - 1}, one per linear layer"
            )
        kept = range(self.layer_sizes[0])  # all inputs stay
        for number, (layer, size) in enumerate(
            zip(self.sources, self.layer_sizes[1:], strict=True)
        ):
            if not isinstance(layer, tuple) or len(layer) != size:
                raise XorMiError(
                    f"sources[{number}] is {shown(layer)}; give a tuple of {size}, one per target"
                )
            for target, indices in enumerate(layer):
                if not _are_kept(indices, kept):
                    raise XorMiError(
                        f"sources[{number}][{target}] is {shown(indices)}; give a tuple of kept "
                        f"sources, ascending: some of {shown(tuple(kept))}"
                    )
            kept = tuple(target for target, indices in enumerate(layer) if indices)
        if len(kept) < self.layer_sizes[-1]:
            raise XorMiError(
                f"sources[{len(self.sources) - 1}] is {shown(self.sources[-1])}; "
                "every output of a subcircuit reads at least one unit"
            )

    @property
    def units(self) -> tuple[Unit, ...]:
        """The hidden units that are kept."""
        hidden = layers_of(self.layer_sizes)[1:-1]
        kept: list[Unit] = []
        # the last linear layer ends in the outputs, which are not hidden units
        for units, sources_of in zip(hidden, self.sources[:-1], strict=True):
            kept += [unit for unit in units if sources_of[unit.index]]
        return tuple(kept)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges that are kept, layer by layer."""
        edges: list[Edge] = []
        layers = pairwise(layers_of(self.layer_sizes))
        for (before, after), sources_of in zip(layers, self.sources, strict=True):
            for target, indices in zip(after, sources_of, strict=True):
                edges += [Edge(before[index], target) for index in indices]
        return tuple(edges)

    @property
    def edge_sparsity(self) -> float:
        """The fraction of the network's edges that are dropped."""
        n_edges = sum(d_in * d_out for d_in, d_out in pairwise(self.layer_sizes))
        n_kept = sum(len(indices) for indices in chain.from_iterable(self.sources))
        return 1 - n_kept / n_edges

    def __le__(self, other: "Subcircuit") -> bool:
        """Whether every edge of this one is in the other."""
        if self.layer_sizes != other.layer_sizes:
            return False
        units_here = chain.from_iterable(self.sources)
        units_there = chain.from_iterable(other.sources)
        return all(
            set(here) <= set(there) for here, there in zip(units_here, units_there, strict=True)
        )


Entry = int | None | slice | Sequence[int] | ArrayLike
"""What is named along one axis: a number, everything (None), a slice, or several numbers.

NumPy's whole numbers and a tensor's count too.
"""

Index = Entry | Sequence[Entry]
"""An index into an activation after the batch axis: one entry, or one per axis."""

KeptEntry = int | None | slice | tuple[int, ...]
"""An entry as a site keeps it."""


@dataclass(frozen=True, init=False)
class Site:
    """Where an intervention writes: a hook point, and an index into its activation.

    The index counts from the axis after the batch. An entry is a whole number, None for everything
    along that axis, a slice, or a list of whole numbers; lists on several axes name all their
    combinations. An axis that is left out is covered completely, so Site(hook) is the whole
    activation. On a transformer Site("blocks.0.attn.hook_z", (None, 2)) is head 2 at all positions.

    Attributes:
        index: entry by entry; a list as a tuple, and a slice of a whole axis as None.
        label: what it is called in frames and pictures; by default the hook name and index.

    >>> Site("blocks.0.attn.hook_z", (None, 2))
    blocks.0.attn.hook_z[:, 2]
    >>> Site("blocks.0.hook_resid_pre", (slice(0, 2), [1, 3]))
    blocks.0.hook_resid_pre[0:2, [1, 3]]

    Raises:
        XorMiError: an index entry of another kind; a list that is empty or has a number twice; an
            index that is itself a list of numbers, which could mean one per axis or several of one
            axis; or a label that is not text.
    """

    hook_name: str
    index: tuple[KeptEntry, ...]
    # not compared: two sites are the same place, whatever they are called
    label: str = field(compare=False)

    def __init__(self, hook_name: str, index: Index = (), label: str = "") -> None:
        entries = _entries_of(hook_name, index)
        if not isinstance(label, str):
            raise XorMiError(f"the label of '{hook_name}' is {label!r}; give text")
        object.__setattr__(self, "hook_name", hook_name)
        object.__setattr__(self, "index", entries)
        object.__setattr__(self, "label", label)

    def __hash__(self) -> int:
        # before Python 3.12 a slice has no hash of its own
        entries = [repr(entry) if isinstance(entry, slice) else entry for entry in self.index]
        return hash((self.hook_name, *entries))

    @property
    def name(self) -> str:
        if self.label or not self.index:
            return self.label or self.hook_name
        return f"{self.hook_name}[{_index_text(self.index)}]"

    def axes(self, shape: Sequence[int]) -> list[Sequence[int]]:
        """Which numbers are named along each axis of the index, counted from the front.

        Args:
            shape: of an activation, after the batch axis.

        >>> Site("hook_resid_pre", (-1, slice(0, 2), [3, 1])).axes((5, 4, 8))
        [range(4, 5), range(0, 2), (3, 1)]

        Raises:
            XorMiError: an index outside such an activation, or a number that is named twice.
        """
        if len(self.index) > len(shape):
            raise self._outside(shape, f"the index has {len(self.index)} axes")
        axes: list[Sequence[int]] = []
        for entry, size in zip(self.index, shape, strict=False):
            outside = [number for number in _ends_of(entry, size) if not -size <= number < size]
            if outside:
                raise self._outside(shape, f"an axis of {size} has no {outside[0]}")
            numbers = _numbers_along(entry, size)
            if not numbers and entry is not None:
                raise self._outside(
                    shape, f"{_index_text([entry])} selects nothing of an axis of {size}"
                )
            if len(set(numbers)) < len(numbers):
                raise XorMiError(f"{self.name} names a number twice; name each once")
            axes.append(numbers)
        return axes

    def _outside(self, shape: Sequence[int], why: str) -> XorMiError:
        sizes = ", ".join(map(str, ["batch", *shape]))
        return XorMiError(
            f"index [{_index_text(self.index)}] is outside '{self.hook_name}', "
            f"whose activation is [{sizes}]: {why}"
        )

    def __repr__(self) -> str:
        return self.name


def _entries_of(hook_name: str, index: Index) -> tuple[KeptEntry, ...]:
    """An index as a caller writes it, entry by entry."""
    if isinstance(index, tuple):
        return tuple([_entry_of(hook_name, entry) for entry in index])
    several = _whole_numbers(index)
    if several is not None and len(several) > 1:
        numbers = ", ".join(map(str, several))
        raise XorMiError(
            f"{shown(index)} as the index of '{hook_name}'; give ({numbers}) for one number per "
            f"axis, or ([{numbers}],) for several of the first axis"
        )
    if isinstance(index, list):
        return tuple([_entry_of(hook_name, entry) for entry in index])
    return (_entry_of(hook_name, index),)


def _entry_of(hook_name: str, entry: object) -> KeptEntry:
    """One entry: a number, several, a slice, or None for a whole axis."""
    if entry is None or type(entry) is int:
        return entry
    if isinstance(entry, slice):
        return _slice_of(hook_name, entry)
    number = _whole_number(entry)
    if number is not None:
        return number
    several = _whole_numbers(entry)
    if several is None:
        raise XorMiError(
            f"{shown(entry)} in the index of '{hook_name}'; an index entry is a whole number, or "
            "None for a whole axis, a slice, or a list of whole numbers"
        )
    if not several or len(set(several)) < len(several):
        raise XorMiError(
            f"{shown(entry)} in the index of '{hook_name}'; name at least one number, and each once"
        )
    return several


def _slice_of(hook_name: str, entry: slice) -> slice | None:
    """A slice as it is kept: with a start, without a step of 1; None for a whole axis."""
    given = (entry.start, entry.stop, entry.step)
    start, stop, step = [None if end is None else _whole_number(end) for end in given]
    n_numbers = sum(number is not None for number in (start, stop, step))
    n_given = sum(end is not None for end in given)
    if n_numbers < n_given or (step is not None and step < 1):
        raise XorMiError(
            f"{entry} in the index of '{hook_name}'; a slice has whole numbers, and a step of at "
            "least 1"
        )
    kept = slice(start or 0, stop, None if step == 1 else step)
    return None if kept == slice(0, None) else kept


def _whole_number(value: object) -> int | None:
    """A whole number, also NumPy's or a tensor's; None for anything else, and for a bool."""
    if isinstance(value, Integral):
        return None if isinstance(value, bool) else int(value)
    # an array of no axes holds one number
    if isinstance(value, ArrayLike) and getattr(value, "ndim", 1) == 0:
        return _whole_number(value.tolist())
    return None


def _whole_numbers(value: object) -> tuple[int, ...] | None:
    """Several whole numbers, as a list, range, array or tensor; None for anything else."""
    if isinstance(value, ArrayLike):
        value = value.tolist()
    if not isinstance(value, (list, tuple, range)):
        return None
    numbers = [number for number in map(_whole_number, value) if number is not None]
    return tuple(numbers) if len(numbers) == len(value) else None


def _ends_of(entry: KeptEntry, size: int) -> list[int]:
    """The numbers that an axis must have for this entry; for a slice, its first and its last."""
    if isinstance(entry, slice):
        stop = [] if entry.stop is None else [entry.stop]
        # a slice ends before its stop, and may begin and end behind the last number
        return [end - 1 if end == size else end for end in [entry.start, *stop]]
    if isinstance(entry, tuple):
        return list(entry)
    return [] if entry is None else [entry]


def _numbers_along(entry: KeptEntry, size: int) -> Sequence[int]:
    """The numbers of an axis that an entry names, counted from the front."""
    if isinstance(entry, tuple):
        return tuple([number % size for number in entry])
    if isinstance(entry, int):
        return range(entry % size, entry % size + 1)
    return range(*(slice(None) if entry is None else entry).indices(size))


def _index_text(entries: Iterable[KeptEntry]) -> str:
    """Entries as they are written between brackets."""
    texts: list[str] = []
    for entry in entries:
        if isinstance(entry, slice):
            stop = "" if entry.stop is None else entry.stop
            step = "" if entry.step is None else f":{entry.step}"
            texts.append(f"{entry.start}:{stop}{step}")
        elif isinstance(entry, tuple):
            texts.append(f"[{', '.join(map(str, entry))}]")
        else:
            texts.append(":" if entry is None else str(entry))
    return ", ".join(texts)


def name_of_set(places: Iterable[Unit | Edge | Site]) -> str:
    """Several places that are meant together, as text: the one way that sets are written.

    >>> name_of_set([Unit(0, 0), Unit(0, 1)])
    'h0.0 + h0.1'
    """
    return " + ".join(place.name for place in places)
