"""Matrix products. They mix the elements of rows, unlike the kernels of table.py: test_matmul.py and test_linear.py."""

from typing import Any

import numpy as np
from c_api import ACTIVATIONS, C_P, HERE, generator

from fastnn import functional as F


def _c_gemm(c: Any, a: Any) -> Any:
    left, right, y = a(6, 9), a(5, 9), a(6, 10)
    got = y.copy()
    c.gemm(got, left, right, 6, 5, 9, 10, 9, 1, 1, 9, 1)
    want = y.copy()
    want[:, :5] += F.matmul(left, right.T)
    return [got], [want]


def _c_linear(c: Any, a: Any) -> Any:
    x, weight, bias, y, product = a(6, 9), a(5, 9), a(5), a(6, 5), a(6, 5)
    c.linear(y, product, x, weight, bias, 6, 9, 5, ACTIVATIONS.index("gelu"), 0.0, 0.0, C_P, HERE)
    want = F.linear(x, weight, bias, "gelu", C_P, generator=generator())
    return [y, product], [want, np.ascontiguousarray(F.matmul(x, weight.T))]


C_CASES = {"gemm": _c_gemm, "linear": _c_linear}

SIGNATURES = (
    "LinearSaved(at, mask)",
    "linear(x, weight, bias=None, activation='identity', p=0.0, training=True, *, alpha=None, generator=None, "
    "out=None, return_saved=False)",
    "linear_backward(dy, x, weight, bias=None, activation='identity', saved=None, *, alpha=None, input_grad=True)",
    "matmul(a, b, *, out=None)",
)
