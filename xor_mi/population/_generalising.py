"""Networks trained on some of the rows: when do the others come right, and by which circuit?

A network that fits the rows it is trained on may be wrong on the others. With weight decay,
held-out rows often come right much later (Power et al. 2022, arXiv 2201.02177, on modular
arithmetic; Merrill et al. 2023, arXiv 2303.11873, on sparse parity). Here all rows are known, so
both steps are found exactly, and the network at the second is identified as any other.
"""

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from xor_mi.circuits import identify_many
from xor_mi.errors import XorMiError, require_kind, require_seeds, shown, whole_number
from xor_mi.kinds import EngineName, Rows, Target, Widths
from xor_mi.model import HookedMLPConfig
from xor_mi.population._census import NOT_TRIED
from xor_mi.progress import progress_bar
from xor_mi.training import Population, TrainConfig, TrainSettings, train_population
from xor_mi.training._population import at_levels, outputs_of_flat, table_of
from xor_mi.truth import BooleanFunction, as_row, row_name, truth_rows

SLOWLY = TrainConfig(optimizer="adamw", lr=0.01, weight_decay=0.1, max_steps=4000, stop_loss=1e-6)
"""The default: weights decay, and training continues after all rows seen are right."""

SHARE_SEEN = 0.6
"""The share of all rows that is trained on by default."""

STATES_AT_ONCE = 400_000
"""The most network states (one network at one step) that are kept at once in the search."""

NUMBERS_AT_ONCE = 2_000_000
"""The most values on rows that are held at once."""


def generalising(
    target: Target,
    n_networks: int = 100,
    *,
    seen: float | Rows = SHARE_SEEN,
    hidden: Widths = 8,
    seed: int = 0,
    config: TrainConfig | None = None,
    n_inputs: int | None = None,
    identify: bool = True,
    engine: EngineName | None = None,
    progress: bool = True,
    **settings: Unpack[TrainSettings],
) -> pd.DataFrame:
    """Train n networks on some rows; when does each have these rows right, and when all rows?

    One line per network. Every step is looked at, so these first steps are exact. All networks see
    the same rows; their names are in the table's `attrs["seen"]`, and which engine trained them in
    `attrs["engine"]`.

    Columns:
    - seed.
    - first_fitted, first_solved: the first step at which all rows seen are decided right, and at
      which all rows are; missing where that never happens.
    - fitted, solved: whether these rows are right after the last step; right rows may be lost
      again.
    - held_out_fitted, held_out: the share of the rows held out that is right at `first_fitted`
      (NaN without it), and after the last step.
    - depends_fitted, depends: the inputs that some decision depends on, at `first_fitted` and after
      the last step, such as "x0 x2": flipping one of them changes a decision on some row. At
      `first_solved` they are the inputs that the target depends on.
    - own_weight_fitted, own_weight_solved, own_weight: the share of the first layer's absolute
      weights that belongs to inputs that the target depends on, at `first_fitted`, at
      `first_solved` and after the last step; 1 if the target depends on all inputs.
    - unmixed: whether at `first_solved` all decisions stay the same when every unit of the first
      layer gets, on each row, its mean over the rows that agree on the inputs the target depends
      on. Then nothing that the other inputs add to a unit matters to any decision. Missing without
      `first_solved`.
    - verdict, gates, family, why_not: of the network at `first_solved`, as in `census`; empty
      without it, and with `identify=False`.

    Args:
        target: gate name, formula or `BooleanFunction`.
        seen: the rows to train on, or a share of all rows; then `seed` draws as many.
        hidden, seed, n_inputs, engine: as in `train_population`.
        config: by default AdamW at 0.01 with weight decay of 0.1, for 4,000 steps. Training stops
            at a loss below `stop_loss`; with the default of `TrainConfig` that is soon after the
            network fits.
        identify: name the gates at `first_solved`, which takes milliseconds to seconds per network:
            four seconds with six inputs and six units.
        progress: show a bar if it takes over half a second.
        settings: any setting of a `TrainConfig`, in place of that of `config`.

    Raises:
        XorMiError: as `train_population`; no rows seen or none held out; direct connections.

    >>> found = generalising("x0 ^ x1", 4, n_inputs=3, seen=0.75, max_steps=200, identify=False)
    >>> found.attrs["seen"]
    ('000', '010', '011', '100', '101', '110')
    >>> found["first_fitted"].notna().tolist()
    [True, True, True, True]
    """
    n_networks = whole_number("n_networks", n_networks, at_least=1)
    seed = require_seeds(seed, n_networks)
    require_kind("identify", identify, bool, give="True or False")
    config = TrainConfig.of(SLOWLY if config is None else config, **settings)
    if config.direct:
        raise XorMiError(
            "direct=True connects inputs to outputs past the hidden units, and generalising looks "
            "only at the weights of hidden units; leave it out"
        )
    function = BooleanFunction.of(target, n_inputs)
    rows = _rows_seen(seen, function.n_inputs, seed)
    is_seen = torch.tensor([row in rows for row in function.rows()])
    lines: list[pd.DataFrame] = []
    when_solved: list[Population] = []
    blocks = _blocks(n_networks, config.max_steps)
    for block in progress_bar(blocks, doing="training", unit="block", progress=progress):
        population = train_population(
            function,
            len(block),
            hidden=hidden,
            seed=seed + block[0],
            config=config,
            rows=rows,
            engine=engine,
            checkpoints=range(config.max_steps + 1),
            progress=False,
        )
        engine = population.engine  # also if the last block has one network
        first = _first_steps(population, is_seen)
        lines.append(_lines(population, first, is_seen))
        when_solved.append(_at(population, first.solved))
    table = pd.concat(lines, ignore_index=True)
    _add_circuits(table, when_solved if identify else [], progress=progress)
    table.attrs["seen"] = tuple(map(row_name, rows))
    table.attrs["engine"] = engine
    return table


def _rows_seen(seen: object, n_inputs: int, seed: int) -> list[tuple[int, ...]]:
    """The rows to train on, in order.

    Raises:
        XorMiError: no row, all rows, or a value that is neither rows nor a share.
    """
    rows = truth_rows(n_inputs)
    if isinstance(seen, Real) and not isinstance(seen, bool):
        n_seen = round(float(seen) * len(rows)) if 0 < float(seen) < 1 else 0
        drawn = np.random.default_rng(seed).permutation(len(rows))[:n_seen]
        chosen = {rows[number] for number in drawn.tolist()}
    elif isinstance(seen, Iterable) and not isinstance(seen, str):
        chosen = {as_row(row, n_inputs) for row in seen}
    else:
        chosen = set[tuple[int, ...]]()
    if not 0 < len(chosen) < len(rows):
        raise XorMiError(
            f"seen is {shown(seen)}; give the rows to train on, such as ['00', '01'], or a share "
            f"of the {len(rows)} rows such as 0.6: some have to be seen and some held out"
        )
    return sorted(chosen)


def _blocks(n_networks: int, max_steps: int) -> list[range]:
    """The networks in blocks small enough to hold every step of each network."""
    # at least two: a single network would be trained by another engine than several
    size = max(2, STATES_AT_ONCE // (max_steps + 1))
    starts = range(0, n_networks, size)
    return [range(start, min(start + size, n_networks)) for start in starts]


class _First(NamedTuple):
    """The first steps at which the rows seen, and all rows, are right, [network]; -1 for never."""

    fitted: Int[Tensor, " network"]
    solved: Int[Tensor, " network"]


def _first_steps(population: Population, is_seen: Bool[Tensor, " row"]) -> _First:
    """The first steps of a population that was kept at every step."""
    flat = population.checkpoints.flat  # [step, network, parameter]
    n_steps, n_networks, _ = flat.shape
    cfg = population.cfg
    at_once = max(1, NUMBERS_AT_ONCE // (2**cfg.d_in * max(cfg.layer_sizes)))
    fitted: list[Tensor] = []
    solved: list[Tensor] = []
    for states in flat.flatten(0, 1).split(at_once):
        right = _right_rows(states, cfg)
        fitted.append(right[:, is_seen].all(1))
        solved.append(right.all(1))
    by_step = (n_steps, n_networks)
    return _First(
        fitted=_first_true(torch.cat(fitted).view(by_step)),
        solved=_first_true(torch.cat(solved).view(by_step)),
    )


def _first_true(holds: Bool[Tensor, "step network"]) -> Int[Tensor, " network"]:
    return torch.where(holds.any(0), holds.int().argmax(0), -1)


def _decided(
    flat: Float[Tensor, "network parameter"], cfg: HookedMLPConfig
) -> Int[Tensor, "network row decision"]:
    """What networks decide on all rows: bit for bit as `Population.solved` is judged."""
    inputs = at_levels(truth_rows(cfg.d_in), cfg).to(flat.dtype)
    outputs = outputs_of_flat(flat.T.contiguous(), inputs, cfg)
    return cfg.rule.decide(outputs.permute(2, 0, 1))


def _right_rows(
    flat: Float[Tensor, "network parameter"], cfg: HookedMLPConfig
) -> Bool[Tensor, "network row"]:
    assert cfg.target is not None  # a trained network has a target
    return (_decided(flat, cfg) == table_of(cfg.target)).all(2)


def _at(population: Population, steps: Int[Tensor, " network"]) -> Population:
    """The networks with a step other than -1, each with its weights at that step."""
    numbers = (steps >= 0).nonzero().flatten()
    return Population.from_flat(
        population.checkpoints.flat[steps[numbers], numbers],
        cfg=population.cfg,
        seeds=population.seeds[numbers],
        steps=steps[numbers],
        losses=population.checkpoints.losses[steps[numbers], numbers],
        solved=torch.ones(len(numbers), dtype=torch.bool),
    )


def _lines(population: Population, first: _First, is_seen: Bool[Tensor, " row"]) -> pd.DataFrame:
    """One line per network, without its circuit."""
    has_fitted, has_solved = (first.fitted >= 0).numpy(), (first.solved >= 0).numpy()
    when_fitted, when_solved = _at(population, first.fitted), _at(population, first.solved)
    right = _right_rows(population.flat, population.cfg)
    lines = pd.DataFrame(
        {
            "seed": population.seeds.numpy(),
            "first_fitted": _or_missing(first.fitted),
            "first_solved": _or_missing(first.solved),
            "fitted": right[:, is_seen].all(1).numpy(),
            "solved": right.all(1).numpy(),
            "held_out_fitted": np.nan,
            "held_out": right[:, ~is_seen].double().mean(1).numpy(),
            "depends_fitted": "",
            "depends": _depends(population),
            "own_weight_fitted": np.nan,
            "own_weight_solved": np.nan,
            "own_weight": _own_weight(population),
            "unmixed": pd.array([pd.NA] * len(population), dtype="boolean"),
        }
    )
    held_out = _right_rows(when_fitted.flat, population.cfg)[:, ~is_seen].double().mean(1)
    lines.loc[has_fitted, "held_out_fitted"] = held_out.numpy()
    lines.loc[has_fitted, "depends_fitted"] = _depends(when_fitted)
    lines.loc[has_fitted, "own_weight_fitted"] = _own_weight(when_fitted)
    lines.loc[has_solved, "own_weight_solved"] = _own_weight(when_solved)
    lines.loc[has_solved, "unmixed"] = _unmixed(when_solved)
    return lines


def _or_missing(steps: Int[Tensor, " network"]) -> pd.api.extensions.ExtensionArray:
    """Steps as a column of whole numbers, in which -1 is missing."""
    return pd.array([step if step >= 0 else None for step in steps.tolist()], dtype="Int64")


def _depends(population: Population) -> list[str]:
    """For each network the inputs whose flip changes a decision on some row, such as "x0 x2"."""
    n_inputs = population.cfg.d_in
    decided = _decided(population.flat, population.cfg)  # [network, row, decision]
    matters: list[Tensor] = []  # [network] each
    for number in range(n_inputs):
        # rows are in the order of their bits, so an input is an axis of its own
        by_input = decided.unflatten(1, (2**number, 2, 2 ** (n_inputs - number - 1)))
        matters.append((by_input[:, :, 0] != by_input[:, :, 1]).flatten(1).any(1))
    names = np.array([f"x{number}" for number in range(n_inputs)])
    return [" ".join(names[of_network]) for of_network in torch.stack(matters, dim=1).numpy()]


def _own_inputs(cfg: HookedMLPConfig) -> list[int]:
    """The inputs that the target depends on."""
    assert cfg.target is not None  # a trained network has a target
    return list(cfg.target.essential_inputs)


def _own_weight(population: Population) -> NDArray[np.float64]:
    """The share of the first layer's absolute weights on the target's inputs, [network]."""
    weight, _ = population.weights[0]
    by_input = weight.double().abs().sum(1)  # [network, input]
    own = by_input[:, _own_inputs(population.cfg)].sum(1)
    return (own / by_input.sum(1)).numpy()


def _unmixed(population: Population) -> NDArray[np.bool_]:
    """Whether decisions stay if first-layer units get their mean over other inputs, [network]."""
    cfg = population.cfg
    others = sorted(set(range(cfg.d_in)) - set(_own_inputs(cfg)))
    values = at_levels(truth_rows(cfg.d_in), cfg).double()
    for layer, (weight, bias) in enumerate(population.weights):
        pre = values @ weight.double().mT + bias.double()[:, None]  # [network, row, unit]
        values = cfg.activation(layer)(pre)
        if layer == 0 and others:
            by_input = values.unflatten(1, (2,) * cfg.d_in)
            mean = by_input.mean([1 + number for number in others], keepdim=True)
            values = mean.expand_as(by_input).flatten(1, cfg.d_in)
    decided = cfg.rule.decide(values)
    assert cfg.target is not None  # a trained network has a target
    return (decided == table_of(cfg.target)).flatten(1).all(1).numpy()


def _add_circuits(
    table: pd.DataFrame, when_solved: Sequence[Population], *, progress: bool
) -> None:
    """Add to the table what identification says about the networks at `first_solved`.

    Args:
        when_solved: the networks that have such a step, in the order of their seeds; an empty list
            leaves the columns empty.
    """
    columns = ["verdict", "gates", "family", "why_not"]
    for name in columns:
        table[name] = ""
    has_circuit = table["first_solved"].notna()
    if not when_solved or not has_circuit.any():
        return
    networks = Population.from_flat(
        torch.cat([population.flat for population in when_solved]),
        cfg=when_solved[0].cfg,
        seeds=torch.cat([population.seeds for population in when_solved]),
        steps=torch.cat([population.steps for population in when_solved]),
        losses=torch.cat([population.losses for population in when_solved]),
        solved=torch.cat([population.solved for population in when_solved]),
    )
    circuits = identify_many(
        networks.__getitem__, networks.weights, networks.cfg, progress=progress
    )
    said = [
        (circuit.verdict or NOT_TRIED, circuit.gate_set, circuit.family, circuit.why_not)
        for circuit in circuits
    ]
    table.loc[has_circuit, columns] = np.array(said, dtype=object)
