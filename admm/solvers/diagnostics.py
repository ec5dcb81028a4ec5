"""What an iteration of pdADMM-G has come to, layer by layer; pure functions, not jitted."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from admm.solvers.block import Layer
from layers import Activation, Risk


class Info(NamedTuple):
    """Diagnostics of one iteration, of a layer; they add up over layers and blocks."""

    lagrangian: Array  # ()  augmented Lagrangian, the sum of the six parts that follow
    risk: Array  # ()  R(z_L; y)
    linear_penalty: Array  # ()  ν/2 Σ ‖z_l − p_l W_l − b_l‖²
    activation_penalty: Array  # ()  ν/2 Σ ‖q_l − f(z_l)‖²
    weight_decay: Array  # ()  μ/2 Σ ‖W_l‖²
    dual_term: Array  # ()  Σ ⟨u_l, p_{l+1} − q_l⟩
    coupling_penalty: Array  # ()  ρ/2 Σ ‖p_{l+1} − q_l‖²
    primal_residual: Array  # ()  Σ ‖p_{l+1} − q_l‖²
    dual_residual: Array  # ()  Σ ‖ρ (q_l − q_l of the iteration before)‖²


class Stationarity(NamedTuple):
    """How far a layer is from a stationary point, and what that is relative to; they add up.

    The gradients are those of the Lagrangian without its coupling penalty. Of z, whose function
    may have kinks, it is ν times the way to the next z, with all else as it is. What is confined
    to levels has none.
    """

    stationarity: Array  # ()  Σ of the squared gradients at p (l ≥ 2), W, b, z and q
    unknowns: Array  # ()  elements of these
    terms: Array  # ()  Σ ‖u_{l−1}‖² + ‖ν r_l‖² + ‖μ W_l‖², what cancels in the gradients
    coupled: Array  # ()  elements of p_l, l ≥ 2
    p: Array  # ()  Σ ‖p_l‖², l ≥ 2
    q: Array  # ()  Σ ‖q_{l−1}‖²
    u: Array  # ()  Σ ‖u_{l−1}‖²


@jax.jit
def total(infos: tuple[Info, ...]) -> Info:
    """The sum over layers, added one after the other."""
    return jax.tree.map(lambda *parts: functools.reduce(jnp.add, parts), *infos)


def layer_info(
    layer: Layer,
    q_below: Array | None,
    u_below: Array | None,
    q_before: Array | None,
    targets: Array | None,
    rho: Array,
    nu: Array,
    activation: Activation,
    risk: Risk,
    mu: float,
) -> Info:
    """Diagnostics of a layer after an iteration; the cut below it counts here."""
    zero = jnp.zeros_like(rho)
    linear, decay = nu / 2 * _squared(layer.r), mu / 2 * _squared(layer.W)
    loss = fit = dual = coupling = primal = change = zero
    lagrangian = linear + decay
    if layer.q is None:
        assert targets is not None  # the output layer has them
        loss = risk(layer.z, targets)
        lagrangian += loss
    else:
        assert q_before is not None  # as every layer that has a q
        fit = nu / 2 * _squared(layer.q - activation(layer.z))
        lagrangian += fit
        change = _squared(rho * (layer.q - q_before))
    if q_below is not None:
        assert u_below is not None  # it comes with q
        gap = layer.p - q_below
        primal = _squared(gap)
        dual, coupling = jnp.sum(u_below * gap), rho / 2 * primal
        lagrangian += dual + coupling
    return Info(lagrangian, loss, linear, fit, decay, dual, coupling, primal, change)


def layer_stationarity(
    layer: Layer,
    q_below: Array | None,
    u_below: Array | None,
    targets: Array | None,
    nu: Array,
    activation: Activation,
    risk: Risk,
    mu: float,
    fixed: tuple[bool, bool],
) -> Stationarity:
    """How far a layer is from a stationary point; `fixed` says whether p and q have levels.

    g_p = ν r Wᵀ + u_{l−1},  g_W = ν pᵀ r + μ W,  g_b = Σ_nodes ν r,
    g_z = ν (z − z⁺) with z⁺ the next z,  g_q = ν (q − f(z)) − u_l.
    It takes two products and a step of z.
    """
    p, W, _, z, r, q, u = layer
    gradients = [nu * (p.T @ r) + mu * W, nu * r.sum(axis=0)]
    if q is None:
        assert targets is not None  # the output layer has them
        gradients.append(nu * (z - risk.solve(r + z, targets, nu, z)))
    else:
        gradients.append(nu * (z - activation.solve(r + z, q, z)))
        assert u is not None  # it comes with q
        gradients += [] if fixed[1] else [nu * (q - activation(z)) - u]
    zero = jnp.zeros_like(nu)
    coupled = [zero] * 4
    if q_below is not None:
        assert u_below is not None
        gradients += [] if fixed[0] else [nu * (r @ W.T) + u_below]
        coupled = [zero + p.size, *map(_squared, (p, q_below, u_below))]
    return Stationarity(
        zero + sum(map(_squared, gradients)),
        zero + sum(each.size for each in gradients),
        _squared(nu * r) + _squared(mu * W) + coupled[3],
        *coupled,
    )


def _squared(x: Array) -> Array:
    return jnp.sum(x**2)
