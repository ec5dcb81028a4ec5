"""Data sets: graphs by name or path, images by name.

Files of known names are looked for by their upstream names, in any folder below the data directory.
`sbm` has none: the graph is made as its name says.
"""

from pathlib import Path

from admm.datasets.digits import load_digits
from admm.datasets.files import Source, data_folder, downloads, find_files, folder_of
from admm.datasets.folder import Layout, npz_layout, read_folder
from admm.datasets.graph import (
    Contents,
    FeatureSource,
    Graph,
    Weights,
    checked_graph,
    graph_of,
    told,
)
from admm.datasets.graphsaint import GRAPHSAINT_FILES, load_graphsaint
from admm.datasets.images import IMAGES, Images, load_images
from admm.datasets.npz import load_npz
from admm.datasets.ogb import load_ogb, ogb_files
from admm.datasets.planetoid import load_planetoid, planetoid_files
from admm.datasets.samples import Samples, checked_samples
from admm.datasets.save import save_graph
from admm.datasets.sbm import SBM, identifying, is_generated
from admm.datasets.splits import Split, random_split, split_of_masks
from admm.errors import InputError, MissingDataError, did_you_mean, spelled
from admm.files import is_path, reading

__all__ = [
    "DATASETS",
    "IMAGES",
    "SBM",
    "Graph",
    "Images",
    "Samples",
    "Split",
    "checked_graph",
    "checked_samples",
    "identifying",
    "load",
    "load_images",
    "random_split",
    "save_graph",
    "split_of_masks",
    "told",
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
    "sbm": Source((), "generated, as sbm:nodes=3000,seed=0"),
}
"""Data sets that `load` knows by name.

| name | nodes | directed edges | features | classes |
|---|---|---|---|---|
| digits | 1,797 | 24,678 | 64 | 10 |
| cora | 2,708 | 10,556 | 1,433 | 7 |
| citeseer | 3,327 | 9,104 | 3,703 | 6 |
| amazon-photo | 7,650 | 238,162 | 745 | 8 |
| coauthor-cs | 18,333 | 163,788 | 6,805 | 15 |
| sbm | 3,000, or as its name says | 33,058 | 32 | 10 |

Others, by what their upstream says: pubmed, amazon-computers, coauthor-physics, flickr, ogbn-arxiv.
"""


def load(
    dataset: str | Path,
    data_dir: str | Path | None = None,
    split_seed: int = 100,
    *,
    split: int = 0,
    weights: Weights | None = None,
    features: FeatureSource | None = None,
) -> Graph:
    """Load a graph.

    Args:
        dataset: A key of `DATASETS`; `sbm:` with options of `SBM`, as `sbm:nodes=500,seed=1`; or
            a path: of an `.npz` file, see `admm.datasets.npz` for its arrays, or of a folder with
            one such file or with the files of GraphSAINT, of an OGB data set of node classes, or of
            Planetoid. Text with a slash, or that ends in `.npz`, is a path.
        data_dir: Folder that is searched for names; `$ADMM_DATA` by default, else the user's cache.
        split_seed: Seed of the random split of data sets that come without one.
        split: Which of several splits that come with the data, from 0.
        weights: Of edges: `use` or `ignore`. By default those of a path are used, those of a name
            ignored, as the literature does.
        features: `identity` or `degrees` in place of the features, see `checked_graph`.

    Raises:
        MissingDataError: If a file is missing.
        InputError: If the name is unknown, the contents of a file are invalid, there are no
            features, or no split of this number.

    Example:
        >>> graph = load("digits")
        >>> graph.classes, graph.provenance["weights"]
        (10, 'none')
    """
    if isinstance(dataset, Path) or is_path(dataset):
        return _layout(Path(dataset)).graph(split_seed, split, weights, features)
    if is_generated(dataset):
        model = SBM.of_name(dataset)
        dataset, contents = model.name, model.contents(split)
    else:
        contents = _known(dataset, data_dir, split_seed, split)
    return graph_of(dataset, contents, split_seed, split, weights or "ignore", features)


def _layout(path: Path) -> Layout:
    with reading(path):
        is_file, is_folder = path.is_file(), path.is_dir()
    if is_folder:
        return read_folder(path)
    if not is_file:
        raise MissingDataError(f"no such file: {path}")
    if path.suffix != ".npz":
        raise InputError(f"{path} is no .npz file and no folder, which are what a graph is read of")
    return npz_layout(path)


def _known(name: str, data_dir: str | Path | None, split_seed: int, split: int) -> Contents:
    if name not in DATASETS:
        other = f", which is for {spelled('solver')} gsadmm and gsam" if name in IMAGES else ""
        raise InputError(
            f"unknown data set {name!r}{other}; expected one of {', '.join(DATASETS)}, "
            "or a .npz file or a folder, with a / in it"
            f"{did_you_mean(name.partition(':')[0], DATASETS)}"
        )
    source = DATASETS[name]
    if not source.files:
        return load_digits(split_seed, split)
    files = find_files(name, source, data_folder(data_dir))
    if name == "flickr":
        return load_graphsaint(name, files, split)
    if name == "ogbn-arxiv":
        return load_ogb(name, folder_of(files), split, splits=["time"])
    if name in ("cora", "citeseer", "pubmed"):
        return load_planetoid(name, files, split)
    return load_npz(name, files[source.files[0]], split)
