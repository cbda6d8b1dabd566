"""Estimators that read in both directions: what they predict, their files and exports do."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from export.conftest import library_of, needs_compiler

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from truesparse import runtime
from truesparse.sklearn import SparseLSTMRegressor

X = np.random.default_rng(0).standard_normal((48, 7, 1)).astype(np.float32)
Y = 1e3 * X[:, 0, 0] + 10 * X[:, -1, 0]


@pytest.fixture(scope="module")
def fitted() -> SparseLSTMRegressor:
    small = {"hidden_size": 16, "epochs": 2, "batch_size": 16, "density": 0.3, "random_state": 0}
    return SparseLSTMRegressor(**small, bidirectional=True).fit(X, Y)


def test_files(fitted: SparseLSTMRegressor, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    again = SparseLSTMRegressor.load(tmp_path / "m")
    assert again.get_params()["bidirectional"]
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    model = runtime.load(tmp_path / "m")
    np.testing.assert_allclose(model.predict(X)[:, 0], fitted.predict(X), rtol=1e-5, atol=1e-5 * Y.std())


@needs_compiler
def test_c(fitted: SparseLSTMRegressor, tmp_path: Path) -> None:
    report = fitted.export(tmp_path / "out")
    library = library_of(tmp_path / "out")
    state = (ctypes.c_byte * report["ram_bytes"])()
    room, number = np.empty(report["step_bytes"] // 4 * 7, np.float32), np.empty(1, np.float32)
    said = []
    for sequence in X:
        arrays = [ctypes.c_void_p(array.ctypes.data) for array in (sequence, room, number)]
        assert library.model_run(state, arrays[0], ctypes.c_size_t(7), *arrays[1:]) == 0
        said.append(number[0])
    np.testing.assert_allclose(said, fitted.predict(X), rtol=1e-5, atol=1e-5 * Y.std())


def test_onnx(fitted: SparseLSTMRegressor, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    fitted.export(tmp_path / "out", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    (said,) = session.run(["numbers"], {"features": X.transpose(1, 0, 2)})
    np.testing.assert_allclose(said[:, 0], fitted.predict(X), rtol=1e-5, atol=1e-5 * Y.std())
