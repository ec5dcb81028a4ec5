"""Graph data sets by name or path.

Files are looked for by their upstream names, in any folder below the data directory.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from admm.datasets.digits import load_digits
from admm.datasets.graph import Graph, Split, checked_graph, random_split
from admm.datasets.npz import load_npz
from admm.datasets.planetoid import load_planetoid, planetoid_files
from admm.errors import InputError

__all__ = ["DATASETS", "Graph", "Split", "checked_graph", "load", "random_split"]


@dataclass(frozen=True)
class Source:
    """Where a named data set comes from."""

    files: tuple[str, ...]
    page: str


_PLANETOID = "github.com/kimiyoung/planetoid, folder data"
_GNN_BENCHMARK = "github.com/shchur/gnn-benchmark, folder data/npz"

DATASETS: dict[str, Source] = {
    "digits": Source((), "embedded, from scikit-learn"),
    **{
        name: Source(tuple(planetoid_files(name)), _PLANETOID)
        for name in ("cora", "citeseer", "pubmed")
    },
    "amazon-photo": Source(("amazon_electronics_photo.npz",), _GNN_BENCHMARK),
    "amazon-computers": Source(("amazon_electronics_computers.npz",), _GNN_BENCHMARK),
    "coauthor-cs": Source(("ms_academic_cs.npz",), _GNN_BENCHMARK),
    "coauthor-physics": Source(("ms_academic_phy.npz",), _GNN_BENCHMARK),
}
"""Data sets that `load` knows by name.

| name | nodes | directed edges | features | classes |
|---|---|---|---|---|
| digits | 1,797 | 24,678 | 64 | 10 |
| cora | 2,708 | 10,556 | 1,433 | 7 |
| citeseer | 3,327 | 9,104 | 3,703 | 6 |
| amazon-photo | 7,650 | 238,162 | 745 | 8 |
| coauthor-cs | 18,333 | 163,788 | 6,805 | 15 |
"""


def load(name: str, data_dir: str | Path | None = None, split_seed: int = 100) -> Graph:
    """Load a data set.

    Args:
        name: A key of `DATASETS`, or the path of an `.npz` file in the gnn-benchmark layout.
        data_dir: Folder that is searched; `$ADMM_DATA` by default, else the user's cache.
        split_seed: Seed of the random split of data sets that come without one.

    Raises:
        InputError: If the name is unknown, a file is missing, or its contents are invalid.

    Example:
        >>> load("digits").classes
        10
    """
    if name.endswith(".npz"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"no such file: {path}")
        return load_npz(path.stem, path, split_seed)
    if name not in DATASETS:
        raise InputError(
            f"unknown data set {name!r}; expected one of {', '.join(DATASETS)}, or a .npz file"
        )
    if name == "digits":
        return load_digits(split_seed)
    source = DATASETS[name]
    files = _find(name, source, Path(data_dir or os.environ.get("ADMM_DATA") or _cache()))
    if name in ("cora", "citeseer", "pubmed"):
        return load_planetoid(name, files)
    return load_npz(name, files[source.files[0]], split_seed)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "layerwise-admm"


def _find(name: str, source: Source, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(
            f"{name}: the data directory {folder} does not exist; "
            f"pass --data-dir or set ADMM_DATA to a folder with the files from {source.page}"
        )
    found = {path.name: path for path in sorted(folder.rglob("*")) if path.name in source.files}
    missing = [file for file in source.files if file not in found]
    if missing:
        raise InputError(
            f"{name}: {', '.join(missing)} not found below {folder}; get it from {source.page}"
        )
    return found
