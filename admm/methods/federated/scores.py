"""How good networks are for the clients: means over these, and the worst of them."""

from collections.abc import Mapping

import jax
import numpy as np

from admm.comm import Transport
from admm.methods.federated.network import Model, Personal, chunked
from admm.methods.federated.share import FederatedShare
from admm.methods.scores import client_scores
from admm.methods.tasks import PARTS
from admm.solvers.federated import Shared

Parameters = Mapping[int, tuple[Shared, Personal]]
"""Shared parameters and what is a client's own, by its number, from 0."""


class Scorer:
    """Scores of the clients of this process, and what they come to over all clients.

    Args:
        share: The federation.
        model: Makes a network of parameters.
        transport: Of the run.
    """

    def __init__(self, share: FederatedShare, model: Model, transport: Transport) -> None:
        self._share, self._model, self._transport = share, model, transport
        self._chunks = {
            (k, part): jax.device_put(
                chunked(getattr(share.clients[k], part), share.options.dtype),
                transport.device(worker),
            )
            for worker in transport.local
            for k in share.owned[worker]
            for part in PARTS
        }

    def means(self, parameters: Parameters) -> dict[str, float]:
        """The mean of every score over all clients, and the worst, in every process.

        Args:
            parameters: Of the clients of this process.
        """
        return means(
            {k: self._of_client(k, *each) for k, each in parameters.items()},
            self._share,
            self._transport,
        )

    def of_clients(self, parameters: Parameters) -> dict[str, dict[str, float]]:
        """Every score of every client, by its name, in every process."""
        own = {k: self._of_client(k, *each) for k, each in parameters.items()}
        every = {k: each for part in self._transport.gather(own) for k, each in part.items()}
        return {self._share.outline.clients[k]: every[k] for k in sorted(every)}

    def outputs(self, k: int, w: Shared, own: Personal) -> np.ndarray:
        """Of all windows of a client: training, validation, test."""
        return np.concatenate([self._outputs(k, part, w, own)[0] for part in PARTS])

    def _outputs(self, k: int, part: str, w: Shared, own: Personal) -> tuple[np.ndarray, float]:
        """Of all windows of a part, and their loss."""
        windows = getattr(self._share.clients[k], part)
        found = [
            self._model.evaluate(w, own.v, chunk._replace(context=own.context))
            for chunk in self._chunks[k, part]
        ]
        counts = [np.asarray(chunk.present).sum() for chunk in self._chunks[k, part]]
        outputs = np.concatenate([np.asarray(outputs) for outputs, _ in found])
        loss = np.average([float(loss) for _, loss in found], weights=counts)
        return outputs[: len(windows.inputs)], float(loss)

    def _of_client(self, k: int, w: Shared, own: Personal) -> dict[str, float]:
        found, task = {}, self._share.outline.task
        for part in PARTS:
            outputs, found[f"{part}_loss"] = self._outputs(k, part, w, own)
            windows = getattr(self._share.clients[k], part)
            if part != "train":
                finite = np.nan_to_num(outputs, posinf=0, neginf=0)
                scores = client_scores(task, finite, windows.targets, windows.present)
                if not np.isfinite(outputs).all():
                    scores = dict.fromkeys(scores, np.nan)
                found |= {f"{part}_{name}": value for name, value in scores.items()}
        return found


def means(
    own: Mapping[int, Mapping[str, float]], share: FederatedShare, transport: Transport
) -> dict[str, float]:
    """The mean of every score over all clients, and the worst, in every process.

    Args:
        own: Scores of each client of this process, by its number.
        share: Of the clients.
        transport: Adds up in the order of the clients.
    """
    names = list(next(iter(own.values())))
    summands = [
        np.array([[own[k][name] for name in names] for k in share.owned[worker]])
        for worker in transport.local
    ]
    counts = [len(each) for each in share.owned]
    mean = transport.begin_sum(summands, counts)() / sum(counts)
    sign = np.where([name.endswith(("loss", "mae", "smape")) for name in names], 1, -1)
    ends = transport.gather((np.concatenate(summands) * sign).max(axis=0))
    worst = np.max(ends, axis=0) * sign
    return {
        **dict(zip(names, mean.tolist(), strict=True)),
        **{
            f"{name}_worst": float(value)
            for name, value in zip(names, worst, strict=True)
            if not name.startswith("train")
        },
    }
