"""weights of many networks of one shape -> Population.

It gives each network as a HookedMLP, all outputs, and the weights that they started from.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import SupportsIndex

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xor_mi.errors import XorMiError, names_listed, shown, whole_number
from xor_mi.finding import Finding
from xor_mi.kinds import EngineName, Rows
from xor_mi.model import HookedMLP, HookedMLPConfig
from xor_mi.progress import progress_bar
from xor_mi.training._arithmetic import Forward, layer_shapes
from xor_mi.training._checkpoints import Checkpoints, no_checkpoints
from xor_mi.training._config import TrainConfig
from xor_mi.training._fit import NETWORKS_PER_BLOCK
from xor_mi.truth import BooleanFunction, as_row, truth_rows

SeedLayers = tuple[tuple[Tensor, Tensor], ...]
"""Per layer W [seed, d_out, d_in] and b [seed, d_out]."""


@dataclass(frozen=True, eq=False)
class Population(Finding):
    """Networks of one shape along a leading seed axis.

    `population[i]` is the network number i, counted from 0, and `population.of_seed(seed)` the
    network of a seed; each is a `HookedMLP`.

    Attributes:
        cfg: the configuration they share (each has its own seed).
        seeds, steps, losses, solved: one entry per network; loss is the mean over its rows at the
            step at which it was kept.
        weights: per layer W [seed, d_out, d_in] and b [seed, d_out]; direct weights are the
            readout's last columns.
        loss_history: the loss at every step, for a population of one only.
        init: the weights that all of them started from, as `weights` with one network; None if each
            started from its seed.
        engine: what trained them: "torch" or "numba"; None if that is not known.
        config, rows: how they were trained, and on which rows of bits, so that `replay` can train
            them again; None if that is not known.
        checkpoints: step -> the same networks after that many steps, if checkpoints were asked for.
    """

    cfg: HookedMLPConfig
    seeds: Int[Tensor, " seed"]
    steps: Int[Tensor, " seed"]
    losses: Float[Tensor, " seed"]
    solved: Bool[Tensor, " seed"]
    weights: SeedLayers
    loss_history: tuple[tuple[float, ...], ...] = field(repr=False, default=())
    init: SeedLayers | None = field(repr=False, default=None)
    engine: EngineName | None = None
    config: TrainConfig | None = field(repr=False, default=None)
    rows: tuple[tuple[int, ...], ...] | None = field(repr=False, default=None)
    checkpoints: "Checkpoints[Population]" = field(repr=False, default_factory=no_checkpoints)

    @classmethod
    def from_flat(
        cls,
        flat: Float[Tensor, "seed parameter"],
        *,
        cfg: HookedMLPConfig,
        seeds: Int[Tensor, " seed"],
        steps: Int[Tensor, " seed"],
        losses: Float[Tensor, " seed"],
        solved: Bool[Tensor, " seed"],
        loss_history: tuple[tuple[float, ...], ...] = (),
        init: Float[Tensor, "1 parameter"] | None = None,
        engine: EngineName | None = None,
        config: TrainConfig | None = None,
        rows: tuple[tuple[int, ...], ...] | None = None,
    ) -> "Population":
        """Flat parameters, as `flat` gives them -> the population.

        Args:
            init: the weights that all of them started from, if not from their seeds.
            engine, config, rows: which engine trained them, how, and on which rows.

        Raises:
            XorMiError: a number of parameters that is not that of `cfg`.
        """
        n_expected = sum(_tensor_sizes(cfg.layer_sizes, direct=cfg.direct))
        if flat.shape[1] != n_expected:
            raise XorMiError(
                f"these networks have {flat.shape[1]} weights; {_shape(cfg)} has {n_expected}"
            )
        return cls(
            cfg=cfg,
            seeds=seeds,
            steps=steps,
            losses=losses,
            solved=solved,
            weights=layers_of_flat(flat, cfg.layer_sizes, direct=cfg.direct),
            loss_history=loss_history,
            init=None if init is None else layers_of_flat(init, cfg.layer_sizes, direct=cfg.direct),
            engine=engine,
            config=config,
            rows=rows,
        )

    @property
    def flat(self) -> Float[Tensor, "seed parameter"]:
        """All parameters of each network: W row by row, then b, layer by layer."""
        flattened = []
        for weight, bias in self.weights:
            flattened += [weight.flatten(1), bias]
        return torch.cat(flattened, dim=1)

    @property
    def start(self) -> SeedLayers:
        """The weights each network started from, layer by layer as `weights`."""
        if self.init is None:
            return starting_weights(self.cfg.layer_sizes, self.seeds, direct=self.cfg.direct)
        return tuple(
            (weight.expand(len(self), -1, -1), bias.expand(len(self), -1))
            for weight, bias in self.init
        )

    def outputs(self, rows: Rows | None = None) -> Float[Tensor, "seed row d_out"]:
        """Every network's outputs on these rows, by default on all, [seed, row, d_out].

        They are bit for bit those of training by the engine "torch".

        Raises:
            XorMiError: no rows, or rows that are not bit strings.

        >>> from xor_mi.training import train_population
        >>> population = train_population("XOR", 3)
        >>> population.outputs().shape, population.outputs(["01"]).shape
        (torch.Size([3, 4, 1]), torch.Size([3, 1, 1]))
        """
        flat = self.flat.T.contiguous()
        inputs = at_levels(rows_or_all(rows, self.cfg.d_in), self.cfg).to(flat.dtype)
        outputs = outputs_of_flat(flat, inputs, self.cfg)
        # [row, d_out, seed] in training; for a caller the seed axis comes first
        return outputs.permute(2, 0, 1).contiguous()

    def frame(self) -> pd.DataFrame:
        """One line per network: seed, steps, loss, solved."""
        return pd.DataFrame(
            {
                "seed": self.seeds.numpy(),
                "steps": self.steps.numpy(),
                "loss": self.losses.numpy(),
                "solved": self.solved.numpy(),
            }
        )

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: SupportsIndex) -> HookedMLP:
        try:
            # the rules of a range: -1 is the last, and past the end comes the IndexError that ends
            # a for loop
            number = range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(self._no_network(operator.index(index))) from None
        except TypeError:
            raise XorMiError(
                f"a population gives its networks one by one, not {shown(index)}; "
                "write [population[i] for i in range(3)]"
            ) from None
        layers = [(weight[number], bias[number]) for weight, bias in self.weights]
        conventions = self.cfg.conventions()
        conventions["seed"] = int(self.seeds[number])
        if not self.cfg.direct:
            return HookedMLP.from_weights(layers, **conventions)
        *hidden, (readout, bias) = layers
        n_last = self.cfg.d_hidden[-1]
        own = [*hidden, (readout[:, :n_last], bias)]
        return HookedMLP.from_weights(own, direct=readout[:, n_last:], **conventions)

    def of_seed(self, seed: SupportsIndex | Tensor) -> HookedMLP:
        """The network that was trained from this seed, as a `HookedMLP`.

        >>> from xor_mi.training import train_population
        >>> population = train_population("XOR", 3, seed=20)
        >>> population.of_seed(21).cfg.seed, population[1].cfg.seed
        (21, 21)

        Raises:
            XorMiError: a seed that is not among `seeds`, or that several networks have.
        """
        given: object = seed
        if isinstance(seed, Tensor) and seed.numel() == 1:
            given = seed.item()  # one of `seeds` itself is a tensor
        asked = whole_number("seed", given)
        numbers = [number for number, known in enumerate(self.seeds.tolist()) if known == asked]
        if not numbers:
            raise XorMiError(
                f"no network of seed {asked}; this population has {self._numbers_and_seeds()}"
            )
        if len(numbers) > 1:
            raise XorMiError(
                f"{len(numbers)} networks have seed {asked}; take one of them by its number: "
                + " or ".join(f"population[{number}]" for number in numbers[:2])
            )
        return self[numbers[0]]

    def _no_network(self, index: int) -> str:
        """What to say of a number that no network has: it may be meant as a seed."""
        said = f"no network {index}; this population has {self._numbers_and_seeds()}"
        if index in self.seeds.tolist():
            said += f"; seed {index} is population.of_seed({index})"
        return said

    def _numbers_and_seeds(self) -> str:
        """40 networks, 0 to 39 (seeds 20 to 59)."""
        n_networks, seeds = len(self), self.seeds.tolist()
        if not seeds:
            return "no networks"
        is_run = seeds == list(range(seeds[0], seeds[0] + n_networks))
        listed = names_listed([str(seed) for seed in seeds])
        if n_networks == 1:
            return f"1 network, number 0 (seed {listed})"
        called = f"{seeds[0]} to {seeds[-1]}" if is_run else listed
        return f"{n_networks} networks, 0 to {n_networks - 1} (seeds {called})"

    def __str__(self) -> str:
        task = "their target" if self.cfg.target is None else self.cfg.target.name
        by = "" if self.engine is None else f", trained by {self.engine}"
        n_solved = int(self.solved.sum())
        return f"{len(self)} networks {_shape(self.cfg)}, {n_solved} solved {task}{by}"


def rows_or_all(rows: Rows | None, n_inputs: int) -> list[tuple[int, ...]]:
    """The bits of these rows, by default of all rows.

    Raises:
        XorMiError: no rows, or rows that are not bit strings.
    """
    if rows is None:
        return list(truth_rows(n_inputs))
    if not isinstance(rows, Iterable):
        raise XorMiError(f"rows is {rows!r}; name the input rows, such as ['00', '01']")
    bits = [as_row(row, n_inputs) for row in rows]
    if not bits:
        raise XorMiError("rows is empty; name the input rows, or leave it out for all")
    return bits


def at_levels(bits: Sequence[Sequence[int]], cfg: HookedMLPConfig) -> Float[Tensor, "row d_in"]:
    """Rows of bits -> what the network is given for them, in the dtype of its weights."""
    low, high = torch.tensor(cfg.input_levels, dtype=cfg.dtype)
    return torch.where(torch.tensor(bits) == 1, high, low)


def starting_weights(
    layer_sizes: Sequence[int], seeds: Int[Tensor, " seed"], *, direct: bool = False
) -> SeedLayers:
    """The weights that networks of these seeds start from: `initial_weights` of every seed.

    Per layer W [seed, d_out, d_in] and b [seed, d_out].

    Args:
        direct: whether the inputs are connected to the outputs too; these weights are the readout's
            last columns.
    """
    flat = initial_parameters(layer_sizes, seeds, direct=direct, progress=False)
    return layers_of_flat(flat.T, layer_sizes, direct=direct)


def initial_parameters(
    layer_sizes: Sequence[int],
    seeds: Int[Tensor, " seed"],
    *,
    direct: bool = False,
    progress: bool = True,
) -> Float[Tensor, "parameter seed"]:
    """`initial_weights` of every seed, flat: W, then b, layer by layer.

    Each seed draws from its own generator, so that a network does not depend on its neighbours.
    """
    bounds = []
    for d_out, d_in in layer_shapes(layer_sizes):
        n_numbers = d_out * (d_in + 1)  # W and b together: both have the same bound
        bounds.append(torch.full((n_numbers,), d_in**-0.5, dtype=torch.float32))
    if direct:  # drawn last, as a separate layer
        d_in, d_out = layer_sizes[0], layer_sizes[-1]
        bounds.append(torch.full((d_out * d_in,), d_in**-0.5, dtype=torch.float32))
    bound = torch.cat(bounds)  # [parameter]
    drawn = torch.empty(len(seeds), len(bound), dtype=torch.float32)
    generator = torch.Generator()
    one_by_one = progress_bar(seeds.tolist(), doing="drawing", unit="network", progress=progress)
    for number, seed in enumerate(one_by_one):
        # One draw of all numbers gives the same stream as one draw per layer, and is faster.
        torch.rand(len(bound), generator=generator.manual_seed(seed), out=drawn[number])
    parameters = (drawn * 2 - 1) * bound
    if direct:
        parameters = parameters[:, _direct_beside_readout(layer_sizes)]
    return parameters.T.contiguous()


def _direct_beside_readout(layer_sizes: Sequence[int]) -> Int[Tensor, " parameter"]:
    """The position of each flat parameter among the drawn numbers, with the direct weights last."""
    (d_out, d_last), d_in = layer_shapes(layer_sizes)[-1], layer_sizes[0]
    n_drawn = sum(_tensor_sizes(layer_sizes)) + d_out * d_in
    drawn = torch.arange(n_drawn)
    sizes = [d_out * d_last, d_out, d_out * d_in]
    before, readout, bias, past_hidden = drawn.split([n_drawn - sum(sizes), *sizes])
    rows = torch.cat([readout.view(d_out, d_last), past_hidden.view(d_out, d_in)], dim=1)
    return torch.cat([before, rows.flatten(), bias])


def solved_by(flat: Float[Tensor, "parameter seed"], cfg: HookedMLPConfig) -> Bool[Tensor, " seed"]:
    """Which networks decide every row as their target does; an undecided row does not count."""
    assert cfg.target is not None  # a trained network has a target
    rows = at_levels(cfg.target.rows(), cfg)
    outputs = outputs_of_flat(flat, rows, cfg).movedim(1, -1)  # [row, seed, d_out]
    is_right = cfg.rule.decide(outputs) == table_of(cfg.target)[:, None]
    return is_right.all(2).all(0)


def table_of(function: BooleanFunction) -> Int[Tensor, "row decision"]:
    """The function's outputs on every row."""
    return torch.tensor(function.tables).T


def outputs_of_flat(
    flat: Float[Tensor, "parameter seed"], rows: Float[Tensor, "row d_in"], cfg: HookedMLPConfig
) -> Float[Tensor, "row d_out seed"]:
    """Outputs of all networks on these rows, in blocks that fit into cache."""
    forward = Forward(rows, cfg)
    outputs = []
    for block in flat.split(NETWORKS_PER_BLOCK, dim=1):
        outputs.append(forward.values(forward.views(block))[-1].post)
    return torch.cat(outputs, dim=2)


def flat_parameters(layers: Sequence[tuple[Tensor, Tensor]]) -> Float[Tensor, " parameter"]:
    """One network's W and b, layer by layer -> its flat parameters."""
    return torch.cat([part.flatten() for layer in layers for part in layer])


def _tensor_sizes(layer_sizes: Sequence[int], *, direct: bool = False) -> list[int]:
    """How many numbers W and b of each layer have, in the order of the flat parameters."""
    sizes = []
    for d_out, d_in in layer_shapes(layer_sizes, direct=direct):
        sizes += [d_out * d_in, d_out]
    return sizes


def layers_of_flat(
    flat: Float[Tensor, "seed parameter"], layer_sizes: Sequence[int], *, direct: bool = False
) -> SeedLayers:
    tensors = iter(flat.split(_tensor_sizes(layer_sizes, direct=direct), dim=1))
    layers = []
    for d_out, d_in in layer_shapes(layer_sizes, direct=direct):
        weight, bias = next(tensors), next(tensors)
        layers.append((weight.reshape(-1, d_out, d_in).contiguous(), bias.contiguous()))
    return tuple(layers)


def _shape(cfg: HookedMLPConfig) -> str:
    """2-2-1."""
    return "-".join(map(str, cfg.layer_sizes))
