"""``truesparse predict``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from truesparse.cli.options import model_argument


@click.command()
@model_argument
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "layout",
    type=click.Choice(("lines", "csv")),
    help="What FILE has: a text in each line, or columns.  [default: csv for .csv and .csv.gz, else lines]",
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
    the order of the texts, with the probability of each label, as soon as the texts have arrived.
    """
    from truesparse.training.use import Classifier

    model = Classifier(path)
    name = "standard input" if str(source) == "-" else str(source)
    layout = layout or ("csv" if source.name.removesuffix(".gz").endswith(".csv") else "lines")
    with _opened(source) as stream, _output(out) as output:
        writer = csv.writer(output, lineterminator="\n")
        if not as_json:
            writer.writerow(["label", *(f"p({label})" for label in model.labels)])
        for chunk in _chunks(stream, layout, text_column or model.text_column, name, model.batch_size):
            for row in model.predict(chunk, name, "row" if layout == "csv" else "line"):
                label, probabilities = model.labels[row.argmax()], [f"{number:.6f}" for number in row]
                if as_json:
                    numbers = dict(zip(model.labels, map(float, probabilities), strict=True))
                    line = json.dumps({"label": label, "probabilities": numbers}, ensure_ascii=False)
                    output.write(line + "\n")
                else:
                    writer.writerow([label, *probabilities])
            output.flush()


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    """The file, or standard input, which stays open."""
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    from truesparse.data.tables import open_binary

    with open_binary(source) as stream:
        yield stream


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


def _chunks(
    stream: BinaryIO, layout: str, column: str, name: str, size: int
) -> Iterator[list[tuple[int, str]]]:
    """Texts with their numbers: lines as they arrive, or so many rows of a column at a time."""
    from truesparse.data.tables import read_columns, read_lines

    if layout == "lines":
        yield from read_lines(stream, name)
        return
    rows = ((row, text) for row, (text,) in read_columns(stream, {"text": column}, name))
    while chunk := list(islice(rows, size)):
        yield chunk
