"""The symptoms that `diagnose` knows, with their likely causes and remedies."""

from dataclasses import dataclass

NOT_FINITE = "NaN or infinity"

TEXTS = {
    NOT_FINITE: (
        "a step that was too large, or a number that was 0 or huge in a quotient, a root or a logarithm",
        "lower the learning rate, clip gradients, look at the data; train with detect_nan=True to see it happen",
    ),
    "diverging": (
        "the learning rate is too high",
        "lower it, see Trainer.lr_find; clip gradients; warm up",
    ),
    "plateau at log C": (
        "the result does not depend on the input: labels that do not belong to their samples, dead units, a gradient "
        "that does not arrive, or a rate far too high or too low",
        "try overfit_one_batch and check_gradients; look at samples and labels as they enter the model; then "
        "Trainer.lr_find",
    ),
    "loss does not fall": (
        "the learning rate is far too low or too high, a gradient does not arrive, or labels and loss are not what "
        "they should be",
        "try Trainer.lr_find, then overfit_one_batch and check_gradients",
    ),
    "slow convergence": (
        "the learning rate is too low, the input is not scaled, or the initialisation does not suit",
        "raise the rate, see Trainer.lr_find; scale the input; look at fastnn.init.report; train longer",
    ),
    "spikes": (
        "outliers in the data, or a learning rate at the edge of what is stable",
        "look at the batch of that step; clip gradients; lower the rate, or warm up",
    ),
    "overfitting": (
        "the model learns its samples by heart",
        "more data or augmentation; dropout and weight decay; EarlyStopping; a smaller model",
    ),
    "validation no better than a guess": (
        "labels that do not belong to their samples, or that the input does not tell",
        "look at samples and labels as they enter the model",
    ),
    "validation better than training": (
        "dropout, augmentation or batch norm of few samples, which make training harder; easier samples in "
        "validation, or a leak",
        "compare with Trainer.evaluate of the training data; if validation is still better, look at how the data was "
        "split, and for samples that are in both",
    ),
    "softmax before the loss": (
        "the loss takes a softmax of a softmax",
        "remove the softmax from the model; Trainer.predict_proba takes it",
    ),
    "no better than a guess": (
        "the result tells no more than the frequencies of the labels or the mean of the targets: an input that is not "
        "scaled, dead units, a gradient that does not arrive, labels that do not belong to their samples, or a rate "
        "far too high or too low",
        "see the other symptoms; look at samples and labels as they enter the model; try overfit_one_batch and "
        "check_gradients, then Trainer.lr_find",
    ),
    "NaN in the data": (
        "missing values, or a number that was 0 in a quotient or a logarithm when the data was made",
        "leave these samples out, or fill the gaps, before the training",
    ),
    "constant input": (
        "the samples were lost when the data was made, as by an index that does not change or a product with 0",
        "look at samples as they enter the model",
    ),
    "constant result": (
        "no signal passes the layers: dead units, weights of 0, or an input that is not scaled",
        "look at fastnn.init.report(model, x); scale the input; start anew with fastnn.init.initialize and a lower "
        "rate",
    ),
    "unscaled input": (
        "layers are initialised for an input of mean 0 and deviation 1",
        "subtract the mean of every feature over the training data, and divide by its deviation: make "
        "fastnn.data.Normalize(x.shape[1]).fit(x) the first layer, and start anew",
    ),
    "unscaled targets": (
        "an untrained model returns about 0, and its steps are made for targets of mean 0 and deviation 1",
        "train on targets minus their mean over the training data, divided by their deviation, and undo that in "
        "predictions: transform and inverse_transform of fastnn.data.Normalize(()).fit(y)",
    ),
    "dead units": (
        "a step that was too large, or biases that are too low",
        "lower the rate and start anew; LeakyReLU; fastnn.init.initialize",
    ),
    "signal out of range": (
        "weights that were too small or too large at the beginning, or have become so",
        "fastnn.init.initialize, or a norm between the layers",
    ),
}
"""The likely cause and the remedy of each symptom."""


@dataclass(frozen=True)
class Symptom:
    """A sign that something is wrong with a training.

    Attributes:
        name: its name, one of those that `diagnose` lists.
        evidence: the numbers that show it.
        cause: the likely cause.
        remedy: what to try, in this order.
    """

    name: str
    evidence: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. Likely cause: {self.cause}. Remedy: {self.remedy}."


def symptom(name: str, evidence: str) -> Symptom:
    """Return a symptom with its cause and remedy from the catalogue."""
    return Symptom(name, evidence, *TEXTS[name])
