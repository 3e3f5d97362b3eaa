"""Times every module and function of fastnn.torch beside torch's, from 1 to 10^7 elements, on one thread.

    python bench/torch_modules.py [--kernels] [--save] SECONDS [NAME ...]

prints {case: {elements: {mode: [torch / fastnn, microseconds of fastnn]}}} as JSON. The mode "train" is forward and
backward, "no_grad" forward in evaluation. With --kernels the kernels run for every size, from which the limits in
`fastnn.torch.limits` were chosen. --save writes bench/results/torch_modules.json, of which docs/torch.md has a table.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import torch
from torch import nn

import fastnn
from fastnn import torch as ft
from fastnn.benchmark import interleave
from fastnn.torch import limits

SIZES = tuple(10**i for i in range(8))
Measured = dict[str, dict[int, dict[str, tuple[float, float]]]]


def rows(n: int) -> Any:
    """Return about n elements, (rows, at most 250 columns): at least two rows."""
    columns = max(1, min(n // 2, 250))
    return torch.randn(max(2, n // columns), columns)


def images(n: int) -> Any:
    """Return images of about n elements, (N, C, H, W): at least two, with at most 16 channels of 32 x 32."""
    side = max(1, min(32, int((n / 8) ** 0.5)))
    channels = max(1, min(16, n // (2 * side * side)))
    return torch.randn(max(2, n // (channels * side * side)), channels, side, side)


def sequences(n: int) -> Any:
    """Return sequences of about n elements, (N, at most 64, at most 64)."""
    width = min(64, 4 * (n // 4) or n)
    length = max(1, min(64, n // width))
    return torch.randn(max(1, n // (width * length)), length, width)


def heads(n: int) -> Any:
    """Return queries of about n elements, (N, 4, at most 64, at most 16)."""
    width = max(1, min(16, n // 4))
    length = max(1, min(64, n // (4 * width)))
    return torch.randn(max(1, n // (4 * width * length)), 4, length, width)


def _labels(x: Any) -> Any:
    return torch.arange(len(x)) % x.shape[1]


def _pool(x: Any) -> int:
    return min(2, int(x.shape[-1]))


class _Loss(nn.Module):
    def __init__(self, loss: Any, x: Any) -> None:
        super().__init__()
        self.loss, self.labels = loss, _labels(x)

    def forward(self, x: Any) -> Any:
        return self.loss(x, self.labels)


class _Attention(nn.Module):
    def __init__(self, library: Any, x: Any) -> None:
        super().__init__()
        width = x.shape[-1]
        self.inner = library.MultiheadAttention(width, 4 if width % 4 == 0 else 1, 0.1, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.inner(x, x, x, need_weights=False)[0]


def _pair(first: str, second: str) -> Callable[[Any, Any], Any]:
    def make(library: Any, x: Any) -> Any:
        width = x.shape[1]
        model = nn.Sequential(
            getattr(nn, first)(*((width, width) if first == "Linear" else (width,))), getattr(nn, second)()
        )
        if library is ft.nn:
            ft.replace(model, fuse=True)
        return model

    return make


Data = Callable[[int], Any]
# A module of torch.nn or fastnn.torch.nn for an input.
MODULES: dict[str, tuple[Data, Callable[[Any, Any], Any]]] = {
    "LayerNorm": (rows, lambda m, x: m.LayerNorm(x.shape[1])),
    "RMSNorm": (rows, lambda m, x: m.RMSNorm(x.shape[1])),
    "GroupNorm": (images, lambda m, x: m.GroupNorm(1 if x.shape[1] % 4 else 4, x.shape[1])),
    "BatchNorm1d": (rows, lambda m, x: m.BatchNorm1d(x.shape[1])),
    "BatchNorm2d": (images, lambda m, x: m.BatchNorm2d(x.shape[1])),
    "Dropout": (rows, lambda m, x: m.Dropout(0.1)),
    "GELU": (rows, lambda m, x: m.GELU()),
    "SiLU": (rows, lambda m, x: m.SiLU()),
    "MaxPool2d": (images, lambda m, x: m.MaxPool2d(_pool(x))),
    "CrossEntropyLoss": (rows, lambda m, x: _Loss(m.CrossEntropyLoss(), x)),
    "MultiheadAttention": (sequences, _Attention),
    "BatchNorm2d, ReLU": (images, _pair("BatchNorm2d", "ReLU")),
    "Linear, GELU": (rows, _pair("Linear", "GELU")),
}
# The result of a function of torch.nn.functional or fastnn.torch.functional, with a weight and a bias of ones.
FUNCTIONS: dict[str, tuple[Data, Callable[[Any, Any, Any], Any]]] = {
    "layer_norm": (rows, lambda f, x, w: f.layer_norm(x, (x.shape[1],), w, w)),
    "rms_norm": (rows, lambda f, x, w: f.rms_norm(x, (x.shape[1],), w)),
    "group_norm": (images, lambda f, x, w: f.group_norm(x, 1, w, w)),
    "batch_norm": (images, lambda f, x, w: f.batch_norm(x, None, None, w, w, True)),
    "dropout": (rows, lambda f, x, w: f.dropout(x, 0.1)),
    "gelu": (rows, lambda f, x, w: f.gelu(x)),
    "silu": (rows, lambda f, x, w: f.silu(x)),
    "softmax": (rows, lambda f, x, w: f.softmax(x, -1)),
    "max_pool2d": (images, lambda f, x, w: f.max_pool2d(x, _pool(x))),
    "cross_entropy": (rows, lambda f, x, w: f.cross_entropy(x, _labels(x))),
    "scaled_dot_product_attention": (heads, lambda f, x, w: f.scaled_dot_product_attention(x, x, x, dropout_p=0.1)),
    "linear_gelu": (rows, lambda f, x, w: _linear_gelu(f, x, torch.ones(64, x.shape[1]))),
}


def _linear_gelu(f: Any, x: Any, w: Any) -> Any:
    return f.linear_gelu(x, w) if f is ft.functional else f.gelu(f.linear(x, w))


def _train(run: Callable[[Any], Any], x: Any, leaves: list[Any]) -> Callable[[], Any]:
    dy = torch.ones_like(run(x))
    return lambda: torch.autograd.grad(run(x), leaves, dy)


def _evaluate(run: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    def evaluate() -> Any:
        with torch.no_grad():
            return run(x)

    return evaluate


def sides(name: str, n: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return for each mode the calls of both libraries."""
    result: dict[str, dict[str, Callable[[], Any]]] = {"train": {}, "no_grad": {}}
    for side, module, function in (("fastnn", ft.nn, ft.functional), ("torch", nn, nn.functional)):
        torch.manual_seed(0)
        if name in MODULES:
            data, make = MODULES[name]
            x = data(n).requires_grad_()
            layer = make(module, x)
            result["train"][side] = _train(layer, x, [x, *layer.parameters()])
            result["no_grad"][side] = _evaluate(make(module, x).eval(), x.detach())
        else:
            data, call = FUNCTIONS[name]
            x = data(n).requires_grad_()
            w = torch.ones(x.shape[1])
            run = lambda x, w=w, call=call, function=function: call(function, x, w)  # noqa: E731
            result["train"][side] = _train(run, x, [x])
            result["no_grad"][side] = _evaluate(run, x.detach())
    return result


def measured(seconds: float, names: list[str]) -> Measured:
    """Return the measurements of these cases, or of all."""
    torch.set_num_threads(1)
    fastnn.set_num_threads(1)
    result: Measured = {}
    for name in names or [*MODULES, *FUNCTIONS]:
        result[name] = {}
        for n in SIZES:
            if name in ("CrossEntropyLoss", "cross_entropy") and n < 10:
                continue  # one class
            result[name][n] = {}
            for mode, both in sides(name, n).items():
                times = interleave(both, seconds)
                ours, theirs = times["fastnn"].median, times["torch"].median
                result[name][n][mode] = round(theirs / ours, 3), round(ours * 1e6, 2)
    return result


def main(arguments: list[str]) -> None:
    """Print the measurements, and save them if asked to."""
    given = [argument for argument in arguments if not argument.startswith("--")]
    if "--kernels" in arguments:
        limits.LEAST.update(dict.fromkeys(limits.LEAST, (0, 0)))
    cases = measured(float(given[0]), given[1:])
    if "--save" in arguments:
        path = Path(__file__).parent / "results/torch_modules.json"
        path.write_text(json.dumps({"machine": machine.describe(), "cases": cases}, indent=1) + "\n")
    print(json.dumps(cases))


if __name__ == "__main__":
    main(sys.argv[1:])
