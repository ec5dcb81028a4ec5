"""Floating-point operations of an iteration, counted from shapes: a multiply-add is two.

Counted are matrix products, and of `newton` the Cholesky factor and the solutions with it. What is
done element by element is not: for layers of n units that is of the order of 10/n of the products.
Nor are the halvings that steps on levels need after their first attempt: they depend on the data.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import jax

from admm.solvers.pdadmm_g import PDADMMG
from admm.solvers.tssm import TSSM


def dense_flops(rows: int, widths: Sequence[int]) -> float:
    """Of a forward pass through dense layers of widths n_0…n_L.

    Example:
        >>> dense_flops(10, (4, 3, 2))
        360.0
    """
    return float(sum(2 * rows * n * m for n, m in pairwise(widths)))


def pdadmm_g_flops(solver: PDADMMG, nodes: int, n_in: int, n_out: int, first: bool) -> float:
    """Of all steps of a layer: pᵀr and pG of W, and, but in layer 1, rWᵀ and gW of p.

    `newton` adds pᵀp, a Cholesky factor of n_in × n_in and two triangular solutions; steps of p on
    levels add the product of the move with W.

    Example:
        >>> pdadmm_g_flops(PDADMMG(), nodes=10, n_in=4, n_out=3, first=True)
        480.0
    """
    products = 2 if first else 4 + (solver.levels_p is not None)
    total = products * dense_flops(nodes, (n_in, n_out))
    if solver.step_rule == "newton":
        total += dense_flops(nodes, (n_in, n_in)) + n_in**3 / 3 + 2 * n_in**2 * n_out
    return total


def stochastic_flops(rows: int, n_in: int, n_out: int, first: bool, factored: float) -> float:
    """Of stochastic ADMM on rows: p W, pᵀδ, and, but in layer 1, δWᵀ; of some rows also pᵀp.

    Args:
        rows: How many; of convolutions, rows times positions.
        n_in: Inputs of the layer.
        n_out: Outputs.
        first: Whether it is layer 1.
        factored: The fraction of W-steps that factorise, and need pᵀp.

    Example:
        >>> stochastic_flops(rows=10, n_in=4, n_out=3, first=True, factored=0.25)
        605.0
    """
    products = (2 if first else 3) * dense_flops(rows, (n_in, n_out))
    return products + factored * dense_flops(rows, (n_in + 1, n_in + 1))


def backprop_flops(nodes: int, n_in: int, n_out: int, first: bool) -> float:
    """Of a step of a layer: p W, pᵀg, and, but in layer 1, g Wᵀ.

    Example:
        >>> backprop_flops(nodes=10, n_in=4, n_out=3, first=False)
        720.0
    """
    return (2 if first else 3) * dense_flops(nodes, (n_in, n_out))


def tssm_flops(solver: TSSM, forward: float, lowest: float, top: bool) -> float:
    """Of the visits of a subnetwork: f, and its gradients at W and at x, each as costly as f.

    A lower subnetwork evaluates f once more, for the one above. A frozen one has no gradient at W.

    Args:
        solver: Says how often a visit repeats them.
        forward: Operations of f, of all samples.
        lowest: Those of its first module if it reads the data, whose gradient at x nobody needs.
        top: Whether it is the last one, which has the loss.

    Example:
        >>> tssm_flops(TSSM(), forward=100.0, lowest=0.0, top=False)
        400.0
    """
    if solver.frozen_lower and not top:
        return (1 + solver.inner * (1 if lowest else 2)) * forward
    return (not top) * forward + solver.inner * (3 * forward - lowest)


def traced_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Of any function, traced with arguments or their shapes; scans count every time around.

    Example:
        >>> import jax.numpy as jnp
        >>> twice = lambda W, x: jax.lax.fori_loop(0, 2, lambda _, y: W @ y, x)
        >>> traced_flops(twice, jnp.ones((3, 3)), jnp.ones(3))
        36.0
    """
    return _jaxpr_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def _jaxpr_flops(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            products = prod(shape[axis] for axis in contracted)
            total += 2.0 * products * equation.outvars[0].aval.size
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in jax.tree.leaves(dict(equation.params)):
            inner = getattr(value, "jaxpr", value)  # of a closed one
            total += times * _jaxpr_flops(inner) if hasattr(inner, "eqns") else 0.0
    return total
