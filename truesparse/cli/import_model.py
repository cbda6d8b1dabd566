"""``truesparse import``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from truesparse.cli.help import Command
from truesparse.cli.options import config_options, json_option, path_option
from truesparse.cli.train_run import display_for, stop_on_signal
from truesparse.errors import UsageError, printable
from truesparse.settings import joined
from truesparse.tasks.registry import TASKS

F = TypeVar("F", bound=Callable[..., Any])

# The settings that the dense model decides, or that have no meaning for it, or that have another default.
_DECIDED = frozenset(
    [
        "data",
        "goal",
        "horizon",
        "lookback",
        "season",
        "known_columns",
        "preset",
        "cell",
        "bidirectional",
        "reset_gate",
        "depth",
        "chunk_size",
        "transform_bias",
        "hidden_size",
        "last_hidden_size",
        "layers",
        "embedding_size",
        "density",
        "embedding_density",
        "rank_exponent",
        "distribution",
        "er_epsilon",
        "pattern",
        "start_topology",
        "start_values",
        "init_scale",
        "token_scale",
        "track_positions",
        "keep_topologies",
        "recipe",
        "tied",
        "head",
        "experts",
        "dropout_latent",
        "output_group",
        "level",
        "pooling",
        "output",
        "vocabulary",
        "min_count",
        "vectors",
        "freeze_vectors",
        "method",
    ]
)


_TASKS = [TASKS[name] for name in ("lm", "classifier", "tagger", "sequences")]  # that train such models


def _training_options(command: F) -> F:
    """Give a command the flags of the tasks that say how a model is trained on."""
    taken = set(_DECIDED)
    for kind in _TASKS:
        own = kind.fields().keys() - taken
        taken |= own
        command = config_options(kind, own)(command) if own else command
    return command


_EXAMPLES = """
truesparse import dense.pt --density 0.1 --vocabulary words.txt --out pruned.safetensors
truesparse import dense.keras --density 0.1 --out pruned.safetensors
"""


@click.command("import", cls=Command, examples=_EXAMPLES, tasks=_TASKS, rest="The dense model")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--density",
    metavar="X",
    type=float,
    required=True,
    help="Fraction of the weights of each matrix to keep: the largest.",
)
@path_option("--out", "The model file to write.", required=True)
@path_option(
    "--vocabulary",
    "The tokens in the order of their numbers, one a line, or JSON.  [default: the model reads numbers]",
)
@path_option(
    "--labels",
    "The labels of a classifier in the order of its outputs, one a line, or JSON; of a model of text with"
    " --vocabulary.  [default: their numbers]",
)
@click.option(
    "--features",
    metavar="NAMES",
    help="Of a model that reads numbers: their names in its order, with commas.  [default: those of the"
    " columns of DATA, else of an array]",
)
@click.option("--embedding", metavar="NAME", help="Of a state dict: the embedding's matrix, if not found.")
@click.option("--output", metavar="NAME", help="Of a state dict: the output layer's matrix, if not found.")
@click.option(
    "--pooling",
    type=click.Choice(("last", "mean", "max", "none")),
    help="What the output layer sees of a sequence, none for each step, where the file does not say."
    "  [default: none if there are as many outputs as tokens, else last]",
)
@click.option(
    "--numbers",
    is_flag=True,
    help="The outputs are numbers, not scores of classes. A file .keras says what they are.",
)
@path_option(
    "--finetune",
    "Train the pruned model on, on what truesparse train takes as --data; with flags of training, such as"
    " --epochs.",
    metavar="DATA",
)
@path_option(
    "--run", "With --finetune: folder of the run.  [default: runs/<date>-<name of the data>]", metavar="DIR"
)
@click.option(
    "--method",
    metavar="NAME",
    help="Sparse training method; truesparse methods lists them.  [default: static]",
)
@_training_options
@json_option
@click.option("--quiet", is_flag=True, help="With --finetune: print nothing but the results.")
def import_model(
    path: Path,
    density: float,
    out: Path,
    vocabulary: Path | None,
    labels: Path | None,
    features: str | None,
    finetune: Path | None,
    run: Path | None,
    as_json: bool,
    quiet: bool,
    **more: Any,
) -> None:
    """Make a sparse model of a dense one from PyTorch or Keras.

    FILE is what torch.save(module.state_dict(), ...) wrote, or a safetensors file, of an embedding, an LSTM
    or a GRU, and an output layer; or what Keras 3 saved, as .keras or .weights.h5. With --finetune the model
    is trained on with the connections that are left, by --method static if no other is given, and measured
    before pruning, after it and in the end.
    """
    from truesparse.training.reporter import to_json

    reading = {name: more.pop(name) for name in ("embedding", "output", "pooling", "numbers")}
    flags = {name: value for name, value in more.items() if value is not None}
    if finetune is not None:
        from truesparse.export.finetune import finetune as train_on

        reporter = display_for(as_json, quiet)
        with stop_on_signal(reporter.stopping) as asked, reporter:
            report = train_on(
                *(path, out, density, finetune, flags, run, vocabulary, labels, features, reporter),
                stop=lambda: asked() or reporter.unread,
                **reading,
            )
        click.echo(to_json(report)) if as_json else _say_finetuned(report)
        return

    from truesparse.export.imported import import_model as convert

    for name in [*(["run"] if run is not None else []), *flags]:
        raise UsageError(f"--{name.replace('_', '-')} is for training; give --finetune too, or leave it out")
    report = convert(path, out, density, vocabulary, labels=labels, features=features, **reading)
    click.echo(to_json(report)) if as_json else _say_imported(report)


def _say_imported(report: dict[str, Any]) -> None:
    from truesparse.cli.display import plain_table, print_table

    table = plain_table("matrix", numbers=("shape", "weights", "density", "sum of squares kept"))
    for name, row in report["matrices"].items():
        shape = "×".join(f"{n:,}" for n in row["shape"])
        table.add_row(name, shape, f"{row['nnz']:,}", f"{row['density']:.4f}", f"{row['kept']:.3f}")
    print_table(table)
    tied = "; the output layer uses the embedding's matrix" if report["tied"] else ""
    click.echo(f"wrote {printable(report['out'])}, a {report['kind']}{tied}")
    if report["features"]:
        click.echo(f"its features are called {printable(joined(report['features'], 'and'))}; see --features")


def _say_finetuned(report: dict[str, Any]) -> None:
    from truesparse.cli.display import plain_table, print_table

    rows = {"as it was": "dense", "pruned": "pruned", "fine-tuned": "finetuned"}
    names = [
        n for n in ("loss", "perplexity", "accuracy", "f1", "rmse", "r2") if n in report["dense"]["test"]
    ]
    columns = [(part, name) for part in ("valid", "test") for name in names]
    table = plain_table("model", numbers=("weights", *(f"{part} {name}" for part, name in columns)))
    for title, key in rows.items():
        values = [(name, report[key][part][name]) for part, name in columns]
        cells = [f"{value:.2%}" if name in ("accuracy", "f1") else f"{value:.4g}" for name, value in values]
        table.add_row(title, f"{report[key]['nnz']:,}", *cells)
    print_table(table)
    click.echo(f"the run is in {printable(report['run']['run_dir'])}")
