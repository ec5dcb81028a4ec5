"""Training of stochastic ADMM: one stage, an epoch being a pass over all rows."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm import Transport, fill_leaves, in_turns, pass_forward
from admm.methods.chain import ChainTraining, in_full
from admm.methods.stochastic.options import StochasticOptions
from admm.methods.stochastic.share import StochasticShare, dropout_of
from admm.methods.stochastic.worker import VARIABLES, Codecs, Schedule, StochasticWorker
from admm.methods.subnetworks.losses import history_losses, loss_of
from admm.run.method import Arrays, Network
from admm.run.options import codec_of
from admm.solvers.stochastic import StochasticADMM
from admm.solvers.tssm import noise_key
from layers import Affine, Dense, identity_dense, init_dense, with_weights
from quant import make_codec

# Root mean square of the first pre-activation at the start.
_FIRST = 0.42


class StochasticTraining(ChainTraining):
    """Consecutive subnetworks for every worker.

    Args:
        options: What to train.
        share: Data and network.
        transport: Of the run.
    """

    variables = VARIABLES

    def __init__(
        self, options: StochasticOptions, share: StochasticShare, transport: Transport
    ) -> None:
        self.depth = options.depth
        self._options, self._share = options, share
        solver, codecs = solver_of(share), codecs_of(options)
        workers = [StochasticWorker(n, solver, transport, codecs) for n in transport.local]
        super().__init__(share.facts.task, transport, share.owned, workers)
        for worker in workers:
            own = share.owned[worker.index]
            worker.start(
                [[self._start(number) for number in share.cuts[part]] for part in own],
                own,
                len(share.cuts),
                self.neighbors[worker.index],
                self._training_inputs(),
                share.targets,
                None if share.dropped is None else jnp.asarray(share.basis),
                share.shapes[share.cuts[own.start].start - 1],
            )

    def _training_inputs(self) -> Array | None:
        share = self._share
        return share.rows if share.dropped is None else share.dropped

    def _start(self, number: int) -> Affine:
        """A layer before training.

        Those that read inputs or images are random, the others the identity, and the last is 0.
        """
        options, share = self._options, self._share
        _, *sides = share.products[number - 1]
        shape, dtype = (sides[0], sides[1]), options.dtype
        if number == self.depth:
            dense = Dense(jnp.zeros(shape, dtype), jnp.zeros(shape[1], dtype))
        elif number > 1 and len(share.shapes[number - 1]) == 1:
            dense = identity_dense(shape, dtype)
        else:
            scale = self._first_scale() if number == 1 else (2 / shape[0]) ** 0.5  # He's
            dense = init_dense(options.seed, number, shape, scale, dtype)
        return with_weights(share.network[number - 1], dense)

    def _first_scale(self) -> float:
        """Deviation of the first weights."""
        share = self._share
        assert share.rows is not None  # the worker of the first layer has them
        rows = share.rows[: self.facts.training_rows]
        length = float(jnp.sqrt(jnp.sum(rows**2) / len(rows)))
        length *= (share.products[0].n_in / share.facts.columns) ** 0.5  # of a patch
        return _FIRST / length if length else 1.0

    def units(self, worker: int) -> str:
        return f"layers {self._share.units(worker)}"

    def epoch(self, number: int, measure: bool) -> None:
        options, epoch = self._options, self._share.epoch(number)
        rows = self.facts.training_rows
        behind = [
            (number - 1 + group.start / epoch.batches) / options.epochs for group in epoch.groups
        ]
        schedule = Schedule(
            micro_batches(options.seed, number, rows, epoch.batches, epoch.size),
            epoch.groups,
            [options.first_rate * (1 - part) for part in behind],
            options.decay / (epoch.batches * epoch.size),
            noise_key(options.seed, number),
        )
        in_turns(worker.iteration(schedule) for worker in self.workers)
        self.finish()
        self._last = number

    def outputs(self, worker: StochasticWorker) -> Array | None:
        share = self._share
        shape = share.shapes[share.cuts[share.owned[worker.index].start].start - 1]
        found = pass_forward(
            worker.apply,
            jnp.zeros((0, *shape), self._options.dtype),
            len(self.facts.targets),
            share.rows,
            worker.index,
            self.neighbors[worker.index],
            self.transport,
            share.chunk,
        )
        if found is None:
            return None
        mean, scale = share.target_scale
        return found * jnp.asarray(scale, found.dtype) + jnp.asarray(mean, found.dtype)

    def losses(self, outputs: Array) -> dict[str, float]:
        return history_losses(self._options, self.facts, outputs)

    def measure(self) -> Mapping[str, float]:
        scores, epoch = self.scores(), self._share.epoch(self._last)
        found = [np.array([float(w.loss), float(w.bound)]) for w in self.workers]
        loss, bound = self.transport.total(found).tolist()
        return {
            "layers": self.depth,
            **scores,
            "objective": loss / (epoch.batches * epoch.size),
            "rate": self._options.first_rate * (1 - self._last / self._options.epochs),
            "batch": epoch.size,
            "bound": bound / (self.depth * len(epoch.groups)),
        }

    def network(self) -> dict[int, Affine]:
        """Copies, since the arrays in training are overwritten."""
        return jax.tree.map(jnp.copy, self._layers())

    def _layers(self) -> dict[int, Affine]:
        return {
            number: params
            for worker in self.workers
            for part, own in zip(worker.network, self.owned[worker.index], strict=True)
            for number, params in zip(self._share.cuts[own], part, strict=True)
        }

    def export(self, network: Network) -> dict[int, Affine]:
        """On one device, with inputs and targets as the user has them."""
        layers = in_full(network, self._share.basis)
        if self.depth in layers:
            W, b = layers[self.depth]
            mean, scale = (jnp.asarray(each, W.dtype) for each in self._share.target_scale)
            layers[self.depth] = Dense(W * scale, b * scale + mean)
        return self.on_one_device(layers)

    def saved_network(self, depth: int, read: Callable[[int], Arrays]) -> dict[int, Affine]:
        every = self._layers().items()
        return self.on_one_device({n: fill_leaves(layer, read(n)) for n, layer in every})

    def report(self) -> Mapping[str, Any]:
        return {"dropout": dropout_of(self._options, self._share.facts)}


def micro_batches(seed: int, epoch: int, rows: int, count: int, size: int) -> np.ndarray:
    """Row numbers of the micro-batches of an epoch, (count, size), drawn alike in every process.

    Every row comes up before any does again, and so on: the last micro-batch is filled with rows
    that have come up.

    Example:
        >>> batches = micro_batches(0, 1, rows=4, count=3, size=2)
        >>> sorted(batches[:2].ravel().tolist()), batches.shape
        ([0, 1, 2, 3], (3, 2))
    """
    rng = np.random.default_rng([seed, epoch])
    passes = -(-count * size // rows)
    order = np.concatenate([rng.permutation(rows) for _ in range(passes)])
    return order[: count * size].reshape(count, size).astype(np.int32)


def solver_of(share: StochasticShare) -> StochasticADMM:
    """The algorithm that the options set, for a task."""
    options = share.options
    return StochasticADMM(
        loss=loss_of(options.loss, share.facts.task),
        damping=options.settled_damping,
        reach=options.reach,
        factor_every=options.factor_every,
        dropout=dropout_of(share.options, share.facts),
    )


def codecs_of(options: StochasticOptions) -> Codecs:
    """The codecs of q and g."""
    up = codec_of(options)
    return Codecs(make_codec(up), make_codec(options.codec_down or up))
