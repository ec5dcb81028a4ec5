"""Federations by name, of a folder and of one's own: what is read, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from admm.cli import main
from admm.datasets.clients import Client, Windows, read_federation
from admm.datasets.federation import ReadFederation
from admm.errors import InputError, MissingDataError
from admm.methods.baselines import last_value, ridge_per_client, ridge_pooled

OUTPUTS = ("left", "right")


def windows(count=4, task="regression", fill=0.5):
    inputs = np.full((count, 3, 2), fill)
    if task == "classes":
        return Windows(inputs, np.arange(count) % 2, np.ones(count, bool))
    return Windows(inputs, np.ones((count, 2)), np.ones((count, 2), bool))


def federation(task="regression", **parts):
    """One of a person's own, whose only client has these parts."""
    usual = {part: windows(task=task) for part in ("train", "val", "test")}
    client = Client("whatever", **{**usual, **parts})
    about = {"name": "mine", "task": task, "clients": ["ann"], "columns": [], "outputs": OUTPUTS}
    return SimpleNamespace(**about, steps=3, features=2, client=lambda number: client)


@pytest.mark.parametrize("task", ["regression", "multilabel", "classes"])
def test_an_object_of_ones_own_is_a_federation(task):
    found = read_federation(federation(task))
    client = found.client(0)
    assert client.name == "ann"
    assert client.train.inputs.dtype == np.float32
    assert client.train.targets.dtype == (np.int32 if task == "classes" else np.float32)


def test_what_stands_for_a_missing_target_becomes_zero():
    targets, present = np.full((4, 2), np.nan), np.zeros((4, 2), bool)
    targets[0, 0], present[0, 0] = 7, True
    own = Windows(windows().inputs, targets, present)
    assert read_federation(federation(train=own)).client(0).train.targets.tolist()[0] == [7, 0]


X = windows().inputs
BAD = {
    "none": (windows(0), "has 0 windows, expected at least 2"),
    "one": (windows(1), "has 1 windows, expected at least 2"),
    "missing": (windows()._replace(present=np.zeros((4, 2), bool)), "has only missing targets"),
    "nan": (windows()._replace(inputs=X * np.nan), "has inputs that are not finite"),
    "infinite": (windows()._replace(targets=np.full((4, 2), np.inf)), "targets that are not fin"),
    "large": (windows()._replace(inputs=X * 1e300), "has inputs that are not finite"),
    "columns": (windows()._replace(inputs=X[..., :1]), r"expected inputs of shape \(4, 3, 2\)"),
    "steps": (windows()._replace(inputs=X[:, :2]), r"expected inputs of shape \(4, 3, 2\)"),
    "objects": (windows()._replace(inputs=X.astype(object)), "of real numbers; got object"),
    "outputs": (windows()._replace(targets=np.ones((4, 3))), r"targets of shape \(4, 2\)"),
    "present": (windows()._replace(present=np.ones((4, 2))), "of truth values; got float64"),
    "rows": (windows()._replace(targets=np.ones((3, 2))), r"got float64 of shape \(3, 2\)"),
    "two": ((X, X), "expected inputs, targets and present, got 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_windows_that_cannot_be_used_are_refused_by_the_name_of_the_client(case, unchecked):
    wrong, message = BAD[case]
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match=f"mine: client ann: train.*{message}"),
    ):
        read_federation(federation(train=wrong)).client(0)


def test_a_client_needs_validation_and_test():
    with pytest.raises(InputError, match="client ann: val has 0 windows, expected at least 1"):
        read_federation(federation(val=windows(0))).client(0)


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("classes", np.array([0, 1, 2, 0]), r"expected classes in 0…1, got 0…2"),
        ("classes", np.array([0, -1, 1, 0]), r"expected classes in 0…1, got -1…1"),
        ("classes", np.ones(4), "of whole numbers; got float64"),
        ("multilabel", np.full((4, 2), 0.5), "expected labels of 0 and 1"),
    ],
)
def test_labels_that_are_none_are_refused(task, targets, message):
    own = windows(task=task)._replace(targets=targets)
    with pytest.raises(InputError, match=message):
        read_federation(federation(task, train=own)).client(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "ranking"}, "mine: expected a task of regression, multilabel, classes, got 'ran"),
        ({"clients": []}, "mine: expected at least one of clients, got 0"),
        ({"clients": ["ann", "ann"]}, "mine: clients must have different names"),
        ({"columns": ["x"]}, "mine: expected a name for each of 2 columns, got 1"),
        ({"steps": 0}, "mine: expected at least one of steps, got 0"),
        ({"task": "classes", "outputs": ["a"]}, "mine: expected at least two classes"),
    ],
)
def test_an_outline_that_cannot_be_is_refused(change, message, unchecked):
    with pytest.raises(InputError, match=message):
        read_federation(SimpleNamespace(**{**vars(federation()), **change}))


def test_what_is_no_federation_is_refused():
    with pytest.raises(InputError, match="got a dict without name, task, clients, columns"):
        read_federation({})
    own = SimpleNamespace(**{**vars(federation()), "client": lambda number: None})
    with pytest.raises(InputError, match="client ann: expected a Client .* got a NoneType"):
        read_federation(own).client(0)
    with pytest.raises(InputError, match="data has windows that are ready; leave length= out"):
        read_federation(federation(), length=3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bejing", {}, "unknown data set 'bejing'.*did you mean beijing"),
        ("sensors:clients=0", {}, "sensors: clients must be in 1…10,000, got 0"),
        ("sensors:client=3", {}, "expected options as clients=8,seed=0, .*did you mean clients"),
        ("sensors:hours=20", {}, "sensors: hours must be in 100…1,000,000, got 20"),
        ("sensors", {"stride": (1, 2)}, "stride= must be one, or three of training, .* got 2"),
        ("sensors", {"horizon": 0}, "horizon= must be at least 1, got 0"),
        ("beijing:least=9,most=8", {}, "beijing: most 8 must not be below least 9"),
        ("har:share=0", {}, r"har: share must be in \(0, 1\], got 0"),
    ],
)
def test_names_and_options_that_mean_nothing_are_refused(name, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_federation(name, **options)


def test_missing_files_are_told(tmp_path):
    with pytest.raises(MissingDataError, match=r"beijing: beijing_multisite.npz not found below"):
        read_federation("beijing", data_dir=tmp_path)
    with pytest.raises(MissingDataError, match="no such folder: "):
        read_federation(tmp_path / "nowhere")


def test_a_client_of_sensors_does_not_depend_on_the_others():
    few, many = read_federation("sensors:clients=2"), read_federation("sensors:clients=5")
    for mine, other in zip(few.client(1)[1:], many.client(1)[1:], strict=True):
        assert all(map(np.array_equal, mine, other))
    other = read_federation("sensors:clients=2,seed=1").client(1)
    assert other.train.inputs.shape != few.client(1).train.inputs.shape


@pytest.mark.parametrize("seed", range(3))
def test_on_sensors_together_is_better_than_alone(seed):
    """By a tenth; and the last value is far from both."""
    found = read_federation(f"sensors:seed={seed}")
    clients = [found.client(number) for number in range(8)]
    alone = np.mean([ridge_per_client(found, client)["mae"] for client in clients])
    together = np.mean([scores["mae"] for scores in ridge_pooled(found, clients)])
    last = np.mean([last_value(found, client)["mae"] for client in clients])
    assert together < 0.9 * alone
    assert last > 2 * together


def test_beijing_is_the_recipe(data_dir):
    found = read_federation("beijing:most=0", data_dir=data_dir, stride=(23, 13, 7))
    assert (len(found.clients), found.steps, found.features, len(found.outputs)) == (12, 12, 15, 6)
    clients = [found.client(number) for number in range(12)]
    assert [len(part.inputs) for part in clients[0][1:]] == [1143, 339, 619]
    errors = [last_value(found, client)["mae"] for client in clients]
    assert np.mean(errors) == pytest.approx(0.589, abs=0.002)
    assert np.mean([client.train.present.mean() for client in clients]) > 0.9


def test_clients_of_beijing_have_few_windows_of_a_season(data_dir):
    every = read_federation("beijing:most=0", data_dir=data_dir).client(3).train
    sizes = []
    for seed in range(4):
        own = read_federation(f"beijing:seed={seed}", data_dir=data_dir).client(3).train
        sizes.append(len(own.inputs))
        starts = np.flatnonzero((every.inputs[:, 0] == own.inputs[0, 0]).all(axis=1))
        there = [np.array_equal(every.inputs[s : s + sizes[-1]], own.inputs) for s in starts]
        assert any(there)
    assert all(40 <= size <= 400 for size in sizes)
    assert len(set(sizes)) > 1


def test_har_is_the_recipe(data_dir):
    whole, fifth = (read_federation(f"har:share={s}", data_dir=data_dir) for s in (1, 0.2))
    assert (len(whole.clients), whole.steps, whole.features) == (23, 50, 6)
    assert whole.outputs == ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
    for number in (0, 1, 22):
        more, less = whole.client(number), fifth.client(number)
        assert 0 < len(less.train.inputs) < len(more.train.inputs) / 2
        assert np.array_equal(more.test.targets, less.test.targets)
        assert np.array_equal(more.val.targets, less.val.targets)
        assert more.train.inputs.mean(axis=(0, 1)) == pytest.approx(0, abs=0.2)
    with pytest.raises(InputError, match="har has a class for each window; leave horizon= out"):
        read_federation("har", data_dir=data_dir, horizon=1)


def test_a_read_federation_is_itself_one():
    found = read_federation("sensors:clients=2")
    again = read_federation(found)
    assert isinstance(again, ReadFederation)
    assert np.array_equal(again.client(1).test.inputs, found.client(1).test.inputs)


def test_commands_know_the_names(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("ADMM_DATA", raising=False)
    assert main(["datasets", "list", "--data-dir", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "sensors           series  generated, as sensors:clients=8,seed=0\n" in listed
    assert "har               series  not there; get it from doi.org/10.5281/zenodo" in listed
    assert main(["datasets", "check", "sensors:clients=2"]) == 0
    head, first, _ = capsys.readouterr().out.splitlines()
    assert head == (
        "sensors:clients=2,seed=0: 2 clients; windows of 12 steps, 4 columns, 4 numbers"
    )
    assert first == (
        "  client 0: 46 windows for training, 38 for validation, 78 for the test; 1.5% of the "
        "targets are missing"
    )
    assert main(["datasets", "check", "sensors:client=2"]) == 2
    assert "did you mean clients?" in capsys.readouterr().err
    for name in ("ann", "bob"):
        arrays = {"series": np.eye(200, 2), "columns": ["a", "b"], "targets": ["a"]}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    assert main(["datasets", "check", str(tmp_path)]) == 0
    assert "  bob: 26 windows for training, 4 for validation" in capsys.readouterr().out


def test_commands_check_the_archives(capsys, data_dir):
    assert main(["datasets", "check", str(data_dir / "sensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 12 + 23
    assert lines[0].startswith("beijing:seed=0: 12 clients; windows of 12 steps, 15 columns, 6 num")
    assert "har: 23 clients; windows of 50 steps, 6 columns, 5 classes" in lines
