"""Measures how much a BLAS product and a layer norm of its result slow each other down.

    python bench/matmul_then_norm.py [MODULE ...]

imports the modules first, since they may have thread pools of their own, and prints {"beside": ratio, "rested": ratio}
as JSON. A ratio is the time of both in turn divided by the sum of both alone. "rested" pauses before each sample until
all waiting threads sleep; "beside" does not.
"""

import importlib
import json
import sys

for module in sys.argv[1:]:
    importlib.import_module(module)

import numpy as np  # noqa: E402

from fastnn import functional as F  # noqa: E402
from fastnn.benchmark import REST, interleave  # noqa: E402


def main() -> None:
    """Assert the answer, then measure."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((128, 784), np.float32), rng.standard_normal((784, 512), np.float32)
    product = a @ b
    y = F.layer_norm(np.matmul(a, b), 512)
    exact = product.astype(np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-4)
    sides = {
        "matmul": lambda: np.matmul(a, b),
        "layer_norm": lambda: F.layer_norm(product, 512),
        "both": lambda: F.layer_norm(np.matmul(a, b), 512),
    }
    result: dict[str, object] = {}
    for name, rest in (("beside", 0.0), ("rested", REST)):
        times = {side: sample.median for side, sample in interleave(sides, 1.5, rounds=10, rest=rest).items()}
        result[name] = times["both"] / (times["matmul"] + times["layer_norm"])
        result[f"{name} us"] = {side: round(seconds * 1e6, 1) for side, seconds in times.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
