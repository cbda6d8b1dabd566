"""Estimators in files, and what their exports predict."""

from __future__ import annotations

import ctypes
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from export.conftest import library_of, needs_compiler

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from truesparse import runtime
from truesparse.cli import main
from truesparse.errors import TruesparseError
from truesparse.sklearn import (
    SparseLSTMClassifier,
    SparseLSTMRegressor,
    SparseMLPClassifier,
    SparseTextClassifier,
)

SMALL = {"hidden_size": 16, "epochs": 2, "batch_size": 16, "density": 0.3, "random_state": 0}
X = np.random.default_rng(0).standard_normal((48, 7)).astype(np.float32)
NUMBERS = np.stack([1e3 * X.sum(axis=1) + 5e3, X[:, 0]], axis=1)
TEXTS = ["a fine film", "such a fine plot indeed", "a dull film", "what a dull plot"] * 8


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    """Estimators and what they predict."""
    signs = (X.sum(axis=1) > 0).astype(int)
    with np.errstate(all="raise"):
        return {
            "classifier": SparseLSTMClassifier(**SMALL).fit(X, signs * 7 - 2),
            "regressor": SparseLSTMRegressor(**SMALL, pooling="mean").fit(X[:, :, None], NUMBERS),
            "text": SparseTextClassifier(**SMALL).fit(TEXTS, ["good", "good", "bad", "bad"] * 8),
        }


def given(name: str) -> Any:
    return {"classifier": X, "regressor": X[:, :, None], "text": TEXTS}[name]


@pytest.mark.parametrize("name", ["classifier", "regressor", "text"])
def test_what_is_loaded_predicts_the_same(tmp_path: Path, fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    model.save(tmp_path / "m")
    again = type(model).load(tmp_path / "m")
    predicted = model.predict(given(name))
    np.testing.assert_array_equal(again.predict(given(name)), predicted)
    assert again.predict(given(name)).dtype == predicted.dtype
    assert again.get_params() == model.get_params()
    assert (again.loss_curve_, again.nnz_) == (model.loss_curve_, model.nnz_)
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()
    with pytest.raises(ValueError, match="loaded from a model file cannot go on learning; fit it anew"):
        again.partial_fit(given(name), NUMBERS if name == "regressor" else predicted)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"hidden_layer_sizes": (6,)}, (6,)),
        ({"hidden_layer_sizes": [6, 4]}, (6, 4)),
        ({"hidden_layer_sizes": np.array([6])}, (6,)),
        ({"class_weight": {0: 0.5, np.int64(1): 2}}, {0: 0.5, 1: 2}),
        ({"alpha": np.float32(0.5)}, 0.5),
        ({"random_state": np.random.RandomState(3)}, None),
    ],
)
def test_parameters_are_as_they_were(tmp_path: Path, given: dict[str, Any], told: Any) -> None:
    model = SparseMLPClassifier(**{"max_iter": 1, **given}).fit(X, X[:, 0] > 0)
    model.save(tmp_path / "m")
    again = SparseMLPClassifier.load(tmp_path / "m")
    (name,) = given
    assert again.get_params()[name] == told
    assert type(again.get_params()[name]) is type(told)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("classes", [[True, False], [0.5, 2.0], ["a", "längst"], [-3, 4]])
@pytest.mark.parametrize("as_objects", [False, True])
def test_classes_have_their_type_again(tmp_path: Path, fitted, classes: list[Any], as_objects: bool) -> None:
    model = SparseLSTMClassifier(**SMALL)
    vars(model).update(vars(fitted["classifier"]))
    model.classes_ = np.sort(np.array(classes))
    if as_objects:
        model.classes_ = model.classes_.astype(object)
        if not isinstance(classes[0], str):
            with pytest.raises(TruesparseError, match="classes_ of the type object cannot be saved"):
                model.save(tmp_path / "m")
            return
    model.save(tmp_path / "m")
    again = SparseLSTMClassifier.load(tmp_path / "m")
    assert again.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(again.classes_, model.classes_)
    assert runtime.load(tmp_path / "m").labels == tuple(str(name) for name in model.classes_)


def test_the_runtime_says_the_numbers_of_the_regressor(tmp_path: Path, fitted: dict[str, Any]) -> None:
    fitted["regressor"].save(tmp_path / "m")
    said = runtime.load(tmp_path / "m").predict(X[:, :, None])
    np.testing.assert_allclose(said, fitted["regressor"].predict(X[:, :, None]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_the_commands_read_what_it_saves(tmp_path: Path, fitted: dict[str, Any], name: str) -> None:
    """Numbers of sequences have names as in files that have none."""
    model = fitted[name]
    predicted = model.predict(given(name)[:5])
    model.save(tmp_path / "m")
    np.savez(tmp_path / "x.npz", X=X[:5], y=predicted)
    run = partial(CliRunner().invoke, main, catch_exceptions=False)
    told = run(["predict", str(tmp_path / "m"), str(tmp_path / "x.npz"), "--json"]).stdout.splitlines()
    assert len(told) == 5
    shown = run(["evaluate", str(tmp_path / "m"), "--data", str(tmp_path / "x.npz"), "--json"]).stdout
    measures = json.loads(shown)
    assert measures["accuracy"] == 1 if name == "classifier" else measures["rmse"] < 0.01


@needs_compiler
@pytest.mark.parametrize("name", ["classifier", "regressor", "text"])
def test_c_predicts_what_the_estimator_does(tmp_path: Path, fitted: dict[str, Any], name: str) -> None:
    model = fitted[name]
    report = model.export(tmp_path / "out")
    library = library_of(tmp_path / "out")
    state = (ctypes.c_byte * report["ram_bytes"])()
    if name == "regressor":
        expected = model.predict(given(name)) / model._deviation
    else:
        expected = model.predict_proba(given(name))
    outputs = np.empty(expected.shape[1], np.float32)
    pointer = ctypes.c_void_p(outputs.ctypes.data)
    for number, own in enumerate(given(name)):
        library.model_init(state)
        if name == "text":
            for token in model.encoder_.encode(own):
                library.model_step(state, ctypes.c_uint32(token))
            library.model_output(state, pointer)
        else:
            steps = np.ascontiguousarray(own)
            library.model_read(state, ctypes.c_void_p(steps.ctypes.data), ctypes.c_size_t(7), pointer)
        if name != "regressor":
            library.model_softmax(pointer)
        said = outputs / model._deviation if name == "regressor" else outputs
        np.testing.assert_allclose(said, expected[number], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["classifier", "regressor", "text"])
def test_onnx_predicts_what_the_estimator_does(tmp_path: Path, fitted: dict[str, Any], name: str) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = fitted[name]
    model.export(tmp_path / "out", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    zeros = {f"lstm.0.{part}": np.zeros((1, 16), np.float32) for part in "hc"}
    for own in given(name)[:4]:
        if name == "text":
            inputs = {"tokens": model.encoder_.encode(own)[:, None].astype(np.int64)}
        else:
            inputs = {"features": own.reshape(7, 1, 1)}
        said = session.run(["numbers" if name == "regressor" else "scores"], inputs | zeros)[0][0]
        if name == "regressor":
            expected = model.predict(own[None])[0] / model._deviation
            np.testing.assert_allclose(said / model._deviation, expected, rtol=1e-5, atol=1e-5)
        else:
            expected = model.predict_proba([own] if name == "text" else own[None])[0]
            np.testing.assert_allclose(np.exp(said) / np.exp(said).sum(), expected, rtol=1e-5, atol=1e-5)


def test_files_that_are_of_something_else(tmp_path: Path, fitted: dict[str, Any]) -> None:
    from sklearn.exceptions import NotFittedError

    from truesparse.modelfile import Reader, container

    file = tmp_path / "m"
    fitted["classifier"].save(file)
    with pytest.raises(TruesparseError, match="m is of another estimator, 'SparseLSTMClassifier', not"):
        SparseLSTMRegressor.load(file)
    with pytest.raises(NotFittedError):
        SparseLSTMClassifier().save(tmp_path / "none")
    with Reader(file) as reader:
        tensors, document = {name: reader.get(name) for name in reader.names}, reader.document
    del document["format_version"]
    for change, sentence in (
        (lambda e: e["fitted"].pop("classes_"), "its classes are not as many as its model's outputs"),
        (lambda e: e["parameters"].update(lr="fast"), "lr is 'fast'; it must be a number"),
        (lambda e: e["parameters"].update(rate=1), "has no parameter 'rate'"),
        (lambda e: e.pop("fitted"), "'fitted'"),
    ):
        broken = json.loads(json.dumps(document))
        change(broken["estimator"])
        container.write(tmp_path / "broken", tensors, broken)
        with pytest.raises(TruesparseError, match=sentence):
            SparseLSTMClassifier.load(tmp_path / "broken")
    del document["estimator"]
    container.write(tmp_path / "broken", tensors, document)
    with pytest.raises(TruesparseError, match=r"was not saved by an estimator; use truesparse\.load"):
        SparseLSTMClassifier.load(tmp_path / "broken")
