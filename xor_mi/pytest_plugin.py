"""pytest -> a build that fails when a circuit changes: `circuit_regression`, two networks as
fixtures, `assert circuit == expected`.

pytest imports this module at every start, in every project of the environment: nothing heavy is
imported until a test asks for it. Where baselines lie, and --force-regen and --regen-all, are
pytest-regressions'."""

import os
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

EXTENSION = ".circuit.json"
USED = "circuit_baseline"
"""The property of a test's report that names a baseline it was held against; reports travel from
xdist's workers by themselves.
"""


class CircuitRegression:
    """A test's circuits against the baselines stored beside it; the fixture
    `circuit_regression`.
    """

    def __init__(self, request: pytest.FixtureRequest):
        self._request = request
        self._checked: set[str] = set()

    def check(
        self,
        model_or_circuit: Any,
        tolerance: Any = 1e-6,
        up_to: str = "signature",
        basename: str | None = None,
    ) -> None:
        """Fail unless the circuit is the one in the baseline, `<test file>/<test
        name>.circuit.json`.

        A missing baseline is written, and the test fails; --force-regen rewrites one that differs,
        and the test fails; --regen-all rewrites and passes.

        Args:
            tolerance: a number changed if it is off by more than tolerance + tolerance *
                |baseline|; or one such per name, as in {"margin": 0.05, "worst_margin": 0.1}; or
                None, for gates, edges and verdict alone.
            up_to: "signature" lets hidden units be renumbered, rescaled or joined by dead ones;
                "family" also complemented and the inputs swapped, and compares no numbers: what
                another seed may change.
            basename: the baseline's name, where a test checks several circuits.

        Raises:
            AssertionError: what changed, units first.
            XorMiError: a model whose circuit cannot be identified, arguments that say nothing, or a
                second check without a basename.
        """
        __tracebackhide__ = True
        from xor_mi.errors import XorMiError
        from xor_mi.testing import compare_records, read_record, record_of, write_record

        if basename is not None and (
            not isinstance(basename, str)
            or not basename
            or set(basename) & set("/\\\0")
            or basename in (".", "..")
        ):
            raise XorMiError(
                f"basename is {basename!r}; give a plain file name: the baseline lies in the test file's own folder"
            )
        perform, paths = self._pytest_regressions()
        node = self._request.node
        new = record_of(model_or_circuit, test=node.nodeid.partition("::")[2])
        compare_records(
            new, new, tolerance=tolerance, up_to=up_to
        )  # wrong arguments are said before anything is written
        place = paths(*self._folders(), self._request, EXTENSION, basename)
        if place.basename in self._checked:
            raise XorMiError(
                f"'{place.basename}' was checked in this test already; give the second circuit a name: check(..., basename='...')"
            )
        self._checked.add(place.basename)
        node.user_properties.append((USED, str(place.source)))
        said: list[str] = []

        def hold(_: Path, expected: Path) -> None:
            __tracebackhide__ = True
            said.append(
                _held_against(
                    expected,
                    place.source,
                    new,
                    basename,
                    tolerance,
                    up_to,
                    read_record,
                    compare_records,
                )
            )
            if said[-1]:
                raise AssertionError(said[-1])

        try:
            perform(
                *self._folders(),
                self._request,
                hold,
                lambda file: write_record(new, Path(file)),
                EXTENSION,
                basename,
            )
        except pytest.fail.Exception as failed:
            written = str(failed.msg)
        else:
            return
        pytest.fail(
            "\n".join([written, *(said or [f"it says {new['verdict']}: {new['reason']}"])]),
            pytrace=False,
        )

    def _folders(self) -> tuple[Any, Any]:
        return self._request.getfixturevalue("lazy_datadir"), self._request.getfixturevalue(
            "original_datadir"
        )

    @staticmethod
    def _pytest_regressions() -> tuple[Any, Any]:
        from xor_mi.errors import XorMiError

        try:
            from pytest_regressions.common import perform_regression_check, resolve_check_paths
        except ImportError:
            raise XorMiError(
                "circuit_regression needs pytest-regressions: pip install 'xor-mi[pytest]'"
            ) from None
        return perform_regression_check, resolve_check_paths


def _held_against(
    file: Path,
    source: Path,
    new: dict[str, Any],
    basename: str | None,
    tolerance: Any,
    up_to: str,
    read: Any,
    compare: Any,
) -> str:
    """Why the circuit is not the baseline's, or ''."""
    from xor_mi.errors import XorMiError

    try:
        old = read(file)
    except XorMiError as error:
        return str(error).replace(str(file), str(_shown(source)))
    if basename is None and old["test"] != new["test"]:
        return (
            f"'{_shown(source)}' is the baseline of {old['test']}, not of {new['test']}: two tests whose names come out as one file name? "
            "Then give check(..., basename='...'). Was the test renamed? Then pytest --force-regen"
        )
    found = compare(old, new, tolerance=tolerance, up_to=up_to)
    where = f"compared up to {up_to} with {_shown(source)}; pytest --force-regen takes the new circuit over"
    return f"{found}\n{where}" if found else ""


@pytest.fixture
def circuit_regression(request: pytest.FixtureRequest) -> CircuitRegression:
    """`circuit_regression.check(model_or_circuit, tolerance=..., up_to="signature" | "family")`:
    the build fails when a circuit changes.
    """
    return CircuitRegression(request)


@pytest.fixture
def xor_model() -> Any:
    """The textbook 2-2-1 network: h0.0 an OR, h0.1 an AND, the output OR and not AND."""
    from xor_mi.handmade import textbook_xor

    return textbook_xor()


@pytest.fixture(
    params=sorted(folder.name for folder in (Path(__file__).parent / "zoo" / "data").iterdir())
)
def zoo_model(request: pytest.FixtureRequest) -> Any:
    """Every network of the zoo in turn; `@pytest.mark.parametrize("zoo_model", ["or-and"],
    indirect=True)` picks by name.
    """
    from xor_mi import zoo

    return zoo.load(request.param)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """`assert circuit == expected` -> what changed, units first."""
    circuits = sys.modules.get("xor_mi.circuits._circuit")
    if (
        op != "=="
        or circuits is None
        or not isinstance(left, circuits.Circuit)
        or not isinstance(right, circuits.Circuit)
    ):
        return None
    from xor_mi.errors import XorMiError
    from xor_mi.testing import compare_records, record_of

    try:
        found = compare_records(record_of(right), record_of(left), tolerance=0)
    except XorMiError as error:  # a circuit without evidence
        return ["circuit == expected", f"{left}", f"{right}", str(error)]
    if not found:
        return [
            "circuit == expected: the same circuit up to the numbering and scale of its units; == also compares these",
            f"{left}",
            f"{right}",
        ]
    return ["circuit == expected (expected -> found)", *str(found).split("\n")]


def pytest_addoption(parser: pytest.Parser) -> None:
    """--fail-unused-circuits."""
    group = parser.getgroup("xor_mi")
    group.addoption(
        "--fail-unused-circuits",
        action="store_true",
        help="Fail if a stored circuit (*.circuit.json) is no longer held against any; tests that were not run are not judged.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch for unused baselines where asked to; xdist's workers only report."""
    if config.getoption("fail_unused_circuits") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(UnusedBaselines(config), "xor_mi_unused_baselines")


class UnusedBaselines:
    """The run's reports -> stored baselines that no test was held against.

    A baseline is unused if its test ran, passed and did not ask for it; if its test file ran in
    full and has no such test; or if its test file is gone. Where only part of the tests ran, a test
    that is not seen may still exist, and is not judged."""

    def __init__(self, config: pytest.Config):
        self._config = config
        self._used: set[Path] = set()
        self._outcomes: dict[Path, dict[str, set[str]]] = {}
        self._deselected = False
        self._unused: list[Path] = []

    def pytest_deselected(self, items: Any) -> None:
        """Part of the tests is not run."""
        self._deselected |= bool(items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which test came out how, and what it was held against."""
        self._used |= {Path(str(value)) for key, value in report.user_properties if key == USED}
        file, *_ = report.nodeid.split("::")
        _, _, name = report.nodeid.partition("::")
        self._outcomes.setdefault(self._config.rootpath / file, {}).setdefault(name, set()).add(
            report.outcome
        )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a passing run into a failing one where baselines are unused."""
        partial = self._is_partial(session)
        self._unused = [
            file
            for file in self._stored()
            if file not in self._used and self._is_unused(file, partial)
        ]
        if self._unused and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """List them."""
        if self._unused:
            terminalreporter.section("unused circuits", red=True, bold=True)
            for file in self._unused:
                terminalreporter.line(
                    f"{_shown(file)}: no test is held against it; delete it, or restore its test"
                )

    def _is_partial(self, session: pytest.Session) -> bool:
        option = self._config.option
        asked = any(
            getattr(option, name, None)
            for name in (
                "keyword",
                "markexpr",
                "deselect",
                "lf",
                "stepwise",
                "collectonly",
                "ignore",
            )
        )
        picked = any("::" in argument for argument in self._config.args)
        stopped = bool(session.shouldstop or session.shouldfail) or session.exitstatus not in (
            *range(2),
            pytest.ExitCode.NO_TESTS_COLLECTED,
        )
        return asked or picked or stopped or self._deselected

    def _is_unused(self, baseline: Path, partial: bool) -> bool:
        file = baseline.parent.with_suffix(".py")
        if not file.is_file():
            return True
        ran = self._outcomes.get(file)
        if ran is None:
            return False
        from xor_mi.errors import XorMiError
        from xor_mi.testing import read_record

        try:
            outcomes = ran.get(read_record(baseline)["test"])
        except XorMiError:
            outcomes = None
        return not partial if outcomes is None else outcomes == {"passed"}

    def _stored(self) -> list[Path]:
        """The baselines in the folders and beside the files that pytest was asked to run."""
        found: set[Path] = set()
        for argument in self._config.args:
            place = Path(self._config.invocation_params.dir, argument.split("::")[0])
            found |= set(
                _baselines(place, self._config)
                if place.is_dir()
                else place.with_suffix("").glob(f"*{EXTENSION}")
            )
        return sorted(found)


def _baselines(folder: Path, config: pytest.Config) -> set[Path]:
    """All baselines below a folder, without the folders that pytest does not enter."""
    found = set()
    for place, folders, files in os.walk(folder):
        folders[:] = [
            f
            for f in folders
            if not any(fnmatch(f, skip) for skip in config.getini("norecursedirs"))
            and not _is_environment(place, f)
        ]
        found |= {Path(place, file) for file in files if file.endswith(EXTENSION)}
    return found


def _is_environment(place: str, folder: str) -> bool:
    return Path(place, folder, "pyvenv.cfg").is_file()


def _shown(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file
