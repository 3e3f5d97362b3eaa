"""Files that describe a training, in TOML: `read` reports every mistake before anything is loaded."""

from fastnn.runs.config import Config, ConfigError, parse, read

__all__ = ["Config", "ConfigError", "parse", "read"]
