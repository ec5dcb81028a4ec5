"""What every benchmark reports: an aligned table as it goes, how far it is, a JSON file, a plot."""

import argparse
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from admm.console import Console
from admm.errors import InputError, OutputError
from admm.files import reading, write_atomically, writing
from admm.run.versions import versions
from benchmarks import NAMES

Row = dict[str, Any]
# Draws rows into a `matplotlib.figure.Figure`.
Draw = Callable[[Any, Sequence[Row]], None]

# Options that say where files are.
_PLACES = ("--json", "--plot", "--data-dir")

# What a file of results has, and more.
_ENTRIES = {"benchmark": str, "rows": list}

# Seconds left from which on a person is told how far it is.
_LONG = 10.0


def make_parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has: --quick, --json, --plot."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="a small case, in minutes")
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write rows and machine")
    parser.add_argument(
        "--plot", type=picture_file, metavar="FILE", help="draw the rows (PNG, SVG, PDF)"
    )
    return parser


def set_defaults(given: argparse.Namespace, quick: Row, usual: Row) -> None:
    """Fill in the options that were not given, of a quick run or of the usual one."""
    for name, value in (quick if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)


def refuse_set(
    parser: argparse.ArgumentParser, names: Sequence[str], options: Sequence[str]
) -> None:
    """End with a message where one of these options of `admm train` is among those behind `--`."""
    for name in names:
        if any(option.partition("=")[0] == f"--{name}" for option in options):
            parser.error(f"--{name} is set by the benchmark; see its options, in front of --")


def split_argv(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of the benchmark, and those behind `--`, of `admm train`.

    Example:
        >>> split_argv(["--quick", "--", "--rho", "1"])
        (['--quick'], ['--rho', '1'])
    """
    cut = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:cut]), list(argv[cut + 1 :])


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number, at least `least`.

    Example:
        >>> at_least(2)("3")
        3
    """

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {number}")
        return number

    return whole_number


def positive(text: str) -> float:
    """The type of an option that is a positive number.

    Example:
        >>> positive("1e-3")
        0.001
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive and finite, got {text}")
    return number


def _new_file(text: str) -> Path:
    """A file that can be written; found out before the work, not after it."""
    path = Path(text)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"no folder for {text}")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder, expected the name of a file")
    if path.is_file() or not path.exists():  # /dev/stdout needs nothing of its folder
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise argparse.ArgumentTypeError(f"cannot write {text} ({error.strerror})") from error
    return path


def picture_file(text: str) -> Path:
    """The type of an option that is the file of a picture, which can be written and drawn.

    Example:
        >>> picture_file("rows.svg").suffix
        '.svg'
    """
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError(
            "plots need matplotlib: pip install --editable '.[plot]' in the checkout"
        )
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if Path(text).suffix.removeprefix(".").lower() not in known:
        raise argparse.ArgumentTypeError(f"{text} must end with one of .{', .'.join(known)}")
    return _new_file(text)


class Progress:
    """Tells on standard error how far some work is, where much of it is left.

    Args:
        what: A piece of it.
        total: Number of pieces.

    Example:
        >>> progress = Progress("row", 2)
        >>> progress.step()
    """

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._start = time.monotonic()

    def step(self) -> None:
        """Count a piece; those left are expected to take what those before took on average."""
        self._done += 1
        left = (time.monotonic() - self._start) / self._done * (self._total - self._done)
        if left >= _LONG:
            about = timedelta(seconds=round(left))
            Console(sys.stderr).write(
                f"{self._what} {self._done} of {self._total}, about {about} left\n"
            )


class Report:
    """Rows of one benchmark, in a table and, after each of them, in the JSON that is asked for.

    Args:
        name: Name of the benchmark.
        given: From a parser of `make_parser`.

    Attributes:
        columns: Of the table that rows are added to.
        rows: What was added, to all tables.
        results: Figures over all rows, for the end of the table and the JSON.
    """

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.results: dict[str, Any] = {}
        self._given = given
        self._console = Console(sys.stdout)
        self._start, self._tree = time.monotonic(), _tree()

    def begin(self, columns: Mapping[str, str], measured: int) -> None:
        """Begin a table; a further one leaves the rows of those before where they are.

        Args:
            columns: Column name to format specification, such as `">8.1f"`; a width is required.
                Rows may hold more than is shown, and None where a figure does not apply.
            measured: How many rows are going to be measured.
        """
        self.columns = columns
        self._progress = Progress("row", measured)
        self.write("  ".join(f"{key:{_text(spec)}}" for key, spec in columns.items()))

    def write(self, text: str) -> None:
        """Print a line.

        Raises:
            OutputError: If it cannot be printed, and nothing is written to a file either.
        """
        self._console.write(text + "\n")
        if not self._console and self._given.json is None and self._given.plot is None:
            raise OutputError(
                "standard output is closed or full, and no --json FILE keeps the rows: no use to "
                "go on"
            )

    def add(self, row: Row, measured: bool = True) -> None:
        """Record a row, save it, and print it.

        Args:
            row: What the columns show, and more.
            measured: Whether it is one of those whose number `begin` was told.
        """
        self.rows.append(row)
        self.save()
        cells = [
            f"{'–':{_text(spec)}}" if row[key] is None else f"{row[key]:{spec}}"
            for key, spec in self.columns.items()
        ]
        self.write("  ".join(cells))
        if measured:
            self._progress.step()

    def finish(self, draw: Draw) -> None:
        """Print the results; write the files that are asked for.

        Args:
            draw: The benchmark's own.

        Raises:
            OutputError: If a file cannot be written.
        """
        self.save(finished=True)
        if self._given.plot is not None:
            save_picture(self._given.plot, draw, self.rows)
        for key, value in self.results.items():
            self.write(f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}")

    def save(self, finished: bool = False) -> None:
        """Write the JSON, if it is asked for; what is no file gets it once, when it is finished.

        Raises:
            OutputError: If it cannot be written.
        """
        path = self._given.json
        if path is None:
            return
        is_file = path.is_file() or not path.exists()  # others are such as /dev/stdout
        if not is_file and not finished:
            return
        content = {
            "benchmark": self.name,
            "command": f"python -m benchmarks {shlex.join(_measured(sys.argv[1:]))}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._start),
            "tree": self._tree,
            "machine": machine(),
            "versions": versions(),
            "rows": self.rows,
            "results": self.results,
        }
        text = json.dumps(content, indent=1) + "\n"
        if is_file:
            write_atomically(path, text.encode())
        else:
            with writing(path):
                path.write_text(text)


def read_results(results: Path) -> dict[str, Any]:
    """What a file of results has.

    Raises:
        InputError: If the file cannot be read, or is no file of results of these benchmarks.
    """
    try:
        with reading(results):
            content = json.loads(results.read_text())
    except ValueError as error:
        raise InputError(f"{results} is no JSON ({error}); pass what --json has written") from None
    if not isinstance(content, dict) or any(
        not isinstance(content.get(name), kind) for name, kind in _ENTRIES.items()
    ):
        raise InputError(f"{results} has no benchmark and rows; pass what --json has written")
    if content["benchmark"] not in NAMES:
        raise InputError(
            f"{results} is of {content['benchmark']!r}, expected one of {', '.join(NAMES)}"
        )
    return content


def save_picture(path: Path, draw: Draw, rows: Sequence[Row]) -> None:
    """Draw rows into a file.

    Raises:
        OutputError: If it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    draw(figure, rows)
    source: dict[str, Any] = {}
    if path.suffix == ".png":
        source["metadata"] = {"Source": digest(rows)}
    with writing(path):
        figure.savefig(path, dpi=120, **source)


def digest(rows: Sequence[Row]) -> str:
    """What a PNG keeps of its rows, to tell whether it is of others."""
    return f"{zlib.crc32(json.dumps(rows).encode()):08x}"


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
    }


def _measured(argv: Sequence[str]) -> list[str]:
    """The words of a command that say what is measured, without those that say where files are.

    Example:
        >>> _measured(["depth", "--json", "rows.json", "--", "--data-dir", "data", "--rho", "1"])
        ['depth', '--', '--rho', '1']
    """
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word in _PLACES:
            next(rest, None)
        elif not word.startswith(tuple(f"{place}=" for place in _PLACES)):
            words.append(word)
    return words[:-1] if words[-1:] == ["--"] else words


def _tree() -> str | None:
    """The commit of the checkout, `-dirty` where its programs differ from it; None without git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--", "*.py", "pyproject.toml")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _text(spec: str) -> str:
    """The alignment and width of a number's format specification."""
    return spec.split(".")[0].rstrip(",dfegs%")
