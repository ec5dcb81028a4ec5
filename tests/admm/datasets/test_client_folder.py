"""Folders of one file for each client: both forms, and files that cannot be trusted."""

import numpy as np
import pytest

from admm.datasets.clients import read_federation
from admm.errors import InputError

COLUMNS = np.array(["a", "b", "c"])


def series(seed=0, steps=200):
    return np.random.default_rng(seed).normal(size=(steps, 3))


def write_series(folder, name, **change):
    arrays = {"series": series(), "columns": COLUMNS, "targets": np.array(["b"]), **change}
    np.savez(folder / f"{name}.npz", **{key: a for key, a in arrays.items() if a is not None})


def write_windows(folder, name, **change):
    arrays = {"outputs": np.array(["x", "y"])}
    for part in ("train", "val", "test"):
        arrays[f"{part}_inputs"] = np.ones((5, 4, 3), np.float32)
        arrays[f"{part}_targets"] = np.ones((5, 2), np.float32)
    arrays |= change
    np.savez(folder / f"{name}.npz", **{key: a for key, a in arrays.items() if a is not None})


def test_series_are_cut_into_windows(tmp_path):
    write_series(tmp_path, "ann", period=np.array(24))
    write_series(tmp_path, "bob", series=series(1, 300).astype(np.float32), period=np.array(24))
    found = read_federation(tmp_path, length=6, stride=1, horizon=2)
    assert found.name == tmp_path.name
    assert (found.clients, found.columns, found.outputs) == (
        ("ann", "bob"),
        ("a", "b", "c"),
        ("b",),
    )
    assert [len(part.inputs) for part in found.client(0)[1:]] == [133, 23, 23]
    assert [len(part.inputs) for part in found.client(1)[1:]] == [203, 38, 38]
    with pytest.warns(UserWarning, match="stride=12 shares a factor with the 24 steps of a day"):
        read_federation(tmp_path, stride=12)


def test_windows_are_taken_as_they_are(tmp_path):
    targets = np.array([[1, np.nan], [2, 3], [4, 5], [-6, 7], [8, 9]])
    write_windows(tmp_path, "ann", train_targets=targets)
    found = read_federation(tmp_path)
    assert (found.task, found.steps, found.features, found.columns) == ("regression", 4, 3, ())
    train = found.client(0).train
    assert train.present.tolist()[:2] == [[True, False], [True, True]]
    assert train.targets[3].tolist() == [-6, 7]
    with pytest.raises(InputError, match="has ready windows; leave length= and stride= out"):
        read_federation(tmp_path, length=6, stride=2)


def test_whole_numbers_are_classes_and_minus_one_is_missing(tmp_path):
    own = {f"{part}_targets": np.array([0, 1, -1, 1, 0]) for part in ("train", "val", "test")}
    write_windows(tmp_path, "ann", **own)
    found = read_federation(tmp_path)
    assert found.task == "classes"
    assert found.client(0).train.present.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("dtype", [np.int8, np.float64, bool])
def test_labels_say_what_they_are(tmp_path, dtype):
    own = {f"{part}_targets": np.eye(5, 2).astype(dtype) for part in ("train", "val", "test")}
    write_windows(tmp_path, "ann", task=np.array("multilabel"), **own)
    found = read_federation(tmp_path)
    assert found.task == "multilabel"
    assert found.client(0).train.targets[:2].tolist() == [[1, 0], [0, 1]]


def test_nobody_but_its_owner_reads_a_client(tmp_path):
    write_series(tmp_path, "ann")
    (tmp_path / "bob.npz").write_bytes(b"secret")
    found = read_federation(tmp_path)
    assert found.client(0).name == "ann"
    with pytest.raises(InputError, match=r"bob.npz is not a readable .npz file of sensors"):
        found.client(1)


OTHERS = {
    "columns": ({"columns": np.array(["a", "b", "d"])}, "client bob has columns .*'d'.*client ann"),
    "targets": ({"targets": np.array(["a"])}, "client bob has outputs .*'a'.*client ann"),
    "fewer": (
        {"series": series()[:, :2], "columns": COLUMNS[:2]},
        "client bob has columns .*client ann has",
    ),
    "nan": ({"series": series() * np.nan}, "client bob: column a has no value in the training"),
    "short": ({"series": series()[:10]}, "client bob: train has 0 windows, expected at least 2"),
    "empty": ({"series": series()[:0]}, "client bob: column a has no value"),
    "one": ({"series": series()[:19]}, "client bob: train has 1 windows, expected at least 2"),
    "flat": ({"series": np.zeros(200)}, "bob.npz: expected series of real numbers, any × 3; got"),
    "text": ({"series": np.full((200, 3), "x")}, "bob.npz: expected series of real numbers"),
    "unknown": ({"targets": np.array(["z"])}, r"bob.npz: targets \['z'\] are not among columns"),
    "objects": ({"series": series().astype(object)}, "bob.npz .*has Python objects, which are not"),
    "nameless": ({"columns": None}, "bob.npz: no array 'columns' in the file"),
    "numbers": ({"columns": np.arange(3)}, "bob.npz: expected columns of text, any; got int64"),
    "nothing": ({"series": None}, "bob.npz has no train_inputs, .*expected series, columns and"),
    "period": ({"period": np.array([24])}, "bob.npz: expected period of whole numbers, a single"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_series_that_cannot_be_used_is_refused_by_name(case, tmp_path):
    change, message = OTHERS[case]
    write_series(tmp_path, "ann")
    write_series(tmp_path, "bob", **change)
    with pytest.raises(InputError, match=message):
        read_federation(tmp_path, horizon=1, stride=1).client(1)


def test_only_missing_targets_are_refused_by_name(tmp_path):
    values = series()
    values[140:, 1] = np.nan
    write_series(tmp_path, "ann", series=values)
    with pytest.raises(InputError, match="client ann: val has only missing targets"):
        read_federation(tmp_path).client(0)


READY = {
    "steps": ({"train_inputs": np.ones((5, 3, 3))}, "client bob has steps 3, client ann has 4"),
    "names": ({"columns": COLUMNS}, "client bob has columns .*, client ann has"),
    "part": ({"val_inputs": np.ones((5, 3, 3))}, r"client bob: val: expected inputs of shape \(5,"),
    "task": ({"task": np.array("guess")}, "client bob has task guess, client ann has regression"),
    "flat": ({"train_inputs": np.ones((5, 3))}, r"expected train_inputs \(windows, T, D\), got"),
    "without": ({"test_targets": None}, "bob.npz has no test_targets; expected series"),
    "text": ({"val_targets": np.full((5, 2), "x")}, "client bob: val: expected targets of shape"),
    "objects": ({"test_inputs": np.ones((5, 4, 3), object)}, "Python objects, which are not read"),
    "nan": ({"train_targets": np.full((5, 2), np.nan)}, "bob: train has only missing targets"),
}


@pytest.mark.parametrize("case", READY)
def test_windows_that_cannot_be_used_are_refused_by_name(case, tmp_path):
    change, message = READY[case]
    write_windows(tmp_path, "ann")
    write_windows(tmp_path, "bob", **change)
    with pytest.raises(InputError, match=message):
        read_federation(tmp_path).client(1)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("write", [write_series, write_windows])
def test_a_truncated_file_is_refused_by_name(share, write, tmp_path):
    write(tmp_path, "ann")
    path = tmp_path / "ann.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"ann.npz is not a readable .npz file of sensors"):
        read_federation(tmp_path)


def test_a_folder_without_clients_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no .npz files; expected one for each client"):
        read_federation(tmp_path)
    write_series(tmp_path, "ann")
    with pytest.raises(InputError, match="is no folder; expected one with an .npz file for a cl"):
        read_federation(tmp_path / "ann.npz")


def clocked(folder, **starts):
    """A folder of hourly series that begin at these hours; at none where that is None."""
    series = np.random.default_rng(0).normal(size=(200, 2))
    for name, start in starts.items():
        arrays = {"series": series, "columns": np.array(["a", "b"]), "targets": np.array(["b"])}
        clock = {} if start is None else {"start": start}
        np.savez(folder / f"{name}.npz", **arrays, period=24, **clock)
    return read_federation(folder, stride=5)


def test_series_with_a_start_have_a_common_clock(tmp_path):
    found = clocked(tmp_path, ann=0, bob=22)
    assert found.slots == 24
    ann, bob = (found.client(number).train.slots for number in (0, 1))
    assert ann[:6].tolist() == [0, 5, 10, 15, 20, 1]
    assert ((bob - ann) % 24 == 22).all()


def test_without_a_start_there_is_no_clock(tmp_path):
    found = clocked(tmp_path, ann=None)
    assert (found.slots, found.client(0).train.slots) == (0, None)


def test_a_clock_that_only_some_have_is_refused(tmp_path):
    found = clocked(tmp_path, ann=3, bob=None)
    with pytest.raises(InputError, match="client bob has clock False, client ann has True"):
        found.client(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"period": 0}, "ann.npz: start is a step in a period; expected a period of at least 1"),
        ({"start": 1.5}, "ann.npz: expected start of whole numbers"),
    ],
)
def test_a_start_that_means_nothing_is_refused(changes, message, tmp_path):
    arrays = {"series": np.ones((50, 1)), "columns": ["a"], "targets": ["a"], "period": 24}
    np.savez(tmp_path / "ann.npz", **{**arrays, "start": 1, **changes})
    with pytest.raises(InputError, match=message):
        read_federation(tmp_path, stride=5).client(0)
