"""What a network is made of: activations, risks, hop operators, the GA-MLP, the split of layers.

Nothing here knows solvers, workers or files.
"""

from layers.activations import IDENTITY, RELU, LeakyReLU, PiecewiseLinear
from layers.gamlp import Dense, apply_dense, forward, identity_dense, init_dense, widths
from layers.hops import Normalization, hop_inputs, normalized_adjacency, row_basis
from layers.risks import SoftmaxCrossEntropy, SquaredError
from layers.split import layer_costs, split_layers

__all__ = [
    "IDENTITY",
    "RELU",
    "Dense",
    "LeakyReLU",
    "Normalization",
    "PiecewiseLinear",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "apply_dense",
    "forward",
    "hop_inputs",
    "identity_dense",
    "init_dense",
    "layer_costs",
    "normalized_adjacency",
    "row_basis",
    "split_layers",
    "widths",
]
