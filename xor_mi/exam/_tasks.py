"""The networks of the exam: a name -> Task -> any number of networks, always the same ones.

A task is trained or planted. For a trained task, networks are trained from seeds 0, 1, 2, ... and
those that solve it are taken, in that order; PyTorch trains them even if numba is installed,
because numba's last bits differ. For a planted task every seed gives a network written by hand
(`_planted`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

import pandas as pd

from xor_mi.errors import XorMiError, require_seeds, unknown, whole_number
from xor_mi.exam._planted import RECIPES, Planted, PlantedActivation, planted
from xor_mi.finding import Finding, count_text
from xor_mi.graph import edges_of
from xor_mi.model import HookedMLP
from xor_mi.progress import progress_bar
from xor_mi.training import TrainConfig, train_population
from xor_mi.truth import BooleanFunction

TaskKind = Literal["trained", "planted"]
"""Where the networks of a task come from: training, or weights written by hand."""

FIRST_SHARE = 0.2
"""The share of networks that solve a task, assumed before any was trained."""
LEAST_BATCH = 64
"""The fewest networks that are trained at once."""
MOST_WITHOUT_ONE = 1_024
"""If so many networks are trained and none solves its task, no more are trained."""


@dataclass(frozen=True, kw_only=True)
class Task(Finding):
    """A kind of network that methods are graded on.

    Attributes:
        name: the name of the task.
        says: a sentence on its networks.
        layer_sizes: (d_in, *d_hidden, d_out) of its networks.
        target: the function that they compute.
        activation: the activation of their hidden units.
        kind: "trained" or "planted".
        recipe: the name of what is written into planted networks; "" for trained ones.

    Raises:
        XorMiError: layer sizes that do not fit the target's inputs and outputs, or an unknown
            recipe.
    """

    name: str
    says: str
    layer_sizes: tuple[int, ...]
    target: BooleanFunction
    activation: PlantedActivation
    recipe: str = ""

    def __post_init__(self) -> None:
        ends = (self.target.n_inputs, self.target.n_outputs)
        if (self.layer_sizes[0], self.layer_sizes[-1]) != ends:
            raise XorMiError(
                f"the task '{self.name}' has layer_sizes {self.layer_sizes}, and its target has "
                f"{count_text(ends[0], 'input')} and {count_text(ends[1], 'output')}; give "
                f"layer_sizes that begin with {ends[0]} and end with {ends[1]}"
            )
        if self.recipe and self.recipe not in RECIPES:
            raise unknown("recipe", self.recipe, RECIPES, where="recipes are")

    @property
    def kind(self) -> TaskKind:
        return "planted" if self.recipe else "trained"

    @property
    def n_edges(self) -> int:
        """How many edges each network has."""
        return len(tuple(edges_of(self.layer_sizes)))

    @property
    def n_units(self) -> int:
        """How many hidden units each network has."""
        return sum(self.layer_sizes[1:-1])

    def networks(
        self, n_networks: int = 100, *, seed: int = 0, progress: bool = True
    ) -> "TaskNetworks":
        """The first networks from a seed on that solve the task.

        Two calls give the same networks, bit for bit, even in another process, and more networks
        begin with the same ones as fewer. On a machine with other instructions PyTorch may round
        differently.

        Args:
            n_networks: the number of networks.
            seed: the first seed that is tried; trained networks that do not solve the task are
                skipped, so the seeds have gaps.
            progress: show a bar when it takes over half a second.

        >>> networks = task("XOR 2-2-1 relu").networks(2)
        >>> list(networks)
        ['XOR 2-2-1 relu, seed 2', 'XOR 2-2-1 relu, seed 5']

        Raises:
            XorMiError: n_networks that is not a whole number, seeds that are too large, or a custom
                task that none of 1,024 networks learns.
        """
        n_networks = whole_number("n_networks", n_networks, at_least=1)
        first = require_seeds(seed, n_networks)
        if self.recipe:
            return self._plant(range(first, first + n_networks), progress=progress)
        return self._train(n_networks, first=first, progress=progress)

    def _plant(self, seeds: range, *, progress: bool) -> "TaskNetworks":
        bar = progress_bar(seeds, doing="writing networks", unit="network", progress=progress)
        written = {
            self._name_of(seed): planted(RECIPES[self.recipe], self.activation, seed=seed)
            for seed in bar
        }
        models = {name: one.model for name, one in written.items()}
        return TaskNetworks(task=self, models=models, planted=written, n_tried=len(seeds))

    def _train(self, n_networks: int, *, first: int, progress: bool) -> "TaskNetworks":
        solved: dict[str, HookedMLP] = {}
        n_tried = 0
        while len(solved) < n_networks:
            # a few networks take as long as one
            share = len(solved) / n_tried if solved else FIRST_SHARE
            n_more = max(LEAST_BATCH, ceil((n_networks - len(solved)) / share))
            population = train_population(
                self.target,
                n_more,
                hidden=self.layer_sizes[1:-1],
                seed=require_seeds(first + n_tried, n_more),
                config=TrainConfig(act_fn=self.activation),
                engine="torch",
                progress=progress,
            )
            for number in population.solved.nonzero().flatten().tolist():
                if len(solved) < n_networks:
                    model = population[number]
                    solved[self._name_of(model.cfg.seed)] = model
            n_tried += n_more
            if not solved and n_tried >= MOST_WITHOUT_ONE:
                sizes = "-".join(map(str, self.layer_sizes))
                raise XorMiError(
                    f"none of {n_tried:,} networks {sizes} trained from seed {first} on solves "
                    f"the task '{self.name}'; take more hidden units, or another activation"
                )
        last = list(solved.values())[-1].cfg.seed
        return TaskNetworks(task=self, models=solved, planted={}, n_tried=last - first + 1)

    def _name_of(self, seed: int) -> str:
        return f"{self.name}, seed {seed}"

    def frame(self) -> pd.DataFrame:
        """One line: task, kind, target, layer_sizes, activation, n_edges, n_units, says."""
        return pd.DataFrame([self.shown_line()])

    def shown_line(self) -> dict[str, object]:
        """Column -> value, for the table of tasks."""
        return {
            "task": self.name,
            "kind": self.kind,
            "target": self.target.name,
            "layer_sizes": "-".join(map(str, self.layer_sizes)),
            "activation": self.activation,
            "n_edges": self.n_edges,
            "n_units": self.n_units,
            "says": self.says,
        }

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.n_edges} edges): {self.says}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskNetworks(Finding, Mapping[str, HookedMLP]):
    """Networks of one task: name -> network, in the order of their seeds.

    Attributes:
        task: the task.
        models: name -> network.
        planted: name -> what was written into it; empty for trained networks.
        n_tried: how many seeds were tried until as many networks solved the task.
    """

    task: Task
    models: Mapping[str, HookedMLP] = field(repr=False)
    planted: Mapping[str, Planted] = field(repr=False)
    n_tried: int

    def __getitem__(self, name: str) -> HookedMLP:
        if name not in self.models:
            raise unknown("network", name, self.models, where="there are")
        return self.models[name]

    def __contains__(self, name: object) -> bool:
        return name in self.models

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def head(self) -> dict[str, object]:
        """The task, and how many networks were tried."""
        return {"task": self.task.name, "n_tried": self.n_tried}

    def frame(self) -> pd.DataFrame:
        """One line per network: network, seed, planted_edges (None for trained ones)."""
        n_planted = [
            len(self.planted[name].circuit) if name in self.planted else None for name in self
        ]
        return pd.DataFrame(
            {
                "network": list(self),
                "seed": [model.cfg.seed for model in self.values()],
                "planted_edges": pd.Series(n_planted, dtype="Int64"),
            }
        )

    def __str__(self) -> str:
        kind, name = self.task.kind, self.task.name
        how = "written by hand" if kind == "planted" else f"the first of {self.n_tried} trained"
        return f"{len(self)} networks of the task '{name}', {how}"


@dataclass(frozen=True, eq=False)
class Tasks(Finding, Mapping[str, Task]):
    """Name -> task.

    Attributes:
        all: the tasks, trained ones first.
    """

    all: tuple[Task, ...] = field(repr=False)

    def __getitem__(self, name: str) -> Task:
        for one in self.all:
            if one.name == name:
                return one
        raise unknown("task", name, [one.name for one in self.all], where="the exam has")

    def __contains__(self, name: object) -> bool:
        return any(one.name == name for one in self.all)

    def __iter__(self) -> Iterator[str]:
        return iter([one.name for one in self.all])

    def __len__(self) -> int:
        return len(self.all)

    def frame(self) -> pd.DataFrame:
        """One line per task: task, kind, target, layer_sizes, activation, n_edges, ..."""
        return pd.DataFrame([one.shown_line() for one in self.all])

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        lines = [f"{one.name:{width}}  {one.n_edges:2} edges  {one.says}" for one in self.all]
        return "\n".join(lines)


def tasks() -> Tasks:
    """All tasks of the exam.

    >>> tasks()["planted copies tanh"].n_edges
    9
    """
    return _TASKS


def task(name: str) -> Task:
    """A task by its name.

    >>> task("XOR 2-3-3-1 relu").n_edges
    18

    Raises:
        XorMiError: a name that no task has.
    """
    if not isinstance(name, str):
        raise unknown("task", name, _TASKS, where="the exam has")
    return _TASKS[name]


def _trained(
    words: str, target: str, hidden: tuple[int, ...], activation: PlantedActivation = "relu"
) -> Task:
    """A task whose networks are trained.

    Args:
        words: the name of the target.
    """
    function = BooleanFunction.of(target, None)
    sizes = (function.n_inputs, *hidden, 1)
    shape = "-".join(map(str, sizes))
    return Task(
        name=f"{words} {shape} {activation}",
        says=f"{_TARGETS[words]}, trained in {shape} with {activation} units.",
        layer_sizes=sizes,
        target=function,
        activation=activation,
    )


def _planted(name: str, activation: PlantedActivation) -> Task:
    """A task whose networks are written by hand."""
    recipe = RECIPES[name]
    return Task(
        name=f"planted {name} {activation}",
        says=recipe.says,
        layer_sizes=recipe.layer_sizes,
        target=BooleanFunction.of(recipe.target, recipe.layer_sizes[0]),
        activation=activation,
        recipe=name,
    )


_TARGETS = {
    "XOR": "Exclusive or of two bits",
    "parity-3": "Parity of three bits",
    "majority-3": "Majority of three bits",
    "two-hop": "(x0 ^ x1) & x2, a formula of two steps",
}
_PARITY, _MAJORITY = "x0 ^ x1 ^ x2", "x0 & x1 | x0 & x2 | x1 & x2"
_TWO_HOP = "(x0 ^ x1) & x2"
_ACTIVATIONS: tuple[PlantedActivation, ...] = ("relu", "tanh", "sigmoid")
_TASKS = Tasks(
    (
        _trained("XOR", "XOR", (2,)),
        _trained("XOR", "XOR", (3,)),
        _trained("XOR", "XOR", (2, 2)),
        _trained("XOR", "XOR", (3, 3)),
        _trained("XOR", "XOR", (3,), "tanh"),
        _trained("XOR", "XOR", (3,), "sigmoid"),
        _trained("XOR", "XOR", (3, 3), "tanh"),
        _trained("XOR", "XOR", (3, 3), "sigmoid"),
        _trained("parity-3", _PARITY, (4,)),
        _trained("parity-3", _PARITY, (3,), "tanh"),
        _trained("majority-3", _MAJORITY, (3,)),
        _trained("two-hop", _TWO_HOP, (3, 2)),
        _trained("two-hop", _TWO_HOP, (3, 2), "tanh"),
        *[_planted(name, activation) for name in RECIPES for activation in _ACTIVATIONS],
    )
)
