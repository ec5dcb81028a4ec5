"""How good networks are for the clients: means over these, and the worst of them."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from admm.comm import Transport, agree_on_masks
from admm.comm.transport import Message
from admm.methods.federated.network import Model, Personal, chunked
from admm.methods.federated.share import FederatedShare
from admm.methods.federated.summed import SummedCodec, SummedUplink
from admm.methods.scores import client_scores
from admm.methods.tasks import PARTS
from admm.solvers.federated import Shared
from quant import CommonScale

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

    With secure aggregation means alone, from masked sums.

    Args:
        own: Scores of each client of this process, by its number.
        share: Of the clients.
        transport: Adds up in the order of the clients.
    """
    names = list(next(iter(own.values())))
    if share.options.secure_aggregation:
        return dict(zip(names, _masked_means(own, share, transport).tolist(), strict=True))
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


def _masked_means(
    own: Mapping[int, Mapping[str, float]], share: FederatedShare, transport: Transport
) -> np.ndarray:
    """The mean of every score, from sums whose summands no other process can read."""
    every = range(len(share.windows))

    def all_clients(number: int) -> range:
        return every

    scores = {k: jnp.asarray(list(each.values()), jnp.float32) for k, each in own.items()}
    start = jnp.zeros(len(next(iter(own.values()))))
    codec = SummedCodec(CommonScale(32 - len(every).bit_length()), len(every))
    masks = agree_on_masks(transport, own)
    way = SummedUplink(codec, start, own, all_clients, all_clients, masks=masks)

    def gathered(message: Callable[[int], Message]) -> dict[int, Message]:
        found = transport.gather({k: np.asarray(message(k)) for k in own})
        return {k: jnp.asarray(each) for part in found for k, each in part.items()}

    way.settle(gathered(lambda k: way.ask(k, scores[k], 0)))
    messages = gathered(lambda k: way.encode(k, scores[k], 0))
    return np.asarray(way.collect(messages, 0))
