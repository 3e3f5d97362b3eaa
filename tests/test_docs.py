"""The API pages have an entry for every name that Griffe and docs/hooks.py find in the sources."""

import importlib
import importlib.util
import re
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if not (DOCS / "hooks.py").exists():
    pytest.skip("no documentation beside the tests", allow_module_level=True)
griffe = pytest.importorskip("griffe", reason="`make docs` installs it")
torch = pytest.importorskip("torch")
MODULES = ["fastnn.torch", *(f"fastnn.torch.{name}" for name in ("functional", "init", "nn", "optim"))]


@pytest.fixture(scope="module")
def package() -> Any:
    """The package as the site's pages show it."""
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None and spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return griffe.load("fastnn", search_paths=[ROOT], extensions=griffe.Extensions(hooks.Docstrings()))


def _names(module: Any) -> list[str]:
    functions = [name for name, value in vars(module).items() if isfunction(value)]
    return getattr(module, "__all__", [name for name in functions if hasattr(torch.nn.functional, name)])


@pytest.mark.parametrize("name", MODULES)
def test_every_name_for_torch_has_an_entry(name: str, package: Any) -> None:
    """Every public name has an entry or is mentioned; undocumented and merely imported names have no entry."""
    page = (DOCS / "api/torch.md").read_text()
    told = {*re.findall(r"`(\w+)`", page), *(module.rpartition(".")[2] for module in MODULES)}
    members = package[name.partition(".")[2]].members
    shown = {key for key, member in members.items() if member.is_public and member.has_docstrings}
    assert f"::: {name}\n" in page
    names = _names(importlib.import_module(name))
    assert names and [key for key in names if key not in shown | told] == []
