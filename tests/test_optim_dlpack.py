"""Optimizers over tensors of another library: gradients of their own, groups, clipping, state dicts with tensors."""

import copy
import sys
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, same_bits
from tensors import Tensor, rounded, versions, widened
from variants import NAMES, full_state, make

from fastnn import nn, optim
from fastnn.optim import clip_grad_norm_, clip_grad_value_

__all__ = ["versions"]
pytestmark = pytest.mark.usefixtures("versions")


class Rows(Tensor):
    """A tensor that can be iterated over, as torch's can, and whose rows could themselves be parameters."""

    def __iter__(self) -> Any:
        return (Tensor(row) for row in self.memory)


class Remote(Tensor):
    """A tensor on another device that requires a gradient: it is no array before it is detached and copied."""

    ways: tuple[str, ...] = ()

    def _after(self, way: str) -> "Remote":
        made = copy.copy(self)
        made.ways = (*self.ways, way)
        return made

    def detach(self) -> "Remote":
        """Return the tensor without its history."""
        return self._after("detach")

    def cpu(self) -> "Remote":
        """Return a copy in the CPU's memory."""
        return self._after("cpu")

    def numpy(self) -> Array:
        """Return the memory, if it can be an array."""
        assert set(self.ways) == {"detach", "cpu"}
        return super().numpy()

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.memory.item()

    def __float__(self) -> float:
        if self.memory.size != 1:
            raise RuntimeError("a Tensor with several elements cannot be converted to Scalar")
        return float(self.memory.item())


@pytest.fixture
def types(versions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the other library, which is not installed, the functions that make its tensors; its default is float32."""
    library = sys.modules["torch"]
    monkeypatch.setattr(library, "from_numpy", Tensor, raising=False)
    monkeypatch.setattr(library, "float64", np.float64, raising=False)
    made = lambda value, dtype=np.float32: Tensor(np.array(value, dtype))  # noqa: E731
    monkeypatch.setattr(library, "tensor", made, raising=False)


def _tensors(*values: float, dtype: Any = np.float32) -> list[Tensor]:
    return [Tensor(np.full(3, value, dtype)) for value in values]


def _first(*tensors: Any) -> list[float]:
    """Return the first element of each tensor."""
    return [float(t.memory.flat[0]) for t in tensors]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_their_own(name: str) -> None:
    """Without an argument, a step uses each tensor's own gradient and skips those that have none."""
    params, want = _tensors(1, 2, 3), [np.full(3, v, np.float32) for v in (1, 2, 3)]
    params[0].grad, params[2].grad = _tensors(5, 7)
    optimizer, same = make(name, params, **full_state(name)), make(name, want, **full_state(name))
    for _ in range(2):
        assert optimizer.step() is None
        same.step([np.full(3, 5, np.float32), None, np.full(3, 7, np.float32)])
    assert all(same_bits(p.memory, w) for p, w in zip(params, want, strict=True))
    assert [optimizer.state_of(p)["step"] for p in params] == [2, 0, 2] and _first(params[0].grad) == [5]


def test_gradients_of_tensors_and_parameters() -> None:
    """A list may hold both; if it holds an array too, which has no gradient, the gradients must be given."""
    (tensor,), parameter, array = _tensors(1), nn.Parameter(np.ones(3, np.float32)), np.ones(3, np.float32)
    (tensor.grad,) = _tensors(2)
    parameter.grad = np.full(3, 4, np.float32)
    optim.SGD([tensor, parameter], lr=0.25).step()
    assert _first(tensor) == [0.5] and (parameter.data == 0).all()
    for params in ([tensor, array], [array, tensor], [parameter, array], [array, parameter], [array]):
        with pytest.raises(TypeError, match=r"^grads: got none, want one per parameter, since NumPy arrays"):
            optim.SGD(params).step()
    assert _first(tensor) == [0.5] and (parameter.data == 0).all() and (array == 1).all()


def test_zero_grad() -> None:
    """Gradients of tensors become zeros in place, or None; those of Parameters are gone; arrays have none."""
    first, second = _tensors(1, 2)
    parameter, array = nn.Parameter(np.ones(3, np.float32)), np.ones(3, np.float32)
    optimizer = optim.SGD([array, first, second, parameter])
    for set_to_none in (False, True):
        (grad,) = _tensors(5)
        first.grad, parameter.grad = grad, np.ones(3, np.float32)
        optimizer.zero_grad(*([True] if set_to_none else []))
        assert first.grad is (None if set_to_none else grad) and second.grad is None and parameter.grad is None
        assert (grad.memory == (5 if set_to_none else 0)).all()
    assert (array == 1).all() and _first(first, second) == [1, 2]


@pytest.mark.parametrize("value", [2.0, np.nan, np.inf])
@pytest.mark.parametrize("are_given", [False, True])
def test_zeroed_after_a_step(are_given: bool, value: float) -> None:
    """The step zeroes the gradients of tensors, also when it is skipped for its norm; a missing one stays missing."""
    params, grads = _tensors(1, 2, 3), _tensors(value, 2)
    optimizer = optim.SGD(params, lr=0.5, clip_grad_norm=1e9, zero_grad_after_step=True)
    params[0].grad, params[2].grad = (None, None) if are_given else grads
    optimizer.step([grads[0], None, grads[1]] if are_given else None)
    assert all(not grad.memory.any() for grad in grads) and params[1].grad is None
    assert _first(*params) == ([0, 2, 2] if value == 2 else [1, 2, 3])
    assert optimizer.skipped_steps == (value != 2)


def test_one_tensor() -> None:
    """One tensor is not a list of parameters, although it has rows; a group may be one tensor."""
    rows = Rows(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match=r"^params: got Rows, want a list of parameters or of groups; \[parameter\]"):
        optim.SGD(rows)
    optimizer = optim.SGD([{"params": rows}], lr=1.0)
    assert optimizer.param_groups[0]["params"] == (rows,)
    rows.grad = Tensor(np.full((2, 3), 2, np.float32))
    optimizer.step()
    assert (rows.memory == -1).all()
    assert clip_grad_norm_(rows, 1.0, np.inf) == 2
    assert rows.grad.memory == pytest.approx(1.0)
    clip_grad_value_(rows, 0.5)
    assert (rows.grad.memory == 0.5).all()


@pytest.mark.parametrize("names", [["__dlpack__"], ["detach", "grad"]])
def test_half_a_tensor(names: list[str]) -> None:
    """An object with only some of a tensor's methods is refused like any other object, also alone in a group."""
    other = type("Other", (), dict.fromkeys(names, lambda *_: None))()
    for params in ([other], [np.ones(3), other], [{"params": [other]}], [("weight", other)]):
        with pytest.raises(
            TypeError, match=r"^(params\[[01]\]|weight): got Other, want a fastnn.nn.Parameter, a numpy"
        ):
            optim.SGD(params)
    with pytest.raises(TypeError, match=r"^params: got Other, want a list of parameters; "):
        optim.SGD([{"params": other}])


@pytest.mark.parametrize("norm_type", [1.0, 3.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_clipped_in_its_own_dtype(dtype: Any, norm_type: float) -> None:
    """Norms that NumPy computes take float32 and float64 tensors as they are."""
    holders = [Tensor(np.zeros(0, dtype)) for _ in range(2)]
    for holder, value in zip(holders, (1 / 3, 2 / 3), strict=True):
        holder.grad = Tensor(np.full(4, value, dtype))
    values = np.repeat([holder.grad.memory[0] for holder in holders], 4).astype(np.float64)
    want = (values**norm_type).sum() ** (1 / norm_type)
    assert clip_grad_norm_(holders, want / 2, norm_type) == pytest.approx(want, rel=1e-14)
    np.testing.assert_allclose([h.grad.memory[0] for h in holders], values[[0, 4]] / 2, rtol=2e-6)


def test_state_as_tensors(types: None) -> None:
    """The state of a tensor is saved as tensors: numbers in float64, arrays by their own memory; others as NumPy's."""
    (tensor,), array = _tensors(1), np.ones(3, np.float32)
    optimizer = optim.NAdam([tensor, array], betas=(0.5, 0.75), momentum_decay=0.0)
    optimizer.step([np.full(3, 2, np.float32), np.full(3, 2, np.float32)])
    ours, others = optimizer.state_dict()["state"].values()
    assert [type(ours[k]) for k in ("step", "mu_product", "exp_avg", "exp_avg_sq")] == [Tensor] * 4
    for key, want in (("step", 1.0), ("mu_product", 0.25)):
        assert ours[key].memory.dtype == np.float64 and ours[key].memory.shape == () and ours[key].memory == want
    assert others["step"] == 1 and others["mu_product"] == 0.25 and type(others["exp_avg"]) is np.ndarray
    for key, want in (("exp_avg", 1.0), ("exp_avg_sq", 1.0)):
        assert (ours[key].memory == want).all() and (others[key] == want).all()
        assert ours[key].memory is optimizer.state_of(tensor)[key]


def test_large_step_count_as_a_tensor(types: None) -> None:
    """A step count beyond float32's integers is saved exactly, and loaded from the tensor again."""
    (tensor,) = _tensors(1)
    optimizer = optim.Lion([tensor])
    saved = optimizer.state_dict()
    saved["state"][0] |= {"step": Remote(np.float64(2**24 + 1)[None]), "exp_avg": np.ones(3, np.float32)}
    optimizer.load_state_dict(saved)
    assert optimizer.state_dict()["state"][0]["step"].memory == 2**24 + 1
    assert optimizer.state_of(tensor)["step"] == 2**24 + 1


def test_velocity_before_the_first_step_as_a_tensor(types: None) -> None:
    """A velocity that has not begun is saved as None for a tensor, too."""
    params = _tensors(1, 2)
    optimizer = optim.SGD(params, momentum=0.5)
    optimizer.step([np.ones(3, np.float32), None])
    saved = optimizer.state_dict()["state"]
    assert (saved[0]["momentum_buffer"].memory == 1).all() and saved[1] == {"momentum_buffer": None}


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
def test_state_from_tensors(kind: str) -> None:
    """Tensors that are loaded are detached and copied from their device; bfloat16 is widened, float64 is not cut."""
    values = np.array([1 / 3, -2 / 3, 1e-9])
    kept = rounded(values.astype(np.float32)) if kind == "bfloat16" else values.astype(kind)
    param = np.zeros(3, np.float64 if kind == "float64" else np.float32)
    optimizer = optim.Adagrad([param], lr=0.5)
    saved = optimizer.state_dict()
    saved["state"][0] = {"step": Remote(np.array(3.0, np.float32)), "sum": Remote(kept)}
    saved["param_groups"][0] |= {"lr": Remote(np.array(0.25)), "maximize": Remote(np.array(True))}
    optimizer.load_state_dict(saved)
    state, group = optimizer.state_of(param), optimizer.param_groups[0]
    assert same_bits(state["sum"], widened(kept) if kind == "bfloat16" else kept) and state["step"] == 3
    assert group["lr"] == 0.25 and type(group["lr"]) is float and group["maximize"] is True
    saved["state"][0]["step"] = Remote(np.zeros(2))
    with pytest.raises(TypeError, match=r"^step of params\[0\]: got shape \(2,\), want a number; "):
        optimizer.load_state_dict(saved)
