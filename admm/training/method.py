"""The algorithm of a run: its solver, and the workers that carry it out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from admm.parallel import Codecs, PipelineWorker, Transport, Worker, iterate, pipeline
from admm.solvers import PDADMMG, Backprop, PenaltyState
from admm.training.options import Options


class Method(NamedTuple):
    """What the loop knows of its algorithm."""

    solver: PDADMMG | Backprop
    workers: Sequence[Any]  # those of this process: `Worker`s, or what has their interface
    iterate: Callable[[Sequence[Any], bool], None]  # whether `info` will follow comes second
    variables: tuple[str, str]  # what the workers send each other in an iteration
    penalties: PenaltyState  # at the start of a stage; those of backpropagation are 0 and stay it
    remedy: str  # for training that diverges


def make_method(options: Options, transport: Transport) -> Method:
    """The algorithm that the options ask for, on the workers of a transport."""
    settings = options.settings
    if options.solver != "pdadmm-g":
        backprop = Backprop(options.solver, settings["lr"], settings["weight_decay"])
        return Method(
            backprop,
            [PipelineWorker(index, backprop, transport) for index in transport.local],
            lambda workers, measured: pipeline.iterate(workers),
            ("activation", "gradient"),
            PenaltyState(rho=0.0, nu=0.0),
            f"a --lr below {settings['lr']:g}",
        )
    solver = PDADMMG(
        rho=settings["rho"],
        nu=settings["nu"],
        weight_decay=settings["weight_decay"],
        step_rule=settings["step"],
        levels_p=options.levels,
        levels_q=options.levels_q,
    )
    codecs = Codecs(options.codec_for(options.levels), options.codec_for(options.levels_q))
    return Method(
        solver,
        [Worker(index, solver, transport, codecs) for index in transport.local],
        iterate,
        ("p", "q"),
        PenaltyState(solver.rho, solver.nu),
        "other --rho and --nu (the defaults suit inputs of unit length, --normalize hops), or "
        "--dtype float64",
    )
