"""model, clean, corrupted, sites, metric -> what each site adds to the logits directly.

On a HookedMLP it is read off the readout's weights. On a transformer it is direct logit
attribution: what a site writes into the residual stream, times the direction of the metric there,
with the last norm's scale frozen at the corrupted run (Elhage et al. 2021, "A Mathematical
Framework for Transformer Circuits"; TransformerLens' `ActivationCache.logit_attrs`). That needs a
stream that is the sum of what is written into it, and logits that are linear in it: both are
checked on the model's own numbers, and other models are refused.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import XorMiError, cut_short
from xor_mi.graph import Edge, Unit
from xor_mi.interventions._examples import Examples, as_examples
from xor_mi.interventions._forward import OnActivation, cache_all, run_hooked
from xor_mi.interventions._gradients import (
    carried_back,
    checked_metric,
    in_float32,
    inputs_with_gradients,
    metric_gradients,
    replace_by,
    run_with_graph,
    summed_over,
    times_difference,
)
from xor_mi.interventions._hooks import probe_hooks
from xor_mi.interventions._sites import Site
from xor_mi.kinds import HookedModel, Metric
from xor_mi.model import HookedMLP, warn
from xor_mi.model._residual import Block, ResidualStream, residual_stream

NEAR, ROUNDINGS = 1e-4, 16
"""Two sums are the same up to this fraction of their largest term, or this many roundings of it."""


@torch.inference_mode(mode=False)  # the caller may have switched it on, and it has no gradients
def direct_logit(
    model: HookedModel,
    clean: Tensor | Examples,
    corrupted: Tensor | Examples,
    sites: Sequence[Site],
    metric: Metric,
    *,
    max_batch_bytes: int | None = None,
) -> Float[Tensor, "site pair"]:
    """Direct logit contribution: what a site itself adds to the logit, clean - corrupted, [site,
    pair].

    It is 0 for sites further back, which reach the logits only through others; on a transformer a
    warning names their hooks.

    A HookedMLP must have no output activation, and the metric must be one of its outputs, or the
    difference y1 - y0 by which argmax over two decides. Units and edges of the last hidden layer,
    and inputs and edges of direct connections, then have readout weight times activation; the
    output has the logit's own difference.

    On a transformer the metric must be linear in the logits. Embeddings, outputs of attention and
    of MLPs, heads (attn.hook_z) and neurons (mlp.hook_post) are taken through the last norm, with
    its scale frozen at the corrupted run. Without a norm the contributions of all components sum to
    the metric's whole change. A hook of the residual stream itself holds the sum of all that was
    written before it, so its score is the sum of their scores (the "logit lens").

    Raises:
        XorMiError: another model, a metric that is not linear in the logits, or a transformer whose
            stream is not the sum of what is written into it.
    """
    clean, corrupted = as_examples(clean), as_examples(corrupted)
    if isinstance(model, HookedMLP):
        return _of_mlp(model, clean, corrupted, sites, metric, max_batch_bytes)
    stream = residual_stream(model.hook_dict)
    if stream is None:
        raise XorMiError(
            "direct_logit reads the readout weights of a HookedMLP, or the residual stream of a "
            "transformer with TransformerLens' hook names; use attribution_patching on other models"
        )
    return _of_transformer(model, stream, clean, corrupted, sites, metric, max_batch_bytes)


def _of_mlp(
    model: HookedMLP,
    clean: Examples,
    corrupted: Examples,
    sites: Sequence[Site],
    metric: Metric,
    max_batch_bytes: int | None,
) -> Tensor:
    """Readout weights times activations, [site, pair]."""
    # A metric is any function, so whether it is an output is seen from its values.
    shares = _shares_of_outputs(metric, model)
    if shares is None or model.cfg.out_act_fn != "identity":
        argmax = ", or the difference of two by argmax" if model.rule.name == "argmax" else ""
        raise XorMiError(
            f"direct_logit measures a logit itself; give a metric that is one output{argmax}, of "
            "a network without output activation"
        )
    readout = Unit(model.cfg.n_layers, 0, is_output=True)
    logits_hook, _ = model.hook_site(readout)
    into_readout = [(model.units[-1], model.linears[-1])]
    if model.direct is not None:
        into_readout.append((Unit(-1, 0), model.direct))
    read_by_it = [model.hook_site(source)[0] for source, _ in into_readout]
    clean_outputs, clean_cache = cache_all(
        model, clean, read_by_it, max_batch_bytes=max_batch_bytes
    )
    outputs, cache = cache_all(model, corrupted, read_by_it, max_batch_bytes=max_batch_bytes)
    logits = torch.zeros_like(outputs)
    for output, share in shares.items():
        logits[:, output] = share * (clean_outputs - outputs)[:, output]
    by_hook = {logits_hook: logits}
    for source, linear in into_readout:
        values_hook, _ = model.hook_site(source)
        edges_hook, _ = model.hook_site(Edge(source, readout))
        difference = clean_cache[values_hook] - cache[values_hook]  # [pair, source]
        edges = torch.zeros(len(difference), *linear.weight.shape).to(difference)
        for output, share in shares.items():
            edges[:, output] = difference * (share * linear.weight.detach()[output])
        by_hook[edges_hook] = edges
        by_hook[values_hook] = edges.sum(1)

    scores: list[Tensor] = []
    for site in sites:
        if site.hook_name in by_hook:
            scores.append(summed_over(site, by_hook[site.hook_name]))
        else:
            scores.append(torch.zeros(len(clean)).to(outputs))
    return torch.stack(scores)


def _shares_of_outputs(metric: Metric, model: HookedMLP) -> dict[int, float] | None:
    """Output -> its share in this metric, if that is one output or argmax's difference of two."""
    with torch.no_grad():
        outputs = model(model.rows())
    try:
        values = checked_metric(metric, outputs)
    except XorMiError:  # a metric with labels for these pairs is not an output itself
        return None
    for k in range(model.cfg.d_out):
        if torch.equal(values, outputs[:, k]):
            return {k: 1.0}
    scores = model.rule.scores(outputs)
    is_difference = scores.shape[1] < model.cfg.d_out and torch.equal(values, scores[:, 0])
    return {0: -1.0, 1: 1.0} if is_difference else None


# transformers


def _of_transformer(
    model: HookedModel,
    stream: ResidualStream,
    clean: Examples,
    corrupted: Examples,
    sites: Sequence[Site],
    metric: Metric,
    max_batch_bytes: int | None,
) -> Tensor:
    """What is written into the stream, times the metric's direction there, [site, pair]."""
    asked = sorted({site.hook_name for site in sites})
    _require_sums(model, stream, corrupted[:2], with_embeddings=bool({*asked} & stream.embedded))
    inside = {name: stream.inside[name] for name in asked if name in stream.inside}
    names = {*asked, *inside.values(), stream.last}
    scales = [] if stream.scale is None else [stream.scale]
    clean_outputs, clean_cache = cache_all(model, clean, names, max_batch_bytes=max_batch_bytes)
    outputs, cache = cache_all(model, corrupted, {*names, *scales}, max_batch_bytes=max_batch_bytes)
    checked_metric(metric, outputs)
    at_outputs = metric_gradients(metric, outputs)
    _require_linear_metric(metric, at_outputs, clean_outputs, outputs)
    _require_linear_readout(model, stream, corrupted[:2], cache)

    at_once = inputs_with_gradients(model, corrupted, max_batch_bytes)
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(corrupted), at_once):
        part = slice(start, start + at_once)
        frozen = {name: cache[name][part] for name in scales}
        parts.append(
            _directions(model, stream, corrupted[part], asked, frozen, at_outputs[:, part])
        )
    directions = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
    for name, output in inside.items():
        _require_linear_map(name, output, directions, clean_cache, cache)
    indirect = [name for name in asked if name not in directions]
    if indirect:
        warn(
            "nothing is written into the residual stream at "
            f"{cut_short(', '.join(indirect), at_most=300)}: what is there reaches the logits only "
            "through others, so its direct contribution is 0; attribution_patching has its whole "
            "effect"
        )
    for name in indirect:
        directions[name] = torch.zeros_like(in_float32(cache[name])).unsqueeze(0)
    return times_difference(directions, clean_cache, cache, sites)


def _directions(
    model: HookedModel,
    stream: ResidualStream,
    inputs: Examples,
    asked: Sequence[str],
    frozen: Mapping[str, Tensor],
    at_outputs: Tensor,
) -> dict[str, Tensor]:
    """What adding 1 to each entry of a hook adds to the metric directly, [row, pair, ...].

    Hooks that reach the logits only through others have none.
    """
    through = [name for name in asked if name in stream.inside]
    beyond = [name for name in asked if name in stream.beyond]
    outputs_of: dict[str, list[Tensor]] = {stream.inside[name]: [] for name in through}
    with warnings.catch_warnings():
        # A bridge warns that a frozen scale uses its own arithmetic, which is what is wanted here.
        warnings.simplefilter("ignore", UserWarning)
        run = run_with_graph(
            model, inputs, [stream.last, *through, *beyond], replaced=frozen, kept=outputs_of
        )
    (at_stream,) = carried_back(run.outputs, at_outputs, [run.added[stream.last]])
    directions = dict.fromkeys(outputs_of, at_stream)
    for name in asked:
        if name in stream.written | stream.streams:
            directions[name] = at_stream
        elif name in stream.results:
            directions[name] = at_stream.unsqueeze(-2)  # an axis for the heads
        elif name in stream.inside:
            (written,) = outputs_of[stream.inside[name]]
            (directions[name],) = carried_back(written, at_stream, [run.added[name]])
        elif name in stream.beyond:
            (directions[name],) = carried_back(run.outputs, at_outputs, [run.added[name]])
    return directions


# checks on the model's own numbers that contributions add up


def _require_sums(
    model: HookedModel, stream: ResidualStream, inputs: Examples, *, with_embeddings: bool
) -> None:
    """Refuse a stream that is not the sum of what is written into it."""
    probed = probe_hooks(model, inputs, warns=False)
    # a bridge of a model with rotary positions lists a hook for positions that are added
    embeddings = [name for name in stream.embeddings if probed.hooks[name].n_fired]
    writers: dict[Block, list[str]] = {}
    for block in stream.blocks:
        writers[block] = [name for name in block.written if probed.hooks[name].n_fired]
    names = {stream.last, *embeddings, *chain.from_iterable(writers.values())}
    _, seen = cache_all(model, inputs, names.union([block.before for block in stream.blocks]))
    starts = [seen[block.before] for block in stream.blocks]
    for block, start, end in zip(
        stream.blocks, starts, [*starts[1:], seen[stream.last]], strict=True
    ):
        written = [seen[name] for name in writers[block]]
        if not _is_sum_of(end, [start, *written]):
            added = " and ".join(writers[block]) or "nothing"
            raise XorMiError(
                f"the stream after '{block.before}' of this model is not it plus {added}, so "
                "direct contributions do not add up; use attribution_patching"
            )
    if with_embeddings and not _is_sum_of(starts[0], [seen[name] for name in embeddings]):
        raise XorMiError(
            f"the stream of this model does not begin as the sum of {' and '.join(embeddings)}, so "
            "an embedding has no direct contribution; use attribution_patching"
        )


def _require_linear_metric(
    metric: Metric, at_outputs: Tensor, clean_outputs: Tensor, outputs: Tensor
) -> None:
    """Refuse a metric whose change is not its gradient times the change of the logits."""
    gradient = in_float32(at_outputs)
    change = in_float32(clean_outputs) - in_float32(outputs)
    size = in_float32(clean_outputs).abs() + in_float32(outputs).abs()
    rows = tuple(range(2, gradient.ndim))
    expected = (gradient * change).sum(rows)
    largest = (gradient.abs() * size).sum(rows)
    if len(gradient) == 1:
        expected, largest = expected[0], largest[0]
    else:
        expected, largest = expected.sum(1), largest.sum(1)
    before, after = (checked_metric(metric, one) for one in (outputs, clean_outputs))
    linear = _is_near(in_float32(after) - in_float32(before), expected, largest, outputs.dtype)
    at_clean = metric_gradients(metric, clean_outputs)
    same = at_clean.shape == at_outputs.shape and _is_near(
        in_float32(at_clean), gradient, gradient.abs().amax(), outputs.dtype
    )
    if not (linear and same):
        raise XorMiError(
            "direct_logit measures the logits themselves; give a metric that is linear in them, "
            "such as the difference of two logits"
        )


def _require_linear_readout(
    model: HookedModel, stream: ResidualStream, inputs: Examples, cache: Mapping[str, Tensor]
) -> None:
    """Refuse logits that are not linear in the stream once the last norm's scale is frozen."""
    here = cache[stream.last][: len(inputs)]
    frozen: dict[str, OnActivation] = {}
    if stream.scale is not None:
        frozen[stream.scale] = partial(replace_by, cache[stream.scale][: len(inputs)])
    logits: list[Tensor] = []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", UserWarning)
        for times in (0, 1, 2):
            hooks = {**frozen, stream.last: partial(replace_by, times * here)}
            logits.append(run_hooked(model, inputs, hooks))
    none, once, twice = logits
    if not _is_sum_of(twice - once, [once, -none]):
        raise XorMiError(
            "the logits of this model are not linear in its residual stream, even with the last "
            "norm's scale frozen; use attribution_patching"
        )


def _require_linear_map(
    name: str,
    output: str,
    directions: Mapping[str, Tensor],
    clean: Mapping[str, Tensor],
    corrupted: Mapping[str, Tensor],
) -> None:
    """Refuse heads or neurons whose output is not a linear map of them.

    The output's change along its direction must be theirs along their own.
    """
    changes: list[Tensor] = []
    sizes: list[Tensor] = []
    for one in (name, output):
        direction = in_float32(directions[one])
        values, values_before = in_float32(clean[one]), in_float32(corrupted[one])
        axes = tuple(range(2, direction.ndim))
        changes.append((direction * (values - values_before)).sum(axes))
        sizes.append((direction.abs() * (values.abs() + values_before.abs())).sum(axes))
    if not _is_near(changes[0], changes[1], torch.stack(sizes).amax(0), corrupted[name].dtype):
        raise XorMiError(
            f"'{output}' of this model is not linear in '{name}', so its entries have no direct "
            f"contribution of their own; give '{output}', or use attribution_patching"
        )


def _is_sum_of(whole: Tensor, parts: Sequence[Tensor]) -> bool:
    """Whether a tensor is the sum of others, up to rounding."""
    terms = torch.stack([in_float32(part) for part in parts])
    return _is_near(in_float32(whole), terms.sum(0), terms.abs().amax(), whole.dtype)


def _is_near(a: Tensor, b: Tensor, largest: Tensor, dtype: torch.dtype) -> bool:
    """Whether two tensors are the same, up to the rounding of terms as large as this."""
    allowed = max(NEAR, ROUNDINGS * torch.finfo(dtype).eps)
    return bool(((a - b).abs() <= allowed * largest).all())
