"""a model, its inputs and an algorithm -> what an interchange is compared with.

On a HookedMLP everything has a default: all rows, their bits, the network's own rule. For another
model the caller gives its inputs (`inputs=`), the bits that the algorithm reads (`features=`), and
what the outputs decide (`decide=`).
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from xor_mi.errors import (
    SEEDS_BELOW,
    XorMiError,
    require_kind,
    require_memory,
    unknown,
    whole_number,
)
from xor_mi.interventions._brought import (
    brought_examples,
    brought_features,
    brought_readers,
    first_of_each,
)
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._high_level import WORD, HighLevelModel
from xor_mi.interventions._readout import Readers
from xor_mi.interventions._sites import require_ready
from xor_mi.kinds import Decide, Features, HookedModel, Inputs, ModelKwargs
from xor_mi.model import HookedMLP, warn
from xor_mi.truth import row_name, row_numbers

MAX_RUNS, MAX_RUNS_ELSEWHERE = 1_000_000, 10_000
"""The default `max_runs` for a HookedMLP, and for other models, whose forwards cost more."""


LETTERS = {"a": 0, "b": 1, "c": 2, "d": 3, "x": 0, "y": 1, "z": 2}
"""The input that a letter means in a formula if inputs have no names of their own."""

BYTES_PER_NUMBER = 8
"""Inputs are numbered in 64 bits."""


@dataclass(frozen=True, eq=False)
class Task:
    """A model on its inputs, beside an algorithm on their bits.

    Attributes:
        examples: what the model is run on.
        bits: the algorithm's inputs.
        variables: the algorithm's variables.
        readers: what reads the model's decision off its outputs.
    """

    model: HookedModel
    high_level: HighLevelModel
    examples: Examples
    bits: Int[Tensor, "input feature"]
    variables: Int[Tensor, "input variable"]
    readers: Readers

    def __len__(self) -> int:
        return len(self.examples)

    def number_of(self, variable: str) -> int:
        """The number of a variable of the algorithm.

        Raises:
            XorMiError: a name that the algorithm does not have.
        """
        names = list(self.high_level.variables)
        if variable not in names:
            raise unknown("variable", variable, names, where="the algorithm has")
        return names.index(variable)

    def tells_apart(self, one: str, other: str) -> bool:
        """Whether two variables are different bits on the inputs, complements apart."""
        same = self.variables[:, self.number_of(one)] == self.variables[:, self.number_of(other)]
        return bool(same.any()) and not bool(same.all())

    def without_another_role(self, variables: Iterable[str]) -> list[str]:
        """Those of the variables that no other variable differs from, where there are others."""
        names = list(self.high_level.variables)
        if len(names) == 1:
            return []
        return [
            one for one in variables if not any(self.tells_apart(one, other) for other in names)
        ]

    def predicted(
        self, base: Int[Tensor, " run"], sources: Mapping[str, Int[Tensor, " run"]]
    ) -> Int[Tensor, " run"]:
        """What the algorithm decides on base inputs, with some variables from their sources.

        Base inputs and sources are given by their numbers.
        """
        mixed = self.variables[base].clone()
        for variable, source in sources.items():
            number = self.number_of(variable)
            mixed[:, number] = self.variables[source, number]
        return self.high_level.predict(mixed, self.bits[base])

    def decided(self, outputs: Tensor) -> Int[Tensor, " example"]:
        """What the model decides by its outputs [example, ...], which need not be finite."""
        scores = self.readers.read_runs(outputs[None])
        return self.decided_by(scores[-1, 0])

    def decided_by(self, scores: Tensor) -> Int[Tensor, "*example"]:
        """What the model decides by these numbers of its readers."""
        by = self.readers.decisions_by
        assert by is not None  # readers_of_decisions always has one
        return by(scores).cpu()

    def kept(self, outputs: Tensor) -> Tensor:
        """The part of outputs [example, ...] that is needed for a decision on all of them at once.

        These are the scores if each example is decided by its own; otherwise the outputs
        themselves, because a caller's function may compare the examples.
        """
        if self.readers.rowwise:
            return self.readers.read_runs(outputs[None])[-1, 0]
        return outputs

    def decided_by_kept(self, kept: Tensor) -> Int[Tensor, " example"]:
        """What the model decides by the kept part of its outputs."""
        return self.decided_by(kept) if self.readers.rowwise else self.decided(kept)

    def warn_of_constants(self, variables: Iterable[str]) -> None:
        """Name the variables that are the same on all inputs: interchanging them says nothing."""
        for name in variables:
            values = self.variables[:, self.number_of(name)].unique().tolist()
            if len(values) == 1:
                warn(
                    f"variable '{name}' is {values[0]} on all {len(self)} inputs, so every source "
                    "has the base's own value and its interchanges say nothing; give inputs on "
                    "which it is 0 and 1"
                )

    def n_differing(self, plain: Tensor) -> int:
        """On how many inputs the model, with these outputs, decides differently from the
        algorithm."""
        everyone = torch.arange(len(self))
        return int((self.decided(plain) != self.predicted(everyone, {})).sum())


def read_task(
    model: HookedModel,
    high_level: HighLevelModel,
    *,
    operation: str,
    inputs: Inputs | None,
    features: Features | None,
    decide: Decide | None,
    model_kwargs: ModelKwargs | None,
    output: int,
) -> Task:
    """A caller's arguments, checked, with the defaults of a HookedMLP.

    Args:
        operation: what needs it, the subject of a message.

    Raises:
        XorMiError: a model that cannot be run, missing inputs, features or decision, and features
            that do not fit the algorithm.
    """
    require_ready(model, operation)
    require_kind("high_level", high_level, HighLevelModel, give="a HighLevelModel")
    examples = brought_examples(model, inputs, model_kwargs)
    names, bits = brought_features(model, examples, features)
    first_of_each(examples, [row_name(row) for row in bits.tolist()])  # refuses contradictions
    bits = bits[:, _order_of(high_level, names)]
    # per variable, its bit on every row of features
    table = high_level.bits(bits.shape[1])
    return Task(
        model=model,
        high_level=high_level,
        examples=examples,
        bits=bits,
        variables=table[:, row_numbers(bits)].T,
        readers=brought_readers(model, examples, output, decide),
    )


def is_nan(outputs: Tensor) -> Bool[Tensor, " example"]:
    """Whether a number among each example's outputs, or its score, is NaN."""
    return outputs.isnan().reshape(len(outputs), -1).any(1)


def warn_of_nan(n_bad: Mapping[str, int], n_runs: Mapping[str, int]) -> None:
    """Warn after how many interchanges the outputs are NaN, by the name of what was
    interchanged."""
    counted = [f"{n} of {n_runs[name]} of {name}" for name, n in n_bad.items() if n]
    if counted:
        warn(
            f"the outputs are NaN after some interchanges ({'; '.join(counted)}), where nothing "
            "can be decided by them; by a score they count as not decided alike: leave out inputs "
            "or sites that give NaN"
        )


def _order_of(high_level: HighLevelModel, names: tuple[str, ...]) -> list[int]:
    """The numbers of the features in the order of the algorithm's inputs.

    Features are matched by name: x0, x1, ... or the algorithm's names of its inputs. If the
    algorithm has no names, features with any other names are used in their own order.

    Raises:
        XorMiError: features whose names differ from the algorithm's inputs, or a feature with the
            name of another input.
    """
    numbered = [f"x{number}" for number in range(len(names))]
    for inputs in (high_level.inputs, numbered):
        if set(inputs) == set(names):
            return [names.index(name) for name in inputs]
    if high_level.inputs:
        raise XorMiError(
            f"the algorithm's inputs are {', '.join(high_level.inputs)} and the features are "
            f"{', '.join(names)}; give features of the inputs' names"
        )
    _require_own_letters(high_level, names)
    return list(range(len(names)))


def _require_own_letters(high_level: HighLevelModel, names: tuple[str, ...]) -> None:
    """In a formula a means x0, so a feature called a must be the first.

    Raises:
        XorMiError: a letter of a formula that is the name of another feature.
    """
    for word in WORD.findall(" ".join(high_level.variables.values())):
        if word in names and LETTERS.get(word) not in (None, names.index(word)):
            raise XorMiError(
                f"'{word}' in the algorithm's formulas is input {LETTERS[word]}, and the feature "
                f"'{word}' is number {names.index(word)}; give the algorithm inputs={names}"
            )


class Runs(NamedTuple):
    """Interchanges that are tried, each a base input and a source per variable, by number.

    Attributes:
        base: [run].
        sources: per variable that is interchanged.
        n_possible: how many interchanges exist; all are tried if there are no more.
    """

    base: Int[Tensor, " run"]
    sources: tuple[Int[Tensor, " run"], ...]
    n_possible: int


def runs_of(n_inputs: int, n_variables: int, *, max_runs: int, seed: int) -> Runs:
    """All ways to take a base and a source per variable, or a seeded sample of `max_runs`.

    >>> base, (source,), _ = runs_of(2, 1, max_runs=10, seed=0)
    >>> base.tolist(), source.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1])
    """
    n_possible = n_inputs ** (1 + n_variables)
    require_memory(
        min(n_possible, max_runs) * BYTES_PER_NUMBER * (2 + n_variables),
        what=f"a list of {min(n_possible, max_runs):,} interchanges",
        do="give a smaller max_runs",
    )
    if n_possible <= max_runs:
        numbers = torch.arange(n_possible)
    elif n_possible <= sys.maxsize:
        # in order, so that equal runs of two samples stand in the same places
        numbers = torch.tensor(sorted(Random(seed).sample(range(n_possible), max_runs)))
    else:
        # too many to be numbered: among so many, no draw comes twice
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(n_inputs, (1 + n_variables, max_runs), generator=generator)
        return Runs(drawn[0], tuple(drawn[1:]), n_possible)
    # the digits of each number, the base's first
    places = [n_inputs**power for power in range(n_variables, -1, -1)]
    base, *sources = [numbers // place % n_inputs for place in places]
    return Runs(base, tuple(sources), n_possible)


def read_max_runs(model: HookedModel, max_runs: int | None) -> int:
    """The bound that a caller gives, or the default of this kind of model."""
    if max_runs is None:
        return MAX_RUNS if isinstance(model, HookedMLP) else MAX_RUNS_ELSEWHERE
    return whole_number("max_runs", max_runs, at_least=1)


def read_seed(seed: int) -> int:
    """A seed; the next few seeds are used too."""
    return whole_number("seed", seed, below=SEEDS_BELOW - 1)
