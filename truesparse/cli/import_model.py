"""``truesparse import``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.options import json_option, path_option
from truesparse.errors import printable


@click.command("import")
@click.argument("path", metavar="STATE_DICT", type=click.Path(path_type=Path))
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
@click.option("--embedding", metavar="NAME", help="The embedding's matrix, if it is not found.")
@click.option("--output", metavar="NAME", help="The output layer's matrix, if it is not found.")
@json_option
def import_model(
    path: Path,
    density: float,
    out: Path,
    vocabulary: Path | None,
    embedding: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Make a sparse model of a dense one from PyTorch.

    STATE_DICT is what torch.save(module.state_dict(), ...) wrote, or a safetensors file, of an embedding, an
    LSTM or a GRU, and an output layer.
    """
    import json

    from truesparse.export.from_torch import import_torch

    report = import_torch(path, out, density, vocabulary, embedding, output)
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
    click.echo(f"wrote {printable(out)}{tied}")
