"""Every file this package reads back, with what no program of ours writes in it: one short error
that names the file, at once.
"""

import json
import os
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xor_mi import HookedMLP, handmade
from xor_mi.errors import XorMiError, cut_short, shown
from xor_mi.model import HookedMLPConfig, _config
from xor_mi.population import read_census, run_census
from xor_mi.reading import DEEPEST, MOST_DIGITS, _without_repeats, read_json
from xor_mi.testing import read_record, record_of, write_record
from xor_mi.zoo import _stored

pytestmark = [pytest.mark.as_a_user, pytest.mark.unchecked]

DEEP = 100_000


def of_a_baseline(folder):
    """A baseline, and how it is read."""
    file = folder / "net.circuit.json"
    write_record(record_of(handmade.textbook_xor()), file)
    return file, lambda: read_record(file)


def of_a_model(folder):
    """The settings of a saved network."""
    handmade.textbook_xor().save_pretrained(folder)
    return folder / "config.json", lambda: HookedMLP.from_pretrained(folder)


def of_the_zoo(folder):
    """A recorded circuit."""
    shutil.copytree(_stored.DATA / "or-and", folder, dirs_exist_ok=True)
    return folder / "circuit.json", lambda: _stored.recorded_in(folder)


def small_census(folder):
    """A census of two networks, or what is said where there is one in the folder already."""
    return run_census("XOR", 2, directory=folder, shard_size=2, n_jobs=1, progress=False)


@cache
def files_of_a_census():
    """Name -> content of every file of the small census, which is trained once."""
    with TemporaryDirectory() as folder:
        small_census(folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def of_a_census(folder):
    """The plan of a census."""
    for name, content in files_of_a_census().items():
        (folder / name).write_bytes(content)
    return folder / "_plan.json", lambda: small_census(folder)


READERS = [of_a_baseline, of_a_model, of_the_zoo, of_a_census]

HOSTILE = {
    "nothing": (b"", "it is empty"),
    "blanks": (b" \n\n", "it is empty"),
    "no text": (b"\xff\xfe\x00{", "it is not UTF-8 text (byte 0)"),
    "cut off": (b'{"format": ', "Expecting value"),
    "deep lists": (b"[" * DEEP + b"]" * DEEP, "it is nested too deep"),
    "deep lists, open": (b"[" * DEEP, "it is nested too deep"),
    "deep objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "it is nested too deep"),
    "not as deep": (b"[" * 100 + b"]" * 100, "it is nested too deep"),
    "deep inside": (b'{"a": 1, "b": ' + b"[" * 50 + b"]" * 50 + b"}", "it is nested too deep"),
    "infinite": (b'{"a": 1e999}', "1e999 is too large for a number"),
    "infinite below": (b'{"a": -1e999}', "-1e999 is too large for a number"),
    "long float": (b'{"a": 1' + b"0" * 10**5 + b".0}", "... is too large for a number"),
    "Infinity": (b'{"a": Infinity}', "Infinity is not a number that JSON has"),
    "NaN": (b'{"a": NaN}', "NaN is not a number that JSON has"),
    "long number": (b'{"a": 1' + b"0" * 5000 + b"}", "a number in it has 5,001 digits"),
    "longer": (b'{"a": -1' + b"0" * 10**6 + b"}", "a number in it has 1,000,001 digits"),
    "twice": (b'{"a": 1, "b": 2, "a": 3}', "'a' is given twice"),
    "a long name twice": (b'{"%s": 1, "%s": 2}' % ((b"a" * 10**5,) * 2), "... is given twice"),
    "lines in a name": (b'{"a\\nb": 1, "a\\nb": 2}', "'a\\nb' is given twice"),
}
"""What lies in the file, and what is said of it."""


def refused(read):
    """The message of a reader that refuses: one line with a next step."""
    with pytest.raises(XorMiError) as error:
        read()
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__)
def reader(request, tmp_path):
    """Each reader with a good file of its own, which it reads."""
    file, read = request.param(tmp_path)
    read()
    return file, read


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_short_error_at_every_reader(tmp_path, name):
    """Cut off, no text, nested, infinite, endless or ambiguous: refused with the reason and the
    next step, in one line, whoever reads.
    """
    content, says = HOSTILE[name]
    for number, reader in enumerate(READERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        file, read = reader(folder)
        file.write_bytes(content)
        message = refused(read).replace(str(folder), "FOLDER")
        # the folder of a census asks first whose file it is
        assert says in message or "did not write" in message
        assert file.name in message
        assert "; " in message
        assert len(message) < 300


@pytest.mark.parametrize("content", ["[]", "null", "1", "true", '"text"', "{}", '{"config": []}'])
def test_json_of_another_kind_is_refused_too(reader, content):
    """A list, null, a number, an object with nothing in it: read, and not what was asked for."""
    file, read = reader
    file.write_text(content, encoding="utf-8")
    message = refused(read).replace(str(file.parent), "FOLDER")
    assert file.name in message
    assert len(message) < 300


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_and_a_folder_are_no_files_and_are_not_waited_for(reader):
    """Nobody writes into the pipe, so opening it would never end."""
    file, read = reader
    file.unlink()
    os.mkfifo(file)
    assert file.name in refused(read)
    file.unlink()
    file.mkdir()
    assert file.name in refused(read)


def test_a_byte_order_mark_is_passed_over(reader):
    """Some editors put one in front; what follows is read as it is."""
    file, read = reader
    before = read()
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    after = read()
    # two networks are never equal, their settings, which this file holds, are
    assert getattr(after, "cfg", after) == getattr(before, "cfg", before)


def test_the_bounds_are_where_they_are_said(tmp_path):
    """As deep and as many digits as allowed are read, one more is not."""
    file = tmp_path / "a.json"

    def read(text):
        file.write_text(text, encoding="utf-8")
        return read_json(file, called=f"'{file}'", next_step="write another")

    deep = "[" * DEEPEST + "]" * DEEPEST
    assert read(deep) == json.loads(deep)
    assert read("9" * MOST_DIGITS) == 10**MOST_DIGITS - 1
    assert read("-1.5e300") == -1.5e300
    for text in (f"[{deep}]", "9" * (MOST_DIGITS + 1), "1e309"):
        with pytest.raises(XorMiError, match="a.json' cannot be read: .*; write another"):
            read(text)


def test_the_repeated_name_is_found_in_one_pass():
    """Names are asked for as often as there are names, not once per pair of them."""
    n_names, asked = 2_000, []

    class Name(str):
        """A text that counts how often it is compared or looked up."""

        __slots__ = ()

        def __eq__(self, other):
            asked.append(self)
            return str.__eq__(self, other)

        def __hash__(self):
            asked.append(self)
            return str.__hash__(self)

    pairs = [(Name(f"k{k}"), k) for k in range(n_names)]
    with pytest.raises(ValueError, match=f"'k{n_names - 1}' is given twice"):
        _without_repeats([*pairs, (Name(f"k{n_names - 1}"), 0)])
    assert n_names < len(asked) < 20 * n_names


def test_a_file_too_large_is_not_read(tmp_path):
    """Its size is asked first."""
    file = tmp_path / "a.json"
    with file.open("wb") as opened:
        opened.truncate(2**40)  # a hole: no disk is used
    with pytest.raises(XorMiError, match="it has 1,099,511,627,776 bytes; at most 16,777,216"):
        read_json(file, called="it", next_step="")


# a saved network


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"d_hidden": [1] * 10**6}, "d_hidden has 1,000,000 hidden layers; at most 1,000"),
        ({"d_hidden": [10**9]}, "4,000,000,001 weights and biases; at most 100,000,000"),
        ({"d_in": 10**12}, "weights and biases; at most"),
        ({"d_in": 10**15, "d_hidden": [10**15]}, "weights and biases; at most"),
        ({"d_hidden": [-1]}, "must be a whole number of at least 1, not -1"),
        ({"d_hidden": [2.0]}, "must be a whole number of at least 1, not 2.0"),
        ({"d_hidden": ["2"]}, "must be a whole number of at least 1, not '2'"),
        ({"d_hidden": [[2]]}, "must be a whole number of at least 1, not [2]"),
        ({"d_hidden": "2" * 10**5}, "must be a whole number of at least 1, not '2222"),
        ({"d_in": True}, "d_in must be a whole number of at least 1, not True"),
        ({"d_in": [0] * 10**5}, "d_in must be a whole number of at least 1, not [0, 0"),
        ({"act_fn": "relu" * 10**5}, "no activation 'relurelu"),
        ({"act_fn": {"relu": 1}}, "no activation"),
        ({"dtype": "x" * 10**5}, "no dtype 'xxx"),
        ({"negative_slope": "steep" * 10**4}, "negative_slope must be a number, not 'steep"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"x" * 10**5: 1}, "no setting 'xxx"),
        ({"target": 5}, "5 is not a target"),
        ({"target": "XORR"}, "no gate 'XORR'"),
        ({"target": ["0110"] * 10**5}, "is not a target"),
        ({"target": {"n_inputs": 2}}, "expected n_inputs and tables"),
        ({"target": {"n_inputs": 10**9, "tables": []}}, "has 1 to 12 inputs"),
        ({"target": {"n_inputs": "2", "tables": "0110"}}, "has 1 to 12 inputs"),
        ({"target": {"n_inputs": 2, "tables": None}}, "None is not a truth table"),
        ({"target": {"n_inputs": 2, "tables": ["0120"]}}, "is not a bit"),
        ({"target": {"n_inputs": 2, "tables": [[0] * 10**5]}}, "4 bits per output"),
        ({"target": {"n_inputs": 2, "tables": ["0110"] * 3}}, "the target has 3 outputs"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_a_network_is_built(
    tmp_path, monkeypatch, settings, says
):
    """In a saved config and by hand: one short line, and no weights are asked for."""
    file, read = of_a_model(tmp_path)
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | settings), encoding="utf-8")

    def unreached(*_):
        raise AssertionError("weights were drawn")

    monkeypatch.setattr(_config.torch, "rand", unreached)
    monkeypatch.setattr(HookedMLP, "__init__", unreached)
    with pytest.raises(XorMiError) as error:
        read()
    message = str(error.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 300


def test_as_many_layers_as_are_allowed_are_built():
    """One more is refused; the model of the most is a model."""
    most = _config.MAX_LAYERS
    model = HookedMLP(HookedMLPConfig(1, (1,) * most))
    assert model([[1]]).shape == (1, 1)
    with pytest.raises(XorMiError, match="hidden layers; at most"):
        HookedMLPConfig(1, (1,) * (most + 1))


def test_weights_of_many_other_layers_are_said_in_one_short_line(tmp_path):
    """The first that differs is named, not all of them."""
    HookedMLP(HookedMLPConfig(2, (2,) * 200)).save_pretrained(tmp_path / "deep")
    handmade.textbook_xor().save_pretrained(tmp_path / "small")
    (tmp_path / "small" / "model.safetensors").replace(tmp_path / "deep" / "model.safetensors")
    with pytest.raises(XorMiError) as error:
        HookedMLP.from_pretrained(tmp_path / "deep")
    message = str(error.value).replace(str(tmp_path), "")
    assert (
        message == "fc2.weight in '/deep' is [1, 2]; its config says [2, 2]: save the model again"
    )


# a census


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": None}, "its _plan.json is damaged: it is not the plan of a census"),
        ({"config": [1, 2]}, "its _plan.json is damaged: it is not the plan of a census"),
        ({"hidden": None}, "hidden: None there, [2] asked"),
        ({"target": [0] * 10**5}, "target: [0, 0, 0"),
        ({f"x{k}": k for k in range(100)}, "x0: 0 there, None asked"),
    ],
)
def test_a_plan_that_says_something_else_is_refused(tmp_path, changes, says):
    """Damaged, or another census: one short line and the next step."""
    file, read = of_a_census(tmp_path)
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | changes), encoding="utf-8")
    message = refused(read)
    assert says in message
    assert "choose another folder" in message
    assert len(message) < 500


@pytest.mark.parametrize("entry", ["target", "hidden", "seed", "n_networks", "shard_size"])
def test_a_plan_without_an_entry_is_damaged(tmp_path, entry):
    """It is said which one."""
    file, read = of_a_census(tmp_path)
    content = json.loads(file.read_text(encoding="utf-8"))
    del content[entry]
    file.write_text(json.dumps(content), encoding="utf-8")
    message = refused(read)
    assert f"its _plan.json is damaged: it has no '{entry}'; remove it" in message


def retyped(file):
    """The seeds as text, which no number is sorted among."""
    table = pq.read_table(file)
    # another tool knows nothing of the digest
    kept = {k: v for k, v in table.schema.metadata.items() if k != b"xor_mi_digest"}
    table = table.replace_schema_metadata(kept)
    column = table["seed"].cast(pa.string())
    pq.write_table(table.set_column(0, "seed", column), file)


def of_another_format(file):
    """The format's number is not text."""
    metadata = {b"xor_mi_census_format": b"\xff" * 10**5}
    pq.write_table(pq.read_table(file).replace_schema_metadata(metadata), file)


def foreign(file):
    """A table of another tool."""
    pq.write_table(pa.table({"seed": [1, 2]}), file)


def a_pipe(file):
    """Nobody writes into it."""
    file.unlink()
    os.mkfifo(file)


def a_folder(file):
    """Under the name of a file."""
    file.unlink()
    file.mkdir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (retyped, "its seed is string, not int64"),
        (of_another_format, "is a census of format \ufffd"),
        (foreign, "is not a census"),
        (a_pipe, "it is not a file"),
        (a_folder, "it is not a file"),
        (lambda file: file.write_bytes(b""), "is not a census"),
        (lambda file: file.write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1"), "is not a census"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "is not a census"),
    ],
)
def test_a_shard_that_is_damaged_or_foreign_is_one_short_error(tmp_path, damage, says):
    """What the reader of a folder meets in place of a shard."""
    file, _ = of_a_census(tmp_path)
    (shard,) = file.parent.glob("*.parquet")
    assert len(read_census(tmp_path)) == 2
    damage(shard)
    with pytest.raises(XorMiError, match=f"holds {shard.name}, a part of (this|another) census"):
        read_census(tmp_path)
    file.unlink()  # without a plan to hold it against
    with pytest.raises(XorMiError) as error:
        read_census(tmp_path)
    message = str(error.value).replace(str(tmp_path), "FOLDER")
    assert says in message
    assert "; " in message
    assert "\n" not in message
    assert len(message) < 250


# what messages quote


def test_a_value_is_quoted_on_one_line_and_cut():
    """Short ones as they are; a number of thousands of digits is not an error of its own."""
    assert shown("x\ny") == "'x\\ny'"
    assert cut_short("a  b") == "a  b"
    assert cut_short("a\n  b") == "a b"
    assert shown(10**5000) == "a value of type int"
    for long in ("x" * 10**6, list(range(10**5)), {"a": "b" * 100}):
        assert len(shown(long)) == 60
        assert shown(long).endswith("...")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("\0", "\\x00"),
        ("\r", "\\r"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("h\u0663", "h\u0663"),
    ],
)
def test_a_quoted_text_can_be_printed(text, said):
    """What a terminal would obey and what no encoding has are escaped; other scripts are not."""
    assert cut_short(text) == said
    long = cut_short(text * 10**5)
    assert len(long) == 60
    assert long.isprintable()
    long.encode()


def test_an_unknown_setting_is_quoted_as_its_escape(tmp_path):
    """A key of config.json reaches a terminal."""
    file, read = of_a_model(tmp_path)
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | {"\x1b[31m\ud800": 1}), encoding="utf-8")
    message = refused(read)
    assert "no setting '\\x1b[31m\\ud800'" in message
    message.encode()


def test_what_is_wrong_with_weights_is_said_in_short(tmp_path):
    """The header names a kind of number that is 100,000 characters long."""
    of_a_model(tmp_path)
    file = tmp_path / "model.safetensors"
    entry = {"dtype": "x" * 10**5, "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"fc1.weight": entry}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"0000")
    message = refused(lambda: HookedMLP.from_pretrained(tmp_path)).replace(str(tmp_path), "FOLDER")
    assert message.startswith("the weights in 'FOLDER' cannot be read: Error while deserializing")
    assert message.endswith("...; save the model again")
    assert len(message) < 250
