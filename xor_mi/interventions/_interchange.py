"""units set to what they are on other inputs -> does the network follow the algorithm it is said to
implement?

Interchange intervention (Geiger et al. 2025, arXiv 2301.04709, definitions 44 and 48): run the base
input with each aligned site set to its value on a source input, and do the same to the high-level
model's variables; the accuracy is the fraction of (base, source) pairs on which both decide alike.
Subspaces, DAS and their controls are TransformerLens' own
(`transformer_lens.tools.analysis.interchange`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions._run import Values, cache_all, intervene, require_disjoint
from xor_mi.interventions._sites import (
    Coordinates,
    Site,
    SiteSet,
    coordinates,
    edges_on,
    require_mlp,
    require_ready,
    site_of,
    site_sets,
)
from xor_mi.metrics import decision, logit
from xor_mi.model import HookedMLP
from xor_mi.truth import BooleanFunction, as_row, row_name, truth_rows

MAX_RUNS = 1_000_000


@dataclass(frozen=True)
class HighLevelModel:
    """An algorithm over bits: named variables computed from the inputs, and an output computed from
    the variables.

    Attributes:
        variables: name -> formula over x0, x1, ...
        output: formula over the variables' names.

    >>> HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both").table(2)
    (0, 1, 1, 0)
    """

    variables: Mapping[str, str]
    output: str

    def __post_init__(self) -> None:
        if not self.variables:
            raise XorMiError(
                "an algorithm needs at least one variable, such as {'either': 'x0 | x1'}"
            )
        _ = self.readout

    @property
    def readout(self) -> BooleanFunction:
        """The output as a function of the variables, in their order."""
        order = {name: f"x{k}" for k, name in enumerate(self.variables)}
        words = {"and", "or", "not", "xor"}
        for word in re.findall(r"[A-Za-z_]\w*", self.output):
            if word not in order and word.lower() not in words:
                raise unknown("variable", word, order, where="the variables are")
        written = re.sub(r"[A-Za-z_]\w*", lambda m: order.get(m[0], m[0]), self.output)
        return BooleanFunction.from_formula(written, n_inputs=len(order))

    def bits(self, n_inputs: int) -> Tensor:
        """Every variable on every input row, [variable, row]."""
        return torch.tensor(
            [
                BooleanFunction.from_formula(text, n_inputs=n_inputs).bits
                for text in self.variables.values()
            ]
        )

    def table(self, n_inputs: int) -> tuple[int, ...]:
        """The whole algorithm as a truth table over the inputs."""
        return tuple(self.predict(self.bits(n_inputs).T).tolist())

    def predict(self, bits: Tensor) -> Tensor:
        """Variables' bits [..., variable] -> the output's bit."""
        index = torch.zeros(bits.shape[:-1], dtype=torch.long)
        for k in range(bits.shape[-1]):
            index = 2 * index + bits[..., k]
        return torch.tensor(self.readout.bits)[index]


@dataclass(frozen=True)
class Interchange:
    """One interchange: outputs [output] and decisions after setting each site to its value on its
    own source.
    """

    base: str
    sources: dict[str, str]
    outputs: tuple[float, ...]
    decisions: tuple[int, ...]
    coordinates: Coordinates = field(repr=False)


@torch.no_grad()
def interchange(model: Any, sources: Mapping[Any, Any], base: Any) -> Interchange:
    """Run the base input with several sites each set to its value on its own source row.

    >>> from xor_mi.handmade import textbook_xor
    >>> interchange(textbook_xor(), {"h0.0": "11", "h0.1": "00"}, base="01").outputs
    (2.0,)
    """
    require_mlp(model, "interchange")
    require_ready(model, "interchange")
    if not sources:
        raise XorMiError(
            "no sources given; name at least one site and the row it takes its value from"
        )
    pairs = [(site_of(model, place), as_row(row, model.cfg.d_in)) for place, row in sources.items()]
    together = tuple(site for site, _ in pairs)
    base_row = as_row(base, model.cfg.d_in)
    _require_apart(model, together)
    rows = {site: torch.tensor([k]) for k, (site, _) in enumerate(pairs, start=1)}
    plain = model.rows([base_row, *(row for _, row in pairs)])
    read = {str(k): (lambda outputs, k=k: outputs[:, k]) for k in range(model.cfg.d_out)}
    with edges_on(model, [together]):
        values = intervene(
            model, plain, slice(0, 1), [together], _each_from_its_source(rows), read
        )[1][:, 0, 0]
    decided = decision(values, model.threshold)
    named = {site.name: row_name(row) for site, row in pairs}
    said = coordinates(True, [together], "interchange, each site from its own source", "noising")
    return Interchange(
        row_name(base_row), named, tuple(values.tolist()), tuple(decided.tolist()), said
    )


@dataclass(frozen=True)
class InterchangeAccuracy:
    """How often network and algorithm decide alike, per variable and for all variables together,
    each with its own source.

    Attributes:
        agreed, exact: variable (or "(joint)") -> pairs decided alike; pairs on which the output
            also *is* the predicted 0 or 1.
        runs: variable (or "(joint)") -> how many interchanges were tried.
    """

    agreed: dict[str, int]
    exact: dict[str, int]
    runs: dict[str, int]
    alignment: dict[str, str] = field(repr=False)
    coordinates: Coordinates = field(repr=False)

    def accuracy(self, variable: str = "(joint)") -> float:
        """Fraction of the interchanges of this variable decided alike."""
        if variable not in self.agreed:
            raise unknown("variable", variable, self.agreed, where="there are")
        return self.agreed[variable] / self.runs[variable]

    def frame(self) -> pd.DataFrame:
        """One line per variable and one for all jointly: variable, sites, n_agreed, n_exact_value,
        n_runs, accuracy.
        """
        lines = []
        for name, runs in self.runs.items():
            counts = {
                "n_agreed": self.agreed[name],
                "n_exact_value": self.exact[name],
                "n_runs": runs,
            }
            lines.append(
                {"variable": name, "sites": self.alignment.get(name, "all")}
                | counts
                | {"accuracy": self.agreed[name] / runs}
            )
        return pd.DataFrame(lines)


@torch.no_grad()
def interchange_accuracy(
    model: Any,
    high_level: HighLevelModel,
    alignment: Mapping[str, Any],
    *,
    joint: bool = True,
    output: int = 0,
    max_batch_bytes: int | None = None,
) -> InterchangeAccuracy:
    """Interchange accuracy over all (base, source) pairs: each variable alone, and all aligned
    variables jointly with a source each.

    Args:
        alignment: variable -> the site, or the sites, that carry it.

    Raises:
        XorMiError: a variable the algorithm has not, sites that two variables share, or too many
            joint runs.
    """
    require_mlp(model, "interchange accuracy")
    require_ready(model, "interchange accuracy")
    names, rows = list(high_level.variables), truth_rows(model.cfg.d_in)
    for name in alignment:
        if name not in names:
            raise unknown("variable", name, names, where="the algorithm has")
    aligned = {name: site_sets(model, [alignment[name]])[0] for name in names if name in alignment}
    flat = [site for together in aligned.values() for site in together]
    if not flat:
        raise XorMiError("align at least one variable with the sites that carry it")
    _require_apart(model, flat)
    bits = high_level.bits(model.cfg.d_in)
    groups = [(name, [name]) for name in aligned] + (
        [("(joint)", list(aligned))] if joint and len(aligned) > 1 else []
    )
    if max(len(rows) ** (1 + len(group)) for _, group in groups) > MAX_RUNS:
        raise XorMiError(
            f"over {MAX_RUNS} joint interchanges; pass joint=False, or align fewer variables"
        )
    agreed, exact, runs = {}, {}, {}
    for label, group in groups:
        sources = torch.tensor(
            list(product(range(len(rows)), repeat=1 + len(group)))
        )  # base, then a source per variable
        outputs = _run_group(
            model, {name: aligned[name] for name in group}, group, sources, output, max_batch_bytes
        )
        predicted = bits[:, sources[:, 0]].clone()
        for k, name in enumerate(group, start=1):
            predicted[names.index(name)] = bits[names.index(name), sources[:, k]]
        expected = high_level.predict(predicted.T)
        agreed[label] = int((decision(outputs, model.threshold).cpu() == expected).sum())
        exact[label] = int(
            torch.isclose(outputs.cpu(), expected.to(outputs.dtype), atol=1e-6).sum()
        )
        runs[label] = len(sources)
    said = {name: " + ".join(site.name for site in together) for name, together in aligned.items()}
    placed = coordinates(
        True, list(aligned.values()), "interchange, over all (base, source) pairs", "noising"
    )
    return InterchangeAccuracy(agreed, exact, runs, said, placed)


def _run_group(
    model: HookedMLP,
    aligned: Mapping[str, SiteSet],
    group: Sequence[str],
    sources: Tensor,
    output: int,
    max_batch_bytes: int | None,
) -> Tensor:
    """Outputs [run] with every variable of the group set from its own source column."""
    together = tuple(site for name in group for site in aligned[name])
    rows = {site: sources[:, k] for k, name in enumerate(group, start=1) for site in aligned[name]}
    read = {"logit": lambda outputs: logit(outputs, output)}
    with edges_on(model, [together]):
        return intervene(
            model,
            model.rows(),
            sources[:, 0],
            [together],
            _each_from_its_source(rows),
            read,
            max_batch_bytes,
        )[1][0, 0]


def _require_apart(model: HookedMLP, sites: Sequence[Site]) -> None:
    """Targets are disjoint (definition 44): no place may take its value from two sources."""
    with edges_on(model, [tuple(sites)]):
        _, cache = cache_all(model, model.rows()[:1])
    require_disjoint(
        [0] * len(sites), sites, {name: value.shape[1:] for name, value in cache.items()}
    )


def _each_from_its_source(rows: Mapping[Site, Tensor]) -> Values:
    """Each site takes its value from its own plain inputs, site -> their numbers [base]."""

    def values(hook_name: str, seen: Tensor) -> Tensor:
        here = [site for site in rows if site.hook_name == hook_name]
        new = seen[rows[here[0]]]  # a copy; what no site of this hook covers is not written
        for site in here[1:]:
            where = (slice(None), *site.slices)
            new[where] = seen[rows[site]][where]
        return new

    return values


def _two_classes(model: HookedMLP, output: int) -> Any:
    """The model's decision as two class logits, as TransformerLens' interchange wants them; one
    call of the model each.
    """

    def logits(inputs: Tensor) -> Tensor:
        distance = logit(model(inputs), output) - model.threshold
        return torch.stack([-distance, distance], dim=1)

    return logits


def _all_runs(
    model: HookedMLP, high_level: HighLevelModel, variable: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Base inputs, source inputs and the algorithm's decision for every (base, source) pair, this
    variable from the source.
    """
    names = list(high_level.variables)
    if variable not in names:
        raise unknown("variable", variable, names, where="the algorithm has")
    rows, bits = model.rows(), high_level.bits(model.cfg.d_in)
    base, source = (
        side.flatten()
        for side in torch.meshgrid(torch.arange(len(rows)), torch.arange(len(rows)), indexing="ij")
    )
    mixed = bits[:, base].clone()
    mixed[names.index(variable)] = bits[names.index(variable), source]
    return rows[base], rows[source], high_level.predict(mixed.T)


def subspace_accuracy(
    model: Any,
    high_level: HighLevelModel,
    variable: str,
    site: str,
    basis: Any,
    *,
    output: int = 0,
) -> tuple[int, int]:
    """Pairs decided alike, and pairs tried, with the coordinates in `basis` [d, rank] of a hook's
    activation taken from the source.

    Runs through TransformerLens' `SubspaceInterchange`; the basis may be `neuron_basis(...)`, any
    orthonormal matrix, a learned subspace, or a whole intervention such as a `NormMatchedPlacebo`.

    >>> from xor_mi.handmade import textbook_xor
    >>> either_not_both = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> first_unit = torch.tensor([[1.0], [0.0]])
    >>> subspace_accuracy(textbook_xor(), either_not_both, "either", "blocks.0.mlp.hook_post", first_unit)
    (16, 16)
    """
    from transformer_lens.tools.analysis import interchange as tl

    require_mlp(model, "subspace interchange")
    require_ready(model, "subspace interchange")
    site_of(model, Site(site))
    bases, sources, expected = _all_runs(model, high_level, variable)
    read = _two_classes(model, output)
    activations = tl.collect_activations(model, site, sources, read)
    step: Any = basis
    if not isinstance(basis, (tl.SubspaceInterchange, tl.NormMatchedPlacebo)):
        _require_orthonormal(basis, activations.shape[1])
        step = tl.SubspaceInterchange(basis)
    logits = tl.intervened_logits(model, site, step, bases, activations, read)
    return int(((logits[:, 1] > 0).long().cpu() == expected).sum()), len(expected)


def _require_orthonormal(basis: Any, width: int) -> None:
    """The columns of [width, rank] are perpendicular and of length 1; with others, coordinates are
    not what is swapped.
    """
    if (
        not isinstance(basis, Tensor)
        or basis.ndim != 2
        or basis.shape[0] != width
        or not 1 <= basis.shape[1] <= width
    ):
        got = list(basis.shape) if isinstance(basis, Tensor) else type(basis).__name__
        raise XorMiError(
            f"the basis is {got}; give a tensor [{width}, rank] of rank 1 to {width}, such as neuron_basis({width}, [0])"
        )
    if not torch.allclose(basis.T @ basis, torch.eye(basis.shape[1]).to(basis), atol=1e-4):
        raise XorMiError(
            "the basis is not orthonormal: its columns must be perpendicular and of length 1 (torch.linalg.qr makes them so)"
        )


def das_accuracy(
    model: Any,
    high_level: HighLevelModel,
    variable: str,
    site: str,
    *,
    rank: int = 1,
    seed: int = 0,
    epochs: int = 100,
    output: int = 0,
) -> pd.DataFrame:
    """Distributed alignment search for one variable at one hook, with the controls without which it
    says little.

    Lines: "das", the learned subspace; "placebo", a random subspace moved as far; "arbitrary
    targets", what DAS reaches on random labels (accuracy against those labels); "untrained
    network", DAS on the same network with fresh weights. Sutter et al. 2025 (arXiv 2507.08802): an
    alignment counts only above its controls. Columns: what, n_agreed, n_runs, accuracy.

    >>> from xor_mi.handmade import textbook_xor
    >>> either_not_both = HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both")
    >>> das_accuracy(textbook_xor(), either_not_both, "either", "blocks.0.mlp.hook_post", epochs=5)["what"].tolist()
    ['das', 'placebo', 'arbitrary targets', 'untrained network']
    """
    from transformer_lens.tools.analysis import interchange as tl

    require_mlp(model, "DAS")
    require_ready(model, "DAS")
    site_of(model, Site(site))
    bases, sources, expected = _all_runs(model, high_level, variable)
    settings: dict[str, Any] = {
        "rank": rank,
        "epochs": epochs,
        "batch_size": len(bases),
        "lr": 0.05,
        "seed": seed,
    }

    def fitted(network: Any, targets: Tensor) -> tuple[Any, int]:
        read = _two_classes(network, output)
        step = tl.SubspaceInterchange(
            tl.fit_das(network, site, bases, sources, targets, read, **settings).subspace
        )
        activations = tl.collect_activations(network, site, sources, read)
        logits = tl.intervened_logits(network, site, step, bases, activations, read)
        return step, int(((logits[:, 1] > 0).long() == targets).sum())

    step, found = fitted(model, expected)
    width = tl.collect_activations(model, site, sources, _two_classes(model, output)).shape[1]
    placebo = tl.NormMatchedPlacebo(step, tl.random_basis(width, rank, seed + 1))
    arbitrary = tl.arbitrary_targets(
        [(tuple(b), tuple(s)) for b, s in zip(bases.tolist(), sources.tolist(), strict=True)],
        2,
        seed,
    )
    lines = {
        "das": found,
        "placebo": subspace_accuracy(model, high_level, variable, site, placebo, output=output)[0],
        "arbitrary targets": fitted(model, arbitrary)[1],
        "untrained network": fitted(tl.reinitialized(model, seed), expected)[1],
    }
    n = len(expected)
    return pd.DataFrame(
        [
            {"what": what, "n_agreed": count, "n_runs": n, "accuracy": count / n}
            for what, count in lines.items()
        ]
    )
