"""cross_validate: a score that does not hang on one choice of the validation part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastnn._checks import finite, pair
from fastnn._types import AnyArray
from fastnn.data.splits import KFold, StratifiedKFold, check_folds
from fastnn.nn.module import Module

Data = tuple[AnyArray, AnyArray]


class Learner(Protocol):
    """What is trained and judged on each fold: `fastnn.Trainer` is one."""

    @property
    def fit(self) -> Callable[..., object]:
        """Called as fit(train, validation, **options)."""

    def evaluate(self, data: Any, /) -> Mapping[str, float]:
        """Scores by name."""


@dataclass(frozen=True, repr=False)
class FoldScores:
    """What `cross_validate` returns. Printed, a line for every score.

    Attributes:
        scores: name -> values, one for each fold.
    """

    scores: dict[str, list[float]]

    @property
    def mean(self) -> dict[str, float]:
        """Name -> mean over the folds."""
        return {name: float(np.mean(values)) for name, values in self.scores.items()}

    @property
    def std(self) -> dict[str, float]:
        """Name -> standard deviation between folds, by k - 1."""
        return {name: float(np.std(values, ddof=1)) for name, values in self.scores.items()}

    def __repr__(self) -> str:
        mean, std = self.mean, self.std
        return "\n".join(
            f"{name}: {mean[name]:.4g} +- {std[name]:.2g} ({', '.join(f'{value:.4g}' for value in values)})"
            for name, values in self.scores.items()
        )


def cross_validate(
    make_model: Callable[[int], Learner],
    data: Data,
    k: int = 5,
    *,
    stratified: bool = True,
    seed: int | None = None,
    **fit_options: Any,
) -> FoldScores:
    """Train k models, each on all folds but one, and score each on the fold that it has not trained on.

    Args:
        make_model: fold, from 0 -> a new object with `fit` and `evaluate`, such as a `Trainer` of a new model.
        data: (x, y): x (N, ...), y (N,), or (N, ...) with `stratified=False`.
        k: number of folds, at least 2.
        stratified: give every fold its share of each class.
        seed: of the folds alone, not of what `make_model` and `fit` draw; by default the one given to
            `fastnn.manual_seed`.
        fit_options: passed on: fit((x, y), (x, y) of the fold left out, **fit_options).

    Raises:
        TypeError: data is no tuple of two arrays, or y holds no classes and `stratified` is not False.
        ValueError: k below 2, lengths that differ, too few samples, NaN or infinity, a model that an earlier fold has
            trained, or scores of other names than the first fold's.

    The scores are too good where a callback of `fit` picks the epoch by its validation part, for that is the fold.
    """
    (x, y), splitter = pair("data", data), StratifiedKFold if stratified else KFold
    folds = splitter(check_folds("k", k), seed=seed).split(x, y)
    both: dict[str, Any] = {"x": x, "y": y}
    for name, array in both.items():
        if array.dtype.kind == "f":
            finite(name, array)  # here, since the rows of a fold are not the caller's
    made: list[Learner] = []  # all are kept, since the identity of one that is gone may come again
    results: list[Mapping[str, float]] = []
    for fold, (train, validation) in enumerate(folds):
        made.append(make_model(fold))
        _check_new(made)
        held_out = x[validation], y[validation]
        made[-1].fit((x[train], y[train]), held_out, **fit_options)
        results.append(made[-1].evaluate(held_out))
        if results[-1].keys() != results[0].keys():
            got, want = [*results[-1]], [*results[0]]
            raise ValueError(f"evaluate: got {got} in fold {fold}, want {want} as in fold 0; name the same scores")
    return FoldScores({name: [float(result[name]) for result in results] for name in results[0]})


def _check_new(made: list[Learner]) -> None:
    """Refuse a last one that shares its model, a parameter or a buffer with an earlier one."""
    *earlier, last = map(_identities, made)
    if any(last & other for other in earlier):
        raise ValueError(
            f"make_model: got for fold {len(earlier)} what an earlier fold has trained, want a new model; "
            "make it and its optimizer within make_model"
        )


def _identities(learner: Learner) -> set[int]:
    modules = [part for part in (learner, getattr(learner, "model", None)) if isinstance(part, Module)]
    arrays = [array for module in modules for array in module.state_dict().values()]
    return {id(part) for part in (learner, *modules, *arrays)}
