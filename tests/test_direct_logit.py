"""Direct logit attribution of transformers, held against TransformerLens' own functions of a cache,
weights multiplied out by hand, and sums that must come out exactly.
"""

from functools import partial

import pytest
import torch
import transformers
from models import OwnModel, native_transformer
from transformer_lens.model_bridge.sources import build_bridge_from_module

from xor_mi import XorMiError
from xor_mi.errors import XorMiWarning
from xor_mi.interventions import Site, attribute, score_methods

pytestmark = pytest.mark.as_a_user

SIZES = {"d_model": 16, "d_head": 4, "n_ctx": 6, "d_mlp": 24, "d_vocab": 11, "seed": 0}
KINDS = {
    "layer norm": {},
    "grouped heads": {"normalization_type": "RMS", "n_key_value_heads": 2},
    "no norm": {"normalization_type": None},
    "attention only": {"attn_only": True},
}
GENERATOR = partial(torch.Generator().manual_seed, 0)


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    """A native bridge with weights and biases of ordinary size everywhere, norms among them."""
    bridge = native_transformer(**SIZES, **KINDS[request.param])
    generator = GENERATOR()
    with torch.no_grad():
        for weight in bridge.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return bridge


@pytest.fixture(scope="module")
def pairs():
    """Three pairs of five tokens."""
    clean, corrupted = torch.randint(0, 11, (2, 3, 5), generator=GENERATOR())
    return clean, corrupted


def three_or_five(outputs):
    """Token 3's logit minus token 5's, at the last position."""
    return outputs[:, -1, 3] - outputs[:, -1, 5]


def written_by(model):
    """The names of everything that adds to the residual stream."""
    names = ["hook_embed", "hook_pos_embed"]
    names += [
        f"blocks.{layer}.{one}" for layer in (0, 1) for one in ("hook_attn_out", "hook_mlp_out")
    ]
    return [name for name in names if name in model.hook_dict]


def scores_of(model, pairs, sites, metric=three_or_five, **given):
    """[site, pair] by direct_logit."""
    asked = {"method": "direct_logit", "metrics": metric, "progress": False, **given}
    return attribute(model, pairs, sites, **asked).scores[0]


def oracle(model, pairs, read):
    """`logit_attrs` of what `read` takes from a cache, clean - corrupted, with the corrupted run's
    scale; the last norm's weight, which TransformerLens folds in, is multiplied on first.
    """
    caches = [model.run_with_cache(inputs)[1] for inputs in pairs]
    stack = read(caches[0]) - read(caches[1])
    norm = model.cfg.normalization_type
    if norm is None:
        unembed = model.unembed.W_U
        return (stack @ (unembed[:, 3] - unembed[:, 5]))[..., -1]
    scaled = caches[1].apply_ln_to_stack(stack) * model.ln_final.w
    unembed = model.unembed.W_U
    return (scaled @ (unembed[:, 3] - unembed[:, 5]))[..., -1]


def test_components_are_those_of_transformer_lens(model, pairs):
    """Embeddings, attention and MLP outputs against decompose_resid, and the stream before and
    after each block against accumulated_resid.
    """

    def parts(cache):
        return torch.stack([cache[name] for name in written_by(model)])

    expected = oracle(model, pairs, parts)
    scores = scores_of(model, pairs, written_by(model))
    assert expected.abs().max() > 0.1
    assert torch.allclose(scores, expected, atol=1e-5)
    streams = ["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    accumulated = oracle(model, pairs, lambda cache: torch.stack([cache[name] for name in streams]))
    assert torch.allclose(scores_of(model, pairs, streams), accumulated, atol=1e-5)
    assert torch.allclose(scores.sum(0), accumulated[-1], atol=1e-5)


def test_heads_are_those_of_stack_head_results(model, pairs):
    """Every head of both layers, grouped key and value heads too; and their sum is the output's but
    for the bias, which both runs share.
    """
    expected = oracle(model, pairs, lambda cache: cache.stack_head_results(layer=2))
    heads = [
        Site(f"blocks.{layer}.attn.hook_z", (None, head)) for layer in (0, 1) for head in range(4)
    ]
    scores = scores_of(model, pairs, heads)
    assert expected.abs().max() > 0.1
    assert torch.allclose(scores, expected, atol=1e-5)
    together = scores_of(model, pairs, ["blocks.0.hook_attn_out", "blocks.1.hook_attn_out"])
    assert torch.allclose(scores.view(2, 4, -1).sum(1), together, atol=1e-5)


def test_neurons_are_those_of_stack_neuron_results(model, pairs):
    """Every neuron of both layers, at the position that the metric reads; a model without MLPs has
    no such hook.
    """
    if model.cfg.attn_only:
        with pytest.raises(XorMiError, match="no hook 'blocks.0.mlp.hook_post'"):
            scores_of(model, pairs, ["blocks.0.mlp.hook_post"])
        return
    expected = oracle(model, pairs, lambda cache: cache.stack_neuron_results(layer=2))
    sites = [Site(f"blocks.{layer}.mlp.hook_post", (-1, k)) for layer in (0, 1) for k in range(24)]
    assert expected.abs().max() > 0.1
    assert torch.allclose(scores_of(model, pairs, sites), expected, atol=1e-5)


def test_the_parts_sum_to_the_whole_change(model, pairs):
    """Of the logits themselves always, and of what is written into the stream where no norm lies
    between; positions that the metric does not read, and sites further back, add nothing.
    """
    change = (three_or_five(model(pairs[0])) - three_or_five(model(pairs[1]))).detach()
    logits = scores_of(model, pairs, ["hook_unembed", "unembed.hook_in"])
    assert change.abs().max() > 0.1
    assert torch.allclose(logits, change.expand(2, -1), atol=1e-5)
    if model.cfg.normalization_type is None:
        assert torch.allclose(scores_of(model, pairs, written_by(model)).sum(0), change, atol=1e-5)
    behind = [
        Site("blocks.1.hook_attn_out", (0,)),
        *("blocks.0.attn.hook_pattern", "blocks.1.attn.hook_q", "embed.hook_in"),
    ]
    with pytest.warns(XorMiWarning, match="at blocks.0.attn.hook_pattern, blocks.1.attn.hook_q, "):
        assert not scores_of(model, pairs, behind).any()


def test_half_precision_is_the_same_but_for_rounding(pairs):
    """A bfloat16 copy of the weights gives the scores of the float32 copy of them."""
    models = [native_transformer(**SIZES, normalization_type="RMS") for _ in range(2)]
    low, high = models[0].to(torch.bfloat16), models[1]
    high.load_state_dict({name: value.float() for name, value in low.state_dict().items()})
    sites = [*written_by(high), Site("blocks.0.attn.hook_z", (None, 1))]
    exact = scores_of(high, pairs, sites)
    assert (scores_of(low, pairs, sites) - exact).abs().max() < 0.03 * exact.abs().max()


def test_chunks_and_metrics_that_compare_pairs(model, pairs):
    """The memory bound changes nothing; a mean-centred metric takes the mean off the scores."""
    sites = written_by(model)
    whole = scores_of(model, pairs, sites)
    assert torch.allclose(scores_of(model, pairs, sites, max_batch_bytes=1), whole, atol=1e-5)

    def centred(outputs):
        return three_or_five(outputs) - three_or_five(outputs).mean()

    expected = whole - whole.mean(1, keepdim=True)
    assert torch.allclose(scores_of(model, pairs, sites, centred), expected, atol=1e-5)


def test_what_has_no_direct_contribution_says_so(pairs):
    """Metrics that are not linear in the logits, a model without a stream, logits behind a soft
    cap, a stream that more is added to, and heads whose output is not a linear map of them: one
    sentence each.
    """
    bridge = native_transformer(**SIZES)

    def probability(outputs):
        return outputs.softmax(-1)[:, -1, 3]

    def squared(outputs):
        return three_or_five(outputs) ** 2

    for metric in (probability, squared):
        with pytest.raises(
            XorMiError, match="linear in them, such as the difference of two logits"
        ):
            scores_of(bridge, pairs, ["hook_embed"], metric)
    own = torch.rand(2, 2, 3, generator=GENERATOR())
    with pytest.raises(
        XorMiError, match="reads the readout weights of a HookedMLP, or the residual"
    ):
        scores_of(OwnModel(), tuple(own), ["hook_second"], lambda outputs: outputs[:, 0])

    def planted(place, hook, message, sites):
        point = bridge.hook_dict[place]
        handle = point.register_forward_hook(lambda module, given, value: hook(value))
        try:
            with pytest.raises(XorMiError, match=message):
                scores_of(bridge, pairs, sites)
        finally:
            handle.remove()

    planted("hook_unembed", torch.tanh, "the logits of this model are not linear", ["hook_embed"])
    message = "the stream after 'blocks.0.hook_resid_pre' of this model is not it plus"
    planted("blocks.0.hook_out", lambda value: value * 1.5, message, ["blocks.0.hook_mlp_out"])
    message = "does not begin as the sum of hook_embed and hook_pos_embed"
    planted("blocks.0.hook_in", lambda value: value * 4.0, message, ["hook_embed"])
    planted(
        "blocks.0.hook_attn_out",
        torch.sin,
        "is not linear in 'blocks.0.attn.hook_z', so its entries",
        [Site("blocks.0.attn.hook_z", (None, 0))],
    )


@pytest.mark.parametrize("name", ["Llama", "Gemma2"])
def test_models_of_other_makers(name, pairs):
    """Rotary positions, gated MLPs and grouped heads: what is written sums to the last stream. Where
    a norm lies between heads and stream, they are refused, and what the norm writes is not.
    """
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"hidden_size": 16, "head_dim": 4, "intermediate_size": 24, "vocab_size": 11}
    cfg = getattr(transformers, f"{name}Config")(**sizes, final_logit_softcapping=None)
    make = getattr(transformers, f"{name}ForCausalLM")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bridge = build_bridge_from_module(make(cfg).eval(), make.__name__, hf_config=cfg).eval()
    written = [hook for hook in written_by(bridge) if hook != "hook_pos_embed"]
    scores = scores_of(bridge, pairs, [*written, "blocks.1.hook_resid_post"])
    assert scores[-1].abs().max() > 0.01
    assert torch.allclose(scores[:-1].sum(0), scores[-1], atol=1e-5)
    inside = ["blocks.0.attn.hook_z", "blocks.0.mlp.hook_post"]
    if name == "Gemma2":
        with pytest.raises(XorMiError, match="is not linear in 'blocks.0.attn.hook_z'"):
            scores_of(bridge, pairs, inside)
        return
    outputs = scores_of(bridge, pairs, ["blocks.0.hook_attn_out", "blocks.0.hook_mlp_out"])
    assert torch.allclose(scores_of(bridge, pairs, inside), outputs, atol=1e-5)


def test_score_methods_holds_it_against_patching(model, pairs):
    """At the last block's output without a norm it is exact; elsewhere it has numbers too."""
    sites = ["blocks.1.hook_attn_out", "blocks.1.hook_resid_post"]
    table = score_methods(model, pairs, sites, metrics=three_or_five, progress=False).frame()
    row = table.set_index("method").loc["direct_logit"]
    assert row["why_not"] == ""
    assert row["n_cells"] == 6
    assert row["mean_abs_error"] < 5
    if model.cfg.normalization_type is None:
        last = score_methods(model, pairs, sites[1:], metrics=three_or_five, progress=False).frame()
        assert last.set_index("method").loc["direct_logit", "mean_abs_error"] < 1e-5
