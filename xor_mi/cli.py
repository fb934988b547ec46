"""xor-mi tour, identify, search, census: parse, call one public function, print. Nothing heavy is
imported before a command runs.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xor_mi.errors import XorMiError

if TYPE_CHECKING:
    import pandas as pd

    from xor_mi.circuits import Circuit
    from xor_mi.report import Findings

app = typer.Typer(
    help="XOR networks small enough to prove what every unit does.",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
)

TOUR_SEED = 29
"""The first seed from which a 2-2-1 network finds an OR unit and an AND unit; the tour says how
common that is.
"""


@app.command()
def tour(
    seed: Annotated[int, typer.Option(help="seed of the network that is looked at")] = TOUR_SEED,
    hidden: Annotated[
        str, typer.Option(help="width of the hidden layer, or widths such as 3,3")
    ] = "2",
    out: Annotated[
        str, typer.Option(help="folder for the model, report.html and its numbers")
    ] = "xor-mi-tour",
    networks: Annotated[
        int,
        typer.Option(
            help="networks trained beside it to see how common its circuit is; 0 for none"
        ),
    ] = 500,
) -> None:
    """Train an XOR network, look inside, patch it, name its gates and prove them; write a page to
    look at.
    """
    widths = _widths(hidden)
    if networks < 0:
        raise XorMiError(f"--networks is {networks}; give 0 or more")
    if not out:
        raise XorMiError("--out is empty; give a folder, such as my-run")
    from xor_mi.population import census
    from xor_mi.report import find_out, how_common, require_writable, write_report
    from xor_mi.training import train, train_population

    require_writable(out)
    print(f"1. Train a 2-{'-'.join(map(str, widths))}-1 network on XOR")
    result = train("XOR", hidden=widths, seed=seed, progress=True)
    print(f"   {result}\n")
    result.model.save_pretrained(out)
    findings = find_out(result.model)
    _print_findings(findings)
    report = write_report(findings, out, training=result)
    if networks:
        print("How common is this?")
        others = census(
            train_population("XOR", networks, hidden=widths, seed=0, progress=True), progress=True
        )
        print(f"   {how_common(findings.circuit, others)}\n")
        write_report(findings, out, training=result, networks=others)
    print(
        f"Written: {report} (open it in a browser), beside it config.json, model.safetensors, report.json, circuit.json, patching.csv"
    )


@app.command()
def identify(
    directory: Annotated[
        str, typer.Argument(help="a folder with config.json and model.safetensors")
    ],
    target: Annotated[
        str | None,
        typer.Option(
            help="gate or formula the network should compute; default: what it was saved with"
        ),
    ] = None,
) -> None:
    """Read a saved network and say which unit acts as which gate."""
    from xor_mi.circuits import identify_circuit
    from xor_mi.model import HookedMLP

    _print_circuit(identify_circuit(HookedMLP.from_pretrained(directory), target))


@app.command()
def search(
    directory: Annotated[
        str, typer.Argument(help="a folder with config.json and model.safetensors")
    ],
    target: Annotated[
        str | None,
        typer.Option(
            help="gate or formula the network should compute; default: what it was saved with"
        ),
    ] = None,
    depth: Annotated[int, typer.Option(help="formulas up to so many gates deep")] = 3,
    out: Annotated[
        str | None, typer.Option(help="file for the result; default: search.json in the folder")
    ] = None,
) -> None:
    """Count every explanation of a saved network under three conventions, and say what tells them
    apart.
    """
    from xor_mi.model import HookedMLP
    from xor_mi.search import compare_conventions, identifiability_report
    from xor_mi.search._identifiability import CONVENTIONS, SearchStopped

    model, file = HookedMLP.from_pretrained(directory), Path(out or Path(directory, "search.json"))
    found: dict[str, list] = {"counts": []}
    for name, convention in CONVENTIONS.items():
        try:
            counts = json.loads(
                compare_conventions(
                    model, target, depth=depth, conventions={name: convention}
                ).to_json(orient="records")
            )[0]
        except SearchStopped as stopped:
            found["stopped"] = [
                {
                    "convention": name,
                    "n_tried": stopped.found.total,
                    "n_perfect": stopped.found.n_perfect,
                    "complete": False,
                }
            ]
            _write_json(file, found)
            raise
        found["counts"].append(counts)
        print(f"{name}: " + ", ".join(f"{value} {key[2:]}" for key, value in counts.items() if key.startswith("n_") and value is not None)
              + (f" ({counts['why_not']})" if counts["why_not"] else ""))  # fmt: skip
        _write_json(file, found)  # stopped by Ctrl-C, what was counted stays
    report = identifiability_report(model, target, depth=depth, conventions={})
    _write_json(file, report.to_dict() | found)
    print(f"{report}\nWritten: {file}")


@app.command()
def census(
    out: Annotated[
        str,
        typer.Option(
            help="folder for the Parquet files; one that holds part of this census is gone on with"
        ),
    ] = "census",
    networks: Annotated[int, typer.Option(help="how many networks")] = 1_000_000,
    target: Annotated[str, typer.Option(help="gate or formula to train on")] = "XOR",
    hidden: Annotated[
        str, typer.Option(help="width of the hidden layer, or widths such as 3,3")
    ] = "2",
    seed: Annotated[int, typer.Option(help="seed of the first network")] = 0,
    act: Annotated[str, typer.Option(help="activation of the hidden units")] = "relu",
    optimizer: Annotated[str, typer.Option(help="adam, adamw or sgd")] = "adam",
    lr: Annotated[float, typer.Option(help="learning rate")] = 0.05,
    steps: Annotated[int, typer.Option(help="optimiser steps at most")] = 2000,
    inputs: Annotated[int, typer.Option(help="number of inputs")] = 2,
    shard: Annotated[int, typer.Option(help="networks per file")] = 10_000,
    jobs: Annotated[int | None, typer.Option(help="processes; default: one per core")] = None,
) -> None:
    """Train and identify many networks, one Parquet file for every few thousand; stopped or killed,
    the same command goes on.
    """
    widths = _widths(hidden)
    if not out:
        raise XorMiError("--out is empty; give a folder, such as my-census")
    if jobs == 0:
        raise XorMiError(
            "--jobs is 0; give a number of processes, or leave it out for one per core"
        )
    from xor_mi.population import family_shares, read_census, run_census
    from xor_mi.training import TrainConfig

    config = TrainConfig(lr=lr, max_steps=steps, optimizer=optimizer, act_fn=act)
    try:
        folder = run_census(
            config=config,
            directory=out,
            n_networks=networks,
            target=target,
            hidden=widths,
            seed=seed,
            n_inputs=inputs,
            shard_size=shard,
            n_jobs=jobs,
            progress=True,
        )
    except KeyboardInterrupt:
        raise XorMiError(
            f"stopped; what is in '{out}' is kept, and the same command goes on from there"
        ) from None
    found = read_census(folder, columns=["solved", "family"])
    print(
        f"Written: {len(found)} networks in '{folder}', {int(found['solved'].sum())} solved {target}; families of the solved:"
    )
    _print_table(family_shares(found))


def main() -> None:
    """The console script: every error is one line on standard error and exit status 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except KeyboardInterrupt:
        print("xor-mi: stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)  # pyright: ignore
        if not isinstance(error, XorMiError) and not hasattr(error, "format_message"):
            raise
        print(f"xor-mi: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)


def _write_json(file: Path, content: dict) -> None:
    try:
        file.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise XorMiError(
            f"cannot write '{file}': {error.strerror or error}; choose another file with --out"
        ) from None


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if not widths or not all(1 <= width <= 12 for width in widths):
        raise XorMiError(
            f"--hidden is {text!r}; give the width of the hidden layer, 1 to 12, or widths such as 3,3"
        )
    return widths


def _print_findings(findings: "Findings") -> None:
    print("2. Activations on every input")
    _print_table(findings.activations.table().reset_index())
    print(f"3. Compare {findings.comparison}")
    _print_table(findings.comparison.frame())
    print(f"   Why, {findings.difference}\n".replace("\n", "\n   "))
    print(
        "4. Patch: one unit of the corrupted run is given its value from the clean run (all pairs in patching.csv)"
    )
    columns = [
        "pair",
        "site",
        "logit_clean",
        "logit_corrupted",
        "logit_patched",
        "effect_logit",
        "flips",
    ]
    a, b = findings.comparison.a, findings.comparison.b
    frame = findings.sweep.frame()
    _print_table(frame[frame["clean"].isin([a, b]) & frame["corrupted"].isin([a, b])][columns])
    print("5. Which unit acts as which gate")
    _print_circuit(findings.circuit)


def _print_circuit(circuit: "Circuit") -> None:
    print("   " + str(circuit).replace("\n", "\n   "))
    if len(circuit.readings) > 1:
        print("   also possible: " + "; ".join(joint.formula for joint in circuit.readings[1:6]))
    print()


def _print_table(frame: "pd.DataFrame") -> None:
    text = frame.to_string(index=False, float_format=lambda value: f"{value + 0.0:.3f}")
    print("   " + text.replace("\n", "\n   ") + "\n")


if __name__ == "__main__":
    main()
