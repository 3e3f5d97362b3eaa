"""The README and the pages of docs/ are right: tables show the last measurement, code runs, files exist."""

import re
import sys

import numpy as np
import pytest

readme = pytest.importorskip("readme", reason="no sources beside the tests")
if not (readme.ROOT / "bench/results").is_dir():
    pytest.skip("no measurements: the sources are those of an sdist", allow_module_level=True)

TEXT = (readme.ROOT / "README.md").read_text()
PAGES = sorted((readme.ROOT / "docs").rglob("*.md"))
NAMES = {str(page.relative_to(readme.ROOT)): page for page in (*sorted(readme.ROOT.glob("*.md")), *PAGES)}
BLOCKS = {name: re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S) for name, page in NAMES.items()}
CODE = {name: [code for language, code in BLOCKS[name] if language == "python"] for name in NAMES if "/" in name}
PREDICT = "test_predict_command.py::"
TWO_RUNS = "test_cli_ends.py::test_two_runs_of_the_same_second"
TEST_OF_C = "test_examples.py::test_c"
# Shell commands shown on a page, and the test that runs each, or why there is none.
COMMANDS = {
    "make demo": "test_demo.py::test_command_train",
    "make test": "this very run",
    "python -m fastnn train --config examples/digits.toml": "test_cli.py::test_digits_example",
    "python -m fastnn report runs/<time>": "test_demo.py::test_command_train",
    "python -m fastnn predict runs/<time> --input x.npy --output y.npy": f"{PREDICT}test_a_run",
    "python -m fastnn predict model.safetensors --input x.csv --output y.csv --proba": f"{PREDICT}test_tables",
    "python -m fastnn predict model.safetensors --input x.csv --output y.csv --labels": f"{PREDICT}test_tables",
    "OMP_NUM_THREADS=1 taskset -c 0 python -m fastnn train --config a.toml &": TWO_RUNS,
    "OMP_NUM_THREADS=1 taskset -c 1 python -m fastnn train --config b.toml &": TWO_RUNS,
    "wait": "none: it is the shell's",
    "python -m fastnn info": "test_demo.py::test_command_info",
    "python -m fastnn bench": "none: it measures for 20 seconds, and bench/ calls the same cases",
    "pip install .": "none: `make wheel` builds the package, `make wheel-test` installs it",
    "cd examples/cython && python setup.py build_ext --inplace": "test_examples.py::test_cython",
    'cmake -S . -B build -Dfastnn_DIR=$(python -c "import fastnn; print(fastnn.get_cmake_dir())")': TEST_OF_C,
    "cmake --build build": TEST_OF_C,
}


@pytest.mark.parametrize("page", readme.PAGES)
def test_tables_are_the_measured_ones(page):
    """`make readme` would change nothing."""
    text = (readme.ROOT / page).read_text()
    assert readme.filled(text) == text


def test_code_runs():
    """Every Python block runs, one after the other, on small arrays."""
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
    """The blocks of a page run, one after the other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    if any("import torch" in block for block in CODE[page]):
        pytest.importorskip("torch")
    names = {"array": lambda *shape: np.ones(shape, np.float32)}
    for block in CODE[page]:
        exec(block, names)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def test_commands_are_tried():
    """Every command shown on a page is listed above with a test, and that test exists."""
    blocks = [code for page in BLOCKS.values() for language, code in page if language in ("", "sh", "console")]
    assert {re.sub(r" +#.*", "", line) for line in "".join(blocks).splitlines()} == COMMANDS.keys()
    for file, test in (by.split("::") for by in COMMANDS.values() if "::" in by):
        assert f"\ndef {test}(" in (readme.ROOT / "tests" / file).read_text()


@pytest.mark.parametrize("page", NAMES.values(), ids=NAMES)
def test_files_are_there(page):
    """Every file that a page links to or names by its path exists."""
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    named = [readme.ROOT / path for path in re.findall(r"`((?:bench|csrc|docs|fastnn|tests)/[\w./]+)`", text)]
    assert [str(path) for path in links + named if not path.exists()] == []
