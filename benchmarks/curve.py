"""Draw the learning curve of a run: python benchmarks/curve.py RUN FILE.png (needs the extra `plot`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(run: Path, picture: Path) -> None:
    """Plot training and validation perplexity, and the density of the gates, of a run folder."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    training = [record for record in records if record["kind"] == "train"]
    evaluations = [record for record in records if record["kind"] == "eval"]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 7), height_ratios=(2, 1), sharex=True)
    top.plot(
        [record["epoch"] for record in training],
        [record["perplexity"] for record in training],
        color="tab:gray",
        linewidth=0.6,
        label="training, with dropout",
    )
    top.plot(
        [record["epoch"] for record in evaluations],
        [record["perplexity"] for record in evaluations],
        "o-",
        color="tab:blue",
        label="validation",
    )
    last = min(evaluations, key=lambda record: record["loss"])
    top.annotate(
        f"{last['perplexity']:.1f}",
        (last["epoch"], last["perplexity"]),
        textcoords="offset points",
        xytext=(0, -14),
        ha="center",
    )
    top.set_yscale("log")
    ticks = [50, 75, 100, 150, 200, 300, 500, 1000]
    top.set_yticks(ticks, [str(tick) for tick in ticks])
    top.minorticks_off()
    top.set_ylabel("perplexity")
    top.legend()
    top.grid(alpha=0.3)

    for number, gate in enumerate("ifgo"):
        bottom.plot(
            [record["epoch"] for record in training],
            [
                sum(gates[number] for gates in record["density_per_gate"].values())
                / len(record["density_per_gate"])
                for record in training
            ],
            label=f"gate {gate}",
        )
    bottom.set_ylabel("density of the gates")
    bottom.set_xlabel("epoch")
    bottom.legend(ncols=4)
    bottom.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
