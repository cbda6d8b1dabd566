"""What X and y may be: their types decide, and what is missing is told with its row."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.model_selection import LeaveOneOut, cross_val_predict

from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier

SMALL = {"hidden_size": 8, "epochs": 1, "random_state": 0}
RNG = np.random.default_rng(0)
RAGGED = [RNG.normal(size=3 + k % 3) for k in range(24)]
EQUAL = [item[:3] for item in RAGGED]
Y = np.arange(24) % 2


def in_array(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def in_series(items: list[Any]) -> Any:
    return pytest.importorskip("pandas").Series(items)


KINDS = {
    "list": list,
    "tuple": tuple,
    "object array": in_array,
    "series": in_series,
    "nested lists": lambda items: [item.tolist() for item in items],
    "features": lambda items: in_array([item[:, None] for item in items]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_lengths_change_nothing(kind: str) -> None:
    put = KINDS[kind]
    model = SparseLSTMClassifier(**SMALL).fit(put(RAGGED), Y)
    wanted = model.predict_proba(put(RAGGED))
    for row in range(6):
        np.testing.assert_array_equal(model.predict_proba(put(RAGGED[row : row + 1])), wanted[row : row + 1])
    equal = SparseLSTMClassifier(**SMALL).fit(put(EQUAL), Y)
    assert (equal.layout_, equal.n_features_in_) == ("sequences", 1)
    assert equal.predict(put(RAGGED)).shape == (24,)
    equal.partial_fit(put(RAGGED), Y)
    assert model.predict(put(EQUAL)).shape == (24,)
    table = SparseLSTMClassifier(**SMALL).fit(np.array(EQUAL), Y)
    assert (table.layout_, table.n_features_in_) == ("table", 3)
    again = SparseLSTMClassifier(**SMALL).fit(put(EQUAL), Y)
    np.testing.assert_array_equal(table.predict_proba(np.array(EQUAL)), again.predict_proba(put(EQUAL)))


@pytest.mark.parametrize("kind", ["list", "object array", "nested lists"])
def test_folds_of_one_sequence(kind: str) -> None:
    model, X = SparseLSTMClassifier(**SMALL), KINDS[kind](RAGGED[:4])
    assert cross_val_predict(model, X, Y[:4], cv=LeaveOneOut()).shape == (4,)


def test_a_table_takes_its_rows_from_lists() -> None:
    X = np.array(EQUAL)
    model = SparseLSTMClassifier(**SMALL).fit(X, Y)
    for rows in (list(X), X.tolist(), in_array(EQUAL)):
        np.testing.assert_array_equal(model.predict_proba(rows), model.predict_proba(X))
    with pytest.raises(ValueError, match=r"X has sequences, but .* fitted with a table of 3 columns"):
        model.predict(RAGGED)


@pytest.mark.parametrize("fitted_with", [np.array(EQUAL), RAGGED], ids=["table", "sequences"])
def test_arrays_that_cannot_be(fitted_with: Any) -> None:
    model = SparseLSTMClassifier(**SMALL).fit(fitted_with, Y)
    for X, sentence in (
        (
            np.zeros((2, 3, 4, 5)),
            "X has the shape (2, 3, 4, 5); SparseLSTMClassifier takes an array of shape",
        ),
        ([np.zeros((3, 4, 5))], "row 0 of X has the shape (3, 4, 5); a sequence has the shape (steps,) or"),
        (in_array([1.0, 2.0]), "row 0 of X has the shape ()"),
        ({"a": [1.0]}, "X is of type dict; SparseLSTMClassifier takes an array of shape (n, T)"),
        (in_array(EQUAL)[:, None], "X has cells that are sequences themselves"),
        ([], "X has no sequences"),
        ([[10**400]], "row 0 of X is no sequence of numbers"),
        ([np.array([1j])], "row 0 of X is no sequence of numbers: complex numbers"),
    ):
        for method in (model.predict, lambda X: SparseLSTMClassifier(**SMALL).fit(X, Y[: len(X)])):
            with pytest.raises(ValueError, match=re.escape(sentence)):
                method(X)


MISSING = {
    "None": lambda: [*"ab" * 11, "a", None],
    "nan among texts": lambda: [*"ab" * 11, "a", np.nan],
    "nan among numbers": lambda: [0.0, 1.0] * 11 + [0.0, np.nan],
    "masked": lambda: np.ma.array(Y, mask=np.arange(24) == 23),
    "NaT": lambda: np.array(["2020-01-01", "2021-01-01"] * 11 + ["2020-01-01", "NaT"], "datetime64[s]"),
    "pandas' texts": lambda: in_series([*"ab" * 11, "a", None]),
    "pandas' NA": lambda: in_series([0, 1] * 11 + [0, None]).astype("Int64"),
    "pandas' categories": lambda: in_series([*"ab" * 11, "a", None]).astype("category"),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_targets_are_told_with_their_row(name: str) -> None:
    y = MISSING[name]()
    for learn in (
        lambda: SparseLSTMClassifier(**SMALL).fit(RAGGED, y),
        lambda: SparseLSTMRegressor(**SMALL).fit(RAGGED, y),
        lambda: SparseTextClassifier(**SMALL).fit(["a text"] * 24, y),
    ):
        with pytest.raises(ValueError, match=r"^row 23 of y is missing \("):
            learn()


def test_targets_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="y has no labels; a classifier needs two classes"):
        SparseTextClassifier(**SMALL).fit(["a text"] * 3, [])
    with pytest.raises(ValueError, match=r"^row 2 of y is missing \(nan\)"):
        SparseLSTMRegressor(**SMALL).fit(RAGGED[:3], [[1, 2], [3, 4], [5, np.nan]])
    with pytest.raises(ValueError, match=r"^row 1 of y is inf"):
        SparseLSTMRegressor(**SMALL).fit(RAGGED[:3], [1, np.inf, 2])
    with pytest.raises(ValueError, match=r"^row 1 of classes is missing \(None\)"):
        SparseLSTMClassifier(**SMALL).partial_fit(RAGGED, Y, [0, None])
    with pytest.raises(ValueError, match="the classes are of several kinds"):
        SparseLSTMClassifier(**SMALL).fit(RAGGED, in_array([0, "b"] * 12))
    with pytest.raises(ValueError, match=r"^y has whole numbers beyond those of float64"):
        SparseLSTMRegressor(**SMALL).fit(RAGGED[:2], [0, 10**400])
    with pytest.raises(ValueError, match=r"^y has no labels"):
        SparseTextClassifier(**SMALL).fit(["a b"], [])


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-700, 2.0**600, 2.0**900])
def test_targets_of_any_scale(scale: float) -> None:
    targets = np.array([[item[0], 3 + item[-1]] for item in RAGGED])
    few = {**SMALL, "epochs": 5}
    wanted = SparseLSTMRegressor(**few).fit(RAGGED, targets)
    model = SparseLSTMRegressor(**few).fit(RAGGED, targets * scale)
    np.testing.assert_array_equal(model.predict(RAGGED) / scale, wanted.predict(RAGGED))
    assert model.score(RAGGED, targets * scale) == wanted.score(RAGGED, targets)
    weights = np.arange(24) % 3
    model = SparseLSTMRegressor(**few).fit(RAGGED, targets * scale, weights)
    wanted = SparseLSTMRegressor(**few).fit(RAGGED, targets, weights)
    np.testing.assert_array_equal(model.predict(RAGGED) / scale, wanted.predict(RAGGED))


def test_targets_of_no_possible_scale() -> None:
    for scale in (1e306, 1e-310):
        with pytest.raises(ValueError, match=r"y has numbers of the size of \de.*; bring them between"):
            SparseLSTMRegressor(**SMALL).fit(RAGGED, Y * scale)
    model = SparseLSTMRegressor(**SMALL).fit(RAGGED, Y)
    with pytest.raises(ValueError, match="row 1 of y is too far from the targets of the first call"):
        model.partial_fit(RAGGED[:2], [1, 1e200])


def test_what_lies_under_a_mask_is_not_read() -> None:
    X = np.array(EQUAL)
    with pytest.raises(ValueError, match=r"^row 7 of X contains NaN"):
        SparseLSTMClassifier(**SMALL).fit(np.ma.array(X, mask=np.arange(24)[:, None] == [7, -1, -1]), Y)
    model = SparseLSTMClassifier(**SMALL).fit(np.ma.array(X, mask=False), Y)
    np.testing.assert_array_equal(model.predict_proba(memoryview(X)), model.predict_proba(X))
