"""A Trainer takes data of any kind: trees of arrays, objects with indices, iterables; the kind changes no result."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import SequentialSampler, WeightedRandomSampler
from fastnn.data.source import Arrays
from fastnn.training import Callback, ModelCheckpoint, Trainer
from fastnn.training.batches import Batches
from fastnn.training.weighing import Weighing

RNG = np.random.default_rng(61)
N = 50
X, Y = RNG.normal(size=(N, 5)).astype(np.float32), RNG.integers(0, 3, N)


def make_trainer(model: Any = None, loss: Any = None, **options: Any) -> Trainer:
    fastnn.manual_seed(4)
    model = model or nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return Trainer(model, loss or nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2), seed=5, **options)


def fit(train: Any, validation: Any = None, trainer: Trainer | None = None, **options: Any) -> Any:
    """Return the weights after two epochs, and the history."""
    trainer = trainer or make_trainer()
    history = trainer.fit(train, validation, **({"epochs": 2, "batch_size": 8, "verbose": False} | options))
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()]), history


class Indexed:
    """Samples for an array of indices."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: Any) -> Any:
        return X[index], Y[index]


class OneByOne(Indexed):
    """Samples for one index."""

    def __getitem__(self, index: int) -> Any:
        assert isinstance(index, int)
        return X[index], Y[index]


class Taking:
    """Samples by `take`."""

    def __len__(self) -> int:
        return N

    def take(self, index: Any) -> Any:
        return X[index], Y[index]


@pytest.mark.parametrize("window", [1, 3])
def test_objects_train_as_arrays(window: int, tmp_path: Any) -> None:
    """Arrays, memory maps, objects by index or take, in any memory layout: the same bits."""
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    want, history = fit((X, Y), (X, Y), make_trainer(accumulate_grad_batches=window))
    same = [(mapped, Y), [X, Y], (np.asfortranarray(X), Y), (X.astype(">f4"), Y), (X, np.repeat(Y, 2)[::2]),
            Indexed(), OneByOne(), Taking()]  # fmt: skip
    for data in same:
        with pytest.warns(UserWarning, match="every batch is converted") if data is same[3] else _nothing():
            got, found = fit(data, data, make_trainer(accumulate_grad_batches=window))
        assert (got == want).all(), type(data)
        assert found["val_loss"] == history["val_loss"] and found["accuracy"] == history["accuracy"]


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def batches(size: int = 8) -> Any:
    for i in range(0, N, size):
        yield X[i : i + size], Y[i : i + size]


@pytest.mark.parametrize("window", [1, 3])
def test_iterables_train_as_arrays_in_order(window: int) -> None:
    """A list, a function, an object with iter: as arrays with shuffle=False; an iterator serves one epoch."""

    class Loader:
        def __iter__(self) -> Any:
            return batches()

    want, history = fit((X, Y), (X, Y), make_trainer(accumulate_grad_batches=window), shuffle=False)
    for data in (list(batches()), batches, Loader()):
        got, found = fit(data, data, make_trainer(accumulate_grad_batches=window))
        assert (got == want).all() and found.steps == history.steps
        assert found["val_accuracy"] == history["val_accuracy"]
    one, _ = fit((X, Y), epochs=1, shuffle=False)
    assert (fit(batches(), epochs=1)[0] == one).all()
    with pytest.raises(ValueError, match=r"^train: got no batches in epoch 2, .* pass a list, or a function"):
        fit(batches())
    with pytest.raises(TypeError, match=r"^validation: got an iterator, which can be read only once"):
        fit((X, Y), batches())
    with pytest.raises(ValueError, match=r"^train: got no batches, want at least one"):
        fit([])


def test_a_loader_of_torch() -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    want, _ = fit((X, Y), shuffle=False)
    assert (fit(loader)[0] == want).all() and (fit(data, shuffle=False)[0] == want).all()


def test_sample_weights_of_every_kind() -> None:
    """Weights as an argument, as a third array, and in batches are the same; balanced classes are scikit-learn's."""
    weights = RNG.random(N)
    want, _ = fit((X, Y), sample_weight=weights, shuffle=False)
    weighted = [(X[i : i + 8], Y[i : i + 8], weights[i : i + 8]) for i in range(0, N, 8)]
    for data, options in (((X, Y, weights), {}), (Indexed(), {"sample_weight": weights}), (weighted, {})):
        assert (fit(data, shuffle=False, **options)[0] == want).all()
    counts = np.bincount(Y)
    balanced = {i: N / (3 * count) for i, count in enumerate(counts)}
    assert (fit((X, Y), class_weight="balanced")[0] == fit((X, Y), class_weight=balanced)[0]).all()
    with pytest.raises(ValueError, match="class_weight: got 'even', want 'balanced'"):
        fit((X, Y), class_weight="even")
    with pytest.raises(TypeError, match="sample_weight: got it with an iterable of batches"):
        fit(batches, sample_weight=weights)


class Two(nn.Module):
    """Two inputs and two outputs, as dicts or tuples."""

    def __init__(self, keys: bool) -> None:
        self.keys, self.a, self.b = keys, nn.Linear(5, 3), nn.Linear(2, 1)

    def __call__(self, x: Any) -> Any:
        first, second = (x["a"], x["b"]) if self.keys else x
        (y, back), (z, behind) = self.a(first), self.b(second)

        def backward(dy: Any, input_grad: bool = True) -> Any:
            one, other = (dy["class"], dy["size"]) if self.keys else dy
            dx = back(one, input_grad), behind(other, input_grad)
            return dict(zip("ab", dx, strict=True)) if self.keys else dx

        return ({"class": y, "size": z} if self.keys else (y, z)), backward


@pytest.mark.parametrize("keys", [True, False])
def test_several_inputs_and_losses(keys: bool) -> None:
    """Each loss trains its own part, with its weight, as two trainers would; all parts are recorded."""
    more, sizes = RNG.normal(size=(N, 2)).astype(np.float32), RNG.normal(size=(N, 1)).astype(np.float32)
    x, y = ({"a": X, "b": more}, {"class": Y, "size": sizes}) if keys else ((X, more), (Y, sizes))
    losses: Any = (nn.CrossEntropyLoss(), nn.MSELoss())
    factors: Any = {"size": 0.25} if keys else (1.0, 0.25)
    names = ("class", "size") if keys else (0, 1)
    given = dict(zip(names, losses, strict=True)) if keys else losses
    trainer = make_trainer(Two(keys), given, loss_weights=factors, metrics={names[0]: "accuracy", names[1]: ["mae"]})
    start = [p.data.copy() for p in trainer.model.parameters()]
    _, history = fit((x, y), (x, y), trainer, shuffle=False)
    for part, key, inputs, targets, loss, factor in (
        ("a", names[0], X, Y, losses[0], 1),
        ("b", names[1], more, sizes, losses[1], 0.25),
    ):
        alone = nn.Sequential(nn.Linear(inputs.shape[1], 3 if part == "a" else 1))
        for p, value in zip(alone.parameters(), start[:2] if part == "a" else start[2:], strict=True):
            p.data[...] = value

        def scaled(o: Any, t: Any, loss: Any = loss, factor: float = factor) -> Any:
            value, gradient = loss(o, t)
            return value, gradient * np.float32(factor)

        other = Trainer(alone, scaled, optim.Adam(alone.parameters(), lr=1e-2), metrics=())
        found = other.fit((inputs, targets), epochs=2, batch_size=8, verbose=False, shuffle=False)
        assert (getattr(trainer.model, part).weight.data == alone[0].weight.data).all()
        assert history[f"{key}_loss"] == pytest.approx(found["loss"])
    assert history["loss"] == pytest.approx(
        np.array(history[f"{names[0]}_loss"]) + 0.25 * np.array(history[f"{names[1]}_loss"])
    )
    assert f"val_{names[0]}_accuracy" in history and f"{names[1]}_mae" in history
    out = trainer.predict(x)
    assert out[names[0]].shape == (N, 3) and out[names[1]].shape == (N, 1)
    with pytest.raises(ValueError, match="one output and one target for each loss"):
        fit((x, Y), trainer=trainer)


def test_transforms_depend_on_seed_epoch_and_batch_alone() -> None:
    """The numbers are the same again, differ between batches and epochs, and on resuming in mid-epoch."""

    def noise(x: Any, y: Any, generator: Any) -> Any:
        seen.append(generator.random_raw(2).tolist())
        return x + fastnn.random.normal_(np.empty(x.shape, np.float32), generator=generator), y

    seen: list[Any] = []
    want, _ = fit((X, Y), transform=noise)
    first, seen = seen, []
    assert (fit((X, Y), transform=noise)[0] == want).all() and seen == first
    assert len({tuple(numbers) for numbers in first[1:]}) == 14  # of two epochs, after the check of the first batch
    with pytest.raises(TypeError, match=r"^transform: got ndarray from it, want \(x, y\); return both"):
        fit((X, Y), transform=lambda x, y, generator: x)
    pixels = (X * 9).astype(np.uint8)
    got, _ = fit((pixels, Y), transform=lambda x, y, generator: (x.astype(np.float32), y))
    assert (got == fit((pixels.astype(np.float32), Y))[0]).all()


def test_inputs_of_an_epoch_have_memory_of_their_own() -> None:
    batches = Batches(Arrays("train", X, Y), SequentialSampler(N), 0, 8, 1, Weighing(None, lambda labels: None))
    epoch = batches.of_epoch(1)
    first = next(epoch)
    assert len(list(batches.inputs(1))) == 7
    assert (first.x == X[:8]).all() and (next(epoch).x == X[8:16]).all()


def test_orders() -> None:
    """drop_last leaves out the short batch; a weighted sampler never draws what has no weight."""
    _, history = fit((X, Y), drop_last=True, epochs=1)
    assert len(history.steps["loss"]) == 6
    weights = np.where(Y == 1, 0.0, 1.0)
    seen: list[Any] = []

    class Look(Callback):
        def on_batch_end(self, trainer: Any) -> None:
            seen.append(trainer.inputs.copy())

    for replacement, n in ((True, 200), (False, int(weights.sum()))):
        seen.clear()
        sampler = WeightedRandomSampler(weights, n, replacement)
        fit((X, Y), trainer=make_trainer(callbacks=[Look()]), sampler=sampler, epochs=1)
        rows = {row.tobytes() for row in np.concatenate(seen)}
        assert sum(map(len, seen)) == n and rows == {row.tobytes() for row in X[weights > 0]}
        assert (sampler.order(1, 2) == sampler.order(1, 2)).all() and (sampler.order(1, 2) != sampler.order(1, 3)).any()
    for bad in ([-1.0, 1.0], [np.nan], [0.0, 0.0], []):
        with pytest.raises(ValueError, match="weights: got shape"):
            WeightedRandomSampler(bad, 3)
    with pytest.raises(ValueError, match="num_samples: got 3, want at most 1"):
        WeightedRandomSampler([0.0, 1.0], 3, replacement=False)
    with pytest.raises(ValueError, match="drop_last: got True for 50 samples and batch_size = 99"):
        fit((X, Y), drop_last=True, batch_size=99)


class Stateful:
    """An iterable that continues where a state says."""

    def __init__(self) -> None:
        self.at, self.reads = 0, 0

    def __iter__(self) -> Any:
        start, self.at = self.at, 0
        for i, batch in enumerate(batches()):
            if i >= start:
                self.at, self.reads = i + 1, self.reads + 1
                yield batch
        self.at = 0

    def state_dict(self) -> Any:
        return {"at": self.at}

    def load_state_dict(self, state: Any) -> None:
        self.at = state["at"]


class Stop(Callback):
    """Ends the process's training in mid-epoch."""

    def on_batch_end(self, trainer: Any) -> None:
        if trainer.step == 10:
            raise KeyboardInterrupt


@pytest.mark.parametrize("make", [lambda: (X, Y), Indexed, Stateful, lambda: batches])
def test_resumed_in_mid_epoch(make: Any, tmp_path: Any) -> None:
    """Every kind of data goes on with the same bits; an iterable without a state is read again, and says so."""
    pytest.importorskip("safetensors")
    noise = lambda x, y, g: (x + fastnn.random.normal_(np.empty(x.shape, np.float32), generator=g), y)  # noqa: E731
    want, _ = fit(make(), transform=noise, trainer=make_trainer(), epochs=3)
    keep = [ModelCheckpoint(tmp_path, every_n_steps=1), Stop()]
    fit(make(), transform=noise, trainer=make_trainer(callbacks=keep), epochs=3)
    data, again = make(), make_trainer(callbacks=[ModelCheckpoint(tmp_path, every_n_steps=1)])
    skips = callable(data)
    with pytest.warns(UserWarning, match="2 batches are read and skipped") if skips else _nothing():
        got, _ = fit(data, transform=noise, trainer=again, resume="latest", epochs=3)
    assert (got == want).all()
