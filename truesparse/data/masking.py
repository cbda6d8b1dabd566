"""Windows of a text in which some tokens are hidden, to be predicted from those around them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batch
from truesparse.data.vocabulary import Vocabulary
from truesparse.errors import TruesparseError
from truesparse.settings import shown

MASK = "<mask>"
_HIDDEN, _REPLACED = 0.8, 0.1  # of the tokens to predict; the others stay


def with_mask(vocabulary: Vocabulary, most: int) -> Vocabulary:
    """The most frequent words of a vocabulary, `most` of them, ``<unk>`` and as the last one ``<mask>``."""
    words = vocabulary.with_unknown()
    unknown = words.unknown
    assert unknown is not None
    kept = [token for token in words.tokens[:most] if token != MASK]
    kept += [] if unknown < most else [words.tokens[unknown]]
    return Vocabulary((*kept, MASK), words.level, words.plain_text, words.word_rule)


def check_mask(vocabulary: Vocabulary) -> None:
    """Raise TruesparseError if the last token is not ``<mask>``, which `with_mask` puts there."""
    if vocabulary.tokens[-1] != MASK:
        raise TruesparseError(
            f"a masked language model needs {MASK} as the last token of its vocabulary, not"
            f" {shown(vocabulary.tokens[-1])}"
        )


class MaskedWindows:
    """A text as windows of `length` tokens, each a sequence, in which some are to be predicted.

    Of the tokens to predict, 80 % are ``<mask>`` in the inputs, 10 % a token at random and 10 %
    what they are (Devlin et al., "BERT", 2019, section 3.1). Which ones they are is drawn anew in each epoch,
    as is the order of the windows; both follow from the seed.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_tokens,)
    batch_size, length : int
    vocabulary : Vocabulary
        Made by `with_mask`.
    rate : float
        Which fraction of the tokens is to be predicted.
    seed : int
    shuffled : bool
        Whether the windows of an epoch come in a random order.
    name : str
        What the text is called in messages.

    Raises
    ------
    TruesparseError
        The text is shorter than a window.
    """

    carries: ClassVar[bool] = False

    def __init__(
        self,
        ids: NDArray[np.int32],
        batch_size: int,
        length: int,
        vocabulary: Vocabulary,
        rate: float,
        seed: int,
        shuffled: bool = True,
        name: str = "text",
    ) -> None:
        if len(ids) < length:
            raise TruesparseError(
                f"the {name} has {len(ids):,} tokens, fewer than a window of --length {length}; use a shorter"
                " one, or a longer text"
            )
        self.batch_size, self._length = batch_size, length
        self._windows = -(-len(ids) // length)
        self._ids = np.full((self._windows, length), -1, np.int32)
        self._ids.reshape(-1)[: len(ids)] = ids
        self._mask = len(vocabulary) - 1
        self._rate, self._seed, self._shuffled = rate, seed, shuffled
        self._epoch = -1

    @property
    def longest(self) -> int:
        """Tokens of a window."""
        return self._length

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-self._windows // self.batch_size)

    def batch(self, epoch: int, k: int) -> Batch:
        """Batch `k` of an epoch, both from 0."""
        if epoch != self._epoch:
            self._draw(np.random.default_rng((self._seed, epoch)))
            self._epoch = epoch
        chosen = self._order[k * self.batch_size : (k + 1) * self.batch_size]
        shape = self._length, self.batch_size
        inputs, targets = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
        inputs[:, : len(chosen)] = self._inputs[chosen].T
        targets[:, : len(chosen)] = self._targets[chosen].T
        lengths = (inputs >= 0).sum(axis=0, dtype=np.int32)
        told = int(np.count_nonzero(targets >= 0))
        return Batch(inputs, targets, lengths, counted=told, tokens=int(lengths.sum()), chosen=chosen)

    def _draw(self, rng: np.random.Generator) -> None:
        """Draw the order of the windows, and what is hidden in each: a token at least."""
        self._order = rng.permutation(self._windows) if self._shuffled else np.arange(self._windows)
        ids, there = self._ids, self._ids >= 0
        told = there & (rng.random(ids.shape) < self._rate)
        told[~told.any(axis=1), 0] = True
        fate = rng.random(ids.shape)
        self._targets = np.where(told, ids, np.int32(-1))
        self._inputs = np.where(told & (fate < _HIDDEN), np.int32(self._mask), ids)
        replaced = told & (fate >= _HIDDEN) & (fate < _HIDDEN + _REPLACED)
        self._inputs[replaced] = rng.integers(0, self._mask, np.count_nonzero(replaced))
