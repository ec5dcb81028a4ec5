"""Tables of predictions."""

import numpy as np
import pytest

from admm.files import write_table

FOUND = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("class_names", "text"),
    [
        ((), "row,class,p0,p1\n0,1,0.25,0.75\n1,0,1,0\n"),
        ((3, 7), "row,class,p3,p7\n0,7,0.25,0.75\n1,3,1,0\n"),
        (("a,b", "ü"), 'row,class,"pa,b",pü\n0,ü,0.25,0.75\n1,"a,b",1,0\n'),
    ],
)
def test_a_table_names_the_classes_as_the_labels_do(tmp_path, class_names, text):
    write_table(tmp_path / "found.csv", FOUND, class_names)
    assert (tmp_path / "found.csv").read_text("utf-8") == text


def test_an_archive_has_their_numbers_and_names(tmp_path):
    path = tmp_path / "found.npz"
    write_table(path, FOUND, ["a", "b"])
    with np.load(path) as found:
        assert found["classes"].tolist() == [1, 0]
        assert found["class_names"][found["classes"]].tolist() == ["b", "a"]
        np.testing.assert_array_equal(found["probabilities"], FOUND)
    write_table(path, FOUND)
    with np.load(path) as found:
        assert sorted(found) == ["classes", "probabilities"]
