"""Measure again what files of results have, with the commands that they name, and replace them.

    python -m benchmarks again benchmarks/results/kernels.json benchmarks/results/tssm.json

Every file has the commands that made its rows; data sets come from the folder in `ADMM_DATA`. A
file is replaced when all of its commands have ended well.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.console import Console
from admm.errors import AdmmError, InputError
from admm.files import write_atomically
from benchmarks.report import read_results

# What precedes the words of a benchmark in a command.
_PROGRAM = ["python", "-m", "benchmarks"]


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks again",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS.json")
    files = {path: commands(path) for path in parser.parse_args(argv).results}
    for path, of_file in files.items():
        measured = [_measure(words) for words in of_file]
        write_atomically(path, (json.dumps(_joined(measured), indent=1) + "\n").encode())


def commands(results: Path) -> list[list[str]]:
    """The words, from the name of the benchmark on, of each command that made a file of results.

    Raises:
        InputError: If the file cannot be read, or has no commands of these benchmarks.
    """
    told = read_results(results).get("command")
    lines = [told] if isinstance(told, str) else told or []
    words = [shlex.split(line) for line in lines]
    if not words or any(of_line[:3] != _PROGRAM or not of_line[3:] for of_line in words):
        raise InputError(
            f"{results} has the command {told!r}, expected 'python -m benchmarks NAME …' or a list"
        )
    return [of_line[3:] for of_line in words]


def _measure(words: Sequence[str]) -> dict[str, Any]:
    """Run a benchmark; returns the content of its file of results.

    Raises:
        AdmmError: If it does not end well.
    """
    Console(sys.stdout).write(f"{shlex.join([*_PROGRAM, *words])}\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        name, *options = words
        command = [sys.executable, "-m", "benchmarks", name, "--json", str(rows), *options]
        if code := subprocess.run(command, check=False).returncode:
            raise AdmmError(f"'{shlex.join(words)}' ended with code {code}; its file is unchanged")
        return read_results(rows)


def _joined(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One content of those of several commands: rows after one another, the last one's results."""
    told = [each["command"] for each in measured]
    return measured[-1] | {
        "command": told[0] if len(told) == 1 else told,
        "seconds": sum(each["seconds"] for each in measured),
        "rows": [row for each in measured for row in each["rows"]],
    }
