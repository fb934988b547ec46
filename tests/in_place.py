"""A model that works in place, and the same one written so that every step makes a new tensor.

Drawn at random: how many layers, their activations, whether the input itself is changed, and whether
a layer is added to. The two hold the same weights and compute the same numbers, so each analysis
has to say the same of both.
"""

import random

import torch
from torch import nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

STEPS = {
    "relu": (torch.relu_, torch.relu),
    "clamp": (lambda x: x.clamp_(-0.5, 1.0), lambda x: x.clamp(-0.5, 1.0)),
    "tanh": (torch.tanh_, torch.tanh),
    "leaky": (
        lambda x: nn.functional.leaky_relu_(x, 0.1),
        lambda x: nn.functional.leaky_relu(x, 0.1),
    ),
    "halved": (lambda x: x.mul_(0.5), lambda x: x * 0.5),
    "shifted": (lambda x: x.add_(-0.25), lambda x: x + -0.25),
}
"""Name -> (the step in place, the step that makes a new tensor)."""


class Steps(HookedRootModule):
    """Layers with a hook point before and after each step; `in_place` says how the steps work."""

    def __init__(self, rng: random.Random, *, in_place: bool):
        super().__init__()
        self.in_place = in_place
        widths = [rng.randint(1, 3), *(rng.randint(1, 4) for _ in range(rng.randint(1, 3)))]
        self.steps = [rng.choice(list(STEPS)) for _ in widths[1:]]
        self.shifts_input, self.adds = rng.random() < 0.5, rng.random() < 0.5
        self.layers = nn.ModuleList()
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        for d_in, d_out in zip(widths, [*widths[1:], 2], strict=True):
            # not drawn by nn.Linear, which would take torch's own generator
            layer = nn.utils.skip_init(nn.Linear, d_in, d_out)
            with torch.no_grad():
                layer.weight.copy_(torch.randn(d_out, d_in, generator=generator))
                layer.bias.copy_(torch.randn(d_out, generator=generator))
            self.layers.append(layer)
        self.before = nn.ModuleList([HookPoint() for _ in self.steps])
        self.after = nn.ModuleList([HookPoint() for _ in self.steps])
        self.d_in, self.widths = widths[0], widths[1:]
        self.setup()
        self.eval()

    def forward(self, x):
        """[batch, d_in] -> [batch, 2]"""
        if self.shifts_input:
            x = x.sub_(0.5) if self.in_place else x - 0.5
        hidden = zip(self.layers, self.steps, self.before, self.after, strict=False)
        for layer, step, before, after in hidden:
            x = before(layer(x))
            if self.adds:
                x = x.add_(x.sum(1, keepdim=True)) if self.in_place else x + x.sum(1, keepdim=True)
            # where the step is in place, what `before` saw becomes what `after` sees
            x = after(STEPS[step][0 if self.in_place else 1](x))
        return self.layers[-1](x)


def both(seed: int) -> tuple[Steps, Steps]:
    """The same model twice: in place, and not."""
    return Steps(random.Random(seed), in_place=True), Steps(random.Random(seed), in_place=False)
