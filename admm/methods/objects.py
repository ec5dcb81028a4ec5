"""Options that may be objects of one's own, as optimisers of optax are. Needs no JAX."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, get_args

from admm.errors import InputError, spelled
from admm.methods.supervised import SupervisedOptions
from admm.solvers.settings import Optimizer

# What stands for an object of one's own in JSON; read from there it is None, and has to be passed.
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class ObjectOptions(SupervisedOptions):
    """Of methods whose optimiser may be a name, with a rate `lr`, or an object, which has its own.

    No file holds an object of one's own: whoever goes on with a run passes it along.

    Attributes:
        objects: The options that may be objects: their names, and what they are.
        rates: Of every optimiser that has a name, the learning rate where none is given.
        slower: What `safer` divides the learning rate by.
    """

    objects: ClassVar[Mapping[str, tuple[tuple[str, ...], str]]] = {
        "optimizer": (get_args(Optimizer), "an optimiser")
    }
    rates: ClassVar[Mapping[Optimizer, float]]
    slower: ClassVar[float]

    if TYPE_CHECKING:

        @property
        def optimizer(self) -> Any: ...
        @property
        def lr(self) -> float | None: ...

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (known, _) in self.objects.items():
            value = getattr(self, name)
            if isinstance(value, str) and value not in known:
                raise InputError(
                    f"{spelled(name)} must be one of {', '.join(known)}, got {value!r}"
                )
        if isinstance(self.optimizer, str | None):
            return
        if self.lr is not None:
            raise InputError(
                f"{spelled('lr')} is not for an optimiser of one's own, which has its own"
            )
        # As far as one can tell without JAX.
        if not all(callable(getattr(self.optimizer, name, None)) for name in ("init", "update")):
            raise InputError(
                f"{spelled('optimizer')} must be one of {', '.join(get_args(Optimizer))} or an "
                f"optax.GradientTransformation, such as optax.adam(1e-3), got {self.optimizer!r}"
            )

    def check_given(self, name: str) -> None:
        """Refuse to go on without an object that no file holds.

        Raises:
            InputError: If it is not there.
        """
        if getattr(self, name) is None:
            what = self.objects[name][1]
            raise InputError(f"there was {what} of one's own; pass it along, as {name}")

    @property
    def learning_rate(self) -> float | None:
        """`lr`, or what follows from the optimiser's name; None for an optimiser of one's own."""
        if self.lr is not None or not isinstance(self.optimizer, str):
            return self.lr
        return self.rates[cast(Optimizer, self.optimizer)]

    @property
    def remedy(self) -> str:
        if self.learning_rate is None:
            return "a smaller learning rate"
        return f"a {spelled('lr')} below {self.learning_rate:g}"

    def safer(self, training: Any) -> tuple["ObjectOptions", str] | None:
        """A lower learning rate, unless it is an optimiser of one's own that has it."""
        if self.learning_rate is None:
            return None
        changes: dict[str, Any] = {"lr": self.learning_rate / self.slower}
        return replace(self, **changes), spelled("lr", f"{changes['lr']:g}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        read = {name: None for name in cls.objects if values.get(name) == OWN}
        return super().from_json({**values, **read})

    def as_json(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in self.objects}
        written = {name: each if isinstance(each, str) else OWN for name, each in given.items()}
        return {**super().as_json(), **written, "lr": self.learning_rate}
