"""The command ``truesparse`` and how it ends: one sentence and an exit code where something is wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import truesparse
from truesparse.cli.bench import bench
from truesparse.cli.distance import distance
from truesparse.cli.evaluate import evaluate
from truesparse.cli.export import export
from truesparse.cli.generate import generate
from truesparse.cli.import_model import import_model
from truesparse.cli.info import info
from truesparse.cli.methods import methods
from truesparse.cli.plot import plot
from truesparse.cli.predict import predict
from truesparse.cli.train import train
from truesparse.errors import TruesparseError, printable

INTERRUPTED = 130


class _Root(click.Group):
    """A group whose errors are sentences."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit.

        Parameters
        ----------
        args : sequence of str, optional
            ``sys.argv`` if not given. ``--debug`` may stand anywhere in it.
        """
        given = list(sys.argv[1:] if args is None else args)
        arguments = [argument for argument in given if argument != "--debug"]
        try:
            code = super().main(arguments, **{**extra, "prog_name": "truesparse", "standalone_mode": False})
        except SystemExit:
            raise
        except BaseException as error:
            if len(arguments) < len(given):
                traceback.print_exc()
            code = _explain(error)
        sys.exit(code)


def _explain(error: BaseException) -> int:
    """Say on stderr what is wrong; returns the exit code."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return error.exit_code
        case click.UsageError():
            sentence = " ".join(error.format_message().split()).rstrip(".")
            command = error.ctx.command_path if error.ctx else "truesparse"
            return _say(f"{sentence[0].lower()}{sentence[1:]}; see {command} --help", error.exit_code)
        case TruesparseError():
            return _say(str(error), error.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return _say("stopped", INTERRUPTED)
        case BrokenPipeError():
            # Nobody reads what is still buffered.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            advice = "check the path, its permissions and the room left"
            return _say(f"{place}{error.strerror or error}; {advice}", 1)
        case MemoryError():
            return _say("not enough memory; use a smaller --batch-size, --bptt or --density", 1)
        case _:
            mistake = f"{type(error).__name__}: {error}"
            return _say(f"a mistake in truesparse: {mistake}; --debug shows where", 1)


def _say(sentence: str, code: int) -> int:
    click.echo(f"truesparse: {printable(sentence)}", err=True)
    return code


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(truesparse.__version__, prog_name="truesparse")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Also show the traceback of an error. May stand anywhere.",
)
def main() -> None:
    """Truly sparse training of recurrent networks on ordinary CPUs."""


COMMANDS = (
    train,
    methods,
    evaluate,
    predict,
    generate,
    export,
    import_model,
    info,
    distance,
    plot,
    bench,
)
for command in COMMANDS:
    main.add_command(command)
