"""Node-classification graphs in the layout of GraphSAINT: Flickr.

The adjacency as CSR parts (`adj_full.npz`), the features as a dense array (`feats.npy`), the class
of every node (`class_map.json`) and the official split (`role.json`).

Source: github.com/GraphSAINT/GraphSAINT.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from admm.datasets.archive import open_archive, read_csr
from admm.datasets.bounded import parse_array, read_bytes
from admm.datasets.graph import Contents
from admm.datasets.sparse import float_type
from admm.datasets.splits import Split, check_number
from admm.errors import InputError

GRAPHSAINT_FILES = ("adj_full.npz", "feats.npy", "class_map.json", "role.json")

# Python takes up to 30 times as much memory for it.
_LARGEST = 2**26
_PARTS = ("tr", "va", "te")


def load_graphsaint(name: str, files: dict[str, Path], number: int = 0) -> Contents:
    """Read one graph of one class a node, with its official split.

    Args:
        name: For messages.
        files: Path of each of `GRAPHSAINT_FILES`; without `feats.npy` there are no features.
        number: Of the split, of which there is one.

    Raises:
        InputError: If a file is missing, damaged or unpacks to more than `bound` allows, they do
            not fit together, or there is no split of this number.
    """
    check_number(name, number, 1)
    path = files["adj_full.npz"]
    try:
        with open_archive(path) as archive:
            adjacency = read_csr(name, archive)
        nodes = adjacency.shape[0]
        features = None
        if "feats.npy" in files:
            path = files["feats.npy"]
            features = _table(path, parse_array(path.name, read_bytes(path)), nodes)
        path = files["class_map.json"]
        classes = json.loads(read_bytes(path, _LARGEST))
        keys = [str(node) for node in range(nodes)]
        if not isinstance(classes, dict) or classes.keys() != set(keys):
            raise InputError(f"{path}: expected an object with the keys 0…{len(keys) - 1}")
        labels = _labels([classes[key] for key in keys])
        path = files["role.json"]
        roles = json.loads(read_bytes(path, _LARGEST))
        if not isinstance(roles, dict) or not roles.keys() >= set(_PARTS):
            raise InputError(f"{path}: expected an object with the keys {', '.join(_PARTS)}")
        split = Split(*(_integers(roles[part]) for part in _PARTS))
        others = ", ".join(sorted(f"{part} of role.json" for part in roles.keys() - set(_PARTS)))
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path} is not a readable file of GraphSAINT ({error!r})") from error
    return Contents(adjacency, features, labels, split, "upstream's, role.json", {"unused": others})


def _table(path: Path, features: np.ndarray, nodes: int) -> np.ndarray:
    table = features.ndim == 2 and features.dtype.kind in "biuf" and features.shape[1] > 0
    if not table or features.shape[0] != nodes:
        raise InputError(
            f"{path}: expected a row of numbers for each of {nodes} nodes, got shape "
            f"{features.shape} of {features.dtype}"
        )
    return features.astype(float_type(features.dtype))


def _labels(values: list[Any]) -> np.ndarray:
    """Labels for `read_labels`: integers, None where a node has none; or rows of integers."""
    widths = {len(value) if isinstance(value, list) else None for value in values}
    if len(widths) == 1 and None not in widths:
        return np.stack([_integers(value) for value in values])
    _integers([value for value in values if value is not None])
    return np.array(values, object)


def _integers(values: Any) -> np.ndarray:
    """An array of a list that has nothing else: NumPy would make room for anything."""
    wrong = [value for value in values if type(value) is not int]
    if wrong or not isinstance(values, list):
        got = f"{wrong[0]!r:.30}" if wrong else f"{type(values).__name__}"
        raise ValueError(f"expected a list of integers, got {got}")
    return np.array(values, np.int64)
