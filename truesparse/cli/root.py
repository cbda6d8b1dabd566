"""The command ``truesparse`` and how it ends: one sentence and an exit code where something is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import truesparse
from truesparse.cli.evaluate import evaluate
from truesparse.cli.generate import generate
from truesparse.cli.info import info
from truesparse.cli.train import train
from truesparse.errors import TruesparseError

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
        if "--debug" in given:
            arguments = [argument for argument in given if argument != "--debug"]
            sys.exit(
                super().main(arguments, **{**extra, "prog_name": "truesparse", "standalone_mode": False})
            )
        try:
            code = super().main(given, **{**extra, "prog_name": "truesparse", "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.UsageError as error:
            sentence = " ".join(error.format_message().split()).rstrip(".")
            command = error.ctx.command_path if error.ctx else "truesparse"
            code = _say(f"{sentence[0].lower()}{sentence[1:]}; see {command} --help", error.exit_code)
        except TruesparseError as error:
            code = _say(str(error), error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            code = _say("stopped", INTERRUPTED)
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # nobody reads what is still buffered
            code = 1
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            code = _say(
                f"{place}{error.strerror or error}; check the path, its permissions and the room left", 1
            )
        except MemoryError:
            code = _say("not enough memory; use a smaller --batch-size, --bptt or --density", 1)
        except Exception as error:
            code = _say(f"a mistake in truesparse: {type(error).__name__}: {error}; --debug shows where", 1)
        sys.exit(code)


def _say(sentence: str, code: int) -> int:
    click.echo(f"truesparse: {sentence}", err=True)
    return code


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(truesparse.__version__, prog_name="truesparse")
@click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error. May stand anywhere."
)
def main() -> None:
    """Truly sparse training of recurrent networks on ordinary CPUs."""


for command in (train, evaluate, generate, info):
    main.add_command(command)
