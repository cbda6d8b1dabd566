"""What a loss per token says of a text."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Vocabulary, tokenise
from truesparse.training.evaluation import perplexity


def text_measures(loss: float, ids: NDArray[np.int32], vocabulary: Vocabulary) -> dict[str, float]:
    r"""A loss per token as what can be compared between models of characters, subwords and words.

    .. math:: \frac{loss}{\ln 2} \frac{tokens}{characters}, \qquad
        \exp\Bigl(loss \frac{tokens}{words}\Bigr)

    Parameters
    ----------
    loss : float
        Mean per token, in nats.
    ids : ndarray of int32, shape (n_tokens,)
        The text that was predicted.
    vocabulary : Vocabulary

    Returns
    -------
    dict
        `bits_per_character`, `bits_per_byte` (of UTF-8) and `word_perplexity`, for which words are what white
        space separates, and line ends, as Penn Treebank counts them. Empty for a model of words, whose
        perplexity is that of words already.
    """
    if vocabulary.level == "word":
        return {}
    # An unknown character is none that could be read back: its bits count, but it does not.
    text, nats = vocabulary.decode(ids[ids != vocabulary.unknown]), loss * len(ids)
    return {
        "bits_per_character": nats / log(2) / max(len(text), 1),
        "bits_per_byte": nats / log(2) / max(len(text.encode()), 1),
        "word_perplexity": perplexity(nats / max(len(tokenise(text)), 1)),
    }


def comparable(measures: Mapping[str, float], prefix: str = "") -> str:
    """What `text_measures` found, in words that follow others; the names may have a prefix."""
    if f"{prefix}bits_per_character" not in measures:
        return ""
    return (
        f"; {measures[f'{prefix}bits_per_character']:.3f} bits per character,"
        f" {measures[f'{prefix}word_perplexity']:.2f} perplexity per word"
    )
