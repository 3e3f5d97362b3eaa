"""Dependencies point down: the tables of docs/architecture.md assign each module to a floor, and all imports obey them.

An edge is any import, at the top of a module, in a function or under `if TYPE_CHECKING`, and any #include. A name in a
table stands for one module, `name.*` for all modules below it without a row of their own.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
if not PAGE.exists():
    pytest.skip("no sources beside the tests", allow_module_level=True)

Edges = dict[str, set[str]]
ADAPTERS = "adapters"


def table(heading: str) -> list[tuple[str, list[str]]]:
    """Return (floor, names) for every row of the first table under a heading, the lowest floor first."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n#")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [(floor, re.findall(r"`([^`]+)`", names)) for floor, names, *_ in rows[2:]]


def floors(heading: str, modules: set[str]) -> dict[str, str]:
    """Return the floor of every module, from the most specific name that covers it."""
    names = {name: floor for floor, row in table(heading) for name in row}
    rows = {module: next((name for name in _standing_for(module) if name in names), "") for module in sorted(modules)}
    assert [module for module, row in rows.items() if not row] == [], f"no row of '{heading}' names them"
    assert names.keys() - rows.values() == set(), f"'{heading}' names what is not there"
    return {module: names[row] for module, row in rows.items()}


def _standing_for(module: str) -> list[str]:
    """Return the names that cover a.b: a.b itself, then a.*, the most specific first."""
    parts = module.split(".")
    return [module, *(".".join([*parts[:i], "*"]) for i in range(len(parts) - 1, 0, -1))]


def sources() -> dict[str, Path]:
    """Return the package's modules by their names below `fastnn`; the package itself is "fastnn"."""
    root = ROOT / "fastnn"
    paths = [*root.rglob("*.py"), root / "_core.pyi"]
    names = [".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__") for path in paths]
    return {name.removesuffix(".") or "fastnn": path for name, path in zip(names, paths, strict=True)}


MODULES = sources()


def imports(module: str, text: str) -> set[str]:
    """Return the modules of the package that a module imports; importing a name from a package imports the package."""
    return {target for name in _imported(module, ast.parse(text)) if (target := _module(name)) is not None} - {module}


def _imported(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield dotted names, whose last part may be a name within a module."""
    package = ["fastnn", *module.split(".")] if module != "fastnn" else ["fastnn"]
    if MODULES[module].name != "__init__.py":
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def _module(name: str) -> str | None:
    """Return the module of the package that a dotted name denotes or lies in."""
    if name.partition(".")[0] != "fastnn":
        return None
    inner = name.removeprefix("fastnn").removeprefix(".")
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner or "fastnn"


def includes() -> tuple[Edges, set[str]]:
    """Return which files of csrc/ each file includes, and the folders, with dots instead of slashes."""
    root = ROOT / "csrc"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in (".h", ".cpp", ".inc", ".cu")}
    edges: Edges = {}
    for file in files:
        quoted = re.findall(r'^\s*#\s*include\s+"([^"]+)"', (root / file).read_text(), re.M)
        beside = {name: str(Path(file).parent / name) for name in quoted}
        edges[file] = {name if name in files else beside[name] for name in quoted if {name, beside[name]} & files}
    return edges, {folder(file) for file in files}


def folder(file: str) -> str:
    """Return `a.b` for a/b/c.h."""
    return ".".join(Path(file).parent.parts)


def up(edges: Edges, floor: dict[str, str]) -> list[str]:
    """Return the edges that go up; adapters stand just below the highest floor, and only that floor may use them."""
    last = max(int(number) for number in floor.values() if number != ADAPTERS)
    height = {module: last - 0.5 if number == ADAPTERS else float(number) for module, number in floor.items()}
    return [f"{a} -> {b}" for a, targets in edges.items() for b in targets if height[a] < height[b]]


def circle(edges: Edges) -> list[str]:
    """Return the modules of a cycle, if there is one."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def python_edges() -> Edges:
    """Return every import of the package, without the stub, which is not code."""
    return {name: imports(name, path.read_text()) for name, path in MODULES.items() if path.suffix == ".py"}


def test_imports_point_down() -> None:
    """No import goes up; there are no exceptions."""
    assert up(python_edges(), floors("Floors of the package", set(MODULES))) == []


def test_no_circles_of_modules() -> None:
    """Modules import each other without cycles, also on the same floor."""
    assert circle(python_edges()) == []


def test_nothing_imports_an_adapter() -> None:
    """Adapters are imported only on request: by the command line, or by name."""
    floor = floors("Floors of the package", set(MODULES))
    found = [(a, b) for a, targets in python_edges().items() for b in targets if floor[b] == ADAPTERS != floor[a]]
    assert [edge for edge in found if edge[0] != "__main__"] == []


def test_faces_hold_no_code() -> None:
    """The `__init__` of a package only re-exports names, at once or on demand, or reports a missing package.

    The one of fastnn itself also finds out which modules exist.
    """
    for name, path in MODULES.items():
        if path.name == "__init__.py" and name != "fastnn":
            docstring, *body = ast.parse(path.read_text()).body
            assert isinstance(docstring, ast.Expr) and all(map(_re_exports, body)), name


def _re_exports(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Try | ast.If)


def test_includes_point_down() -> None:
    """Includes in csrc/ point down, too; its floors are folders."""
    edges, folders = includes()
    floor = floors("Floors of csrc", folders)
    assert up(edges, {file: floor[folder(file)] for file in edges}) == []
    assert circle(edges) == []


@pytest.mark.parametrize(
    ("module", "text", "want"),
    [
        ("plot", "from fastnn import nn", {"nn"}),
        ("plot", "def f():\n    from fastnn.nn.module import Module", {"nn.module"}),
        ("plot", "if TYPE_CHECKING:\n    from fastnn.nn import Module", {"nn"}),
        ("plot", "import fastnn.nn.module as m, numpy", {"nn.module"}),
        ("plot", "from fastnn import isa", {"fastnn"}),
        ("plot", "import fastnn", {"fastnn"}),
        (
            "nn.module",
            "from . import container\nfrom .. import plot\nfrom .pool import MaxPool2d",
            {"nn.container", "plot", "nn.pool"},
        ),
        ("nn", "from . import pool", {"nn.pool"}),
        ("plot", "importlib.import_module('fastnn.nn')\n__import__('fastnn.optim')", {"nn", "optim"}),
        ("plot", "from fastnn import plot\nimport fastnnother", set()),
    ],
)
def test_the_reader_of_imports(module: str, text: str, want: set[str]) -> None:
    """`imports` finds all imports in the text of a module."""
    assert imports(module, text) == want


def test_violations_are_found() -> None:
    """`up` and `circle` find an edge that goes up, an edge to an adapter, and a cycle."""
    floor = {"a": "1", "b": "2", "torch": ADAPTERS, "fastnn": "3"}
    edges: Edges = {"a": {"b"}, "b": {"a", "torch"}, "torch": {"b", "fastnn"}, "fastnn": {"torch"}}
    assert sorted(up(edges, floor)) == ["a -> b", "b -> torch", "torch -> fastnn"]
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}
    assert circle({"a": {"b"}, "b": set()}) == []
    with pytest.raises(AssertionError, match="no row of 'Floors of csrc' names them"):
        floors("Floors of csrc", {"steps", "unknown"})
    with pytest.raises(AssertionError, match="'Floors of csrc' names what is not there"):
        floors("Floors of csrc", {"steps"})


FIRST = """
import os, sys
import numpy
for name in sys.argv[1:]:
    if (child := os.fork()) == 0:
        __import__(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


def test_every_module_can_be_imported_first() -> None:
    """Every module can be imported first: none relies on an earlier import, as partly loaded packages would."""
    optional = ("torch", "_threadpoolctl", "__main__")
    names = [f"fastnn.{name}" for name in MODULES if name != "fastnn" and name.partition(".")[0] not in optional]
    assert len(names) > 100
    done = subprocess.run([sys.executable, "-c", FIRST, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
