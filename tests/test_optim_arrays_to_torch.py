"""State dicts of optimizers over arrays and Parameters, loaded into torch's optimizers, and back."""

import copy
from typing import Any

import numpy as np
import pytest
from support import Array
from variants import TORCH_IDS, TORCH_VARIANTS, make

from fastnn import nn

torch = pytest.importorskip("torch")

from fastnn.torch.optim import as_torch  # noqa: E402


def _arrays(seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in ((3, 5), (), (300,), (1, 1, 2))]


@pytest.mark.parametrize(("name", "options"), TORCH_VARIANTS, ids=TORCH_IDS)
@pytest.mark.parametrize("kind", ["array", "Parameter"])
@pytest.mark.parametrize("way", [{}, {"foreach": True}, {"fused": True}], ids=str)
def test_arrays_and_torch(name: str, options: dict[str, Any], kind: str, way: dict[str, bool]) -> None:
    """The state of an optimizer over arrays continues in torch after `as_torch`, and torch's here, to 1e-12."""
    start, grads = _arrays(0), [_arrays(100 + step) for step in range(10)]
    params = [nn.Parameter(a) for a in start] if kind == "Parameter" else start
    ours = make(name, params, **options)
    for step in range(3):
        ours.step(grads[step])
    tensors = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in start]
    try:
        theirs = getattr(torch.optim, name)(tensors, lr=0.5, **way)
    except (RuntimeError, TypeError, ValueError):
        pytest.skip("torch has none")
    before = copy.deepcopy(ours.state_dict()["state"])
    theirs.load_state_dict(as_torch(ours.state_dict()))
    for step in range(3, 8):
        for tensor, grad in zip(tensors, grads[step], strict=True):
            tensor.grad = torch.from_numpy(grad)
        theirs.step()
    assert all(np.array_equal(ours.state_dict()["state"][i][k], v) for i, e in before.items() for k, v in e.items())
    again = [tensor.detach().numpy().copy() for tensor in tensors]
    back = make(name, again, lr=0.3)
    back.load_state_dict(theirs.state_dict())
    for step in range(3, 10):
        ours.step(grads[step])
    for step in range(8, 10):
        back.step(grads[step])
    for first, second in zip(start, again, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-9 if name == "NAdam" else 1e-11, atol=1e-12)


def test_what_is_no_state_dict() -> None:
    for wrong in ([], {}, {"state": []}):
        with pytest.raises(TypeError, match=r"^state_dict: got (list|dict), want what state_dict\(\)"):
            as_torch(wrong)
