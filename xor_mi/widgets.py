"""a network + sliders for its weights -> a playground for Jupyter; needs the extra `widgets`."""

from collections.abc import Mapping
from html import escape
from typing import Never

from plotly.offline import get_plotlyjs

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.handmade import edit, textbook_xor
from xor_mi.kinds import Target
from xor_mi.margins import conditions
from xor_mi.model import HookedMLP, require_hooked_mlp
from xor_mi.plots import conditions_figure, input_plane, network_diagram

__all__ = ["MOST_SLIDERS", "SLIDER_STEP", "Board", "Playground", "playground"]

MOST_SLIDERS = 30
"""A network of more weights than this is not played with."""
SLIDER_STEP = 0.05
"""A slider moves a weight by multiples of this."""
LEAST_REACH = 4.0
"""Every slider goes at least this far to both sides of zero."""
SURFACE_POINTS = 41
"""Grid points a side of the surface; fewer than `input_plane` has, because each move draws it."""

# help(xor_mi) and inspect.getmembers(xor_mi) look into every room: this one must be importable
# without its extra, and says what is missing only when a widget is made.
try:
    import anywidget
    import ipywidgets
    import traitlets

    class _FigureList(anywidget.AnyWidget):
        source = traitlets.Unicode().tag(sync=True)
        figures = traitlets.List(traitlets.Unicode()).tag(sync=True)

    class _Column(ipywidgets.VBox):
        pass

except ImportError as error:
    _NEEDS = f"the playground needs {error.name}; pip install 'xor-mi[widgets]'"

    class _WithoutExtra:
        # In __new__, so that the __init__ of a class below never begins.
        def __new__(cls, *args: object, **kwargs: object) -> Never:  # noqa: ARG004 (any widget's)
            raise XorMiError(_NEEDS) from None

    _FigureList = _Column = _WithoutExtra  # pyright: ignore[reportAssignmentType]


class Board(_FigureList):
    """Figures one after the other, always the latest; plotly.js redraws whatever changed.

    `source` is plotly.js itself, sent to the browser once; `figures` are the figures as JSON.
    plotly's own FigureWidget sends each change as a message of its own and drops some where they
    come fast, as from a slider.
    """

    _esm = """
    function load(source) {
      const module = { exports: {} };
      new Function("module", "exports", "define", source)(module, module.exports, undefined);
      return module.exports;
    }
    export default {
      async render({ model, el }) {
        const Plotly = load(model.get("source"));
        const config = { showSendToCloud: false, displaylogo: false };
        el.style.display = "flex";
        el.style.flexWrap = "wrap";
        let drawing = false, again = false;
        async function draw() {
          if (drawing) { again = true; return; }
          drawing = true;
          do {
            again = false;
            for (const [n, text] of model.get("figures").entries()) {
              if (!el.children[n]) el.append(document.createElement("div"));
              const figure = JSON.parse(text);
              await Plotly.react(el.children[n], figure.data, figure.layout, config);
            }
          } while (again);
          drawing = false;
        }
        model.on("change:figures", draw);
        await draw();
      }
    };
    """


class Playground(_Column):
    """Sliders, and everything that moves along.

    Attributes:
        sliders: parameter, named as in `handmade.edit` -> its slider.
        model, circuit: the network with the weights as they stand, and its circuit.
        verdict: the words; network, plane, conditions: the figures on the board.
    """

    def __init__(self, model: HookedMLP) -> None:
        self._start = model
        self._is_resetting = False
        self.sliders = _sliders(model)
        self.verdict = ipywidgets.HTML()
        self.board = Board(source=get_plotlyjs())
        back = ipywidgets.Button(
            description="as it was", tooltip="every weight back to where it started"
        )
        back.on_click(lambda _: self.reset())
        for slider in self.sliders.values():
            slider.observe(self._moved, names="value")
        self._show()
        controls = ipywidgets.VBox([*self.sliders.values(), back])
        super().__init__([self.verdict, ipywidgets.HBox([controls, self.board])])

    def reset(self) -> None:
        """Every weight back to where it started."""
        # The sliders move one after the other; without the flag each move would be drawn.
        self._is_resetting = True
        for name, slider in self.sliders.items():
            slider.value = _value(self._start, name)
        self._is_resetting = False
        self._show()

    def _moved(self, change: Mapping[str, object]) -> None:  # noqa: ARG002 (ipywidgets hands it)
        if not self._is_resetting:
            self._show()

    def _show(self) -> None:
        """Edit the network and look at it anew: its circuit, the words, the figures."""
        weights: dict[str, float] = {}
        for name, slider in self.sliders.items():
            weights[name] = slider.value
        self.model = edit(self._start, weights)
        self.circuit = identify_circuit(self.model, with_evidence=False)
        self.verdict.value = _words(self.circuit)
        network = network_diagram(self.model, self.circuit)
        plane = input_plane(self.model, n_points=SURFACE_POINTS)
        bars = conditions_figure(conditions(self.model))
        self.network = network.update_layout(width=560, height=380)
        self.plane = plane.update_layout(width=600, height=430)
        self.conditions = bars.update_layout(width=680, height=380)
        figures = (self.network, self.plane, self.conditions)
        self.board.figures = [str(figure.to_json()) for figure in figures]


def playground(model: HookedMLP | None = None, *, target: Target | None = None) -> Playground:
    """Sliders for the weights of a two-input network; all that is known about it moves along.

    What moves: the conditions, the gates, the decision boundary and the verdict.

    Args:
        model: by default `handmade.textbook_xor()`, nine weights.
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default:
            `model.cfg.target`, and where that is None too, whatever the network decides.

    >>> play = playground()
    >>> play.sliders["fc1.weight[0, 1]"].value = 0.25
    >>> play.circuit.verdict
    'not_computing'

    Raises:
        XorMiError: other than two inputs, more than `MOST_SLIDERS` weights, a target of another
            width, or without the extra `widgets`.
    """
    model = textbook_xor() if model is None else model
    require_hooked_mlp(model, "the playground")
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    if model.cfg.d_in != 2 or n_weights > MOST_SLIDERS:
        raise XorMiError(
            f"a playground has 2 inputs and at most {MOST_SLIDERS} weights; "
            f"this network has {model.cfg.d_in} and {n_weights}"
        )
    if target is None and model.cfg.target is None:
        target = identify_circuit(model, with_evidence=False).target
    return Playground(model if target is None else model.with_target(target))


def _sliders(model: HookedMLP) -> "dict[str, ipywidgets.FloatSlider]":
    """One slider per weight, at its value, called by its symbol."""
    symbols = conditions(model).symbols
    weights = {name: _value(model, name) for name in symbols.values()}
    # All sliders share one scale, twice the largest weight: equal moves look equal.
    reach = max(LEAST_REACH, 2 * max(map(abs, weights.values())))
    sliders: dict[str, ipywidgets.FloatSlider] = {}
    for symbol, name in symbols.items():
        sliders[name] = ipywidgets.FloatSlider(
            weights[name],
            description=symbol,
            tooltip=name,
            min=-reach,
            max=reach,
            step=SLIDER_STEP,
            readout_format="+.2f",
            style={"description_width": "4em"},
        )
    return sliders


def _value(model: HookedMLP, name: str) -> float:
    """The entry of this name, such as "fc1.weight[0, 1]"."""
    tensor, indices = name.rstrip("]").split("[")
    index = tuple(map(int, indices.split(",")))
    return model.get_parameter(tensor)[index].item()


def _words(circuit: Circuit) -> str:
    """The verdict and, where there is a circuit, the gates of the units that matter."""
    named: list[str] = []
    for first in circuit.circuits[:1]:
        named = [f"{unit.name} {gate}" for unit, gate in zip(first.live, first.gates, strict=True)]
    gates = ", ".join(named)
    gates_line = f"<br>gates: {escape(gates)}" if gates else ""
    return f"<p><b>{circuit.verdict}</b>: {escape(circuit.reason)}{gates_line}</p>"
