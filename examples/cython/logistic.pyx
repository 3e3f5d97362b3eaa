"""Logistic regression, trained without the GIL with fastnn's kernels for the loss and its gradient and for Adam."""

import numpy as np

from libc.stdint cimport int64_t

cimport fastnn.cython_api as fn


def train(const float[:, ::1] x, const float[::1] y, int steps, double lr):
    """Fit weights (features,) to x (samples, features) and y (samples,), 0 or 1; return the weights and the last loss."""
    cdef Py_ssize_t samples = x.shape[0], features = x.shape[1], i, j
    cdef int64_t size = features, t
    cdef double loss = 0, memory = 1
    cdef float[::1] weights = np.zeros(features, np.float32), gradient = np.zeros(features, np.float32)
    cdef float[::1] logits = np.empty(samples, np.float32)
    cdef float[:, ::1] moments = np.zeros((2, features), np.float32)
    cdef float* params = &weights[0]
    cdef float* grads = &gradient[0]
    cdef float* state[2]
    cdef fn.fastnn_options options = fn.fastnn_options_adam()
    cdef int code = fn.FASTNN_OK
    options.lr = lr
    state[0], state[1] = &moments[0, 0], &moments[1, 0]
    with nogil:
        for t in range(1, steps + 1):
            for i in range(samples):
                logits[i] = 0
                for j in range(features):
                    logits[i] += x[i, j] * weights[j]
            code |= fn.binary_cross_entropy_with_logits(&logits[0], &loss, &logits[0], &y[0], NULL, NULL, samples, 1.0 / samples)
            gradient[:] = 0
            for i in range(samples):
                for j in range(features):
                    gradient[j] += x[i, j] * logits[i]
            code |= fn.adam(&params, &grads, state, &size, 1, t, &memory, &options)
    if code != fn.FASTNN_OK:
        raise RuntimeError(f"fastnn: got error code {code}")
    return np.asarray(weights), loss


def nanoseconds_per_call(int rows, int calls=1_000_000):
    """Return the time of one call of layer_norm that normalises `rows` rows of one element."""
    from time import perf_counter_ns

    cdef float[::1] x = np.ones(rows, np.float32), y = np.empty(rows, np.float32)
    cdef double[::1] mean = np.empty(rows), rstd = np.empty(rows)
    cdef int i
    begin = perf_counter_ns()
    with nogil:
        for i in range(calls):
            fn.layer_norm(&y[0], &mean[0], &rstd[0], &x[0], NULL, NULL, rows, 1, 1e-5)
    return (perf_counter_ns() - begin) / calls
