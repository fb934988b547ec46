"""Population -> one line per network, and back; shares with intervals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from xor_mi.circuits import MIN_MARGIN, ProofLevel, identify_many
from xor_mi.errors import XorMiError, require_kind, unknown
from xor_mi.metrics import share_interval
from xor_mi.model import HookedMLPConfig
from xor_mi.training import Population
from xor_mi.training._engine import ENGINES

NOT_TRIED = "not_tried"
"""The verdict of a network that cannot be identified; `why_not` has the reason."""

NO_GATES = "(no gate reading)"
"""The entry of a table of shares for solved networks without a circuit."""

NOT_PROVED = "(no circuit proved)"
"""Its entry for solved networks of which no circuit is proved to the level that was required."""

CIRCUIT_COLUMNS = ("family", "gates", "signature")
"""The columns that describe a network's circuit; they mean little where no circuit is proved."""

ENGINE = "engine"
"""The key in a table's `attrs` of the engine that trained its networks, if known."""

REQUIREMENTS = ("require", "min_margin")
"""The columns that say which circuits counted; they have one value on every line."""


def census(
    population: Population,
    *,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    progress: bool = True,
) -> pd.DataFrame:
    """One line per network: what training did, and what `identify_circuit` says of it.

    Columns: seed, solved, steps, loss, verdict, why_not, gates (of the live units, '{AND, OR}';
    empty without a circuit), family, signature, n_readings (of all circuits together), n_circuits,
    n_circuits_single and n_circuits_joint (how many of these are proved at least to that level),
    proof_level (of the first circuit, as are gates, family and margins; empty without a circuit),
    require, min_margin, margins (one per hidden unit of the primary reading, NaN for a constant
    unit), weights (W and b flat, layer by layer, as `Population.flat`). A network that cannot be
    identified has the verdict 'not_tried', the reason in `why_not`, and no numbers of readings and
    circuits; for all others `why_not` is empty.

    Args:
        require, min_margin: what a circuit must have to count; see `identify_circuit`.

    Raises:
        XorMiError: a level of proof or a margin that does not exist.

    >>> from xor_mi.training import train_population
    >>> found = census(train_population("XOR", 8))
    >>> found[found["solved"]][["seed", "verdict", "gates"]].values.tolist()
    [[2, 'identified', '{AND, NOR}'], [5, 'identified', '{x0>x1, x1>x0}']]
    """
    require_kind("population", population, Population, give="what train_population returns")
    # population[i] builds a model, and most networks need none: so the function is handed over
    circuits = identify_many(
        population.__getitem__,
        population.weights,
        population.cfg,
        require=require,
        min_margin=min_margin,
        progress=progress,
    )
    columns: dict[str, Any] = {
        "seed": population.seeds.numpy(),
        "solved": population.solved.numpy(),
        "steps": population.steps.int().numpy(),
        "loss": population.losses.numpy(),
        # an empty verdict means that the network cannot be identified
        "verdict": [circuit.verdict or NOT_TRIED for circuit in circuits],
        "why_not": [circuit.why_not for circuit in circuits],
        "gates": [circuit.gate_set for circuit in circuits],
        "family": [circuit.family for circuit in circuits],
        "signature": [circuit.signature for circuit in circuits],
        "n_readings": _numbers([circuit.n_readings for circuit in circuits]),
        "n_circuits": _numbers([circuit.n_circuits for circuit in circuits]),
        "n_circuits_single": _numbers([circuit.n_circuits_single for circuit in circuits]),
        "n_circuits_joint": _numbers([circuit.n_circuits_joint for circuit in circuits]),
        "proof_level": [circuit.proof_level or "" for circuit in circuits],
        "require": require,
        "min_margin": float(min_margin),
        "margins": [np.array(circuit.margins, dtype=np.float64) for circuit in circuits],
        "weights": list(population.flat.numpy()),
    }
    found = pd.DataFrame(columns)
    if population.engine is not None:
        found.attrs[ENGINE] = population.engine
    return found


def _numbers(counts: list[int | None]) -> pd.api.extensions.ExtensionArray:
    """Counts as a column of whole numbers in which those of networks not tried are missing."""
    return pd.array(counts, dtype="Int32")


def population_from_census(networks: pd.DataFrame, cfg: HookedMLPConfig) -> Population:
    """Lines of a census -> the population of their networks, for any other analysis.

    Its engine is the table's `attrs["engine"]`, which `census` and `read_census` fill in.

    Raises:
        XorMiError: a table without lines, or weights that do not fit the shape of `cfg`.

    >>> from xor_mi.training import train_population
    >>> population = train_population("XOR", 3)
    >>> again = population_from_census(census(population), population.cfg)
    >>> torch.equal(again[2].fc1.weight, population[2].fc1.weight)
    True
    """
    require_census(networks)
    require_kind("cfg", cfg, HookedMLPConfig, give="the networks' HookedMLPConfig")
    if networks.empty:
        raise XorMiError("this census has no networks; give one with at least one line")
    engine = networks.attrs.get(ENGINE)
    flat = np.stack(networks["weights"].to_list()).astype(np.float32)  # [seed, parameter]
    return Population.from_flat(
        torch.from_numpy(flat),
        cfg=replace(cfg),  # a copy, so that changing it does not change the caller's table
        seeds=torch.tensor(networks["seed"].to_list()),
        steps=torch.tensor(networks["steps"].to_list()),
        losses=torch.tensor(networks["loss"].to_list()),
        solved=torch.tensor(networks["solved"].to_list()),
        engine=engine if engine in ENGINES else None,
    )


def require_census(networks: object) -> None:
    """Refuse anything that is not a table of networks."""
    require_kind("networks", networks, pd.DataFrame, give="a census, as census() returns it")


def require_one_requirement(networks: pd.DataFrame) -> None:
    """Refuse a table whose networks were identified with different requirements.

    Raises:
        XorMiError: naming the first two requirements.
    """
    known = [name for name in REQUIREMENTS if name in networks]
    found = networks[known].drop_duplicates().to_dict("records") if known else []
    if len(found) > 1:
        one, other = (", ".join(f"{k}={v!r}" for k, v in line.items()) for line in found[:2])
        raise XorMiError(
            f"some networks of this table were identified with {one}, others with {other}, and "
            "their verdicts cannot be compared; identify all with the same requirement, or look "
            "at each part alone"
        )


def family_shares(networks: pd.DataFrame, *, by: str = "family") -> pd.DataFrame:
    """A census -> how often each family occurs among the solved networks, the most frequent first.

    Solved networks of which no circuit is proved to the required level have a line of their own.

    Args:
        by: what to count: "family", "gates" (sets of them), "signature", or another column.

    Columns: `by`, n_networks, share (of the solved), ci_low, ci_high (95 % Clopper-Pearson).

    Raises:
        XorMiError: a column that a census does not have, or networks that were identified with
            different requirements.
    """
    counted = counted_as(networks, by=by)
    require_one_requirement(networks)
    solved = networks["solved"]
    n_solved = int(solved.sum())
    in_alphabetical_order = counted[solved].value_counts().sort_index()
    # stable: equally frequent ones stay in alphabetical order
    counts = in_alphabetical_order.sort_values(ascending=False, kind="stable")
    shares = []
    for value, count in counts.items():
        share = share_columns(count, n_solved, name="share")
        shares.append({by: value or NO_GATES, "n_networks": count} | share)
    return pd.DataFrame(shares, columns=[by, "n_networks", "share", "ci_low", "ci_high"])


def counted_as(networks: pd.DataFrame, *, by: str = "family") -> pd.Series:
    """A census -> what `family_shares` counts each of its networks as, line by line.

    A network counts as what the column says if a circuit is proved to the required level, or if it
    has no circuit at all; otherwise as "(no circuit proved)". If the column is empty, as for
    weights that are not finite, it counts as "(no gate reading)".

    Args:
        by: as in `family_shares`.

    Raises:
        XorMiError: a column that a census does not have.
    """
    require_census(networks)
    if not isinstance(by, str) or by not in networks:
        raise unknown("column", by, networks.columns, where="this census has")
    if by not in CIRCUIT_COLUMNS:
        return networks[by]
    counted = networks[by].replace("", NO_GATES)
    if "verdict" not in networks:
        return counted
    return counted.mask(networks["verdict"] == "approximate", NOT_PROVED)


def gate_shares(networks: pd.DataFrame) -> pd.DataFrame:
    """`family_shares` by the set of hidden gates."""
    return family_shares(networks, by="gates")


def share_columns(count: int, n: int, *, name: str) -> dict[str, float]:
    """A count of n -> its share under this name, and the 95 % Clopper-Pearson interval."""
    interval = share_interval(count, n)
    return {name: interval.share, "ci_low": interval.low, "ci_high": interval.high}


VERDICTS_COUNTED = (
    "one_reading",
    "one_circuit",
    "one_single",
    "one_joint",
    "none_joint",
    "not_tried",
)
"""The lines of `verdict_shares`, in this order."""


def verdict_shares(networks: pd.DataFrame) -> pd.DataFrame:
    """A census -> the share of solved networks whose circuit is certain, for each level of proof.

    There is one line each for the networks with exactly one joint reading (`one_reading`), with
    exactly one circuit that survives substitution (`one_circuit`), with exactly one that is also
    proved by single interchange (`one_single`) or by joint interchange (`one_joint`), with no
    circuit proved by joint interchange (`none_joint`), and for those that could not be identified
    (`not_tried`), which count in no other line. Of what the census required only `min_margin` makes
    a difference.

    Columns: counted, n_networks, share (of the solved), ci_low, ci_high (95 % Clopper-Pearson).

    Raises:
        XorMiError: a census from before circuits were counted, or networks that were identified
            with different requirements.

    >>> from xor_mi.training import train_population
    >>> shares = verdict_shares(census(train_population("XOR", 8)))
    >>> dict(zip(shares["counted"], shares["n_networks"]))["one_joint"]
    2
    """
    require_census(networks)
    needed = ("solved", "n_readings", "n_circuits", "n_circuits_single", "n_circuits_joint")
    missing = [name for name in needed if name not in networks]
    if missing:
        raise XorMiError(
            f"this census has no {', '.join(missing)}: it was written before circuits were "
            "counted, or read without these columns; census(population_from_census(networks, "
            "cfg)) counts them"
        )
    require_one_requirement(networks)
    solved = networks[networks["solved"]]
    counted = {
        "one_reading": solved["n_readings"] == 1,
        "one_circuit": solved["n_circuits"] == 1,
        "one_single": solved["n_circuits_single"] == 1,
        "one_joint": solved["n_circuits_joint"] == 1,
        "none_joint": solved["n_circuits_joint"] == 0,
        "not_tried": solved["n_circuits"].isna(),
    }
    lines = []
    for name in VERDICTS_COUNTED:
        # the count of a network that was not tried is unknown, so it does not count
        count = int(counted[name].fillna(False).sum())
        share = share_columns(count, len(solved), name="share")
        lines.append({"counted": name, "n_networks": count} | share)
    return pd.DataFrame(lines)
