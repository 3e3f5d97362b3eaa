"""Every single mistake of a file is one line, and all of them together are all lines: none hides or causes another."""

import itertools
import random
import re

import pytest
from config_files import GOOD, a_file, a_source  # noqa: F401  # fixtures

from fastnn import config

LONG = ("hidden = [8, 6]", 'layers = [{type = "Linear", out = 8}, {type = "Dropout", p = 0.5}, {type = "Linear"}]')

# Section -> lines that are wrong on their own, with the key that the sentence is about.
MISTAKES = {
    "data": {
        "data.stratify": "stratify = 1",
        "data.seed": "seed = -1",
        "data.normalize": 'normalize = "yes"',
        "data.targets": "targets = 1.5",
        "data.sample_weight": "sample_weight = []",
        "data.shufle": "shufle = true",
    },
    "network": {
        "network.activation": 'activation = "hardswish"',
        "network.norm": 'norm = "GroupNorm"',
        "network.dropout": "dropout = 2",
        "network.init": 'init = "random"',
        "network.seed": "seed = -3",
        "network.units": "units = [3]",
    },
    "optimizer": {
        "optimizer.lr": "lr = -1",
        "optimizer.betas": "betas = [0.5, 1.5]",
        "optimizer.eps": "eps = -1e-8",
        "optimizer.weight_decay": 'weight_decay = "0.1"',
        "optimizer.learning_rate": "learning_rate = 0.1",
        "optimizer.amsgrad": 'amsgrad = "no"',
        "optimizer.state_dtype": 'state_dtype = "int4"',
    },
    "scheduler": {
        "scheduler.pct_start": "pct_start = 2",
        "scheduler.div_factor": "div_factor = -1",
        "scheduler.anneal_strategy": 'anneal_strategy = "none"',
        "scheduler.gama": "gama = 2",
        "scheduler.final_div_factor": "final_div_factor = 0",
    },
    "loss": {
        "loss.label_smoothing": "label_smoothing = 2",
        "loss.ignore_index": "ignore_index = 1.5",
        "loss.reduction": 'reduction = "none"',
        "loss.weight": "weight = [1, -1]",
        "loss.wieght": "wieght = [1]",
    },
    "training": {
        "training.epochs": "epochs = 0",
        "training.batch_size": "batch_size = -16",
        "training.max_steps": "max_steps = 0",
        "training.max_time": "max_time = -1.0",
        "training.validation_batch_size": "validation_batch_size = 0",
        "training.class_weight": "class_weight = [1, -1]",
        "training.shuffle": 'shuffle = "no"',
        "training.drop_last": "drop_last = 1",
        "training.verbose": 'verbose = "loud"',
        "training.metrics[1]": 'metrics = ["f1", "gain"]',
        "training.monitor": 'monitor = "val_loss"',
        "training.gradient_clip_val": "gradient_clip_val = -1",
        "training.gradient_clip_algorithm": 'gradient_clip_algorithm = "max"',
        "training.accumulate_grad_batches": "accumulate_grad_batches = 0",
        "training.val_check_interval": "val_check_interval = 1.5",
        "training.scheduler_interval": 'scheduler_interval = "day"',
        "training.detect_nan": "detect_nan = 1",
        "training.seed": "seed = -1",
        "training.early_stopping.patience": "early_stopping.patience = -1",
        "training.early_stopping.monitor": 'early_stopping.monitor = "val_gain"',
        "training.early_stopping.mode": 'early_stopping.mode = "less"',
        "training.early_stopping.min_delta": "early_stopping.min_delta = -1",
        "training.checkpoint.save_last": "checkpoint.save_last = 0",
        "training.checkpoint.directory": 'checkpoint.directory = "x"',
    },
}
ALL = [(section, key) for section, lines in MISTAKES.items() for key in lines]


def with_mistakes(chosen):
    """Return the good file with these lines instead of its own of the same keys."""
    text = GOOD.replace("[training]", "[loss]\n[training]")
    for section, key in chosen:
        line = MISTAKES[section][key]
        name = re.split("[ .]", line)[0]
        text = re.sub(rf"(?m)^{name} = .*\n", "", text) if name in ("epochs", "batch_size") else text
        text = text.replace(f"[{section}]\n", f"[{section}]\n{line}\n")
    return text


def told(path):
    """Return the keys that the sentences are about."""
    with pytest.raises(config.ConfigError) as error:
        config.read(path)
    assert all(": got " in problem and ", want " in problem for problem in error.value.problems)
    return [problem.split(": ")[1] for problem in error.value.problems]


@pytest.mark.parametrize(("section", "key"), ALL, ids=[key for _, key in ALL])
def test_one_mistake_is_one_line(section, key, file):
    assert told(file(with_mistakes([(section, key)]))) == [key]


def test_all_mistakes_are_all_lines(file):
    keys = told(file(with_mistakes(ALL)))
    assert sorted(keys) == sorted(key for _, key in ALL)
    sections = [key.split(".")[0] for key in keys]
    assert [section for section, _ in itertools.groupby(sections)] == list(MISTAKES), "in the order of the sections"


@pytest.mark.parametrize("seed", range(60))
def test_some_mistakes_are_their_lines(seed, file):
    chosen = random.Random(seed).sample(ALL, 2 + seed % 12)
    assert sorted(told(file(with_mistakes(chosen)))) == sorted(key for _, key in chosen)


ALONE = [
    (("hidden = [8, 6]", "layers = [3]"), "network.layers: got [3], want a list of tables"),
    (("hidden = [8, 6]", "layers = 3"), "network.layers: got 3, want a list of tables"),
    (("hidden = [8, 6]", "layers = []"), "network.layers: got none, want at least one"),
    (("hidden = [8, 6]", 'hidden = ["a"]'), "network.hidden: got ['a'], want a list of integers"),
    (("hidden = [8, 6]", "hiden = [8, 6]"), "network.hiden: got an unknown key, want hidden"),
    (("hidden", "hidden_sizes"), "network.hidden_sizes: got an unknown key, want hidden"),
    (("hidden = [8, 6]", 'layers = [{type = "Residual"}, {type = "Linear"}]'),
     "network.layers[0].layers: got nothing, want a list of tables"),
    (("hidden = [8, 6]", 'layers = [{type = "Linear", units = 3}, {type = "Linear"}]'),
     "network.layers[0].units: got an unknown key, want out"),
    (("hidden = [8, 6]", 'layers = [{type = "Linear", out = 3}, {type = "Residual", layers = [{type = "Linear", out = 4'
      '}]}, {type = "Linear"}]'), "network.layers[1].x: got float32 (2, 3) and float32 (2, 4) from the layers, want "
     "the same dtype and shape to add them; leave out the size of the last Linear in it"),
    (("8, 6]", '8, 6]\nactivation = ["relu"]'), "network.activation: got 1, want 2, one for each of hidden"),
    (("8, 6]", '8, 6]\nnorm = ["batch", "bath"]'), "network.norm[1]: got 'bath', want "),
    (("8, 6]", "8, 6]\ndropout = [0.5, 1.5]"), "network.dropout[1]: got 1.5, want a probability in [0, 1]"),
    ((*LONG[:1], LONG[1] + '\nnorm = ["batch"]'), "network.norm: got a list beside layers, want one for all layers"),
    ((*LONG[:1], LONG[1].replace("out = 8", 'out = 8, norm = "bat"')), "network.layers[0].norm: got 'bat', want "),
    (('name = "AdamW"', 'nam = "AdamW"'), "optimizer.name: got nothing, want one of SGD"),
    (('"AdamW"', '"SGD"\nmomentum = -1\nnesterov = true'), "optimizer.momentum: got -1, want "),
    (('"AdamW"', '"SGD"\nmomentun = 0.9\nnesterov = true'), "optimizer.momentun: got an unknown key, want momentum"),
    (('"AdamW"', '"adagrad"'), "scheduler.cycle_momentum: got true and an optimizer without it, want 'momentum'"),
    (('"AdamW"', '"Adm"'), "optimizer.name: got 'Adm', want Adam"),
    (("[training]", "[trainnig]"), "trainnig: got an unknown section, want training"),
    (("[optimizer]", "[optimiser]"), "optimiser: got an unknown section, want optimizer"),
    (("epochs = 2", "early_stopping.monitor = 'val_f1'"), "training.early_stopping.monitor: got 'val_f1', want one of "
     "loss, accuracy, val_loss, val_accuracy; or set training.metrics = [\"accuracy\", \"f1\"]"),
    (("epochs = 2", "early_stopping.monitor = 'val_val_loss'"),
     "training.early_stopping.monitor: got 'val_val_loss', want val_loss"),
    (("epochs = 2", "metrics = ['acc']\nearly_stopping.monitor = 'val_accuracy'"),
     "training.metrics[0]: got 'acc', want accuracy"),
    (("epochs = 2", "metrics = 3\nearly_stopping.monitor = 'val_f1'"), "training.metrics: got 3, want a string or"),
    (("epochs = 2", "metrics = ['mse']"), "training.metrics[0]: got 'mse' for CrossEntropyLoss, want one of accuracy"),
    (("epochs = 2", "metrics = ['f1', 'F1Score']"), "training.metrics[1]: got 'F1Score' twice, want each metric once"),
    (("epochs = 2", 'epochs = "unlimited"'), "training.epochs: got 'unlimited' without max_steps and max_time, want"),
    (("epochs = 2", 'epochs = "endless"'), "training.epochs: got 'endless', want an integer or 'unlimited'"),
    (("[training]", '[loss]\nname = "mse"\n[training]\nclass_weight = "balanced"'),
     "training.class_weight: got it for MSELoss, want a loss over classes; leave it out"),
    (("[training]", '[loss]\nname = "bce_with_logits"\n[training]\nclass_weight = [1, 2]'),
     "training.class_weight: got it for BCEWithLogitsLoss, want a loss over classes; set loss.pos_weight"),
    (("[data]", '[loss]\nname = "mse"\n[data]\nstratify = true'), "data.stratify: got true for MSELoss, want false"),
    ((LONG[0], LONG[1] + '\n[loss]\nname = "nll"'), "network.layers: got Linear at the end for NLLLoss, want {type = "),
    (("[training]", '[loss]\nname = "mse"\n[training]\nmetrics = ["accuracy"]'),
     "training.metrics[0]: got 'accuracy' for MSELoss, want one of r2, mae, mse, rmse"),
    (("[training]", '[loss]\nname = "mse"\n[training]\nearly_stopping.monitor = "val_accuracy"'),
     "training.early_stopping.monitor: got 'val_accuracy', want one of loss, val_loss"),
    (('"OneCycleLR"', '"ReduceLROnPlateau"\nmode = "max"'), "scheduler.mode: got 'max' for 'val_loss', want 'min'"),
    (("epochs = 2", 'monitor = "val_loss"'), "training.monitor: got it without a scheduler that takes it, want "
     'scheduler.name = "ReduceLROnPlateau", or no monitor'),
    (("[data]", "epochs = 3\n[data]"), "epochs: got an unknown section, want training.epochs"),
    (("[data]", "[early_stopping]\n[data]"), "early_stopping: got an unknown section, want training.early_stopping"),
    (("epochs = 2", "epochs = 2\nloss_weights = [1]"), "training.loss_weights: got an unknown key"),
]  # fmt: skip


@pytest.mark.parametrize(("pair", "sentence"), ALONE, ids=[sentence.split(": ")[0] for _, sentence in ALONE])
def test_no_sentence_follows_from_another(pair, sentence, file):
    path = file(GOOD, pair)
    with pytest.raises(config.ConfigError) as error:
        config.read(path)
    if 'nam = "AdamW"' in pair:  # names are needed to know the keys
        assert error.value.problems[0].startswith(f"{path}: {sentence}")
        return
    assert len(error.value.problems) == 1 and error.value.problems[0].startswith(f"{path}: {sentence}"), error.value


def test_files_of_windows(file):
    """The mark that some editors begin a file with is no mistake; a path with backslashes is told its quotes."""
    path = file()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert config.read(path).fit["batch_size"] == 16
    with pytest.raises(config.ConfigError, match=r"; write paths in single quotes, as in 'C:\\data.csv'$"):
        config.parse('[data]\nsource = "C:\\data.csv"')
    with pytest.raises(config.ConfigError, match=r"^data.source: got 'C:\\\\data.csv', want an existing file"):
        config.parse(GOOD.replace('"SOURCE"', "'C:\\data.csv'"))


def test_an_empty_file(file):
    path = file("")
    with pytest.raises(config.ConfigError, match=r"want \[data\], \[network\] and \[optimizer\]$") as error:
        config.read(path)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize(
    "text", ["", "name = 3\n", "[data]\nsource = 3\n[network]\n[loss]\nname = 'x'\n[scheduler]\nname = 1\n"]
)
def test_files_without_most(text, file):
    """Whatever is missing, each key is told once, and nothing fails."""
    with pytest.raises(config.ConfigError) as error:
        config.read(file(text))
    keys = [problem.split(": ")[1] for problem in error.value.problems]
    assert len(keys) == len({*keys})
