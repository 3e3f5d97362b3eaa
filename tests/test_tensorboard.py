"""TensorBoard's event files, read back record by record, hold the right values."""

import io
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Freeze, ModelCheckpoint, StopTraining, TensorBoard, Trainer
from fastnn.training.callbacks import Callback

pytest.importorskip("tensorboardX")
RNG = np.random.default_rng(0)
DATA = RNG.standard_normal((50, 16)).astype("f"), RNG.integers(0, 3, 50)


def trainer(*callbacks: Callback, **options: Any) -> Trainer:
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), callbacks=callbacks, **options)


def fit(board: Trainer, epochs: int = 2, **options: Any) -> Trainer:
    board.fit(DATA, DATA, epochs=epochs, batch_size=20, verbose=False, **options)
    return board


def read(directory: Path) -> list[Any]:
    """Return all events of a run, and assert that every checksum is right."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    events = []
    for path in sorted(directory.iterdir()):
        assert "tfevents" in path.name
        data, place = path.read_bytes(), 0
        while place < len(data):
            length, check = struct.unpack_from("<QI", data, place)
            assert masked_crc32c(data[place : place + 8]) == check
            body = data[place + 12 : place + 12 + length]
            assert struct.unpack_from("<I", data, place + 12 + length) == (masked_crc32c(body),)
            events.append(Event.FromString(body))
            place += length + 16
    return events


def values(directory: Path) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for event in read(directory):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    return found


def curve(found: dict[str, list[tuple[int, Any]]], tag: str) -> list[tuple[int, float]]:
    return [(step, value.simple_value) for step, value in found[tag]]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_curves_are_the_history(tmp_path: Path, accumulate: int) -> None:
    board = fit(trainer(TensorBoard(tmp_path, run="a"), accumulate_grad_batches=accumulate, val_check_interval=0.5))
    found, history = values(tmp_path / "a"), board.history
    per_epoch = 3 if accumulate == 1 else 2
    assert read(tmp_path / "a")[0].file_version == "brain.Event:2"
    for name in ("loss", "lr"):
        wanted = list(enumerate(np.float32(history.steps[name]).tolist(), 1))
        assert curve(found, f"step/{name}") == wanted and len(wanted) == 2 * per_epoch
    for name, measured in history.items():
        assert curve(found, f"epoch/{name}") == [
            (per_epoch, np.float32(measured[0])),
            (2 * per_epoch, np.float32(measured[1])),
        ]
    validations = zip(history.validations["step"], history.validations["val_loss"], strict=True)
    inner = [(int(step), np.float32(loss)) for step, loss in validations if step % per_epoch]
    assert curve(found, "within/val_loss") == inner and len(inner) == 2 * (per_epoch - 1)


def test_hyperparameters_come_with_the_last_record(tmp_path: Path) -> None:
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    board = fit(trainer(TensorBoard(tmp_path, run="a")))
    found = values(tmp_path / "a")
    contents = {tag: HParamsPluginData.FromString(found[f"_hparams_/{tag}"][0][1].metadata.plugin_data.content)
                for tag in ("experiment", "session_start_info", "session_end_info")}  # fmt: skip
    given = contents["session_start_info"].session_start_info.hparams
    assert given["lr"].number_value == 1e-3 and given["batch_size"].number_value == 20
    assert given["optimizer"].string_value == "AdamW" and given["betas"].string_value == "[0.9, 0.999]"
    assert "model" not in given and given["samples"].number_value == 50 and given["seed"].number_value == 0
    assert {"scheduler", "loss", "metrics", "accumulate_grad_batches", "val_check_interval"} <= set(given)
    metrics = [info.name.tag for info in contents["experiment"].experiment.metric_infos]
    assert metrics == [f"epoch/{name}" for name in board.history] and all(tag in found for tag in metrics)


def test_hyperparameters_belong_to_the_last_step(tmp_path: Path) -> None:
    """The events of the hyperparameters are at the last step, and all events have the time of their writing."""
    board = fit(trainer(TensorBoard(tmp_path, run="a")))
    assert all(abs(event.wall_time - time.time()) < 1000 for event in read(tmp_path / "a"))
    found = {tag: step for tag, ((step, _), *_) in values(tmp_path / "a").items() if tag.startswith("_hparams_/")}
    assert len(found) == 3 and set(found.values()) == {board.step}


def test_hyperparameters_of_two_groups(tmp_path: Path) -> None:
    """The first group's options have their plain names, those of the second a number."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    board = trainer(TensorBoard(tmp_path, run="a"))
    first, *others = board.model.parameters()
    board.optimizer = optim.SGD([{"params": [first], "lr": 0.5}, {"params": others}], lr=0.1)
    fit(board, epochs=1)
    (_, value), *_ = values(tmp_path / "a")["_hparams_/session_start_info"]
    given = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
    assert given["lr"].number_value == 0.5 and given["lr-1"].number_value == 0.1
    assert given["momentum"].number_value == given["momentum-1"].number_value == 0


@pytest.mark.parametrize("accumulate", [1, 2])
def test_histograms(tmp_path: Path, accumulate: int) -> None:
    """Histograms show the weights before the step, the window's gradients, and the batch's output of every layer."""
    seen: list[Any] = []

    class Watch(Callback):
        def on_backward_end(self, trainer: Trainer) -> None:
            layer = trainer.model[0]  # type: ignore[index]
            hidden = trainer.inputs @ layer.weight.data.T + layer.bias.data
            seen.append((layer.weight.data.copy(), layer.weight.grad.copy(), hidden))

    fit(trainer(Watch(), TensorBoard(tmp_path, 2, run="a"), accumulate_grad_batches=accumulate), epochs=2)
    found = values(tmp_path / "a")
    layers = {f"activations/{i}" for i in range(5)}
    named = {f"{i}.{what}" for i in (0, 1, 4) for what in ("weight", "bias")}
    tags = {tag for tag, ((_, value), *_) in found.items() if value.HasField("histo")}
    assert tags == layers | {f"{what}/{name}" for what in ("weights", "gradients") for name in named}
    due = [0, 2, 4] if accumulate == 1 else [1, 4]
    for tag, i in (("weights/0.weight", 0), ("gradients/0.weight", 1), ("activations/0", 2)):
        histograms = [(step, value.histo) for step, value in found[tag]]
        assert [step for step, _ in histograms] == ([1, 3, 5] if accumulate == 1 else [1, 3])
        for (_, histogram), at in zip(histograms, due, strict=True):
            array = seen[at][i].astype(np.float64)
            assert histogram.num == array.size == sum(histogram.bucket) and histogram.max == pytest.approx(
                array.max(), rel=1e-5
            )
            assert histogram.sum == pytest.approx(array.sum(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 3), (2, 2), (3, 1), (9, 1)])
def test_histograms_of_every_step(tmp_path: Path, accumulate: int, steps: int) -> None:
    """Histograms cover windows cut by an epoch's end, and complete gradients, in 64 bins between the extremes."""
    whole: list[Any] = []

    class Watch(Callback):
        def on_backward_end(self, trainer: Trainer) -> None:
            grad = trainer.model[0].weight.grad.astype(np.float64)  # type: ignore[index]
            if (trainer.batch + 1) % accumulate == 0 or trainer.batch == 2:
                whole.append((grad.min(), grad.max()))

    fit(trainer(Watch(), TensorBoard(tmp_path, 1, run="a"), accumulate_grad_batches=accumulate), epochs=2)
    found = values(tmp_path / "a")["gradients/0.weight"]
    assert [step for step, _ in found] == [*range(1, 2 * steps + 1)] and len(whole) == 2 * steps
    for (_, value), ends in zip(found, whole, strict=True):
        assert (value.histo.min, value.histo.max) == pytest.approx(ends, rel=1e-5)
        edges = np.array(value.histo.bucket_limit)
        assert np.diff(edges[1:-1]) == pytest.approx((ends[1] - ends[0]) / 64, rel=1e-3)


def test_not_finite_is_left_out(tmp_path: Path) -> None:
    class Break(Callback):
        def on_backward_end(self, trainer: Trainer) -> None:
            weight, bias = trainer.model[4].weight, trainer.model[4].bias  # type: ignore[index]
            grad = weight.grad.copy()
            grad[0] = np.nan
            weight.grad, bias.grad = grad, np.full_like(bias.data, np.inf)

    with np.errstate(all="ignore"):
        fit(trainer(Break(), TensorBoard(tmp_path, 100, run="a")), epochs=1)
    found = values(tmp_path / "a")
    assert found["gradients/4.weight"][0][1].histo.num == 16 and "gradients/4.bias" not in found


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_has_the_same_bits(tmp_path: Path, accumulate: int) -> None:
    pytest.importorskip("matplotlib")
    boards = [(), (TensorBoard(tmp_path, 1, (DATA[0][:3], DATA[1][:3])),)]
    with_and_without = [fit(trainer(*callbacks, accumulate_grad_batches=accumulate)) for callbacks in boards]
    states = [board.model.state_dict() for board in with_and_without]
    assert all((states[0][name] == array).all() for name, array in states[1].items())
    assert with_and_without[0].history.steps == with_and_without[1].history.steps


def test_frozen_parameters_have_no_histogram_of_gradients(tmp_path: Path) -> None:
    """Parameters without a gradient are passed over; matplotlib is not needed without pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        fit(trainer(Freeze("0"), TensorBoard(tmp_path, 1, run="a")), epochs=1)
    found = values(tmp_path / "a")
    assert "gradients/0.weight" not in found and "gradients/0.bias" not in found
    for tag in ("weights/0.weight", "gradients/1.weight", "activations/0"):
        assert [step for step, _ in found[tag]] == [1, 2, 3]


def test_predictions_are_a_picture(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    fit(trainer(TensorBoard(tmp_path, pictures=(DATA[0][:9], DATA[1][:9]), run="a")))
    found = values(tmp_path / "a")["predictions"]
    assert [step for step, _ in found] == [3, 6] and pyplot.get_fignums() == []
    picture = found[0][1].image
    pixels = image.imread(io.BytesIO(picture.encoded_image_string))
    assert picture.colorspace == 4  # RGBA
    assert pixels.shape == (picture.height, picture.width, 4) and pixels[..., :3].min() < 0.1
    assert picture.width == pytest.approx(10 / 3.6 * picture.height, abs=2)  # two rows of eight


def test_runs_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "now")
    boards = [fit(trainer(TensorBoard(tmp_path, run=run)), epochs=1) for run in ("a", None, None)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "now", "now_2"]
    fit(boards[1], epochs=1)  # a second fit continues in the run's directory
    assert len(list((tmp_path / "now").iterdir())) == 2
    assert [step for step, _ in values(tmp_path / "now")["step/loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_resumed_run_goes_on_in_its_directory(tmp_path: Path) -> None:
    """Records after the checkpoint are discarded: the log restarts at the step after it."""
    pytest.importorskip("safetensors")

    class Interrupt(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 5:
                raise KeyboardInterrupt

    def callbacks() -> list[Callback]:
        return [TensorBoard(tmp_path / "logs"), ModelCheckpoint(tmp_path / "kept")]

    interrupted = fit(trainer(*callbacks(), Interrupt()))
    assert interrupted.stopped == "KeyboardInterrupt"
    fit(trainer(*callbacks()), resume="latest")
    (directory,) = (tmp_path / "logs").iterdir()
    starts = [event.step for event in read(directory) if event.session_log.status == 1]
    assert starts == [4]
    assert [step for step, _ in values(directory)["step/loss"]] == [1, 2, 3, 4, 4, 5, 6]


@pytest.mark.parametrize("fails", ["disk", "histogram", "record"])
def test_a_failing_writer_costs_no_training(tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    board = TensorBoard(tmp_path, 1, run="a")

    class Fail(Callback):
        def on_batch_start(self, trainer: Trainer) -> None:
            if trainer.step == 2 and fails == "disk":
                assert board._file is not None
                (tmp_path / "a").rename(tmp_path / "b")
            elif trainer.step == 2:
                monkeypatch.setattr(board, f"_{fails}" if fails == "histogram" else "_crc", lambda *_: 1 / 0)

    whole = fit(trainer())
    with pytest.warns(UserWarning, match="want to write events for TensorBoard; training continues without it") as seen:
        done = fit(trainer(Fail(), board))
    assert len(seen) == 1 and (done.epoch, done.step, done.stopped) == (2, 6, None)
    assert done.history.steps == whole.history.steps
    (directory,) = tmp_path.iterdir()
    assert curve(values(directory), "step/lr")[:2] == [(1, np.float32(1e-3)), (2, np.float32(1e-3))]


def test_errors_are_raised_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    board = trainer(TensorBoard(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        fit(board)
    assert board.step == 0
    for arguments, error, sentence in (
        ({"histograms_every": 0}, ValueError, "histograms_every: got 0, want a positive integer"),
        ({"pictures": (np.ones((2, 6), "f"), np.zeros(2, int))}, ValueError, "want pictures"),
        ({"pictures": 3}, TypeError, "pictures: got int, want a tuple"),
    ):
        with pytest.raises(error, match=sentence):
            TensorBoard(tmp_path, **arguments)
    for package, given, extra in (("tensorboardX.summary", None, "tensorboard"), ("matplotlib.figure", DATA, "plot")):
        with monkeypatch.context() as patch, pytest.raises(ImportError, match=rf"pip install 'fastnn\[{extra}\]'"):
            patch.setitem(sys.modules, package, None)
            fit(trainer(TensorBoard(tmp_path / "runs", pictures=given)))
    assert not (tmp_path / "runs").exists()


def test_a_stopped_training_is_closed(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 4:
                raise StopTraining("enough")

    fit(trainer(Stop(), TensorBoard(tmp_path, run="a")))
    found = values(tmp_path / "a")
    assert len(found["step/loss"]) == 4 and len(found["_hparams_/session_end_info"]) == 1
