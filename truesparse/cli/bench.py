"""``truesparse bench``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from truesparse.bench.workload import DEFAULTS, Workload
from truesparse.cli.options import config_options
from truesparse.settings import flag
from truesparse.tasks.classifier.settings import ClassifierConfig

_SIZE = click.IntRange(min=1, max=10**9)
F = TypeVar("F", bound=Callable[..., Any])

_DENSITIES = {"lm": "0.33,0.2,0.1,0.043,0.009", "classifier": "0.2,0.1,0.0431,0.01"}


def _list(flag: str, default: str | None, text: str) -> Callable[[F], F]:
    return click.option(flag, metavar="LIST", default=default, show_default=bool(default), help=text)


def _size(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(name, metavar="N", type=_SIZE, default=default, show_default=True, help=text)


def _workload(*names: str, **defaults: int) -> Callable[[F], F]:
    """Give a command flags for fields of a workload: None if not given, or with defaults of its own."""
    rules = {field.name: field.metadata for field in dataclasses.fields(Workload)}

    def decorate(command: F) -> F:
        for name in reversed((*names, *defaults)):
            rule = rules[name]
            default = rule["shown"] or "; classifier ".join(
                dict.fromkeys(str(getattr(sizes, name)) for sizes in DEFAULTS.values())
            )
            command = click.option(
                flag(name),
                metavar=None if rule["choices"] else "N",
                type=click.Choice(rule["choices"]) if rule["choices"] else _SIZE,
                default=defaults.get(name),
                show_default=name in defaults,
                help=rule["help"] + ("" if name in defaults else f"  [default: {default}]"),
            )(command)
        return command

    return decorate


def _file(flag: str, name: str, text: str) -> Callable[[F], F]:
    return click.option(
        flag, name, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help=text
    )


def _repeats(number: int) -> Callable[[F], F]:
    return _size("--repeats", number, "Turns of each side; a time is their median.")


_seconds = partial(
    click.option,
    "--seconds",
    metavar="X",
    type=click.FloatRange(min=0, min_open=True),
    show_default=True,
    help="Length of a turn; what takes longer is run once.",
)
_threads = click.option(
    "--threads",
    metavar="N",
    type=int,
    default=0,
    show_default=True,
    help="Threads of every side; 0 for one per core.",
)
_json = _file("--json", "json_file", "Write the results as JSON.")
_plot = _file("--plot", "plot_file", "Draw a picture of the results (PNG, SVG or PDF).")


def _common(repeats: int, seconds: float) -> Callable[[F], F]:
    """Give a command the flags for how it measures and where results go."""

    def decorate(command: F) -> F:
        for option in (_plot, _json, _threads, _seconds(default=seconds), _repeats(repeats)):
            command = option(command)
        return command

    return decorate


def _baseline(command: F) -> F:
    text = "Dense sides: torch, numpy.  [default: those installed]"
    return _list("--baseline", None, text)(command)


@click.group()
def bench() -> None:
    """Measure what true sparsity saves on this machine.

    Every side runs in a process of its own with as many threads, and they take turns. Other programs that
    keep cores busy spoil the numbers.
    """


@bench.command()
@click.option(
    "--task",
    type=click.Choice(tuple(_DENSITIES)),
    default="lm",
    show_default=True,
    help="Language model, or classifier of sequences by the last state.",
)
@_list("--density", None, f"Densities.  [default: {_DENSITIES['lm']}]")
@_workload(
    "hidden_size", "embedding_size", "layers", "vocab_size", "batch_size", "bptt", "pattern", "output_group"
)
@_baseline
@_common(repeats=7, seconds=0.3)
def step(
    task: str,
    density: str | None,
    hidden_size: int | None,
    embedding_size: int | None,
    baseline: str | None,
    repeats: int,
    seconds: float,
    threads: int,
    json_file: Path | None,
    plot_file: Path | None,
    **sizes: int | str | None,
) -> None:
    """Time training steps against masked dense models.

    A step is forward, backward, clipping and update. Without flags it is the configuration of the ST-RNN
    paper on Penn Treebank.
    """
    from truesparse.bench import settings
    from truesparse.cli.progress import shown

    densities = settings.densities(density or _DENSITIES[task])
    baselines = settings.baselines(baseline)
    conditions = settings.conditions(threads, repeats, seconds)
    settings.check_outputs(json_file, plot_file)

    from truesparse.bench.step import bench_step
    from truesparse.errors import UsageError

    given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    if hidden_size is not None:
        given["hidden_size"] = given["embedding_size"] = hidden_size
    if embedding_size is not None:
        given["embedding_size"] = embedding_size
    chosen = dataclasses.replace(DEFAULTS[task], **given)
    if task == "classifier" and chosen.output_group > 1:
        raise UsageError("--output-group is for the words of a language model; leave it out")
    _ = chosen.chain  # raises for sizes that do not fit
    with shown() as monitor:
        records = bench_step(chosen, densities, baselines, conditions, monitor)
    _show("step", records, monitor.notes, json_file, plot_file)


@bench.command()
@config_options(
    ClassifierConfig,
    (
        *("data", "label_column", "text_column", "length", "vocabulary", "hidden_size", "density"),
        *("er_epsilon", "pattern", "method", "batch_size", "seed"),
    ),
)
@_repeats(3)
@_threads
@_json
def epoch(repeats: int, threads: int, json_file: Path | None, **flags: Any) -> None:
    """Time an epoch of a text classifier against masked PyTorch.

    The texts are one's own, as in truesparse train classifier; the training, too, is that of this command.
    """
    from truesparse.bench import settings
    from truesparse.cli.progress import shown
    from truesparse.tasks.sources import resolve

    settings.baselines("torch")
    conditions = settings.conditions(threads, repeats, 0.001)
    settings.check_outputs(json_file, None)
    config = resolve(flags, environment={}, task=ClassifierConfig).filled()

    from truesparse.bench.epoch import bench_epoch
    from truesparse.errors import UsageError
    from truesparse.tasks.classifier.task import load_data
    from truesparse.topology import get_method

    if get_method(config.method).initial not in ("sparse", "salient"):
        raise UsageError(f"--method {config.method} is not sparse from the start; choose one that is")

    load_data(config)  # raises for texts that cannot be learned from
    with shown() as monitor:
        records = bench_epoch(config, conditions, monitor)
    _show("epoch", records, monitor.notes, json_file, None)


@bench.command()
@_list("--shape", "6000x1500,1024x256", "Shapes of the matrix, rows x columns.")
@_list("--density", _DENSITIES["lm"], "Densities.")
@_list("--lanes", "20,32,64", "Columns of the dense operand.")
@click.option(
    "--window",
    metavar="STEPSxBATCH",
    default="35x20",
    show_default=True,
    help="A full window to measure too, or none.",
)
@_common(repeats=5, seconds=0.05)
def kernels(
    shape: str,
    density: str,
    lanes: str,
    window: str,
    repeats: int,
    seconds: float,
    threads: int,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Time the products of a layer against other libraries.

    W x, W^T dy and the gradient of W, against SciPy, PyTorch (sparse and dense) and, where they are
    installed, SparseLab and SparseProp; and against what the processor and its memory can do at most.
    """
    from truesparse.bench import settings
    from truesparse.cli.progress import shown

    shapes, densities = settings.shapes(shape, "--shape"), settings.densities(density)
    batches = settings.positive(lanes, "--lanes")
    full = (0, 0) if window == "none" else settings.shapes(window, "--window")[0]
    conditions = settings.conditions(threads, repeats, seconds)
    settings.check_outputs(json_file, plot_file)

    from truesparse.bench.kernels import bench_kernels

    with shown() as monitor:
        records = bench_kernels(shapes, densities, batches, full, conditions, monitor)
    _show("kernel", records, monitor.notes, json_file, plot_file)


@bench.command()
@_list("--density", "0.01,0.05,0.1,0.2,0.33,0.5,0.7,0.9", "Densities.")
@_list("--batch-size", "1,8,20,64", "Batch sizes.")
@_list("--hidden-size", "128,512,1500", "Hidden sizes.")
@_workload(layers=1, vocab_size=2000, bptt=20)
@_common(repeats=5, seconds=0.2)
def sweep(
    density: str,
    batch_size: str,
    hidden_size: str,
    layers: int,
    vocab_size: int,
    bptt: int,
    repeats: int,
    seconds: float,
    threads: int,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Find the density from which on dense is faster.

    Training steps of a language model by density, batch and hidden size, against a dense model without masks,
    in PyTorch if it is installed, else in NumPy.
    """
    from truesparse.bench import settings
    from truesparse.cli.progress import shown

    densities = settings.densities(density)
    batches = settings.positive(batch_size, "--batch-size")
    hidden = settings.positive(hidden_size, "--hidden-size")
    conditions = settings.conditions(threads, repeats, seconds)
    settings.check_outputs(json_file, plot_file)

    from truesparse.bench.sweep import bench_sweep

    task = Workload(layers=layers, vocab_size=vocab_size, bptt=bptt)
    baseline = settings.strongest_dense()
    with shown() as monitor:
        records = bench_sweep(task, densities, batches, hidden, baseline, conditions, monitor)
    _show("sweep", records, monitor.notes, json_file, plot_file)


@bench.command()
@_list("--density", _DENSITIES["lm"], "Densities.")
@_list("--batch-size", "1,8,64", "Batch sizes.")
@_size("--hidden-size", 1500, "Hidden units of a layer, and size of an embedded word.")
@_workload(layers=2, vocab_size=10_000)
@_baseline
@_common(repeats=7, seconds=0.2)
def inference(
    density: str,
    batch_size: str,
    hidden_size: int,
    layers: int,
    vocab_size: int,
    baseline: str | None,
    repeats: int,
    seconds: float,
    threads: int,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Time the prediction of the next token against dense models."""
    from truesparse.bench import settings
    from truesparse.cli.progress import shown

    densities = settings.densities(density)
    batches = settings.positive(batch_size, "--batch-size")
    baselines = settings.baselines(baseline)
    conditions = settings.conditions(threads, repeats, seconds)
    settings.check_outputs(json_file, plot_file)

    from truesparse.bench.inference import bench_inference

    task = Workload(vocab_size=vocab_size, embedding_size=hidden_size, hidden_size=hidden_size, layers=layers)
    with shown() as monitor:
        records = bench_inference(task, densities, batches, baselines, conditions, monitor)
    _show("inference", records, monitor.notes, json_file, plot_file)


def _show(
    kind: str,
    records: list[dict[str, Any]],
    notes: list[str],
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Write the JSON, print tables and sentences, draw the picture."""
    from rich.console import Console
    from rich.measure import Measurement

    from truesparse.bench import report
    from truesparse.bench.environment import busy_note
    from truesparse.errors import printable

    if json_file is not None:
        report.write_json(json_file, records)
    tables, lines = report.REPORTS[kind]
    for table in tables(records):
        # In its full width: numbers that are cut off say nothing.
        width = Measurement.get(Console(width=1000), Console(width=1000).options, table).maximum
        Console(width=max(Console().width, width), highlight=False).print(table)
    busy = busy_note(records[0]["environment"])
    for line in [*lines(records), *report.environment_lines(records[0]), *notes, *([busy] if busy else [])]:
        click.echo(printable(line))
    if plot_file is not None:
        from truesparse.bench import plot

        plot.PLOTS[kind](plot_file, records)
