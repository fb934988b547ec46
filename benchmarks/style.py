"""Figures of style of one package or several, side by side: signals to look at, not limits.

    python benchmarks/style.py xor_mi [ANOTHER_PACKAGE_FOLDER ...]

A function's length is its span without its docstring. Its complexity is one more than its branches,
Boolean operators, comprehensions and their conditions. A nested comprehension has another inside
it, or two `for`s. An import circle is a set of files each of which imports, directly or through
others, each other one; imports inside functions are counted in the second of its two figures."""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.With, ast.match_case)

MAX_WIDTH = 100
"""Columns of a line; wider ones are counted."""
MAX_FUNCTION = 40
"""Lines of a function; longer ones are counted."""
MANY_PARAMETERS = 4
"""From so many parameters on a public function should have keyword-only ones."""


@dataclass
class Function:
    """One function as it is written."""

    lines: int
    complexity: int
    public: bool
    has_docstring: bool
    n_parameters: int
    n_any: int
    n_unannotated: int
    has_keyword_only: bool


@dataclass
class Source:
    """What is counted in a package's files."""

    file_lines: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    n_comments: int = 0
    n_docstring_lines: int = 0
    n_nested_comprehensions: int = 0
    n_nested_conditionals: int = 0
    n_starred_calls: int = 0
    n_raise: int = 0
    n_assert: int = 0


def docstring_lines(node: ast.AST) -> int:
    """How many lines the docstring of a module, class or function takes; 0 for none."""
    documented = isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS))
    if not documented or ast.get_docstring(node, clean=False) is None:
        return 0
    statement = node.body[0]
    return (statement.end_lineno or statement.lineno) - statement.lineno + 1


def complexity(function: ast.AST) -> int:
    """Branches, Boolean operators, comprehensions and their conditions, plus one."""
    total = 1
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            total += 1 + len(node.ifs)
    return total


def measured_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    """The figures of one function."""
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    parameters = [one for one in every if one.arg not in ("self", "cls")]
    annotations = [ast.unparse(one.annotation) for one in parameters if one.annotation]
    return Function(
        lines=(node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node),
        complexity=complexity(node),
        public=not node.name.startswith("_"),
        has_docstring=ast.get_docstring(node) is not None,
        n_parameters=len(parameters),
        n_any=sum(text in ("Any", "typing.Any") for text in annotations),
        n_unannotated=len(parameters) - len(annotations),
        has_keyword_only=bool(arguments.kwonlyargs),
    )


def has_inside(node: ast.AST, kinds: tuple[type[ast.AST], ...]) -> bool:
    """Whether a node holds another of these kinds."""
    return any(isinstance(other, kinds) for other in ast.walk(node) if other is not node)


def read_file(text: str, into: Source) -> None:
    """Add one file's figures."""
    lines = text.splitlines()
    into.file_lines.append(len(lines))
    into.widths += [len(line) for line in lines if line.strip()]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    into.n_comments += sum(token.type == tokenize.COMMENT for token in tokens)
    for node in ast.walk(ast.parse(text)):
        into.n_docstring_lines += docstring_lines(node)
        if isinstance(node, FUNCTIONS):
            into.functions.append(measured_function(node))
        elif isinstance(node, COMPREHENSIONS):
            nested = len(node.generators) > 1 or has_inside(node, COMPREHENSIONS)
            into.n_nested_comprehensions += nested
        elif isinstance(node, ast.IfExp):
            into.n_nested_conditionals += has_inside(node, (ast.IfExp,))
        elif isinstance(node, ast.Call):
            into.n_starred_calls += any(isinstance(one, ast.Starred) for one in node.args)
        into.n_raise += isinstance(node, ast.Raise)
        into.n_assert += isinstance(node, ast.Assert)


def module_name(path: Path, package: Path) -> str:
    """A file's dotted name; a package goes by its folder."""
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_statements(tree: ast.Module, inside_functions: bool) -> Iterator[ast.AST]:
    """The import statements of a file, in the order of the tree."""
    nodes = ast.walk(tree) if inside_functions else tree.body
    yield from (node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)))


def imported_names(statement: ast.AST, package_of_file: str) -> Iterator[str]:
    """The dotted names that one import statement asks for."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        above = package_of_file.split(".")
        if statement.level:
            above = above[: len(above) - statement.level + 1]
        start = ".".join([*(above if statement.level else []), *filter(None, [statement.module])])
        yield from (f"{start}.{alias.name}" for alias in statement.names)


def import_graph(package: Path, *, inside_functions: bool = True) -> nx.DiGraph:
    """File -> the files of the same package that it imports, by dotted name. A submodule stands for
    itself: that Python also runs the `__init__` above it is not counted.
    """
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    graph = nx.DiGraph()
    graph.add_nodes_from(files)
    for name, path in files.items():
        here = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for statement in import_statements(
            ast.parse(path.read_text(encoding="utf-8")), inside_functions
        ):
            for asked in imported_names(statement, here):
                # `from a.b import c` asks for the file a.b.c, or for something in the file a.b
                target = asked if asked in files else asked.rpartition(".")[0]
                if target in files and target != name:
                    graph.add_edge(name, target)
    return graph


def largest_circle(graph: nx.DiGraph) -> int:
    """How many files the largest import circle has; 0 for none."""
    sizes = [len(files) for files in nx.strongly_connected_components(graph)]
    return max((size for size in sizes if size > 1), default=0)


def closing_imports(at_the_top: nx.DiGraph, everywhere: nx.DiGraph) -> int:
    """How many imports inside functions close a circle: the file that is asked for imports, at its
    top or through others, the file that asks.
    """
    later = set(everywhere.edges) - set(at_the_top.edges)
    return sum(nx.has_path(at_the_top, target, source) for source, target in later)


def quantile(values: list[int], share: float) -> int:
    """The value that this share of the values lie below."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else 0


def percent(count: int, of: int) -> float:
    """A share in percent; 0 of nothing."""
    return 100 * count / max(1, of)


def measure(package: Path) -> dict[str, float]:
    """Name of a figure -> the figure."""
    source = Source()
    for path in sorted(package.rglob("*.py")):
        read_file(path.read_text(encoding="utf-8"), source)
    at_the_top = import_graph(package, inside_functions=False)
    everywhere = import_graph(package)
    n_lines = sum(source.file_lines)
    functions = source.functions
    public = [one for one in functions if one.public]
    wide = [one for one in public if one.n_parameters >= MANY_PARAMETERS]
    lengths = [one.lines for one in functions]
    branches = [one.complexity for one in functions]
    n_parameters = sum(one.n_parameters for one in functions)
    n_public_parameters = sum(one.n_parameters for one in public)
    return {
        "files": len(source.file_lines),
        "lines": n_lines,
        "file lines, median": quantile(source.file_lines, 0.5),
        "file lines, most": max(source.file_lines, default=0),
        "function lines, median": quantile(lengths, 0.5),
        "function lines, p90": quantile(lengths, 0.9),
        "function lines, most": max(lengths, default=0),
        f"functions over {MAX_FUNCTION} lines": sum(length > MAX_FUNCTION for length in lengths),
        "complexity, median": quantile(branches, 0.5),
        "complexity, p90": quantile(branches, 0.9),
        "complexity, most": max(branches, default=0),
        "line width, median": quantile(source.widths, 0.5),
        "line width, p90": quantile(source.widths, 0.9),
        f"lines over {MAX_WIDTH} columns": sum(width > MAX_WIDTH for width in source.widths),
        "comments, % of lines": percent(source.n_comments, n_lines),
        "docstrings, % of lines": percent(source.n_docstring_lines, n_lines),
        "nested comprehensions per 1,000 lines": (
            1000 * source.n_nested_comprehensions / max(1, n_lines)
        ),
        "nested conditional expressions": source.n_nested_conditionals,
        "calls with a starred value per 1,000 lines": (
            1000 * source.n_starred_calls / max(1, n_lines)
        ),
        "parameters without a type, %": percent(
            sum(one.n_unannotated for one in functions), n_parameters
        ),
        "parameters that are Any, %": percent(sum(one.n_any for one in functions), n_parameters),
        "parameters of public functions that are Any, %": percent(
            sum(one.n_any for one in public), n_public_parameters
        ),
        "public functions with a docstring, %": percent(
            sum(one.has_docstring for one in public), len(public)
        ),
        f"public functions of {MANY_PARAMETERS} or more parameters": len(wide),
        "of these with keyword-only ones, %": percent(
            sum(one.has_keyword_only for one in wide), len(wide)
        ),
        "raise": source.n_raise,
        "assert": source.n_assert,
        "import circle, files": largest_circle(at_the_top),
        "import circle with imports inside functions, files": largest_circle(everywhere),
        "imports inside functions that close a circle": closing_imports(at_the_top, everywhere),
    }


def main() -> None:
    """Print one line per figure and one column per package."""
    packages = [Path(argument) for argument in sys.argv[1:]]
    if not packages or not all(package.is_dir() for package in packages):
        sys.exit("usage: python benchmarks/style.py PACKAGE_FOLDER ...")
    columns = [measure(package) for package in packages]
    print(" " * 56 + "".join(f"{package.name[:14]:>15}" for package in packages))
    for name in columns[0]:
        print(f"{name:56}" + "".join(f"{column[name]:15.4g}" for column in columns))


if __name__ == "__main__":
    main()
