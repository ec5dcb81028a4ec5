"""Workers of federated learning: owners of clients; the first is the server as well.

In a round

- the server sends its parameters to every client that is there;
- where attention looks at other clients, they are told of each other now and then, see
  `admm.methods.federated.context`;
- the owner of such a client takes the client's steps, and sends the answer (where answers are
  summed up, after all have settled its range);
- the server decodes the answers in the order of the clients, and takes its own step.

Every client has links, a state and random numbers of its own, and one compiled function takes the
steps of each: the iterates do not depend on who owns whom.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.comm import PairwiseMasks, Transport, fill_leaves, receive_exact, send_exact
from admm.comm.transport import Arrived, Message
from admm.methods.federated.context import Sequences, TableLinks, Tables, Told
from admm.methods.federated.links import (
    DOWN,
    DOWN_CONTROL,
    RANGES,
    UP,
    UP_CONTROL,
    VARIABLES,
    Ends,
    Uplink,
    link_codecs,
    message_bytes,
    remembered,
    summed_codec,
    variables,
)
from admm.methods.federated.local import LocalSteps
from admm.methods.federated.network import Personal, Start, optimizer_of, solver_of
from admm.methods.federated.options import FederatedOptions
from admm.methods.federated.schedule import Availability
from admm.methods.federated.share import FederatedShare
from admm.methods.federated.summed import SummedUplink
from admm.solvers.federated import Client, Pull, Shared, move_dual, move_with_momentum, server_step
from layers import Context

EVALUATION = "evaluation"

_DOWN_OF = dict(zip(VARIABLES[1::2], VARIABLES[::2], strict=True))


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
    links: dict[str, Shared]  # what both ends decoded last, of every variable
    changes: dict[str, Any]  # what the client has answered so far, where answers are summed up
    told: Told | None  # what the client knows of the others


class KeptServer(NamedTuple):
    """What a checkpoint has of the server."""

    server: Server
    totals: dict[str, Any]  # what all clients have answered so far, where answers are summed up


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
        masks: Hide the answers of the clients of this process, where they are to be hidden.
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
        masks: PairwiseMasks | None,
        tables: Tables | None,
    ) -> None:
        self.index, self._transport, self._availability = index, transport, availability
        self._options, self._method = share.options, share.options.method
        self._device = transport.device(index)
        self._owner = {k: worker for worker, own in enumerate(share.owned) for k in own}
        start = start._replace(**jax.device_put({"w": start.w, "v": start.v}, self._device))
        self._steps = LocalSteps(share, index, start, self._device)
        self._zero = jnp.zeros_like(start.w)
        rho = self._options.rho if self._method.has_penalty else 0.0
        self._rho = jnp.asarray(rho, start.w.dtype, device=self._device)
        self.locals = dict.fromkeys(share.owned[index], new_local(self._options, start))
        self.server = None if index else new_server(self._options, start.w)
        self._own = self._ends(start.w, self.locals)
        self._every = {} if index else self._ends(start.w, self._owner)
        self._nbytes = message_bytes(self._options, len(self._owner), start.w.shape)
        self._elements = dict.fromkeys(VARIABLES, start.w.size)
        self._told = None
        if tables is not None:
            self._told = TableLinks(tables, transport, index, self._owner)
            self._nbytes |= tables.nbytes
            self._elements |= {name: math.prod(shape) for name, shape in tables.shapes.items()}
        self._uplinks = {
            name: self._uplink(name, start.w, share.weights, masks)
            for name in variables(self._method)[1::2]
        }
        self._remembering = {
            name: uplink
            for name, uplink in self._uplinks.items()
            if isinstance(uplink, SummedUplink) and name in remembered(self._options)
        }
        self._here: dict[tuple[str, int], Message] = {}  # from this worker to itself

    def _ends(self, w: Shared, clients: Collection[int]) -> dict[str, Ends]:
        """Ends of all variables, which hold what both sides know at the start."""
        return {
            name: Ends(self._transport, codec, name, self._first(name, w), clients)
            for name, codec in link_codecs(self._options).items()
        }

    def _first(self, name: str, w: Shared) -> Shared:
        """What is known of a variable before its first message."""
        return w if name == DOWN or (name == UP and not self._method.sends_gradient) else self._zero

    def _uplink(
        self, name: str, w: Shared, weights: np.ndarray, masks: PairwiseMasks | None
    ) -> Uplink | SummedUplink:
        """The way of answers to the server."""
        rounds, remembers = self._availability, name == UP_CONTROL or self._method.counts_absent
        counted = rounds.answered if remembers else rounds.answering
        if not self._options.summed:
            return Uplink(self._own[name], self._every.get(name), weights, counted)
        known = (self._every or self._own)[DOWN].last
        if self._method.sends_gradient:
            known = dict.fromkeys(self._owner, self._zero)
        return SummedUplink(
            summed_codec(self._options, len(self._owner)),
            self._first(name, w),
            self.locals,
            rounds.answering,
            counted,
            base=None if remembers else known.__getitem__,
            masks=masks,
            stream=int(name == UP_CONTROL),
        )

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
        answers = {}
        for client in filter(self.locals.__contains__, present):
            for name in variables(self._method)[::2]:
                self._own[name].decode(client, self._receive(client, name, 0))
        if self._told is not None:
            yield from self._told.refresh(number, self._sequences, self._send, self._receive)
        for client in filter(self.locals.__contains__, answering):
            answers[client] = self._solve(client, number)
        for name, uplink in self._uplinks.items():
            if isinstance(uplink, SummedUplink):
                own = {client: each[name] for client, each in answers.items()}
                yield from self._settle(name, uplink, own, number)
            for client, each in answers.items():
                self._send(uplink.encode(client, each[name], number), client, name, 0)
        yield
        if self.server is not None and answering:
            means = {}
            for name, uplink in self._uplinks.items():
                messages = {k: self._receive(k, name, self._owner[k]) for k in answering}
                means[name] = uplink.collect(messages, number)
            self.server = self._step(self.server, means, number)

    def _settle(
        self, name: str, uplink: SummedUplink, answers: Mapping[int, Shared], number: int
    ) -> Iterator[None]:
        """Settle the range of the answers of a round."""
        asking, replying = RANGES[name], RANGES[_DOWN_OF[name]]
        for client, answer in answers.items():
            self._send(uplink.ask(client, answer, number), client, asking, 0)
        yield
        answering = self._availability.answering(number)
        if self.server is not None and answering:
            asked = {k: self._receive(k, asking, self._owner[k]) for k in answering}
            reply = uplink.settle(asked)
            for client in answering:
                self._send(reply, client, replying, self._owner[client])
        yield
        for client in answers:
            uplink.hear(self._receive(client, replying, 0))

    def _sequences(self, client: int) -> Sequences:
        """What the others may be told of a client's windows."""
        given = client, self._own[DOWN].last[client], self.locals[client].client.v
        return self._transport.traced("compute", "sequences", self._steps.sequences, *given)

    def _context(self, client: int) -> Context | None:
        return None if self._told is None else self._told.context(client)

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
            elements = self._elements.get(name, 1)
            self._transport.send(message, self.index, target, name, elements)

    def _receive(self, client: int, name: str, source: int) -> Arrived:
        if source == self.index:
            return self._here.pop((name, client))
        wait = self._transport.expect(self._nbytes[name], source, self.index, name)
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
                {name: each.changes[client] for name, each in self._remembering.items()},
                None if self._told is None else self._told.state(client),
            )
            for client, local in self.locals.items()
        }

    def server_state(self) -> KeptServer | None:
        """All that it needs of the server, where that is here."""
        if self.server is None:
            return None
        return KeptServer(
            self.server, {name: each.total for name, each in self._remembering.items()}
        )

    def restore(self, read: Callable[[int], Mapping[str, Array]]) -> None:
        """Go on from a state: of the server in unit 0, of client k, from 0, in unit k + 1."""
        blank = next(iter(self.state().values()))
        for client in self._owner if self.server is not None else self.locals:
            kept = fill_leaves(blank, read(client + 1))
            local, links = jax.device_put((kept.local, kept.links), self._device)
            if self._told is not None and kept.told is not None:
                self._told.restore(client, kept.told)
            for name, array in links.items():
                if self._every:
                    self._every[name].last[client] = array
                if client in self.locals:
                    self._own[name].last[client] = array
            if client in self.locals:
                self.locals[client] = local
                for name, changes in kept.changes.items():
                    self._remembering[name].changes[client] = np.asarray(changes)
        if (state := self.server_state()) is not None:
            kept_server = fill_leaves(state, read(0))
            self.server = jax.device_put(kept_server.server, self._device)
            for name, total in kept_server.totals.items():
                self._remembering[name].total = np.asarray(total)
