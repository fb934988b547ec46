"""text -> truth table, and truth table -> shortest text."""

import ast
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from xor_mi.errors import XorMiError
from xor_mi.truth._gates import FAMILIES, GATES, gate_name, truth_rows


@lru_cache(maxsize=65536)
def minimal_formula(n_inputs: int, table: tuple[int, ...]) -> str:
    """Shortest of sum of products, product of sums, and XOR of products, each also complemented;
    length in literals, then signs.

    Two-level forms are minimal (Quine-McCluskey in sympy) up to 8 inputs that matter; beyond, only
    the XOR of products is tried, which is unique and quick. A shorter formula of three or more
    levels may exist."""
    if len(set(table)) == 1:
        return "TRUE" if table[0] else "FALSE"
    essential = [
        i
        for i in range(n_inputs)
        if any(table[row] != table[row ^ 1 << n_inputs - 1 - i] for row in range(len(table)))
    ]
    if len(essential) < n_inputs:
        kept = [
            sum(bit << n_inputs - 1 - i for i, bit in zip(essential, row, strict=True))
            for row in truth_rows(len(essential))
        ]
        shorter = minimal_formula(len(essential), tuple(table[row] for row in kept))
        return re.sub(r"x(\d+)", lambda m: f"x{essential[int(m[1])]}", shorter)
    candidates = [_xor_of_products(n_inputs, table)]
    if n_inputs <= 8:
        from sympy import symbols
        from sympy.logic import POSform, SOPform

        inputs, minterms = symbols(f"x0:{n_inputs}"), [i for i, bit in enumerate(table) if bit]
        candidates += [str(SOPform(inputs, minterms)), str(POSform(inputs, minterms))]
    return min(candidates, key=lambda text: (text.count("x"), len(text), text))


def _xor_of_products(n_inputs: int, table: tuple[int, ...]) -> str:
    """Algebraic normal form by the Moebius transform over GF(2): coefficient of a product = XOR of
    the table over the rows below it.
    """
    coefficients = list(table)
    for shift in range(n_inputs):
        coefficients = [
            c ^ (coefficients[row ^ 1 << shift] if row >> shift & 1 else 0)
            for row, c in enumerate(coefficients)
        ]
    rows = truth_rows(n_inputs)
    products = [
        " & ".join(f"x{i}" for i, bit in enumerate(rows[row]) if bit)
        for row in range(1, len(rows))
        if coefficients[row]
    ]
    ordered = sorted(
        products,
        key=lambda product: (product.count("&"), [int(i) for i in re.findall(r"\d+", product)]),
    )
    text = " ^ ".join(
        f"({product})" if "&" in product and len(ordered) > 1 else product for product in ordered
    )
    return f"~({text})" if coefficients[0] else text


# reading formulas: Python's own parser on a whitelist, so no text is ever executed

# comparisons must bind tighter than & ^ |, so they are spelled as the arithmetic operators, which
# do
_SPELLING = {"AND": "&", "OR": "|", "XOR": "^", "NOT": "~", "TRUE": "1", "FALSE": "0"}
_SPELLING |= {"&&": "&", "||": "|", "∧": "&", "∨": "|", "⊕": "^", "¬": "~", "!": "~"}
_SPELLING |= {">=": "*", "<=": "/", "==": "@", "!=": "%", ">": "+", "<": "-"}
_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.BitXor: lambda a, b: a ^ b,
    ast.Mult: lambda a, b: int(a >= b),
    ast.Div: lambda a, b: int(a <= b),
    ast.MatMult: lambda a, b: int(a == b),
    ast.Mod: lambda a, b: int(a != b),
    ast.Add: lambda a, b: int(a > b),
    ast.Sub: lambda a, b: int(a < b),
}
_CALLS = {"AND", "OR", "XOR", "NAND", "NOR", "XNOR", "IMPLIES", "NIMP", "NOT"}


def read_formula(
    formula: str, n_inputs: int | None = None
) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Text -> (number of inputs, one truth table per comma-separated output). The operators are
    those of `BooleanFunction.from_formula`.
    """
    body = _parse(formula)
    outputs = body.elts if isinstance(body, ast.Tuple) else [body]
    names = {
        node.id for output in outputs for node in ast.walk(output) if isinstance(node, ast.Name)
    } - _CALLS
    seen = max((_input_index(name, formula) for name in names), default=-1) + 1
    width = max(seen, 1) if n_inputs is None else n_inputs
    if seen > width:
        raise XorMiError(
            f"{formula!r} uses x{seen - 1}; the function was said to have {width} inputs"
        )
    try:
        return width, tuple(
            tuple(_evaluate(output, row, formula) for row in truth_rows(width))
            for output in outputs
        )
    except RecursionError:
        raise XorMiError("this formula is nested too deeply to read; write it flatter") from None


def formula_trees(formula: str) -> tuple[tuple[Any, ...], ...]:
    """Text -> per output its tree: ("input", i), ("const", bit), ("not", tree), and ("and" | "or" |
    "xor", tree, tree, ...).

    Chains of one operator are one node; every other operator is spelled with these.

    >>> formula_trees("x0 ^ x1 ^ (x0 > x1)")
    (('xor', ('input', 0), ('input', 1), ('and', ('input', 0), ('not', ('input', 1)))),)
    """
    body = _parse(formula)
    try:
        return tuple(
            _tree(output, formula)
            for output in (body.elts if isinstance(body, ast.Tuple) else [body])
        )
    except RecursionError:
        raise XorMiError("this formula is nested too deeply to read; write it flatter") from None


def _tree(node: ast.expr, formula: str) -> tuple[Any, ...]:
    match node:
        case ast.Constant(value=0 | 1):
            return ("const", int(node.value == 1))
        case ast.Name(id=name):
            return ("input", _input_index(name, formula))
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return ("not", _tree(operand, formula))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _AS_TREES:
            return _AS_TREES[type(op)](_tree(left, formula), _tree(right, formula))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (
            name.upper() in _CALLS and arguments
        ):
            parts, name = [_tree(argument, formula) for argument in arguments], name.upper()
            if name in _FAMILY_TREES:
                kind, negated = _FAMILY_TREES[name]
                return ("not", _chain(kind, *parts)) if negated else _chain(kind, *parts)
            if name == "NOT" and len(parts) == 1:
                return ("not", parts[0])
            if name in ("IMPLIES", "NIMP") and len(parts) == 2:
                return _AS_TREES[ast.Div if name == "IMPLIES" else ast.Add](*parts)
    raise XorMiError(
        f"{formula!r} uses something that is no Boolean operator, or a call with the wrong number of arguments"
    )


def _chain(kind: str, *parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return (
        kind,
        *(inner for part in parts for inner in (part[1:] if part[0] == kind else (part,))),
    )


_FAMILY_TREES = {
    "AND": ("and", 0),
    "NAND": ("and", 1),
    "OR": ("or", 0),
    "NOR": ("or", 1),
    "XOR": ("xor", 0),
    "XNOR": ("xor", 1),
}
_AS_TREES: dict[type, Callable[..., tuple[Any, ...]]] = {
    ast.BitAnd: lambda a, b: _chain("and", a, b),
    ast.BitOr: lambda a, b: _chain("or", a, b),
    ast.BitXor: lambda a, b: _chain("xor", a, b),
    ast.Mult: lambda a, b: _chain("or", a, ("not", b)),
    ast.Div: lambda a, b: _chain("or", ("not", a), b),
    ast.MatMult: lambda a, b: ("not", _chain("xor", a, b)),
    ast.Mod: lambda a, b: _chain("xor", a, b),
    ast.Add: lambda a, b: _chain("and", a, ("not", b)),
    ast.Sub: lambda a, b: _chain("and", ("not", a), b),
}


def _parse(formula: str) -> ast.expr:
    if not isinstance(formula, str) or len(formula) > 10_000:
        raise XorMiError("a formula is text of at most 10,000 characters, such as 'x0 & ~x1'")
    spelled: list[str] = []
    after_operand = False
    for token in re.findall(r"\w+|>=|<=|==|!=|&&|\|\||\S", formula):
        word = token.upper()
        is_call = word in _CALLS and word != "NOT" and not after_operand
        if not (word in _SPELLING or re.fullmatch(r"[^\W\d]\w*|[01(),&|^~]", token)):
            raise XorMiError(
                f"{token!r} in {formula!r} is no Boolean operator; write for example '(x0 | x1) & ~(x0 & x1)'"
            )
        spelled.append(word if is_call else str(_SPELLING.get(word, token)))
        after_operand = not is_call and (
            spelled[-1] in ("0", "1", ")") or (token.isidentifier() and word not in _SPELLING)
        )
    try:
        return ast.parse(" ".join(spelled), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise XorMiError(
            f"{formula!r} cannot be read as a formula; write for example 'x0 & ~x1'"
        ) from None


def _input_index(name: str, formula: str) -> int:
    match = re.fullmatch(r"[xX](\d{1,2})", name)
    letter = {"a": 0, "b": 1, "x": 0, "y": 1}.get(name.lower())
    if match is None and letter is None:
        raise XorMiError(f"no input {name!r} in {formula!r}; inputs are x0, x1, ... (or a, b)")
    return int(match[1]) if match else letter or 0


def _evaluate(node: ast.expr, row: tuple[int, ...], formula: str) -> int:
    match node:
        case ast.Constant(value=0 | 1):
            return int(node.value == 1)
        case ast.Name(id=name):
            return row[_input_index(name, formula)]
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return 1 - _evaluate(operand, row, formula)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](
                _evaluate(left, row, formula), _evaluate(right, row, formula)
            )
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (
            name.upper() in _CALLS and arguments
        ):
            values = tuple(_evaluate(argument, row, formula) for argument in arguments)
            return _call(name.upper(), values, formula)
    raise XorMiError(
        f"{formula!r} uses something that is no Boolean operator; known: ~ & ^ | > >= < <= == != and {sorted(_CALLS)}"
    )


def _call(name: str, values: tuple[int, ...], formula: str) -> int:
    if name in FAMILIES:
        return int(FAMILIES[name](values))
    if name == "NOT" and len(values) == 1:
        return 1 - values[0]
    if name in ("IMPLIES", "NIMP") and len(values) == 2:
        return GATES[gate_name(name)][2 * values[0] + values[1]]
    raise XorMiError(f"{name} in {formula!r} got {len(values)} arguments")
