"""Activation layers for any shape; formulas and errors are those of `fastnn.functional`. Constructors check options."""

from collections.abc import Callable

import numpy as np

from fastnn import functional as F
from fastnn._checks import integer
from fastnn._types import Array
from fastnn.nn.module import Backward, Module


class Activation(Module):
    """Base class of the elementwise layers.

    Attributes:
        nonlinearity: arguments of `fastnn.init.calculate_gain` for the layer before the activation.
    """

    nonlinearity: tuple[str, float | None] = ("relu", None)

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x and y: any shape."""
        y, gradient = self._run(x)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            return gradient(dy) if input_grad else None

        return y, backward

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return y, and a function that computes dx from dy."""
        raise NotImplementedError

    def _fusable(self) -> tuple[str, float | None] | None:
        """Return the activation and alpha with which `fastnn.functional.linear` does the same; None if it cannot."""
        return None

    def _check(self) -> None:
        """Run on no elements, so that the kernel's argument checks raise for bad options at construction."""
        self._run(np.zeros(1))


class ReLU(Activation):
    """y = max(x, 0)."""

    def _fusable(self) -> tuple[str, float | None] | None:
        return "relu", None

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        y = F.relu(x)
        return y, lambda dy: F.relu_backward(dy, y)


class LeakyReLU(Activation):
    """y = x where x > 0, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope
        self.nonlinearity = ("leaky_relu", negative_slope)
        self._check()

    def _fusable(self) -> tuple[str, float | None] | None:
        return None if self.negative_slope is None else ("leaky_relu", self.negative_slope)

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        slope = self.negative_slope
        return F.leaky_relu(x, slope), lambda dy: F.leaky_relu_backward(dy, x, slope)

    def _options(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Activation):
    """y = x where x > 0, else alpha * (e^x - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha
        self._check()

    def _fusable(self) -> tuple[str, float | None] | None:
        return None if self.alpha is None else ("elu", self.alpha)

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        alpha = self.alpha
        return F.elu(x, alpha), lambda dy: F.elu_backward(dy, x, alpha)

    def _options(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Activation):
    """y = x * Phi(x), or with approximate="tanh" its approximation."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate
        self._check()

    def _fusable(self) -> tuple[str, float | None] | None:
        kind = {"none": "gelu", "tanh": "gelu_tanh"}.get(self.approximate)
        return None if kind is None else (kind, None)

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        approximate = self.approximate
        return F.gelu(x, approximate), lambda dy: F.gelu_backward(dy, x, approximate)

    def _options(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Activation):
    """y = x * sigmoid(x)."""

    def _fusable(self) -> tuple[str, float | None] | None:
        return "silu", None

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        return F.silu(x), lambda dy: F.silu_backward(dy, x)


class Sigmoid(Activation):
    """y = 1 / (1 + e^-x)."""

    nonlinearity = ("sigmoid", None)

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        y = F.sigmoid(x)
        return y, lambda dy: F.sigmoid_backward(dy, y)


class Tanh(Activation):
    """y = tanh(x)."""

    nonlinearity = ("tanh", None)

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        y = F.tanh(x)
        return y, lambda dy: F.tanh_backward(dy, y)


class Softplus(Activation):
    """y = ln(1 + e^(beta * x)) / beta, and x itself where beta * x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold
        self._check()

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        options = self.beta, self.threshold
        return F.softplus(x, *options), lambda dy: F.softplus_backward(dy, x, *options)

    def _options(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Activation):
    """y = e^x / sum(e^x) along an axis; see `fastnn.functional.softmax`.

    Args:
        dim: the axis, an integer; a negative one counts from the end. PyTorch's default None guesses one: here it is
            the last axis.

    Raises:
        TypeError: dim is not an integer.

    `CrossEntropyLoss` includes the softmax, and takes the logits before it.
    """

    nonlinearity = ("linear", None)

    def __init__(self, dim: int = -1) -> None:
        self.dim = integer("dim", dim, -(2**63), want="the number of an axis, an integer; -1 is the last")

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        dim, y = self.dim, F.softmax(x, self.dim)
        return y, lambda dy: F.softmax_backward(dy, y, dim)

    def _options(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """y = ln softmax(x) along an axis; see `fastnn.functional.log_softmax`. Arguments and errors are `Softmax`'s."""

    def _run(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        dim, y = self.dim, F.log_softmax(x, self.dim)
        return y, lambda dy: F.log_softmax_backward(dy, y, dim)
