"""Training of gsADMM and gsAM: one stage, an epoch being a pass over all samples."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import layers
from admm.comm import Transport, in_turns, pass_forward
from admm.methods.chain import ChainTraining
from admm.methods.subnetworks.losses import history_losses, loss_of, loss_targets
from admm.methods.subnetworks.network import CHUNK, fill, filled, named_arrays
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.methods.subnetworks.share import SubnetworkShare
from admm.methods.subnetworks.worker import SubnetworkWorker, Sums, variables
from admm.methods.tasks import Task
from admm.run.method import Arrays, Joiner, Network
from admm.run.options import codec_of
from admm.solvers.backprop import make_optimizer
from admm.solvers.tssm import TSSM, batches, noise_key
from layers import Chain, build
from quant import make_codec


class SubnetworkTraining(ChainTraining):
    """Consecutive subnetworks for every worker.

    Args:
        options: What to train.
        share: Data and network.
        transport: Of the run.
    """

    optional = ("memory",)

    def __init__(
        self, options: SubnetworkOptions, share: SubnetworkShare, transport: Transport
    ) -> None:
        self.variables = variables(options.solver)
        self.depth = len(share.shapes) - 1
        self._options, self._share = options, share
        facts = share.facts.task
        self._solver = solver_of(options, facts)
        codec = make_codec(codec_of(options))
        workers = [
            SubnetworkWorker(n, self._solver, transport, codec, shares=not options.has_objects)
            for n in transport.local
        ]
        super().__init__(facts, transport, share.owned, workers)
        for worker in workers:
            own = share.owned[worker.index]
            worker.start(
                [build(share.network, share.cuts[number], options.seed) for number in own],
                own,
                share.cuts,
                share.shapes,
                self.neighbors[worker.index],
                facts.training_rows,
                share.rows,
                jnp.asarray(loss_targets(facts, share.shapes[-1])),
                options.dtype,
            )

    def units(self, worker: int) -> str:
        return f"modules {self._share.units(worker)}"

    def epoch(self, number: int, measure: bool) -> None:
        options, samples = self._options, self.facts.training_rows
        order = batches(options.seed, number, samples, options.batch)
        key = noise_key(options.seed, number)
        in_turns(worker.iteration(order, number == 1, key) for worker in self.workers)
        self.finish()

    def settings(self) -> Mapping[str, Any]:
        """What the network is cut by: another measurement might cut it elsewhere."""
        return {"module_seconds": self._share.seconds}

    def outputs(self, worker: SubnetworkWorker) -> Array | None:
        share = self._share
        first = share.cuts[share.owned[worker.index][0]].start
        return pass_forward(
            worker.apply,
            jnp.zeros((0, *share.shapes[first]), self._options.dtype),
            len(self.facts.targets),
            share.rows,
            worker.index,
            self.neighbors[worker.index],
            self.transport,
            chunk=CHUNK,
        )

    def losses(self, outputs: Array) -> dict[str, float]:
        return history_losses(self._options, self.facts, outputs)

    def measure(self) -> Mapping[str, float]:
        """Beside the scores, sums of what the visits saw."""
        scores, every = self.scores(), self._all_sums()
        below = [sums.residuals for sums in every]
        visits = max(len(self._share.cuts) - 1, 1) * self.facts.training_rows
        alpha = sum(each.alpha for each in below) / visits
        values = {
            "modules": self.depth,
            **scores,
            "objective": sum(s.objective + s.residuals.coupling for s in every),
            "output_residual": sum(each.misfit for each in below) ** 0.5,
            "alpha": alpha,
        }
        if self._options.solver == "gsadmm":
            values["primal_residual"] = sum(each.gap for each in below) ** 0.5
            values["rho"] = alpha if self._options.rho is None else self._options.rho
        return values

    def network(self) -> Network:
        """Copies, since the arrays in training are overwritten."""
        return jax.tree.map(
            lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, self._modules()
        )

    def joiner(self) -> Joiner:
        if len(self.transport.local) == self.transport.size:
            return _in_one_piece
        return partial(_gathered, self._share.network, self._options.seed, self.transport)

    def _modules(self) -> dict[int, Any]:
        share = self._share
        return {
            number + 1: module
            for worker in self.workers
            for own, subnetwork in zip(share.owned[worker.index], worker.subnetworks, strict=True)
            for number, module in zip(share.cuts[own], subnetwork.modules, strict=True)
        }

    def saved_network(self, depth: int, read: Callable[[int], Arrays]) -> Network:
        return {
            number: fill(module, dict(read(number)), f"module {number} of the checkpoint")
            for number, module in self._modules().items()
        }

    def report(self) -> Mapping[str, Any]:
        share = self._share
        cuts = []
        for own, sums in zip(share.cuts[:-1], self._all_sums()[1:], strict=True):
            misfit, output, gap, target, _, alpha = sums.residuals
            cuts.append(
                {
                    "module": own.stop,
                    "q_f": (misfit / output) ** 0.5 if output else 0.0,
                    "p_q": (gap / target) ** 0.5 if target else 0.0,
                    "alpha": alpha / self.facts.training_rows,
                }
            )
        nbytes = sum(worker.nbytes for worker in self.workers)
        state_bytes = self.transport.gather(nbytes)
        return {"cuts": cuts, "module_seconds": share.seconds, "state_bytes": state_bytes}

    def _all_sums(self) -> list[Sums]:
        """What the last epoch came to, of all subnetworks in order."""
        every = self.transport.gather([s for worker in self.workers for s in worker.sums()])
        return [sums for part in every for sums in part]


# Both at the top of the module, so that pickle finds them: a result is kept for later.


def _in_one_piece(every: Network) -> Chain:
    """All modules of a network, copied to the default device."""
    modules = tuple(module for _, module in sorted(every.items()))
    return Chain(
        jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf)) if eqx.is_array(leaf) else leaf, modules
        )
    )


def _gathered(network: layers.Network, seed: int, transport: Transport, own: Network) -> Chain:
    """All modules of a network, whose parameters all processes send each other."""
    on_host = {
        number: {name: np.asarray(array) for name, array in named_arrays(each).items()}
        for number, each in own.items()
    }
    every = {n: arrays for part in transport.gather(on_host) for n, arrays in part.items()}
    return filled(network, seed, every.__getitem__, "the network")


def solver_of(options: SubnetworkOptions, facts: Task) -> TSSM:
    """The algorithm that the options set, for a task."""
    names = ("alpha", "rho", "reach", "relaxation", "inner", "refresh", "frozen_lower")
    settings = {name: getattr(options, name) for name in names}
    optimizer = options.optimizer
    if options.learning_rate is not None:  # one's own has its own
        optimizer = make_optimizer(optimizer, options.learning_rate)
    loss = loss_of(options.loss, facts)
    return TSSM(options.solver, optimizer=optimizer, loss=loss, **settings)
