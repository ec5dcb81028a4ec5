"""Options of federated learning. Needs no JAX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

from admm.checks import COUNT, FRACTION, NOT_NEGATIVE, POSITIVE, Check
from admm.errors import InputError, spelled
from admm.run.options import MethodOptions, checkpoint_option, codec_of, codec_option, option
from admm.solvers.settings import RULES, Optimizer
from layers.names import Attention, SequenceKind
from quant import CODEC_NAMES

_CODECS = [name for name in CODEC_NAMES if name != "levels"]
_FROM_ZERO = Check("0 or more", lambda value: value >= 0)


class Method(NamedTuple):
    """What sets a method apart, see `admm.solvers.federated`."""

    has_penalty: bool = False  # ρ
    has_dual: bool = False  # u_k, which travels with w
    counts_absent: bool = False  # the server keeps the answers of who is offline
    has_control: bool = False  # c and c_k, which travel too
    has_momentum: bool = False  # of the server
    sends_gradient: bool = False  # of one step, instead of w


METHODS = {
    "fed-admm": Method(has_penalty=True, has_dual=True, counts_absent=True),
    "fedavg": Method(),
    "fedavgm": Method(has_momentum=True),
    "fedprox": Method(has_penalty=True),
    "scaffold": Method(has_control=True),
    "fedsgd": Method(sends_gradient=True),
}


@dataclass(frozen=True, kw_only=True)
class FederatedOptions(MethodOptions):
    """A network that clients train together without showing each other their data.

    An epoch is a round. The best network is that of the lowest mean validation loss of the clients,
    each with the shared parameters and its own private ones.

    Example:
        >>> FederatedOptions().steps, FederatedOptions(solver="fedsgd").steps
        (10, 1)
    """

    select: ClassVar[str] = "val_loss"
    bounded: ClassVar[str | None] = "train_loss"
    stages: ClassVar[Sequence[str]] = ("the network",)

    solver: Literal["fed-admm", "fedavg", "fedavgm", "fedprox", "scaffold", "fedsgd"] = option(
        "fed-admm", "the method [pdadmm-g]"
    )
    dataset: str = option(
        "sensors",
        "a known name (sensors:clients=8,seed=0, beijing, har), or a folder of one .npz a client",
        "data",
        metavar="NAME|PATH",
    )
    length: int | None = option(None, "steps of a window [as usual for the data]", "data", COUNT)
    stride: tuple[int, ...] | None = option(
        None,
        "steps from one window to the next: of all, or of training, validation, test [as usual for "
        "the data]",
        "data",
        metavar="N[,N,N]",
    )
    horizon: int | None = option(
        None, "steps from a window's last to its target [as usual for the data]", "data", COUNT
    )
    network: SequenceKind = option("fathom", "fathom, lstm, mlp or linear", "network")
    hidden: int = option(16, "width of its layers", "network", COUNT)
    attention: Attention = option(
        "own",
        "what attention over time looks at: the client's own window (own), the others' at the "
        "same time of the day too (aligned), or the mean of the others beside it (context)",
        "network",
        only={"network": ("fathom",)},
    )
    refresh: int = option(
        10,
        "rounds until clients are told of each other again",
        "network",
        COUNT,
        only={"attention": ("aligned", "context")},
    )
    task_attention: bool = option(
        True, "attention over the columns of a window", "network", only={"network": ("fathom",)}
    )
    temporal_attention: bool = option(
        True, "attention over the steps of a window", "network", only={"network": ("fathom",)}
    )
    private: bool = option(
        True, "clients keep task attention and output layer to themselves", "network"
    )
    loss: Literal["l1", "squared_error"] | None = option(
        None, "of regression: l1 or squared_error [l1]"
    )
    epochs: int = option(40, "rounds", check=COUNT)
    local_steps: int | None = option(
        None, "steps of a client in a round [10; fedsgd: 1]", check=COUNT
    )
    batch: int = option(32, "windows of a step", check=COUNT)
    optimizer: Optimizer = option("adam", "of the clients: gd, adadelta, adagrad or adam")
    lr: float = option(3e-3, "its learning rate", check=POSITIVE)
    schedule: Literal["cosine", "constant"] = option(
        "cosine", "learning rate over the rounds: cosine, which falls to 0, or constant"
    )
    clip: float = option(1.0, "longest gradient of a step; 0: any length", check=NOT_NEGATIVE)
    rho: float = option(
        0.1,
        "penalty of the distance to the server's parameters",
        check=NOT_NEGATIVE,
        only={"solver": ("fed-admm", "fedprox")},
    )
    server_momentum: float = option(
        0.7, "β of the server", check=RULES["dropout"], only={"solver": ("fedavgm",)}
    )
    client_weights: Literal["equal", "rows"] = option(
        "equal", "weights of the clients: equal, or their training windows (rows)"
    )
    participation: float = option(
        1.0, "probability that a client is there in a round", "workers", FRACTION
    )
    dropouts: float = option(
        0.0,
        "probability that one that is there gets the model and never answers",
        "workers",
        RULES["dropout"],
    )
    late_joiners: int = option(0, "clients that join late, the last ones", "workers", _FROM_ZERO)
    join_round: int | None = option(None, "the round in which they join", "workers", COUNT)
    per_client: bool = option(
        False,
        "write the scores of every client into the summary, which tells of its data",
        "output",
    )
    baselines: bool = option(
        True, "train local networks and ridge regressions to compare with, at the start", "output"
    )
    codec: str | None = codec_option(_CODECS, "how answers of clients travel")
    codec_down: str | None = codec_option(_CODECS, "how the server's parameters travel", "--codec")
    checkpoint_every: int = checkpoint_option(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method.sends_gradient and self.steps != 1:
            raise InputError(
                f"{spelled('local_steps', self.local_steps)} is not {self.solver}, which sends the "
                f"gradient of one step; leave it out, or take {spelled('solver', 'fedavg')}"
            )
        if (self.late_joiners > 0) != (self.join_round is not None):
            raise InputError(
                f"{spelled('late_joiners')} and {spelled('join_round')} belong together: say how "
                "many clients join late, and in which round"
            )

    @property
    def method(self) -> Method:
        """What sets the method apart."""
        return METHODS[self.solver]

    def rate_factor(self, step: int) -> float:
        """Of the learning rate in a local step of the run, from 0."""
        if self.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * step / (self.epochs * self.steps)))

    @property
    def steps(self) -> int:
        """Of a client in a round."""
        return self.local_steps or (1 if self.method.sends_gradient else 10)

    @property
    def remedy(self) -> str:
        return f"a {spelled('lr')} below {self.lr:g}"

    def load(self, transport: Any, data: Any = None) -> Any:
        share = self.look(transport, data)
        if not self.baselines:
            return share
        from admm.methods.federated.baselines import measured_baselines

        return replace(share, baselines=measured_baselines(share, transport))

    def look(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.federated.share import load_share

        return load_share(self, transport, data)

    def costs(self, share: Any) -> Any:
        from admm.methods.federated.costs import Costs

        return [Costs(share).stage()]

    def peak_memory(self, share: Any) -> Sequence[int]:
        from admm.methods.federated.costs import Costs

        return Costs(share).peak_memory()

    def begin(self, share: Any, transport: Any, stage: int, kept: Any) -> Any:
        from admm.methods.federated.training import FederatedTraining

        return FederatedTraining(self, share, transport)

    def safer(self, training: Any) -> tuple["FederatedOptions", str]:
        """A third of the learning rate."""
        lr = self.lr / 3
        return replace(self, lr=lr), spelled("lr", f"{lr:g}")

    def evaluate(self, saved: Any, transport: Any, data: Any) -> dict[str, float]:
        from admm.methods.federated.inference import evaluate_saved

        return evaluate_saved(self, saved, transport, data)

    def predict(self, saved: Any, transport: Any, data: Any) -> Any:
        from admm.methods.federated.inference import predict_saved

        return predict_saved(self, saved, transport, data)

    def as_json(self) -> dict[str, Any]:
        codec = codec_of(self)
        followed = {"codec": codec, "codec_down": self.codec_down or codec}
        return {**super().as_json(), **followed, "local_steps": self.steps}
