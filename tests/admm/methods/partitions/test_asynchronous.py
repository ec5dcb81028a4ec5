"""Asynchronous training over parts: ranks of different pace, real processes."""

import json
from dataclasses import replace
from functools import partial
from unittest.mock import create_autospec

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from admm import estimate, evaluate, options, train
from admm.comm import LocalTransport, Mailbox
from admm.errors import InputError, shell_spelling
from admm.methods.partitions.asynchronous import Server, message_layout
from admm.methods.partitions.share import load_share
from admm.methods.partitions.training import new_network, optimizer_of
from admm.methods.partitions.worker import PartitionWorker

PROGRAM = """
import os, signal, sys, time
from admm import options, resumed, train
from admm.comm import MPITransport, launch
from admm.methods.partitions import asynchronous
from admm.methods.partitions.worker import PartitionWorker
comm = launch.world()
rank, out = comm.rank, sys.argv[1]
small = dict(async_=True, layers=3, parts=3, hidden=16, interval=2, max_lead=4, out=out)
small |= dict(network="sage", dropout=0.2, partition="bfs", codec="delta8")
def before_epochs(act):
    iteration = PartitionWorker.iteration
    def wrapped(self, epoch):
        act(self, epoch)
        return iteration(self, epoch)
    PartitionWorker.iteration = wrapped
"""


def test_a_slow_rank_a_bounded_lead_and_nothing_left_behind(mpi_python, tmp_path):
    """Rank 1 is slow; two of the three ranks resume the run, and again nothing is left."""
    done = mpi_python(
        PROGRAM
        + """
if rank == 1:
    before_epochs(lambda worker, epoch: time.sleep(0.03))
leads = []
take = asynchronous.Server.take
def noted(self, sender, message):
    take(self, sender, message)
    leads.append(int((self._behind - self._behind.min()).max()))
asynchronous.Server.take = noted
transport = MPITransport(comm, timeout=30)
first = options("digest", epochs=40, eval_every=20, checkpoint_every=10, **small)
result = train(first, transport)
if rank == 0:
    assert len(leads) == 3 * 40 and max(leads) <= 4, leads
    assert [each["epoch"] for each in result.history] == [20, 40]
comm.Barrier()
assert not transport.comm.Iprobe()
pair = comm.Split(rank < 2)
if rank < 2:
    transport = MPITransport(pair, timeout=30)
    more = train(resumed(out, epochs=60), transport)
    assert [each["epoch"] for each in more.history] == [20, 40, 60]
    pair.Barrier()
    assert not transport.comm.Iprobe()
""",
        tmp_path,
        ranks=3,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["0000-000040", "0000-000060"]  # due in epochs 30 and 50, without a meeting
    found = summary["asynchronous"]
    assert sum(found["delays"].values()) == 2 * 20  # of the resumed run
    # From 4 epochs behind a rank to 4 ahead of it.
    assert all(0 <= int(age) <= 2 * 4 for age in found["delays"])
    assert len(found["epochs_per_second"]) == 2
    assert min(found["epochs_per_second"]) > 0
    assert summary["best"]["val_accuracy"] > 0.85
    assert summary["bytes"]["by_variable"]["halo"] > 0
    assert evaluate(tmp_path)["val"] == pytest.approx(summary["best"]["val_accuracy"])


def test_a_rank_alone_trains_as_without_the_option(mpi_python, tmp_path):
    """Its parts exchange their rows in step, by copies or through the codec."""
    done = mpi_python(
        """
import sys
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from admm import options, train
from admm.comm import MPITransport, launch
given = dict(parts=3, hidden=8, interval=3, epochs=8, eval_every=4, lr=0.05, dtype="float64")
for codec in ("float64", "delta8"):
    wanted = train(options("digest", codec=codec, **given))
    transport = MPITransport(launch.world())
    found = train(options("digest", codec=codec, async_=True, **given), transport)
    assert found.summary["asynchronous"]["delays"] == {0: 8}
    for a, b in zip(found.history, wanted.history, strict=True):
        assert a["objective"] == b["objective"] and a["staleness_2"] == b["staleness_2"], (a, b)
    jax.tree.map(np.testing.assert_array_equal, found.network, wanted.network)
print("good")
""",
        ranks=1,
    )
    assert "good" in done.stdout, done.stderr


def test_the_gradients_of_an_epoch_make_a_step_of_its_length():
    """Of gradient descent: each rank's share of the gradient makes its share of the step."""
    given = options("digest", parts=2, hidden=4, optimizer="gd", lr=0.5, weight_decay=0.0)
    transport = LocalTransport(1)
    share = load_share(given, transport)
    network = new_network(given, share.widths)
    worker = PartitionWorker(0, share, transport, network, optimizer_of(given, steps=2))
    start, unravel = ravel_pytree(network)
    layout = message_layout(network, given.dtype)
    mailbox = create_autospec(Mailbox, instance=True)
    server = Server(worker, mailbox, layout, ranks=2, lead=4)
    server.begin(1)
    gradients = np.random.default_rng(0).normal(size=(2, 1 + len(start)))
    for rank, gradient in enumerate(gradients):
        message = np.zeros(1, layout)
        message["epoch"], message["values"] = 1, gradient
        server.take(rank, message)
    wanted = unravel(start - 0.5 * gradients[:, 1:].sum(axis=0).astype("float32"))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), worker.network, wanted)
    assert worker.loss == pytest.approx(gradients[:, 0].sum())
    assert server.version == 2
    assert server.delays == {0: 1, 1: 1}


@pytest.mark.parametrize(
    ("fault", "victim", "codes"),
    [
        ("SIGSTOP", 0, {4}),
        pytest.param("SIGSTOP", 1, {4}, marks=pytest.mark.slow),
        pytest.param("SIGKILL", 1, {9, 137}, marks=pytest.mark.slow),
    ],
)
def test_a_lost_rank_ends_all(mpi_python, tmp_path, fault, victim, codes):
    """A launcher ends the run of a rank that is killed; of one that is frozen, the ranks do."""
    done = mpi_python(
        PROGRAM
        + """
from admm.cli.main import main
fault, victim = getattr(signal, sys.argv[2]), int(sys.argv[3])
def strike(worker, epoch):
    # Nothing is left to compile, and the lead lets nobody strike before all are here.
    worker._transport._timeout = 3 if epoch > 10 else 60
    if (rank, epoch) == (victim, 13):
        os.kill(os.getpid(), fault)
before_epochs(strike)
sys.exit(main(["train", "--solver", "digest", "--async", "--parts", "2", "--hidden", "8",
               "--interval", "3", "--max-lead", "2", "--eval-every", "10",
               "--checkpoint-every", "10", "--out", out]))
""",
        tmp_path,
        fault,
        victim,
        ranks=2,
        timeout=100,
    )
    assert done.returncode in codes, done.stderr
    if fault == "SIGSTOP":
        assert f"rank {victim} silent for 3 s" in done.stderr
        assert "the newest checkpoint is that of epoch 10" in done.stderr


def test_what_is_refused():
    with pytest.raises(InputError, match="async_= is not for halo=refresh"):
        options("partitions", async_=True, eval_every=10)
    with pytest.raises(InputError, match="async_= has an order of its own; leave out order=kvs"):
        options("digest", async_=True, eval_every=10, order="kvs")
    with pytest.raises(InputError, match="async_= needs eval_every= of 2 or more, got 1"):
        options("digest", async_=True)
    with pytest.raises(InputError, match="max_lead= is for async_= only"):
        options("digest", max_lead=3)
    with pytest.raises(InputError, match="max_lead= must be at least 1, got 0"):
        options("digest", async_=True, eval_every=10, max_lead=0)
    alone = options("digest", async_=True, eval_every=10, workers=2)
    with shell_spelling(), pytest.raises(InputError, match="--async is for the ranks of mpirun"):
        train(alone)


def test_a_run_of_ranks_is_known_before_it():
    """In one process, which stands for them."""
    made = options("digest", async_=True, eval_every=10, parts=2, hidden=4, epochs=10)
    alone, ranks = (estimate(replace(made, workers=n)).bytes_by_variable for n in (1, 2))
    assert "halo" not in alone
    assert ranks["halo"] > 0


def test_the_flag_is_spelled_as_a_word(admm):
    done = admm("train", "--solver", "adam", "--async")
    assert done.returncode == 2
    assert "--async is not for --solver adam" in done.stderr
    assert "--async " in admm("train", "--solver", "digest", "--help").stdout
