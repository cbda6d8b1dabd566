"""``truesparse tune``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from truesparse.bench.workload import Workload
from truesparse.cli.options import number_option

_SIZES = Workload()


@click.command()
@number_option("--hidden-size", 650, "Units of each layer.", click.IntRange(1))
@number_option("--vocab-size", _SIZES.vocab_size, "Words.", click.IntRange(1))
@number_option("--batch-size", _SIZES.batch_size, "Sequences read side by side.", click.IntRange(1))
@number_option("--bptt", _SIZES.bptt, "Steps of a window.", click.IntRange(1))
@click.option("--density", default="0.05,0.1,0.2,0.5", show_default=True, help="Densities.")
@number_option("--seconds", 1.0, "How long each kind of product is tried, about.", click.FloatRange(0))
def tune(density: str, seconds: float, **sizes: Any) -> None:
    """Find out what is fastest on this processor.

    The products of a layer are cut into tiles that fit the caches. Training itself tries a few tiles when it
    meets products of a new kind, for at most about a second each; the products of a large model may be too
    slow for that. This command tries for as long as you say, for sizes that you choose; let nothing else run
    meanwhile. What it finds is kept for later runs, and changes no result.
    """
    from truesparse.bench import settings
    from truesparse.errors import UsageError

    densities = settings.densities(density)
    if sizes["hidden_size"] * sizes["vocab_size"] > settings.LARGEST:
        raise UsageError("--hidden-size times --vocab-size is more than machines hold; choose smaller ones")

    from truesparse.bench.tune import tune as measure
    from truesparse.kernels.cores import thread_counts
    from truesparse.kernels.threads import thread_count
    from truesparse.sparse.plan import Cut, Kind, machine_plan

    click.echo(
        f"{'product':<11} {'pattern':<7} {'lanes':>5} {'matrix from':>13} {'density':>7} {'threads':>7}"
        f" {'panels':>10} {'tile':>9} {'order':>11} {'faster':>7}"
    )

    def line(kind: Kind, cut: Cut, gain: float) -> None:
        size = "x".join(map(str, kind.size))
        click.echo(
            f"{kind.product:<11} {'unit' if kind.group > 1 else 'weight':<7} {kind.lanes:>5} {size:>13}"
            f" {kind.density:>7.3f} {kind.threads:>7} {kind.how_many_panels:>10} {cut.tile / 1024:>6,.0f} KB"
            f" {cut.order:>11} {gain:>6.2f}x"
        )

    task = replace(_SIZES, layers=1, embedding_size=sizes["hidden_size"], **sizes)
    measure(task, densities, sorted(thread_counts(thread_count())), seconds, line)
    file = machine_plan().file
    click.echo(f"kept in {file}" if file is not None and file.exists() else "there is no place to keep it in")
