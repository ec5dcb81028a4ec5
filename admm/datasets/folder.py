"""Graphs in a folder: its files tell their layout."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from admm.datasets.graph import Contents, FeatureSource, Graph, Weights, graph_of
from admm.datasets.graphsaint import GRAPHSAINT_FILES, load_graphsaint
from admm.datasets.npz import is_graph, load_npz
from admm.datasets.ogb import load_ogb
from admm.datasets.planetoid import load_planetoid, planetoid_files
from admm.errors import InputError
from admm.files import reading

_PLANETOID = re.compile(r"ind\.(.+)\.graph")


class Layout(NamedTuple):
    """How to read a graph.

    Attributes:
        name: Of the data set.
        file: That tells the layout.
        read: Its contents, by the number of their split.
    """

    name: str
    file: Path
    read: Callable[[int], Contents]

    @property
    def alone(self) -> bool:
        """Whether the file is all there is to read, and says by its arrays if it is a graph."""
        return self.file.suffix == ".npz" and self.file.name not in GRAPHSAINT_FILES

    def graph(
        self,
        split_seed: int = 100,
        split: int = 0,
        weights: Weights | None = None,
        features: FeatureSource | None = None,
    ) -> Graph:
        """The graph, see `load`; weights are used by default."""
        contents = self.read(split)
        return graph_of(self.name, contents, split_seed, split, weights or "use", features)


def npz_layout(path: Path) -> Layout:
    """That of a graph in one file."""
    return Layout(path.stem, path, partial(load_npz, path.stem, path))


def layouts(folder: Path) -> list[Layout]:
    """Those that a folder's files have: of GraphSAINT, OGB or Planetoid; else of each `.npz` file.

    Raises:
        InputError: If the folder cannot be read.
    """
    with reading(folder):
        # Names with a dot in front are of notebooks, file systems and the like.
        there = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        tables = sorted(folder.glob("raw/edge.csv*"))
    name = folder.resolve().name
    files = {path.name: path for path in there}
    found = []
    if "adj_full.npz" in files:
        saint = {file: files[file] for file in GRAPHSAINT_FILES if file in files}
        found.append(Layout(name, files["adj_full.npz"], partial(_saint, name, saint)))
    if tables:
        found.append(Layout(name, tables[-1], partial(load_ogb, name, folder)))
    for match in filter(None, map(_PLANETOID.fullmatch, files)):
        read = partial(_planetoid, match[1], folder)
        found.append(Layout(match[1], files[match[0]], read))
    return found or [npz_layout(path) for path in files.values() if path.suffix == ".npz"]


def read_folder(folder: Path) -> Layout:
    """The layout of the one graph in a folder.

    Raises:
        InputError: If there is none, or more than one, or the folder cannot be read.
    """
    found = layouts(folder)
    if len(found) > 1:  # there may be other archives beside the graph
        found = [each for each in found if not each.alone or is_graph(each.file)]
    if len(found) != 1:
        names = ", ".join(each.file.name for each in found)
        raise InputError(
            f"{folder} has {f'several graphs ({names})' if found else 'no graph'}; expected one "
            ".npz file, or the files of GraphSAINT (adj_full.npz, …), of OGB (raw/edge.csv.gz, …) "
            "or of Planetoid (ind.NAME.graph, …)"
        )
    return found[0]


def _saint(name: str, files: dict[str, Path], number: int) -> Contents:
    for file in set(GRAPHSAINT_FILES) - {"feats.npy"} - set(files):
        raise InputError(f"{files['adj_full.npz'].parent} has no {file}; put it there")
    return load_graphsaint(name, files, number)


def _planetoid(name: str, folder: Path, number: int) -> Contents:
    return load_planetoid(name, {file: folder / file for file in planetoid_files(name)}, number)
