"""gsADMM and gsAM as scikit-learn's classifier and regressor of rows of numbers."""

from typing import Any, Self

import jax
import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import validate_data

from admm.console import Text
from admm.datasets.scaling import scale_of
from admm.estimators.labels import fitted_labels, scored_labels
from admm.estimators.rows import SubnetworkEstimator, standardised
from admm.run.callbacks import Callbacks


class SubnetworkClassifier(ClassifierMixin, SubnetworkEstimator):
    """A network for classes, cut into subnetworks that train in parallel.

    Columns of X are standardised, so that a pipeline need not do it.

    Args:
        network: A network of one's own: a `layers.Network`, an equinox `MLP` or `Sequential`, a
            list of modules, or a function of the number of columns, the number of outputs and a
            random key that returns one of these. None for an MLP.
        layers: Of the MLP, the output layer included.
        hidden: Width of its hidden layers.
        solver: `gsadmm` or `gsam`.
        subnetworks: Parts that the network is cut into.
        epochs: Passes over the rows.
        batch: Rows of a mini-batch, at most; by default a thirtieth of them, within 8…60.
        lr: Learning rate of the first step; it falls to 0 as a cosine does.
        weight_decay: Of AdamW, which every subnetwork has for an optimiser.
        validation_fraction: Of the rows, held out to pick the best epoch.
        pick: What picks it: `loss`, the lowest validation loss, or `score`, the highest
            accuracy.
        patience: Epochs without a better one after which training ends; None never.
        workers: Devices of this process that the subnetworks are dealt out to.
        dtype: `float32`, or `float64` in JAX's 64-bit mode.
        random_state: Seed of parameters, mini-batches and held-out rows; by default another one
            every time.

    Attributes:
        classes_: The classes, as they were given, in the order of the columns of `predict_proba`.
        n_features_in_: Columns of X.
        feature_names_in_: Their names, where X has some.
        n_iter_: Epochs.
        history_: A dictionary for every evaluation; `pandas.DataFrame` makes a table of it.
        summary_: What `summary.json` of a run has.
        options_: Of the run; network and optimiser are None where they were objects.
        network_: The best network, an equinox module of one standardised row.
        mean_: Means of the columns of X.
        scale_: Their standard deviations.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> SubnetworkClassifier(random_state=0).fit(X, y).score(X, y) > 0.9
        True

    Source: Wang et al., arXiv 2009.04053. Deviations: see `admm.solvers.TSSM`.
    """

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        callback: Callbacks | None = None,
        progress: Text | None = None,
    ) -> Self:
        """Train on rows and a class for each of them.

        Args:
            X: Numbers, (rows, columns).
            y: Classes, (rows,): whole numbers, −1 too, truth values or text; or one-hot rows.
            callback: Called with every evaluation, see `admm.train`; training ends where it returns
                true.
            progress: Where a table of the evaluations goes, `sys.stdout` for example.

        Raises:
            InputError: If there are less than two rows or classes, a row has no class, or a
                parameter does not fit.
            ValueError: If X has no finite numbers.
            DivergedError: If training leaves the finite numbers.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        labels = fitted_labels(y, len(X), plain=True)
        self.classes_ = np.array(labels.class_names)
        return self._fit(X, labels.numbers, labels.numbers, "cross_entropy", callback, progress)

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


class SubnetworkRegressor(RegressorMixin, SubnetworkEstimator):
    """A network for one or several numbers, cut into subnetworks that train in parallel.

    Columns of X are standardised, so that a pipeline need not do it. So are targets for training;
    predictions are in their own scale.

    Args:
        network: A network of one's own: a `layers.Network`, an equinox `MLP` or `Sequential`, a
            list of modules, or a function of the number of columns, the number of outputs and a
            random key that returns one of these. None for an MLP.
        layers: Of the MLP, the output layer included.
        hidden: Width of its hidden layers.
        solver: `gsadmm` or `gsam`.
        subnetworks: Parts that the network is cut into.
        epochs: Passes over the rows.
        batch: Rows of a mini-batch, at most; by default a thirtieth of them, within 8…60.
        lr: Learning rate of the first step; it falls to 0 as a cosine does.
        weight_decay: Of AdamW, which every subnetwork has for an optimiser.
        validation_fraction: Of the rows, held out to pick the best epoch.
        pick: What picks it: `loss`, the lowest validation loss, or `score`, the highest R².
        patience: Epochs without a better one after which training ends; None never.
        workers: Devices of this process that the subnetworks are dealt out to.
        dtype: `float32`, or `float64` in JAX's 64-bit mode.
        random_state: Seed of parameters, mini-batches and held-out rows; by default another one
            every time.

    Attributes:
        target_mean_: Means of the targets.
        target_scale_: Their standard deviations.
        output_shape_: Shape of the targets of a row.
        n_features_in_: Columns of X.
        feature_names_in_: Their names, where X has some.
        n_iter_: Epochs.
        history_: A dictionary for every evaluation; `pandas.DataFrame` makes a table of it.
        summary_: What `summary.json` of a run has.
        options_: Of the run; network and optimiser are None where they were objects.
        network_: The best network, an equinox module of one standardised row.
        mean_: Means of the columns of X.
        scale_: Their standard deviations.

    Example:
        >>> from sklearn.datasets import make_friedman1
        >>> X, y = make_friedman1(300, 6, random_state=0)
        >>> SubnetworkRegressor(random_state=0).fit(X, y).score(X, y) > 0.7
        True

    Source: Wang et al., arXiv 2009.04053. Deviations: see `admm.solvers.TSSM`.
    """

    @property
    def _outputs(self) -> int:
        return self.target_mean_.size

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        callback: Callbacks | None = None,
        progress: Text | None = None,
    ) -> Self:
        """Train on rows and one or several numbers for each of them.

        Args:
            X: Numbers, (rows, columns).
            y: Targets, (rows,) or (rows, outputs).
            callback: Called with every evaluation, see `admm.train`; training ends where it returns
                true.
            progress: Where a table of the evaluations goes, `sys.stdout` for example.

        Raises:
            InputError: If there are less than two rows, or a parameter does not fit.
            ValueError: If X or y are no finite numbers, or differ in length.
            DivergedError: If training leaves the finite numbers.
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
        self.target_mean_, self.target_scale_ = y.mean(axis=0), scale_of(y)
        scaled = standardised("y", y, self.target_mean_, self.target_scale_)
        same = np.zeros(len(y), int)
        return self._fit(X, scaled, same, "squared_error", callback, progress)

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
