"""Node-classification graphs in the CSV layout of the Open Graph Benchmark: ogbn-arxiv.

Tables without a header, gzipped: `edge` (two nodes a row), `node-feat` and `node-label` (a row for
each node, in order), and the nodes of each part of the official split.

Source: ogb.stanford.edu, the folder that its downloads unpack to.
"""

import io
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from admm.datasets.bounded import read_bytes
from admm.datasets.graph import Graph, Split, checked_graph
from admm.errors import InputError

_PARTS = ("train", "valid", "test")
_LONGEST = 2**20


def ogb_files(split: str) -> tuple[str, ...]:
    """Names of the upstream files of one data set, by the name of its official split."""
    tables = (f"raw/{table}.csv.gz" for table in ("edge", "node-feat", "node-label"))
    return (*tables, *(f"split/{split}/{part}.csv.gz" for part in _PARTS))


def load_ogb(name: str, split: str, files: dict[str, Path]) -> Graph:
    """Read one graph, with its official split.

    Args:
        name: For messages and summaries.
        split: Name of its official split.
        files: Path of each of `ogb_files(split)`.

    Raises:
        InputError: If a file is missing, damaged, unpacks to more than `bound` allows or has a
            line above 1 MiB, or the tables do not fit together.
    """
    edge_file, feature_file, label_file, *split_files = (files[file] for file in ogb_files(split))
    features = _read_table(feature_file, np.float32)
    labels = _read_table(label_file, np.int64, columns=1)[:, 0]
    edges = _read_table(edge_file, np.int64, columns=2)
    parts = (_read_table(path, np.int64, columns=1)[:, 0] for path in split_files)
    nodes = len(features)
    if edges.min() < 0 or edges.max() >= nodes:
        raise InputError(
            f"{edge_file}: expected nodes 0…{nodes - 1}, as many as {feature_file} has rows, got "
            f"{edges.min()}…{edges.max()}"
        )
    adjacency = sp.coo_array((np.ones(len(edges), np.float32), edges.T), shape=(nodes, nodes))
    return checked_graph(name, adjacency, sp.csr_array(features), labels, Split(*parts))


def _read_table(path: Path, dtype: type, columns: int | None = None) -> np.ndarray:
    try:
        content = io.BytesIO(read_bytes(path))
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
