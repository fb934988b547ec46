"""netlist -> its canonical form: what is left when numbering, scale and sign are taken away.

A *signature* is the same under any permutation of hidden units and any positive rescaling of them
(thresholds scale along, so bits stay). Constant units, copies, and units that no output depends on,
are not part of it. A *family* is also the same when a unit is replaced by its complement (with the
sign turned in what reads it) and when inputs are swapped. It is the NPN class of logic synthesis
(negation and permutation of inputs, negation of outputs), applied to a whole netlist: inputs may be
permuted, hidden units complemented. Every unit is written so that it is 0 on the all-zero input,
and the inputs are in the order that gives the smallest form. For XOR by two threshold units there
are two families, `OR & ~AND` and `x0>x1 | x1>x0`.

For networks of one shape, two texts are equal only if their forms are equal. So a unit whose gate
is a formula of several inputs is written in square brackets: `~[x0 & x1 & x2]` reads one unit,
`~(x0 & x1 & x2)` reads three.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import chain, groupby, pairwise, permutations, product
from math import factorial, prod

from xor_mi.circuits import _tables
from xor_mi.circuits._netlist import LocalGate
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.truth import (
    MAX_INPUTS,
    BooleanFunction,
    name_of_bits,
    row_number,
    row_numbers,
    truth_rows,
)

Table = tuple[int, ...]
Form = tuple[tuple[tuple[Table, tuple[int, ...], Table], ...], ...]
"""Layer by layer and unit by unit: bits on the input rows, parents, table over the parents."""

MAX_WRITTEN = 20
"""If one circuit has more different signatures than this, they are counted and hashed."""
MAX_ORDERS = 50_000
"""At most so many orders of units and inputs are tried for one canonical form; units that differ in
their bits need no trying.
"""

MARKS = [chr(0xE000 + k) for k in range(MAX_INPUTS)]
"""Characters that no name has, one per parent of a formula."""


@dataclass(frozen=True)
class _Node:
    """A live unit or output.

    Attributes:
        parents: positions in the layer before, or inputs. An input that an output reads past the
            hidden layers is counted from the end (-1 is the last input) and comes after the units.
        table: its bit on every combination of these.
        bits: its bit on every input row.
    """

    parents: tuple[int, ...]
    table: Table
    bits: Table


Layers = list[list[_Node]]
"""Hidden layers, then outputs."""


def signature_of(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> str:
    """The canonical text of a netlist.

    Equal exactly for netlists that are the same up to the numbering of their units.

    Raises:
        XorMiError: more than `MAX_ORDERS` orders of interchangeable units.
    """
    return _text(form_of(netlist, layer_sizes))


def form_of(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> Form:
    """The canonical form of a netlist; its signature is the text of this form."""
    return min(_orders(_live_layers(netlist, layer_sizes)))


def signature_of_all(netlists: Sequence[Sequence[LocalGate]], layer_sizes: Sequence[int]) -> str:
    """The distinct signatures of several netlists in alphabetical order, joined by ' / '.

    More than `MAX_WRITTEN` are given as number and hash.
    """
    return signature_of_forms({form_of(netlist, layer_sizes) for netlist in netlists})


def signature_of_forms(forms: Set[Form]) -> str:
    """The same for canonical forms."""
    if len(forms) > MAX_WRITTEN:
        written = f"[{', '.join(map(_written, sorted(forms)))}]"
        digest = sha256(written.encode()).hexdigest()[:16]
        return f"{len(forms)} different readings, sha256 {digest}"
    return " / ".join(sorted(map(_text, forms)))


# networks with many circuits share most of them
@lru_cache(maxsize=65536)
def _written(form: Form) -> str:
    """A form as Python writes it."""
    return repr(form)


def family_of(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> str:
    """The canonical text up to complement of hidden units and order of the inputs as well.

    Raises:
        XorMiError: more than `MAX_ORDERS` orders of interchangeable units, or of the inputs.
    """
    layers = _zero_at_zero(_live_layers(netlist, layer_sizes))
    return _text(_form_of_family(layers, layer_sizes[0]))


class CanonicalTexts:
    """`up_to_complement` and `family_of` of a netlist, each computed when it is first asked for.

    A text is empty if there are too many orders to find it.

    Args:
        reduced: the netlist's `reduced_layers`.
    """

    def __init__(self, reduced: Layers, layer_sizes: Sequence[int]) -> None:
        self._reduced = reduced
        self._n_inputs = layer_sizes[0]

    @cached_property
    def _layers(self) -> Layers:
        return _zero_at_zero(_without_unread(self._reduced))

    @cached_property
    def _own(self) -> Form:
        """The smallest form with the inputs in the order that they have."""
        return min(_orders(self._layers))

    @cached_property
    def text(self) -> str:
        """`up_to_complement`."""
        return or_empty(lambda: _text(self._own))

    @cached_property
    def family(self) -> str:
        """`family_of`."""
        return or_empty(self._family)

    def _family(self) -> str:
        form = _form_of_family(self._layers, self._n_inputs, own=self._own)
        return self.text if form == self._own else _text(form)


def _form_of_family(layers: Layers, n_inputs: int, *, own: Form | None = None) -> Form:
    """The canonical form up to the order of the inputs.

    Args:
        own: the smallest form in the inputs' own order, if it is known.
    """
    used = _inputs_used(layers, n_inputs)
    n_orders = factorial(len(used))
    if n_orders > MAX_ORDERS:
        raise XorMiError(
            f"a family of {len(used)} inputs has {n_orders:,} input orders; at most "
            f"{MAX_ORDERS:,} are tried: use the signature, which keeps the inputs in their order"
        )
    unused = [i for i in range(n_inputs) if i not in used]
    forms = []
    for order in permutations(used):
        if own is not None and order == tuple(range(n_inputs)):
            forms.append(own)
            continue
        # The first row of bits is the all-zero input in every order, so no unit turns over again.
        # The inputs in use become the first ones, in every order; the others follow in one order.
        place = {old: new for new, old in enumerate((*order, *unused))}
        forms.append(min(_orders(_with_inputs_moved(layers, place))))
    return min(forms)


def or_empty(find: Callable[[], str]) -> str:
    """A canonical text, or an empty one if there are too many orders to find it."""
    try:
        return find()
    except XorMiError:
        return ""


def up_to_complement(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> str:
    """The canonical text up to complement of hidden units; the inputs keep their order.

    Raises:
        XorMiError: more than `MAX_ORDERS` orders of interchangeable units.
    """
    return _text(min(_orders(_zero_at_zero(_live_layers(netlist, layer_sizes)))))


def live_units(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> tuple[Unit, ...]:
    """The hidden units that a signature is made of.

    They are not constant, and an output reads them, directly or through other units.
    """
    live = _live_numbers(reduced_layers(netlist, layer_sizes))
    return tuple(Unit(layer, k) for layer, numbers in enumerate(live) for k in numbers)


def live_netlist(
    netlist: Sequence[LocalGate], layer_sizes: Sequence[int], *, reduced: Layers
) -> tuple[LocalGate, ...]:
    """The gates of the live units and of every decision, each over what it depends on alone.

    Constant parents are replaced by their bits. Two netlists are the same circuit if this is equal.

    Args:
        reduced: the netlist's `reduced_layers`.
    """
    gates_by_layer = [list(gates) for _, gates in groupby(netlist, key=_layer_of)]
    live = [*_live_numbers(reduced), range(len(reduced[-1]))]
    circuit = []
    for gates, nodes, numbers in zip(gates_by_layer, reduced, live, strict=True):
        for k in numbers:
            unit, node = gates[k].unit, nodes[k]
            names = _names_of_parents(unit.layer, layer_sizes[0], node.parents)
            circuit.append(LocalGate(unit, names, node.table))
    return tuple(circuit)


def _layer_of(gate: LocalGate) -> int:
    return gate.unit.layer


@lru_cache(maxsize=4096)
def _names_of_parents(layer: int, n_inputs: int, parents: tuple[int, ...]) -> tuple[str, ...]:
    """The names of what a node of this layer reads at these positions."""
    return tuple(
        # inputs that an output reads past the hidden layers are counted from the end
        f"x{parent + n_inputs}" if parent < 0 else Unit(layer - 1, parent).name
        for parent in parents
    )


def _live_numbers(layers: Layers) -> list[list[int]]:
    """Per hidden layer, the numbers of the units that some output depends on."""
    live: list[list[int]] = []
    # From the outputs back: what the live units of a layer read is live in the layer before.
    read = _units_read(layers[-1])
    for number in reversed(range(len(layers) - 1)):
        live.insert(0, read)
        read = _units_read(layers[number][k] for k in read)
    return live


def _units_read(nodes: Iterable[_Node]) -> list[int]:
    """Everything in the layer before that some of these nodes read, in order."""
    parents = set(chain.from_iterable(node.parents for node in nodes))
    return sorted(parent for parent in parents if parent >= 0)


def _inputs_used(layers: Layers, n_inputs: int) -> list[int]:
    """The inputs that the first layer reads, or an output past the hidden layers, in order."""
    past_them = chain.from_iterable(node.parents for node in layers[-1])
    direct = {parent + n_inputs for parent in past_them if parent < 0}
    return sorted(direct.union(_units_read(layers[0])))


def _live_layers(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> Layers:
    """Hidden layers and outputs, each node over its essential parents.

    Constants are folded, and unread units are left out.
    """
    return _without_unread(reduced_layers(netlist, layer_sizes))


def reduced_layers(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> Layers:
    """Hidden layers and outputs, each node over its essential parents; constants folded."""
    inputs = _input_columns(layer_sizes[0])
    columns = inputs  # of what a layer may read, [parent][row]
    # What a layer may read, by name: what is before it, and past that the inputs, from the end.
    past_it = {f"x{i}": i - len(inputs) for i in range(len(inputs))}
    place = {f"x{i}": i for i in range(len(inputs))}
    constant: dict[int, int] = {}
    layers: Layers = []
    read: list[int] = []
    held: list[tuple[int, int]] = []
    for _, gates in groupby(netlist, key=_layer_of):
        nodes, names = [], []
        parents = None
        for gate in gates:
            # as a rule all gates of a layer have the same parents
            if gate.parents != parents:
                parents = gate.parents
                read = [place[name] for name in parents]
                held = [(k, constant[one]) for k, one in enumerate(read) if one in constant]
            # A unit that depends on nothing has no parents, and one bit for a table.
            positions, table = _reduced(gate.bits, tuple(held))
            nodes.append(_node(picked(read, positions), table, columns))
            names.append(gate.unit.name)
        place = past_it | {name: k for k, name in enumerate(names)}
        # Only the next layer reads this one: its constants are folded there.
        constant = {k: node.table[0] for k, node in enumerate(nodes) if not node.parents}
        columns = (*(node.bits for node in nodes), *inputs)
        layers.append(nodes)
    return layers


@lru_cache(maxsize=16)
def _input_columns(n_inputs: int) -> tuple[Table, ...]:
    """The bits of each input on all rows, [input][row]."""
    return tuple(zip(*truth_rows(n_inputs), strict=True))


# a network's readings have most of their gates in common
@lru_cache(maxsize=4096)
def _reduced(table: Table, constants: tuple[tuple[int, int], ...]) -> tuple[tuple[int, ...], Table]:
    """The parents that a table depends on, and its table over these.

    Args:
        constants: parents that are constant, with their bits; they are put in first.
    """
    return _tables.over_essential(_tables.with_constants(table, dict(constants)))


@lru_cache(maxsize=4096)
def _node(parents: tuple[int, ...], table: Table, columns: tuple[Table, ...]) -> _Node:
    """A node with its bits on the input rows, from those of what it may read, [parent][row]."""
    bits = []
    for row in range(len(columns[0])):
        read = [columns[parent][row] for parent in parents]
        bits.append(table[row_number(read)])
    return _Node(parents, table, tuple(bits))


def _without_unread(layers: Layers) -> Layers:
    """Drop units that no output depends on, from the last hidden layer back."""
    live = [layers[-1]]
    # From the last layer back: a unit that only dropped units read is dropped too.
    for layer in reversed(layers[:-1]):
        read = _units_read(live[0])
        place = {old: new for new, old in enumerate(read)}
        live[0] = [replace(node, parents=_renumbered(node, place)) for node in live[0]]
        live.insert(0, [layer[k] for k in read])
    return live


def _zero_at_zero(layers: Layers) -> Layers:
    """The layers after complementing every hidden unit that is 1 on the all-zero input.

    What reads such a unit is turned along, so that the outputs stay.
    """
    turned = []
    signs: list[int] = []  # of the layer before: 1 where a unit was complemented
    for number, layer in enumerate(layers):
        is_output = number == len(layers) - 1
        flips = [0 if is_output else node.bits[0] for node in layer]
        nodes = []
        for node, flip in zip(layer, flips, strict=True):
            # inputs are never complemented, wherever they are read
            read = [signs[parent] if signs and parent >= 0 else 0 for parent in node.parents]
            nodes.append(_complemented(node, flip, read))
        signs = flips
        turned.append(nodes)
    return turned


def _complemented(node: _Node, flip: int, signs: Sequence[int]) -> _Node:
    """A node turned over if `flip` is 1, while those of its parents are whose sign is 1."""
    if not flip and not any(signs):
        return node
    return _turned_over(node, flip, tuple(signs))


# a network's readings have most of their gates in common
@lru_cache(maxsize=4096)
def _turned_over(node: _Node, flip: int, signs: tuple[int, ...]) -> _Node:
    bits = tuple(bit ^ flip for bit in node.bits)
    return _Node(node.parents, _tables.complemented(node.table, flip, signs), bits)


def _with_inputs_moved(layers: Layers, place: Mapping[int, int]) -> Layers:
    """The layers after input i has become input place[i]."""
    n_inputs = len(place)
    where = tuple(place[i] for i in range(n_inputs))
    from_the_end = {old - n_inputs: new - n_inputs for old, new in place.items()}
    moved = []
    for number, layer in enumerate(layers):
        # Bits are over the inputs in every layer. Parents are inputs in the first layer only, but
        # for those that outputs read directly.
        nodes = [replace(node, bits=_rearranged(node.bits, where)) for node in layer]
        place_here = place if number == 0 else from_the_end
        moved.append([_with_parents_moved(node, place_here) for node in nodes])
    return moved


def _with_parents_moved(node: _Node, place: Mapping[int, int]) -> _Node:
    """The node after parent p has become parent place[p]; those without a place stay.

    Its table follows, so that its parents are in order again.
    """
    parents = _renumbered(node, place)
    # units first, then the inputs that are read directly
    order = sorted(range(len(parents)), key=lambda k: (parents[k] < 0, parents[k]))
    return _Node(picked(parents, order), _reordered(node.table, order), node.bits)


def _renumbered(node: _Node, place: Mapping[int, int]) -> tuple[int, ...]:
    """The node's parents by their new numbers where they have one, in their old order."""
    return tuple(place.get(parent, parent) for parent in node.parents)


def picked(values: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    """The values at these places."""
    return tuple(map(values.__getitem__, places))


def _reordered(table: Table, order: Sequence[int]) -> Table:
    """A table over parents p0, p1, ... -> the same over p[order[0]], p[order[1]], ..."""
    if list(order) == sorted(order):
        return table
    where = {old: new for new, old in enumerate(order)}
    return _rearranged(table, tuple(where[k] for k in range(len(order))))


def _rearranged(table: Table, where: tuple[int, ...]) -> Table:
    """A table after its input i has become input where[i]."""
    if len(where) > MAX_INPUTS:
        return _tables.rearranged(table, where)
    return picked(table, rows_before(where))


@lru_cache(maxsize=1024)
def rows_before(where: tuple[int, ...]) -> tuple[int, ...]:
    """For each row, its number before input i became input where[i]."""
    rows = _tables.combinations_of(len(where))
    return tuple(row_numbers(rows[:, list(where)]).tolist())


def _orders(layers: Layers) -> Iterator[Form]:
    """Every way to number the units of each layer by (bits, influence on what reads them).

    Ties are tried in every order.

    The canonical form is the smallest of these. Most units differ in their bits, so there is one
    order; only copies tie, and copies that nothing tells apart need no trying either.
    """
    groups = [_tied(layer, after) for layer, after in pairwise(layers)]  # per hidden layer
    count = prod(factorial(len(group)) for group in chain.from_iterable(groups))
    if count > MAX_ORDERS:
        raise XorMiError(
            f"{count:,} orders of interchangeable units; "
            f"a canonical form tries at most {MAX_ORDERS:,}: study fewer units"
        )
    per_layer = [list(_orders_of(layer)) for layer in groups]
    for choice in product(*per_layer):
        yield _numbered(layers, choice)


def _tied(layer: Sequence[_Node], after: Sequence[_Node]) -> list[tuple[int, ...]]:
    """The units of one layer, in order, in groups whose own order is open.

    Those of a group have the same bits and the same influence.
    """
    n_with = Counter(node.bits for node in layer)
    # most units differ in their bits, and an influence is slow to find
    keys = [
        (node.bits, _influence(k, after) if n_with[node.bits] > 1 else ())
        for k, node in enumerate(layer)
    ]
    ordered = sorted(range(len(layer)), key=lambda k: keys[k])
    groups: list[tuple[int, ...]] = []
    for _, members in groupby(ordered, key=lambda k: keys[k]):
        group = tuple(members)
        if _all_interchangeable(group, layer, after):
            # Any order of these gives the same form, so the one they have will do.
            groups += [(unit,) for unit in group]
        else:
            groups.append(group)
    return groups


def _orders_of(groups: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Every order of the units that keeps the groups in order."""
    for choice in product(*map(permutations, groups)):
        yield tuple(chain.from_iterable(choice))


def _all_interchangeable(
    group: Sequence[int], layer: Sequence[_Node], after: Sequence[_Node]
) -> bool:
    """Whether swapping any two of these units changes nothing.

    They read the same, and what reads them does not tell them apart.
    """
    # Neighbours are enough: swaps of neighbours make every order.
    return all(_interchangeable(a, b, layer, after) for a, b in pairwise(group))


def _interchangeable(a: int, b: int, layer: Sequence[_Node], after: Sequence[_Node]) -> bool:
    """Whether swapping these two units changes nothing."""
    reads_same = (layer[a].parents, layer[a].table) == (layer[b].parents, layer[b].table)
    return reads_same and all(_symmetric(node, a, b) for node in after)


def _symmetric(node: _Node, a: int, b: int) -> bool:
    """Whether a node is the same when parents a and b are swapped."""
    if a not in node.parents and b not in node.parents:
        return True
    if a not in node.parents or b not in node.parents:
        return False
    order = list(range(len(node.parents)))
    i, j = node.parents.index(a), node.parents.index(b)
    order[i], order[j] = j, i
    return _reordered(node.table, order) == node.table


def _influence(unit: int, after: Sequence[_Node]) -> tuple[tuple[Table, int, int], ...]:
    """How often turning this unit on turns each reader on or off.

    The same for units that are interchangeable.
    """
    influence = []
    for node in after:
        if unit in node.parents:
            k = node.parents.index(unit)
            influence.append((node.bits, *_tables.turns(node.table, k)))
    # Sorted, since the readers' own order is not yet settled.
    return tuple(sorted(influence))


def _numbered(layers: Layers, choice: Sequence[Sequence[int]]) -> Form:
    """The layers with unit choice[l][k] of layer l numbered k; outputs keep their order."""
    form = []
    place: dict[int, int] | None = None  # of the layer before; None for the inputs, which stay
    for number, layer in enumerate(layers):
        # Outputs have no choice of order.
        order = choice[number] if number < len(choice) else range(len(layer))
        nodes = [layer[k] for k in order]
        if place is not None:
            nodes = [_with_parents_moved(node, place) for node in nodes]
        form.append(tuple((node.bits, node.parents, node.table) for node in nodes))
        place = {old: new for new, old in enumerate(order)}
    return tuple(form)


def _text(form: Form) -> str:
    """'OR & ~AND' with one hidden layer.

    Deeper units are numbered and defined first: 'u1.0 = OR & ~AND; u1.0 | x0'.
    """
    gates = [_as_one_name(name_of_bits(bits)) for bits, _, _ in form[0]]
    # Units with the same gate are told apart: AND'1, AND'2.
    counts, seen = Counter(gates), Counter()
    names = []
    for gate in gates:
        seen[gate] += 1
        names.append(f"{gate}'{seen[gate]}" if counts[gate] > 1 else gate)
    definitions = []
    for number, layer in enumerate(form[1:-1], start=1):
        written = [_over(table, parents, names) for _, parents, table in layer]
        names = [f"u{number}.{k}" for k in range(len(layer))]
        definitions += [f"{name} = {text}" for name, text in zip(names, written, strict=True)]
    # An output may read inputs past the hidden layers. They come last, as they are counted from the
    # end, and a hidden unit that acts as x0 must not be taken for them.
    n_inputs = len(form[-1][0][0]).bit_length() - 1
    names += [f"x{i}'direct" for i in range(n_inputs)]
    outputs = [_over(table, parents, names) for _, parents, table in form[-1]]
    return "; ".join([*definitions, ", ".join(outputs)])


def _as_one_name(gate: str) -> str:
    """A gate's name or formula, so that no text over several units reads the same."""
    return f"[{gate}]" if re.search(r"[&|^]", gate) else gate


def _over(table: Table, parents: Sequence[int], names: Sequence[str]) -> str:
    """A table as a formula over named parents.

    A name that has a sign, ~x0 or x0>x1, is bracketed where it would be read otherwise.
    """
    if not parents:
        return "TRUE" if table[0] else "FALSE"
    if len(parents) > MAX_INPUTS:
        # no formula is found for so many: the table itself, hashed, says which function it is
        digest = sha256(bytes(table)).hexdigest()[:16]
        return f"f({', '.join(names[parent] for parent in parents)}), sha256 {digest}"
    formula = BooleanFunction(len(parents), (table,)).formula
    # Parent k of the formula is written xk, perhaps with its sign. First each is one mark, that of
    # the last parent before x1 is looked for in x10: names have an x, too.
    for k in reversed(range(len(parents))):
        formula = formula.replace(f"x{k}", MARKS[k])
    for mark, parent in zip(MARKS, parents, strict=False):
        name = names[parent]
        # ~(~x0) and (~x0) are of one unit called ~x0, but ~x0 of one called x0
        if name.startswith("~"):
            name = f"({name})"
        elif ">" in name:
            formula = formula.replace(f"~{mark}", f"~({name})")
        formula = formula.replace(mark, name)
    return formula
