"""Configuration files: every mistake is reported with its key before any work; data of all kinds are accepted."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source, record, samples, weights  # noqa: F401  # fixtures
from support import same_bits

from fastnn import config, init, nn, runs, set_default_dtype
from fastnn.__main__ import main
from fastnn._options import keys
from fastnn.data import train_test_split, train_validation_test_split
from fastnn.random import default_generator, manual_seed
from fastnn.runs.config import sections
from fastnn.runs.config.data import Data
from fastnn.runs.config.network import LAYERS, Network, Short, build_model
from fastnn.runs.config.sections import callback_keys, training_keys
from fastnn.training import Trainer
from fastnn.training.fitting import Data as FitData

safetensors = pytest.importorskip("safetensors.numpy")

ROOT = Path(__file__).parents[1]

BAD = {
    "optimizer.lr: got 'fast', want a number or 'find'": ('"AdamW"', '"AdamW"\nlr = "fast"'),
    "optimizer.lr: got true, want a number or 'find'": ('"AdamW"', '"AdamW"\nlr = true'),
    "optimizer.lr: got -1.0, want a finite number >= 0": ('"AdamW"', '"AdamW"\nlr = -1.0'),
    "optimizer.lr: got nan, want a finite number >= 0": ('"AdamW"', '"AdamW"\nlr = nan'),
    "optimizer.name: got 'AdmaW', want AdamW": ("AdamW", "AdmaW"),
    "optimizer.name: got nothing, want one of SGD, AdaGrad": ('name = "AdamW"', ""),
    "optimizer.weight_deacy: got an unknown key, want weight_decay": ('"AdamW"', '"AdamW"\nweight_deacy = 0'),
    f"optimizer.name: got '{58 * 'A'}', want one of SGD, AdaGrad": ("AdamW", 58 * "A"),
    f"optimizer.name: got '{56 * 'A'}..., want one of SGD, AdaGrad": ("AdamW", 59 * "A"),
    "optimizer.betas: got [0.9], want a list of 2 numbers": ('"AdamW"', '"AdamW"\nbetas = [0.9]'),
    "optimizer.betas: got [0.9, 1.5], want two numbers in [0, 1)": ('"AdamW"', '"AdamW"\nbetas = [0.9, 1.5]'),
    "optimizer.state_dtype: got 'int4', want 'bfloat16' or 'int8'": ('"AdamW"', '"AdamW"\nstate_dtype = "int4"'),
    "optimizer.generator: got an unknown key": ('"AdamW"', '"AdamW"\ngenerator = 1'),
    "optimizer.nesterov: got true, want it only with momentum": ('"AdamW"', '"SGD"\nnesterov = true'),
    "optimizer: got 3, want a section, [optimizer]": ('[optimizer]\nname = "AdamW"', "[training.x]"),
    "scheduler.name: got 'LambdaLR', want": ("OneCycleLR", "LambdaLR"),
    "scheduler.name: got 'SequentialLR', want": ("OneCycleLR", "SequentialLR"),
    "scheduler.pct_start: got 2, want a number in [0, 1]": ('"OneCycleLR"', '"OneCycleLR"\npct_start = 2'),
    "scheduler.epochs: got an unknown key": ('"OneCycleLR"', '"OneCycleLR"\nepochs = 2'),
    "scheduler.step_size: got nothing, want an integer": ("OneCycleLR", "StepLR"),
    "scheduler.table: got {'x': 2}, want a table of numbers by step": ('"OneCycleLR"', '"ManualLR"\ntable = {x = 2}'),
    "data.source: got nothing, want a string": ('source = "SOURCE"', ""),
    "data.source: got 'no.npz', want an existing file": ("SOURCE", "no.npz"),
    "data.source: got 'digts', want 'digits'": ("SOURCE", "digts"),
    "data.source: got 'load_iris', want 'sklearn.iris'": ("SOURCE", "load_iris"),
    "data.source: got 'a.txt', want one of digits, sklearn.breast_cancer": ("SOURCE", "a.txt"),
    "data.targets: got 'price' for 'digits', want it left out": ('SOURCE"', 'digits"\ntargets = "price"'),
    "data.fractions: got [0.6, 0.2], want two or three positive numbers whose sum is 1": ("0.2, 0.2", "0.2"),
    "data.fractions: got [1.0, 0.0], want two or three positive": ("0.6, 0.2, 0.2", "1.0, 0.0"),
    "data.fractions: got [0.25, 0.25, 0.25, 0.25], want two or three": ("0.6, 0.2, 0.2", "0.25, 0.25, 0.25, 0.25"),
    "data.seed: got 18446744073709551616, want an integer in [0, 2^64)": ("[data]", f"[data]\nseed = {2**64}"),
    "data.stratify: got 1, want true or false": ("[data]", "[data]\nstratify = 1"),
    "data.seed: got -1, want an integer in [0, 2^64)": ("[data]", "[data]\nseed = -1"),
    "network.hidden: got [8, 'a'], want a list of integers": ("8, 6", '8, "a"'),
    "network.hidden[1]: got 0, want a positive integer": ("8, 6", "8, 0"),
    "network.hidden: got nothing, want a list of integers": ("hidden = [8, 6]", ""),
    "network.dropout: got 1.5, want a probability in [0, 1]": ("8, 6]", "8, 6]\ndropout = 1.5"),
    "network.activation: got 'Rellu', want ReLU": ("8, 6]", '8, 6]\nactivation = "Rellu"'),
    "network.norm: got 'Dropout', want one of BatchNorm1d": ("8, 6]", '8, 6]\nnorm = "Dropout"'),
    "network.norm: got 'BatchNorm2d', want BatchNorm1d": ("8, 6]", '8, 6]\nnorm = "BatchNorm2d"'),
    "network.init: got 'hee', want he": ("8, 6]", '8, 6]\ninit = "hee"'),
    "network.seed: got -1, want an integer in": ("8, 6]", "8, 6]\nseed = -1"),
    "network.hidden: got it beside layers, want either": ("8, 6]", '8, 6]\nlayers = [{type = "Linear"}]'),
    "network.layers: got none, want at least one": ("hidden = [8, 6]", "layers = []"),
    "network.layers[0].type: got 'Liner', want Linear": ("hidden = [8, 6]", 'layers = [{type = "Liner"}]'),
    "network.layers[0].out: got nothing, want": ("hidden = [8, 6]", 'layers = [{type="Linear"}, {type="Linear"}]'),
    "network.layers[0].out: got -3, want a positive": ("hidden = [8, 6]", 'layers = [{type="Linear", out=-3}]'),
    "network.layers[0].in_features: got an unknown": ("hidden = [8, 6]", 'layers = [{type="Linear", in_features=3}]'),
    "network.layers[0].p: got 2, want a probability": ("hidden = [8, 6]", 'layers = [{type="Dropout", p = 2}]'),
    "network.layers[0].x: got shape (2, 1), want": ("hidden = [8, 6]", 'layers = [{type="MaxPool2d",kernel_size=2}]'),
    "network.layers[1].eps: got -1.0": ("hidden = [8, 6]", 'layers = [{type="Linear"}, {type="LayerNorm", eps=-1}]'),
    "loss.label_smoothing: got 2.0, want a number in": ("[training]", "[loss]\nlabel_smoothing = 2\n[training]"),
    "loss.weight: got [1, 'a'], want a list of numbers": ("[training]", '[loss]\nweight = [1, "a"]\n[training]'),
    "loss.name: got 'CrosEntropy', want CrossEntropyLoss": ("[training]", '[loss]\nname="CrosEntropy"\n[training]'),
    "training.epochs: got 0, want a positive integer": ("epochs = 2", "epochs = 0"),
    "training.epochs: got 2.5, want an integer": ("epochs = 2", "epochs = 2.5"),
    "training.batchsize: got an unknown key, want batch_size": ("batch_size", "batchsize"),
    "training.seed: got -2, want an integer in": ("epochs = 2", "epochs = 2\nseed = -2"),
    "training.model: got an unknown key": ("epochs = 2", "epochs = 2\nmodel = 1"),
    "training.val_check_interval: got -1, want": ("epochs = 2", "epochs = 2\nval_check_interval = -1"),
    "training.gradient_clip_val: got -1, want": ("epochs = 2", "epochs = 2\ngradient_clip_val = -1"),
    "training.scheduler_interval: got 'day', want 'step' or": ("epochs = 2", 'epochs = 2\nscheduler_interval = "day"'),
    "training.metrics[0]: got 'gini', want one of": ("epochs = 2", 'epochs = 2\nmetrics = ["gini"]'),
    "training.early_stopping.mode: got 'less', want 'auto' or": ("epochs = 2", 'early_stopping.mode = "less"'),
    "training.early_stoping: got an unknown key, want early_stopping": ("epochs = 2", "early_stoping = {}"),
    "training.early_stopping: got true, want a table": ("epochs = 2", "early_stopping = true"),
    "training.early_stopping.patience: got -1, want": ("epochs = 2", "early_stopping.patience = -1"),
    "training.early_stopping.monitor: got 'val_los', want": ("epochs = 2", 'early_stopping.monitor = "val_los"'),
    "training.metrics[0]: got 'gain', want one of": (
        "epochs = 2",
        'metrics = ["gain"]\nearly_stopping.monitor = "val_loss"',
    ),
    "training.checkpoint.directory: got an unknown key": ("epochs = 2", 'checkpoint.directory = "x"'),
    "training.checkpoint.save_top_k: got '3', want an integer": ("epochs = 2", 'checkpoint.save_top_k = "3"'),
    "training.checkpoint.every_n_steps: got -3, want an integer >= 1": ("epochs = 2", "checkpoint.every_n_steps = -3"),
    "optimizer.name: got ['AdamW'], want AdamW": ('"AdamW"', '["AdamW"]'),
    "optimizer.betas: got [0.9, 'a'], want a list of 2 numbers": ('"AdamW"', '"AdamW"\nbetas = [0.9, "a"]'),
    "scheduler.table: got {'0': 'a', '1': 1}, want a table": ('"OneCycleLR"', '"ManualLR"\ntable = {0 = "a", 1 = 1}'),
    "scheduler.table: got 3, want a table of numbers by step": ('"OneCycleLR"', '"ManualLR"\ntable = 3'),
    "data.fractions: got [0.5, 0.5000000001], want two or": ("0.6, 0.2, 0.2", "0.5, 0.5000000001"),
    "network.layers[0].type: got nothing, want one of ELU": ("hidden = [8, 6]", "layers = [{}]"),
    "network.activation: got 'LayerNorm', want one of ELU": ("8, 6]", '8, 6]\nactivation = "LayerNorm"'),
    "loss.weight: got shape (1,), want (2,)": ("[training]", "[loss]\nweight = [1]\n[training]"),
    "training.epochs: got true, want an integer": ("epochs = 2", "epochs = true"),
    "training.batch_size: got 0, want a positive integer": ("batch_size = 16", "batch_size = 0"),
    "training.checkpoint: got 3, want a table": ("epochs = 2", "checkpoint = 3"),
    "training.checkpoint.monitor: got 'val_f1', want": ("epochs = 2", 'checkpoint.monitor = "val_f1"'),
    "trainig: got an unknown section, want training": ("[training]", "[trainig]"),
    "got no TOML, want it: Invalid value (at line 3": ('"SOURCE"', "SOURCE"),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_file(sentence, file, tmp_path, capsys, monkeypatch):
    """A mistake is reported in one line, before anything is loaded or made."""
    monkeypatch.setattr(Data, "load", lambda _: pytest.fail("loaded"))
    path = file(GOOD, BAD[sentence])
    if sentence.startswith("optimizer: got 3"):
        path.write_text("optimizer = 3\n" + path.read_text())
    before = default_generator.state
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "runs")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"fastnn: {path}: {sentence}") for line in lines), lines
    assert all(": got " in line and ", want " in line for line in lines)
    keys = [line.split(": ")[2] for line in lines]
    assert len(set(keys)) == len(keys), "a key has one mistake"
    assert not (tmp_path / "runs").exists() and default_generator.state == before


def test_several_mistakes_at_once(file):
    with pytest.raises(config.ConfigError) as error:
        config.read(file(GOOD, ("8, 6", "8, 0"), ('"AdamW"', '"AdamW"\nlr = -1'), ("= 16", "= -16")))
    assert [sentence.split(": ")[1] for sentence in error.value.problems] == [
        "network.hidden[1]", "optimizer.lr", "training.batch_size"]  # fmt: skip


def put(array, place, value):
    """Set the array's element to the value, and return the array."""
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": np.zeros((9, 2))}, "data.source: got ['x'] in {}, want arrays x and y"),
        ({"x": np.zeros((9, 2)), "y": np.array([None] * 9)}, "data.source: got a file {} that cannot be read (Object"),
        ({"x": np.zeros((9, 2)), "y": np.array(["a"] * 9)}, "data.source: got y of <U1 and shape (9,) in {}, want num"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8, int)}, "data.source: got 9 of x and 8 of y in {}, want as many"),
        (
            {"x": np.zeros((9, 2)), "y": np.full(9, 10**12)},
            "data.source: got label 1000000000000 among 9 samples in {}",
        ),
        ({"x": np.zeros((9, 2)), "y": np.arange(1, 10)}, "data.source: got label 9 among 9 samples in {}"),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2, int)}, "data.x: got length 2, want at least 5 samples"),
        (b"PK nothing", "data.source: got a file {} that cannot be read (no zip file)"),
        ({"x": put(np.zeros((60, 2)), (50, 1), np.nan), "y": np.zeros(60, int)}, "data.x: got nan at row 50, column 1"),
        ({"x": put(np.zeros((60, 2, 3)), (50, 1, 2), np.inf), "y": np.zeros(60, int)},
         "data.x: got inf at row 50, column 1, 2, want"),
        ({"x": put(np.zeros((60, 2)), (50, 1), 1e300), "y": np.zeros(60, int)},
         "data.x as float32: got inf at row 50, column 1, want"),
        ({"x": np.zeros((60, 2)), "y": put(np.zeros((60, 2)), (50, 0), np.nan)}, "data.y: got nan at row 50, column 0"),
    ],
)  # fmt: skip
def test_bad_data(arrays, sentence, file, source, tmp_path, capsys):
    if isinstance(arrays, bytes):
        source.write_bytes(arrays)
    else:
        np.savez(source, **arrays)
    assert main(["train", "--config", str(file()), "--out", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.startswith(f"fastnn: {sentence.format(source)}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (('"OneCycleLR"', '"OneCycleLR"\ntotal_steps = 9'), "scheduler.total_steps: got 9, want at least 10, "),
        (('"OneCycleLR"', '"OneCycleLR"\ntotal_steps = 10'), ""),
        (('"OneCycleLR"', '"warmup_cosine"\nwarmup_steps = 2\ntotal_steps = 3'), ""),
        (("[training]", "[loss]\nweight = [1, 2]\n[training]"), "loss.weight: got 2 weights, want 3, "),
        (("[training]", "[loss]\nweight = [1, 2, 3]\n[training]"), ""),
        (("[training]", "[loss]\nweight = [1, 2, 3, 4]\n[training]"), "loss.weight: got 4 weights, want 3, "),
    ],
)
def test_mismatches_with_the_data(pair, sentence, file, tmp_path, capsys):
    """120 samples of 3 classes have 72 for training: 5 steps in each of 2 epochs. A mismatch is reported early."""
    status = main(["train", "--config", str(file(GOOD, pair)), "--out", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert status == (2 if sentence else 0) and error.startswith(f"fastnn: {sentence}" if sentence else "")
    assert len(error.splitlines()) == bool(sentence) and (tmp_path / "runs").exists() != bool(sentence)


@pytest.mark.parametrize(
    ("pairs", "attributes"),
    [
        ([("epochs = 2", "epochs = 4\naccumulate_grad_batches = 2")], {"total_steps": 12, "max_lrs": [0.25]}),
        ([("epochs = 2", "epochs = 4"), ('"OneCycleLR"', '"OneCycleLR"\nmax_lr = 3')],
         {"total_steps": 20, "max_lrs": [3]}),
        ([("OneCycleLR", "CosineAnnealingLR")], {"T_max": 10, "base_lrs": [0.25]}),
        ([("OneCycleLR", "CosineAnnealingLR"), ("epochs", 'scheduler_interval = "epoch"\nepochs')], {"T_max": 2}),
        ([('"OneCycleLR"', '"CosineAnnealingLR"\nT_max = 7')], {"T_max": 7}),
    ],
)  # fmt: skip
def test_schedule_spans_the_training(pairs, attributes, file):
    """72 of the 120 samples make 5 batches of 16, and these make 3 windows of 2."""
    described = config.read(file(GOOD, *pairs))
    run = runs.Run(described)
    run.optimizer.param_groups[0]["lr"] = 0.25
    schedule = described.build_scheduler(run.optimizer, described.steps(len(run.train[0])))
    assert {name: getattr(schedule, name) for name in attributes} == attributes


def test_normalize_is_a_part_of_the_model(file, source):
    """normalize adds a layer with the statistics of the training part, which is saved with the weights."""
    run = runs.Run(config.read(file(GOOD, ("[data]", "[data]\nnormalize = true"))))
    state = run.model.state_dict()
    np.testing.assert_allclose(state["0.mean"], run.train[0].mean(axis=0), rtol=1e-5)
    assert "1.weight" in state


@pytest.mark.parametrize("kind", ["images", "safetensors", "probabilities", "two parts"])
def test_other_data(kind, file, source, tmp_path):
    x, y = samples()
    pairs = [("hidden", "seed = 1\nhidden")]
    if kind == "images":
        np.savez(source, x=np.random.default_rng(0).integers(0, 255, (120, 4, 3), np.uint8), y=y.astype(np.uint8))
    elif kind == "safetensors":
        path = tmp_path / "a.safetensors"
        safetensors.save_file({"x": x.astype(np.float32), "y": y}, path)
        pairs.append((str(source), str(path)))
    elif kind == "probabilities":
        np.savez(source, x=x, y=np.eye(3)[y])
    else:
        pairs.append(("0.6, 0.2, 0.2", "0.7, 0.3"))
    run = runs.train(file(GOOD.replace("SOURCE", str(source)), *pairs), tmp_path / "runs")
    assert weights(run)["0.weight"].shape == (8, 12 if kind == "images" else 5)
    assert weights(run)["4.weight"].shape == (3, 6)
    assert ("test_loss" in record(run)) == (kind != "two parts")


@pytest.mark.parametrize("rule", ["auto", "orthogonal"])
@pytest.mark.parametrize("seed", [None, 0, 3])
def test_initial_weights(rule, seed, file):
    """By the rule of the section and its seed, or the training's."""
    more = f'\ninit = "{rule}"' + ("" if seed is None else f"\nseed = {seed}")
    run = runs.Run(config.read(file(GOOD, ("8, 6]", "8, 6]" + more), ("epochs = 2", "epochs = 2\nseed = 5"))))
    manual_seed(5)
    sizes = [(5, 8), (8, 6), (6, 3)]
    layers = [layer for i, (n, m) in enumerate(sizes) for layer in (nn.Linear(n, m), nn.ReLU())[: 1 + (i < 2)]]
    model = nn.Sequential(*layers)
    init.initialize(model, rule, *([] if seed is None else [seed]))
    for (name, own), (_, found) in zip(model.named_parameters(), run.model.named_parameters(), strict=True):
        assert same_bits(own.data, found.data), name


def test_layers_of_a_file(file):
    """Containers are no layers of a file; layers take its float32 samples, whatever the default dtype."""
    assert {"Flatten", "Identity", "Softmax"} <= {*LAYERS} and not {"Sequential", "Residual", "ModuleList"} & {*LAYERS}
    set_default_dtype(np.float64)
    try:
        run = runs.Run(config.read(file()))
    finally:
        set_default_dtype(np.float32)
    assert {p.dtype for p in run.model.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("y", "outputs"),
    [([0, 2, 1], 3), ([0, 0, 0], 1), ([-100] * 3, 1), (np.zeros(3, np.float32), 1), (np.zeros((3, 4), np.float32), 4)],
)
def test_number_of_outputs(y, outputs, file):
    """Classes by the largest label, targets by their columns."""
    described = config.read(file())
    train = np.ones((3, 5), np.float32), np.asarray(y)
    model = build_model(described.network, described.layers, train, normalize=False)
    assert model(train[0])[0].shape == (3, outputs)


def test_a_network_without_hidden_layers(file):
    described = config.read(file(GOOD, ("hidden = [8, 6]", "hidden = []")))
    train = np.ones((3, 5), np.float32), np.arange(3)
    model = build_model(described.network, described.layers, train, normalize=False)
    assert [p.data.shape for p in model.parameters()] == [(3, 5), (3,)]


@pytest.mark.parametrize("fractions", ["0.7, 0.2, 0.1", "0.6, 0.3, 0.1", "0.1, 0.7, 0.2", "0.9, 0.1"])
def test_fractions_whose_sum_is_rounded(fractions, file):
    assert config.read(file(GOOD, ("0.6, 0.2, 0.2", fractions))).data.fractions == json.loads(f"[{fractions}]")


def test_the_last_linear_layer_may_be_followed(file):
    """Only the last Linear may leave out its size, wherever it stands; a ReLU and a norm behind it have that size."""
    layers = 'layers = [{type = "Linear", out = 8}, {type = "Linear"}, {type = "LayerNorm"}, {type = "ReLU"}]'
    described = config.read(file(GOOD, ("hidden = [8, 6]", layers)))
    train = np.ones((3, 5), np.float32), np.arange(3)
    model = build_model(described.network, described.layers, train, normalize=False)
    assert [p.data.shape for p in model.parameters()] == [(8, 5), (8,), (3, 8), (3,), (3,), (3,)]


def test_parts_of_the_digits(monkeypatch):
    """Training and test images are one set, split as the file says."""
    x, y = np.arange(80, dtype=np.float32).reshape(40, 2), np.arange(40) % 2
    monkeypatch.setattr("fastnn.runs.config.sources.load_digits", lambda: ((x[:30], y[:30]), (x[30:], y[30:])))
    drawn = []
    manual_seed(9)  # not the seed of the split
    for stratify in (False, True):
        two = Data("digits", [0.7, 0.3], stratify=stratify, seed=5).load().parts
        assert two[2] is None
        for part, wanted in zip(two[:2], train_test_split(x, y, 0.3, stratify=stratify, seed=5), strict=True):
            assert all(map(same_bits, part, wanted))
        drawn.append(two[0][0])
    assert not same_bits(*drawn)
    parts = Data("digits", [0.5, 0.3, 0.2], stratify=True, seed=4).load().parts
    want = train_validation_test_split(x, y, [0.5, 0.3, 0.2], stratify=True, seed=4)
    assert [len(labels) for _, labels in parts] == [20, 12, 8]
    assert all(same_bits(a, b) for found, own in zip(parts, want, strict=True) for a, b in zip(found, own, strict=True))
    train, validation, test = Data("digits", [0.7, 0.3]).load().parts
    assert (len(train[0]), len(validation[0]), test) == (28, 12, None)


def documented():
    """Return section -> key -> (wanted value, default) from the page's tables."""
    tables = {}
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        if heading := re.fullmatch(r"##+ `\[(.*)\]`", line):
            rows = tables.setdefault(heading[1], {})
        elif row := re.fullmatch(r"\| `(\w+)` \| (.*?) \| (.*?) \| .* \|", line):
            rows[row[1]] = (row[2], row[3])
    return tables


def existing(known, *targets):
    """Return the same for the keys that the code accepts."""
    parameters = {name: p for target in targets for name, p in inspect.signature(target).parameters.items()}
    text = lambda value: "" if value in (inspect.Parameter.empty, None) else f"`{json.dumps(value)}`"  # noqa: E731
    return {name: (key.want, text(parameters[name].default)) for name, key in known.items()}


def test_page_has_every_key():
    """The page lists every key with the values it accepts and its default."""
    page = ROOT / "docs/configuration.md"
    if not page.exists():
        pytest.skip("no sources beside the tests")
    found = documented()
    assert found["data"] == existing(keys(Data), Data)
    assert found["network"] == existing(keys(Network) | keys(Short), Network, Short)
    own = existing(training_keys(), FitData, Trainer, Trainer.fit) | {"seed": ("an integer", "`0`")}
    assert found["training"] == own
    for name, (made, known) in callback_keys().items():
        assert found[f"training.{name}"] == existing(known, made)
    named = {"optimizer": ["name", "lr"], "scheduler": ["name", *sections.FILLED], "loss": ["name"]}
    assert {name: list(found[name]) for name in named} == named
    assert set(re.findall(r"^## `\[(\w+)\]`", page.read_text(), re.M)) == set(sections.SECTIONS)
    assert (ROOT / "examples/digits.toml").read_text().split("\n\n", 1)[1].strip() in page.read_text()
