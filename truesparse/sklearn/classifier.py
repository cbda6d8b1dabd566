"""A classifier of sequences of numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from truesparse.sklearn.inputs import read_sequences
from truesparse.sklearn.sequences import SequenceEstimator, samples
from truesparse.sklearn.targets import ClassPredictions, numbers_of_classes


class SparseLSTMClassifier(ClassPredictions, SequenceEstimator):
    """A truly sparse recurrent network that tells the class of a sequence of numbers.

    Sequences are the rows of an array of shape (n, T), one number a step; of shape (n, T, D), D features a
    step; or the items of a list, which may differ in length. Like other networks it learns best from
    features of mean 0 and variance 1.

    Parameters
    ----------
    hidden_size, layers : int
        Units of a recurrent layer, and how many layers.
    cell : {"lstm", "rhn"}
        What the layers are: LSTM or recurrent highway.
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
        Whether it was fitted with an array of shape (n, T).
    loss_curve_ : list of float
        Mean cross-entropy of each epoch, in nats.
    validation_scores_ : list of float
        Accuracy on what was held out, after each epoch.
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

    def fit(self, X: Any, y: Any) -> Self:
        """Train anew.

        Parameters
        ----------
        X : array-like of shape (n, T) or (n, T, D), or list of array-likes of shape (T_i,) or (T_i, D)
        y : array-like of shape (n,)
            Classes.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The samples or a parameter cannot be right, or the loss is not finite any more.
        """
        return self._learn(X, y, None)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Train with one pass over some samples; the topology changes in the first `epochs` passes.

        Parameters
        ----------
        X, y
            As in `fit`.
        classes : array-like, optional
            All the classes there will be; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; also for `classes` that are missing or change, or for a class that is none of them.
        """
        fitted = hasattr(self, "classes_")
        if not fitted and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        if fitted and classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(f"classes are {classes!r}, but they were {self.classes_!r} in the first call")
        return self._learn(X, y, self.classes_ if fitted else np.unique(classes), fitted)

    def _learn(self, X: Any, y: Any, classes: Any, again: bool = False) -> Self:
        """Fit, or learn once more; without `classes` they are those of y."""
        sequences, y = samples(self, X, y, not again)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        once = classes is not None
        classes = classes if once else np.unique(y)
        numbers = numbers_of_classes(y, classes)
        self.classes_ = classes
        if again:
            return self._train_once(sequences, numbers)
        return self._begin(sequences, numbers, len(classes), "classifier", hold_out=not once)

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
