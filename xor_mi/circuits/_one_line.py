"""circuit -> one line: what `identify_circuit` says about one network, as a line of a table."""

from typing import NamedTuple

from xor_mi.circuits._circuit import Circuit
from xor_mi.circuits._facts import ProofLevel
from xor_mi.circuits._signature import or_empty
from xor_mi.errors import require_kind
from xor_mi.finding import count_text, in_words


class Summary(NamedTuple):
    """A circuit in one line.

    Attributes:
        verdict: one of `VERDICTS`; None for a network that could not be tried.
        gates, margins: one per hidden unit, NaN for the margin of a constant one; empty without a
            circuit.
        live: one per hidden unit, whether some output of the first circuit depends on it.
        n_readings: how many joint readings the circuits have; this and the other numbers are None
            for a network that could not be tried.
        n_circuits: how many circuits survive two-level substitution and are clear enough.
        n_circuits_single, n_circuits_joint: how many of these are proved at least by single
            interchange, and by joint interchange.
        proof_level: how far the first circuit is proved; None without one.
        why_not: why it could not be tried, else "".
    """

    verdict: str | None
    gates: tuple[str, ...] = ()
    live: tuple[bool, ...] = ()
    n_readings: int | None = 0
    n_circuits: int | None = 0
    n_circuits_single: int | None = 0
    n_circuits_joint: int | None = 0
    proof_level: ProofLevel | None = None
    margins: tuple[float, ...] = ()
    signature: str = ""
    family: str = ""
    why_not: str = ""

    def __str__(self) -> str:
        if self.verdict is None:
            return f"not identified: {self.why_not}"
        if not self.n_circuits:
            return in_words(self.verdict)
        circuits = count_text(self.n_circuits, "circuit")
        return (
            f"{in_words(self.verdict)}: {circuits}, {self.gate_set}, proof level {self.proof_level}"
        )

    @property
    def gate_set(self) -> str:
        """As `Circuit.gate_set`: '{AND, OR}', of the live units alone; "" without a circuit."""
        if not self.n_circuits:
            return ""
        live = [gate for gate, is_live in zip(self.gates, self.live, strict=True) if is_live]
        return "{" + ", ".join(sorted(live)) + "}"

    def shown_line(self) -> dict[str, object]:
        """What a notebook shows of the network among others."""
        varying = [margin for margin in self.margins if margin == margin]
        return {
            "verdict": self.verdict,
            "gates": self.gates,
            "family": self.family,
            "circuits": self.n_circuits,
            "proof level": self.proof_level,
            "smallest margin": min(varying, default=None),
            "why not": self.why_not,
        }


def summarize(circuit: Circuit) -> Summary:
    """Circuit -> its line."""
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    units = circuit.units if circuit.primary else ()
    margins = [float("nan") if unit.margin is None else unit.margin for unit in units]
    return Summary(
        verdict=circuit.verdict,
        gates=tuple(unit.gate for unit in units if unit.gate),
        live=tuple(not unit.idle for unit in units),
        n_readings=len(circuit.readings),
        n_circuits=len(circuit.circuits),
        n_circuits_single=sum(one.has("single") for one in circuit.circuits),
        n_circuits_joint=sum(one.has("joint") for one in circuit.circuits),
        proof_level=circuit.proof_level,
        margins=tuple(margins),
        signature=or_empty(lambda: circuit.signature),
        family=or_empty(lambda: circuit.family),
    )
