"""``truesparse train``."""

from __future__ import annotations

import click

from truesparse.cli.train_classifier import classifier
from truesparse.cli.train_lm import lm


@click.group()
def train() -> None:
    """Train a model."""


train.add_command(lm)
train.add_command(classifier)
