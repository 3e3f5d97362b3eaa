"""Schedules of a fit that max_steps ends."""

from typing import Any

import pytest
from training_tasks import DATA, make_trainer, plain

from fastnn import nn, optim
from fastnn.optim.lr_scheduler import OneCycleLR
from fastnn.training import Trainer

EPOCH = 20
"""Optimizer steps of an epoch with batches of 32."""


def cycled(total: int, **options: Any) -> Trainer:
    model = plain()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, OneCycleLR(optimizer, 0.1, total), seed=1, **options)


@pytest.mark.parametrize(("most", "steps"), [(12, 12), (None, 40), (99, 40)])
def test_one_cycle_is_over_the_steps_that_are_made(most: int | None, steps: int) -> None:
    trainer = make_trainer(plain())
    trainer.fit_one_cycle(DATA, epochs=2, max_lr=0.1, max_steps=most, verbose=False)
    rates, whole = trainer.history.steps["lr"], cycled(steps)
    whole.fit(DATA, epochs=2, max_steps=most, verbose=False)
    assert trainer.step == steps and rates == whole.history.steps["lr"]
    assert max(rates) > 0.09 and rates[-1] < 1e-3


def test_a_wrong_limit_is_refused_before_the_rate_is_looked_for() -> None:
    trainer = make_trainer(plain())
    trainer.lr_find = None  # type: ignore[method-assign, assignment]
    with pytest.raises(ValueError, match=r"^max_steps: got 0"):
        trainer.fit_one_cycle(DATA, max_steps=0)


@pytest.mark.parametrize(("epochs", "most"), [(9, 12), (None, 12), (None, 11)])
def test_a_schedule_of_just_the_steps(epochs: int | None, most: int) -> None:
    trainer = cycled(12)
    trainer.fit(DATA, epochs=epochs, max_steps=most, verbose=False)
    assert trainer.step == most


@pytest.mark.parametrize(
    ("total", "options", "fit", "want"),
    [
        (12, {}, {"epochs": None, "max_steps": 13}, 13),
        (12, {}, {"epochs": 9, "max_steps": 13}, 13),
        (1, {"scheduler_interval": "epoch"}, {"epochs": None, "max_steps": 2 * EPOCH}, 2),
        (2, {"scheduler_interval": "epoch", "accumulate_grad_batches": 3}, {"epochs": None, "max_steps": 21}, 3),
    ],
)
def test_a_schedule_that_ends_before_is_refused_at_once(total: int, options: Any, fit: Any, want: int) -> None:
    trainer = cycled(total, **options)
    with pytest.raises(
        ValueError, match=rf"^scheduler: got total_steps = {total} with 0 of them done, want {want} more"
    ):
        trainer.fit(DATA, verbose=False, **fit)
    assert trainer.step == 0


@pytest.mark.parametrize(("total", "options", "most"), [
    (1, {"scheduler_interval": "epoch"}, 2 * EPOCH - 1),
    (2, {"scheduler_interval": "epoch", "accumulate_grad_batches": 3}, 20),
])  # fmt: skip
def test_epochs_within_the_steps(total: int, options: Any, most: int) -> None:
    cycled(total, **options).fit(DATA, epochs=None, max_steps=most, verbose=False)


def test_after_an_interruption() -> None:
    """What is left of the steps counts, as the schedule has made the others."""
    trainer = cycled(2 * EPOCH)
    trainer.fit(DATA, epochs=2, max_steps=7, verbose=False)
    with pytest.raises(ValueError, match="with 7 of them done, want 34 more"):
        trainer.fit(DATA, epochs=None, max_steps=34, verbose=False)
    trainer.fit(DATA, epochs=None, max_steps=33, verbose=False)
