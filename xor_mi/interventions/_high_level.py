"""formulas over bits -> a high-level model: an algorithm that a network may implement.

Its variables are computed from the inputs. Its output is computed from the variables, and from
inputs that its formula names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from xor_mi.errors import XorMiError, require_kind, shown, unknown
from xor_mi.truth import BooleanFunction, row_numbers

WORD = re.compile(r"[A-Za-z_]\w*")

NUMBERED = re.compile(r"x(0|[1-9]\d*)")
"""x0, x1, ...: an input by its number, even if it also has a name."""

LETTER = re.compile(r"[a-dx-z]", re.IGNORECASE)
"""The words for an input in a formula if inputs have no names of their own."""

OPERATORS = ("and", "or", "not", "xor")
"""Words of a formula that cannot name variables."""

READ = (*OPERATORS, "nand", "nor", "xnor", "implies", "nimp", "true", "false")
"""Words that a formula may have beside its inputs."""


@dataclass(frozen=True)
class HighLevelModel:
    """An algorithm over bits: variables computed from the inputs, an output from the variables.

    (A causal model, in the words of Geiger et al.)

    Attributes:
        variables: name -> formula over the inputs, x0, x1, ... or by their names.
        output: formula over the variables' names, and over inputs that it uses directly. A variable
            called `a` hides the `a` that stands for x0.
        inputs: names of the inputs, in order; none by default. x0, x1, ... may be used as well.

    >>> HighLevelModel({"either": "x0 | x1", "both": "x0 & x1"}, "either & ~both").table(2)
    (0, 1, 1, 0)
    >>> HighLevelModel({"left": "a & ~b"}, "left | b & ~a", inputs=("a", "b")).table(2)
    (0, 1, 1, 0)

    Raises:
        XorMiError: no variables, an output that uses an unknown variable, names of inputs or
            variables that are not words or appear twice, or anything but text.
    """

    variables: Mapping[str, str]
    output: str
    inputs: Sequence[str] = ()

    def __post_init__(self) -> None:
        # an empty mapping is answered below
        if self.variables:
            either = "names with formulas, such as {'either': 'x0 | x1'}"
            require_kind("variables", self.variables, Mapping, give=either)
            for name in self.variables:
                require_kind("the name of a variable", name, str, give=either)
                if not _is_plain(name):
                    raise XorMiError(
                        f"a variable is called {shown(name)}; give a word such as 'either' (x0, "
                        "x1, ... are inputs)"
                    )
        formula = "a formula over the variables' names, such as 'either & ~both'"
        require_kind("output", self.output, str, give=formula)
        if not self.variables:
            raise XorMiError(
                "an algorithm needs at least one variable, such as {'either': 'x0 | x1'}"
            )
        self._require_names()
        _ = self.readout  # raises if the output names an unknown variable

    def _require_names(self) -> None:
        """The names of the inputs must be words, each for one input and for no variable."""
        names = self.inputs
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise XorMiError(
                f"inputs are {shown(names)}; give their names in order, such as ('a', 'b')"
            )
        for name in names:
            if not isinstance(name, str) or not _is_plain(name):
                raise XorMiError(
                    f"an input is called {shown(name)}; give a word such as 'a' (x0, x1, ... are "
                    "always there)"
                )
            if name in self.variables:
                raise XorMiError(
                    f"'{name}' is an input and a variable; give one of them another name"
                )
        if len(set(names)) < len(names):
            raise XorMiError(
                f"of the inputs {shown(tuple(names))} two have the same name; name each once"
            )
        # a frozen value has no list in it
        object.__setattr__(self, "inputs", tuple(names))

    @property
    def direct_inputs(self) -> tuple[int, ...]:
        """The numbers of the inputs that the output uses directly, in ascending order.

        >>> HighLevelModel({"both": "x0 & x1"}, "both | x2").direct_inputs
        (2,)
        """
        numbers: set[int] = set()
        for word in WORD.findall(self.output):
            if word in self.variables or word.lower() in OPERATORS:
                continue
            number = self._number_of(word)
            if number is None:
                raise unknown("variable", word, self._words(), where="the variables are")
            numbers.add(number)
        return tuple(sorted(numbers))

    @property
    def readout(self) -> BooleanFunction:
        """The output as a function of the variables, in their order.

        After them come the inputs that it uses directly (`direct_inputs`).
        """
        direct = self.direct_inputs
        places = {name: f"x{k}" for k, name in enumerate(self.variables)}

        def place(word: str) -> str:
            """A word of the output as an argument of the readout; operators stay."""
            if word in places:
                return places[word]
            if word.lower() in OPERATORS:
                return word
            number = self._number_of(word)
            assert number is not None  # direct_inputs has checked every word
            return f"x{len(places) + direct.index(number)}"

        formula = WORD.sub(lambda match: place(match[0]), self.output)
        return BooleanFunction.from_formula(formula, n_inputs=len(places) + len(direct))

    def bits(self, n_inputs: int) -> Int[Tensor, "variable row"]:
        """Every variable on every input row.

        Raises:
            XorMiError: a formula that names an input that does not exist, or a number of inputs
                that is not that of their names.
        """
        if self.inputs and n_inputs != len(self.inputs):
            raise XorMiError(
                f"the algorithm has {len(self.inputs)} inputs, {', '.join(self.inputs)}, "
                f"and not {n_inputs}; give as many"
            )
        functions = [
            BooleanFunction.from_formula(self._numbered(name, formula), n_inputs=n_inputs)
            for name, formula in self.variables.items()
        ]
        for number in self.direct_inputs:
            if number >= n_inputs:
                raise XorMiError(
                    f"the output uses x{number}, which is not one of {n_inputs} inputs, counted "
                    "from 0; use one of these"
                )
        return torch.tensor([function.bits for function in functions])

    def table(self, n_inputs: int) -> tuple[int, ...]:
        """The whole algorithm as a truth table over the inputs."""
        variables = self.bits(n_inputs).T
        rows = BooleanFunction.named("TRUE", n_inputs).rows()
        return tuple(self.predict(variables, torch.tensor(rows)).tolist())

    def predict(
        self,
        bits: Int[Tensor, "*run variable"],
        inputs: Int[Tensor, "*run input"] | None = None,
    ) -> Int[Tensor, "*run"]:
        """The variables' bits -> the output's bit.

        Args:
            inputs: the bits of the inputs, needed where the output uses some of them directly.

        Raises:
            XorMiError: anything but a tensor of bits with one entry per variable, or no inputs if
                the output uses them.
        """
        n_variables = len(self.variables)
        _require_bits("bits", bits, n_variables, of="variable")
        direct = self.direct_inputs
        if not direct:
            return torch.tensor(self.readout.bits)[row_numbers(bits)]
        if inputs is None:
            raise XorMiError(
                f"the output uses x{direct[0]} directly; give the bits of the inputs too"
            )
        _require_bits("inputs", inputs, max(direct) + 1, of="input", or_more=True)
        read = torch.cat([bits, inputs[..., list(direct)].to(bits)], dim=-1)
        return torch.tensor(self.readout.bits)[row_numbers(read)]

    def _number_of(self, word: str) -> int | None:
        """The number of the input that a word names; None if it names none."""
        if word in self.inputs:
            return list(self.inputs).index(word)
        is_numbered = NUMBERED.fullmatch(word) is not None
        if is_numbered and (not self.inputs or int(word[1:]) < len(self.inputs)):
            return int(word[1:])
        return None

    def _words(self) -> list[str]:
        """What the output may name, as a message lists it."""
        return [*self.variables, *self.inputs]

    def _numbered(self, name: str, formula: str) -> str:
        """A variable's formula with each name of an input as x0, x1, ..."""
        if not isinstance(formula, str):
            return formula

        def numbered(word: str) -> str:
            number = self._number_of(word)
            is_letter = not self.inputs and LETTER.fullmatch(word) is not None
            if word in self.variables and number is None and not is_letter:
                raise XorMiError(
                    f"the formula of '{name}' uses the variable '{word}', and a variable reads "
                    f"inputs only; write ({self.variables[word]}) in its place"
                )
            if not self.inputs:
                return word
            if number is not None:
                return f"x{number}"
            # elsewhere a and b are other names of x0 and x1; here inputs have their own
            if NUMBERED.fullmatch(word) or LETTER.fullmatch(word) or word.lower() not in READ:
                raise unknown("input", word, self.inputs, where="the inputs are")
            return word

        return WORD.sub(lambda match: numbered(match[0]), formula)


def _is_plain(name: str) -> bool:
    """Whether this is a word that has no other meaning in a formula."""
    is_word = WORD.fullmatch(name) is not None
    return is_word and not NUMBERED.fullmatch(name) and name.lower() not in OPERATORS


def _require_bits(name: str, bits: Tensor, n_each: int, *, of: str, or_more: bool = False) -> None:
    """Refuse what is not a tensor [..., n_each] of zeros and ones."""
    require_kind(name, bits, Tensor, give=f"a tensor of {n_each} bits per run")
    is_bits = bool(((bits == 0) | (bits == 1)).all())
    width = bits.shape[-1] if bits.ndim else 0
    fits = width >= n_each if or_more else width == n_each
    if not fits or not is_bits:
        raise XorMiError(
            f"{name} of shape {list(bits.shape)} are not {n_each} bits per run, one for each {of}"
        )
