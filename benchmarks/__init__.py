"""Benchmarks: `python -m benchmarks NAME`. They measure; the tests decide right and wrong."""
