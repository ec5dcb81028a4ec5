"""What federated learning costs, from shapes: nothing is computed."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from admm.comm import tree_bytes
from admm.methods.federated.context import Tables
from admm.methods.federated.links import DOWN, DOWNLOADS, linked, message_bytes, remembered
from admm.methods.federated.network import CHUNK, Batch, Personal, start_network
from admm.methods.federated.share import FederatedShare
from admm.methods.federated.worker import EVALUATION, Kept, KeptServer, new_local, new_server
from admm.run.costs import Message, StageCosts, WorkerCosts, evaluations
from admm.solvers.flops import traced_flops


class Costs:
    """What the one stage of a run costs.

    Args:
        share: The federation.
    """

    def __init__(self, share: FederatedShare) -> None:
        self._share, self._options = share, share.options
        self._itemsize = np.dtype(share.options.dtype).itemsize
        self._start = start_network(share.options, share.outline)
        rounds, epochs = share.availability, range(1, share.options.epochs + 1)
        self._tables = Tables(share, rounds) if share.options.attention != "own" else None
        self._told, self._context = None, None
        if (tables := self._tables) is not None:
            self._told, self._context = jax.eval_shape(lambda: (tables.blank, tables.nothing()))
        self._downloads = Counter(k for n in epochs for k in rounds[n].present)
        self._answers = Counter(k for n in epochs for k in rounds[n].answering)

    def stage(self) -> StageCosts:
        """See `MethodOptions.costs`."""
        options, start = self._options, self._start
        private = tree_bytes(start.v) * len(self._share.windows)
        workers = tuple(self._worker(n) for n in range(len(self._share.owned)))
        passes = evaluations(options.epochs, options.eval_every)
        parameters = (tree_bytes(start.w) + private) // self._itemsize
        return StageCosts(parameters, options.epochs, passes, workers)

    def _worker(self, worker: int) -> WorkerCosts:
        own, start = self._share.owned[worker], self._start
        windows = sum(-(-count // CHUNK) * CHUNK for k in own for count in self._share.windows[k])
        steps = sum(self._answers[k] for k in own) * self._options.steps / self._options.epochs
        gradient = jax.value_and_grad(start.model.loss, (0, 1))
        return WorkerCosts(
            f"clients {self._share.units(worker)}",
            steps * traced_flops(gradient, start.w, start.v, self._batch(self._options.batch)),
            windows * traced_flops(start.model.loss, start.w, start.v, self._batch(1)),
            tuple(self._messages(worker)),
            tree_bytes(self._checkpoint(worker)),
        )

    def _batch(self, rows: int) -> Batch:
        """Shapes of so many windows."""
        outline, dtype = self._share.outline, self._options.dtype
        classes = outline.task == "classes"
        shape = (rows,) if classes else (rows, len(outline.outputs))
        shapes = jax.eval_shape(
            lambda: Batch(
                jnp.zeros((rows, outline.steps, outline.features), dtype),
                jnp.zeros(shape, "int32" if classes else dtype),
                jnp.zeros(shape, bool),
                jnp.zeros(rows, "int32") if self._tables else None,
            )
        )
        return shapes._replace(context=self._context)

    def _messages(self, worker: int) -> list[Message]:
        """Of a whole run, since who is there differs from round to round."""
        found, clients = [], len(self._share.windows)
        for name, nbytes in message_bytes(self._options, clients, self._start.w.shape).items():
            if name.startswith(DOWN) and worker == 0:
                counted = self._downloads if name in DOWNLOADS else self._answers
                for target, own in list(enumerate(self._share.owned))[1:]:
                    times = sum(counted[k] for k in own)
                    found.append(Message(name, target, nbytes, times, "stage"))
            elif not name.startswith(DOWN) and worker > 0:
                times = sum(self._answers[k] for k in self._share.owned[worker])
                found.append(Message(name, 0, nbytes, times, "stage"))
        if self._tables is not None:
            told = Counter(self._tables.messages(self._options.epochs))
            each = [sum(told[k] for k in own) for own in self._share.owned]
            name, nbytes = list(self._tables.nbytes.items())[worker > 0]
            ends = [(0, each[worker])] if worker else list(enumerate(each))[1:]
            found += [Message(name, end, nbytes, count, "stage") for end, count in ends]
        if worker == 0:
            for target in range(1, len(self._share.owned)):
                nbytes = tree_bytes(self._start.w)
                found.append(Message(EVALUATION, target, nbytes, 1, "evaluation"))
        return found

    def _checkpoint(self, worker: int) -> list[Any]:
        """State and best network after the last round."""
        start, clients = self._start, len(self._share.owned[worker])
        links = dict.fromkeys(linked(self._options), start.w)
        changes = jax.ShapeDtypeStruct(start.w.shape, np.dtype("float64"))
        kept_changes = dict.fromkeys(remembered(self._options), changes)
        local = jax.eval_shape(lambda: new_local(self._options, start))
        kept = Kept(local, links, kept_changes, self._told)
        found: list[Any] = clients * [kept, Personal(start.v, self._context)]
        if worker == 0:
            server = jax.eval_shape(lambda: new_server(self._options, start.w))
            found += [KeptServer(server, kept_changes), start.w]
        return found

    def peak_memory(self) -> list[int]:
        """See `MethodOptions.peak_memory`."""
        return [self._memory(worker) for worker in range(len(self._share.owned))]

    def _memory(self, worker: int) -> int:
        """States, links of the server, windows as read and in chunks, and a local step."""
        clients, outline = len(self._share.windows), self._share.outline
        held = 2 * tree_bytes(self._checkpoint(worker))
        if worker == 0:
            held += len(linked(self._options)) * clients * tree_bytes(self._start.w)
            held += clients * tree_bytes(self._told)
        own = self._share.owned[worker]
        windows = sum(sum(self._share.windows[k]) + CHUNK for k in own)
        rows = self._options.steps * self._options.batch
        held += self._options.steps * tree_bytes(self._context)
        held += tree_bytes(self._batch(3 * windows + 2 * rows))
        step = max(self._options.batch, CHUNK) * outline.steps * self._options.hidden
        return held + 32 * step * self._itemsize
