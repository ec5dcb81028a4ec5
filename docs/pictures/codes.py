"""What codes lose of an array that converges: delta codes less and less, uniform codes not."""

import jax
import jax.numpy as jnp
from matplotlib.figure import Figure

from benchmarks.looks import AMBER, BLUE, SKY, Name, name_ends
from quant import make_codec

_CODECS = {"uniform4": AMBER, "delta4": BLUE, "delta2": SKY}
_ITERATIONS, _RATE, _SHAPE = 50, 0.8, (64, 64)


def draw() -> Figure:
    figure = Figure(figsize=(8, 3.4), facecolor="white", layout="constrained")
    axes = figure.subplots()
    limit, distance = jax.random.normal(jax.random.key(0), (2, *_SHAPE))
    names = []
    for name, color in _CODECS.items():
        codec, decoded, errors = make_codec(name), jnp.zeros(_SHAPE), []
        for iteration in range(_ITERATIONS):
            x = limit + _RATE**iteration * distance
            decoded = codec.decode(codec.encode(x, decoded), decoded)
            errors.append(float(jnp.linalg.norm(decoded - x) / jnp.linalg.norm(x)))
        axes.plot(range(1, _ITERATIONS + 1), errors, color=color, lw=2)
        bits = codec.nbytes(_SHAPE) * 8 / limit.size
        names.append(Name(f"{name}, {bits:.2f} bits", _ITERATIONS, errors[-1], color))
    axes.set(xlabel="iteration", ylabel="relative error of the decoded array", yscale="log")
    axes.set_xlim(1, _ITERATIONS)
    axes.set_title(
        "Coding an array that converges by a factor of 0.8 an iteration", loc="left", fontsize=9.5
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    name_ends(axes, names)
    return figure
