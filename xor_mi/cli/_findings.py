"""findings -> the parts of them that a command prints."""

from typing import TYPE_CHECKING

from xor_mi.cli._screen import (
    INDENT,
    print_heading,
    print_table,
    print_text,
    print_verdict,
)
from xor_mi.finding import count_text, in_words, number_text

if TYPE_CHECKING:
    import pandas as pd

    from xor_mi.circuits import Circuit
    from xor_mi.report import NetworkFindings

LISTED_CIRCUITS = 5
"""The most circuits that are printed besides the first."""
COUNTED = {
    "one_reading": "one reading of every unit",
    "one_circuit": "one circuit, by substitution",
    "one_single": "one circuit, by single interchange",
    "one_joint": "one circuit, by joint interchange",
    "none_joint": "no circuit, by joint interchange",
    "not_tried": "could not be identified",
}
"""The lines of `population.verdict_shares` -> words."""


def print_findings(findings: "NetworkFindings") -> None:
    """Print stations 2 to 5 of the tour."""
    print_heading("2. Activations on every input")
    by_row = findings.activations.wide_frame()
    values = {str(row): by_row.loc[row].tolist() for row in by_row.index}
    print_table({"value": [str(name) for name in by_row.columns], **values})

    comparison = findings.comparison
    print_heading(f"3. Compare {comparison.a} and {comparison.b}")
    print_text(str(comparison), indent=INDENT)
    side_by_side = comparison.frame()
    beside = {"value_a": f"on {comparison.a}", "value_b": f"on {comparison.b}"}
    print_text()
    print_table(_columns(side_by_side.rename(columns=beside)))
    print_text(f"Why, {findings.difference}\n", indent=INDENT)

    print_heading("4. Patch")
    print_text(
        "One unit of the corrupted run gets its value from the clean run "
        "(all pairs are in patching.csv).\n",
        indent=INDENT,
    )
    metric = findings.sweep.metrics[0]
    patches = findings.sweep.frame()
    compared = [comparison.a, comparison.b]
    both_ways = patches["clean"].isin(compared) & patches["corrupted"].isin(compared)
    headings = {
        "pair": "clean -> corrupted",
        "site": "unit",
        f"clean_{metric}": f"clean {metric}",
        f"corrupted_{metric}": f"corrupted {metric}",
        f"patched_{metric}": f"patched {metric}",
        f"effect_{metric}": "effect",
        "flips": "flips",
    }
    print_table(_columns(patches[both_ways][list(headings)].rename(columns=headings)))

    print_heading("5. Which unit acts as which gate")
    print_circuit(findings.circuit, indent=INDENT)
    diagnosis = findings.circuit.diagnosis
    if diagnosis is not None and diagnosis.shortfall is not None:
        print_text(f"What is in the way of {findings.circuit.target.name}:", indent=INDENT)
        for sentence in diagnosis.shortfall.sentences:
            print_text(f"- {sentence}", indent=INDENT)
        print_text()


def print_circuit(circuit: "Circuit", *, indent: str = "") -> None:
    """Print a circuit, and how the others that survive two-level substitution differ from it."""
    print_verdict(str(circuit), verdict=circuit.verdict, indent=indent)
    others = circuit.circuits[1:]
    if others:
        print_text("\nAlso possible by two-level substitution:", indent=indent)
        for number, other in enumerate(others[:LISTED_CIRCUITS], start=2):
            print_text(f"  {number}.  {other.beside(circuit.circuits[0])}", indent=indent)
    if len(others) > LISTED_CIRCUITS:
        n_more = count_text(len(others) - LISTED_CIRCUITS, "circuit")
        print_text(f"  and {n_more} more", indent=indent)
    print_text()


def print_shares(shares: "pd.DataFrame", *, counted: str) -> None:
    """Print a table of `population.family_shares` or `verdict_shares`.

    Args:
        counted: its first column, "family" or "counted".
    """
    names = [COUNTED.get(str(name), in_words(str(name))) for name in shares[counted]]
    ends = zip(shares["ci_low"], shares["ci_high"], strict=True)
    intervals = [f"{_percent(low)} to {_percent(high)}" for low, high in ends]
    columns = {
        "family" if counted == "family" else "of the solved": names,
        "networks": shares["n_networks"].tolist(),
        "share": [_percent(share) for share in shares["share"]],
        "95 % interval": intervals,
    }
    print_table(columns, right=True)


def _percent(share: float) -> str:
    """A share of networks in per cent; "-" if it is undefined, as without a solved network."""
    return "-" if share != share else f"{number_text(100 * share, decimals=1)} %"


def _columns(frame: "pd.DataFrame") -> dict[str, list[object]]:
    """Heading -> cells, as arguments of `table_text`."""
    return {str(name): list(frame[name]) for name in frame.columns}
