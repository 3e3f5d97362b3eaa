"""The sizes from which the kernels are faster than torch."""

LEAST: dict[str, tuple[int, int]] = {
    "attention": (8192, 8192),
    "batch_norm": (8192, 8192),
    "cross_entropy": (8192, 8192),
    "dropout": (8192, 8192),
    "gelu": (8192, 8192),
    "group_norm": (8192, 8192),
    "layer_norm": (8192, 8192),
    "linear_gelu": (8192, 8192),
    "max_pool2d": (8192, 8192),
    "rms_norm": (8192, 8192),
    "silu": (8192, 8192),
    "softmax": (8192, 8192),
}
"""For each operation the least number of input elements for which its kernels run: under no_grad, and else.

Both are the same for operations with dropout, because activation checkpointing runs them in both ways and has to draw
the same numbers.
"""
