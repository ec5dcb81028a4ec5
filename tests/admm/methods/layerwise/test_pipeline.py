"""The pipeline: however network and nodes are split, a step is the full-batch step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import LocalTransport, chain, in_turns
from admm.methods.layerwise import pipeline
from admm.methods.layerwise.pipeline import PipelineWorker
from admm.solvers import Backprop
from layers import init_dense, widths

NODES, LAYERS, STEPS = 31, 4, 10
SHAPE = widths(12, 10, 4, LAYERS)
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}


def problem(dtype="float32"):
    x = jax.random.normal(jax.random.key(0), (NODES, SHAPE[0])).astype(dtype)
    targets = jax.nn.one_hot(jnp.arange(NODES) % 4, 4, dtype=dtype)
    network = [init_dense(0, n, SHAPE[n - 1 : n + 1], 0.5, dtype) for n in range(1, LAYERS + 1)]
    return network, x, targets


def start(owned, solver, dtype="float32"):
    """Workers of one process that own the layers `owned`, a list for each."""
    transport = LocalTransport(len(owned))
    network, x, targets = problem(dtype)
    workers = [PipelineWorker(index, solver, transport) for index in transport.local]
    for worker, neighbors, layers in zip(workers, chain(owned), owned, strict=True):
        worker.start(
            [network[n - 1] for n in layers],
            neighbors,
            x if 1 in layers else None,
            NODES,
            targets if LAYERS in layers else None,
        )
    return workers, transport


def iterate(workers):
    in_turns(worker.iteration() for worker in workers)


def check_against_serial(workers, solver, dtype="float32"):
    """Run both; the parameters agree after every step."""
    state = solver.init(*problem(dtype))
    for _ in range(STEPS):
        state, _ = solver.step(state)
        iterate(workers)
        parallel = [layer for worker in workers for layer in worker.network]
        for serial, other in zip(state.segment.network, parallel, strict=True):
            for a, b in zip(*jax.device_get((serial, other)), strict=True):
                assert np.linalg.norm(a - b) <= TOLERANCES[dtype] * np.linalg.norm(a)


ONE, TWO, THREE = [[1, 2, 3, 4]], [[1, 2], [3, 4]], [[1], [2, 3], [4]]


@pytest.mark.parametrize("owned", [ONE, TWO, THREE, [[1, 2], [], [3, 4]]], ids=str)
def test_any_split_gives_the_serial_iterates(owned):
    solver = Backprop("adam", 1e-3, weight_decay=0.1)
    workers, _ = start(owned, solver)
    check_against_serial(workers, solver)


def test_any_split_gives_the_serial_iterates_in_float64(x64):
    solver = Backprop("adadelta", 0.1)
    workers, _ = start(THREE, solver, dtype="float64")
    check_against_serial(workers, solver, "float64")


@pytest.mark.parametrize(("micro_batches", "count"), [(1, 1), (7, 7), (100, 31)])
def test_micro_batches_do_not_change_the_step(micro_batches, count, monkeypatch):
    monkeypatch.setattr(pipeline, "micro_batch_count", lambda workers: micro_batches)
    solver = Backprop("gd", 0.1)
    workers, _ = start(TWO, solver)
    sizes = [len(rows) for rows in workers[0]._inputs]
    assert len(sizes) == count
    assert sum(sizes) == NODES
    assert max(sizes) - min(sizes) <= 1
    check_against_serial(workers, solver)


def test_the_decay_is_that_of_the_own_layers():
    solver = Backprop("gd", 0.1, weight_decay=0.2)
    workers, _ = start(THREE, solver)
    for worker in workers:
        squares = sum(float(jnp.sum(W**2)) for W, _ in worker.network)
        assert worker.decay() == pytest.approx(NODES * 0.1 * squares, rel=1e-6)


def test_a_worker_without_layers_has_no_decay():
    workers, _ = start([[1, 2], [], [3, 4]], Backprop("gd", 0.1, weight_decay=0.2))
    iterate(workers)
    assert workers[1].block is None
    assert workers[1].decay() == 0


def test_bytes_and_homes():
    """Each cut carries every activation once up and every gradient once down, as they are."""
    workers, transport = start(THREE, Backprop("gd", 0.1))
    for _ in range(3):
        iterate(workers)
    size = 3 * 2 * NODES * SHAPE[1] * 4
    assert transport.sent == transport.sent_as_float32 == {"activation": size, "gradient": size}
    homes = [worker.network[0].W.device for worker in workers]
    assert homes == [transport.device(index) for index in range(3)]
    assert len(set(homes)) == 3


OVER_MPI = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
from admm.comm import MPITransport, chain, in_turns, launch
from admm.methods.layerwise.pipeline import PipelineWorker
from admm.solvers import Backprop
from layers import init_dense, split_layers, widths

nodes, comm = 31, launch.world()
shape = widths(12, 10, 4, 4)
owned = [range(a, b + 1) for a, b in split_layers([1] * 4, comm.size)]
own = owned[comm.rank]
for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
    network = [init_dense(0, n, shape[n - 1 : n + 1], 0.5, dtype) for n in range(1, 5)]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(nodes, 12)), dtype)
    targets = jax.nn.one_hot(jnp.arange(nodes) % 4, 4, dtype=dtype)
    solver, transport = Backprop("adam", 1e-3), MPITransport(comm)
    worker = PipelineWorker(comm.rank, solver, transport)
    worker.start([network[n - 1] for n in own], chain(owned)[comm.rank], x if 1 in own else None,
                 nodes, targets if 4 in own else None)
    state = solver.init(network, x, targets)
    for _ in range(20):
        in_turns([worker.iteration()])
        state, _ = solver.step(state)
    transport.flush()
    serial = [state.segment.network[n - 1] for n in own]
    for a, b in zip(jax.tree.leaves(serial), jax.tree.leaves(list(worker.network)), strict=True):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a), dtype
    size = 20 * nodes * 10 * np.dtype(dtype).itemsize
    assert transport.sent == {"gradient" if comm.rank else "activation": size}, transport.sent
print("good", flush=True)
"""


def test_two_ranks_give_the_serial_iterates(mpi_python):
    done = mpi_python(OVER_MPI, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr
