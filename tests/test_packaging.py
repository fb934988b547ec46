"""What a stranger meets first: the commands of the Makefile, the links of the documents, the files
of the repository that name versions, Pythons and each other.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import xor_mi

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NEEDS_SH = pytest.mark.skipif(
    shutil.which("sh") is None or os.name == "nt", reason="needs a POSIX shell"
)


def script(name: str) -> ModuleType:
    """A Python file of `.ci`, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# the environment that make prepares

FAKE = """#!/bin/sh
# A Python that says it is {version}, makes environments without a network and installs nothing.
case "$*" in
  *sys.exit*) exit {too_old} ;;
  *version_info*) echo {version} ;;
  *_base_executable*) {base} ;;
  *"-m venv "*) {venv} ;;
  *"-m pip --version"*) exit 0 ;;
  *"-m xor_mi tour") echo "the tour of $0" ;;
  *"-m pip install"*) echo "$*" >>"{log}"; {install} ;;
esac
"""
TOOLS = [
    "sh",
    "cat",
    "cp",
    "mkdir",
    "mv",
    "rm",
    "sleep",
    "touch",
    "sed",
    "grep",
    "cmp",
    "uname",
    "make",
]
MAKES = 'mkdir -p "$3/bin" && touch "$3/pyvenv.cfg" && cp "$0" "$3/bin/python"'


class Clone:
    """A folder, with a space in its name, that holds what `.ci/venv` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a clone"
        (self.folder / ".ci").mkdir(parents=True)
        for name in (".ci/venv", "pyproject.toml", "constraints.txt", "Makefile"):
            shutil.copy(ROOT / name, self.folder / name)
        self.log = self.folder / "pip.log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or pytest.skip(f"needs {tool}"))

    def python(
        self,
        name: str,
        version: str,
        *,
        base: str = 'echo "$0"',
        venv: str = MAKES,
        install: str = ":",
    ) -> str:
        """Puts a fake Python on PATH."""
        too_old = int(int(version.split(".")[1]) < 11)
        text = FAKE.format(
            version=version, too_old=too_old, base=base, venv=venv, install=install, log=self.log
        )
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)
        return str(self.bin / name)

    def start(self, *command: str, **settings: str) -> subprocess.Popen[str]:
        """A command in the clone, in a group of processes of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={"PATH": str(self.bin), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def setup(self, goal: str = "demo", **settings: str) -> tuple[int, str]:
        """Exit status and all output of `.ci/venv`."""
        started = self.start("sh", ".ci/venv", goal, **settings)
        output, _ = started.communicate(timeout=60)
        return started.returncode, output

    @property
    def installs(self) -> list[str]:
        """The calls of pip so far."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []


@pytest.fixture
def clone(tmp_path) -> Clone:
    """A fresh clone on a machine whose python3 is 3.12.1."""
    made = Clone(tmp_path)
    made.python("python3", "3.12.1")
    return made


@NEEDS_SH
def test_an_old_python_is_refused_at_once(clone):
    """One line: what is needed, what is there, and the command that works here; nothing is made."""
    clone.python("python3", "3.9.18")
    clone.python("python3.13", "3.13.0")
    assert clone.setup() == (
        1,
        "xor-mi needs Python 3.11 or later; `python3` is 3.9.18: make demo PYTHON=python3.13\n",
    )
    assert clone.setup("test", PYTHON="python9")[1] == (
        "xor-mi needs Python 3.11 or later; there is no `python9` that runs: make test PYTHON=python3.13\n"
    )
    (clone.bin / "python3.13").unlink()
    assert clone.setup()[1].endswith("3.9.18: install one, then make demo PYTHON=python3.12\n")
    assert not (clone.folder / ".venv").exists()


@NEEDS_SH
def test_a_newer_python_than_any_tested_is_not_refused(clone):
    """Whether 3.19 works is for torch to say."""
    assert clone.setup(PYTHON=clone.python("python3.19", "3.19.0"))[0] == 0


@NEEDS_SH
def test_the_second_time_nothing_is_installed(clone):
    """Neither after a `touch`, nor for a smaller goal; a changed file or a larger goal installs."""
    assert clone.setup("test")[0] == 0
    assert (
        "-c constraints.txt -e .[pytest,widgets,fast,exam,proof] --group test" in clone.installs[-1]
    )
    (clone.folder / "pyproject.toml").touch()
    before = clone.installs
    assert clone.setup("test") == clone.setup("bench") == clone.setup("demo") == (0, "")
    assert clone.installs == before
    clone.setup("lint")
    assert "--group lint" in clone.installs[-1]
    with (clone.folder / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    before = clone.installs
    clone.setup("demo")
    assert clone.installs != before


@NEEDS_SH
def test_an_interrupted_installation_is_not_taken_for_a_complete_one(clone):
    """pip failed: make stops, and the next call installs again."""
    clone.python("python3", "3.12.1", install="exit 1")
    status, output = clone.setup()
    assert (status, output.splitlines()[-1].split(" (")[0]) == (
        1,
        "the installation is not complete",
    )
    shutil.rmtree(clone.folder / ".venv" / "bin")
    clone.python("python3", "3.12.1")
    assert clone.setup()[0] == 0
    assert clone.setup() == (0, "")


def stale_of_another_python(clone: Clone) -> None:
    """python3 is now a later one."""
    clone.python("python3", "3.13.0")


def stale_without_interpreter(clone: Clone) -> None:
    """The Python it was made from is uninstalled."""
    python = clone.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.12")


def stale_moved(clone: Clone) -> None:
    """The clone has another name."""
    moved = clone.folder.with_name("another clone")
    clone.folder.rename(moved)
    clone.folder = moved


@NEEDS_SH
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (stale_of_another_python, "it has Python 3.12.1, and `python3` is 3.13.0"),
        (stale_without_interpreter, "its Python is gone"),
        (stale_moved, "it was made in another folder"),
    ],
)
def test_a_stale_environment_is_made_anew_and_one_line_says_why(clone, spoil, reason):
    """What was in it is gone; the next call leaves it alone."""
    clone.setup()
    (clone.folder / ".venv" / "old").touch()
    spoil(clone)
    status, output = clone.setup()
    assert (status, output.splitlines()[0]) == (0, f"rebuilding .venv: {reason}")
    assert not (clone.folder / ".venv" / "old").exists()
    assert clone.setup() == (0, "")


@NEEDS_SH
def test_what_is_no_environment_is_left_alone(clone):
    """A folder `.venv` without pyvenv.cfg is somebody's; make says so and stops."""
    (clone.folder / ".venv").mkdir()
    (clone.folder / ".venv" / "letter.txt").touch()
    status, output = clone.setup()
    assert status == 1
    assert output.startswith(".venv is left alone: it is not a virtual environment")
    assert (clone.folder / ".venv" / "letter.txt").exists()
    assert clone.setup(VENV=".venv-other")[0] == 0


@NEEDS_SH
@pytest.mark.parametrize("is_link", [False, True], ids=["elsewhere", "behind a link"])
def test_an_environment_of_the_users_own_is_left_alone(clone, is_link, tmp_path):
    """VENV names an environment that make did not make, or `.venv` is a link to one: it would have
    to be made anew, so make stops instead, and nothing in it is gone.
    """
    own = tmp_path / "own"
    (own / "bin").mkdir(parents=True)
    (own / "pyvenv.cfg").touch()
    (own / "precious.txt").touch()
    shutil.copy(clone.bin / "python3", own / "bin" / "python")
    if is_link:
        (clone.folder / ".venv").symlink_to(own, target_is_directory=True)
    status, output = clone.setup(**({} if is_link else {"VENV": str(own)}))
    assert status == 1
    assert "is left alone: it was made in another folder, and it was not made by make" in output
    assert (own / "precious.txt").exists()
    assert clone.installs == []


@NEEDS_SH
def test_clean_removes_what_make_made_and_nothing_else(clone, tmp_path):
    """The environment of `make demo` goes; one of the user's, named by VENV, stays."""
    clone.setup()
    (clone.folder / "dist").mkdir()
    compiled = clone.folder / "xor_mi" / "training" / "__pycache__"
    compiled.mkdir(parents=True)
    for name in ("one.nbi", "one.1.nbc", "one.pyc"):
        (compiled / name).touch()
    own = tmp_path / "own"
    own.mkdir()
    (own / "pyvenv.cfg").touch()
    for settings in ([], [f"VENV={own}"]):
        subprocess.run(["make", "--silent", "clean", *settings], cwd=clone.folder, check=True)
    assert not (clone.folder / ".venv").exists()
    assert not (clone.folder / "dist").exists()
    assert [file.name for file in compiled.iterdir()] == ["one.pyc"]
    assert (own / "pyvenv.cfg").exists()


@NEEDS_SH
def test_a_python_that_makes_no_environment_leaves_no_half_one(clone):
    """As on Debian without python3-venv: the advice is printed, and nothing stays behind."""
    clone.python("python3", "3.12.1", venv='mkdir -p "$3"; touch "$3/pyvenv.cfg"; exit 1')
    status, output = clone.setup()
    assert status == 1
    assert "apt install python3-venv" in output
    assert not (clone.folder / ".venv").exists()


BROKEN = {
    "no environment": {"venv": 'mkdir -p "$3/bin"; exit 1'},
    "no base": {"base": ":"},
    "a base that is gone": {"base": "echo /nowhere/python3"},
}
"""What a Python cannot do."""


@NEEDS_SH
@pytest.mark.parametrize("what", BROKEN)
def test_an_environment_that_works_stays_until_there_is_a_new_one(clone, what):
    """Another Python was asked for, which makes none: the old one is as it was, and complete."""
    clone.setup()
    (clone.folder / ".venv" / "old").touch()
    broken = clone.python("python3.13", "3.13.0", **BROKEN[what])
    status, output = clone.setup(PYTHON=broken)
    assert status == 1
    assert "cannot make a virtual environment" in output or "does not run" in output
    assert (clone.folder / ".venv" / "old").exists()
    assert [path.name for path in clone.folder.glob(".venv?*")] == []
    assert clone.setup() == (0, "")


@NEEDS_SH
def test_an_environment_stays_when_make_is_stopped_while_it_makes_another(clone):
    """Ctrl-C goes to the whole group: the half-made one is gone, the old one and no lock there."""
    clone.setup()
    (clone.folder / ".venv" / "old").touch()
    slow = clone.python("python3.13", "3.13.0", venv='touch "$3/half"; sleep 60')
    started = clone.start("sh", ".ci/venv", "demo", PYTHON=slow)
    while not (clone.folder / ".venv" / "half").exists():
        assert started.poll() is None
        time.sleep(0.01)
    os.killpg(started.pid, signal.SIGTERM)
    started.communicate(timeout=60)
    assert started.returncode != 0
    assert (clone.folder / ".venv" / "old").exists()
    assert [path.name for path in clone.folder.glob(".venv?*")] == []
    assert clone.setup() == (0, "")


@NEEDS_SH
def test_what_only_has_the_name_of_an_old_environment_is_left_alone(clone):
    """A folder `.venv.old` of the user's is neither removed nor taken for the environment."""
    clone.setup()
    (clone.folder / ".venv.old").mkdir()
    stale_of_another_python(clone)
    status, output = clone.setup()
    assert status == 1
    assert ".venv.old is in the way" in output
    assert (clone.folder / ".venv" / "pyvenv.cfg").exists()
    assert (clone.folder / ".venv.old").is_dir()


@NEEDS_SH
def test_two_calls_at_once_wait_for_each_other(clone):
    """In a fresh clone: both end well, one made and installed, and the other says that it waited."""
    clone.python("python3", "3.12.1", venv=f"sleep 1; {MAKES}")
    both = [clone.start("sh", ".ci/venv", "demo") for _ in range(2)]
    outputs = [started.communicate(timeout=60)[0] for started in both]
    assert [started.returncode for started in both] == [0, 0]
    assert sorted("this one waits until it is done" in output for output in outputs) == [
        False,
        True,
    ]
    assert len(clone.installs) == 2  # of pip itself, and of what the goal needs
    assert not (clone.folder / ".venv.lock").exists()


@NEEDS_SH
@pytest.mark.parametrize("has_number", [True, False])
def test_the_lock_of_a_process_that_is_gone_is_taken_over(clone, has_number):
    """Killed with its lock, or before it could write its number."""
    gone = subprocess.Popen([shutil.which("true")])
    gone.wait()
    lock = clone.folder / ".venv.lock"
    lock.mkdir()
    if has_number:
        (lock / "pid").write_text(f"{gone.pid}\n", encoding="utf-8")
    status, output = clone.setup()
    assert status == 0
    assert "waits" not in output
    assert not lock.exists()


ODD = {
    "PYTHON=a'b": (2, "there is no `a'b` that runs: make demo PYTHON=python3"),
    "PYTHON=.": (2, "there is no `.` that runs: make demo PYTHON=python3"),
    "PYTHON=exit": (2, "there is no `exit` that runs"),
    "PYTHON=true": (2, "there is no `true` that runs"),
    "PYTHON=-x": (2, "there is no `-x` that runs"),
    "PYTHON=": (0, "into .venv, Python 3.12.1"),
    "VENV=a'b": (0, "into a'b, Python 3.12.1"),
    "VENV=a b/c/": (0, "into a b/c, Python 3.12.1"),
    "VENV=": (0, "into .venv, Python 3.12.1"),
    "VENV=-x": (2, "VENV is `-x`; give a folder whose name does not begin with -"),
}
"""A setting of make's, its exit status, and what is said."""


@NEEDS_SH
@pytest.mark.parametrize("setting", ODD)
def test_odd_settings_work_or_are_one_sentence(clone, setting):
    """Quotes, blanks, options, nothing, and words of the shell's own."""
    (clone.bin / "true").symlink_to(shutil.which("true") or pytest.skip("needs true"))
    status, says = ODD[setting]
    started = clone.start("make", "--silent", "demo", setting)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == status, output
    assert says in output
    assert "not found" not in output
    assert "yntax error" not in output


@NEEDS_SH
def test_a_python_and_an_index_once_given_are_remembered(clone):
    """`make test` follows `make demo PYTHON=... TORCH_INDEX=...`; another index makes it anew."""
    clone.python("python3.13", "3.13.0")
    clone.setup(PYTHON="python3.13", TORCH_INDEX="file:///small")
    assert clone.setup() == (0, "")
    status, output = clone.setup("test")
    assert (status, "rebuilding" in output, "Python 3.13.0" in output) == (0, False, True)
    assert clone.installs[-1].endswith("--group test --extra-index-url file:///small")
    status, output = clone.setup(TORCH_INDEX="file:///other")
    assert output.startswith("rebuilding .venv: it was made without this TORCH_INDEX\n")
    assert clone.installs[-1].endswith("--extra-index-url file:///other")


@NEEDS_SH
def test_make_hands_its_settings_through(clone):
    """`make demo` prepares the environment with what was given, then starts the tour from it."""
    clone.python("python3.13", "3.13.0")
    make = ["make", "demo", "PYTHON=python3.13", "TORCH_INDEX=file:///small", "VENV=.venv-13"]
    done = subprocess.run(
        make, cwd=clone.folder, env={"PATH": str(clone.bin)}, capture_output=True, text=True
    )
    assert "into .venv-13, Python 3.13.0" in done.stdout
    assert clone.installs[-1].endswith("-c constraints.txt -e . --extra-index-url file:///small")
    assert done.stdout.splitlines()[-1] == "the tour of .venv-13/bin/python"


# what an index shows


def substituted(text: str) -> str:
    """README as the build writes it into the metadata."""
    hook = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    return text.replace("$HFPR_VERSION", xor_mi.__version__)


def files() -> set[str]:
    """Every file below the root, as links spell them."""
    top = [
        path
        for path in ROOT.iterdir()
        if path.name not in {".git", "dist"} and not path.name.startswith(".venv")
    ]
    inside = [path for folder in top if folder.is_dir() for path in folder.rglob("*")]
    return {path.relative_to(ROOT).as_posix() for path in [*top, *inside]}


def test_the_long_description_has_only_absolute_links_to_what_is_there():
    """README's links are relative, those of the built description absolute; all lead somewhere."""
    problems = script("check_dist").problems_of_links
    url = PROJECT["urls"]["Homepage"]
    assert problems(substituted(README), url, files()) == []
    assert len(problems(README, url, files())) > 15  # relative, as they stand in the clone
    gone = substituted(README.replace("](docs/install.md)", "](docs/nothing.md)"))
    assert problems(gone, url, files()) == [
        f"the long description links to what is not there: {url}/blob/v{xor_mi.__version__}/docs/nothing.md"
    ]


def test_every_relative_link_of_a_document_leads_somewhere():
    """README, CONTRIBUTING, docs and the rest; code blocks hold none."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert len(documents) > 5
    for document in documents:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
            if not re.match("https://|#", link):
                assert (document.parent / link.partition("#")[0]).exists(), (document.name, link)


# files that must agree


def test_the_addresses_of_the_project_have_one_base():
    """Every URL, those of the substitutions too, starts with the home page."""
    home = PROJECT["urls"]["Homepage"]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {url[: len(home)] for url in re.findall(r"https://[^\s'\"]+", text)} == {home}


def test_classifiers_agree_with_requires_python_and_the_workflow():
    """Each minor from the lowest on is named once, and each is run."""
    minors = [
        name.rsplit(" ", 1)[1]
        for name in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    ]
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert minors[0] == lowest
    assert [int(minor.split(".")[1]) for minor in minors] == list(
        range(int(minors[0].split(".")[1]), int(minors[-1].split(".")[1]) + 1)
    )
    assert workflow("ci")["jobs"]["pythons"]["strategy"]["matrix"]["python"] == minors
    assert PYPROJECT["tool"]["pyright"]["pythonVersion"] == lowest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"


def workflow(name: str) -> dict:
    """A workflow as YAML reads it; `on` is a word for true there."""
    return yaml.safe_load(
        (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_call_scripts_that_are_there_and_are_bounded(name):
    """Each job has a time limit, reads only unless it says otherwise, and uses actions by a version."""
    flow = workflow(name)
    assert flow["permissions"] == {"contents": "read"}
    for job in flow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            assert re.fullmatch(r"[\w/-]+@(v\d+|release/v\d+)", step.get("uses", "a/b@v1"))
            for path in re.findall(r"\.ci/\w+(?:\.py)?", step.get("run", "")):
                assert (ROOT / path).is_file(), path


def test_the_workflow_runs_what_contributing_promises():
    """.ci/run, both ends of the versions, and the packages."""
    jobs = workflow("ci")["jobs"]
    runs = [step.get("run") for job in jobs.values() for step in job["steps"]]
    assert {"bash .ci/run", "bash .ci/versions ${{ matrix.versions }}", "bash .ci/package"} <= set(
        runs
    )
    matrix = jobs["versions"]["strategy"]["matrix"]["include"]
    assert {one["versions"] for one in matrix} == {"lowest", "newest"}


def test_the_commands_without_make_install_what_make_installs():
    """docs/install.md, the workflow and .ci/venv name the same extras and group."""
    words = re.compile(r"""-c constraints\.txt.* -e ["'](\.\[[\w,]+\])["'] --group (\w+)""")
    document = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    flow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert words.findall(document) == [(".[pytest,widgets,fast,exam,proof]", "test")] * 2
    assert words.findall(flow) == [(".[pytest,widgets,fast,exam,proof]", "test")]
    assert "-e '.[pytest,widgets,fast,exam,proof]' --group test ;;" in (
        ROOT / ".ci" / "venv"
    ).read_text(encoding="utf-8")


def test_every_extra_is_packed_and_tried():
    """.ci/check_dist.py expects those of pyproject.toml, .ci/package tries each, docs/install.md has
    a line for each.
    """
    extras = set(PROJECT["optional-dependencies"])
    assert extras == script("check_dist").EXTRAS
    package = (ROOT / ".ci" / "package").read_text(encoding="utf-8")
    (tried,) = re.findall(r"extras=\(([\w ]+)\)", package)
    assert set(tried.split()) == {"none", *extras, "source"}
    document = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `'xor-mi\[(\w+)\]'`", document, flags=re.M)) == extras


def test_ruff_of_pre_commit_lies_in_the_range_of_the_lint_group():
    """A commit is formatted as `make lint` wants it."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repo,) = hooks["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == ["ruff-check", "ruff-format"]
    minor = ".".join(repo["rev"].removeprefix("v").split(".")[:2])
    (ruff,) = [need for need in PYPROJECT["dependency-groups"]["lint"] if "ruff" in need]
    assert ruff.startswith(f"ruff>={minor},")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\nruff=={repo['rev'].removeprefix('v')}\n" in pins


def test_every_direct_dependency_is_pinned_within_its_bounds():
    """constraints.txt pins all that pyproject.toml names, each once per Python."""
    from packaging.requirements import Requirement

    pins = {
        Requirement(line).name.lower().replace("_", "-"): Requirement(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    }
    groups = [*PYPROJECT["dependency-groups"].values(), *PROJECT["optional-dependencies"].values()]
    named = [need for group in [PROJECT["dependencies"], *groups] for need in group]
    for need in (Requirement(one) for one in named if isinstance(one, str)):
        (pin,) = pins[need.name.lower()].specifier
        assert pin.operator == "=="
        assert need.specifier.contains(pin.version), need


def test_version_is_the_same_everywhere():
    """The build reads it from the package; CITATION.cff has it; CHANGELOG starts with what is to
    come, or with that version.
    """
    version = xor_mi.__version__
    assert "version" in PROJECT["dynamic"]
    source = (ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert f'\n__version__ = "{version}"\n' in source
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.findall(r"^## (.*)", changelog, flags=re.M)[0]
    assert first == "[Unreleased]" if "dev" in version else first.startswith(f"[{version}]")


RELEASABLE = {
    "xor_mi/__init__.py": '__version__ = "1.2.0"\n',
    "CHANGELOG.md": "## [1.2.0] - 2027-01-31\n",
    "CITATION.cff": "version: 1.2.0\n",
}


@pytest.mark.parametrize(
    ("tag", "changed", "n_found"),
    [
        ("v1.2.0", {}, 0),
        ("v1.2.1", {}, 1),
        ("1.2.0", {}, 1),
        ("v1.2.0", {"CHANGELOG.md": "## [Unreleased]\n"}, 1),
        ("v1.2.0", {"CITATION.cff": "version: 1.2\n"}, 1),
        ("v1.2.0.dev0", {"xor_mi/__init__.py": '__version__ = "1.2.0.dev0"\n'}, 3),
    ],
)
def test_only_what_agrees_is_released(tmp_path, tag, changed, n_found):
    """Tag, version, CHANGELOG and CITATION.cff: each that differs is named."""
    (tmp_path / "xor_mi").mkdir()
    for name, text in (RELEASABLE | changed).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(script("check_release").disagreements(tag, tmp_path)) == n_found


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("wrong-answer", {"network", "expected"}),
        ("what-it-cannot-answer", {"network", "expected"}),
        ("does-not-install", {"command", "output", "machine"}),
    ],
)
def test_issue_forms_ask_for_what_an_answer_needs(name, asked):
    """A network and what was expected; or, where there is no network yet, what was tried where."""
    path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    required = {part["id"] for part in form["body"] if part["validations"]["required"]}
    assert asked <= required
