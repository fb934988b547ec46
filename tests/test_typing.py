"""What a person's editor is told: the page that pyright reads in strict mode holds every name."""

import re
from pathlib import Path

from test_architecture import ROOMS, exported

API = (Path(__file__).parent / "typing" / "api.py").read_text(encoding="utf-8")
INNER = {"SomePlace", "SomeSite"}
"""Type variables, of which the kinds are made; nobody writes them."""


def missing(page: str) -> list[str]:
    """The exported names, as room.name, that a page does not use."""
    used = set(re.findall(r"\w+", page))
    return [
        f"{room}.{name}"
        for room in ROOMS
        for name in sorted(exported(room) - INNER)
        if name not in used
    ]


def test_the_page_uses_every_exported_name():
    """No exported name is left out of what pyright checks."""
    assert missing(API) == []


def test_a_missing_name_is_noticed():
    """The test above can fail."""
    assert "interventions.patch_sweep" in missing(API.replace("patch_sweep", ""))
