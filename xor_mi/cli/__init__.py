"""xor-mi tour, watch, identify, search, census, exam: parse, call one public function, print.

Nothing heavy is imported before a command runs.
"""

import contextlib
import json
import os
import sys
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TypedDict, cast

import typer

from xor_mi import __version__
from xor_mi.cli._screen import INDENT, print_heading, print_text, print_verdict, width
from xor_mi.errors import SEEDS_BELOW, XorMiError, as_path, whole_number
from xor_mi.finding import count_text

if TYPE_CHECKING:
    from xor_mi.circuits import ProofLevel
    from xor_mi.kinds import ActivationName, EngineName, LossName, OptimizerName
    from xor_mi.training import TrainConfig

__all__ = ["app", "main"]

TAGLINE = "Boolean networks small enough to prove what every unit does, as TransformerLens models."
TOUR_SEED = 29
"""The first seed from which a 2-2-1 network finds an OR unit and an AND unit; the tour reports how
common that is.
"""
SEARCH_FORMAT = "xor_mi.search/1"
"""The first entry of search.json; the number is increased when a key changes its meaning or is
removed.
"""
MAX_WIDTH = 12
"""The most units of a hidden layer that --hidden accepts."""

Hidden = Annotated[
    str, typer.Option(help="width of the hidden layer, or of several layers, such as 3,3")
]
Activation = Annotated[
    str, typer.Option(help="activation of the hidden units, such as relu, tanh or sigmoid")
]
Optimizer = Annotated[str, typer.Option(help="adam, adamw or sgd")]
LearningRate = Annotated[float, typer.Option(help="learning rate")]
Steps = Annotated[int, typer.Option(help="the most optimiser steps")]
Inputs = Annotated[
    int | None,
    typer.Option(
        help="how many inputs the network has; default: as many as the formula names",
        show_default=False,
    ),
]
Saved = Annotated[str, typer.Argument(help="a folder with config.json and model.safetensors")]
AskedTarget = Annotated[
    str | None,
    typer.Option(
        help=("gate or formula the network should compute; default: the target it was saved with")
    ),
]
Require = Annotated[
    str,
    typer.Option(help="how far a circuit must be proved to count: substitution, single or joint"),
]
MinMargin = Annotated[
    float | None,
    typer.Option(
        help=(
            "smallest margin of a circuit: the gap around the threshold of each live unit, as a "
            "share of the unit's range; a number from 0 to 1, default: 0.01"
        )
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help=(
            "write into a folder that holds foreign files, and replace those with names that "
            "xor-mi writes; without it, such a folder is refused"
        ),
    ),
]
ForceFile = Annotated[
    bool,
    typer.Option(
        "--force",
        help=(
            "replace a file of that name that xor-mi did not write, and write into a model's "
            "folder that holds foreign files"
        ),
    ),
]

STOPPED = 130
"""The exit status after Ctrl-C, as in other programs."""

app = typer.Typer(
    help=TAGLINE,
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _Required(TypedDict):
    """What a circuit must have to count."""

    require: "ProofLevel"
    min_margin: float


class _Stopped(XorMiError):
    """Ctrl-C, with a sentence from the command."""


def _print_version(asked: bool) -> None:
    """--version."""
    if not asked:
        return
    print_text(f"xor-mi {__version__}")
    raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="print the version and exit", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before a command; without a command, print the help."""
    if context.invoked_subcommand is None:
        print_text(context.get_help())


@app.command()
def tour(
    seed: Annotated[int, typer.Option(help="seed of the network")] = TOUR_SEED,
    hidden: Hidden = "2",
    out: Annotated[
        str, typer.Option(help="folder for the model, report.html and its numbers")
    ] = "xor-mi-tour",
    networks: Annotated[
        int, typer.Option(help="networks to train to see how common the circuit is; 0 for none")
    ] = 500,
    act: Activation = "relu",
    loss: Annotated[
        str, typer.Option(help="bce, mse, or ce (two outputs, of which the larger wins)")
    ] = "bce",
    levels: Annotated[
        str, typer.Option(help="the numbers that stand for bit 0 and bit 1, such as -1,1")
    ] = "0,1",
    direct: Annotated[
        bool, typer.Option("--direct", help="also connect the inputs directly to the output")
    ] = False,
    require: Require = "joint",
    min_margin: MinMargin = None,
    force: Force = False,
) -> None:
    """Train an XOR network, take it apart, write a page.

    Look inside the network, patch it, name its gates and prove them. Written into --out:
    report.html, to be opened in a browser, its numbers (report.json, circuit.json, patching.csv)
    and the network (config.json, model.safetensors). Files that xor-mi did not write are never
    replaced without --force.
    """
    widths = _widths(hidden)
    if networks < 0:
        raise XorMiError(f"--networks is {networks}; give 0 or more")
    if not out:
        raise XorMiError("--out is empty; give a folder, such as my-run")
    seed = whole_number("--seed", seed, below=SEEDS_BELOW)
    input_levels = _levels(levels)
    from xor_mi.cli._findings import print_findings
    from xor_mi.population import census
    from xor_mi.report import find_out, how_common, require_writable, write_report
    from xor_mi.training import TrainConfig, train, train_population

    config = TrainConfig(
        # unchecked: TrainConfig refuses unknown names and lists those that exist
        act_fn=cast("ActivationName", act),
        loss_fn=cast("LossName", loss),
        input_levels=input_levels,
        direct=direct,
    )
    required = _checked_requirement(require, min_margin)
    n_outputs = 2 if config.decision_rule == "argmax" else 1
    sizes = "-".join(map(str, (2, *widths, n_outputs)))
    with _no_empty_folder(out):
        require_writable(out, overwrite=force)
        print_heading(f"1. Train a {sizes} network on XOR")
        result = train("XOR", hidden=widths, seed=seed, config=config)
        print_text(f"{result}\n", indent=INDENT)
        # the model is saved before the analysis, so that stopping the analysis loses no training
        result.model.save_pretrained(out, overwrite=force)
    findings = find_out(result.model, **required)
    print_findings(findings)
    report = write_report(findings, out, training=result, overwrite=force)
    if networks:
        print_heading("How common is this?")
        trained = train_population("XOR", networks, hidden=widths, seed=0, config=config)
        others = census(trained, **required)
        print_text(f"{how_common(findings.circuit, others)}\n", indent=INDENT)
        write_report(findings, out, training=result, networks=others, overwrite=force)
    print_text(
        f"Written: {report} (open it in a browser), and beside it config.json, model.safetensors, "
        "report.json, circuit.json, patching.csv"
    )


@app.command()
def watch(
    target: Annotated[str, typer.Argument(help="gate or formula to train on")] = "XOR",
    seed: Annotated[int, typer.Option(help="seed of the network")] = TOUR_SEED,
    hidden: Hidden = "2",
    act: Activation = "relu",
    optimizer: Optimizer = "adam",
    lr: LearningRate = 0.05,
    steps: Steps = 2000,
    inputs: Inputs = None,
    require: Require = "joint",
    min_margin: MinMargin = None,
    out: Annotated[
        str, typer.Option(help="folder for the page, its tables and the model")
    ] = "xor-mi-watch",
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="write the page, or only print the events")
    ] = True,
    force: Force = False,
) -> None:
    """Train a network and say when each gate appears.

    Each event is printed at the step at which it happens: all rows come right, a unit dies, or the
    gate of a unit changes. Written into --out: index.html, to be opened in a browser, with all
    events and with moving weights; events.csv, trajectory.csv and the network (config.json,
    model.safetensors).
    """
    widths = _widths(hidden)
    if page and not out:
        raise XorMiError("--out is empty; give a folder, such as my-run")
    seed = whole_number("--seed", seed, below=SEEDS_BELOW)
    from xor_mi import population
    from xor_mi.training import train
    from xor_mi.trajectory_page import require_writable, write_trajectory_page

    config = _train_config(act=act, optimizer=optimizer, lr=lr, steps=steps)
    required = _checked_requirement(require, min_margin)
    # one step raises every error that a target or settings can cause, before a folder is made
    one_step = replace(config, max_steps=1)
    train(target, hidden=widths, seed=seed, config=one_step, n_inputs=inputs, progress=False)
    kept = "nothing is written; repeat the command to train the same network again"
    try:
        with _no_empty_folder(out) if page else contextlib.nullcontext():
            if page:
                require_writable(out, overwrite=force)
            result = population.watch(
                target,
                seed,
                hidden=widths,
                n_inputs=inputs,
                config=config,
                say=print_text,
                **required,
            )
            if page:
                # saved before the analysis, so that stopping the analysis loses no training
                result.model.save_pretrained(out, overwrite=force)
        if page:
            kept = f"the trained network is kept in '{out}', without a page"
        found = population.trajectory(
            target, seed, hidden=widths, n_inputs=inputs, config=config, **required
        )
        print_text(f"\n{found}")
        if found.circuit is not None:
            print_text()
            print_verdict(str(found.circuit), verdict=found.circuit.verdict)
        if found.stuck is not None:
            print_text(f"\n{found.stuck}")
        if page:
            written = write_trajectory_page(found, out, overwrite=force)
            print_text(
                f"\nWritten: {written} (open it in a browser), and beside it "
                "events.csv, trajectory.csv, config.json, model.safetensors"
            )
    except KeyboardInterrupt:
        raise _Stopped(f"stopped; {kept}") from None


@app.command()
def identify(
    directory: Saved,
    target: AskedTarget = None,
    require: Require = "joint",
    min_margin: MinMargin = None,
) -> None:
    """Name the gate of each unit of a saved network.

    Printed are the verdict, what was tested, and the differences of other possible circuits. No
    file is written.
    """
    from xor_mi.circuits import identify_circuit
    from xor_mi.cli._findings import print_circuit
    from xor_mi.model import HookedMLP

    model = HookedMLP.from_pretrained(directory)
    print_circuit(identify_circuit(model, target, **_required(require, min_margin)))


@app.command()
def search(
    directory: Saved,
    target: AskedTarget = None,
    depth: Annotated[
        int, typer.Option(help="the most gates of a formula from input to output")
    ] = 3,
    out: Annotated[
        str | None, typer.Option(help="file for the result; default: search.json in the folder")
    ] = None,
    require: Require = "joint",
    min_margin: MinMargin = None,
    force: ForceFile = False,
) -> None:
    """Count every explanation of a saved network.

    Subcircuits, interpretations, formulas and alignments are counted under three conventions, and
    the differences are printed. Written: search.json in the network's folder, or the file that
    --out names; after Ctrl-C it has the counts so far.
    """
    from xor_mi.model import HookedMLP
    from xor_mi.saving import SEARCH_MARK, require_own, require_own_file, write_file
    from xor_mi.search import (
        CONVENTIONS,
        CountStopped,
        SearchStopped,
        compare_conventions,
        identifiability_report,
    )

    model = HookedMLP.from_pretrained(directory)
    required = _checked_requirement(require, min_margin)
    folder = as_path("directory", directory)
    file = folder / "search.json" if out is None else as_path("--out", out)
    if not file.parent.is_dir():
        raise XorMiError(
            f"cannot write '{file}': there is no folder '{file.parent}'; make it first"
        )

    def ask() -> None:
        """Check the model's folder as a whole, or the file that --out names."""
        if out is None:
            require_own(directory, {file.name: SEARCH_MARK}, overwrite=force)
        else:
            require_own_file(file, SEARCH_MARK, overwrite=force)

    def keep(content: dict[str, object]) -> None:
        """Check before each writing, since minutes may pass in between, and write."""
        ask()
        write_file(file, json.dumps({"format": SEARCH_FORMAT} | content, indent=2) + "\n")

    ask()
    counts: list[dict[str, object]] = []
    for name, convention in CONVENTIONS.items():
        try:
            compared = compare_conventions(
                model, target, depth=depth, conventions={name: convention}
            )
        except SearchStopped as stopped:
            so_far = {"n_tried": stopped.search.total, "n_perfect": stopped.search.n_perfect}
            unfinished = {"convention": name, **so_far, "complete": False}
            keep({"counts": counts, "stopped": [unfinished]})
            raise
        except CountStopped as stopped:
            unfinished = {
                "convention": name,
                "n_perfect_at_least": stopped.count.at_least,
                "n_done": stopped.count.n_done,
                "n_configurations": stopped.count.n_configurations,
                "complete": False,
            }
            keep({"counts": counts, "stopped": [unfinished]})
            raise
        row = compared.counts[0].to_dict()
        counts.append(row)
        print_text(f"{name}: {_counts_in_words(row)}")
        # written after every convention, so that Ctrl-C keeps the counts so far
        keep({"counts": counts})
    report = identifiability_report(model, target, depth=depth, conventions={}, **required)
    keep(report.to_dict() | {"counts": counts})
    print_text(f"\n{report}\n\nWritten: {file}")


@app.command()
def census(
    out: Annotated[
        str,
        typer.Option(help="folder for the Parquet files; an unfinished census in it is resumed"),
    ] = "census",
    networks: Annotated[int, typer.Option(help="how many networks")] = 1_000_000,
    target: Annotated[str, typer.Option(help="gate or formula to train on")] = "XOR",
    hidden: Hidden = "2",
    seed: Annotated[int, typer.Option(help="seed of the first network")] = 0,
    act: Activation = "relu",
    optimizer: Optimizer = "adam",
    lr: LearningRate = 0.05,
    steps: Steps = 2000,
    inputs: Inputs = None,
    require: Require = "joint",
    min_margin: MinMargin = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help=(
                "torch, or numba, which is faster; default: the engine of the census in the "
                "folder, otherwise numba if it is installed"
            )
        ),
    ] = None,
    shard: Annotated[int, typer.Option(help="networks per file")] = 10_000,
    jobs: Annotated[int | None, typer.Option(help="processes; default: one per core")] = None,
    force: Force = False,
    any_version: Annotated[
        bool,
        typer.Option(
            "--any-version",
            help=(
                "continue a census of another version of xor-mi, torch or numba, whose numbers "
                "may differ in their last digits, and keep its files"
            ),
        ),
    ] = False,
) -> None:
    """Train and identify many networks.

    Written into --out: one Parquet file for every few thousand networks; printed: how common each
    family of circuits is. If it is stopped or killed, repeat the command to resume it; the files
    that are there are checked. With a larger --networks it is extended.
    """
    widths = _widths(hidden)
    if not out:
        raise XorMiError("--out is empty; give a folder, such as my-census")
    if jobs == 0:
        raise XorMiError(
            "--jobs is 0; give a number of processes, or leave it out for one per core"
        )
    from xor_mi.cli._findings import print_shares
    from xor_mi.population import (
        CENSUS_COLUMNS,
        family_shares,
        read_census,
        run_census,
        verdict_shares,
    )

    config = _train_config(act=act, optimizer=optimizer, lr=lr, steps=steps)
    try:
        folder = run_census(
            config=config,
            directory=out,
            n_networks=networks,
            target=target,
            hidden=widths,
            seed=seed,
            n_inputs=inputs,
            **_required(require, min_margin),
            # unchecked, like the names above
            engine=cast("EngineName | None", engine),
            shard_size=shard,
            n_jobs=jobs,
            overwrite=force,
            any_version=any_version,
        )
    except KeyboardInterrupt:
        raise _Stopped(
            f"stopped; the files in '{out}' are kept; repeat the command to resume"
        ) from None
    columns = [name for name in CENSUS_COLUMNS if name not in ("margins", "weights")]
    networks_found = read_census(folder, columns=columns)
    n_solved = int(networks_found["solved"].sum())
    n_networks = count_text(len(networks_found), "network")
    print_text(f"Written: {n_networks} in {folder}, {n_solved:,} solved {target}\n")
    if not n_solved:
        return
    print_heading("Families of the solved networks")
    print_shares(family_shares(networks_found), counted="family")
    print_heading("How many solved networks have exactly one circuit, by level of proof")
    print_shares(verdict_shares(networks_found), counted="counted")


@app.command()
def exam(
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            metavar="NAME",
            help="a task, or several with commas between; may be repeated; default: all",
        ),
    ] = None,
    networks: Annotated[int, typer.Option(help="number of networks of each task")] = 20,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            metavar="NAME",
            help="a method, or several with commas between; may be repeated; default: all",
        ),
    ] = None,
    ablation: Annotated[
        str, typer.Option(help="what a dropped edge carries: zero, its source's mean, or both")
    ] = "zero",
    noisy: Annotated[
        bool,
        typer.Option("--noisy", help=("require noisy copies of each row to be decided right too")),
    ] = False,
    seed: Annotated[int, typer.Option(help="seed of the first network of each task")] = 0,
    out: Annotated[
        str | None,
        typer.Option(
            help=(
                "folder for the page and all grades; an unfinished exam in it is resumed; "
                "default: the board is printed"
            )
        ),
    ] = None,
    force: Force = False,
    listed: Annotated[
        bool, typer.Option("--list", help="list the tasks and methods, and exit")
    ] = False,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="show no progress bar")
    ] = False,
) -> None:
    """Grade methods for finding circuits.

    Every circuit of every network is known, so each method is compared with all of them, and with
    chance. The board is printed, or with --out written as a page, index.html, beside grades.json
    and all grades. Ten networks are written at a time; if it is stopped or killed, repeat the
    command to resume it. With a larger --networks the exam is extended.
    """
    if ablation not in ("zero", "mean", "both"):
        raise XorMiError(f"--ablation is '{ablation}'; give zero, mean or both")
    if out == "":
        raise XorMiError("--out is empty; give a folder, such as my-exam")
    if networks < 1:
        raise XorMiError(f"--networks is {networks}; give 1 or more")
    seed = whole_number("--seed", seed, below=SEEDS_BELOW)
    from xor_mi.exam import METHODS, board_text, run_exam
    from xor_mi.exam import tasks as all_tasks

    if listed:
        print_heading("Tasks")
        print_text(str(all_tasks()), indent=INDENT)
        print_heading("\nMethods")
        longest = max(map(len, METHODS))
        for name, method in METHODS.items():
            line = f"{name:{longest}}  {method.gives} of {method.over}; {method.source}"
            print_text(line, indent=INDENT)
        return
    ablations = ["zero", "mean"] if ablation == "both" else [ablation]
    from xor_mi.exam_page import write_exam_page

    try:
        run = run_exam(
            out,
            tasks=_names_given("--tasks", tasks),
            methods=_names_given("--methods", methods),
            conventions=[f"{name} noisy" if noisy else name for name in ablations],
            n_networks=networks,
            seed=seed,
            overwrite=force,
            progress=not no_progress,
            say=print_text,
        )
        if out is not None:
            page = write_exam_page(run, out, overwrite=force)
            print_text(
                f"{run}\nWritten: {page} (open it in a browser), and beside it grades.json and lots"
            )
            return
    except KeyboardInterrupt:
        if out is None:
            raise
        raise _Stopped(
            f"stopped; the files in '{out}' are kept; repeat the command to resume"
        ) from None
    for part in run.parts:
        n_graded, n_left_out = len(part.grades.networks), len(part.grades.left_out)
        left_out = f", {n_left_out} left out" if n_left_out else ""
        print_heading(f"{part.heading}: {count_text(n_graded, 'network')}{left_out}\n")
        print_text(f"{board_text(part.grades, width=width())}\n")


@contextlib.contextmanager
def _no_empty_folder(out: str) -> Generator[None]:
    """If the block fails before a file is written, remove the folders that it made for --out."""
    folder = as_path("--out", out).absolute()
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        yield
    except BaseException:
        for path in missing:
            # a folder that holds anything is not removed
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _names_given(option: str, given: list[str] | None) -> list[str] | None:
    """The names in an option that may be repeated, or hold several names with commas between."""
    if not given:
        return None
    names = [name.strip() for text in given for name in text.split(",")]
    if not all(names):
        raise XorMiError(f"{option} has an empty name; give names from `xor-mi exam --list`")
    return names


def main() -> None:
    """The console script: an error is one line on standard error and exit status 2, Ctrl-C 130."""
    try:
        status = _run()
        # flushed here, because at the end of Python an error would print a traceback
        print(end="", flush=True)
    except OSError as error:
        _drop_output()
        if isinstance(error, BrokenPipeError):  # the reader of the pipe has closed it
            sys.exit(1)
        _say(f"cannot write the output: {error.strerror or error}")
        status = 2
    sys.exit(status)


def _run() -> int:
    """Run the command and return its exit status; errors are printed."""
    try:
        status = app(standalone_mode=False) or 0
    except KeyboardInterrupt:
        status = STOPPED
    except _Stopped as stopped:
        _say(str(stopped))
        return STOPPED
    except Exception as error:
        # A mistyped option is click's own error, which formats itself. The class is not imported,
        # since typer may bring its own copy of click.
        formatted = getattr(error, "format_message", None)
        if isinstance(error.__cause__, KeyboardInterrupt):
            status = STOPPED
        elif isinstance(error, XorMiError) or formatted is not None:
            _say(formatted() if formatted else str(error))
            return 2
        elif isinstance(error, OSError) and error.filename is not None:
            # an error without a file name is about the output, see `main`
            why = error.strerror or error
            _say(f"cannot use '{error.filename}': {why}; give one that you may read and write")
            return 2
        else:
            raise
    # after Ctrl-C some versions of typer leave only the status
    if status == STOPPED:
        _say("stopped")
    return status


def _say(message: str) -> None:
    # without standard error, `print` would write it to the output
    if sys.stderr is not None:
        print(f"xor-mi: {' '.join(message.split())}", file=sys.stderr)


def _drop_output() -> None:
    """Discard output that could not be written, so that Python does not try again at its end."""
    if sys.stdout is None:
        return
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _counts_in_words(row: dict[str, object]) -> str:
    """'584 perfect, 12 minimal (not counted: ...)': a row of `compare_conventions`."""
    counts = {name.removeprefix("n_"): row[name] for name in row if name.startswith("n_")}
    counted = ", ".join([_counted(n, what) for what, n in counts.items() if isinstance(n, int)])
    return f"{counted} ({row['why_not']})" if row["why_not"] else counted


def _counted(n: int, what: str) -> str:
    """'1 formula', '2 formulas', '2 perfect': a word of `compare_conventions` with its number."""
    return count_text(n, what[:-1]) if what.endswith("s") else f"{n:,} {what}"


def _train_config(*, act: str, optimizer: str, lr: float, steps: int) -> "TrainConfig":
    """The training settings; an unknown name is refused with the names that exist."""
    from xor_mi.training import TrainConfig

    return TrainConfig(
        lr=lr,
        max_steps=steps,
        # as typed
        optimizer=cast("OptimizerName", optimizer),
        act_fn=cast("ActivationName", act),
    )


def _required(require: str, min_margin: float | None) -> "_Required":
    """What a circuit must have to count, as arguments of `identify_circuit`."""
    from xor_mi.circuits import MIN_MARGIN

    # unchecked: identify_circuit refuses unknown levels of proof and lists those that exist
    return {
        "require": cast("ProofLevel", require),
        "min_margin": MIN_MARGIN if min_margin is None else min_margin,
    }


def _checked_requirement(require: str, min_margin: float | None) -> "_Required":
    """As `_required`, but an invalid requirement is refused before anything is made or counted."""
    from xor_mi.circuits import identify_circuit
    from xor_mi.handmade import textbook_xor

    required = _required(require, min_margin)
    identify_circuit(textbook_xor(), with_evidence=False, **required)
    return required


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(width) for width in text.split(","))
    except ValueError:
        widths = ()
    if not widths or not all(1 <= width <= MAX_WIDTH for width in widths):
        raise XorMiError(
            f"--hidden is {text!r}; give the width of the hidden layer, 1 to {MAX_WIDTH}, "
            "or widths such as 3,3"
        )
    return widths


def _levels(text: str) -> tuple[float, float]:
    try:
        low, high = (float(level) for level in text.split(","))
    except ValueError:
        raise XorMiError(
            f"--levels is {text!r}; give the numbers for bit 0 and bit 1, such as -1,1"
        ) from None
    return low, high
