"""Traces of real runs."""

import json
import os
import signal
from collections import Counter
from itertools import pairwise

import pytest

from admm import options, train
from admm.comm import Trace
from admm.errors import DivergedError, InputError, StoppedError

SMALL = {"layers": 4, "hidden": 16, "epochs": 3, "eval_every": 3, "grow": (4,)}


AROUND = ("compile", "evaluate", "checkpoint")


def spans(path, process, around=False):
    """Spans of messages and layers, or those around and inside them."""
    events = json.loads(path.read_text())["traceEvents"]
    own = [event for event in events if event["pid"] == process and event["ph"] == "X"]
    own = [event for event in own if (event["cat"] in AROUND) == around]
    return sorted(own, key=lambda event: event["ts"])


@pytest.mark.parametrize("ranks", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_a_trace_shows_every_layer_and_message(admm, tmp_path, ranks):
    path = tmp_path / "trace.json"
    given = ("--layers", 4, "--hidden", 16, "--epochs", 3, "--grow", "none", "--eval-every", 3)
    workers = () if ranks else ("--workers", 2)
    done = admm(
        *("train", *given, *workers, "--codec", "delta4", "--out", tmp_path / "run"),
        *("--trace", path),
        ranks=ranks,
    )
    assert done.returncode == 0, done.stderr
    processes = [spans(path, process) for process in range(ranks or 1)]
    names = sorted((span["cat"], span["name"]) for own in processes for span in own)
    layers = [("compute", "layer 1 of 1"), *(("compute", f"layer {n} of 3") for n in (1, 2, 3))]
    cut = [("compute", name) for name in ("p", "q", "u", "u below")]
    messages = [("encode", "encode p"), ("encode", "encode q")]
    messages += [("wait", "wait p"), ("wait", "wait q")]
    messages += [("decode", "decode p"), ("decode", "decode q")] * 2
    evaluation = [(what, f"{what} evaluation") for what in ("encode", "wait", "decode")]
    assert names == sorted((layers + cut + messages) * 3 + evaluation)
    for own in processes:  # one after the other, as one host drives one device
        for earlier, later in pairwise(own):
            assert earlier["ts"] + earlier["dur"] <= later["ts"] + 1
    for process, own in enumerate(processes):
        around = spans(path, process, around=True)
        assert Counter(span["name"] for span in around if span["cat"] != "compile") == {
            "evaluate": 1,  # after the last epoch
            "checkpoint": 1,  # at the end
        }
        assert any(span["name"] == "backend_compile" for span in around)
        (evaluate,) = [span for span in around if span["cat"] == "evaluate"]
        for span in own:
            inside = evaluate["ts"] <= span["ts"] < evaluate["ts"] + evaluate["dur"]
            assert inside == span["name"].endswith(" evaluation")


@pytest.mark.parametrize(
    ("solver", "value"),
    [
        ("pdadmm-g", "lagrangian"),
        ("adam", "objective"),
        pytest.param("gsam", "objective", marks=pytest.mark.slow),
    ],
)
def test_a_trace_changes_no_result(tmp_path, solver, value):
    small = {name: SMALL[name] for name in SMALL if solver != "gsam" or name != "grow"}
    traced = train(options(solver, **small, workers=2, trace=tmp_path / "trace.json"))
    plain = train(options(solver, **small, workers=2))
    assert traced.history[-1][value] == plain.history[-1][value]


def test_a_trace_of_a_pipeline(tmp_path):
    """Four micro-batches for each of two workers: all go forward, back, and over the cut."""
    path = tmp_path / "trace.json"
    given = options("adam", **{**SMALL, "epochs": 1, "eval_every": 1}, workers=2, trace=path)
    train(given)
    names = Counter(span["name"] for span in spans(path, 0))
    step = dict.fromkeys(("forward", "backward"), 16) | {"update": 2}
    ways = (f"{what} {x}" for x in ("activation", "gradient") for what in ("encode", "wait"))
    assert names == {
        **step,
        **dict.fromkeys(ways, 8),
        **dict.fromkeys(("decode activation", "decode gradient"), 8),
        **dict.fromkeys((f"{what} evaluation" for what in ("encode", "wait", "decode")), 1),
    }


def test_a_trace_needs_a_folder(tmp_path):
    path = tmp_path / "missing" / "trace.json"
    with pytest.raises(
        InputError, match=f"cannot write a trace to {path}: a folder, or in no folder"
    ):
        train(options(**SMALL, trace=path))


def test_an_interrupted_run_leaves_its_trace(tmp_path):
    def stop(evaluation):
        if evaluation["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    given = options(**{**SMALL, "epochs": 9, "eval_every": 1}, trace=tmp_path / "trace.json")
    with pytest.raises(StoppedError):
        train(given, callback=stop)
    assert any(span["name"] == "layer 4 of 4" for span in spans(given.trace, 0))


def test_a_diverged_run_leaves_its_trace(tmp_path):
    given = options("gd", **{**SMALL, "eval_every": 1}, lr=1e30, trace=tmp_path / "trace.json")
    with pytest.raises(DivergedError):
        train(given)
    assert any(span["name"] == "forward" for span in spans(given.trace, 0))


def test_a_span_that_an_error_leaves():
    trace = Trace(0, "worker 0")
    with pytest.raises(KeyError), trace.span("compute", "layer 1"):
        raise KeyError
    assert trace.events[-1]["name"] == "layer 1"
