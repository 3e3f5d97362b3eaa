"""fastnn.save and fastnn.load: every layer is the same model in another process, to the bit; what cannot is refused."""

import os
from ast import literal_eval
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
from support import python, same_bits

import fastnn
from fastnn import nn
from fastnn.checkpoint import CheckpointError
from fastnn.data import Normalize
from fastnn.random import default_generator


def test_every_layer_in_another_process(room: Path) -> None:
    """Outputs as it is, in evaluation and training, state after two steps, modes and flags are equal to the bit."""
    made = files.layers()
    public = {n for n in nn.__all__ if isinstance(k := getattr(nn, n), type) and issubclass(k, nn.Module)}
    assert made.keys() >= public - {"Module"} | {"Normalize"}
    paths, wanted = [], []
    for name, models in made.items():
        for i, model in enumerate(models):
            paths.append(room / f"{name}{i}.safetensors")
            fastnn.save(model, paths[-1])
    fastnn.manual_seed(5)
    for models in made.values():
        wanted += [files.traces(model) for model in models]
    assert literal_eval(python(files.__file__, *map(str, paths))) == wanted


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes(dtype: str, room: Path) -> None:
    """Layers have the saved dtype, whatever the default dtypes at saving and at loading are."""
    before = fastnn.get_default_dtype()
    try:
        fastnn.set_default_dtype(dtype)
        model = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), files.Block(6), Normalize(6))
        fastnn.set_default_dtype("float64" if dtype == "float32" else "float32")
        fastnn.save(model, room / "a")
        assert {p.dtype for p in fastnn.load(room / "a", files.OWN).parameters()} == {np.dtype(dtype)}
    finally:
        fastnn.set_default_dtype(before)


def test_tied(room: Path) -> None:
    """Shared parameters, buffers, layers and generators are shared again, those in nests and own layers too."""
    generator = fastnn.Generator(4)
    norm, block = nn.BatchNorm1d(6), files.Block(6)
    model = nn.Sequential(nn.Linear(6, 6), norm, nn.Linear(6, 6), nn.Dropout(0.5, generator=generator), norm,
                          nn.Dropout(0.2, generator=generator), block, block.body[0], files.Scale(6),
                          nn.BatchNorm1d(6))  # fmt: skip
    model[2].weight = model[0].weight
    model[8].scales["b"][0] = model[0].bias
    model[6].body[0].bias = model[0].bias
    model[9].running_mean = norm.running_mean
    fastnn.save(model, str(room / "a"))
    back: Any = fastnn.load(str(room / "a"), {kind.__name__: kind for kind in files.OWN})
    assert back[2].weight is back[0].weight and back[1] is back[4] and back[7] is back[6].body[0]
    assert back[8].scales["b"][0] is back[0].bias is back[6].body[0].bias and back[8].scales["a"] is not back[0].bias
    assert back[9].running_mean is back[1].running_mean and back[3].generator is back[5].generator
    assert [n for n, _ in back.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert all(same_bits(a, b) for a, b in zip(back.state_dict().values(), model.state_dict().values(), strict=True))
    numpy = pytest.importorskip("safetensors.numpy")
    stored = numpy.load_file(room / "a")
    assert "2.weight" not in stored and same_bits(stored["0.weight"], model[0].weight.data)


@pytest.mark.parametrize("is_tied", [True, False])
def test_tied_within_a_layer(is_tied: bool, room: Path) -> None:
    """What a constructor ties itself, or what is tied afterwards within a layer, stays tied."""
    model = TiedInside(10_000, is_tied)
    model.b.weight = model.a.weight
    fastnn.save(nn.Sequential(nn.ReLU(), model), room / "a")
    back: Any = fastnn.load(room / "a", [TiedInside])
    assert back[1].a.weight is back[1].b.weight and same_bits(back[1].a.weight.data, model.a.weight.data)


def test_nothing_else_changes(room: Path) -> None:
    """Saving and loading use no random numbers; the same model gives the same bytes; gradients are not kept."""

    class Draws(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(fastnn.init.normal_(np.empty(6, np.float32)))

        def __call__(self, x: Any) -> Any:
            return x * self.weight.data, lambda dy, input_grad=True: dy * self.weight.data

    model = nn.Sequential(nn.Linear(6, 6), files.Block(6), Draws())
    y, backward = model(files.X)
    backward(y)
    before = default_generator.state
    for name in ("a", "b"):
        fastnn.save(model, room / name)
    assert (room / "a").read_bytes() == (room / "b").read_bytes()
    loaded = fastnn.load(room / "a", [*files.OWN, Draws])
    assert default_generator.state == before and all(p.grad is None for p in loaded.parameters())
    assert [p.name for p in room.iterdir() if p.name.startswith(".")] == []


def test_onto_its_own_file(room: Path) -> None:
    """Saving onto the file that a model was loaded from, or whose arrays it maps, keeps the data."""
    model = nn.Sequential(nn.Linear(6, 6))
    fastnn.save(model, room / "a")
    wanted = model[0].weight.data.copy()
    fastnn.save(fastnn.load(room / "a"), room / "a")
    size = (room / "a").stat().st_size - 6 * 6 * 4 - 6 * 4
    mapped = np.memmap(room / "a", np.float32, "r", size)
    model[0].weight = nn.Parameter(np.memmap(room / "a", np.float32, "c", size)[6:].reshape(6, 6))
    model[0].bias = nn.Parameter(np.memmap(room / "a", np.float32, "c", size)[:6])
    names = ("bias", "weight")  # the order in the file
    assert all(getattr(model[0], name).data.size for name in names) and mapped.size == 42
    fastnn.save(model, room / "a")
    assert same_bits(fastnn.load(room / "a")[0].weight.data, wanted)  # type: ignore[index]


def test_odd_buffers(room: Path) -> None:
    """Buffers in Fortran order, of other bytes, empty, of booleans and small numbers are kept."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            self.f = np.asfortranarray(np.zeros((2, 3)))
            self.big = np.zeros(3, ">f4")
            self.none, self.flags, self.half = np.zeros((0, 4)), np.zeros(3, bool), np.zeros(2, np.float16)
            self.scalar, self.bytes = np.zeros(()), np.zeros(5, np.uint8)

    model = Odd()
    for i, array in enumerate(model.state_dict().values()):
        array[...] = np.arange(array.size).reshape(array.shape) + i
    fastnn.save(model, room / "a")
    back = fastnn.load(room / "a", [Odd])
    for name, array in model.state_dict().items():
        assert same_bits(array, back.state_dict()[name]), name
    assert back.f.flags.f_contiguous  # type: ignore[attr-defined]


class NoAttribute(nn.Module):
    def __init__(self, width: int) -> None:
        self._width = width


class Star(nn.Module):
    def __init__(self, *widths: int) -> None:
        self.widths = widths


class Takes(nn.Module):
    def __init__(self, what: Any) -> None:
        self.what = what


class Changes(nn.Module):
    def __init__(self, width: int = 3) -> None:
        self.width = width + 1


class Wrong(nn.Linear):
    def __init__(self, width: int) -> None:
        super().__init__(width, width)


class Linear(nn.Module):
    """A class with the name of one of the package."""


def _replaced() -> nn.Module:
    block = files.Block(6)
    block.body = nn.Sequential(nn.Linear(6, 2))
    return block


class TiedInside(nn.Module):
    """Has two layers with one weight of 40 MB, by its constructor or afterwards."""

    def __init__(self, width: int, is_tied: bool = True) -> None:
        self.width, self.is_tied = width, is_tied
        self.a, self.b = nn.Linear(1000, width), nn.Linear(1000, width)
        if is_tied:
            self.b.weight = self.a.weight


def _same_memory() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = nn.Parameter(model[0].weight.data)
    return model


def _nested() -> nn.Module:
    model: nn.Module = nn.ReLU()
    for _ in range(101):
        model = nn.Sequential(model)
    return model


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: NoAttribute(3), TypeError, r"NoAttribute: got the argument width of its constructor and no attribute "
         r"of that name, want one; write self.width = width in __init__, or define get_config"),
        (lambda: Star(3), TypeError, r"Star: got a constructor with \*widths.*define it in Star"),
        (lambda: Takes(lambda x: x), TypeError, r"Takes.what: got the function <lambda>, want numbers.*no code"),
        (lambda: Takes([{"f": np.sin}]), TypeError, r"Takes.what\[0\]\['f'\]: got the function sin, want"),
        (lambda: Takes({1, 2}), TypeError, r"Takes.what: got set, want numbers.*; define get_config"),
        (lambda: Takes(nn.ReLU), TypeError, r"Takes.what: got the function ReLU"),
        (lambda: Takes(np.ones(3)), TypeError, r"Takes.what: got ndarray, want"),
        (lambda: Changes(), ValueError, r"model: got the layer .*\"width\": 4.*\"width\": 5"),
        (lambda: Wrong(3), ValueError, r"model: it cannot be built again: .*Wrong.*unexpected keyword"),
        (lambda: Linear(), ValueError, r"Linear: got .*test_models.Linear and another class of that name"),
        (_replaced, ValueError, r"body.0.weight: got \(\(2, 6\).*, and when the model is built again .*6, 6"),
        (_same_memory, ValueError, r"Linear.weight: got the memory of another Parameter, want the same Parameter"),
        (_nested, ValueError, r"model: got modules 100 deep within each other, want fewer"),
        (lambda: nn.Sequential(*[nn.Linear(1, 1) for _ in range(5000)]), ValueError, r"model: got a description of"),
        (lambda: nn.CrossEntropyLoss(), TypeError, r"model: got CrossEntropyLoss, want a fastnn.nn.Module"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved(make: Any, error: type[Exception], sentence: str, room: Path) -> None:
    (room / "a").write_bytes(b"old")
    with pytest.raises(error, match=f"^{sentence}"):
        fastnn.save(make(), room / "a")
    assert [p.name for p in room.iterdir()] == ["a"] and (room / "a").read_bytes() == b"old"


def test_a_tie_within_a_tuple(room: Path) -> None:
    """A tied parameter in a tuple cannot be put there again, and is refused when the model is saved."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            self.pair = (nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3)))

    model = Pair()
    model.pair = (model.pair[0], model.pair[0])
    with pytest.raises(ValueError, match=r"cannot be built again: .*a tie of a member of a tuple, want it in a list"):
        fastnn.save(model, room / "a")


@pytest.mark.parametrize(
    ("layers", "error", "sentence"),
    [
        (None, CheckpointError, "'Net': got an unknown layer, want a class of your own in layers="),
        ([files.Block], CheckpointError, "'Net': got an unknown layer"),
        (files.Net, TypeError, r"layers: got the class Net, want a list of classes; write \[Net\]"),
        ([3], TypeError, "layers: got an object, int for [?], want a class derived from fastnn.nn.Module"),
        ({"Net": files.Net(2)}, TypeError, "layers: got an object, Net for Net, want a class derived"),
        ({"Net": dict}, TypeError, "layers: got the class dict for Net"),
        ([Linear], ValueError, "layers: got a class Linear, want another name"),
        ({"Net": files.Scale}, CheckpointError, "content that is not a model's"),
    ],
)
def test_own_layers(layers: Any, error: type[Exception], sentence: str, room: Path) -> None:
    fastnn.save(files.Net(3), room / "a")
    with pytest.raises(error, match=sentence):
        fastnn.load(room / "a", layers)
    renamed = type("Renamed", (files.Net,), {})
    assert type(fastnn.load(room / "a", {"Net": renamed})) is renamed


def test_a_failed_write(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails leaves the old file, and nothing else."""
    fastnn.save(nn.ReLU(), room / "a")
    before = (room / "a").read_bytes()

    def fail(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        fastnn.save(nn.Tanh(), room / "a")
    assert [p.name for p in room.iterdir()] == ["a"] and (room / "a").read_bytes() == before


class Inner(nn.Module):
    """Has layers and an attribute that its constructor takes no arguments for."""

    start: Any = None

    def __init__(self) -> None:
        self.act, self.drop, self.rows = nn.ReLU(), nn.Dropout(0.2), nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.scale, self.count, self.name = 1.0, 0, None

    def __call__(self, x: Any) -> Any:
        return self.act(x * np.float32(self.scale))


class Fixed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 6), nn.ReLU())


def test_attributes(room: Path) -> None:
    """Numbers and strings beside the options are kept, in layers of one's own and as additions to others."""
    model = nn.Sequential(Inner(), nn.Linear(6, 6))
    first: Any = model[0]
    first.scale, first.count, first.name, first.start, first._cache = np.float32(0.1), 7, "naïve", True, 3
    first.rows.note = model.note = "tag"
    fastnn.save(model, room / "a")
    back: Any = fastnn.load(room / "a", [Inner])
    assert (back[0].scale, back[0].count, back[0].name, back[0].start) == (np.float32(0.1), 7, "naïve", True)
    assert type(back[0].scale) is np.float32 and same_bits(back(files.X)[0], model(files.X)[0])
    assert back.note == back[0].rows.note == "tag" and not hasattr(back[0], "_cache")


def _changed(place: str, value: Any) -> nn.Module:
    model = Inner()
    path, _, name = place.rpartition(".")
    setattr(getattr(model, path) if path else model, name, value)
    return nn.Sequential(model)


def _replaced_in(kind: Any, index: int) -> nn.Module:
    model: Any = kind()
    (model.rows if kind is Inner else model)[index] = nn.GELU()
    return model


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: _changed("drop.p", 0.9), r"Inner.drop: got Dropout\(p=0.9.*, and when the model is built again Drop"),
        (lambda: _changed("act", nn.Tanh()), r"Inner.act: got Tanh\(\), and when the model is built again ReLU\(\), w"),
        (lambda: _changed("more", nn.Tanh()), r"Inner.more: got Tanh\(\), .* nothing\(\), want the same; let __init__"),
        (lambda: _replaced_in(Inner, 1), r"Inner.rows.1: got GELU\(.*Tanh"),
        (lambda: _replaced_in(Fixed, 1), r"Fixed.1: got GELU\(.*ReLU.*, or put the layers into an nn.Sequential$"),
    ],
)
def test_layers_that_the_constructor_would_make_otherwise(make: Any, sentence: str, room: Path) -> None:
    """A layer without parameters, or an option, that only the instance has is refused, and not lost."""
    model = make()
    with pytest.raises(ValueError, match=f"^{sentence}"):
        fastnn.save(model, room / "a")
    assert not list(room.iterdir())
    if isinstance(model, Fixed):  # the remedy
        fastnn.save(nn.Sequential(*model), room / "a")
        assert same_bits(fastnn.load(room / "a")(files.X)[0], model(files.X)[0])


def test_a_class_that_has_changed(room: Path) -> None:
    """A class that now makes other layers would be another model."""
    fastnn.save(Inner(), room / "a")
    changed = type(
        "Inner", (Inner,), {"__init__": lambda self: (Inner.__init__(self), setattr(self.drop, "p", 0.5))[0]}
    )
    with pytest.raises(CheckpointError, match=r"Inner.drop: got Dropout\(p=0.2.* built again Dropout\(p=0.5"):
        fastnn.load(room / "a", [changed])


def test_remedies_of_loading(room: Path) -> None:
    fastnn.save(nn.Sequential(Inner()), room / "a")
    with pytest.raises(CheckpointError, match=r"; call fastnn.load or Trainer.load with layers=\[Inner\]$"):
        fastnn.load(room / "a")
    other = type("Inner", (nn.Module,), {})
    with pytest.raises(ValueError, match=r"^layers: got two classes Inner, want the one of the file; leave out the ot"):
        fastnn.load(room / "a", [Inner, other])
    assert isinstance(fastnn.load(room / "a", [Inner, Inner]), nn.Sequential)
    with pytest.raises(CheckpointError, match=r"not a checkpoint's but a model's, .*load\(path\)$"):
        fastnn.checkpoint.load(room / "a")
    with pytest.raises(TypeError, match=r"^state: got Sequential, want a dict, .*; pass its state_dict\(\)$"):
        nn.Linear(6, 6).load_state_dict(nn.Sequential(nn.Linear(6, 6)))  # type: ignore[arg-type]


def test_links_and_names_of_files(room: Path) -> None:
    """A link to the file stays one; errors name the file that was asked for."""
    fastnn.save(nn.ReLU(), room / "a")
    (room / "link").symlink_to(room / "a")
    fastnn.save(nn.Tanh(), room / "link")
    assert (room / "link").is_symlink() and isinstance(fastnn.load(room / "a"), nn.Tanh)
    with pytest.raises(FileNotFoundError) as caught:
        fastnn.save(nn.Tanh(), room / "none" / "b")
    assert caught.value.filename == str(room / "none" / "b")
    (room / "dir").mkdir()
    with pytest.raises(IsADirectoryError) as caught_too:
        fastnn.save(nn.Tanh(), room / "dir")
    assert caught_too.value.filename == str(room / "dir")
