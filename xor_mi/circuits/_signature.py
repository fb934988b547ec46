"""netlist -> its canonical form: what two circuits have in common when their units are merely
numbered, scaled or negated differently.

A *signature* is the same under any permutation of hidden units and any positive rescaling of them
(thresholds scale along, so bits stay). Constant units, and units that no output depends on, are not
part of it. A *family* is also the same when a unit is replaced by its complement (with the sign
turned in what reads it) and when inputs are swapped: every unit is written so that it is 0 on the
all-zero input, and of all orders of the inputs the one with the smallest form is taken. For XOR by
two threshold units there are two families, `OR & ~AND` and `x0>x1 | x1>x0`."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, groupby, pairwise, permutations, product
from math import factorial, prod

from xor_mi.circuits._netlist import LocalGate
from xor_mi.errors import XorMiError
from xor_mi.graph import Unit
from xor_mi.truth import BooleanFunction, name_of_bits, row_number, truth_rows

Table = tuple[int, ...]
MAX_WRITTEN = 20
MAX_ORDERS = 50_000
"""Orders of units and inputs tried for one canonical form; units that differ in their bits need no
trying.
"""


@dataclass(frozen=True)
class _Node:
    """A live unit or output: its parents (positions in the layer before, or inputs), its table over
    them, its bits on the input rows.
    """

    parents: tuple[int, ...]
    table: Table
    bits: Table


def signature_of(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> str:
    """The canonical text of a netlist, equal exactly for netlists that are the same up to the
    numbering of their units.

    Raises:
        XorMiError: more than `MAX_ORDERS` orders of interchangeable units.
    """
    return _text(form_of(netlist, layer_sizes))


def form_of(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> "Form":
    """The canonical form of a netlist, of which its signature is the text."""
    return min(_orders(_live_layers(netlist, layer_sizes)))


def signature_of_all(netlists: Sequence[Sequence[LocalGate]], layer_sizes: Sequence[int]) -> str:
    """The distinct signatures of several netlists in alphabetical order, joined by ' / '; more than
    `MAX_WRITTEN` as number and hash.
    """
    return signature_of_forms({form_of(netlist, layer_sizes) for netlist in netlists})


def signature_of_forms(forms: "Set[Form]") -> str:
    """The same for canonical forms."""
    if len(forms) > MAX_WRITTEN:
        return f"{len(forms)} different readings, sha256 {sha256(repr(sorted(forms)).encode()).hexdigest()[:16]}"
    return " / ".join(sorted(map(_text, forms)))


def family_of(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> str:
    """The canonical text up to complement of hidden units and order of the inputs as well."""
    layers = _zero_at_zero(_live_layers(netlist, layer_sizes))
    n_inputs = layer_sizes[0]
    used = sorted({parent for node in layers[0] for parent in node.parents})
    if factorial(len(used)) > MAX_ORDERS:
        raise XorMiError(
            f"a family of {len(used)} inputs has {factorial(len(used))} input orders; at most {MAX_ORDERS} are tried"
        )
    unused = [i for i in range(n_inputs) if i not in used]
    found = []
    for order in permutations(used):  # those in use become the first inputs, in every order
        place = {i: k for k, i in enumerate([*order, *unused])}
        found.append(
            min(
                _orders(
                    [
                        [_renamed(node, place, n_inputs) for node in layers[0]],
                        *_rebitted(layers[1:], place, n_inputs),
                    ]
                )
            )
        )
    return _text(min(found))


def live_units(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> tuple[Unit, ...]:
    """The hidden units that a signature is made of: not constant, and read by an output, directly
    or through others.
    """
    layers = _reduced_layers(netlist, layer_sizes)
    found: list[Unit] = []
    read = {parent for node in layers[-1] for parent in node.parents}
    for number in reversed(range(len(layers) - 1)):
        found += [Unit(number, k) for k in read]
        read = {parent for k in read for parent in layers[number][k].parents}
    return tuple(sorted(found))


def _live_layers(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> list[list[_Node]]:
    """Hidden layers and outputs, each node over its essential parents; constants folded, unread
    units left out.
    """
    return _without_unread(_reduced_layers(netlist, layer_sizes))


def _reduced_layers(netlist: Sequence[LocalGate], layer_sizes: Sequence[int]) -> list[list[_Node]]:
    """Hidden layers and outputs, each node over its essential parents; constants folded."""
    gates = iter(netlist)
    tables = [[next(gates).bits for _ in range(size)] for size in layer_sizes[1:]]
    rows = truth_rows(layer_sizes[0])
    values: list[Table] = [tuple(row[i] for row in rows) for i in range(layer_sizes[0])]
    constant: dict[int, int] = {}
    layers: list[list[_Node]] = []
    for number, layer in enumerate(tables):
        nodes = [_reduced(table, constant, len(values)) for table in layer]
        bits = [
            tuple(table[_index(values[p][r] for p in parents)] for r in range(len(rows)))
            for parents, table in nodes
        ]
        is_output = number == len(tables) - 1
        constant = (
            {}
            if is_output
            else {k: table[0] for k, (parents, table) in enumerate(nodes) if not parents}
        )
        values = bits
        layers.append(
            [_Node(parents, table, b) for (parents, table), b in zip(nodes, bits, strict=True)]
        )
    return layers


def _reduced(table: Table, constant: dict[int, int], width: int) -> tuple[tuple[int, ...], Table]:
    """A table over `width` parents -> the parents it depends on, constants put in, and its table
    over these.
    """
    rows = truth_rows(width)
    # every row reads the table as if the constant parents had their bits
    held = tuple(table[row_number(_with_constants(row, constant))] for row in rows)
    essential = BooleanFunction(width, (held,)).essential_inputs
    short = {tuple(row[k] for k in essential): bit for row, bit in zip(rows, held, strict=True)}
    return essential, tuple(short[row] for row in sorted(short))


def _with_constants(row: tuple[int, ...], constant: dict[int, int]) -> tuple[int, ...]:
    return tuple(constant.get(k, bit) for k, bit in enumerate(row))


def _flipped(row: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*row[:k], 1 - row[k], *row[k + 1 :])


def _index(bits: Iterator[int] | Sequence[int]) -> int:
    value = 0
    for bit in bits:
        value = 2 * value + bit
    return value


def _without_unread(layers: list[list[_Node]]) -> list[list[_Node]]:
    """Drop units that no output depends on, from the last hidden layer back."""
    kept = [layers[-1]]
    for layer in reversed(layers[:-1]):
        read = sorted({parent for node in kept[0] for parent in node.parents})
        place = {old: new for new, old in enumerate(read)}
        kept[0] = [
            _Node(tuple(place[p] for p in node.parents), node.table, node.bits) for node in kept[0]
        ]
        kept.insert(0, [layer[k] for k in read])
    return kept


def _zero_at_zero(layers: list[list[_Node]]) -> list[list[_Node]]:
    """Every hidden unit complemented that is 1 on the all-zero input, with what reads it turned
    along.
    """
    turned: list[bool] = []
    found = []
    for number, layer in enumerate(layers):
        nodes = []
        flips = [node.bits[0] == 1 and number < len(layers) - 1 for node in layer]
        for node, flip in zip(layer, flips, strict=True):
            signs = [turned[p] if turned else False for p in node.parents]
            rows = truth_rows(len(node.parents)) if node.parents else ((),)
            table = tuple(
                node.table[_index(bit ^ sign for bit, sign in zip(row, signs, strict=True))] ^ flip
                for row in rows
            )
            nodes.append(_Node(node.parents, table, tuple(bit ^ flip for bit in node.bits)))
        turned = flips
        found.append(nodes)
    return found


def _renamed(node: _Node, place: dict[int, int], n_inputs: int) -> _Node:
    """A unit of the first layer after input i has become input place[i]."""
    parents = tuple(place[p] for p in node.parents)
    order = sorted(range(len(parents)), key=lambda k: parents[k])
    return _Node(
        tuple(parents[k] for k in order),
        _reordered(node.table, order),
        _moved(node.bits, place, n_inputs),
    )


def _rebitted(layers: list[list[_Node]], place: dict[int, int], n_inputs: int) -> list[list[_Node]]:
    return [
        [_Node(node.parents, node.table, _moved(node.bits, place, n_inputs)) for node in layer]
        for layer in layers
    ]


def _moved(bits: Table, place: dict[int, int], n_inputs: int) -> Table:
    """Bits on the rows after input i has become input place[i]."""
    return tuple(
        bits[_index(row[place[i]] for i in range(n_inputs))] for row in truth_rows(n_inputs)
    )


def _reordered(table: Table, order: Sequence[int]) -> Table:
    """A table over parents p0, p1, ... -> the same over p[order[0]], p[order[1]], ..."""
    if not order:
        return table
    where = {old: new for new, old in enumerate(order)}
    return tuple(
        table[_index(row[where[k]] for k in range(len(order)))] for row in truth_rows(len(order))
    )


Form = tuple[tuple[tuple[Table, tuple[int, ...], Table], ...], ...]


def _orders(layers: list[list[_Node]]) -> Iterator[Form]:
    """Every way to number the units of each layer by (bits, influence on what reads them); ties are
    tried in every order.
    """
    groups = []
    for layer, after in pairwise(layers):
        keys = {k: (node.bits, _influence(k, after)) for k, node in enumerate(layer)}
        ordered = sorted(keys, key=lambda k: keys[k])
        groups.append([tuple(group) for _, group in groupby(ordered, key=lambda k: keys[k])])
    for number, layer in enumerate(groups):
        groups[number] = [
            tuple((unit,) for unit in group)
            if _all_interchangeable(group, layers[number], layers[number + 1])
            else (group,)
            for group in layer
        ]
        groups[number] = list(chain.from_iterable(groups[number]))
    count = prod(factorial(len(group)) for group in chain.from_iterable(groups))
    if count > MAX_ORDERS:
        raise XorMiError(
            f"{count} orders of interchangeable units; a canonical form tries at most {MAX_ORDERS}: study fewer units"
        )
    per_layer = [
        [tuple(chain.from_iterable(choice)) for choice in product(*map(permutations, layer))]
        for layer in groups
    ]
    for choice in product(*per_layer):
        yield _numbered(layers, choice)


def _all_interchangeable(
    group: Sequence[int], layer: Sequence[_Node], after: Sequence[_Node]
) -> bool:
    """Swapping any two of these units changes nothing: they read the same, and what reads them does
    not tell them apart.
    """
    return all(
        (layer[a].parents, layer[a].table) == (layer[b].parents, layer[b].table)
        and all(_symmetric(node, a, b) for node in after)
        for a, b in pairwise(group)
    )


def _symmetric(node: _Node, a: int, b: int) -> bool:
    if a not in node.parents and b not in node.parents:
        return True
    if a not in node.parents or b not in node.parents:
        return False
    order = list(range(len(node.parents)))
    i, j = node.parents.index(a), node.parents.index(b)
    order[i], order[j] = j, i
    return _reordered(node.table, order) == node.table


def _influence(unit: int, after: Sequence[_Node]) -> tuple[tuple[Table, int, int], ...]:
    """How often turning this unit on turns each reader on or off: the same for units that are
    interchangeable.
    """
    found = []
    for node in after:
        if unit in node.parents:
            k = node.parents.index(unit)
            rows = [row for row in truth_rows(len(node.parents)) if row[k] == 0]
            steps = [node.table[_index(_flipped(row, k))] - node.table[_index(row)] for row in rows]
            found.append((node.bits, steps.count(1), steps.count(-1)))
    return tuple(sorted(found))


def _numbered(layers: list[list[_Node]], choice: Sequence[Sequence[int]]) -> Form:
    """The layers with unit choice[l][k] of layer l numbered k."""
    found, place = [], None
    for number, layer in enumerate(layers):
        ordered = [layer[k] for k in choice[number]] if number < len(choice) else layer
        nodes = []
        for node in ordered:
            parents = node.parents if place is None else tuple(place[p] for p in node.parents)
            order = sorted(range(len(parents)), key=lambda k: parents[k])
            nodes.append(
                (node.bits, tuple(parents[k] for k in order), _reordered(node.table, order))
            )
        found.append(tuple(nodes))
        place = (
            {old: new for new, old in enumerate(choice[number])} if number < len(choice) else None
        )
    return tuple(found)


def _text(form: Form) -> str:
    """'OR & ~AND' with one hidden layer; deeper units are numbered and defined first: 'u1.0 = OR &
    ~AND; u1.0 | x0'.
    """
    gates = [name_of_bits(bits) for bits, _, _ in form[0]]
    counts, seen = Counter(gates), Counter()
    names = []
    for gate in gates:
        seen[gate] += 1
        names.append(f"{gate}'{seen[gate]}" if counts[gate] > 1 else gate)
    parts = []
    for number, layer in enumerate(form[1:-1], start=1):
        parts += [
            f"u{number}.{k} = {_over(table, [names[p] for p in parents])}"
            for k, (_, parents, table) in enumerate(layer)
        ]
        names = [f"u{number}.{k}" for k in range(len(layer))]
    outputs = [_over(table, [names[p] for p in parents]) for _, parents, table in form[-1]]
    return "; ".join([*parts, ", ".join(outputs)])


def _over(table: Table, names: Sequence[str]) -> str:
    """A table as a formula over named parents; names that are formulas are bracketed where their
    sign or operator needs it.
    """
    if not names:
        return "TRUE" if table[0] else "FALSE"
    formula = BooleanFunction(len(names), (table,)).formula

    def put(match: re.Match[str]) -> str:
        name = names[int(match[2])]
        bracketed = not re.fullmatch(r"[\w.']+", name) and (
            match[1] == "~" or re.search(r"[&|^~ ]", name)
        )
        return match[1] + (f"({name})" if bracketed else name)

    return re.sub(r"(~?)x(\d+)", put, formula)
