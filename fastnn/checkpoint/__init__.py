"""Checkpoints, a state of arrays, numbers and strings, and models: one safetensors file with a checksum."""

from fastnn.checkpoint.file import CheckpointError, latest, load, save

__all__ = ["CheckpointError", "latest", "load", "save"]
