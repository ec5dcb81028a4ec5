"""Options of gsADMM and gsAM. Needs no JAX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from admm.checks import COUNT, LAYERS
from admm.errors import InputError, spelled
from admm.methods.classifier import ClassifierOptions
from admm.run.options import checkpoint_option, codec_of, codec_option, option
from admm.solvers.settings import LEARNING_RATES, RULES, Optimizer, Splitting, check_alpha
from quant import CODEC_NAMES

Architecture = Literal["mlp", "cnn", "resnet"]

# What stands for a network of one's own in JSON; read from there it is None, and has to be passed.
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class SubnetworkOptions(ClassifierOptions):
    """A network cut into subnetworks; both methods are plain training with one subnetwork.

    The history has the objective Σ R + Σ α/2‖q − f‖² (+ Σ ρ/2‖p − q‖²), as the visits of the epoch
    saw it; the output residual (Σ‖q − f‖²)^½; α, the mean over samples and cuts; and for gsADMM the
    primal residual (Σ‖p − q‖²)^½ and ρ.

    `summary.json` has `cuts`: for each cut the number of modules below it, and ‖q − f‖/‖f‖,
    ‖p − q‖/‖q‖ and the mean α of the last epoch (without an `alpha` the first is what `reach`
    makes it); and `state_bytes`, see `SubnetworkWorker.nbytes`.

    Example:
        >>> SubnetworkOptions(solver="gsam", optimizer="gd").lr
        0.1
    """

    bounded: ClassVar[str | None] = "objective"

    solver: Splitting = option("gsadmm", "the method [pdadmm-g]")
    network: Architecture | Any = option(
        "mlp", "mlp, cnn, resnet; in Python also a Network [mlp]", "network", metavar="NAME"
    )
    layers: int = option(
        10, "layers, the output layer included", "network", LAYERS, only={"network": ("mlp",)}
    )
    hidden: int = option(
        512, "width of dense layers", "network", COUNT, only={"network": get_args(Architecture)}
    )
    blocks: int = option(24, "residual blocks", "network", LAYERS, only={"network": ("resnet",)})
    filters: int = option(
        32, "channels of convolutions", "network", COUNT, only={"network": ("cnn", "resnet")}
    )
    subnetworks: int = option(2, "parts to cut the network into", "network", COUNT)
    cuts: tuple[int, ...] | None = option(
        None, "modules below each cut [balanced by cost]", "network", metavar="3,6"
    )
    batch: int = option(120, "samples of a mini-batch, at most", check=COUNT)
    epochs: int = option(10, "passes over the samples", check=COUNT)
    alpha: float | None = option(
        None, "penalty α of q = f(p) [follows from --reach]", check=RULES["alpha"]
    )
    rho: float | None = option(
        None, "penalty ρ of p = q [--alpha]", check=RULES["rho"], only={"solver": ("gsadmm",)}
    )
    reach: float = option(0.5, "distance κ from f to q, in lengths of f", check=RULES["reach"])
    relaxation: float = option(
        1.0, "step θ of p, a fraction of the longest", check=RULES["relaxation"]
    )
    optimizer: Optimizer = option("adam", "of every subnetwork")
    lr: float | None = option(
        None, "its learning rate [gd: 0.1, others: 0.001]", check=RULES["learning_rate"]
    )
    inner: int = option(1, "repetitions of all updates in a visit", check=RULES["inner"])
    refresh: bool = option(
        True, "start p, q and u of a sample where they were an epoch before, not anew"
    )
    frozen_lower: bool = option(False, "train the last subnetwork only: a control")
    codec: str | None = codec_option([name for name in CODEC_NAMES if name != "levels"])
    checkpoint_every: int = checkpoint_option(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.network, str) and self.network not in get_args(Architecture):
            raise InputError(
                f"{spelled('network')} must be one of {', '.join(get_args(Architecture))}, "
                f"got {self.network!r}"
            )
        if self.lr is None:
            object.__setattr__(self, "lr", LEARNING_RATES[self.optimizer])
        check_alpha(self.alpha, self.rho, self.inner, self.refresh)
        if self.alpha is not None and self.reach != type(self).reach:
            raise InputError(
                f"{spelled('reach')} is not for a given {spelled('alpha')}, which it would set"
            )
        if self.cuts is not None and len(self.cuts) != self.subnetworks - 1:
            raise InputError(
                f"{spelled('cuts')} needs {self.subnetworks - 1} numbers for "
                f"{spelled('subnetworks', self.subnetworks)}, got {len(self.cuts)}"
            )

    @property
    def stages(self) -> Sequence[str]:
        return ["the network"]

    @property
    def remedy(self) -> str:
        return f"a {spelled('lr')} below {self.lr:g}"

    def load(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.subnetworks.share import load_share

        return load_share(self, transport, data)

    def look(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.subnetworks.share import load_share

        return load_share(self, transport, data, shapes_only=True)

    def read(self) -> Any:
        from admm.methods.subnetworks.data import read_rows

        return read_rows(self)

    def costs(self, share: Any) -> Any:
        from admm.methods.subnetworks.costs import Costs

        return [Costs(share).stage()]

    def peak_memory(self, share: Any) -> Sequence[int]:
        from admm.methods.subnetworks.costs import Costs

        return Costs(share).peak_memory()

    def begin(self, share: Any, transport: Any, stage: int, kept: Any) -> Any:
        from admm.methods.subnetworks.training import SubnetworkTraining

        return SubnetworkTraining(self, share, transport)

    def safer(self, training: Any) -> tuple["SubnetworkOptions", str]:
        """A tenth of the learning rate."""
        assert self.lr is not None  # `__post_init__` has seen to that
        lr = self.lr / 10
        return replace(self, lr=lr), spelled("lr", f"{lr:g}")

    def logits(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        from admm.methods.subnetworks.inference import pass_saved

        return pass_saved(self, saved, transport, data, every)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        network = None if values["network"] == OWN else values["network"]
        return super().from_json({**values, "network": network})

    def as_json(self) -> dict[str, Any]:
        network = self.network if isinstance(self.network, str) else OWN
        return {**super().as_json(), "network": network, "codec": codec_of(self)}
