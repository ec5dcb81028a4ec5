"""A trained network on disk: one `.npz` a layer, written by its owner, and a manifest.

    RUN/model.json              manifest: options, data facts, files with checksums
    RUN/models/0010-0040/       layers of the network of 10 layers, epoch 40
        layer_001.npz …         arrays of a layer by name, W (n_in, n_out) and b (n_out,) of a
                                dense one; no pickles

The manifest is written last and atomically, so that it always names a complete network. Before the
end of a run the files are those of a checkpoint.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from admm.errors import AdmmError, DivergedError, InputError, spelled
from admm.files import (
    PART,
    make_folder,
    read_arrays,
    read_json,
    reading,
    write_arrays,
    write_atomically,
)
from admm.run.method import Arrays

if TYPE_CHECKING:
    from admm.comm import Transport

_VERSION = 1

# What a manifest says of how data were found, which is no part of what they are.
_FOUND = ("name", "class_names", "provenance")


class Saved(NamedTuple):
    """The best network of a run so far, on disk."""

    run: Path
    manifest: dict[str, Any]
    held: Mapping[str, Arrays] = {}  # files that are read already

    @property
    def depth(self) -> int:
        """Its layers or modules."""
        return self.manifest["depth"]

    @property
    def class_names(self) -> list[Any]:
        """What the classes are called, where that is not 0…C−1."""
        return self.manifest["dataset"].get("class_names", [])

    def read(self, number: int) -> Arrays:
        """The arrays of one layer or module, by name.

        Raises:
            InputError: If its file is missing or not what the manifest says.
        """
        suffix = f"/layer_{number:03d}.npz"
        files = self.manifest["files"]
        name = next((name for name in files if name.endswith(suffix)), suffix[1:])
        if name in self.held:
            return self.held[name]
        return read_arrays(self.run / name, files.get(name))

    def check_dataset(self, found: Mapping[str, Any]) -> None:
        """Whether data are those that the network was trained on.

        Raises:
            InputError: If not.
        """
        check_same_data(found, self.manifest["dataset"], self.run)


def check_same_data(found: Mapping[str, Any], known: Mapping[str, Any], run: Path) -> None:
    """Whether data are those of a run, wherever they lie now: by fingerprint and counts.

    Raises:
        InputError: If not.
    """
    same = [name for name in found if name in known and name not in _FOUND]
    differ = [
        f"{name} {found[name]}, not {known[name]}" for name in same if found[name] != known[name]
    ]
    if differ:
        raise InputError(f"the data are not those that {run} was trained on: {', '.join(differ)}")


def save_model(
    run: Path, layers: Mapping[int, Arrays], about: Mapping[str, Any], transport: "Transport"
) -> None:
    """Save the network that the processes hold together.

    Args:
        run: Folder of the run, the same for every process.
        layers: The layers of this process, by number: their arrays by name.
        about: Manifest entries; `depth` and `epoch` name the folder.
        transport: To collect the checksums at the root.

    Raises:
        OutputError: In every process, if the system refuses to write in one.
    """
    folder = run / "models" / f"{about['depth']:04d}-{about['epoch']:04d}"
    there = folder.exists()
    place = folder.relative_to(run)

    def write() -> dict[str, dict[str, Any]]:
        make_folder(folder)
        try:
            return write_units(folder, "layer", layers)
        except AdmmError:
            if not there:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    units = transport.agreed(write)
    written = {f"{place}/{name}": known["checksum"] for name, known in units.items()}
    files = dict(sorted(entry for part in transport.gather(written) for entry in part.items()))

    def finish() -> None:
        write_manifest(run, about, files)
        for old in folder.parent.iterdir():
            if old != folder and PART.fullmatch(old.name):
                shutil.rmtree(old, ignore_errors=True)

    transport.at_root(finish)


def write_units(folder: Path, kind: str, units: Mapping[int, Arrays]) -> dict[str, dict[str, Any]]:
    """Write the arrays of layers or other units; returns what a manifest says of each file.

    Raises:
        DivergedError: If an array is not finite.
        OutputError: If the system refuses to write.
    """
    written = {}
    for number, arrays in units.items():
        name = f"{kind}_{number:03d}.npz"
        on_host = {key: np.asarray(array) for key, array in arrays.items()}
        for key, array in on_host.items():
            if array.dtype.kind == "f" and not np.isfinite(array.sum()):
                raise DivergedError(f"{key} of {kind} {number} is no longer finite")
        written[name] = {
            "checksum": write_arrays(folder / name, on_host),
            "shapes": {key: list(array.shape) for key, array in on_host.items()},
        }
    return written


def write_manifest(run: Path, about: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Make these files, with their checksums, the network of a run.

    Raises:
        OutputError: If the system refuses to write.
    """
    manifest = {"version": _VERSION, **about, "files": dict(files)}
    write_atomically(run / "model.json", json.dumps(manifest, indent=1).encode())


def open_saved(run: Path) -> Saved:
    """The best network of a run so far.

    Raises:
        InputError: If there is none, or it is damaged or of another version.
    """
    path = run / "model.json"
    with reading(path):
        there = path.is_file()
    if not there:
        raise InputError(
            f"{run} holds no trained network (no {path.name}); pass the {spelled('out')} of a run"
        )
    names = ("depth", "epoch", "options", "dataset", "files")
    return Saved(run, read_json(path, _VERSION, names))


def hold_saved(run: Path) -> Saved:
    """The best network of a run so far with all its arrays, for one process.

    A run that goes on removes the files while data are loaded.

    Raises:
        InputError: As `open_saved` and `Saved.read` do.
    """
    while True:
        saved = open_saved(run)
        try:
            files = saved.manifest["files"].items()
            return saved._replace(held={n: read_arrays(run / n, known) for n, known in files})
        except InputError:
            if open_saved(run).manifest == saved.manifest:
                raise
