"""Groups that are added while a schedule runs, rates that are zero but for rounding, and options given as tensors."""

from typing import Any

import numpy as np
import pytest

from fastnn import optim
from fastnn.optim import lr_scheduler

pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")

CONTINUE = {
    "StepLR": (2, 0.5),
    "MultiStepLR": ([2, 5], 0.5),
    "ExponentialLR": (0.9,),
    "CosineAnnealingLR": (10,),
    "LinearLR": (),
    "ConstantLR": (0.5, 6),
    "PolynomialLR": (10,),
}


def _with_more(library: Any, tensor: Any, name: str, args: Any, **group: Any) -> list[tuple[float, ...]]:
    optimizer = library[0].SGD([tensor()], lr=0.1, momentum=0.9)
    schedule = getattr(library[1], name)(optimizer, *args)
    for _ in range(3):
        schedule.step()
    optimizer.add_param_group({"params": [tensor()], "lr": 0.2, **group})
    rates = []
    for _ in range(6):
        schedule.step()
        rates.append(tuple(g["lr"] for g in optimizer.param_groups))
    assert rates[-1] == tuple(schedule.get_last_lr())
    return rates


@pytest.mark.parametrize("name", CONTINUE)
def test_as_torch(name: str) -> None:
    """A new group continues from its rate as the others do from theirs."""
    torch = pytest.importorskip("torch")

    def tensor() -> Any:
        return torch.nn.Parameter(torch.ones(2))

    import fastnn.torch

    want = _with_more((torch.optim, torch.optim.lr_scheduler), tensor, name, CONTINUE[name])
    for package in (optim, fastnn.torch.optim):
        got = _with_more((package, lr_scheduler), tensor, name, CONTINUE[name])
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-17)


def _array() -> Any:
    return np.ones(2, np.float32)


REST: dict[str, tuple[Any, list[float]]] = {
    "LambdaLR": ((lambda t: 0.5**t,), [0.1, 0.05, 0.025]),
    "CosineAnnealingWarmRestarts": ((4,), [1.3656854, 0.6828427, 0.2]),
    "CyclicLR": ((0.01, 0.1, 4), [0.1, 0.0775, 0.055]),
    "ManualLR": (({4: 0.3},), [0.3, 0.3, 0.3]),
}


@pytest.mark.parametrize("name", ["LambdaLR", "CyclicLR", "ManualLR"])
def test_those_that_fail_in_torch(name: str) -> None:
    args, want = REST[name]
    got = _with_more((optim, lr_scheduler), _array, name, args)
    np.testing.assert_allclose([rates[1] for rates in got[:3]], want, rtol=1e-6)


def test_an_initial_rate_of_its_own() -> None:
    got = _with_more((optim, lr_scheduler), _array, "ExponentialLR", (0.5,), initial_lr=0.8)
    assert got[0] == pytest.approx((0.1 / 16, 0.8 / 16))


def test_composed() -> None:
    optimizer = optim.SGD([_array()], lr=0.1)
    schedule = lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer, 0.5, 1.0, 2), lr_scheduler.ExponentialLR(optimizer, 0.5)], [2]
    )
    optimizer.add_param_group({"params": [_array()], "lr": 0.2})
    rates = []
    for _ in range(4):
        schedule.step()
        rates.append(optimizer.param_groups[1]["lr"])
    assert rates == pytest.approx([0.3, 0.4, 0.2, 0.1])
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    optimizer.add_param_group({"params": [_array()], "lr": 0.6})
    plateau.step(1.0)
    plateau.step(1.0)
    assert optimizer.param_groups[2]["lr"] == pytest.approx(0.06)


def test_values_per_group_are_asked_for() -> None:
    """Nothing is changed then."""
    optimizer = optim.SGD([{"params": [_array()]}, {"params": [_array()]}], lr=0.1)
    schedule = lr_scheduler.LambdaLR(optimizer, [lambda _: 1.0, lambda _: 0.5])
    optimizer.add_param_group({"params": [_array()]})
    with pytest.raises(ValueError, match=r"^lr_lambdas: got one value per group and a group added since, param_gr"):
        schedule.step()
    assert schedule.last_epoch == 0 and [g["lr"] for g in optimizer.param_groups] == [0.1, 0.05, 0.1]


def test_a_saved_schedule_has_the_new_group() -> None:
    optimizer = optim.SGD([_array()], lr=0.1)
    schedule = lr_scheduler.StepLR(optimizer, 1, 0.5)
    optimizer.add_param_group({"params": [_array()], "lr": 0.2})
    schedule.step()
    other = optim.SGD([{"params": [_array()]}, {"params": [_array()]}], lr=1.0)
    loaded = lr_scheduler.StepLR(other, 1, 0.5)
    loaded.load_state_dict(schedule.state_dict())
    loaded.step()
    assert [g["lr"] for g in other.param_groups] == [0.025, 0.05]


@pytest.mark.parametrize("value", [-1.9e-18, -1e-13])
def test_zero_but_for_rounding(value: float) -> None:
    optimizer = optim.SGD([_array()], lr=value)
    assert optimizer.param_groups[0]["lr"] == 0
    optimizer.param_groups[0]["lr"] = value
    assert optimizer.param_groups[0]["lr"] == 0
    lr_scheduler.LambdaLR(optimizer, lambda t: value).step()
    with pytest.raises(ValueError, match=r"^lr: got -1e-06, want a finite number >= 0"):
        optimizer.param_groups[0]["lr"] = -1e-6


@pytest.mark.parametrize("name", ["OneCycleLR", "LinearLR"])
def test_schedules_of_torch_end_at_zero(name: str) -> None:
    torch = pytest.importorskip("torch")
    import fastnn.torch

    for package in (optim, fastnn.torch.optim):
        p = torch.nn.Parameter(torch.ones(2))
        optimizer = package.AdamW([p], lr=0.1)
        wrapped = fastnn.torch.optim.AdamW([p], lr=0.1) if package is optim else optimizer
        schedule = (
            torch.optim.lr_scheduler.OneCycleLR(
                wrapped, 0.3, total_steps=7, anneal_strategy="linear", final_div_factor=1e30
            )
            if name == "OneCycleLR"
            else torch.optim.lr_scheduler.LinearLR(wrapped, 1.0, 0.0, 7)
        )
        for _ in range(6):
            wrapped.step()
            schedule.step()
            optimizer.param_groups[0]["lr"] = wrapped.param_groups[0]["lr"]
            optimizer.step([torch.ones(2)]) if package is optim else optimizer.step()


def test_options_as_tensors_and_arrays() -> None:
    x = _array()
    optimizer = optim.Adam([x], lr=np.array(0.1), betas=(np.array(0.5), np.float32(0.5)), weight_decay=np.array([0.25]))
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.1, (0.5, 0.5), 0.25)
    torch = pytest.importorskip("torch")
    optimizer.param_groups[0].update(lr=torch.tensor(0.5), betas=[torch.tensor(0.25), 0.5])
    assert (group["lr"], tuple(group["betas"])) == (0.5, (0.25, 0.5))
    with pytest.raises(TypeError, match=r"^lr: got .*, want a real number"):
        group["lr"] = np.ones(2)
