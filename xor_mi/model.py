"""config -> HookedMLP: a Boolean MLP as a TransformerLens HookedRootModule. The only file that knows hook names.

    x --hook_embed--> [ fc1 --hook_pre--> act --hook_post--> ] x n_layers --> fc_last --hook_logits--> output

Layer l is TransformerLens' `blocks.{l}`: its hook points are `blocks.{l}.mlp.hook_pre` and `.hook_post`, so `cache["post", 0]` and
`get_act_name` work. With `cfg.use_edge_result` each weight matrix also fires `blocks.{l}.hook_edge` (the readout: `hook_edge`) with the
Hadamard products W * x, `[batch, d_out, d_in]`; their sum over d_in plus the bias is the pre-activation, so one edge is patched by the
same call as one unit. Where the output has an activation of its own, `hook_readout` is the value before it.

TransformerLens accepts some mistakes in silence (an unknown name in a filter, a predicate that matches nothing, a patch of the wrong
shape, an in-place edit that is not returned). Here each is an error that names what exists.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.truth import BooleanFunction, as_row, truth_rows

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "identity": torch.clone,  # a copy: hook_pre and hook_post must never share memory
    "heaviside": lambda x: (x > 0).to(x.dtype),  # no gradient: such a network runs, but cannot be trained
}
_MODULES = {nn.ReLU: "relu", nn.LeakyReLU: "leaky_relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.GELU: "gelu", nn.Identity: "identity"}
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
_FORMAT = "xor_mi.HookedMLP/1"


@dataclass
class HookedMLPConfig:
    """The shape and the conventions of a `HookedMLP`; TransformerLens' names where it has one.

    Attributes:
        d_in, d_hidden, d_out: inputs, widths of the hidden layers, outputs. An int for d_hidden means one hidden layer.
        act_fn, out_act_fn: names in `ACTIVATIONS`, for the hidden layers and for the output.
        negative_slope: slope of leaky_relu below zero, wherever it is used.
        decision_threshold: decision = output > threshold, strictly. Default 0 for logits, 0.5 for a sigmoid output or MSE targets.
        loss_fn: "bce" (on logits) or "mse" (outputs against 0 and 1).
        target: the function the network is meant to compute, if any: a gate name, a formula or a `BooleanFunction`.
        use_edge_result: fire the edge hooks too (costs one [batch, d_out, d_in] product per layer).
    """

    d_in: int = 2
    d_hidden: tuple[int, ...] = (2,)
    d_out: int = 1
    act_fn: str = "relu"
    out_act_fn: str = "identity"
    negative_slope: float = 0.01
    decision_threshold: float | None = None
    loss_fn: str = "bce"
    target: Any = None
    seed: int = 0
    dtype: Any = torch.float32
    device: Any = "cpu"
    use_edge_result: bool = False

    normalization_type: ClassVar[None] = None
    attn_only: ClassVar[bool] = False
    n_heads: ClassVar[int] = 0
    n_key_value_heads: ClassVar[None] = None

    def __post_init__(self) -> None:
        self.d_hidden = (self.d_hidden,) if isinstance(self.d_hidden, int) else tuple(self.d_hidden)
        if not self.d_hidden:
            raise XorMiError("d_hidden is empty; give at least one hidden layer, such as (2,)")
        for size in self.layer_sizes:
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise XorMiError(f"layer sizes are whole numbers of at least 1, not {size!r} in {self.layer_sizes}")
        for name in (self.act_fn, self.out_act_fn):
            if name not in ACTIVATIONS:
                raise unknown("activation", name, ACTIVATIONS, where="known activations")
        if self.loss_fn not in ("bce", "mse"):
            raise unknown("loss", self.loss_fn, ("bce", "mse"), where="known losses")
        if isinstance(self.dtype, str):
            if self.dtype not in _DTYPES:
                raise unknown("dtype", self.dtype, _DTYPES, where="known dtypes")
            self.dtype = _DTYPES[self.dtype]
        if self.decision_threshold is None:
            self.decision_threshold = 0.5 if self.out_act_fn == "sigmoid" or self.loss_fn == "mse" else 0.0
        if self.target is not None:
            self.target = BooleanFunction.of(self.target, self.d_in)
            if self.target.n_outputs != self.d_out:
                raise XorMiError(f"the target has {self.target.n_outputs} outputs; the network has {self.d_out}")

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(d_in, *d_hidden, d_out)."""
        return (self.d_in, *self.d_hidden, self.d_out)

    @property
    def n_layers(self) -> int:
        """Number of hidden layers, as TransformerLens counts blocks."""
        return len(self.d_hidden)

    @property
    def d_mlp(self) -> int | None:
        """Width of the hidden layers where they all have the same one, else None."""
        return self.d_hidden[0] if len(set(self.d_hidden)) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict that `from_dict` reads back."""
        target = None if self.target is None else {"n_inputs": self.d_in, "tables": [list(t) for t in self.target.tables]}
        dtype = str(self.dtype).removeprefix("torch.")
        return asdict(self) | {"d_hidden": list(self.d_hidden), "target": target, "dtype": dtype, "device": str(self.device)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HookedMLPConfig":
        """Raises `XorMiError` for keys that are no setting, and for values no setting can have."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown("setting", key, known, where="a HookedMLPConfig has")
        target = values.get("target")
        try:
            if isinstance(target, dict):
                target = BooleanFunction(target["n_inputs"], target["tables"])
            return cls(**(dict(values) | {"target": target}))
        except (TypeError, KeyError) as error:
            raise XorMiError(f"these are no HookedMLP settings: {error}") from None


def initial_weights(layer_sizes: Sequence[int], seed: int) -> list[tuple[Tensor, Tensor]]:
    """PyTorch's default nn.Linear initialisation from a seed of its own: per layer W [d_out, d_in] and b [d_out], float32.

    Both are uniform in +-1/sqrt(d_in), drawn in the order W, b, layer by layer. No global random state is read or changed.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, bound: float) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) * bound

    pairs = zip(layer_sizes, layer_sizes[1:], strict=False)
    return [(uniform(d_out, d_in, bound=d_in**-0.5), uniform(d_out, bound=d_in**-0.5)) for d_in, d_out in pairs]


class _MLP(nn.Module):
    """The hook points of one hidden layer, and its weights in TransformerLens' orientation."""

    def __init__(self, fc_in: nn.Linear, fc_out: nn.Linear) -> None:
        super().__init__()
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()
        self._linears = (fc_in, fc_out)  # in a tuple, so that each weight is owned (and saved) once, by the root

    @property
    def W_in(self) -> Float[Tensor, "d_in d_mlp"]:
        return self._linears[0].weight.T

    @property
    def b_in(self) -> Float[Tensor, " d_mlp"]:
        return self._linears[0].bias

    @property
    def W_out(self) -> Float[Tensor, "d_mlp d_out"]:
        return self._linears[1].weight.T

    @property
    def b_out(self) -> Float[Tensor, " d_out"]:
        return self._linears[1].bias


class _Block(nn.Module):
    def __init__(self, fc_in: nn.Linear, fc_out: nn.Linear) -> None:
        super().__init__()
        self.hook_edge = HookPoint()
        self.mlp = _MLP(fc_in, fc_out)


class HookedMLP(HookedRootModule):
    """A Boolean MLP with TransformerLens hooks; 2-2-1 ReLU by default, weights drawn from `cfg.seed`, built in eval mode.

    The linear layers are `model.fc1`, `model.fc2`, ... with `weight` [d_out, d_in] as in plain PyTorch.

    >>> model = HookedMLP(HookedMLPConfig(seed=1))
    >>> logits, cache = model.run_with_cache(model.rows())
    >>> logits.shape, cache["post", 0].shape
    (torch.Size([4, 1]), torch.Size([4, 2]))
    """

    cfg: HookedMLPConfig
    fc1: nn.Linear
    fc2: nn.Linear

    def __init__(self, cfg: HookedMLPConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg if cfg is not None else HookedMLPConfig()
        sizes = self.cfg.layer_sizes
        linears = []
        for number, (weight, bias) in enumerate(initial_weights(sizes, self.cfg.seed), start=1):
            linear = torch.nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], dtype=self.cfg.dtype)
            with torch.no_grad():
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            self.add_module(f"fc{number}", linear)
            linears.append(linear)
        self._linears = tuple(linears)
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in zip(linears, linears[1:], strict=False))
        self.hook_edge = HookPoint()
        self.hook_readout = HookPoint() if self.cfg.out_act_fn != "identity" else None
        self.hook_logits = HookPoint()
        self._act, self._out_act = (_activation(name, self.cfg) for name in (self.cfg.act_fn, self.cfg.out_act_fn))
        self.to(self.cfg.device)
        self.setup()
        self.eval()

    # construction from weights, from PyTorch and from disk

    @classmethod
    def from_weights(cls, layers: Sequence[tuple[Any, Any]], **settings: Any) -> "HookedMLP":
        """[(W, b), ...] -> HookedMLP. W is [d_out, d_in], b is [d_out] or None for zeros; the last pair is the readout.

        Args:
            settings: any `HookedMLPConfig` field except the sizes, such as act_fn, out_act_fn, decision_threshold, target.

        Raises:
            XorMiError: fewer than two layers, shapes that do not chain, or weights that are not finite.
        """
        pairs = [_weight_pair(weight, bias, number) for number, (weight, bias) in enumerate(layers, start=1)]
        if len(pairs) < 2:
            raise XorMiError(f"{len(pairs)} layers of weights given; a HookedMLP has at least one hidden layer and a readout")
        for number, ((before, _), (after, _)) in enumerate(zip(pairs, pairs[1:], strict=False), start=1):
            if before.shape[0] != after.shape[1]:
                raise XorMiError(f"fc{number} gives {before.shape[0]} values; fc{number + 1} takes {after.shape[1]}")
        sizes = [pairs[0][0].shape[1], *(weight.shape[0] for weight, _ in pairs)]
        shape = {"d_in": sizes[0], "d_hidden": tuple(sizes[1:-1]), "d_out": sizes[-1]}
        dtype = torch.float64 if any(w.dtype == torch.float64 for w, _ in pairs) else torch.float32
        model = cls(HookedMLPConfig(**({"dtype": dtype} | settings | shape)))
        with torch.no_grad():
            for linear, (weight, bias) in zip(model._linears, pairs, strict=True):
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
        return model

    @classmethod
    def from_sequential(cls, sequential: nn.Sequential, **settings: Any) -> "HookedMLP":
        """nn.Sequential(Linear, activation, Linear, ..., [output activation]) -> the same network with hooks (weights are copied).

        Raises:
            XorMiError: a module that is neither nn.Linear nor a known activation, or hidden layers with different activations.
        """
        linears: list[nn.Linear] = []
        acts: list[tuple[str, float]] = []
        for position, module in enumerate(sequential):
            if isinstance(module, nn.Linear):
                linears.append(module)
                acts.append(("identity", 0.01))
            elif type(module) in _MODULES and linears and acts[-1][0] == "identity":
                acts[-1] = (_MODULES[type(module)], float(getattr(module, "negative_slope", 0.01)))
            else:
                allowed = ", ".join(kind.__name__ for kind in _MODULES)
                raise XorMiError(f"module {position} is {type(module).__name__}; expected nn.Linear, each followed by at most one of {allowed}")
        if len(set(acts[:-1])) > 1:
            raise XorMiError(f"the hidden layers use {sorted({name for name, _ in acts[:-1]})}; a HookedMLP has one hidden activation")
        if len(linears) < 2:
            raise XorMiError(f"{len(linears)} nn.Linear given; a HookedMLP has at least one hidden layer and a readout")
        slopes = {slope for name, slope in acts if name == "leaky_relu"} or {0.01}
        if len(slopes) > 1:
            raise XorMiError(f"leaky_relu slopes {sorted(slopes)} differ; a HookedMLP has one negative_slope")
        found = {"act_fn": acts[0][0], "out_act_fn": acts[-1][0], "negative_slope": slopes.pop(), "dtype": linears[0].weight.dtype}
        return cls.from_weights([(linear.weight, linear.bias) for linear in linears], **(found | settings))

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write `config.json` and `model.safetensors` into a folder (made if missing). `XorMiError` if it cannot be written."""
        folder = Path(directory)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            settings = {"format": _FORMAT} | self.cfg.to_dict() | {"device": "cpu"}
            (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
            (folder / "model.safetensors").write_bytes(save({name: value.contiguous() for name, value in self.state_dict().items()}))
        except (OSError, SafetensorError) as error:
            raise XorMiError(f"cannot write a model to '{folder}': {error}; choose a folder you may write to") from None
        return folder

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str = "cpu") -> "HookedMLP":
        """A folder written by `save_pretrained` -> the model. Reads JSON and safetensors only; no pickle, no code.

        Raises:
            XorMiError: a missing folder or file, a file that is damaged or not ours, shapes that disagree, weights not finite.
        """
        folder = Path(directory)
        missing = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
        if missing:
            raise XorMiError(f"no model in '{folder}': {' and '.join(missing)} missing; `xor-mi tour --out DIR` writes such a folder")
        try:
            settings = json.loads((folder / "config.json").read_text())
            tensors = load_file(folder / "model.safetensors")
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            raise XorMiError(f"the model in '{folder}' cannot be read: {error}; save it again") from None
        if not isinstance(settings, dict) or settings.pop("format", None) != _FORMAT:
            raise XorMiError(f"'{folder / 'config.json'}' is not a {_FORMAT} config; was it written by save_pretrained?")
        cfg = HookedMLPConfig.from_dict(settings | {"device": device})
        _check_tensors(tensors, cfg.layer_sizes, folder)
        model = cls(cfg)
        model.load_state_dict(tensors)
        return model

    # running

    def forward(self, x: Any, return_type: str = "logits", labels: Any = None) -> Any:
        """Inputs [batch, d_in] or [d_in], of bool, int or float -> outputs, always [batch, d_out].

        Args:
            return_type: "logits" (the output after `out_act_fn`, which is the identity by default), "loss" (scalar mean), or "both".
            labels: [batch, d_out] of 0 and 1 for the loss; by default read off `cfg.target` at the input bits.
        """
        if return_type not in ("logits", "loss", "both"):
            raise unknown("return_type", return_type, ("logits", "loss", "both"), where="known")
        value = self.hook_embed(self._as_input(x))
        inputs = value
        for linear, block in zip(self._linears[:-1], self.blocks, strict=True):
            pre = block.mlp.hook_pre(self._affine(linear, value, block.hook_edge))  # pyright: ignore
            value = block.mlp.hook_post(self._act(pre))  # pyright: ignore
        readout = self._affine(self._linears[-1], value, self.hook_edge)
        if self.hook_readout is not None:
            readout = self.hook_readout(readout)
            logits = self.hook_logits(self._out_act(readout))
        else:
            logits = self.hook_logits(readout)
        if return_type == "logits":
            return logits
        loss = self._loss(logits, readout, inputs, labels)
        return loss if return_type == "loss" else (logits, loss)

    def _affine(self, linear: nn.Linear, value: Tensor, hook_edge: HookPoint) -> Tensor:
        if not self.cfg.use_edge_result:
            return F.linear(value, linear.weight, linear.bias)
        return hook_edge(linear.weight * value[:, None, :]).sum(-1) + linear.bias

    def _as_input(self, x: Any) -> Tensor:
        weight = self._linears[0].weight
        try:
            rows = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError):
            raise XorMiError(f"{x!r} is no input; give bits [batch, {self.cfg.d_in}], for example model.rows()") from None
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != self.cfg.d_in:
            raise XorMiError(f"inputs have shape {list(rows.shape)}; this network takes [batch, {self.cfg.d_in}]")
        return rows.to(device=weight.device, dtype=weight.dtype, copy=True)  # a copy: a hook must not reach the caller's tensor

    def _loss(self, logits: Tensor, readout: Tensor, inputs: Tensor, labels: Any) -> Tensor:
        if labels is None:
            if self.cfg.target is None:
                raise XorMiError("a loss needs labels=..., or a target in the config: HookedMLPConfig(target='XOR')")
            labels = [self.cfg.target(row) for row in inputs.tolist()]
        goal = torch.as_tensor(labels, dtype=logits.dtype, device=logits.device).reshape(logits.shape)
        if self.cfg.loss_fn == "mse":
            return F.mse_loss(logits, goal)
        return F.binary_cross_entropy_with_logits(readout if self.cfg.out_act_fn == "sigmoid" else logits, goal)

    def set_use_edge_result(self, use_edge_result: bool) -> None:
        """Switch the edge hooks on or off, as TransformerLens' `set_use_attn_result` does for heads."""
        self.cfg.use_edge_result = use_edge_result

    def run_with_cache(self, *model_args: Any, return_cache_object: bool = True, names_filter: Any = None, **kwargs: Any) -> Any:
        """TransformerLens' `run_with_cache`, giving an `ActivationCache` (a plain dict on `return_cache_object=False`).

        Raises:
            XorMiError: a filter that names no hook or matches none, or `pos_slice` (it would cut the batch of 2-D activations).
        """
        if kwargs.pop("pos_slice", None) is not None:
            raise XorMiError("pos_slice would cut the batch: activations here are [batch, unit]; index the cache instead")
        if names_filter is None:
            names = self.active_hooks()
        else:
            wanted = [names_filter] if isinstance(names_filter, str) or callable(names_filter) else list(names_filter)
            names = [name for one in wanted for name in self._resolve(one)]
        if not names:
            raise unknown("hook", "(an empty filter)", self.active_hooks(), where="this model has")
        output, cache = super().run_with_cache(*model_args, names_filter=names, **kwargs)
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(cache, self, has_batch_dim=not kwargs.get("remove_batch_dim", False))

    @contextmanager
    def hooks(self, fwd_hooks: Any = (), bwd_hooks: Any = (), **kwargs: Any) -> Iterator[Any]:
        """TransformerLens' `hooks`, refusing names and predicates that match nothing, and checking what each hook returns."""
        fwd = [(name, partial(_guarded, hook)) for asked, hook in fwd_hooks for name in self._resolve(asked)]
        bwd = [(name, hook) for asked, hook in bwd_hooks for name in self._resolve(asked)]
        with super().hooks(fwd_hooks=fwd, bwd_hooks=bwd, **kwargs) as model:
            yield model

    def add_hook(self, name: Any, hook: Any, *args: Any, **kwargs: Any) -> None:
        for found in self._resolve(name):
            super().add_hook(found, hook, *args, **kwargs)

    def active_hooks(self) -> list[str]:
        """Names of the hook points that fire: the edge hooks only when they are switched on."""
        return [name for name in self.hook_dict if self.cfg.use_edge_result or not name.endswith("hook_edge")]

    def _resolve(self, asked: Any) -> list[str]:
        """A hook name or a predicate on names -> the names it means; an error if there are none."""
        active = self.active_hooks()
        found = [name for name in active if (asked(name) if callable(asked) else name == asked)]
        if not found and asked in self.hook_dict:
            raise XorMiError(f"hook '{asked}' is switched off; call model.set_use_edge_result(True) first")
        if not found:
            raise unknown("hook", "(a predicate that matches nothing)" if callable(asked) else asked, active, where="this model has")
        return found

    def to_tokens(self, bits: Any) -> Tensor:
        """'01', [0, 1] or several of them -> integer bits [batch, d_in]: the bits are this network's tokens."""
        one = isinstance(bits, str) or (len(bits) > 0 and not isinstance(bits[0], (str, list, tuple, Tensor)))
        return torch.tensor([as_row(row, self.cfg.d_in) for row in ([bits] if one else bits)], dtype=torch.long)

    # places: the only link between units or edges and hook names

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return self.cfg.layer_sizes

    @property
    def threshold(self) -> float:
        """Decision = output > threshold, strictly."""
        return float(self.cfg.decision_threshold or 0.0)

    @property
    def linears(self) -> tuple[nn.Linear, ...]:
        """fc1, fc2, ...: one per hidden layer, and the readout."""
        return self._linears

    def rows(self, rows: Any = None) -> Float[Tensor, "row d_in"]:
        """Input rows as a tensor in the model's dtype: all 2^d_in of them, or those given (each checked to be bits)."""
        chosen = truth_rows(self.cfg.d_in) if rows is None else [as_row(row, self.cfg.d_in) for row in rows]
        return torch.tensor(chosen, dtype=self._linears[0].weight.dtype, device=self._linears[0].weight.device)

    def units(self) -> list[Unit]:
        """All hidden units, layer by layer."""
        return [unit for layer in layers_of(self.layer_sizes)[1:-1] for unit in layer]

    def place(self, asked: Any) -> Unit | Edge:
        """'h0.1', 'x0', 'y0', 'x0->h0.1', a Unit or an Edge -> the Unit or Edge; `XorMiError` if this network has none such."""
        places: list[Unit | Edge] = [u for layer in layers_of(self.layer_sizes) for u in layer]
        places += edges_of(self.layer_sizes)
        for place in places:
            if asked == place or asked == place.name:
                return place
        raise unknown("unit or edge", asked, [place.name for place in places], where="this network has")

    def hook_site(self, asked: Any) -> tuple[str, tuple[int, ...]]:
        """A unit or an edge -> (hook name, index after the batch axis) where its value is read and written."""
        place = self.place(asked)
        if isinstance(place, Edge):
            last = place.dst.is_output
            return ("hook_edge" if last else f"blocks.{place.dst.layer}.hook_edge"), (place.dst.index, place.src.index)
        if place.layer < 0:
            return "hook_embed", (place.index,)
        return ("hook_logits" if place.is_output else f"blocks.{place.layer}.mlp.hook_post"), (place.index,)

    def hook_places(self) -> list[tuple[str, list[str]]]:
        """Each hook point of a plain forward, in order, with the names of the units whose values it holds."""
        named = [[unit.name for unit in layer] for layer in layers_of(self.layer_sizes)]
        places = [("hook_embed", named[0])]
        for layer in range(self.cfg.n_layers):
            places += [(f"blocks.{layer}.mlp.{hook}", named[layer + 1]) for hook in ("hook_pre", "hook_post")]
        return places + [(name, named[-1]) for name in ("hook_readout", "hook_logits") if name in self.hook_dict]

    def exact(self) -> "list[tuple[Tensor, Tensor]]":
        """The weights as detached float64 copies on the CPU, W [d_out, d_in] and b [d_out] per layer, for exact bookkeeping."""
        return [(fc.weight.detach().cpu().double(), fc.bias.detach().cpu().double()) for fc in self._linears]

    def activate(self, pre: Tensor, layer: int) -> Tensor:
        """Apply the activation function that follows linear layer `layer` (the last one: the output's)."""
        return (self._out_act if layer == self.cfg.n_layers else self._act)(pre)

    def require_ready(self, operation: str) -> None:
        """Refuse to analyse a network in train mode, or with weights that are not finite."""
        training = [name or "the model" for name, module in self.named_modules() if module.training]
        if training:
            raise XorMiError(f"{operation} needs eval mode; {training[0]} is in train mode: call model.eval() first")
        for name, value in self.named_parameters():
            if not torch.isfinite(value).all():
                raise XorMiError(f"{operation} needs finite weights; {name} has NaN or infinite entries")


def _activation(name: str, cfg: HookedMLPConfig) -> Callable[[Tensor], Tensor]:
    return partial(F.leaky_relu, negative_slope=cfg.negative_slope) if name == "leaky_relu" else ACTIVATIONS[name]


def _guarded(function: Callable[..., Any], value: Tensor, hook: HookPoint) -> Any:
    """Run a forward hook; refuse an in-place edit that is not returned, and a return of another shape."""
    before = None if value.is_inference() else value._version
    result = function(value, hook=hook)
    if result is None and before is not None and value._version != before:
        raise XorMiError(f"the hook on '{hook.name}' edited its activation in place and returned None; return the new tensor")
    if result is not None and (not isinstance(result, Tensor) or result.shape != value.shape):
        got = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise XorMiError(f"the hook on '{hook.name}' returned {got}; its activation has shape {list(value.shape)}")
    return result


def _weight_pair(weight: Any, bias: Any, number: int) -> tuple[Tensor, Tensor]:
    try:
        w = torch.as_tensor(weight).detach()
        b = torch.zeros(w.shape[0]) if bias is None else torch.as_tensor(bias).detach()
    except (TypeError, ValueError, RuntimeError, IndexError):
        raise XorMiError(f"fc{number} is no weight matrix [d_out, d_in] with a bias [d_out]") from None
    if w.ndim != 2 or b.ndim != 1 or w.shape[0] != b.shape[0] or 0 in w.shape:
        raise XorMiError(f"fc{number} has weight {list(w.shape)} and bias {list(b.shape)}; expected [d_out, d_in] and [d_out]")
    if not (torch.isfinite(w).all() and torch.isfinite(b).all()):
        raise XorMiError(f"fc{number} has NaN or infinite entries; weights must be finite")
    return w, b


def _check_tensors(tensors: Mapping[str, Tensor], sizes: Sequence[int], folder: Path) -> None:
    expected = {}
    for number, (d_in, d_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
        expected |= {f"fc{number}.weight": [d_out, d_in], f"fc{number}.bias": [d_out]}
    found = {name: list(value.shape) for name, value in tensors.items()}
    if found != expected:
        raise XorMiError(f"the weights in '{folder}' are {found}; its config says {expected}")
    for name, value in tensors.items():
        if not value.is_floating_point() or not torch.isfinite(value).all():
            raise XorMiError(f"{name} in '{folder}' is not made of finite floating-point numbers")
