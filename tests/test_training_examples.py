"""The examples of trainings run, and stay as short as the page about them says; each asserts its own result."""

import runpy
import sys
from pathlib import Path

import pytest

import fastnn

EXAMPLES = Path(__file__).parents[1] / "examples" / "training"
if not EXAMPLES.exists():
    pytest.skip("the examples are not beside the tests", allow_module_level=True)
PAGE = EXAMPLES.parents[1] / "docs" / "examples.md"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def run(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch, directory: Path) -> dict[str, object]:
    """Run an example in a directory of its own, and return its variables."""
    monkeypatch.chdir(directory)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "memory_map"])
def test_an_example_runs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if name == "dataloader":
        pytest.importorskip("torch")
    if name == "save_and_load":
        pytest.importorskip("safetensors")
        if not hasattr(fastnn, "save"):
            pytest.skip("fastnn has no save")
    assert run(name, monkeypatch=monkeypatch, directory=tmp_path)


def test_classification_without_scikit_learn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert run("classification", monkeypatch=monkeypatch, directory=tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the example reads the memory from /proc")
def test_a_memory_map_needs_no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """160 MB of data take less than 60 MB more than the process has already."""
    before = int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) // 1024
    names = run("memory_map", "50000", monkeypatch=monkeypatch, directory=tmp_path)
    assert names["x"].nbytes > 150e6  # type: ignore[attr-defined]
    assert names["memory"].most - before < 60  # type: ignore[attr-defined]
    assert names["history"]["average_precision"][-1] > 0.9  # type: ignore[index]
    blocks = (tmp_path / "x.npy").stat().st_blocks * 512
    assert blocks < 40e6, "the file is not sparse"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_on_the_page(name: str) -> None:
    """Fewer than 40 lines, without several statements in one."""
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len(lines) < 40 and not any(";" in line.partition("#")[0].partition('"')[0] for line in lines)
    if PAGE.exists():
        assert f"(../examples/training/{name}.py)" in PAGE.read_text()
