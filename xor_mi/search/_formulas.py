"""a Boolean function -> the formulas that compute it, up to a depth.

These are the algorithms that `find_alignments` looks for in a network.

There are two enumerations. "ordered" is the one of Meloux et al. (2025): skeletons of AND and OR
whose left part is at least as deep as the right part and earlier in the alphabet, and for every
skeleton the one formula with the fewest negations; XOR has 56 of depth 3. "free" does not depend on
such details: it has every tree of two-input gates, in any order and up to negations inside. Its
gates depend on both their inputs, are not parities, and never read the same part twice.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from xor_mi.errors import XorMiError, unknown, whole_number
from xor_mi.kinds import Target
from xor_mi.progress import progress_bar
from xor_mi.search._convention import CHOICES, Enumeration
from xor_mi.truth import BooleanFunction, Tree, packed_input

MAX_TREES = 500_000
"""More trees than this are refused, because all are held in memory."""

Item = TypeVar("Item")

PackedTable = int
"""A truth table as one number: bit r is row r; see `Tree.packed_table`."""

Path = tuple[int, ...]
"""A place in a tree: which part to follow, from the root down; () is the root."""


class TooManyFormulas(XorMiError):
    """There are more formulas of this depth than are tried."""


@dataclass(frozen=True)
class Variable:
    """A part of a formula that units may stand for, and where it occurs."""

    part: Tree
    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return str(self.part)


@dataclass(frozen=True)
class Formula:
    """A tree of gates over the inputs, and which of its parts are variables of the algorithm.

    Attributes:
        variables: every gate except the root. Of a gate right under a NOT, the NOT is the variable.
            In the free enumeration a part that occurs twice is one variable, and NOT of an input is
            not a variable; in the ordered enumeration each occurrence and each NOT is a variable.
    """

    n_inputs: int
    tree: Tree
    variables: tuple[Variable, ...]

    def __str__(self) -> str:
        return str(self.tree)

    def held(self, variable: Variable, value: int) -> PackedTable:
        """The formula's truth table with one variable held at 0 or 1."""
        tree = self.tree
        for path in variable.paths:
            tree = _with_part(tree, path, Tree.constant(value))
        return tree.packed_table(self.n_inputs)

    def bits(self, variable: Variable) -> PackedTable:
        """The variable's own truth table."""
        return variable.part.packed_table(self.n_inputs)

    def effect(
        self, variable: Variable, base: NDArray[np.int64], source: NDArray[np.int64]
    ) -> NDArray[np.int8]:
        """The formula on each base row with the variable as it is on the source row, [pair]."""
        tables = self._tables_of_variables[self.variables.index(variable)]
        if_0, if_1, own = (_unpacked(table, self.n_inputs) for table in tables)
        return np.where(own[source] == 1, if_1[base], if_0[base])

    @cached_property
    def _tables_of_variables(self) -> tuple[tuple[PackedTable, PackedTable, PackedTable], ...]:
        """For each variable: the formula with it held at 0, and held at 1, and its own table."""
        return tuple(
            (self.held(variable, 0), self.held(variable, 1), self.bits(variable))
            for variable in self.variables
        )

    @cached_property
    def up_to_negation(self) -> Hashable:
        """Equal for formulas that differ in the order of parts and in negations inside only."""
        return _normal(self.tree)


def _unpacked(table: PackedTable, n_inputs: int) -> NDArray[np.int8]:
    """A truth table as an array, [row]."""
    return np.array([table >> row & 1 for row in range(2**n_inputs)], dtype=np.int8)


def formulas(
    target: Target,
    *,
    depth: int = 3,
    enumeration: Enumeration = "free",
    n_inputs: int | None = None,
    progress: bool = True,
) -> tuple[Formula, ...]:
    """Every formula up to `depth` gates deep (NOT is free) that computes the target.

    An input and its NOT have no gate. TRUE and FALSE are not formulas, but gates over inputs may
    compute a constant.

    Args:
        n_inputs: how many inputs a target given by name or as a formula has; by default as many as
            the formula names, and at least 2.

    >>> len(formulas("XOR", depth=3, enumeration="ordered")), len(formulas("XOR", depth=2))
    (56, 2)
    >>> print(formulas("XOR", depth=2, enumeration="ordered")[0])
    ~(x0 & x1) & (x0 | x1)

    Raises:
        XorMiError: a target of several outputs, an unknown enumeration, or a depth below 1.
        TooManyFormulas: more than `MAX_TREES` trees.
    """
    if not isinstance(target, (str, BooleanFunction)):
        raise XorMiError(f"{target!r} is not a target; give a gate, a formula or a BooleanFunction")
    function = (
        target if isinstance(target, BooleanFunction) else BooleanFunction.of(target, n_inputs)
    )
    if function.n_outputs != 1:
        raise XorMiError(
            f"the target has {function.n_outputs} outputs; a formula computes one: give "
            "target.outputs[k]"
        )
    if enumeration not in CHOICES["enumeration"]:
        raise unknown("enumeration", enumeration, CHOICES["enumeration"], where="there are")
    depth = whole_number("depth", depth, at_least=1)
    return _formulas_of(function, depth, enumeration, progress=progress)


@lru_cache(maxsize=64)
def _formulas_of(
    function: BooleanFunction, depth: int, enumeration: Enumeration, *, progress: bool
) -> tuple[Formula, ...]:
    """The same for a checked request; searches under several conventions share it."""
    wanted = sum(bit << row for row, bit in enumerate(function.bits))
    is_ordered = enumeration == "ordered"
    trees_computing = _ordered if is_ordered else _free
    return tuple(
        Formula(function.n_inputs, tree, _variables(tree, is_ordered=is_ordered))
        for tree in trees_computing(function.n_inputs, depth, wanted, progress=progress)
    )


def _bar(items: Sequence[Item], *, progress: bool) -> Iterable[Item]:
    return progress_bar(items, doing="formulas", unit="tree", progress=progress)


def _variables(tree: Tree, *, is_ordered: bool) -> tuple[Variable, ...]:
    """The parts of a formula that are variables, in reading order."""
    paths: dict[Tree, list[Path]] = {}
    occurrences: list[Variable] = []
    for part, path, under_not in _gates_below(tree):
        negates_input = part.kind == "not" and part.parts[0].kind == "input"
        if under_not or (negates_input and not is_ordered):
            continue
        occurrences.append(Variable(part, (path,)))
        paths.setdefault(part, []).append(path)
    if is_ordered:
        return tuple(occurrences)
    return tuple(Variable(part, tuple(paths_to_part)) for part, paths_to_part in paths.items())


def _gates_below(tree: Tree, path: Path = ()) -> Iterator[tuple[Tree, Path, bool]]:
    """Every gate except the root, with its path and whether it is right under a NOT."""
    for number, part in enumerate(tree.parts):
        if part.kind != "input":
            path_to_part = (*path, number)
            yield part, path_to_part, tree.kind == "not"
            yield from _gates_below(part, path_to_part)


def _with_part(tree: Tree, path: Path, part: Tree) -> Tree:
    """The tree with another part at one place."""
    if not path:
        return part
    first, *rest = path
    parts = list(tree.parts)
    parts[first] = _with_part(parts[first], tuple(rest), part)
    return Tree(tree.kind, tuple(parts))


def _normal(tree: Tree) -> Hashable:
    """A form that is the same for equal trees up to negation inside.

    Per gate: the forms of its two parts, sorted, and whether each is complemented.
    """
    if tree.kind == "input":
        return tree.value
    if tree.kind == "not":
        return _normal(tree.parts[0])
    forms = [(_normal(part), _is_complement(part)) for part in tree.parts]
    # forms are numbers and tuples, which cannot be compared; any fixed order is good enough
    (left, left_sign), (right, right_sign) = sorted(forms, key=lambda form: repr(form[0]))
    # an AND of two signed parts; an OR is the complement of an AND of complements (De Morgan)
    is_or = tree.kind == "or"
    return (left, right, left_sign ^ is_or, right_sign ^ is_or)


def _is_complement(tree: Tree) -> bool:
    """Whether a part is the complement of the form that `_normal` writes."""
    if tree.kind == "not":
        return not _is_complement(tree.parts[0])
    return tree.kind == "or"


# The free enumeration: trees of ANDs with signs. An OR is an AND up to negation, so no formula is
# counted twice.


def _free(n_inputs: int, depth: int, wanted: PackedTable, *, progress: bool) -> list[Tree]:
    """The trees that compute the wanted table, level by level."""
    full = (1 << 2**n_inputs) - 1  # all rows: `table ^ full` is the complement
    trees = [(Tree.input(i), packed_input(i, n_inputs)) for i in range(n_inputs)]
    computing = [tree for tree, table in trees if table == wanted]
    computing += [_not(tree) for tree, table in trees if table ^ full == wanted]
    n_new = len(trees)  # how many of them the last level added
    for level in range(depth):
        n_old = len(trees) - n_new
        # every pair with at least one new tree, each with four choices of signs
        n_added = 4 * (_n_pairs(len(trees)) - _n_pairs(n_old))
        if n_added > MAX_TREES:
            raise TooManyFormulas(
                f"{n_added:,} trees of depth {level + 1} over {n_inputs} inputs; "
                f"at most {MAX_TREES}: give a smaller depth"
            )
        is_last = level == depth - 1
        next_level: list[tuple[Tree, PackedTable]] = []
        for j in _bar(range(n_old, len(trees)), progress=progress):
            for i in range(j):
                (left, left_table), (right, right_table) = trees[i], trees[j]
                for negates_left, negates_right in _SIGNS:
                    left_signed = left_table ^ full if negates_left else left_table
                    right_signed = right_table ^ full if negates_right else right_table
                    table = left_signed & right_signed
                    # nothing is built on the last level, so only trees that compute the target
                    # count
                    if is_last and table not in (wanted, full ^ wanted):
                        continue
                    signs = (negates_left, negates_right)
                    tree = _gate("and", (left, right), negates=signs)
                    if not is_last:
                        next_level.append((tree, table))
                    if table == wanted:
                        computing.append(tree)
                    elif table ^ full == wanted:
                        other_signs = (not negates_left, not negates_right)
                        computing.append(_gate("or", (left, right), negates=other_signs))
        trees, n_new = trees + next_level, len(next_level)
    return computing


_SIGNS = ((False, False), (True, False), (False, True), (True, True))
"""Which of a gate's two parts are negated."""


def _n_pairs(n: int) -> int:
    """How many pairs of two different things of n there are."""
    return n * (n - 1) // 2


def _gate(
    kind: Literal["and", "or"], parts: tuple[Tree, Tree], *, negates: tuple[bool, bool]
) -> Tree:
    """A gate over two parts, each perhaps negated."""
    left, right = parts
    negates_left, negates_right = negates
    return Tree(
        kind, (_not(left) if negates_left else left, _not(right) if negates_right else right)
    )


def _not(tree: Tree) -> Tree:
    """A part's complement; an AND of complements is written as an OR."""
    if tree.kind == "not":
        return tree.parts[0]
    if tree.kind == "and" and all(part.kind == "not" for part in tree.parts):
        return Tree("or", tuple(part.parts[0] for part in tree.parts))
    return Tree("not", (tree,))


# The ordered enumeration.


def _ordered(n_inputs: int, depth: int, wanted: PackedTable, *, progress: bool) -> Iterator[Tree]:
    """For every skeleton that can compute the wanted table, its formula with fewest negations."""
    skeletons = _skeletons(n_inputs, depth)
    options = _Options(n_inputs)
    for skeleton in _bar(skeletons, progress=progress):
        negated = options.fewest(skeleton, wanted)
        if negated is not None:
            formula, _ = _with_negations(skeleton, frozenset(negated), number=0)
            yield formula


def _skeletons(n_inputs: int, depth: int) -> list[Tree]:
    """Trees of AND and OR without negations, level by level."""
    last_level = [Tree.input(i) for i in range(n_inputs)]
    skeletons = list(last_level)
    for level in range(1, depth + 1):
        # an AND and an OR for every pair, including those that the alphabet rules out
        if 2 * len(last_level) * len(skeletons) > MAX_TREES:
            raise TooManyFormulas(
                f"more than {MAX_TREES:,} trees of depth {level} over {n_inputs} inputs; "
                "give a smaller depth"
            )
        spelled = {tree: _spelling(tree) for tree in skeletons}
        # the left part is exactly one level less deep than the tree, the right one that deep or
        # less; of two orders of the same parts the alphabet keeps one
        next_level: list[Tree] = []
        for left in last_level:
            for right in skeletons:
                if spelled[left] < spelled[right]:
                    next_level += [Tree("and", (left, right)), Tree("or", (left, right))]
        last_level = next_level
        skeletons += next_level
    return skeletons


def _spelling(tree: Tree, *, is_outermost: bool = True) -> str:
    """The text by which skeletons are ordered: 'A*(B+C)'.

    Inputs are letters, AND is '*', OR is '+', every gate but the outermost is in brackets.
    """
    if tree.kind == "input":
        return chr(ord("A") + tree.value)
    left, right = (_spelling(part, is_outermost=False) for part in tree.parts)
    inside = left + ("*" if tree.kind == "and" else "+") + right
    return inside if is_outermost else f"({inside})"


def _size(tree: Tree) -> int:
    """How many nodes a tree has."""
    return 1 + sum(_size(part) for part in tree.parts)


_Nodes = tuple[int, ...]
"""Nodes of a skeleton to negate, numbered from the root, left first."""


def _first(a: _Nodes, b: _Nodes | None) -> _Nodes:
    """The choice with fewer nodes, or the first of two equally small ones."""
    return a if b is None or (len(a), a) < (len(b), b) else b


class _Options:
    """The tables that negations can give skeletons. Each part of a skeleton is computed once."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.full = (1 << 2**n_inputs) - 1  # all rows: `table ^ full` is the complement
        self.of_part: dict[Tree, dict[PackedTable, _Nodes]] = {}
        self.fitting: dict[tuple[Tree, str, PackedTable], list[tuple[PackedTable, _Nodes]]] = {}

    def fewest(self, skeleton: Tree, wanted: PackedTable) -> _Nodes | None:
        """The fewest nodes to negate for the wanted table; None if no choice gives it."""
        if skeleton.kind == "input":
            return self.of(skeleton).get(wanted)
        best: _Nodes | None = None
        left, right = skeleton.parts
        first_on_the_right = 1 + _size(left)
        # unchanged, or with a NOT above the root, which is node 0
        for goal, root in ((wanted, ()), (self.full ^ wanted, (0,))):
            on_the_right = self.that_fit(right, skeleton.kind, goal)
            for left_table, left_nodes in self.that_fit(left, skeleton.kind, goal):
                for right_table, right_nodes in on_the_right:
                    n_nodes = len(root) + len(left_nodes) + len(right_nodes)
                    if best is not None and n_nodes > len(best):
                        break  # later choices have as many nodes or more
                    if _joined(skeleton.kind, left_table, right_table) == goal:
                        inside = _inside(left_nodes, right_nodes, first_on_the_right)
                        best = _first((*root, *inside), best)
        return best

    def that_fit(
        self, part: Tree, kind: str, goal: PackedTable
    ) -> list[tuple[PackedTable, _Nodes]]:
        """The tables of a part that an AND or OR with some other table can turn into the goal.

        Tables with the fewest negations come first.
        """
        key = part, kind, goal
        if key not in self.fitting:
            # joined with the goal itself, a table that fits changes nothing
            fitting = [
                (table, nodes)
                for table, nodes in self.of(part).items()
                if _joined(kind, table, goal) == goal
            ]
            self.fitting[key] = sorted(fitting, key=lambda option: len(option[1]))
        return self.fitting[key]

    def of(self, skeleton: Tree) -> dict[PackedTable, _Nodes]:
        """Every table that negations can give a skeleton -> the nodes to negate, fewest first."""
        if skeleton not in self.of_part:
            self.of_part[skeleton] = self._tables_of(skeleton)
        return self.of_part[skeleton]

    def _tables_of(self, skeleton: Tree) -> dict[PackedTable, _Nodes]:
        if skeleton.kind == "input":
            table = packed_input(skeleton.value, self.n_inputs)
            return {table: (), self.full ^ table: (0,)}  # node 0 is the root itself
        best: dict[PackedTable, _Nodes] = {}
        left, right = skeleton.parts
        first_on_the_right = 1 + _size(left)
        for left_table, left_nodes in self.of(left).items():
            for right_table, right_nodes in self.of(right).items():
                table = _joined(skeleton.kind, left_table, right_table)
                inside = _inside(left_nodes, right_nodes, first_on_the_right)
                best[table] = _first(inside, best.get(table))
                turned = self.full ^ table
                best[turned] = _first((0, *inside), best.get(turned))
        return best


def _joined(kind: str, left: PackedTable, right: PackedTable) -> PackedTable:
    """The table of an AND or an OR."""
    return left & right if kind == "and" else left | right


def _inside(left: _Nodes, right: _Nodes, first_on_the_right: int) -> _Nodes:
    """Nodes of two parts, renumbered in the joined tree: the root is 0, the left part follows."""
    return (*(1 + node for node in left), *(first_on_the_right + node for node in right))


def _with_negations(skeleton: Tree, nodes: frozenset[int], *, number: int) -> tuple[Tree, int]:
    """The skeleton with NOT above these nodes, and the number after its last node.

    Args:
        number: the number of the skeleton's root.
    """
    parts: list[Tree] = []
    following = number + 1
    for part in skeleton.parts:
        negated, following = _with_negations(part, nodes, number=following)
        parts.append(negated)
    tree = Tree(skeleton.kind, tuple(parts), skeleton.value)
    return (Tree("not", (tree,)) if number in nodes else tree), following
