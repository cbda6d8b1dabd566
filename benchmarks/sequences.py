"""Sparse and dense models of sequences of numbers against simple baselines, on sets that packages ship.

    pip install scikit-learn sktime statsmodels
    python benchmarks/sequences.py [NAME ...] --out benchmarks/results/sequences

Each set is trained from several seeds with `truesparse train sequences`, at a sparsity of 90 % and dense,
all else the same: the defaults of the command, for small sets a smaller batch and more to choose the model
by. The baselines are 1-NN with dynamic time warping (classes), the seasonal naive forecast, the model's own
linear part alone and a ridge regression on the values that the model reads (forecasts). Only where data lie
is asked of sktime and statsmodels, so their own dependencies are not needed.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
import numpy as np

from truesparse.data.forecast import Windows
from truesparse.tasks.run import train_model
from truesparse.tasks.series.settings import SeriesConfig
from truesparse.tasks.series.task import SeriesLearning
from truesparse.tasks.sources import resolve

SEEDS = (1, 2, 3)
LINES = {"sparse": {"density": 0.1}, "dense": {"method": "dense"}}
SMALL: dict[str, Any] = {"batch_size": 8, "valid_fraction": 0.2}  # a few hundred sequences or fewer


def folder_of(package: str) -> Path:
    """Where a package is."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"install {package} first: pip install {package}")
    return Path(next(iter(spec.submodule_search_locations)))


def digits(folder: Path) -> dict[str, Any]:
    """Pictures of digits as 8 steps of 8 features."""
    from sklearn.datasets import load_digits

    data = load_digits()
    np.savez(folder / "digits.npz", X=data.images, y=data.target)
    return {"data": folder / "digits.npz", "test_fraction": 0.3}


def archive(name: str) -> Callable[[Path], dict[str, Any]]:
    """A set of the UCR/UEA archive, with its own test part."""

    def load(folder: Path) -> dict[str, Any]:
        for part in ("TRAIN", "TEST"):
            file = folder_of("sktime") / "datasets" / "data" / name / f"{name}_{part}.ts"
            shutil.copy(file, folder / file.name)
        return {**SMALL, "data": folder}

    return load


def series(path: Path, values: np.ndarray, **more: Any) -> dict[str, Any]:
    """A series of its own."""
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["y"], *([f"{value:.6g}"] for value in values)])
    return {"data": path, "test_fraction": 0.2, "valid_fraction": 0.2, **more}


def airline(folder: Path) -> dict[str, Any]:
    """Passengers of airlines, monthly, 1949 to 1960 (Box and Jenkins)."""
    file = folder_of("sktime") / "datasets" / "data" / "Airline" / "Airline.csv"
    values = np.loadtxt(file, delimiter=",", skiprows=1, usecols=1)
    return series(folder / "airline.csv", values, horizon=12)


def sunspots(folder: Path) -> dict[str, Any]:
    """Sunspots, yearly, 1700 to 2008."""
    file = folder_of("statsmodels") / "datasets" / "sunspots" / "sunspots.csv"
    values = np.loadtxt(file, delimiter=",", skiprows=1, usecols=1)
    return series(folder / "sunspots.csv", values, horizon=5)


def co2(folder: Path) -> dict[str, Any]:
    """Carbon dioxide at Mauna Loa, monthly means, 1958 to 2001; what is missing is on a line between."""
    file = folder_of("statsmodels") / "datasets" / "co2" / "co2.csv"
    months: dict[str, list[float]] = {}
    for date, value in list(csv.reader(file.open()))[1:]:
        months.setdefault(date.replace("-", "")[:6], []).extend([float(value)] if value.strip() else [])
    means = np.array([np.mean(values) if values else np.nan for values in months.values()])
    there = ~np.isnan(means)
    steps = np.arange(len(means))
    return series(folder / "co2.csv", np.interp(steps, steps[there], means[there]), horizon=12)


SETS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "digits": digits,
    "ItalyPowerDemand": archive("ItalyPowerDemand"),
    "BasicMotions": archive("BasicMotions"),
    "airline": airline,
    "sunspots": sunspots,
    "co2": co2,
}


@numba.njit(cache=True)
def warped(a: np.ndarray, b: np.ndarray) -> float:
    """Squared distance of two sequences (T, D) by dynamic time warping, without a window (Sakoe and Chiba,
    1978)."""
    row = np.full(len(b) + 1, np.inf)
    row[0] = 0.0
    for i in range(len(a)):
        before = row[0]
        row[0] = np.inf
        for j in range(len(b)):
            cost = 0.0
            for d in range(a.shape[1]):
                cost += (a[i, d] - b[j, d]) ** 2
            best = min(before, row[j], row[j + 1])
            before = row[j + 1]
            row[j + 1] = cost + best
    return row[-1]


def nearest_neighbour(task: SeriesLearning) -> float:
    """Test accuracy of the nearest training or validation sequence, features standardised."""
    parts = task.data.parts
    mean, scale = (np.array(values) for values in (task.chain.layers[0].mean, task.chain.layers[0].scale))

    def sequences(part: str) -> list[np.ndarray]:
        inputs = parts[part].inputs
        return [
            (inputs.values[a:b] - mean) / scale
            for a, b in zip(inputs.starts, inputs.starts[1:], strict=False)
        ]

    known = sequences("train") + sequences("valid")
    labels = np.concatenate([parts["train"].labels, parts["valid"].labels])
    told = [labels[np.argmin([warped(one, other) for other in known])] for one in sequences("test")]
    return float(np.mean(np.array(told) == parts["test"].labels))


def ridge(task: SeriesLearning) -> dict[str, float]:
    """Test RMSE of a linear model of the last values, its penalty chosen on the validation part: one made of
    the training part, as the networks are, and one of both parts, as their linear part is in the end."""
    from sklearn.linear_model import Ridge

    def lags(part: str) -> tuple[np.ndarray, np.ndarray]:
        inputs, labels, *_ = task.data.parts[part]
        assert isinstance(inputs, Windows)
        windows, _ = inputs.batch(np.arange(len(inputs)), len(inputs))
        return windows[:, 0].T, (labels + inputs.simple).T

    parts = {part: lags(part) for part in ("train", "valid", "test")}

    def error(model: Ridge, part: str) -> float:
        x, y = parts[part]
        return float(np.sqrt(np.mean(np.square(model.predict(x) - y))))

    best = min(
        (10.0**power for power in range(-3, 7)),
        key=lambda alpha: error(Ridge(alpha=alpha).fit(*parts["train"]), "valid"),
    )
    every = [np.concatenate([parts[part][k] for part in ("train", "valid")]) for k in (0, 1)]
    return {
        "ridge on lags": error(Ridge(alpha=best).fit(*parts["train"]), "test"),
        "the same, of training and validation part": error(Ridge(alpha=best).fit(*every), "test"),
    }


def processor() -> str:
    """What the system calls it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def run(name: str) -> dict[str, Any]:
    """Train on a set, and measure its baselines."""
    with tempfile.TemporaryDirectory() as folder:
        flags = {key: str(v) if isinstance(v, Path) else v for key, v in SETS[name](Path(folder)).items()}
        found: dict[str, Any] = {"set": name}
        for line, more in LINES.items():
            results = []
            for seed in SEEDS:
                config = resolve({**flags, **more, "seed": seed}, environment={}, task=SeriesConfig)
                results.append(train_model(config, Path(folder) / "runs" / f"{line}-{seed}"))
                print(name, line, seed, {k: v for k, v in results[-1].items() if k.startswith("test")})
            measure = "test_accuracy" if "test_accuracy" in results[0] else "test_rmse"
            values = [result[measure] for result in results]
            found[line] = [float(np.mean(values)), float(np.std(values, ddof=1))]
            found[f"{line}_weights"] = results[0]["nnz"]
            found["seconds"] = max(found.get("seconds", 0.0), *(result["seconds"] for result in results))
        task = SeriesLearning(
            resolve({**flags, "seed": SEEDS[0]}, environment={}, task=SeriesConfig).filled()
        )
        found["measure"] = measure
        if measure == "test_rmse":
            simple = {"seasonal naive": results[0]["naive_rmse"], "linear part": results[0]["linear_rmse"]}
            found["baselines"] = {**simple, **ridge(task)}
        else:
            found["baselines"] = {"1-NN DTW": nearest_neighbour(task)}
        found["processor"] = processor()
        found["data"] = task.description.partition(": ")[2]
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The results as a table."""

    def shown(value: float, measure: str) -> str:
        return f"{100 * value:.1f}" if measure == "test_accuracy" else f"{value:.3g}"

    lines = [
        "| set | measure | sparse (90 %) | dense | baselines | weights, sparse / dense |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        measure = one["measure"]
        what = "accuracy in %, higher is better" if measure == "test_accuracy" else "RMSE, lower is better"
        both = [" ± ".join(shown(value, measure) for value in one[line]) for line in LINES]
        simple = ", ".join(f"{name} {shown(value, measure)}" for name, value in one["baselines"].items())
        weights = f"{one['sparse_weights']:,} / {one['dense_weights']:,}"
        lines.append(f"| {one['set']} | {what} | {both[0]} | {both[1]} | {simple} | {weights} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the sets that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*SETS, []], metavar="NAME", help=", ".join(SETS))
    parser.add_argument("--out", type=Path, help="folder for results.json, which grows")
    given = parser.parse_args()
    found = [run(name) for name in given.names or SETS]
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        file = given.out / "results.json"
        known = {one["set"]: one for one in (json.loads(file.read_text()) if file.is_file() else [])}
        known.update({one["set"]: one for one in found})
        found = [known[name] for name in SETS if name in known]
        file.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
