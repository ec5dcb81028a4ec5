"""Training runs: options, the loop around the solver, evaluation, results on disk."""

from admm.training.history import Evaluation
from admm.training.options import Options
from admm.training.run import Result, train

__all__ = ["Evaluation", "Options", "Result", "train"]
