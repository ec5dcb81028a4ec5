"""Benchmarks: `python -m benchmarks NAME`. They measure; the tests decide right and wrong."""

# A benchmark is a module of this package with `main(argv)` and `draw(figure, rows)`.
NAMES = (
    "accuracy",
    "checkpoint",
    "communication",
    "convergence",
    "convolutions",
    "depth",
    "federated",
    "kernels",
    "network",
    "partitions",
    "scaling",
    "speedup",
    "time-to-accuracy",
    "tssm",
)
