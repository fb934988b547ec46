"""inputs and keyword inputs of a model -> examples that can be picked, repeated and run.

A model may write into its inputs, so every forward gets copies.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xor_mi.errors import XorMiError, require_kind
from xor_mi.kinds import HookedModel, ModelKwargs
from xor_mi.model import HookedMLP, all_finite
from xor_mi.model._numbers import in_dtype
from xor_mi.truth import ArrayLike, is_array


@dataclass(frozen=True, eq=False)
class Examples:
    """What a model is run on: inputs, and the keyword inputs of its forward.

    Attributes:
        inputs: [example, ...].
        each: keyword inputs with one entry per example, name -> [example, ...].
        whole: keyword inputs that every forward gets unchanged.
    """

    inputs: Tensor
    each: Mapping[str, Tensor] = field(default_factory=dict)
    whole: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, which: Tensor | slice) -> "Examples":
        """Some of the examples, by their numbers."""
        each = {name: values[which] for name, values in self.each.items()}
        return Examples(self.inputs[which], each, self.whole)

    @property
    def device(self) -> torch.device:
        """Where the inputs are."""
        return self.inputs.device

    def repeated(self, n: int) -> "Examples":
        """All examples n times, one whole round after the other."""
        each = {name: _repeated(values, n) for name, values in self.each.items()}
        return Examples(_repeated(self.inputs, n), each, self.whole)

    def and_then(self, others: "Examples") -> "Examples":
        """These examples, and then others with the same keyword inputs."""
        each = {name: torch.cat([values, others.each[name]]) for name, values in self.each.items()}
        return Examples(torch.cat([self.inputs, others.inputs]), each, self.whole)

    def call(self, model: HookedModel) -> object:
        """What the model returns, run on copies."""
        # a HookedMLP copies its inputs itself
        inputs = self.inputs if isinstance(model, HookedMLP) else self.inputs.clone()
        each = {name: values.clone() for name, values in self.each.items()}
        return model(inputs, **each, **self.whole)


def _repeated(values: Tensor, n: int) -> Tensor:
    return values.expand(n, *values.shape).flatten(0, 1)


def as_examples(inputs: Tensor | Examples) -> Examples:
    """Inputs alone as examples without keyword inputs."""
    return inputs if isinstance(inputs, Examples) else Examples(inputs)


def examples_of(model: HookedModel, inputs: Tensor, model_kwargs: ModelKwargs | None) -> Examples:
    """Inputs [input, ...] with the keyword inputs that a caller gives for them.

    Raises:
        XorMiError: keyword inputs of a HookedMLP, or with another number of entries.
    """
    kwargs = read_kwargs(model, model_kwargs)
    each = {name: values for name, values in kwargs.items() if isinstance(values, Tensor)}
    for name, values in kwargs.items():
        if isinstance(values, tuple) and values and isinstance(values[0], Tensor):
            raise XorMiError(
                f"model_kwargs['{name}'] is a tuple; one of two tensors is for pairs of inputs: "
                "give one tensor [input, ...]"
            )
    for name, values in each.items():
        _require_one_each(name, values, len(inputs), "input")
    whole = {name: value for name, value in kwargs.items() if name not in each}
    return Examples(inputs, each, whole)


def pairs_of_examples(
    model: HookedModel, clean: Tensor, corrupted: Tensor, model_kwargs: ModelKwargs | None
) -> Examples:
    """The clean inputs and then the corrupted ones, with their keyword inputs.

    Raises:
        XorMiError: as `examples_of`.
    """
    each: dict[str, Tensor] = {}
    whole: dict[str, object] = {}
    for name, value in read_kwargs(model, model_kwargs).items():
        sides = _sides(value)
        if not sides:
            whole[name] = value
            continue
        for side in sides:
            _require_one_each(name, side, len(clean), "pair")
        if sides[0].shape != sides[1].shape:
            shapes = " and ".join([str(list(side.shape)) for side in sides])
            raise XorMiError(
                f"model_kwargs['{name}'] has shapes {shapes} for the clean and the corrupted "
                "inputs; give two of one shape"
            )
        each[name] = torch.cat(sides)
    return Examples(torch.cat([clean, corrupted]), each, whole)


def _sides(value: object) -> list[Tensor]:
    """A keyword input for the clean inputs and for the corrupted ones; empty if it is not per
    pair."""
    if isinstance(value, Tensor):
        return [value, value]
    entries = value if isinstance(value, tuple) and len(value) == 2 else ()
    tensors = [entry for entry in entries if isinstance(entry, Tensor)]
    return tensors if len(tensors) == 2 else []


def read_kwargs(model: HookedModel, model_kwargs: ModelKwargs | None) -> dict[str, object]:
    """The keyword inputs by name; none if nothing is given."""
    if model_kwargs is None:
        return {}
    require_kind("model_kwargs", model_kwargs, Mapping, give="names and values of the forward")
    for name in model_kwargs:
        require_kind("the name of a keyword input", name, str, give="text")
    if model_kwargs and isinstance(model, HookedMLP):
        raise XorMiError(
            "a HookedMLP takes no keyword inputs; leave out model_kwargs, or set what they would "
            "say in its config"
        )
    _require_taken(model, model_kwargs)
    return {name: _as_tensors(name, value) for name, value in model_kwargs.items()}


def _require_taken(model: HookedModel, names: Iterable[str]) -> None:
    """Refuse keyword inputs that the model's forward does not take."""
    try:
        parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    except (TypeError, ValueError):  # a signature that cannot be read
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    # the first is the inputs
    taken = [
        one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    ][1:]
    for name in names:
        if name not in taken:
            listed = ", ".join(taken) if taken else "none beside its inputs"
            raise XorMiError(
                f"the model's forward takes no keyword input '{name}'; it takes: {listed}"
            )


def _as_tensors(name: str, value: object) -> object:
    """An array as a tensor, and two arrays as two tensors; anything else unchanged."""
    if isinstance(value, tuple) and len(value) == 2 and all(map(is_array, value)):
        return tuple([_as_tensors(name, side) for side in value])
    if isinstance(value, Tensor) or not is_array(value) or not getattr(value, "shape", ()):
        return value
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(f"model_kwargs['{name}'] holds no numbers; give a tensor") from None


def _require_one_each(name: str, values: Tensor, n: int, what: str) -> None:
    if values.ndim == 0 or len(values) != n:
        raise XorMiError(
            f"model_kwargs['{name}'] has shape {list(values.shape)} for {n} {what}s; give one "
            f"entry per {what}, [{what}, ...]"
        )


def as_inputs(model: HookedModel, inputs: ArrayLike, name: str) -> Tensor:
    """Inputs [input, ...] of any model, given as a tensor or an array, as a tensor.

    An array's real numbers, which NumPy holds in float64, get the dtype of the model's parameters.

    Raises:
        XorMiError: an array that holds no numbers, naming the argument.
    """
    if isinstance(inputs, Tensor):
        return _require_batch_of(inputs.detach(), name)
    try:
        # a table would be read column by column
        to_numpy = getattr(inputs, "to_numpy", None)
        read = torch.as_tensor(to_numpy() if callable(to_numpy) else inputs)
    except (TypeError, ValueError, RuntimeError):
        raise XorMiError(f"{name} holds no numbers; give a tensor [input, ...]") from None
    _require_batch_of(read, name)
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    dtypes = [one.dtype for one in parameters if one.is_floating_point()]
    return in_dtype(read, dtypes[0], name) if dtypes and read.is_floating_point() else read


def _require_batch_of(inputs: Tensor, name: str) -> Tensor:
    if inputs.ndim == 0:
        raise XorMiError(f"{name} is one number without an axis; give a tensor [input, ...]")
    return inputs


def require_finite_inputs(examples: Examples) -> None:
    """Refuse inputs that are not finite.

    Raises:
        XorMiError: NaN or infinite entries.
    """
    if examples.inputs.is_floating_point() and not all_finite(examples.inputs):
        raise XorMiError(
            "the inputs have NaN or infinite entries; an intervention needs finite ones"
        )


def distinct_examples(examples: Examples) -> tuple[Examples, Tensor]:
    """Examples -> those that differ, in order of appearance, and each one's number.

    Examples are equal if their inputs and keyword inputs agree to the last bit: 0.0 and -0.0 are
    two inputs.

    >>> distinct_examples(Examples(torch.tensor([[1.0], [0.0], [1.0]])))[1]
    tensor([0, 1, 0])
    """
    texts = [_bytes_of_each(values) for values in (examples.inputs, *examples.each.values())]
    numbers: dict[tuple[bytes, ...], int] = {}
    number_of = [numbers.setdefault(text, len(numbers)) for text in zip(*texts, strict=True)]
    number = torch.tensor(number_of, device=examples.device)
    if len(numbers) == len(examples):
        return examples, number
    return examples[torch.tensor(_first_of_each(number_of), device=examples.device)], number


def distinct_inputs(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """`distinct_examples` of inputs alone."""
    different, number = distinct_examples(Examples(inputs))
    return different.inputs, number


def _bytes_of_each(values: Tensor) -> list[bytes]:
    """The bytes of each entry, [entry, ...]."""
    entries = values.detach().cpu().reshape(len(values), values[:1].numel()).contiguous()
    written = entries.view(torch.uint8)
    n_bytes, text = written.shape[1], written.numpy().tobytes()
    return [text[k * n_bytes : (k + 1) * n_bytes] for k in range(len(values))]


def _first_of_each(number_of: Sequence[int]) -> list[int]:
    """Numbers in order of appearance -> where each appears first."""
    firsts: list[int] = []
    for place, number in enumerate(number_of):
        if number == len(firsts):
            firsts.append(place)
    return firsts
