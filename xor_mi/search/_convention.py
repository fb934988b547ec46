"""Convention: every choice that changes how many explanations a network has, one field each.

Published counts differ by such choices more than by anything else, so each is a named switch and
every result has the convention under which it was found. The two presets set the switches to what
Meloux, Maniu, Portet and Peyrard (2025, arXiv 2502.20914) write, and to what their released code
does; where the two differ, the counts differ, too.
"""

from dataclasses import asdict, dataclass
from math import inf
from typing import Literal, get_args

from xor_mi.errors import XorMiError, unknown, whole_number

Ablation = Literal["zero", "mean"]
Biases = Literal["keep", "drop"]
Decision = Literal["threshold", "round"]
Reference = Literal["task", "model"]
PairSet = Literal["all", "unordered", "distinct"]
Completion = Literal["all", "open"]
Enumeration = Literal["free", "ordered"]
Preset = Literal["default", "meloux_paper", "meloux_code"]
"""The conventions that have a name."""

CHOICES: dict[str, tuple[str, ...]] = {
    "ablation": get_args(Ablation),
    "biases": get_args(Biases),
    "decision": get_args(Decision),
    "reference": get_args(Reference),
    "pairs": get_args(PairSet),
    "completion": get_args(Completion),
    "enumeration": get_args(Enumeration),
}
"""The choices of each switch whose value is a word."""
SWITCHES = ("all_units", "constants", "ban_parity", "across_layers")
"""The switches that are True or False."""


@dataclass(frozen=True)
class Convention:
    """One field per switch. The rules that no switch changes are described here, too.

    A subcircuit keeps all inputs and outputs, some hidden units and some edges. Every kept unit and
    output reads at least one kept source, every input and kept unit is read by at least one kept
    target. It is perfect if it decides every row right, at all outputs, and the noisy rows too.

    An interpretation describes one perfect subcircuit on the clean rows. Every kept hidden unit is
    read as a bit by one threshold between two neighbouring values that it has within the
    subcircuit; larger values are 1, so that no reading is counted again as its complement. Every
    decision has the bits that are right. Every kept unit and decision has one local gate: a table
    over all its kept parents, also those that it does not depend on. Two interpretations differ if
    a threshold or a gate does.

    An alignment describes the whole network; see `find_alignments`.

    Attributes:
        ablation: what a dropped edge still carries: nothing, or its source's mean over the clean
            rows in the whole network.
        biases: whether kept units and outputs keep their biases.
        all_units: whether subcircuits that keep every hidden unit count, however many edges they
            drop.
        decision: what a perfect subcircuit's outputs must be. "threshold": the network's own
            decision must be the label (an output above its threshold, or the largest output where
            that wins), and a tie is wrong. A tie is a score that is nearer to the threshold than
            1e-9 of the terms that it is the sum of in the whole network. "round": each output,
            rounded to the nearest whole number (a half to the even one), must be the label, so that
            1.6 is wrong for 1.
        reference: whether right means what the task says, or what the whole network decides by its
            own rule.
        noise_sd: standard deviation of the noise on noisy rows, in distances between the input
            levels of bit 0 and bit 1.
        n_noisy: how many copies of each clean row with normal noise must be decided right, too.
        noise_seed: seed of that noise.
        pairs: which (base, source) pairs an interchange tries: all ordered pairs, ordered pairs of
            two different rows ("distinct"), or each two rows once with the earlier row as the
            source ("unordered").
        margin: a reading's threshold must lie in a gap of at least this fraction of the unit's
            range.
        completion: whether rows of a local gate that never occur (don't-care rows) are filled in
            every way, which gives a different gate for each way, or are left open.
        constants: whether a unit that has only one value, up to rounding, has one reading (TRUE for
            a value above 0, else FALSE), or no reading, so that its subcircuit has no
            interpretation.
        ban_parity: whether local gates of exactly two parents that are XOR or XNOR are excluded,
            also for decisions. A table over three parents always counts, even a parity of the three
            or of two of them, and so does one parent's own value or its complement.
        enumeration: which formulas are searched for; see `formulas`.
        across_layers: whether a variable's units may lie in several layers.

    >>> Convention(pairs="unordered").describe()
    "pairs='unordered'"

    Raises:
        XorMiError: a switch of another kind or value, or noise without noisy rows.
    """

    ablation: Ablation = "zero"
    biases: Biases = "keep"
    all_units: bool = True
    decision: Decision = "threshold"
    reference: Reference = "task"
    noise_sd: float = 0.0
    n_noisy: int = 0
    noise_seed: int = 0
    pairs: PairSet = "all"
    margin: float = 0.0
    completion: Completion = "all"
    constants: bool = True
    ban_parity: bool = False
    enumeration: Enumeration = "free"
    across_layers: bool = False

    def __post_init__(self) -> None:
        # a wrong switch would silently change a count, so every switch is checked
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise unknown(f"{name} convention", value, choices, where="choices are")
        for name in SWITCHES:
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise XorMiError(f"{name} is {value!r}; give True or False")
        for name in ("n_noisy", "noise_seed"):
            whole_number(name, getattr(self, name))
        for name in ("noise_sd", "margin"):
            value = getattr(self, name)
            # True is an int, but it is not a standard deviation
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 <= value < inf:
                raise XorMiError(f"{name} is {value!r}; give a finite number of at least 0")
        if bool(self.noise_sd) != bool(self.n_noisy):
            raise XorMiError(
                f"noise_sd is {self.noise_sd} and n_noisy is {self.n_noisy}; give both for noisy "
                "rows, or neither"
            )

    @classmethod
    def of(cls, convention: "AnyConvention") -> "Convention":
        """The convention itself, the default for None, or the preset with this name.

        Raises:
            XorMiError: a name that no preset has.
        """
        if convention is None:
            return cls()
        if isinstance(convention, cls):
            return convention
        presets = {"default": cls, "meloux_paper": cls.meloux_paper, "meloux_code": cls.meloux_code}
        if not isinstance(convention, str) or convention not in presets:
            raise unknown("convention", convention, presets, where="a Convention, or one of")
        return presets[convention]()

    @classmethod
    def meloux_paper(cls) -> "Convention":
        """The convention of the paper's definitions.

        Removed parts give zero, every circuit counts, and all ordered pairs are tried. Local XOR
        and XNOR do not count, and a unit that has one value has no threshold, so it has no reading.
        """
        return cls(constants=False, ban_parity=True, enumeration="ordered")

    @classmethod
    def meloux_code(cls) -> "Convention":
        """The convention of the released code.

        It is that of the paper, but the mask that keeps every unit is left out, outputs are
        rounded, and each pair of rows counts once.
        """
        return cls(
            all_units=False,
            decision="round",
            pairs="unordered",
            constants=False,
            ban_parity=True,
            enumeration="ordered",
        )

    def __str__(self) -> str:
        changed = self.describe()
        return "the default convention" if changed == "default" else f"convention with {changed}"

    def describe(self) -> str:
        """The switches that differ from the default, as text."""
        default = asdict(Convention())
        changed = [
            f"{name}={value!r}" for name, value in asdict(self).items() if value != default[name]
        ]
        return ", ".join(changed) or "default"


AnyConvention = Convention | Preset | None
"""What every `convention=` accepts: a `Convention`, a preset's name, or None for the default."""
