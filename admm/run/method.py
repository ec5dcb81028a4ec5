"""What the driver and a method say to each other; see docs/own-method.md.

A method is a subclass of `MethodOptions`: the options of one algorithm. It loads a `Share` of the
data, and begins a `Training` for every stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Arrays = Mapping[str, Any]
"""Arrays by name, as a checkpoint holds those of a unit."""
Network = Mapping[int, Any]
"""The part of a network that lives in this process: layers or modules, pytrees, by number."""
Joiner = Callable[[Network], Any]
"""Makes one module of the parts of a network in all processes, which call it together."""


class Share(Protocol):
    """What this process has of the data of a run; the rest is the method's own."""

    @property
    def dataset(self) -> Mapping[str, Any]:
        """Name, counts and fingerprint, as in `summary.json`: a run goes on with the same only."""

    @property
    def introduction(self) -> str:
        """What is trained on what, and by whom: the head of the progress table."""


class Training(ABC):
    """This process's part of a stage; methods that are not abstract have a default to keep.

    A unit is what a checkpoint keeps in a file, such as a layer; units are numbered over all
    processes, whoever owns them.

    Attributes:
        variables: What workers send each other in training, declared to the transport: their bytes
            count.
        depth: Layers or modules of the network of this stage; it does not fall from stage to stage.
        optional: Arrays of a state that may be missing, since they depend on who owns what.
        lockstep: Whether all processes are in the same epoch. If not, they meet at the epochs that
            are measured: evaluations, checkpoints and requests to stop are for then.

    Example:
        >>> sorted(Training.__abstractmethods__)  # the methods to fill in
        ['epoch', 'measure', 'network', 'restore', 'saved_network', 'state', 'units']

    docs/own-method.md has one that is filled in, and runs.
    """

    variables: Sequence[str]
    depth: int
    optional: Sequence[str] = ()
    lockstep: bool = True

    @abstractmethod
    def units(self, worker: int) -> str:
        """What a worker owns, for messages: `layers 1–4`."""

    @abstractmethod
    def epoch(self, number: int, measure: bool) -> None:
        """Train an epoch, numbered from 1 in each stage; `measure` says whether that follows."""

    @abstractmethod
    def measure(self) -> Mapping[str, float]:
        """What the last epoch came to, the same in every process: a line of the history."""

    def adapt(self) -> None:
        """Change what changes between epochs, such as penalties.

        Raises:
            DivergedError: In every process, if training has left the finite numbers.
        """

    @abstractmethod
    def state(self) -> Mapping[int, Arrays]:
        """All that the next epoch needs, by unit, with no computation left to do."""

    def settings(self) -> Mapping[str, Any]:
        """The rest of it, the same in every process: JSON values, by names of their own."""
        return {}

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse `settings` of then that this training cannot go on with, before `restore`.

        Raises:
            InputError: In every process, if they are such.
        """

    @abstractmethod
    def restore(self, read: Callable[[int], Arrays], settings: Mapping[str, Any] | None) -> None:
        """Go on from a state.

        Args:
            read: The state of any unit.
            settings: Those of then; None where the options are others now, and what follows from
                them stays.
        """

    @abstractmethod
    def network(self) -> Network:
        """The network in training; nothing that follows changes it."""

    def export(self, network: Network) -> Network:
        """A network of `network`, as it is saved and handed out."""
        return network

    @abstractmethod
    def saved_network(self, depth: int, read: Callable[[int], Arrays]) -> Network:
        """This process's part of a network of some stage that was exported and saved."""

    def joiner(self) -> Joiner | None:
        """What makes one module of an exported network, if there is such a thing.

        A `Result` has it when the training is over: it should hold no data.
        """
        return None

    def report(self) -> Mapping[str, Any]:
        """Entries of `summary.json`; all processes call it."""
        return {}
