"""Workers and transports: who owns which layers, and how their messages travel."""

from admm.parallel.chain import Neighbors, chain, pass_dense, pass_forward
from admm.parallel.data_parallel import DataParallel
from admm.parallel.leaves import fill_leaves, named_leaves
from admm.parallel.pipeline import PipelineWorker
from admm.parallel.subnetworks import SubnetworkWorker, run_epoch
from admm.parallel.trace import Trace
from admm.parallel.transport import LocalTransport, Transport
from admm.parallel.worker import Codecs, Worker, iterate

__all__ = [
    "Codecs",
    "DataParallel",
    "LocalTransport",
    "Neighbors",
    "PipelineWorker",
    "SubnetworkWorker",
    "Trace",
    "Transport",
    "Worker",
    "chain",
    "fill_leaves",
    "iterate",
    "named_leaves",
    "pass_dense",
    "pass_forward",
    "run_epoch",
]
