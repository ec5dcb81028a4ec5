"""What clients are told of the windows of the others: tables of sequences, and who is in them.

The sequence of a window is the output R of FATHOM's first LSTM, (T, H). A client's row of the
table is the mean R̄ of its training windows; with attention `aligned` it has one for each slot of
the common clock, such as the hour of the day in which a window begins:

    R̄_k,s = mean of R_k over the training windows of client k that begin in slot s

A window in slot s looks at the R̄_j,s of all others. That is the least which varies with the window
and needs no message for each: one for every client and refresh, of one size. No R of a single
window leaves its client, and of validation and test nothing does.

In a refresh, round 1 and every `refresh` rounds after it, each client that answers

- encodes with the parameters that it was just sent, so that all R̄ have the same coordinates;
- sends its R̄_k to the server;
- gets what its attention looks at, before its steps: `aligned` the R̄_j of all others, `context`
  the mean of those that take part in this refresh.

Of a client that is offline the last R̄ stays with `aligned`, and `context` leaves it out. Who is
not there in a refresh keeps what it was told before. Nobody is available to a client that was
never told.

Deviation: the paper looks at R_j of the very same steps. These would have to travel for every
window, in use too, and give away more.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from admm.comm import Transport
from admm.comm.transport import Arrived, Message
from admm.methods.federated.links import Ends
from admm.methods.federated.schedule import Availability
from admm.methods.federated.share import FederatedShare
from admm.solvers.federated import weighted_mean
from layers import Context
from quant import make_codec

TABLE_DOWN, TABLE_UP = "table_down", "table_up"
TABLES = (TABLE_DOWN, TABLE_UP)

Sequences = Float[Array, "slots time hidden"]
Table = Float[Array, "slots others time hidden"]


class Told(NamedTuple):
    """What a checkpoint has of the tables of a client."""

    links: dict[str, Array]  # what both ends decoded last, down and up
    available: Bool[Array, "slots others"]


class Tables:
    """Shapes of the tables of a run, what is in them, and when they travel.

    `context` has one slot, and its table one sequence: the mean of the others.

    Args:
        share: The federation, of a run whose attention is not `own`.
        rounds: Who is there in which round.

    Attributes:
        shapes: Of what a client gets, (slots, others, T, H), and of what it sends, (slots, T, H).
        nbytes: Of their messages.
    """

    def __init__(self, share: FederatedShare, rounds: Availability) -> None:
        options, outline = share.options, share.outline
        self._rounds, self._every, self._filled = rounds, options.refresh, share.filled
        self._clients, self._is_aligned = range(len(share.windows)), options.attention == "aligned"
        sequence, slots = (outline.steps, options.hidden), share.filled.shape[1]
        others = len(self._clients) - 1 if self._is_aligned else 1
        self.shapes = {TABLE_DOWN: (slots, others, *sequence), TABLE_UP: (slots, *sequence)}
        # Codes that add up are for answers alone.
        up = options.down if options.summed else options.up
        self._codecs = {TABLE_DOWN: make_codec(options.down), TABLE_UP: make_codec(up)}
        self.nbytes = {name: self._codecs[name].nbytes(each) for name, each in self.shapes.items()}
        self._dtype = options.dtype

    def answering(self, number: int) -> tuple[int, ...]:
        """Who sends and gets a table in a round; nobody where it is no refresh."""
        return () if (number - 1) % self._every else self._rounds.answering(number)

    def messages(self, rounds: int) -> list[int]:
        """The clients that have sent and got a table in the first rounds, once for each time."""
        return [k for n in range(1, rounds + 1, self._every) for k in self.answering(n)]

    def table(self, client: int, rows: Mapping[int, Sequences], number: int) -> Table:
        """What the server tells a client in a refresh.

        Args:
            client: Its number.
            rows: R̄ of every client, as the server has them.
            number: Of the round.
        """
        others = [k for k in self._clients if k != client]
        if self._is_aligned:
            return jnp.stack([rows[k] for k in others], axis=1)
        there = np.isin(others, self.answering(number))
        if not there.any():
            return self.nothing().sequences
        flat = jnp.stack([rows[k].ravel() for k in others])
        mean = weighted_mean(flat, jnp.asarray(there, flat.dtype))
        return mean.reshape(self.shapes[TABLE_DOWN])

    def available(self, client: int, number: int) -> np.ndarray:
        """Who is in the table that a client gets in a refresh, (slots, others)."""
        if not self._is_aligned:
            return np.array([[len(self.answering(number)) > 1]])  # the client is one of them
        others = [k for k in self._clients if k != client]
        return self._filled[others].T & np.isin(others, self.messages(number))

    def nothing(self) -> Context:
        """A table in which nobody is available."""
        shape = self.shapes[TABLE_DOWN]
        return Context(jnp.zeros(shape, self._dtype), jnp.zeros(shape[:2], bool))

    @property
    def blank(self) -> Told:
        """Shapes of what a checkpoint has."""
        shapes = self.shapes.items()
        links = {name: jnp.zeros(shape, self._dtype) for name, shape in shapes}
        return Told(links, self.nothing().available)

    def ends(
        self, transport: Transport, device: jax.Device, clients: Collection[int]
    ) -> dict[str, Ends]:
        """Ends of both directions, which hold zeros at the start."""
        return {
            name: Ends(transport, self._codecs[name], name, jax.device_put(start, device), clients)
            for name, start in self.blank.links.items()
        }


class TableLinks:
    """A worker's part in telling its clients of the others, and the server's on the first worker.

    Args:
        tables: Of the run.
        transport: Of the run.
        index: Number of the worker.
        owner: The worker of every client.
    """

    def __init__(
        self, tables: Tables, transport: Transport, index: int, owner: Mapping[int, int]
    ) -> None:
        self._tables, self._owner, self._device = tables, owner, transport.device(index)
        own = [client for client, worker in owner.items() if worker == index]
        self._own = tables.ends(transport, self._device, own)
        self._every = {} if index else tables.ends(transport, self._device, owner)
        nobody = jax.device_put(tables.nothing().available, self._device)
        self._available = dict.fromkeys(own, nobody)

    def refresh(
        self,
        number: int,
        sequences: Callable[[int], Sequences],
        send: Callable[[Message, int, str, int], None],
        receive: Callable[[int, str, int], Arrived],
    ) -> Iterator[None]:
        """Tell clients of each other, in a round in which that is due.

        Args:
            number: Of the round.
            sequences: R̄ of an own client.
            send: Of a message, the client that it is of, its variable, and a worker.
            receive: Of the client, the variable, and the worker that has sent it.
        """
        answering = self._tables.answering(number)
        own = [client for client in answering if client in self._available]
        for client in own:
            send(self._own[TABLE_UP].encode(client, sequences(client)), client, TABLE_UP, 0)
        yield
        if self._every:
            up, down = self._every[TABLE_UP], self._every[TABLE_DOWN]
            for client in answering:
                up.decode(client, receive(client, TABLE_UP, self._owner[client]))
            for client in answering:
                table = self._tables.table(client, up.last, number)
                send(down.encode(client, table), client, TABLE_DOWN, self._owner[client])
        yield
        for client in own:
            self._own[TABLE_DOWN].decode(client, receive(client, TABLE_DOWN, 0))
            available = self._tables.available(client, number)
            self._available[client] = jax.device_put(available, self._device)

    def context(self, client: int) -> Context:
        """What an own client was told last."""
        return Context(self._own[TABLE_DOWN].last[client], self._available[client])

    def state(self, client: int) -> Told:
        """What the next rounds need of an own client."""
        links = {name: ends.last[client] for name, ends in self._own.items()}
        return Told(links, self._available[client])

    def restore(self, client: int, told: Told) -> None:
        """Go on from the state of a client, at the end or ends that are here."""
        links, available = jax.device_put(told, self._device)
        for name, array in links.items():
            if self._every:
                self._every[name].last[client] = array
            if client in self._available:
                self._own[name].last[client] = array
        if client in self._available:
            self._available[client] = available
