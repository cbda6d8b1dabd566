"""``truesparse bench``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from truesparse.bench.settings import EPOCH, INFERENCE, ROWS, STEP, UNMASKED
from truesparse.bench.workload import DEFAULTS, Workload
from truesparse.cli.help import Command
from truesparse.cli.options import choice_option, config_options, number_option, path_option
from truesparse.settings import flag
from truesparse.tasks.classifier.settings import ClassifierConfig


class _Size(click.IntRange):
    """A whole number from 1 on; the largest one is no news to anybody."""

    def _describe_range(self) -> str:
        return "x>=1"


_SIZE = _Size(min=1, max=10**9)
F = TypeVar("F", bound=Callable[..., Any])
Measure = Callable[..., list[dict[str, Any]]]  # takes conditions and a monitor

_DENSITIES = {"lm": "0.33,0.2,0.1,0.043,0.009", "classifier": "0.2,0.1,0.0431,0.01"}
_RECORD = "Add each size to this file (JSON lines) at once; those that it has are not measured again."
_INSTALLED = "torch and numpy, if installed"


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


def _repeats(number: int) -> Callable[[F], F]:
    return _size("--repeats", number, "Turns of each side; a time is their median.")


def _seconds(length: float) -> Callable[[F], F]:
    kind = click.FloatRange(min=0, min_open=True)
    return number_option("--seconds", length, "Length of a turn; what takes longer is run once.", kind)


_threads = number_option("--threads", 0, "Threads of every side; 0 for one per core.")
_json = path_option("--json", "Write the results as JSON.", "json_file", dir_okay=False)
_plot = path_option("--plot", "Draw a picture of the results (PNG, SVG or PDF).", "plot_file", dir_okay=False)


def _measures(
    kind: str, repeats: int, seconds: float | None, drawn: bool = True
) -> Callable[[Callable[..., Measure]], F]:
    """Make a command of a function that says what is to be measured, with the flags for how it is measured
    and where results go; `kind` names the report. Without `seconds` a turn is one call.
    """

    def decorate(prepare: Callable[..., Measure]) -> Any:
        @wraps(prepare)
        def command(
            repeats: int,
            threads: int,
            json_file: Path | None,
            seconds: float = 0.001,
            plot_file: Path | None = None,
            **own: Any,
        ) -> None:
            from truesparse.bench import settings
            from truesparse.cli.progress import shown

            conditions = settings.conditions(threads, repeats, seconds)
            settings.check_outputs(json_file, plot_file)
            measure = prepare(**own)
            with shown() as monitor:
                records = measure(conditions, monitor)
            _show(kind, records, monitor.notes, json_file, plot_file)

        more = [] if seconds is None else [_seconds(seconds)]
        for option in (*([_plot] if drawn else []), _json, _threads, *more, _repeats(repeats)):
            command = option(command)
        return command

    return decorate


def _baseline(known: Sequence[str], default: str) -> Callable[[F], F]:
    return _list("--baseline", None, f"Dense sides: {', '.join(known)}.  [default: {default}]")


class _Measured(Command):
    """A command of the group."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, rest="Measurement", **more)


class _Bench(click.Group):
    """Commands whose flags are in groups."""

    command_class = _Measured


@click.group(cls=_Bench)
def bench() -> None:
    """Measure what true sparsity saves on this machine.

    Every side runs in a process of its own with as many threads, and they take turns. Other programs that
    keep cores busy spoil the numbers.
    """


@bench.command()
@choice_option("--task", tuple(_DENSITIES), "Language model, or classifier of sequences by the last state.")
@_list("--density", None, f"Densities.  [default: {_DENSITIES['lm']}]")
@_workload(
    "hidden_size", "embedding_size", "layers", "vocab_size", "batch_size", "bptt", "pattern", "output_group"
)
@_baseline((*STEP, "all"), _INSTALLED)
@_measures("step", repeats=7, seconds=0.3)
def step(
    task: str,
    density: str | None,
    hidden_size: int | None,
    embedding_size: int | None,
    baseline: str | None,
    **sizes: int | str | None,
) -> Measure:
    """Time training steps against dense models.

    A step is forward, backward, clipping and update. Without flags it is the configuration of the ST-RNN
    paper on Penn Treebank.
    """
    from truesparse.bench import settings

    densities = settings.densities(density or _DENSITIES[task])
    baselines = settings.baselines(baseline, STEP)

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
    return partial(bench_step, chosen, densities, baselines)


@bench.command()
@_list("--density", "0.2,0.1,0.05,0.02,0.01", "Densities.")
@click.option(
    "--hidden-sizes",
    metavar="LIST",
    default="300,100",
    show_default=True,
    help="Units of the hidden layers, with commas.",
)
@_size("--features", 784, "Numbers of a row.")
@_size("--batch-size", 128, "Rows.")
@_baseline((*ROWS, "all"), "torch")
@_measures("rows", repeats=7, seconds=0.3, drawn=False)
def mlp(density: str, hidden_sizes: str, features: int, batch_size: int, baseline: str | None) -> Measure:
    """Time training steps of a feed-forward net against dense models.

    A step is forward, backward, clipping and update. Without flags it is the net of RigL's blog on MNIST.
    """
    from truesparse.bench import settings

    densities = settings.densities(density)
    baselines = settings.baselines(baseline or "torch", ROWS)

    from truesparse.bench.rows import Rows
    from truesparse.bench.step import bench_step

    chosen = Rows(hidden_sizes=hidden_sizes, features=features, batch_size=batch_size)
    _ = chosen.chain  # raises for sizes that do not fit
    return partial(bench_step, chosen, densities, baselines)


@bench.command()
@config_options(
    ClassifierConfig,
    (
        *("data", "label_column", "text_column", "length", "vocabulary", "hidden_size", "density"),
        *("er_epsilon", "pattern", "method", "batch_size", "seed"),
    ),
)
@_baseline((*EPOCH, "keras", "all"), "torch")
@_measures("epoch", repeats=3, seconds=None, drawn=False)
def epoch(baseline: str | None, **flags: Any) -> Measure:
    """Time an epoch of a text classifier against dense models.

    The texts are yours, as in truesparse train classifier; the training, too, is that of this command.
    """
    from truesparse.bench import settings
    from truesparse.tasks.sources import resolve

    baselines = settings.baselines(baseline or "torch", EPOCH)
    config = resolve(flags, environment={}, task=ClassifierConfig).filled()

    from truesparse.bench.epoch import bench_epoch
    from truesparse.errors import UsageError
    from truesparse.tasks.classifier.task import load_data
    from truesparse.topology import get_method

    if not get_method(config.method).sparse_from_the_start:
        raise UsageError(f"--method {config.method} is not sparse from the start; choose one that is")

    load_data(config)  # raises for texts that cannot be learned from
    return partial(bench_epoch, config, baselines)


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
@_measures("kernel", repeats=5, seconds=0.05)
def kernels(shape: str, density: str, lanes: str, window: str) -> Measure:
    """Time the products of a layer against other libraries.

    W x, W^T dy and the gradient of W, against SciPy, PyTorch (sparse and dense) and, where they are
    installed, SparseLab and SparseProp; and against what the processor and its memory can do at most.
    """
    from truesparse.bench import settings

    shapes, densities = settings.shapes(shape, "--shape"), settings.densities(density)
    batches = settings.positive(lanes, "--lanes")
    full = (0, 0) if window == "none" else settings.shapes(window, "--window")[0]

    from truesparse.bench.kernels import bench_kernels

    return partial(bench_kernels, shapes, densities, batches, full)


@bench.command()
@_list("--density", "0.01,0.05,0.1,0.2,0.33,0.5,0.7,0.9", "Densities.")
@_list("--batch-size", "1,8,20,64", "Batch sizes.")
@_list("--hidden-size", "128,512,1500", "Hidden sizes.")
@_workload(layers=1, vocab_size=2000, bptt=20)
@_baseline((*UNMASKED, "all"), "PyTorch, also in bfloat16 if the processor multiplies that; else NumPy")
@_measures("sweep", repeats=5, seconds=0.2)
def sweep(density: str, batch_size: str, hidden_size: str, baseline: str | None, **sizes: Any) -> Measure:
    """Find the density from which on dense is faster.

    Training steps of a language model by density, batch and hidden size, against the fastest of some dense
    models without masks.
    """
    from truesparse.bench import settings

    densities = settings.densities(density)
    batches = settings.positive(batch_size, "--batch-size")
    hidden = settings.positive(hidden_size, "--hidden-size")
    baselines = settings.unmasked(baseline)

    from truesparse.bench.sweep import bench_sweep

    return partial(bench_sweep, Workload(**sizes), densities, batches, hidden, baselines)


@bench.command()
@_size("--shapes", 200, "How many random sizes.")
@_size("--seed", 1, "Of the sizes.")
@path_option("--record", _RECORD, dir_okay=False)
@_workload(layers=1, vocab_size=2000, bptt=10)
@_measures("cliffs", repeats=5, seconds=0.1, drawn=False)
def cliffs(shapes: int, record: Path | None, **sizes: Any) -> Measure:
    """Find sizes at which training is slower than a plainer way to make it.

    Training steps of random sizes (hidden 32 to 2048, batch 1 to 128, density 0.005 to 1, both patterns,
    output groups of 1 and 4), beside products without tiles, for a pattern of units beside one of weights,
    and for groups beside none. What looks more than 10 % slower is measured once more.
    """
    from truesparse.bench.cliffs import bench_cliffs
    from truesparse.errors import UsageError
    from truesparse.training.outputs import check_folder

    if record is not None:
        check_folder("--record", record)
    if sizes["vocab_size"] % 4:
        raise UsageError(f"--vocab-size must be a multiple of 4, not {sizes['vocab_size']}")
    return partial(bench_cliffs, Workload(**sizes), shapes, record)


@bench.command()
@_list("--density", _DENSITIES["lm"], "Densities.")
@_list("--batch-size", "1,8,64", "Batch sizes.")
@_size("--hidden-size", 1500, "Hidden units of a layer, and size of an embedded word.")
@_workload("pattern", "output_group", layers=2, vocab_size=10_000)
@_baseline(INFERENCE, _INSTALLED)
@_measures("inference", repeats=7, seconds=0.2)
def inference(density: str, batch_size: str, hidden_size: int, baseline: str | None, **sizes: Any) -> Measure:
    """Time the prediction of the next token against dense models."""
    from truesparse.bench import settings

    densities = settings.densities(density)
    batches = settings.positive(batch_size, "--batch-size")
    baselines = list(settings.baselines(baseline, INFERENCE))

    from truesparse.bench.inference import bench_inference

    given = {name: value for name, value in sizes.items() if value is not None}
    task = Workload(embedding_size=hidden_size, hidden_size=hidden_size, **given)
    _ = task.chain  # raises for sizes that do not fit
    return partial(bench_inference, task, densities, batches, baselines)


@bench.command()
@_list("--ranks", "1,2", "Ranks of this machine, at --threads threads each.")
@_list("--density", "0.2,0.043", "Densities.")
@_size("--machine-speed", 16, "How many times as fast as a rank here the machines of the model are.")
@_size("--hidden-size", 1500, "Hidden units of a layer, and size of an embedded word.")
@_workload(layers=2, vocab_size=10_000, batch_size=20, bptt=35)
@_measures("scale", repeats=5, seconds=0.3)
def scale(ranks: str, density: str, machine_speed: int, hidden_size: int, **sizes: Any) -> Measure:
    """Time training on several ranks over MPI.

    Each rank has a batch of its own. What they send tells the model how they would do on machines with a
    network between them.
    """
    from truesparse.bench import settings
    from truesparse.bench.scale import bench_scale

    densities, counts = settings.densities(density), settings.positive(ranks, "--ranks")
    if max(counts) < 2:
        counts = [*counts, 2]
    task = Workload(embedding_size=hidden_size, hidden_size=hidden_size, **sizes)
    return partial(bench_scale, task, densities, counts, machine_speed)


def _show(
    kind: str,
    records: list[dict[str, Any]],
    notes: list[str],
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Write the JSON, print where others are faster, tables and sentences, draw the picture."""
    from truesparse.bench import report
    from truesparse.bench.environment import busy_note
    from truesparse.cli.display import print_table
    from truesparse.errors import printable

    if json_file is not None:
        report.write_json(json_file, records)
    wins = report.others_win(kind, records)
    for line in ["Where others are faster:", *wins] if wins else []:
        click.echo(printable(line))
    tables, lines = report.REPORTS[kind]
    for table in tables(records):
        print_table(table, highlight=False)
    busy = busy_note(records[0]["environment"])
    for line in [*lines(records), *report.environment_lines(records[0]), *notes, *([busy] if busy else [])]:
        click.echo(printable(line))
    if plot_file is not None:
        from truesparse.bench import plot

        plot.PLOTS[kind](plot_file, records)
