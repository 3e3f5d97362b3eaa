"""`state` and `param_groups` of fastnn.torch's optimizers are the truth, as in torch, whatever is done to them."""

import copy
import gc
import io
import pickle
import subprocess
import sys
import textwrap
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from fastnn import torch as ft  # noqa: E402

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.1}, {"momentum": 0.9, "nesterov": True}],
    "Adam": [{}, {"amsgrad": True}, {"weight_decay": 0.1}, {"maximize": True}],
    "AdamW": [{}, {"amsgrad": True}],
    "Adamax": [{}],
    "NAdam": [{}, {"decoupled_weight_decay": True, "weight_decay": 0.1}],
    "RAdam": [{}],
    "Adagrad": [{}, {"initial_accumulator_value": 0.5, "lr_decay": 0.1}],
    "Adadelta": [{}],
    "RMSprop": [{}, {"momentum": 0.9}, {"centered": True}, {"centered": True, "momentum": 0.9}],
}
KINDS = [(name, options) for name, several in OPTIONS.items() for options in several]
IDS = [f"{name}-{'-'.join(options) or 'plain'}" for name, options in KINDS]
RTOL = {"NAdam": 1e-6}  # torch keeps its product of momenta in float32


class Run:
    """An optimizer of one library over parameters of its own, which are the same in both."""

    def __init__(self, library: Any, name: str, options: dict[str, Any], seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shapes = [(3, 5), (7,), ()]
        self.params = [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in shapes]
        self.more = nn.Parameter(torch.randn(4, generator=generator, dtype=torch.float64))
        self.optimizer = getattr(library, name)(self.params, lr=0.01, **options)

    def steps(self, count: int) -> "Run":
        """Take steps with gradients that depend on the parameters."""
        for t in range(count):
            for i, p in enumerate([*self.params, self.more]):
                p.grad = torch.cos(p.detach() * (t + 1) + i)
            self.optimizer.step()
        return self

    def values(self) -> list[Any]:
        """Return the parameters and everything in the state."""
        state = [v for e in self.optimizer.state.values() for _, v in sorted(e.items())]
        return [p.detach().double() for p in [*self.params, self.more]] + [torch.as_tensor(v).double() for v in state]


def _write(run: Run, key: str, change: Callable[[Any], Any]) -> None:
    for entry in run.optimizer.state.values():
        for name in [n for n in entry if n == key or (key == "*" and n not in ("step", "mu_product"))]:
            change(entry[name])


def _replace(run: Run) -> None:
    for entry in run.optimizer.state.values():
        for name in [n for n in entry if n not in ("step", "mu_product")]:
            entry[name] = entry[name] * 2


def _reload(run: Run, through: Callable[[Any], Any]) -> None:
    run.optimizer.load_state_dict(through(run.optimizer.state_dict()))


def _saved(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def _move(tensor: Any) -> None:
    tensor.data = tensor.data.clone()


def _copied(run: Run) -> None:
    run.params, run.more, run.optimizer = copy.deepcopy((run.params, run.more, run.optimizer))


def _pickled(run: Run) -> None:
    run.params, run.more, run.optimizer = pickle.loads(pickle.dumps((run.params, run.more, run.optimizer)))


def _swap(run: Run) -> None:
    """Replace a parameter, as pruning and re-initialised heads do, and hand its state on."""
    old, new = run.params[0], nn.Parameter(run.params[0].detach().clone())
    run.optimizer.param_groups[0]["params"][0] = run.params[0] = new
    run.optimizer.state[new] = run.optimizer.state.pop(old, {})


ACTIONS: dict[str, Callable[[Run], Any]] = {
    "a new dict": lambda r: setattr(r.optimizer, "state", defaultdict(dict)),
    "cleared": lambda r: r.optimizer.state.clear(),
    "one deleted": lambda r: r.optimizer.state.pop(r.params[1], None),
    "zeroed": lambda r: _write(r, "*", lambda t: t.zero_()),
    "scaled": lambda r: _write(r, "*", lambda t: t.mul_(0.5)),
    "replaced": _replace,
    "step written": lambda r: _write(r, "step", lambda t: t.fill_(20)),
    "moved": lambda r: _write(r, "*", _move),
    "shared": lambda r: _write(r, "*", lambda t: t.share_memory_()),
    "parameter moved": lambda r: [_move(p) for p in r.params],
    "parameter replaced": _swap,
    "a note": lambda r: r.optimizer.state[r.params[0]].update(note=torch.ones(())),
    "group added": lambda r: r.optimizer.add_param_group({"params": [r.more], "lr": 0.02, "mine": "kept"}),
    "parameter appended": lambda r: r.optimizer.param_groups[0]["params"].append(r.more),
    "parameter taken away": lambda r: r.optimizer.param_groups[0]["params"].pop(),
    "group by hand": lambda r: r.optimizer.param_groups.append({**r.optimizer.param_groups[0], "params": [r.more]}),
    "new list of groups": lambda r: setattr(r.optimizer, "param_groups", [dict(r.optimizer.param_groups[0])]),
    "tuple of groups": lambda r: setattr(r.optimizer, "param_groups", tuple(r.optimizer.param_groups)),
    "rate": lambda r: r.optimizer.param_groups[0].update(lr=0.5),
    "negative rate": lambda r: r.optimizer.param_groups[0].update(lr=-0.5),
    "rate as a tensor": lambda r: r.optimizer.param_groups[0].update(
        lr=torch.tensor(0.25, dtype=torch.float64), foreach=False
    ),
    "maximize": lambda r: r.optimizer.param_groups[0].update(maximize=True),
    "reloaded": lambda r: _reload(r, lambda d: d),
    "reloaded from a file": lambda r: _reload(r, _saved),
    "deep copy": _copied,
    "pickle": _pickled,
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(("name", "options"), KINDS, ids=IDS)
def test_as_torch_after(name: str, options: dict[str, Any], action: str) -> None:
    """Parameters and state agree with torch after something was done to the optimizer between steps."""
    ours, theirs = Run(ft.optim, name, options), Run(torch.optim, name, options)
    for run in (ours, theirs):
        run.steps(3)
        ACTIONS[action](run)
        run.steps(3)
    assert ours.optimizer.used_kernels
    torch.testing.assert_close(ours.values(), theirs.values(), rtol=RTOL.get(name, 1e-10), atol=1e-12)
    mine = [g.get("mine") for g in ours.optimizer.param_groups]
    assert mine == [g.get("mine") for g in theirs.optimizer.param_groups]


@pytest.mark.parametrize(("name", "options"), KINDS, ids=IDS)
def test_state_is_stepped_where_it_lies(name: str, options: dict[str, Any]) -> None:
    run = Run(ft.optim, name, options).steps(1)
    before = {id(t): (t.data_ptr(), t.clone()) for e in run.optimizer.state.values() for t in e.values()}
    tables = id(run.optimizer._table)
    run.steps(2)
    after = {id(t): (t.data_ptr(), t) for e in run.optimizer.state.values() for t in e.values()}
    assert before.keys() == after.keys() and id(run.optimizer._table) == tables
    assert all(before[i][0] == after[i][0] for i in before)
    assert not before or not any(torch.equal(before[i][1], after[i][1]) for i in before)


def test_an_option_that_needs_more_state() -> None:
    ours, theirs = Run(ft.optim, "SGD", {}), Run(torch.optim, "SGD", {})
    for run in (ours, theirs):
        run.steps(2)
        run.optimizer.param_groups[0]["momentum"] = 0.9
        run.steps(3)
    torch.testing.assert_close(ours.values(), theirs.values(), rtol=1e-10, atol=1e-12)


def test_gradients_that_come_late() -> None:
    """A parameter has no state before its first gradient; others go on meanwhile."""
    values = []
    for library in (ft.optim, torch.optim):
        run = Run(library, "Adam", {})
        for t in range(6):
            for i, p in enumerate(run.params):
                p.grad = torch.cos(p.detach() + t) if t % (i + 1) == i else None
            run.optimizer.step()
            values.append((len(run.optimizer.state), [v.clone() for v in run.values()]))
    half = len(values) // 2
    for ours, theirs in zip(values[:half], values[half:], strict=True):
        assert ours[0] == theirs[0]
        torch.testing.assert_close(ours[1], theirs[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("state_dtype", ["bfloat16", "int8"])
def test_coded_state_goes_through_torch(state_dtype: str) -> None:
    """State in fewer bits is decoded in state dicts, continues with the same bits, and is coded again when loaded."""
    p = nn.Parameter(torch.linspace(-1, 1, 300))
    optimizer = ft.optim.AdamW([p], state_dtype=state_dtype, generator=1)
    q = nn.Parameter(torch.linspace(-1, 1, 300))
    for _ in range(3):
        p.grad = torch.sin(p.detach())
        optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    assert saved["state"][0]["exp_avg"].dtype is torch.float32 and optimizer.state[p]["exp_avg"].element_size() < 4
    q.data = p.detach().clone()
    other = ft.optim.AdamW([q], state_dtype=state_dtype, generator=2)
    other.load_state_dict(saved)
    torch.optim.AdamW([nn.Parameter(q.detach().clone())]).load_state_dict(saved)
    for _ in range(2):
        for x, o in ((p, optimizer), (q, other)):
            x.grad = torch.sin(x.detach())
            o.step()
    assert torch.equal(p.detach(), q.detach())


def test_bfloat16_parameters_resume_with_the_same_bits() -> None:
    """Their state is float32, which torch's loading narrows."""
    p = nn.Parameter(torch.linspace(-1, 1, 300, dtype=torch.bfloat16))
    optimizer = ft.optim.Adam([p], lr=0.1)
    p.grad = torch.sin(p.detach())
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].dtype is torch.float32
    other = ft.optim.Adam([q := nn.Parameter(p.detach().clone())], lr=0.1)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for x, o in ((p, optimizer), (q, other)):
        x.grad = torch.cos(x.detach())
        o.step()
    assert torch.equal(p.detach(), q.detach())
    assert torch.equal(optimizer.state[p]["exp_avg"], other.state[q]["exp_avg"])


def test_loading_is_all_or_nothing() -> None:
    run, other = Run(ft.optim, "Adam", {}).steps(2), Run(ft.optim, "Adam", {}).steps(1)
    saved = copy.deepcopy(other.optimizer.state_dict())
    saved["state"][1]["exp_avg"] = torch.zeros(8)
    before = [v.clone() for v in run.values()]
    with pytest.raises(ValueError, match=r"^exp_avg of parameter 1: got shape \(8,\), want \(7,\); load it"):
        run.optimizer.load_state_dict(saved)
    assert all(torch.equal(a, b) for a, b in zip(before, run.values(), strict=True))


def test_a_hook_may_take_loaded_state_away() -> None:
    a, b = Run(ft.optim, "Adam", {}).steps(2), Run(ft.optim, "Adam", {})
    b.optimizer.register_load_state_dict_post_hook(lambda optimizer: optimizer.state.clear())
    b.optimizer.load_state_dict(a.optimizer.state_dict())
    assert not b.optimizer.state


def test_loaded_state_is_a_copy() -> None:
    a, b = Run(ft.optim, "Adam", {}).steps(2), Run(ft.optim, "Adam", {})
    b.optimizer.load_state_dict(a.optimizer.state_dict())
    before = [v.clone() for v in a.values()]
    b.steps(2)
    assert all(torch.equal(x, y) for x, y in zip(before, a.values(), strict=True))


def test_a_plain_dict() -> None:
    """torch itself wants its defaultdict."""
    run, other = Run(ft.optim, "Adam", {}).steps(2), Run(ft.optim, "Adam", {}).steps(2)
    run.optimizer.state = {}
    other.optimizer.state.clear()
    for a, b in zip(run.steps(2).values(), other.steps(2).values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:torch.distributed is:UserWarning")
def test_distributed_checkpoints_of_a_fresh_optimizer(tmp_path: Any) -> None:
    """torch.distributed.checkpoint makes the state of a fresh optimizer by a step at rate 0."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def made() -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        return model, ft.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(model: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()

    model, optimizer = made()
    step(model, optimizer)
    saved = {"model": model.state_dict(), "optimizer": get_optimizer_state_dict(model, optimizer)}
    dcp.save(saved, checkpoint_id=str(tmp_path))
    fresh, other = made()
    loaded = {"model": fresh.state_dict(), "optimizer": get_optimizer_state_dict(fresh, other)}
    dcp.load(loaded, checkpoint_id=str(tmp_path))
    fresh.load_state_dict(loaded["model"])
    set_optimizer_state_dict(fresh, other, loaded["optimizer"])
    for m, o in ((model, optimizer), (fresh, other)):
        step(m, o)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))


@pytest.mark.parametrize("library", ["fastnn.optim", "fastnn.torch.optim"])
@pytest.mark.parametrize(("name", "options"), KINDS, ids=IDS)
def test_memory_is_given_back_at_once(library: str, name: str, options: dict[str, Any]) -> None:
    """No cycle keeps the state of an optimizer that is gone until the next garbage collection."""
    import fastnn

    p = nn.Parameter(torch.zeros(10))
    p.grad = torch.ones(10)
    gc.collect()
    gc.disable()
    try:
        optimizer = getattr(fastnn.optim if library == "fastnn.optim" else ft.optim, name)([p], **options)
        optimizer.step()
        gone = weakref.ref(optimizer)
        del optimizer
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("library", ["fastnn.optim", "fastnn.torch.optim"])
def test_one_state_after_another(library: str) -> None:
    """Eight optimizers of 80 MB of state, made one after another, need the memory of one."""
    code = f"""
        import re, torch, fastnn, fastnn.torch
        p = torch.nn.Parameter(torch.zeros(10_000_000))
        p.grad = torch.zeros_like(p)
        def peak(): return int(re.search(r"VmHWM:\\s*([0-9]+)", open("/proc/self/status").read())[1]) // 1024
        before = peak()
        for _ in range(8):
            optimizer = {library}.Adam([p])
            optimizer.step()
            del optimizer
        print(peak() - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert 70 < int(done.stdout) <= 200


def test_steps_beyond_2_to_the_24() -> None:
    p = nn.Parameter(torch.zeros(2))
    optimizer = ft.optim.Adam([p])
    for step in (1, 2**24 + 2):
        p.grad = torch.ones(2)
        optimizer.step()
        assert optimizer.state[p]["step"].item() == step
        optimizer.state[p]["step"] = torch.tensor(2.0**24 + 1, dtype=torch.float64)
    assert np.isfinite(p.detach().numpy()).all()
