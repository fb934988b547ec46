"""Weights that realise a function, or rows that no weights separate: each checked row by row here,
and the answers against an enumeration and against functions whose answer is known.
"""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xor_mi.errors import XorMiError
from xor_mi.truth import (
    BooleanFunction,
    _threshold_proof,
    count_threshold_functions,
    npn_class,
    npn_classes,
    threshold_proof,
    threshold_tables,
)

pytestmark = pytest.mark.as_a_user

GRID = (25, 13, 2, 3, 16, 21, 12, 11, 17)
"""A 3 x 3 square whose rows and columns add up to 40, as no other entries of it do."""


def function_of(is_one, n_inputs):
    """The function that is 1 on the rows of which this holds."""
    return BooleanFunction(n_inputs, [int(is_one(row)) for row in product((0, 1), repeat=n_inputs)])


def unit_of(weights, cut):
    """The function that is 1 where weights . row is above the cut."""
    return function_of(
        lambda row: sum(w * b for w, b in zip(weights, row, strict=True)) > cut, len(weights)
    )


def packed(function):
    """Bit r of the number is the value on row r."""
    return sum(bit << row for row, bit in enumerate(function.bits))


def unpacked(table, n_inputs):
    """The function whose value on row r is bit r."""
    return BooleanFunction(n_inputs, [table >> row & 1 for row in range(2**n_inputs)])


def require_that_it_holds(proof, function):
    """Weights and threshold decide every row; or ones and zeros have the same sums."""
    assert proof.function == function
    if proof.is_threshold:
        assert all(type(weight) is int for weight in proof.weights)
        assert proof.threshold % 1 == 0.5
        for row in product((0, 1), repeat=function.n_inputs):
            total = sum(proof.weights[k] * row[k] for k in range(function.n_inputs))
            assert function(*row) == (total > proof.threshold)
        assert (proof.ones, proof.zeros, proof.conflict) == ({}, {}, "")
        assert proof.two_asummable
        return
    assert (proof.weights, proof.threshold) == (None, None)
    for taken, bit in ((proof.ones, 1), (proof.zeros, 0)):
        assert all(function(*row) == bit and n > 0 for row, n in taken.items())
    assert sum(proof.ones.values()) == sum(proof.zeros.values()) > 0
    for k in range(function.n_inputs):
        of_ones = sum(n * row[k] for row, n in proof.ones.items())
        assert of_ones == sum(n * row[k] for row, n in proof.zeros.items())
    assert proof.two_asummable == (sum(proof.ones.values()) > 2)


def test_functions_of_three_inputs_are_told_apart_as_by_enumeration():
    """All 256: whole weights reach what the linear program separates, and nothing else."""
    possible = set(threshold_tables(3).tolist())
    for table in range(256):
        function = unpacked(table, 3)
        proof = threshold_proof(function)
        require_that_it_holds(proof, function)
        assert proof.is_threshold == (table in possible)


def test_functions_of_four_inputs_are_told_apart_as_by_enumeration():
    """One of each class, and so in effect all 65,536; 100 drawn threshold functions besides."""
    possible = threshold_tables(4).tolist()
    drawn = [unpacked(table, 4) for table in random.Random(0).sample(possible, 100)]
    for function in [*(kind.representative for kind in npn_classes(4)), *drawn]:
        proof = threshold_proof(function)
        require_that_it_holds(proof, function)
        assert proof.is_threshold == (packed(function) in set(possible))


def test_flips_of_one_row_reach_as_many_threshold_functions_of_five_inputs_as_weights_do():
    """The hyperplanes weights . row = threshold differ, so that a walk in the space of weights can
    cross them one at a time: threshold functions are reached from FALSE by flips of one row.
    """
    sizes, waiting, tried = {0: 2}, [0], set()
    while waiting:
        table = waiting.pop()
        for neighbour in {table ^ 1 << row for row in range(32)} - tried:
            tried.add(neighbour)
            if threshold_proof(unpacked(neighbour, 5)).is_threshold:
                kind = npn_class(unpacked(neighbour, 5))
                smallest = packed(kind.representative)
                if smallest not in sizes:
                    sizes[smallest] = kind.size
                    waiting.append(smallest)
    assert sum(sizes.values()) == count_threshold_functions(5) == 94_572


@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_a_proof_holds_whatever_the_function(n_inputs, rng):
    """Any table, and the table of any weights, one row of which is then flipped."""
    table = BooleanFunction(n_inputs, [rng.randint(0, 1) for _ in range(2**n_inputs)])
    weights = [rng.randint(-9, 9) for _ in range(n_inputs)]
    cut = rng.randint(-9, 9)
    unit = unit_of(weights, cut)
    bits = list(unit.bits)
    bits[rng.randrange(len(bits))] ^= 1
    nearly = BooleanFunction(n_inputs, bits)
    assert threshold_proof(unit).is_threshold
    for function in (table, unit, nearly):
        require_that_it_holds(threshold_proof(function), function)


def test_nine_inputs_have_a_function_that_only_three_rows_of_each_show_to_be_impossible():
    """1 where the entries taken add up to more than 40, or are a row of the square; 0 on its
    columns. Four rows in conflict would all have the sum 40, two of them rows and two columns, and
    two rows cover other places than two columns do. The three rows cover what the columns cover.
    """
    lines = [(1, 1, 1, 0, 0, 0, 0, 0, 0), (0, 0, 0, 1, 1, 1, 0, 0, 0), (0, 0, 0, 0, 0, 0, 1, 1, 1)]
    columns = [(1, 0, 0) * 3, (0, 1, 0) * 3, (0, 0, 1) * 3]
    totals = {
        row: sum(entry * bit for entry, bit in zip(GRID, row, strict=True))
        for row in product((0, 1), repeat=9)
    }
    assert {row for row, total in totals.items() if total == 40} == {*lines, *columns}
    function = function_of(lambda row: totals[row] > 40 or row in lines, 9)
    proof = threshold_proof(function)
    require_that_it_holds(proof, function)
    assert proof.two_asummable
    assert not proof.is_threshold
    assert (set(proof.ones), set(proof.zeros)) == (set(lines), set(columns))
    # with three more inputs that it does not read, rows may have to be taken several times
    of_twelve = function_of(lambda row: function(*row[:9]), 12)
    proof = threshold_proof(of_twelve)
    require_that_it_holds(proof, of_twelve)
    assert (proof.is_threshold, proof.two_asummable) == (False, True)


@pytest.mark.parametrize(
    ("is_one", "weights"),
    [
        (lambda row: sum(row) > 6, (1,) * 12),
        (lambda row: row[3] == 0, (0, 0, 0, -1, *(0,) * 8)),
        (lambda row: True, (0,) * 12),
        (lambda row: False, (0,) * 12),
        (lambda row: sum(row) % 2, None),
        (lambda row: sum(row) in (5, 6), None),
    ],
)
def test_twelve_inputs(is_one, weights):
    """Majority, one input's complement, the constants; parity and a band of sums."""
    function = function_of(is_one, 12)
    proof = threshold_proof(function)
    require_that_it_holds(proof, function)
    assert proof.weights == weights


def test_large_weights_of_twelve_inputs_are_found_whole():
    """Random weights, none of which is a small number."""
    rng = random.Random(1)
    weights = [rng.choice((-1, 1)) * rng.randint(50, 99) for _ in range(12)]
    function = unit_of(weights, 31)
    proof = threshold_proof(function)
    assert proof.is_threshold
    require_that_it_holds(proof, function)


def test_what_is_said():
    """Sentence, head and table of both answers, by hand."""
    yes, no = threshold_proof("x0>x1"), threshold_proof("XNOR")
    assert str(yes) == "x0>x1 is a threshold function: 1 exactly where x0 - x1 > 0.5"
    assert str(no) == (
        "XNOR is not a threshold function: 00 + 11 = 01 + 10, rows that are 1 on the left and as many "
        "that are 0 on the right"
    )
    assert yes.frame().values.tolist() == [
        ["00", 0, 0, 0],
        ["01", 0, -1, 0],
        ["10", 1, 1, 0],
        ["11", 0, 0, 0],
    ]
    assert yes.frame().columns.tolist() == ["row", "decided", "total", "times"]
    assert no.frame()["times"].tolist() == [1, 1, 1, 1]
    assert no.frame()["total"].isna().all()
    assert no.head() == {
        "is_threshold": False,
        "weights": None,
        "threshold": None,
        "conflict": "00 + 11 = 01 + 10",
        "two_asummable": False,
    }
    assert yes.head()["weights"] == [1, -1]


def test_mistakes_are_answered():
    """What was asked and what to do."""
    with pytest.raises(XorMiError, match="1 to 12 inputs"):
        threshold_proof("AND", n_inputs=13)
    with pytest.raises(XorMiError, match=r"XOR, AND has 2 outputs; .* each of \.outputs"):
        threshold_proof("XOR, AND")
    for number in (True, 1.0, 0, "2"):
        with pytest.raises(XorMiError, match="n_inputs must be a whole number of at least 1"):
            threshold_proof(BooleanFunction(1, "01"), n_inputs=number)
    with pytest.raises(XorMiError, match="has 2 inputs"):
        threshold_proof(BooleanFunction.named("AND"), n_inputs=3)


def test_an_answer_that_fails_the_check_is_none(monkeypatch):
    """A solver that finds no weights for AND and then takes every row, or none, proves nothing."""
    monkeypatch.setattr(_threshold_proof, "_separated", lambda function: None)
    monkeypatch.setattr(_threshold_proof, "_multipliers", lambda equations, bits: bits * 0.0 + 1)
    with pytest.raises(XorMiError, match=r"AND have no answer that holds in whole numbers"):
        threshold_proof("AND")
    monkeypatch.setattr(_threshold_proof, "_multipliers", lambda equations, bits: None)
    with pytest.raises(XorMiError, match=r"AND have no answer that holds in whole numbers"):
        threshold_proof("AND")
