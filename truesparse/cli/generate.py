"""``truesparse generate``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.options import model_argument


@click.command()
@model_argument
@click.option(
    "--prompt", metavar="TEXT", default="", help="Text to go on from.  [default: the start of a line]"
)
@click.option("--length", metavar="N", type=int, default=100, show_default=True, help="Tokens to write.")
@click.option(
    "--temperature",
    metavar="X",
    type=float,
    default=1.0,
    show_default=True,
    help="0 is the likeliest each time.",
)
@click.option(
    "--top-k", metavar="N", type=int, default=0, show_default=True, help="Choose among so many; 0 for all."
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the choice.",
)
def generate(path: Path, prompt: str, length: int, temperature: float, top_k: int, seed: int) -> None:
    """Let a model write text.

    The model is a file, or the best one of a run.
    """
    import numpy as np

    from truesparse import runtime
    from truesparse.cli.terminal import standard_output

    output = standard_output()
    model = runtime.load_language_model(path)
    for piece in model.generate(prompt, length, temperature, top_k, np.random.default_rng(seed)):
        output.write(piece)
        output.flush()
    click.echo()
