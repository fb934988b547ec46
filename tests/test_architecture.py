"""The rooms and the one direction data flows in: imports only point up the list, and only the rooms
that may load torch do.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "xor_mi"
ORDER = [
    "errors",
    "progress",
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
    "zoo",
    "plots",
    "report",
    "testing",
    "pytest_plugin",
    "cli",
    "widgets",
]
INSIDE = {
    "truth": ["_gates", "_formulas", "_function", "_threshold_functions"],
    "model": ["_config", "_convert", "_guards", "_network"],
    "interventions": [
        "_sites",
        "_run",
        "_patching",
        "_ablation",
        "_interchange",
        "_paths",
        "_attribution",
    ],
    "training": ["_config", "_noise", "_arithmetic", "_fit", "_population", "_train"],
    "geometry": ["_pieces", "_brackets", "_line", "_cells", "_contour", "_plane"],
    "handmade": ["_separation", "_gates", "_compiled", "_edits"],
    "margins": ["_conditions", "_slack", "_weight_sweep"],
    "circuits": [
        "_facts",
        "_wording",
        "_readings",
        "_netlist",
        "_evidence",
        "_controls",
        "_signature",
        "_explain",
        "_export",
        "_circuit",
        "_identify",
        "_batch",
        "_summary",
    ],
    "search": [
        "_convention",
        "_problem",
        "_subcircuits",
        "_counting",
        "_interpretations",
        "_formulas",
        "_interchange",
        "_alignments",
        "_node_masks",
        "_searches",
        "_comparison",
        "_examined",
        "_identifiability",
    ],
    "plots": [
        "_style",
        "_network",
        "_heatmaps",
        "_plane",
        "_weights",
        "_population",
        "_search",
        "_scores",
        "_training",
        "_frames",
        "_sliders",
        "_figure",
    ],
    "testing": ["_record", "_compare", "_asserts"],
    "population": ["_census", "_parquet", "_shards", "_width", "_start", "_identity"],
}
NO_TORCH = {"errors", "truth", "graph", "cli"}


def imports_of(source: str) -> set[str]:
    """Dotted names imported when the module itself is imported (imports inside functions come
    later, on purpose).
    """
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def violations(module: str, source: str) -> list[str]:
    """What a module imports although it stands below it in the list, or although it must not load
    torch.
    """
    room, *rest = module.split(".")
    found = []
    for name in sorted(imports_of(source)):
        parts = name.split(".")
        if parts[0] == "xor_mi" and len(parts) > 1:
            if parts[1] in ORDER and ORDER.index(parts[1]) > ORDER.index(room):
                found.append(f"{module} imports {name}, which stands below it")
            inner = INSIDE.get(room, [])
            if (
                rest
                and parts[1] == room
                and len(parts) > 2
                and parts[2] in inner
                and inner.index(parts[2]) >= inner.index(rest[0])
            ):
                found.append(f"{module} imports {name}, which stands below it")
        if room in NO_TORCH and (
            parts[0] in {"torch", "transformer_lens", "pandas", "plotly", "numpy"}
            or (parts[0] == "xor_mi" and len(parts) > 1 and parts[1] not in NO_TORCH)
        ):
            found.append(f"{module} loads {name}")
    return found


def modules() -> dict[str, str]:
    """Every module of the package but the `__init__`s."""
    files = {
        path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    return {name: path.read_text() for path, name in files.items() if not name.endswith("__init__")}


def test_every_module_has_a_room_and_imports_point_up():
    """No module is outside the list, and none imports one that stands below it."""
    assert modules()
    for name, source in modules().items():
        assert name.split(".")[0] in ORDER, f"{name} has no place in the order"
        assert violations(name, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("truth", "import torch"),
        ("truth", "from xor_mi.graph import Unit"),
        ("metrics", "from xor_mi import circuits"),
        ("model._config", "from xor_mi.model._network import HookedMLP"),
        ("cli", "import pandas as pd"),
        ("errors", "from xor_mi.truth import GATES"),
    ],
)
def test_the_guard_can_fail(module, source):
    """Planted bad imports are found."""
    assert violations(module, source)


def test_the_guard_lets_good_imports_pass():
    """Its neighbours that are fine stay fine."""
    assert (
        violations(
            "circuits.netlist", "from xor_mi.circuits._readings import Reading\nimport torch"
        )
        == []
    )
    assert violations("truth", "from xor_mi.errors import XorMiError") == []


def test_hook_names_are_spelled_in_the_model_only():
    """No other module writes a TransformerLens hook name of its own, except to tell hidden hooks
    from the rest.
    """
    for name, source in modules().items():
        if not name.startswith("model."):
            spelled = [
                n.value
                for n in ast.walk(ast.parse(source))
                if isinstance(n, ast.Constant)
                and isinstance(n.value, str)
                and "mlp.hook" in n.value
            ]
            assert [text for text in spelled if "\n" not in text] == [], name


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


HEAVY = (
    "print(sorted({'torch', 'transformer_lens', 'plotly', 'pandas', 'sympy'} & set(sys.modules)))"
)


@pytest.mark.parametrize(
    "code",
    ["import xor_mi", "import xor_mi; xor_mi.__version__; dir(xor_mi)", "from xor_mi import BooleanFunction, Unit, XorMiError; BooleanFunction.named('OR').bits",
     "import xor_mi.cli", "import xor_mi.pytest_plugin"],
)  # fmt: skip
def test_nothing_heavy_is_loaded_before_it_is_used(code):
    """Importing the package, its torch-free rooms and the CLI loads neither torch nor
    TransformerLens, plotly, pandas or sympy.
    """
    assert run(f"import sys; {code}; {HEAVY}") == "[]"


def test_the_lazy_guard_can_fail():
    """Touching a model does load torch: the guard above would notice."""
    assert "torch" in run(f"import sys; from xor_mi import HookedMLP; {HEAVY}")


def test_every_public_name_resolves():
    """What `dir(xor_mi)` lists can be fetched, and an unknown name is an AttributeError."""
    import xor_mi

    assert {
        "HookedMLP",
        "train",
        "identify_circuit",
        "patch_sweep",
        "BooleanFunction",
        "XorMiError",
    } <= set(dir(xor_mi))
    for name in dir(xor_mi):
        assert getattr(xor_mi, name) is not None
    with pytest.raises(AttributeError):
        _ = xor_mi.nothing_here
