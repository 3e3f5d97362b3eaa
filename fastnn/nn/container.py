"""Sequential: layers one after the other."""

from collections.abc import Iterator
from typing import overload

from fastnn._types import Array
from fastnn.nn.module import Backward, Module


class Sequential(Module):
    """Run layers one after the other; the closure runs their closures in reverse.

    Args:
        layers: the layers in the order they run. Indexing, slicing, `len` and iteration access them.

    Raises:
        TypeError: an argument is not a Module.

    `backward(dy, input_grad=False)`, which training uses, skips the layers before the first one with parameters.
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"layers[{i}]: got {type(layer).__name__}, want a Module; unpack lists with *")
        self._layers = layers

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """Return the result of the last layer and the closure; x is the input of the first layer."""
        layers = self._layers
        backwards: list[Backward] = []
        for layer in layers:
            x, layer_backward = layer(x)
            backwards.append(layer_backward)

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            first = 0 if input_grad else _first_with_parameters(layers)
            dx: Array | None = dy
            for i in range(len(layers) - 1, first - 1, -1):
                assert dx is not None
                dx = backwards[i](dx, input_grad or i > first)
            return dx if input_grad else None

        return x, backward

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self._layers[index]) if isinstance(index, slice) else self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    def _members(self) -> Iterator[tuple[str, object]]:
        return ((name.removeprefix("_layers."), value) for name, value in super()._members())


def _first_with_parameters(layers: tuple[Module, ...]) -> int:
    return next((i for i, layer in enumerate(layers) if any(True for _ in layer.parameters())), len(layers))
