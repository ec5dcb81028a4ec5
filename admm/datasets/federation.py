"""Clients that keep their data: what all processes know of them, and what their owner reads."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np

from admm.datasets.windows import Client, Windows
from admm.errors import InputError

FederationTask = Literal["regression", "multilabel", "classes"]

# A single training window has no deviation, and cannot be told from its own mean.
_LEAST = {"train": 2, "val": 1, "test": 1}

# Kinds of NumPy's types, in words.
_KINDS = {
    "fiu": "of real numbers",
    "iu": "of whole numbers",
    "fiub": "of real numbers",
    "b": "of truth values",
}


@runtime_checkable
class Federation(Protocol):
    """Clients of one task. Any object with these members is one.

    All but `client` is known to every process; a process calls `client` for those that it owns.

    Where the clients have a common clock, a member `slots` says how many slots it has, for example
    24 hours, and their windows say in which each begins.

    Example:
        >>> from types import SimpleNamespace
        >>> isinstance(SimpleNamespace(name="mine", client=print), Federation)
        False
    """

    @property
    def name(self) -> str:
        """For messages and summaries."""

    @property
    def task(self) -> FederationTask:
        """What is learned: real numbers, labels of 0 and 1, or a class."""

    @property
    def clients(self) -> tuple[str, ...]:
        """Names of the clients."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the inputs; none where they have none."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the numbers, of the labels, or of the classes."""

    @property
    def steps(self) -> int:
        """T, steps of a window."""

    @property
    def features(self) -> int:
        """D, columns of a window."""

    def client(self, number: int) -> Client:
        """Read the data of one client, numbered from 0, and of no other.

        Raises:
            InputError: With the name of the client, if its data cannot be used.
        """


@dataclass(frozen=True)
class ReadFederation:
    """A federation whose clients are checked when they are read.

    Args:
        name: See `Federation`, as for `task`, `clients`, `columns`, `outputs`, `steps` and
            `features`.
        read: The data of a client, by its number.
        slots: Of the common clock; 0 where there is none.

    Raises:
        InputError: If there are no clients, outputs, steps or columns, names are given twice, or
            the task is unknown.
    """

    name: str
    task: FederationTask
    clients: tuple[str, ...]
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: int
    features: int
    read: Callable[[int], Client]
    slots: int = 0

    def __post_init__(self) -> None:
        if self.task not in get_args(FederationTask):
            raise InputError(
                f"{self.name}: expected a task of {', '.join(get_args(FederationTask))}, got "
                f"{self.task!r}"
            )
        for what in ("clients", "columns", "outputs"):
            names = getattr(self, what)
            if len(set(names)) < len(names):
                raise InputError(f"{self.name}: {what} must have different names, got {names}")
        if self.columns and len(self.columns) != self.features:
            raise InputError(
                f"{self.name}: expected a name for each of {self.features} columns, got "
                f"{len(self.columns)}"
            )
        counts = {"clients": len(self.clients), "outputs": len(self.outputs)}
        counts |= {"steps": self.steps, "features": self.features}
        for what, count in counts.items():
            if count < 1:
                raise InputError(f"{self.name}: expected at least one of {what}, got {count}")
        if not isinstance(self.slots, Integral) or self.slots < 0:
            raise InputError(
                f"{self.name}: expected slots of a clock, a whole number, got {self.slots!r}"
            )
        if self.task == "classes" and len(self.outputs) < 2:
            raise InputError(f"{self.name}: expected at least two classes, got {self.outputs}")

    def client(self, number: int) -> Client:
        """Read one client, and see that its windows are what the federation says.

        Raises:
            InputError: With the name of the client, if they are not, if there are too few, or if
                all targets of a part are missing.
        """
        given, where = self.read(number), f"{self.name}: client {self.clients[number]}"
        if not isinstance(given, Client):
            raise InputError(
                f"{where}: expected a Client of train, val and test Windows, got a "
                f"{type(given).__name__}"
            )
        parts = {
            part: self._checked(f"{where}: {part}", getattr(given, part), least)
            for part, least in _LEAST.items()
        }
        return Client(self.clients[number], **parts)

    def _checked(self, where: str, windows: Windows, least: int) -> Windows:
        if not 3 <= len(windows) <= len(Windows._fields):
            raise InputError(f"{where}: expected inputs, targets and present, got {len(windows)}")
        inputs, targets, present = map(np.asarray, windows[:3])
        count = len(inputs) if inputs.ndim else 0
        shape = (count,) if self.task == "classes" else (count, len(self.outputs))
        expected = {
            "inputs": ((count, self.steps, self.features), inputs, "fiu"),
            "targets": (shape, targets, "iu" if self.task == "classes" else "fiub"),
            "present": (shape, present, "b"),
        }
        for what, (wanted, array, kinds) in expected.items():
            if array.shape != wanted or array.dtype.kind not in kinds:
                raise InputError(
                    f"{where}: expected {what} of shape {wanted}, {_KINDS[kinds]}; got "
                    f"{array.dtype} of shape {array.shape}"
                )
        if count < least:
            raise InputError(
                f"{where} has {count} windows, expected at least {least}; give a longer series or "
                "a smaller stride, or leave the client out"
            )
        if not present.any():
            raise InputError(f"{where} has only missing targets; leave the client out")
        inputs = inputs.astype(np.float32)
        slots = self._checked_slots(where, windows, count) if self.slots else None
        known = targets[present]
        if not np.isfinite(inputs).all():
            raise InputError(f"{where} has inputs that are not finite; fill them in")
        if self.task == "classes":
            if known.min() < 0 or known.max() >= len(self.outputs):
                raise InputError(
                    f"{where}: expected classes in 0…{len(self.outputs) - 1}, got "
                    f"{known.min()}…{known.max()}; present is False where one is missing"
                )
            return Windows(inputs, np.where(present, targets, 0).astype(np.int32), present, slots)
        if self.task == "multilabel" and not np.isin(known, (0, 1)).all():
            raise InputError(f"{where}: expected labels of 0 and 1, got others")
        if not np.isfinite(known.astype(np.float32)).all():
            raise InputError(f"{where} has targets that are not finite; present is False there")
        return Windows(inputs, np.where(present, targets, 0).astype(np.float32), present, slots)

    def _checked_slots(self, where: str, windows: Windows, count: int) -> np.ndarray:
        slots = np.asarray(windows.slots if isinstance(windows, Windows) else None)
        if slots.shape != (count,) or slots.dtype.kind not in "iu":
            raise InputError(
                f"{where}: expected slots of shape ({count},), of whole numbers, since "
                f"{self.name} has a clock of {self.slots}; got {slots.dtype} of shape {slots.shape}"
            )
        if count and not 0 <= slots.min() <= slots.max() < self.slots:
            raise InputError(
                f"{where}: expected slots in 0…{self.slots - 1}, got {slots.min()}…{slots.max()}"
            )
        return slots.astype(np.int32)
