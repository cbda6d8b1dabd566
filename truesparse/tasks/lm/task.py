"""The task of predicting the next token of a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from truesparse.data import Corpus, Windows, load_corpus, unigram_perplexity
from truesparse.data.subwords import SUBWORDS
from truesparse.data.words import WORD_RULE, Level
from truesparse.tasks.lm.measures import text_measures
from truesparse.tasks.lm.settings import LanguageModelConfig, language_model_chain
from truesparse.training.evaluation import evaluate, perplexity
from truesparse.training.task import Measures, ReadsAs, Task, Workspaces, crc32_of

if TYPE_CHECKING:
    from truesparse.model import Model


class LanguageModeling(Task):
    """A language model on a corpus, read in windows of `bptt` steps; the state is carried through an epoch.

    Parameters
    ----------
    config : LanguageModelConfig
        Filled in.
    corpus : Corpus, optional
        The one that the configuration names if not given.
    word_rule : int
        Version of the rule that says what a word is, for a text that is read.
    like : ReadsAs, optional
        Has the vocabulary for a text that is read, if that is of the same level.

    Attributes
    ----------
    windows : dict of str to Windows
        Of the parts "train", "valid" and "test".

    Raises
    ------
    UsageError, TruesparseError
        The text cannot be read, or a part of it is too short.
    """

    def __init__(
        self,
        config: LanguageModelConfig,
        corpus: Corpus | None = None,
        word_rule: int = WORD_RULE,
        like: ReadsAs | None = None,
    ) -> None:
        if corpus is None:
            level, most = cast(Level, config.level), config.vocabulary or SUBWORDS
            words = like.vocabulary if like is not None else None
            words = words if words is not None and words.level == level else None
            corpus = load_corpus(config.data, level, words, word_rule, most)
        size = config.batch_size, config.bptt
        varied = config.seed if config.random_windows else None
        self.windows = {
            "train": Windows(corpus.train, *size, "training text", varied),
            "valid": Windows(corpus.valid, *size, "validation text"),
            "test": Windows(corpus.test, *size, "test text"),
        }
        chain = language_model_chain(config, len(corpus.vocabulary))
        super().__init__(config, chain, self.windows["train"])
        self._unigram = {
            part: unigram_perplexity(corpus.train, text, len(corpus.vocabulary))
            for part, text in (("valid", corpus.valid), ("test", corpus.test))
        }
        self.name = corpus.name
        self.description = corpus.description
        self.crc32 = crc32_of([corpus.train, corpus.valid])
        self.reading = {"vocabulary": corpus.vocabulary}
        self._test_text = corpus.test

    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """See `Task.evaluate`; also `perplexity` and `tokens`."""
        windows = self.windows[part]
        workspace = workspaces(windows.longest, windows.batch_size // self.communicator.size)
        loss, tokens = evaluate(model, windows, workspace, stop, self.communicator)
        return {**self.of_loss(loss), "tokens": tokens}

    def of_loss(self, loss: float) -> Measures:
        """`loss` and `perplexity`."""
        return {"loss": loss, "perplexity": perplexity(loss)}

    def results(self, valid: Measures, test: Measures) -> Measures:
        """Perplexities, also of a model that knows only how often each token occurs; `text_measures`."""
        of_text = text_measures(test["loss"], self._test_text, self.reading["vocabulary"])
        return {
            "valid_perplexity": perplexity(valid["loss"]),
            "test_perplexity": test["perplexity"],
            "unigram_perplexity": self._unigram["test"],
            "valid_unigram_perplexity": self._unigram["valid"],
            **{f"test_{name}": value for name, value in of_text.items()},
        }
