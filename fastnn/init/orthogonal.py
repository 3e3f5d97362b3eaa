"""Random orthogonal matrices: Householder reflections of independent normal vectors, applied as matrix products.

Sources: G. W. Stewart, "The efficient generation of random orthogonal matrices with an application to condition
estimators", SIAM J. Numer. Anal. 17 (1980), theorem 3.3; for the signs F. Mezzadri, "How to generate random matrices
from the classical compact groups", Notices of the AMS 54 (2007), "A correct and efficient algorithm". The reflections
of a block are I - V T V^T: R. Schreiber, C. Van Loan, "A storage-efficient WY representation for products of
Householder transformations", SIAM J. Sci. Stat. Comput. 10 (1989), with T^-1 read off V^T V: C. Puglisi, "Modification
of the Householder method based on the compact WY representation", SIAM J. Sci. Stat. Comput. 13 (1992).
"""

import numpy as np

from fastnn import _core
from fastnn._types import Array
from fastnn.functional.matmul import matmul
from fastnn.random import RandomSource
from fastnn.random.fill import Target, as_array, normal_, real

_BLOCK = 128  # reflections applied together


def orthogonal_(tensor: Target, gain: float = 1.0, generator: RandomSource | None = None) -> Target:
    """Fill with gain times a matrix whose rows or columns, whichever are fewer, are orthonormal.

    The matrix follows the Haar distribution: no direction is preferred. Its bits are the same on every machine.

    Args:
        tensor: (rows, ...), at least two dimensions, float32 or float64; all dimensions but the first are treated as
            one.
        gain: a factor, of either sign.
        generator: source of the rows * columns normal values, which are drawn at once.

    Raises:
        TypeError, ValueError: tensor is not float32 or float64, is strided or read-only, or has fewer than two
            dimensions.
        ValueError: gain is not finite in the tensor's dtype.
    """
    data = as_array(tensor)
    if data.ndim < 2:
        raise ValueError(f"tensor: got shape {data.shape}, want at least two dimensions; reshape it to (rows, columns)")
    with np.errstate(over="ignore", invalid="ignore"):
        factor = np.float64(real("gain", gain)).astype(data.dtype)
    if not np.isfinite(factor):
        raise ValueError(
            f"gain: got {gain!r}, want a finite number that the tensor's dtype can hold; leave it out for 1"
        )
    normal_(data, generator=generator)
    if data.size == 0:
        return tensor
    matrix = data.reshape(len(data), -1)
    _orthonormal_columns(matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T)
    if factor != 1:
        data *= factor
    return tensor


def _orthonormal_columns(q: Array) -> None:
    """Replace normal values by the first n columns of H_0 H_1 ... H_(n-1) D, in place.

    H_k reflects rows k..m-1 so that H_k D_k e_k is column k of the normal values from row k on, divided by its length.

    Args:
        q: (m, n), m >= n > 0, either row-major or column-major.
    """
    m, n = q.shape
    reflectors = np.empty_like(q[:, :_BLOCK])
    products = np.empty((2, min(_BLOCK, n), n), q.dtype)
    for begin in reversed(range(0, n, _BLOCK)):  # backwards, so that a block is applied to few columns
        end = min(begin + _BLOCK, n)
        v = reflectors[: m - begin, : end - begin]
        np.copyto(v, q[begin:, begin:end])
        t, signs = _compact_wy(v)
        head, below = v[: len(t)], v[len(t) :]

        # rows begin.., columns end..: so far zeros above `rest`
        rest = q[end:, end:]
        v_rest, t_v_rest = products[:, : len(t), : n - end]
        _core.multiply_into(v_rest, below.T, rest, False)
        _core.multiply_into(t_v_rest, -t.astype(q.dtype), v_rest, False)
        _core.multiply_into(q[begin:end, end:], head, t_v_rest, False)
        _core.multiply_into(rest, below, t_v_rest, True)

        # rows begin.., columns begin..end: so far D, whose diagonal is -signs
        _core.multiply_into(q[begin:, begin:end], v, matmul(t, head.T * signs).astype(q.dtype), False)
        np.einsum("ii->i", q[begin:end, begin:end])[...] -= signs.astype(q.dtype)


def _compact_wy(v: Array) -> tuple[Array, Array]:
    """Turn b columns of normal values into reflectors, in place, and return T with H_0 ... H_(b-1) = I - V T V^T.

    Args:
        v: (m, b), m >= b. Elements above the diagonal are set to zero; each diagonal element moves away from zero by
            the length of its column, so that nothing cancels. A column of zeros becomes a unit vector.

    Returns:
        T: (b, b) float64, upper triangular: its inverse is that of V^T V with the diagonal halved.
        signs: (b,) float64, the signs of the diagonal; H_k e_k is -signs[k] times column k, normalised.
    """
    b = v.shape[1]
    v[:b] = np.tril(v[:b])
    head = v[:b].astype(np.float64)
    gram = matmul(v.T, v).astype(np.float64)
    lengths = np.sqrt(gram.diagonal())
    lengths[lengths == 0] = 1
    signs = np.copysign(1.0, head.diagonal())
    diagonal = np.einsum("ii->i", v[:b])
    diagonal += (signs * lengths).astype(v.dtype)

    # V^T V follows from that of the normal values; T must fit V as rounded, so `shift` is the amount really added
    shift = diagonal - head.diagonal()
    cross = shift[:, None] * head
    gram += cross + cross.T + np.diag(shift**2)
    np.einsum("ii->i", gram)[...] *= 0.5
    return _upper_inverse(np.triu(gram)), signs


def _upper_inverse(a: Array) -> Array:
    """Return the inverse of an upper triangular matrix; of [[A, B], [0, C]] it is [[A^-1, -A^-1 B C^-1], [0, C^-1]]."""
    half, inverse = len(a) // 2, np.zeros(a.shape)
    if half <= 16:
        _core.invert_upper(inverse, a)
        return inverse
    first, last = _upper_inverse(a[:half, :half]), _upper_inverse(a[half:, half:])
    inverse[:half, :half], inverse[half:, half:] = first, last
    _core.multiply_into(inverse[:half, half:], -first, matmul(a[:half, half:], last), False)
    return inverse
