"""cross_validate: a score that does not depend on a single choice of the validation part."""

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
    """Protocol of the object that is trained and evaluated on each fold, such as `fastnn.Trainer`."""

    @property
    def fit(self) -> Callable[..., object]:
        """Train; called as fit(train, validation, **options)."""

    def evaluate(self, data: Any, /) -> Mapping[str, float]:
        """Return scores by name."""


@dataclass(frozen=True, repr=False)
class FoldScores:
    """The result of `cross_validate`; printing it shows a line for every score.

    Attributes:
        scores: name -> values, one for each fold.
    """

    scores: dict[str, list[float]]

    @property
    def mean(self) -> dict[str, float]:
        """Return name -> mean over the folds."""
        return {name: float(np.mean(values)) for name, values in self.scores.items()}

    @property
    def std(self) -> dict[str, float]:
        """Return name -> standard deviation over the folds, with divisor k - 1."""
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
    """Train k models, each on all folds but one, and score each on the fold that was left out.

    Args:
        make_model: function of the fold's index, from 0, that returns a new object with `fit` and `evaluate`, such as a
            `Trainer` of a new model.
        data: (x, y): x (N, ...), y (N,), or (N, ...) with `stratified=False`.
        k: number of folds, at least 2.
        stratified: give every fold its share of each class.
        seed: seed of the folds only, not of the numbers that `make_model` and `fit` draw; by default the seed given to
            `fastnn.manual_seed`.
        fit_options: passed to fit, which is called as fit((x, y), (x, y) of the fold left out, **fit_options).

    Raises:
        TypeError: data is not a tuple of two arrays, or y does not hold classes and `stratified` is not False.
        ValueError: k is below 2, lengths differ, there are too few samples, data has NaN or infinity, a model has been
            trained by an earlier fold, or the names of scores differ from the first fold's.

    The scores are too optimistic if a callback of `fit` selects the epoch by its validation score, since the validation
    part is the fold that is scored.
    """
    (x, y), splitter = pair("data", data), StratifiedKFold if stratified else KFold
    folds = splitter(check_folds("k", k), seed=seed).split(x, y)
    both: dict[str, Any] = {"x": x, "y": y}
    for name, array in both.items():
        if array.dtype.kind == "f":
            finite(name, array)  # checked here, since row numbers within a fold would mean nothing to the caller
    made: list[Learner] = []  # all are kept alive, since a freed object's id may be reused
    results: list[Mapping[str, float]] = []
    for fold, (train, validation) in enumerate(folds):
        made.append(make_model(fold))
        _check_new(made)
        held_out = x[validation], y[validation]
        made[-1].fit((x[train], y[train]), held_out, **fit_options)
        if getattr(made[-1], "stopped", None) == "KeyboardInterrupt":  # fit returns after Ctrl-C
            raise KeyboardInterrupt
        results.append(made[-1].evaluate(held_out))
        if results[-1].keys() != results[0].keys():
            got, want = [*results[-1]], [*results[0]]
            raise ValueError(f"evaluate: got {got} in fold {fold}, want {want} as in fold 0; name the same scores")
    return FoldScores({name: [float(result[name]) for result in results] for name in results[0]})


def _check_new(made: list[Learner]) -> None:
    """Raise if the last learner shares its model, a parameter or a buffer with an earlier one."""
    *earlier, last = map(_identities, made)
    if any(last & other for other in earlier):
        raise ValueError(
            f"make_model: got a model for fold {len(earlier)} that an earlier fold has trained, want a new one; "
            "make it and its optimizer within make_model"
        )


def _identities(learner: Learner) -> set[int]:
    modules = [part for part in (learner, getattr(learner, "model", None)) if isinstance(part, Module)]
    arrays = [array for module in modules for array in module.state_dict().values()]
    return {id(part) for part in (learner, *modules, *arrays)}
