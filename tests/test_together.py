"""fastnn with torch, scikit-learn and NumPy's BLAS in one process, imported in any order; threadpoolctl's limits."""

import ctypes
import itertools
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import python, running

import fastnn

# The work of each library right after its import, and again after all imports: large enough for its threads.
FIRST = """
import json
import numpy as np
results = {}
"""
PARTS = {
    "fastnn": """
import fastnn
from fastnn import functional as F
def run_fastnn():
    before, x = fastnn.get_num_threads(), np.random.default_rng(0).standard_normal((2000, 300))
    fastnn.set_num_threads(3)
    y = F.layer_norm(x, 300)
    fastnn.set_num_threads(before)
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    return np.abs(y - want).max() < 1e-12
""",
    "torch": """
import torch
def run_torch():
    a = torch.arange(600_000, dtype=torch.float64).reshape(1000, 600)
    return (torch.relu(a - 7).sum(0).numpy() == np.maximum(a.numpy() - 7, 0).sum(0)).all()
""",
    "sklearn": """
from sklearn.cluster import KMeans
def run_sklearn():
    x = np.random.default_rng(0).normal(0, 0.1, (600, 2)) + np.repeat([[0, 0], [9, 9]], 300, axis=0)
    labels = KMeans(2, n_init=1, random_state=0).fit(x).labels_
    return len(set(labels[:300])) == len(set(labels[300:])) == 1 and labels[0] != labels[-1]
""",
    "numpy": """
def run_numpy():
    a = np.random.default_rng(0).integers(-9, 9, (400, 400))
    return (a.astype(float) @ a.T.astype(float) == a @ a.T).all()
""",
}
LAST = """
import threadpoolctl
for name in results:
    results[name].append(bool(globals()["run_" + name]()))
if "fastnn" in results:
    fastnn.register_threadpoolctl()
    results["threads"] = fastnn.get_num_threads()
if "torch" in results:
    results["torch threads"] = torch.get_num_threads()
results["pools"] = sorted([i["internal_api"], i["prefix"], i["num_threads"]] for i in threadpoolctl.threadpool_info())
print(json.dumps(results))
"""
INSTALLED = [name for name in PARTS if find_spec(name)]
ORDERS = list(itertools.permutations(INSTALLED))

needs_threadpoolctl = pytest.mark.skipif(not find_spec("threadpoolctl"), reason="threadpoolctl is not installed")


def _outcome(order: tuple[str, ...]) -> dict[str, Any]:
    """Return the results of a process that imports the libraries in this order."""
    parts = [f"{PARTS[name]}results[{name!r}] = [bool(run_{name}())]\n" for name in order]
    # Passive, because libgomp's idle threads would spin on the cores that the other process needs.
    environment = {"FASTNN_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    found: dict[str, Any] = json.loads(python("-c", FIRST + "".join(parts) + LAST, **environment))
    return found


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[tuple[str, ...], Future[dict[str, Any]]]]:
    """Run every order, and one without fastnn; imports take seconds, so two processes run at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {order: pool.submit(_outcome, order) for order in [tuple(INSTALLED[1:]), *ORDERS]}
        pool.shutdown(cancel_futures=True)


@needs_threadpoolctl
@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_any_order(order: tuple[str, ...], outcomes: dict[tuple[str, ...], Future[dict[str, Any]]]) -> None:
    """The process succeeds, all results are right, first and last, and no library's thread count changes."""
    want = outcomes[tuple(INSTALLED[1:])].result()
    want = want | {"fastnn": [True, True], "threads": 1, "pools": sorted([*want["pools"], ["fastnn", "_core", 1]])}
    assert all(want[name] == [True, True] for name in INSTALLED)
    assert outcomes[order].result() == want


@pytest.fixture
def threadpoolctl() -> ModuleType:
    """The threadpoolctl module, with fastnn registered."""
    module: ModuleType = pytest.importorskip("threadpoolctl")
    fastnn.register_threadpoolctl()
    return module


@pytest.mark.parametrize(
    ("limits", "want"),
    [
        ({"limits": 1}, 1),
        ({"limits": 2, "user_api": "fastnn"}, 2),
        ({"limits": {"fastnn": 1}}, 1),
        ({"limits": {"fastnn": 3, "blas": 1}}, 3),
        ({"limits": {"_core": 2}}, 2),
        ({"limits": {"fastnn": 9}}, 9),
        ({"limits": {"fastnn": 0}}, 1),
        ({"limits": {"fastnn": -7}}, 1),
        ({"limits": {"fastnn": 2**31 - 1}}, 2**20),
        ({"limits": 1, "user_api": "blas"}, 5),
        ({"limits": {"blas": 1}}, 5),
        ({"limits": None}, 5),
    ],
    ids=str,
)
def test_limits(limits: dict[str, Any], want: int, threadpoolctl: ModuleType) -> None:
    """A limit holds within the block for its target, and the earlier count is restored afterwards."""
    with running(fastnn.isa(), 5):
        with threadpoolctl.threadpool_limits(**limits):
            assert fastnn.get_num_threads() == want
        assert fastnn.get_num_threads() == 5


def test_info(threadpoolctl: ModuleType) -> None:
    """fastnn is listed once, with all its information."""
    fastnn.register_threadpoolctl()
    with running(fastnn.isa(), 5):
        listed = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "fastnn"]
    assert listed == [
        {
            "user_api": "fastnn",
            "internal_api": "fastnn",
            "num_threads": 5,
            "prefix": "_core",
            "filepath": str(Path(fastnn._core.__file__).resolve()),
            "version": fastnn.__version__,
            "threading_layer": fastnn.show_config()["threads_engine"],
        }
    ]


def test_library_of_the_same_name(threadpoolctl: ModuleType, tmp_path: Path) -> None:
    """A library of the same name without the symbols is ignored."""
    another = shutil.copy(np.random._pcg64.__file__, tmp_path / "_core.abi3.so")
    ctypes.CDLL(str(another))
    assert str(another) in Path("/proc/self/maps").read_text()
    assert str(another) not in [info["filepath"] for info in threadpoolctl.threadpool_info()]


@needs_threadpoolctl
def test_limited_kernel() -> None:
    """With a limit of one, a large kernel starts no thread; after the block it does."""
    script = """
import os
import threadpoolctl
import fastnn, numpy as np

def started():
    before = len(os.listdir("/proc/self/task"))
    fastnn.functional.relu(np.ones(1_000_000))
    return len(os.listdir("/proc/self/task")) - before

fastnn.set_num_threads(4)
with threadpoolctl.threadpool_limits(1):
    inside = started()
print(inside, started())
"""
    assert python("-c", script) == "0 3"


LISTED = "; import threadpoolctl; print([i['user_api'] for i in threadpoolctl.threadpool_info()].count('fastnn'))"


@needs_threadpoolctl
@pytest.mark.parametrize(
    ("script", "want"),
    [
        ("import threadpoolctl, fastnn", "1"),
        ("import fastnn, threadpoolctl; fastnn.register_threadpoolctl()", "1"),
        ("import fastnn; fastnn.register_threadpoolctl(); import threadpoolctl; fastnn.register_threadpoolctl()", "1"),
        ("import fastnn, threadpoolctl", "0"),
        ("import fastnn, threadpoolctl; threadpoolctl.threadpool_info(); fastnn.register_threadpoolctl()", "1"),
    ],
)
def test_registration(script: str, want: str) -> None:
    """Importing fastnn registers it if threadpoolctl was imported before; otherwise a call does, at any time."""
    assert python("-c", script + LISTED) == want


@pytest.mark.parametrize("state", ["None", "types.ModuleType('threadpoolctl')"])
def test_without_threadpoolctl(state: str) -> None:
    """threadpoolctl is not imported with fastnn; if it is missing or too old, only the call to register raises."""
    script = f"""
import sys, types
import fastnn
assert "threadpoolctl" not in sys.modules
for name in [name for name in sys.modules if name.startswith("fastnn")]: del sys.modules[name]
sys.modules["threadpoolctl"] = {state}
import fastnn
try:
    fastnn.register_threadpoolctl()
except ImportError as error:
    print(error)
"""
    sentence = python("-c", script)
    assert sentence.startswith("threadpoolctl: got ") and sentence.endswith(
        "3.2 or newer; pip install -U threadpoolctl"
    )
