"""Traces of real runs."""

import json
from itertools import pairwise

import pytest

from admm.errors import InputError
from admm.training import Options, train

SMALL = {"layers": 4, "hidden": 16, "epochs": 3, "eval_every": 3, "grow": (4,)}


def spans(path, process):
    events = json.loads(path.read_text())["traceEvents"]
    own = [event for event in events if event["pid"] == process and event["ph"] == "X"]
    return sorted(own, key=lambda event: event["ts"])


@pytest.mark.parametrize("ranks", [None, 2])
def test_a_trace_shows_every_layer_and_message(admm, tmp_path, ranks):
    path = tmp_path / "trace.json"
    options = ("--layers", 4, "--hidden", 16, "--epochs", 3, "--grow", "none", "--eval-every", 3)
    workers = () if ranks else ("--workers", 2)
    done = admm(
        *("train", *options, *workers, "--codec", "delta4", "--out", tmp_path / "run"),
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
    assert names == sorted((layers + cut + messages) * 3)
    for own in processes:  # one after the other, as one host drives one device
        for earlier, later in pairwise(own):
            assert earlier["ts"] + earlier["dur"] <= later["ts"] + 1


def test_a_trace_changes_no_result(tmp_path):
    traced = train(Options(**SMALL, trace=tmp_path / "trace.json"))
    plain = train(Options(**SMALL))
    assert traced.history[-1].lagrangian == plain.history[-1].lagrangian


def test_a_trace_is_of_pdadmm_g(tmp_path):
    with pytest.raises(InputError, match="--trace shows workers of pdadmm-g, not of --solver adam"):
        Options(solver="adam", trace=tmp_path / "trace.json")


def test_a_trace_needs_a_folder(tmp_path):
    path = tmp_path / "missing" / "trace.json"
    with pytest.raises(
        InputError, match=f"cannot write a trace to {path}: a folder, or in no folder"
    ):
        train(Options(**SMALL, trace=path))
