"""What every layer is made of: `Parameter`, an array with its gradient, and `Module`, a tree of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
AnyArray = npt.NDArray[np.generic]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Backward(Protocol):
    """What a layer call returns beside its result: it adds to the parameters' gradients and returns dx.

    Args:
        dy: gradient of the loss by the layer's result; the result's shape and dtype. It is never written to.
        input_grad: False where nobody needs dx; its computation is then left out where it can be.

    Returns:
        dx, the shape of the layer's input, or None with `input_grad=False`. A layer that changes nothing (dropout
            in evaluation) returns dy itself.
    """

    def __call__(self, dy: Array, input_grad: bool = True) -> Array | None: ...


class Parameter:
    """An array that is trained, and its gradient.

    Args:
        data: C-contiguous, writable float32 or float64, any shape. It is used as it is, not copied.

    Raises:
        TypeError: data is no such array.
        ValueError: it is strided or read-only.

    Optimizers hold the memory of `data`, so it can be written (`p.data[...] = 0`, `p.data *= 2`), never replaced.
    """

    __slots__ = ("_data", "_grad", "_memory")

    def __init__(self, data: Array) -> None:
        if not isinstance(data, np.ndarray) or data.dtype not in FLOATS:
            got = data.dtype if isinstance(data, np.ndarray) else type(data).__name__
            raise TypeError(f"data: got {got}, want a float32 or float64 array; convert it with np.asarray")
        if not (data.flags.c_contiguous and data.flags.writeable):
            layout = "a strided array" if data.flags.writeable else "a read-only array"
            raise ValueError(f"data: got {layout}, want a C-contiguous, writable one; pass np.array(data, order='C')")
        self._data = data
        self._grad: Array | None = None  # None or _memory, so that an optimizer finds it in one look
        self._memory: Array | None = None

    @property
    def data(self) -> Array:
        """The values, always the same array."""
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        if value is not self._data:  # `p.data *= 2` assigns the same array again
            raise AttributeError("data: got another array, want the same one for good; write p.data[...] = values")

    @property
    def grad(self) -> Array | None:
        """The gradient, in the shape and dtype of `data`; None before the first backward after `zero_grad()`.

        It is always the same array, so after `zero_grad()` the next backward writes into what was handed out here.
        Assigned values are copied into it.
        """
        return self._grad

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if value is None:
            self._grad = None
            return
        if not isinstance(value, np.ndarray) or value.dtype != self.dtype:
            got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise TypeError(f"grad: got {got}, want a {self.dtype} array; convert it with np.asarray")
        if value.shape != self.shape:
            raise ValueError(f"grad: got shape {value.shape}, want {self.shape}; a gradient has its parameter's shape")
        buffer = self._buffer()
        if value is not buffer:
            np.copyto(buffer, value)
        self._grad = buffer

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of `data`."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The dtype of `data`: float32 or float64."""
        return self._data.dtype

    def accumulate(self, compute: Callable[[Array], object]) -> None:
        """Add a gradient; the first one after `zero_grad()` is written straight into the gradient's memory.

        Args:
            compute: called once with an array of the parameter's shape and dtype, which it fills with the
                gradient. What the array held before means nothing.
        """
        if self._grad is None:
            buffer = self._buffer()
            compute(buffer)
            self._grad = buffer
        else:
            out = np.empty_like(self._data)
            compute(out)
            self._grad += out

    def zero_grad(self) -> None:
        """Forget the gradient: `grad` reads None until the next one is written. Costs no pass over memory."""
        self._grad = None

    def _buffer(self) -> Array:
        if self._memory is None:
            self._memory = np.empty_like(self._data)
        return self._memory

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class LoadResult(NamedTuple):
    """The keys that `Module.load_state_dict(strict=False)` left alone."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers. `y, backward = layer(x)` runs it, `dx = backward(dy)` goes back.

    Attributes say what a module is made of, in the order they were assigned: a `Parameter` is trained, an ndarray
    is a buffer (saved with the state, not trained), a `Module` is a child. Lists and tuples of these count too.
    `training` tells layers that behave differently in evaluation; `train()` and `eval()` set it for the whole tree.
    """

    training: bool = True

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """The result for `x` and the closure that goes back from it. It owns all it needs: the module keeps nothing.

        Until the closure has run, neither x nor the result may be changed by the caller.
        """
        raise NotImplementedError(f"{type(self).__name__}: define __call__(self, x) to return (y, backward)")

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter of the tree, once each."""
        return (parameter for _, parameter in self.named_parameters())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its state_dict key; a shared one comes once, under its first name."""
        seen: set[int] = set()
        for name, value in self._walk(""):
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules directly below this one."""
        return ((name, value) for name, value in self._members() if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, parents first, once each."""
        pending: list[Module] = [self]
        seen: set[int] = set()
        while pending:
            module = pending.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield module
                pending.extend(reversed([child for _, child in module.named_children()]))

    def train(self, mode: bool = True) -> Self:
        """Set `training` to `mode` in the whole tree and return the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget every parameter's gradient."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def state_dict(self) -> dict[str, AnyArray]:
        """Parameters and buffers by name, as in PyTorch ("0.weight", "1.running_mean").

        The arrays are the live ones, not copies: training goes on changing them.
        """
        return {name: value.data if isinstance(value, Parameter) else value for name, value in self._walk("")}

    def load_state_dict(self, state: Mapping[str, AnyArray], strict: bool = True) -> LoadResult:
        """Copy `state` into the module's own memory, all of it or nothing.

        Args:
            state: arrays by name, as `state_dict()` returns them.
            strict: False lets keys be missing or unexpected; those are returned.

        Raises:
            TypeError: a value is no array or of another dtype than the module's.
            ValueError: missing or unexpected keys (strict), or a wrong shape.
        """
        own = self.state_dict()
        result = LoadResult([key for key in own if key not in state], [key for key in state if key not in own])
        if strict and (result.missing_keys or result.unexpected_keys):
            raise ValueError(
                f"state: got keys without {result.missing_keys} and with unknown {result.unexpected_keys}, "
                "want exactly the module's; pass strict=False to load those that fit"
            )
        found = {key: state[key] for key in own if key in state}
        for key, value in found.items():
            if not isinstance(value, np.ndarray) or value.dtype != own[key].dtype:
                got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
                want = own[key].dtype
                raise TypeError(f"{key}: got {got}, want a {want} array; convert it with np.asarray")
            if value.shape != own[key].shape:
                raise ValueError(f"{key}: got shape {value.shape}, want {own[key].shape}; build the saved model")
        for key, value in found.items():
            np.copyto(own[key], value)
        return result

    def _members(self) -> Iterator[tuple[str, object]]:
        for name, value in vars(self).items():
            if isinstance(value, list | tuple):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value))
            else:
                yield name, value

    def _walk(self, prefix: str) -> Iterator[tuple[str, Parameter | AnyArray]]:
        members = list(self._members())
        yield from ((prefix + name, value) for name, value in members if isinstance(value, Parameter))
        yield from ((prefix + name, value) for name, value in members if isinstance(value, np.ndarray))
        for name, child in members:
            if isinstance(child, Module):
                yield from child._walk(f"{prefix}{name}.")

    def _options(self) -> str:
        """What stands in the brackets of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self._options()})"
        body = "\n".join(children).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"
