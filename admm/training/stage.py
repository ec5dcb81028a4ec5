"""The start of a stage, for every worker of this process."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Array

from admm.parallel import chain
from admm.solvers import class_codes, stage_network
from admm.training.data import Facts
from admm.training.options import Options
from layers import Dense, widths


def start_stage(
    workers: Sequence[Any],
    owned: Sequence[Sequence[int]],
    options: Options,
    facts: Facts,
    inputs: Array | None,
    targets: Array,
    kept: Mapping[int, Dense] | None = None,
) -> None:
    """Give every worker its layers of the stage, and link the workers that have any.

    Args:
        workers: Those of this process.
        owned: Numbers of the layers of the stage, for all workers.
        options: Of the run.
        facts: Of the data.
        inputs: X, in the process of layer 1.
        targets: One-hot labels of the training nodes.
        kept: Trained hidden layers of this process, by number; None in the first stage.
    """
    depth = owned[-1][-1]
    shape = widths(facts.columns, options.hidden, facts.classes, depth)
    neighbors = chain(owned)
    coded = kept is None and options.coded
    for worker in workers:
        own = owned[worker.index]
        codes: Sequence[Array] = ()
        if coded:
            labels = facts.labels[: facts.nodes]
            codes = class_codes(options.seed, own, shape, labels, options.code_size, options.dtype)
        worker.start(
            stage_network(options.seed, own, shape, kept, facts.features, options.dtype, coded),
            neighbors[worker.index],
            inputs=inputs if 1 in own else None,
            nodes=facts.nodes,
            targets=targets if depth in own else None,
            codes=codes,
        )
