"""Containers: Sequential and Residual run their layers, ModuleList and ModuleDict only hold modules."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

from fastnn._types import Array
from fastnn.nn.listing import Container, Layers, checked_module, checked_names
from fastnn.nn.module import Backward, Module
from fastnn.nn.running import run, unwind


class Sequential(Layers):
    """Run layers one after the other; the closure runs their closures in reverse.

    Args:
        layers: the layers in the order they run; or one dict of names and layers, which are then also attributes.

    Layers are read, replaced and removed by position, also a negative one, as in a list: `model[-1] = head`,
    `del model[1]`, `model[:2]`; `append`, `insert`, `extend` and `pop` change it too. Optimizers do not see changes:
    make them afterwards. Names in the state are positions, or the names of the dict.

    Raises:
        TypeError: an argument is not a Module, or a name not a str.
        ValueError: a name is empty, has a dot, or is that of another attribute.

    `backward(dy, input_grad=False)`, which training uses, skips the layers before the first one with a parameter that
    requires a gradient.
    """

    @overload
    def __init__(self, *layers: Module) -> None: ...
    @overload
    def __init__(self, layers: Mapping[str, Module], /) -> None: ...
    def __init__(self, *layers: Any) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            self._layers = checked_names(layers[0])
            taken = [name for name in self._layers if hasattr(type(self), name) or name in vars(self)]
            if taken:
                raise ValueError(f"layers: got the name {taken[0]!r}, want one that no attribute has; rename it")
        else:
            self.extend(checked_module(f"layers[{i}]", layer) for i, layer in enumerate(layers))

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """Return the result of the last layer and the closure; x is the input of the first layer.

        Raises:
            TypeError, ValueError: what a layer raises, with the layer's place, class and input in the message; or a
                layer does not return a pair (y, backward).
        """
        layers = self._layers
        y, backwards = run(layers, x)
        return y, lambda dy, input_grad=True: unwind(layers, backwards, dy, input_grad)

    def get_config(self) -> dict[str, Any]:
        """Return {"layers": the layers by name}; the arguments of a subclass with a constructor of its own."""
        if type(self).__init__ is not Sequential.__init__:
            return super().get_config()
        return {"layers": dict(self._layers)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return a container with what `get_config` returned."""
        if cls.__init__ is not Sequential.__init__:
            return super().from_config(config)
        (layers,) = config.values()
        return cls(checked_names(layers))

    def __getattr__(self, name: str) -> Any:
        layers = vars(self).get("_layers", {})
        if name not in layers:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return layers[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self).get("_layers", ()):
            self[list(self._layers).index(name)] = value
        else:
            super().__setattr__(name, value)


class Residual(Sequential):
    """y = x + f(x), where f runs layers one after the other; arguments and errors are those of `Sequential`.

    Source: K. He et al., "Deep residual learning for image recognition", CVPR 2016, equation 1.
    """

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """x and y: any shape that the layers keep.

        Raises:
            TypeError, ValueError: as for `Sequential`.
            ValueError: the layers change the shape or the dtype.
        """
        y, inner = super().__call__(x)
        if y.shape != x.shape or y.dtype != x.dtype:
            raise ValueError(
                f"x: got {x.dtype} {x.shape} and {y.dtype} {y.shape} from the layers, want the same dtype and shape to "
                "add them; end the layers with one that gives x's shape, such as nn.Linear(..., x.shape[-1])"
            )

        def backward(dy: Array, input_grad: bool = True) -> Array | None:
            dx = inner(dy, input_grad)
            return None if dx is None else dy + dx

        return x + y, backward


class ModuleList(Layers):
    """A list of modules, for a module that calls them itself; methods and names in the state are PyTorch's.

    It can be indexed, sliced and changed like `Sequential`.

    Args:
        modules: an iterable of modules; None for an empty list.

    Raises:
        TypeError: modules is not an iterable of Modules.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def get_config(self) -> dict[str, Any]:
        """Return {"modules": list of the modules}; the arguments of a subclass with a constructor of its own."""
        return {"modules": list(self)} if type(self).__init__ is ModuleList.__init__ else super().get_config()

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """Raise NotImplementedError."""
        raise NotImplementedError("ModuleList: got a call, want calls of its modules; loop over it, or use Sequential")


class ModuleDict(Container):
    """A dict of modules, for a module that calls them itself. Their names in the state are those of PyTorch.

    Args:
        modules: a mapping of names to modules, or an iterable of (name, module); None for an empty dict.

    Raises:
        TypeError: a name is not a str, or a value not a Module.
        ValueError: a name is empty or has a dot.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def get_config(self) -> dict[str, Any]:
        """Return {"modules": the modules by name}; the arguments of a subclass with a constructor of its own."""
        return {"modules": dict(self._layers)} if type(self).__init__ is ModuleDict.__init__ else super().get_config()

    def __call__(self, x: Array) -> tuple[Array, Backward]:
        """Raise NotImplementedError."""
        raise NotImplementedError("ModuleDict: got a call, want calls of its modules; call the one of a key, d[key](x)")

    def __getitem__(self, key: str) -> Module:
        if key not in self._layers:
            raise KeyError(f"key: got {key!r}, want one of {list(self._layers)}; add it with d[{key!r}] = module")
        return self._layers[key]

    def __setitem__(self, key: str, module: Module) -> None:
        """Add or replace a module; raises as the constructor does."""
        self.update({key: module})

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __contains__(self, key: object) -> bool:
        return key in self._layers

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._layers.keys()

    def values(self) -> ValuesView[Module]:
        """Return the modules."""
        return self._layers.values()

    def items(self) -> ItemsView[str, Module]:
        """Return the pairs of names and modules."""
        return self._layers.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules: all of them, or none if it raises as the constructor does."""
        self._layers = self._layers | checked_names(modules)

    def pop(self, key: str) -> Module:
        """Remove a module and return it.

        Raises:
            KeyError: there is no module of this name.
        """
        module = self[key]
        self._layers = {name: other for name, other in self._layers.items() if name != key}
        return module

    def clear(self) -> None:
        """Remove all modules."""
        self._layers = {}
