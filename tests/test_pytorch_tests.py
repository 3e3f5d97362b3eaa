"""tests/pytorch, which runs PyTorch's tests with fastnn's classes: it counts what concerns fastnn, and finds faults."""

import importlib
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "pytorch"
if not (HERE.parents[1] / "docs/torch.md").exists():
    pytest.skip("no sources beside the tests", allow_module_level=True)
pytest.importorskip("torch")

SUITE = """
import torch
from torch import nn

def test_step():
    p = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([p], lr=0.1)
    p.grad = torch.ones(3)
    optimizer.step()
    assert (p < 1).all()

def test_norm():
    assert abs(nn.LayerNorm(8)(torch.arange(8.0)).mean()) < 1e-6

def test_second_derivative():
    x = torch.arange(8.0, requires_grad=True)
    (dx,) = torch.autograd.grad(nn.LayerNorm(8)(x).square().sum(), x, create_graph=True)
    dx.sum().backward()

def test_older_than_torch():
    nn.LayerNorm(8).forgotten

def test_of_another_class():
    nn.Linear(8, 8)

def test_of_another_class_that_fails():
    nn.Linear(8)
"""
FAULT = """
import fastnn.torch

fastnn.torch.optim.AdamW.step = lambda self, closure=None: None
fastnn.torch.nn.LayerNorm.forward = lambda self, input: input
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command, with a folder of its own for what it writes."""
    monkeypatch.syspath_prepend(HERE)
    modules = [importlib.import_module(name) for name in ("fetch", "compare", "run")]
    monkeypatch.setattr(modules[-1], "FOLDER", tmp_path / "outcomes")
    yield modules[-1]
    for module in modules:
        del sys.modules[module.__name__]


def test_faults_are_found(run, tmp_path, monkeypatch, capsys):
    """The command succeeds with fastnn's classes, and fails with a step that does nothing and a norm that does not norm."""
    pytest.importorskip("expecttest")
    (tmp_path / "test").mkdir()
    for name in ("test_optim.py", "test_modules.py"):
        (tmp_path / "test" / name).write_text(SUITE)
    monkeypatch.setenv("PYTORCH_SOURCE", str(tmp_path))
    monkeypatch.setattr(run, "SUITES", {"modules": ("test_modules.py",), "unused": ()})
    assert run.main(["modules"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["modules", "fastnn.torch", *"4 3 2 2 1 0".split()]
    (tmp_path / "fault.py").write_text(FAULT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p fault")
    assert run.main(["modules"]) == 1
    told = capsys.readouterr().out
    assert [line.split("::")[1].split(":")[0] for line in told.splitlines() if "::" in line] == ["test_norm", "test_step"]
