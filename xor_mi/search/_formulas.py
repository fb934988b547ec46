"""a Boolean function -> the formulas that compute it, up to a depth: the algorithms that
`find_alignments` looks for in a network.

Two enumerations. "ordered" is that of Meloux et al. (2025): skeletons of AND and OR whose left part
is one level deep at least as the right one and earlier in the alphabet, and of every skeleton one
formula, with the fewest negations; XOR has 56 of depth 3. "free" has no such accidents: every tree
of two-input gates that read both their inputs and are no parity, in any order and up to negating
what lies inside."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from xor_mi.errors import XorMiError, unknown
from xor_mi.truth import BooleanFunction, truth_rows


class TooManyFormulas(XorMiError):
    """There are more formulas of this depth than are tried."""


from xor_mi.search._convention import Enumeration

TREES = ("free", "ordered")
MAX_TREES = 500_000
"""More trees than this are refused."""

Tree = int | tuple
"""An input's index, ("~", tree), ("&", tree, tree) or ("|", tree, tree)."""
Table = int
"""A truth table as one number: bit r is row r."""


Path = tuple[int, ...]
"""A place in a tree: which part to take, from the root down; () is the root."""


@dataclass(frozen=True)
class Variable:
    """A part of a formula that units may stand for, and where it occurs."""

    part: Tree
    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return text_of(self.part)


@dataclass(frozen=True)
class Formula:
    """A tree of gates over the inputs, and which of its parts are variables of the algorithm.

    Attributes:
        tree: nested tuples; see `Tree`.
        variables: every gate but the root; right under a NOT the gate is left out, the NOT stands
            for it. In the free enumeration a part that occurs twice is one variable and NOT of an
            input is none; in the ordered one each occurrence and each NOT is one.
    """

    n_inputs: int
    tree: Tree
    variables: tuple[Variable, ...]

    def __str__(self) -> str:
        return text_of(self.tree)

    def held(self, variable: Variable, value: int) -> Table:
        """The formula's truth table with one variable held at 0 or 1."""
        return _table(self.tree, self.n_inputs, frozenset(variable.paths), value)

    def bits(self, variable: Variable) -> Table:
        """The variable's own truth table."""
        return _table(variable.part, self.n_inputs)

    def effect(self, variable: Variable, base: np.ndarray, source: np.ndarray) -> np.ndarray:
        """The formula's value on each base row with the variable as it is on the source row,
        [pair].
        """
        rows = np.arange(2**self.n_inputs)
        held = [self.held(variable, value) for value in (0, 1)]
        outcome = np.array(
            [[table >> int(row) & 1 for row in rows] for table in held], dtype=np.int8
        )
        return outcome[
            np.array([self.bits(variable) >> int(row) & 1 for row in rows])[source], base
        ]

    @cached_property
    def up_to_negation(self) -> Any:
        """Equal for two formulas that differ in the order of their parts and in negations inside
        only.
        """
        return _normal(self.tree)


def formulas(
    target: Any, *, depth: Any = 3, enumeration: Any = "free", n_inputs: int | None = None
) -> tuple[Formula, ...]:
    """Every formula up to `depth` gates deep (NOT is free) that computes the target.

    >>> len(formulas("XOR", depth=3, enumeration="ordered")), len(formulas("XOR", depth=2))
    (56, 2)
    >>> print(formulas("XOR", depth=2, enumeration="ordered")[0])
    ~(x0 & x1) & (x0 | x1)

    Raises:
        XorMiError: a target of several outputs, an unknown enumeration, a depth below 1, or more
            than `MAX_TREES` trees.
    """
    if not isinstance(target, (str, BooleanFunction)):
        raise XorMiError(f"{target!r} is no target; give a gate, a formula or a BooleanFunction")
    function = (
        target if isinstance(target, BooleanFunction) else BooleanFunction.of(target, n_inputs or 2)
    )
    if function.n_outputs != 1:
        raise XorMiError(
            f"{function.n_outputs} outputs; a formula computes one: give target.outputs[k]"
        )
    if enumeration not in TREES:
        raise unknown("enumeration", enumeration, TREES, where="there are")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise XorMiError(f"depth is {depth!r}; give a whole number of at least 1")
    return _found(function, depth, enumeration)


@lru_cache(maxsize=64)
def _found(function: BooleanFunction, depth: int, trees: str) -> tuple[Formula, ...]:
    wanted = sum(bit << row for row, bit in enumerate(function.bits))
    found = (
        _ordered(function.n_inputs, depth, wanted)
        if trees == "ordered"
        else _free(function.n_inputs, depth, wanted)
    )
    return tuple(
        Formula(function.n_inputs, tree, _variables(tree, trees == "ordered")) for tree in found
    )


def text_of(tree: Tree) -> str:
    """The tree in the syntax of `BooleanFunction.from_formula`."""
    if isinstance(tree, int):
        return f"x{tree}"
    parts = [
        text_of(part) if isinstance(part, int) or part[0] == "~" else f"({text_of(part)})"
        for part in tree[1:]
    ]
    return f"~{parts[0]}" if tree[0] == "~" else f" {tree[0]} ".join(parts)


def _variables(tree: Tree, ordered: bool) -> tuple[Variable, ...]:
    places: list[tuple[Tree, Path]] = []

    def visit(part: Tree, path: Path, named: bool) -> None:
        if isinstance(part, int):
            return
        if named and (ordered or part[0] != "~" or not isinstance(part[1], int)):
            places.append((part, path))
        for number, child in enumerate(part[1:], start=1):
            visit(child, (*path, number), named=part[0] != "~")

    visit(tree, (), named=False)
    if ordered:
        return tuple(Variable(part, (path,)) for part, path in places)
    parts = dict.fromkeys(part for part, _ in places)
    return tuple(
        Variable(part, tuple(path for other, path in places if other == part)) for part in parts
    )


@cache
def _column(i: int, n_inputs: int) -> Table:
    return sum(row[i] << k for k, row in enumerate(truth_rows(n_inputs)))


def _table(
    part: Tree, n_inputs: int, held: frozenset[Path] = frozenset(), value: int = 0, path: Path = ()
) -> Table:
    full = (1 << 2**n_inputs) - 1
    if path in held:
        return full * value
    if isinstance(part, int):
        return _column(part, n_inputs)
    tables = [
        _table(child, n_inputs, held, value, (*path, k))
        for k, child in enumerate(part[1:], start=1)
    ]
    if part[0] == "~":
        return full ^ tables[0]
    return tables[0] & tables[1] if part[0] == "&" else tables[0] | tables[1]


def _normal(tree: Tree) -> Any:
    """A form that is the same for equal trees up to negation inside: per gate its parts' forms,
    sorted, and its table over them.
    """
    if isinstance(tree, int):
        return tree
    if tree[0] == "~":
        return _normal(tree[1])
    (left, a), (right, b) = sorted(
        ((_normal(p), _signed(p)) for p in tree[1:]), key=lambda part: repr(part[0])
    )
    # x & y with signs a, b; an OR is the complement of an AND of complements
    return (left, right, a ^ (tree[0] == "|"), b ^ (tree[0] == "|"))


def _signed(tree: Tree) -> bool:
    """Whether a part is the complement of its form: of the AND that `_normal` writes."""
    if isinstance(tree, int):
        return False
    return not _signed(tree[1]) if tree[0] == "~" else tree[0] == "|"


# the free enumeration: trees of ANDs with signs; an OR is an AND up to negation, so nothing is met
# twice


def _free(n_inputs: int, depth: int, wanted: Table) -> list[Tree]:
    full = (1 << 2**n_inputs) - 1
    trees: list[tuple[Tree, Table]] = [(i, _column(i, n_inputs)) for i in range(n_inputs)]
    new, found = len(trees), [tree for tree, table in trees if table == wanted]
    for level in range(depth):
        size = len(trees)
        added = 4 * (size * (size - 1) - (size - new) * (size - new - 1)) // 2
        if added > MAX_TREES:
            raise TooManyFormulas(
                f"{added} trees of depth {level + 1} over {n_inputs} inputs; at most {MAX_TREES}: give a smaller depth"
            )
        fresh: list[tuple[Tree, Table]] = []
        for j in range(size - new, size):
            for i in range(j):
                (left, a), (right, b) = trees[i], trees[j]
                for flip in range(4):
                    table = (a ^ full * (flip & 1)) & (b ^ full * (flip >> 1))
                    if level < depth - 1:
                        fresh.append((("&", _not(left, flip & 1), _not(right, flip >> 1)), table))
                    if table == wanted:
                        found.append(("&", _not(left, flip & 1), _not(right, flip >> 1)))
                    elif table ^ full == wanted:
                        found.append(("|", _not(left, not flip & 1), _not(right, not flip >> 1)))
        trees, new = trees + fresh, len(fresh)
    return found


def _not(tree: Tree, negate: Any) -> Tree:
    """A part or its complement, an AND of complements written as an OR."""
    if not negate:
        return tree
    if (
        isinstance(tree, tuple)
        and tree[0] == "&"
        and all(isinstance(part, tuple) and part[0] == "~" for part in tree[1:])
    ):
        return ("|", tree[1][1], tree[2][1])
    return tree[1] if isinstance(tree, tuple) and tree[0] == "~" else ("~", tree)


# the ordered enumeration


def _ordered(n_inputs: int, depth: int, wanted: Table) -> Iterator[Tree]:
    levels: list[list[Tree]] = [list(range(n_inputs))]
    for level in range(1, depth + 1):
        later = [tree for trees in levels for tree in trees]
        if 2 * len(levels[-1]) * len(later) > MAX_TREES:
            raise TooManyFormulas(
                f"over {MAX_TREES} trees of depth {level} over {n_inputs} inputs; give a smaller depth"
            )
        spelled = {tree: _spelling(tree) for tree in later}
        levels.append(
            [
                (op, a, b)
                for a in levels[-1]
                for b in later
                if spelled[a] < spelled[b]
                for op in "&|"
            ]
        )
    for skeleton in (tree for trees in levels for tree in trees):
        negated = _fewest_negations(skeleton, n_inputs).get(wanted)
        if negated is not None:
            yield _negate(skeleton, frozenset(negated), 0)[0]


def _spelling(tree: Tree, outermost: bool = True) -> str:
    """The text by which skeletons are ordered: inputs as letters, '*' and '+', every gate but the
    outermost in brackets.
    """
    if isinstance(tree, int):
        return chr(ord("A") + tree)
    inside = _spelling(tree[1], False) + {"&": "*", "|": "+"}[tree[0]] + _spelling(tree[2], False)
    return inside if outermost else f"({inside})"


def _size(tree: Tree) -> int:
    return 1 if isinstance(tree, int) else 1 + sum(_size(part) for part in tree[1:])


@lru_cache(maxsize=MAX_TREES)
def _fewest_negations(tree: Tree, n_inputs: int) -> dict[Table, tuple[int, ...]]:
    """Every table that negations can give a skeleton -> the nodes to negate: fewest, then first,
    numbered from the root, left first.
    """
    full = (1 << 2**n_inputs) - 1
    found: dict[Table, tuple[int, ...]] = {}

    def keep(table: Table, nodes: tuple[int, ...]) -> None:
        if table not in found or (len(nodes), nodes) < (len(found[table]), found[table]):
            found[table] = nodes

    if isinstance(tree, int):
        column = _column(tree, n_inputs)
        return {column: (), full ^ column: (0,)}
    after = 1 + _size(tree[1])
    for a, left in _fewest_negations(tree[1], n_inputs).items():
        for b, right in _fewest_negations(tree[2], n_inputs).items():
            table = a & b if tree[0] == "&" else a | b
            nodes = tuple(1 + node for node in left) + tuple(after + node for node in right)
            keep(table, nodes)
            keep(full ^ table, (0, *nodes))
    return found


def _negate(tree: Tree, nodes: frozenset[int], number: int) -> tuple[Tree, int]:
    """The skeleton with NOT above these nodes, and the number after its last."""
    own = number
    if isinstance(tree, int):
        result, number = tree, number + 1
    else:
        left, number = _negate(tree[1], nodes, number + 1)
        right, number = _negate(tree[2], nodes, number)
        result = (tree[0], left, right)
    return (("~", result) if own in nodes else result), number
