"""What every kernel has to compute: slow, obvious NumPy formulas in float64.

Nothing here shares code or arithmetic with the compiled kernels. Inputs of either dtype are widened first, so a
float32 result of a kernel is compared with the exact value of the same float32 input.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def wide(x: Any) -> Float64:
    """A float64 copy of `x`."""
    return np.array(x, dtype=np.float64)


def relu(x: Array) -> Float64:
    """max(x, 0), NaN kept."""
    x = wide(x)
    return np.where((x > 0) | np.isnan(x), x, 0.0)


def relu_backward(dy: Array, x: Array) -> Float64:
    """dy where x > 0 or x is NaN, else 0."""
    return np.where((wide(x) > 0) | np.isnan(x), wide(dy), 0.0)


def dropout(x: Array, p: float, keep: npt.NDArray[np.bool_]) -> Float64:
    """x / (1 - p) where `keep`, else exactly 0. Srivastava et al., JMLR 15 (2014), the inverted form."""
    return np.where(keep, wide(x) / (1 - p), 0.0) if p < 1 else np.zeros(x.shape)


def layer_norm(
    x: Array, axes: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Float64, Float64, Float64]:
    """y, mean, rstd over the last `axes` axes. Ba, Kiros, Hinton, "Layer Normalization", 2016, equation 3."""
    x, over = wide(x), tuple(range(x.ndim - axes, x.ndim))
    mean = x.mean(over, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(over, keepdims=True) + eps)
    y = (x - mean) * rstd
    y = y if weight is None else y * wide(weight)
    y = y if bias is None else y + wide(bias)
    lead = x.shape[: x.ndim - axes]
    return y, mean.reshape(lead), rstd.reshape(lead)


def layer_norm_backward(
    dy: Array, x: Array, axes: int, weight: Array | None = None, eps: float = 1e-5
) -> tuple[Float64, Float64, Float64]:
    """dx, dweight, dbias by the chain rule through mean and variance (Ioffe, Szegedy 2015, section 3, per row)."""
    over, lead = tuple(range(x.ndim - axes, x.ndim)), tuple(range(x.ndim - axes))
    _, mean, rstd = layer_norm(x, axes, eps=eps)
    rstd = rstd.reshape(rstd.shape + (1,) * axes)
    xhat = (wide(x) - mean.reshape(rstd.shape)) * rstd
    g = wide(dy) if weight is None else wide(dy) * wide(weight)
    dx = rstd * (g - g.mean(over, keepdims=True) - xhat * (g * xhat).mean(over, keepdims=True))
    return dx, (wide(dy) * xhat).sum(lead), wide(dy).sum(lead)


def _channel(v: Array | None, ndim: int, default: float) -> Float64:
    """(C,) -> (C, 1, ...), so that it broadcasts over (N, C, ...)."""
    v = np.array(default) if v is None else wide(v)
    return v.reshape(-1, *(1,) * (ndim - 2))


def batch_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Float64, Float64, Float64, Float64 | None, Float64 | None]:
    """y, mean, rstd, new running mean, new running variance. Ioffe, Szegedy, ICML 2015, algorithms 1 and 2.

    PyTorch's convention: `momentum` is the share of the new value, the running variance is unbiased.
    """
    x, over = wide(x), (0, *range(2, x.ndim))
    new_mean = None if running_mean is None else wide(running_mean)
    new_var = None if running_var is None else wide(running_var)
    if training:
        count = x.size // x.shape[1]
        mean, var = x.mean(over), x.var(over)
        new_mean = None if new_mean is None else (1 - momentum) * new_mean + momentum * mean
        new_var = None if new_var is None else (1 - momentum) * new_var + momentum * var * count / (count - 1)
    else:
        assert new_mean is not None and new_var is not None
        mean, var = new_mean, new_var
    rstd = 1 / np.sqrt(var + eps)
    y = (x - _channel(mean, x.ndim, 0)) * _channel(rstd, x.ndim, 1)
    y = y * _channel(weight, x.ndim, 1) + _channel(bias, x.ndim, 0)
    return y, mean, rstd, new_mean, new_var


def batch_norm_backward(
    dy: Array, x: Array, weight: Array | None, mean: Array, rstd: Array, training: bool = True
) -> tuple[Float64, Float64, Float64]:
    """dx, dweight, dbias. Ioffe, Szegedy 2015, section 3; in evaluation mean and rstd are constants."""
    dy, over = wide(dy), (0, *range(2, x.ndim))
    scale = _channel(rstd, x.ndim, 1)
    xhat = (wide(x) - _channel(mean, x.ndim, 0)) * scale
    g = dy * _channel(weight, x.ndim, 1)
    dx = scale * g
    if training:
        dx = scale * (g - g.mean(over, keepdims=True) - xhat * (g * xhat).mean(over, keepdims=True))
    return dx, (dy * xhat).sum(over), dy.sum(over)


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[float, Float64]:
    """Mean of -log softmax(logits)[label] and its gradient. Goodfellow et al., "Deep Learning", 2016, 6.2.2.3."""
    z, rows = wide(logits), np.arange(len(labels))
    with np.errstate(invalid="ignore"):
        z = z - z.max(1, keepdims=True)
        log_sum = np.log(np.exp(z).sum(1))
        gradient = np.exp(z - log_sum[:, None])
    gradient[rows, labels] -= 1
    return float((log_sum - z[rows, labels]).mean()), gradient / len(labels)


_LOW = np.uint64(0xFFFFFFFF)


def philox4x32(counter: Array, key: tuple[int, int], rounds: int = 10) -> npt.NDArray[np.uint32]:
    """Philox4x32: (..., 4) counter words and a key of two words give (..., 4) random words.

    J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3 and table 2.
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], -1).astype(np.uint32)


def philox_blocks(seed: int, stream: int, block: int, blocks: int) -> npt.NDArray[np.uint32]:
    """(blocks, 64) words. A block is 16 consecutive counters; word 16 * w + lane is word w of counter `lane`."""
    indices = [16 * block + i for i in range(16 * blocks)]
    words = [(i % 2**32, i // 2**32 % 2**32, stream % 2**32, stream // 2**32) for i in indices]
    counter = np.array(words, dtype=np.uint32).reshape(-1, 4)
    drawn = philox4x32(counter, (seed % 2**32, seed // 2**32))
    return drawn.reshape(blocks, 16, 4).transpose(0, 2, 1).reshape(blocks, 64)


def dropout_keep(size: int, p: float, seed: int, stream: int, block: int) -> npt.NDArray[np.bool_]:
    """Which of `size` elements stay: 128 elements a block, the low half of each word, then the high half."""
    words = philox_blocks(seed, stream, block, -(-size // 128))
    bits = np.concatenate([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=1).reshape(-1)[:size]
    return bits >= math.floor(p * 65536 + 0.5)


def _fraction53(words: npt.NDArray[np.uint32], pair: int) -> Float64:
    """(blocks, 16) integers below 2**53, of the words 2 * pair and 2 * pair + 1 of each counter."""
    a, b = (words[:, 16 * w : 16 * (w + 1)].astype(np.float64) for w in (2 * pair, 2 * pair + 1))
    return np.floor(a / 2**5) * 2**26 + np.floor(b / 2**6)


def uniform01(size: int, dtype: Any, seed: int, stream: int, block: int) -> Float64:
    """Uniform in [0, 1): 24 bits of one word for float32, 53 bits of two for float64."""
    if dtype == np.float32:
        words = philox_blocks(seed, stream, block, -(-size // 64))
        return np.floor(words.reshape(-1)[:size] / 2**8) * 2.0**-24
    words = philox_blocks(seed, stream, block, -(-size // 32))
    pairs = [_fraction53(words, pair) for pair in (0, 1)]
    return np.concatenate(pairs, axis=1).reshape(-1)[:size] * 2.0**-53


def normal01(size: int, dtype: Any, seed: int, stream: int, block: int) -> Float64:
    """Standard normal values. G. Box, M. Muller, Ann. Math. Stat. 29 (1958): r cos(2 pi u2), r sin(2 pi u2)."""
    if dtype == np.float32:
        words = philox_blocks(seed, stream, block, -(-size // 64)).reshape(-1, 2, 2, 16)
        bits = np.floor(words / 2**8) * 2.0**-24
        u1, u2, axis = bits[:, :, 0] + 2.0**-24, bits[:, :, 1], 2
    else:
        words = philox_blocks(seed, stream, block, -(-size // 32))
        u1, u2, axis = (_fraction53(words, 0) + 1) * 2.0**-53, _fraction53(words, 1) * 2.0**-53, 1
    r = np.sqrt(-2 * np.log(u1))
    z = np.stack([r * np.cos(2 * math.pi * u2), r * np.sin(2 * math.pi * u2)], axis=axis)
    return z.reshape(-1)[:size]
