"""config -> HookedMLP: a Boolean MLP as a TransformerLens HookedRootModule. The only room that
knows hook names.

    x --hook_embed--> [ fc1 --hook_pre--> act --hook_post--> ] x n_layers --> fc_last
    --hook_logits--> output

Layer l is TransformerLens' `blocks.{l}`: its hook points are `blocks.{l}.mlp.hook_pre` and
`.hook_post`, so `cache["post", 0]` and `get_act_name` work. With `cfg.use_edge_result` each weight
matrix also fires `blocks.{l}.hook_edge` (the readout: `hook_edge`) with the Hadamard products W *
x, `[batch, d_out, d_in]`; their sum over d_in plus the bias is the pre-activation, so one edge is
patched by the same call as one unit. Where the output has an activation of its own, `hook_readout`
is the value before it.

TransformerLens accepts some mistakes in silence (an unknown name in a filter, a predicate that
matches nothing, a patch of the wrong shape, an in-place edit that is not returned). Here each is an
error that names what exists."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError, unknown
from xor_mi.graph import Edge, Unit, edges_of, layers_of
from xor_mi.kinds import Layers, Target
from xor_mi.model._config import HookedMLPConfig, activation, initial_weights
from xor_mi.model._convert import checked_layers, read_folder, read_sequential, write_folder
from xor_mi.model._guards import guarded, require_evaluable, require_output
from xor_mi.truth import BooleanFunction, as_row, truth_rows


class _MLP(nn.Module):
    """The hook points of one hidden layer, and its weights in TransformerLens' orientation."""

    def __init__(self, fc_in: nn.Linear, fc_out: nn.Linear) -> None:
        super().__init__()
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()
        self._linears = (
            fc_in,
            fc_out,
        )  # in a tuple, so that each weight is owned (and saved) once, by the root

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
    """A Boolean MLP with TransformerLens hooks; 2-2-1 ReLU by default, weights drawn from
    `cfg.seed`, built in eval mode.

    The linear layers are `model.fc1`, `model.fc2`, ... with `weight` [d_out, d_in] as in plain
    PyTorch.

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
        self.cfg = (
            replace(cfg) if cfg is not None else HookedMLPConfig()
        )  # a copy: models do not share their switches
        sizes = self.cfg.layer_sizes
        linears = []
        for number, (weight, bias) in enumerate(initial_weights(sizes, self.cfg.seed), start=1):
            linear: Any = torch.nn.utils.skip_init(
                nn.Linear, weight.shape[1], weight.shape[0], dtype=self.cfg.dtype
            )
            with torch.no_grad():
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            self.add_module(f"fc{number}", linear)
            linears.append(linear)
        self._linears = tuple(linears)
        self.hook_embed = HookPoint()
        blocks = [_Block(a, b) for a, b in pairwise(linears)]
        self.blocks = nn.ModuleList(blocks)
        self._stages = tuple(
            (a, b.hook_edge, b.mlp.hook_pre, b.mlp.hook_post)
            for a, b in zip(linears, blocks, strict=False)
        )
        self.hook_edge = HookPoint()
        self.hook_readout = HookPoint() if self.cfg.out_act_fn != "identity" else None
        self.hook_logits = HookPoint()
        self._act, self._out_act = (
            activation(name, self.cfg.negative_slope)
            for name in (self.cfg.act_fn, self.cfg.out_act_fn)
        )
        self.to(self.cfg.device)
        self.setup()
        self.eval()

    # construction from weights, from PyTorch and from disk

    @classmethod
    def from_weights(cls, layers: Sequence[Any], **settings: Any) -> "HookedMLP":
        """[(W, b), ...] -> HookedMLP. W is [d_out, d_in], b is [d_out] or None for zeros; the last
        pair is the readout.

        Args:
            settings: any `HookedMLPConfig` field except the sizes, such as act_fn, out_act_fn,
                decision_threshold, target.

        Raises:
            XorMiError: fewer than two layers, shapes that do not chain, or weights that are not
                finite.
        """
        pairs = checked_layers(layers)
        sizes = [pairs[0][0].shape[1], *(weight.shape[0] for weight, _ in pairs)]
        shape = {"d_in": sizes[0], "d_hidden": tuple(sizes[1:-1]), "d_out": sizes[-1]}
        dtype: Any = (
            torch.float64 if any(w.dtype == torch.float64 for w, _ in pairs) else torch.float32
        )
        if set(settings) & set(shape):
            raise XorMiError(
                f"{', '.join(sorted(set(settings) & set(shape)))} follow from the weights; leave them out"
            )
        model = cls(HookedMLPConfig.from_dict({"dtype": dtype} | settings | shape))
        with torch.no_grad():
            for linear, (weight, bias) in zip(model._linears, pairs, strict=True):
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
        return model

    def with_weights(self, layers: Layers, **changes: Any) -> "HookedMLP":
        """A network with other weights and this one's conventions: activations, loss, threshold,
        target, seed; [(W, b), ...] as in `from_weights`. This network is left alone.

        Args:
            changes: conventions that are to differ, such as target=None.
        """
        return type(self).from_weights(layers, **(self.cfg.conventions() | changes))

    @classmethod
    def from_sequential(cls, sequential: nn.Sequential, **settings: Any) -> "HookedMLP":
        """nn.Sequential(Linear, activation, Linear, ..., [output activation]) -> the same network
        with hooks (weights are copied).

        Raises:
            XorMiError: a module that is neither nn.Linear nor a known activation, or hidden layers
                with different activations.
        """
        layers, found = read_sequential(sequential)
        return cls.from_weights(layers, **(found | settings))

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write `config.json` and `model.safetensors` into a folder (made if missing). `XorMiError`
        if it cannot be written.
        """
        write_folder(Path(directory), self.cfg, self.state_dict())
        return Path(directory)

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str = "cpu") -> "HookedMLP":
        """A folder written by `save_pretrained` -> the model. Reads JSON and safetensors only; no
        pickle, no code.

        Raises:
            XorMiError: a missing folder or file, a file that is damaged or not ours, shapes that
                disagree, weights not finite.
        """
        cfg, tensors = read_folder(Path(directory), device)
        model = cls(cfg)
        model.load_state_dict(tensors)
        return model

    # running

    def forward(self, x: Any, return_type: str = "logits", labels: Any = None) -> Any:
        """Inputs [batch, d_in] or [d_in], of bool, int or float -> outputs, always [batch, d_out].

        Args:
            return_type: "logits" (the output after `out_act_fn`, which is the identity by default),
                "loss" (scalar mean), or "both".
            labels: [batch, d_out] of 0 and 1 for the loss; by default read off `cfg.target` at the
                input bits.
        """
        if return_type not in ("logits", "loss", "both"):
            raise unknown("return_type", return_type, ("logits", "loss", "both"), where="known")
        value = self.hook_embed(self._as_input(x))
        inputs = value
        for linear, hook_edge, hook_pre, hook_post in self._stages:
            value = hook_post(self._act(hook_pre(self._affine(linear, value, hook_edge))))
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
            raise XorMiError(
                f"{x!r} is no input; give bits [batch, {self.cfg.d_in}], for example model.rows()"
            ) from None
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != self.cfg.d_in:
            raise XorMiError(
                f"inputs have shape {list(rows.shape)}; this network takes [batch, {self.cfg.d_in}]"
            )
        return rows.to(
            device=weight.device, dtype=weight.dtype, copy=True
        )  # a copy: a hook must not reach the caller's tensor

    def _loss(self, logits: Tensor, readout: Tensor, inputs: Tensor, labels: Any) -> Tensor:
        if labels is None:
            if self.cfg.target is None:
                raise XorMiError(
                    "a loss needs labels=..., or a target in the config: HookedMLPConfig(target='XOR')"
                )
            labels = [self.cfg.target(row) for row in inputs.tolist()]
        try:
            goal = torch.as_tensor(labels, dtype=logits.dtype, device=logits.device)
        except (TypeError, ValueError, RuntimeError):
            raise XorMiError(
                f"{labels!r} are no labels; give 0 and 1, [batch, {self.cfg.d_out}]"
            ) from None
        goal = goal[:, None] if goal.ndim == 1 and self.cfg.d_out == 1 else goal
        if goal.shape != logits.shape or not ((goal >= 0) & (goal <= 1)).all():
            raise XorMiError(
                f"labels have shape {list(goal.shape)}; give numbers from 0 to 1, {list(logits.shape)}"
            )
        if self.cfg.loss_fn == "mse":
            return F.mse_loss(logits, goal)
        return F.binary_cross_entropy_with_logits(
            readout if self.cfg.out_act_fn == "sigmoid" else logits, goal
        )

    def set_use_edge_result(self, use_edge_result: bool) -> None:
        """Switch the edge hooks on or off, as TransformerLens' `set_use_attn_result` does for
        heads.
        """
        self.cfg.use_edge_result = use_edge_result

    def run_with_cache(
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        names_filter: Any = None,
        **kwargs: Any,
    ) -> Any:
        """TransformerLens' `run_with_cache`, giving an `ActivationCache` (a plain dict on
        `return_cache_object=False`).

        Raises:
            XorMiError: a filter that names no hook or matches none, or `pos_slice` (it would cut
                the batch of 2-D activations).
        """
        if kwargs.pop("pos_slice", None) is not None:
            raise XorMiError(
                "pos_slice would cut the batch: activations here are [batch, unit]; index the cache instead"
            )
        if names_filter is None:
            names = self.active_hooks()
        else:
            several = isinstance(names_filter, Iterable) and not isinstance(names_filter, str)
            wanted = (
                list(names_filter) if several and not callable(names_filter) else [names_filter]
            )
            names = [name for one in wanted for name in self._resolve(one)]
        if not names:
            raise unknown("hook", "(an empty filter)", self.active_hooks(), where="this model has")
        output, cache = super().run_with_cache(*model_args, names_filter=names, **kwargs)
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(
            cache, self, has_batch_dim=not kwargs.get("remove_batch_dim", False)
        )

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Any = (),
        bwd_hooks: Any = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator[Any]:
        """TransformerLens' `hooks`, refusing names and predicates that match nothing, and checking
        what each hook returns.
        """
        fwd: list[Any] = [
            (name, partial(guarded, hook))
            for asked, hook in fwd_hooks
            for name in self._resolve(asked)
        ]
        bwd: list[Any] = [
            (name, hook) for asked, hook in bwd_hooks for name in self._resolve(asked)
        ]
        with super().hooks(fwd, bwd, reset_hooks_end, clear_contexts) as model:
            yield model

    def add_hook(self, name: Any, hook: Any, *args: Any, **kwargs: Any) -> None:
        forward = (args[0] if args else kwargs.get("dir", "fwd")) == "fwd"
        for found in self._resolve(name):
            checked: Any = partial(guarded, hook) if forward else hook
            super().add_hook(found, checked, *args, **kwargs)

    def active_hooks(self) -> list[str]:
        """Names of the hook points that fire: the edge hooks only when they are switched on."""
        return [
            name
            for name in self.hook_dict
            if self.cfg.use_edge_result or not name.endswith("hook_edge")
        ]

    def _resolve(self, asked: Any) -> list[str]:
        """A hook name or a predicate on names -> the names it means; an error if there are none."""
        active = self.active_hooks()
        found = [name for name in active if (asked(name) if callable(asked) else name == asked)]
        if not found and asked in list(self.hook_dict):
            raise XorMiError(
                f"hook '{asked}' is switched off; call model.set_use_edge_result(True) first"
            )
        if not found:
            raise unknown(
                "hook",
                "(a predicate that matches nothing)" if callable(asked) else asked,
                active,
                where="this model has",
            )
        return found

    def to_tokens(self, bits: Any) -> Tensor:
        """'01', [0, 1] or several of them -> integer bits [batch, d_in]: the bits are this
        network's tokens.
        """
        one = isinstance(bits, str) or (
            len(bits) > 0 and not isinstance(bits[0], (str, list, tuple, Tensor))
        )
        return torch.tensor(
            [as_row(row, self.cfg.d_in) for row in ([bits] if one else bits)], dtype=torch.long
        )

    # places: the only link between units or edges and hook names

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return self.cfg.layer_sizes

    @property
    def threshold(self) -> float:
        """Decision = output > threshold, strictly."""
        return self.cfg.threshold

    def target_of(self, asked: Target | None = None) -> BooleanFunction:
        """What this network should compute: the target asked for, or the one in its config.

        Raises:
            XorMiError: neither is there, or a target of another width.
        """
        given = self.cfg.target if asked is None else asked
        if given is None:
            raise XorMiError(
                "this network has no target; give one, such as target='XOR' here or in its config"
            )
        function = BooleanFunction.of(given, self.cfg.d_in)
        if function.n_outputs != self.cfg.d_out:
            raise XorMiError(
                f"the target has {function.n_outputs} outputs; the network has {self.cfg.d_out}"
            )
        return function

    def require_output(self, output: int) -> int:
        """The number of an output, checked to be one of this network's.

        Raises:
            XorMiError: no such output.
        """
        return require_output(output, self.cfg.d_out)

    @contextmanager
    def edge_hooks(self, needed: bool = True) -> Iterator[None]:
        """The edge hooks switched on inside a `with` block, where they are needed, and as they were
        afterwards.
        """
        before = self.cfg.use_edge_result
        self.set_use_edge_result(before or needed)
        try:
            yield
        finally:
            self.set_use_edge_result(before)

    @property
    def linears(self) -> tuple[nn.Linear, ...]:
        """fc1, fc2, ...: one per hidden layer, and the readout."""
        return self._linears

    def rows(self, rows: Any = None) -> Float[Tensor, "row d_in"]:
        """Input rows as a tensor in the model's dtype: all 2^d_in of them, or those given (each
        checked to be bits).
        """
        return self.rows_tensor(self.read_rows(rows))

    def rows_tensor(self, rows: Sequence[tuple[int, ...]]) -> Float[Tensor, "row d_in"]:
        """Rows already read as bits -> a tensor in the model's dtype, on its device."""
        weight = self._linears[0].weight
        return (
            torch.from_numpy(np.array(rows, dtype=np.int8))
            .to(weight.device, weight.dtype)
            .reshape(-1, self.cfg.d_in)
        )

    def read_rows(self, rows: Any = None) -> tuple[tuple[int, ...], ...]:
        """All 2^d_in input rows, or those given, each checked to be bits of this network's
        width.
        """
        return (
            truth_rows(self.cfg.d_in)
            if rows is None
            else tuple(as_row(row, self.cfg.d_in) for row in rows)
        )

    @property
    def units(self) -> tuple[Unit, ...]:
        """All hidden units, layer by layer."""
        return tuple(chain.from_iterable(layers_of(self.layer_sizes)[1:-1]))

    def place(self, asked: Any) -> Unit | Edge:
        """'h0.1', 'x0', 'y0', 'x0->h0.1', a Unit or an Edge -> the Unit or Edge; `XorMiError` if
        this network has none such.
        """
        found = self._find_place(asked)
        if found is not None:
            return found
        places = [unit.name for layer in layers_of(self.layer_sizes) for unit in layer]
        raise unknown(
            "unit or edge",
            asked,
            [*places, *(edge.name for edge in edges_of(self.layer_sizes))],
            where="this network has",
        )

    def _find_place(self, asked: Any) -> Unit | Edge | None:
        """The place of this name or value, without a search through all of them."""
        sizes, last = self.layer_sizes, self.cfg.n_layers
        if isinstance(asked, str) and "->" in asked:
            ends = [self._find_place(end) for end in asked.split("->", 1)]
            return (
                self._find_place(Edge(*ends))
                if all(isinstance(end, Unit) for end in ends)
                else None
            )  # pyright: ignore
        if isinstance(asked, str):
            match = re.fullmatch(r"(x|y|h(\d{1,6})\.)(\d{1,6})", asked, flags=re.ASCII)
            if match is None:
                return None
            layer = -1 if match[1] == "x" else last if match[1] == "y" else int(match[2])
            return self._find_place(Unit(layer, int(match[3]), match[1] == "y"))
        if isinstance(asked, Unit):
            inside = -1 <= asked.layer <= last and 0 <= asked.index < sizes[asked.layer + 1]
            return asked if inside and asked.is_output == (asked.layer == last) else None
        if isinstance(asked, Edge):
            ends = [self._find_place(asked.src), self._find_place(asked.dst)]
            return asked if None not in ends and asked.dst.layer == asked.src.layer + 1 else None
        return None

    def hook_site(self, asked: Any) -> tuple[str, tuple[int, ...]]:
        """A unit or an edge -> (hook name, index after the batch axis) where its value is read and
        written.
        """
        return hook_site(self.place(asked))

    def hook_places(self) -> list[tuple[str, list[str]]]:
        """Each hook point of a plain forward, in order, with the names of the units whose values it
        holds.
        """
        named = [[unit.name for unit in layer] for layer in layers_of(self.layer_sizes)]
        places = [("hook_embed", named[0])]
        for layer in range(self.cfg.n_layers):
            places += [
                (f"blocks.{layer}.mlp.{hook}", named[layer + 1])
                for hook in ("hook_pre", "hook_post")
            ]
        return places + [
            (name, named[-1]) for name in ("hook_readout", "hook_logits") if name in self.hook_dict
        ]

    def float64_layers(self) -> "list[tuple[Tensor, Tensor]]":
        """The weights as detached float64 copies on the CPU, W [d_out, d_in] and b [d_out] per
        layer, for exact bookkeeping.
        """
        return [
            (fc.weight.detach().cpu().double(), fc.bias.detach().cpu().double())
            for fc in self._linears
        ]

    def activate(self, pre: Tensor, layer: int) -> Tensor:
        """Apply the activation function that follows linear layer `layer` (the last one: the
        output's).
        """
        return (self._out_act if layer == self.cfg.n_layers else self._act)(pre)

    def require_ready(self, operation: str) -> None:
        """Refuse to analyse a network in train mode, or with weights that are not finite."""
        require_evaluable(self, operation)


def require_plain_mlp(model: Any, operation: str) -> None:
    """Refuse what plain arithmetic on the weights cannot speak for: anything but a `HookedMLP`, and
    one with hooks attached.

    Raises:
        XorMiError: also for all that `require_ready` refuses.
    """
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            f"{operation} needs a HookedMLP, not {type(model).__name__}: take result.model, or HookedMLP.from_sequential(net)"
        )
    model.require_ready(operation)
    hooked = [name for name, point in model.hook_dict.items() if point.fwd_hooks]
    if hooked:
        raise XorMiError(
            f"{operation} reads the weights, but a hook on '{hooked[0]}' changes the run: model.reset_hooks() first"
        )


def hook_site(place: Unit | Edge) -> tuple[str, tuple[int, ...]]:
    """A unit or an edge that a network is known to have -> (hook name, index after the batch
    axis).
    """
    if isinstance(place, Edge):
        last = place.dst.is_output
        return ("hook_edge" if last else f"blocks.{place.dst.layer}.hook_edge"), (
            place.dst.index,
            place.src.index,
        )
    if place.layer < 0:
        return "hook_embed", (place.index,)
    return ("hook_logits" if place.is_output else f"blocks.{place.layer}.mlp.hook_post"), (
        place.index,
    )


def kind_of_hook(hook_name: str) -> str:
    """What a HookedMLP's hook point holds: "edge", "input", "output" or "unit"."""
    return {"hook_embed": "input", "hook_logits": "output", "hook_readout": "output"}.get(
        hook_name, "edge" if hook_name.endswith("hook_edge") else "unit"
    )
