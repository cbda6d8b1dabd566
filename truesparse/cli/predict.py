"""``truesparse predict``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from truesparse.cli.options import model_argument
from truesparse.errors import TruesparseError

if TYPE_CHECKING:
    from truesparse.data.files import TextFile


@click.command()
@model_argument
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "layout",
    type=click.Choice(("lines", "csv")),
    help="What FILE has: a text in each line, or columns."
    "  [default: csv for .csv and .tsv, packed or not, else lines]",
)
@click.option(
    "--text-column", metavar="NAME", help="Column of texts in a CSV file.  [default: as in training]"
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write there instead of printing; whole or not at all.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of CSV.")
def predict(
    path: Path, source: Path, layout: str | None, text_column: str | None, out: Path | None, as_json: bool
) -> None:
    """Classify texts.

    The model is a file, or the best one of a run. FILE has texts, - stands for standard input. Labels come in
    the order of the texts, with the probability of each label, as soon as the texts have arrived. A text that
    has no words gets an empty row.
    """
    from truesparse.data.files import open_text
    from truesparse.data.tables import is_table
    from truesparse.tasks.classifier.use import Classifier

    model = Classifier(path)
    layout = layout or ("csv" if is_table(source.name) else "lines")
    piped = str(source) == "-"
    empty: list[int] = []
    with ExitStack() as stack:
        # A file is opened first, since it may not be there; a stream may wait for what is printed.
        if not piped:
            file = stack.enter_context(open_text(source))
        output = stack.enter_context(_output(out))
        writer = csv.writer(output, lineterminator="\n")
        if not as_json:
            writer.writerow(["label", *(f"p({label})" for label in model.labels)])
        if piped:
            output.flush()
            file = stack.enter_context(open_text(sys.stdin.buffer, "standard input"))
        for chunk in _chunks(file, layout, text_column or model.text_column, model.batch_size):
            numbers, texts = zip(*chunk, strict=True)
            for number, row in zip(numbers, model.predict(texts), strict=True):
                label, probabilities = model.labels[row.argmax()], [f"{value:.6f}" for value in row]
                if row[0] != row[0]:  # NaN
                    label, probabilities = "", [""] * len(row)
                    empty.append(number)
                if not as_json:
                    writer.writerow([label, *probabilities])
                    continue
                values = dict(zip(model.labels, map(float, probabilities), strict=True)) if label else None
                line = json.dumps({"label": label or None, "probabilities": values}, ensure_ascii=False)
                output.write(line + "\n")
            output.flush()
    if empty:
        what = "row" if layout == "csv" else "line"
        click.echo(
            f"truesparse: {len(empty):,} of the texts have no words, the first in {what} {empty[0]:,}"
            "; their rows are empty",
            err=True,
        )


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its place when all is written."""
    if path is None:
        from truesparse.cli.terminal import standard_output

        yield standard_output()
        return
    from truesparse.modelfile.files import replacing

    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        yield stream


def _chunks(file: TextFile, layout: str, column: str, size: int) -> Iterator[list[tuple[int, str]]]:
    """Texts with their numbers: lines as they arrive, or so many rows of a column at a time.

    What was before a mistake comes before its error.
    """
    from truesparse.data.tables import read_columns, read_lines

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
