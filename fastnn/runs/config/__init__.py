"""Files that describe a training, in TOML: `read` reports every mistake before anything is loaded.

The keys that a table may have come from the signature of the class or function that it configures.
"""

from fastnn._problems import ConfigError
from fastnn.runs.config.description import Config, parse, read

__all__ = ["Config", "ConfigError", "parse", "read"]
