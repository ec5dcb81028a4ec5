"""Table, JSON and plot that every benchmark writes; what becomes of them that cannot be written."""

import contextlib
import json
import os
import time

import pytest

from admm.errors import OutputError
from benchmarks.report import Progress, Report, at_least, make_parser, positive

PARSER = make_parser("some", "What it does.")


def draw(figure, rows):
    figure.subplots().plot([row["epoch_ms"] for row in rows])


def test_table_json_and_plot(tmp_path, capsys):
    out, picture = tmp_path / "rows.json", tmp_path / "plot.png"
    report = Report("some", PARSER.parse_args(["--json", str(out), "--plot", str(picture)]))
    report.begin({"method": "<8", "ranks": ">5", "epoch_ms": ">8.1f", "error": ">6.1%"}, 2)
    report.add({"method": "ours", "ranks": 2, "epoch_ms": 1234.56, "error": 0.0789, "extra": 7})
    report.add({"method": "theirs", "ranks": 16, "epoch_ms": 0.04, "error": None})
    report.results["ratio"] = 1.23456
    report.finish(draw)
    assert capsys.readouterr().out == (
        "method    ranks  epoch_ms   error\n"
        "ours          2    1234.6    7.9%\n"
        "theirs       16       0.0       –\n"
        "ratio: 1.23\n"
    )
    content = json.loads(out.read_text())
    assert content["benchmark"] == "some"
    assert content["rows"] == report.rows
    assert content["rows"][0]["extra"] == 7
    assert content["results"] == {"ratio": 1.23456}
    assert content["machine"]["cores"] >= 1
    assert "jax" in content["versions"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_tables_and_an_unfinished_report(tmp_path, capsys):
    out = tmp_path / "rows.json"
    report = Report("some", PARSER.parse_args(["--json", str(out)]))
    report.begin({"a": ">3"}, 1)
    report.add({"a": 1})
    assert json.loads(out.read_text())["rows"] == [{"a": 1}]
    report.begin({"b": ">4.1f"}, 1)
    report.add({"b": 2.0})
    assert json.loads(out.read_text())["rows"] == [{"a": 1}, {"b": 2.0}]
    assert capsys.readouterr().out == "  a\n  1\n   b\n 2.0\n"
    assert list(tmp_path.iterdir()) == [out]


def test_no_files_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Report("some", PARSER.parse_args([])).finish(draw)
    assert list(tmp_path.iterdir()) == []


def test_how_far_a_long_table_is(monkeypatch, capsys):
    """The rows left are expected to take what those before took; rows of old do not count."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    report = Report("some", PARSER.parse_args([]))
    report.begin({"a": ">3"}, 4)
    report.add({"a": 0}, measured=False)
    for row in range(4):
        now += 60.0
        report.add({"a": row})
    assert capsys.readouterr().err == (
        "row 1 of 4, about 0:03:00 left\n"
        "row 2 of 4, about 0:02:00 left\n"
        "row 3 of 4, about 0:01:00 left\n"
    )


def test_nothing_is_said_of_a_short_one(capsys):
    progress = Progress("timing", 3)
    for _ in range(3):
        progress.step()
    assert capsys.readouterr().err == ""


@contextlib.contextmanager
def nobody_reads():
    """Standard output is a pipe whose other end is closed."""
    end, start = os.pipe()
    os.close(end)
    with os.fdopen(start, "w") as stream, contextlib.redirect_stdout(stream):
        yield


def test_a_table_that_nobody_reads_ends_the_benchmark():
    words = "standard output is closed or full, and no --json FILE"
    with nobody_reads(), pytest.raises(OutputError, match=words):
        Report("some", PARSER.parse_args([])).begin({"a": ">3"}, 1)


def test_a_table_that_nobody_reads_does_not_end_what_goes_into_a_file(tmp_path, capsys):
    out = tmp_path / "rows.json"
    with nobody_reads():
        report = Report("some", PARSER.parse_args(["--json", str(out)]))
        report.begin({"a": ">3"}, 1)
        report.add({"a": 1})
        report.finish(draw)
    assert json.loads(out.read_text())["rows"] == [{"a": 1}]
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_told(tmp_path):
    with pytest.raises(OutputError, match="cannot write /dev/full"):
        Report("some", PARSER.parse_args(["--json", "/dev/full"])).finish(draw)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "missing/rows.json"], "no folder for missing/rows.json"),
        (["--json", "folder"], "folder is a folder, expected the name of a file"),
        (["--plot", "rows.txt"], "rows.txt must end with one of "),
        (["--count", "1"], "argument --count: must be at least 2, got 1"),
        (["--count", "x"], "argument --count: invalid whole_number value: 'x'"),
        (["--rate", "0"], "argument --rate: must be positive and finite, got 0"),
        (["--rate", "inf"], "argument --rate: must be positive and finite, got inf"),
        (["--rate", "nan"], "argument --rate: must be positive and finite, got nan"),
    ],
)
def test_mistakes(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    parser = make_parser("some", None)
    parser.add_argument("--count", type=at_least(2))
    parser.add_argument("--rate", type=positive)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_found_out_first(capsys):
    with pytest.raises(SystemExit):
        PARSER.parse_args(["--json", "/proc/rows.json"])
    assert "cannot write /proc/rows.json" in capsys.readouterr().err
