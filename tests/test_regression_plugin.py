"""The pytest plugin through its whole life, in pytest's own test harness: written, held, changed,
rewritten, unused; alone and on two workers.
"""

import json
import os
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import code_blocks
import pytest

from xor_mi import HookedMLP, handmade, identify_circuit, train, zoo
from xor_mi.errors import XorMiError
from xor_mi.pytest_plugin import LEAST_PYTEST, CircuitRegression
from xor_mi.testing import compare_records, read_record, record_of, write_record

pytestmark = pytest.mark.as_a_user

EXAMPLE = Path(__file__).parent.parent / "examples" / "circuit_regression"
NOT_STORED = shutil.ignore_patterns("__pycache__", ".pytest_cache")

NETWORKS = """
from xor_mi import HookedMLP, zoo

def net(or_bias=0.0, order=(0, 1), scale=1.0):  # the textbook network: OR is unit order[0]
    hidden, biases, reads = [[scale, scale], [1.0, 1.0]], [or_bias, -1.0], [1.0 / scale, -2.0]
    pick = lambda values: [values[order.index(k)] for k in (0, 1)]
    return HookedMLP.from_weights([(pick(hidden), pick(biases)), ([pick(reads)], [0.0])], decision_threshold=0.5, target="XOR")
"""
ONE = NETWORKS + "\ndef test_it(circuit_regression):\n    circuit_regression.check({})\n"


FLAG = "--fail-unused-circuits"

# hypothesis would be imported anew at the end of every run
QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")


def ran(pytester, *options: str, **outcomes: int):
    """A run of pytest in the scratch folder, with its outcomes asserted."""
    result = pytester.runpytest_inprocess(*QUICK, *options)
    result.assert_outcomes(**outcomes)
    return result


@pytest.fixture(scope="session", autouse=True)
def _everything_is_imported():
    """A pytest run inside this process drops the modules that it imports, so that the next one
    would import torch anew: all of them are here before.
    """
    identify_circuit(handmade.textbook_xor())


@pytest.fixture(autouse=True)
def _no_stale_bytecode(monkeypatch):
    """A test file rewritten within a second, to the same length, is read anew."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def stored(pytester, name: str = "test_it", file: str = "test_one") -> dict:
    """A baseline as it lies on disk."""
    return json.loads((pytester.path / file / f"{name}.circuit.json").read_text(encoding="utf-8"))


@pytest.fixture
def held(pytester):
    """A scratch project with a baseline of the textbook network; calling it gives the test another
    network.
    """

    def give(code: str) -> None:
        pytester.makepyfile(test_one=ONE.format(code))

    give("net()")
    (pytester.path / "test_one").mkdir()
    write_record(
        record_of(handmade.textbook_xor(), test="test_it"),
        pytester.path / "test_one" / "test_it.circuit.json",
    )
    return give


def test_a_missing_baseline_is_written_and_the_test_fails(pytester):
    """The first run fails, says which file it wrote and what it holds; the second passes."""
    pytester.makepyfile(test_one=ONE.format("net()"))
    result = ran(pytester, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*File not found in data directory, created:*",
            "*test_one*test_it.circuit.json",
            "it holds identified: exactly one*",
        ]
    )
    record = stored(pytester)
    assert (record["test"], record["verdict"], record["signature"]) == (
        "test_it",
        "identified",
        "OR & ~AND",
    )
    assert set(record["versions"]) == {"xor-mi", "torch", "transformer-lens"}
    assert [file.name for file in (pytester.path / "test_one").iterdir()] == [
        "test_it.circuit.json"
    ]
    ran(pytester, passed=1)


@pytest.mark.parametrize("code", ["net(or_bias=1e-9)", "net(order=(1, 0))", "net(scale=8.0)", "net(order=(1, 0), scale=0.25)", "zoo.load('or-and'), tolerance=None", "zoo.load('nor-and'), up_to='family'", "net(or_bias=0.01), tolerance=1", "net(or_bias=0.01), tolerance={'worst_margin': 0.02, 'margin': 0.02, 'rows_changed': 1}"])  # fmt: skip
def test_what_is_the_same_passes(pytester, held, code):
    """Within tolerance, renumbered, rescaled, another network of the signature without numbers,
    another of the family: all pass, and the baseline is untouched."""
    before = stored(pytester)
    held(code)
    ran(pytester, passed=1)
    assert stored(pytester) == before


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("zoo.load('or-nand'), tolerance=None", ["unit 1: AND -> NAND", "as before: unit 0: OR"]),
        ("zoo.load('nor-and')", ["unit 0: OR -> NOR", "as before: unit 1: AND", "compared up to signature*"]),
        ("zoo.load('gt-lt'), up_to='family'", ["unit 0: OR -> x1>x0", "unit 1: AND -> x0>x1", "family: OR & ~AND -> x0>x1 | x1>x0"]),
        ("zoo.load('redundant-4')", ["unit 1 is new: NOR", "unit 3 is new: AND"]),
        ("zoo.load('unsolved')", ["no unit has a gate: unit 0 was OR, unit 1 was AND", "verdict: identified -> not computing (*wrong on*"]),
        ("net(or_bias=0.1)", ["gates, edges and verdict are as before; the evidence changed", "numbers:", "*worst margin: * -> *; allowed * (absolute 5e-07 + relative 1e-06)"]),
        ("zoo.load('nor-and'), tolerance={'margin': 0.1}, up_to='signature'", ["unit 0: OR -> NOR"]),
    ],
)  # fmt: skip
def test_what_changed_is_said(pytester, held, code, lines):
    """A gate, a family, a unit, the verdict, a number: the test fails with the words for it, and
    the baseline is untouched.
    """
    before = stored(pytester)
    held(code)
    result = ran(pytester, failed=1)
    result.stdout.fnmatch_lines(lines)
    ending = ["*test_one?test_it.circuit.json; pytest --force-regen takes the new circuit over"]
    if "numbers:" in lines:
        ending = [
            "compared up to signature with test_one?test_it.circuit.json",
            "the circuit is the same, numbers moved: tolerance=None if the network is retrained; "
            "pytest --force-regen stores the new numbers",
        ]
    result.stdout.fnmatch_lines(ending)
    assert stored(pytester) == before


@pytest.mark.parametrize("is_caught", [False, True])
def test_the_message_comes_first_and_alone(pytester, held, is_caught):
    """Right below the test's heading stands the message, and no argument of the test, whose tree
    of modules would fill the screen. A test that catches the failure gets an AssertionError.
    """
    held("net()")
    lines = [
        "import pytest",
        "def test_it(circuit_regression, xor_model):",
        "    xor_model.fc2.weight.data[0, 1] = 0.0",
        "    with pytest.raises(AssertionError, match='unit 0 was OR'):"
        if is_caught
        else "    if True:",
        "        circuit_regression.check(xor_model)",
    ]
    pytester.makepyfile(test_one="\n".join(lines))
    result = ran(pytester, passed=int(is_caught), failed=int(not is_caught))
    assert "HookedMLP(" not in result.stdout.str()
    if not is_caught:
        heading = next(k for k, line in enumerate(result.outlines) if line.startswith("____"))
        assert result.outlines[heading + 1].startswith("no unit has a gate: unit 0 was OR")


def test_force_regen_rewrites_and_still_fails(pytester, held):
    """--force-regen takes the new circuit over, says what changed, and fails; the run after it
    passes. Without a change it writes nothing.
    """
    held("zoo.load('nor-and')")
    result = ran(pytester, "--force-regen", failed=1)
    result.stdout.fnmatch_lines(
        [
            "*--force-regen set, regenerating file at:*",
            "*unit 0: OR -> NOR",
            "compared up to signature with test_one?test_it.circuit.json",
            "stored; read `git diff` and commit",
        ]
    )
    # what was asked for is not offered again
    assert "pytest --force-regen" not in result.stdout.str()
    assert stored(pytester)["signature"] == "~AND & ~NOR"
    ran(pytester, passed=1)
    ran(pytester, "--force-regen", passed=1)


def test_regen_all_rewrites_and_passes(pytester, held):
    """pytest-regressions' own option for many files at once."""
    held("zoo.load('nor-and')")
    ran(pytester, "--regen-all", passed=1)
    assert stored(pytester)["signature"] == "~AND & ~NOR"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[:100], "cannot be read"),
        (lambda text: text.replace('"version": 3', '"version": 9'), "is of format 9; this xor-mi reads up to 3: install a later xor-mi"),
        (lambda text: text.replace('"verdict"', '"vredict"'), "'verdict' is missing"),
        (lambda text: text.replace('"AND"', '"NAND"'), "unit 1: NAND -> AND"),
    ],
)  # fmt: skip
def test_a_damaged_baseline_fails_and_can_be_written_anew(pytester, held, damage, says):
    """Cut off, of a later format, misspelt or edited: the test fails and names the stored file;
    --force-regen repairs it.
    """
    file = pytester.path / "test_one" / "test_it.circuit.json"
    good = file.read_text(encoding="utf-8")
    file.write_text(damage(good), encoding="utf-8")
    result = ran(pytester, failed=1)
    result.stdout.fnmatch_lines([f"*{says}*"])
    assert str(Path("test_one/test_it.circuit.json")) in result.stdout.str()
    ran(pytester, "--force-regen", failed=1)
    assert file.read_text(encoding="utf-8") == good


def test_parametrised_tests_have_a_baseline_each(pytester):
    """One file per parameter and per class-less name; two circuits in one test are told apart by
    basename.
    """
    pytester.makepyfile(
        test_many=NETWORKS
        + """
import pytest

@pytest.mark.parametrize("name", ["or-and", "gt-lt"])
def test_each(name, circuit_regression):
    circuit_regression.check(zoo.load(name))

def test_two(circuit_regression):
    circuit_regression.check(net(), basename="first")
    circuit_regression.check(zoo.load("gt-lt"), basename="second")
"""
    )
    ran(pytester, failed=3)
    ran(pytester, failed=1, passed=2)  # the first of test_two is there; the second is written
    ran(pytester, passed=3)
    names = {
        file.name: json.loads(file.read_text(encoding="utf-8"))["signature"]
        for file in (pytester.path / "test_many").iterdir()
    }
    assert names == {
        "test_each_or_and_.circuit.json": "OR & ~AND",
        "test_each_gt_lt_.circuit.json": "x0>x1 | x1>x0",
        "first.circuit.json": "OR & ~AND",
        "second.circuit.json": "x0>x1 | x1>x0",
    }


def test_two_tests_with_one_file_name_do_not_pass_on_each_other_s_baseline(pytester):
    """The parameters a-b and a_b, or two classes, give one file name: the second says whose
    baseline it is.
    """
    body = "def test_x(self, circuit_regression):\n        circuit_regression.check(net())"
    pytester.makepyfile(
        test_one=f"{NETWORKS}\nclass TestA:\n    {body}\n\nclass TestB:\n    {body}\n"
    )
    result = ran(pytester, failed=2)
    result.stdout.fnmatch_lines(
        ["*is the baseline of TestA::test_x, not of TestB::test_x: *basename=*"]
    )
    ran(pytester, "--with-test-class-names", failed=2)
    ran(pytester, "--with-test-class-names", passed=2)


def test_a_second_check_needs_a_name(pytester, held):
    """Two circuits of one test cannot have one baseline."""
    held("net())\n    circuit_regression.check(net()")
    ran(pytester, failed=1).stdout.fnmatch_lines(
        ["E*XorMiError: 'test_it' was checked in this test already; give*basename=*"]
    )


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "how",
    [
        "tolerance=-1",
        "up_to='families'",
        "tolerance={'margins': 1}",
        "up_to='family', tolerance=1e-3",
    ],
)
def test_arguments_that_say_nothing_write_nothing(pytester, how):
    """A mistaken call is an XorMiError, before there is a baseline."""
    pytester.makepyfile(test_one=ONE.format(f"net(), {how}"))
    ran(pytester, failed=1).stdout.fnmatch_lines(["E*XorMiError: *"])
    assert not (pytester.path / "test_one").exists()


@pytest.mark.unchecked
def test_a_train_result_is_not_taken_for_its_network(pytester):
    """A test that forgot .model would hold the losses; their table can still be held."""
    result = "__import__('xor_mi').train('XOR', seed=29)"
    pytester.makepyfile(test_one=ONE.format(result))
    ran(pytester, failed=1).stdout.fnmatch_lines(
        ["E*XorMiError: a TrainResult is not a network: give result.model, or result.frame() *"]
    )
    assert not (pytester.path / "test_one").exists()
    pytester.makepyfile(test_one=ONE.format(f"{result}.frame()"))
    ran(pytester, failed=1).stdout.fnmatch_lines(["it holds DataFrame, 214 lines*"])


def test_without_pytest_regressions_the_fixture_says_what_to_install(monkeypatch):
    """The plugin is there wherever xor-mi is; its dependency comes with an extra."""
    monkeypatch.setitem(sys.modules, "pytest_regressions.common", None)
    with pytest.raises(XorMiError, match=r"pip install 'xor-mi\[pytest\]'"):
        CircuitRegression._pytest_regressions()


@pytest.mark.parametrize("plugin", ["regressions", "pytest-datadir"])
def test_with_a_plugin_switched_off_the_fixture_says_what_it_needs(pytester, held, plugin):
    """Nothing is compared and nothing written; other tests run."""
    before = stored(pytester)
    pytester.makepyfile(test_other="def test_of_another_project():\n    pass")
    result = ran(pytester, "-p", f"no:{plugin}", passed=1, failed=1)
    result.stdout.fnmatch_lines(["E*XorMiError: circuit_regression needs the plugins of pytest-*"])
    result.stdout.no_fnmatch_line("*no option named*")
    assert stored(pytester) == before


# an older pytest in the same environment

LATER_THAN_PYTEST_6 = [
    *("CallInfo", "CollectReport", "Config", "Metafunc", "OptionGroup", "Parser", "Stash"),
    *("PytestPluginManager", "StashKey", "TerminalReporter", "TestReport", "version_tuple"),
]
"""Names of `pytest` that 6.2.5 has not and a plugin may want."""
AS_PYTEST_6 = f"""
import sys

import pytest

for name in {LATER_THAN_PYTEST_6}:
    delattr(pytest, name)
pytest.__version__ = "6.2.5"
sys.exit(pytest.main(["-p", "no:cacheprovider", "-p", "{{plugin}}", "--fail-unused-circuits"]))
"""


def as_pytest_6(pytester, monkeypatch, plugin: str):
    """A run in a process of its own, in which pytest has only the names that 6.2.5 has, and no
    other plugin is loaded.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester.run(sys.executable, "-c", AS_PYTEST_6.format(plugin=plugin))


def test_with_an_older_pytest_other_tests_run_and_the_fixture_says_what_it_needs(
    pytester, monkeypatch
):
    """The plugin is loaded at every start in the environment: under pytest 6 a test of another
    project passes, the networks are there, and circuit_regression is one sentence.
    """
    pytester.makepyfile(
        """
def test_of_another_project():
    pass

def test_xor(xor_model):
    assert xor_model([[1, 0]]).item() == 1.0

def test_checked(circuit_regression, xor_model):
    circuit_regression.check(xor_model)
"""
    )
    result = as_pytest_6(pytester, monkeypatch, "xor_mi.pytest_plugin")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*XorMiError: circuit_regression needs pytest 8.4 or later, and this is pytest "
            "6.2.5: pip install 'xor-mi[[]pytest[]]'"
        ]
    )


def test_a_plugin_that_asks_for_a_later_name_ends_the_run_of_every_project(pytester, monkeypatch):
    """What the test above guards against: such a plugin stops pytest before any test."""
    # not as an annotation, which Python 3.14 leaves unread
    pytester.makepyfile(greedy="import pytest\n\nLATER = pytest.Parser\n")
    pytester.syspathinsert()
    pytester.makepyfile(test_it="def test_it(): pass")
    result = as_pytest_6(pytester, monkeypatch, "greedy")
    assert result.ret != 0
    assert "has no attribute 'Parser'" in result.stderr.str()


def test_the_oldest_pytest_is_the_one_the_extra_asks_for():
    """The plugin's sentence and pyproject.toml say the same number."""
    project = tomllib.loads((EXAMPLE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["pytest"]
    (asked,) = [one for one in extra if not one.startswith("pytest-")]
    assert asked.startswith(f"pytest>={'.'.join(map(str, LEAST_PYTEST))}")


# other findings

SWEEP = """
from xor_mi import HookedMLP, handmade, patch_sweep

def sweep(bias=0.0, pairs=None):
    model = HookedMLP.from_weights([([[1.0, 1.0], [1.0, 1.0]], [bias, -1.0]), ([[1.0, -2.0]], [0.0])], decision_threshold=0.5)
    return patch_sweep(model, pairs, progress=False)

def test_it(circuit_regression):
    circuit_regression.check({})
"""


def test_a_finding_is_written_held_changed_and_taken_over(pytester):
    """A sweep goes through the life of a circuit: written and failed, held, changed and told by
    lines and cells, rewritten and failed, held again.
    """
    pytester.makepyfile(test_one=SWEEP.format("sweep()"))
    result = ran(pytester, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*File not found in data directory, created:*",
            "*test_one*test_it.finding.json",
            "it holds PatchSweep, 24 lines: Patching, denoising: 12 pairs x 2 sites, in logit; *",
        ]
    )
    ran(pytester, FLAG, passed=1)
    pytester.makepyfile(test_one=SWEEP.format("sweep(0.75)"))
    result = ran(pytester, failed=1)
    result.stdout.fnmatch_lines(
        [
            "pair 00 -> *, site h0.*: *flips: False -> True*",
            "as before: * of 24 lines",
            "numbers:",
            "compared with test_one?test_it.finding.json; pytest --force-regen takes the new *",
        ]
    )
    ran(pytester, "--force-regen", failed=1)
    ran(pytester, passed=1)
    pytester.makepyfile(test_one=SWEEP.format("sweep(0.75, [('00', '11')])"))
    ran(pytester, failed=1).stdout.fnmatch_lines(["gone: pair 00 -> 01, site h0.0"])


def test_a_circuit_and_a_finding_of_one_test_have_a_baseline_each(pytester):
    """Two kinds, one name: two files. A second finding needs a name."""
    once = "handmade.textbook_xor())\n    circuit_regression.check(sweep()"
    pytester.makepyfile(test_one=SWEEP.format(once))
    ran(pytester, failed=1)  # the circuit
    ran(pytester, failed=1)  # and the finding
    ran(pytester, passed=1)
    names = sorted(file.name for file in (pytester.path / "test_one").iterdir())
    assert names == ["test_it.circuit.json", "test_it.finding.json"]
    pytester.makepyfile(test_one=SWEEP.format(once + ")\n    circuit_regression.check(sweep()"))
    ran(pytester, failed=1).stdout.fnmatch_lines(["E*give the second finding a name*"])


def test_a_finding_that_no_test_checks_is_unused(pytester):
    """--fail-unused-circuits names it as it names a circuit."""
    pytester.makepyfile(test_one=SWEEP.format("sweep()"))
    ran(pytester, failed=1)
    pytester.makepyfile(test_one="def test_it(): pass")
    result = ran(pytester, FLAG, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["test_one?test_it.finding.json: no test uses it; *"])


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("up_to='family'", "up_to is 'family', which is for circuits"),
        ("tolerance={'effect_x': 1}", "no column of numbers 'effect_x'"),
        ("tolerance=-1", "give a number of at least 0"),
    ],
)
def test_arguments_that_say_nothing_of_a_finding_write_nothing(pytester, how, says):
    """A mistaken call is an XorMiError, before there is a baseline."""
    pytester.makepyfile(test_one=SWEEP.format(f"sweep(), {how}"))
    ran(pytester, failed=1).stdout.fnmatch_lines([f"E*XorMiError: *{says}*"])
    assert not (pytester.path / "test_one").exists()


def test_a_damaged_finding_fails_and_can_be_written_anew(pytester):
    """The message names the stored file; --force-regen repairs it."""
    pytester.makepyfile(test_one=SWEEP.format("sweep()"))
    ran(pytester, failed=1)
    file = pytester.path / "test_one" / "test_it.finding.json"
    good = file.read_text(encoding="utf-8")
    file.write_text(good[:200], encoding="utf-8")
    result = ran(pytester, failed=1)
    assert str(Path("test_one/test_it.finding.json")) in result.stdout.str()
    ran(pytester, "--force-regen", failed=1)
    assert file.read_text(encoding="utf-8") == good


# unused baselines

TWO = (
    NETWORKS
    + "\ndef test_it(circuit_regression):\n    circuit_regression.check(net())\n\ndef test_other({}):\n    {}\n"
)
USES = ("circuit_regression", "circuit_regression.check(net())")


@pytest.fixture
def two(pytester):
    """A scratch project with two baselines; calling it changes the second test."""

    def give(fixture: str, body: str) -> None:
        pytester.makepyfile(test_two=TWO.format(fixture, body))

    give(*USES)
    ran(pytester, FLAG, failed=2)
    return give


@pytest.mark.parametrize("options", [(), ("test_two.py",), (".",)])
def test_a_baseline_that_no_test_asks_for_fails_under_the_flag(pytester, two, options):
    """The test passes without its check: the run fails and names the file; without the flag it
    passes. Used baselines are no matter.
    """
    assert ran(pytester, FLAG, *options, passed=2).ret == 0
    two("", "pass")
    result = ran(pytester, FLAG, *options, passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*unused circuits*", "test_two?test_other.circuit.json: no test uses it; *"]
    )
    result.stdout.no_fnmatch_line("test_two?test_it.circuit.json: no test*")
    assert ran(pytester, *options, passed=2).ret == 0


def test_a_test_that_is_gone_leaves_an_unused_baseline(pytester, held):
    """Renamed or removed tests, and removed files, are found when all tests run."""
    pytester.makepyfile(test_one=ONE.format("net()").replace("test_it", "test_that"))
    ran(pytester, failed=1)
    result = ran(pytester, FLAG, passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["test_one?test_it.circuit.json: no test*"])
    (pytester.path / "test_one.py").unlink()
    pytester.makepyfile(test_rest="def test_nothing(): pass")
    assert ran(pytester, FLAG, passed=1).ret == 1


@pytest.mark.parametrize(
    "options",
    [("-k", "test_it"), ("test_two.py::test_it",), ("--deselect", "test_two.py::test_other")],
)
def test_part_of_the_tests_judges_no_other(pytester, two, options):
    """Tests that were not asked for leave their baselines alone."""
    assert (
        ran(pytester, FLAG, *options, passed=1, deselected=None if "::" in options[0] else 1).ret
        == 0
    )


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan", "--collect-only"])
def test_where_no_test_is_run_none_is_judged(pytester, two, option):
    """Fixtures are set up or shown and the tests called passed, without a check in any."""
    result = pytester.runpytest_inprocess(*QUICK, FLAG, option)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*unused circuits*")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [("import pytest; pytest.skip('not here')", "skipped"), ("assert 0", "failed")],
)
def test_a_test_that_did_not_get_there_is_not_judged(pytester, two, body, outcome):
    """Skipped or failed before its check: the baseline may still be wanted."""
    two("", body)
    result = ran(pytester, FLAG, passed=1, **{outcome: 1})
    assert "unused circuits" not in result.stdout.str()


def test_baselines_in_skipped_folders_are_not_looked_at(pytester, two):
    """What pytest does not enter, such as a virtual environment, may hold other people's
    baselines.
    """
    for folder, marker in (("build", ""), ("env", "pyvenv.cfg")):
        shutil.copytree(pytester.path / "test_two", pytester.path / folder / "test_gone")
        (pytester.path / folder / (marker or "x")).touch()
    assert ran(pytester, FLAG, passed=2).ret == 0


# on several workers


def test_on_two_workers_all_is_the_same(pytester):
    """Kept, renumbered, parametrised, changed, missing and unused, spread over two of xdist's
    workers, which rewrite what changed; then held against that in one process.
    """
    body = """
import pytest

def test_kept(circuit_regression):
    circuit_regression.check(net())

def test_renumbered(circuit_regression):
    circuit_regression.check({renumbered})

@pytest.mark.parametrize("name", ["or-and", "gt-lt"])
def test_each(name, circuit_regression):
    circuit_regression.check(zoo.load(name))

def test_changed(circuit_regression):
    circuit_regression.check(zoo.load({changed!r}))

def test_idle({fixture}):
    {idle}
"""
    pytester.makepyfile(
        test_all=NETWORKS
        + body.format(renumbered="net()", changed="or-and", fixture=USES[0], idle=USES[1])
    )
    ran(pytester, failed=6)
    new = "\ndef test_missing(circuit_regression):\n    circuit_regression.check(net())\n"
    pytester.makepyfile(
        test_all=NETWORKS
        + body.format(
            renumbered="net(order=(1, 0), scale=2.0)", changed="or-nand", fixture="", idle="pass"
        )
        + new
    )
    result = ran(pytester, FLAG, "--force-regen", "-n", "2", passed=5, failed=2)
    result.stdout.fnmatch_lines(["*unit 1: AND -> NAND"])
    result.stdout.fnmatch_lines(["*File not found in data directory, created:*"])
    result.stdout.fnmatch_lines(
        ["*unused circuits*", "test_all?test_idle.circuit.json: no test uses it*"]
    )
    assert stored(pytester, "test_missing", "test_all")["signature"] == "OR & ~AND"
    assert stored(pytester, "test_changed", "test_all")["signature"] == "OR & NAND"
    (pytester.path / "test_all" / "test_idle.circuit.json").unlink()
    assert ran(pytester, FLAG, passed=7).ret == 0


# the rest of the plugin


def test_circuits_compared_with_double_equals_read_as_well(pytester):
    """`assert circuit == expected` says the units; a renumbered circuit says why == is not enough;
    other values are pytest's own business.
    """
    pytester.makepyfile(
        test_eq=NETWORKS
        + """
from xor_mi import identify_circuit

def test_other():
    assert identify_circuit(zoo.load("or-nand")) == identify_circuit(zoo.load("or-and"))

def test_renumbered():
    assert identify_circuit(net(order=(1, 0))) == identify_circuit(net())

def test_no_evidence():
    assert identify_circuit(net(), with_evidence=False) == identify_circuit(zoo.load("gt-lt"))

def test_dict():
    assert {"a": 1} == {"a": 2}
"""
    )
    result = ran(pytester, failed=4)
    result.stdout.fnmatch_lines(
        ["E*circuit == expected (expected -> found)", "E*unit 1: AND -> NAND"]
    )
    result.stdout.fnmatch_lines(["E*the same circuit up to the numbering and scale of its units*"])
    result.stdout.fnmatch_lines(["E*this circuit has no evidence to compare*"])
    result.stdout.fnmatch_lines(["E*assert {'a': 1} == {'a': 2}"])


def test_the_fixtures_are_the_networks_they_say(pytester):
    """xor_model is the textbook network; zoo_model runs through the whole zoo, or through the names
    asked for.
    """
    pytester.makepyfile(
        """
import pytest

def test_xor(xor_model):
    assert xor_model([[1, 0]]).item() == 1.0

def test_zoo(zoo_model):
    assert zoo_model.cfg.d_in in (2, 3)

@pytest.mark.parametrize("zoo_model", ["parity-3"], indirect=True)
def test_one(zoo_model):
    assert zoo_model.cfg.d_in == 3
"""
    )
    ran(pytester, passed=2 + len(zoo.names()))
    result = pytester.runpytest_inprocess(*QUICK, "--collect-only", "-q")
    assert {
        f"test_the_fixtures_are_the_networks_they_say.py::test_zoo[{name}]" for name in zoo.names()
    } <= set(result.outlines)


def test_nothing_heavy_is_loaded_until_a_test_asks(pytester):
    """In a process of its own: the plugin is on, and neither torch nor TransformerLens nor plotly
    is there before a fixture needs it. A module of such a name is noticed, so this can fail."""
    pytester.makepyfile(
        """
import sys

HEAVY = {"torch", "transformer_lens", "plotly", "pandas", "xor_mi.circuits", "xor_mi.testing"}

def test_light(request, circuit_regression):
    assert request.config.pluginmanager.hasplugin("xor_mi")
    assert not HEAVY & set(sys.modules)

def test_heavy(monkeypatch):
    monkeypatch.syspath_prepend("as_heavy")
    import plotly
    assert HEAVY & set(sys.modules) == {"plotly"}
"""
    )
    (pytester.path / "as_heavy").mkdir()
    (pytester.path / "as_heavy" / "plotly.py").touch()
    pytester.runpytest_subprocess("-p", "no:cacheprovider", FLAG).assert_outcomes(passed=2)


# seeds, and the example


@pytest.mark.parametrize(("seed", "passes"), [(2, True), (56, True), (5, False)])
def test_retraining_within_the_family_passes(pytester, held, seed, passes):
    """Seeds 2 and 56 train to the family of seed 29, OR & ~AND; seed 5 to the other, and its units
    are named.
    """
    held("zoo.load('or-and')")
    ran(pytester, "--regen-all", passed=1)
    train("XOR", seed=seed).model.save_pretrained(pytester.path / "retrained")
    held("HookedMLP.from_pretrained('retrained'), up_to='family'")
    result = ran(pytester, passed=int(passes), failed=int(not passes))
    if not passes:
        result.stdout.fnmatch_lines(["unit 0: OR -> x1>x0", "unit 1: AND -> x0>x1"])


@pytest.fixture(scope="module")
def retrained_example(tmp_path_factory):
    """The network of the project in examples/ after `python retrain.py 5`, run in this process."""
    project = tmp_path_factory.mktemp("retrained") / "project"
    shutil.copytree(EXAMPLE, project, ignore=NOT_STORED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["retrain.py", "5"])
        runpy.run_path(str(project / "retrain.py"), run_name="__main__")
    return project / "network"


def test_a_seed_that_fails_does_not_replace_the_example_s_network(tmp_path, monkeypatch, capsys):
    """`python retrain.py 0` says so, exits with 1, and the stored network stays byte for byte."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=NOT_STORED)
    monkeypatch.setattr(sys, "argv", ["retrain.py", "0"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(project / "retrain.py"), run_name="__main__")
    assert ended.value.code == 1
    assert not train("XOR", seed=0).solved
    assert capsys.readouterr().out.startswith("seed 0 did NOT solve XOR: wrong or undecided on ")
    for name in ("config.json", "model.safetensors"):
        stored, before = project / "network" / name, EXAMPLE / "network" / name
        assert stored.read_bytes() == before.read_bytes()


@pytest.mark.parametrize("elsewhere", ["", "99.1.0+another"])
def test_the_example_passes_and_after_retraining_fails_as_readme_says(
    pytester, monkeypatch, retrained_example, elsewhere
):
    """The project in examples/ as it is stored; then `python retrain.py 5`, and the message is the
    one printed in README: here, and where every package is of another version.
    """
    if elsewhere:
        found = dict.fromkeys(("xor-mi", "torch", "transformer-lens"), elsewhere)
        monkeypatch.setattr("xor_mi.testing._record.found_with", lambda: found)
    shutil.copytree(EXAMPLE, pytester.path / "project", ignore=NOT_STORED)
    pytester.chdir()
    project = pytester.path / "project"
    options = ("-c", str(project / "pytest.ini"), "--rootdir", str(project), str(project))
    assert ran(pytester, *options, passed=3).ret == 0
    shutil.copytree(retrained_example, project / "network", dirs_exist_ok=True)
    result = ran(pytester, *options, failed=3)
    readme = (EXAMPLE.parent.parent / "README.md").read_text(encoding="utf-8")
    _, message = code_blocks.fences_of(readme.split("`python retrain.py 5`")[1])[0]
    message = message.splitlines()
    assert len(message) == 6
    first = next(k for k, line in enumerate(result.outlines) if line.startswith("____")) + 1
    assert [
        line.replace(str(Path("project/")) + os.sep, "").replace(os.sep, "/")
        for line in result.outlines[first : first + 6]
    ] == message


def test_the_example_s_baseline_is_the_zoo_s_circuit():
    """The stored network of the example is the or-and of the zoo, by its circuit; the record is of
    this format.
    """
    record = read_record(EXAMPLE / "test_circuit" / "test_published.circuit.json")
    assert not compare_records(record, record_of(zoo.load("or-and")))
    assert record["test"] == "test_published"
    assert (
        identify_circuit(HookedMLP.from_pretrained(EXAMPLE / "network")).signature
        == identify_circuit(handmade.textbook_xor()).signature
    )
