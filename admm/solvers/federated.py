"""Federated optimisation: the local steps of a client, and what the server makes of its messages.

K clients share parameters w and keep private ones v_k. With weights π_k (equal, or their rows),

    minimise  Σ_k π_k f_k(w, v_k)

In a round the server sends z to the clients S that are there. Each takes E steps of an optimiser on

    f_k(w, v_k) + ρ/2 ‖w − centre‖² + ⟨correction, w⟩,      from w = z

and answers. The methods differ in three arrays and in the answer:

    method    ρ   centre     correction  answer      server
    FedAvg    0   –          0           w           z ← mean of w over S
    FedAvgM   0   –          0           w           s ← βs + (mean of w over S) − z;  z ← z + s
    FedProx   ρ   z          0           w           z ← mean of w over S
    SCAFFOLD  0   –          c − c_k     w and c_k   z ← mean of w over S;  c ← mean of all c_k
    FedSGD    0   –          0           ∇_w f_k     an optimiser's step with the mean over S
    ADMM      ρ   z − u_k    0           w + u_k     z ← mean of all w_k + u_k
              and  u_k ← u_k + w − z  before the answer

"All" are the clients that have answered before, S among them: of one that is offline the server
keeps the last answer. All means are Σ π_k x_k/Σ π_k, summed in the order of the clients.

Sources: FedAvg and FedSGD 1602.05629, FedAvgM 1909.06335, FedProx 1812.06127, SCAFFOLD 1910.06378,
ADMM 2204.03529. Deviations:

- Optimisers are any of optax, and clients keep their states from round to round.
- ADMM has the order z, w, u. FedADMM adds the mean change of the clients in S to z; with clients
  offline that diverges, as the mean over S alone does (tests/admm/solvers/test_federated.py).
- SCAFFOLD's c_k is the mean of the gradients of the local steps. With gradient descent this is
  option II of the paper, (z − w)/(E η) + c_k − c; it holds for any optimiser.
- The server step of FedAvg and SCAFFOLD is 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Shared = Float[Array, " n"]
Scalar = Float[Array, ""]


class Client(NamedTuple):
    """What a client trains: all of it stays with the client."""

    w: Shared  # its iterate of the shared parameters
    v: Any  # private parameters, a tree
    memory: Any  # of its optimiser


class Pull(NamedTuple):
    """What a method adds to a client's own loss."""

    rho: Scalar
    centre: Shared
    correction: Shared


class Solved(NamedTuple):
    """What E local steps came to."""

    client: Client
    gradient: Shared  # mean of ∇_w f_k over the steps, each at its own w
    loss: Scalar  # mean of f_k over the steps


@dataclass(frozen=True)
class LocalSolver:
    """E steps of a client's optimiser, compiled once for all clients, rounds and methods.

        g ← ∇_w f_k(w, v) + ρ (w − centre) + correction,   h ← ∇_v f_k(w, v)
        (w, v) ← (w, v) + factor · optimiser(g, h)

    Args:
        loss: f_k of a batch: (w, v, batch) ↦ (); hashable.
        optimizer: One over (w, v) together.

    Example:
        >>> solver = LocalSolver(lambda w, v, batch: jnp.sum((w - batch) ** 2), optax.sgd(0.25))
        >>> z = jnp.zeros(2)
        >>> pull = Pull(rho=jnp.float32(2.0), centre=z, correction=z)
        >>> batches = jnp.ones((20, 2))  # the same in each of 20 steps
        >>> solver.solve(solver.init(z, None), pull, batches, jnp.ones(20)).client.w.tolist()
        [0.5, 0.5]
    """

    loss: Callable[[Shared, Any, Any], Scalar]
    optimizer: optax.GradientTransformation

    def init(self, w: Shared, v: Any) -> Client:
        """A client before its first step."""
        return Client(w, v, self.optimizer.init((w, v)))

    @partial(jax.jit, static_argnames="self")
    def solve(
        self, client: Client, pull: Pull, batches: Any, factors: Float[Array, " steps"]
    ) -> Solved:
        """The steps.

        Args:
            client: w is where they start.
            pull: Of the method.
            batches: A tree of arrays, (steps, …).
            factors: Of the learning rate, in each step.
        """

        def step(
            carry: tuple[Client, Shared], given: tuple[Any, Array]
        ) -> tuple[tuple[Client, Shared], Array]:
            (w, v, memory), total = carry
            batch, factor = given
            value, (gradient, of_private) = jax.value_and_grad(self.loss, (0, 1))(w, v, batch)
            pulled = gradient + pull.rho * (w - pull.centre) + pull.correction
            with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
                moves, memory = self.optimizer.update((pulled, of_private), memory, (w, v))
            w, v = optax.apply_updates((w, v), jax.tree.map(lambda move: factor * move, moves))
            return (Client(w, v, memory), total + gradient), value

        start = client, jnp.zeros_like(client.w)
        (client, total), losses = jax.lax.scan(step, start, (batches, factors))
        return Solved(client, total / len(losses), jnp.mean(losses))


@jax.jit
def move_dual(u: Shared, w: Shared, z: Shared) -> Shared:
    """u_k ← u_k + w − z, with the z that the client has solved for."""
    return u + (w - z)


@jax.jit
def weighted_mean(arrays: Float[Array, "clients n"], weights: Float[Array, " clients"]) -> Shared:
    """Σ π_k x_k/Σ π_k, added in the order of the clients; who does not count has the weight 0.

    Example:
        >>> weighted_mean(jnp.eye(2), jnp.array([1.0, 3.0])).tolist()
        [0.25, 0.75]
    """

    def add(total: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        x, weight = given
        return total + weight * x, None

    total, _ = jax.lax.scan(add, jnp.zeros_like(arrays[0]), (arrays, weights))
    return total / weights.sum()


@jax.jit
def move_with_momentum(
    z: Shared, velocity: Shared, mean: Shared, beta: Scalar
) -> tuple[Shared, Shared]:
    """s ← βs + mean − z and z ← z + s; returns z and s."""
    velocity = beta * velocity + (mean - z)
    return z + velocity, velocity


@partial(jax.jit, static_argnames="optimizer")
def server_step(
    optimizer: optax.GradientTransformation,
    z: Shared,
    memory: Any,
    gradient: Shared,
    factor: Scalar,
) -> tuple[Shared, Any]:
    """z ← z + factor · optimiser(mean gradient); returns z and the optimiser's state."""
    with jax.numpy_dtype_promotion("standard"):
        move, memory = optimizer.update(gradient, memory, z)
    return optax.apply_updates(z, factor * move), memory
