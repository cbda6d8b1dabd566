"""``truesparse train``."""

from __future__ import annotations

import click

from truesparse.cli.train_run import training_command
from truesparse.tasks.registry import TASKS


class _Tasks(click.Group):
    """A command for each task, made when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the tasks."""
        return list(TASKS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a task, or None."""
        return training_command(TASKS[name]) if name in TASKS else None


@click.group(cls=_Tasks)
def train() -> None:
    """Train a model."""
