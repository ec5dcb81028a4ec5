"""A trained network on disk: one `.npz` a layer, written by its owner, and a manifest.

    RUN/model.json              manifest: options, data facts, files with checksums
    RUN/models/0010-0040/       layers of the network of 10 layers, epoch 40
        layer_001.npz …         arrays of a layer by name, W (n_in, n_out) and b (n_out,) of a
                                dense one; no pickles

The manifest is written last and atomically, so that it always names a complete network.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from admm.errors import InputError
from admm.parallel.transport import Transport

_VERSION = 1


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete or as before."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
    """
    folder = run / "models" / f"{about['depth']:04d}-{about['epoch']:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for number, arrays in layers.items():
        buffer = io.BytesIO()
        named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez(buffer, **named)
        path = folder / f"layer_{number:03d}.npz"
        write_atomically(path, buffer.getvalue())
        written[str(path.relative_to(run))] = hashlib.sha256(buffer.getvalue()).hexdigest()
    files = dict(sorted(entry for part in transport.gather(written) for entry in part.items()))
    if transport.is_root:
        manifest = {"version": _VERSION, **about, "files": files}
        write_atomically(run / "model.json", json.dumps(manifest, indent=1).encode())
        for old in folder.parent.iterdir():
            if old != folder:
                shutil.rmtree(old)


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        InputError: If there is none, or it is damaged or of another version.
    """
    path = run / "model.json"
    if not path.is_file():
        raise InputError(
            f"{run} holds no trained network (no {path.name}); pass the --out of a run"
        )
    try:
        manifest = json.loads(path.read_text())
        version = manifest["version"]
        if version == _VERSION:
            [manifest[name] for name in ("depth", "epoch", "options", "dataset", "files")]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged ({error!r})") from error
    if version != _VERSION:
        raise InputError(f"{path} has format version {version}; this release reads {_VERSION}")
    return manifest


def read_layer(run: Path, manifest: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The arrays of one layer of a saved network, by name.

    Raises:
        InputError: If its file is missing or not what the manifest says.
    """
    suffix = f"/layer_{number:03d}.npz"
    name = next((name for name in manifest["files"] if name.endswith(suffix)), suffix[1:])
    path = run / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != manifest["files"].get(name):
        raise InputError(f"{path} does not match its checksum in model.json; it is damaged")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
