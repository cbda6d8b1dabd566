"""What rows of the tables of feed-forward nets and encoders must be; see tests/test_results.py."""

from __future__ import annotations

from typing import Any

from record_helpers import Record, Row, percent, records, spread, where


def encoder(row: Row) -> Row:
    if row[0] == "dense PyTorch":
        name, density = ("dense", 1.0) if row[1] == "0.002" else ("dense_lr1", 1.0)
    else:
        name, density = "sparse", float(row[0].split()[-1])
    run = where(records(f"encoder/{name}.jsonl"), density=density, lr=float(row[1]))
    goal = records("encoder/dense.jsonl")
    first = [point["seconds"] for point in run if point["loss"] <= goal[-1]["loss"]]
    share = f" ({first[0] / goal[-1]['seconds']:.2f})" if first and name == "sparse" else ""
    reached = f"{first[0]:.0f} s{share}" if first else ""
    last = run[-1]
    cut_off = ", cut off" if name == "dense_lr1" else ""
    return ["", "", f"{last['step']:,}{cut_off}", f"{last['seconds']:.0f} s", f"{last['loss']:.3f}", reached]


CHANGED = {f"drop fraction {x}": {"drop_fraction": x} for x in (0.05, 0.1)}
CHANGED["updates every 300 steps"] = {"update_interval": 300}


def encoder_race(row: Row) -> Row:
    """Of Zen 5; the first column is the method, its density and what differs from the preset."""
    method, density, *changed = row[0].split(", ")
    dense = method == "dense PyTorch"
    of = {"method": "dense" if dense else method.lower(), "density": float(density), "lr": float(row[1])}
    if not dense:
        of |= {"drop_fraction": 0.3, "update_interval": 100} | CHANGED.get("".join(changed), {})
    found = where(records("encoder/zen5.jsonl"), **of)
    run = where(found, of=found[-1]["of"])  # the longest one comes last
    goal = where(records("encoder/zen5.jsonl"), method="dense", lr=0.001)[-1]
    first = [point["seconds"] for point in run if point["loss"] <= goal["loss"]]
    reached = f"{first[0]:.1f} s ({first[0] / goal['seconds']:.2f})" if first else ""
    last = run[-1]
    return ["", "", f"{last['step']:,}", f"{last['seconds']:.1f} s", f"{last['loss']:.3f}", reached]


def encoder_step(row: Row) -> Row:
    of = {"hidden_size": int(row[0]), "density": float(row[1])}
    return ["", "", *steps_in_turn("encoder/step.jsonl", (1, 0), **of)]


def mnist_step(row: Row) -> Row:
    return ["", *steps_in_turn("mnist/step.jsonl", (3, 2), density=density_of(row[0])), ""]


def steps_in_turn(name: str, digits: tuple[int, int], **values: Any) -> Row:
    """The first run's times and ratio, and the second run's ratio."""
    one, two = where(records(name), **values)
    ours, theirs = digits
    times = [f"{one['ours_ms']:.{ours}f} ms", f"{one['masked_torch_ms']:.{theirs}f} ms"]
    return [*times, *(f"{run['ratio']:.1f}" for run in (one, two))]


def density_of(sparsity: str) -> float:
    return round(1 - float(sparsity.split()[0]) / 100, 4)


def mnist(row: Row) -> Row:
    density = density_of(row[1])
    runs = where(records("mnist/runs.jsonl"), method=row[0].lower(), density=density)
    chosen = max(runs, key=lambda run: run["valid_accuracy"])
    return ["", "", f"{chosen['nnz']:,}", percent(chosen["test_accuracy"]), ""]


def longer(row: Row) -> Row:
    """Static, RigL and dense, of which the last was not trained for every length."""
    of = {"begins": "random", "epochs": float(row[0])}
    methods = ["static", "rigl", *["dense"] * bool(row[4])]
    cells = [of_three_seeds({"method": method, **of}) for method in methods]
    return ["", "", *cells, *[""] * (3 - len(cells))]


def restarted(row: Row) -> Row:
    begins = "random" if row[0] == "random connections" else "static"
    of = {"begins": begins, "method": row[1].lower(), "epochs": float(row[2].split()[0])}
    return ["", "", "", of_three_seeds(of)]


def of_three_seeds(of: Record) -> str:
    runs = where(records("mnist/longer.jsonl"), **of)
    assert [run["seed"] for run in runs] == [1, 2, 3]
    return spread([run["test_accuracy"] for run in runs], digits=2)


def encoder_idea(row: Row) -> Row:
    run = where(records("encoder/ideas.jsonl"), changed=row[1].replace("`", ""), seed=int(row[2]))
    goal = where(records("encoder/zen5.jsonl"), method="dense", lr=0.001)[-1]
    first = [point["step"] for point in run if point["loss"] <= goal["loss"]]
    last = run[-1]
    times = [f"{last[f'{kind}seconds']:.1f} s" for kind in ("", "net_")]
    return ["", "", "", f"{last['step']:,}", f"{last['loss']:.3f}", *times, f"{first[0]:,}" if first else ""]
