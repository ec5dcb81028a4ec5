"""Data sets: graphs by name or path, images by name.

Files are looked for by their upstream names, in any folder below the data directory.
"""

from pathlib import Path

from admm.datasets.digits import load_digits
from admm.datasets.files import Source, data_folder, downloads, find_files
from admm.datasets.graph import Graph, Split, checked_graph, random_split, split_of_masks
from admm.datasets.graphsaint import GRAPHSAINT_FILES, load_graphsaint
from admm.datasets.images import IMAGES, Images, load_images
from admm.datasets.npz import load_npz
from admm.datasets.ogb import load_ogb, ogb_files
from admm.datasets.planetoid import load_planetoid, planetoid_files
from admm.errors import InputError, spelled
from admm.files import reading

__all__ = [
    "DATASETS",
    "IMAGES",
    "Graph",
    "Images",
    "Split",
    "checked_graph",
    "load",
    "load_images",
    "random_split",
    "split_of_masks",
]


def _planetoid(name: str) -> Source:
    files = planetoid_files(name)
    known = downloads("https://raw.githubusercontent.com/kimiyoung/planetoid/master/data/", files)
    return Source(files, "github.com/kimiyoung/planetoid, folder data", known)


def _gnn_benchmark(file: str) -> Source:
    folder = "https://raw.githubusercontent.com/shchur/gnn-benchmark/master/data/npz/"
    page = "github.com/shchur/gnn-benchmark, folder data/npz"
    return Source((file,), page, downloads(folder, [file]))


DATASETS: dict[str, Source] = {
    "digits": Source((), "embedded, from scikit-learn"),
    **{name: _planetoid(name) for name in ("cora", "citeseer", "pubmed")},
    "amazon-photo": _gnn_benchmark("amazon_electronics_photo.npz"),
    "amazon-computers": _gnn_benchmark("amazon_electronics_computers.npz"),
    "coauthor-cs": _gnn_benchmark("ms_academic_cs.npz"),
    "coauthor-physics": _gnn_benchmark("ms_academic_phy.npz"),
    "flickr": Source(
        GRAPHSAINT_FILES,
        "github.com/GraphSAINT/GraphSAINT (to be kept in a folder with 'flickr' in its name)",
        belongs=lambda folders: any("flickr" in folder.lower() for folder in folders),
    ),
    "ogbn-arxiv": Source(
        ogb_files("time"),
        "ogb.stanford.edu/docs/nodeprop, unpacked (into a folder with 'arxiv' in its name)",
        belongs=lambda folders: any("arxiv" in folder.lower() for folder in folders),
    ),
}
"""Data sets that `load` knows by name.

| name | nodes | directed edges | features | classes |
|---|---|---|---|---|
| digits | 1,797 | 24,678 | 64 | 10 |
| cora | 2,708 | 10,556 | 1,433 | 7 |
| citeseer | 3,327 | 9,104 | 3,703 | 6 |
| amazon-photo | 7,650 | 238,162 | 745 | 8 |
| coauthor-cs | 18,333 | 163,788 | 6,805 | 15 |

Others, by what their upstream says: pubmed, amazon-computers, coauthor-physics, flickr, ogbn-arxiv.
"""


def load(name: str, data_dir: str | Path | None = None, split_seed: int = 100) -> Graph:
    """Load a graph.

    Args:
        name: A key of `DATASETS`, or the path of an `.npz` file in the gnn-benchmark layout.
        data_dir: Folder that is searched; `$ADMM_DATA` by default, else the user's cache.
        split_seed: Seed of the random split of data sets that come without one.

    Raises:
        InputError: If the name is unknown, a file is missing, or its contents are invalid.

    Example:
        >>> load("digits").classes
        10
    """
    if name.endswith(".npz"):
        path = Path(name)
        with reading(path):
            there = path.is_file()
        if not there:
            raise InputError(f"no such file: {path}")
        return load_npz(path.stem, path, split_seed)
    if name not in DATASETS:
        other = f", which is for {spelled('solver')} gsadmm and gsam" if name in IMAGES else ""
        raise InputError(
            f"unknown data set {name!r}{other}; expected one of {', '.join(DATASETS)}, "
            "or a .npz file"
        )
    if name == "digits":
        return load_digits(split_seed)
    source = DATASETS[name]
    files = find_files(name, source, data_folder(data_dir))
    if name == "flickr":
        return load_graphsaint(name, files)
    if name == "ogbn-arxiv":
        return load_ogb(name, "time", files)
    if name in ("cora", "citeseer", "pubmed"):
        return load_planetoid(name, files)
    return load_npz(name, files[source.files[0]], split_seed)
