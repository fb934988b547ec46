"""a name -> a small network stored with its circuit: ground truth for interpretability methods.

One trained network for each of the eight pairs of hidden gates that solve XOR in 2-2-1, copies and
dead units at width 4, one that was never trained, one that training left unsolved, 3-bit parity,
and two deeper ones. Two transformers that compute XOR, one of attention alone, are stored with
their findings in `transformers`. Each folder in `data` holds `config.json`, `model.safetensors` and
`circuit.json`, what `identify_circuit` found in these weights. The weights are stored, not
retrained: another machine may round differently. `python -m xor_mi.zoo._build` rebuilds them from
their seeds.
"""

from xor_mi.zoo._findings import recorded_findings as recorded_findings
from xor_mi.zoo._networks import DATA as DATA
from xor_mi.zoo._stored import describe as describe
from xor_mi.zoo._stored import load as load
from xor_mi.zoo._stored import names as names
from xor_mi.zoo._stored import recorded as recorded
from xor_mi.zoo._transformers import TransformerTask as TransformerTask
from xor_mi.zoo._transformers import load_transformer as load_transformer
from xor_mi.zoo._transformers import transformer_names as transformer_names
from xor_mi.zoo._transformers import transformer_task as transformer_task
