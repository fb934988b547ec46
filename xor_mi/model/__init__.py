"""config -> HookedMLP: a Boolean MLP as a TransformerLens HookedRootModule.

`_config` is its shape and conventions, `_rule` decides by its outputs, `_numbers` reads numbers so
that none is lost, `_convert` checks weights and reads folders, `_guards` checks what hooks return,
`_network` is the model with its hooks and hook names.

A network of someone else's comes in two steps. `_read_module` (with `_tracer`, `_operations` and
`_forms`) and `_foreign` read it into the neutral layers of `_description`, which then says what a
HookedMLP can be of them; `_loaders` makes it, and `_comparison` compares it with the original.

`_layer_sites` knows how TransformerLens calls what is in a layer of a transformer.

Three groups of names lie close together:

    model.rows(given)        tensor [row, d_in] to run the model on, at    rows that are not bits
                             its input levels                              are refused by both
    model.read_rows(given)   the same rows as tuples of bits
    model.bits_of(inputs)    numbers at the input levels -> bits
    read_inputs(model, given)   rows of bits, or of any numbers -> inputs and their names

    require_evaluable(any module, operation)   eval mode, finite weights
    require_hooked_mlp(model, operation)       a HookedMLP, whatever its mode
    require_plain_mlp(model, operation)        that, and a HookedMLP without hooks: its weights
                                               say all about it

    model.require_output(k)       an output of this network
    require_output(k, n_outputs)  the same where there are only outputs, and no network
"""

from xor_mi.model._config import ACTIVATIONS as ACTIVATIONS
from xor_mi.model._config import DECISION_RULES as DECISION_RULES
from xor_mi.model._config import LOSSES as LOSSES
from xor_mi.model._config import STEPS as STEPS
from xor_mi.model._config import HookedMLPConfig as HookedMLPConfig
from xor_mi.model._config import activation as activation
from xor_mi.model._config import initial_weights as initial_weights
from xor_mi.model._config import one_of_a_pair as one_of_a_pair
from xor_mi.model._convert import MODEL_FILES as MODEL_FILES
from xor_mi.model._convert import saved_files as saved_files
from xor_mi.model._guards import HookFunction as HookFunction
from xor_mi.model._guards import all_finite as all_finite
from xor_mi.model._guards import how_to_bring as how_to_bring
from xor_mi.model._guards import require_device as require_device
from xor_mi.model._guards import require_evaluable as require_evaluable
from xor_mi.model._guards import require_output as require_output
from xor_mi.model._inputs import NamedInputs as NamedInputs
from xor_mi.model._inputs import read_inputs as read_inputs
from xor_mi.model._network import HookedMLP as HookedMLP
from xor_mi.model._network import HookKind as HookKind
from xor_mi.model._network import hook_site as hook_site
from xor_mi.model._network import kind_of_hook as kind_of_hook
from xor_mi.model._network import require_hooked_mlp as require_hooked_mlp
from xor_mi.model._network import require_plain_mlp as require_plain_mlp
from xor_mi.model._network import stage_of_hook as stage_of_hook
from xor_mi.model._places import warn as warn
from xor_mi.model._rule import UNDECIDED as UNDECIDED
from xor_mi.model._rule import DecisionRule as DecisionRule
from xor_mi.model._rule import decide as decide
