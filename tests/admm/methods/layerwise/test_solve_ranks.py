"""Ranks that call `solve` with other arguments, or one that fails: all end, with one message."""

import re

import pytest

COMMON = """
import sys
from dataclasses import replace
import jax.numpy as jnp
import numpy as np
sys.path[:0] = [sys.argv[1]]
from test_solve import SOLVER, problem
from admm import solve
from admm.comm import MPITransport, launch
from admm.errors import AdmmError
from admm.solvers import PenaltySchedule, PenaltyState
from layers import SoftmaxCrossEntropy, prox
from quant import Delta, Float, Uniform

transport = MPITransport(launch.world(), timeout=30)
rank = launch.world().rank
network, x, y = problem()

class Schedule:
    def __init__(self, factor=1.0, fault=None):
        self.factor, self.fault = factor, fault

    def init(self, rho, nu):
        if self.fault is not None:
            raise self.fault
        return PenaltyState(rho, nu)

    def update(self, penalties, info):
        return penalties._replace(rho=self.factor * penalties.rho)

def scaled(factor):
    return lambda z: jnp.tanh(factor * z)

def attempt(name, solver=SOLVER, x=x, steps=2, **given):
    try:
        solve(solver, network, x, y, steps=steps, transport=transport, **given)
        told = "none"
    except (AdmmError, MemoryError) as error:
        told = f"{type(error).__name__} {error}"
    print(f"{name}: {told}\\n", end="", flush=True)
"""

DIFFER = (
    COMMON
    + """
schedule = Schedule(2.0)
states = [solve(SOLVER, network, x, y, steps=n, transport=transport, schedule=schedule).state
          for n in (1, 2)]
given = {"schedule": Schedule(2.0), "codec": (Uniform(4), Delta(2))}
attempt("same", replace(SOLVER, activation=prox(scaled(2.0))), warm_start=states[0], **given)
attempt("activation", replace(SOLVER, activation=prox(jnp.tanh, cells=16 + rank)))
attempt("closure", replace(SOLVER, activation=prox(scaled(1.0 + rank))))
attempt("risk", replace(SOLVER, risk=SoftmaxCrossEntropy(max_steps=30 - rank)))
attempt("codec of p", codec=(Uniform(4, block=256 - rank), Delta(2)))
attempt("codec of q", codec=(Float(), Delta(2 + 2 * rank)))
attempt("schedule", schedule=PenaltySchedule(factor=2.0 + rank))
attempt("own schedule", schedule=Schedule(2.0 + rank))
attempt("one schedule", schedule=Schedule() if rank else None)
attempt("warm start", warm_start=states[rank], schedule=schedule)
attempt("one warm start", warm_start=states[0] if rank else None)
attempt("tolerance", tol=1e-3 * (1 + rank))
"""
)

FAIL = (
    COMMON
    + """
class TooLarge:
    def __array__(self, dtype=None, copy=None):
        return np.empty(2**57)

class Failing(Schedule):
    def update(self, penalties, info):
        return {}["rho"] if rank else penalties

class Negative(Schedule):
    def update(self, penalties, info):
        return penalties._replace(rho=-1.0) if rank else penalties

def stop(state, info):
    raise ZeroDivisionError("in a callback")

def leave(state, info):
    sys.exit(3)

attempt("init", schedule=Schedule(fault=TypeError("odd")) if rank else Schedule())
attempt("memory", x=TooLarge() if rank else x)
attempt("workers", workers=1 + rank)
attempt("update", schedule=Failing())
attempt("negative", schedule=Negative())
attempt("callback", callback=None if rank else stop)
attempt("exit", callback=leave if rank else None)
attempt("good", callback=lambda state, info: False)
"""
)

OTHER = "InputError rank 1 was given other {} than rank 0; all ranks call solve with the same"
DIFFERENCES = {
    "same": "none",
    "activation": OTHER.format("activation="),
    "closure": OTHER.format("activation="),
    "risk": OTHER.format("risk="),
    "codec of p": OTHER.format("codec="),
    "codec of q": OTHER.format("codec="),
    "schedule": OTHER.format("schedule="),
    "own schedule": OTHER.format("schedule="),
    "one schedule": OTHER.format("schedule="),
    "warm start": OTHER.format("warm_start="),
    "one warm start": OTHER.format("warm_start="),
    "tolerance": OTHER.format("tol="),
}
FAILURES = {
    "init": "AdmmError rank 1 failed: TypeError: odd",
    "memory": "MemoryError Unable to allocate 1.00 EiB for an array",
    "workers": "InputError got workers=2 and a transport= of 2 workers; give one of them",
    "update": "AdmmError rank 1 failed: KeyError: 'rho'",
    "negative": "InputError rho of schedule= must be positive and finite, got -1.0",
    "callback": "AdmmError rank 0 failed: ZeroDivisionError: in a callback",
    "exit": "AdmmError rank 1 failed: SystemExit: 3",
    "good": "none",
}


@pytest.mark.parametrize(
    ("program", "expected"), [(DIFFER, DIFFERENCES), (FAIL, FAILURES)], ids=["differ", "fail"]
)
def test_all_ranks_end_with_one_message(mpi_python, program, expected):
    done = mpi_python(program, __file__.rpartition("/")[0], ranks=2, timeout=100)
    assert done.returncode == 0, done.stderr
    for name, message in expected.items():
        lines = re.findall(rf"^{name}: (.*)$", done.stdout, re.MULTILINE)
        assert len(lines) == 2, done.stdout
        assert all(line.startswith(message) for line in lines), lines
