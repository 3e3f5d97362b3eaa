"""Fused modules of torch.nn: subclasses with the same arguments, parameters, buffers and state dicts.

A module calls its base class for inputs that the kernels cannot use: tensors on other devices, of other dtypes or of
subclasses of torch.Tensor, and everything under torch.compile, torch.func's transforms and, for modules with a product,
autocast.
"""

import math
from typing import Any, ClassVar, Literal, SupportsIndex

import torch
from torch import Tensor, nn

from fastnn.torch import functional as F
from fastnn.torch.autograd import fits, fits_products
from fastnn.torch.cross_entropy import learns


class Dropout(nn.Dropout):
    """torch.nn.Dropout with a mask drawn in parallel and never stored. With inplace=True it runs torch's code."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.Dropout."""
        if self.inplace or not fits(input):
            return super().forward(input)
        return F.dropout(input, self.p, self.training)


class LayerNorm(nn.LayerNorm):
    """torch.nn.LayerNorm in one pass each way; see `fastnn.functional.layer_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.LayerNorm."""
        if not fits(input, self.weight, self.bias):
            return super().forward(input)
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.RMSNorm):
    """torch.nn.RMSNorm in one pass each way; see `fastnn.functional.rms_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        """As torch.nn.RMSNorm."""
        if not fits(x, self.weight):
            return super().forward(x)
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(nn.GroupNorm):
    """torch.nn.GroupNorm; see `fastnn.functional.group_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.GroupNorm."""
        if not fits(input, self.weight, self.bias):
            return super().forward(input)
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class _FusedBatchNorm:
    """Mixin of the batch norms, placed before their class of torch.nn."""

    activation: ClassVar[Literal["relu"] | None] = None

    def forward(self: Any, input: Tensor) -> Tensor:
        """As the class of torch.nn."""
        if not fits(input, self.weight, self.bias, self.running_mean, self.running_var):
            y = super().forward(input)  # type: ignore[misc]
            return nn.functional.relu(y) if self.activation else y
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        kept = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if kept else (None, None)
        own = self.training or (self.running_mean is None and self.running_var is None)
        return F.batch_norm(
            input, mean, var, self.weight, self.bias, own, momentum, self.eps, activation=self.activation
        )


class BatchNorm1d(_FusedBatchNorm, nn.BatchNorm1d):
    """torch.nn.BatchNorm1d; see `fastnn.functional.batch_norm`."""


class BatchNorm2d(_FusedBatchNorm, nn.BatchNorm2d):
    """torch.nn.BatchNorm2d; see `fastnn.functional.batch_norm`. Images may be channels_last."""


class BatchNormReLU1d(BatchNorm1d):
    """torch.nn.BatchNorm1d followed by torch.nn.ReLU, in one pass."""

    activation = "relu"


class BatchNormReLU2d(BatchNorm2d):
    """torch.nn.BatchNorm2d followed by torch.nn.ReLU, in one pass."""

    activation = "relu"


class GELU(nn.GELU):
    """torch.nn.GELU; see `fastnn.functional.gelu`."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.GELU."""
        return F.gelu(input, self.approximate) if fits(input) else super().forward(input)


class SiLU(nn.SiLU):
    """torch.nn.SiLU; see `fastnn.functional.silu`. With inplace=True it runs torch's code."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.SiLU."""
        return F.silu(input) if fits(input) and not self.inplace else super().forward(input)


class MaxPool2d(nn.MaxPool2d):
    """torch.nn.MaxPool2d; see `fastnn.functional.max_pool2d`.

    It runs torch's code with return_indices, ceil_mode, dilation, windows of more than 255 elements or channels_last
    images.
    """

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.MaxPool2d."""
        if not (fits(input) and input.dim() in (3, 4) and input.is_contiguous() and self._is_plain()):
            torchs: Tensor = super().forward(input)
            return torchs
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding)

    def _is_plain(self) -> bool:
        kernel, dilation = _both(self.kernel_size), _both(self.dilation)
        return not (self.return_indices or self.ceil_mode) and dilation == (1, 1) and kernel[0] * kernel[1] <= 255


def _both(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, SupportsIndex) else tuple(size)


class LinearGELU(nn.Linear):
    """torch.nn.Linear followed by torch.nn.GELU, with bias and activation in one pass.

    Args:
        in_features, out_features, bias, device, dtype: as for torch.nn.Linear.
        approximate: as for torch.nn.GELU.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        approximate: str = "none",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """gelu(input @ weight.T + bias)."""
        if not fits_products(input, self.weight, self.bias):
            return nn.functional.gelu(super().forward(input), approximate=self.approximate)
        return F.linear_gelu(input, self.weight, self.bias, self.approximate)

    def extra_repr(self) -> str:
        """Return the arguments for repr."""
        return f"{super().extra_repr()}, approximate={self.approximate!r}"


class MultiheadAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention that trains with fused softmax and dropout; see
    `fastnn.torch.functional.scaled_dot_product_attention`.

    This applies to training with dropout, need_weights=False and, if any, an attn_mask (L, S) that masks no row fully.
    Everything else, including evaluation, runs torch's code.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As torch.nn.MultiheadAttention."""
        plain = not need_weights and key_padding_mask is None and (attn_mask is not None or not is_causal)
        if not (plain and self._is_usual(query, key, value) and _leaves_something(attn_mask)):
            torchs: tuple[Tensor, Tensor | None] = super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
            return torchs
        q, k, v = self._heads(query, key, value)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask  # True means the opposite in torch's two masks
        y = F.scaled_dot_product_attention(q, k, v, attn_mask, self.dropout)  # (N, H, L, D)
        y = y.transpose(1, 2) if self.batch_first else y.permute(2, 0, 1, 3)
        return nn.functional.linear(y.flatten(2), self.out_proj.weight, self.out_proj.bias), None

    def _is_usual(self, query: Tensor, key: Tensor, value: Tensor) -> bool:
        return (
            self.training
            and self.dropout > 0
            and self._qkv_same_embed_dim
            and self.bias_k is None
            and not self.add_zero_attn
            and query.dim() == key.dim() == value.dim() == 3
            and fits_products(query, key, value, self.in_proj_weight, self.in_proj_bias, self.out_proj.weight)
        )

    def _heads(self, *inputs: Tensor) -> list[Tensor]:
        """Return the projected query, key and value, (N, H, length, D)."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if all(t is inputs[0] for t in inputs):
            projected = nn.functional.linear(inputs[0], weight, bias).chunk(3, -1)
        else:
            biases = (None, None, None) if bias is None else bias.chunk(3)
            parts = zip(inputs, weight.chunk(3), biases, strict=True)
            projected = tuple(nn.functional.linear(*part) for part in parts)
        order = (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        return [t.unflatten(-1, (self.num_heads, self.head_dim)).permute(order) for t in projected]


def _leaves_something(mask: Tensor | None) -> bool:
    if mask is None:
        return True
    hidden = mask if mask.dtype == torch.bool else mask == -math.inf
    return mask.dim() == 2 and not bool(hidden.all(-1).any())


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """torch.nn.CrossEntropyLoss that computes the gradient together with the loss.

    If weight or probabilities require a gradient, it runs torch's code.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """As torch.nn.CrossEntropyLoss."""
        probabilities = target if target.is_floating_point() else None
        if not fits(input, self.weight, probabilities) or learns(self.weight, probabilities):
            return super().forward(input, target)
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


__all__ = [
    "GELU",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNormReLU1d",
    "BatchNormReLU2d",
    "CrossEntropyLoss",
    "Dropout",
    "GroupNorm",
    "LayerNorm",
    "LinearGELU",
    "MaxPool2d",
    "MultiheadAttention",
    "RMSNorm",
    "SiLU",
]
