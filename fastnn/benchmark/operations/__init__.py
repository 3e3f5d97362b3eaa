"""The benchmarked operations, as users of fastnn, NumPy and PyTorch would call them, in float32.

Each operation is a function that contains its NumPy side; `fastnn.benchmark.case.operation` registers it. Every call
returns new arrays, as in a user's program; an operation is in place only if it is so on every side. NumPy's temporaries
are reused where that is natural. PyTorch runs in its modes; for a backward pass its kernel is called without autograd,
which is its fastest way.
"""
