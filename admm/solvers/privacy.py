"""Differential privacy of clients: bounded updates, discrete noise, and what they are worth.

The unit of privacy is a client. Neighbours are two runs of the same schedule, of which one has the
update 0 in every round in place of one client's.
"""

import math
import os

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

Vector = Float[np.ndarray, " count"]

LEAST_DEVIATION = 4.0
"""Of one client's noise, in steps, for sums of discrete Gaussians to be discrete Gaussians.

By theorem 1 of Kairouz, Liu and Steinke (arXiv 2102.06387) they are, up to a factor exp(±τ) in the
probability of a number, with τ = 10 Σ_{k<n} exp(−2π²σ² k/(k + 1)) < 10⁻⁶⁷.
"""


def clip_update(update: Vector, bound: float) -> Vector:
    """The update, shortened to the length C where it is longer: x·min(1, C/‖x‖), in float64.

    What is not finite stays so.

    Example:
        >>> clip_update(np.array([3.0, 4.0]), 1.0).tolist()
        [0.6000000000000001, 0.8]
    """
    update = update.astype(np.float64)
    norm = float(np.linalg.norm(update))
    with np.errstate(invalid="ignore"):
        return update if norm <= bound else update * (bound / norm)


def sensitivity(bound: float, step: float, count: int) -> float:
    """How far one client can move a sum of codes: C + step·√count, a rounding of it and one of 0.

    Example:
        >>> sensitivity(1.0, 0.01, 100)
        1.1
    """
    return bound + step * math.sqrt(count)


def discrete_gaussian(deviation: float, count: int) -> Int[np.ndarray, " count"]:
    """Integers with the probabilities P(x) ∝ exp(−x²/2σ²), from the system's random numbers.

    Algorithm 3 of Canonne, Kamath and Steinke (arXiv 2004.00010): discrete Laplace numbers of scale
    t = ⌊σ⌋ + 1 are kept with the probability exp(−(|x| − σ²/t)²/2σ²). Deviation: uniform numbers of
    53 bits stand for exact ones.

    Args:
        deviation: σ; the standard deviation is close to it above 1.
        count: How many.

    Example:
        >>> x = discrete_gaussian(50.0, 20_000)
        >>> len(x), bool(48 < x.std() < 52)
        (20000, True)
    """
    scale = math.floor(deviation) + 1
    kept = np.empty(0, np.int64)
    while kept.size < count:
        # Three in four are kept.
        uniform = np.frombuffer(os.urandom(8 * 3 * (3 * (count - kept.size) // 2 + 16)), np.uint64)
        magnitude, negative, accepted = (((uniform >> 11) + 0.5) * 2.0**-53).reshape(3, -1)
        x = np.floor(-scale * np.log(magnitude))
        keep = accepted < np.exp(-((x - deviation**2 / scale) ** 2) / (2 * deviation**2))
        keep &= (negative > 0.5) | (x > 0)  # else 0 comes twice as often
        x = np.where(negative < 0.5, -x, x)[keep].astype(np.int64)
        kept = np.concatenate([kept, x])
    return kept[:count]


def epsilon(noise_multiplier: float, rounds: int, delta: float) -> float:
    """ε of (ε, δ)-differential privacy after so many sums with Gaussian noise.

    A sum has ρ = 1/2z² of concentrated differential privacy, and ρ adds up. Then

        ε = min over α > 1 of  αρ + log(1 − 1/α) − log(αδ)/(α − 1)

    There is no amplification by sampling: it needs a secret sample, and schedules are public.

    Args:
        noise_multiplier: z, the noise's standard deviation over the sensitivity; 0 is no privacy.
        rounds: Sums that the client took part in.
        delta: δ, in (0, 1).

    Example:
        >>> round(epsilon(2.0, 40, 1e-5), 2)
        19.05

    Sources: Bun and Steinke, arXiv 1605.02065 (ρ); Canonne, Kamath and Steinke, arXiv 2004.00010,
    corollary 13 (ε).
    """
    if noise_multiplier == 0:
        return math.inf if rounds else 0.0
    rho = rounds / (2 * noise_multiplier**2)

    def bound(log_excess: float) -> float:
        excess = math.exp(log_excess)  # α − 1
        alpha = 1 + excess
        return alpha * rho + math.log(excess / alpha) - math.log(alpha * delta) / excess

    found = minimize_scalar(bound, bounds=(-12, 12), method="bounded", options={"xatol": 1e-9})
    return max(float(found.fun), 0.0)
