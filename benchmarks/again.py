"""Measure again what files of results have, with the command that each names, and replace them.

    python -m benchmarks again benchmarks/results/kernels.json benchmarks/results/tssm.json

Data sets come from the folder in `ADMM_DATA`. A file is replaced when its command has ended well.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
    files = {path: command(path) for path in parser.parse_args(argv).results}
    for path, words in files.items():
        write_atomically(path, _measure(words))


def command(results: Path) -> list[str]:
    """The words, from the name of the benchmark on, of the command that made a file of results.

    Raises:
        InputError: If the file cannot be read, or has no command of these benchmarks.
    """
    told = read_results(results).get("command")
    words = shlex.split(told) if isinstance(told, str) else []
    if words[:3] != _PROGRAM or not words[3:]:
        raise InputError(
            f"{results} has the command {told!r}, expected 'python -m benchmarks NAME …'"
        )
    return words[3:]


def _measure(words: Sequence[str]) -> bytes:
    """Run a benchmark; returns its file of results.

    Raises:
        AdmmError: If it does not end well.
    """
    Console(sys.stdout).write(f"{shlex.join([*_PROGRAM, *words])}\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        name, *options = words
        program = [sys.executable, "-m", "benchmarks", name, "--json", str(rows), *options]
        if code := subprocess.run(program, check=False).returncode:
            raise AdmmError(f"'{shlex.join(words)}' ended with code {code}; its file is unchanged")
        return rows.read_bytes()
