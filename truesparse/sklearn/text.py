"""A classifier of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from truesparse.data import Sequences, TextEncoder
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import Encoder
from truesparse.sklearn.base import SparseNetworkEstimator, as_value_error
from truesparse.sklearn.network import Samples
from truesparse.sklearn.parameters import CLASS_WEIGHT, OWN, with_parameters
from truesparse.sklearn.targets import (
    ClassPredictions,
    classes_of,
    numbers_of_classes,
    read_labels,
    refuse_other_classes,
)
from truesparse.sklearn.weights import counting, refuse_balanced, sample_weights, times_class_weights
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.classifier.task import text_settings
from truesparse.tasks.sequences import sequence_chain
from truesparse.training.vectors import sized

if TYPE_CHECKING:
    from truesparse.model import Model


@with_parameters(
    ClassifierConfig,
    {**CLASS_WEIGHT, **OWN},
    without=("label_column", "text_column", "weight_column", "valid_fraction", "test_fraction"),
)
class SparseTextClassifier(ClassPredictions, SparseNetworkEstimator):
    """A truly sparse recurrent network that classifies texts.

    Texts are strings. They are cut into words; the vocabulary is made of those of the training texts. With
    the default parameters it is what ``truesparse train classifier`` trains, but that no texts are held out.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    encoder_ : TextEncoder
        Its `vocabulary` has the words.
    loss_curve_, validation_scores_, n_iter_, temperature_, nnz_, density_
        As in `SparseLSTMClassifier`.

    Examples
    --------
    >>> from truesparse.sklearn import SparseTextClassifier
    >>> texts = ["a fine film", "such a fine plot", "a dull film", "what a dull plot"] * 10
    >>> model = SparseTextClassifier(hidden_size=16, random_state=0).fit(texts, ["+", "+", "-", "-"] * 10)
    >>> model.predict(["fine!", "so dull"]).tolist()
    ['+', '-']
    """

    CONFIG = ClassifierConfig
    STORED = (*SparseNetworkEstimator.STORED, "classes_")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch.

        Parameters
        ----------
        X : sequence of str, length n
            Texts, each of one word or more.
        y : array-like of shape (n,)
            Classes.
        sample_weight : array-like of shape (n,), optional
            How much each text counts, 0 or more, as in `SparseLSTMClassifier`; the words of one that does
            not count are not learned.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A text is none or has no words, the classes, weights or a parameter cannot be right, or the loss
            is no longer finite. The estimator is unchanged then.
        """
        with self._draft() as draft:
            draft._learn(X, y, sample_weight)
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any) -> None:
        texts = _texts(X)
        goes_on = self._goes_on()
        classes, numbers = _classes(y, None)
        if goes_on:
            refuse_other_classes(classes, self.classes_)
        self.classes_ = classes
        check_consistent_length(texts, numbers)
        weights = self._weights(sample_weight, numbers)
        rows = np.arange(len(texts)) if weights is None else np.flatnonzero(weights)
        train, valid = (rows[part] for part in self._hold_out(len(rows), numbers[rows]))
        with as_value_error():
            config = sized(self._configuration(ClassifierConfig))
            if not goes_on:
                self.encoder_ = TextEncoder.build([texts[k] for k in train], **text_settings(config))
        samples = Samples(self._encoded(texts), numbers, weights)
        held_out = samples.select(valid) if valid.size else None
        with as_value_error():
            chain = sequence_chain(config, len(self.encoder_.vocabulary), len(self.classes_))
        tokens = self.encoder_.vocabulary.tokens
        self._fit(config, chain, samples.select(train), held_out, config.epochs, tokens)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a fitted model with one more pass over some texts.

        Vocabulary and classes stay those of `fit`.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; also for a class that `fit` has not seen, or for a `class_weight` of "balanced".
        NotFittedError
            There was no `fit`: the vocabulary is taken from its texts.
        """
        check_is_fitted(self)
        refuse_balanced(self.class_weight)
        self._refuse_early_stopping()
        texts = _texts(X)
        _, numbers = _classes(y, self.classes_)
        check_consistent_length(texts, numbers)
        samples = Samples(self._encoded(texts), numbers, self._weights(sample_weight, numbers))
        with self._draft() as draft:
            draft._train_once(counting(samples))
        return self

    def predict_log_proba(self, X: Any) -> NDArray[np.float32]:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : sequence of str, length n

        Returns
        -------
        ndarray of float32, shape (n, n_classes)
        """
        check_is_fitted(self)
        return self._outputs(self._encoded(_texts(X)))

    def _described(self) -> tuple[ChainSpec, Encoder, list[str]]:
        chain, _, labels = super()._described()
        return chain, self.encoder_, labels

    def _restore(self, model: Model) -> None:
        if not isinstance(model.encoder, TextEncoder):
            raise ValueError("its model reads no texts")
        self.encoder_ = model.encoder
        super()._restore(model)

    def _weights(self, sample_weight: Any, numbers: NDArray[np.int32]) -> NDArray[np.float64] | None:
        weights = sample_weights(sample_weight, len(numbers))
        return times_class_weights(weights, self.class_weight, numbers, self.classes_)

    def _encoded(self, texts: Sequence[str]) -> Sequences:
        ids = [self.encoder_.encode(text) for text in texts]
        for row, text in enumerate(ids):
            if not text.size:
                what = "no words" if texts[row].strip() else "an empty text"
                raise ValueError(f"row {row:,} of X has {what}; take the row out")
        return Sequences.of(ids)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _texts(X: Any) -> list[str]:
    """A list of texts; ValueError if it is none."""
    if isinstance(X, (str, bytes, Mapping, Set)) or not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1:
        raise ValueError("X must be a list or column of texts, such as ['a fine film', 'a dull film']")
    texts = list(X)
    if not texts:
        raise ValueError("X has no texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"row {row:,} of X is {text!r}, which is no text")
    return texts


def _classes(y: Any, classes: NDArray[Any] | None) -> tuple[NDArray[Any], NDArray[np.int32]]:
    y = read_labels(y)
    classes = classes_of(y) if classes is None else classes
    return classes, numbers_of_classes(y, classes)
