"""Which census a folder of shards holds, and what each of its shards must contain.

The plan is `_plan.json` in the folder; because of the underscore pandas and Arrow ignore it when
they read the folder. A shard is a range of seeds in a file of its own, whose metadata name the
census. It counts as done if the census, the versions that wrote it, its seeds and every byte are
right.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from xor_mi import __version__
from xor_mi.errors import SEEDS_BELOW, XorMiError, cut_short, shown
from xor_mi.kinds import EngineName
from xor_mi.population._parquet import CENSUS, TableKind, census_in
from xor_mi.reading import read_json
from xor_mi.saving import mark_of
from xor_mi.training import TrainConfig
from xor_mi.truth import BooleanFunction, row_name

PLAN_FILE = "_plan.json"
"""The file of the plan; written before the first shard."""

OLDER_PLAN_FILE = "plan.json"
"""Its name in early versions, which did not write their version numbers into it."""

MOST_SHARDS = 100_000
"""The most shards of a folder."""

MOST_DIFFERENCES = 6
"""The most settings that a message names when two plans differ."""

NOT_THERE = "none"
"""The version of a package that is not installed."""

Versions = Mapping[str, str]
"""Package -> its version, for the packages that the numbers of a census depend on."""


class Shard(NamedTuple):
    """A range of seeds."""

    first_seed: int
    n_networks: int

    @property
    def name(self) -> str:
        """The name of the shard's file; leading zeros make names sort as seeds do."""
        last_seed = self.first_seed + self.n_networks - 1
        return f"seeds-{self.first_seed:012d}-{last_seed:012d}.parquet"

    def file(self, folder: Path) -> Path:
        return folder / self.name


@dataclass(frozen=True)
class Plan:
    """Which census a folder of shards holds.

    Attributes:
        settings: JSON-ready, the settings that all networks share.
        seed, n_networks, shard_size: as in `run_census`.
        versions: the versions that may have written its shards.
        extended_at: the numbers of networks that were asked for before the census was extended, if
            no shard would end there otherwise.
        kind: the kind of table in the shards.
    """

    settings: Mapping[str, Any]
    seed: int
    n_networks: int
    shard_size: int
    versions: tuple[Versions, ...]
    extended_at: tuple[int, ...] = ()
    kind: TableKind = CENSUS

    @property
    def engine(self) -> object:
        """The engine that trains its networks: an `EngineName`, unless somebody edited the file.

        A plan from before there were engines does not name one: it was PyTorch.
        """
        return self.settings.get("engine", "torch")

    def shards(self) -> list[Shard]:
        """The seeds in ranges of `shard_size`; the last one before each end may be shorter."""
        ends = (0, *self.extended_at, self.n_networks)
        return [
            Shard(first, min(self.shard_size, self.seed + end - first))
            for start, end in pairwise(ends)
            for first in range(self.seed + start, self.seed + end, self.shard_size)
        ]

    def files(self) -> dict[str, str]:
        """The files of the census: name -> its mark (see `saving.mark_of`)."""
        names = [PLAN_FILE, *(shard.name for shard in self.shards())]
        return dict.fromkeys(names, self.kind.mark)

    def about(self, shard: Shard) -> dict[str, Any]:
        """The metadata of a shard, JSON-ready; the writer adds its versions."""
        return {**self.settings, "seed": shard.first_seed, "n_networks": shard.n_networks}

    def to_json(self) -> str:
        """The plan as a file."""
        written = {
            "schema": f"{self.kind.mark}/{self.kind.format}",
            **self.settings,
            "seed": self.seed,
            "n_networks": self.n_networks,
            "shard_size": self.shard_size,
            "extended_at": list(self.extended_at),
            "versions": [dict(one) for one in self.versions],
        }
        return json.dumps(written, indent=2) + "\n"

    def extended_to(self, n_networks: int) -> "Plan":
        """The plan of the same census with more networks; its shards stay unchanged."""
        n_last = self.n_networks - (0, *self.extended_at)[-1]
        ends = (
            self.extended_at
            if n_last % self.shard_size == 0
            else (*self.extended_at, self.n_networks)
        )
        return replace(self, n_networks=n_networks, extended_at=ends)

    def allowing(self, versions: Versions) -> "Plan":
        """The same plan, where shards may also be written by these versions."""
        known = self.versions
        return self if versions in known else replace(self, versions=(*known, versions))


def written_config(config: TrainConfig) -> dict[str, object]:
    """The settings of training, JSON-ready.

    The keyword-only settings were added later. They are left out at their defaults, so that a
    census that was begun without them still counts as the same one.
    """
    by_default = _later_settings()
    settings = {field.name: _as_in_json(getattr(config, field.name)) for field in fields(config)}
    return {
        name: value
        for name, value in settings.items()
        if name not in by_default or value != by_default[name]
    }


def _later_settings() -> dict[str, object]:
    """The defaults of the keyword-only settings."""
    config = TrainConfig()
    later = [field.name for field in fields(config) if field.kw_only]
    return {name: _as_in_json(getattr(config, name)) for name in later}


def _as_in_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def written_target(target: BooleanFunction) -> dict[str, object]:
    """The target, JSON-ready."""
    tables = [row_name(table) for table in target.tables]
    return {"n_inputs": target.n_inputs, "tables": tables}


def versions_here(engine: EngineName) -> Versions:
    """The versions with which this process would write a shard."""
    found = {"xor-mi": __version__, "torch": str(torch.__version__)}
    if engine == "torch":
        return found
    try:
        return found | {"numba": version("numba")}
    except PackageNotFoundError:  # such as a worker on another machine
        return found | {"numba": NOT_THERE}


def in_words(versions: object) -> str:
    """Versions as 'xor-mi 0.2.0 with torch 2.13.0'; a damaged or older file is described too."""
    if not isinstance(versions, Mapping) or not versions:
        return "an earlier version of xor-mi"
    return " with ".join(
        f"no {cut_short(str(name))}" if number == NOT_THERE else cut_short(f"{name} {number}")
        for name, number in versions.items()
    )


# the plan in a folder


def stored_plan(folder: Path, kind: TableKind = CENSUS) -> Plan | None:
    """The plan in a folder; None if the folder has no plan of tables of this kind.

    Raises:
        XorMiError: a damaged plan.
    """
    file = folder / PLAN_FILE
    if mark_of(file) != kind.mark:
        return None
    next_step = "remove it and repeat the command, which then continues; or choose another folder"
    damaged = f"'{folder}' holds another {kind.name}: its {file.name} is damaged"
    plan = read_json(file, called=f"{damaged} and", next_step=next_step)
    if not isinstance(plan, dict) or not isinstance(plan.get("config"), dict):
        raise XorMiError(f"{damaged}: it is not the plan of a {kind.name}; {next_step}")
    for name in ("target", "hidden", "seed", "n_networks", "shard_size", "extended_at", "versions"):
        if name not in plan:
            raise XorMiError(f"{damaged}: it has no '{name}'; {next_step}")
    numbers = [plan[name] for name in ("seed", "n_networks", "shard_size")]
    if not _are_sizes(numbers, plan["extended_at"]):
        raise XorMiError(f"{damaged}: a {kind.name} cannot have its numbers; {next_step}")
    if not _are_versions(plan["versions"]):
        raise XorMiError(f"{damaged}: it does not say which versions wrote it; {next_step}")
    apart = ("schema", "seed", "n_networks", "shard_size", "extended_at", "versions")
    return Plan(
        settings={name: value for name, value in plan.items() if name not in apart},
        seed=plan["seed"],
        n_networks=plan["n_networks"],
        shard_size=plan["shard_size"],
        versions=tuple(plan["versions"]),
        extended_at=tuple(plan["extended_at"]),
        kind=kind,
    )


def _are_sizes(numbers: Sequence[object], extended_at: object) -> bool:
    """Whether these numbers of a plan give a list of shards."""
    given = [*numbers, *extended_at] if isinstance(extended_at, list) else [None]
    whole = [number for number in given if type(number) is int and number >= 0]
    if len(whole) < len(given):
        return False
    seed, n_networks, shard_size, *ends = whole
    if shard_size == 0 or seed + n_networks > SEEDS_BELOW:
        return False
    n_shards = n_networks // shard_size + len(ends)
    # one more shard for the last end, and one for each extension
    is_listable = n_shards <= 2 * MOST_SHARDS
    return is_listable and all(a < b for a, b in pairwise((0, *ends, n_networks)))


def _are_versions(versions: object) -> bool:
    """Whether these are versions of packages, for one run or for several."""
    return (
        isinstance(versions, list)
        and bool(versions)
        and all(isinstance(one, dict) and one for one in versions)
    )


def difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The settings in which two sets differ, as a message says it; empty if they agree."""
    one, other = _flattened(there), _flattened(asked)
    # in the order of the settings asked for; then those that only the other has
    names = [*other, *(name for name in one if name not in other)]
    differing = [name for name in names if one.get(name) != other.get(name)]
    lines = [
        f"{cut_short(name)}: {shown(one.get(name))} there, {shown(other.get(name))} asked"
        for name in differing[:MOST_DIFFERENCES]
    ]
    if len(differing) > MOST_DIFFERENCES:
        lines.append(f"{len(differing) - MOST_DIFFERENCES} more")
    return "; ".join(lines)


def _flattened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of census and training in one mapping, with defaults where they are left out."""
    config = settings.get("config")
    others = {name: value for name, value in settings.items() if name != "config"}
    return others | _later_settings() | (config if isinstance(config, dict) else {})


# whether a shard is done


class Fault(NamedTuple):
    """Why a file does not count as a shard of a census; a message puts `is_what` after its name."""

    kind: Literal["damaged", "another table", "another version"]
    is_what: str


def refused(file: Path, fault: Fault, *, kind: TableKind = CENSUS) -> XorMiError:
    """The error for a file that is not a shard of its folder's table, with its name."""
    helps = {
        "damaged": kind.if_damaged,
        "another table": "move it away, or choose another folder",
        "another version": kind.if_of_another_version,
    }
    return XorMiError(f"'{file.parent}' holds {file.name}, {fault.is_what}; {helps[fault.kind]}")


def fault_of(file: Path, plan: Plan, shard: Shard) -> Fault | None:
    """What is wrong with a file that has the name of a shard; None if the shard is done.

    Every byte of it is checked.
    """
    this, another = f"a part of this {plan.kind.name}", f"a part of another {plan.kind.name}"
    try:
        found = census_in(file)
    except (OSError, ValueError) as error:
        how = cut_short(str(error).partition("\n")[0], at_most=120)
        return Fault("damaged", f"{this} that is damaged ({how})")
    about = found.about if isinstance(found.about, dict) else {}
    settings = {k: v for k, v in about.items() if k not in ("seed", "n_networks", "versions")}
    otherwise = difference(settings, plan.settings)
    if otherwise:
        return Fault("another table", f"{another} ({otherwise})")
    if about.get("versions") not in plan.versions:
        return Fault("another version", f"written by {in_words(about.get('versions'))}")
    held = (about.get("seed"), about.get("n_networks"))
    if held != shard:
        what = f"{shown(held[1])} networks from seed {shown(held[0])} on"
        return Fault("damaged", f"{this} under the name of another part (it has {what})")
    expected = range(shard.first_seed, shard.first_seed + shard.n_networks)
    # if a network has several lines, they are consecutive
    seeds = found.seeds if plan.kind.has_a_line_each else list(dict.fromkeys(found.seeds))
    if list(seeds) != list(expected):
        return Fault("damaged", f"{this} that lacks some of its rows")
    if not found.is_whole:
        return Fault("damaged", f"{this} that another program has rewritten")
    return None
