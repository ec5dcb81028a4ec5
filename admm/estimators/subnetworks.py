"""gsADMM and gsAM as scikit-learn's classifier and regressor of rows of numbers."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from admm.datasets import Samples, Split
from admm.errors import InputError
from admm.files import reading, to_path, write_arrays
from admm.methods.subnetworks.network import fill, named_arrays
from admm.methods.subnetworks.options import SubnetworkOptions
from admm.run.run import train
from admm.run.stopping import patience as stop_after
from layers import Chain, Network, build, from_modules, mlp, split_model

NetworkMaker = Callable[[int, int, Array], Any]

_VERSION = 1

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
        validation: Fraction of the samples whose loss picks the best epoch.
        patience: Epochs without a lower validation loss after which training ends; None never.
        workers: Workers in this process, a device each.
        dtype: Type of the arithmetic.
        random_state: Of parameters, mini-batches and validation samples.

    Attributes:
        history_: A line of scores of every epoch.
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
        validation: float = 0.1,
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
        self.validation = validation
        self.patience = patience
        self.workers = workers
        self.dtype = dtype
        self.random_state = random_state

    @property
    @abstractmethod
    def _outputs(self) -> int:
        """Numbers that the network returns; known once the targets are."""

    def _fit(self, X: np.ndarray, y: np.ndarray, loss: str) -> Self:
        if len(X) < 2:
            raise InputError(f"got n_samples={len(X)}; one to train on and one to validate are due")
        self.mean_, self.scale_ = X.mean(axis=0), _deviation(X)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31))
        train_rows, held_out = self._split(len(X))
        samples = Samples("samples", self._scaled(X), y, Split(train_rows, held_out, held_out[:0]))
        batch = min(self.batch or min(max(len(train_rows) // 30, 8), 60), len(train_rows))
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
        self.history_ = result.history
        self.n_iter_ = len(result.history)
        self.module_ = eqx.nn.inference_mode(result.module())
        return self

    def _split(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 < self.validation < 1:
            raise InputError(f"validation must be a fraction in (0, 1), got {self.validation}")
        size = min(max(round(self.validation * count), 1), count - 1)
        order = np.random.default_rng(self.seed_).permutation(count)
        return np.sort(order[size:]), np.sort(order[:size])

    def _network(self) -> Network:
        shape = (self.n_features_in_,)
        if self.network is None:
            return mlp(shape, self.hidden, self._outputs, self.layers, self.dtype)
        model = self.network(self.n_features_in_, self._outputs, jax.random.key(self.seed_))
        return from_modules(split_model(model), shape, self.dtype)

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return ((X - self.mean_) / self.scale_).astype(self.dtype)

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
        """Write parameters and network into a file, without data and pickles.

        A `network` function is not in it: `load` takes it along.

        Raises:
            OutputError: If the system refuses.
        """
        check_is_fitted(self)
        params = {**self.get_params(), "network": None}
        if not isinstance(self.random_state, int | None):
            params["random_state"] = None
        about = {
            "version": _VERSION,
            "class": type(self).__name__,
            "own_network": self.network is not None,
            "params": params,
            "fitted": {name: getattr(self, name) for name in _PLAIN if hasattr(self, name)},
            "modules": len(self.module_.modules),
        }
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS if hasattr(self, name)}
        for name in ("classes_", "feature_names_in_"):  # text without pickles
            if arrays.get(name, np.zeros(0)).dtype.kind == "O":
                arrays[name] = arrays[name].astype(str)
        for number, module in enumerate(self.module_.modules):
            named = named_arrays(module).items()
            arrays |= {f"{number}/{name}": np.asarray(array) for name, array in named}
        write_arrays(to_path(path), {"about": np.array(json.dumps(about)), **arrays})

    @classmethod
    def load(
        cls, path: str | Path, network: Callable[[int, int, Array], Any] | None = None
    ) -> Self:
        """The estimator that `save` wrote.

        Args:
            path: Of the file.
            network: The function that made its network, if there was one.

        Raises:
            InputError: If the file cannot be read, is of another class or release, or the network
                is another.
        """
        with reading(to_path(path)):
            try:
                with np.load(to_path(path), allow_pickle=False) as archive:
                    arrays = dict(archive)
                about = json.loads(str(arrays["about"]))
                version, kind = about["version"], about["class"]
            except (KeyError, ValueError, TypeError) as error:
                raise InputError(f"{path} was not written by save ({error})") from error
        if (version, kind) != (_VERSION, cls.__name__):
            raise InputError(
                f"{path} holds a {kind} in version {version}; expected a {cls.__name__} in "
                f"version {_VERSION}"
            )
        if about["own_network"] != (network is not None):
            raise InputError(
                f"{path} was trained with a network of one's own; pass the function, as network"
                if network is None
                else f"{path} was trained without a network of one's own; leave it out"
            )
        self = cls(**{**about["params"], "network": network})
        for name, value in about["fitted"].items():
            setattr(self, name, value)
        for name in _ARRAYS:
            if name in arrays:
                setattr(self, name, arrays[name])
        self.module_ = self._restored(arrays, about["modules"], str(path))
        return self

    def _restored(self, arrays: Mapping[str, np.ndarray], count: int, path: str) -> Chain:
        made = self._network()
        if len(made.builders) != count:
            raise InputError(f"{path} holds {count} modules; network makes {len(made.builders)}")
        modules = [
            fill(
                module,
                {
                    name.removeprefix(f"{number}/"): array
                    for name, array in arrays.items()
                    if name.startswith(f"{number}/")
                },
                f"module {number} of {path}",
            )
            for number, module in enumerate(build(made, range(count), self.seed_).modules)
        ]
        return eqx.nn.inference_mode(Chain(tuple(modules)))


# Fitted attributes, as a file has them.
_PLAIN = ("seed_", "history_", "n_iter_", "n_features_in_", "output_shape_")
_ARRAYS = ("mean_", "scale_", "classes_", "target_mean_", "target_scale_", "feature_names_in_")


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
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        return self._fit(X, numbers, "cross_entropy")

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (rows, classes), in the order of `classes_`."""
        return np.asarray(jax.nn.softmax(self._predicted(X), axis=1))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row."""
        numbers = self._predicted(X).argmax(axis=1)
        return self.classes_[numbers]


class SubnetworkRegressor(RegressorMixin, _SubnetworkEstimator):
    """A network for one or several numbers, cut into subnetworks that train in parallel.

    Targets are standardised for training, and predictions in their own scale.
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
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
        )
        y = np.asarray(y, np.float64)
        self.output_shape_ = list(y.shape[1:])
        y = y.reshape(len(y), -1)
        self.target_mean_, self.target_scale_ = y.mean(axis=0), _deviation(y)
        return self._fit(X, (y - self.target_mean_) / self.target_scale_, "squared_error")

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


def _deviation(columns: np.ndarray) -> np.ndarray:
    """Standard deviations; 1 where a column has none."""
    found = columns.std(axis=0)
    return np.where(found > 0, found, 1)


@eqx.filter_jit
def _apply(module: Chain, rows: Array) -> Array:
    return jax.vmap(module)(rows)
