"""Training over parts of a graph: one stage, an epoch being a step of all training nodes."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from admm.comm import Mailbox, Transport, fill_leaves, in_turns, receive_exact, send_exact
from admm.datasets.fingerprint import fingerprint
from admm.errors import InputError, spelled
from admm.methods.partitions.options import PartitionOptions
from admm.methods.partitions.share import PartitionShare
from admm.methods.partitions.worker import EVALUATION, VARIABLES, PartitionWorker
from admm.methods.subnetworks.losses import mean_losses
from admm.run.method import Arrays, Network, Training
from admm.solvers.backprop import make_optimizer
from layers import GraphLayer, init_graph_layer

# The unit of a checkpoint that has the network; those of parts follow.
_COMMON = 0


class PartitionTraining(Training):
    """Some parts for every worker, and the network in all of them.

    Args:
        options: What to train.
        share: The parts.
        transport: Of the run.
        mailbox: See `PartitionWorker`.
    """

    def __init__(
        self,
        options: PartitionOptions,
        share: PartitionShare,
        transport: Transport,
        mailbox: Mailbox | None = None,
    ) -> None:
        self.depth = options.layers
        self._options, self._share, self._transport = options, share, transport
        transport.declare(*VARIABLES)
        network = new_network(options, share.widths)
        optimizer = optimizer_of(options, transport.size if options.async_ else 1)
        self._workers = [
            PartitionWorker(index, share, transport, network, optimizer, mailbox)
            for index in transport.local
        ]
        self.variables = [name for name in VARIABLES if name in self._workers[0].variables]

    def units(self, worker: int) -> str:
        return f"parts {self._share.units(worker)}"

    def epoch(self, number: int, measure: bool) -> None:
        in_turns(worker.iteration(number) for worker in self._workers)
        total = self._sum([worker.summands() for worker in self._workers])
        for worker in self._workers:
            worker.step(total)

    def measure(self) -> Mapping[str, float]:
        found = scores(self._share, self._workers, self._transport)
        objective = self._workers[0].loss
        return {"layers": self.depth, **found, "objective": objective, **self._staleness()}

    def _staleness(self) -> dict[str, float]:
        """Of every H_l, and of what it is predicted from; without a halo there is none."""
        sums = self._sum([worker.staleness for worker in self._workers]).tolist()
        found: dict[str, float] = {}
        for number, (error, length, unpredicted) in enumerate(sums, start=1):
            if self._options.halo != "drop":
                found[f"staleness_{number}"] = _ratio(error, length)
            if self._options.predictor != "none":
                found[f"prediction_{number}"] = _ratio(error, unpredicted)
        return found

    def _sum(self, summands: Sequence[np.ndarray]) -> np.ndarray:
        """Of all parts, in their order; each worker has those of its own."""
        counts = list(map(len, self._share.plan.owned))
        return self._transport.begin_sum(summands, counts)()

    def state(self) -> dict[int, Arrays]:
        found: dict[int, Arrays] = {}
        for worker in self._workers:
            own = zip(worker.own, worker.state(), strict=True)
            found |= {1 + number: state for number, state in own}
        self._transport.flush()
        if self._transport.is_root:
            found[_COMMON] = self._workers[0].common()
        return found

    def settings(self) -> Mapping[str, Any]:
        plan = self._share.plan
        return {"partition": {"how": plan.how, "fingerprint": fingerprint(plan.owner)}}

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        then, now = settings["partition"], self.settings()["partition"]
        if then != now:
            raise InputError(
                f"the nodes were in other parts, made by {_told(then)}; got parts made by "
                f"{_told(now)}: go on where the same partitioner is installed, in the same "
                f"version, or train anew, without {spelled('resume')}"
            )

    def restore(self, read: Callable[[int], Arrays], settings: Mapping[str, Any] | None) -> None:
        for worker in self._workers:
            worker.restore([read(1 + number) for number in worker.own], read(_COMMON))

    def network(self) -> Network:
        """The layers, at the root."""
        if not self._transport.is_root:
            return {}
        return dict(enumerate(self._workers[0].network, start=1))

    def saved_network(self, depth: int, read: Callable[[int], Arrays]) -> Network:
        network = self.network().items()
        found = {number: fill_leaves(layer, read(number)) for number, layer in network}
        return jax.tree.map(jnp.asarray, found)


def _told(partition: Mapping[str, str]) -> str:
    return f"{partition['how']} (fingerprint {partition['fingerprint']})"


def _ratio(error: float, length: float) -> float:
    """Of lengths, from their squares; 0 where there is nothing."""
    return float((error / length) ** 0.5) if length else 0.0


def new_network(options: PartitionOptions, widths: Sequence[int]) -> list[GraphLayer]:
    """The layers at the start."""
    kind, dtype = options.network, options.dtype
    shapes = enumerate(pairwise(widths), start=1)
    return [init_graph_layer(options.seed, n, *shape, kind, dtype) for n, shape in shapes]


def optimizer_of(options: PartitionOptions, steps: int = 1) -> optax.GradientTransformation:
    """The optimiser, with the decay in the gradient that it sees; biases do not decay.

    Args:
        options: Of the run.
        steps: Of an epoch, which divide the rate. Schedules of an optimiser of one's own count
            steps: they end so many times as early.
    """
    return _chain(options.optimizer, options.learning_rate, options.weight_decay, steps)


@cache  # one object for the same settings, so that what is compiled for it is found again
def _chain(
    optimizer: Any, lr: float | None, weight_decay: float, steps: int
) -> optax.GradientTransformation:
    if lr is not None:  # one's own has its own
        optimizer = make_optimizer(optimizer, lr)
    decay = optax.add_decayed_weights(weight_decay, mask=_is_matrix)
    return optax.chain(decay, optimizer, optax.scale(1 / steps))


def _is_matrix(network: Any) -> Any:
    return jax.tree.map(lambda array: array.ndim > 1, network)


def logits_of_all(
    share: PartitionShare, workers: Sequence[PartitionWorker], transport: Transport
) -> np.ndarray | None:
    """Logits of every node, at the root: every worker sends those of its parts."""
    in_turns(worker.evaluation() for worker in workers)
    for worker in workers:
        if worker.index > 0:
            for logits in worker.logits:
                send_exact(transport, logits, worker.index, 0, EVALUATION)
    if not transport.is_root:
        return None
    plan, classes = share.plan, share.widths[-1]
    found = np.empty((share.facts.nodes, classes), share.options.dtype)
    blank = jnp.zeros((plan.own, classes), found.dtype, device=transport.device(0))
    for part, owner in enumerate(plan.worker):
        logits = (
            receive_exact(transport, blank, owner, 0, EVALUATION)
            if owner
            else workers[0].logits[part]
        )
        nodes = np.flatnonzero(plan.owner == part)
        found[nodes] = np.asarray(logits)[: len(nodes)]
    return found


def scores(
    share: PartitionShare, workers: Sequence[PartitionWorker], transport: Transport
) -> dict[str, float]:
    """Training loss and scores of the network of now, in every process."""
    logits, facts, found = logits_of_all(share, workers, transport), share.facts, None
    if logits is not None:
        outputs = jnp.asarray(logits[facts.rows])
        loss = mean_losses(share.options.loss, facts, outputs)["train_loss"]
        found = {"train_loss": loss, **facts.scores(outputs)}
    return transport.share(found, 0)
