"""Real MPI processes: buffers, iterates, failures."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from admm.comm import MPITransport
from admm.errors import AdmmError, InputError, WorkerLostError, told

TRANSPORT = """
import jax, jax.numpy as jnp, numpy as np
from admm.comm import MPITransport, launch
comm = launch.world()
transport = MPITransport(comm)
transport.declare("p", "q")
rank, size = comm.rank, comm.size
"""


def declared(comm, **careful):
    """A transport for p and q."""
    transport = MPITransport(comm, **careful)
    transport.declare("p", "q")
    return transport


def ring(comm):
    transport, rank, size = declared(comm), comm.rank, comm.size
    above, below = (rank + 1) % size, (rank - 1) % size
    sizes = [1, 1000, 300_001] * 10
    expected = [transport.expect(n, below, rank, "q") for n in sizes]
    for k, n in enumerate(sizes):
        transport.send(jnp.full(n, k + rank, jnp.uint8), rank, above, "q", elements=n)
    for k, (n, wait) in enumerate(zip(sizes, expected, strict=True)):
        message = wait()
        assert message.shape == (n,)
        assert bool((message == k + below).all())
    assert transport.sent["q"] == sum(sizes), transport.sent
    transport.flush()


def test_messages_arrive_whole_and_in_order(returned):
    """Ring of messages of several sizes, many in flight, each checked by its receiver."""
    returned(ring, 3)


def many(comm):
    transport, n = declared(comm), 100_000
    if comm.rank == 0:
        for k in range(100):
            transport.send(jnp.full(n, k, jnp.uint8), 0, 1, "p", elements=n)
        transport.flush()
    else:
        received = [transport.expect(n, 0, 1, "p")() for k in range(100)]
        wrong = [k for k, message in enumerate(received) if not bool((message == k).all())]
        assert not wrong, wrong
    comm.Barrier()


def test_received_arrays_never_change(returned):
    """JAX may alias a receive buffer; a reused one would change arrays already handed out."""
    returned(many, 2)


def control_values(comm):
    transport, rank, size = declared(comm), comm.rank, comm.size
    assert transport.share({"a": rank}, 1) == {"a": 1}
    assert transport.gather(rank) == list(range(size))
    np.testing.assert_array_equal(transport.total([np.array([rank, 1.0])]), [3, 3])
    calls = []
    assert transport.at_root(lambda: calls.append(1) or 7) == 7
    assert len(calls) == (rank == 0)

    def fail():
        raise InputError("no such thing")

    with pytest.raises(InputError, match="^no such thing$"):
        transport.at_root(fail)
    assert transport.agreed(lambda: rank) == rank
    with pytest.raises(InputError, match="^no such thing$"):
        transport.agreed(lambda: rank == 0 or fail())


def test_control_values(returned):
    returned(control_values, 3)


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(one + two)


def odd_exceptions(comm):
    transport, found = declared(comm), {}

    def fail():
        if comm.rank == 0:
            raise OddError("a", "b")

    for way in ("at_root", "agreed"):
        with pytest.raises(AdmmError) as error:
            getattr(transport, way)(fail)
        found[way] = str(error.value), told(error.value)
    return found


@pytest.mark.parametrize("way", ["at_root", "agreed"])
def test_any_exception_of_one_rank_ends_all(returned, way):
    """One that no other process can make, too; the traceback is in a note."""
    for found in returned(odd_exceptions, 2):
        message, with_notes = found[way]
        assert message == "rank 0 failed: OddError: ab"
        assert "in fail" in with_notes


def test_a_rank_takes_its_share_of_the_cores_and_respects_a_binding(mpi_python):
    code = """
import json, os
from admm.comm import launch
allowed, found = sorted(os.sched_getaffinity(0)), []
comm = launch.world()
for case in ("bound", "free"):
    os.sched_setaffinity(0, allowed)
    if case == "bound":  # as a launcher would: every rank on another set of cores
        os.sched_setaffinity(0, allowed[comm.rank % len(allowed):][:1])
    before = os.sched_getaffinity(0)
    launch.take_share_of_host()
    after = os.sched_getaffinity(0)
    assert after == before if case == "bound" and len(allowed) > 1 else after <= before
    found.append(sorted(after))
every = comm.gather([allowed, *found])
if comm.rank == 0:
    print(json.dumps(every))
"""
    done = mpi_python(code, ranks=2)
    assert done.returncode == 0, done.stderr
    one, other = json.loads(done.stdout)
    if len(one[0]) > 1:  # the ranks have different ones
        assert one[1] != other[1]
        assert one[2] != other[2]


STATES = """
import pickle, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", sys.argv[1] == "float64")
from admm.comm import MPITransport, chain, in_turns, launch
from admm.methods.layerwise.worker import Codecs, LayerWorker
from admm.solvers import PDADMMG
from layers import init_dense, split_layers, widths
from quant import CODEC_NAMES, Levels, make_codec

dtype, size, comm = sys.argv[1], 30, launch.world()
shape = widths(12, 10, 4, 6)
owned = [range(a, b + 1) for a, b in split_layers([1] * 6, comm.size)]
own = owned[comm.rank]
network = [init_dense(0, n, shape[n - 1 : n + 1], 0.5, dtype) for n in range(1, 7)]
x = jnp.asarray(np.random.default_rng(0).normal(size=(size, 12)), dtype)
targets = jax.nn.one_hot(jnp.arange(size) % 4, 4, dtype=dtype)


def check(name, steps):
    levels = Levels(-1, 20) if name == "levels" else None
    solver = PDADMMG(rho=0.1, nu=0.1, levels_p=levels, levels_q=levels)
    codec = make_codec(name, levels)
    transport = MPITransport(comm)
    worker = LayerWorker(comm.rank, solver, transport, Codecs(codec, codec))
    worker.start([network[n - 1] for n in own], chain(owned)[comm.rank], x if 1 in own else None,
                 size, targets if 6 in own else None)
    for _ in range(steps):
        in_turns([worker.iteration()])
    worker.finish()
    transport.close()
    block = jax.device_get(worker.block)
    blocks = comm.allgather(block)
    for lower, upper in zip(blocks, blocks[1:]):
        np.testing.assert_array_equal(lower.layers[-1].u, upper.u_below, err_msg=name)
        np.testing.assert_array_equal(lower.layers[-1].q, upper.q_below, err_msg=name)
    if name == dtype or name == "levels":  # lossless: the serial iterates, in every variable
        state = solver.init(network, x, targets)
        for _ in range(steps):
            state, _ = solver.step(state)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        parallel = [layer for block in blocks for layer in block.layers]
        for serial, other in zip(state.layers, parallel):
            for field, a, b in zip(serial._fields, serial, other):
                if a is not None:
                    assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a), (name, field)


check(dtype, 50)
for name in CODEC_NAMES:
    if name != "float64":
        check(name, 10)
print("good", flush=True)
"""


@pytest.mark.parametrize(
    ("ranks", "dtype"),
    [(2, "float32"), pytest.param(4, "float64", marks=pytest.mark.slow)],
)
def test_states_and_duals_over_ranks(mpi_python, ranks, dtype):
    """All variables equal the serial ones; u is the same bits on both sides, for every codec."""
    done = mpi_python(STATES, dtype, ranks=ranks, timeout=200)
    assert done.stdout.count("good") == ranks, done.stderr


SMALL = ("--layers", 4, "--hidden", 20, "--epochs", 50, "--grow", "none")


def history(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def weights(out):
    manifest = json.loads((out / "model.json").read_text())
    arrays = []
    for name in sorted(manifest["files"]):
        with np.load(out / name) as layer:
            arrays += [layer["W"], layer["b"]]
    return arrays


@pytest.mark.parametrize(
    ("dtype", "ranks"),
    [
        ("float32", [2]),
        *(pytest.param(dtype, [2, 4], marks=pytest.mark.slow) for dtype in ("float32", "float64")),
    ],
)
def test_ranks_do_not_change_the_run(admm, tmp_path, dtype, ranks):
    """The whole command on 1 and more ranks and 3 workers in a process: the same training."""
    ways = {"1": {}, "w3": {}, **{f"r{n}": {"ranks": n} for n in ranks}}
    for name, way in ways.items():
        extra = ("--workers", 3) if name == "w3" else ()
        # Each way compiles for itself, as it would for a user: compiled code may depend on cores.
        done = admm(
            *("train", *SMALL, "--dtype", dtype, *extra, "--out", tmp_path / name),
            JAX_COMPILATION_CACHE_DIR="",
            XLA_FLAGS="",
            **way,
        )
        assert done.returncode == 0, done.stderr
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    reference = history(tmp_path / "1")
    for name in [*ways][1:]:
        for a, b in zip(reference, history(tmp_path / name), strict=True):
            assert b["lagrangian"] == pytest.approx(a["lagrangian"], rel=tolerance), name
            assert b["primal_residual"] == pytest.approx(a["primal_residual"], rel=tolerance)
        for a, b in zip(weights(tmp_path / "1"), weights(tmp_path / name), strict=True):
            assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(a)
    summary = json.loads((tmp_path / name / "summary.json").read_text())
    assert summary["workers"]["ranks"] == ranks[-1]
    assert len(summary["peak_rss_bytes"]) == ranks[-1]
    assert summary["bytes"]["sent"] == sum(summary["bytes"]["by_variable"].values()) > 0


@pytest.mark.slow
def test_growing_over_ranks_that_start_without_layers(admm, tmp_path):
    options = ("--layers", 5, "--hidden", 16, "--epochs", 6, "--codec", "delta4")
    done = admm("train", *options, "--out", tmp_path, ranks=4)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [stage["depth"] for stage in summary["stages"]] == [2, 5]
    assert summary["status"] == "done"
    alone = admm("evaluate", tmp_path)
    together = admm("evaluate", tmp_path, ranks=2)
    assert alone.returncode == together.returncode == 0, together.stderr
    assert alone.stdout == together.stdout
    accuracy = dict(
        zip(alone.stdout.split()[::2], map(float, alone.stdout.split()[1::2]), strict=True)
    )
    assert accuracy["test"] == pytest.approx(summary["best"]["test_accuracy"], abs=0.003)


@pytest.mark.parametrize(
    ("codec", "bound"),
    [
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("uniform8", 0.27), ("delta4", 0.14))
        ),
        ("delta2", 0.08),
    ],
)
def test_bytes_of_a_run(admm, tmp_path, codec, bound):
    options = ("--layers", 3, "--epochs", 120, "--eval-every", 60, "--codec", codec)
    done = admm("train", *options, "--out", tmp_path, ranks=2)
    assert done.returncode == 0, done.stderr
    sent = json.loads((tmp_path / "summary.json").read_text())["bytes"]
    assert 0 < sent["sent"] <= bound * sent["float32"]
    assert set(sent["by_variable"]) == {"p", "q"}


@pytest.mark.slow
def test_bytes_of_ten_layers_on_five_ranks(admm, tmp_path):
    options = ("--epochs", 60, "--eval-every", 60, "--codec", "delta2")
    done = admm("train", *options, "--out", tmp_path, ranks=5)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [stage["depth"] for stage in summary["stages"]] == [2, 5, 10]
    assert summary["bytes"]["sent"] <= 0.08 * summary["bytes"]["float32"]


def test_levels_travel_in_five_bits(admm, tmp_path):
    options = ("--layers", 3, "--hidden", 40, "--epochs", 10, "--levels=-1:20")
    done = admm("train", *options, "--codec", "levels", "--out", tmp_path, ranks=2)
    assert done.returncode == 0, done.stderr
    by_variable = json.loads((tmp_path / "summary.json").read_text())["bytes"]["by_variable"]
    elements = 200 * 40
    assert by_variable["p"] == 10 * elements * 5 // 8
    assert by_variable["q"] == 11 * elements * 4  # unconstrained: as it is, and once at the start


SAY = """
import pathlib, sys
def say(*words):  # in a file, since an abort may overtake what was printed
    pathlib.Path(sys.argv[1], str(rank)).write_text(" ".join(map(str, words)))
"""


def test_a_silent_rank_is_named_by_one_of_the_others(mpi_python, tmp_path):
    """Rank 1 sleeps; rank 2 waits for it, rank 0 in a collective: both know, rank 0 tells."""
    done = mpi_python(
        TRANSPORT.replace("MPITransport(comm)", "MPITransport(comm, timeout=2)")
        + SAY
        + """
import time
from admm.errors import WorkerLostError
comm.Barrier()
if rank == 1:
    time.sleep(30)
try:
    transport.expect(10, 1, 2, "q")() if rank == 2 else transport.total([np.ones(1)])
except WorkerLostError as error:
    say(error.workers, error.spokesman, error)
    time.sleep(4)
    comm.Abort(error.exit_code)
""",
        tmp_path,
        ranks=3,
        timeout=60,
    )
    assert done.returncode == 4
    silent = "rank 1 silent for 2 s; a timeout= above its longest computation"
    assert (tmp_path / "0").read_text().startswith(f"(1,) True {silent}")
    assert (tmp_path / "2").read_text().startswith(f"(1,) False {silent}")


def test_a_message_that_never_comes(mpi_python, tmp_path):
    """Rank 1 waits as well, and answers: nobody is silent."""
    done = mpi_python(
        TRANSPORT.replace("MPITransport(comm)", "MPITransport(comm, timeout=2 + 3 * comm.rank)")
        + SAY
        + """
from admm.errors import WorkerLostError
try:
    transport.expect(10, 1 - rank, rank, "q")()
except WorkerLostError as error:
    say(error.spokesman, error)
    comm.Barrier() if rank == 0 else None
    comm.Abort(4)
""",
        tmp_path,
        ranks=2,
        timeout=60,
    )
    assert done.returncode == 4
    answers = "True no message from rank 1 for 2 s, though all ranks answer"
    assert (tmp_path / "0").read_text().startswith(answers)
    assert (tmp_path / "1").read_text().startswith("False")


BITS = (0, 8 * 999 + 7, 8 * 1002)  # of the first byte, the last one, and the checksum itself


class Turning:
    """A communicator that turns a bit of what is sent."""

    def __init__(self, good, bit):
        self._good, self._bit = good, bit

    def __getattr__(self, name):
        return getattr(self._good, name)

    def Isend(self, buffer, *rest):
        buffer = buffer.copy()
        buffer[self._bit // 8] ^= 1 << self._bit % 8
        return self._good.Isend(buffer, *rest)


def turned_bits(comm):
    found = []
    for bit in BITS:
        transport = declared(comm, checksum=True)
        if comm.rank == 0:
            for link in (transport.comm, Turning(transport.comm, bit)):
                transport.comm = link
                transport.send(jnp.arange(1000, dtype=jnp.uint8), 0, 1, "p", elements=250)
            assert transport.sent["p"] == 2000
            transport.flush()
        else:
            message = transport.expect(1000, 0, 1, "p")()
            assert bool((message == jnp.arange(1000, dtype=jnp.uint8)).all())
            with pytest.raises(WorkerLostError) as error:
                transport.expect(1000, 0, 1, "p")()
            found.append((bit, str(error.value)))
        comm.Barrier()
    return found


@pytest.mark.parametrize("bit", BITS)
def test_a_bit_that_turns_is_noticed(returned, bit):
    _, found = returned(turned_bits, 2)
    damaged = "a message of p from rank 0 to rank 1 arrived damaged (1,000 bytes"
    assert damaged in dict(found)[bit]


PROGRAMS = ((ring, 3), (many, 2), (control_values, 3), (odd_exceptions, 2), (turned_bits, 2))
