"""One autograd Function for all fused operations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import Function

Array = npt.NDArray[Any]
Gradients = Callable[..., Sequence[Array | Tensor | None]]
Ran = tuple[Array, Sequence[int], Gradients]
Run = Callable[..., Ran]


def array(tensor: Tensor | None) -> Array | None:
    """The array that lies in the memory of a contiguous tensor."""
    return None if tensor is None else tensor.detach().numpy()


def fits(*tensors: Tensor | None) -> bool:
    """Whether the kernels can take these tensors: plain ones in the CPU's memory, all of float32 or all of float64.

    False under torch.compile too, whose own code is what its user asked for.
    """
    given = [t for t in tensors if t is not None]
    return (
        given[0].dtype in (torch.float32, torch.float64)
        and all(t.dtype == given[0].dtype and t.device.type == "cpu" and t.layout == torch.strided for t in given)
        and not torch.compiler.is_compiling()
    )


def fused(name: str, run: Run, *inputs: Tensor | None) -> Any:
    """An operation on tensors, whose gradients torch's autograd will find.

    Args:
        name: what the sentence about second derivatives calls it.
        run: takes the inputs as arrays, None for None, and returns the result; which of the inputs, and behind them the
            result, its gradients need, by position; and a function of dy and those that returns the gradient of every
            input, None for those without. That function must hold none of them itself, since autograd could not see
            then whether they have changed.
        inputs: contiguous tensors.
    """
    return _Fused.apply(name, run, *inputs)


class _Fused(Function):
    @staticmethod
    def forward(ctx: Any, name: str, run: Run, *inputs: Tensor | None) -> Tensor:
        y, needed, gradients = run(*map(array, inputs))
        result = torch.from_numpy(np.asarray(y))
        known = (*inputs, result)
        ctx.save_for_backward(*(known[i] for i in needed))
        ctx.name, ctx.gradients = name, gradients
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Any, ...]:
        dy = grad_outputs[0]
        grads = ctx.gradients(array(dy.contiguous()), *map(array, ctx.saved_tensors))
        tensors = [torch.from_numpy(g) if isinstance(g, np.ndarray) else g for g in grads]
        if torch.is_grad_enabled():
            found = iter(_Once.apply(ctx.name, dy, *(t for t in tensors if t is not None)))
            tensors = [None if t is None else next(found) for t in tensors]
        return (None, None, *tensors)


class _Once(Function):
    """Stands between a gradient and whoever wants to differentiate it: the kernels have no second derivative."""

    @staticmethod
    def forward(ctx: Any, name: str, dy: Tensor, *grads: Tensor) -> tuple[Tensor, ...]:
        ctx.name = name
        return tuple(g.view_as(g) for g in grads)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        raise RuntimeError(
            f"{ctx.name}: got a second backward through its gradient, want a first derivative only; use torch's own "
            "module in a model that is differentiated twice"
        )
