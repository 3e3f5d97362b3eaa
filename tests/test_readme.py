"""What the README and the pages of docs/ say is so: tables are the last measurement's, code runs, files exist."""

import re
import sys

import numpy as np
import pytest

readme = pytest.importorskip("readme", reason="no sources beside the tests")
if not (readme.ROOT / "bench/results").is_dir():
    pytest.skip("no measurements: the sources are those of an sdist", allow_module_level=True)

TEXT = (readme.ROOT / "README.md").read_text()
PAGES = sorted((readme.ROOT / "docs").rglob("*.md"))
CODE = {page.name: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) for page in PAGES}


@pytest.mark.parametrize("page", readme.PAGES)
def test_tables_are_the_measured_ones(page):
    """`make readme` would change nothing."""
    text = (readme.ROOT / page).read_text()
    assert readme.filled(text) == text


def test_code_runs():
    """Every block of Python, one after the other, on small arrays."""
    rng = np.random.default_rng(0)
    array = lambda *shape: rng.standard_normal(shape, np.float32)  # noqa: E731
    names = {"labels": rng.integers(0, 10, 128), "w": array(3, 4), "b": array(3), "dw": array(3, 4), "db": array(3)}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 2
    for block, shapes in zip(blocks, ({"x": (128, 784)}, {"x": (8, 768), "dy": (8, 768)}), strict=True):
        names |= {name: array(*shape) for name, shape in shapes.items()} | {"weight": array(768), "bias": array(768)}
        exec(block, names)
    assert np.isfinite(names["dx"]).all()


@pytest.mark.parametrize("page", [name for name, blocks in CODE.items() if blocks])
def test_code_of_the_pages_runs(page, tmp_path, monkeypatch):
    """One block after the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    if any("import torch" in block for block in CODE[page]):
        pytest.importorskip("torch")
    names = {"array": lambda *shape: np.ones(shape, np.float32)}
    for block in CODE[page]:
        exec(block, names)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", [*readme.ROOT.glob("*.md"), *PAGES], ids=lambda page: page.name)
def test_files_are_there(page):
    """Every one that a page links to, or names by its path."""
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    named = [readme.ROOT / path for path in re.findall(r"`((?:bench|csrc|docs|fastnn|tests)/[\w./]+)`", text)]
    assert [str(path) for path in links + named if not path.exists()] == []
