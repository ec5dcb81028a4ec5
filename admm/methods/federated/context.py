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

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from admm.methods.federated.schedule import Availability
from admm.methods.federated.share import FederatedShare
from admm.solvers.federated import weighted_mean
from layers import Context

TABLE_DOWN, TABLE_UP = "table_down", "table_up"
TABLES = (TABLE_DOWN, TABLE_UP)

Sequences = Float[Array, "slots time hidden"]


class Tables:
    """Shapes of the tables of a run, what is in them, and when they travel.

    Args:
        share: The federation, of a run whose attention is not `own`.
        rounds: Who is there in which round.

    Attributes:
        shapes: Of the array that a client gets, (slots, others, T, H), and of the one it sends,
            (slots, T, H). `context` has one slot, and one that stands for all others.
    """

    def __init__(self, share: FederatedShare, rounds: Availability) -> None:
        options, outline = share.options, share.outline
        self._rounds, self._every, self._filled = rounds, options.refresh, share.filled
        self._clients, self._is_aligned = range(len(share.windows)), options.attention == "aligned"
        sequence, slots = (outline.steps, options.hidden), share.filled.shape[1]
        others = len(self._clients) - 1 if self._is_aligned else 1
        self.shapes = {TABLE_DOWN: (slots, others, *sequence), TABLE_UP: (slots, *sequence)}

    def answering(self, number: int) -> tuple[int, ...]:
        """Who sends and gets a table in a round; nobody where it is no refresh."""
        return () if (number - 1) % self._every else self._rounds.answering(number)

    def messages(self, rounds: int) -> list[int]:
        """The clients that have sent and got a table in the first rounds, once for each time."""
        return [k for n in range(1, rounds + 1, self._every) for k in self.answering(n)]

    def told(
        self, client: int, rows: Mapping[int, Sequences], number: int
    ) -> Float[Array, "slots others time hidden"]:
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
        flat = jnp.stack([rows[k].ravel() for k in others])
        mean = weighted_mean(flat, jnp.asarray(there, flat.dtype)) if there.any() else flat[0] * 0
        return mean.reshape(self.shapes[TABLE_DOWN])

    def available(self, client: int, number: int) -> np.ndarray:
        """Who is in the table that a client gets in a refresh, (slots, others)."""
        if not self._is_aligned:
            return np.array([[len(self.answering(number)) > 1]])  # the client is one of them
        others = [k for k in self._clients if k != client]
        return self._filled[others].T & np.isin(others, self.messages(number))

    def nothing(self, dtype: str) -> Context:
        """A table in which nobody is available."""
        shape = self.shapes[TABLE_DOWN]
        return Context(jnp.zeros(shape, dtype), jnp.zeros(shape[:2], bool))
