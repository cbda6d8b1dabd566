"""What models of sequences have in common: an embedding and recurrent layers, read token by token."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.errors import TruesparseError
from truesparse.modelfile import StoredModel
from truesparse.runtime.layers import LAYERS

Array = NDArray[np.float32]
State = list[tuple[Array, ...]]


class Recurrent:
    """Embedding and layers; keeps no state.

    Parameters
    ----------
    stored : StoredModel
    """

    def __init__(self, stored: StoredModel) -> None:
        architecture = stored.architecture
        layer = LAYERS[architecture.cell]
        self._embedding = stored.matrices["embedding.weight"]
        self.names = architecture.layer_names
        self.layers = [layer(stored, name) for name in self.names]

    def zero_state(self, batch: int) -> State:
        """A state of zeros for each layer."""
        return [
            tuple(np.zeros((layer.units, batch), np.float32) for _ in layer.PARTS) for layer in self.layers
        ]

    def step(self, tokens: NDArray[np.intp], state: State) -> Array:
        """Read one token of each sequence.

        Parameters
        ----------
        tokens : ndarray of int, shape (B,)
            Checked by `check_tokens`.
        state : list
            Made by `zero_state`; modified in place.

        Returns
        -------
        ndarray of float32, shape (H, B)
            Output of the last layer: a part of the state.
        """
        x = self._look_up(tokens)
        for layer, own in zip(self.layers, state, strict=True):
            layer.step(x, own)
            x = own[0]
        return x

    def check_tokens(self, tokens: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Tokens as an array of `shape`.

        Raises
        ------
        TruesparseError
            They are no whole numbers, too few or many, or one is not in the vocabulary.
        """
        numbers = np.asarray(tokens)
        if numbers.shape != shape or numbers.dtype.kind not in "iu":
            what = "one whole number" if shape == () else f"whole numbers, an array of shape {shape}"
            raise TruesparseError(
                f"tokens must be {what}, not {numbers.dtype} of shape {numbers.shape}"
                f"; encode text with the model's vocabulary"
            )
        size = self._embedding.shape[0]
        outside = (numbers < 0) | (numbers >= size)
        if outside.any():
            raise TruesparseError(
                f"the token {numbers[outside].flat[0]} is not in the vocabulary, which has the numbers 0 to"
                f" {size - 1}"
            )
        return numbers.astype(np.intp)

    def _look_up(self, tokens: NDArray[np.intp]) -> Array:
        """Embeddings of the tokens, shape (D, B)."""
        indptr, indices, data, shape = self._embedding
        x = np.zeros((shape[1], tokens.size), np.float32)
        for place, token in enumerate(tokens):
            entries = slice(indptr[token], indptr[token + 1])
            x[indices[entries], place] = data[entries]
        return x

    def state_arrays(self, state: State) -> dict[str, Array]:
        """Copies of a state's arrays by names such as ``lstm.0.h``, shape (H, B)."""
        return {name: array.copy() for name, array in self._parts(state).items()}

    def load_state(self, state: State, arrays: Mapping[str, Array]) -> None:
        """Overwrite a state by what `state_arrays` returned.

        Raises
        ------
        TruesparseError
            Names or shapes are other ones.
        """
        parts = self._parts(state)
        for name, array in parts.items():
            if name not in arrays or np.shape(arrays[name]) != array.shape:
                raise TruesparseError(f"the state {name} is not of the shape {array.shape} of this stream")
        for name, array in parts.items():
            array[...] = arrays[name]

    def _parts(self, state: State) -> dict[str, Array]:
        return {
            f"{name}.{part}": array
            for name, layer, own in zip(self.names, self.layers, state, strict=True)
            for part, array in zip(layer.PARTS, own, strict=True)
        }


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the first axis; overwrites `logits`."""
    logits -= logits.max(axis=0)
    logits -= np.log(np.exp(logits).sum(axis=0))
    return logits
