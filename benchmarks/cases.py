"""What is timed: cases, and a rank's part of one. Needs no JAX: a rank takes its cores first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from admm.comm import Transport

CLASSES = 10

# The sizes that a network of images has.
SIZES = {
    "mlp": ("layers", "hidden"),
    "cnn": ("hidden", "filters"),
    "resnet": ("hidden", "blocks", "filters"),
}


@dataclass(frozen=True)
class Case:
    """What is timed: a method on a network and data drawn from a fixed seed, in full batches.

    Inputs are as wide as the hidden layers; there are ten classes.

    Args:
        method: One of `benchmarks.methods`.
        nodes: V.
        width: Neurons of a hidden layer.
        layers: L.
        codec: How p and q travel; backpropagation ignores it.
        train: Epochs of a train.
        trains: Timed trains, at least.
        seconds: Further trains are timed until so much time has passed.
        warmup: Trains before the timed ones, without the epoch that compiles.
    """

    method: str
    nodes: int
    width: int
    layers: int
    codec: str = "float32"
    train: int = 4
    trains: int = 5
    seconds: float = 5.0
    warmup: int = 1


@dataclass(frozen=True)
class NetworkCase:
    """What is timed: a method on a network of images, in mini-batches, drawn from a fixed seed.

    Args:
        method: One of `benchmarks.subnetworks`.
        network: mlp, cnn or resnet.
        subnetworks: Parts that it is cut into; backpropagation has 1.
        codec: How f, p and q travel; backpropagation ignores it.
        layers: Of an mlp.
        hidden: Width of dense layers.
        blocks: Residual blocks of a resnet.
        filters: Channels of the convolutions of a cnn or a resnet.
        cuts: Modules below every cut; by default the measured time of modules is balanced.
        batch: Images of a mini-batch.
        batches: Mini-batches of an epoch.
        train: Epochs of a train; the pipeline fills and drains in each.
        trains: Timed trains, at least.
        seconds: Further trains are timed until so much time has passed.
        warmup: Trains before the timed ones, without the epoch that compiles.
    """

    method: str
    network: str
    subnetworks: int = 1
    codec: str = "float32"
    layers: int = 10
    hidden: int = 512
    blocks: int = 8
    filters: int = 32
    cuts: Sequence[int] | None = None
    batch: int = 120
    batches: int = 100
    train: int = 1
    trains: int = 5
    seconds: float = 5.0
    warmup: int = 1

    @property
    def sizes(self) -> dict[str, int]:
        """Those that the network has."""
        return {name: getattr(self, name) for name in SIZES[self.network]}


class Part(NamedTuple):
    """One rank's part of a method."""

    epoch: Callable[[], object]  # starts one epoch, after those before
    finish: Callable[[], object]  # waits until the last one is done
    products: Callable[[], None] | None  # runs the bare products of an epoch, where known
    transport: "Transport"
    reduced: float = 0.0  # bytes sent in an epoch that the transport does not count
    about: Mapping[str, Any] | None = None  # more entries of the row
