"""The command line: `python -m fastnn info | train | resume | lr-find | predict | report | bench`."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import fastnn

INTERRUPTED, CLOSED = 130, 141
"""The exit statuses that shells give to programs ended by Ctrl-C, and by writing to a closed pipe."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    It is 1 if the command fails, 2 for wrong arguments or mistakes in a file, 130 after Ctrl-C, and 141 if the output
    goes to a pipe that has been closed.
    """
    try:
        try:
            status = _run(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        from fastnn.runs import refuse

        if hasattr(sys.stderr, "isatty") and sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal shows ^C in the line of the progress
        return refuse(INTERRUPTED, "; ".join(["interrupted", *interrupt.args]))
    except BrokenPipeError:
        _discard_output()
        return CLOSED


def _run(arguments: Sequence[str] | None) -> int:
    options, rest = _parse(arguments)
    try:
        return _command(options, rest)
    except ImportError as error:
        sentence = str(error)
        if error.name is not None:  # raised by an import statement, whose message has no remedy
            sentence = f"{error.name}: got no such package, want it here; run pip install 'fastnn[demo]'"
        print(f"fastnn: {sentence}", file=sys.stderr)
        return 1


def _command(options: argparse.Namespace, rest: list[str]) -> int:
    if options.command == "info":
        for name, value in fastnn.show_config().items():
            print(f"{name + ':':17}{', '.join(value) if isinstance(value, tuple) else value}")
        return 0
    from fastnn import runs

    if options.command == "predict":
        from fastnn.runs import predicting

        return predicting.main(options)
    if options.command in ("resume", "lr-find", "report") or getattr(options, "config", None) is not None:
        return runs.main(options)
    try:
        if options.command == "train":
            from fastnn import demo

            runs.check_out(options.out)
            demo.train(options.epochs or demo.EPOCHS, options.seed or 0, options.out)
        else:
            from fastnn import benchmark

            benchmark.main(rest)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        return runs.refuse(1, runs.sentence_of(error))
    return 0


def _discard_output() -> None:
    """Let what is still in the buffers of the output go nowhere, since nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m fastnn", description=fastnn.__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="show the kernels, threads and libraries in use")
    train = commands.add_parser("train", help="train a model described in a file, or a network on handwritten digits")
    train.add_argument(
        "--config", metavar="FILE", help="a configuration in TOML; without it, the digits (fastnn[demo])"
    )
    train.add_argument("--epochs", type=_positive, help="passes over the digits (default: 40)")
    train.add_argument("--seed", type=_seed, help="seed of the digits' weights, dropout and order (default: 0)")
    train.add_argument("--out", default="runs", metavar="DIR", help="directory for the results (default: %(default)s)")
    resume = commands.add_parser("resume", help="continue an interrupted run of train --config")
    resume.add_argument("config", metavar="RUN", help="directory of the run, as in runs/<time>")
    find = commands.add_parser("lr-find", help="suggest learning rates for a training described in a file")
    find.add_argument("--config", metavar="FILE", required=True, help="a configuration in TOML")
    predict = commands.add_parser("predict", help="run a trained model on the samples of a file")
    predict.add_argument("model", metavar="RUN", type=Path, help="directory of a run, or the file of a model")
    predict.add_argument("--input", metavar="FILE", required=True, type=_samples, help="samples, .npy, .csv or .tsv")
    predict.add_argument("--output", metavar="FILE", required=True, type=_table, help="predictions, .npy or .csv")
    kinds = predict.add_mutually_exclusive_group()
    kinds.add_argument("--proba", action="store_true", help="write probabilities, and not the model's result")
    kinds.add_argument("--labels", action="store_true", help="write the most probable class, by its name if it has one")
    report = commands.add_parser("report", help="write an HTML report of a run of train (needs fastnn[plot])")
    report.add_argument("run", metavar="RUN", help="directory of the run, as in runs/2026-01-01_12-00-00")
    commands.add_parser("bench", help="time the kernels against NumPy; its options follow", add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "train" and options.config and (options.epochs, options.seed) != (None, None):
        parser.error("--epochs, --seed: got them beside --config, want them in the file, in [training]")
    return options, rest


def _samples(text: str) -> Path:
    return _table(text, ".npy", ".csv", ".tsv")


def _table(text: str, *suffixes: str) -> Path:
    suffixes = suffixes or (".npy", ".csv")
    if Path(text).suffix not in suffixes:
        raise argparse.ArgumentTypeError(f"got {text!r}, want a path that ends with {' or '.join(suffixes)}")
    return Path(text)


def _positive(text: str) -> int:
    return _integer(text, 1, 2**63, "a positive integer; 1 is the least")


def _seed(text: str) -> int:
    return _integer(text, 0, 2**64, "an integer in [0, 2^64)")


def _integer(text: str, least: int, end: int, want: str) -> int:
    """Return the integer that a text is; argparse prints the error of another."""
    with suppress(ValueError):
        if least <= int(text) < end:
            return int(text)
    raise argparse.ArgumentTypeError(f"got {text}, want {want}")


if __name__ == "__main__":
    sys.exit(main())
