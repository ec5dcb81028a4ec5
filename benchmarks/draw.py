"""Draw the picture of a benchmark from files of its results, without measuring again.

    python -m benchmarks draw benchmarks/results/network.json docs/network.png

The files are of one benchmark, as `--json` has written them. The ending of the picture's name
decides: PNG, SVG, PDF.
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
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS.json")
    parser.add_argument("picture", type=picture_file, metavar="PICTURE")
    given = parser.parse_args(argv)
    redraw(given.results, given.picture)


def redraw(results: Sequence[Path], picture: Path) -> None:
    """Draw the rows of files of results of one benchmark.

    Raises:
        InputError: If a file cannot be read, is no file of results of these benchmarks, or is of
            another benchmark than the first.
        OutputError: If the picture cannot be written.
    """
    told = ", ".join(map(str, results))
    contents = [read_results(path) for path in results]
    names = list(dict.fromkeys(content["benchmark"] for content in contents))
    if len(names) > 1:
        raise InputError(f"{told} are of {' and '.join(names)}; a picture is of one benchmark")
    rows = [row for content in contents for row in content["rows"]]
    if not rows:
        raise InputError(f"no rows in {told}: the benchmark ended before its first")
    draw = import_module(f"benchmarks.{names[0].replace('-', '_')}").draw
    try:
        save_picture(picture, draw, rows)
    except KeyError as missing:
        raise InputError(f"rows without {missing} in {told}; measure again") from None
