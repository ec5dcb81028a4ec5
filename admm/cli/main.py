"""Entry point: MPI and cores first, then the grammar, then JAX; errors end as message and code."""

import argparse
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

from admm import __version__
from admm.cli.start import SPEAKING_SECONDS
from admm.comm import launch
from admm.console import Console, settle
from admm.errors import (
    AdmmError,
    InputError,
    WorkerLostError,
    did_you_mean,
    shell_spelling,
    told,
)
from admm.siblings import check_siblings

# Taken out wherever it stands, before the commands see their words.
_NO_MPI = "--no-mpi"

# A command is a module of this package with `add_arguments(parser, words)` and
# `run(arguments, comm)`.
_COMMANDS = {
    "train": "train a network; the same command also under mpirun -n R",
    "evaluate": "accuracy of a trained network",
    "predict": "class and probabilities of every node or image",
    "status": "how far a run is, and what a restart would lose",
    "doctor": "what keeps runs from starting here, or makes them slow; also under mpirun -n R",
    "plot": "loss, accuracy, residuals, bytes and time of one run or several",
    "report": "what runs have cost, and what they are worth, beside each other",
    "trace": "where the time of a traced run went, on every rank",
    "datasets": "the known data sets: list, download, check",
}


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are raised as `InputError`."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    Under MPI, an error that all ranks share is printed once and ends them all with its code; a
    rank that fails alone prints its error and aborts the others.

    Args:
        argv: Arguments, `sys.argv[1:]` by default.

    Returns:
        0 done; 2 bad input or usage; 3 diverged; 4 a worker lost; 1 anything else.
    """
    argv = sys.argv[1:] if argv is None else argv
    failure, rank, comm = None, None, None
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # whatever it can encode
    try:
        with shell_spelling():
            if _NO_MPI in argv:
                os.environ["ADMM_MPI"] = "0"  # for whoever asks later
            argv = [word for word in argv if word != _NO_MPI]
            # The doctor says itself what keeps MPI from starting, among other things.
            told_later = (InputError, SystemExit) if argv[:1] == ["doctor"] else ()
            tolerant = contextlib.suppress(*told_later)
            with tolerant:
                if launch.launched():
                    rank = launch.launch_rank()
            check_siblings()
            with tolerant:
                comm = None if rank is None else launch.world()
            if comm is not None and comm.size > 1:
                failure = launch.Failure()
                launch.take_share_of_host()  # before NumPy and JAX start their threads
                _check_one_command(comm, argv)
            with _only_root_prints(comm):
                arguments = _parse(argv)
            command = import_module(f"admm.cli.{arguments.command}")
            command.run(arguments, comm if failure is not None else None)
        if failure is not None:
            failure.close()
        return 0
    except SystemExit:  # --help, on every rank
        raise
    except BaseException as error:  # an interrupt too must not leave the other ranks waiting
        code = error.exit_code if isinstance(error, AdmmError) else 1
        alone = failure is not None and not failure.is_shared()
        if isinstance(error, WorkerLostError) and not error.spokesman:
            time.sleep(SPEAKING_SECONDS)  # another rank tells the same, and ends this one
        if failure is None and rank:
            time.sleep(SPEAKING_SECONDS)  # so does rank 0, if it knows
        if alone or failure is None or rank == 0:
            _print_error(error)
        if failure is not None and alone:
            failure.abort(code)
        return code
    finally:
        settle()


def _open_standard_streams() -> None:
    """Let closed ones lead nowhere: else files get their numbers, and what libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _check_one_command(comm: Any, argv: Sequence[str]) -> None:
    """Whether all ranks were told the same thing to do; `check_one_job` compares the options.

    Raises:
        InputError: On every rank, if not.
    """
    helps = [word for word in argv if word in ("-h", "--help", "--version")]
    every = comm.allgather(" ".join([*argv[:1], *helps]))
    for rank, word in enumerate(every):
        if word != every[0]:
            from admm.run.agreement import together

            raise InputError(
                f"the ranks of a run are one job: rank {rank} is to `admm {word}`, rank 0 to "
                f"`admm {every[0]}`{together(comm.size)}"
            )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command.

    Raises:
        InputError: On a usage error.
    """
    parser = Parser(
        prog="admm",
        description="ADMM-based, layer-parallel training of neural networks.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"admm {__version__}")
    parser.add_argument(
        _NO_MPI,
        action="store_true",
        default=argparse.SUPPRESS,
        help="ignore MPI launchers, as ADMM_MPI=0 does",
    )
    if argv and not argv[0].startswith("-") and argv[0] not in _COMMANDS:
        raise InputError(
            f"there is no command {argv[0]!r}; expected one of {', '.join(_COMMANDS)}"
            f"{did_you_mean(argv[0], _COMMANDS)}"
        )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if argv and argv[0] == name:  # the others' modules are not needed
            import_module(f"admm.cli.{name}").add_arguments(command, argv[1:])
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        explain = getattr(import_module(f"admm.cli.{arguments.command}"), "unknown", _unknown)
        raise explain(rest[0], arguments)
    return arguments


def _unknown(word: str, arguments: argparse.Namespace) -> InputError:
    return InputError(f"unrecognized argument {word!r} (see admm {arguments.command} --help)")


@contextlib.contextmanager
def _only_root_prints(comm) -> Iterator[None]:
    """Silence the help text on every rank but the first."""
    if comm is None or comm.rank == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _print_error(error: BaseException) -> None:
    """A message for a person's mistakes, a traceback for ours."""
    if isinstance(error, AdmmError):
        text = f"admm: error: {told(error)}\n"
    elif isinstance(error, KeyboardInterrupt):
        text = "admm: interrupted\n"
    else:
        text = "".join(traceback.format_exception(error))
    Console(sys.stderr).write(text)
