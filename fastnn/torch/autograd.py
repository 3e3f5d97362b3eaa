"""One autograd Function for all fused operations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import _C, Tensor, is_grad_enabled
from torch._C import _is_tracing as is_tracing
from torch.autograd import Function, forward_ad
from torch.compiler import is_dynamo_compiling

from fastnn._types import AnyArray
from fastnn.torch.limits import LEAST

Gradients = Callable[..., Sequence[AnyArray | Tensor | None]]
Ran = tuple[AnyArray, Sequence[int], Gradients]
Run = Callable[..., Ran]
PLAIN = (Tensor, torch.nn.Parameter)
_SYMBOLIC = tuple(getattr(_C._TorchDispatchModeKey, name) for name in ("FAKE", "PROXY", "FUNCTIONAL"))


class Refused(ValueError, RuntimeError):
    """An argument that the kernels do not take: an error of both classes that PyTorch raises for shapes and options."""


# Errors of the kernels for shapes and options. The functions then call torch's, which computes or raises its own error.
REFUSALS = ValueError, TypeError


class _Memory:
    """The memory of a contiguous tensor for NumPy, which keeps the tensor as the base of the array.

    Unlike `Tensor.numpy`, it leaves the tensor's storage resizable, as FSDP needs, and calls no operation of torch.
    """

    __slots__ = ("__array_interface__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        address = tensor.data_ptr()
        if not (tensor.is_contiguous() and (address or not tensor.numel())) or address % tensor.itemsize:
            raise Refused("tensor: got strided, misaligned or no memory, want aligned contiguous memory; use clone()")
        self.tensor = tensor
        self.__array_interface__ = {
            "data": (address, False),
            "shape": tuple(tensor.shape),
            "typestr": _CODES[tensor.dtype],
            "version": 3,
        }


_CODES = {torch.float32: "=f4", torch.float64: "=f8", torch.int64: "=i8"}


def array(tensor: Tensor | None) -> AnyArray | None:
    """Return an array over the memory of a contiguous tensor."""
    return None if tensor is None else np.asarray(_Memory(tensor))


def is_large(name: str, input: Any) -> bool:
    """Return whether an input is so large that the kernels of an operation are faster than torch's.

    This is asked first of all: it costs a quarter of a microsecond, and small inputs must cost no more.
    """
    if is_dynamo_compiling() or type(input) not in PLAIN or is_tracing():  # where a size may be symbolic
        return False
    large: bool = input.numel() >= LEAST[name][is_grad_enabled()]
    return large


def is_narrowed() -> bool:
    """Return whether autocast is on, which narrows the dtype of products."""
    return bool(torch.is_autocast_enabled("cpu"))


def fits(*tensors: Tensor | None) -> bool:
    """Return whether the kernels can use these tensors: plain CPU tensors, all float32 or all float64.

    False for nested tensors and subclasses of torch.Tensor, and where a call is not computed but traced or transformed:
    under torch.compile, torch.func, forward-mode differentiation, torch.jit.trace, make_fx and fake tensors. Any other
    dispatch mode changes nothing, so that activation checkpointing, whose second run may have other modes than the
    first, runs the same operations twice.
    """
    if is_dynamo_compiling() or torch.compiler.is_compiling():
        return False
    dtype = getattr(tensors[0], "dtype", None)
    if dtype is not torch.float32 and dtype is not torch.float64:
        return False
    for t in tensors:
        if t is None:
            continue
        plain = type(t) in PLAIN and t.is_cpu and t.layout is torch.strided and not (t.is_nested or t.is_neg())
        if not plain or t.dtype is not dtype:
            return False
    return not (
        _C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or is_tracing()
        or (_C._len_torch_dispatch_stack() and any(_C._get_dispatch_mode(key) for key in _SYMBOLIC))
    )


def learns(*tensors: Tensor | None) -> bool:
    """Return whether autograd needs a gradient of one of these tensors."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def keeps_graph() -> bool:
    """Return whether the running backward keeps its graph for another one."""
    asked = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)  # not in every torch
    return asked is None or bool(asked())


def fused(name: str, run: Run, *inputs: Tensor | None) -> Tensor:
    """Run an operation on tensors so that torch's autograd can compute its gradients.

    Args:
        name: the operation's name in the error about second derivatives.
        run: takes the inputs as arrays, None for None, and returns three things: the result; the positions of the
            inputs (followed by the result) that the gradients need; and a function of dy and these arrays that returns
            the gradient of every input, or None. That function must not hold the arrays itself, since autograd could
            then not detect that they have changed. An input on which a gradient depends in another way is saved as its
            `trace`, or else autograd would take a second derivative with respect to it for 0.
        inputs: tensors; strided ones are copied.

    Raises:
        Refused: the first input is empty.
    """
    first = inputs[0]
    if first is not None and not first.numel():
        raise Refused(f"input: got shape {tuple(first.shape)}, want at least one element")
    inputs = tuple(None if t is None else t.contiguous() for t in inputs)
    if learns(*inputs):
        return _Fused.apply(name, run, *inputs)
    return torch.from_numpy(np.asarray(run(*map(array, inputs))[0]))


def trace(tensor: Tensor | None) -> Tensor | None:
    """Return an empty tensor that autograd takes for a function of this one; saving it keeps no memory."""
    return None if tensor is None else tensor.reshape(-1)[:0].clone()


def fused_elementwise(name: str, run: Run, input: Tensor) -> Tensor:
    """Run an operation on each element, whose result lies in memory as torch's would: in the order of the input."""
    if input.is_contiguous():
        return fused(name, run, input)
    if input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last):
        return fused(name, run, input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    strides = torch.empty_like(input, device="meta").stride()
    order = sorted(range(input.dim()), key=strides.__getitem__, reverse=True)
    back = sorted(range(input.dim()), key=order.__getitem__)
    y = fused(name, run, input.permute(order)).permute(back)
    return y if y.stride() == strides else y.as_strided(y.shape, strides)  # they differ for axes of one element


def _dense(tensor: Tensor) -> Tensor:
    tensor = tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % tensor.itemsize else tensor


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
        if _C._functorch.is_legacy_batchedtensor(dy):
            raise RuntimeError(
                f"Batching rule not implemented for {ctx.name}: got gradients of several outputs at once "
                "(is_grads_batched or vectorize=True), want one at a time; use torch's own module"
            )
        saved = ctx.saved_tensors
        grads = ctx.gradients(array(_dense(dy.resolve_neg())), *(t if t is None else array(_dense(t)) for t in saved))
        tensors = [torch.from_numpy(g) if isinstance(g, np.ndarray) else g for g in grads]
        if torch.is_grad_enabled():
            known = dy, *saved
            found = iter(_Once.apply(ctx.name, len(known), *known, *(t for t in tensors if t is not None)))
            tensors = [None if t is None else next(found) for t in tensors]
        return (None, None, *tensors)


class _Once(Function):
    """Raises when a gradient is differentiated again, since the kernels have no second derivative.

    Autograd finds it on the way from the gradients to dy and to the saved tensors, on which they depend.
    """

    @staticmethod
    def forward(ctx: Any, name: str, known: int, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        ctx.name = name
        return tuple(g.view_as(g) for g in tensors[known:] if g is not None)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        raise RuntimeError(
            f"{ctx.name}: got a second backward through its gradient, want a first derivative only; use torch's own "
            "module in a model that is differentiated twice"
        )
