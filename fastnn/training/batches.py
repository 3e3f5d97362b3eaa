"""Cuts an epoch into batches, and weights each batch within its optimizer step."""

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastnn import _core
from fastnn._checks import unmasked
from fastnn._trees import Tree, is_tree, length, map_leaves
from fastnn._types import FLOATS
from fastnn.data.sampler import Indices, Sampler
from fastnn.data.source import Arrays, Indexed, Samples, Source, Stream, take
from fastnn.random import Generator

TRANSFORM_STREAM = 2**63 + 2**61
"""The numbers of batch b of epoch n for a transform are drawn from this stream + 2^32 n + b of the seed."""

Weights = npt.NDArray[np.float64]
Transform = Callable[[Tree, Tree, Generator], tuple[Tree, Tree]]
"""(x, y, generator) -> (x, y) of a batch, where the generator depends on the seed, the epoch and the batch alone."""


class Batch(NamedTuple):
    """The samples of one batch. A window is the batches of one optimizer step.

    Attributes:
        x, labels: the samples and their labels or targets.
        weights: the weight of each sample, or None for ones.
        weight: the sum of the weights in the mean of the loss.
        share: the fraction of this sum in that of the window; 1 for a window without weighted samples.
        begins, ends: whether the batch is the first and the last of its window; after the last the optimizer steps.
    """

    x: Tree
    labels: Tree
    weights: Weights | None
    weight: float
    share: float
    begins: bool
    ends: bool


class Weighing(NamedTuple):
    """The weights of samples in the mean of the loss.

    Attributes:
        classes: the factor of every class, or None for ones.
        counts: (labels) -> the weight of every sample in the loss's own mean, or None for ones.
    """

    classes: Mapping[int, float] | None
    counts: Callable[[Any], Weights | None]

    def weights(self, samples: Samples) -> Weights | None:
        """Return the factor of every sample's loss, or None for ones."""
        if self.classes is None:
            return samples.weights
        result = np.ones(len(samples.y)) if samples.weights is None else samples.weights.copy()
        for label, weight in self.classes.items():
            result[samples.y == label] *= weight
        return result

    def shares(self, labels: Tree, weights: Weights | None) -> Weights | None:
        """Return the weight of every sample in the mean, or None for ones."""
        counts = self.counts(labels)
        return counts if weights is None else weights if counts is None else weights * counts


_Taken = tuple[Any, Tree, Weights | None, float]
"""A batch before its inputs are gathered: they, or a function that returns them; labels, weights, and their sum."""


class Batches:
    """The samples in the order of an epoch, cut into batches, and the batches into windows of one optimizer step each.

    The loss is a weighted mean over samples, so the gradient of a window is the mean over all its samples, however they
    are divided into batches.

    Args:
        source: the samples.
        sampler: their order; None for a `Stream`.
        seed: decides the order and the transform's random numbers, together with the number of the epoch.
        size: samples of a batch; the last batch of an epoch has the remaining ones.
        window: batches of a window; the last window has the remaining ones.
        weighing: the weights of samples.
        drop_last: leave out a last batch of fewer samples.
        transform: applied to every batch; None for none.
        convert: applied to the inputs after it.

    Raises:
        ValueError: no sample of an array has a weight.
    """

    def __init__(
        self,
        source: Source,
        sampler: Sampler | None,
        seed: int,
        size: int,
        window: int,
        weighing: Weighing,
        drop_last: bool = False,
        transform: Transform | None = None,
        convert: Callable[[Tree], Tree] = lambda x: x,
    ) -> None:
        self.source, self.sampler, self.seed, self.size, self.window = source, sampler, seed, size, window
        self._weighing, self._drop_last = weighing, drop_last
        self._transform, self._convert = transform, convert
        if isinstance(source, Arrays):
            # Closures need x only until backward has run, so all batches share the same memory.
            self._gather = _gatherer(source.x, min(size, len(source)), convert)
            # The weights of all samples are computed once.
            self._weights = weighing.weights(Samples(source.x, source.y, source.weights))
            if self._weights is not None and not self._weights.any():
                raise ValueError("sample_weight, class_weight: got nothing but 0, want a number > 0 among them")
            self._shares = weighing.shares(source.y, self._weights) if transform is None else None

    @property
    def samples(self) -> int | None:
        """The number of samples of an epoch; None if it is not known."""
        return None if self.sampler is None else len(self.sampler)

    @property
    def count(self) -> int | None:
        """The number of batches of an epoch; None if it is not known."""
        if self.sampler is None:
            assert isinstance(self.source, Stream)
            return self.source.batches
        n = len(self.sampler)
        return n // self.size if self._drop_last else -(-n // self.size)

    @property
    def windows(self) -> int | None:
        """The number of optimizer steps of an epoch; None if it is not known."""
        return None if self.count is None else -(-self.count // self.window)

    def of_epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `start` on; x of a batch is valid until the next one is taken."""
        taken = self._taken(epoch, start)
        if self.window == 1:
            for x, y, weights, weight in taken:
                yield Batch(x() if callable(x) else x, y, weights, weight, 1.0, True, True)
            return
        done = start
        while window := list(islice(taken, self.window - done % self.window)):
            ends = done + len(window)
            before = self._earlier(epoch, done) if done % self.window else 0.0
            total = before + sum(weight for *_, weight in window)
            for x, y, weights, weight in window:
                share = weight / total if total else 1.0
                begins, done = done % self.window == 0, done + 1
                yield Batch(x() if callable(x) else x, y, weights, weight, share, begins, done == ends)

    def of_window(self, step: int) -> Iterator[Batch]:
        """Yield the batches of optimizer step `step`, counted from 0 over epochs that begin with epoch 1."""
        windows = self.windows
        assert windows is not None
        epoch, window = divmod(step, windows)
        return islice(self.of_epoch(epoch + 1, window * self.window), self.window)

    def inputs(self, epoch: int) -> Iterator[Tree]:
        """Yield the inputs of an epoch's batches, in other memory than `of_epoch`, which may be between two batches."""
        apart = copy.copy(self)
        if isinstance(self.source, Arrays):
            apart._gather = _gatherer(self.source.x, min(self.size, len(self.source)), self._convert)
        return (batch.x for batch in apart.of_epoch(epoch))

    def _earlier(self, epoch: int, done: int) -> float:
        """Return the weight of the batches of the window before batch `done`, where a training is resumed."""
        first = done - done % self.window
        return sum(weight for *_, weight in islice(self._taken(epoch, first), done - first))

    def _taken(self, epoch: int, start: int) -> Iterator[_Taken]:
        raw = self._of_arrays(epoch, start) if isinstance(self.source, Arrays) else self._of_others(epoch, start)
        return raw if self._transform is None else self._transformed(self._transform, raw, epoch, start)

    def _transformed(self, transform: Transform, raw: Iterator[_Taken], epoch: int, start: int) -> Iterator[_Taken]:
        for number, (x, y, weights, _) in enumerate(raw, start):
            x = x() if callable(x) else x
            if self.window > 1:
                x = map_leaves(np.array, x)
            generator = Generator(self.seed, TRANSFORM_STREAM + 2**32 * epoch + number)
            x, y = transformed(transform, x, y, generator)
            yield self._convert(x), y, weights, self._sum(y, weights)

    def _of_arrays(self, epoch: int, start: int) -> Iterator[_Taken]:
        source, sampler = self.source, self.sampler
        assert isinstance(source, Arrays) and sampler is not None
        order, last = sampler.order(self.seed, epoch), self.count
        for number in range(start, last or 0):
            index = order[number * self.size : (number + 1) * self.size]
            weights = None if self._weights is None else self._weights[index]
            weight = float(len(index)) if self._shares is None else float(self._shares[index].sum())
            yield partial(self._gather, index), take(source.y, index), weights, weight

    def _of_others(self, epoch: int, start: int) -> Iterator[_Taken]:
        for samples in self._samples(epoch, start):
            weights = self._weighing.weights(samples)
            yield self._convert(samples.x), samples.y, weights, self._sum(samples.y, weights)

    def _samples(self, epoch: int, start: int) -> Iterator[Samples]:
        if isinstance(self.source, Stream):
            yield from self.source.iterate(start)
            return
        assert isinstance(self.source, Indexed) and self.sampler is not None
        order = self.sampler.order(self.seed, epoch)
        for number in range(start, self.count or 0):
            yield self.source.take(order[number * self.size : (number + 1) * self.size])

    def _sum(self, labels: Tree, weights: Weights | None) -> float:
        shares = self._weighing.shares(labels, weights)
        return float(length(labels)) if shares is None else float(shares.sum())


def transformed(transform: Transform, x: Tree, y: Tree, generator: Generator) -> tuple[Tree, Tree]:
    """Return the result of a transform; raise TypeError unless it is (x, y)."""
    result = transform(x, y, generator)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"transform: got {type(result).__name__} from it, want (x, y); return both")
    return result


def class_weights(y: Any, class_weight: Any) -> Mapping[int, float] | None:
    """Return the factor of every class.

    Args:
        y: (N,) labels, or None if they are not known before.
        class_weight: None; "balanced" for N / (classes * samples of the class), as in scikit-learn; a mapping from
            labels, with 1 for other labels; or numbers (C,).

    Raises:
        ValueError: a shape or range is wrong, or y does not hold labels.
    """
    if class_weight is None:
        return None
    if y is not None and (not isinstance(y, np.ndarray) or y.ndim != 1 or not np.issubdtype(y.dtype, np.integer)):
        got = f"{y.dtype}, shape {y.shape}" if isinstance(y, np.ndarray) else "several targets"
        raise ValueError(f"class_weight: got it for targets of {got}, want integer labels, (N,); pass sample_weight")
    if isinstance(class_weight, str):
        return _balanced(y, class_weight)
    if isinstance(class_weight, Mapping):
        unknown = [] if y is None else sorted(set(class_weight) - set(np.unique(y).tolist()))
        if unknown:
            raise ValueError(f"class_weight: got weights of {unknown}, want labels that occur in y")
        weights = {int(label): float(weight) for label, weight in class_weight.items()}
    else:
        unmasked("class_weight", class_weight)
        array = np.asarray(class_weight, np.float64)
        if array.ndim != 1 or (y is not None and len(array) <= y.max()):
            most = "" if y is None else f" up to {y.max()}"
            raise ValueError(f"class_weight: got shape {array.shape}, want one number for each class{most}")
        weights = dict(enumerate(array.tolist()))
    if not all(0 <= weight < np.inf for weight in weights.values()):
        raise ValueError("class_weight: got NaN, infinity or a negative number, want finite numbers >= 0")
    return weights


def _balanced(y: Any, name: str) -> Mapping[int, float]:
    if name != "balanced":
        raise ValueError(f"class_weight: got {name!r}, want 'balanced', a mapping {{label: weight}} or numbers (C,)")
    if y is None:
        raise ValueError(
            "class_weight: got 'balanced' for data whose labels are not known before, want {label: weight}"
        )
    labels, counts = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), (len(y) / (len(labels) * counts)).tolist(), strict=True))


def _gatherer(tree: Tree, rows: int, convert: Callable[[Tree], Tree]) -> Callable[[Indices], Tree]:
    """Return a function that returns up to `rows` samples, converted; every call writes into the same memory."""
    memory = map_leaves(lambda leaf: _memory(leaf, rows), tree)
    if is_tree(tree) or convert(none := memory[:0]) is not none:
        return lambda index: convert(take(tree, index, memory))
    gather = tree.take  # small batches would notice the calls in between
    return lambda index: gather(index, 0, memory[: len(index)], "clip")


def _memory(leaf: Any, rows: int) -> Any:
    shape = (rows, *leaf.shape[1:])
    return _core.empty(shape, leaf.dtype) if leaf.dtype in FLOATS else np.empty(shape, leaf.dtype)
