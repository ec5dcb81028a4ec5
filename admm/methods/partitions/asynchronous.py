"""Training over parts of a graph without barriers: rank 0 has weights and optimiser."""

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from admm.comm import Mailbox, MPITransport
from admm.methods.partitions.mailed import mail
from admm.methods.partitions.options import PartitionOptions
from admm.methods.partitions.share import PartitionShare
from admm.methods.partitions.training import PartitionTraining
from admm.methods.partitions.worker import PartitionWorker
from layers import GraphLayer

GRADIENT, WEIGHTS = "gradient", "weights"


def message_layout(network: Sequence[GraphLayer], dtype: str) -> np.dtype:
    """Messages both ways: who is where, and the loss before the gradient or the weights."""
    size = 1 + sum(each.size for each in jax.tree.leaves(network))
    heads = [(name, np.int64) for name in ("epoch", "meets", "version")]
    return np.dtype([*heads, ("values", dtype, (size,))])


class Server:
    """Weights and optimiser of all ranks, at rank 0: every gradient that comes makes a step.

    With g_r the share of the M ranks' rank r in the gradient of the mean loss, a step is the
    optimiser's, of gradient M g_r (+ decay), divided by M.

    Args:
        worker: Of rank 0.
        mailbox: Of rank 0.
        layout: Of messages both ways.
        ranks: Their number M.
        lead: Epochs that a rank may be ahead of the slowest.

    Attributes:
        version: Steps so far.
        ages: Of the weights that the gradients of this segment were computed with, in steps.
        delays: How many of all gradients had been computed with weights of an age.
    """

    def __init__(
        self, worker: PartitionWorker, mailbox: Mailbox, layout: np.dtype, ranks: int, lead: int
    ) -> None:
        self._worker, self._mailbox, self._layout, self._lead = worker, mailbox, layout, lead
        self._losses = np.zeros(ranks)
        self._behind = np.zeros(ranks, int)  # epochs behind every rank
        self._held: dict[int, bool] = {}  # ranks that wait for weights, and whether to meet
        self.version = 0
        self.ages: list[int] = []
        self.delays: Counter[int] = Counter()
        for rank in range(1, ranks):
            mailbox.expect(rank, GRADIENT, layout.itemsize)

    def begin(self, epoch: int) -> None:
        """Begin a segment: all ranks are about to begin an epoch."""
        self._behind[:] = epoch - 1
        self.ages.clear()

    def take(self, rank: int, message: np.ndarray) -> None:
        """Make a step with the gradient of a rank, which then waits for weights."""
        (message,), ranks = message, len(self._losses)
        self.ages.append(self.version - int(message["version"]))
        self.delays[self.ages[-1]] += 1
        values = ranks * message["values"]
        self._losses[rank] = message["values"][0]
        values[0] = self._losses.sum()
        self._worker.step(values)
        self.version += 1
        self._behind[rank] = message["epoch"]
        self._held[rank] = bool(message["meets"])

    def serve(self) -> None:
        """Take the gradients that have come, and let ranks go on that may."""
        for rank in range(1, len(self._behind)):
            for each in self._mailbox.take(rank, GRADIENT):
                self.take(rank, np.frombuffer(each, self._layout))
        for rank, meets in list(self._held.items()):
            room = 0 if meets else self._lead - 1
            if self._behind[rank] > self._behind.min() + room:
                continue
            if rank == 0:
                del self._held[rank]
            elif self._mailbox.is_free(rank, WEIGHTS):
                del self._held[rank]
                message = np.zeros(1, self._layout)
                message["version"], message["values"] = self.version, self._worker.weights()
                self._mailbox.send(message.view(np.uint8), rank, WEIGHTS)
                self._mailbox.transport.control_bytes += message.nbytes

    def lets_root_go(self, meets: bool) -> bool:
        """Serve; whether rank 0 itself may go on: where ranks meet, after all others."""
        self.serve()
        return not self._held if meets else 0 not in self._held


class AsynchronousTraining(PartitionTraining):
    """Ranks that meet at measured epochs only, and between them wait for weights alone.

    A rank sends its gradient to rank 0 and gets the newest weights back, unless it is too far
    ahead: then it waits for the slowest. Runs are not reproducible bit for bit.

    Args:
        options: What to train.
        share: The parts.
        transport: Of the run.

    Source: the asynchronous mode of DIGEST, arXiv 2206.00057, reconstructed from its abstract; the
    bound on the lead is that of stale synchronous parallel training (Ho et al., NIPS 2013).
    """

    lockstep = False

    def __init__(
        self, options: PartitionOptions, share: PartitionShare, transport: MPITransport
    ) -> None:
        self._mailbox = Mailbox(transport)
        super().__init__(options, share, transport, self._mailbox)
        transport.declare(GRADIENT, WEIGHTS, *(mail(n) for n in range(1, options.layers)))
        (self._worker,) = self._workers
        self._layout = message_layout(self._worker.network, options.dtype)
        self._server: Server | None = None
        if transport.is_root:
            given = (self._layout, transport.size, options.lead)
            self._server = Server(self._worker, self._mailbox, *given)
        else:
            self._mailbox.expect(0, WEIGHTS, self._layout.itemsize)
        self._mpi = transport
        self._version = 0  # of the weights in use
        self._begun = 0  # epochs of the segment
        self._speeds: list[float] = []  # in segments, in epochs per second

    def epoch(self, number: int, measure: bool) -> None:
        if not self._begun:
            self._begin(number)
        self._begun += 1
        if self._server is not None:
            self._version = self._server.version
        for _ in self._worker.iteration(number):
            if self._server is not None:
                self._server.serve()
        message = np.zeros(1, self._layout)
        message["epoch"], message["meets"], message["version"] = number, measure, self._version
        message["values"] = self._worker.summed()
        if measure:
            self._speeds.append(self._begun / (time.perf_counter() - self._start))
        self._mpi.traced("wait", "wait weights", self._hand_in, message)
        if measure:
            self._mailbox.close()
            self._begun = 0

    def _begin(self, number: int) -> None:
        """Begin a segment, which ends with the next measured epoch."""
        self._start = time.perf_counter()
        if self._server is not None:
            self._server.begin(number)
        self._mailbox.open()

    def _hand_in(self, message: np.ndarray) -> None:
        """Give rank 0 a gradient, and take the newest weights over when it lets go."""
        # The others may have all epochs of the segment before them.
        rounds = self._begun
        if self._server is not None:
            self._server.take(0, message)
            meets = bool(message["meets"][0])
            self._mpi.wait(partial(self._server.lets_root_go, meets), rounds=rounds)
            return
        self._mpi.wait(lambda: self._mailbox.is_free(0, GRADIENT), source=0)
        self._mailbox.send(message.view(np.uint8), 0, GRADIENT)
        self._mpi.control_bytes += message.nbytes
        self._mpi.wait(self._has_weights, source=0, rounds=rounds)

    def _has_weights(self) -> bool:
        """Whether weights have come; they are those in use then."""
        for each in self._mailbox.take(0, WEIGHTS):
            (message,) = np.frombuffer(each, self._layout)
            self._version = int(message["version"])
            self._worker.take_over(message["values"])
            return True
        return False

    def measure(self) -> Mapping[str, float]:
        delay = None if self._server is None else statistics.mean(self._server.ages)
        return {**super().measure(), "delay": self._mpi.share(delay, 0)}

    def report(self) -> Mapping[str, Any]:
        """Since the run was last resumed: ages of weights, speeds, and what was not mailed."""
        delays = None if self._server is None else sorted(self._server.delays.items())
        return {
            "asynchronous": {
                "delays": dict(self._mpi.share(delays, 0)),
                "epochs_per_second": self._mpi.gather(
                    statistics.median(self._speeds) if self._speeds else None
                ),
                "skipped": self._mpi.gather(self._worker.skipped),
            }
        }
