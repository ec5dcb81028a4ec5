"""`python -m benchmarks accuracy` or `python -m benchmarks iteration`; `--help` tells the rest."""

import sys

from benchmarks import accuracy, iteration

_BENCHMARKS = {"accuracy": accuracy.main, "iteration": iteration.main}

if len(sys.argv) < 2 or sys.argv[1] not in _BENCHMARKS:
    sys.exit(f"usage: python -m benchmarks {{{','.join(_BENCHMARKS)}}} [options]")
_BENCHMARKS[sys.argv[1]](sys.argv[2:])
