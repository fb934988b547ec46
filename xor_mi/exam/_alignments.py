"""methods that place the variables of a causal model in a network, and how good their answer is.

The causal model is that of the problem's target (`causal_model`). A place stands for a variable to
the degree that interchange agrees (Geiger et al. 2021, arXiv 2106.02997): the place gets its value
on another input, the variable of the causal model too, and the decisions are compared, over all
ordered pairs of inputs. An alignment is as good as its worst variable.

This number alone says little. Rank-1 subspaces that lie across units reach 1.0 in networks where no
unit does, and with nonlinear maps anything aligns with anything (Sutter et al. 2025, arXiv
2507.08802). So each answer comes with a control (what the same search reaches in networks with
fresh weights) and a level by chance (the mean over random places of the same kind).
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle, islice, permutations
from math import perm, prod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from xor_mi.errors import XorMiError, require_at_most, require_kind
from xor_mi.exam._causal import causal_model
from xor_mi.exam._method import AlignedModel, ExamMethod, Method
from xor_mi.exam._problem import Cost, ExamProblem
from xor_mi.exam._slopes import with_gradients
from xor_mi.finding import count_text
from xor_mi.graph import Edge, Site, Unit
from xor_mi.interventions import HighLevelModel, Subspace, interchange_accuracy, site_of
from xor_mi.kinds import OneSite
from xor_mi.model import HookedMLP
from xor_mi.truth import truth_rows

N_FRESH = 4
"""The number of networks with fresh weights on which a search is repeated as its control."""
MAX_ASSIGNMENTS = 50_000
"""The most ways to place variables at units that are tried."""
N_DRAWN = 200
"""The number of random subspaces whose mean is the level by chance."""
N_DRAWN_SETS = 20
"""The same for places of several units, each of which is run by hooks."""

N_STARTS = 4
"""The number of random rotations from which DAS starts in every layer; the best result is kept."""
N_STEPS = 40
"""Steps of Adam from each start."""
LEARNING_RATE = 0.1
"""The learning rate of these steps."""
LARGEST_LOGIT = 5.0
"""DAS scales decisions to logits of at most this size, whatever the scale of the outputs."""


def interchange_of_units(problem: ExamProblem) -> AlignedModel:
    """Place every variable at a hidden unit of its own: the best of all such assignments.

    The best assignment has the largest accuracy of its worst variable; among equals, the largest
    mean accuracy.

    Raises:
        XorMiError: fewer units than variables, more than `MAX_ASSIGNMENTS` assignments, a target
            without variables.
    """
    causal = causal_model(problem.numbers.target)
    n_units, n_variables = len(problem.units), len(causal.variables)
    if n_units < n_variables:
        raise XorMiError(
            f"the causal model has {count_text(n_variables, 'variable')}, "
            f"{', '.join(causal.variables)}, and the network "
            f"{count_text(n_units, 'hidden unit')}; take a wider network"
        )
    require_at_most(
        perm(n_units, n_variables),
        MAX_ASSIGNMENTS,
        what=f"the ways to place {n_variables} variables at {n_units} units",
        do="take a narrower network, or align sets of units with search.find_alignments",
    )
    bench = _Bench(problem, causal, fresh="interchange of units")
    assignments = torch.tensor(list(permutations(range(n_units), n_variables)))
    accuracy = _of_assignments(bench.accuracy_of_units(), assignments)
    best = _best(accuracy)
    reached = accuracy.amin(-1)[torch.arange(1 + N_FRESH), best]
    places = [str(problem.units[unit]) for unit in assignments[best[0]].tolist()]
    placed = dict(zip(causal.variables, places, strict=True))
    return AlignedModel(causal, placed, control=float(reached[1:].mean()))


@with_gradients
def das(problem: ExamProblem) -> AlignedModel:
    """Distributed alignment search: a direction per variable, perpendicular, in one layer.

    The rotation of each layer is learned by gradients through the interchanges of all variables
    (Geiger et al. 2024, arXiv 2303.02536), from `N_STARTS` random rotations; the answer is the best
    layer and start. As a control, networks with fresh weights are searched in the same way.

    Raises:
        XorMiError: no hidden layer that is wide enough for a direction per variable, or a target
            without variables.
    """
    causal = causal_model(problem.numbers.target)
    bench = _Bench(problem, causal, fresh="das")
    generator = torch.Generator().manual_seed(_seed(problem, "das"))
    layers = bench.wide_enough_layers()
    starts = [bench.random_bases(layer, N_STARTS, generator) for layer in layers]
    bases = [bench.learned(layer, start) for layer, start in zip(layers, starts, strict=True)]
    of_layers = [
        bench.accuracy(layer, _directions(of_layer))
        for layer, of_layer in zip(layers, bases, strict=True)
    ]
    # the starts of all layers in one line, [network, layer and start, variable]
    accuracy = torch.cat(of_layers, dim=1)
    best = _best(accuracy)
    number, start = divmod(int(best[0]), N_STARTS)
    reached = accuracy.amin(-1)[torch.arange(1 + N_FRESH), best]
    return AlignedModel(
        causal,
        bench.placed(layers[number], bases[number][0, start]),
        control=float(reached[1:].mean()),
    )


def random_subspace(problem: ExamProblem) -> AlignedModel:
    """A random direction per variable, perpendicular, in a random layer, as DAS starts from.

    Raises:
        XorMiError: no hidden layer that is wide enough for a direction per variable, or a target
            without variables.
    """
    causal = causal_model(problem.numbers.target)
    bench = _Bench(problem, causal, fresh="random subspace")
    generator = torch.Generator().manual_seed(_seed(problem, "random subspace"))
    layers = bench.wide_enough_layers()
    layer = layers[int(torch.randint(len(layers), (), generator=generator))]
    basis = bench.random_bases(layer, 1, generator)
    accuracy = bench.accuracy(layer, _directions(basis.expand(1 + N_FRESH, 1, -1, -1)))
    return AlignedModel(
        causal, bench.placed(layer, basis[0]), control=float(accuracy[1:].amin(-1).mean())
    )


def accuracy_of(aligned: AlignedModel, problem: ExamProblem) -> float:
    """The interchange accuracy of the worst variable, 0 to 1, over all ordered pairs of inputs.

    Every variable is interchanged alone, so the places of two variables may overlap.

    >>> from xor_mi.handmade import textbook_xor
    >>> accuracy_of(interchange_of_units(problem := ExamProblem.of(textbook_xor())), problem)
    1.0

    Raises:
        XorMiError: an answer that is not an AlignedModel, a variable without a place, or what
            `interchange_accuracy` refuses.
    """
    require_kind("an alignment", aligned, AlignedModel, give="AlignedModel(model, alignment)")
    _require_all_placed(aligned)
    return min(_accuracy(aligned, name, problem.model) for name in aligned.model.variables)


def chance_of(aligned: AlignedModel, problem: ExamProblem) -> float | None:
    """The mean of `accuracy_of` over random places of the same kind.

    For single hidden units, the mean over all assignments of variables to different units. For
    subspaces, each of one hidden layer's values, the mean over `N_DRAWN` seeded random subspaces of
    the same ranks there. For sets of hidden units, the mean over `N_DRAWN_SETS` random disjoint
    sets. None for places of other kinds.

    Raises:
        XorMiError: as `accuracy_of`.
    """
    require_kind("an alignment", aligned, AlignedModel, give="AlignedModel(model, alignment)")
    _require_all_placed(aligned)
    problem = replace(problem, cost=Cost())  # runs here do not count as runs of the method
    places = [_listed(aligned.alignment[name]) for name in aligned.model.variables]
    generator = torch.Generator().manual_seed(_seed(problem, "chance of an alignment"))
    sizes = [_n_units_at(several, problem) for several in places]
    if all(sizes):
        return _chance_of_units(aligned.model, sizes, problem, generator)
    subspaces = [_layer_and_rank(several, problem) for several in places]
    known = [one for one in subspaces if one is not None]
    if len(known) < len(places):
        return None
    return _chance_of_subspaces(aligned.model, known, problem, generator)


def _require_all_placed(aligned: AlignedModel) -> None:
    left_out = [name for name in aligned.model.variables if name not in aligned.alignment]
    if left_out:
        raise XorMiError(
            f"the alignment has no place for {', '.join(left_out)}; give one for every variable of "
            "the causal model"
        )


def _accuracy(aligned: AlignedModel, name: str, model: HookedMLP) -> float:
    """The interchange accuracy of one variable, interchanged alone."""
    places = _listed(aligned.alignment[name])
    found = interchange_accuracy(model, aligned.model, {name: places}, joint=False, progress=False)
    return found.accuracy(name)


def _chance_of_units(
    causal: HighLevelModel, sizes: list[int], problem: ExamProblem, generator: torch.Generator
) -> float:
    """The mean accuracy with variables at random sets of so many units each."""
    n_units, n_variables = len(problem.units), len(sizes)
    if max(sizes) == 1 and perm(n_units, n_variables) <= MAX_ASSIGNMENTS and n_variables <= n_units:
        assignments = torch.tensor(list(permutations(range(n_units), n_variables)))
        of_units = _Bench(problem, causal).accuracy_of_units()
        return float(_of_assignments(of_units, assignments).amin(-1).mean())
    accuracies: list[float] = []
    for _ in range(N_DRAWN_SETS):
        order = torch.randperm(n_units, generator=generator).tolist()
        # one set after the other, starting over if there are not enough units
        line = cycle(order)
        drawn = {
            name: [str(problem.units[unit]) for unit in islice(line, size)]
            for name, size in zip(causal.variables, sizes, strict=True)
        }
        accuracies.append(accuracy_of(AlignedModel(causal, drawn), problem))
    return float(np.mean(accuracies))


def _chance_of_subspaces(
    causal: HighLevelModel,
    subspaces: list[tuple[int, int]],
    problem: ExamProblem,
    generator: torch.Generator,
) -> float:
    """The mean accuracy in random subspaces, (layer, rank) each; perpendicular within a layer."""
    bench = _Bench(problem, causal)
    accuracies: list[Tensor] = []
    left: dict[int, Tensor] = {}
    for number, (layer, rank) in enumerate(subspaces):
        width = problem.numbers.sizes[1 + layer]
        if layer not in left or left[layer].shape[-1] < rank:
            # a rotation of the layer; each variable takes its next directions
            drawn = torch.randn(N_DRAWN, width, width, generator=generator, dtype=torch.float64)
            left[layer] = torch.linalg.qr(drawn).Q
        basis, left[layer] = left[layer].split([rank, left[layer].shape[-1] - rank], dim=-1)
        accuracies.append(bench.accuracy(layer, basis[None], variable=number)[0])
    return float(torch.stack(accuracies).amin(0).mean())


def _listed(
    places: OneSite | Iterable[OneSite] | Subspace,
) -> list[OneSite | Subspace]:
    if isinstance(places, (str, Unit, Edge, Site, Subspace)):
        return [places]
    return list(places)


def _n_units_at(places: list[OneSite | Subspace], problem: ExamProblem) -> int:
    """How many hidden units these places are; 0 if they are anything else."""
    model = problem.model
    units = {Site(*model.hook_site(unit)) for unit in problem.units}
    are_units = all(
        not isinstance(place, Subspace) and site_of(model, place) in units for place in places
    )
    return len(places) if are_units else 0


def _layer_and_rank(
    places: list[OneSite | Subspace], problem: ExamProblem
) -> tuple[int, int] | None:
    """Layer and rank of a variable in one subspace of a hidden layer's values; otherwise None."""
    if len(places) != 1 or not isinstance(places[0], Subspace):
        return None
    site = site_of(problem.model, places[0].site)
    for layer in range(len(problem.numbers.sizes) - 2):
        if site == Site(_hook_of(layer, problem)):
            return layer, places[0].rank
    return None


def _hook_of(layer: int, problem: ExamProblem) -> str:
    """The hook that holds the values of a hidden layer."""
    return problem.model.hook_site(Unit(layer, 0))[0]


def _seed(problem: ExamProblem, what: str) -> int:
    return int(problem.generator(what).integers(2**31))


def _directions(
    bases: Float[Tensor, "*batch width variable"],
) -> Float[Tensor, "*batch variable width 1"]:
    """Each column of a rotation as a basis of rank 1."""
    return bases.mT.unsqueeze(-1)


def _of_assignments(
    accuracy: Float[Tensor, "network unit variable"], assignments: Int[Tensor, "choice variable"]
) -> Float[Tensor, "network choice variable"]:
    """The accuracy of every variable at the unit that it is assigned."""
    return accuracy[:, assignments, torch.arange(assignments.shape[1])]


def _best(accuracy: Float[Tensor, "network choice variable"]) -> Int[Tensor, " network"]:
    """The choice whose worst variable is best; among equals the one with the best mean."""
    # accuracies are shares of at most 4,096 pairs, so the mean decides only between equals
    return (accuracy.amin(-1) + 1e-5 * accuracy.mean(-1)).argmax(-1)


class _Bench:
    """Interchanges in one hidden layer, of a network and of several with fresh weights, at once.

    It does what `interchange_accuracy` does, in float64 arithmetic on the weights. Runs of the
    network itself are counted, runs of the controls are not.
    """

    def __init__(self, problem: ExamProblem, causal: HighLevelModel, *, fresh: str = "") -> None:
        """
        Args:
            fresh: the name that seeds the weights of `N_FRESH` other networks; "" for none.
        """
        model = problem.model
        seeds = problem.generator(f"fresh weights for {fresh}").integers(2**31, size=N_FRESH)
        networks = [model]
        if fresh:
            networks += [HookedMLP(replace(model.cfg, seed=int(seed))) for seed in seeds]
        weights = zip(*[one.float64_layers() for one in networks], strict=True)
        self._problem = problem
        self._causal = causal
        self._layers = [
            (
                torch.stack([weight for weight, _ in of_layer]),
                torch.stack([bias for _, bias in of_layer]),
            )
            for of_layer in weights
        ]
        self._rows = torch.from_numpy(problem.numbers.clean)
        values = self._rows.expand(len(networks), -1, -1)
        self._hidden: list[Tensor] = []  # [network, row, unit] each
        for number, (weight, bias) in enumerate(self._layers[:-1]):
            values = model.activate(values @ weight.mT + bias[:, None], number)
            self._hidden.append(values)
        self._expected = self._predicted()

    def _predicted(self) -> Int[Tensor, "variable base source"]:
        """The output of the causal model on a base, with one variable set as on a source."""
        inputs = torch.tensor(truth_rows(self._problem.numbers.sizes[0]))
        n_rows = len(inputs)
        of_rows = self._causal.bits(inputs.shape[1]).T
        of_variables: list[Tensor] = []
        for number in range(of_rows.shape[1]):
            bits = of_rows[:, None].repeat(1, n_rows, 1)  # [base, source, variable]
            bits[..., number] = of_rows[:, number]
            on_bases = inputs[:, None].expand(-1, n_rows, -1)
            of_variables.append(self._causal.predict(bits, on_bases))
        return torch.stack(of_variables)

    def scores(
        self, layer: int, bases: Float[Tensor, "network *batch width rank"]
    ) -> Float[Tensor, "network *batch base source"]:
        """The score of the first decision on each base, with a subspace set as on each source."""
        n_networks, *batch, _, _ = bases.shape
        ones = [1] * len(batch)
        hidden = self._hidden[layer]
        away = (hidden[:, None] - hidden[:, :, None]).unflatten(0, (n_networks, *ones))
        on_bases = hidden[:, :, None].unflatten(0, (n_networks, *ones))
        values = on_bases + away @ (bases @ bases.mT).unsqueeze(-3)
        for number, (weight, bias) in enumerate(self._layers[layer + 1 :], start=layer + 1):
            turned = weight.mT.unflatten(0, (n_networks, *ones, 1))
            pre = values @ turned + bias.unflatten(0, (n_networks, *ones, 1, 1))
            values = self._problem.model.activate(pre, number)
        self._problem.cost.forwards += self._n_forwards(batch)
        return self._problem.model.rule.scores(values)[..., 0]

    def _n_forwards(self, batch: Iterable[int]) -> float:
        return prod(batch) * len(self._rows) ** 2 / self._problem.n_rows

    def accuracy(
        self,
        layer: int,
        bases: Float[Tensor, "network *batch width rank"],
        *,
        variable: int | None = None,
    ) -> Float[Tensor, "network *batch"]:
        """The share of interchanges on which the network decides as the causal model does.

        Args:
            variable: the one that is interchanged; by default the last axis of the batch runs over
                all variables.
        """
        expected = self._expected if variable is None else self._expected[variable]
        return self._agrees(self.scores(layer, bases), expected).mean((-1, -2))

    def _agrees(self, scores: Tensor, expected: Tensor) -> Tensor:
        cut = self._problem.model.rule.cut
        # a score on the threshold, or one that is not a number, decides nothing
        return torch.where(expected == 1, scores > cut, scores < cut).double()

    def accuracy_of_units(self) -> Float[Tensor, "network unit variable"]:
        """The accuracy of every hidden unit in place of every variable."""
        of_layers: list[Tensor] = []
        for layer, hidden in enumerate(self._hidden):
            n_networks, _, width = hidden.shape
            of_units = torch.eye(width, dtype=torch.float64)[:, :, None]
            scores = self.scores(layer, of_units.expand(n_networks, -1, -1, -1))
            agrees = self._agrees(scores[:, :, None], self._expected)
            of_layers.append(agrees.mean((-1, -2)))
        return torch.cat(of_layers, dim=1)

    def wide_enough_layers(self) -> list[int]:
        """The hidden layers with a direction for each variable."""
        names = list(self._causal.variables)
        widths = [hidden.shape[-1] for hidden in self._hidden]
        layers = [layer for layer, width in enumerate(widths) if width >= len(names)]
        if not layers:
            raise XorMiError(
                f"the causal model has {count_text(len(names), 'variable')}, {', '.join(names)}, "
                "and no hidden layer has as many units (they have "
                f"{', '.join(map(str, widths))}); take a wider network"
            )
        return layers

    def random_bases(
        self, layer: int, n: int, generator: torch.Generator
    ) -> Float[Tensor, "n width variable"]:
        """Perpendicular directions, one per variable."""
        shape = n, self._hidden[layer].shape[-1], len(self._causal.variables)
        return torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64)).Q

    def learned(
        self, layer: int, starts: Float[Tensor, "start width variable"]
    ) -> Float[Tensor, "network start width variable"]:
        """Rotations after `N_STEPS` steps of Adam; all networks have the same starts."""
        n_networks = len(self._hidden[layer])
        turned = starts.repeat(n_networks, 1, 1, 1).requires_grad_()
        adam = torch.optim.Adam([turned], lr=LEARNING_RATE)
        cut = self._problem.model.rule.cut
        wanted = self._expected.double()
        unit = self._largest_distance()[:, None, None, None, None] / LARGEST_LOGIT
        for _ in range(N_STEPS):
            scores = self.scores(layer, _directions(torch.linalg.qr(turned).Q))
            logits = 2 * (scores - cut) / unit
            loss = binary_cross_entropy_with_logits(
                logits, wanted.expand_as(logits), reduction="none"
            )
            adam.zero_grad()
            loss.mean((-1, -2)).sum().backward()
            adam.step()
            self._problem.cost.backwards += self._n_forwards(logits.shape[1:-2])
        return torch.linalg.qr(turned.detach()).Q

    def _largest_distance(self) -> Float[Tensor, " network"]:
        """The largest distance of the first decision's score from the threshold."""
        weight, bias = self._layers[-1]
        pre = self._hidden[-1] @ weight.mT + bias[:, None]
        model = self._problem.model
        outputs = model.activate(pre, len(self._layers) - 1)
        largest = model.rule.distance(outputs)[..., 0].abs().amax(-1)
        return torch.where(largest > 0, largest, 1.0)

    def placed(self, layer: int, basis: Float[Tensor, "width variable"]) -> dict[str, Subspace]:
        """Variable -> its direction."""
        hook = _hook_of(layer, self._problem)
        columns = basis.split(1, dim=1)
        return {
            name: Subspace(hook, column)
            for name, column in zip(self._causal.variables, columns, strict=True)
        }


def _method(name: str, run: Method, source: str) -> ExamMethod:
    return ExamMethod(name=name, run=run, over="units", gives="alignment", source=source)


ALIGNMENT_METHODS: tuple[ExamMethod, ...] = (
    _method(
        "interchange_of_units",
        interchange_of_units,
        "every assignment tried; Geiger et al. 2021, arXiv 2106.02997",
    ),
    _method("das", das, "Geiger et al. 2024, arXiv 2303.02536; Sutter et al. 2025, 2507.08802"),
    _method("random_subspace", random_subspace, "chance; what das starts from"),
)
"""The methods that place the variables of a causal model."""
