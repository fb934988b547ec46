"""Convention: every choice that changes how many explanations a network has, one field each.

Published counts differ by such choices more than by anything else, so each is a named switch and
every result carries the convention it was found under. The two presets set them to what Meloux,
Maniu, Portet and Peyrard (2025, arXiv 2502.20914) write, and to what their released code does;
where the two differ, so do the counts.
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
"""What the switches that are words may be."""
SWITCHES = ("all_units", "constants", "ban_parity", "across_layers")
"""Those that are True or False."""


@dataclass(frozen=True)
class Convention:
    """One field per switch. What the switches leave open is fixed, and stands here too.

    A subcircuit keeps all inputs and outputs, some hidden units and some edges. Every kept unit and
    output reads at least one kept source, every input and kept unit is read by at least one kept
    target. It is perfect if it decides every row right, all outputs, the noisy rows too.

    An interpretation is of one perfect subcircuit, on the clean rows. Every kept hidden unit reads
    as a bit by one threshold between two neighbouring of its values, those it has within the
    subcircuit; the larger values are 1, so that no reading is met twice by its complement. Every
    decision has the bits that are right. Every kept unit and decision has one local gate: a table
    over all its kept parents, those it does not depend on too. Two interpretations differ if a
    threshold or a gate does.

    An alignment is of the whole network; see `find_alignments`.

    Attributes:
        ablation: what a dropped edge still carries: nothing, or its source's mean over the clean
            rows in the whole network.
        biases: kept units and outputs keep their biases, or lose them.
        all_units: whether subcircuits that keep every hidden unit count, however many edges they
            drop.
        decision: what a perfect subcircuit's outputs must be. "threshold": the network's own
            decision must be the label (an output above its threshold, or the largest output where
            that wins), a tie is wrong: a score nearer to the cut than 1e-9 of the terms it is
            summed from in the whole network. "round": each output rounded to the nearest whole
            number must be, a half to the even one, so that 1.6 is wrong for 1.
        reference: right is what the task says, or what the whole network decides by its own rule.
        noise_sd: standard deviation of the noise on noisy rows, in distances between the input
            levels of bit 0 and bit 1.
        n_noisy: besides the clean rows, so many copies of each with normal noise must be decided
            right too.
        noise_seed: seed of that noise.
        pairs: (base, source) pairs of an interchange: all ordered ones, ordered ones of two
            different rows ("distinct"), or each two rows once with the earlier as the source
            ("unordered").
        margin: a reading's threshold must lie in a gap of at least this part of the unit's range.
        completion: rows of a local gate that never occur (don't-care rows) are filled in every way,
            each a gate of its own, or left open.
        constants: a unit that takes one value only, up to rounding, has one reading, TRUE for a
            value above 0 and else FALSE; or it has none, and its subcircuit no interpretation.
        ban_parity: local gates of exactly two parents that are XOR or XNOR do not count, those of
            decisions included. A table over three parents counts whatever it is, also a parity of
            the three or of two of them, and so does one parent's own value or its complement.
        enumeration: which formulas are looked for; see `formulas`.
        across_layers: a variable's units may lie in several layers.

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
        # a wrong switch would only change a count, silently: every one is looked at
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
            # True is an int, but no standard deviation
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 <= value < inf:
                raise XorMiError(f"{name} is {value!r}; give a finite number of at least 0")
        if bool(self.noise_sd) != bool(self.n_noisy):
            raise XorMiError(
                f"noise_sd is {self.noise_sd} and n_noisy {self.n_noisy}; "
                "noisy rows need both, clean rows neither"
            )

    @classmethod
    def of(cls, convention: "AnyConvention") -> "Convention":
        """A convention as it is, None for the default, or a preset by its name.

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
        """As the paper's definitions read.

        Removed parts give zero, every circuit counts, all ordered pairs are tried. Local XOR and
        XNOR do not count, and a unit that takes one value has no threshold, so no reading.
        """
        return cls(constants=False, ban_parity=True, enumeration="ordered")

    @classmethod
    def meloux_code(cls) -> "Convention":
        """As the released code does it.

        As the paper, but the mask that keeps every unit is left out, outputs are rounded, a pair of
        rows counts once.
        """
        return cls(
            all_units=False,
            decision="round",
            pairs="unordered",
            constants=False,
            ban_parity=True,
            enumeration="ordered",
        )

    def describe(self) -> str:
        """Only what differs from the default, as text."""
        default = asdict(Convention())
        changed = [
            f"{name}={value!r}" for name, value in asdict(self).items() if value != default[name]
        ]
        return ", ".join(changed) or "default"


AnyConvention = Convention | Preset | None
"""What every `convention=` accepts: a `Convention`, a preset's name, or None for the default."""
