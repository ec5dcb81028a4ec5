"""Options of federated learning. Needs no JAX."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, Literal, NamedTuple

from admm.checks import COUNT, FRACTION, FROM_ZERO, NOT_NEGATIVE, POSITIVE, PROPORTION, Check
from admm.errors import InputError, spelled
from admm.run.options import MethodOptions, checkpoint_option, codec_of, codec_option, option
from admm.run.stopping import patience
from admm.solvers.settings import RULES, Optimizer
from layers.names import Attention, SequenceKind
from quant import CODEC_NAMES, COMMON_CODEC_NAMES

_CODECS = [name for name in CODEC_NAMES if name != "levels"]

# How z travels where answers are summed up, unless it is said.
_DOWN = {"common8": "delta8", "common4": "delta4", "common2": "delta2"}


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
    network: SequenceKind = option("lstm", "of a window", "network")
    attention: Attention = option(
        "own",
        "what a window looks at: itself (own), those of others at the same time of the day too "
        "(aligned), or what all of them look like on average (context)",
        "network",
        only={"network": ("fathom",)},
    )
    refresh: int = option(
        10,
        "rounds after which clients are told of each other again",
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
    hidden: int = option(16, "width of its layers; linear has none", "network", COUNT)
    private: bool = option(
        False, "clients keep task attention and output layer to themselves", "network"
    )
    loss: Literal["l1", "squared_error"] | None = option(None, "of regression [l1]")
    epochs: int = option(40, "rounds", check=COUNT)
    local_steps: int | None = option(
        None, "steps of a client in a round [10; fedsgd: 1]", check=COUNT
    )
    batch: int = option(32, "windows of a step", check=COUNT)
    optimizer: Optimizer = option("adam", "of the clients")
    lr: float = option(3e-3, "its learning rate", check=POSITIVE)
    schedule: Literal["constant", "cosine"] = option(
        "constant", "learning rate over the rounds; cosine falls to 0"
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
        "equal", "weights of the clients; rows are their training windows"
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
    late_joiners: int = option(0, "clients that join late, the last ones", "workers", FROM_ZERO)
    join_round: int | None = option(None, "the round in which they join", "workers", COUNT)
    patience: int | None = option(
        None, "evaluations without a better network after which a run ends [never]", "output", COUNT
    )
    per_client: bool = option(
        False,
        "write the scores of every client into the summary, which tells of its data",
        "output",
    )
    baselines: bool = option(
        True, "local networks and ridge regressions to compare with, at the start", "output"
    )
    secure_aggregation: bool = option(
        False, "the root learns the sum of the answers of a round, and no single one", "safety"
    )
    clip_update: float | None = option(
        None, "longest change that a client may answer with [any length]", "safety", POSITIVE
    )
    noise_multiplier: float = option(
        0.0,
        "standard deviation of the noise of a sum of answers, in lengths of --clip-update",
        "safety",
        Check("0, or in 0.01…100", lambda value: value == 0 or 0.01 <= value <= 100, Real),
    )
    delta: float = option(
        1e-5, "δ of the differential privacy that the summary states", "safety", PROPORTION
    )
    codec: str | None = codec_option(
        [*_CODECS, *COMMON_CODEC_NAMES],
        "how answers of clients travel",
        "as they are; with privacy common8, or common16 for clipped ones",
    )
    codec_down: str | None = codec_option(
        _CODECS, "how the server's parameters travel", "--codec; of commonN deltaN"
    )
    checkpoint_every: int = checkpoint_option(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method.sends_gradient and self.steps != 1:
            raise InputError(
                f"{spelled('local_steps', self.local_steps)} is not {self.solver}, which sends the "
                f"gradient of one step; leave it out, or take {spelled('solver', 'fedavg')}"
            )
        if self.private and self.network == "linear":
            raise InputError(
                f"{spelled('network', 'linear')} has no part to keep private; leave out "
                f"{spelled('private')}, or take {spelled('network', 'lstm')}"
            )
        if self.method.has_dual and not self.rho:
            raise InputError(
                f"{spelled('rho', 0)} leaves {self.solver} no penalty to go by; take one above 0, "
                f"or {spelled('solver', 'fedavg')}"
            )
        if self.join_round is not None and self.join_round > self.epochs:
            raise InputError(
                f"{spelled('join_round', self.join_round)} comes after the last of "
                f"{self.epochs} rounds; late joiners would never take part"
            )
        if self.delta != type(self).delta and not self.noise_multiplier:
            raise InputError(
                f"{spelled('delta', self.delta)} is of differential privacy, which needs "
                f"{spelled('noise_multiplier')}"
            )
        if (self.late_joiners > 0) != (self.join_round is not None):
            raise InputError(
                f"{spelled('late_joiners')} and {spelled('join_round')} belong together: say how "
                "many clients join late, and in which round"
            )
        if self.noise_multiplier and self.clip_update is None:
            raise InputError(
                f"{spelled('noise_multiplier', self.noise_multiplier)} hides changes up to a "
                f"length: say which, such as {spelled('clip_update', 1)}"
            )
        if self.private_answers and not self.summed:
            raise InputError(
                f"{self.private_answers} needs codes that add up, got "
                f"{spelled('codec', self.codec)}; take one of {', '.join(COMMON_CODEC_NAMES)}"
            )
        if self.summed and self.client_weights != "equal":
            raise InputError(
                f"{spelled('client_weights', 'rows')} is not for {spelled('codec', self.up)}, "
                f"whose codes add up with equal weights; take {spelled('client_weights', 'equal')}"
            )
        if self.attention != "own" and self.private_answers:
            raise InputError(
                f"{spelled('attention', self.attention)} shows the server what each client's "
                f"windows look like, which {self.private_answers} is there to prevent; take "
                f"{spelled('attention', 'own')}"
            )
        if self.secure_aggregation and self.per_client:
            raise InputError(
                f"{spelled('per_client')} tells of single clients, which "
                f"{spelled('secure_aggregation')} is there to prevent; leave out one of them"
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
    def private_answers(self) -> str:
        """The option that needs sums of answers, as a person writes it; "" if there is none."""
        given = ("secure_aggregation", "noise_multiplier", "clip_update")
        return next((spelled(name) for name in given if getattr(self, name)), "")

    @property
    def up(self) -> str:
        """The codec of answers."""
        if self.codec is None and self.private_answers:
            return "common8" if self.clip_update is None else "common16"
        return codec_of(self)

    @property
    def down(self) -> str:
        """The codec of the server's parameters."""
        if self.summed:
            return self.codec_down or _DOWN.get(self.up, self.dtype)
        return self.codec_down or self.up

    @property
    def summed(self) -> bool:
        """Whether the root gets sums of answers."""
        return self.up in COMMON_CODEC_NAMES

    @property
    def callbacks(self) -> Sequence[Any]:
        """Early stopping, if there is any."""
        return () if self.patience is None else (patience(self.patience, self.select),)

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

        return FederatedTraining(replace(share, options=self), transport)

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
        followed = {"codec": self.up, "codec_down": self.down}
        return {**super().as_json(), **followed, "local_steps": self.steps}
