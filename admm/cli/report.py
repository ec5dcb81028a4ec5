"""`admm report`: what runs have cost, and what they are worth."""

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from admm.cli.picture import check_kind, write_picture
from admm.cli.start import show, start_jax
from admm.errors import InputError
from admm.extras import load
from admm.files import write_atomically
from admm.reports import Prices, Report, draw, read_summary, report
from admm.run.history import to_json
from admm.run.options import folder_of
from admm.run.plot import run_labels

# Robustness where nothing else is said.
_NOISE, _DROPPED = 0.5, 0.2


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The runs, prices, and what to measure."""
    parser.description = (
        "FLOPs, time, memory, messages, energy, emissions, money, accuracy, robustness and "
        "fidelity of runs. Each figure says whether it was counted, measured or modelled; what is "
        "not known is 'not measured'. Definitions: docs/costs.md."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="--out folders of runs that ended")
    text = "a run on the same data: speed-up and fidelity are against it"
    parser.add_argument("--against", metavar="RUN", help=text)
    parser.add_argument("--json", action="store_true", help="one JSON object, in place of a table")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a figure")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw accuracy against costs")
    text = "time the inference of the saved networks"
    parser.add_argument("--measure", action="store_true", help=text)
    text = "accuracy under noise on features and without some edges"
    parser.add_argument("--robustness", action="store_true", help=text)
    text = f"deviations of that noise [{_NOISE}]"
    parser.add_argument("--noise", type=float, metavar="X", help=text)
    text = f"fraction of those edges [{_DROPPED}]"
    parser.add_argument("--dropped", type=float, metavar="X", help=text)
    text = "W of a busy core: models the energy where there is no meter"
    parser.add_argument("--watts", type=float, metavar="X", help=text)
    parser.add_argument("--grid-intensity", type=float, metavar="X", help="g CO2e a kWh")
    text = "of an hour of all machines of a run"
    parser.add_argument("--price", type=float, metavar="X", help=text)


def run(arguments: argparse.Namespace, comm: Any) -> None:
    """Print the figures, in one process; write the files that are asked for."""
    if comm is not None and comm.rank > 0:
        return
    picture = None
    if arguments.plot is not None:
        figure = load("matplotlib.figure", "a plot").Figure
        picture = figure(figsize=(10, 4), layout="constrained")
        check_kind("plot", arguments.plot)
    prices = Prices(arguments.watts, arguments.grid_intensity, arguments.price)
    noise, dropped = arguments.noise, arguments.dropped
    if arguments.robustness:
        noise = _NOISE if noise is None else noise
        dropped = _DROPPED if dropped is None else dropped
    elif noise is not None or dropped is not None:
        raise InputError("--noise and --dropped are for --robustness, which was not asked for")
    if arguments.measure or arguments.robustness or arguments.against is not None:
        runs = [*arguments.runs, *([arguments.against] if arguments.against is not None else [])]
        dtypes = [read_summary(folder_of(each))["options"]["dtype"] for each in runs]
        start_jax(max(dtypes), 1)  # float64 where any run has that
    found = report(
        arguments.runs,
        arguments.against,
        prices=prices,
        measure=arguments.measure,
        noise=noise,
        dropped=dropped,
    )
    if arguments.json:
        show(to_json({"runs": [_as_json(each) for each in found]}))
    else:
        for line in _lines(found):
            show(line)
    if arguments.csv is not None:
        write_atomically(arguments.csv, _csv(found).encode())
    if picture is not None:
        draw(picture, found)
        write_picture(arguments.plot, picture, dpi=100)


def _as_json(each: Report) -> dict[str, Any]:
    figures = {name: figure._asdict() for name, figure in each.figures.items()}
    return {"run": each.run, "figures": figures}


def _names(found: Sequence[Report]) -> list[str]:
    """Names of figures, in order: variables differ from method to method."""
    return list(dict.fromkeys(name for each in found for name in each.figures))


def _lines(found: Sequence[Report]) -> Iterator[str]:
    names = _names(found)
    wide = max(map(len, names)) + 11
    labels = run_labels([Path(each.run) for each in found])
    columns = [max(14, len(label)) for label in labels]
    heads = (f"{label:>{w}}" for label, w in zip(labels, columns, strict=True))
    yield f"{'':{wide}}  {'  '.join(heads)}"
    for name in names:
        figures = [each.figures.get(name) for each in found]
        unit = next(figure.unit for figure in figures if figure is not None)
        cells = ("–" if f is None or f.value is None else _number(f) for f in figures)
        told = (f"{cell:>{w}}" for cell, w in zip(cells, columns, strict=True))
        yield f"{f'{name} ({unit})':{wide}}  {'  '.join(told)}"
    yield "~: modelled, not measured; –: not measured"
    for name in names:
        notes = {each.figures[name].note for each in found if name in each.figures}
        sources = {each.figures[name].source for each in found if name in each.figures}
        yield f"{name}: {', '.join(sorted(sources))}; {' | '.join(sorted(notes))}"


def _number(figure: Any) -> str:
    value = figure.value
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"~{text}" if figure.source == "modelled" else text


def _csv(found: Sequence[Report]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", "figure", "value", "unit", "source", "note"])
    for each in found:
        for name, figure in each.figures.items():
            table.writerow([each.run, name, *figure])
    return text.getvalue()
