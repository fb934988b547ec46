"""The atlas found anew is the atlas that is stored; what the solver finds is right on every row."""

from fractions import Fraction

import pandas as pd
import pytest

from xor_mi import atlas
from xor_mi.errors import XorMiError
from xor_mi.least_units import _build as build
from xor_mi.least_units._atlas import EXACT_COLUMNS, read_atlas
from xor_mi.least_units._relu_weights import relu_weights
from xor_mi.truth import BooleanFunction

pytestmark = pytest.mark.as_a_user


def relu_by_hand(found, row):
    """The output of weights that the solver found, in fractions, written out."""
    total = found.bias
    for weights, bias, sign in zip(found.weights, found.biases, found.signs, strict=True):
        total += sign * max(
            Fraction(0), bias + sum(w for w, x in zip(weights, row, strict=True) if x)
        )
    return total + sum(w for w, x in zip(found.direct, row, strict=False) if x)


@pytest.mark.parametrize(
    ("formula", "n_units", "direct"),
    [
        ("x0 ^ x1", 2, False),
        ("x0 ^ x1", 1, True),
        ("x0 ^ x1 ^ x2", 3, False),
        ("x0 ^ x1 ^ x2", 2, True),
        ("x0 ^ x1 ^ x2 ^ x3", 3, False),
        ("x0 & (x1 | x2)", 1, False),
        ("x0 & (x1 | x2)", 0, True),
    ],
)
def test_so_many_relus_are_enough_and_one_less_is_not(formula, n_units, direct):
    """Parity needs 2, 3 and 3; with direct connections one less for two and three inputs. The
    output is at least 1 away from 0, the network decides every row, and a unit more does no harm.
    """
    pytest.importorskip("z3")
    function = BooleanFunction.of(formula, None)
    assert n_units == 0 or relu_weights(function, n_units - 1, direct=direct) is None
    for width in (n_units, n_units + 1):
        found = relu_weights(function, width, direct=direct)
        outputs = [relu_by_hand(found, row) for row in function.rows()]
        assert [int(output >= 1) for output in outputs] == list(function.bits)
        assert all(abs(output) >= 1 for output in outputs)
        assert [found.output(row) for row in function.rows()] == outputs
        network = found.network(function)
        assert network(network.rows())[:, 0].tolist() == pytest.approx(list(map(float, outputs)))
        assert network.cfg.d_hidden == (max(1, width),)


def test_what_is_not_settled_is_no_answer(monkeypatch):
    """Neither "there are weights" nor "there are none"; nor without the solver."""
    pytest.importorskip("z3")
    four = BooleanFunction.of("x0 ^ x1 ^ x2 ^ x3", None)
    monkeypatch.setattr("xor_mi.least_units._relu_weights.MOST_SECONDS", 0.001)
    with pytest.raises(XorMiError, match="z3 does not settle in 0.001 s whether 2 ReLUs compute"):
        relu_weights(four, 2)
    monkeypatch.setattr("xor_mi.least_units._relu_weights.find_spec", lambda name: None)
    with pytest.raises(XorMiError, match="pip install z3-solver"):
        relu_weights(four, 2)


def test_a_rebuilt_line_is_the_stored_one():
    """XOR's class from the beginning: proofs, sets, and networks, whose last bits may round."""
    pytest.importorskip("z3")
    pytest.importorskip("numba")
    entry = next(entry for entry in build.npn_classes(2) if entry.representative.name == "XOR")
    line = build.line_of(entry)
    stored = atlas("XOR").iloc[0]
    assert [line[name] for name in EXACT_COLUMNS] == stored[list(EXACT_COLUMNS)].tolist()
    for name in ("success", "success_one_more"):
        assert line[name] == pytest.approx(stored[name], abs=0.03)


def test_the_command_writes_and_checks(tmp_path, monkeypatch, capsys):
    """What is built is what is read; a changed number is named; another file stays."""
    file = tmp_path / "atlas.parquet"
    monkeypatch.setattr(build, "built", atlas)
    assert build.main(["--out", str(file)]) == 0
    pd.testing.assert_frame_equal(read_atlas(file), atlas())
    assert build.main(["--out", str(file), "--check"]) == 0
    other = atlas().assign(relu=lambda lines: lines["relu"].where(lines["table"] != "0110", 5))
    monkeypatch.setattr(build, "built", lambda: other)
    capsys.readouterr()
    assert build.main(["--out", str(file), "--check"]) == 1
    assert capsys.readouterr().out == "0110 of 2 inputs: relu is 5, stored 2\n"
    monkeypatch.setattr(build, "built", lambda: atlas().drop(index=0))
    assert build.main(["--out", str(file), "--check"]) == 1
    assert capsys.readouterr().out == "00 of 1 inputs: only stored\n"
    mine = tmp_path / "mine.parquet"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(XorMiError, match="is no xor_mi.atlas file"):
        build.main(["--out", str(mine)])
    assert mine.read_text(encoding="utf-8") == "mine"


def test_without_the_extras_nothing_is_begun(monkeypatch):
    """The message names what is missing, and how to install it."""
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(XorMiError, match=r"z3 and numba: pip install numba z3-solver"):
        build.built()
