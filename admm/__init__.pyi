from . import datasets as datasets
from .comm.shares import trace_shares as trace_shares
from .comm.transport import LocalTransport as LocalTransport
from .datasets.clients import read_federation as read_federation
from .datasets.federation import Federation as Federation
from .datasets.graph import Graph as Graph, checked_graph as checked_graph
from .datasets.images import Images as Images
from .datasets.objects import as_graph as as_graph
from .datasets.samples import Samples as Samples, checked_samples as checked_samples
from .datasets.save import save_graph as save_graph
from .datasets.splits import Split as Split, split_of_masks as split_of_masks
from .datasets.windows import Client as Client, Windows as Windows
from .estimators.gamlp import GAMLPClassifier as GAMLPClassifier
from .estimators.subnetworks import (
    SubnetworkClassifier as SubnetworkClassifier,
    SubnetworkRegressor as SubnetworkRegressor,
)
from .methods.federated.options import FederatedOptions as FederatedOptions
from .methods.layerwise.group import SolverState as SolverState
from .methods.layerwise.options import (
    BackpropOptions as BackpropOptions,
    PDADMMGOptions as PDADMMGOptions,
)
from .methods.layerwise.solve import (
    Solution as Solution,
    Tolerance as Tolerance,
    solve as solve,
)
from .methods.partitions.options import PartitionOptions as PartitionOptions
from .methods.stochastic.options import StochasticOptions as StochasticOptions
from .methods.subnetworks.inference import load_module as load_module
from .methods.subnetworks.options import SubnetworkOptions as SubnetworkOptions
from .methods.subnetworks.train import train_subnetworks as train_subnetworks
from .reports.figures import Prices as Prices
from .reports.report import Report as Report, report as report
from .run.estimate import Estimate as Estimate, estimate as estimate
from .run.history import read_history as read_history
from .run.inference import evaluate as evaluate, predict as predict
from .run.method import Training as Training
from .run.options import MethodOptions as MethodOptions, option as option
from .run.plot import plot_runs as plot_runs
from .run.progress import progress_bar as progress_bar
from .run.registry import options as options, solver_places as solver_places
from .run.resume import resumed as resumed
from .run.run import train as train
from .run.status import run_status as run_status
from .run.stopping import below as below, patience as patience
from .run.summary import Result as Result
from .run.tensorboard import tensorboard as tensorboard

__version__: str
