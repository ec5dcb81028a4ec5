"""Entry point: MPI first, then the grammar, then JAX; every error ends as a message and a code."""

import argparse
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from admm.cli.parser import make_parser
from admm.errors import AdmmError, InputError, OutputError, WorkerLostError
from admm.parallel import mpi

if TYPE_CHECKING:
    from admm.parallel.transport import Transport
    from admm.training import Options, SubnetworkOptions

# Seconds to wait for another rank where no option says it.
_TIMEOUT = 600.0

# What a rank with something to say has before the others, who know the same, end the run.
_SPEAKING_SECONDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    Under MPI, an error that all ranks share is printed once and ends them all with its code; a
    rank that fails alone prints its error and aborts the others.

    Args:
        argv: Arguments, `sys.argv[1:]` by default.

    Returns:
        0 done; 2 bad input or usage; 3 diverged; 4 a worker lost; 1 anything else.
    """
    failure = None
    try:
        comm = mpi.world() if mpi.launched() else None
        failure = mpi.Failure() if comm is not None and comm.size > 1 else None
        with _only_root_prints(comm):
            arguments = make_parser().parse_args(argv)
        if failure is not None:
            mpi.take_share_of_host()
        _COMMANDS[arguments.command](arguments, comm if failure is not None else None)
        if failure is not None:
            failure.close()
        return 0
    except SystemExit:  # --help, on every rank
        raise
    except BaseException as error:  # an interrupt too must not leave the other ranks waiting
        code = error.exit_code if isinstance(error, AdmmError) else 1
        alone = failure is not None and not failure.is_shared()
        if isinstance(error, WorkerLostError) and not error.spokesman:
            time.sleep(_SPEAKING_SECONDS)  # another rank tells the same, and ends this one
        if alone or mpi.launch_rank() == 0:
            _print_error(error)
        if failure is not None and alone:
            failure.abort(code)
        return code


def _train(arguments: argparse.Namespace, comm) -> None:
    options = _options(arguments)
    if comm is not None and getattr(arguments, "workers", 1) > 1:
        raise InputError("--workers is for one process; under mpirun the ranks are the workers")
    transport = _transport(
        options.workers, options.dtype, comm, timeout=options.timeout, checksum=options.checksum
    )
    from admm.training import SubnetworkOptions, train, train_subnetworks

    if options.out is None:
        options = replace(options, out=transport.at_root(lambda: _new_folder(options.dataset)))
    progress = sys.stdout if transport.is_root else None
    if isinstance(options, SubnetworkOptions):
        summary = train_subnetworks(options, transport, progress).summary
    else:
        summary = train(options, transport, progress).summary
    if transport.is_root:
        best, sent = summary["best"], summary["bytes"]
        print(
            f"best: {best['layers']} layers, epoch {best['epoch']}: "
            f"train {best['train_accuracy']:.3f}, val {best['val_accuracy']:.3f}, "
            f"test {best['test_accuracy']:.3f}"
        )
        print(
            f"{summary['seconds']['total']:.1f} s; bytes between workers: {sent['sent']:,} of "
            f"{' and '.join(sent['by_variable'])}, {sent['evaluation']:,} of evaluations"
        )
        print(f"results in {options.out}")


def _evaluate(arguments: argparse.Namespace, comm) -> None:
    transport = _opened(arguments.run, comm)
    from admm.training import evaluate

    scores = evaluate(arguments.run, transport, arguments.data_dir)
    if transport.is_root:
        print("  ".join(f"{name} {value:.4f}" for name, value in scores.items()))


def _predict(arguments: argparse.Namespace, comm) -> None:
    transport = _opened(arguments.run, comm)
    from admm.training import predict
    from admm.training.files import write_table

    if arguments.out.suffix not in (".csv", ".npz"):
        raise InputError(f"--out must end in .csv or .npz, got {arguments.out}")
    found = predict(arguments.run, transport, arguments.data_dir)
    transport.at_root(lambda: write_table(arguments.out, found))
    if transport.is_root:
        print(f"{len(found):,} rows of {found.shape[1]} probabilities in {arguments.out}")


def _datasets(arguments: argparse.Namespace, comm) -> None:
    if comm is not None and comm.rank > 0:
        return
    from admm.datasets import catalog
    from admm.datasets.files import data_folder

    if arguments.action == "check":
        lines = catalog.check(arguments.path)
    elif arguments.action == "list":
        lines = catalog.listing(data_folder(arguments.data_dir))
    else:
        lines = catalog.fetch(arguments.name, data_folder(arguments.data_dir))
    try:
        for line in lines:
            print(line, flush=True)
    except BrokenPipeError:  # nobody reads on; nor does the interpreter write on at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _opened(run: Path, comm) -> "Transport":
    """A transport to pass data through the network of a run."""
    from admm.training.model import read_manifest

    return _transport(1, read_manifest(run)["options"]["dtype"], comm, timeout=_TIMEOUT)


_COMMANDS = {
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "datasets": _datasets,
}


def _options(arguments: argparse.Namespace) -> "Options | SubnetworkOptions":
    """Options from the arguments that were given; the rest keep their defaults."""
    from admm.solvers.tssm import Method
    from admm.training.options import Options, Solver
    from admm.training.resume import resumed
    from admm.training.subnetwork_options import SubnetworkOptions
    from quant import Levels

    given = {key: value for key, value in vars(arguments).items() if key != "command"}
    # What summary.json and model.json say must be found again from elsewhere.
    if "data_dir" not in given and os.environ.get("ADMM_DATA"):
        given["data_dir"] = Path(os.environ["ADMM_DATA"])
    if "data_dir" in given:
        given["data_dir"] = given["data_dir"].resolve()
    try:
        for name in ("levels", "levels_q"):
            if name in given:
                given[name] = Levels.parse(given[name])
    except ValueError as error:
        raise InputError(f"{_flag(name)}: {error}") from error
    if "cuts" in given:
        given["cuts"] = _numbers(given["cuts"], "--cuts takes numbers of modules such as 3,6")
    if str(given.get("dataset")).endswith(".npz"):
        given["dataset"] = str(Path(given["dataset"]).resolve())
    run = given.pop("resume").resolve() if "resume" in given else None
    known = Options if run is None else resumed(run)
    if "grow" in given:
        layers = given.get("layers", known.layers)
        given["grow"] = (
            (layers,)
            if given["grow"] == "none"
            else _numbers(given["grow"], "--grow takes depths such as 2,5,10, or none")
        )
    if run is not None:
        return resumed(run, **given)
    solver = given.get("solver", Options.solver)
    solvers = (*get_args(Solver), *get_args(Method))
    if solver not in solvers:
        raise InputError(f"--solver must be one of {', '.join(solvers)}, got {solver!r}")
    kind = SubnetworkOptions if solver in get_args(Method) else Options
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            takes = ", ".join(sorted(map(_flag, names)))
            raise InputError(f"{_flag(name)} is not for --solver {solver}, which takes {takes}")
    return kind(**given)


def _flag(name: str) -> str:
    """What sets an option; `refresh` can only be switched off."""
    return "--no-refresh" if name == "refresh" else "--" + name.replace("_", "-")


def _numbers(text: str, expected: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{expected}; got {text!r}") from error


def _new_folder(dataset: str) -> Path:
    """A folder of this run alone: runs/DATASET-DATE-TIME, numbered if that is taken."""
    base = Path("runs", f"{Path(dataset).stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    for number in count(1):
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot make {folder} ({error.strerror})") from error
    raise AssertionError("unreachable")


def _transport(workers: int, dtype: str, comm, **careful) -> "Transport":
    """Start JAX and make the transport of this process."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    if comm is not None:
        from admm.parallel.mpi_transport import MPITransport

        return MPITransport(comm, **careful)
    jax.config.update("jax_num_cpu_devices", workers)
    from admm.parallel.transport import LocalTransport

    return LocalTransport(workers)


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
        words = "; ".join([str(error), *getattr(error, "__notes__", ())])
        print(f"admm: error: {words}", file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        print("admm: interrupted", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stderr.flush()
