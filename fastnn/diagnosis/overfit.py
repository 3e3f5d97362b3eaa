"""Tests whether a model can learn a few samples by heart, before a training of hours.

Source: A. Karpathy, "A recipe for training neural networks", 2019.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from fastnn._checks import positive_integer
from fastnn._trees import Tree, length, rows
from fastnn.diagnosis.initial_loss import is_classes
from fastnn.nn.module import Module
from fastnn.nn.norm import Norm
from fastnn.random import Generator, permutation
from fastnn.training.checks import Data as Pair
from fastnn.training.checks import checked
from fastnn.training.evaluation import in_mode
from fastnn.training.fitting import Data, prepare
from fastnn.training.losses import Loss, in_window
from fastnn.training.protocols import Training
from fastnn.training.resuming import untouched
from fastnn.training.step import forward_backward, update

LEARNT = 0.05
"""Samples are learnt when the loss is this fraction of that of a guess: with 10 classes, 0.9 for the right one."""
MOVED = 0.1
"""A loss that fell by less than this fraction hardly moved: a hundred steps on one batch do far more."""
GREW = 1e-4
"""A loss that rose by more than this fraction diverges; rounding alone may raise it by less."""


@dataclass(frozen=True)
class Overfit:
    """The result of a test whether a model can learn a few samples by heart.

    Attributes:
        samples: the number of samples.
        losses: the loss before every step; the last one is at most `target`, unless the steps ran out.
        target: the loss at which the samples count as learnt.
        idle: parameters that did not change, or had no gradient at the last step.
        advice: the problem and its remedy; empty if there is no problem.
    """

    samples: int
    losses: tuple[float, ...]
    target: float
    idle: tuple[str, ...]
    advice: str

    @property
    def ok(self) -> bool:
        """Whether the samples were learnt."""
        return not self.advice

    @property
    def steps(self) -> int:
        """Optimizer steps made."""
        return len(self.losses) - 1

    def __str__(self) -> str:
        what = "1 sample" if self.samples == 1 else f"{self.samples} samples"
        path = f"the loss went from {self.losses[0]:.4g} to {self.losses[-1]:.4g} in {self.steps} steps"
        return f"{what}: {path}, the target is {self.target:.4g}; {self.advice or 'learnt by heart'}"


@dataclass(frozen=True)
class Ladder:
    """The result of a test how many samples a model can learn by heart.

    Attributes:
        rungs: a result for each size up to the first that fails, smallest first.
    """

    rungs: tuple[Overfit, ...]

    @property
    def ok(self) -> bool:
        """Whether every rung was learnt."""
        return self.rungs[-1].ok

    def __str__(self) -> str:
        last = self.rungs[-1]
        if self.ok:
            return f"ladder: up to {last.samples} samples are learnt by heart"
        below = f"{self.rungs[-2].samples} can be learnt by heart, but of " if len(self.rungs) > 1 else "of "
        return f"ladder: {below}{last}"


def overfit_one_batch(
    trainer: Training, batch: Pair, steps: int = 500, target: float | None = None, lr: float | None = None
) -> Overfit:
    """Train on one batch until its loss is at most `target`. A model that cannot learn it has a bug, or a wrong rate.

    Norms are in training mode; the rest of the model is in evaluation mode, so that nothing is dropped at random.
    Callbacks are not called, and the scheduler does not step. The trainer's state is restored afterwards.

    A single sample has no variance for batch norm. Repeated, it would be normalised to zeros, and nothing before the
    norm could be learnt; so for a single sample the norms are in evaluation mode too. The sample is passed twice, which
    changes no mean, for norms without running statistics.

    Args:
        trainer: its model, loss, optimizer and clipping are used, in their current state.
        batch: (x, y), as for `Trainer.fit`.
        steps: the largest number of steps.
        target: for labels, by default a twentieth of the way from the lowest possible loss (0, or what label smoothing
            leaves) to log C; for other targets a twentieth of the first loss.
        lr: the learning rate; by default the current one of the optimizer, which a warm-up may have made tiny.

    Raises:
        TypeError, ValueError, IndexError: as in `Trainer.fit`, or the optimizer's state cannot be restored.
    """
    steps = positive_integer("steps", steps)
    x, y = checked("batch", batch)
    samples, model = length(x), trainer.model
    if samples == 1:
        x, y = rows((x, y), [0, 0])
    with untouched(trainer), _certain(model, samples > 1):
        batches = prepare(trainer, Data((x, y), batch_size=length(x), shuffle=False), window=1).batches
        for group in trainer.optimizer.param_groups if lr is not None else ():
            group["lr"] = lr
        before = {name: p.data.copy() for name, p in model.named_parameters()}
        losses: list[float] = []
        for _ in range(steps + 1):
            given = next(batches.of_epoch(1))
            value, logits = forward_backward(trainer, given)
            loss, weight = in_window(value, given)
            loss = loss if weight else math.nan
            losses.append(loss)
            target = _target(trainer.criterion, logits, y, loss) if target is None else target
            if not loss > target or len(losses) > steps:
                break
            update(trainer)
        idle = [
            name
            for name, p in model.named_parameters()
            if p.requires_grad
            and (p.grad is None or not p.grad.any() or (len(losses) > 1 and np.array_equal(p.data, before[name])))
        ]
    return Overfit(samples, tuple(losses), target or 0.0, tuple(idle), _overfit_advice(losses, target or 0.0, idle))


def overfit_one_sample(
    trainer: Training, data: Pair, steps: int = 500, target: float | None = None, lr: float | None = None
) -> Overfit:
    """Run `overfit_one_batch` with the first sample of `data`."""
    x, y = checked("data", data)
    return overfit_one_batch(trainer, rows((x, y), slice(1)), steps, target, lr)


def learning_ladder(
    trainer: Training,
    data: Pair,
    sizes: Sequence[int] = (1, 4, 16, 64),
    steps: int = 500,
    target: float | None = None,
    lr: float | None = None,
) -> Ladder:
    """Run `overfit_one_batch` with more and more samples, up to the first size that cannot be learnt by heart.

    Every rung starts from the model's current state, and contains the samples of the rung below. They are drawn at
    random, always the same ones, since the first samples of a file often have one class.

    Args:
        trainer: as in `overfit_one_batch`.
        data: (x, y).
        sizes: numbers of samples, > 0, growing; a size beyond the data stands for all samples.
        steps, target, lr: as in `overfit_one_batch`.

    Raises:
        TypeError, ValueError, IndexError: as in `overfit_one_batch`, or the sizes do not grow.
    """
    x, y = checked("data", data)
    sizes = [positive_integer("sizes", size) for size in sizes]
    if not sizes or sizes != sorted(set(sizes)):
        raise ValueError(f"sizes: got {tuple(sizes)}, want at least one number, in increasing order; sort them")
    order = permutation(length(x), Generator(0))
    rungs: list[Overfit] = []
    for size in sorted({min(size, length(x)) for size in sizes}):
        rungs.append(overfit_one_batch(trainer, rows((x, y), order[:size]), steps, target, lr))
        if not rungs[-1].ok:
            break
    return Ladder(tuple(rungs))


@contextmanager
def _certain(model: Module, several: bool) -> Iterator[None]:
    """Put the model into evaluation mode, except for its norms if there are several samples."""
    with in_mode(model, training=False):
        for module in model.modules():
            module.training = several and isinstance(module, Norm)
        yield


def _target(loss: Loss, logits: Tree, y: Tree, first: float) -> float:
    if not is_classes(logits, y):
        return LEARNT * first
    classes, smoothing = logits.shape[1], float(getattr(loss, "label_smoothing", 0.0))
    shares = [1 - smoothing + smoothing / classes] + [smoothing / classes] * (classes - 1)
    least: float = -sum(share * math.log(share) for share in shares if share)
    return least + LEARNT * (math.log(classes) - least)


def _overfit_advice(losses: Sequence[float], target: float, idle: Sequence[str]) -> str:
    first, last = losses[0], losses[-1]
    if last <= target:
        return ""
    if not last - first < GREW * abs(first):
        return "it diverges; lower the learning rate, see Trainer.lr_find, or clip gradients"
    if first - last >= MOVED * abs(first):
        return ("it falls and is not there yet; give it more steps or a higher learning rate, take a larger model, or "
                "look for equal samples with different labels")  # fmt: skip
    if idle:
        return (f"it hardly moves, and {', '.join(idle)} not at all: no gradient reaches it, the optimizer does not "
                "hold it, or the learning rate is lost in rounding; look for dead units with init.report")  # fmt: skip
    return ("it hardly moves; raise the learning rate, check that labels and loss are right, or try "
            "check_gradients")  # fmt: skip
