"""Trainings described by a file, each in its own directory, and the commands of `python -m fastnn` for them."""

from fastnn.runs.commands import find_lr, main, resume, train
from fastnn.runs.run import Run
from fastnn.runs.saved import load_finder, make_run, save_finder, save_run, save_weights

__all__ = [
    "Run",
    "find_lr",
    "load_finder",
    "main",
    "make_run",
    "resume",
    "save_finder",
    "save_run",
    "save_weights",
    "train",
]
