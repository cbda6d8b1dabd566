"""Draw benchmarks/results/mnist/longer.png: test accuracy against the length of training.

python benchmarks/mnist_picture.py [FILE.png]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure

HERE = Path(__file__).parent / "results" / "mnist"
RECORDS, PICTURE = HERE / "longer.jsonl", HERE / "longer.png"
SPARSE = {"rigl": "RigL, 2 % of the weights", "static": "static, 2 % of the weights"}
SHORTEST = 20  # epochs


def accuracies() -> dict[str, dict[int, list[float]]]:
    """Test accuracy in % of each seed, by method and epochs, of runs that begin with random connections."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in map(json.loads, RECORDS.read_text(encoding="utf-8").splitlines()):
        if run["begins"] == "random":
            found[run["method"]][round(run["epochs"])].append(100 * run["test_accuracy"])
    return found


def draw(path: Path) -> None:
    figure = Figure((7.5, 3.6), layout="constrained")
    axes, found = figure.subplots(), accuracies()
    for (method, name), color in zip(SPARSE.items(), ("C0", "C1"), strict=True):
        lengths = sorted(found[method])
        runs = [found[method][length] for length in lengths]
        axes.errorbar(lengths, [*map(mean, runs)], [*map(stdev, runs)], marker="o", capsize=3, color=color)
        axes.annotate(name, (50, mean(runs[1])), (0, -16), textcoords="offset points", color=color)
    for length, style in zip(sorted(found["dense"]), ("--", ":"), strict=False):
        level = mean(found["dense"][length])
        axes.axhline(level, color="black", linewidth=1, linestyle=style)
        axes.annotate(f"dense, {length} epochs", (80, level), (0, -13), textcoords="offset points")
    axes.set_xticks(lengths, [f"{length}\n×{length // SHORTEST}" for length in lengths])
    axes.set_xlabel("epochs, each with its own cosine of the rate")
    axes.set_ylabel("test accuracy in %")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
