"""One HTML page about a training: `save_run` writes its files, `write_report` draws them."""

from fastnn.runs.report import write_report
from fastnn.runs.saved import save_run

__all__ = ["save_run", "write_report"]
