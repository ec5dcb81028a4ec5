"""Training runs: options, the loops around the solvers, evaluation, results on disk."""

from admm.training.evaluate import evaluate, predict
from admm.training.history import Evaluation
from admm.training.options import Options
from admm.training.resume import resumed
from admm.training.run import train
from admm.training.subnetwork_options import SubnetworkOptions
from admm.training.subnetworks import train_subnetworks
from admm.training.summary import Result

__all__ = [
    "Evaluation",
    "Options",
    "Result",
    "SubnetworkOptions",
    "evaluate",
    "predict",
    "resumed",
    "train",
    "train_subnetworks",
]
