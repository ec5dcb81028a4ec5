"""Stochastic ADMM: layers of an MLP or a CNN that all work at once, each on another micro-batch."""
