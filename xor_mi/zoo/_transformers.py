"""the transformers of the zoo: their names, how they are trained, and how they are stored.

Each has one layer, reads the three tokens a, b and "=", and says at "=" whether exactly one of a
and b is 1. Its logits of token 0 and token 1 there are compared."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors.torch
import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError, unknown
from xor_mi.interventions import HighLevelModel
from xor_mi.kinds import Decide, Metric
from xor_mi.metrics import by_tokens
from xor_mi.reading import read_json

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

DATA = Path(__file__).parent / "transformers"
"""The folder of the transformers, with one folder for each."""
FORMAT = "xor_mi.transformer/1"
"""The format of config.json."""
FILES = ("config.json", "findings.json", "model.safetensors")
DEAD = "dead"
"""The gate's name for a neuron that never changes."""
END = 2
"""The token "=", and its position."""
_NEXT_STEP = "install xor-mi again, or run python -m xor_mi.zoo._build"


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """One entry of the table.

    Attributes:
        d_mlp: the number of neurons; None for attention alone.
        gates: the gate that each neuron must separate at "=", up to complement OR or AND, or
            "dead"; without neurons, the role of each head.
        purpose: what it is for.
    """

    name: str
    seed: int
    d_mlp: int | None
    gates: tuple[str, ...]
    purpose: str
    n_heads: int = 2
    d_head: int = 4
    d_model: int = 8
    n_steps: int = 600
    learning_rate: float = 0.01


TRANSFORMERS = (
    Transformer(
        name="xor-transformer",
        seed=6,
        d_mlp=8,
        gates=("NOR", "NOR", "AND", "NAND", "NOR", "dead", "dead", "AND"),
        purpose="attention brings both bits to =, neurons there are NOR and AND",
    ),
    Transformer(
        name="xor-attention",
        seed=3,
        d_mlp=None,
        gates=("OR", "AND"),
        purpose="no MLP: one head looks for a 1 (OR), the other for a 0 (AND)",
    ),
)
"""The seed is the smallest with the findings below, found by a search. With neurons, the algorithm
predicts all interchanges, every neuron is one of its gates or dead, and most answers are wrong with
all neurons at their mean. Without neurons, the algorithm predicts all interchanges, and each head
gives nine tenths of its attention to the token that it looks for.
"""


class TransformerTask(NamedTuple):
    """What a transformer of the zoo computes, as arguments for analyses.

    Attributes:
        inputs: all four inputs, tokens a, b and "=".
        features: "a" and "b", the bits of each input.
        answer: a XOR b.
        decide: the argument `decide=`: token 1 against token 0 at "=".
        metric: the logit difference of these two tokens.
        algorithm: the high-level model "either and not both".
    """

    inputs: Int[Tensor, "input position"]
    features: dict[str, Int[Tensor, " input"]]
    answer: Int[Tensor, " input"]
    decide: Decide
    metric: Metric
    algorithm: HighLevelModel


def transformer_names() -> list[str]:
    """The names that `load_transformer` and `recorded_findings` take.

    >>> transformer_names()
    ['xor-transformer', 'xor-attention']
    """
    return [entry.name for entry in TRANSFORMERS]


def transformer_task() -> TransformerTask:
    """The task that all transformers of the zoo are trained on.

    >>> task = transformer_task()
    >>> task.inputs.tolist(), task.answer.tolist()
    ([[0, 0, 2], [0, 1, 2], [1, 0, 2], [1, 1, 2]], [0, 1, 1, 0])
    """
    inputs = torch.tensor([[a, b, END] for a in (0, 1) for b in (0, 1)])
    a, b = inputs[:, 0], inputs[:, 1]
    read = by_tokens(1, 0, position=END)
    return TransformerTask(
        inputs=inputs,
        features={"a": a, "b": b},
        answer=a ^ b,
        decide=read,
        metric=read.score,
        algorithm=HighLevelModel(
            {"either": "a | b", "both": "a & b"}, "either & ~both", ("a", "b")
        ),
    )


def load_transformer(name: str) -> "TransformerBridge":
    """A transformer by name, a `TransformerBridge` of TransformerLens.

    It is in eval mode, and built anew on every call.

    Raises:
        XorMiError: an unknown name, or a damaged file.

    >>> bridge, task = load_transformer("xor-attention"), transformer_task()
    >>> task.decide(bridge(task.inputs)).tolist()
    [0, 1, 1, 0]
    """
    folder = folder_of(name)
    config = _read_object(folder / "config.json")
    if config.pop("format", None) != FORMAT:
        raise XorMiError(
            f"'{folder / 'config.json'}' of the zoo is not of the format {FORMAT}; {_NEXT_STEP}"
        )
    bridge = _untrained(config)
    file = folder / "model.safetensors"
    try:
        bridge.load_state_dict(safetensors.torch.load(file.read_bytes()))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        first = str(error).partition("\n")[0]
        raise XorMiError(f"'{file}' of the zoo cannot be read: {first}; {_NEXT_STEP}") from None
    return bridge.eval()


def folder_of(name: str) -> Path:
    """The folder of a transformer.

    Raises:
        XorMiError: an unknown name.
    """
    known = transformer_names()
    if name not in known:
        raise unknown("transformer", name, known, where="the zoo has")
    return DATA / name


def trained(entry: Transformer) -> "TransformerBridge":
    """A transformer trained from its seed."""
    task = transformer_task()
    bridge = _untrained(settings_of(entry))
    optimizer = torch.optim.Adam(bridge.parameters(), lr=entry.learning_rate)
    for _ in range(entry.n_steps):
        logits = bridge(task.inputs)[:, END, :END]
        loss = torch.nn.functional.cross_entropy(logits, task.answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return bridge.eval()


def saved(entry: Transformer, bridge: "TransformerBridge") -> dict[str, bytes]:
    """File -> its bytes: the settings and the weights."""
    config = {"format": FORMAT} | settings_of(entry)
    return {
        "config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "model.safetensors": safetensors.torch.save(bridge.state_dict()),
    }


def settings_of(entry: Transformer) -> dict[str, object]:
    """The settings of a `TransformerBridgeConfig`."""
    chosen = asdict(entry)
    settings: dict[str, object] = {
        name: chosen[name] for name in ("d_model", "d_head", "n_heads", "seed")
    }
    settings |= {"n_layers": 1, "n_ctx": END + 1, "d_vocab": END + 1}
    settings |= {"act_fn": "relu", "normalization_type": None, "attn_only": entry.d_mlp is None}
    # attention alone does not use it, but TransformerLens needs a number
    return settings | {"d_mlp": entry.d_mlp or entry.d_model}


def _untrained(settings: dict[str, Any]) -> "TransformerBridge":
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    # building draws weights, and must not advance the caller's torch generator
    with torch.random.fork_rng():
        # this is put on the class when its package is imported
        return TransformerBridge.boot_native(  # pyright: ignore[reportAttributeAccessIssue]
            TransformerBridgeConfig(**settings)
        )


def _read_object(file: Path) -> dict[str, Any]:
    called = f"'{file}' of the zoo"
    content = read_json(file, called=called, next_step=_NEXT_STEP)
    if not isinstance(content, dict):
        raise XorMiError(f"{called} is not an object; {_NEXT_STEP}")
    return content
