"""The compiled kernels. Arrays are C-contiguous float32 or float64; everything is checked here, once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.floating]
_Float64 = npt.NDArray[np.float64]

def isa() -> str: ...
def supported_isas() -> tuple[str, ...]: ...
def use_isa(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def build_info() -> dict[str, str]: ...
def relu(x: _Array, out: _Array | None) -> _Array: ...
def relu_backward(dy: _Array, x: _Array, out: _Array | None) -> _Array: ...
def dropout(x: _Array, p: float, seed: int, stream: int, block: int, out: _Array | None) -> _Array: ...
def dropout_backward(dy: _Array, p: float, seed: int, stream: int, block: int, out: _Array | None) -> _Array: ...
def layer_norm(
    x: _Array,
    normalized_shape: Sequence[int],
    weight: _Array | None,
    bias: _Array | None,
    eps: float,
    out: _Array | None,
) -> tuple[_Array, _Float64, _Float64]: ...
def layer_norm_backward(
    dy: _Array, x: _Array, weight: _Array | None, mean: _Float64, rstd: _Float64, out: _Array | None
) -> tuple[_Array, _Array, _Array]: ...
def batch_norm(
    x: _Array,
    running_mean: _Array | None,
    running_var: _Array | None,
    weight: _Array | None,
    bias: _Array | None,
    training: bool,
    momentum: float,
    eps: float,
    out: _Array | None,
) -> tuple[_Array, _Float64, _Float64]: ...
def batch_norm_backward(
    dy: _Array, x: _Array, weight: _Array | None, mean: _Float64, rstd: _Float64, training: bool, out: _Array | None
) -> tuple[_Array, _Array, _Array]: ...
def softmax_cross_entropy(
    logits: _Array, labels: npt.NDArray[np.integer], out: _Array | None
) -> tuple[float, _Array]: ...
def uniform(out: _Array, low: float, high: float, seed: int, stream: int, block: int) -> None: ...
def normal(out: _Array, mean: float, std: float, seed: int, stream: int, block: int) -> None: ...
def philox(seed: int, stream: int, block: int, blocks: int) -> npt.NDArray[np.uint32]: ...
def stream(updated: Sequence[_Array], written: Sequence[_Array], read: Sequence[_Array]) -> None: ...

class SGD:
    def __init__(
        self,
        params: Sequence[_Array],
        momentum_buffers: Sequence[_Array | None],
        steps: npt.NDArray[np.int64],
        momentum_steps: npt.NDArray[np.int64],
        names: Sequence[str],
    ) -> None: ...
    def step(
        self,
        grads: Sequence[_Array | None],
        groups: Sequence[tuple[int, float, float, float, float, bool, bool]],
    ) -> None: ...

class Adam:
    def __init__(
        self,
        params: Sequence[_Array],
        exp_avgs: Sequence[_Array],
        exp_avg_sqs: Sequence[_Array],
        steps: npt.NDArray[np.int64],
        names: Sequence[str],
    ) -> None: ...
    def step(
        self,
        grads: Sequence[_Array | None],
        groups: Sequence[tuple[int, float, float, float, float, float, bool, bool]],
    ) -> None: ...
