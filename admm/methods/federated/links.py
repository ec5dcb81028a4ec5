"""How parameters travel between server and clients."""

from collections.abc import Callable, Collection, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm.transport import Message, Transport
from admm.solvers.federated import Shared, weighted_mean
from quant import Codec


class Ends:
    """This process's ends of the links of some clients, in one direction.

    Each end holds the array decoded last, and decodes every message with the same compiled
    function: so both ends agree bit for bit. A message that is never sent moves neither.

    Args:
        transport: Of the run, for its traces.
        codec: Codes the messages.
        variable: What travels.
        start: What all ends hold before the first message.
        clients: Their numbers.

    Attributes:
        last: The array decoded last, of every client.
    """

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        variable: str,
        start: Array,
        clients: Collection[int],
    ) -> None:
        self._transport, self._codec, self._variable = transport, codec, variable
        self.last: dict[int, Array] = dict.fromkeys(clients, start)
        self.size, self.nbytes = start.size, codec.nbytes(start.shape)

    def encode(self, client: int, x: Array) -> Message:
        """The message of an array, which is going to be delivered."""
        name = f"encode {self._variable}"
        message = self._transport.traced("encode", name, self._codec.encode, x, self.last[client])
        self.decode(client, message)
        return message

    def decode(self, client: int, message: Message) -> Array:
        """The array of a message."""
        name = f"decode {self._variable}"
        self.last[client] = self._transport.traced(
            "decode", name, self._codec.decode, message, self.last[client]
        )
        return self.last[client]


class Uplink:
    """The answers of clients, from their owners to the root.

    Args:
        own: Ends of the clients of a worker.
        every: Ends of the server, where it is here: those of all clients.
        weights: π_k of every client.
        counted: Whose answers count in a round.
    """

    def __init__(
        self,
        own: Ends,
        every: Ends | None,
        weights: np.ndarray,
        counted: Callable[[int], Collection[int]],
    ) -> None:
        self.own, self.every = own, every
        self._weights, self._counted = weights, counted

    def encode(self, client: int, answer: Shared, number: int) -> Message:
        """The message of a client in a round, at its owner."""
        return self.own.encode(client, answer)

    def collect(self, messages: Mapping[int, Message], number: int) -> Shared:
        """The weighted mean of the answers that count in a round, at the root.

        Args:
            messages: Of the clients that answer, in their order.
            number: Of the round.
        """
        assert self.every is not None  # the server is here
        for client, message in messages.items():
            self.every.decode(client, message)
        answers = jnp.stack([self.every.last[client] for client in range(len(self._weights))])
        counts = np.isin(np.arange(len(self._weights)), list(self._counted(number)))
        return weighted_mean(answers, jnp.asarray(self._weights * counts, answers.dtype))
