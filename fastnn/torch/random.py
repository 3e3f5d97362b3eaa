"""Seeds from torch's generators."""

import torch


def new_seed(generator: torch.Generator | None = None) -> int:
    """Draw a seed from torch's default CPU generator or the given one, whatever torch's default device is."""
    chosen = torch.default_generator if generator is None else generator
    return int(torch.randint(2**63 - 1, (), generator=chosen, device=chosen.device, dtype=torch.int64))
