"""text -> tree -> truth table. Nothing is executed.

Operators, tightest first: ~, then all comparisons alike, then &, then ^, then |. Comparisons in a
row are read from left to right: x0 > x1 == x2 is (x0 > x1) == x2.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, reduce
from operator import and_, or_, xor
from typing import Literal, NamedTuple

from xor_mi.errors import XorMiError, shown
from xor_mi.truth._gates import truth_rows

TreeKind = Literal["input", "constant", "not", "and", "or", "xor"]
"""The kinds of node in a formula's tree."""

MAX_CHARACTERS = 150_000
"""A longer text is not read as a formula. The longest that is written, the XOR of all products of
12 inputs, has 136,000.
"""

MAX_DEPTH = 200
"""A tree of more operators inside one another is not built from a text."""


class Tree(NamedTuple):
    """A formula as a tree of operators. Two trees are equal if they are written alike.

    Attributes:
        kind: an input, a constant, or the operator that joins the parts.
        parts: what the operator is applied to: one tree for "not", one or more for the others.
        value: the index of an input, or the bit of a constant.

    >>> Tree("and", (Tree.input(0), Tree("not", (Tree.input(1),))))
    x0 & ~x1
    """

    kind: TreeKind
    parts: tuple["Tree", ...] = ()
    value: int = 0

    @classmethod
    def input(cls, index: int) -> "Tree":
        """The input of this index."""
        return cls("input", value=index)

    @classmethod
    def constant(cls, bit: int) -> "Tree":
        """0 or 1."""
        return cls("constant", value=bit)

    def packed_table(self, n_inputs: int) -> int:
        """The truth table as one whole number: its bit r is the formula's value on row r.

        >>> bin(Tree("xor", (Tree.input(0), Tree.input(1))).packed_table(2))
        '0b110'

        Raises:
            XorMiError: a number of inputs that no table has, or that is too small for the formula.
        """
        n_inputs = len(truth_rows(n_inputs)[0])
        # A stack and not a recursion: a tree may be deeper than Python's calls may be nested.
        waiting: list[Tree] = [self]
        order: list[Tree] = []
        while waiting:
            node = waiting.pop()
            if node.kind == "input" and node.value >= n_inputs:
                raise XorMiError(f"x{node.value} is not one of {n_inputs} inputs, counted from 0")
            order.append(node)
            waiting += node.parts
        # Read backwards, the parts of a node come before it: their tables are the last ones.
        tables: list[int] = []
        for node in reversed(order):
            n_before = len(tables) - len(node.parts)
            of_parts = tables[n_before:]
            tables[n_before:] = [_packed_node(node, of_parts, n_inputs)]
        return tables[0]

    def bits(self, n_inputs: int) -> tuple[int, ...]:
        """The truth table, one bit per row.

        Raises:
            XorMiError: a number of inputs that no table has, or that is too small for the formula.
        """
        packed = self.packed_table(n_inputs)
        return tuple(packed >> row & 1 for row in range(2**n_inputs))

    def __str__(self) -> str:
        """The tree in the syntax of `BooleanFunction.from_formula`."""
        if self.kind == "input":
            return f"x{self.value}"
        if self.kind == "constant":
            return str(self.value)
        # every operator inside another one gets brackets: nobody has to know which binds tighter
        parts = [f"({part})" if part.kind in _SIGNS else str(part) for part in self.parts]
        if self.kind == "not":
            return f"~{parts[0]}"
        return f" {_SIGNS[self.kind]} ".join(parts)

    __repr__ = __str__


_SIGNS: dict[str, str] = {"and": "&", "or": "|", "xor": "^"}
_ON_TABLES: dict[str, Callable[[int, int], int]] = {"and": and_, "or": or_, "xor": xor}


def _packed_node(node: Tree, tables: Sequence[int], n_inputs: int) -> int:
    """The packed table of a node whose parts have these packed tables."""
    if node.kind == "input":
        return packed_input(node.value, n_inputs)
    # 2^n bits, all on: the table of TRUE
    ones = (1 << 2**n_inputs) - 1
    if node.kind == "constant":
        return ones * node.value
    if node.kind == "not":
        return ones ^ tables[0]
    return reduce(_ON_TABLES[node.kind], tables)


@cache
def packed_input(index: int, n_inputs: int) -> int:
    """The truth table of one input as one whole number, packed as by `Tree.packed_table`."""
    return sum(row[index] << number for number, row in enumerate(truth_rows(n_inputs)))


def formula_trees(formula: str) -> tuple[Tree, ...]:
    """Text -> one tree per comma-separated output.

    Chains of one operator are one node; comparisons are spelled with the operators of a `Tree`.

    Raises:
        XorMiError: a text that is not a formula, or one nested too deeply.

    >>> formula_trees("x0 ^ x1 ^ (x0 > x1), x0 == x1")
    (x0 ^ x1 ^ (x0 & ~x1), ~(x0 ^ x1))
    """
    if not isinstance(formula, str) or len(formula) > MAX_CHARACTERS:
        raise XorMiError(
            f"a formula is text of at most {MAX_CHARACTERS:,} characters, such as 'x0 & ~x1'"
        )
    too_deep = XorMiError("this formula is nested too deeply to read; write it flatter")
    try:
        trees = _Reader(formula).outputs()
    except RecursionError:
        raise too_deep from None
    if any(depth > MAX_DEPTH for tree in trees for _, depth in _nodes(tree)):
        raise too_deep
    return trees


def read_formula(
    formula: str, n_inputs: int | None = None
) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Text -> (number of inputs, one truth table per comma-separated output).

    The operators are those of `BooleanFunction.from_formula`.
    """
    trees = formula_trees(formula)
    inputs = {node.value for tree in trees for node, _ in _nodes(tree) if node.kind == "input"}
    n_used = max(inputs, default=-1) + 1
    width = max(n_used, 1) if n_inputs is None else n_inputs
    if n_used > width:
        raise XorMiError(
            f"{shown(formula)} uses x{n_used - 1}, but the function has {width} inputs; use none "
            f"above x{width - 1}, or give more inputs"
        )
    truth_rows(width)  # refuses a width without a truth table
    return width, tuple(tree.bits(width) for tree in trees)


def _nodes(tree: Tree) -> Iterator[tuple[Tree, int]]:
    """Every node of a tree, and the number of operators that it lies inside."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(part, depth + 1) for part in node.parts]


_WORDS = {"AND": "&", "OR": "|", "XOR": "^", "NOT": "~", "TRUE": "1", "FALSE": "0"}
_SIGNS_OF_LOGIC = {"&&": "&", "||": "|", "∧": "&", "∨": "|", "⊕": "^", "¬": "~", "!": "~"}
_SPELLINGS = _WORDS | _SIGNS_OF_LOGIC
"""Other ways to write an operator or a constant, words in upper case."""
_CALLS = ("AND", "IMPLIES", "NAND", "NIMP", "NOR", "NOT", "OR", "XNOR", "XOR")
_INDEX_OF_LETTER = {"a": 0, "b": 1, "c": 2, "d": 3, "x": 0, "y": 1, "z": 2}


def _tokens(formula: str) -> list[str]:
    """The text's words and signs.

    Raises:
        XorMiError: a word or sign that no formula has.
    """
    # the longer signs first, so that >= is not read as > and =
    tokens = re.findall(r"\w+|>=|<=|==|!=|&&|\|\||\S", formula)
    for token in tokens:
        # which words are inputs is checked where they are read
        is_known = token in _SPELLINGS or token in _JOINS
        if not (is_known or re.fullmatch(r"[^\W\d]\w*|[01(),~]", token)):
            raise _no_operator(token, formula)
    return tokens


def _no_operator(token: str, formula: str) -> XorMiError:
    return XorMiError(
        f"{shown(token)} in {shown(formula)} is not a Boolean operator; "
        "write for example '(x0 | x1) & ~(x0 & x1)'"
    )


class _Reader:
    """Reads a formula token by token, from left to right."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        # the tokens as written, with an end, and the same in their usual spelling
        self.words = [*_tokens(formula), ""]
        self.signs = [_SPELLINGS.get(word.upper(), word) for word in self.words]
        self.n_read = 0

    def read(self, sign: str) -> bool:
        """Go past the next token if it is this sign, and return whether it is."""
        is_next = self.signs[self.n_read] == sign
        self.n_read += is_next
        return is_next

    def outputs(self) -> tuple[Tree, ...]:
        """The whole text: formulas with commas between."""
        trees = self.listed()
        self.must_read("")
        return tuple(trees)

    def listed(self) -> list[Tree]:
        """Formulas with commas between."""
        trees = [self.joined()]
        while self.read(","):
            trees.append(self.joined())
        return trees

    def joined(self, rank: int = 0) -> Tree:
        """Operands and the operators between them, up to an operator that binds less tightly."""
        tree = self.operand()
        while (sign := self.signs[self.n_read]) in _JOINS and _RANKS[sign] >= rank:
            parts = [tree]
            # all of a & b & c at once: one by one a long chain takes the square of its length
            while self.read(sign):
                parts.append(self.joined(_RANKS[sign] + 1))
            tree = _JOINS[sign](parts)
        return tree

    def operand(self) -> Tree:
        """An input, a constant, a call, something in brackets, or one of these with a NOT."""
        if self.read("~"):
            return _not(self.operand())
        if self.read("("):
            tree = self.joined()
            self.must_read(")")
            return tree
        for bit in (0, 1):
            if self.read(str(bit)):
                return Tree.constant(bit)
        word = self.words[self.n_read]
        if not word.isidentifier():
            raise self.unexpected()
        self.n_read += 1
        # in the place of an operand, the name of an operator is a call
        if word.upper() in _CALLS and self.read("("):
            parts = self.listed()
            self.must_read(")")
            return _called(word.upper(), parts, self.formula)
        return Tree.input(_input_index(word, self.formula))

    def must_read(self, sign: str) -> None:
        """Go past the next token, which must be this sign."""
        if not self.read(sign):
            raise self.unexpected()

    def unexpected(self) -> XorMiError:
        """The error for a token that cannot stand where it does."""
        word, sign = self.words[self.n_read], self.signs[self.n_read]
        is_known = sign != word or word.upper() in _CALLS or _is_input(word)
        if word.isidentifier() and not is_known:
            return _no_operator(word, self.formula)
        return XorMiError(
            f"{shown(self.formula)} cannot be read as a formula; write for example 'x0 & ~x1'"
        )


def n_inputs_named(text: str) -> int:
    """One more than the highest index of an input that a target's text names; 0 if it names none.

    >>> n_inputs_named("a ^ c"), n_inputs_named("XNOR, x0 & x1"), n_inputs_named("OR")
    (3, 2, 0)
    """
    letters = "".join(_INDEX_OF_LETTER)
    names = re.findall(rf"\b(?:x\d{{1,2}}|[{letters}])\b", text, flags=re.IGNORECASE)
    return max((_input_index(name, text) for name in names), default=-1) + 1


def _input_index(name: str, formula: str) -> int:
    if not _is_input(name):
        raise XorMiError(
            f"no input {shown(name)} in {shown(formula)}; inputs are x0, x1, ... (or a, b, c, d)"
        )
    known = _INDEX_OF_LETTER.get(name.lower())
    return int(name[1:]) if known is None else known


def _is_input(name: str) -> bool:
    # two digits: more inputs than any truth table here has
    is_numbered = re.fullmatch(r"[xX]\d{1,2}", name) is not None
    return is_numbered or name.lower() in _INDEX_OF_LETTER


def _called(name: str, parts: Sequence[Tree], formula: str) -> Tree:
    """A call such as NAND(x0, x1, x2) as a tree."""
    if name in ("AND", "OR", "XOR"):
        return _JOINS[_SPELLINGS[name]](parts)
    if name in ("NAND", "NOR", "XNOR"):
        return _not(_JOINS[_SPELLINGS[_COMPLEMENTS[name]]](parts))
    if name == "NOT" and len(parts) == 1:
        return _not(parts[0])
    if name == "IMPLIES" and len(parts) == 2:
        return _at_most(parts)
    if name == "NIMP" and len(parts) == 2:
        return _above(parts)
    n_arguments = "1 argument" if len(parts) == 1 else f"{len(parts)} arguments"
    n_expected = 1 if name == "NOT" else 2
    raise XorMiError(f"{name} in {shown(formula)} has {n_arguments}; it takes {n_expected}")


def _not(part: Tree) -> Tree:
    return Tree("not", (part,))


def _chain(kind: TreeKind, parts: Sequence[Tree]) -> Tree:
    """The operator over these parts; a part with the same operator is replaced by its own parts."""
    if len(parts) == 1:
        return parts[0]
    flat: list[Tree] = []
    for part in parts:
        flat += part.parts if part.kind == kind else (part,)
    return Tree(kind, tuple(flat))


def _and(parts: Sequence[Tree]) -> Tree:
    return _chain("and", parts)


def _or(parts: Sequence[Tree]) -> Tree:
    return _chain("or", parts)


def _xor(parts: Sequence[Tree]) -> Tree:
    return _chain("xor", parts)


# Comparisons of bits, from left to right: a > b is a & ~b, a > b > c is a & ~b & ~c.


def _above(parts: Sequence[Tree]) -> Tree:
    first, *others = parts
    return _and([first, *map(_not, others)])


def _at_least(parts: Sequence[Tree]) -> Tree:
    first, *others = parts
    return _or([first, *map(_not, others)])


def _below(parts: Sequence[Tree]) -> Tree:
    return reduce(lambda a, b: _and([_not(a), b]), parts)


def _at_most(parts: Sequence[Tree]) -> Tree:
    return reduce(lambda a, b: _or([_not(a), b]), parts)


def _equal(parts: Sequence[Tree]) -> Tree:
    return reduce(lambda a, b: _not(_xor([a, b])), parts)


_COMPLEMENTS = {"NAND": "AND", "NOR": "OR", "XNOR": "XOR"}
_COMPARISONS: dict[str, Callable[[Sequence[Tree]], Tree]] = {
    ">": _above,
    ">=": _at_least,
    "<": _below,
    "<=": _at_most,
    "==": _equal,
    "!=": _xor,
}
_JOINS = {"|": _or, "^": _xor, "&": _and, **_COMPARISONS}
"""Operator -> its operands, two or more, as one tree."""
_RANKS = {"|": 0, "^": 1, "&": 2, **dict.fromkeys(_COMPARISONS, 3)}
"""A higher number means that the operator binds more tightly."""
