"""``truesparse parse``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.options import json_option, model_argument, number_option


@click.command()
@model_argument
@click.option(
    "--text", "sentences", metavar="TEXT", multiple=True, required=True, help="A sentence; can be repeated."
)
@number_option(
    "--layer",
    0,
    "Which layer of ordered neurons is asked, 1 for the first; 0 for the second or the only one.",
)
@json_option
def parse(path: Path, sentences: tuple[str, ...], layer: int, as_json: bool) -> None:
    """Show the structure that a model with ordered neurons sees in sentences.

    The model is a language model with --cell on-lstm: a file, or the best one of a run. A line for each token
    says how far it is from the one before; the last one is the tree that follows.
    """
    from truesparse import runtime
    from truesparse.cli.terminal import standard_output
    from truesparse.training.reporter import to_json

    model = runtime.load_language_model(path)
    parses = [model.parse(text, layer) for text in sentences]
    if as_json:
        told = [
            {"tokens": list(p.tokens), "distances": p.distances.tolist(), "tree": p.brackets()}
            for p in parses
        ]
        click.echo(to_json({"layer": parses[0].layer, "sentences": told}))
        return
    output = standard_output()
    for number, parsed in enumerate(parses):
        output.write("\n" if number else "")
        for token, distance in zip(parsed.tokens, parsed.distances, strict=True):
            output.write(f"{distance:7.2f} {token}\n")
        output.write(f"{parsed.brackets()}\n")
