"""Options of gsADMM and gsAM. Needs no JAX."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from admm.checks import COUNT, LAYERS
from admm.errors import InputError, spelled
from admm.methods.objects import ObjectOptions
from admm.run.options import checkpoint_option, codec_of, codec_option, option
from admm.solvers.settings import (
    LEARNING_RATES,
    RULES,
    LossName,
    Optimizer,
    Splitting,
    check_alpha,
)
from quant import CODEC_NAMES

Architecture = Literal["mlp", "cnn", "resnet"]


@dataclass(frozen=True, kw_only=True)
class SubnetworkOptions(ObjectOptions):
    """A network cut into subnetworks; both methods are plain training with one subnetwork.

    The history has the objective Σ R + Σ α/2‖q − f‖² (+ Σ ρ/2‖p − q‖²), as the visits of the epoch
    saw it; the output residual (Σ‖q − f‖²)^½; α, the mean over samples and cuts; and for gsADMM the
    primal residual (Σ‖p − q‖²)^½ and ρ.

    `summary.json` has `cuts`: for each cut the number of modules below it, and ‖q − f‖/‖f‖,
    ‖p − q‖/‖q‖ and the mean α of the last epoch (without an `alpha` the first is what `reach`
    makes it); `module_seconds`, the times of modules that the network was cut by, or None where
    operations tell them; and `state_bytes`, see `SubnetworkWorker.nbytes`.

    Network, optimiser and loss may be objects: a `layers.Network`, an equinox `MLP` or `Sequential`
    or a list of modules; an `optax.GradientTransformation`, of which every subnetwork has one of
    its own; and a function of outputs and targets, (batch, …) both, that returns (batch,). No file
    holds them: `resumed`, `evaluate` and `predict` take them along.

    Example:
        >>> SubnetworkOptions(solver="gsam", optimizer="gd").learning_rate
        0.1
    """

    bounded: ClassVar[str | None] = "objective"
    objects: ClassVar[Mapping[str, tuple[tuple[str, ...], str]]] = {
        "network": (get_args(Architecture), "a network"),
        "loss": (get_args(LossName), "a loss"),
        **ObjectOptions.objects,
    }
    rates: ClassVar[Mapping[Optimizer, float]] = LEARNING_RATES
    slower: ClassVar[float] = 10

    solver: Splitting = option("gsadmm", "the method [pdadmm-g]")
    network: Architecture | Any = option(
        "mlp", "mlp, cnn, resnet; in Python also your own [mlp]", "network", metavar="NAME"
    )
    loss: LossName | Any = option(
        "cross_entropy",
        "cross_entropy; in Python also squared_error and your own [cross_entropy]",
        metavar="NAME",
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
        None, "modules below each cut [balanced]", "network", metavar="3,6"
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
    pick: Literal["score", "loss"] = option(
        "score", "validation value that picks the best network; one's own loss has no score"
    )
    optimizer: Optimizer | Any = option(
        "adam",
        "of every subnetwork: gd, adadelta, adagrad, adam; in Python also any of optax [adam]",
        metavar="NAME",
    )
    lr: float | None = option(
        None, "its learning rate [gd: 0.1, others: 0.001]", check=RULES["learning_rate"]
    )
    inner: int = option(1, "repetitions of all updates in a visit", check=RULES["inner"])
    refresh: bool = option(True, "a fresh start of p, q and u of a sample at each of its visits")
    frozen_lower: bool = option(False, "train the last subnetwork only: a control")
    codec: str | None = codec_option([name for name in CODEC_NAMES if name != "levels"])
    checkpoint_every: int = checkpoint_option(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.loss, str | None) and not callable(self.loss):
            raise InputError(
                f"{spelled('loss')} must be one of {', '.join(get_args(LossName))} or a function "
                f"of outputs and targets, got {self.loss!r}"
            )
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
    def has_objects(self) -> bool:
        """Whether network, optimiser or loss is one's own."""
        return not all(isinstance(getattr(self, name), str) for name in self.objects)

    @property
    def select(self) -> str:
        if self.pick == "loss" or not isinstance(self.loss, str):
            return "val_loss"
        return "val_accuracy" if self.loss == "cross_entropy" else "val_r2"

    @property
    def stages(self) -> Sequence[str]:
        return ["the network"]

    @property
    def remedy(self) -> str:
        less = super().remedy
        return f"{less}, or a loss of a smaller scale" if self.learning_rate is None else less

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

    def outputs(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        from admm.methods.subnetworks.inference import read_saved

        facts, forward = read_saved(self, saved, transport, data, every)
        return facts, forward()

    def passing(self, saved: Any, transport: Any, data: Any) -> Callable[[], Any]:
        from admm.methods.subnetworks.inference import read_saved

        facts, forward = read_saved(self, saved, transport, data, every=True)
        return lambda: facts.predicted(forward())

    def losses(self, facts: Any, outputs: Any) -> dict[str, float]:
        from admm.methods.subnetworks.losses import mean_losses

        self.check_given("loss")
        return {} if self.select == "val_accuracy" else mean_losses(self.loss, facts, outputs)

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "codec": codec_of(self)}
