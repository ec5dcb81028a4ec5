"""`admm train`: the grammar, made from the options of a method, and the run."""

import argparse
import contextlib
import keyword
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, replace
from pathlib import Path
from typing import Any

from admm.cli.compilation import cache_home, kept_compilations
from admm.cli.costs import show_costs
from admm.cli.progress import KINDS, shown, write_json
from admm.cli.start import start
from admm.console import Console
from admm.errors import InputError, OutputError, hyphenated
from admm.files import absolute, is_path
from admm.run import registry
from admm.run.history import OTHER_SCORES
from admm.run.options import MethodOptions, help_of, value_kinds
from admm.run.resume import resumed
from quant import Levels

_METAVARS = {int: "N", float: "X", Path: "PATH", Levels: "LOW:HIGH[:STEP]"}
_NO_OPTIONS = ("command", "cache", "dry_run", "progress")
GROUPS = ("data", "network", "solver", "workers", "output", "safety")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options of the solver that the words name, or of that of the run they go on with."""
    kind, solver = _method_of(words)
    parser.description = (
        f"Train with {solver}. Of the solvers {', '.join(registry.solver_places())} another is "
        "explained by --solver NAME --help. In brackets: the value of an option that is not given."
    )
    fields = {n: f for n, f in registry.options_of(solver).items() if "help" in f.metadata}
    named = dict.fromkeys([*GROUPS, *(each.metadata["group"] for each in fields.values())])
    groups = {name: parser.add_argument_group(name) for name in named}
    for name, each in fields.items():
        _add(groups[each.metadata["group"]], name, each, value_kinds(kind, name))
    groups["output"].add_argument(
        "--progress",
        choices=KINDS,
        metavar="|".join(KINDS),
        default="table",
        help="what standard output shows: a table, one JSON object a line, or nothing; with the "
        "table a terminal also shows a bar where tqdm is installed [table]",
    )
    groups["output"].add_argument(
        "--dry-run",
        action="store_true",
        help="say what memory, operations, messages and checkpoints the run would take on every "
        "rank, and train nothing",
    )
    groups["output"].add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="compile everything anew, and keep nothing of it in the user's cache",
    )


def _resolved(run: str) -> str:
    """The folder of a run from anywhere; an empty one stays so, and is refused."""
    return run and os.path.realpath(run)


def _method_of(words: Sequence[str]) -> tuple[type[MethodOptions], str]:
    first = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    first.add_argument("--solver", nargs="?")
    first.add_argument("--resume", nargs="?")
    asked, _ = first.parse_known_args([*words])
    solver = asked.solver or registry.DEFAULT
    if asked.resume is not None and asked.solver is None:
        solver = resumed(_resolved(asked.resume)).solver
    return registry.find_method(solver), solver


def _add(
    group: argparse._ArgumentGroup, name: str, each: Field[Any], kinds: tuple[Any, ...]
) -> None:
    flag, text, default = hyphenated(name), help_of(each), each.default
    settings: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
    if isinstance(default, bool):
        flag = f"no-{flag}" if default else flag
        settings["action"] = "store_false" if default else "store_true"
    else:
        metavars = [_METAVARS[kind] for kind in kinds if kind in _METAVARS]
        settings["metavar"] = each.metadata["metavar"] or (metavars or ["NAME"])[0]
        if isinstance(kinds[0], str) and not text.endswith("]"):
            text += f": {', '.join(kinds)}"
        if not text.endswith("]") and default not in (None, MISSING):
            text += f" [{default}]"
    group.add_argument(f"--{flag}", help=text.replace("%", "%%"), **settings)


def unknown(flag: str, arguments: argparse.Namespace) -> InputError:
    """What to say of an argument that the solver does not have."""
    if not flag.startswith("--"):
        return InputError(f"unrecognized argument {flag!r} (see admm train --help)")
    name = flag[2:].partition("=")[0].replace("-", "_")
    name += "_" * keyword.iskeyword(name)
    solver = getattr(arguments, "solver", registry.DEFAULT)
    if "resume" in arguments and "solver" not in arguments:
        solver = resumed(_resolved(arguments.resume)).solver
    return registry.unknown_option(name, solver)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Train, and say at the root what came of it."""
    options = _options(vars(arguments))
    if comm is not None and "workers" in arguments and options.workers > 1:
        raise InputError("--workers is for one process; under mpirun the ranks are the workers")
    transport = start(
        options.workers, options.dtype, comm, timeout=options.timeout, checksum=options.checksum
    )
    if arguments.dry_run:
        show_costs(options, transport, arguments.progress)
        transport.close()
        return
    from admm.run import train
    from admm.run.agreement import check_one_job

    check_one_job(options, transport)  # before the default folder, which all ranks make or none
    made = None
    if options.out is None:
        made = transport.at_root(lambda: _new_folder(options.dataset))
        options = replace(options, out=made)
    progress, callback = shown(arguments.progress, options, transport)
    try:
        with kept_compilations(cache_home() if arguments.cache else None):
            summary = train(options, transport, progress=progress, callback=callback).summary
    except BaseException:
        if made is not None and transport.is_root:
            _remove_empty(made)
        raise
    if transport.is_root and arguments.progress == "json":
        write_json("best", summary["best"])
    elif transport.is_root and arguments.progress == "table":
        _conclude(options, summary)
    transport.close()


def _conclude(options: MethodOptions, summary: Mapping[str, Any]) -> None:
    """Say in the end what came of it."""
    console, best, sent = Console(sys.stdout), summary["best"], summary["bytes"]
    stage = options.stages[best["stage"]]
    console.write(f"best: {stage}, epoch {best['epoch']}: {_scores(options, best)}\n")
    console.write(
        f"{summary['seconds']['total']:.1f} s; bytes between workers: {sent['sent']:,} of "
        f"{' and '.join(sent['by_variable'])}, {sent['evaluation']:,} of evaluations\n"
    )
    console.write(f"results in {options.out}\n")


def _scores(options: MethodOptions, best: Mapping[str, Any]) -> str:
    """The value that picked the best network, its like of other parts, other scores of the test."""
    part, _, kind = options.select.rpartition("_")
    like = [f"{other}_{kind}" for other in ("train", "val", "test") if part]
    shown = [name for name in like if name in best] or [options.select]
    others = [n for n in best if n.startswith("test_") and n.endswith(OTHER_SCORES)]
    called = {name: name.removesuffix(f"_{kind}") for name in shown}
    called |= {n: n.replace("_", " ").replace("roc auc", "ROC AUC") for n in others}
    return ", ".join(f"{words} {best[name]:.3f}" for name, words in called.items())


def _options(given: dict[str, Any]) -> MethodOptions:
    """Options from the arguments that were given; the rest keep their defaults."""
    given = {name: value for name, value in given.items() if name not in _NO_OPTIONS}
    if "resume" in given:
        options = resumed(_resolved(given.pop("resume")), **given)
    else:
        options = registry.options(given.pop("solver", registry.DEFAULT), **given)
    data_dir = os.environ.get("ADMM_DATA")
    if data_dir and options.data_dir is None and not is_path(options.dataset):
        options = replace(options, data_dir=Path(data_dir))
    return options


def _new_folder(dataset: str) -> Path:
    """A folder of this run alone: runs/DATASET-DATE-TIME, numbered if that is taken."""
    stem = Path(dataset).stem.partition(":")[0]  # of a generated one without its options
    base = absolute("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = base, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        except OSError as error:
            raise OutputError(f"cannot make {folder} ({error.strerror})") from error
        else:
            return folder


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a run that never began, and the one around it if that is empty too."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()
