"""What the commands ``truesparse train ...`` have in common."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from truesparse.cli.help import Command
from truesparse.cli.options import config_options, json_option, path_option
from truesparse.errors import UsageError, printable
from truesparse.settings import flag, listed
from truesparse.tasks.registry import TASKS
from truesparse.tasks.sources import resolve
from truesparse.training.launcher import rank_of_job

if TYPE_CHECKING:
    from truesparse.training.config import Config


class _Training(Command):
    """A command that says of a flag of another task whose it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            names = [task for task, kind in TASKS.items() if error.option_name in map(flag, kind.fields())]
            if not names:
                raise
            raise UsageError(
                f"{error.option_name} is for truesparse train {listed(names)}, not for {self.name}; leave it"
                " out"
            ) from None


def training_command(kind: type[Config]) -> click.Command:
    """Return the command that trains what a configuration is for.

    Parameters
    ----------
    kind : type
        Of the configuration; its fields become flags.
    """

    @click.command(kind.TASK, cls=_Training, help=kind.HELP, examples=kind.EXAMPLES, tasks=(kind,))
    @click.pass_context
    @config_options(kind)
    @path_option(
        "--config",
        "TOML file with values for these flags, by name, such as hidden_size = 650.",
        "config_file",
        envvar="TRUESPARSE_CONFIG",
    )
    @path_option(
        "--out",
        "Folder of the run, new or empty.  [default: runs/<date>-<name of the data>]",
        metavar="DIR",
        envvar="TRUESPARSE_OUT",
    )
    @path_option(
        "--resume",
        "Go on with the run in this folder, as it was configured; what ends it may be given anew: --epochs,"
        " --max-steps, --patience and --max-minutes.",
        metavar="RUN",
    )
    @click.option(
        "--mpi/--no-mpi",
        default=None,
        help="Share each batch among the processes of a job, of which every one runs this command."
        "  [default: yes if mpiexec or srun has started several]",
    )
    @json_option
    @click.option("--quiet", is_flag=True, help="Print nothing but the results.")
    @click.option("--print-config", is_flag=True, help="Print the configuration as TOML and exit.")
    def command(
        context: click.Context,
        config_file: Path | None,
        out: Path | None,
        resume: Path | None,
        mpi: bool | None,
        as_json: bool,
        quiet: bool,
        print_config: bool,
        **flags: Any,
    ) -> None:
        given = {name: value for name, value in flags.items() if value is not None}
        if resume is not None:
            _check_resumed(context)
        else:
            config = resolve(given, config_file, task=kind)
            if print_config:
                click.echo(config.filled().to_toml(), nl=False)
                return

        from truesparse.tasks.run import resume_run, train_model
        from truesparse.training.communicator import SAME_START, find_communicator, same_everywhere

        communicator = find_communicator(mpi)
        if communicator.rank:
            warnings.simplefilter("ignore")  # rank 0 gives the same ones
        started = f"train {kind.TASK}{' --resume' if resume else ''}"
        same_everywhere(communicator, [("command", started, SAME_START)])
        reporter = display_for(as_json, quiet or communicator.rank > 0)
        with stop_on_signal(reporter.stopping) as asked, reporter:

            def stop() -> bool:
                return asked() or reporter.unread

            if resume is not None:
                results = resume_run(resume, given, reporter, stop, kind, communicator=communicator)
            else:
                results = train_model(config, out, reporter, stop, communicator=communicator)
        if communicator.rank:
            return
        if as_json:
            from truesparse.training.reporter import to_json

            click.echo(to_json(results))
        else:
            if "ended_by" in results:
                click.echo(f"ended at step {results['steps']:,} by {flag(results['ended_by'])}")
            if not quiet:
                click.echo(
                    f"training steps took {results['step_seconds']:,.1f} s"
                    f" ({results['net_seconds']:,.1f} s net: each step's time multiplied by its density)"
                )
            for line in kind.describe(results):
                click.echo(printable(line))

    return command


def _check_resumed(context: click.Context) -> None:
    """Raise UsageError for a flag that a resumed run cannot have."""
    for name in ("out", "config_file", "print_config"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"--{name.removesuffix('_file').replace('_', '-')} does not go with --resume"
                ", which uses the folder and the configuration of the run"
            )


@contextmanager
def stop_on_signal(tell: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, SIGTERM and SIGHUP into a wish that is asked for; a second Ctrl-C stops at once.

    A signal that whoever started the program has it ignore, such as `nohup` or a shell script of a command in
    the background, stays ignored. Only the main thread may say what signals do, and gets them.
    """
    received = []
    old = {}

    def handle(number: int, frame: Any) -> None:
        received.append(number)
        if signal.SIGINT in old:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not rank_of_job():  # the others of a job need not say it too
            tell()

    if threading.current_thread() is threading.main_thread():
        hang_up = getattr(signal, "SIGHUP", signal.SIGTERM)  # which Windows does not have
        for number in {signal.SIGINT, signal.SIGTERM, hang_up}:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # None: set by a program that Python is part of
                old[number] = handler
                signal.signal(number, handle)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def display_for(as_json: bool, quiet: bool) -> Any:
    """The display that fits the terminal: live, lines, or none. With --json it is on stderr."""
    from truesparse.cli import display

    stream = sys.stderr if as_json else sys.stdout
    if quiet or stream is None:  # closed when the program started
        return display.Silent()
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        return display.Live(stream)
    return display.Lines(stream)
