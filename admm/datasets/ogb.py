"""Node-classification graphs in the CSV layout of the Open Graph Benchmark: ogbn-arxiv.

Tables without a header, gzipped or not: `raw/edge` (two nodes a row), `raw/node-feat` and
`raw/node-label` (a row for each node, in order; blank or NaN where it has no label), and in
`split/NAME/` the nodes of each part.

Source: ogb.stanford.edu, the folder that its downloads unpack to.
"""

import io
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from admm.datasets.bounded import read_bytes
from admm.datasets.graph import Contents
from admm.datasets.splits import Split, check_number
from admm.errors import InputError
from admm.files import reading

_PARTS = ("train", "valid", "test")
# Those that are read, and two that only count them.
_KNOWN_TABLES = {"edge", "node-feat", "node-label", "num-node-list", "num-edge-list"}
_LONGEST = 2**20


def ogb_files(split: str) -> tuple[str, ...]:
    """Names of the upstream files of one data set, by the name of its official split."""
    tables = (f"raw/{table}.csv.gz" for table in ("edge", "node-feat", "node-label"))
    return (*tables, *(f"split/{split}/{part}.csv.gz" for part in _PARTS))


def load_ogb(
    name: str, folder: Path, number: int = 0, splits: Sequence[str] | None = None
) -> Contents:
    """Read one graph of one class a node.

    Args:
        name: For messages.
        folder: Has `raw/`, and maybe `split/`. Without `raw/node-feat` there are no features.
        number: Of the split.
        splits: Their names, by default those of the folders in `split/`, sorted.

    Raises:
        InputError: If a file is missing, damaged, unpacks to more than `bound` allows or has a
            line above 1 MiB, the tables do not fit together, or there is no split of this number.
    """
    feature_file = _file(folder, "raw/node-feat")
    label_file, edge_file = (_needed(folder, f"raw/{part}") for part in ("node-label", "edge"))
    features = None if feature_file is None else _read_table(feature_file, np.float32)
    labels = _read_table(label_file, np.float64, columns=1, blank=b"nan")[:, 0]
    edges = _read_table(edge_file, np.int64, columns=2)
    nodes = len(labels) if features is None else len(features)
    if edges.min() < 0 or edges.max() >= nodes:
        raise InputError(
            f"{edge_file}: expected nodes 0…{nodes - 1}, as many as {feature_file or label_file} "
            f"has rows, got {edges.min()}…{edges.max()}"
        )
    with reading(folder):
        tables = sorted(path.name for path in folder.glob("raw/*.csv*"))
    unused = [table for table in tables if table.partition(".")[0] not in _KNOWN_TABLES]
    said = {"unused": ", ".join(unused)}
    adjacency = sp.coo_array((np.ones(len(edges), np.float32), edges.T), shape=(nodes, nodes))
    if splits is None:
        with reading(folder):
            folders = sorted(folder.glob("split/*/"))
        # Those without tables count: a split that cannot be read is not replaced by a random one.
        splits = [each.name for each in folders if not each.name.startswith(".")]
    check_number(name, number, len(splits))
    if not splits:
        return Contents(adjacency, features, labels, provenance=said)
    place = f"split/{splits[number]}"
    files = (_needed(folder, f"{place}/{part}") for part in _PARTS)
    split = Split(*(_read_table(path, np.int64, columns=1)[:, 0] for path in files))
    several = f" (number {number} of 0…{len(splits) - 1})" if len(splits) > 1 else ""
    return Contents(adjacency, features, labels, split, f"upstream's, {place}{several}", said)


def _file(folder: Path, name: str) -> Path | None:
    """The table of this name, gzipped or not."""
    for path in (folder / f"{name}.csv.gz", folder / f"{name}.csv"):
        with reading(path):
            if path.is_file():
                return path
    return None


def _needed(folder: Path, name: str) -> Path:
    path = _file(folder, name)
    if path is None:
        raise InputError(f"no {name}.csv.gz or {name}.csv in {folder}; put it there")
    return path


def _read_table(
    path: Path, dtype: type, columns: int | None = None, blank: bytes | None = None
) -> np.ndarray:
    """The numbers of a table; `blank` stands for those of a line that has none."""
    try:
        content = io.BytesIO(read_bytes(path))
        if blank is not None:  # pandas writes "" where a table of one column has none
            lines = content.getvalue().rstrip().splitlines()
            filled = [blank if line.strip() in (b"", b'""') else line for line in lines]
            content = io.BytesIO(b"\n".join(filled))
        # Whole lines are taken apart, at many times their size.
        if any(len(line) > _LONGEST for line in iter(partial(content.readline, _LONGEST + 1), b"")):
            raise ValueError(f"a line is longer than {_LONGEST:,} bytes")
        content.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an empty file is a warning to NumPy
            table: np.ndarray = np.loadtxt(
                content,
                dtype,
                comments=None,
                delimiter=",",
                ndmin=2,
                encoding="ascii",
            )
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path} is not a readable table of numbers ({error!r})") from error
    if columns not in (None, table.shape[1]):
        raise InputError(f"{path}: expected {columns} columns, got {table.shape[1]}")
    return table
