"""pytest -> a build that fails when a circuit, or any other finding, changes: `circuit_regression`,
two networks as fixtures, `assert circuit == expected`.

pytest imports this module at every start, in every project of the environment. So nothing heavy is
imported until a test asks for it, and no annotation is evaluated, since an older pytest lacks some
of their names. pytest-regressions decides where baselines lie, and has --force-regen and
--regen-all."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from xor_mi.circuits import Circuit
    from xor_mi.kinds import UpTo
    from xor_mi.model import HookedMLP
    from xor_mi.testing import (
        CircuitRecord,
        FindingLike,
        FindingRecord,
        Tolerance,
    )

__all__ = ["CircuitRegression"]

LEAST_PYTEST = (8, 4)
"""The least version that the extra `pytest` requires. An older pytest loads the plugin all the
same, and runs tests that do not use `circuit_regression`.
"""
EXTENSION = ".circuit.json"
FINDING_EXTENSION = ".finding.json"
MAX_TEST_SHOWN = 200
"""The most characters of a test's name in a message; names with parameters can be long."""
USED = "circuit_baseline"
"""The property of a test's report that names a baseline of the test; reports travel from xdist's
workers without our help.
"""


class _Failed(pytest.fail.Exception, AssertionError):
    """A failed check, of which pytest prints the message alone.

    With a traceback pytest would print the arguments of the test above the message, and a network
    as an argument fills a screen.
    """

    # pytest's summary writes the class in front of the message, as "Failed: ..."
    __module__ = "builtins"
    __qualname__ = "Failed"


class CircuitRegression:
    """The fixture `circuit_regression`: compares a test's circuits and other findings with the
    baselines stored beside the test.
    """

    def __init__(self, request: pytest.FixtureRequest):
        self._request = request
        self._checked: set[str] = set()

    def check(
        self,
        finding: HookedMLP | Circuit | FindingLike,
        *,
        tolerance: Tolerance = 1e-6,
        up_to: UpTo = "signature",
        basename: str | None = None,
    ) -> None:
        """Fail unless the circuit, or another finding, is the same as in its baseline.

        The baseline of a circuit is `<test file>/<test name>.circuit.json`, that of another finding
        `<test file>/<test name>.finding.json`. A missing baseline is written, and the test fails;
        --force-regen rewrites one that differs, and the test fails; --regen-all rewrites and
        passes.

        Args:
            finding: a HookedMLP or its circuit; or any other finding with a table, of any model: a
                sweep, an attribution, an interchange accuracy, a scan. Or a table itself, such as a
                part of one.
            tolerance: a number changed if it is off by more than tolerance + tolerance *
                |baseline| (see `compare_records` and `compare_findings`); or one such per name, as
                in {"margin": 0.05, "worst_margin": 0.1}, per column where it is not a circuit; or
                None, for what is compared exactly alone: gates, edges, verdict, decisions, counts.
            up_to: of a circuit, "signature" compares unit by unit after renumbering and rescaling;
                a dead unit does not count, a copy does. "family" compares the family alone, and no
                numbers: what another seed may change.
            basename: the baseline's name, where a test checks several.

        Raises:
            AssertionError: what changed, units or lines first.
            XorMiError: a model whose circuit cannot be identified, a `TrainResult` in place of its
                model, arguments that say nothing, or a second check without a basename.
        """
        __tracebackhide__ = True
        from xor_mi.errors import XorMiError

        if basename is not None and not _is_file_name(basename):
            raise XorMiError(
                f'basename is {basename!r}; give a plain file name, without / \\ < > : " | ? *: '
                "the baseline lies in the test file's own folder, on every machine"
            )
        perform, resolve_paths = self._pytest_regressions()
        node = self._request.node
        held = _held(finding, test=node.nodeid.partition("::")[2], tolerance=tolerance, up_to=up_to)
        folders = self._folders()
        paths = resolve_paths(*folders, self._request, held.extension, basename)
        name = f"{paths.basename}{held.extension}"
        if name in self._checked:
            raise XorMiError(
                f"'{paths.basename}' was checked in this test already; give the second "
                f"{held.what} a name: check(..., basename='...')"
            )
        self._checked.add(name)
        node.user_properties.append((USED, str(paths.source)))
        failures: list[_Failure] = []

        def compare(_: Path, baseline: Path) -> None:
            failure = held.against(baseline, source=paths.source, is_named=basename is not None)
            if failure is not None:
                failures.append(failure)
                raise _Failed(f"{failure.says}{failure.next_step}", pytrace=False)

        def write(file: Path) -> None:
            from xor_mi.testing import write_record

            write_record(held.record, file)

        try:
            perform(*folders, self._request, compare, write, held.extension, basename)
        except _Failed:
            raise
        except pytest.fail.Exception as failed:
            written = str(failed.msg)
        else:
            return
        # nothing was compared if there was no baseline: then say what the new one holds
        content = [f"it holds {held.says}"]
        if failures:
            # what was to be done is done
            content = [failures[0].says, "stored; read `git diff` and commit"]
        raise _Failed("\n".join([written, *content]), pytrace=False)

    def _folders(self) -> tuple[Any, Any]:
        """The folders of pytest-datadir: where test data is copied to, and where it is stored."""
        from xor_mi.errors import XorMiError

        fixture = self._request.getfixturevalue
        # installed but switched off: by -p no:..., or because plugins are not loaded automatically
        is_on = hasattr(self._request.config.option, "with_test_class_names")
        try:
            folders = fixture("lazy_datadir"), fixture("original_datadir")
        except pytest.FixtureLookupError:
            is_on, folders = False, None
        if not is_on or folders is None:
            raise XorMiError(
                "circuit_regression needs the plugins of pytest-regressions and pytest-datadir, "
                "and one is switched off: run pytest without -p no:regressions and "
                "-p no:pytest-datadir, or with -p pytest_regressions.plugin "
                "-p pytest_datadir.plugin"
            )
        return folders

    @staticmethod
    def _pytest_regressions() -> tuple[Callable[..., Any], Callable[..., Any]]:
        from xor_mi.errors import XorMiError

        # not version_tuple, which pytest 6 lacks
        found = tuple(int(number) for number in re.findall(r"\d+", pytest.__version__)[:2])
        if found < LEAST_PYTEST:
            least = ".".join(map(str, LEAST_PYTEST))
            raise XorMiError(
                f"circuit_regression needs pytest {least} or later, and this is pytest "
                f"{pytest.__version__}: pip install 'xor-mi[pytest]'"
            )
        try:
            from pytest_regressions.common import perform_regression_check, resolve_check_paths
        except ImportError:
            raise XorMiError(
                "circuit_regression needs pytest-regressions: pip install 'xor-mi[pytest]'"
            ) from None
        return perform_regression_check, resolve_check_paths


class _Failure(NamedTuple):
    """Why a check failed, and what to do, with the sign that comes between the two."""

    says: str
    next_step: str = ""


def _is_file_name(basename: object) -> bool:
    if not isinstance(basename, str) or basename in ("", ".", ".."):
        return False
    # characters that some system refuses: baselines travel between machines
    return basename.isprintable() and not set(basename) & set('/\\<>:"|?*')


def _held(
    finding: HookedMLP | Circuit | FindingLike, *, test: str, tolerance: Tolerance, up_to: UpTo
) -> _HeldCircuit | _HeldFinding:
    """The record of a finding, by its kind; wrong arguments are refused before any writing."""
    import pandas as pd

    from xor_mi.circuits import Circuit
    from xor_mi.errors import XorMiError
    from xor_mi.finding import Finding
    from xor_mi.testing import compare_findings, compare_records, record_of, record_of_finding
    from xor_mi.training import TrainResult

    if isinstance(finding, TrainResult):
        # its table is the losses, and a test that forgot .model would hold these
        raise XorMiError(
            "a TrainResult is not a network: give result.model, or result.frame() for the losses"
        )
    # each record is compared with itself, which looks at the arguments
    if isinstance(finding, Circuit) or not isinstance(finding, Finding | pd.DataFrame):
        record = record_of(finding, test=test)
        compare_records(record, record, tolerance=tolerance, up_to=up_to)
        return _HeldCircuit(record, tolerance, up_to)
    if up_to != "signature":
        raise XorMiError(
            f"up_to is {up_to!r}, which is for circuits; a {type(finding).__name__} is compared by "
            "its table: leave it out"
        )
    table = record_of_finding(finding, test=test)
    compare_findings(table, table, tolerance=tolerance)
    return _HeldFinding(table, tolerance)


@dataclass(frozen=True)
class _HeldCircuit:
    """A circuit's record, and its comparison with a baseline."""

    record: CircuitRecord
    tolerance: Tolerance
    up_to: UpTo
    extension = EXTENSION
    what = "circuit"

    @property
    def says(self) -> str:
        return f"{self.record['verdict']}: {self.record['reason']}"

    def against(self, baseline: Path, *, source: Path, is_named: bool) -> _Failure | None:
        """Why the circuit is not the baseline's, or None.

        Args:
            baseline: the file to read, a copy by pytest-regressions of the stored baseline.
            source: the stored baseline, which messages name.
            is_named: whether the test gave the baseline its name.
        """
        from xor_mi.errors import XorMiError
        from xor_mi.testing import compare_records, read_record

        try:
            old = read_record(baseline)
        except XorMiError as error:
            return _unreadable(error, baseline, source)
        other = _of_another_test(old, self.record, source, is_named=is_named)
        if other is not None:
            return other
        differences = compare_records(old, self.record, tolerance=self.tolerance, up_to=self.up_to)
        if not differences:
            return None
        says = f"{differences}\ncompared up to {self.up_to} with {_shown(source)}"
        if differences.facts:
            return _Failure(says, "; pytest --force-regen takes the new circuit over")
        return _Failure(
            says,
            "\nthe circuit is the same, numbers moved: tolerance=None if the network is retrained; "
            "pytest --force-regen stores the new numbers",
        )


@dataclass(frozen=True)
class _HeldFinding:
    """Another finding's record, and its comparison with a baseline."""

    record: FindingRecord
    tolerance: Tolerance
    extension = FINDING_EXTENSION
    what = "finding"

    @property
    def says(self) -> str:
        return f"{self.record['kind']}, {len(self.record['lines'])} lines: {self.record['says']}"

    def against(self, baseline: Path, *, source: Path, is_named: bool) -> _Failure | None:
        """Why the finding is not the baseline's, or None; see `_HeldCircuit.against`."""
        from xor_mi.errors import XorMiError
        from xor_mi.testing import compare_findings, read_finding_record

        try:
            old = read_finding_record(baseline)
        except XorMiError as error:
            return _unreadable(error, baseline, source)
        other = _of_another_test(old, self.record, source, is_named=is_named)
        if other is not None:
            return other
        try:
            differences = compare_findings(old, self.record, tolerance=self.tolerance)
        except XorMiError as error:  # a tolerance for a column that the baseline has not
            return _Failure(f"{_shown(source)}: {error}")
        if not differences:
            return None
        says = f"{differences}\ncompared with {_shown(source)}"
        return _Failure(says, "; pytest --force-regen takes the new finding over")


def _unreadable(error: Exception, baseline: Path, source: Path) -> _Failure:
    """Why a baseline cannot be read, in which the stored file is named."""
    return _Failure(str(error).replace(str(baseline), str(_shown(source))))


def _of_another_test(
    old: CircuitRecord | FindingRecord,
    new: CircuitRecord | FindingRecord,
    source: Path,
    *,
    is_named: bool,
) -> _Failure | None:
    """Whose baseline it is, where that is another test's; or None."""
    from xor_mi.errors import cut_short

    if is_named or old["test"] == new["test"]:
        return None
    was, now = (cut_short(one["test"], at_most=MAX_TEST_SHOWN) for one in (old, new))
    return _Failure(
        f"'{_shown(source)}' is the baseline of {was}, not of {now}",
        ": two tests whose names come out as one file name? Then give check(..., basename='...'). "
        "Was the test renamed? Then pytest --force-regen",
    )


@pytest.fixture
def circuit_regression(request: pytest.FixtureRequest) -> CircuitRegression:
    """`circuit_regression.check(finding, tolerance=..., up_to="signature" | "family")` fails the
    build when a circuit, or any other finding, changes.
    """
    return CircuitRegression(request)


@pytest.fixture
def xor_model() -> HookedMLP:
    """The textbook 2-2-1 network: h0.0 is OR, h0.1 is AND, the output is OR and not AND."""
    from xor_mi.handmade import textbook_xor

    return textbook_xor()


# the folders, because zoo.names() would load torch at every start of pytest
_ZOO = sorted(folder.name for folder in (Path(__file__).parent / "zoo" / "data").iterdir())


@pytest.fixture(params=_ZOO)
def zoo_model(request: pytest.FixtureRequest) -> HookedMLP:
    """Every network of the zoo in turn; `@pytest.mark.parametrize("zoo_model", ["or-and"],
    indirect=True)` chooses by name.
    """
    from xor_mi import zoo

    return zoo.load(request.param)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed `assert circuit == expected`: the changes, units first."""
    # not imported: if no test has loaded it, neither side can be a Circuit
    if op != "==" or "xor_mi.circuits" not in sys.modules:
        return None
    from xor_mi.circuits import Circuit

    if not isinstance(left, Circuit) or not isinstance(right, Circuit):
        return None
    from xor_mi.errors import XorMiError
    from xor_mi.testing import compare_records, record_of

    both = [str(left), str(right)]
    try:
        differences = compare_records(record_of(right), record_of(left), tolerance=0)
    except XorMiError as error:  # a circuit without evidence
        # the reason first: pytest shows only the beginning of a long explanation
        return ["circuit == expected", str(error), *both]
    if not differences:
        return [
            "circuit == expected: the same circuit up to the numbering and scale of its units; "
            "== also compares these",
            *both,
        ]
    return ["circuit == expected (expected -> found)", *str(differences).split("\n")]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --fail-unused-circuits."""
    group = parser.getgroup("xor_mi")
    group.addoption(
        "--fail-unused-circuits",
        action="store_true",
        help=(
            "Fail if a stored baseline (*.circuit.json, *.finding.json) is no longer compared "
            "with any circuit or finding; baselines of tests that were not run are not judged."
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch for unused baselines if asked to; xdist's workers only report."""
    if config.getoption("fail_unused_circuits") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(UnusedBaselines(config), "xor_mi_unused_baselines")


class UnusedBaselines:
    """The reports of a run -> the stored baselines that no test used.

    A baseline is unused if its test ran, passed and did not use it; if its test file ran in full
    and has no such test; or if its test file is gone. If only some tests ran, a test that was not
    seen may still exist, and its baseline is not judged."""

    def __init__(self, config: pytest.Config):
        self._config = config
        self._used: set[Path] = set()
        self._outcomes: dict[Path, dict[str, set[str]]] = {}
        self._deselected = False
        self._unused: list[Path] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note that some tests are not run."""
        self._deselected |= bool(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a test, and the baselines that it used."""
        self._used |= {Path(str(value)) for key, value in report.user_properties if key == USED}
        option = self._config.option
        if getattr(option, "setuponly", False) or getattr(option, "setupplan", False):
            return  # no test is run, although each is reported as passed
        file, _, name = report.nodeid.partition("::")
        outcomes = self._outcomes.setdefault(self._config.rootpath / file, {})
        outcomes.setdefault(name, set()).add(report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a passing run into a failing one if baselines are unused."""
        partial = self._is_partial(session)
        not_used = [file for file in self._stored() if file not in self._used]
        self._unused = [file for file in not_used if self._is_unused(file, partial)]
        fine = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self._unused and session.exitstatus in fine:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List the unused baselines."""
        if self._unused:
            terminalreporter.section("unused circuits", red=True, bold=True)
            for file in self._unused:
                terminalreporter.line(
                    f"{_shown(file)}: no test uses it; delete it, or restore its test"
                )

    def _is_partial(self, session: pytest.Session) -> bool:
        """Whether only some of the tests ran, so that a test that was not seen may still exist."""
        option = self._config.option
        picking = (
            "keyword",
            "markexpr",
            "deselect",
            "lf",
            "stepwise",
            "collectonly",
            "ignore",
        )
        picked = any(getattr(option, name, None) for name in picking)
        named = any("::" in argument for argument in self._config.args)
        to_the_end = (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        )
        stopped = bool(session.shouldstop or session.shouldfail)
        stopped |= session.exitstatus not in to_the_end
        return picked or named or stopped or self._deselected

    def _is_unused(self, baseline: Path, partial: bool) -> bool:
        file = baseline.parent.with_suffix(".py")
        if not file.is_file():
            return True
        tests_run = self._outcomes.get(file)
        if tests_run is None:
            return False
        from xor_mi.errors import XorMiError
        from xor_mi.testing import read_finding_record, read_record

        is_finding = baseline.name.endswith(FINDING_EXTENSION)
        try:
            record = read_finding_record(baseline) if is_finding else read_record(baseline)
            outcomes = tests_run.get(record["test"])
        except XorMiError:
            outcomes = None
        return not partial if outcomes is None else outcomes == {"passed"}

    def _stored(self) -> list[Path]:
        """The baselines in the folders and beside the files that pytest was asked to run."""
        baselines: set[Path] = set()
        for argument in self._config.args:
            path = Path(self._config.invocation_params.dir, argument.split("::")[0])
            if path.is_dir():
                baselines |= _baselines(path, self._config)
            else:
                beside = path.with_suffix("")
                baselines |= {file for file in beside.glob("*.json") if _is_baseline(file.name)}
        return sorted(baselines)


def _baselines(folder: Path, config: pytest.Config) -> set[Path]:
    """All baselines below a folder, except in folders that pytest does not enter."""
    skipped = config.getini("norecursedirs")
    baselines: set[Path] = set()
    for path, folders, files in os.walk(folder):
        entered = [name for name in folders if not any(fnmatch(name, skip) for skip in skipped)]
        # in place: os.walk enters what is left in its own list
        folders[:] = [name for name in entered if not _is_environment(Path(path, name))]
        baselines |= {Path(path, file) for file in files if _is_baseline(file)}
    return baselines


def _is_baseline(name: str) -> bool:
    return name.endswith((EXTENSION, FINDING_EXTENSION))


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()


def _shown(file: Path) -> Path:
    """The shortest form of a path from here."""
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file
