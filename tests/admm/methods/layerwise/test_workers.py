"""Workers in one process: however a network is split, the iterates are the same."""

from dataclasses import replace
from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import LocalTransport, chain, in_turns
from admm.methods.layerwise.worker import Codecs, LayerWorker
from admm.solvers import PDADMMG
from layers import LeakyReLU, init_dense, widths
from quant import CODEC_NAMES, Float, Levels, make_codec

NODES, LAYERS = 30, 6
SHAPE = widths(12, 10, 4, LAYERS)
LEVELS = Levels(-1, 20)


def problem(dtype="float32"):
    key = jax.random.key(0)
    x = jax.random.normal(key, (NODES, SHAPE[0])).astype(dtype)
    targets = jax.nn.one_hot(jnp.arange(NODES) % 4, 4, dtype=dtype)
    network = [init_dense(0, n, SHAPE[n - 1 : n + 1], 0.5, dtype) for n in range(1, LAYERS + 1)]
    return network, x, targets


def start(split, codecs, solver, dtype="float32"):
    """Workers that own the layers of `split`, a list of (first, last)."""
    transport = LocalTransport(len(split))
    network, x, targets = problem(dtype)
    owned = [range(first, last + 1) for first, last in split]
    workers = [LayerWorker(index, solver, transport, codecs) for index in transport.local]
    for worker, neighbors, layers in zip(workers, chain(owned), owned, strict=True):
        worker.start(
            [network[n - 1] for n in layers],
            neighbors,
            x if 1 in layers else None,
            NODES,
            targets if LAYERS in layers else None,
        )
    return workers, transport


def iterate(workers, measure=True):
    in_turns(worker.iteration(measure) for worker in workers)


def states(workers):
    return [jax.device_get(layer) for worker in workers for layer in worker.block.layers]


SPLITS = [
    [(1, 3), (4, 6)],
    [(1, 1), (2, 5), (6, 6)],
    [(n, n) for n in range(1, LAYERS + 1)],
]
SOLVERS = {
    "pdadmm-g": PDADMMG(rho=0.1, nu=0.1),
    "pdadmm-g-q": PDADMMG(rho=0.1, nu=0.1, levels_p=LEVELS),
    "pdadmm-g-q, p and q": PDADMMG(rho=0.1, nu=0.1, levels_p=LEVELS, levels_q=LEVELS),
}

FEW = [
    pytest.param(each, marks=[pytest.mark.slow] if name == "pdadmm-g-q, p and q" else [])
    for name, each in SOLVERS.items()
]


@pytest.mark.parametrize("solver", FEW, ids=SOLVERS)
@pytest.mark.parametrize(
    "split",
    [SPLITS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in SPLITS[1:])],
    ids=str,
)
def test_any_split_gives_the_serial_iterates(split, solver):
    network, x, targets = problem()
    state = solver.init(network, x, targets)
    workers, _ = start(split, Codecs(Float(), Float()), solver)
    for _ in range(50):
        state, info = solver.step(state)
        iterate(workers)
    for serial, parallel in zip(state.layers, states(workers), strict=True):
        for name, a, b in zip(serial._fields, serial, parallel, strict=True):
            if a is not None:
                assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a), name
    parts = [jax.device_get(worker.info()) for worker in workers]
    for name in info._fields:
        total = sum(float(getattr(part, name)) for part in parts)
        assert total == pytest.approx(float(getattr(info, name)), rel=1e-4), name


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("name", "row_block", "splits"),
    [
        ("pdadmm-g", 8, SPLITS[:2]),
        ("pdadmm-g-q", None, SPLITS[:2]),
        *(
            pytest.param(name, row_block, SPLITS, marks=pytest.mark.slow)
            for name, row_block in product(SOLVERS, (8, 15, None))
        ),
    ],
    ids=lambda value: f"{len(value)} splits" if isinstance(value, list) else str(value),
)
def test_any_split_gives_the_same_bits(name, row_block, splits):
    """Whatever of a layer's work is compiled together: see CONTRIBUTING.md."""
    solver = replace(SOLVERS[name], row_block=row_block, activation=LeakyReLU(0.1))
    network, x, targets = problem()
    state = solver.init(network, x, targets)
    for _ in range(10):
        state, _ = solver.step(state)
    for split in splits:
        workers, _ = start(split, Codecs(Float(), Float()), solver)
        for _ in range(10):
            iterate(workers)
        for a, b in zip(state.layers, states(workers), strict=True):
            jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_new_stage_leaves_the_last_message_of_the_old_one_behind():
    solver, codecs = SOLVERS["pdadmm-g"], Codecs(Float(), Float())
    reference, _ = start(SPLITS[0], codecs, solver)
    iterate(reference)
    workers, _ = start(SPLITS[0], codecs, solver)
    iterate(workers, measure=False)  # a q is on its way
    network, x, targets = problem()
    owned = [range(first, last + 1) for first, last in SPLITS[0]]
    for worker, neighbors, layers in zip(workers, chain(owned), owned, strict=True):
        chosen = [network[n - 1] for n in layers]
        x_own = x if 1 in layers else None
        worker.start(chosen, neighbors, x_own, NODES, targets if 6 in layers else None)
    iterate(workers)
    for a, b in zip(states(reference), states(workers), strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("split", SPLITS[:1], ids=str)
def test_any_split_gives_the_serial_iterates_in_float64(split, x64):
    solver = SOLVERS["pdadmm-g"]
    network, x, targets = problem("float64")
    state = solver.init(network, x, targets)
    workers, _ = start(split, Codecs(Float("float64"), Float("float64")), solver, "float64")
    for _ in range(50):
        state, _ = solver.step(state)
        iterate(workers)
    for serial, parallel in zip(state.layers, states(workers), strict=True):
        for a, b in zip(serial, parallel, strict=True):
            if a is not None:
                assert np.linalg.norm(a - b) <= 1e-12 * np.linalg.norm(a)


@pytest.mark.parametrize("name", [name for name in CODEC_NAMES if name != "float64"])
def test_both_sides_of_a_cut_agree_bit_for_bit(name):
    levels = LEVELS if name == "levels" else None
    solver = PDADMMG(rho=0.1, nu=0.1, levels_p=levels, levels_q=levels)
    codec = make_codec(name, levels)
    workers, transport = start(SPLITS[1], Codecs(codec, codec), solver)
    exact_start = 2 * NODES * SHAPE[1] * 4
    for _ in range(20):
        iterate(workers)
        for below, above in pairwise(workers):
            above.settle()
            lower = below.block.layers[-1]
            np.testing.assert_array_equal(lower.u, above.block.u_below)
            np.testing.assert_array_equal(lower.q, above.block.q_below)
    size = codec.nbytes((NODES, SHAPE[1]))
    assert transport.sent == {"p": 2 * 20 * size, "q": 2 * 20 * size + exact_start}


@pytest.mark.parametrize("bits", [*(pytest.param(n, marks=pytest.mark.slow) for n in (8, 4)), 2])
def test_delta_messages_reach_the_lossless_solution(bits):
    """The iterates differ on the way, but the residual of the coupling vanishes all the same."""
    solver = PDADMMG(rho=0.5, nu=0.1)
    codec = make_codec(f"delta{bits}")
    workers, _ = start(SPLITS[1], Codecs(codec, codec), solver)
    residuals = []
    for _ in range(400):
        iterate(workers)
        residuals.append(sum(float(worker.info().primal_residual) for worker in workers))
    assert residuals[-1] < 1e-3 * max(residuals)


def test_quantised_p_arrives_exact():
    solver = SOLVERS["pdadmm-g-q"]
    workers, _ = start(SPLITS[0], Codecs(make_codec("levels", LEVELS), Float()), solver)
    for _ in range(10):
        iterate(workers)
        sent, received = workers[1].block.layers[0].p, workers[0]._cut_above.p.last
        np.testing.assert_array_equal(sent, received)


def test_workers_sit_on_their_own_devices():
    workers, transport = start(SPLITS[1], Codecs(Float(), Float()), SOLVERS["pdadmm-g"])
    iterate(workers)
    homes = [worker.block.layers[0].W.device for worker in workers]
    assert homes == [transport.device(index) for index in range(3)]
    assert len(set(homes)) == 3


def test_a_worker_without_layers_is_left_out():
    solver = SOLVERS["pdadmm-g"]
    transport = LocalTransport(3)
    network, x, targets = problem()
    owned = [[1, 2, 3], [], [4, 5, 6]]
    workers = [
        LayerWorker(index, solver, transport, Codecs(Float(), Float())) for index in range(3)
    ]
    for worker, neighbors, layers in zip(workers, chain(owned), owned, strict=True):
        chosen = [network[n - 1] for n in layers]
        x_own = x if 1 in layers else None
        worker.start(chosen, neighbors, x_own, NODES, targets if 6 in layers else None)
    iterate(workers)
    assert workers[1].block is None
    assert workers[1].info() is None
    reference, _ = start(SPLITS[0], Codecs(Float(), Float()), solver)
    iterate(reference)
    for a, b in zip(states(reference), states([workers[0], workers[2]]), strict=True):
        np.testing.assert_array_equal(a.W, b.W)
