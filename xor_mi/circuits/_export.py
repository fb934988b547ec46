"""a circuit as a graph -> the forms other tools read: networkx, Graphviz DOT, Mermaid, LaTeX.

An edge is drawn where a unit's gate depends on its parent, not where a weight merely exists; each
carries its weight.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from xor_mi.circuits._netlist import LocalGate
from xor_mi.errors import XorMiError
from xor_mi.finding import number_text

if TYPE_CHECKING:
    import networkx


class Node(NamedTuple):
    """One input, hidden unit or output; gate and formula are empty where it has none."""

    name: str
    kind: Literal["input", "hidden", "output"]
    layer: int
    gate: str
    formula: str

    @property
    def label(self) -> str:
        """'h0.0: OR', or the name alone."""
        return f"{self.name}: {self.gate}" if self.gate else self.name


class Arrow(NamedTuple):
    """One weight the circuit is made of; src and dst are names of nodes."""

    src: str
    dst: str
    weight: float


@dataclass(frozen=True)
class CircuitGraph:
    """A circuit as nodes and arrows, with its verdict, target and formula."""

    verdict: str
    target: str
    formula: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


def to_networkx(graph: CircuitGraph) -> "networkx.DiGraph":
    """A `networkx.DiGraph` whose nodes are named as units.

    Nodes have kind, layer, gate and formula; edges have their weight.
    """
    import networkx

    digraph = networkx.DiGraph(verdict=graph.verdict, target=graph.target, formula=graph.formula)
    for node in graph.nodes:
        digraph.add_node(
            node.name, kind=node.kind, layer=node.layer, gate=node.gate, formula=node.formula
        )
    for arrow in graph.arrows:
        digraph.add_edge(arrow.src, arrow.dst, weight=arrow.weight)
    return digraph


def to_dot(graph: CircuitGraph) -> str:
    """Graphviz DOT, left to right: solid edges for positive weights, dashed for negative."""
    lines = ["digraph circuit {", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f'  "{node.name}" [label="{node.label}"];' for node in graph.nodes]
    for src, dst, weight in _by_source(graph):
        style = "solid" if weight >= 0 else "dashed"
        label = number_text(weight, signed=True)
        lines.append(f'  "{src}" -> "{dst}" [label="{label}", style={style}];')
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(graph: CircuitGraph) -> str:
    """A Mermaid flowchart: plain arrows for positive weights, dotted for negative."""
    lines = ["flowchart LR"]
    for node in graph.nodes:
        label = node.label.replace(">", "&gt;")
        lines.append(f'  {_mermaid_name(node.name)}["{label}"]')
    for src, dst, weight in _by_source(graph):
        arrow = "-->" if weight >= 0 else "-.->"
        label = number_text(weight, signed=True)
        lines.append(f'  {_mermaid_name(src)} {arrow}|"{label}"| {_mermaid_name(dst)}')
    return "\n".join(lines) + "\n"


def _by_source(graph: CircuitGraph) -> list[Arrow]:
    """Arrows in the order of the nodes they leave, as networkx lists them too."""
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    return sorted(graph.arrows, key=lambda arrow: place[arrow.src])


def _mermaid_name(name: str) -> str:
    # Mermaid takes no dots in names.
    return name.replace(".", "_")


_LATEX = {
    "&": r"\land",
    "|": r"\lor",
    "^": r"\oplus",
    "~": r"\lnot",
    ">=": r"\geq",
    ">": ">",
    "TRUE": r"\top",
    "FALSE": r"\bot",
}
"""What formulas are written with -> the same in LaTeX."""


def to_latex(
    netlist: Sequence[LocalGate], formulas: Mapping[str, Mapping[str, str]], verdict: str
) -> str:
    r"""An `aligned` block: every unit's local gate, then each output over the inputs.

    Raises:
        XorMiError: a network without a circuit.
    """
    if not netlist:
        raise XorMiError(f"there is no formula to write: the verdict is {verdict}")
    lines = [f"{_latex(gate.unit.name)} &= {_latex(gate.formula)}" for gate in netlist]
    for name, written in formulas.items():
        # the local gates above already say it where nothing is nested
        if written["nested"] != written["units"]:
            lines.append(f"{_latex(name)} &= {_latex(written['nested'])}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n"


def _latex(formula: str) -> str:
    def put(match: re.Match[str]) -> str:
        token = match[0].rstrip()
        if token in _LATEX:
            return _LATEX[token] + " "
        # h0.1 -> h_{0,1}
        letter, numbers = token[0], token[1:].replace(".", ",")
        return f"{letter}_{{{numbers}}}"

    # ">=" before ">", which would take its first half
    return re.sub(r"(?:>=|[&|^~>]|TRUE|FALSE) *|[xyh][\d.]+", put, formula).strip()
