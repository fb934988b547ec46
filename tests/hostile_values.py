"""Values and files that no caller means to give, for `tests/hostile.py` and its doors."""

import random
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, 1, 2, -1, 3, 12, 13, 10**6, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "0", "1", "01", "XOR", "xor ", "NaN", "..", "/", "\x00", "é", "relu", "float32", "cpu", "cuda:7",
    "x0", "h0.0", "h9.9", "x0->h0.0", "hook_embed", "blocks.0.mlp.hook_post", "blocks.0.mlp.hook_pots",
    [], [0], [1, 0], [[0, 1], [1]], [[0.2, 0.7]], [[2, 0]], ["a"], (), (2,), (0,), (-3, 2), (2, 2), {}, {"a": 1}, b"\xff", {1, 2}, 1j,
]  # fmt: skip


class Wrong(AssertionError):
    """An answer that a second way does not give."""


def odd(rng: random.Random) -> Any:
    """An odd value, or random text, or a list of such."""
    kind = rng.random()
    if kind < 0.7:
        return rng.choice(ODD)
    if kind < 0.85:
        return "".join(
            chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x110000 - 0x900) + 0x100]))
            for _ in range(rng.randrange(8))
        )
    return [rng.choice(ODD) for _ in range(rng.randrange(4))]


HOSTILE_JSON = [
    b"", b"\xff\xfe", b"\xef\xbb\xbf", b"null", b"[]", b"{}", b"1e999", b"1" + b"0" * 5000, b"[" * 100_000, b'{"a":' * 100_000,
    b"[" * 60 + b"]" * 60, b'{"a": 1, "a": 2}', b'{"a": 1e999}', b'{"a": NaN}', b'"' + b"a" * 10**5,
]  # fmt: skip
"""What no program of ours writes into a file of JSON."""
WORDS = [
    b"1e999",
    b"-1e999",
    b"1" + b"0" * 30,
    b"NaN",
    b"[" * 50 + b"]" * 50,
    b"{}",
    b"-1",
    b"true",
    b'"x9->h0.0"',
    b'"h7.7"',
]
"""What is put in place of a number or a text of such a file."""


def hostile_json(data: bytes, rng: random.Random) -> bytes:
    """Another file altogether, or one with a number or a text replaced."""
    if rng.random() < 0.4:
        return rng.choice(HOSTILE_JSON)
    places = list(re.finditer(rb'-?\d+(\.\d+)?|"[^"]*"', data))
    place = rng.choice(places)
    return data[: place.start()] + rng.choice(WORDS) + data[place.end() :]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes cut, changed, doubled, or new."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(200))
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        action, place = rng.randrange(4), rng.randrange(len(changed) + 1) if changed else 0
        if action == 0:
            del changed[place:]
        elif action == 1 and changed:
            changed[min(place, len(changed) - 1)] = rng.randrange(256)
        elif action == 2:
            changed[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            del changed[place : place + rng.randrange(1, 9)]
    return bytes(changed)


def fingerprint(folder: Path) -> str:
    """Of all files in a folder."""
    return sha256(
        b"".join(
            str(file).encode() + file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        )
    ).hexdigest()
