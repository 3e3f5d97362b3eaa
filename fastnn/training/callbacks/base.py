"""`Callback`, with the hooks of the training loop, and the signal that ends a training."""

from typing import Any, ClassVar


class StopTraining(Exception):
    """Raised by any hook to end the training after it: the model stays as it is, and `on_fit_end` is still called.

    If it is raised after a validation, the end hook of the batch or epoch is called first, so that the record is whole.
    """


class Callback:
    """Base class of all callbacks.

    Each hook gets the `Trainer`, whose attributes such as `epoch`, `step`, `logs` and `history` it reads. The parameter
    has no type here, so that a callback of your own can annotate it with `fastnn.Trainer`.
    """

    runs_last: ClassVar[bool] = False
    """Whether the callback is called after all others at every hook, so that it sees what they have done."""

    _rank: ClassVar[int] = 1
    """Among callbacks with the same `runs_last`, those of a lower rank are called first."""

    def on_fit_start(self, trainer: Any) -> None:
        """Called before the first epoch; `trainer.epochs` and `trainer.batches` say how long the fit is."""

    def on_fit_end(self, trainer: Any) -> None:
        """Called after the last epoch, `StopTraining` or Ctrl-C, but not if another exception ends the training."""

    def on_epoch_start(self, trainer: Any) -> None:
        """Called before the first batch; `trainer.epoch` is already the new epoch."""

    def on_epoch_end(self, trainer: Any) -> None:
        """Called after validation; `trainer.logs` is the record of the epoch, which `trainer.history` already has."""

    def on_batch_start(self, trainer: Any) -> None:
        """Called before the batch is gathered; `trainer.batch` batches of the epoch are done."""

    def on_batch_end(self, trainer: Any) -> None:
        """Called after the batch, and after the optimizer's step if the batch ends a window of accumulation."""

    def on_backward_end(self, trainer: Any) -> None:
        """Called before the optimizer's step; every parameter has the gradient of the window's batches so far."""

    def on_step_end(self, trainer: Any) -> None:
        """Called after every step of the optimizer and the scheduler, before a validation within the epoch."""

    def on_batches_end(self, trainer: Any) -> None:
        """Called after the last batch of the epoch, before its validation."""

    def on_validation_end(self, trainer: Any) -> None:
        """Called after every validation, also within an epoch; `trainer.logs` has the results."""

    def on_exception(self, trainer: Any) -> None:
        """Called when an exception other than `StopTraining` and Ctrl-C ends the fit, which then raises it."""

    def _on_limit(self, trainer: Any) -> None:
        """Called after a step at which a limit ends the fit within an epoch, before anything of that is recorded."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resumed training: arrays, numbers, strings, None, and dicts and lists of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict()`."""
