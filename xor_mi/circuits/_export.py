"""Circuit -> a graph other tools read: networkx, Graphviz DOT, Mermaid, LaTeX.

An edge is drawn where a unit's gate depends on its parent, not where a weight merely exists; each
carries its weight."""

import re
from typing import Any

from xor_mi.circuits._circuit import Circuit
from xor_mi.errors import XorMiError
from xor_mi.graph import layers_of


def to_networkx(circuit: Circuit) -> Any:
    """A `networkx.DiGraph`: nodes named as units, with kind, layer, gate and formula; edges with
    their weight.
    """
    import networkx

    gates = {unit.place.name: unit.gate for unit in circuit.units} | {
        f"y{k}": table for k, table in enumerate(_outputs(circuit))
    }
    formulas = {gate.unit.name: gate.formula for gate in circuit.netlist}
    graph = networkx.DiGraph(
        verdict=circuit.verdict, target=circuit.target.name, formula=circuit.formula or ""
    )
    layers = layers_of(circuit.layer_sizes)
    for number, layer in enumerate(layers):
        kind = "input" if number == 0 else "output" if number == len(layers) - 1 else "hidden"
        for unit in layer:
            graph.add_node(
                unit.name,
                kind=kind,
                layer=unit.layer,
                gate=gates.get(unit.name) or "",
                formula=formulas.get(unit.name, ""),
            )
    for edge in circuit.edges:
        graph.add_edge(
            edge.src.name,
            edge.dst.name,
            weight=circuit.weights[edge.dst.layer][0][edge.dst.index, edge.src.index].item(),
        )
    return graph


def _outputs(circuit: Circuit) -> list[str]:
    return [output.name for output in circuit.target.outputs]


def _label(graph: Any, name: str) -> str:
    gate = graph.nodes[name]["gate"]
    return f"{name}: {gate}" if gate else name


def to_dot(circuit: Circuit) -> str:
    """Graphviz DOT, left to right: solid edges for positive weights, dashed for negative."""
    graph = to_networkx(circuit)
    lines = ["digraph circuit {", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f'  "{name}" [label="{_label(graph, name)}"];' for name in graph]
    for src, dst, data in graph.edges(data=True):
        style = "solid" if data["weight"] >= 0 else "dashed"
        lines.append(f'  "{src}" -> "{dst}" [label="{data["weight"]:+.2f}", style={style}];')
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(circuit: Circuit) -> str:
    """A Mermaid flowchart: plain arrows for positive weights, dotted for negative."""
    graph = to_networkx(circuit)
    node = {name: name.replace(".", "_") for name in graph}
    lines = ["flowchart LR"]
    lines += [f'  {node[name]}["{_label(graph, name).replace(">", "&gt;")}"]' for name in graph]
    for src, dst, data in graph.edges(data=True):
        arrow = "-->" if data["weight"] >= 0 else "-.->"
        lines.append(f'  {node[src]} {arrow}|"{data["weight"]:+.2f}"| {node[dst]}')
    return "\n".join(lines) + "\n"


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


def to_latex(circuit: Circuit) -> str:
    r"""An `aligned` block: every unit's local gate, then each output over the inputs.

    Raises:
        XorMiError: a network without a circuit.
    """
    if not circuit.netlist:
        raise XorMiError(f"no formula to write: the verdict is {circuit.verdict}")
    lines = [f"{_latex(gate.unit.name)} &= {_latex(gate.formula)}" for gate in circuit.netlist]
    for name, written in circuit.formulas.items():
        if written["nested"] != written["units"]:
            lines.append(f"{_latex(name)} &= {_latex(written['nested'])}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n"


def _latex(formula: str) -> str:
    def put(match: re.Match[str]) -> str:
        token = match[0]
        if token in _LATEX:
            return _LATEX[token] + " "
        letter, numbers = token[0], token[1:].replace(".", ",")
        return f"{letter}_{{{numbers}}}"

    return re.sub(r">=|[&|^~>]|TRUE|FALSE|[xyh][\d.]+", put, formula).strip()
