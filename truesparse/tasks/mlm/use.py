"""Measuring a masked language model that was saved, and telling hidden words with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import load_corpus, load_evaluation_text
from truesparse.data.files import TextFile
from truesparse.data.masking import MASK
from truesparse.data.tables import csv_row, read_lines
from truesparse.errors import TruesparseError
from truesparse.layers.positions.spec import Positions
from truesparse.model.loading import SavedModel
from truesparse.modelfile import need_vocabulary
from truesparse.runtime import load_masked_language_model
from truesparse.runtime.masked import Told
from truesparse.tasks.mlm.settings import MaskedConfig
from truesparse.tasks.mlm.task import measured
from truesparse.tasks.rundata import LARGEST_BATCH, find_data
from truesparse.training.evaluation import evaluate as run_model
from truesparse.training.evaluation import perplexity
from truesparse.training.task import crc32_of

_LIKELY = 5  # words to predict for each hidden one


@dataclass(frozen=True)
class MaskedEvaluation:
    """Mean loss of the hidden tokens, in nats; how many tokens the text has, which fraction of them is
    ``<unk>``, and which part of the data it is."""

    loss: float
    tokens: int
    unknown: float
    part: str

    def values(self) -> dict[str, Any]:
        """See `Evaluated.values`."""
        return {
            "loss": self.loss,
            "perplexity": perplexity(self.loss),
            "tokens": self.tokens,
            "unknown": self.unknown,
        }

    def summary(self) -> str:
        """See `Evaluated.summary`."""
        part = "" if self.part == "all" else f"{self.part} "
        return (
            f"{part}perplexity of hidden words {perplexity(self.loss):.2f} (loss {self.loss:.4f}; text of"
            f" {self.tokens:,} tokens, {100 * self.unknown:.1f} % of them <unk>)"
        )

    def table(self) -> list[list[str]]:
        """See `Evaluated.table`."""
        return []


def evaluate(saved: SavedModel, data: Path | None, split: str | None, **columns: str) -> MaskedEvaluation:
    """See `truesparse.tasks.use.evaluate_file`. The same tokens are hidden each time."""
    vocabulary = need_vocabulary(saved.vocabulary, saved.path)
    ids: NDArray[np.int32]
    if data is None:
        split = split or "test"
        found = find_data(saved, MaskedConfig)
        corpus = load_corpus(found.path, vocabulary=vocabulary)
        found.check(crc32_of([corpus.train, corpus.valid]))
        ids = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}[split]
    else:
        split = split or ("test" if data.is_dir() else "all")
        ids = load_evaluation_text(data, vocabulary, split)
    length, size = _longest(saved), min(saved.data.batch_size, LARGEST_BATCH)
    loss, tokens = run_model(saved.model, measured(ids, size, min(length, len(ids)), vocabulary, "text"))
    return MaskedEvaluation(loss, tokens, float(np.mean(ids == vocabulary.unknown)), split)


class MaskPredictor:
    """A row for each hidden word, with the most probable words; see `Predictor`."""

    def __init__(self, saved: SavedModel) -> None:
        self._model = load_masked_language_model(saved.path)
        self._without = 0

    def layout(self, name: str) -> str:
        """See `Predictor.layout`."""
        return "lines"

    def header(self, as_json: bool) -> str:
        """The names of the columns."""
        names = [name for n in range(1, _LIKELY + 1) for name in (f"word {n}", f"p {n}")]
        return "" if as_json else csv_row(["line", *names])

    def predictions(self, file: TextFile, layout: str, as_json: bool, **columns: str) -> Iterator[str]:
        """See `Predictor.predictions`."""
        for chunk in read_lines(file):
            lines = []
            for number, text in chunk:
                try:
                    told = self._model.fill(text, _LIKELY)
                except TruesparseError as error:
                    raise TruesparseError(f"line {number:,} of {file.name}: {error}") from None
                self._without += not told
                lines += [_row(number, words, as_json) for words in told]
            yield "".join(lines)

    def remark(self, layout: str) -> str:
        """How many lines hide nothing."""
        return f"{self._without:,} of the lines have no {MASK}" if self._without else ""


def _row(number: int, words: Told, as_json: bool) -> str:
    if as_json:
        told = {word: round(probability, 6) for word, probability in words}
        return json.dumps({"line": number, "words": told}, ensure_ascii=False) + "\n"
    return csv_row([str(number), *(cell for word, p in words for cell in (word, f"{p:.6f}"))])


def _longest(saved: SavedModel) -> int:
    """How many tokens the model reads at once."""
    found = (layer.longest for layer in saved.chain.layers if isinstance(layer, Positions))
    longest = next(found, None)
    if longest is None:
        raise TruesparseError(f"{saved.path} knows no positions, so it is of no truesparse train mlm")
    return longest
