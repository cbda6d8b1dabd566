"""``truesparse methods``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from truesparse.cli.options import json_option

if TYPE_CHECKING:
    from truesparse.topology import Method


@click.command()
@json_option
def methods(as_json: bool) -> None:
    """List the training methods.

    It tells what each one does, what it stores besides the weights, what a training step costs, and the
    settings that it has, with their defaults.
    """
    import json

    from truesparse.topology import METHODS

    if as_json:
        click.echo(json.dumps([_described(method) for method in METHODS.values()]))
        return

    from truesparse.cli.display import plain_table, print_table
    from truesparse.settings import flag

    table = plain_table()
    for heading, width in (("--method", None), ("what it does", 38), ("also stores", 22), ("FLOPs", 18)):
        table.add_column(heading, max_width=width)
    table.add_column("settings", no_wrap=True)
    for method in METHODS.values():
        settings = "\n".join(f"{flag(name)} {_shown(value)}" for name, value in method.defaults.items())
        table.add_row(method.name, method.summary, method.stores, method.work, settings)
        table.add_section()
    print_table(table)
    click.echo(
        "FLOPs are those of a token in training; going forward it takes f_S with the weights that exist,\n"
        "and f_D with all of them. --update-interval counts steps, 0 stands for an epoch; --update-end is\n"
        "a fraction of the run; --redistribute momentum moves weights between matrices."
    )


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(method: Method) -> dict[str, object]:
    return {
        "name": method.name,
        "summary": method.summary,
        "stores": method.stores,
        "training_flops": method.work,
        "settings": dict(method.defaults),
    }
