"""directions at a site, given or learned, take their values from other inputs -> how often a model
follows an algorithm.

Subspaces, DAS and its controls are TransformerLens' own
(`transformer_lens.tools.analysis.interchange`), which knows hooks of the shape [batch, width]. A
site may be some entries of a hook of any shape: TransformerLens sees only these entries, as one
list of numbers. Its types say Tensor for inputs, of which it needs only the length and parts: there
it is given `Examples`, by a `cast`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xor_mi.errors import XorMiError, cut_short, require_kind, shown, unknown, whole_number
from xor_mi.interventions._accuracy import InterchangeAccuracy
from xor_mi.interventions._controls import (
    MOST_OF_A_REASON,
    UNTRAINED,
    require_hooked_alike,
    untrained_copy,
)
from xor_mi.interventions._examples import Examples
from xor_mi.interventions._forward import inputs_per_run, run_plain
from xor_mi.interventions._high_level import HighLevelModel
from xor_mi.interventions._hooks import probe_hooks, require_tensor, warn_of_unread
from xor_mi.interventions._placed import (
    Shapes,
    Subspace,
    require_orthonormal,
    require_real,
    shapes_at,
    width_of,
)
from xor_mi.interventions._readout import require_one_each
from xor_mi.interventions._sites import Site, coordinates, entries_of, site_of
from xor_mi.interventions._task import (
    Runs,
    Task,
    is_nan,
    read_max_runs,
    read_seed,
    read_task,
    runs_of,
    warn_of_nan,
)
from xor_mi.kinds import Decide, Features, HookedModel, Inputs, ModelKwargs, OneSite
from xor_mi.model import DecisionRule, HookedMLP, all_finite, kind_of_hook
from xor_mi.progress import progress_bar

if TYPE_CHECKING:
    from transformer_lens.tools.analysis.interchange import (
        LearnedSubspace,
        NormMatchedPlacebo,
        SubspaceInterchange,
    )

DAS_LEARNING_RATE = 0.05
"""The learning rate of Adam for the subspace; five times TransformerLens' default."""

LARGEST_LOGIT = 5.0
"""DAS sees the model's decisions as logits of at most this size on the inputs.

It minimises cross-entropy, whose slope nearly vanishes if all logits are tiny or huge: the scale of
an output must not decide what is found.
"""

TaskLogits = Callable[..., Float[Tensor, "batch two"]]
"""Examples -> a logit for deciding 0 and one for 1, in one forward.

TransformerLens' types say Tensor for its argument, but it passes on a part of these examples.
"""

PLACEBO, ARBITRARY = "placebo", "arbitrary targets"
"""Controls of `das_accuracy`, beside the untrained network."""


@dataclass(frozen=True, eq=False)
class _AtSite:
    """A model with one hook that holds what the site holds, [batch, width].

    It has those parts of a model that TransformerLens' interchange uses.
    """

    model: HookedModel
    site: Site

    @contextmanager
    def hooks(
        self, fwd_hooks: Sequence[tuple[str, Callable[..., Tensor | None]]] = ()
    ) -> Iterator[None]:
        """The hooks of the model, each shown the site's entries only."""
        wrapped = [(name, partial(self._shown, function)) for name, function in fwd_hooks]
        with self.model.hooks(fwd_hooks=wrapped):
            yield

    def _shown(
        self, function: Callable[..., Tensor | None], activation: Tensor, hook: object
    ) -> Tensor | None:
        entries = entries_of(self.site, activation)
        inside = activation[entries]
        # a copy: the model may work in place after the hook; 16 bits become 32, so that a placebo
        # that does not move is not zero divided by zero
        wide = torch.promote_types(inside.dtype, torch.float32)
        given = function(inside.reshape(len(inside), -1).to(wide, copy=True), hook=hook)
        if given is None:
            return None
        new = activation.clone()
        new[entries] = given.reshape(inside.shape).to(activation.dtype)
        return new

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the model."""
        assert isinstance(self.model, nn.Module)
        return self.model.parameters()

    def requires_grad_(self, on: bool) -> None:
        """Set this for the model."""
        assert isinstance(self.model, nn.Module)
        self.model.requires_grad_(on)


def _place_of_subspace(model: HookedModel, site: OneSite) -> Site:
    """The site whose entries a subspace lies in."""
    if isinstance(site, Subspace):
        raise XorMiError(f"site is {shown(site)}; give the Site, the basis is the next argument")
    try:
        place = site_of(model, site)
    except XorMiError:  # a hook was meant, whatever the name is
        raise unknown("hook", site, model.hook_dict, where="this model has") from None
    if isinstance(model, HookedMLP) and kind_of_hook(place.hook_name) == "edge":
        of_units, _ = model.hook_site(model.units[0])
        raise XorMiError(
            f"'{place.hook_name}' holds a term per edge, [batch, target, source]; a subspace lies "
            f"in a hook of units, such as '{of_units}'"
        )
    return place


def subspace_accuracy(
    model: HookedModel,
    high_level: HighLevelModel,
    variable: str,
    site: OneSite,
    basis: "Tensor | SubspaceInterchange | NormMatchedPlacebo",
    *,
    inputs: Inputs | None = None,
    features: Features | None = None,
    decide: Decide | None = None,
    model_kwargs: ModelKwargs | None = None,
    max_runs: int | None = None,
    seed: int = 0,
    output: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> InterchangeAccuracy:
    """Count the (base, source) pairs on which model and algorithm decide alike.

    Of the numbers at a site, the coordinates in `basis` are taken from the source.

    It runs through TransformerLens' `SubspaceInterchange`. For several subspaces at once, give
    `interchange_accuracy` a `Subspace` per variable.

    Args:
        variable: the variable of the algorithm that is taken from the source.
        site: a hook, such as "blocks.0.mlp.hook_post", or some of its entries, such as
            `Site("blocks.0.hook_resid_post", (2,))` for one position of a transformer; they are
            taken as one list of numbers, [width].
        basis: an orthonormal matrix [width, rank], such as `neuron_basis(...)` or a learned
            subspace, or a whole intervention such as a `NormMatchedPlacebo`.
        inputs, features, decide, model_kwargs, max_runs, seed, output, max_batch_bytes: as in
            `interchange_accuracy`.

    >>> from xor_mi.handmade import textbook_xor
    >>> algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> first_unit = torch.tensor([[1.0], [0.0]])
    >>> hook = "blocks.0.mlp.hook_post"
    >>> subspace_accuracy(textbook_xor(), algorithm, "either", hook, first_unit).n_agreed
    {'either': 16}

    Raises:
        XorMiError: an unknown variable or hook, a basis that is not orthonormal, and all that
            `interchange_accuracy` refuses.
    """
    from transformer_lens.tools.analysis import interchange as tl

    task = read_task(
        model,
        high_level,
        operation="subspace interchange",
        inputs=inputs,
        features=features,
        decide=decide,
        model_kwargs=model_kwargs,
        output=output,
    )
    seed = read_seed(seed)
    place, shapes, runs, expected = _trials(task, variable, site, max_runs, seed, max_batch_bytes)
    width = width_of(place, shapes)
    if isinstance(basis, (tl.SubspaceInterchange, tl.NormMatchedPlacebo)):
        step = basis
    else:
        step = tl.SubspaceInterchange(require_orthonormal(basis, width))
    size = inputs_per_run(model, task.examples, max_batch_bytes)
    tried = _tried(task, place, step, runs, expected, size, progress)
    plain = _plain_outputs(task, size)
    _warn_of_no_effect(task, place, runs, tried, plain)
    n_runs = {variable: len(expected)}
    warn_of_nan({variable: tried.n_nan}, n_runs)
    return InterchangeAccuracy(
        n_agreed={variable: tried.n_agreed},
        n_runs=n_runs,
        n_possible={variable: runs.n_possible},
        sites={variable: place.name},
        n_inputs=len(task),
        n_differing=task.n_differing(plain),
        seed=seed,
        coordinates=coordinates(
            model,
            [(place,)],
            value="interchange of a subspace, over (base, source) pairs",
            direction="noising",
        ),
    )


class _Trials(NamedTuple):
    """The interchanges to try with any basis of a subspace.

    Attributes:
        place: the site it lies in.
        shapes: of an example's activation at its hook.
        runs: the pairs of inputs that are run.
        expected: what the algorithm decides after each run.
    """

    place: Site
    shapes: Shapes
    runs: Runs
    expected: Int[Tensor, " run"]


def _trials(
    task: Task,
    variable: str,
    site: OneSite,
    max_runs: int | None,
    seed: int,
    max_batch_bytes: int | None,
) -> _Trials:
    """The pairs of inputs between which this variable is interchanged at this site."""
    model = task.model
    place = _place_of_subspace(model, site)
    task.number_of(variable)  # refuses an unknown name
    _warn_of_batches(task, place, max_batch_bytes)
    runs = runs_of(len(task), 1, max_runs=read_max_runs(model, max_runs), seed=seed)
    task.warn_of_constants([variable])
    shapes = shapes_at(model, task.examples, (place,))
    require_real(model, task.examples, (place,))
    expected = task.predicted(runs.base, {variable: runs.sources[0]})
    return _Trials(place, shapes, runs, expected)


def _warn_of_batches(task: Task, place: Site, max_batch_bytes: int | None) -> None:
    """Warn of a model whose examples are coupled, or that draws random numbers."""
    if not isinstance(task.model, HookedMLP):
        probe_hooks(
            task.model,
            task.examples,
            asked=[place.hook_name],
            max_batch_bytes=max_batch_bytes,
        )


@torch.no_grad()
def _plain_outputs(task: Task, at_once: int) -> Tensor:
    """The outputs of all inputs, with at most this many in one forward."""
    outputs, _ = run_plain(task.model, task.examples, set(), at_once)
    return outputs


def _warn_of_no_effect(task: Task, place: Site, runs: Runs, tried: "_Tried", plain: Tensor) -> None:
    """If no interchange changes a decision, warn if nothing reads what is written."""
    if isinstance(task.model, HookedMLP):
        return
    before = task.decided_by_kept(task.kept(plain)[runs.base.to(plain.device)])
    if torch.equal(before, tried.decided):
        warn_of_unread(task.model, task.examples, [place.hook_name])


def _read_by(task: Task) -> Callable[..., Tensor]:
    """A function for TransformerLens' interchange: examples -> what is kept of the outputs."""

    def read(examples: Examples) -> Tensor:
        return task.kept(require_tensor(examples.call(task.model), len(examples)))

    return read


class _Tried(NamedTuple):
    """The results of the interchanges of one subspace.

    Attributes:
        n_agreed: how many were decided as expected.
        n_nan: after how many the outputs are NaN.
        decided: what the model decides after each.
    """

    n_agreed: int
    n_nan: int
    decided: Int[Tensor, " run"]


def _tried(
    task: Task,
    place: Site,
    step: "SubspaceInterchange | NormMatchedPlacebo",
    runs: Runs,
    expected: Int[Tensor, " run"],
    at_once: int,
    progress: bool,
) -> _Tried:
    """What the model decides on every run with the intervention `step`, and what is expected.

    Args:
        at_once: how many inputs one forward may take.
    """
    from transformer_lens.tools.analysis import interchange as tl

    (source,) = runs.sources
    model, read = _AtSite(task.model, place), _read_by(task)
    examples = task.examples
    seen = tl.collect_activations(
        model, place.hook_name, cast(Tensor, examples), read, batch_size=at_once
    )
    kept: list[Tensor] = []
    parts = torch.arange(len(expected)).split(at_once)
    for part in progress_bar(parts, doing="interchanging", unit="run", progress=progress):
        of_part = tl.intervened_logits(
            model,
            place.hook_name,
            step,
            cast(Tensor, examples[runs.base[part].to(examples.device)]),
            seen[source[part]],
            read,
            batch_size=at_once,
        )
        kept.append(of_part)
    # all at once: a caller's decision may compare the runs
    outputs = torch.cat(kept)
    decided = task.decided_by_kept(outputs)
    # Undecided is neither 0 nor 1, and agrees with nothing.
    n_agreed = int((decided == expected).sum())
    return _Tried(n_agreed, int(is_nan(outputs).sum()), decided)


# under a caller's inference_mode or no_grad there would be no gradients
@torch.inference_mode(mode=False)
def das_accuracy(
    model: HookedModel,
    high_level: HighLevelModel,
    variable: str,
    site: OneSite,
    *,
    inputs: Inputs | None = None,
    features: Features | None = None,
    decide: Decide | None = None,
    model_kwargs: ModelKwargs | None = None,
    max_runs: int | None = None,
    rank: int = 1,
    untrained: HookedModel | None = None,
    seed: int = 0,
    epochs: int = 100,
    output: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> InterchangeAccuracy:
    """Distributed alignment search for one variable at one site, with its controls.

    Without its controls the accuracy says little.

    Named in the result: "das", the learned subspace; "placebo", a random subspace moved as far;
    "arbitrary targets", the accuracy that DAS reaches on random labels, against those labels;
    "untrained network", DAS on the same network with fresh weights, if TransformerLens can give
    them. Sutter et al. 2025 (arXiv 2507.08802): an alignment counts only above its controls.

    Args:
        variable, site: as in `subspace_accuracy`.
        inputs, features, model_kwargs, max_runs, output, max_batch_bytes: as in
            `interchange_accuracy`.
        decide: as in `interchange_accuracy`, but with a score whose slope DAS can follow: a
            decision by `metrics.by_threshold`, `by_argmax` or `by_tokens`, or your own with a
            method `score`, outputs -> a number per example that is positive if 1 is decided.
        rank: dimensions of the subspace.
        untrained: as in `interchange_accuracy`.
        seed: of the sample, the fits, the placebo, the random labels and the fresh weights.

    >>> from xor_mi.handmade import textbook_xor
    >>> algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> hook = "blocks.0.mlp.hook_post"
    >>> list(das_accuracy(textbook_xor(), algorithm, "either", hook, epochs=5).n_runs)
    ['das', 'placebo', 'arbitrary targets', 'untrained network']

    Raises:
        XorMiError: as `subspace_accuracy`, a decision without a score, a model without gradients,
            or one whose score is NaN.
    """
    from transformer_lens.tools.analysis import interchange as tl

    task = read_task(
        model,
        high_level,
        operation="DAS",
        inputs=inputs,
        features=features,
        decide=decide,
        model_kwargs=model_kwargs,
        output=output,
    )
    score = _score_of(model, decide, output)
    epochs = whole_number("epochs", epochs, at_least=1)
    seed = read_seed(seed)
    place, shapes, runs, expected = _trials(task, variable, site, max_runs, seed, max_batch_bytes)
    width = width_of(place, shapes)
    require_hooked_alike(untrained, True, task.examples, shapes)
    rank = whole_number("rank", rank, at_least=1, below=width + 1)
    size = inputs_per_run(model, task.examples, max_batch_bytes)
    # A random label per pair: whatever is learned from these is not the algorithm.
    flat = task.examples.inputs.reshape(len(task), -1).tolist()
    keys = [tuple(numbers) for numbers in flat]
    numbered = zip(runs.base.tolist(), runs.sources[0].tolist(), strict=True)
    pairs = [(keys[base], keys[source]) for base, source in numbered]
    random_labels = tl.arbitrary_targets(pairs, n_classes=2, seed=seed)
    fits = {"das": (task, expected), ARBITRARY: (task, random_labels)}
    why_not: dict[str, str] = {}
    try:
        fresh = untrained_copy(model, seed) if untrained is None else untrained
        fits[UNTRAINED] = replace(task, model=fresh), expected
    except XorMiError as error:
        why_not[UNTRAINED] = str(error)

    learned: dict[str, LearnedSubspace] = {}
    tried: dict[str, _Tried] = {}
    for what, (of_fit, targets) in progress_bar(
        fits.items(), doing="fitting subspaces", unit="fit", progress=progress
    ):
        learned[what] = _fitted(of_fit, place, runs, targets, score, rank, epochs, seed, size)
        step = tl.SubspaceInterchange(learned[what])
        tried[what] = _tried(of_fit, place, step, runs, targets, size, progress)
    # Its own seed: the fits used the other one.
    random_basis = tl.random_basis(width, rank, seed + 1)
    placebo = tl.NormMatchedPlacebo(tl.SubspaceInterchange(learned["das"]), random_basis)
    of_placebo = {PLACEBO: _tried(task, place, placebo, runs, expected, size, progress)}
    plain = _plain_outputs(task, size)
    _warn_of_no_effect(task, place, runs, tried["das"], plain)
    # in this order: the learned subspace, then its controls
    tried = {"das": tried.pop("das")} | of_placebo | tried
    n_agreed = {name: one.n_agreed for name, one in tried.items()}
    n_runs = dict.fromkeys(n_agreed, len(expected))
    warn_of_nan({name: one.n_nan for name, one in tried.items()}, n_runs)
    return InterchangeAccuracy(
        n_agreed=n_agreed,
        n_runs=n_runs,
        n_possible=dict.fromkeys(n_agreed, runs.n_possible),
        sites=dict.fromkeys(n_agreed, place.name),
        n_inputs=len(task),
        n_differing=task.n_differing(plain),
        seed=seed,
        controls={name: name for name in n_agreed if name != "das"},
        why_not=why_not,
        coordinates=coordinates(
            model,
            [(place,)],
            value="interchange of a learned subspace, over (base, source) pairs",
            direction="noising",
        ),
        subspace=learned["das"].basis.detach(),
    )


def _score_of(model: HookedModel, decide: Decide | None, output: int) -> Callable[[Tensor], Tensor]:
    """Outputs -> a number per example that is above 0 if 1 is decided, and has a slope."""
    if decide is None and isinstance(model, HookedMLP):
        return partial(_distance, model.rule, output)
    score = getattr(decide, "score", None)
    if not callable(score):
        raise XorMiError(
            "DAS follows the slope of a decision's score, and this decide= gives only 0 and 1; "
            "give metrics.by_threshold(), by_argmax() or by_tokens(one, zero), or a "
            "decision with a method score(outputs)"
        )
    return partial(_above, score, float(getattr(decide, "cut", 0.0)))


def _distance(rule: DecisionRule, output: int, outputs: Tensor) -> Tensor:
    return rule.distance(outputs)[:, output]


def _above(score: Callable[..., object], cut: float, outputs: Tensor) -> Tensor:
    scores = score(outputs)
    require_kind("what the score of decide= gives", scores, Tensor, give="a number per example")
    assert isinstance(scores, Tensor)
    require_one_each("the score of decide=", scores, outputs)
    return scores - cut


def _two_classes(task: Task, score: Callable[[Tensor], Tensor], at_once: int) -> TaskLogits:
    """The model's decision as two class logits, as TransformerLens' interchange wants them.

    Each call of the returned function is one call of the model.
    """
    largest = score(_plain_outputs(task, at_once)).abs().max()
    # a model whose score is always on the cut has no size to divide by
    unit = largest / LARGEST_LOGIT if largest > 0 else torch.ones_like(largest)

    def logits(examples: Examples) -> Tensor:
        outputs = require_tensor(examples.call(task.model), len(examples))
        distance = score(outputs) / unit
        return torch.stack([-distance, distance], dim=1)

    return logits


def _fitted(
    task: Task,
    place: Site,
    runs: Runs,
    targets: Int[Tensor, " run"],
    score: Callable[[Tensor], Tensor],
    rank: int,
    epochs: int,
    seed: int,
    at_once: int,
) -> "LearnedSubspace":
    """The subspace that DAS learns for these targets."""
    from transformer_lens.tools.analysis import interchange as tl

    examples = task.examples
    base, source = (examples[one.to(examples.device)] for one in (runs.base, runs.sources[0]))
    try:
        fitted = tl.fit_das(
            _AtSite(task.model, place),
            place.hook_name,
            cast(Tensor, base),
            cast(Tensor, source),
            targets,
            _two_classes(task, score, at_once),
            rank=rank,
            epochs=epochs,
            batch_size=len(targets),
            micro_batch_size=min(len(targets), at_once),
            lr=DAS_LEARNING_RATE,
            seed=seed,
        )
    except RuntimeError as error:
        raise XorMiError(
            f"DAS learns by gradients, and this model gives none at '{place.hook_name}': "
            f"{cut_short(str(error), at_most=MOST_OF_A_REASON)}"
        ) from None
    if not all_finite(fitted.subspace.basis):
        raise XorMiError(
            f"DAS learned no subspace at '{place.hook_name}': the score is NaN or infinite on an "
            "input or after an interchange, so the loss has no slope; leave out what gives it"
        )
    return fitted.subspace
