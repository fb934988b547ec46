"""a trajectory -> a folder with a page: index.html, one file that works offline.

The folder also has events.csv and trajectory.csv, the tables of the page, and the trained network
(config.json, model.safetensors).
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from xor_mi import plots, saving
from xor_mi.errors import require_kind
from xor_mi.finding import in_words, number_text
from xor_mi.kinds import PathLike
from xor_mi.model import MODEL_FILES, saved_files
from xor_mi.plots._page import PageFigures, render_page
from xor_mi.population import EVENTS, Moment, Stuck, Trajectory
from xor_mi.population._stuck_kinds import STUCK_KINDS
from xor_mi.saving import TRAJECTORY_MARK, write_files
from xor_mi.training import TrainConfig

__all__ = [
    "TRAJECTORY_FILES",
    "render_trajectory_page",
    "require_writable",
    "write_trajectory_page",
]

TRAJECTORY_FILES = MODEL_FILES | {
    "index.html": TRAJECTORY_MARK,
    "trajectory.csv": TRAJECTORY_MARK,
    "events.csv": TRAJECTORY_MARK,
}
"""The files that `write_trajectory_page` writes: name -> its mark (see `saving.mark_of`)."""

NUMBERS = (
    "step",
    "loss",
    "rows right",
    "trained rows right",
    "held-out rows right",
    "slack",
    "margin",
)
"""Columns of the table of checkpoints that are aligned to the right."""


def require_writable(directory: PathLike, *, overwrite: bool = False) -> Path:
    """Make the folder and try to write in it, before the work that `write_trajectory_page` does.

    Raises:
        XorMiError: the folder cannot be made or written to, or holds files that xor-mi did not
            write.
    """
    return saving.require_writable(directory, TRAJECTORY_FILES, overwrite=overwrite)


def write_trajectory_page(
    trajectory: Trajectory, directory: PathLike, *, overwrite: bool = False
) -> Path:
    """Write a page on how a circuit formed into a folder; return the path of index.html.

    Args:
        trajectory: what `population.trajectory` returns.
        directory: the folder.
        overwrite: replace files that have names of the page but were not written by xor-mi, and
            write beside foreign files. Nothing else is touched.

    Raises:
        XorMiError: no trajectory, no folder to write to, or a folder that holds files that xor-mi
            did not write.
    """
    # everything is made before anything is written, so that an error leaves no half of a page
    page = render_trajectory_page(trajectory)
    model = trajectory.model
    folder = require_writable(directory, overwrite=overwrite)
    contents: dict[str, str | bytes] = {
        **saved_files(model.cfg, model.state_dict()),
        # the page first: it marks the tables as ours, even if writing ends between two files
        "index.html": page,
        "trajectory.csv": _csv(_checkpoints(trajectory)),
        "events.csv": _csv(trajectory.events()),
    }
    write_files({folder / name: content for name, content in contents.items()})
    return folder / "index.html"


def render_trajectory_page(trajectory: Trajectory) -> str:
    """The page as text: nothing is loaded from anywhere, every inserted text is escaped."""
    give = "what population.trajectory returns"
    require_kind("trajectory", trajectory, Trajectory, give=give)
    first, *others = str(trajectory).splitlines()
    stuck = trajectory.stuck
    shown = _until_the_end(trajectory)
    gates = plots.trajectory_figure(trajectory, kind="gates")
    moving = plots.trajectory_figure(trajectory, kind="moving")
    drawn = PageFigures()
    return render_page(
        "trajectory_page.html.jinja",
        drawn,
        mark=f"{TRAJECTORY_MARK}/1",
        target=trajectory.target.name,
        first=first,
        others=[line.strip() for line in others],
        # the box at the top of the page has the figure's title already
        gates=drawn.place("gates", gates, caption="Loss, rows right and gates, step by step"),
        moving=drawn.place("moving", moving, steps="The checkpoint"),
        is_planar=trajectory.model.cfg.d_in == 2,
        events=[one._asdict() | {"means": EVENTS[one.event]} for one in trajectory.happened],
        columns=_columns(trajectory),
        numbers=NUMBERS,
        checkpoints=[_cells(trajectory, moment) for moment in shown],
        n_later=sum(moment.step > trajectory.n_steps for moment in trajectory.moments),
        n_steps=trajectory.n_steps,
        circuit=trajectory.circuit,
        why_not=trajectory.why_not,
        stuck=stuck,
        stuck_means="" if stuck is None else STUCK_KINDS[stuck.kind],
        nudges=_nudges(stuck, drawn),
        trained=_how_trained(trajectory),
    )


def _nudges(stuck: Stuck | None, drawn: PageFigures) -> Markup:
    """The picture of the nudges that would free it; "" if none was found."""
    if stuck is None or not (stuck.nudges or stuck.frees):
        return Markup()
    return drawn.place("nudges", plots.figure(stuck))


def _until_the_end(trajectory: Trajectory) -> list[Moment]:
    """The checkpoints until training is over, and the network at the step at which it is.

    Later checkpoints repeat it, so the first of them stands for this step.
    """
    before = [moment for moment in trajectory.moments if moment.step < trajectory.n_steps]
    ended = trajectory.moments[len(before) : len(before) + 1]
    return [*before, *(moment._replace(step=trajectory.n_steps) for moment in ended)]


def _checkpoints(trajectory: Trajectory) -> pd.DataFrame:
    """`Trajectory.frame` with texts in place of cells with several values."""
    table = trajectory.frame()
    names = _unit_names(trajectory)
    table["gates"] = ["; ".join(gates) if any(gates) else "" for gates in table["gates"]]
    table["dead"] = [_named(names, dead) for dead in table["dead"]]
    return table


def _unit_names(trajectory: Trajectory) -> list[str]:
    """The hidden units, layer by layer."""
    return [unit.name for unit in trajectory.model.units]


def _named(names: Sequence[str], dead: Sequence[bool]) -> str:
    """'h0.1; h0.2': the units that are dead."""
    return "; ".join(name for name, is_dead in zip(names, dead, strict=True) if is_dead)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _columns(trajectory: Trajectory) -> list[str]:
    """The headings of the table of checkpoints."""
    n_rows = len(trajectory.target.rows())
    rows = ["rows right"]
    if _n_trained(trajectory) < n_rows:
        rows = ["trained rows right", "held-out rows right"]
    return ["step", "loss", *rows, "slack", "verdict", *_unit_names(trajectory), "margin"]


def _n_trained(trajectory: Trajectory) -> int:
    """How many rows were trained on; a row that was given twice counts once."""
    return len(set(trajectory.trained_rows))


def _cells(trajectory: Trajectory, moment: Moment) -> list[str]:
    """A line of the table of checkpoints."""
    n_rows, n_trained = len(trajectory.target.rows()), _n_trained(trajectory)
    rows = [f"{moment.n_rows_right} of {n_rows}"]
    if n_trained < n_rows:
        rows = [
            f"{moment.n_trained_right} of {n_trained}",
            f"{moment.n_held_out_right} of {n_rows - n_trained}",
        ]
    units = ["dead" if dead else gate for gate, dead in zip(moment.gates, moment.dead, strict=True)]
    margin = "" if moment.margin is None else number_text(moment.margin)
    loss, slack = number_text(moment.loss, decimals=4), number_text(moment.slack, signed=True)
    verdict = in_words(moment.verdict)
    return [str(moment.step), loss, *rows, slack, verdict, *units, margin]


def _how_trained(trajectory: Trajectory) -> dict[str, str]:
    """The settings of training: name -> value, including those that differ from the defaults."""
    model = trajectory.model
    usual, config = TrainConfig(), trajectory.config
    said = {
        "network": "-".join(map(str, model.layer_sizes)),
        "seed": str(trajectory.seed),
        "rows": ", ".join(trajectory.trained_rows),
        "steps": f"{trajectory.n_steps} of at most {config.max_steps}",
        "optimizer": f"{config.optimizer}, learning rate {config.lr:g}",
        "loss": f"{config.loss_fn}, over when below {config.stop_loss:g}",
        "hidden units": ", ".join(model.cfg.act_fns),
    }
    shown = ("lr", "max_steps", "optimizer", "loss_fn", "stop_loss", "act_fn")
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in shown and value != getattr(usual, field.name):
            said[in_words(field.name)] = str(value)
    return said
