"""Boolean networks small enough to prove what every unit does, as TransformerLens models.

Start with these; each has examples in its own `help(...)`:

    train("XOR", hidden=(2,), seed=29)        a trained network: `.model` of the result
    HookedMLP.from_module, .from_weights      your own network; also .from_sklearn, .from_keras,
                                              .from_pretrained("folder")
    activations, compare                      what every unit does; two inputs side by side
    contributions, explain_difference         weight times value; why a change of input matters
    patch, patch_sweep, ablation_sweep        give a unit the value of another run, or none
    HighLevelModel, interchange_accuracy      a causal model, and how well a network obeys it
    scan_gates                                which units of any hooked model separate a gate
    find_gates                                which of them act as it, by interchange
    identify_circuit                          which unit acts as which gate, with the proof
    diagnose                                  what a network computes instead of its target,
                                              and the change of reading that explains it
    find_subcircuits, identifiability_report  every other explanation
    train_population, census                  the same for many networks
    trajectory                                when its circuit forms while it trains, step by step
    least_hidden_units, atlas                 how many hidden units a function needs, proved;
                                              the same for every function of up to four inputs

What they take and give: BooleanFunction, Circuit, Edge, HookedMLPConfig, Site, TrainConfig, Unit;
`xor_mi.kinds` names what an argument may be. Every mistake is answered with one `XorMiError`.

The rooms (modules and sub-packages), in the order in which data flows through them:

    errors, reading              error messages; how JSON files are read
    saving, progress, kernels    how files are written, never over yours; progress bars; numba
    finding                      what every result is: a table, a figure, a notebook cell
    truth, graph, kinds          Boolean functions; names of places; kinds of arguments
    model, metrics, training     HookedMLP; numbers from its output; how it is trained
    values, terms                what units do; what each edge adds
    interventions, gate_scan     patching, ablation, interchange, attribution; units that separate
    geometry, handmade, margins  between the inputs; weights by hand; how far a weight may move
    circuits, search             the circuit and its proof; all other explanations
    population                   many networks
    least_units                  how many hidden units a function needs, and the proof
    exam                         methods for finding circuits, graded against exact truth
    zoo                          stored networks with known circuits
    plots, bench, report         figures; a network with sliders; the pages a person opens
    exam_page, trajectory_page   of an exam; of how one circuit forms
    testing, pytest_plugin       circuits as regression tests
    cli, widgets                 the command xor-mi; a playground for Jupyter

Nothing heavy is imported until it is used: `import xor_mi` loads neither torch nor TransformerLens.
"""

from functools import lru_cache as _lru_cache

import lazy_loader as _lazy

# the only place: the build, the plan of a census and every record read it here
__version__ = "0.2.0"

_attribute, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """A name of the stub, imported when it is first asked for.

    Raises:
        AttributeError: a name that is not here; where it lives, or the nearest one.
    """
    try:
        return _attribute(name)
    except AttributeError as error:
        # names of Python's own are asked for by tools, which want no advice
        advice = "" if name.startswith("_") else _where_to_look(name)
        if not advice or error.name not in (None, name):
            raise
        raise AttributeError(f"module 'xor_mi' has no {name!r}; {advice}", name=name) from None


def _where_to_look(name: str) -> str:
    """The rooms that have a name, or the nearest name of `xor_mi` itself; nothing is imported."""
    from difflib import get_close_matches

    homes = [f"xor_mi.{room}.{name}" for room, names in _names_of_rooms() if name in names]
    if homes:
        return f"did you mean {' or '.join(homes)}?"
    # the names of this module first, however close one is that lives elsewhere
    nearest = get_close_matches(name, __all__, n=1, cutoff=0.5)
    if nearest:
        return f"did you mean xor_mi.{nearest[0]}?"
    homes_of = {one: room for room, names in _names_of_rooms() for one in sorted(names)}
    nearest = get_close_matches(name, homes_of, n=1, cutoff=0.6)
    if nearest:
        return f"did you mean xor_mi.{homes_of[nearest[0]]}.{nearest[0]}?"
    return "dir(xor_mi) lists what it has"


@_lru_cache(maxsize=1)
def _names_of_rooms() -> list[tuple[str, set[str]]]:
    """Each room with its public names, read from its source."""
    import ast
    from pathlib import Path

    here = Path(__file__).parent
    rooms: list[tuple[str, set[str]]] = []
    for path in sorted([*here.glob("*/__init__.py"), *here.glob("[a-z]*.py")]):
        room = path.parent.name if path.name == "__init__.py" else path.stem
        if room not in __all__:
            continue
        names: set[str] = set()
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=listed)):
                    names |= {str(one.value) for one in listed if isinstance(one, ast.Constant)}
                case ast.ImportFrom(names=imported):
                    # "from ... import name as name" hands a name on
                    names |= {one.name for one in imported if one.asname == one.name}
        rooms.append((room, names))
    return rooms
