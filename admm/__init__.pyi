from . import datasets as datasets
from .comm.transport import LocalTransport as LocalTransport
from .datasets.graph import Graph as Graph, checked_graph as checked_graph
from .datasets.images import Images as Images
from .datasets.samples import Samples as Samples, checked_samples as checked_samples
from .datasets.save import save_graph as save_graph
from .datasets.splits import Split as Split, split_of_masks as split_of_masks
from .estimators.subnetworks import (
    SubnetworkClassifier as SubnetworkClassifier,
    SubnetworkRegressor as SubnetworkRegressor,
)
from .methods.layerwise.options import (
    BackpropOptions as BackpropOptions,
    PDADMMGOptions as PDADMMGOptions,
)
from .methods.subnetworks.options import SubnetworkOptions as SubnetworkOptions
from .methods.subnetworks.train import train_subnetworks as train_subnetworks
from .run.inference import evaluate as evaluate, predict as predict
from .run.method import Training as Training
from .run.options import MethodOptions as MethodOptions, option as option
from .run.registry import options as options, solver_places as solver_places
from .run.resume import resumed as resumed
from .run.run import train as train
from .run.stopping import below as below, patience as patience
from .run.summary import Result as Result

__version__: str
