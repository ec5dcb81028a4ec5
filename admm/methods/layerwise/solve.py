"""`solve`: pdADMM-G on arrays, without files, folders or the driver."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np

from admm.checks import COUNT, NOT_NEGATIVE, POSITIVE, WORKERS, check_protocol
from admm.comm import Transport, in_turns, local_transport
from admm.errors import DivergedError, InputError, spelled
from admm.methods.layerwise.group import Group, SolverState, check_warm_start
from admm.methods.layerwise.identity import identity
from admm.methods.layerwise.measure import Row, converged, layer_table, measure, row, table
from admm.methods.layerwise.problem import Problem, checked_problem, traits
from admm.run.run import check_transport
from admm.solvers import PDADMMG, Schedule
from layers import Dense

Callback = Callable[[SolverState, Row], object]
Status = Literal["converged", "steps", "stopped"]


@dataclass(frozen=True)
class Tolerance:
    """When to stop: every residual is at most √n·absolute + relative·(what it is measured against).

    Boyd et al. 2011, §3.3.1, with n the elements of the residual, for

    - the primal residual (Σ ‖p_{l+1} − q_l‖²)^½, against the larger of ‖p‖ and ‖q‖;
    - the dual residual (Σ ‖ρ Δq_l‖²)^½, against ‖u‖;
    - stationarity, the norm of the gradients of the Lagrangian without its coupling penalty
      (`admm.solvers.Diagnosis`), against (Σ ‖u‖² + ‖ν r‖² + ‖μ W‖²)^½.

    Deviation: Boyd's rule has the first two. They say all where every step is an exact minimum;
    here W and p take one descent step, and a network of one layer has neither.

    Args:
        absolute: Root of the mean square that counts as zero.
        relative: Fraction of the terms that cancel.

    Raises:
        InputError: If one is no number, negative or not finite, or both are 0.

    Example:
        >>> Tolerance(relative=1e-4)
        Tolerance(absolute=1e-06, relative=0.0001)
    """

    absolute: float = 1e-6
    relative: float = 1e-3

    def __post_init__(self) -> None:
        NOT_NEGATIVE("absolute", self.absolute)
        NOT_NEGATIVE("relative", self.relative)
        if self.absolute == self.relative == 0:
            raise InputError(
                f"{spelled('absolute')} and {spelled('relative')} are both 0, which no residual "
                "reaches; give one of them"
            )


class Solution(NamedTuple):
    """What `solve` returns, in every process.

    Example:
        >>> import jax.numpy as jnp
        >>> network = [Dense(jnp.zeros((1, 2)), jnp.zeros(2))]
        >>> x, y = jnp.array([[-1.0], [1.0]]), jnp.eye(2)
        >>> result = solve(PDADMMG(), network, x, y, steps=5)
        >>> result.status, result.trace["step"].tolist()
        ('steps', [1, 2, 3, 4, 5])
    """

    network: tuple[Dense, ...]  # the whole of it, on this process's first device
    status: Status  # why it ended: the tolerance is met, all steps are done, the callback said so
    state: SolverState  # of the last step
    trace: dict[str, np.ndarray]  # a row for every measured step, by column
    layer_trace: dict[str, np.ndarray]  # a row for every measured step and layer


def solve(
    solver: PDADMMG,
    network: Sequence[Dense],
    x: Any,
    y: Any,
    *,
    steps: int,
    tol: Tolerance | float | None = None,
    callback: Callback | None = None,
    codec: Any = None,
    workers: int = 1,
    transport: Transport | None = None,
    warm_start: SolverState | None = None,
    schedule: Schedule | None = None,
    every: int = 1,
) -> Solution:
    """Minimise the problem of a `PDADMMG` on arrays, on one worker or several.

        minimise  R(z_L; y) + ν/2 Σ‖z_l − p_l W_l − b_l‖² + ν/2 Σ‖q_l − f(z_l)‖² + μ/2 Σ‖W_l‖²
        subject to  p_{l+1} = q_l,  p_1 = x

    Under MPI every rank calls it with the same arguments and a `transport`, and has one worker.
    Activation, risk, codecs and schedule are compared by their types and what they hold.
    The iterates do not depend on the number of workers, but for what a codec loses.

    Args:
        solver: Penalties, step rule, activation, risk and levels.
        network: Layers to start from; with `warm_start` only their shapes count.
        x: Inputs, (V, n_0), float32, or float64 in JAX's 64-bit mode.
        y: Targets, (V, columns), as the risk takes them: for a cross-entropy in [0, 1], and rows
            add up to 1 for that of softmax.
        steps: Iterations at most.
        tol: When to stop before; a number stands for both tolerances.
        callback: Called as `callback(state, info)` with every row of the trace, in all processes;
            all stop where it returns true in any. `info["layers"]` has the values of every layer.
            The arrays of `state` are overwritten by the next iteration: copy what you keep.
        codec: How p and q travel between workers, a `quant.Codec` or a pair of them; by default as
            they are.
        workers: Workers of this process; `jax_num_cpu_devices` gives each a device.
        transport: Ways between workers, in place of `workers`: an `admm.comm.MPITransport`.
        warm_start: State of a solution of the same shapes and inputs; it stays valid.
        schedule: How the penalties change after every row of the trace; constant by default.
        every: Iterations between rows of the trace. A row waits for its iteration, and costs two
            products and a step of z a layer; the iterations between wait for nothing.

    Raises:
        InputError: In every process, if arguments do not fit.
        AdmmError: In every process of several, if callback or schedule of one raise anything.
        DivergedError: In every process, if the Lagrangian leaves the finite numbers.
        WorkerLostError: If another rank is silent for too long, or its messages are damaged.

    Example:
        >>> import jax.numpy as jnp
        >>> from layers import IDENTITY, SquaredError
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> network = [Dense(jnp.zeros((1, 1)), jnp.zeros(1))]
        >>> solver = PDADMMG(1.0, 1.0, 0.0, "newton", IDENTITY, SquaredError())
        >>> result = solve(solver, network, x, 2 * x + 1, steps=200, tol=1e-4)
        >>> result.status, round(float(result.network[0].W[0, 0]), 2)
        ('converged', 2.0)
    """
    given = transport
    if transport is None:
        WORKERS("workers", workers)
        transport = local_transport(workers)
    check_transport(transport)

    def check() -> tuple[Problem, Tolerance | None, Any, dict[str, Any]]:
        if given is not None and workers != 1:
            raise InputError(
                f"got {spelled('workers', workers)} and a {spelled('transport')} of {given.size} "
                "workers; give one of them"
            )
        for name, count in (("steps", steps), ("every", every)):
            COUNT(name, count)
        if callback is not None and not callable(callback):
            raise InputError(f"{spelled('callback')} must be a function of state and info")
        if schedule is not None:
            check_protocol("schedule", schedule, Schedule, "see admm.solvers.Schedule")
        problem = checked_problem(solver, network, x, y, codec)
        if transport.size > len(problem.network):
            raise InputError(
                f"got {transport.size} workers for {len(problem.network)} layers; every worker "
                "needs at least one"
            )
        penalties = None if schedule is None else schedule.init(solver.rho, solver.nu)
        if warm_start is not None:
            penalties = check_warm_start(warm_start, solver, problem, penalties, transport)
        same: dict[str, Any] = {"steps": steps, "every": every, "tol": _tolerance(tol)}
        if len(transport.local) < transport.size:  # else there is nobody to differ from
            start = None if warm_start is None else identity(penalties)
            same |= {"warm_start": start, "schedule": identity(schedule), **traits(solver, problem)}
        return problem, same["tol"], penalties, same

    problem, tolerance, penalties, same = transport.agreed(check)
    _check_same(transport, same)
    listening = any(transport.gather(callback is not None))
    group = Group(solver, problem, transport, warm_start)
    transport.agreed(lambda: group.set_penalties(penalties))
    rows: list[Row] = []
    status: Status = "steps"

    def respond() -> tuple[bool, Any]:
        """Whether the callback wants to stop after the last row, and the penalties after it."""
        stop = callback is not None and bool(callback(group.state(penalties), rows[-1]))
        if schedule is None:
            return stop, penalties
        after = schedule.update(penalties, rows[-1])
        group.set_penalties(after)
        return stop, after

    for step in range(1, steps + 1):
        measured = step % every == 0 or step == steps
        in_turns(worker.iteration(measured) for worker in group.workers)
        if not measured:
            continue
        loss, layers = measure(group.workers, transport)
        rows.append(row(loss, layers, step=step, rho=group.penalties[0], nu=group.penalties[1]))
        _check_finite(rows[-1])
        stop = False
        if listening or schedule is not None:
            stop, penalties = transport.agreed(respond)
        if tolerance is not None and converged(layers, tolerance.absolute, tolerance.relative):
            status = "converged"
        elif listening and any(transport.gather(stop)):
            status = "stopped"
        if status != "steps":
            break
    state = group.state(penalties)
    return Solution(group.network(), status, state, table(rows), layer_table(rows))


def _tolerance(tol: Tolerance | float | None) -> Tolerance | None:
    if tol is None or isinstance(tol, Tolerance):
        return tol
    if not isinstance(tol, Real):
        raise InputError(f"{spelled('tol')} must be a number or a Tolerance, got {tol!r}")
    POSITIVE("tol", tol)
    return Tolerance(float(tol), float(tol))


def _check_same(transport: Transport, given: Mapping[str, Any]) -> None:
    first, *others = transport.gather(given)
    for rank, other in enumerate(others, 1):
        differ = [spelled(name) for name in first if other[name] != first[name]]
        if differ:
            raise InputError(
                f"rank {rank} was given other {', '.join(differ)} than rank 0; all ranks call "
                "solve with the same arguments"
            )


def _check_finite(info: Row) -> None:
    for name in ("lagrangian", "loss", "stationarity"):
        if not math.isfinite(info[name]):
            raise DivergedError(
                f"{name} {info[name]} after step {info['step']}, expected finite numbers; start "
                f"again with a larger {spelled('rho')}, or smaller inputs or weights"
            )
