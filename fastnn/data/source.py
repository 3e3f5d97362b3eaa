"""Sources of samples: arrays, objects that give samples for an array of indices, and iterables of batches."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from fastnn._checks import finite, own_conversion
from fastnn._trees import Tree, is_tree, leaves, length, map_leaves, named_leaves
from fastnn.data.arrays import as_inputs, as_targets, checked_weights

Indices = npt.NDArray[np.int64]


_NONE = object()


class Samples(NamedTuple):
    """Some samples: inputs and targets, trees of arrays whose axis 0 counts samples, and (n,) float64 weights or
    None."""

    x: Tree
    y: Tree
    weights: npt.NDArray[np.float64] | None = None


class Arrays:
    """Samples in arrays, in memory or memory-mapped.

    Args:
        name: what error messages call them.
        x, y: an array (N, ...), or a tuple or dict of such arrays.
        weights: (N,), or None for ones.

    Raises:
        TypeError: something is not an array of numbers; the message says how to make one of it.
        ValueError: lengths differ, there are no samples, or an array in memory has NaN or infinity.
    """

    def __init__(self, name: str, x: Tree, y: Tree, weights: Any = None) -> None:
        self.x = as_inputs(f"{name} x", x)
        self.y = as_targets(f"{name} y", y)
        n = length(self.x)
        for place, leaf in [*named_leaves(f"{name} x", self.x), *named_leaves(f"{name} y", self.y)]:
            if len(leaf) != n:
                want = (n, *leaf.shape[1:])
                raise ValueError(f"{place}: got shape {leaf.shape}, want {want}, one for each sample; add the others")
            if leaf.dtype.kind == "f" and not isinstance(leaf, np.memmap):
                finite(place, leaf)
        self.weights = None if weights is None else checked_weights("sample_weight", weights, n)

    def __len__(self) -> int:
        return length(self.x)

    def fingerprint(self) -> str:
        """Return a checksum of 64 samples all over the data, as float32, to notice other data."""
        index, found = np.linspace(0, len(self) - 1, min(len(self), 64)).astype(np.intp), 0
        for leaf in (*leaves(self.x), *leaves(self.y)):
            with np.errstate(over="ignore"):
                found = crc32(np.ascontiguousarray(leaf[index], np.float32).tobytes(), found)
        return f"{found:08x}"

    def take(self, index: Indices, out: Tree = None) -> Samples:
        """Return copies of some samples; `out` is memory for the inputs, of at least this length."""
        weights = None if self.weights is None else self.weights[index]
        return Samples(take(self.x, index, out), take(self.y, index), weights)

    def slice(self, rows: slice) -> Samples:
        """Return consecutive samples, without a copy where the arrays are contiguous."""
        cut = lambda leaf: np.ascontiguousarray(leaf[rows])  # noqa: E731
        weights = None if self.weights is None else self.weights[rows]
        return Samples(map_leaves(cut, self.x), map_leaves(cut, self.y), weights)


class Indexed:
    """Samples of an object with a length that gives the samples of an array of indices, or of one index after another.

    Args:
        name: what error messages call it.
        given: an object with `len` and `take(index)` or `[index]`, which returns (x, y) or (x, y, weights).
        weights: (N,), or None for the object's own.
    """

    def __init__(self, name: str, given: Any, weights: Any = None) -> None:
        self.name, self._given = name, given
        self._get: Callable[[Any], Any] = given.take if hasattr(given, "take") else given.__getitem__
        if not len(given):
            raise ValueError(f"{name}: got no samples, want at least one")
        self._weights = None if weights is None else checked_weights("sample_weight", weights, len(given))
        self._at_once = self._takes_arrays()

    def __len__(self) -> int:
        return len(self._given)

    def take(self, index: Indices, out: Tree = None) -> Samples:
        """Return some samples."""
        batch = self._get(index) if self._at_once else _stacked(self.name, [self._get(int(i)) for i in index])
        samples = as_samples(self.name, batch, len(index))
        return samples if self._weights is None else samples._replace(weights=self._weights[index])

    def _takes_arrays(self) -> bool:
        try:
            batch = as_samples(self.name, self._get(np.zeros(2, np.int64)), 2)
        except Exception:  # whatever the object raises for an array, or does with it, it may take one index at a time
            as_samples(self.name, _stacked(self.name, [self._get(0)]), 1)
            return False
        return len(leaves(batch.x)) > 0


class Stream:
    """Batches of an iterable, such as a list of batches, a `torch.utils.data.DataLoader`, or a function that returns an
    iterator.

    Args:
        name: what error messages call it.
        given: an iterable of (x, y) or (x, y, weights), or a function without arguments that returns one.
    """

    def __init__(self, name: str, given: Any) -> None:
        self.name, self._given = name, given
        self._ahead: tuple[Any, Iterator[Any]] | None = None
        self._is_placed = self._is_over = False
        self._before: Any = None  # the iterable's state before `first` read from it
        self.once = isinstance(given, Iterator)

    @property
    def batches(self) -> int | None:
        """The number of batches, or None if it is not known."""
        try:
            return len(self._given)
        except (TypeError, NotImplementedError):  # it has none, or that of a DataLoader of an IterableDataset
            return None

    def first(self) -> Samples:
        """Return the first batch of the next iteration, which will begin with it again."""
        self._before = copy.deepcopy(self.state_dict())
        iterator = self._iterator()
        batch = next(iterator, _NONE)
        if batch is _NONE:
            raise ValueError(f"{self.name}: got no batches, want at least one; an iterator can be read only once: "
                             "pass a list, or a function that returns a new iterator")  # fmt: skip
        self._ahead = batch, iterator
        return as_samples(self.name, batch)

    def iterate(self, start: int = 0) -> Iterator[Samples]:
        """Yield the batches from number `start` on: after `load_state_dict` at once, else after reading those
        before."""
        if self._is_over:
            self._is_over = False
            return
        if self._ahead is not None:
            (batch, iterator), self._ahead = self._ahead, None
            batches: Iterator[Any] = chain([batch], iterator)
        else:
            batches = self._iterator()
        self._is_placed, skipped = False, 0 if self._is_placed else start
        for batch in islice(batches, skipped, None):
            yield as_samples(self.name, batch)

    def state_dict(self) -> Any:
        """Return the iterable's own state, or None if it has none."""
        if self._ahead is not None:
            return self._before
        return self._given.state_dict() if hasattr(self._given, "state_dict") else None

    def load_state_dict(self, state: Any, done: int = 0) -> bool:
        """Continue from a state after `done` batches of an epoch; return whether the iterable can.

        After all batches, the state may be one whose iteration ends at once, as with torchdata's StatefulDataLoader, or
        one that begins the next epoch. Both are as they would be without the interruption when this epoch ends.
        """
        if state is None or not hasattr(self._given, "load_state_dict"):
            return False
        self._given.load_state_dict(copy.deepcopy(state))
        self._ahead, self._is_placed, self._is_over = None, True, done > 0 and done == self.batches
        if self._is_over and next(self._iterator(), None) is not None:
            self._given.load_state_dict(copy.deepcopy(state))
        return True

    def _iterator(self) -> Iterator[Any]:
        given = self._given() if callable(self._given) and not hasattr(self._given, "__iter__") else self._given
        if not isinstance(given, Iterable):
            raise TypeError(
                f"{self.name}: got a function that returns {type(given).__name__}, want an iterator of (x, y)"
            )
        return iter(given)


Source = Arrays | Indexed | Stream


def as_source(name: str, data: Any, weights: Any = None) -> Source:
    """Return the source that a `train` or `validation` argument stands for.

    Args:
        name: what error messages call it.
        data: (x, y) or (x, y, weights) of arrays or trees of arrays; an object with `len` and `take(index)` or
            `[index]`; an iterable of batches, or a function without arguments that returns one.
        weights: (N,), with arrays or an object with a length.

    Raises:
        TypeError, ValueError: the data is none of these; see `Arrays`.
    """
    if isinstance(data, Arrays | Indexed | Stream):
        return data
    if isinstance(data, tuple) or (isinstance(data, list) and len(data) in (2, 3) and not _is_batch(data[0])):
        if len(data) not in (2, 3):
            raise TypeError(f"{name}: got a tuple of {len(data)}, want (x, y) or (x, y, sample_weight)")
        if len(data) == 3 and weights is not None:
            raise TypeError(f"{name}: got weights in it and sample_weight, want one of them")
        return Arrays(name, data[0], data[1], weights if len(data) == 2 else data[2])
    if isinstance(data, np.ndarray | Mapping | str | bytes) or data is None or own_conversion(data):
        remedy = _of_keys(data) if isinstance(data, Mapping) else "(x, y)"
        raise TypeError(f"{name}: got {type(data).__name__}, want a tuple (x, y) of two arrays; pass {remedy}")
    if (
        hasattr(data, "__len__")
        and not isinstance(data, list)
        and (hasattr(data, "take") or hasattr(data, "__getitem__"))
    ):
        return Indexed(name, data, weights)
    if isinstance(data, Iterable) or callable(data):
        if weights is not None:
            raise TypeError("sample_weight: got it with an iterable of batches, want batches (x, y, sample_weight)")
        return Stream(name, data)
    raise TypeError(f"{name}: got {type(data).__name__}, want (x, y), an object with len and [index], or an iterable "
                    "of batches")  # fmt: skip


def as_samples(name: str, batch: Any, n: int | None = None) -> Samples:
    """Return a batch (x, y) or (x, y, weights), checked."""
    _check_pair(name, "batch", batch)
    if n is None and np.ndim(batch[1]) == 0 and not is_tree(batch[1]) and batch[1] is not None:
        raise TypeError(f"{name}: got single samples, one with the target {batch[1]!r:.40}, want batches, whose axis 0 "
                        "counts samples; write x, y = map(np.array, zip(*samples)) and pass (x, y), or let a "
                        "DataLoader make batches of them")  # fmt: skip
    x, y = as_inputs(f"{name} x", batch[0]), as_targets(f"{name} y", batch[1])
    n = length(x) if n is None else n
    for place, leaf in [*named_leaves(f"{name} x", x), *named_leaves(f"{name} y", y)]:
        if len(leaf) != n:
            raise ValueError(f"{place}: got shape {leaf.shape} in a batch of {n} samples, want ({n}, ...)")
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            finite(place, leaf)
    return Samples(x, y, None if len(batch) == 2 else checked_weights(f"{name} sample_weight", batch[2], n))


def take(tree: Tree, index: Indices, out: Tree = None) -> Tree:
    """Return the samples at these indices, written into `out` if there is memory; the indices are not checked."""
    if out is None:
        return map_leaves(lambda leaf: leaf.take(index, axis=0), tree)
    # mode="raise" would make a copy
    return map_leaves(lambda leaf, to: leaf.take(index, axis=0, out=to[: len(index)], mode="clip"), tree, out)


def _check_pair(name: str, kind: str, item: Any) -> None:
    """Raise TypeError unless a batch or a sample is (x, y) or (x, y, weights)."""
    if isinstance(item, tuple | list) and len(item) in (2, 3):
        return
    got = f"a {type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
    remedy = f"; let it give {_of_keys(item)}" if isinstance(item, Mapping) else ""
    raise TypeError(f"{name}: got a {kind} of {got}, want (x, y) or (x, y, sample_weight){remedy}")


def _of_keys(data: Mapping[Any, Any]) -> str:
    """Return how to make a tuple of a mapping with an x and a y."""
    keys = [*data]
    if len(keys) != 2:
        return "(x, y)"
    first, second = reversed(keys) if str(keys[0]).lower() in ("y", "target", "targets", "label", "labels") else keys
    return f"(data[{first!r}], data[{second!r}])"


def _is_batch(item: Any) -> bool:
    return isinstance(item, tuple | list) and len(item) in (2, 3) and is_tree(item) and _has_shapes(item)


def _has_shapes(item: Any) -> bool:
    return all(hasattr(leaf, "shape") for leaf in leaves(item))


def _stacked(name: str, samples: list[Any]) -> Any:
    """Return a list of samples (x, y) as one batch; raise unless all of them are such, of the same shapes."""

    def stack(*parts: Any) -> Any:
        arrays = [np.asarray(part) for part in parts]
        other = next((array.shape for array in arrays if array.shape != arrays[0].shape), None)
        if other is not None:
            raise ValueError(f"{name}: got samples of the shapes {arrays[0].shape} and {other} in one batch, want one "
                             "shape; pad or crop them where they are read")  # fmt: skip
        return np.stack(arrays)

    for sample in samples:
        _check_pair(name, "sample", sample)
    return map_leaves(stack, *map(tuple, samples))
