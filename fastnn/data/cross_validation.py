"""cross_validate: a score that does not depend on a single choice of the validation part."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastnn._checks import finite, is_array, not_array
from fastnn._trees import Tree, is_tree, named_leaves, rows
from fastnn._types import AnyArray
from fastnn.data.arrays import checked_weights
from fastnn.data.sampler import Indices, Sampler
from fastnn.data.splits import KFold, StratifiedKFold, check_folds
from fastnn.nn.module import Module

Data = tuple[Tree, Tree] | tuple[Tree, Tree, AnyArray]


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
    sample_weight: Any = None,
    sampler: Callable[[Indices], Sampler] | None = None,
    **fit_options: Any,
) -> FoldScores:
    """Train k models, each on all folds but one, and score each on the fold that was left out.

    Args:
        make_model: function of the fold's index, from 0, that returns a new object with `fit` and `evaluate`, such as a
            `Trainer` of a new model.
        data: (x, y) or (x, y, sample_weight): x (N, ...), y (N,), or (N, ...) with `stratified=False`. Each of x and,
            with `stratified=False`, y may also be a tuple or dict of such arrays, for several inputs or targets.
        k: number of folds, at least 2.
        stratified: give every fold its share of each class.
        seed: seed of the folds only, not of the numbers that `make_model` and `fit` draw; by default the seed given to
            `fastnn.manual_seed`.
        sample_weight: (N,), the weight of each sample; fit gets those of its own samples as sample_weight. As in
            `Trainer.fit`, the scores are not weighted.
        sampler: function of the indices of the samples that are trained on, (n,), which returns the sampler of these n,
            such as lambda index: WeightedRandomSampler(weights[index], len(index)).
        fit_options: passed to fit, which is called as fit((x, y), (x, y) of the fold left out, **fit_options), such as
            class_weight; "balanced" counts the classes of the samples that are trained on.

    Raises:
        TypeError: data is not a tuple of arrays or trees of them, y does not hold classes and `stratified` is not
            False, or sampler is a sampler of all samples.
        ValueError: k is below 2, lengths differ, there are too few samples, data has NaN or infinity, weights are not
            finite numbers >= 0, a model has been trained by an earlier fold, or the names of scores differ from the
            first fold's.

    The scores are too optimistic if a callback of `fit` selects the epoch by its validation score, since the validation
    part is the fold that is scored.
    """
    x, y, weights = _parts(data, sample_weight)
    if sampler is not None and (isinstance(sampler, Sampler) or not callable(sampler)):
        raise TypeError(f"sampler: got {type(sampler).__name__}, want a function of the indices that are trained on, "
                        "such as lambda index: WeightedRandomSampler(weights[index], len(index))")  # fmt: skip
    folds = list(_folds(x, y, stratified, check_folds("k", k), seed))
    if weights is not None:
        weights = checked_weights("sample_weight", weights, sum(len(part) for part in folds[0]))
    made: list[Learner] = []  # all are kept alive, since a freed object's id may be reused
    results: list[Mapping[str, float]] = []
    for fold, (train, validation) in enumerate(folds):
        made.append(make_model(fold))
        _check_new(made)
        held_out = rows((x, y), validation)
        options = fit_options if weights is None else fit_options | {"sample_weight": weights[train]}
        options = options if sampler is None else options | {"sampler": sampler(train)}
        made[-1].fit(rows((x, y), train), held_out, **options)
        if getattr(made[-1], "stopped", None) == "KeyboardInterrupt":  # fit returns after Ctrl-C
            raise KeyboardInterrupt
        results.append(made[-1].evaluate(held_out))
        if results[-1].keys() != results[0].keys():
            got, want = [*results[-1]], [*results[0]]
            raise ValueError(f"evaluate: got {got} in fold {fold}, want {want} as in fold 0; name the same scores")
    return FoldScores({name: [float(result[name]) for result in results] for name in results[0]})


def _parts(data: Any, sample_weight: Any) -> tuple[Tree, Tree, Any]:
    """Return x, y and the weights of the samples, or None for ones."""
    if not isinstance(data, tuple) or len(data) not in (2, 3):
        raise TypeError(f"data: got {type(data).__name__}, want a tuple (x, y) of two arrays; pass (x, y)")
    if len(data) == 3 and sample_weight is not None:
        raise TypeError("sample_weight: got it and weights in data, want one of them; pass data=(x, y)")
    return data[0], data[1], data[2] if len(data) == 3 else sample_weight


def _folds(x: Tree, y: Tree, stratified: bool, k: int, seed: int | None) -> Iterator[tuple[Indices, Indices]]:
    """Return the indices of each fold; every leaf is checked, since rows within a fold mean nothing to the caller."""
    if stratified and is_tree(y):
        raise TypeError(f"y: got a {type(y).__name__}, want labels (N,) to stratify by; pass stratified=False")
    everything = [*named_leaves("x", x), *named_leaves("y", y)]
    if len(everything) < 2:
        raise ValueError("data: got no arrays in x or y, want at least one in each")
    (_, first), (_, last) = everything[0], everything[-1]
    found = (StratifiedKFold if stratified else KFold)(k, seed=seed).split(first, last)
    for name, leaf in everything:
        if not is_array(leaf):
            raise not_array(name, leaf, "NumPy")
        if leaf.shape[:1] != first.shape[:1]:
            raise ValueError(f"{name}: got shape {leaf.shape}, want ({len(first)}, ...), one for each sample")
        if leaf.dtype.kind == "f":
            finite(name, leaf)
    return found


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
