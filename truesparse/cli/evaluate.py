"""``truesparse evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.help import Command
from truesparse.cli.options import column_options, json_option, model_argument, path_option
from truesparse.errors import printable
from truesparse.training.reporter import to_json

_EXAMPLES = """
truesparse evaluate RUN
truesparse evaluate RUN --data other.txt --json
"""


@click.command(cls=Command, examples=_EXAMPLES)
@model_argument
@path_option(
    "--data",
    "Folder, of which a part is taken, or file, which is taken whole.  [default: what it was trained on]",
    metavar="PATH",
)
@click.option(
    "--split",
    type=click.Choice(("valid", "test")),
    help="Which part of a folder, of the data it was trained on, or of one text file, cut as in training."
    "  [default: test]",
)
@column_options()
@json_option
def evaluate(
    path: Path,
    data: Path | None,
    split: str | None,
    as_json: bool,
    **columns: str | None,
) -> None:
    """Measure the perplexity of a language model, or how well a model predicts labels or numbers.

    The model is a file, or the best one of a run. A language model reads the text as one stream, and every
    token but the first counts.
    """
    from truesparse.tasks.use import evaluate_file

    result = evaluate_file(path, data, split, **columns)
    if as_json:
        click.echo(to_json(result.values()))
        return
    click.echo(result.summary())
    if rows := result.table():
        from truesparse.cli.display import plain_table, print_table

        click.echo()
        first, *others = map(printable, rows[0])
        table = plain_table(first, numbers=others)
        for label, *cells in rows[1:]:
            table.add_row(printable(label), *cells)
        print_table(table)
