"""The functions of `fastnn.init` over torch's tensors: names, arguments and defaults are those of torch.nn.init.

Each call draws a seed from torch's generator, the default one or the one given, which determines the numbers.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from fastnn import init
from fastnn.init import calculate_gain, constant_, dirac_, eye_, ones_, zeros_
from fastnn.torch.random import new_seed

Fill = TypeVar("Fill", bound=Callable[..., Any])


def _seeded(function: Fill) -> Fill:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def fill(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        generator = given.get("generator")
        if generator is None or isinstance(generator, torch.Generator):
            given["generator"] = new_seed(generator)
        return function(**given)

    return fill  # type: ignore[return-value]


glorot_normal_ = _seeded(init.glorot_normal_)
glorot_uniform_ = _seeded(init.glorot_uniform_)
he_normal_ = _seeded(init.he_normal_)
he_uniform_ = _seeded(init.he_uniform_)
kaiming_normal_ = _seeded(init.kaiming_normal_)
kaiming_uniform_ = _seeded(init.kaiming_uniform_)
lecun_normal_ = _seeded(init.lecun_normal_)
lecun_uniform_ = _seeded(init.lecun_uniform_)
normal_ = _seeded(init.normal_)
orthogonal_ = _seeded(init.orthogonal_)
sparse_ = _seeded(init.sparse_)
trunc_normal_ = _seeded(init.trunc_normal_)
uniform_ = _seeded(init.uniform_)
xavier_normal_ = _seeded(init.xavier_normal_)
xavier_uniform_ = _seeded(init.xavier_uniform_)

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "glorot_normal_",
    "glorot_uniform_",
    "he_normal_",
    "he_uniform_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
