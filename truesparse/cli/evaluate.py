"""``truesparse evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truesparse.cli.options import json_option, model_argument
from truesparse.errors import printable
from truesparse.training.reporter import to_json

if TYPE_CHECKING:
    from truesparse.training.use import ClassifierEvaluation, TextEvaluation


@click.command()
@model_argument
@click.option(
    "--data",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Folder, of which a part is taken, or file, which is taken whole."
    "  [default: what it was trained on]",
)
@click.option(
    "--split",
    type=click.Choice(("valid", "test")),
    help="Which part of a folder, of the data it was trained on, or of one text file, cut as in training."
    "  [default: test]",
)
@click.option(
    "--label-column", metavar="NAME", help="Column of labels in CSV files.  [default: as in training]"
)
@click.option(
    "--text-column", metavar="NAME", help="Column of texts in CSV files.  [default: as in training]"
)
@json_option
def evaluate(
    path: Path,
    data: Path | None,
    split: str | None,
    label_column: str | None,
    text_column: str | None,
    as_json: bool,
) -> None:
    """Measure the perplexity of a language model, or how well a classifier tells labels.

    The model is a file, or the best one of a run. A language model reads the text as one stream, and every
    token but the first counts.
    """
    from truesparse.training.use import TextEvaluation, evaluate_file

    result = evaluate_file(path, data, split, label_column, text_column)
    if isinstance(result, TextEvaluation):
        _show_text(result, as_json)
    else:
        _show_classified(result, as_json)


def _show_text(result: TextEvaluation, as_json: bool) -> None:
    if as_json:
        values = {name: getattr(result, name) for name in ("loss", "perplexity", "tokens", "unknown")}
        click.echo(to_json(values))
    else:
        part = "" if result.part == "all" else f"{result.part} "
        unknown = "" if result.unknown is None else f", {100 * result.unknown:.1f} % of them <unk>"
        click.echo(
            f"{part}perplexity {result.perplexity:.2f}"
            f" (loss {result.loss:.4f} over {result.tokens:,} tokens{unknown})"
        )


def _show_classified(result: ClassifierEvaluation, as_json: bool) -> None:
    """Measures and the confusion matrix."""
    labels, classified = result.labels, result.classified
    if as_json:
        matrix = classified.confusion.tolist()
        click.echo(to_json({**classified.measures, "labels": list(labels), "confusion": matrix}))
        return
    from truesparse.cli.display import plain_table, print_table

    measures = classified.measures
    click.echo(
        f"accuracy {measures['accuracy']:.2%}, macro-F1 {measures['macro_f1']:.2%}"
        f" (loss {measures['loss']:.4f} over {measures['texts']:,} texts)\n"
    )
    table = plain_table()
    table.add_column("label \\ told")
    for label in labels:
        table.add_column(printable(label), justify="right")
    for label, row in zip(labels, classified.confusion, strict=True):
        table.add_row(printable(label), *(f"{count:,}" for count in row))
    print_table(table)
