"""Labels of any kind, mapped to 0…C−1."""

import numpy as np
import pytest
import scipy.sparse as sp

from admm.datasets import checked_graph
from admm.datasets.labels import read_labels
from admm.errors import InputError

NODE = np.arange(6)


@pytest.mark.parametrize(
    ("labels", "numbers", "names", "words"),
    [
        ([0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2], (0, 1, 2), ""),
        ([0, 1, -1, 0, 1, 2], [0, 1, -1, 0, 1, 2], (0, 1, 2), ""),
        ([1, 2, 3, 1, 2, 3], [0, 1, 2, 0, 1, 2], (1, 2, 3), "mapped from 1…3"),
        ([2, 5, -1, 2, 9, 5], [0, 1, -1, 0, 2, 1], (2, 5, 9), "mapped from 2, 5, 9"),
        (
            [1, -1, 1, -1, 1, 1],
            [1, 0, 1, 0, 1, 1],
            (-1, 1),
            "mapped from -1, 1 (−1 is a class, as there is no other value)",
        ),
        ([1, -1, 2, -1, 1, 1], [0, -1, 1, -1, 0, 0], (1, 2), "mapped from 1…2"),
        ([0.0, np.nan, 1.0, 0.0, -1.0, 1.0], [0, -1, 1, 0, -1, 1], (0, 1), ""),
        ([[3], [4], [3], [4], [-1], [3]], [0, 1, 0, 1, -1, 0], (3, 4), "mapped from 3…4"),
        (
            [True, False, True, True, False, True],
            [1, 0, 1, 1, 0, 1],
            (False, True),
            "mapped from False, True",
        ),
        (
            ["b", "a", "", "nan", "ü", "a"],
            [1, 0, -1, -1, 2, 0],
            ("a", "b", "ü"),
            "mapped from 'a', 'b', 'ü'",
        ),
        (
            ["b", None, "a", "b", "a", "a"],
            [1, -1, 0, 1, 0, 0],
            ("a", "b"),
            "mapped from 'a', 'b'",
        ),
        ([7, None, 8, 7, float("nan"), 8], [0, -1, 1, 0, -1, 1], (7, 8), "mapped from 7…8"),
        (
            np.char.encode(["ü", "a", "", "a", "ü", "a"], "utf-8"),
            [1, 0, -1, 0, 1, 0],
            ("a", "ü"),
            "mapped from 'a', 'ü'",
        ),
        (
            np.array(["b", np.nan, "a", None, "b", "a"], object),
            [1, -1, 0, -1, 1, 0],
            ("a", "b"),
            "mapped from 'a', 'b'",
        ),
        (
            np.array([np.int64(3), np.float32(4), None, np.nan, 3, 4], object),
            [0, 1, -1, -1, 0, 1],
            (3, 4),
            "mapped from 3…4",
        ),
        (np.array([[0, 1, 2, 0, -1, 2]]), [0, 1, 2, 0, -1, 2], (0, 1, 2), ""),
        (np.array([0, 1, np.nan, 0, 1, 0], "f2"), [0, 1, -1, 0, 1, 0], (0, 1), ""),
        (np.array([0, 1, 255, 0, 1, 0], "u1"), [0, 1, 2, 0, 1, 0], (0, 1, 255), None),
        (np.array([0, 1, -1, 0, 1, 0], ">i4"), [0, 1, -1, 0, 1, 0], (0, 1), ""),
        (
            np.ma.array(NODE % 3, mask=NODE == 4),
            [0, 1, 2, 0, -1, 2],
            (0, 1, 2),
            "",
        ),
    ],
    ids=str,
)
def test_labels(labels, numbers, names, words):
    found = read_labels("toy", labels)
    assert found.numbers.tolist() == numbers
    assert found.numbers.dtype == np.int64
    assert found.class_names == names
    assert [type(name) for name in found.class_names] == [type(name) for name in names]
    assert words is None or found.words == words


@pytest.mark.parametrize("kind", ["f4", "i8", "?"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csr_matrix, sp.coo_array])
def test_one_hot_rows(form, kind):
    """A row of zeros has no label, a column of zeros is no class."""
    rows = np.eye(4)[[0, 3, 1, 3, 0, 0]]
    rows[4] = 0
    found = read_labels("toy", form(rows.astype(kind)))
    assert found.numbers.tolist() == [0, 2, 1, 2, -1, 0]
    assert found.class_names == (0, 1, 3)
    assert found.words == "mapped from 0, 1, 3, the columns of ones"


def test_many_classes_in_few_words():
    found = read_labels("toy", [f"class {k:03}" for k in range(1000)])
    assert found.words == "mapped from 'class 000', 'class 001', …, 'class 999'"
    assert len(found.class_names) == 1000


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, -100, 0, 1, 2], "label -100 is out of range; expected classes from 0, and −1 wh"),
        ([0, 1, 0.5, 0, 1, 2], "whole numbers, got 0.5 at node 2; NaN or −1 where a node has n"),
        ([0, 1, np.inf, 0, 1, 2], "labels must be whole numbers, got inf at node 2"),
        ([0, 1, 1e300, 0, 1, 2], "labels must be whole numbers, got 1e"),
        (["a", 1, "b", None], "labels must be all numbers or all text, got Python objects"),
        ([0, "a", "b"], "labels must be all numbers or all text, got Python objects"),
        ([-1, "a", "b"], "labels must be all numbers or all text, got Python objects"),
        ([{}, {}], "labels must be all numbers or all text, got Python objects"),
        ([2**70, 0], "labels are beyond the whole numbers of 64 bits"),
        ([1j, 2], "labels must be whole numbers, truth values or text, got complex128"),
        ([b"\xff", b"a"], "labels are not valid text"),
        (["\ud800", "a"], "labels are not valid text"),
        ([[1, 0], [1]], "labels must be like an array"),
        ([[1, 1], [0, 1]], "1 nodes have several labels, node 0 the first; every node needs one"),
        ([[1, 0], [0, 2]], "must be rows of zeros and a one, got 2"),
        ([[1, 0], [0, np.nan]], "must be rows of zeros and a one, got nan"),
        ([[[1]]], r"expected one label for each node, got shape \(1, 1, 1\)"),
        (["a", "a", ""], r"expected at least two classes, got the labels \['a'\]"),
        ([None, None], r"expected at least two classes, got the labels \[\]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_that_are_refused(labels, message):
    with pytest.raises(InputError, match=f"^toy: .*{message}"):
        read_labels("toy", labels)


def test_fractions_are_no_classes_of_plain_rows():
    with pytest.raises(InputError, match="got 0.5 at row 1; leave out rows without one"):
        read_labels("toy", [0, 0.5, 1], plain=True)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([-1, 1, -1, 1], (-1, 1)),
        ([-1, 0, 1, -1], (-1, 0, 1)),
        ([-1.0, 2.0, -7.0, 2.0], (-7, -1, 2)),
        (np.array(["a", "b", "-1"], object), ("-1", "a", "b")),
        ([[0, 1], [1, 0]], (0, 1)),
    ],
    ids=str,
)
def test_every_number_is_a_class_of_plain_rows(labels, names):
    found = read_labels("toy", labels, plain=True)
    assert found.class_names == names
    if np.ndim(labels) == 1:
        assert [names[n] for n in found.numbers] == list(labels)
    assert "no other value" not in found.words


@pytest.mark.parametrize(
    ("labels", "row"),
    [
        ([0, 1, np.nan, np.nan], 2),
        (["a", "b", None, ""], 2),
        (np.ma.array([0, 1, 0, 1], mask=[0, 1, 0, 1]), 1),
        ([[0, 1], [0, 0], [1, 0], [0, 0]], 1),
    ],
    ids=str,
)
def test_plain_rows_need_a_label_each(labels, row):
    with pytest.raises(
        InputError, match=f"toy: 2 of 4 rows have no label, row {row} the first; only nodes of a gr"
    ):
        read_labels("toy", labels, plain=True)


def test_a_graph_says_what_its_classes_are():
    labels = np.array(["cat", "dog", ""])[np.arange(90) % 3]
    graph = checked_graph("toy", None, np.eye(90), labels)
    assert (graph.classes, graph.class_names) == (2, ("cat", "dog"))
    assert graph.provenance == {
        "weights": "none",
        "direction": "no edges",
        "labels": "mapped from 'cat', 'dog'",
        "unlabelled": "30 nodes",
        "split": "random, seed 100, at most 20 a class for training",
    }
    np.testing.assert_array_equal(graph.labels == 1, labels == "dog")
