"""Data of clients that keep them: sensors by name, a folder, or an object of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admm.checks import COUNT
from admm.datasets.beijing import Beijing
from admm.datasets.client_folder import read_client_folder
from admm.datasets.federation import Federation, ReadFederation
from admm.datasets.files import Source, data_folder, find_files
from admm.datasets.har import HAR
from admm.datasets.sensors import Sensors
from admm.datasets.windows import Client, Cut, Windows
from admm.errors import InputError, MissingDataError, did_you_mean, spelled
from admm.files import is_path, reading

_MEMBERS = ("name", "task", "clients", "columns", "outputs", "steps", "features", "client")

__all__ = ["FEDERATIONS", "Client", "Federation", "Windows", "read_federation"]

FEDERATIONS: dict[str, Source] = {
    "sensors": Source((), "generated, as sensors:clients=8,seed=0"),
    "beijing": Source(
        ("beijing_multisite.npz",),
        "archive.ics.uci.edu/dataset/501, packed as docs/sensors.md says",
    ),
    "har": Source(
        ("sp_sw_har_50hz.npz",), "doi.org/10.5281/zenodo.8398688, packed as docs/sensors.md says"
    ),
}
"""Federations that `read_federation` knows by name.

| name | clients | steps | columns | outputs |
|---|---|---|---|---|
| sensors | 8, or as its name says | 12 | 4 | 4 numbers |
| beijing | 12 stations | 12 hours | 15 | 6 numbers |
| har | 23 people | 50, a second | 6 | 5 classes |
"""


def read_federation(
    data: Any = "sensors",
    *,
    data_dir: str | Path | None = None,
    length: int | None = None,
    stride: int | Sequence[int] | None = None,
    horizon: int | None = None,
) -> ReadFederation:
    """What all processes know of some clients; `client` reads one of them.

    Args:
        data: A key of `FEDERATIONS`, maybe with options as `sensors:clients=3`, see `Sensors`,
            `Beijing` and `HAR`; the path of a folder with an `.npz` file for each client, see
            `admm.datasets.client_folder`; or a `Federation`, which is checked.
        data_dir: Folder that is searched for names; `$ADMM_DATA` by default, else the user's cache.
        length: Steps of a window.
        stride: Steps from one window to the next: of all parts, or of training, validation, test.
        horizon: Steps from a window's last to its target.

    Raises:
        MissingDataError: If a file or the folder is missing.
        InputError: If the name is unknown, a file or an option cannot be used, or windows are
            ready and cannot be cut otherwise.

    Warns:
        UserWarning: If windows start at some hours of the day alone, see `Cut`.

    Example:
        >>> federation = read_federation("sensors:clients=3", length=6)
        >>> federation.client(2).train.inputs.shape
        (68, 6, 4)
    """
    given = {"length": length, "stride": _strides(stride), "horizon": horizon}
    if horizon is not None:
        COUNT("horizon", horizon)
    choices: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not isinstance(data, str | Path):
        _refuse("data has windows that are ready", choices)
        return _checked(data)
    if isinstance(data, Path) or is_path(data):
        return _of_folder(Path(data), choices)
    name = data.partition(":")[0]
    if name == "sensors":
        return Sensors.of_name(data).federation(Cut(**choices, period=24))
    if name not in FEDERATIONS:
        raise InputError(
            f"unknown data set {data!r}; expected one of {', '.join(FEDERATIONS)}, or a folder "
            f"with an .npz file for each client, with a / in it{did_you_mean(name, FEDERATIONS)}"
        )
    files = find_files(name, FEDERATIONS[name], data_folder(data_dir))
    (path,) = files.values()
    if name == "beijing":
        choices = {"stride": (11, 13, 17), "horizon": 6, "period": 24, **choices}
        return Beijing.of_name(data).federation(path, Cut(**choices))
    if horizon is not None:
        _refuse("har has a class for each window", {"horizon": horizon})
    cut = Cut(**{"length": 50, "stride": (25, 25, 25), "horizon": 0, **choices})
    return HAR.of_name(data).federation(path, cut)


def _strides(stride: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if stride is None:
        return None
    strides = tuple(stride) if isinstance(stride, Sequence) else (stride,) * 3
    if len(strides) != 3:
        raise InputError(
            f"{spelled('stride')} must be one, or three of training, validation and test, got "
            f"{len(strides)}"
        )
    return strides


def _refuse(why: str, choices: dict[str, Any]) -> None:
    if choices:
        raise InputError(f"{why}; leave {' and '.join(map(spelled, choices))} out")


def _of_folder(folder: Path, choices: dict[str, Any]) -> ReadFederation:
    with reading(folder):
        if not folder.exists():
            raise MissingDataError(f"no such folder: {folder}")
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; expected one with an .npz file for a client")
    return read_client_folder(folder, choices)


def _checked(data: Any) -> ReadFederation:
    if not isinstance(data, Federation):
        missing = [name for name in _MEMBERS if not hasattr(data, name)]
        raise InputError(
            "expected the name of a federation, a folder, or an object with "
            f"{', '.join(_MEMBERS)}; got a {type(data).__name__} without {', '.join(missing)}"
        )
    about = {name: getattr(data, name) for name in _MEMBERS[:-1]}
    about |= {name: tuple(about[name]) for name in ("clients", "columns", "outputs")}
    return ReadFederation(**about, read=data.client, slots=getattr(data, "slots", 0))
