"""all functions of up to four inputs -> the atlas: `python -m xor_mi.least_units._build [--check]`.

It proves the least numbers of every class, counts the sets of gates, trains the networks, and only
then writes. `--check` writes nothing and says which lines of the stored table a rebuild would
change. It needs numba (the extra `fast`) and z3 (the extra `proof`).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from xor_mi.errors import XorMiError, as_path
from xor_mi.least_units._atlas import (
    ATLAS,
    DATA,
    EXACT_COLUMNS,
    MOST_INPUTS,
    ONE_MORE,
    AtlasUnit,
    read_atlas,
)
from xor_mi.least_units._gate_sets import gate_sets
from xor_mi.least_units._least import least_hidden_units
from xor_mi.metrics import share_interval
from xor_mi.population._parquet import write_table
from xor_mi.population._plan import versions_here
from xor_mi.progress import progress_bar
from xor_mi.saving import require_own_file, require_writable
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction, NPNClass, npn_classes

N_NETWORKS = 2000
"""How many networks are trained on each class at each width."""
SEED = 0
"""The seed of the first network."""
CONFIG = TrainConfig()
"""How the networks are trained."""
NETWORKS: dict[str, tuple[AtlasUnit, bool]] = {
    "threshold": ("threshold", False),
    "threshold_direct": ("threshold", True),
    "relu": ("relu", False),
    "relu_direct": ("relu", True),
}
"""Column of least numbers -> the unit, and whether there are direct connections."""


def line_of(entry: NPNClass, *, n_networks: int = N_NETWORKS) -> Mapping[str, object]:
    """A class -> its line of the atlas.

    Raises:
        XorMiError: z3 or numba is not installed, or a least number could not be settled.
    """
    function = entry.representative
    least = {
        column: least_number(function, unit, direct=direct)
        for column, (unit, direct) in NETWORKS.items()
    }
    width = max(1, least["relu"])
    return (
        {
            "n_inputs": function.n_inputs,
            "table": "".join(map(str, function.bits)),
            "function": function.name,
            "n_functions": entry.size,
            "n_essential": len(function.essential_inputs),
        }
        | least
        | counted_sets(function, least["threshold"])
        | {"n_networks": n_networks}
        | trained(function, width, n_networks=n_networks)
        | trained(function, width + 1, n_networks=n_networks, suffix=ONE_MORE)
    )


def least_number(function: BooleanFunction, unit: AtlasUnit, *, direct: bool) -> int:
    """The least number of units that compute the function.

    Raises:
        XorMiError: the least number could not be settled.
    """
    found = least_hidden_units(function, unit, direct=direct, progress=False)
    if found.number is None:
        raise XorMiError(f"it could not be settled how many units a function needs: {found}")
    return found.number


def counted_sets(function: BooleanFunction, n_units: int) -> dict[str, int]:
    """How many sets of so many threshold units compute a function, and how many families they have.

    A constant has one set, the empty one, and one family.
    """
    if n_units == 0:
        return {"n_gate_sets": 1, "n_families": 1}
    found = gate_sets(function, n_units, progress=False)
    return {"n_gate_sets": found.n_sets, "n_families": found.n_families}


def trained(
    function: BooleanFunction, width: int, *, n_networks: int, suffix: str = ""
) -> dict[str, float]:
    """How many of so many networks of a width learn to decide every row as the function does."""
    population = train_population(
        function,
        n_networks,
        hidden=width,
        seed=SEED,
        config=CONFIG,
        engine="numba",
        progress=False,
    )
    n_solved = int(population.solved.sum())
    share = share_interval(n_solved, n_networks)
    found = {"n_solved": n_solved, "success": share.share}
    found |= {"success_low": share.low, "success_high": share.high}
    return {name + suffix: value for name, value in found.items()}


def built() -> pd.DataFrame:
    """The atlas, computed anew.

    Raises:
        XorMiError: what `line_of` refuses.
    """
    require_extras()
    entries = [entry for n_inputs in range(1, MOST_INPUTS + 1) for entry in npn_classes(n_inputs)]
    bar = progress_bar(entries, doing="building the atlas", unit="class")
    return pd.DataFrame([line_of(entry) for entry in bar], columns=list(ATLAS.columns))


def require_extras() -> None:
    """Refuse to begin if a package is missing.

    Raises:
        XorMiError: a package is not installed; the message names it.
    """
    missing = [name for name in ("z3", "numba") if find_spec(name) is None]
    if missing:
        raise XorMiError(
            f"building the atlas needs {' and '.join(missing)}: pip install 'xor-mi[fast,proof]'"
        )


def about() -> dict[str, object]:
    """What is stored with the table: how it was made."""
    return {
        "versions": {**versions_here("numba"), "z3-solver": version("z3-solver")},
        "n_networks": N_NETWORKS,
        "seed": SEED,
        "config": asdict(CONFIG),
    }


def changed(lines: pd.DataFrame, stored: pd.DataFrame) -> list[str]:
    """Differences between a rebuilt and the stored atlas that are not rounding, one a line."""
    both = lines[list(EXACT_COLUMNS)].merge(
        stored[list(EXACT_COLUMNS)],
        how="outer",
        on=["n_inputs", "table"],
        suffixes=("", " stored"),
        indicator=True,
    )
    found: list[str] = []
    for line in both.to_dict("records"):
        name = f"{line['table']} of {line['n_inputs']} inputs"
        if line["_merge"] != "both":
            found.append(f"{name}: only {'rebuilt' if line['_merge'] == 'left_only' else 'stored'}")
            continue
        found += [
            f"{name}: {column} is {line[column]}, stored {line[f'{column} stored']}"
            for column in EXACT_COLUMNS
            if column not in ("n_inputs", "table") and line[column] != line[f"{column} stored"]
        ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild and write, or check; the exit status is 1 if a check finds a difference.

    Raises:
        XorMiError: a package is not installed, or the file cannot be written.
    """
    parser = argparse.ArgumentParser(
        "python -m xor_mi.least_units._build",
        description="Compute the atlas of least widths again: about four minutes on one core.",
    )
    parser.add_argument(
        "--out", type=Path, default=DATA, help="the file; by default inside the package"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a file that is not an atlas of xor-mi"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say what a rebuild would change"
    )
    options = parser.parse_args(arguments)
    out = as_path("--out", options.out)
    # what must be refused is refused before the work
    if options.check:
        stored = read_atlas(out)
        differences = changed(built(), stored)
        print(
            "\n".join(differences)
            or "nothing changed, except columns that depend on rounding in training"
        )
        return int(bool(differences))
    require_own_file(out, ATLAS.mark, overwrite=options.force)
    require_writable(out.parent, {}, overwrite=True)
    write_table(built(), out, kind=ATLAS, about=about(), overwrite=options.force)
    print(f"written to {out}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except XorMiError as error:
        sys.exit(f"error: {error}")
