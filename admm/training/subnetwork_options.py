"""Options of a run of gsADMM or gsAM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from admm.errors import InputError
from admm.solvers.backprop import LEARNING_RATES, Optimizer
from admm.solvers.tssm import Method
from admm.training.checks import check_choice, check_counts, check_positive
from admm.training.options import Options
from admm.training.run_options import RunOptions
from quant import CODEC_NAMES, Codec, Float, make_codec

Architecture = Literal["mlp", "cnn", "resnet"]

# Sizes that belong to some architectures only.
ONLY_FOR = {"layers": ("mlp",), "blocks": ("resnet",), "filters": ("cnn", "resnet")}


@dataclass(frozen=True, kw_only=True)
class SubnetworkOptions(RunOptions):
    """A network cut into subnetworks: what to train, and how, besides what `RunOptions` say.

    `None` means: derived from the other options.

    Args:
        solver: `gsadmm` or `gsam`; both are plain mini-batch training with one subnetwork.
        network: `mlp`, `cnn` or `resnet`, see `layers.architectures`.
        layers: Layers of an mlp, the output layer included.
        hidden: Width of dense layers.
        blocks: Residual blocks of a resnet.
        filters: Channels of the convolutions of a cnn or a resnet.
        subnetworks: How many subnetworks to cut the network into.
        cuts: Number of modules below each cut; by default balanced by cost.
        batch: Samples of a mini-batch, at most.
        epochs: Passes over the training samples.
        alpha: α of q = f(p), per sample; by default it follows from the gradient, see `TSSM`.
        rho: ρ of p = q, per sample; gsADMM with an alpha only, and by default that.
        reach: κ, the distance from f of the target of a lower subnetwork, in lengths of f, from
            which α follows where it is not given.
        relaxation: θ of the step of p.
        optimizer: Of every subnetwork: gd, adadelta, adagrad or adam.
        lr: Its learning rate; by default `LEARNING_RATES`.
        inner: Repetitions of all updates in a visit of a mini-batch; more than one need an alpha.
        refresh: Whether p, q and u of a sample start each visit anew; otherwise it needs an alpha.
        frozen_lower: Train the last subnetwork only, as a control.

    Raises:
        InputError: If an option is out of range or does not fit the others.

    Example:
        >>> SubnetworkOptions(solver="gsam", optimizer="gd").learning_rate
        0.1
    """

    solver: Method = "gsadmm"
    network: Architecture = "mlp"
    layers: int = 10
    hidden: int = 512
    blocks: int = 24
    filters: int = 32
    subnetworks: int = 2
    cuts: tuple[int, ...] | None = None
    batch: int = 120
    epochs: int = 10
    alpha: float | None = None
    rho: float | None = None
    reach: float = 0.5
    relaxation: float = 1.0
    optimizer: Optimizer = "adam"
    lr: float | None = None
    inner: int = 1
    refresh: bool = True
    frozen_lower: bool = False
    checkpoint_every: int = 5

    codecs: ClassVar[Sequence[str]] = tuple(name for name in CODEC_NAMES if name != "levels")

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = ("layers", "hidden", "blocks", "filters", "subnetworks", "batch", "epochs")
        check_counts(self, (*positive, "inner"))
        check_choice("solver", self.solver, Method)
        check_choice("network", self.network, Architecture)
        check_choice("optimizer", self.optimizer, Optimizer)
        for name in ("alpha", "rho", "reach", "lr"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if not 0 < self.relaxation <= 1:
            raise InputError(f"--relaxation must be in (0, 1], got {self.relaxation}")
        unused = [name for name, networks in ONLY_FOR.items() if self.network not in networks]
        unused += ["rho"] if self.solver == "gsam" else []
        for name in unused:
            if getattr(self, name) != getattr(type(self), name):
                raise InputError(
                    f"--{name} is not for --solver {self.solver} --network {self.network}"
                )
        if self.rho is not None and self.alpha is None:
            raise InputError("--rho needs --alpha; without, both follow from the gradient")
        if self.alpha is None and (self.inner > 1 or not self.refresh):
            raise InputError(
                "--inner above 1 and --no-refresh need --alpha: that which follows from the "
                "gradient is for one step from f"
            )
        if self.alpha is not None and self.reach != type(self).reach:
            raise InputError("--reach is not for a given --alpha, which it would set")
        if self.cuts is not None and len(self.cuts) != self.subnetworks - 1:
            raise InputError(
                f"--cuts needs {self.subnetworks - 1} numbers for --subnetworks "
                f"{self.subnetworks}, got {len(self.cuts)}"
            )
        self.check_codec()

    @property
    def learning_rate(self) -> float:
        """Of the optimisers."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr

    def safer(self) -> tuple["SubnetworkOptions", str]:
        """Options with which training that has diverged may not, and what is new about them."""
        lr = self.learning_rate / 10
        return replace(self, lr=lr), f"--lr {lr:g}"

    @property
    def message_codec(self) -> Codec:
        """How messages are coded."""
        return Float(self.dtype) if self.codec is None else make_codec(self.codec)

    def as_json(self) -> dict[str, Any]:
        values = super().as_json()
        values["lr"] = self.learning_rate
        values["codec"] = self.codec or self.dtype
        values["cuts"] = None if self.cuts is None else list(self.cuts)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SubnetworkOptions":
        cuts = None if values["cuts"] is None else tuple(values["cuts"])
        return super().from_json({**values, "cuts": cuts})


def options_from_json(values: Mapping[str, Any]) -> Options | SubnetworkOptions:
    """Options of either kind, from what their `as_json` gave."""
    kind = SubnetworkOptions if "subnetworks" in values else Options
    return kind.from_json(values)
