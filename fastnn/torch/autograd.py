"""One autograd Function for all fused operations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import _C, Tensor
from torch.autograd import Function

from fastnn._types import AnyArray

Gradients = Callable[..., Sequence[AnyArray | Tensor | None]]
Ran = tuple[AnyArray, Sequence[int], Gradients]
Run = Callable[..., Ran]
_PLAIN = (Tensor, torch.nn.Parameter)


def array(tensor: Tensor | None) -> AnyArray | None:
    """Return an array over the memory of a contiguous tensor."""
    return None if tensor is None else tensor.detach().numpy()


def fits(*tensors: Tensor | None) -> bool:
    """Return whether the kernels can use these tensors: plain CPU tensors, all float32 or all float64.

    False for nested tensors and subclasses of torch.Tensor, and where a call is not computed but traced or transformed:
    under torch.compile, torch.func, torch.jit.trace, make_fx, and any other dispatch mode of torch.
    """
    if torch.compiler.is_compiling():
        return False
    given = [t for t in tensors if t is not None]
    dtype = given[0].dtype
    if dtype is not torch.float32 and dtype is not torch.float64:
        return False
    for t in given:
        plain = type(t) in _PLAIN and t.is_cpu and t.layout is torch.strided and not t.is_nested
        if not plain or t.dtype is not dtype:
            return False
    return not (_C._are_functorch_transforms_active() or _C._len_torch_dispatch_stack() or _C._is_tracing())


def fits_products(*tensors: Tensor | None) -> bool:
    """Return whether these tensors fit and autocast will not narrow the dtype of their products."""
    return fits(*tensors) and not torch.is_autocast_enabled("cpu")


def check(*tensors: Tensor | None) -> None:
    """Raise TypeError for tensors that the kernels cannot use."""
    if not fits(*tensors):
        given = [t for t in tensors if t is not None]
        got = [f"{'' if type(t) in _PLAIN else f'{type(t).__name__} of '}{t.dtype} on {t.device}" for t in given]
        raise TypeError(
            f"input: got {', '.join(got)}, want dense CPU tensors, all of torch.float32 or all of torch.float64, "
            "outside torch.compile and transforms of torch.func; use torch's own function"
        )


def check_products(*tensors: Tensor | None) -> None:
    """Raise TypeError for tensors that do not fit, or whose products autocast would compute in a narrower dtype."""
    check(*tensors)
    if torch.is_autocast_enabled("cpu"):
        got = next(t.dtype for t in tensors if t is not None)
        raise TypeError(f"input: got {got} under autocast, want none around a product; use torch's own function")


def keeps_graph() -> bool:
    """Return whether the running backward keeps its graph for another one."""
    asked = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)  # not in every torch
    return asked is None or bool(asked())


def fused(name: str, run: Run, *inputs: Tensor | None) -> Any:
    """Run an operation on tensors so that torch's autograd can compute its gradients.

    Args:
        name: the operation's name in the error about second derivatives.
        run: takes the inputs as arrays, None for None, and returns three things: the result; the positions of the
            inputs (followed by the result) that the gradients need; and a function of dy and these arrays that returns
            the gradient of every input, or None. That function must not hold the arrays itself, since autograd could
            then not detect that they have changed.
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
    """Raises when a gradient is differentiated again, since the kernels have no second derivative."""

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
