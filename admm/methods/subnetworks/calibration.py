"""How long the modules of a network take on this machine: what a network is cut by.

Operations tell the time of dense layers; of convolutions, recurrences and embeddings they do not.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from admm.solvers.tssm import TSSM
from layers import Network, build, takes_key

# Seconds for which all modules together are timed, without compilation, and runs of each at least.
_SECONDS, _RUNS = 0.5, 5

# What was timed in this process, by device and compiled program: equal modules count alike.
_known: dict[tuple[str, str], float] = {}


def module_seconds(
    network: Network,
    shapes: Sequence[tuple[int, ...]],
    batch: int,
    solver: TSSM,
    device: jax.Device,
) -> list[float]:
    """Least seconds of every module in a tick of a lower subnetwork: an evaluation and a step.

    Args:
        network: All of it.
        shapes: Of a sample before, between and after its modules.
        batch: Samples of a mini-batch.
        solver: Whose steps are timed.
        device: Where.

    Example:
        >>> from layers import mlp, module_shapes
        >>> network = mlp((3,), hidden=8, classes=2, layers=4)
        >>> cpu = jax.devices("cpu")[0]
        >>> seconds = module_seconds(network, module_shapes(network), 9, TSSM(), cpu)
        >>> seconds[1] == seconds[2] > 0  # equal modules are timed once
        True
    """
    every, found = range(len(network.builders)), []
    for number in every:
        tick, given = _tick(network, number, shapes, batch, solver)
        trained, *rest = jax.device_put(given, device)
        lowered = jax.jit(tick, donate_argnums=0).lower(trained, *rest)
        program = (device.device_kind, lowered.as_text())
        if program not in _known:
            compiled, times = lowered.compile(), list[float]()
            trained, *_ = compiled(trained, *rest)
            while len(times) < _RUNS or sum(times) < _SECONDS / len(every):
                start = time.perf_counter()
                trained, *_ = jax.block_until_ready(compiled(trained, *rest))
                times.append(time.perf_counter() - start)
            _known[program] = min(times)  # others may use the machine now and then
        found.append(_known[program])
    return found


def _tick(
    network: Network, number: int, shapes: Sequence[tuple[int, ...]], batch: int, solver: TSSM
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What a module does on two mini-batches, and what it is given; what is trained comes first."""
    subnetwork = build(network, range(number, number + 1), seed=0)
    params, static = eqx.partition(subnetwork, eqx.is_inexact_array)
    kind = network.input_dtype if number == 0 and network.input_dtype else network.dtype
    x = jnp.ones((batch, *shapes[number]), kind)
    f = jnp.ones((batch, *shapes[number + 1]), network.dtype)
    noisy = takes_key(subnetwork.modules[0])
    keys = jax.random.split(jax.random.key(0), batch) if noisy else None

    def tick(trained: Any, newer: Any, *older: Any) -> tuple[Any, ...]:
        evaluated = solver.forward(static, trained.params, newer, older[-1])
        trained, gradient, value = solver.fit(static, trained, *older)
        # Nothing asks for the gradient at the samples.
        return trained, evaluated, gradient if number else None, value

    return tick, (solver.init(params), x, x, f, f, keys)
