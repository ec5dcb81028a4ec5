"""Options of stochastic ADMM. Needs no JAX."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from admm.checks import COUNT, LAYERS, Check
from admm.errors import InputError, spelled
from admm.methods.layerwise.options import HopOptions
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.run.options import checkpoint_option, codec_of, codec_option, option
from admm.solvers.settings import RULES, LossName
from quant import CODEC_NAMES, REMEMBERING_CODEC_NAMES

# Codecs without a memory: a sample's next message comes a pass later.
_CODECS = [name for name in CODEC_NAMES if name not in (*REMEMBERING_CODEC_NAMES, "levels")]

# Micro-batches of a W-step where the round trip is shorter.
_LEAST_GROUP = 18

# η, the depth up to which it needs no lowering, and λ.
_RATE, _FULL_RATE_DEPTH, _DAMPING = 0.3, 15, 1.0

# Of a CNN.
_CNN_RATE, _CNN_DAMPING, _CNN_LAYERS = 1.0, 0.3, 5

_SIZES = Check("whole numbers, at least 1 each", lambda value: bool(value) and min(value) >= 1)


@dataclass(frozen=True, kw_only=True)
class StochasticOptions(HopOptions):
    """A network trained with stochastic ADMM, layer by layer.

    An MLP learns images, rows, or the hops of a graph; `layers.cnn` learns images.

    The history has the objective, the mean loss as the micro-batches of the epoch saw it; η after
    the epoch; the rows of a micro-batch; and the fraction of W-steps that κ bound. Of real numbers
    the objective is that of standardised targets, and losses are in their own units.

    A run that goes on with more `epochs` has the rates and sizes of as many: η rises again.

    Example:
        >>> StochasticOptions(layers=30).first_rate, StochasticOptions(layers=3).parts
        (0.15, 3)
    """

    bounded: ClassVar[str | None] = "objective"

    solver: Literal["sadmm"] = option("sadmm", "the method [pdadmm-g]")
    network: Literal["mlp", "cnn"] = option("mlp", "mlp; of images also cnn", "network")
    layers: int = option(
        10, "layers, the output layer included", "network", LAYERS, only={"network": ("mlp",)}
    )
    hidden: int = option(100, "width of dense layers, but the last", "network", COUNT)
    filters: int = option(
        32, "channels of convolutions", "network", COUNT, only={"network": ("cnn",)}
    )
    loss: LossName = option("cross_entropy", "cross_entropy, or squared_error of real numbers")
    subnetworks: int | None = option(
        None,
        "parts of the network that work on a micro-batch each; fewer have less delay [--layers]",
        "network",
        COUNT,
    )
    epochs: int = option(
        20, "passes over the rows; where these are few, several passes each", check=COUNT
    )
    batch: tuple[int, ...] | None = option(
        None,
        "rows of a micro-batch, each size for an equal part of the epochs [10,25,50,100, but fewer "
        "where an epoch would have less than 16 W-steps, down to 5]",
        check=_SIZES,
        metavar="10,50",
    )
    accumulate: int | None = option(
        None, "micro-batches of a W-step, at least [2(--subnetworks − 1), and 18]", check=COUNT
    )
    rate: float | None = option(
        None,
        "η at the start, which falls to 0 [0.3; times 15/--layers beyond 15; cnn: 1]",
        check=RULES["rate"],
    )
    decay: float = option(
        50.0, "pull c towards the start, of ω = c/rows of an epoch", check=RULES["decay"]
    )
    damping: float | None = option(None, "λ of the W-step [1; cnn: 0.3]", check=RULES["damping"])
    reach: float = option(
        0.3, "longest W-step κ, in lengths of a pre-activation", check=RULES["reach"]
    )
    factor_every: int = option(
        4, "W-steps from one inverse to the next", check=RULES["factor_every"]
    )
    dropout: float | None = option(
        None,
        "fraction of its inputs that a row loses in training [0.5 where there are more inputs than "
        "training rows, else 0]",
        check=RULES["dropout"],
    )
    codec: str | None = codec_option(_CODECS)
    codec_down: str | None = codec_option(_CODECS, "how multipliers travel", "--codec")
    checkpoint_every: int = checkpoint_option(5)

    def __post_init__(self) -> None:
        if isinstance(self.batch, int):
            object.__setattr__(self, "batch", (self.batch,))
        super().__post_init__()
        if self.parts > self.depth:
            raise InputError(
                f"got {spelled('subnetworks', self.subnetworks)} for {self.depth} layers; every "
                "subnetwork needs at least one"
            )

    @property
    def depth(self) -> int:
        """Layers of the network."""
        return self.layers if self.network == "mlp" else _CNN_LAYERS

    @property
    def parts(self) -> int:
        """Subnetworks."""
        return self.depth if self.subnetworks is None else self.subnetworks

    @property
    def least_group(self) -> int:
        """Micro-batches of a W-step: by default the round trip of the pipeline, and at least 18."""
        return self.accumulate or max(_LEAST_GROUP, 2 * (self.parts - 1))

    @property
    def first_rate(self) -> float:
        """η at the start."""
        if self.rate is not None:
            return self.rate
        if self.network == "cnn":
            return _CNN_RATE
        return _RATE * min(1.0, _FULL_RATE_DEPTH / self.layers)

    @property
    def settled_damping(self) -> float:
        """λ."""
        if self.damping is not None:
            return self.damping
        return _CNN_DAMPING if self.network == "cnn" else _DAMPING

    @property
    def select(self) -> str:
        return "val_r2" if self.loss == "squared_error" else "val_accuracy"

    @property
    def stages(self) -> Sequence[str]:
        return ["the network"]

    @property
    def remedy(self) -> str:
        return f"a {spelled('rate')} below {self.first_rate:g}"

    @property
    def modules(self) -> SubnetworkOptions:
        """Options of the same network of modules, as `layers` makes it."""
        of_network = ("network", "hidden", "filters", "loss", "dtype", "seed")
        names = (*of_network, "rows", "dataset", "data_dir", "split_seed")
        return SubnetworkOptions(**{name: getattr(self, name) for name in names})

    def load(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.stochastic.share import load_share

        return load_share(self, transport, data)

    def look(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.stochastic.share import load_share

        return load_share(self, transport, data, shapes_only=True)

    def read(self) -> Any:
        from admm.methods.stochastic.share import read_data

        return read_data(self)

    def costs(self, share: Any) -> Any:
        from admm.methods.stochastic.costs import Costs

        return [Costs(share).stage()]

    def peak_memory(self, share: Any) -> Sequence[int]:
        from admm.methods.stochastic.costs import Costs

        return Costs(share).peak_memory()

    def begin(self, share: Any, transport: Any, stage: int, kept: Any) -> Any:
        from admm.methods.stochastic.training import StochasticTraining

        return StochasticTraining(self, share, transport)

    def safer(self, training: Any) -> tuple["StochasticOptions", str]:
        """A third of the rate."""
        rate = self.first_rate / 3
        return replace(self, rate=rate), spelled("rate", f"{rate:g}")

    def outputs(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        from admm.methods.stochastic.inference import pass_saved

        return pass_saved(self, saved, transport, data, every)

    def losses(self, facts: Any, outputs: Any) -> dict[str, float]:
        from admm.methods.subnetworks.losses import mean_losses

        return {} if self.select == "val_accuracy" else mean_losses(self.loss, facts, outputs)

    def as_json(self) -> dict[str, Any]:
        codec = codec_of(self)
        followed = {
            "subnetworks": self.parts,
            "accumulate": self.least_group,
            "rate": self.first_rate,
            "damping": self.settled_damping,
            "codec": codec,
        }
        return {**super().as_json(), **followed, "codec_down": self.codec_down or codec}
