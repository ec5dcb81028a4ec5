"""The data of a network of any modules, loaded at the root."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from admm import datasets
from admm.errors import InputError, spelled
from admm.memory import check_memory, memory_told
from admm.methods.labelled import Labelled, description
from admm.methods.subnetworks.options import SubnetworkOptions


@dataclass(frozen=True)
class RowFacts(Labelled):
    """What every process knows of images, or of other rows.

    Attributes:
        shape: Of one row.
    """

    shape: tuple[int, ...]


def row_inputs(options: SubnetworkOptions, data: Any = None) -> tuple[RowFacts, np.ndarray]:
    """Load images or rows to train on: the facts, and inputs in the order of the labels.

    Args:
        options: Name the images.
        data: Images, or a graph whose nodes are the rows, in place of a name.

    Raises:
        InputError: If the data cannot be loaded, or are not in the range of their type.
        AdmmError: If there is not enough memory for them.
    """
    facts, rows = compact_inputs(options, data)
    if isinstance(rows, np.ndarray):
        return facts, rows
    what = f"inputs of {rows.shape[0]:,} rows × {rows.shape[1]:,} columns"
    check_memory(rows.shape[0] * rows.shape[1] * rows.dtype.itemsize, what, options)
    with memory_told(what, options):
        return facts, rows.toarray()


def compact_inputs(
    options: SubnetworkOptions, data: Any = None, every: bool = False
) -> tuple[RowFacts, np.ndarray | sp.csr_array]:
    """As `row_inputs`, those of a graph sparse.

    Args:
        options: Name the images.
        data: Images, or a graph whose nodes are the rows, in place of a name.
        every: Whether they are in the order of the data set, not split into three.

    Raises:
        InputError: If the data cannot be loaded, or are not in the range of their type.
        AdmmError: If there is not enough memory for them.
    """
    data = read_rows(options, data)
    order = np.arange(len(data.labels)) if every else np.concatenate(data.split)
    rows: np.ndarray | sp.csr_array
    if isinstance(data, datasets.Images):
        contents: np.ndarray | sp.csr_array = data.pixels
        with memory_told(f"inputs of {len(data.labels):,} images", options):
            rows = data.inputs(options.dtype)
            rows = rows if every else rows[order]
    else:  # the features of its nodes
        contents = data.features
        rows = _features(data, options, order)
    return _facts(data, order, rows.shape[1:], contents), rows


def row_shapes(options: SubnetworkOptions, data: Any = None) -> tuple[RowFacts, None]:
    """The facts that `row_inputs` returns; no inputs are made.

    Raises:
        InputError: If the data cannot be loaded.
    """
    data = read_rows(options, data)
    images = isinstance(data, datasets.Images)
    contents = data.pixels if images else data.features
    return _facts(data, np.concatenate(data.split), contents.shape[1:], contents), None


def read_rows(options: SubnetworkOptions, data: Any = None) -> datasets.Images | datasets.Graph:
    """The images that the options name, or the images or graph that are given.

    Raises:
        InputError: If they cannot be loaded, or are neither.
    """
    if data is None:
        data = datasets.load_images(options.dataset, options.data_dir, options.split_seed)
    if not isinstance(data, datasets.Images | datasets.Graph):
        raise InputError(
            f"{spelled('solver', options.solver)} trains on Images or a Graph of admm.datasets, "
            f"got a {type(data).__name__}"
        )
    return data


def _facts(
    data: datasets.Images | datasets.Graph, order: np.ndarray, shape: tuple[int, ...], contents: Any
) -> RowFacts:
    sizes = tuple(map(len, data.split))
    dataset = description(data, len(data.labels), 0, prod(shape), contents)
    return RowFacts(dataset, data.labels[order].astype(np.int32), sizes, shape)


def _features(data: datasets.Graph, options: SubnetworkOptions, order: np.ndarray) -> sp.csr_array:
    with np.errstate(over="ignore"):
        features = data.features.astype(options.dtype)
    rows = features[order]
    if not np.isfinite(rows.data).all() or not features[data.split.train].count_nonzero():
        raise InputError(
            f"{data.name}: the features of the training rows are all zero, or some overflow, in "
            f"{spelled('dtype', options.dtype)}; scale them"
        )
    return rows
