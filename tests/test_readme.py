"""What the README says is so: its table is the last measurement's, its code runs."""

import re
from pathlib import Path

import numpy as np
import pytest
import readme

TEXT = (readme.ROOT / "README.md").read_text()
BLOCKS = [
    (page.name, block)
    for page in sorted((readme.ROOT / "docs").glob("*.md"))
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
]


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


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_code_of_the_pages_runs(page, block):
    """Each block by itself."""
    if "import torch" in block:
        pytest.importorskip("torch")
    exec(block, {"array": lambda *shape: np.ones(shape, np.float32)})


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_links_lead_somewhere(link):
    """Every file that the README points at is there."""
    assert Path(readme.ROOT / link).exists()
