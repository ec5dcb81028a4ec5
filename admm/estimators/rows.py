"""What the estimators of gsADMM and gsAM share: scales, training, blocks of rows, saved models."""

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from admm.checks import NOT_NEGATIVE
from admm.console import Text
from admm.datasets import Samples, Split
from admm.datasets.scaling import scale_of
from admm.errors import InputError
from admm.estimators.base import (
    load_estimator,
    save_estimator,
    seed_of,
    set_fitted,
    train_estimator,
)
from admm.estimators.split import validation_rows
from admm.methods.subnetworks.inference import saved_module
from admm.methods.subnetworks.network import named_arrays
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.run.callbacks import Callbacks
from layers import Chain

# Rows that are predicted at a time: always as many, so that a row's outputs depend on it alone.
_BLOCK = 256
# Fitted attributes that a saved model has, beside its network.
_FITTED = (
    *("seed_", "n_iter_", "n_features_in_", "feature_names_in_", "output_shape_"),
    *("mean_", "scale_", "classes_", "target_mean_", "target_scale_"),
)


class SubnetworkEstimator(BaseEstimator, ABC):
    """What classifier and regressor share; they know their targets, and document the parameters."""

    def __init__(
        self,
        *,
        network: Any = None,
        layers: int = 3,
        hidden: int = 64,
        solver: str = "gsadmm",
        subnetworks: int = 2,
        epochs: int = 30,
        batch: int | None = None,
        lr: float = 3e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.1,
        pick: str = "loss",
        patience: int | None = None,
        workers: int = 1,
        dtype: str = "float32",
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.layers = layers
        self.hidden = hidden
        self.solver = solver
        self.subnetworks = subnetworks
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.pick = pick
        self.patience = patience
        self.workers = workers
        self.dtype = dtype
        self.random_state = random_state

    @property
    @abstractmethod
    def _outputs(self) -> int:
        """Numbers that the network returns; known once the targets are."""

    def _fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        kinds: np.ndarray,
        loss: str,
        callback: Callbacks | None,
        progress: Text | None,
    ) -> Self:
        """Train; `kinds` are classes of rows that all have to be trained on."""
        self.mean_, self.scale_ = X.mean(axis=0), scale_of(X)
        self.seed_ = seed_of(self.random_state)
        rows = np.arange(len(X))
        train_rows, held_out = validation_rows(kinds, rows, self.validation_fraction, self.seed_)
        samples = Samples("samples", self._scaled(X), y, Split(train_rows, held_out, held_out[:0]))
        NOT_NEGATIVE("weight_decay", self.weight_decay)
        names = ("solver", "subnetworks", "epochs", "lr", "pick", "workers", "dtype")
        sizes = ("layers", "hidden") if self.network is None else ()
        given = SubnetworkOptions(
            **{name: getattr(self, name) for name in (*names, *sizes)},
            network="mlp" if self.network is None else self._own_network(self.network),
            loss=loss,
            batch=min(max(len(train_rows) // 30, 8), 60) if self.batch is None else self.batch,
            seed=self.seed_,
        )
        batch = min(given.batch, len(train_rows))
        steps = given.epochs * -(-len(train_rows) // batch)
        schedule = optax.cosine_decay_schedule(given.lr, steps)
        optimizer = optax.adamw(schedule, weight_decay=self.weight_decay)
        given = replace(given, optimizer=optimizer, lr=None, batch=batch)
        result = train_estimator(self, given, samples, callback, progress)
        self.network_ = eqx.nn.inference_mode(result.module())
        return self

    def _own_network(self, given: Any) -> Any:
        """A network, or what a function makes for these columns and outputs."""
        if isinstance(given, eqx.Module) or not callable(given):
            return given
        made = given(self.n_features_in_, self._outputs, jax.random.key(self.seed_))
        if made is None:
            raise InputError("network= is a function that returned None; expected a network")
        return made

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return standardised("X", X, self.mean_, self.scale_).astype(self.dtype)

    def _predicted(self, X: Any) -> np.ndarray:
        """Outputs of the network."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        rows = np.pad(self._scaled(X), ((0, -len(X) % _BLOCK), (0, 0)))
        blocks = np.split(rows, len(rows) // _BLOCK)
        outputs = [np.asarray(_apply(self.network_, jnp.asarray(block))) for block in blocks]
        return np.concatenate(outputs)[: len(X)]

    # On disk.

    def save(self, path: str | Path) -> None:
        """Save the fitted model into a folder, without the data it was fitted on.

        A `network` of one's own is not in it, but for its parameters: `load` takes it along.

        Raises:
            InputError: If the folder holds something else.
            OutputError: If the system refuses to write.
        """
        check_is_fitted(self)
        layers = {
            number: {name: np.asarray(array) for name, array in named_arrays(module).items()}
            for number, module in enumerate(self.network_.modules, 1)
        }
        save_estimator(path, self, layers, _FITTED)

    @classmethod
    def load(cls, path: str | Path, network: Any = None) -> Self:
        """A model that `save` has written; of other runs `admm.load_module` has the network.

        Args:
            path: Of the folder.
            network: What the model had for `network`, if that was not None.

        Raises:
            InputError: If there is none, it is damaged or of another class, or the network is
                another.
        """
        saved, options = load_estimator(path, SubnetworkOptions, cls.__name__)
        about = saved.manifest.get("estimator")
        if about is None:
            raise InputError(
                f"{path} holds a run, and no {cls.__name__}; admm.load_module has its network"
            )
        if about["class"] != cls.__name__:
            raise InputError(f"{path} holds a {about['class']}; expected a {cls.__name__}")
        if (options.network is None) != (network is not None):
            raise InputError(
                f"{path} was trained with a network of one's own; pass it along, as network"
                if network is None
                else f"{path} was trained without a network of one's own; leave it out"
            )
        self = cls(**about["params"], network=network)
        set_fitted(self, saved)
        self.options_ = options
        own = None if network is None else self._own_network(network)
        self.network_ = eqx.nn.inference_mode(saved_module(saved, options, own))
        return self


def standardised(name: str, columns: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Columns in the scale of training.

    Raises:
        InputError: If they are out of its range.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = (columns - mean) / scale
    if not (np.isfinite(scale).all() and (np.abs(found) < np.finfo(np.float32).max).all()):
        raise InputError(f"{name} has values that are too large to be standardised; scale it down")
    return found


@eqx.filter_jit
def _apply(module: Chain, rows: Array) -> Array:
    return jax.vmap(module)(rows)
