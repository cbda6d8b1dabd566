"""``truesparse generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truesparse.cli.help import Command
from truesparse.cli.options import model_argument, number_option
from truesparse.errors import UsageError

if TYPE_CHECKING:
    from truesparse.runtime import LanguageModel


_EXAMPLES = """
truesparse generate RUN --prompt "it was" --length 50 --temperature 0.8
truesparse generate RUN --prompt "it was a da" --suggest 3
"""


@click.command(cls=Command, examples=_EXAMPLES)
@model_argument
@click.option(
    "--prompt", metavar="TEXT", default="", help="Text to go on from.  [default: the start of a line]"
)
@click.option(
    "--prefix",
    metavar="TEXT",
    default="",
    help="What the new text begins with; of a model of words, letters of its first word.",
)
@number_option("--length", 100, "Tokens to write.")
@number_option("--temperature", 1.0, "0 is the likeliest each time.")
@number_option("--top-k", 0, "Choose among so many; 0 for all.")
@number_option("--top-p", 1.0, "Choose among the likeliest, which have this probability together; 1 for all.")
@number_option("--seed", 1, "Seed of the choice.", click.IntRange(min=0))
@number_option(
    "--beam",
    0,
    "Search for the likeliest rest of a line, of --length tokens at most, keeping so many.",
)
@number_option(
    "--length-penalty", 1.0, "With --beam: 0 prefers short lines, 1 compares the means of their tokens."
)
@number_option(
    "--suggest", 0, "Print so many words that may complete the last one of --prompt, and how likely they are."
)
def generate(
    path: Path,
    prompt: str,
    prefix: str,
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    beam: int,
    length_penalty: float,
    suggest: int,
) -> None:
    """Let a model write text.

    The model is a file, or the best one of a run.
    """
    import numpy as np

    from truesparse import runtime
    from truesparse.cli.terminal import standard_output

    if (beam or suggest) and (temperature, top_k, top_p) != (1.0, 0, 1.0):
        raise UsageError(
            f"--{'beam' if beam else 'suggest'} takes what is likeliest and draws nothing; leave"
            " --temperature, --top-k and --top-p out"
        )
    if suggest and (beam or prefix):
        raise UsageError(
            f"--suggest does not go with --{'beam' if beam else 'prefix'}; leave one of the two out"
        )
    output = standard_output()
    model: LanguageModel = runtime.load_language_model(path)
    if suggest:
        for word, probability in model.suggest(prompt, suggest):
            output.write(f"{probability:.4f} {word}\n")
        return
    if beam:
        output.write(prompt)
        for text, _ in model.beam(prompt, length, beam, length_penalty, prefix)[:1]:
            output.write(text)
    else:
        rng = np.random.default_rng(seed)
        for piece in model.generate(prompt, length, temperature, top_k, rng, top_p, prefix):
            output.write(piece)
            output.flush()
    click.echo()
