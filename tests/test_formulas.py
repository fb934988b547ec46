"""Formulas read, and formulas listed, against an oracle that rewrites texts and tries trees."""

import random
from itertools import product

import fuzz_formulas
import pytest
from oracles import formulas as oracle

from xor_mi.errors import XorMiError
from xor_mi.search import formulas
from xor_mi.truth import BooleanFunction, formula_trees


def test_random_texts_are_read_or_refused_as_by_the_oracle():
    """Operators, words, calls, brackets and commas, and texts that are no formula; some of the
    cases list formulas.
    """
    rng = random.Random(0)
    results = [fuzz_formulas.mismatches(rng) for _ in range(300)]
    assert sum(n for n, _ in results) == 600
    assert [line for _, lines in results for line in lines] == []


@pytest.mark.parametrize(
    ("text", "meant"),
    [("x0 > x1 == x2", "(x0 > x1) == x2"), ("x0 == x1 > x2", "(x0 == x1) > x2"), ("x0 < x1 <= x2", "(x0 < x1) <= x2"),
     ("x0 != x1 < x2", "(x0 != x1) < x2"), ("~x0 == x1 & x2", "((~x0) == x1) & x2"), ("x0 > x1 > x2", "(x0 > x1) > x2")],
)  # fmt: skip
def test_comparisons_bind_alike_and_are_read_from_left_to_right(text, meant):
    """As if each comparison with what is before it stood in brackets."""
    function = BooleanFunction.from_formula(text, n_inputs=3)
    assert function == BooleanFunction.from_formula(meant, n_inputs=3)
    assert [list(function.bits)] == oracle.meaning(text, 3)


@pytest.mark.parametrize("text", ["x0,", "(x0, x1)", "AND(x0, x1,)", "AND(x0)(x1)", "()", "x0 <= <= x1", "AND()"])  # fmt: skip
def test_what_python_would_read_is_no_formula_for_that(text):
    """Commas stand between outputs and between arguments, and nowhere else."""
    with pytest.raises(XorMiError, match="cannot be read as a formula"):
        BooleanFunction.from_formula(text)
    assert oracle.meaning(text, 2) is None


@pytest.mark.parametrize(
    "text", ["~" * 3000 + "x0", "(" * 3000 + "x0" + ")" * 3000, " == ".join(["x0"] * 500)]
)
def test_a_text_nested_too_deeply_is_refused_in_words(text):
    """Signs, brackets, and comparisons of comparisons."""
    with pytest.raises(XorMiError, match="nested too deeply"):
        formula_trees(text)


@pytest.mark.parametrize("sign", ["&", "^", ">="])
def test_a_long_chain_is_one_flat_node(sign):
    """Two thousand operands are no nesting: more than Python's calls may be nested."""
    (tree,) = formula_trees(f" {sign} ".join(["x0", "x1"] * 1000))
    assert len(tree.parts) == 2000


def test_every_formula_of_one_input_and_its_not():
    """~x0 has its formulas as x0 has, in both enumerations: NOT is free."""
    for text in ("x0", "~x0", "x1", "~x1"):
        for enumeration in ("free", "ordered"):
            found = formulas(text, depth=1, enumeration=enumeration)
            assert list(map(str, found)) == [text]
    assert len(formulas("~x0", depth=2)) == len(formulas("x0", depth=2))


def test_all_functions_of_two_inputs_have_the_formulas_of_the_oracle():
    """Free and ordered, of depth 1 and 2; constants too."""
    for wanted in product((0, 1), repeat=4):
        for depth in (1, 2):
            assert fuzz_formulas.listed_otherwise(wanted, 2, depth) == []
