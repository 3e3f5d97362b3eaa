"""torch.optim as an independent reference for every optimizer that it has."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support import Array
from variants import TORCH_IDS, TORCH_VARIANTS, make

torch = pytest.importorskip("torch")

SHAPES = ((), (3,), (4, 5), (2, 3, 67))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The problems are small, so torch's threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def float64() -> Iterator[None]:
    """torch keeps NAdam's product of momenta in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _theirs(name: str, params: list[Any], **options: Any) -> Any:
    return getattr(torch.optim, name)(params, **{"lr": 0.01, **options})


class Problem:
    """A noisy random quadratic, maximised with `maximize`; its gradients depend on the parameters."""

    def __init__(self, dtype: Any, options: dict[str, Any], shapes: Any = SHAPES) -> None:
        self.rng = np.random.default_rng(8)
        self.sign = -1 if options.get("maximize") else 1
        self.slopes = [self.rng.uniform(0.1, 2, s).astype(dtype) for s in shapes]
        self.start = [np.asarray(self.rng.standard_normal(s), dtype) for s in shapes]

    def noise(self) -> list[Array]:
        """Return the part of the next gradients that does not depend on the parameters."""
        return [np.asarray(self.rng.standard_normal(p.shape), p.dtype) for p in self.start]

    def gradients(self, params: list[Array], noise: list[Array]) -> list[Array]:
        """Return gradients in the parameters' own dtype; `params` may be wider than the problem."""
        parts = zip(self.slopes, params, noise, strict=True)
        return [np.asarray(self.sign * a.astype(p.dtype) * p + n.astype(p.dtype)) for a, p, n in parts]


class Runner:
    """An optimizer of either library on a problem's parameters, which are NumPy arrays for both."""

    def __init__(self, name: str, options: dict[str, Any], params: list[Array], is_ours: bool) -> None:
        self.params = params
        if is_ours:
            self.optimizer: Any = make(name, params, **options)
            self.tensors = None
        else:
            self.tensors = [torch.from_numpy(p) for p in params]
            self.optimizer = _theirs(name, self.tensors, **options)

    def step(self, grads: list[Array]) -> None:
        """Take one step."""
        if self.tensors is None:
            self.optimizer.step(grads)
            return
        for tensor, grad in zip(self.tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(grad)
        self.optimizer.step()


def _distance(got: list[Array], want: list[Array]) -> float:
    """Return the largest difference, relative to the largest value."""
    a, b = (np.concatenate([p.astype(np.float64).ravel() for p in x]) for x in (got, want))
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.mark.parametrize(("name", "options"), TORCH_VARIANTS, ids=TORCH_IDS)
def test_hundred_steps_in_float64(name: str, options: dict[str, Any], float64: None) -> None:
    """Parameters and every kind of state agree with torch to 1e-12."""
    problem = Problem(np.float64, options)
    ours, theirs = (Runner(name, options, [p.copy() for p in problem.start], is_ours) for is_ours in (True, False))
    for _ in range(100):
        noise = problem.noise()
        for runner in (ours, theirs):
            runner.step(problem.gradients(runner.params, noise))
    assert _distance(theirs.params, problem.start) > 1e-3
    assert _distance(ours.params, theirs.params) <= 1e-12
    kinds = [k for k in ours.optimizer.state_of(ours.params[0]) if k != "step"]
    their_state = [theirs.optimizer.state[t] for t in theirs.tensors or ()]
    for kind in kinds:
        kept = [ours.optimizer.state_of(p)[kind] for p in ours.params]
        assert _distance(kept, [s[kind].numpy() for s in their_state]) <= 1e-12
    assert all(s.keys() - {"step", "mu_product"} <= {*kinds, "momentum_buffer"} for s in their_state)


@pytest.mark.parametrize(("name", "options"), TORCH_VARIANTS, ids=TORCH_IDS)
def test_thousand_steps_in_float32(name: str, options: dict[str, Any]) -> None:
    """The error against a float64 run is at most 1.5 times torch's, as the maximum of 200 elements."""
    problem = Problem(np.float32, options, ((4000,),))
    exact, ours, theirs = (
        Runner(name, options, [p.astype(dtype) for p in problem.start], is_ours)
        for dtype, is_ours in ((np.float64, True), (np.float32, True), (np.float32, False))
    )
    for _ in range(1000):
        noise = problem.noise()
        for runner in (exact, ours, theirs):
            runner.step(problem.gradients(runner.params, noise))
    assert _distance(exact.params, problem.start) > 1e-2
    our_error, their_error = (np.abs(r.params[0] - exact.params[0]) for r in (ours, theirs))
    assert our_error.reshape(-1, 200).max(1).mean() <= 1.5 * their_error.reshape(-1, 200).max(1).mean()
