"""What a Trainer does beside its model: inputs are normalised before it, and classes after it have names."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._trees import Tree, is_tree
from fastnn._types import FLOATS, Array
from fastnn.data.normalize import Normalize
from fastnn.data.source import Arrays, Source
from fastnn.metrics.outputs import classes_of
from fastnn.nn.container import Sequential
from fastnn.nn.module import Module
from fastnn.training.protocols import Training


def checked_normalize(normalize: Any, model: Module) -> Normalize | None:
    """Return a copy of the argument of a Trainer, which its fits may change.

    Raises:
        TypeError: it is not a `Normalize`.
        ValueError: its dtype is not the model's.
    """
    if normalize is None:
        return None
    if not isinstance(normalize, Normalize):
        got = f"the class {normalize.__name__}" if isinstance(normalize, type) else type(normalize).__name__
        raise TypeError(f"normalize: got {got}, want a fastnn.data.Normalize; pass Normalize(x.shape[1])")
    dtype = model_dtype(model)
    if dtype not in (None, normalize.std.dtype):
        raise ValueError(f"normalize: got statistics of {normalize.std.dtype} for a model of {dtype}, want the same; "
                         f"pass dtype=np.{dtype} to Normalize")  # fmt: skip
    return copy.deepcopy(normalize)


def checked_classes(classes: Any) -> tuple[str, ...] | None:
    """Return the names of classes.

    Raises:
        TypeError: they are not a sequence of strings.
        ValueError: there are fewer than two, or one twice.
    """
    if classes is None:
        return None
    if isinstance(classes, str) or not isinstance(classes, Sequence | np.ndarray):
        raise TypeError(f"classes: got {type(classes).__name__}, want a list of names, one for each label from 0 on")
    for name in classes:
        if not isinstance(name, str):
            raise TypeError(f"classes: got the name {name!r}, want strings; [str(name) for name in classes]")
    names = tuple(map(str, classes))
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"classes: got {list(names)!r:.80}, want at least two different names")
    return names


def model_dtype(model: Module) -> np.dtype[Any] | None:
    """Return the dtype of a model's first parameter, or else of its first buffer of floats; None without."""
    found = [p.dtype for p in model.parameters()] or [a.dtype for a in model.state_dict().values() if a.dtype in FLOATS]
    return found[0] if found else None


def whole(trainer: Training) -> Module:
    """Return the model together with the normalisation before it, as checkpoints and files have them."""
    return trainer.model if trainer.normalize is None else Sequential(trainer.normalize, trainer.model)


def fitted(normalize: Normalize | None, train: Source) -> Normalize | None:
    """Return the normalisation, or a copy that is fitted to the training data if it has not been fitted before.

    Raises:
        ValueError: it has to be fitted, and the data is not one array of inputs; or see `Normalize.fit`.
    """
    if normalize is None or normalize.std.all():
        return normalize
    if not isinstance(train, Arrays) or is_tree(train.x):
        raise ValueError("normalize: got one without statistics, and training data that is not one array of inputs; "
                         "call its fit(x) with an array of samples before")  # fmt: skip
    return copy.deepcopy(normalize).fit(train.x.astype(normalize.std.dtype, copy=False))


def normalized(normalize: Normalize, x: Tree) -> Array:
    """Return the normalised inputs of a batch.

    Raises:
        TypeError: there are several.
    """
    if is_tree(x):
        raise TypeError("normalize: got several inputs, want one array; begin the branches of the model with Normalize")
    return normalize.transform(x.astype(normalize.std.dtype, copy=False))


def check_classes(classes: Sequence[str] | None, criterion: Any, outputs: Any) -> None:
    """Raise ValueError unless there are as many names of classes as a model's outputs tell apart."""
    if classes is None:
        return
    task = getattr(criterion, "task", None)
    if is_tree(outputs) or task in ("regression", "distribution"):
        got = "several outputs" if is_tree(outputs) else f"a loss for a {task}"
        raise ValueError(f"classes: got names for {got}, want them only for one output of classes; leave them out")
    columns = outputs.shape[-1] if outputs.ndim > 1 else 1
    want = 2 if task == "binary" and outputs.size == len(outputs) else columns
    if len(classes) != want:
        raise ValueError(f"classes: got {len(classes)} names for a model that tells {want} apart, want as many")


def predicted_classes(criterion: Any, outputs: Any, classes: Sequence[str] | None) -> npt.NDArray[Any]:
    """See `Trainer.predict_classes`."""
    check_classes(classes, criterion, outputs)
    task = getattr(criterion, "task", None)
    single = not is_tree(outputs) and outputs.size == len(outputs)
    if is_tree(outputs) or task in ("regression", "distribution") or single != (task == "binary"):
        got = "several outputs" if is_tree(outputs) else f"outputs of shape {outputs.shape} and {_named(task)}"
        raise ValueError(f"predict_classes: got {got}, want a row of logits for each sample, or one logit and a loss "
                         "such as BCEWithLogitsLoss; use predict")  # fmt: skip
    wrong = np.isnan(outputs).reshape(len(outputs), -1).any(axis=1)
    if wrong.any():
        raise ValueError(f"predict_classes: got NaN from the model for row {int(wrong.argmax())}, want numbers; look "
                         "for NaN in x")  # fmt: skip
    found = classes_of(outputs.reshape(-1) if single else outputs, task)
    return found if classes is None else np.array(classes)[found]


def _named(task: str | None) -> str:
    return "a loss that names no task" if task is None else f"a loss for {task}"
