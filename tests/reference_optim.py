"""The results that every optimizer must compute, as slow, obvious NumPy formulas in float64, independent of the
kernels.

Arguments are param, grad, the state in the order of torch's state, and options; the new param and state are returned.
`step` counts from 1.
"""

import math
from typing import Any

import numpy as np
from reference import Array, Float64, wide


def _decayed(
    param: Array, grad: Array, lr: float, weight_decay: float, maximize: bool, decoupled: bool = False
) -> tuple[Float64, Float64]:
    """Return the param after decoupled decay, and the gradient: negated if `maximize`, with L2 regularisation added."""
    p, g = wide(param), -wide(grad) if maximize else wide(grad)
    return (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)


def sgd(
    param: Array,
    grad: Array,
    buffer: Array | None,
    step: int,
    lr: float = 1e-3,
    momentum: float = 0,
    dampening: float = 0,
    weight_decay: float = 0,
    nesterov: bool = False,
    maximize: bool = False,
) -> tuple[Float64, Float64 | None]:
    """Return the new param and momentum buffer. Sutskever et al., ICML 2013, in the form that torch.optim.SGD
    documents.

    A buffer of None means the first step, which uses the gradient without dampening.
    """
    p, g = _decayed(param, grad, lr, weight_decay, maximize)
    if not momentum:
        return p - lr * g, buffer
    new = g if buffer is None else momentum * wide(buffer) + (1 - dampening) * g
    return p - lr * (g + momentum * new if nesterov else new), new


def adam(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    v_max: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    amsgrad: bool = False,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
) -> tuple[Float64, ...]:
    """Return the param, both moments and the largest second moment. Kingma, Ba, ICLR 2015, algorithm 1.

    Weight decay is added to the gradient (L2), or subtracted from the parameter if decoupled: Loshchilov, Hutter,
    "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2. eps is outside the root, after bias correction.
    amsgrad: Reddi et al., "On the convergence of Adam and beyond", ICLR 2018, with torch's bias correction.
    """
    p, g = _decayed(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    m = betas[0] * wide(m) + (1 - betas[0]) * g
    v = betas[1] * wide(v) + (1 - betas[1]) * g * g
    v_max = np.maximum(wide(v_max), v) if amsgrad else wide(v_max)
    m_hat, v_hat = m / (1 - betas[0] ** step), (v_max if amsgrad else v) / (1 - betas[1] ** step)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), m, v, v_max


def adamw(param: Array, grad: Array, *state: Any, **options: Any) -> tuple[Float64, ...]:
    """`adam` with decoupled weight decay, 0.01 by default."""
    return adam(param, grad, *state, **{"weight_decay": 1e-2, "decoupled_weight_decay": True, **options})


def adamax(
    param: Array,
    grad: Array,
    m: Array,
    u: Array,
    step: int,
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    maximize: bool = False,
) -> tuple[Float64, ...]:
    """Return the param, moment and infinity norm. Kingma, Ba, ICLR 2015, algorithm 2; eps is in the maximum."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize)
    m = betas[0] * wide(m) + (1 - betas[0]) * g
    u = np.maximum(betas[1] * wide(u), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** step) * m / u, m, u


def nadam(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    mu_product: float,
    step: int,
    lr: float = 2e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> tuple[Any, ...]:
    """Return the param, both moments and mu_1 ... mu_t. Dozat, ICLR workshop 2016, in the form of torch.optim.NAdam."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in (step, step + 1))
    mu_product = mu_product * mu
    m = betas[0] * wide(m) + (1 - betas[0]) * g
    v = betas[1] * wide(v) + (1 - betas[1]) * g * g
    m_hat = mu_next * m / (1 - mu_product * mu_next) + (1 - mu) * g / (1 - mu_product)
    return p - lr * m_hat / (np.sqrt(v / (1 - betas[1] ** step)) + eps), m, v, mu_product


def radam(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
) -> tuple[Float64, ...]:
    """Return the param and both moments. Liu et al., ICLR 2020, algorithm 2; eps before bias correction (torch)."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize, decoupled_weight_decay)
    m = betas[0] * wide(m) + (1 - betas[0]) * g
    v = betas[1] * wide(v) + (1 - betas[1]) * g * g
    m_hat, known = m / (1 - betas[0] ** step), 1 - betas[1] ** step
    last = 2 / (1 - betas[1]) - 1
    rho = last - 2 * step * betas[1] ** step / known
    if rho <= 5:
        return p - lr * m_hat, m, v
    r = math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
    return p - lr * m_hat * r * math.sqrt(known) / (np.sqrt(v) + eps), m, v


def adagrad(
    param: Array,
    grad: Array,
    total: Array,
    step: int,
    lr: float = 1e-2,
    lr_decay: float = 0,
    weight_decay: float = 0,
    initial_accumulator_value: float = 0,
    eps: float = 1e-10,
    maximize: bool = False,
) -> tuple[Float64, ...]:
    """Return the param and sum of squares, which has an initial value. Duchi et al., JMLR 12 (2011), figure 1."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize)
    total = wide(total) + g * g
    return p - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(total) + eps), total


def adadelta(
    param: Array,
    grad: Array,
    square_avg: Array,
    acc_delta: Array,
    step: int,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0,
    maximize: bool = False,
) -> tuple[Float64, ...]:
    """Return the param, and the mean squares of gradients and of changes. Zeiler, "ADADELTA", 2012, algorithm 1."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize)
    square_avg = rho * wide(square_avg) + (1 - rho) * g * g
    delta = np.sqrt(wide(acc_delta) + eps) / np.sqrt(square_avg + eps) * g
    return p - lr * delta, square_avg, rho * wide(acc_delta) + (1 - rho) * delta * delta


def rmsprop(
    param: Array,
    grad: Array,
    square_avg: Array,
    buffer: Array,
    grad_avg: Array,
    step: int,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0,
    momentum: float = 0,
    centered: bool = False,
    maximize: bool = False,
) -> tuple[Float64, ...]:
    """Return param, mean square, velocity, mean gradient. Hinton's lecture 6.5; Graves, 2013, equations 38 to 45."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize)
    square_avg = alpha * wide(square_avg) + (1 - alpha) * g * g
    grad_avg = alpha * wide(grad_avg) + (1 - alpha) * g if centered else wide(grad_avg)
    variance = square_avg - grad_avg**2 if centered else square_avg
    change = g / (np.sqrt(np.where(variance < 0, 0, variance)) + eps)
    buffer = momentum * wide(buffer) + change if momentum else wide(buffer)
    return p - lr * (buffer if momentum else change), square_avg, buffer, grad_avg


def lion(
    param: Array,
    grad: Array,
    m: Array,
    step: int,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0,
    maximize: bool = False,
) -> tuple[Float64, ...]:
    """Return the param and momentum. Chen et al., NeurIPS 2023, algorithm 2."""
    p, g = _decayed(param, grad, lr, weight_decay, maximize, decoupled=True)
    direction = np.sign(betas[0] * wide(m) + (1 - betas[0]) * g)
    return p - lr * direction, betas[1] * wide(m) + (1 - betas[1]) * g
