"""units set to what they are on other inputs -> does the network follow an algorithm?

Interchange intervention (Geiger et al. 2025, arXiv 2301.04709, definitions 44 and 48): run the base
input with each aligned site set to its value on a source input, and do the same to the high-level
model's variables; the accuracy is the fraction of (base, source) pairs on which both decide alike.
Subspaces, DAS and their controls are TransformerLens' own
(`transformer_lens.tools.analysis.interchange`).

The package interchanges in five places, each the fastest for its own question. This module, with
hooks, takes any alignment and lets a user's hooks act. `circuits` has two: `identify_circuit`
sweeps every unit over every (source, base) pair with `patch_sweep`, and its evidence replaces whole
layers in float64 arithmetic on the weights (`forward_float64`), where hooks play no part. The hooks
here and that arithmetic share nothing but the definition: they are each other's oracle
(tests/test_circuit_evidence.py). `search` does it in NumPy for thousands of subcircuits, held
against plain TransformerLens hooks by its tests; and `identify_many` in one tensor for thousands of
networks, held against `identify_circuit`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, product
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import SEEDS_BELOW, XorMiError, require_kind, unknown, whole_number
from xor_mi.finding import Finding
from xor_mi.graph import name_of_set
from xor_mi.interventions._high_level import HighLevelModel
from xor_mi.interventions._readout import Readers, readers_of
from xor_mi.interventions._run import Replacement, cache_all, intervene, require_disjoint
from xor_mi.interventions._sites import (
    Coordinates,
    Site,
    SiteSet,
    coordinates,
    edges_where_needed,
    entries_of,
    require_mlp,
    require_ready,
    site_of,
    site_sets,
)
from xor_mi.kinds import OneSite, Row, SomeSite
from xor_mi.metrics import score
from xor_mi.model import HookedMLP, decide, kind_of_hook
from xor_mi.progress import progress_bar
from xor_mi.truth import as_row, row_name, truth_rows

if TYPE_CHECKING:
    from transformer_lens.tools.analysis.interchange import (
        LearnedSubspace,
        NormMatchedPlacebo,
        SubspaceInterchange,
    )

MAX_RUNS = 1_000_000
"""More interchanges of one alignment than this are refused rather than begun."""

JOINT = "(joint)"
"""All aligned variables at once, each with a source of its own."""

DAS_LEARNING_RATE = 0.05
"""Adam's, for the subspace; five times TransformerLens' default."""

SAME_VALUE = 1e-6
"""An output this close to the predicted 0 or 1 also has its value.

Where all outputs are smaller than 1, this part of the largest: of outputs of a millionth, none but
a zero is 0.
"""

LARGEST_LOGIT = 5.0
"""DAS sees the network's decisions as logits of at most this size on the rows.

It minimises cross-entropy, which has hardly a slope where all logits are tiny, or none where they
are huge: how an output is scaled must not decide what is found.
"""


@dataclass(frozen=True)
class Interchange(Finding):
    """One interchange: each site set to its value on its own source.

    Attributes:
        base: the row that is run.
        sources: site -> the row it takes its value from.
        outputs: per output of the network, after the interchange.
        decisions: what is decided by them: one per output, but only one by argmax over two.
        coordinates: what was intervened on and how.
    """

    base: str
    sources: dict[str, str]
    outputs: tuple[float, ...]
    decisions: tuple[int, ...]
    coordinates: Coordinates = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """One line per output: base, sources, output, value, decision.

        By argmax over two outputs the one decision stands at y1, which wins or does not.
        """
        sources = ", ".join(f"{site} from {row}" for site, row in self.sources.items())
        decisions: object = self.decisions
        if len(self.decisions) < len(self.outputs):
            without = [None] * (len(self.outputs) - len(self.decisions))
            decisions = pd.array([*without, *self.decisions], dtype="Int64")
        return pd.DataFrame(
            {
                "base": self.base,
                "sources": sources,
                "output": [f"y{k}" for k in range(len(self.outputs))],
                "value": self.outputs,
                "decision": decisions,
            }
        )


@torch.no_grad()
def interchange(model: HookedMLP, sources: Mapping[SomeSite, Row], base: Row) -> Interchange:
    """Run the base input with several sites each set to its value on its own source row.

    >>> from xor_mi.handmade import textbook_xor
    >>> interchange(textbook_xor(), {"h0.0": "11", "h0.1": "00"}, base="01").outputs
    (2.0,)

    Raises:
        XorMiError: no sources, sites that overlap, and all that `patch_sweep` refuses.
    """
    require_kind("sources", sources, Mapping, give="sites and rows, such as {'h0.0': '11'}")
    require_mlp(model, "interchange")
    require_ready(model, "interchange")
    if not sources:
        raise XorMiError(
            "no sources given; name at least one site and the row it takes its value from"
        )
    d_in, d_out = model.cfg.d_in, model.cfg.d_out
    source_of = {site_of(model, place): as_row(row, d_in) for place, row in sources.items()}
    # Not the keys of `source_of`, in which two names of one site have become one.
    together = tuple([site_of(model, place) for place in sources])
    base_row = as_row(base, d_in)
    _require_apart(model, together)
    # The plain inputs are the base, then one source per site.
    plain = model.rows([base_row, *source_of.values()])
    numbers = {site: torch.tensor([k]) for k, site in enumerate(source_of, start=1)}
    names = tuple([f"y{k}" for k in range(d_out)])
    functions = tuple([(name, partial(score, output=k)) for k, name in enumerate(names)])
    with edges_where_needed(model, [together]):
        _, values = intervene(
            model,
            plain,
            slice(0, 1),
            [together],
            replacement=_each_from_its_source(numbers),
            readers=Readers(metrics=names, functions=functions),
        )
    # [output, site, base], of the one set of sites and the one base.
    outputs = values[:, 0, 0]
    return Interchange(
        base=row_name(base_row),
        sources={site.name: row_name(row) for site, row in source_of.items()},
        outputs=tuple(outputs.tolist()),
        decisions=tuple(model.rule.decide(outputs).tolist()),
        coordinates=coordinates(
            model,
            [together],
            value="interchange, each site from its own source",
            direction="noising",
        ),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class InterchangeAccuracy(Finding):
    """How often network and algorithm decide alike under interchange.

    What was interchanged has a name: a variable of the algorithm, or "(joint)" for all of them at
    once; of `das_accuracy`, "das" and its controls.

    Attributes:
        n_agreed: name -> interchanges decided alike.
        n_runs: name -> how many were tried.
        n_matched_value: name -> interchanges on which the output also *is* the predicted 0 or 1;
            None where this is not measured, as by argmax, where no single output says 0 or 1.
        sites: name -> where it was taken from the source.
        coordinates: what was intervened on and how.
        subspace: an orthonormal basis of what DAS learned, [width, rank]; None elsewhere.
    """

    n_agreed: dict[str, int]
    n_runs: dict[str, int]
    sites: dict[str, str]
    coordinates: Coordinates = field(repr=False)
    n_matched_value: dict[str, int] | None = None
    subspace: Float[Tensor, "width rank"] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        lines = [
            f"{name} ({self.sites[name]}): {self.n_agreed[name]} of {n_runs} decided alike"
            for name, n_runs in self.n_runs.items()
        ]
        return "\n".join(["Interchange accuracy", *lines])

    def accuracy(self, what: str | None = None) -> float:
        """The fraction of the interchanges decided alike.

        By default of all variables jointly, or of the only one there is.

        Raises:
            XorMiError: a name that is not there, or none given where there are several.
        """
        if what is None:
            what = next(iter(self.n_runs)) if len(self.n_runs) == 1 else JOINT
        # a list, so that a value without a hash gets the message and not a TypeError
        if what not in list(self.n_runs):
            raise unknown("variable", what, self.n_runs, where="there are")
        return self.n_agreed[what] / self.n_runs[what]

    def frame(self) -> pd.DataFrame:
        """One line per name.

        Columns what, sites, n_agreed, n_matched_value where it is measured, n_runs, accuracy.
        """
        columns: dict[str, object] = {
            "what": list(self.n_runs),
            "sites": [self.sites[name] for name in self.n_runs],
            "n_agreed": [self.n_agreed[name] for name in self.n_runs],
        }
        if self.n_matched_value is not None:
            columns["n_matched_value"] = [self.n_matched_value[name] for name in self.n_runs]
        columns["n_runs"] = list(self.n_runs.values())
        columns["accuracy"] = [self.accuracy(name) for name in self.n_runs]
        return pd.DataFrame(columns)


@torch.no_grad()
def interchange_accuracy(
    model: HookedMLP,
    high_level: HighLevelModel,
    alignment: Mapping[str, OneSite | Sequence[OneSite]],
    *,
    joint: bool = True,
    output: int = 0,
    max_batch_bytes: int | None = None,
    progress: bool = True,
) -> InterchangeAccuracy:
    """Interchange accuracy over all (base, source) pairs.

    Each variable is interchanged alone, and all aligned variables jointly with a source each.

    Args:
        alignment: variable -> the site, or the sites, that carry it.
        joint: whether the joint interchanges are tried as well.
        output: the number of the decision that is compared.
        max_batch_bytes: as in `patch_sweep`.

    >>> from xor_mi.handmade import textbook_xor
    >>> algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> interchange_accuracy(textbook_xor(), algorithm, {"either": "h0.0", "both": "h0.1"}).n_agreed
    {'either': 16, 'both': 16, '(joint)': 64}

    Raises:
        XorMiError: a variable the algorithm does not have, sites that two variables share, or too
            many joint runs.
    """
    require_kind("high_level", high_level, HighLevelModel, give="a HighLevelModel")
    require_kind("alignment", alignment, Mapping, give="variables and sites, {'both': 'h0.1'}")
    require_mlp(model, "interchange accuracy")
    require_ready(model, "interchange accuracy")
    names = list(high_level.variables)
    aligned = _aligned(model, names, alignment)
    groups = {name: [name] for name in aligned}
    if joint and len(aligned) > 1:
        groups[JOINT] = list(aligned)
    n_rows = len(truth_rows(model.cfg.d_in))
    # A row for the base, and one more per variable of the group.
    if max(n_rows ** (1 + len(group)) for group in groups.values()) > MAX_RUNS:
        raise XorMiError(
            f"over {MAX_RUNS} joint interchanges; pass joint=False, or align fewer variables"
        )
    bits = high_level.bits(model.cfg.d_in)
    readers = readers_of(model, None, output, model.rows())
    n_agreed: dict[str, int] = {}
    n_matched: dict[str, int] = {}
    n_runs: dict[str, int] = {}
    for label, group in groups.items():
        # One run per line: the base's row number, then a source's per variable.
        runs = torch.tensor(list(product(range(n_rows), repeat=1 + len(group))))
        rows: dict[Site, Tensor] = {}
        for k, name in enumerate(group, start=1):
            rows |= dict.fromkeys(aligned[name], runs[:, k])
        with edges_where_needed(model, [tuple(rows)]):
            _, values = intervene(
                model,
                model.rows(),
                runs[:, 0],
                [tuple(rows)],
                replacement=_each_from_its_source(rows),
                readers=readers,
                max_batch_bytes=max_batch_bytes,
                progress=progress,
            )
        # [function, site, run]: the first function is the score, and there is one set of sites.
        outputs = values[0, 0].cpu()
        # The same on the algorithm: the base's bits, with the group's from their sources.
        mixed = bits[:, runs[:, 0]].clone()
        for k, name in enumerate(group, start=1):
            variable = names.index(name)
            mixed[variable] = bits[variable, runs[:, k]]
        predicted = high_level.predict(mixed.T)
        within = SAME_VALUE * min(1.0, outputs.abs().max().item())
        close = (outputs - predicted).abs() <= within
        decided = decide(outputs, cut=model.rule.cut)
        n_agreed[label] = int((decided == predicted).sum())
        n_matched[label] = int(close.sum())
        n_runs[label] = len(runs)
    sites = {name: name_of_set(together) for name, together in aligned.items()}
    return InterchangeAccuracy(
        n_agreed=n_agreed,
        n_runs=n_runs,
        n_matched_value=n_matched if model.rule.name == "threshold" else None,
        sites={label: sites.get(label, "all") for label in groups},
        coordinates=coordinates(
            model,
            list(aligned.values()),
            value="interchange, over all (base, source) pairs",
            direction="noising",
        ),
    )


def _aligned(
    model: HookedMLP, names: Sequence[str], alignment: Mapping[str, OneSite | Sequence[OneSite]]
) -> dict[str, SiteSet]:
    """Variable -> its sites, in the order of the algorithm, checked to be apart."""
    for name in alignment:
        if name not in names:
            raise unknown("variable", name, names, where="the algorithm has")
    aligned = {name: site_sets(model, [alignment[name]])[0] for name in names if name in alignment}
    if not aligned:
        raise XorMiError("align at least one variable with the sites that carry it")
    _require_apart(model, list(chain.from_iterable(aligned.values())))
    return aligned


def _require_apart(model: HookedMLP, sites: Sequence[Site]) -> None:
    """Targets are disjoint (definition 44): no place may take its value from two sources."""
    with edges_where_needed(model, [tuple(sites)]):
        _, cache = cache_all(model, model.rows()[:1], [site.hook_name for site in sites])
    shapes = {name: value.shape[1:] for name, value in cache.items()}
    require_disjoint([0] * len(sites), sites, shapes)


def _each_from_its_source(rows: Mapping[Site, Tensor]) -> Replacement:
    """Each site takes its value from its own plain inputs, site -> their numbers [base]."""

    def replacement(hook_name: str, activation: Tensor, numbers: Tensor) -> Tensor:
        here = [site for site in rows if site.hook_name == hook_name]
        # the rows were listed on the CPU, the runs are where the model is
        of_run = {site: rows[site].to(numbers.device)[numbers] for site in here}
        # a copy; what no site of this hook covers is not written
        new = activation[of_run[here[0]]]
        for site in here[1:]:
            entries = entries_of(site, activation)
            new[entries] = activation[of_run[site]][entries]
        return new

    return replacement


@dataclass(frozen=True)
class _Runs:
    """Every (base, source) pair of rows, one variable taken from the source.

    base, source: inputs [run, d_in]; expected: the algorithm's decision, [run].
    """

    base: Tensor
    source: Tensor
    expected: Tensor


def _all_runs(model: HookedMLP, high_level: HighLevelModel, variable: str) -> _Runs:
    names = list(high_level.variables)
    if variable not in names:
        raise unknown("variable", variable, names, where="the algorithm has")
    rows, bits = model.rows(), high_level.bits(model.cfg.d_in)
    pairs = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(rows)))
    base, source = pairs.unbind(1)
    mixed = bits[:, base].clone()
    mixed[names.index(variable)] = bits[names.index(variable), source]
    return _Runs(rows[base], rows[source], high_level.predict(mixed.T))


def _two_classes(model: HookedMLP, output: int) -> Callable[[Tensor], Tensor]:
    """The model's decision as two class logits, as TransformerLens' interchange wants them.

    Each call of what is returned is one call of the model.
    """
    with torch.no_grad():
        on_rows = model.rule.distance(model(model.rows()))[:, output]
    largest = on_rows.abs().max()
    # a network whose output is on the threshold throughout has no size to divide by
    unit = largest / LARGEST_LOGIT if largest > 0 else torch.ones_like(largest)

    def logits(inputs: Tensor) -> Tensor:
        distance = model.rule.distance(model(inputs))[:, output] / unit
        return torch.stack([-distance, distance], dim=1)

    return logits


def _whole_hook(model: HookedMLP, site: OneSite) -> str:
    """The hook that a subspace lies in. TransformerLens takes all of a hook [batch, width]."""
    try:
        hook = site_of(model, site)
    except XorMiError:  # whatever it is called, a hook was meant
        raise unknown("hook", site, model.hook_dict, where="this model has") from None
    # TransformerLens reads and writes all of a hook; an index would be left out in silence.
    if hook.index:
        raise XorMiError(
            f"{hook.name} is one place in '{hook.hook_name}', and a subspace lies in a whole "
            "hook: give the hook, and a basis that has this place as its only direction"
        )
    if kind_of_hook(hook.hook_name) == "edge":
        of_units, _ = model.hook_site(model.units[0])
        raise XorMiError(
            f"'{hook.hook_name}' holds a term per edge, [batch, target, source]; a subspace lies "
            f"in a hook of units, such as '{of_units}'"
        )
    return hook.hook_name


def subspace_accuracy(
    model: HookedMLP,
    high_level: HighLevelModel,
    variable: str,
    site: OneSite,
    basis: "Tensor | SubspaceInterchange | NormMatchedPlacebo",
    *,
    output: int = 0,
) -> InterchangeAccuracy:
    """On how many (base, source) pairs do network and algorithm decide alike?

    Of a hook's activation the coordinates in `basis` are taken from the source.

    Runs through TransformerLens' `SubspaceInterchange`.

    Args:
        variable: the variable of the algorithm that is taken from the source.
        site: a whole hook, such as "blocks.0.mlp.hook_post".
        basis: an orthonormal matrix [width, rank], such as `neuron_basis(...)` or a learned
            subspace, or a whole intervention such as a `NormMatchedPlacebo`.

    >>> from xor_mi.handmade import textbook_xor
    >>> algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> first_unit = torch.tensor([[1.0], [0.0]])
    >>> hook = "blocks.0.mlp.hook_post"
    >>> subspace_accuracy(textbook_xor(), algorithm, "either", hook, first_unit).n_agreed
    {'either': 16}

    Raises:
        XorMiError: an unknown variable or hook, a site that is not a whole hook of units, or a
            basis that is not orthonormal.
    """
    from transformer_lens.tools.analysis import interchange as tl

    require_mlp(model, "subspace interchange")
    require_ready(model, "subspace interchange")
    hook_name = _whole_hook(model, site)
    model.require_output(output)
    runs = _all_runs(model, high_level, variable)
    if isinstance(basis, (tl.SubspaceInterchange, tl.NormMatchedPlacebo)):
        step = basis
    else:
        step = tl.SubspaceInterchange(_require_orthonormal(basis, _width(model, hook_name, runs)))
    return InterchangeAccuracy(
        n_agreed={variable: _n_agreed(model, hook_name, step, runs, output)},
        n_runs={variable: len(runs.expected)},
        sites={variable: hook_name},
        coordinates=coordinates(
            model,
            [(Site(hook_name),)],
            value="interchange of a subspace, over all (base, source) pairs",
            direction="noising",
        ),
    )


def _n_agreed(
    model: HookedMLP,
    hook_name: str,
    step: "SubspaceInterchange | NormMatchedPlacebo",
    runs: _Runs,
    output: int,
) -> int:
    """On how many runs the network, intervened on by `step`, decides as expected."""
    from transformer_lens.tools.analysis import interchange as tl

    read = _two_classes(model, output)
    activations = tl.collect_activations(model, hook_name, runs.source, read)
    logits = tl.intervened_logits(model, hook_name, step, runs.base, activations, read)
    # Undecided is neither 0 nor 1, and agrees with nothing.
    return int((decide(logits[:, 1].cpu()) == runs.expected).sum())


def _width(model: HookedMLP, hook_name: str, runs: _Runs) -> int:
    """How many numbers a hook holds per input."""
    _, cache = cache_all(model, runs.source[:1], [hook_name])
    return cache[hook_name].shape[1]


def _require_orthonormal(basis: object, width: int) -> Tensor:
    """The columns of [width, rank] must be perpendicular and of length 1.

    With others, coordinates are not what is swapped.
    """
    shape = list(basis.shape) if isinstance(basis, Tensor) else None
    fits = shape is not None and len(shape) == 2 and 1 <= shape[1] <= shape[0] == width
    if not isinstance(basis, Tensor) or not fits:
        raise XorMiError(
            f"the basis is {shape or type(basis).__name__}; give a tensor [{width}, rank] of rank "
            f"1 to {width}, such as neuron_basis({width}, [0])"
        )
    # lengths and angles have no unit
    if not torch.allclose(basis.T @ basis, torch.eye(basis.shape[1]).to(basis), atol=1e-4):
        raise XorMiError(
            "the basis is not orthonormal: its columns must be perpendicular and of length 1 "
            "(torch.linalg.qr makes them so)"
        )
    return basis


def das_accuracy(
    model: HookedMLP,
    high_level: HighLevelModel,
    variable: str,
    site: OneSite,
    *,
    rank: int = 1,
    seed: int = 0,
    epochs: int = 100,
    output: int = 0,
    progress: bool = True,
) -> InterchangeAccuracy:
    """Distributed alignment search for one variable at one hook, with its controls.

    Without them it says little.

    Named in the result: "das", the learned subspace; "placebo", a random subspace moved as far;
    "arbitrary targets", what DAS reaches on random labels (accuracy against those labels);
    "untrained network", DAS on the same network with fresh weights. Sutter et al. 2025 (arXiv
    2507.08802): an alignment counts only above its controls.

    Args:
        variable, site: as in `subspace_accuracy`.
        rank: dimensions of the subspace.
        seed: of the fits, the placebo, the random labels and the fresh weights.

    >>> from xor_mi.handmade import textbook_xor
    >>> algorithm = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> hook = "blocks.0.mlp.hook_post"
    >>> list(das_accuracy(textbook_xor(), algorithm, "either", hook, epochs=5).n_runs)
    ['das', 'placebo', 'arbitrary targets', 'untrained network']

    Raises:
        XorMiError: as `subspace_accuracy`.
    """
    from transformer_lens.tools.analysis import interchange as tl

    require_mlp(model, "DAS")
    require_ready(model, "DAS")
    hook_name = _whole_hook(model, site)
    model.require_output(output)
    runs = _all_runs(model, high_level, variable)
    width = _width(model, hook_name, runs)
    rank = whole_number("rank", rank, at_least=1, below=width + 1)
    epochs = whole_number("epochs", epochs, at_least=1)
    seed = whole_number("seed", seed, below=SEEDS_BELOW - 1)  # the placebo takes the next one
    base_rows = [tuple(row) for row in runs.base.tolist()]
    source_rows = [tuple(row) for row in runs.source.tolist()]
    # A label per pair at random: whatever is learned of these, it is not the algorithm.
    pairs = list(zip(base_rows, source_rows, strict=True))
    random_labels = tl.arbitrary_targets(pairs, n_classes=2, seed=seed)
    fits = {
        "das": (model, runs),
        "arbitrary targets": (model, _Runs(runs.base, runs.source, random_labels)),
        "untrained network": (tl.reinitialized(model, seed), runs),
    }
    learned: dict[str, LearnedSubspace] = {}
    agreed: dict[str, int] = {}
    for what, (network, of_network) in progress_bar(
        fits.items(), doing="fitting subspaces", unit="fit", progress=progress
    ):
        fitted = tl.fit_das(
            network,
            hook_name,
            of_network.base,
            of_network.source,
            of_network.expected,
            _two_classes(network, output),
            rank=rank,
            epochs=epochs,
            batch_size=len(of_network.base),
            lr=DAS_LEARNING_RATE,
            seed=seed,
        )
        learned[what] = fitted.subspace
        step = tl.SubspaceInterchange(fitted.subspace)
        agreed[what] = _n_agreed(network, hook_name, step, of_network, output)
    # A seed of its own: the fits used the other one.
    random_basis = tl.random_basis(width, rank, seed + 1)
    placebo = tl.NormMatchedPlacebo(tl.SubspaceInterchange(learned["das"]), random_basis)
    n_agreed = {
        "das": agreed["das"],
        "placebo": _n_agreed(model, hook_name, placebo, runs, output),
        "arbitrary targets": agreed["arbitrary targets"],
        "untrained network": agreed["untrained network"],
    }
    return InterchangeAccuracy(
        n_agreed=n_agreed,
        n_runs=dict.fromkeys(n_agreed, len(runs.expected)),
        sites=dict.fromkeys(n_agreed, hook_name),
        coordinates=coordinates(
            model,
            [(Site(hook_name),)],
            value="interchange of a learned subspace, over all (base, source) pairs",
            direction="noising",
        ),
        subspace=learned["das"].basis.detach(),
    )
