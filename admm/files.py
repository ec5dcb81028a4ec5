"""Arrays on disk: `.npz` files without pickles, complete or absent, known by their checksum."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from admm.errors import AdmmError, InputError, OutputError, spelled

PART = re.compile(r"\d{4,}-\d{4,}")  # the folder of a checkpoint, and of a model


@contextlib.contextmanager
def _named(doing: str, kind: type[AdmmError], path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind(f"cannot {doing} {path} ({error.strerror})") from error


# Contexts of a path: an error of the system becomes one that says what cannot be read or written.
reading = partial(_named, "read", InputError)
writing = partial(_named, "write", OutputError)


def is_path(dataset: str) -> bool:
    """Whether a data set is named by the place of its file or folder, not by a known name.

    Example:
        >>> is_path("cora"), is_path("cora.npz"), is_path("./cora")
        (False, True, True)
    """
    return dataset.endswith(".npz") or os.sep in dataset


def to_path(value: Any) -> Path:
    """A path, of text or a path.

    Raises:
        TypeError: If it is neither.
        ValueError: If it is empty, as of a variable that is not set, and would be this folder.

    Example:
        >>> to_path("")
        Traceback (most recent call last):
            ...
        ValueError: it is empty; this folder is .
    """
    text = os.fspath(value)
    if text == "":
        raise ValueError("it is empty; this folder is .")
    if isinstance(text, str) and "\0" in text:
        raise ValueError("it has a null character")
    return Path(text)


def absolute(path: str | Path) -> Path:
    """A path that is the same from everywhere.

    Raises:
        InputError: If it begins where nothing is any more.
    """
    try:
        return Path(path).absolute()
    except FileNotFoundError as error:
        raise InputError("the working directory has been removed; go on in another") from error


def user_cache() -> Path:
    """Where files of this user go that can be made or fetched again: a folder of our own.

    Raises:
        InputError: If the user has no home.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise InputError(
            "this user has no home folder, where the cache would be: set HOME or XDG_CACHE_HOME, "
            f"or, for data sets, {spelled('data_dir')} or ADMM_DATA"
        ) from error
    return Path(home, "layerwise-admm")


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there.

    Raises:
        OutputError: If the system refuses.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name at the end of the block, complete and on the disk, or never.

    Raises:
        OutputError: If the system refuses.
    """
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    try:
        with writing(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        sync(path.parent)  # the new name too must outlive a power cut
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either complete or as before.

    Raises:
        OutputError: If the system refuses.
    """
    with new_file(path) as file:
        file.write(content)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write arrays by name, atomically; returns the checksum that `read_arrays` wants.

    Raises:
        OutputError: If the system refuses.
    """

    with new_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # it may have options some day
    with writing(path):
        return _checksum(path)


def write_table(
    path: Path, probabilities: np.ndarray, class_names: Sequence[bool | int | str] = ()
) -> None:
    """Write classes and probabilities of all rows, as `.npz` or, by its name, as CSV.

    Args:
        path: Of the file.
        probabilities: Shape (rows, C).
        class_names: What the classes are called where that is not 0…C−1: in the column `class` and
            the head of a CSV file, as `class_names` in an archive.

    Raises:
        OutputError: If the system refuses.
    """
    classes = probabilities.argmax(axis=1)
    if path.suffix == ".npz":
        names = {"class_names": np.array(class_names)} if class_names else {}
        write_arrays(path, {"classes": classes, "probabilities": probabilities, **names})
        return
    called = list(map(str, class_names or range(probabilities.shape[1])))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", "class", *(f"p{name}" for name in called)])
    for row, (label, values) in enumerate(zip(classes, probabilities, strict=True)):
        table.writerow([row, called[label], *(f"{value:.6g}" for value in values)])
    write_atomically(path, text.getvalue().encode())


def write_outputs(path: Path, outputs: np.ndarray) -> None:
    """Write numbers of all rows that are no classes, as `.npz` or, by its name, as CSV.

    Args:
        path: Of the file.
        outputs: Shape (rows, outputs).

    Raises:
        OutputError: If the system refuses.
    """
    if path.suffix == ".npz":
        write_arrays(path, {"outputs": outputs})
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", *(f"y{number}" for number in range(outputs.shape[1]))])
    for row, values in enumerate(outputs):
        table.writerow([row, *(f"{value:.6g}" for value in values)])
    write_atomically(path, text.getvalue().encode())


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk.

    Raises:
        OutputError: If the system refuses.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _checksum(path: Path) -> str:
    """SHA-256 of names, sizes and CRC-32s of the arrays, as the archive lists them.

    The archive has computed these while it was written, and checks each when it is read: no other
    pass over the arrays is needed to know them again.
    """
    with zipfile.ZipFile(path) as archive:
        members = sorted((m.filename, m.file_size, m.CRC) for m in archive.infolist())
    return hashlib.sha256(repr(members).encode()).hexdigest()


def read_arrays(path: Path, checksum: str | None) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Raises:
        InputError: If the file is missing, or not the one with this checksum.
    """
    try:
        if _checksum(path) != checksum:
            raise ValueError("its arrays are others")
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from error
    except Exception as error:  # a damaged archive may raise anything
        raise InputError(
            f"{path} does not match its checksum in the manifest; it is damaged ({error})"
        ) from error


def read_json(path: Path, version: int, names: tuple[str, ...]) -> dict[str, Any]:
    """A manifest of this version, with at least these entries.

    Raises:
        InputError: If it is damaged or of another version.
    """
    try:
        manifest = json.loads(path.read_text())
        found = manifest["version"]
        if found == version:
            [manifest[name] for name in names]
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error!r})") from error
    if found != version:
        raise InputError(f"{path} has format version {found}; this release reads {version}")
    return manifest
