"""Numbers and names in an optimizer's state dict, as other programs write them."""

import copy
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fastnn import optim


def stepped(names="ab"):
    optimizer = optim.Adam([(name, np.ones(3)) for name in names])
    optimizer.step([np.ones(3)] * len(names))
    return optimizer


NUMBERS = {
    "int": 7,
    "float": 7.0,
    "NumPy's": np.int32(7),
    "()": np.array(7.0),
    "(1,)": np.array([7.0], np.float32),
    "(1, 1)": np.array([[7]]),
    "fraction": Fraction(7),
}
NO_NUMBERS = {
    "two": (np.array([7.0, 8.0]), r"shape \(2,\)"),
    "none": (np.zeros(0), r"shape \(0,\)"),
    "text": ("7", "str"),
    "text in an array": (np.array("7"), "ndarray"),
    "bool": (True, "bool"),
    "complex": (7j, "complex"),
    "list": ([7], "list"),
    "nothing": (None, "NoneType"),
    "decimal": (Decimal(7), "Decimal"),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers(kind):
    optimizer, saved = stepped(), stepped().state_dict()
    saved["state"][0] = saved["state"][0] | {"step": NUMBERS[kind]}
    optimizer.load_state_dict(saved)
    assert optimizer.state_dict()["state"][0]["step"] == 7


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_is_no_number(kind):
    given, got = NO_NUMBERS[kind]
    optimizer, saved = stepped(), stepped().state_dict()
    saved["state"][1] = saved["state"][1] | {"step": given}
    with pytest.raises(TypeError, match=rf"^step of b: got {got}, want a number; save it again"):
        optimizer.load_state_dict(saved)
    assert [optimizer.state_dict()["state"][i]["step"] for i in (0, 1)] == [1, 1]


def test_tensors():
    torch = pytest.importorskip("torch")
    for given in (torch.tensor(7.0), torch.tensor([7.0]), torch.tensor([[7]])):
        optimizer, saved = stepped(), stepped().state_dict()
        saved["state"][0] = saved["state"][0] | {"step": given}
        optimizer.load_state_dict(saved)
        assert optimizer.state_dict()["state"][0]["step"] == 7


@pytest.mark.parametrize(
    ("names", "got"),
    [
        (["a", "b", "a"], r"3 names for 2 parameters, \['a'\] of them twice"),
        (["a", "a"], r"2 names for 2 parameters, \['a'\] of them twice"),
        (["a"], r"1 names for 2 parameters, \[\] of them twice"),
        (["a", "b", "c"], r"3 names for 2 parameters"),
    ],
)
def test_names_that_are_not_one_for_each(names, got):
    optimizer, saved = stepped(), copy.deepcopy(stepped().state_dict())
    saved["param_groups"][0]["param_names"] = names
    with pytest.raises(ValueError, match=rf"^param_names: got {got}.*, want one for each, every name once"):
        optimizer.load_state_dict(saved)
