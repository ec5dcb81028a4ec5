"""Options of pdADMM-G, pdADMM-G-Q, and backpropagation of the same networks. Needs no JAX."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from admm.checks import COUNT, LAYERS
from admm.errors import InputError, spelled
from admm.methods.supervised import GraphOptions
from admm.run.options import codec_of, codec_option, option
from admm.solvers.settings import LEARNING_RATES, RULES, Optimizer, StepRule, default_stages
from layers.names import Normalization
from quant import Levels

# No training that diverges with higher ones does so for want of a penalty.
_HIGHEST_PENALTY = 1e3

# Depth of a first stage that random weights are good enough for.
_FORWARD_DEPTH = 3


@dataclass(frozen=True, kw_only=True)
class HopOptions(GraphOptions):
    """An MLP on hops: of a graph, or of rows, which have no edges."""

    layers: int = option(10, "layers, the output layer included", "network", LAYERS)
    hidden: int = option(100, "width of the hidden layers", "network", COUNT)
    hops: int = option(4, "number of hop operators", "network", COUNT)
    normalize: Normalization = option("hops", "scaling of the input rows", "network")


@dataclass(frozen=True, kw_only=True)
class GAMLPOptions(HopOptions):
    """What to train: a GA-MLP on a graph, or on rows."""

    grows: ClassVar[bool] = False  # unless told otherwise

    grow: tuple[int, ...] | Literal["none"] | None = option(
        None,
        "depths of the stages, or none [--layers halved down to 2; backpropagation: none]",
        "network",
        metavar="2,5,10",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if sorted(set(self.depths)) != list(self.depths) or self.layers not in self.depths[-1:]:
            raise InputError(
                f"{spelled('grow')} must rise and end with {spelled('layers', self.layers)}, "
                f"got {','.join(map(str, self.depths))}"
            )
        if self.depths[0] < min(2, self.layers):
            raise InputError(
                f"{spelled('grow')} starts with a hidden and an output layer, 2, or more; "
                f"got {self.depths[0]}"
            )

    @property
    def depths(self) -> tuple[int, ...]:
        """Layers of the stages."""
        if self.grow is None and self.grows:
            return default_stages(self.layers)
        return self.grow if isinstance(self.grow, tuple) else (self.layers,)

    @property
    def stages(self) -> Sequence[str]:
        return [f"{depth} layers" for depth in self.depths]

    def load(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.layerwise.data import load_share

        return load_share(self, transport, data)

    def look(self, transport: Any, data: Any = None) -> Any:
        from admm.methods.layerwise.data import load_share

        return load_share(self, transport, data, shapes_only=True)

    def read(self) -> Any:
        from admm.methods.labelled import read_graph

        return read_graph(self)

    def costs(self, share: Any) -> Any:
        from admm.methods.layerwise.costs import layer_stages

        return [stage.costs() for stage in layer_stages(share)]

    def peak_memory(self, share: Any) -> Sequence[int]:
        from admm.methods.layerwise.costs import peak_memory

        return peak_memory(share)

    def outputs(self, saved: Any, transport: Any, data: Any, every: bool) -> tuple[Any, Any]:
        from admm.methods.layerwise.inference import pass_saved

        return pass_saved(self, saved, transport, data, every)

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "grow": list(self.depths)}


@dataclass(frozen=True, kw_only=True)
class PDADMMGOptions(GAMLPOptions):
    """A GA-MLP trained with pdADMM-G, or pdADMM-G-Q where levels are given.

    The history has the augmented Lagrangian, the primal residual (Σ ‖p_{l+1} − q_l‖²)^½, the dual
    residual (Σ ‖ρ Δq_l‖²)^½, and the penalties ρ and ν.

    Example:
        >>> PDADMMGOptions(layers=4).depths
        (2, 4)
    """

    bounded: ClassVar[str | None] = "lagrangian"
    grows: ClassVar[bool] = True

    solver: Literal["pdadmm-g"] = option("pdadmm-g", "the method [pdadmm-g]")
    epochs: int = option(100, "epochs of a stage", check=COUNT)
    rho: float = option(3e-3, "penalty of the coupling p = q", check=RULES["rho"])
    nu: float = option(3e-3, "penalty of the layer equations", check=RULES["nu"])
    weight_decay: float = option(
        2e-2, "penalty μ of the squared weights", check=RULES["weight_decay"]
    )
    step: StepRule = option("exact", "step sizes; newton: exact, and W to its minimiser")
    start: Literal["codes", "forward"] | None = option(
        None,
        "of the first stage: class codes, or the forward pass of random weights [codes with levels "
        "or more than 3 layers, else forward]",
    )
    levels: Levels | None = option(None, "constrain p to these levels (pdADMM-G-Q) [none]")
    levels_q: Levels | None = option(None, "constrain q too [none]")
    codec: str | None = codec_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.codec == "levels" and self._levels is None:
            raise InputError(
                f"{spelled('codec', 'levels')} needs {spelled('levels')} (for p) or "
                f"{spelled('levels_q')} (for q)"
            )

    @property
    def coded(self) -> bool:
        """Whether the first stage starts from class codes, see `admm.solvers.class_codes`."""
        if self.start is None:
            return self._levels is not None or self.depths[0] > _FORWARD_DEPTH
        return self.start == "codes"

    @property
    def code_size(self) -> float:
        """The activation of a unit whose code is 1, where that of the others is 0.

        Far enough from 0 that rounding to levels does not blur it: three steps, if Δ has them.
        """
        return 1.0 if self._levels is None else self._levels.nearest(3 * self._levels.step)

    @property
    def _levels(self) -> Levels | None:
        return self.levels or self.levels_q

    @property
    def remedy(self) -> str:
        return (
            f"other {spelled('rho')} and {spelled('nu')} (the defaults suit inputs of unit length, "
            f"{spelled('normalize', 'hops')}), or {spelled('dtype', 'float64')}"
        )

    def begin(self, share: Any, transport: Any, stage: int, kept: Any) -> Any:
        from admm.methods.layerwise.pdadmm_g import PDADMMGTraining

        return PDADMMGTraining(self, share, transport, stage, kept)

    def safer(self, training: Any) -> tuple["PDADMMGOptions", str] | None:
        """Penalties within the bound of Theorem 1, ρ > 4ν, ten times as high as they were.

        None if they were above 1,000 already.
        """
        penalties = training.penalties
        if max(penalties.rho, penalties.nu) > _HIGHEST_PENALTY:
            return None
        nu = 10 * penalties.nu
        rho = max(10 * penalties.rho, 5 * nu)
        change = f"{spelled('rho', f'{rho:g}')} {spelled('nu', f'{nu:g}')}"
        return replace(self, rho=rho, nu=nu), change

    def as_json(self) -> dict[str, Any]:
        start = "codes" if self.coded else "forward"
        return {**super().as_json(), "start": start, "codec": codec_of(self)}


@dataclass(frozen=True, kw_only=True)
class BackpropOptions(GAMLPOptions):
    """A GA-MLP trained with backpropagation, in one process or as a pipeline over the layers.

    The history has the objective, summed over the training rows.

    Example:
        >>> BackpropOptions(solver="gd").lr
        0.1
    """

    bounded: ClassVar[str | None] = "objective"

    solver: Optimizer = option("adam", "the method [pdadmm-g]")
    lr: float | None = option(
        None, "learning rate [gd: 0.1, others: 0.001]", check=RULES["learning_rate"]
    )
    weight_decay: float = option(
        0.0, "λ, in the gradient that the optimiser sees", check=RULES["weight_decay"]
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lr is None:
            object.__setattr__(self, "lr", LEARNING_RATES[self.solver])

    @property
    def remedy(self) -> str:
        return f"a {spelled('lr')} below {self.lr:g}"

    def begin(self, share: Any, transport: Any, stage: int, kept: Any) -> Any:
        from admm.methods.layerwise.backprop import BackpropTraining

        return BackpropTraining(self, share, transport, stage, kept)

    def safer(self, training: Any) -> tuple["BackpropOptions", str]:
        """A tenth of the learning rate."""
        assert self.lr is not None  # `__post_init__` has seen to that
        lr = self.lr / 10
        return replace(self, lr=lr), spelled("lr", f"{lr:g}")
