"""Turns the loss of a batch into its part of the mean over all samples of an optimizer step."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from inspect import ismethod
from typing import Any

import numpy as np

from fastnn import functional as F
from fastnn import nn
from fastnn._checks import is_ours, not_negative, single
from fastnn._trees import Tree, is_tree, length, map_leaves, named_leaves, rows
from fastnn._types import Array, Float64
from fastnn.data.source import Samples
from fastnn.metrics.outputs import Task
from fastnn.training.roles import remedy_of_name
from fastnn.training.weighing import Weighing, Weights
from fastnn.training.windows import Batch

Loss = Callable[[Any, Any], tuple[float, Any]]
"""(outputs, targets) -> (loss, gradient). A loss may have `task`, see `fastnn.metrics`; `reduction`, "sum" if it is not
a mean; `ignore_index`; check(output, target, name), which raises unless the targets can be its own; counts(targets),
the weight of each sample in its mean; and each(outputs, targets), the loss of each sample and the gradient of their
sum.
"""

FUNCTIONS: dict[Any, Any] = {
    F.softmax_cross_entropy: nn.CrossEntropyLoss,
    F.nll_loss: nn.NLLLoss,
    F.mse_loss: nn.MSELoss,
    F.l1_loss: nn.L1Loss,
    F.huber_loss: nn.HuberLoss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.kl_div: nn.KLDivLoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}
"""The modules of losses that are given as functions."""


class Losses:
    """The weighted sum of several losses, for a model with several outputs.

    Args:
        losses: a dict or tuple of losses, as the model's outputs and the targets are one.
        weights: the factor of each loss, in the same form; None for ones.
    """

    task: Task = None

    def __init__(self, losses: Mapping[Any, Loss] | tuple[Loss, ...], weights: Any = None) -> None:
        self.losses: dict[Any, Any] = dict(losses.items() if isinstance(losses, Mapping) else enumerate(losses))
        self.losses = {key: as_loss(loss) for key, loss in self.losses.items()}
        given = {} if weights is None else dict(weights.items() if isinstance(weights, Mapping) else enumerate(weights))
        if given.keys() - self.losses.keys():
            raise ValueError(f"loss_weights: got {list(given)}, want factors for losses among {list(self.losses)}")
        self.weights = {key: not_negative("loss_weights", given.get(key, 1.0)) for key in self.losses}
        self.last = dict.fromkeys(self.losses, (math.nan, 0.0))
        """The value of every loss, without its factor, and its weight, for the last batch."""

    def __call__(self, outputs: Tree, targets: Tree) -> tuple[float, Tree]:
        """Return the weighted sum and its gradient with respect to every output."""
        total, gradients = 0.0, {}
        for key, (loss, output, target) in self._parts(outputs, targets).items():
            value, gradient = mean_loss(loss, output, target, _total(counts(loss, target), target))
            total += self.weights[key] * value
            gradients[key] = scaled(loss, gradient, self.weights[key])
        return total, gradients if isinstance(outputs, dict) else tuple(gradients.values())

    def of_batch(self, outputs: Tree, batch: Batch) -> tuple[Float64, Tree]:
        """Return the mean of every loss over a batch times its factor, and the gradient as `batch_loss` does.

        Each loss has its own weights of samples, and so its own share of the window.
        """
        values, gradients = np.empty(len(self.losses)), {}
        weights, shares = (np.broadcast_to(value, len(values)) for value in (batch.weight, batch.share))
        for i, (key, (loss, output, target)) in enumerate(self._parts(outputs, batch.labels).items()):
            part = batch._replace(labels=target, weight=float(weights[i]), share=float(shares[i]))
            value, gradient = batch_loss(loss, output, part)
            self.last[key] = value, float(weights[i])
            values[i] = self.weights[key] * value
            gradients[key] = scaled(loss, gradient, self.weights[key])
        return values, gradients if isinstance(outputs, dict) else tuple(gradients.values())

    def counts(self, targets: Tree) -> Float64:
        """Return (N, number of losses), the weight of every sample in the mean of each loss."""
        self._check_keys("the targets", targets)
        found = [(counts(loss, targets[key]), length(targets[key])) for key, loss in self.losses.items()]
        return np.stack([np.ones(n) if part is None else part for part, n in found], axis=1)

    def check(self, outputs: Tree, targets: Tree, name: str) -> None:
        """Raise unless every loss accepts its targets."""
        for key, (loss, output, target) in self._parts(outputs, targets).items():
            check_targets(loss, output, target, f"{name}[{key!r}]")

    def _parts(self, outputs: Tree, targets: Tree) -> dict[Any, tuple[Any, Any, Any]]:
        self._check_keys("the model's result", outputs)
        self._check_keys("the targets", targets)
        return {key: (loss, outputs[key], targets[key]) for key, loss in self.losses.items()}

    def _check_keys(self, name: str, tree: Tree) -> None:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if is_tree(tree) else None
        if keys is None or set(keys) != set(self.losses):
            got = type(tree).__name__ if keys is None else f"keys {keys}"
            raise ValueError(f"loss: got {list(self.losses)} and {name} with {got}, want one output and one target for "
                             "each loss")  # fmt: skip

    def __repr__(self) -> str:
        return f"Losses({{{', '.join(f'{k!r}: {name_of(v)}' for k, v in self.losses.items())}}}, {self.weights})"


def as_loss(loss: Any, weights: Any = None) -> Any:
    """Return the loss that is trained: the module of a known function, `Losses` for several, anything else as it is.

    Raises:
        TypeError: it is a class, or not callable.
    """
    if isinstance(loss, Mapping | tuple | list):
        return Losses(loss if isinstance(loss, Mapping) else tuple(loss), weights)
    if weights is not None:
        raise TypeError("loss_weights: got them for one loss, want several losses in a dict or a tuple")
    if isinstance(loss, type):
        raise TypeError(f"loss: got the class {loss.__name__}, want an object; write {loss.__name__}()")
    if isinstance(loss, str):
        raise TypeError(f"loss: got {loss!r}, want an object; {remedy_of_name('loss', loss)}")
    if not callable(loss):
        raise TypeError(f"loss: got {type(loss).__name__}, want a loss such as fastnn.nn.CrossEntropyLoss()")
    if hasattr(loss, "named_parameters") and hasattr(loss, "register_forward_hook"):
        raise TypeError(f"loss: got torch's {type(loss).__name__}, want a loss of arrays; "
                        f"{remedy_of_name('loss', type(loss).__name__)}")  # fmt: skip
    try:
        return FUNCTIONS[loss]() if loss in FUNCTIONS else loss
    except TypeError:  # not hashable
        return loss


def check_targets(loss: Any, output: Any, target: Any, name: str) -> None:
    """Raise unless the targets can be those of the loss; `output` is the model's result for some of them."""
    if hasattr(loss, "check"):
        loss.check(output, target, name)


def counts(loss: Any, labels: Any) -> Weights | None:
    """Return (N,), the weight of every sample in the loss's own mean, or None for ones."""
    found: Weights | None = loss.counts(labels) if hasattr(loss, "counts") else None
    return found


def total_weight(loss: Any, samples: Samples) -> Any:
    """Return the sum of the weights of some samples in the mean of a loss, as `Batch.weight` is."""
    shares: Any = Weighing(None, partial(counts, loss)).shares(samples.y, samples.weights)
    return shares.sum(axis=0) if isinstance(loss, Losses) else _total(shares, samples.y)


def _total(shares: Weights | None, labels: Tree) -> float:
    return float(length(labels)) if shares is None else float(shares.sum())


def in_window(loss: Any, batch: Batch) -> tuple[float, float]:
    """Return what a batch with this loss, as `batch_loss` returns it, adds to the mean loss of its window, and to its
    weight."""
    if isinstance(batch.weight, float):
        return (batch.share * loss, batch.weight) if batch.weight else (0.0, 0.0)
    return float(np.sum(batch.share * loss, where=batch.weight > 0)), float(batch.weight.sum())


def mean_loss(loss: Any, outputs: Any, labels: Any, total: float) -> tuple[float, Any]:
    """Return the loss as a mean over samples with the weight `total`, also if it is a sum, and its own gradient.

    Raises:
        TypeError: the loss does not return (loss, gradient).
    """
    result = loss(outputs, labels)
    if not isinstance(result, tuple) or len(result) != 2:
        got = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(
            f"loss: got {got} from {name_of(loss)}, want (loss, gradient with respect to the model's result)"
        )
    value, gradient = single(result[0]), result[1]
    if gradient is None or value is None:
        got = f"a loss of shape {shape}" if (shape := np.shape(result[0])) else f"a loss of {type(result[0]).__name__}"
        got = "no gradient" if gradient is None else got
        raise TypeError(f"loss: got {got} from {name_of(loss)}, want one number and its gradient")
    if not is_ours(loss):
        _check_gradient(loss, outputs, gradient)
    if getattr(loss, "reduction", "mean") == "sum":
        value = value / total if total else math.nan
    return value, gradient


def scaled(loss: Any, gradient: Tree, factor: float) -> Tree:
    """Return the gradient of a loss times a number; a loss of one's own may need the memory of what it returned."""
    out = is_ours(loss)
    return map_leaves(lambda part: np.multiply(part, part.dtype.type(factor), out=part if out else None), gradient)


def _check_gradient(loss: Any, outputs: Tree, gradient: Tree) -> None:
    """Raise TypeError unless the gradient has the form, shapes and dtypes of the model's result."""
    wanted = dict(named_leaves("output", outputs)) if isinstance(gradient, dict | tuple) or is_tree(outputs) else {}
    found = dict(named_leaves("output", gradient)) if wanted else {"output": gradient}
    wanted = wanted or {"output": outputs}
    for place, output in wanted.items():
        part: Any = found.get(place)
        is_array = isinstance(part, np.ndarray)
        if wanted.keys() == found.keys() and is_array and (part.shape, part.dtype) == (output.shape, output.dtype):
            continue
        got = f"{part.dtype} {part.shape}" if is_array else type(part).__name__
        remedy = "give every element its own derivative"
        if wanted.keys() != found.keys():
            got, remedy = f"{type(gradient).__name__} of {list(found)}", f"return one array for each of {list(wanted)}"
        elif np.shape(part) == output.shape:
            remedy = f"return np.asarray(gradient, {place}.dtype)"
        raise TypeError(f"loss: got a gradient of {got} from {name_of(loss)}, want {output.dtype} {output.shape}, like "
                        f"the model's result; {remedy}")  # fmt: skip


def batch_loss(loss: Any, outputs: Any, batch: Batch) -> tuple[Any, Any]:
    """Return the mean loss of a batch, and its gradient as a part of the mean over the window.

    Of several losses the first is an array; see `Losses.of_batch`.
    """
    if isinstance(loss, Losses):
        return loss.of_batch(outputs, batch)
    assert isinstance(batch.weight, float) and isinstance(batch.share, float)
    if batch.weights is None:
        value, gradient = mean_loss(loss, outputs, batch.labels, batch.weight)
    else:
        value, gradient = _weighted_loss(loss, outputs, batch)
    if batch.share != 1 and getattr(loss, "reduction", "mean") != "sum":
        gradient = scaled(loss, gradient, batch.share)
    return value, gradient


def batch_value(loss: Any, outputs: Any, batch: Batch) -> Any:
    """Return the mean loss of a batch as `batch_loss` does, without a gradient where the loss can leave it out."""
    if batch.weights is not None or not is_ours(loss) or not hasattr(loss, "value"):
        return batch_loss(loss, outputs, batch)[0]
    value = loss.value(outputs, batch.labels)
    if loss.reduction != "sum":
        return value
    return value / batch.weight if batch.weight else math.nan


def each(loss: Any, outputs: Any, labels: Any) -> tuple[Array, Any]:
    """Return the loss of every sample, (N,), and the gradient of their sum.

    A loss that has no `each` is called for one sample after another.
    """
    if hasattr(loss, "each"):
        found: tuple[Array, Any] = loss.each(outputs, labels)
        return found
    single = [slice(i, i + 1) for i in range(length(labels))]
    pairs = [mean_loss(loss, rows(outputs, row), rows(labels, row), 1.0) for row in single]
    gradients = map_leaves(lambda *parts: np.concatenate(parts), *(gradient for _, gradient in pairs))
    return np.array([value for value, _ in pairs]), gradients


def name_of(loss: Any) -> str:
    """Return the name of a loss for messages and checkpoints.

    A `functools.partial` has the name of its function and the arguments that it adds, in the order of their names:
    others make another loss of it. A method has the name of its class before its own.
    """
    if isinstance(loss, partial):
        named = [f"{key}={_shown(value)}" for key, value in sorted(loss.keywords.items())]
        given = [*map(_shown, loss.args), *named]
        return name_of(loss.func) + (f"({', '.join(given)})" if given else "")
    name = getattr(loss, "__name__", None)
    if name is None:
        return repr(loss)
    return f"{type(loss.__self__).__name__}.{name}" if ismethod(loss) else str(name)


def _shown(value: Any) -> str:
    return name_of(value) if callable(value) else repr(value)


def _weighted_loss(loss: Any, outputs: Any, batch: Batch) -> tuple[float, Any]:
    values, gradient = each(loss, outputs, batch.labels)
    is_sum, weights, total = getattr(loss, "reduction", "mean") == "sum", batch.weights, batch.weight
    assert weights is not None and isinstance(total, float)
    # `each` leaves out the weight of a sample in the loss's own mean.
    own = None if is_sum else counts(loss, batch.labels)
    factors = weights if own is None else weights * own
    scale = factors / total if total and not is_sum else factors
    if not is_ours(loss):
        _check_gradient(loss, outputs, gradient)
    out = is_ours(loss)

    def weighted(part: Array) -> Array:
        by_row = scale.astype(part.dtype).reshape(-1, *[1] * (part.ndim - 1))
        return np.multiply(part, by_row, out=part if out else None)

    mean = float(np.multiply(factors, values, dtype=float).sum()) / total if total else math.nan
    return mean, map_leaves(weighted, gradient)
