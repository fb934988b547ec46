"""a Boolean function <-> its rows, bits, name and formula. No torch.

A function is its truth table. Rows are all 2^n inputs in lexicographic order, the first input most significant: for two inputs
00, 01, 10, 11. A gate is a function of two inputs; there are 16 and each has one name here (`GATES`), with the usual aliases
accepted wherever a name is read. Formulas are minimal two-level forms, found by sympy, or an XOR of products where that is shorter.
"""

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import Any

from xor_mi.errors import XorMiError, unknown

MAX_INPUTS = 12
"""A truth table is held whole; 2^12 rows is far beyond the networks this package can check exhaustively."""

GATES: dict[str, tuple[int, ...]] = {
    "FALSE": (0, 0, 0, 0),
    "AND": (0, 0, 0, 1),
    "x0>x1": (0, 0, 1, 0),
    "x0": (0, 0, 1, 1),
    "x1>x0": (0, 1, 0, 0),
    "x1": (0, 1, 0, 1),
    "XOR": (0, 1, 1, 0),
    "OR": (0, 1, 1, 1),
    "NOR": (1, 0, 0, 0),
    "XNOR": (1, 0, 0, 1),
    "~x1": (1, 0, 1, 0),
    "x0>=x1": (1, 0, 1, 1),
    "~x0": (1, 1, 0, 0),
    "x1>=x0": (1, 1, 0, 1),
    "NAND": (1, 1, 1, 0),
    "TRUE": (1, 1, 1, 1),
}
"""The 16 two-input gates: name -> bits on the rows 00, 01, 10, 11."""

_ALIASES = {
    "x0>x1": "NIMP NIMPLIES NOTIMPLIES GT x>y a>b y<x b<a x1<x0 INHIBIT",
    "x1>x0": "CNIMP CONVERSENIMP LT y>x b>a x<y a<b x0<x1",
    "x1>=x0": "IMPLIES IMP IF-THEN x<=y a<=b y>=x b>=a x0<=x1 x->y a->b x0->x1",
    "x0>=x1": "CIMP CONVERSE IF x>=y a>=b y<=x b<=a x1<=x0 y->x b->a x1->x0",
    "x0": "A X IDENTITY",
    "x1": "B Y",
    "~x0": "NOTX0 NOTA NOTX NOT !x0 !a !x ~a ~x",
    "~x1": "NOTX1 NOTB NOTY !x1 !b !y ~b ~y",
    "XOR": "EOR NEQ PARITY x!=y a!=b x0!=x1 ^",
    "XNOR": "EQ IFF NXOR EQUALS x==y a==b x0==x1",
    "AND": "CONJUNCTION &",
    "OR": "DISJUNCTION |",
    "FALSE": "0 ZERO CONTRADICTION",
    "TRUE": "1 ONE TAUTOLOGY",
}
_GATE_OF_ALIAS = {re.sub(r"[\s_]", "", name).upper(): name for name in GATES} | {
    alias.upper(): gate for gate, aliases in _ALIASES.items() for alias in aliases.split()
}

_FAMILIES: dict[str, Callable[[tuple[int, ...]], bool]] = {
    "FALSE": lambda _: False,
    "TRUE": lambda _: True,
    "AND": all,
    "NAND": lambda row: not all(row),
    "OR": any,
    "NOR": lambda row: not any(row),
    "XOR": lambda row: sum(row) % 2 == 1,
    "XNOR": lambda row: sum(row) % 2 == 0,
}
"""Gates that keep their name for any number of inputs; XOR of n inputs is their parity."""


@cache
def _rows(n_inputs: int) -> tuple[tuple[int, ...], ...]:
    return tuple(product((0, 1), repeat=n_inputs))


def truth_rows(n_inputs: int) -> tuple[tuple[int, ...], ...]:
    """All 2^n input rows in lexicographic order, first input most significant.

    >>> truth_rows(2)
    ((0, 0), (0, 1), (1, 0), (1, 1))
    """
    if isinstance(n_inputs, bool) or not isinstance(n_inputs, int) or not 1 <= n_inputs <= MAX_INPUTS:
        raise XorMiError(f"n_inputs is {n_inputs!r}; a truth table here has 1 to {MAX_INPUTS} inputs")
    return _rows(n_inputs)


def row_name(row: Sequence[int]) -> str:
    """Bits as people write them: (0, 1) -> '01'."""
    return "".join(str(int(bit)) for bit in row)


def as_row(row: Any, n_inputs: int) -> tuple[int, ...]:
    """One input given as '01', [0, 1], (False, True), a tensor or an array -> a tuple of n bits.

    Raises:
        XorMiError: a value that is not 0 or 1, or the wrong number of them.
    """
    values = row.tolist() if hasattr(row, "tolist") else row
    if not isinstance(values, (str, list, tuple)):
        raise XorMiError(f"{row!r} is no input row; give {n_inputs} bits such as '{'01' * n_inputs:.{n_inputs}}'")
    if len(values) != n_inputs:
        raise XorMiError(f"{row!r} has {len(values)} bits; this network has {n_inputs} inputs")
    return tuple(as_bit(value, row) for value in values)


def as_bit(value: Any, source: object = None) -> int:
    """0, 1, 0.0, 1.0, False, True, '0' or '1' -> 0 or 1; anything else is refused."""
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return int(value)
    if isinstance(value, str) and value in ("0", "1"):
        return int(value)
    inside = "" if source is None else f" in {source!r}"
    raise XorMiError(f"{value!r}{inside} is not a bit; only 0 and 1 are")


def _as_bits(table: Any) -> tuple[int, ...]:
    if isinstance(table, tuple) and all(type(bit) is int for bit in table) and set(table) <= {0, 1}:
        return table
    return tuple(as_bit(bit, table) for bit in table)


def gate_name(name: str) -> str:
    """Any usual name of a two-input gate -> its one name here.

    >>> gate_name("implies"), gate_name("NIMP"), gate_name("x > y")
    ('x1>=x0', 'x0>x1', 'x0>x1')
    """
    key = re.sub(r"[\s_]", "", name).upper() if isinstance(name, str) else name
    if key not in _GATE_OF_ALIAS:
        raise unknown("gate", name, GATES, where="the 16 gates are")
    return _GATE_OF_ALIAS[key]


def complement_name(gate: str) -> str:
    """The gate that is 1 exactly where this one is 0: 'OR' -> 'NOR'."""
    return name_of_bits(tuple(1 - bit for bit in GATES[gate_name(gate)]))


@lru_cache(maxsize=65536)
def name_of_bits(bits: tuple[int, ...]) -> str:
    """Bits of one output -> the gate's name where it has one, else its formula."""
    return BooleanFunction(_width(len(bits)), (bits,)).name


def _width(n_rows: int) -> int:
    n_inputs = max(n_rows, 1).bit_length() - 1
    if n_rows != 2**n_inputs or n_inputs < 1:
        raise XorMiError(f"a truth table has 2, 4, 8, ... bits; this one has {n_rows}")
    return n_inputs


@dataclass(frozen=True)
class BooleanFunction:
    """n inputs -> one or several outputs, as truth tables over `truth_rows(n_inputs)`.

    Args:
        n_inputs: number of input bits.
        tables: one truth table per output, each 2^n_inputs bits; a single flat table or a string of 0 and 1 is accepted.

    Raises:
        XorMiError: a table of another length, or a value that is not a bit.

    >>> xor = BooleanFunction.named("XOR")
    >>> xor.bits, xor.name, xor.formula
    ((0, 1, 1, 0), 'XOR', 'x0 ^ x1')
    """

    n_inputs: int
    tables: Any  # tuple[tuple[int, ...], ...] once built; anything that can be read as such is accepted

    def __post_init__(self) -> None:
        n_rows = len(truth_rows(self.n_inputs))
        given: Any = self.tables
        if not isinstance(given, (str, list, tuple)):
            raise XorMiError(f"{given!r} is no truth table; give {n_rows} bits, for XOR '0110'")
        flat = isinstance(given, str) or all(isinstance(value, (bool, int, float)) for value in given)
        tables = [given] if flat else list(given)
        if not tables or any(not hasattr(table, "__len__") or len(table) != n_rows for table in tables):
            raise XorMiError(f"a function of {self.n_inputs} inputs has {n_rows} bits per output, not {given!r}")
        object.__setattr__(self, "tables", tuple(_as_bits(table) for table in tables))

    @classmethod
    def named(cls, name: str, n_inputs: int = 2) -> "BooleanFunction":
        """A gate by name; XOR, XNOR, AND, NAND, OR, NOR, TRUE and FALSE also for other numbers of inputs (XOR = parity).

        Raises:
            XorMiError: a name that no gate has, or a two-input gate asked for at another width.
        """
        gate = gate_name(name)
        if n_inputs == 2:
            return cls(2, (GATES[gate],))
        if gate not in _FAMILIES:
            raise XorMiError(f"{gate} is a gate of two inputs, not {n_inputs}; of any width: {', '.join(_FAMILIES)}")
        return cls(n_inputs, (tuple(int(_FAMILIES[gate](row)) for row in truth_rows(n_inputs)),))

    @classmethod
    def from_callable(cls, function: Callable[..., Any], n_inputs: int | None = None) -> "BooleanFunction":
        """A Python function of bits (returning one bit, or a tuple of them) -> its table; n_inputs from the signature if not given."""
        if n_inputs is None:
            parameters = list(inspect.signature(function).parameters.values())
            if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY) for p in parameters):
                raise XorMiError("the number of inputs cannot be read off this function; give n_inputs=")
            n_inputs = len(parameters)
        values = [function(*row) for row in truth_rows(n_inputs)]
        rows = [value if isinstance(value, (tuple, list)) else (value,) for value in values]
        if len({len(row) for row in rows}) != 1:
            raise XorMiError("the function returns a different number of outputs on different rows")
        return cls(n_inputs, tuple(zip(*rows, strict=True)))

    @classmethod
    def from_formula(cls, formula: str, n_inputs: int | None = None) -> "BooleanFunction":
        """A formula over x0, x1, ... -> its table. Several outputs are separated by commas.

        Operators, tightest first: ~ (NOT), comparisons (> >= < <= == !=), & (AND), ^ (XOR), | (OR); words and gate calls work too:
        "x0 AND NOT x1", "NAND(x0, x1)". a, b and x, y stand for x0, x1. Nothing is ever executed.

        >>> BooleanFunction.from_formula("x0>x1 | x1>x0").name
        'XOR'
        """
        body = _parse(formula)
        outputs = body.elts if isinstance(body, ast.Tuple) else [body]
        names = {node.id for output in outputs for node in ast.walk(output) if isinstance(node, ast.Name)} - _CALLS
        seen = max((_input_index(name, formula) for name in names), default=-1) + 1
        width = max(seen, 1) if n_inputs is None else n_inputs
        if seen > width:
            raise XorMiError(f"{formula!r} uses x{seen - 1}; the function was said to have {width} inputs")
        rows = truth_rows(width)
        try:
            return cls(width, tuple(tuple(_evaluate(output, row, formula) for row in rows) for output in outputs))
        except RecursionError:
            raise XorMiError("this formula is nested too deeply to read; write it flatter") from None

    @classmethod
    def of(cls, target: "BooleanFunction | str", n_inputs: int = 2) -> "BooleanFunction":
        """A function, a gate name or a formula -> the function; what every `target=` argument accepts."""
        if isinstance(target, BooleanFunction):
            function = target
        elif isinstance(target, str) and re.sub(r"[\s_]", "", target).upper() in _GATE_OF_ALIAS:
            function = cls.named(target, n_inputs)
        elif isinstance(target, str) and re.search(r"[xyab]\d*\b|\(", target):
            function = cls.from_formula(target, n_inputs)
        else:
            raise (
                unknown("gate", target, GATES, where="the 16 gates are")
                if isinstance(target, str)
                else XorMiError(f"{target!r} is no target; give a gate name, a formula or a BooleanFunction")
            )
        if function.n_inputs != n_inputs:
            raise XorMiError(f"the target {function.name} has {function.n_inputs} inputs; the network has {n_inputs}")
        return function

    def rows(self) -> tuple[tuple[int, ...], ...]:
        """All input rows, lexicographic, first input most significant."""
        return truth_rows(self.n_inputs)

    @property
    def n_outputs(self) -> int:
        return len(self.tables)

    @property
    def outputs(self) -> "tuple[BooleanFunction, ...]":
        """Each output as a function of its own."""
        return tuple(BooleanFunction(self.n_inputs, (table,)) for table in self.tables)

    @property
    def bits(self) -> tuple[int, ...]:
        """The truth table of a function with one output; several outputs are read by `.tables` or `.outputs`."""
        if self.n_outputs != 1:
            raise XorMiError(f"this function has {self.n_outputs} outputs; read .tables, or .outputs[k].bits")
        return self.tables[0]

    @property
    def name(self) -> str:
        """The gate's one name, or the formula of a function that has none; several outputs are joined by ', '."""
        return ", ".join(_name(self.n_inputs, table) for table in self.tables)

    @property
    def formula(self) -> str:
        """A shortest formula over x0, x1, ... (XOR printed as ^); several outputs are joined by ', '."""
        return self.formula_over([f"x{i}" for i in range(self.n_inputs)])

    def formula_over(self, names: Sequence[str]) -> str:
        """The same formula with other names for the inputs, for example the units that feed a gate."""
        if len(names) != self.n_inputs:
            raise XorMiError(f"{len(names)} names for {self.n_inputs} inputs")
        return ", ".join(re.sub(r"x(\d+)", lambda m: names[int(m[1])], _minimal_formula(self.n_inputs, table)) for table in self.tables)

    def complement(self) -> "BooleanFunction":
        """1 where this is 0."""
        return BooleanFunction(self.n_inputs, tuple(tuple(1 - b for b in table) for table in self.tables))

    def __call__(self, *row: Any) -> int | tuple[int, ...]:
        bits = as_row(row[0] if len(row) == 1 and self.n_inputs > 1 else row, self.n_inputs)
        index = int(row_name(bits), 2)
        values = tuple(table[index] for table in self.tables)
        return values[0] if len(values) == 1 else values


def _name(n_inputs: int, table: tuple[int, ...]) -> str:
    if n_inputs == 2:
        return next(name for name, bits in GATES.items() if bits == table)
    for name in _FAMILIES if n_inputs > 2 else ("FALSE", "TRUE"):
        if BooleanFunction.named(name, n_inputs).tables[0] == table:
            return name
    return _minimal_formula(n_inputs, table)


@lru_cache(maxsize=65536)
def _minimal_formula(n_inputs: int, table: tuple[int, ...]) -> str:
    """Shortest of sum of products, product of sums, and XOR of products, each also complemented; length in literals, then signs.

    Two-level forms are minimal (Quine-McCluskey in sympy) up to 8 inputs that matter; beyond, only the XOR of products is tried, which
    is unique and quick. A shorter formula of three or more levels may exist.
    """
    if len(set(table)) == 1:
        return "TRUE" if table[0] else "FALSE"
    essential = [i for i in range(n_inputs) if any(table[row] != table[row ^ 1 << n_inputs - 1 - i] for row in range(len(table)))]
    if len(essential) < n_inputs:
        kept = [sum(bit << n_inputs - 1 - i for i, bit in zip(essential, row, strict=True)) for row in truth_rows(len(essential))]
        shorter = _minimal_formula(len(essential), tuple(table[row] for row in kept))
        return re.sub(r"x(\d+)", lambda m: f"x{essential[int(m[1])]}", shorter)
    candidates = [_xor_of_products(n_inputs, table)]
    if n_inputs <= 8:
        from sympy import symbols
        from sympy.logic import POSform, SOPform

        inputs, minterms = symbols(f"x0:{n_inputs}"), [i for i, bit in enumerate(table) if bit]
        candidates += [str(SOPform(inputs, minterms)), str(POSform(inputs, minterms))]
    return min(candidates, key=lambda text: (text.count("x"), len(text), text))


def _xor_of_products(n_inputs: int, table: tuple[int, ...]) -> str:
    """Algebraic normal form by the Moebius transform over GF(2): coefficient of a product = XOR of the table over the rows below it."""
    coefficients = list(table)
    for shift in range(n_inputs):
        coefficients = [c ^ (coefficients[row ^ 1 << shift] if row >> shift & 1 else 0) for row, c in enumerate(coefficients)]
    rows = truth_rows(n_inputs)
    products = [" & ".join(f"x{i}" for i, bit in enumerate(rows[row]) if bit) for row in range(1, len(rows)) if coefficients[row]]
    ordered = sorted(products, key=lambda product: (product.count("&"), [int(i) for i in re.findall(r"\d+", product)]))
    text = " ^ ".join(f"({product})" if "&" in product and len(ordered) > 1 else product for product in ordered)
    return f"~({text})" if coefficients[0] else text


# reading formulas: Python's own parser on a whitelist, so no text is ever executed

# comparisons must bind tighter than & ^ |, so they are spelled as the arithmetic operators, which do
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


def _parse(formula: str) -> ast.expr:
    if not isinstance(formula, str) or len(formula) > 10_000:
        raise XorMiError("a formula is text of at most 10,000 characters, such as 'x0 & ~x1'")
    spelled: list[str] = []
    after_operand = False
    for token in re.findall(r"\w+|>=|<=|==|!=|&&|\|\||\S", formula):
        word = token.upper()
        is_call = word in _CALLS and word != "NOT" and not after_operand
        if not (word in _SPELLING or re.fullmatch(r"\w+|[(),&|^~]", token)):
            raise XorMiError(f"{token!r} in {formula!r} is no Boolean operator; write for example '(x0 | x1) & ~(x0 & x1)'")
        spelled.append(word if is_call else str(_SPELLING.get(word, token)))
        after_operand = not is_call and (spelled[-1] in ("0", "1", ")") or (token.isidentifier() and word not in _SPELLING))
    try:
        return ast.parse(" ".join(spelled), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise XorMiError(f"{formula!r} cannot be read as a formula; write for example 'x0 & ~x1'") from None


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
            return _OPERATORS[type(op)](_evaluate(left, row, formula), _evaluate(right, row, formula))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name.upper() in _CALLS and arguments:
            values = tuple(_evaluate(argument, row, formula) for argument in arguments)
            return _call(name.upper(), values, formula)
    raise XorMiError(f"{formula!r} uses something that is no Boolean operator; known: ~ & ^ | > >= < <= == != and {sorted(_CALLS)}")


def _call(name: str, values: tuple[int, ...], formula: str) -> int:
    if name in _FAMILIES:
        return int(_FAMILIES[name](values))
    if name == "NOT" and len(values) == 1:
        return 1 - values[0]
    if name in ("IMPLIES", "NIMP") and len(values) == 2:
        return GATES[gate_name(name)][2 * values[0] + values[1]]
    raise XorMiError(f"{name} in {formula!r} got {len(values)} arguments")
