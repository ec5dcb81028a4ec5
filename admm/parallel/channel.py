"""A channel: one end of one variable's way across a cut."""

from collections.abc import Callable

from jaxtyping import Array

from admm.parallel.transport import Message, Transport
from quant import Codec, Float


class Channel:
    """Codes, sends and receives one variable between two neighbouring workers.

    Both ends hold the array decoded last, and decode every message with the same compiled
    function; so they agree bit for bit, whatever the codec.

    Args:
        transport: Carries the messages.
        codec: Codes them.
        variable: `p` or `q`, for the tags and the byte counts.
        source: Worker that sends.
        target: Worker that receives.
        start: Array that both ends know before the first message.
    """

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        variable: str,
        source: int,
        target: int,
        start: Array,
    ) -> None:
        self._transport = transport
        self._codec = codec
        self._way = (source, target, variable)
        self._last = start
        self._incoming: Callable[[], Message] | None = None

    def send(self, x: Array) -> Array:
        """Send x; return it as the receiver will have it."""
        message = self._codec.encode(x, self._last)
        self._transport.send(message, *self._way, elements=x.size)
        self._last = self._codec.decode(message, self._last)
        return self._last

    def expect(self) -> None:
        """Announce the next message, so that it can arrive while the receiver computes."""
        size = self._codec.nbytes(self._last.shape)
        self._incoming = self._transport.expect(size, *self._way)

    def receive(self) -> Array:
        """The announced array, as the sender has it."""
        if self._incoming is None:
            raise RuntimeError("receive without expect")
        message, self._incoming = self._incoming(), None
        self._last = self._codec.decode(message, self._last)
        return self._last


def send_exact(transport: Transport, x: Array, source: int, target: int, variable: str) -> None:
    """Send an array as it is, outside any channel."""
    message = Float(str(x.dtype)).encode(x, x)
    transport.send(message, source, target, variable, elements=x.size)


def expect_exact(
    transport: Transport, blank: Array, source: int, target: int, variable: str
) -> Callable[[], Array]:
    """Announce an array of the shape, dtype and device of `blank`; the result waits for it."""
    codec = Float(str(blank.dtype))
    wait = transport.expect(codec.nbytes(blank.shape), source, target, variable)
    return lambda: codec.decode(wait(), blank)


def receive_exact(
    transport: Transport, blank: Array, source: int, target: int, variable: str
) -> Array:
    """Wait for an array of the shape, dtype and device of `blank`."""
    return expect_exact(transport, blank, source, target, variable)()
