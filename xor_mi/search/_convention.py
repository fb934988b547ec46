"""Convention: every choice that changes how many explanations a network has, one field each.

Published counts differ by such choices more than by anything else, so each is a named switch and
every result carries the convention it was found under. The two presets set them to what Meloux,
Maniu, Portet and Peyrard (2025, arXiv 2502.20914) write, and to what their released code does;
where the two differ, so do the counts."""

from dataclasses import asdict, dataclass
from typing import Any

from xor_mi.errors import XorMiError, unknown

CHOICES: dict[str, tuple[Any, ...]] = {
    "ablation": ("zero", "mean"),
    "biases": ("keep", "drop"),
    "decision": ("threshold", "round"),
    "reference": ("task", "model"),
    "pairs": ("all", "unordered", "distinct"),
    "completion": ("all", "open"),
    "trees": ("free", "ordered"),
}
"""What the switches that are words may be."""


@dataclass(frozen=True)
class Convention:
    """One field per switch.

    Attributes:
        ablation: what a dropped edge still carries: nothing, or its source's mean over the rows in
            the whole network.
        biases: kept units keep their bias, or lose it.
        all_units: whether subcircuits that keep every hidden unit count.
        decision: output > threshold, or the output rounded to the nearest whole number must be the
            label.
        reference: right is what the task says, or what the whole network decides.
        noise_sd, n_noisy, noise_seed: besides the clean rows, n_noisy copies of each with normal
            noise must be decided right too.
        pairs: (base, source) pairs of an interchange: all ordered ones, ordered ones of two
            different rows, or each two rows once with the earlier as the source.
        margin: a reading's threshold must lie in a gap of at least this part of the unit's range.
        completion: rows of a local gate that never occur are filled in every way, each a gate of
            its own, or left open.
        constants: a unit that takes one value only reads as FALSE or TRUE; else it has no reading,
            its subcircuit no interpretation.
        ban_parity: local gates that are XOR or XNOR (of two or more parents) do not count.
        trees: which formulas are looked for; see `formulas`.
        across_layers: a variable's units may lie in several layers.
    """

    ablation: str = "zero"
    biases: str = "keep"
    all_units: Any = True
    decision: str = "threshold"
    reference: str = "task"
    noise_sd: Any = 0.0
    n_noisy: Any = 0
    noise_seed: Any = 0
    pairs: str = "all"
    margin: Any = 0.0
    completion: str = "all"
    constants: Any = True
    ban_parity: Any = False
    trees: str = "free"
    across_layers: Any = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise unknown(
                    f"{name} convention", getattr(self, name), choices, where="choices are"
                )
        for name in ("all_units", "constants", "ban_parity", "across_layers"):
            if not isinstance(getattr(self, name), bool):
                raise XorMiError(f"{name} is {getattr(self, name)!r}; give True or False")
        for name, kinds in (
            ("noise_sd", (int, float)),
            ("n_noisy", int),
            ("noise_seed", int),
            ("margin", (int, float)),
        ):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, kinds)
                or not 0 <= value < float("inf")
            ):
                raise XorMiError(
                    f"{name} is {value!r}; give a {'whole' if kinds is int else 'finite'} number of at least 0"
                )
        if bool(self.noise_sd) != bool(self.n_noisy):
            raise XorMiError(
                f"noise_sd is {self.noise_sd} and n_noisy {self.n_noisy}; noisy rows need both, clean rows neither"
            )

    @classmethod
    def of(cls, asked: Any) -> "Convention":
        """A convention as it is, None for the default, or a preset by its name: "meloux_paper" or
        "meloux_code".
        """
        if asked is None or isinstance(asked, cls):
            return asked or cls()
        presets = {"default": cls, "meloux_paper": cls.meloux_paper, "meloux_code": cls.meloux_code}
        if not isinstance(asked, str) or asked not in presets:
            raise unknown("convention", asked, presets, where="a Convention, or one of")
        return presets[asked]()

    @classmethod
    def meloux_paper(cls) -> "Convention":
        """As the paper's definitions read: removed parts give zero, every circuit counts, all
        ordered pairs.
        """
        return cls(constants=False, ban_parity=True, trees="ordered")

    @classmethod
    def meloux_code(cls) -> "Convention":
        """As the released code does: the mask that keeps every unit is left out, outputs are
        rounded, a pair of rows counts once.
        """
        return cls(
            all_units=False,
            decision="round",
            pairs="unordered",
            constants=False,
            ban_parity=True,
            trees="ordered",
        )

    def describe(self) -> str:
        """Only what differs from the default, as text."""
        default = asdict(Convention())
        changed = [
            f"{name}={value!r}" for name, value in asdict(self).items() if value != default[name]
        ]
        return ", ".join(changed) or "default"
