"""Models of every layer with options that are not the defaults, layers of one's own, and files of forged models."""

import json
import sys
from typing import Any

import checkpoint_files as files
import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import Normalize
from fastnn.random import Generator


class Scale(nn.Module):
    """y = x * scale + shift, with a buffer, a nest of parameters, and arguments of several kinds."""

    def __init__(self, width: int, kind: Any = np.float32, *, names: Any = (), inner: Any = None) -> None:
        self.width, self.kind, self.names, self.inner = width, kind, names, inner
        self.count = np.zeros((), np.int64)
        self.scales = {"a": nn.Parameter(np.ones(width, kind)), "b": [nn.Parameter(np.ones(width, kind))]}

    def __call__(self, x: Any) -> Any:
        if self.training:
            self.count += 1
        a, b = self.scales["a"], self.scales["b"][0]

        def backward(dy: Any, input_grad: bool = True) -> Any:
            a.accumulate(lambda out: np.copyto(out, (dy * x).sum(0)))
            b.accumulate(lambda out: np.copyto(out, dy.sum(0)))
            return dy * a.data if input_grad else None

        return x * a.data + b.data, backward


class Block(nn.Module):
    """A layer that makes layers; one of them by the default dtype."""

    def __init__(self, width: int, p: float = 0.5) -> None:
        self._width, self._p = width, p
        self.body = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.Dropout(p))

    def get_config(self) -> dict[str, Any]:
        return {"width": self._width, "p": self._p}

    def __call__(self, x: Any) -> Any:
        return self.body(x)


class Net(nn.Sequential):
    """A Sequential with a constructor of its own."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(nn.Linear(width, width), nn.ReLU())


class Held(nn.Module):
    """Calls modules that are in containers which cannot be called."""

    def __init__(self, listed: nn.ModuleList, named: nn.ModuleDict) -> None:
        self.listed, self.named = listed, named

    def __call__(self, x: Any) -> Any:
        return nn.Sequential(*self.listed, *self.named.values())(x)


OWN = [Scale, Block, Net, Held]
F64 = np.float64


def layers() -> dict[str, list[nn.Module]]:
    """Return each layer of the package and of this file with options that are not the defaults, by its class."""
    two = lambda: [nn.Linear(6, 6, bias=False, generator=1), nn.Tanh()]  # noqa: E731
    norms = [
        kind(6, **options)
        for kind in (nn.BatchNorm1d,)
        for options in ({"eps": 1e-3}, {"momentum": None}, {"affine": False}, {"track_running_stats": False})
    ]
    norms += [nn.BatchNorm1d(6, affine=False, track_running_stats=False), nn.BatchNorm1d(6).eval()]
    return {
        "ELU": [nn.ELU(0.5)],
        "GELU": [nn.GELU("tanh")],
        "BatchNorm1d": norms,
        "BatchNorm2d": [images(nn.BatchNorm2d(6, 1e-4, 0.3))],
        "Dropout": [nn.Dropout(0.25, generator=Generator(3, 2)), nn.Dropout(0.1)],
        "Flatten": [nn.Sequential(nn.Flatten(0, 1), Fold(6))],
        "Identity": [nn.Identity(1, a=2)],
        "LayerNorm": [nn.LayerNorm(6, 1e-3), nn.LayerNorm([6], bias=False), nn.LayerNorm(6, elementwise_affine=False)],
        "LeakyReLU": [nn.LeakyReLU(0.25)],
        "Linear": [nn.Linear(6, 6, bias=False, generator=5), nn.Linear(6, 6, generator=6).requires_grad_(False)],
        "LogSoftmax": [nn.LogSoftmax(0)],
        "MaxPool2d": [images(nn.Sequential(nn.MaxPool2d((1, 3), (1, 1), (0, 1))))],
        "ModuleDict": [Held(nn.ModuleList(two()), nn.ModuleDict({"b": nn.Linear(6, 6, generator=1), "a": nn.ReLU()}))],
        "ModuleList": [Held(nn.ModuleList(), nn.ModuleDict({"tan": nn.Tanh()}))],
        "Normalize": [Normalize(6).fit(np.random.default_rng(0).normal(2, 3, (9, 6)).astype(np.float32))],
        "ReLU": [nn.ReLU()],
        "Residual": [nn.Residual(*two()), nn.Residual({"one": nn.Linear(6, 6, generator=1), "two": nn.SiLU()})],
        "Sequential": [nn.Sequential({"body": nn.Linear(6, 6, generator=1), "0": nn.ReLU()}), nn.Sequential()],
        "SiLU": [nn.SiLU()],
        "Sigmoid": [nn.Sigmoid()],
        "Softmax": [nn.Softmax(0)],
        "Softplus": [nn.Softplus(2.0, 10.0)],
        "Tanh": [nn.Tanh()],
        "Scale": [Scale(6, names=("a", [1, None], {2: 0.5, "x": float("inf")}), inner=nn.Tanh())],
        "Block": [Block(6, 0.125).eval(), Block(6)],
        "Net": [Net(6)],
    }


class Fold(nn.Module):
    """(N * F,) -> (N, F)."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, x: Any) -> Any:
        return x.reshape(-1, self.width), lambda dy, input_grad=True: dy.reshape(-1) if input_grad else None


class Images(nn.Module):
    """Gives (N, 6) to a layer of images as (N, 6, 1, 1) or (N, 1, 1, 6), and gives back (N, 6)."""

    def __init__(self, layer: nn.Module, shape: Any) -> None:
        self.layer, self.shape = layer, shape

    def __call__(self, x: Any) -> Any:
        y, backward = self.layer(np.ascontiguousarray(x.reshape(-1, *self.shape)))
        return y.reshape(x.shape), lambda dy, input_grad=True: backward(dy.reshape(y.shape)).reshape(x.shape)


def images(layer: nn.Module) -> Images:
    """Return a layer of images as one of rows."""
    return Images(layer, (6, 1, 1) if isinstance(layer, nn.BatchNorm2d) else (1, 1, 6))


OWN += [Fold, Images]
X = np.random.default_rng(1).standard_normal((8, 6), np.float32)


def traces(model: nn.Module) -> list[bytes]:
    """Return what a model computes as it is, in evaluation, and after two training steps, as bytes."""
    found = [model(X)[0].tobytes()]
    modes = [module.training for module in model.modules()]
    found.append(model.eval()(X)[0].tobytes())
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    optimizer = optim.SGD(list(model.parameters()) or [np.ones(1)], lr=0.5) if any(model.parameters()) else None
    for _ in range(2):
        y, backward = model(X)
        backward(np.ones_like(y))
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()
    state = model.state_dict()
    found += [name.encode() + array.tobytes() for name, array in state.items()]
    found.append(repr([(name, p.requires_grad, p.dtype) for name, p in model.named_parameters()]).encode())
    return [*found, repr([m.training for m in model.modules()]).encode(), repr(model).encode()]


def forged(path: Any, change: Any, tensors: Any = None) -> None:
    """Change the description of a model's file, or replace it by a text, and sign the file."""
    head, body = files.parts(path.read_bytes())
    state = json.loads(head["__metadata__"]["model"])
    made = change(state)
    head["__metadata__"]["model"] = made if isinstance(made, str) else json.dumps(made or state)
    if tensors is not None:
        head, body = {"__metadata__": head["__metadata__"]} | tensors[0], tensors[1]
    path.write_bytes(files.signed(head, body))


if __name__ == "__main__":  # in another process: prints what the model of a file computes
    fastnn.manual_seed(5)
    sys.stdout.write(repr([traces(fastnn.load(path, OWN)) for path in sys.argv[1:]]))
