"""The workers of a process that `solve` drives together, and the states it goes on from."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from admm.checks import POSITIVE
from admm.comm import Transport, chain
from admm.errors import InputError, spelled
from admm.methods.layerwise.problem import Problem
from admm.methods.layerwise.worker import LayerWorker
from admm.solvers import PDADMMG
from layers import Dense, layer_costs, split_layers


class SolverState(NamedTuple):
    """Where a solver is: what `warm_start` goes on from.

    It has the layers of this process: all of them where the workers are in one.

    Example:
        >>> import jax.numpy as jnp
        >>> from admm import solve
        >>> from layers import Dense
        >>> x, y = jnp.array([[-1.0], [1.0]]), jnp.eye(2)
        >>> network = [Dense(jnp.zeros((1, 2)), jnp.zeros(2))]
        >>> state = solve(PDADMMG(), network, x, y, steps=5).state
        >>> sorted(state.layers[1])
        ['W', 'b', 'r', 'z']
        >>> solve(PDADMMG(), network, x, y, steps=5, warm_start=state).trace["step"].size
        5
    """

    layers: Mapping[int, Mapping[str, Any]]  # arrays of `admm.solvers.Layer`, by number from 1
    penalties: Any  # of the schedule, None without one
    fixed: Mapping[str, Any]  # what it is bound to: the inputs, the sets of levels


class Group:
    """The workers of this process, and what they have together.

    Args:
        solver: The algorithm.
        problem: The network and its data.
        transport: Between all workers.
        warm_start: Where to go on from.
    """

    def __init__(
        self,
        solver: PDADMMG,
        problem: Problem,
        transport: Transport,
        warm_start: SolverState | None,
    ) -> None:
        self.penalties = (solver.rho, solver.nu)
        self._owned, self._transport = _owned(problem, transport), transport
        self._fixed = _fixed(solver, problem)
        self.workers = [
            LayerWorker(index, solver, transport, problem.codecs) for index in transport.local
        ]
        neighbors, nodes = chain(self._owned), len(problem.x)
        for worker in self.workers:
            own = self._owned[worker.index]
            layers = [problem.network[number - 1] for number in own]
            x = problem.x if 1 in own else None
            y = problem.y if len(problem.network) in own else None
            worker.start(layers, neighbors[worker.index], x, nodes, y)
        if warm_start is not None:
            stored = warm_start.layers
            for worker in self.workers:  # copies: iterations reuse buffers
                worker.restore(
                    self._owned[worker.index],
                    lambda number: {n: jnp.copy(a) for n, a in stored.get(number, {}).items()},
                )

    def set_penalties(self, penalties: Any) -> None:
        """ρ and ν of the next iteration; without any they stay."""
        if penalties is None:
            return
        for name in ("rho", "nu"):
            penalty = getattr(penalties, name, None)
            if isinstance(penalty, jax.Array) and penalty.ndim == 0:
                penalty = penalty.item()
            POSITIVE(f"{name} of schedule", penalty)
        new = (float(penalties.rho), float(penalties.nu))
        if new != self.penalties:
            self.penalties = new
            for worker in self.workers:
                worker.set_penalties(*new)

    def state(self, penalties: Any) -> SolverState:
        """Where the workers are, between iterations that are measured."""
        layers: dict[int, dict[str, Any]] = {}
        for worker in self.workers:
            own = self._owned[worker.index]
            below, above = worker.beside()
            numbers = (own[0] - 1, *own, own[-1] + 1)
            for number, arrays in zip(numbers, (below, *worker.state(), above), strict=True):
                if arrays:
                    layers.setdefault(number, {}).update(arrays)
        return SolverState(layers, penalties, self._fixed)

    def network(self) -> tuple[Dense, ...]:
        """The layers of all processes, in every process."""
        own = [params for worker in self.workers for params in worker.network]
        every = self._transport.gather(jax.device_get(own))
        return tuple(Dense(*map(jnp.asarray, params)) for part in every for params in part)


def _owned(problem: Problem, transport: Transport) -> list[range]:
    """Numbers of the layers of every worker."""
    split = split_layers(layer_costs(problem.widths), transport.size)
    return [range(first, last + 1) for first, last in split]


def _fixed(solver: PDADMMG, problem: Problem) -> dict[str, Any]:
    """What a state cannot be taken away from: p is in its set, and r is of these inputs."""
    return {"x": problem.fingerprint["x"], "levels_p": solver.levels_p, "levels_q": solver.levels_q}


def check_warm_start(
    state: Any, solver: PDADMMG, problem: Problem, penalties: Any, transport: Transport
) -> Any:
    """Whether a state fits; the penalties to go on with."""
    name, instead = spelled("warm_start"), "start from the network of its solution instead"
    if not isinstance(state, SolverState):
        raise InputError(f"{name} must be the state of a Solution, got a {type(state).__name__}")
    for what, value in _fixed(solver, problem).items():
        if state.fixed[what] != value:
            raise InputError(f"{name} is of other {spelled(what)}; {instead}")
    owned = _owned(problem, transport)
    for number in (number for worker in transport.local for number in owned[worker]):
        params = problem.network[number - 1]
        rows, dtype = (len(problem.x), params.b.shape[0]), problem.x.dtype
        shapes = {"W": params.W.shape, "b": params.b.shape, "z": rows, "r": rows}
        if number > 1:
            shapes["p"] = (rows[0], params.W.shape[0])
        if number < len(problem.network):
            shapes |= {"q": rows, "u": rows}
        stored = state.layers.get(number, {})
        for variable, shape in shapes.items():
            array = stored.get(variable)
            if array is None or (array.shape, array.dtype) != (shape, dtype):
                found = "none" if array is None else f"{array.dtype} {array.shape}"
                raise InputError(
                    f"{name}: {variable} of layer {number} must be {dtype} {shape}, got {found}; "
                    f"{instead}"
                )
        if number == len(problem.network) and "q" in stored:
            raise InputError(f"{name} has more than {number} layers; {instead}")
    if penalties is None or state.penalties is None:
        return penalties
    if type(state.penalties) is not type(penalties):
        raise InputError(
            f"{name} has the penalties of another {spelled('schedule')}: got "
            f"{type(state.penalties).__name__}, expected {type(penalties).__name__}; {instead}"
        )
    return state.penalties
