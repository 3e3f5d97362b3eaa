"""`Module`, the base class of all layers: a tree of parameters, buffers and other modules."""

import inspect
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from fastnn._checks import flag, is_array, is_ours, not_array
from fastnn._parameter import Parameter
from fastnn._types import AnyArray, Array


class Backward(Protocol):
    """The closure that a layer call returns with its result: it adds to the parameters' gradients and returns dx.

    Args:
        dy: gradient of the loss with respect to the layer's result, of the result's shape and dtype; never written to.
        input_grad: False if dx is not needed; its computation is then skipped where possible.

    Returns:
        dx, of the shape of the layer's input, or None with `input_grad=False`. A layer that changes nothing (dropout in
            evaluation) returns dy itself.
    """

    def __call__(self, dy: Array, input_grad: bool = True) -> Array | None: ...


class LoadResult(NamedTuple):
    """The keys that `Module.load_state_dict(strict=False)` skipped."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base class of all layers: `y, backward = layer(x)` runs a layer forward, `dx = backward(dy)` backward.

    The members of a module are its attributes, in the order they were assigned: a `Parameter` is trained, an ndarray is
    a buffer (saved with the state, not trained), a `Module` is a child. Those in lists, tuples and dicts, nested or
    not, count too; their names are "attribute.position" and "attribute.key", where a key is an int or a str without a
    dot. Sets of them raise TypeError, and other keys ValueError, when the members are read. `training` tells layers
    that behave differently in evaluation; `train()` and `eval()` set it for the whole tree.
    """

    training: bool = True

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """Return the result for `x` and its backward closure, which owns all that it needs: the module keeps nothing.

        The caller must not change x or the result until the closure has run.
        """
        raise NotImplementedError(f"{type(self).__name__}: define __call__(self, x) to return (y, backward)")

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter of the tree once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its state_dict key; a shared one comes once, under its first name."""
        seen: set[int] = set()
        for name, value in self._walk(""):
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield the names and modules directly below this one."""
        return ((name, value) for name, value in self._members() if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """Yield this module and all modules below it once each, parents first."""
        pending: list[Module] = [self]
        seen: set[int] = set()
        while pending:
            module = pending.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield module
                pending.extend(reversed([child for _, child in module.named_children()]))

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters of the tree, and return the module: False freezes it.

        Raises:
            TypeError: requires_grad is not a bool.
        """
        flag("requires_grad", requires_grad)
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def train(self, mode: bool = True) -> Self:
        """Set `training` to `mode` in the whole tree and return the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Discard the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def state_dict(self) -> dict[str, AnyArray]:
        """Return parameters and buffers by name, as in PyTorch ("0.weight", "1.running_mean").

        The arrays are not copies: further training changes them.
        """
        return {name: value.data if isinstance(value, Parameter) else value for name, value in self._walk("")}

    def load_state_dict(self, state: Mapping[str, AnyArray], strict: bool = True) -> LoadResult:
        """Copy `state` into the module's own memory: all of it, or nothing if it raises.

        Args:
            state: arrays by name, as `state_dict()` returns them.
            strict: False allows missing and unexpected keys, which are returned.

        Raises:
            TypeError: the state is not a dict, or a value not an array of the module's dtype.
            ValueError: keys are missing or unexpected (strict), or a shape is wrong.
        """
        if not isinstance(state, Mapping):
            remedy = "pass its state_dict()" if hasattr(state, "state_dict") else "pass dict(it)"
            if isinstance(state, str | PathLike):
                remedy = "read the file first, or call fastnn.load(path) for the whole model"
            raise TypeError(f"state: got {type(state).__name__}, want a dict, as state_dict() returns; {remedy}")
        own = self.state_dict()
        result = LoadResult([key for key in own if key not in state], [key for key in state if key not in own])
        if strict and (result.missing_keys or result.unexpected_keys):
            raise ValueError(
                f"state: got keys without {result.missing_keys} and with unknown {result.unexpected_keys}, "
                "want exactly the module's; pass strict=False to load those that fit"
            )
        found = {key: state[key] for key in own if key in state}
        for key, value in found.items():
            if not is_array(value) or value.dtype != own[key].dtype:
                raise not_array(key, value, own[key].dtype)
            if value.shape != own[key].shape:
                raise ValueError(f"{key}: got shape {value.shape}, want {own[key].shape}; build the saved model")
        for key, value in found.items():
            np.copyto(own[key], value)
        return result

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, from which `fastnn.load` builds the layer again.

        By default, these are the attributes that have the names of the arguments. A layer that keeps an argument under
        another name, or not at all, defines this method: `return {"width": self._width}`. The values are numbers,
        strings, booleans, None, dtypes, generators, modules, and lists, tuples and dicts of them.

        Raises:
            TypeError: an argument has no attribute of its name, or the constructor takes *args or **kwargs.
        """
        found, kind = {}, type(self).__name__
        for argument in _arguments(type(self)):
            name = argument.name
            if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                raise TypeError(f"{kind}: got a constructor with {argument}, want names for all arguments, or a method "
                                f"get_config that returns them by name; define it in {kind}")  # fmt: skip
            if not hasattr(self, name):
                raise TypeError(f"{kind}: got the argument {name} of its constructor and no attribute of that name, "
                                f"want one; write self.{name} = {name} in __init__, or define get_config")  # fmt: skip
            found[name] = getattr(self, name)
        return found

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return a new layer with the arguments that `get_config` returned: `cls(**config)`."""
        return cls(**config)

    def _members(self) -> Iterator[tuple[str, object]]:
        for name, value in vars(self).items():
            if isinstance(value, _MEMBERS):
                yield name, value
            elif isinstance(value, _NESTS):
                yield from _inside(name, value)

    def _walk(self, prefix: str) -> Iterator[tuple[str, Parameter | AnyArray]]:
        members = list(self._members())
        yield from ((prefix + name, value) for name, value in members if isinstance(value, Parameter))
        yield from ((prefix + name, value) for name, value in members if isinstance(value, np.ndarray))
        for name, child in members:
            if isinstance(child, Module):
                yield from child._walk(f"{prefix}{name}.")

    def _options(self) -> str:
        """Return the text between the parentheses of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}" for name, child in self.named_children()]
        if not children:
            return f"{type(self).__name__}({self._options()})"
        body = "\n".join(children).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _arguments(kind: type[Module]) -> list[inspect.Parameter]:
    """Return the arguments of a class's constructor."""
    if kind.__init__ is object.__init__:
        return []
    return list(inspect.signature(kind.__init__).parameters.values())[1:]


_MEMBERS = (Parameter, np.ndarray, Module)
_NESTS = (list, tuple, dict, set, frozenset)


def call(module: Module, x: Array) -> tuple[Array, Backward]:
    """Return the result of a module and its closure.

    Raises:
        TypeError: a call of the module returns anything but such a pair.
    """
    result: Any = module(x)
    if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(f"{type(module).__name__}.__call__: got {got} as its result, want a pair (y, backward) with a "
                        "function backward(dy, input_grad=True); end it with return y, backward")  # fmt: skip
    if is_ours(module):
        return result
    return result[0], _guarded(type(module).__name__, result[1], x)


def _guarded(kind: str, backward: Backward, x: Any) -> Backward:
    """Return the closure of a layer of one's own, whose errors name the layer: what it takes and what it returns."""
    takes_gradient = isinstance(x, np.ndarray) and x.dtype.kind == "f"
    shape, dtype = (x.shape, x.dtype) if takes_gradient else ((), None)

    def run(dy: Array, input_grad: bool = True) -> Array | None:
        try:
            dx = backward(dy, input_grad)
        except TypeError:
            if _takes(backward, dy, input_grad):
                raise
            if not _takes(backward, dy, input_grad=input_grad):
                takes = f"got a closure that takes {inspect.signature(backward)}"
                raise TypeError(f"{kind}: {takes}, want (dy, input_grad=True); define it as def backward(dy, "
                                "input_grad=True)") from None  # fmt: skip
            dx = backward(dy, input_grad=input_grad)
        if not takes_gradient or not input_grad or dx is None:
            return dx
        got: Any = dx
        if not isinstance(got, np.ndarray) or got.shape != shape or got.dtype != dtype:
            is_array = isinstance(got, np.ndarray)
            remedy = "return dx.astype(x.dtype)" if is_array and got.shape == shape else "let backward return dx"
            raise TypeError(f"{kind}: got {f'{got.dtype} {got.shape}' if is_array else type(got).__name__} from its "
                            f"closure, want {dtype} {shape} like its input x; {remedy}")  # fmt: skip
        return got

    return run


def _takes(function: Any, *arguments: Any, **named: Any) -> bool:
    """Return whether a function can be called with these arguments; True if it does not tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True


def _inside(name: str, nest: Any) -> Iterator[tuple[str, object]]:
    """Yield the members in a list, tuple or dict with their names."""
    if isinstance(nest, set | frozenset):
        if any(True for _ in _inside(name, list(nest))):
            raise TypeError(f"{name}: got a set of modules or parameters, want them in an order; use a list")
        return
    is_dict = isinstance(nest, dict)
    for key, item in nest.items() if is_dict else enumerate(nest):
        if not isinstance(item, _MEMBERS + _NESTS):
            continue
        if is_dict and isinstance(item, np.ndarray) and not isinstance(key, str | int):
            continue  # a cache of arrays by shape, say; a buffer has a name
        place = f"{name}.{key}"
        for member in _inside(place, item) if isinstance(item, _NESTS) else ((place, item),):
            if is_dict:
                _check_key(name, key, nest)
            yield member


def _check_key(name: str, key: Any, nest: dict[Any, Any]) -> None:
    """Raise ValueError if the names of two members may be the same."""
    is_number = isinstance(key, int)
    if not (is_number or isinstance(key, str)) or "." in str(key) or (is_number and str(key) in nest):
        raise ValueError(f"{name}: got the key {key!r} of a member, want an int or a str without a dot, and no int "
                         "beside a str of its digits; rename it")  # fmt: skip
