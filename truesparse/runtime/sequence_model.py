"""A model that reads features or predicts numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from truesparse.errors import UsageError
from truesparse.layers.output.spec import Softmax
from truesparse.runtime.reader import Reader, Stream
from truesparse.runtime.recurrent import Array, log_softmax


class SequenceModel(Reader):
    """Predicts numbers or a class, for a sequence or each of its steps. Use does not change it.

    Streams hold the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : ChainSpec
        `chain.features` are the numbers that it reads at each step; `chain.per_step` is whether it predicts
        something at each.
    labels : tuple of str
        Names of the classes, if they have any.
    """

    def predict(self, sequences: Sequence[ArrayLike]) -> Any:
        """Return numbers, in the units of training, or the most probable classes.

        Parameters
        ----------
        sequences : sequence of array_like of float, shape (steps, D), or (steps,) where D is 1
            An array of shape (n, steps, D), or a list of sequences that may differ in length. Of a model that
            reads tokens whole numbers, (steps,).

        Returns
        -------
        ndarray of float32, shape (n, outputs); or list
            Numbers of each sequence; or its class: a label, or where there are none the number of one. Of a
            model that predicts at each step, a list of arrays (steps, outputs), or of lists of classes.

        Raises
        ------
        TruesparseError
            A sequence cannot be read, or what is said is not finite.
        """
        said = self._outputs(sequences)
        if not isinstance(self.chain.head, Softmax):
            return said
        if self.chain.per_step:
            return [self._named(own) for own in said]
        return self._named(said)

    def predict_proba(self, sequences: Sequence[ArrayLike]) -> Any:
        """Return the probabilities of the classes, ndarray of float32 of shape (n, classes), or a list of
        arrays (steps, classes); parameters are those of `predict`."""
        said = self.log_probabilities(sequences)
        return [np.exp(own) for own in said] if self.chain.per_step else np.exp(said)

    def log_probabilities(self, sequences: Sequence[ArrayLike]) -> Any:
        """Return the logarithms of what `predict_proba` returns.

        Raises
        ------
        UsageError
            The model predicts numbers.
        """
        if not isinstance(self.chain.head, Softmax):
            raise UsageError("the model predicts numbers, which have no probabilities; use predict")
        return self._outputs(sequences)

    def stream(self, batch: int | None = None) -> SequenceStream:
        """Begin to read step by step.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, whose features are an array (D,).
        """
        return SequenceStream(self, batch)

    def _named(self, scores: Array) -> list[Any]:
        places = scores.argmax(axis=1).tolist()
        return [self.labels[place] for place in places] if self.labels else places


class SequenceStream(Stream):
    """Sequences on their way through a model. Made by `SequenceModel.stream`."""

    __slots__ = ()

    def step(self, inputs: ArrayLike) -> Array:
        """Read a step of each sequence and return the prediction after it.

        Parameters
        ----------
        inputs
            As for `advance`.

        Returns
        -------
        ndarray of float32, shape (batch, outputs) or (outputs,)
            See `outputs`.
        """
        self.advance(inputs)
        return self.outputs()

    def outputs(self) -> Array:
        """Return numbers, or log-probabilities of classes, given what was read: of the last step, or of a
        model of whole sequences, of all steps so far.

        Returns
        -------
        ndarray of float32, shape (batch, outputs) or (outputs,)
        """
        said = self._logits()
        return self._by_sequence(log_softmax(said) if isinstance(self._chain.head, Softmax) else said)
