"""A channel: one end of one variable's way across a cut."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from admm.comm.trace import Category
from admm.comm.transport import Arrived, Message, Transport
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

    Attributes:
        last: The array decoded last.
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
        self.last = start
        self._incoming: Callable[[], Arrived] | None = None

    def send(self, x: Array) -> Array:
        """Send x; return it as the receiver will have it."""
        message = self.encode(x)
        self._transport.send(message, *self._way, elements=x.size)
        return self.decode(message)

    def encode(self, x: Array) -> Message:
        """The message of x; both ends must decode it."""
        return self._traced("encode", self._codec.encode, x, self.last)

    def decode(self, message: Arrived) -> Array:
        """The array of the next message, which `last` becomes."""
        self.last = self._traced("decode", self._codec.decode, message, self.last)
        return self.last

    @property
    def expecting(self) -> bool:
        """Whether a message is announced and not yet received."""
        return self._incoming is not None

    def expect(self) -> None:
        """Announce the next message, so that it can arrive while the receiver computes."""
        size = self._codec.nbytes(self.last.shape)
        self._incoming = self._transport.expect(size, *self._way)

    def receive(self) -> Array:
        """The announced array, as the sender has it."""
        if self._incoming is None:
            raise RuntimeError("receive without expect")
        message, self._incoming = self._traced("wait", self._incoming), None
        return self.decode(message)

    def _traced(self, category: Category, function: Callable[..., Any], *arguments: Any) -> Any:
        name = f"{category} {self._way[-1]}"
        return self._transport.traced(category, name, function, *arguments)


def send_exact(transport: Transport, x: Array, source: int, target: int, variable: str) -> None:
    """Send an array as it is, outside any channel."""
    encode = Float(str(x.dtype)).encode
    message = transport.traced("encode", f"encode {variable}", encode, x, x)
    transport.send(message, source, target, variable, elements=x.size)


def expect_exact(
    transport: Transport, blank: Array, source: int, target: int, variable: str
) -> Callable[[], Array]:
    """Announce an array of the shape, dtype and device of `blank`; the result waits for it."""
    codec = Float(str(blank.dtype))
    arrived = transport.expect(codec.nbytes(blank.shape), source, target, variable)

    def wait() -> Array:
        message = transport.traced("wait", f"wait {variable}", arrived)
        return transport.traced("decode", f"decode {variable}", codec.decode, message, blank)

    return wait


def receive_exact(
    transport: Transport, blank: Array, source: int, target: int, variable: str
) -> Array:
    """Wait for an array of the shape, dtype and device of `blank`."""
    return expect_exact(transport, blank, source, target, variable)()
