"""a network and its circuit -> everything that the bench needs, as JSON.

The bench computes in float64, as `values.forward_float64` does, so it needs only the weights and
the conventions of the network.
"""

from functools import cache

from xor_mi.bench._code import settings_code
from xor_mi.circuits import Circuit
from xor_mi.errors import XorMiError, require_kind
from xor_mi.handmade import textbook_xor
from xor_mi.handmade._edits import Entry, entries
from xor_mi.margins import weight_symbols
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.model._range import require_finite_run
from xor_mi.truth import BooleanFunction
from xor_mi.values import forward_float64
from xor_mi.zoo import load, names, recorded

MOST_INPUTS = 4
"""The most inputs of a network on the bench: its table must be readable at a glance."""
MOST_WEIGHTS = 64
"""The most weights of a network on the bench, as many as a report examines."""

Json = dict[str, object]


def bench_spec(model: HookedMLP, circuit: Circuit | None = None) -> Json:
    """Everything that the bench shows of a network, JSON-ready.

    It includes the networks of the zoo that have the same shape, and for 2-2-1 the textbook
    network.

    Args:
        circuit: the result of `identify_circuit` for this network. Its gates and verdict are shown
            for the unmoved weights, and rows are compared with its target; without a circuit, with
            the network's own target.

    >>> spec = bench_spec(textbook_xor())
    >>> spec["networks"][0]["weights"]
    [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0]
    >>> [one["symbol"] for one in spec["symbols"]]
    ['w11', 'w12', 'w21', 'w22', 'b1', 'b2', 'v1', 'v2', 'c']

    Raises:
        XorMiError: a model that is not a `HookedMLP`, more than `MOST_INPUTS` inputs or
            `MOST_WEIGHTS` weights, a circuit of another shape, or values that are not finite.
    """
    require_plain_mlp(model, "the bench")
    if circuit is not None:
        require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
        _require_same_sizes(model, circuit)
    require_few(model)
    layers = forward_float64(model, model.rows())
    require_finite_run(model, [one.inputs for one in layers], "the bench")
    target = model.cfg.target if circuit is None else circuit.target
    own = _network(model, target)
    own["name"] = "this network"
    own["found"] = None if circuit is None else found_spec(circuit)
    symbols: list[Json] = []
    for entry, symbol in zip(entries(model), weight_symbols(model), strict=True):
        symbols.append(_symbol(entry, symbol))
    networks = [own]
    for name, preset in preset_models(model).items():
        shown = _network(preset, preset.cfg.target)
        shown["name"] = name
        shown["found"] = _found_of_preset(name)
        networks.append(shown)
    return {"symbols": symbols, "networks": networks}


def preset_models(model: HookedMLP) -> dict[str, HookedMLP]:
    """The networks of the same shape that the bench offers besides this one, by name.

    >>> list(preset_models(textbook_xor()))[:3]
    ['textbook', 'or-and', 'nor-and']
    """
    require_plain_mlp(model, "the bench")
    if model.cfg.direct:
        return {}
    presets = {"textbook": textbook_xor()} | {name: load(name) for name in names()}
    sizes = model.layer_sizes
    return {name: one for name, one in presets.items() if one.layer_sizes == sizes}


def found_spec(circuit: Circuit, *, with_reason: bool = True) -> Json:
    """The part of a circuit that the bench shows: verdict, reason and the gates of live units.

    A unit on which no output depends has a note instead of a gate: "dead" or "always on" if it has
    one value on every row, otherwise "idle", because it could be any of several gates.

    Args:
        with_reason: include the reason, which may take a while to find if the verdict is
            not_computing; otherwise it is empty.

    >>> from xor_mi.circuits import identify_circuit
    >>> found_spec(identify_circuit(textbook_xor(), with_evidence=False))["gates"]
    {'h0.0': 'OR', 'h0.1': 'AND'}
    """
    require_kind("circuit", circuit, Circuit, give="what identify_circuit returns")
    gates: dict[str, str] = {}
    formula = ""
    for first in circuit.circuits[:1]:
        gates = {unit.name: gate for unit, gate in zip(first.live, first.gates, strict=True)}
        formula = first.formula
    idle = {unit.place.name: unit.note for unit in circuit.units if unit.idle}
    return {
        "verdict": circuit.verdict,
        "reason": circuit.reason if with_reason else "",
        "gates": gates,
        "idle": idle,
        "formula": formula,
        "target": circuit.target.name,
    }


@cache
def _found_of_preset(name: str) -> Json:
    """The same for a preset: from the zoo, or for the textbook network as it is known."""
    if name == "textbook":
        return {
            "verdict": "identified",
            "reason": "made by hand: h0.0 is OR, h0.1 is AND, and XOR = (x0 | x1) & ~(x0 & x1)",
            "gates": {"h0.0": "OR", "h0.1": "AND"},
            "idle": {},
            "formula": "(x0 | x1) & ~(x0 & x1)",
            "target": "XOR",
        }
    stored = recorded(name)
    circuits = stored["circuits"]
    return {
        "verdict": stored["verdict"],
        "reason": stored["reason"],
        "gates": circuits[0]["live"] if circuits else {},
        "idle": {unit["unit"]: unit["note"] for unit in stored["units"] if unit["idle"]},
        "formula": stored["formula"] or "",
        "target": stored["target"]["name"],
    }


def require_few(model: HookedMLP) -> None:
    """Refuse a network that does not fit on a bench."""
    n_inputs, n_weights = model.cfg.d_in, len(entries(model))
    if n_inputs > MOST_INPUTS or n_weights > MOST_WEIGHTS:
        raise XorMiError(
            f"the bench has at most {MOST_INPUTS} inputs and {MOST_WEIGHTS} weights; this network "
            f"has {n_inputs} and {n_weights}"
        )


def _require_same_sizes(model: HookedMLP, circuit: Circuit) -> None:
    """Refuse the circuit of a network of another shape."""
    if circuit.cfg.layer_sizes != model.layer_sizes:
        of_circuit, of_model = [
            "-".join(map(str, sizes)) for sizes in (circuit.cfg.layer_sizes, model.layer_sizes)
        ]
        raise XorMiError(
            f"the circuit is from a network {of_circuit}, and this network is {of_model}; give "
            "what identify_circuit returns for this network"
        )


def _network(model: HookedMLP, target: BooleanFunction | None) -> Json:
    """Weights in the order of the symbols, and the conventions of the network."""
    cfg = model.cfg
    layers = model.float64_layers()
    weights = [entry.of(layers) for entry in entries(model)]
    written = None
    if target is not None:
        written = {"name": target.name, "tables": [list(table) for table in target.tables]}
    return {
        "sizes": list(cfg.layer_sizes),
        "direct": cfg.direct,
        "activations": [*cfg.act_fns, cfg.out_act_fn],
        "slope": cfg.negative_slope,
        "step_at_zero": cfg.step_at_zero,
        # the exact numbers, which decide; and the numbers as they are written
        "levels": model.rows()[[0, -1], 0].tolist(),
        "given_levels": list(cfg.input_levels),
        "rule": cfg.decision_rule,
        "threshold": cfg.decision_threshold,
        "dtype": str(cfg.dtype).removeprefix("torch."),
        "weights": weights,
        "target": written,
        "code": list(settings_code(cfg, target).items()),
    }


def _symbol(entry: Entry, symbol: str) -> Json:
    """One weight: its names and its place."""
    return {
        "symbol": symbol,
        "parameter": entry.name,
        "layer": entry.layer,
        "unit": entry.unit,
        "source": entry.source,
    }
