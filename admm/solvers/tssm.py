"""gsADMM and gsAM: a network cut into subnetworks that train in parallel on mini-batches.

The functions here act on one subnetwork and one mini-batch; `admm.methods.subnetworks.worker` says
who does what when.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from admm.errors import InputError
from admm.solvers.losses import Loss, cross_entropy
from admm.solvers.settings import Splitting, check_alpha, check_rules

Scalar = Float[Array, ""]
Rows = Float[Array, "batch *features"]
Outputs = Float[Array, "batch *outputs"]

# Root mean square of f that the rule for α takes for the least.
_LEAST = 1e-3

# Parts the keys of noise from those of parameters, which are numbered from 0.
_NOISE = 2**31


class Trained(NamedTuple):
    """A subnetwork in training: what changes of it."""

    params: PyTree  # its arrays
    memory: PyTree  # state of the optimiser


class Coupling(NamedTuple):
    """The variables of one cut in a mini-batch; gsAM has no q and no u.

    The subnetwork below fits q, the one above works at p, and u is the dual variable of p = q.
    """

    p: Array  # (batch, *features)
    q: Array | None  # (batch, *features)
    u: Array | None  # (batch, *features)


class Kept(NamedTuple):
    """What of the variables of one cut is kept for every sample from visit to visit."""

    p: Array | None  # (samples, *features)
    q: Array | None  # (samples, *features)
    u: Array | None  # (samples, *features)


class Residuals(NamedTuple):
    """Sums over samples, of one cut."""

    misfit: Scalar  # Σ‖q − f‖²
    output: Scalar  # Σ‖f‖²
    gap: Scalar  # Σ‖p − q‖²
    target: Scalar  # Σ‖q‖²
    coupling: Scalar  # Σ ρ/2‖p − q‖²
    alpha: Scalar  # Σ α


@dataclass(frozen=True)
class TSSM:
    """Subnetworks f_1 … f_n, coupled by their inputs p_l and outputs q_l.

    For one sample (all of α, ρ and u act on a sample's row),

        minimise  R(f_n(W_n, p_n); y) + α/2 Σ_{l<n} ‖q_l − f_l(W_l, p_l)‖²  so that  p_{l+1} = q_l

    A visit of a mini-batch updates, with g the gradient at p_{l+1} of the term that reads it:

        W_l      one step of the optimiser on the batch mean of the term that holds it
        gsADMM   p ← p − θ/ρ (g + u + ρ(p − q));  q ← (α f + ρ p + u)/(α + ρ);  u ← u + ρ(p − q)
        gsAM     p ← p − θ/α (g + α(p − f))

    The step θ/ρ (θ/α) with θ = 1 minimises over p the terms with g fixed. gsAM has no q and no u: p
    takes the place of q.

    A sample is visited once in an epoch, and f moves with every batch in between: p, q and u of the
    visit before are stale, and training on them is unstable. With `refresh` (the default) p and q
    start each visit from f, and u from 0. Then (`inner` = 1) the gradient that the subnetwork below
    sees is

        Jᵀ(θ g + α(f − f')) for gsAM,   Jᵀ(θα/(α + ρ) g + α(f − f')) for gsADMM,

    f' being f when it was sent up: backpropagation's, and a proximal term that keeps f near the
    place that g is of, since subnetworks in a pipeline hear of g some batches late. Its weight α
    has to go with g: as training succeeds g vanishes, and under a constant α the optimiser would
    come to follow the proximal term alone. So α and ρ = α follow from g, unless they are given:
    such that the target of the subnetwork below is at κ‖f‖ from f,

        α = θ‖g‖/(κ‖f‖) for gsAM,   half of it for gsADMM,   norms of the whole mini-batch.

    This depends neither on the scale of the loss nor on that of f nor on the number of features.
    The rule is for a visit that starts anew and takes one step: both ends of the cut then find the
    same α, but for what a codec loses of f and g.

    gsADMM halves (multiplies by θα/(α + ρ)) what it passes on at every cut. Optimisers that scale
    gradients, like Adam, do not mind; plain gradient descent needs a larger learning rate below.

    Source: Wang et al., arXiv 2009.04053, algorithms 1 and 2. Deviations: everything is per sample
    where the paper has means beside sums, which leaves p where it is; mini-batches in place of
    sweeps; what is kept of a sample starts anew; α and ρ follow from g; the step of p is tied to
    them, where the paper's is free; W and p are updated with gradients of the same forward pass,
    and q with f of before that step; subnetworks take their turns on a batch as in a pipeline, f_l
    being up to 2(n − l) batches older at its visit than when it went up; the lower ones evaluate f
    once for the subnetwork above and once more for their own step.

    Args:
        method: gsADMM or gsAM.
        alpha: α; by default it follows from g.
        rho: ρ of gsADMM; by default α.
        reach: κ.
        relaxation: θ.
        optimizer: Any optimiser of optax; every subnetwork has one of its own.
        inner: Repetitions of all updates in a visit.
        refresh: Whether p, q and u start from f, f and 0; the paper's start where they were an
            epoch before.
        frozen_lower: Train the last subnetwork only: the control that shows what the others add.
        loss: R of each sample, from outputs and targets.

    Raises:
        InputError: If a parameter is out of range.

    Example:
        >>> solver, f, g = TSSM("gsam"), jnp.full((1, 4), 2.0), jnp.ones((1, 4))
        >>> state = solver.start(solver.init_kept(lambda: f), f, first=True)
        >>> state, alpha = solver.couple(state, f, g)
        >>> float(alpha), solver.target(state).tolist()  # at κ‖f‖ = 2 from f, down along g
        (1.0, [[1.0, 1.0, 1.0, 1.0]])
    """

    method: Splitting = "gsadmm"
    alpha: float | None = None
    rho: float | None = None
    reach: float = 0.5
    relaxation: float = 1.0
    optimizer: optax.GradientTransformation = optax.adam(1e-3)  # noqa: RUF009
    inner: int = 1
    refresh: bool = True
    frozen_lower: bool = False
    loss: Loss = cross_entropy

    def __post_init__(self) -> None:
        if self.method not in get_args(Splitting):
            raise InputError(f"the method is gsadmm or gsam, got {self.method!r}")
        check_rules(self)
        check_alpha(self.alpha, self.rho, self.inner, self.refresh)

    def init_kept(self, zeros: Callable[[], Array]) -> Kept:
        """What is kept, before the first visit.

        Args:
            zeros: Makes zeros of the shape (samples, *features).
        """
        if self.refresh:
            return Kept(None, None, None)
        dual = self.method == "gsadmm"
        return Kept(zeros(), zeros() if dual else None, zeros() if dual else None)

    def init(self, subnetwork: eqx.Module) -> Trained:
        """A subnetwork about to be trained."""
        params = eqx.filter(subnetwork, eqx.is_inexact_array)
        memory = self.optimizer.init(params)
        # A step overwrites both: an optimiser may begin with the parameters themselves.
        return Trained(params, jax.tree.map(jnp.array, memory))

    # The two kinds of subnetwork.

    def forward(self, static: Any, params: PyTree, x: Array, keys: Array | None = None) -> Outputs:
        """f(W, x) of a mini-batch, with a random key for each sample in training."""
        return eqx.combine(params, static)(x, keys)

    def fit(
        self,
        static: Any,
        trained: Trained,
        x: Array,
        sent: Outputs,
        wanted: Outputs,
        keys: Array | None = None,
    ) -> tuple[Trained, Any, Scalar]:
        """A step of a lower subnetwork towards its target q = f' + `wanted`/α.

        Args:
            static: What of the subnetwork does not change.
            trained: What does.
            x: Its input.
            sent: f', its output as it was sent up.
            wanted: α(q − f'), see `wanted`.
            keys: Those with which f' was made.

        Returns:
            The subnetwork; α Jᵀ(f − q), the gradient at each sample's x; the batch's Σ α/2‖q − f‖².
        """
        alpha = self._alpha(wanted, sent)
        target = sent + wanted / alpha

        def penalty(f: Outputs) -> Scalar:
            return 0.5 * alpha * jnp.sum((target - f) ** 2)

        return self._descend(static, trained, x, keys, penalty, frozen=self.frozen_lower)

    def fit_top(
        self, static: Any, trained: Trained, x: Array, targets: Array, keys: Array | None = None
    ) -> tuple[Trained, Any, Scalar]:
        """A step of the last subnetwork on the loss; returned are the same things."""
        return self._descend(static, trained, x, keys, lambda f: jnp.sum(self.loss(f, targets)))

    def _descend(
        self,
        static: Any,
        trained: Trained,
        x: Array,
        keys: Array | None,
        objective: Callable[[Outputs], Scalar],
        frozen: bool = False,
    ) -> tuple[Trained, Any, Scalar]:
        def total(params: PyTree, x: Array) -> Scalar:
            return objective(self.forward(static, params, x, keys))

        # The first subnetwork may read whole numbers, and nothing asks for its gradient there.
        descent = jax.value_and_grad(total, (0, 1), allow_int=True)
        value, (gradients, gradient) = descent(trained.params, x)
        if frozen:
            return trained, gradient, value
        mean = jax.tree.map(lambda g: g / len(x), gradients)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
            updates, memory = self.optimizer.update(mean, trained.memory, trained.params)
        return Trained(optax.apply_updates(trained.params, updates), memory), gradient, value

    # The cut below a subnetwork.

    def start(self, kept: Kept, f: Rows, first: bool) -> Coupling:
        """The variables at the beginning of a visit.

        Args:
            kept: The rows of these samples since their last visit.
            f: The output of the subnetwork below, as it arrived.
            first: Whether there was no visit before.
        """
        p, q, u = kept
        if first or p is None:
            p = q = f
            u = jnp.zeros_like(f)
        return Coupling(p, q, u) if self.method == "gsadmm" else Coupling(p, None, None)

    def couple(self, state: Coupling, f: Rows, gradient: Rows) -> tuple[Coupling, Scalar]:
        """p, q and u after one step, from the gradient at p; and α."""
        p, q, u = state
        theta = self.relaxation
        if q is None or u is None:
            alpha = self._alpha(theta * gradient, f)
            step = gradient + alpha * (p - f)
            return Coupling(p - theta / alpha * step, None, None), alpha
        alpha = self._alpha(theta / 2 * gradient, f)
        rho = self._rho(alpha)
        p = p - theta / rho * (gradient + u + rho * (p - q))
        q = (alpha * f + rho * p + u) / (alpha + rho)
        return Coupling(p, q, u + rho * (p - q)), alpha

    def _alpha(self, wanted: Rows, f: Rows) -> Scalar:
        return self._reaching(wanted, f) if self.alpha is None else jnp.asarray(self.alpha, f.dtype)

    def _reaching(self, wanted: Rows, f: Rows) -> Scalar:
        """The α with which α(q − f) = `wanted` means ‖q − f‖ = κ‖f‖."""
        # Where all units of a cut are dead, α must not be infinite.
        length = jnp.maximum(_norm(f), _LEAST * f.size**0.5)
        return _norm(wanted) / (self.reach * length)

    def _rho(self, alpha: Scalar) -> Scalar:
        return alpha if self.rho is None else jnp.asarray(self.rho, alpha.dtype)

    def target(self, state: Coupling) -> Rows:
        """What the subnetwork below is to fit: q, or p in its place."""
        return state.p if state.q is None else state.q

    def wanted(self, state: Coupling, f: Rows, alpha: Scalar) -> Rows:
        """α(q − f), less the gradient at f of the penalty of the subnetwork below."""
        return alpha * (self.target(state) - f)

    def residuals(self, state: Coupling, f: Rows, alpha: Scalar) -> Residuals:
        """How far apart the variables of a mini-batch are."""
        target = self.target(state)
        misfit, output, gap, norm = (
            jnp.sum(x**2) for x in (target - f, f, state.p - target, target)
        )
        return Residuals(misfit, output, gap, norm, self._rho(alpha) / 2 * gap, len(f) * alpha)


def _norm(x: Array) -> Scalar:
    """‖x‖, and not quite 0 for x = 0: it is divided by."""
    return jnp.sqrt(jnp.sum(x**2) + 1e-30)


def noise_key(seed: int, epoch: int) -> PRNGKeyArray:
    """The random key of an epoch; each sample folds its number in, and each module then its own.

    So what is random in a network depends on nothing else: neither on who owns what, nor on the
    mini-batch of a sample.

    Args:
        seed: Of the run.
        epoch: From 1.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _NOISE), epoch)


def batches(seed: int, epoch: int, samples: int, size: int) -> list[np.ndarray]:
    """The mini-batches of an epoch, as arrays of sample numbers, drawn alike in every process.

    Sizes differ by at most one.

    Args:
        seed: Of the run.
        epoch: From 1.
        samples: M.
        size: The largest batch.

    Example:
        >>> [len(batch) for batch in batches(0, 1, samples=10, size=4)]
        [4, 3, 3]
    """
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return np.array_split(order.astype(np.int32), -(-samples // size))
