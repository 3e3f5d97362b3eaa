"""Names in a file: the spellings that are accepted, and suggestions that work when they are followed."""

import pytest
from config_files import GOOD, a_file, a_source  # noqa: F401  # fixtures

from fastnn import config, nn, optim
from fastnn._words import nearest, spelt
from fastnn.optim import lr_scheduler

LOSS = ("[training]", '[loss]\nname = "WORD"\n[training]')
SHORT = ("8, 6]", '8, 6]\nKEY = "WORD"')
METRIC = ("epochs = 2", 'metrics = ["WORD"]')
GET = {
    "loss": (LOSS, lambda c: c.loss.make),
    "optimizer": (("AdamW", "WORD"), lambda c: c.optimizer.make),
    "scheduler": (('"OneCycleLR"', '"WORD"'), lambda c: c.scheduler.make),
    "activation": ((SHORT[0], SHORT[1].replace("KEY", "activation")), lambda c: c.layers[1].make),
    "norm": ((SHORT[0], SHORT[1].replace("KEY", "norm")), lambda c: c.layers[1].make),
    "init": ((SHORT[0], SHORT[1].replace("KEY", "init")), lambda c: c.network.init),
    "metrics": (METRIC, lambda c: c.trainer["metrics"]),
    "layer": (("hidden = [8, 6]", 'layers = [{type = "WORD"}, {type = "Linear"}]'), lambda c: c.layers[0].make),
}
ACCEPTED = {
    ("loss", nn.CrossEntropyLoss): "CrossEntropyLoss cross_entropy CrossEntropy softmax_cross_entropy cross-entropy",
    ("loss", nn.NLLLoss): "NLLLoss nll_loss nll",
    ("loss", nn.MSELoss): "MSELoss mse_loss mse MSE",
    ("loss", nn.L1Loss): "L1Loss l1_loss l1",
    ("loss", nn.SmoothL1Loss): "SmoothL1Loss smooth_l1_loss smooth_l1",
    ("loss", nn.HuberLoss): "HuberLoss huber_loss huber Huber",
    ("loss", nn.KLDivLoss): "KLDivLoss kl_div",
    ("loss", nn.BCEWithLogitsLoss): "BCEWithLogitsLoss binary_cross_entropy_with_logits bce_with_logits",
    ("loss", nn.GaussianNLLLoss): "GaussianNLLLoss gaussian_nll_loss gaussian_nll",
    ("optimizer", optim.Adam): "Adam adam ADAM",
    ("optimizer", optim.NAdam): "NAdam Nadam nadam",
    ("optimizer", optim.RMSprop): "RMSprop RMSProp rmsprop",
    ("scheduler", lr_scheduler.CosineAnnealingLR): "CosineAnnealingLR cosine_annealing CosineAnnealing",
    ("scheduler", lr_scheduler.OneCycleLR): "OneCycleLR one_cycle onecycle",
    ("scheduler", lr_scheduler.ReduceLROnPlateau): "ReduceLROnPlateau reduce_lr_on_plateau",
    ("activation", nn.ReLU): "ReLU relu Relu",
    ("activation", nn.LeakyReLU): "LeakyReLU leaky_relu",
    ("activation", nn.SiLU): "SiLU silu",
    ("activation", nn.Linear): "none None",  # the next layer
    ("norm", nn.BatchNorm1d): "BatchNorm1d BatchNorm batch_norm batch batchnorm",
    ("norm", nn.LayerNorm): "LayerNorm layer_norm layer",
    ("init", "he"): "he He he_normal HeNormal",
    ("init", "kaiming"): "kaiming Kaiming kaiming_normal kaiming_normal_",
    ("init", "xavier"): "xavier xavier_normal_",
    ("init", "orthogonal"): "orthogonal Orthogonal orthogonal_",
    ("metrics", "accuracy"): "accuracy Accuracy",
    ("metrics", "f1"): "f1 F1 F1Score f1_score",
    ("metrics", "top_5_accuracy"): "top_5_accuracy",
    ("layer", nn.Dropout): "Dropout dropout",
    ("layer", nn.BatchNorm1d): "BatchNorm1d BatchNorm batch_norm",
}


@pytest.mark.parametrize(
    ("place", "wanted", "word"), [(*key, word) for key, words in ACCEPTED.items() for word in words.split()]
)
def test_spellings(place, wanted, word, file):
    (old, new), get = GET[place]
    found = get(config.read(file(GOOD, (old, new.replace("WORD", word)))))
    assert found == ([wanted] if place == "metrics" else wanted)


REFUSED = {
    "loss": {
        "binary_crossentropy": "BCEWithLogitsLoss",
        "BCELoss": "BCEWithLogitsLoss",
        "bce": "BCEWithLogitsLoss",
        "sparse_categorical_crossentropy": "CrossEntropyLoss",
        "categorical_crossentropy": "CrossEntropyLoss",
        "mean_squared_error": "MSELoss",
        "mean_absolute_error": "L1Loss",
        "mae": "L1Loss",
        "kl_divergence": "KLDivLoss",
    },
    "optimizer": {"AdamX": "Adam", "rms": "RMSprop"},
    "scheduler": {"cosine": "CosineAnnealingLR", "CosineDecay": "CosineAnnealingLR", "plateau": "ReduceLROnPlateau",
                  "CosineAnealingLR": "CosineAnnealingLR"},
    "activation": {"swish": "SiLU", "leaky": "LeakyReLU", "linear": "none"},
    "norm": {"bn": "BatchNorm1d", "BatchNormalization": "BatchNorm1d", "ln": "LayerNorm", "BatchNorm2d": "BatchNorm1d"},
    "init": {"glorot_uniform": "glorot", "xavier_uniform_": "xavier", "kaiming_uniform": "kaiming"},
    "metrics": {"acc": "accuracy", "auc": "roc_auc", "binary_accuracy": "accuracy"},
    "layer": {"XYZ": "one of", "BatchNormalization": "BatchNorm1d", "Droput": "Dropout"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "word", "wanted"), [(p, word, wanted) for p, words in REFUSED.items() for word, wanted in words.items()]
)
def test_suggestions_work(place, word, wanted, file):
    """A word of another library gets one sentence, and what that suggests is accepted."""
    (old, new), _ = GET[place]
    with pytest.raises(config.ConfigError) as error:
        config.read(file(GOOD, (old, new.replace("WORD", word))))
    (problem,) = error.value.problems
    assert f"got {word!r}, want {wanted}" in problem
    if wanted != "one of":
        config.read(file(GOOD, (old, new.replace("WORD", wanted))))


@pytest.mark.parametrize(
    ("pair", "wanted"),
    [
        (('"AdamW"', '"AdamW"\nlearning_rate = 0.1'), "lr"),
        (('"AdamW"', '"AdamW"\ndecay = 0.1'), "weight_decay"),
        (("hidden", "hidden_layers"), "hidden"),
        (("8, 6]", "8, 6]\ndropout_rate = 0.1"), "dropout"),
        (("epochs = 2", "max_epochs = 2"), "epochs"),
        (("epochs = 2", "max_grad_norm = 2"), "gradient_clip_val"),
        (("epochs = 2", "batchSize = 2"), "batch_size, which is there already; remove one of them"),
    ],
)
def test_keys_of_other_libraries(pair, wanted, file):
    with pytest.raises(config.ConfigError) as error:
        config.read(file(GOOD, pair))
    (problem,) = error.value.problems
    assert problem.endswith(f"got an unknown key, want {wanted}")


def test_a_dense_layer(file):
    with pytest.raises(config.ConfigError, match=r"layers\[0\]\.type: got 'Dense', want Linear$"):
        config.read(file(GOOD, ("hidden = [8, 6]", 'layers = [{type = "Dense", units = 3}, {type = "Linear"}]')))


def test_an_exact_name_comes_first():
    """Names that differ in capitals alone are told apart; any other spelling means the first."""
    assert [spelt(word, ["AdaGrad", "Adagrad"]) for word in ("AdaGrad", "Adagrad", "ADAGRAD")] == [
        "AdaGrad", "Adagrad", "AdaGrad"]  # fmt: skip
    assert spelt("", ["loss"]) is None and spelt("_", ["loss", "lr"]) is None
    assert nearest("Step", ["StepLR", "MultiStepLR"]) == "StepLR"
