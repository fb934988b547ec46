"""The reference of what is not imported: the commands, and what the pytest plugin adds to tests.

Both pages are made from the code: commands and options from the parsers, fixtures from the module.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from _docstrings import plain
from typer.main import get_command

PAGES = {
    "cli": "the command `xor-mi`: every subcommand with its options.",
    "pytest_plugin": "what tests have without an import: fixtures, and options of pytest.",
}
"""Page -> what it is about."""


def heading(text: str, line: str = "-") -> list[str]:
    """A heading with an empty line before and after it."""
    return ["", text, line * len(text), ""]


def entry(term: str, words: str, places: Mapping[str, str]) -> list[str]:
    """A term in type, and below it what it means."""
    return [f"``{term}``", *(f"   {line}" for line in plain([words], places)), ""]


def page_of_commands(places: Mapping[str, str]) -> str:
    """The page of the command line: each command, its arguments and its options."""
    from xor_mi.cli import app

    group: Any = get_command(app)
    lines = ["xor_mi.cli", "==========", "", *plain([group.help], places), ""]
    lines += _parameters(group, places)
    for name, command in group.commands.items():
        lines += heading(f"xor-mi {name}")
        lines += [*plain(inspect.cleandoc(command.help).splitlines(), places), ""]
        lines += _parameters(command, places)
    return "\n".join(lines)


def _parameters(command: Any, places: Mapping[str, str]) -> list[str]:
    """The arguments and options of a command, as its --help has them."""
    context = type(command).context_class(command)
    records = (parameter.get_help_record(context) for parameter in command.params)
    lines: list[str] = []
    for term, words in filter(None, records):
        lines += entry(term, " ".join(words.split()), places)
    return lines


def page_of_plugin(places: Mapping[str, str]) -> str:
    """The page of the pytest plugin: its fixtures, the methods of `circuit_regression`, options."""
    name = "xor_mi.pytest_plugin"
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", ""]
    lines += heading("Fixtures")
    for fixture, words in _fixtures():
        lines += entry(fixture, " ".join(words.split()), places)
    lines += [f".. autoclass:: {name}.CircuitRegression", "   :members:", ""]
    lines += heading("Options of pytest")
    for option, words in _options().items():
        lines += entry(option, words, places)
    return "\n".join(lines)


def _fixtures() -> Iterator[tuple[str, str]]:
    """Each fixture of the plugin, and its docstring."""
    source = inspect.getsource(import_module("xor_mi.pytest_plugin"))
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.FunctionDef):
            continue
        if any("pytest.fixture" in ast.unparse(one) for one in statement.decorator_list):
            yield statement.name, ast.get_docstring(statement) or ""


def _options() -> dict[str, str]:
    """Option -> its help, as the plugin gives them to pytest."""
    found: dict[str, str] = {}

    class Parser:
        """Notes what pytest would be told."""

        def getgroup(self, _: str) -> "Parser":
            return self

        def addoption(self, option: str, **settings: str) -> None:
            found[option] = settings["help"]

    parser: Any = Parser()
    import_module("xor_mi.pytest_plugin").pytest_addoption(parser)
    return found
