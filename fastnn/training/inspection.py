"""Statistics of a batch in every layer of a model, which can be kept and drawn."""

from fastnn.diagnosis.inspection import (
    Histogram,
    LayerSignals,
    histogram,
    inspect_layers,
    largest_errors,
)

__all__ = ["Histogram", "LayerSignals", "histogram", "inspect_layers", "largest_errors"]
