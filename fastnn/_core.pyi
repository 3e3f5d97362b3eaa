"""The compiled kernels. Arrays are C-contiguous float32 or float64; the kernels check all arguments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn._types import AnyArray as _Stored
from fastnn._types import Array as _Array
from fastnn._types import Float64 as _Float64

def isa() -> str: ...
def supported_isas() -> tuple[str, ...]: ...
def use_isa(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def build_info() -> dict[str, str]: ...
def memory_stats() -> dict[str, int]: ...
def empty_cache() -> int: ...
def set_cache_limit(bytes: int) -> None: ...
def activation(x: _Array, name: str, option: float, threshold: float, out: _Array | None) -> _Array: ...
def activation_backward(
    dy: _Array, at: _Array, name: str, option: float, threshold: float, out: _Array | None
) -> _Array: ...
def bias_activation(
    x: _Array,
    bias: _Array | None,
    activation: str,
    alpha: float | None,
    p: float,
    seed: int,
    stream: int,
    block: int,
    out: _Array | None,
) -> _Array: ...
def bias_activation_backward(
    dy: _Array,
    x: _Array,
    bias: _Array | None,
    activation: str,
    alpha: float | None,
    p: float,
    seed: int,
    stream: int,
    block: int,
    out: _Array | None,
    dbias: _Array | None,
) -> _Array: ...
def linear(
    x: _Array,
    weight: _Array,
    bias: _Array | None,
    activation: str,
    alpha: float | None,
    p: float,
    seed: int,
    stream: int,
    block: int,
    out: _Array | None,
    keep: bool,
) -> Any: ...
def matmul(a: _Array, b: _Array, out: _Array | None) -> _Array: ...
def invert_upper(out: _Array, a: _Array) -> None: ...
def multiply_into(c: _Array, a: _Array, b: _Array, add: bool) -> None: ...
def bias_gradient(dy: _Array, out: _Array | None) -> _Array: ...
def elementary(name: str, x: _Array) -> _Array: ...
def dropout(
    x: _Array,
    p: float,
    seed: int,
    stream: int,
    block: int,
    scale: float | None,
    leading: int,
    name: str,
    out: _Array | None,
) -> _Array: ...
def alpha_dropout(
    x: _Array, p: float, seed: int, stream: int, block: int, backward: bool, out: _Array | None
) -> _Array: ...
def layer_norm(
    x: _Array,
    normalized_shape: Sequence[int],
    weight: _Array | None,
    bias: _Array | None,
    eps: float,
    rms: bool,
    return_stats: bool,
    out: _Array | None,
) -> Any: ...
def layer_norm_backward(
    dy: _Array, x: _Array, weight: _Array | None, mean: _Float64 | None, rstd: _Float64, rms: bool, out: _Array | None
) -> tuple[_Array, _Array, _Array]: ...
def dropout_add_layer_norm(
    x: _Array,
    residual: _Array | None,
    normalized_shape: Sequence[int] | None,
    weight: _Array | None,
    bias: _Array | None,
    p: float,
    seed: int,
    stream: int,
    block: int,
    eps: float,
    keep_sum: bool,
    out: _Array | None,
) -> tuple[_Array, _Array, _Float64, _Float64]: ...
def dropout_add_layer_norm_backward(
    dy: _Array,
    sum: _Array,
    weight: _Array | None,
    mean: _Float64,
    rstd: _Float64,
    p: float,
    seed: int,
    stream: int,
    block: int,
    dsum: _Array | None,
    out: _Array | None,
) -> tuple[_Array, _Array, _Array, _Array]: ...
def batch_norm(
    x: _Array,
    running_mean: _Array | None,
    running_var: _Array | None,
    weight: _Array | None,
    bias: _Array | None,
    training: bool,
    momentum: float,
    eps: float,
    residual: _Array | None,
    activation: str | None,
    channels_last: bool,
    unbiased: bool,
    out: _Array | None,
) -> tuple[_Array, _Float64, _Float64]: ...
def batch_norm_backward(
    dy: _Array,
    x: _Array,
    weight: _Array | None,
    mean: _Float64,
    rstd: _Float64,
    training: bool,
    y: _Array | None,
    residual: bool,
    channels_last: bool,
    out: _Array | None,
) -> tuple[_Array, _Array, _Array, Any]: ...
def group_norm(
    x: _Array, num_groups: int, weight: _Array | None, bias: _Array | None, eps: float, out: _Array | None
) -> tuple[_Array, _Float64, _Float64]: ...
def group_norm_backward(
    dy: _Array,
    x: _Array,
    num_groups: int,
    weight: _Array | None,
    mean: _Float64,
    rstd: _Float64,
    out: _Array | None,
) -> tuple[_Array, _Array, _Array]: ...
def instance_norm(
    x: _Array,
    running_mean: _Array | None,
    running_var: _Array | None,
    weight: _Array | None,
    bias: _Array | None,
    momentum: float,
    eps: float,
    out: _Array | None,
) -> tuple[_Array, _Float64, _Float64]: ...
def instance_norm_backward(
    dy: _Array, x: _Array, weight: _Array | None, mean: _Float64, rstd: _Float64, out: _Array | None
) -> tuple[_Array, _Array, _Array]: ...
def weight_norm(v: _Array, g: _Array, dim: int | None, out: _Array | None) -> tuple[_Array, _Float64]: ...
def weight_norm_backward(
    dw: _Array, v: _Array, g: _Array, norm: _Float64, dim: int | None, out: _Array | None
) -> tuple[_Array, _Array]: ...
def softmax(x: _Array, dim: int, out: _Array | None) -> _Array: ...
def softmax_backward(dy: _Array, y: _Array, dim: int, out: _Array | None) -> _Array: ...
def log_softmax(x: _Array, dim: int, out: _Array | None) -> _Array: ...
def log_softmax_backward(dy: _Array, y: _Array, dim: int, out: _Array | None) -> _Array: ...
def max_pool2d(
    x: _Array,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    keep_indices: bool,
    out: _Array | None,
) -> tuple[_Array, Any]: ...
def max_pool2d_backward(
    dy: _Array,
    indices: npt.NDArray[np.uint8],
    input_size: Sequence[int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    out: _Array | None,
) -> _Array: ...
def softmax_cross_entropy(
    logits: _Array,
    labels: npt.NDArray[Any],
    weight: _Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    out: _Array | None,
    gradient: bool = True,
) -> tuple[Any, Any, int]: ...
def nll_loss(
    input: _Array,
    target: npt.NDArray[np.integer],
    weight: _Array | None,
    ignore_index: int,
    reduction: str,
    out: _Array | None,
    gradient: bool = True,
) -> tuple[Any, Any, int]: ...
def count_correct(logits: _Array, labels: npt.NDArray[np.integer]) -> tuple[int, int]: ...
def mse_loss(input: _Array, target: _Array, reduction: str, out: _Array | None) -> tuple[Any, _Array, int]: ...
def l1_loss(input: _Array, target: _Array, reduction: str, out: _Array | None) -> tuple[Any, _Array, int]: ...
def huber_loss(
    input: _Array, target: _Array, reduction: str, delta: float, out: _Array | None
) -> tuple[Any, _Array, int]: ...
def smooth_l1_loss(
    input: _Array, target: _Array, reduction: str, beta: float, out: _Array | None
) -> tuple[Any, _Array, int]: ...
def gaussian_nll_loss(
    input: _Array, target: _Array, var: _Array, full: bool, eps: float, reduction: str, out: _Array | None
) -> tuple[Any, _Array, _Array, int]: ...
def binary_cross_entropy_with_logits(
    input: _Array,
    target: _Array,
    weight: _Array | None,
    reduction: str,
    pos_weight: _Array | None,
    out: _Array | None,
) -> tuple[Any, _Array, int]: ...
def kl_div(
    input: _Array, target: _Array, reduction: str, log_target: bool, out: _Array | None
) -> tuple[Any, _Array, int]: ...
def uniform(out: _Array, low: float, high: float, seed: int, stream: int, offset: int) -> None: ...
def normal(out: _Array, mean: float, std: float, seed: int, stream: int, offset: int) -> None: ...
def trunc_normal(
    out: _Array, mean: float, std: float, a: float, b: float, seed: int, stream: int, offset: int
) -> None: ...
def bernoulli(out: _Array, p: float, seed: int, stream: int, offset: int) -> None: ...
def exponential(out: _Array, lambd: float, seed: int, stream: int, offset: int) -> None: ...
def integers(out: npt.NDArray[np.int64], first: int, last: int, seed: int, stream: int, offset: int) -> None: ...
def permutation(n: int, seed: int, stream: int, offset: int) -> npt.NDArray[np.int64]: ...
def writable(tensor: Any, name: str) -> _Array: ...
def philox(seed: int, stream: int, block: int, blocks: int) -> npt.NDArray[np.uint32]: ...
def philox_scalar(seed: int, stream: int, block: int, blocks: int) -> npt.NDArray[np.uint32]: ...
def stream(updated: Sequence[_Array], written: Sequence[_Array], read: Sequence[_Array]) -> None: ...

api: object
CHUNK: int
SCALE_ELEMENTS: int

def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> _Stored: ...
def describe(tensor: object, name: str) -> tuple[tuple[int, ...], str]: ...
def encode_state(
    values: npt.NDArray[np.float32],
    codes: npt.NDArray[np.unsignedinteger],
    scales: npt.NDArray[np.float32] | None,
    is_signed: bool,
) -> None: ...
def decode_state(
    codes: npt.NDArray[np.unsignedinteger], scales: npt.NDArray[np.float32] | None, is_signed: bool
) -> npt.NDArray[np.float32]: ...
def clip_norm(grads: Sequence[object], names: Sequence[str], max_norm: float) -> float: ...
def clip_factor(norm: float, max_norm: float) -> float: ...
def distinct(grads: Sequence[object], names: Sequence[str]) -> list[int]: ...
def scale(grads: Sequence[object], names: Sequence[str], factor: float) -> None: ...
def clamp(grads: Sequence[object], names: Sequence[str], low: float, high: float) -> None: ...

class _Stepper:
    def __init__(
        self,
        params: Sequence[object],
        names: Sequence[str],
        sizes: Sequence[int],
        state: Sequence[tuple[Sequence[_Stored | None], Sequence[_Stored | None], bool]],
        steps: Sequence[_Float64],
        memory: Sequence[_Float64],
        state_dtype: str,
    ) -> None: ...
    def step(
        self,
        grads: tuple[object, ...],
        groups: Sequence[Mapping[str, Any]],
        max_norm: float | None,
        zero_grad: bool,
        seed: int,
        stream: int,
        block: int,
        announce: Callable[[list[Any]], None],
    ) -> float | None: ...

class Snapshot:
    def __init__(self, state: dict[Any, Any], params: list[Any], ready: Sequence[bool]) -> None: ...
    def has(self, groups: list[Any]) -> bool: ...
    def fits(self, state: object, grads: tuple[Any, ...], handed_out: bool) -> bool: ...

class SGD(_Stepper): ...
class Adam(_Stepper): ...
class Adamax(_Stepper): ...
class NAdam(_Stepper): ...
class RAdam(_Stepper): ...
class Lion(_Stepper): ...
class Adagrad(_Stepper): ...
class Adadelta(_Stepper): ...
class RMSprop(_Stepper): ...
