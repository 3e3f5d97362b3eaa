"""Saves a Trainer in the file of its model, and loads it: what a model needs to be used, and to be trained further."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn import nn, optim
from fastnn._options import checked, keys
from fastnn._problems import Problems
from fastnn.checkpoint.file import short
from fastnn.checkpoint.model import MODEL, Layers, read, write
from fastnn.checkpoint.values import decoded, encoded_arrays
from fastnn.data.normalize import Normalize
from fastnn.nn.container import Sequential
from fastnn.nn.module import Module
from fastnn.training.losses import Losses, name_of
from fastnn.training.preparing import checked_classes, whole
from fastnn.training.protocols import Training

LOSSES: dict[str, Any] = {name: item for name in nn.__all__ if isinstance(item := getattr(nn, name), type)
                          and issubclass(item, nn.Loss) and item is not nn.Loss}  # fmt: skip
OPTIMIZERS: dict[str, Any] = {name: item for name in optim.__all__ if isinstance(item := getattr(optim, name), type)
                              and issubclass(item, optim.Optimizer) and item is not optim.Optimizer}  # fmt: skip
PLAIN = ("accumulate_grad_batches", "val_check_interval", "seed", "scheduler_interval", "detect_nan", "monitor")
EXTRAS = ("state_dtype", "clip_grad_norm", "zero_grad_after_step", "error_if_nonfinite")
PARTS = ("normalize", "classes", "loss", "optimizer", "metrics", "options")


class Kept(NamedTuple):
    """What the file of a model has, with or without a Trainer.

    Attributes:
        model: the model without its normalisation.
        loss, optimizer, metrics: descriptions, to be built with `built_loss` and `built_optimizer`; {"unknown": name}
            for what is not of this package.
        options: arguments of `Trainer`.
    """

    model: Module
    normalize: Normalize | None
    classes: tuple[str, ...] | None
    loss: Any
    optimizer: Any
    metrics: Any
    options: dict[str, Any]


def save(trainer: Training, path: str | Path) -> None:
    """See `Trainer.save`."""
    options = {name: getattr(trainer, name) for name in PLAIN}
    clipping = trainer.clipping
    options |= {
        "gradient_clip_val": clipping.limit,
        "gradient_clip_algorithm": "value" if clipping.by_value else "norm",
    }
    told = {
        "normalize": trainer.normalize is not None,
        "classes": None if trainer.classes is None else list(trainer.classes),
        "loss": described_loss(trainer.criterion),
        "optimizer": _described_optimizer(trainer),
        "metrics": _described_metrics(trainer.given_metrics),
        "options": options,
    }
    write(whole(trainer), path, {"trainer": told})


def load(
    make: Callable[..., Any], path: str | Path, layers: Layers | None, loss: Any, optimizer: Any, given: dict[str, Any]
) -> Any:
    """See `Trainer.load`; `make` is the class."""
    kept, place = read_kept(path, layers), Path(path)
    if kept.loss is None:
        raise MODEL.refusal(place, "a model without a Trainer", "load it with fastnn.load(path)")
    try:
        found = built_loss(kept.loss) if loss is None else loss
        steps = built_optimizer(kept.optimizer, kept.model) if optimizer is None else optimizer(kept.model.parameters())
        options = kept.options | {"normalize": kept.normalize, "classes": kept.classes}
        options |= {} if "metrics" in given else {"metrics": _known("metrics", kept.metrics)}
        if isinstance(found, tuple):
            found, options["loss_weights"] = found
        return make(kept.model, found, steps, **options | given)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        if loss is not None or optimizer is not None or given or isinstance(error, Unknown):
            raise
        raise MODEL.refusal(place, f"content that is not a Trainer's ({short(error, 400)})") from error


class Unknown(ValueError):
    """A part of a Trainer is not one of this package, and has not been given."""


def read_kept(path: str | Path, layers: Layers | None = None) -> Kept:
    """Read the file of a model; the loss is None if it is not one of a Trainer.

    Raises:
        CheckpointError, OSError: as for `fastnn.load`.
    """
    model, more = read(path, layers)
    told = more.get("trainer")
    if told is None:
        return Kept(model, None, None, None, None, None, {})
    try:
        if set(told) != set(PARTS) or not isinstance(told["options"], dict):
            raise ValueError(f"got the parts {sorted(told)}, want {sorted(PARTS)}")
        normalize = None
        if told["normalize"]:
            if type(model) is not Sequential or len(model) != 2 or not isinstance(model[0], Normalize):
                raise ValueError("normalize: got a model that does not begin with one")
            normalize, model = model[0], model[1]
        return Kept(model, normalize, checked_classes(told["classes"]), *(told[name] for name in PARTS[2:]))
    except Exception as error:
        raise MODEL.refusal(Path(path), f"content that is not a Trainer's ({short(error, 400)})") from error


def described_loss(loss: Any) -> Any:
    """Return the class and options of a loss, or of several."""
    if isinstance(loss, Losses):
        return {"losses": {key: described_loss(one) for key, one in loss.losses.items()}, "weights": loss.weights}
    kind = type(loss)
    if LOSSES.get(kind.__name__) is not kind:
        return {"unknown": name_of(loss)}
    names = list(inspect.signature(kind).parameters)
    return {"name": kind.__name__, "options": {name: encoded_arrays(name, getattr(loss, name)) for name in names}}


def built_loss(told: Any) -> Any:
    """Return the loss that was described; for several, a pair of their dict or tuple and their weights.

    Raises:
        Unknown: it is not one of this package.
        ValueError, TypeError, LookupError: the description is none.
    """
    if "losses" in told:
        losses = {key: built_loss(one) for key, one in told["losses"].items()}
        pair = losses, told["weights"]
        return tuple(tuple(part.values()) for part in pair) if list(losses) == list(range(len(losses))) else pair
    name = _known("loss", told)["name"]
    if name not in LOSSES:
        raise ValueError(f"loss: got {name!r:.50}, want one of fastnn.nn")
    options = {key: decoded(value, _none, _none) for key, value in told["options"].items()}
    problems = Problems()
    arrays = {key for key, value in options.items() if isinstance(value, np.ndarray)}
    checked({k: v for k, v in options.items() if k not in arrays}, "loss", keys(LOSSES[name]), problems)
    if sentences := problems.sentences(()):
        raise ValueError("; ".join(sentences))
    return LOSSES[name](**options)


def _described_optimizer(trainer: Training) -> Any:
    optimizer: Any = trainer.optimizer
    kind, numbers = type(optimizer), {id(p): i for i, p in enumerate(trainer.model.parameters())}
    groups = [(group, [numbers.get(id(p)) for p in group["params"]]) for group in optimizer.param_groups]
    if OPTIMIZERS.get(kind.__name__) is not kind or any(None in held for _, held in groups):
        return {"unknown": kind.__name__}
    told = [
        {name: value for name, value in group.items() if name in optimizer.defaults}
        | {"lr": group.get("initial_lr", group["lr"]), "params": held}
        for group, held in groups
    ]
    return {"name": kind.__name__, "groups": told, "extras": {name: getattr(optimizer, name) for name in EXTRAS}}


def built_optimizer(told: Any, model: Module) -> Any:
    """Return the optimizer that was described, for the parameters of a model; raises as `built_loss` does."""
    name, parameters = _known("optimizer", told)["name"], list(model.parameters())
    if name not in OPTIMIZERS or set(told["extras"]) != set(EXTRAS):
        raise ValueError(f"optimizer: got {name!r:.50}, want one of fastnn.optim with its options")
    groups = [dict(group) | {"params": [parameters[i] for i in group["params"]]} for group in told["groups"]]
    return OPTIMIZERS[name](groups, **told["extras"])


def _described_metrics(metrics: Any) -> Any:
    if metrics is None or isinstance(metrics, str):
        return {"names": metrics}
    if isinstance(metrics, list | tuple) and all(isinstance(metric, str) for metric in metrics):
        return {"names": list(metrics)}
    return {"unknown": f"{metrics!r:.80}"}


def _known(part: str, told: Any) -> Any:
    if isinstance(told, Mapping) and "unknown" in told:
        raise Unknown(f"{part}: got {told['unknown']} in the file, which is not known by a name, want it here; "
                      f"pass {part}=")  # fmt: skip
    return told["names"] if part == "metrics" else told


def _none(reference: Any) -> Any:
    raise ValueError(f"got {reference!r:.50} in a loss")
