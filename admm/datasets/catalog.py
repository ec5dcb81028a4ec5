"""What is there of the known data sets: where they lie, what is in them, how to get them."""

from collections.abc import Iterator
from pathlib import Path

from admm.datasets import DATASETS, IMAGES, Graph, Images, load, load_images
from admm.datasets.download import download, is_upstream
from admm.datasets.files import Source, find_files
from admm.errors import InputError

# Smaller versions of the same files go with these.
_KNOWN = DATASETS | {name: source for name, source in IMAGES.items() if not name.endswith("14")}


def listing(folder: Path) -> Iterator[str]:
    """A line for each known data set: its name, its kind, and where it lies.

    Example:
        >>> next(listing(Path("nowhere")))
        'digits            both    embedded, from scikit-learn'
    """
    for name, source in _KNOWN.items():
        files = _found(name, source, folder)
        if not source.files:
            where = source.page
        elif files:
            where = str(_folder_of(files))
        elif source.downloads:
            where = f"not there; admm datasets download {name}"
        else:
            where = f"not there; get it from {source.page}"
        kind = "graph" if name in DATASETS else "images"
        if name in DATASETS and name in IMAGES:
            kind = "both"
        yield f"{name:16}  {kind:6}  {where}"


def fetch(name: str, folder: Path) -> Iterator[str]:
    """Download a known data set into a folder of its name; a line for each file that is fetched.

    Raises:
        InputError: If the name is unknown, or for the reasons of `download`.
        AdmmError: For the reasons of `download`.
    """
    if name not in _KNOWN:
        raise InputError(f"unknown data set {name!r}; expected one of {', '.join(_KNOWN)}")
    for path in download(name, _KNOWN[name], folder / name):
        yield f"{path}: {path.stat().st_size:,} bytes"
    yield f"{name} is in {folder / name}"


def check(path: Path) -> Iterator[str]:
    """Read an `.npz` graph, or all known data sets below a folder: a line on each.

    Raises:
        InputError: If the graph, or one of the data sets, is not readable, or there is none. The
            others are read first.
    """
    if path.suffix == ".npz":
        yield _of_graph(load(str(path)))
        return
    found = [name for name in _KNOWN if _KNOWN[name].files and _found(name, _KNOWN[name], path)]
    if not found:
        known = ", ".join(_KNOWN)
        raise InputError(f"{path} has the files of no known data set; known are {known}")
    mistakes = []
    for name in found:
        try:
            if name in IMAGES:
                text = _of_images(load_images(name, path))
            else:
                text = _of_graph(load(name, path))
            yield f"{text}; {_origin(_KNOWN[name], find_files(name, _KNOWN[name], path))}"
        except InputError as error:
            mistakes.append(str(error))
    if mistakes:
        raise InputError("; ".join(mistakes))


def _found(name: str, source: Source, folder: Path) -> dict[str, Path]:
    try:
        return find_files(name, source, folder)
    except InputError:
        return {}


def _folder_of(files: dict[str, Path]) -> Path:
    name, path = next(iter(files.items()))
    return path.parents[name.count("/")]


def _of_graph(graph: Graph) -> str:
    parts = (graph.split.train, graph.split.val, graph.split.test)
    train, val, test = (f"{len(part):,}" for part in parts)
    return (
        f"{graph.name}: graph of {graph.nodes:,} nodes, {graph.edges:,} directed edges, "
        f"{graph.features.shape[1]:,} features, {graph.classes} classes; "
        f"{train} nodes for training, {val} for validation, {test} for the test"
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
