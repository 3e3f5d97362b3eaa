"""Losses."""

from typing import Any

import numpy as np
import reference

from fastnn import functional as F
from kernels.table import ROWS, Array, Arrays, Kernel, Shape


def _entropy_inputs(shape: Shape, dtype: Any, rng: np.random.Generator) -> Arrays:
    labels = rng.integers(0, shape[1], shape[0]) if shape[1] else np.zeros(0, dtype=np.int64)
    return {"logits": (3 * rng.standard_normal(shape)).astype(dtype), "labels": labels}


def _entropy(a: Arrays, out: Array) -> Arrays:
    loss, dlogits = F.softmax_cross_entropy(a["logits"], a["labels"], out=out)
    return {"dlogits": dlogits, "loss": loss}


def _entropy_reference(a: Arrays) -> Arrays:
    loss, dlogits = reference.softmax_cross_entropy(a["logits"], a["labels"])
    return {"dlogits": dlogits, "loss": loss}


KERNELS = {
    "softmax_cross_entropy": Kernel(ROWS[1:], _entropy_inputs, _entropy, _entropy_reference, 2, in_place="logits"),
}
