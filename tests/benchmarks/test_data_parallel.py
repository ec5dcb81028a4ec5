"""Data parallelism: a step on all processes' rows is the full-batch step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm import LocalTransport
from admm.solvers import Backprop
from benchmarks.data_parallel import full_batch
from layers import init_dense


def test_one_process_takes_the_serial_steps():
    solver = Backprop("adagrad", 1e-2, weight_decay=0.1)
    network = [init_dense(0, 1, (5, 4), 0.5, "float32"), init_dense(0, 2, (4, 3), 0.5, "float32")]
    x, targets = jax.random.normal(jax.random.key(0), (9, 5)), jax.nn.one_hot(jnp.arange(9) % 3, 3)
    parallel = full_batch(solver, LocalTransport(), network, x, targets)
    state = solver.init(network, x, targets)
    for _ in range(5):
        state, loss = solver.step(state)
        assert float(parallel.epoch()) == pytest.approx(float(loss), rel=1e-6)
    leaves = zip(jax.tree.leaves(state.segment), jax.tree.leaves(parallel.state), strict=True)
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


OVER_MPI = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
from admm.comm.launch import world
from admm.solvers import Backprop
from benchmarks.data_parallel import SumTransport, full_batch
from layers import init_dense, widths

nodes, comm = 31, world()
shape = widths(12, 10, 4, 3)
own = slice(20) if comm.rank == 0 else slice(20, nodes)  # unequal shares
for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
    network = [init_dense(0, n, shape[n - 1 : n + 1], 0.5, dtype) for n in range(1, 4)]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(nodes, 12)), dtype)
    targets = jax.nn.one_hot(jnp.arange(nodes) % 4, 4, dtype=dtype)
    solver = Backprop("adam", 1e-3, weight_decay=0.1)
    parallel = full_batch(solver, SumTransport(comm), network, x[own], targets[own])
    state = solver.init(network, x, targets)
    for _ in range(20):
        loss = parallel.epoch()
        state, serial_loss = solver.step(state)
        assert abs(loss - serial_loss) <= tolerance * serial_loss, dtype
    leaves = jax.tree.leaves(state.segment.network), jax.tree.leaves(parallel.state.network)
    for a, b in zip(*leaves, strict=True):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a), dtype
    for other in comm.allgather(jax.device_get(parallel.state)):  # the same bits everywhere
        jax.tree.map(np.testing.assert_array_equal, other, jax.device_get(parallel.state))
print("good", flush=True)
"""


def test_two_ranks_take_the_serial_steps(mpi_python):
    done = mpi_python(OVER_MPI, ranks=2)
    assert done.stdout.count("good") == 2, done.stderr
