"""A configuration file of a training run and its data, for test_config.py and test_cli.py."""

import json

import numpy as np
import pytest

GOOD = """
[data]
source = "SOURCE"
fractions = [0.6, 0.2, 0.2]

[network]
hidden = [8, 6]

[optimizer]
name = "AdamW"

[scheduler]
name = "OneCycleLR"

[training]
epochs = 2
batch_size = 16
"""


def samples(n=120, classes=3):
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, 5)) + y[:, None], y


@pytest.fixture(name="source")
def a_source(tmp_path):
    x, y = samples()
    np.savez(tmp_path / "some.npz", x=x, y=y)
    return tmp_path / "some.npz"


@pytest.fixture(name="file")
def a_file(tmp_path, source):
    """Return write(text, replacements ...), which writes a file with that text and returns its path."""

    def write(text=GOOD, *pairs):
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "a.toml"
        path.write_text(text.replace("SOURCE", str(source)))
        return path

    return write


def weights(run):
    """Return the final weights in a run's directory."""
    return pytest.importorskip("safetensors.numpy").load_file(run / "model.safetensors")


def record(run):
    """Return the run's history by epoch without times, and its results on the test part if there is one."""
    history = json.loads((run / "history.json").read_text())["epochs"]
    test = json.loads((run / "configuration.json").read_text())["test"] or {}
    return {k: v for k, v in history.items() if k != "seconds"} | {f"test_{k}": v for k, v in test.items()}
