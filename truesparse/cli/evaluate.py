"""``truesparse evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.options import json_option, model_argument
from truesparse.training.reporter import to_json


@click.command()
@model_argument
@click.option(
    "--data",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Folder with train, valid and test text, or one text file.  [default: the text it was trained on]",
)
@click.option(
    "--split",
    type=click.Choice(("valid", "test")),
    default="test",
    show_default=True,
    help="Which part of the text.",
)
@json_option
def evaluate(path: Path, data: Path | None, split: str, as_json: bool) -> None:
    """Measure the perplexity of a model.

    The model is a file, or the best one of a run. The text is cut into the batches and windows that it was
    trained with.
    """
    from truesparse.training.use import evaluate_file

    result = evaluate_file(path, data, split)
    if as_json:
        values = {"loss": result.loss, "perplexity": result.perplexity, "tokens": result.tokens}
        click.echo(to_json(values))
    else:
        unknown = "" if result.unknown is None else f", {100 * result.unknown:.1f} % of them <unk>"
        click.echo(
            f"{split} perplexity {result.perplexity:.2f}"
            f" (loss {result.loss:.4f} over {result.tokens:,} tokens{unknown})"
        )
