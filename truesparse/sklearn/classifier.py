"""A classifier of sequences of numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from truesparse.sklearn.inputs import read_sequences
from truesparse.sklearn.network import Samples
from truesparse.sklearn.sequences import SequenceEstimator, sequences_and_targets
from truesparse.sklearn.targets import (
    ClassPredictions,
    classes_of,
    numbers_of_classes,
    read_labels,
    refuse_missing,
)
from truesparse.sklearn.weights import counting, refuse_balanced, sample_weights, times_class_weights


class SparseLSTMClassifier(ClassPredictions, SequenceEstimator):
    """A truly sparse recurrent network that tells the class of a sequence of numbers.

    Sequences are the rows of an array of shape (n, T), one number a step; of shape (n, T, D), D features a
    step; or the items of a list, which may differ in length. Like other networks it learns best from
    features of mean 0 and variance 1.

    Parameters
    ----------
    hidden_size, layers : int
        Units of a recurrent layer, and how many layers.
    cell : {"lstm", "gru", "rhn"}
        What the layers are: LSTM, GRU or recurrent highway.
    depth : int, optional
        Recurrence depth of an RHN; 10 if not given.
    pooling : {"last", "mean", "max"}
        What the output layer sees: the last output of the recurrent layers, or their mean or maximum.
    density : float, optional
        Fraction of the weights that exist; 0.2 if not given, and 1 with the methods that are dense.
    distribution : {"uniform", "erdos-renyi"}
        How the density is spread over the matrices at the start.
    er_epsilon : float, optional
        Instead of `density`, with "erdos-renyi": weights of a matrix per row and column.
    gates : {"fused", "separate"}
        Count the gates of a cell as one matrix, or each one by itself.
    pattern : {"weight", "unit"}
        What exists or not: each weight, or each connection of two units, with a weight for each gate.
    method : str
        How connections are chosen and change, such as "st-rnn", "set", "rigl", "static" or "dense";
        ``truesparse methods`` lists them.
    drop_fraction : float, optional
        Fraction of the weights replaced at a topology update, at first; if not given, as fits the method.
    update_interval : int, optional
        Steps between topology updates, 0 for once an epoch; it depends on the method if not given.
    optimizer : {"adam", "sgd"}
    lr : float, optional
        Learning rate at the start; 0.01 for adam and 2 for sgd if not given.
    lr_decay : float, optional
        With `validation_fraction`, divide the learning rate by this after an epoch that is no new best; 1.33
        if not given.
    weight_decay : float
        L2 penalty added to the gradient.
    clip : float
        Largest norm of the whole gradient; 0 for no limit.
    epochs : int
        Passes over the samples.
    batch_size : int
        Sequences that are read together.
    dropout : float
        Fraction of the units dropped between layers.
    class_weight : {"balanced"}, mapping or None
        How much the samples of each class count in the loss: by a mapping from classes to weights of 0 or
        more, 1 for a class that it leaves out; with "balanced" inversely to how often a class occurs.
    validation_fraction : float
        Fraction of the samples that are held out to choose the epoch whose model is kept. With 0 there are
        none, and the last one is.
    random_state : int, RandomState or None
        Decides weights, connections, dropout, and what is held out. The number of threads has no influence.
    n_jobs : int or None
        Threads; None for 1 (or what ``joblib.parallel_config`` says), -1 for all cores.
    verbose : int
        Print a line each epoch if not 0.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Columns of a table; else features of a step.
    layout_ : {"table", "sequences"}
        Whether it was fitted with an array or a frame of shape (n, T).
    loss_curve_ : list of float
        Mean cross-entropy of each epoch, in nats, weighted if samples or classes are.
    validation_scores_ : list of float
        Accuracy on what was held out, after each epoch, weighted likewise.
    nnz_, density_ : int, float
        Weights of the sparse matrices, and which fraction of their positions that is.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.sklearn import SparseLSTMClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 200)
    >>> X = np.sin(np.arange(30) * np.where(y, 0.5, 0.6)[:, None] + rng.uniform(0, 6, (200, 1)))
    >>> model = SparseLSTMClassifier(hidden_size=32, density=0.1, random_state=0).fit(X[:150], y[:150])
    >>> model.score(X[150:], y[150:]) > 0.9
    True
    """

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        layers: int = 1,
        cell: str = "lstm",
        depth: int | None = None,
        pooling: str = "last",
        density: float | None = None,
        distribution: str = "uniform",
        er_epsilon: float | None = None,
        gates: str = "fused",
        pattern: str = "weight",
        method: str = "st-rnn",
        drop_fraction: float | None = None,
        update_interval: int | None = None,
        optimizer: str = "adam",
        lr: float | None = None,
        lr_decay: float | None = None,
        weight_decay: float = 0.0,
        clip: float = 1.0,
        epochs: int = 50,
        batch_size: int = 32,
        dropout: float = 0.0,
        class_weight: Any = None,
        validation_fraction: float = 0.0,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            hidden_size=hidden_size,
            layers=layers,
            cell=cell,
            depth=depth,
            pooling=pooling,
            density=density,
            distribution=distribution,
            er_epsilon=er_epsilon,
            gates=gates,
            pattern=pattern,
            method=method,
            drop_fraction=drop_fraction,
            update_interval=update_interval,
            optimizer=optimizer,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            clip=clip,
            epochs=epochs,
            batch_size=batch_size,
            dropout=dropout,
            validation_fraction=validation_fraction,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train anew.

        Parameters
        ----------
        X : array-like of shape (n, T) or (n, T, D), or list of array-likes of shape (T_i,) or (T_i, D)
        y : array-like of shape (n,)
            Classes.
        sample_weight : array-like of shape (n,), optional
            How much each sample counts, 0 or more: a batch's loss is ``sum(weight * loss) / sum(weight)``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The samples or a parameter cannot be right, or the loss is not finite any more. The estimator
            is as before then.
        """
        with self._draft() as draft:
            draft._learn(X, y, sample_weight, None)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train with one pass over some samples; the topology changes in the first `epochs` passes.

        Parameters
        ----------
        X, y
            As in `fit`.
        classes : array-like, optional
            All the classes there will be; needed in the first call.
        sample_weight : array-like of shape (n,), optional
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; also for `classes` that are missing or change, for a class that is none of them, or for
            a `class_weight` of "balanced": how often a class occurs in some samples tells little.
        """
        fitted = hasattr(self, "network_")
        if classes is not None:
            refuse_missing(classes, "classes")
        if not fitted and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        if fitted and classes is not None and not np.array_equal(self.classes_, classes_of(classes)):
            raise ValueError(f"classes are {classes!r}, but they were {self.classes_!r} in the first call")
        refuse_balanced(self.class_weight)
        with self._draft() as draft:
            draft._learn(X, y, sample_weight, self.classes_ if fitted else classes_of(classes), fitted)
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any, classes: Any, again: bool = False) -> None:
        """Fit, or learn once more; without `classes` they are those of y."""
        sequences, y = sequences_and_targets(self, X, y, not again)
        y = read_labels(y)
        once = classes is not None
        self.classes_ = classes if once else classes_of(y)
        numbers = numbers_of_classes(y, self.classes_)
        weights = sample_weights(sample_weight, len(y))
        weights = times_class_weights(weights, self.class_weight, numbers, self.classes_)
        samples = counting(Samples(sequences, numbers, weights))
        if again:
            self._train_once(samples)
        else:
            self._begin(samples, len(self.classes_), "classifier", hold_out=not once)

    def predict_log_proba(self, X: Any) -> NDArray[np.float32]:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like or list
            As in `fit`.

        Returns
        -------
        ndarray of float32, shape (n, n_classes)
        """
        check_is_fitted(self)
        return self._outputs(read_sequences(self, X, reset=False))
