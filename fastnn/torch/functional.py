"""Fused operations under the names and arguments of torch.nn.functional.

Tensors are on the CPU, all float32 or all float64; anything else raises TypeError, and so do transforms such as
torch.func.vmap. (The modules of `fastnn.torch.nn` use torch's functions then.) Random numbers come from torch's default
generator: `torch.manual_seed` determines them, and restoring its state, as activation checkpointing does, draws the
same mask again.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from fastnn import functional as F
from fastnn._autograd import count_writes
from fastnn._types import AnyArray
from fastnn.functional.max_pool2d import Pair
from fastnn.torch.autograd import Ran, array, check, check_products, fused
from fastnn.torch.cross_entropy import cross_entropy as cross_entropy

Forward = Callable[[AnyArray, AnyArray | None, AnyArray | None], tuple[AnyArray, Any, AnyArray]]
Backward = Callable[..., tuple[AnyArray, AnyArray, AnyArray | None]]


def _seed() -> int:
    """Draw a new seed from torch's default generator."""
    return int(torch.randint(2**63 - 1, ()))


def _norm(
    name: str,
    forward: Forward,
    backward: Backward,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    *needed: int,
) -> Tensor:
    """Run a norm: forward(x, w, b) returns y, mean and rstd, backward(dy, x, w, mean, rstd) returns three gradients."""

    def run(x: AnyArray, w: AnyArray | None, b: AnyArray | None) -> Ran:
        y, mean, rstd = forward(x, w, b)
        has_bias = b is not None

        def gradients(dy: AnyArray, x: AnyArray, w: AnyArray | None, *others: AnyArray) -> tuple[AnyArray | None, ...]:
            dx, dweight, dbias = backward(dy, x, w, mean, rstd, *others)
            return dx, None if w is None else dweight, dbias if has_bias else None

        return y, (0, 1, *needed), gradients

    return fused(name, run, input, weight, bias)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """See `fastnn.functional.layer_norm`; the order of arguments is torch's."""
    check(input, weight, bias)
    shape = tuple(normalized_shape)
    return _norm(
        "layer_norm",
        lambda x, w, b: F.layer_norm(x, shape, w, b, eps, return_stats=True),
        F.layer_norm_backward,
        input.contiguous(), weight, bias,
    )  # fmt: skip


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """See `fastnn.functional.rms_norm`; the order of arguments is torch's."""
    check(input, weight)
    shape = tuple(normalized_shape)

    def backward(
        dy: AnyArray, x: AnyArray, w: AnyArray | None, _: None, rrms: AnyArray
    ) -> tuple[AnyArray, AnyArray, None]:
        return *F.rms_norm_backward(dy, x, w, rrms), None

    def forward(x: AnyArray, w: AnyArray | None, _: AnyArray | None) -> tuple[AnyArray, None, AnyArray]:
        y, rrms = F.rms_norm(x, shape, w, eps, return_stats=True)
        return y, None, rrms

    return _norm("rms_norm", forward, backward, input.contiguous(), weight, None)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """See `fastnn.functional.group_norm`; the order of arguments is torch's."""
    check(input, weight, bias)
    return _norm(
        "group_norm",
        lambda x, w, b: F.group_norm(x, num_groups, w, b, eps, return_stats=True),
        lambda dy, x, w, mean, rstd: F.group_norm_backward(dy, x, num_groups, w, mean, rstd),
        input.contiguous(), weight, bias,
    )  # fmt: skip


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    activation: Literal["relu"] | None = None,
) -> Tensor:
    """See `fastnn.functional.batch_norm`; the order of arguments is torch's.

    Images may be channels_last; the result and the gradient then are too.

    Args:
        activation: "relu" applies a ReLU after the norm, in the same pass.
    """
    check(input, running_mean, running_var, weight, bias)
    last = input.dim() == 4 and not input.is_contiguous() and input.is_contiguous(memory_format=torch.channels_last)
    mean, var = array(running_mean), array(running_var)
    y = _norm(
        "batch_norm",
        lambda x, w, b: F.batch_norm(
            x, mean, var, w, b, training, momentum, eps, activation=activation, channels_last=last, return_stats=True
        ),
        lambda dy, x, w, mean, rstd, y=None: F.batch_norm_backward(
            dy, x, w, mean, rstd, training, y=y, channels_last=last
        ),
        input.permute(0, 2, 3, 1) if last else input.contiguous(), weight, bias, *((3,) if activation else ()),
    )  # fmt: skip
    if training and running_mean is not None:
        count_writes([running_mean, running_var])
    return y.permute(0, 3, 1, 2) if last else y


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """See `fastnn.functional.dropout`. Without training, or with p = 0, the result is the input itself, as in torch."""
    check(input)
    if 0 <= p <= 1 and not (training and p > 0):
        return input

    def run(x: AnyArray) -> Ran:
        y, mask = F.dropout(x, p, generator=_seed(), return_mask=True)
        return y, (), lambda dy: (F.dropout_backward(dy, mask),)

    return fused("dropout", run, input.contiguous())


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """See `fastnn.functional.gelu`."""
    check(input)
    return fused(
        "gelu",
        lambda x: (F.gelu(x, approximate), (0,), lambda dy, x: (F.gelu_backward(dy, x, approximate),)),
        input.contiguous(),
    )


def max_pool2d(input: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """See `fastnn.functional.max_pool2d`."""
    check(input)
    sizes = kernel_size, stride, padding

    def run(x: AnyArray) -> Ran:
        (y, places), shape = F.max_pool2d(x, *sizes, return_indices=True), x.shape
        return y, (), lambda dy: (F.max_pool2d_backward(dy, places, shape, *sizes),)

    return fused("max_pool2d", run, input.contiguous())


def silu(input: Tensor) -> Tensor:
    """See `fastnn.functional.silu`."""
    check(input)
    return fused("silu", lambda x: (F.silu(x), (0,), lambda dy, x: (F.silu_backward(dy, x),)), input.contiguous())


def softmax(input: Tensor, dim: int) -> Tensor:
    """See `fastnn.functional.softmax`."""
    check(input)

    def run(x: AnyArray) -> Ran:
        return F.softmax(x, dim), (1,), lambda dy, y: (F.softmax_backward(dy, y, dim),)

    return fused("softmax", run, input.contiguous())


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

    This is for training with dropout, which torch does not fuse on the CPU; without dropout, torch's function is
    faster.

    Args:
        query: (..., L, E). key: (..., S, E). value: (..., S, V).
        attn_mask: broadcast to (..., L, S); a bool mask is True for positions that take part, a float mask is added.
        dropout_p: in [0, 1].
        is_causal: position i attends to positions up to i; not together with attn_mask.
        scale: 1 / sqrt(E) by default.

    A fully masked row gives NaN, where torch gives zeros.

    Source: A. Vaswani et al., "Attention is all you need", NIPS 2017, equation 1.
    """
    check_products(query, key, value)
    if is_causal:
        if attn_mask is not None:
            raise ValueError("attn_mask: got a mask and is_causal=True, want one of the two")
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill_(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores.add_(attn_mask)
    return torch.matmul(dropout(softmax(scores, -1), dropout_p), value)


def linear_gelu(input: Tensor, weight: Tensor, bias: Tensor | None = None, approximate: str = "none") -> Tensor:
    """gelu(input @ weight.T + bias): torch's product, then bias and activation in one pass; the gradients likewise.

    Args:
        input: (..., in).
        weight: (out, in).
        bias: (out,), or None.
        approximate: as in `gelu`.
    """
    check_products(input, weight, bias)
    activation = "gelu" if approximate == "none" else "gelu_tanh"

    def run(z: AnyArray, b: AnyArray | None) -> Ran:
        def gradients(dy: AnyArray, z: AnyArray, b: AnyArray | None = None) -> tuple[AnyArray | None, ...]:
            return F.bias_activation_backward(dy, z, b, activation)

        return F.bias_activation(z, b, activation), (0,) if b is None else (0, 1), gradients

    return fused("linear_gelu", run, torch.nn.functional.linear(input, weight), bias)
