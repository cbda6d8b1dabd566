"""Measuring a language model that was saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Vocabulary, load_corpus, load_evaluation_text
from truesparse.model.loading import SavedModel
from truesparse.modelfile import StoredModel, need_vocabulary
from truesparse.tasks.lm.measures import comparable, text_measures
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.rundata import find_data
from truesparse.training.evaluation import evaluate_stream, perplexity
from truesparse.training.task import crc32_of


@dataclass(frozen=True)
class TextEvaluation:
    """Mean loss per token, in nats, over how many tokens; of which part of the data, "all" for a whole file;
    and which fraction of the text is ``<unk>``.

    `unknown` is None for a vocabulary without ``<unk>``. A high one says that the text does not fit the
    vocabulary, which makes the loss low: unknown words are easily told. `comparable` is what `text_measures`
    says.
    """

    loss: float
    tokens: int
    part: str
    unknown: float | None
    comparable: dict[str, float] = field(default_factory=dict)

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)

    def values(self) -> dict[str, Any]:
        """See `Evaluated.values`."""
        own = {name: getattr(self, name) for name in ("loss", "perplexity", "tokens", "unknown")}
        return own | self.comparable

    def summary(self) -> str:
        """See `Evaluated.summary`."""
        part = "" if self.part == "all" else f"{self.part} "
        unknown = "" if self.unknown is None else f", {100 * self.unknown:.1f} % of them <unk>"
        return (
            f"{part}perplexity {self.perplexity:.2f}"
            f" (loss {self.loss:.4f} over {self.tokens:,} tokens{unknown}){comparable(self.comparable)}"
        )

    def table(self) -> list[list[str]]:
        """See `Evaluated.table`."""
        return []


def evaluate(saved: SavedModel, data: Path | None, split: str | None, **columns: str) -> TextEvaluation:
    """See `truesparse.tasks.use.evaluate_file`."""
    vocabulary = need_vocabulary(saved.vocabulary, saved.path)
    if data is None:
        split = split or "test"
        ids = text_of_training(saved, vocabulary, split)
    else:
        split = split or ("test" if data.is_dir() else "all")
        ids = load_evaluation_text(data, vocabulary, split)
    result = evaluate_stream(saved.model, ids, saved.data.batch_size, saved.data.bptt)
    number = vocabulary.unknown
    unknown = None if number is None else float(np.mean(ids == number))
    return TextEvaluation(*result, split, unknown, text_measures(result.loss, ids[1:], vocabulary))


def text_of_training(
    saved: SavedModel | StoredModel, vocabulary: Vocabulary, split: str
) -> NDArray[np.int32]:
    """One part of the text that a model was trained on."""
    found = find_data(saved, LanguageModelConfig)
    corpus = load_corpus(found.path, vocabulary=vocabulary)
    found.check(crc32_of([corpus.train, corpus.valid]))
    return {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}[split]
