"""Training of federated clients: one stage, an epoch being a round."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from admm.comm import Transport, agree_on_masks, fill_leaves, in_turns, named_leaves
from admm.methods.federated.context import TABLES, Tables
from admm.methods.federated.links import (
    DOWN,
    DOWNLOADS,
    RANGES,
    UP,
    VARIABLES,
    message_bytes,
    variables,
)
from admm.methods.federated.network import start_network
from admm.methods.federated.scores import Parameters, Scorer
from admm.methods.federated.share import FederatedShare
from admm.methods.federated.worker import FederatedWorker
from admm.run.method import Arrays, Joiner, Network, Training
from admm.solvers.privacy import epsilon

# The unit that has the server; that of client k, from 1, is k.
_SERVER = 0


class FederatedTraining(Training):
    """Some clients for every worker, and the server on the first.

    Args:
        share: The federation, with the options to train with.
        transport: Of the run.
    """

    def __init__(self, share: FederatedShare, transport: Transport) -> None:
        options = share.options
        self._options, self._share, self._transport = options, share, transport
        transport.declare(*VARIABLES, *RANGES.values(), *TABLES)
        self._start = start_network(options, share.outline)
        clients = len(share.windows)
        self._nbytes = message_bytes(options, clients, self._start.w.shape)
        self._rounds = share.availability
        self._tables = Tables(share, self._rounds) if options.attention != "own" else None
        self.variables = (*self._nbytes, *(self._tables.nbytes if self._tables else ()))
        masks = agree_on_masks(transport, share.clients) if options.secure_aggregation else None
        self._workers = [
            FederatedWorker(index, share, transport, self._start, self._rounds, masks, self._tables)
            for index in transport.local
        ]
        self._scorer = Scorer(share, self._start.model, transport)
        self.depth = 1 + len(share.windows) * self._has_personal
        self._last = 0

    @property
    def _has_personal(self) -> bool:
        return self._tables is not None or bool(jax.tree.leaves(self._start.v))

    def units(self, worker: int) -> str:
        return f"clients {self._share.units(worker)}"

    def epoch(self, number: int, measure: bool) -> None:
        in_turns(worker.iteration(number) for worker in self._workers)
        self._transport.flush()
        self._last = number
        if self._options.noise_multiplier:
            self._share.released.update(self._rounds.answering(number))

    def measure(self) -> Mapping[str, float]:
        in_turns(worker.shared() for worker in self._workers)
        return {**self._scorer.means(self._parameters()), **self._traffic()}

    def _parameters(self) -> Parameters:
        """Of the own clients, with z of the last evaluation."""
        return {k: (w.z, own) for w in self._workers for k, own in w.personal().items()}

    def _traffic(self) -> dict[str, int]:
        """What the clients have had to do with so far, wherever they live."""
        counts = self._rounds.counts(self._last)

        def nbytes(way: str) -> int:
            return sum(
                each * (counts.downloads if name in DOWNLOADS else counts.answers)
                for name, each in self._nbytes.items()
                if name.startswith(way)
            )

        found = {
            "answers": counts.answers,
            "skipped": counts.skipped,
            "bytes_down": nbytes(DOWN),
            "bytes_up": nbytes(UP),
        }
        if self._tables is not None:
            times = len(self._tables.messages(self._last))
            found |= {f"bytes_{name}": times * n for name, n in self._tables.nbytes.items()}
        return found

    def state(self) -> dict[int, Arrays]:
        found: dict[int, Arrays] = {}
        for worker in self._workers:
            found |= {1 + k: named_leaves(kept) for k, kept in worker.state().items()}
            if worker.server is not None:
                found[_SERVER] = named_leaves(worker.server_state())
        return found

    def settings(self) -> Mapping[str, Any]:
        released = self._share.released
        return {"released": [released[k] for k in range(len(self._share.windows))]}

    def restore(self, read: Callable[[int], Arrays], settings: Mapping[str, Any] | None) -> None:
        released = self._share.released
        for k, times in enumerate(settings["released"] if settings else []):
            released[k] = max(released[k], times)
        for worker in self._workers:
            worker.restore(read)

    def network(self) -> Network:
        """The shared parameters, at the root, as number 0; what is client k's own as k."""
        found: dict[int, Any] = {}
        for worker in self._workers:
            if worker.server is not None:
                found[_SERVER] = self._start.model.unravel(worker.server.z)
            if self._has_personal:
                own = worker.personal().items()
                found |= {1 + k: each.saved for k, each in own}
        return found

    def saved_network(self, depth: int, read: Callable[[int], Arrays]) -> Network:
        blank = self.network().items()
        found = {number: fill_leaves(each, read(number)) for number, each in blank}
        return jax.tree.map(jnp.asarray, found)

    def joiner(self) -> Joiner | None:
        """Makes the network of a window, if clients have no part of it of their own."""
        model, transport = self._start.model, self._transport

        def join(network: Network) -> Any:
            shared = jax.tree.map(np.asarray, network.get(_SERVER))
            shared = jax.tree.map(jnp.asarray, transport.share(shared, 0))
            return eqx.combine(shared, model.static)

        return None if self._has_personal else join

    def report(self) -> Mapping[str, Any]:
        own = {
            k: (worker.locals[k].client.w, each)
            for worker in self._workers
            for k, each in worker.personal().items()
        }
        found: dict[str, Any] = {"personalised": self._scorer.means(own)}
        if self._options.noise_multiplier:
            found["privacy"] = self._privacy()
        if self._options.baselines:
            found["baselines"] = self._share.baselines
        if self._options.per_client:
            in_turns(worker.shared() for worker in self._workers)
            found["clients"] = self._scorer.of_clients(self._parameters())
        return found

    def _privacy(self) -> dict[str, Any]:
        """What the answers of the client that has answered most often give away, at most."""
        options, answers = self._options, max(self._share.released.values(), default=0)
        releases = answers * len(variables(options.method)[1::2])
        return {
            "epsilon": epsilon(options.noise_multiplier, releases, options.delta),
            "delta": options.delta,
            "noise_multiplier": options.noise_multiplier,
            "clip_update": options.clip_update,
            "answers": answers,
        }
