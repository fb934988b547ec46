"""what a caller gives for any hooked model -> inputs, their bits, and how it decides.

On a HookedMLP everything has a default: all rows, their bits, the network's own rule. Of another
model the caller says what it is run on (`inputs=`), which bits these have (`features=`), and what
the outputs decide (`decide=`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError
from xor_mi.interventions._examples import Examples, as_inputs, distinct_examples, examples_of
from xor_mi.interventions._features import ReadFeatures, read_features
from xor_mi.interventions._hooks import require_tensor
from xor_mi.interventions._readout import Readers, readers_of_decisions
from xor_mi.kinds import Decide, Features, HookedModel, Inputs, ModelKwargs
from xor_mi.model import HookedMLP, read_inputs
from xor_mi.truth import MAX_INPUTS, ArrayLike


def brought_examples(
    model: HookedModel, inputs: Inputs | None, model_kwargs: ModelKwargs | None
) -> Examples:
    """What the model is run on, with its keyword inputs.

    Raises:
        XorMiError: no inputs if there is no default, inputs without numbers, or keyword inputs that
            do not fit.
    """
    # a HookedMLP takes rows too, as text or as bits
    if isinstance(model, HookedMLP) and not _is_table(inputs):
        values = read_inputs(model, inputs).values
    elif inputs is None:
        raise XorMiError(
            "give inputs=, a tensor [input, ...] of what the model is run on; all rows of bits are "
            "the default on a HookedMLP only"
        )
    else:
        table: Any = inputs
        values = as_inputs(model, table, "inputs")
    if values.ndim == 0 or len(values) == 0:
        raise XorMiError(f"inputs have shape {list(values.shape)}; give at least one, [input, ...]")
    if values.is_meta:
        raise XorMiError("inputs are on the meta device, which holds no numbers; give real ones")
    return examples_of(model, values, model_kwargs)


def _is_table(inputs: object) -> bool:
    """Whether these are numbers that a model is run on, [input, ...], as a tensor or an array."""
    return isinstance(inputs, ArrayLike) and getattr(inputs, "ndim", 0) > 1


def brought_features(
    model: HookedModel, examples: Examples, features: Features | None, *, at_most: int = MAX_INPUTS
) -> ReadFeatures:
    """The bits of the inputs, by default those that a HookedMLP's inputs stand for.

    Raises:
        XorMiError: features that are not one bit per input, or no features if there is no default.
    """
    if features is not None:
        return read_features(features, len(examples), at_most=at_most)
    if not isinstance(model, HookedMLP):
        raise XorMiError(
            f"nothing says which bits these inputs of shape {list(examples.inputs.shape)} have; "
            "give features={name: one bit per input}"
        )
    try:
        bits = model.bits_of(examples.inputs).cpu()
    except XorMiError:
        levels = " and ".join(f"{level:g}" for level in model.cfg.input_levels)
        raise XorMiError(
            f"an input is neither of the network's levels {levels}, and nothing says which bits "
            "the inputs have; give features={name: one bit per input}"
        ) from None
    if bits.shape[1] > at_most:
        raise XorMiError(
            f"{bits.shape[1]} inputs are more than the {at_most} features that are allowed; give "
            "features={name: one bit per input}"
        )
    return ReadFeatures(tuple(f"x{k}" for k in range(bits.shape[1])), bits)


def first_of_each(examples: Examples, rows: Sequence[str]) -> Int[Tensor, " input"]:
    """The number of the first sample with each input, in order.

    Args:
        rows: the combination of the features that each sample has, such as '01'.

    Raises:
        XorMiError: one input with two combinations of the features.
    """
    # empty inputs, as of a model that holds its own, do not count as equal
    if not examples.inputs.numel():
        return torch.arange(len(examples))
    _, number_of = distinct_examples(_without_minus_zero(examples))
    first: dict[int, int] = {}
    for sample, number in enumerate(number_of.tolist()):
        before = first.setdefault(number, sample)
        if rows[before] != rows[sample]:
            raise XorMiError(
                f"samples {before} and {sample} are the same input with the features "
                f"{rows[before]} and {rows[sample]}, which no unit can tell apart; give features "
                "that the input decides"
            )
    return torch.tensor(list(first.values()))


def _without_minus_zero(examples: Examples) -> Examples:
    """The inputs with 0.0 in place of -0.0: the two are one input here."""
    inputs = examples.inputs
    return Examples(inputs + 0.0 if inputs.is_floating_point() else inputs, examples.each)


def brought_readers(
    model: HookedModel, examples: Examples, output: int, decide: Decide | None
) -> Readers:
    """What reads the decision off the outputs, by default a HookedMLP's own rule.

    Raises:
        XorMiError: a decision that the network does not make, or no decision if there is no
            default; the message has the shape of the outputs.
    """
    if decide is None and not isinstance(model, HookedMLP):
        outputs = require_tensor(examples[:1].call(model), 1)
        shape = [len(examples), *outputs.shape[1:]]
        raise XorMiError(
            f"nothing says what this model decides by its outputs {shape}; give decide=, such as "
            "metrics.by_threshold(), metrics.by_argmax() or metrics.by_tokens(one, zero)"
        )
    return readers_of_decisions(model, output, decide)
