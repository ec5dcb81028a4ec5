"""What every benchmark reports: an aligned table as it goes, one JSON file, one plot."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from admm.files import write_atomically
from admm.run.versions import versions

Row = dict[str, Any]


def make_parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has: --quick, --json, --plot."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a small case, in minutes")
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write rows and machine")
    parser.add_argument(
        "--plot", type=_picture, metavar="FILE", help="draw the rows (PNG, SVG, PDF)"
    )
    return parser


def set_defaults(given: argparse.Namespace, quick: Row, usual: Row) -> None:
    """Fill in the options that were not given, of a quick run or of the usual one."""
    for name, value in (quick if given.quick else usual).items():
        if getattr(given, name) is None:
            setattr(given, name, value)


def split_argv(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of the benchmark, and those behind `--`, of `admm train`.

    Example:
        >>> split_argv(["--quick", "--", "--rho", "1"])
        (['--quick'], ['--rho', '1'])
    """
    cut = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:cut]), list(argv[cut + 1 :])


def _new_file(text: str) -> Path:
    if not Path(text).resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f"no folder for {text}")
    return Path(text)


def _picture(text: str) -> Path:
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError(
            "plots need matplotlib: pip install 'layerwise-admm[plot]'"
        )
    return _new_file(text)


class Report:
    """Rows of one benchmark.

    Args:
        name: Name of the benchmark.
        columns: Of the first table, see `begin`; without, that is begun later.

    Attributes:
        columns: Of the table that rows are added to.
        rows: What was added, to all tables.
        others: Rows of an earlier run, for the JSON alone.
        results: Figures over all rows, for the end of the table and the JSON.
    """

    def __init__(self, name: str, columns: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.others: Collection[Row] = ()
        self.results: dict[str, Any] = {}
        if columns is not None:
            self.begin(columns)

    def begin(self, columns: Mapping[str, str]) -> None:
        """Begin a table; a further one leaves the rows of those before where they are.

        Args:
            columns: Column name to format specification, such as `">8.1f"`; a width is required.
                Rows may hold more than is shown, and None where a figure does not apply.
        """
        self.columns = columns
        print("  ".join(f"{key:{_text(spec)}}" for key, spec in columns.items()), flush=True)

    def add(self, row: Row) -> None:
        """Record a row, and print it."""
        self.rows.append(row)
        cells = [
            f"{'–':{_text(spec)}}" if row[key] is None else f"{row[key]:{spec}}"
            for key, spec in self.columns.items()
        ]
        print("  ".join(cells), flush=True)

    def finish(
        self,
        arguments: argparse.Namespace,
        draw: Callable[[Any, Sequence[Row]], None],
        save: bool = True,
    ) -> None:
        """Print the results; write the files that `arguments` ask for.

        Args:
            arguments: From a parser of `make_parser`.
            draw: Draws the rows into a `matplotlib.figure.Figure`.
            save: Whether to write the JSON too.
        """
        for key, value in self.results.items():
            print(f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}")
        if save:
            self.save(arguments)
        if arguments.plot is not None:
            from matplotlib.figure import Figure

            figure = Figure(figsize=(8, 5), layout="constrained")
            draw(figure, self.rows)
            figure.savefig(arguments.plot, dpi=120)

    def save(self, arguments: argparse.Namespace) -> None:
        """Write the JSON, if `arguments` ask for it: also of a report that is not finished."""
        if arguments.json is None:
            return
        content = {
            "benchmark": self.name,
            "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "rows": [*self.others, *self.rows],
            "results": self.results,
        }
        text = json.dumps(content, indent=1) + "\n"
        if arguments.json.exists() and not arguments.json.is_file():  # such as /dev/stdout
            arguments.json.write_text(text)
        else:
            write_atomically(arguments.json, text.encode())


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


def _text(spec: str) -> str:
    """The alignment and width of a number's format specification."""
    return spec.split(".")[0].rstrip(",dfegs%")
