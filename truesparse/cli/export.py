"""``truesparse export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from truesparse.cli.help import Command
from truesparse.cli.options import choice_option, json_option, model_argument, path_option
from truesparse.errors import printable
from truesparse.export import DTYPES, TARGETS

_EXAMPLES = """
truesparse export RUN --to c --out DIR
truesparse export RUN --to c --dtype int8 --out DIR
truesparse export RUN --to onnx --out DIR
"""


@click.command(cls=Command, examples=_EXAMPLES)
@model_argument
@click.option(
    "--to",
    "target",
    type=click.Choice(tuple(TARGETS)),
    required=True,
    help=f"{'; '.join(target.summary for target in TARGETS.values())}.",
)
@path_option("--out", "The folder to make.", metavar="DIR", required=True)
@click.option(
    "--name",
    metavar="NAME",
    default="model",
    show_default=True,
    help="For C: what the files are called and names in the source begin with.",
)
@choice_option("--dtype", DTYPES, "For C: type of the weights. int8 has a scale for each row.")
@path_option(
    "--data",
    "For int8: test data to measure what rounding costs.  [default: of a run, what it was trained on]",
    metavar="PATH",
)
@json_option
def export(
    path: Path, target: str, out: Path, name: str, dtype: str, data: Path | None, as_json: bool
) -> None:
    """Write a model in a form that other programs read.

    The model is a file, or the best one of a run. docs/deployment.md describes the forms.
    """
    from truesparse.export import export_model
    from truesparse.training.reporter import to_json

    report = export_model(path, target, out, name, dtype, data)
    if as_json:
        click.echo(to_json({"out": str(out), **report}))
        return
    for file, size in report["files"].items():
        click.echo(f"{printable(out / file)}  {_bytes(size)}")
    if "flash_bytes" in report:
        _say_c(report, out, name)
    if report.get("largest_difference") is not None:
        click.echo(f"onnxruntime agrees: largest difference of a score {report['largest_difference']:.1e}")


def _say_c(report: dict[str, Any], out: Path, name: str) -> None:
    flash, dense = report["flash_bytes"], report["dense_bytes"]
    room = f", and {_bytes(report['step_bytes'])} for each step" if "step_bytes" in report else ""
    click.echo(
        f"flash {_bytes(flash)}, {flash / dense:.3f} of dense float32 weights"
        f"; RAM {_bytes(report['ram_bytes'])}{room}"
    )
    if "accuracy" in report:
        click.echo(f"test accuracy {report['accuracy']:.2%}, with int8 weights {report['accuracy_int8']:.2%}")
    elif "rmse" in report:
        click.echo(f"test RMSE {report['rmse']:.6g}, with int8 weights {report['rmse_int8']:.6g}")
    elif report.get("loss") is not None:
        from truesparse.training.evaluation import perplexity

        before, after = perplexity(report["loss"]), perplexity(report["loss_int8"])
        click.echo(f"test perplexity {before:.2f}, with int8 weights {after:.2f}")
    elif "loss" in report:
        click.echo(
            f"what rounding costs was not measured: {printable(report['loss_reason'])} (or give --data)"
        )
    build = f"cc -std=c99 -O3 -o {name} main.c {name}.c -lm"
    click.echo(f"try it: cd {printable(out)} && {build} && ./{name} --self-test")


def _bytes(size: int) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000 or unit == "MB":
            break
        size = size / 1000  # type: ignore[assignment]
    return f"{size} B" if unit == "B" else f"{size:,.{2 if unit == 'MB' else 1}f} {unit}"
