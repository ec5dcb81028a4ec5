"""The data of a network of any modules, loaded at the root."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from admm import datasets
from admm.errors import InputError, spelled
from admm.methods.labelled import Labelled, description
from admm.methods.subnetworks.options import SubnetworkOptions


@dataclass(frozen=True)
class RowFacts(Labelled):
    """What every process knows of images, or of other rows.

    Attributes:
        shape: Of one row.
    """

    shape: tuple[int, ...]


def row_inputs(
    options: SubnetworkOptions, data: Any = None, every: bool = False
) -> tuple[RowFacts, np.ndarray]:
    """Load images: the facts, and inputs of all of them in the order of the labels.

    Args:
        options: Name the images.
        data: Images, or a graph whose nodes are the rows, in place of a name.
        every: Whether they are in the order of the data set, not split into three.

    Raises:
        InputError: If the data cannot be loaded.
    """
    if data is None:
        data = datasets.load_images(options.dataset, options.data_dir, options.split_seed)
    if isinstance(data, datasets.Images):
        inputs, raw = data.inputs(options.dtype), data.pixels
    elif isinstance(data, datasets.Graph):  # the features of its nodes
        inputs = raw = data.features.toarray().astype(options.dtype)
    else:
        raise InputError(
            f"{spelled('solver', options.solver)} trains on Images or a Graph of admm.datasets, "
            f"got a {type(data).__name__}"
        )
    order = np.arange(len(data.labels)) if every else np.concatenate(data.split)
    rows, sizes = inputs[order], tuple(map(len, data.split))
    dataset = description(data, len(data.labels), 0, prod(rows.shape[1:]), raw)
    return RowFacts(dataset, data.labels[order].astype(np.int32), sizes, rows.shape[1:]), rows
