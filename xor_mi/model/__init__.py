"""config -> HookedMLP: a Boolean MLP as a TransformerLens HookedRootModule.

`config` is its shape and conventions, `convert` brings weights from elsewhere, `guards` checks what
hooks return, `network` is the model with its hooks and hook names."""

from xor_mi.model._config import ACTIVATIONS as ACTIVATIONS
from xor_mi.model._config import HookedMLPConfig as HookedMLPConfig
from xor_mi.model._config import activation as activation
from xor_mi.model._config import initial_weights as initial_weights
from xor_mi.model._guards import all_finite as all_finite
from xor_mi.model._guards import require_evaluable as require_evaluable
from xor_mi.model._guards import require_output as require_output
from xor_mi.model._network import HookedMLP as HookedMLP
from xor_mi.model._network import hook_site as hook_site
from xor_mi.model._network import kind_of_hook as kind_of_hook
from xor_mi.model._network import require_plain_mlp as require_plain_mlp
