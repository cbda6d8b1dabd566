"""The tables of benchmarks/results have the numbers of the records beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from kernel_rows import cliffs, peers, roofs, tile
from network_rows import (
    encoder,
    encoder_idea,
    encoder_race,
    encoder_step,
    longer,
    mnist,
    mnist_step,
    restarted,
)
from record_helpers import DOCS, RESULTS, ROOT, Record, Row, ends, percent, records, spread, where

from truesparse.bench.network import DELAYED, NETWORKS
from truesparse.bench.scale import cost

# For each table what a row of it must be.


def classification(row: Row) -> Row:
    name, pattern = re.match(r"(\S+?)(, `--pattern unit`|, both ways)?$", row[0]).groups()
    pattern = pattern and "unit" in pattern
    epsilon = "--er-epsilon 2" in row[4]
    every = where(records("classification/runs.jsonl"), set=name.lower().replace("-", ""))
    both = ", both ways" if row[4] == "C" else ""
    sparse = where(every, kind="unit" if pattern else "sparse, epsilon 2" if epsilon else f"sparse{both}")
    dense = where(every, kind="dense, 8 epochs" if epsilon else f"dense{both}")
    accuracy = [spread([run["test_accuracy"] for run in runs]) for runs in (sparse, dense)]
    density = mean(run["density"] for run in sparse)
    return ["", percent(1 - density), accuracy[0], "" if pattern else accuracy[1], ""]


def token_rows(row: Row, name: str, measure: str, scale: float) -> Row:
    """Runs of the rank exponent and the scale in the two columns before the number of seeds."""
    *of, exponent, factor, seeds = row[:-2]
    every = records(f"{name}/token-rows.jsonl")
    found = where(every, of=", ".join(of), rank_exponent=float(exponent), token_scale=float(factor))
    assert len(found) == int(seeds)
    values = [[run[f"{part}_{measure}"] for run in found] for part in ("valid", "test")]
    several = [spread(value, scale) if len(value) > 1 else f"{scale * value[0]:.1f}" for value in values]
    return [*[""] * (len(row) - 2), *several]


def recipes(row: Row) -> Row:
    """Of one seed or several, with what was changed of a recipe in the second column."""
    flags = row[1].strip("`")
    found = where(records("classification/recipes.jsonl"), recipe=row[0].strip("`"), flags=flags)
    values = [[run[f"{part}_accuracy"] for run in found] for part in ("valid", "test")]
    several = [spread(value) if len(value) > 1 else f"{100 * value[0]:.1f}" for value in values]
    (steps,) = {run["steps"] for run in found}
    (epochs,) = {run["epochs"] for run in found}
    return ["", "", f"{epochs:.0f}", f"{steps:,}", f"{len(found)}", *several, ""]


def perplexities(end: Mapping[str, Any]) -> list[str]:
    return [f"{end[f'{part}_perplexity']:.1f}" for part in ("valid", "test")]


NAMES = {"one softmax": "softmax-13", "mixture, K = 5": "mos-13", "LSTM": "lstm-6", "ON-LSTM": "on-lstm-6"}


def cells(row: Row) -> Row:
    found, name = {run["run"]: run for run in records("cells/runs.jsonl")}, NAMES[row[0]]
    return ["", "", *perplexities(found.get(f"{name}-lr-{row[1]}") or found[name])]


def run_of_methods(row: Row, name: str) -> Row:
    """Weights and perplexities come last."""
    (run,) = where(records(f"methods/{name}.jsonl"), run=row[0].strip("`"))
    return [*[""] * (len(row) - 3), f"{run['nnz']:,}", *perplexities(run)]


def methods(row: Row) -> Row:
    end = ends("methods")[row[0].strip("`")]
    memory = f"{end['peak_memory_bytes'] / 1e6:.0f} MB" if row[6] else ""  # two runs had another machine
    used = f"{end['positions_used']:.2f}" if row[7] else ""
    shown = [*perplexities(end), f"{end['nnz']:,}", f"{end['relative_flops']:.3f}"]
    return ["", *shown, "", memory, used]


def highways(row: Row) -> Row:
    end = ends("methods")[row[0].strip("`")]
    return ["", "", "", *perplexities(end), f"{end['nnz']:,}"]


def race(row: Row) -> Row:
    side, layers, *more = row[0].split(", ")
    case = layers.removeprefix("2 × ") + (f", {more[0]}" if side == "dense" else "")
    return raced(where(records("race/race-5min.jsonl"), side=side, point={"case": case}, seed=1)[-1])


def race_of_cases(row: Row, name: str) -> Row:
    side, case = row[0].split(", ", 1)
    case, _, seed = case.removeprefix("2 × ").partition(", seed ")
    (run,) = where(records(f"race/{name}.jsonl"), side=side, point={"case": case}, seed=int(seed or 1))
    return raced(run)


def raced(run: Record) -> Row:
    test = f"{run['test']['perplexity']:.1f}" if "test" in run else ""
    costs = [f"{run['epochs']:.1f}", f"{run['tokens_per_second']:,.0f}", f"{run['nnz']:,}"]
    return ["", *costs, f"{run['valid']['perplexity']:.1f}", test]


def scaled(density: str, ranks: int) -> Record:
    (run,) = where(records("scale/scale.jsonl")[0]["records"], density=float(density), ranks=ranks)
    return run


def ranks(row: Row) -> Row:
    run = scaled(row[0], int(row[1]))
    traffic = [run["bytes"] / 1e6, 4 * run["bytes"] / run["weights"]]  # these are bytes
    return [
        "",
        "",
        f"{run['ms']:,.0f}",
        f"{run['efficiency']:.2g}",
        *(f"{number:.1f}" if number else "0" for number in traffic),
    ]


def waits(row: Row) -> Row:
    run = scaled(row[0], 2)
    exchange = 1000 * cost(run).exchange(NETWORKS[DELAYED], 2)
    times = [run["wait_ms"], run["delayed_ms"], run["ms"] + exchange]
    times += [run["blocking_ms"], run["ms"] + run["wait_ms"]]
    return ["", *(f"{time:,.0f}" for time in times)]


SPEEDS = {"as one thread here": 1, "4 times as fast": 4, "64 times as fast": 64}


def modelled(row: Row) -> Row:
    """Of four ranks at density 0.2, from the exchange of two."""
    costs = cost(scaled("0.2", 2)).faster(SPEEDS.get(row[0], 16))
    if "without overlap" in row[0]:
        costs = costs._replace(begun=())
    found = [costs.efficiency(network, 4) for network in NETWORKS.values()]
    found += [costs.efficiency(NETWORKS["1 GbE"], 4, local_steps=phase) for phase in (10, 100)]
    return ["", *(f"{number:.2f}" for number in found)]


def sequences(row: Row) -> Row:
    (of,) = where(records("sequences/results.json"), set=row[0])
    if row[1] == "RMSE":
        results = [" ± ".join(f"{number:.3g}" for number in of[side]) for side in ("sparse", "dense")]
        names = {"ridge on lags": "ridge", "the same, of training and validation part": "all"}
        others = ", ".join(f"{names.get(name, name)} {error:.3g}" for name, error in of["baselines"].items())
    else:
        results = [" ± ".join(f"{100 * number:.1f}" for number in of[side]) for side in ("sparse", "dense")]
        others = ", ".join(f"{name} {100 * right:.1f}" for name, right in of["baselines"].items())
    return ["", "", *results, others, f"{of['sparse_weights']:,} / {of['dense_weights']:,}"]


CASES = ("forward", "forward, as many weights", "both")


def tagging_runs(row: Row, case: str) -> list[Record]:
    name = {"names": "names"}.get(row[0].split(",")[0], "partut")
    return where(records("tagging/runs.jsonl"), set=name, cell=row[1].lower(), case=case)


def tagging(row: Row) -> Row:
    measure = "test_f1" if "F1" in row[0] else "test_accuracy"
    return ["", "", *(spread([run[measure] for run in tagging_runs(row, case)]) for case in CASES)]


def tagging_weights(row: Row) -> Row:
    return ["", "", *(f"{mean(run['nnz'] for run in tagging_runs(row, case)):,.0f}" for case in CASES)]


def topologies(row: Row) -> Row:
    end = ends("topologies")[row[0].strip("`")]
    return ["", "", f"{end['valid_perplexity']:.2f}", f"{end['test_perplexity']:.2f}", ""]


def summary(row: Row) -> Row:
    """Of classifiers, as docs/classification.md has them."""
    name, flags, _ = f"{row[0]}, , ".split(", ", 2)
    there = [f"{name}, {flags}" if "unit" in flags else name, "", "", "", flags]
    _, sparsity, sparse, dense, _ = classification(there)
    return ["", "", sparsity, sparse, dense, ""]


UNITS = {"weight": "weight", "unit": "unit", "unit, words by fours": "grouped"}


def units(row: Row) -> Row:
    runs = [ends("unit")[f"{UNITS[row[1]]}-{row[0]}-seed{seed}"] for seed in (1, 2)]
    valid, test = ([run[f"{part}_perplexity"] for run in runs] for part in ("valid", "test"))
    return ["", "", *(", ".join(f"{x:.1f}" for x in both) for both in (valid, test)), f"{mean(test):.1f}", ""]


def many_units(row: Row) -> Row:
    of = {"weight": ends("ptb-medium")["ptb-medium"]}
    run = of.get(row[0]) or ends("unit")[f"{UNITS[row[0]]}-650"]
    return ["", *perplexities(run), "", f"{run['peak_memory_bytes'] / 1e6:.0f} MB"]


def three_digits(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g}"


def step(row: Row) -> Row:
    """Of the text classifier."""
    (run,) = where(records("speed/step.jsonl"), run="classifier")
    (of,) = where(run["records"], density=round(1 - float(row[0].split()[0]) / 100, 4))
    times = [f"{three_digits(of[f'{side}_ms'])} ms" for side in ("ours", "masked_torch", "masked_numpy")]
    return ["", *times[:2], *of_masked(of), times[2]]


def of_masked(of: Record) -> Row:
    """How many times as fast as masked PyTorch a step is, share of the ideal, and memory."""
    ours, theirs = of["ours_peak_bytes"] / 1e6, of["masked_torch_peak_bytes"] / 1e6
    memory = f"{ours:.0f} of {theirs:,.0f} MB, {ours / theirs:.2f}×"
    return [f"{of['ratio_torch']:.1f}×", f"{of['fraction_of_ideal']:.2f}", memory]


def latency(row: Row) -> Row:
    (run,) = where(records("speed/inference.jsonl"), run="latency" if row[1] == "weight" else "latency-unit")
    (of,) = where(run["records"], density=float(row[0]))
    times = [of[f"{side}_ms"] for side in ("ours", "runtime", "c", "masked_torch", "masked_numpy")]
    return ["", "", *(three_digits(time) if time else "" for time in times)]


def goals(row: Row, name: str = "step", runs: tuple[str, str] = ("goals", "goals-grouped")) -> Row:
    (run,) = where(records(f"speed/{name}.jsonl"), run=runs[row[1] != "weight"])
    density = 1 - float(row[0].split()[0]) / 100
    of = min(run["records"], key=lambda record: abs(record["density"] - density))
    times = [f"{three_digits(of[f'{side}_ms'])} ms" for side in ("ours", "masked_torch")]
    return ["", "", *times, *of_masked(of), ""]


def sweep(row: Row) -> Row:
    (run,) = records("speed/sweep.jsonl")
    of = where(run["records"], hidden_size=int(row[0]), batch_size=int(row[1]))
    dense = "bf16" if of[0]["baseline"].endswith("bf16") else "float32"
    return ["", "", *(f"{one['ratio']:.2g}" for one in sorted(of, key=lambda one: one["density"])), dense]


def ptb_large(row: Row) -> Row:
    """Learning rate and validation perplexity of an epoch."""
    (run,) = records("ptb-large/runs.jsonl")
    (of,) = where(run["records"], kind="eval", epoch=float(row[0]))
    return ["", f"{of['lr']:.2f}", f"{of['perplexity']:.1f}"]


def local_steps(row: Row) -> Row:
    """Perplexities after an epoch: of one rank, of four and by how much they differ, and of four before."""
    ends = {
        run["run"]: end["perplexity"]
        for run in records("scale/local-steps.jsonl")
        for end in where(run["records"], kind="eval")
        if end["epoch"] == float(row[0])
    }
    one, four = ends["ptb-one"], ends["ptb-four-growing"]
    before = f"{ends['ptb-four']:.1f}" if "ptb-four" in ends else ""
    return ["", *(f"{value:.1f}" for value in (one, four, four - one)), before]


NO_RECORD = None  # the page says so beside the table
TABLES: dict[str, list[Callable[[Row], Row] | None]] = {
    "cells": [cells, cells],
    "classification": [
        classification,
        partial(token_rows, name="classification", measure="accuracy", scale=100),
        recipes,
    ],
    "encoder": [encoder_step, encoder_race, encoder_idea, encoder],
    "methods": [
        *(methods, partial(run_of_methods, name="embedding-density")),
        partial(token_rows, name="methods", measure="perplexity", scale=1),
        *(partial(run_of_methods, name="narrow"), highways),
    ],
    "mnist": [mnist, NO_RECORD, longer, restarted, mnist_step],
    "ptb-large": [ptb_large],
    "race": [
        race,
        *(
            partial(race_of_cases, name=f"race-{name}")
            for name in (
                "5min-seeds",
                "5min-zen5",
                "5min-tokens",
                "5min-emeraldrapids",
                "15min",
                "15min-zen5",
                "15min-emeraldrapids",
                "45min-zen5",
            )
        ),
    ],
    "scale": [ranks, waits, modelled, local_steps, NO_RECORD, NO_RECORD, NO_RECORD],
    "sequences": [sequences, NO_RECORD],
    "speed": [peers, roofs, tile, cliffs],
    "tagging": [tagging, tagging_weights],
    "topologies": [topologies, NO_RECORD],
}


# Tables of docs, by what their headings begin with.
GUIDES: dict[tuple[str, str], list[Callable[[Row], Row]]] = {
    ("classification.md", "| set | texts"): [summary],
    ("unit-sparsity.md", "| density | pattern | valid"): [units],
    ("unit-sparsity.md", "| pattern | valid"): [many_units],
    ("performance.md", "| sparsity | truesparse"): [step],
    ("deployment.md", "| density | pattern | in training's engine"): [latency],
    ("performance.md", "| sparsity | pattern"): [goals],
    ("performance.md", "| on Intel | pattern"): [
        partial(goals, name="emeraldrapids", runs=("step", "step-grouped"))
    ],
    ("performance.md", "| hidden size | batch"): [sweep],
}


def tables(text: str, headings: str = "|") -> Iterator[tuple[str, list[Row]]]:
    """The tables of a page: the paragraphs before and after each, and its rows without the headings."""
    parts = re.split(r"\n\s*\n", text)
    for k, part in enumerate(parts):
        if part.startswith(headings):
            rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in part.splitlines()[2:]]
            yield "\n".join(parts[max(k - 1, 0) : k + 2]), rows


def check(rows: list[Row], of: Callable[[Row], Row]) -> None:
    for row in rows:
        recorded = of(row)
        assert any(recorded)
        shown = [cell for cell, number in zip(row, recorded, strict=True) if number]
        assert shown == [*filter(None, recorded)]


@pytest.mark.parametrize("page", sorted(RESULTS.glob("*/README.md")), ids=lambda page: page.parent.name)
def test_tables_have_the_numbers_of_the_records(page: Path) -> None:
    found = list(tables(page.read_text(encoding="utf-8")))
    expected = TABLES.get(page.parent.name, [])
    assert len(found) == len(expected), "each table has an entry in TABLES"
    for (around, rows), of in zip(found, expected, strict=True):
        if of is NO_RECORD:
            assert re.search(r"\bno\s+record\b", around), "numbers without a record are called so"
        else:
            check(rows, of)


@pytest.mark.parametrize(("name", "headings"), GUIDES, ids=lambda value: value.strip("| "))
def test_tables_of_guides_have_the_numbers_of_the_records(name: str, headings: str) -> None:
    found = list(tables((DOCS / name).read_text(encoding="utf-8"), headings))
    for (_, rows), of in zip(found, GUIDES[name, headings], strict=True):
        check(rows, of)


def raced_best(name: str) -> dict[str, float]:
    """The test perplexity of each side's best model on the validation text."""
    falling = sorted(records(f"race/race-{name}.jsonl"), key=lambda run: -run["valid"]["perplexity"])
    return {run["side"]: run["test"]["perplexity"] for run in falling if "test" in run}  # the last one stays


def test_the_readme_has_results_of_the_records() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    best = min(run["test_perplexity"] for run in records("ptb-medium/grouped.jsonl"))
    assert f"perplexity {best:.1f}" in readme
    found = {name: end["test_perplexity"] for name, end in ends("methods").items()}
    sparse = min(perplexity for name, perplexity in found.items() if name != "dense")
    assert f"perplexity {found['dense']:.0f} against {sparse:.0f}" in readme
    five, fifteen, most = map(raced_best, ("5min-tokens", "15min-zen5", "45min-zen5"))
    assert f"({five['dense bf16']:.1f} against {five['sparse']:.1f})" in readme
    assert f"(sparse {fifteen['sparse']:.1f}, dense {fifteen['dense bf16']:.1f})" in readme
    assert f"({most['sparse']:.1f} against {most['dense bf16']:.1f})" in readme
    seeds = [run for run in records("race/race-5min-emeraldrapids.jsonl") if "test" in run]
    intel = {
        case: mean(run["test"]["perplexity"] for run in where(seeds, point={"case": case}))
        for case in ("320 and 160", "200, dropout 0")
    }
    assert f"({intel['320 and 160']:.1f} against {intel['200, dropout 0']:.1f}, three seeds)" in readme
    longer = raced_best("15min-emeraldrapids")
    assert f"({longer['sparse']:.1f} against {longer['dense']:.1f}, one seed)" in readme
    (step_there,) = where(where(records("speed/emeraldrapids.jsonl"), run="step")[0]["records"], density=0.2)
    assert f"is {step_there['ratio_torch']:.1f} times as fast as masked PyTorch's" in readme
    (epoch,) = records("speed/epoch.jsonl")[0]["records"]
    assert f"{epoch['ours_seconds']:.1f} s an epoch" in readme
    assert f"masked PyTorch {epoch['masked_torch_seconds']:.0f} s" in readme
    rivals = where(records("speed/step.jsonl"), run="rivals")[0]["records"]
    for density, digits in ((0.2, 0), (0.043, 1)):
        (of,) = where(rivals, density=density)
        times = [f"{ms:,.0f} ms" for ms in (of["ours_ms"], of["baselines"]["torch-dense-bf16"]["ms"])]
        assert re.search(
            rf"\| {100 * of['memory_ratio']:.{digits}f} % of .* \| {times[0]}.* {times[1]} \|", readme
        )
