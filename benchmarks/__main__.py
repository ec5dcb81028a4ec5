"""`python -m benchmarks NAME`, `draw` or `again`; `--help` after a name tells its options."""

import sys
from collections.abc import Sequence
from importlib import import_module

from admm.console import Console, settle
from admm.errors import AdmmError, shell_spelling, told
from benchmarks import NAMES

# What can be called.
COMMANDS = (*NAMES, "draw", "again")


def main(argv: Sequence[str]) -> int:
    """Run one benchmark, draw one, or measure again; returns its exit code, as `admm` has them."""
    if not argv or argv[0] not in COMMANDS:
        usage = f"usage: python -m benchmarks {{{','.join(COMMANDS)}}} [--help]\n"
        Console(sys.stdout).write(usage)
        return 0 if argv == ["--help"] else 2
    try:
        with shell_spelling():
            import_module(f"benchmarks.{argv[0].replace('-', '_')}").main(argv[1:])
        return 0
    except AdmmError as error:
        Console(sys.stderr).write(f"benchmarks: error: {told(error)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        Console(sys.stderr).write("benchmarks: interrupted\n")
        return 1
    finally:
        settle()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
