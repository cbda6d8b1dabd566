"""Measuring a tagger that was saved, and tagging with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.data import Sequences, TokenEncoder
from truesparse.data.files import TextFile
from truesparse.errors import TruesparseError
from truesparse.model.loading import SavedModel
from truesparse.modelfile import need_encoder, scores_overflow
from truesparse.tasks.labelled import examples_to_measure
from truesparse.tasks.rundata import LARGEST_BATCH
from truesparse.tasks.steps import WINDOW, step_outputs, steps_at_once
from truesparse.tasks.tagger.data import SENTENCES
from truesparse.tasks.tagger.reading import Sentence, TokenColumns, layout_of, read_sentences
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.tasks.tagger.spans import Scheme
from truesparse.tasks.tagger.task import Labelled, measure


@dataclass(frozen=True)
class TaggerEvaluation:
    """How a tagger has labelled tokens whose labels are known.

    Attributes
    ----------
    labelled : Labelled
    unknown : float
        The fraction of the tokens that is ``<unk>``.
    """

    labelled: Labelled
    unknown: float

    def values(self) -> dict[str, Any]:
        """See `Evaluated.values`."""
        counts = self.labelled.counts
        each = {
            name: {**counts.rates(number), "count": int(counts.there[number])}
            for number, name in enumerate(counts.names)
        }
        kind = "types" if self.labelled.spans else "labels"
        return {**self.labelled.measures, "unknown": self.unknown, kind: each}

    def summary(self) -> str:
        """See `Evaluated.summary`."""
        measures = self.labelled.measures
        spans = ""
        if self.labelled.spans:
            spans = (
                f", F1 {measures['f1']:.2%} (precision {measures['precision']:.2%}, recall"
                f" {measures['recall']:.2%})"
            )
        return (
            f"accuracy {measures['accuracy']:.2%}{spans}; loss {measures['loss']:.4f} over"
            f" {measures['tokens']:,} tokens, {100 * self.unknown:.1f} % of them <unk>"
        )

    def table(self) -> list[list[str]]:
        """A row for each type of span, or for each label."""
        rows = [
            [name or "span", *(f"{value:.2%}" for value in list(each.values())[:3]), f"{each['count']:,}"]
            for name, each in self.values()["types" if self.labelled.spans else "labels"].items()
        ]
        return [["type" if self.labelled.spans else "label", "precision", "recall", "F1", "count"], *rows]


def evaluate(saved: SavedModel, data: Path | None, split: str | None, **columns: str) -> TaggerEvaluation:
    """See `truesparse.tasks.use.evaluate_file`."""
    encoder = need_encoder(saved.encoder, saved.path, TokenEncoder)
    where = TokenColumns(
        columns.get("token_column", saved.data.token_column), columns.get("tag_column", saved.data.tag_column)
    )
    _, sentences = examples_to_measure(saved, data, split, TaggerConfig, SENTENCES, where)
    size = min(saved.data.batch_size, LARGEST_BATCH, len(sentences.inputs))
    workspace = saved.model.workspace(steps_at_once(saved.model.chain, sentences.inputs), size)
    labelled = measure(saved.model, sentences, saved.labels, Scheme.of(saved.labels), workspace)
    return TaggerEvaluation(labelled, float(np.mean(sentences.inputs.values == encoder.vocabulary.unknown)))


class SavedTagger:
    """A trained tagger, for sentences whose labels nobody knows.

    Parameters
    ----------
    saved : SavedModel
        Of a tagger.

    Raises
    ------
    TruesparseError
        A weight is not finite.
    """

    def __init__(self, saved: SavedModel) -> None:
        self._encoder = need_encoder(saved.encoder, saved.path, TokenEncoder)
        saved.check_finite()
        self._saved = saved
        self._batch_size = min(saved.data.batch_size, LARGEST_BATCH)
        self._workspace = saved.model.workspace(WINDOW, self._batch_size)

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Tag sentences, all tokens of them.

        Parameters
        ----------
        sentences : sequence of sequence of str
            Tokens. There may be none.

        Returns
        -------
        list of list of str
            A label for each token.

        Raises
        ------
        TruesparseError
            The scores of a token are not finite, or a sentence is too long for a tagger of both directions.
        """
        labels: list[list[str]] = [[] for _ in sentences]
        some = {place: tokens for place, tokens in enumerate(sentences) if tokens}
        if not some:
            return labels
        ids = Sequences.of([self._encoder.encode(tokens) for tokens in some.values()])
        told = np.empty(len(ids.values), np.int64)
        steps = steps_at_once(self._saved.model.chain, ids)
        if steps > self._workspace.window.panels.steps:
            self._workspace = self._saved.model.workspace(steps, self._batch_size)
        for where, scores in step_outputs(self._saved.model, ids, self._workspace):
            if np.isnan(scores).any():
                raise scores_overflow(self._saved.path)
            told[where] = scores.argmax(axis=1)
        for number, place in enumerate(some):
            own = told[ids.starts[number] : ids.starts[number + 1]]
            labels[place] = [self._saved.labels[label] for label in own]
        return labels


class TagPredictor:
    """A line for each token, with its label, and an empty one after each sentence; see `Predictor`."""

    def __init__(self, saved: SavedModel) -> None:
        self._tagger = SavedTagger(saved)
        self._columns = TokenColumns(saved.data.token_column, saved.data.tag_column)

    def layout(self, name: str) -> str:
        """See `Predictor.layout`."""
        return layout_of(name, "lines")

    def header(self, as_json: bool) -> str:
        """Nothing."""
        return ""

    def predictions(self, file: TextFile, layout: str, as_json: bool, **columns: str) -> Iterator[str]:
        """See `Predictor.predictions`."""
        where = self._columns._replace(token=columns.get("token_column", self._columns.token))
        for sentences in read_sentences(file, layout, where, labelled=False):
            labels = self._tagger.predict([sentence.tokens for sentence in sentences])
            write = _as_json if as_json else _as_conll
            yield "".join(
                write(sentence, own, file.name) for sentence, own in zip(sentences, labels, strict=True)
            )

    def remark(self, layout: str) -> str:
        """Nothing."""
        return ""


def _as_json(sentence: Sentence, labels: list[str], name: str) -> str:
    return json.dumps({"tokens": sentence.tokens, "labels": labels}, ensure_ascii=False) + "\n"


def _as_conll(sentence: Sentence, labels: list[str], name: str) -> str:
    for token in sentence.tokens:
        if not token.strip() or any(mark in token for mark in "\t\n\r"):
            raise TruesparseError(
                f"line {sentence.line:,} of {name} has the token {token!r}, which does not fit into a line of"
                " columns; use --json"
            )
    lines = (f"{token}\t{label}\n" for token, label in zip(sentence.tokens, labels, strict=True))
    return "".join(lines) + "\n"
