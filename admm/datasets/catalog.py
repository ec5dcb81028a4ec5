"""What is there of the known data sets: where they lie, what is in them, how to get them."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from admm.datasets import DATASETS, IMAGES, Graph, Images, load, load_images, told
from admm.datasets.client_folder import is_client_folder
from admm.datasets.clients import FEDERATIONS, read_federation
from admm.datasets.download import download, is_upstream
from admm.datasets.federation import Federation
from admm.datasets.files import Source, candidates, download_command, find_files, folder_of
from admm.datasets.folder import Layout, layouts
from admm.datasets.npz import is_graph
from admm.datasets.sbm import is_generated
from admm.errors import InputError, did_you_mean
from admm.files import reading

# Smaller versions of the same files go with these.
_KNOWN = DATASETS | {name: source for name, source in IMAGES.items() if not name.endswith("14")}
_KNOWN |= FEDERATIONS

_NUMBERS = {"regression": "numbers", "multilabel": "labels", "classes": "classes"}

_NO_GRAPH = " is no graph"


def listing(folder: Path) -> Iterator[str]:
    """A line for each known data set: its name, its kind, and where it lies.

    Example:
        >>> next(listing(Path("nowhere")))
        'digits            both    embedded, from scikit-learn'
    """
    for name, source in _KNOWN.items():
        files = _found(source, folder)
        if not source.files:
            where = source.page
        elif files:
            where = str(folder_of(files))
        elif source.downloads:
            where = f"not there; {download_command(name, folder)}"
        else:
            where = f"not there; get it from {source.page}"
        kind = "graph" if name in DATASETS else "series" if name in FEDERATIONS else "images"
        if name in DATASETS and name in IMAGES:
            kind = "both"
        yield f"{name:16}  {kind:6}  {where}"


def fetch(name: str, folder: Path) -> Iterator[str]:
    """Download a known data set into a folder of its name, unless it is there; lines on the way.

    Raises:
        InputError: If the name is unknown, or for the reasons of `download`.
        OutputError: For the reasons of `download`.
        AdmmError: For the reasons of `download`.

    Example:
        >>> list(fetch("digits", Path("nowhere")))
        ['digits is embedded, from scikit-learn']
    """
    if name in IMAGES:
        name = name.removesuffix("14")  # made of the same files
    if name not in _KNOWN:
        raise InputError(
            f"unknown data set {name!r}; expected one of {', '.join(_KNOWN)}"
            f"{did_you_mean(name, _KNOWN)}"
        )
    source = _KNOWN[name]
    if not source.files:
        yield f"{name} is {source.page}"
        return
    files = _found(source, folder)
    if files:
        yield f"{name} is there: {folder_of(files)} ({_origin(source, files)})"
        return
    yield from download(name, source, folder / name)
    yield f"{name} is in {folder_of(find_files(name, source, folder))}"


def check(path: Path, **choices: Any) -> Iterator[str]:
    """Read a graph, or all graphs and known data sets below a folder: some lines on each.

    Args:
        path: An `.npz` file or a folder, which may be one of clients; or `sbm:` or the name of a
            federation, with options.
        choices: `split`, `weights` and `features` of `load`, for graphs.

    Raises:
        InputError: If one of them is not complete and readable, or there is none. The others are
            read first.
    """
    with reading(path):
        is_folder = path.is_dir()
    if not is_folder and is_generated(str(path)):
        yield from _of_graph(load(str(path), **choices), "generated")
        return
    if not is_folder and str(path).partition(":")[0] in FEDERATIONS:
        yield from _of_federation(read_federation(str(path)))
        return
    if is_folder and is_client_folder(path):
        yield from _of_federation(read_federation(path))
        return
    if not is_folder and path.suffix != ".npz":
        raise InputError(f"expected a folder or a .npz graph, got {path}, which is neither")
    if not is_folder:
        yield from _of_graph(load(path, **choices), str(path))
        return
    readers = [*_of_known(path, choices), *_of_others(path, choices)]
    if not readers:
        raise InputError(
            f"{path} has no graph and the files of no known data set; known are {', '.join(_KNOWN)}"
        )
    mistakes, found = [], False
    for read in readers:
        try:
            for line in read():
                found = found or not line.endswith(_NO_GRAPH)
                yield line
        except InputError as error:
            mistakes.append(str(error))
    if not (found or mistakes):
        raise InputError(f"{path} has no graph")
    if mistakes:
        raise InputError("; ".join(mistakes))


def _of_known(folder: Path, choices: Mapping[str, Any]) -> Iterator[Callable[[], Iterator[str]]]:
    """What reads each of the known data sets below a folder."""

    def read(name: str, source: Source) -> Iterator[str]:
        origin = _origin(source, find_files(name, source, folder))
        if name in FEDERATIONS:
            yield from _of_federation(read_federation(name, data_dir=folder))
        elif name in IMAGES:
            yield f"{_of_images(load_images(name, folder))}; {origin}"
        else:
            yield from _of_graph(load(name, folder, **choices), origin)

    for name, source in _KNOWN.items():
        if source.files and candidates(source, folder):
            yield partial(read, name, source)


def _of_others(folder: Path, choices: Mapping[str, Any]) -> Iterator[Callable[[], Iterator[str]]]:
    """What reads each of the graphs below a folder that are no known data sets."""

    def read(layout: Layout) -> Iterator[str]:
        if layout.alone and not is_graph(layout.file):
            yield f"{layout.file}{_NO_GRAPH}"
        else:
            yield from _of_graph(layout.graph(**choices), str(layout.file))

    known = {
        path
        for source in _KNOWN.values()
        for files in candidates(source, folder)
        for path in files.values()
    }
    top = Path(os.path.abspath(folder))
    with reading(top):
        below = [path for path in sorted(top.rglob("*")) if path.is_dir()]
    for place in (top, *below):
        yield from (partial(read, each) for each in layouts(place) if each.file not in known)


def _found(source: Source, folder: Path) -> dict[str, Path]:
    """The files that a loader would take, if they are complete."""
    complete = [each for each in candidates(source, folder) if len(each) == len(source.files)]
    return complete[-1] if complete else {}


def _of_graph(graph: Graph, origin: str) -> Iterator[str]:
    parts = (graph.split.train, graph.split.val, graph.split.test)
    train, val, test = (f"{len(part):,}" for part in parts)
    yield (
        f"{graph.name}: graph of {graph.nodes:,} nodes, {graph.edges:,} directed edges, "
        f"{graph.features.shape[1]:,} features, {graph.classes} classes; "
        f"{train} nodes for training, {val} for validation, {test} for the test; {origin}"
    )
    yield f"  {told(graph.provenance)}"


def _of_federation(federation: Federation) -> Iterator[str]:
    numbers = f"{len(federation.outputs)} {_NUMBERS[federation.task]}"
    yield (
        f"{federation.name}: {len(federation.clients)} clients; windows of {federation.steps} "
        f"steps, {federation.features} columns, {numbers}"
    )
    for number in range(len(federation.clients)):
        name, *parts = federation.client(number)
        train, val, test = (f"{len(part.inputs):,}" for part in parts)
        missing = 1 - np.mean(np.concatenate([part.present for part in parts]))
        yield (
            f"  {name}: {train} windows for training, {val} for validation, {test} for the test; "
            f"{missing:.1%} of the targets are missing"
        )


def _of_images(images: Images) -> str:
    count, *size = images.pixels.shape
    parts = (images.split.train, images.split.val, images.split.test)
    train, val, test = (f"{len(part):,}" for part in parts)
    return (
        f"{images.name}: {count:,} images of {'×'.join(map(str, size))}, {images.classes} classes; "
        f"{train} for training, {val} for validation, {test} for the test"
    )


def _origin(source: Source, files: dict[str, Path]) -> str:
    known = {each.name: each for each in source.downloads}
    if not files.keys() <= known.keys():
        return "upstream's bytes are not known"
    others = [path.name for name, path in files.items() if not is_upstream(known[name], path)]
    if others:
        return f"packed anew or changed since upstream: {', '.join(others)}"
    return "upstream's bytes"
