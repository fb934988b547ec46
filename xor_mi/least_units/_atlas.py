"""a function -> its line in the stored table of all functions of up to four inputs."""

from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd

from xor_mi.errors import XorMiError, require_at_most, whole_number
from xor_mi.kinds import Target
from xor_mi.population._parquet import TableKind, read_file
from xor_mi.saving import ATLAS_MARK
from xor_mi.truth import BooleanFunction, npn_class

AtlasUnit = Literal["relu", "threshold"]
"""The kinds of hidden unit that the atlas has."""

MOST_INPUTS = 4
"""The atlas has the functions of one input up to so many inputs."""

ONE_MORE = "_one_more"
"""The end of the names of columns about networks with one unit more than the least number."""

TRAINED = ("n_solved", "success", "success_low", "success_high")
"""The columns about trained networks of one width."""

ATLAS_COLUMNS = (
    *("n_inputs", "table", "function", "n_functions", "n_essential"),
    *("threshold", "threshold_direct", "relu", "relu_direct"),
    *("n_gate_sets", "n_families"),
    "n_networks",
    *TRAINED,
    *(name + ONE_MORE for name in TRAINED),
)
"""The columns of the atlas, in their order."""

SHARES = tuple(name for name in ATLAS_COLUMNS if name.startswith("success"))
"""The columns that are neither whole numbers nor text."""

EXACT_COLUMNS = ATLAS_COLUMNS[: ATLAS_COLUMNS.index("n_networks") + 1]
"""The columns that are equal on every machine; training depends on rounding."""

ATLAS = TableKind(
    name="atlas of least widths",
    mark=ATLAS_MARK,
    format_key=b"xor_mi_atlas_format",
    format=1,
    columns=ATLAS_COLUMNS,
    has_a_line_each=False,
    if_damaged="install xor-mi again",
    if_of_another_version="install xor-mi again",
    again="install xor-mi again, or run python -m xor_mi.least_units._build",
    makes="atlas()",
    more_kinds={
        name: "float64" if name in SHARES else "int64"
        for name in ATLAS_COLUMNS
        if name not in ("table", "function")
    },
)

DATA = Path(__file__).parent / "data" / "atlas.parquet"
"""Where the atlas is stored."""


def atlas(target: Target | None = None, *, n_inputs: int | None = None) -> pd.DataFrame:
    """How many hidden units every function of up to four inputs needs: one line per class.

    Functions that become each other when inputs are permuted or negated, or the output is negated,
    need the same number of units; such a class (an NPN class, `truth.npn_class`) has one line.
    There are 2, 4, 14 and 222 classes for one to four inputs. The table is stored; it was computed
    by `least_hidden_units`, `gate_sets` and `train_population`, and `python -m
    xor_mi.least_units._build` computes it again.

    Columns:
        n_inputs: number of inputs, including those that the function does not depend on. table:
        truth table of the class's representative, row by row. function: the representative's name
        or formula. n_functions: functions in the class. n_essential: inputs that the function
        depends on. threshold, threshold_direct, relu, relu_direct: least number of hidden units of
        that kind, without and with direct connections from the inputs to the output; each is
        proved. n_gate_sets: how many sets of `threshold` many threshold units compute the function
        without direct connections, as `gate_sets` counts them; a constant has 1, the empty set.
        n_families: the number of their families. n_networks: ReLU networks trained on the
        representative, at each of two widths: the least one (`relu`, or 1 if that is 0), and one
        unit more, whose columns end in _one_more. Inputs are 0 and 1; another function of the class
        may be learned more or less often.
        n_solved, success, success_low, success_high: how many of them decide every row as the
            function does, their share, and its 95 % Clopper-Pearson interval.

    Args:
        target: return only the class of this function; its line has the representative's table.
        n_inputs: with a target, the number of inputs of a target that is given as text; without a
            target, return only the classes with so many inputs.

    Raises:
        XorMiError: a function with more than four inputs or several outputs, a target that is not a
            function, or a stored table that is damaged.

    >>> atlas("x0 == x1")[["table", "threshold", "threshold_direct", "relu", "n_gate_sets"]]
      table  threshold  threshold_direct  relu  n_gate_sets
    0  0110          2                 1     2            8
    >>> atlas(n_inputs=3).groupby("threshold")["n_functions"].sum().to_dict()
    {0: 2, 1: 102, 2: 150, 3: 2}
    """
    lines = _stored()
    if target is not None:
        representative = _representative(BooleanFunction.of(target, n_inputs))
        table = "".join(map(str, representative.bits))
        lines = lines[(lines["n_inputs"] == representative.n_inputs) & (lines["table"] == table)]
    elif n_inputs is not None:
        n_inputs = whole_number("n_inputs", n_inputs, at_least=1)
        require_at_most(
            n_inputs,
            MOST_INPUTS,
            what="inputs",
            do=f"the atlas has functions of 1 to {MOST_INPUTS} inputs; least_hidden_units takes "
            "more",
        )
        lines = lines[lines["n_inputs"] == n_inputs]
    # a new table at every call, so that changing it changes no later answer
    return lines.reset_index(drop=True)


def _representative(function: BooleanFunction) -> BooleanFunction:
    """The representative of a function's class.

    Raises:
        XorMiError: a function that the atlas does not have.
    """
    if function.n_outputs != 1:
        raise XorMiError(
            f"the atlas has functions of one output, and {function.name} has "
            f"{function.n_outputs}; least_hidden_units takes several"
        )
    if function.n_inputs > MOST_INPUTS:
        essential = [f"x{index}" for index in function.essential_inputs]
        hint = ""
        if len(essential) <= MOST_INPUTS:
            hint = f", or ask for the function of {', '.join(essential) or 'one input'} alone"
        raise XorMiError(
            f"the atlas has functions of 1 to {MOST_INPUTS} inputs, and this one has "
            f"{function.n_inputs}; least_hidden_units takes more{hint}"
        )
    return npn_class(function).representative


@cache
def _stored() -> pd.DataFrame:
    """The stored table, checked.

    Raises:
        XorMiError: the file does not exist, or is damaged.
    """
    return read_atlas(DATA)


def read_atlas(file: Path) -> pd.DataFrame:
    """The table in a file.

    Raises:
        XorMiError: the file does not exist, is damaged, or lacks some functions.
    """
    lines = read_file(file, list(ATLAS_COLUMNS), kind=ATLAS).to_pandas()
    counted = lines.groupby("n_inputs")["n_functions"].sum().to_dict()
    there = {n_inputs: 2 ** (2**n_inputs) for n_inputs in range(1, MOST_INPUTS + 1)}
    if counted != there:
        raise XorMiError(
            f"'{file}' has {counted} functions by number of inputs, and there are {there}; "
            f"{ATLAS.again}"
        )
    return lines
