"""A tagger of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain as joined_items
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from truesparse.data import Sequences, TokenEncoder
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
    refuse_missing,
    refuse_other_classes,
)
from truesparse.sklearn.weights import sample_weights, times_class_weights
from truesparse.tasks.sequences import sequence_chain
from truesparse.tasks.steps import pieces
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.tasks.tagger.spans import Scheme
from truesparse.training.vectors import sized

if TYPE_CHECKING:
    from truesparse.model import Model


@with_parameters(
    TaggerConfig,
    {**CLASS_WEIGHT, **OWN},
    without=("token_column", "tag_column", "valid_fraction", "test_fraction"),
)
class SparseTagger(ClassPredictions, SparseNetworkEstimator):
    """A truly sparse recurrent network that labels each token of a sentence.

    Sentences are lists of tokens, which are strings. The vocabulary comes from the training sentences.
    With the default parameters it is what ``truesparse train tagger`` trains, without held-out sentences.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
    encoder_ : TokenEncoder
        Its `vocabulary` has the tokens.
    loss_curve_, validation_scores_, n_iter_, temperature_, nnz_, density_
        As in `SparseLSTMClassifier`. If `choose_by` is "auto", scores are F1 of labels that mark spans, and
        otherwise accuracy.

    Examples
    --------
    >>> from truesparse.sklearn import SparseTagger
    >>> X = [["Ada", "slept"], ["Ben", "and", "Ada", "sang"]] * 20
    >>> y = [["B-PER", "O"], ["B-PER", "O", "B-PER", "O"]] * 20
    >>> model = SparseTagger(hidden_size=16, lr=0.05, random_state=0).fit(X, y)
    >>> [labels.tolist() for labels in model.predict([["Ben", "slept"]])]
    [['B-PER', 'O']]
    """

    CONFIG = TaggerConfig
    STORED = (*SparseNetworkEstimator.STORED, "classes_")

    encoder_: TokenEncoder

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch.

        Parameters
        ----------
        X : sequence of sequences of str, length n
            Sentences, each of one token or more.
        y : sequence of sequences, length n
            For each sentence the labels of its tokens.
        sample_weight : array-like of shape (n,), optional
            How much each sentence counts, 0 or more; the tokens of one that does not count are not learned.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A sentence has no tokens, or others than labels, the labels, weights or a parameter cannot be
            right, or the loss is no longer finite. The estimator is unchanged then.
        """
        with self._draft() as draft:
            draft._learn(X, y, sample_weight)
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any) -> None:
        sentences, goes_on = _sentences(X), self._goes_on()
        labels = _labels(y, sentences)
        weights = sample_weights(sample_weight, len(sentences))
        rows = np.arange(len(sentences)) if weights is None else np.flatnonzero(weights)
        sentences, labels = [sentences[k] for k in rows], [labels[k] for k in rows]
        weights = None if weights is None else weights[rows]
        flat = read_labels(_flat(labels))
        classes = classes_of(flat)
        if goes_on:
            refuse_other_classes(classes, self.classes_)
        self.classes_ = classes
        numbers = numbers_of_classes(flat, classes)
        lengths = [len(sentence) for sentence in sentences]
        weights = None if weights is None else np.repeat(weights, lengths)
        weights = times_class_weights(weights, self.class_weight, numbers, classes)
        if weights is not None and not weights.all():
            raise ValueError("class_weight is 0 for a label; leave its tokens a weight above 0")
        train, valid = self._hold_out(len(sentences), None)
        with as_value_error():
            config = sized(self._configuration(TaggerConfig))
            if not goes_on:
                tokens = joined_items.from_iterable(sentences[k] for k in train)
                sizes = config.vocabulary, config.min_count, config.lower_case
                self.encoder_ = TokenEncoder.build(tokens, *sizes)
            chain = sequence_chain(config, len(self.encoder_.vocabulary), len(classes))
            self._scheme = Scheme.of([str(label) for label in classes])
            if config.choose_by == "f1" and self._scheme is None:
                raise ValueError("choose_by f1 needs labels that mark spans, such as B-X; use macro-f1")
        sequences = self._encoded(sentences)
        samples = Samples(sequences, Sequences(numbers, sequences.starts), weights)
        held_out = samples.select(valid) if valid.size else None
        inputs, right, counted = samples.select(train)
        learned = Samples(pieces(inputs, config.length), pieces(right, config.length), counted)
        words = self.encoder_.vocabulary.tokens
        self._fit(config, chain, learned, held_out, config.epochs, words)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the labels.

        Parameters
        ----------
        X : sequence of sequences of str, length n

        Returns
        -------
        list of ndarray of float32, shape (tokens, n_labels)
        """
        check_is_fitted(self)
        sequences = self._encoded(_sentences(X))
        return np.split(self._outputs(sequences), sequences.starts[1:-1])

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the labels; see `predict_log_proba`."""
        return [np.exp(said) for said in self.predict_log_proba(X)]

    def predict(self, X: Any) -> Any:
        """The most probable label of each token: a list of ndarray, shape (tokens,)."""
        return [self.classes_[said.argmax(axis=1)] for said in self.predict_log_proba(X)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, of all tokens; parameters are those of `fit`."""
        sentences = _sentences(X)
        weights = sample_weights(sample_weight, len(sentences))
        weights = None if weights is None else np.repeat(weights, [len(own) for own in sentences])
        right, told = _flat(_labels(y, sentences)), np.concatenate(self.predict(sentences))
        return float(accuracy_score(right, told, sample_weight=weights))

    @property
    def _chosen_by(self) -> str:
        usual = "accuracy" if self._scheme is None else "f1"
        return usual if self.choose_by == "auto" else self.choose_by

    def _score_of(self, outputs: NDArray[np.float32], samples: Samples) -> tuple[float, ...]:
        if self._scheme is None or self._chosen_by not in ("f1", "macro-f1"):
            return super()._score_of(outputs, samples)
        told = outputs.argmax(axis=1).astype(np.int32)
        counts = self._scheme.count(samples.right, told, samples.targets.starts)
        f1 = counts.rates()["f1"] if self._chosen_by == "f1" else counts.macro_f1
        return f1, float(np.mean(outputs[np.arange(len(told)), samples.right], dtype=np.float64))

    def _described(self) -> tuple[ChainSpec, Encoder, list[str]]:
        chain, _, labels = super()._described()
        return chain, self.encoder_, labels

    def _restore(self, model: Model) -> None:
        if not isinstance(model.encoder, TokenEncoder):
            raise ValueError("its model reads no tokens")
        self.encoder_ = model.encoder
        super()._restore(model)

    def _encoded(self, sentences: Sequence[Sequence[str]]) -> Sequences:
        return Sequences.of([self.encoder_.encode(sentence) for sentence in sentences])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.estimator_type = None  # labels of sentences have no classes that folds could be stratified by
        tags.no_validation = True  # the checks have arrays of samples, and no sentences
        return tags


def _sentences(X: Any) -> list[list[str]]:
    """Sentences as lists; ValueError if they are none."""
    if not _is_list(X) or not len(X):
        raise ValueError("X must be a list of sentences, each a list of tokens, such as [['Ada', 'slept']]")
    for row, sentence in enumerate(X):
        if not _is_list(sentence) or not len(sentence):
            raise ValueError(f"row {row:,} of X is {sentence!r}; it must be a list of tokens, at least one")
        strange = [token for token in sentence if not isinstance(token, str)]
        if strange:
            raise ValueError(f"row {row:,} of X has {strange[0]!r}, which is no token; tokens are texts")
    return [list(sentence) for sentence in X]


def _labels(y: Any, sentences: Sequence[Sequence[str]]) -> list[NDArray[Any]]:
    """The labels of each sentence, as objects; ValueError if they are not as many as its tokens."""
    if y is None:
        raise ValueError("SparseTagger requires y to be passed, but the target y is None")
    check_consistent_length(sentences, y)
    for row, (own, sentence) in enumerate(zip(y, sentences, strict=True)):
        if not _is_list(own) or len(own) != len(sentence):
            found = f"{len(own):,} labels" if _is_list(own) else repr(own)
            raise ValueError(
                f"row {row:,} of y has {found}, but row {row:,} of X has {len(sentence):,} tokens; give one"
                " label for each"
            )
        refuse_missing(own, f"the labels of row {row:,} of y")
    return [np.asarray(own, object) for own in y]


def _flat(labels: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Labels of all tokens; ValueError if they are of several kinds, of which NumPy would make texts."""
    flat = np.concatenate(labels)
    classes_of(flat)
    return np.array(flat.tolist())


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)
