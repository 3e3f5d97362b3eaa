"""Parameter, Module and Sequential: memory, gradients, the module tree and its state."""

import copy

import numpy as np
import pytest

from fastnn import nn

RNG = np.random.default_rng(17)


def network():
    return nn.Sequential(
        nn.Linear(7, 6, dtype=np.float64),
        nn.BatchNorm1d(6, dtype=np.float64),
        nn.ReLU(),
        nn.Dropout(0.0),
        nn.Linear(6, 4, dtype=np.float64),
        nn.LayerNorm(4, dtype=np.float64),
        nn.Linear(4, 3, dtype=np.float64),
    )


def test_parameter_keeps_its_memory():
    data = np.ones((2, 3), np.float32)
    parameter = nn.Parameter(data)
    assert parameter.data is data and parameter.shape == (2, 3) and parameter.dtype == np.float32
    parameter.data *= 2
    assert data[0, 0] == 2
    with pytest.raises(AttributeError, match=r"data: got another array, .*; write p.data\[...\] = values"):
        parameter.data = data.copy()
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float32)"
    with pytest.raises(AttributeError):
        parameter.gradient = 1  # a misspelt name must not become a new attribute


def test_gradient_can_be_assigned():
    parameter = nn.Parameter(np.ones(3, np.float32))
    given = np.arange(3, dtype=np.float32)
    parameter.grad = given
    assert (parameter.grad == given).all() and not np.shares_memory(parameter.grad, given)
    parameter.grad *= 2
    assert (parameter.grad == [0, 2, 4]).all()
    parameter.accumulate(lambda out: out.fill(1))
    assert (parameter.grad == [1, 3, 5]).all()
    parameter.grad = None
    assert parameter.grad is None
    with pytest.raises(TypeError, match="grad: got float64, want a float32 array"):
        parameter.grad = np.ones(3)
    with pytest.raises(TypeError, match="grad: got list, want a float32 array"):
        parameter.grad = [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"grad: got shape \(1,\), want \(3,\)"):
        parameter.grad = np.ones(1, np.float32)
    assert parameter.grad is None


def test_failed_accumulate_leaves_no_gradient():
    parameter = nn.Parameter(np.ones(3))
    with pytest.raises(ZeroDivisionError):
        parameter.accumulate(lambda out: 1 / 0)
    assert parameter.grad is None


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ([1.0], TypeError, "data: got list, want a float32 or float64 array; convert it"),
        (np.ones(3, np.int64), TypeError, "data: got int64, want"),
        (np.ones(3, ">f4"), TypeError, "data: got >f4, want"),
        (np.ones((4, 4))[:, ::2], ValueError, "data: got a strided array, want"),
        (read_only(np.ones(3)), ValueError, "data: got a read-only array, want"),
    ],
)
def test_parameter_refuses(data, error, sentence):
    with pytest.raises(error, match=f"^{sentence}"):
        nn.Parameter(data)


class Recorder(nn.Module):
    """Passes everything on and records the argument of its backward."""

    def __init__(self, *parameters):
        self.asked = {}
        self.parameters_of_its_own = parameters

    def __call__(self, x):
        def backward(dy, input_grad=True):
            self.asked["input_grad"] = input_grad
            return dy if input_grad else None

        return x, backward


@pytest.mark.parametrize("input_grad", [True, False])
def test_layers_before_the_first_parameters_are_skipped(input_grad):
    before, first, after = Recorder(), Recorder(nn.Parameter(np.ones(1))), Recorder()
    model = nn.Sequential(before, nn.ReLU(), first, nn.ReLU(), after)
    _, backward = model(np.ones((4, 3), np.float32))
    dx = backward(np.ones((4, 3), np.float32), input_grad=input_grad)
    assert (dx is not None) is input_grad
    assert first.asked == {"input_grad": input_grad}
    assert before.asked == ({"input_grad": True} if input_grad else {})
    assert after.asked == {"input_grad": True}


def test_sequence_of_layers():
    model = network()
    assert len(model) == 7 and list(model)[2] is model[2] and model[-1] is model[6]
    head = model[:2]
    assert isinstance(head, nn.Sequential) and len(head) == 2 and head[0] is model[0]
    x = np.ones((2, 3))
    y, backward = nn.Sequential()(x)
    assert y is x and backward(x) is x and backward(x, input_grad=False) is None
    with pytest.raises(TypeError, match=r"layers\[1\]: got list, want a Module; unpack"):
        nn.Sequential(nn.ReLU(), [nn.ReLU()])


class Net(nn.Module):
    def __init__(self):
        self.head = nn.Linear(2, 2)
        self.scale = nn.Parameter(np.ones(2, np.float32))
        self.table = np.arange(3)
        self.blocks = [nn.Linear(2, 1), nn.Linear(1, 2, bias=False)]
        self.tied = self.head
        self.width = 2


def test_tree_is_found_through_attributes():
    net = Net()
    names = ["scale", "head.weight", "head.bias", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight"]
    assert [name for name, _ in net.named_parameters()] == names
    assert len(list(net.parameters())) == 6
    keys = [names[0], "table", *names[1:], "tied.weight", "tied.bias"]
    assert list(net.state_dict()) == keys
    assert [name for name, _ in net.named_children()] == ["head", "blocks.0", "blocks.1", "tied"]
    assert list(net.modules()) == [net, net.head, *net.blocks]
    with pytest.raises(NotImplementedError, match="Net: define __call__"):
        net(np.ones((1, 2)))


class Lists(nn.Module):
    """A module whose arrays, parameters and modules are in a list and a tuple."""

    def __init__(self, value):
        super().__init__()
        self.tables = [np.full(2, value), np.full(3, value)]
        self.mixed = (nn.Parameter(np.full(2, value)), nn.Linear(2, 1), np.full(1, value), "text", None)


def test_arrays_in_lists():
    """Arrays, parameters and modules in a list or tuple are found, saved and loaded; other items are left alone."""
    source, target = Lists(1.0), Lists(2.0)
    assert sorted(source.state_dict()) == [
        "mixed.0", "mixed.1.bias", "mixed.1.weight", "mixed.2", "tables.0", "tables.1"
    ]  # fmt: skip
    assert [name for name, _ in source.named_parameters()] == ["mixed.0", "mixed.1.weight", "mixed.1.bias"]
    target.load_state_dict(source.state_dict())
    assert (target.tables[1] == 1).all() and (target.mixed[2] == 1).all() and (target.mixed[0].data == 1).all()


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Sequential(nn.Dropout()), nn.ReLU())
    assert all(module.training for module in model.modules())
    assert model.eval() is model and not any(module.training for module in model.modules())
    assert model.train() is model and all(module.training for module in model.modules())


def test_repr_shows_the_tree():
    lines = repr(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.3)))).splitlines()
    inner = ["  (1): Sequential(", "    (0): ReLU()", "    (1): Dropout(p=0.3)", "  )"]
    assert lines == ["Sequential(", "  (0): Linear(2, 3, bias=True)", *inner, ")"]


def test_state_goes_from_model_to_model():
    source, target = network(), network()
    source(RNG.normal(size=(9, 7)))
    memory = target.state_dict()
    result = target.load_state_dict(copy.deepcopy(source.state_dict()))
    assert result.missing_keys == [] and result.unexpected_keys == []
    for name, array in target.state_dict().items():
        assert array is memory[name]
        np.testing.assert_array_equal(array, source.state_dict()[name])
    assert target[1].num_batches_tracked == 1 and target[1].num_batches_tracked.dtype == np.int64
    x = RNG.normal(size=(9, 7))
    assert (source.eval()(x)[0] == target.eval()(x)[0]).all()


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda s: s.pop("4.bias"), ValueError, r"state: got keys without \['4.bias'\] and with unknown \[\], "),
        (lambda s: s.update(extra=np.ones(1)), ValueError, r"state: got keys without \[\] and with .* \['extra'\]"),
        (lambda s: s.update({"6.bias": np.ones(2)}), ValueError, r"6.bias: got shape \(2,\), want \(3,\); build"),
        (lambda s: s.update({"6.bias": np.ones(1)}), ValueError, r"6.bias: got shape \(1,\), want \(3,\); build"),
        (lambda s: s.update({"6.bias": np.ones((1, 3))}), ValueError, r"6.bias: got shape \(1, 3\), want \(3,\)"),
        (lambda s: s.update({"6.bias": np.ones(3, "f4")}), TypeError, "6.bias: got float32, want a float64"),
        (lambda s: s.update({"6.bias": [1.0, 2.0, 3.0]}), TypeError, "6.bias: got list, want a float64 array"),
        (lambda s: s.update({"1.num_batches_tracked": np.array(0.0)}), TypeError, "1.num_batches_tracked: got float64"),
    ],
)
def test_wrong_state_changes_nothing(change, error, sentence):
    model = network()
    before = copy.deepcopy(model.state_dict())
    state = {name: np.array(array + 1) for name, array in before.items()}
    change(state)
    for strict in (True, False):
        if "got keys" in sentence and not strict:
            continue
        with pytest.raises(error, match=f"^{sentence}"):
            model.load_state_dict(state, strict=strict)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_state_that_fits_in_part():
    model = network()
    before = model[0].weight.data.copy()
    result = model.load_state_dict({"0.bias": np.full(6, 3.0), "extra": np.ones(1)}, strict=False)
    assert result.unexpected_keys == ["extra"] and "0.weight" in result.missing_keys
    assert (model[0].bias.data == 3).all() and (model[0].weight.data == before).all()
