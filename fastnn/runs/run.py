"""A training described by a file, built and run in its own directory."""

import math
from pathlib import Path

from fastnn._options import Part
from fastnn._problems import ConfigError
from fastnn.random.generator import manual_seed
from fastnn.runs.config.description import Config
from fastnn.runs.config.network import build_model
from fastnn.runs.saved import CHECKPOINTS, FINDER, WEIGHTS, load_finder, save_columns, save_finder, save_run
from fastnn.training.callbacks.saving import ModelCheckpoint
from fastnn.training.evaluation import in_mode
from fastnn.training.fitting import OPTIONS, Data, check_least_batch, prepare
from fastnn.training.lr_finder import LRFinder
from fastnn.training.trainer import Trainer

SEARCH = ("class_weight", "shuffle", "drop_last")
"""The arguments of `Trainer.fit` that the search for a learning rate takes too."""


class Run:
    """Everything that a file describes, loaded and built, with the initial weights of its seed.

    Attributes:
        train, validation, test: (x, y) of each part of the data; test is None if there is none.
        model, loss, optimizer: built for the data.
        sample_weight: the weights of the training samples; None for ones.
        names, columns: the names of the classes and of the inputs; None if they have none.
        finder: the result of the learning-rate range test; None unless there was one.

    Raises:
        ConfigError, ImportError, OSError: the data cannot be loaded, or the network, scheduler or loss do not fit it.
        IndexError, TypeError, ValueError: the data is invalid for `Trainer.fit`, or the test part for
            `Trainer.evaluate`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loss = config.loss.build()
        loaded = Part("data", config.data.load, {}).build(self.loss.task)
        self.train, self.validation, self.test = loaded.parts
        self.sample_weight, self.names, self.columns = loaded.weight, loaded.names, loaded.columns
        manual_seed(config.trainer["seed"])
        self._check_targets()
        self.model = build_model(config.network, config.layers, self.train, config.data.normalize, config.loss.make)
        self.optimizer = config.optimizer.build(self.model.parameters())
        self.finder: LRFinder | None = None
        self._check()

    def _check(self) -> None:
        """Raise now if something would fail later, such as the test part, which is used only after the training."""
        trainer, (x, _) = self._trainer(), self.train
        self.config.check_schedule(len(x))
        found = trainer.predict(x[:2])
        self.config.check_weight((found[0] if isinstance(found, tuple) else found).shape[1])
        own = {name: value for name, value in self.config.fit.items() if name in OPTIONS}
        data = Data(self.train, self.validation, self._batch_size, self.sample_weight, **own)
        fit = prepare(trainer, data)
        with in_mode(self.model, training=True):
            check_least_batch(self.model, fit.batches, fit.convert)
        if self.test is not None:
            trainer.check("test", self.test)

    def _check_targets(self) -> None:
        """Raise ConfigError unless the targets can be distributions, if the loss is of these."""
        columns = self.train[1].shape[1:]
        if self.loss.task == "distribution" and columns == (1,):
            raise ConfigError([f"loss.name: got {type(self.loss).__name__} for one target of each sample, want a "
                               "column with the probability of each class; for labels take CrossEntropyLoss"]
                              )  # fmt: skip

    @property
    def _batch_size(self) -> int:
        return int(self.config.fit.get("batch_size", 32))

    def _trainer(self) -> Trainer:
        """Return a trainer without scheduler and callbacks."""
        return Trainer(self.model, self.loss, self.optimizer, **self.config.trainer)

    def find_lr(self) -> LRFinder:
        """Run `Trainer.lr_find` on the training part."""
        own = {name: value for name, value in self.config.fit.items() if name in SEARCH}
        return self._trainer().lr_find(self.train, batch_size=self._batch_size, sample_weight=self.sample_weight, **own)

    def set_found_lr(self) -> float:
        """Set the optimizer's rate to the "valley" that `find_lr` suggests, or has suggested, and return it.

        Raises:
            ValueError: `find_lr` suggests none.
        """
        self.finder = self.finder or self.find_lr()
        lr = self.finder.suggestions["valley"]
        if math.isnan(lr):
            raise ValueError("optimizer.lr: got 'find' and no rate at which the loss falls, want a number; look at "
                             "python -m fastnn lr-find")  # fmt: skip
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def _names(self, trainer: Trainer) -> list[str] | None:
        """Return the names of the classes if there is one for each output; the training part may lack some."""
        outputs = trainer.predict(self.train[0][:1])
        fit = self.names is not None and len(self.names) == (2 if self.loss.task == "binary" else outputs.shape[-1])
        return self.names if fit else None

    def fit(self, directory: Path, checkpoint: Path | None = None) -> dict[str, float]:
        """Train, from a checkpoint if one is given, write the results, and return those on the test part."""
        config = self.config
        if config.finds_lr and checkpoint is None:
            print(f"learning rate {self.set_found_lr():.3g}, the valley")
            assert self.finder is not None
            save_finder(self.finder, directory / FINDER)
        elif config.finds_lr:
            self.finder = load_finder(directory / FINDER)
            if self.finder is not None and not math.isnan(self.finder.suggestions["valley"]):
                self.set_found_lr()
        callbacks = [part.build(**{"directory": directory / CHECKPOINTS} if part.make is ModelCheckpoint else {})
                     for part in config.callbacks]  # fmt: skip
        scheduler = config.build_scheduler(self.optimizer, config.steps(len(self.train[0])))
        trainer = Trainer(self.model, self.loss, self.optimizer, scheduler, callbacks=callbacks, **config.trainer)
        trainer.fit(self.train, self.validation, resume=checkpoint, sample_weight=self.sample_weight, **config.fit)
        if trainer.stopped == "KeyboardInterrupt":
            raise KeyboardInterrupt
        if trainer.stopped:
            print(trainer.stopped)
        if trainer.classes is None and (names := self._names(trainer)) is not None:
            trainer.classes = tuple(names)
        save_columns(directory, self.columns)
        trainer.save(directory / WEIGHTS)
        scores = {} if self.test is None else trainer.evaluate(self.test)
        save_run(directory, trainer, self.validation, finder=self.finder, test=scores or None)
        return scores
