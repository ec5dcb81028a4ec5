"""A worker: the owner of consecutive layers, who iterates on them and talks to its neighbours.

The three parts of an iteration are methods that never wait for a worker further on in the same
part, so that one thread can drive all workers of a process part by part (`iterate`), and a rank
its only one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.parallel.chain import Neighbors
from admm.parallel.channel import Channel, receive_exact, send_exact
from admm.parallel.transport import Transport
from admm.solvers.pdadmm_g import PDADMMG, Block, Info
from layers import Dense
from quant import Codec


@dataclass(frozen=True)
class Codecs:
    """How the two variables travel."""

    p: Codec
    q: Codec


class Worker:
    """Layers a…b of a network on one device.

    Args:
        index: Number of the worker, from 0.
        solver: The algorithm.
        transport: Ways to the neighbours.
        codecs: Codes of p and q.

    Attributes:
        block: State of the layers in training; None between stages, and for a worker that owns
            no layer of the stage.
    """

    def __init__(self, index: int, solver: PDADMMG, transport: Transport, codecs: Codecs) -> None:
        self.index = index
        self.device = transport.device(index)
        self.block: Block | None = None
        self._q_before: list[Array | None] | None = None
        self._solver = solver
        self._transport = transport
        self._codecs = codecs

    # A stage.

    def start(
        self,
        network: Sequence[Dense],
        neighbors: Neighbors,
        inputs: Array | None,
        nodes: int,
        targets: Array | None,
        codes: Sequence[Array] = (),
    ) -> None:
        """Begin a stage: forward pass through the own layers, and new channels to the neighbours.

        Args:
            network: Parameters of the layers that this worker owns in the stage, or none.
            neighbors: Workers below and above in the stage's chain.
            inputs: X, for the worker of layer 1.
            nodes: V, the number of training nodes.
            targets: One-hot labels, for the worker of the output layer.
            codes: z of the own hidden layers, if not from the forward pass.
        """
        self.below, self.above = neighbors
        self.block = self._q_before = None
        if not network:
            return
        network, targets, codes = jax.device_put(
            (tuple(network), targets, tuple(codes)), self.device
        )
        weights = network[0].W
        if self.below is None:
            x = jax.device_put(inputs, self.device)
        else:
            blank = jnp.zeros((nodes, weights.shape[0]), weights.dtype, device=self.device)
            x = receive_exact(self._transport, blank, self.below, self.index, "q")
        block = self._solver.init_block(network, x, targets, codes, first=self.below is None)
        self._p_below = self._channel("p", self.index, self.below, block.q_below)
        self._q_below = self._channel("q", self.below, self.index, block.q_below)
        q = block.layers[-1].q
        if self.above is not None and q is not None:
            send_exact(self._transport, q, self.index, self.above, "q")
        self._p_above = self._channel("p", self.above, self.index, q)
        self._q_above = self._channel("q", self.index, self.above, q)
        self.block = block

    def _channel(
        self, variable: str, source: int | None, target: int | None, start: Array | None
    ) -> Channel | None:
        if source is None or target is None or start is None:
            return None
        codec = getattr(self._codecs, variable)
        return Channel(self._transport, codec, variable, source, target, start)

    # An iteration, in three parts.

    def descend(self) -> None:
        """Steps 1 to 4; p leaves for the worker below as soon as it is known."""
        if self.block is None:
            return
        self._q_before = [layer.q for layer in self.block.layers]
        for channel in (self._p_above, self._q_below):
            if channel is not None:
                channel.expect()
        block = self._solver.update_inputs(self.block)
        self._p_sent = None
        if self._p_below is not None:
            self._p_sent = self._p_below.send(block.layers[0].p)
        self.block = self._solver.update_parameters(block)

    def ascend(self) -> None:
        """Step 5, with p from the worker above; q leaves for it."""
        if self.block is None:
            return
        self._p_received = self._p_above.receive() if self._p_above is not None else None
        block = self._solver.update_outputs(self.block, self._p_received)
        if self._q_above is not None:
            *lower, top = block.layers
            assert top.q is not None  # only the output layer has none, and nobody is above it
            top = top._replace(q=self._q_above.send(top.q))
            block = block._replace(layers=(*lower, top))
        self.block = block

    def settle(self) -> None:
        """Step 6, with q from the worker below; both sides of a cut compute the same u."""
        if self.block is None:
            return
        block = self.block
        if self._q_below is not None:
            block = block._replace(q_below=self._q_below.receive())
        self.block = self._solver.update_duals(block, self._p_received, self._p_sent)

    def set_penalties(self, rho: float, nu: float) -> None:
        """Change ρ and ν from the next iteration on."""
        if self.block is not None:
            scalar = jnp.zeros_like(self.block.rho)
            self.block = self.block._replace(rho=scalar + rho, nu=scalar + nu)

    def info(self) -> Info | None:
        """Diagnostics of the own layers over the last iteration."""
        if self.block is None or self._q_before is None:
            return None
        return self._solver.info(self._q_before, self.block)

    def loss(self) -> float | None:
        """Mean training loss at the carried linear output, for the worker of the output layer."""
        if self.block is None or self.block.targets is None:
            return None
        return float(self._solver.loss(self.block))

    @property
    def network(self) -> tuple[Dense, ...]:
        """Parameters of the own layers."""
        if self.block is None:
            return ()
        return tuple(Dense(layer.W, layer.b) for layer in self.block.layers)


def iterate(workers: Sequence[Worker]) -> None:
    """One iteration of all workers of this process."""
    for part in (Worker.descend, Worker.ascend, Worker.settle):
        for worker in workers:
            part(worker)
