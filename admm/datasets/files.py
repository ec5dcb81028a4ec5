"""Where the files of a data set come from, and where they lie here."""

import functools
import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from admm.errors import MissingDataError, spelled
from admm.files import reading, user_cache


@dataclass(frozen=True)
class Download:
    """A file of the net, and how it is known again.

    Args:
        url: Its address, HTTPS.
        checksum: `sha256:` and the digest, or `git:` and the name git has for the content, which
            is a checksum of its size too.
        size: Bytes, if known.
    """

    url: str
    checksum: str
    size: int | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def downloads(folder: str, names: Iterable[str]) -> tuple[Download, ...]:
    """What is known of files of upstream, in `upstream.txt`.

    Args:
        folder: Of the net, with a slash at the end.
        names: Of the files.

    Example:
        >>> (mnist,) = downloads(
        ...     "https://storage.googleapis.com/cvdf-datasets/mnist/", ["t10k-labels-idx1-ubyte.gz"]
        ... )
        >>> mnist.size
        4542
    """
    return tuple(_known_downloads()[folder + name] for name in names)


@functools.cache
def _known_downloads() -> dict[str, Download]:
    lines = Path(__file__).with_name("upstream.txt").read_text().splitlines()
    entries = [line.split() for line in lines if not line.startswith("#")]
    return {
        url: Download(url, checksum, None if size == "?" else int(size))
        for url, size, checksum in entries
    }


def _anywhere(folders: tuple[str, ...]) -> bool:
    return True


@dataclass(frozen=True)
class Source:
    """Where a named data set comes from, and how its files are known.

    Args:
        files: Upstream names, with the folders that are part of them. A name that ends in `.gz`
            also stands for the unpacked file, one with `-idx` also for that with `.idx`.
        page: Where to get them, for messages.
        downloads: The files, or an archive of them, where they can be fetched.
        belongs: Tells from a file's folders, the data directory first, if it is one of this data
            set; for names that several share.
    """

    files: tuple[str, ...]
    page: str
    downloads: tuple[Download, ...] = ()
    belongs: Callable[[tuple[str, ...]], bool] = _anywhere


def data_folder(data_dir: str | Path | None = None) -> Path:
    """`data_dir` if given, else `$ADMM_DATA`, else the user's cache."""
    given = data_dir or os.environ.get("ADMM_DATA")
    if given:
        return Path(given)
    return user_cache()


def download_command(name: str, folder: Path) -> str:
    """What to type to get a data set into a data directory."""
    return f"admm datasets download {name} --data-dir {shlex.quote(str(folder))}"


def candidates(source: Source, folder: Path) -> list[dict[str, Path]]:
    """Path of each of a source's files in every folder below `folder` that has some of them.

    Raises:
        InputError: If the system refuses to say.
    """
    top = Path(os.path.abspath(folder))
    wanted = {spelling: file for file in source.files for spelling in _spellings(file)}
    depths = {file.count("/") + 1 for file in source.files}
    found: defaultdict[Path, dict[str, Path]] = defaultdict(dict)
    with reading(top):
        paths = sorted(top.rglob("*"))
    for path in paths:
        for depth in depths:
            file = wanted.get("/".join(path.parts[-depth:]))
            if file and source.belongs(path.relative_to(top.parent).parts[:-1]):
                with reading(path):
                    if path.is_file():
                        found[path.parents[depth - 1]][file] = path
    return list(found.values())


def _spellings(file: str) -> Iterator[str]:
    """The names of a file: gzipped or not, and `images.idx3` as some mirrors have `images-idx3`."""
    for spelling in (file, file.replace("-idx", ".idx")):
        yield from (spelling, spelling.removesuffix(".gz"))


def find_files(name: str, source: Source, folder: Path) -> dict[str, Path]:
    """Path of each of the `source`'s files, in any folder below `folder`.

    Args:
        name: Of the data set, for messages.
        source: The files to find, in one folder. Of several folders that have all of them the
            last in order counts.
        folder: Where to search.

    Raises:
        MissingDataError: If the folder does not exist, or none below it has all files.
    """
    page = source.page
    if source.downloads:
        page += f", or with: {download_command(name, folder)}"
    with reading(folder):
        there = folder.is_dir()
    if not there:
        what = "is no folder" if folder.exists() else "does not exist"
        raise MissingDataError(
            f"{name}: the data directory {folder} {what}; "
            f"pass {spelled('data_dir')} or set ADMM_DATA to a folder with the files from {page}"
        )
    found = candidates(source, folder)
    complete = [files for files in found if len(files) == len(source.files)]
    if complete:
        return complete[-1]
    missing = [file for file in source.files if not any(file in files for files in found)]
    if missing:
        raise MissingDataError(
            f"{name}: {', '.join(missing)} not found below {folder}; get it from {page}"
        )
    places = ", ".join(str(folder_of(files)) for files in found)
    raise MissingDataError(
        f"{name}: no folder below {folder} has all of {', '.join(source.files)}; they lie in "
        f"{places}: put them together"
    )


def folder_of(files: dict[str, Path]) -> Path:
    """The folder that upstream names of files are relative to."""
    name, path = next(iter(files.items()))
    return path.parents[name.count("/")]
