"""Protocols: the optimizer and scheduler that the training loop needs, and the `Trainer` as callbacks see it."""

from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, Protocol

from fastnn.data.normalize import Normalize
from fastnn.metrics.base import Metric
from fastnn.nn.module import Module
from fastnn.training.callbacks.base import Callback
from fastnn.training.history import History
from fastnn.training.state import LoopState


class Optimizer(Protocol):
    """The optimizer that a trainer needs; checkpoints also need `state_dict` and `load_state_dict`."""

    @property
    def param_groups(self) -> Sequence[MutableMapping[str, Any]]: ...
    def step(self) -> object: ...
    def zero_grad(self) -> object: ...


class Scheduler(Protocol):
    """The learning-rate scheduler that a trainer needs."""

    def step(self) -> object: ...


class Training(Protocol):
    """A `Trainer`, as the modules below it see it; `Trainer` documents each attribute."""

    model: Module
    loss: Any
    criterion: Any
    metrics_are_auto: bool
    monitor: str | None
    optimizer: Optimizer
    scheduler: Scheduler | None
    metrics: dict[str, Metric]
    unfit: dict[str, Metric]
    callbacks: tuple[Callback, ...]
    accumulate_grad_batches: int
    val_check_interval: float | int
    seed: int | None
    scheduler_interval: Literal["step", "epoch"]
    detect_nan: bool
    state: LoopState
    clipping: Any
    normalize: Normalize | None
    classes: tuple[str, ...] | None
    given_metrics: Any

    @property
    def epoch(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def batches(self) -> int | None: ...
    @property
    def ahead(self) -> int | None: ...
    @property
    def step(self) -> int: ...
    @property
    def history(self) -> History: ...
    @property
    def logs(self) -> dict[str, float]: ...
    @property
    def monitors(self) -> list[str]: ...
    @property
    def stopped(self) -> str | None: ...
    @property
    def resumed(self) -> bool: ...
    @property
    def has_stepped(self) -> bool: ...
    @property
    def inputs(self) -> Any: ...
    @property
    def times(self) -> tuple[float, ...]: ...
    def readmit(self) -> None: ...
    def capture(self) -> dict[str, Any]: ...
    def predict_proba(self, x: Any, batch_size: int = 1024) -> Any: ...
