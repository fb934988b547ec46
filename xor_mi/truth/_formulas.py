"""text -> tree -> truth table.

Python's own parser reads the text, after a whitelist has seen every token; nothing is executed.
"""

import ast
import re
from collections.abc import Callable, Sequence
from functools import cache, reduce
from itertools import chain
from operator import and_, or_, xor
from typing import Literal, NamedTuple

from xor_mi.errors import XorMiError, shown
from xor_mi.truth._gates import truth_rows

TreeKind = Literal["input", "constant", "not", "and", "or", "xor"]
"""What a node of a formula's tree is."""

MAX_CHARACTERS = 10_000
"""A longer text is not read as a formula."""


class Tree(NamedTuple):
    """A formula as a tree of operators. Two trees are equal where they are written alike.

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
        """
        # A stack and not a recursion: a tree may be deeper than Python's calls may be nested.
        waiting: list[Tree] = [self]
        order: list[Tree] = []
        while waiting:
            node = waiting.pop()
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
        """The truth table, one bit per row."""
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
    """The truth table of one input as one whole number, as `Tree.packed_table` packs it."""
    return sum(row[index] << number for number, row in enumerate(truth_rows(n_inputs)))


def formula_trees(formula: str) -> tuple[Tree, ...]:
    """Text -> one tree per comma-separated output.

    Chains of one operator are one node; comparisons are spelled with the operators of a `Tree`.

    Raises:
        XorMiError: a text that is not a formula, or one nested too deeply.

    >>> formula_trees("x0 ^ x1 ^ (x0 > x1), x0 == x1")
    (x0 ^ x1 ^ (x0 & ~x1), ~(x0 ^ x1))
    """
    return _trees(_parse(formula), formula)


def read_formula(
    formula: str, n_inputs: int | None = None
) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Text -> (number of inputs, one truth table per comma-separated output).

    The operators are those of `BooleanFunction.from_formula`.
    """
    outputs = _parse(formula)
    n_used = _n_inputs_used(outputs, formula)
    width = max(n_used, 1) if n_inputs is None else n_inputs
    if n_used > width:
        raise XorMiError(
            f"{shown(formula)} uses x{n_used - 1}, but the function has {width} inputs"
        )
    truth_rows(width)  # refuses a width without a truth table
    return width, tuple(tree.bits(width) for tree in _trees(outputs, formula))


_WORDS = {"AND": "&", "OR": "|", "XOR": "^", "NOT": "~", "TRUE": "1", "FALSE": "0"}
_LOGIC_SIGNS = {"&&": "&", "||": "|", "∧": "&", "∨": "|", "⊕": "^", "¬": "~", "!": "~"}
# Comparisons must bind tighter than & ^ |. Python's do not, its arithmetic does: so each
# comparison is spelled as an arithmetic operator before Python's parser sees the text.
_COMPARISONS = {">=": "*", "<=": "/", "==": "@", "!=": "%", ">": "+", "<": "-"}
_SPELLING = _WORDS | _LOGIC_SIGNS | _COMPARISONS
_CALLS = {"AND", "OR", "XOR", "NAND", "NOR", "XNOR", "IMPLIES", "NIMP", "NOT"}
_INDEX_OF_LETTER = {"a": 0, "b": 1, "c": 2, "d": 3, "x": 0, "y": 1, "z": 2}


def _parse(formula: str) -> list[ast.expr]:
    """Text -> the syntax of each output, made of whitelisted tokens only."""
    if not isinstance(formula, str) or len(formula) > MAX_CHARACTERS:
        raise XorMiError(
            f"a formula is text of at most {MAX_CHARACTERS:,} characters, such as 'x0 & ~x1'"
        )
    spelled = _spelled_for_python(formula)
    try:
        body = ast.parse(spelled, mode="eval").body
    # MemoryError and RecursionError are how Python's parser says that brackets are too deep
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise XorMiError(
            f"{shown(formula)} cannot be read as a formula; write for example 'x0 & ~x1'"
        ) from None
    return body.elts if isinstance(body, ast.Tuple) else [body]


def _spelled_for_python(formula: str) -> str:
    """The formula in operators whose precedence in Python is the one meant here."""
    spelled: list[str] = []
    after_operand = False
    # the longer signs first, so that >= is not read as > and =
    for token in re.findall(r"\w+|>=|<=|==|!=|&&|\|\||\S", formula):
        word = token.upper()
        # names are checked later, when their index is read
        if not (word in _SPELLING or re.fullmatch(r"[^\W\d]\w*|[01(),&|^~]", token)):
            raise XorMiError(
                f"{shown(token)} in {shown(formula)} is not a Boolean operator; "
                "write for example '(x0 | x1) & ~(x0 & x1)'"
            )
        # AND between two operands is an operator, AND( at the start of one is a call
        is_call = word in _CALLS and word != "NOT" and not after_operand
        spelled.append(word if is_call else _SPELLING.get(word, str(token)))
        is_name = token.isidentifier() and word not in _SPELLING
        is_operand = is_name or spelled[-1] in ("0", "1", ")")
        after_operand = is_operand and not is_call
    return " ".join(spelled)


def _n_inputs_used(outputs: Sequence[ast.expr], formula: str) -> int:
    """One more than the highest index of an input in the formula; 0 where there is none."""
    nodes = chain.from_iterable(map(ast.walk, outputs))
    # a gate that is called is a name to Python's parser too
    names = {node.id for node in nodes if isinstance(node, ast.Name)} - _CALLS
    highest = max((_input_index(name, formula) for name in names), default=-1)
    return highest + 1


def n_inputs_named(text: str) -> int:
    """One more than the highest index of an input that a target's text names; 0 where none is.

    >>> n_inputs_named("a ^ c"), n_inputs_named("XNOR, x0 & x1"), n_inputs_named("OR")
    (3, 2, 0)
    """
    letters = "".join(_INDEX_OF_LETTER)
    names = re.findall(rf"\b(?:x\d{{1,2}}|[{letters}])\b", text, flags=re.IGNORECASE)
    return max((_input_index(name, text) for name in names), default=-1) + 1


def _input_index(name: str, formula: str) -> int:
    # two digits: more inputs than any truth table here has
    match = re.fullmatch(r"[xX](\d{1,2})", name)
    if match is not None:
        return int(match[1])
    if name.lower() not in _INDEX_OF_LETTER:
        raise XorMiError(
            f"no input {shown(name)} in {shown(formula)}; inputs are x0, x1, ... (or a, b, c, d)"
        )
    return _INDEX_OF_LETTER[name.lower()]


def _trees(outputs: Sequence[ast.expr], formula: str) -> tuple[Tree, ...]:
    try:
        return tuple(_tree(output, formula) for output in outputs)
    except RecursionError:
        raise XorMiError("this formula is nested too deeply to read; write it flatter") from None


def _tree(node: ast.expr, formula: str) -> Tree:
    match node:
        # True and 1.0 match as well; the node's value is made a plain 0 or 1
        case ast.Constant(value=0 | 1):
            return Tree.constant(int(node.value == 1))
        case ast.Name(id=name):
            return Tree.input(_input_index(name, formula))
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return _not(_tree(operand, formula))
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            join = _OPERATORS[type(operator)]
            return join(_tree(left, formula), _tree(right, formula))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (
            name.upper() in _CALLS and arguments
        ):
            parts = [_tree(argument, formula) for argument in arguments]
            return _called(name.upper(), parts, formula)
        case _:
            raise XorMiError(
                f"{shown(formula)} uses something that is not a Boolean operator; "
                f"known: ~ & ^ | > >= < <= == != and {', '.join(sorted(_CALLS))}"
            )


def _called(name: str, parts: Sequence[Tree], formula: str) -> Tree:
    """A call such as NAND(x0, x1, x2) as a tree."""
    if name in ("AND", "OR", "XOR"):
        return _chain(_KINDS[name], parts)
    if name in ("NAND", "NOR", "XNOR"):
        return _not(_chain(_KINDS[name], parts))
    if name == "NOT" and len(parts) == 1:
        return _not(parts[0])
    if name == "IMPLIES" and len(parts) == 2:
        return _at_most(parts[0], parts[1])
    if name == "NIMP" and len(parts) == 2:
        return _above(parts[0], parts[1])
    n_arguments = "1 argument" if len(parts) == 1 else f"{len(parts)} arguments"
    n_expected = 1 if name == "NOT" else 2
    raise XorMiError(f"{name} in {shown(formula)} has {n_arguments}; it takes {n_expected}")


def _not(part: Tree) -> Tree:
    return Tree("not", (part,))


def _chain(kind: TreeKind, parts: Sequence[Tree]) -> Tree:
    """The operator over these parts; a part that is the same operator gives its own parts."""
    flat: list[Tree] = []
    for part in parts:
        flat += part.parts if part.kind == kind else (part,)
    return Tree(kind, tuple(flat))


def _and(a: Tree, b: Tree) -> Tree:
    return _chain("and", (a, b))


def _or(a: Tree, b: Tree) -> Tree:
    return _chain("or", (a, b))


def _xor(a: Tree, b: Tree) -> Tree:
    return _chain("xor", (a, b))


# a comparison of bits: a > b is a & ~b, a >= b is a | ~b


def _above(a: Tree, b: Tree) -> Tree:
    return _and(a, _not(b))


def _below(a: Tree, b: Tree) -> Tree:
    return _and(_not(a), b)


def _at_least(a: Tree, b: Tree) -> Tree:
    return _or(a, _not(b))


def _at_most(a: Tree, b: Tree) -> Tree:
    return _or(_not(a), b)


def _equal(a: Tree, b: Tree) -> Tree:
    return _not(_xor(a, b))


_KINDS: dict[str, TreeKind] = {
    "AND": "and",
    "NAND": "and",
    "OR": "or",
    "NOR": "or",
    "XOR": "xor",
    "XNOR": "xor",
}
_OPERATORS: dict[type[ast.operator], Callable[[Tree, Tree], Tree]] = {
    ast.BitAnd: _and,
    ast.BitOr: _or,
    ast.BitXor: _xor,
    # the comparisons, as `_COMPARISONS` spells them
    ast.Mult: _at_least,
    ast.Div: _at_most,
    ast.MatMult: _equal,
    ast.Mod: _xor,
    ast.Add: _above,
    ast.Sub: _below,
}
