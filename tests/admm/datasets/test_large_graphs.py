"""Flickr and ogbn-arxiv: small files in the true layouts, and damaged ones."""

import gzip
import json

import numpy as np
import pytest
import scipy.sparse as sp

from admm.datasets import load
from admm.errors import InputError

NODES = 40
PARTS = (range(10), range(10, 25), range(25, 38))  # two nodes are in no part


def features():
    return np.random.default_rng(0).normal(size=(NODES, 5))


def edges():
    """A ring, in one direction, the first link twice, and a loop."""
    ring = [(node, (node + 1) % NODES) for node in range(NODES)]
    return np.array([*ring, (0, 1), (3, 3)])


def write_ogb(folder, zipped=True, **changes):
    """Write `raw` and `split/time`; `changes` are tables to write instead, or their bytes."""
    tables = {
        "raw/edge": edges(),
        "raw/node-feat": features(),
        "raw/node-label": np.arange(NODES) % 4,
    }
    for part, nodes in zip(("train", "valid", "test"), PARTS, strict=True):
        tables[f"split/time/{part}"] = np.array(nodes)
    for name, table in tables.items():
        table = changes.get(name.rpartition("/")[2], table)
        if not isinstance(table, bytes):
            rows = np.atleast_2d(table.T).T
            table = "".join(",".join(map(str, row)) + "\n" for row in rows.tolist()).encode()
        path = folder / f"{name}.csv{'.gz' * zipped}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(table) if zipped else table)


def classes(first=0):
    return {str(node): node % 4 if node else first for node in reversed(range(NODES))}


def write_saint(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    adjacency = sp.coo_array((np.ones(NODES + 2), edges().T), shape=(NODES, NODES)).tocsr()
    roles = dict(zip(("tr", "va", "te"), map(list, PARTS), strict=True))
    sp.save_npz(folder / "adj_full.npz", changes.get("adjacency", adjacency))
    np.save(folder / "feats.npy", changes.get("features", features()))
    (folder / "class_map.json").write_text(json.dumps(changes.get("classes", classes())))
    (folder / "role.json").write_text(json.dumps({**roles, **changes.get("roles", {})}))


@pytest.mark.parametrize("zipped", [True, False])
def test_ogbn_arxiv(tmp_path, zipped):
    write_ogb(tmp_path / "ogbn_arxiv", zipped)
    check(load("ogbn-arxiv", tmp_path), np.float32)


def test_graphsaint(tmp_path):
    write_saint(tmp_path / "Flickr")
    check(load("flickr", tmp_path), np.float64)
    write_saint(tmp_path / "reddit", features=np.ones((NODES, 5)))  # files of the same names
    check(load("flickr", tmp_path), np.float64)


def check(graph, dtype):
    assert (graph.nodes, graph.edges, graph.classes) == (NODES, 2 * NODES, 4)
    np.testing.assert_array_equal(graph.features.toarray(), features().astype(dtype))
    np.testing.assert_array_equal(graph.labels, np.arange(NODES) % 4)
    split = (graph.split.train, graph.split.val, graph.split.test)
    for nodes, expected in zip(split, PARTS, strict=True):
        np.testing.assert_array_equal(nodes, expected)


def test_the_features_of_one_that_is_not_flickr(tmp_path):
    write_saint(tmp_path / "reddit")
    with pytest.raises(InputError, match="adj_full.npz, feats.npy, .*not found.*'flickr' in its"):
        load("flickr", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node-feat": b""}, "node-feat.csv.gz is not a readable table of numbers .*no data"),
        ({"node-feat": b"1,2\n3\n"}, "node-feat.csv.gz is not a readable table of numbers"),
        ({"node-feat": b"1,two\n"}, "node-feat.csv.gz is not a readable table of numbers .*'two'"),
        ({"node-feat": np.full((NODES, 2), np.nan)}, "80 feature values are NaN"),
        ({"node-label": np.ones(NODES) / 2}, "labels must be whole numbers, got 0.5 at node 0"),
        ({"node-label": np.arange(NODES - 1)}, "one label for each of 40 nodes, got shape .39,"),
        ({"node-label": np.ones((NODES, 2), int)}, "node-label.csv.gz: expected 1 columns, got 2"),
        ({"edge": np.ones((9, 3), int)}, "edge.csv.gz: expected 2 columns, got 3"),
        ({"edge": edges() + 1}, "edge.csv.gz: expected nodes 0…39, as many as .* got 1…40"),
        ({"edge": edges() - 1}, "edge.csv.gz: expected nodes 0…39, .* got -1…38"),
        ({"valid": np.array([9, 10])}, "1 nodes are in the split more than once, node 9 the first"),
        ({"test": np.array([40])}, "expected test nodes in 0…39, got 40…40"),
    ],
)
def test_bad_tables(tmp_path, changes, message):
    write_ogb(tmp_path / "arxiv", **changes)
    with pytest.raises(InputError, match=message):
        load("ogbn-arxiv", tmp_path)


def test_a_long_line(tmp_path):
    write_ogb(tmp_path / "arxiv", **{"node-feat": b"1," * 2**20})
    with pytest.raises(InputError, match="node-feat.csv.gz .*a line is longer than 1,048,576 byt"):
        load("ogbn-arxiv", tmp_path)


def test_a_truncated_table(tmp_path):
    write_ogb(tmp_path / "arxiv")
    path = tmp_path / "arxiv/raw/edge.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="edge.csv.gz is not a readable table of numbers"):
        load("ogbn-arxiv", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"features": np.ones(NODES)},
            "feats.npy: expected a row of numbers for each of 40 nodes, got",
        ),
        ({"features": np.full((NODES, 2), "a")}, "feats.npy: expected a row of numbers"),
        ({"features": np.full((NODES, 2), {})}, "feats.npy is not a readable.*Python objects"),
        ({"features": np.ones((NODES - 1, 2))}, "feats.npy: expected a row of numbers"),
        ({"features": np.ones((NODES, 0))}, "feats.npy: expected a row of numbers"),
        ({"features": np.ones((2**42, 0))}, "feats.npy: expected a row of numbers"),
        ({"features": np.full((NODES, 2), np.inf)}, "80 feature values are NaN or infinite"),
        ({"classes": {"0": 0, "2": 1}}, "class_map.json: expected an object with the keys 0…39"),
        ({"classes": [0, 1]}, "class_map.json: expected an object with the keys 0…39"),
        (
            {"classes": classes([0, 1])},
            "class_map.json is not a readable .*expected a list of integers",
        ),
        (
            {"classes": {key: [0, 1, 1] for key in classes()}},
            "flickr: 40 nodes have several labels, node 0 the first",
        ),
        ({"classes": classes(0.5)}, "class_map.json .*expected a list of integers, got 0.5"),
        ({"classes": classes("a" * 10**6)}, "class_map.json .*list of integers, got .a{29}."),
        ({"roles": {"tr": ["a"]}}, "role.json .*expected a list of integers, got .a."),
        ({"roles": {"tr": [[0], [1]]}}, "role.json .*expected a list of integers, got .0."),
        ({"roles": {"tr": []}}, "there are no training nodes"),
        ({"roles": {"tr": [[0], [1, 2]]}}, "role.json .*expected a list of integers, got .0."),
        ({"roles": {"tr": 5}}, "role.json is not a readable file of GraphSAINT"),
        ({"roles": {"te": [24]}}, "1 nodes are in the split more than once, node 24 the first"),
        ({"adjacency": sp.csr_array((NODES, 3))}, "the adjacency must be square"),
    ],
)
def test_bad_files(tmp_path, changes, message):
    write_saint(tmp_path / "flickr", **changes)
    with pytest.raises(InputError, match=message):
        load("flickr", tmp_path)


@pytest.mark.parametrize("name", ["adj_full.npz", "feats.npy", "class_map.json", "role.json"])
def test_truncated_files(tmp_path, name):
    write_saint(tmp_path / "flickr")
    path = tmp_path / "flickr" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=f"{name} is not a readable file of GraphSAINT"):
        load("flickr", tmp_path)


def test_a_bomb(tmp_path):
    """It unpacks to more than the 64 MiB that are read of a JSON file."""
    write_saint(tmp_path / "flickr")
    (tmp_path / "flickr/role.json").write_bytes(gzip.compress(b" " * (2**26 + 1)))
    with pytest.raises(InputError, match="role.json .*unpacks to more than 67,108,864 bytes"):
        load("flickr", tmp_path)
