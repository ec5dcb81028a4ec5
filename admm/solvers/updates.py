"""The subproblem updates of pdADMM-G, one pure function per variable, equation beside it.

Symbols and order are those of Wang et al., arXiv 2105.09837, Algorithm 1 and Appendix A, with
nodes as rows. `s = p W + b` is carried along, never recomputed, so that a hidden layer costs four
matrix products an iteration: two in `update_p`, two in `update_W`. No function here is jitted;
`admm.solvers.pdadmm_g` compiles them, one call per phase and layer.
"""

from typing import Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from quant import Levels

StepRule = Literal["exact", "joint", "backtracking"]

# Where the authors' code starts to look for τ and θ.
_TAU_0 = 20.0

# After so many halvings a step no longer reaches another level.
_MAX_HALVINGS = 30

Rows = Float[Array, "nodes n_in"]
Outputs = Float[Array, "nodes n_out"]
Weights = Float[Array, "n_in n_out"]
Scalar = Float[Array, ""]


def step_length(
    squared_gradient: Float[Array, " parts"], curvature: Float[Array, " parts"], rule: StepRule
) -> Float[Array, "..."]:
    """t of the step x − t g on a quadratic that falls apart into independent parts.

    Along −g the objective is φ(x) − t‖g‖² + t²/2·c with curvature c = ⟨g, ∇²φ g⟩.

    - `exact`: every part takes its own minimiser t = ‖g‖²/c;
    - `joint`: one t = Σ‖g‖²/Σc for all of them;
    - `backtracking`: 1/τ for the smallest τ = 20·2^k, k ≥ 0, with τ ≥ Σc/Σ‖g‖² (the paper's
      rule in closed form: no trial evaluations).

    Returns:
        One t per part for `exact`, else a scalar; 0 where the gradient vanishes.
    """
    if rule != "exact":
        squared_gradient, curvature = squared_gradient.sum(), curvature.sum()
    positive = curvature > 0
    if rule == "backtracking":
        tau = curvature / jnp.where(positive, squared_gradient, 1)
        doublings = jnp.ceil(jnp.log2(jnp.maximum(tau, _TAU_0) / _TAU_0))
        return jnp.where(positive, 1 / (_TAU_0 * 2**doublings), 0)
    return jnp.where(positive, squared_gradient / jnp.where(positive, curvature, 1), 0)


def update_p(
    p: Rows,
    W: Weights,
    z: Outputs,
    s: Outputs,
    q_below: Rows,
    u_below: Rows,
    rho: Scalar,
    nu: Scalar,
    rule: StepRule,
    levels: Levels | None,
) -> tuple[Rows, Outputs]:
    """Step 1: a descent step on φ(p) = ν/2‖s − z‖² + ⟨u, p − q⟩ + ρ/2‖p − q‖².

    g = ν (s − z) Wᵀ + u + ρ (p − q),  p ← p − t g,  s ← s − t g W.

    φ is a sum over nodes, so `exact` gives every row its own t. With `levels`, p moves to the
    nearest member of Δ instead (pdADMM-G-Q, Problem 3), and t is halved until φ does not rise,
    row by row for `exact`; p must be in Δ already. A row that still rises after 30 halvings
    stays where it is.

    Deviation: the paper takes one τ for all rows, and tests τ by evaluating φ.
    """
    g = nu * (s - z) @ W.T + u_below + rho * (p - q_below)
    gg = jnp.sum(g**2, axis=1)
    image = g @ W
    t = step_length(gg, nu * jnp.sum(image**2, axis=1) + rho * gg, rule)
    t = jnp.broadcast_to(t, gg.shape)[:, None]
    if levels is None:
        return p - t * g, s - t * image

    def attempt(t):
        # p itself, not p + move: a member of Δ has to stay the same bits.
        new = levels.project(p - t * g)
        move = new - p
        image = move @ W
        change = jnp.sum(g * move, axis=1) + 0.5 * (
            nu * jnp.sum(image**2, axis=1) + rho * jnp.sum(move**2, axis=1)
        )
        if rule != "exact":
            change = jnp.broadcast_to(change.sum(), change.shape)
        return t, new, image, (change > 0)[:, None]

    def shorten(carry):
        halvings, (t, _, _, rises) = carry
        return halvings + 1, attempt(jnp.where(rises, t / 2, t))

    _, (_, new, image, rises) = lax.while_loop(
        lambda carry: carry[1][3].any() & (carry[0] < _MAX_HALVINGS), shorten, (0, attempt(t))
    )
    return jnp.where(rises, p, new), jnp.where(rises, s, s + image)


def update_W(
    p: Rows, W: Weights, z: Outputs, s: Outputs, nu: Scalar, mu: float, rule: StepRule
) -> tuple[Weights, Outputs]:
    """Step 2: a descent step on ν/2‖s − z‖² + μ/2‖W‖².

    G = ν pᵀ(s − z) + μ W,  W ← W − t G,  s ← s − t p G.

    The objective is a sum over output units, so `exact` gives every column its own t.
    """
    G = nu * _transposed(p) @ (s - z) + mu * W
    D = p @ G
    GG = _column_sums(G**2)
    t = step_length(GG, nu * _column_sums(D**2) + mu * GG, rule)
    return W - t * G, s - t * D


def update_b(
    b: Float[Array, " n_out"], z: Outputs, s: Outputs
) -> tuple[Float[Array, " n_out"], Outputs]:
    """Step 3, exact: b ← b − mean over nodes of (s − z), and s with it."""
    shift = _column_sums(s - z) / s.shape[0]
    return b - shift, s - shift


def update_q(
    p_above: Outputs,
    u: Outputs,
    fz: Outputs,
    rho: Scalar,
    nu: Scalar,
    levels: Levels | None,
) -> Outputs:
    """Step 5, exact: q ← (ρ p_{l+1} + u_l + ν f(z_l)) / (ρ + ν), or the nearest member of Δ.

    The subproblem is separable with equal curvature everywhere, so the nearest member is its
    minimiser over Δ.
    """
    q = (rho * p_above + u + nu * fz) / (rho + nu)
    return q if levels is None else levels.project(q)


def update_u(u: Outputs, p_above: Outputs, q: Outputs, rho: Scalar) -> Outputs:
    """Step 6: u ← u + ρ (p_{l+1} − q_l)."""
    return u + rho * (p_above - q)


# XLA's CPU backend orders the additions of a column sum, and of a product with a transposed left
# operand, by the number of threads. Written as below they give the same bits on any number of
# cores, so that a run does not depend on how many each rank has. The transposed copy costs
# nothing (its product is as much faster); the product with ones about 1 % of an iteration.


def _column_sums(x: Float[Array, "rows columns"]) -> Float[Array, " columns"]:
    return jnp.ones(x.shape[0], x.dtype) @ x


def _transposed(x: Float[Array, "rows columns"]) -> Float[Array, "columns rows"]:
    return lax.optimization_barrier(x.T)
