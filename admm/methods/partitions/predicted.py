"""Stale rows of the halo that a predictor moves on to the epoch that uses them."""

from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from admm.methods.partitions.halos import Each, Periodic, age
from admm.methods.partitions.options import PartitionOptions
from admm.solvers.predictors import LSTMGCN, Autoregression, Predictor
from layers import GraphLayer


class Predicted(Periodic):
    """The halo of some epochs ago, from which every part predicts that of now: SAT.

    Rows travel when those of `Stale` do, and no gradient goes through a prediction. C_l is computed
    in every epoch. Every part and layer has a predictor of its own.

    Source: SAT, arXiv 2308.13466.
    """

    def start(self) -> None:
        super().start()
        self._predictor = predictor_of(self._options)
        part = self._parts[0]
        own, halo = len(part.targets), len(part.halo.ids)
        self._states: dict[int, list[Any]] = {}
        for number, width in enumerate(self._widths, start=1):
            shapes = state_shapes(self._options, own, halo, width)
            blank = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
            self._states[number] = [blank for _ in self._parts]
        self._kept["predictor"] = self._states

    @property
    def pulled(self) -> dict[int, Each]:
        return {n: [state.halo[-1] for state in states] for n, states in self._states.items()}

    def sums(
        self, epoch: int, number: int, network: Sequence[GraphLayer], h: Each
    ) -> Generator[None, None, Each]:
        new = yield from self._new_rows(epoch, number, h)
        states, (order, interval) = self._states[number], self._options.schedule
        if new is not None and epoch == 1:
            states = list(map(partial(self._predictor.init, number), h, new))
        elif new is not None:
            states = list(map(self._predictor.pulled, states, h, new))
        ahead = age(epoch, order, interval) / interval
        found = [
            self._predictor.predicted(state, part, ahead)
            for state, part in zip(states, self._parts, strict=True)
        ]
        self._states[number] = [state for state, _ in found]
        self.rows[number] = [rows for _, rows in found]
        return self._plain(self.rows[number])


def predictor_of(options: PartitionOptions) -> Predictor:
    """The predictor of the options."""
    if options.predictor == "ar":
        return Autoregression()
    # The options have seen to that.
    assert options.form is not None
    assert options.predictor_lr is not None
    return LSTMGCN(options.form, options.predictor_lr, options.seed)


def state_shapes(options: PartitionOptions, own: int, halo: int, width: int) -> Any:
    """Shapes of a predictor's state."""
    rows = [jax.ShapeDtypeStruct((n, width), options.dtype) for n in (own, halo)]
    return jax.eval_shape(partial(predictor_of(options).init, 1), *rows)
