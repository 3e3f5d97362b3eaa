"""What is benchmarked: each operation as a user of fastnn, of NumPy and of PyTorch would call it, in float32.

A function per operation, with its NumPy side beside it; `fastnn.benchmark.case.operation` registers it. Results are new
arrays in every call, as in a user's program; only what every side does in place is in place. NumPy's temporaries are
reused where that reads naturally. PyTorch runs in its modes; for a backward pass its kernel is called without autograd,
which is its fastest way.
"""
