"""BooleanFunction: n inputs -> one or several outputs."""

import inspect
import re
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from xor_mi.errors import XorMiError, require_kind, shown, unknown, whole_number
from xor_mi.finding import count_text
from xor_mi.truth._formulas import MAX_CHARACTERS, n_inputs_named, read_formula
from xor_mi.truth._gates import (
    FAMILIES,
    GATES,
    Row,
    as_bit,
    as_row,
    gate_name,
    is_array,
    is_gate_name,
    row_number,
    truth_rows,
)
from xor_mi.truth._minimal import essential_inputs, short_formula

Tables = Row | Sequence[Row]
"""One truth table, or one per output."""


@dataclass(frozen=True, init=False)
class BooleanFunction:
    """n inputs -> one or several outputs, as truth tables over `truth_rows(n_inputs)`.

    Args:
        n_inputs: number of input bits.
        tables: one truth table per output, each 2^n_inputs bits; a single flat table or a string of
            0 and 1 is accepted.

    Raises:
        XorMiError: a table of another length, or a value that is not a bit.

    >>> xor = BooleanFunction.named("XOR")
    >>> xor.bits, xor.name, xor.formula
    ((0, 1, 1, 0), 'XOR', 'x0 ^ x1')
    """

    n_inputs: int
    tables: tuple[tuple[int, ...], ...]

    def __init__(self, n_inputs: int, tables: Tables) -> None:
        object.__setattr__(self, "tables", _read_tables(n_inputs, tables))
        # NumPy's whole numbers are accepted, and become Python's here
        object.__setattr__(self, "n_inputs", int(n_inputs))

    @classmethod
    def named(cls, name: str, n_inputs: int = 2) -> "BooleanFunction":
        """A gate by name.

        XOR (parity), XNOR, AND, NAND, OR, NOR, TRUE and FALSE exist at any number of inputs.

        Raises:
            XorMiError: a name that no gate has, or a two-input gate asked for at another width.
        """
        gate = gate_name(name)
        if n_inputs == 2:
            return cls(2, (GATES[gate],))
        if gate not in FAMILIES:
            raise XorMiError(
                f"{gate} is a gate of two inputs, not {n_inputs}; "
                f"of any width: {', '.join(FAMILIES)}"
            )
        is_one_on = FAMILIES[gate]
        return cls(n_inputs, [int(is_one_on(row)) for row in truth_rows(n_inputs)])

    @classmethod
    def from_callable(
        cls, function: Callable[..., Any], n_inputs: int | None = None
    ) -> "BooleanFunction":
        """A Python function of bits (returning one bit, or a tuple of them) -> its table.

        Args:
            n_inputs: by default the number of parameters in the function's signature.

        Raises:
            XorMiError: anything but a function, a number of inputs that cannot be read off or is
                not the function's, outputs that are not bits.
        """
        if not callable(function):
            raise XorMiError(
                f"function is {shown(function)}; give a function of bits such as lambda a, b: a & b"
            )
        signature = _signature_of(function)
        if n_inputs is None:
            n_inputs = _n_parameters(signature)
        elif signature is not None and not _takes(signature, truth_rows(n_inputs)[0]):
            raise XorMiError(f"this function cannot be called with {n_inputs} bits: {signature}")
        values = [function(*row) for row in truth_rows(n_inputs)]
        outputs = [value if isinstance(value, (tuple, list)) else (value,) for value in values]
        if len({len(bits) for bits in outputs}) != 1:
            raise XorMiError(
                "the function returns a different number of outputs on different rows; return as "
                "many on every row"
            )
        # [row, output] -> one table [row] per output
        return cls(n_inputs, tuple(zip(*outputs, strict=True)))

    @classmethod
    def from_formula(cls, formula: str, n_inputs: int | None = None) -> "BooleanFunction":
        """A formula over x0, x1, ... -> its tables. Several outputs are separated by commas.

        Operators, tightest first: ~ (NOT), comparisons (> >= < <= == !=), & (AND), ^ (XOR), | (OR).
        All comparisons bind equally and are read from left to right: "x0 > x1 == x2" is "(x0 > x1)
        == x2", which Python would read as a chain. Words and gate calls work too: "x0 AND NOT x1",
        "NAND(x0, x1)". a, b, c, d and x, y, z stand for x0, x1, ... Nothing is ever executed.

        Raises:
            XorMiError: not a formula, over 150,000 characters, or over 200 operators inside each
                other.

        >>> BooleanFunction.from_formula("x0>x1 | x1>x0").name
        'XOR'
        """
        if n_inputs is not None:
            n_inputs = whole_number("n_inputs", n_inputs, at_least=1)
        width, tables = read_formula(formula, n_inputs)
        return cls(width, tables)

    @classmethod
    def of(cls, target: "BooleanFunction | str", n_inputs: int | None = 2) -> "BooleanFunction":
        """A function, a gate name or a formula -> the function.

        Every `target=` argument accepts these. Several outputs are names or formulas with commas
        between them, as `name` writes them.

        Args:
            n_inputs: the number of inputs. With None a function keeps its own, and a formula has as
                many as it names; a gate, or a formula that names fewer, has two.

        Raises:
            XorMiError: something else, or a function of another number of inputs.

        >>> BooleanFunction.of("XNOR, x0 & x1").tables
        ((1, 0, 0, 1), (0, 0, 0, 1))
        >>> BooleanFunction.of("a ^ b ^ c", None).n_inputs
        3
        """
        if n_inputs is None:
            n_inputs = _n_inputs_of(target)
        if isinstance(target, BooleanFunction):
            function = target
        elif isinstance(target, str):
            outputs = [_read_output(text, n_inputs) for text in _split_outputs(target)]
            tables = [table for output in outputs for table in output.tables]
            function = cls(n_inputs, tables)
        else:
            raise XorMiError(
                f"{shown(target)} is not a target; give a gate name, a formula, several of these "
                "in one text with commas between them, or a BooleanFunction"
            )
        if function.n_inputs != n_inputs:
            raise XorMiError(
                f"the target {function.name} has {function.n_inputs} inputs; "
                f"the network has {n_inputs}"
            )
        return function

    def rows(self) -> tuple[tuple[int, ...], ...]:
        """All input rows, lexicographic, first input most significant."""
        return truth_rows(self.n_inputs)

    @property
    def n_outputs(self) -> int:
        return len(self.tables)

    @property
    def outputs(self) -> "tuple[BooleanFunction, ...]":
        """Each output as a separate function."""
        return tuple(BooleanFunction(self.n_inputs, (table,)) for table in self.tables)

    @property
    def bits(self) -> tuple[int, ...]:
        """The truth table of a function with one output.

        Raises:
            XorMiError: several outputs; those are read by `.tables` or `.outputs`.
        """
        if self.n_outputs != 1:
            raise XorMiError(
                f"this function has {self.n_outputs} outputs; read .tables, or .outputs[k].bits"
            )
        return self.tables[0]

    @property
    def essential_inputs(self) -> tuple[int, ...]:
        """The inputs that some output depends on, in order.

        >>> BooleanFunction.from_formula("x2 & ~x0").essential_inputs
        (0, 2)
        """
        of_some_output = set[int]().union(*map(essential_inputs, self.tables))
        return tuple(sorted(of_some_output))

    @property
    def name(self) -> str:
        """The gate's name in this package, or the formula of a function without a name.

        Several outputs are separated by commas.
        """
        return ", ".join(_name(self.n_inputs, table) for table in self.tables)

    @property
    def formula(self) -> str:
        """A short formula over x0, x1, ...; one per output, with commas between."""
        return ", ".join(short_formula(self.n_inputs, table) for table in self.tables)

    def formula_over(self, names: Sequence[str], *, never: Iterable[int] = ()) -> str:
        """The same formula with other names for the inputs, such as the units that feed a gate.

        Args:
            never: the numbers of rows that do not occur because the inputs depend on one another.
                Products that are true on no other row are left out (in a product of sums, the sums
                that are false on none).

        >>> xnor = BooleanFunction.named("XNOR")
        >>> xnor.formula_over(["OR", "AND"]), xnor.formula_over(["OR", "AND"], never=[1])
        ('~(OR ^ AND)', 'AND | ~OR')

        Raises:
            XorMiError: not one name per input, or a row that the function does not have.
        """
        require_kind("names", names, Sequence, give="one name per input, such as ['a', 'b']")
        require_kind("never", never, Iterable, give="numbers of rows, such as [3]")
        for name in names:
            require_kind("a name", name, str, give="one name per input, such as ['a', 'b']")
        if len(names) != self.n_inputs:
            raise XorMiError(
                f"{count_text(len(names), 'name')} for {count_text(self.n_inputs, 'input')}; "
                "give one name per input"
            )
        n_rows = len(self.rows())
        numbers = [whole_number("a row that never occurs", row, below=n_rows) for row in never]
        formulas = ", ".join(
            short_formula(self.n_inputs, table, never=frozenset(numbers)) for table in self.tables
        )
        # all at once: replacing one after the other would also replace new names such as x1
        return re.sub(r"x(\d+)", lambda match: names[int(match[1])], formulas)

    def complement(self) -> "BooleanFunction":
        """1 where this is 0."""
        return BooleanFunction(self.n_inputs, [_flipped(table) for table in self.tables])

    def __call__(self, *row: Row | int | float) -> int | tuple[int, ...]:
        """The output bit of one row, or one bit per output: f(0, 1), f("01") or f([0, 1])."""
        # one argument is a whole row, unless a row has a single bit
        bits: Any = row[0] if len(row) == 1 and self.n_inputs > 1 else row
        number = row_number(as_row(bits, self.n_inputs))
        values = tuple(table[number] for table in self.tables)
        return values[0] if len(values) == 1 else values


def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The parameters of a function; some functions written in C do not have them."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _n_parameters(signature: inspect.Signature | None) -> int:
    """One positional parameter per input."""
    parameters = [] if signature is None else list(signature.parameters.values())
    # *bits could be any number of them
    manifold = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)
    if signature is None or manifold:
        raise XorMiError("the number of inputs cannot be read off this function; give n_inputs=")
    return len(parameters)


def _takes(signature: inspect.Signature, row: Sequence[int]) -> bool:
    """Whether a function of this signature can be called with the bits of a row."""
    try:
        signature.bind(*row)
    except TypeError:
        return False
    return True


def _n_inputs_of(target: BooleanFunction | str) -> int:
    if isinstance(target, BooleanFunction):
        return target.n_inputs
    # of anything else than text `of` says that it is not a target
    return max(2, n_inputs_named(target)) if isinstance(target, str) else 2


def _split_outputs(target: str) -> list[str]:
    """A target's text at its commas, those inside brackets left alone.

    >>> _split_outputs("XNOR, AND(x0, x1)")
    ['XNOR', 'AND(x0, x1)']
    """
    outputs, depth = [""], 0
    for character in target[:MAX_CHARACTERS]:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            outputs.append("")
        else:
            outputs[-1] += character
    # if there is nothing between two commas, or far too much, the whole text is wrong
    if len(target) > MAX_CHARACTERS or not all(map(str.strip, outputs)):
        return [target]
    return [output.strip() for output in outputs]


def _read_output(text: str, n_inputs: int) -> BooleanFunction:
    """A gate's name or a formula -> the function."""
    if is_gate_name(text) and (n_inputs == 2 or gate_name(text) in FAMILIES):
        return BooleanFunction.named(text, n_inputs)
    # a text that mentions an input or calls something is meant as a formula; any other text is
    # a gate's name, written wrong
    if re.search(r"\b[a-dx-zA-DX-Z]\d*\b|\(", text):
        return BooleanFunction.from_formula(text, n_inputs=n_inputs)
    width = len(text).bit_length() - 1
    if set(text) <= {"0", "1"} and width >= 1 and len(text) == 2**width:
        raise XorMiError(
            f"{shown(text)} looks like a truth table, and a text is read as a gate or a formula; "
            f"give BooleanFunction({width}, {shown(text)})"
        )
    refusal = unknown("gate", text, GATES, where="the 16 gates are")
    raise XorMiError(f"{refusal}; or write a formula, such as 'x0 & x1 | x0 & x2 | x1 & x2'")


def _may_be_a_bit(value: object) -> bool:
    """Whether it is one value, and no table: tables have two bits and more."""
    if isinstance(value, str):
        return len(value) == 1
    return not hasattr(value, "__len__")


def _read_tables(n_inputs: int, tables: Tables) -> tuple[tuple[int, ...], ...]:
    """What a caller gives as truth tables -> one tuple of 2^n bits per output."""
    n_rows = len(truth_rows(n_inputs))
    values: object = tables
    # the plain kinds first: asking whether a value fits a protocol takes far longer
    if not isinstance(tables, (str, list, tuple)) and is_array(tables):
        values = tables.tolist()
    if not isinstance(values, (str, list, tuple)):
        raise XorMiError(
            f"{shown(values)} is not a truth table; give {n_rows} bits, for XOR '0110'"
        )
    # "0110" and [0, 1, 1, 0] are one table, ["0110", "0001"] and [[0, 1, 1, 0]] are several
    is_one_table = isinstance(values, str) or all(map(_may_be_a_bit, values))
    several = [values] if is_one_table else list(values)
    if not several or not all(_has_length(table, n_rows) for table in several):
        raise XorMiError(
            f"a function of {n_inputs} inputs has {n_rows} bits per output, not {shown(values)}"
        )
    return tuple(_as_bits(table) for table in several)


def _has_length(table: object, n_rows: int) -> bool:
    return isinstance(table, Sized) and len(table) == n_rows


def _as_bits(table: Any) -> tuple[int, ...]:
    # the common case first: a table that already has the right form
    if isinstance(table, tuple) and set(map(type, table)) == {int} and set(table) <= {0, 1}:
        return table
    return tuple(as_bit(bit, table) for bit in table)


def _flipped(table: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 - bit for bit in table)


def _name(n_inputs: int, table: tuple[int, ...]) -> str:
    if n_inputs == 2:
        return next(name for name, bits in GATES.items() if bits == table)
    # of one input AND, OR and XOR are all x0, and that is its name
    names = FAMILIES if n_inputs > 2 else ("FALSE", "TRUE")
    for name in names:
        if BooleanFunction.named(name, n_inputs).tables[0] == table:
            return name
    return short_formula(n_inputs, table)


def complement_name(gate: str) -> str:
    """The gate that is 1 exactly where this one is 0: 'OR' -> 'NOR'."""
    return name_of_bits(_flipped(GATES[gate_name(gate)]))


@lru_cache(maxsize=65536)
def name_of_bits(bits: tuple[int, ...]) -> str:
    """Bits of one output -> the gate's name if it has one, else its formula."""
    return BooleanFunction(_width(len(bits)), (bits,)).name


def _width(n_rows: int) -> int:
    """The number of inputs of a truth table with this many rows."""
    # max, for the empty table: it has no row, and is refused below
    n_inputs = max(n_rows, 1).bit_length() - 1
    if n_rows != 2**n_inputs or n_inputs < 1:
        raise XorMiError(f"a truth table has 2, 4, 8, ... bits; this one has {n_rows}")
    return n_inputs
