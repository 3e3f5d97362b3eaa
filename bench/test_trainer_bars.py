"""The Trainer's bars: little overhead over a bare loop, and a good network without a learning rate set by hand."""

import statistics
import time
import warnings
from collections.abc import Callable

import machine
import numpy as np
import pytest
from speeds import Bar, judged

import fastnn
from fastnn import demo, nn, optim
from fastnn.data import load_digits
from fastnn.training import Callback, EarlyStopping, Trainer

BATCH, STEPS = 32, 16


def mlp() -> tuple[nn.Module, nn.CrossEntropyLoss, optim.AdamW]:
    """Build the linear layers and ReLUs of the demo, without dropout and norms."""
    fastnn.manual_seed(0)
    layers = nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    model = nn.Sequential(*layers)
    return model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters())


class Beside(Callback):
    """Runs `other` after every epoch of the Trainer and times both, so that a machine that slows down slows both."""

    def __init__(self, other: Callable[[], object]) -> None:
        self.other = other
        self.seconds: list[tuple[float, float]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer) -> None:
        middle = time.perf_counter()
        self.other()
        end = time.perf_counter()
        self.seconds.append((middle - self.start, end - middle))
        self.start = end  # later callbacks count towards the next epoch


def test_overhead(bar: Bar, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Time each epoch of a fit with the default callbacks against the same steps written by hand, over batches in a
    random order; take the median over these pairs."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * BATCH, 784), np.float32)
    y = rng.integers(0, 10, len(x))
    model, criterion, optimizer = mlp()

    def bare() -> None:
        for index in fastnn.random.permutation(len(x)).reshape(-1, BATCH):
            logits, backward = model(x[index])
            _, dlogits = criterion(logits, y[index])
            backward(dlogits, input_grad=False)
            optimizer.step(), optimizer.zero_grad()

    overheads = {}
    for threads in machine.THREADS:
        beside = Beside(bare)  # with the same model, since the addresses of arrays change times by a few per cent
        with machine.threads(threads):
            Trainer(model, criterion, optimizer, callbacks=[beside]).fit(
                (x, y), epochs=int(3000 * seconds), batch_size=BATCH
            )
        capsys.readouterr()
        overheads[threads] = 100 * statistics.median(ours / theirs - 1 for ours, theirs in beside.seconds)
        ours, theirs = (1e6 * statistics.median(times) / STEPS for times in zip(*beside.seconds, strict=True))
        with capsys.disabled():
            print(
                f"{threads} threads: {theirs:.0f} us a step, in the Trainer {ours:.0f}: {overheads[threads]:.2f} % more"
            )
    bar("Trainer over a bare loop, MLP, batch 32, %", max(overheads.values()), "<=", 5)


def test_an_epoch_against_the_peers(bar: Bar, seeds: int) -> None:
    """Time an epoch of 100,000 rows, 54-128-128-7, Adam, batch 128, on one thread each; take turns."""
    torch, neural = pytest.importorskip("torch"), pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100_000, 54), np.float32)
    y = (x @ rng.standard_normal((54, 7), np.float32)).argmax(axis=1)
    layers = nn.Linear(54, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 7)
    model = nn.Sequential(*layers)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    theirs = torch.nn.Sequential(*(getattr(torch.nn, type(layer).__name__)(*sizes(layer)) for layer in layers))
    optimizer, tensors = torch.optim.Adam(theirs.parameters()), (torch.from_numpy(x), torch.from_numpy(y))

    def torch_loop() -> None:
        for index in torch.randperm(len(x)).split(128):
            loss = torch.nn.functional.cross_entropy(theirs(tensors[0][index]), tensors[1][index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def sklearn_fit() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one epoch does not converge
            neural.MLPClassifier((128, 128), batch_size=128, max_iter=1).fit(x, y)

    sides: dict[str, Callable[[], object]] = {
        "fastnn": lambda: trainer.fit((x, y), epochs=1, batch_size=128, verbose=False),
        "torch": torch_loop,
        "scikit-learn": sklearn_fit,
    }
    with machine.threads(1):
        times = {name: statistics.median(found) for name, found in by_turns(sides, 2 * seeds + 1).items()}
    print("seconds an epoch: " + ", ".join(f"{name} {value:.3f}" for name, value in times.items()))
    judged(
        bar,
        ("epoch of 100,000 rows / scikit-learn's", times["fastnn"] / times["scikit-learn"], "<=", 0.4),
        ("epoch of 100,000 rows / a torch loop's", times["fastnn"] / times["torch"], "<=", 0.25),
    )


def sizes(layer: nn.Module) -> tuple[int, ...]:
    """Return the sizes of a linear layer; an activation has none."""
    return (layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else ()


def by_turns(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every call, each side in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def test_digits_without_a_rate(bar: Bar, seeds: int) -> None:
    """Train with the suggested rate, one cycle and early stopping; take the median over seeds, on unseen images."""
    (x, y), test = load_digits()
    found = []
    for seed in range(seeds):
        fastnn.manual_seed(seed)
        model = fastnn.init.initialize(demo.build_model())
        stop = EarlyStopping("val_accuracy", patience=10)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), callbacks=[stop])
        trainer.fit_one_cycle((x[:3200], y[:3200]), (x[3200:], y[3200:]), epochs=40, batch_size=64, verbose=False)
        found.append(100 * trainer.evaluate(test)["accuracy"])
    print("accuracy by seed: " + ", ".join(f"{percent:.1f} %" for percent in found))
    bar("digits, early stopping, one cycle, suggested rate, %", statistics.median(found), ">=", 94.0)
