"""Options of a training run: one frozen dataclass, for the command line and for notebooks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from admm.errors import InputError
from admm.solvers.backprop import LEARNING_RATES, Optimizer
from admm.solvers.growth import default_stages
from admm.solvers.schedule import PenaltyState
from admm.solvers.updates import StepRule
from admm.training.checks import (
    check_choice,
    check_counts,
    check_positive,
    flag,
)
from admm.training.run_options import RunOptions
from layers.hops import Normalization
from quant import Codec, Float, Levels, make_codec

# No training that diverges with higher ones does so for want of a penalty.
_HIGHEST_PENALTY = 1e3

Start = Literal["codes", "forward"]
Solver = Literal["pdadmm-g", Optimizer]

# What a solver can be given, and what it takes otherwise; None where there is nothing to take.
_SETTINGS: dict[str, dict[str, Any]] = {
    "pdadmm-g": {
        "rho": 3e-3,
        "nu": 3e-3,
        "weight_decay": 2e-2,
        "step": "exact",
        "start": None,
        "levels": None,
        "levels_q": None,
        "codec": None,
    },
    **{name: {"lr": rate, "weight_decay": 0.0} for name, rate in LEARNING_RATES.items()},
}
# Depth of a first stage that random weights are good enough for.
_FORWARD_DEPTH = 3
_SETTING_NAMES = sorted({name for settings in _SETTINGS.values() for name in settings})


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """A GA-MLP: what to train, and how, besides what `RunOptions` say.

    `None` means: derived from the other options.

    The options of a solver that were given, and its defaults for the rest, are its `settings`.

    Args:
        layers: Layers of the network, the output layer included.
        hidden: Width of the hidden layers.
        hops: Number of hop operators K.
        normalize: Scaling of the input rows, see `layers.hop_inputs`.
        grow: Depths of the stages; the last is `layers`. By default halved down to two for
            pdADMM-G, one stage for backpropagation.
        solver: `pdadmm-g`, or backpropagation with `gd`, `adadelta`, `adagrad` or `adam`.
        epochs: Iterations per stage.
        rho: Penalty ρ of the coupling p = q; pdADMM-G only, as `nu`, `step`, `start`,
            `levels`, `levels_q` and, of all runs' options, `codec`.
        nu: Penalty ν of the relaxed layer equations.
        weight_decay: μ of pdADMM-G, λ of backpropagation.
        lr: Learning rate; backpropagation only.
        step: Step-size rule.
        start: How the first stage starts: `forward`, with the forward pass of random weights, or
            `codes`, see `admm.solvers.class_codes`. By default `codes` where random weights do
            not get far: with levels, or with more than three layers.
        levels: Set of levels for p (pdADMM-G-Q).
        levels_q: Set of levels for q too.

    Raises:
        InputError: If an option is out of range or does not fit the others.

    Example:
        >>> Options(layers=4).stages
        (2, 4)
    """

    layers: int = 10
    hidden: int = 100
    hops: int = 4
    normalize: Normalization = "hops"
    grow: tuple[int, ...] | None = None
    solver: Solver = "pdadmm-g"
    epochs: int = 200
    rho: float | None = None
    nu: float | None = None
    weight_decay: float | None = None
    lr: float | None = None
    step: StepRule | None = None
    start: Start | None = None
    levels: Levels | None = None
    levels_q: Levels | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, ("layers", "hidden", "hops", "epochs"))
        check_choice("solver", self.solver, Solver)
        check_choice("normalize", self.normalize, Normalization)
        if self.step is not None:
            check_choice("step", self.step, StepRule)
        if self.start is not None:
            check_choice("start", self.start, Start)
        settings = self.settings
        for name in _SETTING_NAMES:
            if getattr(self, name) is not None and name not in settings:
                raise InputError(
                    f"--{flag(name)} is not for --solver {self.solver}, which takes "
                    f"{', '.join('--' + flag(fitting) for fitting in settings)}"
                )
        for name in ("rho", "nu", "lr"):
            if name in settings:
                check_positive(name, settings[name])
        if not 0 <= settings["weight_decay"] < math.inf:
            raise InputError(
                f"--weight-decay must be finite and ≥ 0, got {settings['weight_decay']}"
            )
        if self.trace is not None and self.solver != "pdadmm-g":
            raise InputError(f"--trace shows workers of pdadmm-g, not of --solver {self.solver}")
        if sorted(set(self.stages)) != list(self.stages) or self.layers not in self.stages[-1:]:
            raise InputError(
                f"--grow must rise and end with --layers {self.layers}, "
                f"got {','.join(map(str, self.stages))}"
            )
        if self.stages[0] < min(2, self.layers):
            raise InputError(
                f"--grow starts with a hidden and an output layer, 2, or more; got {self.stages[0]}"
            )
        self.check_codec()
        if self.codec == "levels" and self.levels is None and self.levels_q is None:
            raise InputError("--codec levels needs --levels (for p) or --levels-q (for q)")

    @property
    def stages(self) -> tuple[int, ...]:
        """Depths of the stages."""
        if self.grow is not None:
            return self.grow
        return default_stages(self.layers) if self.solver == "pdadmm-g" else (self.layers,)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that belong to the solver, its defaults in place of those not given."""
        given = {name: getattr(self, name) for name in _SETTINGS[self.solver]}
        return _SETTINGS[self.solver] | {k: v for k, v in given.items() if v is not None}

    @property
    def coded(self) -> bool:
        """Whether the first stage starts from class codes."""
        if self.start is None and self.solver == "pdadmm-g":
            return self._levels is not None or self.stages[0] > _FORWARD_DEPTH
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

    def safer(self, penalties: PenaltyState) -> tuple["Options", str] | None:
        """Options with which training that has diverged may not, and what is new about them.

        pdADMM-G gets penalties within the bound of Theorem 1, ρ > 4ν, ten times as high as they
        were, or none if they were above 1,000 already; backpropagation a tenth of the learning
        rate.
        """
        if self.solver == "pdadmm-g":
            if max(penalties.rho, penalties.nu) > _HIGHEST_PENALTY:
                return None
            nu = 10 * penalties.nu
            rho = max(10 * penalties.rho, 5 * nu)
            return replace(self, rho=rho, nu=nu), f"--rho {rho:g} --nu {nu:g}"
        lr = self.settings["lr"] / 10
        return replace(self, lr=lr), f"--lr {lr:g}"

    def codec_for(self, levels: Levels | None) -> Codec:
        """Codec of a variable that is constrained to `levels`.

        With `--codec levels` a variable without levels travels as it is.
        """
        if self.codec is None or (self.codec == "levels" and levels is None):
            return Float(self.dtype)
        return make_codec(self.codec, levels)

    def as_json(self) -> dict[str, Any]:
        values = super().as_json() | self.settings
        values["grow"] = list(self.stages)
        if self.solver == "pdadmm-g":
            values["codec"] = self.codec or self.dtype
            values["start"] = "codes" if self.coded else "forward"
        for name in ("levels", "levels_q"):
            levels = getattr(self, name)
            values[name] = None if levels is None else str(levels)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Options":
        levels = {
            name: Levels.parse(values[name])
            for name in ("levels", "levels_q")
            if values.get(name) is not None
        }
        return super().from_json({**values, **levels, "grow": tuple(values["grow"])})
