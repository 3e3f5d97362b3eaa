"""What can be hung into training: the hooks, and the signal that ends it."""

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer


class StopTraining(Exception):
    """Raised by any hook to end training after it: the model stays as it is, and `on_fit_end` is still called.

    Behind a validation the end hook of its batch or epoch is called first, so that the record is whole.
    """


class Callback:
    """Base of all callbacks. Each hook gets the trainer, whose `epoch`, `step`, `logs` and `history` it reads."""

    runs_last: ClassVar[bool] = False
    """Whether it is called behind all callbacks that do not say so, at every hook: it wants to see what they did."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first epoch; `trainer.epochs` and `trainer.batches` say what is ahead."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, or `StopTraining`. Not called when training ends by another exception."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before the first batch; `trainer.epoch` is already the new one."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """After validation; `trainer.logs` is the epoch's record, `trainer.history` holds it."""

    def on_batch_start(self, trainer: "Trainer") -> None:
        """Before the batch is gathered; `trainer.batch` batches of the epoch are done."""

    def on_batch_end(self, trainer: "Trainer") -> None:
        """After the batch and, where it ends a window of accumulation, the optimizer's step."""

    def on_backward_end(self, trainer: "Trainer") -> None:
        """Every parameter has its gradient of the batches of the window so far; the optimizer has not stepped."""

    def on_validation_end(self, trainer: "Trainer") -> None:
        """After every validation, also those within an epoch; `trainer.logs` has its results."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs: arrays, numbers, strings, None, and dicts and lists of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict()` returned."""
