"""Prepares the data of one call of `fit`, and checks it before anything is trained."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from fastnn._checks import flag, positive_integer
from fastnn._trees import Tree, length, map_leaves, named_leaves
from fastnn.data.normalize import Normalize
from fastnn.data.sampler import RandomSampler, Sampler, SequentialSampler
from fastnn.data.source import Arrays, Samples, Source, Stream, as_source
from fastnn.nn.module import Module, call
from fastnn.nn.running import reworded
from fastnn.nn.tracing import kept
from fastnn.random.generator import Generator, default_generator
from fastnn.training.batches import TRANSFORM_STREAM, Batches, Transform, transformed
from fastnn.training.evaluation import in_mode, with_rows
from fastnn.training.losses import check_targets, counts
from fastnn.training.preparing import check_classes, fitted, model_dtype, normalized
from fastnn.training.protocols import Training
from fastnn.training.weighing import Weighing, class_weights


class DataOptions(TypedDict, total=False):
    """The optional data arguments of `Trainer.fit` and `Trainer.lr_find`."""

    shuffle: bool
    drop_last: bool
    sampler: Sampler | None
    transform: Transform | None
    validation_batch_size: int | None


ELSEWHERE = {
    "validation_data": "pass validation=(x, y); ",
    "validation_split": "cut with fastnn.data.train_validation_test_split, then pass validation=; ",
    "y": "pass (x, y) as train; ",
}
"""Arguments of other libraries, and what to pass instead."""

OPTIONS = ("sample_weight", "class_weight", *DataOptions.__annotations__)


@dataclass(frozen=True)
class Data:
    """The data arguments of a fit; `Trainer.fit` documents them."""

    train: Any
    validation: Any = None
    batch_size: int = 32
    sample_weight: Any = None
    class_weight: Any = None
    shuffle: bool = True
    drop_last: bool = False
    sampler: Sampler | None = None
    transform: Transform | None = None
    validation_batch_size: int | None = None

    @classmethod
    def of(cls, *arguments: Any, **options: Any) -> "Data":
        """Return the data of these arguments of `Trainer.fit`; raise TypeError for an unknown one."""
        check_options(options, tuple(DataOptions.__annotations__))
        return cls(*arguments, **options)


@dataclass(frozen=True)
class Fit:
    """The batches of the training data, the validation data, and how inputs are converted and normalised for the
    model."""

    batches: Batches
    validation: Source | None
    batch_size: int
    validation_batch_size: int
    convert: Callable[[Tree], Tree]
    normalize: Normalize | None
    doubt: str = ""
    """What is allowed but probably not meant, for a warning."""


def check_options(given: Iterable[str], known: tuple[str, ...]) -> None:
    """Raise TypeError for a keyword argument that is not among the known ones."""
    for name in given:
        if name not in known:
            own = ELSEWHERE.get(name, "")
            raise TypeError(f"{name}: got an unknown argument, want one of {', '.join(known)}; {own}callbacks, metrics "
                            "and what else belongs to several fits are arguments of Trainer")  # fmt: skip


def prepare(trainer: Training, data: Data, window: int | None = None) -> Fit:
    """Check the data of a fit and cut it into batches; errors as in `Trainer.fit`.

    Args:
        window: batches of an optimizer step; None for the trainer's `accumulate_grad_batches`.
    """
    trainer.readmit()
    batch_size = positive_integer("batch_size", data.batch_size)
    given = data.validation_batch_size
    validation_size = batch_size if given is None else positive_integer("validation_batch_size", given)
    train = as_source("train", data.train, data.sample_weight)
    validation = None if data.validation is None else as_source("validation", data.validation)
    if isinstance(validation, Stream) and validation.once:
        raise TypeError("validation: got an iterator, which can be read only once, want a list, or a function that "
                        "returns a new iterator")  # fmt: skip
    normalize = fitted(trainer.normalize, train)
    convert = converter(trainer.model, normalize)
    sampler = _sampler(train, data)
    seed = Generator(default_generator.seed if trainer.seed is None else trainer.seed).seed
    first = first_samples(train, batch_size)
    weighing = _weighing(trainer.criterion, train, data.class_weight)
    if data.transform is not None:
        x, y = map_leaves(np.array, first.x), map_leaves(np.array, first.y)
        x, y = transformed(data.transform, x, y, Generator(seed, TRANSFORM_STREAM))
        first = Samples(x, y, first.weights)
    outputs = check_first(trainer, "train", first, train if data.transform is None else None, convert)
    window = trainer.accumulate_grad_batches if window is None else window
    batches = Batches(
        train, sampler, seed, batch_size, window, weighing, flag("drop_last", data.drop_last), data.transform, convert
    )
    if validation is not None:
        check_first(trainer, "validation", first_samples(validation, validation_size), validation, convert)
    doubt = _labels_from_one(trainer.criterion, outputs, train) if data.transform is None else ""
    return Fit(batches, validation, batch_size, validation_size, convert, normalize, doubt)


def converter(model: Module, normalize: Normalize | None = None) -> Callable[[Tree], Tree]:
    """Return a function that converts floats of another type than the model's parameters; the first time it warns.

    It then normalises the inputs, if they are to be, integers too.
    """
    wanted, warned = model_dtype(model), [False]

    def convert(leaf: Any) -> Any:
        if wanted is None or leaf.dtype.kind != "f" or leaf.dtype == wanted:
            return leaf
        if not warned[0]:
            warned[0] = True
            warnings.warn(f"x: got {leaf.dtype} for a model of {wanted}; every batch is converted, which "
                          f"x.astype(np.{wanted}) before the fit would spare", stacklevel=2)  # fmt: skip
        return leaf.astype(wanted)

    if normalize is not None:
        return lambda tree: normalized(normalize, map_leaves(convert, tree))
    return lambda tree: map_leaves(convert, tree)


def check_first(
    trainer: Training, name: str, samples: Samples, source: Source | None, convert: Callable[[Tree], Tree]
) -> Any:
    """Raise unless model, loss and metrics accept the first samples, and the loss all targets that are known.

    Returns:
        The model's result for the first samples.

    Args:
        source: where the samples are from; None if a transform has changed them.
    """
    whole = source if isinstance(source, Arrays) else samples
    x = map_leaves(np.ascontiguousarray, samples.x)
    with in_mode(trainer.model, training=False), explained(f"{name} x", x, whole.x):
        outputs, _ = call(trainer.model, convert(x))
        if hasattr(trainer.criterion, "check"):  # another loss may take what it likes
            with_rows(outputs, x)
    check_targets(trainer.criterion, outputs, whole.y, f"{name} y")
    check_classes(trainer.classes, trainer.criterion, outputs)
    task = getattr(trainer.criterion, "task", None)
    for key, metric in list(trainer.metrics.items()):
        try:
            metric.check(task, outputs, samples.y)
        except ValueError:
            if not trainer.metrics_are_auto:
                raise
            trainer.unfit[key] = trainer.metrics.pop(key)
    return outputs


@contextmanager
def explained(name: str, x: Tree, whole: Tree) -> Iterator[None]:
    """Say in an error of the model for the first samples `x` what the whole data are, and how to convert integers."""
    try:
        yield
    except (TypeError, ValueError) as error:
        found = list(named_leaves(name, whole))
        got = ", ".join(f"{leaf.dtype} {leaf.shape}" for _, leaf in found)
        integers = isinstance(error, TypeError) and any(leaf.dtype.kind in "iu" for _, leaf in found)
        remedy = "; convert integers with .astype(np.float32), or by batches with transform=" if integers else ""
        raise reworded(error, f"{name}: got {got}, of which the first {length(x)} raise: {error}{remedy}") from None


def check_least_batch(model: Module, batches: Batches, convert: Callable[[Tree], Tree]) -> None:
    """Raise ValueError if the last batch has one sample and the model cannot take it, as batch norm cannot."""
    source, n = batches.source, batches.samples
    if not isinstance(source, Arrays) or n is None or n % batches.size != 1 % batches.size or not batches.count:
        return
    if batches.count * batches.size < n:  # the last one is dropped
        return
    with kept(model), np.errstate(all="ignore"):
        try:
            model(convert(source.slice(slice(0, 1)).x))
        except ValueError as error:
            raise ValueError(f"batch_size: got {batches.size} for {n} samples, want one that does not leave a last "
                             f"batch of one sample, or drop_last=True: {error}") from None  # fmt: skip


def first_samples(source: Source, batch_size: int) -> Samples:
    """Return the first samples of a source, as many as a batch; of a `Stream` the first batch."""
    if isinstance(source, Stream):
        return source.first()
    n = min(batch_size, len(source))
    return source.slice(slice(0, n)) if isinstance(source, Arrays) else source.take(np.arange(n))


def _sampler(train: Source, data: Data) -> Sampler | None:
    shuffle = flag("shuffle", data.shuffle)
    if isinstance(train, Stream):
        if data.sampler is not None:
            raise TypeError("sampler: got one for an iterable of batches, want one for arrays or an object with len")
        if flag("drop_last", data.drop_last):
            raise TypeError("drop_last: got True for an iterable of batches, want it for arrays or an object with len; "
                            "leave it to the iterable, as in DataLoader(..., drop_last=True)")  # fmt: skip
        return None
    sampler = data.sampler
    if sampler is None:
        sampler = RandomSampler(len(train)) if shuffle else SequentialSampler(len(train))
    if not isinstance(sampler, Sampler):
        raise TypeError(f"sampler: got {type(sampler).__name__}, want an object with len and order(seed, epoch)")
    n = len(sampler)
    if data.drop_last and n < data.batch_size:
        raise ValueError(f"drop_last: got True for {n} samples and batch_size = {data.batch_size}, which leaves no "
                         "batch, want a smaller batch_size")  # fmt: skip
    index = np.asarray(sampler.order(0, 1))
    if len(index) != n or index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= len(train):
        raise ValueError(f"sampler: got indices that are not {n} integers in [0, {len(train)}), want these")
    return sampler


def _labels_from_one(loss: Any, outputs: Any, train: Source) -> str:
    """Return a warning if the labels are probably counted from 1: all of 1 to C occur, but not 0, for C + 1 outputs."""
    y = train.y if isinstance(train, Arrays) else None
    if getattr(loss, "task", None) != "classes" or not isinstance(y, np.ndarray) or y.dtype.kind not in "iu":
        return ""
    ignored, last = getattr(loss, "ignore_index", None), outputs.shape[-1] - 1
    found = np.unique(y)
    if ignored == 0 or last < 2 or found[found != ignored].tolist() != list(range(1, last + 1)):
        return ""
    return (f"train y: got all labels from 1 to {last}, and 0 for no sample, with {last + 1} outputs, whose labels are "
            f"0 to {last}; if yours are counted from 1, pass y - 1 and end the model with {last} outputs")  # fmt: skip


def _weighing(loss: Any, train: Source, class_weight: Any) -> Weighing:
    y = train.y if isinstance(train, Arrays) else None
    ignored = getattr(loss, "ignore_index", None)
    if isinstance(y, np.ndarray) and y.ndim == 1 and ignored is not None and (y != ignored).any():
        y = y[y != ignored]  # which are of no class
    return Weighing(class_weights(y, class_weight), lambda labels: counts(loss, labels))
