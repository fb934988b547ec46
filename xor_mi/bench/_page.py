"""a network's bench -> a part of a page, or a page of its own; nothing is loaded."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from xor_mi.bench._spec import bench_spec, require_few
from xor_mi.circuits import Circuit, identify_circuit
from xor_mi.errors import TooManyReadings, XorMiError, as_path, require_kind, shown
from xor_mi.kinds import PathLike
from xor_mi.model import HookedMLP, require_plain_mlp
from xor_mi.saving import BENCH_MARK, require_own_file, write_file

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="xor-mi {mark}/1">
<link rel="icon" href="data:,">
<title>xor-mi: bench</title>
<style>
  :root {{ color-scheme: light dark; --ink: #222; --paper: #fff; }}
  @media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6e6e6; --paper: #16181c; }} }}
  @media print {{ :root {{ --ink: #000; --paper: #fff; }} }}
  body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
    max-width: 76rem; margin: 1rem auto; padding: 0 0.6rem; }}
  h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.15rem; margin-top: 2rem; }}
  h2 {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>Move a weight, and see what is decided</h1>
{benches}
</main>
</body>
</html>
"""


@cache
def module_text() -> str:
    """The JavaScript module of the bench: its first line says what it is; lines that are empty or
    comments alone are left out.
    """
    text = files("xor_mi.bench").joinpath("bench.js").read_text(encoding="utf-8")
    first, *others = text.splitlines()
    code = [line for line in others if line.strip() and not line.lstrip().startswith("//")]
    return "\n".join([first, *code, ""])


def bench_html(
    model: HookedMLP, circuit: Circuit | None = None, *, with_module: bool = True
) -> Markup:
    """The bench of a network as part of a page: its element, its numbers, and the module.

    It works from a file, without an internet connection. One module finds and shows all benches of
    a page.

    Args:
        circuit: what `identify_circuit` found in this network; by default it is asked, as in
            `write_bench`. A network with too many readings to identify has a bench without gates.
        with_module: include the module, which a page needs once.

    Raises:
        XorMiError: as in `bench_spec`.
    """
    if circuit is None:
        require_plain_mlp(model, "the bench")
        require_few(model)
        # too many readings: the bench is drawn all the same, without gates
        with suppress(TooManyReadings):
            circuit = identify_circuit(model, with_evidence=False)
    # a text that contains </script> must not end the script
    spec = json.dumps(bench_spec(model, circuit), allow_nan=False).replace("<", "\\u003c")
    module = f'<script type="module">{module_text()}\nmountAll();\n</script>' if with_module else ""
    return Markup(
        "<div data-xor-mi-bench><noscript>The bench needs JavaScript.</noscript>"
        f'<script type="application/json">{spec}</script></div>{module}'
    )


def write_bench(
    path: PathLike, models: HookedMLP | Mapping[str, HookedMLP], *, overwrite: bool = False
) -> Path:
    """Write a page with the bench of one network, or of several; return the page's path.

    Gates and verdict are from `identify_circuit` for the network's target, or without a target for
    the function that the network decides.

    Args:
        path: the file to write, such as "bench.html".
        models: a network, or name -> network.
        overwrite: replace a file of this name that xor-mi did not write.

    Raises:
        XorMiError: no network, a network that `bench_spec` refuses, a name that is not printable
            text, or a file that cannot be written.
    """
    file = as_path("path", path)
    give = "a HookedMLP, or a dict of them by name"
    require_kind("models", models, (HookedMLP, Mapping), give=give)
    # a single network needs no heading
    several = [(None, models)] if isinstance(models, HookedMLP) else list(models.items())
    if not several:
        raise XorMiError("models is empty; give at least one network by name")
    parts: list[Markup] = []
    for name, model in several:
        heading = Markup("")
        if name is not None or isinstance(models, Mapping):
            heading = Markup("<h2>{}</h2>\n").format(_heading(name))
        require_kind(f"models[{shown(name)}]", model, HookedMLP, give="a HookedMLP")
        parts.append(heading + bench_html(model, with_module=not parts))
    require_own_file(file, BENCH_MARK, overwrite=overwrite)
    write_file(file, _PAGE.format(mark=BENCH_MARK, benches="\n".join(parts)))
    return file


def _heading(name: object) -> str:
    """The name of a network as the heading of its bench."""
    require_kind("a name in models", name, str, give="text, such as 'XOR'")
    text = str(name)
    if not text.strip():
        raise XorMiError("a name in models is empty; give text, such as 'XOR'")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise XorMiError(
            f"a name in models is {shown(text)}, which UTF-8 cannot write; give other text"
        ) from None
    return text
