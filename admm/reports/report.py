"""Figures of several runs, beside each other and against one of them."""

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from admm.checks import NOT_NEGATIVE, Check
from admm.errors import InputError, spelled
from admm.reports.figures import Figure, Prices, figures_of, not_measured
from admm.run import status
from admm.run.options import folder_of

_FRACTION = Check("in 0…1", lambda value: 0 <= value <= 1, Real)

_FIDELITY = {"agreement": "fraction", "kl": "nat"}
_NEEDED = (
    *("best", "final", "seconds", "bytes", "joules", "peak_rss_bytes", "workers", "dataset"),
    *("options", "costs"),
)


class Report(NamedTuple):
    """The figures of a run.

    Example:
        >>> Report("runs/mine", {}).run
        'runs/mine'
    """

    run: str
    figures: dict[str, Figure]


def report(
    runs: Sequence[str | Path],
    against: str | Path | None = None,
    *,
    prices: Prices | None = None,
    measure: bool = False,
    noise: float | None = None,
    dropped: float | None = None,
) -> list[Report]:
    """What runs have cost, and what their networks are worth.

    Args:
        runs: Their `out` folders.
        against: Another run on the same data: for speed-up, and for fidelity to its predictions.
        prices: Of energy and time.
        measure: Whether to time the inference of the saved networks.
        noise: Deviation of noise on features, for robustness; see `admm.reports.robustness`.
        dropped: The fraction of edges to drop, for robustness.

    Raises:
        InputError: If a run has not ended, or runs are on different data.

    Example:
        >>> import tempfile
        >>> from admm import options, train
        >>> run = tempfile.mkdtemp()
        >>> result = train(options(layers=2, hidden=16, epochs=5, out=run))
        >>> (found,) = report([run])
        >>> found.figures["sent"].value, found.figures["energy"].source
        (0, 'not measured')
    """
    if not runs:
        raise InputError("a report needs the folder of at least one run")
    for name, value, check in (("noise", noise, NOT_NEGATIVE), ("dropped", dropped, _FRACTION)):
        if value is not None:
            check(name, value)
    prices = prices or Prices()
    folders = [folder_of(run) for run in runs]
    twin = None if against is None else folder_of(against)
    summaries = {run: read_summary(run) for run in [*folders, *([twin] if twin else [])]}
    if twin is not None:
        for run in folders:
            _check_same_data(run, summaries[run], twin, summaries[twin])
    base = None if twin is None else figures_of(summaries[twin], prices)
    found = []
    for run in folders:
        figures = figures_of(summaries[run], prices)
        figures |= _speed_up(figures, base)
        figures |= _of_network(run, measure, noise, dropped)
        figures |= _fidelity(run, twin)
        found.append(Report(str(run), figures))
    return found


def read_summary(run: Path) -> dict[str, Any]:
    """The contents of `summary.json`.

    Raises:
        InputError: If there is none, or it is damaged or of another schema.
    """
    summary = status.read_summary(run, schema=status.SCHEMA)
    if summary is None:
        raise InputError(
            f"{run} has no summary.json: it is no run, or has not ended; `admm status` says which"
        )
    path = run / "summary.json"
    missing = [name for name in _NEEDED if name not in summary]
    if missing:
        raise InputError(f"{path} is damaged (no {', '.join(missing)})")
    return summary


def _check_same_data(
    run: Path, summary: Mapping[str, Any], twin: Path, other: Mapping[str, Any]
) -> None:
    ours, theirs = summary["dataset"], other["dataset"]
    if ours.get("fingerprint") != theirs.get("fingerprint"):
        raise InputError(
            f"{run} was trained on {ours['name']}, {twin} on {theirs['name']} or another version "
            f"of it; {spelled('against')} takes a run on the same data"
        )


def _speed_up(
    figures: Mapping[str, Figure], base: Mapping[str, Figure] | None
) -> dict[str, Figure]:
    own = figures["iterate_seconds"].value
    other = None if base is None else base["iterate_seconds"].value
    if not own or not other:
        return {"speed_up": not_measured("ratio", "--against another run")}
    note = "iterate_seconds of the run against / those of this run"
    return {"speed_up": Figure(other / own, "ratio", "measured", note)}


def _of_network(
    run: Path, measure: bool, noise: float | None, dropped: float | None
) -> dict[str, Figure]:
    """Inference and robustness, as far as they are asked for."""
    found = {
        "inference_seconds": not_measured("s", "--measure"),
        "inference_throughput": not_measured("rows/s", "--measure"),
        "accuracy_with_noise": not_measured("fraction", "--robustness"),
        "accuracy_without_edges": not_measured("fraction", "--robustness, on a graph"),
    }
    if not measure and noise is None and dropped is None:
        return found
    try:
        return found | _measured(run, measure, noise, dropped)
    except InputError as error:
        return {name: _out_of_reach(each.unit, error) for name, each in found.items()}


def _out_of_reach(unit: str, error: InputError) -> Figure:
    """Data in memory, a network of one's own, files that are gone: the other figures stand."""
    return not_measured(unit, f"not by a report: {error}")


def _measured(
    run: Path, measure: bool, noise: float | None, dropped: float | None
) -> dict[str, Figure]:
    from admm.reports.measured import SEEDS, inference_seconds, open_run, robustness

    found, opened = {}, open_run(run)
    if measure:
        seconds, rows = inference_seconds(opened)
        note = f"a pass over all {rows:,} rows, in memory, one worker"
        found["inference_seconds"] = Figure(seconds, "s", "measured", note)
        found["inference_throughput"] = Figure(rows / seconds, "rows/s", "measured", note)
    if noise is not None or dropped is not None:
        scores = robustness(opened, noise or 0.0, dropped or 0.0)
        seeds = f"test accuracy, mean over seeds {', '.join(map(str, SEEDS))}"
        about = {
            "noise": ("accuracy_with_noise", f"{noise or 0:g} deviations of noise on features"),
            "dropped": ("accuracy_without_edges", f"{dropped or 0:.0%} of the edges dropped"),
        }
        for key, value in scores.items():
            name, what = about[key]
            found[name] = Figure(value, "fraction", "measured", f"{what}; {seeds}")
    return found


def _fidelity(run: Path, twin: Path | None) -> dict[str, Figure]:
    if twin is None:
        remedy = "--against its float32 twin"
        return {name: not_measured(unit, remedy) for name, unit in _FIDELITY.items()}
    from admm.reports.measured import fidelity

    try:
        found = fidelity(run, twin)
    except InputError as error:
        return {name: _out_of_reach(unit, error) for name, unit in _FIDELITY.items()}
    note = f"with {twin}, over all rows"
    return {
        "agreement": Figure(found["agreement"], "fraction", "measured", f"of labels {note}"),
        "kl": Figure(found["kl"], "nat", "measured", f"of probabilities {note}"),
    }
