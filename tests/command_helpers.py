"""Commands that are read and not carried out, and what is in the results of those that train."""

from __future__ import annotations

import click

# What the results of every run end with.
OF_A_RUN = [
    *("steps", "epochs", "nnz", "dense_parameters", "density"),
    *("training_flops", "relative_flops", "inference_flops", "relative_inference_flops"),
    *("tokens_per_second", "seconds_per_epoch", "step_seconds", "net_seconds", "update_seconds"),
    *("threads", "seconds", "peak_memory_bytes", "run_dir"),
]


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
