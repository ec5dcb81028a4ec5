"""gsADMM and gsAM as scikit-learn's classifier and regressor of rows of numbers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from admm.checks import COUNT, POSITIVE
from admm.datasets import Samples, Split
from admm.errors import InputError
from admm.estimators.base import (
    load_estimator,
    save_estimator,
    seed_of,
    set_fitted,
    validation_rows,
)
from admm.estimators.labels import fitted_labels, scored_labels
from admm.methods.subnetworks.network import fill, named_arrays
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.run.run import train
from admm.run.stopping import patience as stop_after
from layers import Chain, Network, build, from_modules, mlp, split_model

NetworkMaker = Callable[[int, int, Array], Any]

# Rows that are predicted at a time: always as many, so that a row's outputs depend on it alone.
_BLOCK = 256


class _SubnetworkEstimator(BaseEstimator, ABC):
    """What classifier and regressor share; they know their targets.

    Columns of X are standardised here: a pipeline need not do it.

    Args:
        network: Makes a network: a function of the number of columns, the number of outputs and a
            random key that returns what `SubnetworkOptions.network` takes; None for an MLP.
        layers: Of the MLP, the output layer included.
        hidden: Width of its hidden layers.
        solver: gsadmm or gsam.
        subnetworks: Parts that the network is cut into.
        epochs: Passes over the samples.
        batch: Samples of a mini-batch, at most; by default a thirtieth of them, within 8…60.
        lr: Learning rate of the first step; it falls to 0 as a cosine does.
        weight_decay: Of AdamW, which every subnetwork has for an optimiser.
        validation_fraction: Of the samples; their loss picks the best epoch.
        patience: Epochs without a lower validation loss after which training ends; None never.
        workers: Workers in this process, a device each.
        dtype: Type of the arithmetic.
        random_state: Of parameters, mini-batches and validation samples.

    Attributes:
        history_: A dictionary for every epoch; `pandas.DataFrame` makes a table of it.
        summary_: What `summary.json` of a run has.
        module_: The best network, a function of one standardised sample.
        n_features_in_: Columns of X.
    """

    def __init__(
        self,
        *,
        network: NetworkMaker | None = None,
        layers: int = 3,
        hidden: int = 64,
        solver: str = "gsadmm",
        subnetworks: int = 2,
        epochs: int = 30,
        batch: int | None = None,
        lr: float = 3e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.1,
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
        self.patience = patience
        self.workers = workers
        self.dtype = dtype
        self.random_state = random_state

    @property
    @abstractmethod
    def _outputs(self) -> int:
        """Numbers that the network returns; known once the targets are."""

    def _fit(self, X: np.ndarray, y: np.ndarray, kinds: np.ndarray, loss: str) -> Self:
        """Train; `kinds` are classes of rows that all have to be trained on."""
        self.mean_, self.scale_ = X.mean(axis=0), _deviation(X)
        self.seed_ = seed_of(self.random_state)
        rows = np.arange(len(X))
        train_rows, held_out = validation_rows(kinds, rows, self.validation_fraction, self.seed_)
        samples = Samples("samples", self._scaled(X), y, Split(train_rows, held_out, held_out[:0]))
        POSITIVE("lr", self.lr)
        batch = min(max(len(train_rows) // 30, 8), 60) if self.batch is None else self.batch
        COUNT("batch", batch)
        batch = min(batch, len(train_rows))
        steps = self.epochs * -(-len(train_rows) // batch)
        schedule = optax.cosine_decay_schedule(self.lr, max(steps, 1))
        shared = ("solver", "subnetworks", "epochs", "workers", "dtype")
        given = SubnetworkOptions(
            **{name: getattr(self, name) for name in shared},
            network=self._network(),
            loss=loss,
            pick="loss",  # of few validation samples, the accuracy is soon at its highest
            optimizer=optax.adamw(schedule, weight_decay=self.weight_decay),
            batch=batch,
            seed=self.seed_,
        )
        callback = None if self.patience is None else stop_after(self.patience, given.select)
        result = train(given, data=samples, callback=callback)
        self.history_, self.summary_ = result.history, result.summary
        self.n_iter_ = len(result.history)
        self.module_ = eqx.nn.inference_mode(result.module())
        return self

    def _network(self) -> Network:
        shape = (self.n_features_in_,)
        if self.network is None:
            return mlp(shape, int(self.hidden), self._outputs, int(self.layers), self.dtype)
        model = self.network(self.n_features_in_, self._outputs, jax.random.key(self.seed_))
        return from_modules(split_model(model), shape, self.dtype)

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return _standardised("X", X, self.mean_, self.scale_).astype(self.dtype)

    def _predicted(self, X: Any) -> np.ndarray:
        """Outputs of the network."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        rows = np.pad(self._scaled(X), ((0, -len(X) % _BLOCK), (0, 0)))
        blocks = np.split(rows, len(rows) // _BLOCK)
        outputs = [np.asarray(_apply(self.module_, jnp.asarray(block))) for block in blocks]
        return np.concatenate(outputs)[: len(X)]

    # On disk.

    def save(self, path: str | Path) -> None:
        """Save the fitted network into a folder, without the data it was fitted on.

        A `network` function is not in it: `load` takes it along.

        Raises:
            InputError: If the folder holds something else.
            OutputError: If the system refuses to write.
        """
        check_is_fitted(self)
        layers = {
            number: {name: np.asarray(array) for name, array in named_arrays(module).items()}
            for number, module in enumerate(self.module_.modules, 1)
        }
        save_estimator(path, self, layers, _FITTED, network=self.network is not None)

    @classmethod
    def load(cls, path: str | Path, network: NetworkMaker | None = None) -> Self:
        """The estimator that `save` wrote.

        Args:
            path: Of the folder.
            network: The function that made its network, if there was one.

        Raises:
            InputError: If there is none, it is damaged or of another class, or the network is
                another.
        """
        saved, _ = load_estimator(path, SubnetworkOptions, cls.__name__)
        about = saved.manifest.get("estimator", {})
        if about.get("class") != cls.__name__:
            kind = about.get("class", "run, and no estimator")
            raise InputError(f"{path} holds a {kind}; expected a {cls.__name__}")
        if about["network"] != (network is not None):
            raise InputError(
                f"{path} was trained with a network of one's own; pass the function, as network"
                if network is None
                else f"{path} was trained without a network of one's own; leave it out"
            )
        self = cls(**{**about["params"], "network": network})
        set_fitted(self, saved)
        made = self._network()
        if len(made.builders) != saved.depth:
            raise InputError(
                f"{path} holds {saved.depth} modules; network makes {len(made.builders)}"
            )
        modules = [
            fill(module, dict(saved.read(number)), f"module {number} of {path}")
            for number, module in enumerate(build(made, range(saved.depth), self.seed_).modules, 1)
        ]
        self.module_ = eqx.nn.inference_mode(Chain(tuple(modules)))
        return self


# Fitted attributes that a saved model has, beside its network.
_FITTED = (
    *("seed_", "n_iter_", "n_features_in_", "feature_names_in_", "output_shape_"),
    *("mean_", "scale_", "classes_", "target_mean_", "target_scale_"),
)


class SubnetworkClassifier(ClassifierMixin, _SubnetworkEstimator):
    """A network for classes, cut into subnetworks that train in parallel.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> SubnetworkClassifier(random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    def fit(self, X: Any, y: Any) -> Self:
        """Train on (rows, columns) and a class for each row, of any kind.

        Raises:
            InputError: If there are less than two rows or classes, or a parameter does not fit.
            ValueError: If X or y are no finite numbers, or differ in length.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        labels = fitted_labels(y, len(X), plain=True)
        self.classes_ = np.array(labels.class_names)
        return self._fit(X, labels.numbers, labels.numbers, "cross_entropy")

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (rows, classes), in the order of `classes_`."""
        return np.asarray(jax.nn.softmax(self._predicted(X), axis=1))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row."""
        numbers = self._predicted(X).argmax(axis=1)
        return self.classes_[numbers]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy on rows, their labels in any form that `fit` takes.

        Raises:
            InputError: If a row has no label.
        """
        labels, _ = scored_labels(y, self.classes_, plain=True)
        return float(np.average(self.predict(X) == labels, weights=sample_weight))


class SubnetworkRegressor(RegressorMixin, _SubnetworkEstimator):
    """A network for one or several numbers, cut into subnetworks that train in parallel.

    Targets are standardised for training, and predictions in their own scale.

    Example:
        >>> from sklearn.datasets import make_friedman1
        >>> X, y = make_friedman1(300, 6, random_state=0)
        >>> SubnetworkRegressor(random_state=0).fit(X, y).score(X, y) > 0.7
        True
    """

    @property
    def _outputs(self) -> int:
        return self.target_mean_.size

    def fit(self, X: Any, y: Any) -> Self:
        """Train on (rows, columns) and targets, (rows,) or (rows, outputs).

        Raises:
            InputError: If there are less than two rows, or a parameter does not fit.
            ValueError: If X or y are no finite numbers, or differ in length.
        """
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        y = np.asarray(y, np.float64)
        self.output_shape_ = list(y.shape[1:])
        y = y.reshape(len(y), -1)
        self.target_mean_, self.target_scale_ = y.mean(axis=0), _deviation(y)
        scaled = _standardised("y", y, self.target_mean_, self.target_scale_)
        return self._fit(X, scaled, np.zeros(len(y), int), "squared_error")

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each row, in the shape of the targets."""
        outputs = self._predicted(X)
        y = outputs * self.target_scale_ + self.target_mean_
        return y.reshape(len(y), *self.output_shape_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        return tags


def _standardised(
    name: str, columns: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Columns in the scale of training.

    Raises:
        InputError: If they are out of its range.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = (columns - mean) / scale
    if not (np.isfinite(scale).all() and (np.abs(found) < np.finfo(np.float32).max).all()):
        raise InputError(f"{name} has values that are too large to be standardised; scale it down")
    return found


def _deviation(columns: np.ndarray) -> np.ndarray:
    """Standard deviations; 1 where a column has none."""
    with np.errstate(over="ignore"):
        found, size = columns.std(axis=0), abs(columns.mean(axis=0))
    rounding = len(columns) * np.finfo(columns.dtype).eps * size
    return np.where(found > rounding, found, 1)


@eqx.filter_jit
def _apply(module: Chain, rows: Array) -> Array:
    return jax.vmap(module)(rows)
