"""Commands that are read and not carried out."""

from __future__ import annotations

import click


def parse(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> None:
    """Let click read the arguments of a command, and of that of a group, without carrying it out."""
    with command.make_context(command.name, arguments, parent) as context:
        rest = (
            [*getattr(context, "_protected_args", []), *context.args]
            if isinstance(command, click.Group)
            else []
        )
        if rest:
            name, inner, more = command.resolve_command(context, rest)
            assert inner is not None, f"there is no command {name}"
            parse(inner, more, context)
