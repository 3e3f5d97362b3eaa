"""Tensors of torch as parameters and gradients are stepped in place, with the same bits as NumPy arrays."""

import copy
import re
from typing import Any

import numpy as np
import pytest
from support import DTYPES, same_bits
from variants import IDS, NAMES, VARIANTS, everything, full_state, kept, make

import fastnn
from fastnn import optim

torch = pytest.importorskip("torch")

SHAPES = ((), (0,), (1,), (3, 5), (2, 1, 129), (5003,))


def _tensors(dtype: Any, *shapes: tuple[int, ...], seed: int = 1) -> list[Any]:
    """Return leaf tensors that require gradients."""
    rng = np.random.default_rng(seed)
    return [torch.nn.Parameter(torch.from_numpy(np.asarray(rng.standard_normal(s))).to(dtype)) for s in shapes]


def _give(params: list[Any], seed: int) -> None:
    """Set new gradients, in new memory."""
    for param, grad in zip(params, _tensors(params[0].dtype, *(p.shape for p in params), seed=seed), strict=True):
        param.grad = grad.detach()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_in_place_with_the_bits_of_numpy(name: str, options: dict[str, Any], dtype: Any) -> None:
    """Memory stays in place; parameters and state have the bits of the NumPy run; gradients are not written."""
    params = _tensors(getattr(torch, np.dtype(dtype).name), *SHAPES)
    arrays = [p.detach().numpy().copy() for p in params]
    places = [p.data_ptr() for p in params]
    theirs, ours = make(name, iter(params), **options), make(name, arrays, **options)
    for step in range(7):
        _give(params, 10 + step)
        grads = [p.grad.numpy().copy() for p in params]
        theirs.step()
        ours.step(grads)
        assert all(same_bits(p.grad.numpy(), g) for p, g in zip(params, grads, strict=True))
    assert [p.data_ptr() for p in params] == places and all(p.requires_grad for p in params)
    for param, array in zip(params, arrays, strict=True):
        assert same_bits(param.detach().numpy(), array)
        for key in kept(name, options):
            assert same_bits(theirs.state_of(param)[key], ours.state_of(array)[key])


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_bfloat16(name: str, options: dict[str, Any], isa: str) -> None:
    """A step equals that of the widened float32 parameter, rounded to nearest; the state is float32."""
    params = _tensors(torch.bfloat16, *SHAPES)
    wide = [p.detach().float().numpy() for p in params]
    optimizer, exact = make(name, params, **options), make(name, wide, **options)
    for step in range(7):
        _give(params, 20 + step)
        for array, param in zip(wide, params, strict=True):
            array[...] = param.detach().float().numpy()
        optimizer.step()
        exact.step([p.grad.float().numpy() for p in params])
        for param, array in zip(params, wide, strict=True):
            assert torch.equal(param.detach(), torch.from_numpy(array).to(torch.bfloat16))
            for key in kept(name, options):
                assert optimizer.state_of(param)[key].dtype == np.float32
                assert same_bits(optimizer.state_of(param)[key], exact.state_of(array)[key])


def test_special_bfloat16(isa: str) -> None:
    """Ties are rounded to even, too large values become infinite, and NaN stays NaN, whatever its bits."""
    step = np.array([3 * 2.0**-8, 2.0**-8, 2.0**-8 + 2.0**-20, 3.4e38, np.nan, np.inf], np.float32)
    nan = np.array([0x7F800001], np.uint32).view(np.float32)[0]
    start = torch.tensor([1, 1, 1, 3e38, 1, 1, float(nan)]).to(torch.bfloat16)
    param = start.clone()
    optim.SGD([param], lr=1.0, maximize=True).step([torch.from_numpy(np.append(step, nan)).to(torch.bfloat16)])
    want = (start.float() + torch.from_numpy(np.append(step, nan)).to(torch.bfloat16).float()).to(torch.bfloat16)
    assert same_bits(param.float().numpy(), want.float().numpy())


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_of_bfloat16(name: str, threads: int) -> None:
    """Every thread count gives the bits of one thread."""
    results = []
    before = fastnn.get_num_threads()
    for count in (1, threads):
        fastnn.set_num_threads(count)
        params = _tensors(torch.bfloat16, (70_001,), (3, 5))
        optimizer = make(name, params, **full_state(name))
        for step in range(3):
            _give(params, step)
            optimizer.step()
        results.append([p.detach().clone() for p in params])
    fastnn.set_num_threads(before)
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize("name", NAMES)
def test_mixed_groups(name: str) -> None:
    """float32, float64 and bfloat16 groups in one optimizer take the same steps as alone."""
    kinds = [torch.bfloat16, torch.float32, torch.float64, torch.bfloat16]
    params = [_tensors(kind, (7,), seed=i)[0] for i, kind in enumerate(kinds)]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in params]
    optimizer = make(name, [{"params": params[:2]}, {"params": params[2:], "lr": 0.5}])
    singles = [make(name, [p], lr=0.01 if i < 2 else 0.5) for i, p in enumerate(alone)]
    for step in range(3):
        for i, (param, other) in enumerate(zip(params, alone, strict=True)):
            _give([param], 10 * step + i)
            other.grad = param.grad.clone()
        optimizer.step()
        for single in singles:
            single.step()
    assert all(map(torch.equal, params, alone))


@pytest.mark.parametrize("name", NAMES)
def test_a_slice_of_a_larger_tensor(name: str) -> None:
    """A tensor that begins inside its storage is stepped, and the memory beside it stays."""
    whole = torch.full((30,), 9.0)
    param, want = whole[7:20], np.full(13, 9.0, np.float32)
    grad = torch.arange(40.0)[3:16]
    make(name, [param]).step([grad])
    make(name, [want]).step([grad.numpy().copy()])
    assert same_bits(whole[7:20].numpy(), want)
    assert (whole[:7] == 9).all() and (whole[20:] == 9).all()


def _model() -> Any:
    torch.manual_seed(5)
    layers = torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.LayerNorm(9), torch.nn.Linear(9, 2)
    return torch.nn.Sequential(*layers).double()


def test_training_of_a_module() -> None:
    """A small network trains as with torch.optim.AdamW, with parameters, names or groups."""
    x = torch.randn(16, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for choose in (
        lambda m: torch.optim.AdamW(m.parameters(), lr=0.01),
        lambda m: optim.AdamW(m.parameters(), lr=0.01),
        lambda m: optim.AdamW(m.named_parameters(), lr=0.01),
        lambda m: optim.AdamW(optim.no_decay_groups(m), lr=0.01),
        lambda m: optim.AdamW([{"params": m.parameters()}], lr=0.01),
    ):
        model = _model()
        optimizer = choose(model)
        for _ in range(20):
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()
        results.append(torch.cat([p.detach().ravel() for p in model.parameters()]))
    theirs, ours, named, without_decay, grouped = results
    assert torch.equal(ours, named) and torch.equal(ours, grouped)
    assert (ours - theirs).abs().max() <= 1e-12 and not torch.equal(ours, without_decay)


def test_names_and_decay() -> None:
    """Names are those of the module; matrices decay, biases and scales of norms do not."""
    model = _model()
    named = optim.Adam(model.named_parameters())
    assert named.state_dict()["param_groups"][0]["param_names"] == [n for n, _ in model.named_parameters()]
    first, second = optim.no_decay_groups(model, 0.3)
    assert [n for n, _ in first["params"]] == ["0.weight", "3.weight"] and first["weight_decay"] == 0.3
    assert [n for n, _ in second["params"]] == ["0.bias", "2.weight", "2.bias", "3.bias"]
    assert second["weight_decay"] == 0
    assert [len(g["params"]) for g in optim.no_decay_groups(torch.nn.LayerNorm(3))] == [2]


@pytest.mark.parametrize("name", NAMES)
def test_zero_grad(name: str) -> None:
    """Gradients become zeros in the same memory, or None; a parameter without a gradient still has none."""
    params = _tensors(torch.float32, (3,), (2,))
    _give(params[:1], 1)
    grad, optimizer = params[0].grad, make(name, params)
    optimizer.zero_grad()
    assert params[0].grad is grad and not grad.any() and params[1].grad is None
    optimizer.zero_grad(set_to_none=True)
    assert params[0].grad is None and params[1].grad is None


@pytest.mark.parametrize("name", NAMES)
def test_closure(name: str) -> None:
    """The closure computes the gradients, and its loss is returned unchanged."""
    (param,) = _tensors(torch.float32, (3,))
    optimizer = make(name, [param])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert isinstance(first, torch.Tensor) and optimizer.step(closure=closure) < first


@pytest.mark.parametrize("name", NAMES)
def test_parameter_without_gradient(name: str) -> None:
    """A parameter without a gradient stays as it is, with its state and step count."""
    params = _tensors(torch.float32, (3,), (2,))
    optimizer = make(name, params, **full_state(name))
    _give(params[:1], 1)
    before = everything(optimizer, params[1:])
    optimizer.step()
    assert everything(optimizer, params[1:]) == before
    assert [optimizer.state_of(p)["step"] for p in params] == [1, 0]


@pytest.mark.parametrize("name", NAMES)
def test_moving_gradient_and_parameter(name: str) -> None:
    """Gradients may be in new memory at each step, and so may a parameter whose data has been assigned."""
    params, kept_alive = _tensors(torch.float64, (300,), (7,)), []
    arrays = [p.detach().numpy().copy() for p in params]
    optimizer, want = make(name, params, **full_state(name)), make(name, arrays, **full_state(name))
    for step in range(12):
        _give(params, step)
        kept_alive += [p.grad for p in params] if step % 3 else []
        if step in (3, 7):
            old = params[1].data
            params[1].data = torch.full((7,), float(step), dtype=torch.float64)
            arrays[1][...] = step
        want.step([p.grad.numpy().copy() for p in params])
        optimizer.step()
    assert (old == old[0]).sum() < 7, "the assigned tensor was never stepped"
    assert all(same_bits(p.detach().numpy(), a) for p, a in zip(params, arrays, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_assigned_data_is_refused(name: str) -> None:
    """Assigned data of another shape, dtype or layout, or another parameter's memory, are refused before any step."""
    for data, sentence in (
        (torch.ones(2, 4), r"^params\[1\]: got another shape or dtype .*; make a new optimizer"),
        (torch.ones(3, 4, dtype=torch.float64), r"^params\[1\]: got another shape or dtype .*; make a new optimizer"),
        (torch.ones(4, 3).t(), r"^params\[1\]: got strided memory, want .*; .*\.contiguous\(\)"),
        (None, r"^params\[[01]\]: got memory that overlaps params\[[01]\], want .*; .+"),
    ):
        params = _tensors(torch.float32, (3, 4), (3, 4))
        optimizer = make(name, params, **full_state(name))
        good = params[1].data
        _give(params, 1)
        grads = [p.grad for p in params]
        optimizer.step()
        before = everything(optimizer, params)
        params[1].data = params[0].data if data is None else data
        with pytest.raises((TypeError, ValueError), match=sentence):
            optimizer.step(grads)
        params[1].data = good
        assert everything(optimizer, params) == before
        optimizer.step(grads)
        assert [optimizer.state_of(p)["step"] for p in params] == [2, 2]


WRONG: dict[str, tuple[Any, str]] = {
    "strided": (lambda: torch.ones(3, 4).t(), r"got strided memory, want C-contiguous memory.*; .*\.contiguous\(\)"),
    "expanded": (lambda: torch.ones(1, 4).expand(3, 4), r"got strided memory, want C-contiguous.*; .*\.contiguous\(\)"),
    "meta": (lambda: torch.ones(4, 3, device="meta"), r"got a tensor.*, want .*; .*(\.cpu\(\)|on the CPU)"),
    "sparse": (lambda: torch.ones(4, 3).to_sparse(), r"got a tensor.*, want a dense.*; .*\.to_dense\(\)"),
    "csr": (
        lambda: torch.sparse_csr_tensor(
            torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([1.0]), size=(1, 3), check_invariants=False
        ),
        r"got a tensor.*, want a dense.*; .*\.to_dense\(\)",
    ),
    "float16": (lambda: torch.ones(4, 3).half(), r"got a tensor of .*dtype.*, want float32, .*; .*\.float\(\)"),
    "int64": (lambda: torch.ones(4, 3).long(), r"got a tensor of .*dtype.*, want float32, .*; .*\.float\(\)"),
    "bool": (lambda: torch.ones(4, 3).bool(), r"got a tensor of .*dtype.*, want float32, .*; .*\.float\(\)"),
    "complex": (
        lambda: torch.ones(4, 3, dtype=torch.complex64),
        r"got a .*(dtype|complex).*, want float32, .*; (.*\.float\(\)|keep its real)",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_wrong_parameter(kind: str) -> None:
    """A bad parameter is refused with its index or name, in one line that says what to do."""
    make_bad, sentence = WRONG[kind]
    for params, called in (([torch.ones(2), make_bad()], r"params\[1\]"), ([("a.b", make_bad())], r"a\.b")):
        with pytest.raises((TypeError, ValueError), match=f"(?s)^{called}: {sentence}") as error:
            optim.Adam(params)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [*WRONG, "shape", "dtype"])
@pytest.mark.parametrize("has_stepped", [False, True])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_wrong_gradient(kind: str, has_stepped: bool) -> None:
    """A bad gradient in the second group, at the first step or later, changes neither group."""
    params = _tensors(torch.float32, (4, 3), (4, 3))
    optimizer = optim.Adam([{"params": params[:1]}, {"params": params[1:]}])
    good = torch.ones(4, 3)
    if has_stepped:
        optimizer.step([good, good])
    more = {
        "shape": (lambda: torch.ones(3, 4), r"got shape \(3, 4\), want \(4, 3\); .+"),
        "dtype": (lambda: torch.ones(4, 3).double(), r"got float64, want float32.*; .*(\.to\(|\.float\()"),
    }
    make_bad, sentence = (WRONG | more)[kind]
    before = everything(optimizer, params)
    with pytest.raises((TypeError, ValueError), match=rf"(?s)^params\[1\]\.grad: {sentence}") as error:
        optimizer.step([good, make_bad()])
    assert "\n" not in str(error.value) and everything(optimizer, params) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_same_memory_twice(name: str) -> None:
    """The same memory twice is refused: one tensor, two views, a tensor and its array, in one group or in two."""
    base = torch.ones(10)
    for first, second in ((base, base), (base[:6], base[5:]), (base, base.numpy()), (base, base.view(2, 5))):
        for params in ([first, second], [{"params": [first]}, {"params": [second]}]):
            with pytest.raises(
                ValueError, match=r"^params\[[01]\]: got memory that overlaps params\[[01]\], want .*; .+"
            ):
                make(name, params)
    make(name, [base[:5], base[5:]])
    with pytest.raises(ValueError, match=r"overlaps.*, want .*; .+"):
        make(name, [base[:5], base[5:]]).step([base[3:8].clone(), base[2:7]])


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (3, 0, 2)])
def test_empty_tensors(shape: tuple[int, ...]) -> None:
    """Empty tensors are contiguous with any strides (NumPy's are 0), and their steps are counted."""
    for param in (np.zeros(shape), torch.zeros(shape), torch.from_numpy(np.zeros(shape))):
        optimizer = optim.Adam([param, torch.zeros(2)])
        optimizer.step([copy.copy(param), None])
        assert optimizer.state_of(param)["step"] == 1


def test_not_a_list() -> None:
    """A single tensor is not a list of parameters, but a group may hold one."""
    (param,) = _tensors(torch.float32, (3,))
    with pytest.raises(TypeError, match=rf"^params: got Parameter, want a list .*; {re.escape('[parameter]')}"):
        optim.Adam(param)
    assert optim.Adam([{"params": param}]).param_groups[0]["params"][0] is param
