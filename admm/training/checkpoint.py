"""Checkpoints: all that a run needs to go on as if it had never stopped.

    RUN/checkpoints/0010-000050/          the stage of 10 layers after epoch 50
        unit_001.npz …                    state of a layer (of a subnetwork), by its owner
        layer_001.npz …                   its parameters in the best network so far
        manifest.json                     everything else, and the checksums of the files

A checkpoint exists once it has its manifest, which the root writes last. Files are written in the
background, from copies, while training goes on; the memory for the copies, as much as the state
takes, is kept from one checkpoint to the next.
`model.json` then names the best network of the checkpoint, for `evaluate` and `predict`.
Units go by number, not by worker, so that any number of workers can take them up.
"""

import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from admm.errors import DivergedError, InputError
from admm.parallel import Transport
from admm.training.files import (
    make_folder,
    read_arrays,
    read_json,
    sync,
    write_arrays,
    write_atomically,
)
from admm.training.model import write_manifest

VERSION = 1

_ENTRIES = ("stage", "epoch", "options", "dataset", "files", "history", "counts", "retreats")

Arrays = Mapping[str, Any]


class Snapshot(NamedTuple):
    """The state of a run between two epochs, as far as this process has it."""

    name: str  # sorts in the order of time
    units: Mapping[int, Arrays]
    best: Mapping[int, Arrays]
    about: Mapping[str, Any]  # entries of the manifest
    model: Mapping[str, Any] | None  # those of the best network's, if there is one yet


class Checkpoint(NamedTuple):
    """A complete checkpoint."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def place(self) -> str:
        """Where the run was."""
        return f"epoch {self.manifest['epoch']}, stage {self.manifest['stage'] + 1}"

    def unit(self, number: int) -> Arrays:
        """The state of a unit.

        Raises:
            InputError: If its file is missing or damaged.
        """
        return self._read(f"unit_{number:03d}.npz")

    def best(self, number: int) -> Arrays:
        """The parameters of a layer or module of the best network.

        Raises:
            InputError: If its file is missing or damaged.
        """
        return self._read(f"layer_{number:03d}.npz")

    def shapes(self, number: int) -> dict[str, list[int]]:
        """The shapes of the arrays of a unit."""
        return self.manifest["files"][f"unit_{number:03d}.npz"]["shapes"]

    def _read(self, name: str) -> Arrays:
        known = self.manifest["files"].get(name, {})
        return read_arrays(self.folder / name, known.get("checksum"))


def newest_checkpoint(run: Path) -> Checkpoint:
    """The newest complete checkpoint of a run.

    Raises:
        InputError: If there is none, or its manifest is damaged or of another version.
    """
    found = sorted((run / "checkpoints").glob("*/manifest.json"))
    if not found:
        raise InputError(
            f"{run} holds no complete checkpoint (no checkpoints/*/manifest.json); pass the --out "
            "of a run that has written one, or train anew"
        )
    return Checkpoint(found[-1].parent, read_json(found[-1], VERSION, _ENTRIES))


def clear_run(run: Path) -> None:
    """Remove what an earlier run has left in a folder.

    Raises:
        InputError: If the system refuses, or the folder is none.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        # First it ceases to be a run.
        for name in ("summary.json", "model.json", "history.jsonl"):
            (run / name).unlink(missing_ok=True)
        for name in ("checkpoints", "models"):
            if (run / name).is_dir():
                shutil.rmtree(run / name)
    except OSError as error:
        raise InputError(f"cannot write results to {run} ({error.strerror})") from error


class Writer:
    """Writes the checkpoints of a run, one at a time.

    Args:
        run: Folder of the run.
        keep: How many to keep.
        transport: To collect checksums at the root.
    """

    def __init__(self, run: Path, keep: int, transport: Transport) -> None:
        self._run = run
        self._folder = run / "checkpoints"
        self._keep = keep
        self._transport = transport
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self._copies: dict[str, np.ndarray] = {}

    def begin(self, snapshot: Snapshot) -> None:
        """Copy a snapshot and begin to write it; `commit` of the one before comes first."""
        files = {
            f"{kind}_{number:03d}.npz": {
                name: self._copy(f"{kind} {number} {name}", array) for name, array in arrays.items()
            }
            for kind, units in (("unit", snapshot.units), ("layer", snapshot.best))
            for number, arrays in units.items()
        }
        self._snapshot = snapshot
        self._written: dict[str, dict[str, Any]] = {}
        self._thread = threading.Thread(target=self._write, args=(files,), daemon=True)
        self._thread.start()

    def _copy(self, name: str, array: Any) -> np.ndarray:
        """A copy in the memory of the one before: new memory costs more than the copy."""
        source = np.asarray(array)
        copy = self._copies.get(name)
        if copy is None or (copy.shape, copy.dtype) != (source.shape, source.dtype):
            copy = self._copies[name] = np.empty_like(source)
        np.copyto(copy, source)
        return copy

    def _write(self, files: dict[str, dict[str, np.ndarray]]) -> None:
        try:
            folder = self._folder / self._snapshot.name
            make_folder(folder)
            if self._transport.is_root:
                sync(self._run / "history.jsonl")
            for name, arrays in files.items():
                for key, array in arrays.items():
                    if array.dtype.kind == "f" and not np.isfinite(array.sum()):
                        raise DivergedError(f"{key} of {name} is no longer finite")
                self._written[name] = {
                    "checksum": write_arrays(folder / name, arrays),
                    "shapes": {key: list(array.shape) for key, array in arrays.items()},
                }
        except Exception as error:  # whatever it is, all processes must learn of it
            self._failure = error

    @property
    def open(self) -> bool:
        """Whether a checkpoint is begun and not yet committed."""
        return self._thread is not None

    @property
    def writing(self) -> bool:
        """Whether this process still writes."""
        return self._thread is not None and self._thread.is_alive()

    def commit(self) -> None:
        """Wait until all processes have written their files, and make the checkpoint complete.

        Raises:
            DivergedError: In every process, if an array of any is not finite.
            OutputError: In every process, if any could not write.
        """
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        outcomes = self._transport.gather((self._failure, self._written))
        self._failure = None
        for failure, _ in outcomes:
            if failure is not None:
                raise failure
        files = {name: known for _, written in outcomes for name, known in written.items()}
        self._transport.at_root(lambda: self._complete(files))

    def _complete(self, files: dict[str, dict[str, Any]]) -> None:
        manifest = {"version": VERSION, **self._snapshot.about, "files": files}
        folder = self._folder / self._snapshot.name
        write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        if self._snapshot.model is not None:
            place = folder.relative_to(self._run)
            names = {
                f"{place}/{name}": known["checksum"]
                for name, known in sorted(files.items())
                if name.startswith("layer_")
            }
            write_manifest(self._run, self._snapshot.model, names)
        complete = sorted(path.parent for path in self._folder.glob("*/manifest.json"))
        for old in complete[: -self._keep]:
            # First it ceases to be complete, then it goes.
            (old / "manifest.json").unlink()
            shutil.rmtree(old, ignore_errors=True)
