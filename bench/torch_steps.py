"""Times training steps of torch models, with torch's and with fastnn.torch's modules and optimizer.

    python bench/torch_steps.py SECONDS

prints {model: {"torch": seconds, "fastnn": seconds}} as JSON, both sides with a malloc that keeps large blocks for
reuse. The program restarts itself with that setting.
"""

import copy
import json
import os
import sys
from collections.abc import Callable

import machine
import torch
from torch import Tensor, nn
from tuned_malloc import SETTINGS

import fastnn.torch
from fastnn.benchmark import interleave

Batch = tuple[Tensor, Tensor]


class Transformer(nn.Module):
    """A small causal language model of torch's own blocks: 4 blocks of width 256, 8 heads, dropout 0.1."""

    def __init__(self, tokens: int = 96, width: int = 256, length: int = 128) -> None:
        super().__init__()
        block = nn.TransformerEncoderLayer(width, 8, 4 * width, 0.1, nn.GELU(), batch_first=True, norm_first=True)
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.zeros(length, width))
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.TransformerEncoder(block, 4, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, tokens)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the next token, (rows, tokens)."""
        hidden = self.dropout(self.embedding(x) + self.position)
        logits: Tensor = self.head(self.blocks(hidden, self.mask, is_causal=True)).flatten(0, 1)
        return logits


def transformer() -> tuple[nn.Module, Batch]:
    """Return the transformer and a batch of 16 x 128 tokens."""
    return Transformer(), (torch.randint(0, 96, (16, 128)), torch.randint(0, 96, (16 * 128,)))


def cnn() -> tuple[nn.Module, Batch]:
    """Return a CNN (two convolutions with batch norm, dropout, two linear layers) and a batch of 64 x 1 x 28 x 28."""
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip
    return model, (torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,)))


MODELS: dict[str, Callable[[], tuple[nn.Module, Batch]]] = {"transformer": transformer, "CNN": cnn}
ALMOST_NONE = 1e-13  # a dropout probability with which the fused passes run but drop nothing


def sides(name: str, dropout: float | None = None) -> dict[str, Callable[[], Tensor]]:
    """Return a training step for each side, from the same weights; by default with the model's own dropout."""
    model, (x, y) = MODELS[name]()
    for module in model.modules() if dropout is not None else ():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = dropout
    fused, fused_loss = copy.deepcopy(model), nn.CrossEntropyLoss()
    fastnn.torch.replace(fused, fuse=True)
    fastnn.torch.replace(fused_loss)

    def side(model: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], Tensor]:
        def step() -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    return {
        "torch": side(model, nn.CrossEntropyLoss(), torch.optim.AdamW(model.parameters(), fused=True)),
        "fastnn": side(fused, fused_loss, fastnn.torch.optim.AdamW(fused.parameters())),
    }


def check(name: str) -> None:
    """Assert that both sides have the same loss before and after a step that drops nothing."""
    losses = [torch.stack([step(), step()]) for step in sides(name, ALMOST_NONE).values()]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=0, msg=lambda found: f"{name}: {found}")


def main(seconds: float) -> None:
    """Assert that both sides agree, then time every model on all threads."""
    with machine.threads(max(machine.THREADS)):
        for name in MODELS:
            check(name)
        times = {name: interleave(sides(name), seconds, rounds=15) for name in MODELS}
    print(json.dumps({name: {side: s.median for side, s in found.items()} for name, found in times.items()}))


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | SETTINGS)
    main(float(sys.argv[1]))
