"""A GA-MLP as an estimator, on graphs and on plain rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from admm.console import Text
from admm.datasets import Graph, Split, checked_graph
from admm.datasets.edges import undirected
from admm.datasets.objects import adjacency_of, array_of, held, is_graph_object
from admm.errors import InputError
from admm.estimators.base import (
    load_estimator,
    save_estimator,
    seed_of,
    set_fitted,
    train_estimator,
)
from admm.estimators.labels import fitted_labels, scored_labels
from admm.estimators.split import numbers_of, split_of_rows
from admm.methods.layerwise.data import first_layer_rows
from admm.methods.layerwise.options import PDADMMGOptions
from admm.run.callbacks import Callbacks
from admm.run.saved import Saved
from layers import RELU, Dense, forward

# Parameters that are options of the solver, by the same names.
_OPTIONS = (
    *("layers", "hidden", "epochs", "rho", "nu", "weight_decay", "step", "start", "grow"),
    *("levels", "levels_q", "codec", "eval_every", "workers", "dtype"),
)
# Fitted attributes that a saved model has, beside its network.
_FITTED = ("classes_", "n_iter_", "n_features_in_", "feature_names_in_", "scale_", "uses_edges_")
_NAME = "the data"  # in messages


class GAMLPClassifier(ClassifierMixin, BaseEstimator):
    """A graph-augmented MLP trained layer-parallel with pdADMM-G: a classifier of nodes or rows.

    The features of a node and of its neighbours, Ã^k X for k = 0…K−1, are the inputs of a deep
    network without skip connections (`admm.options("pdadmm-g")` tells of the solver). Without edges
    it is a classifier of plain rows, which are divided by one number, the root mean square of
    their lengths in training. The best network by the accuracy of validation rows is kept.

    Args:
        layers: Of the network, the output layer included.
        hidden: Width of its hidden layers.
        hops: K; by default 4 on a graph, 1 on rows.
        epochs: Of each stage of a network that grows.
        rho: ρ, penalty of the coupling of layers.
        nu: ν, penalty of the layer equations.
        weight_decay: μ.
        step: Step sizes, `exact`, `joint`, `backtracking` or `newton`.
        start: Of the first stage, `codes` or `forward`.
        grow: Depths of the stages, or `none`.
        levels: Constrain p to levels, as `"-1:20"` (pdADMM-G-Q).
        levels_q: Constrain q too.
        codec: Code of the messages between workers.
        normalize: Scaling of the inputs, `hops`, `features` or `none`; by default `hops` on a
            graph, and the common scale on rows.
        weights: `use` the weights of edges, or `ignore` them.
        validation_fraction: Of the training rows, held out where no validation rows are given.
        patience: Evaluations without a higher validation accuracy after which training ends; None
            never. A network that grows may end with an early stage: `grow="none"` has one.
        eval_every: Epochs between evaluations.
        workers: Devices of this process that the layers are dealt out to.
        dtype: `float32`, or `float64` in JAX's 64-bit mode.
        random_state: Seed of weights and held-out rows; by default another one every time.

    Attributes:
        classes_: The classes, as they were given, in the order of the columns of `predict_proba`.
        n_features_in_: Columns of X.
        feature_names_in_: Their names, where X has some.
        n_iter_: Epochs of all stages.
        history_: A dictionary for every evaluation; `pandas.DataFrame` makes a table of it.
        summary_: What `summary.json` of a run has.
        options_: Of the run.
        network_: The best network: its layers, `Dense`.
        scale_: What the features are divided by.
        uses_edges_: Whether predictions need edges.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = GAMLPClassifier(layers=3, hidden=32, epochs=60, random_state=0)
        >>> model.fit(X - X.mean(axis=0), y).score(X - X.mean(axis=0), y) > 0.9
        True

    Source: Wang et al., arXiv 2105.09837. Deviations: see `admm.solvers.PDADMMG`.
    """

    def __init__(
        self,
        layers: int = 10,
        hidden: int = 100,
        hops: int | None = None,
        *,
        epochs: int = 100,
        rho: float = 3e-3,
        nu: float = 3e-3,
        weight_decay: float = 2e-2,
        step: str = "exact",
        start: str | None = None,
        grow: str | Sequence[int] | None = None,
        levels: Any = None,
        levels_q: Any = None,
        codec: str | None = None,
        normalize: str | None = None,
        weights: str = "use",
        validation_fraction: float = 0.1,
        patience: int | None = None,
        eval_every: int = 1,
        workers: int = 1,
        dtype: str = "float32",
        random_state: Any = None,
    ) -> None:
        self.layers = layers
        self.hidden = hidden
        self.hops = hops
        self.epochs = epochs
        self.rho = rho
        self.nu = nu
        self.weight_decay = weight_decay
        self.step = step
        self.start = start
        self.grow = grow
        self.levels = levels
        self.levels_q = levels_q
        self.codec = codec
        self.normalize = normalize
        self.weights = weights
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.eval_every = eval_every
        self.workers = workers
        self.dtype = dtype
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        edges: Any = None,
        *,
        train_mask: Any = None,
        val_mask: Any = None,
        test_mask: Any = None,
        callback: Callbacks | None = None,
        progress: Text | None = None,
    ) -> Self:
        """Train on the labelled nodes of a graph, or on rows.

        Args:
            X: Features, (nodes, d), dense or sparse; or a graph of PyTorch Geometric or DGL, which
                brings labels, edges and masks.
            y: The class of every node: numbers, text, or one-hot rows; −1, NaN, `None` or empty
                text where a node has none. Without edges every row needs one, and −1 is a class.
            edges: See `admm.datasets.objects.adjacency_of`: a sparse matrix, (2, edges), a graph of
                networkx, or an object with `edge_index`. They are made symmetric.
            train_mask: Nodes to train on, a mask or their numbers; by default all that have a
                label, but for those of the other masks.
            val_mask: Nodes that pick the best network; by default a part of the training nodes.
            test_mask: Nodes whose accuracy is in the history too.
            callback: Called with every evaluation, see `admm.train`; training ends where it returns
                true.
            progress: Where a table of the evaluations goes, `sys.stdout` for example.

        Raises:
            InputError: If data or parameters cannot be used; it is a `ValueError` too.
            DivergedError: If training leaves the finite numbers.
        """
        masks = {"train": train_mask, "val": val_mask, "test": test_mask}
        if is_graph_object(X):
            given = held(X, self.weights)
            X, edges = given.features, given.adjacency if edges is None else edges
            y = given.labels if y is None else y
            for part, mask in masks.items():
                masks[part] = given.masks.get(f"{part}_mask") if mask is None else mask
        features = self._features(X, reset=True)
        seed = seed_of(self.random_state)
        known = fitted_labels(y, features.shape[0], plain=edges is None)
        split = split_of_rows(masks, known, self.validation_fraction, seed)
        if self.weights not in ("use", "ignore"):
            raise InputError(f"weights= must be use or ignore, got {self.weights!r}")
        self.uses_edges_, self.scale_ = edges is not None, 1.0
        hops, normalize = self.hops, self.normalize
        if edges is None:
            hops = 1 if hops is None else hops
            if normalize is None:
                normalize = "none"
                self.scale_ = _common_scale(features[split.train])
                features = features / self.scale_
        graph = checked_graph(
            "estimator",
            None if edges is None else adjacency_of(edges, features.shape[0], self.weights),
            features,
            known,
            split,
            weights=self.weights,  # type: ignore[arg-type]  # it is checked there
        )
        given_options = {name: getattr(self, name) for name in _OPTIONS}
        options = PDADMMGOptions(
            **given_options,
            hops=4 if hops is None else hops,
            normalize="hops" if normalize is None else normalize,  # type: ignore[arg-type]
            seed=seed,
        )
        result = train_estimator(self, options, graph, callback, progress)
        self.network_ = tuple(jax.device_get(layer) for _, layer in sorted(result.network.items()))
        self.classes_ = np.array(graph.class_names)
        return self

    def predict_proba(self, X: Any, edges: Any = None, *, rows: Any = None) -> np.ndarray:
        """Probabilities of the classes, (rows, classes): each row adds up to 1.

        The graph may be another than that of training: new nodes, new edges, or both. All its
        nodes count, whatever rows are asked for.

        Args:
            X: Features of all nodes, (nodes, d); or a graph, as in `fit`.
            edges: As in `fit`.
            rows: Nodes whose probabilities are wanted, a mask or their numbers; all by default.

        Raises:
            InputError: If the data cannot be used, or edges are missing.
        """
        check_is_fitted(self)
        if is_graph_object(X):
            given = held(X, self.weights)
            X, edges = given.features, given.adjacency if edges is None else edges
        features = self._features(X, reset=False)
        nodes = features.shape[0]
        if self.uses_edges_ and edges is None:
            raise InputError("the model was fitted on a graph; pass edges= of these nodes")
        if edges is not None and not self.uses_edges_:
            raise InputError("the model was fitted on rows without edges; leave edges= out")
        wanted = np.arange(nodes) if rows is None else numbers_of("rows", rows, nodes)
        adjacency = sp.csr_array((nodes, nodes), dtype=np.float32)
        if edges is not None:
            adjacency, _ = undirected(_NAME, adjacency_of(edges, nodes, self.weights), self.weights)
        else:
            features = features / self.scale_
        first, *above = self.network_
        graph = Graph(_NAME, adjacency, features, np.zeros(1, int), Split(*[wanted] * 3))
        outputs = jnp.asarray(first_layer_rows(self.options_, graph, wanted, first._asdict()))
        logits = forward(above, RELU(outputs), RELU) if above else outputs
        return np.asarray(jax.nn.softmax(logits, axis=1))

    def predict(self, X: Any, edges: Any = None, *, rows: Any = None) -> np.ndarray:
        """The most probable class of each row, (rows,); see `predict_proba`."""
        probabilities = self.predict_proba(X, edges, rows=rows)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        edges: Any = None,
        rows: Any = None,
    ) -> float:
        """Accuracy on the rows that have a label.

        Args:
            X: As in `predict_proba`.
            y: Their labels, for all nodes.
            sample_weight: Of each of the rows.
            edges: As in `predict_proba`.
            rows: As in `predict_proba`.
        """
        if is_graph_object(X) and y is None:
            y = held(X, self.weights).labels
        labels, known = scored_labels(y, self.classes_, plain=not self.uses_edges_)
        chosen = np.arange(len(labels)) if rows is None else numbers_of("rows", rows, len(labels))
        right = self.predict(X, edges, rows=chosen) == labels[chosen]
        known = known[chosen]
        if not known.any():
            raise InputError("none of the rows has a label; score needs some")
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(np.average(right[known], weights=weights))

    def save(self, path: str | Path) -> None:
        """Save the fitted model into a folder, without the data it was fitted on.

        Raises:
            InputError: If the folder holds something else.
            OutputError: If the system refuses to write.
        """
        check_is_fitted(self)
        layers = {number: layer._asdict() for number, layer in enumerate(self.network_, 1)}
        save_estimator(path, self, layers, _FITTED)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A model that `save` has written, or the network of a run of `admm train`.

        The latter has no `n_iter_`, `history_` and `summary_`.

        Raises:
            InputError: If there is none of this kind, or it is damaged.
        """
        saved, options = load_estimator(path, PDADMMGOptions, cls.__name__)
        if "estimator" in saved.manifest:
            model = cls(**saved.manifest["estimator"]["params"])
            set_fitted(model, saved)
        else:
            model = cls._of_run(options, saved)
        model.options_ = options
        model.network_ = tuple(Dense(**saved.read(n + 1)) for n in range(saved.depth))
        return model

    @classmethod
    def _of_run(cls, options: PDADMMGOptions, saved: Saved) -> Self:
        names = (*_OPTIONS, "hops", "normalize")
        params = {name: getattr(options, name) for name in names}
        model = cls(**params, weights=options.weights or "use", random_state=options.seed)
        dataset = saved.manifest["dataset"]
        model.scale_, model.uses_edges_ = 1.0, dataset["edges"] > 0
        model.n_features_in_ = dataset["features"]
        model.classes_ = np.array(saved.class_names or range(dataset["classes"]))
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _features(self, X: Any, reset: bool) -> sp.csr_array:
        X = X if sp.issparse(X) or hasattr(X, "columns") else array_of(X)
        rules = {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "reset": reset}
        return sp.csr_array(validate_data(self, X, ensure_min_samples=1 + reset, **rules))


def _common_scale(rows: sp.csr_array) -> float:
    """The root mean square of the lengths of rows, 1 if that is 0."""
    largest = abs(rows).max()
    if largest == 0:
        return 1.0
    rows = rows / largest  # no square overflows
    return float(largest * np.sqrt(rows.multiply(rows).sum(axis=1).mean()))
