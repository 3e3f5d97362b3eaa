"""Fused modules of torch.nn: subclasses with the same arguments, parameters, buffers and state dicts.

A module calls its base class for inputs that the kernels cannot use: tensors on other devices, of other dtypes or of
subclasses of torch.Tensor, and everything under torch.compile, torch.func's transforms and, for modules with a product,
autocast. It also does so for inputs of fewer than `least` elements, where torch is faster. `least` is an attribute of
each class; a class or a module may be given another value.
"""

from contextlib import suppress
from typing import ClassVar

import torch
from torch import Tensor, nn

from fastnn.torch import functional as F
from fastnn.torch.attention import MultiheadAttention
from fastnn.torch.autograd import LEAST, fits, is_small, learns
from fastnn.torch.cross_entropy import takes
from fastnn.torch.pairs import (
    GELU,
    BatchNorm1d,
    BatchNorm2d,
    BatchNormReLU1d,
    BatchNormReLU2d,
    LinearGELU,
    Sequential,
)


class Dropout(nn.Dropout):
    """torch.nn.Dropout with a mask drawn in parallel and never stored. With inplace=True it runs torch's code."""

    least: ClassVar[int] = LEAST

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.Dropout."""
        if is_small(input, self.least) or self.inplace or not 0 <= self.p <= 1 or not fits(input):
            return super().forward(input)
        return F.dropout(input, self.p, self.training)


class LayerNorm(nn.LayerNorm):
    """torch.nn.LayerNorm in one pass each way; see `fastnn.functional.layer_norm`."""

    least: ClassVar[int] = LEAST

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.LayerNorm."""
        if is_small(input, self.least) or not fits(input, self.weight, self.bias):
            return super().forward(input)
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.RMSNorm):
    """torch.nn.RMSNorm in one pass each way; see `fastnn.functional.rms_norm`."""

    least: ClassVar[int] = LEAST

    def forward(self, x: Tensor) -> Tensor:
        """As torch.nn.RMSNorm."""
        if is_small(x, self.least) or not fits(x, self.weight):
            return super().forward(x)
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(nn.GroupNorm):
    """torch.nn.GroupNorm; see `fastnn.functional.group_norm`."""

    least: ClassVar[int] = LEAST

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.GroupNorm."""
        if is_small(input, self.least) or not fits(input, self.weight, self.bias):
            return super().forward(input)
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class SiLU(nn.SiLU):
    """torch.nn.SiLU; see `fastnn.functional.silu`. With inplace=True it runs torch's code."""

    least: ClassVar[int] = LEAST

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.SiLU."""
        if is_small(input, self.least) or self.inplace or not fits(input):
            return super().forward(input)
        return F.silu(input)


class MaxPool2d(nn.MaxPool2d):
    """torch.nn.MaxPool2d; see `fastnn.functional.max_pool2d`.

    It runs torch's code with return_indices, ceil_mode, dilation, windows of more than 255 elements or images that are
    not contiguous.
    """

    least: ClassVar[int] = LEAST

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.MaxPool2d."""
        if is_small(input, self.least) or not (fits(input) and input.is_contiguous() and self._is_plain()):
            torchs: Tensor = super().forward(input)
            return torchs
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding)

    def _is_plain(self) -> bool:
        dilated = self.dilation is True or self.dilation not in (1, (1,), (1, 1), [1], [1, 1])
        return not (self.return_indices or self.ceil_mode or dilated)


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """torch.nn.CrossEntropyLoss that computes the gradient together with the loss.

    If weight or probabilities require a gradient, it runs torch's code.
    """

    least: ClassVar[int] = LEAST

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """As torch.nn.CrossEntropyLoss."""
        if not is_small(input, self.least) and self._takes(input, target):
            with suppress(IndexError):  # torch names the label then
                return F.cross_entropy(
                    input,
                    target,
                    self.weight,
                    ignore_index=self.ignore_index,
                    reduction=self.reduction,
                    label_smoothing=self.label_smoothing,
                )
        return super().forward(input, target)

    def _takes(self, input: Tensor, target: Tensor) -> bool:
        if not takes(input, target, self.weight) or learns(self.weight, target):
            return False
        copied = input.dim() > 2 and not input.movedim(1, -1).is_contiguous()  # which costs more than torch's loss
        return not copied and fits(input, self.weight, target if target.is_floating_point() else None)


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
    "Sequential",
    "SiLU",
]

torch.serialization.add_safe_globals([globals()[name] for name in __all__])  # for torch.load(weights_only=True)
