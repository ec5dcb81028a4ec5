"""A convex problem with a known optimum: ridge regression over the stations of Beijing.

    minimise  Σ_k f_k(w),  f_k(w) = ½‖A_k w − b_k‖²/N + λ/(2K) ‖w‖²

Windows are of six hours of 15 columns, targets the pollutants an hour later. Client k has n_k of
the first 230 windows, which begin every 97 hours: n_k is uniform in 20…229. N = Σ n_k, λ = .01, and
ρ = .01. Clients solve their problem exactly, in float64, so that what is left is the consensus.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.datasets.clients import read_federation
from admm.solvers.federated import move_dual, weighted_mean
from quant import make_codec

RIDGE, RHO = 0.01, 0.01

Rule = Literal["all", "present", "change"]
"""What the server averages: the last answers of all clients, those of the clients that are there,
or how much these have changed, which it adds. Only the first converges with clients offline."""


class Problem(NamedTuple):
    """Normal equations of every client, and the centralised solution."""

    A: np.ndarray  # (clients, n, n)  A_kᵀA_k/N + λ/K I
    B: np.ndarray  # (clients, n, targets)  A_kᵀb_k/N
    optimum: np.ndarray  # (n, targets)


def ridge_problem(data_dir: Path | None) -> Problem:
    """The problem, from the archive in the folder of data sets."""
    federation = read_federation(
        "beijing:most=0", data_dir=data_dir, length=6, stride=97, horizon=1
    )
    clients, rng = len(federation.clients), np.random.default_rng(0)
    counts, chosen = rng.integers(20, 230, clients), []
    for number, count in enumerate(counts):
        windows = federation.client(number).train
        start = rng.integers(0, 231 - count)
        own = np.arange(start, start + count)
        own = own[windows.present[own].all(axis=1)]
        rows = windows.inputs[own].reshape(len(own), -1).astype(float)
        chosen.append((np.column_stack([rows, np.ones(len(own))]), windows.targets[own]))
    total = sum(len(rows) for rows, _ in chosen)
    unit = RIDGE / clients * np.eye(chosen[0][0].shape[1])
    A = np.stack([rows.T @ rows / total + unit for rows, _ in chosen])
    B = np.stack([rows.T @ targets / total for rows, targets in chosen])
    return Problem(A, B, np.linalg.solve(A.sum(axis=0), B.sum(axis=0)))


def distances(
    problem: Problem,
    codec: str,
    offline: float = 0.0,
    rule: Rule = "all",
    rounds: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """‖z − w*‖/‖w*‖ after every round of consensus ADMM, (rounds,).

    Args:
        problem: See `ridge_problem`.
        codec: Of the messages, both ways.
        offline: Probability that a client is not there in a round.
        rule: Of the server.
        rounds: How many.
        seed: Of who is there.
    """
    A, B, optimum = map(jnp.asarray, problem)
    inverse = jnp.asarray(np.linalg.inv(problem.A + RHO * np.eye(A.shape[1])))
    clients, coder = len(A), make_codec(codec)
    coded = jax.vmap(lambda x, last: coder.decode(coder.encode(x, last), last))

    @jax.vmap
    def solve(inverse: Array, B: Array, centre: Array) -> Array:
        return (inverse @ (B + RHO * centre.reshape(B.shape))).ravel()

    def one_round(carry: Any, there: Array) -> tuple[Any, Array]:
        z, received, answers, u = carry
        column = there[:, None]
        sent = coded(jnp.broadcast_to(z, received.shape), received)
        received = jnp.where(column, sent, received)
        w = solve(inverse, B, received - u)
        u = jnp.where(column, jax.vmap(move_dual)(u, w, received), u)
        before, answers = answers, jnp.where(column, coded(w + u, answers), answers)
        if rule == "all":
            z = weighted_mean(answers, jnp.ones(clients))
        elif rule == "present":
            z = weighted_mean(answers, there.astype(float))
        else:
            z = z + weighted_mean(answers - before, there.astype(float))
        return (z, received, answers, u), jnp.linalg.norm(z - optimum.ravel())

    there = np.random.default_rng(seed).random((rounds, clients)) >= offline
    zeros = jnp.zeros((clients, optimum.size))
    start = zeros[0], zeros, zeros, zeros
    found = jax.jit(lambda there: jax.lax.scan(one_round, start, there)[1])(there)
    return np.asarray(found / jnp.linalg.norm(optimum))
