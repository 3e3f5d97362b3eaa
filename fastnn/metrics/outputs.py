"""What a model's outputs mean for a task: predicted classes, and their probabilities."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastnn._checks import unmasked
from fastnn._types import Array
from fastnn.functional.activation import sigmoid
from fastnn.functional.softmax import softmax

Task = Literal["classes", "binary", "regression", "distribution"] | None
"""What a loss is for: one class of several for a row of logits, "binary" decisions from one logit each, real numbers,
or a distribution; None if the loss does not say."""


def classes_of(output: Array, task: Task) -> npt.NDArray[np.int64]:
    """Return the predicted class of every row of logits (..., C), or for "binary" logits whether each is above 0."""
    if task == "binary":
        return (output > 0).astype(np.int64)
    found: npt.NDArray[np.int64] = output.argmax(axis=-1)
    return found


def probabilities(output: Array, task: Task) -> Array:
    """Return softmax over the last axis of logits (..., C); for "binary" logits the sigmoid of each."""
    output = np.ascontiguousarray(output)
    return sigmoid(output) if task == "binary" else softmax(output, -1)


def as_binary(target: Any) -> npt.NDArray[np.int64]:
    """Return targets of 0 and 1 as integers; raise ValueError for other values."""
    unmasked("target", target)
    values = np.asarray(target)
    result = values.astype(np.int64)
    if not (np.equal(result, values).all() and ((result == 0) | (result == 1)).all()):
        raise ValueError("target: got values other than 0 and 1 for one logit, want labels 0 and 1")
    return result


def mean_of(output: Any) -> Any:
    """Return the prediction of an output of real numbers: itself, or the mean of (mean, variance)."""
    return output[0] if isinstance(output, tuple) else output
