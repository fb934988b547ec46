"""The entries of a stored circuit, as typed dictionaries: they are the format, and what is read is
held against them.
"""

import re
from typing import Literal, TypedDict

FORMAT = "xor_mi.regression"
VERSION = 2
"""The version of the record's format; a record of a later one is refused."""

ClaimKind = Literal["substitution", "interchange", "joint", "necessary", "sufficient", "control"]
"""What a claim says; see `xor_mi.circuits.Evidence`."""


class UnitRecord(TypedDict):
    """One hidden unit: its gate, whether it never changes, whether an output depends on it, and
    numbers that do not depend on its scale.
    """

    unit: str
    gate: str | None
    constant: bool
    live: bool
    margin: float | None
    interchange: float | None
    rows_changed: int | None


class ClaimRecord(TypedDict):
    """One claim of the evidence. `claim` and `counted` are sentences for a reader; programs ask
    `kind` and `units`.
    """

    kind: ClaimKind
    units: list[str]
    claim: str
    effect: float
    control: float
    n: int
    counted: str
    holds: bool


class SetsRecord(TypedDict):
    """Minimal sets of units, by what the ablated units were set to."""

    mean: list[list[str]]
    zero: list[list[str]]


class TargetRecord(TypedDict):
    """The function that the network was held against, one truth table per output."""

    name: str
    tables: list[list[int]]


class CircuitRecord(TypedDict):
    """What is kept of a circuit. `reason` is a sentence for a reader; `wrong_rows` says the same to
    a program: row -> its decisions, -1 for undecided, in float64 and in the network's own
    precision; [] where an old baseline does not say them. `versions` has releases: a baseline does
    not change with the build of a package.
    """

    format: str
    version: int
    test: str
    versions: dict[str, str]
    layer_sizes: list[int]
    target: TargetRecord
    verdict: str
    reason: str
    wrong_rows: dict[str, list[list[int]]]
    n_readings: int
    formula: str | None
    readout: str | None
    signature: str
    families: list[str]
    units: list[UnitRecord]
    edges: list[str]
    worst_margin: float | None
    joint_interchange: list[float | None]
    necessary_sets: SetsRecord
    sufficient_sets: SetsRecord
    evidence: list[ClaimRecord]


def release_of(version: str) -> str:
    """The numbers a version starts with; without them, the version as it is.

    The build and the stage of development are left out: a CPU and a CUDA build of one release are
    the same to a baseline.

    >>> release_of("2.13.0+cpu"), release_of("2.14.0.dev20260801+cu130"), release_of("unknown")
    ('2.13.0', '2.14.0', 'unknown')
    """
    numbers = re.match(r"\d+(\.\d+)*", version)
    return numbers[0] if numbers else version
