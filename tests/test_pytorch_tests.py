"""tests/pytorch, which runs PyTorch's tests with fastnn's classes: it counts what concerns fastnn, and finds faults."""

import importlib
import sys
import tarfile
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
    """The command finds a step that does nothing and a norm that returns its input; without them it succeeds."""
    pytest.importorskip("expecttest")
    (tmp_path / "test").mkdir()
    for name in ("test_optim.py", "test_modules.py"):
        (tmp_path / "test" / name).write_text(SUITE)
    monkeypatch.setenv("PYTORCH_SOURCE", str(tmp_path))
    monkeypatch.setattr(run, "SUITES", {"modules": ("test_modules.py",), "unused": ()})
    assert run.main(["modules"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "modules",
        "fastnn.torch",
        *map(str, (4, 3, 2, 2, 1, 0)),
    ]
    (tmp_path / "fault.py").write_text(FAULT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p fault")
    assert run.main(["modules"]) == 1
    told = capsys.readouterr().out
    assert [line.split("::")[1].split(":")[0] for line in told.splitlines() if "::" in line] == [
        "test_norm",
        "test_step",
    ]


def outcome(outcome="passed", error="", made=("nn.LayerNorm",)):
    """What the plugin writes of a test."""
    return {"outcome": outcome, "error": error, "made": list(made), "kernels": ["layer_norm"]}


@pytest.mark.parametrize(
    ("control", "swapped", "tests", "torch", "named", "failure"),
    [
        (outcome(), outcome(), 1, 1, 0, None),
        (outcome(), outcome("failed", "ValueError: x"), 1, 1, 0, "failed: ValueError: x"),
        (outcome(), outcome("failed", "ValueError: second"), 1, 1, 1, None),
        (outcome(), outcome("skipped", "no reason"), 1, 1, 0, "skipped: no reason"),
        (outcome(), outcome(made=()), 1, 1, 0, "passed, but made no object of fastnn's classes"),
        (outcome(), None, 1, 1, 0, "did not run"),
        (outcome("failed"), outcome("failed"), 1, 0, 0, None),
        (outcome("failed"), outcome(), 1, 0, 0, None),
        (outcome("skipped"), outcome(), 0, 0, 0, None),
        (outcome(made=()), outcome("failed"), 0, 0, 0, None),
        (outcome(made=("optim.SGD",)), outcome("failed"), 0, 0, 0, None),
    ],
)
def test_comparison(run, control, swapped, tests, torch, named, failure):
    """A test counts if it makes a module of torch; if it fails only with fastnn's, that is named or a failure."""
    known = [
        run.compare.Difference(*row) for row in (("", "first", "", "no such error"), ("", "second", "a_test", "second"))
    ]
    got = run.compare.compare({"a_test": control}, {"a_test": swapped} if swapped else {}, known, "nn")
    failures = {"a_test": failure} if failure else {}
    passed = torch - named - len(failures)
    assert got == (tests, torch, passed, passed, Counter({"second": 1} if named else {}), failures)


def test_differences_are_documented(run, monkeypatch, tmp_path):
    """Every difference is a row of the table in the documentation, and another name is refused."""
    assert run.compare.differences()
    page = tmp_path / "torch.md"
    page.write_text("## Differences from PyTorch\n\n| second | yes | no |\n\n## Others\n\n| batched gradients | | |\n")
    monkeypatch.setattr(run.compare, "PAGES", dict.fromkeys(run.compare.PAGES, page))
    with pytest.raises(ValueError, match="want a row of 'Differences from PyTorch'"):
        run.compare.differences()


def test_a_difference_that_explains_nothing(run, monkeypatch, capsys, tmp_path):
    """The command fails if a difference is named that no test shows, or if no kernel of fastnn runs."""
    monkeypatch.setattr(run.fetch, "tests", lambda: tmp_path)
    monkeypatch.setattr(run, "outcomes", lambda *_: {"a_test": outcome()})
    assert run.main([]) == 1
    assert "'second derivatives' explains no failure" in capsys.readouterr().out
    monkeypatch.setattr(run.compare, "differences", list)
    assert run.main([]) == 0
    monkeypatch.setattr(run, "outcomes", lambda *_: {"a_test": outcome() | {"kernels": []}})
    assert run.main([]) == 1


def test_sources(run, monkeypatch, tmp_path):
    """PYTORCH_SOURCE is a folder or a tarball with PyTorch's tests; apt is not asked."""
    monkeypatch.setattr(run.fetch, "ROOT", tmp_path / "here")
    monkeypatch.setattr(run.fetch, "_download", None)
    source = tmp_path / "pytorch"
    source.mkdir()
    monkeypatch.setenv("PYTORCH_SOURCE", str(source))
    with pytest.raises(run.fetch.FetchError, match=r"got .*pytorch, want PyTorch's sources, with test/test_optim.py"):
        run.fetch.tests()
    for name in run.fetch.NEEDED:
        path = source / name
        (path if path.suffix else path / "x").parent.mkdir(parents=True, exist_ok=True)
        (path if path.suffix else path / "test_x.py").write_text("")
    assert run.fetch.tests() == source / "test"
    with tarfile.open(tmp_path / "pytorch.tar.xz", "w:xz") as tarball:
        tarball.add(source, "pytorch-v2.6.0")
    monkeypatch.setenv("PYTORCH_SOURCE", str(tmp_path / "pytorch.tar.xz"))
    assert run.fetch.tests() == tmp_path / "here/build/pytorch/test"
    assert (tmp_path / "here/build/pytorch/test/optim/test_x.py").exists()
