"""What an iteration of pdADMM-G has come to, layer by layer; pure functions, not jitted."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from admm.solvers.block import Layer
from layers import Activation, Risk


class Info(NamedTuple):
    """Diagnostics of one iteration; they add up over layers and blocks."""

    lagrangian: Array  # ()  augmented Lagrangian
    primal_residual: Array  # ()  Σ ‖p_{l+1} − q_l‖²
    dual_residual: Array  # ()  Σ ‖ρ (q_l − q_l of the iteration before)‖²


class Diagnosis(NamedTuple):
    """What `Info` does not tell of a layer; the cut below it counts here, and all adds up.

    The gradients are those of the Lagrangian without its coupling penalty. Of z, whose function
    may have kinks, it is ν times the way to the next z, with all else as it is. What is confined
    to levels has none.
    """

    # The parts of the augmented Lagrangian.
    risk: Array  # ()  R(z_L; y)
    linear_penalty: Array  # ()  ν/2 Σ ‖z_l − p_l W_l − b_l‖²
    activation_penalty: Array  # ()  ν/2 Σ ‖q_l − f(z_l)‖²
    weight_decay: Array  # ()  μ/2 Σ ‖W_l‖²
    dual_term: Array  # ()  Σ ⟨u_{l−1}, p_l − q_{l−1}⟩
    coupling_penalty: Array  # ()  ρ/2 Σ ‖p_l − q_{l−1}‖²
    # What vanishes at a stationary point, squared; `dual_residual` counts in the layer of q.
    primal_residual: Array  # ()  Σ ‖p_l − q_{l−1}‖²
    dual_residual: Array  # ()  Σ ‖ρ (q_l − q_l of the iteration before)‖²
    stationarity: Array  # ()  Σ of the squared gradients at p_l (l ≥ 2), W, b, z and q
    # What that is measured against.
    coupled: Array  # ()  elements of p_l, l ≥ 2
    unknowns: Array  # ()  elements of the gradients
    p: Array  # ()  Σ ‖p_l‖², l ≥ 2
    q: Array  # ()  Σ ‖q_{l−1}‖²
    u: Array  # ()  Σ ‖u_{l−1}‖²
    terms: Array  # ()  Σ ‖u_{l−1}‖² + ‖ν r_l‖² + ‖μ W_l‖², what cancels in the gradients


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
    lagrangian = nu / 2 * _squared(layer.r)
    lagrangian += mu / 2 * _squared(layer.W)
    primal = dual = jnp.zeros_like(rho)
    if layer.q is None or q_before is None:
        assert targets is not None  # the output layer has them
        lagrangian += risk(layer.z, targets)
    else:
        lagrangian += nu / 2 * _squared(layer.q - activation(layer.z))
        dual = _squared(rho * (layer.q - q_before))
    if q_below is not None:
        assert u_below is not None  # it comes with q
        gap = layer.p - q_below
        primal = _squared(gap)
        lagrangian += jnp.sum(u_below * gap) + rho / 2 * primal
    return Info(lagrangian, primal, dual)


def layer_diagnosis(
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
    fixed: tuple[bool, bool],
) -> Diagnosis:
    """The diagnosis of a layer; `fixed` says whether p and q have levels.

    g_p = ν r Wᵀ + u_{l−1},  g_W = ν pᵀ r + μ W,  g_b = Σ_nodes ν r,
    g_z = ν (z − z⁺) with z⁺ the next z,  g_q = ν (q − f(z)) − u_l.
    It takes two products and a step of z.
    """
    p, W, _, z, r, q, u = layer
    zero = jnp.zeros_like(rho)
    loss = fit = change = dual = primal = p_size = q_size = u_size = zero
    gradients, coupled = [nu * (p.T @ r) + mu * W, nu * r.sum(axis=0)], 0
    if q is None or u is None or q_before is None:
        assert targets is not None  # the output layer has them
        loss = risk(z, targets)
        gradients.append(nu * (z - risk.solve(r + z, targets, nu, z)))
    else:
        gap = q - activation(z)
        fit, change = _squared(gap), _squared(rho * (q - q_before))
        gradients.append(nu * (z - activation.solve(r + z, q, z)))
        gradients += [] if fixed[1] else [nu * gap - u]
    if q_below is not None and u_below is not None:
        gap, coupled = p - q_below, p.size
        dual, primal = jnp.sum(u_below * gap), _squared(gap)
        p_size, q_size, u_size = map(_squared, (p, q_below, u_below))
        gradients += [] if fixed[0] else [nu * (r @ W.T) + u_below]
    r_size, W_size = _squared(r), _squared(W)
    return Diagnosis(
        risk=loss,
        linear_penalty=nu / 2 * r_size,
        activation_penalty=nu / 2 * fit,
        weight_decay=mu / 2 * W_size,
        dual_term=dual,
        coupling_penalty=rho / 2 * primal,
        primal_residual=primal,
        dual_residual=change,
        stationarity=zero + sum(map(_squared, gradients)),
        coupled=zero + coupled,
        unknowns=zero + sum(each.size for each in gradients),
        p=p_size,
        q=q_size,
        u=u_size,
        terms=u_size + nu**2 * r_size + mu**2 * W_size,
    )


def _squared(x: Array) -> Array:
    return jnp.sum(x**2)
