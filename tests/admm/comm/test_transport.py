"""Transports: what may travel, sums in a fixed order, and what is given back."""

import json
from itertools import permutations

import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import LocalTransport

# The float64 sum of the four depends on the order in which they are added.
HARD = (1e16, 1.0, -1e16, 3.0)
ORDERS = np.array(list(permutations(HARD))).T  # a row for each worker


def bits(values):
    return np.asarray(values, float).view(np.uint64).tolist()


def test_sums_are_in_the_order_of_the_workers():
    found = LocalTransport(4).total(list(ORDERS))
    one_by_one = ((ORDERS[0] + ORDERS[1]) + ORDERS[2]) + ORDERS[3]
    assert bits(found) == bits(one_by_one)
    assert len({tuple(row) for row in found.reshape(-1, 1)}) > 2  # the order does matter
    assert bits(LocalTransport(1).total([ORDERS[0]])) == bits(ORDERS[0])


def test_sums_do_not_change_what_is_summed():
    values = list(ORDERS.copy())
    transport = LocalTransport(4)
    wait = transport.begin_total(values)
    wait()
    np.testing.assert_array_equal(values, ORDERS)
    alone = LocalTransport(1)
    kept = np.ones(2)
    alone.total([kept])
    np.testing.assert_array_equal(kept, 1)


def test_messages_come_in_the_order_in_which_they_are_expected():
    transport = LocalTransport(2)
    waits = [transport.expect(1, 0, 1, "evaluation") for _ in range(2)]
    for value in (3, 4, 5):
        transport.send(jnp.full(1, value, "uint8"), 0, 1, "evaluation", elements=1)
    assert [int(wait()[0]) for wait in waits[::-1]] == [4, 3]
    assert int(transport.expect(1, 0, 1, "evaluation")()[0]) == 5


def test_several_summands_a_worker_are_added_one_by_one():
    found = LocalTransport(2).begin_sum([ORDERS[:1], ORDERS[1:]], [1, 3])()
    assert bits(found) == bits(((ORDERS[0] + ORDERS[1]) + ORDERS[2]) + ORDERS[3])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_process_deals_to_its_own_workers(workers):
    asked = []

    def make(worker):
        asked.append(worker)
        return worker**2

    assert LocalTransport(workers).deal(make) == [n**2 for n in range(workers)]
    assert asked == [*range(workers)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_process_gathers_its_own_value(workers):
    transport = LocalTransport(workers)
    assert transport.gather({"a": 1}) == [{"a": 1}]
    assert transport.share(7, workers - 1) == 7
    assert transport.at_root(lambda: 8) == 8
    transport.close()


def test_what_is_not_declared_does_not_travel():
    transport = LocalTransport(2)
    assert transport.tags == {"evaluation": 0, "data": 1}
    message = jnp.zeros(3, "uint8")
    transport.send(message, 0, 1, "evaluation", elements=3)
    expected = (
        "variable 'q' may not travel: evaluation, data are declared; call transport.declare in "
        "every process before the first message"
    )
    with pytest.raises(RuntimeError, match=expected):
        transport.send(message, 0, 1, "q", elements=3)
    with pytest.raises(RuntimeError, match=expected):
        transport.expect(3, 0, 1, "q")
    assert transport.sent == {"evaluation": 3}
    transport.declare("p", "q")
    transport.declare("q", "f", "evaluation")  # again, and more: numbers stay
    assert transport.tags == {"evaluation": 0, "data": 1, "p": 2, "q": 3, "f": 4}
    transport.send(message, 0, 1, "q", elements=5)
    assert transport.expect(3, 0, 1, "q")().shape == (3,)
    assert transport.sent == {"evaluation": 3, "q": 3}
    assert transport.sent_as_float32 == {"evaluation": 12, "q": 20}
    with pytest.raises(
        RuntimeError, match="'r' may not travel: evaluation, data, p, q, f are declared"
    ):
        transport.expect(3, 0, 1, "r")


# Over ranks.

START = """
import json, sys
from itertools import permutations
import jax.numpy as jnp, numpy as np
from admm.comm import MPITransport, launch
comm = launch.world()
rank, size = comm.rank, comm.size
transport = MPITransport(comm)
"""

SUMS = (
    START
    + """
orders = np.array(list(permutations((1e16, 1.0, -1e16, 3.0)))).T
own = orders[rank]
waits = [transport.begin_total([own]), transport.begin_total([own[::-1]])]
found = [wait().tolist() for wait in waits]
found += [transport.total([own.reshape(4, 6)]).ravel().tolist()]
found += [transport.total([orders[rank : rank + 1, 0]]).tolist()]
np.testing.assert_array_equal(own, orders[rank])
values = [rank, "x" * 10 ** rank, {"rank": rank}, None if rank else (1, 2)]
gathered = [transport.gather(value) for value in values]
assert gathered[1] == ["x" * 10**each for each in range(size)]
transport.close()
said = [found, [gathered[0], gathered[2], gathered[3][0]]]
every = comm.gather(said)  # the communicator itself is still there
if rank == 0:
    print(json.dumps(every))
"""
)


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_sums_over_ranks_are_those_of_one_process(mpi_python, ranks):
    """Bit for bit, in every rank, though float64 sums depend on the order."""
    done = mpi_python(SUMS, ranks=ranks)
    assert done.returncode == 0, done.stderr
    local = LocalTransport(ranks)
    rows = list(ORDERS[:ranks])
    expected = [
        local.total(rows),
        local.total([row[::-1] for row in rows]),
        local.total([row.reshape(4, 6) for row in rows]).ravel(),
        local.total([row[:1] for row in rows]),
    ]
    if ranks == 4:
        assert bits(expected[0]) != bits(local.total(rows[::-1]))
    for sums, (numbers, objects, first) in json.loads(done.stdout):
        for found, value in zip(sums, expected, strict=True):
            assert bits(found) == bits(value)
        assert numbers == list(range(ranks))
        assert objects == [{"rank": rank} for rank in range(ranks)]
        assert first == [1, 2]


CLOSED = (
    START
    + """
from mpi4py import MPI
transport.declare("p")
if rank == 0:
    transport.send(jnp.zeros(10**6, "uint8"), 0, 1, "p", elements=1)
else:
    wait = transport.expect(10**6, 0, 1, "p")
    wait()
transport.close()  # waits until the message has left
assert transport.comm == MPI.COMM_NULL, transport.comm
for _ in range(3000):  # more than any MPI has communicators
    MPITransport(comm).close()
assert comm.allgather(rank) == [0, 1]
print("good", flush=True)
"""
)


def test_close_gives_everything_back(mpi_python):
    done = mpi_python(CLOSED, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr


APART = (
    START
    + """
other = MPITransport(comm)
for each in (transport, other):
    each.declare("q")
if rank == 0:
    for value, each in ((1, transport), (2, other)):
        each.send(jnp.full(8, value, "uint8"), 0, 1, "q", elements=8)
        each.flush()
    comm.send("mine", 1, transport.tags["q"])
else:
    waits = [other.expect(8, 0, 1, "q"), transport.expect(8, 0, 1, "q")]
    assert [int(wait()[0]) for wait in waits] == [2, 1]
    assert comm.recv(source=0, tag=transport.tags["q"]) == "mine"
for each in (transport, other):
    each.close()
print("good", flush=True)
"""
)


def test_transports_do_not_hear_each_other(mpi_python):
    """Nor what a program sends over the same communicator, under whatever tag."""
    done = mpi_python(APART, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr


UNDECLARED = (
    START
    + """
for call in (
    lambda: transport.send(jnp.zeros(3, "uint8"), rank, 1 - rank, "q", elements=3),
    lambda: transport.expect(3, 1 - rank, rank, "q"),
):
    try:
        call()
    except RuntimeError as error:
        assert "variable 'q' may not travel: evaluation, data are declared" in str(error)
    else:
        raise AssertionError("it travels")
assert not transport.sent
print("good", flush=True)
"""
)


def test_what_is_not_declared_does_not_travel_over_ranks(mpi_python):
    done = mpi_python(UNDECLARED, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr


DEALT = (
    START
    + """
from admm.errors import AdmmError, InputError
asked = []
def make(worker):
    asked.append(worker)
    return {"worker": worker, "rows": np.arange(10 ** worker)}
(own,) = transport.deal(make)
assert own["worker"] == rank and own["rows"].tolist() == [*range(10**rank)]
assert asked == ([*range(size)] if rank == 0 else [])
counts = [rank + 1 for rank in range(size)]
summands = np.array([1e16, 1.0, -1e16, 3.0, 5.0, 7.0])[:sum(counts)]
ends = np.cumsum([0, *counts])
wait = transport.begin_sum([summands[ends[rank] : ends[rank + 1], None]], counts)
total = 0.0
for each in summands:
    total += each
assert wait().tolist() == [total], wait()
transport.agreed(lambda: None)
for bad, kind in ((size - 1, InputError("too large")), (0, ValueError("zero"))):
    def fail(worker):
        if worker == bad:
            raise kind
        return worker
    try:
        transport.deal(fail)
    except AdmmError as error:
        assert "too large" in str(error) or "rank 0 failed: ValueError: zero" in str(error), error
        assert isinstance(error, InputError) == isinstance(kind, InputError)
    else:
        raise AssertionError("nothing raised")
assert transport.deal(lambda worker: worker) == [rank]  # and goes on
transport.close()
print("good", flush=True)
"""
)


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_root_deals_to_all_ranks(ranks, mpi_python):
    done = mpi_python(DEALT, ranks=ranks)
    assert done.stdout.count("good") == ranks, done.stderr
