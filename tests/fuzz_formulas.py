"""Formulas read by the package and by the oracle; formulas listed by both. One case a call."""

import random

from oracles import formulas as oracle

from xor_mi.errors import XorMiError
from xor_mi.search import formulas
from xor_mi.truth import BooleanFunction

OPERANDS = ("x0", "x1", "x2", "a", "B", "y", "0", "1", "TRUE", "false", "X2")
OPERATORS = (
    "&",
    "|",
    "^",
    ">",
    ">=",
    "<",
    "<=",
    "==",
    "!=",
    "and",
    "OR",
    "xor",
    "&&",
    "||",
    "∧",
    "⊕",
)
SIGNS = ("~", "!", "not ", "¬", "~~")
CALLS = ("AND", "or", "XOR", "NAND", "NOR", "XNOR", "NOT", "IMPLIES", "NIMP")
NOISE = (*OPERANDS, *OPERATORS, *SIGNS, *CALLS, "(", ")", ",", "q", "x9", "=", "if", "-", "2", "x0x1")  # fmt: skip


def text_of(rng: random.Random, depth: int) -> str:
    """A formula with few brackets, so that precedence counts."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(OPERANDS)
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(SIGNS) + text_of(rng, depth - 1)
    if kind < 0.3:
        return f"({text_of(rng, depth - 1)})"
    if kind < 0.4:
        parts = ", ".join(text_of(rng, depth - 1) for _ in range(rng.choice((1, 2, 2, 3))))
        return f"{rng.choice(CALLS)}({parts})"
    n_parts = rng.choice((2, 2, 3, 4))
    parts = [text_of(rng, depth - 1) for _ in range(n_parts)]
    text = parts[0]
    for part in parts[1:]:
        text += f" {rng.choice(OPERATORS)} {part}"
    return text


def spoiled(rng: random.Random, text: str) -> str:
    """The text with a word put in, taken out or replaced: often no formula any more."""
    words = text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split()
    for _ in range(rng.choice((0, 1, 1, 2))):
        at = rng.randrange(len(words) + 1)
        words[at : at + rng.choice((0, 1))] = rng.choice(([], [rng.choice(NOISE)]))
    return " ".join(words)


def read(text: str, n_inputs: int) -> list[list[int]] | None:
    """The tables of the outputs by the package; None where it refuses."""
    try:
        tables = BooleanFunction.from_formula(text, n_inputs=n_inputs).tables
    except XorMiError:
        return None
    return [list(table) for table in tables]


def mismatches(rng: random.Random) -> tuple[int, list[str]]:
    """One random text, and it spoiled; now and then the formulas of one function."""
    text = text_of(rng, rng.choice((1, 2, 3)))
    if rng.random() < 0.15:
        text = f"{text}, {text_of(rng, 1)}"
    wrong = []
    for one in (text, spoiled(rng, text)):
        got, expected = read(one, 3), oracle.meaning(one, 3)
        if got != expected:
            wrong.append(f"{one!r} is read as {got}, by the oracle as {expected}")
    if rng.random() < 0.1:
        n_inputs, depth = rng.choice(((1, 1), (1, 3), (2, 1), (2, 2), (3, 1)))
        wanted = tuple(rng.randint(0, 1) for _ in range(2**n_inputs))
        wrong += listed_otherwise(wanted, n_inputs, depth)
    return 2, wrong


def listed_otherwise(wanted: tuple[int, ...], n_inputs: int, depth: int) -> list[str]:
    """How the formulas of one function differ from the oracle's."""
    function = BooleanFunction(n_inputs, wanted)
    wrong = []
    free = [oracle.written(str(one)) for one in formulas(function, depth=depth, progress=False)]
    forms = [oracle.up_to_negation(tree)[0] for tree in free]
    if any(oracle.table(tree, n_inputs) != wanted for tree in free):
        wrong.append(f"a free formula of {wanted} computes something else")
    if len(set(forms)) != len(forms) or set(forms) != oracle.free(wanted, n_inputs, depth):
        wrong.append(f"{len(forms)} free formulas of {wanted}, depth {depth}, are not the oracle's")
    found = formulas(function, depth=depth, enumeration="ordered", progress=False)
    ordered = [oracle.written(str(one)) for one in found]
    if any(oracle.table(tree, n_inputs) != wanted for tree in ordered):
        wrong.append(f"an ordered formula of {wanted} computes something else")
    expected = {
        skeleton: oracle.fewest_negations(skeleton, wanted, n_inputs)
        for skeleton in oracle.skeletons(n_inputs, depth)
    }
    n_negations = {skeleton: n for skeleton, n in expected.items() if n is not None}
    if dict(map(oracle.without_negations, ordered)) != n_negations:
        wrong.append(f"ordered formulas of {wanted}, depth {depth}, are not the oracle's")
    return wrong
