"""A masked language model, which tells words that are hidden."""

from __future__ import annotations

import numpy as np

from truesparse.data.masking import MASK
from truesparse.modelfile import StoredModel, need_vocabulary
from truesparse.runtime.sequence_model import SequenceModel

Told = list[tuple[str, float]]


class MaskedLanguageModel(SequenceModel):
    """Predicts hidden words from the words around them. Use does not change it.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    vocabulary : Vocabulary or None
        Its last token is ``<mask>``.
    """

    def __init__(self, stored: StoredModel) -> None:
        super().__init__(stored)
        self.vocabulary = stored.vocabulary

    def fill(self, text: str, most: int = 5) -> list[Told]:
        """Predict the words behind ``<mask>`` in a text.

        Parameters
        ----------
        text : str
        most : int
            How many words to return for each.

        Returns
        -------
        list of list of (str, float)
            For each ``<mask>`` the most probable words with their probabilities.

        Raises
        ------
        TruesparseError
            The model has no vocabulary, the text has more tokens than the model reads, or
            the scores are not finite.
        """
        vocabulary = need_vocabulary(self.vocabulary, self._path)
        mask = len(vocabulary) - 1
        pieces = [vocabulary.encode(piece) for piece in text.split(MASK)]
        if len(pieces) == 1:
            return []
        ids = np.concatenate([part for piece in pieces for part in (piece, [mask])][:-1]).astype(np.int64)
        (scores,) = self.log_probabilities([ids])
        said = scores[ids == mask, :mask]
        order = np.argsort(-said, axis=1, kind="stable")[:, :most]
        return [
            [(vocabulary.tokens[word], float(np.exp(own[word]))) for word in words]
            for own, words in zip(said, order, strict=True)
        ]
