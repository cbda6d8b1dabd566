"""Draw docs/speed.png, the picture in the README, from the records of `truesparse bench step`.

python benchmarks/speed_picture.py [FILE.png]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
RECORDS = HERE / "results" / "speed" / "step.jsonl"
PICTURE = HERE.parent / "docs" / "speed.png"
RUNS = {"step": "truesparse", "step-unit": "truesparse, --pattern unit"}


def times() -> dict[str, dict[float, float]]:
    """How many times as long a step of masked PyTorch takes, by run and density."""
    runs = map(json.loads, RECORDS.read_text(encoding="utf-8").splitlines())
    return {
        run["run"]: {record["density"]: record["ratio_torch"] for record in run["records"]}
        for run in runs
        if run["run"] in RUNS
    }


def draw(path: Path) -> None:
    figure = Figure((7.5, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, (run, ratios) in enumerate(times().items()):
        places = [place + 0.38 * (number - 0.5) for place in range(len(ratios))]
        bars = axes.bar(places, list(ratios.values()), 0.36, label=RUNS[run])
        axes.bar_label(bars, [f"{ratio:.1f}×" for ratio in ratios.values()], fontsize=9)
        axes.set_xticks(range(len(ratios)), [f"{100 * (1 - density):.4g} %" for density in ratios])
    axes.axhline(1, color="black", linewidth=1, linestyle="--", label="masked PyTorch")
    axes.set_yscale("log", base=2)
    axes.set_yticks([1, 2, 4, 8, 16, 32, 64], ["1×", "2×", "4×", "8×", "16×", "32×", "64×"])
    axes.set_ylim(0.8, 90)
    axes.set_xlabel("sparsity: the share of weights that do not exist")
    axes.set_ylabel("training steps per second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
