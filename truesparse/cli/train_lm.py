"""``truesparse train lm``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from truesparse.cli.options import config_options, json_option
from truesparse.errors import UsageError
from truesparse.training.reporter import to_json
from truesparse.training.sources import resolve


@click.command()
@click.pass_context
@config_options
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="TRUESPARSE_CONFIG",
    help="TOML file with values for these flags, by name, such as hidden_size = 650.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    envvar="TRUESPARSE_OUT",
    help="Folder of the run, new or empty.  [default: runs/<date>-<name of the text>]",
)
@click.option(
    "--resume",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Go on with the run in this folder, as it was configured; --epochs and --max-steps may be raised.",
)
@json_option
@click.option("--quiet", is_flag=True, help="Print nothing but the results.")
@click.option("--print-config", is_flag=True, help="Print the configuration as TOML and exit.")
def lm(
    context: click.Context,
    config_file: Path | None,
    out: Path | None,
    resume: Path | None,
    as_json: bool,
    quiet: bool,
    print_config: bool,
    **flags: Any,
) -> None:
    """Train a truly sparse recurrent language model.

    Without --data it trains on the documentation that comes with Python. A flag beats its environment
    variable (TRUESPARSE_ and the name, as in TRUESPARSE_HIDDEN_SIZE), that beats --config, that beats
    --preset. Ctrl-C saves and stops.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    if resume is not None:
        for name in ("out", "config_file", "print_config"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise UsageError(
                    f"--{name.removesuffix('_file').replace('_', '-')} does not go with --resume"
                    ", which uses the folder and the configuration of the run"
                )
    elif print_config:
        click.echo(resolve(given, config_file).filled().to_toml(), nl=False)
        return
    else:
        config = resolve(given, config_file)

    from truesparse.training.run import resume_language_model, train_language_model

    reporter = _reporter(as_json, quiet)
    with _stop_on_signal(reporter.stopping) as stop, reporter:
        if resume is not None:
            results = resume_language_model(resume, given, reporter, stop)
        else:
            results = train_language_model(config, out, reporter, stop)
    if as_json:
        click.echo(to_json(results))
    else:
        _print_results(results)


@contextmanager
def _stop_on_signal(tell: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a wish that is asked for; a second Ctrl-C stops at once."""
    received = []

    def handle(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        tell()

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _reporter(as_json: bool, quiet: bool) -> Any:
    """The display that fits the terminal: live, lines, or none. With --json it is on stderr."""
    from truesparse.cli import display

    stream = sys.stderr if as_json else sys.stdout
    if quiet:
        return display.Silent()
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        return display.Live(stream)
    return display.Lines(stream)


def _print_results(results: dict[str, Any]) -> None:
    run = results["run_dir"]
    click.echo(
        f"validation perplexity {results['valid_perplexity']:.2f}, test {results['test_perplexity']:.2f}"
        f" (unigram model {results['unigram_perplexity']:.2f})"
    )
    click.echo(f"the run is in {run}; see what it writes with: truesparse generate {run}")
