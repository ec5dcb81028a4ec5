"""What `admm train --dry-run` shows."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from admm.cli.progress import write_json
from admm.console import Console
from admm.run.options import MethodOptions

if TYPE_CHECKING:
    from admm.comm import Transport
    from admm.run.estimate import Estimate

_COLUMNS = (
    ("rank", 4),
    ("owns", 14),
    ("GFLOP/epoch", 12),
    ("checkpoint bytes", 17),
    ("sent/epoch", 15),
    ("sent/evaluation", 16),
)


_PER = {
    "stage": "at the start of the stage",
    "epoch": "an epoch",
    "evaluation": "an evaluation",
}


def show_costs(options: MethodOptions, transport: "Transport", kind: str) -> None:
    """Print what a run is going to cost, at the root.

    Args:
        options: Of the run.
        transport: Of its workers.
        kind: `table`, `json` (an object) or `none`.

    Raises:
        AdmmError: In every process, if it does not fit the memory there is.
    """
    from admm.run.estimate import as_json, check_fits, estimate

    found = estimate(options, transport)
    if transport.is_root and kind == "json":
        write_json("costs", as_json(found))
    elif transport.is_root and kind == "table":
        console = Console(sys.stdout)
        for line in _lines(options, found):
            console.write(f"{line}\n")
    check_fits(found, options, transport)


def _lines(options: MethodOptions, found: "Estimate") -> Iterator[str]:
    yield found.introduction.rstrip()
    for stage, costs in zip(options.stages, found.stages, strict=True):
        yield f"stage of {stage}: {costs.parameters:,} parameters, {costs.epochs} epochs"
        yield "  ".join(f"{name:>{width}}" for name, width in _COLUMNS)
        for rank, worker in enumerate(costs.workers):
            per = {
                each: sum(m.nbytes * m.times for m in worker.messages if m.per == each)
                for each in ("epoch", "evaluation")
            }
            cells = (
                rank,
                worker.units,
                f"{worker.flops / 1e9:.6g}",
                f"{worker.checkpoint_bytes:,}",
                f"{per['epoch']:,}",
                f"{per['evaluation']:,}",
            )
            yield "  ".join(f"{x:>{w}}" for x, (_, w) in zip(cells, _COLUMNS, strict=True))
            for m in worker.messages:
                told = f"{m.times} × {m.nbytes:,} bytes {_PER[m.per]}"
                yield f"{'':6}{m.variable} to {m.target}: {told}"
    yield "peak memory of arrays, beside an idle process: " + ", ".join(
        f"rank {rank} {nbytes / 2**20:,.1f} MiB" for rank, nbytes in enumerate(found.peak_bytes)
    )
    told = ", ".join(f"{name} {nbytes:,}" for name, nbytes in found.bytes_by_variable.items())
    yield (
        f"the whole run: {found.flops['training']:.4g} FLOPs of epochs and "
        f"{found.flops['evaluation']:.4g} of evaluations; bytes between workers: "
        f"{told or 0}; {found.evaluation_bytes:,} of evaluations"
    )
    yield "nothing was trained, and nothing was written"
