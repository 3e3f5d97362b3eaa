"""Trainings described by a file, each in its own directory, and the commands of `python -m fastnn` for them."""

from fastnn.runs.commands import check_out, find_lr, main, refuse, report, resume, sentence_of, train
from fastnn.runs.run import Run
from fastnn.runs.saved import load_finder, make_run, save_finder, save_run

__all__ = [
    "Run",
    "check_out",
    "find_lr",
    "load_finder",
    "main",
    "make_run",
    "refuse",
    "report",
    "resume",
    "save_finder",
    "save_run",
    "sentence_of",
    "train",
]
