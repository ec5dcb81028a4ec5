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
from typing import Any

import numpy as np

from admm.datasets.files import reading
from admm.errors import InputError
from admm.parallel.transport import Transport
from admm.training.files import (
    PART,
    make_folder,
    read_arrays,
    read_json,
    write_arrays,
    write_atomically,
)

_VERSION = 1


def save_model(
    run: Path,
    layers: Mapping[int, Mapping[str, Any]],
    about: Mapping[str, Any],
    transport: Transport,
) -> None:
    """Save the network that the processes hold together.

    Args:
        run: Folder of the run, the same for every process.
        layers: The layers of this process, by number: their arrays by name.
        about: Manifest entries; `depth` and `epoch` name the folder.
        transport: To collect the checksums at the root.

    Raises:
        OutputError: If the system refuses to write.
    """
    folder = run / "models" / f"{about['depth']:04d}-{about['epoch']:04d}"
    make_folder(folder)
    written = {}
    for number, arrays in layers.items():
        path = folder / f"layer_{number:03d}.npz"
        plain = {name: np.asarray(array) for name, array in arrays.items()}
        written[str(path.relative_to(run))] = write_arrays(path, plain)
    files = dict(sorted(entry for part in transport.gather(written) for entry in part.items()))
    if transport.is_root:
        write_manifest(run, about, files)
        for old in folder.parent.iterdir():
            if old != folder and PART.fullmatch(old.name):
                shutil.rmtree(old)


def write_manifest(run: Path, about: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Make these files, with their checksums, the network of a run.

    Raises:
        OutputError: If the system refuses to write.
    """
    manifest = {"version": _VERSION, **about, "files": dict(files)}
    write_atomically(run / "model.json", json.dumps(manifest, indent=1).encode())


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        InputError: If there is none, or it is damaged or of another version.
    """
    path = run / "model.json"
    with reading(path):
        there = path.is_file()
    if not there:
        raise InputError(
            f"{run} holds no trained network (no {path.name}); pass the --out of a run"
        )
    return read_json(path, _VERSION, ("depth", "epoch", "options", "dataset", "files"))


def read_layer(run: Path, manifest: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The arrays of one layer of a saved network, by name.

    Raises:
        InputError: If its file is missing or not what the manifest says.
    """
    suffix = f"/layer_{number:03d}.npz"
    name = next((name for name in manifest["files"] if name.endswith(suffix)), suffix[1:])
    return read_arrays(run / name, manifest["files"].get(name))
