"""The parts of a report on one run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from truesparse.data import SeriesEncoder
from truesparse.errors import TruesparseError, typed
from truesparse.modelfile import StoredModel
from truesparse.report.charts import Curve, bar_table, line_chart
from truesparse.report.connections import connections
from truesparse.report.markup import Markup, element, joined, table
from truesparse.report.run import Run, seconds_per_step
from truesparse.report.wording import layer_text, shown_value, size_text, time_text
from truesparse.settings import flag
from truesparse.tasks.examined import Examined, Listing, Passage
from truesparse.training.environment import machine_of
from truesparse.training.pictures import gate_densities
from truesparse.training.reporter import Record

# Names of results: what they measure. Those of fractions are shown in percent.
MEASURES = {
    "perplexity": "perplexity",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "rmse": "RMSE",
    "mae": "mean absolute error",
    "r2": "R²",
    "loss": "loss",
}
LOWER_IS_BETTER = ("perplexity", "rmse", "mae", "loss")
SHARES = ("accuracy", "macro_f1", "f1", "precision", "recall")
_BASELINES = {
    "majority": "most frequent label",
    "lookup": "most frequent label of each token",
    "unigram": "unigram model",
    "mean": "mean of the training data",
    "naive": "seasonal naive forecast",
    "linear": "seasonal naive forecast with the linear part",
}
_TEXTS = ("text", "token", "label", "predicted", "expected", "where", "target")  # columns that are no numbers
_SHOWN = 12  # inputs at either end
_MATRIX = 20  # labels that a confusion matrix shows at most


def section(title: str, *parts: object) -> Markup:
    """A part of the page with its title."""
    return element("section", element("h2", title), *parts)


def number(name: str, value: Any) -> str:
    """A result of a name, for people."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "not finite"
    return (
        f"{value:.2%}" if name.endswith(SHARES) else f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"
    )


def cards(*pairs: tuple[str, object]) -> Markup:
    """Numbers with what they are, side by side."""
    return element(
        "div",
        *(element("div", element("span", what), element("b", value)) for what, value in pairs),
        class_="cards",
    )


def results(run: Run) -> Markup:
    """What the run came to, beside its baselines."""
    if run.end is None:
        last, best = run.of_kind("eval")[-1], run.best
        best = best or last
        name = run.measure
        return section(
            "Results",
            element(
                "p",
                f"The run has not ended; it has done {last['step']:,} steps, {last['epoch']:.1f} epochs."
                f" Its best {MEASURES.get(name, name)} on the validation data so far is"
                f" {number(name, best[name])}.",
            ),
        )
    every = measured(run.end)
    names = list(dict.fromkeys(measure for _, measure in every))
    whose = list(dict.fromkeys(who for who, _ in every))
    rows = []
    for who in whose:
        title = _who(who)
        cells = [number(name, every[who, name]) if (who, name) in every else "" for name in names]
        rows.append([title, *cells])
    return section("Results beside baselines", table(["", *(MEASURES.get(n, n) for n in names)], rows))


def measured(end: Record) -> dict[tuple[str, str], float]:
    """The results of a run by whose they are ("valid" and "test" are the model's), and what they measure."""
    found = {}
    for key, value in end.items():
        measure = next(
            (name for name in sorted(MEASURES, key=len, reverse=True) if key.endswith(f"_{name}")), ""
        )
        if measure and not isinstance(value, str):
            found[key.removesuffix(f"_{measure}"), measure] = math.nan if value is None else float(value)
    return found


def _who(prefix: str) -> str:
    if prefix in ("valid", "test"):
        return f"this model, {'validation' if prefix == 'valid' else 'test'} data"
    part, _, name = prefix.rpartition("_")
    where = f"{'validation' if part == 'valid' else part or 'test'} data"
    return f"{_BASELINES.get(name, name.replace('_', ' '))}, {where}"


def about(run: Run) -> Markup:
    """What was trained on what, and on which machine."""
    config, model, end = run.config, run.model, run.end
    layers = ", ".join(map(layer_text, model.chain.layers))
    vocabulary = model.vocabulary
    rows: list[list[object]] = [
        ["task", f"{config.TASK}: {model.kind}"],
        ["data", vars(config).get("data") or "the documentation that comes with Python"],
    ]
    if vocabulary is not None:
        kind = {"char": "characters", "word": "words"}.get(vocabulary.level, "pieces of words")
        rows.append(["vocabulary", f"{len(vocabulary):,} {kind}"])
    if model.labels:
        names = ", ".join(model.labels[:12]) + (", …" if len(model.labels) > 12 else "")
        rows.append(["labels", f"{len(model.labels):,}: {names}"])
    dense = model.chain.dense_parameters
    rows += [
        ["layers", layers],
        ["weights", f"{model.nnz:,} of {dense:,}, density {model.nnz / dense:.4f}"],
        ["method", config.method],
        ["optimizer", config.optimizer],
    ]
    if end is not None:
        rows += [
            ["trained", f"{end['steps']:,} steps, {end['epochs']:.4g} epochs, {time_text(end['seconds'])}"],
            ["memory", f"{size_text(end['peak_memory_bytes'])} at the most"],
        ]
    if machine := run.environment:
        rows += [
            ["processor", f"{machine_of(machine)}, {machine.get('system')}"],
            ["versions", f"truesparse {machine.get('truesparse')}, Python {machine.get('python')}"],
        ]
    when = (run.path / "config.toml").stat().st_mtime
    rows.append(["begun", f"{datetime.fromtimestamp(when):%Y-%m-%d %H:%M}"])
    return section("What was trained", table([], rows, left=2))


def settings(run: Run) -> Markup:
    """Settings that are not the usual ones."""
    preset = vars(run.config).get("preset")
    changed = run.changed()
    about = f"Preset {preset}" if preset else "Defaults"
    if not changed:
        return section("Settings", element("p", f"{about}, nothing changed."))
    rows = [[flag(name), shown_value(value), shown_value(usual)] for name, (value, usual) in changed.items()]
    return section(
        "Settings that are not the usual ones",
        element("p", f"{about}, but:"),
        table(["setting", "value", "usual"], rows, left=3),
    )


def curves(run: Run) -> Markup:
    """Learning curves, and the density of gates over time."""
    training, evaluations = run.of_kind("train"), run.of_kind("eval")
    perplexity = "perplexity" in evaluations[0] and any(r["perplexity"] is not None for r in evaluations)
    first = "perplexity" if perplexity else "loss"
    best = min((r[first] for r in evaluations if r[first] is not None), default=math.inf)
    charts = [
        line_chart(
            [
                Curve("training", *series(training, first), color=6),
                Curve("validation", *series(evaluations, first), color=0, dots=True),
            ],
            first.capitalize(),
            "epoch",
            log=perplexity,
            top=8 * best if perplexity else math.inf,
        )
    ]
    if (name := run.measure) not in (first, "loss"):
        curve = Curve("validation", *series(evaluations, name), color=0, dots=True)
        label = f"{MEASURES.get(name, name)} on the validation data"
        charts.append(line_chart([curve], label[0].upper() + label[1:], "epoch", share=name in SHARES))
    traced = [record for record in run.records if "density_per_gate" in record]
    if traced and traced[0]["density_per_gate"]:
        drawn: list[Curve] = []
        epochs = [record["epoch"] for record in traced]
        for place, (gate, matrices) in enumerate(gate_densities(traced).items()):
            drawn += [Curve("", epochs, each.tolist(), place, thin=True) for each in matrices]
            drawn.append(Curve(gate, epochs, np.mean(matrices, axis=0).tolist(), place))
        charts.append(
            line_chart(drawn, "Density of the gates: mean, and each matrix (thin)", "epoch", share=True)
        )
    used = [record for record in traced if "positions_used" in record]
    if used:
        curve = Curve("", *series(used, "positions_used"))
        charts.append(line_chart([curve], "Positions that have ever held a weight", "epoch", share=True))
    return section("Curves", element("div", *charts, class_="pair"))


def series(records: Sequence[Record], key: str) -> tuple[list[float], list[float]]:
    """Epochs and values; what was not finite is NaN."""
    values = [math.nan if record.get(key) is None else float(record[key]) for record in records]
    return [record["epoch"] for record in records], values


def inputs(model: StoredModel) -> Markup:
    """Which inputs are connected to how much."""
    found = connections(model)
    if found is None:
        return section("Inputs", element("p", "No layer reads the inputs through a matrix."))
    direct = found.units if found.direct is None else found.direct
    most = found.most if found.direct is None else found.size
    whats = f"{len(direct):,} {found.what}s"
    if found.direct is None:
        said = f"How many of the {most:,} units of {found.layer} each {found.what} is connected to"
    else:
        said = (
            f"How many of the {most:,} numbers of its vector each {found.what} has; the others are 0."
            f" Through them it reaches {found.units.mean():,.1f} of the {found.most:,} units of {found.layer}"
            f" on average, {found.units.min():,} at the least"
        )
    order = found.order()
    none = int(np.count_nonzero(direct == 0))
    parts = [element("p", f"{said}. {whats}, {none:,} of them not connected at all.")]
    shown = order if len(order) <= 2 * _SHOWN else None

    def bars(title: str, chosen: Any) -> Markup:
        rows = [(found.names[place], int(direct[place])) for place in chosen]
        return element("div", element("h3", title), bar_table(rows, most, "connections"))

    if shown is not None:
        half = (len(shown) + 1) // 2 if len(shown) > _SHOWN else len(shown)
        columns = [
            bars("All" if not start else "…", shown[start : start + half])
            for start in range(0, len(shown), half)
        ]
        parts.append(element("div", *columns, class_="pair"))
    else:
        parts.append(
            element(
                "div", bars("Most", order[:_SHOWN]), bars("Least", order[: -_SHOWN - 1 : -1]), class_="pair"
            )
        )
        counts = np.bincount(direct)
        curve = Curve("", list(range(len(counts))), counts.tolist())
        parts.append(
            element(
                "div",
                line_chart([curve], f"{found.what.capitalize()}s by connections", "connections"),
                class_="pair",
            )
        )
    return section("Inputs and their connections", *parts)


def examples(run: Run) -> Markup:
    """Confusion matrix and the worst examples, if the data are still there."""
    name = f"{type(run.config).__module__.rpartition('.')[0]}.examine"
    if find_spec(name) is None:
        return Markup()
    try:
        found: Examined = import_module(name).examine(run.model)
    except TruesparseError as error:
        return section("Test data", element("p", f"Nothing was looked at: {error}."))
    parts: list[object] = [element("p", f"Looked at {found.what} (with the NumPy runtime).")]
    if found.labels:
        parts.append(_confusion(found))
    parts += [_listing(listing) for listing in found.listings]
    return section("Test data", *parts)


def _confusion(found: Examined) -> Markup:
    confusion, labels = found.confusion, found.labels
    if len(labels) <= _MATRIX:
        head = element(
            "tr",
            element("th", "label \\ predicted"),
            *(element("th", label, class_="number") for label in labels),
        )
        rows = []
        for row, label in enumerate(labels):
            total = max(1, int(confusion[row].sum()))
            cells = [
                element(
                    "td",
                    f"{count:,}",
                    class_="number" if row == column else "number wrong",
                    style=f"--share:{count / total:.3f}",
                )
                for column, count in enumerate(confusion[row])
            ]
            rows.append(element("tr", element("th", label), *cells))
        heat = element("table", element("thead", head), element("tbody", *rows), class_="heat")
        return joined(element("h3", "Confusion matrix"), element("div", heat, class_="wide"))
    off = confusion - np.diag(confusion.diagonal())
    worst = [place for place in np.argsort(-off, axis=None, kind="stable")[:_SHOWN] if off.flat[place]]
    pairs = [
        [labels[place // len(labels)], labels[place % len(labels)], f"{off.flat[place]:,}"] for place in worst
    ]
    title = element("h3", f"Most frequent confusions of the {len(labels):,} labels")
    return joined(title, table(["label", "predicted", "times"], pairs, left=2))


def _listing(listing: Listing) -> Markup:
    if not listing.rows:
        return joined(element("h3", listing.title), element("p", "None."))
    rows = []
    for row in listing.rows:
        first = row[0]
        if isinstance(first, Passage):
            cell = joined(first.before, " ", element("mark", first.token), " ", first.after)
        else:
            cell = joined(first)
        wide = len(cell) > 40
        rows.append([element("div", cell, class_="text" if wide else None), *row[1:]])
    texts = sum(heading in _TEXTS for heading in listing.headings)
    return joined(element("h3", listing.title), table(listing.headings, rows, left=texts))


def size(run: Run) -> Markup:
    """Bytes, operations and time of a token."""
    model = run.model
    rows: list[list[object]] = []
    for matrix in model.chain.matrices:
        nnz = model.matrices[matrix.name].data.size
        shape = "×".join(f"{n:,}" for n in matrix.shape)
        rows.append([matrix.name, shape, f"{nnz:,}", f"{nnz / matrix.positions:.4f}"])
    dense = 4 * (model.chain.dense_parameters + sum(vector.size for vector in model.chain.vectors))
    steps = [m for m in model.chain.matrices if m.used == "step"]
    flops = sum(2 * model.matrices[m.name].data.size for m in steps)
    if_dense = sum(2 * m.positions for m in steps)
    step = "token" if model.chain.tokens else "step"
    pairs = [
        ("model file", size_text(model.path.stat().st_size)),
        ("dense float32 weights would be", size_text(dense)),
        (f"operations a {step}", f"{flops:,}"),
        ("of a dense model's", f"{flops / max(1, if_dense):.1%}"),
    ]
    try:
        seconds, what = seconds_per_step(model)
        pairs.append((f"a {step}, {what}: NumPy runtime, this machine", time_text(seconds)))
        said = Markup()
    except TruesparseError as error:
        said = element("p", f"Its time was not measured: {error}.")
    return section(
        "Size and speed", cards(*pairs), said, table(["matrix", "shape", "weights", "density"], rows)
    )


def use(run: Run) -> Markup:
    """How to go on from here."""
    path = typed(run.path.absolute())
    kind = run.model.kind
    lines = (
        [f"truesparse generate {path}"] if kind == "language model" else [f"truesparse predict {path} FILE"]
    )
    lines += [f"truesparse evaluate {path}", f"truesparse info {path}"]
    if kind != "masked language model":  # whose layers have no form there
        lines += [
            f"truesparse export {path} --to c --out DIR                # C99 source",
            f"truesparse export {path} --to c --dtype int8 --out DIR   # the same with weights of 8 bits",
            f"truesparse export {path} --to onnx --out DIR",
        ]
    if run.end is None:
        lines.append(f"truesparse train {run.config.TASK} --resume {path}")
    load, use = "load", "model.predict(sequences)  # a list of arrays (steps, D)"
    encoder = run.model.encoder
    if isinstance(encoder, SeriesEncoder) and encoder.horizon:
        ahead = ", known_ahead" if encoder.known else ""
        load, use = "load_forecaster", f"model.predict(series{ahead})  # (steps, D), D as model.features"
    elif run.model.chain.tokens:
        use = {
            "language model": 'print(*model.generate("", length=20), sep="")',
            "masked language model": 'model.fill("the <mask> of a function")',
            "classifier": 'model.predict(["a text"])',
            "tagger": 'model.predict([["a", "sentence", "of", "tokens"]])',
        }[kind]
    code = f"from truesparse import runtime\n\nmodel = runtime.{load}({str(run.path.absolute())!r})\n{use}"
    block = [element("pre", _lines(lines)), element("pre", _lines(code.splitlines()))]
    return section("Use and export", *block)


def _lines(lines: Sequence[str]) -> Markup:
    return Markup("\n".join(joined(line) for line in lines))
