"""Fetching the files of named data sets: over HTTPS, and with the checksum of their upstream.

A file is fetched under another name and gets its own once it is complete and the one expected, so
that a file that is there is a good one, however many processes fetch it.
"""

import contextlib
import hashlib
import os
import tarfile
import uuid
from pathlib import Path

from admm.datasets.files import Download, Source
from admm.errors import AdmmError, InputError, OutputError

# Where the size of a file is not known, it is refused beyond so many bytes.
_LARGEST = 2**30
_PIECE = 2**16
_SECONDS = 30  # without a byte


def download(name: str, source: Source, folder: Path) -> list[Path]:
    """Fetch the files of a data set into a folder; those that are there already stay.

    Args:
        name: Of the data set, for messages.
        source: Its files and where they come from.
        folder: Where to put them; made if it is not there.

    Returns:
        The files that were fetched.

    Raises:
        InputError: If the data set has to be fetched by hand, a file is not the one that is
            expected, or another file has its name.
        OutputError: If a file cannot be written.
        AdmmError: If the server cannot be reached or does not have the file.
    """
    if not source.downloads:
        raise InputError(f"{name} is not downloaded: {source.page}")
    fetched = []
    for each in source.downloads:
        path = folder / each.name
        if path.exists():
            _check(each, path, f"{path} is there; move it away to fetch it again")
        else:
            _fetch(each, path)
            fetched.append(path)
        if path.name.endswith(".tar.gz"):
            _unpack(path, source.files)
    return fetched


def is_upstream(each: Download, path: Path) -> bool:
    """Whether a file has size and checksum of its upstream.

    Example:
        >>> import hashlib, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a")
        >>> _ = path.write_bytes(b"hello")
        >>> git = "git:b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
        >>> is_upstream(Download("https://example.org/a", git), path)
        True
    """
    size = path.stat().st_size
    if each.size not in (None, size):
        return False
    kind, _, expected = each.checksum.partition(":")
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % size)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest() == expected


def _check(each: Download, path: Path, what: str) -> None:
    if not is_upstream(each, path):
        size = "" if each.size is None else f"{each.size:,} bytes with "
        raise InputError(
            f"{what}: expected {size}{each.checksum}, got another file of "
            f"{path.stat().st_size:,} bytes"
        )


def _fetch(each: Download, path: Path) -> None:
    import requests

    most = _LARGEST if each.size is None else each.size
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with requests.Session() as session, temporary.open("wb") as file:
            del session.adapters["http://"]  # a redirection there is an error
            # Encoded, the number of bytes would be another than that of the file.
            session.headers["Accept-Encoding"] = "identity"
            with session.get(each.url, stream=True, timeout=_SECONDS) as response:
                response.raise_for_status()
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
                    if file.tell() > most:
                        raise InputError(f"{each.url} has more than the {most:,} bytes expected")
        _check(each, temporary, f"{each.url} is not what it was")
        temporary.replace(path)
    except requests.RequestException as error:  # first: it is an OSError too
        raise AdmmError(
            f"cannot fetch {each.url} ({error}); fetch it by other means into {path.parent}"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unpack(archive: Path, names: tuple[str, ...]) -> None:
    """The named files of an archive that is known to be good, each complete or absent."""
    missing = [name for name in names if not (archive.parent / name).exists()]
    if not missing:
        return
    with tarfile.open(archive) as packed:
        for name in missing:
            content = packed.extractfile(name)
            assert content is not None  # a plain file in the upstream archive
            path = archive.parent / name
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
            temporary.write_bytes(content.read())
            temporary.replace(path)
