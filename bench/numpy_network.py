"""A training step of the demo network as a NumPy user would write it, with NumPy only."""

import numpy as np

from fastnn._types import AnyArray
from fastnn.benchmark.operations.losses import numpy_softmax_cross_entropy
from fastnn.benchmark.operations.norms import norm, norm_backward, track
from fastnn.benchmark.operations.optimizers import NUMPY_STEPS


class NumpyNetwork:
    """The network of `fastnn.demo` with fixed dropout and AdamW at lr 1e-3.

    Args:
        state: the fastnn model's `state_dict()`; it is copied.
        p: probability of both dropout layers.
    """

    def __init__(self, state: dict[str, AnyArray], p: float) -> None:
        names = [name for name in state if name.endswith((".weight", ".bias"))]
        self.w = {name: state[name].copy() for name in names}
        self.grads: list[AnyArray] = [np.empty(0, np.float32)] * len(names)
        self.adamw = NUMPY_STEPS["AdamW"](list(self.w.values()), self.grads, {})
        self.running = [np.zeros(256, np.float32), np.ones(256, np.float32)]
        self.p, self.rng = p, np.random.default_rng(0)

    def step(self, x: AnyArray, labels: AnyArray) -> float:
        """Run forward, loss, backward and optimizer; return the loss. x (N, 784), labels (N,)."""
        w, grads = self.w, {}
        h1 = x @ w["0.weight"].T + w["0.bias"]
        track(self.running, h1, 0)
        n1 = norm(h1, 0, w["1.weight"], w["1.bias"])
        keep1, keep2 = self._keep(n1.shape), self._keep((len(x), 128))
        a1 = np.maximum(n1, 0) * keep1
        h2 = a1 @ w["4.weight"].T + w["4.bias"]
        n2 = norm(h2, 1, w["5.weight"], w["5.bias"])
        a2 = np.maximum(n2, 0) * keep2
        logits = a2 @ w["8.weight"].T + w["8.bias"]
        loss, dlogits = numpy_softmax_cross_entropy(logits, labels)
        grads["8.weight"], grads["8.bias"] = dlogits.T @ a2, dlogits.sum(0)
        d2 = dlogits @ w["8.weight"] * keep2 * (n2 > 0)
        d2, grads["5.weight"], grads["5.bias"] = norm_backward(d2, h2, 1, 0, w["5.weight"], *_statistics(h2, 1))
        grads["4.weight"], grads["4.bias"] = d2.T @ a1, d2.sum(0)
        d1 = d2 @ w["4.weight"] * keep1 * (n1 > 0)
        d1, grads["1.weight"], grads["1.bias"] = norm_backward(d1, h1, 0, 0, w["1.weight"], *_statistics(h1, 0))
        grads["0.weight"], grads["0.bias"] = d1.T @ x, d1.sum(0)
        self.grads[:] = [grads[name] for name in w]
        self.adamw()
        return float(loss)

    def _keep(self, shape: tuple[int, ...]) -> AnyArray:
        return (self.rng.random(shape, dtype=np.float32) >= self.p) * np.float32(1 / (1 - self.p))


def _statistics(h: AnyArray, axis: int) -> tuple[AnyArray, AnyArray]:
    return h.mean(axis, keepdims=True), 1 / np.sqrt(h.var(axis, keepdims=True) + np.float32(1e-5))
