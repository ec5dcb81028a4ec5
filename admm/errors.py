"""Errors meant for a person, each with the exit code of the command line.

A message names an option as the person at hand writes it, see `spelled`.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_in_shell: ContextVar[bool] = ContextVar("in_shell", default=False)


@contextmanager
def shell_spelling() -> Iterator[None]:
    """Within, messages name options as the command line does."""
    token = _in_shell.set(True)
    try:
        yield
    finally:
        _in_shell.reset(token)


def in_shell() -> bool:
    """Whether the person at hand typed a command."""
    return _in_shell.get()


def spelled(name: str, value: object = "") -> str:
    """An option, and maybe its value, as a person writes them: in Python, or in a shell.

    Python keeps some words for itself: such an option ends in an underscore there.

    Example:
        >>> spelled("eval_every"), spelled("lr", 0.1)
        ('eval_every=', 'lr=0.1')
        >>> with shell_spelling():
        ...     spelled("eval_every"), spelled("lr", 0.1), spelled("async_")
        ('--eval-every', '--lr 0.1', '--async')
    """
    if not in_shell():
        return f"{name}={value}"
    return f"--{hyphenated(name)} {value}".rstrip()


def switched_off(name: str) -> str:
    """An option that is on by default, as a person switches it off."""
    return f"--no-{hyphenated(name)}" if in_shell() else f"{name}=False"


def hyphenated(name: str) -> str:
    """The name of an option on the command line, without dashes in front."""
    return name.rstrip("_").replace("_", "-")


def did_you_mean(word: str, known: Iterable[str], show: Callable[[str], str] = str) -> str:
    """A hint at names that look alike, if there are any.

    Example:
        >>> did_you_mean("pubmd", ["cora", "pubmed"])
        '; did you mean pubmed?'
    """
    near = difflib.get_close_matches(str(word), list(known))
    return f"; did you mean {' or '.join(map(show, near))}?" if near else ""


class AdmmError(Exception):
    """An error whose message says what was got, what was expected and what to do.

    Notes (`add_note`) say where in a run it happened and how to go on.
    """

    exit_code = 1


def told(error: AdmmError) -> str:
    """The message of an error and its notes, as a line for a person."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])


class InputError(AdmmError, ValueError):
    """Bad data or options."""

    exit_code = 2


class MissingDataError(InputError):
    """Files of a data set are not where they were looked for."""


class DivergedError(AdmmError):
    """Training left the finite numbers, or the Lagrangian exploded."""

    exit_code = 3


class WorkerLostError(AdmmError):
    """Other workers do not answer, or their messages arrive damaged.

    Attributes:
        workers: Their numbers.
        spokesman: Whether this process is the one to tell, of all that notice.
    """

    exit_code = 4

    def __init__(self, message: str, workers: tuple[int, ...] = (), spokesman: bool = True) -> None:
        super().__init__(message)
        self.workers = workers
        self.spokesman = spokesman


class OutputError(AdmmError):
    """Results or checkpoints cannot be written."""


class StoppedError(AdmmError):
    """A signal asked the run to stop, and it has, with a checkpoint where it writes any."""
