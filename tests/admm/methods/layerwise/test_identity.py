"""What tells one activation, risk, codec or schedule from another."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from admm.methods.layerwise.identity import identity
from admm.solvers import PDADMMG, PenaltySchedule
from layers import RELU, LeakyReLU, SoftmaxCrossEntropy, prox
from quant import Delta, Float, LevelCodec, Levels


def scaled(factor):
    return lambda x: factor * x


class Plain:
    """No dataclass, and without a `repr` of its own."""

    def __init__(self, held):
        self.held = held


@dataclass(frozen=True)
class Counted:
    size: int
    calls: list = field(default_factory=list, compare=False)


def itself():
    def again(x):
        return again(x - 1) if x else x

    return again


PAIRS = {
    "type": (RELU, SoftmaxCrossEntropy()),
    "field": (LeakyReLU(0.1), LeakyReLU(0.2)),
    "number": (SoftmaxCrossEntropy(max_steps=30), SoftmaxCrossEntropy(max_steps=29)),
    "codec": (Delta(2), Delta(4)),
    "block": (Delta(2), Delta(2, block=128)),
    "dtype": (Float("float32"), Float("bfloat16")),
    "levels": (LevelCodec(Levels(0, 3)), LevelCodec(Levels(0, 4))),
    "schedule": (PenaltySchedule(), PenaltySchedule(factor=2.0)),
    "solver": (PDADMMG(), replace(PDADMMG(), row_block=64)),
    "function": (prox(jnp.tanh), prox(jax.nn.gelu)),
    "jit": (prox(jax.jit(scaled(2.0))), prox(jax.jit(scaled(3.0)))),
    "closure": (scaled(2.0), scaled(3.0)),
    "operator": (lambda x: x + 2, lambda x: x * 2),
    "default": (lambda x, k=2: x, lambda x, k=3: x),
    "attribute": (Plain(1), Plain(2)),
    "array": (Plain(np.zeros(2000)), Plain(np.eye(1, 2000, 1000)[0])),
    "shape": (Plain(np.zeros((2, 3))), Plain(np.zeros((3, 2)))),
    "key": (Plain({"a": 1}), Plain({"b": 1})),
    "element": (Plain([1, (2, 3)]), Plain([1, (2, 4)])),
    "class": (Plain(dict), Plain(list)),
    "set": (Plain({"a", "b"}), Plain({"a", "c"})),
}


@pytest.mark.parametrize("name", PAIRS)
def test_other_objects_differ(name):
    one, other = map(identity, PAIRS[name])
    assert one != other


def test_fields_that_do_not_compare_do_not_count():
    assert identity(Counted(1, [1])) == identity(Counted(1)) != identity(Counted(2))


def test_a_function_may_have_closed_over_itself():
    assert identity(itself()) == identity(itself())


def test_it_is_the_same_in_another_process():
    """Whose addresses and order of sets are others."""
    code = (
        "import test_identity as t\n"
        "from admm.methods.layerwise.identity import identity\n"
        "every = {n: [identity(each) for each in pair] for n, pair in t.PAIRS.items()}\n"
        "print(every | {'itself': identity(t.itself())})"
    )
    command = [sys.executable, "-c", code]
    here = __file__.rpartition("/")[0]
    outputs = [
        subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd=here,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""
