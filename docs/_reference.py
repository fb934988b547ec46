"""The reference: a page for each room with everything it exports, written at each build."""

import ast
import functools
import importlib
import inspect
import re
import shutil
import textwrap
from itertools import pairwise
from pathlib import Path
from types import FunctionType

from _docstrings import plain
from _entrances import PAGES, page_of_commands, page_of_plugin

import xor_mi

PACKAGE = Path(xor_mi.__file__).parent
ROOMS = re.findall(
    r"^from \. import (\w+) as \1$",
    (PACKAGE / "__init__.pyi").read_text(encoding="utf-8"),
    flags=re.M,
)
"""In the order in which data flows through them, as the package's stub has them."""


def exported(room: str) -> list[str]:
    """The public names of a room in the order of the alphabet, capital letters first."""
    module = importlib.import_module(f"xor_mi.{room}")
    listed = getattr(module, "__all__", None)
    names = listed or [name for name in vars(module) if not name.startswith("_")]
    return sorted(set(names), key=lambda name: (not name[0].isupper() or name.isupper(), name))


@functools.cache
def places() -> dict[str, str]:
    """Every public name and `Class.member` -> its dotted name in the reference, in the first room
    that has it; rooms too.
    """
    found = {room: f"xor_mi.{room}" for room in ROOMS}
    for room in ROOMS:
        for name in exported(room):
            full = f"xor_mi.{room}.{name}"
            found.setdefault(name, full)
            found[f"{room}.{name}"] = full
            thing = getattr(importlib.import_module(f"xor_mi.{room}"), name)
            if inspect.isclass(thing):
                for member in vars(thing):
                    found.setdefault(f"{name}.{member}", f"{full}.{member}")
    return found


def home_of(room: str, name: str) -> str:
    """The module in which a public name of a room stands."""
    module = importlib.import_module(f"xor_mi.{room}")
    for statement in ast.parse(inspect.getsource(module)).body:
        if not isinstance(statement, ast.ImportFrom) or statement.module is None:
            continue
        names = {alias.asname or alias.name for alias in statement.names}
        if name in names and statement.module.startswith("xor_mi."):
            return home_of(statement.module.removeprefix("xor_mi."), name)
    return module.__name__


def words_of_constant(room: str, name: str) -> list[str]:
    """The string under the line that gives a constant its value, line by line."""
    module = importlib.import_module(home_of(room, name))
    for statement, following in pairwise(ast.parse(inspect.getsource(module)).body):
        if name in names_given(statement) and isinstance(following, ast.Expr):
            return inspect.cleandoc(ast.literal_eval(following.value)).splitlines()
    return []


def names_given(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        targets = []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def directive(room: str, name: str) -> str:
    """How one thing is shown: a class with its members, a function, or a constant."""
    thing = getattr(importlib.import_module(f"xor_mi.{room}"), name)
    full = f"xor_mi.{room}.{name}"
    if inspect.isclass(thing):
        return f".. autoclass:: {full}\n   :members:\n"
    if is_function(thing):
        return f".. autofunction:: {full}\n"
    words = "\n".join(plain(words_of_constant(room, name), places()))
    return f".. py:data:: {full}\n\n{textwrap.indent(words, '   ')}\n"


def first_sentence(words: str | None) -> str:
    """The first paragraph of a docstring up to its first sentence's end, as one line of markup."""
    paragraph = " ".join((words or "").strip().split("\n\n")[0].split())
    paragraph = paragraph.split(": - ")[0]  # a list below it is not a part of the sentence
    ends = re.search(r"\.(?= [A-Z])", paragraph)
    sentence = paragraph[: ends.end()] if ends else paragraph
    return plain([sentence], places())[0]


def line_of(room: str, name: str) -> str:
    """One name in the list at the head of a room's page: a link, and what it is."""
    thing = getattr(importlib.import_module(f"xor_mi.{room}"), name)
    has_docstring = inspect.isclass(thing) or is_function(thing)
    words = inspect.getdoc(thing) if has_docstring else " ".join(words_of_constant(room, name))
    return f"- :py:obj:`{name} <xor_mi.{room}.{name}>`: {first_sentence(words)}"


def is_function(thing: object) -> bool:
    """Whether it is a function, also one that remembers its answers."""
    return isinstance(inspect.unwrap(thing), FunctionType)


def by_kind(room: str) -> dict[str, list[str]]:
    """What a room exports: what one calls, what that returns, and what has a fixed value."""
    module = importlib.import_module(f"xor_mi.{room}")
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Constants": []}
    for name in exported(room):
        thing = getattr(module, name)
        if inspect.isclass(thing):
            kinds["Classes"].append(name)
        else:
            kinds["Functions" if is_function(thing) else "Constants"].append(name)
    return {kind: names for kind, names in kinds.items() if names}


def overview(room: str) -> list[str]:
    """Every public name of a room with its first sentence, line by line."""
    lines = []
    for kind, names in by_kind(room).items():
        lines += [f"**{kind}**", "", *(line_of(room, name) for name in names), ""]
    return lines


def page_of(room: str) -> str:
    """The page of a room: its own words, a list of what it exports, then each public name."""
    title = f"xor_mi.{room}"
    head = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n   :no-members:\n"
    ordered = [name for names in by_kind(room).values() for name in names]
    return "\n".join([head, *overview(room), *(directive(room, name) for name in ordered)])


def write_reference(place: Path) -> None:
    """A page for each room into a folder, for the commands and the pytest plugin, and for all."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for room in ROOMS:
        (place / f"{room}.rst").write_text(page_of(room), encoding="utf-8")
    pages = {"cli": page_of_commands(places()), "pytest_plugin": page_of_plugin(places())}
    for name, page in pages.items():
        (place / f"{name}.rst").write_text(page, encoding="utf-8")
    listed = "".join(f"   {name}\n" for name in (*ROOMS, *pages))
    words = {room: importlib.import_module(f"xor_mi.{room}").__doc__ for room in ROOMS}
    rooms = "\n".join(f"- :doc:`{room} <{room}>`: {first_sentence(words[room])}" for room in ROOMS)
    others = "\n".join(
        f"- :doc:`{name} <{name}>`: {plain([PAGES[name]], places())[0]}" for name in pages
    )
    index = f"""Reference
=========

Everything that xor-mi exports, room by room, in the order in which data flows through them. What
``from xor_mi import ...`` gives is in these rooms too.

{rooms}

Two pages are about what is not imported:

{others}

.. toctree::
   :hidden:

{listed}"""
    (place / "index.rst").write_text(index, encoding="utf-8")
