"""What a network is made of: activations, risks, hop operators, the GA-MLP; networks of any
modules; how layers and modules are split.

Nothing here knows solvers, workers or files.
"""

from layers.activations import IDENTITY, RELU, LeakyReLU, PiecewiseLinear
from layers.architectures import cnn, mlp, resnet
from layers.gamlp import Dense, apply_dense, forward, identity_dense, init_dense, widths
from layers.hops import Normalization, hop_inputs, normalized_adjacency, row_basis
from layers.networks import (
    Builder,
    Network,
    Subnetwork,
    build,
    forward_costs,
    from_modules,
    module_shapes,
)
from layers.risks import SoftmaxCrossEntropy, SquaredError
from layers.split import deal_out, layer_costs, split_layers, split_network

__all__ = [
    "IDENTITY",
    "RELU",
    "Builder",
    "Dense",
    "LeakyReLU",
    "Network",
    "Normalization",
    "PiecewiseLinear",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Subnetwork",
    "apply_dense",
    "build",
    "cnn",
    "deal_out",
    "forward",
    "forward_costs",
    "from_modules",
    "hop_inputs",
    "identity_dense",
    "init_dense",
    "layer_costs",
    "mlp",
    "module_shapes",
    "normalized_adjacency",
    "resnet",
    "row_basis",
    "split_layers",
    "split_network",
    "widths",
]
