"""What a folder of shards is a census of, and what each of its shards must be.

The plan is `_plan.json` in the folder; its underscore makes pandas and Arrow pass over it when
they read the folder. A shard is a range of seeds, in a file of its own that says what it is a
census of; it counts as done where that, what wrote it, its seeds and every byte are right.
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
"""What the folder is a census of; written before the first shard."""

OLDER_PLAN_FILE = "plan.json"
"""What it was called by versions that did not write their numbers into it."""

MOST_SHARDS = 100_000
"""A folder has at most so many shards."""

MOST_DIFFERENCES = 6
"""A message names at most so many settings in which two plans differ."""

NOT_THERE = "none"
"""In place of the version of a package that is not installed."""

Versions = Mapping[str, str]
"""Package -> its version, of those that the numbers of a census depend on."""


class Shard(NamedTuple):
    """A range of seeds."""

    first_seed: int
    n_networks: int

    @property
    def name(self) -> str:
        """The shard's file; with leading zeros, so that names sort as seeds do."""
        last_seed = self.first_seed + self.n_networks - 1
        return f"seeds-{self.first_seed:012d}-{last_seed:012d}.parquet"

    def file(self, folder: Path) -> Path:
        return folder / self.name


@dataclass(frozen=True)
class Plan:
    """What a folder of shards is a census of.

    Attributes:
        settings: JSON-ready, what is the same for all networks.
        seed, n_networks, shard_size: as `run_census` takes them.
        versions: what may have written its shards.
        extended_at: how many networks there were to be before there were to be more, where no shard
            ends there by itself.
        kind: what the shards are tables of.
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
        """What trains its networks, one of `EngineName`, if nobody has changed the file.

        PyTorch alone did so before there were engines.
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
        """What is written: a file's name -> its mark (see `saving.mark_of`)."""
        names = [PLAN_FILE, *(shard.name for shard in self.shards())]
        return dict.fromkeys(names, self.kind.mark)

    def about(self, shard: Shard) -> dict[str, Any]:
        """JSON-ready, what a shard says of itself; what wrote it comes to that."""
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
        """The same census of more networks; the shards that it has stay as they are."""
        n_last = self.n_networks - (0, *self.extended_at)[-1]
        ends = (
            self.extended_at
            if n_last % self.shard_size == 0
            else (*self.extended_at, self.n_networks)
        )
        return replace(self, n_networks=n_networks, extended_at=ends)

    def allowing(self, versions: Versions) -> "Plan":
        """The same census, whose shards may also be written by these."""
        known = self.versions
        return self if versions in known else replace(self, versions=(*known, versions))


def written_config(config: TrainConfig) -> dict[str, object]:
    """JSON-ready settings.

    Those by keyword alone came later. They are left out where they change nothing, so that a census
    begun before there were any is still the same one.
    """
    by_default = _later_settings()
    settings = {field.name: _as_in_json(getattr(config, field.name)) for field in fields(config)}
    return {
        name: value
        for name, value in settings.items()
        if name not in by_default or value != by_default[name]
    }


def _later_settings() -> dict[str, object]:
    """The settings that are given by keyword alone, by default."""
    config = TrainConfig()
    later = [field.name for field in fields(config) if field.kw_only]
    return {name: _as_in_json(getattr(config, name)) for name in later}


def _as_in_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def written_target(target: BooleanFunction) -> dict[str, object]:
    """JSON-ready, what is learnt."""
    tables = [row_name(table) for table in target.tables]
    return {"n_inputs": target.n_inputs, "tables": tables}


def versions_here(engine: EngineName) -> Versions:
    """Of what this process would write a shard with."""
    found = {"xor-mi": __version__, "torch": str(torch.__version__)}
    if engine == "torch":
        return found
    try:
        return found | {"numba": version("numba")}
    except PackageNotFoundError:  # such as a worker on another machine
        return found | {"numba": NOT_THERE}


def in_words(versions: object) -> str:
    """'xor-mi 0.2.0 with torch 2.13.0', also of what a damaged or an older file says."""
    if not isinstance(versions, Mapping) or not versions:
        return "an earlier version of xor-mi"
    return " with ".join(
        f"no {cut_short(str(name))}" if number == NOT_THERE else cut_short(f"{name} {number}")
        for name, number in versions.items()
    )


# the plan in a folder


def stored_plan(folder: Path, kind: TableKind = CENSUS) -> Plan | None:
    """The plan in a folder; None where there is none of tables of this kind.

    Raises:
        XorMiError: one that is damaged.
    """
    file = folder / PLAN_FILE
    if mark_of(file) != kind.mark:
        return None
    next_step = "remove it, and the same command goes on; or choose another folder"
    damaged = f"'{folder}' holds another {kind.name}: its {file.name} is damaged"
    plan = read_json(file, called=f"{damaged} and", next_step=next_step)
    if not isinstance(plan, dict) or not isinstance(plan.get("config"), dict):
        raise XorMiError(f"{damaged}: it is not the plan of a {kind.name}; {next_step}")
    for name in ("target", "hidden", "seed", "n_networks", "shard_size", "extended_at", "versions"):
        if name not in plan:
            raise XorMiError(f"{damaged}: it has no '{name}'; {next_step}")
    numbers = [plan[name] for name in ("seed", "n_networks", "shard_size")]
    if not _are_sizes(numbers, plan["extended_at"]):
        raise XorMiError(f"{damaged}: its numbers are none of a {kind.name}; {next_step}")
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
    """Whether shards can be counted by these numbers of a plan."""
    given = [*numbers, *extended_at] if isinstance(extended_at, list) else [None]
    whole = [number for number in given if type(number) is int and number >= 0]
    if len(whole) < len(given):
        return False
    seed, n_networks, shard_size, *ends = whole
    if shard_size == 0 or seed + n_networks > SEEDS_BELOW:
        return False
    n_shards = n_networks // shard_size + len(ends)
    # a shard more for each end, and for each time that it was extended
    is_listable = n_shards <= 2 * MOST_SHARDS
    return is_listable and all(a < b for a, b in pairwise((0, *ends, n_networks)))


def _are_versions(versions: object) -> bool:
    """Whether these are some package's versions, or those of several runs."""
    return (
        isinstance(versions, list)
        and bool(versions)
        and all(isinstance(one, dict) and one for one in versions)
    )


def difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What one set of settings says otherwise than another; empty where it is the same."""
    one, other = _flattened(there), _flattened(asked)
    # in the order of what is asked; then what only the other has
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
    """The settings of the training beside those of the census, also those that are left out."""
    config = settings.get("config")
    others = {name: value for name, value in settings.items() if name != "config"}
    return others | _later_settings() | (config if isinstance(config, dict) else {})


# is a shard done?


class Fault(NamedTuple):
    """Why a file does not count as a shard of a census; `is_what` is said after its name."""

    kind: Literal["damaged", "another table", "another version"]
    is_what: str


def refused(file: Path, fault: Fault, *, kind: TableKind = CENSUS) -> XorMiError:
    """The error that names a file which is not a shard of its folder's table."""
    helps = {
        "damaged": kind.if_damaged,
        "another table": "move it away, or choose another folder",
        "another version": kind.if_of_another_version,
    }
    return XorMiError(f"'{file.parent}' holds {file.name}, {fault.is_what}; {helps[fault.kind]}")


def fault_of(file: Path, plan: Plan, shard: Shard) -> Fault | None:
    """What is wrong with a file under the name of a shard; None of one that is done.

    Every byte of it is read.
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
        return Fault("damaged", f"{this} under another's name (it has {what})")
    expected = range(shard.first_seed, shard.first_seed + shard.n_networks)
    # where a network has several lines they follow each other
    seeds = found.seeds if plan.kind.has_a_line_each else list(dict.fromkeys(found.seeds))
    if list(seeds) != list(expected):
        return Fault("damaged", f"{this} that has not all of its rows")
    if not found.is_whole:
        return Fault("damaged", f"{this} that another program has written anew")
    return None
