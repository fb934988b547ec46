"""What a notebook cell shows of an error: the person's own frames and the message."""

import re
import subprocess
import sys

import pytest

CELL = """
from xor_mi import patch_sweep
from xor_mi.handmade import textbook_xor

def mine(outputs):
    return patch_sweep(textbook_xor(), [("00", "11")], "h0.9")

def asks():
    return patch_sweep(textbook_xor(), [("00", "11")], metrics=mine)

asks()
"""
"""A function of the person's that xor_mi calls, and which calls xor_mi with a wrong name."""

MESSAGE = "XorMiError: no unit or edge 'h0.9'"


def printed_by(*command: str) -> str:
    """What a program prints of the error, without colours."""
    pytest.importorskip("IPython")
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


@pytest.mark.as_a_user
def test_ipython_shows_the_persons_frames_and_the_message(tmp_path):
    """The cell, both functions of the person's, the message, and how many frames are left out; no
    line of a file of the package or of torch. The plain traceback of the same lines has them.
    """
    script = tmp_path / "mine.py"
    script.write_text(CELL, encoding="utf-8")
    plain = printed_by(str(script))
    assert plain.count("_patching.py") > 1
    assert "torch" in plain
    assert MESSAGE in plain
    in_a_cell = printed_by("-m", "IPython", "--no-banner", "--colors=NoColor", "-c", CELL)
    assert in_a_cell.count(MESSAGE) == 1
    assert "asks()" in in_a_cell
    assert "metrics=mine)" in in_a_cell
    assert '"h0.9")' in in_a_cell
    for file in ("_patching.py", "_sites.py", "_contextlib.py", "interactiveshell.py"):
        assert file not in in_a_cell
    n_plain = plain.count('\n  File "')
    # of the plain traceback, the module's own line and the two functions are the person's
    assert f"({n_plain - 3} frames are left out: xor_mi and the libraries" in in_a_cell


def test_without_ipython_the_same_frames_are_written_plainly():
    """In a program that asks for the notebook's view without one: this file and the message."""
    from xor_mi import XorMiError, patch
    from xor_mi.handmade import textbook_xor

    with pytest.raises(XorMiError) as refusal:
        patch(textbook_xor(), "00", "11", "h0.9")
    written = "".join(refusal.value._render_traceback_())
    assert "test_notebook_errors.py" in written
    assert "_patching.py" not in written
    assert MESSAGE in written
    assert "left out" in written


def test_a_cause_in_the_person_s_own_code_is_shown():
    """What a person raises an error from, and nothing of what xor_mi caught by itself; the error
    is left as it was, whatever its class is made of.
    """
    from xor_mi import XorMiError

    class Mine(XorMiError):
        """An error of a person's, with arguments of its own."""

        def __init__(self, *, code):
            super().__init__(f"bad {code}")

    def asks():
        try:
            {}["settings"]
        except KeyError as error:
            raise Mine(code=3) from error

    with pytest.raises(Mine) as refusal:
        asks()
    written = "".join(refusal.value._render_traceback_())
    assert isinstance(refusal.value.__cause__, KeyError)
    assert refusal.value.__suppress_context__
    assert "KeyError: 'settings'" in written
    assert "bad 3" in written
