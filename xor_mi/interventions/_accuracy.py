"""the result of interchanges: how often a model and an algorithm decided alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from xor_mi.errors import unknown
from xor_mi.finding import Finding
from xor_mi.interventions._sites import Coordinates

JOINT = "(joint)"
"""The name for all aligned variables at once, each with its own source."""


@dataclass(frozen=True, eq=False, kw_only=True)
class InterchangeAccuracy(Finding):
    """How often model and algorithm decide alike under interchange.

    Each line is named after what was interchanged: a variable of the algorithm, or "(joint)" for
    all of them at once; in `das_accuracy` it is "das". Controls have their own names and counts.

    Attributes:
        n_agreed: name -> interchanges decided alike.
        n_runs: name -> how many were tried.
        n_possible: name -> how many exist: one per base input and choice of source inputs. If fewer
            were tried, they are a sample.
        n_matched_value: name -> interchanges on which the output also *is* the predicted 0 or 1;
            None if this is not measured, as by argmax, where no single output says 0 or 1.
        sites: name -> the sites whose values were taken from the source.
        n_inputs: how many inputs base and sources are taken from.
        n_differing: on how many of them model and algorithm decide differently before anything is
            interchanged.
        seed: of the samples, and of the controls.
        controls: name -> which control it is; names that are not controls are left out.
        why_not: control -> why it could not be run.
        coordinates: what was intervened on and how.
        subspace: an orthonormal basis of what DAS learned, [width, rank]; None in other results.
    """

    n_agreed: dict[str, int]
    n_runs: dict[str, int]
    n_possible: dict[str, int]
    sites: dict[str, str]
    n_inputs: int
    n_differing: int
    seed: int
    coordinates: Coordinates = field(repr=False)
    n_matched_value: dict[str, int] | None = None
    controls: Mapping[str, str] = field(default_factory=dict)
    why_not: Mapping[str, str] = field(default_factory=dict)
    subspace: Float[Tensor, "width rank"] | None = field(default=None, repr=False)

    @property
    def is_exhaustive(self) -> bool:
        """Whether all interchanges were tried, not only a sample of them."""
        return self.n_runs == self.n_possible

    def __str__(self) -> str:
        lines = ["Interchange accuracy"]
        lines += [
            f"{name} ({self.sites[name]}): {self.n_agreed[name]} of {n_runs} decided alike"
            for name, n_runs in self.n_runs.items()
        ]
        return "\n".join([*lines, *self._notes()])

    def _notes(self) -> list[str]:
        """What else to know: a sample, decisions that differ before, controls that could not be
        run."""
        lines: list[str] = []
        if not self.is_exhaustive:
            sampled = [name for name, n in self.n_possible.items() if self.n_runs[name] < n]
            lines.append(
                f"Sampled with seed {self.seed}: "
                + ", ".join(f"{name} of {self.n_possible[name]:,}" for name in sampled)
            )
        if self.n_differing:
            lines.append(
                f"Before any interchange the algorithm decides {self.n_differing} of "
                f"{self.n_inputs} inputs otherwise than the model"
            )
        lines += [f"No control by {control}: {why}" for control, why in self.why_not.items()]
        return lines

    def _shown(self) -> tuple[str, pd.DataFrame]:
        own = [name for name in self.n_runs if name not in self.controls]
        n_whole = sum(self.n_agreed[name] == self.n_runs[name] for name in own)
        asked = JOINT if JOINT in own else own[0]
        what = "all variables jointly" if asked == JOINT else asked
        words = (
            f"Interchange accuracy {self.accuracy(asked):.1%} of {what}; {n_whole} of {len(own)} "
            "agree on every interchange"
        )
        return "\n".join([words, *self._of_controls(), *self._notes()]), self.frame()

    def _of_controls(self) -> list[str]:
        """The largest accuracy of each kind of control."""
        largest: dict[str, float] = {}
        for name, control in self.controls.items():
            largest[control] = max(largest.get(control, 0.0), self.accuracy(name))
        if not largest:
            return []
        named = [f"{control} {accuracy:.1%}" for control, accuracy in largest.items()]
        return [f"Controls, at most: {', '.join(named)}"]

    def accuracy(self, what: str | None = None) -> float:
        """The fraction of the interchanges decided alike.

        By default of all variables jointly, or of the only one there is, controls apart.

        Raises:
            XorMiError: a name that is not there, or no name if there are several.
        """
        if what is None:
            asked = [name for name in self.n_runs if name not in self.controls]
            what = asked[0] if len(asked) == 1 else JOINT
        # a list, so that a value without a hash gets the message and not a TypeError
        if what not in list(self.n_runs):
            raise unknown("variable", what, self.n_runs, where="there are")
        return self.n_agreed[what] / self.n_runs[what]

    def frame(self) -> pd.DataFrame:
        """One line per name.

        Columns what, control (where there are controls; empty for what is none), sites, n_agreed,
        n_matched_value where it is measured, n_runs, accuracy.
        """
        columns: dict[str, object] = {"what": list(self.n_runs)}
        if self.controls:
            columns["control"] = [self.controls.get(name, "") for name in self.n_runs]
        columns["sites"] = [self.sites[name] for name in self.n_runs]
        columns["n_agreed"] = [self.n_agreed[name] for name in self.n_runs]
        if self.n_matched_value is not None:
            columns["n_matched_value"] = [self.n_matched_value[name] for name in self.n_runs]
        columns["n_runs"] = list(self.n_runs.values())
        columns["accuracy"] = [self.accuracy(name) for name in self.n_runs]
        return pd.DataFrame(columns)

    def head(self) -> dict[str, object]:
        """What was measured and how, beside the table."""
        return {
            "n_possible": self.n_possible,
            "n_inputs": self.n_inputs,
            "n_differing": self.n_differing,
            "seed": self.seed,
            "why_not": sorted(self.why_not),
        }
