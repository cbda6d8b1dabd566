"""The structure of a sentence that ordered neurons suggest, though nobody taught it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LONGEST = 400  # tokens of a sentence; a tree may be as deep


class Parse(NamedTuple):
    """A sentence, and the distances between its tokens.

    Attributes
    ----------
    tokens : tuple of str
    distances : ndarray of float32, shape (tokens,)
        How far each token is from the one before it, in chunks of units: how many of them the layer is
        expected to overwrite when it reads the token.
    layer : int
        Which of the layers of ordered neurons says so, 1 for the first.

    Examples
    --------
    >>> print(Parse(("the", "old", "cat", "sleeps"), np.array([2.0, 0.5, 0.3, 1.5]), 1).brackets())
    (the ((old cat) sleeps))
    """

    tokens: tuple[str, ...]
    distances: NDArray[np.float32]
    layer: int

    def brackets(self) -> str:
        """The binary tree as text: the largest distance parts what is before it from the token and what is
        behind, and so on within the parts.

        References
        ----------
        Shen, Tan, Sordoni & Courville, "Ordered neurons: integrating tree structures into recurrent neural
        networks", 2019, section 5.2.
        """
        return self._brackets(0, len(self.tokens))

    def _brackets(self, first: int, end: int) -> str:
        """The tree of some tokens, ((those before) (token (those behind)))."""
        if end - first < 2:
            return " ".join(self.tokens[first:end])
        split = first + int(np.argmax(self.distances[first:end]))
        behind = self._brackets(split + 1, end)
        last = f"({self.tokens[split]} {behind})" if behind else self.tokens[split]
        return last if split == first else f"({self._brackets(first, split)} {last})"
