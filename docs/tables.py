"""`python -m docs.tables` writes stored rows into the tables of the pages.

A line `<!-- table: FORMAT FILE… KEY=VALUE… -->` above a table names a function below, files of
`benchmarks/results`, and what their rows must have to be shown. The head of the table stays.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"

Row = dict[str, Any]
Line = Sequence[object]
Lines = Iterable[Line]

_TABLE = re.compile(r"(<!-- table: (.*?) -->\n\n\|.*\n\|[-| ]+\n)((?:\|.*\n)*)")

_DATA = {
    "cora": "Cora",
    "citeseer": "Citeseer",
    "amazon-photo": "Amazon Photo",
    "coauthor-cs": "Coauthor CS",
}
_METHODS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "gd": "SGD",
    "gsadmm": "gsADMM",
    "gsam": "gsAM",
    "sgd": "SGD with Nesterov's momentum",
}
_PEERS = {
    "pdadmm-g": "pdadmm-g, delta4",
    "gsadmm": "gsADMM in 2 subnetworks",
    "adam": "our Adam, one process",
    "adam data-parallel": "our Adam, data-parallel",
    "adam pipeline": "our Adam, pipeline",
    "torch adam": "torch, one process",
    "torch adam DDP": "torch, DDP",
    "torch adam 1F1B": "torch, 1F1B",
}


def main() -> None:
    for page in sorted(DOCS.rglob("*.md")):
        page.write_text(filled(page.read_text()))


def filled(text: str) -> str:
    """The text of a page with the stored rows in its tables."""

    def table(match: re.Match[str]) -> str:
        head, words, _ = match.groups()
        return head + "".join(f"{line}\n" for line in lines(words))

    return _TABLE.sub(table, text)


def lines(words: str) -> list[str]:
    """The lines of a table, of the words of its comment."""
    name, *rest = words.split()
    wanted = dict(word.split("=") for word in rest if "=" in word)
    rows = [row for file in rest if "=" not in file for row in stored(file)]
    rows = [row for row in rows if all(str(row[key]) == told for key, told in wanted.items())]
    return [line_of(*cells) for cells in FORMATS[name](rows)]


def stored(file: str) -> list[Row]:
    """The rows of a file of results, with its name and the options behind `--` in its command."""
    content = json.loads((RESULTS / f"{file}.json").read_text())
    _, _, options = content["command"].partition(" -- ")
    return [row | {"file": file, "options": options} for row in content["rows"]]


def line_of(*cells: object) -> str:
    """A line of a table; nothing but a space lies in an empty cell."""
    return "|" + "".join(" |" if cell in ("", None) else f" {cell} |" for cell in cells)


# How numbers are written.


def points(value: float | None, digits: int = 4) -> str:
    """An accuracy or an error, without a 0 in front."""
    return "" if value is None else re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")


def spread(row: Row, digits: int = 4, mean: str = "test", deviation: str = "test_std") -> str:
    """Mean ± standard deviation."""
    return f"{points(row[mean], digits)} ± {points(row[deviation], digits)}"


def number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def megabytes(value: float | None) -> str:
    """With three digits, or – without a value."""
    if not value:
        return "–" if value is None else "0"
    return (
        f"{value:,.0f}" if value >= 100 else points(float(f"{value:.3g}"), 2 if value < 10 else 1)
    )


def significant(value: float, digits: int = 2) -> str:
    """As 8.0e-4, or .25 from .1 on."""
    if value >= 0.1:
        return points(value, digits) if value < 1 else number(value)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def pivot(
    rows: Iterable[Row], head: Callable[[Row], Line], column: str, cell: Callable[[Row], str]
) -> Lines:
    """A line for each head, with a cell for each value of a column; – where there is none."""
    rows = list(rows)
    columns = dict.fromkeys(row[column] for row in rows)
    found: dict[tuple[object, ...], dict[object, str]] = {}
    for row in rows:
        found.setdefault(tuple(head(row)), {})[row[column]] = cell(row)
    return [[*key, *(cells.get(each, "–") for each in columns)] for key, cells in found.items()]


# Accuracy of pdADMM-G, and its messages.


def _accuracy(row: Row) -> str:
    return spread(row, 3, "mean_test", "std_test")


def accuracy(rows: Sequence[Row]) -> Lines:
    return pivot(rows, lambda row: [row["method"]], "dataset", _accuracy)


def accuracy_by_depth(rows: Sequence[Row]) -> Lines:
    return pivot(rows, lambda row: [_DATA[row["dataset"]]], "layers", _accuracy)


def times_to_accuracy(rows: Sequence[Row]) -> Lines:
    for ours in (row for row in rows if row["method"] == "pdadmm-g"):
        own = [row for row in rows if row["dataset"] == ours["dataset"]]
        best = min(
            (row for row in own if row is not ours and row["seconds"]),
            key=lambda row: row["seconds"],
        )
        counts = f"{best['reached']} of {best['seeds']} seeds"
        yield [
            _DATA[ours["dataset"]],
            points(ours["target"], 3),
            f"{ours['iterations']:g} iterations, {1e3 * ours['seconds']:.0f} ms",
            f"{best['method']}, {best['setting']}: {best['iterations']:g} iterations, "
            f"{1e3 * best['seconds']:.0f} ms, {counts}",
            f"{best['seconds'] / ours['seconds']:.1f}",
        ]


def communication(rows: Sequence[Row]) -> Lines:
    def head(row: Row) -> Line:
        return [_DATA[row["dataset"]], row["workers"]]

    def cell(row: Row) -> str:
        return spread(row, 3, "test_accuracy")

    return pivot(rows, head, "codec", cell)


def ternary(rows: Sequence[Row]) -> Lines:
    def cell(row: Row) -> str:
        return spread(row, 4, "test_accuracy")

    return pivot(rows, lambda row: [_DATA[row["dataset"]], row["seeds"]], "codec", cell)


def convergence(rows: Sequence[Row]) -> Lines:
    for row in rows:
        sizes = f"{row['lagrangian']:.4g}", f"{row['primal']:.1e}", f"{row['dual']:.1e}"
        head = row["dataset"], f"{row['ratio']:g}", row["codec"]
        yield [*head, *sizes, row["rises"], f"{row['rate']:.2f}"]


# Time.


def kernels(rows: Sequence[Row]) -> Lines:
    for row in rows:
        times = [number(row["layer_ms"], 2), number(row["products_ms"], 2)]
        shares = [points(row["roofline_fraction"], 2), number(row["gflops"])]
        sizes = [number(row["nodes"]), number(row["width"])]
        yield [*sizes, *times, *shares, number(row["peak_arrays"], 1)]


def _size(row: Row) -> str:
    return f"{row['layers']} × {row['width']}"


def speedup(rows: Sequence[Row]) -> Lines:
    for row in rows:
        if not row["method"].startswith("torch"):
            times = [number(row[each], 1) for each in ("epoch_ms", "wait_ms", "products_ms")]
            yield [_size(row), row["method"], row["ranks"], row["cores"], *times]


def speedup_ratios(rows: Sequence[Row]) -> Lines:
    """A line for each file."""
    for file in dict.fromkeys(row["file"] for row in rows):
        own = [row for row in rows if row["file"] == file]
        one, two = (row["epoch_ms"] for row in own if row["method"] == "pdadmm-g")
        best = min(
            row["epoch_ms"] for row in own if row["method"].startswith("adam") and row["cores"] == 2
        )
        yield [_size(own[0]), points(one / (2 * two), 2), points(best / two, 2)]


def _setting(row: Row) -> str:
    words = (row["setting"] or "").replace(" channels-last", ", channels last")
    return f"{words} micro-batches" if words.isdigit() else words


def peers(rows: Sequence[Row]) -> Lines:
    for row in rows:
        if row["cores"] == 2:
            about = [_size(row), _PEERS[row["method"]], row["ranks"], _setting(row)]
            yield [*about, number(row["epoch_ms"], 1)]


def network(rows: Sequence[Row]) -> Lines:
    for row in rows:
        link = f"{row['link_mbit']:.0f} ({int(row['measured_mbit'])} measured)"
        codec = row["codec"] if row["method"] == "pdadmm-g" else ""
        times = [number(row[each]) for each in ("epoch_ms", "wait_ms", "products_ms")]
        yield [link, row["method"], codec, *times, f"{row['bytes'] / 1e6:.2f}"]


def scaling(rows: Sequence[Row]) -> Lines:
    for row in rows:
        error = "" if row["error"] is None else f"{round(100 * row['error'])} %"
        times = [number(row["predicted_ms"]), number(row["measured_ms"]), error]
        head = [row["network"], row["method"], row["codec"], row["ranks"]]
        yield [*head, *times, number(row["speedup"], 1)]


def checkpoint(rows: Sequence[Row]) -> Lines:
    (row,) = rows
    yield ["training nodes", number(row["nodes"])]
    yield ["state", f"{row['bytes'] / 1e6:.0f} MB"]
    yield ["an epoch", f"{points(row['epoch'], 2)} s"]
    share = f"{100 * row['share']:.1f} %"
    yield [f"share of the time, with one checkpoint every {row['every']} epochs", share]
    stand = "training stands still, the wait for the iteration under way included"
    yield [stand, f"{row['blocked']:.1f} s (mean of {row['checkpoints']})"]
    yield ["the three epochs after it take longer by", f"{points(row['slower'], 1)} s"]


# Subnetworks.


def subnetworks(rows: Sequence[Row]) -> Lines:
    for row in rows:
        name = _METHODS.get(row["method"], row["method"])
        codec = "–" if row["method"] in ("adam", "gd") else row["codec"]
        head = [row["network"], name, row["subnetworks"], codec, row["epochs"], row["seeds"]]
        scores = [spread(row, 4, f"{part}_accuracy", f"{part}_std") for part in ("train", "test")]
        yield [*head, *scores, points(row["worst_fall"])]


def subnetwork_times(rows: Sequence[Row]) -> Lines:
    """The first measurement of each, and those after it."""

    def head(row: Row) -> Line:
        name = row["method"].replace("adam", "Adam")
        name = "gsADMM in 2 subnetworks" if row["method"] == "gsadmm" else name
        return [row["network"], name, row["ranks"], row["cores"]]

    return pivot(rows, head, "seconds", lambda row: number(row["epoch_ms"]))


def subnetwork_peers(rows: Sequence[Row]) -> Lines:
    for row in rows:
        head = [_PEERS[row["method"]], row["ranks"], row["cores"], _setting(row)]
        yield [*head, number(row["epoch_ms"])]


def cuts(rows: Sequence[Row]) -> Lines:
    """Of one rank against two."""
    for one in (row for row in rows if row["ranks"] == 1):
        (two,) = (row for row in rows if row["ranks"] == 2 and row["network"] == one["network"])
        modules = ", ".join(number(each, 1) for each in one["module_ms"])
        share = points(two["epoch_ms"] / one["epoch_ms"], 2)
        yield [one["network"], modules, one["cut"], points(one["floor"], 2), share]


def convolutions(rows: Sequence[Row]) -> Lines:
    for row in rows:
        times = [number(row[each], 1) for each in ("vmap_ms", "batch_ms", "products_ms")]
        yield [row["convolution"], *times, points(row["fraction"], 2)]


# Depth.


def _images(row: Row) -> str:
    return "55,000, all" if row["rows"] == 55000 else number(row["rows"])


def _tuned(row: Row) -> str:
    lr, batch, decay, scale = row["setting"].split(", ")
    words = [lr, batch, *([f"decay {decay}"] if decay != "0" else []), f"scale {scale}"]
    return ", ".join(words)


def depth(rows: Sequence[Row]) -> Lines:
    """Ours, the rival, and the rival with a choice by its own seeds."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["layers"], []).append(row)
    for layers, (ours, rival, own) in sorted(found.items()):
        yield [layers, spread(ours), spread(rival), _tuned(rival), spread(own), _tuned(own)]


def depth_others(rows: Sequence[Row]) -> Lines:
    for row in rows:
        chosen = "defaults" if row["method"].startswith("gs") else _tuned(row)
        name = _METHODS[row["method"]]
        name += ", two subnetworks" if row["method"].startswith("gs") else ""
        yield [name, spread(row), chosen]


def depth_passes(rows: Sequence[Row]) -> Lines:
    def cell(row: Row) -> str:
        return points(row["test"])

    return pivot(rows, lambda row: [_METHODS.get(row["method"], row["method"])], "passes", cell)


def depth_sizes(rows: Sequence[Row]) -> Lines:
    for row in rows:
        pixels = "14×14" if row["dataset"] == "mnist14" else "28×28"
        head = [_METHODS.get(row["method"], row["method"]), _images(row), pixels, row["hidden"]]
        yield [*head, row["passes"], row["seeds"], spread(row)]


def depth_codes(rows: Sequence[Row]) -> Lines:
    for row in sorted(rows, key=lambda row: row["layers"]):
        share = 1 if row["share"] == 1 else points(row["share"], 3)
        yield [row["layers"], row["setting"], row["seeds"], spread(row), share]


def depth_ablations(rows: Sequence[Row]) -> Lines:
    for row in rows:
        yield [f"`{row['options']}`" if row["options"] else "", points(row["val"]), spread(row)]


def depth_times(rows: Sequence[Row]) -> Lines:
    for row in rows:
        ranks = f"{row['ranks']} rank" + "s" * (row["ranks"] > 1)
        name = f"sadmm, {ranks}" if row["method"] == "sadmm" else row["method"]
        yield [name.replace("adam", "Adam"), row["cores"], number(row["epoch_ms"])]


# Partitions.


def halos(rows: Sequence[Row]) -> Lines:
    for row in rows:
        silent = row["halo"] in ("drop", "local")
        name = f"local training, averages every {row['N']} epochs"
        name, interval = (name, "") if row["halo"] == "local" else (row["halo"], row["N"])
        staleness = "" if silent or row["halo"] == "exact" else points(row["stale_1"], 3)
        codec = "" if silent else row["codec"]
        tail = [spread(row), points(row["last5"]), staleness, megabytes(row["halo_mb"])]
        yield [name, interval, codec, *tail]


def halos_of_citations(rows: Sequence[Row]) -> Lines:
    for row in rows:
        yield [row["halo"], row["N"], spread(row), points(row["last"]), points(row["last5"])]


def gradients(rows: Sequence[Row]) -> Lines:
    for row in rows:
        yield [row["halo"], points(row["gradient"], 4 if row["gradient"] < 0.01 else 3)]


def _halo(row: Row) -> str:
    return row["halo"] + ("" if row["N"] is None else f", N = {row['N']}")


def halo_links(rows: Sequence[Row]) -> Lines:
    for row in rows:
        times = [number(row["epoch_ms"]), points(row["best"]), number(row["to_s"], 1)]
        yield [_halo(row), row["codec"], *times]


def halo_times(rows: Sequence[Row]) -> Lines:
    for one in (row for row in rows if row["ranks"] == 1):
        (two,) = (
            row
            for row in rows
            if row["ranks"] == 2 and all(row[key] == one[key] for key in ("dataset", "halo", "N"))
        )
        times = [number(one["epoch_ms"]), number(two["epoch_ms"]), points(two["efficiency"], 2)]
        sizes = [number(one["rank_mb"]), number(two["rank_mb"])]
        yield [one["dataset"], _halo(one), *times, *sizes]


# Federated learning.


def _method(row: Row) -> str:
    return f"`{row['method']}`" + (", 400 rounds" if row["method"] == "fedsgd" else "")


def federated(rows: Sequence[Row]) -> Lines:
    for row in rows:
        away = "half join at round 21" if row["late"] else f"{100 * row['offline']:.0f} %"
        scores = [spread(row), points(row["worst"], 3), points(row["local"], 3)]
        sent = [megabytes(row[each]) for each in ("mb", "to_mb")]
        yield [_method(row), row["codec"], away, *scores, *sent]


def attention(rows: Sequence[Row]) -> Lines:
    for row in rows:
        _, _, mode = row["options"].partition("--attention ")
        name = f"FATHOM, `{mode}`" if mode else "LSTM, no attention"
        yield [name, spread(row), points(row["worst"], 3), megabytes(row["mb"])]


def noise(rows: Sequence[Row]) -> Lines:
    for row in rows:
        options = f"`{row['options']}`" if row["options"] else ""
        yield [f"`{row['method']}`", row["codec"], options, spread(row, 3)]


def distances(rows: Sequence[Row]) -> Lines:
    def cell(row: Row) -> str:
        return significant(row["distance"])

    return pivot(rows, lambda row: [row["codec"]], "offline", cell)


def rounds(rows: Sequence[Row]) -> Lines:
    def cell(row: Row) -> str:
        return number(row["round_ms"], 1)

    return pivot(rows, lambda row: [f"`{row['method']}`", row["codec"]], "ranks", cell)


def round_links(rows: Sequence[Row]) -> Lines:
    for row in rows:
        times = [number(row[each], 1) for each in ("floor_ms", "free_ms", "round_ms", "seconds")]
        yield [number(row["link_mbit"]), _method(row), row["codec"], number(row["kb"], 1), *times]


_CENTRAL = {
    "ridge": "ridge, pooled",
    "lstm": "one shared LSTM",
    "lstm +": "LSTM, an output layer for each station",
    "fathom": "FATHOM, `own`",
    "no ta": "– without task attention",
    "no ga": "– without temporal attention",
    "neither": "– without both",
    "aligned": "FATHOM, `aligned`",
    "context": "FATHOM, `context`",
}


def central(rows: Sequence[Row]) -> Lines:
    for row in rows:
        score = spread(row, 3) if row["seeds"] > 1 else points(row["test"], 3)
        tail = [points(row["worst"], 3), points(row["offline"], 3)]
        yield [_CENTRAL.get(row["method"], row["method"]), score, *tail]


FORMATS: dict[str, Callable[[Sequence[Row]], Lines]] = {
    function.__name__: function
    for function in (
        accuracy,
        accuracy_by_depth,
        attention,
        central,
        checkpoint,
        communication,
        convergence,
        convolutions,
        cuts,
        depth,
        depth_ablations,
        depth_codes,
        depth_others,
        depth_passes,
        depth_sizes,
        depth_times,
        distances,
        federated,
        gradients,
        halo_links,
        halo_times,
        halos,
        halos_of_citations,
        kernels,
        network,
        noise,
        peers,
        round_links,
        rounds,
        scaling,
        speedup,
        speedup_ratios,
        subnetwork_peers,
        subnetwork_times,
        subnetworks,
        ternary,
        times_to_accuracy,
    )
}

if __name__ == "__main__":
    main()
