"""The data of a network of any modules, loaded at the root."""

from math import prod
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from admm import datasets
from admm.errors import InputError, spelled
from admm.memory import check_memory, memory_told
from admm.methods.subnetworks.task import read_task
from admm.methods.supervised import SupervisedOptions
from admm.methods.tasks import Task
from layers import Network

Rows = datasets.Images | datasets.Graph | datasets.Samples


class RowFacts(NamedTuple):
    """What every process knows of images, or of other rows."""

    task: Task
    shape: tuple[int, ...]  # of one row
    input_dtype: str | None  # of rows of whole numbers, else None

    @property
    def dataset(self) -> dict[str, Any]:
        return self.task.dataset


def row_inputs(options: SupervisedOptions, data: Any = None) -> tuple[RowFacts, np.ndarray]:
    """Load images or rows to train on: the facts, and inputs in the order of the labels.

    Args:
        options: Name the images.
        data: Images, samples, or a graph whose nodes are the rows, in place of a name.

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
    options: SupervisedOptions, data: Any = None, every: bool = False
) -> tuple[RowFacts, np.ndarray | sp.csr_array]:
    """As `row_inputs`, those of a graph sparse.

    Args:
        options: Name the images.
        data: Images, samples, or a graph whose nodes are the rows, in place of a name.
        every: Whether they are in the order of the data set, not split into three.

    Raises:
        InputError: If the data cannot be loaded, or are not in the range of their type.
        AdmmError: If there is not enough memory for them.
    """
    data = read_rows(options, data)
    order = _order(data, every)
    contents: np.ndarray | sp.csr_array
    rows: np.ndarray | sp.csr_array
    if isinstance(data, datasets.Samples):
        contents, rows = data.inputs, _typed(data, options)[order]
    elif isinstance(data, datasets.Images):
        contents = data.pixels
        with memory_told(f"inputs of {len(data.labels):,} images", options):
            rows = data.inputs(options.dtype)
            rows = rows if every else rows[order]
    else:  # the features of its nodes
        contents, rows = data.features, _features(data, options, order)
    return _facts(options, data, contents, order, rows.shape[1:], rows.dtype), rows


def row_shapes(options: SupervisedOptions, data: Any = None) -> tuple[RowFacts, None]:
    """The facts that `row_inputs` returns; no inputs are made.

    Raises:
        InputError: If the data cannot be loaded.
    """
    data = read_rows(options, data)
    dtype = np.dtype(options.dtype)
    if isinstance(data, datasets.Samples):
        contents, dtype = data.inputs, _input_dtype(data, options)
    else:
        contents = data.pixels if isinstance(data, datasets.Images) else data.features
    order = _order(data, every=False)
    return _facts(options, data, contents, order, contents.shape[1:], dtype), None


def read_rows(options: SupervisedOptions, data: Any = None) -> Rows:
    """The images that the options name, or the data that are given.

    Raises:
        InputError: If they cannot be loaded, or are of no kind to train on.
    """
    if data is None:
        data = datasets.load_images(options.dataset, options.data_dir, options.split_seed)
    if not isinstance(data, datasets.Images | datasets.Graph | datasets.Samples):
        raise InputError(
            f"{spelled('solver', options.solver)} trains on Images, a Graph or Samples of "
            f"admm.datasets, got a {type(data).__name__}; checked_samples(X, y) makes Samples"
        )
    return options.with_first_rows(data)


def _order(data: Rows, every: bool) -> np.ndarray:
    count = len(data.targets if isinstance(data, datasets.Samples) else data.labels)
    return np.arange(count) if every else np.concatenate(data.split)


def _facts(
    options: SupervisedOptions,
    data: Rows,
    contents: np.ndarray | sp.csr_array,
    order: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype,
) -> RowFacts:
    task = read_task(options, data, contents, prod(shape), order)
    return RowFacts(task, shape, dtype.name if dtype.kind == "i" else None)


def _input_dtype(data: datasets.Samples, options: SupervisedOptions) -> np.dtype:
    """The type that the network takes: whole numbers stay such for one's own."""
    network, whole = options.network, data.inputs.dtype.kind in "iu"
    if isinstance(network, str) or (isinstance(network, Network) and not network.input_dtype):
        whole = False
    return np.dtype("int32" if whole else options.dtype)


def _typed(data: datasets.Samples, options: SupervisedOptions) -> np.ndarray:
    """Inputs in the type that the network takes.

    Raises:
        InputError: If they are not in its range.
    """
    dtype = _input_dtype(data, options)
    with np.errstate(over="ignore"):
        typed = data.inputs.astype(dtype)
    whole = dtype.kind == "i"
    same = np.array_equal(typed, data.inputs) if whole else np.isfinite(typed).all()
    if not same:
        raise InputError(f"{data.name}: some inputs overflow {dtype}; scale them")
    return typed


def _features(data: datasets.Graph, options: SupervisedOptions, order: np.ndarray) -> sp.csr_array:
    with np.errstate(over="ignore"):
        features = data.features.astype(options.dtype)
    rows = features[order]
    if not np.isfinite(rows.data).all() or not features[data.split.train].count_nonzero():
        raise InputError(
            f"{data.name}: the features of the training rows are all zero, or some overflow, in "
            f"{spelled('dtype', options.dtype)}; scale them"
        )
    return rows
