"""A convex problem with a known optimum: ridge regression over the stations of Beijing.

    minimise  Σ_k f_k(w),  f_k(w) = ½‖A_k w − b_k‖²/N + λ/(2K) ‖w‖²

Windows are of six hours of 15 columns, targets the pollutants an hour later. Client k has n_k of
the first 230 windows, which begin every 97 hours: n_k is uniform in 20…229. N = Σ n_k, λ = .01, and
ρ = .01. Clients solve their problem exactly, in float64, so that what is left is the consensus.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from admm.datasets.clients import read_federation
from admm.methods.federated.options import FederatedOptions
from admm.methods.federated.summed import SummedCodec, SummedUplink
from admm.solvers.federated import move_dual, weighted_mean
from benchmarks.report import Report
from quant import COMMON_CODEC_NAMES, make_codec, make_common

RIDGE, RHO = 0.01, 0.01

Rule = Literal["all", "present", "change"]
"""What the server averages: the last answers of all clients, those of the clients that are there,
or how much these have changed, which it adds. Only the first converges with clients offline."""

COLUMNS = {"codec": "<8", "rule": "<8", "offline": ">7.1f", "distance": ">9.2g"}


class Problem(NamedTuple):
    """Normal equations of every client, and the centralised solution."""

    A: np.ndarray  # (clients, n, n)  A_kᵀA_k/N + λ/K I
    B: np.ndarray  # (clients, n, targets)  A_kᵀb_k/N
    optimum: np.ndarray  # (n, targets)


def run(given: argparse.Namespace, report: Report) -> None:
    """Add a row for each codec and fraction offline, and one for each other rule.

    Args:
        given: `data_dir`, `codecs` and `offline`.
        report: Where they go.
    """
    jax.config.update("jax_enable_x64", True)
    problem = ridge_problem(given.data_dir)
    codecs: list[str] = given.codecs or ["float32"]
    every: list[tuple[str, Rule, float]] = [
        *((codec, "all", offline) for codec in codecs for offline in given.offline),
        *(("float64", rule, 0.3) for rule in ("present", "change")),
    ]
    report.begin(COLUMNS, len(every))
    for codec, rule, offline in every:
        if codec in COMMON_CODEC_NAMES:
            found = summed_distances(problem, codec, offline)
        else:
            found = distances(problem, codec, offline, rule)
        row = {"codec": codec, "rule": rule, "offline": offline, "distance": float(found[-1])}
        report.add(row)


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
    optimum = jnp.asarray(problem.optimum).ravel()
    half, coded = _clients(problem, codec), _coder(codec)

    def one_round(carry: Any, there: Array) -> tuple[Any, Array]:
        z, received, answers, u = carry
        received, u, wanted = half(z, received, u, there)
        before, answers = answers, jnp.where(there[:, None], coded(wanted, answers), answers)
        if rule == "all":
            z = weighted_mean(answers, jnp.ones(len(answers)))
        elif rule == "present":
            z = weighted_mean(answers, there.astype(float))
        else:
            z = z + weighted_mean(answers - before, there.astype(float))
        return (z, received, answers, u), jnp.linalg.norm(z - optimum)

    there = _drawn(rounds, len(problem.A), offline, seed)
    zeros = jnp.zeros((len(problem.A), optimum.size))
    start = zeros[0], zeros, zeros, zeros
    found = jax.jit(lambda there: jax.lax.scan(one_round, start, there)[1])(there)
    return np.asarray(found / jnp.linalg.norm(optimum))


def summed_distances(
    problem: Problem, codec: str, offline: float = 0.0, rounds: int = 1000, seed: int = 0
) -> np.ndarray:
    """As `distances`, where the server learns nothing but the sum of the answers.

    Args:
        problem: See `ridge_problem`.
        codec: Of the answers, one of `COMMON_CODEC_NAMES`; z has that which `admm train` takes.
        offline: Probability that a client is not there in a round.
        rounds: How many.
        seed: Of who is there.
    """
    optimum, clients = problem.optimum.ravel(), len(problem.A)
    there = _drawn(rounds, clients, offline, seed)
    half = jax.jit(_clients(problem, FederatedOptions(codec=codec).down))
    received = u = jnp.zeros((clients, optimum.size))
    z = received[0]
    way = SummedUplink(
        SummedCodec(make_common(codec), clients),
        z,
        own=range(clients),
        answering=lambda number: np.flatnonzero(there[number - 1]).tolist(),
        counted=lambda _: range(clients),
    )
    found = []
    for number, present in enumerate(there, start=1):
        received, u, answers = half(z, received, u, present)
        sent = {k: answers[k] for k in np.flatnonzero(present).tolist()}
        way.settle({k: way.ask(k, answer, number) for k, answer in sent.items()})
        z = way.collect({k: way.encode(k, each, number) for k, each in sent.items()}, number)
        found.append(np.linalg.norm(z - optimum))
    return np.array(found) / np.linalg.norm(optimum)


def _clients(problem: Problem, codec: str) -> Callable[..., tuple[Array, Array, Array]]:
    """What clients that are there do in a round: what they have of z, their u, and w + u."""
    B, coded = jnp.asarray(problem.B), _coder(codec)
    inverse = jnp.asarray(np.linalg.inv(problem.A + RHO * np.eye(problem.A.shape[1])))

    @jax.vmap
    def solve(inverse: Array, B: Array, centre: Array) -> Array:
        return (inverse @ (B + RHO * centre.reshape(B.shape))).ravel()

    def half(z: Array, received: Array, u: Array, there: Array) -> tuple[Array, Array, Array]:
        column = there[:, None]
        sent = coded(jnp.broadcast_to(z, received.shape), received)
        received = jnp.where(column, sent, received)
        w = solve(inverse, B, received - u)
        u = jnp.where(column, jax.vmap(move_dual)(u, w, received), u)
        return received, u, w + u

    return half


def _coder(codec: str) -> Callable[[Array, Array], Array]:
    """What arrives of the arrays of all clients, beside what arrived last."""
    coder = make_codec(codec)
    return jax.vmap(lambda x, last: coder.decode(coder.encode(x, last), last))


def _drawn(rounds: int, clients: int, offline: float, seed: int) -> np.ndarray:
    """Who is there, (rounds, clients)."""
    return np.random.default_rng(seed).random((rounds, clients)) >= offline
