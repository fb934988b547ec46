"""a network + sliders for its weights -> a playground for Jupyter; needs the extra `widgets`."""

from html import escape
from typing import Any

from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import XorMiError
from xor_mi.handmade import conditions, edit, textbook_xor
from xor_mi.model import HookedMLP
from xor_mi.plots import conditions_figure, input_plane, network_diagram

try:
    import anywidget as _anywidget  # noqa: F401  (plotly's FigureWidget is made of it)
    import ipywidgets
    from plotly.graph_objects import Figure, FigureWidget
except ImportError as error:
    raise XorMiError(f"the playground needs {error.name}; pip install 'xor-mi[widgets]'") from None

MOST = 30
"""So many weights at most get a slider."""
STEP = 0.05


class Playground(ipywidgets.VBox):
    """Sliders, and everything that moves along.

    Attributes:
        sliders: parameter, named as in `handmade.edit` -> its slider.
        model, circuit: the network with the weights as they stand, and its circuit.
        verdict, network, plane, conditions: what is shown.
    """

    def __init__(self, model: HookedMLP) -> None:
        self._start = model
        self._quiet = False
        symbols = conditions(model).attrs["symbols"]
        weights = {name: _value(model, name) for name in symbols.values()}
        reach = max(4.0, 2 * max(map(abs, weights.values())))
        look = {"min": -reach, "max": reach, "step": STEP, "readout_format": "+.2f", "style": {"description_width": "4em"}}
        self.sliders = {
            name: ipywidgets.FloatSlider(weights[name], description=symbol, tooltip=name, **look) for symbol, name in symbols.items()
        }
        self.verdict = ipywidgets.HTML()
        self.network, self.plane, self.conditions = map(_shown, self._figures(model))
        back = ipywidgets.Button(description="as it was", tooltip="every weight back to where it started")
        back.on_click(lambda _: self.reset())
        for slider in self.sliders.values():
            slider.observe(self._moved, names="value")
        controls = ipywidgets.VBox([*self.sliders.values(), back])
        super().__init__([self.verdict, ipywidgets.HBox([controls, self.network]), ipywidgets.HBox([self.plane, self.conditions])])

    def reset(self) -> None:
        """Every weight back to where it started."""
        self._quiet = True
        for name, slider in self.sliders.items():
            slider.value = _value(self._start, name)
        self._quiet = False
        self._show()

    def _moved(self, _: Any) -> None:
        if not self._quiet:
            self._show()

    def _show(self) -> None:
        model = edit(self._start, {name: slider.value for name, slider in self.sliders.items()})
        for shown, figure in zip((self.network, self.plane, self.conditions), self._figures(model), strict=True):
            with shown.batch_update():
                shown.data = []
                shown.add_traces(list(figure.data))
                shown.layout = figure.layout

    def _figures(self, model: HookedMLP) -> tuple[Figure, Figure, Figure]:
        """Look at a network anew: its circuit, the words, the figures."""
        self.model, self.circuit = model, identify_circuit(model, evidence=False)
        self.verdict.value = _words(self.circuit)
        return (
            network_diagram(model, self.circuit).update_layout(width=640, height=400),
            input_plane(model, n_points=41).update_layout(width=640, height=470),
            conditions_figure(conditions(model)).update_layout(width=640, height=400),
        )


def playground(model: Any = None) -> Playground:
    """Sliders for the weights of a two-input network; the conditions, the gates, the decision boundary and the verdict move along.

    Args:
        model: a `HookedMLP` with a target; by default `handmade.textbook_xor()`, nine weights.

    >>> play = playground()
    >>> play.sliders["fc1.weight[0, 1]"].value = 0.25
    >>> play.circuit.verdict
    'not_computing'

    Raises:
        XorMiError: other than two inputs, no target, more than `MOST` weights, or without the extra `widgets`.
    """
    model = textbook_xor() if model is None else model
    if not isinstance(model, HookedMLP):
        raise XorMiError(f"the playground plays with a HookedMLP, not {type(model).__name__}; HookedMLP.from_sequential makes one")
    n = sum(parameter.numel() for parameter in model.parameters())
    if model.cfg.d_in != 2 or n > MOST:
        raise XorMiError(f"a playground has 2 inputs and at most {MOST} weights; this network has {model.cfg.d_in} and {n}")
    return Playground(model)


def _value(model: HookedMLP, name: str) -> float:
    tensor, index = name.rstrip("]").split("[")
    return model.get_parameter(tensor)[tuple(map(int, index.split(",")))].item()


def _words(circuit: Circuit) -> str:
    """The verdict and, where there is one, what the output makes of which gates."""
    gates = ", ".join(f"{unit.unit.name} {unit.gate}" for unit in circuit.units if unit.gate)
    return f"<p><b>{circuit.verdict}</b>: {escape(circuit.reason)}{f'<br>gates: {escape(gates)}' if gates else ''}</p>"


def _shown(figure: Figure) -> FigureWidget:
    """A figure as a widget, without the button that uploads it."""
    shown = FigureWidget(figure)
    shown._config = {"showSendToCloud": False, "displaylogo": False, "modeBarButtonsToRemove": ["sendDataToCloud"]}
    return shown
