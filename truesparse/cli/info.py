"""``truesparse info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from truesparse.cli.options import json_option


@click.command()
@click.argument("path", metavar="[MODEL_OR_RUN]", required=False, type=click.Path(path_type=Path))
@json_option
def info(path: Path | None, as_json: bool) -> None:
    """Describe this machine, or a model.

    Of a model it shows shapes, weights, density, bytes, and operations against those of a dense one.
    """
    import json

    if path is None:
        from truesparse.training.environment import environment

        values = environment()
        if as_json:
            click.echo(json.dumps(values))
        else:
            for name, value in values.items():
                click.echo(f"{name:<16} {'not installed' if value is None else value}")
        return

    from truesparse.training.checkpoint import load_model
    from truesparse.training.describe import describe
    from truesparse.training.rundir import find_model

    file = find_model(path)
    description = describe(load_model(file).model)
    if as_json:
        click.echo(json.dumps({"file": str(file), **description}))
    else:
        click.echo(str(file))
        _print_table(description)


def _print_table(description: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("matrix")
    for heading in (
        "shape",
        "weights",
        "density",
        "per gate i, f, g, o",
        "bytes",
        "FLOPs a token",
        "dense",
        "ratio",
    ):
        table.add_column(heading, justify="right")
    for row in description["matrices"]:
        gates = row["density_per_gate"]
        table.add_row(
            row["name"],
            "×".join(f"{n:,}" for n in row["shape"]),
            f"{row['nnz']:,}",
            f"{row['density']:.4f}",
            " ".join(f"{density:.3f}" for density in gates) if len(gates) > 1 else "",
            *_costs(row),
        )
    total = description["total"]
    table.add_section()
    table.add_row(
        "total",
        f"{total['dense_parameters']:,}",
        f"{total['nnz']:,}",
        f"{total['density']:.4f}",
        "",
        *_costs(total),
    )
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)  # a pipe has no width: do not fold the table
    console.print(table)
    click.echo(
        f"{total['biases']:,} biases are dense. FLOPs are of one token going forward; a lookup costs none."
    )


def _costs(row: dict[str, Any]) -> tuple[str, str, str, str]:
    flops, dense = row["flops"], row["dense_flops"]
    return f"{row['bytes']:,}", f"{flops:,}", f"{dense:,}", f"{flops / dense:.3f}" if dense else ""
