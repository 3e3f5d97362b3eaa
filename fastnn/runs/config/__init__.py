"""Files that describe a training, in TOML: `read` refuses every mistake before anything is loaded.

What a table may hold is read from the signature of the class or function that it stands for.
"""

from fastnn.runs.config.description import Config, parse, read
from fastnn.runs.config.options import ConfigError

__all__ = ["Config", "ConfigError", "parse", "read"]
