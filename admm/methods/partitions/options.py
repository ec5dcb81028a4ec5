"""Options of full-graph training over parts of a graph. Needs no JAX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from admm.checks import COUNT, FROM_ZERO, LAYERS, NOT_NEGATIVE, POSITIVE
from admm.errors import InputError, spelled
from admm.methods.objects import ObjectOptions
from admm.methods.supervised import GraphOptions
from admm.run.options import checkpoint_option, codec_of, codec_option, option
from admm.solvers.settings import RULES, Optimizer, PredictionForm
from layers.names import GraphKind, Partitioner
from quant import CODEC_NAMES

HaloName = Literal["exact", "drop", "pipe", "stale", "refresh", "admm"]
Order = Literal["fresh", "end", "kvs"]
PredictorName = Literal["none", "ar", "lstm-gcn"]

# Options that belong to some values of another, and what they are there if they are not given.
_ONLY: dict[str, tuple[str, Sequence[str], Any]] = {
    "order": ("halo", ("stale",), "fresh"),
    "interval": ("halo", ("stale", "refresh", "admm"), 10),
    "predictor": ("halo", ("stale",), "none"),
    "form": ("predictor", ("lstm-gcn",), "residual"),
    "predictor_lr": ("predictor", ("lstm-gcn",), 0.01),
    "async_": ("halo", ("stale",), False),
    "gamma": ("halo", ("admm",), 0.3),
    "exact_epochs": ("halo", ("admm",), 25),
}

# What a solver stands for.
_PRESETS: dict[str, dict[str, str]] = {
    "partitions": {},
    "digest": {"halo": "stale", "predictor": "none"},
    "sat": {"halo": "stale", "predictor": "lstm-gcn", "form": "absolute"},
}


@dataclass(frozen=True, kw_only=True)
class PartitionOptions(ObjectOptions, GraphOptions):
    """A GCN or GraphSAGE on a whole graph, whose nodes are dealt out to parts.

    The history has the objective, the mean training loss as the epoch saw it, and for every layer
    but the first the staleness ‖H̄_l − H_l‖/‖H_l‖ of the halo: rows as training last had them
    against those of the network of now without dropout. With a predictor it has also
    `prediction_l`, which is the staleness over that of the rows that the prediction is made from.

    Iterates depend on the parts and not on who owns them: a run goes on with any number of workers.

    The optimiser may be an `optax.GradientTransformation`. No file holds it: `resumed` takes it
    along.

    Example:
        >>> PartitionOptions(halo="stale").interval, PartitionOptions(solver="digest").halo
        (10, 'stale')
    """

    bounded: ClassVar[str | None] = "objective"
    loss: ClassVar[str] = "cross_entropy"
    rates: ClassVar[Mapping[Optimizer, float]] = dict.fromkeys(get_args(Optimizer), 0.01)
    slower: ClassVar[float] = 3

    solver: Literal["partitions", "digest", "sat"] = option("partitions", "the method [pdadmm-g]")
    network: GraphKind = option("gcn", "gcn or sage", "network")
    layers: int = option(3, "layers, the output layer included", "network", LAYERS)
    hidden: int = option(64, "width of the hidden layers", "network", COUNT)
    epochs: int = option(200, "steps, each of all training nodes", check=COUNT)
    halo: HaloName | None = option(
        None,
        "rows of neighbours in other parts: exact, dropped, of the epoch before (pipe), stale, "
        "recomputed (refresh), or constrained (admm) [refresh; one layer: exact; digest, sat: "
        "stale]",
    )
    order: Order | None = option(None, "when stale rows travel: fresh, end or kvs [fresh]")
    interval: int | None = option(
        None, "epochs from one synchronisation to the next [10]", check=COUNT
    )
    predictor: PredictorName | None = option(
        None,
        "what moves stale rows on to now: none, ar (autoregression), or lstm-gcn "
        "[none; sat: lstm-gcn]",
    )
    form: PredictionForm | None = option(
        None,
        "what lstm-gcn predicts: differences (residual) or rows (absolute) "
        "[residual; sat: absolute]",
    )
    predictor_lr: float | None = option(None, "learning rate of lstm-gcn [0.01]", check=POSITIVE)
    async_: bool = option(
        False, "with stale rows, under mpirun: ranks meet at evaluations only, each at its own pace"
    )
    max_lead: int | None = option(
        None,
        "epochs that a rank may be ahead of the slowest [asynchronous: 2 intervals]",
        check=COUNT,
    )
    gamma: float | None = option(
        None, "penalty of admm, in lengths of multipliers over rows [0.3]", check=NOT_NEGATIVE
    )
    exact_epochs: int | None = option(None, "exact epochs before admm [25]", check=FROM_ZERO)
    dropout: float = option(
        0.5, "fraction of the values of hidden layers that training drops", check=RULES["dropout"]
    )
    optimizer: Optimizer | Any = option(
        "adam", "gd, adadelta, adagrad, adam; in Python also any of optax [adam]", metavar="NAME"
    )
    lr: float | None = option(None, "its learning rate [0.01]", check=POSITIVE)
    weight_decay: float = option(
        5e-4, "λ of λ/2 Σ‖W‖², in the gradient", check=RULES["weight_decay"]
    )
    parts: int = option(8, "parts of the graph; a worker has one or more", "workers", COUNT)
    partition: Partitioner = option(
        "auto", "metis, bfs, random, or auto: metis where pymetis is installed, else bfs", "workers"
    )
    codec: str | None = codec_option([name for name in CODEC_NAMES if name != "levels"])
    checkpoint_every: int = checkpoint_option(50)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in _PRESETS[self.solver].items():
            self._derive(name, value)
            if getattr(self, name) != value:
                raise InputError(
                    f"{spelled(name, getattr(self, name))} is not {self.solver}, which is "
                    f"{spelled(name, value)}; take {spelled('solver', 'partitions')}"
                )
        self._derive("halo", "exact" if self.layers == 1 else "refresh")
        self._derive("predictor", "none")
        self._check_layers()
        for name, (other, allowed, default) in _ONLY.items():
            value, found = getattr(self, name), getattr(self, other)
            if found in allowed:
                if self._rows_travel or name != "interval":
                    self._derive(name, default)
            elif value not in (None, "none") and value is not False:
                raise InputError(
                    f"{spelled(name)} is not for {spelled(other, found)}; it is for "
                    f"{' or '.join(spelled(other, each) for each in allowed)}"
                )
        if self.predictor != "none" and self.order == "fresh" and self.interval == 1:
            raise InputError(
                f"{spelled('predictor', self.predictor)} has nothing to predict: with "
                f"{spelled('order', 'fresh')} and {spelled('interval', 1)} all rows are those of "
                f"now; raise {spelled('interval')} or leave {spelled('predictor')} out"
            )
        if self.async_ and self.order != "fresh":
            raise InputError(
                f"{spelled('async_')} has an order of its own; leave out "
                f"{spelled('order', self.order)}"
            )
        if self.async_ and self.predictor != "none":
            raise InputError(
                f"{spelled('predictor', self.predictor)} is not for {spelled('async_')}: rows have "
                "no age that it could know; leave one out"
            )
        if self.async_ and self.eval_every == 1:
            raise InputError(
                f"{spelled('async_')} needs {spelled('eval_every')} of 2 or more, got 1: the ranks "
                "meet at every evaluation"
            )
        if self.max_lead is not None and not self.async_:
            raise InputError(f"{spelled('max_lead')} is for {spelled('async_')} only")

    def _derive(self, name: str, value: Any) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _check_layers(self) -> None:
        """Refuse options of rows that no layer reads, or that do not travel.

        Raises:
            InputError: If there are such.
        """
        if self.layers == 1 and self.halo not in ("exact", "drop"):
            raise InputError(
                f"{spelled('halo', self.halo)} needs {spelled('layers')} of 2 or more, got 1: the "
                f"first layer's halo is exact; raise {spelled('layers')}"
            )
        if self._rows_travel:
            return
        what = f"{spelled('halo', self.halo)} and {spelled('layers', self.layers)}"
        codec = None if self.codec == self.dtype else self.codec
        for name, value in (("codec", codec), ("interval", self.interval)):
            if value is not None:
                raise InputError(
                    f"{spelled(name, value)} has no meaning with {what}: no rows travel between "
                    "the parts; leave it out"
                )

    @property
    def _rows_travel(self) -> bool:
        return self.halo != "drop" and self.layers > 1 + (self.halo == "refresh")

    @property
    def schedule(self) -> tuple[Order, int]:
        """When boundary rows travel: order and interval; what has neither sends in every epoch."""
        return self.order or "fresh", self.interval or 1

    @property
    def lead(self) -> int:
        """Epochs that a rank may be ahead of the slowest."""
        _, interval = self.schedule
        return self.max_lead or 2 * interval

    def exact(self) -> "PartitionOptions":
        """The same network with an exact halo."""
        others = {name: getattr(type(self), name) for name in (*_ONLY, "max_lead")}
        return replace(self, solver="partitions", halo="exact", **others)

    @property
    def stages(self) -> Sequence[str]:
        return ["the network"]

    def load(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.partitions.share import load_share

        return load_share(self, transport, data)

    def read(self) -> Any:
        from admm.methods.labelled import read_graph

        return read_graph(self)

    def costs(self, share: Any) -> Any:
        from admm.methods.partitions.costs import Costs

        return [Costs(share).stage()]

    def peak_memory(self, share: Any) -> Sequence[int]:
        from admm.methods.partitions.costs import Costs

        return Costs(share).peak_memory()

    def begin(self, share: Any, transport: Any, stage: int, kept: Any) -> Any:
        from admm.comm import LocalTransport
        from admm.methods.partitions.asynchronous import AsynchronousTraining
        from admm.methods.partitions.training import PartitionTraining

        if self.async_ and isinstance(transport, LocalTransport):
            raise InputError(
                f"{spelled('async_')} is for the ranks of mpirun, got one process, whose workers "
                f"take turns; start it with mpirun, or leave out {spelled('async_')}"
            )
        kind = AsynchronousTraining if self.async_ else PartitionTraining
        return kind(self, share, transport)

    def outputs(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        from admm.methods.partitions.inference import pass_saved

        return pass_saved(self, saved, transport, data, every)

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "codec": codec_of(self)}
