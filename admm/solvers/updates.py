"""The subproblem updates of pdADMM-G, one pure function per variable, equation beside it.

Symbols and order are those of Wang et al., arXiv 2105.09837, Algorithm 1 and Appendix A, with
nodes as rows. The residual `r = p W + b − z` is carried along, never recomputed, so that a hidden
layer costs four matrix products an iteration: two in `update_p`, two in `update_Wb`. No function
here is jitted; `admm.solvers.pdadmm_g` compiles them together, one call per layer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import jax.scipy as jsp
from jax import lax
from jaxtyping import Array, Float

from admm.solvers.settings import StepRule
from layers import Activation, Risk
from quant import Levels

# Where the authors' code starts to look for τ and θ.
_TAU_0 = 20.0

# After so many halvings a step no longer reaches another level.
_MAX_HALVINGS = 30

Rows = Float[Array, "nodes n_in"]
Outputs = Float[Array, "nodes n_out"]
Weights = Float[Array, "n_in n_out"]
Scalar = Float[Array, ""]
Carry = TypeVar("Carry")


def step_length(
    squared_gradient: Float[Array, " parts"], curvature: Float[Array, " parts"], rule: StepRule
) -> Float[Array, "..."]:
    """t of the step x − t g on a quadratic that falls apart into independent parts.

    Along −g the objective is φ(x) − t‖g‖² + t²/2·c with curvature c = ⟨g, ∇²φ g⟩.

    - `exact`, and `newton` where it has no better step: every part takes its own minimiser
      t = ‖g‖²/c;
    - `joint`: one t = Σ‖g‖²/Σc for all of them;
    - `backtracking`: 1/τ for the smallest τ = 20·2^k, k ≥ 0, with τ ≥ Σc/Σ‖g‖² (the paper's
      rule in closed form: no trial evaluations).

    Returns:
        One t per part for `exact` and `newton`, else a scalar; 0 where the gradient vanishes.
    """
    if not _is_separable(rule):
        squared_gradient, curvature = squared_gradient.sum(), curvature.sum()
    positive = curvature > 0
    if rule == "backtracking":
        tau = curvature / jnp.where(positive, squared_gradient, 1)
        doublings = jnp.ceil(jnp.log2(jnp.maximum(tau, _TAU_0) / _TAU_0))
        return jnp.where(positive, 1 / (_TAU_0 * 2**doublings), 0)
    return jnp.where(positive, squared_gradient / jnp.where(positive, curvature, 1), 0)


def _is_separable(rule: StepRule) -> bool:
    return rule in ("exact", "newton")


class Sums(NamedTuple):
    """What steps 2 and 3 need of the rows of p and r."""

    products: Weights  # pᵀ r
    p: Float[Array, " n_in"]
    r: Float[Array, " n_out"]


class Change(NamedTuple):
    """What steps 2 and 3 do to r: r ← r − t D − mean."""

    D: Outputs  # p times the step of W
    t: Float[Array, "..."]
    mean: Float[Array, " n_out"]

    def of(self, r: Outputs, D: Outputs) -> Outputs:
        """r after the change, of rows whose D is given."""
        return r - self.t * D - self.mean


def update_p(
    p: Rows,
    W: Weights,
    r: Outputs,
    below: tuple[Rows, Rows] | None,
    rho: Scalar,
    nu: Scalar,
    rule: StepRule,
    levels: Levels | None,
    row_block: int,
    with_sums: bool = False,
) -> tuple[Rows, Outputs, Sums | None]:
    """Step 1: a descent step on φ(p) = ν/2‖p W + b − z‖² + ⟨u, p − q⟩ + ρ/2‖p − q‖².

    g = ν r Wᵀ + u + ρ (p − q),  p ← p − t g,  r ← r − t g W.

    φ is a sum over nodes, so `exact` gives every row its own t, and takes `row_block` rows at a
    time: everything but p, r, q and u themselves then stays in the cache, where the sums for W and
    b are taken too. With `levels`, p moves to the nearest member of Δ instead (pdADMM-G-Q, Problem
    3), and t is halved until φ does not rise, row by row for `exact`; p must be in Δ already. A row
    that still rises after 30 halvings stays where it is.

    Deviation: the paper takes one τ for all rows, and tests τ by evaluating φ.

    Args:
        p, W, r: Of the layer.
        below: q and u of the layer below; without them p stays.
        rho, nu: ρ and ν.
        rule: Step-size rule.
        levels: Δ.
        row_block: Rows at a time.
        with_sums: Whether steps 2 and 3 follow, by a rule that takes sums.
    """
    if below is not None and not _is_separable(rule):
        p, r = _step_p(p, r, *below, W, rho, nu, rule, levels)
        below = None
    if below is None and not with_sums:
        return p, r, None

    def update_rows(start, size, carry):
        (p, r), sums = carry
        p_rows, r_rows = _rows(p, start, size), _rows(r, start, size)
        if below is not None:
            q, u = (_rows(x, start, size) for x in below)
            new = _step_p(p_rows, r_rows, q, u, W, rho, nu, rule, levels)
            p_rows, r_rows = lax.optimization_barrier(new)
            p, r = _put(p, p_rows, start), _put(r, r_rows, start)
        if sums is not None:
            sums = Sums(
                sums.products + _transposed(p_rows) @ r_rows,
                sums.p + _column_sums(p_rows),
                sums.r + _column_sums(r_rows),
            )
        return (p, r), sums

    zeros = jnp.zeros_like(W), jnp.zeros_like(W[:, 0]), jnp.zeros_like(W[0])
    start = (p, r), Sums(*zeros) if with_sums else None
    (p, r), sums = _over_rows(update_rows, p.shape[0], row_block, start)
    return p, r, sums


def _step_p(p, r, q, u, W, rho, nu, rule, levels):
    """`update_p` on some rows, all at once."""
    g = nu * (r @ W.T) + u + rho * (p - q)
    gg = jnp.sum(g**2, axis=1)
    image = g @ W
    t = step_length(gg, nu * jnp.sum(image**2, axis=1) + rho * gg, rule)
    t = jnp.broadcast_to(t, gg.shape)[:, None]
    if levels is None:
        return p - t * g, r - t * image

    def attempt(t):
        # p itself, not p + move: a member of Δ has to stay the same bits.
        new = levels.project(p - t * g)
        move = new - p
        image = move @ W
        change = jnp.sum(g * move, axis=1) + 0.5 * (
            nu * jnp.sum(image**2, axis=1) + rho * jnp.sum(move**2, axis=1)
        )
        if not _is_separable(rule):
            change = jnp.broadcast_to(change.sum(), change.shape)
        return t, new, image, (change > 0)[:, None]

    def shorten(carry):
        halvings, (t, _, _, rises) = carry
        return halvings + 1, attempt(jnp.where(rises, t / 2, t))

    _, (_, new, image, rises) = lax.while_loop(
        lambda carry: carry[1][3].any() & (carry[0] < _MAX_HALVINGS), shorten, (0, attempt(t))
    )
    return jnp.where(rises, p, new), jnp.where(rises, r, r + image)


def update_Wb(
    p: Rows,
    W: Weights,
    b: Float[Array, " n_out"],
    r: Outputs,
    sums: Sums | None,
    nu: Scalar,
    mu: float,
    rule: StepRule,
    row_block: int,
) -> tuple[Weights, Float[Array, " n_out"], Change]:
    """Steps 2 and 3: a descent step on ν/2‖r‖² + μ/2‖W‖² in W, then its minimiser in b.

    G = ν pᵀ r + μ W,  W ← W − t G,  r ← r − t p G,
    b ← b − mean over nodes of r,  and r with it.

    With `newton`, W and b go to their common minimiser, by a Cholesky factor of n_in × n_in:
    with p̄ the mean row of p, G = ν (p − p̄)ᵀ r + μ W and H = ν (p − p̄)ᵀ(p − p̄) + μ I,
    W ← W − H⁻¹ G. That takes a product more, and n_in³/3 operations for the factor. H gets the
    rounding of its own trace on its diagonal, so that μ may be 0.

    The objective is a sum over output units, so `exact` gives every column its own t. The mean
    follows from the sums of r before and of p, so that b costs no pass over memory of its own.
    What happens to r is returned as a `Change`, for whatever reads r next.
    """
    if rule == "newton":
        return _minimise_Wb(p, W, b, r, nu, mu, row_block)
    assert sums is not None
    G = nu * sums.products + mu * W
    D = p @ G
    DD = _over_rows(
        lambda i, n, c: c + _column_sums(_rows(D, i, n) ** 2), len(p), row_block, jnp.zeros_like(b)
    )
    GG = _column_sums(G**2)
    t = step_length(GG, nu * DD + mu * GG, rule)
    mean = (sums.r - t * (sums.p @ G)) / len(p)
    return W - t * G, b - mean, Change(D, t, mean)


def _minimise_Wb(p, W, b, r, nu, mu, row_block):
    """`update_Wb` by the rule `newton`."""
    nodes = p.shape[0]
    zeros = jnp.zeros_like(W[:, 0])
    p_sum = _over_rows(lambda i, n, c: c + _column_sums(_rows(p, i, n)), nodes, row_block, zeros)
    mean_p = p_sum / nodes

    def multiply(start, size, carry):
        H, G, rest, r_sum = carry
        # Centred before the product: after it, the difference would drown in rounding.
        p_rows, r_rows = _rows(p, start, size) - mean_p, _rows(r, start, size)
        turned = _transposed(p_rows)
        sums = rest + _column_sums(p_rows), r_sum + _column_sums(r_rows)
        return H + turned @ p_rows, G + turned @ r_rows, *sums

    H = jnp.zeros((len(zeros), len(zeros)), W.dtype)
    carry = (H, jnp.zeros_like(W), zeros, jnp.zeros_like(b))
    H, G, rest, r_sum = _over_rows(multiply, nodes, row_block, carry)
    # p̄ is rounded, so that the centred rows have a sum; a large mean of r would carry it into G.
    G -= jnp.outer(rest, r_sum / nodes)
    H, G = nu * H, nu * G + mu * W
    rounding = jnp.finfo(W.dtype)
    shift = mu + 8 * rounding.eps * jnp.trace(H) + rounding.tiny
    S = jsp.linalg.solve(H + shift * jnp.eye(len(H), dtype=W.dtype), G, assume_a="pos")
    D = p @ S
    mean = (r_sum - p_sum @ S) / nodes
    return W - S, b - mean, Change(D, jnp.ones_like(b), mean)


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
    # The division first: see `update_u`.
    share = 1 / (rho + nu)
    q = rho * share * p_above + (share * u + nu * share * fz)
    return q if levels is None else levels.project(q)


def update_u(u: Outputs, p_above: Outputs, q: Outputs, rho: Scalar) -> Outputs:
    """Step 6: u ← u + ρ (p_{l+1} − q_l).

    It is compiled together with step 5 inside a worker and alone at a cut, and must give the same
    bits both ways. A compiler may keep a product unrounded that is added to something, so q must
    end with a sum.
    """
    return u + rho * (p_above - q)


def update_zqu(
    change: Change,
    r: Outputs,
    z: Outputs,
    q: Outputs,
    u: Outputs,
    p_above: Outputs | None,
    rho: Scalar,
    nu: Scalar,
    activation: Activation,
    levels: Levels | None,
    row_block: int,
) -> tuple[Outputs, Outputs | None, Outputs, Outputs]:
    """Steps 2 to 6 as they move r, z, q and u of a hidden layer; returns z, q, r and u.

    r ← r − t D − mean,  s = r + z,  z by the activation,  r ← s − z,  q and u where p_above is
    given.

    Rows that fit the cache are taken at a time, and every array's buffer becomes that of another
    one: r that of s and of the new r, D that of the new z, z that of q.
    """

    def update_rows(start, size, carry):
        r, D, z, u = carry

        def rows(x):
            return _rows(x, start, size)

        def put(x, new):
            # Without it, XLA computes what is read twice twice, and copies whole arrays.
            return lax.optimization_barrier(_put(x, new, start))

        r = put(r, change.of(rows(r), rows(D)) + rows(z))
        if p_above is None:
            z = put(z, activation.solve(rows(r), rows(q), rows(z)))
            return put(r, rows(r) - rows(z)), D, z, u
        D = put(D, activation.solve(rows(r), rows(q), rows(z)))
        r = put(r, rows(r) - rows(D))
        fz = activation(rows(D))
        z = put(z, update_q(rows(p_above), rows(u), fz, rho, nu, levels))
        return r, D, z, put(u, update_u(rows(u), rows(p_above), rows(z), rho))

    r, D, z, u = _over_rows(update_rows, len(r), row_block, (r, change.D, z, u))
    return (z, None, r, u) if p_above is None else (D, z, r, u)


def update_z_last(
    change: Change,
    r: Outputs,
    z: Outputs,
    targets: Outputs,
    nu: Scalar,
    risk: Risk,
    row_block: int,
) -> tuple[Outputs, Outputs]:
    """Steps 2 to 4 as they move r and z of the output layer; returns z and r, as `update_zqu`."""

    def update_rows(start, size, carry):
        def rows(x):
            return _rows(x, start, size)

        r, z = carry
        s = change.of(rows(r), rows(change.D)) + rows(z)
        z_rows = risk.solve(s, rows(targets), nu, rows(z))
        return _put(r, s - z_rows, start), _put(z, z_rows, start)

    r, z = _over_rows(update_rows, len(r), row_block, (r, z))
    return z, r


# XLA's CPU backend orders the additions of a column sum, and of a product with a transposed left
# operand, by the number of threads. Written as below they give the same bits on any number of
# cores, so that a run does not depend on how many each rank has.


def _rows(x: Array, start: Array | int, size: int) -> Array:
    return lax.dynamic_slice_in_dim(x, start, size)


def _put(x: Array, rows: Array, start: Array | int) -> Array:
    return lax.dynamic_update_slice_in_dim(x, rows, start, 0)


def _over_rows(
    body: Callable[[Any, int, Carry], Carry], nodes: int, row_block: int, carry: Carry
) -> Carry:
    """carry ← body(first row, number of rows, carry), block after block of all rows.

    The last block takes the rest: of a block of one row a product becomes another operation, with
    other bits.
    """
    whole = max(1, nodes // row_block) - 1
    if whole:
        carry = lax.fori_loop(0, whole, lambda k, c: body(k * row_block, row_block, c), carry)
    return body(whole * row_block, nodes - whole * row_block, carry)


def _column_sums(x: Float[Array, "rows columns"]) -> Float[Array, " columns"]:
    return jnp.ones(x.shape[0], x.dtype) @ x


def _transposed(x: Float[Array, "rows columns"]) -> Float[Array, "columns rows"]:
    return lax.optimization_barrier(x.T)
