"""Docstrings as Sphinx reads them.

Ours are plain text, to be read by `help()`: an asterisk is an asterisk, and an indented block
stands as it is written. To Sphinx both are markup, so they are marked as what they are.
"""

import re
from collections.abc import Mapping

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Warns|Examples?|Notes?):$")
IN_TICKS = re.compile(r"(`[^`]*`)")
MARKUP = re.compile(r"(?<!\S)\*\w[^*]*\w\*(?!\w)|(?P<sign>[*|\\]|(?<=\w)_(?=\W|$))")
"""A stressed word, which stays as it is, or a sign that stands for itself."""
ITEM = re.compile(r"- ")


def marked(part: str, places: Mapping[str, str]) -> str:
    """What stands in backticks as code, and as a link where it is a name of the reference; of all
    else, what is not markup.
    """
    if not part.startswith("`"):
        return MARKUP.sub(lambda found: f"\\{found[0]}" if found["sign"] else found[0], part)
    name = part.strip("`")
    place = places.get(name.removesuffix("()"))
    return f"``{name}``" if place is None else f":py:obj:`{name} <{place}>`"


def marked_line(line: str, places: Mapping[str, str]) -> str:
    """A line of prose, part by part."""
    parts = IN_TICKS.split(line)
    read = ""
    for part in parts:
        # a letter right after code, as in a plural: its end is marked by a space that is not shown
        gap = "\\ " if read.endswith("`") and part[:1].isalnum() else ""
        read += gap + marked(part, places)
    return read


def plain(lines: list[str], places: Mapping[str, str]) -> list[str]:
    """The lines of a docstring with what would be markup escaped, and with indented blocks before
    the first section marked as literal.

    Args:
        places: name -> dotted name in the reference.
    """
    read: list[str] = []
    in_section = False
    literal = False
    in_example = False
    in_item = False
    for line in lines:
        indented = line.startswith(" ")
        in_section = in_section or bool(SECTION.match(line))
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        was_in_item = in_item
        in_item = bool(ITEM.match(line)) or (in_item and indented)
        if in_item != was_in_item and not in_section:
            read.append("")  # a list stands by itself
        if in_item and indented and not in_section:
            read.append("  " + marked_line(line.strip(), places))
            continue
        if indented and not in_section and not in_example and not literal:
            read += ["", ".. code-block:: text", ""]
            literal = True
        if literal and line.strip() and not indented:
            read.append("")
            literal = False
        if literal or in_example:
            read.append(line)
        else:
            read.append(marked_line(line, places))
    return read
