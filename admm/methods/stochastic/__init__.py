"""Stochastic ADMM: layers of an MLP that all work at once, each on another micro-batch."""
