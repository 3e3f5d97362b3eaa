"""fastnn inside a PyTorch program: optimizers, modules and functions over torch's CPU tensors.

Requires PyTorch, which only this module imports. Tensors are used in place; only strided ones are copied. Gradients
flow through torch's autograd; second derivatives raise an error.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("fastnn.torch: got no PyTorch, want it installed; pip install 'fastnn[torch]'") from error

from fastnn.torch import functional, init, nn, optim
from fastnn.torch.clip import clip_grad_norm_, clip_grad_value_
from fastnn.torch.replacing import Replacement, replace

__all__ = ["Replacement", "clip_grad_norm_", "clip_grad_value_", "functional", "init", "nn", "optim", "replace"]
