"""Shares of a trace: numbers worked out by hand, overlaps, and files that are no trace of ours."""

import json

import pytest

from admm import options, trace_shares, train
from admm.errors import InputError


def span(kind, start, end, pid=0, name="x"):
    return {
        "ph": "X",
        "cat": kind,
        "name": name,
        "pid": pid,
        "ts": 1e6 * start,
        "dur": 1e6 * (end - start),
    }


def name(pid, text):
    return {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": text}}


def write(tmp_path, *events):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"traceEvents": events}))
    return path


def test_shares_by_hand(tmp_path):
    """Ten seconds of one process: every kind has its own, and two seconds have none."""
    events = [
        name(0, "worker 0"),
        span("compute", 100, 104),
        span("compile", 101, 103),  # within: two of the four are compilation
        span("encode", 104, 104.5),
        span("wait", 104.5, 105.5),
        span("decode", 105.5, 106),
        # 106 to 107: idle
        span("evaluate", 107, 109),
        span("compute", 107.5, 108),  # within an evaluation
        span("wait", 108, 108.5, name="wait evaluation"),
        # 109 to 109.25: idle
        span("checkpoint", 109.25, 110),
    ]
    (found,) = trace_shares(write(tmp_path, *events))
    assert found.process == "worker 0"
    assert found.seconds == pytest.approx(10)
    assert found.of == pytest.approx(
        {
            "compute": 0.2,
            "compile": 0.2,
            "encode": 0.05,
            "wait": 0.1,
            "decode": 0.05,
            "evaluate": 0.2,
            "checkpoint": 0.075,
            "idle": 0.125,
        }
    )


def test_overlaps_count_once(tmp_path):
    """Spans of a kind that overlap, and one that lasts no time, in any order."""
    spans = [
        span("compute", 1, 3),
        span("compute", 0, 2),
        span("wait", 2, 4),
        span("decode", 4, 4),
        span("compute", 4, 5),
    ]
    for events in (spans, spans[::-1]):
        (found,) = trace_shares(write(tmp_path, *events))
        assert found.seconds == pytest.approx(5)
        assert found.of["compute"] == pytest.approx(3 / 5)
        assert found.of["wait"] == pytest.approx(2 / 5)
        assert found.of["idle"] == found.of["decode"] == 0


def test_processes_have_a_time_each(tmp_path):
    """Clocks of two hosts may differ by anything."""
    events = [
        span("compute", 1000, 1001, pid=3),
        span("wait", 1001, 1003, pid=3),
        span("compute", 0, 2, pid=1),
        name(1, "worker 1"),
    ]
    found = trace_shares(write(tmp_path, *events))
    assert [each.process for each in found] == ["worker 1", "process 3"]
    assert [each.seconds for each in found] == pytest.approx([2, 3])
    assert found[1].of["wait"] == pytest.approx(2 / 3)


def test_messages_of_evaluations_are_evaluation(tmp_path):
    """Also without a span around them."""
    (found,) = trace_shares(write(tmp_path, span("wait", 0, 1, name="wait evaluation")))
    assert found.of["evaluate"] == 1


def test_a_real_trace_adds_up(tmp_path):
    path = tmp_path / "trace.json"
    train(options(layers=3, hidden=8, hops=1, grow="none", epochs=3, workers=3, trace=path))
    (found,) = trace_shares(path)
    assert found.process == "process of worker 0: layers 1–1, layers 2–2, layers 3–3"
    assert sum(found.of.values()) == pytest.approx(1)
    for kind in ("compute", "compile", "evaluate", "encode", "decode"):
        assert found.of[kind] > 0, kind
    assert found.of["checkpoint"] == 0  # there is no folder


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"stage,epoch\n0,1\n", "it has no JSON object with traceEvents"),
        (b"\xff\x00", "it has no JSON object with traceEvents"),
        (b"[" * 100_000, "it has no JSON object with traceEvents"),
        (b"[]", "it has no JSON object with traceEvents"),
        (b'{"traceEvents": {}}', "its traceEvents are no list"),
        (b'{"traceEvents": []}', "it has no spans"),
        (b'{"traceEvents": [7]}', "an event is 7"),
        (b'{"traceEvents": [{"ph": "X", "name": "x"}]}', "an event is {'ph': 'X', 'name': 'x'}"),
    ],
)
def test_other_files(tmp_path, content, why):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        trace_shares(path)
    assert str(error.value) == f"{path} is no trace of admm train --trace FILE: {why}"


@pytest.mark.parametrize(
    "changes",
    [{"cat": "xla"}, {"dur": -1.0}, {"dur": float("nan")}, {"ts": float("inf")}, {"ts": "now"}],
    ids=str,
)
def test_spans_of_other_programs(tmp_path, changes):
    with pytest.raises(InputError, match="is no trace of admm train"):
        trace_shares(write(tmp_path, {**span("compute", 0, 1), **changes}))


def test_no_file(admm, tmp_path):
    done = admm("trace", tmp_path / "none.json", timeout=20)
    assert done.returncode == 2
    assert done.stderr == (
        f"admm: error: cannot read {tmp_path / 'none.json'} (No such file or directory)\n"
    )


def test_the_table(admm, tmp_path):
    path = write(tmp_path, name(0, "worker 0"), span("compute", 0, 3), span("wait", 3, 4))
    done = admm("trace", path, timeout=20)
    assert done.returncode == 0, done.stderr
    head, row = (line.split() for line in done.stdout.splitlines())
    expected = ["75.0%", "0.0%", "25.0%", "0.0%", "0.0%", "0.0%", "0.0%", "0.0%"]
    assert head[:6] == ["process", "seconds", "compute", "encode", "wait", "decode"]
    assert row == ["worker", "0", "4.000", *expected]
