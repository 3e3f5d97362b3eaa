"""Networks of a file: what follows each layer, for all layers or one, and blocks of layers."""

import numpy as np
import pytest
from config_files import GOOD, a_file, a_source  # noqa: F401  # fixtures

from fastnn import config, nn, runs
from fastnn.runs.config.network import build_model


def model_of(file, lines, classes=3):
    described = config.read(file(GOOD, ("hidden = [8, 6]", lines)))
    train = np.ones((4, 5), np.float32), np.arange(4) % classes
    return build_model(described.network, described.layers, train, normalize=False)


def shown(model):
    """Return the layers in a line: Linear with its size, Dropout with its probability, blocks in parentheses."""
    words = []
    for layer in model:
        if isinstance(layer, nn.Residual):
            words.append(f"({shown(layer)})")
        elif isinstance(layer, nn.Linear):
            words.append(f"{layer.weight.shape[0]}")
        else:
            words.append(f"{layer.p}" if isinstance(layer, nn.Dropout) else type(layer).__name__)
    return " ".join(words)


NETWORKS = [
    ("hidden = [8, 6]\ndropout = [0.5, 0.0]", "8 ReLU 0.5 6 ReLU 3"),
    ('hidden = [8, 6]\nactivation = ["tanh", "none"]\nnorm = ["none", "layer"]', "8 Tanh 6 LayerNorm 3"),
    ('hidden = [8]\nactivation = "none"\nnorm = "batch"\ndropout = 0.25', "8 BatchNorm1d 0.25 3"),
    ("hidden = []\ndropout = 0.5", "3"),
    ('layers = [{type = "Linear", out = 8}, {type = "Linear"}]', "8 3"),
    ('activation = "relu"\nnorm = "layer"\ndropout = 0.5\nlayers = [{type = "Linear", out = 8}, {type = "Linear"}]',
     "8 LayerNorm ReLU 0.5 3"),
    ('activation = "relu"\nlayers = [{type = "Linear", out = 8, activation = "none"}, {type = "Linear", out = 4}, '
     '{type = "Linear", norm = "layer"}]', "8 4 ReLU 3 LayerNorm"),
    ('dropout = 0.5\nlayers = [{type = "Linear", out = 8, dropout = 0.0}, {type = "Linear", out = 7, dropout = 0.25}, '
     '{type = "Linear", out = 6}, {type = "Linear"}]', "8 7 0.25 6 0.5 3"),
    ('layers = [{type = "Linear", out = 8}, {type = "Residual", layers = [{type = "Linear", out = 4, activation = '
     '"gelu"}, {type = "Linear"}]}, {type = "Linear"}]', "8 (4 GELU 8) 3"),
    ('activation = "relu"\nlayers = [{type = "Residual", layers = [{type = "Linear", out = 9}, {type = "Linear"}]}, '
     '{type = "Residual", layers = [{type = "LayerNorm"}, {type = "residual", layers = [{type = "Linear"}]}]}, '
     '{type = "Linear"}]', "(9 ReLU 5) (LayerNorm (5)) 3"),
    ('layers = [{type = "Residual", layers = [{type = "Linear", out = 5}]}, {type = "Linear"}]', "(5) 3"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "wanted"), NETWORKS)
def test_layers(lines, wanted, file):
    model = model_of(file, lines)
    assert shown(model) == wanted
    y, backward = model(np.ones((4, 5), np.float32))
    assert y.shape == (4, 3) and backward(y).shape == (4, 5)


def test_a_block_that_does_not_fit_the_data(file, tmp_path):
    """Its size is known only with the data: then the block is named."""
    lines = 'layers = [{type = "Residual", layers = [{type = "Linear", out = 6}]}, {type = "Linear"}]'
    described = config.read(file(GOOD, ("hidden = [8, 6]", lines)))
    with pytest.raises(config.ConfigError) as error:
        runs.Run(described)
    (problem,) = error.value.problems
    assert problem.startswith("network.layers[0].x: got float32 (2, 5) and float32 (2, 6) from the layers, want the")
    assert problem.endswith("; leave out the size of the last Linear in it")


def test_mistakes_within_blocks(file):
    lines = """layers = [
        {type = "Linear", out = 0},
        {type = "Residual", layers = [
            {type = "Linear", out = 4, p = 1}, {type = "Dropout", p = 2}, {type = "Lin"},
            {type = "Linear", dropout = -1},
        ]},
        {type = "LayerNorm", eps = -1},
        {type = "Linear"},
    ]"""
    with pytest.raises(config.ConfigError) as error:
        config.read(file(GOOD, ("hidden = [8, 6]", lines)))
    assert [problem.split(": ")[1] for problem in error.value.problems] == [
        "network.layers[1].layers[2].type",
        "network.layers[1].layers[0].p",
        "network.layers[0].out",
        "network.layers[1].layers[1].p",
        "network.layers[1].layers[3].dropout",
        "network.layers[2].eps",
    ]


def test_a_network_of_blocks_trains(file, tmp_path):
    lines = """norm = "layer"
               activation = "gelu"
               layers = [
                   {type = "Linear", out = 8, dropout = 0.1},
                   {type = "Residual", layers = [{type = "Linear", out = 4}, {type = "Linear"}]},
                   {type = "Linear"},
               ]"""
    scores = runs.Run(config.read(file(GOOD, ("hidden = [8, 6]", lines)))).fit(tmp_path)
    assert 0 <= scores["accuracy"] <= 1
