"""A folder of one `.npz` file for each client: a series, or windows that are ready.

A series has

    series (steps, D)     NaN where a value is missing
    columns (D,)          names
    targets (outputs,)    names of the columns that are forecast
    period ()             steps in a day, if there are days
    start ()              the first step in its day, 0…period−1, if all clients have the same clock

Ready windows have

    train_inputs (n, T, D), val_inputs, test_inputs
    train_targets (n, outputs), val_targets, test_targets    NaN where one is missing;
                          or classes (n,), whole numbers, −1 where one is missing
    outputs (outputs,)    names of the numbers, of the labels, or of the classes
    columns (D,)          names, if there are any
    task ()               regression, multilabel or classes; by default whole numbers (n,) are
                          classes
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from admm.datasets.federation import FederationTask, ReadFederation
from admm.datasets.sensor_files import check_shape, reading_arrays, texts
from admm.datasets.splits import PARTS
from admm.datasets.windows import Client, Cut, Windows, chronological, forecast
from admm.errors import InputError, spelled
from admm.files import reading

_READY = (*(f"{part}_{what}" for part in PARTS for what in ("inputs", "targets")), "outputs")
_NEEDED = f"expected series, columns and targets; or {', '.join(_READY)}"


class Outline(NamedTuple):
    """What a file says without its values; all clients say the same."""

    task: FederationTask
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: int  # of a window; 0 in a series
    features: int
    period: int
    clock: bool  # whether the first step has a place in the period


def read_client_folder(folder: Path, choices: Mapping[str, Any]) -> ReadFederation:
    """The clients of a folder: their names are those of the files.

    Nobody but a client's owner reads its values: the first file's names and shapes tell the rest.

    Args:
        folder: With an `.npz` file for each client.
        choices: Arguments of `Cut`, for series.

    Raises:
        InputError: If there are no files, or the first cannot be used; `client` raises it for any.
    """
    with reading(folder):
        paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"{folder} has no .npz files; expected one for each client")
    first = _outline(paths[0])
    if first.steps and choices:
        raise InputError(
            f"{folder} has ready windows; leave {' and '.join(map(spelled, choices))} out"
        )
    cut = Cut(**choices, period=first.period)
    names = tuple(path.stem for path in paths)

    def read(number: int) -> Client:
        path = paths[number]
        own = _outline(path)
        for what, mine, theirs in zip(Outline._fields, own, first, strict=True):
            if mine != theirs:
                raise InputError(
                    f"client {path.stem} has {what} {mine}, client {names[0]} has {theirs}; "
                    f"expected the same of all clients in {folder}"
                )
        return _windows(path, own) if own.steps else _series(path, own, cut)

    return ReadFederation(
        folder.name,
        first.task,
        names,
        first.columns,
        first.outputs,
        first.steps or cut.length,
        first.features,
        read,
        slots=first.period if first.clock else 0,
    )


def is_client_folder(folder: Path) -> bool:
    """Whether the first file of a folder is that of a client."""
    path = min(folder.glob("*.npz"), default=None)
    if path is None:
        return False
    try:
        with reading_arrays(path) as archive:
            return {"series", "targets"} <= set(archive) or "train_inputs" in archive
    except InputError:  # what reads the folder otherwise tells
        return False


def _outline(path: Path) -> Outline:
    with reading_arrays(path) as archive:
        if "series" in archive:
            columns, targets = (texts(path, archive, key) for key in ("columns", "targets"))
            unknown = sorted(set(targets) - set(columns))
            if unknown:
                raise InputError(f"{path}: targets {unknown} are not among columns {columns}")
            period = 0
            if "period" in archive:
                check_shape(path, "period", archive["period"], (), "iu")
                period = int(archive["period"])
            clock = "start" in archive
            if clock and period < 1:
                raise InputError(
                    f"{path}: start is a step in a period; expected a period of at least 1, got "
                    f"{period}"
                )
            return Outline("regression", columns, targets, 0, len(columns), period, clock)
        missing = [key for key in _READY if key not in archive]
        if missing:
            raise InputError(f"{path} has no {', '.join(missing)}; {_NEEDED}")
        shape, _ = archive.outline("train_inputs")
        places, kind = archive.outline("train_targets")
        if len(shape) != 3 or not shape[1]:
            raise InputError(f"{path}: expected train_inputs (windows, T, D), got shape {shape}")
        task = "classes" if kind.kind in "iu" and len(places) == 1 else "regression"
        if "task" in archive:
            check_shape(path, "task", archive["task"], (), "U")
            task = str(archive["task"])
        columns = texts(path, archive, "columns") if "columns" in archive else ()
        outputs = texts(path, archive, "outputs")
        return Outline(cast(FederationTask, task), columns, outputs, shape[1], shape[2], 0, False)


def _series(path: Path, outline: Outline, cut: Cut) -> Client:
    with reading_arrays(path) as archive:
        series = archive["series"]
        start = archive["start"] if outline.clock else None
    check_shape(path, "series", series, (None, outline.features), "fiu")
    if start is not None:
        check_shape(path, "start", start, (), "iu")
    hour = None if start is None else int(start) % cut.period
    parts = chronological(len(series))
    return forecast(path.stem, series, outline.columns, outline.outputs, parts, cut, hour)


def _windows(path: Path, outline: Outline) -> Client:
    parts = []
    with reading_arrays(path) as archive:
        for part in PARTS:
            inputs, targets = archive[f"{part}_inputs"], archive[f"{part}_targets"]
            present = np.ones(targets.shape, bool)
            if targets.dtype.kind == "f":
                present = ~np.isnan(targets)
            elif targets.dtype.kind == "i" and outline.task != "regression":
                present = targets >= 0
            parts.append(Windows(inputs, targets, present))
    return Client(path.stem, *parts)
