"""Answers of clients of which the root learns nothing but the sum.

All clients of a round code their changes on one range, which they settle first. A client puts
random words at all ranges too narrow for it, and zeros at the others. The sum is zero where a range
is wide enough for all, and else random: the root learns which range is needed, and not by whom.
Once in 2³² the sum is zero by chance; then the widest changes are cut.
"""

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from admm.comm import PairwiseMasks
from admm.comm.transport import Arrived, Message
from admm.errors import InputError, spelled
from admm.solvers.federated import Shared
from admm.solvers.privacy import LEAST_DEVIATION, clip_update, discrete_gaussian, sensitivity
from quant import CommonScale, pack_words, range_index, range_limit, unpack_words, words_size
from quant.common import RANGES, Words

Vector = Float[np.ndarray, " n"]
Reply = UInt8[Array, "1"]

# Words have room for a noise of so many standard deviations; one element in 10²² exceeds it.
_ROOM = 10

_RANGE_BITS = 32
RANGE_BYTES = words_size(RANGES - 1, _RANGE_BITS)
"""Of a message that asks for a range; the reply is one byte, its number."""


@dataclass(frozen=True)
class SummedCodec:
    """How the changes of clients travel to be summed up.

    Changes are clipped to the length C, where there is one. With noise C is their range, and a sum
    gets noise of the standard deviation z·(C + step·√n) an element, in equal shares of the clients
    that answer.

    Args:
        codes: Of an element.
        clients: How many there are.
        clip: C.
        noise_multiplier: z; above 0 it needs `clip`.

    Example:
        >>> SummedCodec(CommonScale(8), clients=12).nbytes((1000,))  # 12 bits hold the sum of 12
        1500
    """

    codes: CommonScale
    clients: int
    clip: float | None = None
    noise_multiplier: float = 0.0

    @property
    def fixed_limit(self) -> float | None:
        """The range of all rounds, where it does not follow from the changes."""
        return self.clip if self.noise_multiplier else None

    def deviation(self, count: int) -> float:
        """Of the noise in the sum of arrays of so many elements, in steps."""
        if self.fixed_limit is None:
            return 0.0
        step = self.codes.step(self.fixed_limit)
        return self.noise_multiplier * sensitivity(self.fixed_limit, step, count) / step

    def spare(self, count: int) -> int:
        """What words have room for beside the codes, up and down."""
        return math.ceil(_ROOM * self.deviation(count))

    def width(self, count: int) -> int:
        """Bits of a word."""
        return self.codes.width(self.clients, self.spare(count))

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Of the message of an array."""
        count = math.prod(shape)
        return words_size(count, self.width(count))


class SummedUplink:
    """The way of one variable from the clients to the root.

    With a the answer of a client, and b what it is coded against, the change a − b travels. b is
    what the client has of the server or, without `base`, the start and all changes so far. Of these
    each client knows its own, and the root the sum. Noise enters neither.

    Args:
        codec: Codes the changes.
        start: What every client has before its first answer.
        own: Clients of this worker.
        answering: Who answers in a round.
        counted: Whose answers, of this round or before, the mean of a round is over.
        base: What client and root have of the server's last message to a client.
        masks: Of this process, to hide the summands; None sends them as they are.
        stream: Number of the variable among those that travel under these masks, 0 or 1.

    Attributes:
        changes: Sum of the changes of every client of this worker, float64.
        total: Their sum over all clients, noise included, float64; the root's counts.
        index: Of the range of the round.

    Raises:
        InputError: If the codes are too coarse for the noise.
    """

    def __init__(
        self,
        codec: SummedCodec,
        start: Shared,
        own: Collection[int],
        answering: Callable[[int], Collection[int]],
        counted: Callable[[int], Collection[int]],
        *,
        base: Callable[[int], Shared] | None = None,
        masks: PairwiseMasks | None = None,
        stream: int = 0,
    ) -> None:
        self._codec, self._base, self._masks, self._stream = codec, base, masks, stream
        self._answering, self._counted = answering, counted
        self._start, self._dtype = np.asarray(start, np.float64), start.dtype
        self._deviation, self._width = codec.deviation(start.size), codec.width(start.size)
        self.total: Vector = np.zeros(start.size)
        self.changes: dict[int, Vector] = dict.fromkeys(own, self.total)
        self.index = 0
        if 0 < self._deviation < LEAST_DEVIATION * codec.clients**0.5:
            raise InputError(
                f"{spelled('noise_multiplier', codec.noise_multiplier)} is too little for the "
                f"steps of {spelled('codec', f'common{codec.codes.bits}')} and {codec.clients} "
                f"clients; take {spelled('codec', 'common16')}, or more noise"
            )

    def ask(self, client: int, answer: Shared, number: int) -> Message:
        """What a client says in a round about the range that its change needs.

        Where the range is fixed, only a change beyond 2²³, or not finite, needs another.
        """
        index = range_index(self._change(client, answer))
        if self._codec.fixed_limit is not None and index < RANGES - 1:
            index = 0
        words = np.zeros(RANGES - 1, np.uint32)
        words[:index] = np.frombuffer(os.urandom(4 * index), np.uint32)
        return self._packed(words, client, number, 0, _RANGE_BITS)

    def settle(self, messages: Mapping[int, Arrived]) -> Reply:
        """The reply to all that have asked, by the root; it goes by it, too."""
        total = _total(messages, _RANGE_BITS, RANGES - 1)
        self.index = int(np.flatnonzero(total).max(initial=-1)) + 1
        return jnp.asarray([self.index], jnp.uint8)

    def hear(self, reply: Arrived) -> None:
        """Go by the reply of the root."""
        self.index = int(reply[0])

    def encode(self, client: int, answer: Shared, number: int) -> Message:
        """The message of a client in a round, at its owner; it is going to be delivered."""
        codes = self._codec.codes
        words = codes.encode(self._change(client, answer), self._limit)
        if self._base is None:
            moved = codes.decode_sum(words, self._limit, senders=1)
            self.changes[client] = self.changes[client] + moved
        if self._deviation:
            share = self._deviation / len(self._answering(number)) ** 0.5
            words = words + discrete_gaussian(share, words.size).astype(np.uint32)
        return self._packed(words, client, number, 1, self._width)

    def collect(self, messages: Mapping[int, Arrived], number: int) -> Shared:
        """The mean of the answers that count in a round, at the root."""
        count = self._start.size
        moved = self._codec.codes.decode_sum(
            _total(messages, self._width, count),
            self._limit,
            len(messages),
            self._width,
            self._codec.spare(count),
        )
        if self._base is None:
            self.total = self.total + moved
            mean = self._start + self.total / len(self._counted(number))
        else:
            known = sum(np.asarray(self._base(client), np.float64) for client in messages)
            mean = (known + moved) / len(messages)
        return jnp.asarray(mean, self._dtype)

    @property
    def _limit(self) -> float:
        """The largest magnitude in the range of the round."""
        fixed = self._codec.fixed_limit
        return range_limit(self.index) if fixed is None or self.index else fixed

    def _change(self, client: int, answer: Shared) -> Vector:
        if self._base is None:
            base = self._start + self.changes[client]
        else:
            base = np.asarray(self._base(client), np.float64)
        change = np.asarray(answer, np.float64) - base
        return change if self._codec.clip is None else clip_update(change, self._codec.clip)

    def _packed(self, words: Words, client: int, number: int, phase: int, width: int) -> Message:
        if self._masks is not None:
            exchange = 4 * number + 2 * self._stream + phase
            words = self._masks.masked(words, client, self._answering(number), exchange)
        return pack_words(words, width)


def _total(messages: Mapping[int, Arrived], width: int, count: int) -> Words:
    """Sum of words modulo 2^width."""
    total = np.zeros(count, np.uint32)
    for message in messages.values():
        total += unpack_words(message, width, count)
    return total & np.uint32(2**width - 1)
