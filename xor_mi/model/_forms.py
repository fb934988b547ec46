"""Operations on tensors -> the layers they amount to.

A value inside a module's forward is followed as a `Form`: an affine function of the inputs and of
the units found so far. A linear layer, a batch norm or a sum of both makes another form; an
activation makes new units. Everything is in float64, so that numbers which are only copied do not
change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.model._config import STEPS
from xor_mi.model._description import SOFTMAXES, Activation, Description, Layer

INPUTS = 0
"""The number of the group of units that are the inputs."""


@dataclass(frozen=True)
class Form:
    """Numbers that are affine in groups of units: sum over groups of parts[g] @ units of g, + bias.

    Attributes:
        parts: group -> [n, units of the group].
        bias: [n].
        is_sum: several numbers were added, as a layer does, so that an activation may follow.
        is_linear: a linear layer has been here, so that another one is a layer of its own.
        where: the place that made it.
    """

    parts: dict[int, Tensor]
    bias: Tensor
    is_sum: bool = False
    is_linear: bool = False
    where: str = ""

    def __len__(self) -> int:
        return len(self.bias)

    @property
    def is_bare_input(self) -> bool:
        """Whether no layer has been here yet."""
        return self.parts.keys() == {INPUTS} and not self.is_sum

    @property
    def chosen_units(self) -> list[tuple[int, int]] | None:
        """(group, unit) of each number, where all are nothing but units; else None."""
        if bool(self.bias.any()):
            return None
        chosen: list[tuple[int, int]] = []
        for index in range(len(self)):
            hits: list[tuple[int, int]] = []
            for group, part in self.parts.items():
                hits += [(group, unit) for unit in part[index].nonzero().flatten().tolist()]
            if len(hits) != 1 or self.parts[hits[0][0]][index, hits[0][1]].item() != 1:
                return None
            chosen += hits
        return chosen

    def is_like(self, other: "Form") -> bool:
        """Whether the numbers are the same, even if they were made in different places."""
        return (
            self.parts.keys() == other.parts.keys()
            and torch.equal(self.bias, other.bias)
            and all(torch.equal(part, other.parts[group]) for group, part in self.parts.items())
        )

    def pick(self, units: Tensor) -> "Form":
        """The numbers of these indices, in this order."""
        parts = {group: part[units] for group, part in self.parts.items()}
        return replace(self, parts=parts, bias=self.bias[units])

    def times(self, factors: Tensor) -> "Form":
        """Each number times its own factor [n]."""
        parts = {group: factors[:, None] * part for group, part in self.parts.items()}
        return replace(self, parts=parts, bias=factors * self.bias)

    def plus(self, other: "Form") -> "Form":
        """Number by number, the sum of two forms."""
        parts = dict(self.parts)
        for group, part in other.parts.items():
            parts[group] = parts[group] + part if group in parts else part
        # what was added and is taken away again is gone
        gone = [g for g in self.parts.keys() & other.parts.keys() if not bool(parts[g].any())]
        if len(gone) < len(parts):
            parts = {group: part for group, part in parts.items() if group not in gone}
        total = Form(parts, self.bias + other.bias)
        chosen = total.chosen_units
        if chosen is not None and all(group != INPUTS for group, _ in chosen):
            return total  # x + (step(x) - x).detach() is the step
        return replace(total, is_sum=True, is_linear=self.is_linear or other.is_linear)

    def beside(self, other: "Form") -> "Form":
        """The numbers of both, one after the other."""
        parts: dict[int, Tensor] = {}
        for group in self.parts | other.parts:
            halves = [form.parts.get(group) for form in (self, other)]
            width = next(half.shape[1] for half in halves if half is not None)
            filled = [
                torch.zeros(len(form), width, dtype=torch.float64) if half is None else half
                for form, half in zip((self, other), halves, strict=True)
            ]
            parts[group] = torch.cat(filled)
        return replace(
            self,
            parts=parts,
            bias=torch.cat([self.bias, other.bias]),
            is_sum=self.is_sum or other.is_sum,
            is_linear=self.is_linear or other.is_linear,
        )


@dataclass(frozen=True)
class Value:
    """A tensor inside a forward that was given every row at once.

    Attributes:
        form: what its numbers are.
        entry: the tensor's shape; each entry holds row * len(form) + index into the form. So
            whatever only moves entries (view, transpose, [:, 0], ...) is done to this.
    """

    form: Form
    entry: Tensor


@dataclass(frozen=True)
class Exponential:
    """exp(value), or 1 + exp(value): the middle of a sigmoid written by hand."""

    value: Value
    plus_one: bool = False


@dataclass(frozen=True)
class Group:
    """Units that one activation made, or the inputs.

    Attributes:
        form: what goes into the activation.
        depth: the number of their layer; the inputs are 0.
    """

    form: Form
    activation: Activation
    depth: int

    def is_like(self, other: "Group") -> bool:
        """Whether the units have the same values, whatever these are."""
        mine, theirs = self.activation, other.activation
        return (mine.name, mine.parameters) == (theirs.name, theirs.parameters) and (
            self.depth == other.depth and self.form.is_like(other.form)
        )


class Layers:
    """The groups of units found so far, and the operations that make forms and groups.

    Every operation takes the place it stands at, for its message.
    """

    def __init__(self, d_in: int, n_rows: int) -> None:
        self.d_in, self.n_rows = d_in, n_rows
        identity = torch.eye(d_in, dtype=torch.float64)
        inputs = Form({INPUTS: identity}, torch.zeros(d_in, dtype=torch.float64))
        self.groups = [Group(inputs, Activation(), 0)]
        entry = torch.arange(n_rows * d_in).view(n_rows, d_in)
        self.inputs = Value(inputs, entry)

    # forms

    def moved(self, value: Value, move: Callable[[Tensor], Any], where: str) -> Any:
        """The result of an operation that only moves entries: a value, or several."""
        try:
            moved = move(value.entry)
        except Exception as error:
            raise XorMiError(f"{where}: {_first_line(error)}") from None
        if isinstance(moved, Tensor):
            return replace(value, entry=moved)
        return tuple(replace(value, entry=part) for part in moved)

    def joined(
        self, values: Sequence[Value], join: Callable[[list[Tensor]], Tensor], where: str
    ) -> Value:
        """Several tensors put into one, by torch.cat or torch.stack."""
        form = values[0].form
        for value in values[1:]:
            form = form.beside(value.form)
        starts = accumulate((len(value.form) for value in values[:-1]), initial=0)
        entries = []
        for value, start in zip(values, starts, strict=True):
            row, unit = value.entry // len(value.form), value.entry % len(value.form)
            entries.append(row * len(form) + unit + start)
        try:
            return Value(form, join(entries))
        except Exception as error:
            raise XorMiError(f"{where}: {_first_line(error)}") from None

    def linear(self, value: Value, weight: Tensor, bias: Tensor | None, where: str) -> Value:
        """weight [m, k] @ the last axis, + bias [m]."""
        weight = double(weight)
        if value.entry.shape[-1:] != weight.shape[1:]:
            n_given = value.entry.shape[-1] if value.entry.ndim else 0
            message = f"{where}: it takes {weight.shape[1]} values and is given {n_given}"
            if value.form.is_bare_input and value.entry.shape == self.inputs.entry.shape:
                raise InputWidth(message, weight.shape[1])
            raise XorMiError(message)
        # inputs that were added past a layer have nothing to go through on their way
        is_past = INPUTS in value.form.parts and len(value.form.parts) > 1
        if value.form.is_linear and not is_past:
            # two linear layers with nothing between them: the identity is between them
            value = self.activated(value, Activation("identity", where=where), where)
        flat = value.entry.reshape(-1, weight.shape[1])
        row, unit = flat // len(value.form), flat % len(value.form)
        if len(flat) != self.n_rows or bool((row != row[:, :1]).any() | (unit != unit[:1]).any()):
            raise XorMiError(f"{where}: it is not given one row of values per input row")
        picked = value.form.pick(unit[0])
        parts = {group: weight @ part for group, part in picked.parts.items()}
        total = weight @ picked.bias
        if bias is not None:
            total = total + double(bias).broadcast_to(total.shape)
        form = Form(parts, total, is_sum=True, is_linear=True, where=where)
        entry = row[:, :1] * len(form) + torch.arange(len(form))
        return Value(form, entry.view(*value.entry.shape[:-1], len(form)))

    def scaled(self, value: Value, factor: Any, where: str) -> Value:
        """Each entry times a number."""
        (entry, units), (factors,) = self._by_rows(value, where, factor)
        return self._as_step(Value(value.form.pick(units).times(factors), entry))

    def shifted(self, value: Value, addend: Any, where: str) -> Value:
        """Each entry plus a number."""
        (entry, units), (addends,) = self._by_rows(value, where, addend)
        form = value.form.pick(units)
        return self._as_step(Value(replace(form, bias=form.bias + addends), entry))

    def _as_step(self, value: Value) -> Value:
        """A value such as 2 * step - 1, which is a step itself, as units of its own.

        Every other value stays as it is, and so does 1 - step where the step was written with >:
        its units would be those of a step with >=. The layer after takes up such a factor.
        """
        step = self._step_made_of_another(value.form)
        made_of = [self.groups[number].activation for number in value.form.parts]
        if step is None or not all(
            one.is_turned or one.at_zero == step.activation.at_zero for one in made_of
        ):
            return value
        return self._units(step, value.entry)

    def _step_made_of_another(self, form: Form) -> Group | None:
        """The step from 0 to 1, or from -1 to 1, that 2 * step - 1 and the like are; else None."""
        parts = {number: part for number, part in form.parts.items() if bool(part.any())}
        groups = [self.groups[number] for number in parts]
        kinds = {(one.activation.name, one.activation.at_zero, one.depth) for one in groups}
        is_uniform = bool((form.bias == form.bias[:1]).all())
        at_zero = groups[0].activation.at_zero if len(kinds) == 1 else None
        if form.is_sum or at_zero is None:
            return None
        joined = torch.cat(list(parts.values()), dim=1)
        factors = joined.sum(1)
        is_single = bool((joined.count_nonzero(1) == 1).all() and (factors == factors[:1]).all())
        if not is_single or not is_uniform:
            return None
        factor, bias = factors[0].item(), form.bias[0].item()
        low, high = (factor * level + bias for level in STEPS[groups[0].activation.name])
        names = {levels: name for name, levels in STEPS.items()}
        name = names.get((min(low, high), max(low, high)))
        if name is None or (factor, bias) == (1, 0):
            return None
        before = groups[0].form
        for group in groups[1:]:
            before = before.beside(group.form)
        before = before.pick(joined.abs().argmax(1))
        if low > high:
            # on where the other one is off
            before, at_zero = before.times(-torch.ones(len(before))), 1 - at_zero
        activation = Activation(name, {"at_zero": at_zero}, form.where)
        return Group(before, activation, groups[0].depth)

    def added(self, value: Value, other: Value, where: str) -> Value:
        """Entry by entry, the sum of two tensors."""
        shape = _broadcast(value.entry.shape, other.entry.shape, where=where)
        given = other.entry.broadcast_to(shape)
        rows = value.entry.broadcast_to(shape) // len(value.form)
        if bool((rows != given // len(other.form)).any()):
            raise XorMiError(f"{where}: it adds values of different input rows")
        (entry, units), (others,) = self._by_rows(value, where, given % len(other.form))
        form = value.form.pick(units).plus(other.form.pick(others.long()))
        return Value(replace(form, where=where), entry)

    def _by_rows(
        self, value: Value, where: str, *numbers: Any
    ) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """Every row's entries put in one order: (new entry tensor, units), and numbers beside them.

        Refused where the rows are not all treated alike.
        """
        tensors = [double(number) for number in numbers]
        shape = _broadcast(value.entry.shape, *[tensor.shape for tensor in tensors], where=where)
        entry = value.entry.broadcast_to(shape)
        row = (entry // len(value.form)).flatten()
        counts = torch.bincount(row, minlength=self.n_rows)
        if bool((counts != counts[0]).any()):
            raise XorMiError(f"{where}: it does not treat every input row alike")
        order = torch.argsort(row, stable=True).view(self.n_rows, -1)
        columns = [
            tensor.broadcast_to(shape).flatten()[order]
            for tensor in (entry % len(value.form), *tensors)
        ]
        if any(bool((column != column[:1]).any()) for column in columns):
            raise XorMiError(f"{where}: it does not treat every input row alike")
        new = torch.empty_like(row)
        new[order.flatten()] = torch.arange(order.numel())
        units, *beside = [column[0] for column in columns]
        return (new.view(shape), units), beside

    def _side_by_side(self, value: Value, other: Value, where: str) -> tuple[Form, Form] | None:
        """What two tensors of one shape hold in each place; None of other shapes or rows."""
        if value.entry.shape != other.entry.shape:
            return None
        if bool((value.entry // len(value.form) != other.entry // len(other.form)).any()):
            return None
        (_, units), (others,) = self._by_rows(value, where, other.entry % len(other.form))
        return value.form.pick(units.flatten()), other.form.pick(others.long())

    def activation_between(self, value: Value, other: Value, where: str) -> str:
        """The activation by which `other` is made of `value`; "" if it is not."""
        forms = self._side_by_side(value, other, where)
        if forms is None:
            return ""
        chosen, group = forms[1].chosen_units, self._step_made_of_another(forms[1])
        if chosen is not None and len({number for number, _ in chosen}) == 1:
            (number, _), *_ = chosen
            whole = self.groups[number]
            units = torch.tensor([unit for _, unit in chosen])
            group = replace(whole, form=whole.form.pick(units))
        is_of_it = group is not None and group.form.is_like(forms[0])
        return group.activation.name if group is not None and is_of_it else ""

    def factor_between(self, value: Value, other: Value, where: str) -> float | None:
        """The number that `other` is `value` times; None if it is not."""
        forms = self._side_by_side(value, other, where)
        if forms is None or forms[0].parts.keys() != forms[1].parts.keys():
            return None
        this, that = map(_flat, forms)
        largest = int(this.abs().argmax())
        factor = (that[largest] / this[largest]).item()
        short = float(f"{factor:.9g}")
        if torch.equal(that, short * this):
            return short  # the quotient of a product is not always the factor, to the last bit
        return factor if torch.allclose(that, factor * this, rtol=1e-12, atol=0) else None

    # groups of units

    def activated(self, value: Value, activation: Activation, where: str) -> Value:
        """An activation function: new units."""
        (entry, units), _ = self._by_rows(value, where)
        form = value.form.pick(units)
        follows_units = not form.is_sum and form.parts.keys() != {INPUTS}
        if activation.name in STEPS and follows_units:
            raise XorMiError(
                f"{where}; a step stands after another activation: return the value before the "
                "step, and give decision_threshold"
            )
        if activation.name in SOFTMAXES and follows_units and form.chosen_units is not None:
            activation = replace(activation, parameters={"on_units": True})
        elif not form.is_sum and activation.name not in (*STEPS, "identity"):
            raise XorMiError(
                f"{where}; an activation needs a linear layer before it, and this one has none"
            )
        return self._units(Group(form, activation, 1 + self._depth(form)), entry)

    def _units(self, group: Group, entry: Tensor) -> Value:
        """Units of their own; the same activation of the same numbers is the same units."""
        known = [number for number, one in enumerate(self.groups) if one.is_like(group)]
        if not known:
            self.groups.append(group)
        number = known[0] if known else len(self.groups) - 1
        n_units, where = len(group.form), group.activation.where
        identity = torch.eye(n_units, dtype=torch.float64)
        zeros = torch.zeros(n_units, dtype=torch.float64)
        return Value(Form({number: identity}, zeros, where=where), entry)

    def require_whole_rows(self, value: Value, dim: int, where: str) -> None:
        """Refuse a softmax that does not go over all outputs of one row."""
        try:
            flat = value.entry.movedim(dim, -1).reshape(-1, value.entry.shape[dim])
        except IndexError as error:
            raise XorMiError(f"{where}: {_first_line(error)}") from None
        row, unit = flat // len(value.form), flat % len(value.form)
        is_whole = not bool((row != row[:, :1]).any() or (unit != unit[:1]).any())
        if len(flat) != self.n_rows or not is_whole:
            raise XorMiError(
                f"{where}; a softmax goes over the outputs of one row: give it dim=-1, not {dim}"
            )

    def described(self, value: Value, dtype: torch.dtype) -> Description:
        """What leads to the output, layer by layer.

        Raises:
            XorMiError: an output that is not the end of a layer, or a connection past a layer that
                does not begin at the inputs.
        """
        (_, units), _ = self._by_rows(value, "the output")
        form = value.form.pick(units)
        if form.is_bare_input:
            raise XorMiError("the module has no linear layer; a HookedMLP has at least two")
        chosen, step = form.chosen_units, self._step_made_of_another(form)
        if chosen is not None:
            output = self._output(chosen)
        elif step is not None:
            output = step
        else:
            if not form.is_sum:
                raise XorMiError(
                    f"{form.where or 'the output'}: the output is scaled, shifted or put together "
                    "after its last activation, which no layer can do"
                )
            output = Group(form, Activation(), 1 + self._depth(form))
        layers = [output]
        by_depth: dict[int, list[int]] = {}
        for number in self._leading_to(output):
            by_depth.setdefault(self.groups[number].depth, []).append(number)
        for depth in range(output.depth - 1, 0, -1):
            members = [(number, None) for number in by_depth.get(depth, ())]
            layers.insert(0, self._merged(members))
        columns = [[INPUTS], *[by_depth[depth] for depth in range(1, output.depth)]]
        return Description(
            tuple(
                self._layer(group, before, dtype)
                for group, before in zip(layers, columns, strict=True)
            ),
            dtype,
        )

    def _depth(self, form: Form) -> int:
        return max(self.groups[group].depth for group in form.parts)

    def _output(self, chosen: list[tuple[int, int]]) -> Group:
        """The units that are the outputs, as one group."""
        softmax = [self.groups[g] for g, _ in chosen if self.groups[g].activation.name in SOFTMAXES]
        if softmax and sorted(unit for _, unit in chosen) != list(range(len(softmax[0].form))):
            return self._part_of_softmax(softmax[0], chosen)
        return self._merged([(group, torch.tensor([unit])) for group, unit in chosen])

    def _part_of_softmax(self, group: Group, chosen: list[tuple[int, int]]) -> Group:
        """One of two probabilities: a sigmoid of the difference of their logits."""
        is_known = group.activation.name == "softmax" and len(group.form) == 2 and len(chosen) == 1
        if not is_known or group.activation.parameters.get("on_units"):
            raise XorMiError(
                f"{group.activation.where}; the outputs are some of a softmax: return all of them"
            )
        (_, unit) = chosen[0]
        this, other = (group.form.pick(torch.tensor([one])) for one in (unit, 1 - unit))
        difference = this.plus(other.times(-torch.ones(1)))
        activation = Activation("sigmoid", {}, group.activation.where)
        return replace(group, form=difference, activation=activation)

    def _merged(self, members: Sequence[tuple[int, Tensor | None]]) -> Group:
        """Groups of one layer, or some of their units, as one group."""
        first = self.groups[members[0][0]]
        form: Form | None = None
        for number, units in members:
            group = self.groups[number]
            same = (group.activation.name, group.activation.parameters, group.depth)
            if same != (first.activation.name, first.activation.parameters, first.depth):
                raise XorMiError(
                    f"{group.activation.where}: units of one layer have different activations, "
                    f"{first.activation.name} and {group.activation.name}; "
                    "a HookedMLP has one per layer"
                )
            picked = group.form if units is None else group.form.pick(units)
            form = picked if form is None else form.beside(picked)
        assert form is not None
        return replace(first, form=form)

    def _leading_to(self, output: Group) -> list[int]:
        """The groups that the output depends on, in the order in which they were made."""
        needed: set[int] = set()
        waiting = list(output.form.parts)
        while waiting:
            number = waiting.pop()
            if number not in needed:
                needed.add(number)
                waiting += self.groups[number].form.parts if number != INPUTS else []
        return sorted(needed - {INPUTS})

    def _layer(self, group: Group, before: list[int], dtype: torch.dtype) -> Layer:
        form = group.form
        allowed = {*before, INPUTS}
        if not form.parts.keys() <= allowed:
            raise XorMiError(
                f"{form.where or group.activation.where}: a layer is connected past the layer "
                "after it; only the inputs may be"
            )
        weight = torch.cat(
            [
                form.parts.get(number, torch.zeros(len(form), self._width(number)).double())
                for number in before
            ],
            dim=1,
        )
        has_direct = before != [INPUTS] and INPUTS in form.parts
        direct = form.parts[INPUTS].to(dtype) if has_direct else None
        return Layer(weight.to(dtype), form.bias.to(dtype), group.activation, direct, form.where)

    def _width(self, number: int) -> int:
        return self.d_in if number == INPUTS else len(self.groups[number].form)


class InputWidth(XorMiError):
    """The inputs have another width than was tried; `width` is the one that is needed."""

    def __init__(self, message: str, width: int) -> None:
        super().__init__(message)
        self.width = width


def _flat(form: Form) -> Tensor:
    """All numbers of a form, its groups in the order of their numbers."""
    parts = [form.parts[group].flatten() for group in sorted(form.parts)]
    return torch.cat([form.bias, *parts])


def double(number: Any) -> Tensor:
    """A tensor or a plain number in float64, without rounding to float32 on the way."""
    if isinstance(number, Tensor):
        return number.detach().cpu().double()
    return torch.as_tensor(number, dtype=torch.float64)


def _broadcast(*shapes: Any, where: str) -> torch.Size:
    try:
        return torch.broadcast_shapes(*shapes)
    except RuntimeError:
        listed = " and ".join(str(list(shape)) for shape in shapes)
        raise XorMiError(f"{where}: shapes {listed} do not fit") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
