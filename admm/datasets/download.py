"""Fetching the files of named data sets: over HTTPS, and with the checksum of their upstream.

A file is fetched under another name and gets its own once it is complete and the one expected, so
that a file that is there is a good one, however many processes fetch it.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

from admm.datasets.files import Download, Source
from admm.errors import AdmmError, InputError
from admm.files import make_folder, new_file, reading

# Where the size of a file is not known, it is refused beyond so many bytes.
_LARGEST = 2**30
_PIECE = 2**16
_SECONDS = 30.0  # without a byte
_REDIRECTIONS = 5


def download(name: str, source: Source, folder: Path) -> Iterator[str]:
    """Fetch the files of a data set into a folder; those that are there already stay.

    Args:
        name: Of the data set, for messages.
        source: Its files and where they come from.
        folder: Where to put them; made if it is not there.

    Yields:
        A line on each file, before it is fetched.

    Raises:
        InputError: If the data set has to be fetched by hand, a file is not the one that is
            expected, or another file has its name.
        OutputError: If a file cannot be written.
        AdmmError: If the server cannot be reached, is silent for 30 s or does not have the file.
    """
    if not source.downloads:
        raise InputError(f"{name} is not downloaded: {source.page}")
    for each in source.downloads:
        path = folder / each.name
        with reading(path):
            there = path.exists()
        if not there:
            size = "" if each.size is None else f", {each.size:,} bytes"
            yield f"fetching {each.url}{size}"
            _fetch(each, path)
        elif not is_upstream(each, path):
            raise InputError(f"{path} is there, but is not {_expected(each)}; move it away")
        if path.name.endswith(".tar.gz"):
            _unpack(path, source.files)


def is_upstream(each: Download, path: Path) -> bool:
    """Whether a file has size and checksum of its upstream.

    Raises:
        InputError: If it cannot be read.

    Example:
        >>> import hashlib, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a")
        >>> _ = path.write_bytes(b"hello")
        >>> git = "git:b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
        >>> is_upstream(Download("https://example.org/a", git), path)
        True
    """
    with reading(path):
        size = path.stat().st_size
        if each.size not in (None, size):
            return False
        kind, _, expected = each.checksum.partition(":")
        digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % size)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest() == expected


def _expected(each: Download) -> str:
    size = "" if each.size is None else f"of {each.size:,} bytes, "
    return f"the file {size}{each.checksum}"


def _fetch(each: Download, path: Path) -> None:
    most = _LARGEST if each.size is None else each.size
    make_folder(path.parent)
    with new_file(path) as file:
        for piece in _pieces(each, path):
            file.write(piece)
            if file.tell() > most:
                raise InputError(f"{each.url} has more than the {most:,} bytes expected")
        file.flush()
        if not is_upstream(each, Path(file.name)):
            raise InputError(
                f"{each.url} is not {_expected(each)}, but another one of {file.tell():,} bytes; "
                "it is not kept"
            )


def _pieces(each: Download, path: Path) -> Iterator[bytes]:
    """The bytes of a file of the net.

    Redirections are followed here: requests would read what a server sends with one, however long.
    """
    import requests
    import urllib3

    url = each.url
    try:
        with requests.Session() as session:
            # Encoded, the number of bytes would be another than that of the file.
            session.headers["Accept-Encoding"] = "identity"
            for _ in range(_REDIRECTIONS + 1):
                if not url.startswith("https://"):
                    raise InputError(f"{each.url} leads to {url}; only HTTPS is fetched")
                request = session.prepare_request(requests.Request("GET", url))
                settings = session.merge_environment_settings(url, {}, True, None, None)
                adapter = session.get_adapter(url)
                with adapter.send(request, timeout=_SECONDS, **settings) as response:
                    if not response.is_redirect:
                        response.raise_for_status()
                        # Not `stream`, which takes chunks as large as the server says.
                        while piece := response.raw.read1(_PIECE, decode_content=False):
                            yield piece
                        return
                    url = urljoin(url, response.headers["location"])
            raise AdmmError(f"{each.url} leads to more than {_REDIRECTIONS} other addresses")
    except AdmmError:
        raise
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        raise AdmmError(
            f"cannot fetch {each.url} ({error}); fetch it by other means into {path.parent}"
        ) from error


def _unpack(archive: Path, names: tuple[str, ...]) -> None:
    """The named files of an archive that is known to be good, those that are not there."""
    missing = [name for name in names if not (archive.parent / name).exists()]
    if not missing:
        return
    with tarfile.open(archive) as packed:
        for name in missing:
            content = packed.extractfile(name)
            assert content is not None  # a plain file in the upstream archive
            make_folder((archive.parent / name).parent)
            with new_file(archive.parent / name) as file:
                file.write(content.read())
