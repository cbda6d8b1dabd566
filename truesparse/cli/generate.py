"""``truesparse generate``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.options import model_argument, number_option


@click.command()
@model_argument
@click.option(
    "--prompt", metavar="TEXT", default="", help="Text to go on from.  [default: the start of a line]"
)
@number_option("--length", 100, "Tokens to write.")
@number_option("--temperature", 1.0, "0 is the likeliest each time.")
@number_option("--top-k", 0, "Choose among so many; 0 for all.")
@number_option("--seed", 1, "Seed of the choice.", click.IntRange(min=0))
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
