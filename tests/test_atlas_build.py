"""The atlas found anew is the atlas that is stored."""

import pandas as pd
import pytest

from xor_mi import atlas
from xor_mi.errors import XorMiError
from xor_mi.least_units import _build as build
from xor_mi.least_units._atlas import EXACT_COLUMNS, read_atlas

pytestmark = pytest.mark.as_a_user


def test_a_rebuilt_line_is_the_stored_one():
    """XOR's class from the beginning: proofs, sets, and networks, whose last bits may round."""
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
    with pytest.raises(XorMiError, match="is not a file of xor_mi.atlas"):
        build.main(["--out", str(mine)])
    assert mine.read_text(encoding="utf-8") == "mine"


def test_without_the_extras_nothing_is_begun(monkeypatch):
    """The message names what is missing, and how to install it."""
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(XorMiError, match=r"z3 and numba: pip install 'xor-mi\[fast,proof\]'"):
        build.built()
