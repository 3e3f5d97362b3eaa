"""Every kernel in kernels.inc has tests, a C function and a benchmark, or an exception with its reason below."""

import re
from pathlib import Path

import pytest
from c_api import HEADER
from kernels import KERNELS
from variants import NAMES

from fastnn.benchmark import check, find_torch
from fastnn.benchmark.cases import CASES
from fastnn.benchmark.operations.optimizers import STATES

LIST = Path(__file__).parents[1] / "csrc" / "kernels" / "kernels.inc"
if not LIST.exists():
    pytest.skip("the sources are not beside the tests", allow_module_level=True)
ROWS = re.findall(r"^FASTNN_(\w*KERNEL|OPTIMIZER)\((\w+)(?:.* (\w+))?\)$", LIST.read_text(), re.M)
OPTIMIZERS = {name: python for kind, name, python in ROWS if kind == "OPTIMIZER"}
LISTED = {name for kind, name, _ in ROWS if kind != "OPTIMIZER"}

# For kernels without a row of their own name: the row, or else the test file, that tests them.
TESTED = {
    "activation": "relu",
    "activation_backward": "relu_backward",
    "softmax_cross_entropy_soft": "softmax_cross_entropy-soft",
    "elementary": "test_elementary.py",
    "bias_activation_range": "test_linear.py",
    "gemm": "test_matmul.py",
    "integers": "test_fill.py",
    "permutation": "test_fill.py",
    "philox": "test_random.py",
}
NOT_IN_C = {
    "bias_activation_range": "a part of `linear`",
    "elementary": "the functions that activations are made of, for their tests",
    "stream": "the ceiling of benchmarks",
}
NOT_BENCHMARKED = {
    "bias_activation_range": "a part of `linear`: bench/test_product_bars.py",
    "dropout_add_layer_norm": "reads two arrays and writes two, for which there is no ceiling: bench/test_op_bars.py",
    "dropout_add_layer_norm_backward": "the same",
    "elementary": "the functions that activations are made of, for their tests",
    "gemm": "limited by arithmetic, not by memory: bench/test_product_bars.py",
    "integers": "not of float32",
    "permutation": "not of float32: bench/test_random_bars.py",
    "philox": "the words that every fill draws",
    "stream": "the ceiling itself",
}


def test_the_list_is_read() -> None:
    """The pattern matches every row of the list."""
    lines = [line for line in LIST.read_text().splitlines() if re.match(r"FASTNN_\w+\(\w+[,)]", line)]
    assert len(lines) == len(ROWS) == len(LISTED) + len(OPTIMIZERS)


def test_every_kernel_has_a_row_of_tests() -> None:
    assert LISTED - {name.split("-")[0] for name in KERNELS} == set(TESTED)
    assert all(where in KERNELS or Path(__file__).with_name(where).exists() for where in TESTED.values())
    assert set(OPTIMIZERS.values()) == set(NAMES) - {"AdamW"}  # AdamW is Adam with other options


def test_every_kernel_is_in_the_c_api() -> None:
    functions = HEADER.tables["f32"].keys() | HEADER.tables["common"].keys()
    assert (LISTED | set(OPTIMIZERS)) - functions == set(NOT_IN_C)


def test_every_kernel_has_a_benchmark() -> None:
    measured = {getattr(make, "__name__", "") for make in CASES.values()}
    assert LISTED - measured == set(NOT_BENCHMARKED)
    assert set(OPTIMIZERS.values()) == set(STATES) - {"AdamW"}


@pytest.mark.parametrize("name", CASES)
def test_sides_of_a_benchmark_agree(name: str) -> None:
    check(CASES[name](1 << 12, find_torch()))
