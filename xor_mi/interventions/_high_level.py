"""formulas over bits -> an algorithm that a network may implement.

Variables computed from the inputs, and an output computed from them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, unknown
from xor_mi.truth import BooleanFunction, row_numbers

WORD = re.compile(r"[A-Za-z_]\w*")

OPERATORS = ("and", "or", "not", "xor")
"""Words of a formula that are not variables."""


@dataclass(frozen=True)
class HighLevelModel:
    """An algorithm over bits: variables computed from the inputs, an output from the variables.

    (A causal model, in the words of Geiger et al.)

    Attributes:
        variables: name -> formula over x0, x1, ...
        output: formula over the variables' names.

    >>> HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both").table(2)
    (0, 1, 1, 0)

    Raises:
        XorMiError: no variables, an output that names another one, or anything but text.
    """

    variables: Mapping[str, str]
    output: str

    def __post_init__(self) -> None:
        # what is empty is answered below
        if self.variables:
            either = "names with formulas, such as {'either': 'x0 | x1'}"
            require_kind("variables", self.variables, Mapping, give=either)
            for name in self.variables:
                require_kind("the name of a variable", name, str, give=either)
        formula = "a formula over the variables' names, such as 'either & ~both'"
        require_kind("output", self.output, str, give=formula)
        if not self.variables:
            raise XorMiError(
                "an algorithm needs at least one variable, such as {'either': 'x0 | x1'}"
            )
        _ = self.readout  # raises where the output names an unknown variable

    @property
    def readout(self) -> BooleanFunction:
        """The output as a function of the variables, in their order."""
        inputs = {name: f"x{k}" for k, name in enumerate(self.variables)}
        for word in WORD.findall(self.output):
            if word not in inputs and word.lower() not in OPERATORS:
                raise unknown("variable", word, inputs, where="the variables are")
        formula = WORD.sub(lambda match: inputs.get(match[0], match[0]), self.output)
        return BooleanFunction.from_formula(formula, n_inputs=len(inputs))

    def bits(self, n_inputs: int) -> Int[Tensor, "variable row"]:
        """Every variable on every input row."""
        functions = [
            BooleanFunction.from_formula(formula, n_inputs=n_inputs)
            for formula in self.variables.values()
        ]
        return torch.tensor([function.bits for function in functions])

    def table(self, n_inputs: int) -> tuple[int, ...]:
        """The whole algorithm as a truth table over the inputs."""
        return tuple(self.predict(self.bits(n_inputs).T).tolist())

    def predict(self, bits: Int[Tensor, "*run variable"]) -> Int[Tensor, "*run"]:
        """The variables' bits -> the output's bit.

        Raises:
            XorMiError: no tensor of bits with one entry per variable.
        """
        n_variables = len(self.variables)
        require_kind("bits", bits, Tensor, give=f"a tensor of {n_variables} bits per run")
        is_bits = bool(((bits == 0) | (bits == 1)).all())
        if bits.ndim == 0 or bits.shape[-1] != n_variables or not is_bits:
            shape = list(bits.shape)
            raise XorMiError(
                f"bits of shape {shape} are not {n_variables} bits per run, one for each variable"
            )
        return torch.tensor(self.readout.bits)[row_numbers(bits)]
