"""Handwritten digits, read row by row, with a sparse LSTM in a scikit-learn search.

    python examples/digits.py [DIGITS]

A digit is a sequence of 8 steps, its rows, of 8 features, their pixels. The search looks for the density; it
takes seconds. DIGITS is how many of the 1,797 digits are used.
"""

from __future__ import annotations

import sys

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from truesparse.sklearn import SparseLSTMClassifier


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else None
    pixels, digits = (array[:count] for array in load_digits(return_X_y=True))
    rows = (pixels.reshape(-1, 8, 8) - pixels.mean()) / pixels.std()
    train, test, train_digits, test_digits = train_test_split(rows, digits, random_state=0, stratify=digits)
    search = GridSearchCV(
        SparseLSTMClassifier(hidden_size=64, epochs=10, random_state=0),
        {"density": [0.02, 0.05, 0.2], "method": ["st-rnn", "static"]},
        cv=3,
    )
    search.fit(train, train_digits)
    for parameters, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        print(f"{score:.3f}  {parameters}")
    model = search.best_estimator_
    print(f"test accuracy {model.score(test, test_digits):.3f} with {model.nnz_:,} weights")


if __name__ == "__main__":
    main()
