"""The benchmark of gsADMM and gsAM: its settings, its figures by hand, its data-parallel Adam."""

import json
from dataclasses import asdict

import pytest

from benchmarks import tssm, tssm_accuracy, tssm_time
from benchmarks.training import train_all

PAIR = """
import jax, numpy as np, sys
from jax.flatten_util import ravel_pytree
from admm import LocalTransport
from admm.comm.launch import world
from benchmarks.cases import NetworkCase
from benchmarks.data_parallel import SumTransport
from benchmarks.subnetworks import make_adam

def flat(trainer):
    params, memory = trainer.state
    return np.array(ravel_pytree(params)[0])

comm = world()
network, batch = sys.argv[1], int(sys.argv[2])
size = dict(layers=3, hidden=8, blocks=1, filters=4, batch=batch, batches=3)
case = NetworkCase("adam", network, **size)
whole, shared = make_adam(case, LocalTransport()), make_adam(case, SumTransport(comm))
start = flat(whole)
for _ in range(2):
    for trainer in (whole, shared):
        trainer.epoch()
        trainer.finish()
assert abs(flat(whole) - start).max() > 1e-3
# Adam divides by the size of a gradient: where that is 0 but for rounding, the step is anything.
apart = np.linalg.norm(flat(shared) - flat(whole)) / np.linalg.norm(flat(whole) - start)
assert apart < 1e-3, apart
assert comm.allreduce(1) == 2
"""


@pytest.mark.parametrize(
    ("network", "batch"), [("mlp", 9), pytest.param("cnn", 10, marks=pytest.mark.slow)]
)
def test_data_parallel_adam_takes_the_steps_of_one_process(mpi_python, network, batch):
    done = mpi_python(PAIR, network, batch, ranks=2)
    assert done.returncode == 0, done.stderr


def test_settings():
    given, options = tssm.parse(["--quick", "--epochs", "2"], ["--alpha", "1"])
    assert options == ["--alpha", "1"]
    assert (given.part, given.dataset, given.seeds, given.epochs) == ("both", "digits", 1, 2)
    assert given.subnetworks == [2, 3]
    assert (given.layers, given.hidden, given.batch) == (4, 64, 24)
    given, _ = tssm.parse(["--seeds", "1"], [])
    assert (given.dataset, given.seeds, given.subnetworks) == ("mnist14", 1, [2, 3, 4])
    assert (given.layers, given.hidden, given.batch, given.epochs) == (10, 512, 120, 10)


@pytest.mark.parametrize(
    ("argv", "options", "message"),
    [
        ([], ["--epochs", "3"], "--epochs is set by the benchmark"),
        ([], ["--network=cnn"], "--network is set by the benchmark"),
        (["--subnetworks", "0"], [], "must be at least 1"),
        (["--codecs", "levels"], [], "invalid choice: 'levels'"),
    ],
)
def test_settings_that_do_not_fit(capsys, argv, options, message):
    with pytest.raises(SystemExit, match="2"):
        tssm.parse(argv, options)
    assert message in capsys.readouterr().err


def run(tests, q_f, status="done"):
    history = [{"epoch": n + 1, "test_accuracy": value} for n, value in enumerate(tests)]
    return {
        "final": {"train_accuracy": 1.0, "val_accuracy": 0.5, "test_accuracy": tests[-1]},
        "history": history,
        "status": status,
        "options": {"frozen_lower": False},
        "cuts": [{"q_f": value, "p_q": 0.0} for value in q_f],
        "bytes": {"sent": 8},
        "seconds": {"total": 3.0},
    }


def test_scores():
    # The fall to epoch 3 does not count, those to epochs 4 and 5 do.
    runs = [run([0.9, 0.8, 0.1, 0.6, 0.4], [0.1, 0.3]), run([0.5, 0.5, 0.7, 0.6, 0.6], [0.5, 0.2])]
    row = tssm_accuracy.score(runs)
    assert row["worst_fall"] == pytest.approx(0.2)
    assert (row["test_accuracy"], row["test_std"]) == pytest.approx((0.5, 0.1))
    assert (row["q_f"], row["p_q"], row["seconds"]) == pytest.approx((0.4, 0, 3))
    assert (row["seeds"], row["diverged"], row["control"]) == (2, 0, False)
    # Too short to fall, one subnetwork; a cut that has left the finite numbers.
    short = tssm_accuracy.score([run([0.5, 0.1], [])])
    assert (short["worst_fall"], short["q_f"]) == (None, None)
    lost = tssm_accuracy.score([run([0.5, 0.1], [None], status="diverged")])
    assert (lost["diverged"], lost["q_f"]) == (1, None)


def test_differences_of_accuracy():
    def row(method, test, network="mlp"):
        about = {"network": network, "subnetworks": 2, "codec": "float32"}
        return {**about, "method": method, "test_accuracy": test}

    rows = [row("adam", 0.75), row("frozen", 0.5), row("gsam", 0.875), row("gsam", 0.1, "cnn")]
    assert tssm_accuracy.compare_scores(rows) == {
        "test accuracy − adam: mlp, gsam, 2, float32": 0.125,
        "test accuracy − frozen: mlp, gsam, 2, float32": 0.375,
    }


def test_ratios_of_times():
    def row(method, ranks, cores, epoch_ms, codec=None):
        where = {"ranks": ranks, "cores": cores, "codec": codec}
        return {**where, "method": method, "epoch_ms": epoch_ms}

    ours = [row("gsam", 1, 1, 12.0), row("gsam", 2, 2, 8.0, "float32")]
    rivals = [row("adam", 1, 1, 10.0), row("adam", 1, 2, 6.0), row("adam data-parallel", 2, 2, 7.0)]
    alone = {"2 ranks / 1 rank: gsam, float32": 8 / 12, "efficiency: gsam, float32": 0.75}
    against = {"2 ranks / adam: gsam, float32": 0.8, "vs_best_backprop: gsam, float32": 0.75}
    assert tssm_time.compare_times(ours) == alone
    assert tssm_time.compare_times([*ours, *rivals]) == alone | against


def test_both_parts_write_every_row_as_it_comes(tmp_path, monkeypatch, capsys):
    out, written = tmp_path / "rows.json", []

    def note():
        written.append(len(json.loads(out.read_text())["rows"]) if out.exists() else 0)

    def train(runs, diverging):
        for options in runs:
            note()
            assert options[:2] == ["--alpha", "1"]
            yield run(
                [0.5, 0.6], [0.1] if options[options.index("--subnetworks") + 1] > "1" else []
            )

    def time(case, ranks, cores):
        note()
        figures = {"epoch_ms": 2.0, "wait_ms": 1.0, "compile_s": 3.0, "timed": 5}
        return {**asdict(case), "ranks": ranks, "cores": ranks * cores, **figures}

    monkeypatch.setattr(tssm_accuracy, "train_all", train)
    monkeypatch.setattr(tssm_time, "time_epoch", time)
    tssm.main(["--quick", "--json", str(out), "--", "--alpha", "1"])
    # Adam, gradient descent, the control and two cuts of two methods; then what is timed.
    assert written == list(range(7 + 7))
    content = json.loads(out.read_text())
    assert [row["part"] for row in content["rows"]] == 7 * ["accuracy"] + 7 * ["time"]
    assert len(content["results"]) == 4 * 2 + 2 * 4
    # Two headers, the rows, the results.
    assert len(capsys.readouterr().out.splitlines()) == 2 + 14 + 16


@pytest.mark.parametrize(("words", "asked", "cut"), [((), None, 2), (("--cut", "1"), [1], 1)])
def test_all_rows_of_a_network_have_the_first_cut(tmp_path, monkeypatch, words, asked, cut):
    given = []

    def time(case, ranks, cores):
        given.append(case.cuts)
        measured = {"cuts": case.cuts or [2], "floor": 0.5} if case.subnetworks > 1 else {}
        figures = {"epoch_ms": 2.0, "wait_ms": 1.0, "compile_s": 3.0, "timed": 5}
        return {**asdict(case), "ranks": ranks, "cores": ranks * cores, **figures, **measured}

    monkeypatch.setattr(tssm_time, "time_epoch", time)
    out = tmp_path / "rows.json"
    what = ("--quick", "--part", "time", "--methods", "gsam", "adam", *words)
    tssm.main([*what, "--json", str(out)])
    assert given == [asked, [cut], None, None, None]
    rows = json.loads(out.read_text())["rows"]
    assert [row["cut"] for row in rows] == [cut, cut, None, None, None]


def test_what_is_timed():
    assert tssm_time.ways(["gd", "gsam"], ["float32", "delta4"]) == [
        ("gsam", 2, "float32", 1, 1),
        ("gsam", 2, "float32", 2, 1),
        ("gsam", 2, "delta4", 2, 1),
    ]


@pytest.mark.slow
def test_a_run_that_diverges():
    options = ["--solver", "gsam", "--subnetworks", "1", "--lr", "1e30", "--epochs", "2"]
    size = ["--layers", "2", "--hidden", "8"]
    (summary,) = train_all([[*options, *size]], diverging=True)
    assert summary["status"] == "diverged"
    assert [entry["epoch"] for entry in summary["history"]] == [1]
    with pytest.raises(SystemExit, match="ended with code 3"):
        list(train_all([[*options, *size]]))
