"""`python -m benchmarks NAME`; `--help` after a name tells its options."""

import sys

from benchmarks import (
    accuracy,
    checkpoint,
    communication,
    convergence,
    kernels,
    network,
    scaling,
    speedup,
    time_to_accuracy,
    tssm,
)

_BENCHMARKS = {
    "accuracy": accuracy.main,
    "checkpoint": checkpoint.main,
    "communication": communication.main,
    "convergence": convergence.main,
    "kernels": kernels.main,
    "network": network.main,
    "scaling": scaling.main,
    "speedup": speedup.main,
    "time-to-accuracy": time_to_accuracy.main,
    "tssm": tssm.main,
}

if len(sys.argv) < 2 or sys.argv[1] not in _BENCHMARKS:
    print(f"usage: python -m benchmarks {{{','.join(_BENCHMARKS)}}} [--help]")
    sys.exit(0 if sys.argv[1:] == ["--help"] else 2)
_BENCHMARKS[sys.argv[1]](sys.argv[2:])
