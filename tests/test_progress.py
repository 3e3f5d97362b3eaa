"""The lines that ProgressBar prints, its bar, and the estimate of TimingMonitor."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastnn import nn, optim
from fastnn.training import ProgressBar, TimingMonitor, Trainer

X, Y = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32), np.arange(20) % 2
LOGS = {"loss": 0.12346, "accuracy": 0.5, "f1": 0.25, "val_loss": 12.0, "val_accuracy": 0.98765, "lr": 0.00123,
        "seconds": 1.239}  # fmt: skip


class Bar:
    """Records what is asked of a bar."""

    def __init__(self, **options: Any) -> None:
        self.options, self.n, self.lines, self.texts, self.closed = options, 0, [], [], 0

    def update(self) -> None:
        assert not self.closed
        self.n += 1

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        assert not self.closed
        self.texts.append(text)

    def write(self, line: str) -> None:
        assert not self.closed
        self.lines.append(line)

    def close(self) -> None:
        self.closed += 1


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """Let the standard error output be a terminal, and return the bars that are opened."""
    opened: list[Bar] = []
    tqdm = SimpleNamespace(tqdm=lambda **options: opened.append(Bar(**options)) or opened[-1])
    monkeypatch.setitem(sys.modules, "tqdm", tqdm)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    return opened


def make_trainer(*callbacks: Any) -> Trainer:
    model = nn.Sequential(nn.Linear(4, 2))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks)


def test_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Accuracies are percentages, other metrics have four decimals; the epoch is as wide as the last one."""
    ProgressBar().on_epoch_end(SimpleNamespace(epoch=7, epochs=120, logs=LOGS))
    want = "epoch   7/120  loss 0.1235  accuracy 50.00%  f1 0.2500  val_loss 12.0000  val_accuracy 98.77%  "
    assert capsys.readouterr().out == want + "lr 1.23e-03  seconds 1.24\n"


@pytest.mark.parametrize("others", [(), (TimingMonitor(None),)])
def test_one_bar_is_enough(capsys: pytest.CaptureFixture[str], others: Any) -> None:
    """There is one line an epoch, also with other callbacks beside the bar."""
    make_trainer(*others, ProgressBar(), *others).fit((X, Y), epochs=2, verbose=True)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_line_is_visible_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line reaches a file or a pipe at the end of its epoch."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BufferedWriter(raw), write_through=False))
    ProgressBar().on_epoch_end(SimpleNamespace(epoch=1, epochs=2, logs={"loss": 1.0}))
    assert raw.getvalue() == b"epoch 1/2  loss 1.0000\n"


def test_a_bar_and_its_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar counts the batches and shows the loss; it is closed once, and no later fit uses it."""
    bars, trainer = on_a_terminal(monkeypatch), make_trainer(ProgressBar())
    history = trainer.fit((X, Y), epochs=2, batch_size=5)
    (bar,) = bars
    assert bar.options == {"total": 8, "unit": "batch", "leave": False, "dynamic_ncols": True}
    assert (bar.n, bar.closed) == (8, 1) and capsys.readouterr().out == ""
    assert [line.split("  ")[:2] for line in bar.lines] == [
        [f"epoch {i}/2", f"loss {loss:.4f}"] for i, loss in enumerate(history["loss"], 1)
    ]
    assert bar.texts[-1] == f"loss {history['loss'][1]:.4f}" and len(bar.texts) == 8
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    trainer.fit((X, Y), epochs=1, batch_size=5)
    assert len(bars) == 1 and bar.closed == 1 and capsys.readouterr().out.startswith("epoch 3/3  loss ")


def test_an_error_closes_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed of the error does not stand behind the bar."""

    class Failing(ProgressBar):
        def on_epoch_end(self, trainer: Any) -> None:
            raise FloatingPointError("loss: got nan, want none")

    bars, trainer = on_a_terminal(monkeypatch), make_trainer(Failing())
    with pytest.raises(FloatingPointError):
        trainer.fit((X, Y))
    assert [bar.closed for bar in bars] == [1]


def test_the_estimate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of all iterations is in proportion to that of the first; every part has the mean of its times."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("fastnn.training.callbacks.monitors.time.perf_counter", lambda: clock.now)
    monitor = TimingMonitor(2)
    assert set(monitor.per_iteration.values()) == {0.0} and monitor.iterations == 0
    for _ in range(2):  # a second fit begins anew
        monitor.on_fit_start(SimpleNamespace(ahead=50))
        for i in range(3):
            start = clock.now
            clock.now += 5
            times = (start, start + 0.5, start + 2, start + 3, start + 3.25)
            monitor.on_batch_end(SimpleNamespace(times=times))
            parts = {"data": 0.5, "forward": 1.5, "backward": 1.0, "optimizer": 0.25, "other": 1.75}
            assert monitor.per_iteration == pytest.approx(parts) and monitor.iterations == i + 1
        assert monitor.largest == "other"
        told = "data 500.00 ms, forward 1500.00 ms, backward 1000.00 ms, optimizer 250.00 ms, other 1750.00 ms"
        assert str(monitor) == f"{told}; other takes most"
        assert capsys.readouterr().err == f"2 iterations: {told}; other takes most; about 250 s in all\n"
