"""``truesparse info``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truesparse.cli.options import json_option
from truesparse.errors import printable

if TYPE_CHECKING:
    from truesparse.layers.chain import ChainSpec
    from truesparse.sparse import Arena


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

        values = {**environment(), "tiles": _tiles()}
        if as_json:
            click.echo(json.dumps(values))
        else:
            for name, value in values.items():
                click.echo(f"{name:<18} {'not installed' if value is None else printable(value)}")
        return

    from truesparse.model.loading import load_arena
    from truesparse.modelfile import find_model
    from truesparse.training.describe import describe

    file = find_model(path)
    chain, arena, encoder = load_arena(file)
    description = describe(chain, arena, encoder)
    work = _work(path, chain, arena)
    if as_json:
        from truesparse.training.reporter import to_json

        values = {"file": str(file), **description, **({"run": work} if work else {})}
        click.echo(to_json(values))
    else:
        click.echo(printable(file))
        _print_tables(description)
        if work:
            _print_work(work)


def _work(path: Path, chain: ChainSpec, arena: Arena) -> dict[str, Any]:
    """What a run has taken, and what each method takes to come to such a model; empty of a file alone, and of
    a run that has not got through an epoch."""
    from truesparse.training.quantities import run_quantities

    return run_quantities(path, chain, {name: matrix.nnz for name, matrix in arena.matrices.items()})


def _print_work(work: dict[str, Any]) -> None:
    from truesparse.cli.display import plain_table, print_table

    click.echo(
        f"\nTrained with {work['method']} for {work['epochs']:.2f} epochs:"
        f" {_short(work['training_flops'])}FLOPs, {work['relative_flops']:.3f} of a dense model's."
    )
    if not work["methods"]:
        return
    click.echo("What each method takes to come to as many weights, of a dense model's FLOPs:\n")
    table = plain_table("method", numbers=("training", "inference"))
    for name, (training, inference) in work["methods"].items():
        table.add_row(name, f"{training:.3f}", f"{inference:.3f}")
    print_table(table)


def _tiles() -> str:
    """What is known of the fastest tiles; see ``truesparse tune``."""
    from truesparse.sparse.plan import machine_plan

    plan = machine_plan()
    kept = f"; kept in {plan.file}" if plan.file is not None and plan.measured else ""
    return f"measured for {len(plan.measured)} kinds of products{kept}"


def _print_tables(description: dict[str, Any]) -> None:
    from truesparse.cli.display import density_table, plain_table, print_table

    matrices, total = description["matrices"], description["total"]
    table = plain_table("matrix", numbers=("shape", "weights", "density", "size", "FLOPs", "if dense"))
    for row in matrices:
        table.add_row(row["name"], "×".join(f"{n:,}" for n in row["shape"]), *_numbers(row))
    table.add_section()
    table.add_row("total", f"{total['dense_parameters']:,}", *_numbers(total))
    print_table(table)
    share = total["flops"] / (total["dense_flops"] or 1)
    click.echo(
        f"FLOPs of one token going forward: {share:.3f} of a dense model's. A lookup has none.\n"
        f"{total['biases']:,} biases are dense."
    )
    if "linear" in total:
        click.echo(f"{total['linear']:,} coefficients of the linear part are dense, and are no weights.")
    for row in matrices:
        if row["group"] > 1:
            click.echo(f"{row['name']}: {row['group']} rows share their connections.")
    click.echo()
    print_table(
        density_table(
            (row["name"], row["density"], dict(zip(row["gates"], row["density_per_gate"], strict=True)))
            for row in matrices
            if row["gates"]
        )
    )


def _numbers(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['nnz']:,}",
        f"{row['density']:.4f}",
        f"{_short(row['bytes'])}B",
        _short(row["flops"]),
        _short(row["dense_flops"]),
    )


def _short(number: int) -> str:
    """A number with one decimal and a prefix."""
    from rich.filesize import pick_unit_and_suffix

    unit, prefix = pick_unit_and_suffix(number, ["", "k", "M", "G", "T"], 1000)
    return f"{number / unit:.1f} {prefix}" if prefix else f"{number} "
