"""All kinds of dropout: dropped values, statistics, evaluation, empty arrays, generator positions, refusals."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import reference
from support import DTYPES, Array, refused, same_bits

from fastnn import Generator
from fastnn import functional as F

RNG = np.random.default_rng(43)
DRAWS = 2**20
NAN, INF = math.nan, math.inf
SATURATION = -1.7580993408473766
PROBABILITIES = [0.1, 0.25, 0.5, 0.8]

# kind -> forward and backward function
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "dropout": (F.dropout, F.dropout_backward),
    "not_inverted": (partial(F.dropout, inverted=False), F.dropout_backward),
    "dropout2d": (F.dropout2d, F.dropout2d_backward),
    "alpha_dropout": (F.alpha_dropout, F.alpha_dropout_backward),
    "residual": (F.dropout_add_layer_norm, lambda dy, mask, out=None: F.dropout_backward(dy, mask, out=out)),
}
MASKED = {name: pair for name, pair in KINDS.items() if name != "residual"}


def _keep(kind: str, shape: tuple[int, ...], p: float) -> Array:
    """Return which elements Generator(3, 4) keeps, from the reference."""
    channels = shape[:2] if kind == "dropout2d" else shape
    keep = reference.dropout_keep(math.prod(channels), p, 3, 4, 0).reshape(channels)
    return np.broadcast_to(keep.reshape(channels + (1,) * (len(shape) - len(channels))), shape)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MASKED)
def test_dropped_values(kind: str, dtype: Any, p: float, isa: str) -> None:
    """Dropped values do not depend on x, even if it is NaN or infinite; they are 0 except in alpha dropout."""
    run, back = MASKED[kind]
    x = RNG.standard_normal((5, 60, 7)).astype(dtype)
    keep = _keep(kind, x.shape, p)
    y, mask = run(x, p, generator=Generator(3, 4), return_mask=True)
    dx = back(x, mask)
    dropped = 0.0
    if kind == "alpha_dropout" and p < 1:
        a = ((1 - p) * (1 + p * SATURATION**2)) ** -0.5
        dropped = a * SATURATION - a * p * SATURATION
    np.testing.assert_allclose(y[~keep], np.full((~keep).sum(), dropped), rtol=4 * float(np.finfo(dtype).eps), atol=0)
    assert (dx[~keep] == 0).all() and (y[keep] != dropped).all() and (dx[keep] != 0).all()
    for value in (NAN, INF, -INF):
        poisoned = np.where(keep, x, value).astype(dtype)
        assert same_bits(run(poisoned, p, generator=Generator(3, 4)), y) and same_bits(back(poisoned, mask), dx)
        full = np.full_like(x, value)
        for got, zero in ((run(full, p, generator=Generator(3, 4)), y), (back(full, mask), dx)):
            assert same_bits(got[~keep], zero[~keep]) and same_bits(got[keep], full[keep])


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_alpha_dropout_keeps_mean_and_variance(dtype: Any, p: float) -> None:
    """alpha_dropout keeps the mean and variance of 2**20 normal values, to five sigma each."""
    x = RNG.standard_normal(DRAWS).astype(dtype)
    y = F.alpha_dropout(x, p, generator=Generator(9)).astype(np.float64)
    fourth = float(((y - y.mean()) ** 4).mean())
    assert abs(y.mean()) < 5 / math.sqrt(DRAWS) + 2**-15
    assert abs(y.var() - 1) < 5 * math.sqrt((fourth - 1) / DRAWS) + 2**-15


@pytest.mark.parametrize("p", PROBABILITIES)
def test_dropout2d_share(p: float) -> None:
    """The share of dropped channels is p to five sigma; channels are dropped whole, and neighbours independently."""
    y = F.dropout2d(np.ones((1024, 1024), np.float32), p, generator=Generator(99))
    spread = math.sqrt(DRAWS * p * (1 - p))
    assert abs(np.count_nonzero(y == 0) - DRAWS * p) < 5 * spread + DRAWS * 2**-17
    equal = float((y[:, 1:] == y[:, :-1]).mean())
    assert abs(equal - (p * p + (1 - p) ** 2)) < 0.01
    images = F.dropout2d(np.ones((64, 64, 5, 3)), p, generator=Generator(99))
    assert (images == images[..., :1, :1]).all()
    assert same_bits(images[..., 0, 0] == 0, F.dropout(np.ones((64, 64)), p, generator=Generator(99)) == 0)


@pytest.mark.parametrize("p", [0.0, *PROBABILITIES, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_not_inverted(dtype: Any, p: float, isa: str) -> None:
    """With inverted=False, training keeps values and evaluation multiplies by 1 - p, so the expectations agree."""
    x, g = RNG.standard_normal(DRAWS // 4).astype(dtype), Generator(3, 4)
    y, mask = F.dropout(x, p, inverted=False, generator=g, return_mask=True)
    keep = _keep("dropout", x.shape, p)
    assert same_bits(y, np.where(keep, x, dtype(0))) and same_bits(F.dropout_backward(x, mask), y)
    offset = g.offset
    calm, mask = F.dropout(x, p, False, inverted=False, generator=g, return_mask=True)
    assert same_bits(calm, x * dtype(1 - p)) and same_bits(F.dropout_backward(x, mask), calm) and g.offset == offset
    ones = np.ones(DRAWS, dtype)
    mean = float(F.dropout(ones, p, inverted=False, generator=g).mean(dtype=np.float64))
    want = float(F.dropout(ones, p, False, inverted=False)[0])
    assert abs(mean - want) <= 5 * math.sqrt(p * (1 - p) / DRAWS) + 2**-17


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_and_p_of_zero(kind: str, dtype: Any) -> None:
    """Evaluation and p = 0 return x and take no random bits."""
    run, back = KINDS[kind]
    x, g = RNG.standard_normal((5, 6, 7)).astype(dtype), Generator(1)
    x[0, 0, :3] = NAN, INF, -INF
    for p, training in ((0.0, True), (0.0, False), (0.7, False)):
        y = run(x, p=p, training=training, generator=g)
        if kind != "not_inverted" or p == 0:
            assert same_bits(y, x)
    if kind in MASKED and kind != "not_inverted":
        _, mask = run(x, 0.7, False, generator=g, return_mask=True)
        assert same_bits(back(x, mask), x)
    assert g.offset == 0


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_copies_the_bits(kind: str) -> None:
    """Evaluation also keeps the sign of zero."""
    x = np.full((2, 3), -0.0)
    assert same_bits(KINDS[kind][0](x, p=0.5, training=False), x)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 3, 0), (0, 3, 4, 4)])
@pytest.mark.parametrize("kind", MASKED)
def test_empty(kind: str, shape: tuple[int, ...], isa: str) -> None:
    """Empty arrays keep their shape."""
    run, back = MASKED[kind]
    x = np.empty(shape)
    for training in (True, False):
        y, mask = run(x, 0.5, training, generator=Generator(1), return_mask=True)
        assert same_bits(y, x) and same_bits(back(x, mask), x)


@pytest.mark.parametrize("kind", MASKED)
def test_in_place(kind: str, isa: str) -> None:
    """Forward may write over x, and backward over dy."""
    run, back = MASKED[kind]
    x = RNG.standard_normal((3, 5, 31))
    want, mask = run(x, 0.4, generator=Generator(3), return_mask=True)
    y, dx = x.copy(), x.copy()
    assert run(y, 0.4, generator=Generator(3), out=y) is y and same_bits(y, want)
    assert back(dx, mask, out=dx) is dx and same_bits(dx, back(x, mask))


def test_dropout2d_takes_bits_for_channels_only() -> None:
    """Bits are drawn per channel: (2, 65) channels are 130 elements and take two blocks for images of any size."""
    g = Generator(1)
    for size in (1, 5, 100):
        offset = g.offset
        F.dropout2d(np.ones((2, 65, size)), generator=g)
        assert g.offset == offset + 2 * 64


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", [NAN, INF, -INF, -0.1, 1.1, -(2.0**-30), 1 + 2.0**-52])
@pytest.mark.parametrize("kind", KINDS)
def test_probability(kind: str, p: float, training: bool) -> None:
    """p outside [0, 1] is refused, forward and backward; `out` and every generator stay unchanged."""
    run, back = KINDS[kind]
    g = Generator(1)
    g.offset = 64 * 5
    arrays = {"x": np.ones((2, 3)), "out": np.zeros((2, 3))}
    sentence = f"^p: got {p}, want"
    if math.isfinite(p) and abs(p) < 1.01:
        sentence = "^p: got "
    for generator in (None, g):
        refused(
            lambda generator=generator: run(**arrays, p=p, training=training, generator=generator),  # type: ignore[misc]
            arrays,
            ValueError,
            sentence,
        )
    assert g.offset == 64 * 5
    mask = F.DropoutMask(p, 1, 2, 3)
    refused(lambda: back(arrays["x"], mask, out=arrays["out"]), arrays, ValueError, sentence)
    if kind == "residual":
        saved = np.zeros(2), np.ones(2)
        refused(
            lambda: F.dropout_add_layer_norm_backward(arrays["x"], arrays["x"], None, *saved, mask, out=arrays["out"]),
            arrays,
            ValueError,
            sentence,
        )


@pytest.mark.parametrize("scale", [NAN, INF, -INF, -1.0])
@pytest.mark.parametrize("back", [F.dropout_backward, F.dropout2d_backward])
def test_scale_of_a_mask(back: Callable[..., Any], scale: float) -> None:
    """A mask with a scale that no forward call returns is refused."""
    arrays = {"dy": np.ones((2, 3)), "out": np.zeros((2, 3))}
    mask = F.DropoutMask(0.5, 1, 2, 3, scale)
    refused(lambda: back(**arrays, mask=mask), arrays, ValueError, f"^scale: got {scale}, want ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", ["dtype", "shape", "overlap", "read-only", "list"])
def test_refused_draws_give_their_bits_back(kind: str, wrong: str) -> None:
    """A call that raises leaves its generator and `out` unchanged."""
    g = Generator(1)
    g.offset = 64 * 7
    buffer = np.ones(7)
    x, out = buffer[:6].reshape(2, 3), np.zeros((2, 3))
    arrays: dict[str, Any] = {
        "dtype": {"x": x, "out": out.astype(np.float32)},
        "shape": {"x": x, "out": np.zeros((3, 2))},
        "overlap": {"x": x, "out": buffer[1:].reshape(2, 3)},
        "read-only": {"x": x, "out": np.broadcast_to(out, (2, 3)).copy()},
        "list": {"x": x.tolist(), "out": out},
    }[wrong]
    if wrong == "read-only":
        arrays["out"].flags.writeable = False
    error = TypeError if wrong in ("dtype", "list") else ValueError
    refused(
        lambda: KINDS[kind][0](**arrays, p=0.5, generator=g), arrays, error, "^x: " if wrong == "list" else "^out: "
    )
    assert g.offset == 64 * 7


@pytest.mark.parametrize("run", [F.dropout2d, lambda x: F.dropout2d_backward(x, F.DropoutMask(0.5, 1, 2, 3))])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_dropout2d_wants_channels(run: Callable[[Array], Any], shape: tuple[int, ...]) -> None:
    """dropout2d needs at least two axes."""
    refused(lambda: run(np.ones(shape)), {}, ValueError, r"^d?[xy]: got shape \(.*\), want \(N, C, \.\.\.\)")
