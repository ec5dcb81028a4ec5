"""Training where all data may be in one place: a part of `benchmarks.federated`.

What a federation gives up is measured against this. `lstm` is one network for all stations;
`lstm +` has an output layer for each. `fathom` has task attention and an output layer for each,
`no ta` is without task attention, `no ga` without temporal attention, `neither` without both.
`aligned` and `context` are told of the other stations at the same hours; `offline` is their error
where 30 % of the others, of each window on its own, are not available at the test. Adam, its
learning rate falling by a cosine, minimises the mean L1 loss with as many windows of each station
in every step. The epoch of the lowest validation error counts.
`last value` and `ridge` are `admm.methods.baselines`, the ridge on the windows of all.

Errors are means over the stations, in scaled units.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from admm.datasets.clients import read_federation
from admm.datasets.federation import Federation
from admm.datasets.windows import Client, Windows
from admm.errors import InputError
from admm.methods.baselines import last_value, ridge_pooled
from admm.methods.scores import client_scores
from benchmarks.looks import draw_bars
from benchmarks.report import Report, Row
from layers import Context, init_sequence_network, private_parameters
from layers.masked import l1

COLUMNS = {
    "method": "<12",
    "hidden": ">6",
    "epochs": ">6",
    "seeds": ">5",
    "val": ">6.4f",
    "test": ">6.4f",
    "test_std": ">8.4f",
    "worst": ">6.4f",
    "offline": ">7.4f",
    "seconds": ">8.1f",
}
NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": {"name": "lstm"},
    "lstm +": {"name": "lstm"},
    "fathom": {"name": "fathom"},
    "no ta": {"name": "fathom", "use_task_attention": False},
    "no ga": {"name": "fathom", "use_temporal_attention": False},
    "neither": {"name": "fathom", "use_task_attention": False, "use_temporal_attention": False},
    "aligned": {"name": "fathom", "attention": "aligned"},
    "context": {"name": "fathom", "attention": "context"},
}
_STRIDES = (23, 13, 7)
_RATE, _CLIP = 3e-3, 1.0
_BATCH = 10  # windows of each station
_OFFLINE = 0.3


class Score(NamedTuple):
    """Mean absolute errors: of validation, of each client's test, of the test with others offline.

    The last is of networks that look at others alone.
    """

    val: float
    test: np.ndarray
    offline: float | None = None


def run(given: argparse.Namespace, report: Report) -> None:
    """Add a row for each method.

    Args:
        given: `dataset`, `data_dir`, `hidden`, `epochs` and the number of `seeds`.
        report: Where they go.
    """
    federation = read_federation(given.dataset, data_dir=given.data_dir, stride=_STRIDES)
    if federation.task != "regression":
        raise InputError(f"the central part forecasts numbers; {federation.name} has others")
    clients = [federation.client(number) for number in range(len(federation.clients))]
    report.begin(COLUMNS, 2 + len(NETWORKS))
    last = [last_value(federation, client) for client in clients]
    if None not in last:
        report.add(_row("last value", [_baseline(last)]))
    report.add(_row("ridge", [_baseline(ridge_pooled(federation, clients))]))
    sizes = {"hidden": given.hidden, "epochs": given.epochs}
    for method in NETWORKS:
        start = time.perf_counter()
        scores = [train(federation, clients, method, **sizes, seed=n) for n in range(given.seeds)]
        seconds = (time.perf_counter() - start) / given.seeds
        report.add({**_row(method, scores), **sizes, "seconds": seconds})


def _baseline(scores: Sequence[Any]) -> Score:
    return Score(float("nan"), np.array([each["mae"] for each in scores]))


def _row(method: str, scores: Sequence[Score]) -> Row:
    tests = np.array([score.test for score in scores])
    val = float(np.mean([score.val for score in scores]))
    offline: list[Any] = [score.offline for score in scores]
    return {
        "method": method,
        "hidden": None,
        "epochs": None,
        "seeds": len(scores),
        "val": None if np.isnan(val) else val,
        "test": float(tests.mean()),
        "test_std": float(tests.mean(axis=1).std()),
        "worst": float(tests.mean(axis=0).max()),
        "offline": None if None in offline else float(np.mean(offline)),
        "seconds": None,
    }


def train(
    federation: Federation,
    clients: Sequence[Client],
    method: str,
    hidden: int,
    epochs: int,
    seed: int,
) -> Score:
    """Train one of `NETWORKS` on the windows of all clients, as many of each."""
    start = init_sequence_network(
        **NETWORKS[method],
        features=federation.features,
        steps=federation.steps,
        outputs=len(federation.outputs),
        hidden=hidden,
        clients=len(clients),
        key=jax.random.key(seed),
    )
    params, static = eqx.partition(start, eqx.is_inexact_array)
    private = False if method == "lstm" else private_parameters(start)
    own, shared = eqx.partition(params, private)
    parts = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(clients)), own), shared
    val, test = _stacked([each.val for each in clients]), _stacked([each.test for each in clients])
    data: Any = jax.tree.map(jnp.asarray, _stacked([each.train for each in clients]))
    rows = data.inputs.shape[1]
    steps = rows // _BATCH
    schedule = optax.cosine_decay_schedule(_RATE, epochs * steps)
    optimizer = optax.chain(optax.clip_by_global_norm(_CLIP), optax.adam(schedule))

    others = np.array([np.delete(np.arange(len(clients)), n) for n in range(len(clients))])
    looks = NETWORKS[method].get("attention") is not None

    @jax.jit
    def infer(parts: tuple[PyTree, PyTree], inputs: Any, available: Any) -> Array:
        """Outputs of each client's windows, (clients, windows, outputs).

        `available` has of each window whether each of the others is, (clients, windows, others).
        """

        def encode(own: PyTree, windows: Array) -> Array:
            return jax.vmap(eqx.combine(own, parts[1], static).encode)(windows)

        def of_one(own: PyTree, windows: Array, context: Context | None) -> Array:
            network = eqx.combine(own, parts[1], static)
            return jax.vmap(lambda x, c: network(x, context=c))(windows, context)

        context = None
        if looks:
            sequences = jax.vmap(encode)(parts[0], inputs)[others]
            context = Context(jnp.swapaxes(sequences, 1, 2), available)
        return jax.vmap(of_one)(parts[0], inputs, context)

    def all_of(windows: Any) -> np.ndarray:
        return np.ones((*windows.inputs.shape[:2], len(clients) - 1), bool)

    def loss(parts: tuple[PyTree, PyTree], batch: Any) -> Array:
        found = infer(parts, batch.inputs, all_of(batch))
        return jax.vmap(l1)(found, batch.targets, batch.present).mean()

    def step(carry: Any, places: Array) -> tuple[Any, None]:
        parts, state = carry
        batch = jax.tree.map(lambda array: array[:, places], data)
        updates, state = optimizer.update(jax.grad(loss)(parts, batch), state)
        return (optax.apply_updates(parts, updates), state), None

    epoch = jax.jit(lambda carry, order: jax.lax.scan(step, carry, order)[0])
    carry, random = (parts, optimizer.init(parts)), np.random.default_rng(seed)
    best = Score(np.inf, np.array([]))
    for _ in range(epochs):
        order = random.permutation(rows)[: steps * _BATCH].reshape(steps, _BATCH)
        carry = epoch(carry, jnp.asarray(order))
        error = float(_errors(infer(carry[0], val.inputs, all_of(val)), val).mean())
        if error < best.val:
            found = _errors(infer(carry[0], test.inputs, all_of(test)), test)
            best, parts = Score(error, found), carry[0]
    if looks:
        there = random.random(all_of(test).shape) >= _OFFLINE
        offline = _errors(infer(parts, test.inputs, there), test).mean()
        best = best._replace(offline=float(offline))
    return best


def _stacked(parts: Sequence[Windows]) -> Windows:
    """Windows of all clients, (clients, windows, …): of each as many as the least has."""
    rows = min(len(part.inputs) for part in parts)
    columns = zip(*parts, strict=True)
    return Windows(
        *(
            np.stack([array[:rows] for array in arrays])
            for arrays in columns
            if arrays[0] is not None
        )
    )


def _errors(outputs: Array, windows: Windows) -> np.ndarray:
    """The mean over the columns of each client's error."""
    found = zip(np.asarray(outputs), windows.targets, windows.present, strict=True)
    return np.array([client_scores("regression", *each)["mae"] for each in found])


def draw(axes: Any, rows: Sequence[Row]) -> None:
    """Bars of the test error, with its deviation over seeds."""
    methods = [row["method"] for row in rows]
    draw_bars(axes, methods, methods, [row["test"] for row in rows])
    axes.errorbar(
        [row["test"] for row in rows],
        range(len(rows)),
        xerr=[row["test_std"] for row in rows],
        fmt="none",
        color="0.2",
        capsize=3,
    )
    axes.set(xlabel="mean absolute error, scaled")
