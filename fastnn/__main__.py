"""The command line: `python -m fastnn info | train | resume | lr-find | report | bench`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import fastnn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 1 if it fails, 2 for wrong arguments."""
    options, rest = _parse(arguments)
    try:
        if options.command == "info":
            for name, value in fastnn.show_config().items():
                print(f"{name + ':':17}{', '.join(value) if isinstance(value, tuple) else value}")
        elif options.command in ("train", "resume", "lr-find") and options.config is not None:
            from fastnn import runs

            return runs.main(options)
        elif options.command == "train":
            from fastnn import demo

            demo.train(options.epochs or demo.EPOCHS, options.seed or 0, options.out)
        elif options.command == "report":
            from fastnn.report import write_report

            print(write_report(options.run))
        else:
            from fastnn import benchmark

            benchmark.main(rest)
    except ImportError as error:
        sentence = str(error)
        if error.name is not None:  # raised by an import statement, whose message has no remedy
            sentence = f"{error.name}: got no such package, want it here; run pip install 'fastnn[demo]'"
        print(f"fastnn: {sentence}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m fastnn", description=fastnn.__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="show the kernels, threads and libraries in use")
    train = commands.add_parser("train", help="train a model described in a file, or a network on handwritten digits")
    train.add_argument(
        "--config", metavar="FILE", help="a configuration in TOML; without it, the digits (fastnn[demo])"
    )
    train.add_argument("--epochs", type=_positive, help="passes over the digits (default: 40)")
    train.add_argument("--seed", type=int, help="seed of the digits' weights, dropout and order (default: 0)")
    train.add_argument("--out", default="runs", metavar="DIR", help="directory for the results (default: %(default)s)")
    resume = commands.add_parser("resume", help="continue an interrupted run of train --config")
    resume.add_argument("config", metavar="RUN", help="directory of the run, as in runs/<time>")
    find = commands.add_parser("lr-find", help="suggest learning rates for a training described in a file")
    find.add_argument("--config", metavar="FILE", required=True, help="a configuration in TOML")
    report = commands.add_parser("report", help="write an HTML report of a run of train (needs fastnn[plot])")
    report.add_argument("run", type=_directory, help="directory of the run, as in runs/2026-01-01_12-00-00")
    commands.add_parser("bench", help="time the kernels against NumPy; its options follow", add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "train" and options.config and (options.epochs, options.seed) != (None, None):
        parser.error("--epochs, --seed: got them beside --config, want them in the file, in [training]")
    return options, rest


def _directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"got {text!r}, want an existing directory")
    return Path(text)


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"got {value}, want a positive integer; 1 is the least")
    return value


if __name__ == "__main__":
    sys.exit(main())
