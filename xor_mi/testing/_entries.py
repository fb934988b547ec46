"""The entries of a stored circuit, and of another stored finding, as typed dictionaries. They
define the format, and files are checked against them.
"""

import re
from typing import Any, Literal, NotRequired, TypedDict

from xor_mi.kinds import DecisionRuleName

FORMAT = "xor_mi.regression"
VERSION = 3
"""The version of the record's format; a record of a later one is refused."""

ClaimKind = Literal["substitution", "interchange", "joint", "necessary", "sufficient", "control"]
"""The kind of a claim; see `xor_mi.circuits.Evidence`."""


class UnitRecord(TypedDict):
    """One hidden unit: its gate, whether it never changes, whether an output depends on it (or on
    what it is a copy of), and numbers that do not depend on its scale.
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
    `kind` and `units`. `ablation` is what ablated units are set to, of the kinds that ablate; an
    old baseline does not say it.
    """

    kind: ClaimKind
    units: list[str]
    claim: str
    effect: float
    control: float
    n: int
    counted: str
    holds: bool
    ablation: NotRequired[Literal["mean", "zero"]]


class SetsRecord(TypedDict):
    """Minimal sets of units, by what the ablated units were set to."""

    mean: list[list[str]]
    zero: list[list[str]]


class TargetRecord(TypedDict):
    """The target function of the network, one truth table per output."""

    name: str
    tables: list[list[int]]


class ConventionsRecord(TypedDict):
    """How a network is read: the numbers that stand for bit 0 and bit 1, how its outputs are
    decided, what a step does at zero, and whether inputs are connected with outputs directly.
    """

    input_levels: list[float]
    decision_rule: DecisionRuleName
    step_at_zero: int
    direct: bool


ORDINARY: ConventionsRecord = {
    "input_levels": [0.0, 1.0],
    "decision_rule": "threshold",
    "step_at_zero": 0,
    "direct": False,
}
"""The conventions of a record that does not have them."""


class CircuitRecord(TypedDict):
    """The stored form of a circuit. `reason` is a sentence for a reader; `wrong_rows` says the same
    to a program: row -> its decisions, -1 for undecided, in float64 and in the network's own
    precision; [] if an old baseline does not have them.

    `n_circuits` survive two-level substitution, and `n_passing` of them are proved to the level
    `require`; these, `proof_level` and `min_margin` are null if an old baseline does not have them.
    `versions` has releases, so a baseline does not change with the build of a package.
    `conventions` is there only if one of them is not `ORDINARY`.
    """

    format: str
    version: int
    test: str
    versions: dict[str, str]
    layer_sizes: list[int]
    conventions: NotRequired[ConventionsRecord]
    target: TargetRecord
    verdict: str
    reason: str
    wrong_rows: dict[str, list[list[int]]]
    require: str | None
    min_margin: float | None
    proof_level: str | None
    n_circuits: int | None
    n_passing: int | None
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


FINDING_FORMAT = "xor_mi.finding"
FINDING_VERSION = 2
"""The version of a finding's record. Other versions are refused: version 1 did not record what was
measured and how, so nothing can be compared with it.
"""

ColumnKind = Literal["exact", "number"]
"""How the values of a column are compared: equal, or within a tolerance."""
Cell = str | int | float | bool | list[Any] | None
"""One value of a table; a tuple is a list in JSON."""


class FindingRecord(TypedDict):
    """The stored form of a finding: its table and its head.

    `says` is a sentence for a reader, and `how` describes the intervention, if there was one;
    neither is compared. `head` has what was measured and how besides the table, as in
    `Finding.head`; entries of a part have its name before them. `columns` has the kind of every
    column, and `lines` one entry per line of the table.
    """

    format: str
    version: int
    test: str
    versions: dict[str, str]
    kind: str
    says: str
    how: dict[str, str]
    head: dict[str, Cell]
    columns: dict[str, ColumnKind]
    lines: list[dict[str, Cell]]


def conventions_of(record: CircuitRecord) -> ConventionsRecord:
    """The conventions of the network of a record."""
    return record.get("conventions", ORDINARY)


_A_VERSION = re.compile(
    r"""\s* v? (?: (?P<epoch>\d+) ! )? (?P<numbers> \d+ (?:\.\d+)* )
    (?: [-_.]? (?: a | b | c | rc | alpha | beta | pre | preview ) [-_.]? \d* )?
    (?: -\d+ | [-_.]? (?: post | rev | r ) [-_.]? \d* )?
    (?: [-_.]? dev [-_.]? \d* )?
    (?: \+ [a-z0-9]+ (?: [-_.][a-z0-9]+ )* )? \s*""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
"""A version as the packages of Python spell it: epoch, numbers, stages, build."""


def release_of(version: str) -> str:
    """The release to which a version belongs; a text that is not a version is returned unchanged.

    The build and the stage of development are left out: a CPU and a CUDA build of one release are
    the same to a baseline, and so are 2.13.0rc1, 2.13.0 and 2.13.0.post1.

    >>> release_of("2.13.0+cpu"), release_of("2.14.0.dev20260801+cu130"), release_of("unknown")
    ('2.13.0', '2.14.0', 'unknown')
    """
    found = _A_VERSION.fullmatch(version)
    if found is None:
        return version
    epoch = (found["epoch"] or "").lstrip("0")
    numbers = [_without_zeros(number) for number in found["numbers"].split(".")]
    return f"{epoch}!{'.'.join(numbers)}" if epoch else ".".join(numbers)


def is_same_release(one: str, other: str) -> bool:
    """Whether two versions belong to the same release, such as 2.13 and 2.13.0.

    >>> is_same_release("2.13+cpu", "2.13.0rc1"), is_same_release("2.13.0", "2.13.1")
    (True, False)
    """
    return _numbers_of(release_of(one)) == _numbers_of(release_of(other))


def _numbers_of(release: str) -> list[str]:
    numbers = release.split(".")
    while len(numbers) > 1 and numbers[-1] == "0":
        numbers.pop()
    return numbers


def _without_zeros(digits: str) -> str:
    # not int(), which refuses thousands of digits
    return digits.lstrip("0") or "0"
