"""What ``truesparse predict`` prints of a classifier."""

from __future__ import annotations

import json
from collections.abc import Iterator

from truesparse.data.files import TextFile
from truesparse.data.tables import csv_row, is_table, read_columns, read_lines
from truesparse.errors import TruesparseError
from truesparse.tasks.classifier.use import SavedClassifier
from truesparse.training.checkpoint import SavedModel


class TextPredictor:
    """A row for each text: its label, and the probability of each label; see `Predictor`."""

    def __init__(self, saved: SavedModel) -> None:
        self._model = SavedClassifier(saved)
        self._empty: list[int] = []

    def layout(self, name: str) -> str:
        """See `Predictor.layout`."""
        return "csv" if is_table(name) else "lines"

    def header(self, as_json: bool) -> str:
        """The names of the columns."""
        return "" if as_json else csv_row(["label", *(f"p({label})" for label in self._model.labels)])

    def predictions(self, file: TextFile, layout: str, as_json: bool, **columns: str) -> Iterator[str]:
        """See `Predictor.predictions`."""
        model = self._model
        column = columns.get("text_column", model.text_column)
        for chunk in _chunks(file, layout, column, model.batch_size):
            numbers, texts = zip(*chunk, strict=True)
            lines = []
            for number, row in zip(numbers, model.predict(texts), strict=True):
                label, probabilities = model.labels[row.argmax()], [f"{value:.6f}" for value in row]
                if row[0] != row[0]:  # NaN
                    label, probabilities = "", [""] * len(row)
                    self._empty.append(number)
                if not as_json:
                    lines.append(csv_row([label, *probabilities]))
                    continue
                values = dict(zip(model.labels, map(float, probabilities), strict=True)) if label else None
                line = json.dumps({"label": label or None, "probabilities": values}, ensure_ascii=False)
                lines.append(line + "\n")
            yield "".join(lines)

    def remark(self, layout: str) -> str:
        """How many texts had no words."""
        if not self._empty:
            return ""
        what = "row" if layout == "csv" else "line"
        return (
            f"{len(self._empty):,} of the texts have no words, the first in {what} {self._empty[0]:,}"
            "; their rows are empty"
        )


def _chunks(file: TextFile, layout: str, column: str, size: int) -> Iterator[list[tuple[int, str]]]:
    """Texts with their numbers: lines as they arrive, or so many rows of a column at a time.

    What was before a mistake comes before its error.
    """
    if layout == "lines":
        yield from read_lines(file)
        return
    chunk: list[tuple[int, str]] = []
    try:
        for row, (text,) in read_columns(file, {"text": column}):
            chunk.append((row, text))
            if len(chunk) == size:
                yield chunk
                chunk = []
    except TruesparseError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk
