"""Every error of init and random names a remedy, and remedies that are code work when they are followed."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import Generator, init, nn, random
from fastnn.random import as_generator

NAN, INF, HUGE = math.nan, math.inf, 10**400
RANDOM = {
    "uniform_": ("a", "b"), "normal_": ("mean", "std"), "trunc_normal_": ("mean", "std", "a", "b"),
    "bernoulli_": ("p",), "exponential_": ("lambd",),
}  # fmt: skip
FANS = ("xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_", "lecun_normal_", "lecun_uniform_")


def x(*shape: int) -> Any:
    """Return zeros of this shape, of (3, 4) by default."""
    return np.zeros(shape or (3, 4), np.float32)


def state(**changes: Any) -> Any:
    """Assign a changed state to a generator."""
    g = Generator(1)
    g.state = {k: v for k, v in (g.state | changes).items() if v is not None}


WRONG: list[tuple[str, Callable[[], Any]]] = [
    *((f"random.{f}({o}={v!r:.9})", lambda f=f, o=o, v=v: getattr(random, f)(x(), **{o: v}))
      for f, options in RANDOM.items() for o in options for v in (NAN, "text", None, [1.0, 2.0], 1j, HUGE)),
    *((f"{f}({o}={v})", lambda f=f, o=o, v=v: getattr(random, f)(x(), **{o: v}))
      for f, o, v in [("normal_", "std", -1), ("normal_", "std", INF), ("normal_", "mean", INF), ("uniform_", "a", 2),
                      ("uniform_", "b", INF), ("trunc_normal_", "a", 3), ("trunc_normal_", "std", -1),
                      ("bernoulli_", "p", 1.5), ("exponential_", "lambd", 0), ("normal_", "std", 1e300)]),
    ("uniform_, wide", lambda: random.uniform_(x(), -3e38, 3e38)),
    ("trunc_normal_, std = 0", lambda: random.trunc_normal_(x(), 0, 0, 1, 2)),
    *((f"{f}({type(t).__name__})", lambda f=f, t=t: getattr(random, f)(t))
      for f in RANDOM for t in (3, [1.0], np.ones(3, int), x()[:, ::2], np.broadcast_to(x(1), 3))),
    *((f"generator={g!r}", lambda g=g: random.normal_(x(), generator=g)) for g in (-1, 2**64, 1.5, "0", True)),
    ("integers_, float32", lambda: random.integers_(x(), 5)),
    *((f"integers_{limits}", lambda limits=limits: random.integers_(np.zeros(3, np.int64), *limits))
      for limits in [(0,), (5, 5), (2**63 + 1,), (1.5,), ("a",), (2**70,)]),
    *((f"permutation({n!r})", lambda n=n: random.permutation(n)) for n in (-1, 1.5, "3", 2**63)),
    *((f"Generator({s!r})", lambda s=s: Generator(s)) for s in (-1, 2**64, 1.5, None)),
    ("state is a list", lambda: setattr(Generator(1), "state", [1])),
    *((f"state {c}", lambda c=c: state(**c)) for c in ({"seed": None}, {"seed": -1}, {"more": 1}, {"offset": 1.5})),
    *((f"{m}({n!r})", lambda m=m, n=n: getattr(Generator(1), m)(n))
      for m in ("spawn", "advance", "random_raw", "reserve") for n in (-1, 1.5, 2**64, "1")),
    ("advance twice", lambda: Generator(1).advance(2**64 - 1).advance(2**63)),
    ("align", lambda: Generator(1).reserve(1, 0)),
    ("spawn too many", lambda: Generator(1, 2**63).spawn(1)),
    *((f"as_generator({g!r})", lambda g=g: as_generator(g)) for g in (-1, 1.5, "seed", True)),
    *((f"init.{f}{s}", lambda f=f, s=s: getattr(init, f)(x(*s))) for f in FANS for s in ((5,), (0,))),
    *((f"init.{f}({g!r:.9})", lambda f=f, g=g: getattr(init, f)(x(), g))
      for f in ("xavier_normal_", "xavier_uniform_") for g in (NAN, INF, -1, "1", None, HUGE)),
    *((f"init.kaiming_normal_{a}", lambda a=a: init.kaiming_normal_(x(), *a))
      for a in [(NAN,), ("1",), (INF,), (0, "fan"), (0, "fan_in", "swish"), (0, None)]),
    *((f"calculate_gain{a}", lambda a=a: init.calculate_gain(*a))
      for a in [("swish",), ("leaky_relu", NAN), ("leaky_relu", "1"), (None,)]),
    *((f"constant_({v!r:.9})", lambda v=v: init.constant_(x(), v)) for v in (1e300, "1", None, [1, 2], HUGE)),
    *((f"orthogonal_({g!r:.9})", lambda g=g: init.orthogonal_(x(), g)) for g in (NAN, INF, 1e300, "1", None, HUGE)),
    *((f"{f}{s}", lambda f=f, s=s: getattr(init, f)(x(*s)))
      for f, s in [("orthogonal_", (3,)), ("eye_", (3,)), ("eye_", (3, 3, 3)), ("dirac_", (3, 4)), ("dirac_", (5,))]),
    ("eye_, no axes", lambda: init.eye_(np.zeros((), np.float32))),
    *((f"dirac_, groups={g!r}", lambda g=g: init.dirac_(x(4, 2, 3), g)) for g in (0, 3, 1.5, "1")),
    ("sparse_, vector", lambda: init.sparse_(x(3), 0.5)),
    *((f"sparse_{a!r}", lambda a=a: init.sparse_(x(), *a))
      for a in [(-1,), (2,), (NAN,), ("1",), (0.5, -1), (0.5, "1")]),
    *((f"init.{f}([1.0])", lambda f=f: getattr(init, f)([[1.0]]))
      for f in ("ones_", "zeros_", "eye_", "orthogonal_", *FANS)),
    *((f"initialize{a}", lambda a=a: init.initialize(*a))
      for a in [(x(),), (nn.Linear(2, 2), "best"), (nn.Sequential(),), (nn.Linear(2, 2), "he", -1)]),
    *((f"report{i}", lambda a=a: init.report(*a))
      for i, a in enumerate([(x(), x()), (nn.Linear(4, 2), x(0, 4)), (nn.Sequential(), x())])),
]  # fmt: skip


@pytest.mark.parametrize("call", [call for _, call in WRONG], ids=[name for name, _ in WRONG])
def test_errors_name_a_remedy(call: Callable[[], Any]) -> None:
    """The sentence is "argument: got ..., want ...; remedy"."""
    with pytest.raises((ValueError, TypeError), match=r"(?s)^[\w\[\]]+: got .*, want .*; .{5,}"):
        call()


REMEDIES: dict[str, Callable[[], Any]] = {
    "a vector for kaiming_uniform_: fill it with uniform_": lambda: init.uniform_(np.ones(34)),
    "a vector for orthogonal_: reshape it": lambda: init.orthogonal_(np.ones(34).reshape(2, 17)),
    "a matrix for dirac_: reshape it": lambda: init.dirac_(np.ones((4, 3)).reshape(4, 3, 1)),
    "a matrix for dirac_: eye_": lambda: init.eye_(np.ones((4, 3))),
    "groups: leave it out": lambda: init.dirac_(np.ones((4, 3, 1))),
    "mode: leave it out": lambda: init.kaiming_normal_(np.ones((4, 3))),
    "nonlinearity: linear": lambda: init.kaiming_normal_(np.ones((4, 3)), nonlinearity="linear"),
    "an interval that is too wide: float64": lambda: random.uniform_(np.ones(3), -3e38, 3e38),
    "the end of a stream": lambda: random.normal_(np.ones(3), generator=Generator(1).spawn(1)[0]),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_remedies_work(name: str) -> None:
    """The advice is followed literally."""
    assert np.isfinite(REMEDIES[name]()).all()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_fills(shape: tuple[int, ...]) -> None:
    """Empty tensors are returned as they are, and draw nothing."""
    g = Generator(1)
    for name in RANDOM:
        for target in (np.empty(shape), nn.Parameter(np.empty(shape))):
            assert getattr(random, name)(target, generator=g) is target
    assert init.dirac_(kernel := np.empty((2, 2, 0))) is kernel
    integers = np.empty(shape, np.int64)
    assert random.integers_(integers, 5, generator=g) is integers and g.offset == 0


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), True])
def test_numbers_of_all_kinds(value: Any) -> None:
    """Options may be any number, also NumPy's and those of arrays without axes."""
    want = random.normal_(np.ones(9), 0.0, float(value), Generator(1))
    np.testing.assert_array_equal(random.normal_(np.ones(9), 0.0, value, Generator(1)), want)
