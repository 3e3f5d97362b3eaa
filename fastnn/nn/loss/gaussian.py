"""The likelihood of targets under normal distributions whose mean and variance a model computes."""

from typing import Any, Literal

from fastnn import functional as F
from fastnn._checks import flag, positive
from fastnn._types import AnyArray, Array
from fastnn.nn.loss.base import Loss, check_numbers, check_shape, converted, of_samples

Pair = tuple[Array, Array]


class GaussianNLLLoss(Loss):
    """The negative log-likelihood of normal distributions; see `fastnn.functional.gaussian_nll_loss`.

    The output is a tuple (mean, var), and so is the gradient. Targets of integers, bools or another float dtype are
    converted to the mean's.

    Args:
        full: add ln(2 pi) / 2 to the loss of each element.
        eps: finite, > 0; smaller variances count as eps.
        reduction: "mean" or "sum" over all elements.

    Raises:
        ValueError: an option is out of range.
        TypeError: full is not True or False.
    """

    task = "regression"

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = flag("full", full), positive("eps", eps)

    def __call__(self, output: Pair, target: AnyArray) -> tuple[float, Pair]:
        """Return the loss, a float, and its gradients with respect to mean and variance.

        Args:
            output: (mean, var): means of any shape; variances >= 0 of the same shape, or with a last axis of 1, or
                without the last axis.
            target: real numbers of the mean's shape.

        Raises:
            TypeError: the output is not such a tuple, or an array has another dtype.
            ValueError: the shapes do not fit, or a variance is negative.
        """
        loss, gradients = self._losses(output, target, self.reduction)
        return loss, gradients

    def each(self, output: Pair, target: AnyArray) -> tuple[Array, Pair]:
        """Return each sample's loss, (N,), the mean or sum over its elements, and the gradients of the sum of these."""
        losses, gradients = self._losses(output, target, "none")
        return of_samples(losses, self.reduction == "mean", *gradients), gradients

    def check(self, output: Pair, target: AnyArray, name: str = "target") -> None:
        """Raise unless the targets are numbers, of the mean's shape but for axis 0; see `Loss.check`."""
        mean, _ = _pair(output)
        check_numbers(name, target)
        check_shape(name, target, mean)

    def _losses(self, output: Pair, target: Any, reduction: Any) -> tuple[Any, Pair]:
        mean, var = _pair(output)
        loss, dmean, dvar = F.gaussian_nll_loss(
            mean, converted(mean, target), var, self.full, self.eps, reduction=reduction
        )
        return loss, (dmean, dvar)


def _pair(output: Any) -> Pair:
    if not isinstance(output, tuple) or len(output) != 2:
        raise TypeError(f"output: got {type(output).__name__}, want a tuple (mean, var) of two arrays; let the model "
                        "return both")  # fmt: skip
    return output
