"""The rooms and the one direction data flows in: imports only point up the list, also those inside
functions; only the rooms that may load torch do; what is public is listed, and what is not is
underscored.
"""

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from style import import_graph, imported_names, largest_circle

from xor_mi.finding import Finding

PACKAGE = Path(__file__).parent.parent / "xor_mi"
ORDER = [
    "errors",
    "reading",
    "saving",
    "progress",
    "kernels",
    "finding",
    "truth",
    "graph",
    "kinds",
    "model",
    "metrics",
    "training",
    "values",
    "terms",
    "interventions",
    "gate_scan",
    "geometry",
    "handmade",
    "margins",
    "circuits",
    "search",
    "population",
    "least_units",
    "exam",
    "zoo",
    "plots",
    "bench",
    "report",
    "exam_page",
    "trajectory_page",
    "testing",
    "pytest_plugin",
    "cli",
    "widgets",
]
"""The rooms as data flows through them; a room imports from those before it."""
DOOR = ("finding", "xor_mi.plots.figure")
"""The one import that points down the list: every finding draws itself by it."""
NO_TORCH = {
    "errors",
    "reading",
    "saving",
    "progress",
    "kernels",
    "finding",
    "truth",
    "graph",
    "cli",
}
HEAVY = {"torch", "transformer_lens", "pandas", "plotly", "numpy"}
ENTRANCES = {"cli", "pytest_plugin"}
"""Rooms that a program enters, not a caller: nothing is imported from them."""
ROOMS = [room for room in ORDER if room not in ENTRANCES]


def imports_of(source: str, *, inside_functions: bool = True) -> set[str]:
    """Dotted names that a module imports; without those inside functions, the names that are
    imported when the module itself is.
    """
    tree = ast.parse(source)
    nodes = ast.walk(tree) if inside_functions else tree.body
    statements = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in statements if getattr(node, "level", 0)], "a relative import"
    return {name for statement in statements for name in imported_names(statement, "")}


def room_of(name: str) -> str | None:
    """The room that an imported name lies in."""
    package, *rest = name.split(".")
    return rest[0] if package == "xor_mi" and rest and rest[0] in ORDER else None


def violations(module: str, source: str) -> list[str]:
    """What a module imports although it stands below it in the list, or although it must not load
    torch.
    """
    here = module.split(".")[0]
    wrong = [
        f"{module} imports {name}, which stands below it"
        for name in sorted(imports_of(source))
        if (room := room_of(name)) is not None
        and ORDER.index(room) > ORDER.index(here)
        and (module, name) != DOOR
    ]
    if here in NO_TORCH:
        wrong += [
            f"{module} loads {name}"
            for name in sorted(imports_of(source, inside_functions=False))
            if name.split(".")[0] in HEAVY or room_of(name) not in {None, *NO_TORCH}
        ]
    return wrong


@functools.cache
def modules() -> dict[str, str]:
    """Every module of the package and its source; a room's `__init__` goes by the room's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        # `python -m xor_mi` is the command line under another name, and no room
        if name and name != "__main__":
            found[name] = path.read_text(encoding="utf-8")
    return found


def test_every_module_has_a_room_and_imports_point_up():
    """No module is outside the list, and none imports one that stands below it, not even inside a
    function.
    """
    assert {name.split(".")[0] for name in modules()} == set(ORDER)
    assert [line for name, source in modules().items() for line in violations(name, source)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("truth", "import torch"),
        ("truth", "from xor_mi.graph import Unit"),
        ("metrics", "from xor_mi import circuits"),
        ("metrics", "def f():\n    from xor_mi.circuits import Circuit"),
        ("circuits._circuit", "class A:\n    def plot(self):\n        import xor_mi.plots"),
        ("values", "def f():\n    from xor_mi.plots import figure"),
        ("finding", "from xor_mi.plots import network_diagram"),
        ("finding", "from xor_mi.report import figure"),
        ("cli", "import pandas as pd"),
        ("cli", "from xor_mi.model import HookedMLP"),
        ("errors", "from xor_mi.truth import GATES"),
    ],
)
def test_the_guard_can_fail(module, source):
    """Planted bad imports are found."""
    assert violations(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("circuits._netlist", "from xor_mi.circuits._readings import Reading\nimport torch"),
        ("truth", "from xor_mi.errors import XorMiError"),
        ("cli", "def f():\n    from xor_mi.model import HookedMLP"),
        ("finding", "def f():\n    from xor_mi.plots import figure"),
    ],
)
def test_the_guard_lets_good_imports_pass(module, source):
    """Their neighbours that are fine stay fine."""
    assert violations(module, source) == []


def test_the_one_door_is_there():
    """The exception that the guard makes is used, and by one line."""
    module, name = DOOR
    assert name in imports_of(modules()[module])
    assert (
        sum(source.count("from xor_mi.plots import figure\n") for source in modules().values()) == 1
    )


def test_no_file_imports_itself_through_others():
    """The graph of imports, those inside functions and inside rooms too, has no circle, but for the
    door.
    """
    graph = import_graph(PACKAGE)
    graph.remove_edge("xor_mi.finding", "xor_mi.plots")
    assert graph.number_of_edges() > 100
    assert largest_circle(graph) == 0


def test_a_circle_is_noticed(tmp_path):
    """Two files that import each other, one of them inside a function; relative imports count."""
    files = {"__init__": "", "a": "from pack.b import f", "b": "def f():\n    from . import a"}
    (tmp_path / "pack").mkdir()
    for name, source in files.items():
        (tmp_path / "pack" / f"{name}.py").write_text(source, encoding="utf-8")
    assert largest_circle(import_graph(tmp_path / "pack")) == 2
    assert largest_circle(import_graph(tmp_path / "pack", inside_functions=False)) == 0


# hook_dict and hook_name are an attribute and an argument, and name no hook
HOOK_NAME = re.compile(r"blocks\.|\bhook_(?!dict\b|names?\b)")


def hook_names_in(source: str) -> list[str]:
    """The string literals, docstrings apart, that spell the name of a hook or the start of one."""
    if not HOOK_NAME.search(source):
        return []
    nodes = list(ast.walk(ast.parse(source)))
    documents = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documents
    ]
    return [text for text in texts if HOOK_NAME.search(text)]


def test_hook_names_are_spelled_in_the_model_only():
    """No other room writes the name of a TransformerLens hook, or a part of one."""
    spelled = {
        name: hook_names_in(source)
        for name, source in modules().items()
        if not name.startswith("model.")
    }
    assert {name: texts for name, texts in spelled.items() if texts} == {}


@pytest.mark.parametrize(
    ("source", "n_spelled"),
    [
        ("a = 'blocks.0.mlp.hook_pre'", 1),
        ("a = f'blocks.{layer}.mlp'", 1),
        ("a = name.startswith('hook_')", 1),
        ("'''a text on hook_embed'''\na = 'hook_dict'", 0),
        ("a = b.hook_embed", 0),
    ],
)
def test_a_spelled_hook_name_is_noticed(source, n_spelled):
    """Whole names and parts of one are found, in plain and in formatted text; docstrings are not
    code.
    """
    assert len(hook_names_in(source)) == n_spelled


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


LOADED = "print(sorted({'torch', 'transformer_lens', 'plotly', 'pandas'} & set(sys.modules)))"


@pytest.mark.parametrize(
    "code",
    ["import xor_mi", "import xor_mi; xor_mi.__version__; dir(xor_mi)", "from xor_mi import BooleanFunction, Unit, XorMiError; BooleanFunction.named('OR').bits",
     "import xor_mi.cli", "import xor_mi.pytest_plugin"],
)  # fmt: skip
def test_nothing_heavy_is_loaded_before_it_is_used(code):
    """Importing the package, its torch-free rooms and the CLI loads neither torch nor
    TransformerLens, plotly or pandas.
    """
    assert run(f"import sys; {code}; {LOADED}") == "[]"


def test_the_lazy_guard_can_fail():
    """The guard above would notice a module of such a name."""
    assert run(f"import sys; sys.modules['torch'] = sys; {LOADED}") == "['torch']"


# what is public is listed


def bound_names(source: str) -> set[str]:
    """The names without an underscore that a file's own statements define: functions, classes,
    values, and what is imported as `name as name`.
    """
    names: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.name for alias in node.names if alias.name == alias.asname]
    return {name for name in names if not name.startswith("_")}


def exported(room: str) -> set[str]:
    """What a room lists as public: `__all__`, or what its `__init__` imports as `name as name`."""
    module = importlib.import_module(f"xor_mi.{room}")
    if hasattr(module, "__all__"):
        return set(module.__all__)
    return bound_names(modules()[room]) if hasattr(module, "__path__") else set()


def visible(module: ModuleType) -> set[str]:
    """The names without an underscore that a room shows to `dir` and to an editor; the test run's
    shape checker adds its own.
    """
    return {name for name in vars(module) if not name.startswith("_")} - {"jaxtyping"}


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_shows_is_what_it_exports(room):
    """In a folder, every name without an underscore is exported; in a single file, `__all__` has
    every function and class without one, and nothing that is not there.
    """
    module = importlib.import_module(f"xor_mi.{room}")
    assert exported(room), f"{room} lists nothing"
    if hasattr(module, "__path__"):
        assert visible(module) == exported(room)
        return
    assert exported(room) <= visible(module)
    body = ast.parse(modules()[room]).body
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert {name for name in defined if not name.startswith("_")} <= exported(room)


def test_modules_inside_a_room_are_private():
    """A file in a room's folder starts with an underscore: callers import from the room."""
    inside = [name.split(".")[-1] for name in modules() if "." in name]
    assert len(inside) > 40
    assert [name for name in inside if not name.startswith("_")] == []


@functools.cache
def public_objects() -> dict[str, object]:
    """Every exported thing by its dotted name."""
    return {
        f"{room}.{name}": getattr(importlib.import_module(f"xor_mi.{room}"), name)
        for room in ROOMS
        for name in sorted(exported(room))
    }


def callables_of(name: str, thing: object) -> Iterator[tuple[str, object]]:
    """A function; or a class, its public methods and the getters of its properties."""
    if isinstance(thing, FunctionType):
        yield name, thing
    elif inspect.isclass(thing) and thing.__module__.startswith("xor_mi"):
        yield name, thing
        for attribute, value in vars(thing).items():
            if attribute.startswith("_") and attribute not in (
                "__call__",
                "__getitem__",
                "__iter__",
            ):
                continue
            inner = value.fget if isinstance(value, property) else value
            inner = getattr(inner, "func", getattr(inner, "__func__", inner))
            if isinstance(inner, FunctionType):
                yield f"{name}.{attribute}", inner


def classes_in(annotation: object) -> Iterator[type]:
    """Every class that an annotation names."""
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from classes_in(argument)


def names_for_type_checkers() -> dict[str, object]:
    """What annotations in quotes may name: all that is imported under `if TYPE_CHECKING`, and the
    package's own classes.
    """
    known: dict[str, object] = {}
    for source in modules().values():
        body = ast.parse(source).body if "TYPE_CHECKING" in source else []
        for node in body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                exec(compile(ast.Module(node.body, []), "TYPE_CHECKING", "exec"), known)
    for name, module in list(sys.modules.items()):
        if name.startswith("xor_mi."):
            known |= {key: one for key, one in vars(module).items() if inspect.isclass(one)}
    known["tqdm"] = list  # tqdm itself takes no type in brackets when it is run
    return known


def annotated_classes() -> dict[type, set[str]]:
    """Class of this package -> where in the annotations of what is exported it appears."""
    things = public_objects()
    known = names_for_type_checkers()
    found: dict[type, set[str]] = {}
    for name, thing in things.items():
        for where, inner in callables_of(name, thing):
            for annotation in typing.get_type_hints(inner, localns=known).values():
                for one in classes_in(annotation):
                    if one.__module__.startswith("xor_mi"):
                        found.setdefault(one, set()).add(where)
    return found


def test_every_class_a_caller_gives_or_receives_is_exported():
    """What stands in a public signature can be imported from a room."""
    things = set(map(id, public_objects().values()))
    hidden = {
        one.__name__: sorted(where)
        for one, where in annotated_classes().items()
        if id(one) not in things
    }
    assert hidden == {}


def test_every_finding_is_a_finding():
    """An exported class that has a table or a picture has both by the one base, and is frozen; a
    tuple or list of several things may be a table in a notebook.
    """
    classes = {name: thing for name, thing in public_objects().items() if inspect.isclass(thing)}
    findings = [name for name, one in classes.items() if issubclass(one, Finding)]
    assert len(findings) > 10
    for name, one in classes.items():
        own = {"frame", "plot", "_repr_html_"} & set(vars(one))
        assert issubclass(one, Finding | tuple | list) or not own, name
        assert not issubclass(one, Finding) or one is Finding or "plot" not in own, name
    for name in set(findings) - {"finding.Finding"}:
        assert is_dataclass(classes[name]), name
        assert classes[name].__dataclass_params__.frozen, name
        assert classes[name].__doc__, name


NAMES = [
    *("XorMiError", "Edge", "Site", "Unit", "BooleanFunction"),
    *("HookedMLP", "HookedMLPConfig", "TrainConfig", "train", "train_population"),
    *("activations", "compare", "contributions", "explain_difference"),
    *("HighLevelModel", "ablation_sweep", "interchange_accuracy", "patch", "patch_sweep"),
    *("scan_gates", "find_gates", "Circuit", "diagnose", "identify_circuit"),
    *("find_subcircuits", "identifiability_report", "census", "trajectory"),
    "atlas",
    "least_hidden_units",
]
"""What a program gets from `xor_mi` itself, in the order of the pipeline."""


def test_the_package_lists_its_names_and_every_room():
    """`dir(xor_mi)` is the names above and the rooms, in that order in the stub; each can be
    fetched, and an unknown name is an AttributeError.
    """
    import xor_mi

    assert sorted(dir(xor_mi)) == sorted([*NAMES, *ROOMS])
    for name in dir(xor_mi):
        assert getattr(xor_mi, name) is not None
    with pytest.raises(AttributeError):
        _ = xor_mi.nothing_here


def test_a_name_that_lives_elsewhere_is_answered_with_its_home():
    """Every public name of every room that `xor_mi` does not have itself, by rooms that are really
    imported; a slip of the hand; a name of nothing; tools are answered as by any module.
    """
    import xor_mi

    for room in ROOMS:
        for name in exported(room) - set(dir(xor_mi)):
            with pytest.raises(AttributeError) as refusal:
                getattr(xor_mi, name)
            assert re.search(rf"\bxor_mi\.{room}\.{name}\b", str(refusal.value))
    for wrong, right in (("pach", "patch"), ("ablate", "ablation_sweep"), ("Circut", "Circuit")):
        with pytest.raises(AttributeError, match=f"{wrong}'; did you mean xor_mi.{right}\\?"):
            getattr(xor_mi, wrong)
    with pytest.raises(AttributeError, match=r"no 'qqqqqq'; dir\(xor_mi\) lists what it has"):
        getattr(xor_mi, "qqqqqq")  # noqa: B009 (a type checker would refuse it)
    assert not hasattr(xor_mi, "__wrapped__")
    code = "import xor_mi; print(hasattr(xor_mi, 'playground'), end=' '); import sys"
    assert run(f"{code}; {LOADED}") == "False []"


def test_help_names_everything_that_is_there():
    """`help(xor_mi)` begins with every name and, in the order of the pipeline, every room."""
    import xor_mi

    page, rooms = str(xor_mi.__doc__).split("The rooms (modules and sub-packages), in the order")
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", page)] == []
    listed = re.findall(r"^ {4}(\w[\w, ]*?) {2,}", rooms, flags=re.MULTILINE)
    assert ", ".join(listed) == ", ".join(ORDER)


def test_the_stub_has_them_in_the_order_of_the_pipeline():
    """Names first, then the rooms as data flows through them."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert [alias.asname for node in imports for alias in node.names] == [*NAMES, *ROOMS]
