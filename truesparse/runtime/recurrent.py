"""What models of sequences have in common: layers that read tokens or features step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.chain import EMBEDDING
from truesparse.layers.on_lstm.step import ONLSTMStep
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.layers.product import Product
from truesparse.layers.step import StepState, step_of
from truesparse.modelfile import StoredModel

Array = NDArray[np.float32]
_OVERFLOW: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}  # whoever uses the scores looks for it


class Recurrence:
    """The embedding, if there is one, and the layers that compute something at each step; keeps no state.

    Parameters
    ----------
    stored : StoredModel

    Raises
    ------
    TruesparseError
        The model predicts at each step without a state, or has a layer that the runtime has not.
    """

    def __init__(self, stored: StoredModel) -> None:
        chain = stored.chain
        self.places, _ = chain.split()
        self.whole = chain.whole
        if chain.per_step and not self.places:
            raise TruesparseError(f"{stored.path} has no recurrent layer, which the runtime needs")
        self._features = chain.features
        self._embedding = stored.matrices.get(EMBEDDING)
        self.layers = [step_of(place, stored.matrices, stored.vectors) for place in self.places]

    def zero_state(self, batch: int) -> list[StepState]:
        """A state of zeros for each layer."""
        return [layer.zero_state(batch) for layer in self.layers]

    def step(self, inputs: NDArray[Any], state: list[StepState]) -> Array:
        """Read one step of each sequence.

        Parameters
        ----------
        inputs : ndarray of int, shape (B,), or of float32, shape (B, D)
            Tokens or features, checked by `check`.
        state : list
            Made by `zero_state`; modified in place.

        Returns
        -------
        ndarray of float32, shape (H, B)
            Output of the last layer; may be a part of the state.
        """
        x = self._first(inputs)
        with np.errstate(**_OVERFLOW):
            for layer, own in zip(self.layers, state, strict=True):
                x = layer.step(x, own)
        return x

    @property
    def ordered(self) -> list[int]:
        """Numbers of the layers whose units are ordered, so that they say where a sentence splits."""
        return [number for number, layer in enumerate(self.layers) if isinstance(layer, ONLSTMStep)]

    def split_points(self, tokens: ArrayLike, number: int) -> Array:
        """What `ONLSTMStep.split_point` of layer `number` says of each token of a text that is read from a
        state of zeros."""
        state, points = self.zero_state(1), []
        for token in self.check(tokens, np.shape(tokens)):
            x = self._first(token[None])
            with np.errstate(**_OVERFLOW):
                for place, (layer, own) in enumerate(zip(self.layers, state, strict=True)):
                    if place == number and isinstance(layer, ONLSTMStep):
                        points.append(layer.split_point(x, own)[0])
                    x = layer.step(x, own)
        return np.array(points, np.float32)

    def run(self, sequences: Sequence[NDArray[Any]]) -> Iterator[Array]:
        """Read sequences of which none is longer than the one before; the output of each step, as `step` has
        it, for those that have not ended."""
        lengths = np.array([len(inputs) for inputs in sequences])
        active = [int(np.count_nonzero(lengths > step)) for step in range(lengths[0])]
        inputs = (np.array([own[step] for own in sequences[:some]]) for step, some in enumerate(active))
        if self.whole:
            yield from self._run_whole(inputs)
            return
        state = self.zero_state(len(sequences))
        for own, some in zip(inputs, active, strict=True):
            yield self.step(own, [tuple(array[:, :some] for array in parts) for parts in state])

    def _run_whole(self, inputs: Iterator[NDArray[Any]]) -> list[Array]:
        """The same, each layer from end to end."""
        steps = [self._first(own) for own in inputs]
        with np.errstate(**_OVERFLOW):
            for layer in self.layers:
                steps = layer.run(steps) if steps else []
        return steps

    def check(self, inputs: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """Tokens as an array of `shape`, or features as one of ``(*shape, D)``.

        Raises
        ------
        TruesparseError
            They are of another shape; tokens no whole numbers or one is not in the vocabulary, or features
            not finite.
        """
        if self._embedding is not None:
            return self._check_tokens(self._embedding.shape[0], inputs, shape)
        numbers = np.asarray(inputs)
        wanted = *shape, self._features
        if numbers.shape != wanted or numbers.dtype.kind not in "biuf":
            raise TruesparseError(
                f"features must be numbers of shape {wanted}, not {numbers.dtype} of shape {numbers.shape}"
                f": the model reads {self._features} at each step"
            )
        with np.errstate(over="ignore"):  # what is infinite is refused later
            numbers = numbers.astype(np.float32, copy=False)
        if not np.isfinite(numbers).all():
            raise TruesparseError("features are NaN, infinite or too large for float32; mend them")
        return numbers

    @staticmethod
    def _check_tokens(size: int, tokens: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
        numbers = np.asarray(tokens)
        if numbers.shape != shape or numbers.dtype.kind not in "iu":
            what = "one whole number" if shape == () else f"whole numbers, an array of shape {shape}"
            raise TruesparseError(
                f"tokens must be {what}, not {numbers.dtype} of shape {numbers.shape}"
                f"; encode text with the model's vocabulary"
            )
        outside = (numbers < 0) | (numbers >= size)
        if outside.any():
            raise TruesparseError(
                f"the token {numbers[outside].flat[0]} is not in the vocabulary, which has the numbers 0 to"
                f" {size - 1}"
            )
        return numbers.astype(np.intp)

    def _first(self, inputs: NDArray[Any]) -> Array:
        """What the first layer reads, shape (D, B)."""
        return inputs.T if self._embedding is None else self._look_up(self._embedding, inputs)

    @staticmethod
    def _look_up(embedding: CSR, tokens: NDArray[np.intp]) -> Array:
        """Embeddings of the tokens, shape (D, B)."""
        indptr, indices, data, shape = embedding
        x = np.zeros((shape[1], tokens.size), np.float32)
        for place, token in enumerate(tokens):
            entries = slice(indptr[token], indptr[token + 1])
            x[indices[entries], place] = data[entries]
        return x

    def parts(self, state: list[StepState]) -> dict[str, NDArray[Any]]:
        """The arrays of a state by names such as ``lstm.0.h``."""
        return {
            name: array
            for place, own in zip(self.places, state, strict=True)
            for name, array in zip(place.state, own, strict=True)
        }


class OutputLayer:
    """Scores of tokens or classes, or numbers in their own units, and the layers that only they need.

    Parameters
    ----------
    stored : StoredModel

    Notes
    -----
    Of a head that has a `Step` of its own, that says the scores.
    """

    __slots__ = ("_bias", "_layers", "_mean", "_product", "_scale")

    def __init__(self, stored: StoredModel) -> None:
        stored = stored.with_sparse_output()
        _, places = stored.chain.split()
        self._layers = [step_of(place, stored.matrices, stored.vectors) for place in places]
        head = stored.chain.head
        if part(type(head), "step"):
            self._layers.append(step_of(stored.chain.places[-1], stored.matrices, stored.vectors))
            self._product: Product | None = None
            return
        self._product = Product(stored.matrices[stored.chain.output_matrix])
        self._bias = stored.vectors["output.bias"][:, None]
        self._mean, self._scale = (
            np.array(numbers, np.float32)[:, None]
            for numbers in ((head.mean, head.scale) if isinstance(head, SquaredError) else ((), ()))
        )

    def __call__(self, x: Array) -> Array:
        """Return what is said, of shape (outputs, B), `x` being of shape (H, B)."""
        with np.errstate(**_OVERFLOW):
            for layer in self._layers:
                x = layer.step(x, ())
            if self._product is None:
                return x
            scores = self._product(x)
            scores += self._bias
            if self._mean.size:
                scores *= self._scale
                scores += self._mean
        return scores


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the first axis, NaN where a score is not finite; overwrites `logits`."""
    with np.errstate(**_OVERFLOW):
        logits -= logits.max(axis=0)
        logits -= np.log(np.exp(logits).sum(axis=0))
    return logits
