"""Draws what the program suggests, as the keyboard of a phone shows it.

python draw.py PICTURE.png "the" "the value" "the value of"
"""

from __future__ import annotations

import re
import subprocess
import sys

from matplotlib import pyplot as plt


def main(picture: str, *texts: str) -> None:
    """Run ./suggest on each text, and draw a row for it."""
    figure, axis = plt.subplots(figsize=(7, 0.6 * len(texts)), layout="constrained")
    axis.set(xlim=(0, 7), ylim=(len(texts), 0))
    axis.axis("off")
    for row, text in enumerate(texts):
        done = subprocess.run(["./suggest"], input=text + "\n", check=True, capture_output=True, text=True)
        axis.text(0.1, row + 0.5, text + " ▏", va="center", size=12)
        for place, (word, probability) in enumerate(
            re.findall(r"(\S+) ([\d.]+)(?:, |$)", done.stdout.strip())
        ):
            key = {"boxstyle": "round,pad=0.4", "facecolor": plt.cm.Blues(0.1 + float(probability))}
            axis.text(
                3.2 + 1.4 * place, row + 0.5, f"{word} {probability}", va="center", ha="center", bbox=key
            )
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
