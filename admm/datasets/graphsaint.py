"""Node-classification graphs in the layout of GraphSAINT: Flickr.

The adjacency as CSR parts (`adj_full.npz`), the features as a dense array (`feats.npy`), the class
of every node (`class_map.json`) and the official split (`role.json`).

Source: github.com/GraphSAINT/GraphSAINT.
"""

import json
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from admm.datasets.bounded import parse_array, read_bytes
from admm.datasets.graph import Graph, Split, checked_graph
from admm.datasets.npz import open_archive, read_csr
from admm.datasets.sparse import float_type
from admm.errors import InputError

GRAPHSAINT_FILES = ("adj_full.npz", "feats.npy", "class_map.json", "role.json")

# Python takes much more for a number than the file: some 20 bytes for one.
_LARGEST = 2**26
_PARTS = ("tr", "va", "te")


def load_graphsaint(name: str, files: dict[str, Path]) -> Graph:
    """Read one graph of one class a node, with its official split.

    Args:
        name: For messages and summaries.
        files: Path of each of `GRAPHSAINT_FILES`.

    Raises:
        InputError: If a file is missing, damaged or unpacks to more than 1 GiB and 100 times its
            own size, or they do not fit together.
    """
    path = files["adj_full.npz"]
    try:
        with open_archive(path) as archive:
            adjacency = read_csr(name, archive)
        path = files["feats.npy"]
        features = parse_array(path.name, read_bytes(path))
        path = files["class_map.json"]
        classes = json.loads(read_bytes(path, _LARGEST))
        labels = np.array([classes[str(node)] for node in range(len(classes))])
        if labels.ndim != 1 or labels.dtype.kind != "i":
            raise InputError(
                f"{path}: expected one class a node, as an integer, got {labels.dtype} of shape "
                f"{labels.shape}"
            )
        path = files["role.json"]
        roles = json.loads(read_bytes(path, _LARGEST))
        split = Split(*(_nodes(roles[part]) for part in _PARTS))
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path} is not a readable file of GraphSAINT ({error!r})") from error
    if features.ndim != 2 or features.dtype.kind not in "biuf":
        raise InputError(
            f"{files['feats.npy']}: expected a row of numbers for each node, got shape "
            f"{features.shape} of {features.dtype}"
        )
    rows = sp.csr_array(features.astype(float_type(features.dtype)))
    return checked_graph(name, adjacency, rows, labels, split)


def _nodes(part: object) -> np.ndarray:
    nodes = np.array(part)
    if nodes.ndim != 1 or nodes.dtype.kind != "i":
        raise ValueError(f"expected node numbers, got {nodes.dtype} of shape {nodes.shape}")
    return nodes.astype(np.int64)
