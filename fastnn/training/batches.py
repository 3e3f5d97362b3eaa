"""Cuts an epoch into batches."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from fastnn import _core
from fastnn._trees import Tree, is_tree, length, map_leaves
from fastnn._types import FLOATS
from fastnn.data.sampler import Indices, Sampler
from fastnn.data.source import Arrays, Indexed, Samples, Source, Stream, take
from fastnn.random import Generator
from fastnn.training.weighing import Weighing, Weights, summed
from fastnn.training.windows import Batch, Taken, windows

TRANSFORM_STREAM = 2**63 + 2**61
"""The numbers of batch b of epoch n for a transform are drawn from this stream + 2^32 n + b of the seed."""

Transform = Callable[[Tree, Tree, Generator], tuple[Tree, Tree]]
"""(x, y, generator) -> (x, y) of a batch, where the generator depends on the seed, the epoch and the batch alone."""


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
        return windows(self._taken(epoch, start), self.window, start, partial(self._earlier, epoch))

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

    def _earlier(self, epoch: int, done: int) -> float | Weights:
        """Return the weight of the batches of the window before batch `done`, where a training is resumed."""
        first = done - done % self.window
        return sum(weight for *_, weight in islice(self._taken(epoch, first), done - first))

    def _taken(self, epoch: int, start: int) -> Iterator[Taken]:
        raw = self._of_arrays(epoch, start) if isinstance(self.source, Arrays) else self._of_others(epoch, start)
        return raw if self._transform is None else self._transformed(self._transform, raw, epoch, start)

    def _transformed(self, transform: Transform, raw: Iterator[Taken], epoch: int, start: int) -> Iterator[Taken]:
        for number, (x, y, weights, _) in enumerate(raw, start):
            x = x() if callable(x) else x
            if self.window > 1:
                x = map_leaves(np.array, x)
            generator = Generator(self.seed, TRANSFORM_STREAM + 2**32 * epoch + number)
            x, y = transformed(transform, x, y, generator)
            yield self._convert(x), y, weights, self._sum(y, weights)

    def _of_arrays(self, epoch: int, start: int) -> Iterator[Taken]:
        source, sampler = self.source, self.sampler
        assert isinstance(source, Arrays) and sampler is not None
        order, last = sampler.order(self.seed, epoch), self.count
        labels = partial(take, source.y) if is_tree(source.y) else partial(source.y.take, axis=0)
        for number in range(start, last or 0):
            index = order[number * self.size : (number + 1) * self.size]
            weights = None if self._weights is None else self._weights[index]
            weight = float(len(index)) if self._shares is None else summed(self._shares[index])
            yield partial(self._gather, index), labels(index), weights, weight

    def _of_others(self, epoch: int, start: int) -> Iterator[Taken]:
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

    def _sum(self, labels: Tree, weights: Weights | None) -> float | Weights:
        shares = self._weighing.shares(labels, weights)
        return float(length(labels)) if shares is None else summed(shares)


def transformed(transform: Transform, x: Tree, y: Tree, generator: Generator) -> tuple[Tree, Tree]:
    """Return the result of a transform; raise TypeError unless it is (x, y)."""
    result = transform(x, y, generator)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"transform: got {type(result).__name__} from it, want (x, y); return both")
    return result


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
