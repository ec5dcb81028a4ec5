"""What travels between server and clients, and how."""

from collections.abc import Callable, Collection, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm.transport import Arrived, Message, Transport
from admm.methods.federated.options import FederatedOptions, Method
from admm.methods.federated.summed import RANGE_BYTES, SummedCodec
from admm.solvers.federated import Shared, weighted_mean
from quant import Codec, make_codec, make_common

DOWN, UP = "down", "up"  # parameters and answers
DOWN_CONTROL, UP_CONTROL = "down_control", "up_control"  # c and c_k of SCAFFOLD
VARIABLES = (DOWN, UP, DOWN_CONTROL, UP_CONTROL)
DOWNLOADS = VARIABLES[::2]
"""What every client gets that is there; the rest travels for those that answer."""
RANGES = {name: f"{name}_range" for name in VARIABLES}
"""Where answers are summed up: the range that a client asks for, and the one that all go by."""


def variables(method: Method) -> tuple[str, ...]:
    """What a method sends, down and up in turns."""
    return VARIABLES if method.has_control else VARIABLES[:2]


def linked(options: FederatedOptions) -> tuple[str, ...]:
    """Variables of which server and client hold the array decoded last."""
    names = variables(options.method)
    return names[::2] if options.summed else names


def remembered(options: FederatedOptions) -> tuple[str, ...]:
    """Answers that are coded against all changes before, and summed up."""
    method = options.method
    found = (UP,) * method.counts_absent + (UP_CONTROL,) * method.has_control
    return found if options.summed else ()


def link_codecs(options: FederatedOptions) -> dict[str, Codec]:
    """How they travel."""
    return {
        name: make_codec(options.down if name in DOWNLOADS else options.up)
        for name in linked(options)
    }


def summed_codec(options: FederatedOptions, clients: int) -> SummedCodec:
    """How answers travel that are summed up."""
    return SummedCodec(
        make_common(options.up), clients, options.clip_update, options.noise_multiplier
    )


def message_bytes(
    options: FederatedOptions, clients: int, shape: tuple[int, ...]
) -> dict[str, int]:
    """Of every variable that travels."""
    found = {name: codec.nbytes(shape) for name, codec in link_codecs(options).items()}
    if options.summed:
        names, nbytes = variables(options.method), summed_codec(options, clients).nbytes(shape)
        found |= dict.fromkeys(names[1::2], nbytes)
        found |= {RANGES[name]: 1 if name in DOWNLOADS else RANGE_BYTES for name in names}
    return found


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
        self.nbytes = codec.nbytes(start.shape)

    def encode(self, client: int, x: Array) -> Message:
        """The message of an array, which is going to be delivered."""
        name = f"encode {self._variable}"
        message = self._transport.traced("encode", name, self._codec.encode, x, self.last[client])
        self.decode(client, message)
        return message

    def decode(self, client: int, message: Arrived) -> Array:
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

    def collect(self, messages: Mapping[int, Arrived], number: int) -> Shared:
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
