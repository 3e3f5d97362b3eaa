"""Losses of an output and a target of the same shape, element by element."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from fastnn import functional as F
from fastnn._checks import flag, not_negative, positive
from fastnn._types import AnyArray, Array
from fastnn.nn.loss.base import Loss, Task, check_numbers, check_shape, converted, first, like, of_samples, weights


class ElementwiseLoss(Loss):
    """Base class of losses whose targets have the output's shape, which is never broadcast.

    Targets of integers, bools or another float dtype are converted to the output's dtype, float32 or float64.
    """

    task: ClassVar[Task] = "regression"

    def __call__(self, output: Array, target: AnyArray) -> tuple[float, Array]:
        """Return the loss, a float, and its gradient with respect to the output.

        Args:
            output: float32 or float64, of any shape.
            target: real numbers of the same shape.

        Raises:
            TypeError: an argument is not such an array.
            ValueError: the shapes differ.
        """
        loss, gradient = self._losses(output, converted(output, target), self.reduction)
        return loss, gradient

    def each(self, output: Array, target: AnyArray) -> tuple[Array, Array]:
        """Return each sample's loss, (N,), the mean or sum over its elements, and the gradient of the sum of these."""
        losses, gradient = self._losses(output, converted(output, target), "none")
        return of_samples(losses, self.reduction == "mean", gradient), gradient

    def check(self, output: Array, target: AnyArray, name: str = "target") -> None:
        """Raise unless the targets are numbers, of the output's shape but for axis 0; see `Loss.check`."""
        check_numbers(name, target)
        check_shape(name, target, output)
        self._check_values(name, target)

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        raise NotImplementedError

    def _check_values(self, name: str, target: AnyArray) -> None:
        pass


class MSELoss(ElementwiseLoss):
    """The squared difference; see `fastnn.functional.mse_loss`. Targets of other dtypes are converted to the output's.

    Args:
        reduction: "mean" or "sum" over all elements.
    """

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        return F.mse_loss(output, target, reduction)


class L1Loss(ElementwiseLoss):
    """The absolute difference; see `fastnn.functional.l1_loss`. Targets of other dtypes are converted to the output's.

    Args:
        reduction: "mean" or "sum" over all elements.
    """

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        return F.l1_loss(output, target, reduction)


class HuberLoss(ElementwiseLoss):
    """Quadratic up to delta, then linear; see `fastnn.functional.huber_loss`.

    Targets of other dtypes are converted to the output's.

    Args:
        reduction: "mean" or "sum" over all elements.
        delta: finite, > 0.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(self, reduction: Literal["mean", "sum"] = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = positive("delta", delta)

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        return F.huber_loss(output, target, reduction, self.delta)


class SmoothL1Loss(ElementwiseLoss):
    """The Huber loss divided by beta, with delta = beta; see `fastnn.functional.smooth_l1_loss`.

    Targets of other dtypes are converted to the output's.

    Args:
        reduction: "mean" or "sum" over all elements.
        beta: finite, >= 0; 0 gives the absolute difference.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(self, reduction: Literal["mean", "sum"] = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = not_negative("beta", beta)

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        return F.smooth_l1_loss(output, target, reduction, self.beta)


class BCEWithLogitsLoss(ElementwiseLoss):
    """The sigmoid and binary cross-entropy in one; see `fastnn.functional.binary_cross_entropy_with_logits`.

    Targets are in [0, 1], of the output's shape: (N, 1) for a model with one output. Those of integers, bools or
    another float dtype are converted to the output's.

    Args:
        weight: the factor of each element's loss, of the shape of the outputs or their last axes; None for ones.
        reduction: "mean", the sum divided by the number of elements whatever their weights are, or "sum".
        pos_weight: the factor of the positive class, of such a shape; None for ones.

    Raises:
        ValueError: an option is out of range.
        TypeError: a weight does not consist of numbers.
    """

    task = "binary"

    def __init__(
        self,
        weight: Array | Sequence[float] | None = None,
        reduction: Literal["mean", "sum"] = "mean",
        pos_weight: Array | Sequence[float] | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = weights("weight", weight), weights("pos_weight", pos_weight)

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        weight, pos_weight = like(output, self.weight), like(output, self.pos_weight)
        return F.binary_cross_entropy_with_logits(output, target, weight, reduction=reduction, pos_weight=pos_weight)

    def _check_values(self, name: str, target: AnyArray) -> None:
        wrong = ~((target >= 0) & (target <= 1))
        if wrong.any():
            values = np.unique(target)
            remedy = f"pass (y == {values[1]}).astype(np.float32)" if len(values) == 2 else (
                "scale them, or use CrossEntropyLoss for labels of more than two classes")  # fmt: skip
            raise ValueError(f"{name}: got {first(target, wrong)}, want numbers in [0, 1]; {remedy}")


class KLDivLoss(ElementwiseLoss):
    """The divergence of the distribution e^output from the target; see `fastnn.functional.kl_div`.

    Outputs are logarithms of probabilities. Targets of other dtypes are converted to the output's.

    Args:
        reduction: "mean" or "sum" over all elements, or "batchmean", the sum divided by the number of samples, which is
            the mathematical divergence.
        log_target: whether targets are logarithms too.

    Raises:
        ValueError: the reduction is unknown.
        TypeError: log_target is not True or False.
    """

    task = "distribution"
    reductions = ("mean", "sum", "batchmean")

    def __init__(self, reduction: Literal["mean", "sum", "batchmean"] = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = flag("log_target", log_target)

    def _losses(self, output: Array, target: Any, reduction: Any) -> tuple[Any, Array]:
        return F.kl_div(output, target, reduction, self.log_target)

    def _check_values(self, name: str, target: AnyArray) -> None:
        negative = target < 0
        if not self.log_target and negative.any():
            raise ValueError(f"{name}: got {first(target, negative)}, want probabilities >= 0; if they are logarithms, "
                             "use KLDivLoss(log_target=True)")  # fmt: skip
