"""a network -> a playground for Jupyter, with sliders; needs the extra `widgets`.

It shows the bench of `xor_mi.bench`, which computes activations, decisions and conditions in the
browser; the kernel identifies the circuit of the current weights and sends what has changed.
"""

import asyncio
from collections.abc import Mapping
from typing import Never

from xor_mi.bench import (
    MOST_WEIGHTS,
    bench_html,
    bench_spec,
    found_spec,
    module_text,
    network_code,
    preset_models,
)
from xor_mi.bench._spec import Json, require_few
from xor_mi.circuits import identify_circuit
from xor_mi.errors import XorMiError, unknown
from xor_mi.handmade import edit, textbook_xor
from xor_mi.handmade._edits import entries
from xor_mi.kinds import Number, Target
from xor_mi.margins import weight_symbols
from xor_mi.model import HookedMLP, require_hooked_mlp

__all__ = ["MOST_SLIDERS", "Playground", "playground"]

MOST_SLIDERS = MOST_WEIGHTS
"""The most weights of a network in the playground."""
EXPLAINED_AFTER = 0.2
"""Seconds without a move before the fault of a network is explained, which takes longer than a move
may wait.
"""

# help(xor_mi) and inspect.getmembers(xor_mi) import every room, so this room must be importable
# without its extra; the error comes only when a widget is made.
try:
    import anywidget
    import traitlets

    class _BenchWidget(anywidget.AnyWidget):
        _esm = module_text()
        spec = traitlets.Dict().tag(sync=True)
        # set in the browser or here: the network, and the weights that were moved
        preset = traitlets.Int(0).tag(sync=True)
        moves = traitlets.Dict().tag(sync=True)
        # the kernel's findings, trait by trait, so that only changes are sent
        answered = traitlets.Unicode().tag(sync=True)
        verdict = traitlets.Unicode().tag(sync=True)
        reason = traitlets.Unicode().tag(sync=True)
        found = traitlets.Dict().tag(sync=True)

except ImportError as error:
    _NEEDS = f"the playground needs {error.name}; pip install 'xor-mi[widgets]'"

    class _WithoutExtra:
        # in __new__, so that the __init__ of a subclass never begins
        def __new__(cls, *args: object, **kwargs: object) -> Never:  # noqa: ARG004 (any widget's)
            raise XorMiError(_NEEDS) from None

    _BenchWidget = _WithoutExtra  # pyright: ignore[reportAssignmentType]


class Playground(_BenchWidget):
    """The bench of a network with a live kernel: it finds gates and verdict anew at each move.

    Attributes:
        model, circuit: the network with its current weights, and its circuit.
        weights: symbol, as in `margins.weight_symbols` -> its current value.
    """

    def __init__(self, model: HookedMLP) -> None:
        require_few(model)
        circuit = identify_circuit(model, with_evidence=False)
        self._networks = [model, *preset_models(model).values()]
        self._symbols = weight_symbols(model)
        self._explaining: asyncio.TimerHandle | None = None
        super().__init__(spec=bench_spec(model, circuit))
        self._answer()
        self.observe(self._changed, names=["preset", "moves"])

    @property
    def weights(self) -> dict[str, float]:
        layers = self.model.float64_layers()
        numbers: dict[str, float] = {}
        for symbol, entry in zip(self._symbols, entries(self.model), strict=True):
            numbers[symbol] = entry.of(layers)
        return numbers

    def _repr_mimebundle_(self, **kwargs: dict[str, object]) -> tuple[Json, Json] | None:
        """The widget's view, and beside it the bench as HTML, for a page that has no kernel."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        view, metadata = bundle
        data: Json = {**view, "text/html": str(bench_html(self.model, self.circuit))}
        return data, {**metadata}

    def move(self, weight: str, value: Number) -> None:
        """Set one weight to this number, here and in every view.

        Args:
            weight: its symbol, "w12", or its name, "fc1.weight[0, 1]".

        Raises:
            XorMiError: a weight that does not exist, or a number that is not finite.
        """
        of_symbol = {name: symbol for symbol, name in self._symbols.items()}
        symbol = of_symbol.get(weight, weight) if isinstance(weight, str) else weight
        if not isinstance(symbol, str) or symbol not in self._symbols:
            raise unknown("weight", weight, [*self._symbols], where="this network has")
        start = self._networks[self.preset]
        parameter = self._symbols[symbol]
        # rounded to the network's dtype
        held = _value(edit(start, {parameter: value}), parameter)
        moves = dict(self.moves)
        moves.pop(symbol, None)
        if held != _value(start, parameter):
            moves[symbol] = held
        self.moves = {name: moves[name] for name in self._symbols if name in moves}

    def reset(self) -> None:
        """Set every weight back to its start."""
        self.moves = {}

    def code(self) -> str:
        """Python code that makes the network with its current weights, number for number."""
        return network_code(self.model)

    def _changed(self, change: Mapping[str, object]) -> None:  # noqa: ARG002 (traitlets hands it)
        # network and weights may come in one message, which gets one answer
        if _key(self.preset, self.moves) != self.answered:
            self._answer()

    def _answer(self) -> None:
        """Identify the current network, and send the findings."""
        start = self._networks[self.preset]
        changes = {self._symbols[symbol]: value for symbol, value in self.moves.items()}
        self.model = edit(start, changes) if changes else start
        self.circuit = identify_circuit(self.model, with_evidence=False)
        found = found_spec(self.circuit, with_reason=False)
        is_slow = self.circuit.verdict == "not_computing"
        with self.hold_sync():
            self.verdict = self.circuit.verdict
            self.reason = "" if is_slow else self.circuit.reason
            self.found = {name: found[name] for name in ("gates", "idle", "formula", "target")}
            self.answered = _key(self.preset, self.moves)
        if is_slow:
            self._explain_later()

    def _explain_later(self) -> None:
        """After the last move, explain why the network does not compute its target.

        Without an event loop, through which moves could come, it is explained at once.
        """
        if self._explaining is not None:
            self._explaining.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._explain()
            return
        self._explaining = loop.call_later(EXPLAINED_AFTER, self._explain)

    def _explain(self) -> None:
        self._explaining = None
        self.reason = self.circuit.reason


def _key(preset: int, moves: Mapping[str, float]) -> str:
    """A key for the network and the weights of an answer; the bench writes the same key.

    >>> _key(0, {"w12": 0.25})
    '0; w12 0.25'
    """
    parts = [f"{symbol} {float(value)!r}" for symbol, value in moves.items()]
    return "; ".join([str(preset), *parts])


def _value(model: HookedMLP, name: str) -> float:
    """The value of the entry of this name, such as "fc1.weight[0, 1]"."""
    (entry,) = entries(model, name)
    return entry.of(model.float64_layers())


def playground(model: HookedMLP | None = None, *, target: Target | None = None) -> Playground:
    """The bench of a network in a notebook, with sliders for inputs and weights.

    Activations, input plane, truth table and conditions follow in the browser; gates and verdict
    come from the kernel, which identifies the circuit anew.

    Args:
        model: by default `handmade.textbook_xor()`, nine weights.
        target: what the network should compute: a gate, a formula or a `BooleanFunction`. Default:
            `model.cfg.target`, or if that is None, whatever the network decides.

    >>> play = playground()
    >>> play.move("w12", 0.25)
    >>> play.circuit.verdict
    'not_computing'

    Raises:
        XorMiError: more inputs than `bench.MOST_INPUTS`, more weights than `MOST_SLIDERS`, a target
            of another width, or the extra `widgets` is not installed.
    """
    model = textbook_xor() if model is None else model
    require_hooked_mlp(model, "the playground")
    if target is None and model.cfg.target is None:
        require_few(model)
        target = identify_circuit(model, with_evidence=False).target
    return Playground(model if target is None else model.with_target(target))
