"""The fewest hidden units: against closures that share no code, published numbers, and NumPy's own
forward of every network on every row.
"""

import random
import signal
import threading
import time
from itertools import product

import numpy as np
import pytest

from xor_mi import atlas, identify_circuit, least_hidden_units
from xor_mi.errors import XorMiError
from xor_mi.least_units import LeastUnits
from xor_mi.truth import BooleanFunction, npn_classes

pytestmark = pytest.mark.as_a_user

ACTIVATIONS = {
    "threshold": lambda z: np.where(z > 0, 1.0, 0.0),
    "sign": lambda z: np.where(z > 0, 1.0, -1.0),
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "relu6": lambda z: np.clip(z, 0, 6),
    "hardtanh": lambda z: np.clip(z, -1, 1),
    "hardsigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
    "sigmoid": lambda z: (1 + np.tanh(z / 2)) / 2,
    "tanh": np.tanh,
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
}


def parity(n_inputs: int) -> BooleanFunction:
    """1 where an odd number of inputs is 1."""
    return BooleanFunction.from_callable(lambda *row: sum(row) % 2, n_inputs)


def asked(target: BooleanFunction | str, unit: str = "threshold", **options: object) -> LeastUnits:
    """The answer, with its network run by hand on every row."""
    found = least_hidden_units(target, unit, progress=False, **options)
    network, function = found.network, found.function
    parts = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    rows = np.array(list(product((0, 1), repeat=function.n_inputs)), dtype=float)
    hidden = ACTIVATIONS[unit](rows @ parts["fc1.weight"].T + parts["fc1.bias"])
    outputs = hidden @ parts["fc2.weight"].T + parts["fc2.bias"]
    if found.direct:
        outputs = outputs + rows @ parts["direct.weight"].T
    assert (outputs > 0).astype(int).T.tolist() == [list(table) for table in function.tables]
    assert not (outputs == 0).any()
    # where none is needed there is one that nothing reads
    assert network.cfg.d_hidden == (max(1, found.at_most),)
    assert found.at_most or not parts["fc2.weight"].any()
    assert found.at_least <= found.at_most
    below = [one.n_units for one in found.widths if one.answer == "impossible"]
    assert below == list(range(found.at_least))
    return found


@pytest.mark.parametrize("unit", ["threshold", "relu"])
@pytest.mark.parametrize("direct", [False, True])
def test_every_class_of_up_to_three_inputs_has_the_number_of_the_atlas(unit, direct):
    """Whose columns `oracles.closures` holds against all that so many units can compute."""
    column = f"{unit}_direct" if direct else unit
    for n_inputs in (1, 2, 3):
        for entry in npn_classes(n_inputs):
            found = asked(entry.representative, unit, direct=direct)
            table = "".join(map(str, entry.representative.bits))
            lines = atlas(n_inputs=n_inputs).set_index("table")
            assert found.number == lines.loc[table, column]


def test_functions_of_four_inputs_have_the_number_of_their_class():
    """A seeded sample, of all functions and not of the representatives."""
    chosen = random.Random(23)
    for _ in range(6):
        bits = tuple(chosen.randint(0, 1) for _ in range(16))
        function = BooleanFunction(4, (bits,))
        line = atlas(function).iloc[0]
        for unit, direct in product(("threshold", "relu"), (False, True)):
            column = f"{unit}_direct" if direct else unit
            assert asked(function, unit, direct=direct).number == line[column]


def test_how_many_functions_need_how_many():
    """14 / 2 of two inputs, by every kind of unit that is exact."""
    tables = list(product((0, 1), repeat=4))
    for unit in ("threshold", "sign", "relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid"):
        numbers = [asked(BooleanFunction(2, (table,)), unit).number for table in tables]
        assert [numbers.count(n) for n in (0, 1, 2)] == [2, 12, 2]


def test_parity():
    """ReLUs 2, 3, 3, 4 (z3); thresholds one per input up to four, and with direct connections half
    as many; published for sigmoids: 2, 2 (Setiono 1997).
    """
    assert [asked(parity(n), "relu").number for n in (2, 3, 4, 5)] == [2, 3, 3, 4]
    assert [asked(parity(n)).number for n in (2, 3, 4, 5)] == [2, 3, 4, 5]
    assert [asked(parity(n), direct=True).number for n in (2, 3, 4)] == [1, 1, 2]
    assert [asked(parity(n), "sigmoid").number for n in (2, 3)] == [2, 2]


@pytest.mark.parametrize("n_inputs", [5, 8])
def test_of_more_inputs_both_bounds_are_said(n_inputs):
    """The staircase has a step per input; the parity of four inputs that is left needs four."""
    found = asked(parity(n_inputs), max_seconds=0.1)
    assert (found.at_least, found.at_most, found.number) == (4, n_inputs, None)
    assert found.proof is not None
    assert found.proof.kind == "restriction"
    assert found.widths[4].answer == "unknown"
    assert f"at least 4 and at most {n_inputs} threshold units" in str(found)


def test_the_staircase_is_a_circuit():
    """Its k-th step is on where more than k inputs are, so that the first is OR and the last AND."""
    circuit = identify_circuit(asked(parity(5), max_seconds=0.1).network)
    assert circuit.verdict == "identified"
    assert [circuit.units[0].gate, circuit.units[4].gate] == ["OR", "AND"]


def test_bounds_of_random_functions_hold():
    """Of five inputs; direct connections never cost a unit."""
    chosen = random.Random(5)
    for _ in range(3):
        bits = tuple(chosen.randint(0, 1) for _ in range(32))
        function = BooleanFunction(5, (bits,))
        plain = asked(function, max_seconds=2)
        direct = asked(function, direct=True, max_seconds=2)
        assert 1 <= direct.at_least <= plain.at_most
        assert direct.at_most <= plain.at_most
        # its network decides every row, which `asked` has looked at
        assert asked(function, "relu", direct=True, max_seconds=5).at_least >= 1


@pytest.mark.parametrize("unit", sorted(ACTIVATIONS))
@pytest.mark.parametrize("direct", [False, True])
def test_constants_lines_and_xor(unit, direct):
    """No unit for a constant; one for AND, none with direct connections; two for XOR, and one."""
    assert asked("TRUE", unit, direct=direct).number == 0
    assert asked("FALSE", unit, direct=direct).number == 0
    assert asked("x0 & ~x2", unit, direct=direct).number == (0 if direct else 1)
    assert asked("XOR", unit, direct=direct).number == (1 if direct else 2)


def test_several_outputs_share_a_layer():
    """Half adder 2, full adder 3, and with direct connections 1: the carry is a threshold."""
    carry = "(x0 & x1) | (x0 & x2) | (x1 & x2)"
    assert asked("x0 ^ x1, x0 & x1").number == 2
    assert asked("x0 ^ x1, x0 & x1", "relu").number == 2
    assert asked(f"x0 ^ x1 ^ x2, {carry}").number == 3
    assert asked(f"x0 ^ x1 ^ x2, {carry}", direct=True).number == 1
    assert asked("x0, x1").number == asked("x0, x1", "relu").number == 2
    # one ReLU has two thresholds, a step has one
    assert asked("x0 & x1, x0 | x1", "relu").number == 1
    assert asked("x0 & x1, x0 | x1").number == 2


def test_what_is_said_of_xor():
    """The table has a line per number of units, and the circuit is proved."""
    found = asked("XOR")
    assert found.frame()["answer"].tolist() == ["impossible", "impossible", "possible"]
    assert found.proof is not None
    assert "01 + 10 = 00 + 11" in found.proof.text
    assert found.circuit.verdict == "identified"
    assert found.head()["at_least"] == found.number == 2
    four = asked(parity(4))
    assert four.proof is not None
    # 940 gates up to complement, three of them at a time
    assert f"{940 * 939 * 938 // 6:,}" in four.proof.text


def test_without_the_solver(monkeypatch):
    """What it proved is in the atlas; of the rest there are bounds, and how to bring them nearer."""
    monkeypatch.setattr("xor_mi.least_units._solver.find_spec", lambda name: None)
    found = asked(parity(3), "relu")
    assert found.number == 3
    assert found.proof is not None
    assert found.proof.kind == "atlas"
    monkeypatch.setattr("xor_mi.least_units._least.N_TRAINED", 10)
    found = asked(parity(3), "relu6", max_seconds=0.1)
    assert (found.at_least, found.at_most) == (2, 3)
    # the words are those of the solver, not of training
    assert "pip install 'xor-mi[proof]'" in found.widths[2].text
    assert asked("AND", "relu").number == 1
    assert asked("AND", "leaky_relu").number == 1
    assert asked(parity(4)).number == 4
    found = asked(parity(5))
    assert (found.at_least, found.at_most) == (4, 5)
    assert "pip install 'xor-mi[proof]'" in found.widths[4].text


def test_a_line_of_many_inputs_needs_one_unit():
    """Of every kind, also where the solver is not asked."""
    majority = BooleanFunction.from_callable(lambda *row: sum(row) > 4, 9)
    for unit in ACTIVATIONS:
        assert asked(majority, unit).number == 1


def test_a_smooth_unit_does_what_a_step_does():
    """As many are enough, and those that lines exclude are too few; nothing is trained."""
    bits = (0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0)
    function = BooleanFunction(4, (bits,))
    assert asked(function).number == 2
    for unit in ("sigmoid", "tanh", "elu"):
        found = asked(function, unit)
        assert found.number == 2
        assert "steep" in found.widths[2].text


def test_ctrl_c_ends_a_proof():
    """z3 takes it for the end of its time; here it is heard, and nothing false is said."""
    slow = BooleanFunction.from_callable(lambda *row: sum(row) % 2, 7)
    timer = threading.Timer(1.0, signal.raise_signal, [signal.SIGINT])
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        least_hidden_units(slow, max_seconds=60, progress=False)
    assert time.monotonic() - start < 30


def test_a_long_name_is_cut():
    """The answer stands in the first line, whatever the function."""
    chosen = random.Random(9)
    function = BooleanFunction(9, ([chosen.randint(0, 1) for _ in range(512)],))
    first = str(asked(function)).splitlines()[0]
    assert len(first) < 250
    assert "... of 9 inputs needs at least" in first


def test_a_limit_that_is_met_is_no_proof(monkeypatch):
    """Of a millisecond nothing is known."""
    monkeypatch.setattr("xor_mi.least_units._least.N_TRAINED", 10)
    found = asked("x0 ^ x1 ^ x2 ^ x3", "relu", max_seconds=0.001)
    assert found.at_least == 2
    assert found.widths[2].answer == "unknown"
    assert "did not settle it within 0.001 s" in found.widths[2].text


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("XOR", "gelu"), {}, "no kind of unit 'gelu'; known kinds: threshold, sign, relu"),
        (("XOR", "heaviside"), {}, "the unit is called 'threshold'"),
        (("XOR",), {"n_inputs": 13}, "13"),
        (("XOR",), {"direct": "yes"}, "direct is 'yes'; give True or False"),
        (("XOR",), {"max_seconds": 0}, "max_seconds is 0; give a number of seconds above 0"),
        (("XOR",), {"max_seconds": float("inf")}, "above 0 and up to 1,000,000"),
        (("XOR",), {"max_seconds": 10**5000}, "max_seconds is a value of type int; give"),
        (("XOR", np.array(["relu", "sign"])), {}, "no kind of unit"),
        (("01101001",), {}, r"looks like a truth table.*give BooleanFunction\(3, '01101001'\)"),
    ],
)
@pytest.mark.unchecked
def test_mistakes(arguments, options, message):
    """Each is answered with what there is."""
    with pytest.raises(XorMiError, match=message):
        least_hidden_units(*arguments, **options)
