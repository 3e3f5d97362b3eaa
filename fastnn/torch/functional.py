"""Fused operations under the names and arguments of torch.nn.functional.

Torch's function of the same name runs, and raises its own errors, for whatever the kernels do not take: tensors that
are not dense CPU tensors, all of float32 or all of float64; shapes and options; everything under torch.compile and the
transforms of torch.func. It also runs for small inputs, for which it is faster; see `fastnn.torch.limits`. Results have
torch's strides. Random numbers come from torch's default generator: `torch.manual_seed` determines them, and restoring
its state, as activation checkpointing does, draws the same mask again.

For plain tensors the operation is called that torch's function calls after it has looked for overrides of subclasses.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as theirs

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.functional.linear import LinearSaved, as_matrix, product_gradient
from fastnn.functional.max_pool2d import Pair
from fastnn.torch.autograd import (
    PLAIN,
    REFUSALS,
    Ran,
    fits,
    fused,
    fused_elementwise,
    is_large,
    is_narrowed,
    keeps_graph,
    trace,
)
from fastnn.torch.cross_entropy import cross_entropy
from fastnn.torch.norms import batch_norm, group_norm, is_like_channels_last, layer_norm, rms_norm
from fastnn.torch.random import new_seed

_TORCHS_SILU, _TORCHS_SOFTMAX = torch._C._nn.silu, torch.softmax  # looking them up would cost small inputs 2 %


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """See `fastnn.functional.dropout`. Without training, or with p = 0, the result is the input itself, as in torch."""
    if training and 0 < p < 1 and is_large("dropout", input) and fits(input):
        with suppress(*REFUSALS):
            return fused_elementwise("dropout", lambda x: _dropout(x, p), input)
    if type(input) in PLAIN and 0 <= p <= 1:
        return torch.dropout(input, p, True) if training else input
    return theirs.dropout(input, p, training)


def _dropout(x: AnyArray, p: float) -> Ran:
    y, mask = F.dropout(x, p, generator=new_seed(), return_mask=True)
    return y, (), lambda dy: (F.dropout_backward(dy, mask),)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """See `fastnn.functional.gelu`."""
    if is_large("gelu", input) and fits(input):
        with suppress(*REFUSALS):
            return fused_elementwise("gelu", lambda x: _gelu(x, approximate), input)
    return theirs.gelu(input, approximate=approximate)


def _gelu(x: AnyArray, approximate: str) -> Ran:
    return F.gelu(x, approximate), (0,), lambda dy, x: (F.gelu_backward(dy, x, approximate),)


def max_pool2d(input: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """See `fastnn.functional.max_pool2d`; strided images run torch's function."""
    if is_large("max_pool2d", input) and fits(input) and input.dim() in (3, 4) and input.is_contiguous():
        distance = None if isinstance(stride, list | tuple) and not stride else stride
        sizes = _pair(kernel_size), _pair(distance), _pair(padding)
        if not is_like_channels_last(input):
            with suppress(*REFUSALS):
                return fused("max_pool2d", lambda x: _max_pool2d(x, sizes), input)
    if type(input) in PLAIN:
        return torch.max_pool2d(input, kernel_size, [] if stride is None else stride, padding)
    return theirs.max_pool2d(input, kernel_size, stride, padding)


def _max_pool2d(x: AnyArray, sizes: tuple[Any, Any, Any]) -> Ran:
    (y, places), shape = F.max_pool2d(x, *sizes, return_indices=True), x.shape
    return y, (), lambda dy: (F.max_pool2d_backward(dy, places, shape, *sizes),)


def _pair(size: Any) -> Any:
    """Return sizes with a sequence of one as a number; torch takes both forms."""
    return size[0] if isinstance(size, list | tuple) and len(size) == 1 else size


def silu(input: Tensor) -> Tensor:
    """See `fastnn.functional.silu`."""
    if is_large("silu", input) and fits(input):
        with suppress(*REFUSALS):
            return fused_elementwise("silu", _silu, input)
    if type(input) in PLAIN:
        return _TORCHS_SILU(input)
    return theirs.silu(input)


def _silu(x: AnyArray) -> Ran:
    return F.silu(x), (0,), lambda dy, x: (F.silu_backward(dy, x),)


def softmax(input: Tensor, dim: int) -> Tensor:
    """See `fastnn.functional.softmax`."""
    if is_large("softmax", input) and fits(input):
        with suppress(*REFUSALS):
            return fused("softmax", lambda x: _softmax(x, dim), input)
    if type(input) in PLAIN:
        return _TORCHS_SOFTMAX(input, dim)
    return theirs.softmax(input, dim)


def _softmax(x: AnyArray, dim: int) -> Ran:
    return F.softmax(x, dim), (1,), lambda dy, y: (F.softmax_backward(dy, y, dim),)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Tensor:
    """dropout(softmax(scale * query @ key.T + mask)) @ value, from torch's products and fused softmax and dropout.

    This is for training with dropout, which torch does not fuse on the CPU. Torch's function runs without dropout, for
    which it is faster, and for a mask that hides a row completely.

    Args:
        query: (..., L, E). key: (..., S, E). value: (..., S, V).
        attn_mask: broadcast to (..., L, S); a bool mask is True for positions that take part, a float mask is added.
        dropout_p: in [0, 1].
        is_causal: position i attends to positions up to i; not together with attn_mask.
        scale: 1 / sqrt(E) by default.

    Source: A. Vaswani et al., "Attention is all you need", NIPS 2017, equation 1.
    """
    usual = 0 < dropout_p <= 1 and is_large("attention", query) and not is_narrowed() and fits(query, key, value)
    usual = usual and all(t.dim() >= 2 and t.numel() for t in (query, key, value))
    if not usual or (attn_mask is not None and (is_causal or not is_usual_mask(attn_mask, query))):
        return theirs.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill_(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores.add_(attn_mask)
    return torch.matmul(dropout(softmax(scores, -1), dropout_p), value)


def is_usual_mask(mask: Tensor, query: Tensor) -> bool:
    """Return whether a mask of attention is bool or of the query's dtype, and hides no row completely."""
    if type(mask) not in PLAIN or not mask.is_cpu or not (mask.dtype is torch.bool or fits(mask, query)):
        return False
    hidden = ~mask if mask.dtype is torch.bool else mask == -math.inf
    return not bool(hidden.all(-1).any())


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str = "identity") -> Tensor:
    """activation(input @ weight.T + bias) by fastnn's products, for inputs of any size; see `fastnn.functional.linear`.

    Args:
        input: (..., in).
        weight: (out, in).
        bias: (out,), or None.
        activation: identity, relu, gelu or gelu_tanh.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation: got {activation!r}, want one of {', '.join(_ACTIVATIONS)}")
    if is_large("linear", input) and not is_narrowed() and fits(input, weight, bias) and weight.dim() == 2:
        learns = input.requires_grad, weight.requires_grad
        with suppress(*REFUSALS):
            return fused(
                "linear",
                lambda x, w, b, _: _linear(x, w, b, activation, *learns),
                input,
                weight,
                bias,
                trace(bias),
            )
    return _ACTIVATIONS[activation](theirs.linear(input, weight, bias))


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda y: y,
    "relu": theirs.relu,
    "gelu": theirs.gelu,
    "gelu_tanh": lambda y: theirs.gelu(y, approximate="tanh"),
}


def _linear(x: AnyArray, w: AnyArray, b: AnyArray | None, activation: str, input_grad: bool, weight_grad: bool) -> Ran:
    """Run it; as torch does, save the weight for the input's gradient only, and the input for the weight's."""
    y, saved = F.linear(x, w, b, activation, return_saved=True)
    kept = None if b is None else b.copy()  # as in _bias_activation
    product = [saved.at] if activation.startswith("gelu") else []
    positions = {"x": 0} if weight_grad else {}
    positions |= ({"w": 1} if input_grad else {}) | {"": 3} | ({"y": 4} if activation == "relu" else {})

    def gradients(dy: AnyArray, *needed: Any) -> tuple[AnyArray | None, ...]:
        arrays = dict(zip(positions, needed, strict=True))
        at = product[0] if product else arrays.get("y")
        if not keeps_graph():
            product.clear()
        db = None if kept is None else np.empty_like(kept)
        dz = product_gradient(dy, kept, activation, LinearSaved(at, None), db, None)
        dx = F.matmul(dz, arrays["w"]) if "w" in arrays else None
        return dx, F.matmul(as_matrix(dz).T, as_matrix(arrays["x"])) if "x" in arrays else None, db, None

    return y, tuple(positions.values()), gradients


def linear_gelu(input: Tensor, weight: Tensor, bias: Tensor | None = None, approximate: str = "none") -> Tensor:
    """gelu(input @ weight.T + bias): torch's product, then bias and activation in one pass; the gradients likewise.

    Args:
        input: (..., in).
        weight: (out, in).
        bias: (out,), or None.
        approximate: as in `gelu`.
    """
    if is_large("linear_gelu", input) and not is_narrowed() and fits(input, weight, bias) and weight.dim() == 2:
        activation = {"none": "gelu", "tanh": "gelu_tanh"}.get(approximate, "")  # "" is refused
        with suppress(*REFUSALS):
            return fused(
                "linear_gelu",
                lambda z, b, _: _bias_activation(z, b, activation),
                theirs.linear(input, weight),
                bias,
                trace(bias),
            )
    return theirs.gelu(theirs.linear(input, weight, bias), approximate=approximate)


def _bias_activation(z: AnyArray, b: AnyArray | None, activation: Any) -> Ran:
    kept = None if b is None else b.copy()  # torch's gradients do not need the bias, so it may change before backward

    def gradients(dy: AnyArray, z: AnyArray, _: AnyArray | None) -> tuple[AnyArray | None, ...]:
        return *F.bias_activation_backward(dy, z, kept, activation), None

    return F.bias_activation(z, b, activation), (0, 2), gradients


__all__ = [
    "batch_norm",
    "cross_entropy",
    "dropout",
    "gelu",
    "group_norm",
    "layer_norm",
    "linear",
    "linear_gelu",
    "max_pool2d",
    "rms_norm",
    "scaled_dot_product_attention",
    "silu",
    "softmax",
]
