"""The entries of a torch optimizer's `state`, in the form that the kernels step where they lie."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastnn import _core
from fastnn._types import AnyArray
from fastnn.optim.engine import Column
from fastnn.optim.state import Layout, StateDtype, Stored

Entry = MutableMapping[str, Any]

_CODES = {"bfloat16": torch.bfloat16, "int8": torch.uint8}


class Prepared(NamedTuple):
    """The memory of one parameter's state, for the compiled stepper.

    Attributes:
        entry: the entry of `state`.
        arrays, scales: by kind, in the layout's order; None for kinds that are not kept.
        step, memory: an array of one float64 each.
        is_fresh: whether the entry has a momentum that no step has initialised.
    """

    entry: Entry
    arrays: Sequence[AnyArray | None]
    scales: Sequence[AnyArray | None]
    step: AnyArray
    memory: AnyArray
    is_fresh: bool


def is_complete(entry: Any, layout: Layout, needed: Sequence[str]) -> bool:
    """Return whether an entry has all that a step needs."""
    numbers = [name for name in ("step" if layout.counts_steps else None, layout.memory_name) if name]
    return bool(entry) and all(entry.get(key) is not None for key in (*numbers, *needed))


@contextmanager
def kept_unless_done(state: MutableMapping[Tensor, Entry], params: Sequence[Tensor]) -> Iterator[None]:
    """Give the parameters' entries their items back if an exception leaves the block.

    Torch's own step, which may follow, would take a momentum of zeros for one that a step has left.
    """
    before = [(p, state[p], dict(state[p])) if p in state else (p, None, {}) for p in params]
    try:
        yield
    except BaseException:
        for p, entry, items in before:
            if entry is None:
                state.pop(p, None)
            else:
                entry.clear()
                entry.update(items)
        raise


def prepare(
    entry: Entry,
    param: Tensor,
    name: str,
    layout: Layout,
    needed: Sequence[str],
    initial: float,
    state_dtype: StateDtype | None,
) -> Prepared:
    """Complete an entry, and replace the tensors in it that the kernels cannot use: those of another dtype, strided
    ones, and state that is not coded yet.

    Args:
        needed: the kinds of state that the group's options need.
        initial: the initial value of state.

    Raises:
        ValueError: a tensor has another shape than the parameter, or the scales of its bytes are missing.
    """
    is_fresh = layout.none_at_first and any(entry.get(kind) is None for kind in needed)
    step = _number(entry, "step", 0.0) if layout.counts_steps else np.zeros(1)
    memory = np.array([float(is_fresh)])
    if layout.memory_name is not None:
        memory = _number(entry, layout.memory_name, 1.0)
    arrays: list[AnyArray | None] = []
    scales: list[AnyArray | None] = []
    for kind, is_signed in layout.kinds.items():
        value = entry.get(kind)
        keeps = kind in needed
        if keeps and (value is None or not _fits(value, entry.get(f"{kind}_scale"), param, state_dtype)):
            _store(entry, kind, initial if value is None else value, param, name, state_dtype, is_signed)
        arrays.append(_array(entry[kind]) if keeps else None)
        scales.append(_array(entry[f"{kind}_scale"]) if keeps and state_dtype == "int8" else None)
    return Prepared(entry, arrays, scales, step, memory, is_fresh)


def columns(rows: Sequence[Prepared | None], layout: Layout) -> list[Column]:
    """Return the state of all parameters by kind, for the engine."""
    return [
        ([r and r.arrays[k] for r in rows], [r and r.scales[k] for r in rows], is_signed)
        for k, is_signed in enumerate(layout.kinds.values())
    ]


def numbers(rows: Sequence[Prepared | None]) -> tuple[list[AnyArray], list[AnyArray]]:
    """Return the step and the memory of all parameters, for the engine."""
    unused = np.zeros(1)
    return [r.step if r else unused for r in rows], [r.memory if r else unused for r in rows]


def check_loaded(
    state: MutableMapping[Tensor, Entry], state_dict: Mapping[str, Any], groups: Sequence[Any], layout: Layout
) -> None:
    """Copy what torch's loading has shared with the state dict, or has narrowed to the dtype of bfloat16 parameters.

    Raises:
        ValueError: a tensor has another shape than its parameter.
    """
    ids = [i for group in state_dict["param_groups"] for i in group["params"]]
    for i, p in zip(ids, [p for group in groups for p in group["params"]], strict=True):
        for key, value in state_dict["state"].get(i, {}).items():
            if not isinstance(value, Tensor):
                continue
            if key in layout.kinds and value.shape != p.shape:
                raise wrong_shape(f"{key} of parameter {i}", value, p)
            loaded = state.get(p, {}).get(key)  # None if a hook has taken it away
            narrowed = p.dtype is torch.bfloat16 and value.dtype is torch.float32
            if loaded is not None and (loaded is value or narrowed):
                state[p][key] = value.detach().clone()


def narrow(state: MutableMapping[Tensor, Entry], groups: Sequence[Any], layout: Layout) -> None:
    """Give the state of bfloat16 parameters the dtype that torch's own step wants."""
    for p in [p for group in groups for p in group["params"] if p.dtype is torch.bfloat16 and p in state]:
        for kind in layout.kinds:
            value = state[p].get(kind)
            if isinstance(value, Tensor) and value.dtype is torch.float32:
                state[p][kind] = value.bfloat16()


def wrong_shape(name: str, value: Tensor, param: Tensor) -> ValueError:
    """Return the error for state that is not of its parameter's shape."""
    got, want = tuple(value.shape), tuple(param.shape)
    return ValueError(f"{name}: got shape {got}, want {want}; load it into the model it was saved from")


def decoded(entry: Entry, layout: Layout) -> dict[str, Any]:
    """Return a copy of an entry with its coded state in float32, as torch's optimizers have it."""
    result = {key: value for key, value in entry.items() if not key.endswith("_scale")}
    for kind, is_signed in layout.kinds.items():
        value = entry.get(kind)
        if isinstance(value, Tensor) and value.dtype in _CODES.values():
            scale = entry.get(f"{kind}_scale")
            codes = _core.decode_state(_array(value), None if scale is None else _array(scale), is_signed)
            result[kind] = torch.from_numpy(codes)
    return result


def _number(entry: Entry, key: str, initial: float) -> AnyArray:
    """Return the memory of a number, which becomes a tensor in float64: float32 cannot count beyond 2^24."""
    value = entry.get(key)
    if not (isinstance(value, Tensor) and value.dtype is torch.float64 and value.is_cpu and value.numel() == 1):
        number = float(initial if value is None else value)
        entry[key] = value = torch.tensor(number, dtype=torch.float64, device="cpu")
    return _array(value).reshape(1)


def _fits(value: Any, scale: Any, param: Tensor, state_dtype: StateDtype | None) -> bool:
    """Return whether the kernels can step a tensor where it lies."""
    dtype = torch.float32 if param.dtype is torch.bfloat16 else param.dtype
    if state_dtype is not None:
        dtype = _CODES[state_dtype]
    tensors = [value, scale] if state_dtype == "int8" else [value]
    return (
        all(type(t) is Tensor and t.is_cpu and t.layout is torch.strided and t.is_contiguous() for t in tensors)
        and value.dtype is dtype
        and value.shape == param.shape
    )


def _store(
    entry: Entry, kind: str, value: Any, param: Tensor, name: str, state_dtype: StateDtype | None, is_signed: bool
) -> None:
    """Put a value, a tensor or a number, into memory that the kernels can use."""
    if isinstance(value, Tensor):
        if value.shape != param.shape:
            raise wrong_shape(f"{kind} of {name}", value, param)
        if value.dtype is torch.uint8:  # its scales are gone, or belong to other elements
            raise ValueError(
                f"{kind} of {name}: got bytes in another order than {kind}_scale, want float32; take them from "
                "state_dict(), whose state is decoded"
            )
        value = value.detach().to("cpu", torch.float64 if param.dtype is torch.float64 else torch.float32).numpy()
    dtype = np.dtype(np.float64 if param.dtype is torch.float64 else np.float32)
    stored = Stored(tuple(param.shape), dtype, state_dtype, is_signed)
    stored.write(value)
    entry[kind] = torch.from_numpy(stored.array)
    if state_dtype == "bfloat16":
        entry[kind] = entry[kind].view(torch.bfloat16)
    if stored.scales is not None:
        entry[f"{kind}_scale"] = torch.from_numpy(stored.scales)


def _array(tensor: Tensor) -> AnyArray:
    """Return an array over a tensor's memory; bfloat16 as its bits."""
    plain = tensor.detach()
    array: AnyArray = (plain.view(torch.uint16) if plain.dtype is torch.bfloat16 else plain).numpy()
    return array
