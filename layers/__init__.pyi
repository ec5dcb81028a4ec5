from .activations import (
    IDENTITY as IDENTITY,
    RELU as RELU,
    Activation as Activation,
    LeakyReLU as LeakyReLU,
    PiecewiseLinear as PiecewiseLinear,
)
from .affine import (
    Affine as Affine,
    activate as activate,
    affine as affine,
    patches as patches,
    sides as sides,
    weights as weights,
    with_weights as with_weights,
)
from .architectures import (
    Stage as Stage,
    all_dense as all_dense,
    cnn as cnn,
    mlp as mlp,
    resnet as resnet,
)
from .fathom import Context as Context, Fathom as Fathom
from .gamlp import (
    Dense as Dense,
    apply_dense as apply_dense,
    forward as forward,
    identity_dense as identity_dense,
    init_dense as init_dense,
    widths as widths,
)
from .graph_convolution import (
    GraphLayer as GraphLayer,
    SparseMatrix as SparseMatrix,
    aggregate as aggregate,
    drop as drop,
    dropout_key as dropout_key,
    init_graph_layer as init_graph_layer,
    keep_mask as keep_mask,
    matmul as matmul,
    sparse_matrix as sparse_matrix,
    transform as transform,
)
from .hops import (
    basis_columns as basis_columns,
    hop_inputs as hop_inputs,
    hop_product as hop_product,
    normalized_adjacency as normalized_adjacency,
    row_basis as row_basis,
)
from .modules import (
    Chain as Chain,
    Subnetwork as Subnetwork,
    split_model as split_model,
    takes_key as takes_key,
)
from .names import (
    Attention as Attention,
    GraphKind as GraphKind,
    Normalization as Normalization,
    Partitioner as Partitioner,
    SequenceKind as SequenceKind,
)
from .networks import (
    Builder as Builder,
    Network as Network,
    build as build,
    forward_costs as forward_costs,
    from_modules as from_modules,
    module_shapes as module_shapes,
)
from .partition import (
    Part as Part,
    Partition as Partition,
    drop_cut as drop_cut,
    partition as partition,
    propagation as propagation,
    split_graph as split_graph,
)
from .proximal import prox as prox, prox_risk as prox_risk
from .recurrent import RecurrentNetwork as RecurrentNetwork, lstm_states as lstm_states
from .risks import (
    Risk as Risk,
    SigmoidCrossEntropy as SigmoidCrossEntropy,
    SoftmaxCrossEntropy as SoftmaxCrossEntropy,
    SquaredError as SquaredError,
)
from .sequence_networks import (
    SequenceNetwork as SequenceNetwork,
    WindowLinear as WindowLinear,
    WindowMLP as WindowMLP,
    init_sequence_network as init_sequence_network,
    private_parameters as private_parameters,
)
from .split import (
    deal_out as deal_out,
    layer_costs as layer_costs,
    split_layers as split_layers,
    split_network as split_network,
    subnetwork_costs as subnetwork_costs,
)
