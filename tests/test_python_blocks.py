"""Work that Python cuts into blocks or tiles: all sizes around their borders, with blocks of a few elements."""

from typing import Any

import numpy as np
import pytest
from support import DTYPES

from fastnn import Generator, _checks, init, nn, optim
from fastnn.data import Normalize, normalize
from fastnn.init import orthogonal
from fastnn.training import Trainer


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(monkeypatch: pytest.MonkeyPatch, dtype: Any, shape: tuple[int, ...]) -> None:
    """Blocks of 12 elements hold several rows, one row, or less than a row; the last one is shorter."""
    rng = np.random.default_rng(1)
    monkeypatch.setattr(normalize, "BLOCK", 12)
    for trailing in ((), (2,), (13,)):
        for rows in (*range(1, 15), 24, 25, 36, 37):
            x = rng.normal(3, 2, (rows, *shape, *trailing)).astype(dtype)
            axes = (0, *range(1 + len(shape), x.ndim))
            module = Normalize(shape, dtype=dtype).fit(x)
            exact = x.astype(np.float64)
            tight = {"rtol": 8 * np.finfo(dtype).eps, "atol": 1e-14}
            np.testing.assert_allclose(module.mean, exact.mean(axes), **tight)
            std = exact.std(axes)
            np.testing.assert_allclose(module.std, np.where(std == 0, 1, std), **tight)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [(), (2,), (2, 3)])
def test_finite(monkeypatch: pytest.MonkeyPatch, columns: tuple[int, ...], value: float) -> None:
    """One non-finite number is found at any position; of two, the first one is reported."""
    monkeypatch.setattr(_checks, "_ROWS", 4)
    for rows in (1, 3, 4, 5, 8, 9):
        shape = (rows, *columns)
        for at in np.ndindex(shape):
            x = np.zeros(shape)
            x[at] = value
            x[-1] = np.where(np.arange(x[-1].size).reshape(columns) == x[-1].size - 1, np.nan, x[-1])
            place = f"row {at[0]}, column {', '.join(map(str, at[1:]))}" if columns else f"row {at[0]}"
            shown = "nan" if at == tuple(n - 1 for n in shape) else value
            with pytest.raises(ValueError, match=f"^x: got {shown} at {place}, want finite numbers"):
                _checks.finite("x", x)
        _checks.finite("x", np.zeros(shape))


def _upright(values: Any) -> Any:
    return values if len(values) >= len(values.T) else values.T


@pytest.mark.parametrize("block", [1, 4, 5, 8])
def test_orthogonal(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Blocks of reflections may end at the border, or one element before or after it."""
    sizes = sorted({(m, n) for m in range(1, 18) for n in (1, 2, m // 2, m - 1, m, m + 1, m + 7) if n > 0})
    want = {size: init.orthogonal_(np.empty(size), generator=Generator(m)) for m, size in enumerate(sizes)}
    monkeypatch.setattr(orthogonal, "_BLOCK", block)
    for m, size in enumerate(sizes):
        found = init.orthogonal_(np.empty(size), generator=Generator(m))
        np.testing.assert_allclose(found, want[size], rtol=0, atol=1e-13)
        q = _upright(found)
        np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(257, 385), (385, 257), (1, 1025), (129, 1154), (1154, 129)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_orthogonal_at_its_borders(dtype: Any, shape: tuple[int, int]) -> None:
    """One element beyond its blocks of 128, all rows and columns are orthonormal."""
    found = init.orthogonal_(np.full(shape, np.nan, dtype), generator=Generator(3)).astype(np.float64)
    q = _upright(found)
    tolerance = 1e-12 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("n", range(1, 20))
def test_upper_inverse(n: int) -> None:
    """The inverse is computed by halves, down to 32 rows."""
    a = np.triu(np.random.default_rng(n).uniform(0.5, 1, (4 * n, 4 * n))) + 4 * n * np.eye(4 * n)
    np.testing.assert_allclose(orthogonal._upper_inverse(a) @ a, np.eye(4 * n), rtol=0, atol=1e-12)


class Counting(nn.Module):
    """Returns its input and records the number of rows."""

    def __init__(self) -> None:
        self.seen: tuple[dict[str, int], ...] = ()

    def __call__(self, x: Any) -> Any:
        self.seen = (*self.seen, {"rows": len(x)})
        return x, lambda dy, input_grad=True: dy


@pytest.mark.parametrize("size", [1, 4, 5, 11, 12, 13])
def test_evaluation(size: int) -> None:
    """Every sample is evaluated once, in order, in batches of the requested size and a shorter last one."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(12, 3)), rng.integers(0, 3, 12)

    class Plain:
        param_groups = ({"lr": 0.0},)

        def step(self) -> None: ...

        zero_grad = step

    trainer = Trainer(Counting(), nn.CrossEntropyLoss(), Plain())
    np.testing.assert_array_equal(trainer.predict(x, size), x)
    want = [size] * (12 // size) + [12 % size] * (12 % size > 0)
    assert [seen["rows"] for seen in trainer.model.seen] == want
    found = trainer.evaluate((x, y), size)
    assert found["loss"] == pytest.approx(nn.CrossEntropyLoss()(x, y)[0], rel=1e-12)
    assert found["accuracy"] == pytest.approx((x.argmax(1) == y).mean())


@pytest.mark.parametrize(
    ("size", "given", "sizes"),
    [(1024, None, [1024, 6]), (1500, None, [1030]), (10, 1000, [1000, 30]), (99, 1030, [1030])],
)
def test_validation(size: int, given: int | None, sizes: list[int]) -> None:
    """Validation uses batches of `validation_batch_size`, by default of the training's size."""
    x, y = np.zeros((1030, 3)), np.zeros(1030, np.int64)
    seen = []

    class Look(nn.Module):
        def __call__(self, x: Any) -> Any:
            if not self.training:
                seen.append(len(x))
            return x, lambda dy, input_grad=True: dy

    net = nn.Sequential(Look(), nn.Linear(3, 2, dtype=np.float64))
    trainer = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters()))
    trainer.fit((x, y), (x, y), batch_size=size, validation_batch_size=given, verbose=False)
    assert seen[-len(sizes) :] == sizes
