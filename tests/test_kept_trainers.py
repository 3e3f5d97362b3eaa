"""Trainer.save and Trainer.load, normalisation and names of classes within a Trainer."""

import json
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
from support import python, same_bits

import fastnn
from fastnn import nn, optim
from fastnn.checkpoint import CheckpointError
from fastnn.data import Normalize
from fastnn.training import ModelCheckpoint, Trainer

RNG = np.random.default_rng(0)
X = RNG.normal([5, 1000, -3], [1, 300, 0.1], (90, 3)).astype(np.float32)
Y = (X[:, 0] > 5).astype(np.int64) + (X[:, 1] > 1100)
NAMES = ["low", "middle", "high"]
QUIET: dict[str, Any] = {"verbose": False}


def trainer(loss: Any = None, outputs: int = 3, **options: Any) -> Trainer:
    """Return a trainer of a small network."""
    fastnn.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, outputs))
    optimizer = optim.AdamW(model.parameters(), lr=0.01, betas=(0.8, 0.9))
    given = {"normalize": Normalize(3), "classes": NAMES, "seed": 3, **options}
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, **given)


def test_normalize_is_the_layer_before_the_model() -> None:
    """Training, evaluation and predictions have the bits of a model that begins with the layer."""
    ours, plain = trainer(), trainer(normalize=None, classes=None)
    net = nn.Sequential(Normalize(3).fit(X), plain.model)
    theirs = Trainer(net, nn.CrossEntropyLoss(), plain.optimizer, seed=3)
    for each in (ours, theirs):
        fastnn.manual_seed(2)
        each.fit((X, Y), (X, Y), epochs=3, **QUIET)
    assert same_bits(ours.history["val_loss"], theirs.history["val_loss"])
    assert same_bits(ours.predict(X), theirs.predict(X)) and ours.evaluate((X, Y)) == theirs.evaluate((X, Y))
    assert same_bits(ours.predict_proba(X), theirs.predict_proba(X))


def test_statistics() -> None:
    """The first fit sets the statistics, a later one and lr_find do not; the argument is not changed."""
    own = Normalize(3)
    made = trainer(normalize=own)
    with pytest.raises(RuntimeError, match=r"mean, std: got none so far, .*; call fit\(x\) first"):
        made.predict(X)
    made.lr_find((X, Y), num_it=3)
    assert made.normalize is not None and not made.normalize.std.any()
    made.fit((X[:60], Y[:60]), **QUIET)
    wanted = Normalize(3).fit(X[:60])
    made.fit((X, Y), **QUIET)
    assert same_bits(made.normalize.mean, wanted.mean) and same_bits(made.normalize.std, wanted.std)
    assert not own.std.any()
    integers = (X * 100).astype(np.int32)
    made = trainer()
    made.fit((integers, Y), **QUIET)
    assert same_bits(made.normalize.mean, Normalize(3).fit(integers.astype(np.float32)).mean)  # type: ignore[union-attr]


def test_refused_data_set_no_statistics() -> None:
    """A fit that is refused before its first step leaves the Trainer without statistics."""

    class Fails(fastnn.training.Callback):
        def on_fit_start(self, trainer: Any) -> None:
            raise ValueError("no")

    made = trainer(callbacks=[Fails()])
    for data, sentence in (((X, Y + 9), "label"), ((X, Y), "no")):
        with pytest.raises((ValueError, IndexError), match=sentence):
            made.fit(data, **QUIET)
        assert made.normalize is not None and not made.normalize.std.any()


def test_resume(tmp_path: Path) -> None:
    """A checkpoint has the statistics: a resumed training ends with the same bits, and without them it is refused."""
    pytest.importorskip("safetensors")
    whole = trainer()
    whole.fit((X, Y), epochs=4, **QUIET)
    first = trainer(callbacks=[ModelCheckpoint(tmp_path)])
    first.fit((X, Y), epochs=2, **QUIET)
    again = trainer(callbacks=[ModelCheckpoint(tmp_path)])
    again.fit((X, Y), epochs=4, resume="latest", **QUIET)
    assert same_bits(again.predict(X), whole.predict(X))
    with pytest.raises(ValueError, match=r"^model: got "):
        trainer(normalize=None, callbacks=[ModelCheckpoint(tmp_path)]).fit((X, Y), resume="latest", **QUIET)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"normalize": Normalize}, TypeError, r"normalize: got the class Normalize, want a fastnn.data.Normalize"),
        ({"normalize": nn.BatchNorm1d(3)}, TypeError, "normalize: got BatchNorm1d, want"),
        ({"normalize": Normalize(3, dtype="float64")}, ValueError, "normalize: got statistics of float64 "
         r"for a model of float32, want the same; pass dtype=np.float32 to Normalize"),
        ({"classes": "abc"}, TypeError, "classes: got str, want a list of names"),
        ({"classes": [0, 1, 2]}, TypeError, r"classes: got the name 0, want strings; \[str\(name\)"),
        ({"classes": ["a"]}, ValueError, r"classes: got \['a'\], want at least two different names"),
        ({"classes": ["a", "a", "b"]}, ValueError, "classes: got .*, want at least two different"),
    ],
)  # fmt: skip
def test_arguments(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}"):
        trainer(**options)


def test_data_that_cannot_be_normalised() -> None:
    """Batches of an iterable cannot be fitted to; with statistics they can be trained on. Several inputs cannot."""
    batches = [(X[:45], Y[:45]), (X[45:], Y[45:])]
    with pytest.raises(ValueError, match="normalize: got one without statistics, and training data that is not"):
        trainer().fit(batches, **QUIET)
    trainer(normalize=Normalize(3).fit(X)).fit(batches, **QUIET)
    with pytest.raises(TypeError, match="normalize: got several inputs, want one array"):
        trainer(normalize=Normalize(3).fit(X)).predict((X, X))


def test_classes() -> None:
    """predict_classes returns names, or labels; the number of names is compared with the model's outputs."""
    made = trainer()
    made.fit((X, Y), epochs=20, **QUIET)
    labels = made.predict(X).argmax(axis=1)
    assert (labels == Y).mean() > 0.8
    assert made.predict_classes(X).tolist() == [NAMES[i] for i in labels]
    made.classes = None
    assert made.predict_classes(X).tolist() == labels.tolist()
    binary = trainer(nn.BCEWithLogitsLoss(), 1, classes=["no", "yes"])
    binary.fit((X, (Y > 0).astype(np.float32)[:, None]), epochs=2, **QUIET)
    wanted = np.where(binary.predict(X)[:, 0] > 0, "yes", "no")
    assert binary.predict_classes(X).tolist() == wanted.tolist()
    with pytest.raises(ValueError, match=r"classes: got 2 names for a model that tells 3 apart, want as many"):
        trainer(classes=["a", "b"]).fit((X, Y), **QUIET)
    with pytest.raises(ValueError, match=r"classes: got names for a loss for a regression"):
        trainer(nn.MSELoss(), 1).fit((X, X[:, :1]), **QUIET)
    with pytest.raises(ValueError, match=r"predict_classes: got outputs of shape \(90, 1\) and a loss for regression"):
        trainer(nn.MSELoss(), 1, classes=None, normalize=None).predict_classes(X)
    with pytest.raises(ValueError, match=r"predict_classes: got NaN from the model for row 4, want numbers; look"):
        made.predict_classes(np.where(np.arange(90)[:, None] == 4, np.float32(np.nan), X))


PROGRAM = """
import sys
import numpy as np
from fastnn.training import Trainer
made = Trainer.load(sys.argv[1])
x, y = np.load(sys.argv[2]), np.load(sys.argv[3])
print(made.predict(x).tobytes().hex(), made.predict_classes(x[:3]).tolist(), made.evaluate((x, y)))
made.fit((x, y), verbose=False)
print(made.predict(x).tobytes().hex())
"""


def test_in_another_process(room: Path) -> None:
    """A loaded Trainer predicts and evaluates with the same bits, and trains further from there."""
    made = trainer(nn.CrossEntropyLoss(np.array([1, 2, 0.5], np.float32), label_smoothing=0.1),
                   metrics=["accuracy", "f1_macro"], gradient_clip_val=1.0)  # fmt: skip
    made.fit((X, Y), epochs=2, **QUIET)
    made.save(room / "a")
    np.save(room / "x.npy", X)
    np.save(room / "y.npy", Y)
    lines = python("-c", PROGRAM, str(room / "a"), str(room / "x.npy"), str(room / "y.npy")).splitlines()
    told = [made.predict(X).tobytes().hex(), made.predict_classes(X[:3]).tolist(), made.evaluate((X, Y))]
    assert lines[0] == " ".join(map(str, told)) and len(lines) == 2
    back = Trainer.load(room / "a")
    assert back.loss.weight.dtype == np.float32 and back.metrics.keys() == {"accuracy", "f1_macro"}
    group = back.optimizer.param_groups[0]
    assert (type(back.optimizer), group["lr"], tuple(group["betas"])) == (optim.AdamW, 0.01, (0.8, 0.9))
    assert back.clipping.limit == 1.0 and back.seed == 3 and back.classes == tuple(NAMES)


def test_load_gives_the_model_with_its_normalisation(room: Path) -> None:
    """fastnn.load returns a model that takes the data as it is."""
    made = trainer()
    made.fit((X, Y), **QUIET)
    made.save(str(room / "a"))
    assert same_bits(fastnn.load(room / "a").eval()(X)[0], made.predict(X))


def test_the_rate_from_before_a_schedule(room: Path) -> None:
    """The optimizer's groups are kept with their rates from before the schedule, which ends near 0."""
    model = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 3))
    optimizer = optim.SGD([{"params": model[1].parameters(), "lr": 0.5}, {"params": model[0].parameters()}], lr=0.1,
                          momentum=0.9, clip_grad_norm=2.0)  # fmt: skip
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    made = Trainer(model, nn.CrossEntropyLoss(), optimizer, schedule)
    made.fit((X, Y), epochs=1, **QUIET)
    made.save(room / "a")
    back: Any = Trainer.load(room / "a")
    assert [(g["lr"], g["momentum"], len(g["params"])) for g in back.optimizer.param_groups] == [
        (0.5, 0.9, 2),
        (0.1, 0.9, 2),
    ]
    assert back.optimizer.param_groups[0]["params"][0] is back.model[1].weight and back.optimizer.clip_grad_norm == 2.0


def test_several_losses(room: Path) -> None:
    """Losses in a dict or a tuple are kept with their weights."""

    class Two(nn.Module):
        def __init__(self) -> None:
            self.line = nn.Linear(3, 3)

        def __call__(self, x: Any) -> Any:
            y, backward = self.line(x)
            return (y, y), lambda dy, input_grad=True: backward(dy[0] + dy[1], input_grad)

    model = Two()
    losses = nn.CrossEntropyLoss(), nn.MSELoss("sum")
    made = Trainer(model, losses, optim.SGD(model.parameters()), loss_weights=(1.0, 0.25), metrics=None)
    made.save(room / "a")
    back = Trainer.load(room / "a", [Two])
    data = X, (Y, X)
    assert back.evaluate(data) == made.evaluate(data) and isinstance(back.loss, tuple)


def own_loss(outputs: Any, targets: Any) -> Any:
    """Return a loss that no file can name."""
    return nn.CrossEntropyLoss()(outputs, targets)


class Plain:
    """An optimizer that no file can name."""

    def __init__(self, parameters: Any) -> None:
        self.param_groups = [{"params": list(parameters)}]

    def step(self) -> None: ...

    zero_grad = step


def test_what_is_not_known_by_name(room: Path) -> None:
    """An own loss, optimizer or metric is asked for, and taken as an argument."""
    model = nn.Sequential(nn.Linear(3, 3))
    Trainer(model, own_loss, Plain(model.parameters()), metrics=[own_loss]).save(room / "a")
    given: dict[str, Any] = {"loss": own_loss, "optimizer": Plain, "metrics": None}
    for name in given:
        others = {key: value for key, value in given.items() if key != name}
        with pytest.raises(ValueError, match=f"^{name}: got .* in the file, .* want it here; pass {name}="):
            Trainer.load(room / "a", **others)
    back = Trainer.load(room / "a", **given, seed=9)
    assert isinstance(back.optimizer, Plain) and back.seed == 9


def parts(**changes: Any) -> Any:
    return lambda state: state["trainer"].update(changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (parts(more=1), "got the parts"),
        (parts(classes=["a", 1, "b"]), "classes: got the name 1"),
        (parts(classes=5), "classes: got int"),
        (parts(loss={"name": "Module", "options": {}}), "loss: got 'Module', want one of fastnn.nn"),
        (parts(loss={"name": "MSELoss", "options": {"reduction": "none"}}), "reduction: got 'none'"),
        (parts(loss={"name": "MSELoss", "options": {"reductoin": "sum"}}), "loss.reductoin: got an unknown key"),
        (parts(loss={"name": "MSELoss", "options": {"reduction": {"layer": [0, ""]}}}), "in a loss"),
        (parts(loss=3), "content that is not a Trainer's"),
        (parts(optimizer={"name": "os", "groups": [], "extras": {}}), "optimizer: got 'os', want one of fastnn.optim"),
        (lambda state: state["trainer"]["optimizer"]["groups"][0].update(lr=-1), "lr: got -1"),
        (
            lambda state: state["trainer"]["optimizer"]["groups"][0].update(params=[99]),
            "content that is not a Trainer's",
        ),
        (lambda state: state["trainer"]["optimizer"]["extras"].update(state_dtype="int3"), "state_dtype: got 'int3'"),
        (parts(metrics={"names": ["accuracyy"]}), "accuracyy"),
        (parts(options={"device": "gpu"}), "content that is not a Trainer's"),
        (parts(options={"accumulate_grad_batches": 0}), "accumulate_grad_batches: got 0"),
        (lambda state: state["model"].update(layers=state["model"]["layers"][:0]), "layers: got none"),
    ],
)
def test_forged(change: Any, sentence: str, room: Path) -> None:
    trainer().save(room / "a")
    files.forged(room / "a", change)
    with pytest.raises(CheckpointError, match=sentence):
        Trainer.load(room / "a")


def test_a_model_that_does_not_begin_with_a_normalisation(room: Path) -> None:
    trainer(normalize=None).save(room / "a")
    files.forged(room / "a", parts(normalize=True))
    with pytest.raises(CheckpointError, match="normalize: got a model that does not begin with one"):
        Trainer.load(room / "a")


def test_a_model_without_a_trainer(room: Path) -> None:
    fastnn.save(nn.ReLU(), room / "a")
    with pytest.raises(CheckpointError, match=r"a model without a Trainer, want .*; load it with fastnn.load\(path\)"):
        Trainer.load(room / "a")


def test_the_text_is_plain(room: Path) -> None:
    """The file's description is JSON of names and numbers."""
    trainer().save(room / "a")
    head, _ = files.files.parts((room / "a").read_bytes())
    told = json.loads(head["__metadata__"]["model"])["trainer"]
    assert told["loss"]["name"] == "CrossEntropyLoss" and told["classes"] == NAMES and told["normalize"] is True
