"""An optimizer's memory between steps: addresses of gradients, constants of groups, and that a step is running."""

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from support import SECONDS, Array, running, same_bits
from tensors import KINDS, versions
from variants import NAMES, everything, full_state, make, reference_step

from fastnn import optim

__all__ = ["versions"]
pytestmark = pytest.mark.usefixtures("versions")
MEMORY = 24
HOLDERS: dict[str, Callable[[Array], Any]] = {"array": lambda a: a, **KINDS}


def _fortran(a: Array) -> Array:
    return as_strided(a, (3, 4), (a.itemsize, 3 * a.itemsize))


# Gradients at the address of the last one of shape (3, 4): another shape, dtype or layout, and the expected message.
OTHERS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "fewer rows": (lambda a: a[:2], r"got shape \(2, 4\), want \(3, 4\)"),
    "fewer columns": (lambda a: a.reshape(-1)[:9].reshape(3, 3), r"got shape \(3, 3\), want \(3, 4\)"),
    "turned": (lambda a: a.reshape(4, 3), r"got shape \(4, 3\), want \(3, 4\)"),
    "flat": (lambda a: a.reshape(-1), r"got shape \(12,\), want \(3, 4\)"),
    "another axis": (lambda a: a.reshape(3, 4, 1), r"got shape \(3, 4, 1\), want \(3, 4\)"),
    "an axis ahead": (lambda a: a.reshape(1, 3, 4), r"got shape \(1, 3, 4\), want \(3, 4\)"),
    "one axis": (lambda a: a[0, :3], r"got shape \(3,\), want \(3, 4\)"),
    "no axis": (lambda a: a.reshape(-1)[:1].reshape(()), r"got shape \(\), want \(3, 4\)"),
    "columns first": (_fortran, "got strided memory, want C-contiguous memory"),
    "steps": (lambda a: as_strided(a, (3, 4), (4 * a.itemsize, 0)), "got strided memory, want C-contiguous memory"),
    "double": (lambda a: a.reshape(-1).base.view(np.float64)[:12].reshape(3, 4), "got float64, want float32"),
    "integers": (lambda a: a.view(np.int32), "got (a tensor of another dtype|dtype int32), want"),
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("what", OTHERS)
def test_another_gradient_in_the_same_place(what: str, holder: str) -> None:
    """Another gradient at a known address is checked like a first one, in any group; the good one still works."""
    change, sentence = OTHERS[what]
    memory = np.ones(MEMORY, np.float32)
    grad = memory[:12].reshape(3, 4)
    params = [np.ones((3, 4), np.float32), np.ones(2, np.float32)]
    held = HOLDERS[holder]
    for groups in (params, [{"params": [p]} for p in params]):
        optimizer = optim.Adam(groups)
        for steps in (1, 2):
            optimizer.step([held(grad), None])
            before = everything(optimizer, params)
            with pytest.raises((TypeError, ValueError), match=rf"^params\[0\]\.grad: {sentence}"):
                optimizer.step([held(change(grad)), None])
            assert everything(optimizer, params) == before
            assert optimizer.state_of(params[0])["step"] == steps


def test_byte_order_and_writing_in_the_same_place() -> None:
    """At a known address, the other byte order is refused, and so is read-only memory if gradients are zeroed."""
    param, grad = np.ones(3, np.float32), np.ones(3, np.float32)
    optimizer = optim.SGD([param], lr=1.0, zero_grad_after_step=True)
    optimizer.step([grad])
    read_only = grad.view()
    read_only.flags.writeable = False
    swapped = grad.view(grad.dtype.newbyteorder("S"))
    for bad, sentence in ((read_only, "got a read-only array"), (swapped, "got dtype >f4, want native")):
        with pytest.raises((TypeError, ValueError), match=rf"^params\[0\]\.grad: {sentence}"):
            optimizer.step([bad])
    optimizer.zero_grad_after_step = False
    grad[...] = 1
    optimizer.step([read_only])  # now it is only read
    assert (param == -1).all() and (grad == 1).all()


@pytest.mark.parametrize("holder", HOLDERS)
def test_gradients_that_change_places(holder: str) -> None:
    """Gradients swapped between parameters, and new ones that may overlap a parameter, are checked again."""
    held, buffer = HOLDERS[holder], np.zeros(20, np.float32)
    params, grads = [buffer[:5], buffer[10:15]], [np.ones(5, np.float32), np.ones(5, np.float32)]
    optimizer = optim.SGD(params, lr=1.0)
    optimizer.step([held(g) for g in grads])
    optimizer.step([held(g) for g in reversed(grads)])
    assert (buffer[[0, 4, 10, 14]] == -2).all()
    for bad in (params[1], params[0], buffer[4:9], buffer[9:14]):
        for given in ([held(bad), held(grads[1])], [held(grads[0]), held(bad)]):
            with pytest.raises(ValueError, match=r"^params\[[01]\]: got memory that overlaps params\[[01]\]\.grad"):
                optimizer.step(given)
    assert (buffer[[0, 4, 10, 14]] == -2).all() and (buffer[5:10] == 0).all()


def test_zeroed_gradients_apart_from_each_other() -> None:
    """Overlaps of gradients to be zeroed are checked again when one of them has moved or was missing before."""
    params, memory = [np.zeros(4) for _ in range(3)], np.ones(30)
    apart = [memory[:4], memory[10:14], memory[20:24]]
    optimizer = optim.SGD(params, lr=1.0, zero_grad_after_step=True)
    optimizer.step(apart)
    optimizer.step(apart)
    for i, bad in ((0, memory[12:16]), (1, memory[3:7]), (2, memory[10:14]), (2, memory[7:11])):
        for before in (apart, [None, None, None], [g if j != i else None for j, g in enumerate(apart)]):
            optimizer.step(before)
            with pytest.raises(ValueError, match=r"^params\[\d\]\.grad: got memory that overlaps params\[\d\]\.grad"):
                optimizer.step([bad if j == i else g for j, g in enumerate(apart)])
    optimizer.step(apart)
    assert all((p == -1).all() for p in params)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_a_group_at_different_steps(name: str) -> None:
    """Each parameter is stepped with the constants of its own step count, whatever the others of its group have."""
    options = full_state(name) | ({"lr_decay": 0.5} if name == "Adagrad" else {})
    rng, grad = np.random.default_rng(1), np.full(5, 0.5)
    params = [rng.standard_normal(5) for _ in range(4)]
    singles = [p.copy() for p in params]
    optimizer, alone = make(name, params, **options), [make(name, [p], **options) for p in singles]
    for turn in (0b0001, 0b1010, 0b1111, 0b0100, 0b1111, 0b0111, 0b1111):
        grads = [grad if turn >> i & 1 else None for i in range(4)]
        optimizer.step(grads)
        for single, given in zip(alone, grads, strict=True):
            single.step([given])
    assert all(map(same_bits, params, singles))


def test_product_of_momenta_by_parameter() -> None:
    """NAdam uses each parameter's own product of momenta, also for two parameters with the same step count."""
    params = [np.ones(3), np.ones(3), np.ones(3)]
    optimizer = optim.NAdam(params, lr=0.1)
    optimizer.step([np.ones(3)] * 3)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][1]["mu_product"] = 0.25
    optimizer.load_state_dict(saved)
    states = [[np.full(3, 0.1), np.full(3, 1e-3), s["mu_product"]] for s in saved["state"].values()]
    want = [reference_step("NAdam", p, np.ones(3), s, 2, lr=0.1) for p, s in zip(params, states, strict=True)]
    optimizer.step([np.ones(3)] * 3)
    np.testing.assert_allclose(params, want, rtol=1e-13)
    assert not np.allclose(params[0], params[1], rtol=1e-6) and same_bits(params[0], params[2])
    products = [optimizer.state_dict()["state"][i]["mu_product"] for i in range(3)]
    assert products == pytest.approx([s[2] for s in states], rel=1e-14)


def test_velocity_that_has_begun_for_some() -> None:
    """In SGD the first gradient of each velocity is undamped, even if other parameters of the group have one."""
    params = [np.zeros(2) for _ in range(3)]
    optimizer = optim.SGD(params, lr=1.0, momentum=0.5, dampening=0.5)
    optimizer.step([np.ones(2), None, np.ones(2)])
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][2]["momentum_buffer"] = None
    optimizer.load_state_dict(saved)
    optimizer.step([np.ones(2)] * 3)
    assert [p.tolist() for p in params] == [[-2, -2], [-1, -1], [-2, -2]]
    assert [optimizer.state_of(p)["momentum_buffer"][0] for p in params] == [1, 1, 1]
    optimizer.step([np.ones(2)] * 3)
    assert [p[0] for p in params] == [-3, -2, -3]


@pytest.mark.parametrize("state_dtype", [None, "int8"])
def test_two_threads_in_one_step(state_dtype: Any) -> None:
    """A step in a second thread is refused while the first is running, and changes nothing; later steps work."""
    size = 2**20
    params, grads = [np.zeros(size, np.float32)], [np.ones(size, np.float32)]
    optimizer = optim.Adam(params, lr=0.01, state_dtype=state_dtype)
    refused, done, stop = [], [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                optimizer.step(grads)
                done.append(None)
            except RuntimeError as error:
                refused.append(str(error))

    with running("base", 1):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + SECONDS
        while not (refused and len(done) > 1) and time.monotonic() < end:
            time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()
    assert set(refused) == {"optimizer: got a step while another thread is in one, want one at a time"}
    assert optimizer.state_of(params[0])["step"] == len(done)
    np.testing.assert_allclose(params[0], -0.01 * len(done), rtol=0.1 if state_dtype else 1e-3)


@pytest.mark.parametrize("bad", [np.ones(4), np.full(3, np.nan), None])
def test_a_step_that_ends_early_is_over(bad: Any) -> None:
    """After a step that was refused, or skipped for its norm, the next one is not refused as a second one."""
    param = np.zeros(3)
    optimizer = optim.SGD([param], lr=1.0, clip_grad_norm=1e9)
    for _ in range(2):
        if bad is not None and bad.shape == (3,):
            optimizer.step([bad])
        else:
            with pytest.raises(ValueError, match="want"):
                optimizer.step([bad] if bad is not None else [])
        optimizer.step([np.ones(3)])
    assert (param == -2).all()
