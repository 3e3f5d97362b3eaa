"""What a configuration file means: the names and values it may have, and what is read from each of them."""

import sys
from types import SimpleNamespace
from typing import TypedDict, Unpack

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source  # noqa: F401  # fixtures
from support import same_bits

from fastnn import config, nn, optim
from fastnn._options import Part, is_complete, keys, nearest
from fastnn.optim import lr_scheduler
from fastnn.random import default_generator
from fastnn.runs.config import description, network
from fastnn.runs.config.data import Data
from fastnn.runs.config.network import Short
from fastnn.training.callbacks import EarlyStopping, ModelCheckpoint

NAMES = {
    "optimizer": (
        description.OPTIMIZERS,
        optim,
        "SGD AdaGrad Adadelta Adagrad Adam AdamW Adamax Lion NAdam RAdam RMSprop",
    ),
    "scheduler": (
        description.SCHEDULERS,
        lr_scheduler,
        "ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR InverseSqrtLR InverseTimeLR "
        "LinearLR ManualLR MultiStepLR OneCycleLR PolynomialLR ReduceLROnPlateau StepLR warmup_cosine",
    ),
    "loss": (
        description.LOSSES,
        nn,
        "BCEWithLogitsLoss CrossEntropyLoss GaussianNLLLoss HuberLoss KLDivLoss L1Loss MSELoss NLLLoss SmoothL1Loss",
    ),
    "layer": (
        network.LAYERS,
        nn,
        "ELU Flatten GELU BatchNorm1d BatchNorm2d Dropout Identity LayerNorm LeakyReLU Linear LogSoftmax MaxPool2d "
        "ReLU SiLU Sigmoid Softmax Softplus Tanh",
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names(kind):
    """A file may name every class whose arguments TOML can express, and no other."""
    found, module, names = NAMES[kind]
    assert sorted(found) == sorted(names.split())
    assert all(made is getattr(module, name) for name, made in found.items())


class Extras(TypedDict, total=False):
    c: bool
    g: object


def test_what_toml_can_express():
    """A call is possible if each argument without a default is given or has a type of TOML; * and ** need nothing."""

    def takes(a: int, f: object, *rest, b: float = 1.0, **more: Unpack[Extras]) -> None:
        pass

    assert not is_complete(takes) and is_complete(takes, "f") and is_complete(takes, "f", "a")
    assert not is_complete(takes, "a") and is_complete(lambda *_, **__: None)
    assert {name: key.required for name, key in keys(takes).items()} == {"a": True, "b": False, "c": False}
    assert keys(takes, "b", "c").keys() == {"a"} and keys(takes, a=str)["a"].want == "a string"


def test_types_that_a_file_cannot_have():
    """Unions keep what TOML can express; keys of tables are numbers of steps."""

    def takes(
        one: dict[str, int] | None = None,
        two: tuple[int, str] = (1, ""),
        three: type | None = None,
        four: list[type] | int = 0,
    ) -> None:
        pass

    found = keys(takes)
    assert found.keys() == {"one", "two", "four"}
    assert (found["one"].want, found["four"].want) == ("a table", "an integer")


@pytest.mark.parametrize(
    ("name", "known", "wanted"),
    [
        ("adam", ["SGD", "Adam"], "Adam"),
        ("LR", ["lr"], "lr"),
        ("zzz", ["b", "a"], "one of b, a"),
        ("zzz", [], "none"),
        ("moment", (n for n in ("rate", "momentum")), "momentum"),
        ("zzz", (n for n in ("rate", "momentum")), "one of rate, momentum"),
    ],
)
def test_nearest(name, known, wanted):
    """The most similar name whatever its case, or all in their order."""
    assert nearest(name, known) == wanted


READ = [
    (('"AdamW"', '"AdamW"\nlr = 1\nbetas = [0.5, 0.25]'), lambda c: c.optimizer.options,
     {"lr": 1, "betas": [0.5, 0.25]}),
    (('"AdamW"', '"AdamW"\nlr = "find"\neps = 1e-3'), lambda c: (c.finds_lr, c.optimizer.options),
     (True, {"eps": 1e-3})),
    (('"AdamW"', '"AdamW"\nlr = 0.5'), lambda c: (c.finds_lr, c.optimizer.options), (False, {"lr": 0.5})),
    (('"AdamW"', '"AdamW"\nstate_dtype = "int8"'), lambda c: c.optimizer.options, {"state_dtype": "int8"}),
    (('"OneCycleLR"', '"ManualLR"\ntable = {0 = 0.5, 12 = 2}'), lambda c: c.scheduler.options,
     {"table": {0: 0.5, 12: 2}}),
    (('"OneCycleLR"', '"ManualLR"\ntable = {0 = 0.5}'), lambda c: c.scheduler.make, lr_scheduler.ManualLR),
    (('"OneCycleLR"', '"MultiStepLR"\nmilestones = [2, 4]'), lambda c: c.scheduler.options, {"milestones": [2, 4]}),
    (('"OneCycleLR"', '"OneCycleLR"\nmax_lr = [0.5]'), lambda c: c.scheduler.options, {"max_lr": [0.5]}),
    (('[scheduler]\nname = "OneCycleLR"', ""), lambda c: (c.scheduler, c.build_scheduler(None, 9)), (None, None)),
    (("[training]", "[training]"), lambda c: (c.loss.make, c.loss.options), (nn.CrossEntropyLoss, {})),
    (("[training]", '[loss]\nreduction = "sum"\nignore_index = 7\n[training]'), lambda c: c.loss.options,
     {"reduction": "sum", "ignore_index": 7}),
    (("[training]", "[training]"), lambda c: (c.trainer, c.fit), ({"seed": 0}, {"epochs": 2, "batch_size": 16})),
    (("epochs = 2\nbatch_size = 16", ""), lambda c: (c.trainer, c.fit), ({"seed": 0}, {})),
    (("epochs = 2", "seed = 4\nmetrics = []\nval_check_interval = 2"), lambda c: (c.trainer, c.fit),
     ({"seed": 4, "metrics": [], "val_check_interval": 2}, {"batch_size": 16})),
    (("epochs = 2", "detect_nan = true\naccumulate_grad_batches = 3"), lambda c: c.trainer,
     {"seed": 0, "detect_nan": True, "accumulate_grad_batches": 3}),
    (("epochs = 2", ""), lambda c: [(p.make, p.options) for p in c.callbacks], [(ModelCheckpoint, {})]),
    (("epochs = 2", "early_stopping = {}"), lambda c: [(p.make, p.options) for p in c.callbacks],
     [(EarlyStopping, {}), (ModelCheckpoint, {})]),
    (("epochs = 2", "checkpoint.save_last = 4\nearly_stopping.mode = 'max'"),
     lambda c: [(p.make, p.options) for p in c.callbacks],
     [(EarlyStopping, {"mode": "max"}), (ModelCheckpoint, {"save_last": 4})]),
    (("epochs = 2", "metrics = []\nearly_stopping.monitor = 'loss'\ncheckpoint.monitor = 'val_loss'"),
     lambda c: [p.options for p in c.callbacks], [{"monitor": "loss"}, {"monitor": "val_loss"}]),
    (("hidden = [8, 6]", 'layers = [{type = "ReLU"}]'), lambda c: c.layers, [Part("network.layers[0]", nn.ReLU, {})]),
    (("8, 6]", "8]"), lambda c: (c.network.layers, c.network.init, c.network.seed), ([], "auto", None)),
    (("8, 6]", '8]\ninit = "he"\nseed = 18446744073709551615'), lambda c: (c.network.init, c.network.seed),
     ("he", 2**64 - 1)),
    (("[data]", "[data]"), lambda c: (c.data.stratify, c.data.normalize, c.data.seed), (False, False, 0)),
    (("[data]", "[data]\nseed = 18446744073709551615\nstratify = true\nnormalize = true"),
     lambda c: (c.data.stratify, c.data.normalize, c.data.seed), (True, True, 2**64 - 1)),
    (("fractions = [0.6, 0.2, 0.2]", ""), lambda c: tuple(c.data.fractions), (0.8, 0.1, 0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("pair", "get", "wanted"), READ)
def test_what_is_read(pair, get, wanted, file):
    """Options reach their part with the values of the file, and what is left out keeps its default."""
    assert get(config.read(file(GOOD, pair))) == wanted


def test_a_weight_is_an_array(file):
    (weight,) = config.read(file(GOOD, ("[training]", "[loss]\nweight = [1, 2.5]\n[training]"))).loss.options.values()
    assert same_bits(weight, np.array([1, 2.5], np.float32))


def test_reading_keeps_text_and_generator(file):
    """The text is that of the file, and the trials draw no number from the default generator."""
    path = file(GOOD, ("8, 6]", '8, 6]\ninit = "orthogonal"\ndropout = 0.5'))
    before = default_generator.state
    assert config.read(path).text == path.read_text() and default_generator.state == before


@pytest.mark.parametrize(
    ("lines", "rows", "steps"),
    [
        ("", 64, 2),
        ("", 65, 3),
        ("epochs = 3", 1, 3),
        ("batch_size = 4\naccumulate_grad_batches = 3", 24, 2),
        ("batch_size = 4\naccumulate_grad_batches = 3\nepochs = 2", 25, 6),
        ('batch_size = 4\nepochs = 5\nscheduler_interval = "epoch"', 25, 5),
        ('batch_size = 4\nscheduler_interval = "epoch"', 25, 1),
        ('batch_size = 4\nepochs = 5\nscheduler_interval = "step"', 25, 35),
    ],
)
def test_steps_of_the_scheduler(lines, rows, steps, file):
    """One epoch and batches of 32 by default; the last batch and the last window may be smaller."""
    assert config.read(file(GOOD, ("epochs = 2\nbatch_size = 16", lines))).steps(rows) == steps


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["Linear 8", "ReLU", "Linear 6", "ReLU", "Linear"]),
        ({"activation": "Tanh", "norm": None, "dropout": 0.0}, ["Linear 8", "Tanh", "Linear 6", "Tanh", "Linear"]),
        ({"norm": "LayerNorm", "dropout": 0.25},
         ["Linear 8", "LayerNorm", "ReLU", "Dropout 0.25", "Linear 6", "LayerNorm", "ReLU", "Dropout 0.25", "Linear"]),
        ({"dropout": 1}, ["Linear 8", "ReLU", "Dropout 1", "Linear 6", "ReLU", "Dropout 1", "Linear"]),
    ],
)  # fmt: skip
def test_short_form(options, names):
    """After each hidden layer the norm, the activation and the dropout, and a Linear at the end."""
    parts = list(Short([8, 6], **options).parts())
    assert [" ".join([p.make.__name__, *map(str, p.options.values())]) for p in parts] == names


def test_layers_with_their_options(file):
    """Each layer has the options of its table, and the sizes of what comes."""
    layers = """layers = [{type = "Linear", out = 8, bias = false}, {type = "LayerNorm", eps = 0.5},
                          {type = "LeakyReLU", negative_slope = 0.25}, {type = "Dropout", p = 0.125},
                          {type = "BatchNorm1d", momentum = 0.75}, {type = "Linear"}]"""
    described = config.read(file(GOOD, ("hidden = [8, 6]", layers)))
    train = np.ones((3, 5), np.float32), np.arange(3)
    model = network.build_model(described.network, described.layers, train, normalize=False)
    first, norm, leaky, dropout, batch_norm, last = model
    assert first.weight.data.shape == (8, 5) and first.bias is None and last.weight.data.shape == (3, 8)
    assert (norm.eps, leaky.negative_slope, dropout.p, batch_norm.momentum) == (0.5, 0.25, 0.125, 0.75)
    assert [len(described.network.layers), described.network.layers[1]] == [6, {"type": "LayerNorm", "eps": 0.5}]


@pytest.mark.parametrize("error", [IndexError, TypeError, ValueError])
def test_errors_of_a_part_name_its_table(error):
    """A mistake found by a class is a mistake in the file; the table's options go before those of the program."""

    def fail(**_):
        raise error("p: got 2, want 1")

    with pytest.raises(config.ConfigError, match=r"^table\.p: got 2, want 1$") as caught:
        Part("table", fail, {}).build()
    assert caught.value.problems == ("table.p: got 2, want 1",)
    assert Part("table", SimpleNamespace, {"a": 1}).build(a=2, b=3) == SimpleNamespace(a=1, b=3)


def test_mistakes_are_told_once():
    error = config.ConfigError(sentence for sentence in ("b: got 1, want 2", "a: got 3, want 4", "b: got 1, want 2"))
    assert error.problems == ("b: got 1, want 2", "a: got 3, want 4")
    assert str(error) == "b: got 1, want 2\na: got 3, want 4" and isinstance(error, ValueError)


def test_a_file_that_is_no_utf8(file):
    path = file()
    path.write_bytes(b'[data]\nsource = "\xff"')
    with pytest.raises(config.ConfigError) as error:
        config.read(path)
    assert error.value.problems == (f"{path}: got no text (it is no UTF-8), want a file in TOML",)


def test_unknown_sections_are_sorted(file):
    text = GOOD + "".join(f"[{name}]\n" for name in "zjdxqbk")
    with pytest.raises(config.ConfigError) as error:
        config.read(file(text))
    assert [problem.split(": ")[1] for problem in error.value.problems] == sorted("zjdxqbk")
    assert all("want one of data, network, optimizer" in problem for problem in error.value.problems)


@pytest.mark.parametrize(
    ("x", "y", "labels"),
    [
        (np.arange(20.0), np.arange(20) % 2, np.int64),
        (np.arange(20, dtype=np.int8), (np.arange(20) % 2).astype(np.uint8), np.int64),
        (np.arange(120).reshape(20, 3, 2), np.arange(20) % 2 == 1, np.int64),
        (np.arange(40.0).reshape(2, 20).T, np.arange(20) / 64, np.float32),
        (np.arange(20) % 3 == 1, np.arange(40.0).reshape(20, 2), np.float32),
    ],
)
def test_arrays_of_a_file(x, y, labels, tmp_path):
    """Samples are rows of float32, labels int64, and other targets float32."""
    np.savez(tmp_path / "a.npz", x=x, y=y)
    parts = Data(str(tmp_path / "a.npz"), [0.5, 0.25, 0.25]).load().parts
    assert [len(part[0]) for part in parts] == [10, 5, 5]
    for part_x, part_y in parts:
        assert part_x.dtype == np.float32 and part_y.dtype == labels and part_x.flags.c_contiguous
        assert part_x.ndim == 2 and part_y.shape[1:] == y.shape[1:]
    wanted = {(*row, *np.ravel(t)) for row, t in zip(x.reshape(20, -1).astype("f"), y.astype(labels), strict=True)}
    assert {(*row, *np.ravel(t)) for part in parts for row, t in zip(*part, strict=True)} == wanted


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("array", [np.float64(3), np.zeros(0), np.zeros((9, 0)), np.zeros(9, complex)])
def test_arrays_that_are_no_samples(name, array, tmp_path):
    """Both arrays need numbers, at least one, and a row for each sample."""
    path = tmp_path / "a.npz"
    np.savez(path, **({"x": np.zeros((9, 2)), "y": np.zeros(9)} | {name: array}))
    array = np.asarray(array)
    with pytest.raises(ValueError, match="want numbers, a row for each sample") as error:
        Data(str(path)).load()
    assert str(error.value).startswith(f"source: got {name} of {array.dtype} and shape {array.shape} in {path}, ")


def test_labels_up_to_the_number_of_samples(tmp_path):
    """The largest label is below the number of samples; targets of float have no such limit."""
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 1)), y=np.arange(9))
    np.savez(tmp_path / "b.npz", x=np.zeros((9, 1)), y=np.arange(9.0) * 10)
    assert max(part[1].max() for part in Data(str(tmp_path / "a.npz"), [0.5, 0.5]).load().parts[:2]) == 8
    assert max(part[1].max() for part in Data(str(tmp_path / "b.npz"), [0.5, 0.5]).load().parts[:2]) == 80


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ImportError("no such package")])
def test_data_that_cannot_be_had(error, source, monkeypatch):
    """Errors of the disk and of a missing package are no mistakes of the file."""

    def fail(_):
        raise error

    monkeypatch.setitem(sys.modules["fastnn.runs.config.sources"]._READERS, ".npz", fail)
    with pytest.raises(type(error)) as caught:
        Data(str(source)).load()
    assert caught.value is error
