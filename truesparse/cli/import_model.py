"""``truesparse import``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.options import json_option, path_option
from truesparse.errors import printable


@click.command("import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--density",
    metavar="X",
    type=float,
    required=True,
    help="Fraction of the weights of each matrix to keep: the largest.",
)
@path_option("--out", "The model file to write.", required=True)
@path_option(
    "--vocabulary",
    "The tokens in the order of their numbers, one a line, or JSON.  [default: the model reads numbers]",
)
@path_option(
    "--labels",
    "With --vocabulary: the labels of a classifier in the order of its outputs, one a line, or JSON."
    "  [default: their numbers]",
)
@click.option("--embedding", metavar="NAME", help="Of a state dict: the embedding's matrix, if not found.")
@click.option("--output", metavar="NAME", help="Of a state dict: the output layer's matrix, if not found.")
@click.option(
    "--pooling",
    type=click.Choice(("last", "mean", "max", "none")),
    help="What the output layer sees of a sequence, none for each step, where the file does not say."
    "  [default: none if there are as many outputs as tokens, else last]",
)
@click.option(
    "--numbers",
    is_flag=True,
    help="The outputs are numbers, not scores of classes. A file .keras says what they are.",
)
@json_option
def import_model(
    path: Path,
    density: float,
    out: Path,
    vocabulary: Path | None,
    labels: Path | None,
    embedding: str | None,
    output: str | None,
    pooling: str | None,
    numbers: bool,
    as_json: bool,
) -> None:
    """Make a sparse model of a dense one from PyTorch or Keras.

    FILE is what torch.save(module.state_dict(), ...) wrote, or a safetensors file, of an embedding, an LSTM
    or a GRU, and an output layer; or what Keras 3 saved, as .keras or .weights.h5.
    """
    import json

    from truesparse.export.imported import import_model as convert

    report = convert(path, out, density, vocabulary, embedding, output, pooling, labels, numbers)
    if as_json:
        click.echo(json.dumps(report))
        return

    from truesparse.cli.display import plain_table, print_table

    table = plain_table("matrix", numbers=("shape", "weights", "density", "sum of squares kept"))
    for name, row in report["matrices"].items():
        shape = "×".join(f"{n:,}" for n in row["shape"])
        table.add_row(name, shape, f"{row['nnz']:,}", f"{row['density']:.4f}", f"{row['kept']:.3f}")
    print_table(table)
    tied = "; the output layer uses the embedding's matrix" if report["tied"] else ""
    click.echo(f"wrote {printable(out)}, a {report['kind']}{tied}")
