"""Draw the picture of a benchmark from the file of its results, without measuring again.

    python -m benchmarks draw benchmarks/results/network.json docs/network.png

The file is one that `--json` has written. The ending of the picture's name decides: PNG, SVG, PDF.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from admm.errors import InputError
from benchmarks.report import picture_file, read_results, save_picture


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks draw",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, metavar="RESULTS.json")
    parser.add_argument("picture", type=picture_file, metavar="PICTURE")
    given = parser.parse_args(argv)
    redraw(given.results, given.picture)


def redraw(results: Path, picture: Path) -> None:
    """Draw the rows of a file of results.

    Raises:
        InputError: If the file cannot be read, or is no file of results of these benchmarks.
        OutputError: If the picture cannot be written.
    """
    content = read_results(results)
    name, rows = content["benchmark"], content["rows"]
    if not rows:
        raise InputError(f"{results} has no rows: the benchmark ended before its first")
    draw = import_module(f"benchmarks.{name.replace('-', '_')}").draw
    try:
        save_picture(picture, draw, rows)
    except KeyError as missing:
        raise InputError(f"{results} has rows without {missing}; measure again") from None
