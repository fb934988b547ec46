"""a network that fails -> what it is stuck in, and the smallest move of one weight that frees it.

The hidden units of a network that fails show why: if no readout of them computes the target, one of
`STUCK_KINDS` gives the reason. Two kinds of nudge are looked for. A nudge that "computes" makes
every row right at once; its size is known in closed form, as in `slack_to_flip`. A nudge that
"frees" is a new start from which training ends solved; that is tried.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, whole_number
from xor_mi.finding import Finding, count_text, in_words, number_text
from xor_mi.handmade._edits import Entry, entries
from xor_mi.kinds import Rows, Target
from xor_mi.margins._slack import MovedWeight, WatchedRows
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.population._census import share_columns
from xor_mi.population._stuck_kinds import (
    PLATEAU_GRADIENT,
    STUCK_KINDS,
    Stage,
    StuckKind,
    StuckState,
    pair_names,
)
from xor_mi.progress import progress_bar
from xor_mi.training import Population, TrainConfig
from xor_mi.training._population import flat_parameters, rows_or_all
from xor_mi.training._train import train_each
from xor_mi.truth import row_name

NudgeKind = Literal["computes", "frees"]
"""What a moved weight achieves: the network computes its target at once, or after more training."""

PAST = 1e-5
"""How far a nudge goes past the place where something changes, as a share of it or of 1."""

BENDS_DOWN = 1e-4
"""At a saddle the smallest eigenvalue of the second derivatives is below minus this."""

MOST_TRIED = 100
"""The most nudges of one network that are tried by training, from the smallest on."""


@dataclass(frozen=True)
class Nudge:
    """A move of one weight.

    Attributes:
        value: the weight before the move.
        move: the least distance that it moves, with its sign. For a nudge that computes, every
            slightly larger move computes too, and no smaller one does.
        new_value: a value just past that move.
        kind: "computes" or "frees".
    """

    parameter: str
    value: float
    move: float
    new_value: float
    kind: NudgeKind

    def shown_line(self) -> dict[str, object]:
        """Column -> value."""
        return {
            "parameter": self.parameter,
            "value": self.value,
            "move": self.move,
            "new_value": self.new_value,
            "kind": self.kind,
        }

    def __str__(self) -> str:
        return f"{self.parameter} from {self.value:.4g} by {self.move:+.4g}"


@dataclass(frozen=True)
class Stuck(Finding):
    """What a network that does not compute its target is stuck in.

    Attributes:
        model: the network.
        target: the name of what it should compute.
        rows: the rows it is judged on, and trained on where a nudge is tried.
        kind: one of `STUCK_KINDS`.
        wrong_rows: the rows that are decided wrong or not at all.
        dead: names of the hidden units that are constant on every row.
        merged: pairs of rows that differ in the target but give all hidden units the same values.
        readout_computes: whether some readout of the unchanged hidden units would compute the
            target.
        loss, gradient_norm: of the mean loss on these rows, without penalties.
        smallest_curvature: the smallest eigenvalue of the loss's second derivatives. If the
            gradient is nearly zero and this is clearly below zero, the network is at a saddle.
        nudges: for each weight that can make every row right, its smallest move that does, in order
            of size.
        frees: the smallest move found after which training ends solved; None if none was found or
            nothing was tried.
        n_tried: how many nudges were tried by training: all up to `frees`, or all if none frees it.
        is_freed_by_training_on: whether more training from here, with no weight moved and a fresh
            optimiser, ends solved; None if it was not tried.
    """

    model: HookedMLP = field(repr=False)
    target: str
    rows: tuple[str, ...]
    kind: StuckKind
    wrong_rows: tuple[str, ...]
    dead: tuple[str, ...]
    merged: tuple[tuple[str, str], ...]
    readout_computes: bool
    loss: float
    gradient_norm: float
    smallest_curvature: float
    nudges: tuple[Nudge, ...] = field(repr=False)
    frees: Nudge | None
    n_tried: int
    is_freed_by_training_on: bool | None

    @property
    def computes(self) -> Nudge | None:
        """The smallest move of one weight after which every row is decided right, if any does."""
        return self.nudges[0] if self.nudges else None

    @property
    def is_saddle(self) -> bool:
        """Whether the loss has no slope here and curves downwards in some direction."""
        is_flat = self.gradient_norm <= PLATEAU_GRADIENT
        return is_flat and self.smallest_curvature < -BENDS_DOWN

    def head(self) -> dict[str, object]:
        """What was found besides the nudges."""
        return {
            "target": self.target,
            "rows": list(self.rows),
            "kind": self.kind,
            "wrong_rows": list(self.wrong_rows),
            "dead": list(self.dead),
            "merged": [list(pair) for pair in self.merged],
            "readout_computes": self.readout_computes,
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "smallest_curvature": self.smallest_curvature,
            "n_tried": self.n_tried,
            "is_freed_by_training_on": self.is_freed_by_training_on,
        }

    def frame(self) -> pd.DataFrame:
        """One line per nudge: those that compute, in order of size, and then the one that frees.

        Columns parameter, value, move, new_value, kind; see `Nudge`.
        """
        nudges = [*self.nudges] if self.frees is None else [*self.nudges, self.frees]
        columns = ["parameter", "value", "move", "new_value", "kind"]
        return pd.DataFrame([nudge.shown_line() for nudge in nudges], columns=columns)

    def __str__(self) -> str:
        return "; ".join([f"stuck short of {self.target}: {self._why()}", *self._ways_out()])

    def _why(self) -> str:
        """The kind, with the evidence for it in this network."""
        if self.kind == "dead_units":
            are = "is" if len(self.dead) == 1 else "are"
            return f"dead units ({', '.join(self.dead)} {are} constant)"
        if self.kind == "merged_rows":
            pairs = ", ".join(f"{one} with {other}" for one, other in self.merged)
            return f"merged rows ({pairs})"
        words = in_words(self.kind)
        if self.kind in ("plateau", "still_falling"):
            slope = number_text(self.gradient_norm, decimals=4)
            return f"{words} (gradient {slope}{', at a saddle' if self.is_saddle else ''})"
        return words

    def _ways_out(self) -> Iterator[str]:
        """Clauses on what frees the network."""
        if self.computes is None:
            yield "no single weight makes it compute"
        else:
            yield f"computes after {self.computes}"
        if self.is_freed_by_training_on:
            yield "more training frees it"
        elif self.frees is not None:
            yield f"freed by {self.frees}, number {self.n_tried} of the nudges tried"
        elif self.is_freed_by_training_on is not None:
            yield f"no nudge frees it ({count_text(self.n_tried, 'nudge')} tried)"


@torch.no_grad()
def stuck_in(
    model: HookedMLP,
    target: Target | None = None,
    *,
    rows: Rows | None = None,
    config: TrainConfig | None = None,
    retrain: bool = True,
    progress: bool = True,
) -> Stuck:
    """Find out from its weights what a network that does not compute its target is stuck in.

    If several kinds apply, the first in this list counts. "The hidden units" are those of the last
    hidden layer. Values of a unit that differ by at most a thousandth of its range (`MERGED`) count
    as equal: to tell them apart, a readout would need weights a thousand times as large as that
    range.

    - "dead_units": a hidden unit, of any layer, is constant on every row, and no readout (weights
      and bias of the last layer) of the unchanged hidden units decides every row right.
    - "one_sided": no readout does, and all hidden units order the rows in the same way or in the
      reverse way, like two units that both compute x0>x1: in effect there is only one unit.
    - "merged_rows": no readout does, and two rows that differ in the target have the same values of
      all hidden units. On both rows the loss stays at least that of an even guess.
    - "straight": no readout does, and every hidden unit is affine in the inputs on these rows (no
      ReLU bends between them), so the output is affine too.
    - "plateau": none of these, and the norm of the gradient is at most 0.001 (`PLATEAU_GRADIENT`).
    - "still_falling": none of these, and the norm is larger: the steps ran out.

    `stuck_in` refuses networks with weights that are not finite; `stuck_shares` counts them as
    "diverged".

    Candidates for the nudge that frees are moves of one weight just past a place where something
    discrete changes: a decision on a row, or the sign of the pre-activation of the weight's own
    unit on a row. Training is tried first from the unchanged network, then from the candidates in
    order of size, at most 100 of them (`MOST_TRIED`). The nudge that is returned was trained from,
    and training ended solved.

    Args:
        target: the function it should compute; by default the target in its config.
        rows: the rows it is judged on and was trained on; all by default.
        config: how it was trained. Conventions such as act_fn are taken from the network.
        retrain: look for the nudge that frees.
        progress: show a bar if it takes over half a second.

    Raises:
        XorMiError: a network that computes its target or has no target; weights that are not
            finite; batches of more rows than there are; or a network that `slack_to_flip` refuses.

    >>> from xor_mi import HookedMLP
    >>> both_say_x0_beyond_x1 = [([[1, -1], [2, -2]], [0, 0]), ([[1, 1]], [-0.5])]
    >>> model = HookedMLP.from_weights(both_say_x0_beyond_x1, target="XOR")
    >>> stuck = stuck_in(model, retrain=False)
    >>> stuck.kind, stuck.computes
    ('one_sided', None)
    """
    require_plain_mlp(model, "what a network is stuck in")
    function = model.target_of(target)
    config = TrainConfig.of(config)
    bits = rows_or_all(rows, model.cfg.d_in)
    cfg = replace(model.cfg, target=function)
    stage = Stage(cfg, bits)
    flat = flat_parameters(model.float64_layers())
    state = stage.state_of(flat[:, None])
    if not state.is_wrong[0]:
        raise XorMiError(
            f"this network computes {function.name} on these rows, so it is not stuck; "
            "identify_circuit(model) says how it computes it"
        )
    search = _Search.of(model, stage, progress=progress)
    freed = _freed([search], config=config, progress=progress)[0] if retrain else _NOT_TRIED
    return Stuck(
        model=model,
        target=function.name,
        rows=tuple(map(row_name, bits)),
        kind=state.kinds[0],
        wrong_rows=search.wrong_rows,
        dead=_dead_names(model, state),
        merged=_merged_names(stage, state),
        readout_computes=bool(state.readout_computes[0]),
        loss=float(state.losses[0]),
        gradient_norm=float(state.gradient_norms[0]),
        smallest_curvature=stage.smallest_curvature(flat),
        nudges=search.computing,
        frees=freed.nudge,
        n_tried=freed.n_tried,
        is_freed_by_training_on=freed.by_training_on,
    )


def _dead_names(model: HookedMLP, state: StuckState) -> tuple[str, ...]:
    """Names of the hidden units that are constant."""
    units = zip(model.units, state.dead[:, 0], strict=True)
    return tuple(unit.name for unit, dead in units if dead)


def _merged_names(stage: Stage, state: StuckState) -> tuple[tuple[str, str], ...]:
    merged = [pair for pair, one in zip(state.pairs, state.merged[:, 0], strict=True) if one]
    return pair_names(stage.rows, merged)


# nudges


@dataclass(frozen=True, eq=False)
class _Search:
    """The nudges of one network.

    Attributes:
        computing: for each weight that can, the smallest move that makes the network compute.
        tried: moves past which something discrete changes, the smallest first, as kind "frees".
        places: for each of `tried`, the place of its weight in the flat parameters.
    """

    model: HookedMLP
    stage: Stage
    wrong_rows: tuple[str, ...]
    computing: tuple[Nudge, ...]
    tried: tuple[Nudge, ...]
    places: Int[np.ndarray, " tried"]

    @classmethod
    def of(cls, model: HookedMLP, stage: Stage, *, progress: bool) -> "_Search":
        """Move all weights of the network, one by one."""
        watched = WatchedRows.of(model, stage.rows)
        is_wrong = (watched.decided != stage.wanted).any(1)
        computing, tried = [], []
        every = entries(model)
        for entry in progress_bar(every, doing="nudging", unit="weight", progress=progress):
            moved = MovedWeight.of(watched, entry)
            computing += _computing(moved, entry, stage)
            tried += _candidates(moved, entry, n_layers=model.cfg.n_layers)
        tried.sort(key=lambda nudge: abs(nudge.move))
        # entries are in the order of the flat parameters
        place_of = {entry.name: place for place, entry in enumerate(every)}
        del tried[MOST_TRIED:]
        return cls(
            model=model,
            stage=stage,
            wrong_rows=tuple(np.array(watched.names)[is_wrong].tolist()),
            computing=tuple(sorted(computing, key=lambda nudge: abs(nudge.move))),
            tried=tuple(tried),
            places=np.array([place_of[nudge.parameter] for nudge in tried], dtype=int),
        )

    def starts(self) -> Float[Tensor, "start parameter"]:
        """The unchanged network, and then the network after each nudge, as in `Population.flat`."""
        flat = flat_parameters(self.model.float64_layers())
        starts = flat.repeat(1 + len(self.tried), 1)
        for number, (nudge, place) in enumerate(zip(self.tried, self.places, strict=True)):
            starts[number + 1, place] = nudge.new_value
        return starts


def _computing(moved: MovedWeight, entry: Entry, stage: Stage) -> list[Nudge]:
    """The smallest move of one weight after which every row is decided right, in a list; or []."""
    ways = [_nearest_end(low, high) for low, high in moved.moves_to(stage.wanted)]
    if not ways:
        return []
    move, room = min(ways, key=lambda way: abs(way[0]))
    side = np.sign(room)
    step = min(PAST * max(1.0, abs(moved.value + move)), abs(room) / 2)
    new_value = moved.value + move + side * step
    return [Nudge(entry.name, moved.value, move, float(new_value), "computes")]


def _nearest_end(low: float, high: float) -> tuple[float, float]:
    """An interval of moves without 0 inside -> its nearer end, and the distance to the other."""
    return (low, high - low) if low >= 0 else (high, low - high)


def _candidates(moved: MovedWeight, entry: Entry, *, n_layers: int) -> Iterator[Nudge]:
    """Moves just past the places where a decision or the sign of a pre-activation changes."""
    places = moved.changes.t
    if entry.layer < n_layers:
        places = np.concatenate([places, moved.at_no_value])
    for move in np.unique(places[np.isfinite(places)]).tolist():
        step = PAST * max(1.0, abs(moved.value + move))
        # if the weight is at such a place already, either direction leads past it
        sides = (-1, 1) if move == 0 else (int(np.sign(move)),)
        for side in sides:
            new_value = moved.value + move + side * step
            yield Nudge(entry.name, moved.value, move, new_value, "frees")


# more training


@dataclass(frozen=True)
class _Freed:
    """What frees a network: more training alone, or which nudge, and how many were tried."""

    by_training_on: bool | None
    nudge: Nudge | None
    n_tried: int


_NOT_TRIED = _Freed(by_training_on=None, nudge=None, n_tried=0)


def _freed(searches: Sequence[_Search], *, config: TrainConfig, progress: bool) -> list[_Freed]:
    """Train each network again, from itself and from all its nudges, all at once."""
    if not searches:
        return []
    stage, shared = searches[0].stage, searches[0].model.cfg
    starts = [search.starts() for search in searches]
    lengths = [len(each) for each in starts]
    own_seeds = torch.tensor([search.model.cfg.seed for search in searches])
    # float16 is too coarse to train with
    dtype = torch.float64 if shared.dtype == torch.float64 else torch.float32
    trained = train_each(
        torch.cat(starts),
        cfg=replace(stage.cfg, dtype=dtype),
        rows=stage.rows,
        config=config,
        seeds=own_seeds.repeat_interleave(torch.tensor(lengths)),
        progress=progress,
    )
    is_right = torch.from_numpy(~stage.is_wrong(trained.flat.T))
    return [
        _first_freed(search, solved.tolist())
        for search, solved in zip(searches, is_right.split(lengths), strict=True)
    ]


def _first_freed(search: _Search, solved: list[bool]) -> _Freed:
    """Whether training from each of `starts` ended solved -> the first nudge after which it did."""
    by_training_on, *after_nudge = solved
    for number, is_solved in enumerate(after_nudge):
        if is_solved:
            return _Freed(by_training_on, search.tried[number], number + 1)
    return _Freed(by_training_on, None, len(after_nudge))


# many networks


def stuck_shares(
    population: Population, *, n_nudged: int = 100, seed: int = 0, progress: bool = True
) -> pd.DataFrame:
    """Count what the failing networks of a population are stuck in.

    A network fails if it does not compute its target on the rows it was trained on. All that fail
    are sorted into the kinds of `stuck_in`; nudges are looked for in some of each kind, drawn at
    random.

    Columns: kind (only those that occur, most frequent first); n_networks, share (of those that
    fail), ci_low, ci_high (95 % Clopper-Pearson); n_nudged, how many networks of this kind were
    searched for nudges. Of these: n_computes, how many a single weight can make compute, and
    median_computes, the median size of the smallest such move (in units of the weights);
    n_train_on, how many more training frees without a nudge; n_frees, how many more training or a
    nudge frees, and median_frees, the median size of the nudge over those that only a nudge frees.
    A median of no networks is NaN.

    Args:
        n_nudged: the most networks of each kind to search for nudges; 0 for none.
        seed: draws these networks.
        progress: show bars if it takes over half a second.

    Raises:
        XorMiError: a population that does not say how it was trained, if nudges are to be tried.

    >>> from xor_mi import train_population
    >>> population = train_population("XOR", 64)
    >>> shares = stuck_shares(population, n_nudged=0)
    >>> int(shares["n_networks"].sum()), int(population.solved.sum())
    (47, 17)
    """
    require_kind("population", population, Population, give="what train_population returns")
    n_nudged = whole_number("n_nudged", n_nudged)
    generator = np.random.default_rng(whole_number("seed", seed))
    if n_nudged and population.config is None:
        raise XorMiError(
            "this population does not say how it was trained, so no nudge can be tried; give what "
            "train_population returns, or n_nudged=0"
        )
    stage = Stage(population.cfg, rows_or_all(population.rows, population.cfg.d_in))
    failing = np.nonzero(stage.is_wrong(population.flat.T))[0]
    kinds = np.array(stage.state_of(population.flat[failing].T).kinds, dtype=object)
    lines = []
    for kind in STUCK_KINDS:
        of_kind = failing[kinds == kind]
        if not len(of_kind):
            continue
        line = {"kind": kind, "n_networks": len(of_kind)}
        line |= share_columns(len(of_kind), len(failing), name="share")
        n_drawn = 0 if kind == "diverged" else min(n_nudged, len(of_kind))
        drawn = np.sort(generator.choice(of_kind, n_drawn, replace=False))
        line |= _nudge_columns(population, stage, drawn.tolist(), progress=progress)
        lines.append(line)
    shares = pd.DataFrame(lines, columns=STUCK_COLUMNS)
    return shares.sort_values("n_networks", ascending=False, kind="stable", ignore_index=True)


STUCK_COLUMNS = [
    "kind",
    "n_networks",
    "share",
    "ci_low",
    "ci_high",
    "n_nudged",
    "n_computes",
    "median_computes",
    "n_train_on",
    "n_frees",
    "median_frees",
]
"""The columns of `stuck_shares`."""


def _nudge_columns(
    population: Population, stage: Stage, numbers: list[int], *, progress: bool
) -> dict[str, object]:
    """The columns on nudges, for these networks of a population."""
    bar = progress_bar(numbers, doing="nudging", unit="network", progress=progress)
    searches = [_Search.of(population[number], stage, progress=False) for number in bar]
    config = TrainConfig.of(population.config)
    freed = _freed(searches, config=config, progress=progress)
    computing = [abs(search.computing[0].move) for search in searches if search.computing]
    by_nudge = [
        abs(one.nudge.move) for one in freed if one.nudge is not None and not one.by_training_on
    ]
    n_train_on = sum(bool(one.by_training_on) for one in freed)
    return {
        "n_nudged": len(numbers),
        "n_computes": len(computing),
        "median_computes": _median(computing),
        "n_train_on": n_train_on,
        "n_frees": n_train_on + len(by_nudge),
        "median_frees": _median(by_nudge),
    }


def _median(numbers: list[float]) -> float:
    """The median; NaN for no numbers."""
    return float(np.median(numbers)) if numbers else nan
