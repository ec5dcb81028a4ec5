"""Checkpoints: all that a run needs to go on as if it had never stopped.

    RUN/checkpoints/0002-000050/          stage 2, the third, after epoch 50
        unit_001.npz …                    state of a layer (of a subnetwork), by its owner
        layer_001.npz …                   its parameters in the best network so far
        manifest.json                     everything else, and the checksums of the files

A checkpoint exists once it has its manifest, which the root writes last; `model.json` then names
its best network, for `evaluate` and `predict`. Units go by number, not by worker, so that any
number of workers can take them up.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from admm.errors import AdmmError, InputError, spelled
from admm.files import PART, make_folder, read_arrays, read_json, sync, write_atomically, writing
from admm.run.method import Arrays
from admm.run.saved import write_manifest, write_units

if TYPE_CHECKING:
    from admm.comm import Transport

VERSION = 1
_FOLDER = "checkpoints"

_ENTRIES = (
    "stage",
    "epoch",
    "options",
    "dataset",
    "files",
    "history",
    "counts",
    "retreats",
    "model",
    "stages",
    "spent",
)


class Snapshot(NamedTuple):
    """The state of a run between two epochs, as far as this process has it."""

    name: str  # stage and epoch: sorts in the order of time, by number
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

    def name_best(self) -> None:
        """Make the best network so far the one that `model.json` names, if there is one.

        Raises:
            OutputError: If the system refuses to write.
        """
        run = self.folder.parent.parent
        about = self.manifest["model"]
        if about is None:
            with writing(run):
                (run / "model.json").unlink(missing_ok=True)
            return
        place = self.folder.relative_to(run)
        names = {
            f"{place}/{name}": known["checksum"]
            for name, known in sorted(self.manifest["files"].items())
            if name.startswith("layer_")
        }
        write_manifest(run, about, names)

    def compared(
        self, state: Mapping[int, Arrays], optional: Sequence[str]
    ) -> list[tuple[int, str | None]]:
        """The units of a state, and how each differs from its like here, optional arrays apart."""
        found = []
        for number, arrays in state.items():
            file = self.manifest["files"].get(f"unit_{number:03d}.npz", {"shapes": {}})
            here = {name: shape for name, shape in file["shapes"].items() if name not in optional}
            now = {name: list(a.shape) for name, a in arrays.items() if name not in optional}
            differs = f"has {here} in unit {number}; this network has {now}"
            found.append((number, None if here == now else differs))
        return found

    def check_units(self, found: Sequence[tuple[int, str | None]]) -> None:
        """Whether the units of all processes, `compared`, are those of the checkpoint.

        Raises:
            InputError: In every process, if not.
        """
        files = (re.fullmatch(r"unit_(\d+)\.npz", name) for name in self.manifest["files"])
        here, now = {int(file[1]) for file in files if file}, {number for number, _ in found}
        differs = next((each for _, each in found if each is not None), None)
        if differs is None and here != now:
            differs = f"has units {sorted(here)}; this run has {sorted(now)}: start as many workers"
        if differs is not None:
            raise InputError(f"{self.folder} {differs}")

    def _read(self, name: str) -> Arrays:
        known = self.manifest["files"].get(name, {})
        return read_arrays(self.folder / name, known.get("checksum"))


def newest_checkpoint(run: Path) -> Checkpoint:
    """The newest complete checkpoint of a run.

    Raises:
        InputError: If there is none, or its manifest is damaged or of another version.
    """
    found = complete_checkpoints(run)
    if not found:
        raise InputError(
            f"{run} holds no complete checkpoint (no checkpoints/*/manifest.json); pass the "
            f"{spelled('out')} of a run that has written one, or train anew"
        )
    return Checkpoint(found[-1], read_json(found[-1] / "manifest.json", VERSION, _ENTRIES))


def complete_checkpoints(run: Path) -> list[Path]:
    """The folders of complete checkpoints, in the order of time; what else lies there is not ours.

    By number: after 999,999 epochs a name is longer.
    """
    folders = [path.parent for path in (run / _FOLDER).glob("*/manifest.json")]
    ours = [folder for folder in folders if PART.fullmatch(folder.name)]
    return sorted(ours, key=lambda folder: [*map(int, folder.name.split("-"))])


def clear_run(run: Path) -> None:
    """Remove what an earlier run has left in a folder, and nothing else.

    Raises:
        OutputError: If the system refuses.
    """
    with writing(run):
        # First it ceases to be a run.
        for name in ("summary.json", "model.json"):
            (run / name).unlink(missing_ok=True)
        for folder in (run / _FOLDER, run / "models"):
            if folder.is_dir():
                for part in folder.iterdir():
                    if part.is_dir() and PART.fullmatch(part.name):
                        shutil.rmtree(part)
                if not any(folder.iterdir()):
                    folder.rmdir()


def save_checkpoint(run: Path, snapshot: Snapshot, keep: int, transport: "Transport") -> None:
    """Write a checkpoint; all processes call it, and it is complete when it returns.

    Args:
        run: Folder of the run.
        snapshot: The state, as far as each process has it.
        keep: How many checkpoints to keep; the files of others are removed.
        transport: To collect checksums at the root.

    Raises:
        DivergedError: In every process, if an array of any is not finite.
        OutputError: In every process, if any cannot write.
    """
    transport.at_root(lambda: _clear_incomplete(run))
    try:
        written = transport.agreed(lambda: _write_files(run, snapshot, transport.is_root))
        every = transport.gather(written)
        files = {name: known for part in every for name, known in part.items()}
        transport.at_root(lambda: _complete(run, snapshot, files, keep))
    except AdmmError:
        transport.at_root(lambda: _clear_incomplete(run))  # another try needs the room
        raise


def _write_files(run: Path, snapshot: Snapshot, is_root: bool) -> dict[str, dict[str, Any]]:
    """Write the files of this process; returns what the manifest says of them."""
    folder = run / _FOLDER / snapshot.name
    make_folder(folder)
    if is_root:
        sync(run / "history.jsonl")
    return {
        **write_units(folder, "unit", snapshot.units),
        **write_units(folder, "layer", snapshot.best),
    }


def _complete(run: Path, snapshot: Snapshot, files: dict[str, Any], keep: int) -> None:
    """Make the checkpoint one, and remove what no checkpoint kept has."""
    manifest = {"version": VERSION, **snapshot.about, "model": snapshot.model, "files": files}
    folder = run / _FOLDER / snapshot.name
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
    newest = Checkpoint(folder, manifest)
    newest.name_best()
    kept = complete_checkpoints(run)[-keep:]
    for other in (run / _FOLDER).iterdir():
        if PART.fullmatch(other.name) and other not in kept:
            # First it ceases to be complete, then it goes.
            with writing(other):
                (other / "manifest.json").unlink(missing_ok=True)
            shutil.rmtree(other, ignore_errors=True)
    for path in folder.glob("*.tmp-*"):
        path.unlink(missing_ok=True)


def _clear_incomplete(run: Path) -> None:
    """Remove what a write that failed, or was killed, has left."""
    for folder in (run / _FOLDER).glob("*"):
        if PART.fullmatch(folder.name) and not (folder / "manifest.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are left in it
        (run / _FOLDER).rmdir()
