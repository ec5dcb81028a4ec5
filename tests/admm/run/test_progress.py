"""Callbacks for people who watch: a bar and TensorBoard, with and without their libraries."""

import struct
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from admm import options, patience, progress_bar, resumed, tensorboard, train
from admm.errors import InputError, OutputError

GIVEN = {"layers": 3, "hidden": 4, "hops": 1, "grow": (2, 3), "epochs": 3}


@pytest.fixture
def bars(monkeypatch):
    """Bars that note what becomes of them."""
    made = []

    class Bar:
        def __init__(self, total, initial, unit):
            self.total, self.n, self.seen, self.closed = total, initial, [initial], False
            made.append(self)

        def update(self, more):
            self.n += more
            self.seen.append(self.n)

        def set_postfix(self, values, refresh):
            self.values = values

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Bar))
    return made


def test_a_bar_counts_the_epochs_of_all_stages(bars):
    given = options(**GIVEN, eval_every=2)
    result = train(given, callback=progress_bar())
    (bar,) = bars
    assert (bar.total, bar.seen, bar.closed) == (6, [2, 2, 3, 5, 6], True)
    assert bar.values == {"val_accuracy": f"{result.history[-1]['val_accuracy']:.4g}"}


def test_the_bar_of_a_run_that_goes_on(bars, tmp_path):
    """It begins where the run was, and a callback behind it may end the run."""
    train(options(**GIVEN, out=tmp_path))
    result = train(resumed(tmp_path, epochs=9), callback=[progress_bar(), patience(1)])
    assert result.summary["stopped"]
    assert bars[0].seen[:3] == [9 + 4, 9 + 4, 9 + 5]
    assert bars[0].closed


def fail(evaluation):
    raise KeyError("mine")


@pytest.mark.parametrize("raises", [False, True])
def test_callbacks_are_closed_however_a_run_ends(raises, bars, monkeypatch, tmp_path):
    boards = []

    class Writer:
        def __init__(self, folder, flush_secs):
            self.closed = False
            boards.append(self)

        def add_scalar(self, name, value, epoch):
            pass

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=Writer))
    given = [progress_bar(), tensorboard(tmp_path), fail if raises else patience(1)]
    with pytest.raises(KeyError, match="mine") if raises else nullcontext():
        assert len(train(options(**{**GIVEN, "epochs": 50}), callback=given).history) < 100
    assert len(boards) == len(bars) == 1
    assert boards[0].closed
    assert bars[0].closed
    train(options(**GIVEN), callback=given[:2])  # the same ones serve another run
    assert [bar.seen[-1] for bar in bars[1:]] == [6]
    assert all(each.closed for each in (*boards, *bars))


def test_every_callback_sees_an_evaluation():
    """Those behind one that stops the run too."""
    seen = []
    result = train(options(**GIVEN), callback=[lambda each: True, seen.append])
    assert seen == result.history
    assert len(seen) == 1


def test_a_bar_goes_back_with_its_run(bars):
    show = progress_bar()
    show.start(options(epochs=10, grow="none"))
    for epoch in (5, 6, 5):
        show({"stage": 0, "epoch": epoch, "val_accuracy": 0.5})
    assert bars[0].seen[-3:] == [5, 6, 5]


def test_a_bar_that_no_run_knows_says_so(bars):
    bar = progress_bar()
    with pytest.raises(InputError, match="progress_bar was not told of a run; pass it itself, as"):
        train(options(**GIVEN), callback=lambda each: bar(each))


def test_a_bar_of_tqdm(capfd):
    pytest.importorskip("tqdm")
    train(options(**GIVEN), callback=progress_bar())
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err
    assert "6/6" in err
    assert "val_accuracy=" in err


@pytest.mark.parametrize(
    ("module", "make", "message"),
    [
        ("tqdm.auto", progress_bar, "progress_bar needs tqdm: pip install tqdm"),
        (
            "tensorboardX",
            lambda: tensorboard("anywhere"),
            "tensorboard needs tensorboardX: pip install tensorboardX",
        ),
    ],
)
def test_libraries_that_are_missing(monkeypatch, tmp_path, module, make, message):
    """They are told before there is work, and by the rank that needs them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"^{message}$"):
        make()
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert make()({"stage": 0, "epoch": 1, "val_accuracy": 0.5}) is None
    assert not list(tmp_path.iterdir())


def scalars(folder):
    """What TensorBoard's file in a folder says: step and value, by name."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    (path,) = folder.iterdir()
    content, found = path.read_bytes(), {}
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + size])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        content = content[12 + size + 4 :]
    return found


def test_what_tensorboard_reads(tmp_path):
    pytest.importorskip("tensorboardX")
    result = train(options(**GIVEN), callback=tensorboard(tmp_path / "logs"))
    assert sorted(each.name for each in (tmp_path / "logs").iterdir()) == ["stage-1", "stage-2"]
    for stage in (0, 1):
        found = scalars(tmp_path / "logs" / f"stage-{stage + 1}")
        lines = [each for each in result.history if each["stage"] == stage]
        assert set(found) == set(lines[0]) - {"stage", "epoch"}
        for name, points in found.items():
            expected = [(line["epoch"], pytest.approx(line[name], rel=1e-6)) for line in lines]
            assert points == expected


def test_a_folder_that_cannot_be(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=None))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"cannot write {tmp_path}/file/logs .Not a directory"):
        tensorboard(tmp_path / "file" / "logs")
    with pytest.raises(InputError, match="tensorboard takes the path of a folder, got ''"):
        tensorboard("")
