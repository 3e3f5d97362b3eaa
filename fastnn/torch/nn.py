"""Fused modules of torch.nn: subclasses with the same arguments, parameters, buffers and state dicts.

A module calls the function of `fastnn.torch.functional`, which runs torch's code for inputs that the kernels do not
take, or for which torch is faster.
"""

import torch
from torch import Tensor, nn

from fastnn.torch import functional as F
from fastnn.torch.attention import MultiheadAttention
from fastnn.torch.pairs import (
    GELU,
    BatchNorm1d,
    BatchNorm2d,
    BatchNormReLU1d,
    BatchNormReLU2d,
    Linear,
    LinearGELU,
    Sequential,
)


class Dropout(nn.Dropout):
    """torch.nn.Dropout with a mask drawn in parallel and never stored. With inplace=True it runs torch's code."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.Dropout."""
        return super().forward(input) if self.inplace else F.dropout(input, self.p, self.training)


class LayerNorm(nn.LayerNorm):
    """torch.nn.LayerNorm in one pass each way; see `fastnn.functional.layer_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.LayerNorm."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.RMSNorm):
    """torch.nn.RMSNorm in one pass each way; see `fastnn.functional.rms_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        """As torch.nn.RMSNorm."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(nn.GroupNorm):
    """torch.nn.GroupNorm; see `fastnn.functional.group_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.GroupNorm."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class SiLU(nn.SiLU):
    """torch.nn.SiLU; see `fastnn.functional.silu`. With inplace=True it runs torch's code."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.SiLU."""
        return super().forward(input) if self.inplace else F.silu(input)


class MaxPool2d(nn.MaxPool2d):
    """torch.nn.MaxPool2d; see `fastnn.functional.max_pool2d`.

    It runs torch's code with return_indices, ceil_mode or dilation.
    """

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.MaxPool2d."""
        dilated = self.dilation is True or self.dilation not in (1, (1,), (1, 1), [1], [1, 1])
        if self.return_indices or self.ceil_mode or dilated:
            torchs: Tensor = super().forward(input)
            return torchs
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding)


class CrossEntropyLoss(nn.CrossEntropyLoss):
    """torch.nn.CrossEntropyLoss that computes the gradient together with the loss."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """As torch.nn.CrossEntropyLoss."""
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
    "Linear",
    "LinearGELU",
    "MaxPool2d",
    "MultiheadAttention",
    "RMSNorm",
    "Sequential",
    "SiLU",
]

torch.serialization.add_safe_globals([globals()[name] for name in __all__])  # for torch.load(weights_only=True)
