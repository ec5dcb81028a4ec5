"""Errors meant for a person, each with the exit code of the command line."""


class AdmmError(Exception):
    """An error whose message says what was got, what was expected and what to do.

    Notes (`add_note`) say where in a run it happened and how to go on.
    """

    exit_code = 1


class InputError(AdmmError):
    """Bad data or options."""

    exit_code = 2


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
