"""Whole reports: on one run, or on several beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from truesparse.files import replacing
from truesparse.report import sections
from truesparse.report.charts import Curve, line_chart
from truesparse.report.markup import document, element, table
from truesparse.report.run import Run, read_run
from truesparse.report.sections import LOWER_IS_BETTER, MEASURES, SHARES, cards, measured, number, section
from truesparse.report.wording import shown_value
from truesparse.settings import flag
from truesparse.training.reporter import common_measure


def write_report(paths: Sequence[Path], out: Path) -> None:
    """Write a page of HTML about runs, whole or not at all.

    Parameters
    ----------
    paths : sequence of Path
        Folders of runs.
    out : Path
        The page.

    Raises
    ------
    UsageError, TruesparseError
        As `read_run`.
    """
    runs = [read_run(path) for path in paths]
    text = of_run(runs[0]) if len(runs) == 1 else of_runs(runs)
    with replacing(out) as partial:
        partial.write_bytes(text.encode(errors="backslashreplace"))


def of_run(run: Run) -> str:
    """A report on one run."""
    model = run.model
    best = run.best or run.of_kind("eval")[-1]
    name = run.measure
    label = MEASURES.get(name, name)
    pairs = [(f"validation {label}", number(name, best[name]))]
    if run.end is not None:
        every = measured(run.end)
        if ("test", name) in every:
            pairs.insert(0, (f"test {label}", number(name, every["test", name])))
    pairs += [
        ("weights", f"{model.nnz:,}"),
        ("density", f"{model.nnz / model.chain.dense_parameters:.3g}"),
    ]
    return document(
        f"{run.name} – truesparse",
        element("h1", run.name),
        element("p", f"A {model.kind} that truesparse trained ({run.path.absolute()}).", class_="faint"),
        cards(*pairs),
        sections.results(run),
        sections.curves(run),
        sections.about(run),
        sections.settings(run),
        sections.inputs(model),
        sections.examples(run),
        sections.size(run),
        sections.use(run),
    )


def of_runs(runs: Sequence[Run]) -> str:
    """A report that compares runs."""
    measure = common_measure(run.of_kind("eval")[0] for run in runs) or "loss"
    share, label = measure in SHARES, MEASURES.get(measure, measure)

    def rank(run: Run) -> float:
        value = (run.best or run.of_kind("eval")[-1])[measure]
        return math.inf if value is None else value if measure in LOWER_IS_BETTER else -value

    ranked = sorted(runs, key=rank)
    curves = [
        Curve(run.name, *sections.series(run.of_kind("eval"), measure), color=place, dots=True)
        for place, run in enumerate(ranked)
    ]
    by_time = [
        Curve(
            run.name,
            [record["seconds"] / 60 for record in run.of_kind("eval")],
            curve.y,
            curve.color,
            dots=True,
        )
        for run, curve in zip(ranked, curves, strict=True)
    ]
    perplexity = measure == "perplexity"
    top = 4 * abs(rank(ranked[0])) if perplexity else math.inf
    title = f"Validation {label}"
    charts = [
        line_chart(drawn, f"{title} by {what}", axis, log=perplexity, share=share, top=top)
        for drawn, what, axis in ((curves, "epoch", "epoch"), (by_time, "time", "minutes"))
    ]
    return document(
        f"{len(runs)} runs – truesparse",
        element("h1", f"{len(runs)} runs"),
        section("Comparison", _comparison(ranked, measure)),
        section("Curves", element("div", *charts, class_="pair")),
        section("Settings that differ", _differences(ranked)),
    )


def _comparison(runs: Sequence[Run], measure: str) -> object:
    tests = [measured(run.end or {}) for run in runs]
    rest = list(dict.fromkeys(name for found in tests for who, name in found if who == "test"))
    rows = []
    for run, found in zip(runs, tests, strict=True):
        best, model, end = run.best or run.of_kind("eval")[-1], run.model, run.end
        rows.append(
            [
                run.name,
                f"{run.config.TASK}, {run.config.method}",
                number(measure, best[measure]),
                *(number(name, found["test", name]) if ("test", name) in found else "" for name in rest),
                f"{model.nnz:,}",
                f"{model.nnz / model.chain.dense_parameters:.3g}",
                f"{run.of_kind('eval')[-1]['epoch']:.3g}",
                f"{(end or run.records[-1])['seconds'] / 60:,.1f}",
                "" if end is not None else "not ended",
            ]
        )
    headings = ["run", "task, method", f"validation {MEASURES.get(measure, measure)}"]
    headings += [f"test {MEASURES.get(name, name)}" for name in rest]
    return table([*headings, "weights", "density", "epochs", "minutes", ""], rows, left=2)


def _differences(runs: Sequence[Run]) -> object:
    names = list(dict.fromkeys(name for run in runs for name in run.config.fields()))
    rows = []
    for name in names:
        values = [shown_value(vars(run.config).get(name)) for run in runs]
        if len(set(values)) > 1:
            rows.append([flag(name), *values])
    if not rows:
        return element("p", "None.")
    return table(["setting", *(run.name for run in runs)], rows, left=1 + len(runs))
