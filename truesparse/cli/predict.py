"""``truesparse predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import click

from truesparse.cli.help import Command
from truesparse.cli.options import column_options, model_argument, path_option
from truesparse.errors import UsageError, printable
from truesparse.settings import listed
from truesparse.tasks.registry import TASKS, task_of

_LAYOUTS = tuple(dict.fromkeys(layout for kind in TASKS.values() for layout in kind.LAYOUTS))


_EXAMPLES = """
truesparse predict RUN new.csv --out labels.csv
truesparse predict RUN - < texts.txt
"""


@click.command(cls=Command, examples=_EXAMPLES, rest="Data")
@model_argument
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "layout",
    type=click.Choice(_LAYOUTS),
    help="What FILE has: a text in each line; columns; for a tagger also a token in each line (conll), or"
    " JSON (jsonl); for numbers also npz, ts, parquet or arrow.  [default: what its name says, else lines]",
)
@column_options(only_read=True)
@path_option("--out", "Write there instead of printing; whole or not at all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def predict(
    path: Path, source: Path, layout: str | None, out: Path | None, as_json: bool, **columns: str | None
) -> None:
    """Predict labels of texts and tokens, or labels, numbers and next steps of sequences.

    The model is a file, or the best one of a run. FILE has texts; - is standard input. Predictions come in
    the order of the texts, as soon as these have arrived. A classifier writes a row of CSV for each text:
    the label and the probability of each label. A text without words gets an empty row. A tagger writes a
    line for each token, with the token and its label, and an empty line after each sentence. In FILE, spaces
    separate the tokens of a sentence. A model of numbers writes a row of CSV for each sequence, step or next
    step.
    """
    from truesparse.data.files import open_file
    from truesparse.model.loading import load_model
    from truesparse.modelfile import find_model
    from truesparse.tasks.use import check_columns

    saved = load_model(find_model(path))
    kind = task_of(saved)
    predictor = kind.predictor(saved)
    given = check_columns(saved, columns)
    layout = layout or predictor.layout(source.name)
    if layout not in kind.LAYOUTS:
        raise UsageError(
            f"--format {layout} is not for {printable(saved.path)}, a model of truesparse train {kind.TASK}"
            f"; use {listed(kind.LAYOUTS)}"
        )
    piped = str(source) == "-"
    with ExitStack() as stack:
        # A file is opened first, since it may not be there; a stream may wait for what is printed.
        if not piped:
            file = stack.enter_context(open_file(source, layout))
        output = stack.enter_context(_output(out))
        header = predictor.header(as_json)
        if piped:
            output.write(header)
            output.flush()
            header, file = "", stack.enter_context(open_file(sys.stdin.buffer, layout, "standard input"))
        for piece in predictor.predictions(file, layout, as_json, **given):
            output.write(header + piece)
            output.flush()
            header = ""
        output.write(header)
    if remark := predictor.remark(layout):
        click.echo(f"truesparse: {remark}", err=True)


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that takes its place when all is written."""
    if path is None:
        from truesparse.cli.terminal import standard_output

        yield standard_output()
        return
    from truesparse.files import replacing

    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        yield stream
