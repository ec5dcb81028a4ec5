"""`python -m benchmarks NAME`; `--help` behind the name tells the rest."""

import sys

from benchmarks import accuracy, network, scaling, speedup

_BENCHMARKS = {
    "accuracy": accuracy.main,
    "network": network.main,
    "scaling": scaling.main,
    "speedup": speedup.main,
}

if len(sys.argv) < 2 or sys.argv[1] not in _BENCHMARKS:
    print(f"usage: python -m benchmarks {{{','.join(_BENCHMARKS)}}} [--help]")
    sys.exit(0 if sys.argv[1:] == ["--help"] else 2)
_BENCHMARKS[sys.argv[1]](sys.argv[2:])
