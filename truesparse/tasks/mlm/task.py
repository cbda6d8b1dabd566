"""The task of telling tokens of a text that are hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Corpus, load_corpus, unigram_perplexity
from truesparse.data.masking import MASK, MaskedWindows, with_mask
from truesparse.data.words import WORD_RULE
from truesparse.tasks.mlm.settings import MaskedConfig
from truesparse.training.evaluation import evaluate, perplexity
from truesparse.training.task import Measures, ReadsAs, Task, Workspaces, crc32_of

if TYPE_CHECKING:
    from truesparse.data import Vocabulary
    from truesparse.model import Model

MEASURED_BY = 0  # the seed of what is hidden of texts that are measured, whatever that of training
RATE = 0.15  # of their tokens that are hidden


class MaskedLanguageModeling(Task):
    """A masked language model on a corpus, read in windows that know nothing of each other.

    Parameters
    ----------
    config : MaskedConfig
        Filled in.
    word_rule : int
        Version of the rule that says what a word is.
    like : ReadsAs, optional
        Has the vocabulary for the text.

    Raises
    ------
    UsageError, TruesparseError
        The text cannot be read, or a part of it is too short.
    """

    def __init__(self, config: MaskedConfig, word_rule: int = WORD_RULE, like: ReadsAs | None = None) -> None:
        corpus = _read(config, word_rule, like)
        words = corpus.vocabulary
        size = config.batch_size, config.length, words
        train = MaskedWindows(corpus.train, *size, config.mask_rate, config.seed, name="training text")
        super().__init__(config, config.chain(len(words)), train)
        self.parts = {
            part: measured(text, *size, f"{part} text")
            for part, text in (("valid", corpus.valid), ("test", corpus.test))
        }
        self._unigram = unigram_perplexity(corpus.train, corpus.test, len(words))
        self.name = corpus.name
        self.description = f"{corpus.description}, of which {len(words) - 1:,} and {MASK} are used"
        self.crc32 = crc32_of([corpus.train, corpus.valid])
        self.reading = {"vocabulary": words}

    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """See `Task.evaluate`; also `perplexity` of the hidden tokens, and `tokens` of the text."""
        windows = self.parts[part]
        workspace = workspaces(windows.longest, windows.batch_size // self.communicator.size)
        loss, tokens = evaluate(model, windows, workspace, stop, self.communicator)
        return {**self.of_loss(loss), "tokens": tokens}

    def of_loss(self, loss: float) -> Measures:
        """`loss` and `perplexity`."""
        return {"loss": loss, "perplexity": perplexity(loss)}

    def results(self, valid: Measures, test: Measures) -> Measures:
        """Perplexities, also of a model that knows only how often each token occurs."""
        return {
            "valid_perplexity": perplexity(valid["loss"]),
            "test_perplexity": test["perplexity"],
            "unigram_perplexity": self._unigram,
        }


def measured(
    ids: NDArray[np.int32], batch_size: int, length: int, vocabulary: Vocabulary, name: str
) -> MaskedWindows:
    """A text to measure by: the same tokens are hidden whoever asks."""
    return MaskedWindows(ids, batch_size, length, vocabulary, RATE, MEASURED_BY, False, name)


def _read(config: MaskedConfig, word_rule: int, like: ReadsAs | None) -> Corpus:
    """The text, in the numbers of the most frequent words."""
    if like is not None and like.vocabulary is not None:
        return load_corpus(config.data, vocabulary=like.vocabulary)
    corpus = load_corpus(config.data, "word", word_rule=word_rule)
    words = with_mask(corpus.vocabulary, config.vocabulary)
    own = words.encode_tokens(corpus.vocabulary.tokens)
    parts = (own[part] for part in (corpus.train, corpus.valid, corpus.test))
    return Corpus(corpus.name, corpus.description, words, *parts)
