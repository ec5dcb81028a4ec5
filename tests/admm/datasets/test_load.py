"""Loaders: small files in the true layouts, damaged ones, and the real data sets."""

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from admm.datasets import load, load_images
from admm.datasets.fingerprint import fingerprint
from admm.datasets.planetoid import planetoid_files
from admm.errors import InputError


@pytest.fixture
def npz(tmp_path):
    """Write a graph of 50 nodes in the gnn-benchmark layout, with some arrays replaced."""

    def write(**changes):
        random = np.random.default_rng(0)
        adjacency = sp.random_array((50, 50), density=0.1, random_state=0, format="csr")
        features = sp.csr_array(random.random((50, 6)))
        arrays = {
            f"{prefix}_{part}": getattr(matrix, part)
            for prefix, matrix in (("adj", adjacency), ("attr", features))
            for part in ("data", "indices", "indptr", "shape")
        }
        arrays["labels"] = np.arange(50) % 2
        arrays = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
        np.savez(tmp_path / "toy.npz", **arrays)
        return str(tmp_path / "toy.npz")

    return write


def test_npz(npz):
    graph = load(npz())
    assert (graph.name, graph.nodes, graph.classes) == ("toy", 50, 2)
    assert len(graph.split.train) == 26  # half of each class of 25, rounded up


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "no array 'labels' in the file; it has"),
        ({"adj_indices": None}, "no array 'adj_indices'"),
        ({"attr_shape": np.array([50])}, "attr_.*shape must be two numbers"),
        ({"attr_shape": np.array([49, 6])}, "attr_.*indptr must have 50 elements"),
        ({"adj_shape": np.array([50, 3])}, "adj_.* is not a valid CSR matrix"),
        ({"attr_data": np.full(300, np.nan)}, "300 feature values are NaN"),
        ({"labels": np.arange(50) % 2 - 5}, "label -5 is out of range"),
        ({"labels": np.array([{}] * 50)}, "not a readable .npz graph"),
    ],
)
def test_bad_npz(npz, changes, message):
    with pytest.raises(InputError, match=message):
        load(npz(**changes))


@pytest.mark.parametrize("keep", [0, 10, 1000, -30])
def test_truncated_npz(npz, keep, tmp_path):
    whole = Path(npz()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:keep])
    with pytest.raises(InputError, match="not a readable .npz graph"):
        load(str(tmp_path / "cut.npz"))


def test_an_archive_that_says_less_than_it_unpacks_to(npz, tmp_path):
    """Of 64 MiB no more is unpacked than the archive has announced."""
    path = Path(npz())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["labels.npy"] += bytes(2**26)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        announced = len(members.pop("labels.npy")).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(announced) == 2  # before the member, and in the directory
    path.write_bytes(content.replace(announced, (1000).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="not a readable .npz graph"):
            load(str(path))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_other_compressions_are_refused(npz):
    path = Path(npz())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="compressed in another way than NumPy does"):
        load(str(path))


@pytest.fixture
def planetoid(tmp_path):
    """Write Cora's files for 620 nodes, 12 of them for the test, one index missing."""
    random = np.random.default_rng(0)

    def rows(count):
        return sp.csr_matrix((random.random((count, 9)) < 0.3).astype(np.float32))

    def one_hot(count):
        return np.eye(4, dtype=np.int32)[np.arange(count) % 4]

    links = {n: [(n + 1) % 620, (n + 7) % 620] for n in range(620)}
    parts = {
        "x": rows(80),
        "tx": rows(11),
        "allx": rows(608),
        "y": one_hot(80),
        "ty": one_hot(11),
        "ally": one_hot(608),
        "graph": links,
    }
    for name, part in parts.items():
        (tmp_path / f"ind.cora.{name}").write_bytes(pickle.dumps(part, protocol=2))
    index = np.delete(np.arange(608, 620), 5)
    text = "\n".join(map(str, random.permutation(index)))
    (tmp_path / "ind.cora.test.index").write_text(text)
    return tmp_path


def test_planetoid_with_a_gap_in_the_test_index(planetoid):
    graph = load("cora", planetoid)
    assert (graph.nodes, graph.classes) == (620, 4)
    assert [len(graph.split.train), len(graph.split.val), len(graph.split.test)] == [80, 500, 11]
    assert 613 not in graph.split.test
    assert graph.features[[613]].nnz == 0


def test_test_rows_follow_the_index(planetoid):
    graph = load("cora", planetoid)
    index = np.array((planetoid / "ind.cora.test.index").read_text().split(), int)
    expected = pickle.loads((planetoid / "ind.cora.tx").read_bytes()).toarray()
    np.testing.assert_array_equal(graph.features[index].toarray(), expected)
    np.testing.assert_array_equal(graph.labels[index], np.arange(11) % 4)


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


def test_a_pickle_cannot_run_code(planetoid, capsys):
    (planetoid / "ind.cora.graph").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="refused to construct builtins.print"):
        load("cora", planetoid)
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize("part", ["x", "graph", "ally"])
def test_truncated_planetoid(planetoid, part):
    path = planetoid / f"ind.cora.{part}"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=f"ind.cora.{part} is not a readable Planetoid file"):
        load("cora", planetoid)


def test_planetoid_files_that_do_not_fit(planetoid):
    (planetoid / "ind.cora.tx").write_bytes((planetoid / "ind.cora.x").read_bytes())
    with pytest.raises(InputError, match="do not fit together .*11 test nodes from 608"):
        load("cora", planetoid)


@pytest.mark.parametrize("text", ["", "a\nb", "608\n608"])
def test_bad_test_index(planetoid, text):
    (planetoid / "ind.cora.test.index").write_text(text)
    with pytest.raises(InputError, match="ind.cora.test.index must hold"):
        load("cora", planetoid)


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"ind.pubmed.x, .*not found below .*kimiyoung/planetoid"):
        load("pubmed", tmp_path)
    with pytest.raises(InputError, match="does not exist; pass data_dir= or set ADMM_DATA"):
        load("cora", tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is no folder; pass data_dir= or set ADMM_DATA"):
        load("cora", tmp_path / "file")
    with pytest.raises(InputError, match="no such file"):
        load(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="unknown data set 'karate'; expected one of digits, cora"):
        load("karate")


def test_the_environment_names_the_folder(planetoid, monkeypatch):
    monkeypatch.setenv("ADMM_DATA", str(planetoid))
    assert load("cora").nodes == 620


def test_names_of_planetoid_files():
    assert planetoid_files("cora")[-1] == "ind.cora.test.index"
    assert len(planetoid_files("cora")) == 8


def test_counts_of_the_embedded_graph():
    graph = load("digits")
    assert (graph.nodes, graph.edges, graph.classes) == (1797, 24678, 10)
    assert [len(graph.split.train), len(graph.split.val), len(graph.split.test)] == [200, 500, 500]


@pytest.mark.parametrize("read", [load, load_images])
def test_who_changes_embedded_data_changes_their_own(read):
    changed, kept = read("digits"), read("digits").labels.copy()
    changed.labels[:] = 0
    np.testing.assert_array_equal(read("digits").labels, kept)
    assert kept.any()


def print_of(graph):
    return fingerprint(graph.adjacency, graph.features, graph.labels, *graph.split)


def test_the_embedded_graph_stays_as_it_is():
    assert print_of(load("digits")) == "4bf767c37b08a787"


@pytest.mark.parametrize(
    ("name", "counts", "expected"),
    [
        ("cora", (2708, 10556, 1433, 7, 140), "13f11ed0aba09d6a"),
        ("citeseer", (3327, 9104, 3703, 6, 120), "c678f038a0e3d56b"),
        ("amazon-photo", (7650, 238162, 745, 8, 160), "a4be5ce19327f885"),
        ("coauthor-cs", (18333, 163788, 6805, 15, 300), "91ce1f632e1bcd52"),
    ],
)
def test_known_graphs_stay_as_they_are(name, counts, expected, data_dir):
    """So that runs on them can be gone on with."""
    graph = load(name, data_dir)
    found = (graph.nodes, graph.edges, graph.features.shape[1], graph.classes)
    assert (*found, len(graph.split.train)) == counts
    assert print_of(graph) == expected
