"""A training step of the demo network on every side: forward, loss, backward, step, zero_grad."""

from typing import Any

import numpy as np
from numpy_network import NumpyNetwork

from fastnn import demo, nn, optim
from fastnn.benchmark.case import Arrays, Case, Side

BATCH = 128


def training_case(torch: Any, p: float, batch: int = BATCH) -> Case:
    """Build the sides, which start from the same weights; each call is a step and returns its loss.

    With p = 0 the losses agree step by step. Otherwise every side draws its own dropout masks.
    """
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((batch, 784), dtype=np.float32), rng.integers(0, 10, batch)
    model = demo.build_model(p)
    network = NumpyNetwork(model.state_dict(), p)
    torch_sides = {} if torch is None else _torch_sides(torch, model.state_dict(), p, x, labels)
    criterion, optimizer = nn.CrossEntropyLoss(), optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> float:
        logits, backward = model(x)
        loss, dlogits = criterion(logits, labels)
        backward(dlogits, input_grad=False)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def agree(got: Arrays, want: Arrays) -> None:
        np.testing.assert_allclose(got, want, rtol=1e-3 if p == 0 else 0.5)

    sides: dict[str, Side] = {"fastnn": step, "numpy": lambda: network.step(x, labels)}
    return Case(batch, (0, 0, 0), sides | torch_sides, agree)


def products() -> Side:
    """Return only the step's eight matrix products, into existing memory: the limit that NumPy's BLAS sets."""
    rng = np.random.default_rng(0)
    calls = []
    for size_in, size_out in ((784, 256), (256, 128), (128, 10)):
        shapes = (BATCH, size_in), (size_out, size_in), (BATCH, size_out)
        a, w, g = (rng.random(shape, np.float32) for shape in shapes)
        calls += [(a, w.T, np.empty_like(g)), (g.T, a, np.empty_like(w)), (g, w, np.empty_like(a))]
    del calls[2]  # the gradient with respect to the images is not needed

    def run() -> None:
        for left, right, out in calls:
            np.matmul(left, right, out=out)

    return run


def _torch_sides(torch: Any, state: dict[str, Any], p: float, x: Any, labels: Any) -> dict[str, Side]:
    from torch_digits import build_torch

    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    criterion = torch.nn.CrossEntropyLoss()

    def side(**mode: bool) -> Side:
        model = build_torch(p)
        copies = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        model.load_state_dict(copies, strict=False)  # torch also has num_batches_tracked
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **mode)

        def step() -> object:
            loss = criterion(model(x), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return step

    modes = {"torch": {"foreach": False}, "torch foreach": {"foreach": True}, "torch fused": {"fused": True}}
    return {name: side(**mode) for name, mode in modes.items()}
