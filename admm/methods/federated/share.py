"""What a process has of a federation: its outline, and the data of its own clients alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from admm.comm import LEAST_CLIENTS, Transport
from admm.datasets.clients import read_federation
from admm.datasets.federation import ReadFederation
from admm.datasets.fingerprint import fingerprint
from admm.datasets.windows import Client
from admm.errors import InputError, spelled
from admm.methods.baselines import MAIN
from admm.methods.federated.options import FederatedOptions
from admm.methods.federated.schedule import Availability
from admm.methods.tasks import PARTS


@dataclass(frozen=True)
class FederatedShare:
    """What a process has of a federation.

    Attributes:
        options: Of the run.
        outline: Of the federation; every process has it.
        owned: Numbers of the clients of every worker, from 0.
        clients: The data of those of the workers of this process, by number.
        windows: Of every client: how many there are of training, validation and test.
        fingerprints: Of every client's data.
        filled: Whether a client has training windows in a slot of the table that others are told,
            (clients, slots); no slots where attention is `own`.
        baselines: What the clients reach by other means, by name.
        released: How often each client has answered with noise; trainings count, and those that
            were given up count as well.
    """

    options: FederatedOptions
    outline: ReadFederation
    owned: Sequence[range]
    clients: Mapping[int, Client]
    windows: Sequence[tuple[int, int, int]]
    fingerprints: Sequence[str]
    filled: np.ndarray
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    released: Counter[int] = field(default_factory=Counter)

    @property
    def dataset(self) -> dict[str, Any]:
        outline, sums = self.outline, np.sum(self.windows, axis=0).tolist()
        return {
            "name": outline.name,
            "task": outline.task,
            "clients": len(outline.clients),
            "steps": outline.steps,
            "features": outline.features,
            **_outputs(outline),
            "fingerprint": fingerprint(np.array(self.fingerprints)),
            **dict(zip(PARTS, sums, strict=True)),
        }

    @property
    def weights(self) -> np.ndarray:
        """π_k of every client, up to a factor."""
        if self.options.client_weights == "equal":
            return np.ones(len(self.windows))
        return np.array([train for train, _, _ in self.windows], float)

    @property
    def availability(self) -> Availability:
        """Who is there in which round."""
        least = LEAST_CLIENTS if self.options.secure_aggregation else 1
        return Availability(self.options, len(self.windows), least)

    def units(self, worker: int) -> str:
        """The clients of a worker, from 1."""
        own = self.owned[worker]
        return f"{own.start + 1}–{own.stop}"

    @property
    def introduction(self) -> str:
        data, options = self.dataset, self.options
        least, most = (f(train for train, _, _ in self.windows) for f in (min, max))
        owners = ", ".join(map(self.units, range(len(self.owned))))
        main = f"test_{MAIN[self.outline.task]}"
        told = ""
        for name, found in self.baselines.items():
            told += f"{name}: {main} {found[main]:.4f}"
            if (worst := f"{main}_worst") in found:
                told += f", of the worst client {found[worst]:.4f}"
            told += "\n"
        return (
            f"{data['name']}: {data['clients']} clients with {least:,} to {most:,} training "
            f"windows of {data['steps']} × {data['features']}; {data['train']:,} training, "
            f"{data['val']:,} validation, {data['test']:,} test windows\n"
            f"{options.network} of {options.hidden} by {options.solver}: {options.epochs} rounds "
            f"of {options.steps} steps; on {len(self.owned)} workers (clients {owners})\n"
            f"{told}"
        )


def load_share(options: FederatedOptions, transport: Transport, data: Any = None) -> FederatedShare:
    """The outline of a federation, and the data of the clients that live in this process.

    Raises:
        InputError: In every process, if data cannot be used, or there are more workers than
            clients.
    """
    outline = transport.agreed(lambda: _outline(options, data))
    count = len(outline.clients)
    if transport.size > count:
        raise InputError(
            f"got {transport.size} workers for {count} clients of {outline.name}; every worker "
            "needs at least one: start fewer"
        )
    if options.secure_aggregation and count < LEAST_CLIENTS:
        raise InputError(
            f"{spelled('secure_aggregation')} needs at least {LEAST_CLIENTS} clients, and "
            f"{outline.name} has {count}: of two, each sees the other in the sum"
        )
    if options.late_joiners >= count:
        raise InputError(
            f"{spelled('late_joiners', options.late_joiners)} leaves nobody to begin with: "
            f"{outline.name} has {count} clients"
        )
    if options.loss is not None and outline.task != "regression":
        raise InputError(
            f"{spelled('loss', options.loss)} is for regression; the task of {outline.name} is "
            f"{outline.task}: leave it out"
        )
    _check_attention(options, outline)
    cuts = [count * worker // transport.size for worker in range(transport.size + 1)]
    owned = [range(*pair) for pair in pairwise(cuts)]
    own = [client for worker in transport.local for client in owned[worker]]
    read = transport.agreed(lambda: {number: outline.client(number) for number in own})
    clients = {number: _with_slots(each, options.attention) for number, each in read.items()}
    slots = np.arange({"own": 0, "aligned": outline.slots, "context": 1}[options.attention])
    told = {
        number: (
            tuple(len(part.inputs) for part in each[1:]),
            _fingerprint(each, options.attention),
            np.isin(slots, np.asarray(each.train.slots)),
        )
        for number, each in clients.items()
    }
    every = {number: one for part in transport.gather(told) for number, one in part.items()}
    columns = zip(*(every[number] for number in range(count)), strict=True)
    windows, fingerprints, filled = columns
    return FederatedShare(options, outline, owned, clients, windows, fingerprints, np.stack(filled))


def _check_attention(options: FederatedOptions, outline: ReadFederation) -> None:
    """Refuse to look at clients that cannot be looked at.

    Raises:
        InputError: If there is no other, or no common clock.
    """
    if options.attention == "own":
        return
    given = spelled("attention", options.attention)
    if len(outline.clients) < 2:
        raise InputError(
            f"{given} looks at other clients, and {outline.name} has one alone; take "
            f"{spelled('attention', 'own')}"
        )
    if options.attention == "aligned" and not outline.slots:
        raise InputError(
            f"{given} needs clients with a common clock, and {outline.name} tells of none; take "
            f"{spelled('attention', 'context')}, or say when each series starts (docs/sensors.md)"
        )


def _with_slots(client: Client, attention: str) -> Client:
    """The client whose windows have the slots that its attention tells apart."""
    if attention == "aligned":
        return client
    parts = [
        part._replace(slots=np.zeros(len(part.inputs), np.int32) if attention != "own" else None)
        for part in client[1:]
    ]
    return Client(client.name, *parts)


def _outline(options: FederatedOptions, data: Any) -> ReadFederation:
    """The federation that the options name, or the one that is given.

    Raises:
        InputError: If it cannot be used.
    """
    stride = options.stride
    return read_federation(
        options.dataset if data is None else data,
        data_dir=options.data_dir,
        length=options.length,
        stride=stride[0] if stride and len(stride) == 1 else stride,
        horizon=options.horizon,
    )


def _outputs(outline: ReadFederation) -> dict[str, Any]:
    """How many, and of classes what they are called."""
    if outline.task == "classes":
        return {"classes": len(outline.outputs), "class_names": list(outline.outputs)}
    return {"outputs": len(outline.outputs)}


def _fingerprint(client: Client, attention: str) -> str:
    """Of all that the run looks at."""
    count = 4 if attention == "aligned" else 3
    return fingerprint(*(array for part in client[1:] for array in part[:count]))
