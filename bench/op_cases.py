"""The operations that the bars compare: forward and backward, in fastnn and in PyTorch's modes.

    python bench/op_cases.py NAME

prints {"fastnn": seconds, "torch": seconds} as JSON, with a malloc that keeps large blocks. glibc reads that setting
only when a process starts, so the program restarts itself with it.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import machine
import numpy as np

from fastnn import functional as F
from fastnn._types import AnyArray
from fastnn.benchmark import REST, interleave
from fastnn.benchmark.case import Pattern, Side, normal_array
from fastnn.random import Generator

SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


class Op(NamedTuple):
    """`fastnn` and PyTorch's modes compute the same; `patterns` are the least passes over memory that this takes."""

    elements: int
    patterns: tuple[Pattern, ...]
    fastnn: Side
    torch: dict[str, Side]


READ, FORWARD, BACKWARD = (0, 0, 1), (0, 1, 1), (0, 1, 2)


def _modes(torch: Any, forward: Callable[..., Any], leaves: list[Any], dy: Any, compiled: bool) -> dict[str, Side]:
    def run(f: Callable[..., Any]) -> Side:
        return lambda: torch.autograd.grad(f(*leaves), [leaf for leaf in leaves if leaf.requires_grad], dy)

    modes = {"torch": run(forward)}
    if compiled:
        modes["torch compile"] = run(torch.compile(forward))
    return modes


def _leaves(torch: Any, *arrays: AnyArray) -> list[Any]:
    return [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]


def layer_norm(torch: Any, rows: int, columns: int) -> Op:
    x, dy = normal_array(rows, columns), normal_array(rows, columns, seed=1)
    w, b = normal_array(columns, seed=2), normal_array(columns, seed=3)

    def ours() -> object:
        y, mean, rstd = F.layer_norm(x, columns, w, b, return_stats=True)
        return y, F.layer_norm_backward(dy, x, w, mean, rstd)

    def forward(x: Any, w: Any, b: Any) -> Any:
        return torch.nn.functional.layer_norm(x, (columns,), w, b)

    torch_modes = _modes(torch, forward, _leaves(torch, x, w, b), torch.from_numpy(dy), False)
    return Op(x.size, (FORWARD, BACKWARD), ours, torch_modes)


IMAGES = (64, 64, 56, 56)


def batch_norm(torch: Any) -> Op:
    x, dy = normal_array(*IMAGES), normal_array(*IMAGES, seed=1)
    w, b = normal_array(64, seed=2), normal_array(64, seed=3)
    running = [np.zeros(64, np.float32), np.ones(64, np.float32)]
    theirs = [torch.from_numpy(a.copy()) for a in running]

    def ours() -> object:
        y, mean, rstd = F.batch_norm(x, *running, w, b, True, return_stats=True)
        return y, F.batch_norm_backward(dy, x, w, mean, rstd)

    def forward(x: Any, w: Any, b: Any) -> Any:
        return torch.nn.functional.batch_norm(x, *theirs, w, b, True)

    torch_modes = _modes(torch, forward, _leaves(torch, x, w, b), torch.from_numpy(dy), True)
    patterns = (READ, FORWARD, READ, READ, BACKWARD)  # the batch is read for its statistics before the first result
    return Op(x.size, patterns, ours, torch_modes)


def batch_norm_eval(torch: Any) -> Op:
    x = normal_array(*IMAGES)
    arrays = [np.zeros(64, np.float32), np.ones(64, np.float32), normal_array(64, seed=2), normal_array(64, seed=3)]
    tx, *tensors = [torch.from_numpy(a) for a in (x, *arrays)]
    torch_side = {"torch": lambda: torch.nn.functional.batch_norm(tx, *tensors)}
    return Op(x.size, (FORWARD,), lambda: F.batch_norm(x, *arrays), torch_side)


def grouped(torch: Any, groups: int) -> Op:
    x, dy = normal_array(32, 64, 56, 56), normal_array(32, 64, 56, 56, seed=1)
    w, b = normal_array(64, seed=2), normal_array(64, seed=3)

    def ours() -> object:
        y, mean, rstd = F.group_norm(x, groups, w, b, return_stats=True)
        return y, F.group_norm_backward(dy, x, groups, w, mean, rstd)

    def forward(x: Any, w: Any, b: Any) -> Any:
        if groups == 64:
            return torch.nn.functional.instance_norm(x, weight=w, bias=b)
        return torch.nn.functional.group_norm(x, groups, w, b)

    torch_modes = _modes(torch, forward, _leaves(torch, x, w, b), torch.from_numpy(dy), groups == 64)
    return Op(x.size, (FORWARD, BACKWARD), ours, torch_modes)


def dropout(torch: Any, n: int) -> Op:
    x, dy, g = normal_array(n), normal_array(n, seed=1), Generator(0)

    def ours() -> object:
        y, mask = F.dropout(x, 0.5, generator=g, return_mask=True)
        return y, F.dropout_backward(dy, mask)

    forward = torch.nn.functional.dropout
    return Op(n, (FORWARD, FORWARD), ours, _modes(torch, forward, _leaves(torch, x), torch.from_numpy(dy), False))


def cross_entropy(torch: Any, rows: int, classes: int) -> Op:
    logits = normal_array(rows, classes)
    labels = np.random.default_rng(1).integers(0, classes, rows)
    (leaf,), targets = _leaves(torch, logits), torch.from_numpy(labels)

    def theirs() -> object:
        return torch.autograd.grad(torch.nn.functional.cross_entropy(leaf, targets), leaf)

    return Op(logits.size, (FORWARD,), lambda: F.softmax_cross_entropy(logits, labels), {"torch": theirs})


def bias_gelu(torch: Any) -> Op:
    x, dy, b = normal_array(4096, 3072), normal_array(4096, 3072, seed=1), normal_array(3072, seed=2)

    def ours() -> object:
        return F.bias_activation(x, b, "gelu"), F.bias_activation_backward(dy, x, b, "gelu")

    def forward(x: Any, b: Any) -> Any:
        return torch.nn.functional.gelu(x + b)

    return Op(
        x.size, (FORWARD, BACKWARD), ours, _modes(torch, forward, _leaves(torch, x, b), torch.from_numpy(dy), False)
    )


def residual_norm(torch: Any) -> Op:
    x, residual, dy = (normal_array(4096, 768, seed=seed) for seed in range(3))
    w, b, g = normal_array(768, seed=3), normal_array(768, seed=4), Generator(0)

    def ours() -> object:
        y, total, mean, rstd, mask = F.dropout_add_layer_norm(
            x, residual, 768, w, b, 0.1, generator=g, return_stats=True
        )
        return y, F.dropout_add_layer_norm_backward(dy, total, w, mean, rstd, mask)

    def forward(x: Any, residual: Any, w: Any, b: Any) -> Any:
        return torch.nn.functional.layer_norm(residual + torch.nn.functional.dropout(x, 0.1), (768,), w, b)

    patterns = (BACKWARD, FORWARD, BACKWARD, FORWARD)  # two arrays read and two written, each way
    return Op(
        x.size, patterns, ours, _modes(torch, forward, _leaves(torch, x, residual, w, b), torch.from_numpy(dy), False)
    )


OPS: dict[str, Callable[[Any], Op]] = {
    "layer_norm 4096 x 768": lambda torch: layer_norm(torch, 4096, 768),
    "layer_norm 16384 x 1024": lambda torch: layer_norm(torch, 16384, 1024),
    "batch_norm 64x64x56x56, training": batch_norm,
    "batch_norm 64x64x56x56, eval forward": batch_norm_eval,
    "instance_norm 32x64x56x56": lambda torch: grouped(torch, 64),
    "group_norm 32x64x56x56": lambda torch: grouped(torch, 8),
    "dropout 16M": lambda torch: dropout(torch, 1 << 24),
    "dropout 64k": lambda torch: dropout(torch, 1 << 16),
    "softmax_cross_entropy 8192 x 1000": lambda torch: cross_entropy(torch, 8192, 1000),
    "softmax_cross_entropy 512 x 50257": lambda torch: cross_entropy(torch, 512, 50257),
    "bias + gelu 4096 x 3072": bias_gelu,
    "residual + dropout + layer_norm 4096 x 768": residual_norm,
}


def main(name: str) -> None:
    """Time fastnn and torch."""
    import torch

    with machine.threads(max(machine.THREADS)):
        op = OPS[name](torch)
        times = interleave({"fastnn": op.fastnn, "torch": op.torch["torch"]}, 1.0, rounds=9, rest=REST)
    print(json.dumps({mode: sample.median for mode, sample in times.items()}))


if __name__ == "__main__":
    if any(os.environ.get(key) != value for key, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    main(sys.argv[1])
