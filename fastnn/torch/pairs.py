"""Modules of torch.nn of which two in a row can run in one pass: batch norm and ReLU, Linear and GELU."""

from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling
from torch.nn.modules import module as torchs

from fastnn.torch import functional as F
from fastnn.torch.autograd import fits, is_large, is_narrowed
from fastnn.torch.norms import is_large_for_batch_norm


class _FusedBatchNorm:
    """Mixin of the batch norms, placed before their class of torch.nn."""

    activation: ClassVar[Literal["relu"] | None] = None

    def forward(self, input: Tensor) -> Tensor:
        """As the class of torch.nn."""
        if is_large_for_batch_norm(input) and self.takes(input):
            return self.normalised(input, self.activation)
        y: Tensor = super().forward(input)  # type: ignore[misc]
        return nn.functional.relu(y) if self.activation else y

    def takes(self: Any, input: Tensor) -> bool:
        """Return whether the kernels take this input, which is large enough."""
        return fits(input, self.weight, self.bias, self.running_mean, self.running_var)

    def normalised(self: Any, input: Tensor, activation: Literal["relu"] | None) -> Tensor:
        """Return the norm of an input that the kernels take, followed by the activation."""
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        kept = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if kept else (None, None)
        own = self.training or (self.running_mean is None and self.running_var is None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, own, momentum, self.eps, activation=activation)


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
        return F.gelu(input, self.approximate)


class Linear(nn.Linear):
    """torch.nn.Linear by fastnn's products, which have the same bits everywhere; see `fastnn.functional.linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """As torch.nn.Linear."""
        return F.linear(input, self.weight, self.bias)


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
        return F.linear_gelu(input, self.weight, self.bias, self.approximate)

    def extra_repr(self) -> str:
        """Return the arguments for repr."""
        return f"{super().extra_repr()}, approximate={self.approximate!r}"


class Sequential(nn.Sequential):
    """torch.nn.Sequential that runs batch norm and ReLU, or Linear and GELU, in one pass where they are neighbours.

    Every call looks at the modules that are there now. So they may be replaced, wrapped, sliced, called alone or given
    hooks; two that are no longer a pair run one by one.
    """

    def forward(self, input: Any) -> Any:
        """As torch.nn.Sequential."""
        if is_dynamo_compiling():
            return super().forward(input)
        modules, done = list(self._modules.values()), -1
        for i, module in enumerate(modules):
            if i == done:
                continue
            operation = _OPERATIONS.get(type(module))  # first of all the size: small inputs must cost next to nothing
            if operation is None or not is_large(operation, input) or not _takes_pair(modules[i : i + 2], input):
                input = module(input)
            else:
                input, done = _run(module, modules[i + 1], input), i + 1
        return input


_SECONDS: dict[type, tuple[type, ...]] = {
    BatchNorm1d: (nn.ReLU,),
    BatchNorm2d: (nn.ReLU,),
    nn.Linear: (nn.GELU, GELU),
    Linear: (nn.GELU, GELU, nn.ReLU),
}


_OPERATIONS: dict[type, str] = {
    BatchNorm1d: "batch_norm",
    BatchNorm2d: "batch_norm",
    Linear: "linear",
    nn.Linear: "linear_gelu",
}


def is_pair(first: nn.Module | None, second: nn.Module | None) -> bool:
    """Return whether two modules can run in one pass, in which nothing sees the result of the first."""
    return type(second) in _SECONDS.get(type(first), ()) and _is_bare(first) and _is_bare(second)


def _is_bare(module: Any) -> bool:
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl
        or "forward" in vars(module)
    )


def _takes_pair(modules: list[Any], input: Any) -> bool:
    if len(modules) < 2 or not is_pair(*modules) or torchs._has_any_global_hook():
        return False
    first = modules[0]
    if isinstance(first, nn.Linear):
        return not is_narrowed() and fits(input, first.weight, first.bias)
    return is_large_for_batch_norm(input) and bool(first.takes(input))


def _run(first: Any, second: Any, input: Tensor) -> Tensor:
    if isinstance(first, Linear):
        tanh = getattr(second, "approximate", None) == "tanh"
        activation = "relu" if isinstance(second, nn.ReLU) else "gelu_tanh" if tanh else "gelu"
        return F.linear(input, first.weight, first.bias, activation=activation)
    if isinstance(first, nn.Linear):
        return F.linear_gelu(input, first.weight, first.bias, second.approximate)
    y: Tensor = first.normalised(input, "relu")
    return y
