"""The sizes from which the kernels are faster than torch."""

LEAST: dict[str, tuple[int, int]] = {
    "attention": (8_000, 8_000),
    "batch_norm": (500_000, 50_000),
    "batch_norm of rows": (500_000, 2_000_000),
    "cross_entropy": (3_000_000, 200_000),
    "dropout": (10_000, 10_000),
    "gelu": (2_000_000, 2_000_000),
    "group_norm": (2_000_000, 1_500_000),
    "layer_norm": (2_000_000, 1_500_000),
    "linear": (0, 0),
    "linear_gelu": (5_000_000, 5_000_000),
    "max_pool2d": (5_000, 40_000),
    "rms_norm": (50_000, 0),
    "silu": (1_500_000, 1_500_000),
    "softmax": (100_000, 700_000),
}
"""For each operation the least number of input elements for which its kernels run: under no_grad, and else.

`linear` is asked for by name, and runs always. The others were measured with one thread by `bench/torch_modules.py
--kernels` (Zen 4, torch 2.13). Below, calling the kernels from Python costs more than they save. Both are the same for
operations with dropout, because activation checkpointing runs them in both ways and has to draw the same numbers.
"""
