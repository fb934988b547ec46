"""one network while it trains -> a sentence for each event, at the step at which it happens.

The lines of a step are the events that `trajectory(every_step=True)` finds there, as far as they
can be known before the end: only the end shows which reading is the last one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Unpack

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray

from xor_mi.circuits import MIN_MARGIN, ProofLevel, identify_many
from xor_mi.circuits._required import Required
from xor_mi.errors import XorMiError, cut_short, shown
from xor_mi.finding import number_text
from xor_mi.kinds import Rows, Target, Widths
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.population._events import IDLE, Event, Identity, Told, events_of, unit_names
from xor_mi.population._identified import WRONG
from xor_mi.population._paths import Facts, facts_of, networks_of
from xor_mi.training import Init, TrainConfig, TrainResult, TrainSettings, train
from xor_mi.training._population import flat_parameters
from xor_mi.truth import row_number

AT_ONCE = ("first_fitted", "first_solved", "solution_lost", "unit_dies", "unit_revives")
"""The events that can be told from their step and the step before."""
FIRST = ("first_fitted", "first_solved")
"""The events that happen only once."""
READING = "reading"
"""The name of a change of a unit's reading before it is known whether it is the last."""
FIRST_SILENCE = 100
"""So many silent steps bring a line on progress; later, a doubling of the number of steps."""


def watch(
    target: Target | None = None,
    seed: int = 0,
    *,
    hidden: Widths | None = None,
    rows: Rows | None = None,
    n_inputs: int | None = None,
    init: Init | None = None,
    require: ProofLevel = "joint",
    min_margin: float = MIN_MARGIN,
    config: TrainConfig | None = None,
    say: Callable[[str], object] = print,
    **settings: Unpack[TrainSettings],
) -> TrainResult:
    """Train one network, as `train` does, and report each event at the step at which it happens.

    There is a line when all rows are right or one is lost again, when a unit dies or comes back,
    and whenever the circuit reads a unit differently; the circuit is identified at every step at
    which all rows are right. If nothing happens for long, a line reports the loss and the right
    rows. Afterwards `trajectory` with the same arguments returns the events as a finding.

    Args:
        target, seed, hidden, rows, n_inputs, init: as in `train`.
        require, min_margin: what a circuit must have to count; see `identify_circuit`.
        say: the function that is called with each line.
        settings: any setting of a `TrainConfig`, in place of that of `config`.

    Raises:
        XorMiError: as in `train`; a level of proof or a margin that does not exist; a `say` that is
            not a function.

    >>> said = []
    >>> result = watch("XOR", seed=29, say=said.append)
    >>> said[1]
    'step 60: every row is decided right'
    """
    require, min_margin = Required.of(require, min_margin)
    if not callable(say):
        raise XorMiError(
            f"say is {shown(say)}; give a function that takes a line of text, such as print"
        )
    if isinstance(rows, Iterable):
        # kept, because they are read at every step and an iterator can be read only once
        rows = list(rows)
    watcher = _Watcher(say, rows=rows, require=require, min_margin=min_margin)
    result = train(
        target,
        seed=seed,
        hidden=hidden,
        rows=rows,
        n_inputs=n_inputs,
        init=init,
        config=config,
        checkpoints=watcher.see,
        progress=False,
        **settings,
    )
    watcher.finish(result)
    return result


class _Watcher:
    """Sees the network at every step, and reports how it differs from the step before."""

    def __init__(
        self,
        say: Callable[[str], object],
        *,
        rows: Rows | None,
        require: ProofLevel,
        min_margin: float,
    ) -> None:
        self._say = say
        self._rows = rows
        self._require: ProofLevel = require
        self._min_margin = min_margin
        self._before: tuple[Facts, Identity] | None = None
        self._happened: set[str] = set()
        self._last_said = 0
        self._failure: Exception | None = None

    def see(self, step: int, model: HookedMLP) -> None:
        """Look at the network after a step; steps must come in order."""
        try:
            self._see(step, model)
        # training continues without the watcher; `finish` raises the error
        except Exception as error:
            self._failure = self._failure or error

    def finish(self, result: TrainResult) -> None:
        """Report the end of training.

        Raises:
            Exception: the error that ended the watching.
        """
        if self._failure is not None:
            raise self._failure
        loss = number_text(result.final_loss, decimals=4)
        self._say(f"step {result.steps}: training is over (loss {loss})")

    def _see(self, step: int, model: HookedMLP) -> None:
        if self._failure is not None:
            return
        flat = flat_parameters(model.float64_layers()).to(model.cfg.dtype)[None]
        facts = facts_of(flat, model.cfg, min_margin=self._min_margin)
        identity = self._identity(flat, facts, model.cfg)
        events = list(self._events(step, facts, identity, model))
        if any(event.event == "solution_lost" for event in events):
            # when a row is wrong again, all readings are lost: no line for each
            events = [event for event in events if event.event != READING]
        lines = [sentence(event, model.cfg) for event in events]
        n_right, n_rows = int(facts.right.sum()), facts.right.size
        is_silent = not lines and step >= self._last_said + max(FIRST_SILENCE, self._last_said)
        if step == 0 or is_silent:
            with torch.no_grad():
                loss = model(model.rows(self._rows), return_type="loss").item()
            text = number_text(loss, decimals=4)
            lines.insert(0, f"loss {text}, {n_right} of {n_rows} rows right")
        for line in lines:
            self._say(f"step {step}: {line}")
            self._last_said = step
        self._before = facts, identity

    def _identity(self, flat: torch.Tensor, facts: Facts, cfg: HookedMLPConfig) -> Identity:
        """The network's circuit at this step, if all rows are right; otherwise no circuit."""
        n_units = sum(cfg.d_hidden)
        if not facts.right.all():
            return Identity.of(WRONG, n_units)
        network = networks_of(flat, cfg)
        (summary,) = identify_many(
            network.__getitem__,
            network.weights,
            cfg,
            require=self._require,
            min_margin=self._min_margin,
            progress=False,
        )
        return Identity.of(summary, n_units)

    def _events(
        self, step: int, facts: Facts, identity: Identity, model: HookedMLP
    ) -> Iterator[Event]:
        """The events since the step before; at step 0, what is true from the start."""
        names = unit_names(model.cfg)
        seen = [(facts, identity)] if self._before is None else [self._before, (facts, identity)]
        told = Told(
            right=np.concatenate([one.right for one, _ in seen]),
            trained=self._trained(model),
            units=np.concatenate([one.units for one, _ in seen]),
            ranks=np.concatenate([one.ranks for one, _ in seen]),
            codes=np.arange(len(seen)),
            identities=[known for _, known in seen],
            finished=False,
        )
        for event in events_of(told, names):
            if event.event not in AT_ONCE or event.step < len(seen) - 1:
                continue
            name = event.event
            # two steps do not show whether all rows were right before
            if name == "first_solved" and name in self._happened:
                name = "solved_again"
            if name not in self._happened:
                self._happened.update({name} & set(FIRST))
                yield event._replace(step=step, event=name)
        readings = [known.readings for _, known in seen]
        before = readings[0] if self._before is not None else ("",) * len(names)
        for name, was, now in zip(names, before, readings[-1], strict=True):
            if was != now:
                yield Event(step, READING, name, was, now)

    def _trained(self, model: HookedMLP) -> Bool[ndarray, " row"] | None:
        """Which rows are trained on; None for all."""
        trained = np.zeros(2**model.cfg.d_in, dtype=bool)
        trained[[row_number(row) for row in model.read_rows(self._rows)]] = True
        return None if trained.all() else trained


def sentence(event: Event, cfg: HookedMLPConfig) -> str:
    """An event in plain words.

    >>> from xor_mi.handmade import textbook_xor
    >>> sentence(Event(131, "reading", "h0.1", "XNOR", "NOR"), textbook_xor().cfg)
    'h0.1 now acts as NOR (it was XNOR)'
    """
    unit, after, before = event.unit, cut_short(event.after), cut_short(event.before)
    start = " from the start" if event.step == 0 else ""
    if event.event == "first_fitted":
        return "every row trained on is decided right"
    if event.event == "first_solved":
        return "every row is decided right"
    if event.event == "solved_again":
        return "every row is decided right again"
    if event.event == "solution_lost":
        return f"a row is decided wrong again ({after} right), so there is no circuit"
    if event.event == "unit_dies":
        is_zero = event.after == "dead" and set(cfg.act_fns) == {"relu"}
        what = "it is 0 on every row" if is_zero else "it has one value on every row"
        return f"{unit} is {after}{start}: {what}" if start else f"{unit} died: {what}"
    if event.event == "unit_revives":
        return f"{unit} varies again (it was {before})"
    if not event.after:
        return f"{unit} is no longer read as a gate: there is no circuit (it was {before})"
    now = "is idle: no output depends on it" if event.after == IDLE else f"acts as {after}"
    if not event.before:
        return f"{unit} {now}"
    return f"{unit} now {now} (it was {before})"
