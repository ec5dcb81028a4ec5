"""Mailboxes between real ranks."""

import time

import numpy as np
import pytest

from admm.comm import Mailbox, MPITransport

MAILBOX = """
import sys, time
import numpy as np
from admm.comm import Mailbox, MPITransport, launch
comm = launch.world()
rank, size = comm.rank, comm.size
def make(**careful):
    global transport
    transport = MPITransport(comm, **careful)
    transport.declare("a", "b")
    return Mailbox(transport)
def filled(number, nbytes=5000):
    return np.full(nbytes, number % 251, np.uint8)
"""


def opened(comm, **careful):
    transport = MPITransport(comm, **careful)
    transport.declare("a", "b")
    return Mailbox(transport)


def filled(number, nbytes):
    return np.full(nbytes, number % 251, np.uint8)


def skipping(comm):
    box = opened(comm)
    box.expect(1 - comm.rank, "a", 300_000)
    for _ in range(2):
        box.open()
        if comm.rank == 0:
            sent = []
            comm.Barrier()  # rank 1 does nothing for MPI as of now
            for k in range(200):
                if box.is_free(1, "a"):
                    box.send(filled(k, 300_000), 1, "a")
                    sent.append(k)
                time.sleep(0.001)
            assert sent[0] == 0
            assert len(sent) < 5, sent
            with pytest.raises(RuntimeError, match="on its way to rank 1 already"):
                box.send(filled(0, 300_000), 1, "a")
            comm.send(sent, 1)
            box.close()
            assert box.take(1, "a") == []
        else:
            comm.Barrier()
            time.sleep(0.5)
            sent = comm.recv(source=0)
            box.close()
            assert [int(m[0]) for m in box.take(0, "a")] == sent
            assert box.take(0, "a") == []
    comm.Barrier()
    assert not box.transport.comm.Iprobe()


def test_a_sender_skips_while_nobody_receives_and_no_message_is_lost(returned):
    returned(skipping, 2)


def pacing(comm):
    rank, size = comm.rank, comm.size
    sizes = {"a": 8, "b": 200_000}
    box = opened(comm, checksum=True)
    others = [other for other in range(size) if other != rank]
    ways = [(other, name) for other in others for name in sizes]
    for way in ways:
        box.expect(*way, sizes[way[1]])
    random = np.random.default_rng(rank)
    sent, came = ({way: [] for way in ways} for _ in range(2))
    for _ in range(3):
        box.open()
        for k in range(int(random.integers(20, 60))):
            for way in ways:
                if random.random() < 0.5 and box.is_free(*way):
                    box.send(filled(k, sizes[way[1]]), *way)
                    sent[way].append(k)
                came[way] += box.take(*way)
            time.sleep(random.exponential(0.001))
        box.close()
        for way in ways:
            came[way] += box.take(*way)
    for (_, name), messages in came.items():
        assert all((m == m[0]).all() and m.size == sizes[name] for m in messages)
    every = comm.allgather(sent)
    for (other, name), messages in came.items():
        assert [int(m[0]) for m in messages] == every[other][rank, name]
        assert len(messages) > 5
    comm.Barrier()
    assert not box.transport.comm.Iprobe()


def test_ranks_of_any_pace_close_together(returned):
    """Every rank writes to all others, on a way for small messages and one for large ones."""
    returned(pacing, 3)


PROGRAMS = ((skipping, 2), (pacing, 3))


def test_a_damaged_message_and_a_rank_that_does_not_come(mpi_python):
    done = mpi_python(
        MAILBOX
        + """
from admm.errors import WorkerLostError
box = make(checksum=True, timeout=2)
if rank == 0:
    box.open()
    damaged = transport.sealed(filled(7))
    damaged[17] ^= 16
    transport.sealed = lambda message: damaged
    box.send(filled(7), 1, "a")
    comm.Barrier()
    try:
        box.close()
    except WorkerLostError as error:
        assert str(error).startswith("rank 1 silent for 2 s"), error
        comm.Barrier()  # rank 1 has seen its error, too
        comm.Abort(4)  # which may overtake what was printed
box.expect(0, "a", 5000)
box.open()
comm.Barrier()
try:
    while True:
        box.take(0, "a")
except WorkerLostError as error:
    assert "a message of a from rank 0 to rank 1 arrived damaged (5,000 bytes" in str(error), error
    comm.Barrier()
time.sleep(30)
""",
        ranks=2,
        timeout=60,
    )
    assert done.returncode == 4, done.stderr


def test_who_is_busy_may_take_some_timeouts(mpi_python):
    """Rank 1 answers, and comes after two timeouts; rank 0 would have given up after one."""
    done = mpi_python(
        MAILBOX
        + """
from admm.errors import WorkerLostError
box = make(timeout=1)
if rank == 1:
    box.open()
    end = time.monotonic() + 2.5
    transport.wait(lambda: time.monotonic() > end, computing=True)
    box.send(filled(1), 0, "a")
else:
    box.expect(1, "a", 5000)
    box.open()
    came = []
    transport.wait(lambda: bool(came.extend(box.take(1, "a")) or came), source=1, rounds=4)
    assert len(came) == 1
box.close()
if rank == 0:
    try:
        transport.wait(lambda: False, source=1, rounds=2)
    except WorkerLostError as error:
        assert "no message from rank 1 for 1 s, though all ranks answer" in str(error), error
        assert error.spokesman
        comm.Abort(4)
transport.wait(lambda: False, computing=True)
""",
        ranks=2,
        timeout=60,
    )
    assert done.returncode == 4, done.stderr
