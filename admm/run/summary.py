"""What every run ends with: its result, and `summary.json`."""

import os
import resource
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from admm.comm import Transport, launch
from admm.errors import InputError
from admm.run.clock import Clock
from admm.run.energy import Meter, total_energy
from admm.run.history import Evaluation, History
from admm.run.method import Joiner, Network
from admm.run.resume import counts
from admm.run.status import SCHEMA
from admm.run.versions import versions


class Result(NamedTuple):
    """What `train` returns, in every process.

    It can be pickled where its modules can: those of one's own that hold functions of JAX cannot,
    and `eqx.tree_serialise_leaves` keeps them. Nor can it on several ranks; what `module` returns
    can.

    Example:
        >>> from admm import options, train
        >>> result = train(options(layers=2, hidden=16, epochs=5))
        >>> result.summary["status"], len(result.history), sorted(result.network)
        ('done', 5, [1, 2])
    """

    summary: dict[str, Any]  # the contents of summary.json
    history: list[Evaluation]
    network: Network  # the best one: this process's layers or modules, by number from 1
    join: Joiner | None = None  # for `module`

    def module(self) -> Any:
        """The best network in one piece, on the default device; all processes call it.

        Raises:
            InputError: If the method trains no networks of modules.
        """
        if self.join is None:
            raise InputError("this method makes no module; the layers are in `network`")
        return self.join(self.network)


def summarize(
    history: History,
    clock: Clock,
    transport: Transport,
    variables: Sequence[str],
    units: Sequence[str],
    meter: Meter,
    **more: Any,
) -> dict[str, Any]:
    """The contents of `summary.json`, in every process.

    Args:
        history: Of the run.
        clock: Of this process.
        transport: Adds up over processes.
        variables: What workers send each other in training.
        units: What every worker owns.
        meter: Of the energy of this process's machine.
        more: Further entries.
    """
    counted = counts(transport, clock)
    sent, as_float32 = Counter(counted["sent"]), Counter(counted["float32"])
    return {
        "schema": SCHEMA,
        "versions": versions(),
        "workers": {
            "ranks": transport.size,
            "units_per_rank": list(units),
            "threads_per_rank": len(launch.own_cores()) or os.cpu_count(),
            "mpi": transport.library,
            "device": jax.devices()[0].device_kind,
        },
        "best": history.best,
        "final": history.evaluations[-1] if history.evaluations else None,
        "seconds": counted["seconds"],
        "bytes": {
            "sent": sum(sent[variable] for variable in variables),
            "float32": sum(as_float32[variable] for variable in variables),
            "by_variable": {variable: sent[variable] for variable in variables},
            "evaluation": sent["evaluation"],
            "control": sum(transport.gather(transport.control_bytes)),
        },
        "joules": total_energy(transport.gather(meter.read())),
        "peak_rss_bytes": transport.gather(_peak_rss()),
        **more,
    }


def _peak_rss() -> int:
    """Bytes of memory that this process has had at once, at most."""
    unit = 1 if sys.platform == "darwin" else 1024  # of macOS, and of Linux
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
