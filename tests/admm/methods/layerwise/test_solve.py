"""`solve`: against the serial solver, known optima and itself on other workers; its errors."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from admm import LocalTransport, Tolerance, solve
from admm.errors import DivergedError, InputError
from admm.solvers import PDADMMG, Backprop, PenaltySchedule, PenaltyState
from layers import (
    RELU,
    Dense,
    LeakyReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    init_dense,
    prox,
)
from quant import Delta, Float, LevelCodec, Levels

SHAPE = (6, 8, 8, 3)
SOLVER = PDADMMG(rho=0.5, nu=0.1, activation=RELU)
TANH = prox(jnp.tanh, cells=16)


def problem(dtype="float32", shape=SHAPE, nodes=25):
    random = np.random.default_rng(0)
    x = random.normal(size=(nodes, shape[0])).astype(dtype)
    y = np.eye(shape[-1], dtype=dtype)[random.integers(0, shape[-1], nodes)]
    sizes = [(shape[n - 1], shape[n]) for n in range(1, len(shape))]
    network = [init_dense(0, n, size, 0.5, dtype) for n, size in enumerate(sizes, 1)]
    return network, x, y


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.optimised
def test_it_is_the_serial_solver_on_any_number_of_workers():
    network, x, y = problem()
    state, infos = SOLVER.init(network, jnp.asarray(x), jnp.asarray(y)), []
    for _ in range(5):
        state, info = SOLVER.step(state)
        infos.append(info)
    results = [solve(SOLVER, network, x, y, steps=5, workers=n) for n in (1, 2)]
    for result in results:
        assert result.status == "steps"
        same(result.network, tuple(Dense(layer.W, layer.b) for layer in state.layers))
        for number, layer in enumerate(state.layers, 1):
            stored = result.state.layers[number]
            same(stored, {name: getattr(layer, name) for name in stored})
        same(result.trace, results[0].trace)
        same(result.layer_trace, results[0].layer_trace)
    trace = results[0].trace
    assert trace["step"].tolist() == [1, 2, 3, 4, 5]
    for name, squared in (("lagrangian", 1), ("primal_residual", 2), ("dual_residual", 2)):
        expected = [float(getattr(info, name)) for info in infos]
        np.testing.assert_allclose(trace[name] ** squared, expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("fun", [jnp.tanh, jax.nn.gelu, jax.nn.softplus])
def test_numerical_steps_are_the_same_on_any_number_of_workers(fun):
    network, x, y = problem()
    solver = replace(SOLVER, activation=prox(fun), risk=SigmoidCrossEntropy())
    alone, together = (solve(solver, network, x, y, steps=5, workers=n) for n in (1, 3))
    same(alone.network, together.network)
    same(alone.trace, together.trace)


def test_every_part_is_its_definition(x64):
    network, x, y = problem("float64")
    activation = LeakyReLU(0.5)
    solver = replace(SOLVER, activation=activation)
    result = solve(solver, network, x, y, steps=3, every=2)
    before = solve(solver, network, x, y, steps=2).state.layers
    layers = result.state.layers
    assert result.trace["step"].tolist() == [2, 3]
    assert result.layer_trace["step"].tolist() == [2, 2, 2, 3, 3, 3]
    assert result.layer_trace["layer"].tolist() == [1, 2, 3] * 2
    last = {name: column[-3:] for name, column in result.layer_trace.items()}
    nu, rho, mu = solver.nu, solver.rho, solver.weight_decay

    def lagrangian(p, W, b, z, q, number):
        """Of the layer, and of the cuts at its ends, without the coupling penalty."""
        value = nu / 2 * jnp.sum((z - p @ W - b) ** 2) + mu / 2 * jnp.sum(W**2)
        if number < 3:
            value += nu / 2 * jnp.sum((q - activation(z)) ** 2) - jnp.sum(layers[number]["u"] * q)
        return value if number == 1 else value + jnp.sum(layers[number - 1]["u"] * p)

    for number in (1, 2, 3):
        layer, at = layers[number], number - 1
        p, z, q = layer.get("p", x), layer["z"], layer.get("q")
        s = p @ layer["W"] + layer["b"]
        expected = {
            "linear_penalty": nu / 2 * jnp.sum((z - s) ** 2),
            "weight_decay": mu / 2 * jnp.sum(layer["W"] ** 2),
            **dict.fromkeys(("risk", "activation_penalty", "dual_residual"), 0.0),
            **dict.fromkeys(("dual_term", "coupling_penalty", "primal_residual"), 0.0),
        }
        if number == 3:
            expected["risk"] = solver.risk(z, jnp.asarray(y))
            next_z = solver.risk.solve(s, jnp.asarray(y), jnp.asarray(nu), z)
        else:
            expected["activation_penalty"] = nu / 2 * jnp.sum((q - activation(z)) ** 2)
            expected["dual_residual"] = rho * jnp.linalg.norm(q - before[number]["q"])
            next_z = activation.solve(s, q, z)
        if number > 1:
            below = layers[number - 1]
            gap = p - below["q"]
            expected["dual_term"] = jnp.sum(below["u"] * gap)
            expected["coupling_penalty"] = rho / 2 * jnp.sum(gap**2)
            expected["primal_residual"] = jnp.linalg.norm(gap)
        places = {1: (1, 2, 4), 2: (0, 1, 2, 4), 3: (0, 1, 2)}[number]
        given = (p, layer["W"], layer["b"], z, q, number)
        gradients = [nu * (z - next_z), *jax.grad(lagrangian, places)(*given)]
        expected["stationarity"] = sum(jnp.sum(g**2) for g in gradients) ** 0.5
        for name, value in expected.items():
            assert last[name][at] == pytest.approx(float(value), rel=1e-9, abs=1e-12), name
        parts = [v for n, v in expected.items() if "residual" not in n and n != "stationarity"]
        assert len(parts) == 6
        assert last["lagrangian"][at] == pytest.approx(float(sum(parts)))
    totals = {name: column[-1] for name, column in result.trace.items()}
    for name in last:
        if name in ("step", "layer"):
            continue
        norm = "residual" in name or name == "stationarity"
        total = (last[name] ** 2).sum() ** 0.5 if norm else last[name].sum()
        assert totals[name] == pytest.approx(total), name


def test_labels_reach_the_optimum_of_scipy(x64):
    """One layer: a convex problem in W, b and z, regularised logistic regression."""
    _, x, _ = problem("float64")
    random = np.random.default_rng(1)
    y = (x[:, :2] + random.normal(size=(25, 2)) > 0).astype(int)
    solver = PDADMMG(1.0, 2.0, 0.3, "newton", risk=SigmoidCrossEntropy())
    network = [Dense(jnp.zeros((6, 2)), jnp.zeros(2))]
    result = solve(solver, network, x, y, steps=3000, tol=Tolerance(1e-12, 1e-9), every=20)
    assert result.status == "converged"
    assert result.trace["primal_residual"].max() == 0  # so it is stationarity that has decided

    def objective(values):
        W, b, z = values[:12].reshape(6, 2), values[12:14], values[14:].reshape(25, 2)
        r, sigma = x @ W + b - z, 1 / (1 + np.exp(-z))
        value = np.sum(np.logaddexp(0, z) - y * z) + np.sum(r**2) + 0.15 * np.sum(W**2)
        slope = (2 * x.T @ r + 0.3 * W, 2 * r.sum(0), sigma - y - 2 * r)
        return value, np.concatenate([part.ravel() for part in slope])

    tight = {"ftol": 0, "gtol": 1e-10, "maxiter": 10_000, "maxfun": 100_000}
    known = minimize(objective, np.zeros(64), jac=True, method="L-BFGS-B", options=tight)
    assert result.trace["lagrangian"][-1] == pytest.approx(known.fun, rel=1e-12)
    np.testing.assert_allclose(result.network[0].W.ravel(), known.x[:12], atol=1e-6)
    np.testing.assert_allclose(result.network[0].b, known.x[12:14], atol=1e-6)


def test_it_ends_when_the_tolerance_is_met_and_says_so():
    network, x, y = problem()
    given = {"steps": 400, "every": 10}
    loose = solve(SOLVER, network, x, y, tol=3e-3, **given)
    tight = solve(SOLVER, network, x, y, tol=1.2e-3, **given)
    assert (loose.status, tight.status) == ("converged", "converged")
    assert loose.trace["step"][-1] < tight.trace["step"][-1] < 400
    for name in ("primal_residual", "dual_residual", "stationarity"):
        assert tight.trace[name][-1] < loose.trace[name][-1]
    absolute = solve(SOLVER, network, x, y, tol=Tolerance(1e-9, 0), steps=20)
    assert absolute.status == "steps"


def test_a_callback_sees_every_row_and_stops():
    network, x, y = problem()
    seen = []

    def callback(state, info):
        layer = state.layers[2]
        seen.append((info, float(jnp.linalg.norm(layer["p"] - state.layers[1]["q"]))))
        return info["step"] == 6

    result = solve(SOLVER, network, x, y, steps=50, every=2, callback=callback, workers=2)
    assert result.status == "stopped"
    assert [info["step"] for info, _ in seen] == result.trace["step"].tolist() == [2, 4, 6]
    for info, gap in seen:
        assert info["layers"]["primal_residual"][1] == pytest.approx(gap, rel=1e-4)
        assert info["layers"]["primal_residual"].shape == (3,)


@pytest.mark.parametrize("codec", [None, Delta(2)], ids=str)
def test_a_warm_start_is_as_if_nothing_had_happened(codec):
    network, x, y = problem()
    schedule = PenaltySchedule(patience=1, tolerance=0.1)
    given = {"codec": codec, "workers": 3, "schedule": schedule}
    whole = solve(SOLVER, network, x, y, steps=8, **given)
    first = solve(SOLVER, network, x, y, steps=5, **given)
    assert len(set(whole.trace["rho"])) > 1
    for _ in range(2):  # the state stays valid
        second = solve(SOLVER, network, x, y, steps=3, warm_start=first.state, **given)
        same(second.network, whole.network)
        same(second.state.layers, whole.state.layers)
        np.testing.assert_array_equal(second.trace["rho"], whole.trace["rho"][5:])
    if codec is None:  # then on any number of workers
        given["workers"] = 1
        second = solve(SOLVER, network, x, y, steps=3, warm_start=first.state, **given)
        same(second.network, whole.network)


def test_a_schedule_changes_the_penalties_of_the_next_iteration():
    @dataclass(frozen=True)
    class Twice:
        def init(self, rho, nu):
            return PenaltyState(2 * rho, nu)

        def update(self, penalties, info):
            assert info["rho"] == penalties.rho
            return penalties._replace(rho=2 * penalties.rho)

    network, x, y = problem()
    result = solve(SOLVER, network, x, y, steps=3, schedule=Twice(), workers=2)
    assert result.trace["rho"].tolist() == [1, 2, 4]
    assert result.state.penalties.rho == 8
    by_hand = SOLVER.init(network, jnp.asarray(x), jnp.asarray(y))
    for rho in (1.0, 2.0, 4.0):
        by_hand, _ = SOLVER.step(by_hand._replace(rho=jnp.float32(rho)))
    np.testing.assert_array_equal(result.network[1].W, by_hand.layers[1].W)


def test_lists_are_arrays_of_the_type_of_x():
    network, x, y = problem()
    expected = solve(SOLVER, network, x, y, steps=2).network
    lists = [Dense(params.W.tolist(), params.b.tolist()) for params in network]
    same(solve(SOLVER, lists, x, y.tolist(), steps=2).network, expected)


def test_rows_of_probabilities_are_targets_of_softmax():
    """Also such as lower precision has rounded."""
    network, x, y = problem()
    smooth = jnp.asarray(0.9 * y + 0.1 / 3, "bfloat16").astype("float32")
    assert (np.asarray(smooth).sum(axis=1) != 1).all()
    result = solve(SOLVER, network, x, smooth, steps=20)
    assert result.trace["loss"][-1] < result.trace["loss"][0]


def test_penalties_of_a_schedule_may_be_scalars_of_jax():
    @dataclass(frozen=True)
    class Grow:
        def init(self, rho, nu):
            return PenaltyState(rho, nu)

        def update(self, penalties, info):
            return penalties._replace(rho=jnp.float32(self.factor) * penalties.rho)

        factor: Any = 2

    network, x, y = problem()
    result = solve(SOLVER, network, x, y, steps=3, schedule=Grow())
    assert result.trace["rho"].tolist() == [0.5, 1, 2]
    with pytest.raises(InputError, match="rho of schedule= must be positive and finite, got -0.5"):
        solve(SOLVER, network, x, y, steps=3, schedule=Grow(-1))


def test_arrays_that_come_back_as_they_were_given_are_not_overwritten():
    """f(z) = z, and a risk whose proximal step is its target: the steps reuse their buffers."""

    @dataclass(frozen=True)
    class Equal:
        def __call__(self, z, targets):
            return jnp.sum((z - targets) ** 2)

        def solve(self, s, targets, nu, z_start):
            return targets

        def start(self, s, targets):
            return targets

    network, x, _ = problem()
    y = jnp.asarray(x[:, :3])
    solver = PDADMMG(0.5, 0.1, activation=prox(lambda z: z, cells=2), risk=Equal())
    result = solve(solver, network, x, y, steps=4)
    np.testing.assert_array_equal(y, x[:, :3])
    assert (result.trace["risk"] == 0).all()
    assert result.trace["lagrangian"][-1] < result.trace["lagrangian"][0]


def test_float64_and_levels(x64):
    levels = Levels(-1, 3)
    network, x, y = problem("float64")
    solver = replace(SOLVER, levels_p=levels)
    codec = (LevelCodec(levels), Float("float64"))
    result = solve(solver, network, x, y, steps=4, codec=codec, workers=2)
    assert result.network[0].W.dtype == "float64"
    p = result.state.layers[2]["p"]
    np.testing.assert_array_equal(p, levels.project(p))


def test_divergence_is_an_error():
    network, x, y = problem()
    with pytest.raises(DivergedError, match="lagrangian (inf|nan) after step 1, expected finite"):
        solve(SOLVER, network, 1e30 * x, y, steps=3)


# What is refused.


NAN = np.full((25, 6), 1, "float32")
NAN[3, 2] = np.nan


@dataclass(frozen=True)
class Short:
    """A codec whose messages have other sizes than it says."""

    remembers = False

    def nbytes(self, shape):
        return 3

    def encode(self, x, previous):
        return jnp.zeros(4, "uint8")

    def decode(self, message, previous):
        return previous


@dataclass(frozen=True)
class Sized(Short):
    """One that says odd sizes of its messages."""

    size: float | None

    def nbytes(self, shape):
        if self.size is None:
            raise KeyError("size")
        return self.size


@dataclass(frozen=True)
class Failing:
    """An activation whose step fails."""

    def __call__(self, x):
        return x

    def solve(self, s, q, z_old):
        raise KeyError("q")


@dataclass(frozen=True)
class Column:
    """An activation that loses columns."""

    def __call__(self, x):
        return x[:, :1]

    def solve(self, s, q, z_old):
        return z_old


@dataclass
class Mutable:
    def __call__(self, x):
        return x

    def solve(self, s, q, z_old):
        return z_old


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.ones((24, 6), "float32")}, "x= has 24 rows and y= 25; expected one row of each"),
        ({"x": NAN}, r"x= must be finite, got nan at (3, 2); leave such rows out"),
        ({"y": np.full((25, 3), np.inf, "float32")}, r"y= must be finite, got inf at (0, 0)"),
        ({"x": np.ones((25, 6))}, "float64 needs JAX's 64-bit mode: set JAX_ENABLE_X64=1"),
        ({"x": np.ones((25, 6), int)}, "x= must be float32 or float64, got int64"),
        ({"y": np.ones((25, 3))}, "y= is float64 and x= float32; expected one dtype: convert"),
        ({"y": np.ones(25, "float32")}, r"y= must have a row for every node, ..., got (25,)"),
        ({"x": np.ones((0, 6), "float32")}, r"x= must have a row for every node, ..., got (0, 6)"),
        ({"y": np.ones((25, 4), "float32")}, "risk=: its value failed on float32(25, 3) and float"),
        ({"network": []}, "network= must be a sequence of layers.Dense, got []"),
        ({"x": [[1.0], [1.0, 2.0]]}, "x= must be an array of numbers, got [[1.0], [1.0, 2.0]]: "),
        ({"x": [["a"]] * 25}, "x= must be float32 or float64, got <U1"),
        ({"y": [["a"]] * 25}, "y= must be an array of numbers, got [['a'], ['a'], ['a'], "),
        ({"y": np.full((25, 3), 2)}, r"y= must be in [0, 1] for SoftmaxCrossEntropy, got 2 at (0"),
        ({"y": -np.eye(25, 3, dtype="float32")}, "in [0, 1] for SoftmaxCrossEntropy, got -1 at (0"),
        (
            {"y": np.eye(25, 3, dtype="float32")},
            "rows of y= must add up to 1 for SoftmaxCrossEntropy, got 0 in row 3; leave rows",
        ),
        (
            {"y": np.full((25, 3), 0.4, "float32")},
            "rows of y= must add up to 1 for SoftmaxCrossEntropy, got 1.2 in row 0; ... take "
            "layers.SigmoidCrossEntropy for several labels a row",
        ),
        (
            {"solver": replace(SOLVER, risk=SigmoidCrossEntropy()), "y": 1.5 * problem()[2]},
            "y= must be in [0, 1] for SigmoidCrossEntropy, got 1.5 at (",
        ),
        ({"network": ["a"]}, "network=: layer 1 must be a layers.Dense with W (n_in, n_out)"),
        (
            {"network": [Dense([[1.0], [1.0, 2.0]], [0.0])]},
            "W of layer 1 must be an array of numbers, got [[1.0], [1.0, 2.0]]: ",
        ),
        (
            {"network": [Dense([1.0, 2.0], [0.0])]},
            "network=: layer 1 must be a layers.Dense with W (n_in, n_out) and b (n_out,), got "
            "(2,) and (1,)",
        ),
        (
            {"network": [Dense([[np.nan] * 3] * 6, [0.0] * 3)]},
            "W of layer 1 must be finite, got nan at (0, 0)",
        ),
        (
            {"network": problem()[0][1:]},
            "network=: layer 1 takes 8 columns, but x= has 6",
        ),
        (
            {"network": [problem()[0][0], problem()[0][0]]},
            "network=: layer 2 takes 6 columns, but layer 1 has 8",
        ),
        (
            {"network": [Dense(jnp.ones((6, 3)), jnp.ones(4))]},
            "network=: W of layer 1 has 3 columns, but its b has 4 elements",
        ),
        ({"solver": Backprop("adam", 0.1)}, "solve takes a PDADMMG of admm.solvers, got Backprop"),
        ({"steps": 0}, "steps= must be at least 1, got 0"),
        ({"steps": 2.5}, "steps= must be a whole number, at least 1, got 2.5"),
        ({"steps": "5"}, "steps= must be a whole number, at least 1, got '5'"),
        ({"workers": "2"}, "workers= must be a whole number, in 1…1,024, got '2'"),
        ({"tol": "small"}, "tol= must be a number or a Tolerance, got 'small'"),
        ({"callback": 3}, "callback= must be a function of state and info"),
        ({"schedule": 3}, "schedule= must be a Schedule that has a hash, got 3; see admm.solvers"),
        ({"transport": 3}, "transport= must be a Transport of admm.comm, got 3"),
        ({"every": 0}, "every= must be at least 1, got 0"),
        ({"tol": 0.0}, "tol= must be positive and finite, got 0.0"),
        ({"tol": -1.0}, "tol= must be positive and finite, got -1.0"),
        ({"workers": 0}, "workers= must be in 1…1,024, got 0"),
        ({"workers": 4}, "got 4 workers for 3 layers; every worker needs at least one"),
        (
            {"workers": 2, "transport": LocalTransport(2)},
            "got workers=2 and a transport= of 2 workers; give one of them",
        ),
        ({"codec": "delta4"}, "codec= must be a Codec that has a hash, got 'delta4'; see quant."),
        ({"codec": (Float(),) * 3}, "codec= must be one codec or a pair, of p and of q, got 3"),
        ({"codec": Sized(None)}, r"codec=: nbytes failed on (25, 8): KeyError: 'size'"),
        ({"codec": Sized(2.5)}, r"codec=: nbytes makes 2.5 of (25, 8), expected a whole number of"),
        ({"codec": Sized(-1)}, r"codec=: nbytes makes -1 of (25, 8), expected a whole number of"),
        ({"codec": Short()}, r"codec=: encode makes uint8(4,) of ..., expected uint8(3,)"),
        ({"solver": replace(SOLVER, activation=Column())}, "activation=: its value makes float32"),
        (
            {"solver": replace(SOLVER, activation=Failing())},
            "activation=: solve failed on float32(25, 8) and ..., expected ...: KeyError: 'q'",
        ),
    ],
)
def test_refuses_bad_arguments(unchecked, changes, message):
    network, x, y = problem()
    given = {"solver": SOLVER, "network": network, "x": x, "y": y, "steps": 2, **changes}
    with pytest.raises(InputError, match=re.escape(message).replace(r"\.\.\.", ".*")):
        solve(**given)


def test_refuses_parts_without_the_methods_of_their_protocol(unchecked):
    with pytest.raises(InputError, match="activation= must be an Activation that has a hash, got "):
        replace(SOLVER, activation=jnp.tanh)
    with pytest.raises(InputError, match=r"layers.prox\(fun\) makes one"):
        replace(SOLVER, activation=Mutable())
    with pytest.raises(InputError, match="risk= must be a Risk that has a hash, got "):
        replace(SOLVER, risk=RELU)
    with pytest.raises(InputError, match="risk= must be a Risk that has a hash, got <class"):
        replace(SOLVER, risk=SoftmaxCrossEntropy)


def test_refuses_tolerances_that_nothing_reaches(unchecked):
    with pytest.raises(InputError, match="absolute= must be finite and ≥ 0, got -1.0"):
        Tolerance(absolute=-1.0)
    with pytest.raises(InputError, match="relative= must be finite and ≥ 0, got nan"):
        Tolerance(relative=float("nan"))
    with pytest.raises(InputError, match="absolute= must be finite and ≥ 0, got inf"):
        Tolerance(absolute=float("inf"))
    with pytest.raises(InputError, match="absolute= must be a number, finite and ≥ 0, got '1e-3'"):
        Tolerance("1e-3")
    with pytest.raises(InputError, match="relative= must be a number, finite and ≥ 0, got None"):
        Tolerance(relative=None)
    with pytest.raises(InputError, match="absolute= and relative= are both 0, which no residual"):
        Tolerance(0, 0)


def test_refuses_states_that_do_not_fit(unchecked):
    network, x, y = problem()
    schedule = PenaltySchedule()
    state = solve(SOLVER, network, x, y, steps=1, schedule=schedule).state
    apart = "start from the network of its solution instead"

    def refused(message, warm_start=state, **changes):
        given = {"solver": SOLVER, "network": network, "x": x, "y": y, "steps": 1, **changes}
        with pytest.raises(InputError, match=message):
            solve(**given, warm_start=warm_start)

    wider, _, _ = problem(shape=(6, 9, 8, 3))
    refused(rf"W of layer 1 must be float32 \(6, 9\), got float32 \(6, 8\); {apart}", network=wider)
    shallow, _, eight = problem(shape=(6, 8, 8))
    refused("warm_start= has more than 2 layers", network=shallow, y=eight)
    deeper, _, _ = problem(shape=(6, 8, 8, 3, 3))
    refused("q of layer 3 must be .*, got none", network=deeper)
    refused(f"warm_start= is of other x=; {apart}", x=2 * x)
    quantised = replace(SOLVER, levels_p=Levels(0, 3))
    refused("warm_start= is of other levels_p=", solver=quantised)
    other = state._replace(penalties=0.5)
    refused("has the penalties of another schedule=: got float", other, schedule=schedule)
    refused("warm_start= must be the state of a Solution, got a list", [])


MPI = """
import hashlib, sys
import jax
import numpy as np
sys.path[:0] = [sys.argv[1]]
from test_solve import SOLVER, digest, problem, sign_and_tanh, solve
from admm.comm import MPITransport, launch
from admm.errors import DivergedError, InputError

transport = MPITransport(launch.world())
solver, codec = sign_and_tanh()
network, x, y = problem()
whole = solve(solver, network, x, y, steps=6, codec=codec, transport=transport)
first = solve(solver, network, x, y, steps=4, codec=codec, transport=transport)
stops = (lambda state, info: info["step"] == 2) if transport.is_root else None
given = {"codec": codec, "transport": transport, "warm_start": first.state, "callback": stops}
second = solve(solver, network, x, y, steps=9, **given)
assert second.status == "stopped"
assert digest(second.network) == digest(whole.network)
print(f"digest {digest((whole.network, whole.trace, whole.layer_trace))}\\n", end="", flush=True)
for number, wrong in enumerate(({"x": x[:, :5]}, {"y": y[::-1]})):
    given = {"x": x, "y": y}
    if transport.is_root is False or number == 0:
        given |= wrong
    try:
        solve(solver, network, steps=2, transport=transport, **given)
    except InputError as error:
        print(f"refused {error}\\n", end="", flush=True)
try:
    solve(SOLVER, network, 1e30 * x, y, steps=2, transport=transport)
except DivergedError:
    print("diverged\\n", end="", flush=True)
transport.close()
"""


def digest(tree):
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Halves:
    """A codec of one's own: float16 of the change since the last message."""

    remembers = True

    def nbytes(self, shape):
        return 2 * shape[0] * shape[1]

    def encode(self, x, previous):
        return (x - previous).astype("float16").view("uint8").reshape(-1)

    def decode(self, message, previous):
        return previous + message.view("float16").reshape(previous.shape).astype(previous.dtype)


def sign_and_tanh():
    return replace(SOLVER, activation=TANH, risk=SquaredError()), Halves()


def test_mpi_ranks_and_workers_of_one_process_are_the_same_to_the_bit(mpi_python):
    solver, codec = sign_and_tanh()
    network, x, y = problem()
    here = solve(solver, network, x, y, steps=6, codec=codec, workers=2)
    done = mpi_python(MPI, __file__.rpartition("/")[0], ranks=2)
    assert done.returncode == 0, done.stderr
    expected = digest((here.network, here.trace, here.layer_trace))
    refused = ("layer 1 takes 6 columns, but x= has 5", "rank 1 was given other y=")
    for line in (expected, *refused, "diverged"):
        assert done.stdout.count(line) == 2, done.stdout
