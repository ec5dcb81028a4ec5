"""Backpropagation as a pipeline: workers own consecutive layers and pass micro-batches along.

Activations go up and gradients go down, as they are. The gradients of all micro-batches add up
before any parameter moves: a step is the full-batch step to rounding, on any number of workers.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from admm.comm import Neighbors, Transport, expect_exact, fill_leaves, named_leaves, send_exact
from admm.solvers.backprop import Backprop, Network, Record, Segment
from layers import Dense

VARIABLES = ("activation", "gradient")
"""What the workers send each other."""

# Per worker of the pipeline, whose ends stand idle for the first and the last micro-batches.
_MICRO_BATCHES = 4


def micro_batch_count(workers: int) -> int:
    """Parts that so many workers cut the training nodes into."""
    return _MICRO_BATCHES * workers if workers > 1 else 1


def micro_batch_sizes(nodes: int, parts: int) -> list[int]:
    """Rows of every micro-batch, none empty.

    Example:
        >>> micro_batch_sizes(10, 4), micro_batch_sizes(2, 4)
        ([2, 3, 2, 3], [1, 1])
    """
    count = min(parts, nodes)
    edges = [k * nodes // count for k in range(count + 1)]
    return [end - start for start, end in pairwise(edges)]


def lead_of(worker: int, workers: int) -> int:
    """How many micro-batches a worker's forward pass is ahead of its backward pass."""
    return 2 * (workers - 1 - worker)


class PipelineWorker:
    """Layers a…b of a network in training with backpropagation, on one device.

    The schedule is 1F1B (Narayanan et al., arXiv 2006.09503): having passed micro-batch k
    forward, a worker passes k − lead backward, so that activations are used while they are in the
    cache, and few of them are kept.

    Deviations: all micro-batches belong to one step; `lead` is two for every worker above, not
    one, so that messages have the time of a micro-batch to arrive.

    Args:
        index: Number of the worker, from 0.
        solver: The algorithm.
        transport: Ways to the neighbours.

    Attributes:
        block: Layers in training; None between stages, and for a worker that owns no layer of
            the stage.
        lead: How many micro-batches the forward pass is ahead of the backward pass.

    Example:
        >>> from admm.comm import LocalTransport, chain, in_turns
        >>> transport, solver, x = LocalTransport(2), Backprop("gd", learning_rate=1.0), jnp.eye(2)
        >>> layer = Dense(x, jnp.zeros(2))
        >>> lower, upper = (PipelineWorker(index, solver, transport) for index in (0, 1))
        >>> below, above = chain([[1], [2]])
        >>> lower.start([layer], below, inputs=x, nodes=2, targets=None)
        >>> upper.start([layer], above, inputs=None, nodes=2, targets=x)
        >>> in_turns([lower.iteration(), upper.iteration()])
        >>> serial, _ = solver.step(solver.init([layer, layer], x, x))
        >>> both = jax.device_get((upper.network[0].W, serial.segment.network[1].W))
        >>> bool(jnp.allclose(*both))
        True
    """

    def __init__(self, index: int, solver: Backprop, transport: Transport) -> None:
        self.index = index
        self.device = transport.device(index)
        self.block: Segment | None = None
        self.lead = lead_of(index, transport.size)
        self._solver = solver
        self._transport = transport
        transport.declare(*VARIABLES)

    def start(
        self,
        network: Sequence[Dense],
        neighbors: Neighbors,
        inputs: Array | None,
        nodes: int,
        targets: Array | None,
    ) -> None:
        """Begin a stage, with an optimiser that has seen nothing.

        Args:
            network: Parameters of the layers that this worker owns in the stage, or none.
            neighbors: Workers below and above in the stage's chain.
            inputs: X, for the worker of layer 1.
            nodes: V, the number of training nodes.
            targets: One-hot labels, for the worker of the output layer.
        """
        self.below, self.above = neighbors
        self.block = None
        self._nodes = nodes
        self._sizes: list[int] = []
        if not network:
            return
        self._sizes = micro_batch_sizes(nodes, micro_batch_count(self._transport.size))
        inputs, targets = jax.device_put((inputs, targets), self.device)
        self._inputs, self._targets = (
            None if rows is None else lax.split(rows, self._sizes) for rows in (inputs, targets)
        )
        self.block = self._solver.init_segment(jax.device_put(tuple(network), self.device))

    # An iteration.

    def iteration(self) -> Iterator[None]:
        """One iteration, a micro-batch forward and one backward in each tick."""
        self.prepare()
        yield
        for tick in range(len(self._sizes) + self.lead):
            self.forward(tick)
            yield
            self.backward(tick - self.lead)
            yield
        self.update()

    def prepare(self) -> None:
        """Announce all messages of the iteration, so that they can arrive at any time."""
        if self.block is None:
            return
        self._records: deque[tuple[Record, ...]] = deque()
        self._gradients: Network | None = None
        bottom, top = self.block.network[0].W, self.block.network[-1].W
        self._activations = self._expect("activation", self.below, bottom.shape[0], bottom.dtype)
        self._output_gradients = self._expect("gradient", self.above, top.shape[1], top.dtype)

    def _expect(
        self, variable: str, source: int | None, width: int, dtype: jnp.dtype
    ) -> deque[Callable[[], Array]]:
        if source is None:
            return deque()
        blanks = {
            size: jnp.zeros((size, width), dtype, device=self.device) for size in set(self._sizes)
        }
        return deque(
            expect_exact(self._transport, blanks[size], source, self.index, variable)
            for size in self._sizes
        )

    def forward(self, number: int) -> None:
        """Pass a micro-batch through the own layers; numbers out of range pass nothing."""
        if self.block is None or number not in range(len(self._sizes)):
            return
        x = self._activations.popleft()() if self._inputs is None else self._inputs[number]
        x, records = self._run(
            "forward", partial(self._solver.forward, top=self.above is None), self.block.network, x
        )
        self._records.append(records)
        self._transport.computing = x
        if self.above is not None:
            send_exact(self._transport, x, self.index, self.above, "activation")
            return
        assert self._targets is not None  # the worker with nobody above has the output layer
        _, gradient = self._solver.loss_at_logits(x, self._targets[number], nodes=self._nodes)
        self._output_gradients.append(lambda: gradient)

    def backward(self, number: int) -> None:
        """Pass the gradients of a micro-batch, the oldest one in flight, through the own layers."""
        if self.block is None or number not in range(len(self._sizes)):
            return
        self._gradients, gradient = self._run(
            "backward",
            partial(self._solver.backward, first=self.below is None),
            self.block.network,
            self._records.popleft(),
            self._output_gradients.popleft()(),
            self._gradients,
        )
        self._transport.computing = self._gradients[0].b
        if self.below is not None:
            send_exact(self._transport, gradient, self.index, self.below, "gradient")

    def update(self) -> None:
        """Move the parameters, once the gradients of all micro-batches are there."""
        if self.block is not None and self._gradients is not None:
            self.block = self._run("update", self._solver.update, self.block, self._gradients)
            self._gradients = None

    def _run(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._transport.traced("compute", name, function, *arguments)

    # What a run asks for.

    def finish(self) -> None:
        """Wait until the iteration is done."""
        self._transport.flush()
        self._transport.until(jax.tree.leaves(self.block))

    def decay(self) -> float:
        """V·λ/2 Σ‖W_l‖² of the own layers: with the risk, V times the objective."""
        if self.block is None:
            return 0.0
        return float(self._nodes * self._solver.decay(self.block.network))

    def state(self) -> list[dict[str, Array]]:
        """Parameters of the own layers, and what the optimiser remembers of them, by name."""
        return (
            []
            if self.block is None
            else [named_leaves(each) for each in zip(*self.block, strict=True)]
        )

    def restore(self, numbers: Sequence[int], read: Callable[[int], Mapping[str, Array]]) -> None:
        """Go on from a state; `start` comes before, with any network.

        Args:
            numbers: Those of the own layers.
            read: The state of a layer.
        """
        if self.block is None:
            return
        layers = [
            fill_leaves(each, jax.device_put(dict(read(number)), self.device))
            for number, each in zip(numbers, zip(*self.block, strict=True), strict=True)
        ]
        network, memory = zip(*layers, strict=True)
        self.block = Segment(network, memory)

    @property
    def network(self) -> Network:
        """Parameters of the own layers."""
        return () if self.block is None else self.block.network
