"""TransformerLens' own functions, each called on an unmodified HookedMLP."""

import pandas as pd
import pytest
import torch
from models import unit_setter
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.patching import PatchingResult, generic_activation_patch
from transformer_lens.tools import training as tl_training
from transformer_lens.tools.analysis import interchange
from transformer_lens.tools.analysis.attribution_patching import cache_activation_and_gradient

from xor_mi.handmade import from_gates
from xor_mi.metrics import decisions
from xor_mi.model import HookedMLP, HookedMLPConfig

pytestmark = pytest.mark.as_a_user


def test_it_is_a_hooked_root_module(textbook):
    """The model is TransformerLens' own base class, in eval mode, with get_act_name's hook
    names.
    """
    assert isinstance(textbook, HookedRootModule)
    assert not textbook.training
    assert {"hook_embed", "blocks.0.mlp.hook_pre", "blocks.0.mlp.hook_post", "hook_logits"} <= set(
        textbook.hook_dict
    )


def test_activation_cache_and_its_tools(counted):
    """ActivationCache by short names, from the end, stacked, and as neuron results (activation
    times outgoing weight).
    """
    _, cache = counted.run_with_cache(counted.rows())
    assert isinstance(cache, ActivationCache)
    assert torch.equal(cache["post", 0], cache["blocks.0.mlp.hook_post"])
    assert torch.equal(cache["post", -1], cache["post", 0])
    assert cache.stack_activation("post").shape == (1, 4, 2)
    results = cache.get_neuron_results(0)
    assert torch.equal(results[..., 0], cache["post", 0] * torch.tensor([7.0, -8.0]))
    assert torch.equal(cache.stack_neuron_results(1)[:, :, 0].T, results[..., 0])


def test_generic_activation_patch_with_index_df(textbook):
    """Patching each unit from 01 into 11: 1 + ... by hand, OR gives 1 - 2 = -1, AND gives 2 - 0 =
    2.
    """
    _, clean = textbook.run_with_cache([[0, 1]])
    index_df = pd.DataFrame([(0, 0), (0, 1)], columns=["layer", "unit"])
    result = generic_activation_patch(
        textbook,
        torch.tensor([[1, 1]]),
        clean,
        lambda logits: logits[:, 0],
        unit_setter,
        "post",
        index_df=index_df,
        reduce="none",
        baseline=True,
    )
    assert isinstance(result, PatchingResult)
    assert result.values.flatten().tolist() == [-1.0, 2.0]
    assert result.effect().flatten().tolist() == [-1.0, 2.0]


def test_generic_activation_patch_on_edges(textbook):
    """With edge hooks on, one edge is patched by the same call: x0 -> h0.1 from 01 into 11 switches
    the AND off.
    """
    textbook.set_use_edge_result(True)
    _, clean = textbook.run_with_cache([[0, 1]])

    def edge_setter(value, index, clean_entry):
        _, target, source = index
        value = value.clone()
        value[:, target, source] = clean_entry[:, target, source]
        return value

    index_df = pd.DataFrame(
        [(0, j, i) for j in (0, 1) for i in (0, 1)], columns=["layer", "target", "source"]
    )
    result = generic_activation_patch(
        textbook,
        torch.tensor([[1, 1]]),
        clean,
        lambda o: o[0, 0],
        edge_setter,
        "edge",
        index_df=index_df,
    )
    assert result.tolist() == [-1.0, 0.0, 2.0, 0.0]


def test_interchange_on_the_neuron_basis(textbook):
    """collect_activations, run_with_intervention and intervened_logits with a SubspaceInterchange
    of one neuron.
    """
    bases, sources = torch.tensor([[1, 1], [0, 0]]), torch.tensor([[0, 1], [1, 1]])
    hook = "blocks.0.mlp.hook_post"
    activations = interchange.collect_activations(textbook, hook, sources, textbook)
    assert activations.tolist() == [[1, 0], [2, 1]]
    swap = interchange.SubspaceInterchange(interchange.neuron_basis(2, [1]))
    logits = interchange.intervened_logits(textbook, hook, swap, bases, activations, textbook)
    assert logits.flatten().tolist() == [2.0, -2.0]
    assert torch.equal(
        interchange.run_with_intervention(textbook, hook, swap, bases, activations, textbook),
        logits,
    )
    placebo = interchange.NormMatchedPlacebo(
        swap, interchange.random_neuron_basis(2, 1, seed=0, exclude=[1])
    )
    assert interchange.run_with_intervention(
        textbook, hook, placebo, bases, activations, textbook
    ).shape == (2, 1)


def test_fit_das_finds_the_and():
    """DAS of rank 1, with the one logit read as two classes, learns a subspace that carries the
    AND: interchange accuracy 16/16.
    """
    model = from_gates(["OR", "AND"])
    rows = [(a, b) for a in (0, 1) for b in (0, 1)]
    pairs = [(base, source) for base in rows for source in rows]
    targets = torch.tensor([int((b[0] | b[1]) and not (s[0] & s[1])) for b, s in pairs])

    def two_classes(inputs):
        logits = model(inputs)
        return torch.cat([-logits, logits], dim=1)

    bases, sources = (torch.tensor(list(side)) for side in zip(*pairs, strict=True))
    hook = "blocks.0.mlp.hook_post"
    found = interchange.fit_das(
        model,
        hook,
        bases,
        sources,
        targets,
        two_classes,
        rank=1,
        epochs=150,
        batch_size=16,
        lr=0.05,
        seed=1,
    )
    activations = interchange.collect_activations(model, hook, sources, two_classes)
    logits = interchange.intervened_logits(
        model,
        hook,
        interchange.SubspaceInterchange(found.subspace),
        bases,
        activations,
        two_classes,
    )
    assert (logits.argmax(1) == targets).tolist() == [True] * 16


def test_reinitialized_gives_an_untrained_copy(textbook):
    """The random-init control resets every weight and leaves the original alone."""
    control = interchange.reinitialized(textbook, seed=1)
    assert not torch.equal(control.fc1.weight, textbook.fc1.weight)
    assert decisions(textbook).flatten().tolist() == [0, 1, 1, 0]


def test_cache_activation_and_gradient(counted):
    """d logit / d hidden = the outgoing weights, and d logit / d pre is 0 where the unit is off."""
    found = cache_activation_and_gradient(
        counted,
        torch.tensor([[1, 1], [0, 0]]),
        lambda logits: logits.sum(),
        names_filter=["blocks.0.mlp.hook_pre", "blocks.0.mlp.hook_post"],
    )
    assert found.activations["blocks.0.mlp.hook_post"].tolist() == [[4, 1], [5, 0]]
    assert found.gradients["blocks.0.mlp.hook_post"].tolist() == [[7, -8], [7, -8]]
    assert found.gradients["blocks.0.mlp.hook_pre"].tolist() == [[7, -8], [7, 0]]


@pytest.mark.filterwarnings("ignore::tqdm.TqdmWarning")
def test_transformerlens_training_loop_trains_it():
    """tools.training.train runs on items {"tokens": bits}: the target gives the labels, and OR is
    learned.
    """
    model = HookedMLP(HookedMLPConfig(target="OR", seed=1))
    data = [{"tokens": torch.tensor(row)} for row in ((0, 0), (0, 1), (1, 0), (1, 1))] * 8
    config = tl_training.TrainConfig(
        num_epochs=60, batch_size=32, lr=0.05, device="cpu", print_every=None, seed=0
    )
    with torch.random.fork_rng():
        trained = tl_training.train(model, config, data)
    trained.eval()
    assert decisions(trained).flatten().tolist() == [0, 1, 1, 1]
