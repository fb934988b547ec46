"""config -> HookedMLP: a Boolean MLP as a TransformerLens HookedRootModule.

This is the only room that knows hook names.

    x --hook_embed--> [ fc1 --hook_pre--> act --hook_post--> ] x n_layers --> fc_last
    --hook_logits--> output

Layer l is TransformerLens' `blocks.{l}`: its hook points are `blocks.{l}.mlp.hook_pre` and
`.hook_post`, so `cache["post", 0]` and `get_act_name` work. With `cfg.use_edge_result` each weight
matrix also fires `blocks.{l}.hook_edge` (the readout: `hook_edge`) with the Hadamard products W *
x, `[batch, d_out, d_in]`; their sum over d_in plus the bias is the pre-activation, so one edge is
patched by the same call as one unit. Where the output has an activation of its own, `hook_readout`
is the value before it. Direct connections from the inputs to the outputs (`cfg.direct`) are
`model.direct`; they are added to the readout, and `hook_edge_direct` has their products.

Inputs are the numbers that the network takes, at `cfg.input_levels`; `rows` makes them of bits.

TransformerLens accepts some mistakes in silence (an unknown name in a filter, a predicate that
matches nothing, a patch of the wrong shape, an in-place edit that is not returned). Here each is an
error that names what exists.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from numbers import Integral
from pathlib import Path
from types import NoneType
from typing import Any, Literal, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.jit import is_tracing  # pyright: ignore[reportPrivateImportUsage]
from torch.nn import functional as F
from torch.nn.modules import module as _of_all_modules
from transformer_lens import ActivationCache, HookedRootModule
from transformer_lens.hook_points import HookPoint

from xor_mi.errors import XorMiError, as_path, require_kind, shown, unknown, whole_number
from xor_mi.graph import Edge, Unit, edges_of, layers_of, sources_of
from xor_mi.kinds import (
    HiddenActivations,
    HookName,
    HookNames,
    Layers,
    Layout,
    Numbers,
    PathLike,
    Place,
    Rows,
    Target,
)
from xor_mi.model._config import (
    OF_WEIGHTS,
    HookedMLPConfig,
    initial_weights,
    levels_in,
    target_for,
)
from xor_mi.model._convert import (
    checked_direct,
    checked_layers,
    dtype_of,
    listed,
    read_folder,
    read_layers,
    split_direct,
    write_folder,
)
from xor_mi.model._foreign import read_keras, read_sklearn
from xor_mi.model._guards import (
    HookFunction,
    guarded,
    how_to_bring,
    require_device,
    require_evaluable,
    require_output,
)
from xor_mi.model._loaders import load_foreign, load_module, require_example
from xor_mi.model._numbers import in_dtype, read_numbers
from xor_mi.model._rule import DecisionRule
from xor_mi.truth import BooleanFunction, Row, as_row, is_array, truth_rows

_RETURN_TYPES = ("logits", "loss", "both")


class _MLP(nn.Module):
    """The hook points of one hidden layer, and its weights in TransformerLens' orientation."""

    def __init__(self, fc_in: nn.Linear, fc_out: nn.Linear) -> None:
        super().__init__()
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        # in a tuple, so that each weight is owned (and saved) once, by the root
        self._linears = (fc_in, fc_out)

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
    """One hidden layer under the name that TransformerLens gives it, `blocks.{l}`."""

    def __init__(self, fc_in: nn.Linear, fc_out: nn.Linear) -> None:
        super().__init__()
        self.hook_edge = HookPoint()
        self.mlp = _MLP(fc_in, fc_out)


class HookedMLP(HookedRootModule):
    """A Boolean MLP with TransformerLens hooks; by default 2-2-1 with ReLU.

    The weights are drawn from `cfg.seed`, and it is built in eval mode.

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
    direct: nn.Linear | None
    """The direct connections, weight [d_out, d_in] and no bias; None if there are none."""

    def __init__(self, cfg: HookedMLPConfig | None = None) -> None:
        super().__init__()
        settings = "a HookedMLPConfig, such as HookedMLPConfig(d_hidden=3)"
        require_kind("cfg", cfg, (HookedMLPConfig, NoneType), give=settings)
        # a copy: models do not share their switches
        self.cfg = HookedMLPConfig() if cfg is None else replace(cfg)
        self.direct = None
        self._linears = self._add_linears()
        self.hook_embed = HookPoint()
        blocks = [_Block(fc_in, fc_out) for fc_in, fc_out in pairwise(self._linears)]
        self.blocks = nn.ModuleList(blocks)
        # what the forward walks through, layer by layer, without a look-up in nn.Module
        activations = [self.cfg.activation(layer) for layer in range(self.cfg.n_layers + 1)]
        self._stages = tuple(
            (linear, block.hook_edge, block.mlp.hook_pre, act, block.mlp.hook_post)
            # not strict: the last linear layer is the readout, which has no block
            for linear, block, act in zip(self._linears, blocks, activations, strict=False)
        )
        self.hook_edge = HookPoint()
        self.hook_edge_direct = HookPoint() if self.cfg.direct else None
        self.hook_readout = HookPoint() if self.cfg.out_act_fn != "identity" else None
        self.hook_logits = HookPoint()
        self._activations = tuple(activations)
        self.to(self.cfg.device)
        self.setup()
        self.eval()

    def to(self, *args: Any, **kwargs: Any) -> "HookedMLP":
        """As `torch.nn.Module.to`.

        Raises:
            XorMiError: a device that this machine does not have.
        """
        for device in (*args[:1], kwargs.get("device")):
            if isinstance(device, (str, int, torch.device)):
                require_device(torch.device(device))
        return super().to(*args, **kwargs)

    def cuda(self, device: int | torch.device | None = None) -> "HookedMLP":
        """As `torch.nn.Module.cuda`.

        Raises:
            XorMiError: a device that this machine does not have.
        """
        return self.to(torch.device("cuda") if device is None else device)

    def _add_linears(self) -> tuple[nn.Linear, ...]:
        """fc1, fc2, ... with the weights that the seed draws."""
        linears: list[nn.Linear] = []
        cfg = self.cfg
        weights = initial_weights(cfg.layer_sizes, cfg.seed, direct=cfg.direct)
        layers, direct = split_direct(weights, cfg.d_in if cfg.direct else 0)
        for number, (weight, bias) in enumerate(layers, start=1):
            linear = _empty_linear(weight.shape, cfg.dtype)
            self.add_module(f"fc{number}", linear)
            linears.append(linear)
            _set_parameters(linear, weight, bias)
        if direct is not None:
            self.direct = _empty_linear(direct.shape, cfg.dtype, has_bias=False)
            _set_parameters(self.direct, direct)
        return tuple(linears)

    # construction from weights, from PyTorch and from disk

    @classmethod
    def from_weights(
        cls,
        layers: Layers,
        *,
        direct: Numbers | None = None,
        layout: Layout = "out_in",
        example: tuple[Numbers, Numbers] | None = None,
        **settings: Any,
    ) -> "HookedMLP":
        """[(W, b), ...] -> HookedMLP; the last pair is the readout.

        W is [d_out, d_in], b is [d_out] or None for zeros.

        Args:
            direct: weights from the inputs to the outputs, past the hidden layers, [d_out, d_in].
            layout: "in_out" for weights that are [d_in, d_out], written for x @ W. Layers as wide
                as they are high fit either way: give an example.
            example: inputs [row, d_in] and the outputs [row, d_out] they should have, to check the
                layout by. Two or three printed digits are enough.
            settings: any `HookedMLPConfig` field except the sizes, such as act_fn, out_act_fn,
                decision_threshold, input_levels, target. Without a dtype it is float64 where an
                array or a tensor is, or where a list has a number that float32 cannot hold, such as
                1e-50; else float32.

        Raises:
            XorMiError: fewer than two layers, shapes that do not chain, weights that are not
                finite or that the dtype cannot hold, or an example that the network contradicts.
        """
        layers = listed(layers)
        read = checked_layers(layers, layout)
        past_hidden = None if direct is None else checked_direct(direct, read, layout)
        settings = {"dtype": dtype_of(layers, direct), **settings}
        model = cls._of_layers(read, settings, past_hidden)
        if example is not None:
            require_example(cls._of_layers, model, example, layout)
        return model

    @classmethod
    def _of_layers(
        cls,
        layers: list[tuple[Tensor, Tensor]],
        settings: Mapping[str, object],
        direct: Tensor | None = None,
    ) -> "HookedMLP":
        """Checked layers, W [d_out, d_in] and b [d_out], direct weights, settings without sizes."""
        first_weight, _ = layers[0]
        *d_hidden, d_out = [weight.shape[0] for weight, _ in layers]
        clash = sorted(set(settings) & set(OF_WEIGHTS))
        if clash:
            raise XorMiError(f"{', '.join(clash)} follow from the weights; leave them out")
        sizes = {"d_in": first_weight.shape[1], "d_hidden": tuple(d_hidden), "d_out": d_out}
        weights = [*(weight for weight, _ in layers), *([] if direct is None else [direct])]
        is_double = any(weight.dtype == torch.float64 for weight in weights)
        read = {"dtype": torch.float64 if is_double else torch.float32, **settings, **sizes}
        model = cls(HookedMLPConfig.from_dict({**read, "direct": direct is not None}))
        dtype = model.cfg.dtype
        for number, (weight, bias) in enumerate(layers, start=1):
            held = in_dtype(weight, dtype, f"fc{number}"), in_dtype(bias, dtype, f"fc{number}")
            _set_parameters(model.linears[number - 1], *held)
        if model.direct is not None and direct is not None:
            _set_parameters(model.direct, in_dtype(direct, dtype, "direct"))
        return model

    def with_target(self, target: Target | None) -> "HookedMLP":
        """A copy of this network with another target; this network is not changed.

        Args:
            target: a gate, a formula or a `BooleanFunction`; None for no target.

        Raises:
            XorMiError: a target of another width.
        """
        wanted = None if target is None else self.target_of(target)
        return self.with_weights(self.float64_layers(), target=wanted)

    def with_weights(self, layers: Layers, **changes: Any) -> "HookedMLP":
        """A network with other weights and this one's conventions. This network is not changed.

        Conventions are the activations, levels, loss, rule, target, seed, dtype and device.

        Args:
            layers: [(W, b), ...] as `float64_layers` gives them: as in `from_weights`, and where
                there are direct connections, they are the readout's last columns.
            changes: conventions that are to differ, such as target=None.
        """
        settings = self.cfg.conventions() | changes
        if not self.cfg.direct:
            return type(self).from_weights(layers, **settings)
        own, direct = split_direct(read_layers(layers), self.cfg.d_in)
        return type(self).from_weights(own, direct=direct, **settings)

    @classmethod
    def from_module(cls, module: nn.Module, **settings: Any) -> "HookedMLP":
        """Any PyTorch module that is such a network -> the same network with hooks.

        Its forward is followed on a copy (torch.fx): linear layers and weights multiplied by hand,
        activations as modules, functions or methods, inputs added to the outputs, batch norm folded
        in, dropout left out. A last sigmoid becomes `out_act_fn`. A last softmax changes no
        decision and is left out: the largest output decides. The larger output also decides if
        there are two and the target has one. The weights are copied, and the module is not changed.

        The network made is compared with the module in eval mode on every row of its input levels
        (on 4,096 drawn rows where there are more than 12 inputs).

        Args:
            settings: `HookedMLPConfig` fields that the module does not say, such as loss_fn,
                decision_rule, decision_threshold, input_levels, target.

        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        >>> HookedMLP.from_module(net, decision_threshold=0, target="XOR").cfg.act_fn
        'tanh'

        Raises:
            XorMiError: a line, a layer or an activation that a HookedMLP cannot have, or outputs
                that differ.
        """
        return load_module(cls._of_layers, module, settings)

    @classmethod
    def from_sequential(cls, sequential: nn.Sequential, **settings: Any) -> "HookedMLP":
        """nn.Sequential(Linear, activation, Linear, ...) -> the same network with hooks.

        The same as `from_module`.

        Raises:
            XorMiError: all that `from_module` refuses.
        """
        return load_module(cls._of_layers, sequential, settings)

    @classmethod
    def from_sklearn(cls, estimator: object, **settings: Any) -> "HookedMLP":
        """A fitted MLPClassifier or MLPRegressor, or a pipeline ending in one -> it with hooks.

        A classifier of two classes has one output, the probability of the second class, decided at
        0.5. A classifier of more classes has an output for each, and the largest wins. If the
        classes are not 0, 1, ... a warning says which they are. A regressor's outputs are decided
        at 0.5, because its targets are 0 and 1. Scalers in a pipeline are put into the first layer.
        scikit-learn itself is not imported.

        Args:
            settings: as for `from_module`.

        Raises:
            XorMiError: another object, or outputs that differ from the estimator's own on some row.
        """
        return load_foreign(cls._of_layers, read_sklearn(estimator), settings, "estimator")

    @classmethod
    def from_keras(
        cls, model: object, *, act_fn: HiddenActivations | None = None, **settings: Any
    ) -> "HookedMLP":
        """A Keras model of Dense layers, or what its get_weights() gives -> it with hooks.

        A last softmax is left out: the largest output decides. Keras itself is not imported.

        Args:
            act_fn: the hidden activation, or one per hidden layer, for a list of weights; give
                out_act_fn= too where the output has one, and negative_slope= where leaky_relu's is
                not Keras' 0.2.
            settings: as for `from_module`.

        Raises:
            XorMiError: a layer or an activation that a HookedMLP cannot have, a list that is not
                kernels and biases, or outputs that differ from the model's own.
        """
        names = ("out_act_fn", "negative_slope")
        said: dict[str, Any] = {name: settings.get(name) for name in names}
        others = {name: value for name, value in settings.items() if name not in names}
        return load_foreign(
            cls._of_layers, read_keras(model, act_fn=act_fn, **said), others, "model"
        )

    def extra_repr(self) -> str:
        """The shape, and how the numbers are read, for the first line of `print(model)`."""
        cfg = self.cfg
        low, high = cfg.input_levels
        parts = [
            "-".join(map(str, cfg.layer_sizes)),
            ", ".join(cfg.act_fns) if isinstance(cfg.act_fn, tuple) else cfg.act_fn,
            f"inputs {low:g} and {high:g}",
            f"decided by: {cfg.rule}",
        ]
        return "; ".join(parts)

    def save_pretrained(self, directory: PathLike, *, overwrite: bool = False) -> Path:
        """Write `config.json` and `model.safetensors` into a folder (made if missing).

        Both are replaced or neither, the config first. Weights that layers share are written for
        each of them: loaded, they have the same values and are not shared any more.

        Args:
            overwrite: replace files of these names that xor-mi did not write, and write beside
                others. Nothing else is touched.

        Returns:
            The folder.

        Raises:
            XorMiError: the folder cannot be written, or holds files that xor-mi did not write (a
                README.md beside a saved model may stay, and hidden files).
        """
        return write_folder(directory, self.cfg, self.state_dict(), overwrite=overwrite)

    @classmethod
    def from_pretrained(cls, directory: PathLike, device: str = "cpu") -> "HookedMLP":
        """A folder written by `save_pretrained` -> the model.

        Reads JSON and safetensors only; no pickle, no code.

        Raises:
            XorMiError: a missing folder or file, a file that is damaged or not ours, shapes that
                disagree, weights not finite.
        """
        cfg, tensors = read_folder(as_path("directory", directory), device)
        model = cls(cfg)
        model.load_state_dict(tensors)
        return model

    # running

    @overload
    def forward(
        self,
        x: Numbers,
        return_type: Literal["logits", "loss"] = "logits",
        labels: Numbers | None = None,
    ) -> Tensor: ...
    @overload
    def forward(
        self, x: Numbers, return_type: Literal["both"], labels: Numbers | None = None
    ) -> tuple[Tensor, Tensor]: ...
    def forward(
        self, x: Numbers, return_type: str = "logits", labels: Numbers | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Inputs [batch, d_in] or [d_in], of bool, int or float -> outputs, always [batch, d_out].

        Numbers are used unchanged, so the bits of a network with other levels than 0 and 1 have to
        go through `rows`; bools are bits.

        Args:
            return_type: "logits" (the output after `out_act_fn`, which is the identity by default),
                "loss" (the mean, one number), or "both".
            labels: [batch, decision] of 0 and 1 for the loss, or [batch, d_out]; by default read
                off `cfg.target` at the input bits.

        Raises:
            XorMiError: inputs or labels of another shape, or no labels and no target.
        """
        if return_type not in _RETURN_TYPES:
            raise unknown("return_type", return_type, _RETURN_TYPES, where="known")
        embed = self._point("hook_embed")
        # a copy, where a hook could reach the caller's tensor or gradients need it; a trace by
        # torch.jit is compared with another one without gradients
        copies = torch.is_grad_enabled() or not _is_silent(embed) or is_tracing()
        value = _through(embed, self._as_input(x, copies=copies))  # [batch, d_in]
        inputs = value
        for linear, hook_edge, hook_pre, act, hook_post in self._stages:
            pre = _through(hook_pre, self._affine(linear, value, hook_edge))
            value = _through(hook_post, act(pre))  # [batch, unit]
        readout = self._affine(self._linears[-1], value, self._point("hook_edge"))
        if self.direct is not None and self.hook_edge_direct is not None:
            readout = readout + self._affine(self.direct, inputs, self.hook_edge_direct)
        if self.hook_readout is not None:
            readout = self.hook_readout(readout)
            logits = _through(self._point("hook_logits"), self._activations[-1](readout))
        else:
            logits = _through(self._point("hook_logits"), readout)
        if return_type == "logits":
            return logits
        loss = self._loss(logits, readout=readout, inputs=inputs, labels=labels)
        return loss if return_type == "loss" else (logits, loss)

    def _point(self, name: str) -> Any:
        """A hook point of the root, past the slow look-up of nn.Module."""
        return self._modules[name]

    def _affine(self, linear: nn.Linear, value: Tensor, hook_edge: HookPoint) -> Tensor:
        weight, bias = _parameter(linear, "weight"), _parameter(linear, "bias")
        if not self.cfg.use_edge_result:
            return F.linear(value, weight, bias)
        products = weight * value[:, None, :]  # [batch, d_out, d_in]
        added = hook_edge(products).sum(-1)
        # the direct connections have no bias of their own
        return added if bias is None else added + bias

    def _as_input(self, x: Numbers, *, copies: bool) -> Tensor:
        """Inputs as [batch, d_in] in the network's dtype, on its device.

        copies: whether a tensor that already has this form is copied.
        """
        weight = _parameter(self._linears[0], "weight")
        try:
            inputs = x if type(x) is Tensor else read_numbers(x)
        except (TypeError, ValueError, RuntimeError):
            raise XorMiError(
                f"cannot read {x!r} as an input; give bits [batch, {self.cfg.d_in}], "
                "for example model.rows()"
            ) from None
        if inputs.ndim == 1:
            inputs = inputs[None]
        if inputs.ndim != 2 or inputs.shape[1] != self.cfg.d_in:
            raise XorMiError(
                f"inputs have shape {list(inputs.shape)}; "
                f"this network takes [batch, {self.cfg.d_in}]"
            )
        if inputs.dtype == torch.bool:
            return self._at_levels(inputs)
        held = in_dtype(inputs, weight.dtype, "the input")
        if held is inputs and not copies and held.device == weight.device:
            return held
        return held.to(device=weight.device, copy=held is inputs)

    def _at_levels(self, bits: Tensor) -> Tensor:
        """Bits, of bool, as the numbers that stand for them, on the network's device."""
        weight = _parameter(self._linears[0], "weight")
        if self.cfg.input_levels == (0.0, 1.0):
            return bits.to(weight.device, weight.dtype)
        # the network may have been moved to another dtype since it was built
        low, high = map(weight.new_tensor, levels_in(weight.dtype, self.cfg.input_levels))
        return torch.where(bits.to(weight.device), high, low)

    def bits_of(self, inputs: Tensor) -> Tensor:
        """Inputs at the network's two levels -> whole numbers 0 and 1, of the same shape.

        Raises:
            XorMiError: an input that is at neither level, or anything but a tensor.
        """
        require_kind("inputs", inputs, Tensor, give="a tensor, such as model.rows()")
        low, high = (inputs.new_tensor(level) for level in self.cfg.input_levels)
        is_high = inputs == high
        neither = ~(is_high | (inputs == low))
        if bool(neither.any()):
            found = inputs[neither].flatten()[0].item()
            raise XorMiError(
                f"input {found:g} is neither {low.item():g} nor {high.item():g}, "
                "the levels of this network, so no label belongs to it; give labels=..."
            )
        return is_high.long()

    def _loss(
        self, logits: Tensor, *, readout: Tensor, inputs: Tensor, labels: Numbers | None
    ) -> Tensor:
        if labels is None:
            goal = self._target_labels(inputs, logits)
        else:
            goal = self._as_labels(labels, logits)
        if self.cfg.loss_fn == "ce":
            self._require_one_class(goal)
            return F.cross_entropy(logits, goal)
        if self.cfg.loss_fn == "mse":
            return F.mse_loss(logits, goal)
        # after a sigmoid, cross-entropy takes the logits that went into the sigmoid
        scores = readout if self.cfg.out_act_fn == "sigmoid" else logits
        return F.binary_cross_entropy_with_logits(scores, goal)

    def _target_labels(self, inputs: Tensor, logits: Tensor) -> Tensor:
        if self.cfg.target is None:
            raise XorMiError(
                "a loss needs labels=..., or a target in the config: HookedMLPConfig(target='XOR')"
            )
        wanted = [self.cfg.target(*row) for row in self.bits_of(inputs).tolist()]
        labels = torch.tensor(wanted, dtype=logits.dtype, device=logits.device)
        # one output gives [batch], and the outputs are [batch, 1]
        return self._per_output(labels.view(len(logits), self.cfg.n_decisions))

    def _as_labels(self, labels: Numbers, logits: Tensor) -> Tensor:
        n_decisions = self.cfg.n_decisions
        try:
            goal = torch.as_tensor(labels, dtype=logits.dtype, device=logits.device)
        except (TypeError, ValueError, RuntimeError):
            raise XorMiError(
                f"cannot read {labels!r} as labels; give 0 and 1, [batch, {n_decisions}]"
            ) from None
        if goal.ndim == 1 and n_decisions == 1:
            goal = goal[:, None]
        shapes = [(len(logits), n_decisions), tuple(logits.shape)]
        if goal.shape not in shapes:
            raise XorMiError(
                f"labels have shape {list(goal.shape)}; give numbers from 0 to 1, {list(shapes[0])}"
            )
        is_share = (goal >= 0) & (goal <= 1)
        if not bool(is_share.all()):
            wrong = goal[~is_share][0].item()
            hint = "; of -1 and 1 give (labels > 0)" if wrong == -1 else ""
            raise XorMiError(f"label {wrong:g} is not a number from 0 to 1{hint}")
        return goal if goal.shape == logits.shape else self._per_output(goal)

    def _per_output(self, labels: Tensor) -> Tensor:
        """Labels [batch, decision] -> [batch, d_out]: of one decision over two, one for each."""
        if self.cfg.n_decisions == self.cfg.d_out:
            return labels
        return torch.cat([1 - labels, labels], dim=1)

    def _require_one_class(self, goal: Tensor) -> None:
        total = goal.sum(1)
        # shares of 1, so torch's own tolerance fits
        if not bool(torch.isclose(total, torch.ones_like(total)).all()):
            worst = total[(total - 1).abs().argmax()].item()
            raise XorMiError(
                "with loss_fn='ce' one output is right on every row; "
                f"here the labels of a row add up to {worst:g}: give each row one label of 1"
            )

    def set_use_edge_result(self, use_edge_result: bool) -> None:
        """Switch the edge hooks on or off; TransformerLens has `set_use_attn_result` for heads."""
        self.cfg.use_edge_result = use_edge_result

    @overload
    def run_with_cache(
        self,
        *model_args: Any,
        return_cache_object: Literal[True] = True,
        names_filter: HookNames | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache]: ...
    @overload
    def run_with_cache(
        self,
        *model_args: Any,
        return_cache_object: Literal[False],
        names_filter: HookNames | None = None,
        **kwargs: Any,
    ) -> tuple[Any, dict[str, Tensor]]: ...
    def run_with_cache(
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        names_filter: HookNames | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """TransformerLens' `run_with_cache`, giving an `ActivationCache`.

        With `return_cache_object=False` the cache is a plain dict.

        Raises:
            XorMiError: a filter that names no hook or matches none, or `pos_slice` (it would cut
                the batch of 2-D activations).
        """
        if kwargs.pop("pos_slice", None) is not None:
            raise XorMiError(
                "pos_slice would cut the batch: activations here are [batch, unit]; "
                "index the cache instead"
            )
        names = self.active_hooks() if names_filter is None else self._hook_names(names_filter)
        if not names:
            raise unknown("hook", "(an empty filter)", self.active_hooks(), where="this model has")
        # the names as a list, already checked: TransformerLens would take an unknown one in silence
        output, cache = super().run_with_cache(*model_args, names_filter=names, **kwargs)
        if not return_cache_object:
            return output, cache
        has_batch_dim = not kwargs.get("remove_batch_dim", False)
        return output, ActivationCache(cache, self, has_batch_dim=has_batch_dim)

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Iterable[tuple[HookName, HookFunction]] = (),
        bwd_hooks: Iterable[tuple[HookName, HookFunction]] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator["HookedMLP"]:
        """TransformerLens' `hooks`, with the mistakes it accepts in silence refused.

        Raises:
            XorMiError: anything but pairs of a name and a function; a name or predicate that
                matches nothing; while running, a hook that edits in place and returns None, or
                returns another shape.
        """
        forward_hooks: list[tuple[str, HookFunction]] = []
        for name, hook in _pairs_of_hooks("fwd_hooks", fwd_hooks):
            checked = partial(guarded, hook)
            forward_hooks += [(hook_name, checked) for hook_name in self._hook_names(name)]
        backward_hooks: list[tuple[str, HookFunction]] = []
        for name, hook in _pairs_of_hooks("bwd_hooks", bwd_hooks):
            backward_hooks += [(hook_name, hook) for hook_name in self._hook_names(name)]
        # Any: TransformerLens' own annotation leaves the kinds of hook open
        settings: dict[str, Any] = {
            "fwd_hooks": forward_hooks,
            "bwd_hooks": backward_hooks,
            "reset_hooks_end": reset_hooks_end,
            "clear_contexts": clear_contexts,
        }
        with super().hooks(**settings):
            yield self

    def add_hook(self, name: HookName, hook: HookFunction, *args: Any, **kwargs: Any) -> None:
        """TransformerLens' `add_hook`, with the checks of `hooks`."""
        if not callable(hook):
            raise XorMiError(f"hook is {shown(hook)}; give a function of (activation, hook)")
        # `dir` is the first of TransformerLens' further arguments, by position or by name
        direction = args[0] if args else kwargs.get("dir", "fwd")
        checked: Any = partial(guarded, hook) if direction == "fwd" else hook
        for hook_name in self._hook_names(name):
            super().add_hook(hook_name, checked, *args, **kwargs)

    def active_hooks(self) -> list[str]:
        """Names of the hook points that fire: the edge hooks only when they are switched on."""
        return [
            name
            for name in self.hook_dict
            if self.cfg.use_edge_result or kind_of_hook(name) != "edge"
        ]

    def _hook_names(self, names: HookNames) -> list[str]:
        """The active hooks that names and predicates match; an error if one matches none."""
        if isinstance(names, Iterable) and not isinstance(names, str):
            return list(chain.from_iterable(map(self._hook_names, names)))
        active = self.active_hooks()
        if callable(names):
            matching = [hook_name for hook_name in active if names(hook_name)]
            if not matching:
                missing = "(a predicate that matches nothing)"
                raise unknown("hook", missing, active, where="this model has")
            return matching
        if names in active:
            return [names]
        # a list, so that a value without a hash gets the message and not a TypeError
        if names in list(self.hook_dict):
            raise XorMiError(
                f"hook '{names}' is switched off; call model.set_use_edge_result(True) first"
            )
        raise unknown("hook", names, active, where="this model has")

    def to_tokens(self, bits: Row | Sequence[Row]) -> Tensor:
        """'01', [0, 1] or several of them -> integer bits [batch, d_in].

        The bits are this network's tokens.

        Raises:
            XorMiError: rows that are not bits of this network's width.
        """
        values: Any = bits.tolist() if is_array(bits) else bits
        require_kind("bits", values, (str, list, tuple), give="rows of bits, such as ['00', '01']")
        # the entries of one row are bits, which have no length; those of several are rows
        is_one_row = len(values) > 0 and not hasattr(values[0], "__len__")
        rows = [values] if isinstance(values, str) or is_one_row else values
        return torch.tensor([as_row(row, self.cfg.d_in) for row in rows], dtype=torch.long)

    # places: the only link between units or edges and hook names

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return self.cfg.layer_sizes

    @property
    def threshold(self) -> float:
        """Decision = output > threshold, strictly, where the rule is "threshold"."""
        return self.cfg.threshold

    @property
    def rule(self) -> DecisionRule:
        """How the outputs are decided."""
        return self.cfg.rule

    @property
    def decision_units(self) -> tuple[Unit, ...]:
        """The output that stands for each decision; for argmax over two outputs it is y1."""
        outputs = layers_of(self.layer_sizes)[-1]
        return tuple(outputs[-self.cfg.n_decisions :])

    def target_of(self, target: Target | None = None) -> BooleanFunction:
        """What this network should compute: the target given, or else the one in its config.

        Raises:
            XorMiError: neither is there, or a target of another width.
        """
        wanted = self.cfg.target if target is None else target
        if wanted is None:
            raise XorMiError(
                "this network has no target; give one, such as target='XOR' here or in its config"
            )
        return target_for(self.cfg, BooleanFunction.of(wanted, self.cfg.d_in))

    def require_output(self, output: int) -> int:
        """The number of a decision, checked to be one of this network's.

        Under a threshold every output is a decision; see `HookedMLPConfig.decision_rule`.

        Raises:
            XorMiError: no such output.
        """
        return require_output(output, self.cfg.n_decisions)

    def require_no_direct(self, operation: str) -> None:
        """Refuse a network with direct connections.

        Args:
            operation: what does not cover them, the subject of the message.

        Raises:
            XorMiError: saying what does.
        """
        if self.cfg.direct:
            raise XorMiError(
                f"{operation} does not cover connections from inputs straight to outputs; "
                "identify_circuit, contributions and patching do"
            )

    @contextmanager
    def edge_hooks(self, needed: bool = True) -> Iterator[None]:
        """The edge hooks switched on inside a `with` block; afterwards they are as before.

        Args:
            needed: False changes nothing, so that a caller needs no second branch.
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

    def rows(self, rows: Rows | None = None) -> Float[Tensor, "row d_in"]:
        """Input rows at the network's levels, as a tensor in its dtype, on its device.

        Args:
            rows: by default all 2^d_in of them.

        Raises:
            XorMiError: rows that are not bits of this network's width.
        """
        # reshape, for no rows at all: they are [0, d_in] too
        bits = np.array(self.read_rows(rows), dtype=np.bool_).reshape(-1, self.cfg.d_in)
        return self._at_levels(torch.from_numpy(bits))

    def read_rows(self, rows: Rows | None = None) -> tuple[tuple[int, ...], ...]:
        """Input rows as tuples of bits.

        Args:
            rows: by default all 2^d_in of them.

        Raises:
            XorMiError: rows that are not bits of this network's width.
        """
        if rows is None:
            return truth_rows(self.cfg.d_in)
        # a tensor or an array of one number claims to be iterable, and is not
        listed = rows if getattr(rows, "ndim", 1) else None
        require_kind("rows", listed, Iterable, give="input rows, such as ['00', '01']")
        return tuple(as_row(row, self.cfg.d_in) for row in rows)

    @property
    def units(self) -> tuple[Unit, ...]:
        """All hidden units, layer by layer."""
        return tuple(chain.from_iterable(layers_of(self.layer_sizes)[1:-1]))

    def place(self, place: Place) -> Unit | Edge:
        """'h0.1', 'x0', 'y0', 'x0->h0.1', a Unit or an Edge -> the Unit or Edge.

        Raises:
            XorMiError: this network has no such place.
        """
        known = self._find_place(place)
        if known is not None:
            return known
        if isinstance(place, Integral):
            raise XorMiError(
                f"{place} is not a unit or an edge; units are named by layer and index, such as "
                f"{Unit(0, 0).name}"
            )
        if ">" in str(place):
            exists: Iterable[Unit | Edge] = edges_of(self.layer_sizes, direct=self.cfg.direct)
        else:
            exists = chain.from_iterable(layers_of(self.layer_sizes))
        raise unknown("unit or edge", place, exists, where="this network has")

    def _find_place(self, place: Place) -> Unit | Edge | None:
        """The place of this name or value, without a search through all of them."""
        if isinstance(place, Edge):
            return self._find_edge(place.src, place.dst)
        if isinstance(place, Unit):
            return place if self._has_unit(place) else None
        if not isinstance(place, str):
            return None
        source, arrow, target = place.partition("->")
        return self._find_edge(source, target) if arrow else self._find_unit(place)

    def _find_edge(self, src: str | Unit, dst: str | Unit) -> Edge | None:
        source, target = self._find_place(src), self._find_place(dst)
        if not isinstance(source, Unit) or not isinstance(target, Unit):
            return None
        is_direct = self.cfg.direct and source.layer == -1 and target.is_output
        return Edge(source, target) if is_direct or target.layer == source.layer + 1 else None

    def _find_unit(self, name: str) -> Unit | None:
        # ASCII, and at most six digits: int() would take other scripts' digits, and any number
        match = re.fullmatch(r"(x|y|h(\d{1,6})\.)(\d{1,6})", name, flags=re.ASCII)
        if match is None:
            return None
        kind, index = match[1], int(match[3])
        if kind == "x":
            unit = Unit(-1, index)
        elif kind == "y":
            unit = Unit(self.cfg.n_layers, index, is_output=True)
        else:
            unit = Unit(int(match[2]), index)
        return unit if self._has_unit(unit) else None

    def _has_unit(self, unit: Unit) -> bool:
        output_layer = self.cfg.n_layers
        if not -1 <= unit.layer <= output_layer:
            return False
        if unit.is_output != (unit.layer == output_layer):
            return False
        # inputs are layer -1 and stand first in layer_sizes
        return 0 <= unit.index < self.layer_sizes[unit.layer + 1]

    def hook_site(self, place: Place) -> tuple[str, tuple[int, ...]]:
        """Where a unit's or an edge's value is read and written: (hook name, index).

        The index counts from the axis after the batch.

        Raises:
            XorMiError: this network has no such place.
        """
        return hook_site(self.place(place))

    def hook_places(self) -> list[tuple[str, list[str]]]:
        """Each hook point of a plain forward, in order, with the names of the units it holds."""
        inputs, *hidden, outputs = map(_names, layers_of(self.layer_sizes))
        places = [("hook_embed", inputs)]
        for layer, units in enumerate(hidden):
            places.append((f"blocks.{layer}.mlp.hook_pre", units))
            places.append((f"blocks.{layer}.mlp.hook_post", units))
        if self.hook_readout is not None:
            places.append(("hook_readout", outputs))
        places.append(("hook_logits", outputs))
        return places

    @property
    def sources(self) -> list[list[Unit]]:
        """The units that each linear layer reads, in the order of its weights' columns.

        The readout reads the last hidden layer, and then the inputs where they are connected to
        it.
        """
        return sources_of(self.layer_sizes, direct=self.cfg.direct)

    def float64_layers(self) -> list[tuple[Tensor, Tensor]]:
        """The weights as detached float64 copies on the CPU.

        Per layer W [d_out, source] and b [d_out], with the layer's `sources` as columns: those of
        direct connections are the readout's last.
        """
        layers = [
            (linear.weight.detach().cpu().double(), linear.bias.detach().cpu().double())
            for linear in self._linears
        ]
        if self.direct is not None:
            readout, bias = layers[-1]
            past_hidden = self.direct.weight.detach().cpu().double()
            layers[-1] = (torch.cat([readout, past_hidden], dim=1), bias)
        return layers

    def activate(self, pre: Tensor, layer: int) -> Tensor:
        """Apply the activation function that follows linear layer `layer`, counted from 0.

        After the last layer, the readout, it is the output's.

        Raises:
            XorMiError: anything but a tensor, or a layer that the network does not have.
        """
        require_kind("pre", pre, Tensor, give="the sums of a layer, as a tensor")
        return self._activations[whole_number("layer", layer, below=len(self._activations))](pre)


def _pairs_of_hooks(
    name: str, hooks: Iterable[tuple[HookName, HookFunction]]
) -> list[tuple[HookName, HookFunction]]:
    """Hooks as `hooks` takes them, checked to be pairs of a name and a function."""
    give = "pairs of a hook's name and a function, such as [('hook_logits', function)]"
    require_kind(name, hooks, Iterable, give=give)
    pairs = list(hooks)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not callable(pair[1]):
            raise XorMiError(f"{name} has {shown(pair)}; give {give}")
    return pairs


_CALL, _FORWARD = HookPoint.__call__, HookPoint.forward
_WAYS_TO_CALL = frozenset(("forward", "_call_impl", "_compiled_call_impl"))
"""Attributes by which a tool, or `compile()`, may change what a call of a module does."""


def _is_silent(point: HookPoint) -> bool:
    """Whether a call of a hook point would do nothing: no hook of its own, and none of all modules.

    A module of another class in its place, or one whose call was replaced, is always called.
    """
    state = point.__dict__
    is_heard = (
        state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
        or _of_all_modules._has_any_global_hook()
    )
    if is_heard or type(point) is not HookPoint or not _WAYS_TO_CALL.isdisjoint(state):
        return False
    return HookPoint.forward is _FORWARD and HookPoint.__call__ is _CALL


def _through(point: HookPoint, value: Tensor) -> Tensor:
    """What a hook point makes of a value; a hook point that does nothing is not called."""
    return value if _is_silent(point) else point(value)


def _parameter(linear: nn.Linear, name: str) -> Any:
    """A weight or a bias, past the slow look-up of nn.Module where the layer holds it plainly."""
    # another class may compute it, and a pruned layer has it elsewhere
    held = linear._parameters.get(name) if type(linear) is nn.Linear else None
    return getattr(linear, name) if held is None else held


def _names(units: Sequence[Unit]) -> list[str]:
    return [unit.name for unit in units]


def _empty_linear(shape: Sequence[int], dtype: torch.dtype, *, has_bias: bool = True) -> nn.Linear:
    """A layer of this shape, [d_out, d_in], whose weights are still to be set.

    `nn.Linear` is made without its `__init__`, which would draw weights and so advance torch's
    global generator. `torch.nn.utils.skip_init` does the same by way of a device that holds no
    numbers, but takes ten times as long and loads a computer algebra system.
    """
    d_out, d_in = shape
    linear = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(linear)
    linear.in_features, linear.out_features = d_in, d_out
    linear.weight = nn.Parameter(torch.empty(d_out, d_in, dtype=dtype))
    bias = nn.Parameter(torch.empty(d_out, dtype=dtype)) if has_bias else None
    linear.register_parameter("bias", bias)
    return linear


@torch.no_grad()
def _set_parameters(linear: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> None:
    linear.weight.copy_(weight)
    if bias is not None:
        linear.bias.copy_(bias)


def require_hooked_mlp(model: object, operation: str) -> HookedMLP:
    """The model as a HookedMLP; anything else is refused, naming the loader that converts it.

    Args:
        operation: what needs it, the subject of the message.

    Raises:
        XorMiError: a result that holds a model, another module, a folder's name, anything else.
    """
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            f"{operation} needs a HookedMLP, not {type(model).__name__}: {how_to_bring(model)}"
        )
    return model


def require_plain_mlp(model: object, operation: str) -> None:
    """Refuse models that weight arithmetic alone does not describe.

    These are models that are not a `HookedMLP`, and a HookedMLP with hooks attached.

    Args:
        operation: what needs it, the subject of the message.

    Raises:
        XorMiError: also for all that `require_evaluable` refuses.
    """
    network = require_hooked_mlp(model, operation)
    require_evaluable(network, operation)
    hooked = [name for name, point in network.hook_dict.items() if point.fwd_hooks]
    if hooked:
        raise XorMiError(
            f"{operation} reads the weights, but a hook on '{hooked[0]}' changes the run: "
            "model.reset_hooks() first"
        )


def hook_site(place: Unit | Edge) -> tuple[str, tuple[int, ...]]:
    """A unit or an edge that a network is known to have -> (hook name, index).

    The index counts from the axis after the batch.
    """
    if isinstance(place, Edge):
        source, target = place.src, place.dst
        if target.layer > source.layer + 1:
            hook_name = "hook_edge_direct"
        elif target.is_output:
            hook_name = "hook_edge"
        else:
            hook_name = f"blocks.{target.layer}.hook_edge"
        return hook_name, (target.index, source.index)
    if place.layer < 0:
        return "hook_embed", (place.index,)
    if place.is_output:
        return "hook_logits", (place.index,)
    return f"blocks.{place.layer}.mlp.hook_post", (place.index,)


HookKind = Literal["edge", "input", "output", "unit"]
"""What the values at a hook point are values of."""


def kind_of_hook(hook_name: str) -> HookKind:
    """What a HookedMLP's hook point holds."""
    if hook_name == "hook_embed":
        return "input"
    if hook_name in ("hook_logits", "hook_readout"):
        return "output"
    is_edge = hook_name.endswith(("hook_edge", "hook_edge_direct"))
    return "edge" if is_edge else "unit"


def stage_of_hook(hook_name: str) -> str:
    """A hook point's place in its layer, TransformerLens' short name for it.

    >>> stage_of_hook("blocks.0.mlp.hook_post")
    'post'
    """
    return hook_name.rpartition("hook_")[2]
