"""Symptoms that a batch shows: its inputs and targets, and what the trained model makes of them.

Source of the advice on inputs and targets: Y. LeCun et al., "Efficient BackProp", 1998, section 4.3.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn._checks import finite
from fastnn._trees import Tree, is_tree, named_leaves
from fastnn._types import AnyArray, Array
from fastnn.diagnosis.catalogue import Symptom, symptom
from fastnn.diagnosis.initial_loss import is_classes
from fastnn.nn.module import Module, call
from fastnn.nn.norm import Norm
from fastnn.nn.tracing import leaves

SCALE = (0.01, 10.0)
"""The usual root mean square of an input. Layers are initialised for 1; pixels in [0, 1] have 0.3, those to 255 80."""
OFFSET = 5.0
"""An input whose root mean square is this multiple of its features' deviations lies too far from 0."""
AT_GUESS = 0.03
"""A cross-entropy this close to that of the labels' frequencies, as a fraction of it, counts as a guess."""
CONSTANT = 1e-5
"""A result that varies by less than this fraction of its size between samples is constant, but for rounding."""
LEAST_SAMPLES = 20
"""Fewer samples say nothing about how a result depends on its input."""


def broken(name: str, data: Any) -> Iterator[Symptom]:
    """Look for NaN and infinity in the arrays of a batch, (x, y)."""
    for part, tree in zip("xy", data if isinstance(data, tuple) and len(data) == 2 else (), strict=False):
        for place, array in named_leaves(f"{name} {part}", tree):
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.ndim:
                continue
            try:
                finite(place, array)
            except ValueError as error:
                yield symptom("NaN in the data", str(error).partition(", want")[0])


def share_unlearnt(outputs: Any, y: Any) -> float:
    """Return which share of what could be known about the targets the result does not tell; NaN if that is unclear.

    For labels it is the cross-entropy over that of their frequencies, for other targets 1 minus the square of their
    correlation with the result.
    """
    if not isinstance(outputs, np.ndarray) or not isinstance(y, np.ndarray) or len(y) < LEAST_SAMPLES:
        return math.nan
    if is_classes(outputs, y):
        entropy = _entropy(y)
        rows = (y >= 0) & (y < outputs.shape[1])
        return _cross_entropy(outputs[rows], y[rows]) / entropy if entropy and rows.any() else math.nan
    if outputs.size != y.size or _are_distributions(y):
        return math.nan
    both = outputs.reshape(len(y), -1).astype(np.float64), y.reshape(len(y), -1).astype(np.float64)
    a, b = (part - part.mean(axis=0) for part in both)
    size = (np.square(a).sum(axis=0) * np.square(b).sum(axis=0))[b.any(axis=0)]
    if not size.size:
        return math.nan
    product = np.square((a * b).sum(axis=0))[b.any(axis=0)]
    return float(np.mean(1 - np.divide(product, size, out=np.zeros_like(size), where=size > 0)))


def share_of_square(outputs: Any, y: Any) -> float:
    """Return the mean squared error of a regression over the variance of its targets; NaN for anything else."""
    if not _is_regression(outputs, y):
        return math.nan
    error = outputs.reshape(y.shape).astype(np.float64) - y
    variance = float(np.mean(np.var(y, axis=0, dtype=np.float64)))
    return float(np.mean(np.square(error))) / variance if variance else math.nan


def guesses(outputs: Any, y: Any, end: float) -> Iterator[Symptom]:
    """Look for a result that tells no more of the targets than their frequencies do.

    Args:
        end: the loss at the end of the training. If it is below that of a guess, the model is not the one that was
            trained, or this batch is not like its data.
    """
    unlearnt = share_unlearnt(outputs, y)
    if not is_classes(outputs, y):
        if unlearnt >= 1 - 4 / len(y):  # twice what chance gives
            yield symptom("no better than a guess", f"on this batch the result has a correlation of "
                          f"{math.sqrt(1 - unlearnt):.2g} with the targets")  # fmt: skip
        return
    guess, frequent = _entropy(y), float(np.unique(y, return_counts=True)[1].max() / len(y))
    right = float((outputs.argmax(axis=1) == y).mean())
    chance = 2 * math.sqrt(frequent * (1 - frequent) / len(y))
    if unlearnt >= 1 - AT_GUESS and end >= (1 - AT_GUESS) * guess and right <= frequent + chance:
        yield symptom("no better than a guess", f"on this batch the model's cross-entropy is {unlearnt * guess:.4g}, "
                      f"that of the labels' frequencies {guess:.4g}; it finds {right:.0%} of the labels, and the most "
                      f"frequent one is {frequent:.0%} of them")  # fmt: skip


def constants(outputs: Any, x: Tree) -> Iterator[Symptom]:
    """Look for samples that are all equal, and for a result that is the same for different samples."""
    if is_tree(x) or len(x) < 2:
        return
    if (x == x[:1]).all():
        yield symptom("constant input", f"all {len(x)} samples of the batch are equal")
    elif isinstance(outputs, np.ndarray) and np.isfinite(outputs).all():
        values = outputs.astype(np.float64)
        varies, size = float(values.std(axis=0).max(initial=0.0)), _rms(values)
        if varies <= CONSTANT * size:
            yield symptom("constant result", f"it varies by {varies:.2g} between the samples, about {size:.2g}")


def input_scale(model: Module, x: Tree) -> Iterator[Symptom]:
    """Look at the scale of what the first layer with parameters gets; behind a norm it has no effect.

    Of several inputs nothing tells where they go, so their own scale counts. Integers are ids.
    """
    if is_tree(x):
        for place, leaf in named_leaves("x", x):
            scale = _rms(leaf)
            if leaf.dtype.kind == "f" and not SCALE[0] <= scale <= SCALE[1]:
                yield symptom("unscaled input", f"the root mean square of {place} is {scale:.3g}, want about 1")
        return
    if x.dtype.kind != "f":
        return
    place = ""
    for name, layer in leaves(model):
        place = name or type(layer).__name__
        if isinstance(layer, Norm):
            return
        if next(iter(layer.parameters()), None) is not None:
            break
        x = call(layer, x)[0]  # Flatten, or Normalize, which is the remedy
    else:
        return
    scale, spread = _rms(x), math.sqrt(float(np.mean(np.var(x, axis=0, dtype=np.float64))))
    is_far = len(x) >= LEAST_SAMPLES and scale > OFFSET * spread > 0
    if SCALE[0] <= scale <= SCALE[1] and not is_far:
        return
    first = _rms(call(layer, x)[0])
    offset = f", and its features vary by {spread:.2g} between samples" if is_far else ""
    yield symptom("unscaled input", f"its root mean square is {scale:.3g}, want about 1{offset}; "
                  f"that of the result of layer {place} is {first:.3g}")  # fmt: skip


def target_scale(outputs: Any, y: Any) -> Iterator[Symptom]:
    """Look at the scale of the targets of a regression."""
    if not _is_regression(outputs, y):
        return
    scale, spread = _rms(y), math.sqrt(float(np.mean(np.var(y, axis=0, dtype=np.float64))))
    if not SCALE[0] <= spread or scale > SCALE[1]:
        yield symptom("unscaled targets", f"they vary by {spread:.3g} around {float(np.mean(y)):.3g}, want about 1 "
                      "around 0")  # fmt: skip


def _is_regression(outputs: Any, y: Any) -> bool:
    if not isinstance(outputs, np.ndarray) or not isinstance(y, np.ndarray) or is_classes(outputs, y):
        return False
    return outputs.size == y.size and not _are_distributions(y) and not np.isin(y, (0, 1)).all()


def _rms(x: AnyArray) -> float:
    return math.sqrt(float(np.mean(np.square(x, dtype=np.float64))))


def _entropy(y: AnyArray) -> float:
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return -float(np.sum(shares * np.log(shares)))


def _cross_entropy(outputs: Array, y: AnyArray) -> float:
    shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
    own = np.take_along_axis(shifted, y[:, None].astype(np.int64), axis=1)[:, 0]
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - own))


def _are_distributions(y: AnyArray) -> bool:
    """Return whether every row of (N, C) is a distribution over classes."""
    return y.ndim > 1 and y.shape[-1] > 1 and bool((y >= 0).all() and (np.abs(y.sum(axis=-1) - 1) < 1e-4).all())
