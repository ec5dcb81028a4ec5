"""Transports: what may travel, sums in a fixed order, and what is given back."""

from itertools import permutations

import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import LocalTransport, MPITransport
from admm.errors import AdmmError, InputError

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


def sums(comm):
    transport, rank, size = MPITransport(comm), comm.rank, comm.size
    own = ORDERS[rank]
    waits = [transport.begin_total([own]), transport.begin_total([own[::-1]])]
    found = [wait().tolist() for wait in waits]
    found += [transport.total([own.reshape(4, 6)]).ravel().tolist()]
    found += [transport.total([ORDERS[rank : rank + 1, 0]]).tolist()]
    np.testing.assert_array_equal(own, np.array(list(permutations(HARD))).T[rank])
    values = [rank, "x" * 10**rank, {"rank": rank}, None if rank else (1, 2)]
    gathered = [transport.gather(value) for value in values]
    assert gathered[1] == ["x" * 10**each for each in range(size)]
    transport.close()
    assert comm.allgather(rank) == [*range(size)]  # the communicator itself is still there
    return found, gathered[0], gathered[2], gathered[3][0]


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_sums_over_ranks_are_those_of_one_process(returned, ranks):
    """Bit for bit, in every rank, though float64 sums depend on the order."""
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
    for found, numbers, objects, first in returned(sums, ranks):
        for each, value in zip(found, expected, strict=True):
            assert bits(each) == bits(value)
        assert numbers == list(range(ranks))
        assert objects == [{"rank": rank} for rank in range(ranks)]
        assert first == [1, 2]


def closed(comm):
    from mpi4py import MPI

    transport = MPITransport(comm)
    transport.declare("p")
    if comm.rank == 0:
        transport.send(jnp.zeros(10**6, "uint8"), 0, 1, "p", elements=1)
    else:
        wait = transport.expect(10**6, 0, 1, "p")
        wait()
    transport.close()  # waits until the message has left
    assert transport.comm == MPI.COMM_NULL, transport.comm
    for _ in range(3000):  # more than any MPI has communicators
        MPITransport(comm).close()
    assert comm.allgather(comm.rank) == [0, 1]


def test_close_gives_everything_back(returned):
    returned(closed, 2)


def apart(comm):
    transport, other = both = MPITransport(comm), MPITransport(comm)
    for each in both:
        each.declare("q")
    if comm.rank == 0:
        for value, each in ((1, transport), (2, other)):
            each.send(jnp.full(8, value, "uint8"), 0, 1, "q", elements=8)
            each.flush()
        comm.send("mine", 1, transport.tags["q"])
    else:
        waits = [other.expect(8, 0, 1, "q"), transport.expect(8, 0, 1, "q")]
        assert [int(wait()[0]) for wait in waits] == [2, 1]
        assert comm.recv(source=0, tag=transport.tags["q"]) == "mine"
    for each in both:
        each.close()


def test_transports_do_not_hear_each_other(returned):
    """Nor what a program sends over the same communicator, under whatever tag."""
    returned(apart, 2)


def undeclared(comm):
    transport, rank = MPITransport(comm), comm.rank
    for call in (
        lambda: transport.send(jnp.zeros(3, "uint8"), rank, 1 - rank, "q", elements=3),
        lambda: transport.expect(3, 1 - rank, rank, "q"),
    ):
        expected = "variable 'q' may not travel: evaluation, data are declared"
        with pytest.raises(RuntimeError, match=expected):
            call()
    assert not transport.sent


def test_what_is_not_declared_does_not_travel_over_ranks(returned):
    returned(undeclared, 2)


def dealt(comm):
    transport, rank, size = MPITransport(comm), comm.rank, comm.size
    asked = []

    def make(worker):
        asked.append(worker)
        return {"worker": worker, "rows": np.arange(10**worker)}

    (own,) = transport.deal(make)
    assert own["worker"] == rank
    assert own["rows"].tolist() == [*range(10**rank)]
    assert asked == ([*range(size)] if rank == 0 else [])
    counts = [each + 1 for each in range(size)]
    summands = np.array([1e16, 1.0, -1e16, 3.0, 5.0, 7.0])[: sum(counts)]
    ends = np.cumsum([0, *counts])
    wait = transport.begin_sum([summands[ends[rank] : ends[rank + 1], None]], counts)
    total = 0.0
    for each in summands:
        total += each
    assert wait().tolist() == [total]
    transport.agreed(lambda: None)
    cases = [(size - 1, InputError("too large"), "too large")]
    cases += [(0, ValueError("zero"), "rank 0 failed: ValueError: zero")]
    for bad, failure, said in cases:

        def fail(worker, bad=bad, failure=failure):
            if worker == bad:
                raise failure
            return worker

        with pytest.raises(AdmmError, match=said) as error:
            transport.deal(fail)
        assert isinstance(error.value, InputError) == isinstance(failure, InputError)
    assert transport.deal(lambda worker: worker) == [rank]  # and goes on
    transport.close()


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_root_deals_to_all_ranks(ranks, returned):
    returned(dealt, ranks)


PROGRAMS = ((sums, 1), (sums, 2), (closed, 2), (apart, 2), (undeclared, 2), (dealt, 1), (dealt, 2))
