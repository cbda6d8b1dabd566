"""``truesparse train``."""

from __future__ import annotations

import click

from truesparse.cli.train_run import training_command
from truesparse.tasks.registry import TASKS


@click.group()
def train() -> None:
    """Train a model."""


for _kind in TASKS.values():
    train.add_command(training_command(_kind))
