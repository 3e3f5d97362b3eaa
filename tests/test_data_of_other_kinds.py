"""Data as users of other libraries have it: it works, or the error says what to write, and that works."""

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.training import Trainer

X = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def trainer(loss: Any = None, outputs: int = 3, **options: Any) -> Trainer:
    """Return a trainer of one layer."""
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, outputs))
    return Trainer(model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), **options)


def fit(data: Any, **options: Any) -> Any:
    return trainer().fit(data, verbose=False, **options)["loss"]


class Items:
    """A data set of single samples."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        return self.items[int(i)]


def test_one_hot_rows_of_any_float():
    rows = np.eye(3)[Y]
    losses = [fit((X, rows.astype(dtype)), epochs=2) for dtype in (np.float32, np.float64, np.float16, ">f8")]
    assert losses[0] == losses[1] == losses[2] == losses[3]
    np.testing.assert_allclose(losses[0], fit((X, Y), epochs=2), rtol=1e-6)
    direct = nn.CrossEntropyLoss()(X[:, :3].copy(), rows)[0]
    assert direct == nn.CrossEntropyLoss()(X[:, :3].copy(), rows.astype(np.float32))[0]
    weighted = [fit((X, rows.astype(d)), sample_weight=np.arange(32)) for d in (np.float32, np.float64)]
    assert weighted[0] == weighted[1]


TARGETS: tuple[tuple[Any, int, Any, str, str], ...] = (
    (nn.CrossEntropyLoss(), 3, np.eye(3)[Y] > 0, "got bool, .* for one-hot rows pass ", "y.argmax(axis=-1)"),
    (nn.CrossEntropyLoss(), 2, np.where(Y > 0, 1, -1), "got label -1 .* for two classes, -1 and 1, pass ",
     "(y == 1).astype(np.int64)"),
    (nn.CrossEntropyLoss(), 3, (np.eye(3)[Y] - 0.5), r"got -0\.5 at \(0, 0\), want probabilities in \[0, 1\]", ""),
    (nn.CrossEntropyLoss(), 3, np.eye(3)[Y] * 2, r"got 2\.0 at .*, want probabilities in \[0, 1\]", ""),
    (nn.CrossEntropyLoss(), 3, Y.astype(object), "got object, .*number classes with ",
     "np.unique(y, return_inverse=True)[1]"),
    (nn.MSELoss(), 4, X.astype(object), "got object, .*convert numbers with ", "y.astype(np.float32)"),
    (nn.MSELoss(), 4, X.astype(str), "got <U32, .*convert numbers with ", "y.astype(np.float32)"),
)  # fmt: skip


@pytest.mark.parametrize(("loss", "outputs", "y", "sentence", "code"), TARGETS)
def test_targets(loss, outputs, y, sentence, code):
    some = trainer(loss, outputs)
    with pytest.raises((TypeError, ValueError, IndexError), match=f"^train y: {sentence}") as caught:
        some.fit((X, y), verbose=False)
    if code:
        assert code.removeprefix("y") in str(caught.value)
        some.fit((X, eval(code, {"np": np, "y": y})), verbose=False)


def test_as_many_weights_as_outputs():
    with pytest.raises(ValueError, match=r"^weight: got shape \(2,\), want \(3,\), one for each class"):
        trainer(nn.CrossEntropyLoss(weight=[1, 2])).fit((X, Y), verbose=False)
    with pytest.raises(ValueError, match=r"^weight: got shape \(4,\), want \(3,\)"):
        trainer(nn.CrossEntropyLoss(weight=[1, 2, 3, 4])).fit((X, Y), verbose=False)


def test_class_weights():
    for given, sentence in (
        ({0: None}, "got None, want a real number"),
        ({0: "x"}, "got 'x', want a real number"),
        ({7: 1.0, "a": 2.0}, r"got weights of \[.*\], want labels that occur in y"),
        (["a", "b", "c"], "got list of <U1, want 'balanced', a mapping"),
        (True, "got bool of bool, want 'balanced'"),
        ({0: np.nan}, "got nan, want a finite number >= 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^class_weight: {sentence}"):
            fit((X, Y), class_weight=given)
    with pytest.raises(ValueError, match=r"^class_weight: got 0\.5, want integers, the labels, as keys"):
        fit([(X, Y)], class_weight={0.5: 2.0})
    assert fit((X, Y), class_weight={0.0: 1, np.int8(1): 2, 2: 3}) == fit((X, Y), class_weight=[1, 2, 3])


def test_samples_in_the_place_of_batches():
    pairs = list(zip(X, Y, strict=True))
    for make in (lambda: pairs, lambda: zip(X, Y, strict=True), lambda: iter(pairs)):
        with pytest.raises(TypeError, match=r"^train: got single samples, .*write x, y = map\(np\.array, zip\(\*samp"):
            fit(make())
        x, y = map(np.array, zip(*make(), strict=True))
        assert fit((x, y)) == fit((X, Y))


def test_items_of_data_sets():
    good = [[x, y] for x, y in zip(X, Y, strict=True)]
    assert fit(Items(good)) == fit((X, Y))  # lists, as well as tuples
    ragged = [(x[: 4 - i % 2], y) for i, (x, y) in enumerate(zip(X, Y, strict=True))]
    for items, error, sentence in (
        ([None] * 32, TypeError, "got a sample of NoneType, want"),
        (X, TypeError, "got a sample of ndarray, want"),
        ([(x,) for x in X], TypeError, "got a sample of a tuple of 1, want"),
        ([{"image": x, "label": y} for x, y in good], TypeError, r".*give \(data\['image'\], data\['label'\]\)"),
        ([{"label": y, "image": x} for x, y in good], TypeError, r".*give \(data\['image'\], data\['label'\]\)"),
        (ragged, ValueError, r"got samples of the shapes \(4,\) and \(3,\) in one batch, want one shape; pad"),
    ):
        with pytest.raises(error, match=f"^train: {sentence}"):
            fit(Items(items))


def test_mappings_and_batches(tmp_path):
    np.savez(tmp_path / "data.npz", y=Y, x=X)
    with np.load(tmp_path / "data.npz") as data:
        with pytest.raises(TypeError, match=r"^train: got NpzFile, want .*pass \(data\['x'\], data\['y'\]\)"):
            fit(data)
        assert fit((data["x"], data["y"])) == fit((X, Y))
    for batch, sentence in (
        (None, "got a batch of NoneType"),
        ([X], "got a batch of a list of 1"),
        ({"x": X, "y": Y}, r"got a batch of dict, .*let it give \(data\['x'\], data\['y'\]\)"),
    ):
        with pytest.raises(TypeError, match=f"^train: {sentence}"):
            fit(lambda batch=batch: iter([batch]))
    with pytest.raises(TypeError, match=r"^drop_last: got True for an iterable of batches, want it for arrays"):
        fit([(X, Y), (X[:3], Y[:3])], drop_last=True)


def test_inputs_that_are_no_arrays(tmp_path):
    some = trainer()
    for x, sentence in (
        (None, "got NoneType, want an array; pass the array"),
        ("x.npy", r"got str, want an array; read the file first, such as with np\.load"),
        (tmp_path, r"got PosixPath, want an array; read the file first"),
        (X.astype(complex), r"got complex64, .*|got complex128, .*np\.concatenate\(\[x\.real, x\.imag\], axis=-1\)"),
        ((x for x in X), r"got generator, .*np\.concatenate\(\[batch\[0\] for batch in it\]\)"),
        (Items(list(zip(X, Y, strict=True))), r"got Items, .*np\.stack\(\[sample\[0\] for sample in it\]\)"),
        (X.tolist(), r"got list, want an array; convert it with np\.array"),
    ):
        with pytest.raises(TypeError, match=f"^x: {sentence}"):
            some.predict(x)
    with pytest.raises(TypeError, match=r"^data: got x and y as two arguments, .*write evaluate\(\(x, y\)\)"):
        some.evaluate(X, Y)


def test_arguments_of_keras():
    for name, remedy in (
        ("validation_data", r"pass validation=\(x, y\)"),
        ("validation_split", "cut with fastnn.data"),
    ):
        with pytest.raises(TypeError, match=f"^{name}: got an unknown argument, .*; {remedy}"):
            fit((X, Y), **{name: 0.2})


def test_tensors_and_loaders_of_torch():
    torch = pytest.importorskip("torch")
    x, y, some = torch.tensor(X), torch.tensor(Y), trainer()
    for tensor, remedy in (
        (x.bfloat16(), ".float()"),
        (x.to_sparse(), ".to_dense()"),
        (x.to("meta"), "make it with values"),
    ):
        with pytest.raises(
            TypeError, match=r"^train x: got a tensor of torch\..*, want one that NumPy can read"
        ) as caught:
            some.fit((tensor, y), verbose=False)
        assert str(caught.value).endswith(remedy)
    assert fit((x.bfloat16().float(), y)) and fit((x.to_sparse().to_dense(), y)) == fit((X, Y))
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, 8)
    for given, arrays in (
        (loader, lambda it: np.concatenate([batch[0] for batch in it])),
        (data, lambda it: np.stack([sample[0] for sample in it])),
    ):
        with pytest.raises(TypeError, match=r"^x: got .*, want an array; pass the arrays of its "):
            some.predict(given)
        assert (some.predict(arrays(given)) == some.predict(X)).all()

    class Streamed(torch.utils.data.IterableDataset):
        def __iter__(self):
            return zip(X, Y, strict=True)

    streamed = torch.utils.data.DataLoader(Streamed(), 8)  # has a __len__ that raises TypeError
    assert fit(streamed, epochs=2) == fit(loader, epochs=2)
    assert some.evaluate(streamed) == some.evaluate(loader)
    with pytest.raises(TypeError, match=r"^train: got single samples"):
        fit(Streamed())
