"""A graph of one's own, written and read again."""

import numpy as np
import pytest
import scipy.sparse as sp

from admm.datasets import checked_graph, load, save_graph, split_of_masks
from admm.errors import InputError, OutputError

N = 90
NODE = np.arange(N)
_RANDOM = np.random.default_rng(0)
LINKS = sp.random_array((N, N), density=0.05, rng=_RANDOM, format="csr")
ROWS = _RANDOM.normal(size=(N, 4))
MASKS = (NODE < 40, (NODE >= 40) & (NODE < 60), NODE >= 60)


def equal(one, other):
    assert one.name == other.name
    for what in ("adjacency", "features"):
        assert (getattr(one, what) != getattr(other, what)).nnz == 0
    np.testing.assert_array_equal(one.labels, other.labels)
    for part, expected in zip(one.split, other.split, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert one.class_names == other.class_names


LABELS = {
    "numbers": NODE % 3,
    "gaps": np.where(NODE % 3 == 1, 7, NODE % 3),
    "none": np.where(NODE % 5, NODE % 3, -1),
    "nan": np.where(NODE % 5, NODE % 3, np.nan),
    "text": np.array(["a", "b", ""])[NODE % 3],
    "bytes": np.array([b"a", b"b", b""])[NODE % 3],
    "objects": [["a", "b", None][node % 3] for node in NODE],
    "numbers and None": [[3, 5, None][node % 3] for node in NODE],
    "signs": np.where(NODE % 2, 1, -1),
    "masked": np.ma.array(NODE % 3, mask=NODE % 5 == 0),
    "column": (NODE % 3)[:, None],
    "one-hot": np.eye(3)[NODE % 3],
    "sparse": sp.csr_array(np.eye(3)[NODE % 3]),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_round_trip(labels, tmp_path):
    written = save_graph(tmp_path / "toy.npz", LINKS, ROWS, labels)
    equal(load(tmp_path / "toy.npz"), written)
    equal(written, checked_graph("toy", LINKS, ROWS, labels))
    assert written.provenance["weights"].startswith("used")


DUPLICATES = sp.coo_array((np.ones(3), ([0, 0, 1], [1, 1, 0])), shape=(N, N))
ADJACENCIES = {
    "array": LINKS.toarray(),
    "coo": LINKS.tocoo(),
    "csc_matrix": sp.csc_matrix(LINKS),
    "bool": LINKS != 0,
    "integers": (10 * LINKS).astype("i2"),
    "duplicates": DUPLICATES,
    "empty": sp.csr_array((N, N)),
    "none": None,
}


@pytest.mark.parametrize("adjacency", ADJACENCIES.values(), ids=ADJACENCIES)
@pytest.mark.parametrize(
    "features", [ROWS, sp.coo_array(ROWS), ROWS > 0], ids=["dense", "", "bool"]
)
def test_matrices_round_trip(adjacency, features, tmp_path):
    written = save_graph(str(tmp_path / "toy.npz"), adjacency, features, NODE % 3)
    equal(load(str(tmp_path / "toy.npz")), written)
    equal(written, checked_graph("toy", adjacency, features, NODE % 3))


@pytest.mark.parametrize(
    "split",
    [MASKS, split_of_masks(*MASKS), [mask[None] for mask in MASKS], [m.tolist() for m in MASKS]],
    ids=["masks", "numbers", "rows", "lists"],
)
def test_splits_round_trip(split, tmp_path):
    written = save_graph(tmp_path / "toy.npz", LINKS, ROWS, NODE % 3, split)
    equal(load(tmp_path / "toy.npz"), written)
    assert [part.tolist() for part in written.split] == [np.flatnonzero(m).tolist() for m in MASKS]


def test_several_splits_round_trip(tmp_path):
    masks = [np.stack([mask, np.roll(mask, 5)]) for mask in MASKS]
    save_graph(tmp_path / "toy.npz", LINKS, ROWS, NODE % 3, masks)
    second = load(tmp_path / "toy.npz", split=1)
    for part, mask in zip(second.split, masks, strict=True):
        np.testing.assert_array_equal(part, np.flatnonzero(mask[1]))


def test_without_features(tmp_path):
    save_graph(tmp_path / "deep" / "toy.npz", LINKS, None, NODE % 3)
    assert load(tmp_path / "deep" / "toy.npz", features="identity").features.shape == (N, N)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(N)}, "toy: expected at least two classes"),
        (
            {"adjacency": LINKS[:-1, :-1]},
            r"toy: expected an adjacency of shape \(90, 90\), .* \(89",
        ),
        ({"adjacency": -LINKS}, "toy: .* edge weights are negative"),
        ({"adjacency": NODE}, r"toy: expected an adjacency of shape \(90, 90\), .* \(90,\)"),
        ({"adjacency": np.full((N, N), None)}, "toy: edge weights must be real numbers, got dtype"),
        ({"features": np.full((N, 2), None)}, "toy: features must be real numbers, got dtype obj"),
        ({"split": [np.array([[], [1]], object)] * 3}, "idx_train.*"),
        ({"features": ROWS[:-1]}, "toy: expected one row of features for each of 90 nodes"),
        ({"split": MASKS[:2]}, "expected a split of 3 parts, got 2"),
        ({"split": (MASKS[0], MASKS[0], MASKS[2])}, "40 nodes are in the split more than once"),
        ({"path": "toy.csv"}, "expected a file that ends in .npz, got toy.csv"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_load_would_refuse_is_not_written(changes, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = {"path": "toy.npz", "adjacency": LINKS, "features": ROWS, "labels": NODE % 3}
    with pytest.raises(InputError, match=message):
        save_graph(**{**whole, **changes})
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_graph(tmp_path / "file" / "toy.npz", LINKS, ROWS, NODE % 3)
