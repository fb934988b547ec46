"""Little models that are not ours, shared by several test files."""

import torch
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge


class OwnModel(HookedRootModule):
    """What a user writes: two layers, hook names of their own."""

    def __init__(self, width: int = 6):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(3, width, generator=generator))
        self.second = nn.Parameter(torch.randn(width, 4, generator=generator))
        self.last = nn.Parameter(torch.randn(4, 2, generator=generator))
        self.hook_first, self.hook_second, self.hook_unused = HookPoint(), HookPoint(), HookPoint()
        self.cfg = type("Cfg", (), {"device": "cpu", "n_layers": 2})()
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, 3] -> [batch, 2]"""
        first = self.hook_first(torch.relu(x.float() @ self.first))
        return self.hook_second(torch.tanh(first @ self.second)) @ self.last


def native_transformer(**settings) -> TransformerBridge:
    """A native transformer, by default of two layers with ReLU, randomly initialised, no download."""
    settings = {"n_layers": 2, "n_heads": 4, "act_fn": "relu"} | settings
    cfg = TransformerBridgeConfig(**settings)
    with torch.random.fork_rng():
        return TransformerBridge.boot_native(cfg).eval()


def unit_setter(corrupted_activation, index, clean_entry):
    """A setter as TransformerLens takes it: one unit of the clean activation into a copy of the
    corrupted one.
    """
    value = corrupted_activation.clone()
    value[:, index[1]] = clean_entry[:, index[1]]
    return value
