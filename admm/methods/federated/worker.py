"""Workers of federated learning: owners of clients; the first is the server as well.

In a round

- the server sends its parameters to every client that is there;
- where attention looks at others, they are told of each other every so many rounds, see
  `admm.methods.federated.context`;
- the owner of such a client takes the client's steps, and sends the answer;
- the server decodes the answers in the order of the clients, and takes its own step.

Every client has links, a state and random numbers of its own, and one compiled function takes the
steps of each: the iterates do not depend on who owns whom.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.comm import Transport, fill_leaves, receive_exact, send_exact
from admm.comm.transport import Message
from admm.methods.federated.context import TABLE_DOWN, TABLE_UP, TABLES, Tables
from admm.methods.federated.links import Ends, Uplink
from admm.methods.federated.local import LocalSteps
from admm.methods.federated.network import Personal, Start, optimizer_of, solver_of
from admm.methods.federated.options import FederatedOptions, Method
from admm.methods.federated.schedule import Availability
from admm.methods.federated.share import FederatedShare
from admm.run.options import codec_of
from admm.solvers.federated import Client, Pull, Shared, move_dual, move_with_momentum, server_step
from layers import Context
from quant import Codec, make_codec

DOWN, UP = "down", "up"  # parameters and answers
DOWN_CONTROL, UP_CONTROL = "down_control", "up_control"  # c and c_k of SCAFFOLD
VARIABLES = (DOWN, UP, DOWN_CONTROL, UP_CONTROL)
EVALUATION = "evaluation"


class Local(NamedTuple):
    """The state of a client, but for its links."""

    client: Client
    u: Shared | None  # dual variable of ADMM
    control: Shared | None  # c_k of SCAFFOLD


class Server(NamedTuple):
    """The state of the server, but for its links."""

    z: Shared
    velocity: Shared | None  # s of FedAvgM
    control: Shared | None  # c of SCAFFOLD
    memory: Any  # of the optimiser of FedSGD


class Kept(NamedTuple):
    """What a checkpoint has of a client."""

    local: Local
    links: dict[str, Array]  # what both ends decoded last, of every variable
    available: Array | None  # who of the others is in its table


def variables(method: Method) -> tuple[str, ...]:
    """What travels."""
    return VARIABLES if method.has_control else VARIABLES[:2]


def codecs_of(options: FederatedOptions) -> dict[str, Codec]:
    """How each variable travels."""
    up = make_codec(codec_of(options))
    down = make_codec(options.codec_down or codec_of(options))
    return dict(zip(VARIABLES + TABLES, 3 * (down, up), strict=True))


def new_local(options: FederatedOptions, start: Start) -> Local:
    """A client before its first round."""
    zero, method = jnp.zeros_like(start.w), options.method
    client = solver_of(options, start.model).init(start.w, start.v)
    return Local(client, zero if method.has_dual else None, zero if method.has_control else None)


def new_server(options: FederatedOptions, w: Shared) -> Server:
    """The server before the first round."""
    zero, method = jnp.zeros_like(w), options.method
    optimizer = optimizer_of(options.optimizer, options.lr, options.clip)
    return Server(
        w,
        zero if method.has_momentum else None,
        zero if method.has_control else None,
        optimizer.init(w) if method.sends_gradient else None,
    )


class FederatedWorker:
    """The owner of some clients, and the server if it is the first worker.

    Args:
        index: Number of the worker, from 0.
        share: The federation.
        transport: Ways to the other workers.
        start: The network before training.
        availability: Who is there in which round.
        tables: What clients are told of each other, unless attention is `own`.

    Attributes:
        locals: State of each own client, by number from 0.
        server: State of the server, where it is here.
    """

    def __init__(
        self,
        index: int,
        share: FederatedShare,
        transport: Transport,
        start: Start,
        availability: Availability,
        tables: Tables | None,
    ) -> None:
        self.index, self._transport, self._availability = index, transport, availability
        self._options, self._method = share.options, share.options.method
        self._device, self._tables = transport.device(index), tables
        self._owner = {k: worker for worker, own in enumerate(share.owned) for k in own}
        start = start._replace(**jax.device_put({"w": start.w, "v": start.v}, self._device))
        self._steps = LocalSteps(share, index, start, self._device)
        self._zero = jnp.zeros_like(start.w)
        rho = self._options.rho if self._method.has_penalty else 0.0
        self._rho = jnp.asarray(rho, start.w.dtype, device=self._device)
        self.locals = dict.fromkeys(share.owned[index], new_local(self._options, start))
        self.server = None if index else new_server(self._options, start.w)
        nobody = None if tables is None else tables.nothing(start.w.dtype.name).available
        self._available = dict.fromkeys(self.locals, jax.device_put(nobody, self._device))
        self._own = self._ends(start.w, self.locals)
        self._every = {} if index else self._ends(start.w, self._owner)
        rounds = availability
        counted = {
            UP: rounds.answered if self._method.counts_absent else rounds.answering,
            UP_CONTROL: rounds.answered,
        }
        self._uplinks = {
            name: Uplink(self._own[name], self._every.get(name), share.weights, counted[name])
            for name in variables(self._method)[1::2]
        }
        self._here: dict[tuple[str, int], Message] = {}  # from this worker to itself

    def _ends(self, w: Shared, clients: Collection[int]) -> dict[str, Ends]:
        """Ends of all variables, which hold what both sides know at the start."""
        codecs = codecs_of(self._options)
        starts = {**dict.fromkeys(variables(self._method), self._zero), DOWN: w, UP: w}
        if self._method.sends_gradient:
            starts[UP] = self._zero
        if self._tables is not None:
            for name, shape in self._tables.shapes.items():
                starts[name] = jnp.zeros(shape, w.dtype, device=self._device)
        return {
            name: Ends(self._transport, codecs[name], name, start, clients)
            for name, start in starts.items()
        }

    def iteration(self, number: int) -> Iterator[None]:
        """A round, numbered from 1."""
        present, answering = self._availability[number]
        if self.server is not None:
            told = {DOWN: self.server.z}
            if self.server.control is not None:
                told[DOWN_CONTROL] = self.server.control
            for client in present:
                for name, x in told.items():
                    message = self._every[name].encode(client, x)
                    self._send(message, client, name, self._owner[client])
        yield
        for client in filter(self.locals.__contains__, present):
            for name in variables(self._method)[::2]:
                self._own[name].decode(client, self._receive(client, name, 0))
        if self._tables is not None:
            yield from self._refresh(self._tables, number)
        for client in filter(self.locals.__contains__, answering):
            for name, answer in self._solve(client, number).items():
                message = self._uplinks[name].encode(client, answer, number)
                self._send(message, client, name, 0)
        yield
        if self.server is not None and answering:
            means = {}
            for name, uplink in self._uplinks.items():
                messages = {k: self._receive(k, name, self._owner[k]) for k in answering}
                means[name] = uplink.collect(messages, number)
            self.server = self._step(self.server, means, number)

    def _refresh(self, tables: Tables, number: int) -> Iterator[None]:
        """Tell clients of each other, in the rounds in which that is due."""
        answering = tables.answering(number)
        own = [client for client in answering if client in self.locals]
        for client in own:
            given = client, self._own[DOWN].last[client], self.locals[client].client.v
            rows = self._transport.traced("compute", "sequences", self._steps.sequences, *given)
            self._send(self._own[TABLE_UP].encode(client, rows), client, TABLE_UP, 0)
        yield
        if self.server is not None:
            up, down = self._every[TABLE_UP], self._every[TABLE_DOWN]
            for client in answering:
                up.decode(client, self._receive(client, TABLE_UP, self._owner[client]))
            for client in answering:
                message = down.encode(client, tables.told(client, up.last, number))
                self._send(message, client, TABLE_DOWN, self._owner[client])
        yield
        for client in own:
            self._own[TABLE_DOWN].decode(client, self._receive(client, TABLE_DOWN, 0))
            available = tables.available(client, number)
            self._available[client] = jax.device_put(available, self._device)

    def _context(self, client: int) -> Context | None:
        """What a client was told of the others last."""
        if self._tables is None:
            return None
        return Context(self._own[TABLE_DOWN].last[client], self._available[client])

    def _solve(self, client: int, number: int) -> dict[str, Shared]:
        """The steps of a client in a round, and its answer."""
        local, z = self.locals[client], self._own[DOWN].last[client]
        correction = self._zero
        if local.control is not None:
            correction = self._own[DOWN_CONTROL].last[client] - local.control
        pull = Pull(self._rho, z if local.u is None else z - local.u, correction)
        given = client, number, local.client._replace(w=z), pull, self._context(client)
        solved = self._transport.traced(
            "compute", f"client {client + 1}", self._steps.solve, *given
        )
        self._transport.computing = solved.loss
        u, control, w = local.u, local.control, solved.client.w
        answers = {UP: solved.gradient if self._method.sends_gradient else w}
        if u is not None:
            u = move_dual(u, w, z)
            answers[UP] = w + u
        if control is not None:
            control = answers[UP_CONTROL] = solved.gradient
        self.locals[client] = Local(solved.client, u, control)
        return answers

    def _step(self, server: Server, means: Mapping[str, Shared], number: int) -> Server:
        """The server after the answers of a round."""
        z, velocity, control, memory = server
        options, mean = self._options, means[UP]
        if velocity is not None:
            beta = jnp.asarray(options.server_momentum, z.dtype, device=self._device)
            z, velocity = move_with_momentum(z, velocity, mean, beta)
        elif self._method.sends_gradient:
            optimizer = optimizer_of(options.optimizer, options.lr, options.clip)
            z, memory = server_step(optimizer, z, memory, mean, self._steps.factors(number)[0])
        else:
            z = mean
        return Server(z, velocity, means.get(UP_CONTROL, control), memory)

    def _send(self, message: Message, client: int, name: str, target: int) -> None:
        if target == self.index:
            self._here[name, client] = message
        else:
            size = self._own[name].size
            self._transport.send(message, self.index, target, name, elements=size)

    def _receive(self, client: int, name: str, source: int) -> Message:
        if source == self.index:
            return self._here.pop((name, client))
        nbytes = self._own[name].nbytes
        wait = self._transport.expect(nbytes, source, self.index, name)
        return self._transport.traced("wait", f"wait {name}", wait)

    # Between rounds.

    def shared(self) -> Iterator[None]:
        """Bring z of now to every worker, as `z`."""
        if self.server is not None:
            self.z = self.server.z
            for worker in range(1, self._transport.size):
                send_exact(self._transport, self.z, 0, worker, EVALUATION)
        yield
        if self.server is None:
            self.z = receive_exact(self._transport, self._zero, 0, self.index, EVALUATION)

    def personal(self) -> dict[int, Personal]:
        """What the own clients add to the shared parameters, by number."""
        return {k: Personal(local.client.v, self._context(k)) for k, local in self.locals.items()}

    def state(self) -> dict[int, Kept]:
        """All that the next round needs of the own clients, by number."""
        return {
            client: Kept(
                local,
                {name: ends.last[client] for name, ends in self._own.items()},
                self._available[client],
            )
            for client, local in self.locals.items()
        }

    def restore(self, read: Callable[[int], Mapping[str, Array]]) -> None:
        """Go on from a state: of the server in unit 0, of client k, from 0, in unit k + 1."""
        blank = next(iter(self.state().values()))
        for client in self._owner if self.server is not None else self.locals:
            kept = fill_leaves(blank, jax.device_put(dict(read(client + 1)), self._device))
            for name, array in kept.links.items():
                if self._every:
                    self._every[name].last[client] = array
                if client in self.locals:
                    self._own[name].last[client] = array
            if client in self.locals:
                self.locals[client], self._available[client] = kept.local, kept.available
        if self.server is not None:
            self.server = fill_leaves(self.server, jax.device_put(dict(read(0)), self._device))
