"""Parameter groups with and without weight decay."""

from typing import Any

from fastnn._checks import not_negative


def no_decay_groups(model: Any, weight_decay: float = 1e-2) -> list[dict[str, Any]]:
    """Return the model's named parameters in two groups: matrices and filters decay, biases and norms' scales do not.

    Parameters with fewer than two dimensions do not decay, as is usual for transformers and convolutional networks.

    Args:
        model: a `fastnn.nn.Module` or a torch module.
        weight_decay: weight decay of the first group; finite, >= 0.

    Returns:
        The groups for an optimizer, without empty ones.
    """
    rates = {True: not_negative("weight_decay", weight_decay), False: 0.0}
    named = list(model.named_parameters())
    groups = [
        {"params": [(n, p) for n, p in named if (len(p.shape) >= 2) == decays], "weight_decay": rate}
        for decays, rate in rates.items()
    ]
    return [group for group in groups if group["params"]]
