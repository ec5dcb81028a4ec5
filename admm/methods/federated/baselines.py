"""What the clients of a run reach by other means: to be known before it begins.

- the last value of a column, where it is forecast;
- a ridge regression of each client's windows alone;
- one of the windows of all clients, for which their normal equations are summed up;
- the network of the run, trained by each client alone, as many steps from the same start.

Each is the mean over the clients on their tests. The network is that of the evaluation with the
lowest mean validation loss, as in the run.
"""

from collections.abc import Callable, Mapping

import numpy as np

from admm.comm import Transport
from admm.methods.baselines import (
    NormalEquations,
    last_value,
    normal_equations,
    ridge_per_client,
    tuned_ridge,
)
from admm.methods.federated.context import Tables
from admm.methods.federated.local import LocalSteps
from admm.methods.federated.network import Personal, solver_of, start_network
from admm.methods.federated.scores import Scorer, means
from admm.methods.federated.share import FederatedShare
from admm.solvers.federated import Pull

Scores = dict[str, float]


def measured_baselines(share: FederatedShare, transport: Transport) -> dict[str, Scores]:
    """Scores of each by its name, in every process; all processes call it."""
    outline, clients = share.outline, share.clients

    def mean(scores: Mapping[int, Scores]) -> Scores:
        named = {k: {f"test_{n}": x for n, x in each.items()} for k, each in scores.items()}
        return means(named, share, transport)

    found = {}
    forecasts = {k: last_value(outline, each) for k, each in clients.items()}
    if None not in forecasts.values():
        found["last value"] = mean({k: each for k, each in forecasts.items() if each is not None})
    found["ridge per client"] = mean(
        {k: ridge_per_client(outline, each) for k, each in clients.items()}
    )
    if not share.options.secure_aggregation:  # the equations tell of single clients
        found["ridge pooled"] = mean(_pooled(share, transport))
    found["local only"] = _local_only(share, transport)
    return found


def _pooled(share: FederatedShare, transport: Transport) -> dict[int, Scores]:
    """Of each own client, by the ridge regression of all windows."""
    outline, counts = share.outline, [len(own) for own in share.owned]

    def total(of_client: Callable[[int], np.ndarray]) -> np.ndarray:
        own = [np.stack([of_client(k) for k in share.owned[n]]) for n in transport.local]
        return transport.begin_sum(own, counts)()

    own = {k: normal_equations(outline, each.train) for k, each in share.clients.items()}
    equations = NormalEquations(total(lambda k: own[k].gram), total(lambda k: own[k].moment))
    return tuned_ridge(outline, equations, share.clients, total)


def _local_only(share: FederatedShare, transport: Transport) -> Scores:
    """Of the network, trained by each client alone."""
    options, start = share.options, start_network(share.options, share.outline)
    solver, scorer = solver_of(options, start.model), Scorer(share, start.model, transport)
    context = None
    if options.attention != "own":
        context = Tables(share, share.availability).nothing()
    zero = start.w * 0
    nothing = Pull(zero[0], zero, zero)
    steps = {
        worker: LocalSteps(share, worker, start, transport.device(worker))
        for worker in transport.local
    }
    states = {k: solver.init(start.w, start.v) for k in share.clients}
    best: Scores | None = None
    for number in range(1, options.epochs + 1):
        for worker, own in steps.items():
            for k in share.owned[worker]:
                states[k] = own.solve(k, number, states[k], nothing, context).client
        if number % options.eval_every == 0 or number == options.epochs:
            found = scorer.means(
                {k: (state.w, Personal(state.v, context)) for k, state in states.items()}
            )
            if best is None or found[options.select] < best[options.select]:
                best = found
    assert best is not None  # there is at least one round
    return best
