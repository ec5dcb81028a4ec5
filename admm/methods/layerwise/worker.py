"""A worker: the owner of consecutive layers, who iterates on them and talks to its neighbours.

An iteration goes through the layers from the top down, and its messages travel while other layers
compute. The bottom layer's p waits for q from below, so it is updated after half of the layers:
q has the first half of the iteration to arrive, p the second half to reach the worker below.

Neither of the two parts of an iteration waits for a worker further on in the same part, see
`admm.comm.in_turns`. Nothing here waits for a computation: it is handed to the device and runs
while the host prepares what comes next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.comm import Channel, Neighbors, Transport, receive_exact, send_exact
from admm.solvers import PDADMMG, Block, Diagnosis, Info, Layer
from layers import Dense
from quant import Codec

Arrays = Mapping[str, Any]
T = TypeVar("T")

VARIABLES = ("p", "q")
"""What the workers send each other."""


@dataclass(frozen=True)
class Codecs:
    """How the two variables travel."""

    p: Codec
    q: Codec


class _Cut(NamedTuple):
    """The ways across one cut."""

    p: Channel  # down
    q: Channel  # up


class LayerWorker:
    """Layers a…b of a network in training with pdADMM-G, on one device.

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
        self._cut_below: _Cut | None = None
        self._cut_above: _Cut | None = None
        self._q_before: list[Array | None] | None = None
        self._loss: Array | None = None
        self._solver = solver
        self._transport = transport
        self._codecs = codecs
        transport.declare(*VARIABLES)

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
        self.settle()
        self.below, self.above = neighbors
        self.block = self._q_before = self._loss = None
        if not network:
            return
        index = self.index
        network, targets, codes = jax.device_put(
            (tuple(network), targets, tuple(codes)), self.device
        )
        weights = network[0].W
        if self.below is None:
            x = jax.device_put(inputs, self.device)
        else:
            blank = jnp.zeros((nodes, weights.shape[0]), weights.dtype, device=self.device)
            x = receive_exact(self._transport, blank, self.below, index, "q")
        block = self._solver.init_block(network, x, targets, codes, first=self.below is None)
        self._cut_below = self._cut(self.below, index, block.q_below)
        q = block.layers[-1].q
        if self.above is not None and q is not None:
            send_exact(self._transport, q, index, self.above, "q")
        self._cut_above = self._cut(index, self.above, q)
        self.block = block

    def _cut(self, lower: int | None, upper: int | None, start: Array | None) -> _Cut | None:
        if lower is None or upper is None or start is None:
            return None
        return _Cut(
            Channel(self._transport, self._codecs.p, "p", upper, lower, start),
            Channel(self._transport, self._codecs.q, "q", lower, upper, start),
        )

    # An iteration, in two parts.

    def iteration(self, measure: bool = True) -> Iterator[None]:
        """One iteration; it may go on after the generator has ended, see `finish`.

        Args:
            measure: Whether `info` will be asked for; it needs every q of before.
        """
        self.descend(measure)
        yield
        self.ascend()

    def descend(self, measure: bool) -> None:
        """All steps of all layers, but for step 5 of the top layer; p leaves for below halfway."""
        if self.block is None:
            return
        layers = list(self.block.layers)
        self._q_before = [layer.q for layer in layers] if measure else None
        if self._cut_above is not None:
            self._cut_above.p.expect()
        halfway = max(len(layers) // 2 - 1, 0)
        for index in reversed(range(len(layers))):
            if index == halfway and self._cut_below is not None:
                layers[0] = self._update_input(layers[0], self._cut_below)
            layers[index] = self._update_layer(layers, index)
        self.block = self.block._replace(layers=tuple(layers))

    def _update_input(self, layer: Layer, cut: _Cut) -> Layer:
        """Step 1 of the bottom layer, with q from the worker below; p leaves for it."""
        self.settle()
        cut.q.expect()
        block = self.block
        layer = self._run(
            "p",
            self._solver.update_input,
            *(layer, block.q_below, block.u_below, block.rho, block.nu),  # type: ignore[union-attr]
        )
        self._p_sent = cut.p.send(layer.p)
        return layer

    def _update_layer(self, layers: Sequence[Layer], index: int) -> Layer:
        """All steps of a layer for which this worker has what they need."""
        block = self.block
        assert block is not None
        below = layers[index - 1] if index else None
        layer = self._run(
            f"layer {index + 1} of {len(layers)}",
            self._solver.update_layer,
            layers[index],
            below.q if below else None,
            below.u if below else None,
            layers[index + 1].p if index + 1 < len(layers) else None,
            *(block.targets, block.rho, block.nu),
        )
        self._transport.computing = layer.W
        if layer.q is None:
            assert block.targets is not None
            self._loss = self._solver.loss(layer, block.targets)
        return layer

    def ascend(self) -> None:
        """Step 5 of the top layer, with p from the worker above; q leaves for it."""
        if self.block is None or self._cut_above is None:
            return
        *lower, top = self.block.layers
        rho, nu = self.block.rho, self.block.nu
        p = self._cut_above.p.receive()
        top = self._run("q", self._solver.update_output, top, p, rho, nu)
        assert top.q is not None  # only the output layer has none, and nobody is above it
        q = self._cut_above.q.send(top.q)
        u = self._run("u", self._solver.update_dual, top.u, p, q, rho)
        self.block = self.block._replace(layers=(*lower, top._replace(q=q, u=u)))

    def settle(self) -> None:
        """Step 6 at the cut below, with the q that the worker below has sent last, if any.

        Both sides of a cut compute the same u, from the same p and q.
        """
        block = self.block
        if block is None or self._cut_below is None or not self._cut_below.q.expecting:
            return
        q = self._cut_below.q.receive()
        u = self._run(
            "u below", self._solver.update_dual, *(block.u_below, self._p_sent, q, block.rho)
        )
        self.block = block._replace(q_below=q, u_below=u)

    def _run(self, name: str, function: Callable[..., T], *arguments: Any) -> T:
        return self._transport.traced("compute", name, function, *arguments)

    def set_penalties(self, rho: float, nu: float) -> None:
        """Change ρ and ν from the next iteration on."""
        self.settle()
        if self.block is not None:
            scalar = jnp.zeros_like(self.block.rho)
            self.block = self.block._replace(rho=scalar + rho, nu=scalar + nu)

    def finish(self) -> None:
        """Wait until the iteration is done, on this worker and at its cuts."""
        self.settle()
        self._transport.flush()
        self._transport.until(jax.tree.leaves(self.block))

    def info(self) -> Info | None:
        """Diagnostics of the own layers over the last iteration, once, if that was measured."""
        return self._told(self._solver.info)

    def diagnose(self) -> list[Diagnosis] | None:
        """More of them, layer by layer; in place of `info`."""
        return self._told(self._solver.diagnose)

    def _told(self, function: Callable[[list[Array | None], Block], T]) -> T | None:
        self.settle()
        q_before, self._q_before = self._q_before, None  # a sixth array per layer, not kept
        if self.block is None or q_before is None:
            return None
        return function(q_before, self.block)

    def loss(self) -> float | None:
        """Mean training loss at the carried linear output, for the worker of the output layer."""
        if self._loss is None:
            return None
        self._transport.until([self._loss])
        return float(self._loss)

    # Checkpoints, between iterations.

    def state(self) -> list[dict[str, Array]]:
        """All that the next iteration needs of the own layers, by name; `finish` comes before.

        Layer 1 leaves out its input, X. The lowest layer above a cut has `sent`: its input as the
        worker below knows it, where the next message depends on that.
        """
        if self.block is None:
            return []
        states = [
            {name: array for name, array in layer._asdict().items() if array is not None}
            for layer in self.block.layers
        ]
        if self._cut_below is None:
            del states[0]["p"]
        elif self._codecs.p.remembers:
            states[0]["sent"] = self._cut_below.p.last
        return states

    def beside(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `restore` reads of the layers below and above the own ones; after `finish`."""
        below, above = {}, {}
        if self.block is not None and self._cut_below is not None:
            below = {"q": self.block.q_below, "u": self.block.u_below}
        if self._cut_above is not None and self._codecs.p.remembers:
            above = {"sent": self._cut_above.p.last}
        return below, above

    def restore(self, numbers: Sequence[int], read: Callable[[int], Arrays]) -> None:
        """Go on from a state; `start` comes before, with any network.

        Args:
            numbers: Those of the own layers.
            read: The state of a layer, own or beside one: what both sides of a cut know.
        """
        if self.block is None:
            return
        layers = []
        for number, layer in zip(numbers, self.block.layers, strict=True):
            stored = read(number)
            new = {name: stored[name] for name in layer._fields if name in stored}
            layers.append(layer._replace(**jax.device_put(new, self.device)))
        block = self.block._replace(layers=tuple(layers))
        if self._cut_below is not None:
            below, sent = read(numbers[0] - 1), read(numbers[0]).get("sent")
            q, u = jax.device_put((below["q"], below["u"]), self.device)
            block = block._replace(q_below=q, u_below=u)
            self._cut_below.q.last = q
            self._cut_below.p.last = q if sent is None else jax.device_put(sent, self.device)
        if self._cut_above is not None:
            top, sent = layers[-1].q, read(numbers[-1] + 1).get("sent")
            assert top is not None  # nobody is above the output layer
            self._cut_above.q.last = top
            self._cut_above.p.last = top if sent is None else jax.device_put(sent, self.device)
        self.block = block

    @property
    def network(self) -> tuple[Dense, ...]:
        """Parameters of the own layers."""
        if self.block is None:
            return ()
        return tuple(Dense(layer.W, layer.b) for layer in self.block.layers)
