"""The command ``truesparse`` and how it ends: one sentence and an exit code where something is wrong."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click

from truesparse.cli.help import HelpContext, use_formatter
from truesparse.errors import TruesparseError, flags_named, printable
from truesparse.training.launcher import end_job, rank_of_job
from truesparse.version import __version__

# Each command by its name: its module, imported when it is used, and what the list of commands says of it.
COMMANDS = {
    "bench": ("bench", "Measure what true sparsity saves on this machine."),
    "distance": ("distance", "Measure how far apart the topologies of two or more models are."),
    "evaluate": ("evaluate", "Measure a model: perplexity, accuracy, or error."),
    "export": ("export", "Write a model in a form that other programs read."),
    "generate": ("generate", "Let a model write text."),
    "import": ("import_model", "Make a sparse model of a dense one from PyTorch or Keras."),
    "info": ("info", "Describe this machine, or a model."),
    "methods": ("methods", "List the training methods."),
    "parse": ("parse", "Show the structure that a model with ordered neurons sees in sentences."),
    "plot": ("plot", "Draw the learning curve of a run and the density of each gate, or compare runs."),
    "predict": (
        "predict",
        "Predict labels of texts and tokens, or labels, numbers and next steps of sequences.",
    ),
    "race": ("race", "Let sparse and dense language models race, for as many minutes each."),
    "report": ("report", "Write a page of HTML about a run, or one that compares runs."),
    "study": ("study", "Train a grid of models, and compare them."),
    "train": ("train", "Train a model."),
    "tune": ("tune", "Find out what is fastest on this processor."),
}
INTERRUPTED = 130
_FIRST = 1.0  # seconds in which rank 0 of a job, if it has failed in the same way, speaks for all
_FAILING = ("strict", "surrogateescape")  # what a stream does with text that its encoding lacks


class _Root(click.Group):
    """Commands that are imported when they are used, and whose errors are sentences."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a name, or None."""
        if name not in COMMANDS or name in self.commands:  # the latter were added by hand
            return super().get_command(ctx, name)
        module = COMMANDS[name][0]
        command: click.Command = getattr(import_module(f"truesparse.cli.{module}"), module)
        return use_formatter(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    @flags_named()
    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit.

        Parameters
        ----------
        args : sequence of str, optional
            ``sys.argv`` if not given. ``--debug`` may be anywhere in it.
        """
        given = list(sys.argv[1:] if args is None else args)
        arguments = [argument for argument in given if argument != "--debug"]
        debug = len(arguments) < len(given)
        _mend_streams()
        try:
            with _warnings_in_a_line(debug):
                code = super().main(
                    arguments, **{**extra, "prog_name": "truesparse", "standalone_mode": False}
                )
        except SystemExit:
            raise
        except BaseException as error:
            shared = arguments[:1] in (["train"], ["study"]) and "--no-mpi" not in arguments
            code = _end(error, debug, shared)
        sys.exit(code)


def _mend_streams() -> None:
    """Make sure that there are standard streams, and that they can show any text."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        stream = getattr(sys, name)
        if stream is None:
            _reserve(number)
            nowhere = open(os.devnull, mode, errors="replace")  # noqa: SIM115  (until the process ends)
            setattr(sys, name, nowhere)
        elif name != "stdin" and isinstance(stream, io.TextIOWrapper) and stream.errors in _FAILING:
            # names of files that are no UTF-8 go out as they are; other terminals show ? for what they lack
            utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "replace")


def _reserve(number: int) -> None:
    """Open the file descriptor of a standard stream if it is closed: the next file would get its number, and
    with it what libraries print."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, number)
        if null != number:
            os.close(null)


@contextmanager
def _warnings_in_a_line(debug: bool) -> Iterator[None]:
    """Show a warning as a sentence, without the place in the source; with --debug as Python does."""

    def sentence(message: Warning | str, *place: Any, **more: Any) -> str:
        return f"truesparse: {str(message).splitlines()[0]}\n"

    before = warnings.formatwarning
    if not debug:
        warnings.formatwarning = sentence
    try:
        yield
    finally:
        warnings.formatwarning = before


def _end(error: BaseException, debug: bool, shared: bool) -> int:
    """Say on stderr what is wrong, and end the other processes of an MPI job, if the command is one that they
    share; returns the exit code."""
    together = isinstance(error, TruesparseError) and error.exit_code == INTERRUPTED  # all have saved
    if rank_of_job():
        if together:
            return INTERRUPTED
        time.sleep(_FIRST)
    if debug:
        traceback.print_exc()
    code = _explain(error)
    if not together:
        end_job(code, shared)
    return code


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
        case click.Abort(__cause__=EOFError() as cause):  # click takes it for Ctrl-D
            return _explain(cause)
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
            return _say(f"internal error: {type(error).__name__}: {error}; --debug shows where", 1)


def _say(sentence: str, code: int) -> int:
    rank = rank_of_job()
    where = f"rank {rank}: " if rank else ""
    with contextlib.suppress(OSError):  # when nobody reads it, the code says what has happened
        click.echo(f"truesparse: {where}{printable(sentence)}", err=True)
    return code


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="truesparse")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Also show the traceback of an error. May be anywhere in the command.",
)
def main() -> None:
    """Truly sparse training of recurrent networks on ordinary CPUs."""
