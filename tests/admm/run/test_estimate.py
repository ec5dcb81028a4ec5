"""What a run is said to cost, against what it takes; bytes of every method are in contract.py."""

import gzip
import json
import struct
from importlib import import_module

import numpy as np
import pytest
import scipy.sparse as sp

from admm import datasets, estimate, memory, options, save_graph, train
from admm.comm import LocalTransport
from admm.errors import AdmmError, InputError
from admm.memory import Available

SMALL = {"layers": 4, "hidden": 8, "hops": 1, "epochs": 3}


@pytest.mark.parametrize(
    ("solver", "given"),
    [
        ("pdadmm-g", {"grow": (2, 4), "codec": "delta4", "workers": 3}),
        ("pdadmm-g", {"levels": "0:3", "codec": "levels", "workers": 2, "eval_every": 2}),
        ("gsadmm", {"subnetworks": 3, "codec": "delta2", "workers": 2, "batch": 500}),
        pytest.param(
            *("gsam", {"subnetworks": 3, "refresh": False, "alpha": 1.0, "workers": 3}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_bytes_of_stages_codecs_and_batches(solver, given, tmp_path):
    """A stage of two layers leaves the worker in the middle without any."""
    asked = {n: v for n, v in {**SMALL, **given}.items() if n != "hops" or "pd" in solver}
    found = estimate(options(solver, **asked))
    summary = train(options(solver, **asked, out=tmp_path)).summary
    sent = {n: v for n, v in summary["bytes"]["by_variable"].items() if v}
    assert found.bytes_by_variable == sent
    assert found.evaluation_bytes == summary["bytes"]["evaluation"]
    assert found.flops == summary["costs"]["flops"]
    newest = max((tmp_path / "checkpoints").iterdir())
    units = [dict(np.load(path)) for path in newest.glob("unit_*.npz")]
    best = summary["best"]["stage"]  # its layers may be fewer than those of the last stage
    layers = [dict(np.load(path)) for path in newest.glob("layer_*.npz")]
    nbytes = sum(array.nbytes for each in [*units, *layers] for array in each.values())
    more = 4 * (found.stages[-1].parameters - found.stages[best].parameters)
    assert sum(each.checkpoint_bytes for each in found.stages[-1].workers) == nbytes + more


def test_data_in_memory_and_data_that_are_not_there():
    given = options(**SMALL, dataset="memory:mine")
    with pytest.raises(InputError, match="data in memory, not a name to load"):
        estimate(given)
    found = estimate(given, data=datasets.load("digits"))
    assert found.stages == estimate(options(**SMALL)).stages


def test_float64(x64):
    given = options(**SMALL, grow="none", workers=2, dtype="float64")
    found, summary = estimate(given), train(given).summary
    assert found.bytes_by_variable == summary["bytes"]["by_variable"]
    assert found.evaluation_bytes == summary["bytes"]["evaluation"]
    assert summary["costs"]["model_bytes"] == 8 * found.stages[0].parameters


def test_errors_of_looking_for_what_fits_leave_no_process_alone(monkeypatch):
    """Only one process of a machine looks, and the others wait for its answer."""
    module, left = import_module("admm.run.estimate"), Available(1, "a test")
    given = options(**SMALL)
    found = estimate(given)

    def fail(*_):
        raise AdmmError("out of memory in looking at the data")

    monkeypatch.setattr(module, "estimate", fail)
    for place in (module, memory):
        monkeypatch.setattr(place, "available_memory", lambda: left)
    with pytest.raises(AdmmError, match=r"arrays of 1 of 1 workers, .*are available \(a test\)"):
        module.check_fits(found, given, LocalTransport(1))


def graph(path, nodes):
    random = np.random.default_rng(0)
    labels = random.integers(0, 8, nodes)
    pairs = random.integers(0, nodes, (2, 3 * nodes))
    edges = sp.coo_array((np.ones(3 * nodes), pairs), shape=(nodes, nodes))
    parts = np.array_split(np.arange(nodes), [nodes // 2, 3 * nodes // 4])
    split = datasets.Split(*parts)
    save_graph(path, edges, random.normal(size=(nodes, 64)).astype("float32"), labels, split)
    return path


def images(folder, count):
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, head, values in (
            ("images-idx3", (2051, count, 28, 28), pixels),
            ("labels-idx1", (2049, count), labels),
        ):
            content = struct.pack(f">{len(head)}I", *head) + values.tobytes()
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    return folder


GRAPH = ("--layers", 6, "--hops", 2, "--epochs", 3)


@pytest.mark.slow
@pytest.mark.optimised  # memory is that of the code that users run
@pytest.mark.parametrize(
    ("words", "hidden", "ranks"),
    [
        ((*GRAPH, "--grow", "none"), 512, None),
        ((*GRAPH, "--grow", "none", "--codec", "delta4"), 512, 2),
        ((*GRAPH, "--solver", "adam"), 512, 2),
        (("--solver", "gsadmm", "--layers", 6, "--epochs", 1), 1024, 2),
    ],
)
def test_peak_memory(admm, tmp_path, words, hidden, ranks):
    """Beside that of an idle process, which has compiled the same on next to nothing."""
    if "gsadmm" in words:
        places = []
        for name, count in (("idle", 600), ("busy", 35_000)):
            (tmp_path / name).mkdir()
            where = images(tmp_path / name, count)
            places.append(("--dataset", "mnist14", "--data-dir", where))
    else:
        files = (graph(tmp_path / f"{n}.npz", nodes=n) for n in (300, 20_000))
        places = [("--dataset", file) for file in files]
    peaks, cache = [], {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_COMPILATION_CACHE_DIR": ""}
    for place, width in zip(places, (8, hidden), strict=True):
        out = tmp_path / f"run-{width}"
        for _ in range(2):  # the first one compiles
            given = (*words, *place, "--hidden", width, "--out", out, "--progress", "none")
            done = admm("train", *given, ranks=ranks, timeout=280, **cache)
            assert done.returncode == 0, done.stderr
        peaks.append(np.array(json.loads((out / "summary.json").read_text())["peak_rss_bytes"]))
    given = (*words, *places[1], "--hidden", hidden, "--dry-run", "--progress", "json")
    done = admm("train", *given, ranks=ranks, timeout=280, **cache)
    predicted = json.loads(done.stdout)["peak_bytes"]
    np.testing.assert_allclose(predicted, peaks[1] - peaks[0], rtol=0.15)
