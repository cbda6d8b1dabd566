"""Trains a sentiment classifier from a CSV file.

    python examples/sentiment.py [FILE.csv]

FILE.csv has the columns text and label. Without one, reviews are made up: three opinions each, which agree,
but some are put with a "not". From the command line, `truesparse train classifier --data FILE.csv` does the
same.
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
from pathlib import Path

from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

from truesparse.sklearn import SparseTextClassifier

SUBJECTS = ["acting", "plot", "music", "ending", "camera", "dialogue", "cast", "pace", "script", "lighting"]
PRAISE = ["wonderful", "gripping", "clever", "moving", "superb", "funny", "elegant", "memorable"]
BLAME = ["dull", "clumsy", "tedious", "hollow", "awful", "predictable", "noisy", "forgettable"]
FILLERS = [
    "i saw it on a rainy afternoon",
    "my brother came along",
    "it runs for two hours",
    "the cinema was half empty",
    "we had read about it before",
]


def make_reviews(path: Path, count: int, seed: int = 0) -> None:
    """Write made-up reviews."""
    rng = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for _ in range(count):
            positive = rng.random() < 0.5
            parts = rng.sample(FILLERS, 2)
            for subject in rng.sample(SUBJECTS, 3):
                negated = rng.random() < 0.3
                opinion = rng.choice(PRAISE if positive != negated else BLAME)
                parts.append(f"the {subject} was {'not ' if negated else ''}{opinion}")
            rng.shuffle(parts)
            writer.writerow([", ".join(parts).capitalize() + ".", "positive" if positive else "negative"])


def read_reviews(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a CSV file."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def main() -> None:
    """Train, and label texts that the model has not seen."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/reviews.csv")
        if len(sys.argv) == 1:
            make_reviews(path, 2000)
        texts, labels = read_reviews(path)
        parts = train_test_split(texts, labels, test_size=0.2, random_state=0, stratify=labels)
        some, others, their_labels, other_labels = parts
        model = SparseTextClassifier(
            hidden_size=64, lr=0.005, epochs=12, validation_fraction=0.1, random_state=0, verbose=1
        )
        model.fit(some, their_labels)
        print(f"{model.nnz_:,} weights, density {model.density_:.3f}")
        print(classification_report(other_labels, model.predict(others)))
        for text, label in zip(others[:3], model.predict(others[:3]), strict=True):
            print(f"{label}: {text}")


if __name__ == "__main__":
    main()
