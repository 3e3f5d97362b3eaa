"""fastnn inside a PyTorch program: optimizers, modules and functions over torch's CPU tensors.

Needs PyTorch, which is imported with this module and nowhere else in the package. Tensors are looked at where they lie;
nothing is copied but what is strided. Gradients flow through torch's autograd, once: a second derivative is refused.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError("fastnn.torch: got no PyTorch, want it installed; pip install 'fastnn[torch]'") from error

from fastnn.torch import functional, init, nn, optim
from fastnn.torch.clip import clip_grad_norm_, clip_grad_value_
from fastnn.torch.replacing import Replacement, replace

__all__ = ["Replacement", "clip_grad_norm_", "clip_grad_value_", "functional", "init", "nn", "optim", "replace"]
