"""Graphs in folders, which their files tell the layout of."""

import gzip
import json
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse as sp

from admm.cli import main
from admm.datasets import load, save_graph
from admm.datasets.planetoid import planetoid_files
from admm.errors import InputError

N = 40
NODE = np.arange(N)
RING = np.stack([NODE, (NODE + 1) % N], axis=1)
ROWS = np.random.default_rng(0).normal(size=(N, 3))
PARTS = (NODE[:10], NODE[10:25], NODE[25:38])


def write_ogb(folder, splits=("time",), features=True, labels=NODE % 4, zipped=True):
    tables = {"raw/edge": RING, "raw/node-label": labels}
    if features:
        tables["raw/node-feat"] = ROWS
    for number, split in enumerate(splits):
        for part, nodes in zip(("train", "valid", "test"), PARTS, strict=True):
            tables[f"split/{split}/{part}"] = (nodes + number) % N
    for name, table in tables.items():
        rows = np.atleast_2d(np.asarray(table).T).T.tolist()
        content = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
        path = folder / f"{name}.csv{'.gz' * zipped}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def write_saint(folder, features=True, weight=1.0):
    folder.mkdir(parents=True, exist_ok=True)
    ring = sp.coo_array((np.full(N, weight), RING.T), shape=(N, N)).tocsr()
    sp.save_npz(folder / "adj_full.npz", ring)
    sp.save_npz(folder / "adj_train.npz", ring)
    if features:
        np.save(folder / "feats.npy", ROWS)
    (folder / "class_map.json").write_text(json.dumps({str(k): int(k % 4) for k in NODE}))
    roles = dict(zip(("tr", "va", "te"), (part.tolist() for part in PARTS), strict=True))
    (folder / "role.json").write_text(json.dumps(roles))
    return folder


def write_planetoid(folder, name="toy", protocol=2, form=sp.csr_matrix, neighbour=int):
    """620 nodes, the last 12 but one for the test."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows = (random.random((619, 9)) < 0.3).astype(np.float32)
    one_hot = np.eye(4, dtype=np.int32)[np.arange(619) % 4]
    values = {
        "x": form(rows[:80]),
        "tx": form(rows[608:]),
        "allx": form(rows[:608]),
        "y": one_hot[:80],
        "ty": one_hot[608:],
        "ally": one_hot[:608],
        "graph": {n: [neighbour((n + 1) % 620), neighbour((n + 7) % 620)] for n in range(620)},
    }
    for part, value in values.items():
        (folder / f"ind.{name}.{part}").write_bytes(pickle.dumps(value, protocol))
    index = np.delete(np.arange(608, 620), 5)
    (folder / f"ind.{name}.test.index").write_text("\n".join(map(str, index)))
    return folder


def check_ring(graph, name):
    assert (graph.name, graph.nodes, graph.edges, graph.classes) == (name, N, 2 * N, 4)
    np.testing.assert_allclose(graph.features.toarray(), ROWS, rtol=1e-6)
    for part, expected in zip(graph.split, PARTS, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_ogb_of_any_name(tmp_path, zipped):
    folder = write_ogb(tmp_path / "mine", splits=["species"], zipped=zipped)
    for path in (folder, str(folder)):
        graph = load(path)
        check_ring(graph, "mine")
    assert graph.provenance["split"] == "upstream's, split/species"
    with pytest.raises(InputError, match="^mine has one split, number 0; got split=1"):
        load(folder, split=1)


def test_one_of_the_splits_of_ogb(tmp_path):
    folder = write_ogb(tmp_path / "mine", splits=["a", "b"])
    (folder / "split" / ".cache").mkdir()
    check_ring(load(folder), "mine")
    second = load(folder, split=1)
    assert second.split.train.tolist() == list(range(1, 11))
    assert second.provenance["split"] == "upstream's, split/b (number 1 of 0…1)"
    with pytest.raises(InputError, match="^mine has 2 splits, 0…1; got split=2"):
        load(folder, split=2)


def test_ogb_without_features_or_split(tmp_path):
    folder = write_ogb(tmp_path / "mine", splits=[], features=False)
    with pytest.raises(InputError, match="^mine has no features; with features=identity"):
        load(folder)
    graph = load(folder, features="degrees")
    assert graph.features.shape == (N, 1)  # of a ring
    assert graph.provenance["split"].startswith("random, seed 100")


def test_other_tables_of_ogb_are_named(tmp_path):
    folder = write_ogb(tmp_path / "mine")
    for table in ("num-node-list", "edge-feat", "node_year"):
        (folder / f"raw/{table}.csv.gz").write_bytes(gzip.compress(b"1\n"))
    assert load(folder).provenance["unused"] == "edge-feat.csv.gz, node_year.csv.gz"


def test_nodes_of_ogb_without_a_label(tmp_path):
    labels = np.where(NODE < 2, np.nan, NODE % 4)
    graph = load(write_ogb(tmp_path / "mine", labels=labels))
    assert [len(part) for part in graph.split] == [8, 15, 13]
    assert graph.provenance["split"].endswith("2 nodes without a label left out")


@pytest.mark.parametrize("blank", ["", '""'])
def test_blank_labels_of_ogb(tmp_path, blank):
    """They do not move the labels of the nodes behind them."""
    folder = write_ogb(tmp_path / "mine", features=False, zipped=False)
    labels = [blank if node < 2 else str(node % 4) for node in NODE]
    (folder / "raw/node-label.csv").write_text("\n".join(labels) + "\n")
    graph = load(folder, features="identity")
    assert graph.labels.tolist() == [-1, -1, *(NODE[2:] % 4)]
    assert [len(part) for part in graph.split] == [8, 15, 13]


def test_a_split_of_ogb_in_another_format(tmp_path):
    """It is not replaced by a random one."""
    folder = write_ogb(tmp_path / "mine", splits=[])
    (folder / "split/time").mkdir(parents=True)
    (folder / "split/time/split_dict.pt").touch()
    with pytest.raises(InputError, match="no split/time/train.csv.gz or split/time/train.csv in"):
        load(folder)


def test_a_part_of_ogb_that_is_missing(tmp_path):
    folder = write_ogb(tmp_path / "mine")
    (folder / "split/time/test.csv.gz").unlink()
    with pytest.raises(InputError, match="no split/time/test.csv.gz or split/time/test.csv in"):
        load(folder)


def test_graphsaint_of_any_name(tmp_path):
    graph = load(write_saint(tmp_path / "reddit"))
    check_ring(graph, "reddit")
    assert graph.provenance["split"] == "upstream's, role.json"


def test_weights_of_graphsaint(tmp_path):
    """Those of a path are used, those of the known one dropped."""
    folder = write_saint(tmp_path / "flickr", weight=2.0)
    assert load(folder).provenance["weights"] == "used, all 2"
    assert load("flickr", tmp_path).provenance["weights"] == "ignored, all 2"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (lambda k: [int(k % 4 == column) for column in range(4)], NODE % 4),
        (lambda k: None if k < 2 else k % 4, np.where(NODE < 2, -1, NODE % 4)),
        (lambda k: [k % 4], NODE % 4),
    ],
    ids=["one-hot", "none", "columns"],
)
def test_labels_of_graphsaint(tmp_path, label, expected):
    folder = write_saint(tmp_path / "mine")
    (folder / "class_map.json").write_text(json.dumps({str(k): label(int(k)) for k in NODE}))
    assert load(folder).labels.tolist() == expected.tolist()


def test_graphsaint_that_is_refused_or_named(tmp_path):
    folder = write_saint(tmp_path / "mine")
    roles = json.loads((folder / "role.json").read_text())
    (folder / "role.json").write_text(json.dumps({**roles, "more": []}))
    assert load(folder).provenance["unused"] == "more of role.json"
    (folder / "role.json").write_text(json.dumps({"train": [1]}))
    with pytest.raises(InputError, match="role.json: expected an object with the keys tr, va, te"):
        load(folder)
    (folder / "role.json").write_text(json.dumps(roles))
    (folder / "class_map.json").write_text(json.dumps({str(k): [1, k % 2] for k in range(N)}))
    with pytest.raises(InputError, match="mine: 20 nodes have several labels, node 1 the first"):
        load(folder)


def test_graphsaint_without_some_files(tmp_path):
    folder = write_saint(tmp_path / "reddit", features=False)
    assert load(folder, features="identity").features.shape == (N, N)
    (folder / "role.json").unlink()
    with pytest.raises(InputError, match="reddit has no role.json; put it there"):
        load(folder, features="identity")


@pytest.mark.parametrize(
    ("form", "protocol", "neighbour"),
    [
        *((form, 5, int) for form in (sp.csr_array, sp.csc_matrix, sp.csc_array)),
        *((form, n, np.int64) for form in (sp.csr_matrix, np.asarray) for n in (2, 3, 4, 5)),
    ],
)
def test_planetoid_pickled_again(tmp_path, form, protocol, neighbour):
    """By any protocol, with what NumPy and SciPy have today."""
    plain = load(write_planetoid(tmp_path / "plain"))
    again = write_planetoid(
        tmp_path / "again", "again", protocol, lambda rows: form(rows), neighbour
    )
    graph = load(again)
    assert (graph.name, graph.nodes, graph.edges) == ("again", 620, plain.edges)
    assert (graph.adjacency != plain.adjacency).nnz == 0
    assert (graph.features != plain.features).nnz == 0
    np.testing.assert_array_equal(graph.labels, plain.labels)
    assert [len(part) for part in graph.split] == [80, 500, 11]
    assert graph.provenance["isolated"] == "1 nodes beside the test index, class 0, in no part"


def test_arrays_in_fortran_order(tmp_path):
    folder = write_planetoid(tmp_path / "toy", protocol=5)
    plain = load(folder)
    for part in ("ally", "allx"):
        path = folder / f"ind.toy.{part}"
        whole = pickle.loads(path.read_bytes())
        dense = whole if part == "ally" else whole.toarray()
        path.write_bytes(pickle.dumps(np.asfortranarray(dense), 5))
    graph = load(folder)
    assert (graph.features != plain.features).nnz == 0
    np.testing.assert_array_equal(graph.labels, plain.labels)


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", [Evil(), sp.lil_array((3, 3)), np.array([Evil()])])
def test_other_pickles_are_refused(tmp_path, capsys, protocol, value):
    folder = write_planetoid(tmp_path / "toy")
    (folder / "ind.toy.x").write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(InputError, match="ind.toy.x is not a readable Planetoid file .refused to"):
        load(folder)
    assert "code was run" not in capsys.readouterr().out


def test_labels_of_planetoid_that_are_several(tmp_path):
    folder = write_planetoid(tmp_path / "toy")
    (folder / "ind.toy.ally").write_bytes(pickle.dumps(np.ones((608, 4)), 2))
    with pytest.raises(InputError, match="do not fit together .*labels are not one-hot"):
        load(folder)


def test_a_folder_of_one_archive(tmp_path):
    save_graph(tmp_path / "ring.npz", sp.csr_array((N, N)), ROWS, NODE % 4)
    assert load(tmp_path).name == "ring"
    assert load(f"{tmp_path}/").name == "ring"
    save_graph(tmp_path / "other.npz", sp.csr_array((N, N)), ROWS, NODE % 4)
    with pytest.raises(InputError, match="has several graphs .other.npz, ring.npz.; expected one"):
        load(tmp_path)


def test_hidden_files_beside_a_graph(tmp_path):
    for name in ("ring", "._ring", ".ring-checkpoint"):
        save_graph(tmp_path / f"{name}.npz", sp.csr_array((N, N)), ROWS, NODE % 4)
    assert load(tmp_path).name == "ring"


def test_an_archive_beside_a_graph(tmp_path):
    save_graph(tmp_path / "ring.npz", sp.csr_array((N, N)), ROWS, NODE % 4)
    np.savez(tmp_path / "embeddings.npz", z=ROWS)
    assert load(tmp_path).name == "ring"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_other_containers_of_neighbours(tmp_path, protocol):
    folder = write_planetoid(tmp_path / "toy")
    plain, path = load(folder), folder / "ind.toy.graph"
    links = pickle.loads(path.read_bytes())
    ordered = OrderedDict((node, frozenset(others)) for node, others in links.items())
    path.write_bytes(pickle.dumps(ordered, protocol))
    assert (load(folder).adjacency != plain.adjacency).nnz == 0


def test_folders_that_are_no_graph(tmp_path):
    with pytest.raises(
        InputError, match="has no graph; expected one .npz file, or the files of Gr"
    ):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"notes.txt is no .npz file and no folder"):
        load(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="^no such file: nowhere/graph"):
        load("nowhere/graph")


def test_a_folder_of_two_planetoid_graphs(tmp_path):
    write_planetoid(tmp_path, "one")
    write_planetoid(tmp_path, "two")
    with pytest.raises(InputError, match="several graphs .ind.one.graph, ind.two.graph.; expected"):
        load(tmp_path)


def test_check_reads_every_graph_below_a_folder(tmp_path, capsys):
    """Each has a line and one on what was done; what is no graph has its line too."""
    write_ogb(tmp_path / "ogb")
    write_saint(tmp_path / "saint")
    write_planetoid(tmp_path / "planetoid", "one")
    write_planetoid(tmp_path / "planetoid", "cora")
    save_graph(tmp_path / "ring.npz", sp.csr_array((N, N)), ROWS, NODE % 4)
    np.savez(tmp_path / "other.npz", series=np.arange(3))
    assert main(["datasets", "check", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": graph of ")[0] for line in lines if not line.startswith(" ")] == [
        "cora",
        f"{tmp_path}/other.npz is no graph",
        "ring",
        "ogb",
        "one",
        "saint",
    ]
    assert "  weights: none; direction: no edges; split: random, seed 100, at most 20 a" in lines[4]
    (tmp_path / "ring.npz").write_bytes(b"PK")
    (tmp_path / "saint/role.json").unlink()
    assert main(["datasets", "check", str(tmp_path)]) == 2
    found = capsys.readouterr()
    assert "one: graph of 620 nodes" in found.out
    assert "ring.npz is not a readable .npz graph" in found.err
    assert "saint has no role.json" in found.err


def test_check_takes_the_options_of_graphs(tmp_path, capsys):
    save_graph(tmp_path / "ring.npz", sp.csr_array((N, N)), None, NODE % 4)
    assert main(["datasets", "check", str(tmp_path / "ring.npz")]) == 2
    assert "with --features identity or --features degrees" in capsys.readouterr().err
    words = ("--features", "identity", "--weights", "ignore", "--split", "0")
    assert main(["datasets", "check", str(tmp_path), *words]) == 0
    assert "40 features" in capsys.readouterr().out


def test_files_of_planetoid_are_named_by_its_data_set():
    assert planetoid_files("nell")[0] == "ind.nell.x"
