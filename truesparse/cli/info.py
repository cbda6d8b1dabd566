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


_LANES = (64, 96)  # the fewest and the most of a wide panel


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

        values, tiles = environment(), _tiles()
        if as_json:
            click.echo(json.dumps({**values, "tiles": tiles}))
        else:
            for name, value in values.items():
                click.echo(f"{name:<18} {'not installed' if value is None else printable(value)}")
            _print_tiles(tiles)
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


def _tiles() -> dict[str, Any]:
    """How products are cut: what follows from the caches, and what was measured; see ``truesparse tune``."""
    from truesparse.sparse.plan import machine_plan

    plan = machine_plan()
    derived = {of: {"tile_bytes": cut.tile, "order": cut.order} for of, cut in plan.rules().items()}
    measured = [
        {
            **{name: getattr(kind, name) for name in ("product", "group", "lanes")},
            **dict(zip(("rows", "columns"), kind.size, strict=True)),
            **{"density": kind.density, "threads": kind.threads, "panels": kind.how_many_panels},
            **{"tile_bytes": cut.tile, "order": cut.order},
            "as_derived": cut == plan.derived(kind),
        }
        for kind, cut in sorted(plan.measured.items())
    ]
    file = str(plan.file) if plan.file is not None and measured else None
    return {"measures": plan.measures, "derived": derived, "measured": measured, "file": file}


def _print_tiles(tiles: dict[str, Any]) -> None:
    from truesparse.cli.display import plain_table, print_table

    table = plain_table("products", numbers=("tile", "features of 64 lanes", "of 96", "panels"))
    for of, cut in tiles["derived"].items():
        features = (f"{cut['tile_bytes'] // (4 * lanes):,}" for lanes in _LANES)
        table.add_row(of, f"{cut['tile_bytes'] / 1024:,.0f} KB", *features, cut["order"])
    click.echo("\nTiles that follow from the caches:\n")
    print_table(table)
    measured = tiles["measured"]
    others = sum(not cut["as_derived"] for cut in measured)
    kept = f"; kept in {printable(tiles['file'])}" if tiles["file"] else ""
    click.echo(f"\nMeasured: {len(measured)} kinds of products, {others} with other tiles or order{kept}.")
    if not tiles["measures"]:
        click.echo("TRUESPARSE_TUNE turns off that more are measured.")


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
